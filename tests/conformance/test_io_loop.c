// SPDX-License-Identifier: Apache-2.0
/* The contract of io.h: turns, timers, deferred operations, jobs, clocks, chance. */
#include <stdio.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/units.h"
#include "lib/io_contract.h"

/* ---- what happened, in order ------------------------------------------------------------------------ */

struct trail {
    char text[256];
};

static void trail_add(struct trail *trail, const char *what) {
    size_t size = strlen(trail->text);
    snprintf(trail->text + size, sizeof trail->text - size, "%s%s", size == 0 ? "" : " ", what);
}

struct trail_timer {
    struct io_timer timer;
    struct trail *trail;
    const char *name;
};
static void trail_fire(struct io_timer *timer) {
    struct trail_timer *it = CONTAINER_OF(timer, struct trail_timer, timer);
    trail_add(it->trail, it->name);
}

struct trail_op {
    struct io_op op;
    struct trail *trail;
    const char *name;
    struct trail_op *then; /* deferred by done */
};
static void trail_done(struct io_op *op) {
    struct trail_op *it = CONTAINER_OF(op, struct trail_op, op);
    trail_add(it->trail, it->name);
    if (it->then != NULL) io_defer(op->io, &it->then->op);
}

static struct trail_timer trail_timer_make(struct trail *trail, const char *name) {
    struct trail_timer it = {.trail = trail, .name = name};
    io_timer_init(&it.timer, trail_fire);
    return it;
}

static struct trail_op trail_op_make(struct trail *trail, const char *name) {
    return (struct trail_op){.op = {.done = trail_done}, .trail = trail, .name = name};
}

static void run_for(struct io_world *world, uint64_t ns) {
    uint64_t end_ns = io_clock_ns(world->io) + ns;
    for (uint64_t now_ns; (now_ns = io_clock_ns(world->io)) < end_ns;)
        io_turn(world->io, end_ns - now_ns);
    /* What became due at the very end is handled by the turn after it. */
    io_turn(world->io, 0);
}

/* ---- timers ----------------------------------------------------------------------------------------- */

static void timers_fire_by_deadline_then_by_order_of_arming(void **state) {
    struct io_world *world = world_of(state);
    struct trail trail = {""};
    struct trail_timer a = trail_timer_make(&trail, "a"), b = trail_timer_make(&trail, "b"),
                       c = trail_timer_make(&trail, "c"), d = trail_timer_make(&trail, "d");
    uint64_t now_ns = io_clock_ns(world->io);
    io_timer_set(world->io, &d.timer, now_ns + 3 * NS_PER_MS);
    io_timer_set(world->io, &b.timer, now_ns + 2 * NS_PER_MS);
    io_timer_set(world->io, &c.timer, now_ns + 2 * NS_PER_MS);
    io_timer_set(world->io, &a.timer, now_ns + 1 * NS_PER_MS);
    assert_true(io_timer_armed(&a.timer));
    run_for(world, 4 * NS_PER_MS);
    assert_string_equal(trail.text, "a b c d");
    assert_false(io_timer_armed(&a.timer));
}

static void timers_are_rearmed_and_cancelled(void **state) {
    struct io_world *world = world_of(state);
    struct trail trail = {""};
    struct trail_timer a = trail_timer_make(&trail, "a"), b = trail_timer_make(&trail, "b"),
                       c = trail_timer_make(&trail, "c");
    uint64_t now_ns = io_clock_ns(world->io);
    io_timer_set(world->io, &a.timer, now_ns + NS_PER_MS);
    io_timer_set(world->io, &b.timer, now_ns + 2 * NS_PER_MS);
    io_timer_set(world->io, &c.timer, now_ns + NS_PER_MS);
    io_timer_set(world->io, &a.timer, now_ns + 3 * NS_PER_MS);
    io_timer_cancel(world->io, &c.timer);
    io_timer_cancel(world->io, &c.timer);
    run_for(world, 4 * NS_PER_MS);
    assert_string_equal(trail.text, "b a");
}

struct ordered_timer {
    struct io_timer timer;
    uint64_t *last_ns;
    unsigned *fired;
};
static void ordered_fire(struct io_timer *timer) {
    struct ordered_timer *it = CONTAINER_OF(timer, struct ordered_timer, timer);
    assert_true(timer->deadline_ns >= *it->last_ns);
    *it->last_ns = timer->deadline_ns;
    (*it->fired)++;
}

