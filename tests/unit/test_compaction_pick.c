// SPDX-License-Identifier: Apache-2.0
/* What is compacted next, of levels that are given by hand: older entries never end up above newer ones. */
#include "io/io_sim.h"
#include "lib/test.h"
#include "storage/compaction_pick.h"

struct fixture {
    struct io_sim *sim;
    struct version_set versions;
    struct writer edit;
    struct writer cursors[STORE_LEVEL_COUNT];
    struct compaction_plan plan;
};

static void begin(struct fixture *f) {
    f->sim = io_sim_new(1);
    version_set_init(&f->versions, io_sim_node_io(f->sim, 0), "data", NULL);
    writer_init(&f->edit);
    for (size_t l = 0; l < STORE_LEVEL_COUNT; l++)
        writer_init(&f->cursors[l]);
    compaction_plan_init(&f->plan);
}

static void end(struct fixture *f) {
    compaction_plan_release(&f->plan);
    for (size_t l = 0; l < STORE_LEVEL_COUNT; l++)
        writer_release(&f->cursors[l]);
    writer_release(&f->edit);
    version_set_release(&f->versions);
    io_sim_free(f->sim);
}

/* A table of one run. */
static void add(struct fixture *f, uint32_t level, uint64_t number, const char *first, const char *last,
                uint64_t bytes) {
    struct table_run_meta run = {.first = slice_from_text(first),
                                 .last = slice_from_text(last),
                                 .bytes = bytes,
                                 .entries = 2,
                                 .first_sequence = number * 10,
                                 .last_sequence = number * 10 + 1};
    struct table_meta table = {.number = number, .size = bytes, .entries = 2, .data_bytes = bytes};
    edit_table(&f->edit, &table);
    edit_run_add(&f->edit, level, number, &run);
}

static const struct compaction_plan *pick(struct fixture *f) {
    if (f->edit.size > 0)
        assert_status(version_set_apply(&f->versions, writer_slice(&f->edit), NULL), STATUS_OK);
    writer_clear(&f->edit);
    compaction_plan_release(&f->plan);
    struct compaction_limits limits = {.base_bytes = 1000, .input_bytes = 500};
    compaction_pick(f->versions.current, &limits, f->cursors, &f->plan);
    return &f->plan;
}

/* There was once more data: level 5 still holds old entries, though sizes alone would send level 0 to the
 * last. */
static void level_0_does_not_pass_older_entries(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    add(&f, 6, 1, "a", "z", 200);
    add(&f, 5, 2, "k", "m", 10);
    for (uint64_t n = 10; n < 10 + COMPACTION_L0_TRIGGER; n++)
        add(&f, 0, n, "b", "y", 50);
    const struct compaction_plan *plan = pick(&f);
    assert_int_equal(plan->reason, COMPACTION_LEVEL0);
    assert_int_equal(plan->output_level, 5);
    assert_int_equal(plan->lower_count, 1);
    end(&f);
}

static void with_nothing_between_it_goes_to_the_last(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    add(&f, 6, 1, "a", "z", 200);
    for (uint64_t n = 10; n < 10 + COMPACTION_L0_TRIGGER; n++)
        add(&f, 0, n, "b", "y", 50);
    const struct compaction_plan *plan = pick(&f);
    assert_int_equal(plan->reason, COMPACTION_LEVEL0);
    assert_int_equal(plan->output_level, 6);
    assert_int_equal(plan->upper_count, COMPACTION_L0_TRIGGER); /* they share keys: all or none */
    end(&f);
}

/* A damaged run stays where it is, and so does what shares keys with it; the rest is compacted. */
static void damage_holds_up_only_what_it_touches(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    add(&f, 0, 10, "a", "c", 50);
    add(&f, 0, 11, "b", "d", 50);
    add(&f, 0, 12, "m", "p", 50);
    add(&f, 0, 13, "n", "q", 50);
    pick(&f);
    const struct version_level *level = &f.versions.current->levels[0];
    for (size_t i = 0; i < level->count; i++)
        if (level->runs[i]->table->source.number == 10) level->runs[i]->damaged = true;
    const struct compaction_plan *plan = pick(&f);
    assert_int_equal(plan->reason, COMPACTION_LEVEL0);
    for (size_t i = 0; i < plan->upper_count; i++)
        assert_true(plan->upper[i]->table->source.number >= 12);
    assert_true(plan->upper_count > 0);
    end(&f);
}

/* Runs that are small in themselves, but not beside what one compaction may take, are left alone: it would
 * take one, write it again, and find as many as before. */
static void small_runs_are_joined_when_fewer_are_left(void **state) {
    (void)state;
    for (uint64_t bytes = 20; bytes <= 400; bytes += 20) {
        struct fixture f;
        begin(&f);
        for (uint64_t n = 0; n < 2 * COMPACTION_SMALL_COUNT; n++) {
            char key[3] = {(char)('a' + n / 8), (char)('a' + n % 8), 0};
            add(&f, 6, n + 10, key, key, bytes);
        }
        const struct compaction_plan *plan = pick(&f);
        if (bytes == 20) assert_int_equal(plan->reason, COMPACTION_SMALL);
        if (plan->reason == COMPACTION_SMALL) assert_true(plan->upper_count >= COMPACTION_SMALL_COUNT);
        end(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_runs_are_joined_when_fewer_are_left),
        cmocka_unit_test(level_0_does_not_pass_older_entries),
        cmocka_unit_test(with_nothing_between_it_goes_to_the_last),
        cmocka_unit_test(damage_holds_up_only_what_it_touches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
