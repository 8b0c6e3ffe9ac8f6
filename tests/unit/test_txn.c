// SPDX-License-Identifier: Apache-2.0
/* The coordinator's machine by itself: epochs at their end, who may claim an id, what is loaded again. */
#include "machine/txn.h"

#include "base/mem.h"
#include "base/units.h"
#include "lib/test.h"

#define TX       SLICE_LITERAL("tx")
#define RETAINED (7 * 24 * 3600 * INT64_C(1000))

static struct txn_machine machine;
static struct state_change change;
static struct txn_clock now;
static int64_t fresh_id;

static int setup(void **state) {
    (void)state;
    txn_machine_init(&machine, 900000, RETAINED, 3);
    state_change_init(&change);
    now = (struct txn_clock){1000, 1700000000000};
    fresh_id = 70;
    return 0;
}
static int teardown(void **state) {
    (void)state;
    txn_machine_release(&machine);
    state_change_release(&change);
    return 0;
}

/* Another node leads now: it has what was saved, and nothing else. `epoch` >= 0: saved so. */
static enum status reload_as(int32_t epoch) {
    struct writer bytes;
    writer_init(&bytes);
    state_change_encode(&change, &bytes);
    txn_machine_release(&machine);
    txn_machine_init(&machine, 900000, RETAINED, 3);
    struct slice rest = writer_slice(&bytes);
    struct state_change_entry entry, last = {0};
    enum status status = state_change_begin(&rest);
    while (status == STATUS_OK && (status = state_change_next(&rest, &entry)) == STATUS_OK)
        last = entry;
    assert_status(status, STATUS_END);
    assert_true(txn_owns_key(last.key));
    uint8_t value[256];
    assert_true(last.value.size <= sizeof value);
    memcpy(value, last.value.data, last.value.size);
    if (epoch >= 0) store_be16(value + 9, (uint16_t)epoch);
    status = txn_load(&machine, last.key, slice_make(value, last.value.size));
    txn_loaded(&machine, &now);
    writer_release(&bytes);
    return status;
}

static enum status reload(void) {
    return reload_as(-1);
}

static const struct txn *txn(void) {
    return txn_find(&machine, TX);
}

static enum status init(int64_t producer_id, int epoch) {
    const struct txn *result;
    return txn_init_producer(&machine, &change, &now, TX, 60000, producer_id, (int16_t)epoch, fresh_id++,
                             &result);
}

static struct txn_producer who(int epoch) {
    return (struct txn_producer){TX, txn()->producer_id, (int16_t)epoch};
}

static enum status add_as(int64_t producer_id, int epoch) {
    const struct txn_place place = {SLICE_LITERAL("t"), 0};
    const struct txn_places places = {&place, 1, 0};
    const struct txn_producer producer = {TX, producer_id, (int16_t)epoch};
    const struct txn *result;
    return txn_add(&machine, &change, &now, &producer, &places, &result);
}

static enum status add(int epoch) {
    return add_as(txn()->producer_id, epoch);
}

static enum status end_as(int64_t producer_id, int epoch, bool commit, bool moves_epoch) {
    const struct txn_producer producer = {TX, producer_id, (int16_t)epoch};
    const struct txn_end end = {.commit = commit, .moves_epoch = moves_epoch, .fresh_id = fresh_id++};
    const struct txn *result;
    return txn_end(&machine, &change, &now, &producer, &end, &result);
}

static enum status end(int epoch, bool commit, bool moves_epoch) {
    return end_as(txn()->producer_id, epoch, commit, moves_epoch);
}

static void complete(void) {
    struct txn *decided = txn_next_decided(&machine);
    assert_non_null(decided);
    decided->work = &machine;
    txn_completed(&machine, &change, &now, TX);
}

