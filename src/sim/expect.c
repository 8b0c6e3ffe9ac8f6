// SPDX-License-Identifier: Apache-2.0
/* What must come true, and how a cluster is brought to rest at the end. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/units.h"
#include "raft/raft_message.h"
#include "sim/world_internal.h"

#define SETTLE_STEPS   3
#define SETTLE_STEP_NS (50 * NS_PER_MS)
#define MOVES_NS       (10 * NS_PER_S) /* from when clients have come to their end */
#define REST_NS        (20 * NS_PER_S)
#define REST_STEP_NS   (100 * NS_PER_MS)

/* ---- single expectations ------------------------------------------------------------------------------ */

struct waiting {
    const struct action *action;
    uint32_t node, to; /* resolved */
    uint64_t elections;
};

static bool leads(struct world *w, const struct waiting *waiting) {
    uint32_t leader = world_leader(w, 0);
    return leader != 0 && (waiting->action->node == ACTION_NODE_ANY || waiting->node == leader);
}

static bool logs_equal(struct world *w, uint32_t a, uint32_t b) {
    uint64_t ends[2], chains[2];
    const struct raft *rafts[2] = {world_raft(w, a, 0), world_raft(w, b, 0)};
    for (int i = 0; i < 2; i++)
        if (rafts[i] == NULL ||
            !raft_checker_log(w->checker, rafts[i]->group, rafts[i]->options->id, &ends[i], &chains[i]))
            return false;
    return ends[0] == ends[1] && chains[0] == chains[1];
}

static bool members_are(struct world *w, uint32_t index, uint32_t voters, uint32_t learners) {
    const struct raft *raft = world_raft(w, world_leader(w, index), index);
    const struct raft_config *config = raft == NULL ? NULL : raft_config(raft);
    if (config == NULL || raft_config_joint(config) || raft->latest.position > raft->commit_end) return false;
    uint32_t have[2] = {0, 0};
    for (uint32_t i = 0; i < config->member_count; i++) {
        uint32_t node = raft_id_node(config->members[i].id);
        if (config->members[i].id != raft_id(node, w->nodes[node].incarnation)) return false;
        have[(config->members[i].flags & RAFT_LEARNER) != 0] |= 1U << node;
    }
    return have[0] == voters && have[1] == learners;
}

static bool holds(struct world *w, void *ctx) {
    const struct waiting *waiting = ctx;
    const struct action *action = waiting->action;
    const struct raft *raft = waiting->node == 0 ? NULL : world_raft(w, waiting->node, 0);
    switch ((enum expectation)action->a) {
    case EXPECT_LEADER:
        return leads(w, waiting);
    case EXPECT_NO_LEADER:
        return world_leader(w, 0) != 0;
    case EXPECT_ROLE:
        return raft != NULL && (uint32_t)raft->role == action->count;
    case EXPECT_TERM:
        return raft != NULL && raft->term >= action->count;
    case EXPECT_COMMITTED:
        return w->acknowledged >= action->count;
    case EXPECT_REFUSED:
        return w->refused >= action->count;
    case EXPECT_STABLE:
        return w->elections != waiting->elections;
    case EXPECT_EQUAL:
        return logs_equal(w, waiting->node, waiting->to);
    case EXPECT_MEMBERS:
        return members_are(w, 0, action->sets[0], action->sets[1]);
    case EXPECT_DOWN:
        return !world_is_up(w, waiting->node) || !w->program->healthy(w->nodes[waiting->node].program);
    case EXPECT_SNAPSHOT:
        return raft_checker_snapshots_installed(w->checker, waiting->node) >= action->count;
    case EXPECT_REPAIRED:
        return raft_checker_entries_repaired(w->checker, waiting->node) >= action->count;
    }
    return false;
}

/* How everybody stands, for whoever reads that an expectation did not hold. */
static void print_state(struct world *w, struct writer *to) {
    for (uint32_t node = 1; node <= w->node_count; node++) {
        const struct raft *raft = world_raft(w, node, 0);
        writer_printf(to, "%s%u ", node == 1 ? "" : ", ", node);
        if (raft == NULL)
            writer_text(to, "down");
        else
            writer_printf(to, "%s term %" PRIu64 " log %" PRIu64 " commit %" PRIu64,
                          raft_role_name(raft->role), raft->term, raft->log.end, raft->commit_end);
    }
    writer_u8(to, 0);
}

