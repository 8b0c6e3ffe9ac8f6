// SPDX-License-Identifier: Apache-2.0
/* What a client learns before it sends or reads: ApiVersions, Metadata, DescribeCluster,
 * DescribeTopicPartitions, DescribeLogDirs, ListPartitionReassignments, and InitProducerId. */
#include <stdlib.h>

#include "base/assert.h"
#include "server/kafka_connection.h"

/* ---- ApiVersions
 * ------------------------------------------------------------------------------------------- */

static bool is_name_byte(uint8_t c, bool edge) {
    bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return alphanumeric || (!edge && (c == '-' || c == '.'));
}

/* KIP-511: letters and digits, with '-' and '.' inside. */
static bool is_software_name(struct slice name) {
    for (size_t i = 0; i < name.size; i++)
        if (!is_name_byte(name.data[i], i == 0 || i + 1 == name.size)) return false;
    return name.size != 0;
}

static void list_versions(struct kafka_request *request, struct kafka_api_versions_response *response) {
    unsigned count = 0;
    while (kafka_api_at(count) != NULL)
        count++;
    response->api_keys = kafka_new(request, count, sizeof *response->api_keys);
    response->api_keys_count = (int32_t)count;
    for (unsigned i = 0; i < count; i++) {
        const struct kafka_api *api = kafka_api_at(i);
        response->api_keys[i] = (struct kafka_api_versions_response_api){api->key, api->first, api->last};
    }
}

void kafka_api_versions(struct kafka_request *request) {
    const struct kafka_api_versions_request *in = request->message;
    struct kafka_api_versions_response response;
    kafka_message_init(&kafka_schema_api_versions_response, &response);
    if (request->version >= 3 &&
        (!is_software_name(in->client_software_name) || !is_software_name(in->client_software_version)))
        response.error_code = KAFKA_ERROR_INVALID_REQUEST;
    else
        list_versions(request, &response);
    kafka_answer(request, &response);
}

void kafka_api_versions_unsupported(struct kafka_request *request) {
    struct kafka_api_versions_response response;
    kafka_message_init(&kafka_schema_api_versions_response, &response);
    response.error_code = KAFKA_ERROR_UNSUPPORTED_VERSION;
    list_versions(request, &response);
    request->version = 0;
    kafka_answer(request, &response);
}

/* Listed because librdkafka compresses with lz4 only where it is; consumer groups themselves are refused. */
void kafka_find_coordinator(struct kafka_request *request) {
    struct kafka_find_coordinator_response response = {
        .error_code = KAFKA_ERROR_UNSUPPORTED_VERSION,
        .error_message = SLICE_LITERAL("consumer groups and transactions are not supported yet"),
        .node_id = -1,
        .host = SLICE_LITERAL(""),
        .port = -1};
    kafka_answer(request, &response);
}

/* ---- Metadata
 * ----------------------------------------------------------------------------------------------- */

struct metadata_answer {
    struct kafka_request *request;
    uint32_t pending; /* topics being made */
    struct kafka_metadata_response_topic *topics;
    int32_t topic_count, topic_capacity;
};
/* A topic that is made because a client asked for it. */
struct made_topic {
    struct topic_change change;
    struct metadata_answer *answer;
    struct kafka_metadata_response_topic *out;
};

static int32_t *this_node(struct kafka_request *request) {
    int32_t *node = kafka_new(request, 1, sizeof *node);
    *node = broker_node_id(request->broker);
    return node;
}

static void describe_topic(struct kafka_request *request, const struct broker_topic *topic,
                           struct kafka_metadata_response_topic *out) {
    int32_t *node = this_node(request);
    out->error_code = KAFKA_ERROR_NONE;
    out->name = arena_copy(&request->arena, slice_from_text(topic->name));
    out->topic_id = topic->id;
    out->partitions_count = topic->partition_count;
    out->partitions = kafka_new(request, (size_t)topic->partition_count, sizeof *out->partitions);
    for (int32_t i = 0; i < topic->partition_count; i++) {
        struct kafka_metadata_response_partition *partition = &out->partitions[i];
        partition->partition_index = i;
        partition->leader_id = *node;
        partition->leader_epoch = 0;
        partition->replica_nodes = partition->isr_nodes = node;
        partition->replica_nodes_count = partition->isr_nodes_count = 1;
    }
}

