// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/units.h"
#include "lib/broker_world.h"
#include "lib/test.h"

static int setup(void **state) {
    struct broker_world *w = mem_calloc(1, sizeof *w);
    broker_world_open(w, 7);
    assert_status(broker_world_create(w, "t", 3, NULL), STATUS_OK);
    *state = w;
    return 0;
}

static struct world_record records[4096];

static const struct batch_spec one = {.count = 1, .timestamp = 1000, .tag = "one"};

/* ---- offsets ---- */

static void offsets_are_dense_and_the_high_watermark_follows(void **state) {
    struct broker_world *w = *state;
    int64_t expected = 0;
    for (int i = 1; i <= 60; i++) {
        struct world_append append;
        char tag[12];
        snprintf(tag, sizeof tag, "%d", i);
        struct batch_spec spec = {.count = i % 7 + 1,
                                  .timestamp = i,
                                  .codec = (enum record_codec)(i % CODEC_COUNT),
                                  .tag = tag,
                                  .value_size = 700};
        assert_status(broker_world_append(w, &append, "t", 1, &spec), STATUS_OK);
        assert_int_equal(append.append.base_offset, expected);
        assert_int_equal(append.append.log_append_time_ms, -1);
        assert_int_equal(append.append.log_start_offset, 0);
        expected += spec.count;
        struct partition_info info = broker_world_info(w, "t", 1);
        assert_int_equal(info.high_watermark, expected);
        assert_int_equal(info.log_end_offset, expected);
        if (i % 20 == 0) broker_world_restart(w);
    }
    assert_int_equal(broker_world_read(w, "t", 1, 0, records, ARRAY_COUNT(records)), expected);
    size_t at = 0;
    for (int i = 1; i <= 60; i++)
        for (int j = 0; j < i % 7 + 1; j++) {
            char value[24];
            snprintf(value, sizeof value, "%d/%d", i, j);
            assert_string_equal(records[at++].value, value);
        }
    assert_int_equal(broker_world_info(w, "t", 0).log_end_offset, 0);
}

static void appends_under_way_complete_in_order_and_share_a_sync(void **state) {
    struct broker_world *w = *state;
    enum { COUNT = 200 };
    static struct world_append appends[COUNT];
    struct world_append first;
    assert_status(broker_world_append(w, &first, "t", 0, &one), STATUS_OK);
    struct store_stats before, after;
    store_stats(broker_store(w->broker), &before);
    for (int i = 0; i < COUNT; i++)
        broker_world_append_start(w, &appends[i], "t", 0, &one);
    assert_int_equal(broker_world_info(w, "t", 0).log_end_offset, COUNT + 1);
    assert_int_equal(broker_world_info(w, "t", 0).high_watermark, 1);
    for (int i = 0; i < COUNT; i++) {
        assert_status(broker_world_append_wait(w, &appends[i]), STATUS_OK);
        assert_int_equal(appends[i].append.base_offset, i + 1);
        if (i > 0) assert_int_equal(appends[i].order, appends[i - 1].order + 1);
    }
    store_stats(broker_store(w->broker), &after);
    assert_true(after.wal_syncs - before.wal_syncs <= 3);
    assert_int_equal(broker_world_info(w, "t", 0).high_watermark, COUNT + 1);
}

static void the_first_append_to_a_partition_waits_for_its_loading(void **state) {
    struct broker_world *w = *state;
    struct world_append append;
    for (int i = 0; i < 100; i++) {
        struct batch_spec spec = {.count = 1, .value_size = 4000};
        assert_status(broker_world_append(w, &append, "t", 2, &spec), STATUS_OK);
    }
    broker_world_restart(w);
    struct broker_stats stats;
    broker_stats(w->broker, &stats);
    assert_int_equal(stats.partitions_loaded, 0);
    struct world_append several[5];
    for (int i = 0; i < 5; i++)
        broker_world_append_start(w, &several[i], "t", 2, &one);
    for (int i = 0; i < 5; i++) {
        assert_status(broker_world_append_wait(w, &several[i]), STATUS_OK);
        assert_int_equal(several[i].append.base_offset, 100 + i);
    }
    broker_stats(w->broker, &stats);
    assert_int_equal(stats.partitions_loaded, 1);
}

/* ---- what is refused ---- */

