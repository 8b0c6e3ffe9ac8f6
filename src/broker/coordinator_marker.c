// SPDX-License-Identifier: Apache-2.0
/* The markers that carry out what was decided.
 *
 *   end ─> decision logged ─> committed ─> marker to each partition, word to each group ─> completed, logged
 *                                              └ failed: again MARKER_RETRY_NS later, until it is done
 *
 * Partitions and groups are where their leaders are: here, or on another node that is asked
 * (coordinator_remote.h). */
#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "broker/coordinator_remote.h"
#include "broker/coordinator_state.h"
#include "wire/record_batch.h"

#define MARKER_RETRY_NS (100 * NS_PER_MS)

struct marker_job;
struct marker_part {
    struct marker_job *job;
    struct slice topic; /* or a group */
    int32_t partition;
    bool finished, under_way;
    struct append append;   /* the partition is led here */
    struct group_call call; /* the group is coordinated here */
    struct forward forward; /* elsewhere */
};
struct marker_job {
    struct list link;                /* in coordinator.decided, then in coordinator.jobs */
    struct coordinator *coordinator; /* NULL: dropped, and freed with its last part */
    struct broker *broker;
    struct slice id;
    struct record_batch_marker marker;
    int64_t known_at;        /* of the transaction */
    uint64_t after;          /* starts when this is committed */
    struct txn_call *waiter; /* the end that decided it; may be NULL */
    struct io_timer retry;
    struct marker_part *parts;
    uint32_t part_count, under_way;
};

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

/* A topic that is gone has nothing to end, when what is known here is not older than the transaction. A
 * producer that went on elsewhere has ended it already. */
static bool is_final(const struct marker_job *job, enum status status) {
    if (status == STATUS_UNKNOWN_TOPIC) return coordinator_known_at(job->broker) >= job->known_at;
    return status == STATUS_OK || status == STATUS_INVALID_PRODUCER_EPOCH;
}

static void append_done(struct append *append) {
    struct marker_part *part = CONTAINER_OF(append, struct marker_part, append);
    part_over(part, is_final(part->job, append->status));
}

static void group_done(struct group_call *call) {
    struct marker_part *part = CONTAINER_OF(call, struct marker_part, call);
    part_over(part, call->status == STATUS_OK);
}

/* What that node does not know may still be known here, later: only its refusal of the epoch is the last
 * word. */
static void answered(struct forward *forward, enum status status, struct shared_slice body) {
    MAYBE(body.owner != NULL);
    part_over(CONTAINER_OF(forward, struct marker_part, forward),
              status == STATUS_OK || status == STATUS_INVALID_PRODUCER_EPOCH);
}

static void end_in_group(struct marker_job *job, struct marker_part *part) {
    int32_t node = broker_coordinator(job->broker, part->topic);
    const struct group_producer producer = {job->marker.producer_id, job->marker.number};
    if (node == job->broker->options.node_id) {
        part->call = (struct group_call){.done = group_done};
        coordinator_end_pending(job->broker, &part->call, part->topic, &producer, job->marker.commit);
    } else if (node < 0 || !remote_end_pending(job->broker, (uint32_t)node, &part->forward, part->topic,
                                               &producer, job->marker.commit)) {
        part_over(part, false);
    }
}

static void end_in_partition(struct marker_job *job, struct marker_part *part) {
    if (forward_is_elsewhere(job->broker, part->topic, part->partition)) {
        const struct txn_place place = {part->topic, part->partition};
        if (!remote_marker(job->broker, &part->forward, &place, &job->marker)) part_over(part, false);
        return;
    }
    struct buffer *marker = record_batch_marker(&job->marker, io_wall_ms(job->broker->io));
    part->append = (struct append){.topic = part->topic,
                                   .partition = part->partition,
                                   .batch = {slice_make(marker->data, marker->size), marker},
                                   .marker = true,
                                   .done = append_done};
    broker_append(job->broker, &part->append);
    buffer_unref(marker);
}

static void start_part(struct marker_job *job, struct marker_part *part) {
    part->under_way = true;
    part->append = (struct append){0};
    forward_init(&part->forward);
    part->forward.answered = answered;
    if (part->partition == TXN_GROUP)
        end_in_group(job, part);
    else
        end_in_partition(job, part);
}

