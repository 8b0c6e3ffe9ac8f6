// SPDX-License-Identifier: Apache-2.0
#include "cli/settings.h"

#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

enum setting_type { SETTING_NUMBER, SETTING_SIZE, SETTING_BOOL, SETTING_CODEC };

/* enum store_compression */
static const char *const codecs[] = {"none", "lz4", "zstd"};

static const struct setting_row {
    const char *name, *alias, *doc;
    enum setting_type type;
    int64_t default_value, min, max;
    size_t at;
} rows[] = {
#define SETTING_ROW_(field, name, alias, type, def, min, max, doc)                                           \
    {name, alias, doc, SETTING_##type, def, min, max, offsetof(struct settings, field)},
    SETTING_LIST(SETTING_ROW_)
#undef SETTING_ROW_
};

static int64_t *field_of(struct settings *settings, const struct setting_row *row) {
    return (int64_t *)((char *)settings + row->at);
}

struct settings settings_default(void) {
    struct settings settings = {.topic_defaults = topic_config_default()};
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++)
        *field_of(&settings, &rows[i]) = rows[i].default_value;
    return settings;
}

static bool parse_unit(const char *text, int64_t *factor) {
    static const struct {
        const char *name;
        int64_t factor;
    } units[] = {{"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
    for (unsigned i = 0; i < ARRAY_COUNT(units); i++) {
        if (strcmp(text, units[i].name) != 0) continue;
        *factor = units[i].factor;
        return true;
    }
    return false;
}

static bool parse_number(const char *text, const char **unit, int64_t *number) {
    char *end;
    errno = 0;
    *number = strtoll(text, &end, 10);
    *unit = end;
    return end != text && errno == 0;
}

bool settings_parse_size(const char *text, int64_t *bytes) {
    const char *unit;
    int64_t factor;
    return parse_number(text, &unit, bytes) && parse_unit(unit, &factor) &&
           !__builtin_mul_overflow(*bytes, factor, bytes);
}

static bool parse_value(const struct setting_row *row, const char *text, int64_t *value) {
    if (row->type == SETTING_BOOL) {
        *value = strcmp(text, "true") == 0;
        return *value || strcmp(text, "false") == 0;
    }
    if (row->type == SETTING_CODEC) {
        for (*value = 0; *value < (int64_t)ARRAY_COUNT(codecs); ++*value)
            if (strcmp(text, codecs[*value]) == 0) return true;
        return false;
    }
    if (row->type == SETTING_SIZE) return settings_parse_size(text, value);
    const char *end;
    return parse_number(text, &end, value) && *end == '\0';
}

static enum status set_topic_default(struct settings *settings, const char *name, const char *value,
                                     struct diagnostic *diagnostic) {
    /* "log.retention.ms" is how Kafka's server spells a topic's "retention.ms". */
    const char *topic_name = strncmp(name, "log.", 4) == 0 ? name + 4 : name;
    if (topic_config_index(slice_from_text(topic_name)) < 0)
        return diagnose(diagnostic, STATUS_INVALID,
                        "there is no setting '%s'; 'sentinel serve --help-settings' lists them", name);
    enum status status = topic_config_set(&settings->topic_defaults, slice_from_text(topic_name),
                                          slice_from_text(value), diagnostic);
    return status == STATUS_OK ? STATUS_OK : STATUS_INVALID;
}

enum status settings_set(struct settings *settings, const char *name, const char *value,
                         struct diagnostic *diagnostic) {
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct setting_row *row = &rows[i];
        if (strcmp(name, row->name) != 0 && (row->alias[0] == '\0' || strcmp(name, row->alias) != 0))
            continue;
        int64_t number;
        if (!parse_value(row, value, &number))
            return diagnose(diagnostic, STATUS_INVALID, "%s: '%s' is not %s", name, value,
                            row->type == SETTING_BOOL    ? "true or false"
                            : row->type == SETTING_CODEC ? "none, lz4 or zstd"
                            : row->type == SETTING_SIZE  ? "a size (4096, 64KiB, 16MiB, 1GiB)"
                                                         : "a whole number");
        if (number < row->min || number > row->max)
            return diagnose(diagnostic, STATUS_INVALID, "%s: %s is outside %lld to %lld", name, value,
                            (long long)row->min, (long long)row->max);
        *field_of(settings, row) = number;
        return STATUS_OK;
    }
    return set_topic_default(settings, name, value, diagnostic);
}

struct reading {
    struct settings *settings;
    struct diagnostic why;
    bool failed;
};

static int read_pair(void *ctx, const char *section, const char *name, const char *value) {
    struct reading *reading = ctx;
    if (reading->failed) return 0;
    char full[256];
    /* [topic] partitions = 3 is topic.partitions = 3 */
    snprintf(full, sizeof full, "%s%s%s", section, section[0] == '\0' ? "" : ".", name);
    reading->failed = settings_set(reading->settings, full, value, &reading->why) != STATUS_OK;
    return !reading->failed;
}

enum status settings_read_file(struct settings *settings, const char *path, struct diagnostic *diagnostic) {
    struct reading reading = {.settings = settings};
    int line = ini_parse(path, read_pair, &reading);
    if (line == 0) return STATUS_OK;
    if (line < 0)
        return diagnose(diagnostic, STATUS_NOT_FOUND, "cannot read '%s': %s", path, strerror(errno));
    return diagnose(diagnostic, STATUS_INVALID, "%s:%d: %s", path, line,
                    reading.failed ? reading.why.text : "expected 'name = value'");
}

static void print_row(const struct setting_row *row) {
    char value[32];
    if (row->type == SETTING_BOOL)
        snprintf(value, sizeof value, "%s", row->default_value ? "true" : "false");
    else if (row->type == SETTING_CODEC)
        snprintf(value, sizeof value, "%s", codecs[row->default_value]);
    else
        snprintf(value, sizeof value, "%lld", (long long)row->default_value);
    printf("  %-26s default %-10s %s", row->name, value, row->doc);
    if (row->alias[0] != '\0') printf(" (Kafka: %s)", row->alias);
    printf("\n");
}

void settings_print_help(void) {
    printf("settings of the broker, for --set name=value or a --config file:\n\n");
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++)
        print_row(&rows[i]);
    printf("\ndefaults for topics, which 'sentinel topic' can set for one topic:\n\n");
    struct topic_config config = topic_config_default();
    for (unsigned i = 0; i < topic_config_count(); i++) {
        struct writer value;
        writer_init(&value);
        topic_config_print(&config, i, &value);
        printf("  %-30s default %-12.*s %s\n", topic_config_row(i)->name, (int)value.size,
               (const char *)value.data, topic_config_row(i)->doc);
        writer_release(&value);
    }
}
