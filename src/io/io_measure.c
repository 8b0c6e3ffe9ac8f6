// SPDX-License-Identifier: Apache-2.0
#include "io/io_measure.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double io_measure_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double io_measure_cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

double io_measure_thread_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The number behind `name` in a file of /proc; 0 when it is not there. */
static uint64_t proc_number(const char *path, const char *name) {
    char line[256];
    uint64_t number = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0) number = strtoull(line + strlen(name), NULL, 10);
    fclose(file);
    return number;
}

uint64_t io_measure_written_bytes(void) {
    return proc_number("/proc/self/io", "wchar:");
}

uint64_t io_measure_anonymous_bytes(void) {
    return proc_number("/proc/self/status", "RssAnon:") * 1024;
}

void io_measure_pause(void) {
    nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
}

/* ---- directories ------------------------------------------------------------------------------------- */

bool io_measure_make_dir(const char *dir) {
    bool made = mkdir(dir, 0755) == 0;
    sync(); /* what was written before is not the next case's to wait for */
    struct stat info;
    return made || (stat(dir, &info) == 0 && S_ISDIR(info.st_mode));
}

bool io_measure_make_scratch(char *dir) {
    return mkdtemp(dir) != NULL;
}

/* Calls `visit` for every name in `dir` but "." and "..", with its whole path. */
static void each_file(const char *dir, void (*visit)(const char *path, uint64_t *sum), uint64_t *sum) {
    DIR *handle = opendir(dir);
    if (handle == NULL) return;
    struct dirent *entry;
    char path[4096];
    while ((entry = readdir(handle)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        visit(path, sum);
    }
    closedir(handle);
}

static void remove_one(const char *path, uint64_t *sum) {
    (void)sum;
    if (unlink(path) != 0) io_measure_remove_dir(path);
}

void io_measure_remove_dir(const char *dir) {
    each_file(dir, remove_one, NULL);
    rmdir(dir);
}

static void add_blocks(const char *path, uint64_t *sum) {
    struct stat info;
    if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) *sum += (uint64_t)info.st_blocks * 512;
}

uint64_t io_measure_disk_bytes(const char *dir) {
    uint64_t bytes = 0;
    each_file(dir, add_blocks, &bytes);
    return bytes;
}

static void drop_one(const char *path, uint64_t *sum) {
    (void)sum;
    int descriptor = open(path, O_RDONLY);
    if (descriptor < 0) return;
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    close(descriptor);
}

void io_measure_drop_page_cache(const char *dir) {
    sync();
    each_file(dir, drop_one, NULL);
}

static void read_one(const char *path, uint64_t *sum) {
    static char bytes[1 << 20];
    int descriptor = open(path, O_RDONLY);
    if (descriptor < 0) return;
    ssize_t n;
    while ((n = read(descriptor, bytes, sizeof bytes)) > 0)
        *sum += (uint64_t)n;
    close(descriptor);
}

double io_measure_read_files(const char *dir) {
    uint64_t bytes = 0;
    double began = io_measure_seconds();
    each_file(dir, read_one, &bytes);
    return (double)bytes / (io_measure_seconds() - began);
}

double io_measure_synced_writes(const char *dir, uint64_t bytes) {
    static const uint8_t zeros[IO_MEASURE_PIECE];
    char path[512];
    snprintf(path, sizeof path, "%.480s/synced-writes", dir);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    uint64_t done = 0;
    bool good = descriptor >= 0 && posix_fallocate(descriptor, 0, (off_t)bytes) == 0 &&
                fdatasync(descriptor) == 0;
    double began = io_measure_seconds();
    for (; good && done < bytes; done += sizeof zeros)
        good = pwrite(descriptor, zeros, sizeof zeros, (off_t)done) == (ssize_t)sizeof zeros &&
               fdatasync(descriptor) == 0;
    double seconds = io_measure_seconds() - began;
    if (descriptor >= 0) close(descriptor);
    unlink(path);
    return good ? (double)done / seconds : 0;
}

/* ---- processes --------------------------------------------------------------------------------------- */

bool io_measure_in_child(void (*run)(void *ctx), void *ctx) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        run(ctx);
        _exit(0);
    }
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}
