// SPDX-License-Identifier: Apache-2.0
/* The metadata as keys (docs/formats.md), in the order in which they are loaded: header, nodes, removed
 * disks, settings, topics, and the partitions that were moved, whose keys win over what their topic says. */
#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "machine/metadata_internal.h"

#define STATE_VERSION         1
#define STATE_VERSION_CLUSTER 2 /* a topic with its placement; a node with its rack and state */
#define STATE_VERSION_FOUNDED 3 /* a topic with its placement, and when each partition was made */
#define STATE_VERSION_DISKS   4 /* a node with the disks that it had before */
#define KEY_HEADER            'm'
#define KEY_NODE              'n'
#define KEY_REMOVED           'r'
#define KEY_SETTINGS          's'
#define KEY_TOPIC             't'
#define KEY_PARTITION         'u'

/* ---- saving ------------------------------------------------------------------------------------------- */

static size_t begin_key(struct metadata_effects *effects, uint8_t tag, struct slice name, bool removed) {
    if (effects->key_count == effects->key_capacity) {
        effects->key_capacity = MAX(4u, effects->key_capacity * 2);
        effects->keys = mem_realloc(effects->keys, effects->key_capacity * sizeof *effects->keys);
    }
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

static void remove_key(struct metadata_effects *effects, uint8_t tag, struct slice name) {
    end_key(effects, begin_key(effects, tag, name, true));
}

void metadata_save_header(const struct metadata *m, struct metadata_effects *effects) {
    size_t index = begin_key(effects, KEY_HEADER, SLICE_EMPTY, false);
    struct writer *out = &effects->bytes;
    writer_u8(out, STATE_VERSION);
    writer_be64(out, m->applied_index);
    writer_be64(out, m->next_group);
    writer_be64(out, (uint64_t)m->next_producer_id);
    metadata_put_slice(out, slice_from_text(m->cluster_id));
    end_key(effects, index);
}

void metadata_save_settings(const struct metadata *m, struct metadata_effects *effects) {
    size_t index = begin_key(effects, KEY_SETTINGS, SLICE_EMPTY, false);
    writer_u8(&effects->bytes, STATE_VERSION);
    writer_be64(&effects->bytes, (uint64_t)m->catch_up_rate);
    end_key(effects, index);
}

static void put_nodes(struct writer *out, const struct metadata_replicas *replicas) {
    writer_u8(out, replicas->count);
    for (uint32_t n = 0; n < replicas->count; n++)
        writer_be32(out, replicas->nodes[n]);
    writer_varint64(out, replicas->founded);
}

void metadata_save_topic(const struct metadata_topic *topic, struct metadata_effects *effects) {
    size_t index = begin_key(effects, KEY_TOPIC, slice_make(topic->name, topic->name_size), false);
    struct writer *out = &effects->bytes;
    writer_u8(out, topic->replicas == NULL ? STATE_VERSION : STATE_VERSION_FOUNDED);
    writer_bytes(out, slice_make(topic->id.bytes, sizeof topic->id.bytes));
    writer_be16(out, (uint16_t)topic->replication);
    writer_varint64(out, (uint64_t)topic->partition_count);
    for (int32_t i = 0; i < topic->partition_count; i++)
        writer_varint64(out, i == 0 ? topic->groups[0] : topic->groups[i] - topic->groups[i - 1]);
    for (int32_t i = 0; topic->replicas != NULL && i < topic->partition_count; i++)
        put_nodes(out, &topic->replicas[i]);
    writer_varint64(out, topic->config_count);
    writer_bytes(out, writer_slice(&topic->configs));
    end_key(effects, index);
}

/* [name][0][partition be32]: names have no zero byte. */
static struct slice partition_name(struct writer *name, const struct metadata_topic *topic,
                                   int32_t partition) {
    writer_init(name);
    writer_bytes(name, slice_make(topic->name, topic->name_size));
    writer_u8(name, 0);
    writer_be32(name, (uint32_t)partition);
    return writer_slice(name);
}

void metadata_save_topic_removed(const struct metadata_topic *topic, struct metadata_effects *effects) {
    remove_key(effects, KEY_TOPIC, slice_make(topic->name, topic->name_size));
    for (int32_t i = 0; topic->replicas != NULL && i < topic->partition_count; i++) {
        struct writer name;
        if (!topic->replicas[i].own_key) continue;
        remove_key(effects, KEY_PARTITION, partition_name(&name, topic, i));
        writer_release(&name);
    }
}

void metadata_save_partition(struct metadata_topic *topic, int32_t partition,
                             struct metadata_effects *effects) {
    struct metadata_replicas *replicas = &topic->replicas[partition];
    const struct metadata_move *move = replicas->move;
    struct writer name;
    replicas->own_key = true;
    size_t index = begin_key(effects, KEY_PARTITION, partition_name(&name, topic, partition), false);
    writer_release(&name);
    struct writer *out = &effects->bytes;
    writer_u8(out, STATE_VERSION);
    put_nodes(out, replicas);
    writer_u8(out, move == NULL ? 0 : move->count);
    if (move != NULL) writer_varint64(out, move->version);
    for (uint32_t i = 0; move != NULL && i < move->count; i++) {
        writer_be32(out, move->left[i].node);
        writer_u8(out, (uint8_t)move->left[i].kind);
        writer_varint64(out, move->left[i].since);
    }
    end_key(effects, index);
}

static struct slice node_name(uint32_t node, uint8_t bytes[4]) {
    store_be32(bytes, node);
    return slice_make(bytes, 4);
}

void metadata_save_node(const struct metadata_node *node, struct metadata_effects *effects) {
    uint8_t name[4];
    size_t index = begin_key(effects, KEY_NODE, node_name(node->node, name), false);
    writer_u8(&effects->bytes, node->before_count == 0 ? STATE_VERSION_CLUSTER : STATE_VERSION_DISKS);
    writer_be32(&effects->bytes, node->incarnation);
    metadata_put_slice(&effects->bytes, slice_from_text(node->address));
    metadata_put_slice(&effects->bytes, slice_from_text(node->rack));
    writer_u8(&effects->bytes, node->draining);
    writer_varint64(&effects->bytes, node->registered);
    for (uint32_t i = 0; i < node->before_count; i++) {
        writer_be32(&effects->bytes, node->before[i].incarnation);
        writer_varint64(&effects->bytes, node->before[i].registered);
    }
    end_key(effects, index);
}

void metadata_save_node_removed(uint32_t node, uint32_t incarnation, struct metadata_effects *effects) {
    uint8_t name[4];
    remove_key(effects, KEY_NODE, node_name(node, name));
    if (incarnation == 0) return; /* it never came */
    size_t index = begin_key(effects, KEY_REMOVED, node_name(node, name), false);
    writer_u8(&effects->bytes, STATE_VERSION);
    writer_be32(&effects->bytes, incarnation);
    end_key(effects, index);
}

void metadata_save_removed_forgotten(uint32_t node, struct metadata_effects *effects) {
    uint8_t name[4];
    remove_key(effects, KEY_REMOVED, node_name(node, name));
}

/* ---- loading ------------------------------------------------------------------------------------------ */

static bool ended(const struct reader *in) {
    return reader_ok(in) && reader_remaining(in) == 0;
}

static enum status load_header(struct metadata *m, struct reader *in) {
    m->applied_index = reader_be64(in);
    m->next_group = reader_be64(in);
    m->next_producer_id = (int64_t)reader_be64(in);
    struct slice cluster_id = metadata_take_slice(in);
    if (!ended(in) || m->next_group == 0 || m->next_producer_id < 0 ||
        (cluster_id.size != 0 && cluster_id.size != METADATA_CLUSTER_ID_SIZE))
        return STATUS_MALFORMED;
    if (cluster_id.size != 0) memcpy(m->cluster_id, cluster_id.data, cluster_id.size);
    return STATUS_OK;
}

static enum status load_settings(struct metadata *m, struct reader *in) {
    m->catch_up_rate = (int64_t)reader_be64(in);
    return ended(in) && m->catch_up_rate >= -1 ? STATUS_OK : STATUS_MALFORMED;
}

static void load_nodes(struct metadata_replicas *replicas, bool founded, struct reader *in) {
    replicas->count = reader_u8(in);
    if (replicas->count == 0 || replicas->count > METADATA_REPLICAS_MAX) {
        replicas->count = 0;
        reader_fail(in);
    }
    for (uint32_t n = 0; n < replicas->count; n++)
        replicas->nodes[n] = reader_be32(in);
    replicas->founded = founded ? reader_varint64(in) : 0;
}

static void load_replicas(struct metadata_topic *topic, bool founded, struct reader *in) {
    topic->replicas = mem_calloc((size_t)topic->partition_count, sizeof *topic->replicas);
    for (int32_t i = 0; i < topic->partition_count && reader_ok(in); i++)
        load_nodes(&topic->replicas[i], founded, in);
}

static enum status load_move(struct metadata_replicas *replicas, struct reader *in) {
    uint8_t count = reader_u8(in);
    if (!reader_ok(in) || count > METADATA_LEFT_MAX || replicas->move != NULL) return STATUS_MALFORMED;
    if (count == 0) return ended(in) ? STATUS_OK : STATUS_MALFORMED;
    struct metadata_move *move = replicas->move = mem_calloc(1, sizeof *move);
    move->version = reader_varint64(in);
    for (; move->count < count && reader_ok(in); move->count++) {
        struct metadata_left *left = &move->left[move->count];
        left->node = reader_be32(in);
        uint8_t kind = reader_u8(in);
        left->since = reader_varint64(in);
        if (kind < METADATA_ORIGINAL || kind > METADATA_CLOSING) reader_fail(in);
        left->kind = (enum metadata_left_kind)kind;
    }
    return ended(in) ? STATUS_OK : STATUS_MALFORMED;
}

static enum status load_partition(struct metadata *m, struct slice name, struct reader *in) {
    if (name.size < 6 || name.data[name.size - 5] != 0) return STATUS_MALFORMED;
    struct metadata_topic *topic = map_get(&m->by_name, slice_make(name.data, name.size - 5));
    uint32_t partition = load_be32(name.data + name.size - 4);
    if (topic == NULL || topic->replicas == NULL || partition >= (uint32_t)topic->partition_count)
        return STATUS_MALFORMED;
    struct metadata_replicas *replicas = &topic->replicas[partition];
    load_nodes(replicas, true, in);
    replicas->own_key = true;
    return reader_ok(in) ? load_move(replicas, in) : STATUS_MALFORMED;
}

static bool take_text(struct slice text, char *to, size_t size_max) {
    if (text.size > size_max || memchr(text.data, '\0', text.size) != NULL) return false;
    memcpy(to, text.data, text.size);
    to[text.size] = '\0';
    return true;
}

static enum status load_node(struct metadata *m, struct slice name, uint8_t version, struct reader *in) {
    struct metadata_node loaded = {.incarnation = reader_be32(in)};
    struct slice address = metadata_take_slice(in);
    bool whole = version != STATE_VERSION;
    struct slice rack = whole ? metadata_take_slice(in) : SLICE_EMPTY;
    loaded.draining = whole && reader_u8(in) != 0;
    loaded.registered = whole ? reader_varint64(in) : 0;
    while (version == STATE_VERSION_DISKS && reader_ok(in) && reader_remaining(in) > 0) {
        if (loaded.before_count == METADATA_DISKS_MAX) return STATUS_MALFORMED;
        struct metadata_disk *disk = &loaded.before[loaded.before_count++];
        disk->incarnation = reader_be32(in);
        disk->registered = reader_varint64(in);
    }
    if (!ended(in) || name.size != 4 || load_be32(name.data) == 0 || address.size == 0 ||
        m->node_count == METADATA_NODES_MAX ||
        !take_text(address, loaded.address, METADATA_ADDRESS_SIZE_MAX) ||
        (rack.size != 0 && !take_text(rack, loaded.rack, METADATA_RACK_SIZE_MAX)))
        return STATUS_MALFORMED;
    loaded.node = load_be32(name.data);
    *metadata_node_put(m, loaded.node) = loaded;
    return STATUS_OK;
}

static enum status load_removed(struct metadata *m, struct slice name, struct reader *in) {
    uint32_t incarnation = reader_be32(in);
    if (!ended(in) || name.size != 4) return STATUS_MALFORMED;
    /* Keys of numbers that were forgotten stood here once: they come first. */
    if (m->removed_count == METADATA_NODES_MAX) metadata_node_forget_removed(m);
    metadata_node_set_removed(m, load_be32(name.data), incarnation);
    return STATUS_OK;
}

static enum status load_configs(struct metadata_topic *topic, struct reader *in) {
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
    struct metadata_topic *topic = metadata_add_topic(m, name, id);
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
    if (version != STATE_VERSION) load_replicas(topic, version == STATE_VERSION_FOUNDED, in);
    return load_configs(topic, in);
}

enum status metadata_load(struct metadata *m, struct slice key, struct slice value) {
    struct reader in = reader_make(value);
    uint8_t version = reader_u8(&in);
    if (key.size == 0 || version < STATE_VERSION || version > STATE_VERSION_DISKS) return STATUS_MALFORMED;
    struct slice rest = slice_make(key.data + 1, key.size - 1);
    if (key.data[0] == KEY_TOPIC && version <= STATE_VERSION_FOUNDED)
        return load_topic(m, rest, version, &in);
    if (key.data[0] == KEY_NODE && version != STATE_VERSION_FOUNDED) return load_node(m, rest, version, &in);
    if (version != STATE_VERSION) return STATUS_MALFORMED;
    if (key.data[0] == KEY_HEADER && key.size == 1) return load_header(m, &in);
    if (key.data[0] == KEY_SETTINGS && key.size == 1) return load_settings(m, &in);
    if (key.data[0] == KEY_REMOVED) return load_removed(m, rest, &in);
    if (key.data[0] == KEY_PARTITION) return load_partition(m, rest, &in);
    return STATUS_MALFORMED;
}