static void refuse(struct broker_world *w, const char *topic, int partition, const struct batch_spec *spec,
                   enum status expected) {
    struct world_append append;
    struct broker_stats before, after;
    broker_stats(w->broker, &before);
    assert_status(broker_world_append(w, &append, topic, partition, spec), expected);
    assert_int_equal(append.append.base_offset, -1);
    assert_int_not_equal(append.append.diagnostic.text[0], '\0');
    broker_stats(w->broker, &after);
    assert_int_equal(after.append_errors, before.append_errors + 1);
    assert_int_equal(after.appends, before.appends);
}

static void unknown_partitions_are_refused(void **state) {
    struct broker_world *w = *state;
    refuse(w, "nothing", 0, &one, STATUS_UNKNOWN_TOPIC);
    refuse(w, "t", 3, &one, STATUS_UNKNOWN_TOPIC);
    refuse(w, "t", -1, &one, STATUS_UNKNOWN_TOPIC);
    refuse(w, "t", INT32_MAX, &one, STATUS_UNKNOWN_TOPIC);
    refuse(w, "", 0, &one, STATUS_UNKNOWN_TOPIC);
}

static void a_batch_may_be_as_large_as_configured_and_no_larger(void **state) {
    struct broker_world *w = *state;
    struct batch_spec spec = {.count = 1, .value_size = 500};
    struct buffer *batch = broker_world_batch(&spec);
    char text[16];
    snprintf(text, sizeof text, "%zu", batch->size);
    buffer_unref(batch);
    assert_status(broker_world_create(w, "small", 1, "max.message.bytes", text, NULL), STATUS_OK);
    struct world_append append;
    assert_status(broker_world_append(w, &append, "small", 0, &spec), STATUS_OK);
    spec.value_size++;
    refuse(w, "small", 0, &spec, STATUS_TOO_LARGE);
    assert_non_null(strstr(w->why.text, "max.message.bytes"));
}

static void a_batch_with_any_byte_damaged_is_refused(void **state) {
    struct broker_world *w = *state;
    struct batch_spec spec = {.count = 2, .timestamp = 5};
    struct buffer *good = broker_world_batch(&spec);
    struct world_append append;
    int64_t expected = 0;
    for (size_t at = 0; at < good->size; at++) {
        struct buffer *batch = buffer_copy(slice_make(good->data, good->size));
        batch->data[at] ^= 0x41;
        broker_world_append_bytes(w, &append, "t", 0, batch);
        enum status status = broker_world_append_wait(w, &append);
        /* Base offset and leader epoch are the broker's to fill in, and outside the checksum. */
        if (at < 8 || (at >= 12 && at < 16)) {
            assert_status(status, STATUS_OK);
            assert_int_equal(append.append.base_offset, expected);
            expected += 2;
        } else {
            assert_true(status == STATUS_CORRUPT_MESSAGE || status == STATUS_UNSUPPORTED_FORMAT);
        }
    }
    for (size_t size = 0; size < good->size; size++) {
        struct buffer *batch = buffer_copy(slice_make(good->data, size));
        broker_world_append_bytes(w, &append, "t", 0, batch);
        assert_status(broker_world_append_wait(w, &append), STATUS_CORRUPT_MESSAGE);
    }
    buffer_unref(good);
    assert_int_equal(broker_world_info(w, "t", 0).log_end_offset, expected);
}

static void two_batches_in_one_append_are_refused(void **state) {
    struct broker_world *w = *state;
    struct buffer *batch = broker_world_batch(&one);
    struct buffer *both = buffer_new(2 * batch->size);
    memcpy(both->data, batch->data, batch->size);
    memcpy(both->data + batch->size, batch->data, batch->size);
    buffer_unref(batch);
    struct world_append append;
    broker_world_append_bytes(w, &append, "t", 0, both);
    assert_status(broker_world_append_wait(w, &append), STATUS_INVALID_RECORD);
}

/* Changes a header field and makes the checksum good again: what a hostile client can do. */
static enum status append_forged(struct broker_world *w, size_t at, size_t size, uint64_t value) {
    struct batch_spec spec = {.count = 2, .timestamp = 5};
    struct buffer *batch = broker_world_batch(&spec);
    for (size_t i = 0; i < size; i++)
        batch->data[at + i] = (uint8_t)(value >> 8 * (size - 1 - i));
    store_be32(batch->data + 17, crc32c(0, batch->data + 21, batch->size - 21));
    struct world_append append;
    broker_world_append_bytes(w, &append, "t", 0, batch);
    return broker_world_append_wait(w, &append);
}

