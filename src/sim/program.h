// SPDX-License-Identifier: Apache-2.0
/* program.h: what runs on the nodes of a world: the same code as on real machines, started on a simulated io.
 *
 * The world decides when a node starts, stops and crashes, and what clients and operators ask for; a program
 * carries it out and lets the checkers look inside. raft_program.c: a small replicated log, Raft's host over
 * the real store and real connections between peers.
 *
 * Owner   a program is made by `start` and ended by `stop`, also when its node has crashed (its io is dead
 *         then, and nothing completes any more); the world frees the io afterwards.
 * Loop    `start`, `stop` and `act` are called between two events. */
#ifndef SENTINEL_SIM_PROGRAM_H
#define SENTINEL_SIM_PROGRAM_H

#include "io/io.h"
#include "raft/raft.h"
#include "sim/action.h"

#define SIM_GROUPS_MAX 256U

struct world;

struct program_calls {
    const char *name;
    /* Not OK, with the reason: it does not start; `*program` is stopped all the same. */
    enum status (*start)(struct world *world, uint32_t node, struct io *io, void **program,
                         struct diagnostic *why);
    /* `crashed`: at once, nothing completes any more. Else it closes in order; `stopped` tells when it has.
     */
    void (*stop)(void *program, bool crashed);
    /* False: it has fenced itself off, or cannot serve for another reason of its own. */
    bool (*healthy)(const void *program);
    /* An operation of a client or an operator at this node; false: it makes no sense now. */
    bool (*act)(void *program, const struct action *action);
    /* What is still to be done on this node of what operators asked for; NULL: nothing. The call itself is
     * NULL where there is nothing to wait for. */
    const char *(*unsettled)(void *program);
    /* Members of consensus groups on this node: the i-th, below SIM_GROUPS_MAX; NULL: none there. */
    const struct raft *(*raft)(const void *program, uint32_t index);
    /* Where clients are a part of the world and not of the nodes; else NULL. `finish` asks them to come to an
     * end, after which `finished` says so; `report` what they still wait for. */
    void *(*open)(struct world *world);
    void (*close)(void *clients);
    bool (*operate)(void *clients, const struct action *action);
    void (*finish)(void *clients);
    bool (*finished)(void *clients);
    void (*report)(void *clients, struct writer *to);
};

extern const struct program_calls raft_program, kafka_program, groups_program, transactions_program,
    churn_program, grpc_program;

#endif
