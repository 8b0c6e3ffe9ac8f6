// SPDX-License-Identifier: Apache-2.0
/* `sentinel bench raft`: the core alone under the workload of bench_raft_load.h.
 *
 * Messages go as bytes (raft_message.h): encoded, copied into a receive buffer, decoded. Each proposal is a
 * buffer of its own. Then what a member of an idle, sleeping group takes of the heap, with many groups in one
 * process. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/bench.h"
#include "cli/bench_raft_load.h"
#include "io/io_measure.h"
#include "raft/raft_message.h"

#define MEMBERS     3
#define IDLE_GROUPS 2000
#define TURN_NS     (10 * NS_PER_US)

struct parcel {
    struct buffer *bytes;
    uint64_t after_write;
};
struct queue {
    struct parcel *items;
    uint32_t count, capacity;
};
struct member {
    struct raft raft;
    struct queue inbox;         /* of the next turn */
    struct queue held[MEMBERS]; /* wait for a write, by receiver */
    uint64_t write, applied;
};
struct group {
    struct member members[MEMBERS];
    struct member *leader;
    uint64_t base; /* commit end when it was opened */
};

/* One set for all groups, as in a shard. */
static struct {
    struct raft_options options[MEMBERS];
    struct raft_effects effects;
    struct raft_message_decoder decoder;
    struct writer scratch;
    struct chain chain;
    struct queue arriving;
    struct raft_proposal *proposals;
    uint64_t proposal_capacity;
    uint64_t now_ns;
    struct group group;
    struct bench_report report;
} b;

static void push(struct queue *queue, struct parcel parcel) {
    if (queue->count == queue->capacity) {
        queue->capacity = MAX(queue->capacity * 2, 16);
        queue->items = mem_realloc(queue->items, queue->capacity * sizeof *queue->items);
    }
    queue->items[queue->count++] = parcel;
}

static struct buffer *pack(const struct raft_message *message) {
    raft_message_encode(message, &b.scratch, &b.chain);
    struct buffer *bytes = chain_flatten(&b.chain);
    chain_consume(&b.chain, b.chain.size);
    return bytes;
}

static enum status step(struct group *group, struct member *member, struct raft_event event) {
    event.now_ns = b.now_ns;
    enum status status = raft_step(&member->raft, &event, &b.effects);
    if (b.effects.write != 0) member->write = b.effects.write;
    for (uint32_t i = 0; i < b.effects.message_count; i++) {
        const struct raft_message *message = &b.effects.messages[i];
        uint32_t to = raft_id_node(message->to) - 1;
        bool hold = message->after_write > member->raft.write_persisted;
        push(hold ? &member->held[to] : &group->members[to].inbox,
             (struct parcel){pack(message), message->after_write});
    }
    if (raft_is_leader(&member->raft)) group->leader = member;
    return status;
}

static void must(enum status status) {
    ASSERT(status == STATUS_OK);
}

static void persist(struct group *group, struct member *member) {
    if (member->write > member->raft.write_persisted)
        must(step(group, member, (struct raft_event){.kind = RAFT_EVENT_PERSISTED, .write = member->write}));
    for (uint32_t to = 0; to < MEMBERS; to++) {
        struct queue *held = &member->held[to];
        uint32_t kept = 0;
        for (uint32_t i = 0; i < held->count; i++) {
            if (held->items[i].after_write > member->raft.write_persisted)
                held->items[kept++] = held->items[i];
            else
                push(&group->members[to].inbox, held->items[i]);
        }
        held->count = kept;
    }
}

/* What lies in the inbox when the turn begins arrives, and is on disk when it ends. */
static void member_turn(struct group *group, struct member *member) {
    struct queue arriving = member->inbox;
    member->inbox = b.arriving;
    for (uint32_t i = 0; i < arriving.count; i++) {
        struct buffer *bytes = arriving.items[i].bytes;
        must(raft_message_decode(&b.decoder,
                                 (struct shared_slice){slice_make(bytes->data, bytes->size), bytes}));
        must(step(group, member,
                  (struct raft_event){.kind = RAFT_EVENT_RECEIVE, .message = &b.decoder.message}));
        buffer_unref(bytes);
    }
    arriving.count = 0;
    b.arriving = arriving;
    persist(group, member);
    if (raft_deadline(&member->raft) <= b.now_ns)
        must(step(group, member, (struct raft_event){.kind = RAFT_EVENT_TIMER}));
    if (member->raft.commit_end == member->applied) return;
    member->applied = member->raft.commit_end;
    must(step(group, member, (struct raft_event){.kind = RAFT_EVENT_APPLIED, .position = member->applied}));
}

static void group_turn(struct group *group) {
    b.now_ns += TURN_NS;
    for (uint32_t i = 0; i < MEMBERS; i++)
        member_turn(group, &group->members[i]);
}

static void group_open(struct group *group, uint64_t number) {
    struct raft_config *config = mem_calloc(1, raft_config_size(MEMBERS));
    config->member_count = MEMBERS;
    for (uint32_t i = 0; i < MEMBERS; i++)
        config->members[i] = (struct raft_member){raft_id(i + 1, 0), RAFT_VOTER};
    *group = (struct group){0};
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct raft_start start = {
            .group = number, .seed = number + i + 1, .priority = RAFT_PRIORITY_MAX, .config = config};
        raft_init(&group->members[i].raft, &b.options[i], &start, b.now_ns);
    }
    mem_free(config);
    b.now_ns += NS_PER_S;
    while (group->leader == NULL)
        group_turn(group);
    group->base = group->leader->raft.commit_end;
}

