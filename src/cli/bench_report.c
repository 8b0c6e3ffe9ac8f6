// SPDX-License-Identifier: Apache-2.0
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/bench.h"
#include "cli/commands.h"
#include "cli/json.h"

void bench_report_init(struct bench_report *report, const char *benchmark) {
    memset(report, 0, sizeof *report);
    report->benchmark = benchmark;
    report->system_count = 1;
    snprintf(report->systems[0], BENCH_NAME_SIZE, "sentinel");
}

static bool less_is_better(const char *unit) {
    static const char *const units[] = {"s/GiB", "us", "ms", "s", "x", "MiB", "KiB"};
    for (unsigned i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(unit, units[i]) == 0) return true;
    return false;
}

static void add(struct bench_report *report, uint32_t system, const char *name, double value,
                const char *unit) {
    uint32_t i = 0;
    while (i < report->row_count && strcmp(report->rows[i].name, name) != 0)
        i++;
    if (i == BENCH_ROWS_MAX) return;
    struct bench_row *row = &report->rows[i];
    if (i == report->row_count) {
        report->row_count++;
        snprintf(row->name, sizeof row->name, "%s", name);
        snprintf(row->unit, sizeof row->unit, "%s", unit);
        row->less_is_better = less_is_better(unit);
        for (uint32_t s = 0; s < BENCH_SYSTEMS_MAX; s++)
            row->values[s] = -1;
    }
    row->values[system] = value;
}

void bench_report_add(struct bench_report *report, const char *name, double value, const char *unit) {
    ASSERT(report->row_count < BENCH_ROWS_MAX);
    add(report, 0, name, value, unit);
}

/* Appends `text` as one word for the shell. */
static void append_quoted(char *command, size_t size, const char *text) {
    size_t used = strlen(command);
    if (used + 4 * strlen(text) + 4 > size) return;
    command[used++] = ' ';
    command[used++] = '\'';
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            memcpy(command + used, "'\\''", 4);
            used += 4;
        } else {
            command[used++] = *text;
        }
    }
    command[used++] = '\'';
    command[used] = '\0';
}

static void run_peer(struct bench_report *report, const char *path, const char *name, int argc, char **argv) {
    if (report->system_count == BENCH_SYSTEMS_MAX) return;
    char command[8192] = "";
    append_quoted(command, sizeof command, path);
    for (int i = 1; i < argc; i++)
        append_quoted(command, sizeof command, argv[i]);
    fprintf(stderr, "running %s ...\n", name);
    FILE *pipe = popen(command, "r");
    if (pipe == NULL) return;
    uint32_t system = report->system_count++;
    snprintf(report->systems[system], BENCH_NAME_SIZE, "%s", name);
    char line[512];
    while (fgets(line, sizeof line, pipe) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *value = strchr(line, '\t'), *unit = value == NULL ? NULL : strchr(value + 1, '\t');
        if (line[0] == '#' || unit == NULL) {
            fprintf(stderr, "  %s\n", line);
            continue;
        }
        *value++ = *unit++ = '\0';
        add(report, system, line, strtod(value, NULL), unit);
    }
    if (pclose(pipe) != 0) {
        command_failed("bench", "the peer program '%s' failed; its figures are left out", path);
        for (uint32_t i = 0; i < report->row_count; i++)
            report->rows[i].values[system] = -1;
        report->system_count--;
    }
}

void bench_report_peers(struct bench_report *report, int argc, char **argv) {
    char program[PATH_MAX], pattern[PATH_MAX + 2 * BENCH_NAME_SIZE];
    if (realpath("/proc/self/exe", program) == NULL) return;
    *strrchr(program, '/') = '\0';
    snprintf(pattern, sizeof pattern, "%s/peers/*_%s", program, report->benchmark);
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0) {
        fprintf(stderr, "no peer was built for '%s': bench/peers/ says which packages they need\n",
                report->benchmark);
        return;
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *name = strrchr(found.gl_pathv[i], '/') + 1;
        char system[BENCH_NAME_SIZE];
        snprintf(system, sizeof system, "%.*s", (int)(strlen(name) - strlen(report->benchmark) - 1), name);
        run_peer(report, found.gl_pathv[i], system, argc, argv);
    }
    globfree(&found);
}

static double ratio(const struct bench_row *row, uint32_t system) {
    double ours = row->values[0], theirs = row->values[system];
    if (ours <= 0 || theirs <= 0) return -1;
    return row->less_is_better ? theirs / ours : ours / theirs;
}

static void print_number(double value, int width) {
    if (value < 0)
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, value < 10 ? 2 : value < 1000 ? 1 : 0, value);
}

static void print_table(const struct bench_report *report) {
    printf("%-44s %-6s", report->benchmark, "unit");
    for (uint32_t s = 0; s < report->system_count; s++) {
        printf(" %12.12s", report->systems[s]);
        if (s > 0) printf(" %7s", "ratio");
    }
    printf("\n");
    for (uint32_t i = 0; i < report->row_count; i++) {
        const struct bench_row *row = &report->rows[i];
        printf("%-44s %-6s", row->name, row->unit);
        for (uint32_t s = 0; s < report->system_count; s++) {
            print_number(row->values[s], 12);
            if (s > 0) print_number(ratio(row, s), 7);
        }
        printf("\n");
    }
    if (report->system_count > 1) printf("ratio: above 1, Sentinel is better\n");
}

static void print_json(const struct bench_report *report) {
    printf("{\"benchmark\":\"%s\",\"rows\":[", report->benchmark);
    for (uint32_t i = 0; i < report->row_count; i++) {
        const struct bench_row *row = &report->rows[i];
        printf("%s{\"name\":", i == 0 ? "" : ",");
        json_print_text(stdout, row->name, strlen(row->name));
        printf(",\"unit\":\"%s\",\"values\":{", row->unit);
        bool first = true;
        for (uint32_t s = 0; s < report->system_count; s++) {
            if (row->values[s] < 0) continue;
            printf("%s\"%s\":%.9g", first ? "" : ",", report->systems[s], row->values[s]);
            first = false;
        }
        printf("}}");
    }
    printf("]}\n");
}

void bench_report_print(const struct bench_report *report, bool json) {
    if (json)
        print_json(report);
    else
        print_table(report);
}
