// SPDX-License-Identifier: Apache-2.0
#include "broker/keys.h"

#include "base/assert.h"

#define VALUE_VERSION 1

static struct key begin(uint64_t group, uint8_t kind) {
    struct key key;
    store_be64(key.bytes, group);
    key.bytes[KEY_GROUP_SIZE] = kind;
    key.size = KEY_PREFIX_SIZE;
    return key;
}

static void add_u64(struct key *key, uint64_t value) {
    store_be64(key->bytes + key->size, value);
    key->size += 8;
}

struct key key_prefix(uint64_t group, enum key_kind kind) {
    return begin(group, (uint8_t)kind);
}

struct key key_group_start(uint64_t group) {
    struct key key = begin(group, 0);
    key.size = KEY_GROUP_SIZE;
    return key;
}

struct key key_log(uint64_t group, int64_t last_offset) {
    ASSERT(last_offset >= 0);
    struct key key = begin(group, KEY_LOG);
    add_u64(&key, (uint64_t)last_offset);
    return key;
}

struct key key_time(uint64_t group, int64_t max_timestamp, int64_t last_offset) {
    ASSERT(max_timestamp >= 0 && last_offset >= 0);
    struct key key = begin(group, KEY_TIME);
    add_u64(&key, (uint64_t)max_timestamp);
    add_u64(&key, (uint64_t)last_offset);
    return key;
}

struct key key_producer(uint64_t group, int64_t producer_id) {
    ASSERT(producer_id >= 0);
    struct key key = begin(group, KEY_PRODUCER);
    add_u64(&key, (uint64_t)producer_id);
    return key;
}

struct key key_state(uint64_t group, struct slice rest) {
    ASSERT_LE(rest.size, (size_t)(KEY_SIZE_MAX - KEY_PREFIX_SIZE));
    struct key key = begin(group, KEY_STATE);
    if (rest.size != 0) memcpy(key.bytes + key.size, rest.data, rest.size);
    key.size += rest.size;
    return key;
}

struct key key_raft(uint64_t group, uint8_t what, uint64_t number) {
    struct key key = begin(group, KEY_RAFT);
    key.bytes[key.size++] = what;
    add_u64(&key, number);
    return key;
}

static bool parse(struct slice key, enum key_kind kind, unsigned count, int64_t **numbers) {
    if (key.size != KEY_PREFIX_SIZE + 8 * count || key.data[KEY_GROUP_SIZE] != kind) return false;
    for (unsigned i = 0; i < count; i++) {
        uint64_t value = load_be64(key.data + KEY_PREFIX_SIZE + 8 * i);
        if (value > INT64_MAX) return false;
        *numbers[i] = (int64_t)value;
    }
    return true;
}

bool key_log_parse(struct slice key, int64_t *last_offset) {
    return parse(key, KEY_LOG, 1, (int64_t *[]){last_offset});
}

bool key_time_parse(struct slice key, int64_t *max_timestamp, int64_t *last_offset) {
    return parse(key, KEY_TIME, 2, (int64_t *[]){max_timestamp, last_offset});
}

bool key_producer_parse(struct slice key, int64_t *producer_id) {
    return parse(key, KEY_PRODUCER, 1, (int64_t *[]){producer_id});
}

bool key_raft_parse(struct slice key, uint8_t *what, uint64_t *number) {
    if (key.size != KEY_PREFIX_SIZE + 9 || key.data[KEY_GROUP_SIZE] != KEY_RAFT) return false;
    *what = key.data[KEY_PREFIX_SIZE];
    *number = load_be64(key.data + KEY_PREFIX_SIZE + 1);
    return true;
}

struct slice key_state_rest(struct slice key) {
    ASSERT(key.size >= KEY_PREFIX_SIZE);
    return slice_make(key.data + KEY_PREFIX_SIZE, key.size - KEY_PREFIX_SIZE);
}

void time_entry_encode(const struct time_entry *entry, struct writer *out) {
    writer_u8(out, VALUE_VERSION);
    writer_be64(out, (uint64_t)entry->first_offset);
    writer_be64(out, (uint64_t)entry->max_timestamp);
    writer_be64(out, (uint64_t)entry->ended_ms);
    writer_be64(out, entry->cumulative_bytes);
}

bool time_entry_decode(struct slice value, struct time_entry *entry) {
    struct reader in = reader_make(value);
    uint8_t version = reader_u8(&in);
    entry->first_offset = (int64_t)reader_be64(&in);
    entry->max_timestamp = (int64_t)reader_be64(&in);
    entry->ended_ms = (int64_t)reader_be64(&in);
    entry->cumulative_bytes = reader_be64(&in);
    return reader_ok(&in) && version == VALUE_VERSION && reader_remaining(&in) == 0 &&
           entry->first_offset >= 0;
}

void partition_meta_encode(const struct partition_meta *meta, struct writer *out) {
    writer_u8(out, VALUE_VERSION);
    writer_be64(out, (uint64_t)meta->log_start_offset);
    writer_be64(out, meta->deleted_bytes);
}

bool partition_meta_decode(struct slice value, struct partition_meta *meta) {
    struct reader in = reader_make(value);
    uint8_t version = reader_u8(&in);
    meta->log_start_offset = (int64_t)reader_be64(&in);
    meta->deleted_bytes = reader_be64(&in);
    return reader_ok(&in) && version == VALUE_VERSION && reader_remaining(&in) == 0 &&
           meta->log_start_offset >= 0;
}
