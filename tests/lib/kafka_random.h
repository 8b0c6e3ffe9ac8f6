// SPDX-License-Identifier: Apache-2.0
/* kafka_random.h: Kafka messages of any content, random content for one, drawn from the same tables that the
 * codec reads. */
#ifndef SENTINEL_TESTS_LIB_KAFKA_RANDOM_H
#define SENTINEL_TESTS_LIB_KAFKA_RANDOM_H

#include "base/arena.h"
#include "base/prng.h"
#include "wire/kafka_codec.h"

/* Where the values of a message come from: one call for each, in the order of the fields. */
struct kafka_source {
    void *ctx;
    bool (*flag)(void *ctx);      /* also whether a tagged field, or a struct that may be null, is there */
    int64_t (*number)(void *ctx); /* its low bytes, where the field has fewer */
    struct uuid (*uuid)(void *ctx);
    struct slice (*bytes)(void *ctx, struct arena *arena, bool nullable); /* a string, too */
    struct slice (*records)(void *ctx, struct arena *arena, bool nullable);
    int32_t (*count)(void *ctx, struct arena *arena, bool nullable); /* of a list's elements; -1: null */
};

/* A message with every field of `version` filled and all others at their default. */
void *kafka_message_make(const struct kafka_source *source, const struct kafka_schema *schema,
                         int16_t version, struct arena *arena);
/* The same, of random values. */
void *kafka_random_message(struct prng *prng, const struct kafka_schema *schema, int16_t version,
                           struct arena *arena);
/* In memory: of one value, or of one element of a list. */
size_t kafka_value_size(const struct kafka_field *field);
/* The first field that differs, or NULL. */
const char *kafka_message_difference(const struct kafka_schema *schema, const void *a, const void *b);

#endif
