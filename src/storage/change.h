// SPDX-License-Identifier: Apache-2.0
/* change.h: one change of a store_write, as the store sees it inside. */
#ifndef SENTINEL_STORAGE_CHANGE_H
#define SENTINEL_STORAGE_CHANGE_H

#include "storage/layout.h"
#include "storage/store.h"

/* Keys, and values without an owner, lie in write->keys, which may move while the write is filled: hence
 * positions. The log resolves `value` to where the bytes stay (its chunk, or the caller's buffer). */
struct store_change {
    enum entry_kind kind; /* PUT, DELETE or DELETE_RANGE */
    uint16_t key_size, to_size;
    size_t key_at, to_at, value_at;
    struct shared_slice value;
    uint32_t value_crc; /* of a large value */
};

static inline struct slice store_change_key(const struct store_write *write,
                                            const struct store_change *change) {
    return slice_make(write->keys.data + change->key_at, change->key_size);
}
static inline struct slice store_change_to(const struct store_write *write,
                                           const struct store_change *change) {
    return slice_make(write->keys.data + change->to_at, change->to_size);
}

#endif