static void queue_release(struct queue *queue) {
    for (uint32_t i = 0; i < queue->count; i++)
        buffer_unref(queue->items[i].bytes);
    mem_free(queue->items);
    *queue = (struct queue){0};
}

static void group_close(struct group *group) {
    for (uint32_t i = 0; i < MEMBERS; i++) {
        raft_release(&group->members[i].raft);
        queue_release(&group->members[i].inbox);
        for (uint32_t to = 0; to < MEMBERS; to++)
            queue_release(&group->members[i].held[to]);
    }
}

static void group_propose(struct group *group, uint64_t count, size_t size) {
    static const uint8_t value[64 * KIB];
    ASSERT_LE(size, sizeof value);
    if (count > b.proposal_capacity) {
        b.proposal_capacity = count;
        b.proposals = mem_realloc(b.proposals, count * sizeof *b.proposals);
    }
    for (uint64_t i = 0; i < count; i++) {
        struct buffer *buffer = buffer_copy(slice_make(value, size));
        b.proposals[i] = (struct raft_proposal){{slice_make(buffer->data, size), buffer}, 1};
    }
    must(step(group, group->leader,
              (struct raft_event){.kind = RAFT_EVENT_PROPOSE,
                                  .propose = {.items = b.proposals, .count = (uint32_t)count}}));
    for (uint64_t i = 0; i < count; i++)
        buffer_unref(b.proposals[i].payload.owner);
}

/* ---- the workload's engine ---------------------------------------------------------------------------- */

static void engine_open(void) {
    group_open(&b.group, 1);
}
static void engine_propose(uint64_t count, size_t size) {
    group_propose(&b.group, count, size);
}
static void engine_turn(void) {
    group_turn(&b.group);
}
static uint64_t engine_committed(void) {
    return b.group.leader->raft.commit_end - b.group.base;
}
static void engine_close(void) {
    group_close(&b.group);
}

static void emit(const char *name, double value, const char *unit) {
    bench_report_add(&b.report, name, value, unit);
}

/* Groups that have elected, committed and gone to sleep. */
static void measure_idle(void) {
    for (uint32_t i = 0; i < MEMBERS; i++)
        b.options[i].sleep_after_ns = 100 * NS_PER_MS;
    struct group *groups = mem_calloc(IDLE_GROUPS, sizeof *groups);
    memset(groups, 1,
           IDLE_GROUPS * sizeof *groups); /* resident before we look; that which is ours is taken off below */
    uint64_t before = io_measure_anonymous_bytes();
    for (uint32_t i = 0; i < IDLE_GROUPS; i++) {
        struct group *group = &groups[i];
        group_open(group, i + 1);
        for (uint32_t k = 0; k < 16; k++) {
            group_propose(group, 4, 128);
            for (int turns = 0; turns < 4; turns++)
                group_turn(group);
        }
        while (!group->members[0].raft.asleep || !group->members[1].raft.asleep ||
               !group->members[2].raft.asleep) {
            b.now_ns += 10 * NS_PER_MS;
            group_turn(group);
        }
        for (uint32_t k = 0; k < MEMBERS; k++)
            queue_release(&group->members[k].inbox);
    }
    double bytes = (double)(io_measure_anonymous_bytes() - before) / IDLE_GROUPS / MEMBERS +
                   sizeof(struct raft);
    emit("memory of a sleeping member", bytes / (double)KIB, "KiB");
    for (uint32_t i = 0; i < IDLE_GROUPS; i++)
        group_close(&groups[i]);
    mem_free(groups);
    for (uint32_t i = 0; i < MEMBERS; i++)
        b.options[i].sleep_after_ns = 0;
}

int bench_raft_main(int argc, char **argv) {
    static const struct raft_load_engine engine = {.open = engine_open,
                                                   .propose = engine_propose,
                                                   .turn = engine_turn,
                                                   .committed = engine_committed,
                                                   .close = engine_close};
    struct raft_load_options options;
    int status = raft_load_parse(argc, argv, &options);
    if (status != 0) return status;
    for (uint32_t i = 0; i < MEMBERS; i++)
        b.options[i] = raft_options_default(raft_id(i + 1, 0));
    raft_effects_init(&b.effects);
    raft_message_decoder_init(&b.decoder);
    writer_init(&b.scratch);
    chain_init(&b.chain);
    bench_report_init(&b.report, "raft");
    fprintf(stderr, "sentinel: messages as bytes, one write a turn, values of %zu bytes\n",
            (size_t)options.value_bytes);
    measure_idle(); /* first: later the heap has room from before */
    raft_load_run(&options, &engine, emit);
    queue_release(&b.arriving);
    mem_free(b.proposals);
    chain_release(&b.chain);
    writer_release(&b.scratch);
    raft_message_decoder_release(&b.decoder);
    raft_effects_release(&b.effects);
    if (options.peers) bench_report_peers(&b.report, argc, argv);
    bench_report_print(&b.report, options.json);
    return 0;
}
