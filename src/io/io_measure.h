// SPDX-License-Identifier: Apache-2.0
/* io_measure.h: what benchmarks ask the system: clocks, what this process used, scratch directories.
 *
 * Stands alone, so that peer programs (bench/peers) can be built with it; nothing in the broker uses it.
 *
 * Units   seconds as double, bytes. Errors: false, or 0 where the system does not say. Loop: any thread. */
#ifndef SENTINEL_IO_IO_MEASURE_H
#define SENTINEL_IO_IO_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

double io_measure_seconds(void);           /* monotonic */
double io_measure_cpu_seconds(void);       /* user and system time of all threads */
double io_measure_thread_seconds(void);    /* of this one */
uint64_t io_measure_written_bytes(void);   /* given to write calls (wchar of /proc/self/io) */
uint64_t io_measure_anonymous_bytes(void); /* resident, without files */
void io_measure_pause(void);               /* 10 ms */

bool io_measure_make_dir(const char *dir);   /* true also when it is there; then everything dirty is synced */
bool io_measure_make_scratch(char *dir);     /* fills in the XXXXXX at its end */
void io_measure_remove_dir(const char *dir); /* with everything in it */
uint64_t io_measure_disk_bytes(const char *dir);  /* that its files take on disk */
void io_measure_drop_page_cache(const char *dir); /* of its files, after a sync */
double io_measure_read_files(const char *dir);    /* reads them one after the other: bytes a second */
/* Writes a file in `dir`, IO_MEASURE_PIECE at a time, each made durable before the next, and removes it: bytes
 * a second. */
#define IO_MEASURE_PIECE ((uint64_t)3584 * 1024)
double io_measure_synced_writes(const char *dir, uint64_t bytes);
/* Runs `run` in a child process that then ends without any tidying up; true when it got to its end. */
bool io_measure_in_child(void (*run)(void *ctx), void *ctx);

#endif