static void visit_topic(void *ctx, const struct broker_topic *topic) {
    struct metadata_answer *answer = ctx;
    ASSERT(answer->topic_count < answer->topic_capacity);
    struct kafka_metadata_response_topic *out = &answer->topics[answer->topic_count++];
    kafka_message_init(&kafka_schema_metadata_response_topic, out);
    describe_topic(answer->request, topic, out);
}

static void finish_metadata(struct metadata_answer *answer) {
    struct kafka_request *request = answer->request;
    struct kafka_metadata_response response;
    kafka_message_init(&kafka_schema_metadata_response, &response);
    struct kafka_metadata_response_broker broker = {.node_id = broker_node_id(request->broker)};
    broker.host = kafka_advertised(request, &broker.port);
    response.brokers = &broker;
    response.brokers_count = 1;
    response.cluster_id = slice_from_text(broker_cluster_id(request->broker));
    response.controller_id = broker.node_id;
    response.topics = answer->topics;
    response.topics_count = answer->topic_count;
    kafka_answer(request, &response);
}

static void topic_made(struct topic_change *change) {
    struct made_topic *made = CONTAINER_OF(change, struct made_topic, change);
    struct metadata_answer *answer = made->answer;
    /* Another client may have made it first: it is there either way. */
    const struct broker_topic *topic = broker_topic_find(answer->request->broker, made->out->name);
    if (topic != NULL)
        describe_topic(answer->request, topic, made->out);
    else
        made->out->error_code = status_kafka_code(change->status == STATUS_OK ? STATUS_UNKNOWN_TOPIC
                                                                              : change->status);
    if (--answer->pending == 0) finish_metadata(answer);
}

static void make_topic(struct metadata_answer *answer, struct kafka_metadata_response_topic *out) {
    struct made_topic *made = kafka_new(answer->request, 1, sizeof *made);
    made->answer = answer;
    made->out = out;
    made->change = (struct topic_change){.kind = TOPIC_CREATE,
                                         .name = out->name,
                                         .partition_count = -1,
                                         .replication = -1,
                                         .done = topic_made};
    answer->pending++;
    broker_change_topic(answer->request->broker, &made->change);
}

static void look_up_topic(struct metadata_answer *answer, const struct kafka_metadata_request_topic *asked) {
    struct kafka_request *request = answer->request;
    const struct kafka_metadata_request *in = request->message;
    struct kafka_metadata_response_topic *out = &answer->topics[answer->topic_count++];
    kafka_message_init(&kafka_schema_metadata_response_topic, out);
    bool by_id = asked->name.data == NULL;
    const struct broker_topic *topic = by_id ? broker_topic_find_id(request->broker, asked->topic_id)
                                             : broker_topic_find(request->broker, asked->name);
    if (topic != NULL) {
        describe_topic(request, topic, out);
        return;
    }
    out->name = asked->name;
    out->topic_id = asked->topic_id;
    enum status status = by_id ? STATUS_UNKNOWN_TOPIC_ID : topic_name_check(asked->name, NULL);
    if (status == STATUS_OK && in->allow_auto_topic_creation &&
        broker_get_options(request->broker)->auto_create_topics) {
        make_topic(answer, out);
        return;
    }
    out->error_code = status_kafka_code(status == STATUS_OK ? STATUS_UNKNOWN_TOPIC : status);
}

