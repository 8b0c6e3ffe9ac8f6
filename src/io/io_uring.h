// SPDX-License-Identifier: Apache-2.0
/* io_uring.h: the backend that gives file operations to the kernel through io_uring(7).
 *
 * Errors: whatever keeps the ring from working (ENOSYS, EPERM, a kernel before 5.11), told in the
 * diagnostic; io_new then takes posix when it was asked for AUTO. Bounds: IO_URING_ANSWERS_MAX answers may be
 * owed by the kernel; operations beyond wait in line. Loop: shard thread only (the ring has a single issuer).
 */
#ifndef SENTINEL_IO_IO_URING_H
#define SENTINEL_IO_IO_URING_H

#include "io/io.h"

#define IO_URING_ANSWERS_MAX 1024

enum status io_uring_backend_new(const struct io_options *options, struct io **io,
                                 struct diagnostic *diagnostic) MUST_USE;

#endif
