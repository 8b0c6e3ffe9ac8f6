// SPDX-License-Identifier: Apache-2.0
/* Many seeds, in several processes. A worker takes the seed that is next, again and again, and writes what each
 * came to into a pipe of its own. One that dies has met an assertion: the seed that it had begun failed, and another worker
 * goes on behind it. One that has grown large ends in order, and another goes on: what crashed brokers had in
 * memory is never freed (kafka_program.c). */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/sim_command.h"
#include "io/io.h"
#include "io/io_worker.h"

#define WORKERS_MAX  64
#define RESIDENT_MAX (256 * MIB) /* of a worker */
#define KEPT_BYTES   (16 * MIB)  /* of its heap, from seed to seed */
#define SHOW_MS      100         /* on a terminal */
#define SHOW_LINE_MS 10000       /* where lines stay: a log */

struct message {
    bool begins; /* seed is taken; else it is done */
    uint64_t seed;
    struct sim_summary summary;
};

struct worker {
    uint64_t seed;
    bool running_seed;
};
struct sweep {
    const struct sim_command *command;
    struct io_worker children[WORKERS_MAX];
    struct worker workers[WORKERS_MAX];
    uint32_t alive;
    struct io_worker_tickets *tickets; /* a seed each */
    uint64_t told;                     /* seeds that were begun, as far as we have heard */
    uint64_t runs, failed, events, steps, simulated_ns, cpu_us, acknowledged, hash, leader_ns_max,
        equal_ns_max;
    struct sim_summary first; /* failure, of the lowest seed that failed */
    uint64_t first_seed;
    uint64_t actions[ACTION_KIND_END];
    struct probes probes, seeds_with; /* hits, and seeds that had any */
    int64_t started_ms, shown_ms;
    bool stopping;
};

/* ---- a worker ------------------------------------------------------------------------------------------ */

static void work(void *ctx, struct io_worker_pipe *pipe) {
    struct sweep *s = ctx;
    const struct sim_command *command = s->command;
    struct scenario scenario;
    scenario_init(&scenario);
    mem_keep(KEPT_BYTES);
    uint64_t ticket;
    while ((ticket = io_worker_ticket(s->tickets)) <= command->last_seed - command->first_seed) {
        uint64_t seed = command->first_seed + ticket;
        struct message message;
        memset(&message, 0, sizeof message);
        message.begins = true;
        message.seed = seed;
        io_worker_tell(pipe, &message, sizeof message);
        struct world_options options = {.scenario = &scenario};
        struct world_result result;
        sim_draw(command, seed, &scenario);
        struct io_usage before = io_process_usage();
        world_run(&options, &result);
        sim_summarize(&message.summary, &result);
        world_result_release(&result);
        struct io_usage after = io_process_usage();
        message.summary.cpu_us = after.user_us + after.system_us - before.user_us - before.system_us;
        message.begins = false;
        io_worker_tell(pipe, &message, sizeof message);
        if (after.resident_bytes > RESIDENT_MAX) break;
    }
    scenario_release(&scenario);
}

static void start_worker(struct sweep *s, uint32_t index) {
    if (s->stopping || s->told > s->command->last_seed - s->command->first_seed) return;
    if (io_worker_start(&s->children[index], work, s, false) == STATUS_OK)
        s->alive++;
    else
        command_failed("sim", "no process can be made");
}

