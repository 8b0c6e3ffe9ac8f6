// SPDX-License-Identifier: Apache-2.0
/* ApiVersions, DescribeLogDirs and AlterReplicaLogDirs. */
#include <ctype.h>

#include "server/kafka_handlers.h"

/* ---- ApiVersions (KIP-511) ----------------------------------------------------------------------------- */

static void fill_api(const struct kafka_api *api, struct kafka_api_versions_response_api *out) {
    out->api_key = api->key;
    out->min_version = api->first;
    out->max_version = api->last;
}

void kafka_admin_api_versions_unsupported(struct kafka_request *request) {
    struct kafka_api_versions_response *response = request->response;
    response->error_code = KAFKA_UNSUPPORTED_VERSION;
    response->api_keys = kafka_request_array(request, &kafka_schema_api_versions_response_api, 1);
    response->api_keys_count = 1;
    fill_api(request->api, response->api_keys);
    request->header.api_version = 0; /* the body that every client can read */
}

/* Letters, digits, '-' and '.', with a letter or digit first and last. */
static bool is_software_name(struct slice name) {
    if (name.size == 0 || !isalnum(name.data[0]) || !isalnum(name.data[name.size - 1])) return false;
    for (size_t i = 0; i < name.size; i++)
        if (!isalnum(name.data[i]) && name.data[i] != '-' && name.data[i] != '.') return false;
    return true;
}

/* With transaction.version 2 clients end each transaction with a new epoch (KIP-890). */
static void tell_features(struct kafka_request *request, struct kafka_api_versions_response *response) {
    response->supported_features = kafka_request_array(
        request, &kafka_schema_api_versions_response_supported_feature, 1);
    response->supported_features_count = 1;
    response->supported_features[0].name = SLICE_LITERAL(KAFKA_FEATURE_TRANSACTIONS);
    response->supported_features[0].max_version = KAFKA_FEATURE_TRANSACTIONS_LEVEL;
    response->finalized_features = kafka_request_array(
        request, &kafka_schema_api_versions_response_finalized_feature, 1);
    response->finalized_features_count = 1;
    response->finalized_features[0].name = SLICE_LITERAL(KAFKA_FEATURE_TRANSACTIONS);
    response->finalized_features[0].max_version_level = KAFKA_FEATURE_TRANSACTIONS_LEVEL;
    response->finalized_features[0].min_version_level = KAFKA_FEATURE_TRANSACTIONS_LEVEL;
    response->finalized_features_epoch = 0;
}

void kafka_admin_api_versions(struct kafka_request *request) {
    const struct kafka_api_versions_request *message = request->message;
    struct kafka_api_versions_response *response = request->response;
    if (request->header.api_version >= 3 && (!is_software_name(message->client_software_name) ||
                                             !is_software_name(message->client_software_version))) {
        response->error_code = KAFKA_INVALID_REQUEST;
        return;
    }
    unsigned count = 0;
    while (kafka_api_at(count) != NULL)
        count++;
    response->api_keys = kafka_request_array(request, &kafka_schema_api_versions_response_api, count);
    response->api_keys_count = (int32_t)count;
    for (unsigned i = 0; i < count; i++)
        fill_api(kafka_api_at(i), &response->api_keys[i]);
    tell_features(request, response);
}

/* ---- DescribeLogDirs (KIP-113, KIP-827) ---------------------------------------------------------------- */

/* Sizes are known of loaded partitions; asking for an offset loads one. */
struct load_part {
    struct list_offset ask;
    struct kafka_request *request;
};

static void loaded(struct list_offset *ask) {
    kafka_request_release(CONTAINER_OF(ask, struct load_part, ask)->request);
}

static void load_partition(struct kafka_request *request, struct slice topic, int32_t partition) {
    struct partition_info info;
    if (broker_partition_info(request->broker, topic, partition, &info) != STATUS_PENDING) return;
    struct load_part *part = kafka_request_calloc(request, 1, sizeof *part);
    part->request = request;
    part->ask = (struct list_offset){
        .topic = topic, .partition = partition, .timestamp_ms = OFFSET_EARLIEST, .done = loaded};
    kafka_request_hold(request);
    broker_list_offset(request->broker, &part->ask);
}

static void load_topic(void *ctx, const struct broker_topic *topic) {
    for (int32_t i = 0; i < topic->partition_count; i++)
        load_partition(ctx, slice_from_text(topic->name), i);
}

static void tell_partition(struct kafka_request *request, struct slice topic, int32_t partition,
                           struct kafka_describe_log_dirs_response_topic *out) {
    struct partition_info info;
    if (broker_partition_info(request->broker, topic, partition, &info) != STATUS_OK) return;
    struct kafka_describe_log_dirs_response_partition *row = &out->partitions[out->partitions_count++];
    row->partition_index = partition;
    row->partition_size = (int64_t)info.bytes;
}

static void tell_topic(void *ctx, const struct broker_topic *topic) {
    struct kafka_request *request = ctx;
    struct kafka_describe_log_dirs_response *response = request->response;
    struct kafka_describe_log_dirs_response_result *dir = &response->results[0];
    struct kafka_describe_log_dirs_response_topic *out = &dir->topics[dir->topics_count++];
    out->name = arena_copy(&request->arena, slice_from_text(topic->name));
    out->partitions = kafka_request_array(request, &kafka_schema_describe_log_dirs_response_partition,
                                          (size_t)topic->partition_count);
    for (int32_t i = 0; i < topic->partition_count; i++)
        tell_partition(request, out->name, i, out);
}

