// SPDX-License-Identifier: Apache-2.0
/* action.h: one thing that is done to a simulated cluster, or expected of it: a line of a scenario.
 *
 *   at 2.5s cut 1->2          time (optional), verb, arguments: docs/simulator.md has the whole language
 *
 * The faults and operations drawn from a seed, the log of what a run did, what shrinking removes one by one,
 * and the files in tests/scenarios are all lists of actions: one form, so that any of them can be replayed.
 * Parsing and printing are each other's inverse.
 *
 * Units   times in ns of the world's true time; nodes are numbered from 1.
 * Errors  action_parse explains what it did not understand. Loop: any. */
#ifndef SENTINEL_SIM_ACTION_H
#define SENTINEL_SIM_ACTION_H

#include "base/cursor.h"
#include "base/status.h"

#define SIM_NODES_MAX        16 /* of a world */
#define ACTION_UNTIMED       UINT64_MAX
#define ACTION_NODE_ANY      0U    /* '*' */
#define ACTION_NODE_LEADER   1000U /* 'leader': whoever leads then */
#define ACTION_NODE_FOLLOWER 1001U /* 'follower': the first that runs, does not lead and has no name */
#define ACTION_NODE_NAMES    1002U /* and above: given by 'expect leader ... as NAME' or 'name NAME = ...' */
#define ACTION_NAME_MAX      15
#define ACTION_FOREVER       UINT64_MAX

enum action_kind {
    /* the network */
    ACTION_PARTITION, /* a set of nodes a group; those in different groups do not reach each other */
    ACTION_CUT,       /* nothing from node arrives at to */
    ACTION_MEND,      /* it does again */
    ACTION_HEAL,      /* every link is whole and of usual speed */
    ACTION_DROP,      /* the next `count` messages of kind `a` (0: any) from node to to are lost */
    ACTION_RESET,     /* the connections between the two break, in the middle of what they carry */
    ACTION_LATENCY,   /* one way between any two nodes: a..b ns */
    ACTION_LINK,      /* from node to to: `count` times slower */
    ACTION_NETWORK,   /* per million deliveries: a slow, b reset, c cut in pieces */
    /* nodes */
    ACTION_CRASH,    /* a: enum io_sim_crash */
    ACTION_CRASH_AT, /* a: enum action_disk_op; b: enum io_sim_stop; count-th such operation from now */
    ACTION_START,    /* `a`: with other knobs from now on, drawn from this number; 0: with those it had */
    ACTION_PAUSE,    /* for a ns */
    ACTION_CLOCK,    /* a: drift in ppm, b: offset of the wall clock in ms (both signed) */
    ACTION_WIPE,     /* its disk is lost: it goes down, and comes back as another member */
    /* disks */
    ACTION_DISK_FAIL, /* the count-th operation of kind a (enum action_disk_op) from now fails */
    ACTION_DISK_SLOW, /* count times slower */
    ACTION_DISK_FULL, /* no more than a bytes; 0: as much as wanted */
    ACTION_ROT,       /* a: chooses file, place and bit */
    /* operations of clients and operators */
    ACTION_APPEND,   /* a bytes, count records, at node */
    ACTION_READ,     /* ask node for a read position and hold it against what was acknowledged */
    ACTION_TRANSFER, /* leadership to node (any: the best placed) */
    ACTION_MEMBERS,  /* sets[0]: voters, sets[1]: learners */
    ACTION_COMPACT,  /* node takes a snapshot and drops its log below */
    ACTION_PRIORITY, /* node: a (0..4) of how early it campaigns */
    ACTION_STOP,     /* node stops in order: it hands over what it leads first */
    /* the scenario's own */
    ACTION_WAIT,     /* for a ns */
    ACTION_NAME,     /* gives node a name */
    ACTION_EXPECT,   /* a: enum expectation; must hold within b ns */
    ACTION_CONVERGE, /* everything is mended and started; must then become live and equal within a ns */
    ACTION_KIND_END
};
enum action_disk_op { ACTION_DISK_ANY, ACTION_DISK_WRITE, ACTION_DISK_SYNC, ACTION_DISK_READ };

enum expectation {
    EXPECT_LEADER,    /* node leads (any: somebody does) and nobody else of its term or a later one */
    EXPECT_NO_LEADER, /* nobody leads for b ns */
    EXPECT_ROLE,      /* node: count is enum raft_role */
    EXPECT_TERM,      /* node's term is at least count */
    EXPECT_COMMITTED, /* at least count appends were acknowledged */
    EXPECT_STABLE,    /* no election for b ns */
    EXPECT_EQUAL,     /* logs of node and to are equal */
    EXPECT_MEMBERS,   /* sets[0] and sets[1] are the configuration in force, not joint, at the leader */
    EXPECT_DOWN,      /* node has stopped by itself, or refuses to serve */
    EXPECT_SNAPSHOT,  /* node has installed at least count snapshots */
    EXPECT_REFUSED,   /* at least count appends were definitely refused */
    EXPECT_REPAIRED,  /* node has written at least count damaged entries anew, as others have them */
};

struct action {
    uint64_t at_ns; /* ACTION_UNTIMED: when the one before is done */
    enum action_kind kind;
    uint32_t node, to, count;
    uint64_t a, b, c;
    uint32_t sets[4]; /* bit n: node n; groups of a partition, or members */
    uint32_t set_count;
    char name[ACTION_NAME_MAX + 1];
};

/* What names stand for while lines are read; a name is known once an action has given it. */
struct action_names {
    uint32_t count;
    char names[SIM_NODES_MAX][ACTION_NAME_MAX + 1];
};

/* One line without its comment; *line and what follows it are not changed. */
enum status action_parse(const char *line, struct action_names *names, struct action *action,
                         struct diagnostic *why) MUST_USE;
/* The line, without a newline. */
void action_print(struct writer *to, const struct action *action, const struct action_names *names);
const char *action_kind_name(enum action_kind kind); /* its verb */
/* A fault or an operation, which shrinking may remove; the others are the frame. */
bool action_is_fault(enum action_kind kind);
bool action_is_operation(enum action_kind kind);

#endif
