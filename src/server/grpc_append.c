// SPDX-License-Identifier: Apache-2.0
#include "server/grpc_append.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "broker/coordinator.h"
#include "wire/murmur2.h"
#include "wire/protobuf_record.h"
#include "wire/record_batch.h"

/* What a record may take beyond its message: lengths of what protobuf leaves out. */
#define RECORD_OVERHEAD  ((size_t)24)
#define UNCOUNTED        (-1) /* a sequence number that says nothing: PRODUCER_UNCOUNTED */
#define TIMESTAMP_MS_MAX INT64_C(253402300799999) /* the last millisecond of the year 9999 */

/* ---- checking ------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 4, 5))) static bool fail(struct grpc_append_failure *failure, const char *field,
                                                       enum status status, const char *format, ...) {
    failure->field = field;
    failure->error.status = status;
    failure->error.message = failure->text;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure->text, sizeof failure->text, format, arguments);
    va_end(arguments);
    return false;
}

static bool is_transactional(const struct protobuf_produce *produce) {
    return produce->transactional_id.size != 0;
}

static bool check_transaction(const struct protobuf_produce *produce, struct grpc_append_failure *failure) {
    struct record_batch batch;
    if (produce->transactional_id.size > TXN_ID_SIZE_MAX)
        return fail(failure, "transactional_id", STATUS_INVALID, "at most %d bytes", TXN_ID_SIZE_MAX);
    if (produce->acks == PROTOBUF_ACKS_NONE)
        return fail(failure, "acks", STATUS_INVALID, "an append of a transaction is acknowledged");
    if (produce->record_batch.size == 0 && !produce->has_producer)
        return fail(failure, "producer", STATUS_INVALID, "a transaction has the identity of its producer");
    /* Else it would be stored as if there were no transaction. One that is no batch is refused by its leader.
     */
    if (produce->record_batch.size != 0 && record_batch_read(produce->record_batch, &batch) == STATUS_OK &&
        (batch.attributes & BATCH_TRANSACTIONAL) == 0)
        return fail(failure, "record_batch", STATUS_INVALID,
                    "the batch does not say that it is transactional");
    return true;
}

static bool check_producer(const struct protobuf_produce *produce, struct grpc_append_failure *failure) {
    bool transactional = is_transactional(produce);
    if (transactional && !check_transaction(produce, failure)) return false;
    if (!produce->has_producer) return true;
    if (!produce->has_partition && !transactional)
        return fail(failure, "partition", STATUS_INVALID,
                    "an idempotent producer names the partition itself");
    if (produce->record_batch.size != 0)
        return fail(failure, "producer", STATUS_INVALID,
                    "a record batch carries the producer's identity itself");
    if (produce->producer_id < 0 || produce->producer_epoch < 0 || produce->producer_epoch > INT16_MAX)
        return fail(failure, "producer", STATUS_INVALID,
                    "no identity that InitProducer or BeginTransaction gave");
    if (produce->base_sequence < (transactional ? UNCOUNTED : 0))
        return fail(failure, "base_sequence", STATUS_INVALID, "sequence numbers count from 0");
    return true;
}

static bool check_request(const struct protobuf_produce *produce, struct grpc_append_failure *failure) {
    bool has_batch = produce->record_batch.size != 0;
    if (has_batch && produce->record_count != 0)
        return fail(failure, "record_batch", STATUS_INVALID, "either records or a record batch, not both");
    if (!has_batch && produce->record_count == 0)
        return fail(failure, "records", STATUS_INVALID, "there is nothing to append");
    if (has_batch && !produce->has_partition)
        return fail(failure, "partition", STATUS_INVALID, "a record batch needs a partition");
    if (produce->record_count > GRPC_APPEND_RECORDS_MAX)
        return fail(failure, "records", STATUS_INVALID, "at most %d records in one request",
                    GRPC_APPEND_RECORDS_MAX);
    return check_producer(produce, failure);
}

/* ---- building ------------------------------------------------------------------------------------------ */

/* A record of a request, on its way into a partition's batch. */
struct routed {
    struct slice message;
    int32_t partition, index;
};

static int32_t route(const struct protobuf_produce *produce, const struct protobuf_record *record,
                     int32_t partition_count, uint32_t turn) {
    if (produce->has_partition) return produce->partition;
    if (record->key.data != NULL) return murmur2_partition(record->key, partition_count);
    return (int32_t)(turn % (uint32_t)partition_count);
}

