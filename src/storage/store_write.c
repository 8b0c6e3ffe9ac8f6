// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "storage/store_internal.h"

/* ---- filling a write --------------------------------------------------------------------------------- */

void store_write_init(struct store_write *write, void (*done)(struct store_write *write)) {
    *write = (struct store_write){.done = done};
    list_init(&write->link);
    STATIC_ASSERT(sizeof write->change_space >= STORE_WRITE_CHANGES * sizeof *write->changes,
                  "room for changes");
    STATIC_ASSERT(_Alignof(struct store_change) <= _Alignof(uint64_t), "aligned like numbers");
    write->changes = (struct store_change *)(void *)write->change_space;
    write->change_capacity = STORE_WRITE_CHANGES;
    writer_init_in(&write->keys, write->key_space, sizeof write->key_space);
}

static bool changes_inside(const struct store_write *write) {
    return (const void *)write->changes == (const void *)write->change_space;
}

static void drop_values(struct store_write *write) {
    for (uint32_t i = 0; i < write->change_count; i++)
        shared_slice_unref(write->changes[i].value);
    write->change_count = 0;
}

void store_write_clear(struct store_write *write) {
    ASSERT(list_empty(&write->link));
    drop_values(write);
    writer_clear(&write->keys);
    write->bytes = 0;
    write->sequence = 0;
    write->status = STATUS_OK;
}

void store_write_abandon(struct store_write *write) {
    list_remove(&write->link);
    store_write_release(write);
}

void store_write_release(struct store_write *write) {
    store_write_clear(write);
    if (!changes_inside(write)) mem_free(write->changes);
    writer_release(&write->keys);
    write->changes = NULL;
    write->change_capacity = 0;
}

static struct store_change *add_change(struct store_write *write, enum entry_kind kind, struct slice key) {
    ASSERT_LE(key.size, STORE_KEY_SIZE_MAX);
    ASSERT(list_empty(&write->link));
    if (write->change_count == write->change_capacity) {
        bool inside = changes_inside(write);
        write->change_capacity = MAX(write->change_capacity * 2, 4u);
        write->changes = mem_realloc(inside ? NULL : write->changes,
                                     write->change_capacity * sizeof *write->changes);
        if (inside) memcpy(write->changes, write->change_space, write->change_count * sizeof *write->changes);
    }
    struct store_change *change = &write->changes[write->change_count++];
    *change = (struct store_change){.kind = kind, .key_size = (uint16_t)key.size, .key_at = write->keys.size};
    writer_bytes(&write->keys, key);
    write->bytes += key.size;
    return change;
}

void store_put(struct store_write *write, struct slice key, struct shared_slice value) {
    ASSERT_LE(value.bytes.size, STORE_VALUE_SIZE_MAX);
    struct store_change *change = add_change(write, ENTRY_PUT, key);
    change->value = shared_slice_ref(value);
    if (value.owner == NULL) {
        change->value_at = write->keys.size;
        writer_bytes(&write->keys, value.bytes);
    }
    write->bytes += value.bytes.size;
}

void store_delete(struct store_write *write, struct slice key) {
    add_change(write, ENTRY_DELETE, key);
}

void store_delete_range(struct store_write *write, struct slice from, struct slice to) {
    ASSERT_LE(to.size, STORE_KEY_SIZE_MAX);
    struct store_change *change = add_change(write, ENTRY_DELETE_RANGE, from);
    change->to_size = (uint16_t)to.size;
    change->to_at = write->keys.size;
    writer_bytes(&write->keys, to);
    write->bytes += to.size;
}

/* ---- submitting -------------------------------------------------------------------------------------- */

static void refuse(struct store *store, struct store_write *write, enum status status) {
    write->status = status;
    list_push_back(&store->refused, &write->link);
    if (store->refusing) return;
    store->refusing = true;
    io_defer(store->io, &store->refuse);
}

static void remember(struct store *store, struct store_write *write) {
    uint64_t sequence = write->sequence;
    for (uint32_t i = 0; i < write->change_count; i++, sequence++) {
        struct store_change *change = &write->changes[i];
        struct slice key = store_change_key(write, change);
        if (change->kind == ENTRY_PUT) {
            struct memtable_value value = {.bytes = change->value, .crc = change->value_crc};
            memtable_put(store->active, key, sequence, &value);
        } else if (change->kind == ENTRY_DELETE) {
            memtable_delete(store->active, key, sequence);
        } else {
            memtable_delete_range(store->active, key, store_change_to(write, change), sequence);
        }
    }
}

/* Without a log a write is complete at once; it is told in the next phase, as its caller expects. */
static void submit_unlogged(struct store *store, struct store_write *write) {
    write->sequence = wal_skip(store->wal, write->change_count);
    for (uint32_t i = 0; i < write->change_count; i++) {
        struct store_change *change = &write->changes[i];
        if (change->kind != ENTRY_PUT) continue;
        if (change->value.owner == NULL) change->value.bytes.data = write->keys.data + change->value_at;
        struct slice value = change->value.bytes;
        if (value.size >= LAYOUT_APART_MIN) change->value_crc = crc32c(0, value.data, value.size);
    }
    remember(store, write);
    refuse(store, write, STATUS_OK);
}

void store_write_submit(struct store *store, struct store_write *write) {
    ASSERT(list_empty(&write->link) && write->change_count > 0);
    if (store->status != STATUS_OK || store->shutting_down || store->options.read_only) {
        refuse(store, write, store->status != STATUS_OK ? store->status : STATUS_CLOSED);
        return;
    }
    if (store->options.unlogged) {
        submit_unlogged(store, write);
    } else {
        wal_append(store->wal, write);
        remember(store, write);
    }
    drop_values(write); /* the memtable and the log hold what they need */
    store->stats.write_batches++;
    store->stats.write_bytes += write->bytes;
    if (memtable_used(store->active) >= store->options.memtable_bytes) {
        store_rotate(store);
        store_flush_start(store);
    }
    store_stall_after_write(store, write->bytes);
}

/* Takes back what the log could not make durable. */
static void roll_back(struct store *store) {
    uint64_t durable = wal_durable_sequence(store->wal);
    log_warn(store->log, "writes failed for want of room last_sequence=%" PRIu64, durable);
    for (uint32_t i = 0; i < store->immutable_count; i++)
        memtable_rollback(store->immutables[i], durable);
    memtable_rollback(store->active, durable);
    store_iterators_clip(store, durable);
    store_flush_clip(store, durable);
    /* An immutable memtable that lost everything is not flushed: it has nothing to say. */
    uint32_t kept = 0;
    for (uint32_t i = 0; i < store->immutable_count; i++) {
        if (store->immutables[i]->last_sequence == 0)
            memtable_unpin(store->immutables[i]);
        else
            store->immutables[kept++] = store->immutables[i];
    }
    store->immutable_count = kept;
}

void store_log_completed(void *ctx, enum status status, struct list *writes) {
    struct store *store = ctx;
    if (status == STATUS_NO_SPACE)
        roll_back(store);
    else if (status != STATUS_OK)
        store_fail(store, status);
    struct list *node;
    uint64_t bytes = 0;
    while ((node = list_pop_front(writes)) != NULL) {
        struct store_write *write = CONTAINER_OF(node, struct store_write, link);
        bytes += write->bytes;
        write->status = status;
        write->done(write);
    }
    store_stall_logged(store, bytes);
    if (store->status != STATUS_OK) return;
    store_watermark_later(store);
    store_flush_start(store);
}
