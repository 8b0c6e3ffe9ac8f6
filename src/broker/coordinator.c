// SPDX-License-Identifier: Apache-2.0
#include "broker/coordinator.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/units.h"
#include "broker/controller.h"
#include "broker/coordinator_forward.h"
#include "broker/coordinator_state.h"
#include "broker/raft_host.h"

#define ASK_AGAIN_NS (300 * NS_PER_MS)

uint32_t coordinator_index(struct slice name) {
    return crc32c(0, name.data, name.size) % COORDINATOR_COUNT;
}

/* ---- answering ----------------------------------------------------------------------------------------- */

static void finish(struct group_call *call) {
    list_remove(&call->link);
    call->coordinator = NULL;
    mem_free((void *)(uintptr_t)call->group.data);
    call->group = SLICE_EMPTY;
    call->done(call);
}

static void flush(struct io_op *op) {
    struct coordinator *c = CONTAINER_OF(op, struct coordinator, flush);
    c->flush_scheduled = false;
    struct list *first;
    while ((first = list_first(&c->answered)) != NULL) {
        struct group_call *call = CONTAINER_OF(first, struct group_call, link);
        if (call->after > state_log_committed(c->log)) break;
        finish(call);
    }
}

static void schedule_flush(struct coordinator *c) {
    if (c->flush_scheduled || list_empty(&c->answered)) return;
    c->flush_scheduled = true;
    c->flush = (struct io_op){.done = flush};
    io_defer(c->broker->io, &c->flush);
}

static void begin(struct coordinator *c, struct group_call *call, struct slice group) {
    call->coordinator = c;
    call->status = STATUS_OK;
    call->answered = false;
    call->after = 0;
    call->group = SLICE_EMPTY;
    if (group.size != 0) {
        uint8_t *copy = mem_alloc(group.size);
        memcpy(copy, group.data, group.size);
        call->group = slice_make(copy, group.size);
    }
    list_push_back(&c->parked, &call->link);
}

/* A parked call is answered: when all that was logged so far is committed. */
static void answer_call(struct coordinator *c, struct group_call *call, const struct group_reply *reply) {
    ASSERT(!call->answered);
    call->answered = true;
    call->after = state_log_proposed(c->log);
    if (call->answer != NULL) call->answer(call, reply);
    list_remove(&call->link);
    list_push_back(&c->answered, &call->link);
}

static void set_timer(struct coordinator *c) {
    int64_t deadline_ms = MIN(group_deadline(&c->groups), txn_deadline(&c->txns));
    if (deadline_ms == GROUP_NEVER)
        io_timer_cancel(c->broker->io, &c->timer);
    else
        io_timer_set(c->broker->io, &c->timer, (uint64_t)MAX(deadline_ms, (int64_t)0) * NS_PER_MS);
}

void coordinator_end_step(struct coordinator *c) {
    ASSERT_SLOW((group_machine_check(&c->groups), true));
    if (c->step.change.count > 0) MAYBE(state_log_propose(c->log, &c->step.change));
    for (uint32_t i = 0; i < c->step.reply_count; i++)
        answer_call(c, c->step.replies[i].call, &c->step.replies[i]);
    coordinator_marker_decided(c);
    set_timer(c);
    schedule_flush(c);
}

struct txn_clock coordinator_clock(const struct coordinator *c) {
    return (struct txn_clock){c->step.now_ms, c->step.wall_ms};
}

struct group_step *coordinator_begin_step(struct coordinator *c) {
    group_step_clear(&c->step);
    c->step.now_ms = (int64_t)(io_now_ns(c->broker->io) / NS_PER_MS);
    c->step.wall_ms = io_wall_ms(c->broker->io);
    c->step.topics.version = c->broker->topics_version;
    return &c->step;
}

static void timer_fired(struct io_timer *timer) {
    struct coordinator *c = CONTAINER_OF(timer, struct coordinator, timer);
    if (!state_log_is_ready(c->log) || c->broker->closing) return;
    group_expire(&c->groups, coordinator_begin_step(c));
    const struct txn_clock clock = coordinator_clock(c);
    txn_expire(&c->txns, &c->step.change, &clock);
    coordinator_end_step(c);
}

