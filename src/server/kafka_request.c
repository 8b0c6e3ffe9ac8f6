// SPDX-License-Identifier: Apache-2.0
#include "server/kafka_request.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "server/kafka_connection.h"
#include "server/kafka_handlers.h"
#include "server/metrics.h"

#define ARENA_BLOCK_SIZE (4 * KIB)

static const struct {
    int16_t key;
    void (*handler)(struct kafka_request *request);
} HANDLERS[] = {
    {KAFKA_PRODUCE, kafka_data_produce},
    {KAFKA_FETCH, kafka_data_fetch},
    {KAFKA_LIST_OFFSETS, kafka_offsets_list},
    {KAFKA_METADATA, kafka_metadata_describe},
    {KAFKA_OFFSET_COMMIT, kafka_group_offset_commit},
    {KAFKA_OFFSET_FETCH, kafka_group_offset_fetch},
    {KAFKA_FIND_COORDINATOR, kafka_group_find_coordinator},
    {KAFKA_JOIN_GROUP, kafka_group_join},
    {KAFKA_HEARTBEAT, kafka_group_heartbeat},
    {KAFKA_LEAVE_GROUP, kafka_group_leave},
    {KAFKA_SYNC_GROUP, kafka_group_sync},
    {KAFKA_DESCRIBE_GROUPS, kafka_group_describe},
    {KAFKA_LIST_GROUPS, kafka_group_list},
    {KAFKA_API_VERSIONS, kafka_admin_api_versions},
    {KAFKA_CREATE_TOPICS, kafka_topics_create},
    {KAFKA_DELETE_TOPICS, kafka_topics_delete},
    {KAFKA_DELETE_RECORDS, kafka_offsets_delete_records},
    {KAFKA_INIT_PRODUCER_ID, kafka_producer_init_id},
    {KAFKA_OFFSET_FOR_LEADER_EPOCH, kafka_offsets_for_leader_epoch},
    {KAFKA_ADD_PARTITIONS_TO_TXN, kafka_txn_add_partitions},
    {KAFKA_ADD_OFFSETS_TO_TXN, kafka_txn_add_offsets},
    {KAFKA_END_TXN, kafka_txn_end},
    {KAFKA_TXN_OFFSET_COMMIT, kafka_txn_offset_commit},
    {KAFKA_WRITE_TXN_MARKERS, kafka_txn_write_markers},
    {KAFKA_DESCRIBE_CONFIGS, kafka_configs_describe},
    {KAFKA_ALTER_CONFIGS, kafka_configs_alter},
    {KAFKA_ALTER_REPLICA_LOG_DIRS, kafka_admin_alter_log_dirs},
    {KAFKA_DESCRIBE_LOG_DIRS, kafka_admin_describe_log_dirs},
    {KAFKA_CREATE_PARTITIONS, kafka_topics_create_partitions},
    {KAFKA_DELETE_GROUPS, kafka_group_delete},
    {KAFKA_ELECT_LEADERS, kafka_moves_elect_leaders},
    {KAFKA_INCREMENTAL_ALTER_CONFIGS, kafka_configs_alter_incrementally},
    {KAFKA_ALTER_PARTITION_REASSIGNMENTS, kafka_moves_alter},
    {KAFKA_LIST_PARTITION_REASSIGNMENTS, kafka_moves_list},
    {KAFKA_OFFSET_DELETE, kafka_group_offset_delete},
    {KAFKA_DESCRIBE_QUORUM, kafka_cluster_describe_quorum},
    {KAFKA_UPDATE_FEATURES, kafka_cluster_update_features},
    {KAFKA_DESCRIBE_CLUSTER, kafka_metadata_describe_cluster},
    {KAFKA_UNREGISTER_BROKER, kafka_cluster_unregister},
    {KAFKA_DESCRIBE_TRANSACTIONS, kafka_txn_describe},
    {KAFKA_LIST_TRANSACTIONS, kafka_txn_list},
    {KAFKA_DESCRIBE_PRODUCERS, kafka_producer_describe},
    {KAFKA_CONSUMER_GROUP_HEARTBEAT, kafka_group_consumer_heartbeat},
    {KAFKA_CONSUMER_GROUP_DESCRIBE, kafka_group_consumer_describe},
    {KAFKA_LIST_CONFIG_RESOURCES, kafka_configs_list_resources},
    {KAFKA_DESCRIBE_TOPIC_PARTITIONS, kafka_metadata_describe_partitions},
};

static void (*find_handler(int16_t key))(struct kafka_request *) {
    for (size_t i = 0; i < ARRAY_COUNT(HANDLERS); i++)
        if (HANDLERS[i].key == key) return HANDLERS[i].handler;
    UNREACHABLE(); /* every key of the tables has one */
}

/* ---- life --------------------------------------------------------------------------------------------- */

static void request_free(struct kafka_request *request) {
    ASSERT(request->holds == 0 && list_empty(&request->link));
    if (request->dispose != NULL) request->dispose(request);
    chain_release(&request->out);
    arena_release(&request->arena);
    buffer_unref(request->buffer);
    mem_free(request);
}