static void forged_headers_with_good_checksums_are_refused(void **state) {
    struct broker_world *w = *state;
    static const struct {
        size_t at, size;
        uint64_t value;
        enum status expected;
    } forgeries[] = {
        {57, 4, 3, STATUS_INVALID_RECORD}, /* record count */
        {57, 4, 0, STATUS_INVALID_RECORD},
        {57, 4, 0x7fffffff, STATUS_INVALID_RECORD},
        {57, 4, 0xffffffff, STATUS_INVALID_RECORD},
        {23, 4, 0, STATUS_INVALID_RECORD}, /* last offset delta */
        {23, 4, 0x7fffffff, STATUS_INVALID_RECORD},
        {23, 4, 0xffffffff, STATUS_INVALID_RECORD},
        {21, 2, BATCH_CONTROL, STATUS_INVALID_RECORD}, /* attributes */
        {21, 2, BATCH_TRANSACTIONAL, STATUS_INVALID_TXN_STATE},
        {21, 2, 5, STATUS_UNSUPPORTED_COMPRESSION},
        {21, 2, 7, STATUS_UNSUPPORTED_COMPRESSION},
        {35, 8, UINT64_MAX - 5, STATUS_INVALID_TIMESTAMP},    /* max timestamp: negative */
        {35, 8, UINT64_C(1) << 62, STATUS_INVALID_TIMESTAMP}, /* far ahead */
        {21, 2, BATCH_LOG_APPEND_TIME, STATUS_INVALID_TIMESTAMP},
        {27, 8, UINT64_MAX - 5, STATUS_INVALID_TIMESTAMP}, /* base timestamp */
    };
    for (size_t i = 0; i < ARRAY_COUNT(forgeries); i++) {
        enum status status = append_forged(w, forgeries[i].at, forgeries[i].size, forgeries[i].value);
        /* A refused count may also be seen as damage. */
        if (status != STATUS_CORRUPT_MESSAGE || forgeries[i].expected != STATUS_INVALID_RECORD)
            assert_status(status, forgeries[i].expected);
    }
    assert_int_equal(broker_world_info(w, "t", 0).log_end_offset, 0);
    assert_status(append_forged(w, 43, 8, UINT64_MAX - 8), STATUS_OK); /* any negative producer id is none */
}

/* Old clients leave the newest timestamp at -1. */
static void a_missing_newest_timestamp_is_taken_from_the_records(void **state) {
    struct broker_world *w = *state;
    int64_t offset, found;
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        const int64_t timestamps[] = {100 + codec, 5000 + codec, 300};
        struct batch_spec spec = {.count = 3, .timestamps = timestamps, .codec = (enum record_codec)codec};
        struct buffer *batch = broker_world_batch(&spec);
        record_batch_set_max_timestamp(batch->data, batch->size, -1);
        struct world_append append;
        broker_world_append_bytes(w, &append, "t", 0, batch);
        assert_status(broker_world_append_wait(w, &append), STATUS_OK);
        assert_status(broker_world_list_offset(w, "t", 0, 5000 + codec, &offset, &found), STATUS_OK);
        assert_int_equal(offset, append.append.base_offset + 1);
        assert_int_equal(found, 5000 + codec);
    }
}

static void timestamps_may_be_bounded(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "b", 1, "message.timestamp.before.max.ms", "1000",
                                      "message.timestamp.after.max.ms", "2000", NULL),
                  STATUS_OK);
    struct world_append append;
    static const struct {
        int64_t away;
        enum status expected;
    } cases[] = {{0, STATUS_OK},
                 {-900, STATUS_OK},
                 {-1100, STATUS_INVALID_TIMESTAMP},
                 {1900, STATUS_OK},
                 {2100, STATUS_INVALID_TIMESTAMP}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct batch_spec spec = {.count = 1, .timestamp = io_wall_ms(w->io) + cases[i].away};
        assert_status(broker_world_append(w, &append, "b", 0, &spec), cases[i].expected);
    }
    /* Microseconds for milliseconds: the mistake that the default limit is for. */
    struct batch_spec spec = {.count = 1, .timestamp = io_wall_ms(w->io) * 1000};
    refuse(w, "t", 0, &spec, STATUS_INVALID_TIMESTAMP);
    assert_non_null(strstr(w->why.text, "message.timestamp.after.max.ms"));
}