static void start_parts(struct marker_job *job) {
    job->under_way = 1; /* not over before the last was started */
    for (uint32_t i = 0; i < job->part_count; i++) {
        if (job->parts[i].finished || job->coordinator == NULL) continue;
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

bool coordinator_marker_await(struct coordinator *c, struct slice id, struct txn_call *call) {
    const struct txn *txn = txn_find(&c->txns, id);
    struct marker_job *job = txn == NULL ? NULL : txn->work;
    if (job == NULL || job->waiter != NULL) return false;
    job->waiter = call;
    return true;
}

static struct slice own(struct slice bytes) {
    uint8_t *copy = mem_alloc(bytes.size + 1);
    if (bytes.size != 0) memcpy(copy, bytes.data, bytes.size);
    return slice_make(copy, bytes.size);
}

static struct marker_job *job_new(struct coordinator *c, struct txn *txn) {
    struct marker_job *job = mem_calloc(1, sizeof *job);
    txn->work = job;
    job->coordinator = c;
    job->broker = c->broker;
    job->id = own(txn->id);
    const struct txn_identity identity = txn_marker_identity(txn);
    job->marker = (struct record_batch_marker){.commit = txn->phase == TXN_PREPARE_COMMIT,
                                               .producer_id = identity.producer_id,
                                               .epoch = identity.epoch,
                                               .number = txn->number};
    job->known_at = txn->known_at;
    job->after = state_log_proposed(c->log);
    io_timer_init(&job->retry, retry_fired);
    job->parts = mem_calloc(txn->places.count + 1, sizeof *job->parts);
    MAP_FOREACH(it, &txn->places) {
        const struct txn_place *place = MAP_ENTRY(it)->value;
        job->parts[job->part_count++] = (struct marker_part){
            .job = job, .topic = own(place->topic), .partition = place->partition};
    }
    list_push_back(&c->decided, &job->link);
    return job;
}

static void begin_fired(struct io_timer *timer) {
    struct marker_job *job = CONTAINER_OF(timer, struct marker_job, retry);
    io_timer_init(&job->retry, retry_fired);
    if (!job->broker->closing) start_parts(job);
}

/* Never from inside a step: in a turn of its own. */
static void begin_soon(struct coordinator *c, struct marker_job *job) {
    list_remove(&job->link);
    list_push_back(&c->jobs, &job->link);
    io_timer_init(&job->retry, begin_fired);
    io_timer_set(job->broker->io, &job->retry, io_now_ns(job->broker->io));
}

void coordinator_marker_decided(struct coordinator *c) {
    struct txn *txn;
    while ((txn = txn_next_decided(&c->txns)) != NULL)
        MAYBE(job_new(c, txn));
    coordinator_marker_committed(c);
}

void coordinator_marker_committed(struct coordinator *c) {
    struct list *first;
    while ((first = list_first(&c->decided)) != NULL) {
        struct marker_job *job = CONTAINER_OF(first, struct marker_job, link);
        if (job->after > state_log_committed(c->log)) return;
        begin_soon(c, job);
    }
}

/* True: it was under way and nothing of it comes any more. An append cannot be called back. */
static bool call_back(struct marker_part *part) {
    if (!part->under_way || part->append.broker != NULL) return false;
    coordinator_cancel(&part->call);
    forward_cancel(&part->forward);
    part->under_way = false;
    return true;
}

/* Markers on their way arrive; the next to load the decision carries it out again. */
void coordinator_marker_drop(struct coordinator *c) {
    list_append(&c->jobs, &c->decided);
    LIST_FOREACH(it, &c->jobs) {
        struct marker_job *job = CONTAINER_OF(it, struct marker_job, link);
        list_remove(it);
        list_push_back(&c->broker->coordinators->dropped, it);
        job->coordinator = NULL;
        job->waiter = NULL;
        io_timer_cancel(job->broker->io, &job->retry);
        for (uint32_t i = 0; i < job->part_count; i++)
            if (call_back(&job->parts[i])) job->under_way--;
        if (job->under_way == 0) job_free(job);
    }
}

void coordinator_marker_abandon(struct broker *broker) {
    LIST_FOREACH(it, &broker->coordinators->dropped) {
        struct marker_job *job = CONTAINER_OF(it, struct marker_job, link);
        for (uint32_t i = 0; i < job->part_count; i++)
            if (job->parts[i].under_way) append_abandon(&job->parts[i].append);
        job->under_way = 0;
        job_free(job);
    }
}

static void forget_call(struct list *jobs, const struct group_call *call) {
    LIST_FOREACH(it, jobs) {
        struct marker_job *job = CONTAINER_OF(it, struct marker_job, link);
        if (job->waiter != NULL && &job->waiter->call == call) job->waiter = NULL;
    }
}

void coordinator_marker_forget_call(struct coordinator *c, const struct group_call *call) {
    forget_call(&c->decided, call);
    forget_call(&c->jobs, call);
}
