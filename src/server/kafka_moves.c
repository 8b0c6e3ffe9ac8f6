// SPDX-License-Identifier: Apache-2.0
/* AlterPartitionReassignments and ListPartitionReassignments (KIP-455), ElectLeaders (KIP-460). */
#include "server/kafka_handlers.h"

static int32_t *copy_nodes(struct kafka_request *request, const int32_t *nodes, uint32_t count) {
    int32_t *copy = arena_alloc(&request->arena, ((size_t)count + 1) * sizeof *copy);
    memcpy(copy, nodes, count * sizeof *copy);
    return copy;
}

/* ---- AlterPartitionReassignments --------------------------------------------------------------------------
 */

struct move_part {
    struct topic_change change;
    struct kafka_request *request;
    struct kafka_alter_partition_reassignments_response_partition *out;
};

static void moved(struct topic_change *change) {
    struct move_part *part = CONTAINER_OF(change, struct move_part, change);
    struct kafka_request *request = part->request;
    int16_t code = kafka_admin_code(change->status);
    if (change->status == STATUS_NOT_FOUND) code = KAFKA_NO_REASSIGNMENT_IN_PROGRESS;
    if (change->status == STATUS_INVALID_REPLICATION) code = KAFKA_INVALID_REPLICA_ASSIGNMENT;
    part->out->error_code = code;
    part->out->error_message = kafka_error_text(request, change->status, &change->diagnostic);
    kafka_request_release(request);
}

static int32_t replication_now(struct kafka_request *request, const struct broker_topic *topic,
                               int32_t partition) {
    int32_t nodes[BROKER_REPLICAS_MAX];
    if (partition < 0 || partition >= topic->partition_count) return topic->replication;
    return (int32_t)broker_partition_replicas(request->broker, topic, partition, false, nodes);
}

/* No replicas: what is under way is taken back. */
static void move_partition(struct kafka_request *request, struct slice topic,
                           const struct kafka_alter_partition_reassignments_request_partition *in,
                           struct kafka_alter_partition_reassignments_response_partition *out) {
    const struct kafka_alter_partition_reassignments_request *message = request->message;
    const struct broker_topic *known = broker_topic_find(request->broker, topic);
    bool cancel = in->replicas_count < 0;
    out->partition_index = in->partition_index;
    if (in->replicas_count == 0 || in->replicas_count > BROKER_REPLICAS_MAX) {
        out->error_code = KAFKA_INVALID_REPLICA_ASSIGNMENT;
        out->error_message = kafka_text(request, "a partition has 1 to %d replicas", BROKER_REPLICAS_MAX);
        return;
    }
    if (!message->allow_replication_factor_change && !cancel && known != NULL &&
        in->replicas_count != replication_now(request, known, in->partition_index)) {
        out->error_code = status_kafka_code(STATUS_INVALID_REPLICATION);
        out->error_message = kafka_text(request, "the number of replicas would change, and must not");
        return;
    }
    struct move_part *part = kafka_request_calloc(request, 1, sizeof *part);
    part->request = request;
    part->out = out;
    part->change = (struct topic_change){.kind = cancel ? TOPIC_CANCEL_MOVE : TOPIC_MOVE,
                                         .name = topic,
                                         .partition = in->partition_index,
                                         .placement = in->replicas,
                                         .placement_count = cancel ? 0 : (uint32_t)in->replicas_count,
                                         .done = moved};
    kafka_request_hold(request);
    broker_change_topic(request->broker, &part->change);
}

void kafka_moves_alter(struct kafka_request *request) {
    const struct kafka_alter_partition_reassignments_request *message = request->message;
    struct kafka_alter_partition_reassignments_response *response = request->response;
    response->allow_replication_factor_change = message->allow_replication_factor_change;
    response->responses_count = MAX(message->topics_count, 0);
    response->responses = kafka_request_array(request,
                                              &kafka_schema_alter_partition_reassignments_response_topic,
                                              (size_t)response->responses_count);
    for (int32_t t = 0; t < response->responses_count; t++) {
        const struct kafka_alter_partition_reassignments_request_topic *in = &message->topics[t];
        struct kafka_alter_partition_reassignments_response_topic *out = &response->responses[t];
        out->name = in->name;
        out->partitions_count = MAX(in->partitions_count, 0);
        out->partitions = kafka_request_array(request,
                                              &kafka_schema_alter_partition_reassignments_response_partition,
                                              (size_t)out->partitions_count);
        for (int32_t p = 0; p < out->partitions_count; p++)
            move_partition(request, in->name, &in->partitions[p], &out->partitions[p]);
    }
}

