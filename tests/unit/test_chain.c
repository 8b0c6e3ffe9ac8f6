// SPDX-License-Identifier: Apache-2.0
#include "base/chain.h"
#include "base/prng.h"
#include "lib/test.h"

/* A chain and a plain array get the same random appends, moves and consumes, and must hold the same bytes. */
static void a_chain_holds_what_an_array_would(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct chain chain, other;
        chain_init(&chain);
        chain_init(&other);
        static uint8_t model[1 << 20];
        size_t from = 0, to = 0;
        for (int step = 0; step < 200; step++) {
            uint8_t bytes[3000];
            size_t size = prng_below(&prng, prng_chance(&prng, 1, 4) ? sizeof bytes : 40);
            prng_bytes(&prng, bytes, size);
            struct slice *slices = (struct slice[4]){0};
            switch (prng_below(&prng, 4)) {
            case 0:
                chain_append_copy(&chain, slice_make(bytes, size));
                memcpy(model + to, bytes, size);
                to += size;
                break;
            case 1: {
                struct buffer *buffer = buffer_copy(slice_make(bytes, size));
                chain_append_shared(&chain, (struct shared_slice){slice_make(buffer->data, size), buffer});
                buffer_unref(buffer);
                memcpy(model + to, bytes, size);
                to += size;
                break;
            }
            case 2: {
                size_t consumed = prng_below(&prng, chain.size + 1);
                chain_consume(&chain, consumed);
                from += consumed;
                break;
            }
            case 3: { /* out to another chain and back: same bytes, rotated */
                size_t moved = prng_below(&prng, chain.size + 1);
                chain_move(&other, &chain, moved);
                chain_append_chain(&chain, &other);
                assert_int_equal(other.size, 0);
                static uint8_t rotated[1 << 20];
                memcpy(rotated, model + from + moved, to - from - moved);
                memcpy(rotated + (to - from - moved), model + from, moved);
                memcpy(model + from, rotated, to - from);
                break;
            }
            }
            assert_int_equal(chain.size, to - from);
            size_t count = chain_peek(&chain, slices, 4), at = from;
            for (size_t i = 0; i < count; i++) {
                assert_memory_equal(slices[i].data, model + at, slices[i].size);
                at += slices[i].size;
            }
        }
        struct buffer *flat = chain_flatten(&chain);
        assert_memory_equal(flat->data, model + from, to - from);
        buffer_unref(flat);
        chain_release(&chain);
        chain_release(&other);
        assert_int_equal(buffer_bytes_live(), 0);
    }
}

static void shared_bytes_are_not_copied(void **state) {
    (void)state;
    struct chain chain;
    chain_init(&chain);
    struct buffer *buffer = buffer_new(100);
    chain_append_copy(&chain, SLICE_LITERAL("head"));
    chain_append_shared(&chain, (struct shared_slice){slice_make(buffer->data + 10, 50), buffer});
    chain_append_copy(&chain, SLICE_LITERAL("tail"));
    struct slice slices[4];
    assert_int_equal(chain_peek(&chain, slices, 4), 3);
    assert_ptr_equal(slices[1].data, buffer->data + 10);
    assert_int_equal(buffer->references, 2);
    chain_consume(&chain, 54);
    assert_int_equal(buffer->references, 1);
    buffer_unref(buffer);
    chain_release(&chain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_holds_what_an_array_would),
        cmocka_unit_test(shared_bytes_are_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
