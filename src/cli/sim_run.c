// SPDX-License-Identifier: Apache-2.0
/* One run, in a process of its own; a failure made small and shown. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/sim_command.h"
#include "io/io.h"
#include "io/io_worker.h"
#include "sim/report.h"
#include "sim/shrink.h"

#define SHRINK_RUNS_MAX 10000
#define SHRINK_MS_MAX   60000

void sim_summarize(struct sim_summary *summary, const struct world_result *result) {
    *summary = (struct sim_summary){.ok = result->ok,
                                    .failed_at_ns = result->failed_at_ns,
                                    .trace_hash = result->trace_hash,
                                    .events = result->events,
                                    .simulated_ns = result->simulated_ns,
                                    .steps = result->steps,
                                    .acknowledged = result->acknowledged,
                                    .leader_ns = result->leader_ns,
                                    .equal_ns = result->equal_ns,
                                    .probes = result->probes};
    memcpy(summary->failure, result->failure, sizeof summary->failure);
    memcpy(summary->actions, result->actions, sizeof summary->actions);
}

void sim_draw(const struct sim_command *command, uint64_t seed, struct scenario *scenario) {
    struct plan_options options = {.seed = seed,
                                   .nodes = command->nodes,
                                   .duration_ns = command->duration_ns,
                                   .faults = command->faults,
                                   .workload = command->workload};
    plan_draw(&options, scenario);
}

void sim_print_options(const struct sim_command *command, FILE *to) {
    if (command->nodes != 0) fprintf(to, " --nodes %u", command->nodes);
    if (command->duration_ns != 0)
        fprintf(to, " --duration %" PRIu64, command->duration_ns / UINT64_C(1000000000));
    if (strcmp(command->faults_text, "all") != 0) fprintf(to, " --faults %s", command->faults_text);
    if (strcmp(command->workload, "raft") != 0) fprintf(to, " --workload %s", command->workload);
}

/* ---- in a process of its own --------------------------------------------------------------------------- */

/* The child's side: summary, then the log as text. */
static void run_and_tell(void *ctx, struct io_worker_pipe *pipe) {
    struct world_options options = {.scenario = ctx};
    struct world_result result;
    struct sim_summary summary;
    struct writer text;
    world_run(&options, &result);
    sim_summarize(&summary, &result);
    writer_init(&text);
    scenario_print(&text, &result.log);
    uint64_t size = text.size;
    io_worker_tell(pipe, &summary, sizeof summary);
    io_worker_tell(pipe, &size, sizeof size);
    io_worker_tell(pipe, text.data, text.size);
}

/* `silent`: what an assertion prints is known already. `log` may be NULL. */
static void run_isolated(const struct scenario *scenario, bool silent, struct sim_summary *summary,
                         struct scenario *log) {
    struct io_worker child;
    struct sim_summary got;
    uint64_t size = 0;
    *summary = (struct sim_summary){.died = true, .failed_at_ns = UINT64_MAX};
    snprintf(summary->failure, sizeof summary->failure, "ASSERT an assertion failed (see above)");
    if (io_worker_start(&child, run_and_tell, (void *)(uintptr_t)scenario, silent) != STATUS_OK) return;
    if (io_worker_read(&child, &got, sizeof got) && io_worker_read(&child, &size, sizeof size)) {
        uint8_t *text = mem_alloc((size_t)size + 1);
        struct diagnostic why;
        if (io_worker_read(&child, text, (size_t)size)) *summary = got;
        if (log != NULL && scenario_parse(log, slice_make(text, (size_t)size), &why) != STATUS_OK)
            fprintf(stderr, "the log of the run cannot be read: %s\n", why.text);
        mem_free(text);
    }
    MAYBE(io_worker_end(&child, false));
}

/* ---- failures ------------------------------------------------------------------------------------------ */

/* "R7 leader completeness: ..." begins with the invariant. */
static size_t invariant_size(const char *failure) {
    return strcspn(failure, " ");
}

struct chase {
    const char *failure;
    uint64_t until_ms;
};

static bool still_fails(void *ctx, const struct scenario *scenario, uint64_t *failed_at_ns) {
    const struct chase *chase = ctx;
    struct sim_summary summary;
    if ((uint64_t)io_system_wall_ms() > chase->until_ms) return false;
    run_isolated(scenario, true, &summary, NULL);
    *failed_at_ns = summary.failed_at_ns;
    size_t size = invariant_size(chase->failure);
    return !summary.ok && invariant_size(summary.failure) == size &&
           memcmp(summary.failure, chase->failure, size) == 0;
}

