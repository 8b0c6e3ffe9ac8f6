// SPDX-License-Identifier: Apache-2.0
/* world_internal.h: what the files of the world share.
 *
 * world.c   nodes, time, what programs tell     faults.c   actions that break or mend something
 * expect.c  what must come true, and converge
 *
 * Owner: world.c. Loop: one thread. */
#ifndef SENTINEL_SIM_WORLD_INTERNAL_H
#define SENTINEL_SIM_WORLD_INTERNAL_H

#include "sim/world.h"

#define DROP_RULES_MAX 64
#define DELAYS         64U /* stretches of time whose longest delay is remembered */

struct world_node {
    void *program; /* NULL: down */
    struct io *io;
    uint32_t incarnation, starts;
    uint8_t priority;
    bool spoiled;     /* its disk has been damaged: it may refuse to serve */
    bool disk_faults; /* its disk fails or is full just now */
    bool left;        /* it has handed over what it led, and stops */
    struct sim_knobs knobs;
    struct prng prng;
    struct {
        uint64_t stretch, longest_ns;
    } delays[DELAYS]; /* of leaders' messages, by when they were taken: world_delay */
};
struct drop_rule {
    uint64_t kind; /* 0: any */
    uint32_t from, to, left;
};
struct world {
    const struct world_options *options;
    const struct scenario *scenario;
    const struct program_calls *program;
    void *clients; /* of program->open */
    struct world_result *result;
    struct io_sim *sim;
    struct raft_checker *checker;
    struct recording *record;
    uint64_t asked_events; /* when options->give_up was */
    uint32_t node_count;
    struct world_node nodes[SIM_NODES_MAX + 1]; /* from 1 */
    uint32_t names[SIM_NODES_MAX];              /* what scenario.names stand for; 0: nothing yet */
    struct drop_rule drops[DROP_RULES_MAX];
    uint32_t drop_count;
    struct prng workload;
    uint64_t payload_counter;
    uint32_t voters, learners; /* nodes wanted as members, by bits */
    uint64_t steps;            /* of any member: something may have changed */
    uint64_t steps_event, steps_in_event;
    uint64_t elections;
    bool leaving; /* some node has left */
    bool mended;  /* the end: what stops now is started again */
    uint64_t acknowledged, refused;
};

bool world_failed(const struct world *world);
__attribute__((format(printf, 2, 3))) void world_fail(struct world *world, const char *format, ...);
/* Runs events until `until_ns`, or `holds` says so (asked when anything has changed). True: it held. */
bool world_advance(struct world *world, uint64_t until_ns, bool (*holds)(struct world *world, void *ctx),
                   void *ctx);
void world_crash_node(struct world *world, uint32_t node, enum io_sim_crash how);
void world_start_node(struct world *world, uint32_t node);
static inline bool world_is_up(const struct world *world, uint32_t node) {
    return world->nodes[node].program != NULL;
}
/* The member of this group (the index-th) on a node; NULL: none, or down. */
const struct raft *world_raft(const struct world *world, uint32_t node, uint32_t index);
/* Node of the leader of the highest term; 0: none. */
uint32_t world_leader(const struct world *world, uint32_t index);
/* Node of an action's target, or 0. */
uint32_t world_resolve(const struct world *world, uint32_t node);
/* From now on `name` of the scenario stands for this node. */
void world_name(struct world *world, const char *name, uint32_t node);
/* Carries out `action` on this program, by its own way; false: it makes no sense now. */
bool world_operate(struct world *world, const struct action *action);

/* faults.c: false: skipped, its target is not there. */
bool world_act(struct world *world, struct action *action);
void world_mend_all(struct world *world);
/* Nodes that stop in order and have come to it. */
void world_stop_leaving(struct world *w);
/* Nodes whose disks were damaged get other disks, and come back as other members. */
void world_replace_spoiled(struct world *world);
/* Starts again what has stopped serving. */
void world_restart_unhealthy(struct world *world);

/* expect.c */
void world_expect(struct world *world, const struct action *action);
void world_converge(struct world *world, const struct action *action);

#endif