/* ---- what they tell ------------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t seed, uint64_t hash) {
    uint64_t h = (seed ^ hash * 0x9e3779b97f4a7c15U) * 0xbf58476d1ce4e5b9U;
    return h ^ h >> 31;
}

static void failed(struct sweep *s, uint64_t seed, const struct sim_summary *summary) {
    if (s->failed == 0 || seed < s->first_seed) {
        s->first = *summary;
        s->first_seed = seed;
    }
    s->failed++;
    if (s->command->keep_going) {
        printf("seed %" PRIu64 " failed: %s\n", seed, summary->failure);
        fflush(stdout);
    } else {
        s->stopping = true;
    }
}

static void take_result(struct sweep *s, uint32_t worker, const struct message *message) {
    const struct sim_summary *summary = &message->summary;
    struct worker *w = &s->workers[worker];
    w->running_seed = message->begins;
    w->seed = message->seed;
    s->told += message->begins;
    if (message->begins) return;
    s->runs++;
    s->events += summary->events;
    s->steps += summary->steps;
    s->simulated_ns += summary->simulated_ns;
    s->cpu_us += summary->cpu_us;
    s->acknowledged += summary->acknowledged;
    s->hash += mix(message->seed, summary->trace_hash); /* in whatever order they come */
    s->leader_ns_max = MAX(s->leader_ns_max, summary->leader_ns);
    s->equal_ns_max = MAX(s->equal_ns_max, summary->equal_ns);
    for (size_t i = 0; i < ACTION_KIND_END; i++)
        s->actions[i] += summary->actions[i];
    for (size_t i = 0; i < PROBE_COUNT; i++) {
        s->probes.hits[i] += summary->probes.hits[i];
        s->seeds_with.hits[i] += summary->probes.hits[i] != 0;
    }
    if (!summary->ok) failed(s, message->seed, summary);
}

static void show(struct sweep *s) {
    int64_t now_ms = io_system_wall_ms();
    bool terminal = io_is_terminal(2);
    if (s->command->quiet || now_ms - s->shown_ms < (terminal ? SHOW_MS : SHOW_LINE_MS)) return;
    s->shown_ms = now_ms;
    uint64_t total = s->command->last_seed - s->command->first_seed + 1, done = s->runs;
    char bar[31];
    for (uint64_t i = 0; i < 30; i++)
        bar[i] = i < done * 30 / MAX(total, (uint64_t)1) ? '#' : '.';
    bar[30] = '\0';
    double seconds = (double)(now_ms - s->started_ms + 1) / 1e3;
    fprintf(stderr, "%s[%s] %" PRIu64 " of %" PRIu64 " seeds, %.0f/s, %.0f x real time, %" PRIu64 " failed%s",
            terminal ? "\r" : "", bar, done, total, (double)done / seconds,
            (double)s->simulated_ns / 1e9 / seconds, s->failed, terminal ? " " : "\n");
}

static void worker_ended(struct sweep *s, uint32_t index) {
    struct worker *w = &s->workers[index];
    s->alive--;
    if (io_worker_end(&s->children[index], s->stopping)) {
        start_worker(s, index); /* where seeds are left */
        return;
    }
    struct sim_summary summary = {.died = true, .failed_at_ns = UINT64_MAX};
    snprintf(summary.failure, sizeof summary.failure, "ASSERT an assertion failed (printed above)");
    if (w->running_seed && !s->stopping) {
        s->runs++;
        failed(s, w->seed, &summary);
    }
    w->running_seed = false;
    start_worker(s, index);
}

/* ---- the summary --------------------------------------------------------------------------------------- */

static void print_probes(const struct sweep *s) {
    uint32_t missing = 0;
    for (uint32_t i = 0; i < PROBE_COUNT; i++)
        missing += s->probes.hits[i] == 0;
    printf("rare states: %u of %u reached", (unsigned)PROBE_COUNT - missing, (unsigned)PROBE_COUNT);
    const char *before = "; never: ";
    for (uint32_t i = 0; i < PROBE_COUNT; i++) {
        if (s->probes.hits[i] != 0) continue;
        printf("%s%s", before, probe_name((enum probe_id)i));
        before = ", ";
    }
    printf("\n");
    for (uint32_t i = 0; i < PROBE_COUNT && !s->command->quiet; i++)
        if (s->probes.hits[i] != 0)
            printf("  %10" PRIu64 " in %6" PRIu64 " seeds  %s\n", s->probes.hits[i], s->seeds_with.hits[i],
                   probe_text((enum probe_id)i));
}