/* Ends calls without an answer of the machine. */
static void refuse_all(struct coordinator *c, enum status status) {
    coordinator_txn_drop(c);
    LIST_FOREACH(it, &c->answered) {
        CONTAINER_OF(it, struct group_call, link)->status = status;
        CONTAINER_OF(it, struct group_call, link)->after = 0;
    }
    LIST_FOREACH(it, &c->parked) {
        struct group_call *call = CONTAINER_OF(it, struct group_call, link);
        call->status = status;
        list_remove(&call->link);
        list_push_back(&c->answered, &call->link);
    }
    schedule_flush(c);
}

/* ---- topics that are gone ------------------------------------------------------------------------------ */

static void drop_gone(struct coordinator *c) {
    group_topics_gone(&c->groups, coordinator_begin_step(c));
    coordinator_end_step(c);
}

static void topics_known(struct raft_read_index *read) {
    struct coordinator *c = CONTAINER_OF(read, struct coordinator, topics_read);
    c->topics_asking = false;
    if (read->status != STATUS_OK || !state_log_is_ready(c->log) || c->broker->closing) return; /* the tick */
    c->knows_topics = true;
    drop_gone(c);
}

static void ask_for_topics(struct coordinator *c) {
    uint64_t now_ns = io_now_ns(c->broker->io);
    if (!state_log_is_ready(c->log) || c->knows_topics || c->broker->closing) return;
    if (c->broker->cluster == NULL) {
        c->knows_topics = true;
        drop_gone(c);
        return;
    }
    struct raft_replica *replica = controller_replica(c->broker->cluster);
    if (replica == NULL || (c->topics_asking && now_ns < c->topics_asked_ns + ASK_AGAIN_NS)) return;
    if (c->topics_asking) raft_read_index_cancel(&c->topics_read);
    c->topics_asking = true;
    c->topics_asked_ns = now_ns;
    c->topics_read = (struct raft_read_index){.done = topics_known};
    raft_replica_read_index(replica, &c->topics_read);
}

static void sweep(struct io_op *op) {
    struct coordinator *c = CONTAINER_OF(op, struct coordinator, sweep);
    c->sweep_scheduled = false;
    ask_for_topics(c);
}

static void forget_topics(struct coordinator *c) {
    if (c->topics_asking) raft_read_index_cancel(&c->topics_read);
    if (c->sweep_scheduled) io_defer_cancel(&c->sweep);
    c->knows_topics = c->topics_asking = c->sweep_scheduled = false;
}

void coordinators_topics_reloaded(struct broker *broker) {
    for (uint32_t i = 0; i < COORDINATOR_COUNT && broker->coordinators != NULL; i++) {
        struct coordinator *c = &broker->coordinators->list[i];
        if (state_log_is_ready(c->log) && c->knows_topics) drop_gone(c);
    }
}

/* ---- the log's hooks ----------------------------------------------------------------------------------- */

static enum status load(void *ctx, struct slice key, struct slice value) {
    struct coordinator *c = ctx;
    return txn_owns_key(key) ? txn_load(&c->txns, key, value) : group_load(&c->groups, key, value);
}

static enum status ready(void *ctx) {
    struct coordinator *c = ctx;
    const struct group_step *step = coordinator_begin_step(c);
    enum status status = group_loaded(&c->groups, step->now_ms, step->wall_ms);
    const struct txn_clock clock = coordinator_clock(c);
    txn_loaded(&c->txns, &clock);
    if (status != STATUS_OK) return status;
    coordinator_marker_decided(c);
    set_timer(c);
    c->sweep_scheduled = true;
    c->sweep.done = sweep;
    io_defer(c->broker->io, &c->sweep);
    return status;
}

static void committed(void *ctx) {
    coordinator_marker_committed(ctx);
    schedule_flush(ctx);
}

static void make_machine(struct coordinator *c) {
    uint64_t seed;
    io_random(c->broker->io, &seed, sizeof seed);
    const struct group_limits *limits = &c->broker->options.groups;
    group_machine_init(&c->groups, limits, seed);
    txn_machine_init(&c->txns, c->broker->options.txn_timeout_max_ms, limits->offset_retention_ms, seed);
}

