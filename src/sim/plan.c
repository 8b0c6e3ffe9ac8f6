// SPDX-License-Identifier: Apache-2.0
#include "sim/plan.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_sim.h"
#include "raft/raft.h"

#define ROT_MEMTABLE_BYTES  131072U
#define BUSY_MEMTABLE_BYTES 16384U
#define BUSY_SCRUB_MS       1000U
#define CONVERGE_NS         (30 * NS_PER_S)
/* Copiers in transactions go over what thousands of appends wrote, some records at a time. */
#define CONVERGE_COPIED_NS (60 * NS_PER_S)
#define STOP_NS_MAX        (3 * NS_PER_S) /* of an orderly stop: who was not down when it was to be started */
/* What brokers do by themselves, and what only brokers do. */
#define PLAN_FAULTS_OF_GROUPS  (1U << PLAN_transfer | 1U << PLAN_compact)
#define PLAN_FAULTS_OF_BROKERS (1U << PLAN_restart)

enum { STREAM_SHAPE = 101, STREAM_FAULTS, STREAM_WORKLOAD, STREAM_KNOBS, STREAM_STORAGE };

struct plan {
    struct scenario *scenario;
    struct prng prng; /* of the kind at work */
    uint32_t nodes;
    uint64_t end_ns;
    uint32_t spoiled; /* nodes whose disks may be damaged or lost, by bits */
    uint32_t allowed; /* kinds of faults, by bits */
};

static const struct {
    const char *name, *text;
} fault_list[] = {
#define PLAN_ROW_(name, text) {#name, text},
    PLAN_FAULT_LIST(PLAN_ROW_)
#undef PLAN_ROW_
};

const char *plan_fault_name(enum plan_fault fault) {
    ASSERT_LT((unsigned)fault, (unsigned)PLAN_FAULT_COUNT);
    return fault_list[fault].name;
}

const char *plan_fault_text(enum plan_fault fault) {
    ASSERT_LT((unsigned)fault, (unsigned)PLAN_FAULT_COUNT);
    return fault_list[fault].text;
}

bool plan_faults_parse(const char *text, uint32_t *faults, char unknown[32]) {
    *faults = 0;
    while (*text != '\0') {
        size_t size = strcspn(text, ",");
        uint32_t bits = size == 3 && memcmp(text, "all", 3) == 0 ? PLAN_FAULTS_ALL : 0;
        bool known = bits != 0 || (size == 4 && memcmp(text, "none", 4) == 0);
        for (uint32_t i = 0; i < PLAN_FAULT_COUNT; i++)
            if (strlen(fault_list[i].name) == size && memcmp(text, fault_list[i].name, size) == 0) {
                bits |= 1U << i;
                known = true;
            }
        snprintf(unknown, 32, "%.*s", (int)MIN(size, (size_t)31), text);
        if (!known) return false;
        *faults |= bits;
        text += size + (text[size] == ',');
    }
    return true;
}

/* ---- drawing ------------------------------------------------------------------------------------------ */

/* One draw a statement: arguments are evaluated in an order of the compiler's choice. */

static uint32_t a_node(struct plan *p) {
    return (uint32_t)prng_range(&p->prng, 1, p->nodes);
}

static uint64_t between(struct plan *p, uint64_t min_ns, uint64_t max_ns) {
    /* Short ones are as likely as long ones: uniform in the exponent. */
    uint64_t high = min_ns;
    while (high < max_ns && prng_chance(&p->prng, 2, 3))
        high *= 2;
    return prng_range(&p->prng, min_ns, MIN(MAX(high, min_ns + 1), max_ns));
}

static void add(struct plan *p, uint64_t at_ns, struct action action) {
    action.at_ns = MIN(at_ns, p->end_ns);
    if (action.count == 0) action.count = 1;
    scenario_add(p->scenario, &action);
}

