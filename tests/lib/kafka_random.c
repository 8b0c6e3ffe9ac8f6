// SPDX-License-Identifier: Apache-2.0
#include "lib/kafka_random.h"

#include "base/assert.h"

size_t kafka_value_size(const struct kafka_field *field) {
    static const size_t sizes[KAFKA_TYPE_COUNT] = {[KAFKA_BOOL] = sizeof(bool),
                                                   [KAFKA_I8] = sizeof(int8_t),
                                                   [KAFKA_I16] = sizeof(int16_t),
                                                   [KAFKA_I32] = sizeof(int32_t),
                                                   [KAFKA_I64] = sizeof(int64_t),
                                                   [KAFKA_UUID] = sizeof(struct uuid),
                                                   [KAFKA_STRING] = sizeof(struct slice),
                                                   [KAFKA_BYTES] = sizeof(struct slice),
                                                   [KAFKA_RECORDS] = sizeof(struct kafka_records)};
    return field->type == KAFKA_STRUCT ? field->of->size : sizes[field->type];
}

/* ---- a message of values that somebody chooses ---------------------------------------------------------- */

static void make_struct(const struct kafka_source *source, const struct kafka_schema *schema, int16_t version,
                        struct arena *arena, uint8_t *message);

static void make_value(const struct kafka_source *source, const struct kafka_field *field, int16_t version,
                       struct arena *arena, void *at) {
    bool nullable = field->nullable && version >= field->nullable_since;
    switch (field->type) {
    case KAFKA_BOOL:
        *(bool *)at = source->flag(source->ctx);
        break;
    case KAFKA_I8:
        *(int8_t *)at = (int8_t)source->number(source->ctx);
        break;
    case KAFKA_I16:
        *(int16_t *)at = (int16_t)source->number(source->ctx);
        break;
    case KAFKA_I32:
        *(int32_t *)at = (int32_t)source->number(source->ctx);
        break;
    case KAFKA_I64:
        *(int64_t *)at = source->number(source->ctx);
        break;
    case KAFKA_UUID:
        *(struct uuid *)at = source->uuid(source->ctx);
        break;
    case KAFKA_STRING:
    case KAFKA_BYTES:
        *(struct slice *)at = source->bytes(source->ctx, arena, nullable);
        break;
    case KAFKA_RECORDS:
        ((struct kafka_records *)at)->bytes = source->records(source->ctx, arena, nullable);
        break;
    case KAFKA_STRUCT:
        make_struct(source, field->of, version, arena, at);
        break;
    default:
        UNREACHABLE();
    }
}

static void make_field(const struct kafka_source *source, const struct kafka_field *field, int16_t version,
                       struct arena *arena, uint8_t *message) {
    void *at = message + field->offset;
    if (field->shape == KAFKA_ONE) {
        make_value(source, field, version, arena, at);
    } else if (field->shape == KAFKA_MAYBE) {
        if (!source->flag(source->ctx)) return;
        void *of = arena_calloc(arena, 1, field->of->size);
        make_struct(source, field->of, version, arena, of);
        *(void **)at = of;
    } else {
        bool nullable = field->nullable && version >= field->nullable_since;
        int32_t count = source->count(source->ctx, arena, nullable);
        *(int32_t *)(void *)(message + field->count_offset) = count;
        if (count <= 0) return;
        size_t size = kafka_value_size(field);
        uint8_t *elements = arena_calloc(arena, (size_t)count, size);
        for (int32_t i = 0; i < count; i++)
            make_value(source, field, version, arena, elements + (size_t)i * size);
        *(void **)at = elements;
    }
}

static void make_struct(const struct kafka_source *source, const struct kafka_schema *schema, int16_t version,
                        struct arena *arena, uint8_t *message) {
    kafka_message_init(schema, message);
    for (uint16_t i = 0; i < schema->field_count; i++) {
        const struct kafka_field *field = &schema->fields[i];
        bool present = version >= field->since && version <= field->until;
        if (present && (!field->tagged || source->flag(source->ctx)))
            make_field(source, field, version, arena, message);
    }
}

void *kafka_message_make(const struct kafka_source *source, const struct kafka_schema *schema,
                         int16_t version, struct arena *arena) {
    uint8_t *message = arena_calloc(arena, 1, schema->size);
    make_struct(source, schema, version, arena, message);
    return message;
}

