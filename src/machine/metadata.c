// SPDX-License-Identifier: Apache-2.0
#include "machine/metadata.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

#define COMMAND_VERSION         1
#define COMMAND_VERSION_CLUSTER 2 /* node, incarnation and placement behind the rest */
#define STATE_VERSION           1
#define STATE_VERSION_CLUSTER   2 /* a topic with its placement */
#define KEY_NODE                'n'
#define KEY_HEADER              'm'
#define KEY_TOPIC               't'

/* ---- commands ----------------------------------------------------------------------------------------- */

static void put_slice(struct writer *out, struct slice bytes) {
    writer_varint64(out, bytes.size);
    writer_bytes(out, bytes);
}

static struct slice take_slice(struct reader *in) {
    return reader_bytes(in, reader_varint64(in));
}

void metadata_encode(const struct metadata_command *command, struct writer *out) {
    ASSERT_LE(command->config_count, (uint32_t)METADATA_CONFIGS_MAX);
    bool cluster = command->node != 0 || command->placement.size != 0;
    writer_u8(out, cluster ? COMMAND_VERSION_CLUSTER : COMMAND_VERSION);
    writer_u8(out, (uint8_t)command->kind);
    put_slice(out, command->name);
    writer_bytes(out, slice_make(command->id.bytes, sizeof command->id.bytes));
    writer_be32(out, (uint32_t)command->count);
    writer_be16(out, (uint16_t)command->replication);
    writer_varint64(out, command->config_count);
    for (uint32_t i = 0; i < command->config_count; i++) {
        put_slice(out, command->configs[i].name);
        put_slice(out, command->configs[i].value);
    }
    if (!cluster) return;
    writer_be32(out, command->node);
    writer_be32(out, command->incarnation);
    put_slice(out, command->placement);
}

enum status metadata_decode(struct slice bytes, struct metadata_command *command) {
    struct reader in = reader_make(bytes);
    *command = (struct metadata_command){0};
    uint8_t version = reader_u8(&in);
    if (version != COMMAND_VERSION && version != COMMAND_VERSION_CLUSTER) return STATUS_MALFORMED;
    command->kind = (enum metadata_kind)reader_u8(&in);
    command->name = take_slice(&in);
    struct slice id = reader_bytes(&in, sizeof command->id.bytes);
    if (id.size != 0) memcpy(command->id.bytes, id.data, id.size);
    command->count = (int32_t)reader_be32(&in);
    command->replication = (int16_t)reader_be16(&in);
    uint64_t config_count = reader_varint64(&in);
    if (config_count > METADATA_CONFIGS_MAX) return STATUS_MALFORMED;
    command->config_count = (uint32_t)config_count;
    for (uint32_t i = 0; i < command->config_count; i++) {
        command->configs[i].name = take_slice(&in);
        command->configs[i].value = take_slice(&in);
    }
    if (version == COMMAND_VERSION_CLUSTER) {
        command->node = reader_be32(&in);
        command->incarnation = reader_be32(&in);
        command->placement = take_slice(&in);
    }
    bool known = command->kind >= METADATA_INIT && command->kind < METADATA_KIND_END;
    return known && reader_ok(&in) && reader_remaining(&in) == 0 ? STATUS_OK : STATUS_MALFORMED;
}

/* ---- state -------------------------------------------------------------------------------------------- */

void metadata_init(struct metadata *m, uint64_t hash_seed) {
    *m = (struct metadata){.next_group = 1};
    map_init(&m->by_name, hash_seed);
    map_init(&m->by_id, hash_seed);
}

