// SPDX-License-Identifier: Apache-2.0
#include "lib/test.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "base/prng.h"
#include "wire/grpc_message.h"

#define SIZE_MAX_HERE 100000

/* Three messages, one of them empty, in pieces of every size from 1 to all: the same come out. */
static void test_pieces(void **state) {
    (void)state;
    struct chain chain;
    chain_init(&chain);
    uint8_t large[5000];
    memset(large, 'x', sizeof large);
    grpc_message_append(&chain, SLICE_LITERAL("hello"), GRPC_IDENTITY);
    grpc_message_append(&chain, SLICE_EMPTY, GRPC_IDENTITY);
    grpc_message_begin(&chain, sizeof large);
    chain_append_copy(&chain, slice_make(large, sizeof large));
    struct buffer *bytes = chain_flatten(&chain);
    assert_int_equal(chain.size, 3 * 5 + 5 + 5000);
    for (size_t piece = 1; piece <= bytes->size; piece = piece < 40 ? piece + 1 : piece * 3 / 2) {
        struct grpc_message_reader reader;
        grpc_message_reader_init(&reader, GRPC_IDENTITY, SIZE_MAX_HERE);
        int count = 0;
        for (size_t at = 0; at < bytes->size; at += piece) {
            struct slice in = slice_make(bytes->data + at,
                                         at + piece > bytes->size ? bytes->size - at : piece);
            struct grpc_message message;
            while (grpc_message_next(&reader, &in, &message) == STATUS_OK) {
                struct slice expected = count == 0   ? SLICE_LITERAL("hello")
                                        : count == 1 ? SLICE_EMPTY
                                                     : slice_make(large, sizeof large);
                assert_slice_equal(message.bytes, expected);
                if (piece >= bytes->size) assert_null(message.owner); /* whole: lent */
                buffer_unref(message.owner);
                count++;
            }
            assert_int_equal(in.size, 0);
        }
        assert_int_equal(count, 3);
        assert_true(grpc_message_reader_at_boundary(&reader));
        assert_int_equal(grpc_message_reader_held(&reader), 0);
        grpc_message_reader_release(&reader);
    }
    buffer_unref(bytes);
    chain_release(&chain);
}

static enum status read_one(struct slice in, enum grpc_encoding encoding) {
    struct grpc_message_reader reader;
    grpc_message_reader_init(&reader, encoding, SIZE_MAX_HERE);
    struct grpc_message message;
    enum status status = grpc_message_next(&reader, &in, &message);
    buffer_unref(message.owner);
    grpc_message_reader_release(&reader);
    return status;
}

static void test_bad_headers(void **state) {
    (void)state;
    assert_status(read_one(slice_make("\2\0\0\0\0", 5), GRPC_GZIP), STATUS_MALFORMED);
    assert_status(read_one(slice_make("\1\0\0\0\0", 5), GRPC_IDENTITY), STATUS_MALFORMED);
    assert_status(read_one(slice_make("\0\xff\xff\xff\xff", 5), GRPC_IDENTITY), STATUS_TOO_LARGE);
    assert_status(read_one(slice_make("\0\0\1\x86\xa1", 5), GRPC_IDENTITY), STATUS_TOO_LARGE); /* one above */
    assert_status(read_one(slice_make("\0\0\1\x86\xa0", 5), GRPC_IDENTITY), STATUS_PENDING);
    assert_status(read_one(slice_make("\1\0\0\0\3xyz", 8), GRPC_GZIP), STATUS_CORRUPT_MESSAGE);
    assert_status(read_one(slice_make("\0\0", 2), GRPC_IDENTITY), STATUS_PENDING);
}

static void test_gzip(void **state) {
    (void)state;
    struct chain chain;
    chain_init(&chain);
    uint8_t *zeros = mem_calloc(1, 2 * SIZE_MAX_HERE);
    grpc_message_append(&chain, slice_make(zeros, SIZE_MAX_HERE), GRPC_GZIP);
    assert_true(chain.size < 1000);
    grpc_message_append(&chain, SLICE_LITERAL("ab"), GRPC_GZIP); /* would grow: sent as it is */
    struct buffer *bytes = chain_flatten(&chain);
    assert_int_equal(bytes->data[bytes->size - 7], 0);
    struct slice in = slice_make(bytes->data, bytes->size);
    struct grpc_message_reader reader;
    grpc_message_reader_init(&reader, GRPC_GZIP, SIZE_MAX_HERE);
    struct grpc_message message;
    assert_status(grpc_message_next(&reader, &in, &message), STATUS_OK);
    assert_slice_equal(message.bytes, slice_make(zeros, SIZE_MAX_HERE));
    buffer_unref(message.owner);
    assert_status(grpc_message_next(&reader, &in, &message), STATUS_OK);
    assert_slice_equal(message.bytes, SLICE_LITERAL("ab"));
    assert_null(message.owner);
    buffer_unref(bytes);
    chain_release(&chain);

    /* Small on the wire, too large when inflated. */
    grpc_message_append(&chain, slice_make(zeros, SIZE_MAX_HERE + 1), GRPC_GZIP);
    bytes = chain_flatten(&chain);
    assert_status(read_one(slice_make(bytes->data, bytes->size), GRPC_GZIP), STATUS_TOO_LARGE);
    buffer_unref(bytes);
    chain_release(&chain);
    mem_free(zeros);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_gzip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
