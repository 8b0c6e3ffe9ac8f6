// SPDX-License-Identifier: Apache-2.0
/* io_file.h: files of the real backends: the blocking calls, and one operation carried out at once.
 *
 * Shared by uring (which gives operations to the kernel instead) and posix (whose file threads call
 * io_file_execute). Owner: as io.h says. Errors: io_error of the errno; a write may have moved a part.
 * Loop: any thread. */
#ifndef SENTINEL_IO_IO_FILE_H
#define SENTINEL_IO_IO_FILE_H

#include <sys/uio.h>

#include "base/assert.h"
#include "io/io_backend.h"

struct io_real_file {
    struct io_file base;
    int descriptor;
    /* Something was written here, or before it was opened, that no sync has covered: one write that makes
     * itself durable is not enough. */
    bool unsynced;
    bool direct; /* past the page cache */
};

extern const struct io_file_calls io_real_file_calls;

/* Does a read, write or sync with blocking calls: fills result; returns the status and the errno behind it.
 */
enum status io_file_execute(struct io_op *op, int *os_error);

/* A slice is laid out as the kernel's iovec, so slice arrays go to it as they are. */
STATIC_ASSERT(sizeof(struct slice) == sizeof(struct iovec), "slice and iovec have the same size");
STATIC_ASSERT(offsetof(struct slice, data) == offsetof(struct iovec, iov_base), "the same pointer");
STATIC_ASSERT(offsetof(struct slice, size) == offsetof(struct iovec, iov_len), "and the same length");
static inline const struct iovec *io_iovec(const struct slice *slices) {
    return (const struct iovec *)(const void *)slices;
}

#endif