/* Reads every record once, so that nothing is built from a request that is refused. */
static bool route_all(const struct protobuf_produce *produce, int32_t partition_count, uint32_t turn,
                      struct routed *routed, struct grpc_append_failure *failure) {
    struct slice rest = produce->message, message;
    int32_t index = 0;
    while (protobuf_produce_record_next(produce, &rest, &message) == STATUS_OK) {
        struct protobuf_record record;
        if (protobuf_record_read(message, &record) != STATUS_OK)
            return fail(failure, "records", STATUS_MALFORMED, "records[%d] is malformed", index);
        if (record.timestamp_ms < 0 || record.timestamp_ms > TIMESTAMP_MS_MAX)
            return fail(failure, NULL, STATUS_INVALID_TIMESTAMP, "records[%d].timestamp_ms is out of range",
                        index);
        struct slice headers = message;
        struct record_header header;
        for (uint32_t i = 0; i < record.header_count; i++)
            if (protobuf_record_header_next(&headers, &header) != STATUS_OK)
                return fail(failure, "records", STATUS_MALFORMED, "a header of records[%d] is malformed",
                            index);
        routed[index] = (struct routed){message, route(produce, &record, partition_count, turn), index};
        index++;
    }
    ASSERT_EQ((uint32_t)index, produce->record_count);
    return true;
}

static void add_record(struct record_batch_builder *builder, struct slice message, int64_t now_ms,
                       struct arena *scratch) {
    struct protobuf_record record;
    enum status status = protobuf_record_read(message, &record);
    ASSERT(status == STATUS_OK); /* route_all read it */
    struct record_header *headers = NULL;
    if (record.header_count != 0) headers = arena_alloc(scratch, record.header_count * sizeof *headers);
    struct slice rest = message;
    for (uint32_t i = 0; i < record.header_count; i++) {
        status = protobuf_record_header_next(&rest, &headers[i]);
        ASSERT(status == STATUS_OK);
    }
    record_batch_add(builder, record.timestamp_ms == 0 ? now_ms : record.timestamp_ms, record.key,
                     record.value, headers, record.header_count);
}

/* One batch of `count` routed records, all of one partition. */
static struct buffer *build_batch(const struct protobuf_produce *produce, const struct routed *routed,
                                  size_t count, int64_t now_ms, struct arena *scratch) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    builder.transactional = is_transactional(produce);
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += routed[i].message.size + RECORD_OVERHEAD;
    record_batch_reserve(&builder, size);
    for (size_t i = 0; i < count; i++)
        add_record(&builder, routed[i].message, now_ms, scratch);
    struct record_batch_producer producer = {.id = produce->producer_id,
                                             .epoch = (int16_t)produce->producer_epoch,
                                             .base_sequence = produce->has_partition ? produce->base_sequence
                                                                                     : UNCOUNTED};
    struct buffer *batch = record_batch_finish(&builder, CODEC_NONE,
                                               produce->has_producer ? &producer : NULL);
    record_batch_builder_release(&builder);
    return batch;
}

