// SPDX-License-Identifier: Apache-2.0
/* Produce and Fetch: record batches go from the frame to the broker, and from the broker to the answer, as
 * they are. */
#include "base/assert.h"
#include "server/kafka_connection.h"

#define FETCH_WAIT_MS_MAX 300000

/* ---- Produce ----------------------------------------------------------------------------------------------
 */

struct produce {
    struct kafka_request *request;
    uint32_t pending;
};
struct produce_append {
    struct append append;
    struct produce *produce;
};

static void fill_partition(struct kafka_request *request, const struct append *append,
                           struct kafka_produce_response_partition *out) {
    kafka_message_init(&kafka_schema_produce_response_partition, out);
    out->index = append->partition;
    out->error_code = status_kafka_code(append->status);
    out->base_offset = append->status == STATUS_OK ? append->base_offset : -1;
    out->log_append_time_ms = append->status == STATUS_OK ? append->log_append_time_ms : -1;
    out->log_start_offset = append->status == STATUS_OK ? append->log_start_offset : -1;
    if (append->status == STATUS_OK) return;
    out->error_message = kafka_error_text(request, append->status, &append->diagnostic);
    if (append->status != STATUS_INVALID_RECORD || append->bad_record < 0) return;
    out->record_errors = kafka_new(request, 1, sizeof *out->record_errors);
    out->record_errors_count = 1;
    out->record_errors[0].batch_index = append->bad_record;
    out->record_errors[0].batch_index_error_message = out->error_message;
}

static void answer_produce(struct produce *produce, const struct produce_append *appends) {
    struct kafka_request *request = produce->request;
    const struct kafka_produce_request *in = request->message;
    if (in->acks == 0) {
        kafka_answer_nothing(request);
        return;
    }
    struct kafka_produce_response response = {0};
    response.responses_count = in->topic_data_count;
    response.responses = kafka_new(request, (size_t)in->topic_data_count, sizeof *response.responses);
    for (int32_t i = 0; i < in->topic_data_count; i++) {
        const struct kafka_produce_request_topic *topic = &in->topic_data[i];
        struct kafka_produce_response_topic *out = &response.responses[i];
        out->name = topic->name;
        out->partition_responses_count = topic->partition_data_count;
        out->partition_responses = kafka_new(request, (size_t)topic->partition_data_count,
                                             sizeof *out->partition_responses);
        for (int32_t j = 0; j < topic->partition_data_count; j++)
            fill_partition(request, &(appends++)->append, &out->partition_responses[j]);
    }
    kafka_answer(request, &response);
}

static void part_done(struct produce *produce, struct produce_append *appends) {
    ASSERT(produce->pending > 0);
    if (--produce->pending == 0) answer_produce(produce, appends);
}

static void appended(struct append *append) {
    struct produce_append *own = CONTAINER_OF(append, struct produce_append, append);
    part_done(own->produce, own->produce->request->state);
}

/* What the broker is not to see; OK: it is. */
static enum status check_produce(const struct kafka_request *request, struct append *append) {
    const struct kafka_produce_request *in = request->message;
    if (in->transactional_id.data != NULL)
        return diagnose(&append->diagnostic, STATUS_UNSUPPORTED, "transactions are not supported yet");
    if (append->batch.bytes.size == 0)
        return diagnose(&append->diagnostic, STATUS_CORRUPT_MESSAGE, "the request holds no records");
    return STATUS_OK;
}

static int32_t count_partitions(const struct kafka_produce_request *in) {
    int32_t count = 0;
    for (int32_t i = 0; i < in->topic_data_count; i++)
        count += in->topic_data[i].partition_data_count;
    return count;
}

void kafka_produce(struct kafka_request *request) {
    const struct kafka_produce_request *in = request->message;
    size_t count = (size_t)count_partitions(in);
    struct produce_append *appends = kafka_new(request, count, sizeof *appends), *next = appends;
    struct produce *produce = kafka_new(request, 1, sizeof *produce);
    request->state = appends;
    produce->request = request;
    produce->pending = (uint32_t)count + 1; /* one is held until all are started */
    bool acks_valid = in->acks >= -1 && in->acks <= 1;
    for (int32_t i = 0; i < in->topic_data_count; i++) {
        const struct kafka_produce_request_topic *topic = &in->topic_data[i];
        for (int32_t j = 0; j < topic->partition_data_count; j++, next++) {
            struct append *append = &next->append;
            next->produce = produce;
            append->topic = topic->name;
            append->partition = topic->partition_data[j].index;
            append->batch = (struct shared_slice){topic->partition_data[j].records.bytes, request->frame};
            append->bad_record = -1;
            append->done = appended;
            append->status = acks_valid ? check_produce(request, append) : STATUS_INVALID_ACKS;
            if (append->status == STATUS_OK)
                broker_append(request->broker, append);
            else
                produce->pending--;
        }
    }
    part_done(produce, appends);
}

/* ---- Fetch ------------------------------------------------------------------------------------------------
 */

struct fetching {
    struct fetch fetch;
    struct kafka_request *request;
    struct fetch_partition *parts; /* fetch.partitions, as they stand in the request */
};

