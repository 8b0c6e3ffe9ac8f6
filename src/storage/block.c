// SPDX-License-Identifier: Apache-2.0
#include "storage/block.h"

#include "base/assert.h"
#include "base/units.h"

#define RESTARTS_PREFETCHED 16u /* data blocks have about so many */

/* ---- building ---------------------------------------------------------------------------------------- */

void block_builder_init(struct block_builder *builder, uint32_t interval) {
    ASSERT(interval > 0);
    *builder = (struct block_builder){.interval = interval};
    writer_init(&builder->bytes);
    writer_init(&builder->restarts);
    writer_init(&builder->last_key);
}

void block_builder_release(struct block_builder *builder) {
    writer_release(&builder->bytes);
    writer_release(&builder->restarts);
    writer_release(&builder->last_key);
}

void block_builder_clear(struct block_builder *builder) {
    writer_clear(&builder->bytes);
    writer_clear(&builder->restarts);
    writer_clear(&builder->last_key);
    builder->count = builder->restart_count = 0;
}

void block_builder_add(struct block_builder *builder, struct slice key, const struct block_entry *entry) {
    ASSERT_LE(key.size, STORE_KEY_SIZE_MAX);
    ASSERT(builder->count == 0 || slice_compare(writer_slice(&builder->last_key), key) < 0);
    struct writer *w = &builder->bytes;
    size_t shared = 0;
    if (builder->count % builder->interval == 0) {
        writer_le32(&builder->restarts, (uint32_t)w->size);
        builder->restart_count++;
    } else {
        struct slice last = writer_slice(&builder->last_key);
        while (shared < last.size && shared < key.size && last.data[shared] == key.data[shared])
            shared++;
    }
    writer_varint64(w, shared);
    writer_varint64(w, key.size - shared);
    writer_u8(w, (uint8_t)entry->kind);
    writer_varint64(w, entry->sequence);
    writer_bytes(w, slice_make(key.data + shared, key.size - shared));
    if (entry->kind == ENTRY_PUT) {
        writer_varint64(w, entry->value.size);
        writer_bytes(w, entry->value);
    } else if (entry->kind != ENTRY_DELETE) {
        ASSERT(entry->kind == ENTRY_PUT_APART || entry->kind == ENTRY_PUT_LOG);
        if (entry->kind == ENTRY_PUT_LOG) writer_varint64(w, entry->place.file);
        writer_varint64(w, entry->place.offset);
        writer_varint64(w, entry->place.size);
        writer_le32(w, entry->place.crc);
    }
    writer_clear(&builder->last_key);
    writer_bytes(&builder->last_key, key);
    builder->count++;
}

size_t block_builder_size(const struct block_builder *builder) {
    return builder->bytes.size + builder->restarts.size + 4;
}

