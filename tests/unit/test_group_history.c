// SPDX-License-Identifier: Apache-2.0
/* What members of a group are told, good and bad: each bad history is noticed by the invariant that it
 * breaks. */
#include "lib/test.h"

#include <string.h>

#include "base/units.h"
#include "sim/group_history.h"

struct fixture {
    struct history history;
    struct group_history group;
};

static void begin(struct fixture *f, uint64_t patience_ns) {
    history_init(&f->history);
    group_history_init(&f->group, &f->history, "g", patience_ns);
}

static void end(struct fixture *f, const char *invariant) {
    if (invariant == NULL)
        assert_string_equal(f->history.violation, "");
    else
        assert_memory_equal(f->history.violation, invariant, strlen(invariant));
    group_history_release(&f->group);
    history_release(&f->history);
}

static void a_group_that_moves_its_partitions(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0);
    group_history_joined(&f.group, 0, 1, 10, 20);
    group_history_computed(&f.group, 1, 10, 3);
    group_history_delivered(&f.group, 1, 10, 3);
    group_history_owns(&f.group, 0, 1, 0, 5);
    group_history_fetched(&f.group, 0, group_history_floor(&f.group, 0), -1);
    history_acknowledged(&f.history, 0, 0, 1);
    group_history_processed(&f.group, 0, 0, 4);
    group_history_commits(&f.group, 0, 4);
    group_history_committed(&f.group, 0, 1, 0, 4, false);
    group_history_joined(&f.group, 1, 2, 11, 20);
    group_history_owns(&f.group, 1, 2, 0, 9);
    assert_true(group_history_is_late(&f.group, 0, 1, 0));
    group_history_fetched(&f.group, 0, group_history_floor(&f.group, 0), 4);
    group_history_finish(&f.group, 0, 4);
    end(&f, NULL);
}

static void generations_go_forward_and_have_one_leader(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0);
    group_history_joined(&f.group, 5, 4, 10, 20);
    end(&f, "B15");
    begin(&f, 0);
    group_history_joined(&f.group, 0, 4, 10, 20);
    group_history_joined(&f.group, 0, 4, 11, 20);
    end(&f, "B15");
    begin(&f, 0);
    group_history_joined(&f.group, 0, 4, 10, 20);
    group_history_computed(&f.group, 4, 10, 1);
    group_history_delivered(&f.group, 4, 10, 2);
    end(&f, "B15");
}

static void a_partition_has_one_owner(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0);
    group_history_owns(&f.group, 0, 3, 1, 5);
    group_history_owns(&f.group, 1, 3, 1, 6);
    end(&f, "B14");
    begin(&f, NS_PER_S); /* consumer groups: until it lets go, or was not heard of for long */
    group_history_owns(&f.group, 0, 3, 1, 5);
    group_history_heard(&f.group, 0, 1, NS_PER_S);
    group_history_owns(&f.group, 1, 4, 1, NS_PER_S + 1);
    end(&f, "B14");
    begin(&f, NS_PER_S);
    group_history_heard(&f.group, 0, 1, NS_PER_S);
    group_history_owns(&f.group, 1, 4, 1, 3 * NS_PER_S);
    group_history_heard(&f.group, 1, 1, 3 * NS_PER_S);
    group_history_lets_go(&f.group, 1, 1);
    group_history_owns(&f.group, 2, 5, 1, 3 * NS_PER_S + 1);
    end(&f, NULL);
}

static void committed_offsets_stay(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0);
    group_history_commits(&f.group, 0, 9);
    group_history_committed(&f.group, 0, 1, 0, 9, false);
    group_history_fetched(&f.group, 0, group_history_floor(&f.group, 0), -1);
    end(&f, "B13");
    begin(&f, 0);
    group_history_commits(&f.group, 0, 9);
    group_history_fetched(&f.group, 0, group_history_floor(&f.group, 0), 10);
    end(&f, "B13");
    begin(&f, 0);
    group_history_committed(&f.group, 0, 1, 0, 9, true);
    end(&f, "B13");
    begin(&f, 0); /* what was never answered may still be written, over what came after it */
    group_history_commits(&f.group, 0, 5);
    group_history_uncertain(&f.group, 0, 5);
    group_history_commits(&f.group, 0, 9);
    group_history_committed(&f.group, 0, 1, 0, 9, false);
    group_history_fetched(&f.group, 0, group_history_floor(&f.group, 0), 5);
    end(&f, NULL);
}

static void everything_is_processed(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0);
    history_acknowledged(&f.history, 0, 2, 1);
    group_history_processed(&f.group, 0, 0, 2);
    group_history_finish(&f.group, 0, 3);
    end(&f, "B16");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_that_moves_its_partitions),
        cmocka_unit_test(generations_go_forward_and_have_one_leader),
        cmocka_unit_test(a_partition_has_one_owner),
        cmocka_unit_test(committed_offsets_stay),
        cmocka_unit_test(everything_is_processed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