static void not_so(struct world *w, const char *what, const struct action *action) {
    struct writer line, state;
    writer_init(&line);
    writer_init(&state);
    action_print(&line, action, &w->scenario->names);
    writer_u8(&line, 0);
    print_state(w, &state);
    world_fail(w, "%s'%.100s' does not hold: %.220s", what, (const char *)line.data,
               (const char *)state.data);
    writer_release(&line);
    writer_release(&state);
}

void world_expect(struct world *w, const struct action *action) {
    struct waiting waiting = {.action = action, .elections = w->elections};
    if (action->node != ACTION_NODE_ANY) waiting.node = world_resolve(w, action->node);
    if (action->to != ACTION_NODE_ANY) waiting.to = world_resolve(w, action->to);
    bool never = action->a == EXPECT_NO_LEADER || action->a == EXPECT_STABLE;
    bool held = world_advance(w, io_sim_now(w->sim) + action->b, holds, &waiting);
    if (world_failed(w)) return;
    if (held == never) {
        not_so(w, "E ", action);
        return;
    }
    if (action->name[0] != '\0')
        world_name(w, action->name, action->a == EXPECT_LEADER ? world_leader(w, 0) : waiting.node);
}

/* ---- converge ----------------------------------------------------------------------------------------- */

static uint32_t group_count(const struct world *w) {
    return w->scenario->knobs.groups;
}

static bool all_led(struct world *w, void *ctx) {
    (void)ctx;
    for (uint32_t i = 0; i < group_count(w); i++)
        if (world_leader(w, i) == 0) return false;
    return true;
}

/* The member of this group on a node: brokers do not number their groups alike. */
static const struct raft *member_on(const struct world *w, uint32_t node, uint64_t group) {
    for (uint32_t i = 0; i < SIM_GROUPS_MAX; i++) {
        const struct raft *raft = world_raft(w, node, i);
        if (raft != NULL && raft->group == group) return raft;
    }
    return NULL;
}

/* All members have what this leader has. A member of a broker may have more, that was never committed: a leader
 * that has nothing to append finds no occasion to cut it off. */
static bool all_have(struct world *w, const struct raft *leader) {
    const struct raft_config *config = raft_config(leader);
    bool brokers = w->program->finish != NULL; /* they do not tell the checker what they apply */
    uint64_t end, chain, own_end, own_chain;
    if (raft_config_joint(config) || leader->commit_end != leader->log.end ||
        !raft_checker_log(w->checker, leader->group, leader->options->id, &end, &chain))
        return false;
    for (uint32_t i = 0; i < config->member_count; i++) {
        const struct raft *raft = member_on(w, raft_id_node(config->members[i].id), leader->group);
        if (raft == NULL || raft->options->id != config->members[i].id) return false;
        uint64_t applied = brokers ? raft->applied_end : raft_checker_applied_end(w->checker, raft);
        if (raft->commit_end != end || applied != end || raft_durable_end(raft) < end) return false;
        if (!raft_checker_log(w->checker, raft->group, raft->options->id, &own_end, &own_chain)) return false;
        if ((own_end != end || own_chain != chain) && !(brokers && own_end > end)) return false;
    }
    return true;
}

static bool group_equal(struct world *w, uint32_t index) {
    const struct raft *leader = world_raft(w, world_leader(w, index), index);
    return leader != NULL && all_have(w, leader);
}

static bool is_member(const struct raft *raft) {
    const struct raft_config *config = raft_config(raft);
    return config != NULL && raft_config_find(config, raft->options->id) >= 0;
}

static bool is_led(const struct world *w, uint64_t group) {
    for (uint32_t node = 1; node <= w->node_count; node++) {
        const struct raft *raft = member_on(w, node, group);
        if (raft != NULL && raft_is_leader(raft)) return true;
    }
    return false;
}

