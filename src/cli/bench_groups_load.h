// SPDX-License-Identifier: Apache-2.0
/* bench_groups_load.h: the loads of `sentinel bench groups`: members, committers, transactional producers,
 * and a reader through a group at a steady rate.
 *
 * Units: in the names. Errors: bench_fail. Loop: one thread, blocking. */
#ifndef SENTINEL_CLI_BENCH_GROUPS_LOAD_H
#define SENTINEL_CLI_BENCH_GROUPS_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/histogram.h"

/* Classic members, a connection each. Seconds until all have an assignment: from the first request until all
 * are known, and from the first answer with a generation (the initial delay lies between) until the last has
 * its share. */
double groups_load_classic(const char *address, uint32_t members);
/* Members of the new protocol, that are heard of again as soon as they are answered. Seconds until each has
 * exactly one of as many partitions. */
double groups_load_consumer(const char *address, const char *topic, uint32_t members);
/* Offset commits of simple consumers, each a group and a connection; how many a second. */
double groups_load_commits(const char *address, const char *topic, uint32_t clients, uint32_t window,
                           double seconds);
/* Batches of 64 records of 1 KiB, 16 under way, then the next 16; with `transactional` each 16 are a
 * transaction. Records a second. */
double groups_load_produce(const char *address, const char *topic, bool transactional, double seconds);
/* One record, one transaction, one after the other. */
void groups_load_small_transactions(const char *address, const char *topic, double seconds,
                                    struct histogram *latency_ns);
/* Ten records a millisecond, one batch; from the producer's send to the member's hands. */
void groups_load_latency(const char *address, const char *topic, double seconds,
                         struct histogram *latency_ns);

#endif
