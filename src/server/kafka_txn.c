// SPDX-License-Identifier: Apache-2.0
/* AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit, ListTransactions and DescribeTransactions
 * (KIP-98, KIP-447, KIP-664, KIP-890). */
#include <stdlib.h>

#include "base/assert.h"
#include "broker/coordinator.h"
#include "server/kafka_group.h"
#include "server/kafka_handlers.h"

/* From this version of each key on a client knows PRODUCER_FENCED; older ones know the epoch's error. */
#define KNOWS_FENCED 2

struct txn_part {
    struct txn_call call;
    struct kafka_request *request;
    void (*told)(struct txn_part *part, int16_t code);
};

static int16_t code_of(const struct kafka_request *request, enum status status) {
    if (status == STATUS_CLOSED) status = STATUS_NOT_COORDINATOR;
    if (status == STATUS_PRODUCER_FENCED && request->header.api_version < KNOWS_FENCED)
        status = STATUS_INVALID_PRODUCER_EPOCH;
    return status_kafka_code(status);
}

static void part_done(struct group_call *call) {
    struct txn_part *part = CONTAINER_OF(CONTAINER_OF(call, struct txn_call, call), struct txn_part, call);
    struct kafka_request *request = part->request;
    enum status status = call->status != STATUS_OK ? call->status : part->call.result;
    part->told(part, code_of(request, status));
    kafka_request_release(request);
}

/* The connection drains or is gone. */
static void part_stop(struct kafka_request *request) {
    struct txn_part *part = request->state;
    if (part->call.call.coordinator == NULL) return;
    coordinator_cancel(&part->call.call);
    part->told(part, status_kafka_code(STATUS_NOT_COORDINATOR));
    kafka_request_release(request);
}

static void part_start(struct txn_part *part, struct kafka_request *request,
                       void (*told)(struct txn_part *, int16_t)) {
    part->request = request;
    part->told = told;
    part->call.call.done = part_done;
    request->state = part;
    request->stop = part_stop;
    kafka_request_hold(request);
}

static struct txn_part *part_new(struct kafka_request *request, void (*told)(struct txn_part *, int16_t)) {
    struct txn_part *part = kafka_request_calloc(request, 1, sizeof *part);
    part_start(part, request, told);
    return part;
}

/* ---- AddPartitionsToTxn -------------------------------------------------------------------------------- */

static void partitions_told(struct txn_part *part, int16_t code) {
    struct kafka_add_partitions_to_txn_response *response = part->request->response;
    for (int32_t t = 0; t < response->topics_count; t++)
        for (int32_t p = 0; p < response->topics[t].partitions_count; p++)
            response->topics[t].partitions[p].error_code = code;
}

/* Fills in the response; with an unknown partition nothing is added, and each says so. */
static uint32_t fill_partitions(struct kafka_request *request, struct txn_place *places, bool *all_known) {
    const struct kafka_add_partitions_to_txn_request *message = request->message;
    struct kafka_add_partitions_to_txn_response *response = request->response;
    uint32_t count = 0;
    *all_known = true;
    for (int32_t t = 0; t < message->topics_count; t++) {
        const struct kafka_add_partitions_to_txn_request_topic *in = &message->topics[t];
        struct kafka_add_partitions_to_txn_response_topic *out = &response->topics[t];
        const struct broker_topic *topic = broker_topic_find(request->broker, in->name);
        out->name = in->name;
        out->partitions_count = in->partitions_count;
        out->partitions = kafka_request_array(request, &kafka_schema_add_partitions_to_txn_response_partition,
                                              (size_t)in->partitions_count);
        for (int32_t p = 0; p < in->partitions_count; p++) {
            int32_t partition = in->partitions[p];
            bool known = topic != NULL && partition >= 0 && partition < topic->partition_count;
            out->partitions[p].partition_index = partition;
            out->partitions[p].error_code = status_kafka_code(known ? STATUS_OK : STATUS_UNKNOWN_TOPIC);
            places[count++] = (struct txn_place){in->name, partition};
            *all_known &= known;
        }
    }
    return count;
}

