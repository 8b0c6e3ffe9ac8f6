// SPDX-License-Identifier: Apache-2.0
/* What clients are told of records, reads and transactions, good and bad: each bad history is noticed by the
 * invariant that it breaks. Those of groups and of topics are in test_group_history and test_topic_history. */
#include "lib/test.h"

#include <string.h>

#include "base/units.h"
#include "sim/grpc_consume.h"
#include "sim/history_reader.h"
#include "sim/staleness.h"
#include "sim/txn_history.h"

static void end(struct history *h, const char *invariant) {
    if (invariant == NULL)
        assert_string_equal(h->violation, "");
    else
        assert_memory_equal(h->violation, invariant, strlen(invariant));
    history_release(h);
}

/* ---- records ------------------------------------------------------------------------------------------ */

/* Acknowledged, and read, are records 10, 11, 12 at offsets 0, 1, 2. */
static void begin(struct history *h) {
    history_init(h);
    for (uint32_t i = 0; i < 3; i++) {
        history_acknowledged(h, 0, i, 10 + i);
        history_read(h, 0, i, 10 + i);
    }
    history_high_watermark(h, 0, 3);
}

static void what_brokers_may_tell(void **state) {
    (void)state;
    struct history h;
    bool seen[3] = {true, true, true};
    begin(&h);
    history_read(&h, 0, 1, 11);
    history_read(&h, 0, 3, 13); /* not acknowledged, and there all the same */
    history_acknowledged(&h, 1, 0, 10);
    history_high_watermark(&h, 0, 4);
    history_deleted(&h, 0, 1);
    history_read_all(&h, 0, 1, 4, seen);
    end(&h, NULL);
}

static void an_offset_has_one_value(void **state) {
    (void)state;
    struct history h;
    begin(&h);
    history_read(&h, 0, 1, 99);
    end(&h, "B2 ");
    begin(&h);
    history_read(&h, 0, 3, 13);
    history_acknowledged(&h, 0, 3, 14);
    end(&h, "B2 ");
    begin(&h);
    history_acknowledged(&h, 0, 1, 99);
    end(&h, "B2 ");
}

static void a_record_has_one_offset(void **state) {
    (void)state;
    struct history h;
    begin(&h);
    history_read(&h, 0, 3, 11);
    end(&h, "B7 ");
    begin(&h);
    history_acknowledged(&h, 0, 3, 11);
    end(&h, "B7 ");
    begin(&h);
    history_acknowledged(&h, 0, 1, 11);
    end(&h, "B7 ");
}

static void what_is_sent_later_comes_later(void **state) {
    (void)state;
    struct history h;
    int64_t acknowledged_end = 0;
    begin(&h);
    history_append_order(&h, 0, &acknowledged_end, 0, 2);
    history_append_order(&h, 0, &acknowledged_end, 2, 1);
    history_append_order(&h, 0, &acknowledged_end, 7, 1);
    assert_string_equal(h.violation, "");
    history_append_order(&h, 0, &acknowledged_end, 7, 1);
    end(&h, "B3 ");
}

static void the_high_watermark_does_not_go_back(void **state) {
    (void)state;
    struct history h;
    begin(&h);
    history_high_watermark(&h, 0, 2);
    end(&h, "B4 ");
}

static void what_is_there_at_the_end(void **state) {
    (void)state;
    struct history h;
    bool all[4] = {true, true, true, true}, hole[4] = {true, false, true, true};
    begin(&h);
    history_read_all(&h, 0, 0, 2, all);
    end(&h, "B6 "); /* the last one is lost */
    begin(&h);
    history_read_all(&h, 0, 1, 3, all);
    end(&h, "B6 "); /* the first one, and nobody deleted it */
    begin(&h);
    history_read_all(&h, 0, 0, 3, hole);
    end(&h, "B1 ");
    begin(&h);
    history_read(&h, 0, 3, 13);
    history_read_all(&h, 0, 0, 3, all);
    end(&h, "B5 "); /* it was read before it was committed */
}

/* ---- reading ------------------------------------------------------------------------------------------ */