static void fill_fetched(struct kafka_request *request, const struct fetch_partition *part, bool unknown_id,
                         struct kafka_fetch_response_partition *out) {
    const struct kafka_fetch_request *in = request->message;
    kafka_message_init(&kafka_schema_fetch_response_partition, out);
    out->partition_index = part->partition;
    enum status status = unknown_id ? STATUS_UNKNOWN_TOPIC_ID : part->status;
    out->error_code = status_kafka_code(status);
    out->high_watermark = status == STATUS_OK || status == STATUS_OFFSET_OUT_OF_RANGE ? part->high_watermark
                                                                                      : -1;
    out->last_stable_offset = status == STATUS_OK ? part->last_stable_offset : -1;
    out->log_start_offset = status == STATUS_OK || status == STATUS_OFFSET_OUT_OF_RANGE
                                ? part->log_start_offset
                                : -1;
    out->aborted_transactions_count = in->isolation_level == 0 ? -1 : 0;
    out->records = (struct kafka_records){SLICE_LITERAL(""), part->batches, part->batch_count};
}

static void answer_fetch(struct fetching *fetching) {
    struct kafka_request *request = fetching->request;
    const struct kafka_fetch_request *in = request->message;
    struct kafka_fetch_response response = {0};
    const struct fetch_partition *part = fetching->parts;
    response.responses_count = in->topics_count;
    response.responses = kafka_new(request, (size_t)in->topics_count, sizeof *response.responses);
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct kafka_fetch_request_topic *topic = &in->topics[i];
        struct kafka_fetch_response_topic *out = &response.responses[i];
        out->topic = topic->topic;
        out->topic_id = topic->topic_id;
        out->partitions_count = topic->partitions_count;
        out->partitions = kafka_new(request, (size_t)topic->partitions_count, sizeof *out->partitions);
        for (int32_t j = 0; j < topic->partitions_count; j++, part++)
            fill_fetched(request, part, request->version >= 13 && part->topic.size == 0, &out->partitions[j]);
    }
    kafka_answer(request, &response);
}

static void fetched(struct fetch *fetch) {
    answer_fetch(CONTAINER_OF(fetch, struct fetching, fetch));
}

static void release_fetch(struct kafka_request *request) {
    fetch_release(&((struct fetching *)request->state)->fetch);
}

/* The client is gone, or goes: it gets no answer and asks again elsewhere. */
static void cancel_fetch(struct kafka_request *request) {
    broker_fetch_cancel(&((struct fetching *)request->state)->fetch);
    kafka_answer_nothing(request);
}

/* The name by which the broker knows the topic, in the arena; empty: no topic has this id. */
static struct slice topic_name(struct kafka_request *request, const struct kafka_fetch_request_topic *topic) {
    if (request->version < 13) return topic->topic;
    const struct broker_topic *found = broker_topic_find_id(request->broker, topic->topic_id);
    return found == NULL ? SLICE_EMPTY : arena_copy(&request->arena, slice_from_text(found->name));
}

static struct fetching *fetching_new(struct kafka_request *request) {
    const struct kafka_fetch_request *in = request->message;
    struct fetching *fetching = kafka_new(request, 1, sizeof *fetching);
    size_t count = 0;
    for (int32_t i = 0; i < in->topics_count; i++)
        count += (size_t)in->topics[i].partitions_count;
    fetching->request = request;
    fetching->parts = kafka_new(request, count, sizeof *fetching->parts);
    struct fetch_partition *part = fetching->parts;
    for (int32_t i = 0; i < in->topics_count; i++) {
        struct slice name = topic_name(request, &in->topics[i]);
        for (int32_t j = 0; j < in->topics[i].partitions_count; j++, part++) {
            const struct kafka_fetch_request_partition *wanted = &in->topics[i].partitions[j];
            *part = (struct fetch_partition){.topic = name,
                                             .partition = wanted->partition,
                                             .offset = wanted->fetch_offset,
                                             .bytes_max = wanted->partition_max_bytes,
                                             .leader_epoch = wanted->current_leader_epoch};
        }
    }
    fetching->fetch = (struct fetch){.partitions = fetching->parts,
                                     .partition_count = (uint32_t)count,
                                     .wait_max_ms = (uint32_t)MIN(MAX(in->max_wait_ms, 0), FETCH_WAIT_MS_MAX),
                                     .bytes_min = in->min_bytes,
                                     .bytes_max = in->max_bytes,
                                     .done = fetched};
    return fetching;
}

/* Fetch sessions (KIP-227) are declined by the session id 0 in every answer: clients then name all partitions
 * each time, which is legal. A session id we never gave is told to be unknown. */
void kafka_fetch(struct kafka_request *request) {
    const struct kafka_fetch_request *in = request->message;
    if (in->session_id != 0) {
        struct kafka_fetch_response response = {.error_code = KAFKA_ERROR_FETCH_SESSION_ID_NOT_FOUND};
        kafka_answer(request, &response);
        return;
    }
    struct fetching *fetching = fetching_new(request);
    request->state = fetching;
    request->release = release_fetch;
    request->cancel = cancel_fetch;
    broker_fetch(request->broker, &fetching->fetch);
}
