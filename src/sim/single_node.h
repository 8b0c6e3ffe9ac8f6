// SPDX-License-Identifier: Apache-2.0
/* single_node.h: one real broker on a simulated disk, with clients, crashed and started again.
 *
 *   clients append (idempotent and not), fetch, delete records, make and delete topics
 *      ─> crash: at the n-th disk operation, or at random moments, in any of the ways a machine stops
 *      ─> restart ─> every partition is read from its start and held against the history ─> clients go on
 *
 * Memtables and log segments are small, so flushes, compactions and recycled segments happen many times a
 * run. A client that got no answer because of a crash does what a real one does: with an idempotent producer
 * it sends the same batch again and must be given the first copy's offset; without one it lets the batch be.
 *
 * Errors  the result says which invariant broke; the same options give the same result and trace hash in any
 * build. Loop    one thread. */
#ifndef SENTINEL_SIM_SINGLE_NODE_H
#define SENTINEL_SIM_SINGLE_NODE_H

#include <stdbool.h>
#include <stdint.h>

struct single_node_options {
    uint64_t seed;
    uint32_t appends;        /* acknowledged appends after which the run ends */
    uint64_t crash_at;       /* disk operation at which the first crash happens; 0: none there */
    bool crash_after;        /* the operation takes effect but is not heard of; else it has none */
    uint32_t random_crashes; /* further crashes at random moments */
    void (*trace)(void *ctx, const char *line);
    void *ctx;
};
struct single_node_result {
    bool ok;
    char failure[600]; /* the invariant and what broke it */
    uint64_t trace_hash, events, disk_operations, simulated_ns;
    uint64_t acknowledged, records_read;
    uint32_t crashes;
};
void single_node_run(const struct single_node_options *options, struct single_node_result *result);

#endif
