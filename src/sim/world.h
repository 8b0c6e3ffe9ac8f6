// SPDX-License-Identifier: Apache-2.0
/* world.h: a cluster on simulated machines, a scenario that happens to it, and checkers that watch.
 *
 *   scenario ─> actions, one after the other ─> faults (faults.c), operations (program), expectations
 * (expect.c) io_sim's events in between ─> programs ─> watch ─> checker, recorder, probes
 *
 * At the end of most runs stands `converge`: everything is mended and started, and the cluster must become
 * live and equal. By the names of the invariants:
 *
 *   L1 a leader in every group               L3 an append is acknowledged
 *   L5 logs, applied positions and state are equal on all members            L4, B6 all acknowledged is there
 *   E  an expectation of the scenario does not hold
 *
 * Node k is node k of the simulated machine; its peers reach it as "nodeK". One seed decides everything,
 * split by purpose. A run carried out by its own log (result.log) takes the same course, and has the
 * same trace hash.
 *
 * Owner   world_run makes and frees everything but the result, which world_result_release frees.
 * Loop    one thread; worlds do not know each other.  Bounds: SIM_NODES_MAX nodes, SIM_EVENTS_MAX events. */
#ifndef SENTINEL_SIM_WORLD_H
#define SENTINEL_SIM_WORLD_H

#include "io/io_sim.h"
#include "sim/probe.h"
#include "sim/program.h"
#include "sim/raft_checker.h"
#include "sim/record.h"
#include "sim/scenario.h"

#define SIM_EVENTS_MAX 20000000U
#define SIM_DELAYS_NS  (16 * NS_PER_S)

struct world_options {
    const struct scenario *scenario;
    void (*trace)(void *ctx, const char *line); /* every event, or NULL */
    /* Asked now and then: the run is not worth what it costs, and fails by no invariant; or NULL. */
    bool (*give_up)(void *ctx);
    void *ctx;
    struct recording *record; /* what a report shows, or NULL */
};
struct world_result {
    bool ok;
    char failure[400]; /* the invariant and what broke it */
    uint64_t failed_at_ns;
    uint64_t trace_hash, events, simulated_ns;
    uint64_t acknowledged, refused, steps;
    uint64_t actions[ACTION_KIND_END]; /* taken, by kind */
    uint64_t leader_ns;                /* converge: until every group had a leader; and until all was equal */
    uint64_t equal_ns;
    struct probes probes;
    struct scenario log; /* what was done, with times and nodes */
};
bool world_has_workload(const char *name);
void world_run(const struct world_options *options, struct world_result *result);
void world_result_release(struct world_result *result);

/* ---- for programs ------------------------------------------------------------------------------------- */

const struct sim_knobs *world_knobs(const struct world *world);
/* Those of one node: others than the world's when it was started as something else. */
const struct sim_knobs *world_node_knobs(const struct world *world, uint32_t node);
uint32_t world_node_count(const struct world *world);
/* Grows with every disk the node lost. */
uint32_t world_incarnation(const struct world *world, uint32_t node);
/* How often the node was started. */
uint32_t world_starts(const struct world *world, uint32_t node);
uint8_t world_priority(const struct world *world, uint32_t node);
/* A number of the node's own stream of chance, new at each start. */
uint64_t world_node_seed(struct world *world, uint32_t node);
struct io_sim *world_sim(struct world *world);
/* The node has come to its end in order, and goes down. */
void world_left(struct world *world, uint32_t node);
/* A client was told something that a client of this cluster must not be told. */
void world_violation(struct world *world, const char *text);
void world_client_event(struct world *world, uint32_t node, const char *text, bool acknowledged);
struct raft_checker *world_checker(struct world *world);
/* The longest that a leader's message was on its way of those that the node took since then, at most
 * SIM_DELAYS_NS ago. */
uint64_t world_delay(const struct world *world, uint32_t node, uint64_t since_ns);
struct probes *world_probes(struct world *world);
/* A payload that no other operation has. */
struct shared_slice world_payload(struct world *world, size_t size);

/* What the host's watch calls: checks, records, and (leaving) may lose the message. */
void world_started(struct world *world, const struct raft *raft, const struct raft_start *start);
void world_before(struct world *world, const struct raft *raft, const struct raft_event *event);
void world_after(struct world *world, const struct raft *raft, const struct raft_event *event,
                 const struct raft_effects *effects);
bool world_leaving(struct world *world, const struct raft *raft, const struct raft_message *message);
void world_stopped(struct world *world, const struct raft *raft);

/* An append ended: OK: committed at `base`; else `definite` says whether it can be there all the same. */
void world_appended(struct world *world, const struct raft *raft, uint64_t base, uint64_t content,
                    enum status status, bool definite);

#endif