static void add_crash(struct plan *p, uint64_t at_ns, uint32_t node, uint64_t down_ns) {
    static const enum io_sim_crash ways[] = {IO_SIM_CRASH_PROCESS, IO_SIM_CRASH_POWER, IO_SIM_CRASH_POWER,
                                             IO_SIM_CRASH_POWER_BARE, IO_SIM_CRASH_POWER_CLEAN};
    add(p, at_ns,
        (struct action){
            .kind = ACTION_CRASH, .node = node, .a = ways[prng_below(&p->prng, ARRAY_COUNT(ways))]});
    add(p, at_ns + down_ns, (struct action){.kind = ACTION_START, .node = node});
}

static uint32_t some_nodes(struct plan *p) {
    uint32_t set = (uint32_t)prng_range(&p->prng, 1, MAX(1U, (1U << p->nodes) - 2));
    return set << 1;
}

/* A spoiled node, or 0. */
static uint32_t a_spoiled_node(struct plan *p) {
    uint32_t node = a_node(p);
    for (uint32_t i = 0; i < p->nodes && (p->spoiled >> node & 1) == 0; i++)
        node = node % p->nodes + 1;
    return (p->spoiled >> node & 1) != 0 ? node : 0;
}

/* ---- one trouble of each kind: from at_ns on ----------------------------------------------------------- */

static void plan_partition(struct plan *p, uint64_t at_ns) {
    uint32_t set = some_nodes(p), all = ((1U << p->nodes) - 1) << 1;
    if (p->nodes == 1) return;
    add(p, at_ns, (struct action){.kind = ACTION_PARTITION, .sets = {set, all & ~set}, .set_count = 2});
    add(p, at_ns + between(p, 100 * NS_PER_MS, 5 * NS_PER_S), (struct action){.kind = ACTION_HEAL});
}

/* Nobody hears the leader, or it hears nobody, or both: for about as long as it takes to elect another one,
 * again and again, so that it sometimes still leads when it hears of that one. Mended is everything: who
 * leads then is another, perhaps. */
static void plan_lonely_leader(struct plan *p, uint64_t at_ns, bool flapping) {
    static const struct action out = {.kind = ACTION_CUT, .node = ACTION_NODE_LEADER, .to = ACTION_NODE_ANY};
    static const struct action in = {.kind = ACTION_CUT, .node = ACTION_NODE_ANY, .to = ACTION_NODE_LEADER};
    uint32_t times = flapping ? (uint32_t)prng_range(&p->prng, 2, 6) : 1;
    for (uint32_t i = 0; i < times; i++) {
        bool heard = !flapping && prng_chance(&p->prng, 1, 2);
        uint64_t for_ns = flapping ? prng_range(&p->prng, 100 * NS_PER_MS, 600 * NS_PER_MS)
                                   : between(p, 100 * NS_PER_MS, 5 * NS_PER_S);
        if (!heard) add(p, at_ns, out);
        if (heard || flapping) add(p, at_ns, in);
        add(p, at_ns + for_ns,
            (struct action){.kind = ACTION_MEND, .node = ACTION_NODE_ANY, .to = ACTION_NODE_ANY});
        at_ns += for_ns + between(p, 30 * NS_PER_MS, 600 * NS_PER_MS);
    }
}

static void plan_link(struct plan *p, uint64_t at_ns, bool flapping) {
    uint32_t from = a_node(p), to = prng_chance(&p->prng, 1, 4) ? ACTION_NODE_ANY : a_node(p);
    if (from == to || p->nodes == 1) return;
    if (prng_chance(&p->prng, 1, 4)) {
        plan_lonely_leader(p, at_ns, flapping);
        return;
    }
    if (prng_chance(&p->prng, 1, 4)) {
        to = from;
        from = ACTION_NODE_ANY;
    }
    uint32_t times = flapping ? (uint32_t)prng_range(&p->prng, 2, 6) : 1;
    for (uint32_t i = 0; i < times; i++) {
        uint64_t for_ns = flapping ? between(p, 30 * NS_PER_MS, 600 * NS_PER_MS)
                                   : between(p, 100 * NS_PER_MS, 5 * NS_PER_S);
        add(p, at_ns, (struct action){.kind = ACTION_CUT, .node = from, .to = to});
        add(p, at_ns + for_ns, (struct action){.kind = ACTION_MEND, .node = from, .to = to});
        at_ns += for_ns + between(p, 30 * NS_PER_MS, 600 * NS_PER_MS);
    }
}