struct slice block_builder_finish(struct block_builder *builder) {
    writer_bytes(&builder->bytes, writer_slice(&builder->restarts));
    writer_le32(&builder->bytes, builder->restart_count);
    return writer_slice(&builder->bytes);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

enum status block_cursor_init(struct block_cursor *cursor, struct slice block) {
    cursor->entries = cursor->restarts = SLICE_EMPTY;
    cursor->restart_count = 0;
    cursor->at = cursor->next = 0;
    cursor->key_size = 0;
    if (block.size < 4) return STATUS_CORRUPT;
    uint32_t count = load_le32(block.data + block.size - 4);
    if (count > (block.size - 4) / 4) return STATUS_CORRUPT;
    size_t entries = block.size - 4 - (size_t)count * 4;
    if ((count == 0) != (entries == 0)) return STATUS_CORRUPT;
    cursor->entries = slice_make(block.data, entries);
    cursor->restarts = slice_make(block.data + entries, (size_t)count * 4);
    cursor->restart_count = count;
    cursor->at = cursor->next = entries;
    return STATUS_OK;
}

/* LEB128 of at most `bits` bits, as reader_varint32 and 64: NULL when it is cut off or has bits beyond. In
 * line, because a scan of small entries does little else. */
static inline const uint8_t *take_varint(const uint8_t *p, const uint8_t *end, unsigned bits,
                                         uint64_t *value) {
    if (p != NULL && p < end && *p < 0x80) {
        *value = *p;
        return p + 1;
    }
    *value = 0;
    for (unsigned shift = 0; p != NULL && p < end && shift < bits; shift += 7, p++) {
        uint64_t part = *p & 0x7f;
        if (bits - shift < 7 && part >> (bits - shift) != 0) return NULL;
        *value |= part << shift;
        if (*p < 0x80) return p + 1;
    }
    return NULL;
}

/* Reads the entry at `p` and returns where the next one begins; NULL: it makes no sense. */
static inline const uint8_t *parse_at(const uint8_t *p, const uint8_t *end, uint64_t *shared,
                                      struct slice *suffix, struct block_entry *entry) {
    uint64_t unshared, size = 0;
    p = take_varint(p, end, 32, shared);
    p = take_varint(p, end, 32, &unshared);
    if (p == NULL || p == end) return NULL;
    entry->kind = *p++;
    p = take_varint(p, end, 64, &entry->sequence);
    if (p == NULL || unshared > (uint64_t)(end - p)) return NULL;
    *suffix = slice_make(p, unshared);
    p += unshared;
    if (entry->kind == ENTRY_PUT) {
        p = take_varint(p, end, 32, &size);
        if (p == NULL || size > (uint64_t)(end - p)) return NULL;
        entry->value = slice_make(p, size);
        return p + size;
    }
    entry->value = SLICE_EMPTY;
    if (entry->kind == ENTRY_DELETE) return p;
    if (entry->kind != ENTRY_PUT_APART && entry->kind != ENTRY_PUT_LOG) return NULL;
    entry->place.file = 0;
    if (entry->kind == ENTRY_PUT_LOG) p = take_varint(p, end, 64, &entry->place.file);
    p = take_varint(p, end, 64, &entry->place.offset);
    p = take_varint(p, end, 32, &size);
    if (p == NULL || end - p < 4 || size > STORE_VALUE_SIZE_MAX) return NULL;
    entry->place.size = (uint32_t)size;
    entry->place.crc = load_le32(p);
    return p + 4;
}

/* Reads the entry at `offset` on top of the key before it. */
static enum status parse(struct block_cursor *cursor, size_t offset) {
    const uint8_t *start = cursor->entries.data, *end = start + cursor->entries.size;
    cursor->at = cursor->entries.size;
    if (offset == cursor->entries.size) return STATUS_END;
    uint64_t shared;
    struct slice suffix;
    const uint8_t *next = parse_at(start + offset, end, &shared, &suffix, &cursor->entry);
    if (next == NULL || shared > cursor->key_size || suffix.size > STORE_KEY_SIZE_MAX - shared)
        return STATUS_CORRUPT;
    if (suffix.size > 0) memcpy(cursor->key + shared, suffix.data, suffix.size);
    cursor->key_size = shared + suffix.size;
    cursor->at = offset;
    cursor->next = (size_t)(next - start);
    return STATUS_OK;
}

/* Starts at restart point `index`; its entry must hold its whole key. */
static enum status parse_restart(struct block_cursor *cursor, uint32_t index) {
    uint32_t offset = load_le32(cursor->restarts.data + (size_t)index * 4);
    if (offset >= cursor->entries.size) return STATUS_CORRUPT;
    cursor->key_size = 0;
    return parse(cursor, offset);
}

/* The key of restart point `index`, where it lies. */
static bool restart_key(const struct block_cursor *cursor, uint32_t index, struct slice *key) {
    const uint8_t *end = cursor->entries.data + cursor->entries.size;
    uint32_t offset = load_le32(cursor->restarts.data + (size_t)index * 4);
    if (offset >= cursor->entries.size) return false;
    uint64_t shared, size, sequence;
    const uint8_t *p = take_varint(cursor->entries.data + offset, end, 32, &shared);
    p = take_varint(p, end, 32, &size);
    if (p == NULL || p == end) return false;
    p = take_varint(p + 1, end, 64, &sequence);
    if (p == NULL || shared != 0 || size > (uint64_t)(end - p)) return false;
    *key = slice_make(p, size);
    return true;
}

bool block_next_place(struct slice entries, enum entry_kind kind, size_t *offset, struct value_place *place) {
    const uint8_t *p = entries.data + *offset, *end = entries.data + entries.size;
    while (p < end) {
        uint64_t shared;
        struct slice suffix;
        struct block_entry entry;
        p = parse_at(p, end, &shared, &suffix, &entry);
        if (p == NULL) return false;
        *offset = (size_t)(p - entries.data);
        if (entry.kind != kind) continue;
        *place = entry.place;
        return true;
    }
    return false;
}

enum status block_cursor_first(struct block_cursor *cursor) {
    return cursor->restart_count == 0 ? STATUS_END : parse_restart(cursor, 0);
}

enum status block_cursor_next(struct block_cursor *cursor) {
    ASSERT_LT(cursor->at, cursor->entries.size);
    return parse(cursor, cursor->next);
}

enum status block_cursor_last(struct block_cursor *cursor) {
    if (cursor->restart_count == 0) return STATUS_END;
    enum status status = parse_restart(cursor, cursor->restart_count - 1);
    while (status == STATUS_OK && cursor->next < cursor->entries.size)
        status = parse(cursor, cursor->next);
    return status;
}

/* Asks for what a search among restart points will look at, all of it at once: one after the other it would
 * wait for each. */
static void prefetch_restarts(const struct block_cursor *cursor, uint32_t low, uint32_t high) {
    for (uint32_t i = low + 1; i < high; i++) {
        size_t offset = load_le32(cursor->restarts.data + (size_t)i * 4);
        __builtin_prefetch(cursor->entries.data + MIN(offset, cursor->entries.size));
    }
}

/* To the last restart point whose key is < key (or the first one of all). */
static enum status seek_restart(struct block_cursor *cursor, struct slice key) {
    uint32_t low = 0, high = cursor->restart_count;
    cursor->at = cursor->entries.size;
    if (high <= RESTARTS_PREFETCHED) prefetch_restarts(cursor, low, high);
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        struct slice found;
        if (!restart_key(cursor, middle, &found)) return STATUS_CORRUPT;
        if (slice_compare(found, key) < 0)
            low = middle;
        else
            high = middle;
    }
    return parse_restart(cursor, low);
}

