// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a message between members: what is accepted keeps the promises of raft_message.h, and means
 * the same when it is encoded and decoded again. */
#include "base/assert.h"
#include "base/mem.h"
#include "raft/raft_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_entries(const struct raft_message *m) {
    uint64_t end = m->kind == RAFT_APPEND ? m->append.prev : m->repair.from;
    uint64_t term = m->kind == RAFT_APPEND ? m->append.prev_term : 0;
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *entry = &m->entries[i];
        ASSERT_EQ(entry->base, end);
        ASSERT_LT(entry->base, entry->end);
        ASSERT_LE(term, entry->term);
        ASSERT_LE(entry->term, m->term);
        end = entry->end;
        term = entry->term;
    }
    ASSERT_LE(end, RAFT_POSITION_MAX);
}

static struct buffer *encode(const struct raft_message *m) {
    struct writer scratch;
    struct chain chain;
    writer_init(&scratch);
    chain_init(&chain);
    raft_message_encode(m, &scratch, &chain);
    struct buffer *bytes = chain_flatten(&chain);
    chain_release(&chain);
    writer_release(&scratch);
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct raft_message_decoder first, second;
    raft_message_decoder_init(&first);
    raft_message_decoder_init(&second);
    struct buffer *input = buffer_copy(slice_make(data, size));
    if (raft_message_decode(&first, (struct shared_slice){slice_make(input->data, size), input}) ==
        STATUS_OK) {
        const struct raft_message *m = &first.message;
        if (m->kind == RAFT_APPEND || m->kind == RAFT_REPAIR_REPLY) check_entries(m);
        if (m->kind == RAFT_SNAPSHOT_PIECE) ASSERT(m->piece.snapshot.config != NULL);
        struct writer text;
        writer_init(&text);
        raft_message_print(&text, m);
        writer_release(&text);
        struct buffer *once = encode(m);
        enum status status = raft_message_decode(
            &second, (struct shared_slice){slice_make(once->data, once->size), once});
        ASSERT(status == STATUS_OK);
        struct buffer *twice = encode(&second.message);
        ASSERT(slice_equal(slice_make(once->data, once->size), slice_make(twice->data, twice->size)));
        buffer_unref(once);
        buffer_unref(twice);
    }
    raft_message_decoder_release(&first);
    raft_message_decoder_release(&second);
    buffer_unref(input);
    return 0;
}
