// SPDX-License-Identifier: Apache-2.0
/* kafka_draw.h: Kafka messages whose fields are chosen by the bytes of a fuzzer, from what may mean
 * something.
 *
 * A byte chooses where a value comes from: small numbers and edges, names that the test uses, or what the
 * broker has answered before (member ids, producer ids, epochs, topic ids, records), so that conversations
 * come about that raw bytes hardly hit. Fields are found in the tables of the codec: a new request needs
 * nothing here. When the bytes are used up every choice is 0.
 *
 * Owner   messages live in the arena given; what is learned is copied into the drawer's own.
 * Bounds  DRAW_LEARNED_MAX values of each kind are kept, the oldest give way. */
#ifndef SENTINEL_TESTS_LIB_KAFKA_DRAW_H
#define SENTINEL_TESTS_LIB_KAFKA_DRAW_H

#include "base/arena.h"
#include "wire/kafka_codec.h"

#define DRAW_LEARNED_MAX 16

struct kafka_draw {
    struct reader bytes;
    struct arena learned;
    struct slice strings[DRAW_LEARNED_MAX], records[DRAW_LEARNED_MAX];
    int64_t numbers[DRAW_LEARNED_MAX];
    struct uuid uuids[DRAW_LEARNED_MAX];
    uint32_t string_count, record_count, number_count, uuid_count; /* learned ever */
};

void kafka_draw_init(struct kafka_draw *draw, struct slice bytes);
void kafka_draw_release(struct kafka_draw *draw);
uint8_t kafka_draw_byte(struct kafka_draw *draw);
void *kafka_draw_message(struct kafka_draw *draw, const struct kafka_schema *schema, int16_t version,
                         struct arena *arena);
/* Keeps what a message of the broker holds. */
void kafka_draw_learn(struct kafka_draw *draw, const struct kafka_schema *schema, const void *message);

#endif