static void print_scenario(const struct scenario *scenario, const char *path) {
    struct writer text;
    writer_init(&text);
    scenario_print(&text, scenario);
    printf("---- as a scenario ----\n%.*s-----------------------\n", (int)text.size, (const char *)text.data);
    FILE *file = path == NULL ? NULL : fopen(path, "w");
    if (path != NULL && (file == NULL || fwrite(text.data, 1, text.size, file) != text.size))
        command_failed("sim", "cannot write '%s'", path);
    if (file != NULL) {
        fclose(file);
        printf("again: sentinel sim --scenario %s --report run.html\n", path);
    }
    writer_release(&text);
}

void sim_explain(const struct sim_command *command, const struct scenario *scenario,
                 const struct sim_summary *summary) {
    struct scenario log;
    struct sim_summary again;
    scenario_init(&log);
    run_isolated(scenario, true, &again, &log);
    struct action until = {.at_ns = again.failed_at_ns, .kind = ACTION_WAIT, .count = 1, .a = NS_PER_MS};
    if (log.count != 0 && log.actions[log.count - 1].kind != ACTION_CONVERGE) scenario_add(&log, &until);
    struct chase chase = {summary->failure, (uint64_t)io_system_wall_ms() + SHRINK_MS_MAX};
    struct shrink shrink = {
        .fails = still_fails, .ctx = &chase, .failed_at_ns = UINT64_MAX, .runs_max = SHRINK_RUNS_MAX};
    /* What was really done, with nodes instead of roles; else what was planned. */
    if (log.count == 0 || !still_fails(&chase, &log, &shrink.failed_at_ns)) {
        scenario_copy(&log, scenario);
        shrink.failed_at_ns = summary->failed_at_ns;
    }
    uint32_t before = log.count;
    if (!command->as_it_is) {
        shrink_scenario(&shrink, &log);
        printf("made small: %u of %u actions, in %u runs\n", log.count, before, shrink.runs);
        snprintf(log.title, sizeof log.title, "%.190s", summary->failure);
        print_scenario(&log, command->save_path);
    }
    scenario_release(&log);
}

/* ---- one run ------------------------------------------------------------------------------------------- */

static void write_trace(void *ctx, const char *line) {
    fprintf(ctx, "%s\n", line);
}

static bool write_text(const char *path, struct slice text) {
    FILE *file = fopen(path, "w");
    bool ok = file != NULL && fwrite(text.data, 1, text.size, file) == text.size;
    return (file == NULL || fclose(file) == 0) && ok;
}

static int write_outcome(const struct sim_command *command, const struct scenario *scenario,
                         const struct recording *record, const struct world_result *result) {
    struct writer text;
    int status = 0;
    writer_init(&text);
    if (command->report_path != NULL) {
        report_print(&text, record, scenario, result);
        if (!write_text(command->report_path, writer_slice(&text)))
            status = command_failed("sim", "cannot write '%s'", command->report_path);
    }
    writer_clear(&text);
    if (command->log_path != NULL) {
        scenario_print(&text, &result->log);
        if (!write_text(command->log_path, writer_slice(&text)))
            status = command_failed("sim", "cannot write '%s'", command->log_path);
    }
    writer_release(&text);
    return status;
}

int sim_one(const struct sim_command *command, struct scenario *scenario) {
    struct recording record;
    struct world_options options = {.scenario = scenario};
    struct world_result result;
    FILE *trace = NULL;
    if (command->trace_path != NULL && (trace = fopen(command->trace_path, "w")) == NULL)
        return command_failed("sim", "cannot write '%s'", command->trace_path);
    if (trace != NULL) {
        options.trace = write_trace;
        options.ctx = trace;
    }
    record_init(&record);
    if (command->report_path != NULL) options.record = &record;
    int64_t started_ms = io_system_wall_ms();
    world_run(&options, &result);
    double seconds = (double)(io_system_wall_ms() - started_ms + 1) / 1e3;
    if (trace != NULL) fclose(trace);
    int status = write_outcome(command, scenario, &record, &result);
    record_release(&record);
    struct sim_summary summary;
    sim_summarize(&summary, &result);
    if (result.ok) {
        printf("%u nodes, %u actions, %" PRIu64 " appends acknowledged, %" PRIu64
               " events, %.1f s simulated in %.2f s: every invariant held\n",
               scenario->nodes, result.log.count, result.acknowledged, result.events,
               (double)result.simulated_ns / 1e9, seconds);
    } else {
        printf("failed: %s\nseed %" PRIu64 ", after %.6f s\n", result.failure, scenario->seed,
               (double)result.failed_at_ns / 1e9);
        if (command->scenario_path == NULL) {
            printf("replay: sentinel sim --seed %" PRIu64, scenario->seed);
            sim_print_options(command, stdout);
            printf("\n");
            sim_explain(command, scenario, &summary);
        }
        status = 1;
    }
    printf("trace hash: %016" PRIx64 "\n", result.trace_hash);
    world_result_release(&result);
    return status;
}
