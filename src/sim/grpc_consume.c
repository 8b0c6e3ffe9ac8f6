// SPDX-License-Identifier: Apache-2.0
#include "sim/grpc_consume.h"

#include <stdio.h>

#include "base/units.h"
#include "wire/protobuf.h"

#define CREDIT_RECORDS 1000000000

void grpc_consume_ask(struct grpc_consume_ask *ask, const char *topic) {
    snprintf(ask->name, sizeof ask->name, "%s", topic);
    sentinel__v1__consume_topic__init(&ask->topic);
    sentinel__v1__consume_credit__init(&ask->credit);
    sentinel__v1__consume_start__init(&ask->start);
    sentinel__v1__consume_request__init(&ask->request);
    ask->topic.topic = ask->name;
    ask->topics[0] = &ask->topic;
    ask->credit.bytes = GRPC_CREDIT_BYTES;
    ask->credit.records = CREDIT_RECORDS;
    ask->start.topics = ask->topics;
    ask->start.n_topics = 1;
    ask->start.format = SENTINEL__V1__RECORD_FORMAT__RECORD_FORMAT_BATCHES;
    ask->start.credit = &ask->credit;
    ask->request.message_case = SENTINEL__V1__CONSUME_REQUEST__MESSAGE_START;
    ask->request.start = &ask->start;
}

void grpc_consume_send(struct call *call, const Sentinel__V1__ConsumeRequest *request) {
    struct writer bytes;
    writer_init(&bytes);
    protobuf_pack(&bytes, &request->base);
    call_send(call, writer_slice(&bytes), (struct shared_slice){SLICE_EMPTY, NULL});
    writer_release(&bytes);
}

void grpc_consume_credit(struct call *call, size_t *owed, size_t bytes) {
    *owed += bytes;
    if (*owed < GRPC_CREDIT_BYTES / 4) return;
    Sentinel__V1__ConsumeRequest request = SENTINEL__V1__CONSUME_REQUEST__INIT;
    Sentinel__V1__ConsumeCredit credit = SENTINEL__V1__CONSUME_CREDIT__INIT;
    credit.bytes = (int64_t)*owed;
    request.message_case = SENTINEL__V1__CONSUME_REQUEST__MESSAGE_CREDIT;
    request.credit = &credit;
    *owed = 0;
    grpc_consume_send(call, &request);
}

size_t grpc_consume_take(struct history *history, struct history_reader *reader,
                         const struct protobuf_records *records) {
    struct slice rest = records->message, item;
    enum status status;
    bool is_batch;
    size_t bytes = 0;
    reader->high_watermark = MAX(reader->high_watermark, records->high_watermark);
    while ((status = protobuf_records_next(records, &rest, &is_batch, &item)) == STATUS_OK) {
        if (is_batch) history_reader_take(history, reader, item);
        bytes += item.size;
    }
    if (status != STATUS_END)
        history_violate(history, "B21 front end: gRPC: records of partition %u do not parse",
                        reader->partition);
    if (records->next_offset < reader->offset)
        history_violate(history, "B12 contiguity: gRPC: partition %u: %lld is said to be next, after %lld",
                        reader->partition, (long long)records->next_offset, (long long)reader->offset);
    return bytes;
}
