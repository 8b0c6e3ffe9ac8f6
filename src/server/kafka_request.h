// SPDX-License-Identifier: Apache-2.0
/* kafka_request.h: one Kafka request from its frame to its answer, and what handlers may do with it.
 *
 *   frame ─> kafka_request_serve ─> handler fills `response` ─> released ─> encoded ─> sent in its turn
 *
 * A handler that needs the broker holds the request once for every call under way (kafka_request_hold) and
 * releases it in that call's completion. With the last release `finish` runs, when there is one, and then the
 * response is encoded. A handler that is done at once only fills in the response.
 *
 * Owner   the request owns its arena; message, response and every part live there, and strings of the message
 *         in `buffer`, which is referenced. All of it is freed with the last release after the answer was
 *         sent, or after the connection went away: broker calls that cannot be cancelled are waited for.
 * Errors  kafka_error_code for data, kafka_admin_code for administration: a client that reads a code it does
 *         not expect gives up, so temporary trouble is told with one that every client retries.
 * Loop    shard thread only. Bounds: kafka_connection.c. */
#ifndef SENTINEL_SERVER_KAFKA_REQUEST_H
#define SENTINEL_SERVER_KAFKA_REQUEST_H

#include "base/map.h"
#include "server/connection.h"
#include "server/server.h"
#include "wire/kafka_codec.h"

struct kafka_connection;

/* Error codes that have no status: the Kafka protocol guide, "Error codes". */
enum {
    KAFKA_NONE = 0,
    KAFKA_REPLICA_NOT_AVAILABLE = 9,
    KAFKA_CLUSTER_AUTHORIZATION_FAILED = 31,
    KAFKA_LOG_DIR_NOT_FOUND = 57,
    KAFKA_INVALID_UPDATE_VERSION = 95,
    KAFKA_BROKER_ID_NOT_REGISTERED = 102,
    KAFKA_NOT_LEADER_OR_FOLLOWER = 6,
    KAFKA_UNSUPPORTED_VERSION = 35,
    KAFKA_INVALID_REPLICA_ASSIGNMENT = 39,
    KAFKA_NOT_CONTROLLER = 41,
    KAFKA_INVALID_REQUEST = 42,
    KAFKA_FETCH_SESSION_ID_NOT_FOUND = 70,
    KAFKA_LEADER_NOT_AVAILABLE = 5,
    KAFKA_FENCED_LEADER_EPOCH = 74,
    KAFKA_PREFERRED_LEADER_NOT_AVAILABLE = 80,
    KAFKA_ELIGIBLE_LEADERS_NOT_AVAILABLE = 83,
    KAFKA_ELECTION_NOT_NEEDED = 84,
    KAFKA_NO_REASSIGNMENT_IN_PROGRESS = 85,
    KAFKA_MISMATCHED_ENDPOINT_TYPE = 114,
    KAFKA_REBOOTSTRAP_REQUIRED = 129,
};

/* The feature that is finalised here (KIP-584, KIP-890), and its level. */
#define KAFKA_FEATURE_TRANSACTIONS       "transaction.version"
#define KAFKA_FEATURE_TRANSACTIONS_LEVEL 2

struct kafka_request {
    struct list link;                    /* in connection.requests, oldest first */
    struct kafka_connection *connection; /* NULL once it has gone */
    struct server *server;
    struct broker *broker;
    const struct kafka_api *api;
    struct kafka_request_header header;
    struct slice frame;
    struct buffer *buffer; /* of the frame */
    struct arena arena;
    void *message, *response; /* struct kafka_NAME_request, struct kafka_NAME_response at its defaults */
    void *state;              /* the handler's */
    uint32_t holds;
    size_t cost;                            /* bytes that this request may take while it is under way */
    void (*finish)(struct kafka_request *); /* before the response is encoded; may be NULL */
    /* The answer is wanted now (drain), or no more: cancel what can be cancelled and release its holds. May
     * be NULL: then there is nothing but to wait. */
    void (*stop)(struct kafka_request *);
    void (*dispose)(struct kafka_request *); /* frees what the arena does not; may be NULL */
    bool silent;                             /* no response is sent */
    bool fail_link; /* close the connection instead of answering: acks=0 has no other way to tell */
    bool answered;
    struct chain out;
};

/* Decodes and starts it. MALFORMED, UNSUPPORTED (key or version; `reason` says which): nothing was started.
 * The request is in connection's list from then on and may be answered already. */
enum status kafka_request_serve(struct kafka_connection *connection, struct buffer *buffer,
                                struct slice frame, struct diagnostic *reason) MUST_USE;
void kafka_request_hold(struct kafka_request *request);
void kafka_request_release(struct kafka_request *request);
/* Takes it out of the list; frees it when nothing is under way, else with the last release. */
void kafka_request_forget(struct kafka_request *request);

/* For handlers. */
struct connection *kafka_request_link(const struct kafka_request *request); /* not after it has gone */
static inline void *kafka_request_calloc(struct kafka_request *request, size_t count, size_t size) {
    return count == 0 ? NULL : arena_calloc(&request->arena, count, size);
}
/* An array of response structs at their defaults. */
void *kafka_request_array(struct kafka_request *request, const struct kafka_schema *schema, size_t count);
/* Names that stood in the request already: an answer never repeats what one name asks for, or a small request
 * would make a large response. */
struct kafka_names {
    struct map seen;
};
void kafka_names_init(struct kafka_names *names, const struct kafka_request *request);
void kafka_names_release(struct kafka_names *names);
bool kafka_names_add(struct kafka_names *names, struct slice name); /* false: it was there */
bool kafka_names_has(const struct kafka_names *names, struct slice name);

int16_t kafka_error_code(enum status status);
int16_t kafka_admin_code(enum status status);
/* A nullable message: the diagnostic, or the status's own text; null for OK. Copied into the arena. */
struct slice kafka_error_text(struct kafka_request *request, enum status status,
                              const struct diagnostic *diagnostic);
__attribute__((format(printf, 2, 3))) struct slice kafka_text(struct kafka_request *request,
                                                              const char *format, ...);

#endif