void kafka_txn_add_partitions(struct kafka_request *request) {
    enum { OPERATION_NOT_ATTEMPTED = 55 };
    const struct kafka_add_partitions_to_txn_request *message = request->message;
    struct kafka_add_partitions_to_txn_response *response = request->response;
    size_t count = 0;
    for (int32_t t = 0; t < message->topics_count; t++)
        count += (size_t)message->topics[t].partitions_count;
    struct txn_place *places = kafka_request_calloc(request, count, sizeof *places);
    response->topics_count = message->topics_count;
    response->topics = kafka_request_array(request, &kafka_schema_add_partitions_to_txn_response_topic,
                                           (size_t)message->topics_count);
    bool all_known;
    MAYBE(fill_partitions(request, places, &all_known));
    if (!all_known) {
        for (int32_t t = 0; t < response->topics_count; t++)
            for (int32_t p = 0; p < response->topics[t].partitions_count; p++)
                if (response->topics[t].partitions[p].error_code == KAFKA_NONE)
                    response->topics[t].partitions[p].error_code = OPERATION_NOT_ATTEMPTED;
        return;
    }
    const struct txn_producer who = {message->transactional_id, message->producer_id,
                                     message->producer_epoch};
    struct txn_part *part = part_new(request, partitions_told);
    coordinator_txn_add(request->broker, &part->call, &who, &(struct txn_places){places, (uint32_t)count, 0});
}

/* ---- AddOffsetsToTxn ----------------------------------------------------------------------------------- */

static void offsets_told(struct txn_part *part, int16_t code) {
    struct kafka_add_offsets_to_txn_response *response = part->request->response;
    response->error_code = code;
}

void kafka_txn_add_offsets(struct kafka_request *request) {
    const struct kafka_add_offsets_to_txn_request *message = request->message;
    const struct txn_producer who = {message->transactional_id, message->producer_id,
                                     message->producer_epoch};
    const struct txn_place place = {message->group_id, TXN_GROUP};
    struct txn_part *part = part_new(request, offsets_told);
    coordinator_txn_add(request->broker, &part->call, &who, &(struct txn_places){&place, 1, 0});
}

/* ---- EndTxn -------------------------------------------------------------------------------------------- */

struct end_part {
    struct txn_part part;
    struct producer_id_request ask;
    struct txn_ending ending;
};

static void end_told(struct txn_part *part, int16_t code) {
    struct kafka_end_txn_response *response = part->request->response;
    response->error_code = code;
    if (code != KAFKA_NONE || part->request->header.api_version < 5) return;
    response->producer_id = part->call.producer_id;
    response->producer_epoch = part->call.epoch;
}

static void end_id_told(struct producer_id_request *ask) {
    struct end_part *end = CONTAINER_OF(ask, struct end_part, ask);
    struct kafka_request *request = end->part.request;
    if (ask->status == STATUS_OK) {
        end->ending.fresh_id = ask->producer_id;
        coordinator_txn_end(request->broker, &end->part.call, &end->ending);
        return;
    }
    end_told(&end->part, status_kafka_code(STATUS_COORDINATOR_LOADING)); /* every client retries */
    kafka_request_release(request);
}

void kafka_txn_end(struct kafka_request *request) {
    const struct kafka_end_txn_request *message = request->message;
    struct end_part *end = kafka_request_calloc(request, 1, sizeof *end);
    end->ending = (struct txn_ending){
        .who = {message->transactional_id, message->producer_id, message->producer_epoch},
        .commit = message->committed,
        .moves_epoch = request->header.api_version >= 5,
        .fresh_id = -1};
    part_start(&end->part, request, end_told);
    end->ask.done = end_id_told;
    if (txn_ending_takes_id(&end->ending))
        broker_new_producer_id(request->broker, &end->ask);
    else
        coordinator_txn_end(request->broker, &end->part.call, &end->ending);
}

/* ---- TxnOffsetCommit ----------------------------------------------------------------------------------- */

struct commit_part {
    struct txn_commit commit;
    struct kafka_request *request;
};

static struct group_commit_offset *fill_offsets(struct kafka_request *request, uint32_t *count) {
    const struct kafka_txn_offset_commit_request *message = request->message;
    struct kafka_txn_offset_commit_response *response = request->response;
    *count = 0;
    for (int32_t t = 0; t < message->topics_count; t++)
        *count += (uint32_t)message->topics[t].partitions_count;
    struct group_commit_offset *offsets = kafka_request_calloc(request, *count, sizeof *offsets);
    struct group_commit_offset *next = offsets;
    response->topics_count = message->topics_count;
    response->topics = kafka_request_array(request, &kafka_schema_txn_offset_commit_response_topic,
                                           (size_t)message->topics_count);
    for (int32_t t = 0; t < message->topics_count; t++) {
        const struct kafka_txn_offset_commit_request_topic *in = &message->topics[t];
        struct kafka_txn_offset_commit_response_topic *out = &response->topics[t];
        const struct broker_topic *topic = broker_topic_find(request->broker, in->name);
        out->name = in->name;
        out->partitions_count = in->partitions_count;
        out->partitions = kafka_request_array(request, &kafka_schema_txn_offset_commit_response_partition,
                                              (size_t)in->partitions_count);
        for (int32_t p = 0; p < in->partitions_count; p++) {
            const struct kafka_txn_offset_commit_request_partition *offset = &in->partitions[p];
            bool known = topic != NULL && offset->partition_index >= 0 &&
                         offset->partition_index < topic->partition_count;
            out->partitions[p].partition_index = offset->partition_index;
            *next++ = (struct group_commit_offset){.topic = in->name,
                                                   .topic_id = known ? topic->id : (struct uuid){{0}},
                                                   .partition = offset->partition_index,
                                                   .offset = offset->committed_offset,
                                                   .leader_epoch = offset->committed_leader_epoch,
                                                   .metadata = offset->committed_metadata,
                                                   .status = known ? STATUS_OK : STATUS_UNKNOWN_TOPIC};
        }
    }
    return offsets;
}

