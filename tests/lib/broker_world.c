// SPDX-License-Identifier: Apache-2.0
#include "lib/broker_world.h"

#include <stdio.h>

#include "lib/test.h"

#include "base/mem.h"
#include "base/units.h"

#define PATIENCE_NS (3600 * NS_PER_S)

/* ---- the machine -------------------------------------------------------------------------------------- */

void broker_world_open(struct broker_world *w, uint64_t seed) {
    *w = (struct broker_world){.sim = io_sim_new(seed), .options = broker_options_default()};
    w->options.data_dir = "data";
    w->options.store.memtable_bytes = 256 * KIB;
    w->options.store.cache_bytes = 128 * KIB;
    w->options.store.wal_segment_bytes = 128 * KIB;
    w->options.store.table_bytes = 64 * KIB;
    broker_world_start(w);
}

enum status broker_world_try_start(struct broker_world *w) {
    assert_null(w->broker);
    w->io = io_sim_node_io(w->sim, 0);
    enum status status = broker_open(w->io, &w->options, &w->broker, &w->why);
    if (status == STATUS_OK) return STATUS_OK;
    w->broker = NULL;
    io_sim_crash_node(w->sim, 0, IO_SIM_CRASH_PROCESS);
    io_free(w->io);
    return status;
}

void broker_world_start(struct broker_world *w) {
    assert_status(broker_world_try_start(w), STATUS_OK);
}

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}

void broker_world_shutdown(struct broker_world *w) {
    bool done = false;
    broker_shutdown(w->broker, set_flag, &done);
    broker_world_until(w, &done);
    broker_close(w->broker);
    w->broker = NULL;
    io_sim_crash_node(w->sim, 0, IO_SIM_CRASH_PROCESS);
    io_free(w->io);
}

void broker_world_crash(struct broker_world *w, enum io_sim_crash how) {
    io_sim_crash_node(w->sim, 0, how);
    broker_close(w->broker);
    w->broker = NULL;
    io_free(w->io);
}

void broker_world_restart(struct broker_world *w) {
    broker_world_shutdown(w);
    broker_world_start(w);
}

void broker_world_close(struct broker_world *w) {
    if (w->broker != NULL) broker_world_shutdown(w);
    io_sim_free(w->sim);
}

int broker_world_teardown(void **state) {
    struct broker_world *w = *state;
    broker_world_close(w);
    assert_int_equal(buffer_bytes_live(), 0);
    mem_free(w);
    return 0;
}

struct waiting_timer {
    struct io_timer timer;
    bool done;
};

static void fired(struct io_timer *timer) {
    CONTAINER_OF(timer, struct waiting_timer, timer)->done = true;
}

/* The node's clock is read once a turn: without one it would lie behind. */
static void take_turn(struct broker_world *w) {
    struct waiting_timer waiting = {.done = false};
    io_timer_init(&waiting.timer, fired);
    io_timer_set(w->io, &waiting.timer, 0);
    broker_world_until(w, &waiting.done);
}

void broker_world_run(struct broker_world *w, uint64_t ms) {
    io_sim_run_until(w->sim, io_sim_now(w->sim) + ms * NS_PER_MS);
}

void broker_world_until(struct broker_world *w, const bool *done) {
    uint64_t deadline = io_sim_now(w->sim) + PATIENCE_NS;
    while (!*done) {
        assert_true(io_sim_step(w->sim));
        assert_true(io_sim_now(w->sim) < deadline);
    }
}

/* ---- topics ------------------------------------------------------------------------------------------- */

struct waiting_change {
    struct topic_change change;
    bool done;
};

static void changed(struct topic_change *change) {
    CONTAINER_OF(change, struct waiting_change, change)->done = true;
}

enum status broker_world_change(struct broker_world *w, struct topic_change *change) {
    struct waiting_change waiting = {.change = *change};
    waiting.change.done = changed;
    broker_change_topic(w->broker, &waiting.change);
    assert_false(waiting.done);
    broker_world_until(w, &waiting.done);
    *change = waiting.change;
    w->why = change->diagnostic;
    return change->status;
}

