// SPDX-License-Identifier: Apache-2.0
/* Where a flush puts its runs: down where nothing overlaps, and never into what a compaction is about to
 * write. */
#include "io/io_sim.h"
#include "lib/test.h"
#include "storage/flush.h"

struct placed {
    uint32_t level;
    bool found;
};

static struct placed place(const struct version_set *versions, const struct flush_reserved *reserved) {
    struct table_output output;
    table_output_init(&output);
    struct table_run_meta run = {.first = SLICE_LITERAL("m"),
                                 .last = SLICE_LITERAL("n"),
                                 .bytes = 10,
                                 .entries = 2,
                                 .first_sequence = 5,
                                 .last_sequence = 6};
    *table_output_add(&output) = (struct table_meta){.number = 9, .size = 100, .runs = &run, .run_count = 1};
    struct memtable *memtable = memtable_new();
    memtable_delete(memtable, SLICE_LITERAL("m"), 5);
    struct writer edit;
    writer_init(&edit);
    flush_edit(versions, memtable, &output, reserved, &edit);
    struct reader reader = reader_make(writer_slice(&edit));
    struct edit_item item;
    struct placed placed = {0, false};
    while (edit_next(&reader, &item) == STATUS_OK)
        if (item.kind == EDIT_RUN_ADD) placed = (struct placed){item.level, true};
    assert_true(placed.found);
    writer_release(&edit);
    memtable_unpin(memtable);
    table_output_release(&output);
    return placed;
}

static void runs_stay_clear_of_a_compaction(void **state) {
    (void)state;
    struct io_sim *sim = io_sim_new(1);
    struct version_set versions;
    version_set_init(&versions, io_sim_node_io(sim, 0), "data", NULL);
    struct flush_reserved nothing = {0};
    assert_int_equal(place(&versions, &nothing).level, STORE_LEVEL_COUNT - 1);
    /* The compaction's inputs leave a gap where the run would fit, but its output may span it. */
    const struct key_range around[] = {{SLICE_LITERAL("a"), SLICE_LITERAL("z")}};
    assert_int_equal(place(&versions, &(struct flush_reserved){around, 1}).level, 0);
    const struct key_range touching[] = {{SLICE_LITERAL("n"), SLICE_LITERAL("z")}};
    assert_int_equal(place(&versions, &(struct flush_reserved){touching, 1}).level, 0);
    const struct key_range behind[] = {{SLICE_LITERAL("na"), SLICE_LITERAL("z")}};
    assert_int_equal(place(&versions, &(struct flush_reserved){behind, 1}).level, STORE_LEVEL_COUNT - 1);
    /* Between two parts it may go down. */
    const struct key_range parts[] = {{SLICE_LITERAL("a"), SLICE_LITERAL("b")},
                                      {SLICE_LITERAL("x"), SLICE_LITERAL("z")}};
    assert_int_equal(place(&versions, &(struct flush_reserved){parts, 2}).level, STORE_LEVEL_COUNT - 1);
    version_set_release(&versions);
    io_sim_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(runs_stay_clear_of_a_compaction)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
