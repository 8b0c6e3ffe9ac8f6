// SPDX-License-Identifier: Apache-2.0
/* Topics: the broker's tables of them, and the changes of metadata that make, alter and delete them. */
#include "broker/topics.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/cluster.h"
#include "broker/coordinator.h"
#include "broker/metadata_log.h"
#include "broker/partition_replica.h"

/* Producer ids are taken from the metadata in blocks, so that one costs no write (as Kafka's KIP-730). */
#define PRODUCER_ID_BLOCK 1000

/* ---- the tables --------------------------------------------------------------------------------------- */

static struct topic_config config_of(struct broker *broker, const struct metadata_topic *topic) {
    struct topic_config config = broker->options.topic_defaults;
    config.is_set = 0;
    struct slice rest = writer_slice(&topic->configs);
    struct metadata_config pair;
    while (metadata_config_next(&rest, &pair) == STATUS_OK) {
        struct diagnostic why;
        if (topic_config_set(&config, pair.name, pair.value, &why) != STATUS_OK)
            log_warn(broker->log, "topic config ignored topic=%s reason=\"%s\"", topic->name, why.text);
    }
    return config;
}

static void take_partitions(struct topic_state *state, const struct metadata_topic *topic) {
    size_t count = (size_t)topic->partition_count, had = (size_t)state->public.partition_count;
    state->groups = mem_realloc(state->groups, count * sizeof *state->groups);
    memcpy(state->groups, topic->groups, count * sizeof *state->groups);
    state->partitions = mem_realloc(state->partitions, count * sizeof *state->partitions);
    for (size_t i = had; i < count; i++)
        state->partitions[i] = NULL;
    state->public.partition_count = topic->partition_count;
}

/* The partition went to other nodes: its copy here goes, and who waits for it looks again. */
static void drop_replica(struct topic_state *state, struct broker *broker, int32_t index) {
    struct partition *old = state->partitions[index];
    state->partitions[index] = partition_new(state, broker, index, state->groups[index]);
    append_fail_all(old, STATUS_NOT_LEADER);
    old->moved = true;
    partition_free(old);
}

/* Replicas of partitions that are placed here. */
static void follow_placement(struct broker *broker, struct topic_state *state,
                             const struct metadata_topic *topic, int32_t index, bool is_new) {
    const struct metadata_replicas *replicas = &topic->replicas[index];
    if (state->partitions[index] == NULL)
        state->partitions[index] = partition_new(state, broker, index, state->groups[index]);
    bool here = metadata_has_replica(replicas, broker->cluster->node);
    if (here)
        partition_replica_open(state->partitions[index], replicas, is_new);
    else if (state->partitions[index]->replica != NULL)
        drop_replica(state, broker, index);
}

static void follow_placements(struct broker *broker, struct topic_state *state,
                              const struct metadata_topic *topic, bool is_new) {
    if (broker->cluster == NULL || topic->replicas == NULL) return;
    state->public.replication = topic->replication;
    for (int32_t i = 0; i < topic->partition_count; i++)
        follow_placement(broker, state, topic, i, is_new);
}

static void topic_add(struct broker *broker, const struct metadata_topic *topic, bool is_new) {
    broker->topics_version++;
    struct topic_state *state = mem_calloc(1, sizeof *state);
    state->public.name = mem_strdup(topic->name);
    state->public.id = topic->id;
    state->public.replication = topic->replication;
    state->public.config = config_of(broker, topic);
    state->name = slice_make(state->public.name, topic->name_size);
    take_partitions(state, topic);
    ASSERT(map_put(&broker->topics, state->name, state) == NULL);
    ASSERT(map_put(&broker->topics_by_id, slice_make(topic->id.bytes, sizeof topic->id.bytes), state) ==
           NULL);
    follow_placements(broker, state, topic, is_new);
}