static void commit_told(struct commit_part *part, int16_t code) {
    struct kafka_txn_offset_commit_response *response = part->request->response;
    const struct group_commit_offset *offset = part->commit.commit.offsets;
    if (code == status_kafka_code(STATUS_PRODUCER_FENCED))
        code = status_kafka_code(STATUS_INVALID_PRODUCER_EPOCH);
    for (int32_t t = 0; t < response->topics_count; t++)
        for (int32_t p = 0; p < response->topics[t].partitions_count; p++, offset++)
            response->topics[t].partitions[p].error_code = offset->status == STATUS_OK
                                                               ? code
                                                               : status_kafka_code(offset->status);
    kafka_request_release(part->request);
}

static void commit_done(struct group_call *call) {
    struct commit_part *part = CONTAINER_OF(CONTAINER_OF(call, struct txn_commit, call.call),
                                            struct commit_part, commit);
    enum status status = call->status != STATUS_OK ? call->status : part->commit.call.result;
    /* What clients of transactions know of members: another error is the end of their producer. */
    if (status == STATUS_STALE_MEMBER_EPOCH || status == STATUS_GROUP_NOT_FOUND)
        status = STATUS_ILLEGAL_GENERATION;
    commit_told(part, code_of(part->request, status));
}

static void commit_stop(struct kafka_request *request) {
    struct commit_part *part = request->state;
    if (part->commit.call.call.coordinator == NULL) return;
    coordinator_cancel(&part->commit.call.call);
    commit_told(part, status_kafka_code(STATUS_NOT_COORDINATOR));
}

void kafka_txn_offset_commit(struct kafka_request *request) {
    const struct kafka_txn_offset_commit_request *message = request->message;
    struct commit_part *part = kafka_request_calloc(request, 1, sizeof *part);
    struct txn_commit *commit = &part->commit;
    part->request = request;
    request->state = part;
    request->stop = commit_stop;
    kafka_request_hold(request);
    /* Before version 3 it said nothing of the member; whoever has the transaction is believed (KIP-447). */
    bool told = message->generation_id >= 0 || message->member_id.size != 0;
    commit->call.call.done = commit_done;
    commit->adds = request->header.api_version >= 5; /* the group becomes part of it by itself (KIP-890) */
    commit->who = (struct txn_producer){message->transactional_id, message->producer_id,
                                        message->producer_epoch};
    commit->commit.who = (struct group_identity){.group = message->group_id,
                                                 .member_id = message->member_id,
                                                 .instance_id = message->group_instance_id,
                                                 .generation = told ? message->generation_id : GROUP_ANYBODY};
    commit->commit.offsets = fill_offsets(request, &commit->commit.offset_count);
    coordinator_txn_commit_offsets(request->broker, commit);
}

/* ---- ListTransactions ---------------------------------------------------------------------------------- */

struct listing {
    struct kafka_request *request;
    unsigned phases; /* wanted: bits 1 << enum txn_phase */
    int64_t *ids;    /* wanted producers, sorted */
    size_t count, capacity;
    int64_t now_ms;
};

