// SPDX-License-Identifier: Apache-2.0
/* The memtable against a sorted array of keys with all their versions: random changes, reads at random
 * snapshots, cursors that walk both ways while it changes. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/units.h"
#include "lib/test.h"
#include "storage/memtable.h"

#define KEYS 3000u

struct version {
    uint64_t sequence;
    uint32_t value; /* 0: deleted */
};
struct model_key {
    struct slice key;
    struct version *versions; /* rising */
    uint32_t count, capacity;
};
struct model {
    struct prng prng;
    struct memtable *memtable;
    struct model_key keys[KEYS];
    uint64_t sequence;
    uint32_t next_value;
};

/* ---- the model --------------------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b) {
    return slice_compare(((const struct model_key *)a)->key, ((const struct model_key *)b)->key);
}

/* Keys of every shape: the broker's, counters in text, long shared prefixes, zeros at the end, random bytes.
 */
static struct slice make_key(struct prng *prng, uint32_t i) {
    uint8_t *key = mem_calloc(1, 700);
    size_t size = 0;
    switch (i % 6) {
    case 0:
    case 1:
        store_be64(key, 1 + i % 12);
        key[8] = (uint8_t)(i % 24 / 12);
        store_be64(key + 9, i % 6 == 0 ? i : i * (uint64_t)70001);
        size = 17;
        break;
    case 2:
        size = (size_t)snprintf((char *)key, 700, "topic-%u/partition-%u", i % 7, i);
        break;
    case 3:
        memset(key, 'p', 600);
        store_be32(key + 500, i % 3);
        store_be32(key + 600, i);
        size = 604;
        break;
    case 4: /* differ in nothing but their length, and in random first bytes */
        key[0] = (uint8_t)prng_below(prng, 20);
        size = 1 + i / 6 % 40;
        break;
    default:
        prng_bytes(prng, key, 16);
        size = i % 60 == 5 ? 0 : 16;
    }
    return slice_make(key, size);
}

static void model_init(struct model *m, uint64_t seed) {
    memset(m, 0, sizeof *m);
    prng_init(&m->prng, seed);
    m->memtable = memtable_new();
    for (uint32_t i = 0; i < KEYS; i++)
        m->keys[i].key = make_key(&m->prng, i);
    qsort(m->keys, KEYS, sizeof m->keys[0], compare_keys);
}

static void model_release(struct model *m) {
    memtable_unpin(m->memtable);
    for (uint32_t i = 0; i < KEYS; i++) {
        mem_free((void *)(uintptr_t)m->keys[i].key.data);
        mem_free(m->keys[i].versions);
    }
}

/* Keys that were drawn twice live in the first of their slots. */
static uint32_t pick(struct model *m) {
    uint32_t i = (uint32_t)prng_below(&m->prng, KEYS);
    while (i > 0 && slice_equal(m->keys[i - 1].key, m->keys[i].key))
        i--;
    return i;
}

static const struct version *model_get(const struct model *m, uint32_t i, uint64_t snapshot) {
    const struct model_key *key = &m->keys[i];
    for (uint32_t k = key->count; k > 0; k--)
        if (key->versions[k - 1].sequence <= snapshot) return &key->versions[k - 1];
    return NULL;
}

static void remember(struct model *m, uint32_t i, uint32_t value) {
    struct model_key *key = &m->keys[i];
    if (key->count == key->capacity) {
        key->capacity = MAX(key->capacity * 2, 2u);
        key->versions = mem_realloc(key->versions, key->capacity * sizeof *key->versions);
    }
    key->versions[key->count++] = (struct version){++m->sequence, value};
}

/* Value `id` begins with its number; some are too large to be copied. */
static size_t value_size(uint32_t id) {
    return id % 50 == 0 ? 2000 : 4 + id % 100;
}

