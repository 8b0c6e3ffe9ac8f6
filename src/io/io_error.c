// SPDX-License-Identifier: Apache-2.0
#include "io/io_error.h"

#include <errno.h>

#include "io/io_backend.h"

enum status io_error(int os_error) {
    switch (os_error) {
    case ENOENT:
    case ENOTDIR:
    case EADDRNOTAVAIL:
        return STATUS_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return STATUS_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return STATUS_DENIED;
    case ENOSPC:
    case EDQUOT:
        return STATUS_NO_SPACE;
    case EADDRINUSE:
    case EWOULDBLOCK:
        return STATUS_LOCKED;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        return STATUS_BUSY;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENOTCONN:
        return STATUS_CLOSED;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
        return STATUS_UNAVAILABLE;
    case ETIMEDOUT:
        return STATUS_TIMEOUT;
    case ECANCELED:
        return STATUS_CANCELLED;
    case EINVAL:
    case EISDIR:
    case ENAMETOOLONG:
    case EFBIG:
    case EAFNOSUPPORT:
        return STATUS_INVALID;
    case EOPNOTSUPP:
    case ENOSYS:
        return STATUS_UNSUPPORTED;
    default:
        return STATUS_IO;
    }
}

enum status io_error_noted(int os_error) {
    io_set_last_os_error(os_error);
    return io_error(os_error);
}