static void plan_slow(struct plan *p, uint64_t at_ns) {
    uint64_t until_ns = at_ns + between(p, 200 * NS_PER_MS, 4 * NS_PER_S);
    if (prng_chance(&p->prng, 1, 2)) {
        uint64_t max_ns = between(p, NS_PER_MS, 60 * NS_PER_MS);
        add(p, at_ns,
            (struct action){.kind = ACTION_LATENCY, .a = prng_below(&p->prng, max_ns), .b = max_ns});
        add(p, until_ns, (struct action){.kind = ACTION_LATENCY, .a = 50 * NS_PER_US, .b = 500 * NS_PER_US});
        return;
    }
    uint32_t from = a_node(p), to = a_node(p);
    if (from == to) return;
    uint32_t factor = (uint32_t)prng_range(&p->prng, 5, 300);
    add(p, at_ns, (struct action){.kind = ACTION_LINK, .node = from, .to = to, .count = factor});
    add(p, until_ns, (struct action){.kind = ACTION_LINK, .node = from, .to = to, .count = 1});
}

static void plan_reset(struct plan *p, uint64_t at_ns) {
    if (prng_chance(&p->prng, 1, 3)) {
        uint64_t slow = prng_below(&p->prng, 20000), reset = prng_below(&p->prng, 3000);
        uint64_t fragment = prng_below(&p->prng, 800000);
        add(p, at_ns, (struct action){.kind = ACTION_NETWORK, .a = slow, .b = reset, .c = fragment});
        add(p, at_ns + between(p, 200 * NS_PER_MS, 4 * NS_PER_S),
            (struct action){.kind = ACTION_NETWORK, .c = 200000});
        return;
    }
    uint32_t a = a_node(p), b = a_node(p);
    if (a != b) add(p, at_ns, (struct action){.kind = ACTION_RESET, .node = a, .to = b});
}

static void plan_drop(struct plan *p, uint64_t at_ns) {
    uint32_t from = prng_chance(&p->prng, 1, 3) ? ACTION_NODE_ANY : a_node(p);
    uint32_t to = prng_chance(&p->prng, 1, 3) ? ACTION_NODE_ANY : a_node(p);
    uint64_t kind = prng_below(&p->prng, RAFT_MESSAGE_KIND_END);
    uint32_t count = (uint32_t)between(p, 1, 60);
    if (p->nodes > 1)
        add(p, at_ns,
            (struct action){.kind = ACTION_DROP, .node = from, .to = to, .a = kind, .count = count});
}

static void plan_crash(struct plan *p, uint64_t at_ns) {
    uint32_t node = prng_chance(&p->prng, 1, 3) ? ACTION_NODE_LEADER : a_node(p);
    uint64_t down_ns = between(p, NS_PER_MS, 4 * NS_PER_S);
    if (node != ACTION_NODE_LEADER) {
        add_crash(p, at_ns, node, down_ns);
        return;
    }
    add(p, at_ns, (struct action){.kind = ACTION_CRASH, .node = node, .a = IO_SIM_CRASH_POWER});
    for (uint32_t i = 1; i <= p->nodes; i++) /* whoever it was */
        add(p, at_ns + down_ns, (struct action){.kind = ACTION_START, .node = i});
}