/* ---- ListPartitionReassignments ---------------------------------------------------------------------------
 */

/* Kafka's replicas are all that there are: those it goes to and those it goes away from. */
static void tell_move(struct kafka_request *request, const struct broker_topic *topic, int32_t partition,
                      struct kafka_list_partition_reassignments_response_topic *out) {
    struct partition_move move;
    int32_t nodes[BROKER_REPLICAS_MAX + ARRAY_COUNT(move.removing)];
    if (partition < 0 || partition >= topic->partition_count ||
        !broker_partition_move(request->broker, topic, partition, &move) || !move.moving)
        return;
    struct kafka_list_partition_reassignments_response_partition *row =
        &out->partitions[out->partitions_count++];
    uint32_t count = broker_partition_replicas(request->broker, topic, partition, false, nodes);
    memcpy(nodes + count, move.removing, move.removing_count * sizeof *nodes);
    count += move.removing_count;
    row->partition_index = partition;
    row->replicas = copy_nodes(request, nodes, count);
    row->replicas_count = (int32_t)count;
    row->adding_replicas = copy_nodes(request, move.adding, move.adding_count);
    row->adding_replicas_count = (int32_t)move.adding_count;
    row->removing_replicas = copy_nodes(request, move.removing, move.removing_count);
    row->removing_replicas_count = (int32_t)move.removing_count;
}

static struct kafka_list_partition_reassignments_response_topic *
begin_topic(struct kafka_request *request, const struct broker_topic *topic, size_t count) {
    struct kafka_list_partition_reassignments_response *response = request->response;
    struct kafka_list_partition_reassignments_response_topic *out = &response->topics[response->topics_count];
    out->name = arena_copy(&request->arena, slice_from_text(topic->name));
    out->partitions_count = 0;
    out->partitions = kafka_request_array(
        request, &kafka_schema_list_partition_reassignments_response_partition, count);
    return out;
}

/* A topic without moves is not told. */
static void end_topic(struct kafka_request *request,
                      const struct kafka_list_partition_reassignments_response_topic *out) {
    struct kafka_list_partition_reassignments_response *response = request->response;
    response->topics_count += out->partitions_count > 0;
}

static void list_topic(void *ctx, const struct broker_topic *topic) {
    struct kafka_request *request = ctx;
    struct kafka_list_partition_reassignments_response_topic *out = begin_topic(
        request, topic, (size_t)topic->partition_count);
    for (int32_t i = 0; i < topic->partition_count; i++)
        tell_move(request, topic, i, out);
    end_topic(request, out);
}

static void count_topic(void *ctx, const struct broker_topic *topic) {
    (void)topic;
    ++*(size_t *)ctx;
}

void kafka_moves_list(struct kafka_request *request) {
    const struct kafka_list_partition_reassignments_request *message = request->message;
    struct kafka_list_partition_reassignments_response *response = request->response;
    size_t count = message->topics_count < 0 ? 0 : (size_t)message->topics_count;
    if (message->topics_count < 0) broker_topics_visit(request->broker, count_topic, &count);
    response->topics = kafka_request_array(request, &kafka_schema_list_partition_reassignments_response_topic,
                                           count);
    if (message->topics_count < 0) {
        broker_topics_visit(request->broker, list_topic, request);
        return;
    }
    struct kafka_names names;
    kafka_names_init(&names, request);
    for (int32_t t = 0; t < message->topics_count; t++) {
        const struct kafka_list_partition_reassignments_request_topic *in = &message->topics[t];
        const struct broker_topic *topic = broker_topic_find(request->broker, in->name);
        if (topic == NULL || !kafka_names_add(&names, in->name)) continue;
        int32_t asked = MIN(MAX(in->partition_indexes_count, 0), topic->partition_count);
        struct kafka_list_partition_reassignments_response_topic *out = begin_topic(request, topic,
                                                                                    (size_t)asked);
        for (int32_t i = 0; i < asked; i++)
            tell_move(request, topic, in->partition_indexes[i], out);
        end_topic(request, out);
    }
    kafka_names_release(&names);
}

/* ---- ElectLeaders -------------------------------------------------------------------------------------- */

enum { ELECTION_PREFERRED = 0 };

struct elect_part {
    struct partition_ask ask;
    struct kafka_request *request;
    struct kafka_elect_leaders_response_partition *out;
};

