// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.TransactionService: beginning and ending transactions, and offsets that are part of them.
 * Appends: grpc_append.c. Lists: grpc_txn_list.c. */
#include "server/grpc_txn.h"
#include "base/assert.h"
#include "broker/coordinator.h"
#include "sentinel/v1/transaction_service.pb-c.h"
#include "server/grpc_partition.h"
#include "server/grpc_service.h"

#define TIMEOUT_MS_DEFAULT 60000
/* The transaction before is being ended: looked at again after so long, and then less often. */
#define RETRY_NS_MIN (5 * NS_PER_MS)
#define RETRY_NS_MAX (200 * NS_PER_MS)
#define RETRY_NS_ALL (30 * NS_PER_S)

/* The producer's say in any call. */
struct txn_part {
    struct grpc_call *call;
    struct txn_call txn;
    struct txn_producer who;
};

/* ---- what they have in common -------------------------------------------------------------------------- */

void grpc_txn_fail(struct grpc_call *call, struct slice id, enum status status, const char *message) {
    if (status == STATUS_INVALID_PRODUCER_EPOCH) status = STATUS_PRODUCER_FENCED;
    if (status == STATUS_CLOSED) status = STATUS_NOT_COORDINATOR;
    if (message == NULL && status == STATUS_PRODUCER_FENCED)
        message = "fenced: another one has begun, or the time was up";
    grpc_call_fail_named(call, "transactional id", "transactional_id", id, status, message);
}

static void fail_txn(const struct txn_part *part, enum status status) {
    grpc_txn_fail(part->call, part->who.id, status, NULL);
}

static enum status status_of(const struct txn_call *txn) {
    return txn->call.status != STATUS_OK ? txn->call.status : txn->result;
}

/* False: the call has failed. */
static bool read_producer(struct txn_part *part, struct grpc_call *call, const char *id,
                          const Sentinel__V1__ProducerIdentity *producer, bool needed) {
    part->call = call;
    part->who = (struct txn_producer){slice_from_text(id), -1, -1};
    if (part->who.id.size == 0 || part->who.id.size > TXN_ID_SIZE_MAX) {
        grpc_call_fail_field(call, "transactional_id", "a transactional id has 1 to %d bytes",
                             TXN_ID_SIZE_MAX);
        return false;
    }
    if (producer == NULL && !needed) return true;
    if (producer == NULL || producer->producer_id < 0 || producer->producer_epoch < 0 ||
        producer->producer_epoch > INT16_MAX) {
        grpc_call_fail_field(call, "producer", "the identity that BeginTransaction or the last end gave");
        return false;
    }
    part->who.producer_id = producer->producer_id;
    part->who.epoch = (int16_t)producer->producer_epoch;
    return true;
}

static Sentinel__V1__ProducerIdentity identity_of(const struct txn_call *txn) {
    Sentinel__V1__ProducerIdentity identity = SENTINEL__V1__PRODUCER_IDENTITY__INIT;
    identity.producer_id = txn->producer_id;
    identity.producer_epoch = txn->epoch;
    return identity;
}

/* ---- BeginTransaction ---------------------------------------------------------------------------------- */

struct begin {
    struct txn_part part;
    struct producer_id_request ask;
    struct io_timer retry;
    uint64_t pause_ns, end_ns;
    int32_t timeout_ms;
};

static void begin_done(struct group_call *group_call);

static void begin_try(struct begin *begin) {
    begin->part.txn.call = (struct group_call){.done = begin_done, .forward = true};
    coordinator_txn_begin(grpc_call_broker(begin->part.call), &begin->part.txn,
                          &(struct txn_begin){.id = begin->part.who.id,
                                              .timeout_ms = begin->timeout_ms,
                                              .producer_id = begin->part.who.producer_id,
                                              .epoch = begin->part.who.epoch,
                                              .fresh_id = begin->ask.producer_id});
}

static void begin_retry(struct io_timer *timer) {
    begin_try(CONTAINER_OF(timer, struct begin, retry));
}

