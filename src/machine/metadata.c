// SPDX-License-Identifier: Apache-2.0
#include "machine/metadata_internal.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

#define COMMAND_VERSION         1
#define COMMAND_VERSION_CLUSTER 2 /* node, incarnation and placement behind the rest */

/* ---- commands ----------------------------------------------------------------------------------------- */

void metadata_encode(const struct metadata_command *command, struct writer *out) {
    ASSERT_LE(command->config_count, (uint32_t)METADATA_CONFIGS_MAX);
    bool cluster = command->node != 0 || command->placement.size != 0;
    writer_u8(out, cluster ? COMMAND_VERSION_CLUSTER : COMMAND_VERSION);
    writer_u8(out, (uint8_t)command->kind);
    metadata_put_slice(out, command->name);
    writer_bytes(out, slice_make(command->id.bytes, sizeof command->id.bytes));
    writer_be32(out, (uint32_t)command->count);
    writer_be16(out, (uint16_t)command->replication);
    writer_varint64(out, command->config_count);
    for (uint32_t i = 0; i < command->config_count; i++) {
        metadata_put_slice(out, command->configs[i].name);
        metadata_put_slice(out, command->configs[i].value);
    }
    if (!cluster) return;
    writer_be32(out, command->node);
    writer_be32(out, command->incarnation);
    metadata_put_slice(out, command->placement);
}

enum status metadata_decode(struct slice bytes, struct metadata_command *command) {
    struct reader in = reader_make(bytes);
    *command = (struct metadata_command){0};
    uint8_t version = reader_u8(&in);
    if (version != COMMAND_VERSION && version != COMMAND_VERSION_CLUSTER) return STATUS_MALFORMED;
    command->kind = (enum metadata_kind)reader_u8(&in);
    command->name = metadata_take_slice(&in);
    struct slice id = reader_bytes(&in, sizeof command->id.bytes);
    if (id.size != 0) memcpy(command->id.bytes, id.data, id.size);
    command->count = (int32_t)reader_be32(&in);
    command->replication = (int16_t)reader_be16(&in);
    uint64_t config_count = reader_varint64(&in);
    if (config_count > METADATA_CONFIGS_MAX) return STATUS_MALFORMED;
    command->config_count = (uint32_t)config_count;
    for (uint32_t i = 0; i < command->config_count; i++) {
        command->configs[i].name = metadata_take_slice(&in);
        command->configs[i].value = metadata_take_slice(&in);
    }
    if (version == COMMAND_VERSION_CLUSTER) {
        command->node = reader_be32(&in);
        command->incarnation = reader_be32(&in);
        command->placement = metadata_take_slice(&in);
    }
    bool known = command->kind >= METADATA_INIT && command->kind < METADATA_KIND_END;
    return known && reader_ok(&in) && reader_remaining(&in) == 0 ? STATUS_OK : STATUS_MALFORMED;
}

/* ---- state -------------------------------------------------------------------------------------------- */

void metadata_init(struct metadata *m, uint64_t hash_seed) {
    *m = (struct metadata){.next_group = 1, .catch_up_rate = -1};
    map_init(&m->by_name, hash_seed);
    map_init(&m->by_id, hash_seed);
}

static void topic_free(struct metadata_topic *topic) {
    for (int32_t i = 0; topic->replicas != NULL && i < topic->partition_count; i++)
        mem_free(topic->replicas[i].move);
    mem_free(topic->name);
    mem_free(topic->groups);
    mem_free(topic->replicas);
    writer_release(&topic->configs);
    mem_free(topic);
}

void metadata_release(struct metadata *m) {
    MAP_FOREACH(it, &m->by_name) {
        topic_free(MAP_ENTRY(it)->value);
    }
    map_release(&m->by_name);
    map_release(&m->by_id);
    mem_free(m->nodes);
    m->nodes = NULL;
    m->node_count = 0;
}

void metadata_take(struct metadata *m, struct metadata *from) {
    metadata_release(m);
    *m = *from;
    map_take(&m->by_name, &from->by_name);
    map_take(&m->by_id, &from->by_id);
    metadata_init(from, m->by_name.seed);
}

const struct metadata_topic *metadata_find(const struct metadata *m, struct slice name) {
    return map_get(&m->by_name, name);
}

const struct metadata_topic *metadata_find_id(const struct metadata *m, struct uuid id) {
    return map_get(&m->by_id, slice_make(id.bytes, sizeof id.bytes));
}

