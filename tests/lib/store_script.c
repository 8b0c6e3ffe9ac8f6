// SPDX-License-Identifier: Apache-2.0
#include "lib/store_script.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "lib/test.h"

/* ---- life -------------------------------------------------------------------------------------------- */

void store_script_init(struct store_script *script) {
    *script = (struct store_script){.memtable_bytes = 16 * KIB,
                                    .cache_bytes = 8 * KIB,
                                    .segment_bytes = 16 * KIB,
                                    .table_bytes = 32 * KIB,
                                    .value_size_max = 20000,
                                    .manifest_bytes = MIB};
}

void store_script_release(struct store_script *script) {
    mem_free(script->ops);
    store_script_init(script);
}

struct store_script_op *store_script_add(struct store_script *script, enum store_script_kind kind) {
    if (script->count == script->capacity) {
        script->capacity = MAX(script->capacity * 2, (size_t)64);
        script->ops = mem_realloc(script->ops, script->capacity * sizeof *script->ops);
    }
    struct store_script_op *op = &script->ops[script->count++];
    *op = (struct store_script_op){.kind = kind};
    return op;
}

/* ---- drawing ----------------------------------------------------------------------------------------- */

/* How often each kind comes, before a seed leaves some out. */
static const uint32_t usual_weights[SCRIPT_KIND_COUNT] = {
    [SCRIPT_WRITE] = 50, [SCRIPT_GET] = 12, [SCRIPT_OPEN] = 5,   [SCRIPT_MOVE] = 25,    [SCRIPT_CLOSE] = 3,
    [SCRIPT_FLUSH] = 4,  [SCRIPT_RUN] = 14, [SCRIPT_SETTLE] = 2, [SCRIPT_CHECK] = 1,    [SCRIPT_REOPEN] = 1,
    [SCRIPT_CRASH] = 2,  [SCRIPT_STOP] = 3, [SCRIPT_FAULT] = 1,  [SCRIPT_CAPACITY] = 1,
};

static void draw_open(struct store_script_op *op, struct prng *prng) {
    op->a = prng_below(prng, STORE_SCRIPT_WALKS);
    op->c = STORE_MODEL_KEYS;
    if (prng_chance(prng, 1, 2)) {
        op->b = prng_below(prng, STORE_MODEL_KEYS);
        op->c = MAX(prng_range(prng, op->b, STORE_MODEL_KEYS), (uint64_t)1);
    }
    op->d = prng_chance(prng, 1, 3) ? STORE_ITERATOR_SEQUENTIAL : 0;
    if (prng_chance(prng, 1, 6)) op->d |= STORE_ITERATOR_BLOCKING;
}

static void draw_move(struct store_script_op *op, struct prng *prng) {
    op->a = prng_below(prng, STORE_SCRIPT_WALKS);
    op->b = prng_below(prng, 4);
    bool seek = op->b == STORE_MODEL_SEEK || op->b == STORE_MODEL_SEEK_PREV;
    op->c = seek ? prng_below(prng, STORE_MODEL_KEYS) : prng_range(prng, 1, prng_chance(prng, 1, 8) ? 60 : 6);
    op->d = prng_chance(prng, 1, 12);
}

static void draw_op(struct store_script_op *op, struct prng *prng, uint32_t *next_value) {
    switch (op->kind) {
    case SCRIPT_WRITE:
        op->change_count = store_model_draw(prng, next_value, op->changes);
        break;
    case SCRIPT_GET:
        op->a = prng_below(prng, STORE_MODEL_KEYS);
        op->b = prng_chance(prng, 1, 16);
        break;
    case SCRIPT_OPEN:
        draw_open(op, prng);
        break;
    case SCRIPT_MOVE:
        draw_move(op, prng);
        break;
    case SCRIPT_CLOSE:
        op->a = prng_below(prng, STORE_SCRIPT_WALKS);
        break;
    case SCRIPT_RUN:
        op->a = prng_chance(prng, 1, 8) ? 100 * NS_PER_MS : prng_below(prng, NS_PER_MS);
        break;
    case SCRIPT_CRASH:
        op->a = prng_below(prng, 4);
        op->b = prng_chance(prng, 1, 3) ? prng_range(prng, 1, 12) : 0;
        break;
    case SCRIPT_STOP:
        op->a = prng_range(prng, 1, 60);
        op->b = prng_below(prng, 2);
        op->c = prng_below(prng, 4);
        op->d = prng_chance(prng, 1, 3) ? prng_range(prng, 1, 12) : 0;
        break;
    case SCRIPT_FAULT:
        op->a = prng_below(prng, 4);
        op->b = prng_range(prng, 1, 12);
        break;
    case SCRIPT_CAPACITY:
        op->a = prng_chance(prng, 1, 3) ? 0 : prng_range(prng, 100, 700);
        break;
    default:
        break;
    }
}