enum status block_cursor_seek(struct block_cursor *cursor, struct slice key) {
    if (cursor->restart_count == 0) return STATUS_END;
    enum status status = seek_restart(cursor, key);
    while (status == STATUS_OK && slice_compare(block_cursor_key(cursor), key) < 0)
        status = block_cursor_next(cursor);
    return status;
}

enum status block_cursor_prev(struct block_cursor *cursor) {
    ASSERT_LT(cursor->at, cursor->entries.size);
    size_t stop = cursor->at;
    if (stop == 0) {
        cursor->at = cursor->entries.size;
        return STATUS_END;
    }
    uint32_t low = 0, high = cursor->restart_count;
    while (high - low > 1) { /* the last restart point before the entry */
        uint32_t middle = low + (high - low) / 2;
        if (load_le32(cursor->restarts.data + (size_t)middle * 4) < stop)
            low = middle;
        else
            high = middle;
    }
    enum status status = parse_restart(cursor, low);
    while (status == STATUS_OK && cursor->next < stop)
        status = parse(cursor, cursor->next);
    if (status == STATUS_OK && cursor->next != stop) return STATUS_CORRUPT;
    return status;
}

enum status block_cursor_seek_prev(struct block_cursor *cursor, struct slice key) {
    enum status status = block_cursor_seek(cursor, key);
    if (status == STATUS_END) return block_cursor_last(cursor);
    if (status != STATUS_OK || slice_compare(block_cursor_key(cursor), key) == 0) return status;
    return block_cursor_prev(cursor);
}