static void a_compacted_topic_wants_keys(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "c", 1, "cleanup.policy", "compact", NULL), STATUS_OK);
    struct world_append append;
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        struct batch_spec spec = {.count = 2, .null_keys = true, .codec = (enum record_codec)codec};
        assert_status(broker_world_append(w, &append, "c", 0, &spec), STATUS_INVALID_RECORD);
        assert_int_equal(append.append.bad_record, 0);
        spec.null_keys = false;
        assert_status(broker_world_append(w, &append, "c", 0, &spec), STATUS_OK);
    }
}

static void log_append_time_is_the_brokers(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "l", 1, "message.timestamp.type", "LogAppendTime", NULL), STATUS_OK);
    struct world_append append;
    struct batch_spec spec = {.count = 3, .timestamp = 77, .step = 1, .codec = CODEC_ZSTD};
    assert_status(broker_world_append(w, &append, "l", 0, &spec), STATUS_OK);
    int64_t time = append.append.log_append_time_ms;
    assert_true(time > 1000000);
    assert_int_equal(broker_world_read(w, "l", 0, 0, records, ARRAY_COUNT(records)), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(records[i].timestamp, time);
    int64_t offset, found;
    assert_status(broker_world_list_offset(w, "l", 0, time, &offset, &found), STATUS_OK);
    assert_int_equal(offset, 0);
    assert_int_equal(found, time);
}

/* ---- idempotent producers ---- */

static struct batch_spec from(int64_t id, int epoch, int32_t sequence, int count) {
    return (struct batch_spec){
        .count = count, .idempotent = true, .producer_id = id, .epoch = epoch, .sequence = sequence};
}

static void a_retry_is_answered_with_the_first_copys_offset_also_after_a_restart(void **state) {
    struct broker_world *w = *state;
    struct world_append append;
    for (int i = 0; i < 7; i++) {
        struct batch_spec spec = from(5, 0, i * 2, 2);
        assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 7; i++) {
            struct batch_spec spec = from(5, 0, i * 2, 2);
            assert_status(broker_world_append(w, &append, "t", 0, &spec),
                          i < 2 ? STATUS_OUT_OF_ORDER_SEQUENCE : STATUS_OK);
            if (i >= 2) assert_int_equal(append.append.base_offset, i * 2);
        }
        if (round == 0) broker_world_restart(w);
        if (round != 1) continue;
        broker_world_crash(w, IO_SIM_CRASH_POWER_BARE);
        broker_world_start(w);
    }
    assert_int_equal(broker_world_info(w, "t", 0).log_end_offset, 14);
    struct batch_spec other = from(5, 0, 6, 2);
    assert_status(broker_world_append(w, &append, "t", 1, &other), STATUS_OK); /* partitions count apart */
}

static void a_retry_of_a_batch_under_way_waits_for_it(void **state) {
    struct broker_world *w = *state;
    struct world_append first, retry, again;
    struct batch_spec spec = from(5, 0, 0, 2);
    assert_status(broker_world_append(w, &first, "t", 0, &one), STATUS_OK);
    broker_world_append_start(w, &first, "t", 0, &spec);
    broker_world_append_start(w, &retry, "t", 0, &spec);
    broker_world_append_start(w, &again, "t", 0, &spec);
    assert_status(broker_world_append_wait(w, &retry), STATUS_OK);
    assert_status(broker_world_append_wait(w, &again), STATUS_OK);
    assert_status(broker_world_append_wait(w, &first), STATUS_OK);
    assert_int_equal(retry.append.base_offset, 1);
    assert_int_equal(again.append.base_offset, 1);
    assert_true(retry.done_ns >= first.done_ns);
    struct broker_stats stats;
    broker_stats(w->broker, &stats);
    assert_int_equal(stats.duplicates, 2);
    assert_int_equal(broker_world_info(w, "t", 0).log_end_offset, 3);
}