void store_script_draw(struct store_script *script, uint64_t seed) {
    struct prng prng;
    prng_init(&prng, seed);
    const uint32_t scale = 1u << prng_below(&prng, 4);
    script->seed = seed;
    script->memtable_bytes = 16 * KIB * scale;
    script->cache_bytes = 8 * KIB * scale;
    script->segment_bytes = 16 * KIB * scale;
    script->table_bytes = 32 * KIB * scale;
    script->prefix_size = prng_chance(&prng, 1, 2) ? 8 : 0;
    script->value_size_max = prng_chance(&prng, 1, 3) ? 20000 : 2000;
    script->manifest_bytes = prng_chance(&prng, 1, 2) ? 500 : MIB;
    script->scrub_ms = prng_chance(&prng, 1, 3) ? prng_range(&prng, 1, 200) : 0;
    struct prng codecs; /* apart, so that scripts stay what their seeds made of them before */
    prng_init(&codecs, ~seed);
    script->compression = prng_chance(&codecs, 1, 2) ? prng_range(&codecs, 1, STORE_SCRIPT_CODECS) : 0;
    uint32_t weights[SCRIPT_KIND_COUNT], sum = 0;
    for (size_t k = 0; k < SCRIPT_KIND_COUNT; k++) {
        uint32_t factor = (uint32_t)prng_below(&prng, 4); /* 0: not in this seed */
        if (k == SCRIPT_WRITE || k == SCRIPT_RUN) factor = MAX(factor, 1u);
        weights[k] = usual_weights[k] * factor;
        sum += weights[k];
    }
    /* Some seeds make many small tables instead of few large ones. */
    bool small = prng_chance(&prng, 1, 3);
    if (small) {
        sum += weights[SCRIPT_FLUSH] * 9;
        weights[SCRIPT_FLUSH] *= 10;
    }
    uint32_t next_value = 1;
    size_t length = prng_range(&prng, 20, prng_chance(&prng, 1, 4) ? 900 : 300);
    for (size_t i = 0; i < length; i++) {
        uint64_t what = prng_below(&prng, sum);
        size_t kind = 0;
        while (what >= weights[kind])
            what -= weights[kind++];
        struct store_script_op *op = store_script_add(script, (enum store_script_kind)kind);
        draw_op(op, &prng, &next_value);
        if (small) op->change_count = MIN(op->change_count, 1u);
    }
}

/* ---- running ----------------------------------------------------------------------------------------- */

struct run {
    struct store_model model;
    uint64_t compression, openings;
    struct store_model_walk *walks[STORE_SCRIPT_WALKS];
    uint64_t crash, recovery_stop; /* what follows when the disk stops */
};

static void close_all(struct run *run) {
    for (size_t i = 0; i < STORE_SCRIPT_WALKS; i++) {
        if (run->walks[i] != NULL) store_model_walk_close(run->walks[i]);
        run->walks[i] = NULL;
    }
}

static bool open_store(struct run *run) {
    uint64_t codec = run->compression < STORE_SCRIPT_CODECS ? run->compression
                                                            : run->openings++ % STORE_SCRIPT_CODECS;
    run->model.options.compression = (enum store_compression)codec;
    return store_model_open(&run->model);
}

/* The machine comes back; the fault that may have stopped it is over. */
static void restart(struct run *run, uint64_t how, uint64_t recovery_stop) {
    struct store_model *model = &run->model;
    close_all(run);
    do {
        store_model_crash(model, (enum io_sim_crash)how);
        io_sim_node_io(model->sim, STORE_MODEL_NODE);
        struct io_sim_disk_faults *faults = io_sim_disk_faults(model->sim, STORE_MODEL_NODE);
        *faults = (struct io_sim_disk_faults){.slow_factor = faults->slow_factor};
        io_sim_crash_at_disk_op(model->sim, STORE_MODEL_NODE, recovery_stop, IO_SIM_STOP_BEFORE);
        recovery_stop = 0;
    } while (!open_store(run));
    io_sim_crash_at_disk_op(model->sim, STORE_MODEL_NODE, 0, IO_SIM_STOP_BEFORE);
    model->failures_allowed = false;
}

static void run_move(struct run *run, const struct store_script_op *op) {
    struct store_model_walk *walk = run->walks[op->a % STORE_SCRIPT_WALKS];
    enum store_model_move move = (enum store_model_move)op->b;
    if (walk == NULL) return;
    if (move == STORE_MODEL_SEEK || move == STORE_MODEL_SEEK_PREV) {
        store_model_walk_move(walk, move, (uint32_t)op->c % STORE_MODEL_KEYS, op->d != 0);
        return;
    }
    for (uint64_t i = 0; i < op->c && store_model_walk_on_key(walk); i++)
        if (!store_model_walk_move(walk, move, 0, op->d != 0)) return;
}

static void run_open(struct run *run, const struct store_script_op *op) {
    struct store_model_walk **walk = &run->walks[op->a % STORE_SCRIPT_WALKS];
    if (*walk != NULL) store_model_walk_close(*walk);
    *walk = store_model_walk_open(&run->model, (uint32_t)op->b, (uint32_t)op->c, (unsigned)op->d);
}