static void change(struct model *m) {
    uint32_t i = pick(m);
    if (prng_chance(&m->prng, 1, 6)) {
        remember(m, i, 0);
        memtable_delete(m->memtable, m->keys[i].key, m->sequence);
        return;
    }
    uint32_t id = ++m->next_value;
    remember(m, i, id);
    struct buffer *buffer = buffer_new(value_size(id));
    memset(buffer->data, (int)(id & 0xff), buffer->size);
    store_le32(buffer->data, id);
    struct memtable_value value = {.bytes = {slice_make(buffer->data, buffer->size), buffer}};
    memtable_put(m->memtable, m->keys[i].key, m->sequence, &value);
    buffer_unref(buffer);
}

static void roll_back(struct model *m, uint64_t sequence) {
    memtable_rollback(m->memtable, sequence);
    for (uint32_t i = 0; i < KEYS; i++)
        while (m->keys[i].count > 0 && m->keys[i].versions[m->keys[i].count - 1].sequence > sequence)
            m->keys[i].count--;
    m->sequence = sequence;
}

/* ---- checks ------------------------------------------------------------------------------------------ */

static void check_entry(const struct model *m, const struct memtable_entry *entry,
                        const struct version *want) {
    if (want == NULL) {
        assert_null(entry);
        return;
    }
    assert_non_null(entry);
    assert_int_equal(memtable_entry_sequence(entry), want->sequence);
    assert_int_equal(memtable_entry_kind(entry), want->value == 0 ? ENTRY_DELETE : ENTRY_PUT);
    if (want->value == 0) return;
    struct shared_slice value = memtable_value(m->memtable, entry);
    assert_non_null(value.owner);
    assert_int_equal(value.bytes.size, value_size(want->value));
    assert_int_equal(load_le32(value.bytes.data), want->value);
    assert_int_equal(value.bytes.data[value.bytes.size - 1],
                     value.bytes.size == 4 ? want->value >> 24 : (want->value & 0xff));
}

static uint64_t some_snapshot(struct model *m) {
    return prng_chance(&m->prng, 1, 2) ? UINT64_MAX : prng_below(&m->prng, m->sequence + 1);
}

static void check_get(struct model *m) {
    uint32_t i = pick(m);
    uint64_t snapshot = some_snapshot(m);
    check_entry(m, memtable_get(m->memtable, m->keys[i].key, snapshot), model_get(m, i, snapshot));
}

/* Where a cursor stands in the model: the key's slot, KEYS when off the end. */
static uint32_t walk(const struct model *m, int64_t from, int step, uint64_t snapshot) {
    for (int64_t i = from; i >= 0 && i < KEYS; i += step)
        if (model_get(m, (uint32_t)i, snapshot) != NULL) return (uint32_t)i;
    return KEYS;
}

static void check_cursor(struct model *m) {
    uint64_t snapshot = prng_below(&m->prng, m->sequence + 1); /* changes below do not show */
    struct memtable_cursor cursor;
    memtable_cursor_init(&cursor, m->memtable, snapshot);
    uint32_t start = pick(m), at;
    switch (prng_below(&m->prng, 4)) {
    case 0:
        memtable_cursor_seek(&cursor, m->keys[start].key);
        at = walk(m, start, 1, snapshot);
        break;
    case 1:
        memtable_cursor_seek_prev(&cursor, m->keys[start].key);
        at = walk(m, start, -1, snapshot);
        break;
    case 2:
        memtable_cursor_first(&cursor);
        at = walk(m, 0, 1, snapshot);
        break;
    default:
        memtable_cursor_last(&cursor);
        at = walk(m, KEYS - 1, -1, snapshot);
    }
    bool forward = prng_chance(&m->prng, 1, 2);
    for (uint32_t steps = 0; at != KEYS && steps < 200; steps++) {
        assert_non_null(cursor.entry);
        assert_slice_equal(memtable_entry_key(cursor.entry), m->keys[at].key);
        check_entry(m, cursor.entry, model_get(m, at, snapshot));
        if (prng_chance(&m->prng, 1, 3)) change(m);
        if (prng_chance(&m->prng, 1, 20)) forward = !forward;
        if (forward)
            memtable_cursor_next(&cursor);
        else
            memtable_cursor_prev(&cursor);
        at = walk(m, (int64_t)at + (forward ? 1 : -1), forward ? 1 : -1, snapshot);
    }
    if (at == KEYS) assert_null(cursor.entry);
}