static void topic_free(struct metadata_topic *topic) {
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

const struct metadata_topic *metadata_find(const struct metadata *m, struct slice name) {
    return map_get(&m->by_name, name);
}

const struct metadata_topic *metadata_find_id(const struct metadata *m, struct uuid id) {
    return map_get(&m->by_id, slice_make(id.bytes, sizeof id.bytes));
}

const struct metadata_node *metadata_node(const struct metadata *m, uint32_t node) {
    for (uint32_t i = 0; i < m->node_count; i++)
        if (m->nodes[i].node == node) return &m->nodes[i];
    return NULL;
}

enum status metadata_config_next(struct slice *rest, struct metadata_config *config) {
    if (rest->size == 0) return STATUS_END;
    struct reader in = reader_make(*rest);
    config->name = take_slice(&in);
    config->value = take_slice(&in);
    if (!reader_ok(&in)) return STATUS_MALFORMED;
    *rest = slice_make(in.pos, reader_remaining(&in));
    return STATUS_OK;
}

static void set_configs(struct metadata_topic *topic, const struct metadata_config *configs, uint32_t count) {
    writer_clear(&topic->configs);
    for (uint32_t i = 0; i < count; i++) {
        put_slice(&topic->configs, configs[i].name);
        put_slice(&topic->configs, configs[i].value);
    }
    topic->config_count = count;
}

static struct metadata_topic *add_topic(struct metadata *m, struct slice name, struct uuid id) {
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
static enum status check_placement(const struct metadata *m, const struct metadata_command *command,
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
        for (size_t other = first; other < at; other += 4)
            if (load_be32(command->placement.data + other) == node)
                return diagnose(diagnostic, STATUS_INVALID_REPLICATION,
                                "node %u cannot have two replicas of one partition", node);
    }
    return STATUS_OK;
}

static enum status check_replicas(const struct metadata *m, const struct metadata_topic *topic,
                                  const struct metadata_command *command, struct diagnostic *diagnostic) {
    if (topic->replicas == NULL)
        return diagnose(diagnostic, STATUS_INVALID, "topic '%s' is not replicated", topic->name);
    if (command->count < 0 || command->count >= topic->partition_count)
        return diagnose(diagnostic, STATUS_UNKNOWN_TOPIC, "topic '%s' has no partition %d", topic->name,
                        command->count);
    if (command->placement.size == 0 || command->placement.size % 4 != 0 ||
        command->placement.size / 4 > METADATA_REPLICAS_MAX)
        return diagnose(diagnostic, STATUS_INVALID_REPLICATION, "a partition has 1 to %d replicas",
                        METADATA_REPLICAS_MAX);
    return check_placement(m, command, 1, (int16_t)(command->placement.size / 4), diagnostic);
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

static enum status check_node(const struct metadata *m, const struct metadata_command *command,
                              struct diagnostic *diagnostic) {
    if (command->node == 0 || command->node > INT32_MAX)
        return diagnose(diagnostic, STATUS_INVALID, "a node's number is 1 to %d", INT32_MAX);
    if (command->kind == METADATA_REMOVE_NODE)
        return metadata_node(m, command->node) != NULL
                   ? STATUS_OK
                   : diagnose(diagnostic, STATUS_NOT_FOUND, "there is no node %u", command->node);
    if (command->name.size == 0 || command->name.size > METADATA_ADDRESS_SIZE_MAX ||
        memchr(command->name.data, '\0', command->name.size) != NULL)
        return diagnose(diagnostic, STATUS_INVALID, "the address of node %u has no fitting size",
                        command->node);
    if (metadata_node(m, command->node) == NULL && m->node_count == METADATA_NODES_MAX)
        return diagnose(diagnostic, STATUS_INVALID, "a cluster has at most %d nodes", METADATA_NODES_MAX);
    return STATUS_OK;
}

static enum status check_topic_change(const struct metadata *m, const struct metadata_topic *topic,
                                      const struct metadata_command *command, struct diagnostic *diagnostic) {
    if (command->kind == METADATA_SET_REPLICAS) return check_replicas(m, topic, command, diagnostic);
    if (command->kind != METADATA_ADD_PARTITIONS) return STATUS_OK;
    enum status status = check_count(command, topic->partition_count, diagnostic);
    if (status == STATUS_OK && (topic->replicas == NULL) != (command->placement.size == 0))
        status = diagnose(diagnostic, STATUS_INVALID, "the placement does not fit topic '%s'", topic->name);
    if (status != STATUS_OK) return status;
    return check_placement(m, command, command->count - topic->partition_count, topic->replication,
                           diagnostic);
}

enum status metadata_check_name(const struct metadata *m, const struct metadata_command *command,
                                struct diagnostic *diagnostic) {
    if (command->kind == METADATA_CREATE_TOPIC) return check_create(m, command, diagnostic);
    const struct metadata_topic *topic = metadata_find(m, command->name);
    if (topic == NULL)
        return diagnose(diagnostic, STATUS_UNKNOWN_TOPIC, "topic '%.*s' does not exist",
                        (int)command->name.size, (const char *)command->name.data);
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
                   : check_placement(m, command, command->count, command->replication, diagnostic);
    }
    case METADATA_TAKE_PRODUCERS:
        if (command->count <= 0 || m->next_producer_id > INT64_MAX - command->count)
            return diagnose(diagnostic, STATUS_INVALID, "no %d producer ids are left", command->count);
        return STATUS_OK;
    case METADATA_DELETE_TOPIC:
    case METADATA_SET_CONFIGS:
    case METADATA_SET_REPLICAS:
    case METADATA_ADD_PARTITIONS:
        topic = metadata_find(m, command->name);
        if (topic == NULL)
            return diagnose(diagnostic, STATUS_UNKNOWN_TOPIC, "topic '%.*s' does not exist",
                            (int)command->name.size, (const char *)command->name.data);
        return check_topic_change(m, topic, command, diagnostic);
    case METADATA_REGISTER_NODE:
    case METADATA_REMOVE_NODE:
        return check_node(m, command, diagnostic);
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
    mem_free(effects->dropped_groups);
    metadata_effects_init(effects);
}

static size_t begin_key(struct metadata_effects *effects, uint8_t tag, struct slice name, bool removed) {
    ASSERT(effects->key_count < ARRAY_COUNT(effects->keys));
    size_t index = effects->key_count++;
    effects->keys[index].key_at = effects->bytes.size;
    writer_u8(&effects->bytes, tag);
    writer_bytes(&effects->bytes, name);
    effects->keys[index].key_size = effects->bytes.size - effects->keys[index].key_at;
    effects->keys[index].value_at = effects->bytes.size;
    effects->keys[index].removed = removed;
    return index;
}

static void end_key(struct metadata_effects *effects, size_t index) {
    effects->keys[index].value_size = effects->bytes.size - effects->keys[index].value_at;
}

static void save_header(const struct metadata *m, struct metadata_effects *effects) {
    size_t index = begin_key(effects, KEY_HEADER, SLICE_EMPTY, false);
    struct writer *out = &effects->bytes;
    writer_u8(out, STATE_VERSION);
    writer_be64(out, m->applied_index);
    writer_be64(out, m->next_group);
    writer_be64(out, (uint64_t)m->next_producer_id);
    put_slice(out, slice_from_text(m->cluster_id));
    end_key(effects, index);
}

static void save_topic(const struct metadata_topic *topic, struct metadata_effects *effects) {
    size_t index = begin_key(effects, KEY_TOPIC, slice_make(topic->name, topic->name_size), false);
    struct writer *out = &effects->bytes;
    writer_u8(out, topic->replicas == NULL ? STATE_VERSION : STATE_VERSION_CLUSTER);
    writer_bytes(out, slice_make(topic->id.bytes, sizeof topic->id.bytes));
    writer_be16(out, (uint16_t)topic->replication);
    writer_varint64(out, (uint64_t)topic->partition_count);
    for (int32_t i = 0; i < topic->partition_count; i++)
        writer_varint64(out, i == 0 ? topic->groups[0] : topic->groups[i] - topic->groups[i - 1]);
    for (int32_t i = 0; topic->replicas != NULL && i < topic->partition_count; i++) {
        writer_u8(out, topic->replicas[i].count);
        for (uint32_t n = 0; n < topic->replicas[i].count; n++)
            writer_be32(out, topic->replicas[i].nodes[n]);
    }
    writer_varint64(out, topic->config_count);
    writer_bytes(out, writer_slice(&topic->configs));
    end_key(effects, index);
}

static struct slice node_name(uint32_t node, uint8_t bytes[4]) {
    store_be32(bytes, node);
    return slice_make(bytes, 4);
}

static void save_node(const struct metadata_node *node, struct metadata_effects *effects) {
    uint8_t name[4];
    size_t index = begin_key(effects, KEY_NODE, node_name(node->node, name), false);
    writer_u8(&effects->bytes, STATE_VERSION);
    writer_be32(&effects->bytes, node->incarnation);
    put_slice(&effects->bytes, slice_from_text(node->address));
    end_key(effects, index);
}

static void set_node(struct metadata *m, uint32_t number, uint32_t incarnation, struct slice address) {
    uint32_t at = 0;
    while (at < m->node_count && m->nodes[at].node < number)
        at++;
    if (at == m->node_count || m->nodes[at].node != number) {
        m->nodes = mem_realloc(m->nodes, (m->node_count + 1) * sizeof *m->nodes);
        memmove(&m->nodes[at + 1], &m->nodes[at], (m->node_count - at) * sizeof *m->nodes);
        m->node_count++;
    }
    m->nodes[at] = (struct metadata_node){.node = number, .incarnation = incarnation};
    memcpy(m->nodes[at].address, address.data, address.size);
}

static void drop_node(struct metadata *m, uint32_t number, struct metadata_effects *effects) {
    uint8_t name[4];
    uint32_t at = (uint32_t)(metadata_node(m, number) - m->nodes);
    m->node_count--;
    memmove(&m->nodes[at], &m->nodes[at + 1], (m->node_count - at) * sizeof *m->nodes);
    size_t index = begin_key(effects, KEY_NODE, node_name(number, name), true);
    end_key(effects, index);
}

static void take_replicas(struct metadata_replicas *to, struct slice placement, size_t at, size_t count) {
    to->count = (uint8_t)count;
    for (size_t i = 0; i < count; i++)
        to->nodes[i] = load_be32(placement.data + (at + i) * 4);
}

/* Partitions from `first` on. */
static void set_placement(struct metadata_topic *topic, struct slice placement, int32_t first) {
    if (placement.size == 0) return;
    size_t count = (size_t)topic->partition_count;
    size_t replication = placement.size / 4 / (count - (size_t)first);
    topic->replicas = mem_realloc(topic->replicas, count * sizeof *topic->replicas);
    memset(&topic->replicas[first], 0, (count - (size_t)first) * sizeof *topic->replicas);
    for (size_t i = (size_t)first; i < count; i++)
        take_replicas(&topic->replicas[i], placement, (i - (size_t)first) * replication, replication);
}

static void grow_topic(struct metadata *m, struct metadata_topic *topic, int32_t count) {
    ASSERT(count > topic->partition_count);
    topic->groups = mem_realloc(topic->groups, (size_t)count * sizeof *topic->groups);
    m->partition_total += count - topic->partition_count;
    while (topic->partition_count < count)
        topic->groups[topic->partition_count++] = m->next_group++;
}

static void drop_topic(struct metadata *m, struct metadata_topic *topic, struct metadata_effects *effects) {
    size_t index = begin_key(effects, KEY_TOPIC, slice_make(topic->name, topic->name_size), true);
    end_key(effects, index);
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
        topic = add_topic(m, command->name, command->id);
        topic->replication = command->replication;
        set_configs(topic, command->configs, command->config_count);
        grow_topic(m, topic, command->count);
        set_placement(topic, command->placement, 0);
        save_topic(topic, effects);
        break;
    case METADATA_DELETE_TOPIC:
        drop_topic(m, topic, effects);
        break;
    case METADATA_SET_CONFIGS:
        set_configs(topic, command->configs, command->config_count);
        save_topic(topic, effects);
        break;
    case METADATA_ADD_PARTITIONS: {
        int32_t first = topic->partition_count;
        grow_topic(m, topic, command->count);
        set_placement(topic, command->placement, first);
        save_topic(topic, effects);
        break;
    }
    case METADATA_SET_REPLICAS:
        take_replicas(&topic->replicas[command->count], command->placement, 0, command->placement.size / 4);
        save_topic(topic, effects);
        break;
    case METADATA_REGISTER_NODE:
        set_node(m, command->node, command->incarnation, command->name);
        save_node(metadata_node(m, command->node), effects);
        break;
    case METADATA_REMOVE_NODE:
        drop_node(m, command->node, effects);
        break;
    case METADATA_TAKE_PRODUCERS:
        effects->first_producer_id = m->next_producer_id;
        m->next_producer_id += command->count;
        break;
    case METADATA_KIND_END:
        UNREACHABLE();
    }
    save_header(m, effects);
}

