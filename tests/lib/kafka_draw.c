// SPDX-License-Identifier: Apache-2.0
#include "lib/kafka_draw.h"

#include "base/assert.h"
#include "lib/kafka_random.h"
#include "wire/record_batch.h"

#define STRING_SIZE_MAX 300 /* learned ones; longer are cut */

void kafka_draw_init(struct kafka_draw *draw, struct slice bytes) {
    *draw = (struct kafka_draw){.bytes = reader_make(bytes)};
    arena_init(&draw->learned, 4 * KIB);
}

void kafka_draw_release(struct kafka_draw *draw) {
    arena_release(&draw->learned);
}

uint8_t kafka_draw_byte(struct kafka_draw *draw) {
    return reader_remaining(&draw->bytes) == 0 ? 0 : reader_u8(&draw->bytes);
}

static struct slice draw_bytes(struct kafka_draw *draw, size_t size) {
    return reader_bytes(&draw->bytes, MIN(size, reader_remaining(&draw->bytes)));
}

static int64_t draw_number(struct kafka_draw *draw) {
    static const int64_t edges[] = {-1,        -2,        100,       1000,      30000,     60000,
                                    INT8_MAX,  INT8_MIN,  INT16_MAX, INT16_MIN, INT32_MAX, INT32_MIN,
                                    INT64_MAX, INT64_MIN, 1 << 20,   UINT32_MAX};
    uint8_t choice = kafka_draw_byte(draw);
    if (choice < 64) return choice;
    if (choice < 128) return edges[choice % ARRAY_COUNT(edges)];
    uint32_t known = MIN(draw->number_count, DRAW_LEARNED_MAX);
    if (choice < 224) return known == 0 ? -1 : draw->numbers[choice % known];
    uint64_t number = 0;
    for (int i = 0; i < choice % 9; i++)
        number = number << 8 | kafka_draw_byte(draw);
    return (int64_t)number;
}

static struct slice draw_string(struct kafka_draw *draw, bool nullable) {
    static const char *const names[] = {"t",
                                        "u",
                                        "g",
                                        "h",
                                        "tx",
                                        "ty",
                                        "",
                                        "*",
                                        "consumer",
                                        "range",
                                        "roundrobin",
                                        "uniform",
                                        "m",
                                        "1",
                                        "0",
                                        "cooperative",
                                        "retention.ms",
                                        "cleanup.policy",
                                        "stable",
                                        "Empty",
                                        "compact",
                                        "delete",
                                        "classic",
                                        "compression.type",
                                        "Ongoing",
                                        "localhost",
                                        "segment.bytes",
                                        "min.insync.replicas"};
    uint8_t choice = kafka_draw_byte(draw);
    if (choice < 112) return slice_from_text(names[choice % ARRAY_COUNT(names)]);
    if (choice < 128) return nullable ? SLICE_EMPTY : SLICE_LITERAL("");
    uint32_t known = MIN(draw->string_count, DRAW_LEARNED_MAX);
    if (choice < 224) return known == 0 ? SLICE_LITERAL("t") : draw->strings[choice % known];
    return draw_bytes(draw, choice == 255 ? 300 : choice % 32);
}

/* A batch as producers build it, with the identity, sequence and times that the bytes choose. */
static struct slice draw_batch(struct kafka_draw *draw, struct arena *arena) {
    enum { COUNT = 3, IDENTITY = 4, COMPRESSED = 8, TRANSACTION = 16, TIMES = 32 };
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    uint8_t shape = kafka_draw_byte(draw);
    for (unsigned i = 0; i < (shape & COUNT) + 1U; i++) {
        struct slice key = draw_string(draw, true), value = draw_string(draw, true);
        record_batch_add(&builder, draw_number(draw) & INT32_MAX, key, value, NULL, 0);
    }
    struct record_batch_producer producer = {-1, -1, -1};
    if ((shape & IDENTITY) != 0) {
        producer.id = draw_number(draw);
        producer.epoch = (int16_t)draw_number(draw);
        producer.base_sequence = (int32_t)draw_number(draw);
    }
    struct buffer *batch = record_batch_finish(&builder, (shape & COMPRESSED) != 0 ? CODEC_LZ4 : CODEC_NONE,
                                               &producer);
    record_batch_builder_release(&builder);
    uint8_t *bytes = batch->data;
    if ((shape & TRANSACTION) != 0) store_be16(bytes + 21, load_be16(bytes + 21) | BATCH_TRANSACTIONAL);
    int64_t max_timestamp = (int64_t)load_be64(bytes + 35);
    if ((shape & TIMES) != 0) {
        store_be64(bytes + 27, (uint64_t)draw_number(draw));
        max_timestamp = draw_number(draw);
    }
    record_batch_set_max_timestamp(bytes, batch->size, max_timestamp); /* and the checksum */
    struct slice copy = arena_copy(arena, slice_make(bytes, batch->size));
    buffer_unref(batch);
    return copy;
}