static void begin_done(struct group_call *group_call) {
    struct begin *begin = CONTAINER_OF(group_call, struct begin, part.txn.call);
    struct grpc_call *call = begin->part.call;
    enum status status = status_of(&begin->part.txn);
    uint64_t now_ns = io_now_ns(grpc_call_io(call));
    if (status == STATUS_CONCURRENT_TRANSACTIONS && now_ns < begin->end_ns) {
        io_timer_set(grpc_call_io(call), &begin->retry, now_ns + begin->pause_ns);
        begin->pause_ns = MIN(2 * begin->pause_ns, RETRY_NS_MAX);
        return;
    }
    if (status != STATUS_OK) {
        fail_txn(&begin->part, status);
        return;
    }
    Sentinel__V1__ProducerIdentity identity = identity_of(&begin->part.txn);
    Sentinel__V1__BeginTransactionResponse response = SENTINEL__V1__BEGIN_TRANSACTION_RESPONSE__INIT;
    response.producer = &identity;
    grpc_call_reply_packed(call, &response.base);
}

static void begin_asked(struct producer_id_request *ask) {
    struct begin *begin = CONTAINER_OF(ask, struct begin, ask);
    struct grpc_call *call = begin->part.call;
    if (!call->ended && ask->status != STATUS_OK)
        fail_txn(&begin->part, ask->status);
    else if (!call->ended)
        begin_try(begin);
    grpc_call_unpin(call);
}

