// SPDX-License-Identifier: Apache-2.0
/* test_record_batch.c: batches of another encoder (kafkajs 2.2.4), our own, and damaged ones. */
#include <stdio.h>

#include "base/crc32c.h"
#include "base/prng.h"
#include "base/units.h"
#include "lib/test.h"
#include "wire/compression.h"
#include "wire/record_batch.h"

/* Three records, producer 7 epoch 1 sequence 9, by kafkajs: (k1, first, h=x), (null, second value) 25 ms
 * later, (k3, null) 3 ms earlier. */
static const char FOREIGN_PLAIN[] = "00000000000000000000005f00000000026db0d2c70000000000020000018bcfe5680000"
                                    "00018bcfe5681900000000000000070001"
                                    "000000090000000322000000046b310a666972737402026802782400320201187365636f"
                                    "6e642076616c75650010000504046b3301"
                                    "00";
static const char FOREIGN_GZIP[] = "0000000000000000000000730000000002dee8b88f0001000000020000018bcfe56800000"
                                   "0018bcfe5681900000000000000070001"
                                   "00000009000000031f8b08000000000000035362606060c936e44acb2c2a2e6162ca60aa5"
                                   "06130626294284e4dcecf4b51284bcc29"
                                   "4d651060606561c936666400003d2c0ab62e000000";

static struct buffer *from_hex(const char *text) {
    struct buffer *buffer = buffer_new(strlen(text) / 2);
    for (size_t i = 0; i < buffer->size; i++) {
        unsigned value;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &value), 1);
        buffer->data[i] = (uint8_t)value;
    }
    return buffer;
}

static struct slice buffer_slice(const struct buffer *buffer) {
    return slice_make(buffer->data, buffer->size);
}

static void set_crc(struct buffer *buffer) {
    store_be32(buffer->data + 17, crc32c(0, buffer->data + 21, buffer->size - 21));
}

static enum status validate(const struct buffer *buffer, int32_t *bad_record) {
    struct record_batch batch;
    return record_batch_validate(buffer_slice(buffer), true, MIB, &batch, bad_record);
}

static void assert_text(struct slice bytes, const char *text) {
    if (text == NULL) {
        assert_null(bytes.data);
        return;
    }
    assert_non_null(bytes.data);
    assert_int_equal(bytes.size, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.size);
}

static void assert_foreign(const char *hex) {
    struct buffer *buffer = from_hex(hex);
    struct record_batch batch;
    int32_t bad_record;
    assert_int_equal(record_batch_validate(buffer_slice(buffer), true, KIB, &batch, &bad_record), STATUS_OK);
    assert_int_equal(bad_record, -1);
    assert_int_equal(batch.record_count, 3);
    assert_int_equal(batch.last_offset_delta, 2);
    assert_int_equal(batch.base_timestamp, 1700000000000);
    assert_int_equal(batch.max_timestamp, 1700000000025);
    assert_int_equal(batch.producer_id, 7);
    assert_int_equal(batch.producer_epoch, 1);
    assert_int_equal(batch.base_sequence, 9);
    record_batch_set_base(buffer->data, 100, 4);
    assert_int_equal(record_batch_read_trusted(buffer_slice(buffer), &batch), STATUS_OK);
    assert_int_equal(batch.leader_epoch, 4);
    assert_int_equal(record_batch_last_offset(&batch), 102);

    struct arena arena;
    arena_init(&arena, KIB);
    struct record_iterator it;
    assert_int_equal(record_iterator_init(&it, &batch, &arena, KIB), STATUS_OK);
    struct record record;
    assert_int_equal(record_iterator_next(&it, &record), STATUS_OK);
    assert_int_equal(record.offset, 100);
    assert_int_equal(record.timestamp, 1700000000000);
    assert_text(record.key, "k1");
    assert_text(record.value, "first");
    assert_int_equal(record.header_count, 1);
    struct slice name, value;
    assert_int_equal(record_header_next(&record.headers, &name, &value), STATUS_OK);
    assert_text(name, "h");
    assert_text(value, "x");
    assert_int_equal(record_header_next(&record.headers, &name, &value), STATUS_END);
    assert_int_equal(record_iterator_next(&it, &record), STATUS_OK);
    assert_int_equal(record.timestamp, 1700000000025);
    assert_text(record.key, NULL);
    assert_text(record.value, "second value");
    assert_int_equal(record_iterator_next(&it, &record), STATUS_OK);
    assert_int_equal(record.offset, 102);
    assert_int_equal(record.timestamp, 1699999999997);
    assert_text(record.value, NULL);
    assert_int_equal(record_iterator_next(&it, &record), STATUS_END);
    arena_release(&arena);
    buffer_unref(buffer);
}

