// SPDX-License-Identifier: Apache-2.0
/* io_child.h: another program, started, read from, measured and ended: what benchmarks need of a server.
 *
 * Stands alone, so that peer programs (bench/peers) can be built with it; nothing in the broker uses it. A
 * child dies with the process that started it.
 *
 * Owner   the struct is the caller's; io_child_stop gives everything back. Units: seconds as double, bytes.
 * Errors  false; errno says why where a system call failed. Loop: one thread, blocking. */
#ifndef SENTINEL_IO_IO_CHILD_H
#define SENTINEL_IO_IO_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io_child {
    int pid;    /* 0: none */
    int output; /* its standard output; -1 when that goes to `log` */
    char buffer[1024];
    size_t filled;
};

/* `arguments[0]` is looked up in PATH; NULL at the end. log: a file for its standard error, and for its
 * standard output unless `read_output`; NULL: /dev/null. */
bool io_child_start(struct io_child *child, const char *const *arguments, bool read_output, const char *log);
/* The next line of its standard output, without the end; false: none within `seconds`, or it ended. */
bool io_child_line(struct io_child *child, char *line, size_t size, double seconds);

struct io_child_usage {
    double cpu_seconds;      /* user and system, all threads */
    uint64_t written_bytes;  /* given to write calls (wchar: sockets count, too; io_uring does not) */
    uint64_t resident_bytes; /* now */
    uint64_t resident_peak_bytes;
};
/* false: it is gone. */
bool io_child_usage(const struct io_child *child, struct io_child_usage *usage);

/* SIGTERM, and SIGKILL when it has not ended after `seconds` (0: at once). True: it ended with status 0. */
bool io_child_stop(struct io_child *child, double seconds);
/* Waits until it ends by itself, and kills it after `seconds`. True: it ended with status 0. */
bool io_child_wait(struct io_child *child, double seconds);
/* Path of the program that runs this. */
bool io_child_self(char *path, size_t size);
/* A TCP port of 127.0.0.1 that nobody has now; for servers that cannot choose one themselves. */
uint16_t io_child_free_port(void);

#endif
