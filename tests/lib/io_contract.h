// SPDX-License-Identifier: Apache-2.0
/* io_contract.h: one suite of tests, run against every backend of io.
 *
 * Each test gets a fresh world: an io and an empty directory that belongs to it. Where the machine forbids
 * io_uring the tests of that backend are skipped, and the reason is printed.
 *
 * Owner   the world belongs to the suite. Loop  the test's thread. */
#ifndef SENTINEL_TESTS_LIB_IO_CONTRACT_H
#define SENTINEL_TESTS_LIB_IO_CONTRACT_H

#include "io/io.h"
#include "lib/test.h"

struct io_sim;
struct io_world {
    const char *backend; /* "uring", "posix" or "sim" */
    struct io *io;
    struct io_sim *sim; /* sim only */
    char dir[128];
    char path[5][256]; /* of world_path, taken in turn */
    unsigned path_next;
};

/* Runs all tests against all backends; returns the number that failed. */
int io_contract_run(const char *suite, const struct CMUnitTest *tests, size_t count);

/* The world of this test; skips the test where its backend cannot run. */
struct io_world *world_of(void **state);
bool world_is_real(const struct io_world *world);
/* dir/name; valid for five more calls. */
const char *world_path(struct io_world *world, const char *name);
/* Turns until *done, or fails the test after 20 seconds of the world's clock. */
void world_run_until(struct io_world *world, const bool *done);
/* A few turns in which everything that could happen at once has happened. */
void world_settle(struct io_world *world);

/* An operation that notes its completion. */
struct test_op {
    struct io_op op;
    bool done;
    unsigned calls;
};
void test_op_init(struct test_op *op);
/* Waits for it; returns its status. */
enum status test_op_wait(struct io_world *world, struct test_op *op);

#endif
