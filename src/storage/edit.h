// SPDX-License-Identifier: Apache-2.0
/* edit.h: changes to the set of tables, as bytes: what the manifest is made of.
 *
 * An edit is a sequence of items, each a tag and its fields (varints, keys with their size before them). The
 * same bytes are written to the manifest and applied to the version in memory, so that what a restart
 * rebuilds cannot differ from what ran. A snapshot of everything is an edit on an empty set.
 *
 * Owner   an edit owns its bytes; a walked item borrows them. Loop: any thread. Errors: CORRUPT. */
#ifndef SENTINEL_STORAGE_EDIT_H
#define SENTINEL_STORAGE_EDIT_H

#include "storage/table.h"

enum edit_kind {
    EDIT_TABLE = 1,          /* a table exists */
    EDIT_RUN_ADD = 2,        /* one of its runs stands in a level */
    EDIT_RUN_DROP = 3,       /* named by level, table and first key */
    EDIT_TOMBSTONE = 4,      /* [from, to) is deleted since sequence */
    EDIT_TOMBSTONE_DROP = 5, /* nothing that old is left in [from, to) */
    EDIT_FLUSHED = 6,        /* every write up to this sequence is in tables */
    EDIT_DURABLE = 7,        /* the log reached this sequence: less would be a loss */
    EDIT_NEXT_FILE = 8,      /* file numbers below are taken */
    EDIT_LOG = 9,            /* which file holds a segment of the log that runs refer to */
    EDIT_SEALED = 10,        /* nothing is written any more to segments of the log up to this one */
};

/* So much is known of a segment without opening its file. */
struct edit_log {
    uint64_t segment, file, size, first_sequence;
};

struct edit_item {
    enum edit_kind kind;
    struct table_meta table; /* TABLE, without runs */
    uint32_t level;          /* RUN_* */
    uint64_t number;         /* RUN_*: the table; FLUSHED, DURABLE, TOMBSTONE*: sequence; NEXT_FILE; SEALED */
    struct table_run_meta run; /* without refs: */
    struct slice refs;         /* RUN_ADD: of run.ref_count refs, for edit_ref_next */
    struct slice from, to;     /* TOMBSTONE* */
    struct edit_log log;       /* LOG */
};

void edit_table(struct writer *edit, const struct table_meta *table);
void edit_run_add(struct writer *edit, uint32_t level, uint64_t table, const struct table_run_meta *run);
void edit_run_drop(struct writer *edit, uint32_t level, uint64_t table, struct slice first);
void edit_tombstone(struct writer *edit, struct slice from, struct slice to, uint64_t sequence);
void edit_tombstone_drop(struct writer *edit, struct slice from, struct slice to, uint64_t sequence);
void edit_number(struct writer *edit, enum edit_kind kind,
                 uint64_t number);                              /* FLUSHED, DURABLE, NEXT_FILE, SEALED */
void edit_log(struct writer *edit, const struct edit_log *log); /* behind the runs that refer to it */
/* Takes the next of an item's refs; they rise by segment. The item was handed out, so they are sound. */
struct table_ref edit_ref_next(struct reader *refs, uint64_t segment_before);
/* OK, END or CORRUPT. */
enum status edit_next(struct reader *reader, struct edit_item *item) MUST_USE;

#endif