static void lost(void *ctx, enum status why) {
    struct coordinator *c = ctx;
    MAYBE(why);
    forget_topics(c);
    refuse_all(c, STATUS_NOT_COORDINATOR);
    group_machine_release(&c->groups);
    txn_machine_release(&c->txns);
    make_machine(c);
    set_timer(c);
}

static const struct state_log_hooks hooks = {
    .load = load, .ready = ready, .committed = committed, .lost = lost};

/* ---- life ---------------------------------------------------------------------------------------------- */

static bool find_topic(void *ctx, struct slice name, struct group_topic *topic) {
    const struct broker_topic *found = broker_topic_find(ctx, name);
    if (found == NULL) return false;
    *topic = (struct group_topic){found->id, found->partition_count, name};
    return true;
}

struct visiting {
    void (*take)(void *arg, const struct group_topic *topic);
    void *arg;
};

static void visit_one(void *ctx, const struct broker_topic *topic) {
    const struct visiting *visiting = ctx;
    const struct group_topic seen = {topic->id, topic->partition_count, slice_from_text(topic->name)};
    visiting->take(visiting->arg, &seen);
}

static void visit_topics(void *ctx, void (*take)(void *arg, const struct group_topic *topic), void *arg) {
    struct visiting visiting = {take, arg};
    broker_topics_visit(ctx, visit_one, &visiting);
}

static enum status open_one(struct broker *broker, struct coordinator *c, uint32_t index) {
    c->broker = broker;
    list_init(&c->parked);
    list_init(&c->answered);
    list_init(&c->decided);
    list_init(&c->jobs);
    list_init(&c->asking);
    io_timer_init(&c->timer, timer_fired);
    group_step_init(&c->step);
    c->step.topics.ctx = broker;
    c->step.topics.find = find_topic;
    c->step.topics.visit = visit_topics;
    make_machine(c);
    return state_log_open(broker, COORDINATOR_GROUP_FIRST + index, &hooks, c, &c->log);
}

enum status coordinators_open(struct broker *broker, struct diagnostic *diagnostic) {
    struct coordinators *all = broker->coordinators = mem_calloc(1, sizeof *all);
    enum status result = STATUS_OK;
    list_init(&all->dropped);
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++) {
        enum status status = open_one(broker, &all->list[i], i);
        if (result == STATUS_OK) result = status;
    }
    if (result == STATUS_OK) return result;
    return diagnose(diagnostic, result,
                    "the consumer groups in '%s' cannot be read: %s; look with 'sentinel inspect %s'",
                    broker->data_dir, status_text(result), broker->data_dir);
}

enum status coordinators_join(struct broker *broker, const struct raft_config *founding,
                              struct diagnostic *diagnostic) {
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < COORDINATOR_COUNT && status == STATUS_OK; i++)
        status = state_log_join(broker->coordinators->list[i].log, founding, diagnostic);
    return status;
}

void coordinators_leave(struct broker *broker) {
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++)
        state_log_leave(broker->coordinators->list[i].log);
}

void coordinators_tick(struct broker *broker) {
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++)
        state_log_tick(broker->coordinators->list[i].log);
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++)
        ask_for_topics(&broker->coordinators->list[i]);
}

struct raft_replica *coordinator_replica(const struct broker *broker, uint32_t index) {
    return broker->coordinators == NULL ? NULL : state_log_replica(broker->coordinators->list[index].log);
}

void coordinators_stop(struct broker *broker) {
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++)
        refuse_all(&broker->coordinators->list[i], STATUS_NOT_COORDINATOR);
}

static void close_one(struct coordinator *c) {
    if (c->flush_scheduled) io_defer_cancel(&c->flush);
    io_timer_cancel(c->broker->io, &c->timer);
    forget_topics(c);
    refuse_all(c, STATUS_CLOSED);
    if (c->flush_scheduled) io_defer_cancel(&c->flush);
    struct list *first;
    while ((first = list_first(&c->answered)) != NULL)
        finish(CONTAINER_OF(first, struct group_call, link));
    state_log_close(c->log);
    group_step_release(&c->step);
    group_machine_release(&c->groups);
    txn_machine_release(&c->txns);
}