static void run_fault(struct run *run, const struct store_script_op *op) {
    struct io_sim_disk_faults *faults = io_sim_disk_faults(run->model.sim, STORE_MODEL_NODE);
    run->model.failures_allowed = true;
    run->crash = IO_SIM_CRASH_PROCESS;
    if (op->kind == SCRIPT_CAPACITY) {
        faults->capacity_bytes = op->a * KIB;
        return;
    }
    if (op->a == 0) faults->read_error_countdown = (uint32_t)op->b;
    if (op->a == 1) faults->write_error_countdown = (uint32_t)op->b;
    if (op->a == 2) faults->sync_error_countdown = (uint32_t)op->b;
    if (op->a == 3) faults->no_space_countdown = (uint32_t)op->b;
}

static void run_op(struct run *run, const struct store_script_op *op) {
    struct store_model *model = &run->model;
    switch (op->kind) {
    case SCRIPT_WRITE:
        store_model_submit(model, op->changes, op->change_count);
        break;
    case SCRIPT_GET:
        store_model_get_key(model, (uint32_t)op->a % STORE_MODEL_KEYS, op->b != 0);
        break;
    case SCRIPT_OPEN:
        run_open(run, op);
        break;
    case SCRIPT_MOVE:
        run_move(run, op);
        break;
    case SCRIPT_CLOSE:
        if (run->walks[op->a % STORE_SCRIPT_WALKS] != NULL)
            store_model_walk_close(run->walks[op->a % STORE_SCRIPT_WALKS]);
        run->walks[op->a % STORE_SCRIPT_WALKS] = NULL;
        break;
    case SCRIPT_FLUSH:
        store_model_flush(model);
        break;
    case SCRIPT_RUN:
        store_model_run(model, op->a);
        break;
    case SCRIPT_SETTLE:
        store_model_settle(model);
        break;
    case SCRIPT_CHECK:
        if (!model->failures_allowed) store_model_check(model);
        break;
    case SCRIPT_REOPEN:
        close_all(run);
        store_model_shutdown(model);
        if (model->store == NULL && !open_store(run)) restart(run, IO_SIM_CRASH_PROCESS, 0);
        break;
    case SCRIPT_CRASH:
        restart(run, op->a, op->b);
        break;
    case SCRIPT_STOP:
        io_sim_crash_at_disk_op(model->sim, STORE_MODEL_NODE, op->a,
                                op->b == 0 ? IO_SIM_STOP_BEFORE : IO_SIM_STOP_AFTER);
        run->crash = op->c;
        run->recovery_stop = op->d;
        break;
    case SCRIPT_FAULT:
    case SCRIPT_CAPACITY:
        run_fault(run, op);
        break;
    case SCRIPT_KIND_COUNT:
        break;
    }
}

static bool has_stopped(const struct run *run) {
    return store_model_crash_due(&run->model) || run->model.store == NULL ||
           store_health(run->model.store) != STATUS_OK;
}

/* Once more with a sound disk: everything is there, after a clean stop too, and no file too many. */
static void finish(struct run *run) {
    struct store_model *model = &run->model;
    if (has_stopped(run) || model->failures_allowed) restart(run, run->crash, 0);
    io_sim_crash_at_disk_op(model->sim, STORE_MODEL_NODE, 0, IO_SIM_STOP_BEFORE);
    store_model_settle(model);
    store_model_check(model);
    close_all(run);
    store_model_check_files(model);
    store_model_shutdown(model);
    if (!open_store(run)) fail();
    store_model_check(model);
}

void store_script_run(const struct store_script *script,
                      void (*on_failure)(struct store_model *model, const char *what), void *ctx) {
    struct run run = {.crash = IO_SIM_CRASH_PROCESS, .compression = script->compression};
    struct store_model *model = &run.model;
    store_model_init(model, script->seed);
    model->on_failure = on_failure;
    model->ctx = ctx;
    model->forgetful = script->forgetful;
    model->value_size_max = (uint32_t)script->value_size_max;
    model->options.memtable_bytes = script->memtable_bytes;
    model->options.cache_bytes = script->cache_bytes;
    model->options.wal_segment_bytes = script->segment_bytes;
    model->options.table_bytes = script->table_bytes;
    model->options.partition_prefix_size = script->prefix_size;
    model->options.manifest_bytes = script->manifest_bytes;
    model->options.scrub_interval_ns = script->scrub_ms * NS_PER_MS;
    model->options.scrub_bytes_per_s = 10 * MIB;
    if (!open_store(&run)) fail();
    for (size_t i = 0; i < script->count; i++) {
        if (has_stopped(&run)) {
            restart(&run, run.crash, run.recovery_stop);
            run.recovery_stop = 0;
        }
        run_op(&run, &script->ops[i]);
    }
    finish(&run);
    close_all(&run);
    store_model_release(model);
}
