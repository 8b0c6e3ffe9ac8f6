// SPDX-License-Identifier: Apache-2.0
/* manifest.h: the file that says which tables make up the store: a snapshot, then edits.
 *
 *   header │ record (snapshot) │ record (edit) │ ...         record: crc u32, size u32, edit
 *
 * An edit is appended and synced before it takes effect. When the edits have grown large, a new manifest is
 * written beside the old one, synced, renamed over it, and the directory is synced: at every moment the name
 * MANIFEST leads to exactly one complete state. Checksums are seeded with store, generation and offset. Edits
 * are written one at a time, so a bad record that has a valid one behind it is corruption, not a torn tail.
 *
 * Owner   a commit is embedded in its owner and borrowed until its done.
 * Errors  IO is final; NO_SPACE fails that commit (nothing of it stays) and is not. What
 *         lacks room or descriptors to be rewritten goes on as it is, and is rewritten later.
 * Loop    shard thread; manifest_read and manifest_create block (start-up, tools, jobs). */
#ifndef SENTINEL_STORAGE_MANIFEST_H
#define SENTINEL_STORAGE_MANIFEST_H

#include "storage/edit.h"

#define MANIFEST_HEADER_SIZE     ((size_t)40)
#define MANIFEST_RECORD_HEADER   ((size_t)8)
#define MANIFEST_RECORD_SIZE_MAX (256 * MIB)

struct manifest_header {
    uint64_t store_id, generation;
    uint32_t version; /* as it was read; what is written has LAYOUT_VERSION */
};
struct manifest_contents {
    struct manifest_header header;
    uint64_t snapshot_end; /* behind the first record */
    uint64_t last;         /* where the last valid record starts */
    uint64_t end;          /* behind it */
    uint64_t records;
    bool torn; /* something unfinished stands behind the end */
};
/* Hands out every record in order; `record` may be NULL. NOT_FOUND: there is no manifest. CORRUPT, VERSION,
 * IO: the diagnostic says where and why. */
enum status manifest_read(struct io *io, const char *dir,
                          enum status (*record)(void *ctx, uint64_t offset, struct slice edit), void *ctx,
                          struct manifest_contents *contents, struct diagnostic *diagnostic) MUST_USE;
/* Writes a manifest that holds `snapshot` alone and switches to it. */
enum status manifest_create(struct io *io, const char *dir, const struct manifest_header *header,
                            struct slice snapshot) MUST_USE;

struct manifest_commit {
    /* It is this commit's turn: fills `edit` against the state as it is now. Nothing else changes it until
     * done. May leave it empty: then done follows with OK and nothing is written. */
    void (*prepare)(struct manifest_commit *commit, struct writer *edit);
    /* The edit is durable, or was not written: apply it here. */
    void (*done)(struct manifest_commit *commit, enum status status, struct slice edit);
    struct list link;
};
struct manifest;
struct manifest_options {
    struct io *io;
    const char *dir;
    struct log *log;
    size_t roll_min; /* rewritten when larger, and four times what was written anew; 0: 1 MiB */
    void *ctx;
    void (*snapshot)(void *ctx, struct writer *edit); /* of the state as it is now */
    void (*changed)(void *ctx);                       /* manifest_idle may have become true */
};
/* Continues the manifest that manifest_read found complete, or manifest_create wrote. */
enum status manifest_open(const struct manifest_options *options, const struct manifest_contents *contents,
                          struct manifest **manifest) MUST_USE;
void manifest_close(struct manifest *manifest);
void manifest_submit(struct manifest *manifest, struct manifest_commit *commit);
bool manifest_idle(const struct manifest *manifest);

#endif