enum status metadata_config_next(struct slice *rest, struct metadata_config *config) {
    if (rest->size == 0) return STATUS_END;
    struct reader in = reader_make(*rest);
    config->name = metadata_take_slice(&in);
    config->value = metadata_take_slice(&in);
    if (!reader_ok(&in)) return STATUS_MALFORMED;
    *rest = slice_make(in.pos, reader_remaining(&in));
    return STATUS_OK;
}

static void set_configs(struct metadata_topic *topic, const struct metadata_config *configs, uint32_t count) {
    writer_clear(&topic->configs);
    for (uint32_t i = 0; i < count; i++) {
        metadata_put_slice(&topic->configs, configs[i].name);
        metadata_put_slice(&topic->configs, configs[i].value);
    }
    topic->config_count = count;
}

struct metadata_topic *metadata_add_topic(struct metadata *m, struct slice name, struct uuid id) {
    struct metadata_topic *topic = mem_calloc(1, sizeof *topic);
    topic->name = mem_alloc(name.size + 1);
    memcpy(topic->name, name.data, name.size);
    topic->name[name.size] = '\0';
    topic->name_size = name.size;
    topic->id = id;
    writer_init(&topic->configs);
    ASSERT(map_put(&m->by_name, name, topic) == NULL);
    ASSERT(map_put(&m->by_id, slice_make(id.bytes, sizeof id.bytes), topic) == NULL);
    return topic;
}

static void remove_topic(struct metadata *m, struct metadata_topic *topic) {
    map_remove(&m->by_name, slice_make(topic->name, topic->name_size));
    map_remove(&m->by_id, slice_make(topic->id.bytes, sizeof topic->id.bytes));
    m->partition_total -= topic->partition_count;
    topic_free(topic);
}

/* ---- check -------------------------------------------------------------------------------------------- */

static enum status check_count(const struct metadata_command *command, int32_t have,
                               struct diagnostic *diagnostic) {
    if (command->count > METADATA_PARTITIONS_MAX)
        return diagnose(diagnostic, STATUS_INVALID_PARTITIONS, "%d partitions asked for, a topic may have %d",
                        command->count, METADATA_PARTITIONS_MAX);
    if (command->count <= have)
        return diagnose(diagnostic, STATUS_INVALID_PARTITIONS,
                        have == 0 ? "a topic needs at least one partition, %d asked for"
                                  : "partitions can only be added: %d asked for, the topic has %d",
                        command->count, have);
    return STATUS_OK;
}

/* `count` partitions, `replication` different nodes for each. */
enum status metadata_check_placement(const struct metadata *m, const struct metadata_command *command,
                                     int32_t count, int16_t replication, struct diagnostic *diagnostic) {
    if (command->placement.size == 0 && m->node_count == 0) return STATUS_OK;
    if (replication < 1 || replication > METADATA_REPLICAS_MAX)
        return diagnose(diagnostic, STATUS_INVALID_REPLICATION, "a partition has 1 to %d replicas, not %d",
                        METADATA_REPLICAS_MAX, replication);
    if (command->placement.size != (size_t)count * (size_t)replication * 4)
        return diagnose(diagnostic, STATUS_INVALID, "the placement does not fit %d partitions", count);
    for (size_t at = 0; at < command->placement.size; at += 4) {
        uint32_t node = load_be32(command->placement.data + at);
        size_t first = at - at % ((size_t)replication * 4);
        if (metadata_node(m, node) == NULL)
            return diagnose(diagnostic, STATUS_INVALID_REPLICATION, "there is no node %u", node);
        if (metadata_node(m, node)->incarnation == 0)
            return diagnose(diagnostic, STATUS_INVALID_REPLICATION, "node %u has not come yet", node);
        for (size_t other = first; other < at; other += 4)
            if (load_be32(command->placement.data + other) == node)
                return diagnose(diagnostic, STATUS_INVALID_REPLICATION,
                                "node %u cannot have two replicas of one partition", node);
    }
    return STATUS_OK;
}

static enum status check_create(const struct metadata *m, const struct metadata_command *command,
                                struct diagnostic *diagnostic) {
    if (command->name.size == 0 || command->name.size > METADATA_NAME_SIZE_MAX)
        return diagnose(diagnostic, STATUS_INVALID_TOPIC, "a topic name has 1 to %d characters, this one %zu",
                        METADATA_NAME_SIZE_MAX, command->name.size);
    if (metadata_find(m, command->name) != NULL)
        return diagnose(diagnostic, STATUS_EXISTS, "topic '%.*s' already exists", (int)command->name.size,
                        (const char *)command->name.data);
    if (uuid_is_zero(command->id) || metadata_find_id(m, command->id) != NULL)
        return diagnose(diagnostic, STATUS_INVALID, "the topic id is zero or taken");
    return check_count(command, 0, diagnostic);
}

