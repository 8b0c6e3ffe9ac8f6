// SPDX-License-Identifier: Apache-2.0
/* bench_call.h: single questions to brokers that may be dead, in the Kafka protocol: one connection, one
 * request under way, a limit on every answer.
 *
 * Owner   the caller closes what it opened. Units: milliseconds.
 * Errors  false: nobody is there, the connection ended, or no answer in time; then only bench_call_close.
 * What is no Kafka answer ends the process. Loop: one thread, blocking. */
#ifndef SENTINEL_CLI_BENCH_CALL_H
#define SENTINEL_CLI_BENCH_CALL_H

#include "io/io.h"
#include "wire/record_batch.h"

struct bench_call {
    struct io *io;
    struct io_socket *socket; /* NULL: closed */
};
bool bench_call_open(struct bench_call *call, const char *address);
void bench_call_close(struct bench_call *call);

/* Where the leaders of a topic's partitions are, as `address` says. False: it does not answer, does not know
 * the topic, or some partition (of `count`) has no leader. */
#define BENCH_ADDRESS_SIZE 64
bool bench_call_leaders(const char *address, const char *topic, int32_t count,
                        char (*leaders)[BENCH_ADDRESS_SIZE]);
/* Takes the topic for made when it is there already. */
bool bench_call_create_topic(const char *address, const char *topic, int32_t partitions, int16_t replicas);
/* One batch with acks=all to one partition: it is acknowledged. */
bool bench_call_produce(struct bench_call *call, const char *topic, int32_t partition, struct slice batch,
                        uint64_t limit_ms);

#endif
