// SPDX-License-Identifier: Apache-2.0
/* block.h: sorted entries in a few KiB, keys prefix-compressed between restart points.
 *
 *   entry entry ... entry │ restart offset u32 ... │ restart count u32
 *   entry: shared varint, unshared varint, kind u8, sequence varint, key suffix, then by kind
 *          PUT        size varint, bytes
 *          PUT_APART  offset varint, size varint, crc u32      the value lies elsewhere in the file
 *          PUT_LOG    segment varint, offset varint, size varint, crc u32
 *          DELETE     nothing
 *
 * Every n-th entry (BLOCK_RESTART_INTERVAL in data blocks, 1 in index blocks) holds its whole key, so that a
 * search halves over restart points and then walks. A key occurs once in a block (and in a table).
 *
 * Source  LevelDB doc/table_format.md (restart points), with the sequence beside the key.
 * Owner   the builder owns its memory; a cursor borrows the block's bytes and owns the current key.
 * Errors  CORRUPT when the bytes make no sense: a cursor trusts nothing. Loop: any thread. */
#ifndef SENTINEL_STORAGE_BLOCK_H
#define SENTINEL_STORAGE_BLOCK_H

#include "base/cursor.h"
#include "base/status.h"
#include "storage/layout.h"
#include "storage/store.h"

#define BLOCK_RESTART_INTERVAL 16u

struct block_entry {
    enum entry_kind kind;
    uint64_t sequence;
    struct slice value;       /* PUT: the bytes */
    struct value_place place; /* PUT_APART, PUT_LOG */
};

struct block_builder {
    struct writer bytes, restarts, last_key;
    uint32_t count, restart_count, interval;
};
void block_builder_init(struct block_builder *builder, uint32_t interval);
void block_builder_release(struct block_builder *builder);
void block_builder_clear(struct block_builder *builder);
void block_builder_add(struct block_builder *builder, struct slice key, const struct block_entry *entry);
size_t block_builder_size(const struct block_builder *builder);   /* as it would be finished now */
struct slice block_builder_finish(struct block_builder *builder); /* until clear */

struct block_cursor {
    struct slice entries, restarts;
    uint32_t restart_count;
    size_t at, next; /* offsets of the current entry and of the one behind it; at == entries.size: none */
    struct block_entry entry;
    size_t key_size;
    uint8_t key[STORE_KEY_SIZE_MAX];
};
enum status block_cursor_init(struct block_cursor *cursor, struct slice block) MUST_USE;
/* OK, END or CORRUPT. */
enum status block_cursor_first(struct block_cursor *cursor) MUST_USE;
enum status block_cursor_last(struct block_cursor *cursor) MUST_USE;
enum status block_cursor_seek(struct block_cursor *cursor, struct slice key) MUST_USE;      /* >= key */
enum status block_cursor_seek_prev(struct block_cursor *cursor, struct slice key) MUST_USE; /* <= key */
enum status block_cursor_next(struct block_cursor *cursor) MUST_USE;
enum status block_cursor_prev(struct block_cursor *cursor) MUST_USE;
/* From the entry at *offset on, the place of the first value of `kind` (apart or in the log), and *offset
 * behind its entry; false: there is none, or the rest makes no sense. */
bool block_next_place(struct slice entries, enum entry_kind kind, size_t *offset, struct value_place *place);
static inline struct slice block_cursor_key(const struct block_cursor *cursor) {
    return slice_make(cursor->key, cursor->key_size);
}

#endif