static struct slice draw_records(struct kafka_draw *draw, struct arena *arena) {
    uint8_t choice = kafka_draw_byte(draw);
    uint32_t known = MIN(draw->record_count, DRAW_LEARNED_MAX);
    if (choice < 160) return draw_batch(draw, arena);
    if (choice < 224 && known != 0) return draw->records[choice % known];
    return choice == 255 ? SLICE_EMPTY : draw_bytes(draw, choice);
}

static bool source_flag(void *ctx) {
    return (kafka_draw_byte(ctx) & 1) != 0;
}

static int64_t source_number(void *ctx) {
    return draw_number(ctx);
}

static struct uuid source_uuid(void *ctx) {
    struct kafka_draw *draw = ctx;
    uint8_t choice = kafka_draw_byte(draw);
    uint32_t known = MIN(draw->uuid_count, DRAW_LEARNED_MAX);
    return choice < 224 && known != 0 ? draw->uuids[choice % known] : (struct uuid){{0}};
}

static struct slice source_bytes(void *ctx, struct arena *arena, bool nullable) {
    MAYBE(arena != NULL); /* what it may be lives longer */
    return draw_string(ctx, nullable);
}

static struct slice source_records(void *ctx, struct arena *arena, bool nullable) {
    MAYBE(nullable);
    return draw_records(ctx, arena);
}

static int32_t source_count(void *ctx, struct arena *arena, bool nullable) {
    MAYBE(arena != NULL);
    uint8_t choice = kafka_draw_byte(ctx);
    /* Mostly one element: the first byte of most fields is small. */
    return choice == 255 && nullable ? -1 : choice < 128 ? 1 : choice % 4;
}

void *kafka_draw_message(struct kafka_draw *draw, const struct kafka_schema *schema, int16_t version,
                         struct arena *arena) {
    const struct kafka_source source = {draw,         source_flag,    source_number, source_uuid,
                                        source_bytes, source_records, source_count};
    return kafka_message_make(&source, schema, version, arena);
}

/* ---- what the broker said --------------------------------------------------------------------------------
 */

static void learn_number(struct kafka_draw *draw, int64_t number) {
    if (number > 0) draw->numbers[draw->number_count++ % DRAW_LEARNED_MAX] = number;
}

static void learn_string(struct kafka_draw *draw, struct slice text) {
    if (text.size == 0) return;
    struct slice part = slice_make(text.data, MIN(text.size, STRING_SIZE_MAX));
    draw->strings[draw->string_count++ % DRAW_LEARNED_MAX] = arena_copy(&draw->learned, part);
}

static void learn_value(struct kafka_draw *draw, const struct kafka_field *field, const void *at) {
    struct slice records;
    switch (field->type) {
    case KAFKA_I16:
        learn_number(draw, *(const int16_t *)at);
        break;
    case KAFKA_I32:
        learn_number(draw, *(const int32_t *)at);
        break;
    case KAFKA_I64:
        learn_number(draw, *(const int64_t *)at);
        break;
    case KAFKA_UUID:
        draw->uuids[draw->uuid_count++ % DRAW_LEARNED_MAX] = *(const struct uuid *)at;
        break;
    case KAFKA_STRING:
    case KAFKA_BYTES:
        learn_string(draw, *(const struct slice *)at);
        break;
    case KAFKA_RECORDS:
        records = ((const struct kafka_records *)at)->bytes;
        if (records.size != 0 && records.size <= 4 * KIB)
            draw->records[draw->record_count++ % DRAW_LEARNED_MAX] = arena_copy(&draw->learned, records);
        break;
    case KAFKA_STRUCT:
        kafka_draw_learn(draw, field->of, at);
        break;
    default:
        break;
    }
}

void kafka_draw_learn(struct kafka_draw *draw, const struct kafka_schema *schema, const void *message) {
    for (uint16_t i = 0; i < schema->field_count; i++) {
        const struct kafka_field *field = &schema->fields[i];
        const uint8_t *at = (const uint8_t *)message + field->offset;
        if (field->shape == KAFKA_ONE) {
            learn_value(draw, field, at);
            continue;
        }
        const uint8_t *elements = *(const uint8_t *const *)(const void *)at;
        int32_t count = elements != NULL;
        if (field->shape == KAFKA_MANY)
            count = MIN(*(const int32_t *)(const void *)((const uint8_t *)message + field->count_offset), 4);
        for (int32_t k = 0; k < count; k++)
            learn_value(draw, field, elements + (size_t)k * kafka_value_size(field));
    }
}
