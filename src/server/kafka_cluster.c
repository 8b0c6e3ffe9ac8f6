// SPDX-License-Identifier: Apache-2.0
/* DescribeQuorum (KIP-595, KIP-836, KIP-853), UpdateFeatures (KIP-584) and UnregisterBroker: what Kafka's
 * tools ask of a cluster and its controller. */
#include "server/kafka_handlers.h"

/* ---- DescribeQuorum ------------------------------------------------------------------------------------ */

/* Kafka's name for the log of the metadata; here it is that of group 0. */
#define METADATA_TOPIC SLICE_LITERAL("__cluster_metadata")

struct quorum_state {
    struct partition_ask ask;
    struct kafka_request *request;
    bool running;
};

/* Kafka's "directory" is our incarnation of a disk. */
static struct uuid directory_of(const struct broker_node *nodes, uint32_t count, int32_t node) {
    struct uuid id = {{0}};
    for (uint32_t i = 0; i < count; i++)
        if (nodes[i].node == node) store_be32(id.bytes + sizeof id.bytes - 4, nodes[i].incarnation);
    return id;
}

static void tell_replica(struct kafka_request *request, const struct partition_ask *ask,
                         const struct partition_replica_info *from,
                         struct kafka_describe_quorum_response_partition *out) {
    struct broker_node nodes[BROKER_NODES_MAX];
    uint32_t count = broker_nodes(request->broker, nodes);
    struct kafka_describe_quorum_response_replica *to =
        from->votes ? &out->current_voters[out->current_voters_count++]
                    : &out->observers[out->observers_count++];
    to->replica_id = from->node;
    to->replica_directory_id = directory_of(nodes, count, from->node);
    to->log_end_offset = from->end_offset;
    if (from->node == ask->info.leader) to->last_caught_up_timestamp = io_wall_ms(server_io(request->server));
}

static void tell_partition(struct kafka_request *request, bool is_metadata, int32_t partition,
                           struct kafka_describe_quorum_response_partition *out) {
    const struct partition_ask *ask = &((const struct quorum_state *)request->state)->ask;
    out->partition_index = partition;
    out->leader_id = out->leader_epoch = -1;
    if (!is_metadata || partition != 0) {
        out->error_code = status_kafka_code(STATUS_UNKNOWN_TOPIC);
        out->error_message = kafka_text(request, "only partition 0 of __cluster_metadata is told of");
        return;
    }
    out->leader_id = ask->info.leader;
    out->leader_epoch = ask->info.leader_epoch;
    out->high_watermark = ask->info.high_watermark;
    out->current_voters = kafka_request_array(request, &kafka_schema_describe_quorum_response_replica,
                                              ask->replica_count);
    out->observers = kafka_request_array(request, &kafka_schema_describe_quorum_response_replica,
                                         ask->replica_count);
    for (uint32_t i = 0; i < ask->replica_count; i++)
        tell_replica(request, ask, &ask->replicas[i], out);
}

static void tell_nodes(struct kafka_request *request) {
    struct kafka_describe_quorum_response *response = request->response;
    struct broker_node nodes[BROKER_NODES_MAX];
    uint32_t count = broker_nodes(request->broker, nodes);
    response->nodes_count = (int32_t)count;
    response->nodes = kafka_request_array(request, &kafka_schema_describe_quorum_response_node, count);
    for (uint32_t i = 0; i < count; i++) {
        struct kafka_describe_quorum_response_node *out = &response->nodes[i];
        char host[256];
        int32_t port;
        server_node_address(kafka_request_link(request), &nodes[i], host, sizeof host, &port);
        out->node_id = nodes[i].node;
        out->listeners_count = 1;
        out->listeners = kafka_request_array(request, &kafka_schema_describe_quorum_response_listener, 1);
        out->listeners[0].name = SLICE_LITERAL("PLAINTEXT");
        out->listeners[0].host = arena_copy(&request->arena, slice_from_text(host));
        out->listeners[0].port = (int16_t)port; /* its 16 bits, unsigned on the wire */
    }
}

static void quorum_fill(struct kafka_request *request) {
    const struct kafka_describe_quorum_request *message = request->message;
    struct kafka_describe_quorum_response *response = request->response;
    const struct partition_ask *ask = &((const struct quorum_state *)request->state)->ask;
    if (ask->status != STATUS_OK) {
        /* Clients try again, with another node. */
        response->error_code = KAFKA_NOT_LEADER_OR_FOLLOWER;
        response->error_message = kafka_text(request, "no controller could be asked");
        return;
    }
    response->topics_count = MAX(message->topics_count, 0);
    response->topics = kafka_request_array(request, &kafka_schema_describe_quorum_response_topic,
                                           (size_t)response->topics_count);
    struct kafka_names seen;
    kafka_names_init(&seen, request);
    for (int32_t t = 0; t < response->topics_count; t++) {
        const struct kafka_describe_quorum_request_topic *in = &message->topics[t];
        struct kafka_describe_quorum_response_topic *out = &response->topics[t];
        bool is_metadata = slice_equal(in->topic_name, METADATA_TOPIC) &&
                           kafka_names_add(&seen, in->topic_name);
        out->topic_name = in->topic_name;
        out->partitions_count = MIN(MAX(in->partitions_count, 0), 1); /* there is one */
        out->partitions = kafka_request_array(request, &kafka_schema_describe_quorum_response_partition,
                                              (size_t)out->partitions_count);
        for (int32_t p = 0; p < out->partitions_count; p++)
            tell_partition(request, is_metadata, in->partitions[p].partition_index, &out->partitions[p]);
    }
    kafka_names_release(&seen);
    tell_nodes(request);
}

