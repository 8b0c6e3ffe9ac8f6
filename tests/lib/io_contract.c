// SPDX-License-Identifier: Apache-2.0
#include "lib/io_contract.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_sim.h"

#define TEST_LIMIT_NS  (20 * NS_PER_S)
#define TURN_NS        NS_PER_S
#define SETTLE_TURNS   20
#define SETTLE_TURN_NS NS_PER_MS
#define SPIN_NS        (100 * NS_PER_US)
#define SIM_SEEDS      8

/* ---- setting up ------------------------------------------------------------------------------------- */

static void remove_tree(struct io *io, const char *path);

struct removal {
    struct io *io;
    const char *path;
};

static void remove_entry(void *ctx, const char *name, bool is_dir) {
    struct removal *removal = ctx;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", removal->path, name);
    if (is_dir)
        remove_tree(removal->io, path);
    else if (io_unlink(removal->io, path) != STATUS_OK)
        print_error("cannot remove %s\n", path);
}

static void remove_tree(struct io *io, const char *path) {
    struct removal removal = {io, path};
    if (io_list_dir(io, path, remove_entry, &removal) != STATUS_OK) print_error("cannot list %s\n", path);
    remove(path);
}

static int setup_real(void **state, const char *name, enum io_backend_kind kind) {
    struct io_world *world = mem_calloc(1, sizeof *world);
    struct io_options options = {.backend = kind, .spin_ns = *(const uint64_t *)*state};
    struct diagnostic diagnostic = {""};
    world->backend = name;
    *state = world;
    if (io_new(&options, &world->io, &diagnostic) != STATUS_OK) {
        world->io = NULL;
        print_message("%s: skipped: %s\n", name, diagnostic.text);
        return kind == IO_BACKEND_URING ? 0 : -1;
    }
    snprintf(world->dir, sizeof world->dir, "%s/sentinel-io-XXXXXX",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    return mkdtemp(world->dir) != NULL ? 0 : -1;
}

static int setup_uring(void **state) {
    return setup_real(state, "uring", IO_BACKEND_URING);
}

static int setup_posix(void **state) {
    return setup_real(state, "posix", IO_BACKEND_POSIX);
}

static int teardown_real(void **state) {
    struct io_world *world = *state;
    if (world->io != NULL) {
        remove_tree(world->io, world->dir);
        io_free(world->io);
    }
    mem_free(world);
    return 0;
}

static int setup_sim(void **state) {
    uint64_t seed = *(const uint64_t *)*state;
    struct io_world *world = mem_calloc(1, sizeof *world);
    world->backend = "sim";
    world->sim = io_sim_new(seed);
    world->io = io_sim_node_io(world->sim, 0);
    snprintf(world->dir, sizeof world->dir, "/world");
    *state = world;
    return io_mkdir(world->io, world->dir) == STATUS_OK ? 0 : -1;
}

static int teardown_sim(void **state) {
    struct io_world *world = *state;
    io_free(world->io);
    io_sim_free(world->sim);
    mem_free(world);
    return 0;
}

static int run_with(const char *suite, const struct CMUnitTest *tests, size_t count, const char *backend,
                    CMFixtureFunction setup, CMFixtureFunction teardown, uint64_t variant) {
    struct CMUnitTest *copy = mem_calloc(count, sizeof *copy);
    char *names = mem_calloc(count, 128), group[128];
    for (size_t i = 0; i < count; i++) {
        snprintf(names + i * 128, 128, "%s: %s", backend, tests[i].name);
        copy[i] = tests[i];
        copy[i].name = names + i * 128;
        copy[i].setup_func = setup;
        copy[i].teardown_func = teardown;
        copy[i].initial_state = &variant;
    }
    snprintf(group, sizeof group, "%s over %s", suite, backend);
    int failed = _cmocka_run_group_tests(group, copy, count, NULL, NULL);
    mem_free(names);
    mem_free(copy);
    return failed;
}

int io_contract_run(const char *suite, const struct CMUnitTest *tests, size_t count) {
    int failed = 0;
    for (uint64_t spin_ns = 0; spin_ns <= SPIN_NS; spin_ns += SPIN_NS) {
        failed += run_with(suite, tests, count, "uring", setup_uring, teardown_real, spin_ns);
        failed += run_with(suite, tests, count, "posix", setup_posix, teardown_real, spin_ns);
    }
    for (uint64_t seed = 1; seed <= SIM_SEEDS; seed++)
        failed += run_with(suite, tests, count, "sim", setup_sim, teardown_sim, seed);
    return failed;
}

/* ---- inside a test ---------------------------------------------------------------------------------- */

struct io_world *world_of(void **state) {
    struct io_world *world = *state;
    if (world->io == NULL) skip();
    return world;
}

bool world_is_real(const struct io_world *world) {
    return world->sim == NULL;
}

const char *world_path(struct io_world *world, const char *name) {
    char *path = world->path[world->path_next++ % ARRAY_COUNT(world->path)];
    int size = snprintf(path, sizeof world->path[0], "%s/%s", world->dir, name);
    assert_in_range(size, 1, sizeof world->path[0] - 1);
    return path;
}

void world_run_until(struct io_world *world, const bool *done) {
    uint64_t end_ns = io_clock_ns(world->io) + TEST_LIMIT_NS;
    while (!*done) {
        io_turn(world->io, TURN_NS);
        if (io_clock_ns(world->io) > end_ns) fail_msg("%s: nothing came of it in time", world->backend);
    }
}

void world_settle(struct io_world *world) {
    for (unsigned i = 0; i < SETTLE_TURNS; i++)
        io_turn(world->io, SETTLE_TURN_NS);
}

static void test_op_done(struct io_op *op) {
    struct test_op *test = CONTAINER_OF(op, struct test_op, op);
    test->done = true;
    test->calls++;
}

void test_op_init(struct test_op *op) {
    memset(op, 0, sizeof *op);
    op->op.done = test_op_done;
}

enum status test_op_wait(struct io_world *world, struct test_op *op) {
    world_run_until(world, &op->done);
    assert_int_equal(op->calls, 1);
    return op->op.status;
}
