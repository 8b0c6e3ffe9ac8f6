// SPDX-License-Identifier: Apache-2.0
/* io_error.h: from the kernel's errno to our statuses, in one place. Loop: any thread. */
#ifndef SENTINEL_IO_IO_ERROR_H
#define SENTINEL_IO_IO_ERROR_H

#include "base/status.h"

/* Never STATUS_OK: an errno of 0 is an error that forgot to say which. */
enum status io_error(int os_error);
/* The same, and remembers os_error for io_last_os_error of this thread. */
enum status io_error_noted(int os_error);

#endif
