// SPDX-License-Identifier: Apache-2.0
#include "machine/state_change.h"

#include "base/assert.h"

#define CHANGE_VERSION 1
#define ENTRY_REMOVED  0
#define ENTRY_PUT      1

void state_change_init(struct state_change *change) {
    *change = (struct state_change){0};
    writer_init(&change->bytes);
}

void state_change_release(struct state_change *change) {
    writer_release(&change->bytes);
    state_change_init(change);
}

void state_change_clear(struct state_change *change) {
    writer_clear(&change->bytes);
    change->value_at = 0;
    change->count = 0;
}

static void begin(struct state_change *change, uint8_t kind, struct slice key) {
    ASSERT_EQ(change->value_at, (size_t)0);
    ASSERT(key.size > 0 && key.size <= STATE_CHANGE_KEY_MAX);
    writer_u8(&change->bytes, kind);
    writer_be16(&change->bytes, (uint16_t)key.size);
    writer_bytes(&change->bytes, key);
    change->count++;
}

void state_change_remove(struct state_change *change, struct slice key) {
    begin(change, ENTRY_REMOVED, key);
}

struct writer *state_change_put(struct state_change *change, struct slice key) {
    begin(change, ENTRY_PUT, key);
    writer_be32(&change->bytes, 0);
    change->value_at = change->bytes.size;
    return &change->bytes;
}

void state_change_end(struct state_change *change) {
    ASSERT(change->value_at != 0);
    writer_patch_be32(&change->bytes, change->value_at - 4,
                      (uint32_t)(change->bytes.size - change->value_at));
    change->value_at = 0;
}

void state_change_encode(const struct state_change *change, struct writer *out) {
    ASSERT_EQ(change->value_at, (size_t)0);
    writer_u8(out, CHANGE_VERSION);
    writer_bytes(out, writer_slice(&change->bytes));
}

enum status state_change_begin(struct slice *rest) {
    struct reader in = reader_make(*rest);
    if (reader_u8(&in) != CHANGE_VERSION) return STATUS_MALFORMED;
    *rest = slice_make(in.pos, reader_remaining(&in));
    return STATUS_OK;
}

enum status state_change_next(struct slice *rest, struct state_change_entry *entry) {
    if (rest->size == 0) return STATUS_END;
    struct reader in = reader_make(*rest);
    uint8_t kind = reader_u8(&in);
    entry->key = reader_bytes(&in, reader_be16(&in));
    entry->removed = kind == ENTRY_REMOVED;
    entry->value = entry->removed ? SLICE_EMPTY : reader_bytes(&in, reader_be32(&in));
    if (!reader_ok(&in) || kind > ENTRY_PUT || entry->key.size == 0 || entry->key.size > STATE_CHANGE_KEY_MAX)
        return STATUS_MALFORMED;
    *rest = slice_make(in.pos, reader_remaining(&in));
    return STATUS_OK;
}
