// SPDX-License-Identifier: Apache-2.0
/* bench_broker_load.h: load on a running broker, as clients in other processes make it: bytes of the Kafka
 * protocol and of gRPC over real sockets, many requests under way, one thread.
 *
 * The clients are made cheap, because they share the machine with what they measure: a produce request is
 * encoded once and sent again and again, answers are decoded and checked for errors, fetched batches are
 * walked by their headers. Whatever goes wrong ends the process with a message: a figure of a failed run is
 * none.
 *
 * Units: in the names. Loop: one thread, blocking. */
#ifndef SENTINEL_CLI_BENCH_BROKER_LOAD_H
#define SENTINEL_CLI_BENCH_BROKER_LOAD_H

#include <stdint.h>

#include "base/histogram.h"

#define BROKER_LOAD_ADDRESS_SIZE 64

struct broker_load {
    const char *address; /* "HOST:PORT" */
    const char *topic;   /* connection i uses partition i */
    /* In a cluster: connection i goes to leaders[i]; NULL: all go to `address`. */
    const char (*leaders)[BROKER_LOAD_ADDRESS_SIZE];
    /* Produce: so many records a second, evenly; the time of a request runs from when it was due, be it sent
     * or not. 0: as fast as the window allows. */
    double rate;
    uint32_t connections;
    uint32_t window;      /* requests under way on each */
    uint64_t records;     /* in all; produce */
    uint32_t value_bytes; /* random: nothing can be compressed away */
    uint32_t batch_records;
    /* results */
    uint64_t records_done, value_bytes_done;
    struct histogram latency_ns; /* of each request */
};

void broker_load_create_topic(const char *address, const char *topic, int32_t partitions);
/* Kafka Produce, acks=all, one batch a request. */
void broker_load_produce(struct broker_load *load);
/* Kafka Fetch of every partition from its start to its end, one request under way on each connection. */
void broker_load_fetch(struct broker_load *load);
/* gRPC: unary Produce calls of batch_records records. */
void broker_load_unary(struct broker_load *load);
/* gRPC: one ProduceStream through the C client, and one ConsumeStream from the start of all partitions. */
void broker_load_stream(struct broker_load *load);
void broker_load_consume(struct broker_load *load);
/* One figure of /metrics, without the "sentinel_" in front. */
double broker_load_metric(const char *address, const char *name);

#endif