static void test_foreign_batches(void **state) {
    (void)state;
    assert_foreign(FOREIGN_PLAIN);
    assert_foreign(FOREIGN_GZIP);
}

/* The same records give the same bytes as the other encoder, but for the header fields it fills
 * differently. */
static void test_builder_writes_what_others_write(void **state) {
    (void)state;
    struct buffer *expected = from_hex(FOREIGN_PLAIN);
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    struct record_header header = {SLICE_LITERAL("h"), SLICE_LITERAL("x")};
    record_batch_add(&builder, 1700000000000, SLICE_LITERAL("k1"), SLICE_LITERAL("first"), &header, 1);
    record_batch_add(&builder, 1700000000025, SLICE_EMPTY, SLICE_LITERAL("second value"), NULL, 0);
    record_batch_add(&builder, 1699999999997, SLICE_LITERAL("k3"), SLICE_EMPTY, NULL, 0);
    assert_int_equal(record_batch_builder_size(&builder), expected->size);
    struct record_batch_producer producer = {.id = 7, .epoch = 1, .base_sequence = 9};
    struct buffer *built = record_batch_finish(&builder, CODEC_NONE, &producer);
    record_batch_set_base(built->data, 0, 0);
    assert_int_equal(built->size, expected->size);
    assert_memory_equal(built->data, expected->data, expected->size);
    buffer_unref(expected);
    buffer_unref(built);
    record_batch_builder_release(&builder);
}

static void add_random_record(struct prng *prng, struct record_batch_builder *builder) {
    uint8_t bytes[300];
    prng_bytes(prng, bytes, sizeof bytes);
    struct record_header headers[3];
    uint32_t header_count = (uint32_t)prng_below(prng, 4);
    for (uint32_t i = 0; i < header_count; i++) {
        headers[i].name = slice_make(bytes + i, prng_below(prng, 20));
        headers[i].value = prng_chance(prng, 1, 3) ? SLICE_EMPTY : slice_make(bytes, prng_below(prng, 200));
    }
    struct slice key = prng_chance(prng, 1, 3) ? SLICE_EMPTY : slice_make(bytes, prng_below(prng, 100));
    struct slice value = prng_chance(prng, 1, 5) ? SLICE_EMPTY : slice_make(bytes, prng_below(prng, 300));
    record_batch_add(builder, (int64_t)prng_below(prng, INT64_MAX), key, value, headers, header_count);
}

static void test_round_trip_with_each_codec(void **state) {
    (void)state;
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    for (uint64_t seed = 0; seed < 50; seed++) {
        for (int codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
            struct prng prng;
            prng_init(&prng, seed);
            int32_t count = (int32_t)prng_range(&prng, 1, 40);
            for (int32_t i = 0; i < count; i++)
                add_random_record(&prng, &builder);
            struct buffer *built = record_batch_finish(&builder, (enum record_codec)codec, NULL);
            struct record_batch batch;
            int32_t bad_record;
            assert_int_equal(record_batch_validate(buffer_slice(built), true, MIB, &batch, &bad_record),
                             STATUS_OK);
            assert_int_equal(batch.record_count, count);
            assert_int_equal(record_batch_codec(&batch), codec);
            assert_int_equal(batch.producer_id, -1);
            struct arena arena;
            arena_init(&arena, KIB);
            struct record_iterator it;
            assert_int_equal(record_iterator_init(&it, &batch, &arena, MIB), STATUS_OK);
            struct record record;
            int32_t seen = 0;
            while (record_iterator_next(&it, &record) == STATUS_OK)
                assert_int_equal(record.offset, seen++);
            assert_int_equal(seen, count);
            arena_release(&arena);
            buffer_unref(built);
        }
    }
    record_batch_builder_release(&builder);
}

