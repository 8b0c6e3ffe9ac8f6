// SPDX-License-Identifier: Apache-2.0
#include "sim/grpc_member.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/units.h"
#include "sim/grpc_consume.h"

#define PARTITIONS    GRPC_MEMBER_PARTITIONS
#define RETRY_NS      (60 * NS_PER_MS)
#define SILENCE_NS    (4 * NS_PER_S) /* then the stream is given up */
#define PROGRESS_MS   300
#define RELEASE_MS    1500
#define AWAY_NS       (2 * NS_PER_S)
#define LETTING_GO_NS (100 * NS_PER_MS)
#define GONE_NS       (300 * NS_PER_MS) /* by then the group knows that it was let go */
#define BATCHES       3                 /* read at most between two commits */

static bool has(uint32_t set, uint32_t partition) {
    return (set >> partition & 1) != 0;
}

static uint64_t now(const struct grpc_member *m) {
    return io_now_ns(m->options.io);
}

static bool by_chance(struct grpc_member *m, uint32_t of) {
    return !m->steady && prng_chance(&m->prng, 1, of);
}

static void violate(struct grpc_member *m, const char *what) {
    history_violate(m->options.group->history, "%s: gRPC member %u of group %s", what, m->options.index,
                    m->options.group_id);
}

static void wait(struct grpc_member *m, uint64_t ns) {
    m->lets_go = false;
    io_timer_set(m->options.io, &m->timer, now(m) + ns / 2 + prng_below(&m->prng, ns));
}

/* ---- the end of a stream ------------------------------------------------------------------------------- */

static void lose(struct grpc_member *m) {
    for (uint32_t p = 0; p < PARTITIONS && !m->refusable; p++)
        if (has(m->commit_set, p)) group_history_uncertain(m->options.group, p, m->committing[p]);
    m->streaming = m->started = m->refusable = false;
    m->owned = m->releasing = m->gone = m->commit_set = m->late_set = 0;
}

static void give_up(struct grpc_member *m, uint64_t pause_ns) {
    if (m->streaming) call_cancel(&m->call);
    lose(m);
    wait(m, pause_ns);
}

static void on_done(struct call *call, int code, const char *message) {
    struct grpc_member *m = CONTAINER_OF(call, struct grpc_member, call);
    char text[160];
    snprintf(text, sizeof text, "gRPC member %u: the stream ends: %d %.90s", m->options.index, code, message);
    m->streaming = false;
    give_up(m, RETRY_NS);
    m->options.told(m->options.ctx, m->node, text);
}

/* ---- commits ------------------------------------------------------------------------------------------- */

static uint32_t uncommitted(const struct grpc_member *m, uint32_t of) {
    uint32_t set = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++)
        if (has(of, p) && m->readers[p].offset != m->committing[p]) set |= 1U << p;
    return set;
}

static void send_commit(struct grpc_member *m, uint32_t set) {
    Sentinel__V1__CommitOffset rows[PARTITIONS], *list[PARTITIONS];
    Sentinel__V1__ConsumeCommit commit = SENTINEL__V1__CONSUME_COMMIT__INIT;
    Sentinel__V1__ConsumeRequest request = SENTINEL__V1__CONSUME_REQUEST__INIT;
    char topic[64], nothing[] = "";
    snprintf(topic, sizeof topic, "%s", m->options.topic);
    m->late_set = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if (!has(set, p)) continue;
        m->committing[p] = m->readers[p].offset;
        sentinel__v1__commit_offset__init(&rows[p]);
        rows[p].topic = topic;
        rows[p].partition = (int32_t)p;
        rows[p].offset = m->committing[p];
        rows[p].metadata = nothing;
        list[commit.n_offsets++] = &rows[p];
        group_history_commits(m->options.group, p, m->committing[p]);
        if (group_history_is_late(m->options.group, m->options.index, m->epoch, p)) m->late_set |= 1U << p;
    }
    m->commit_set = set;
    m->fetched = 0;
    commit.offsets = list;
    request.message_case = SENTINEL__V1__CONSUME_REQUEST__MESSAGE_COMMIT;
    request.commit = &commit;
    grpc_consume_send(&m->call, &request);
}

static void send_release(struct grpc_member *m) {
    Sentinel__V1__ConsumeRelease release = SENTINEL__V1__CONSUME_RELEASE__INIT;
    Sentinel__V1__ConsumeRequest request = SENTINEL__V1__CONSUME_REQUEST__INIT;
    request.message_case = SENTINEL__V1__CONSUME_REQUEST__MESSAGE_RELEASE;
    request.release = &release;
    grpc_consume_send(&m->call, &request);
    m->owned &= ~m->releasing;
    if (by_chance(m, 3)) m->gone = m->releasing;
    m->gone_ns = now(m);
    m->releasing = 0;
}

/* What is taken back is committed, then let go. */
static void go_on_releasing(struct grpc_member *m) {
    if (m->releasing == 0 || m->commit_set != 0 || m->lets_go) return;
    uint32_t set = m->hasty ? 0 : uncommitted(m, m->releasing);
    if (set != 0) {
        send_commit(m, set);
        return;
    }
    uint64_t late_ns = 2 * RELEASE_MS * NS_PER_MS;
    m->lets_go = true;
    io_timer_set(m->options.io, &m->timer,
                 now(m) + (by_chance(m, 10) ? late_ns : prng_below(&m->prng, LETTING_GO_NS)));
}