static void begin_transaction(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__BeginTransactionRequest *request = grpc_call_unpack(
        call, &sentinel__v1__begin_transaction_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct begin *begin = call->state;
    io_timer_init(&begin->retry, begin_retry);
    if (!read_producer(&begin->part, call, request->transactional_id, request->producer, false)) return;
    if (request->timeout_ms < 0) {
        grpc_call_fail_field(call, "timeout_ms", "milliseconds, or 0 for a minute");
        return;
    }
    begin->timeout_ms = request->timeout_ms == 0 ? TIMEOUT_MS_DEFAULT : request->timeout_ms;
    begin->pause_ns = RETRY_NS_MIN;
    begin->end_ns = io_now_ns(grpc_call_io(call)) + RETRY_NS_ALL;
    begin->ask.done = begin_asked;
    grpc_call_pin(call);
    broker_new_producer_id(grpc_call_broker(call), &begin->ask);
}

static void begin_ended(struct grpc_call *call) {
    struct begin *begin = call->state;
    if (begin->part.call == NULL) return;
    coordinator_cancel(&begin->part.txn.call);
    io_timer_cancel(grpc_call_io(call), &begin->retry);
}

/* ---- CommitTransaction and AbortTransaction ------------------------------------------------------------ */

struct ending {
    struct txn_part part;
    struct producer_id_request ask;
    struct txn_ending request;
};

static void ending_done(struct group_call *group_call) {
    struct ending *ending = CONTAINER_OF(group_call, struct ending, part.txn.call);
    struct grpc_call *call = ending->part.call;
    enum status status = status_of(&ending->part.txn);
    if (status != STATUS_OK) {
        bool none = ending->request.forced && status == STATUS_INVALID_TXN_STATE;
        grpc_txn_fail(call, ending->part.who.id, status,
                      none ? "there is no open transaction to abort" : NULL);
        return;
    }
    Sentinel__V1__ProducerIdentity identity = identity_of(&ending->part.txn);
    Sentinel__V1__CommitTransactionResponse committed = SENTINEL__V1__COMMIT_TRANSACTION_RESPONSE__INIT;
    Sentinel__V1__AbortTransactionResponse aborted = SENTINEL__V1__ABORT_TRANSACTION_RESPONSE__INIT;
    committed.producer = &identity;
    if (!ending->request.forced) aborted.producer = &identity;
    grpc_call_reply_packed(call, ending->request.commit ? &committed.base : &aborted.base);
}

static void ending_asked(struct producer_id_request *ask) {
    struct ending *ending = CONTAINER_OF(ask, struct ending, ask);
    struct grpc_call *call = ending->part.call;
    ending->request.fresh_id = ask->producer_id;
    if (!call->ended && ask->status != STATUS_OK)
        fail_txn(&ending->part, ask->status);
    else if (!call->ended)
        coordinator_txn_end(grpc_call_broker(call), &ending->part.txn, &ending->request);
    grpc_call_unpin(call);
}

static void end_transaction(struct ending *ending, bool commit, bool forced) {
    struct grpc_call *call = ending->part.call;
    ending->part.txn.call = (struct group_call){.done = ending_done, .forward = true};
    ending->request = (struct txn_ending){.who = ending->part.who,
                                          .commit = commit,
                                          .moves_epoch = true,
                                          .may_be_empty = true,
                                          .forced = forced,
                                          .fresh_id = -1};
    ending->ask.done = ending_asked;
    if (!txn_ending_takes_id(&ending->request)) {
        coordinator_txn_end(grpc_call_broker(call), &ending->part.txn, &ending->request);
        return;
    }
    grpc_call_pin(call);
    broker_new_producer_id(grpc_call_broker(call), &ending->ask);
}

static void commit_transaction(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__CommitTransactionRequest *request = grpc_call_unpack(
        call, &sentinel__v1__commit_transaction_request__descriptor, message->bytes);
    struct ending *ending = call->state;
    if (request == NULL ||
        !read_producer(&ending->part, call, request->transactional_id, request->producer, true))
        return;
    end_transaction(ending, true, false);
}

static void abort_transaction(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__AbortTransactionRequest *request = grpc_call_unpack(
        call, &sentinel__v1__abort_transaction_request__descriptor, message->bytes);
    struct ending *ending = call->state;
    if (request == NULL ||
        !read_producer(&ending->part, call, request->transactional_id, request->producer, false))
        return;
    end_transaction(ending, false, request->producer == NULL);
}

static void part_ended(struct grpc_call *call) {
    struct txn_part *part = call->state;
    if (part->call != NULL) coordinator_cancel(&part->txn.call);
}

/* ---- AddOffsets ---------------------------------------------------------------------------------------- */

struct adding {
    struct txn_commit commit;
    struct txn_part part; /* call and who */
};

static void added(struct group_call *group_call) {
    struct adding *adding = CONTAINER_OF(group_call, struct adding, commit.call.call);
    const struct group_commit *commit = &adding->commit.commit;
    enum status status = status_of(&adding->commit.call);
    for (uint32_t i = 0; i < commit->offset_count && status == STATUS_OK; i++)
        status = commit->offsets[i].status;
    const Sentinel__V1__AddOffsetsResponse response = SENTINEL__V1__ADD_OFFSETS_RESPONSE__INIT;
    if (status == STATUS_OK)
        grpc_call_reply_packed(adding->part.call, &response.base);
    else
        fail_txn(&adding->part, status);
}

/* False: the call has failed. */
static bool read_offsets(struct grpc_call *call, size_t count, Sentinel__V1__CommitOffset **list,
                         struct group_commit *commit) {
    commit->offsets = arena_calloc(&call->arena, count + 1, sizeof *commit->offsets);
    for (size_t i = 0; i < count; i++)
        if (!grpc_partition_read_offset(call, list[i], &commit->offsets[commit->offset_count++]))
            return false;
    if (count == 0) grpc_call_fail_field(call, "offsets", "there is nothing to commit");
    return count != 0;
}

static void add_offsets(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__AddOffsetsRequest *request = grpc_call_unpack(
        call, &sentinel__v1__add_offsets_request__descriptor, message->bytes);
    struct adding *adding = call->state;
    struct txn_commit *commit = &adding->commit;
    if (request == NULL ||
        !read_producer(&adding->part, call, request->transactional_id, request->producer, true))
        return;
    if (request->group[0] == '\0') {
        grpc_call_fail_field(call, "group", "the name of a group");
        return;
    }
    if (!read_offsets(call, request->n_offsets, request->offsets, &commit->commit)) return;
    bool member = request->member_id[0] != '\0';
    commit->call.call = (struct group_call){.done = added, .forward = true};
    commit->adds = true;
    commit->who = adding->part.who;
    commit->commit.who = (struct group_identity){.group = slice_from_text(request->group),
                                                 .member_id = slice_from_text(request->member_id),
                                                 .generation = member ? request->member_epoch
                                                                      : GROUP_ANYBODY};
    coordinator_txn_commit_offsets(grpc_call_broker(call), commit);
}

static void adding_ended(struct grpc_call *call) {
    struct adding *adding = call->state;
    if (adding->part.call != NULL) coordinator_cancel(&adding->commit.call.call);
}

#define TXN_METHOD(name, handler, state, end)                                                                \
    {                                                                                                        \
        .path = "/sentinel.v1.TransactionService/" name, .message_size_max = GRPC_CONTROL_MESSAGE_MAX,       \
        .state_size = sizeof(struct state), .message = handler, .ended = end                                 \
    }

const struct grpc_method grpc_txn_methods[4] = {
    TXN_METHOD("BeginTransaction", begin_transaction, begin, begin_ended),
    TXN_METHOD("AddOffsets", add_offsets, adding, adding_ended),
    TXN_METHOD("CommitTransaction", commit_transaction, ending, part_ended),
    TXN_METHOD("AbortTransaction", abort_transaction, ending, part_ended),
};
