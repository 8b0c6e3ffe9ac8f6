// SPDX-License-Identifier: Apache-2.0
/* When a manifest is rewritten; while something is short for that, the old one goes on. */
#include "io/io_sim.h"
#include "lib/test.h"
#include "storage/manifest.h"

#define EDIT_SIZE    100u
#define ROLL_MIN     ((size_t)1000)
#define COMMITS_MANY 200u

struct fixture {
    struct io_sim *sim;
    struct io *io;
    struct manifest *manifest;
    struct manifest_header header;
    uint32_t made, done; /* commits */
    size_t snapshot_size;
    enum status last;
};
struct commit {
    struct manifest_commit base;
    struct fixture *fixture;
};

static void fill(struct manifest_commit *base, struct writer *edit) {
    struct commit *commit = CONTAINER_OF(base, struct commit, base);
    memset(writer_extend(edit, EDIT_SIZE), (int)commit->fixture->made, EDIT_SIZE);
}
static void committed(struct manifest_commit *base, enum status status, struct slice edit) {
    struct commit *commit = CONTAINER_OF(base, struct commit, base);
    if (status == STATUS_OK) assert_int_equal(edit.size, EDIT_SIZE);
    commit->fixture->done++;
    commit->fixture->last = status;
}
static void snapshot(void *ctx, struct writer *edit) {
    const struct fixture *f = ctx;
    memset(writer_extend(edit, f->snapshot_size), 's', f->snapshot_size);
}
static void ignore(void *ctx) {
    (void)ctx;
}

static struct manifest_contents contents(struct fixture *f) {
    struct manifest_contents contents;
    struct diagnostic why;
    assert_status(manifest_read(f->io, "d", NULL, NULL, &contents, &why), STATUS_OK);
    assert_false(contents.torn);
    return contents;
}

static void start(struct fixture *f) {
    struct manifest_contents found = contents(f);
    struct manifest_options options = {
        .io = f->io, .dir = "d", .roll_min = ROLL_MIN, .ctx = f, .snapshot = snapshot, .changed = ignore};
    f->header = found.header;
    assert_status(manifest_open(&options, &found, &f->manifest), STATUS_OK);
}

static void stop(struct fixture *f) {
    while (!manifest_idle(f->manifest))
        io_turn(f->io, NS_PER_S);
    manifest_close(f->manifest);
}

static void begin(struct fixture *f) {
    *f = (struct fixture){.sim = io_sim_new(3), .snapshot_size = EDIT_SIZE};
    f->io = io_sim_node_io(f->sim, 0);
    f->header = (struct manifest_header){.store_id = 9, .generation = 1};
    assert_status(io_mkdir(f->io, "d"), STATUS_OK);
    assert_status(io_sync_dir(f->io, "."), STATUS_OK);
    assert_status(manifest_create(f->io, "d", &f->header, SLICE_LITERAL("s")), STATUS_OK);
    start(f);
}

static enum status commit(struct fixture *f) {
    struct commit one = {.base = {.prepare = fill, .done = committed}, .fixture = f};
    list_init(&one.base.link);
    f->made++;
    manifest_submit(f->manifest, &one.base);
    while (f->done < f->made)
        io_turn(f->io, NS_PER_S);
    return f->last;
}

static void end(struct fixture *f) {
    stop(f);
    io_sim_free(f->sim);
}

static void it_is_rewritten_when_it_has_grown(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    for (uint32_t i = 0; i < COMMITS_MANY; i++)
        assert_status(commit(&f), STATUS_OK);
    struct manifest_contents found = contents(&f);
    assert_true(found.header.generation > 10);
    assert_true(found.end < 2 * ROLL_MIN);
    end(&f);
}

/* What is written for it stays in proportion to the edits, however much there is to a snapshot. */
static void it_is_not_rewritten_at_every_edit(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    f.snapshot_size = 10 * ROLL_MIN;
    for (uint32_t i = 0; i < COMMITS_MANY; i++)
        assert_status(commit(&f), STATUS_OK);
    assert_true(contents(&f).header.generation <= 2);
    for (uint32_t i = 0; i < 10 * COMMITS_MANY; i++)
        assert_status(commit(&f), STATUS_OK);
    assert_in_range(contents(&f).header.generation, 6, 12);
    end(&f);
}

/* Edits that were there at a start are not taken for a snapshot. */
static void it_does_not_grow_from_start_to_start(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    for (uint32_t i = 0; i < COMMITS_MANY; i++) {
        for (uint32_t edits = 0; edits < 8; edits++)
            assert_status(commit(&f), STATUS_OK);
        assert_true(contents(&f).end < 2 * ROLL_MIN);
        stop(&f);
        start(&f);
    }
    end(&f);
}

static void without_descriptors_the_old_one_serves(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    struct io_sim_disk_faults *faults = io_sim_disk_faults(f.sim, 0);
    faults->no_descriptors = true;
    for (uint32_t i = 0; i < COMMITS_MANY; i++)
        assert_status(commit(&f), STATUS_OK);
    faults->no_descriptors = false;
    struct manifest_contents found = contents(&f);
    assert_int_equal(found.header.generation, 1);
    assert_int_equal(found.records, COMMITS_MANY + 1); /* not one edit is lost */
    /* Twice as large as when it could not be, it is rewritten. */
    for (uint32_t i = 0; i < 2 * COMMITS_MANY; i++)
        assert_status(commit(&f), STATUS_OK);
    assert_true(contents(&f).header.generation > 1);
    end(&f);
}

/* What is acknowledged after a switch is in the new file, whose name must outlast a power cut by then. */
static void a_switch_lasts_before_anything_is_acknowledged_in_it(void **state) {
    (void)state;
    for (uint32_t after = 0; after < 3; after++) {
        struct fixture f;
        begin(&f);
        while (contents(&f).header.generation == 1)
            assert_status(commit(&f), STATUS_OK);
        for (uint32_t i = 0; i < after; i++)
            assert_status(commit(&f), STATUS_OK);
        struct manifest_contents acknowledged = contents(&f);
        stop(&f);
        io_sim_crash_node(f.sim, 0, IO_SIM_CRASH_POWER_BARE);
        io_free(f.io);
        f.io = io_sim_node_io(f.sim, 0);
        struct manifest_contents found = contents(&f);
        assert_int_equal(found.header.generation, acknowledged.header.generation);
        assert_int_equal(found.records, acknowledged.records);
        io_sim_free(f.sim);
    }
}

static void a_switch_that_may_not_last_is_the_end(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    enum status status = STATUS_OK;
    struct io_sim_disk_faults *faults = io_sim_disk_faults(f.sim, 0);
    for (uint32_t i = 0; i < COMMITS_MANY && status == STATUS_OK; i++) {
        faults->sync_error_countdown = 2; /* of the new manifest; of the directory */
        status = commit(&f);
    }
    assert_status(status, STATUS_IO);
    assert_status(commit(&f), STATUS_IO);
    assert_int_equal(contents(&f).header.generation, 2);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_rewritten_when_it_has_grown),
        cmocka_unit_test(it_is_not_rewritten_at_every_edit),
        cmocka_unit_test(it_does_not_grow_from_start_to_start),
        cmocka_unit_test(without_descriptors_the_old_one_serves),
        cmocka_unit_test(a_switch_lasts_before_anything_is_acknowledged_in_it),
        cmocka_unit_test(a_switch_that_may_not_last_is_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