static void test_lengths_and_magic(void **state) {
    (void)state;
    struct buffer *good = from_hex(FOREIGN_PLAIN);
    int32_t bad_record;
    for (size_t size = 0; size < good->size; size++) {
        struct buffer *cut = buffer_copy(slice_make(good->data, size));
        assert_int_equal(validate(cut, &bad_record), STATUS_CORRUPT_MESSAGE);
        buffer_unref(cut);
    }
    static const uint32_t lengths[] = {0, 1, 48, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        struct buffer *bad = buffer_copy(buffer_slice(good));
        store_be32(bad->data + 8, lengths[i]);
        assert_int_equal(validate(bad, &bad_record), STATUS_CORRUPT_MESSAGE);
        buffer_unref(bad);
    }
    static const enum status by_magic[] = {STATUS_UNSUPPORTED_FORMAT, STATUS_UNSUPPORTED_FORMAT, STATUS_OK,
                                           STATUS_CORRUPT_MESSAGE};
    for (uint8_t magic = 0; magic < 4; magic++) {
        good->data[16] = magic;
        assert_int_equal(validate(good, &bad_record), by_magic[magic]);
    }
    buffer_unref(good);
}

static void test_every_flipped_bit_behind_the_checksum_is_found(void **state) {
    (void)state;
    struct buffer *good = from_hex(FOREIGN_GZIP);
    int32_t bad_record;
    for (size_t bit = 17 * 8; bit < good->size * 8; bit++) {
        good->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(validate(good, &bad_record), STATUS_CORRUPT_MESSAGE);
        good->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(validate(good, &bad_record), STATUS_OK);
    buffer_unref(good);
}

/* A field changed with the checksum made right again. */
static enum status validate_changed(size_t at, const char *bytes, size_t size, int32_t *bad_record) {
    struct buffer *bad = from_hex(FOREIGN_PLAIN);
    memcpy(bad->data + at, bytes, size);
    set_crc(bad);
    enum status status = validate(bad, bad_record);
    buffer_unref(bad);
    return status;
}

static void test_headers_that_lie(void **state) {
    (void)state;
    int32_t bad;
    assert_int_equal(validate_changed(57, "\xff\xff\xff\xff", 4, &bad), STATUS_CORRUPT_MESSAGE);
    assert_int_equal(validate_changed(57, "\x7f\xff\xff\xff", 4, &bad), STATUS_CORRUPT_MESSAGE);
    assert_int_equal(validate_changed(57, "\0\0\0\4", 4, &bad), STATUS_CORRUPT_MESSAGE);
    assert_int_equal(validate_changed(57, "\0\0\0\0", 4, &bad), STATUS_INVALID_RECORD);
    assert_int_equal(validate_changed(57, "\0\0\0\2", 4, &bad), STATUS_INVALID_RECORD);
    assert_int_equal(validate_changed(23, "\0\0\0\3", 4, &bad), STATUS_INVALID_RECORD);
    assert_int_equal(validate_changed(23, "\xff\xff\xff\xff", 4, &bad), STATUS_CORRUPT_MESSAGE);
    assert_int_equal(validate_changed(0, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, &bad),
                     STATUS_CORRUPT_MESSAGE);
    assert_int_equal(validate_changed(0, "\x7f\xff\xff\xff\xff\xff\xff\xff", 8, &bad),
                     STATUS_CORRUPT_MESSAGE);
    assert_int_equal(validate_changed(21, "\0\5", 2, &bad), STATUS_UNSUPPORTED_COMPRESSION);
    assert_int_equal(validate_changed(21, "\0\x20", 2, &bad), STATUS_INVALID_RECORD); /* control */
    assert_int_equal(validate_changed(21, "\0\1", 2, &bad), STATUS_CORRUPT_MESSAGE);  /* not gzip */
    struct buffer *two = buffer_new(2 * (sizeof FOREIGN_PLAIN / 2));
    struct buffer *one = from_hex(FOREIGN_PLAIN);
    memcpy(two->data, one->data, one->size);
    memcpy(two->data + one->size, one->data, one->size);
    assert_int_equal(validate(two, &bad), STATUS_INVALID_RECORD);
    struct record_batch batch;
    assert_int_equal(record_batch_read(buffer_slice(two), &batch), STATUS_OK);
    assert_int_equal(batch.bytes.size, one->size);
    buffer_unref(one);
    buffer_unref(two);
}

static void test_records_that_lie(void **state) {
    (void)state;
    int32_t bad;
    /* first record at 61: length, attributes, timestamp delta, offset delta, key length, ... */
    assert_int_equal(validate_changed(61, "\x20", 1, &bad), STATUS_INVALID_RECORD); /* shorter */
    assert_int_equal(bad, 0);
    assert_int_equal(validate_changed(61, "\x7e", 1, &bad), STATUS_INVALID_RECORD); /* longer */
    assert_int_equal(validate_changed(61, "\x01", 1, &bad), STATUS_INVALID_RECORD); /* negative */
    assert_int_equal(validate_changed(64, "\x02", 1, &bad), STATUS_INVALID_RECORD); /* offset delta 1 */
    assert_int_equal(bad, 0);
    assert_int_equal(validate_changed(65, "\x03", 1, &bad), STATUS_INVALID_RECORD); /* key length -2 */
    assert_int_equal(validate_changed(65, "\x7e", 1, &bad), STATUS_INVALID_RECORD); /* key too long */
    assert_int_equal(validate_changed(74, "\x7e", 1, &bad), STATUS_INVALID_RECORD); /* 63 headers */
    assert_int_equal(validate_changed(75, "\x01", 1, &bad), STATUS_INVALID_RECORD); /* null header name */
    /* the second record, at 79 */
    assert_int_equal(validate_changed(82, "\x08", 1, &bad), STATUS_INVALID_RECORD);
    assert_int_equal(bad, 1);
}

static void test_compressed_bomb_is_too_large(void **state) {
    (void)state;
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    struct buffer *value = buffer_new(2 * MIB);
    memset(value->data, 0, value->size);
    for (int codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
        record_batch_add(&builder, 0, SLICE_EMPTY, buffer_slice(value), NULL, 0);
        struct buffer *built = record_batch_finish(&builder, (enum record_codec)codec, NULL);
        int32_t bad_record;
        assert_int_equal(validate(built, &bad_record), STATUS_TOO_LARGE);
        struct record_batch batch;
        assert_int_equal(record_batch_validate(buffer_slice(built), false, 0, &batch, &bad_record),
                         STATUS_OK);
        buffer_unref(built);
    }
    buffer_unref(value);
    record_batch_builder_release(&builder);
}

static void test_append_time_replaces_timestamps(void **state) {
    (void)state;
    struct buffer *buffer = from_hex(FOREIGN_PLAIN);
    record_batch_set_append_time(buffer->data, buffer->size, 1800000000000);
    struct record_batch batch;
    int32_t bad_record;
    assert_int_equal(record_batch_validate(buffer_slice(buffer), true, KIB, &batch, &bad_record), STATUS_OK);
    assert_int_equal(batch.max_timestamp, 1800000000000);
    struct arena arena;
    arena_init(&arena, KIB);
    struct record_iterator it;
    struct record record;
    assert_int_equal(record_iterator_init(&it, &batch, &arena, 0), STATUS_OK);
    while (record_iterator_next(&it, &record) == STATUS_OK)
        assert_int_equal(record.timestamp, 1800000000000);
    arena_release(&arena);
    buffer_unref(buffer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_batches),
        cmocka_unit_test(test_builder_writes_what_others_write),
        cmocka_unit_test(test_round_trip_with_each_codec),
        cmocka_unit_test(test_lengths_and_magic),
        cmocka_unit_test(test_every_flipped_bit_behind_the_checksum_is_found),
        cmocka_unit_test(test_headers_that_lie),
        cmocka_unit_test(test_records_that_lie),
        cmocka_unit_test(test_compressed_bomb_is_too_large),
        cmocka_unit_test(test_append_time_replaces_timestamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
