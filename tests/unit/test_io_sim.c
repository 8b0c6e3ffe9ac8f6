// SPDX-License-Identifier: Apache-2.0
/* The simulated world: one seed, one story; crashes, cuts, clocks. */
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "lib/io_sim_echo.h"

#define GOLDEN_HASH UINT64_C(0x932f5f463e69b951)

struct story {
    struct io_sim *sim;
    struct echo *echo;
    struct echo_client *client;
};

static struct story story_begin(uint64_t seed, unsigned rounds) {
    struct story story = {.sim = io_sim_new(seed)};
    story.echo = echo_start(story.sim, 1);
    story.client = echo_client_start(story.sim, 2, "node1:7", rounds);
    return story;
}

static void story_end(struct story *story) {
    if (io_sim_node_is_up(story->sim, 1)) io_sim_crash_node(story->sim, 1, IO_SIM_CRASH_PROCESS);
    if (io_sim_node_is_up(story->sim, 2)) io_sim_crash_node(story->sim, 2, IO_SIM_CRASH_PROCESS);
    echo_free(story->echo);
    echo_client_free(story->client);
    io_sim_free(story->sim);
}

static void count_line(void *ctx, const char *line) {
    assert_non_null(strstr(line, " n"));
    (*(unsigned *)ctx)++;
}

static uint64_t story_hash(uint64_t seed, unsigned *lines) {
    struct story story = story_begin(seed, 20);
    if (lines != NULL) io_sim_set_trace(story.sim, count_line, lines);
    assert_true(io_sim_run_until(story.sim, 2 * NS_PER_S));
    assert_true(story.client->finished);
    assert_true(io_sim_node_has_stopped(story.sim, 2));
    assert_int_equal(story.client->failures, 0);
    uint64_t hash = io_sim_trace_hash(story.sim);
    assert_true(io_sim_event_count(story.sim) > 100);
    story_end(&story);
    return hash;
}

/* ---- determinism ------------------------------------------------------------------------------------ */

static void the_same_seed_gives_the_same_trace(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        /* Memory lies elsewhere the second time. */
        uint64_t first = story_hash(seed, NULL);
        void *shift = mem_alloc(1000 * (seed + 1));
        assert_true(story_hash(seed, NULL) == first);
        mem_free(shift);
        assert_true(story_hash(seed + 1, NULL) != first);
    }
}

static void a_trace_is_told_without_changing_it(void **state) {
    (void)state;
    unsigned lines = 0;
    uint64_t hash = story_hash(3, NULL);
    assert_true(story_hash(3, &lines) == hash);
    assert_true(lines > 100);
}

/* Across compilers, optimisation levels and sanitizers; whoever changes the model changes this number. */
static void every_build_tells_the_same_story(void **state) {
    (void)state;
    assert_int_equal(story_hash(42, NULL), GOLDEN_HASH);
}

static void notes_are_part_of_the_trace(void **state) {
    (void)state;
    struct io_sim *a = io_sim_new(1), *b = io_sim_new(1);
    assert_true(io_sim_trace_hash(a) == io_sim_trace_hash(b));
    io_sim_note(a, 0, "one");
    io_sim_note(b, 0, "two");
    assert_true(io_sim_trace_hash(a) != io_sim_trace_hash(b));
    io_sim_free(a);
    io_sim_free(b);
}

/* ---- crashes ---------------------------------------------------------------------------------------- */

static void a_killed_server_is_noticed_and_reached_again(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct story story = story_begin(seed, 200);
        assert_true(io_sim_run_until(story.sim, 20 * NS_PER_MS));
        io_sim_crash_node(story.sim, 1, IO_SIM_CRASH_PROCESS);
        echo_free(story.echo);
        assert_true(io_sim_run_until(story.sim, 300 * NS_PER_MS));
        assert_true(story.client->failures >= 2);
        assert_status(story.client->status, STATUS_UNAVAILABLE);
        story.echo = echo_start(story.sim, 1);
        assert_true(io_sim_run_until(story.sim, 20 * NS_PER_S));
        assert_true(story.client->finished);
        story_end(&story);
    }
}