static void plan_crash_point(struct plan *p, uint64_t at_ns) {
    static const enum action_disk_op ops[] = {ACTION_DISK_ANY, ACTION_DISK_WRITE, ACTION_DISK_SYNC};
    uint32_t node = a_node(p), times = (uint32_t)prng_range(&p->prng, 1, 3);
    uint64_t op = ops[prng_below(&p->prng, ARRAY_COUNT(ops))];
    for (uint32_t i = 0; i < times; i++) {
        struct action crash = {.kind = ACTION_CRASH_AT, .node = node, .a = op};
        crash.b = prng_below(&p->prng, 2);
        crash.count = (uint32_t)between(p, 1, 30);
        add(p, at_ns, crash);
        at_ns += between(p, 20 * NS_PER_MS, NS_PER_S);
        /* Again while it is starting. */
        crash.count = (uint32_t)between(p, 1, 6);
        if (prng_chance(&p->prng, 1, 2)) add(p, at_ns, crash);
        add(p, at_ns, (struct action){.kind = ACTION_START, .node = node});
    }
}

static void plan_power(struct plan *p, uint64_t at_ns) {
    for (uint32_t node = 1; node <= p->nodes; node++)
        add_crash(p, at_ns, node, between(p, NS_PER_MS, 2 * NS_PER_S));
}

static void plan_pause(struct plan *p, uint64_t at_ns) {
    uint32_t node = prng_chance(&p->prng, 1, 2) ? ACTION_NODE_LEADER : a_node(p);
    add(p, at_ns,
        (struct action){.kind = ACTION_PAUSE, .node = node, .a = between(p, 20 * NS_PER_MS, 4 * NS_PER_S)});
}

static void plan_clock(struct plan *p, uint64_t at_ns) {
    int64_t drift = (int64_t)prng_below(&p->prng, 20001) - 10000;
    int64_t wall = prng_chance(&p->prng, 1, 2) ? (int64_t)prng_below(&p->prng, 7200001) - 3600000 : 0;
    add(p, at_ns,
        (struct action){.kind = ACTION_CLOCK, .node = a_node(p), .a = (uint64_t)drift, .b = (uint64_t)wall});
}

static void plan_wipe(struct plan *p, uint64_t at_ns) {
    uint32_t node = a_spoiled_node(p), all = ((1U << p->nodes) - 1) << 1;
    if (node == 0) return;
    add(p, at_ns, (struct action){.kind = ACTION_WIPE, .node = node});
    at_ns += between(p, 10 * NS_PER_MS, 2 * NS_PER_S);
    add(p, at_ns, (struct action){.kind = ACTION_START, .node = node});
    /* The operator takes it in again, first as a learner; brokers do it by themselves. */
    if (strcmp(p->scenario->workload, "raft") != 0) return;
    at_ns += between(p, 10 * NS_PER_MS, 2 * NS_PER_S);
    add(p, at_ns,
        (struct action){.kind = ACTION_MEMBERS, .sets = {all & ~(1U << node), 1U << node}, .set_count = 2});
    at_ns += between(p, 10 * NS_PER_MS, 2 * NS_PER_S);
    add(p, at_ns, (struct action){.kind = ACTION_MEMBERS, .sets = {all, 0}, .set_count = 2});
}

/* A start reads more than a node that is up, and what it reads is everything that it knows of itself: one
 * start after the other fails somewhere on its way. */
static void plan_starts_that_cannot_read(struct plan *p, uint64_t at_ns) {
    uint32_t node = a_node(p), times = (uint32_t)prng_range(&p->prng, 2, 6);
    for (uint32_t i = 0; i < times; i++) {
        uint32_t count = (uint32_t)between(p, 1, 60);
        add(p, at_ns,
            (struct action){.kind = ACTION_DISK_FAIL, .node = node, .a = ACTION_DISK_READ, .count = count});
        add_crash(p, at_ns, node, between(p, NS_PER_MS, 50 * NS_PER_MS));
        at_ns += between(p, 50 * NS_PER_MS, NS_PER_S);
    }
    add(p, at_ns, (struct action){.kind = ACTION_START, .node = node});
}