static void five_batches_under_way_stand_in_order_or_not_at_all(void **state) {
    struct broker_world *w = *state;
    struct world_append appends[5], gap;
    for (int i = 0; i < 5; i++) {
        struct batch_spec spec = from(5, 0, i, 1);
        broker_world_append_start(w, &appends[i], "t", 0, &spec);
    }
    struct batch_spec spec = from(5, 0, 6, 1);
    broker_world_append_start(w, &gap, "t", 0, &spec);
    assert_status(broker_world_append_wait(w, &gap), STATUS_OUT_OF_ORDER_SEQUENCE);
    for (int i = 0; i < 5; i++) {
        assert_status(broker_world_append_wait(w, &appends[i]), STATUS_OK);
        assert_int_equal(appends[i].append.base_offset, i);
    }
}

static void an_old_epoch_is_fenced(void **state) {
    struct broker_world *w = *state;
    struct world_append append;
    struct batch_spec old = from(5, 0, 0, 1), new = from(5, 1, 0, 1), late = from(5, 0, 1, 1);
    assert_status(broker_world_append(w, &append, "t", 0, &old), STATUS_OK);
    assert_status(broker_world_append(w, &append, "t", 0, &new), STATUS_OK);
    assert_status(broker_world_append(w, &append, "t", 0, &late), STATUS_INVALID_PRODUCER_EPOCH);
    broker_world_restart(w);
    assert_status(broker_world_append(w, &append, "t", 0, &late), STATUS_INVALID_PRODUCER_EPOCH);
}

struct waiting_id {
    struct producer_id_request request;
    bool done;
};

static void got_id(struct producer_id_request *request) {
    CONTAINER_OF(request, struct waiting_id, request)->done = true;
}

static void producer_ids_are_never_given_twice(void **state) {
    struct broker_world *w = *state;
    static bool seen[20000];
    memset(seen, 0, sizeof seen);
    for (int round = 0; round < 4; round++) {
        static struct waiting_id ids[1500];
        for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
            ids[i] = (struct waiting_id){.request = {.done = got_id}};
            broker_new_producer_id(w->broker, &ids[i].request);
            assert_false(ids[i].done);
        }
        for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
            broker_world_until(w, &ids[i].done);
            assert_status(ids[i].request.status, STATUS_OK);
            assert_int_equal(ids[i].request.producer_epoch, 0);
            assert_in_range(ids[i].request.producer_id, 0, ARRAY_COUNT(seen) - 1);
            assert_false(seen[ids[i].request.producer_id]);
            seen[ids[i].request.producer_id] = true;
        }
        broker_world_crash(w, round % 2 == 0 ? IO_SIM_CRASH_POWER_BARE : IO_SIM_CRASH_PROCESS);
        broker_world_start(w);
    }
}

/* ---- bounds ---- */

static int resumes;
static void count_resume(struct io_op *op) {
    (void)op;
    resumes++;
}

static void restart_with_little_room(struct broker_world *w) {
    w->options.append_bytes_in_flight_max = 10000;
    broker_world_restart(w);
}

static void too_many_bytes_under_way_ask_to_hold_back_and_then_to_go_on(void **state) {
    struct broker_world *w = *state;
    restart_with_little_room(w);
    static struct world_append appends[20];
    struct batch_spec spec = {.count = 1, .value_size = 1000};
    assert_status(broker_world_append(w, &appends[0], "t", 0, &spec), STATUS_OK);
    size_t count = 0;
    while (!broker_overloaded(w->broker)) {
        assert_true(count < ARRAY_COUNT(appends));
        broker_world_append_start(w, &appends[count++], "t", 0, &spec);
    }
    assert_in_range(count, 9, 10);
    struct io_op resume = {.done = count_resume}, cancelled = {.done = count_resume};
    resumes = 0;
    broker_on_resume(w->broker, &resume);
    broker_on_resume(w->broker, &cancelled);
    broker_on_resume_cancel(&cancelled);
    for (size_t i = 0; i < count; i++)
        assert_status(broker_world_append_wait(w, &appends[i]), STATUS_OK);
    broker_world_run(w, 1000);
    assert_int_equal(resumes, 1);
    assert_false(broker_overloaded(w->broker));
}

