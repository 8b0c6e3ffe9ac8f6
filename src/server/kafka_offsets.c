// SPDX-License-Identifier: Apache-2.0
/* ListOffsets, OffsetForLeaderEpoch and DeleteRecords: what is where in a partition's log. */
#include "server/kafka_handlers.h"

/* Timestamps that name a place in the log; -1 to -3 are the broker's own. */
enum {
    PLACE_EARLIEST_LOCAL = -4, /* KIP-405: of tiered storage; everything here is local */
    PLACE_LATEST_TIERED = -5,  /* KIP-1005: nothing is tiered */
};

/* One partition's question to the broker. */
struct offset_part {
    struct list_offset ask;
    struct kafka_request *request;
    void (*answer)(struct offset_part *part);
    void *response;
    int32_t epoch; /* asked for, OffsetForLeaderEpoch */
    bool running;
    struct offset_part *next;
};

static void ask_done(struct list_offset *ask) {
    struct offset_part *part = CONTAINER_OF(ask, struct offset_part, ask);
    part->running = false;
    part->answer(part);
    kafka_request_release(part->request);
}

/* Searches that run may read a lot: nobody waits for the answer any more. */
static void ask_stop(struct kafka_request *request) {
    if (request->connection != NULL) return;
    kafka_request_hold(request); /* the last release frees the parts */
    for (struct offset_part *part = request->state; part != NULL; part = part->next) {
        if (!part->running) continue;
        part->running = false;
        broker_list_offset_cancel(&part->ask);
        kafka_request_release(request);
    }
    kafka_request_release(request);
}

static struct offset_part *ask(struct kafka_request *request, struct slice topic, int32_t partition,
                               int64_t timestamp_ms, bool read_committed,
                               void (*answer)(struct offset_part *part), void *response) {
    struct offset_part *part = kafka_request_calloc(request, 1, sizeof *part);
    part->request = request;
    part->answer = answer;
    part->response = response;
    part->ask = (struct list_offset){.topic = topic,
                                     .partition = partition,
                                     .timestamp_ms = timestamp_ms,
                                     .read_committed = read_committed,
                                     .done = ask_done};
    part->running = true;
    part->next = request->state;
    request->state = part;
    request->stop = ask_stop;
    kafka_request_hold(request);
    broker_list_offset(request->broker, &part->ask);
    return part;
}

/* KIP-320: 0, or the error for a client whose idea of the leader is older or newer than ours. */
static int16_t check_epoch(struct kafka_request *request, struct slice name, int32_t partition,
                           int32_t client_epoch) {
    const struct broker_topic *topic = broker_topic_find(request->broker, name);
    if (topic == NULL || partition < 0 || partition >= topic->partition_count)
        return status_kafka_code(STATUS_UNKNOWN_TOPIC);
    int32_t epoch = broker_partition_leader(request->broker, topic, partition).epoch;
    if (client_epoch > epoch) return status_kafka_code(STATUS_UNKNOWN_EPOCH);
    return client_epoch != -1 && client_epoch < epoch ? KAFKA_FENCED_LEADER_EPOCH : KAFKA_NONE;
}

/* ---- ListOffsets --------------------------------------------------------------------------------------- */

static void list_answer(struct offset_part *part) {
    struct kafka_list_offsets_response_partition *response = part->response;
    response->error_code = kafka_error_code(part->ask.status);
    if (part->ask.status != STATUS_OK) return;
    response->offset = part->ask.offset;
    response->timestamp = part->ask.found_timestamp_ms;
    response->leader_epoch = part->ask.leader_epoch;
}

static void list_partition(struct kafka_request *request, struct slice topic,
                           const struct kafka_list_offsets_request_partition *in,
                           struct kafka_list_offsets_response_partition *out) {
    const struct kafka_list_offsets_request *message = request->message;
    out->partition_index = in->partition_index;
    out->error_code = check_epoch(request, topic, in->partition_index, in->current_leader_epoch);
    if (out->error_code != KAFKA_NONE || in->timestamp == PLACE_LATEST_TIERED) return;
    int64_t timestamp = in->timestamp == PLACE_EARLIEST_LOCAL ? OFFSET_EARLIEST : in->timestamp;
    if (timestamp < OFFSET_MAX_TIMESTAMP)
        out->error_code = KAFKA_UNSUPPORTED_VERSION;
    else
        ask(request, topic, in->partition_index, timestamp, message->isolation_level == 1, list_answer, out);
}

