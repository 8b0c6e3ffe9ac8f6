// SPDX-License-Identifier: Apache-2.0
/* ListOffsets, OffsetForLeaderEpoch and DeleteRecords: one question to the broker for each partition,
 * answered together when the last is. */
#include "base/assert.h"
#include "server/kafka_connection.h"

/* Kafka's special timestamps beyond the broker's own (KIP-405, KIP-1005): there is no tiered storage here. */
enum { TIMESTAMP_EARLIEST_LOCAL = -4, TIMESTAMP_LATEST_TIERED = -5 };

struct questions {
    struct kafka_request *request;
    uint32_t pending;
    void (*answer)(struct questions *questions);
    struct question *list; /* as the partitions stand in the request */
    uint32_t count;
};
struct question {
    struct questions *all;
    struct list_offset offset;
    struct delete_records deletion;
};

static void answered_one(struct questions *all) {
    ASSERT(all->pending > 0);
    if (--all->pending == 0) all->answer(all);
}

static void offset_done(struct list_offset *offset) {
    answered_one(CONTAINER_OF(offset, struct question, offset)->all);
}

static void deletion_done(struct delete_records *deletion) {
    answered_one(CONTAINER_OF(deletion, struct question, deletion)->all);
}

static struct questions *questions_new(struct kafka_request *request, size_t count,
                                       void (*answer)(struct questions *questions)) {
    struct questions *all = kafka_new(request, 1, sizeof *all);
    all->request = request;
    all->pending = (uint32_t)count + 1; /* one is held until all are asked */
    all->count = (uint32_t)count;
    all->answer = answer;
    all->list = kafka_new(request, count, sizeof *all->list);
    for (size_t i = 0; i < count; i++)
        all->list[i].all = all;
    return all;
}

static void ask_offset(struct question *question, struct slice topic, int32_t partition, int64_t timestamp) {
    question->offset = (struct list_offset){
        .topic = topic, .partition = partition, .timestamp_ms = timestamp, .done = offset_done};
    broker_list_offset(question->all->request->broker, &question->offset);
}

/* ---- ListOffsets ------------------------------------------------------------------------------------------
 */

static void answer_list_offsets(struct questions *all) {
    struct kafka_request *request = all->request;
    const struct kafka_list_offsets_request *in = request->message;
    struct kafka_list_offsets_response response = {.topics_count = in->topics_count};
    response.topics = kafka_new(request, (size_t)in->topics_count, sizeof *response.topics);
    const struct question *question = all->list;
    for (int32_t i = 0; i < in->topics_count; i++) {
        struct kafka_list_offsets_response_topic *out = &response.topics[i];
        out->name = in->topics[i].name;
        out->partitions_count = in->topics[i].partitions_count;
        out->partitions = kafka_new(request, (size_t)out->partitions_count, sizeof *out->partitions);
        for (int32_t j = 0; j < out->partitions_count; j++, question++) {
            const struct list_offset *found = &question->offset;
            bool ok = found->status == STATUS_OK;
            out->partitions[j] = (struct kafka_list_offsets_response_partition){
                .partition_index = in->topics[i].partitions[j].partition_index,
                .error_code = status_kafka_code(found->status),
                .timestamp = ok ? found->found_timestamp_ms : -1,
                .offset = ok ? found->offset : -1,
                .leader_epoch = ok ? found->leader_epoch : -1};
        }
    }
    kafka_answer(request, &response);
}

void kafka_list_offsets(struct kafka_request *request) {
    const struct kafka_list_offsets_request *in = request->message;
    size_t count = 0;
    for (int32_t i = 0; i < in->topics_count; i++)
        count += (size_t)in->topics[i].partitions_count;
    struct questions *all = questions_new(request, count, answer_list_offsets);
    struct question *question = all->list;
    for (int32_t i = 0; i < in->topics_count; i++) {
        for (int32_t j = 0; j < in->topics[i].partitions_count; j++, question++) {
            const struct kafka_list_offsets_request_partition *partition = &in->topics[i].partitions[j];
            if (partition->timestamp == TIMESTAMP_LATEST_TIERED) {
                question->offset = (struct list_offset){
                    .offset = -1, .found_timestamp_ms = -1, .leader_epoch = -1};
                all->pending--;
                continue;
            }
            ask_offset(question, in->topics[i].name, partition->partition_index,
                       partition->timestamp == TIMESTAMP_EARLIEST_LOCAL ? OFFSET_EARLIEST
                                                                        : partition->timestamp);
        }
    }
    answered_one(all);
}

