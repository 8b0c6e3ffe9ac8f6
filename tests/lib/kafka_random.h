// SPDX-License-Identifier: Apache-2.0
/* kafka_random.h: Kafka messages of random content, drawn from the same tables that the codec reads. */
#ifndef SENTINEL_TESTS_LIB_KAFKA_RANDOM_H
#define SENTINEL_TESTS_LIB_KAFKA_RANDOM_H

#include "base/arena.h"
#include "base/prng.h"
#include "wire/kafka_codec.h"

/* A message with every field of `version` filled and all others at their default. */
void *kafka_random_message(struct prng *prng, const struct kafka_schema *schema, int16_t version,
                           struct arena *arena);
/* In memory: of one value, or of one element of a list. */
size_t kafka_value_size(const struct kafka_field *field);
/* The first field that differs, or NULL. */
const char *kafka_message_difference(const struct kafka_schema *schema, const void *a, const void *b);

#endif
