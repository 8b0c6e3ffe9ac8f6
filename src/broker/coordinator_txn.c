// SPDX-License-Identifier: Apache-2.0
/* Transactions: the calls of their producers, and what partitions and groups ask. */
#include "base/assert.h"
#include "broker/controller.h"
#include "broker/coordinator_forward.h"
#include "broker/coordinator_remote.h"
#include "broker/coordinator_state.h"
#include "machine/pattern.h"

int64_t coordinator_known_at(const struct broker *broker) {
    if (broker->cluster == NULL) return 0;
    if (broker->cluster->controller == NULL) return -1;
    return (int64_t)raft_replica_applied(controller_replica(broker->cluster));
}

/* ---- calls --------------------------------------------------------------------------------------------- */

static void end_txn_call(struct coordinator *c, struct txn_call *call, enum status result,
                         const struct txn *txn) {
    call->result = result;
    call->producer_id = txn == NULL ? -1 : txn->producer_id;
    call->epoch = txn == NULL ? -1 : txn->epoch;
    call->number = txn == NULL ? 0 : txn->number;
    const struct group_reply reply = {.call = &call->call, .status = result};
    coordinator_end_call(c, &call->call, &reply);
}

void coordinator_txn_begin(struct broker *broker, struct txn_call *call, const struct txn_begin *begin) {
    if (coordinator_forward_txn_begin(broker, call, begin)) return;
    struct coordinator *c = coordinator_open_call(broker, &call->call, begin->id);
    if (c == NULL) return;
    MAYBE(coordinator_begin_step(c));
    const struct txn_clock clock = coordinator_clock(c);
    const struct txn *txn = NULL;
    enum status status = txn_init_producer(&c->txns, &c->step.change, &clock, begin->id, begin->timeout_ms,
                                           begin->producer_id, begin->epoch, begin->fresh_id, &txn);
    end_txn_call(c, call, status, status == STATUS_OK ? txn : NULL);
}

void coordinator_txn_add(struct broker *broker, struct txn_call *call, const struct txn_producer *who,
                         const struct txn_places *places) {
    struct coordinator *c = coordinator_open_call(broker, &call->call, who->id);
    if (c == NULL) return;
    MAYBE(coordinator_begin_step(c));
    const struct txn_clock clock = coordinator_clock(c);
    const struct txn *txn = NULL;
    const struct txn_places known = {places->list, places->count,
                                     MAX(places->known_at, coordinator_known_at(broker))};
    enum status status = txn_add(&c->txns, &c->step.change, &clock, who, &known, &txn);
    end_txn_call(c, call, status, status == STATUS_OK ? txn : NULL);
}

void coordinator_txn_verify(struct broker *broker, struct txn_call *call, const struct txn_producer *who,
                            const struct txn_place *place) {
    struct coordinator *c = coordinator_open_call(broker, &call->call, who->id);
    if (c == NULL) return;
    MAYBE(coordinator_begin_step(c));
    const struct txn *txn = NULL;
    enum status status = txn_verify(&c->txns, who, place, &txn);
    end_txn_call(c, call, status, status == STATUS_OK ? txn : NULL);
}

/* Its producer has the epoch of a transaction that never began. */
static bool is_empty(enum status status, const struct txn *txn, const struct txn_ending *ending) {
    return status == STATUS_INVALID_TXN_STATE && ending->may_be_empty && !ending->forced && ending->commit &&
           ending->who.epoch == txn->epoch;
}