/* ---- of random ones ------------------------------------------------------------------------------------- */

static bool random_flag(void *prng) {
    return !prng_chance(prng, 1, 3);
}

static int64_t random_number(void *prng) {
    return prng_chance(prng, 1, 4) ? -1 : (int64_t)prng_next(prng);
}

static struct uuid random_uuid(void *prng) {
    struct uuid uuid;
    prng_bytes(prng, &uuid, sizeof uuid);
    return uuid;
}

static struct slice random_slice(struct prng *prng, struct arena *arena, bool nullable, uint64_t size_max) {
    if (nullable && prng_chance(prng, 1, 4)) return SLICE_EMPTY;
    size_t size = prng_below(prng, size_max);
    uint8_t *data = arena_alloc(arena, size + 1);
    prng_bytes(prng, data, size);
    return slice_make(data, size);
}

static struct slice random_bytes(void *prng, struct arena *arena, bool nullable) {
    return random_slice(prng, arena, nullable, prng_chance(prng, 1, 20) ? 300 : 12);
}

static struct slice random_records(void *prng, struct arena *arena, bool nullable) {
    return random_slice(prng, arena, nullable, 500);
}

static int32_t random_count(void *prng, struct arena *arena, bool nullable) {
    if (nullable && prng_chance(prng, 1, 4)) return -1;
    /* Long lists inside long lists would be more than a decoder takes. */
    bool room = arena->bytes < 64 * KIB;
    return prng_chance(prng, 1, 30) && room ? 200 : (int32_t)prng_below(prng, 4);
}

void *kafka_random_message(struct prng *prng, const struct kafka_schema *schema, int16_t version,
                           struct arena *arena) {
    const struct kafka_source source = {prng,         random_flag,    random_number, random_uuid,
                                        random_bytes, random_records, random_count};
    return kafka_message_make(&source, schema, version, arena);
}

/* ---- what differs --------------------------------------------------------------------------------------- */

static bool bytes_differ(struct slice a, struct slice b) {
    return (a.data == NULL) != (b.data == NULL) || !slice_equal(a, b);
}

static const char *value_difference(const struct kafka_field *field, const void *a, const void *b) {
    bool differs;
    switch (field->type) {
    case KAFKA_STRING:
    case KAFKA_BYTES:
        /* Where null is not allowed it is sent as empty. */
        differs = field->nullable ? bytes_differ(*(const struct slice *)a, *(const struct slice *)b)
                                  : !slice_equal(*(const struct slice *)a, *(const struct slice *)b);
        break;
    case KAFKA_RECORDS:
        differs = bytes_differ(((const struct kafka_records *)a)->bytes,
                               ((const struct kafka_records *)b)->bytes);
        break;
    case KAFKA_STRUCT:
        return kafka_message_difference(field->of, a, b);
    default:
        differs = memcmp(a, b, kafka_value_size(field)) != 0;
        break;
    }
    return differs ? field->name : NULL;
}

static const char *field_difference(const struct kafka_field *field, const uint8_t *a, const uint8_t *b) {
    const void *at_a = a + field->offset, *at_b = b + field->offset;
    if (field->shape == KAFKA_ONE) return value_difference(field, at_a, at_b);
    int32_t count = 1;
    if (field->shape == KAFKA_MANY) {
        count = *(const int32_t *)(const void *)(a + field->count_offset);
        if (count != *(const int32_t *)(const void *)(b + field->count_offset)) return field->name;
        if (count <= 0) return NULL;
    }
    const uint8_t *elements_a = *(const uint8_t *const *)at_a, *elements_b = *(const uint8_t *const *)at_b;
    if (elements_a == NULL || elements_b == NULL) return elements_a == elements_b ? NULL : field->name;
    for (int32_t i = 0; i < count; i++) {
        size_t skip = (size_t)i * kafka_value_size(field);
        const char *difference = value_difference(field, elements_a + skip, elements_b + skip);
        if (difference != NULL) return difference;
    }
    return NULL;
}

const char *kafka_message_difference(const struct kafka_schema *schema, const void *a, const void *b) {
    for (uint16_t i = 0; i < schema->field_count; i++) {
        const char *difference = field_difference(&schema->fields[i], a, b);
        if (difference != NULL) return difference;
    }
    return NULL;
}
