// SPDX-License-Identifier: Apache-2.0
/* kafka_connection.h: a Kafka client's connection: frames in, requests under way, answers out in order.
 *
 *   bytes ─> frame ─> header ─> kafka_decode ─> handler ─> (broker …) ─> kafka_answer ─> in order of arrival
 * ─> socket
 *
 * A handler is given a decoded request and answers it once, now or later; requests of one connection may
 * finish out of order, their answers leave in order (Kafka's rule).
 *
 * Owner   a request owns its arena and keeps the buffer it came in alive; it lives until it is answered, also
 * when the connection has gone: appends under way cannot be called back. What a handler allocates lies in the
 *         request's arena.
 * Errors  a malformed frame, and a key or version that ApiVersions does not list, close the connection (as
 * Kafka does); everything else is an error code in the answer. Bounds  KAFKA_REQUESTS_MAX and
 * KAFKA_REQUEST_BYTES under way a connection: above, nothing more is received. Loop    shard thread only. */
#ifndef SENTINEL_SERVER_KAFKA_CONNECTION_H
#define SENTINEL_SERVER_KAFKA_CONNECTION_H

#include "base/arena.h"
#include "base/chain.h"
#include "broker/broker.h"
#include "server/connection.h"
#include "server/server.h"
#include "wire/kafka_codec.h"

#define KAFKA_REQUESTS_MAX  256
#define KAFKA_REQUEST_BYTES (32 * MIB)

/* Codes that no status of ours means. */
enum {
    KAFKA_ERROR_NONE = 0,
    KAFKA_ERROR_UNSUPPORTED_VERSION = 35,
    KAFKA_ERROR_INVALID_REQUEST = 42,
    KAFKA_ERROR_FETCH_SESSION_ID_NOT_FOUND = 70,
};

struct kafka_connection;
struct kafka_request {
    struct list link;                    /* in the connection, in order of arrival */
    struct kafka_connection *connection; /* NULL: gone */
    struct server *server;
    struct broker *broker;
    const struct kafka_api *api;
    int16_t version;
    int32_t correlation_id;
    struct arena arena;
    struct buffer *frame;
    size_t bytes;
    const void *message; /* struct kafka_<api>_request */
    struct chain answer;
    bool answered;
    /* Called when the connection goes while the request is under way, to end what can be ended early; then
     * answers. */
    void (*cancel)(struct kafka_request *request);
    void (*release)(struct kafka_request *request); /* before it is freed; may be NULL */
    void *state;                                    /* the handler's */
};
/* `response`: struct kafka_<api>_response. */
void kafka_answer(struct kafka_request *request, const void *response);
/* Produce with acks=0: nothing is sent. */
void kafka_answer_nothing(struct kafka_request *request);
/* What this client should use to reach us, in the arena. */
struct slice kafka_advertised(struct kafka_request *request, int32_t *port);
static inline void *kafka_new(struct kafka_request *request, size_t count, size_t size) {
    return arena_calloc(&request->arena, count, size);
}
/* NULL slice for OK or an empty text: an absent error message. */
struct slice kafka_error_text(struct kafka_request *request, enum status status,
                              const struct diagnostic *diagnostic);

/* One handler for each key of kafka_schema.h, found by kafka_handlers.c. */
typedef void kafka_handler(struct kafka_request *request);
kafka_handler *kafka_handler_find(int16_t api_key);
kafka_handler kafka_produce, kafka_fetch, kafka_list_offsets, kafka_offset_for_leader_epoch,
    kafka_delete_records, kafka_init_producer_id, kafka_metadata, kafka_describe_cluster,
    kafka_describe_topic_partitions, kafka_describe_log_dirs, kafka_list_partition_reassignments,
    kafka_create_topics, kafka_delete_topics, kafka_create_partitions, kafka_describe_configs,
    kafka_alter_configs, kafka_incremental_alter_configs, kafka_api_versions, kafka_find_coordinator;
/* For a version we do not speak: the version 0 answer that lists those we do (KIP-511). */
void kafka_api_versions_unsupported(struct kafka_request *request);

#endif