void coordinator_txn_end(struct broker *broker, struct txn_call *call, const struct txn_ending *ending) {
    if (coordinator_forward_txn_end(broker, call, ending)) return;
    const struct txn_producer *who = &ending->who;
    struct coordinator *c = coordinator_open_call(broker, &call->call, who->id);
    if (c == NULL) return;
    MAYBE(coordinator_begin_step(c));
    const struct txn_clock clock = coordinator_clock(c);
    const struct txn *txn = NULL;
    const struct txn_end end = {ending->commit, ending->moves_epoch, ending->fresh_id};
    enum status status = ending->forced ? txn_abort(&c->txns, &c->step.change, &clock, who->id, &txn)
                                        : txn_end(&c->txns, &c->step.change, &clock, who, &end, &txn);
    if (is_empty(status, txn, ending)) status = STATUS_OK;
    bool decided = status == STATUS_OK &&
                   (txn->phase == TXN_PREPARE_COMMIT || txn->phase == TXN_PREPARE_ABORT);
    if (!decided) {
        end_txn_call(c, call, status, status == STATUS_OK ? txn : NULL);
        return;
    }
    call->result = STATUS_OK;
    call->producer_id = txn->producer_id;
    call->epoch = txn->epoch;
    coordinator_end_step(c); /* starts to carry it out */
    /* A retry while another one waits hears of the decision. */
    if (!coordinator_marker_await(c, who->id, call))
        coordinator_end_call(c, &call->call, &(struct group_reply){.call = &call->call});
}

enum status coordinator_txn_find(const struct broker *broker, struct slice id, const struct txn **txn) {
    enum status status = coordinator_serves(broker, id);
    if (status != STATUS_OK) return status;
    *txn = txn_find(&broker->coordinators->list[coordinator_index(id)].txns, id);
    return *txn == NULL ? STATUS_TXN_NOT_FOUND : STATUS_OK;
}

enum status coordinators_visit_txns(struct broker *broker, struct slice id_pattern,
                                    void (*visit)(void *ctx, const struct txn *txn), void *ctx) {
    struct pattern *pattern = NULL;
    enum status status = id_pattern.size == 0 ? STATUS_OK : pattern_new(id_pattern, &pattern);
    if (status != STATUS_OK) return status;
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++) {
        const struct coordinator *c = &broker->coordinators->list[i];
        if (coordinator_is_loading(c)) status = STATUS_COORDINATOR_LOADING;
        MAP_FOREACH(it, &c->txns.txns) {
            const struct txn *txn = MAP_ENTRY(it)->value;
            if (pattern == NULL || pattern_matches(pattern, txn->id)) visit(ctx, txn);
        }
    }
    pattern_free(pattern);
    return status;
}

/* ---- what is asked ------------------------------------------------------------------------------------- */

static void answered_here(struct group_call *call) {
    struct txn_ask *ask = CONTAINER_OF(CONTAINER_OF(call, struct txn_call, call), struct txn_ask, call);
    ask->status = call->status != STATUS_OK ? call->status : ask->call.result;
    ask->number = ask->call.number;
    ask->done(ask);
}

static void answered_elsewhere(struct forward *forward, enum status status, struct shared_slice body) {
    struct txn_ask *ask = CONTAINER_OF(forward, struct txn_ask, forwarding);
    ask->status = status;
    if (status == STATUS_OK && !remote_txn_answer(body.bytes, &ask->number)) ask->status = STATUS_MALFORMED;
    ask->done(ask);
}

static void nobody_answers(struct io_op *op) {
    struct txn_ask *ask = CONTAINER_OF(op, struct txn_ask, op);
    ask->deferred = false;
    ask->status = STATUS_COORDINATOR_UNAVAILABLE;
    ask->done(ask);
}

void coordinator_txn_ask(struct broker *broker, struct txn_ask *ask, const struct txn_question *question) {
    ask->broker = broker;
    ask->deferred = false;
    ask->call = (struct txn_call){.call = {.done = answered_here}};
    forward_init(&ask->forwarding);
    ask->forwarding.answered = answered_elsewhere;
    int32_t node = broker_coordinator(broker, question->who.id);
    const struct txn_places places = {&question->place, 1,
                                      coordinator_known_at(broker)}; /* as seen from here */
    if (node == broker->options.node_id && question->adds) {
        coordinator_txn_add(broker, &ask->call, &question->who, &places);
    } else if (node == broker->options.node_id) {
        coordinator_txn_verify(broker, &ask->call, &question->who, &question->place);
    } else if (node < 0 ||
               !remote_txn_ask(broker, (uint32_t)node, &ask->forwarding, question, places.known_at)) {
        ask->deferred = true;
        ask->op = (struct io_op){.done = nobody_answers};
        io_defer(broker->io, &ask->op);
    }
}