/* An epoch that only a marker had is nobody's: no transaction begins under it. */
static void no_transaction_under_the_epoch_behind_the_last(void **state) {
    (void)state;
    for (int epoch = 0; epoch <= TXN_EPOCH_MAX; epoch++) {
        assert_status(init(-1, -1), STATUS_OK);
        assert_int_equal(txn()->epoch, epoch);
        state_change_clear(&change);
    }
    int64_t id = txn()->producer_id;
    assert_status(add(TXN_EPOCH_MAX), STATUS_OK);
    assert_status(init(-1, -1), STATUS_CONCURRENT_TRANSACTIONS);
    complete();
    assert_int_equal(txn()->epoch, TXN_EPOCH_MAX + 1);
    assert_int_equal(txn()->producer_id, id);
    assert_status(add(TXN_EPOCH_MAX + 1), STATUS_PRODUCER_FENCED);
    assert_status(end(TXN_EPOCH_MAX + 1, false, false), STATUS_PRODUCER_FENCED);
    assert_status(end(TXN_EPOCH_MAX + 1, false, true), STATUS_PRODUCER_FENCED);
    const struct txn_producer producer = who(TXN_EPOCH_MAX + 1);
    const struct txn_place place = {SLICE_LITERAL("t"), 0};
    const struct txn *result;
    assert_status(txn_verify(&machine, &producer, &place, &result), STATUS_PRODUCER_FENCED);
    assert_status(reload(), STATUS_OK);
    assert_status(init(-1, -1), STATUS_OK);
    assert_int_equal(txn()->epoch, 0);
    assert_int_not_equal(txn()->producer_id, id);
}

/* What a version before this rule may have saved: the id goes on, under another producer id. */
static void an_epoch_that_overflowed_is_loaded(void **state) {
    (void)state;
    assert_status(init(-1, -1), STATUS_OK);
    assert_status(add(0), STATUS_OK);
    int64_t id = txn()->producer_id;
    for (int32_t saved = 0x7fff; saved <= 0x8000; saved++) {
        assert_status(reload_as(saved), STATUS_OK);
        assert_int_equal(txn()->phase, TXN_ONGOING);
    }
    assert_status(init(-1, -1), STATUS_CONCURRENT_TRANSACTIONS);
    assert_int_equal(txn()->epoch, INT16_MAX);
    complete();
    assert_status(init(-1, -1), STATUS_OK);
    assert_int_equal(txn()->epoch, 0);
    assert_int_not_equal(txn()->producer_id, id);
}

/* Whoever asks without an epoch takes the id: the one before is fenced, also where another node leads. */
static void who_was_fenced_does_not_come_back(void **state) {
    (void)state;
    assert_status(init(-1, -1), STATUS_OK);
    int64_t id = txn()->producer_id;
    assert_status(init(id, -1), STATUS_PRODUCER_FENCED);
    assert_status(init(-1, -1), STATUS_OK); /* another one: it has epoch 1 */
    assert_status(init(id, 0), STATUS_PRODUCER_FENCED);
    assert_status(reload(), STATUS_OK);
    assert_status(init(id, 0), STATUS_PRODUCER_FENCED);
    assert_int_equal(txn()->epoch, 1);
    assert_status(add(1), STATUS_OK);
    assert_status(init(-1, -1), STATUS_CONCURRENT_TRANSACTIONS); /* a third one, which is to come again */
    assert_status(init(id, 1), STATUS_PRODUCER_FENCED);
    complete();
    assert_status(init(id, 1), STATUS_PRODUCER_FENCED);
    assert_status(reload(), STATUS_OK);
    assert_status(init(id, 1), STATUS_PRODUCER_FENCED);
    assert_status(init(-1, -1), STATUS_OK);
    assert_int_equal(txn()->epoch, 3);
    assert_status(init(id, 3), STATUS_OK);
}

