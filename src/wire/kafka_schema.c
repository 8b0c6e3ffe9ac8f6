// SPDX-License-Identifier: Apache-2.0
#include "wire/kafka_schema.h"

#include "base/units.h"

/* A row's tail is: since, until, and designated members for what NULLABLE, DEFAULT and TAG say. */
#define LAST         INT16_MAX
#define NULLABLE(v)  .nullable = true, .nullable_since = (v)
#define DEFAULT(x)   .default_value = (x)
#define TAG(n)       .tagged = true, .tag = (n)
#define AT_(T, name) .offset = offsetof(struct kafka_##T, name)

#define FIELD(T, t, n, ...) {__VA_ARGS__, .type = KAFKA_##t, .shape = KAFKA_ONE, AT_(T, n), .name = #n},
#define LIST(T, t, n, ...)                                                                                   \
    {__VA_ARGS__,                                                                                            \
     .type = KAFKA_##t,                                                                                      \
     .shape = KAFKA_MANY,                                                                                    \
     AT_(T, n),                                                                                              \
     .count_offset = offsetof(struct kafka_##T, n##_count),                                                  \
     .name = #n},
#define ARRAY(T, o, n, ...)                                                                                  \
    {__VA_ARGS__,                                                                                            \
     .type = KAFKA_STRUCT,                                                                                   \
     .shape = KAFKA_MANY,                                                                                    \
     AT_(T, n),                                                                                              \
     .count_offset = offsetof(struct kafka_##T, n##_count),                                                  \
     .of = &kafka_schema_##o,                                                                                \
     .name = #n},
#define OBJECT(T, o, n, ...)                                                                                 \
    {__VA_ARGS__, .type = KAFKA_STRUCT, .shape = KAFKA_ONE, AT_(T, n), .of = &kafka_schema_##o, .name = #n},
#define OPTION(T, o, n, ...)                                                                                 \
    {__VA_ARGS__, .type = KAFKA_STRUCT, .shape = KAFKA_MAYBE, AT_(T, n), .of = &kafka_schema_##o, .name = #n},

#define SCHEMA_DEFINE_(T)                                                                                    \
    static const struct kafka_field T##_fields[] = {KAFKA_ROWS_##T(T)};                                      \
    const struct kafka_schema kafka_schema_##T = {                                                           \
        .name = #T,                                                                                          \
        .fields = T##_fields,                                                                                \
        .field_count = ARRAY_COUNT(T##_fields),                                                              \
        .size = sizeof(struct kafka_##T),                                                                    \
    };
KAFKA_STRUCTS(SCHEMA_DEFINE_)

static const struct kafka_api APIS[] = {
#define API_ROW_(symbol, key, messages, first, last, flexible)                                               \
    {key,                                                                                                    \
     first,                                                                                                  \
     last,                                                                                                   \
     flexible,                                                                                               \
     #messages,                                                                                              \
     &kafka_schema_##messages##_request,                                                                     \
     &kafka_schema_##messages##_response},
    KAFKA_API_LIST(API_ROW_)
#undef API_ROW_
};

const struct kafka_api *kafka_api_at(unsigned index) {
    return index < ARRAY_COUNT(APIS) ? &APIS[index] : NULL;
}

unsigned kafka_api_index(const struct kafka_api *api) {
    return (unsigned)(api - APIS);
}

const struct kafka_api *kafka_api_find(int16_t key) {
    for (size_t i = 0; i < ARRAY_COUNT(APIS); i++)
        if (APIS[i].key == key) return &APIS[i];
    return NULL;
}
