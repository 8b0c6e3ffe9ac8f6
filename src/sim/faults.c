// SPDX-License-Identifier: Apache-2.0
/* Actions that break or mend something. Lenient: one whose target is not there is skipped, so that a log of
 * actions stays usable when some of them are taken away. */
#include "base/units.h"
#include "sim/world_internal.h"

/* ---- the network -------------------------------------------------------------------------------------- */

static void set_cut(struct world *w, uint32_t from, uint32_t to, bool cut) {
    if (from == to) return;
    io_sim_cut(w->sim, from, to, cut);
    if (w->record == NULL) return;
    struct record_event *event = record_add(w->record, io_sim_now(w->sim), RECORD_CUT, from);
    event->to = to;
    event->a = cut;
}

static bool partition(struct world *w, const struct action *action) {
    uint32_t group[SIM_NODES_MAX + 1];
    for (uint32_t node = 1; node <= w->node_count; node++) {
        group[node] = action->set_count; /* those that no group names stay together */
        for (uint32_t i = 0; i < action->set_count; i++)
            if ((action->sets[i] >> node & 1) != 0) group[node] = i;
    }
    for (uint32_t from = 1; from <= w->node_count; from++)
        for (uint32_t to = 1; to <= w->node_count; to++)
            set_cut(w, from, to, group[from] != group[to]);
    return true;
}

/* For each pair that from and to stand for; false: there is no such node. */
static bool each_link(struct world *w, struct action *action,
                      void (*call)(struct world *w, uint32_t from, uint32_t to, uint32_t argument),
                      uint32_t argument) {
    bool any = false;
    if (action->node != ACTION_NODE_ANY && (action->node = world_resolve(w, action->node)) == 0) return false;
    if (action->to != ACTION_NODE_ANY && (action->to = world_resolve(w, action->to)) == 0) return false;
    for (uint32_t from = 1; from <= w->node_count; from++) {
        if (action->node != ACTION_NODE_ANY && action->node != from) continue;
        for (uint32_t to = 1; to <= w->node_count; to++) {
            if ((action->to != ACTION_NODE_ANY && action->to != to) || from == to) continue;
            call(w, from, to, argument);
            any = true;
        }
    }
    return any;
}

static void link_cut(struct world *w, uint32_t from, uint32_t to, uint32_t argument) {
    set_cut(w, from, to, argument != 0);
}

static void link_slow(struct world *w, uint32_t from, uint32_t to, uint32_t argument) {
    io_sim_slow_link(w->sim, from, to, argument);
}

static void link_reset(struct world *w, uint32_t from, uint32_t to, uint32_t argument) {
    (void)argument;
    io_sim_reset_connections(w->sim, from, to);
}

static void heal(struct world *w) {
    for (uint32_t from = 1; from <= w->node_count; from++)
        for (uint32_t to = 1; to <= w->node_count; to++) {
            set_cut(w, from, to, false);
            if (from != to) io_sim_slow_link(w->sim, from, to, 1);
        }
    struct io_sim_net_options *net = io_sim_net_options(w->sim);
    net->latency_min_ns = 50 * NS_PER_US;
    net->latency_max_ns = 500 * NS_PER_US;
    net->slow_ppm = net->reset_ppm = 0;
    net->fragment_ppm = 200000;
    w->drop_count = 0;
}

static bool drop(struct world *w, struct action *action) {
    if (w->drop_count == DROP_RULES_MAX || action->count == 0) return false;
    if (action->node != ACTION_NODE_ANY && (action->node = world_resolve(w, action->node)) == 0) return false;
    if (action->to != ACTION_NODE_ANY && (action->to = world_resolve(w, action->to)) == 0) return false;
    w->drops[w->drop_count++] = (struct drop_rule){action->a, action->node, action->to, action->count};
    return true;
}