void kafka_offsets_list(struct kafka_request *request) {
    const struct kafka_list_offsets_request *message = request->message;
    struct kafka_list_offsets_response *response = request->response;
    response->topics_count = MAX(message->topics_count, 0);
    response->topics = kafka_request_array(request, &kafka_schema_list_offsets_response_topic,
                                           (size_t)response->topics_count);
    for (int32_t t = 0; t < response->topics_count; t++) {
        const struct kafka_list_offsets_request_topic *in = &message->topics[t];
        struct kafka_list_offsets_response_topic *out = &response->topics[t];
        out->name = in->name;
        out->partitions_count = MAX(in->partitions_count, 0);
        out->partitions = kafka_request_array(request, &kafka_schema_list_offsets_response_partition,
                                              (size_t)out->partitions_count);
        for (int32_t p = 0; p < out->partitions_count; p++)
            list_partition(request, in->name, &in->partitions[p], &out->partitions[p]);
    }
}

/* ---- OffsetForLeaderEpoch ------------------------------------------------------------------------------ */

/* The lookup has loaded the partition. */
static void epoch_answer(struct offset_part *part) {
    struct kafka_offset_for_leader_epoch_response_partition *response = part->response;
    response->error_code = kafka_error_code(part->ask.status);
    if (part->ask.status != STATUS_OK) return;
    int32_t found = -1;
    int64_t end = -1;
    enum status status = broker_epoch_end(part->request->broker, part->ask.topic, part->ask.partition,
                                          part->epoch, &found, &end);
    if (status == STATUS_PENDING) status = STATUS_UNAVAILABLE; /* being loaded anew */
    response->error_code = kafka_error_code(status);
    if (status != STATUS_OK || found < 0) return;
    response->leader_epoch = found;
    response->end_offset = end;
}

void kafka_offsets_for_leader_epoch(struct kafka_request *request) {
    const struct kafka_offset_for_leader_epoch_request *message = request->message;
    struct kafka_offset_for_leader_epoch_response *response = request->response;
    response->topics_count = MAX(message->topics_count, 0);
    response->topics = kafka_request_array(request, &kafka_schema_offset_for_leader_epoch_response_topic,
                                           (size_t)response->topics_count);
    for (int32_t t = 0; t < response->topics_count; t++) {
        const struct kafka_offset_for_leader_epoch_request_topic *in = &message->topics[t];
        struct kafka_offset_for_leader_epoch_response_topic *out = &response->topics[t];
        out->topic = in->topic;
        out->partitions_count = MAX(in->partitions_count, 0);
        out->partitions = kafka_request_array(
            request, &kafka_schema_offset_for_leader_epoch_response_partition, (size_t)out->partitions_count);
        for (int32_t p = 0; p < out->partitions_count; p++) {
            const struct kafka_offset_for_leader_epoch_request_partition *asked = &in->partitions[p];
            struct kafka_offset_for_leader_epoch_response_partition *told = &out->partitions[p];
            told->partition = asked->partition;
            told->error_code = check_epoch(request, in->topic, asked->partition, asked->current_leader_epoch);
            if (told->error_code != KAFKA_NONE) continue;
            ask(request, in->topic, asked->partition, OFFSET_LATEST, false, epoch_answer, told)->epoch =
                asked->leader_epoch;
        }
    }
}

/* ---- DeleteRecords ------------------------------------------------------------------------------------- */

struct delete_part {
    struct delete_records ask;
    struct kafka_request *request;
    struct kafka_delete_records_response_partition *response;
};

static void delete_done(struct delete_records *ask) {
    struct delete_part *part = CONTAINER_OF(ask, struct delete_part, ask);
    part->response->error_code = kafka_error_code(ask->status);
    part->response->low_watermark = ask->log_start_offset;
    kafka_request_release(part->request);
}

void kafka_offsets_delete_records(struct kafka_request *request) {
    const struct kafka_delete_records_request *message = request->message;
    struct kafka_delete_records_response *response = request->response;
    response->topics_count = MAX(message->topics_count, 0);
    response->topics = kafka_request_array(request, &kafka_schema_delete_records_response_topic,
                                           (size_t)response->topics_count);
    for (int32_t t = 0; t < response->topics_count; t++) {
        const struct kafka_delete_records_request_topic *in = &message->topics[t];
        struct kafka_delete_records_response_topic *out = &response->topics[t];
        out->name = in->name;
        out->partitions_count = MAX(in->partitions_count, 0);
        out->partitions = kafka_request_array(request, &kafka_schema_delete_records_response_partition,
                                              (size_t)out->partitions_count);
        for (int32_t p = 0; p < out->partitions_count; p++) {
            struct delete_part *part = kafka_request_calloc(request, 1, sizeof *part);
            part->request = request;
            part->response = &out->partitions[p];
            part->response->partition_index = in->partitions[p].partition_index;
            part->ask = (struct delete_records){.topic = in->name,
                                                .partition = in->partitions[p].partition_index,
                                                .offset = in->partitions[p].offset,
                                                .done = delete_done};
            kafka_request_hold(request);
            broker_delete_records(request->broker, &part->ask);
        }
    }
}