static void it_holds_what_a_sorted_array_holds(void **state) {
    (void)state;
    static struct model m;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        model_init(&m, seed);
        uint32_t changes = seed == 1 ? 300 : 20000; /* small tables, and keys with many versions */
        for (uint32_t i = 0; i < changes; i++) {
            change(&m);
            check_get(&m);
            if (i % 50 == 0) check_cursor(&m);
            if (i % 2000 == 1999) memtable_check(m.memtable);
            if (prng_chance(&m.prng, 1, 3000))
                roll_back(&m, m.sequence - prng_below(&m.prng, MIN(m.sequence, 500u)));
        }
        memtable_check(m.memtable);
        for (uint32_t i = 0; i < 3000; i++)
            check_get(&m);
        roll_back(&m, 0);
        memtable_check(m.memtable);
        assert_int_equal(m.memtable->entry_count, 0);
        change(&m);
        check_get(&m);
        memtable_check(m.memtable);
        model_release(&m);
    }
}

/* ---- appending partitions ---------------------------------------------------------------------------- */

static struct slice partition_key(uint8_t key[17], uint64_t group, uint64_t offset) {
    store_be64(key, group);
    key[8] = 1;
    store_be64(key + 9, offset);
    return slice_make(key, 17);
}

static void partitions_that_append_in_turn_stay_in_order(void **state) {
    (void)state;
    struct memtable *memtable = memtable_new();
    struct memtable_value value = {.bytes = {SLICE_LITERAL("v"), NULL}};
    uint8_t key[17];
    uint64_t sequence = 0;
    for (uint64_t offset = 0; offset < 300; offset++)
        for (uint64_t group = 0; group < 100; group++) /* more than there are fingers */
            memtable_put(memtable, partition_key(key, group, offset * 3), ++sequence, &value);
    memtable_check(memtable);
    struct memtable_cursor cursor;
    memtable_cursor_init(&cursor, memtable, UINT64_MAX);
    memtable_cursor_first(&cursor);
    for (uint64_t group = 0; group < 100; group++)
        for (uint64_t offset = 0; offset < 300; offset++) {
            assert_non_null(cursor.entry);
            assert_slice_equal(memtable_entry_key(cursor.entry), partition_key(key, group, offset * 3));
            assert_ptr_equal(memtable_get(memtable, partition_key(key, group, offset * 3), UINT64_MAX),
                             cursor.entry);
            assert_null(memtable_get(memtable, partition_key(key, group, offset * 3 + 1), UINT64_MAX));
            memtable_cursor_next(&cursor);
        }
    assert_null(cursor.entry);
    memtable_unpin(memtable);
}

/* ---- memory ------------------------------------------------------------------------------------------ */

