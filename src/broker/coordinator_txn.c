// SPDX-License-Identifier: Apache-2.0
/* Transactions: calls, and the markers that carry out what was decided.
 *
 *   end ─> decision logged ─> committed ─> marker to each partition, word to each group ─> completed, logged
 *                                              └ failed: again MARKER_RETRY_NS later, until it is done */
#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "broker/coordinator_state.h"
#include "wire/record_batch.h"

#define MARKER_RETRY_NS (100 * NS_PER_MS)

struct marker_job;
struct marker_part {
    struct marker_job *job;
    struct slice topic; /* or a group */
    int32_t partition;
    bool finished, under_way;
    struct append append;
    struct group_call call;
};
struct marker_job {
    struct list link;                /* in coordinator.jobs */
    struct coordinator *coordinator; /* NULL: dropped, and freed with its last part */
    struct broker *broker;
    struct slice id;
    int64_t producer_id;
    int16_t epoch;
    bool commit, started;
    uint64_t after;          /* starts when this is committed */
    struct txn_call *waiter; /* the end that decided it; may be NULL */
    struct io_timer retry;
    struct marker_part *parts;
    uint32_t part_count, under_way;
};

/* ---- calls --------------------------------------------------------------------------------------------- */

static void end_txn_call(struct coordinator *c, struct txn_call *call, enum status result,
                         const struct txn *txn) {
    call->result = result;
    call->producer_id = txn == NULL ? -1 : txn->producer_id;
    call->epoch = txn == NULL ? -1 : txn->epoch;
    const struct group_reply reply = {.call = &call->call, .status = result};
    coordinator_end_call(c, &call->call, &reply);
}

void coordinator_txn_begin(struct broker *broker, struct txn_call *call, const struct txn_begin *begin) {
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
                         const struct txn_place *places, uint32_t count) {
    struct coordinator *c = coordinator_open_call(broker, &call->call, who->id);
    if (c == NULL) return;
    MAYBE(coordinator_begin_step(c));
    const struct txn_clock clock = coordinator_clock(c);
    end_txn_call(c, call, txn_add(&c->txns, &c->step.change, &clock, who, places, count), NULL);
}

void coordinator_txn_verify(struct broker *broker, struct txn_call *call, const struct txn_producer *who,
                            const struct txn_place *place) {
    struct coordinator *c = coordinator_open_call(broker, &call->call, who->id);
    if (c == NULL) return;
    MAYBE(coordinator_begin_step(c));
    end_txn_call(c, call, txn_verify(&c->txns, who, place), NULL);
}

static struct marker_job *job_of(const struct coordinator *c, struct slice id) {
    LIST_FOREACH(it, &c->jobs) {
        struct marker_job *job = CONTAINER_OF(it, struct marker_job, link);
        if (slice_equal(job->id, id)) return job;
    }
    return NULL;
}

void coordinator_txn_end(struct broker *broker, struct txn_call *call, const struct txn_producer *who,
                         bool commit, bool moves_epoch) {
    struct coordinator *c = coordinator_open_call(broker, &call->call, who->id);
    if (c == NULL) return;
    MAYBE(coordinator_begin_step(c));
    const struct txn_clock clock = coordinator_clock(c);
    const struct txn *txn = NULL;
    enum status status = txn_end(&c->txns, &c->step.change, &clock, who, commit, moves_epoch, &txn);
    bool decided = status == STATUS_OK &&
                   (txn->phase == TXN_PREPARE_COMMIT || txn->phase == TXN_PREPARE_ABORT);
    if (!decided) {
        end_txn_call(c, call, status, status == STATUS_OK ? txn : NULL);
        return;
    }
    call->result = STATUS_OK;
    call->producer_id = txn->producer_id;
    call->epoch = txn->epoch;
    coordinator_end_step(c); /* starts the job */
    struct marker_job *job = job_of(c, who->id);
    if (job != NULL && job->waiter == NULL)
        job->waiter = call;
    else /* a retry while another one waits: it hears of the decision */
        coordinator_end_call(c, &call->call, &(struct group_reply){.call = &call->call});
}