/* ---- OffsetForLeaderEpoch
 * ---------------------------------------------------------------------------------- */

/* The end of the newest epoch is the end of the log; an epoch that never was has none (KIP-101, KIP-320). */
static void answer_epochs(struct questions *all) {
    struct kafka_request *request = all->request;
    const struct kafka_offset_for_leader_epoch_request *in = request->message;
    struct kafka_offset_for_leader_epoch_response response = {.topics_count = in->topics_count};
    response.topics = kafka_new(request, (size_t)in->topics_count, sizeof *response.topics);
    const struct question *question = all->list;
    for (int32_t i = 0; i < in->topics_count; i++) {
        struct kafka_offset_for_leader_epoch_response_topic *out = &response.topics[i];
        out->topic = in->topics[i].topic;
        out->partitions_count = in->topics[i].partitions_count;
        out->partitions = kafka_new(request, (size_t)out->partitions_count, sizeof *out->partitions);
        for (int32_t j = 0; j < out->partitions_count; j++, question++) {
            const struct kafka_offset_for_leader_epoch_request_partition *asked =
                &in->topics[i].partitions[j];
            const struct list_offset *found = &question->offset;
            enum status status = found->status;
            if (status == STATUS_OK && asked->current_leader_epoch > found->leader_epoch)
                status = STATUS_UNKNOWN_EPOCH;
            bool known = status == STATUS_OK && asked->leader_epoch >= 0 &&
                         asked->leader_epoch <= found->leader_epoch;
            out->partitions[j] = (struct kafka_offset_for_leader_epoch_response_partition){
                .error_code = status_kafka_code(status),
                .partition = asked->partition,
                .leader_epoch = known ? asked->leader_epoch : -1,
                .end_offset = known ? found->offset : -1};
        }
    }
    kafka_answer(request, &response);
}

void kafka_offset_for_leader_epoch(struct kafka_request *request) {
    const struct kafka_offset_for_leader_epoch_request *in = request->message;
    size_t count = 0;
    for (int32_t i = 0; i < in->topics_count; i++)
        count += (size_t)in->topics[i].partitions_count;
    struct questions *all = questions_new(request, count, answer_epochs);
    struct question *question = all->list;
    for (int32_t i = 0; i < in->topics_count; i++)
        for (int32_t j = 0; j < in->topics[i].partitions_count; j++, question++)
            ask_offset(question, in->topics[i].topic, in->topics[i].partitions[j].partition, OFFSET_LATEST);
    answered_one(all);
}

/* ---- DeleteRecords
 * ------------------------------------------------------------------------------------------ */

static void answer_deletions(struct questions *all) {
    struct kafka_request *request = all->request;
    const struct kafka_delete_records_request *in = request->message;
    struct kafka_delete_records_response response = {.topics_count = in->topics_count};
    response.topics = kafka_new(request, (size_t)in->topics_count, sizeof *response.topics);
    const struct question *question = all->list;
    for (int32_t i = 0; i < in->topics_count; i++) {
        struct kafka_delete_records_response_topic *out = &response.topics[i];
        out->name = in->topics[i].name;
        out->partitions_count = in->topics[i].partitions_count;
        out->partitions = kafka_new(request, (size_t)out->partitions_count, sizeof *out->partitions);
        for (int32_t j = 0; j < out->partitions_count; j++, question++)
            out->partitions[j] = (struct kafka_delete_records_response_partition){
                .partition_index = in->topics[i].partitions[j].partition_index,
                .low_watermark = question->deletion.log_start_offset,
                .error_code = status_kafka_code(question->deletion.status)};
    }
    kafka_answer(request, &response);
}

void kafka_delete_records(struct kafka_request *request) {
    const struct kafka_delete_records_request *in = request->message;
    size_t count = 0;
    for (int32_t i = 0; i < in->topics_count; i++)
        count += (size_t)in->topics[i].partitions_count;
    struct questions *all = questions_new(request, count, answer_deletions);
    struct question *question = all->list;
    for (int32_t i = 0; i < in->topics_count; i++) {
        for (int32_t j = 0; j < in->topics[i].partitions_count; j++, question++) {
            question->deletion = (struct delete_records){
                .topic = in->topics[i].name,
                .partition = in->topics[i].partitions[j].partition_index,
                .offset = in->topics[i].partitions[j].offset,
                .done = deletion_done};
            broker_delete_records(request->broker, &question->deletion);
        }
    }
    answered_one(all);
}