static void plan_disk_error(struct plan *p, uint64_t at_ns) {
    static const enum action_disk_op ops[] = {ACTION_DISK_WRITE, ACTION_DISK_SYNC, ACTION_DISK_READ};
    uint64_t op = ops[prng_below(&p->prng, ARRAY_COUNT(ops))];
    if (op == ACTION_DISK_READ && prng_chance(&p->prng, 1, 2)) {
        plan_starts_that_cannot_read(p, at_ns);
        return;
    }
    uint32_t node = a_node(p), count = (uint32_t)between(p, 1, 60);
    add(p, at_ns, (struct action){.kind = ACTION_DISK_FAIL, .node = node, .a = op, .count = count});
    add(p, at_ns + between(p, 50 * NS_PER_MS, 3 * NS_PER_S),
        (struct action){.kind = ACTION_START, .node = node});
}

/* Far behind, what it is sent is a snapshot: there is no room for it, and readers are waiting. */
static void plan_full_behind(struct plan *p, uint64_t at_ns) {
    uint32_t node = a_node(p), all = ((1U << p->nodes) - 1) << 1;
    add(p, at_ns,
        (struct action){.kind = ACTION_PARTITION, .sets = {1U << node, all & ~(1U << node)}, .set_count = 2});
    at_ns += between(p, 300 * NS_PER_MS, 2 * NS_PER_S);
    for (uint32_t other = 1; other <= p->nodes; other++)
        if (other != node) add(p, at_ns, (struct action){.kind = ACTION_COMPACT, .node = other});
    add(p, at_ns,
        (struct action){.kind = ACTION_DISK_FULL, .node = node, .a = prng_range(&p->prng, 1, 100) * KIB});
    add(p, at_ns, (struct action){.kind = ACTION_HEAL});
    for (uint32_t i = 0; i < 20; i++) {
        at_ns += prng_below(&p->prng, 30 * NS_PER_MS);
        add(p, at_ns, (struct action){.kind = ACTION_READ, .node = node});
    }
    add(p, at_ns, (struct action){.kind = ACTION_DISK_FULL, .node = node});
    add(p, at_ns + between(p, NS_PER_MS, NS_PER_S), (struct action){.kind = ACTION_START, .node = node});
}

static void plan_full(struct plan *p, uint64_t at_ns) {
    uint32_t needed = 1U << PLAN_partition | 1U << PLAN_compact;
    bool of_groups = strcmp(p->scenario->workload, "raft") == 0;
    if (of_groups && (p->allowed & needed) == needed && p->nodes > 2 && prng_chance(&p->prng, 1, 3)) {
        plan_full_behind(p, at_ns);
        return;
    }
    uint32_t node = a_node(p);
    add(p, at_ns,
        (struct action){.kind = ACTION_DISK_FULL, .node = node, .a = prng_range(&p->prng, 1, 400) * KIB});
    at_ns += between(p, 100 * NS_PER_MS, 3 * NS_PER_S);
    add(p, at_ns, (struct action){.kind = ACTION_DISK_FULL, .node = node});
    add(p, at_ns + between(p, NS_PER_MS, NS_PER_S), (struct action){.kind = ACTION_START, .node = node});
}

static void plan_slow_disk(struct plan *p, uint64_t at_ns) {
    uint32_t node = a_node(p);
    add(p, at_ns,
        (struct action){
            .kind = ACTION_DISK_SLOW, .node = node, .count = (uint32_t)prng_range(&p->prng, 5, 400)});
    add(p, at_ns + between(p, 100 * NS_PER_MS, 4 * NS_PER_S),
        (struct action){.kind = ACTION_DISK_SLOW, .node = node, .count = 1});
}

static void plan_rot(struct plan *p, uint64_t at_ns) {
    uint32_t node = a_spoiled_node(p);
    if (node == 0) return;
    add(p, at_ns, (struct action){.kind = ACTION_ROT, .node = node, .a = prng_next(&p->prng) >> 16});
    if (prng_chance(&p->prng, 1, 2)) {
        at_ns += between(p, NS_PER_MS, NS_PER_S);
        add_crash(p, at_ns, node, between(p, NS_PER_MS, NS_PER_S));
    }
}

