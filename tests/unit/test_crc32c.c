// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"
#include "base/prng.h"
#include "lib/test.h"

static void vectors_of_rfc_3720(void **state) {
    (void)state;
    uint8_t bytes[32];
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal(crc32c(0, bytes, 32), 0x113fdb5c);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_portable(0, "123456789", 9), 0xe3069283);
}

static void hardware_and_portable_agree_at_every_length_and_split(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 7);
    uint8_t bytes[1100];
    prng_bytes(&prng, bytes, sizeof bytes);
    for (size_t size = 0; size < sizeof bytes - 8; size++) {
        size_t at = prng_below(&prng, 8);
        uint32_t whole = crc32c(0, bytes + at, size);
        assert_int_equal(whole, crc32c_portable(0, bytes + at, size));
        size_t split = prng_below(&prng, size + 1);
        assert_int_equal(whole, crc32c(crc32c(0, bytes + at, split), bytes + at + split, size - split));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_rfc_3720),
        cmocka_unit_test(hardware_and_portable_agree_at_every_length_and_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