void kafka_metadata(struct kafka_request *request) {
    const struct kafka_metadata_request *in = request->message;
    /* All topics: null, or in version 0, which has no null, none. */
    bool all = in->topics_count < 0 || (request->version == 0 && in->topics_count == 0);
    struct metadata_answer *answer = kafka_new(request, 1, sizeof *answer);
    struct broker_stats stats;
    broker_stats(request->broker, &stats);
    answer->request = request;
    answer->topic_capacity = all ? (int32_t)stats.topics : in->topics_count;
    answer->topics = kafka_new(request, (size_t)answer->topic_capacity, sizeof *answer->topics);
    answer->pending = 1;
    if (all) broker_topics_visit(request->broker, visit_topic, answer);
    for (int32_t i = 0; !all && i < in->topics_count; i++)
        look_up_topic(answer, &in->topics[i]);
    if (--answer->pending == 0) finish_metadata(answer);
}

/* ---- the cluster
 * --------------------------------------------------------------------------------------------- */

void kafka_describe_cluster(struct kafka_request *request) {
    struct kafka_describe_cluster_response response;
    kafka_message_init(&kafka_schema_describe_cluster_response, &response);
    struct kafka_describe_cluster_response_broker broker = {.broker_id = broker_node_id(request->broker)};
    broker.host = kafka_advertised(request, &broker.port);
    response.cluster_id = slice_from_text(broker_cluster_id(request->broker));
    response.controller_id = broker.broker_id;
    response.brokers = &broker;
    response.brokers_count = 1;
    kafka_answer(request, &response);
}

