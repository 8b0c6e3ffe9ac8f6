// SPDX-License-Identifier: Apache-2.0
#include "base/cursor.h"
#include "base/prng.h"
#include "lib/test.h"

static void what_is_written_is_read_back(void **state) {
    (void)state;
    struct writer w;
    writer_init(&w);
    writer_u8(&w, 0xab);
    writer_be16(&w, 0x1234);
    writer_be32(&w, 0x12345678);
    writer_be64(&w, 0x123456789abcdef0);
    writer_le16(&w, 0x1234);
    writer_le32(&w, 0x12345678);
    writer_le64(&w, 0x123456789abcdef0);
    writer_text(&w, "text");
    writer_printf(&w, "%0200d", 7);
    assert_memory_equal(w.data, "\xab\x12\x34\x12\x34\x56\x78", 7);
    assert_memory_equal(w.data + 15, "\x34\x12\x78\x56\x34\x12", 6);
    struct reader r = reader_make(writer_slice(&w));
    assert_int_equal(reader_u8(&r), 0xab);
    assert_int_equal(reader_be16(&r), 0x1234);
    assert_int_equal(reader_be32(&r), 0x12345678);
    assert_true(reader_be64(&r) == 0x123456789abcdef0);
    assert_int_equal(reader_le16(&r), 0x1234);
    assert_int_equal(reader_le32(&r), 0x12345678);
    assert_true(reader_le64(&r) == 0x123456789abcdef0);
    assert_slice_equal(reader_bytes(&r, 4), SLICE_LITERAL("text"));
    assert_int_equal(reader_remaining(&r), 200);
    reader_skip(&r, 199);
    assert_int_equal(reader_u8(&r), '7');
    assert_true(reader_ok(&r));
    writer_release(&w);
}

/* A writer that begins in somebody else's memory goes to the heap when that is full, and takes along what it
 * has. */
static void a_writer_begins_in_lent_memory(void **state) {
    (void)state;
    uint8_t memory[16];
    struct writer w;
    for (size_t size = 0; size < 40; size++) {
        memset(memory, 0xee, sizeof memory);
        writer_init_in(&w, memory, sizeof memory);
        for (size_t i = 0; i < size; i++)
            writer_u8(&w, (uint8_t)i);
        assert_int_equal(w.size, size);
        assert_true((w.data == memory) == (size <= sizeof memory));
        for (size_t i = 0; i < size; i++)
            assert_int_equal(w.data[i], i);
        writer_clear(&w);
        writer_be32(&w, 7);
        assert_int_equal(load_be32(w.data), 7);
        writer_release(&w);
        assert_null(w.data);
    }
}

static void an_empty_writer_has_an_address(void **state) {
    (void)state;
    struct writer w;
    writer_init(&w);
    assert_non_null(writer_extend(&w, 0));
    assert_int_equal(w.size, 0);
    writer_release(&w);
}

static void an_error_is_sticky(void **state) {
    (void)state;
    struct reader r = reader_make(SLICE_LITERAL("abc"));
    assert_int_equal(reader_be32(&r), 0);
    assert_false(reader_ok(&r));
    assert_int_equal(reader_u8(&r), 0);
    assert_int_equal(reader_remaining(&r), 0);
    r = reader_make(SLICE_EMPTY);
    assert_int_equal(reader_bytes(&r, UINT64_MAX).size, 0);
    assert_false(reader_ok(&r));
}

static void varints_of_every_length(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 1);
    for (int i = 0; i < 20000; i++) {
        uint64_t v = prng_next(&prng) >> prng_below(&prng, 64);
        int64_t s = (int64_t)prng_next(&prng) >> prng_below(&prng, 64);
        struct writer w;
        writer_init(&w);
        writer_varint64(&w, v);
        writer_zigzag64(&w, s);
        writer_varint64(&w, (uint32_t)v);
        writer_zigzag64(&w, (int32_t)s);
        struct reader r = reader_make(writer_slice(&w));
        assert_true(reader_varint64(&r) == v);
        assert_true(reader_zigzag64(&r) == s);
        assert_true(reader_varint32(&r) == (uint32_t)v);
        assert_true(reader_zigzag32(&r) == (int32_t)s);
        assert_true(reader_ok(&r));
        assert_int_equal(reader_remaining(&r), 0);
        for (size_t cut = 0; cut < w.size; cut++) {
            r = reader_make(slice_make(w.data, cut));
            (void)reader_varint64(&r);
            (void)reader_zigzag64(&r);
            (void)reader_varint32(&r);
            (void)reader_zigzag32(&r);
            assert_false(reader_ok(&r));
        }
        writer_release(&w);
    }
}

static void varints_that_do_not_fit_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } bad32[] = {
        {"\xff\xff\xff\xff\x10", 5}, {"\x80\x80\x80\x80\x80\x00", 6}, {"\xff\xff\xff\xff\xff\x01", 6}};
    for (size_t i = 0; i < sizeof bad32 / sizeof *bad32; i++) {
        struct reader r = reader_make(slice_make(bad32[i].bytes, bad32[i].size));
        (void)reader_varint32(&r);
        assert_false(reader_ok(&r));
    }
    struct reader r = reader_make(SLICE_LITERAL("\xff\xff\xff\xff\x0f"));
    assert_true(reader_varint32(&r) == UINT32_MAX);
    assert_true(reader_ok(&r));
    r = reader_make(SLICE_LITERAL("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"));
    (void)reader_varint64(&r);
    assert_false(reader_ok(&r));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_writer_begins_in_lent_memory),
        cmocka_unit_test(an_empty_writer_has_an_address),
        cmocka_unit_test(an_error_is_sticky),
        cmocka_unit_test(varints_of_every_length),
        cmocka_unit_test(varints_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
