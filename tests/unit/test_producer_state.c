// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/units.h"
#include "lib/test.h"
#include "machine/producer_state.h"

struct fixture {
    struct producer_state *producers;
    int64_t next_offset;
};

static int setup(void **state) {
    struct fixture *f = mem_calloc(1, sizeof *f);
    f->producers = mem_alloc(sizeof *f->producers);
    producer_state_init(f->producers, 4);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    producer_state_release(f->producers);
    mem_free(f->producers);
    mem_free(f);
    return 0;
}

struct sent {
    int64_t id;
    int epoch;
    int32_t sequence, count;
};

static int64_t base_offset, last_offset; /* of the last duplicate */

static enum status check(struct fixture *f, struct sent s) {
    struct producer_batch batch = {.producer_id = s.id,
                                   .epoch = (int16_t)s.epoch,
                                   .first_sequence = s.sequence,
                                   .record_count = s.count};
    base_offset = last_offset = -1;
    return producer_state_check(f->producers, &batch, &base_offset, &last_offset);
}

static enum status send_at(struct fixture *f, struct sent s, int64_t time_ms) {
    enum status status = check(f, s);
    if (status != STATUS_OK) return status;
    struct producer_batch batch = {.producer_id = s.id,
                                   .epoch = (int16_t)s.epoch,
                                   .first_sequence = s.sequence,
                                   .record_count = s.count,
                                   .base_offset = f->next_offset,
                                   .last_offset = f->next_offset + s.count - 1,
                                   .append_time_ms = time_ms};
    f->next_offset += s.count;
    const struct producer_entry *entry = producer_state_apply(f->producers, &batch);
    assert_int_equal(entry->producer_id, s.id);
    return STATUS_OK;
}

static enum status send(struct fixture *f, struct sent s) {
    return send_at(f, s, 0);
}

static void the_next_batch_follows_without_a_gap(void **state) {
    struct fixture *f = *state;
    assert_status(send(f, (struct sent){7, 0, 0, 3}), STATUS_OK);
    assert_status(send(f, (struct sent){7, 0, 4, 1}), STATUS_OUT_OF_ORDER_SEQUENCE);
    assert_status(send(f, (struct sent){7, 0, 2, 1}), STATUS_OUT_OF_ORDER_SEQUENCE);
    assert_status(send(f, (struct sent){7, 0, 3, 1}), STATUS_OK);
    assert_status(send(f, (struct sent){8, 0, 0, 1}), STATUS_OK); /* another producer has its own count */
}

static void one_of_the_last_five_is_answered_with_its_first_offset(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 8; i++)
        assert_status(send(f, (struct sent){7, 0, i * 2, 2}), STATUS_OK);
    for (int i = 0; i < 8; i++) {
        bool kept = i >= 3;
        assert_status(check(f, (struct sent){7, 0, i * 2, 2}),
                      kept ? STATUS_DUPLICATE_SEQUENCE : STATUS_OUT_OF_ORDER_SEQUENCE);
        if (!kept) continue;
        assert_int_equal(base_offset, i * 2);
        assert_int_equal(last_offset, i * 2 + 1);
    }
    /* The same first sequence with another count is not the same batch. */
    assert_status(check(f, (struct sent){7, 0, 14, 1}), STATUS_OUT_OF_ORDER_SEQUENCE);
}

static void sequences_wrap_after_two_to_the_31st(void **state) {
    struct fixture *f = *state;
    assert_status(send(f, (struct sent){7, 0, INT32_MAX - 1, 1}), STATUS_OK); /* unknown: begins anywhere */
    assert_status(send(f, (struct sent){7, 0, INT32_MAX, 3}), STATUS_OK);     /* MAX, 0, 1 */
    assert_status(check(f, (struct sent){7, 0, INT32_MAX, 3}), STATUS_DUPLICATE_SEQUENCE);
    assert_int_equal(base_offset, 1);
    assert_status(check(f, (struct sent){7, 0, 1, 1}), STATUS_OUT_OF_ORDER_SEQUENCE);
    assert_status(send(f, (struct sent){7, 0, 2, 1}), STATUS_OK);
    assert_status(send(f, (struct sent){9, 0, INT32_MAX, 1}), STATUS_OK);
    assert_status(send(f, (struct sent){9, 0, 0, 1}), STATUS_OK);
}

