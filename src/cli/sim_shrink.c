// SPDX-License-Identifier: Apache-2.0
/* A run that failed, once more in a process of its own for its log; and made small.
 *
 * Candidates are run by some workers side by side, every jobs-th by each. One that dies has met an assertion;
 * another goes on behind it. What may be spent is counted in CPU time, so that a busy machine takes longer
 * and comes to no worse an end. */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/sim_command.h"
#include "io/io.h"
#include "io/io_worker.h"
#include "sim/shrink.h"

#define SHRINK_CPU_US UINT64_C(60000000)
#define WORKERS_MAX   64
#define RUN_US_MIN    UINT64_C(2000000)  /* a candidate may cost so much, */
#define RUN_US_MAX    UINT64_C(15000000) /* or twice what the failure did, up to this */
#define WAIT_MS       100
#define RESIDENT_MAX  (256 * MIB) /* of a worker: what crashed brokers had is never freed */

static uint64_t own_cpu_us(void) {
    struct io_usage usage = io_process_usage();
    return usage.user_us + usage.system_us;
}

/* ---- one run, for its log ------------------------------------------------------------------------------ */

/* The child's side: summary, then the log as text. */
static void run_and_tell(void *ctx, struct io_worker_pipe *pipe) {
    struct world_options options = {.scenario = ctx};
    struct world_result result;
    struct sim_summary summary;
    struct writer text;
    world_run(&options, &result);
    sim_summarize(&summary, &result);
    summary.cpu_us = own_cpu_us();
    writer_init(&text);
    scenario_print(&text, &result.log);
    uint64_t size = text.size;
    io_worker_tell(pipe, &summary, sizeof summary);
    io_worker_tell(pipe, &size, sizeof size);
    io_worker_tell(pipe, text.data, text.size);
}

/* What an assertion prints is known already. */
static void run_isolated(const struct scenario *scenario, struct sim_summary *summary, struct scenario *log) {
    struct io_worker child;
    struct sim_summary got;
    uint64_t size = 0;
    *summary = (struct sim_summary){.died = true, .failed_at_ns = UINT64_MAX};
    snprintf(summary->failure, sizeof summary->failure, "ASSERT an assertion failed (see above)");
    if (io_worker_start(&child, run_and_tell, (void *)(uintptr_t)scenario, true) != STATUS_OK) return;
    if (io_worker_read(&child, &got, sizeof got) && io_worker_read(&child, &size, sizeof size)) {
        uint8_t *text = mem_alloc((size_t)size + 1);
        struct diagnostic why;
        if (io_worker_read(&child, text, (size_t)size)) *summary = got;
        if (scenario_parse(log, slice_make(text, (size_t)size), &why) != STATUS_OK)
            fprintf(stderr, "the log of the run cannot be read: %s\n", why.text);
        mem_free(text);
    }
    MAYBE(io_worker_end(&child, false));
}

/* ---- candidates, by workers ---------------------------------------------------------------------------- */

struct candidate_told {
    bool begins, fails; /* begins: it is run; else it is done */
    uint32_t index;
    uint64_t failed_at_ns, cpu_us; /* of the worker so far */
};
struct candidate_worker {
    uint32_t next; /* the first that it has not done */
    bool running;  /* that one */
    uint64_t cpu_us;
};
struct alone {
    struct shrink_candidates candidates;
    const struct scenario *scenario;
};
struct chase {
    const char *failure;
    uint32_t jobs;
    const struct shrink_candidates *candidates;
    struct io_worker processes[WORKERS_MAX];
    struct candidate_worker workers[WORKERS_MAX];
    uint32_t starting; /* index of the worker that is being made */
    uint32_t found;    /* the lowest candidate that fails */
    uint64_t found_failed_at_ns;
    uint64_t run_us_max; /* of one candidate */
    uint64_t cpu_us;     /* of workers that have ended */
    uint64_t runs;
};

