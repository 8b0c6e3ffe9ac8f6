// SPDX-License-Identifier: Apache-2.0
/* table.h: a sorted table (SSTable): the file, and what the store knows of it.
 *
 *   cluster cluster ... │ filter │ index │ properties │ footer
 *   cluster: values kept apart, then the data block that refers to them
 *
 * A table holds each key once. Its entries form one or more runs: stretches of the key space that are placed
 * in the levels on their own. A flush writes one file with a run for each partition that brought enough, so
 * that runs of append-only partitions find their final place in the levels without being rewritten, and yet a
 * flush makes one file and one sync. Values of LAYOUT_APART_MIN bytes and more stay
 * in the log, and the entry says where; or, where a compaction brought them together, they stand before their
 * block as they are, and a scan reads the whole cluster in one piece. A run counts what it refers to in each
 * segment of the log, so that the store knows how much of a segment is still needed.
 *
 * The manifest repeats what is needed to read (handles, runs), so opening a store reads no table; the footer
 * is for tools and checks.
 *
 * Owner   struct table is owned by the version set; versions, cursors and reads pin its source.
 * Loop    shard thread; a job may read a table that the loop keeps pinned and opened for it. */
#ifndef SENTINEL_STORAGE_TABLE_H
#define SENTINEL_STORAGE_TABLE_H

#include "base/arena.h"
#include "storage/block.h"
#include "storage/block_cache.h"

#define TABLE_BLOCK_SIZE   (16 * KIB)
#define TABLE_CLUSTER_SIZE (256 * KIB) /* a block is closed when its cluster is this large */
#define TABLE_FOOTER_SIZE  ((size_t)88)
/* Values kept apart are as long as they were written; blocks are bounded by what one entry can need. */
#define TABLE_BLOCK_SIZE_MAX BLOCK_INFLATED_SIZE_MAX

struct table_handle {
    uint64_t offset;
    uint32_t size; /* of the contents, without the trailer */
};

/* Where the index says a cluster is. */
struct table_cluster {
    uint64_t start; /* of its first value */
    struct table_handle block;
};
void table_cluster_encode(const struct table_cluster *cluster, struct writer *out);
bool table_cluster_decode(struct slice bytes, struct table_cluster *cluster) MUST_USE;

/* What a run refers to in one segment of the log. */
struct table_ref {
    uint64_t segment, bytes;
    struct log_source *source; /* filled by the version */
};
struct table_run_meta {
    struct slice first, last; /* keys, both included */
    uint64_t bytes, entries;
    uint64_t first_sequence, last_sequence;
    struct table_ref *refs; /* by rising segment */
    uint32_t ref_count;
    uint64_t extents; /* pieces in which its values in the log lie, read in the order of keys */
};
uint64_t table_run_ref_bytes(const struct table_run_meta *run);
struct table_meta {
    uint64_t number, size;
    struct table_handle index, filter;
    struct table_run_meta *runs;
    uint32_t run_count;
    uint64_t entries;
    uint64_t data_bytes; /* of all its runs, when it was written */
    uint64_t block_bytes,
        stored_block_bytes; /* data blocks before and after compression; not in the manifest */
};

struct table_footer {
    uint64_t number, store_id, entries;
    struct table_handle index, filter, properties;
};
void table_footer_encode(const struct table_footer *footer, uint8_t bytes[TABLE_FOOTER_SIZE]);
/* MALFORMED: no footer; CORRUPT: its checksum fails; VERSION: a newer program's. */
enum status table_footer_decode(struct slice bytes, struct table_footer *footer) MUST_USE;

struct table {
    struct block_source source; /* number: the file number */
    uint64_t size;
    struct table_handle index, filter;
    struct block_shortcut index_shortcut, filter_shortcut;
    uint64_t entries, data_bytes;
    uint32_t run_count; /* runs of the newest version that live in it */
    uint64_t run_bytes;
    bool damaged;     /* some of it cannot be read: put aside, not removed, when nothing needs it any more */
    struct list link; /* the owner's list of tables without pins */
    void *owner;
};
/* A segment of the log that tables refer to. It lives while runs pin it.
 */
struct log_source {
    struct block_source source; /* number: of the file, 0: not known yet */
    uint64_t segment;
    uint64_t size;           /* of the file */
    uint64_t first_sequence; /* of its first change */
    uint64_t live_bytes;     /* that runs of the newest version refer to */
    bool told;               /* the manifest says which file it is in */
    void *owner;
};
/* Where the bytes of a segment are read; NULL: the run does not refer to it. */
struct log_source *table_run_log(const struct table_run_meta *run, uint64_t segment);
static inline bool table_holds(const struct table *table, uint64_t offset, uint64_t size) {
    return offset <= table->size && size <= table->size - offset;
}

#endif
