// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.TopicService: topics and their configuration. Offsets and deleting records: grpc_offsets.c. */
#include <stdio.h>

#include "base/assert.h"
#include "sentinel/v1/topic_service.pb-c.h"
#include "server/grpc_partition.h"
#include "server/grpc_service.h"

#define PAGE_SIZE_MAX 1000

/* ---- a topic as a message ------------------------------------------------------------------------------ */

static void fill_configs(struct arena *arena, const struct topic_config *config, Sentinel__V1__Topic *out) {
    unsigned count = topic_config_count();
    out->configs = arena_calloc(arena, count, sizeof *out->configs);
    struct writer value;
    writer_init(&value);
    for (unsigned i = 0; i < count; i++) {
        Sentinel__V1__TopicConfig *row = arena_alloc(arena, sizeof(*row));
        sentinel__v1__topic_config__init(row);
        writer_clear(&value);
        topic_config_print(config, i, &value);
        row->name = (char *)topic_config_row(i)->name;
        row->value = arena_text(arena, writer_slice(&value));
        row->is_default = (config->is_set >> i & 1) == 0;
        row->documentation = (char *)topic_config_row(i)->doc;
        out->configs[i] = row;
    }
    out->n_configs = count;
    writer_release(&value);
}

static void fill_head(struct arena *arena, const struct broker_topic *topic, Sentinel__V1__Topic *out) {
    out->name = arena_text(arena, slice_from_text(topic->name));
    struct slice id = arena_copy(arena, slice_make(topic->id.bytes, sizeof topic->id.bytes));
    out->topic_id = (ProtobufCBinaryData){id.size, (uint8_t *)id.data};
    out->partition_count = topic->partition_count;
    out->replication_factor = topic->replication;
}

static int32_t *copy_nodes(struct arena *arena, const int32_t *nodes, size_t count) {
    int32_t *copy = arena_alloc(arena, (count + 1) * sizeof *copy);
    memcpy(copy, nodes, count * sizeof *copy);
    return copy;
}

static void tell_replicas(struct arena *arena, const struct partition_ask *ask,
                          Sentinel__V1__Partition *out) {
    out->replicas = arena_calloc(arena, (size_t)ask->replica_count + 1, sizeof *out->replicas);
    for (uint32_t i = 0; i < ask->replica_count; i++) {
        Sentinel__V1__Replica *replica = out->replicas[out->n_replicas++] = arena_alloc(arena,
                                                                                        sizeof *replica);
        sentinel__v1__replica__init(replica);
        replica->node_id = ask->replicas[i].node;
        replica->end_offset = ask->replicas[i].end_offset;
        replica->votes = ask->replicas[i].votes;
    }
}

static Sentinel__V1__Partition *partition_message(struct arena *arena, struct broker *broker,
                                                  const struct broker_topic *topic,
                                                  const struct partition_ask *ask) {
    Sentinel__V1__Partition *out = arena_alloc(arena, sizeof(*out));
    sentinel__v1__partition__init(out);
    out->partition = ask->partition;
    out->leader_node_id = ask->info.leader;
    out->leader_epoch = ask->info.leader_epoch;
    out->log_start_offset = ask->info.log_start_offset;
    out->high_watermark = ask->info.high_watermark;
    out->log_end_offset = ask->info.log_end_offset;
    out->size_bytes = (int64_t)ask->info.bytes;
    int32_t nodes[BROKER_REPLICAS_MAX];
    out->n_replica_node_ids = broker_partition_replicas(broker, topic, ask->partition, false, nodes);
    out->replica_node_ids = copy_nodes(arena, nodes, out->n_replica_node_ids);
    struct partition_move move;
    if (broker_partition_move(broker, topic, ask->partition, &move)) {
        out->n_adding_node_ids = move.adding_count;
        out->adding_node_ids = copy_nodes(arena, move.adding, move.adding_count);
        out->n_removing_node_ids = move.removing_count;
        out->removing_node_ids = copy_nodes(arena, move.removing, move.removing_count);
    }
    tell_replicas(arena, ask, out);
    return out;
}

