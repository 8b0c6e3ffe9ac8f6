// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.TransactionService: lists of transactions, and one of them. */
#include <stdlib.h>

#include "base/assert.h"
#include "broker/coordinator.h"
#include "sentinel/v1/transaction_service.pb-c.h"
#include "server/grpc_page.h"
#include "server/grpc_partition.h"
#include "server/grpc_service.h"
#include "server/grpc_txn.h"

struct listing {
    struct txn_listing txns;
    struct grpc_call *call;
    bool busy;
    unsigned phases; /* wanted: bits 1 << enum txn_phase */
    int64_t open_for_ms, now_ms;
    struct grpc_page page;
    Sentinel__V1__Transaction *found; /* GetTransaction */
};

static Sentinel__V1__TransactionState print_phase(enum txn_phase phase) {
    static const Sentinel__V1__TransactionState states[] = {
        [TXN_EMPTY] = SENTINEL__V1__TRANSACTION_STATE__TRANSACTION_STATE_EMPTY,
        [TXN_ONGOING] = SENTINEL__V1__TRANSACTION_STATE__TRANSACTION_STATE_ONGOING,
        [TXN_PREPARE_COMMIT] = SENTINEL__V1__TRANSACTION_STATE__TRANSACTION_STATE_PREPARE_COMMIT,
        [TXN_PREPARE_ABORT] = SENTINEL__V1__TRANSACTION_STATE__TRANSACTION_STATE_PREPARE_ABORT,
        [TXN_COMPLETE_COMMIT] = SENTINEL__V1__TRANSACTION_STATE__TRANSACTION_STATE_COMPLETE_COMMIT,
        [TXN_COMPLETE_ABORT] = SENTINEL__V1__TRANSACTION_STATE__TRANSACTION_STATE_COMPLETE_ABORT,
    };
    return states[phase];
}

static void print_places(struct arena *arena, const struct txn_summary *txn, Sentinel__V1__Transaction *out) {
    out->partitions = arena_calloc(arena, (size_t)txn->place_count + 1, sizeof *out->partitions);
    out->groups = arena_calloc(arena, (size_t)txn->place_count + 1, sizeof *out->groups);
    for (uint32_t i = 0; i < txn->place_count; i++) {
        char *name = arena_text(arena, txn->places[i].topic);
        if (txn->places[i].partition == TXN_GROUP) {
            out->groups[out->n_groups++] = name;
            continue;
        }
        Sentinel__V1__TopicPartition *partition = arena_alloc(arena, sizeof *partition);
        sentinel__v1__topic_partition__init(partition);
        partition->topic = name;
        partition->partition = txn->places[i].partition;
        out->partitions[out->n_partitions++] = partition;
    }
}

static Sentinel__V1__Transaction *print_txn(struct arena *arena, const struct txn_summary *txn) {
    Sentinel__V1__Transaction *out = arena_alloc(arena, sizeof *out);
    Sentinel__V1__ProducerIdentity *producer = arena_alloc(arena, sizeof *producer);
    sentinel__v1__transaction__init(out);
    sentinel__v1__producer_identity__init(producer);
    producer->producer_id = txn->producer_id;
    producer->producer_epoch = txn->epoch;
    out->transactional_id = arena_text(arena, txn->id);
    out->state = print_phase(txn->phase);
    out->producer = producer;
    out->timeout_ms = txn->timeout_ms;
    out->start_time_ms = txn->phase == TXN_ONGOING ? txn->started_wall_ms : -1;
    out->update_time_ms = txn->changed_wall_ms;
    print_places(arena, txn, out);
    return out;
}

static void start(struct listing *listing, struct grpc_call *call,
                  void (*visit)(struct txn_listing *, const struct txn_summary *),
                  void (*done)(struct txn_listing *)) {
    listing->call = call;
    listing->busy = true;
    listing->txns.visit = visit;
    listing->txns.done = done;
    broker_list_txns(grpc_call_broker(call), &listing->txns);
}

static void list_ended(struct grpc_call *call) {
    struct listing *listing = call->state;
    if (listing->busy) broker_list_txns_cancel(&listing->txns);
}

/* ---- ListTransactions ---------------------------------------------------------------------------------- */

