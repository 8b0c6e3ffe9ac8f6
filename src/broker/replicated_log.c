// SPDX-License-Identifier: Apache-2.0
#include "broker/replicated_log.h"

#include "base/map.h"
#include "broker/keys.h"

#define VALUE_SIZE 24

static struct key state_key(uint64_t group) {
    return key_state(group, SLICE_LITERAL("h"));
}

static enum status load(struct replicated_log *log) {
    struct key key = state_key(log->group);
    struct shared_slice value;
    enum status status = store_get_blocking(log->store, key_slice(&key), &value);
    log->position = log->hash = log->entries = 0;
    if (status == STATUS_NOT_FOUND) return STATUS_OK;
    if (status != STATUS_OK) return status;
    struct reader in = reader_make(value.bytes);
    log->position = reader_be64(&in);
    log->hash = reader_be64(&in);
    log->entries = reader_be64(&in);
    bool ok = reader_ok(&in) && reader_remaining(&in) == 0;
    shared_slice_unref(value);
    return ok ? STATUS_OK : STATUS_CORRUPT;
}

enum status replicated_log_init(struct replicated_log *log, struct store *store, uint64_t group) {
    log->store = store;
    log->group = group;
    log->failed = STATUS_OK;
    return load(log);
}

static uint64_t chain_entry(uint64_t hash, const struct raft_entry *entry) {
    uint8_t head[25];
    store_be64(head, entry->base);
    store_be64(head + 8, entry->end);
    store_be64(head + 16, entry->term);
    head[24] = (uint8_t)entry->kind;
    return hash_bytes(hash_bytes(hash, slice_make(head, sizeof head)), entry->payload.bytes);
}

static void apply(void *ctx, const struct raft_entry *entries, uint32_t count, struct store_write *write) {
    struct replicated_log *log = ctx;
    for (uint32_t i = 0; i < count; i++) {
        log->hash = chain_entry(log->hash, &entries[i]);
        log->position = entries[i].end;
        if (entries[i].kind == RAFT_ENTRY_DATA) log->entries++;
        if (log->watch != NULL) log->watch(log->watch_ctx, log, &entries[i]);
    }
    uint8_t value[VALUE_SIZE];
    store_be64(value, log->position);
    store_be64(value + 8, log->hash);
    store_be64(value + 16, log->entries);
    struct key key = state_key(log->group);
    store_put(write, key_slice(&key), (struct shared_slice){slice_make(value, sizeof value), NULL});
}

static enum status installed(void *ctx, uint64_t end) {
    struct replicated_log *log = ctx;
    enum status status = load(log);
    return status == STATUS_OK && log->position != end ? STATUS_CORRUPT : status;
}

static void failed(void *ctx, enum status status) {
    struct replicated_log *log = ctx;
    log->failed = status;
}

static enum status reopened(void *ctx) {
    struct replicated_log *log = ctx;
    log->failed = load(log);
    return log->failed;
}

const struct raft_machine replicated_log_machine = {
    .apply = apply,
    .installed = installed,
    .failed = failed,
    .reopened = reopened,
    .snapshot_kinds = 1u << KEY_STATE,
};