/* The topic as it is now, or NULL when it was deleted meanwhile (the call has then failed). */
static Sentinel__V1__Topic *topic_message(struct grpc_call *call, struct slice name) {
    const struct broker_topic *topic = grpc_partition_find_topic(call, name);
    if (topic == NULL) return NULL;
    Sentinel__V1__Topic *out = arena_alloc(&call->arena, sizeof(*out));
    sentinel__v1__topic__init(out);
    fill_head(&call->arena, topic, out);
    fill_configs(&call->arena, &topic->config, out);
    return out;
}

/* ---- changes ------------------------------------------------------------------------------------------- */

struct change {
    struct topic_change change;
    struct grpc_call *call;
    char *name; /* in the call's arena, as is: */
    const Sentinel__V1__UpdateTopicRequest *update;
    void (*answer)(struct change *change);
};

static void change_done(struct topic_change *topic_change) {
    struct change *change = CONTAINER_OF(topic_change, struct change, change);
    struct grpc_call *call = change->call;
    if (!call->ended) {
        enum status status = topic_change->status;
        bool names_it = status == STATUS_EXISTS || status == STATUS_UNKNOWN_TOPIC; /* as we do here */
        if (status != STATUS_OK)
            grpc_partition_fail(call, &(struct grpc_partition_error){
                                          .status = status,
                                          .topic = slice_from_text(change->name),
                                          .partition = -1,
                                          .message = names_it ? NULL : topic_change->diagnostic.text});
        else
            change->answer(change);
    }
    grpc_call_unpin(call);
}

static struct change *change_new(struct grpc_call *call, enum topic_change_kind kind, char *name) {
    struct change *change = call->state;
    change->call = call;
    change->name = name;
    change->change.kind = kind;
    change->change.name = slice_from_text(name);
    change->change.done = change_done;
    change->change.partition_count = -1;
    change->change.replication = -1;
    return change;
}

static void change_start(struct change *change, void (*answer)(struct change *change)) {
    change->answer = answer;
    grpc_call_pin(change->call);
    broker_change_topic(grpc_call_broker(change->call), &change->change);
}

static bool set_configs(struct grpc_call *call, struct topic_config *config, const char *field, size_t count,
                        Sentinel__V1__TopicConfigValue **values) {
    for (size_t i = 0; i < count; i++) {
        struct diagnostic diagnostic = {.text = ""};
        enum status status = topic_config_set(config, slice_from_text(values[i]->name),
                                              slice_from_text(values[i]->value), &diagnostic);
        if (status == STATUS_OK) continue;
        char path[64];
        snprintf(path, sizeof path, "%s[%zu]", field, i);
        struct grpc_error error = grpc_error_from_status(status, diagnostic.text);
        error.field = slice_from_text(path);
        grpc_call_fail(call, &error);
        return false;
    }
    return true;
}

static void create_answer(struct change *change) {
    struct grpc_call *call = change->call;
    Sentinel__V1__CreateTopicResponse response = SENTINEL__V1__CREATE_TOPIC_RESPONSE__INIT;
    if (!change->change.validate_only) {
        response.topic = topic_message(call, slice_from_text(change->name));
        if (response.topic == NULL) return;
    } else {
        const struct broker_options *options = broker_get_options(grpc_call_broker(call));
        response.topic = arena_alloc(&call->arena, sizeof(*response.topic));
        sentinel__v1__topic__init(response.topic);
        response.topic->name = change->name;
        int32_t partitions = change->change.partition_count;
        response.topic->partition_count = partitions == -1 ? options->default_partitions : partitions;
        response.topic->replication_factor = MAX(change->change.replication, 1);
        fill_configs(&call->arena, &change->change.config, response.topic);
    }
    grpc_call_reply_packed(call, &response.base);
}