/* Nobody tells the client; it finds out when the machine is back and knows nothing of the connection. */
static void a_power_cut_leaves_the_peer_half_open(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct story story = story_begin(seed, 200);
        assert_true(io_sim_run_until(story.sim, 20 * NS_PER_MS));
        io_sim_crash_node(story.sim, 1, IO_SIM_CRASH_POWER);
        echo_free(story.echo);
        assert_true(io_sim_run_until(story.sim, 3 * NS_PER_S));
        assert_int_equal(story.client->failures, 0);
        assert_false(story.client->finished);
        story.echo = echo_start(story.sim, 1);
        assert_true(io_sim_run_until(story.sim, 60 * NS_PER_S));
        if (story.client->failures != 0) {
            assert_true(story.client->finished);
            assert_status(story.client->status, STATUS_CLOSED);
        } else {
            /* All it had sent was received before the cut: it waits for ever. */
            assert_false(story.client->finished);
        }
        story_end(&story);
    }
}

/* Nothing of what it sent is under way, so nothing of it can be refused; but a sender asks for room. */
static void a_full_window_is_probed(void **state) {
    (void)state;
    unsigned waited = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct story story = story_begin(seed, 200);
        io_sim_net_options(story.sim)->window_size = 64;
        assert_true(io_sim_run_until(story.sim, 20 * NS_PER_MS));
        io_sim_crash_node(story.sim, 1, IO_SIM_CRASH_POWER);
        echo_free(story.echo);
        assert_true(io_sim_run_until(story.sim, 3 * NS_PER_S));
        assert_int_equal(story.client->failures, 0);
        bool waits = story.client->sending;
        story.echo = echo_start(story.sim, 1);
        assert_true(io_sim_run_until(story.sim, 120 * NS_PER_S));
        assert_true(story.client->finished || !waits);
        waited += waits;
        story_end(&story);
    }
    assert_true(waited > 5);
}

/* What the server acknowledged (it syncs before it answers) is there after a power cut at any of its disk
 * operations. */
static void what_was_answered_survives_a_crash_at_each_disk_operation(void **state) {
    (void)state;
    for (uint64_t n = 1; n < 60; n++) {
        struct story story = story_begin(n, 10);
        uint8_t data[3000];
        size_t size = 0;
        io_sim_crash_at_disk_op(story.sim, 1, n, n % 2 == 0 ? IO_SIM_STOP_BEFORE : IO_SIM_STOP_AFTER);
        bool ran = io_sim_run_until(story.sim, 10 * NS_PER_S);
        assert_int_equal(ran, !io_sim_crash_due(story.sim, 1));
        /* The last round, of which a part may have been answered. */
        size_t answered = story.client->received;
        uint8_t last[sizeof story.client->out];
        memcpy(last, story.client->out, sizeof last);
        size_t before = (10 - story.client->rounds - 1) * sizeof last;
        io_sim_crash_node(story.sim, 1, IO_SIM_CRASH_POWER);
        struct io *io = io_sim_node_io(story.sim, 1);
        struct io_file *file;
        if (answered != 0) {
            /* The entry itself was never synced: only a kept one can be read. */
            enum status status = io_file_open(io, "echo", IO_OPEN_READ, &file);
            if (status == STATUS_OK) {
                assert_status(io_file_read_at(file, data, sizeof data, 0, &size), STATUS_OK);
                assert_true(size >= before + answered);
                assert_memory_equal(data + before, last, answered);
                io_file_close(file);
            }
        }
        story_end(&story);
    }
}

/* ---- network ---------------------------------------------------------------------------------------- */