void coordinators_close(struct broker *broker) {
    if (broker->coordinators == NULL) return;
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++)
        close_one(&broker->coordinators->list[i]);
    coordinator_marker_abandon(broker);
    mem_free(broker->coordinators);
    broker->coordinators = NULL;
}

bool coordinators_idle(const struct broker *broker) {
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++)
        if (!state_log_idle(broker->coordinators->list[i].log)) return false;
    return true;
}

/* ---- calls --------------------------------------------------------------------------------------------- */

/* Another node leads, or this one has not loaded it all yet. */
static enum status not_ready(const struct coordinator *c) {
    if (c->broker->cluster == NULL) return STATUS_COORDINATOR_LOADING;
    const struct raft_replica *replica = state_log_replica(c->log);
    return replica != NULL && raft_replica_is_leader(replica) ? STATUS_COORDINATOR_LOADING
                                                              : STATUS_NOT_COORDINATOR;
}

bool coordinator_is_loading(const struct coordinator *c) {
    return !state_log_is_ready(c->log) && not_ready(c) == STATUS_COORDINATOR_LOADING;
}

enum status coordinator_serves(const struct broker *broker, struct slice name) {
    const struct coordinator *c = &broker->coordinators->list[coordinator_index(name)];
    if (broker->closing) return STATUS_COORDINATOR_UNAVAILABLE;
    return state_log_is_ready(c->log) ? STATUS_OK : not_ready(c);
}

static void refuse(struct coordinator *c, struct group_call *call, enum status status) {
    call->status = status;
    list_remove(&call->link);
    list_push_front(&c->answered, &call->link);
    schedule_flush(c);
}

struct coordinator *coordinator_open_call(struct broker *broker, struct group_call *call,
                                          struct slice group) {
    struct coordinator *c = &broker->coordinators->list[coordinator_index(group)];
    begin(c, call, group);
    enum status status = coordinator_serves(broker, group);
    if (status == STATUS_OK) return c;
    refuse(c, call, status);
    return NULL;
}

void coordinator_end_call(struct coordinator *c, struct group_call *call, const struct group_reply *reply) {
    if (c->step.change.count > 0) MAYBE(state_log_propose(c->log, &c->step.change));
    state_change_clear(&c->step.change);
    answer_call(c, call, reply);
    coordinator_end_step(c);
}

static void end_with_status(struct coordinator *c, struct group_call *call, enum status status) {
    coordinator_end_call(c, call, &(struct group_reply){.call = call, .status = status});
}

void coordinator_join(struct broker *broker, struct group_call *call, struct group_join *join) {
    struct coordinator *c = coordinator_open_call(broker, call, join->group);
    if (c == NULL) return;
    join->call = call;
    group_join(&c->groups, coordinator_begin_step(c), join);
    coordinator_end_step(c);
}

void coordinator_sync(struct broker *broker, struct group_call *call, struct group_sync *sync) {
    struct coordinator *c = coordinator_open_call(broker, call, sync->group);
    if (c == NULL) return;
    sync->call = call;
    group_sync(&c->groups, coordinator_begin_step(c), sync);
    coordinator_end_step(c);
}

void coordinator_heartbeat(struct broker *broker, struct group_call *call, const struct group_identity *who) {
    struct coordinator *c = coordinator_open_call(broker, call, who->group);
    if (c != NULL) end_with_status(c, call, group_heartbeat(&c->groups, coordinator_begin_step(c), who));
}

void coordinator_leave(struct broker *broker, struct group_call *call, const struct group_identity *who) {
    struct coordinator *c = coordinator_open_call(broker, call, who->group);
    if (c != NULL) end_with_status(c, call, group_leave(&c->groups, coordinator_begin_step(c), who));
}

void coordinator_beat(struct broker *broker, struct group_call *call, const struct group_consumer_beat *beat,
                      bool *assignment_changed) {
    if (coordinator_forward_beat(broker, call, beat)) return;
    struct coordinator *c = coordinator_open_call(broker, call, beat->group);
    if (c == NULL) return;
    struct group_reply reply = {.call = call};
    reply.status = group_consumer_beat(&c->groups, coordinator_begin_step(c), beat, &reply.member,
                                       assignment_changed);
    reply.group = group_find(&c->groups, beat->group);
    coordinator_end_call(c, call, &reply);
}