static void a_higher_epoch_begins_at_zero_and_fences_the_lower(void **state) {
    struct fixture *f = *state;
    assert_status(send(f, (struct sent){7, 0, 0, 5}), STATUS_OK);
    assert_status(send(f, (struct sent){7, 2, 5, 1}), STATUS_OUT_OF_ORDER_SEQUENCE);
    assert_status(send(f, (struct sent){7, 2, 0, 1}), STATUS_OK);
    assert_status(send(f, (struct sent){7, 1, 0, 1}), STATUS_INVALID_PRODUCER_EPOCH);
    assert_status(check(f, (struct sent){7, 0, 0, 5}), STATUS_INVALID_PRODUCER_EPOCH);
    assert_status(send(f, (struct sent){7, 2, 1, 1}), STATUS_OK);
    assert_status(send(f, (struct sent){7, INT16_MAX, 0, 1}), STATUS_OK);
}

static void negative_numbers_are_refused(void **state) {
    struct fixture *f = *state;
    assert_status(send(f, (struct sent){7, -1, 0, 1}), STATUS_OUT_OF_ORDER_SEQUENCE);
    assert_status(send(f, (struct sent){7, 0, -1, 1}), STATUS_OUT_OF_ORDER_SEQUENCE);
}

static void save_and_load(struct fixture *f) {
    struct producer_state *loaded = mem_alloc(sizeof *loaded);
    producer_state_init(loaded, 99);
    MAP_FOREACH(it, &f->producers->producers) {
        const struct producer_entry *entry = MAP_ENTRY(it)->value;
        struct writer out;
        writer_init(&out);
        producer_entry_encode(entry, &out);
        assert_status(producer_state_load(loaded, entry->producer_id, writer_slice(&out)), STATUS_OK);
        writer_release(&out);
    }
    producer_state_release(f->producers);
    mem_free(f->producers);
    f->producers = loaded;
}

/* A model that forgets nothing, against random sending, resending, new epochs and restarts. */
static void the_same_answers_as_a_model_across_restarts(void **state) {
    struct fixture *f = *state;
    enum { IDS = 6, HISTORY = 4000 };
    static struct {
        struct sent sent;
        int64_t offset;
    } history[IDS][HISTORY];
    int counts[IDS] = {0};
    struct prng prng;
    prng_init(&prng, 11);
    for (int step = 0; step < 20000; step++) {
        int64_t id = (int64_t)prng_below(&prng, IDS);
        int count = counts[id];
        if (count == HISTORY) continue;
        const struct sent *last = count == 0 ? NULL : &history[id][count - 1].sent;
        struct sent next = {id, last == NULL ? 0 : last->epoch, 0, (int32_t)prng_range(&prng, 1, 3)};
        if (last != NULL)
            next.sequence = (int32_t)(((uint32_t)last->sequence + (uint32_t)last->count) & INT32_MAX);
        if (last == NULL && prng_chance(&prng, 1, 2)) next.sequence = INT32_MAX - 10;
        uint64_t what = prng_below(&prng, 10);
        if (what < 6) {
            history[id][count].offset = f->next_offset;
            history[id][count].sent = next;
            counts[id]++;
            assert_status(send(f, next), STATUS_OK);
        } else if (what < 8 && count != 0) {
            int back = (int)prng_range(&prng, 1, 9);
            if (back > count) continue;
            struct sent old = history[id][count - back].sent;
            enum status expected = old.epoch != last->epoch   ? STATUS_INVALID_PRODUCER_EPOCH
                                   : back <= PRODUCER_BATCHES ? STATUS_DUPLICATE_SEQUENCE
                                                              : STATUS_OUT_OF_ORDER_SEQUENCE;
            assert_status(check(f, old), expected);
            if (expected == STATUS_DUPLICATE_SEQUENCE)
                assert_int_equal(base_offset, history[id][count - back].offset);
        } else if (what == 8 && last != NULL && prng_chance(&prng, 1, 10)) {
            next.epoch++;
            next.sequence = 0;
            history[id][count].offset = f->next_offset;
            history[id][count].sent = next;
            counts[id]++;
            assert_status(send(f, next), STATUS_OK);
        } else if (what == 9 && prng_chance(&prng, 1, 10)) {
            save_and_load(f);
        }
    }
}

static int forgotten;
static void count_forgotten(void *ctx, int64_t producer_id) {
    assert_int_equal(producer_id, *(int64_t *)ctx);
    forgotten++;
}