static void refuse(struct kafka_request *request, struct kafka_elect_leaders_response_partition *out,
                   int16_t code, const char *why) {
    out->error_code = code;
    out->error_message = kafka_text(request, "%s", why);
}

static void elected(struct partition_ask *ask) {
    struct elect_part *part = CONTAINER_OF(ask, struct elect_part, ask);
    struct kafka_request *request = part->request;
    if (ask->status == STATUS_UNAVAILABLE || ask->status == STATUS_NOT_LEADER)
        refuse(request, part->out, KAFKA_PREFERRED_LEADER_NOT_AVAILABLE,
               "the preferred leader is down or lacks records, or nobody leads now");
    else if (ask->status != STATUS_OK)
        refuse(request, part->out, kafka_error_code(ask->status), status_text(ask->status));
    kafka_request_release(request);
}

static void elect(struct kafka_request *request, struct slice name, int32_t partition,
                  struct kafka_elect_leaders_response_partition *out) {
    const struct kafka_elect_leaders_request *message = request->message;
    const struct broker_topic *topic = broker_topic_find(request->broker, name);
    int32_t nodes[BROKER_REPLICAS_MAX];
    out->partition_id = partition;
    if (topic == NULL || partition < 0 || partition >= topic->partition_count) {
        refuse(request, out, status_kafka_code(STATUS_UNKNOWN_TOPIC), status_text(STATUS_UNKNOWN_TOPIC));
        return;
    }
    MAYBE(broker_partition_replicas(request->broker, topic, partition, false, nodes));
    struct partition_leader leader = broker_partition_leader(request->broker, topic, partition);
    bool preferred = message->election_type == ELECTION_PREFERRED;
    if (preferred ? leader.node == nodes[0] : leader.node >= 0) {
        refuse(request, out, KAFKA_ELECTION_NOT_NEEDED, "it leads already");
        return;
    }
    if (!preferred) {
        refuse(request, out, KAFKA_ELIGIBLE_LEADERS_NOT_AVAILABLE,
               "fewer than half of the replicas are there; no other may lead, acknowledged records would be "
               "lost");
        return;
    }
    struct elect_part *part = kafka_request_calloc(request, 1, sizeof *part);
    part->request = request;
    part->out = out;
    part->ask = (struct partition_ask){
        .kind = PARTITION_TRANSFER, .topic = name, .partition = partition, .done = elected};
    kafka_request_hold(request);
    broker_ask_partition(request->broker, &part->ask);
}

static void elect_all_of(void *ctx, const struct broker_topic *topic) {
    struct kafka_request *request = ctx;
    struct kafka_elect_leaders_response *response = request->response;
    struct kafka_elect_leaders_response_topic *out =
        &response->replica_election_results[response->replica_election_results_count++];
    out->topic = arena_copy(&request->arena, slice_from_text(topic->name));
    out->partition_result_count = topic->partition_count;
    out->partition_result = kafka_request_array(request, &kafka_schema_elect_leaders_response_partition,
                                                (size_t)topic->partition_count);
    for (int32_t i = 0; i < topic->partition_count; i++)
        elect(request, out->topic, i, &out->partition_result[i]);
}

void kafka_moves_elect_leaders(struct kafka_request *request) {
    const struct kafka_elect_leaders_request *message = request->message;
    struct kafka_elect_leaders_response *response = request->response;
    bool all = message->topic_partitions_count < 0;
    size_t count = all ? 0 : (size_t)message->topic_partitions_count;
    if (all) broker_topics_visit(request->broker, count_topic, &count);
    response->replica_election_results = kafka_request_array(
        request, &kafka_schema_elect_leaders_response_topic, count);
    if (all) {
        broker_topics_visit(request->broker, elect_all_of, request);
        return;
    }
    response->replica_election_results_count = (int32_t)count;
    for (size_t t = 0; t < count; t++) {
        const struct kafka_elect_leaders_request_topic *in = &message->topic_partitions[t];
        struct kafka_elect_leaders_response_topic *out = &response->replica_election_results[t];
        out->topic = in->topic;
        out->partition_result_count = MAX(in->partitions_count, 0);
        out->partition_result = kafka_request_array(request, &kafka_schema_elect_leaders_response_partition,
                                                    (size_t)out->partition_result_count);
        for (int32_t p = 0; p < out->partition_result_count; p++)
            elect(request, in->topic, in->partitions[p], &out->partition_result[p]);
    }
}