/* A group of some broker that is not led, or not the same everywhere; NULL: none. */
static const struct raft *restless(struct world *w) {
    for (uint32_t node = 1; node <= w->node_count; node++)
        for (uint32_t i = 0; i < SIM_GROUPS_MAX; i++) {
            const struct raft *raft = world_raft(w, node, i);
            if (raft == NULL || !is_member(raft)) continue;
            if (raft_is_leader(raft) ? !all_have(w, raft) : !is_led(w, raft->group)) return raft;
        }
    return NULL;
}

struct goal {
    uint64_t acknowledged;
};

static bool all_equal(struct world *w, void *ctx) {
    const struct goal *goal = ctx;
    if (w->acknowledged < goal->acknowledged) return false;
    for (uint32_t i = 0; i < group_count(w); i++)
        if (!group_equal(w, i)) return false;
    return true;
}

static bool acknowledged(struct world *w, void *ctx) {
    return w->acknowledged >= ((const struct goal *)ctx)->acknowledged;
}

static bool members_wanted(struct world *w, void *ctx) {
    (void)ctx;
    for (uint32_t i = 0; i < group_count(w); i++)
        if (!members_are(w, i, w->voters, w->learners)) return false;
    return true;
}

/* An operator takes back nodes whose disks were lost; a client appends until each group has taken one more.
 */
static void stir(struct world *w, uint64_t until_ns) {
    struct goal goal = {w->acknowledged + group_count(w)};
    struct action change = {.kind = ACTION_MEMBERS, .sets = {w->voters, w->learners}, .set_count = 2};
    while (!world_failed(w) && io_sim_now(w->sim) < until_ns && !members_wanted(w, NULL)) {
        world_act(w, &change);
        world_advance(w, MIN(until_ns, io_sim_now(w->sim) + 500 * NS_PER_MS), members_wanted, NULL);
    }
    while (!world_failed(w) && io_sim_now(w->sim) < until_ns && w->acknowledged < goal.acknowledged) {
        for (uint32_t i = 0; i < group_count(w); i++) {
            /* count 0: to this group only */
            struct action append = {
                .kind = ACTION_APPEND, .node = world_leader(w, i), .to = i + 1, .a = 16, .count = 1};
            if (append.node != 0) world_operate(w, &append);
        }
        world_advance(w, MIN(until_ns, io_sim_now(w->sim) + 500 * NS_PER_MS), acknowledged, &goal);
    }
}

static void finish_group(struct world *w, uint32_t index) {
    const struct raft *members[SIM_NODES_MAX];
    const struct raft *leader = world_raft(w, world_leader(w, index), index);
    const struct raft_config *config = raft_config(leader);
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->member_count; i++)
        members[count++] = world_raft(w, raft_id_node(config->members[i].id), index);
    raft_checker_finish(w->checker, leader->group, members, count);
}

static bool clients_finished(struct world *w, void *ctx) {
    (void)ctx;
    return w->program->finished(w->clients);
}

/* What operators have asked for comes to its end, too. */
static bool commands_settled(struct world *w, void *ctx) {
    const char **why = ctx;
    for (uint32_t node = 1; node <= w->node_count; node++) {
        *why = world_is_up(w, node) ? w->program->unsettled(w->nodes[node].program) : NULL;
        if (*why != NULL) return false;
    }
    return true;
}

/* B23: nobody asks for anything any more, and all copies are the same. */
static void come_to_rest(struct world *w) {
    uint64_t until_ns = io_sim_now(w->sim) + REST_NS;
    const struct raft *group;
    while ((group = restless(w)) != NULL && !world_failed(w)) {
        if (io_sim_now(w->sim) >= until_ns) {
            world_fail(w,
                       "B23 convergence: group %" PRIu64 " of node %u, %s of term %" PRIu64 ", log %" PRIu64
                       ", commit %" PRIu64 ": it is not led, or not the same on all its members",
                       group->group, raft_id_node(group->options->id), raft_role_name(group->role),
                       group->term, group->log.end, group->commit_end);
            return;
        }
        world_advance(w, io_sim_now(w->sim) + REST_STEP_NS, NULL, NULL);
        world_restart_unhealthy(w);
        if (io_sim_now(w->sim) + REST_NS / 2 > until_ns) world_replace_spoiled(w);
    }
}