/* One record of this value at `offset`. */
static struct buffer *batch_of(int64_t offset, const char *value) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    record_batch_add(&builder, 0, SLICE_EMPTY, slice_from_text(value), NULL, 0);
    struct record_batch_producer none = {-1, -1, -1};
    struct buffer *batch = record_batch_finish(&builder, CODEC_NONE, &none);
    record_batch_builder_release(&builder);
    store_be64(batch->data, (uint64_t)offset);
    return batch;
}

static void take(struct history *h, struct history_reader *reader, int64_t offset, int damaged) {
    struct buffer *batch = batch_of(offset, offset == 0 ? "first" : "later");
    if (damaged >= 0) batch->data[damaged] ^= 1;
    history_reader_take(h, reader, slice_make(batch->data, batch->size));
    buffer_unref(batch);
}

static void readers_go_on_without_a_skip(void **state) {
    (void)state;
    struct history h;
    struct history_reader reader = {.high_watermark = 2};
    history_init(&h);
    take(&h, &reader, 0, -1);
    take(&h, &reader, 1, -1);
    take(&h, &reader, 0, -1); /* a batch may begin before what was asked for */
    assert_int_equal(reader.offset, 2);
    end(&h, NULL);
    reader = (struct history_reader){.high_watermark = 9};
    history_init(&h);
    take(&h, &reader, 0, -1);
    take(&h, &reader, 2, -1);
    end(&h, "B12 ");
}

static void readers_see_what_is_committed_and_whole(void **state) {
    (void)state;
    struct history h;
    struct history_reader reader = {.high_watermark = 1};
    history_init(&h);
    take(&h, &reader, 0, -1);
    take(&h, &reader, 1, -1);
    end(&h, "B5 ");
    reader = (struct history_reader){.high_watermark = 1};
    history_init(&h);
    take(&h, &reader, 0, RECORD_BATCH_HEADER_SIZE + 6);
    end(&h, "S6 ");
    history_reader_release(&reader);
}

/* What a stream brings: one batch of offset 0, and where it is said to go on. */
static void take_records(struct history *h, struct history_reader *reader, int64_t next, bool whole) {
    struct buffer *batch = batch_of(0, "first");
    struct writer message;
    writer_init(&message);
    writer_u8(&message, PROTOBUF_CONSUMED_BATCH << 3 | 2);
    writer_varint64(&message, batch->size + !whole);
    writer_bytes(&message, slice_make(batch->data, batch->size));
    struct protobuf_records records = {.next_offset = next,
                                       .high_watermark = 1,
                                       .message = writer_slice(&message),
                                       .record_number = PROTOBUF_CONSUMED_RECORD,
                                       .batch_number = PROTOBUF_CONSUMED_BATCH};
    history_init(h);
    assert_int_equal(grpc_consume_take(h, reader, &records), whole ? batch->size : 0);
    writer_release(&message);
    buffer_unref(batch);
}

static void streams_parse_and_do_not_go_back(void **state) {
    (void)state;
    struct history h;
    struct history_reader reader = {0};
    take_records(&h, &reader, 1, true);
    assert_int_equal(reader.offset, 1);
    assert_int_equal(reader.high_watermark, 1);
    end(&h, NULL);
    reader = (struct history_reader){0};
    take_records(&h, &reader, 0, true);
    end(&h, "B12 ");
    reader = (struct history_reader){0};
    take_records(&h, &reader, 0, false);
    end(&h, "B21 ");
}

/* ---- followers ---------------------------------------------------------------------------------------- */

static void a_follower_may_be_so_old_and_not_older(void **state) {
    (void)state;
    struct {
        uint64_t asked_ns;
        int64_t end;
        const char *invariant;
    } cases[] = {
        {10, 0, NULL},  {599, 4, NULL},   {600, 4, "B24 "}, {600, 5, NULL},   {899, 5, "B24 "},
        {899, 6, NULL}, {900, 6, "B24 "}, {900, 9, NULL},   {9999, 10, NULL}, {9999, 8, "B24 "},
    };
    struct staleness told = {0};
    staleness_told(&told, 50, 4);
    staleness_told(&told, 100, 5);
    staleness_told(&told, 150, 3); /* by somebody who lags */
    staleness_told(&told, 200, 6);
    staleness_told(&told, 400, 9);
    assert_int_equal(staleness_end_at(&told, 49), 0);
    assert_int_equal(staleness_end_at(&told, 399), 6);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct history h;
        history_init(&h);
        staleness_check(&told, &h, 0, 2, cases[i].asked_ns, 500, cases[i].end);
        end(&h, cases[i].invariant);
    }
    staleness_release(&told);
}