/* What metadata_put_seen puts down. */
#define SEEN_VERSION 1

void metadata_put_seen(const struct metadata_topic *topic, struct writer *out) {
    writer_u8(out, SEEN_VERSION);
    writer_bytes(out, writer_slice(&topic->configs));
}

static bool was_made_from(const struct metadata_topic *topic, struct slice seen) {
    struct reader in = reader_make(seen);
    return reader_u8(&in) == SEEN_VERSION &&
           slice_equal(slice_make(in.pos, reader_remaining(&in)), writer_slice(&topic->configs));
}

static enum status check_topic_change(const struct metadata *m, const struct metadata_topic *topic,
                                      const struct metadata_command *command, struct diagnostic *diagnostic) {
    if (command->kind == METADATA_DELETE_TOPIC)
        return uuid_is_zero(command->id) || uuid_equal(command->id, topic->id)
                   ? STATUS_OK
                   : diagnose(diagnostic, STATUS_UNKNOWN_TOPIC_ID, "topic '%s' was made again", topic->name);
    if (command->kind == METADATA_SET_CONFIGS)
        return command->placement.size == 0 || was_made_from(topic, command->placement)
                   ? STATUS_OK
                   : diagnose(diagnostic, STATUS_BUSY, "the configuration of topic '%s' changes just now",
                              topic->name);
    if (command->kind != METADATA_ADD_PARTITIONS) return metadata_move_check(m, topic, command, diagnostic);
    enum status status = check_count(command, topic->partition_count, diagnostic);
    if (status == STATUS_OK && (topic->replicas == NULL) != (command->placement.size == 0))
        status = diagnose(diagnostic, STATUS_INVALID, "the placement does not fit topic '%s'", topic->name);
    if (status != STATUS_OK) return status;
    int16_t replication = command->replication > 0 ? command->replication : topic->replication;
    return metadata_check_placement(m, command, command->count - topic->partition_count, replication,
                                    diagnostic);
}

enum status metadata_check_name(const struct metadata *m, const struct metadata_command *command,
                                struct diagnostic *diagnostic) {
    if (command->kind == METADATA_CREATE_TOPIC) return check_create(m, command, diagnostic);
    const struct metadata_topic *topic = metadata_find(m, command->name);
    if (topic == NULL)
        return diagnose(diagnostic, STATUS_UNKNOWN_TOPIC, "topic '%.*s' does not exist",
                        (int)command->name.size, (const char *)command->name.data);
    if (command->kind == METADATA_SET_REPLICAS)
        return command->count >= 0 && command->count < topic->partition_count
                   ? STATUS_OK
                   : diagnose(diagnostic, STATUS_UNKNOWN_TOPIC, "topic '%s' has no partition %d", topic->name,
                              command->count);
    return check_count(command, topic->partition_count, diagnostic);
}

enum status metadata_check(const struct metadata *m, const struct metadata_command *command,
                           struct diagnostic *diagnostic) {
    const struct metadata_topic *topic = NULL;
    switch (command->kind) {
    case METADATA_INIT:
        if (m->cluster_id[0] != '\0')
            return diagnose(diagnostic, STATUS_EXISTS, "the cluster has an id already");
        if (command->name.size != METADATA_CLUSTER_ID_SIZE)
            return diagnose(diagnostic, STATUS_INVALID, "a cluster id has %d characters",
                            METADATA_CLUSTER_ID_SIZE);
        return STATUS_OK;
    case METADATA_CREATE_TOPIC: {
        enum status status = check_create(m, command, diagnostic);
        return status != STATUS_OK
                   ? status
                   : metadata_check_placement(m, command, command->count, command->replication, diagnostic);
    }
    case METADATA_TAKE_PRODUCERS:
        if (command->count <= 0 || m->next_producer_id > INT64_MAX - command->count)
            return diagnose(diagnostic, STATUS_INVALID, "no %d producer ids are left", command->count);
        return STATUS_OK;
    case METADATA_DELETE_TOPIC:
    case METADATA_SET_CONFIGS:
    case METADATA_SET_REPLICAS:
    case METADATA_CANCEL_MOVE:
    case METADATA_MOVED:
    case METADATA_DROPPED:
    case METADATA_ADD_PARTITIONS:
        topic = metadata_find(m, command->name);
        if (topic == NULL)
            return diagnose(diagnostic, STATUS_UNKNOWN_TOPIC, "topic '%.*s' does not exist",
                            (int)command->name.size, (const char *)command->name.data);
        return check_topic_change(m, topic, command, diagnostic);
    case METADATA_REGISTER_NODE:
    case METADATA_REMOVE_NODE:
    case METADATA_ADD_NODE:
    case METADATA_DRAIN_NODE:
        return metadata_node_check(m, command, diagnostic);
    case METADATA_SET_CATCH_UP_RATE:
        return command->placement.size == 8
                   ? STATUS_OK
                   : diagnose(diagnostic, STATUS_INVALID, "a rate is a number of bytes a second");
    case METADATA_KIND_END:
        break;
    }
    return STATUS_MALFORMED;
}

