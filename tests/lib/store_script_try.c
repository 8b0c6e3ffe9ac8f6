// SPDX-License-Identifier: Apache-2.0
/* Scripts in child processes, and how the failing ones become short. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "lib/store_script.h"
#include "lib/test.h"

#define PATIENCE_S  60u /* for a seed among many */
#define EXIT_FAILED 3

/* What the child wants known, in memory that both share. */
struct report {
    uint64_t seed;
    char what[96];
};

static void child_failed(struct store_model *model, const char *what) {
    struct report *report = model->ctx;
    snprintf(report->what, sizeof report->what, "%s", what);
    fflush(NULL);
    _exit(EXIT_FAILED);
}

static void child_run(const struct store_script *script, struct report *report, unsigned patience_s) {
    report->seed = script->seed;
    alarm(patience_s);
    store_script_run(script, child_failed, report);
}

static void be_quiet(void) {
    int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere < 0) _exit(EXIT_FAILED);
    dup2(nowhere, 1);
    dup2(nowhere, 2);
}

static struct store_script_result wait_for_child(pid_t child, struct report *report) {
    int status = 0;
    while (waitpid(child, &status, 0) != child)
        continue;
    struct store_script_result result = {.held = WIFEXITED(status) && WEXITSTATUS(status) == 0,
                                         .seed = report->seed};
    if (!result.held && WIFSIGNALED(status))
        snprintf(result.what, sizeof result.what, "the program ended with signal %d", WTERMSIG(status));
    else if (!result.held)
        snprintf(result.what, sizeof result.what, "%s",
                 report->what[0] != 0 ? report->what : "the program ended by itself");
    munmap(report, sizeof *report);
    return result;
}

static struct report *share_report(void) {
    struct report *report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                                 0);
    ASSERT(report != MAP_FAILED);
    fflush(NULL); /* or the child would print it again */
    return report;
}

struct store_script_result store_script_try_seeds(uint64_t first, uint64_t count, bool forgetful,
                                                  bool quiet) {
    struct report *report = share_report();
    pid_t child = fork();
    ASSERT(child >= 0);
    if (child > 0) return wait_for_child(child, report);
    if (quiet) be_quiet();
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct store_script script;
        store_script_init(&script);
        store_script_draw(&script, seed);
        script.forgetful = forgetful;
        child_run(&script, report, PATIENCE_S);
        store_script_release(&script);
    }
    _exit(0);
}

struct store_script_result store_script_try(const struct store_script *script, bool quiet) {
    struct report *report = share_report();
    pid_t child = fork();
    ASSERT(child >= 0);
    if (child > 0) return wait_for_child(child, report);
    if (quiet) be_quiet();
    child_run(script, report, PATIENCE_S / 4);
    _exit(0);
}

/* ---- shrinking --------------------------------------------------------------------------------------- */

struct shrink {
    struct store_script *script;
    const char *what;
    size_t attempts;
};

/* Keeps `trial` instead of the script when it still fails in the same way. */
static bool keep(struct shrink *shrink, const struct store_script_op *ops, size_t count) {
    if (shrink->attempts == 0) return false;
    shrink->attempts--;
    struct store_script trial = *shrink->script;
    trial.ops = (struct store_script_op *)(uintptr_t)ops;
    trial.count = count;
    struct store_script_result result = store_script_try(&trial, true);
    if (result.held || strcmp(result.what, shrink->what) != 0) return false;
    memcpy(shrink->script->ops, ops, count * sizeof *ops);
    shrink->script->count = count;
    return true;
}

/* Leaves out stretches, large ones first. */
static void leave_out_ops(struct shrink *shrink, struct store_script_op *trial) {
    struct store_script *script = shrink->script;
    for (size_t size = MAX(script->count / 2, (size_t)1); size > 0 && shrink->attempts > 0;) {
        bool shorter = false;
        for (size_t at = 0; at < script->count && shrink->attempts > 0;) {
            size_t cut = MIN(size, script->count - at);
            memcpy(trial, script->ops, at * sizeof *trial);
            memcpy(trial + at, script->ops + at + cut, (script->count - at - cut) * sizeof *trial);
            if (keep(shrink, trial, script->count - cut))
                shorter = true;
            else
                at += size;
        }
        if (size == 1 && !shorter) break;
        size = MAX(size / 2, (size_t)1);
    }
}

static void leave_out_changes(struct shrink *shrink, struct store_script_op *trial) {
    struct store_script *script = shrink->script;
    for (size_t i = 0; i < script->count; i++) {
        for (uint32_t c = 0; c < script->ops[i].change_count && script->ops[i].change_count > 1;) {
            memcpy(trial, script->ops, script->count * sizeof *trial);
            struct store_script_op *op = &trial[i];
            memmove(op->changes + c, op->changes + c + 1, (--op->change_count - c) * sizeof *op->changes);
            if (!keep(shrink, trial, script->count)) c++;
        }
    }
}

void store_script_shrink(struct store_script *script, const char *what, size_t attempts_max) {
    struct shrink shrink = {.script = script, .what = what, .attempts = attempts_max};
    struct store_script_op *trial = mem_alloc(MAX(script->count, (size_t)1) * sizeof *trial);
    size_t before;
    do {
        before = script->count;
        leave_out_ops(&shrink, trial);
        leave_out_changes(&shrink, trial);
    } while (script->count < before && shrink.attempts > 0);
    mem_free(trial);
}
