// SPDX-License-Identifier: Apache-2.0
/* What a hostile node could send: frames, hellos, packs of messages, and the messages of consensus in them.
 * What decodes must encode to the same again. */
#include "base/assert.h"
#include "raft/raft_message.h"
#include "wire/peer_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_hello(struct slice bytes) {
    struct peer_hello hello, again;
    if (peer_hello_decode(bytes, &hello) != STATUS_OK) return;
    struct writer out;
    writer_init(&out);
    peer_hello_encode(&hello, &out);
    ASSERT(peer_hello_decode(writer_slice(&out), &again) == STATUS_OK);
    ASSERT(again.node == hello.node && again.refusal == hello.refusal);
    ASSERT(slice_equal(again.founding, hello.founding));
    writer_release(&out);
}

static void take_messages(struct slice rest, struct buffer *owner) {
    struct raft_message_decoder decoder;
    raft_message_decoder_init(&decoder);
    struct slice message;
    while (peer_pack_next(&rest, &message) == STATUS_OK) {
        if (raft_message_decode(&decoder, (struct shared_slice){message, owner}) != STATUS_OK) continue;
        struct writer scratch;
        struct chain out;
        writer_init(&scratch);
        chain_init(&out);
        raft_message_encode(&decoder.message, &scratch, &out);
        ASSERT_LE(out.size, message.size + 64); /* longer varints may have come in */
        chain_release(&out);
        writer_release(&scratch);
    }
    raft_message_decoder_release(&decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buffer *owner = buffer_copy(slice_make(data, size));
    struct slice rest = slice_make(owner->data, owner->size);
    struct peer_frame frame;
    size_t wanted;
    while (peer_frame_decode(rest, &frame, &wanted) == STATUS_OK) {
        ASSERT(frame.size <= rest.size);
        if (frame.kind == PEER_MESSAGES) take_messages(frame.payload, owner);
        if (frame.kind == PEER_HELLO || frame.kind == PEER_WELCOME) take_hello(frame.payload);
        rest = slice_make(rest.data + frame.size, rest.size - frame.size);
    }
    /* A checksum is no secret: what stands behind it is tried without, too. */
    if (size > 1 && data[0] % 2 == 0) take_hello(slice_make(owner->data + 1, size - 1));
    if (size > 1 && data[0] % 2 == 1) take_messages(slice_make(owner->data + 1, size - 1), owner);
    buffer_unref(owner);
    return 0;
}
