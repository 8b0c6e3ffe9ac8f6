// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/topic_config.h"
#include "lib/test.h"

static struct topic_config config;
static struct diagnostic why;

static enum status set(const char *name, const char *value) {
    return topic_config_set(&config, slice_from_text(name), slice_from_text(value), &why);
}

static void assert_prints(const char *name, const char *text) {
    struct writer out;
    writer_init(&out);
    topic_config_print(&config, (unsigned)topic_config_index(slice_from_text(name)), &out);
    assert_slice_equal(writer_slice(&out), slice_from_text(text));
    writer_release(&out);
}

static int setup(void **state) {
    (void)state;
    config = topic_config_default();
    return 0;
}

static void every_default_is_within_its_own_range_and_prints_as_it_is_read(void **state) {
    (void)state;
    for (unsigned i = 0; i < topic_config_count(); i++) {
        const struct topic_config_row *row = topic_config_row(i);
        assert_int_equal(topic_config_index(slice_from_text(row->name)), i);
        assert_true(row->min <= row->default_value && row->default_value <= row->max);
        assert_int_equal(topic_config_value(&config, i), row->default_value);
        struct writer out;
        writer_init(&out);
        topic_config_print(&config, i, &out);
        struct topic_config copy = topic_config_default();
        assert_status(topic_config_set(&copy, slice_from_text(row->name), writer_slice(&out), &why),
                      STATUS_OK);
        assert_int_equal(topic_config_value(&copy, i), row->default_value);
        assert_int_equal(copy.is_set, (uint64_t)1 << i);
        writer_release(&out);
    }
}

static void values_are_read_as_kafka_writes_them(void **state) {
    (void)state;
    static const char *const good[][3] = {
        {"retention.ms", "-1", "-1"},
        {"retention.ms", "9223372036854775807", "9223372036854775807"},
        {"retention.bytes", "0", "0"},
        {"max.message.bytes", "100000000", "100000000"},
        {"cleanup.policy", "compact", "compact"},
        {"cleanup.policy", "delete,compact", "compact,delete"},
        {"cleanup.policy", "compact,delete", "compact,delete"},
        {"message.timestamp.type", "LogAppendTime", "LogAppendTime"},
        {"compression.type", "zstd", "zstd"},
        {"unclean.leader.election.enable", "false", "false"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_status(set(good[i][0], good[i][1]), STATUS_OK);
        assert_prints(good[i][0], good[i][2]);
    }
}

static void nonsense_is_refused_with_a_reason_and_changes_nothing(void **state) {
    (void)state;
    static const char *const bad[][3] = {
        {"no.such.config", "1", "unknown"},
        {"", "1", "unknown"},
        {"retention.ms", "", "not a number"},
        {"retention.ms", "-", "not a number"},
        {"retention.ms", "1x", "not a number"},
        {"retention.ms", " 1", "not a number"},
        {"retention.ms", "+1", "not a number"},
        {"retention.ms", "9223372036854775808", "not a number"},
        {"retention.ms", "-9223372036854775808", "outside"},
        {"retention.ms", "-2", "outside"},
        {"max.message.bytes", "100000001", "outside"},
        {"segment.bytes", "0", "outside"},
        {"cleanup.policy", "Delete", "none of: delete, compact, compact,delete"},
        {"cleanup.policy", "", "none of"},
        {"message.timestamp.type", "createtime", "none of: CreateTime, LogAppendTime"},
        {"unclean.leader.election.enable", "true", "outside"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why.text[0] = '\0';
        assert_status(set(bad[i][0], bad[i][1]), STATUS_INVALID_CONFIG);
        assert_non_null(strstr(why.text, bad[i][2]));
        struct topic_config untouched = topic_config_default();
        assert_memory_equal(&config, &untouched, sizeof config);
    }
}

static void a_very_long_value_does_not_overrun_the_reason(void **state) {
    (void)state;
    static char text[10000];
    memset(text, 'x', sizeof text - 1);
    assert_status(set("retention.ms", text), STATUS_INVALID_CONFIG);
    assert_status(set(text, "1"), STATUS_INVALID_CONFIG);
    assert_true(strlen(why.text) < 200);
}

static void unset_goes_back_to_the_brokers_default(void **state) {
    (void)state;
    struct topic_config defaults = topic_config_default();
    defaults.retention_ms = 1234;
    assert_status(set("retention.ms", "5"), STATUS_OK);
    assert_status(set("segment.ms", "7"), STATUS_OK);
    assert_status(topic_config_unset(&config, SLICE_LITERAL("retention.ms"), &defaults, &why), STATUS_OK);
    assert_int_equal(config.retention_ms, 1234);
    assert_int_equal(config.is_set, (uint64_t)1 << topic_config_index(SLICE_LITERAL("segment.ms")));
    assert_status(topic_config_unset(&config, SLICE_LITERAL("nothing"), &defaults, &why),
                  STATUS_INVALID_CONFIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_default_is_within_its_own_range_and_prints_as_it_is_read, setup),
        cmocka_unit_test_setup(values_are_read_as_kafka_writes_them, setup),
        cmocka_unit_test_setup(nonsense_is_refused_with_a_reason_and_changes_nothing, setup),
        cmocka_unit_test_setup(a_very_long_value_does_not_overrun_the_reason, setup),
        cmocka_unit_test_setup(unset_goes_back_to_the_brokers_default, setup),
    };
    return cmocka_run_group_tests_name("topic_config", tests, NULL, NULL);
}
