// SPDX-License-Identifier: Apache-2.0
/* io_posix.h: the backend for where io_uring is forbidden: epoll, and a few threads for file operations.
 *
 * Errors: what epoll_create and eventfd give. Bounds: IO_POSIX_FILE_THREADS operations run side by side, the
 * rest waits in line. Loop: shard thread only. */
#ifndef SENTINEL_IO_IO_POSIX_H
#define SENTINEL_IO_IO_POSIX_H

#include "io/io.h"

#define IO_POSIX_FILE_THREADS 4

enum status io_posix_new(const struct io_options *options, struct io **io,
                         struct diagnostic *diagnostic) MUST_USE;

#endif
