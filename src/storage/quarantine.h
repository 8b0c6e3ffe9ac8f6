// SPDX-License-Identifier: Apache-2.0
/* quarantine.h: damaged files that nothing needs any more are put aside: they may hold what somebody wants to
 * save later. Loop: any thread that blocks. */
#ifndef SENTINEL_STORAGE_QUARANTINE_H
#define SENTINEL_STORAGE_QUARANTINE_H

#include "io/io.h"
#include "storage/layout.h"

/* Moves a table or a log file of the store in `dir` to its quarantine. */
enum status quarantine_file(struct io *io, const char *dir, enum layout_kind kind, uint64_t number) MUST_USE;

#endif