/* ---- load --------------------------------------------------------------------------------------------- */

static enum status load_header(struct metadata *m, struct reader *in) {
    m->applied_index = reader_be64(in);
    m->next_group = reader_be64(in);
    m->next_producer_id = (int64_t)reader_be64(in);
    struct slice cluster_id = take_slice(in);
    if (!reader_ok(in) || reader_remaining(in) != 0 || m->next_group == 0 || m->next_producer_id < 0 ||
        (cluster_id.size != 0 && cluster_id.size != METADATA_CLUSTER_ID_SIZE))
        return STATUS_MALFORMED;
    if (cluster_id.size != 0) memcpy(m->cluster_id, cluster_id.data, cluster_id.size);
    return STATUS_OK;
}

static void load_replicas(struct metadata_topic *topic, struct reader *in) {
    topic->replicas = mem_calloc((size_t)topic->partition_count, sizeof *topic->replicas);
    for (int32_t i = 0; i < topic->partition_count && reader_ok(in); i++) {
        struct metadata_replicas *replicas = &topic->replicas[i];
        replicas->count = reader_u8(in);
        if (replicas->count == 0 || replicas->count > METADATA_REPLICAS_MAX) {
            replicas->count = 0;
            reader_fail(in);
        }
        for (uint32_t n = 0; n < replicas->count; n++)
            replicas->nodes[n] = reader_be32(in);
    }
}