/* Somebody waits for bytes under way; when those are written, the store has begun to ask to hold back. */
static void a_stall_that_begins_while_bytes_are_awaited_ends_for_the_waiting(void **state) {
    struct broker_world *w = *state;
    w->options.append_bytes_in_flight_max = 200000;
    w->options.store.wal_segment_bytes = 1 * MIB;
    w->options.store.memtable_bytes = 300000; /* so much in the log's queue is a stall, too */
    broker_world_restart(w);
    static struct world_append appends[75];
    struct batch_spec spec = {.count = 1, .value_size = 5000};
    struct io_op resume = {.done = count_resume};
    bool waiting = false;
    resumes = 0;
    for (size_t i = 0; i < ARRAY_COUNT(appends); i++) {
        broker_world_append_start(w, &appends[i], "t", 0, &spec);
        if (waiting || !broker_overloaded(w->broker) || store_stalled(broker_store(w->broker))) continue;
        broker_on_resume(w->broker, &resume);
        waiting = true;
    }
    assert_true(waiting && store_stalled(broker_store(w->broker)));
    for (size_t i = 0; i < ARRAY_COUNT(appends); i++)
        assert_status(broker_world_append_wait(w, &appends[i]), STATUS_OK);
    broker_world_run(w, 5000);
    assert_int_equal(resumes, 1);
}

static void callers_that_do_not_hold_back_are_refused(void **state) {
    struct broker_world *w = *state;
    restart_with_little_room(w);
    static struct world_append appends[100];
    struct batch_spec spec = {.count = 1, .value_size = 1000};
    for (size_t i = 0; i < ARRAY_COUNT(appends); i++)
        broker_world_append_start(w, &appends[i], "t", (int)(i % 3), &spec);
    int stored = 0;
    for (size_t i = 0; i < ARRAY_COUNT(appends); i++) {
        enum status status = broker_world_append_wait(w, &appends[i]);
        if (status != STATUS_OK) assert_status(status, STATUS_BUSY);
        stored += status == STATUS_OK;
    }
    assert_in_range(stored, 18, 21);
    assert_status(broker_world_append(w, &appends[0], "t", 0, &spec), STATUS_OK);
}

/* ---- a failing disk ---- */

static void a_full_disk_refuses_appends_and_takes_them_again_when_there_is_room(void **state) {
    struct broker_world *w = *state;
    static struct world_append append;
    struct batch_spec spec = from(5, 0, 0, 1);
    spec.value_size = 3000;
    for (; spec.sequence < 10; spec.sequence++)
        assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    io_sim_disk_faults(w->sim, 0)->capacity_bytes = 1;
    enum status status = STATUS_OK;
    int stored = 10;
    for (int i = 0; i < 1000 && (status = broker_world_append(w, &append, "t", 0, &spec)) == STATUS_OK; i++) {
        spec.sequence++;
        stored++;
    }
    assert_status(status, STATUS_NO_SPACE);
    assert_non_null(strstr(append.append.diagnostic.text, "space"));
    assert_status(broker_health(w->broker), STATUS_OK); /* not final */
    assert_int_equal(broker_world_read(w, "t", 0, 0, records, ARRAY_COUNT(records)), stored);
    io_sim_disk_faults(w->sim, 0)->capacity_bytes = UINT64_MAX;
    /* What was refused is not there: its sequence is the next one. */
    assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    assert_int_equal(append.append.base_offset, stored);
    broker_world_restart(w);
    assert_int_equal(broker_world_info(w, "t", 0).log_end_offset, stored + 1);
}