static struct kafka_request *request_new(struct kafka_connection *connection, struct buffer *buffer,
                                         struct slice frame) {
    struct kafka_request *request = mem_calloc(1, sizeof *request);
    list_init(&request->link);
    request->connection = connection;
    request->server = connection->server;
    request->broker = server_broker(connection->server);
    request->frame = frame;
    request->buffer = buffer_ref(buffer);
    request->cost = frame.size;
    arena_init(&request->arena, ARENA_BLOCK_SIZE);
    chain_init(&request->out);
    return request;
}

/* Finds out what is asked; `*version` is the one to answer in. */
static enum status request_read(struct kafka_request *request, struct diagnostic *reason) {
    struct kafka_request_header *header = &request->header;
    struct reader body;
    enum status status = kafka_read_request_header(request->frame, header, &body);
    if (status != STATUS_OK) return diagnose(reason, status, "the request header is malformed");
    request->api = kafka_api_find(header->api_key);
    if (request->api == NULL)
        return diagnose(reason, STATUS_UNSUPPORTED, "api key %d is not supported", header->api_key);
    bool spoken = kafka_api_speaks(request->api, header->api_version);
    if (!spoken && request->api->key != KAFKA_API_VERSIONS)
        return diagnose(reason, STATUS_UNSUPPORTED, "%s version %d is not supported (%d to %d are)",
                        request->api->name, header->api_version, request->api->first, request->api->last);
    if (spoken) {
        status = kafka_decode(request->api, request->api->request, header->api_version, &body,
                              &request->arena, &request->message);
        if (status != STATUS_OK)
            return diagnose(reason, status, "%s version %d is malformed", request->api->name,
                            header->api_version);
    }
    return STATUS_OK;
}

enum status kafka_request_serve(struct kafka_connection *connection, struct buffer *buffer,
                                struct slice frame, struct diagnostic *reason) {
    struct kafka_request *request = request_new(connection, buffer, frame);
    enum status status = request_read(request, reason);
    if (status != STATUS_OK) {
        request_free(request);
        return status;
    }
    request->response = kafka_request_array(request, request->api->response, 1);
    server_metrics(request->server)->kafka_requests[kafka_api_index(request->api)]++;
    list_push_back(&connection->requests, &request->link);
    connection->request_count++;
    kafka_request_hold(request);
    if (request->message == NULL)
        kafka_admin_api_versions_unsupported(request);
    else
        find_handler(request->api->key)(request);
    connection->cost += request->cost;
    kafka_request_release(request);
    return STATUS_OK;
}

void kafka_request_hold(struct kafka_request *request) {
    ASSERT(!request->answered);
    request->holds++;
}

void kafka_request_release(struct kafka_request *request) {
    ASSERT(request->holds > 0 && !request->answered);
    if (--request->holds > 0) return;
    if (request->finish != NULL && request->connection != NULL) request->finish(request);
    request->answered = true;
    if (request->connection == NULL) {
        request_free(request);
        return;
    }
    if (!request->silent)
        kafka_encode_response(request->api, request->header.api_version, request->header.correlation_id,
                              request->response, &request->out);
    kafka_connection_flush(request->connection);
}

void kafka_request_forget(struct kafka_request *request) {
    struct kafka_connection *connection = request->connection;
    list_remove(&request->link);
    connection->request_count--;
    connection->cost -= request->cost;
    request->connection = NULL;
    if (request->answered) {
        request_free(request);
        return;
    }
    request->silent = true;
    if (request->stop != NULL) request->stop(request);
}

/* ---- for handlers ------------------------------------------------------------------------------------- */

struct connection *kafka_request_link(const struct kafka_request *request) {
    return request->connection->connection;
}

void *kafka_request_array(struct kafka_request *request, const struct kafka_schema *schema, size_t count) {
    if (count == 0) return NULL;
    uint8_t *elements = arena_alloc(&request->arena, count * schema->size);
    for (size_t i = 0; i < count; i++)
        kafka_message_init(schema, elements + i * schema->size);
    return elements;
}

void kafka_names_init(struct kafka_names *names, const struct kafka_request *request) {
    uint64_t seed;
    io_random(server_io(request->server), &seed, sizeof seed);
    map_init(&names->seen, seed);
}

void kafka_names_release(struct kafka_names *names) {
    map_release(&names->seen);
}

bool kafka_names_has(const struct kafka_names *names, struct slice name) {
    return map_get(&names->seen, name) != NULL;
}

bool kafka_names_add(struct kafka_names *names, struct slice name) {
    return map_put(&names->seen, name, names) == NULL;
}

int16_t kafka_error_code(enum status status) {
    if (status == STATUS_UNAVAILABLE || status == STATUS_BUSY || status == STATUS_CLOSED)
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    return status_kafka_code(status);
}

int16_t kafka_admin_code(enum status status) {
    if (status == STATUS_UNAVAILABLE || status == STATUS_CLOSED) return KAFKA_NOT_CONTROLLER;
    return status_kafka_code(status);
}

struct slice kafka_error_text(struct kafka_request *request, enum status status,
                              const struct diagnostic *diagnostic) {
    if (status == STATUS_OK) return SLICE_EMPTY;
    bool told = diagnostic != NULL && diagnostic->text[0] != '\0';
    return arena_copy(&request->arena, slice_from_text(told ? diagnostic->text : status_text(status)));
}

struct slice kafka_text(struct kafka_request *request, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return arena_copy(&request->arena, slice_from_text(text));
}
