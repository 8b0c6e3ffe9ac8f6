// SPDX-License-Identifier: Apache-2.0
#include "broker/coordinator_remote.h"

#include "base/assert.h"
#include "base/mem.h"

/* ---- asking -------------------------------------------------------------------------------------------- */

static void put(struct chain *chain, struct writer *bytes) {
    chain_init(chain);
    chain_append_copy(chain, writer_slice(bytes));
    writer_release(bytes);
}

static bool send(struct broker *broker, uint32_t node, struct forward *forward, enum forward_op op,
                 struct writer *bytes) {
    struct chain body;
    put(&body, bytes);
    bool sent = forward_send(broker, forward, node, op, &body);
    chain_release(&body);
    return sent;
}

bool remote_txn_ask(struct broker *broker, uint32_t node, struct forward *forward,
                    const struct txn_question *question, int64_t known_at) {
    struct writer out;
    writer_init(&out);
    writer_u8(&out, question->adds);
    writer_be64(&out, (uint64_t)question->who.producer_id);
    writer_be16(&out, (uint16_t)question->who.epoch);
    writer_be64(&out, (uint64_t)known_at);
    writer_be32(&out, (uint32_t)question->place.partition);
    writer_be16(&out, (uint16_t)question->who.id.size);
    writer_bytes(&out, question->who.id);
    writer_bytes(&out, question->place.topic);
    return send(broker, node, forward, FORWARD_TXN_ASK, &out);
}

bool remote_txn_answer(struct slice body, int32_t *number) {
    struct reader in = reader_make(body);
    *number = (int32_t)reader_be32(&in);
    return reader_ok(&in);
}

bool remote_marker(struct broker *broker, struct forward *forward, const struct txn_place *place,
                   const struct record_batch_marker *marker) {
    struct writer out;
    struct chain rest;
    writer_init(&out);
    writer_u8(&out, marker->commit);
    writer_be64(&out, (uint64_t)marker->producer_id);
    writer_be16(&out, (uint16_t)marker->epoch);
    writer_be32(&out, (uint32_t)marker->number);
    put(&rest, &out);
    bool sent = forward_start(broker, forward, FORWARD_MARKER, place->topic, place->partition, &rest);
    chain_release(&rest);
    return sent;
}

bool remote_end_pending(struct broker *broker, uint32_t node, struct forward *forward, struct slice group,
                        const struct group_producer *producer, bool commit) {
    struct writer out;
    writer_init(&out);
    writer_u8(&out, commit);
    writer_be64(&out, (uint64_t)producer->id);
    writer_be32(&out, (uint32_t)producer->number);
    writer_bytes(&out, group);
    return send(broker, node, forward, FORWARD_END_PENDING, &out);
}

/* ---- answering ----------------------------------------------------------------------------------------- */

struct served_call {
    struct list link; /* in cluster.served_calls */
    struct cluster *cluster;
    uint32_t node;
    uint64_t number;
    enum forward_op op;
    struct txn_call txn;
    struct group_call group;
    struct append append;
};

static void answer(struct served_call *served, enum status status, struct writer *rest) {
    const uint8_t head = (uint8_t)status;
    struct chain body;
    chain_init(&body);
    chain_append_copy(&body, slice_make(&head, 1));
    if (rest != NULL) chain_append_copy(&body, writer_slice(rest));
    MAYBE(peers_answer(served->cluster->peers, served->node, served->number, &body));
    chain_release(&body);
    list_remove(&served->link);
    mem_free(served);
}

static void txn_done(struct group_call *call) {
    struct served_call *served = CONTAINER_OF(CONTAINER_OF(call, struct txn_call, call), struct served_call,
                                              txn);
    struct writer number;
    writer_init(&number);
    writer_be32(&number, (uint32_t)served->txn.number);
    answer(served, call->status != STATUS_OK ? call->status : served->txn.result, &number);
    writer_release(&number);
}

static void group_done(struct group_call *call) {
    answer(CONTAINER_OF(call, struct served_call, group), call->status, NULL);
}