/* "R7 leader completeness: ..." begins with the invariant. */
static bool same_failure(const struct chase *chase, const char *failure) {
    size_t size = strcspn(chase->failure, " ");
    return strcspn(failure, " ") == size && memcmp(failure, chase->failure, size) == 0;
}

static bool dies(const struct chase *chase) {
    return same_failure(chase, "ASSERT ");
}

/* A candidate may go on and on where the failure did not. */
struct candidate_limit {
    uint64_t until_us;
};

static bool costs_too_much(void *ctx) {
    return own_cpu_us() > ((const struct candidate_limit *)ctx)->until_us;
}

static void run_candidates(void *ctx, struct io_worker_pipe *pipe) {
    const struct chase *chase = ctx;
    struct scenario candidate; /* ends with the process */
    scenario_init(&candidate);
    uint32_t count = chase->candidates->count;
    for (uint32_t i = chase->workers[chase->starting].next; i < count; i += chase->jobs) {
        struct candidate_told told = {.begins = true, .index = i, .cpu_us = own_cpu_us()};
        if (!chase->candidates->make(chase->candidates, i, &candidate)) continue;
        io_worker_tell(pipe, &told, sizeof told);
        struct candidate_limit limit = {told.cpu_us + chase->run_us_max};
        struct world_options options = {.scenario = &candidate, .give_up = costs_too_much, .ctx = &limit};
        struct world_result result;
        world_run(&options, &result);
        told.begins = false;
        told.fails = !result.ok && same_failure(chase, result.failure);
        told.failed_at_ns = result.failed_at_ns;
        world_result_release(&result);
        told.cpu_us = own_cpu_us();
        io_worker_tell(pipe, &told, sizeof told);
        if (told.fails || io_process_usage().resident_bytes > RESIDENT_MAX) return;
    }
    struct candidate_told told = {.index = count, .cpu_us = own_cpu_us()};
    io_worker_tell(pipe, &told, sizeof told);
}

static uint32_t left(void *ctx) {
    const struct chase *chase = ctx;
    uint64_t spent_us = chase->cpu_us;
    for (uint32_t i = 0; i < chase->jobs; i++)
        spent_us += chase->workers[i].cpu_us;
    return spent_us >= SHRINK_CPU_US ? 0 : (uint32_t)((SHRINK_CPU_US - spent_us) * 1000 / SHRINK_CPU_US);
}

static void start(struct chase *chase, uint32_t index) {
    struct candidate_worker *worker = &chase->workers[index];
    if (worker->next >= chase->found || left(chase) == 0) return;
    chase->starting = index;
    worker->running = false;
    if (io_worker_start(&chase->processes[index], run_candidates, chase, true) != STATUS_OK)
        command_failed("sim", "no process can be made");
}

/* True: by itself, and in order. */
static bool end(struct chase *chase, uint32_t index, bool kill_it) {
    chase->cpu_us += chase->workers[index].cpu_us;
    chase->workers[index].cpu_us = 0;
    return io_worker_end(&chase->processes[index], kill_it);
}

static void fails(struct chase *chase, uint32_t candidate, uint64_t failed_at_ns) {
    if (candidate >= chase->found) return;
    chase->found = candidate;
    chase->found_failed_at_ns = failed_at_ns;
}

static void listen(struct chase *chase, uint32_t index) {
    struct candidate_worker *worker = &chase->workers[index];
    struct candidate_told told;
    if (io_worker_read(&chase->processes[index], &told, sizeof told)) {
        worker->next = told.begins ? told.index : told.index + chase->jobs;
        worker->running = told.begins;
        worker->cpu_us = told.cpu_us;
        chase->runs += told.begins;
        if (told.fails) fails(chase, told.index, told.failed_at_ns);
        return;
    }
    bool died = !end(chase, index, false) && worker->running;
    if (died && dies(chase)) fails(chase, worker->next, UINT64_MAX);
    if (died) worker->next += chase->jobs;
    start(chase, index);
}

