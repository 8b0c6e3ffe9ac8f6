// SPDX-License-Identifier: Apache-2.0
/* progress.h: how far a long command is: one line on standard error, redrawn, and only on a terminal. */
#ifndef SENTINEL_CLI_PROGRESS_H
#define SENTINEL_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    int64_t started_ms, shown_ms;
    uint32_t calls;
    bool visible, drawn;
};
void progress_begin(struct progress *progress, bool wanted);
int64_t progress_elapsed_ms(const struct progress *progress);
void progress_show(struct progress *progress, uint64_t records, uint64_t bytes); /* cheap to call often */
void progress_end(struct progress *progress);                                    /* clears the line */
/* "produced 1000 records, 1.0 MB in 0.10 s (10000 records/s)" on standard error. */
void progress_summary(const struct progress *progress, const char *verb, uint64_t records, uint64_t bytes);

#endif