static void many_timers_fire_in_order(void **state) {
    struct io_world *world = world_of(state);
    enum { COUNT = 300 };
    struct ordered_timer timers[COUNT];
    uint64_t start_ns = io_clock_ns(world->io), last_ns = 0;
    unsigned fired = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        timers[i] = (struct ordered_timer){.last_ns = &last_ns, .fired = &fired};
        io_timer_init(&timers[i].timer, ordered_fire);
        io_timer_set(world->io, &timers[i].timer, start_ns + (i * 7919 % COUNT) * NS_PER_US);
    }
    for (unsigned i = 0; i < COUNT; i += 3)
        io_timer_cancel(world->io, &timers[i].timer);
    run_for(world, NS_PER_MS);
    assert_int_equal(fired, COUNT * 2 / 3);
}

struct repeating {
    struct io_timer timer;
    struct io *io;
    unsigned count;
    uint64_t turns[3];
};
static void repeat(struct io_timer *timer) {
    struct repeating *it = CONTAINER_OF(timer, struct repeating, timer);
    it->turns[it->count++] = io_stats(it->io).turns;
    if (it->count < 3) io_timer_set(it->io, timer, 0);
}

static void a_timer_rearmed_for_the_past_fires_in_the_next_turn(void **state) {
    struct io_world *world = world_of(state);
    struct repeating it = {.io = world->io};
    io_timer_init(&it.timer, repeat);
    io_timer_set(world->io, &it.timer, 0);
    run_for(world, NS_PER_MS);
    assert_int_equal(it.count, 3);
    assert_true(it.turns[0] < it.turns[1] && it.turns[1] < it.turns[2]);
}

struct canceller {
    struct io_timer timer;
    struct io *io;
    struct io_timer *other;
};
static void cancel_other(struct io_timer *timer) {
    struct canceller *it = CONTAINER_OF(timer, struct canceller, timer);
    io_timer_cancel(it->io, it->other);
}

static void a_timer_may_cancel_one_that_is_due_too(void **state) {
    struct io_world *world = world_of(state);
    struct trail trail = {""};
    struct trail_timer victim = trail_timer_make(&trail, "victim");
    struct canceller it = {.io = world->io, .other = &victim.timer};
    io_timer_init(&it.timer, cancel_other);
    io_timer_set(world->io, &it.timer, 1);
    io_timer_set(world->io, &victim.timer, 1);
    run_for(world, NS_PER_MS);
    assert_string_equal(trail.text, "");
}

/* ---- phases ----------------------------------------------------------------------------------------- */

static void deferred_operations_run_in_order_until_none_is_left(void **state) {
    struct io_world *world = world_of(state);
    struct trail trail = {""};
    struct trail_op a = trail_op_make(&trail, "a"), b = trail_op_make(&trail, "b"),
                    c = trail_op_make(&trail, "c"), d = trail_op_make(&trail, "d");
    a.then = &c;
    c.then = &d;
    io_defer(world->io, &a.op);
    io_defer(world->io, &b.op);
    assert_string_equal(trail.text, "");
    io_turn(world->io, 0);
    assert_string_equal(trail.text, "a b c d");
    assert_status(a.op.status, STATUS_OK);
}

static void what_is_deferred_last_waits_for_all_others(void **state) {
    struct io_world *world = world_of(state);
    struct trail trail = {""};
    struct trail_op a = trail_op_make(&trail, "a"), b = trail_op_make(&trail, "b"),
                    c = trail_op_make(&trail, "c"), d = trail_op_make(&trail, "d"),
                    gone = trail_op_make(&trail, "gone");
    a.then = &b; /* deferred while the last one waits */
    c.then = &d; /* by the last one: before those that wait as it does */
    struct trail_op e = trail_op_make(&trail, "e");
    io_defer_last(world->io, &gone.op);
    io_defer_last(world->io, &c.op);
    io_defer_last(world->io, &e.op);
    io_defer(world->io, &a.op);
    io_defer_cancel(&gone.op);
    io_turn(world->io, NS_PER_S); /* does not sleep */
    assert_string_equal(trail.text, "a b c d e");
}

