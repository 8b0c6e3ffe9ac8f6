// SPDX-License-Identifier: Apache-2.0
/* replicated_log.h: the smallest state machine there is: a history, and its checksum.
 *
 * Applying an entry chains its position, term and payload into a hash; the hash and the position are its only
 * state. Two replicas that applied the same history up to one position have the same hash there. For the
 * simulator and tests: the same interface (raft_host.h) that partitions and metadata use.
 *
 * Owner   the caller's memory. Keys: STATE "h" of its group. Loop: shard thread only. */
#ifndef SENTINEL_BROKER_REPLICATED_LOG_H
#define SENTINEL_BROKER_REPLICATED_LOG_H

#include "broker/raft_host.h"

struct replicated_log {
    struct store *store;
    uint64_t group;
    uint64_t position, hash; /* applied so far */
    uint64_t entries;        /* data entries among them */
    enum status failed;      /* OK, or why the replica is gone */
    /* A test looks at each entry when it is applied; may be NULL. */
    void (*watch)(void *ctx, const struct replicated_log *log, const struct raft_entry *entry);
    void *watch_ctx;
};
extern const struct raft_machine replicated_log_machine; /* ctx: struct replicated_log */

/* Loads what was applied before; blocks. Before raft_replica_open. */
enum status replicated_log_init(struct replicated_log *log, struct store *store, uint64_t group) MUST_USE;

#endif
