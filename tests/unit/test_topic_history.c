// SPDX-License-Identifier: Apache-2.0
/* What clients are told of topics that come and go, good and bad: each bad history is noticed by the
 * invariant that it breaks. */
#include "lib/test.h"

#include <string.h>

#include "base/assert.h"
#include "sim/topic_history.h"

struct fixture {
    struct history history;
    struct topic_history topics;
    struct topic_view view;
};

static struct uuid id_of(uint8_t number) {
    return (struct uuid){{number}};
}

static void begin(struct fixture *f) {
    history_init(&f->history);
    topic_history_init(&f->topics, &f->history);
    topic_view_init(&f->view);
}

static void end(struct fixture *f, const char *invariant) {
    if (invariant == NULL)
        assert_string_equal(f->history.violation, "");
    else
        assert_memory_equal(f->history.violation, invariant, strlen(invariant));
    topic_history_release(&f->topics);
    history_release(&f->history);
}

/* One change of name 0, from ... to. */
static uint32_t asks(struct fixture *f, enum topic_history_op op, uint64_t from) {
    return topic_history_asks(&f->topics, op, 0, TOPIC_HISTORY_NONE, 0, from);
}

static void made(struct fixture *f, uint8_t id, uint64_t from, uint64_t to) {
    topic_history_done(&f->topics, asks(f, TOPIC_OP_CREATE, from), id_of(id), to);
}

static void deleted(struct fixture *f, uint8_t id, uint64_t from, uint64_t to) {
    topic_history_done(&f->topics, asks(f, TOPIC_OP_DELETE, from), id_of(id), to);
}

static void finish(struct fixture *f, uint32_t life, int64_t setting) {
    struct topic_at_rest rest = {.life = life, .partitions = 1, .settings = {setting, -1}};
    topic_history_finish(&f->topics, &rest, 1);
}

static void topics_that_come_and_go(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    made(&f, 1, 10, 20);
    assert_int_equal(topic_history_told(&f.topics, &f.view, 0, id_of(1), 1, 25), 0);
    topic_history_refused(&f.topics, asks(&f, TOPIC_OP_CREATE, 21), TOPIC_MET_ONE, 30);
    deleted(&f, 1, 40, 50);
    topic_history_refused(&f.topics, asks(&f, TOPIC_OP_DELETE, 45), TOPIC_MET_NONE, 60);
    made(&f, 2, 45, 70); /* one after the other in between */
    assert_int_equal(topic_history_told(&f.topics, &f.view, 0, id_of(2), 1, 75), 1);
    finish(&f, 1, -1);
    end(&f, NULL);
}

static void who_is_not_answered_may_have_done_it(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    MAYBE(asks(&f, TOPIC_OP_CREATE, 10));
    assert_int_equal(topic_history_told(&f.topics, &f.view, 0, id_of(1), 1, 30), 0);
    MAYBE(asks(&f, TOPIC_OP_DELETE, 40));
    finish(&f, TOPIC_HISTORY_NONE, -1);
    end(&f, NULL);
}

static void of_a_name_there_is_one_at_a_time(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    made(&f, 1, 10, 20);
    made(&f, 2, 30, 40);
    deleted(&f, 1, 50, 60);
    finish(&f, 1, -1);
    end(&f, "B19");
    begin(&f);
    made(&f, 1, 10, 20);
    made(&f, 1, 15, 25);
    end(&f, "B19");
}

static void what_is_deleted_stays_so(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    made(&f, 1, 10, 20);
    deleted(&f, 1, 30, 40);
    finish(&f, 0, -1);
    end(&f, "B19");
    begin(&f);
    made(&f, 1, 10, 20);
    deleted(&f, 1, 30, 40);
    deleted(&f, 1, 31, 41);
    end(&f, "B19");
}

static void by_its_id_no_other_is_deleted(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    made(&f, 1, 10, 20);
    deleted(&f, 1, 30, 40);
    made(&f, 2, 50, 60);
    uint32_t change = topic_history_asks(&f.topics, TOPIC_OP_DELETE, 0, 0, 0, 70);
    topic_history_done(&f.topics, change, id_of(2), 80);
    end(&f, "B19");
}

static void nobody_is_told_what_did_not_hold(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    made(&f, 1, 10, 20);
    topic_history_refused(&f.topics, asks(&f, TOPIC_OP_DELETE, 30), TOPIC_MET_NONE, 40);
    finish(&f, 0, -1);
    end(&f, "B19");
    begin(&f);
    topic_history_refused(&f.topics, asks(&f, TOPIC_OP_CREATE, 30), TOPIC_MET_ONE, 40);
    finish(&f, TOPIC_HISTORY_NONE, -1);
    end(&f, "B19");
}

static void what_was_refused_has_not_happened(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    topic_history_refused(&f.topics, asks(&f, TOPIC_OP_CREATE, 10), TOPIC_MET_NOTHING, 20);
    MAYBE(topic_history_told(&f.topics, &f.view, 0, id_of(1), 1, 30));
    end(&f, "B22");
    begin(&f);
    made(&f, 1, 10, 20);
    finish(&f, TOPIC_HISTORY_NONE, -1);
    end(&f, "B22");
}

static void a_node_does_not_go_back(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    made(&f, 1, 10, 20);
    MAYBE(topic_history_told(&f.topics, &f.view, 0, id_of(1), 1, 30));
    MAYBE(topic_history_told(&f.topics, &f.view, 0, (struct uuid){{0}}, 0, 40));
    MAYBE(topic_history_told(&f.topics, &f.view, 0, id_of(1), 1, 50));
    end(&f, "B19");
    begin(&f);
    made(&f, 1, 10, 20);
    MAYBE(topic_history_told(&f.topics, &f.view, 0, id_of(1), 3, 30));
    MAYBE(topic_history_told(&f.topics, &f.view, 0, id_of(1), 2, 40));
    end(&f, "B19");
}

static void settings_are_registers(void **state) {
    (void)state;
    struct fixture f;
    for (int64_t rest = -1; rest <= 4; rest++) {
        begin(&f);
        made(&f, 1, 10, 20);
        uint32_t first = topic_history_asks(&f.topics, TOPIC_OP_CONFIG, 0, TOPIC_HISTORY_NONE, 0, 30);
        topic_history_done(&f.topics, first, (struct uuid){{0}}, 40);
        uint32_t second = topic_history_asks(&f.topics, TOPIC_OP_CONFIG, 0, TOPIC_HISTORY_NONE, 2, 50);
        topic_history_done(&f.topics, second, (struct uuid){{0}}, 60);
        finish(&f, 0, rest);
        end(&f, rest == 2 ? NULL : rest <= 0 ? "B19" : "S4");
    }
    begin(&f);
    made(&f, 1, 10, 20);
    uint32_t wider = topic_history_asks(&f.topics, TOPIC_OP_PARTITIONS, 0, TOPIC_HISTORY_NONE, 3, 30);
    topic_history_done(&f.topics, wider, (struct uuid){{0}}, 40);
    finish(&f, 0, -1);
    end(&f, "B19");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics_that_come_and_go),
        cmocka_unit_test(who_is_not_answered_may_have_done_it),
        cmocka_unit_test(of_a_name_there_is_one_at_a_time),
        cmocka_unit_test(what_is_deleted_stays_so),
        cmocka_unit_test(by_its_id_no_other_is_deleted),
        cmocka_unit_test(nobody_is_told_what_did_not_hold),
        cmocka_unit_test(what_was_refused_has_not_happened),
        cmocka_unit_test(a_node_does_not_go_back),
        cmocka_unit_test(settings_are_registers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
