// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <stdio.h>

#include "base/units.h"
#include "io/io.h"

#define REDRAW_MS 100

void progress_begin(struct progress *progress, bool wanted) {
    *progress = (struct progress){.started_ms = io_system_wall_ms(), .visible = wanted && io_is_terminal(2)};
}

int64_t progress_elapsed_ms(const struct progress *progress) {
    return io_system_wall_ms() - progress->started_ms;
}

void progress_show(struct progress *progress, uint64_t records, uint64_t bytes) {
    if (!progress->visible || (++progress->calls & 255) != 0) return;
    int64_t now_ms = io_system_wall_ms();
    if (now_ms - progress->shown_ms < REDRAW_MS) return;
    progress->shown_ms = now_ms;
    progress->drawn = true;
    fprintf(stderr, "\r%12llu records  %10.1f MB  %5.1f s", (unsigned long long)records, (double)bytes / 1e6,
            (double)(now_ms - progress->started_ms) / 1e3);
    fflush(stderr);
}

void progress_end(struct progress *progress) {
    if (progress->drawn) fprintf(stderr, "\r%60s\r", "");
    progress->drawn = false;
}

void progress_summary(const struct progress *progress, const char *verb, uint64_t records, uint64_t bytes) {
    double seconds = (double)MAX(progress_elapsed_ms(progress), (int64_t)1) / 1e3;
    fprintf(stderr, "%s %llu record%s, %.1f MB in %.2f s (%.0f records/s, %.1f MB/s)\n", verb,
            (unsigned long long)records, records == 1 ? "" : "s", (double)bytes / 1e6, seconds,
            (double)records / seconds, (double)bytes / 1e6 / seconds);
}