/* KIP-360: a producer goes on after an error, a lost answer, a timeout, or an end that moved its epoch. */
static void a_producer_comes_back_after_its_own_moves(void **state) {
    (void)state;
    assert_status(init(-1, -1), STATUS_OK);
    int64_t id = txn()->producer_id;
    assert_status(init(id, 0), STATUS_OK);
    assert_status(reload(), STATUS_OK);
    assert_status(init(id, 0), STATUS_OK); /* the answer was lost */
    assert_int_equal(txn()->epoch, 2);
    assert_status(add(2), STATUS_OK);
    assert_status(init(id, 2), STATUS_CONCURRENT_TRANSACTIONS); /* aborts its own */
    complete();
    assert_status(init(id, 2), STATUS_OK);
    assert_int_equal(txn()->epoch, 4);
    assert_status(add(4), STATUS_OK);
    now.now_ms += 60001;
    txn_expire(&machine, &change, &now);
    assert_int_equal(txn()->phase, TXN_PREPARE_ABORT);
    complete();
    assert_status(reload(), STATUS_OK);
    assert_status(init(id, 4), STATUS_OK);
    assert_int_equal(txn()->epoch, 6);
    assert_status(add(6), STATUS_OK);
    assert_status(end(6, true, true), STATUS_OK);
    complete();
    assert_int_equal(txn()->epoch, 7);
    assert_status(init(id, 6), STATUS_OK); /* the end's answer was lost */
    assert_status(init(-1, -1), STATUS_OK);
    assert_status(add(9), STATUS_OK); /* the new one's time is up: that is not the old one's chance */
    now.now_ms += 60001;
    txn_expire(&machine, &change, &now);
    complete();
    assert_status(init(id, 8), STATUS_PRODUCER_FENCED);
    assert_status(init(id, 9), STATUS_OK);
}

/* The producer has the last epoch of its id. */
static int64_t begin_at_the_last_epoch(void) {
    assert_status(init(-1, -1), STATUS_OK);
    assert_status(reload_as(TXN_EPOCH_MAX), STATUS_OK);
    return txn()->producer_id;
}

static void assert_identity(int64_t producer_id, int epoch) {
    assert_int_equal(txn()->producer_id, producer_id);
    assert_int_equal(txn()->epoch, epoch);
}

static void assert_marker(int64_t producer_id, int epoch) {
    const struct txn_identity marker = txn_marker_identity(txn());
    assert_int_equal(marker.producer_id, producer_id);
    assert_int_equal(marker.epoch, epoch);
}

