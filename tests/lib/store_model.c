// SPDX-License-Identifier: Apache-2.0
#include "lib/store_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "lib/test.h"

#define ABSENT 0u

struct model_change {
    uint32_t first, last; /* key indexes; a range delete has first <= last */
    uint32_t value;       /* id, or ABSENT */
};
struct store_model_write {
    struct store_write write;
    struct list link;
    struct store_model *model;
    struct model_change changes[8];
    uint32_t change_count;
};

/* ---- keys and values --------------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b) {
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* Half of the keys look like the broker's, [group][kind][offset]; the others share prefixes of odd lengths.
 */
static void make_keys(struct store_model *model) {
    for (uint32_t i = 0; i < STORE_MODEL_KEYS; i++) {
        uint8_t *key = mem_alloc(64);
        size_t size;
        if (i % 2 == 0) {
            store_be64(key, 1 + i % 5);
            key[8] = (uint8_t)(i % 3);
            store_be64(key + 9, i * 37);
            size = 17;
        } else {
            size = 1 + i % 23;
            memset(key, 'a' + (int)(i % 3), size);
            key[size - 1] = (uint8_t)i;
            key[0] = (uint8_t)(i % 7);
        }
        model->keys[i] = slice_make(key, size);
    }
    qsort(model->keys, STORE_MODEL_KEYS, sizeof model->keys[0], compare_keys);
    for (uint32_t i = 1; i < STORE_MODEL_KEYS; i++)
        assert_true(slice_compare(model->keys[i - 1], model->keys[i]) < 0);
}

/* The bytes of a value follow from its id. */
static size_t value_size(const struct store_model *model, uint32_t id) {
    uint32_t mixed = id * 2654435761u;
    uint32_t shape = mixed >> 28;
    if (shape == 0) return 0;
    if (shape < 10) return mixed % 200;
    if (shape < 15) return mixed % MIN(model->value_size_max, 5000u);
    return mixed % model->value_size_max;
}

static struct buffer *make_value(const struct store_model *model, uint32_t id) {
    size_t size = value_size(model, id);
    struct buffer *value = buffer_new(size);
    for (size_t i = 0; i < size; i++)
        value->data[i] = (uint8_t)(id * 31 + i * 7 + (i >> 8));
    if (size >= 4) store_le32(value->data, id);
    return value;
}

static bool value_is(const struct store_model *model, uint32_t id, struct slice bytes) {
    struct buffer *expected = make_value(model, id);
    bool equal = slice_equal(bytes, slice_make(expected->data, expected->size));
    buffer_unref(expected);
    return equal;
}

