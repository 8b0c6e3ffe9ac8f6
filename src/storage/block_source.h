// SPDX-License-Identifier: Apache-2.0
/* block_source.h: files that blocks and values are read from: tables, and segments of the log. Of those only
 * so many are open as a process may have: the one that was used longest ago is closed for another, and opened
 * again when it is read the next time.
 *
 *   closed ─ open ─> idle (in order of use) ─ use ─> used: a read or a job is under way ─ unuse ─> idle
 *                      └─ too many are open: closed
 *
 * Opening blocks the loop: 7 us on the machine of docs/performance.md, 15 us when the kernel has forgotten
 * the name; a read of a block takes longer.
 *
 * Owner   a source is part of what it belongs to (struct table, struct log_source), which lives while it has
 *         pins; the pool belongs to the version set.
 * Errors  CORRUPT: the file is not there, although the manifest names it. BUSY: no descriptors are left, also
 *         after all idle files were closed.
 * Loop    shard thread only; a job reads files that the loop holds for it.
 * Bounds  open_files.limit; files in use go beyond it, and come back. */
#ifndef SENTINEL_STORAGE_BLOCK_SOURCE_H
#define SENTINEL_STORAGE_BLOCK_SOURCE_H

#include "base/list.h"
#include "io/io.h"
#include "storage/layout.h"

#define OPEN_FILES_DEFAULT 400u

struct open_files {
    struct io *io;
    const char *dir;
    uint32_t limit, count;
    struct list idle; /* longest unused first */
    uint64_t opened;  /* since the start */
};
void open_files_init(struct open_files *files, struct io *io, const char *dir);

struct block_source {
    uint64_t number; /* unique among all sources of a store: the cache's key, and part of the checksum */
    struct io_file *file;
    uint32_t pins;
    void (*unpinned)(struct block_source *source); /* the last pin is gone */
    struct open_files *files;                      /* NULL: whoever set `file` closes it */
    enum layout_kind kind;                         /* TABLE or LOG, for its name */
    uint32_t users;
    struct list idle;
};
void block_source_init(struct block_source *source, struct open_files *files, enum layout_kind kind);
void block_source_pin(struct block_source *source);
void block_source_unpin(struct block_source *source);
/* Until the next open of another one the file stays open; longer with use. */
enum status block_source_open(struct block_source *source) MUST_USE;
void block_source_use(struct block_source *source); /* it must be open */
void block_source_unuse(struct block_source *source);
void block_source_close(struct block_source *source); /* for good; not in use */

/* Files that a job reads. All zero: none. */
struct block_hold {
    struct block_source **sources;
    size_t count, capacity;
};
enum status block_hold_add(struct block_hold *hold, struct block_source *source) MUST_USE;
void block_hold_release(struct block_hold *hold);

#endif
