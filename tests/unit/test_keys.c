// SPDX-License-Identifier: Apache-2.0
#include "base/prng.h"
#include "base/units.h"
#include "broker/keys.h"
#include "lib/test.h"

static void keys_order_as_their_numbers(void **state) {
    (void)state;
    static const int64_t numbers[] = {0,         1,        255, 256, 65535, 1LL << 31, (1LL << 32) - 1,
                                      1LL << 62, INT64_MAX};
    static const uint64_t groups[] = {0, 1, 255, 256, 1ULL << 40, UINT64_MAX};
    struct key previous = {.size = 0};
    for (size_t g = 0; g < ARRAY_COUNT(groups); g++) {
        for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
            struct key key = key_log(groups[g], numbers[i]);
            assert_true(slice_compare(key_slice(&previous), key_slice(&key)) < 0);
            previous = key;
        }
        for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
            for (size_t j = 0; j < ARRAY_COUNT(numbers); j++) {
                struct key key = key_time(groups[g], numbers[i], numbers[j]);
                assert_true(slice_compare(key_slice(&previous), key_slice(&key)) < 0);
                previous = key;
            }
        struct key key = key_producer(groups[g], 0);
        assert_true(slice_compare(key_slice(&previous), key_slice(&key)) < 0);
        previous = key;
    }
}

static void a_group_is_one_range(void **state) {
    (void)state;
    struct key from = key_group_start(7), to = key_group_start(8);
    struct key inside[] = {key_prefix(7, KEY_META),    key_log(7, 0),
                           key_log(7, INT64_MAX),      key_time(7, INT64_MAX, INT64_MAX),
                           key_producer(7, INT64_MAX), key_state(7, SLICE_LITERAL("\xff\xff")),
                           key_prefix(7, KEY_KIND_END)};
    for (size_t i = 0; i < ARRAY_COUNT(inside); i++) {
        assert_true(slice_compare(key_slice(&from), key_slice(&inside[i])) <= 0);
        assert_true(slice_compare(key_slice(&inside[i]), key_slice(&to)) < 0);
    }
    struct key before = key_state(6, SLICE_LITERAL("z")), after = key_prefix(8, KEY_META);
    assert_true(slice_compare(key_slice(&before), key_slice(&from)) < 0);
    assert_true(slice_compare(key_slice(&to), key_slice(&after)) < 0);
}

static void what_is_written_is_read(void **state) {
    (void)state;
    int64_t a = 0, b = 0;
    struct key key = key_log(3, 77);
    assert_true(key_log_parse(key_slice(&key), &a));
    assert_int_equal(a, 77);
    key = key_time(3, 5, INT64_MAX);
    assert_true(key_time_parse(key_slice(&key), &a, &b));
    assert_int_equal(a, 5);
    assert_int_equal(b, INT64_MAX);
    key = key_producer(3, 9);
    assert_true(key_producer_parse(key_slice(&key), &a));
    assert_int_equal(a, 9);
    key = key_state(0, SLICE_LITERAL("tname"));
    assert_slice_equal(key_state_rest(key_slice(&key)), SLICE_LITERAL("tname"));
}

static void damaged_keys_are_told_apart(void **state) {
    (void)state;
    int64_t a, b;
    struct key key = key_log(3, 77);
    assert_false(key_producer_parse(key_slice(&key), &a)); /* another kind */
    assert_false(key_time_parse(key_slice(&key), &a, &b));
    for (size_t size = 0; size < key.size; size++)
        assert_false(key_log_parse(slice_make(key.bytes, size), &a));
    key.bytes[KEY_PREFIX_SIZE] = 0x80; /* would be negative */
    assert_false(key_log_parse(key_slice(&key), &a));
}

static void values_survive_and_their_damage_is_seen(void **state) {
    (void)state;
    struct writer out;
    writer_init(&out);
    struct time_entry entry = {.first_offset = 12,
                               .max_timestamp = -1,
                               .ended_ms = 77,
                               .cumulative_bytes = UINT64_MAX},
                      back;
    time_entry_encode(&entry, &out);
    assert_true(time_entry_decode(writer_slice(&out), &back));
    assert_int_equal(back.first_offset, 12);
    assert_int_equal(back.max_timestamp, -1);
    assert_int_equal(back.ended_ms, 77);
    assert_true(back.cumulative_bytes == UINT64_MAX);
    for (size_t size = 0; size < out.size; size++)
        assert_false(time_entry_decode(slice_make(out.data, size), &back));
    out.data[0]++; /* another version */
    assert_false(time_entry_decode(writer_slice(&out), &back));
    writer_clear(&out);
    struct partition_meta meta = {.log_start_offset = 1LL << 40, .deleted_bytes = 5}, meta_back;
    partition_meta_encode(&meta, &out);
    assert_true(partition_meta_decode(writer_slice(&out), &meta_back));
    assert_int_equal(meta_back.log_start_offset, meta.log_start_offset);
    assert_int_equal(meta_back.deleted_bytes, 5);
    for (size_t size = 0; size < out.size; size++)
        assert_false(partition_meta_decode(slice_make(out.data, size), &meta_back));
    writer_u8(&out, 0); /* something behind it */
    assert_false(partition_meta_decode(writer_slice(&out), &meta_back));
    writer_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_order_as_their_numbers),
        cmocka_unit_test(a_group_is_one_range),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(damaged_keys_are_told_apart),
        cmocka_unit_test(values_survive_and_their_damage_is_seen),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