static void count_topic(void *ctx, const struct broker_topic *topic) {
    (void)topic;
    ++*(size_t *)ctx;
}

static void tell_all(struct kafka_request *request, struct kafka_describe_log_dirs_response_result *dir) {
    size_t count = 0;
    broker_topics_visit(request->broker, count_topic, &count);
    dir->topics = kafka_request_array(request, &kafka_schema_describe_log_dirs_response_topic, count);
    broker_topics_visit(request->broker, tell_topic, request);
}

static void tell_asked(struct kafka_request *request, struct kafka_describe_log_dirs_response_result *dir) {
    const struct kafka_describe_log_dirs_request *message = request->message;
    dir->topics_count = message->topics_count;
    dir->topics = kafka_request_array(request, &kafka_schema_describe_log_dirs_response_topic,
                                      (size_t)message->topics_count);
    for (int32_t t = 0; t < message->topics_count; t++) {
        const struct kafka_describe_log_dirs_request_topic *in = &message->topics[t];
        struct kafka_describe_log_dirs_response_topic *out = &dir->topics[t];
        out->name = in->topic;
        out->partitions = kafka_request_array(request, &kafka_schema_describe_log_dirs_response_partition,
                                              (size_t)MAX(in->partitions_count, 0));
        for (int32_t p = 0; p < in->partitions_count; p++)
            tell_partition(request, in->topic, in->partitions[p], out);
    }
}

/* It gets no new replicas (KIP-1066). */
static bool is_draining(const struct kafka_request *request) {
    struct broker_node nodes[BROKER_NODES_MAX];
    uint32_t count = broker_nodes(request->broker, nodes);
    for (uint32_t i = 0; i < count; i++)
        if (nodes[i].node == broker_node_id(request->broker)) return nodes[i].draining;
    return false;
}

static void log_dirs_fill(struct kafka_request *request) {
    const struct kafka_describe_log_dirs_request *message = request->message;
    struct kafka_describe_log_dirs_response *response = request->response;
    const char *path = broker_get_options(request->broker)->data_dir;
    response->results = kafka_request_array(request, &kafka_schema_describe_log_dirs_response_result, 1);
    response->results_count = 1;
    struct kafka_describe_log_dirs_response_result *dir = &response->results[0];
    dir->log_dir = slice_from_text(path);
    dir->is_cordoned = is_draining(request);
    uint64_t usable, total;
    if (io_disk_space(server_io(request->server), path, &usable, &total) == STATUS_OK) {
        dir->total_bytes = (int64_t)total;
        dir->usable_bytes = (int64_t)usable;
    }
    if (message->topics_count < 0)
        tell_all(request, dir);
    else
        tell_asked(request, dir);
}

void kafka_admin_describe_log_dirs(struct kafka_request *request) {
    const struct kafka_describe_log_dirs_request *message = request->message;
    request->finish = log_dirs_fill;
    if (message->topics_count < 0) broker_topics_visit(request->broker, load_topic, request);
    for (int32_t t = 0; t < message->topics_count; t++)
        for (int32_t p = 0; p < message->topics[t].partitions_count; p++)
            load_partition(request, message->topics[t].topic, message->topics[t].partitions[p]);
}

/* ---- AlterReplicaLogDirs (KIP-113) --------------------------------------------------------------------- */

/* A node has one directory: what is asked to move there stays. */
static int16_t place_in_dir(struct kafka_request *request, struct slice path, struct slice name,
                            int32_t partition) {
    int32_t nodes[BROKER_REPLICAS_MAX];
    const struct broker_topic *topic = broker_topic_find(request->broker, name);
    if (!slice_equal(path, slice_from_text(broker_get_options(request->broker)->data_dir)))
        return KAFKA_LOG_DIR_NOT_FOUND;
    if (topic == NULL || partition < 0 || partition >= topic->partition_count)
        return status_kafka_code(STATUS_UNKNOWN_TOPIC);
    uint32_t count = broker_partition_replicas(request->broker, topic, partition, false, nodes);
    for (uint32_t i = 0; i < count; i++)
        if (nodes[i] == broker_node_id(request->broker)) return KAFKA_NONE;
    return KAFKA_REPLICA_NOT_AVAILABLE;
}

void kafka_admin_alter_log_dirs(struct kafka_request *request) {
    const struct kafka_alter_replica_log_dirs_request *message = request->message;
    struct kafka_alter_replica_log_dirs_response *response = request->response;
    size_t count = 0;
    for (int32_t d = 0; d < message->dirs_count; d++)
        count += (size_t)MAX(message->dirs[d].topics_count, 0);
    response->results = kafka_request_array(request, &kafka_schema_alter_replica_log_dirs_response_topic,
                                            count);
    for (int32_t d = 0; d < message->dirs_count; d++) {
        const struct kafka_alter_replica_log_dirs_request_dir *dir = &message->dirs[d];
        for (int32_t t = 0; t < dir->topics_count; t++) {
            const struct kafka_alter_replica_log_dirs_request_topic *in = &dir->topics[t];
            struct kafka_alter_replica_log_dirs_response_topic *out =
                &response->results[response->results_count++];
            out->topic_name = in->name;
            out->partitions_count = MAX(in->partitions_count, 0);
            out->partitions = kafka_request_array(request,
                                                  &kafka_schema_alter_replica_log_dirs_response_partition,
                                                  (size_t)out->partitions_count);
            for (int32_t p = 0; p < out->partitions_count; p++) {
                out->partitions[p].partition_index = in->partitions[p];
                out->partitions[p].error_code = place_in_dir(request, dir->path, in->name, in->partitions[p]);
            }
        }
    }
}