static void idle_producers_are_forgotten_and_may_then_begin_anywhere(void **state) {
    struct fixture *f = *state;
    assert_status(send_at(f, (struct sent){7, 3, 0, 1}, 100), STATUS_OK);
    assert_status(send_at(f, (struct sent){8, 0, 0, 1}, 200), STATUS_OK);
    int64_t expected = 7;
    forgotten = 0;
    producer_state_expire(f->producers, 101, count_forgotten, &expected);
    producer_state_expire(f->producers, 101, count_forgotten, &expected);
    assert_int_equal(forgotten, 1);
    assert_status(send_at(f, (struct sent){7, 0, 41, 1}, 300), STATUS_OK);
    assert_status(send_at(f, (struct sent){8, 0, 5, 1}, 300), STATUS_OUT_OF_ORDER_SEQUENCE);
}

static void damaged_entries_are_refused(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 7; i++)
        assert_status(send(f, (struct sent){7, 0, i, 1}), STATUS_OK);
    struct writer out;
    writer_init(&out);
    producer_entry_encode(MAP_ENTRY(f->producers->producers.order.next)->value, &out);
    for (size_t size = 0; size < out.size; size++)
        assert_status(producer_state_load(f->producers, 1, slice_make(out.data, size)), STATUS_MALFORMED);
    writer_u8(&out, 0);
    assert_status(producer_state_load(f->producers, 1, writer_slice(&out)), STATUS_MALFORMED);
    out.size--;
    assert_status(producer_state_load(f->producers, 7, writer_slice(&out)), STATUS_MALFORMED); /* twice */
    for (unsigned count = 0; count < 256; count++) {
        if (count == PRODUCER_BATCHES) continue;
        out.data[31] = (uint8_t)count;
        assert_status(producer_state_load(f->producers, 1, writer_slice(&out)), STATUS_MALFORMED);
    }
    writer_release(&out);
}

static struct producer_batch batch_of(enum producer_batch_kind kind, int16_t epoch, int32_t sequence,
                                      int64_t offset) {
    return (struct producer_batch){.kind = kind,
                                   .producer_id = 7,
                                   .epoch = epoch,
                                   .first_sequence = sequence,
                                   .record_count = 2,
                                   .base_offset = offset,
                                   .last_offset = offset + (kind >= PRODUCER_COMMIT ? 0 : 1)};
}

/* What an abort leaves behind is stored beside the entries and comes back as it was; so does what is open. */
static void transactions_are_remembered(void **state) {
    (void)state;
    struct producer_state before, after;
    producer_state_init(&before, 1);
    producer_state_init(&after, 2);
    struct producer_batch batch = batch_of(PRODUCER_TRANSACTIONAL, 3, 0, 100);
    MAYBE(producer_state_apply(&before, &batch));
    assert_int_equal(producer_state_open_offset(&before), 100);
    batch = batch_of(PRODUCER_TRANSACTIONAL, 3, 2, 102);
    MAYBE(producer_state_apply(&before, &batch));
    assert_int_equal(producer_state_open_offset(&before), 100);
    batch = batch_of(PRODUCER_ABORT, 4, -1, 104);
    batch.marker_number = 1;
    MAYBE(producer_state_apply(&before, &batch));
    assert_int_equal(producer_state_open_offset(&before), INT64_MAX);
    assert_int_equal(before.aborted_count, 1);
    /* The marker brought a new epoch: the old one is fenced, the new one begins at 0. */
    int64_t base, last;
    batch = batch_of(PRODUCER_TRANSACTIONAL, 3, 4, 0);
    assert_status(producer_state_check(&before, &batch, &base, &last), STATUS_INVALID_PRODUCER_EPOCH);
    batch = batch_of(PRODUCER_TRANSACTIONAL, 4, 4, 0);
    assert_status(producer_state_check(&before, &batch, &base, &last), STATUS_OUT_OF_ORDER_SEQUENCE);
    batch = batch_of(PRODUCER_TRANSACTIONAL, 4, 0, 105);
    assert_status(producer_state_check(&before, &batch, &base, &last), STATUS_OK);
    MAYBE(producer_state_apply(&before, &batch));
    struct writer name, value;
    writer_init(&name);
    writer_init(&value);
    producer_aborted_encode(&before.aborted[0], &name, &value);
    assert_status(producer_state_load_aborted(&after, writer_slice(&name), writer_slice(&value)), STATUS_OK);
    assert_memory_equal(&after.aborted[0], &before.aborted[0], sizeof before.aborted[0]);
    for (size_t size = 0; size < value.size; size++)
        assert_status(producer_state_load_aborted(&after, writer_slice(&name), slice_make(value.data, size)),
                      STATUS_MALFORMED);
    writer_clear(&value);
    producer_entry_encode(MAP_ENTRY(before.producers.order.next)->value, &value);
    assert_status(producer_state_load(&after, 7, writer_slice(&value)), STATUS_OK);
    assert_int_equal(producer_state_open_offset(&after), 105);
    assert_false(producer_state_trim_aborted(&after, 104));
    assert_true(producer_state_trim_aborted(&after, 105));
    assert_int_equal(after.aborted_count, 0);
    writer_release(&name);
    writer_release(&value);
    producer_state_release(&before);
    producer_state_release(&after);
}

