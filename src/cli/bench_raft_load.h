// SPDX-License-Identifier: Apache-2.0
/* bench_raft_load.h: the workload of `sentinel bench raft`, the same for us and for every peer.
 *
 * One group of three members in one process and one thread. A proposal is an entry of its own, of
 * value_bytes, committed when the leader says so. Up to `window` proposals are under way; they are made in
 * batches, one call each. What is sent is copied once, as a network would; disks are done at the end of a
 * turn and keep nothing. So this is the price of the protocol itself: CPU time and rate.
 *
 * Owner   the engine keeps the group. Errors: an engine that cannot go on ends the process. Loop: one thread.
 */
#ifndef SENTINEL_CLI_BENCH_RAFT_LOAD_H
#define SENTINEL_CLI_BENCH_RAFT_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct raft_load_options {
    uint64_t commits; /* of each case */
    uint64_t value_bytes;
    uint64_t window;
    bool json, peers;
};

struct raft_load_engine {
    void (*open)(void); /* three members, one of them leads */
    void (*propose)(uint64_t count, size_t size);
    void (*turn)(void);          /* every message on its way arrives, every write begun ends */
    uint64_t (*committed)(void); /* proposals, since open */
    void (*close)(void);
};

/* 0: go on; else the exit status. Prints the help for --help. */
int raft_load_parse(int argc, char **argv, struct raft_load_options *options);
void raft_load_run(const struct raft_load_options *options, const struct raft_load_engine *engine,
                   void (*emit)(const char *name, double value, const char *unit));
/* Prints "case TAB value TAB unit": the emit of peer programs. */
void raft_load_print(const char *name, double value, const char *unit);

#endif