static void topic_free(struct topic_state *state) {
    /* Requests resumed by partition_free look the topic up again: the tables no longer have it. */
    for (int32_t i = 0; i < state->public.partition_count; i++)
        if (state->partitions[i] != NULL) partition_free(state->partitions[i]);
    mem_free(state->partitions);
    mem_free(state->groups);
    mem_free((char *)(uintptr_t)state->public.name);
    mem_free(state);
}

void topics_load(struct broker *broker) {
    MAP_FOREACH(it, &broker->metadata.by_name) {
        topic_add(broker, MAP_ENTRY(it)->value, false);
    }
}

void topics_free(struct broker *broker) {
    struct map topics = broker->topics;
    list_init(&topics.order);
    list_append(&topics.order, &broker->topics.order);
    map_init(&broker->topics, broker->hash_seed);
    MAP_FOREACH(it, &topics) {
        topic_free(MAP_ENTRY(it)->value);
    }
    map_release(&topics);
    map_release(&broker->topics_by_id);
}

static struct topic_state *find_topic(struct broker *broker, struct slice name) {
    struct topic_state *state = map_get(&broker->topics, name);
    return state == NULL || state->deleting ? NULL : state;
}

const struct broker_topic *broker_topic_find(struct broker *broker, struct slice name) {
    struct topic_state *state = find_topic(broker, name);
    return state == NULL ? NULL : &state->public;
}

const struct broker_topic *broker_topic_find_id(struct broker *broker, struct uuid id) {
    struct topic_state *state = map_get(&broker->topics_by_id, slice_make(id.bytes, sizeof id.bytes));
    return state == NULL || state->deleting ? NULL : &state->public;
}

void broker_topics_visit(struct broker *broker, void (*visit)(void *ctx, const struct broker_topic *topic),
                         void *ctx) {
    MAP_FOREACH(it, &broker->topics) {
        const struct topic_state *state = MAP_ENTRY(it)->value;
        if (!state->deleting) visit(ctx, &state->public);
    }
}

struct partition *broker_partition(struct broker *broker, struct slice topic, int32_t index) {
    struct topic_state *state = find_topic(broker, topic);
    if (state == NULL || index < 0 || index >= state->public.partition_count) return NULL;
    if (state->partitions[index] == NULL)
        state->partitions[index] = partition_new(state, broker, index, state->groups[index]);
    return state->partitions[index];
}

enum status topic_name_check(struct slice name, struct diagnostic *diagnostic) {
    if (name.size == 0) return diagnose(diagnostic, STATUS_INVALID_TOPIC, "a topic name cannot be empty");
    if (name.size > TOPIC_NAME_SIZE_MAX)
        return diagnose(diagnostic, STATUS_INVALID_TOPIC,
                        "a topic name has at most %d characters, this one %zu", TOPIC_NAME_SIZE_MAX,
                        name.size);
    if (slice_equal(name, SLICE_LITERAL(".")) || slice_equal(name, SLICE_LITERAL("..")))
        return diagnose(diagnostic, STATUS_INVALID_TOPIC, "a topic cannot be named '.' or '..'");
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-';
        if (!allowed)
            return diagnose(diagnostic, STATUS_INVALID_TOPIC,
                            "byte 0x%02x at %zu: a topic name is made of letters, digits, '.', '_' and '-'",
                            c, i);
    }
    return STATUS_OK;
}

/* ---- changes ------------------------------------------------------------------------------------------ */

struct change {
    struct metadata_request request;
    struct broker *broker;
    struct topic_change *public;
    struct writer text;      /* of the configs */
    struct writer placement; /* as in struct metadata_command */
    bool marked;             /* the topic public->id is `deleting` because of this change */
};

static struct slice name_of(const struct change *change) {
    return slice_from_text(change->public->name_copy);
}

static void set_name(struct change *change, struct slice name) {
    mem_free(change->public->name_copy);
    change->public->name_copy = mem_alloc(name.size + 1);
    if (name.size != 0) memcpy(change->public->name_copy, name.data, name.size);
    change->public->name_copy[name.size] = '\0';
}

static enum status unknown_topic(struct change *change) {
    return diagnose(&change->public->diagnostic, STATUS_UNKNOWN_TOPIC, "topic '%s' does not exist",
                    change->public->name_copy);
}