static void append_done(struct append *append) {
    answer(CONTAINER_OF(append, struct served_call, append), append->status, NULL);
}

static struct served_call *served_new(struct cluster *cluster, uint32_t node, uint64_t number,
                                      enum forward_op op) {
    struct served_call *served = mem_calloc(1, sizeof *served);
    served->cluster = cluster;
    served->node = node;
    served->number = number;
    served->op = op;
    list_push_back(&cluster->served_calls, &served->link);
    return served;
}

/* A request that does not parse is not answered: the other node is of another make. */
static void serve_ask(struct cluster *cluster, uint32_t node, uint64_t number, struct reader *in) {
    bool adds = reader_u8(in) != 0;
    struct txn_producer who = {.producer_id = (int64_t)reader_be64(in)};
    who.epoch = (int16_t)reader_be16(in);
    int64_t known_at = (int64_t)reader_be64(in);
    struct txn_place place = {.partition = (int32_t)reader_be32(in)};
    who.id = reader_bytes(in, reader_be16(in));
    place.topic = reader_bytes(in, reader_remaining(in));
    if (!reader_ok(in) || who.id.size == 0) return;
    struct served_call *served = served_new(cluster, node, number, FORWARD_TXN_ASK);
    served->txn.call.done = txn_done;
    if (adds)
        coordinator_txn_add(cluster->broker, &served->txn, &who, &(struct txn_places){&place, 1, known_at});
    else
        coordinator_txn_verify(cluster->broker, &served->txn, &who, &place);
}

static void serve_marker(struct cluster *cluster, uint32_t node, uint64_t number, struct reader *in) {
    struct txn_place place = {.topic = reader_bytes(in, reader_be16(in))};
    place.partition = (int32_t)reader_be32(in);
    struct record_batch_marker marker = {.commit = reader_u8(in) != 0};
    marker.producer_id = (int64_t)reader_be64(in);
    marker.epoch = (int16_t)reader_be16(in);
    marker.number = (int32_t)reader_be32(in);
    if (!reader_ok(in) || reader_remaining(in) != 0 || marker.producer_id < 0) return;
    struct served_call *served = served_new(cluster, node, number, FORWARD_MARKER);
    struct buffer *batch = record_batch_marker(&marker, io_wall_ms(cluster->broker->io));
    served->append = (struct append){.topic = place.topic,
                                     .partition = place.partition,
                                     .batch = {slice_make(batch->data, batch->size), batch},
                                     .marker = true,
                                     .done = append_done};
    broker_append(cluster->broker, &served->append);
    buffer_unref(batch);
}

static void serve_end(struct cluster *cluster, uint32_t node, uint64_t number, struct reader *in) {
    bool commit = reader_u8(in) != 0;
    struct group_producer producer = {.id = (int64_t)reader_be64(in)};
    producer.number = (int32_t)reader_be32(in);
    struct slice group = reader_bytes(in, reader_remaining(in));
    if (!reader_ok(in) || group.size == 0) return;
    struct served_call *served = served_new(cluster, node, number, FORWARD_END_PENDING);
    served->group.done = group_done;
    coordinator_end_pending(cluster->broker, &served->group, group, &producer, commit);
}

void coordinator_remote_request(struct cluster *cluster, uint32_t node, uint64_t number, struct slice body) {
    struct reader in = reader_make(body);
    uint8_t op = reader_u8(&in);
    if (op == FORWARD_TXN_ASK) serve_ask(cluster, node, number, &in);
    if (op == FORWARD_MARKER) serve_marker(cluster, node, number, &in);
    if (op == FORWARD_END_PENDING) serve_end(cluster, node, number, &in);
}

void coordinator_remote_abandon(struct cluster *cluster) {
    LIST_FOREACH(it, &cluster->served_calls) {
        struct served_call *served = CONTAINER_OF(it, struct served_call, link);
        list_remove(it);
        coordinator_cancel(&served->txn.call);
        coordinator_cancel(&served->group);
        if (served->op == FORWARD_MARKER) append_abandon(&served->append);
        mem_free(served);
    }
}