static int by_id(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static unsigned phases_named(struct slice name) {
    for (unsigned phase = 0; phase <= TXN_COMPLETE_ABORT; phase++)
        if (slice_equal(name, slice_from_text(txn_phase_name((enum txn_phase)phase)))) return 1U << phase;
    return 0;
}

/* Filters are a client's: looked at once, not for each transaction. */
static void prepare_filters(struct listing *listing) {
    const struct kafka_list_transactions_request *message = listing->request->message;
    struct kafka_list_transactions_response *response = listing->request->response;
    if (message->state_filters_count <= 0) listing->phases = ~0U;
    response->unknown_state_filters = kafka_request_calloc(
        listing->request, (size_t)MAX(message->state_filters_count, 0), sizeof(struct slice));
    for (int32_t i = 0; i < message->state_filters_count; i++) {
        unsigned known = phases_named(message->state_filters[i]);
        listing->phases |= known;
        if (known == 0)
            response->unknown_state_filters[response->unknown_state_filters_count++] =
                message->state_filters[i];
    }
    if (message->producer_id_filters_count <= 0) return;
    size_t count = (size_t)message->producer_id_filters_count;
    listing->ids = kafka_request_calloc(listing->request, count, sizeof *listing->ids);
    memcpy(listing->ids, message->producer_id_filters, count * sizeof *listing->ids);
    qsort(listing->ids, count, sizeof *listing->ids, by_id);
}

static bool passes(const struct listing *listing, const struct txn *txn) {
    const struct kafka_list_transactions_request *message = listing->request->message;
    bool state = (listing->phases >> txn->phase & 1) != 0;
    const int64_t id = txn_marker_identity(txn).producer_id;
    bool producer = message->producer_id_filters_count <= 0 ||
                    bsearch(&id, listing->ids, (size_t)message->producer_id_filters_count,
                            sizeof *listing->ids, by_id) != NULL;
    bool old = message->duration_filter < 0 ||
               (txn->phase == TXN_ONGOING &&
                listing->now_ms - txn->started_wall_ms >= message->duration_filter);
    return state && producer && old;
}

static void list_one(void *ctx, const struct txn *txn) {
    struct listing *listing = ctx;
    struct kafka_list_transactions_response *response = listing->request->response;
    if (!passes(listing, txn) || listing->count++ >= listing->capacity) return;
    struct kafka_list_transactions_response_state *out =
        &response->transaction_states[response->transaction_states_count++];
    out->transactional_id = kafka_group_copy(listing->request, txn->id);
    out->producer_id = txn_marker_identity(txn).producer_id;
    out->transaction_state = slice_from_text(txn_phase_name(txn->phase));
}

void kafka_txn_list(struct kafka_request *request) {
    const struct kafka_list_transactions_request *message = request->message;
    struct kafka_list_transactions_response *response = request->response;
    struct slice pattern = message->transactional_id_pattern; /* KIP-1152 */
    struct listing listing = {.request = request, .now_ms = io_wall_ms(server_io(request->server))};
    prepare_filters(&listing);
    enum status status = coordinators_visit_txns(request->broker, pattern, list_one, &listing);
    response->transaction_states = kafka_request_array(
        request, &kafka_schema_list_transactions_response_state, listing.count);
    listing.capacity = listing.count;
    listing.count = 0;
    if (status == STATUS_OK) status = coordinators_visit_txns(request->broker, pattern, list_one, &listing);
    response->error_code = status_kafka_code(status);
}

/* ---- DescribeTransactions ------------------------------------------------------------------------------ */

static void describe(struct kafka_request *request, const struct txn *txn,
                     struct kafka_describe_transactions_response_state *out) {
    out->error_code = KAFKA_NONE;
    out->transaction_state = slice_from_text(txn_phase_name(txn->phase));
    out->transaction_timeout_ms = txn->timeout_ms;
    out->transaction_start_time_ms = txn->phase == TXN_ONGOING ? txn->started_wall_ms : -1;
    out->producer_id = txn_marker_identity(txn).producer_id;
    out->producer_epoch = txn_marker_identity(txn).epoch;
    out->topics = kafka_request_array(request, &kafka_schema_describe_transactions_response_topic,
                                      txn->places.count);
    MAP_FOREACH(it, &txn->places) {
        const struct txn_place *place = MAP_ENTRY(it)->value;
        if (place->partition == TXN_GROUP) continue;
        struct kafka_describe_transactions_response_topic *topic = &out->topics[out->topics_count++];
        topic->topic = kafka_group_copy(request, place->topic);
        topic->partitions = kafka_request_calloc(request, 1, sizeof *topic->partitions);
        topic->partitions[0] = place->partition;
        topic->partitions_count = 1;
    }
}

void kafka_txn_describe(struct kafka_request *request) {
    const struct kafka_describe_transactions_request *message = request->message;
    struct kafka_describe_transactions_response *response = request->response;
    response->transaction_states_count = message->transactional_ids_count;
    response->transaction_states = kafka_request_array(request,
                                                       &kafka_schema_describe_transactions_response_state,
                                                       (size_t)message->transactional_ids_count);
    struct kafka_names seen;
    kafka_names_init(&seen, request);
    int32_t count = 0;
    for (int32_t i = 0; i < message->transactional_ids_count; i++) {
        if (!kafka_names_add(&seen, message->transactional_ids[i])) continue; /* an id is told once */
        struct kafka_describe_transactions_response_state *out = &response->transaction_states[count++];
        const struct txn *txn = NULL;
        enum status status = coordinator_txn_find(request->broker, message->transactional_ids[i], &txn);
        out->transactional_id = message->transactional_ids[i];
        out->error_code = status_kafka_code(status);
        if (status == STATUS_OK) describe(request, txn, out);
    }
    kafka_names_release(&seen);
    response->transaction_states_count = count;
}