static void list_one(struct txn_listing *txns, const struct txn_summary *txn) {
    struct listing *listing = CONTAINER_OF(txns, struct listing, txns);
    bool wanted = (listing->phases >> txn->phase & 1) != 0;
    bool old = listing->open_for_ms == 0 ||
               (txn->phase == TXN_ONGOING && listing->now_ms - txn->started_wall_ms >= listing->open_for_ms);
    if (wanted && old && grpc_page_wants(&listing->page, txn->id))
        grpc_page_add(&listing->page, txn->id, print_txn(&listing->call->arena, txn));
}

static void listed(struct txn_listing *txns) {
    struct listing *listing = CONTAINER_OF(txns, struct listing, txns);
    struct grpc_call *call = listing->call;
    listing->busy = false;
    if (txns->base.status != STATUS_OK) {
        grpc_call_fail_status(call, txns->base.status, NULL);
        return;
    }
    Sentinel__V1__ListTransactionsResponse response = SENTINEL__V1__LIST_TRANSACTIONS_RESPONSE__INIT;
    response.transactions = (Sentinel__V1__Transaction **)grpc_page_finish(
        &listing->page, &response.n_transactions, &response.next_page_token);
    grpc_call_reply_packed(call, &response.base);
}

static bool read_states(struct grpc_call *call, const Sentinel__V1__ListTransactionsRequest *request,
                        unsigned *phases) {
    if (request->n_states == 0) *phases = ~0U;
    for (size_t i = 0; i < request->n_states; i++) {
        bool known = false;
        for (unsigned phase = TXN_EMPTY; phase <= TXN_COMPLETE_ABORT; phase++) {
            if (print_phase((enum txn_phase)phase) != request->states[i]) continue;
            *phases |= 1U << phase;
            known = true;
        }
        if (known) continue;
        grpc_call_fail_field(call, "states", "no such state: %d", (int)request->states[i]);
        return false;
    }
    return true;
}

static void list_transactions(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__ListTransactionsRequest *request = grpc_call_unpack(
        call, &sentinel__v1__list_transactions_request__descriptor, message->bytes);
    struct listing *listing = call->state;
    if (request == NULL || !read_states(call, request, &listing->phases) ||
        !grpc_page_init(&listing->page, call, request->page_size, request->page_token))
        return;
    if (request->open_for_ms < 0) {
        grpc_call_fail_field(call, "open_for_ms", "milliseconds, or 0 for all");
        return;
    }
    listing->open_for_ms = request->open_for_ms;
    listing->now_ms = io_wall_ms(grpc_call_io(call));
    start(listing, call, list_one, listed);
}

/* ---- GetTransaction ------------------------------------------------------------------------------------ */

static void found_one(struct txn_listing *txns, const struct txn_summary *txn) {
    struct listing *listing = CONTAINER_OF(txns, struct listing, txns);
    listing->found = print_txn(&listing->call->arena, txn);
}

static void got(struct txn_listing *txns) {
    struct listing *listing = CONTAINER_OF(txns, struct listing, txns);
    listing->busy = false;
    Sentinel__V1__GetTransactionResponse response = SENTINEL__V1__GET_TRANSACTION_RESPONSE__INIT;
    response.transaction = listing->found;
    if (txns->base.status != STATUS_OK)
        grpc_txn_fail(listing->call, txns->id, txns->base.status, NULL);
    else
        grpc_call_reply_packed(listing->call, &response.base);
}

static void get_transaction(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__GetTransactionRequest *request = grpc_call_unpack(
        call, &sentinel__v1__get_transaction_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct listing *listing = call->state;
    listing->txns.id = slice_from_text(request->transactional_id);
    if (listing->txns.id.size == 0 || listing->txns.id.size > TXN_ID_SIZE_MAX)
        grpc_call_fail_field(call, "transactional_id", "a transactional id has 1 to %d bytes",
                             TXN_ID_SIZE_MAX);
    else
        start(listing, call, found_one, got);
}

#define LIST_METHOD(name, handler)                                                                           \
    {                                                                                                        \
        .path = "/sentinel.v1.TransactionService/" name, .message_size_max = GRPC_CONTROL_MESSAGE_MAX,       \
        .state_size = sizeof(struct listing), .message = handler, .ended = list_ended                        \
    }

const struct grpc_method grpc_txn_list_methods[2] = {
    LIST_METHOD("ListTransactions", list_transactions),
    LIST_METHOD("GetTransaction", get_transaction),
};