/* Positions first, slices after: the text moves while it grows. */
static void add_configs(struct change *change, struct metadata_command *command) {
    const struct topic_config *config = &change->public->config;
    size_t ends[64];
    for (unsigned i = 0; i < topic_config_count(); i++) {
        if ((config->is_set >> i & 1) == 0) continue;
        topic_config_print(config, i, &change->text);
        ends[command->config_count] = change->text.size;
        command->configs[command->config_count++].name = slice_from_text(topic_config_row(i)->name);
    }
    for (uint32_t i = 0; i < command->config_count; i++) {
        size_t from = i == 0 ? 0 : ends[i - 1];
        command->configs[i].value = slice_make(change->text.data + from, ends[i] - from);
    }
}

static enum status check_limits(const struct change *change, int32_t count, int32_t have) {
    const struct broker_options *options = &change->broker->options;
    if (count > options->topic_partitions_max)
        return diagnose(&change->public->diagnostic, STATUS_INVALID_PARTITIONS,
                        "%d partitions asked for, this broker allows %d a topic", count,
                        options->topic_partitions_max);
    if (count > have &&
        change->broker->metadata.partition_total + (count - have) > options->partitions_total_max)
        return diagnose(&change->public->diagnostic, STATUS_INVALID_PARTITIONS,
                        "%d more partitions would exceed this broker's limit of %d", count - have,
                        options->partitions_total_max);
    return STATUS_OK;
}

static enum status prepare_create(struct change *change, struct metadata_command *command) {
    struct topic_change *public = change->public;
    enum status status = topic_name_check(command->name, &public->diagnostic);
    if (status != STATUS_OK) return status;
    bool alone = change->broker->cluster == NULL;
    if (alone && public->replication != -1 && public->replication != 1)
        return diagnose(&public->diagnostic, STATUS_INVALID_REPLICATION,
                        "replication factor %d asked for, this cluster has one node", public->replication);
    command->kind = METADATA_CREATE_TOPIC;
    command->count = public->partition_count == -1 ? change->broker->options.default_partitions
                                                   : public->partition_count;
    command->replication = alone ? 1 : public->replication; /* -1: the controller decides */
    io_random(change->broker->io, command->id.bytes, sizeof command->id.bytes);
    /* RFC 9562, version 4: also keeps the id from being all zeros. */
    command->id.bytes[6] = (uint8_t)((command->id.bytes[6] & 0x0f) | 0x40);
    command->id.bytes[8] = (uint8_t)((command->id.bytes[8] & 0x3f) | 0x80);
    public->id = command->id;
    command->placement = writer_slice(&change->placement);
    add_configs(change, command);
    return check_limits(change, command->count, 0);
}

static enum status prepare_alter(struct change *change, const struct topic_state *topic,
                                 struct metadata_command *command) {
    struct topic_change *public = change->public;
    if (public->edit != NULL) {
        public->config = topic->public.config;
        enum status status = public->edit(public);
        if (status != STATUS_OK) return status;
    }
    command->kind = METADATA_SET_CONFIGS;
    add_configs(change, command);
    if (public->edit == NULL || change->broker->cluster == NULL) return STATUS_OK;
    writer_clear(&change->placement);
    metadata_put_seen(metadata_find(&change->broker->metadata, command->name), &change->placement);
    command->placement = writer_slice(&change->placement);
    return STATUS_OK;
}

/* By its name, or by its id, which no other topic has had. */
static enum status prepare_delete(struct change *change, struct metadata_command *command,
                                  bool validate_only) {
    struct topic_change *public = change->public;
    bool by_id = public->name.size == 0;
    struct topic_state *topic = by_id ? map_get(&change->broker->topics_by_id,
                                                slice_make(public->id.bytes, sizeof public->id.bytes))
                                      : find_topic(change->broker, command->name);
    if (topic == NULL && by_id)
        return diagnose(&public->diagnostic, STATUS_UNKNOWN_TOPIC_ID, "no topic has this id");
    if (topic == NULL) return unknown_topic(change);
    if (by_id) set_name(change, slice_from_text(topic->public.name));
    public->id = topic->public.id;
    command->kind = METADATA_DELETE_TOPIC;
    command->name = name_of(change);
    command->id = public->id;
    /* In a cluster it is there until the controller says that it is not. */
    if (!validate_only && change->broker->cluster == NULL) topic->deleting = change->marked = true;
    return STATUS_OK;
}

