// SPDX-License-Identifier: Apache-2.0
#include "broker/adopt.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/coordinator.h"
#include "broker/keys.h"
#include "wire/record_batch.h"

static struct store_iterator *open_range(const struct broker *broker, const struct key *lower,
                                         const struct key *upper) {
    return store_iterator_open(broker->store, key_slice(lower), key_slice(upper), STORE_ITERATOR_BLOCKING,
                               NULL, NULL);
}

/* OK, or END when the range is empty. */
static enum status read_edge(const struct broker *broker, const struct key *lower, const struct key *upper,
                             bool last, enum status (*read)(void *ctx, struct slice key, struct slice value),
                             void *ctx) {
    struct store_iterator *it = open_range(broker, lower, upper);
    enum status status = last ? store_iterator_seek_prev(it, key_slice(upper))
                              : store_iterator_seek(it, key_slice(lower));
    if (status == STATUS_OK) status = read(ctx, store_iterator_key(it), store_iterator_value(it).bytes);
    store_iterator_close(it);
    return status;
}

static enum status take_start(void *ctx, struct slice key, struct slice value) {
    struct raft_adopted *log = ctx;
    struct record_batch batch;
    if (key.size == 0 || record_batch_read_trusted(value, &batch) != STATUS_OK) return STATUS_CORRUPT;
    log->start = (uint64_t)batch.base_offset;
    return STATUS_OK;
}

static enum status take_end(void *ctx, struct slice key, struct slice value) {
    struct raft_adopted *log = ctx;
    int64_t last_offset;
    if (value.size == 0 || !key_log_parse(key, &last_offset) || last_offset < 0) return STATUS_CORRUPT;
    log->end = (uint64_t)last_offset + 1;
    return STATUS_OK;
}

static enum status take_time(void *ctx, struct slice key, struct slice value) {
    struct raft_adopted *log = ctx;
    int64_t timestamp, last_offset;
    if (value.size == 0 || !key_time_parse(key, &timestamp, &last_offset) || last_offset < 0)
        return STATUS_CORRUPT;
    log->end = (uint64_t)last_offset + 1;
    return STATUS_OK;
}

/* Records may all be gone: then the log is empty where the next one will be. */
static enum status find_end(const struct broker *broker, uint64_t group, struct raft_adopted *log) {
    struct key meta = key_prefix(group, KEY_META), time = key_prefix(group, KEY_TIME),
               producer = key_prefix(group, KEY_PRODUCER);
    struct partition_meta stored = {0};
    struct shared_slice value;
    enum status status = store_get_blocking(broker->store, key_slice(&meta), &value);
    if (status == STATUS_OK) {
        if (!partition_meta_decode(value.bytes, &stored) || stored.log_start_offset < 0)
            status = STATUS_CORRUPT;
        shared_slice_unref(value);
    }
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) return status;
    status = read_edge(broker, &time, &producer, true, take_time, log);
    if (status != STATUS_OK && status != STATUS_END) return status;
    log->start = log->end = MAX(log->end, (uint64_t)stored.log_start_offset);
    return STATUS_OK;
}

static enum status adopt_partition(const struct broker *broker, uint64_t group,
                                   const struct raft_config *alone, struct store_write *write) {
    struct raft_adopted log = {0};
    struct key lower = key_prefix(group, KEY_LOG), upper = key_prefix(group, KEY_TIME);
    enum status status = read_edge(broker, &lower, &upper, false, take_start, &log);
    if (status == STATUS_OK) status = read_edge(broker, &lower, &upper, true, take_end, &log);
    if (status == STATUS_END) status = find_end(broker, group, &log);
    if (status == STATUS_OK) raft_store_adopt(write, group, &log, alone);
    return status;
}

/* A group whose state is in its keys: what was logged goes. The log begins behind position 0, so that a
 * member that has nothing is sent the state. */
static void adopt_machine(uint64_t group, uint64_t position, const struct raft_config *alone,
                          struct store_write *write) {
    ASSERT(position > 0);
    struct key lower = key_prefix(group, KEY_LOG), upper = key_prefix(group, KEY_TIME);
    struct raft_adopted log = {position, position};
    store_delete_range(write, key_slice(&lower), key_slice(&upper));
    raft_store_adopt(write, group, &log, alone);
}

static void put_metadata(struct cluster *cluster, struct store_write *write) {
    struct metadata_effects effects;
    metadata_effects_init(&effects);
    metadata_adopt(&cluster->broker->metadata, cluster->node, &effects);
    for (uint32_t i = 0; i < effects.key_count; i++) {
        const uint8_t *bytes = effects.bytes.data;
        struct key key = key_state(0, slice_make(bytes + effects.keys[i].key_at, effects.keys[i].key_size));
        struct slice value = slice_make(bytes + effects.keys[i].value_at, effects.keys[i].value_size);
        store_put(write, key_slice(&key), (struct shared_slice){value, NULL});
    }
    metadata_effects_release(&effects);
}

static enum status adopt_partitions(const struct broker *broker, const struct raft_config *alone,
                                    struct store_write *write, struct diagnostic *diagnostic) {
    MAP_FOREACH(it, &broker->metadata.by_name) {
        const struct metadata_topic *topic = MAP_ENTRY(it)->value;
        for (int32_t i = 0; i < topic->partition_count; i++) {
            enum status status = adopt_partition(broker, topic->groups[i], alone, write);
            if (status != STATUS_OK)
                return diagnose(diagnostic, status, "partition %d of topic '%s' cannot be read: %s", i,
                                topic->name, status_text(status));
        }
    }
    return STATUS_OK;
}

enum status adopt_groups(struct cluster *cluster, struct store_write *write, struct diagnostic *diagnostic) {
    struct broker *broker = cluster->broker;
    struct raft_config *alone = mem_calloc(1, raft_config_size(1));
    alone->member_count = 1;
    alone->members[0] = (struct raft_member){raft_id(cluster->node, cluster->incarnation), RAFT_VOTER};
    enum status status = adopt_partitions(broker, alone, write, diagnostic);
    if (status == STATUS_OK) {
        adopt_machine(0, MAX(broker->metadata.applied_index, (uint64_t)1), alone, write);
        put_metadata(cluster, write);
    }
    for (uint32_t i = 0; i < COORDINATOR_COUNT && status == STATUS_OK; i++) {
        struct key meta = key_prefix(COORDINATOR_GROUP_FIRST + i, KEY_META);
        store_delete(write, key_slice(&meta));
        adopt_machine(COORDINATOR_GROUP_FIRST + i, 1, alone, write);
    }
    mem_free(alone);
    return status;
}