static void a_deferred_operation_can_be_taken_back(void **state) {
    struct io_world *world = world_of(state);
    struct trail trail = {""};
    struct trail_op a = trail_op_make(&trail, "a"), b = trail_op_make(&trail, "b");
    io_defer(world->io, &a.op);
    io_defer(world->io, &b.op);
    io_defer_cancel(&a.op);
    io_turn(world->io, 0);
    assert_string_equal(trail.text, "b");
}

/* A timer of this turn, the completion that came in the turn before, and what it deferred. */
static void a_turn_is_timers_then_completions_then_deferred(void **state) {
    struct io_world *world = world_of(state);
    struct trail trail = {""};
    struct trail_timer timer = trail_timer_make(&trail, "timer");
    struct trail_op deferred = trail_op_make(&trail, "deferred"), op = trail_op_make(&trail, "op");
    struct io_file *file;
    struct slice bytes = SLICE_LITERAL("bytes");
    op.then = &deferred;
    assert_status(io_file_open(world->io, world_path(world, "f"), IO_OPEN_WRITE | IO_OPEN_CREATE, &file),
                  STATUS_OK);
    io_write(world->io, &op.op, file, &bytes, 1, 0);
    assert_string_equal(trail.text, "");
    uint64_t end_ns = io_clock_ns(world->io) + 20 * NS_PER_S;
    while (trail.text[0] == 0 && io_clock_ns(world->io) < end_ns) {
        io_timer_set(world->io, &timer.timer, 0);
        io_turn(world->io, NS_PER_MS);
        if (strcmp(trail.text, "timer") == 0) trail.text[0] = 0;
    }
    assert_string_equal(trail.text, "timer op deferred");
    io_timer_cancel(world->io, &timer.timer);
    io_file_close(file);
}

static void done_is_never_called_from_the_starting_call(void **state) {
    struct io_world *world = world_of(state);
    struct test_op op, cancelled;
    struct io_socket *socket;
    test_op_init(&op);
    test_op_init(&cancelled);
    io_defer(world->io, &op.op);
    assert_false(op.done);
    io_connect(world->io, &cancelled.op, "not an address", &socket);
    assert_false(cancelled.done);
    io_socket_close(socket);
    assert_false(cancelled.done);
    assert_status(test_op_wait(world, &op), STATUS_OK);
    assert_status(test_op_wait(world, &cancelled), STATUS_CANCELLED);
}

struct stopper {
    struct io_timer timer;
    struct io *io;
};
static void stop(struct io_timer *timer) {
    io_stop(CONTAINER_OF(timer, struct stopper, timer)->io);
}

static void run_ends_at_stop_and_can_begin_again(void **state) {
    struct io_world *world = world_of(state);
    struct stopper stopper = {.io = world->io};
    io_timer_init(&stopper.timer, stop);
    for (unsigned i = 0; i < 2; i++) {
        io_timer_set(world->io, &stopper.timer, io_clock_ns(world->io) + NS_PER_MS);
        io_run(world->io);
    }
}

static void a_turn_waits_no_longer_than_it_may(void **state) {
    struct io_world *world = world_of(state);
    uint64_t start_ns = io_clock_ns(world->io);
    while (io_clock_ns(world->io) < start_ns + NS_PER_MS)
        io_turn(world->io, NS_PER_MS);
    assert_true(io_clock_ns(world->io) < start_ns + 10 * NS_PER_S);
}

/* ---- jobs ------------------------------------------------------------------------------------------- */

struct test_job {
    struct io_job job;
    struct io_world *world;
    unsigned *started, *ended, index;
    unsigned run_order, done_order;
    bool done;
};
static void test_job_run(struct io_job *job) {
    struct test_job *it = CONTAINER_OF(job, struct test_job, job);
    it->run_order = (*it->started)++;
}
static void test_job_done(struct io_job *job) {
    struct test_job *it = CONTAINER_OF(job, struct test_job, job);
    it->done_order = (*it->ended)++;
    it->done = true;
}