static void print_actions(const struct sweep *s) {
    uint64_t faults = 0;
    for (uint32_t i = 0; i < ACTION_KIND_END; i++)
        if (action_is_fault((enum action_kind)i)) faults += s->actions[i];
    printf("%" PRIu64 " faults:", faults);
    for (uint32_t i = 0; i < ACTION_KIND_END; i++)
        if (action_is_fault((enum action_kind)i) && s->actions[i] != 0)
            printf(" %s %" PRIu64, action_kind_name((enum action_kind)i), s->actions[i]);
    printf("; operations:");
    for (uint32_t i = 0; i < ACTION_KIND_END; i++)
        if (action_is_operation((enum action_kind)i) && s->actions[i] != 0)
            printf(" %s %" PRIu64, action_kind_name((enum action_kind)i), s->actions[i]);
    printf("\n");
}

static void print_summary(const struct sweep *s) {
    double seconds = (double)(io_system_wall_ms() - s->started_ms + 1) / 1e3;
    printf("%" PRIu64 " seeds, %" PRIu64 " appends acknowledged, %" PRIu64 " events, %" PRIu64
           " steps of Raft; %.1f s simulated in %.1f s: %.0f x real time, %.0f x CPU time, %.0f events a CPU "
           "second, "
           "%.1f seeds/s\n",
           s->runs, s->acknowledged, s->events, s->steps, (double)s->simulated_ns / 1e9, seconds,
           (double)s->simulated_ns / 1e9 / seconds, (double)s->simulated_ns / 1e3 / (double)(s->cpu_us + 1),
           (double)s->events * 1e6 / (double)(s->cpu_us + 1), (double)s->runs / seconds);
    printf("after everything was mended: a leader within %.3f s, equal within %.3f s, at the most\n",
           (double)s->leader_ns_max / 1e9, (double)s->equal_ns_max / 1e9);
    print_actions(s);
    print_probes(s);
}

static void explain_first(struct sweep *s) {
    struct scenario scenario;
    scenario_init(&scenario);
    sim_draw(s->command, s->first_seed, &scenario);
    printf("failed: %s\nseed %" PRIu64, s->first.failure, s->first_seed);
    if (!s->first.died) printf(", after %.6f s", (double)s->first.failed_at_ns / 1e9);
    printf("\nreplay: sentinel sim --seed %" PRIu64, s->first_seed);
    sim_print_options(s->command, stdout);
    printf("\n");
    sim_explain(s->command, &scenario, &s->first);
    scenario_release(&scenario);
}

int sim_sweep(const struct sim_command *command) {
    struct sweep *s = mem_calloc(1, sizeof *s);
    s->command = command;
    s->tickets = io_worker_tickets_new();
    if (s->tickets == NULL) {
        mem_free(s);
        return command_failed("sim", "no memory can be shared");
    }
    s->started_ms = s->shown_ms = io_system_wall_ms();
    for (uint32_t i = 0; i < command->jobs; i++)
        start_worker(s, i);
    while (s->alive != 0) {
        struct message message;
        int index = io_worker_wait(s->children, command->jobs, 100);
        if (index >= 0 && io_worker_read(&s->children[index], &message, sizeof message))
            take_result(s, (uint32_t)index, &message);
        else if (index >= 0)
            worker_ended(s, (uint32_t)index);
        show(s);
        /* Seeds under way are let go. */
        for (uint32_t i = 0; s->stopping && i < command->jobs; i++)
            if (s->children[i].process != 0) worker_ended(s, i);
    }
    if (!command->quiet && io_is_terminal(2)) fprintf(stderr, "\r%100s\r", "");
    if (s->failed == 0 || command->keep_going) print_summary(s);
    if (s->failed != 0) {
        printf("%" PRIu64 " of %" PRIu64 " seeds failed\n", s->failed, s->runs);
        explain_first(s);
    } else {
        printf("every invariant held\n");
    }
    printf("trace hash: %016" PRIx64 "\n", s->hash);
    int status = s->failed == 0 ? 0 : 1;
    io_worker_tickets_free(s->tickets);
    mem_free(s);
    return status;
}