/* A plain batch may not raise the epoch over that of an open transaction: its marker would be refused. */
static void no_plain_batch_into_an_open_transaction(void **state) {
    (void)state;
    struct producer_state producers;
    producer_state_init(&producers, 1);
    int64_t base, last;
    struct producer_batch batch = batch_of(PRODUCER_TRANSACTIONAL, 3, 0, 100);
    MAYBE(producer_state_apply(&producers, &batch));
    batch = batch_of(PRODUCER_PLAIN, 4, 0, 102);
    assert_status(producer_state_check(&producers, &batch, &base, &last), STATUS_INVALID_TXN_STATE);
    batch = batch_of(PRODUCER_PLAIN, 3, 2, 102);
    assert_status(producer_state_check(&producers, &batch, &base, &last), STATUS_INVALID_TXN_STATE);
    batch = batch_of(PRODUCER_PLAIN, 2, 0, 102);
    assert_status(producer_state_check(&producers, &batch, &base, &last), STATUS_INVALID_PRODUCER_EPOCH);
    batch = batch_of(PRODUCER_COMMIT, 3, -1, 102);
    batch.marker_number = 1;
    assert_status(producer_state_check(&producers, &batch, &base, &last), STATUS_OK);
    MAYBE(producer_state_apply(&producers, &batch));
    batch = batch_of(PRODUCER_PLAIN, 4, 0, 103);
    assert_status(producer_state_check(&producers, &batch, &base, &last), STATUS_OK);
    producer_state_release(&producers);
}

/* Of the same epoch, as the first version of the protocol has it. */
static void a_marker_that_comes_late_ends_nothing(void **state) {
    (void)state;
    struct producer_state producers, loaded;
    producer_state_init(&producers, 1);
    producer_state_init(&loaded, 2);
    struct producer_batch first = batch_of(PRODUCER_COMMIT, 3, -1, 100);
    first.marker_number = INT32_MAX; /* the next one wraps */
    int64_t base, last;
    assert_status(producer_state_check(&producers, &first, &base, &last), STATUS_OK);
    MAYBE(producer_state_apply(&producers, &first));
    struct producer_batch batch = batch_of(PRODUCER_TRANSACTIONAL, 3, 0, 101);
    MAYBE(producer_state_apply(&producers, &batch));
    struct writer value;
    writer_init(&value);
    producer_entry_encode(producer_state_find(&producers, 7), &value);
    assert_status(producer_state_load(&loaded, 7, writer_slice(&value)), STATUS_OK);
    writer_release(&value);
    struct producer_state *const both[] = {&producers, &loaded};
    for (size_t i = 0; i < ARRAY_COUNT(both); i++) {
        assert_status(producer_state_check(both[i], &first, &base, &last), STATUS_DUPLICATE_SEQUENCE);
        assert_int_equal(base, 100);
        assert_int_equal(last, 100);
        struct producer_batch second = batch_of(PRODUCER_ABORT, 3, -1, 103);
        second.marker_number = INT32_MIN;
        assert_status(producer_state_check(both[i], &second, &base, &last), STATUS_OK);
        MAYBE(producer_state_apply(both[i], &second));
        assert_int_equal(producer_state_open_offset(both[i]), INT64_MAX);
        assert_status(producer_state_check(both[i], &first, &base, &last), STATUS_DUPLICATE_SEQUENCE);
        assert_int_equal(base, 103);
        producer_state_release(both[i]);
    }
}