void coordinator_txn_commit_offsets(struct broker *broker, struct txn_call *call,
                                    const struct txn_producer *who, const struct group_commit *commit) {
    struct coordinator *owner = &broker->coordinators->list[coordinator_index(who->id)];
    struct coordinator *c = coordinator_open_call(broker, &call->call, commit->who.group);
    if (c == NULL) return;
    MAYBE(coordinator_begin_step(c));
    const struct txn_place place = {commit->who.group, TXN_GROUP};
    enum status status = state_log_is_ready(owner->log) ? txn_verify(&owner->txns, who, &place)
                                                        : STATUS_COORDINATOR_LOADING;
    if (status == STATUS_OK) status = group_commit_pending(&c->groups, &c->step, commit, who->producer_id);
    end_txn_call(c, call, status, NULL);
}

void coordinator_end_pending(struct broker *broker, struct group_call *call, struct slice group,
                             int64_t producer_id, bool commit) {
    struct coordinator *c = coordinator_open_call(broker, call, group);
    if (c == NULL) return;
    group_transaction_end(&c->groups, coordinator_begin_step(c), group, producer_id, commit);
    coordinator_end_call(c, call, &(struct group_reply){.call = call});
}

enum status coordinators_visit_txns(struct broker *broker, void (*visit)(void *ctx, const struct txn *txn),
                                    void *ctx) {
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++) {
        const struct coordinator *c = &broker->coordinators->list[i];
        if (!state_log_is_ready(c->log)) status = STATUS_COORDINATOR_LOADING;
        MAP_FOREACH(it, &c->txns.txns) {
            visit(ctx, MAP_ENTRY(it)->value);
        }
    }
    return status;
}

/* ---- markers ------------------------------------------------------------------------------------------- */

static void job_free(struct marker_job *job) {
    ASSERT(job->under_way == 0);
    io_timer_cancel(job->broker->io, &job->retry);
    list_remove(&job->link);
    for (uint32_t i = 0; i < job->part_count; i++)
        mem_free((void *)(uintptr_t)job->parts[i].topic.data);
    mem_free(job->parts);
    mem_free((void *)(uintptr_t)job->id.data);
    mem_free(job);
}

static void complete(struct marker_job *job) {
    struct coordinator *c = job->coordinator;
    MAYBE(coordinator_begin_step(c));
    const struct txn_clock clock = coordinator_clock(c);
    txn_completed(&c->txns, &c->step.change, &clock, job->id);
    struct txn_call *waiter = job->waiter;
    job_free(job);
    if (waiter != NULL)
        coordinator_end_call(c, &waiter->call, &(struct group_reply){.call = &waiter->call});
    else
        coordinator_end_step(c);
}

static void part_over(struct marker_part *part, bool finished) {
    struct marker_job *job = part->job;
    part->under_way = false;
    part->finished = finished;
    if (--job->under_way > 0) return;
    if (job->coordinator == NULL) {
        job_free(job);
        return;
    }
    bool all = true;
    for (uint32_t i = 0; i < job->part_count; i++)
        all &= job->parts[i].finished;
    if (all)
        complete(job);
    else
        io_timer_set(job->broker->io, &job->retry, io_now_ns(job->broker->io) + MARKER_RETRY_NS);
}

static void append_done(struct append *append) {
    struct marker_part *part = CONTAINER_OF(append, struct marker_part, append);
    /* A topic that is gone has nothing to end; a producer that went on elsewhere has ended it already. */
    bool finished = append->status == STATUS_OK || append->status == STATUS_UNKNOWN_TOPIC ||
                    append->status == STATUS_INVALID_PRODUCER_EPOCH;
    part_over(part, finished);
}

static void group_done(struct group_call *call) {
    struct marker_part *part = CONTAINER_OF(call, struct marker_part, call);
    part_over(part, call->status == STATUS_OK);
}

static void start_part(struct marker_job *job, struct marker_part *part) {
    part->under_way = true;
    if (part->partition == TXN_GROUP) {
        part->call = (struct group_call){.done = group_done};
        coordinator_end_pending(job->broker, &part->call, part->topic, job->producer_id, job->commit);
        return;
    }
    struct buffer *marker = record_batch_marker(job->commit, job->producer_id, job->epoch,
                                                io_wall_ms(job->broker->io));
    part->append = (struct append){.topic = part->topic,
                                   .partition = part->partition,
                                   .batch = {slice_make(marker->data, marker->size), marker},
                                   .marker = true,
                                   .done = append_done};
    broker_append(job->broker, &part->append);
    buffer_unref(marker);
}