static void a_failed_sync_ends_writing_and_reading_goes_on(void **state) {
    struct broker_world *w = *state;
    static struct world_append appends[5], retry;
    struct batch_spec spec = from(5, 0, 0, 2);
    assert_status(broker_world_append(w, &appends[0], "t", 0, &spec), STATUS_OK);
    io_sim_disk_faults(w->sim, 0)->sync_error_countdown = 1;
    for (int i = 0; i < 5; i++) {
        spec.sequence += 2;
        broker_world_append_start(w, &appends[i], "t", 0, &spec);
    }
    broker_world_append_start(w, &retry, "t", 0, &spec);
    for (int i = 0; i < 5; i++)
        assert_status(broker_world_append_wait(w, &appends[i]), STATUS_IO);
    assert_true(broker_world_append_wait(w, &retry) != STATUS_OK);
    assert_status(broker_health(w->broker), STATUS_IO);
    refuse(w, "t", 0, &spec, STATUS_IO);
    assert_non_null(strstr(w->why.text, "takes no writes"));
    refuse(w, "t", 1, &one, STATUS_IO);
    /* Nothing of what failed may be seen: after a restart it may be gone. */
    assert_int_equal(broker_world_info(w, "t", 0).high_watermark, 2);
    assert_int_equal(broker_world_read(w, "t", 0, 0, records, ARRAY_COUNT(records)), 2);
    struct world_fetch fetch;
    broker_world_fetch_start(w, &fetch, "t", 0, 2, 1, 500);
    broker_world_fetch_wait(w, &fetch);
    assert_status(fetch.part.status, STATUS_OK);
    assert_int_equal(fetch.part.batch_count, 0);
    fetch_release(&fetch.fetch);
    assert_status(broker_world_create(w, "new", 1, NULL), STATUS_IO);
    broker_world_crash(w, IO_SIM_CRASH_POWER_BARE);
    broker_world_start(w);
    assert_int_equal(broker_world_info(w, "t", 0).log_end_offset, 2);
    assert_status(broker_world_append(w, &retry, "t", 0, &one), STATUS_OK);
}

/* ---- stopping ---- */

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}

static void a_shutdown_answers_what_is_under_way_and_refuses_the_rest(void **state) {
    struct broker_world *w = *state;
    broker_world_restart(w); /* partitions are not loaded: some appends wait for that */
    static struct world_append appends[30];
    for (int i = 0; i < 30; i++)
        broker_world_append_start(w, &appends[i], "t", i % 3, &one);
    bool done = false;
    broker_shutdown(w->broker, set_flag, &done);
    struct world_append late;
    broker_world_append_start(w, &late, "t", 0, &one);
    assert_status(broker_world_append_wait(w, &late), STATUS_UNAVAILABLE);
    broker_world_until(w, &done);
    int stored = 0;
    for (int i = 0; i < 30; i++) {
        assert_true(appends[i].done);
        if (appends[i].append.status == STATUS_OK) stored++;
    }
    broker_close(w->broker);
    w->broker = NULL;
    io_sim_crash_node(w->sim, 0, IO_SIM_CRASH_POWER_BARE);
    io_free(w->io);
    broker_world_start(w);
    int64_t found = 0;
    for (int i = 0; i < 3; i++)
        found += broker_world_info(w, "t", i).log_end_offset;
    assert_int_equal(found, stored);
    assert_int_equal(stored, 30);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, broker_world_teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(offsets_are_dense_and_the_high_watermark_follows),
        TEST(appends_under_way_complete_in_order_and_share_a_sync),
        TEST(the_first_append_to_a_partition_waits_for_its_loading),
        TEST(unknown_partitions_are_refused),
        TEST(a_batch_may_be_as_large_as_configured_and_no_larger),
        TEST(a_batch_with_any_byte_damaged_is_refused),
        TEST(two_batches_in_one_append_are_refused),
        TEST(forged_headers_with_good_checksums_are_refused),
        TEST(a_missing_newest_timestamp_is_taken_from_the_records),
        TEST(timestamps_may_be_bounded),
        TEST(a_compacted_topic_wants_keys),
        TEST(log_append_time_is_the_brokers),
        TEST(a_retry_is_answered_with_the_first_copys_offset_also_after_a_restart),
        TEST(a_retry_of_a_batch_under_way_waits_for_it),
        TEST(five_batches_under_way_stand_in_order_or_not_at_all),
        TEST(an_old_epoch_is_fenced),
        TEST(producer_ids_are_never_given_twice),
        TEST(too_many_bytes_under_way_ask_to_hold_back_and_then_to_go_on),
        TEST(a_stall_that_begins_while_bytes_are_awaited_ends_for_the_waiting),
        TEST(callers_that_do_not_hold_back_are_refused),
        TEST(a_full_disk_refuses_appends_and_takes_them_again_when_there_is_room),
        TEST(a_failed_sync_ends_writing_and_reading_goes_on),
        TEST(a_shutdown_answers_what_is_under_way_and_refuses_the_rest),
    };
    return cmocka_run_group_tests_name("broker_append", tests, NULL, NULL);
}