static void a_cut_link_delays_and_a_long_cut_breaks(void **state) {
    (void)state;
    for (unsigned direction = 0; direction < 2; direction++) {
        struct story story = story_begin(5, 2000);
        uint32_t from = direction == 0 ? 1 : 2, to = 3 - from;
        assert_true(io_sim_run_until(story.sim, 20 * NS_PER_MS));
        io_sim_cut(story.sim, from, to, true);
        unsigned rounds = story.client->rounds;
        assert_true(io_sim_run_until(story.sim, 2 * NS_PER_S));
        assert_true(rounds - story.client->rounds <= 1);
        io_sim_cut(story.sim, from, to, false);
        assert_true(io_sim_run_until(story.sim, 6 * NS_PER_S));
        assert_int_equal(story.client->failures, 0);
        assert_true(story.client->rounds < rounds - 100);
        io_sim_cut(story.sim, from, to, true);
        assert_true(io_sim_run_until(story.sim, 120 * NS_PER_S));
        if (direction == 1) assert_true(story.client->failures > 0);
        story_end(&story);
    }
}

static void resets_are_survived_by_reconnecting(void **state) {
    (void)state;
    struct story story = story_begin(7, 100);
    io_sim_net_options(story.sim)->reset_ppm = 5000;
    assert_true(io_sim_run_until(story.sim, 60 * NS_PER_S));
    assert_true(story.client->finished);
    assert_true(story.client->failures > 0);
    story_end(&story);
    story = story_begin(8, 100);
    assert_true(io_sim_run_until(story.sim, 20 * NS_PER_MS));
    io_sim_reset_connections(story.sim, 1, 2);
    assert_true(io_sim_run_until(story.sim, 60 * NS_PER_S));
    assert_true(story.client->finished);
    assert_int_equal(story.client->failures, 1);
    assert_status(story.client->status, STATUS_CLOSED);
    story_end(&story);
}

static void single_bytes_and_slow_links_change_nothing_but_time(void **state) {
    (void)state;
    struct story story = story_begin(9, 20);
    struct io_sim_net_options *net = io_sim_net_options(story.sim);
    net->fragment_ppm = 1000000;
    net->slow_ppm = 100000;
    net->window_size = 7;
    assert_true(io_sim_run_until(story.sim, 600 * NS_PER_S));
    assert_true(story.client->finished);
    assert_int_equal(story.client->failures, 0);
    story_end(&story);
}

static void addresses_reach_the_node_they_name(void **state) {
    (void)state;
    const struct {
        const char *address;
        enum status status;
    } rows[] = {{"node1:7", STATUS_OK},
                {"node2:7", STATUS_UNAVAILABLE},
                {"127.0.0.1:7", STATUS_UNAVAILABLE},
                {"nodex:7", STATUS_NOT_FOUND},
                {"node64:7", STATUS_NOT_FOUND},
                {"node:7", STATUS_NOT_FOUND},
                {"elsewhere:7", STATUS_NOT_FOUND},
                {"8.8.8.8:7", STATUS_UNAVAILABLE},
                {"node1:8", STATUS_UNAVAILABLE}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct io_sim *sim = io_sim_new(1);
        struct echo *echo = echo_start(sim, 1);
        struct echo_client *client = echo_client_start(sim, 2, rows[i].address, 1);
        assert_true(io_sim_run_until(sim, 40 * NS_PER_MS));
        if (rows[i].status == STATUS_OK)
            assert_true(client->finished);
        else
            assert_status(client->status, rows[i].status);
        struct story story = {sim, echo, client};
        story_end(&story);
    }
}

/* ---- time ------------------------------------------------------------------------------------------- */

struct ticker {
    struct io *io;
    struct io_timer timer;
    unsigned ticks;
};
static void tick(struct io_timer *timer) {
    struct ticker *ticker = CONTAINER_OF(timer, struct ticker, timer);
    ticker->ticks++;
    io_timer_set(ticker->io, timer, timer->deadline_ns + 10 * NS_PER_MS);
}

static void ticker_start(struct ticker *ticker, struct io *io) {
    *ticker = (struct ticker){.io = io};
    io_timer_init(&ticker->timer, tick);
    io_timer_set(io, &ticker->timer, io_clock_ns(io) + 10 * NS_PER_MS);
}