/* ---- apply -------------------------------------------------------------------------------------------- */

void metadata_effects_init(struct metadata_effects *effects) {
    *effects = (struct metadata_effects){.first_producer_id = -1};
    writer_init(&effects->bytes);
}

void metadata_effects_release(struct metadata_effects *effects) {
    writer_release(&effects->bytes);
    mem_free(effects->keys);
    mem_free(effects->dropped_groups);
    metadata_effects_init(effects);
}

static void grow_topic(struct metadata *m, struct metadata_topic *topic, int32_t count) {
    ASSERT(count > topic->partition_count);
    topic->groups = mem_realloc(topic->groups, (size_t)count * sizeof *topic->groups);
    m->partition_total += count - topic->partition_count;
    while (topic->partition_count < count)
        topic->groups[topic->partition_count++] = m->next_group++;
}

static void drop_topic(struct metadata *m, struct metadata_topic *topic, struct metadata_effects *effects) {
    metadata_save_topic_removed(topic, effects);
    effects->dropped_count = (uint32_t)topic->partition_count;
    effects->dropped_groups = topic->groups;
    topic->groups = NULL;
    remove_topic(m, topic);
}

void metadata_apply(struct metadata *m, uint64_t index, const struct metadata_command *command,
                    struct metadata_effects *effects) {
    ASSERT_EQ(index, m->applied_index + 1);
    ASSERT(metadata_check(m, command, NULL) == STATUS_OK);
    struct metadata_topic *topic = map_get(&m->by_name, command->name);
    m->applied_index = index;
    switch (command->kind) {
    case METADATA_INIT:
        memcpy(m->cluster_id, command->name.data, METADATA_CLUSTER_ID_SIZE);
        break;
    case METADATA_CREATE_TOPIC:
        topic = metadata_add_topic(m, command->name, command->id);
        topic->replication = command->replication;
        set_configs(topic, command->configs, command->config_count);
        grow_topic(m, topic, command->count);
        metadata_set_placement(m, topic, command->placement, 0);
        metadata_save_topic(topic, effects);
        break;
    case METADATA_DELETE_TOPIC:
        drop_topic(m, topic, effects);
        break;
    case METADATA_SET_CONFIGS:
        set_configs(topic, command->configs, command->config_count);
        metadata_save_topic(topic, effects);
        break;
    case METADATA_ADD_PARTITIONS: {
        int32_t first = topic->partition_count;
        grow_topic(m, topic, command->count);
        metadata_set_placement(m, topic, command->placement, first);
        metadata_save_topic(topic, effects);
        break;
    }
    case METADATA_SET_REPLICAS:
    case METADATA_CANCEL_MOVE:
    case METADATA_MOVED:
    case METADATA_DROPPED:
        metadata_move_apply(m, topic, command, effects);
        break;
    case METADATA_REGISTER_NODE:
    case METADATA_REMOVE_NODE:
    case METADATA_ADD_NODE:
    case METADATA_DRAIN_NODE:
        metadata_node_apply(m, command, effects);
        break;
    case METADATA_SET_CATCH_UP_RATE:
        m->catch_up_rate = MAX((int64_t)load_be64(command->placement.data), -1);
        metadata_save_settings(m, effects);
        break;
    case METADATA_TAKE_PRODUCERS:
        effects->first_producer_id = m->next_producer_id;
        m->next_producer_id += command->count;
        break;
    case METADATA_KIND_END:
        UNREACHABLE();
    }
    metadata_save_header(m, effects);
}