/* ---- transactions ------------------------------------------------------------------------------------- */

struct copying {
    struct history history;
    struct txn_history txn;
    struct txn_pass pass;
};

/* Offsets 0 and 1 are copied, by transaction 0 and 1; 2 was aborted. */
static void begin_copying(struct copying *c) {
    begin(&c->history);
    txn_history_init(&c->txn, &c->history);
    c->pass = (struct txn_pass){0};
    txn_pass_restart(&c->pass);
    for (uint32_t i = 0; i < 3; i++)
        txn_history_ended(&c->txn, txn_history_begin(&c->txn), i < 2);
}

static void end_copying(struct copying *c, const char *invariant) {
    txn_pass_release(&c->pass);
    txn_history_release(&c->txn);
    end(&c->history, invariant);
}

static void copy(struct copying *c, uint32_t number, bool second, int64_t offset) {
    txn_history_read(&c->txn, &c->pass, number, 0, second, offset);
}

static void transactions_are_whole_and_in_order(void **state) {
    (void)state;
    struct copying c;
    for (int missing = 0; missing <= 4; missing++) {
        begin_copying(&c);
        for (int i = 0; i < 4; i++)
            if (i != missing) copy(&c, (uint32_t)i / 2, i % 2 != 0, i / 2);
        txn_history_finish(&c.txn, &c.pass, 0, 2);
        end_copying(&c, missing < 4 ? "B10 " : NULL);
    }
    begin_copying(&c);
    copy(&c, 1, false, 1);
    copy(&c, 0, false, 0);
    end_copying(&c, "B10 ");
    begin_copying(&c);
    copy(&c, 0, false, 0);
    copy(&c, 1, false, 0); /* once more, by the next one */
    end_copying(&c, "B10 ");
    begin_copying(&c);
    copy(&c, 7, false, 0);
    end_copying(&c, "B10 ");
}

static void nothing_of_what_was_aborted_is_read(void **state) {
    (void)state;
    struct copying c;
    begin_copying(&c);
    copy(&c, 2, false, 2);
    end_copying(&c, "B11 ");
}

static void who_is_fenced_does_nothing(void **state) {
    (void)state;
    struct copying c;
    begin_copying(&c);
    txn_history_identity(&c.txn, 0, 4);
    bool fenced = txn_history_is_fenced(&c.txn, 0, 4);
    txn_history_identity(&c.txn, 0, 5);
    txn_history_taken(&c.txn, 0, 4, "a batch", fenced); /* it had left before */
    txn_history_taken(&c.txn, 0, 5, "a batch", txn_history_is_fenced(&c.txn, 0, 5));
    end_copying(&c, NULL);
    begin_copying(&c);
    txn_history_identity(&c.txn, 0, 4);
    txn_history_identity(&c.txn, 0, 5);
    txn_history_taken(&c.txn, 0, 4, "a batch", txn_history_is_fenced(&c.txn, 0, 4));
    end_copying(&c, "B9 ");
    begin_copying(&c);
    txn_history_identity(&c.txn, 0, 4);
    txn_history_identity(&c.txn, 0, 4);
    end_copying(&c, "B9 ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_brokers_may_tell),
        cmocka_unit_test(an_offset_has_one_value),
        cmocka_unit_test(a_record_has_one_offset),
        cmocka_unit_test(what_is_sent_later_comes_later),
        cmocka_unit_test(the_high_watermark_does_not_go_back),
        cmocka_unit_test(what_is_there_at_the_end),
        cmocka_unit_test(readers_go_on_without_a_skip),
        cmocka_unit_test(readers_see_what_is_committed_and_whole),
        cmocka_unit_test(streams_parse_and_do_not_go_back),
        cmocka_unit_test(a_follower_may_be_so_old_and_not_older),
        cmocka_unit_test(transactions_are_whole_and_in_order),
        cmocka_unit_test(nothing_of_what_was_aborted_is_read),
        cmocka_unit_test(who_is_fenced_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