static void jobs_start_in_order_and_end_on_the_loop(void **state) {
    struct io_world *world = world_of(state);
    enum { COUNT = 20 };
    struct test_job jobs[COUNT];
    unsigned started = 0, ended = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        jobs[i] = (struct test_job){
            .job = {.run = test_job_run, .done = test_job_done}, .started = &started, .ended = &ended};
        io_job_start(world->io, &jobs[i].job);
        assert_false(jobs[i].done);
    }
    world_run_until(world, &jobs[COUNT - 1].done);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(jobs[i].run_order, i);
        assert_int_equal(jobs[i].done_order, i);
    }
    assert_int_equal(io_stats(world->io).jobs, COUNT);
}

struct file_job {
    struct io_job job;
    struct io *io;
    const char *path;
    enum status status;
    char text[16];
    bool done;
};
static void file_job_run(struct io_job *job) {
    struct file_job *it = CONTAINER_OF(job, struct file_job, job);
    struct io_file *file;
    size_t size = 0;
    it->status = io_file_open(it->io, it->path, IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    if (it->status != STATUS_OK) return;
    it->status = io_file_write_at(file, SLICE_LITERAL("from a job"), 0);
    if (it->status == STATUS_OK) it->status = io_file_sync(file);
    if (it->status == STATUS_OK) it->status = io_file_read_at(file, it->text, sizeof it->text - 1, 0, &size);
    io_file_close(file);
}
static void file_job_done(struct io_job *job) {
    CONTAINER_OF(job, struct file_job, job)->done = true;
}

static void a_job_may_use_the_blocking_file_calls(void **state) {
    struct io_world *world = world_of(state);
    struct file_job it = {.job = {.run = file_job_run, .done = file_job_done},
                          .io = world->io,
                          .path = world_path(world, "job")};
    io_job_start(world->io, &it.job);
    world_run_until(world, &it.done);
    assert_status(it.status, STATUS_OK);
    assert_string_equal(it.text, "from a job");
}

/* ---- clocks, chance, signals ------------------------------------------------------------------------ */

static void clocks_go_forward(void **state) {
    struct io_world *world = world_of(state);
    uint64_t now_ns = io_now_ns(world->io);
    assert_true(io_clock_ns(world->io) >= now_ns);
    assert_true(io_wall_ms(world->io) > 1000000000000); /* 2001 */
    struct trail trail = {""};
    struct trail_timer timer = trail_timer_make(&trail, "t");
    uint64_t deadline_ns = io_clock_ns(world->io) + 2 * NS_PER_MS;
    io_timer_set(world->io, &timer.timer, deadline_ns);
    while (trail.text[0] == 0)
        io_turn(world->io, NS_PER_S);
    assert_true(io_now_ns(world->io) >= deadline_ns);
    assert_true(io_clock_ns(world->io) >= io_now_ns(world->io));
}

static void random_bytes_differ(void **state) {
    struct io_world *world = world_of(state);
    uint8_t a[32] = {0}, b[32] = {0};
    io_random(world->io, a, sizeof a);
    io_random(world->io, b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

static void the_backend_says_its_name(void **state) {
    struct io_world *world = world_of(state);
    assert_string_equal(io_backend_name(world->io), world->backend);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_by_deadline_then_by_order_of_arming),
        cmocka_unit_test(timers_are_rearmed_and_cancelled),
        cmocka_unit_test(many_timers_fire_in_order),
        cmocka_unit_test(a_timer_rearmed_for_the_past_fires_in_the_next_turn),
        cmocka_unit_test(a_timer_may_cancel_one_that_is_due_too),
        cmocka_unit_test(deferred_operations_run_in_order_until_none_is_left),
        cmocka_unit_test(what_is_deferred_last_waits_for_all_others),
        cmocka_unit_test(a_deferred_operation_can_be_taken_back),
        cmocka_unit_test(a_turn_is_timers_then_completions_then_deferred),
        cmocka_unit_test(done_is_never_called_from_the_starting_call),
        cmocka_unit_test(run_ends_at_stop_and_can_begin_again),
        cmocka_unit_test(a_turn_waits_no_longer_than_it_may),
        cmocka_unit_test(jobs_start_in_order_and_end_on_the_loop),
        cmocka_unit_test(a_job_may_use_the_blocking_file_calls),
        cmocka_unit_test(clocks_go_forward),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(the_backend_says_its_name),
    };
    return io_contract_run("loop", tests, ARRAY_COUNT(tests));
}
