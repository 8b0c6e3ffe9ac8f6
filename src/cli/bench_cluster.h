// SPDX-License-Identifier: Apache-2.0
/* bench_cluster.h: the cases of `sentinel bench broker --nodes N`: this program as N brokers on this machine,
 * each a process of its own, every partition replicated on all, every record acknowledged when a majority has
 * fsynced.
 *
 *   publish   many requests under way, connections to the leaders; CPU of all nodes
 *   latency   one record at a time
 *   rate      records at a stated rate; the time runs from when a record was due
 *   small     256 bytes a record over gRPC: many clients that wait for each, and one that streams
 *   failover  the leader is killed (SIGKILL): until the next record is acknowledged, as a client sees it that
 *             asks the others who leads, every 5 ms
 *   catchup   a node is stopped, the others take records, it comes back: until it has them. Beside it how fast
 *             these very files are read from the disk in a row, how fast it takes what a log writes, and what of
 *             the time its log was being written
 *   move      a topic's partitions get a replica on a node that has none of them, read from the disk, while
 *             clients publish to another topic at a stated rate: their latency before and meanwhile
 *   idle      memory and CPU with 1, 1,000 and 10,000 partitions
 *
 * Owner: texts are the caller's. Errors: bench_fail. Loop: one thread, blocking. */
#ifndef SENTINEL_CLI_BENCH_CLUSTER_H
#define SENTINEL_CLI_BENCH_CLUSTER_H

#include "cli/bench.h"

#define BENCH_NODES_MAX 7

struct bench_cluster_options {
    const char *program, *dir, *io_name;
    const char *cases; /* NULL: all */
    uint32_t nodes;
    uint64_t mib;
};
void bench_cluster_run(const struct bench_cluster_options *options, struct bench_report *report);

#endif