static int by_partition(const void *a, const void *b) {
    const struct routed *x = a, *y = b;
    if (x->partition != y->partition) return x->partition < y->partition ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static struct slice copy_to(uint8_t *bytes, struct slice from) {
    if (from.size != 0) memcpy(bytes, from.data, from.size);
    return slice_make(bytes, from.size);
}

static struct grpc_append *append_new(struct slice topic, struct slice transactional_id,
                                      uint32_t part_count) {
    size_t parts_size = part_count * sizeof(struct grpc_append_part);
    struct grpc_append *append = mem_calloc(1,
                                            sizeof *append + parts_size + topic.size + transactional_id.size);
    append->parts = (struct grpc_append_part *)(append + 1);
    append->part_count = part_count;
    uint8_t *names = (uint8_t *)append->parts + parts_size;
    append->topic = copy_to(names, topic);
    append->transactional_id = copy_to(names + topic.size, transactional_id);
    list_init(&append->link);
    return append;
}

void grpc_append_free(struct grpc_append *append) {
    ASSERT(grpc_append_is_done(append));
    list_remove(&append->link);
    for (uint32_t i = 0; i < append->part_count; i++) {
        shared_slice_unref(append->parts[i].batch);
        mem_free(append->parts[i].record_indexes);
    }
    mem_free(append);
}

struct grpc_append *grpc_append_refused(const struct grpc_append_failure *failure) {
    struct grpc_append *append = append_new(failure->error.topic, SLICE_EMPTY, 1);
    struct grpc_append_part *part = &append->parts[0];
    part->whole = append;
    part->append.partition = failure->error.partition;
    part->append.status = failure->error.status;
    snprintf(part->append.diagnostic.text, sizeof part->append.diagnostic.text, "%s", failure->text);
    return append;
}

void grpc_append_abandon(struct grpc_append *append) {
    append->done = NULL;
    append->owner = NULL;
    list_remove(&append->link);
    if (grpc_append_is_done(append)) grpc_append_free(append);
}

static void part_done(struct append *broker_append) {
    struct grpc_append_part *part = CONTAINER_OF(broker_append, struct grpc_append_part, append);
    struct grpc_append *append = part->whole;
    ASSERT_LT(0U, append->busy);
    struct record_batch batch;
    if (part->record_count == 0 && broker_append->status == STATUS_OK &&
        record_batch_read_trusted(part->batch.bytes, &batch) == STATUS_OK)
        part->record_count =
            batch.record_count; /* a batch that the client made: known now that it was checked */
    shared_slice_unref(part->batch);
    part->batch = (struct shared_slice){SLICE_EMPTY, NULL};
    if (--append->busy != 0) return;
    if (append->done != NULL)
        append->done(append);
    else
        grpc_append_free(append);
}

static void submit(struct grpc_append *append, struct grpc_call *call) {
    append->busy = append->part_count;
    grpc_call_appended(call);
    for (uint32_t i = 0; i < append->part_count; i++) {
        struct grpc_append_part *part = &append->parts[i];
        part->whole = append;
        part->append.topic = append->topic;
        part->append.batch = part->batch;
        part->append.forward = true;
        part->append.transactional_id = append->transactional_id;
        part->append.joins_transaction = true;
        part->append.done = part_done;
        append->bytes += part->batch.bytes.size;
        broker_append(grpc_call_broker(call), &part->append);
    }
}

/* The batch as the client made it: a message in a buffer of its own is kept, a borrowed one is copied. */
static struct grpc_append *start_batch(const struct protobuf_produce *produce, struct slice topic,
                                       const struct grpc_message *message) {
    struct grpc_append *append = append_new(topic, produce->transactional_id, 1);
    struct grpc_append_part *part = &append->parts[0];
    part->append.partition = produce->partition;
    part->batch.bytes = produce->record_batch;
    if (message->owner != NULL) {
        part->batch.owner = buffer_ref(message->owner);
    } else {
        part->batch.owner = buffer_copy(produce->record_batch);
        part->batch.bytes = slice_make(part->batch.owner->data, part->batch.owner->size);
    }
    return append;
}

static void fill_part(struct grpc_append_part *part, struct buffer *batch, const struct routed *routed,
                      size_t count, bool all) {
    part->append.partition = routed[0].partition;
    part->batch = (struct shared_slice){slice_make(batch->data, batch->size), batch};
    part->record_count = (int32_t)count;
    if (all) return;
    part->record_indexes = mem_alloc(count * sizeof *part->record_indexes);
    for (size_t i = 0; i < count; i++)
        part->record_indexes[i] = routed[i].index;
}

static struct grpc_append *start_records(const struct protobuf_produce *produce, struct slice topic,
                                         int32_t partition_count, uint32_t turn, int64_t now_ms,
                                         struct grpc_append_failure *failure) {
    struct routed one, *routed = &one;
    size_t count = produce->record_count;
    if (count > 1) routed = mem_alloc(count * sizeof *routed);
    struct grpc_append *append = NULL;
    if (route_all(produce, partition_count, turn, routed, failure)) {
        if (!produce->has_partition && count > 1) qsort(routed, count, sizeof *routed, by_partition);
        uint32_t parts = 1;
        for (size_t i = 1; i < count; i++)
            parts += routed[i].partition != routed[i - 1].partition;
        append = append_new(topic, produce->transactional_id, parts);
        struct arena scratch;
        arena_init(&scratch, 4 * KIB);
        size_t first = 0;
        for (uint32_t part = 0; part < parts; part++) {
            size_t end = first + 1;
            while (end < count && routed[end].partition == routed[first].partition)
                end++;
            struct buffer *batch = build_batch(produce, routed + first, end - first, now_ms, &scratch);
            fill_part(&append->parts[part], batch, routed + first, end - first, parts == 1);
            first = end;
        }
        arena_release(&scratch);
    }
    if (routed != &one) mem_free(routed);
    return append;
}

struct grpc_append *grpc_append_start(struct grpc_call *call, const struct protobuf_produce *produce,
                                      struct grpc_message *message, uint32_t turn,
                                      struct grpc_append_failure *failure) {
    struct broker *broker = grpc_call_broker(call);
    failure->field = NULL;
    failure->error = (struct grpc_partition_error){.topic = produce->topic, .partition = -1};
    if (!check_request(produce, failure)) return NULL;
    const struct broker_topic *topic = broker_topic_find(broker, produce->topic);
    if (topic == NULL) {
        fail(failure, NULL, STATUS_UNKNOWN_TOPIC, "there is no such topic");
        return NULL;
    }
    if (produce->has_partition) failure->error.partition = produce->partition;
    if (produce->has_partition && (produce->partition < 0 || produce->partition >= topic->partition_count)) {
        fail(failure, NULL, STATUS_UNKNOWN_TOPIC, "the topic has %d partitions", topic->partition_count);
        return NULL;
    }
    struct grpc_append *append = produce->record_batch.size != 0
                                     ? start_batch(produce, produce->topic, message)
                                     : start_records(produce, produce->topic, topic->partition_count, turn,
                                                     io_wall_ms(grpc_call_io(call)), failure);
    if (append != NULL) submit(append, call);
    return append;
}

/* ---- results ------------------------------------------------------------------------------------------- */

static struct grpc_partition_error part_error(const struct grpc_append *append,
                                              const struct grpc_append_part *part) {
    enum status status = part->append.status;
    if (status == STATUS_INVALID_PRODUCER_EPOCH) status = STATUS_PRODUCER_FENCED; /* Kafka tells them apart */
    return (struct grpc_partition_error){.status = status,
                                         .topic = append->topic,
                                         .partition = part->append.partition,
                                         .message = part->append.diagnostic.text};
}

void grpc_append_write_results(const struct grpc_append *append, uint32_t number, struct writer *out) {
    ASSERT(grpc_append_is_done(append));
    for (uint32_t i = 0; i < append->part_count; i++) {
        const struct grpc_append_part *part = &append->parts[i];
        struct protobuf_produce_result result = {.partition = part->append.partition,
                                                 .record_count = part->record_count,
                                                 .leader_epoch = part->append.leader_epoch,
                                                 .base_offset = part->append.base_offset,
                                                 .log_append_time_ms = part->append.log_append_time_ms,
                                                 .record_indexes = part->record_indexes,
                                                 .record_index_count = (uint32_t)part->record_count};
        struct writer error;
        writer_init(&error);
        if (part->append.status != STATUS_OK) {
            struct grpc_partition_error failed = part_error(append, part);
            grpc_partition_error_write(&error, &failed);
            result.error = writer_slice(&error);
            result.base_offset = result.log_append_time_ms = -1;
            result.record_count = 0;
        }
        protobuf_produce_result_write(out, number, &result);
        writer_release(&error);
    }
}

void grpc_append_write_unknown(const struct grpc_append *append, uint32_t number, struct writer *out) {
    for (uint32_t i = 0; i < append->part_count; i++) {
        const struct grpc_append_part *part = &append->parts[i];
        struct protobuf_produce_result result = {.partition = part->append.partition,
                                                 .record_count = part->record_count,
                                                 .base_offset = -1,
                                                 .log_append_time_ms = -1,
                                                 .record_indexes = part->record_indexes,
                                                 .record_index_count = (uint32_t)part->record_count};
        protobuf_produce_result_write(out, number, &result);
    }
}

enum status grpc_append_failed(const struct grpc_append *append, struct grpc_partition_error *error) {
    for (uint32_t i = 0; i < append->part_count; i++)
        if (append->parts[i].append.status == STATUS_OK) return STATUS_OK;
    *error = part_error(append, &append->parts[0]);
    return error->status;
}
