// SPDX-License-Identifier: Apache-2.0
/* bench_kafka.h: a connection of Kafka's protocol for benchmarks whose clients take turns: a request goes out
 * with who wants its answer; answers come in the order of the requests.
 *
 * Owner   bench_kafka_close frees it; nothing may be under way then.  Errors: bench_fail.
 * Loop    the io of the caller, one thread.  Bounds: BENCH_KAFKA_WINDOW requests under way. */
#ifndef SENTINEL_CLI_BENCH_KAFKA_H
#define SENTINEL_CLI_BENCH_KAFKA_H

#include <stdint.h>

#include "cli/bench_broker_io.h"
#include "wire/kafka_codec.h"

#define BENCH_KAFKA_WINDOW 64

struct bench_kafka;
typedef void bench_kafka_answer(void *ctx, const void *response); /* which lives for the call */

struct bench_kafka *bench_kafka_open(struct io *io, const char *address);
void bench_kafka_close(struct bench_kafka *kafka);
void bench_kafka_ask(struct bench_kafka *kafka, int16_t key, int16_t version, const void *request,
                     bench_kafka_answer *answer, void *ctx);
/* Waits for the answer, which lives until the next call of it. */
const void *bench_kafka_call(struct bench_kafka *kafka, int16_t key, int16_t version, const void *request);
uint32_t bench_kafka_under_way(const struct bench_kafka *kafka);

#endif
