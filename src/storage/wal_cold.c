// SPDX-License-Identifier: Apache-2.0
#include "storage/wal_cold.h"

#include <string.h>

void wal_cold_init(struct wal_cold *cold, struct io *io, const char *dir, void (*changed)(void *ctx),
                   void *ctx) {
    *cold = (struct wal_cold){.io = io, .dir = dir, .changed = changed, .ctx = ctx};
}

static void run(struct io_job *job) {
    struct wal_cold *cold = CONTAINER_OF(job, struct wal_cold, job);
    struct io_file *file = NULL;
    for (uint32_t i = 0; i < cold->told_count; i++) {
        const struct wal_cold_range *range = &cold->told[i];
        if (i == 0 || range->file_number != cold->told[i - 1].file_number) {
            if (file != NULL) io_file_close(file);
            struct layout_path path = layout_path(cold->dir, LAYOUT_LOG, range->file_number);
            if (io_file_open(cold->io, path.text, IO_OPEN_READ, &file) != STATUS_OK) file = NULL;
        }
        if (file != NULL) io_file_drop_cache(file, range->offset, range->size);
    }
    if (file != NULL) io_file_close(file);
}

static void start(struct wal_cold *cold);

static void done(struct io_job *job) {
    struct wal_cold *cold = CONTAINER_OF(job, struct wal_cold, job);
    cold->running = false;
    start(cold);
    cold->changed(cold->ctx);
}

static void start(struct wal_cold *cold) {
    bool due = cold->gathered_bytes >= WAL_COLD_BYTES || cold->gathered_count == WAL_COLD_RANGES;
    if (cold->running || !due) return;
    memcpy(cold->told, cold->gathered, cold->gathered_count * sizeof *cold->told);
    cold->told_count = cold->gathered_count;
    cold->gathered_count = 0;
    cold->gathered_bytes = 0;
    cold->running = true;
    cold->job = (struct io_job){.run = run, .done = done};
    io_job_start(cold->io, &cold->job);
}

void wal_cold_add(struct wal_cold *cold, uint64_t file_number, uint64_t offset, uint64_t size) {
    if (cold->gathered_count == WAL_COLD_RANGES) return;
    cold->gathered[cold->gathered_count++] = (struct wal_cold_range){file_number, offset, size};
    cold->gathered_bytes += size;
    start(cold);
}