/* Clients have what they sent acknowledged, and read everything back. */
static void converge_clients(struct world *w, uint64_t until_ns, uint64_t begun_ns) {
    uint64_t half_ns = io_sim_now(w->sim) + (until_ns - io_sim_now(w->sim)) / 2;
    struct action no_drain = {.kind = ACTION_MEMBERS, .set_count = 2};
    w->program->finish(w->clients);
    /* Again and again, as an operator would: there may be no controller yet, or one that loses its place. */
    bool finished = false;
    while (!finished && !world_failed(w) && io_sim_now(w->sim) < half_ns) {
        world_act(w, &no_drain);
        finished = world_advance(w, MIN(half_ns, io_sim_now(w->sim) + NS_PER_S), clients_finished, NULL);
    }
    if (!finished && !world_failed(w)) {
        world_restart_unhealthy(w);
        world_replace_spoiled(w);
        finished = world_advance(w, until_ns, clients_finished, NULL);
    }
    if (!finished && !world_failed(w)) {
        struct writer text;
        writer_init(&text);
        w->program->report(w->clients, &text);
        writer_u8(&text, 0);
        world_fail(w, "L3 liveness: clients do not come to an end: %.300s", (const char *)text.data);
        writer_release(&text);
    }
    const char *why = NULL;
    if (w->program->unsettled != NULL && !world_failed(w) &&
        !world_advance(w, MAX(until_ns, io_sim_now(w->sim) + MOVES_NS), commands_settled, &why) &&
        !world_failed(w))
        world_fail(w, "%s", why);
    if (!world_failed(w)) come_to_rest(w);
    w->result->equal_ns = io_sim_now(w->sim) - begun_ns;
}

/* What a disk did before it was mended is only noticed when it has done it, and that may take a slow one
 * long; an operator starts such a node again. */
static void settle(struct world *w) {
    uint64_t busy_until_ns = io_sim_now(w->sim);
    for (uint32_t node = 1; node <= w->node_count; node++)
        busy_until_ns = MAX(busy_until_ns, io_sim_busy_until(w->sim, node));
    world_advance(w, busy_until_ns, NULL, NULL);
    for (uint32_t i = 0; i < SETTLE_STEPS && !world_failed(w); i++) {
        world_advance(w, io_sim_now(w->sim) + SETTLE_STEP_NS, NULL, NULL);
        world_restart_unhealthy(w);
    }
}

void world_converge(struct world *w, const struct action *action) {
    uint64_t begun_ns = io_sim_now(w->sim);
    world_mend_all(w);
    settle(w);
    uint64_t settled_ns = io_sim_now(w->sim), until_ns = settled_ns + action->a;
    if (w->program->finish != NULL) {
        converge_clients(w, until_ns, begun_ns);
        return;
    }
    if (!world_advance(w, until_ns, all_led, NULL)) {
        if (!world_failed(w)) not_so(w, "L1 liveness: ", action);
        return;
    }
    w->result->leader_ns = io_sim_now(w->sim) - settled_ns;
    uint64_t acknowledged_before = w->acknowledged;
    uint64_t half_ns = io_sim_now(w->sim) + (until_ns - io_sim_now(w->sim)) / 2;
    struct goal goal = {0};
    stir(w, half_ns);
    if (!world_failed(w) && !world_advance(w, half_ns, all_equal, &goal)) {
        /* A damaged disk may keep a leader from reading what another lacks: an operator replaces it. */
        world_replace_spoiled(w);
        stir(w, until_ns);
    }
    if (world_failed(w)) return;
    if (w->acknowledged == acknowledged_before) {
        world_fail(w, "L3 liveness: no append is acknowledged any more");
        return;
    }
    if (!world_advance(w, until_ns, all_equal, &goal)) {
        if (!world_failed(w)) not_so(w, "L5 convergence: ", action);
        return;
    }
    w->result->equal_ns = io_sim_now(w->sim) - begun_ns;
    for (uint32_t i = 0; i < group_count(w); i++)
        finish_group(w, i);
}