enum status broker_world_create(struct broker_world *w, const char *topic, int partitions, ...) {
    struct topic_change change = {.kind = TOPIC_CREATE,
                                  .name = slice_from_text(topic),
                                  .partition_count = partitions,
                                  .replication = -1,
                                  .config = w->options.topic_defaults};
    va_list arguments;
    va_start(arguments, partitions);
    const char *name;
    while ((name = va_arg(arguments, const char *)) != NULL) {
        const char *value = va_arg(arguments, const char *);
        assert_status(
            topic_config_set(&change.config, slice_from_text(name), slice_from_text(value), &w->why),
            STATUS_OK);
    }
    va_end(arguments);
    return broker_world_change(w, &change);
}

enum status broker_world_delete(struct broker_world *w, const char *topic) {
    struct topic_change change = {.kind = TOPIC_DELETE, .name = slice_from_text(topic)};
    return broker_world_change(w, &change);
}

/* ---- appending ---------------------------------------------------------------------------------------- */

struct buffer *broker_world_batch(const struct batch_spec *spec) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    for (int i = 0; i < spec->count; i++) {
        char head[64];
        int size = snprintf(head, sizeof head, "%s/%d", spec->tag == NULL ? "" : spec->tag, i);
        size_t value_size = MAX((size_t)size, spec->value_size);
        char *value = mem_calloc(1, value_size);
        memcpy(value, head, (size_t)size);
        int64_t timestamp = spec->timestamps != NULL ? spec->timestamps[i] : spec->timestamp + i * spec->step;
        record_batch_add(&builder, timestamp, spec->null_keys ? SLICE_EMPTY : SLICE_LITERAL("key"),
                         slice_make(value, value_size), NULL, 0);
        mem_free(value);
    }
    struct record_batch_producer producer = {-1, -1, -1};
    if (spec->idempotent)
        producer = (struct record_batch_producer){spec->producer_id, (int16_t)spec->epoch, spec->sequence};
    struct buffer *batch = record_batch_finish(&builder, spec->codec, &producer);
    record_batch_builder_release(&builder);
    return batch;
}

static struct broker_world *current; /* the clock that completions are stamped with */
static uint32_t completions;

static void appended(struct append *append) {
    struct world_append *waiting = CONTAINER_OF(append, struct world_append, append);
    assert_false(waiting->done);
    waiting->done = true;
    waiting->done_ns = io_sim_now(current->sim);
    waiting->order = ++completions;
}

void broker_world_append_bytes(struct broker_world *w, struct world_append *append, const char *topic,
                               int partition, struct buffer *batch) {
    *append = (struct world_append){.append = {.topic = slice_from_text(topic),
                                               .partition = partition,
                                               .batch = {slice_make(batch->data, batch->size), batch},
                                               .done = appended}};
    current = w;
    broker_append(w->broker, &append->append);
    assert_false(append->done);
    buffer_unref(batch);
}

void broker_world_append_start(struct broker_world *w, struct world_append *append, const char *topic,
                               int partition, const struct batch_spec *spec) {
    broker_world_append_bytes(w, append, topic, partition, broker_world_batch(spec));
}

enum status broker_world_append_wait(struct broker_world *w, struct world_append *append) {
    broker_world_until(w, &append->done);
    w->why = append->append.diagnostic;
    return append->append.status;
}

enum status broker_world_append(struct broker_world *w, struct world_append *append, const char *topic,
                                int partition, const struct batch_spec *spec) {
    broker_world_append_start(w, append, topic, partition, spec);
    return broker_world_append_wait(w, append);
}

/* ---- fetching ----------------------------------------------------------------------------------------- */

static void fetched(struct fetch *fetch) {
    struct world_fetch *waiting = CONTAINER_OF(fetch, struct world_fetch, fetch);
    assert_false(waiting->done);
    waiting->done = true;
    waiting->done_ns = io_sim_now(current->sim);
}

void broker_world_fetch_start(struct broker_world *w, struct world_fetch *fetch, const char *topic,
                              int partition, int64_t offset, int32_t bytes_min, uint32_t wait_ms) {
    *fetch = (struct world_fetch){
        .fetch = {.partitions = &fetch->part,
                  .partition_count = 1,
                  .wait_max_ms = wait_ms,
                  .bytes_min = bytes_min,
                  .bytes_max = 16 << 20,
                  .done = fetched},
        .part = {.partition = partition, .offset = offset, .bytes_max = 1 << 20, .leader_epoch = -1}};
    take_turn(w);
    snprintf(fetch->topic, sizeof fetch->topic, "%s", topic);
    fetch->part.topic = slice_from_text(fetch->topic);
    current = w;
    broker_fetch(w->broker, &fetch->fetch);
    assert_false(fetch->done);
}