static void take_committed(struct grpc_member *m, struct slice bytes) {
    Sentinel__V1__ConsumeCommitted *r = sentinel__v1__consume_committed__unpack(NULL, bytes.size, bytes.data);
    if (r == NULL || m->commit_set == 0) {
        violate(m, "B21 front end: an answer to a commit is none");
        if (r != NULL) sentinel__v1__consume_committed__free_unpacked(r, NULL);
        return;
    }
    if (r->error == NULL && m->refusable)
        violate(m, "B13 committed offsets: what was let go is committed afterwards");
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if (!has(m->commit_set, p)) continue;
        if (r->error == NULL)
            group_history_committed(m->options.group, m->options.index, m->epoch, p, m->committing[p],
                                    has(m->late_set, p));
        else if (!m->refusable)
            group_history_uncertain(m->options.group, p, m->committing[p]);
    }
    for (uint32_t p = 0; p < PARTITIONS && r->error != NULL; p++)
        if (has(m->commit_set, p)) m->committing[p] = -1; /* again, but not at once */
    m->hasty |= r->error != NULL;
    m->commit_set = m->late_set = 0;
    m->refusable = false;
    char text[120];
    snprintf(text, sizeof text, "gRPC member %u: %s", m->options.index,
             r->error == NULL ? "committed" : r->error->message);
    m->options.told(m->options.ctx, m->node, text);
    sentinel__v1__consume_committed__free_unpacked(r, NULL);
}

/* ---- what is mine --------------------------------------------------------------------------------------- */

static uint32_t partition_of(struct grpc_member *m, const char *topic, int32_t partition) {
    if (partition >= 0 && partition < PARTITIONS && strcmp(topic, m->options.topic) == 0)
        return (uint32_t)partition;
    violate(m, "B14 exclusivity: a partition is assigned that nobody subscribed to");
    return 0;
}

/* From where the group has committed: nobody else has it any more. */
static void own(struct grpc_member *m, uint32_t p, int64_t position) {
    struct group_history *group = m->options.group;
    bool told_late = group->partitions[p].generation > m->epoch;
    int64_t floor = told_late ? -1 : group_history_floor(group, p);
    group_history_owns(group, m->options.index, m->epoch, p, now(m));
    bool nothing_committed = position == 0 && floor <= 0;
    group_history_fetched(group, p, nothing_committed ? -1 : floor, nothing_committed ? -1 : position);
    history_reader_release(&m->readers[p]);
    m->readers[p] = (struct history_reader){.partition = p, .offset = position};
    m->committing[p] = position;
}

static void take_assignment(struct grpc_member *m, struct slice bytes) {
    Sentinel__V1__ConsumeAssignment *r = sentinel__v1__consume_assignment__unpack(NULL, bytes.size,
                                                                                  bytes.data);
    if (r == NULL) {
        violate(m, "B21 front end: an assignment does not parse");
        return;
    }
    if (r->epoch < m->epoch) violate(m, "B15 generations: an epoch goes back");
    m->epoch = r->epoch;
    uint32_t mine = 0, releasing = 0;
    for (size_t i = 0; i < r->n_partitions; i++) {
        uint32_t p = partition_of(m, r->partitions[i]->topic, r->partitions[i]->partition);
        mine |= 1U << p;
        if (!has(m->owned & ~m->releasing, p)) own(m, p, r->partitions[i]->position);
    }
    for (size_t i = 0; i < r->n_releasing; i++)
        releasing |= 1U << partition_of(m, r->releasing[i]->topic, r->releasing[i]->partition);
    if ((mine & releasing) != 0)
        violate(m, "B14 exclusivity: a partition is assigned and taken back at once");
    m->hasty = by_chance(m, 4);
    m->owned = mine | releasing;
    m->releasing = releasing;
    char text[100];
    snprintf(text, sizeof text, "gRPC member %u: has %x, let go %x, epoch %d", m->options.index, mine,
             releasing, m->epoch);
    m->options.told(m->options.ctx, m->node, text);
    sentinel__v1__consume_assignment__free_unpacked(r, NULL);
}

/* ---- records -------------------------------------------------------------------------------------------- */

static void take_records(struct grpc_member *m, const struct protobuf_records *records) {
    uint32_t p = (uint32_t)records->partition;
    if (p >= PARTITIONS || !has(m->owned & ~m->releasing, p)) {
        violate(m, "B14 exclusivity: records come of a partition that is not the member's");
        return;
    }
    struct history_reader *reader = &m->readers[p];
    int64_t from = reader->offset;
    size_t bytes = grpc_consume_take(m->options.group->history, reader, records);
    group_history_processed(m->options.group, p, from, reader->offset);
    m->fetched++;
    grpc_consume_credit(&m->call, &m->credit, bytes);
}

/* ---- the stream ----------------------------------------------------------------------------------------- */