static void small_values_pin_nothing_and_large_ones_are_charged_whole(void **state) {
    (void)state;
    size_t live = buffer_bytes_live();
    struct memtable *memtable = memtable_new();
    size_t empty = memtable_bytes(memtable);
    assert_true(empty < 32 * KIB);
    struct buffer *large = buffer_new(MIB);
    memset(large->data, 7, large->size);
    struct memtable_value value = {.bytes = {slice_make(large->data, MEMTABLE_COPY_MAX), large}};
    memtable_put(memtable, slice_from_text("small"), 1, &value);
    assert_int_equal(large->references, 1);
    assert_true(memtable_bytes(memtable) < empty + 16 * KIB);
    value.bytes.bytes = slice_make(large->data + 1000, MEMTABLE_COPY_MAX + 1);
    memtable_put(memtable, slice_from_text("large"), 2, &value);
    assert_int_equal(large->references, 2);
    assert_true(memtable_bytes(memtable) > empty + MIB);
    for (uint64_t i = 3; i < 100; i++)
        memtable_put(memtable, slice_from_text("large"), i, &value);
    assert_int_equal(large->references, 2);
    assert_true(memtable_bytes(memtable) < empty + MIB + 64 * KIB);

    /* A value that is kept outlives the memtable, in its page alone. */
    struct shared_slice kept = shared_slice_ref(
        memtable_value(memtable, memtable_get(memtable, slice_from_text("small"), UINT64_MAX)));
    memtable_unpin(memtable);
    assert_int_equal(large->references, 1);
    assert_int_equal(kept.bytes.data[MEMTABLE_COPY_MAX - 1], 7);
    buffer_unref(large);
    assert_true(buffer_bytes_live() - live < 16 * KIB);
    shared_slice_unref(kept);
    assert_int_equal(buffer_bytes_live(), live);
}

/* Values of many buffers in turn, as many connections bring them: each buffer is charged once. */
static void many_buffers_in_turn_are_charged_once(void **state) {
    (void)state;
    enum { BUFFERS = 100, SIZE = 64 * 1024, VALUE = 2048 };
    struct memtable *memtable = memtable_new();
    struct buffer *buffers[BUFFERS];
    for (uint32_t b = 0; b < BUFFERS; b++)
        memset((buffers[b] = buffer_new(SIZE))->data, 'v', SIZE);
    uint64_t sequence = 0;
    for (uint32_t round = 0; round < SIZE / VALUE; round++) {
        for (uint32_t b = 0; b < BUFFERS; b++) {
            uint8_t key[16];
            store_be64(key, b);
            store_be64(key + 8, round);
            struct memtable_value value = {
                .bytes = {slice_make(buffers[b]->data + round * VALUE, VALUE), buffers[b]}};
            memtable_put(memtable, slice_make(key, sizeof key), ++sequence, &value);
        }
    }
    assert_in_range(memtable_bytes(memtable), BUFFERS * SIZE, BUFFERS * SIZE + 4 * MIB);
    memtable_unpin(memtable);
    for (uint32_t b = 0; b < BUFFERS; b++) {
        assert_int_equal(buffers[b]->references, 1);
        buffer_unref(buffers[b]);
    }
}

static void what_it_is_charged_for_is_what_it_takes(void **state) {
    (void)state;
    struct memtable *memtable = memtable_new();
    uint8_t key[17], bytes[100] = {0};
    struct memtable_value value = {.bytes = {slice_make(bytes, sizeof bytes), NULL}};
    size_t pages = 0;
    for (uint64_t i = 0; i < 50000; i++) {
        memtable_put(memtable, partition_key(key, i % 10, i), i + 1, &value);
        if (i % 1000 != 0) continue;
        size_t charged = memtable_bytes(memtable), payload = (i + 1) * (17 + sizeof bytes);
        assert_true(charged >= pages);
        assert_true(charged >= memtable_used(memtable) && charged < memtable_used(memtable) + 2 * MIB);
        assert_true(memtable_used(memtable) > payload);
        /* 51 bytes of entry and what aligns it, 14 of leaf, and a slab of nodes begun. */
        assert_true(memtable_used(memtable) < payload + (i + 1) * 80 + 128 * KIB);
        pages = charged;
    }
    memtable_unpin(memtable);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_what_a_sorted_array_holds),
        cmocka_unit_test(partitions_that_append_in_turn_stay_in_order),
        cmocka_unit_test(small_values_pin_nothing_and_large_ones_are_charged_whole),
        cmocka_unit_test(many_buffers_in_turn_are_charged_once),
        cmocka_unit_test(what_it_is_charged_for_is_what_it_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