static void clocks_drift_apart(void **state) {
    (void)state;
    struct io_sim *sim = io_sim_new(1);
    struct io *a = io_sim_node_io(sim, 0), *b = io_sim_node_io(sim, 1);
    struct ticker fast, slow;
    int64_t wall_ms = io_wall_ms(b);
    io_sim_set_clock(sim, 0, 100000, 0);
    io_sim_set_clock(sim, 1, -100000, 5000);
    uint64_t a_ns = io_clock_ns(a), b_ns = io_clock_ns(b);
    ticker_start(&fast, a);
    ticker_start(&slow, b);
    assert_true(io_sim_run_until(sim, 100 * NS_PER_S));
    assert_in_range(fast.ticks, 10999, 11000);
    assert_in_range(slow.ticks, 8999, 9000);
    assert_in_range(io_clock_ns(a) - a_ns, 110 * NS_PER_S - 2, 110 * NS_PER_S);
    assert_in_range(io_clock_ns(b) - b_ns, 90 * NS_PER_S - 2, 90 * NS_PER_S);
    assert_in_range(io_wall_ms(b) - wall_ms, 104900, 105000);
    io_timer_cancel(a, &fast.timer);
    io_timer_cancel(b, &slow.timer);
    io_free(a);
    io_free(b);
    io_sim_free(sim);
}

static void a_paused_node_sees_nothing_until_it_goes_on(void **state) {
    (void)state;
    struct io_sim *sim = io_sim_new(1);
    struct ticker ticker;
    ticker_start(&ticker, io_sim_node_io(sim, 0));
    assert_true(io_sim_run_until(sim, 105 * NS_PER_MS));
    assert_int_equal(ticker.ticks, 10);
    io_sim_pause_node(sim, 0, NS_PER_S);
    assert_true(io_sim_run_until(sim, NS_PER_S - 1));
    assert_int_equal(ticker.ticks, 10);
    assert_true(io_sim_run_until(sim, NS_PER_S + NS_PER_MS));
    assert_true(ticker.ticks > 11);
    io_sim_free(sim);
}

static void note_call(void *ctx) {
    (*(unsigned *)ctx)++;
}

static void on_signal(void *ctx, int signal_number) {
    *(int *)ctx = signal_number;
}

static void calls_and_signals_are_events(void **state) {
    (void)state;
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    unsigned calls = 0;
    int signal_number = 0;
    io_on_signal(io, 15, on_signal, &signal_number);
    io_sim_call_at(sim, NS_PER_S, note_call, &calls);
    io_sim_call_at(sim, 3 * NS_PER_S, note_call, &calls);
    assert_true(io_sim_run_until(sim, 2 * NS_PER_S));
    assert_int_equal(calls, 1);
    io_sim_signal(sim, 0, 15);
    assert_int_equal(signal_number, 0);
    assert_true(io_sim_run_until(sim, 2 * NS_PER_S + NS_PER_MS));
    assert_int_equal(signal_number, 15);
    io_free(io);
    io_sim_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_trace),
        cmocka_unit_test(a_trace_is_told_without_changing_it),
        cmocka_unit_test(every_build_tells_the_same_story),
        cmocka_unit_test(notes_are_part_of_the_trace),
        cmocka_unit_test(a_killed_server_is_noticed_and_reached_again),
        cmocka_unit_test(a_power_cut_leaves_the_peer_half_open),
        cmocka_unit_test(a_full_window_is_probed),
        cmocka_unit_test(what_was_answered_survives_a_crash_at_each_disk_operation),
        cmocka_unit_test(a_cut_link_delays_and_a_long_cut_breaks),
        cmocka_unit_test(resets_are_survived_by_reconnecting),
        cmocka_unit_test(single_bytes_and_slow_links_change_nothing_but_time),
        cmocka_unit_test(addresses_reach_the_node_they_name),
        cmocka_unit_test(clocks_drift_apart),
        cmocka_unit_test(a_paused_node_sees_nothing_until_it_goes_on),
        cmocka_unit_test(calls_and_signals_are_events),
    };
    return cmocka_run_group_tests_name("io_sim", tests, NULL, NULL);
}
