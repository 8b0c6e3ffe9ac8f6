// SPDX-License-Identifier: Apache-2.0
/* Readers on other threads beside the one writer: what was written before a snapshot is there, whole and in
 * order, and nothing newer shows. `cmake --preset tsan` asks the thread sanitizer as well. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/units.h"
#include "lib/test.h"
#include "storage/memtable.h"

#define READERS 2u
#ifdef __SANITIZE_THREAD__
#define WRITES 60000u
#else
#define WRITES 150000u
#endif
#define GROUPS 20u

struct shared {
    struct memtable *memtable;
    bool done;
};
struct looker {
    struct shared *shared;
    uint64_t seed, gets, scans, errors;
    char error[100];
};

/* Write number i, from 1, is the sequence too. Two of three append to a partition; the others go anywhere,
 * and some of these are overwritten: write i and i + 1 share their key when i % 30 is 2. */
static struct slice key_of(uint8_t key[17], uint64_t i) {
    uint64_t hash = (i % 30 == 3 ? i - 1 : i) * 0x9e3779b97f4a7c15u;
    bool appends = i % 3 == 0 && i % 30 != 3;
    store_be64(key, appends ? i / 3 % GROUPS : 100 + (hash >> 59));
    key[8] = 1;
    store_be64(key + 9, appends ? i / 3 / GROUPS : hash << 5 >> 32);
    return slice_make(key, 17);
}

static bool is_overwritten(uint64_t i) {
    return i % 30 == 2;
}

static void note_error(struct looker *looker, const char *what, uint64_t i) {
    if (looker->errors++ == 0)
        snprintf(looker->error, sizeof looker->error, "%s: %llu", what, (unsigned long long)i);
}

static bool holds(const struct memtable_entry *entry, uint64_t i) {
    uint8_t key[17];
    return entry != NULL && memtable_entry_sequence(entry) == i && memtable_entry_value(entry).size == 40 &&
           load_le64(memtable_entry_value(entry).data + 32) == i &&
           slice_equal(memtable_entry_key(entry), key_of(key, i));
}

static void get_some(struct looker *looker, struct prng *prng, uint64_t snapshot) {
    for (uint32_t k = 0; k < 50; k++, looker->gets++) {
        uint64_t i = 1 + prng_below(prng, snapshot);
        uint8_t key[17];
        const struct memtable_entry *entry = memtable_get(looker->shared->memtable, key_of(key, i), snapshot);
        bool newer = is_overwritten(i) && i < snapshot;
        if (!holds(entry, newer ? i + 1 : i)) note_error(looker, "a get missed", i);
        i = snapshot + 1 + prng_below(prng, 100);
        if (i % 30 != 3 && memtable_get(looker->shared->memtable, key_of(key, i), snapshot) != NULL)
            note_error(looker, "a get saw what is newer", i);
    }
}

static void scan_all(struct looker *looker, uint64_t snapshot, bool forward) {
    struct memtable_cursor cursor;
    memtable_cursor_init(&cursor, looker->shared->memtable, snapshot);
    const struct memtable_entry *before = NULL;
    uint64_t count = 0, expected = 0;
    if (forward)
        memtable_cursor_first(&cursor);
    else
        memtable_cursor_last(&cursor);
    while (cursor.entry != NULL) {
        const struct memtable_entry *entry = cursor.entry;
        int order = before == NULL ? 0 : slice_compare(memtable_entry_key(before), memtable_entry_key(entry));
        if (before != NULL && (forward ? order >= 0 : order <= 0))
            note_error(looker, "out of order", memtable_entry_sequence(entry));
        if (!holds(entry, memtable_entry_sequence(entry)) || memtable_entry_sequence(entry) > snapshot)
            note_error(looker, "a wrong entry", memtable_entry_sequence(entry));
        before = entry;
        count++;
        if (forward)
            memtable_cursor_next(&cursor);
        else
            memtable_cursor_prev(&cursor);
    }
    for (uint64_t i = 1; i <= snapshot; i++)
        expected += !is_overwritten(i) || i == snapshot;
    if (count != expected)
        note_error(looker, forward ? "a scan missed entries" : "a scan back missed entries", count);
    looker->scans++;
}

static void *read_on(void *ctx) {
    struct looker *looker = ctx;
    struct prng prng;
    prng_init(&prng, looker->seed);
    for (bool last = false; !last && looker->errors == 0;) {
        last = __atomic_load_n(&looker->shared->done, __ATOMIC_ACQUIRE); /* once more when all is written */
        uint64_t snapshot = memtable_last_sequence(looker->shared->memtable);
        if (snapshot == 0) continue;
        get_some(looker, &prng, snapshot);
        if (last || prng_chance(&prng, 1, 40)) scan_all(looker, snapshot, prng_chance(&prng, 1, 2));
    }
    return NULL;
}

static void readers_see_every_snapshot_whole(void **state) {
    (void)state;
    struct shared shared = {.memtable = memtable_new()};
    struct looker readers[READERS];
    pthread_t threads[READERS];
    for (uint64_t r = 0; r < READERS; r++) {
        readers[r] = (struct looker){.shared = &shared, .seed = r + 1};
        assert_int_equal(pthread_create(&threads[r], NULL, read_on, &readers[r]), 0);
    }
    uint8_t key[17], bytes[40] = {0};
    struct memtable_value value = {.bytes = {slice_make(bytes, sizeof bytes), NULL}};
    for (uint64_t i = 1; i <= WRITES; i++) {
        store_le64(bytes + 32, i);
        memtable_put(shared.memtable, key_of(key, i), i, &value);
        if (i % 1024 == 0) sched_yield(); /* on few cores: let them look in between */
    }
    __atomic_store_n(&shared.done, true, __ATOMIC_RELEASE);
    for (uint32_t r = 0; r < READERS; r++) {
        assert_int_equal(pthread_join(threads[r], NULL), 0);
        if (readers[r].errors > 0) fail_msg("reader %u: %s", r, readers[r].error);
        assert_true(readers[r].gets > 0 && readers[r].scans > 0);
    }
    memtable_check(shared.memtable);
    memtable_unpin(shared.memtable);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(readers_see_every_snapshot_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
