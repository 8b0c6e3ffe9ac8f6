// SPDX-License-Identifier: Apache-2.0
/* merge_iterator.h: several sorted sources as one: of each key the entry of the newest source.
 *
 *   active memtable, immutable memtables, runs of level 0 (newest first), levels 1..6   in that order
 *
 * What stands earlier in that order is newer wherever keys are equal, so ties need no look at sequences.
 * Deletions come out like other entries: whoever asks decides what they hide.
 *
 * Owner   sources are added before the first move and released with the iterator; memtables, versions and
 *         their tables must stay pinned by the owner, and tables open where the caller cannot open them.
 * Errors  PENDING: make the same call again after `ready`. CORRUPT, IO: seek anew or give up; `gap` says what
 *         could not be read. Damage that newer deletions cover is none: it is passed over.
 * Loop    shard thread; or a job, with a blocking iterator without cache. */
#ifndef SENTINEL_STORAGE_MERGE_ITERATOR_H
#define SENTINEL_STORAGE_MERGE_ITERATOR_H

#include "storage/memtable.h"
#include "storage/table_cursor.h"
#include "storage/version.h"

struct merge_source;
struct merge_options {
    struct table_cursor_options tables;
    /* True when everything older than or at `sequence` in [first, last] is deleted: what is damaged there is
     * passed over. NULL: nothing is. */
    bool (*deleted)(void *ctx, struct slice first, struct slice last, uint64_t sequence);
    void *ctx;
};
/* What could not be read: these keys of this run. */
struct merge_gap {
    const struct run *run; /* NULL: nothing was met yet */
    struct writer first, last;
};
struct merge_iterator {
    struct merge_options options;
    struct merge_source **sources;
    uint32_t count, capacity;
    struct merge_source *current; /* NULL: not on an entry */
    struct merge_source *second;  /* who comes after it; NULL: nobody */
    bool alone;                   /* no other source has the current key */
    bool forward;
    enum { MERGE_STILL, MERGE_SEEK, MERGE_NEXT, MERGE_PREV } moving; /* a move that is PENDING */
    bool prepares; /* runs that come next, while the disk is waited for */
    struct writer target;
    struct merge_gap gap; /* of the last CORRUPT or IO */
};
struct merge_entry {
    struct slice key;
    enum entry_kind kind;
    uint64_t sequence;
};

void merge_iterator_init(struct merge_iterator *merge, const struct merge_options *options);
void merge_iterator_release(struct merge_iterator *merge);
void merge_iterator_add_memtable(struct merge_iterator *merge, const struct memtable *memtable,
                                 uint64_t snapshot);
void merge_iterator_add_run(struct merge_iterator *merge, const struct run *run);
/* runs[0..count): sorted, disjoint; borrowed. newest: no entry of them has a larger sequence. */
void merge_iterator_add_level(struct merge_iterator *merge, struct run *const *runs, size_t count,
                              uint64_t newest);

enum status merge_iterator_seek(struct merge_iterator *merge, struct slice key) MUST_USE;      /* >= key */
enum status merge_iterator_seek_prev(struct merge_iterator *merge, struct slice key) MUST_USE; /* <= key */
enum status merge_iterator_next(struct merge_iterator *merge) MUST_USE;
enum status merge_iterator_prev(struct merge_iterator *merge) MUST_USE;
/* Moves on from the current entry, where everything older than `sequence` in [from, to) is known to be
 * deleted: sources that hold nothing newer jump to its end. */
enum status merge_iterator_skip(struct merge_iterator *merge, const struct tombstone *range,
                                uint64_t sequence) MUST_USE;
/* Entries of the memtables newer than `snapshot` have been taken back: what waits on one goes on from there.
 */
void merge_iterator_clip(struct merge_iterator *merge, uint64_t snapshot);
struct merge_entry merge_iterator_entry(const struct merge_iterator *merge);
struct slice merge_iterator_key(const struct merge_iterator *merge); /* of the current entry */
/* The run of the current entry, which must not be in a memtable, and the place of its value. */
const struct table_run_meta *merge_iterator_run(const struct merge_iterator *merge,
                                                struct value_place *place);
/* How far ahead the source that looks furthest has told the kernel what it will read:
 * table_cursor_options.ahead.
 */
size_t merge_iterator_ahead(const struct merge_iterator *merge);
/* The value of the current PUT; borrowed. OK, PENDING, CORRUPT, IO. */
enum status merge_iterator_value(struct merge_iterator *merge, struct shared_slice *value,
                                 uint32_t *crc) MUST_USE;

#endif
