// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"
#include "base/mem.h"
#include "lib/group_script.h"

static struct slice copy_of(struct slice bytes) {
    uint8_t *copy = mem_alloc(bytes.size + 1);
    if (bytes.size != 0) memcpy(copy, bytes.data, bytes.size);
    return slice_make(copy, bytes.size);
}

static void drop(struct slice bytes) {
    mem_free((void *)(uintptr_t)bytes.data);
}

static void remove_at(struct group_script_store *store, uint32_t at) {
    drop(store->keys[at].key);
    drop(store->keys[at].value);
    store->count--;
    memmove(&store->keys[at], &store->keys[at + 1], (store->count - at) * sizeof store->keys[0]);
}

static void apply_entry(struct group_script_store *store, const struct state_change_entry *entry) {
    uint32_t at = 0;
    while (at < store->count && slice_compare(store->keys[at].key, entry->key) < 0)
        at++;
    bool there = at < store->count && slice_equal(store->keys[at].key, entry->key);
    if (there) remove_at(store, at);
    if (entry->removed) return;
    ASSERT(store->count < GROUP_SCRIPT_KEYS_MAX);
    memmove(&store->keys[at + 1], &store->keys[at], (store->count - at) * sizeof store->keys[0]);
    store->keys[at].key = copy_of(entry->key);
    store->keys[at].value = copy_of(entry->value);
    store->count++;
}

/* Through its encoded form, as a log would carry it. */
void group_script_store_apply(struct group_script_store *store, const struct state_change *change) {
    struct writer encoded;
    writer_init(&encoded);
    state_change_encode(change, &encoded);
    struct slice rest = writer_slice(&encoded);
    struct state_change_entry entry;
    enum status status = state_change_begin(&rest);
    uint32_t count = 0;
    for (; status == STATUS_OK && (status = state_change_next(&rest, &entry)) == STATUS_OK; count++)
        apply_entry(store, &entry);
    ASSERT(status == STATUS_END);
    ASSERT_EQ(count, change->count);
    writer_release(&encoded);
}

void group_script_store_load(const struct group_script_store *store, struct group_machine *machine) {
    for (uint32_t i = 0; i < store->count; i++) {
        enum status status = group_load(machine, store->keys[i].key, store->keys[i].value);
        ASSERT(status == STATUS_OK);
    }
}

void group_script_store_release(struct group_script_store *store) {
    while (store->count > 0)
        remove_at(store, store->count - 1);
}
