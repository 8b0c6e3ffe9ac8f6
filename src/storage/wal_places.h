// SPDX-License-Identifier: Apache-2.0
/* wal_places.h: where in the log the large values of recent writes lie, by sequence.
 *
 * The place of a value is known when its group is sealed, long after the memtable took the entry; a flush
 * then asks by the entry's sequence. One group here is a group of the log that holds large values; four
 * bytes a change.
 *
 * Owner   the store; groups are added by the log and by recovery, and forgotten when what they speak of is in
 *         tables. A view borrows the groups: those of a memtable stay until its flush has ended.
 * Loop    shard thread; a view may be asked by a job. */
#ifndef SENTINEL_STORAGE_WAL_PLACES_H
#define SENTINEL_STORAGE_WAL_PLACES_H

#include "base/list.h"
#include "storage/layout.h"

#define WAL_PLACE_NONE UINT32_MAX

struct wal_places_group {
    struct list link;
    uint64_t first_sequence, segment;
    uint64_t base; /* offset in the segment that the others count from */
    uint32_t count;
    uint32_t offsets[]; /* by sequence; WAL_PLACE_NONE: the value is not in the log's value area */
};
struct wal_places {
    struct list groups; /* by rising sequence */
};
void wal_places_init(struct wal_places *places);
void wal_places_release(struct wal_places *places);
/* Behind all others. The caller fills the offsets, which all are WAL_PLACE_NONE. */
struct wal_places_group *wal_places_add(struct wal_places *places, uint64_t first_sequence, uint32_t count,
                                        uint64_t segment, uint64_t base);
struct wal_places_group *wal_places_last(const struct wal_places *places); /* NULL: there is none */
void wal_places_forget(struct wal_places *places, uint64_t sequence);   /* groups that end at or before it */
void wal_places_truncate(struct wal_places *places, uint64_t sequence); /* groups that begin after it */

struct wal_places_view {
    const struct wal_places_group **groups;
    size_t count;
};
/* Of the groups that hold any of these sequences. */
struct wal_places_view wal_places_view_make(const struct wal_places *places, uint64_t first, uint64_t last);
void wal_places_view_release(struct wal_places_view *view);
/* False: the value is not there. Fills file (the segment) and offset of *place. */
bool wal_places_find(const struct wal_places_view *view, uint64_t sequence, struct value_place *place);

#endif
