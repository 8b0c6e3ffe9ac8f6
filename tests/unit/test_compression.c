// SPDX-License-Identifier: Apache-2.0
/* test_compression.c: round trips, foreign encoders' output, and hostile input for each codec. */

#include "base/prng.h"
#include "base/units.h"
#include "lib/test.h"
#include "wire/compression.h"

static const char TEXT[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa sentinel";

/* TEXT as the gzip, lz4 and zstd command-line programs write it. */
static const uint8_t FOREIGN_GZIP[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x4b,
                                       0x4c, 0x24, 0x0d, 0x28, 0x14, 0xa7, 0xe6, 0x95, 0x64, 0xe6, 0xa5,
                                       0xe6, 0x00, 0x00, 0x0c, 0x1b, 0x28, 0xde, 0x39, 0x00, 0x00, 0x00};
static const uint8_t FOREIGN_LZ4[] = {0x04, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7, 0x0f, 0x00, 0x00, 0x00, 0x1f,
                                      0x61, 0x01, 0x00, 0x1c, 0x90, 0x20, 0x73, 0x65, 0x6e, 0x74, 0x69, 0x6e,
                                      0x65, 0x6c, 0x00, 0x00, 0x00, 0x00, 0x2b, 0x5b, 0x89, 0x57};
static const uint8_t FOREIGN_ZSTD[] = {0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x39, 0x8d, 0x00, 0x00, 0x58,
                                       0x61, 0x61, 0x20, 0x73, 0x65, 0x6e, 0x74, 0x69, 0x6e, 0x65,
                                       0x6c, 0x01, 0x00, 0x9b, 0x00, 0x0b, 0x58, 0xbb, 0x40, 0xab};

static void assert_inflates(enum record_codec codec, struct slice in, struct slice expected) {
    struct writer out;
    writer_init(&out);
    writer_text(&out, "kept");
    assert_int_equal(codec_inflate(codec, in, expected.size, &out), STATUS_OK);
    assert_int_equal(out.size, 4 + expected.size);
    assert_memory_equal(out.data, "kept", 4);
    if (expected.size > 0) assert_memory_equal(out.data + 4, expected.data, expected.size);
    writer_release(&out);
}

static enum status inflate_status(enum record_codec codec, struct slice in, size_t size_max) {
    struct writer out;
    writer_init(&out);
    enum status status = codec_inflate(codec, in, size_max, &out);
    if (status != STATUS_OK) assert_int_equal(out.size, 0);
    writer_release(&out);
    return status;
}

static void test_round_trip(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 57, 4096, 70000, 1 << 20};
    struct prng prng;
    prng_init(&prng, 1);
    for (int codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
            struct writer in, deflated;
            writer_init(&in);
            writer_init(&deflated);
            uint8_t *data = writer_extend(&in, sizes[i]);
            if (sizes[i] > 0) prng_bytes(&prng, data, sizes[i]);
            if (sizes[i] > 0) memset(data, 'x', sizes[i] / 2);
            assert_int_equal(codec_deflate((enum record_codec)codec, writer_slice(&in), &deflated),
                             STATUS_OK);
            assert_inflates((enum record_codec)codec, writer_slice(&deflated), writer_slice(&in));
            if (sizes[i] > 0)
                assert_int_equal(
                    inflate_status((enum record_codec)codec, writer_slice(&deflated), sizes[i] - 1),
                    STATUS_TOO_LARGE);
            writer_release(&in);
            writer_release(&deflated);
        }
    }
}

static void test_foreign_encoders(void **state) {
    (void)state;
    struct slice text = slice_from_text(TEXT);
    assert_inflates(CODEC_GZIP, slice_make(FOREIGN_GZIP, sizeof FOREIGN_GZIP), text);
    assert_inflates(CODEC_LZ4, slice_make(FOREIGN_LZ4, sizeof FOREIGN_LZ4), text);
    assert_inflates(CODEC_ZSTD, slice_make(FOREIGN_ZSTD, sizeof FOREIGN_ZSTD), text);
}

static void test_gzip_members_are_concatenated(void **state) {
    (void)state;
    uint8_t twice[2 * sizeof FOREIGN_GZIP];
    memcpy(twice, FOREIGN_GZIP, sizeof FOREIGN_GZIP);
    memcpy(twice + sizeof FOREIGN_GZIP, FOREIGN_GZIP, sizeof FOREIGN_GZIP);
    struct writer expected;
    writer_init(&expected);
    writer_text(&expected, TEXT);
    writer_text(&expected, TEXT);
    assert_inflates(CODEC_GZIP, slice_make(twice, sizeof twice), writer_slice(&expected));
    assert_int_equal(inflate_status(CODEC_GZIP, slice_make(twice, sizeof twice), expected.size - 1),
                     STATUS_TOO_LARGE);
    writer_release(&expected);
}

