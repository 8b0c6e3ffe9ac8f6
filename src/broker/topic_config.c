// SPDX-License-Identifier: Apache-2.0
#include "broker/topic_config.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/units.h"

static const struct topic_config_row rows[] = {
#define TOPIC_CONFIG_ROW_(field, name, type, def, min, max, doc)                                             \
    {name, doc, TOPIC_CONFIG_##type, def, min, max},
    TOPIC_CONFIG_LIST(TOPIC_CONFIG_ROW_)
#undef TOPIC_CONFIG_ROW_
};
STATIC_ASSERT(ARRAY_COUNT(rows) <= 64, "is_set has a bit for each");

/* Words of the types that are written as such; a value is its index (POLICY: a bit set, from 1). */
static const char *const bool_words[] = {"false", "true"};
static const char *const time_words[] = {"CreateTime", "LogAppendTime"};
static const char *const policy_words[] = {NULL, "delete", "compact", "compact,delete"};
static const char *const codec_words[] = {"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"};

static const struct {
    const char *const *words;
    unsigned count;
} words_of[] = {
    [TOPIC_CONFIG_BOOL] = {bool_words, ARRAY_COUNT(bool_words)},
    [TOPIC_CONFIG_TIME] = {time_words, ARRAY_COUNT(time_words)},
    [TOPIC_CONFIG_POLICY] = {policy_words, ARRAY_COUNT(policy_words)},
    [TOPIC_CONFIG_CODEC] = {codec_words, ARRAY_COUNT(codec_words)},
};

static const size_t field_at[] = {
#define TOPIC_CONFIG_AT_(field, name, type, def, min, max, doc) offsetof(struct topic_config, field),
    TOPIC_CONFIG_LIST(TOPIC_CONFIG_AT_)
#undef TOPIC_CONFIG_AT_
};

static int64_t *field_of(struct topic_config *config, unsigned index) {
    ASSERT(index < ARRAY_COUNT(field_at));
    return (int64_t *)((char *)config + field_at[index]);
}

struct topic_config topic_config_default(void) {
    struct topic_config config = {.is_set = 0};
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++)
        *field_of(&config, i) = rows[i].default_value;
    return config;
}

unsigned topic_config_count(void) {
    return ARRAY_COUNT(rows);
}

const struct topic_config_row *topic_config_row(unsigned index) {
    ASSERT(index < ARRAY_COUNT(rows));
    return &rows[index];
}

int topic_config_index(struct slice name) {
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++)
        if (slice_equal(name, slice_from_text(rows[i].name))) return (int)i;
    return -1;
}

int64_t topic_config_value(const struct topic_config *config, unsigned index) {
    struct topic_config copy = *config;
    return *field_of(&copy, index);
}

/* 500 is "0.5", 1000 is "1.0". */
static void print_ratio(int64_t thousandths, struct writer *out) {
    char text[32];
    int size = snprintf(text, sizeof text, "%lld.%03lld", (long long)(thousandths / 1000),
                        (long long)(thousandths % 1000));
    while (text[size - 1] == '0' && text[size - 2] != '.')
        text[--size] = '\0';
    writer_text(out, text);
}

void topic_config_print(const struct topic_config *config, unsigned index, struct writer *out) {
    int64_t value = topic_config_value(config, index);
    const char *const *words = words_of[MIN(rows[index].type, ARRAY_COUNT(words_of) - 1)].words;
    if (rows[index].type == TOPIC_CONFIG_LONG || rows[index].type == TOPIC_CONFIG_INT)
        writer_printf(out, "%lld", (long long)value);
    else if (rows[index].type == TOPIC_CONFIG_RATIO)
        print_ratio(value, out);
    else
        writer_text(out, words[value]);
}