static bool act_on_network(struct world *w, struct action *action) {
    struct io_sim_net_options *net = io_sim_net_options(w->sim);
    switch (action->kind) {
    case ACTION_PARTITION:
        return partition(w, action);
    case ACTION_CUT:
    case ACTION_MEND:
        PROBE_IF(&w->result->probes, cut_one_way, action->kind == ACTION_CUT);
        return each_link(w, action, link_cut, action->kind == ACTION_CUT);
    case ACTION_HEAL:
        heal(w);
        return true;
    case ACTION_DROP:
        return drop(w, action);
    case ACTION_RESET:
        return each_link(w, action, link_reset, 0);
    case ACTION_LINK:
        return each_link(w, action, link_slow, action->count);
    case ACTION_LATENCY:
        net->latency_min_ns = MIN(action->a, action->b);
        net->latency_max_ns = MAX(action->a, action->b);
        return true;
    default:
        net->slow_ppm = (uint32_t)MIN(action->a, (uint64_t)1000000);
        net->reset_ppm = (uint32_t)MIN(action->b, (uint64_t)1000000);
        net->fragment_ppm = (uint32_t)MIN(action->c, (uint64_t)1000000);
        return true;
    }
}

/* ---- nodes and disks ---------------------------------------------------------------------------------- */

static bool wipe(struct world *w, uint32_t node) {
    if (world_is_up(w, node)) world_crash_node(w, node, IO_SIM_CRASH_POWER);
    io_sim_wipe_disk(w->sim, node);
    raft_checker_disk_lost(w->checker, node, w->nodes[node].incarnation);
    w->nodes[node].incarnation++;
    w->nodes[node].spoiled = false;
    return true;
}

static bool crash_at(struct world *w, const struct action *action) {
    static const enum io_sim_disk_op kinds[] = {[ACTION_DISK_ANY] = IO_SIM_DISK_ANY,
                                                [ACTION_DISK_WRITE] = IO_SIM_DISK_WRITE,
                                                [ACTION_DISK_SYNC] = IO_SIM_DISK_SYNC};
    if (action->a >= ARRAY_COUNT(kinds) || action->count == 0) return false;
    io_sim_crash_at_disk_op_of(w->sim, action->node, kinds[action->a], action->count,
                               (enum io_sim_stop)action->b);
    return true;
}

static bool disk_fails(struct world *w, const struct action *action) {
    struct io_sim_disk_faults *faults = io_sim_disk_faults(w->sim, action->node);
    w->nodes[action->node].disk_faults = true;
    if (action->a == ACTION_DISK_READ)
        faults->read_error_countdown = action->count;
    else if (action->a == ACTION_DISK_SYNC)
        faults->sync_error_countdown = action->count;
    else
        faults->write_error_countdown = action->count;
    return true;
}

static bool start(struct world *w, uint32_t node) {
    if (world_is_up(w, node)) {
        if (w->program->healthy(w->nodes[node].program)) return false;
        world_crash_node(w, node, IO_SIM_CRASH_PROCESS);
    }
    world_start_node(w, node);
    return true;
}

/* What it is from now on: a later version, or another configuration, as operators roll them out. */
static bool start_as(struct world *w, uint32_t node, uint64_t knobs) {
    if (knobs != 0 && !world_is_up(w, node)) {
        struct prng prng;
        prng_init(&prng, knobs);
        w->nodes[node].knobs = w->scenario->knobs;
        sim_knobs_draw(&w->nodes[node].knobs, &prng);
    }
    return start(w, node);
}

static bool pause(struct world *w, uint32_t node, uint64_t ns) {
    if (!world_is_up(w, node)) return false;
    PROBE_IF(&w->result->probes, paused_leader, world_leader(w, 0) == node);
    io_sim_pause_node(w->sim, node, io_sim_now(w->sim) + ns);
    if (w->record != NULL)
        record_add(w->record, io_sim_now(w->sim), RECORD_PAUSE, node)->end_ns = io_sim_now(w->sim) + ns;
    return true;
}

static bool act_on_disk(struct world *w, const struct action *action) {
    struct io_sim_disk_faults *faults = io_sim_disk_faults(w->sim, action->node);
    switch (action->kind) {
    case ACTION_DISK_FAIL:
        return disk_fails(w, action);
    case ACTION_DISK_SLOW:
        faults->slow_factor = action->count;
        return true;
    case ACTION_DISK_FULL:
        w->nodes[action->node].disk_faults = true;
        faults->capacity_bytes = action->a;
        PROBE_IF(&w->result->probes, disk_full, action->a != 0);
        return true;
    default:
        /* What the log ended with when the node went down may lie under the first tables of starts that came
         * to nothing, and damage there is no damage to be told: see docs/formats.md. */
        if (!world_is_up(w, action->node)) return false;
        w->nodes[action->node].spoiled = true;
        return io_sim_rot(w->sim, action->node, action->a);
    }
}