static void start_parts(struct marker_job *job) {
    job->started = true;
    job->under_way = 1; /* not over before the last was started */
    for (uint32_t i = 0; i < job->part_count; i++) {
        if (job->parts[i].finished) continue;
        job->under_way++;
        start_part(job, &job->parts[i]);
    }
    struct marker_part none = {.job = job};
    part_over(&none, true);
}

static void retry_fired(struct io_timer *timer) {
    struct marker_job *job = CONTAINER_OF(timer, struct marker_job, retry);
    if (!job->broker->closing) start_parts(job);
}

static struct slice own(struct slice bytes) {
    uint8_t *copy = mem_alloc(bytes.size + 1);
    if (bytes.size != 0) memcpy(copy, bytes.data, bytes.size);
    return slice_make(copy, bytes.size);
}

static struct marker_job *job_new(struct coordinator *c, const struct txn *txn) {
    struct marker_job *job = mem_calloc(1, sizeof *job);
    job->coordinator = c;
    job->broker = c->broker;
    job->id = own(txn->id);
    job->producer_id = txn->producer_id;
    job->epoch = txn->epoch;
    job->commit = txn->phase == TXN_PREPARE_COMMIT;
    job->after = state_log_proposed(c->log);
    io_timer_init(&job->retry, retry_fired);
    job->parts = mem_calloc(txn->places.count + 1, sizeof *job->parts);
    MAP_FOREACH(it, &txn->places) {
        const struct txn_place *place = MAP_ENTRY(it)->value;
        job->parts[job->part_count++] = (struct marker_part){
            .job = job, .topic = own(place->topic), .partition = place->partition};
    }
    list_push_back(&c->jobs, &job->link);
    return job;
}

static void begin_fired(struct io_timer *timer) {
    struct marker_job *job = CONTAINER_OF(timer, struct marker_job, retry);
    io_timer_init(&job->retry, retry_fired);
    if (!job->broker->closing) start_parts(job);
}

/* Never from inside a step: in a turn of its own. */
static void begin_soon(struct marker_job *job) {
    job->started = true;
    io_timer_init(&job->retry, begin_fired);
    io_timer_set(job->broker->io, &job->retry, io_now_ns(job->broker->io));
}

void coordinator_txn_decided(struct coordinator *c) {
    const struct txn *txn;
    while ((txn = txn_next_decided(&c->txns)) != NULL) {
        struct marker_job *job = job_new(c, txn);
        if (job->after <= state_log_committed(c->log)) begin_soon(job);
    }
}

void coordinator_txn_committed(struct coordinator *c) {
    LIST_FOREACH(it, &c->jobs) {
        struct marker_job *job = CONTAINER_OF(it, struct marker_job, link);
        if (!job->started && job->after <= state_log_committed(c->log)) begin_soon(job);
    }
}

/* Markers on their way arrive; the next to load the decision carries it out again. */
void coordinator_txn_drop(struct coordinator *c) {
    LIST_FOREACH(it, &c->jobs) {
        struct marker_job *job = CONTAINER_OF(it, struct marker_job, link);
        list_remove(it);
        list_push_back(&c->broker->coordinators->dropped, it);
        job->coordinator = NULL;
        io_timer_cancel(job->broker->io, &job->retry);
        for (uint32_t i = 0; i < job->part_count; i++) {
            struct marker_part *part = &job->parts[i];
            if (!part->under_way || part->partition != TXN_GROUP) continue;
            coordinator_cancel(&part->call);
            part->under_way = false;
            job->under_way--;
        }
        if (job->under_way == 0) job_free(job);
    }
}

void coordinator_txn_abandon(struct broker *broker) {
    LIST_FOREACH(it, &broker->coordinators->dropped) {
        struct marker_job *job = CONTAINER_OF(it, struct marker_job, link);
        for (uint32_t i = 0; i < job->part_count; i++)
            if (job->parts[i].under_way) append_abandon(&job->parts[i].append);
        job->under_way = 0;
        job_free(job);
    }
}

void coordinator_txn_forget_call(struct coordinator *c, const struct group_call *call) {
    LIST_FOREACH(it, &c->jobs) {
        struct marker_job *job = CONTAINER_OF(it, struct marker_job, link);
        if (job->waiter != NULL && &job->waiter->call == call) job->waiter = NULL;
    }
}