/* KIP-890: the end of the last epoch's transaction gives another id; the markers are the old one's. */
static void an_end_goes_on_under_another_id(void **state) {
    (void)state;
    for (int commit = 0; commit <= 1; commit++) {
        int64_t id = begin_at_the_last_epoch(), next = fresh_id;
        assert_status(add(TXN_EPOCH_MAX), STATUS_OK);
        assert_status(end(TXN_EPOCH_MAX, commit, true), STATUS_OK);
        assert_identity(next, 0);
        for (int again = 0; again < 2; again++) { /* and where another node leads */
            assert_int_equal(txn()->phase, commit ? TXN_PREPARE_COMMIT : TXN_PREPARE_ABORT);
            assert_marker(id, TXN_EPOCH_MAX + 1);
            assert_status(end_as(id, TXN_EPOCH_MAX, commit, true), STATUS_OK); /* the answer was lost */
            assert_status(end_as(id, TXN_EPOCH_MAX, !commit, true), STATUS_INVALID_TXN_STATE);
            assert_status(add(0), STATUS_CONCURRENT_TRANSACTIONS);
            assert_identity(next, 0);
            assert_status(reload(), STATUS_OK);
        }
        complete();
        for (int again = 0; again < 2; again++) {
            assert_status(end_as(id, TXN_EPOCH_MAX, commit, true), STATUS_OK);
            assert_status(end_as(id, TXN_EPOCH_MAX, !commit, true), STATUS_INVALID_TXN_STATE);
            assert_identity(next, 0);
            assert_status(reload(), STATUS_OK);
        }
        assert_status(add(0), STATUS_OK);
        assert_status(end(0, true, true), STATUS_OK);
        assert_identity(next, 1);
        assert_marker(next, 1);
        complete();
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

/* An abort of what never began wants another epoch, too. */
static void an_empty_abort_goes_on_under_another_id(void **state) {
    (void)state;
    int64_t id = begin_at_the_last_epoch();
    assert_status(end(TXN_EPOCH_MAX, true, true), STATUS_INVALID_TXN_STATE); /* as with any epoch */
    assert_identity(id, TXN_EPOCH_MAX);
    int64_t next = fresh_id;
    assert_status(end(TXN_EPOCH_MAX, false, true), STATUS_OK);
    complete();
    assert_identity(next, 0);
    assert_status(end_as(id, TXN_EPOCH_MAX, false, true), STATUS_OK);
}

/* Clients of the first generation stay at an epoch, the last one too. */
static void an_end_that_keeps_the_epoch_keeps_the_id(void **state) {
    (void)state;
    int64_t id = begin_at_the_last_epoch();
    for (int i = 0; i < 3; i++) {
        assert_status(add(TXN_EPOCH_MAX), STATUS_OK);
        assert_status(end(TXN_EPOCH_MAX, true, false), STATUS_OK);
        assert_marker(id, TXN_EPOCH_MAX);
        complete();
        assert_status(end(TXN_EPOCH_MAX, true, false), STATUS_OK);
        assert_identity(id, TXN_EPOCH_MAX);
    }
}

/* Whoever has the old id is the one before, whatever epoch it knows. */
static void the_old_id_is_fenced(void **state) {
    (void)state;
    int64_t id = begin_at_the_last_epoch();
    assert_status(add(TXN_EPOCH_MAX), STATUS_OK);
    assert_status(end(TXN_EPOCH_MAX, true, true), STATUS_OK);
    complete();
    assert_status(reload(), STATUS_OK);
    int64_t next = txn()->producer_id;
    const struct txn_place place = {SLICE_LITERAL("t"), 0};
    const struct txn *result;
    for (int again = 0; again < 2; again++) { /* while nothing was begun, and then */
        static const int epochs[] = {0, 1, TXN_EPOCH_MAX - 1, TXN_EPOCH_MAX, TXN_EPOCH_MAX + 1};
        for (size_t i = 0; i < ARRAY_COUNT(epochs); i++) {
            const struct txn_producer old = {TX, id, (int16_t)epochs[i]};
            assert_status(add_as(id, epochs[i]), STATUS_PRODUCER_FENCED);
            assert_status(txn_verify(&machine, &old, &place, &result), STATUS_PRODUCER_FENCED);
            if (epochs[i] == TXN_EPOCH_MAX) continue;
            assert_status(end_as(id, epochs[i], true, true), STATUS_PRODUCER_FENCED);
            assert_status(init(id, epochs[i]), STATUS_PRODUCER_FENCED);
        }
        assert_status(end_as(id, TXN_EPOCH_MAX, true, false),
                      again == 0 ? STATUS_OK : STATUS_INVALID_TXN_STATE);
        assert_identity(next, 0);
        assert_status(again == 0 ? add(0) : end(0, false, true), STATUS_OK);
    }
    complete();
    assert_identity(next, 1);
    assert_status(end_as(id, TXN_EPOCH_MAX, false, true), STATUS_PRODUCER_FENCED);
    assert_status(init(id, TXN_EPOCH_MAX), STATUS_PRODUCER_FENCED);
    assert_status(add_as(id - 1, 0), STATUS_INVALID_PRODUCER_ID_MAPPING); /* nobody's */
    assert_status(init(-1, -1), STATUS_OK);
    assert_status(add_as(id, TXN_EPOCH_MAX), STATUS_PRODUCER_FENCED);
}

/* KIP-360 at the end of the epochs: another id, also when the answer that told it was lost. */
static void a_producer_comes_back_under_another_id(void **state) {
    (void)state;
    int64_t id = begin_at_the_last_epoch(), next = fresh_id;
    assert_status(init(id, TXN_EPOCH_MAX), STATUS_OK);
    assert_identity(next, 0);
    assert_status(reload(), STATUS_OK);
    assert_status(init(id, TXN_EPOCH_MAX - 1), STATUS_PRODUCER_FENCED);
    assert_status(init(id, TXN_EPOCH_MAX), STATUS_OK); /* the answer was lost */
    assert_identity(next, 1);
    assert_status(init(id, TXN_EPOCH_MAX), STATUS_PRODUCER_FENCED);

    assert_status(reload_as(TXN_EPOCH_MAX), STATUS_OK); /* in the middle of a transaction */
    assert_status(add(TXN_EPOCH_MAX), STATUS_OK);
    assert_status(init(next, TXN_EPOCH_MAX), STATUS_CONCURRENT_TRANSACTIONS);
    assert_marker(next, TXN_EPOCH_MAX + 1);
    complete();
    int64_t third = fresh_id;
    assert_status(init(next, TXN_EPOCH_MAX), STATUS_OK);
    assert_identity(third, 0);
    assert_status(init(next, TXN_EPOCH_MAX), STATUS_OK);
    assert_identity(third, 1);

    assert_status(reload_as(TXN_EPOCH_MAX), STATUS_OK); /* the answer of an end was lost, and given up */
    assert_status(add(TXN_EPOCH_MAX), STATUS_OK);
    assert_status(end(TXN_EPOCH_MAX, true, true), STATUS_OK);
    assert_status(init(third, TXN_EPOCH_MAX), STATUS_CONCURRENT_TRANSACTIONS);
    complete();
    assert_status(init(third, TXN_EPOCH_MAX), STATUS_OK);
    assert_int_equal(txn()->epoch, 1);
}

/* Another producer took the id when the epochs were used up. */
static void who_took_the_id_has_another_one(void **state) {
    (void)state;
    int64_t id = begin_at_the_last_epoch(), next = fresh_id;
    assert_status(init(-1, -1), STATUS_OK);
    assert_identity(next, 0);
    assert_status(reload(), STATUS_OK);
    assert_status(init(id, TXN_EPOCH_MAX), STATUS_PRODUCER_FENCED);
    assert_status(end_as(id, TXN_EPOCH_MAX, false, true), STATUS_PRODUCER_FENCED);
    assert_status(add_as(id, TXN_EPOCH_MAX), STATUS_PRODUCER_FENCED);
    assert_status(add(0), STATUS_OK);
}

/* Records of the version before: nothing of another id. */
static void records_without_the_old_id_are_loaded(void **state) {
    (void)state;
    assert_status(init(-1, -1), STATUS_OK);
    int64_t id = txn()->producer_id;
    uint8_t key[] = "ttx", value[64];
    struct writer out;
    writer_init(&out);
    writer_u8(&out, 3);
    writer_be64(&out, (uint64_t)id);
    writer_be16(&out, 7);
    writer_be32(&out, 60000);
    writer_u8(&out, TXN_COMPLETE_COMMIT);
    writer_u8(&out, true);
    writer_be64(&out, 1700000000000);
    writer_be64(&out, 1700000000000);
    writer_be32(&out, 5);
    writer_be64(&out, 2);
    writer_u8(&out, true);
    writer_varint64(&out, 0);
    struct slice bytes = writer_slice(&out);
    assert_true(bytes.size <= sizeof value);
    memcpy(value, bytes.data, bytes.size);
    size_t size = bytes.size;
    writer_release(&out);
    assert_int_equal(teardown(state), 0);
    assert_int_equal(setup(state), 0);
    assert_status(txn_load(&machine, slice_make(key, 3), slice_make(value, size)), STATUS_OK);
    txn_loaded(&machine, &now);
    assert_identity(id, 7);
    assert_status(end_as(id, 6, true, true), STATUS_OK);
    assert_status(add_as(id - 1, 7), STATUS_INVALID_PRODUCER_ID_MAPPING);
    assert_status(add_as(-1, 7), STATUS_INVALID_PRODUCER_ID_MAPPING);
    assert_status(init(id, 6), STATUS_OK);
    assert_identity(id, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_transaction_under_the_epoch_behind_the_last, setup, teardown),
        cmocka_unit_test_setup_teardown(an_epoch_that_overflowed_is_loaded, setup, teardown),
        cmocka_unit_test_setup_teardown(who_was_fenced_does_not_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_producer_comes_back_after_its_own_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(an_end_goes_on_under_another_id, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_abort_goes_on_under_another_id, setup, teardown),
        cmocka_unit_test_setup_teardown(an_end_that_keeps_the_epoch_keeps_the_id, setup, teardown),
        cmocka_unit_test_setup_teardown(the_old_id_is_fenced, setup, teardown),
        cmocka_unit_test_setup_teardown(a_producer_comes_back_under_another_id, setup, teardown),
        cmocka_unit_test_setup_teardown(who_took_the_id_has_another_one, setup, teardown),
        cmocka_unit_test_setup_teardown(records_without_the_old_id_are_loaded, setup, teardown),
    };
    return cmocka_run_group_tests_name("txn", tests, NULL, NULL);
}