void coordinator_txn_ask_cancel(struct txn_ask *ask) {
    if (ask->broker == NULL) return;
    coordinator_cancel(&ask->call.call);
    forward_cancel(&ask->forwarding);
    if (ask->deferred) io_defer_cancel(&ask->op);
    ask->deferred = false;
}

/* ---- offsets of a transaction ---------------------------------------------------------------------------
 */

static void offsets_asked(struct txn_ask *ask) {
    struct txn_commit *commit = CONTAINER_OF(ask, struct txn_commit, ask);
    struct coordinator *c = commit->call.call.coordinator;
    ASSERT(c != NULL && state_log_is_ready(c->log)); /* else it was given up: coordinator_txn_drop */
    list_remove(&commit->link);
    MAYBE(coordinator_begin_step(c));
    enum status status = ask->status;
    if (status == STATUS_NOT_LEADER || status == STATUS_CLOSED) status = STATUS_NOT_COORDINATOR;
    if (status == STATUS_OK && commit->ended) status = STATUS_INVALID_TXN_STATE;
    const struct group_producer producer = {commit->who.producer_id, ask->number};
    if (status == STATUS_OK) status = group_commit_pending(&c->groups, &c->step, &commit->commit, &producer);
    end_txn_call(c, &commit->call, status, NULL);
}

void coordinator_txn_commit_offsets(struct broker *broker, struct txn_commit *commit) {
    commit->ask = (struct txn_ask){.done = offsets_asked};
    list_init(&commit->link);
    if (coordinator_forward_txn_commit(broker, commit)) return;
    struct coordinator *c = coordinator_open_call(broker, &commit->call.call, commit->commit.who.group);
    if (c == NULL) return;
    commit->ended = false;
    list_push_back(&c->asking, &commit->link);
    const struct txn_question question = {
        .who = commit->who, .place = {commit->commit.who.group, TXN_GROUP}, .adds = commit->adds};
    coordinator_txn_ask(broker, &commit->ask, &question);
}

void coordinator_end_pending(struct broker *broker, struct group_call *call, struct slice group,
                             const struct group_producer *producer, bool commit) {
    struct coordinator *c = coordinator_open_call(broker, call, group);
    if (c == NULL) return;
    LIST_FOREACH(it, &c->asking) {
        struct txn_commit *asking = CONTAINER_OF(it, struct txn_commit, link);
        asking->ended |= asking->who.producer_id == producer->id &&
                         slice_equal(asking->commit.who.group, group);
    }
    group_transaction_end(&c->groups, coordinator_begin_step(c), group, producer, commit);
    coordinator_end_call(c, call, &(struct group_reply){.call = call});
}

/* Its call ends in another way. */
static void give_up(struct txn_commit *commit) {
    list_remove(&commit->link);
    coordinator_txn_ask_cancel(&commit->ask);
}

void coordinator_txn_drop(struct coordinator *c) {
    struct list *first;
    while ((first = list_first(&c->asking)) != NULL)
        give_up(CONTAINER_OF(first, struct txn_commit, link));
    coordinator_marker_drop(c);
}

void coordinator_txn_forget_call(struct coordinator *c, const struct group_call *call) {
    coordinator_marker_forget_call(c, call);
    LIST_FOREACH(it, &c->asking) {
        struct txn_commit *commit = CONTAINER_OF(it, struct txn_commit, link);
        if (&commit->call.call == call) give_up(commit);
    }
}