/* All partitions in order, with as many nodes each. */
static bool take_placements(struct grpc_call *call, struct change *change,
                            const Sentinel__V1__CreateTopicRequest *request) {
    size_t replication = request->placements[0]->n_node_ids;
    bool fits = request->partition_count == 0 && request->replication_factor == 0 && replication > 0 &&
                replication <= BROKER_REPLICAS_MAX;
    int32_t *nodes = arena_calloc(&call->arena, request->n_placements * (replication + 1), sizeof *nodes);
    for (size_t i = 0; i < request->n_placements && fits; i++) {
        const Sentinel__V1__PartitionPlacement *placement = request->placements[i];
        fits = placement->partition == (int32_t)i && placement->n_node_ids == replication;
        if (fits) memcpy(nodes + i * replication, placement->node_ids, replication * sizeof *nodes);
    }
    if (!fits) {
        grpc_call_fail_field(call, "placements",
                             "every partition from 0 on, with as many nodes each, at most %d, and no counts",
                             BROKER_REPLICAS_MAX);
        return false;
    }
    change->change.partition_count = (int32_t)request->n_placements;
    change->change.replication = (int16_t)replication;
    change->change.placement = nodes;
    change->change.placement_count = (uint32_t)(request->n_placements * replication);
    return true;
}

static void create_topic(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__CreateTopicRequest *request = grpc_call_unpack(
        call, &sentinel__v1__create_topic_request__descriptor, message->bytes);
    if (request == NULL) return;
    if (request->partition_count < 0) {
        grpc_call_fail_field(call, "partition_count",
                             "a topic has one partition or more; 0 means the default");
        return;
    }
    if (request->replication_factor < 0 || request->replication_factor > INT16_MAX) {
        grpc_call_fail_field(call, "replication_factor", "0 means the default; at most %d", INT16_MAX);
        return;
    }
    struct change *change = change_new(call, TOPIC_CREATE, request->name);
    if (request->n_placements != 0 && !take_placements(call, change, request)) return;
    if (request->partition_count != 0) change->change.partition_count = request->partition_count;
    if (request->replication_factor != 0) change->change.replication = (int16_t)request->replication_factor;
    change->change.validate_only = request->validate_only;
    change->change.config = broker_get_options(grpc_call_broker(call))->topic_defaults;
    if (set_configs(call, &change->change.config, "configs", request->n_configs, request->configs))
        change_start(change, create_answer);
}

static void update_answer(struct change *change) {
    struct grpc_call *call = change->call;
    Sentinel__V1__UpdateTopicResponse response = SENTINEL__V1__UPDATE_TOPIC_RESPONSE__INIT;
    response.topic = topic_message(call, slice_from_text(change->name));
    if (response.topic == NULL) return;
    if (change->change.validate_only) fill_configs(&call->arena, &change->change.config, response.topic);
    grpc_call_reply_packed(call, &response.base);
}

static enum status edit_config(struct broker *broker, const Sentinel__V1__UpdateTopicRequest *request,
                               struct topic_config *config, struct diagnostic *why) {
    enum status status = STATUS_OK;
    for (size_t i = 0; i < request->n_set && status == STATUS_OK; i++)
        status = topic_config_set(config, slice_from_text(request->set[i]->name),
                                  slice_from_text(request->set[i]->value), why);
    for (size_t i = 0; i < request->n_unset && status == STATUS_OK; i++)
        status = topic_config_unset(config, slice_from_text(request->unset[i]),
                                    &broker_get_options(broker)->topic_defaults, why);
    return status;
}

/* Carried out on what the topic has when its turn comes, if it is there then. */
static enum status update_edit(struct topic_change *topic_change) {
    const struct change *change = CONTAINER_OF(topic_change, struct change, change);
    return edit_config(grpc_call_broker(change->call), change->update, &topic_change->config,
                       &topic_change->diagnostic);
}