static bool parse_number(struct slice text, int64_t *value) {
    bool negative = text.size != 0 && text.data[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == text.size) return false;
    int64_t number = 0;
    for (; i < text.size; i++) {
        uint8_t digit = (uint8_t)(text.data[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_sub_overflow(number, (int64_t)digit, &number))
            return false;
    }
    if (!negative && number == INT64_MIN) return false;
    *value = negative ? number : -number;
    return true;
}

/* "0.5", "1", "0.25": at most three digits count. */
static bool parse_ratio(struct slice text, int64_t *value) {
    int64_t number = 0, scale = 1000;
    bool fraction = false, any = false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t digit = (uint8_t)(text.data[i] - '0');
        if (text.data[i] == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (digit > 9 || number > 1000000) return false;
        any = true;
        if (fraction && scale == 1) continue;
        number = 10 * number + digit;
        if (fraction) scale /= 10;
    }
    *value = number * scale;
    return any;
}

static bool parse_word(enum topic_config_type type, struct slice text, int64_t *value) {
    /* Kafka writes the two policies in either order. */
    if (type == TOPIC_CONFIG_POLICY && slice_equal(text, SLICE_LITERAL("delete,compact")))
        text = SLICE_LITERAL("compact,delete");
    for (unsigned i = 0; i < words_of[type].count; i++) {
        const char *word = words_of[type].words[i];
        if (word == NULL || !slice_equal(text, slice_from_text(word))) continue;
        *value = i;
        return true;
    }
    return false;
}

static void list_words(enum topic_config_type type, char *text, size_t size) {
    size_t at = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < words_of[type].count; i++) {
        const char *word = words_of[type].words[i];
        if (word == NULL || at >= size) continue;
        int part = snprintf(text + at, size - at, "%s%s", at == 0 ? "" : ", ", word);
        at += (size_t)MAX(part, 0);
    }
}

enum status topic_config_set(struct topic_config *config, struct slice name, struct slice value,
                             struct diagnostic *diagnostic) {
    int index = topic_config_index(name);
    int name_size = (int)MIN(name.size, (size_t)80), value_size = (int)MIN(value.size, (size_t)80);
    const char *name_text = name.size == 0 ? "" : (const char *)name.data;
    const char *value_text = value.size == 0 ? "" : (const char *)value.data;
    if (index < 0)
        return diagnose(diagnostic, STATUS_INVALID_CONFIG, "unknown topic config '%.*s'", name_size,
                        name_text);
    const struct topic_config_row *row = &rows[index];
    bool is_number = row->type == TOPIC_CONFIG_LONG || row->type == TOPIC_CONFIG_INT;
    int64_t number = 0;
    bool is_ratio = row->type == TOPIC_CONFIG_RATIO;
    if (is_ratio && !parse_ratio(value, &number))
        return diagnose(diagnostic, STATUS_INVALID_CONFIG, "%s: '%.*s' is not a number like 0.5", row->name,
                        value_size, value_text);
    if (is_number && !parse_number(value, &number))
        return diagnose(diagnostic, STATUS_INVALID_CONFIG, "%s: '%.*s' is not a number", row->name,
                        value_size, value_text);
    if (!is_number && !is_ratio && !parse_word(row->type, value, &number)) {
        char words[120];
        list_words(row->type, words, sizeof words);
        return diagnose(diagnostic, STATUS_INVALID_CONFIG, "%s: '%.*s' is none of: %s", row->name, value_size,
                        value_text, words);
    }
    if (number < row->min || number > row->max)
        return diagnose(diagnostic, STATUS_INVALID_CONFIG, "%s: %.*s is outside %lld to %lld", row->name,
                        value_size, value_text, (long long)row->min, (long long)row->max);
    *field_of(config, (unsigned)index) = number;
    config->is_set |= (uint64_t)1 << index;
    return STATUS_OK;
}

enum status topic_config_unset(struct topic_config *config, struct slice name,
                               const struct topic_config *defaults, struct diagnostic *diagnostic) {
    int index = topic_config_index(name);
    if (index < 0)
        return diagnose(diagnostic, STATUS_INVALID_CONFIG, "unknown topic config '%.*s'",
                        (int)MIN(name.size, (size_t)80), name.size == 0 ? "" : (const char *)name.data);
    *field_of(config, (unsigned)index) = topic_config_value(defaults, (unsigned)index);
    config->is_set &= ~((uint64_t)1 << index);
    return STATUS_OK;
}