static enum status prepare_move(struct change *change, struct metadata_command *command) {
    struct topic_change *public = change->public;
    command->kind = public->kind == TOPIC_MOVE ? METADATA_SET_REPLICAS : METADATA_CANCEL_MOVE;
    command->count = public->partition;
    command->replication = public->replication;
    command->placement = writer_slice(&change->placement);
    if (change->broker->cluster != NULL) return STATUS_OK;
    return diagnose(&public->diagnostic, STATUS_INVALID_REPLICATION,
                    "a broker that runs alone has the only replica of everything");
}

static enum status prepare(struct metadata_request *request, struct metadata_command *command) {
    struct change *change = CONTAINER_OF(request, struct change, request);
    command->name = name_of(change);
    writer_clear(&change->text);
    if (change->public->kind == TOPIC_CREATE) return prepare_create(change, command);
    if (change->public->kind == TOPIC_DELETE) return prepare_delete(change, command, request->validate_only);
    struct topic_state *topic = find_topic(change->broker, command->name);
    if (topic == NULL) return unknown_topic(change);
    switch (change->public->kind) {
    case TOPIC_ALTER_CONFIG:
        return prepare_alter(change, topic, command);
    case TOPIC_ADD_PARTITIONS:
        command->kind = METADATA_ADD_PARTITIONS;
        command->count = change->public->partition_count;
        command->placement = writer_slice(&change->placement);
        command->replication = change->placement.size == 0 ? 0 : change->public->replication;
        return check_limits(change, command->count, topic->public.partition_count);
    case TOPIC_MOVE:
    case TOPIC_CANCEL_MOVE:
        return prepare_move(change, command);
    case TOPIC_CREATE:
    case TOPIC_DELETE:
        break;
    }
    UNREACHABLE();
}

static void topic_remove(struct broker *broker, struct topic_state *state) {
    map_remove(&broker->topics, state->name);
    map_remove(&broker->topics_by_id, slice_make(state->public.id.bytes, sizeof state->public.id.bytes));
    for (int32_t i = 0; i < state->public.partition_count; i++)
        if (state->partitions[i] != NULL) state->partitions[i]->dropped = true;
    topic_free(state);
}

static void install(struct broker *broker, enum topic_change_kind kind, struct slice name) {
    const struct metadata_topic *topic = metadata_find(&broker->metadata, name);
    struct topic_state *state = map_get(&broker->topics, name);
    broker->topics_version++;
    switch (kind) {
    case TOPIC_CREATE:
        topic_add(broker, topic, true);
        break;
    case TOPIC_DELETE:
        topic_remove(broker, state);
        coordinators_topic_deleted(broker, name);
        break;
    case TOPIC_ALTER_CONFIG:
        state->public.config = config_of(broker, topic);
        break;
    case TOPIC_ADD_PARTITIONS:
        take_partitions(state, topic);
        follow_placements(broker, state, topic, true);
        break;
    case TOPIC_MOVE:
    case TOPIC_CANCEL_MOVE:
        UNREACHABLE(); /* only in a cluster: placement_changed */
    }
}

static void placement_changed(struct broker *broker, const struct metadata_command *command) {
    struct topic_state *state = map_get(&broker->topics, command->name);
    const struct metadata_topic *topic = metadata_find(&broker->metadata, command->name);
    state->public.replication = topic->replication;
    follow_placement(broker, state, topic, command->count, false);
}