/* What this node knows of the topic may be old: only what was asked for is looked at before. */
static void update_topic(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__UpdateTopicRequest *request = grpc_call_unpack(
        call, &sentinel__v1__update_topic_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct broker *broker = grpc_call_broker(call);
    struct change *change = change_new(call, TOPIC_ALTER_CONFIG, request->name);
    change->update = request;
    change->change.edit = update_edit;
    change->change.validate_only = request->validate_only;
    struct topic_config config = broker_get_options(broker)->topic_defaults;
    struct diagnostic why = {.text = ""};
    if (!set_configs(call, &config, "set", request->n_set, request->set)) return;
    enum status status = edit_config(broker, request, &config, &why);
    if (status == STATUS_OK)
        change_start(change, update_answer);
    else
        grpc_call_fail_status(call, status, why.text);
}

static void delete_answer(struct change *change) {
    Sentinel__V1__DeleteTopicResponse response = SENTINEL__V1__DELETE_TOPIC_RESPONSE__INIT;
    grpc_call_reply_packed(change->call, &response.base);
}

static void delete_topic(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__DeleteTopicRequest *request = grpc_call_unpack(
        call, &sentinel__v1__delete_topic_request__descriptor, message->bytes);
    if (request != NULL) change_start(change_new(call, TOPIC_DELETE, request->name), delete_answer);
}

static void add_partitions_answer(struct change *change) {
    Sentinel__V1__AddPartitionsResponse response = SENTINEL__V1__ADD_PARTITIONS_RESPONSE__INIT;
    response.partition_count = change->change.partition_count;
    grpc_call_reply_packed(change->call, &response.base);
}

static void add_partitions(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__AddPartitionsRequest *request = grpc_call_unpack(
        call, &sentinel__v1__add_partitions_request__descriptor, message->bytes);
    if (request == NULL) return;
    if (request->partition_count < 1) {
        grpc_call_fail_field(call, "partition_count", "say how many partitions the topic shall have in all");
        return;
    }
    struct change *change = change_new(call, TOPIC_ADD_PARTITIONS, request->name);
    change->change.partition_count = request->partition_count;
    change->change.validate_only = request->validate_only;
    change_start(change, add_partitions_answer);
}

/* ---- listing ------------------------------------------------------------------------------------------- */

/* A page ends with a token: the id of its last topic. Topics come in order of creation, so one that is made
 * or deleted between two pages never hides another. When the last topic itself was deleted the listing begins
 * anew. */
struct page {
    struct arena *arena;
    struct uuid after;
    bool skipping;
    size_t size_max, count;
    Sentinel__V1__Topic **topics;
    bool more;
};

static void page_visit(void *ctx, const struct broker_topic *topic) {
    struct page *page = ctx;
    if (page->skipping) {
        if (uuid_equal(topic->id, page->after)) page->skipping = false;
        return;
    }
    if (page->count == page->size_max) {
        page->more = true;
        return;
    }
    Sentinel__V1__Topic *out = arena_alloc(page->arena, sizeof(*out));
    sentinel__v1__topic__init(out);
    fill_head(page->arena, topic, out);
    page->topics[page->count++] = out;
}

static void list_topics(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__ListTopicsRequest *request = grpc_call_unpack(
        call, &sentinel__v1__list_topics_request__descriptor, message->bytes);
    if (request == NULL) return;
    bool all = request->page_size <= 0 || request->page_size > PAGE_SIZE_MAX;
    struct page page = {.arena = &call->arena, .size_max = all ? PAGE_SIZE_MAX : (size_t)request->page_size};
    page.topics = arena_calloc(&call->arena, page.size_max, sizeof(*page.topics));
    if (request->page_token[0] != 0) {
        struct writer id;
        writer_init(&id);
        bool valid = grpc_base64_decode(&id, slice_from_text(request->page_token)) == STATUS_OK &&
                     id.size == sizeof page.after.bytes;
        if (valid) memcpy(page.after.bytes, id.data, id.size);
        writer_release(&id);
        if (!valid) {
            grpc_call_fail_field(call, "page_token", "not a token that a page ended with");
            return;
        }
        page.skipping = broker_topic_find_id(grpc_call_broker(call), page.after) != NULL;
    }
    broker_topics_visit(grpc_call_broker(call), page_visit, &page);
    Sentinel__V1__ListTopicsResponse response = SENTINEL__V1__LIST_TOPICS_RESPONSE__INIT;
    response.n_topics = page.count;
    response.topics = page.topics;
    struct writer token;
    writer_init(&token);
    if (page.more) {
        ProtobufCBinaryData last = page.topics[page.count - 1]->topic_id;
        grpc_base64_encode(&token, slice_make(last.data, last.len));
        response.next_page_token = arena_text(&call->arena, writer_slice(&token));
    }
    writer_release(&token);
    grpc_call_reply_packed(call, &response.base);
}

/* ---- one topic ----------------------------------------------------------------------------------------- */

/* Each partition's leader is asked, all at once. */
struct get_partition {
    struct partition_ask ask;
    struct get *get;
    bool busy;
};
struct get {
    struct grpc_call *call;
    Sentinel__V1__Topic *topic;
    struct slice name;
    struct get_partition *partitions;
    int32_t count, busy;
};

static void get_answer(struct get *get) {
    struct grpc_call *call = get->call;
    struct broker *broker = grpc_call_broker(call);
    const struct broker_topic *topic = broker_topic_find(broker, get->name);
    if (topic == NULL || topic->partition_count < get->count) {
        grpc_partition_fail_unknown(call, get->name, -1);
        return;
    }
    for (int32_t i = 0; i < get->count; i++) {
        struct partition_ask *ask = &get->partitions[i].ask;
        /* Nobody leads it, or the leader does not answer: what this node has of it. */
        enum status here = ask->status == STATUS_OK ? STATUS_OK
                                                    : broker_partition_info(broker, get->name, i, &ask->info);
        if (here != STATUS_OK && here == ask->status) { /* it is this node that cannot read it */
            grpc_partition_fail(
                call, &(struct grpc_partition_error){.status = here, .topic = get->name, .partition = i});
            return;
        }
        if (ask->status == STATUS_NOT_LEADER) ask->info.leader = -1; /* not even who led last */
        get->topic->partitions[get->topic->n_partitions++] = partition_message(&call->arena, broker, topic,
                                                                               ask);
    }
    Sentinel__V1__GetTopicResponse response = SENTINEL__V1__GET_TOPIC_RESPONSE__INIT;
    response.topic = get->topic;
    grpc_call_reply_packed(call, &response.base);
}

static void get_asked(struct partition_ask *ask) {
    struct get_partition *part = CONTAINER_OF(ask, struct get_partition, ask);
    part->busy = false;
    if (--part->get->busy == 0) get_answer(part->get);
}

static void get_topic(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__GetTopicRequest *request = grpc_call_unpack(
        call, &sentinel__v1__get_topic_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct get *get = call->state;
    get->call = call;
    get->name = slice_from_text(request->name);
    get->topic = topic_message(call, get->name);
    if (get->topic == NULL) return;
    size_t count = (size_t)get->topic->partition_count;
    get->topic->partitions = arena_calloc(&call->arena, count, sizeof *get->topic->partitions);
    get->partitions = arena_calloc(&call->arena, count, sizeof *get->partitions);
    get->count = get->busy = (int32_t)count;
    for (int32_t i = 0; i < get->count; i++) {
        struct get_partition *part = &get->partitions[i];
        part->get = get;
        part->busy = true;
        part->ask = (struct partition_ask){
            .kind = PARTITION_DESCRIBE, .topic = get->name, .partition = i, .done = get_asked};
        broker_ask_partition(grpc_call_broker(call), &part->ask);
    }
}

static void get_ended(struct grpc_call *call) {
    struct get *get = call->state;
    for (int32_t i = 0; i < get->count; i++)
        if (get->partitions[i].busy) broker_ask_partition_cancel(&get->partitions[i].ask);
}

#define TOPIC_METHOD(name, handler)                                                                          \
    .path = "/sentinel.v1.TopicService/" name, .message_size_max = GRPC_CONTROL_MESSAGE_MAX,                 \
    .message = handler

const struct grpc_method grpc_topics_methods[6] = {
    {TOPIC_METHOD("CreateTopic", create_topic), .state_size = sizeof(struct change)},
    {TOPIC_METHOD("GetTopic", get_topic), .state_size = sizeof(struct get), .ended = get_ended},
    {TOPIC_METHOD("ListTopics", list_topics)},
    {TOPIC_METHOD("UpdateTopic", update_topic), .state_size = sizeof(struct change)},
    {TOPIC_METHOD("DeleteTopic", delete_topic), .state_size = sizeof(struct change)},
    {TOPIC_METHOD("AddPartitions", add_partitions), .state_size = sizeof(struct change)},
};