/* Blocks behind the header that snappy-java writes; `version` is not looked at by readers. */
static void xerial_begin(struct writer *out) {
    writer_bytes(out, slice_make("\x82SNAPPY\0", 8));
    writer_be32(out, 1);
    writer_be32(out, 1);
}

static void xerial_block(struct writer *out, const char *text) {
    struct writer block;
    writer_init(&block);
    assert_int_equal(codec_deflate(CODEC_SNAPPY, slice_from_text(text), &block), STATUS_OK);
    writer_be32(out, (uint32_t)block.size);
    writer_bytes(out, writer_slice(&block));
    writer_release(&block);
}

static void test_snappy_xerial_framing(void **state) {
    (void)state;
    struct writer framed;
    writer_init(&framed);
    xerial_begin(&framed);
    assert_inflates(CODEC_SNAPPY, writer_slice(&framed), SLICE_EMPTY);
    xerial_block(&framed, "first block, ");
    xerial_block(&framed, "");
    xerial_block(&framed, "second block");
    assert_inflates(CODEC_SNAPPY, writer_slice(&framed), SLICE_LITERAL("first block, second block"));
    assert_int_equal(inflate_status(CODEC_SNAPPY, writer_slice(&framed), 24), STATUS_TOO_LARGE);
    writer_be32(&framed, 0x7fffffff);
    assert_int_equal(inflate_status(CODEC_SNAPPY, writer_slice(&framed), KIB), STATUS_CORRUPT_MESSAGE);
    writer_release(&framed);
}

static void test_every_cut_is_corrupt(void **state) {
    (void)state;
    for (int codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
        struct writer deflated;
        writer_init(&deflated);
        assert_int_equal(codec_deflate((enum record_codec)codec, slice_from_text(TEXT), &deflated),
                         STATUS_OK);
        for (size_t size = 0; size < deflated.size; size++) {
            struct buffer *cut = buffer_copy(slice_make(deflated.data, size));
            assert_int_equal(inflate_status((enum record_codec)codec, slice_make(cut->data, size), KIB),
                             STATUS_CORRUPT_MESSAGE);
            buffer_unref(cut);
        }
        writer_u8(&deflated, 0x55);
        assert_int_not_equal(inflate_status((enum record_codec)codec, writer_slice(&deflated), KIB),
                             STATUS_OK);
        writer_release(&deflated);
    }
}

/* A few bytes that would become a gibibyte. */
static void test_bombs_stop_at_the_limit(void **state) {
    (void)state;
    struct writer zeros;
    writer_init(&zeros);
    memset(writer_extend(&zeros, 16 * MIB), 0, 16 * MIB);
    for (int codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
        struct writer deflated;
        writer_init(&deflated);
        assert_int_equal(codec_deflate((enum record_codec)codec, writer_slice(&zeros), &deflated), STATUS_OK);
        assert_true(deflated.size < MIB);
        struct writer out;
        writer_init(&out);
        assert_int_equal(codec_inflate((enum record_codec)codec, writer_slice(&deflated), 100 * KIB, &out),
                         STATUS_TOO_LARGE);
        assert_int_equal(out.size, 0);
        assert_true(out.capacity < 512 * KIB);
        writer_release(&out);
        writer_release(&deflated);
    }
    writer_release(&zeros);
    /* Raw snappy that says 2 GiB and brings nothing. */
    assert_int_equal(inflate_status(CODEC_SNAPPY, SLICE_LITERAL("\xff\xff\xff\xff\x07"), GIB),
                     STATUS_CORRUPT_MESSAGE);
}

static void test_unknown_codec(void **state) {
    (void)state;
    assert_int_equal(inflate_status((enum record_codec)5, SLICE_LITERAL("x"), 10),
                     STATUS_UNSUPPORTED_COMPRESSION);
    assert_string_equal(codec_name(CODEC_ZSTD), "zstd");
    assert_string_equal(codec_name((enum record_codec)7), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_foreign_encoders),
        cmocka_unit_test(test_gzip_members_are_concatenated),
        cmocka_unit_test(test_snappy_xerial_framing),
        cmocka_unit_test(test_every_cut_is_corrupt),
        cmocka_unit_test(test_bombs_stop_at_the_limit),
        cmocka_unit_test(test_unknown_codec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
