// SPDX-License-Identifier: Apache-2.0
/* Calls of transactions, to the node that coordinates them and back. */
#include "broker/coordinator_away.h"
#include "broker/coordinator_forward.h"

/* ---- asking -------------------------------------------------------------------------------------------- */

static bool take_call(struct group_away *away, struct reader *in) {
    struct txn_call *call = CONTAINER_OF(away->call, struct txn_call, call);
    uint8_t result = reader_u8(in);
    call->result = result < STATUS_COUNT ? (enum status)result : STATUS_MALFORMED;
    call->producer_id = (int64_t)reader_be64(in);
    call->epoch = (int16_t)reader_be16(in);
    call->number = (int32_t)reader_be32(in);
    away_take_statuses(in, away);
    return reader_ok(in);
}

static void put_producer(struct writer *out, const struct txn_producer *who) {
    away_put(out, who->id);
    writer_be64(out, (uint64_t)who->producer_id);
    writer_be16(out, (uint16_t)who->epoch);
}

static struct txn_producer take_producer(struct reader *in) {
    struct txn_producer who = {.id = away_take(in)};
    who.producer_id = (int64_t)reader_be64(in);
    who.epoch = (int16_t)reader_be16(in);
    return who;
}

bool coordinator_forward_txn_begin(struct broker *broker, struct txn_call *call,
                                   const struct txn_begin *begin) {
    uint32_t node = away_node(broker, &call->call, begin->id);
    if (node == 0) return false;
    struct writer out;
    writer_init(&out);
    put_producer(&out, &(struct txn_producer){begin->id, begin->producer_id, begin->epoch});
    writer_be32(&out, (uint32_t)begin->timeout_ms);
    writer_be64(&out, (uint64_t)begin->fresh_id);
    return away_start(broker, &call->call, node, AWAY_TXN_BEGIN, begin->id, &out, take_call, NULL);
}

enum { END_COMMIT = 1, END_MOVES_EPOCH = 2, END_MAY_BE_EMPTY = 4, END_FORCED = 8 };

bool coordinator_forward_txn_end(struct broker *broker, struct txn_call *call,
                                 const struct txn_ending *ending) {
    uint32_t node = away_node(broker, &call->call, ending->who.id);
    if (node == 0) return false;
    unsigned how = (ending->commit ? END_COMMIT : 0U) | (ending->moves_epoch ? END_MOVES_EPOCH : 0U) |
                   (ending->may_be_empty ? END_MAY_BE_EMPTY : 0U) | (ending->forced ? END_FORCED : 0U);
    struct writer out;
    writer_init(&out);
    put_producer(&out, &ending->who);
    writer_u8(&out, (uint8_t)how);
    if (txn_ending_takes_id(ending)) writer_be64(&out, (uint64_t)ending->fresh_id);
    return away_start(broker, &call->call, node, AWAY_TXN_END, ending->who.id, &out, take_call, NULL);
}

bool coordinator_forward_txn_commit(struct broker *broker, struct txn_commit *commit) {
    struct slice group = commit->commit.who.group;
    uint32_t node = away_node(broker, &commit->call.call, group);
    if (node == 0) return false;
    struct group_away *away;
    struct writer out;
    writer_init(&out);
    put_producer(&out, &commit->who);
    writer_u8(&out, commit->adds);
    away_put_offsets(&out, &commit->commit);
    if (!away_start(broker, &commit->call.call, node, AWAY_TXN_COMMIT, group, &out, take_call, &away))
        return false;
    away->offsets = commit->commit.offsets;
    away->offset_count = commit->commit.offset_count;
    return true;
}

/* ---- answering ----------------------------------------------------------------------------------------- */

static void txn_done(struct group_call *group_call) {
    struct txn_call *call = CONTAINER_OF(group_call, struct txn_call, call);
    struct served *served = CONTAINER_OF(call, struct served, txn.call);
    struct writer *out = &served->out;
    writer_u8(out, (uint8_t)call->result);
    writer_be64(out, (uint64_t)call->producer_id);
    writer_be16(out, (uint16_t)call->epoch);
    writer_be32(out, (uint32_t)call->number);
    away_put_statuses(out, served);
    served_answer(served, group_call->status);
}

void away_serve_txn_begin(struct served *served, struct reader *in) {
    const struct txn_producer who = take_producer(in);
    struct txn_begin begin = {.id = who.id, .producer_id = who.producer_id, .epoch = who.epoch};
    begin.timeout_ms = (int32_t)reader_be32(in);
    begin.fresh_id = (int64_t)reader_be64(in);
    served->txn.call.call.done = txn_done;
    if (reader_ok(in) && begin.fresh_id >= 0)
        coordinator_txn_begin(served->cluster->broker, &served->txn.call, &begin);
    else
        served_free(served);
}

void away_serve_txn_end(struct served *served, struct reader *in) {
    struct txn_ending ending = {.who = take_producer(in)};
    uint8_t how = reader_u8(in);
    ending.commit = (how & END_COMMIT) != 0;
    ending.moves_epoch = (how & END_MOVES_EPOCH) != 0;
    ending.may_be_empty = (how & END_MAY_BE_EMPTY) != 0;
    ending.forced = (how & END_FORCED) != 0;
    bool takes_id = txn_ending_takes_id(&ending);
    ending.fresh_id = takes_id ? (int64_t)reader_be64(in) : -1;
    served->txn.call.call.done = txn_done;
    if (reader_ok(in) && (!takes_id || ending.fresh_id >= 0))
        coordinator_txn_end(served->cluster->broker, &served->txn.call, &ending);
    else
        served_free(served);
}

void away_serve_txn_commit(struct served *served, struct reader *in) {
    struct txn_commit *commit = &served->txn;
    commit->who = take_producer(in);
    commit->adds = reader_u8(in) != 0;
    away_take_offsets(in, served, &commit->commit);
    commit->call.call.done = txn_done;
    if (reader_ok(in))
        coordinator_txn_commit_offsets(served->cluster->broker, commit);
    else
        served_free(served);
}
