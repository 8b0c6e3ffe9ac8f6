// SPDX-License-Identifier: Apache-2.0
/* io_sim_echo.h: a small program for simulated worlds: a server that writes and syncs what it hears before it
 * echoes it, and a client that sends random bytes, checks the echo and connects again when that fails.
 *
 * Owner: who starts one frees it, after its node crashed. Loop: the test's thread. */
#ifndef SENTINEL_TESTS_LIB_IO_SIM_ECHO_H
#define SENTINEL_TESTS_LIB_IO_SIM_ECHO_H

#include "base/list.h"
#include "io/io_sim.h"
#include "lib/test.h"

struct echo {
    struct io *io;
    struct io_listener *listener;
    struct list connections;
    struct io_file *file;
    struct io_job job;
    uint64_t offset;
};

/* Listens on node<number>:7. */
struct echo *echo_start(struct io_sim *sim, uint32_t node);
/* Frees what it has, in an order of its own, and the io. */
void echo_free(struct echo *echo);

struct echo_client {
    struct io *io;
    struct io_socket *socket;
    struct io_op connect_op, send_op, recv_op;
    struct io_timer timer;
    struct slice bytes;
    uint8_t out[300], in[300];
    size_t received;
    unsigned rounds, failures;
    enum status status;
    const char *address;
    bool sending, finished;
};

/* Stops its io after so many rounds. */
struct echo_client *echo_client_start(struct io_sim *sim, uint32_t node, const char *address,
                                      unsigned rounds);
void echo_client_free(struct echo_client *client);

#endif