void coordinator_commit(struct broker *broker, struct group_call *call, const struct group_commit *commit) {
    if (coordinator_forward_commit(broker, call, commit)) return;
    struct coordinator *c = coordinator_open_call(broker, call, commit->who.group);
    if (c != NULL) end_with_status(c, call, group_commit(&c->groups, coordinator_begin_step(c), commit));
}

void coordinator_read(struct broker *broker, struct group_call *call, const struct group_identity *who) {
    if (coordinator_forward_read(broker, call, who)) return;
    struct coordinator *c = coordinator_open_call(broker, call, who->group);
    if (c == NULL) return;
    if (!c->knows_topics) {
        refuse(c, call, STATUS_COORDINATOR_LOADING);
        return;
    }
    MAYBE(coordinator_begin_step(c));
    struct group_reply reply = {.call = call, .status = group_check_reader(&c->groups, who)};
    reply.group = group_find(&c->groups, who->group);
    coordinator_end_call(c, call, &reply);
}

void coordinator_delete_offset(struct broker *broker, struct group_call *call, struct slice group,
                               struct slice topic, int32_t partition) {
    struct coordinator *c = coordinator_open_call(broker, call, group);
    if (c != NULL)
        end_with_status(c, call,
                        group_delete_offset(&c->groups, coordinator_begin_step(c), group, topic, partition));
}

void coordinator_delete_group(struct broker *broker, struct group_call *call, struct slice group) {
    if (coordinator_forward_delete(broker, call, group)) return;
    struct coordinator *c = coordinator_open_call(broker, call, group);
    if (c != NULL) end_with_status(c, call, group_delete(&c->groups, coordinator_begin_step(c), group));
}

void coordinator_cancel(struct group_call *call) {
    struct coordinator *c = call->coordinator;
    if (c == NULL) return;
    if (call->away != NULL) {
        coordinator_forward_cancel(call);
        return;
    }
    if (!call->answered) group_forget_call(&c->groups, call->group, call);
    if (!call->answered) coordinator_txn_forget_call(c, call);
    list_remove(&call->link);
    call->coordinator = NULL;
    mem_free((void *)(uintptr_t)call->group.data);
    call->group = SLICE_EMPTY;
    set_timer(c);
}

void coordinators_topic_deleted(struct broker *broker, struct slice topic) {
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++) {
        struct coordinator *c = &broker->coordinators->list[i];
        if (!state_log_is_ready(c->log)) continue;
        group_topic_deleted(&c->groups, coordinator_begin_step(c), topic);
        coordinator_end_step(c);
    }
}

enum status coordinators_visit(struct broker *broker, void (*visit)(void *ctx, const struct group *group),
                               void *ctx) {
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++) {
        const struct coordinator *c = &broker->coordinators->list[i];
        if (coordinator_is_loading(c)) status = STATUS_COORDINATOR_LOADING;
        MAP_FOREACH(it, &c->groups.groups) {
            visit(ctx, MAP_ENTRY(it)->value);
        }
    }
    return status;
}

struct group_summary coordinator_summary(const struct group *group) {
    return (struct group_summary){.name = group->id,
                                  .protocol_type = group->protocol_type,
                                  .assignor = group->kind == GROUP_CONSUMER ? group->assignor
                                                                            : group->protocol,
                                  .kind = group_kind_name(group->kind),
                                  .state = group_phase_name(group),
                                  .generation = group->generation,
                                  .member_count = (int32_t)group->members.count};
}

struct summing {
    void (*visit)(void *ctx, const struct group_summary *summary);
    void *ctx;
};

static void sum_up(void *ctx, const struct group *group) {
    const struct summing *summing = ctx;
    const struct group_summary summary = coordinator_summary(group);
    summing->visit(summing->ctx, &summary);
}

enum status coordinators_summaries(struct broker *broker,
                                   void (*visit)(void *ctx, const struct group_summary *summary), void *ctx) {
    struct summing summing = {visit, ctx};
    return coordinators_visit(broker, sum_up, &summing);
}