static int order_of_names(const void *a, const void *b) {
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static void describe_partitions(struct kafka_request *request, struct slice name, int32_t from, int32_t *room,
                                struct kafka_describe_topic_partitions_response_topic *out) {
    const struct broker_topic *topic = broker_topic_find(request->broker, name);
    kafka_message_init(&kafka_schema_describe_topic_partitions_response_topic, out);
    out->name = name;
    if (topic == NULL) {
        out->error_code = status_kafka_code(STATUS_UNKNOWN_TOPIC);
        return;
    }
    int32_t *node = this_node(request);
    out->topic_id = topic->id;
    out->partitions_count = MIN(MAX(topic->partition_count - from, 0), *room);
    out->partitions = kafka_new(request, (size_t)out->partitions_count, sizeof *out->partitions);
    *room -= out->partitions_count;
    for (int32_t i = 0; i < out->partitions_count; i++) {
        struct kafka_describe_topic_partitions_response_partition *partition = &out->partitions[i];
        partition->partition_index = from + i;
        partition->leader_id = *node;
        partition->replica_nodes = partition->isr_nodes = node;
        partition->replica_nodes_count = partition->isr_nodes_count = 1;
    }
}

/* Topics in order of their names, from the cursor on, and no more partitions than asked for (KIP-966). */
void kafka_describe_topic_partitions(struct kafka_request *request) {
    const struct kafka_describe_topic_partitions_request *in = request->message;
    struct kafka_describe_topic_partitions_response response = {0};
    size_t count = (size_t)in->topics_count;
    struct slice *names = kafka_new(request, count, sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = in->topics[i].name;
    qsort(names, count, sizeof *names, order_of_names);
    int32_t room = MIN(MAX(in->response_partition_limit, 1), 2000);
    response.topics = kafka_new(request, count, sizeof *response.topics);
    for (size_t i = 0; i < count; i++) {
        int order = in->cursor == NULL ? 1 : slice_compare(names[i], in->cursor->topic_name);
        if (order < 0) continue;
        int32_t from = order == 0 ? MAX(in->cursor->partition_index, 0) : 0;
        struct kafka_describe_topic_partitions_response_topic *out =
            &response.topics[response.topics_count++];
        describe_partitions(request, names[i], from, &room, out);
        const struct broker_topic *topic = broker_topic_find(request->broker, names[i]);
        if (topic != NULL && from + out->partitions_count < topic->partition_count) {
            response.next_cursor = kafka_new(request, 1, sizeof *response.next_cursor);
            response.next_cursor->topic_name = names[i];
            response.next_cursor->partition_index = from + out->partitions_count;
            break;
        }
    }
    kafka_answer(request, &response);
}

/* Nothing is ever being moved on one node. */
void kafka_list_partition_reassignments(struct kafka_request *request) {
    struct kafka_list_partition_reassignments_response response = {0};
    kafka_answer(request, &response);
}

/* ---- DescribeLogDirs
 * ------------------------------------------------------------------------------------------ */

struct log_dirs {
    struct kafka_request *request;
    struct kafka_describe_log_dirs_response_topic *topics;
    int32_t count, capacity;
};

static bool wants_topic(const struct kafka_describe_log_dirs_request *in, struct slice name) {
    if (in->topics_count < 0) return true;
    for (int32_t i = 0; i < in->topics_count; i++)
        if (slice_equal(in->topics[i].topic, name)) return true;
    return false;
}

static void visit_log_dir(void *ctx, const struct broker_topic *topic) {
    struct log_dirs *dirs = ctx;
    struct kafka_request *request = dirs->request;
    struct slice name = slice_from_text(topic->name);
    if (!wants_topic(request->message, name)) return;
    ASSERT(dirs->count < dirs->capacity);
    struct kafka_describe_log_dirs_response_topic *out = &dirs->topics[dirs->count++];
    out->name = arena_copy(&request->arena, name);
    out->partitions = kafka_new(request, (size_t)topic->partition_count, sizeof *out->partitions);
    for (int32_t i = 0; i < topic->partition_count; i++) {
        struct partition_info info;
        /* One that is not loaded yet is being loaded now: it is in the next answer. */
        if (broker_partition_info(request->broker, name, i, &info) != STATUS_OK) continue;
        out->partitions[out->partitions_count++] = (struct kafka_describe_log_dirs_response_partition){
            .partition_index = i, .partition_size = (int64_t)info.bytes};
    }
}

void kafka_describe_log_dirs(struct kafka_request *request) {
    struct kafka_describe_log_dirs_response response = {.results_count = 1};
    struct kafka_describe_log_dirs_response_result result;
    struct broker_stats stats;
    broker_stats(request->broker, &stats);
    struct log_dirs dirs = {.request = request, .capacity = (int32_t)stats.topics};
    dirs.topics = kafka_new(request, (size_t)dirs.capacity, sizeof *dirs.topics);
    broker_topics_visit(request->broker, visit_log_dir, &dirs);
    kafka_message_init(&kafka_schema_describe_log_dirs_response_result, &result);
    const char *dir = broker_get_options(request->broker)->data_dir;
    uint64_t free_bytes, total_bytes;
    result.log_dir = slice_from_text(dir);
    result.topics = dirs.topics;
    result.topics_count = dirs.count;
    if (io_disk_space(server_io(request->server), dir, &free_bytes, &total_bytes) == STATUS_OK) {
        result.total_bytes = (int64_t)total_bytes;
        result.usable_bytes = (int64_t)free_bytes;
    }
    response.results = &result;
    kafka_answer(request, &response);
}

/* ---- InitProducerId
 * -------------------------------------------------------------------------------------------- */

struct new_producer {
    struct kafka_request *request;
    struct producer_id_request id;
};

static void got_producer_id(struct producer_id_request *id) {
    struct new_producer *producer = CONTAINER_OF(id, struct new_producer, id);
    struct kafka_init_producer_id_response response = {.error_code = status_kafka_code(id->status),
                                                       .producer_id = id->producer_id,
                                                       .producer_epoch = id->producer_epoch};
    kafka_answer(producer->request, &response);
}

void kafka_init_producer_id(struct kafka_request *request) {
    const struct kafka_init_producer_id_request *in = request->message;
    struct kafka_init_producer_id_response response = {.producer_id = -1, .producer_epoch = -1};
    if (in->transactional_id.data != NULL) {
        /* Transactions need their coordinator, whose keys ApiVersions does not list. */
        response.error_code = KAFKA_ERROR_INVALID_REQUEST;
        kafka_answer(request, &response);
        return;
    }
    struct new_producer *producer = kafka_new(request, 1, sizeof *producer);
    producer->request = request;
    producer->id = (struct producer_id_request){.done = got_producer_id};
    broker_new_producer_id(request->broker, &producer->id);
}
