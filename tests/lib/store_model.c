// SPDX-License-Identifier: Apache-2.0
#include "lib/store_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "lib/test.h"
#include "storage/layout.h"

#define ABSENT 0u

struct store_model_write {
    struct store_write write;
    struct list link;
    struct store_model *model;
    uint64_t number; /* counts the writes */
    bool refused;    /* the store took no more writes: its log may be sound */
    struct store_model_change changes[STORE_MODEL_CHANGES_MAX];
    uint32_t change_count;
};
struct store_model_walk {
    struct list link;
    struct store_model *model;
    struct store_iterator *it;
    uint64_t opened_after;            /* writes */
    uint32_t state[STORE_MODEL_KEYS]; /* as it was at opening */
    uint32_t lower, upper;            /* key indexes; upper == STORE_MODEL_KEYS: none */
    int at;                           /* key index, -1: not on an entry */
    bool ready;
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

static void fail_with_seed(struct store_model *model, const char *what, uint32_t key, uint32_t value) {
    print_error("seed %llu: %s (key %u, value %u, %llu writes, %llu acknowledged)\n",
                (unsigned long long)model->seed, what, key, value, (unsigned long long)model->submitted,
                (unsigned long long)model->acknowledged);
    if (model->on_failure != NULL) model->on_failure(model, what);
    fail();
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static void apply(const struct store_model *model, uint32_t *state, const struct store_model_write *write) {
    for (uint32_t i = 0; i < write->change_count; i++) {
        const struct store_model_change *change = &write->changes[i];
        for (uint32_t k = change->first; k <= change->last; k++)
            if (!model->forgetful || k % 8 != 5 || change->value != ABSENT) state[k] = change->value;
    }
}

static void recompute_state(struct store_model *model) {
    memcpy(model->state, model->acked, sizeof model->state);
    LIST_FOREACH(it, &model->writes)
        apply(model, model->state, CONTAINER_OF(it, struct store_model_write, link));
}

/* A write that failed for want of room is as if it had never been, also for views opened after it. */
static void take_back(struct store_model *model, struct store_model_write *write) {
    list_remove(&write->link);
    recompute_state(model);
    LIST_FOREACH(it, &model->walks) {
        struct store_model_walk *walk = CONTAINER_OF(it, struct store_model_walk, link);
        if (walk->opened_after < write->number) continue;
        memcpy(walk->state, model->acked, sizeof walk->state);
        walk->opened_after = model->acknowledged;
    }
}

static void write_done(struct store_write *done) {
    struct store_model_write *write = CONTAINER_OF(done, struct store_model_write, write);
    struct store_model *model = write->model;
    if (done->status == STATUS_OK) {
        if (list_first(&model->writes) != &write->link)
            fail_with_seed(model, "S2 writes complete out of order", 0, 0);
        if (model->log_failed) fail_with_seed(model, "S12 a write is acknowledged after a failed one", 0, 0);
        apply(model, model->acked, write);
        model->acknowledged++;
        list_remove(&write->link);
    } else {
        if (!model->failures_allowed && !store_model_crash_due(model))
            fail_with_seed(model, status_name(done->status), 0, 0);
        model->failed++;
        if (done->status != STATUS_NO_SPACE) {
            model->log_failed = model->log_failed || !write->refused;
            return; /* its fate is known after the restart */
        }
        take_back(model, write);
    }
    store_write_release(done);
    mem_free(write);
}

void store_model_submit(struct store_model *model, const struct store_model_change *changes, uint32_t count) {
    struct store_model_write *write = mem_calloc(1, sizeof *write);
    write->model = model;
    list_init(&write->link);
    store_write_init(&write->write, write_done);
    write->change_count = count;
    memcpy(write->changes, changes, count * sizeof *changes);
    for (uint32_t i = 0; i < count; i++) {
        const struct store_model_change *change = &changes[i];
        if (change->kind == STORE_MODEL_PUT) {
            struct buffer *value = make_value(model, change->value);
            struct shared_slice shared = {slice_make(value->data, value->size), change->owned ? value : NULL};
            store_put(&write->write, model->keys[change->first], shared);
            buffer_unref(value);
        } else if (change->kind == STORE_MODEL_DELETE) {
            store_delete(&write->write, model->keys[change->first]);
        } else {
            store_delete_range(&write->write, model->keys[change->first], model->keys[change->last + 1]);
        }
    }
    list_push_back(&model->writes, &write->link);
    apply(model, model->state, write);
    write->number = ++model->submitted;
    write->refused = store_health(model->store) != STATUS_OK;
    store_write_submit(model->store, &write->write);
}

uint32_t store_model_draw(struct prng *prng, uint32_t *next_value,
                          struct store_model_change changes[STORE_MODEL_CHANGES_MAX]) {
    uint32_t count = (uint32_t)prng_range(prng, 1, prng_chance(prng, 1, 4) ? STORE_MODEL_CHANGES_MAX : 2);
    for (uint32_t i = 0; i < count; i++) {
        struct store_model_change *change = &changes[i];
        uint32_t key = (uint32_t)prng_below(prng, STORE_MODEL_KEYS);
        uint64_t kind = prng_below(prng, 100);
        *change = (struct store_model_change){.kind = STORE_MODEL_DELETE, .first = key, .last = key};
        if (kind < 72) {
            change->kind = STORE_MODEL_PUT;
            change->value = (*next_value)++;
            change->owned = prng_chance(prng, 1, 2);
        } else if (kind >= 92) {
            uint32_t span = (uint32_t)prng_below(prng, prng_chance(prng, 1, 8) ? 60 : 8);
            change->kind = STORE_MODEL_DELETE_RANGE;
            change->last = MIN(key + span, STORE_MODEL_KEYS - 2u);
            change->first = MIN(key, change->last);
        }
    }
    return count;
}

void store_model_write(struct store_model *model) {
    struct store_model_change changes[STORE_MODEL_CHANGES_MAX];
    uint32_t count = store_model_draw(&model->prng, &model->next_value, changes);
    store_model_submit(model, changes, count);
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
            fail_with_seed(model, "L8 nothing happens any more", 0, 0);
    }
    return true;
}

void store_model_settle(struct store_model *model) {
    uint64_t deadline = io_sim_now(model->sim) + 100 * NS_PER_S;
    while (!list_empty(&model->writes) && store_health(model->store) == STATUS_OK &&
           !store_model_crash_due(model))
        if (!io_sim_step(model->sim) || io_sim_now(model->sim) > deadline)
            fail_with_seed(model, "L8 a write is never answered", 0, 0);
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

void store_model_get_key(struct store_model *model, uint32_t key, bool cancel) {
    struct model_get get = {.get = {.ready = get_ready}};
    struct shared_slice value;
    enum status status;
    const uint32_t before = model->state[key];
    while ((status = store_get(model->store, model->keys[key], &get.get, &value)) == STATUS_PENDING) {
        if (cancel || !wait_for(model, &get.ready)) {
            store_get_cancel(&get.get);
            return;
        }
        get.ready = false;
    }
    bool found = status == STATUS_OK;
    /* A write that failed while the get waited may still have been seen by it. */
    uint32_t expected = model->state[key];
    bool excused = model->failures_allowed && (status == STATUS_IO || before != expected);
    if (excused && status != STATUS_IO)
        excused = found ? before != ABSENT : status == STATUS_NOT_FOUND && before == ABSENT;
    if (!excused && !store_model_crash_due(model)) {
        if (status != (expected == ABSENT ? STATUS_NOT_FOUND : STATUS_OK))
            fail_with_seed(model, found ? "S3 a deleted key is found" : "S6 a key is not found", key,
                           expected);
        if (found && !value_is(model, expected, value.bytes))
            fail_with_seed(model, "S5 get gives a wrong value", key, expected);
    }
    if (found) shared_slice_unref(value);
}

void store_model_get(struct store_model *model) {
    uint32_t key = (uint32_t)prng_below(&model->prng, STORE_MODEL_KEYS);
    store_model_get_key(model, key, prng_chance(&model->prng, 1, 16));
}

static int find_forward(const struct store_model_walk *walk, int from) {
    for (int k = MAX(from, (int)walk->lower); k < (int)walk->upper; k++)
        if (walk->state[k] != ABSENT) return k;
    return -1;
}
static int find_back(const struct store_model_walk *walk, int from) {
    for (int k = MIN(from, (int)walk->upper - 1); k >= (int)walk->lower; k--)
        if (walk->state[k] != ABSENT) return k;
    return -1;
}

static enum status walk_call(struct store_model_walk *walk, enum store_model_move move, uint32_t key) {
    switch (move) {
    case STORE_MODEL_SEEK:
        return store_iterator_seek(walk->it, walk->model->keys[key]);
    case STORE_MODEL_SEEK_PREV:
        return store_iterator_seek_prev(walk->it, walk->model->keys[key]);
    case STORE_MODEL_NEXT:
        return store_iterator_next(walk->it);
    default:
        return store_iterator_prev(walk->it);
    }
}

static int walk_expected(const struct store_model_walk *walk, enum store_model_move move, uint32_t key,
                         int from) {
    switch (move) {
    case STORE_MODEL_SEEK:
        return find_forward(walk, (int)key);
    case STORE_MODEL_SEEK_PREV:
        return find_back(walk, (int)key);
    case STORE_MODEL_NEXT:
        return find_forward(walk, from + 1);
    default:
        return find_back(walk, from - 1);
    }
}

bool store_model_walk_move(struct store_model_walk *walk, enum store_model_move move, uint32_t key,
                           bool leave) {
    struct store_model *model = walk->model;
    int from = walk->at;
    uint64_t opened_after = walk->opened_after;
    enum status status;
    walk->ready = false;
    walk->at = -1;
    while ((status = walk_call(walk, move, key)) == STATUS_PENDING) {
        if (leave || !wait_for(model, &walk->ready)) return false;
        walk->ready = false;
    }
    if (store_model_crash_due(model)) return false;
    if (model->failures_allowed && (status == STATUS_IO || walk->opened_after != opened_after)) return false;
    int expected = walk_expected(walk, move, key, from);
    if (status != STATUS_OK && status != STATUS_END)
        fail_with_seed(model, "S6 an iterator fails", (uint32_t)expected, key);
    if (status != (expected < 0 ? STATUS_END : STATUS_OK))
        fail_with_seed(model, expected < 0 ? "S3 an iterator finds too much" : "S5 an iterator ends early",
                       (uint32_t)expected, key);
    walk->at = expected;
    if (expected < 0) return true;
    if (!slice_equal(store_iterator_key(walk->it), model->keys[expected]))
        fail_with_seed(model, "S5 an iterator is at a wrong key", (uint32_t)expected, key);
    if (!value_is(model, walk->state[expected], store_iterator_value(walk->it).bytes))
        fail_with_seed(model, "S5 an iterator has a wrong value", (uint32_t)expected, walk->state[expected]);
    return true;
}

struct store_model_walk *store_model_walk_open(struct store_model *model, uint32_t lower, uint32_t upper,
                                               unsigned flags) {
    struct store_model_walk *walk = mem_calloc(1, sizeof *walk);
    *walk = (struct store_model_walk){
        .model = model, .opened_after = model->submitted, .lower = lower, .upper = upper, .at = -1};
    list_init(&walk->link);
    list_push_back(&model->walks, &walk->link);
    memcpy(walk->state, model->state, sizeof walk->state);
    walk->it = store_iterator_open(model->store, lower == 0 ? SLICE_EMPTY : model->keys[lower],
                                   upper == STORE_MODEL_KEYS ? SLICE_EMPTY : model->keys[upper], flags,
                                   set_flag, &walk->ready);
    return walk;
}

bool store_model_walk_on_key(const struct store_model_walk *walk) {
    return walk->at >= 0;
}

void store_model_walk_close(struct store_model_walk *walk) {
    list_remove(&walk->link);
    store_iterator_close(walk->it);
    mem_free(walk);
}

static void close_walks(struct store_model *model) {
    LIST_FOREACH(it, &model->walks)
        store_model_walk_close(CONTAINER_OF(it, struct store_model_walk, link));
}

void store_model_check(struct store_model *model) {
    struct store_model_walk *walk = store_model_walk_open(model, 0, STORE_MODEL_KEYS,
                                                          STORE_ITERATOR_BLOCKING);
    bool ok = store_model_walk_move(walk, STORE_MODEL_SEEK, 0, false);
    while (ok && walk->at >= 0)
        ok = store_model_walk_move(walk, STORE_MODEL_NEXT, 0, false);
    ok = ok && store_model_walk_move(walk, STORE_MODEL_SEEK_PREV, STORE_MODEL_KEYS - 1, false);
    while (ok && walk->at >= 0)
        ok = store_model_walk_move(walk, STORE_MODEL_PREV, 0, false);
    store_model_walk_close(walk);
    for (uint32_t k = 0; ok && k < STORE_MODEL_KEYS; k++) {
        struct shared_slice value;
        enum status status = store_get_blocking(model->store, model->keys[k], &value);
        uint32_t expected = model->state[k];
        if (status != (expected == ABSENT ? STATUS_NOT_FOUND : STATUS_OK))
            fail_with_seed(model, status == STATUS_OK ? "S3 a deleted key is found" : "S6 a key is not found",
                           k, expected);
        if (expected == ABSENT) continue;
        if (!value_is(model, expected, value.bytes))
            fail_with_seed(model, "S5 get gives a wrong value", k, expected);
        shared_slice_unref(value);
    }
}

struct file_count {
    size_t tables, temporaries;
};

static void count_file(void *ctx, const char *name, bool is_dir) {
    struct file_count *count = ctx;
    uint64_t number;
    enum layout_kind kind = is_dir ? LAYOUT_OTHER : layout_parse(name, &number);
    count->tables += kind == LAYOUT_TABLE;
    count->temporaries += kind == LAYOUT_TEMPORARY;
}

void store_model_check_files(struct store_model *model) {
    store_model_settle(model);
    store_model_run(model, NS_PER_S);
    struct file_count count = {0};
    assert_status(io_list_dir(model->io, model->options.dir, count_file, &count), STATUS_OK);
    struct store_stats stats;
    store_stats(model->store, &stats);
    uint64_t runs = 0;
    for (size_t l = 0; l < STORE_LEVEL_COUNT; l++)
        runs += stats.level_runs[l];
    if (count.tables > runs || (runs > 0 && count.tables == 0) || count.temporaries > 0)
        fail_with_seed(model, "S16 a file is left that nothing needs", (uint32_t)count.tables,
                       (uint32_t)runs);
}

/* What the store holds, as value ids; a value that is none of the model's is UINT32_MAX. */
static bool read_back(struct store_model *model, uint32_t *found) {
    memset(found, 0, STORE_MODEL_KEYS * sizeof *found);
    struct store_iterator *it = store_iterator_open(model->store, SLICE_EMPTY, SLICE_EMPTY,
                                                    STORE_ITERATOR_BLOCKING, NULL, NULL);
    enum status status = store_iterator_seek(it, SLICE_EMPTY);
    for (uint32_t k = 0; status == STATUS_OK; status = store_iterator_next(it)) {
        while (k < STORE_MODEL_KEYS && slice_compare(model->keys[k], store_iterator_key(it)) < 0)
            k++;
        if (k == STORE_MODEL_KEYS || !slice_equal(model->keys[k], store_iterator_key(it)))
            fail_with_seed(model, "S4 a key that was never written", k, 0);
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
    store_iterator_close(it);
    if (status == STATUS_END) return true;
    if (model->failures_allowed && status == STATUS_IO) return false;
    fail_with_seed(model, "S6 a recovered store cannot be read", 0, 0);
    return false;
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
static bool find_prefix(struct store_model *model) {
    uint32_t found[STORE_MODEL_KEYS];
    if (!read_back(model, found)) return false;
    while (!same_state(model, model->acked, found)) {
        struct list *node = list_first(&model->writes);
        if (node == NULL) {
            for (uint32_t k = 0; k < STORE_MODEL_KEYS; k++)
                if (model->acked[k] != found[k])
                    print_error("key %u: expected %u, found %u\n", k, model->acked[k], found[k]);
            fail_with_seed(model, "S1 recovered state is no prefix of the writes", 0, 0);
        }
        struct store_model_write *write = CONTAINER_OF(node, struct store_model_write, link);
        apply(model, model->acked, write);
        free_write(write);
    }
    while (!list_empty(&model->writes))
        free_write(CONTAINER_OF(list_first(&model->writes), struct store_model_write, link));
    memcpy(model->state, model->acked, sizeof model->state);
    return true;
}

bool store_model_open(struct store_model *model) {
    model->io = io_sim_node_io(model->sim, STORE_MODEL_NODE);
    struct diagnostic diagnostic = {{0}};
    model->store = NULL;
    enum status status = store_open(model->io, &model->options, &model->store, &diagnostic);
    if (store_model_crash_due(model)) return false;
    model->log_failed = false;
    if (status == STATUS_OK) return find_prefix(model);
    bool excused = model->failures_allowed && (status == STATUS_IO || status == STATUS_NO_SPACE);
    if (!excused) {
        print_error("%s\n", diagnostic.text);
        fail_with_seed(model, "S1 a store does not open again", 0, status);
    }
    return false;
}

void store_model_shutdown(struct store_model *model) {
    bool done = false;
    store_shutdown(model->store, set_flag, &done);
    if (!wait_for(model, &done)) return;
    store_close(model->store);
    model->store = NULL;
}

void store_model_crash(struct store_model *model, enum io_sim_crash how) {
    close_walks(model);
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

static void log_line_to_stderr(void *ctx, enum log_level level, struct slice line) {
    (void)ctx;
    fprintf(stderr, "%s %.*s\n", log_level_name(level), (int)line.size, (const char *)line.data);
}

void store_model_init(struct store_model *model, uint64_t seed) {
    *model = (struct store_model){.seed = seed, .next_value = 1, .value_size_max = 20000};
    prng_init(&model->prng, seed);
    list_init(&model->writes);
    list_init(&model->walks);
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
