// SPDX-License-Identifier: Apache-2.0
/* test_murmur2.c: the values the Java client's own tests expect, and the partition they lead to. */

#include "base/units.h"
#include "lib/test.h"
#include "wire/murmur2.h"

static const struct {
    const char *key;
    int32_t hash;
} VECTORS[] = {
    {"21", -973932308},
    {"foobar", -790332482},
    {"a-little-bit-long-string", -985981536},
    {"a-little-bit-longer-string", -1486304829},
    {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
    {"abc", 479470107},
};

static void test_known_keys(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(VECTORS); i++)
        assert_int_equal((int32_t)murmur2(slice_from_text(VECTORS[i].key)), VECTORS[i].hash);
}

static void test_partition_masks_the_sign(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(VECTORS); i++) {
        int64_t positive = (int64_t)VECTORS[i].hash & 0x7fffffff;
        assert_int_equal(murmur2_partition(slice_from_text(VECTORS[i].key), 7), positive % 7);
        assert_int_equal(murmur2_partition(slice_from_text(VECTORS[i].key), 1), 0);
    }
}

static void test_empty_key_has_a_hash(void **state) {
    (void)state;
    assert_int_equal(murmur2(SLICE_EMPTY), 275646681);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_keys),
        cmocka_unit_test(test_partition_masks_the_sign),
        cmocka_unit_test(test_empty_key_has_a_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