void topics_applied(struct broker *broker, const struct metadata_command *command) {
    switch (command->kind) {
    case METADATA_CREATE_TOPIC:
        install(broker, TOPIC_CREATE, command->name);
        break;
    case METADATA_DELETE_TOPIC:
        install(broker, TOPIC_DELETE, command->name);
        break;
    case METADATA_SET_CONFIGS:
        install(broker, TOPIC_ALTER_CONFIG, command->name);
        break;
    case METADATA_ADD_PARTITIONS:
        install(broker, TOPIC_ADD_PARTITIONS, command->name);
        break;
    case METADATA_SET_REPLICAS:
    case METADATA_CANCEL_MOVE:
    case METADATA_MOVED:
        placement_changed(broker, command);
        break;
    case METADATA_INIT:
    case METADATA_TAKE_PRODUCERS:
    case METADATA_REGISTER_NODE:
    case METADATA_REMOVE_NODE:
    case METADATA_DROPPED:
    case METADATA_ADD_NODE:
    case METADATA_DRAIN_NODE:
    case METADATA_SET_CATCH_UP_RATE:
    case METADATA_KIND_END:
        break;
    }
}

void topics_reload(struct broker *broker, struct metadata *stored) {
    metadata_take(&broker->metadata, stored);
    MAP_FOREACH(it, &broker->topics) {
        struct topic_state *state = MAP_ENTRY(it)->value;
        const struct metadata_topic *topic = metadata_find_id(&broker->metadata, state->public.id);
        if (topic == NULL) {
            topic_remove(broker, state);
            continue;
        }
        state->public.config = config_of(broker, topic);
        if (topic->partition_count > state->public.partition_count) take_partitions(state, topic);
        follow_placements(broker, state, topic, false);
    }
    MAP_FOREACH(it, &broker->metadata.by_name) {
        const struct metadata_topic *topic = MAP_ENTRY(it)->value;
        if (map_get(&broker->topics, slice_make(topic->name, topic->name_size)) == NULL)
            topic_add(broker, topic, false);
    }
    coordinators_topics_reloaded(broker);
}

static void each_partition(struct broker *broker, void (*visit)(struct partition *p)) {
    MAP_FOREACH(it, &broker->topics) {
        struct topic_state *state = MAP_ENTRY(it)->value;
        for (int32_t i = 0; i < state->public.partition_count; i++)
            if (state->partitions[i] != NULL) visit(state->partitions[i]);
    }
}

void topics_close_replicas(struct broker *broker) {
    each_partition(broker, partition_replica_close);
}

static void fail_appends(struct partition *p) {
    append_fail_all(p, STATUS_NOT_LEADER);
    if (p->replica != NULL) raft_replica_save(p->replica);
}

void topics_fail_appends(struct broker *broker) {
    each_partition(broker, fail_appends);
}

/* When the store is dead the topic's data is hidden in its memory: nobody is served from it before a restart
 * has told whether the deletion happened. */
static void take_back_deletion(const struct change *change) {
    struct topic_state *state = map_get(&change->broker->topics, name_of(change));
    if (state == NULL || !uuid_equal(state->public.id, change->public->id)) return;
    if (change->broker->abandoning || broker_health(change->broker) != STATUS_OK) return;
    state->deleting = false;
    for (int32_t i = 0; i < state->public.partition_count; i++)
        if (state->partitions[i] != NULL) partition_reload(state->partitions[i]);
}

static void change_finish(struct io_op *op) {
    struct topic_change *public = CONTAINER_OF(op, struct topic_change, op);
    public->done(public);
}

static void change_done(struct metadata_request *request, enum status status,
                        const struct metadata_effects *effects) {
    struct change *change = CONTAINER_OF(request, struct change, request);
    struct topic_change *public = change->public;
    public->status = status;
    bool done = status == STATUS_OK && effects != NULL && !request->validate_only;
    if (done && change->broker->cluster == NULL) install(change->broker, public->kind, name_of(change));
    if (status != STATUS_OK && change->marked) take_back_deletion(change);
    public->op.done = change_finish;
    io_defer(change->broker->io, &public->op);
    writer_release(&change->text);
    writer_release(&change->placement);
    mem_free(public->name_copy);
    mem_free(change);
}

