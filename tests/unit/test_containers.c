// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/prng.h"
#include "lib/test.h"

static void a_map_finds_what_was_put_and_iterates_in_order_of_insertion(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 3);
    struct map map;
    map_init(&map, 99);
    static int present[2000], order[2000];
    memset(present, 0, sizeof present);
    int next = 1;
    for (int step = 0; step < 50000; step++) {
        size_t k = prng_below(&prng, 2000);
        char key[16];
        int size = snprintf(key, sizeof key, "key-%zu", k);
        struct slice bytes = slice_make(key, (size_t)size);
        if (prng_chance(&prng, 1, 2)) {
            void *old = map_put(&map, bytes, &present[k]);
            assert_ptr_equal(old, present[k] ? &present[k] : NULL);
            if (!present[k]) order[k] = next++;
            present[k] = 1;
        } else {
            void *old = map_remove(&map, bytes);
            assert_ptr_equal(old, present[k] ? &present[k] : NULL);
            present[k] = 0;
        }
    }
    struct map taken;
    map_init(&taken, 1);
    map_take(&taken, &map);
    assert_int_equal(map.count, 0);
    assert_true(list_empty(&map.order));
    assert_null(map_put(&map, SLICE_LITERAL("key-0"), &next)); /* it can be used as before */
    size_t count = 0;
    int last = 0;
    MAP_FOREACH(it, &taken) {
        ptrdiff_t k = (int *)MAP_ENTRY(it)->value - present;
        assert_true(present[k]);
        assert_true(order[k] > last);
        last = order[k];
        count++;
    }
    assert_int_equal(count, taken.count);
    for (size_t k = 0; k < 2000; k++) {
        char key[16];
        int size = snprintf(key, sizeof key, "key-%zu", k);
        assert_ptr_equal(map_get(&taken, slice_make(key, (size_t)size)), present[k] ? &present[k] : NULL);
    }
    map_release(&taken);
    map_release(&map);
}

static void the_hash_depends_on_seed_and_every_byte(void **state) {
    (void)state;
    uint8_t bytes[40] = {0};
    uint64_t base = hash_bytes(1, slice_make(bytes, 40));
    assert_true(base != hash_bytes(2, slice_make(bytes, 40)));
    assert_true(base != hash_bytes(1, slice_make(bytes, 39)));
    for (int i = 0; i < 40; i++) {
        bytes[i] = 1;
        assert_true(base != hash_bytes(1, slice_make(bytes, 40)));
        bytes[i] = 0;
    }
}

static void an_arena_aligns_accounts_and_forgets(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 1; i < 3000; i += 7) {
            uint8_t *p = arena_alloc(&arena, i);
            assert_int_equal((uintptr_t)p % 8, 0);
            memset(p, (int)i, i);
            uint8_t *q = arena_alloc_aligned(&arena, 64, i);
            assert_int_equal((uintptr_t)q % 64, 0);
            memset(q, 0, i);
            for (size_t j = 0; j < i; j++)
                assert_int_equal(p[j], (uint8_t)i);
        }
        assert_string_equal(arena_printf(&arena, "%s-%d", "x", 5), "x-5");
        assert_string_equal(arena_text(&arena, SLICE_LITERAL("abc")), "abc");
        arena_clear(&arena);
        assert_true(arena.bytes <= 4096 + 64);
    }
    arena_release(&arena);
    assert_int_equal(arena.bytes, 0);
}

static void lists_keep_order(void **state) {
    (void)state;
    struct list a, b, nodes[4];
    list_init(&a);
    list_init(&b);
    for (int i = 0; i < 4; i++) {
        list_init(&nodes[i]);
        list_push_back(i < 2 ? &a : &b, &nodes[i]);
    }
    list_append(&a, &b);
    assert_true(list_empty(&b));
    int at = 0;
    LIST_FOREACH(it, &a) {
        assert_ptr_equal(it, &nodes[at++]);
        list_remove(it);
    }
    assert_int_equal(at, 4);
    assert_null(list_pop_front(&a));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_finds_what_was_put_and_iterates_in_order_of_insertion),
        cmocka_unit_test(the_hash_depends_on_seed_and_every_byte),
        cmocka_unit_test(an_arena_aligns_accounts_and_forgets),
        cmocka_unit_test(lists_keep_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