static bool act_on_node(struct world *w, const struct action *action) {
    uint32_t node = action->node;
    switch (action->kind) {
    case ACTION_CRASH:
        if (!world_is_up(w, node)) return false;
        world_crash_node(w, node, (enum io_sim_crash)action->a);
        return true;
    case ACTION_CRASH_AT:
        return crash_at(w, action);
    case ACTION_START:
        return start_as(w, node, action->a);
    case ACTION_PAUSE:
        return pause(w, node, action->a);
    case ACTION_CLOCK:
        io_sim_set_clock(w->sim, node, (int32_t)(int64_t)action->a, (int64_t)action->b);
        return true;
    case ACTION_WIPE:
        return wipe(w, node);
    default:
        return act_on_disk(w, action);
    }
}

/* What only leaders do is asked of all; `to` of a transfer says whom it goes to. */
static bool ask_leaders(struct world *w, struct action *action) {
    bool any = false;
    if (action->kind == ACTION_MEMBERS) {
        w->voters = action->sets[0];
        w->learners = action->sets[1];
    } else if (action->node != ACTION_NODE_ANY && (action->node = world_resolve(w, action->node)) == 0) {
        return false;
    }
    struct action asked = *action;
    asked.to = action->node;
    for (asked.node = 1; asked.node <= w->node_count; asked.node++)
        any = world_operate(w, &asked) || any;
    return any;
}

bool world_act(struct world *w, struct action *action) {
    if (action->kind <= ACTION_NETWORK) return act_on_network(w, action);
    if (action_is_operation(action->kind) && w->program->operate != NULL) {
        if (w->program->operate(w->clients, action)) return true;
        if (action->kind != ACTION_MEMBERS && action->kind != ACTION_STOP) return false;
    }
    if (action->kind == ACTION_MEMBERS || action->kind == ACTION_TRANSFER) return ask_leaders(w, action);
    action->node = world_resolve(w, action->node);
    if (action->node == 0) return false;
    if (action->kind == ACTION_PRIORITY)
        w->nodes[action->node].priority = (uint8_t)MIN(action->a, (uint64_t)4);
    return action_is_fault(action->kind) ? act_on_node(w, action) : world_operate(w, action);
}

void world_mend_all(struct world *w) {
    heal(w);
    w->mended = true;
    for (uint32_t node = 1; node <= w->node_count; node++) {
        struct io_sim_disk_faults *faults = io_sim_disk_faults(w->sim, node);
        *faults = (struct io_sim_disk_faults){.slow_factor = 1};
        io_sim_crash_at_disk_op(w->sim, node, 0, IO_SIM_STOP_BEFORE);
        io_sim_set_clock(w->sim, node, 0, 0);
        if (world_is_up(w, node)) io_sim_pause_node(w->sim, node, io_sim_now(w->sim));
        start(w, node);
        w->nodes[node].disk_faults = false;
        if (world_is_up(w, node) || !w->nodes[node].spoiled) continue;
        /* It refuses what its disk has become: an operator gives it another one. */
        wipe(w, node);
        start(w, node);
    }
}

void world_restart_unhealthy(struct world *w) {
    for (uint32_t node = 1; node <= w->node_count; node++)
        if (world_is_up(w, node)) start(w, node);
}

void world_stop_leaving(struct world *w) {
    for (uint32_t node = 1; node <= w->node_count; node++) {
        if (!w->nodes[node].left) continue;
        w->nodes[node].left = false;
        if (!world_is_up(w, node)) continue;
        world_crash_node(w, node, IO_SIM_CRASH_PROCESS);
        if (w->mended) world_start_node(w, node);
    }
    w->leaving = false;
}

void world_replace_spoiled(struct world *w) {
    for (uint32_t node = 1; node <= w->node_count; node++) {
        if (!w->nodes[node].spoiled) continue;
        wipe(w, node);
        start(w, node);
    }
}
