// SPDX-License-Identifier: Apache-2.0
/* bench_broker_io.h: what the loads of `sentinel bench broker` share: a loop, connecting, giving up.
 *
 * Owner: the caller frees the io and closes the socket. Errors: bench_fail. Loop: one thread, blocking. */
#ifndef SENTINEL_CLI_BENCH_BROKER_IO_H
#define SENTINEL_CLI_BENCH_BROKER_IO_H

#include "base/units.h"
#include "io/io.h"

struct io *bench_io_new(void);
/* Waits until it is connected. */
struct io_socket *bench_connect(struct io *io, const char *address);
/* Ends the process, and with it every broker that was started. */
_Noreturn void bench_fail(const char *what, const char *why);

#endif