static void fail_with_seed(const struct store_model *model, const char *what, uint32_t key, uint32_t value) {
    print_error("seed %llu: %s (key %u, value %u, %llu writes, %llu acknowledged)\n",
                (unsigned long long)model->seed, what, key, value, (unsigned long long)model->submitted,
                (unsigned long long)model->acknowledged);
    fail();
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static void apply(uint32_t *state, const struct store_model_write *write) {
    for (uint32_t i = 0; i < write->change_count; i++) {
        const struct model_change *change = &write->changes[i];
        for (uint32_t k = change->first; k <= change->last; k++)
            state[k] = change->value;
    }
}

static void recompute_state(struct store_model *model) {
    memcpy(model->state, model->acked, sizeof model->state);
    LIST_FOREACH(it, &model->writes)
        apply(model->state, CONTAINER_OF(it, struct store_model_write, link));
}

static void write_done(struct store_write *done) {
    struct store_model_write *write = CONTAINER_OF(done, struct store_model_write, write);
    struct store_model *model = write->model;
    if (done->status == STATUS_OK) {
        if (list_first(&model->writes) != &write->link)
            fail_with_seed(model, "writes complete out of order", 0, 0);
        apply(model->acked, write);
        model->acknowledged++;
        list_remove(&write->link);
    } else {
        if (!model->failures_allowed && !store_model_crash_due(model))
            fail_with_seed(model, status_name(done->status), 0, 0);
        model->failed++;
        if (done->status == STATUS_NO_SPACE) {
            list_remove(&write->link); /* as if it had never been */
            recompute_state(model);
        } else {
            return; /* its fate is known after the restart */
        }
    }
    store_write_release(done);
    mem_free(write);
}

void store_model_write(struct store_model *model) {
    struct store_model_write *write = mem_calloc(1, sizeof *write);
    write->model = model;
    list_init(&write->link);
    store_write_init(&write->write, write_done);
    write->change_count = (uint32_t)prng_range(&model->prng, 1, prng_chance(&model->prng, 1, 4) ? 8 : 2);
    for (uint32_t i = 0; i < write->change_count; i++) {
        struct model_change *change = &write->changes[i];
        uint32_t key = (uint32_t)prng_below(&model->prng, STORE_MODEL_KEYS);
        uint64_t kind = prng_below(&model->prng, 100);
        *change = (struct model_change){.first = key, .last = key};
        if (kind < 72) {
            change->value = model->next_value++;
            struct buffer *value = make_value(model, change->value);
            bool owned = prng_chance(&model->prng, 1, 2);
            store_put(&write->write, model->keys[key],
                      (struct shared_slice){slice_make(value->data, value->size), owned ? value : NULL});
            buffer_unref(value);
        } else if (kind < 92) {
            store_delete(&write->write, model->keys[key]);
        } else {
            uint32_t span = (uint32_t)prng_below(&model->prng, prng_chance(&model->prng, 1, 8) ? 60 : 8);
            change->last = MIN(key + span, STORE_MODEL_KEYS - 2u);
            change->first = MIN(key, change->last);
            store_delete_range(&write->write, model->keys[change->first], model->keys[change->last + 1]);
        }
    }
    list_push_back(&model->writes, &write->link);
    apply(model->state, write);
    model->submitted++;
    store_write_submit(model->store, &write->write);
}

/* ---- waiting ----------------------------------------------------------------------------------------- */

bool store_model_crash_due(const struct store_model *model) {
    return io_sim_crash_due(model->sim, STORE_MODEL_NODE);
}

void store_model_run(struct store_model *model, uint64_t ns) {
    io_sim_run_until(model->sim, io_sim_now(model->sim) + ns);
}

/* Until *done; false when the disk stopped before. */
static bool wait_for(struct store_model *model, const bool *done) {
    uint64_t deadline = io_sim_now(model->sim) + 100 * NS_PER_S;
    while (!*done) {
        if (store_model_crash_due(model)) return false;
        if (!io_sim_step(model->sim) || io_sim_now(model->sim) > deadline)
            fail_with_seed(model, "nothing happens any more", 0, 0);
    }
    return true;
}

void store_model_settle(struct store_model *model) {
    uint64_t deadline = io_sim_now(model->sim) + 100 * NS_PER_S;
    while (!list_empty(&model->writes) && store_health(model->store) == STATUS_OK &&
           !store_model_crash_due(model))
        if (!io_sim_step(model->sim) || io_sim_now(model->sim) > deadline)
            fail_with_seed(model, "a write is never answered", 0, 0);
}

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

struct model_get {
    struct store_get get;
    bool ready;
};

static void get_ready(struct store_get *get) {
    CONTAINER_OF(get, struct model_get, get)->ready = true;
}

void store_model_get(struct store_model *model) {
    uint32_t key = (uint32_t)prng_below(&model->prng, STORE_MODEL_KEYS);
    struct model_get get = {.get = {.ready = get_ready}};
    struct shared_slice value;
    enum status status;
    const uint32_t before = model->state[key];
    while ((status = store_get(model->store, model->keys[key], &get.get, &value)) == STATUS_PENDING) {
        if (prng_chance(&model->prng, 1, 16) || !wait_for(model, &get.ready)) {
            store_get_cancel(&get.get);
            return;
        }
        get.ready = false;
    }
    if (store_model_crash_due(model)) {
        if (status == STATUS_OK) shared_slice_unref(value);
        return;
    }
    /* A write that failed while the get waited may still have been seen by it. */
    uint32_t expected = model->state[key];
    bool absent_before = status == STATUS_NOT_FOUND && before == ABSENT;
    if (model->failures_allowed && before != expected && (absent_before || status == STATUS_OK)) {
        if (status == STATUS_OK) shared_slice_unref(value);
        return;
    }
    if (status != (expected == ABSENT ? STATUS_NOT_FOUND : STATUS_OK))
        fail_with_seed(model, status_name(status), key, expected);
    if (expected == ABSENT) return;
    if (!value_is(model, expected, value.bytes)) fail_with_seed(model, "get: wrong value", key, expected);
    shared_slice_unref(value);
}

struct walk {
    struct store_model *model;
    struct store_iterator *it;
    uint32_t state[STORE_MODEL_KEYS]; /* as it was at opening */
    uint32_t lower, upper;            /* key indexes; upper == STORE_MODEL_KEYS: none */
    int at;                           /* key index, -1: not on an entry */
    bool ready;
};

static int find_forward(const struct walk *walk, int from) {
    for (int k = MAX(from, (int)walk->lower); k < (int)walk->upper; k++)
        if (walk->state[k] != ABSENT) return k;
    return -1;
}
static int find_back(const struct walk *walk, int from) {
    for (int k = MIN(from, (int)walk->upper - 1); k >= (int)walk->lower; k--)
        if (walk->state[k] != ABSENT) return k;
    return -1;
}

enum walk_move { WALK_SEEK, WALK_SEEK_PREV, WALK_NEXT, WALK_PREV };

static enum status walk_call(struct walk *walk, enum walk_move move, uint32_t key) {
    switch (move) {
    case WALK_SEEK:
        return store_iterator_seek(walk->it, walk->model->keys[key]);
    case WALK_SEEK_PREV:
        return store_iterator_seek_prev(walk->it, walk->model->keys[key]);
    case WALK_NEXT:
        return store_iterator_next(walk->it);
    default:
        return store_iterator_prev(walk->it);
    }
}

/* One move, compared; false when the disk stopped. */
static bool walk_step(struct walk *walk, enum walk_move move, uint32_t key) {
    struct store_model *model = walk->model;
    int expected = move == WALK_SEEK        ? find_forward(walk, (int)key)
                   : move == WALK_SEEK_PREV ? find_back(walk, (int)key)
                   : move == WALK_NEXT      ? find_forward(walk, walk->at + 1)
                                            : find_back(walk, walk->at - 1);
    enum status status;
    walk->ready = false;
    while ((status = walk_call(walk, move, key)) == STATUS_PENDING) {
        if (!wait_for(model, &walk->ready)) return false;
        walk->ready = false;
    }
    if (store_model_crash_due(model)) return false;
    walk->at = expected;
    if (status != (expected < 0 ? STATUS_END : STATUS_OK))
        fail_with_seed(model, status_name(status), (uint32_t)expected, key);
    if (expected < 0) return true;
    if (!slice_equal(store_iterator_key(walk->it), model->keys[expected]))
        fail_with_seed(model, "iterator: wrong key", (uint32_t)expected, key);
    if (!value_is(model, walk->state[expected], store_iterator_value(walk->it).bytes))
        fail_with_seed(model, "iterator: wrong value", (uint32_t)expected, walk->state[expected]);
    return true;
}

static void walk_open(struct walk *walk, struct store_model *model, uint32_t lower, uint32_t upper,
                      unsigned flags) {
    *walk = (struct walk){.model = model, .lower = lower, .upper = upper, .at = -1};
    memcpy(walk->state, model->state, sizeof walk->state);
    walk->it = store_iterator_open(model->store, lower == 0 ? SLICE_EMPTY : model->keys[lower],
                                   upper == STORE_MODEL_KEYS ? SLICE_EMPTY : model->keys[upper], flags,
                                   set_flag, &walk->ready);
}

void store_model_iterate(struct store_model *model) {
    uint32_t lower = 0, upper = STORE_MODEL_KEYS;
    if (prng_chance(&model->prng, 1, 2)) {
        lower = (uint32_t)prng_below(&model->prng, STORE_MODEL_KEYS);
        upper = (uint32_t)prng_range(&model->prng, lower, STORE_MODEL_KEYS);
        if (upper == 0) upper = 1;
    }
    struct walk walk;
    walk_open(&walk, model, lower, upper, prng_chance(&model->prng, 1, 3) ? STORE_ITERATOR_SEQUENTIAL : 0);
    uint64_t steps = prng_range(&model->prng, 1, 40);
    bool forward = true;
    for (uint64_t i = 0; i < steps; i++) {
        enum walk_move move = forward ? WALK_NEXT : WALK_PREV;
        if (walk.at < 0 || prng_chance(&model->prng, 1, 6))
            move = prng_chance(&model->prng, 1, 2) ? WALK_SEEK : WALK_SEEK_PREV;
        else if (prng_chance(&model->prng, 1, 8))
            forward = !forward;
        if (!walk_step(&walk, move, (uint32_t)prng_below(&model->prng, STORE_MODEL_KEYS))) break;
        /* What happens meanwhile must not be seen. */
        if (prng_chance(&model->prng, 1, 4)) store_model_write(model);
        if (prng_chance(&model->prng, 1, 10)) store_model_run(model, NS_PER_MS);
        if (store_model_crash_due(model)) break;
        if (model->failures_allowed) break; /* a failed write may be taken back under the snapshot */
    }
    store_iterator_close(walk.it);
}

void store_model_check(struct store_model *model) {
    struct walk walk;
    walk_open(&walk, model, 0, STORE_MODEL_KEYS, STORE_ITERATOR_BLOCKING);
    bool ok = walk_step(&walk, WALK_SEEK, 0);
    while (ok && walk.at >= 0)
        ok = walk_step(&walk, WALK_NEXT, 0);
    ok = ok && walk_step(&walk, WALK_SEEK_PREV, STORE_MODEL_KEYS - 1);
    while (ok && walk.at >= 0)
        ok = walk_step(&walk, WALK_PREV, 0);
    store_iterator_close(walk.it);
    for (uint32_t k = 0; ok && k < STORE_MODEL_KEYS; k++) {
        struct shared_slice value;
        enum status status = store_get_blocking(model->store, model->keys[k], &value);
        uint32_t expected = model->state[k];
        if (status != (expected == ABSENT ? STATUS_NOT_FOUND : STATUS_OK))
            fail_with_seed(model, status_name(status), k, expected);
        if (expected == ABSENT) continue;
        if (!value_is(model, expected, value.bytes)) fail_with_seed(model, "wrong value", k, expected);
        shared_slice_unref(value);
    }
}

/* ---- opening, closing, crashing ---------------------------------------------------------------------- */

/* What the store holds, as value ids; a value that is none of the model's is UINT32_MAX. */
static void read_back(struct store_model *model, uint32_t *found) {
    memset(found, 0, STORE_MODEL_KEYS * sizeof *found);
    struct store_iterator *it = store_iterator_open(model->store, SLICE_EMPTY, SLICE_EMPTY,
                                                    STORE_ITERATOR_BLOCKING, NULL, NULL);
    enum status status = store_iterator_seek(it, SLICE_EMPTY);
    for (uint32_t k = 0; status == STATUS_OK; status = store_iterator_next(it)) {
        while (k < STORE_MODEL_KEYS && slice_compare(model->keys[k], store_iterator_key(it)) < 0)
            k++;
        if (k == STORE_MODEL_KEYS || !slice_equal(model->keys[k], store_iterator_key(it)))
            fail_with_seed(model, "a key that was never written", k, 0);
        found[k] = UINT32_MAX;
        struct slice value = store_iterator_value(it).bytes;
        /* Small values do not hold their id: try what it may be. */
        if (model->acked[k] != ABSENT && value_is(model, model->acked[k], value)) found[k] = model->acked[k];
        LIST_FOREACH(node, &model->writes) {
            struct store_model_write *write = CONTAINER_OF(node, struct store_model_write, link);
            for (uint32_t i = 0; i < write->change_count; i++) {
                uint32_t id = write->changes[i].first == k ? write->changes[i].value : ABSENT;
                if (id != ABSENT && value_is(model, id, value)) found[k] = id;
            }
        }
    }
    if (status != STATUS_END) fail_with_seed(model, status_name(status), 0, 0);
    store_iterator_close(it);
}

/* Two ids may have the same bytes (small values), so states are compared by bytes where ids differ. */
static bool same_state(const struct store_model *model, const uint32_t *a, const uint32_t *b) {
    for (uint32_t k = 0; k < STORE_MODEL_KEYS; k++) {
        if (a[k] == b[k]) continue;
        if (a[k] == ABSENT || b[k] == ABSENT || a[k] == UINT32_MAX || b[k] == UINT32_MAX) return false;
        struct buffer *value = make_value(model, a[k]);
        bool equal = value_is(model, b[k], slice_make(value->data, value->size));
        buffer_unref(value);
        if (!equal) return false;
    }
    return true;
}

static void free_write(struct store_model_write *write) {
    list_remove(&write->link);
    list_init(&write->write.link);
    store_write_release(&write->write);
    mem_free(write);
}

/* After a restart: finds how many of the writes without an answer survived. */
static void find_prefix(struct store_model *model) {
    uint32_t found[STORE_MODEL_KEYS];
    read_back(model, found);
    while (!same_state(model, model->acked, found)) {
        struct list *node = list_first(&model->writes);
        if (node == NULL) {
            for (uint32_t k = 0; k < STORE_MODEL_KEYS; k++)
                if (model->acked[k] != found[k])
                    print_error("key %u: expected %u, found %u\n", k, model->acked[k], found[k]);
            fail_with_seed(model, "recovered state is no prefix of the writes", 0, 0);
        }
        struct store_model_write *write = CONTAINER_OF(node, struct store_model_write, link);
        apply(model->acked, write);
        free_write(write);
    }
    while (!list_empty(&model->writes))
        free_write(CONTAINER_OF(list_first(&model->writes), struct store_model_write, link));
    memcpy(model->state, model->acked, sizeof model->state);
}

bool store_model_open(struct store_model *model) {
    model->io = io_sim_node_io(model->sim, STORE_MODEL_NODE);
    struct diagnostic diagnostic = {{0}};
    model->store = NULL;
    enum status status = store_open(model->io, &model->options, &model->store, &diagnostic);
    if (store_model_crash_due(model)) return false;
    if (status != STATUS_OK) fail_with_seed(model, diagnostic.text, 0, status);
    find_prefix(model);
    return true;
}

void store_model_shutdown(struct store_model *model) {
    bool done = false;
    store_shutdown(model->store, set_flag, &done);
    if (!wait_for(model, &done)) return;
    store_close(model->store);
    model->store = NULL;
}

void store_model_crash(struct store_model *model, enum io_sim_crash how) {
    io_sim_crash_node(model->sim, STORE_MODEL_NODE, how);
    if (model->store != NULL) store_close(model->store);
    model->store = NULL;
    io_free(model->io);
    model->io = NULL;
}

static void flushed(void *ctx, enum status status) {
    (void)ctx;
    (void)status;
}

void store_model_flush(struct store_model *model) {
    store_flush(model->store, flushed, NULL);
}

void store_model_step(struct store_model *model) {
    uint64_t what = prng_below(&model->prng, 100);
    if (what < 50)
        store_model_write(model);
    else if (what < 65)
        store_model_get(model);
    else if (what < 75)
        store_model_iterate(model);
    else if (what < 77)
        store_model_flush(model);
    else if (what < 90)
        store_model_run(model, prng_below(&model->prng, NS_PER_MS));
    else if (what < 92)
        store_model_run(model, 100 * NS_PER_MS);
    else if (what < 94)
        store_model_settle(model);
}

static void log_line_to_stderr(void *ctx, enum log_level level, struct slice line) {
    (void)ctx;
    fprintf(stderr, "%s %.*s\n", log_level_name(level), (int)line.size, (const char *)line.data);
}

void store_model_init(struct store_model *model, uint64_t seed) {
    *model = (struct store_model){.seed = seed, .next_value = 1, .value_size_max = 20000};
    prng_init(&model->prng, seed);
    list_init(&model->writes);
    make_keys(model);
    model->sim = io_sim_new(seed);
    model->log = (struct log){.level = LOG_DEBUG, .sink = log_line_to_stderr};
    const uint32_t scale = 1u << prng_below(&model->prng, 4);
    model->options = (struct store_options){.dir = "data",
                                            .memtable_bytes = 16 * KIB * scale,
                                            .cache_bytes = 8 * KIB * scale,
                                            .wal_segment_bytes = 16 * KIB * scale,
                                            .table_bytes = 32 * KIB * scale,
                                            .partition_prefix_size = prng_chance(&model->prng, 1, 2) ? 8 : 0,
                                            .log = getenv("STORE_MODEL_LOG") != NULL ? &model->log : NULL};
}

void store_model_release(struct store_model *model) {
    if (model->store != NULL) store_model_crash(model, IO_SIM_CRASH_POWER_CLEAN);
    while (!list_empty(&model->writes))
        free_write(CONTAINER_OF(list_first(&model->writes), struct store_model_write, link));
    if (model->io != NULL) io_free(model->io);
    io_sim_free(model->sim);
    for (uint32_t i = 0; i < STORE_MODEL_KEYS; i++)
        mem_free((void *)(uintptr_t)model->keys[i].data);
}