void broker_change_topic(struct broker *broker, struct topic_change *public) {
    struct change *change = mem_calloc(1, sizeof *change);
    change->request = (struct metadata_request){.prepare = prepare,
                                                .done = change_done,
                                                .diagnostic = &public->diagnostic,
                                                .validate_only = public->validate_only};
    change->broker = broker;
    change->public = public;
    for (uint32_t i = 0; i < public->placement_count; i++)
        writer_be32(&change->placement, (uint32_t) public->placement[i]);
    public->diagnostic.text[0] = '\0';
    public->op = (struct io_op){0};
    public->name_copy = NULL;
    set_name(change, public->name);
    if (broker->closing) {
        diagnose(&public->diagnostic, STATUS_UNAVAILABLE, "the broker is shutting down");
        change_done(&change->request, STATUS_UNAVAILABLE, NULL);
    } else if (memchr(public->name_copy, '\0', public->name.size) != NULL) {
        diagnose(&public->diagnostic, STATUS_INVALID_TOPIC, "a topic name cannot hold a zero byte");
        change_done(&change->request, STATUS_INVALID_TOPIC, NULL);
    } else {
        metadata_log_propose(broker, &change->request);
    }
}

/* ---- producer ids -------------------------------------------------------------------------------------- */

struct producer_ids {
    struct broker *broker;
    struct metadata_request request;
    bool asking;
    struct list waiting; /* struct producer_id_request */
    int64_t next, end;
};

static void id_finish(struct io_op *op) {
    struct producer_id_request *request = CONTAINER_OF(op, struct producer_id_request, op);
    request->done(request);
}

static void id_answer(struct broker *broker, struct producer_id_request *request, enum status status,
                      int64_t id) {
    request->status = status;
    request->producer_id = id;
    request->producer_epoch = status == STATUS_OK ? 0 : -1;
    request->op.done = id_finish;
    io_defer(broker->io, &request->op);
}

static enum status ids_prepare(struct metadata_request *request, struct metadata_command *command) {
    (void)request;
    command->kind = METADATA_TAKE_PRODUCERS;
    command->count = PRODUCER_ID_BLOCK;
    return STATUS_OK;
}

static void ids_serve(struct producer_ids *ids);

static void ids_done(struct metadata_request *request, enum status status,
                     const struct metadata_effects *effects) {
    struct producer_ids *ids = CONTAINER_OF(request, struct producer_ids, request);
    ids->asking = false;
    if (status == STATUS_OK) {
        ids->next = effects->first_producer_id;
        ids->end = ids->next + PRODUCER_ID_BLOCK;
        ids_serve(ids);
        return;
    }
    struct list *node;
    while ((node = list_pop_front(&ids->waiting)) != NULL)
        id_answer(ids->broker, CONTAINER_OF(node, struct producer_id_request, link), status, -1);
}

static void ids_serve(struct producer_ids *ids) {
    while (ids->next < ids->end) {
        struct list *node = list_pop_front(&ids->waiting);
        if (node == NULL) return;
        id_answer(ids->broker, CONTAINER_OF(node, struct producer_id_request, link), STATUS_OK, ids->next++);
    }
    if (ids->asking || list_empty(&ids->waiting)) return;
    ids->asking = true;
    ids->request = (struct metadata_request){.prepare = ids_prepare, .done = ids_done};
    metadata_log_propose(ids->broker, &ids->request);
}

struct producer_ids *producer_ids_new(struct broker *broker) {
    struct producer_ids *ids = mem_calloc(1, sizeof *ids);
    ids->broker = broker;
    list_init(&ids->waiting);
    return ids;
}

void producer_ids_free(struct producer_ids *ids) {
    mem_free(ids);
}

void broker_new_producer_id(struct broker *broker, struct producer_id_request *request) {
    request->op = (struct io_op){0};
    list_push_back(&broker->producer_ids->waiting, &request->link);
    ids_serve(broker->producer_ids);
}