void broker_world_fetch_wait(struct broker_world *w, struct world_fetch *fetch) {
    broker_world_until(w, &fetch->done);
}

enum status broker_world_fetch(struct broker_world *w, struct world_fetch *fetch, const char *topic,
                               int partition, int64_t offset) {
    broker_world_fetch_start(w, fetch, topic, partition, offset, 0, 0);
    broker_world_fetch_wait(w, fetch);
    return fetch->part.status;
}

static size_t take_records(struct shared_slice bytes, int64_t *offset, struct world_record *records,
                           size_t max) {
    struct record_batch batch;
    struct record_iterator it;
    struct record record;
    struct arena arena;
    size_t count = 0;
    arena_init(&arena, 4 * KIB);
    assert_status(record_batch_read(bytes.bytes, &batch), STATUS_OK);
    assert_int_equal(batch.bytes.size, bytes.bytes.size);
    assert_status(record_iterator_init(&it, &batch, &arena, 64 * MIB), STATUS_OK);
    enum status status;
    while ((status = record_iterator_next(&it, &record)) == STATUS_OK) {
        if (record.offset < *offset) continue;
        assert_int_equal(record.offset, *offset);
        (*offset)++;
        assert_true(count < max);
        records[count] = (struct world_record){.offset = record.offset, .timestamp = record.timestamp};
        memcpy(records[count++].value, record.value.data, MIN(record.value.size, (size_t)47));
    }
    assert_status(status, STATUS_END);
    arena_release(&arena);
    return count;
}

size_t broker_world_read(struct broker_world *w, const char *topic, int partition, int64_t offset,
                         struct world_record *records, size_t max) {
    size_t count = 0;
    struct world_fetch fetch;
    do {
        assert_status(broker_world_fetch(w, &fetch, topic, partition, offset), STATUS_OK);
        assert_true(fetch.part.batch_count != 0 || offset == fetch.part.high_watermark);
        for (uint32_t i = 0; i < fetch.part.batch_count; i++)
            count += take_records(fetch.part.batches[i], &offset, records + count, max - count);
        fetch_release(&fetch.fetch);
    } while (offset < fetch.part.high_watermark);
    return count;
}

/* ---- offsets ------------------------------------------------------------------------------------------ */

struct waiting_offset {
    struct list_offset request;
    bool done;
};

static void listed(struct list_offset *request) {
    CONTAINER_OF(request, struct waiting_offset, request)->done = true;
}

enum status broker_world_list_offset(struct broker_world *w, const char *topic, int partition,
                                     int64_t timestamp, int64_t *offset, int64_t *found_timestamp) {
    struct waiting_offset waiting = {.request = {.topic = slice_from_text(topic),
                                                 .partition = partition,
                                                 .timestamp_ms = timestamp,
                                                 .done = listed}};
    broker_list_offset(w->broker, &waiting.request);
    assert_false(waiting.done);
    broker_world_until(w, &waiting.done);
    *offset = waiting.request.offset;
    *found_timestamp = waiting.request.found_timestamp_ms;
    return waiting.request.status;
}

struct waiting_deletion {
    struct delete_records request;
    bool done;
};

static void deleted(struct delete_records *request) {
    CONTAINER_OF(request, struct waiting_deletion, request)->done = true;
}

enum status broker_world_delete_records(struct broker_world *w, const char *topic, int partition,
                                        int64_t offset, int64_t *log_start) {
    struct waiting_deletion waiting = {
        .request = {
            .topic = slice_from_text(topic), .partition = partition, .offset = offset, .done = deleted}};
    broker_delete_records(w->broker, &waiting.request);
    assert_false(waiting.done);
    broker_world_until(w, &waiting.done);
    *log_start = waiting.request.log_start_offset;
    return waiting.request.status;
}

struct partition_info broker_world_info(struct broker_world *w, const char *topic, int partition) {
    struct partition_info info;
    enum status status;
    while ((status = broker_partition_info(w->broker, slice_from_text(topic), partition, &info)) ==
           STATUS_PENDING)
        assert_true(io_sim_step(w->sim));
    assert_status(status, STATUS_OK);
    return info;
}