/* It ends what is open and leaves the coordinator's markers their turn. */
static void an_operator_ends_what_is_open(void **state) {
    (void)state;
    struct producer_state producers;
    producer_state_init(&producers, 1);
    int64_t base, last;
    struct producer_batch marker = batch_of(PRODUCER_ABORT, 3, -1, 102);
    marker.by_operator = true;
    assert_status(producer_state_check(&producers, &marker, &base, &last), STATUS_INVALID_TXN_STATE);
    struct producer_batch batch = batch_of(PRODUCER_TRANSACTIONAL, 3, 0, 100);
    MAYBE(producer_state_apply(&producers, &batch));
    static const struct {
        int16_t epoch;
        int32_t number;
        enum status status;
    } cases[] = {{3, 0, STATUS_OK},
                 {4, 0, STATUS_OK},
                 {2, 0, STATUS_INVALID_PRODUCER_EPOCH},
                 {5, 0, STATUS_INVALID_PRODUCER_EPOCH},
                 {INT16_MAX, 0, STATUS_INVALID_PRODUCER_EPOCH},
                 {3, 1, STATUS_INVALID_TXN_STATE}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        marker.epoch = cases[i].epoch;
        marker.marker_number = cases[i].number;
        assert_status(producer_state_check(&producers, &marker, &base, &last), cases[i].status);
    }
    marker.epoch = 3;
    marker.marker_number = 0;
    MAYBE(producer_state_apply(&producers, &marker));
    assert_int_equal(producer_state_open_offset(&producers), INT64_MAX);
    assert_int_equal(producers.aborted_count, 1);
    assert_status(producer_state_check(&producers, &marker, &base, &last), STATUS_INVALID_TXN_STATE);
    batch = batch_of(PRODUCER_COMMIT, 3, -1, 103); /* the coordinator's, of the same transaction */
    batch.marker_number = 1;
    assert_status(producer_state_check(&producers, &batch, &base, &last), STATUS_OK);
    producer_state_release(&producers);
}

static void transactional_batches_may_come_uncounted(void **state) {
    struct fixture *f = *state;
    assert_status(send(f, (struct sent){7, 0, 0, 2}), STATUS_OK);
    struct producer_batch batch = batch_of(PRODUCER_TRANSACTIONAL, 0, PRODUCER_UNCOUNTED, 2);
    assert_status(producer_state_check(f->producers, &batch, &base_offset, &last_offset), STATUS_OK);
    producer_state_apply(f->producers, &batch);
    save_and_load(f);
    assert_status(producer_state_check(f->producers, &batch, &base_offset, &last_offset), STATUS_OK);
    assert_true(producer_state_has(f->producers, &batch));
    /* It counts from 0 again, and what it counted before is no duplicate. */
    struct producer_batch counted = batch_of(PRODUCER_TRANSACTIONAL, 0, 2, 4);
    assert_status(producer_state_check(f->producers, &counted, &base_offset, &last_offset),
                  STATUS_OUT_OF_ORDER_SEQUENCE);
    counted = batch_of(PRODUCER_TRANSACTIONAL, 0, 0, 4);
    counted.record_count = 2;
    assert_status(producer_state_check(f->producers, &counted, &base_offset, &last_offset), STATUS_OK);
    producer_state_apply(f->producers, &counted);
    assert_status(producer_state_check(f->producers, &counted, &base_offset, &last_offset),
                  STATUS_DUPLICATE_SEQUENCE);
    assert_int_equal(base_offset, 4);
    batch.epoch = -1;
    assert_status(producer_state_check(f->producers, &batch, &base_offset, &last_offset),
                  STATUS_OUT_OF_ORDER_SEQUENCE);
    batch = batch_of(PRODUCER_TRANSACTIONAL, 1, PRODUCER_UNCOUNTED, 6);
    producer_state_apply(f->producers, &batch);
    batch.epoch = 0;
    assert_status(producer_state_check(f->producers, &batch, &base_offset, &last_offset),
                  STATUS_INVALID_PRODUCER_EPOCH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_next_batch_follows_without_a_gap, setup, teardown),
        cmocka_unit_test_setup_teardown(one_of_the_last_five_is_answered_with_its_first_offset, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sequences_wrap_after_two_to_the_31st, setup, teardown),
        cmocka_unit_test_setup_teardown(a_higher_epoch_begins_at_zero_and_fences_the_lower, setup, teardown),
        cmocka_unit_test_setup_teardown(negative_numbers_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_answers_as_a_model_across_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(idle_producers_are_forgotten_and_may_then_begin_anywhere, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(damaged_entries_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(transactions_are_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(transactional_batches_may_come_uncounted, setup, teardown),
        cmocka_unit_test(no_plain_batch_into_an_open_transaction),
        cmocka_unit_test_setup_teardown(a_marker_that_comes_late_ends_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(an_operator_ends_what_is_open, setup, teardown),
    };
    return cmocka_run_group_tests_name("producer_state", tests, NULL, NULL);
}
