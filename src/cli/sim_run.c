// SPDX-License-Identifier: Apache-2.0
/* One run, and what is written about it. */
#include <inttypes.h>
#include <string.h>

#include "base/units.h"
#include "cli/commands.h"
#include "cli/sim_command.h"
#include "io/io.h"
#include "sim/report.h"

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
    if (command->duration_ns != 0) fprintf(to, " --duration %" PRIu64, command->duration_ns / NS_PER_S);
    if (strcmp(command->faults_text, "all") != 0) fprintf(to, " --faults %s", command->faults_text);
    if (strcmp(command->workload, "raft") != 0) fprintf(to, " --workload %s", command->workload);
}

/* ---- one run ------------------------------------------------------------------------------------------- */

static void write_trace(void *ctx, const char *line) {
    fprintf(ctx, "%s\n", line);
}

bool sim_write(const char *path, struct slice text) {
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
        if (!sim_write(command->report_path, writer_slice(&text)))
            status = command_failed("sim", "cannot write '%s'", command->report_path);
    }
    writer_clear(&text);
    if (command->log_path != NULL) {
        scenario_print(&text, &result->log);
        if (!sim_write(command->log_path, writer_slice(&text)))
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
        }
        if (command->scenario_path == NULL || command->save_path != NULL)
            sim_explain(command, scenario, &summary);
        status = 1;
    }
    printf("trace hash: %016" PRIx64 "\n", result.trace_hash);
    world_result_release(&result);
    return status;
}
