// SPDX-License-Identifier: Apache-2.0
#include "io/io_worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"

#define WAIT_COUNT_MAX 64
#define EXIT_NO_READER 3

struct io_worker_tickets {
    _Atomic uint64_t next;
};

struct io_worker_tickets *io_worker_tickets_new(void) {
    struct io_worker_tickets *tickets = mmap(NULL, sizeof *tickets, PROT_READ | PROT_WRITE,
                                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return tickets == MAP_FAILED ? NULL : tickets; /* of zeros */
}

uint64_t io_worker_ticket(struct io_worker_tickets *tickets) {
    return atomic_fetch_add(&tickets->next, 1);
}

void io_worker_tickets_free(struct io_worker_tickets *tickets) {
    if (tickets != NULL) munmap(tickets, sizeof *tickets);
}

void io_worker_tell(struct io_worker_pipe *pipe, const void *data, size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t put = write(pipe->to, (const uint8_t *)data + at, size - at);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) _exit(EXIT_NO_READER);
        at += (size_t)put;
    }
}

enum status io_worker_start(struct io_worker *worker, void (*work)(void *ctx, struct io_worker_pipe *pipe),
                            void *ctx, bool silent) {
    int ends[2];
    *worker = (struct io_worker){.process = 0, .from = -1};
    fflush(NULL); /* or both would print what is waiting */
    if (pipe(ends) != 0) return STATUS_IO;
    pid_t process = fork();
    if (process == 0) {
        struct io_worker_pipe own = {ends[1]};
        close(ends[0]);
        if (silent && freopen("/dev/null", "w", stderr) == NULL) _exit(EXIT_NO_READER);
        work(ctx, &own);
        fflush(NULL);
        _exit(0);
    }
    close(ends[1]);
    if (process < 0) {
        close(ends[0]);
        return STATUS_IO;
    }
    *worker = (struct io_worker){process, ends[0]};
    return STATUS_OK;
}

bool io_worker_read(struct io_worker *worker, void *data, size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t got = read(worker->from, (uint8_t *)data + at, size - at);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += (size_t)got;
    }
    return true;
}

int io_worker_wait(const struct io_worker *workers, uint32_t count, int wait_ms) {
    struct pollfd ends[WAIT_COUNT_MAX];
    ASSERT_LE(count, (uint32_t)WAIT_COUNT_MAX);
    for (uint32_t i = 0; i < count; i++) /* poll takes no notice of a negative one */
        ends[i] = (struct pollfd){.fd = workers[i].process == 0 ? -1 : workers[i].from, .events = POLLIN};
    if (poll(ends, count, wait_ms) <= 0) return -1;
    for (uint32_t i = 0; i < count; i++)
        if (ends[i].revents != 0) return (int)i;
    return -1;
}

bool io_worker_end(struct io_worker *worker, bool kill_it) {
    int how = 0;
    if (worker->process == 0) return false;
    if (kill_it) kill((pid_t)worker->process, SIGKILL);
    close(worker->from);
    while (waitpid((pid_t)worker->process, &how, 0) < 0 && errno == EINTR)
        continue;
    worker->process = 0;
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
}
