// SPDX-License-Identifier: Apache-2.0
/* keys.h: how the broker's data is named in the store (docs/formats.md).
 *
 *   [group u64][kind u8][rest], integers big-endian, so that one partition is one range and its log is in
 * offset order. Group 0 is the controller's.
 *
 *   META      -                                       log start offset, bytes deleted, commit hint
 *   LOG       last offset u64                         one record batch (group 0: one metadata command)
 *   TIME      max timestamp so far u64, last offset u64   one per stretch of log (struct time_entry)
 *   PRODUCER  producer id u64                         producer_state's entry
 *   STATE     the machine's own key                   the machine's own value
 *   RAFT      what u8, number u64                     what consensus keeps beside the log (raft_store.h)
 *
 * Loop    pure functions. Errors: a key or value that does not parse gives false: the store's data is
 * corrupt. */
#ifndef SENTINEL_BROKER_KEYS_H
#define SENTINEL_BROKER_KEYS_H

#include "base/cursor.h"

enum key_kind { KEY_META = 1, KEY_LOG, KEY_TIME, KEY_PRODUCER, KEY_STATE, KEY_RAFT, KEY_KIND_END };

#define KEY_GROUP_SIZE  8
#define KEY_PREFIX_SIZE 9
#define KEY_SIZE_MAX    850

struct key {
    uint8_t bytes[KEY_SIZE_MAX];
    size_t size;
};
static inline struct slice key_slice(const struct key *key) {
    return slice_make(key->bytes, key->size);
}

struct key key_prefix(uint64_t group, enum key_kind kind); /* the first key of a kind; META's only key */
struct key key_group_start(uint64_t group);                /* the first key of a group */
struct key key_log(uint64_t group, int64_t last_offset);
struct key key_time(uint64_t group, int64_t max_timestamp, int64_t last_offset);
struct key key_producer(uint64_t group, int64_t producer_id);
struct key key_state(uint64_t group, struct slice rest);
struct key key_raft(uint64_t group, uint8_t what, uint64_t number);

bool key_log_parse(struct slice key, int64_t *last_offset);
bool key_time_parse(struct slice key, int64_t *max_timestamp, int64_t *last_offset);
bool key_producer_parse(struct slice key, int64_t *producer_id);
bool key_raft_parse(struct slice key, uint8_t *what, uint64_t *number);
struct slice key_state_rest(struct slice key);

/* TIME value: the stretch of log that ends with the key's last offset. */
struct time_entry {
    int64_t first_offset;      /* where the stretch begins */
    int64_t max_timestamp;     /* of this stretch alone, where the key has it of all so far; -1: none */
    int64_t ended_ms;          /* the broker's wall clock then */
    uint64_t cumulative_bytes; /* of the partition since its beginning, this stretch included */
};
void time_entry_encode(const struct time_entry *entry, struct writer *out);
bool time_entry_decode(struct slice value, struct time_entry *entry);

/* META value. */
struct partition_meta {
    int64_t log_start_offset;
    uint64_t deleted_bytes; /* of cumulative_bytes, below the log start */
};
void partition_meta_encode(const struct partition_meta *meta, struct writer *out);
bool partition_meta_decode(struct slice value, struct partition_meta *meta);

#endif