/* Nothing of what was let go may be committed after that. */
static void commit_what_is_gone(struct grpc_member *m) {
    if (m->gone == 0 || now(m) < m->gone_ns + GONE_NS) return;
    uint32_t set = m->gone & ~m->owned;
    m->gone = 0;
    if (set == 0) return;
    m->refusable = true;
    send_commit(m, set);
}

/* True: there may be something to commit now. */
static bool take(struct grpc_member *m, struct slice bytes) {
    enum protobuf_consumed_kind kind;
    struct slice inner;
    struct protobuf_records records;
    if (protobuf_consumed_read(bytes, &kind, &inner, &records) != STATUS_OK) {
        violate(m, "B21 front end: what is consumed does not parse");
        return false;
    }
    if (kind != PROTOBUF_CONSUMED_STARTED && !m->started)
        violate(m, "B21 front end: a subscription does not say that it has begun");
    switch (kind) {
    case PROTOBUF_CONSUMED_STARTED:
        m->started = true;
        break;
    case PROTOBUF_CONSUMED_RECORDS:
        take_records(m, &records);
        break;
    case PROTOBUF_CONSUMED_ASSIGNMENT:
        take_assignment(m, inner);
        break;
    case PROTOBUF_CONSUMED_COMMITTED:
        take_committed(m, inner);
        break;
    case PROTOBUF_CONSUMED_PROGRESS:
        break;
    }
    return kind == PROTOBUF_CONSUMED_RECORDS || kind == PROTOBUF_CONSUMED_PROGRESS;
}

static void on_message(struct call *call, struct grpc_message *message) {
    struct grpc_member *m = CONTAINER_OF(call, struct grpc_member, call);
    bool may_commit = take(m, message->bytes);
    m->options.told(m->options.ctx, m->node, NULL);
    if (by_chance(m, 300)) {
        give_up(m, prng_chance(&m->prng, 1, 2) ? RETRY_NS : AWAY_NS);
        return;
    }
    uint32_t set = uncommitted(m, m->owned & ~m->releasing);
    may_commit &= m->steady || m->fetched >= prng_below(&m->prng, BATCHES);
    if (m->commit_set == 0) commit_what_is_gone(m);
    if (m->commit_set == 0 && set != 0 && may_commit) send_commit(m, set);
    go_on_releasing(m);
    if (!m->lets_go) io_timer_set(m->options.io, &m->timer, now(m) + SILENCE_NS);
}

static void begin(struct grpc_member *m) {
    struct grpc_consume_ask ask;
    Sentinel__V1__StartPosition from = SENTINEL__V1__START_POSITION__INIT;
    char group[64], instance[64] = "";
    snprintf(group, sizeof group, "%s", m->options.group_id);
    if (m->options.is_static) snprintf(instance, sizeof instance, "instance%u", m->options.index);
    from.position_case = SENTINEL__V1__START_POSITION__POSITION_ANCHOR;
    from.anchor = SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST;
    grpc_consume_ask(&ask, m->options.topic);
    ask.topic.start = &from;
    ask.start.progress_interval_ms = PROGRESS_MS;
    ask.start.group = group;
    ask.start.instance_id = instance;
    ask.start.release_timeout_ms = RELEASE_MS;
    m->node = (uint32_t)prng_range(&m->prng, 1, m->options.node_count);
    m->call = (struct call){.on_message = on_message, .on_done = on_done};
    m->streaming = true;
    m->epoch = 0;
    m->credit = 0;
    m->lets_go = false;
    io_timer_set(m->options.io, &m->timer, now(m) + SILENCE_NS);
    call_start(&m->channels[m->node - 1], &m->call, "/sentinel.v1.ConsumerService/Consume");
    grpc_consume_send(&m->call, &ask.request);
}

static void timer_fired(struct io_timer *timer) {
    struct grpc_member *m = CONTAINER_OF(timer, struct grpc_member, timer);
    if (!m->streaming) {
        begin(m);
    } else if (m->lets_go) {
        m->lets_go = false;
        io_timer_set(m->options.io, &m->timer, now(m) + SILENCE_NS);
        if (m->commit_set == 0) send_release(m);
    } else {
        give_up(m, RETRY_NS);
    }
}

/* ---- life ----------------------------------------------------------------------------------------------- */

void grpc_member_init(struct grpc_member *m, const struct grpc_member_options *options) {
    *m = (struct grpc_member){.options = *options};
    ASSERT(options->node_count <= GRPC_MEMBER_NODES);
    prng_init(&m->prng, options->seed);
    io_timer_init(&m->timer, timer_fired);
    for (uint32_t node = 0; node < options->node_count; node++) {
        char address[32];
        struct diagnostic why;
        snprintf(address, sizeof address, "node%u:%u", node + 1, options->port);
        bool made = channel_init(&m->channels[node], options->io, address, &why) == STATUS_OK;
        ASSERT(made);
    }
}

void grpc_member_start(struct grpc_member *m) {
    wait(m, RETRY_NS);
}

void grpc_member_release(struct grpc_member *m) {
    for (uint32_t p = 0; p < PARTITIONS; p++)
        history_reader_release(&m->readers[p]);
}