static uint32_t first_failing(void *ctx, const struct shrink_candidates *candidates, uint64_t *failed_at_ns) {
    struct chase *chase = ctx;
    chase->candidates = candidates;
    chase->found = candidates->count;
    for (uint32_t i = 0; i < chase->jobs; i++) {
        chase->workers[i].next = i;
        start(chase, i);
    }
    for (bool any = true; any;) {
        int index = io_worker_wait(chase->processes, chase->jobs, WAIT_MS);
        if (index >= 0) listen(chase, (uint32_t)index);
        any = false;
        for (uint32_t i = 0; i < chase->jobs; i++) {
            if (chase->processes[i].process == 0) continue;
            /* Who is beyond the one that was found has nothing more to say. */
            if (chase->workers[i].next > chase->found || left(chase) == 0) (void)end(chase, i, true);
            any = any || chase->processes[i].process != 0;
        }
    }
    *failed_at_ns = chase->found == candidates->count ? UINT64_MAX : chase->found_failed_at_ns;
    return chase->found;
}

/* ---- a failure, small ---------------------------------------------------------------------------------- */

static void print_scenario(const struct scenario *scenario, const char *path) {
    struct writer text;
    writer_init(&text);
    scenario_print(&text, scenario);
    printf("---- as a scenario ----\n%.*s-----------------------\n", (int)text.size, (const char *)text.data);
    if (path != NULL && !sim_write(path, writer_slice(&text)))
        command_failed("sim", "cannot write '%s'", path);
    else if (path != NULL)
        printf("again: sentinel sim --scenario %s --report run.html\n", path);
    writer_release(&text);
}

static bool itself(const struct shrink_candidates *candidates, uint32_t index, struct scenario *candidate) {
    ASSERT(index == 0);
    scenario_copy(candidate, CONTAINER_OF(candidates, const struct alone, candidates)->scenario);
    return true;
}

static bool still_fails(struct chase *chase, const struct scenario *scenario, uint64_t *failed_at_ns) {
    struct alone alone = {{1, itself}, scenario};
    return first_failing(chase, &alone.candidates, failed_at_ns) == 0;
}

void sim_explain(const struct sim_command *command, const struct scenario *scenario,
                 const struct sim_summary *summary) {
    struct scenario log, small_log;
    struct sim_summary again;
    if (command->as_it_is) return;
    scenario_init(&log);
    scenario_init(&small_log);
    run_isolated(scenario, &again, &log);
    struct action until = {.at_ns = again.failed_at_ns, .kind = ACTION_WAIT, .count = 1, .a = NS_PER_MS};
    if (log.count != 0 && log.actions[log.count - 1].kind != ACTION_CONVERGE) scenario_add(&log, &until);
    struct chase *chase = mem_calloc(1, sizeof *chase);
    chase->failure = summary->failure;
    chase->jobs = MIN(command->jobs, WORKERS_MAX);
    chase->run_us_max = MIN(MAX(2 * again.cpu_us, RUN_US_MIN), RUN_US_MAX);
    struct shrink shrink = {
        .first_failing = first_failing, .left = left, .ctx = chase, .failed_at_ns = UINT64_MAX};
    /* What was really done, with nodes instead of roles; else what was planned. */
    if (log.count == 0 || !still_fails(chase, &log, &shrink.failed_at_ns)) {
        scenario_copy(&log, scenario);
        shrink.failed_at_ns = summary->failed_at_ns;
    }
    uint32_t before = log.count;
    shrink_scenario(&shrink, &log);
    printf("made small: %u of %u actions, in %" PRIu64 " runs and %.1f s of CPU time\n", log.count, before,
           chase->runs, (double)chase->cpu_us / 1e6);
    run_isolated(&log, &again, &small_log);
    if (!same_failure(chase, again.failure))
        command_failed("sim", "what was made small fails otherwise: %s", again.failure);
    snprintf(log.title, sizeof log.title, "%.190s", again.failure);
    print_scenario(&log, command->save_path);
    scenario_release(&small_log);
    mem_free(chase);
    scenario_release(&log);
}