static void quorum_asked(struct partition_ask *ask) {
    struct quorum_state *state = CONTAINER_OF(ask, struct quorum_state, ask);
    state->running = false;
    kafka_request_release(state->request);
}

static void quorum_stop(struct kafka_request *request) {
    struct quorum_state *state = request->state;
    if (!state->running) return;
    state->running = false;
    broker_ask_partition_cancel(&state->ask);
    state->ask.status = STATUS_UNAVAILABLE;
    kafka_request_release(request);
}

void kafka_cluster_describe_quorum(struct kafka_request *request) {
    struct quorum_state *state = kafka_request_calloc(request, 1, sizeof *state);
    state->request = request;
    state->running = true;
    state->ask = (struct partition_ask){.kind = PARTITION_DESCRIBE_METADATA, .done = quorum_asked};
    request->state = state;
    request->finish = quorum_fill;
    request->stop = quorum_stop;
    kafka_request_hold(request);
    broker_ask_partition(request->broker, &state->ask);
}

/* ---- UpdateFeatures ------------------------------------------------------------------------------------ */

/* There is one feature, and one level of it that everything here is built for: it can be asked for, and that
 * is all. */
static int16_t update_feature(struct kafka_request *request, struct kafka_names *seen,
                              const struct kafka_update_features_request_feature *in, struct slice *why) {
    char name[80];
    *why = SLICE_EMPTY;
    if (!kafka_names_add(seen, in->feature)) {
        *why = kafka_text(request, "a feature stands twice in the request");
        return KAFKA_INVALID_REQUEST;
    }
    if (!slice_equal(in->feature, SLICE_LITERAL(KAFKA_FEATURE_TRANSACTIONS))) {
        *why = kafka_text(request, "there is no feature '%s' here",
                          log_quote(name, sizeof name, in->feature));
        return KAFKA_INVALID_UPDATE_VERSION;
    }
    if (in->max_version_level == KAFKA_FEATURE_TRANSACTIONS_LEVEL) return KAFKA_NONE;
    *why = kafka_text(request,
                      KAFKA_FEATURE_TRANSACTIONS " is %d and stays so: clients that know less are "
                                                 "served all the same",
                      KAFKA_FEATURE_TRANSACTIONS_LEVEL);
    return KAFKA_INVALID_UPDATE_VERSION;
}

void kafka_cluster_update_features(struct kafka_request *request) {
    enum { RESULTS_UNTIL = 1 }; /* later versions tell only the first trouble */
    const struct kafka_update_features_request *message = request->message;
    struct kafka_update_features_response *response = request->response;
    int32_t count = MAX(message->feature_updates_count, 0);
    bool one_by_one = request->header.api_version <= RESULTS_UNTIL;
    response->results = kafka_request_array(request, &kafka_schema_update_features_response_result,
                                            one_by_one ? (size_t)count : 0);
    struct kafka_names seen;
    kafka_names_init(&seen, request);
    for (int32_t i = 0; i < count; i++) {
        struct slice why;
        int16_t code = update_feature(request, &seen, &message->feature_updates[i], &why);
        if (one_by_one) {
            struct kafka_update_features_response_result *out = &response->results[response->results_count++];
            out->feature = message->feature_updates[i].feature;
            out->error_code = code;
            out->error_message = why;
        } else if (code != KAFKA_NONE) {
            response->error_code = code;
            response->error_message = why;
            break;
        }
    }
    kafka_names_release(&seen);
}

/* ---- UnregisterBroker ---------------------------------------------------------------------------------- */

struct unregister_state {
    struct node_change change;
    struct kafka_request *request;
};

static void unregistered(struct node_change *change) {
    struct kafka_request *request = CONTAINER_OF(change, struct unregister_state, change)->request;
    struct kafka_unregister_broker_response *response = request->response;
    response->error_code = change->status == STATUS_NOT_FOUND ? KAFKA_BROKER_ID_NOT_REGISTERED
                                                              : kafka_admin_code(change->status);
    response->error_message = kafka_error_text(request, change->status, &change->diagnostic);
    kafka_request_release(request);
}

/* As `sentinel cluster remove-node`: of a node that was drained. */
void kafka_cluster_unregister(struct kafka_request *request) {
    const struct kafka_unregister_broker_request *message = request->message;
    struct unregister_state *state = kafka_request_calloc(request, 1, sizeof *state);
    state->request = request;
    state->change = (struct node_change){
        .kind = NODE_REMOVE, .node = message->broker_id, .done = unregistered};
    kafka_request_hold(request);
    broker_change_node(request->broker, &state->change);
}
