// SPDX-License-Identifier: Apache-2.0
#include "lib/test.h"

#include "wire/peer_codec.h"

static struct peer_hello hello_example(void) {
    struct peer_hello hello = {.version_min = 1,
                               .version_max = 3,
                               .node = 7,
                               .incarnation = 0xdeadbeef,
                               .wanted = 2,
                               .refusal = PEER_OTHER_CLUSTER,
                               .founding = SLICE_LITERAL("how it began")};
    memcpy(hello.cluster_id, "abcdefghijklmnopqrstuv", PEER_CLUSTER_ID_SIZE);
    return hello;
}

static void a_hello_survives(void **state) {
    (void)state;
    struct peer_hello hello = hello_example(), back;
    struct writer bytes;
    writer_init(&bytes);
    peer_hello_encode(&hello, &bytes);
    assert_status(peer_hello_decode(writer_slice(&bytes), &back), STATUS_OK);
    assert_int_equal(back.version_max, 3);
    assert_int_equal(back.node, 7);
    assert_int_equal(back.incarnation, 0xdeadbeef);
    assert_int_equal(back.wanted, 2);
    assert_int_equal(back.refusal, PEER_OTHER_CLUSTER);
    assert_string_equal(back.cluster_id, hello.cluster_id);
    assert_slice_equal(back.founding, hello.founding);
    for (size_t size = 0; size < bytes.size; size++)
        assert_status(peer_hello_decode(slice_make(bytes.data, size), &back), STATUS_MALFORMED);
    /* What a later version adds is behind, and skipped. */
    writer_text(&bytes, "more");
    assert_status(peer_hello_decode(writer_slice(&bytes), &back), STATUS_OK);
    bytes.data[6] = '\n'; /* in the cluster id: it is printed */
    assert_status(peer_hello_decode(writer_slice(&bytes), &back), STATUS_MALFORMED);
    writer_release(&bytes);
}

static struct buffer *frame_example(void) {
    struct chain message, payload, out;
    chain_init(&message);
    chain_init(&payload);
    chain_init(&out);
    chain_append_copy(&message, SLICE_LITERAL("first"));
    peer_pack_add(&payload, &message);
    struct buffer *shared = buffer_copy(SLICE_LITERAL("second, shared"));
    chain_append_shared(&message, (struct shared_slice){slice_make(shared->data, shared->size), shared});
    buffer_unref(shared);
    peer_pack_add(&payload, &message);
    peer_pack_add(&payload, &message); /* an empty one */
    peer_frame_encode(PEER_MESSAGES, &payload, &out);
    struct buffer *flat = chain_flatten(&out);
    chain_release(&message);
    chain_release(&payload);
    chain_release(&out);
    return flat;
}

static void a_frame_carries_messages(void **state) {
    (void)state;
    struct buffer *bytes = frame_example();
    struct peer_frame frame;
    size_t wanted;
    for (size_t size = 0; size < bytes->size; size++) {
        assert_status(peer_frame_decode(slice_make(bytes->data, size), &frame, &wanted), STATUS_PENDING);
        assert_int_equal(wanted, size < PEER_FRAME_HEAD_SIZE ? PEER_FRAME_HEAD_SIZE : bytes->size);
    }
    assert_status(peer_frame_decode(slice_make(bytes->data, bytes->size), &frame, &wanted), STATUS_OK);
    assert_int_equal(frame.kind, PEER_MESSAGES);
    assert_int_equal(frame.size, bytes->size);
    struct slice rest = frame.payload, message;
    assert_status(peer_pack_next(&rest, &message), STATUS_OK);
    assert_slice_equal(message, SLICE_LITERAL("first"));
    assert_status(peer_pack_next(&rest, &message), STATUS_OK);
    assert_slice_equal(message, SLICE_LITERAL("second, shared"));
    assert_status(peer_pack_next(&rest, &message), STATUS_OK);
    assert_int_equal(message.size, 0);
    assert_status(peer_pack_next(&rest, &message), STATUS_END);
    buffer_unref(bytes);
}

static void every_flipped_bit_is_noticed(void **state) {
    (void)state;
    struct buffer *bytes = frame_example();
    for (size_t bit = 0; bit < bytes->size * 8; bit++) {
        struct peer_frame frame;
        size_t wanted;
        bytes->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum status status = peer_frame_decode(slice_make(bytes->data, bytes->size), &frame, &wanted);
        assert_true(status == STATUS_CORRUPT_MESSAGE || status == STATUS_TOO_LARGE ||
                    (status == STATUS_PENDING && wanted > bytes->size));
        bytes->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buffer_unref(bytes);
}

static void a_message_larger_than_its_frame_is_refused(void **state) {
    (void)state;
    struct slice rest = SLICE_LITERAL("\0\0\0\5four"), message;
    assert_status(peer_pack_next(&rest, &message), STATUS_MALFORMED);
    rest = SLICE_LITERAL("\0\0");
    assert_status(peer_pack_next(&rest, &message), STATUS_MALFORMED);
}

static void the_magic_is_no_other_protocol(void **state) {
    (void)state;
    /* Kafka: a length below 100 MiB; HTTP and gRPC: a capital letter. */
    assert_true(PEER_MAGIC > 100u << 20);
    assert_true(PEER_MAGIC >> 24 > 'Z');
    assert_true(PEER_MAGIC >> 24 != 0x16); /* TLS */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_survives),
        cmocka_unit_test(a_frame_carries_messages),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(a_message_larger_than_its_frame_is_refused),
        cmocka_unit_test(the_magic_is_no_other_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