/* What a leader began that is cut off is taken back later; who restarts after that must not believe in it. */
static void plan_lonely_change(struct plan *p, uint64_t at_ns) {
    uint32_t all = ((1U << p->nodes) - 1) << 1, set = some_nodes(p);
    add(p, at_ns - MIN(at_ns, between(p, NS_PER_MS, 200 * NS_PER_MS)),
        (struct action){.kind = ACTION_PARTITION, .sets = {set, all & ~set}, .set_count = 2});
    at_ns += between(p, 300 * NS_PER_MS, 3 * NS_PER_S);
    add(p, at_ns, (struct action){.kind = ACTION_HEAL});
    at_ns += between(p, 30 * NS_PER_MS, 500 * NS_PER_MS);
    for (uint32_t node = 1; node <= p->nodes; node++)
        add_crash(p, at_ns, node, between(p, NS_PER_MS, 100 * NS_PER_MS));
}

static void plan_members(struct plan *p, uint64_t at_ns) {
    uint32_t all = ((1U << p->nodes) - 1) << 1;
    uint32_t voters = some_nodes(p) & all, learners = some_nodes(p) & all & ~voters;
    add(p, at_ns, (struct action){.kind = ACTION_MEMBERS, .sets = {voters, learners}, .set_count = 2});
    add(p, at_ns + between(p, 10 * NS_PER_MS, 4 * NS_PER_S),
        (struct action){.kind = ACTION_MEMBERS, .sets = {all, 0}, .set_count = 2});
    uint32_t needed = 1U << PLAN_partition | 1U << PLAN_power;
    if ((p->allowed & needed) == needed && p->nodes > 2 && prng_chance(&p->prng, 1, 3))
        plan_lonely_change(p, at_ns);
}

static void plan_transfer(struct plan *p, uint64_t at_ns) {
    uint32_t node = prng_chance(&p->prng, 1, 4) ? ACTION_NODE_ANY : a_node(p);
    add(p, at_ns, (struct action){.kind = ACTION_TRANSFER, .node = node});
}

static void plan_compact(struct plan *p, uint64_t at_ns) {
    add(p, at_ns, (struct action){.kind = ACTION_COMPACT, .node = a_node(p)});
}

static void plan_restart(struct plan *p, uint64_t at_ns) {
    uint32_t node = a_node(p), count = prng_chance(&p->prng, 1, 2) ? p->nodes : 1;
    uint64_t knobs = prng_chance(&p->prng, 2, 3) ? prng_next(&p->prng) >> 32 : 0;
    for (uint32_t i = 0; i < count; i++) { /* all, one after the other: something else is rolled out */
        add(p, at_ns, (struct action){.kind = ACTION_STOP, .node = node});
        at_ns += between(p, 50 * NS_PER_MS, 2 * NS_PER_S);
        add(p, at_ns, (struct action){.kind = ACTION_START, .node = node, .a = knobs});
        add(p, at_ns + STOP_NS_MAX, (struct action){.kind = ACTION_START, .node = node, .a = knobs});
        at_ns += between(p, 10 * NS_PER_MS, NS_PER_S);
        node = node % p->nodes + 1;
    }
}

