// SPDX-License-Identifier: Apache-2.0
/* metrics.h: the server's own counters, and everything countable as Prometheus text (exposition format
 * 0.0.4).
 *
 * Counters of other layers stay theirs and are read at scrape time. Every name is explained in
 * docs/operations.md. Loop    shard thread only. */
#ifndef SENTINEL_SERVER_METRICS_H
#define SENTINEL_SERVER_METRICS_H

#include "base/cursor.h"
#include "wire/kafka_schema.h"

struct metrics {
    uint64_t connections_accepted, connections_refused, protocol_errors;
    uint64_t received_bytes, sent_bytes;
    uint64_t http_requests;
    uint64_t group_members_overfull;          /* over gRPC: they were assigned more than they read */
    uint64_t kafka_requests[KAFKA_API_COUNT]; /* by kafka_api_index */
};

struct server;
void metrics_print(struct server *server, struct writer *out);

#endif
