// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.ConsumerService.Fetch: one read with long poll. */
#include <stdio.h>

#include "base/assert.h"
#include "sentinel/v1/consumer_service.pb-c.h"
#include "server/grpc_partition.h"
#include "server/grpc_records.h"
#include "server/grpc_service.h"
#include "wire/protobuf_record.h"

#define BYTES_DEFAULT ((int32_t)(1 * MIB))
#define BYTES_MAX     ((int32_t)(32 * MIB))
#define DEADLINE_MARGIN                                                                                      \
    (50 * NS_PER_MS) /* an empty answer that arrives is better than a deadline that passes */

struct fetching {
    struct fetch fetch;
    struct grpc_call *call;
    bool busy, as_batches;
};

/* One partition of the answer, as a field of FetchResponse. */
static void write_partition(const struct fetching *self, const struct fetch_partition *from,
                            struct grpc_records_credit *credit, struct chain *out) {
    struct grpc_records records;
    grpc_records_init(&records, from, self->as_batches,
                      self->as_batches ? PROTOBUF_FETCHED_BATCH : PROTOBUF_FETCHED_RECORD, from->offset);
    struct chain items;
    chain_init(&items);
    enum status status = from->status;
    if (status == STATUS_OK && from->batch_count != 0)
        status = grpc_records_take(&records, SIZE_MAX, credit, &items);
    struct writer error, head;
    writer_init(&error);
    writer_init(&head);
    if (status != STATUS_OK && status != STATUS_END) {
        struct grpc_partition_error failed = {.status = status,
                                              .topic = from->topic,
                                              .partition = from->partition,
                                              .low = from->log_start_offset,
                                              .high = from->high_watermark};
        grpc_partition_error_write(&error, &failed);
    }
    struct protobuf_records message = {.topic = from->topic,
                                       .partition = from->partition,
                                       .next_offset = records.position,
                                       .high_watermark = from->high_watermark,
                                       .log_start_offset = from->log_start_offset,
                                       .error = writer_slice(&error)};
    protobuf_fetched_write_head(&head, &message, items.size);
    chain_append_copy(out, writer_slice(&head));
    chain_append_chain(out, &items);
    writer_release(&error);
    writer_release(&head);
    grpc_records_release(&records);
}

static void fetch_done(struct fetch *fetch) {
    struct fetching *self = CONTAINER_OF(fetch, struct fetching, fetch);
    self->busy = false;
    struct grpc_records_credit credit = {.records = INT64_MAX, .bytes = fetch->bytes_max};
    struct chain response;
    chain_init(&response);
    for (uint32_t i = 0; i < fetch->partition_count; i++)
        write_partition(self, &fetch->partitions[i], &credit, &response);
    fetch_release(fetch);
    grpc_call_send(self->call, &response);
    grpc_call_finish(self->call);
}

static uint32_t wait_ms(const struct grpc_call *call, int32_t wanted_ms) {
    if (call->deadline_ns == 0) return (uint32_t)wanted_ms;
    uint64_t now_ns = io_now_ns(grpc_call_io(call)) + DEADLINE_MARGIN;
    uint64_t left_ms = call->deadline_ns <= now_ns ? 0 : (call->deadline_ns - now_ns) / NS_PER_MS;
    return (uint32_t)MIN(left_ms, (uint64_t)wanted_ms);
}

static bool check_request(struct grpc_call *call, const Sentinel__V1__FetchRequest *request) {
    if (request->n_partitions == 0)
        grpc_call_fail_field(call, "partitions", "name at least one");
    else if (request->max_bytes < 0)
        grpc_call_fail_field(call, "max_bytes", "0 or more");
    else if (request->min_bytes < 0)
        grpc_call_fail_field(call, "min_bytes", "0 or more");
    else if (request->max_wait_ms < 0)
        grpc_call_fail_field(call, "max_wait_ms", "0 or more");
    else if ((unsigned)request->format > SENTINEL__V1__RECORD_FORMAT__RECORD_FORMAT_BATCHES)
        grpc_call_fail_field(call, "format", "no such value");
    else if ((unsigned)request->isolation > SENTINEL__V1__ISOLATION__ISOLATION_READ_COMMITTED)
        grpc_call_fail_field(call, "isolation", "no such value");
    else if ((unsigned)request->read_from > SENTINEL__V1__READ_FROM__READ_FROM_ANY_REPLICA)
        grpc_call_fail_field(call, "read_from", "no such value");
    for (size_t i = 0; !call->ended && i < request->n_partitions; i++) {
        if (request->partitions[i]->offset >= 0 && request->partitions[i]->max_bytes >= 0) continue;
        char path[64];
        snprintf(path, sizeof path, "partitions[%zu]", i);
        grpc_call_fail_field(call, path, "offset and max_bytes are 0 or more");
    }
    return !call->ended;
}

static void fetch_message(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__FetchRequest *request = grpc_call_unpack(call, &sentinel__v1__fetch_request__descriptor,
                                                           message->bytes);
    if (request == NULL || !check_request(call, request)) return;
    struct fetching *self = call->state;
    struct fetch *fetch = &self->fetch;
    self->call = call;
    self->as_batches = request->format == SENTINEL__V1__RECORD_FORMAT__RECORD_FORMAT_BATCHES;
    fetch->bytes_max = request->max_bytes == 0 ? BYTES_DEFAULT : MIN(request->max_bytes, BYTES_MAX);
    fetch->bytes_min = MAX(MIN(request->min_bytes, fetch->bytes_max), 1);
    fetch->wait_max_ms = wait_ms(call, request->max_wait_ms);
    fetch->forward = true;
    fetch->read_committed = request->isolation == SENTINEL__V1__ISOLATION__ISOLATION_READ_COMMITTED;
    fetch->followers = request->read_from == SENTINEL__V1__READ_FROM__READ_FROM_ANY_REPLICA;
    fetch->done = fetch_done;
    fetch->partition_count = (uint32_t)request->n_partitions;
    fetch->partitions = arena_calloc(&call->arena, request->n_partitions, sizeof *fetch->partitions);
    for (size_t i = 0; i < request->n_partitions; i++) {
        const Sentinel__V1__FetchPartition *wanted = request->partitions[i];
        fetch->partitions[i] = (struct fetch_partition){
            .topic = slice_from_text(wanted->topic),
            .partition = wanted->partition,
            .offset = wanted->offset,
            .bytes_max = wanted->max_bytes == 0 ? fetch->bytes_max : MIN(wanted->max_bytes, fetch->bytes_max),
            .leader_epoch = -1,
        };
    }
    self->busy = true;
    broker_fetch(grpc_call_broker(call), fetch);
}

/* The node stops: what is there now is the answer. */
static void fetch_drain(struct grpc_call *call) {
    struct fetching *self = call->state;
    if (!self->busy) return;
    broker_fetch_cancel(&self->fetch);
    self->fetch.wait_max_ms = 0;
    broker_fetch(grpc_call_broker(call), &self->fetch);
}

static void fetch_ended(struct grpc_call *call) {
    struct fetching *self = call->state;
    if (self->busy) broker_fetch_cancel(&self->fetch);
    self->busy = false;
}

const struct grpc_method grpc_fetch_methods[1] = {
    {.path = "/sentinel.v1.ConsumerService/Fetch",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .state_size = sizeof(struct fetching),
     .message = fetch_message,
     .drain = fetch_drain,
     .ended = fetch_ended},
};
