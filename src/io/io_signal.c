// SPDX-License-Identifier: Apache-2.0
/* Signals through a signalfd: a handler above runs on the loop like any other completion. The signals are
 * blocked in the thread that asks; io's own threads block all signals (io_pool.c). */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "io/io_real.h"

#define SIGNALS_MAX 8

struct io_signals {
    int descriptor;
    struct io_watch watch;
    struct io_op op; /* on the loop while signals are pending */
    bool op_begun;
    struct io *io;
    sigset_t set, before;
    unsigned count;
    struct {
        int number;
        bool pending;
        void (*handler)(void *ctx, int signal_number);
        void *ctx;
    } handlers[SIGNALS_MAX];
};

static void signals_done(struct io_op *op) {
    struct io_signals *signals = CONTAINER_OF(op, struct io_signals, op);
    signals->op_begun = false;
    for (unsigned i = 0; i < signals->count; i++) {
        if (!signals->handlers[i].pending) continue;
        signals->handlers[i].pending = false;
        signals->handlers[i].handler(signals->handlers[i].ctx, signals->handlers[i].number);
    }
}

static void signals_ready(struct io_watch *watch, uint32_t events) {
    (void)events;
    struct io_signals *signals = CONTAINER_OF(watch, struct io_signals, watch);
    struct signalfd_siginfo info;
    while (read(signals->descriptor, &info, sizeof info) == (ssize_t)sizeof info)
        for (unsigned i = 0; i < signals->count; i++)
            if ((uint32_t)signals->handlers[i].number == info.ssi_signo) signals->handlers[i].pending = true;
    if (signals->op_begun) return;
    signals->op_begun = true;
    io_op_begin(signals->io, &signals->op, IO_OP_INTERNAL, NULL);
    io_op_complete(&signals->op, STATUS_OK, 0);
}

static struct io_signals *signals_new(struct io_real *real) {
    struct io_signals *signals = mem_calloc(1, sizeof *signals);
    signals->io = &real->base;
    signals->op.done = signals_done;
    signals->watch.ready = signals_ready;
    sigemptyset(&signals->set);
    pthread_sigmask(SIG_BLOCK, NULL, &signals->before);
    signals->descriptor = signalfd(-1, &signals->set, SFD_CLOEXEC | SFD_NONBLOCK);
    ASSERT_LE(0, signals->descriptor);
    bool watched = io_real_watch(real, signals->descriptor, &signals->watch, EPOLLIN);
    ASSERT(watched);
    return signals;
}

void io_real_on_signal(struct io *io, int signal_number, void (*handler)(void *ctx, int signal_number),
                       void *ctx) {
    struct io_real *real = (struct io_real *)io;
    if (real->signals == NULL) real->signals = signals_new(real);
    struct io_signals *signals = real->signals;
    unsigned i = 0;
    while (i < signals->count && signals->handlers[i].number != signal_number)
        i++;
    ASSERT_LT(i, (unsigned)SIGNALS_MAX);
    if (i == signals->count) signals->count++;
    signals->handlers[i].number = signal_number;
    signals->handlers[i].handler = handler;
    signals->handlers[i].ctx = ctx;
    sigaddset(&signals->set, signal_number);
    pthread_sigmask(SIG_BLOCK, &signals->set, NULL);
    int descriptor = signalfd(signals->descriptor, &signals->set, SFD_CLOEXEC | SFD_NONBLOCK);
    ASSERT_EQ(descriptor, signals->descriptor);
}

void io_real_signals_release(struct io_real *real) {
    struct io_signals *signals = real->signals;
    if (signals == NULL) return;
    if (signals->op_begun) io_op_forget(&signals->op);
    close(signals->descriptor);
    pthread_sigmask(SIG_SETMASK, &signals->before, NULL);
    mem_free(signals);
    real->signals = NULL;
}