static void plan_one(struct plan *p, enum plan_fault kind, uint64_t at_ns) {
    static void (*const calls[])(struct plan * p, uint64_t at_ns) = {
        [PLAN_partition] = plan_partition, [PLAN_slow] = plan_slow,
        [PLAN_reset] = plan_reset,         [PLAN_drop] = plan_drop,
        [PLAN_crash] = plan_crash,         [PLAN_crashpoint] = plan_crash_point,
        [PLAN_power] = plan_power,         [PLAN_pause] = plan_pause,
        [PLAN_clock] = plan_clock,         [PLAN_wipe] = plan_wipe,
        [PLAN_eio] = plan_disk_error,      [PLAN_full] = plan_full,
        [PLAN_slowdisk] = plan_slow_disk,  [PLAN_rot] = plan_rot,
        [PLAN_members] = plan_members,     [PLAN_transfer] = plan_transfer,
        [PLAN_compact] = plan_compact,     [PLAN_restart] = plan_restart};
    if (kind == PLAN_oneway || kind == PLAN_flap)
        plan_link(p, at_ns, kind == PLAN_flap);
    else
        calls[kind](p, at_ns);
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

/* A log that is flushed at every append and read through all the time meets other states than one that stays
 * in memory, and costs twice the time: so it is in a share of the runs, in more of those whose disks do harm.
 */
static void draw_storage(struct plan *p, struct prng storage, uint32_t on) {
    struct sim_knobs *knobs = &p->scenario->knobs;
    bool rot = (on & 1U << PLAN_rot) != 0, eio = (on & 1U << PLAN_eio) != 0;
    /* What rots should be in use: tables, soon, and not only the log that they come from; and be found. */
    if (rot) {
        knobs->memtable_bytes = ROT_MEMTABLE_BYTES;
        knobs->scrub_interval_ms = BUSY_SCRUB_MS;
    }
    /* And so should what cannot be read: what a start reads is in tables then. */
    if (!prng_chance(&storage, rot || eio ? 2 : 1, 4)) return;
    knobs->memtable_bytes = BUSY_MEMTABLE_BYTES;
    knobs->scrub_interval_ms = BUSY_SCRUB_MS;
}

static void draw_faults(struct plan *p, struct prng *faults, struct prng storage, uint32_t allowed) {
    struct prng streams[PLAN_FAULT_COUNT];
    uint32_t on = 0;
    for (uint32_t kind = 0; kind < PLAN_FAULT_COUNT; kind++) {
        streams[kind] = prng_split(faults, kind + 1);
        if (prng_chance(&streams[kind], 1, 3)) on |= 1U << kind;
    }
    on &= allowed;
    bool brokers = strcmp(p->scenario->workload, "raft") != 0;
    on &= brokers ? ~PLAN_FAULTS_OF_GROUPS : ~PLAN_FAULTS_OF_BROKERS;
    /* Fewer voters survive fewer losses: while disks may be lost, all nodes stay members. */
    if ((on & (1U << PLAN_wipe | 1U << PLAN_rot)) != 0) on &= ~(1U << PLAN_members);
    draw_storage(p, storage, on);
    for (uint32_t kind = 0; kind < PLAN_FAULT_COUNT; kind++) {
        p->prng = streams[kind];
        uint64_t gap_ns = between(p, 200 * NS_PER_MS, p->end_ns);
        if ((on >> kind & 1) == 0) continue;
        for (uint64_t at_ns = prng_below(&p->prng, gap_ns); at_ns < p->end_ns;
             at_ns += gap_ns / 2 + prng_below(&p->prng, gap_ns))
            plan_one(p, (enum plan_fault)kind, at_ns);
    }
}

static void draw_workload(struct plan *p, struct prng workload) {
    p->prng = workload;
    uint64_t gap_ns = between(p, 3 * NS_PER_MS, 200 * NS_PER_MS);
    uint32_t size_max = (uint32_t)between(p, 10, 4000);
    for (uint64_t at_ns = 0; at_ns < p->end_ns; at_ns += 1 + prng_below(&p->prng, 2 * gap_ns)) {
        uint32_t node = prng_chance(&p->prng, 3, 4) ? ACTION_NODE_LEADER : a_node(p);
        if (prng_chance(&p->prng, 1, 8)) {
            add(p, at_ns, (struct action){.kind = ACTION_READ, .node = node});
            continue;
        }
        uint32_t burst = prng_chance(&p->prng, 1, 10) ? (uint32_t)prng_range(&p->prng, 2, 12) : 1;
        for (uint32_t i = 0; i < burst; i++) {
            uint64_t size = prng_range(&p->prng, 8, size_max);
            uint32_t count = (uint32_t)prng_range(&p->prng, 1, 4);
            add(p, at_ns, (struct action){.kind = ACTION_APPEND, .node = node, .a = size, .count = count});
        }
    }
}

/* By time; those of equal time as they were planned. */
/* Where an action stands in time, and where it is: keys are moved instead of actions. */
struct moment {
    uint64_t at_ns;
    uint32_t index;
};

static void sort_moments(struct moment *moments, struct moment *spare, uint32_t count) {
    struct moment *from = moments, *to = spare;
    for (uint32_t width = 1; width < count; width *= 2) {
        for (uint32_t begin = 0; begin < count; begin += 2 * width) {
            uint32_t middle = MIN(begin + width, count), end = MIN(begin + 2 * width, count);
            uint32_t left = begin, right = middle;
            for (uint32_t i = begin; i < end; i++)
                to[i] = left < middle && (right == end || from[left].at_ns <= from[right].at_ns)
                            ? from[left++]
                            : from[right++];
        }
        struct moment *swap = from;
        from = to;
        to = swap;
    }
    if (from != moments) memcpy(moments, from, count * sizeof *moments);
}

static void sort_actions(struct scenario *scenario) {
    uint32_t count = scenario->count;
    if (count == 0) return;
    struct moment *moments = mem_alloc(2 * count * sizeof *moments);
    for (uint32_t i = 0; i < count; i++)
        moments[i] = (struct moment){scenario->actions[i].at_ns, i};
    sort_moments(moments, moments + count, count);
    struct action *sorted = mem_alloc((count + 1) * sizeof *sorted); /* one more will be added */
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = scenario->actions[moments[i].index];
    mem_free(scenario->actions);
    scenario->actions = sorted;
    scenario->capacity = count + 1;
    mem_free(moments);
}

void plan_draw(const struct plan_options *options, struct scenario *scenario) {
    scenario_release(scenario);
    struct prng root, shape, faults, knobs;
    prng_init(&root, options->seed);
    shape = prng_split(&root, STREAM_SHAPE);
    faults = prng_split(&root, STREAM_FAULTS);
    knobs = prng_split(&root, STREAM_KNOBS);
    scenario->seed = options->seed;
    snprintf(scenario->workload, sizeof scenario->workload, "%.15s", options->workload);
    static const uint32_t sizes[] = {1, 2, 3, 3, 3, 3, 3, 4, 5, 5};
    uint32_t drawn = sizes[prng_below(&shape, ARRAY_COUNT(sizes))];
    uint64_t duration_ns = prng_range(&shape, 2 * NS_PER_S, 12 * NS_PER_S);
    scenario->nodes = options->nodes != 0 ? options->nodes : drawn;
    sim_knobs_draw(&scenario->knobs, &knobs);
    struct plan p = {.scenario = scenario,
                     .nodes = scenario->nodes,
                     .allowed = options->faults,
                     .end_ns = options->duration_ns != 0 ? options->duration_ns : duration_ns};
    /* Partitions of brokers have three replicas at the most. */
    uint32_t replicas = strcmp(options->workload, "raft") != 0 ? MIN(scenario->nodes, 3U) : scenario->nodes;
    uint32_t may_spoil = (replicas - 1) / 2, first = (uint32_t)prng_below(&shape, scenario->nodes);
    for (uint32_t i = 0; i < may_spoil; i++)
        p.spoiled |= 1U << ((first + i) % scenario->nodes + 1);
    draw_faults(&p, &faults, prng_split(&root, STREAM_STORAGE), options->faults);
    draw_workload(&p, prng_split(&root, STREAM_WORKLOAD));
    sort_actions(scenario);
    bool copied = strcmp(options->workload, "transactions") == 0;
    scenario_add(scenario, &(struct action){.at_ns = p.end_ns,
                                            .kind = ACTION_CONVERGE,
                                            .a = copied ? CONVERGE_COPIED_NS : CONVERGE_NS});
}