static enum status load_node(struct metadata *m, struct slice name, struct reader *in) {
    uint32_t incarnation = reader_be32(in);
    struct slice address = take_slice(in);
    if (!reader_ok(in) || reader_remaining(in) != 0 || name.size != 4 || load_be32(name.data) == 0 ||
        address.size == 0 || address.size > METADATA_ADDRESS_SIZE_MAX || m->node_count == METADATA_NODES_MAX)
        return STATUS_MALFORMED;
    set_node(m, load_be32(name.data), incarnation, address);
    return STATUS_OK;
}

static enum status load_topic(struct metadata *m, struct slice name, uint8_t version, struct reader *in) {
    struct uuid id = {{0}};
    struct slice id_bytes = reader_bytes(in, sizeof id.bytes);
    if (id_bytes.size != 0) memcpy(id.bytes, id_bytes.data, id_bytes.size);
    int16_t replication = (int16_t)reader_be16(in);
    uint64_t count = reader_varint64(in);
    if (!reader_ok(in) || name.size == 0 || name.size > METADATA_NAME_SIZE_MAX || uuid_is_zero(id) ||
        count == 0 || count > METADATA_PARTITIONS_MAX || count > reader_remaining(in) ||
        metadata_find(m, name) != NULL || metadata_find_id(m, id) != NULL)
        return STATUS_MALFORMED;
    struct metadata_topic *topic = add_topic(m, name, id);
    topic->replication = replication;
    topic->groups = mem_alloc(count * sizeof *topic->groups);
    uint64_t group = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t step = reader_varint64(in);
        /* Ascending and handed out before: the header, which comes first, knows how far. */
        if (step == 0 || step >= m->next_group - group) reader_fail(in);
        group += step;
        topic->groups[i] = group;
    }
    topic->partition_count = (int32_t)count;
    m->partition_total += topic->partition_count;
    if (version == STATE_VERSION_CLUSTER) load_replicas(topic, in);
    uint64_t config_count = reader_varint64(in);
    struct slice configs = reader_bytes(in, reader_remaining(in));
    writer_bytes(&topic->configs, configs);
    struct metadata_config config;
    enum status status;
    uint64_t seen = 0;
    while ((status = metadata_config_next(&configs, &config)) == STATUS_OK)
        seen++;
    topic->config_count = (uint32_t)seen;
    return reader_ok(in) && status == STATUS_END && seen == config_count && seen <= METADATA_CONFIGS_MAX
               ? STATUS_OK
               : STATUS_MALFORMED;
}

enum status metadata_load(struct metadata *m, struct slice key, struct slice value) {
    struct reader in = reader_make(value);
    uint8_t version = reader_u8(&in);
    if (key.size == 0 || version < STATE_VERSION || version > STATE_VERSION_CLUSTER) return STATUS_MALFORMED;
    struct slice rest = slice_make(key.data + 1, key.size - 1);
    if (key.data[0] == KEY_TOPIC) return load_topic(m, rest, version, &in);
    if (version != STATE_VERSION) return STATUS_MALFORMED;
    if (key.data[0] == KEY_HEADER && key.size == 1) return load_header(m, &in);
    if (key.data[0] == KEY_NODE) return load_node(m, rest, &in);
    return STATUS_MALFORMED;
}
