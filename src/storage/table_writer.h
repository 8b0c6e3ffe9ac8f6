// SPDX-License-Identifier: Apache-2.0
/* table_writer.h: writes one table, entries in key order, each key once.
 *
 * Owner   the writer owns its memory and the file until finish or abandon; the meta belongs to the caller,
 *         its runs and keys live in the arena that was given.
 * Errors  IO, NO_SPACE: sticky; the file is then abandoned by the caller.
 * Loop    any thread that may block: jobs, recovery. */
#ifndef SENTINEL_STORAGE_TABLE_WRITER_H
#define SENTINEL_STORAGE_TABLE_WRITER_H

#include "storage/table.h"

struct table_writer_options {
    struct io *io;
    const char *dir;
    uint64_t number, store_id;
    size_t partition_prefix_size; /* 0: one run */
    size_t run_bytes_min;         /* a partition with less shares a run with its neighbours */
    enum store_compression compression;
};
struct table_writer;
enum status table_writer_new(const struct table_writer_options *options,
                             struct table_writer **writer) MUST_USE;
/* PUT: entry->value holds the bytes and entry->place.crc their checksum. PUT_LOG: entry->place. DELETE. */
enum status table_writer_add(struct table_writer *writer, struct slice key,
                             const struct block_entry *entry) MUST_USE;
/* The next entry begins a run, which is not joined with what came before. */
void table_writer_cut(struct table_writer *writer);
uint64_t table_writer_bytes(const struct table_writer *writer);
/* Writes what is left, syncs the file (its directory is the caller's) and fills *meta. Frees the writer. */
enum status table_writer_finish(struct table_writer *writer, struct arena *arena,
                                struct table_meta *meta) MUST_USE;
/* Closes and removes the file; frees the writer. */
void table_writer_abandon(struct table_writer *writer);

#endif
