// SPDX-License-Identifier: Apache-2.0
/* One io_uring_enter a turn both submits what was queued and waits. While file operations are under way the
 * loop waits in the ring, and the epoll set is one more thing the ring polls; while there are none it waits
 * in epoll alone, which saves the detour for pure network turns.
 *
 * The poll of the epoll set is single-shot and armed only when the ring is about to be waited for: arming
 * looks at readiness, so nothing is lost, and turns without file operations post no answers nobody reads.
 *
 * A write that has to be durable goes as one that makes itself durable (RWF_DSYNC) where nothing else of the
 * file waits for a sync, and else with a sync linked to it: two pieces of work are two turns of the kernel's
 * worker, and were 35 us more. */
#include "io/io_uring.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

#include <liburing.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_error.h"
#include "io/io_file.h"
#include "io/io_net.h"
#include "io/io_real.h"

#define RING_ENTRIES   256
#define SQES_A_STEP    2 /* a write and its linked sync */
#define MOVE_SIZE_MAX  ((size_t)1 << 30)
#define SLICES_AT_ONCE IOV_MAX

/* user_data is the operation's address with these marks in its low bits; 0 is the poll of the epoll set. */
#define ANSWER_SYNC    ((uint64_t)1)
#define ANSWER_DURABLE ((uint64_t)2) /* of a write that makes itself durable */
#define ANSWER_MARKS   (ANSWER_SYNC | ANSWER_DURABLE)
#define ANSWER_POLL    ((uint64_t)0)

struct io_uring_backend {
    struct io_real real;
    struct io_uring ring;
    struct list pending; /* wait for room in the ring */
    unsigned owed;       /* answers to file operations */
    bool poll_armed, epoll_ready;
};

/* ---- submission ------------------------------------------------------------------------------------- */

/* Room was looked for before (fill, and one entry is left for the poll). */
static struct io_uring_sqe *take_sqe(struct io_uring_backend *backend) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&backend->ring);
    ASSERT(sqe != NULL);
    return sqe;
}

/* After the sqe was prepared: preparing may clear user_data and flags. */
static void expect_answer(struct io_uring_backend *backend, struct io_uring_sqe *sqe, struct io_op *op,
                          uint64_t mark) {
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)op | mark);
    op->request.awaited++;
    backend->owed++;
}

static void prepare_sync(struct io_uring_backend *backend, struct io_op *op, struct io_real_file *file) {
    struct io_uring_sqe *sqe = take_sqe(backend);
    file->unsynced = false;
    io_uring_prep_fsync(sqe, file->descriptor, IORING_FSYNC_DATASYNC);
    expect_answer(backend, sqe, op, ANSWER_SYNC);
}

/* true: a sync is to follow, linked to it. */
static bool prepare_write(struct io_uring_backend *backend, struct io_op *op, struct io_real_file *file) {
    const struct slice *slices = op->request.slices + op->request.slice_index;
    uint32_t count = op->request.slice_count - op->request.slice_index;
    struct io_uring_sqe *sqe = take_sqe(backend);
    bool all;
    if (count == 1 || op->request.slice_skip != 0) {
        size_t left = slices[0].size - op->request.slice_skip, size = MIN(left, MOVE_SIZE_MAX);
        io_uring_prep_write(sqe, file->descriptor, slices[0].data + op->request.slice_skip, (unsigned)size,
                            op->request.offset);
        all = count == 1 && size == left;
    } else {
        unsigned part = MIN(count, (uint32_t)SLICES_AT_ONCE);
        io_uring_prep_writev(sqe, file->descriptor, io_iovec(slices), part, op->request.offset);
        all = part == count;
    }
    file->unsynced |= !op->request.sync_after;
    bool syncs = all && op->request.sync_after;
    /* Direct ones would be synced by yet another thread. */
    bool itself = syncs && op->result == 0 && !file->unsynced && !file->direct;
    if (itself)
        sqe->rw_flags = RWF_DSYNC;
    else if (syncs)
        io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
    expect_answer(backend, sqe, op, itself ? ANSWER_DURABLE : 0);
    return syncs && !itself;
}

static void prepare_read(struct io_uring_backend *backend, struct io_op *op, int descriptor) {
    struct io_uring_sqe *sqe = take_sqe(backend);
    size_t left = op->request.size - op->result;
    io_uring_prep_read(sqe, descriptor, op->request.data + op->result, (unsigned)MIN(left, MOVE_SIZE_MAX),
                       op->request.offset);
    expect_answer(backend, sqe, op, 0);
}

/* The next step of op, or its end. */
static void advance(struct io_uring_backend *backend, struct io_op *op) {
    struct io_real_file *file = op->target;
    bool moved = op->result == op->request.size;
    ASSERT_EQ(op->request.awaited, 0);
    if (op->os_error != 0) {
        io_op_complete(op, io_error(op->os_error), op->os_error);
        return;
    }
    switch ((enum io_op_kind)op->request.kind) {
    case IO_OP_READ:
        if (moved || op->request.ended)
            io_op_complete(op, STATUS_OK, 0);
        else
            prepare_read(backend, op, file->descriptor);
        break;
    case IO_OP_WRITE:
        if (moved && (!op->request.sync_after || op->request.ended))
            io_op_complete(op, STATUS_OK, 0);
        else if (moved || prepare_write(backend, op, file))
            prepare_sync(backend, op, file);
        break;
    case IO_OP_SYNC:
        if (op->request.ended)
            io_op_complete(op, STATUS_OK, 0);
        else
            prepare_sync(backend, op, file);
        break;
    default:
        UNREACHABLE();
    }
}

static void fill(struct io_uring_backend *backend) {
    while (!list_empty(&backend->pending) && io_uring_sq_space_left(&backend->ring) > SQES_A_STEP &&
           backend->owed + SQES_A_STEP <= IO_URING_ANSWERS_MAX)
        advance(backend, CONTAINER_OF(list_pop_front(&backend->pending), struct io_op, link));
}

static void submit(struct io_uring_backend *backend) {
    struct list *node;
    while ((node = list_pop_front(&backend->real.base.queued)) != NULL) {
        struct io_op *op = CONTAINER_OF(node, struct io_op, link);
        if (op->request.kind >= IO_OP_CONNECT) {
            io_net_submit(op);
            continue;
        }
        op->request.awaited = 0;
        op->request.ended = false;
        list_push_back(&backend->pending, node);
    }
    fill(backend);
}

/* ---- answers ---------------------------------------------------------------------------------------- */

static void answer_move(struct io_op *op, int result) {
    if (result == -EINTR || result == -EAGAIN) return; /* nothing moved: the next step tries again */
    if (result < 0) {
        op->os_error = -result;
    } else if (op->request.kind == IO_OP_READ) {
        op->request.ended = result == 0;
        op->result += (unsigned)result;
        op->request.offset += (unsigned)result;
    } else if (result == 0 && op->result != op->request.size) {
        op->os_error = EIO; /* a file system that takes nothing and gives no reason */
    } else {
        io_op_advance(op, (unsigned)result);
        ((struct io_real_file *)op->target)->unsynced |= !op->request.sync_after;
    }
}

static void answer_sync(struct io_op *op, int result) {
    if (result != 0) ((struct io_real_file *)op->target)->unsynced = true;
    if (result == -EINTR) return; /* says nothing about the data: asked again */
    if (result == 0)
        op->request.ended = true;
    else if (result != -ECANCELED || op->request.kind == IO_OP_SYNC)
        op->os_error = -result;
    /* Else the linked write was short or failed: it has said so, and the rest goes with a new sync. */
}

static void answer(struct io_uring_backend *backend, const struct io_uring_cqe *cqe) {
    if (cqe->user_data == ANSWER_POLL) {
        backend->poll_armed = false;
        backend->epoll_ready = true;
        return;
    }
    struct io_op *op = (struct io_op *)(uintptr_t)(cqe->user_data & ~ANSWER_MARKS);
    ASSERT_LT(0U, backend->owed);
    ASSERT_LT(0, op->request.awaited);
    backend->owed--;
    op->request.awaited--;
    if ((cqe->user_data & ANSWER_SYNC) != 0)
        answer_sync(op, cqe->res);
    else
        answer_move(op, cqe->res);
    if ((cqe->user_data & ANSWER_DURABLE) != 0) {
        /* Else the rest goes with a sync of all. */
        op->request.ended = op->result == op->request.size;
        ((struct io_real_file *)op->target)->unsynced |= !op->request.ended;
    }
    if (op->request.awaited == 0) list_push_back(&backend->pending, &op->link);
}

static void reap(struct io_uring_backend *backend) {
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&backend->ring, head, cqe) {
        answer(backend, cqe);
        count++;
    }
    io_uring_cq_advance(&backend->ring, count);
    /* Finished operations complete here; unfinished ones get their next step. */
    fill(backend);
}

/* ---- waiting ---------------------------------------------------------------------------------------- */

static bool ring_has_news(struct io_uring_backend *backend) {
    return io_uring_cq_ready(&backend->ring) != 0 ||
           (__atomic_load_n(backend->ring.sq.kflags, __ATOMIC_RELAXED) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static void arm_poll(struct io_uring_backend *backend) {
    if (backend->poll_armed) return;
    struct io_uring_sqe *sqe = take_sqe(backend);
    io_uring_prep_poll_add(sqe, backend->real.epoll, POLLIN);
    io_uring_sqe_set_data64(sqe, ANSWER_POLL);
    backend->poll_armed = true;
}

static void enter(struct io_uring_backend *backend, uint64_t wait_ns) {
    int result;
    backend->real.base.stats.submissions++;
    if (wait_ns == 0) {
        result = io_uring_submit_and_get_events(&backend->ring);
    } else {
        struct __kernel_timespec timeout = {.tv_sec = (int64_t)(wait_ns / NS_PER_S),
                                            .tv_nsec = (long long)(wait_ns % NS_PER_S)};
        struct io_uring_cqe *cqe;
        result = io_uring_submit_and_wait_timeout(&backend->ring, &cqe, 1, &timeout, NULL);
    }
    /* EBUSY: answers overflowed into the kernel's own list; reaping makes room. */
    ASSERT(result >= 0 || result == -ETIME || result == -EINTR || result == -EBUSY || result == -EAGAIN);
}

static void wait_in_ring(struct io_uring_backend *backend, uint64_t wait_ns) {
    struct io_real *real = &backend->real;
    if (io_uring_sq_ready(&backend->ring) == 0 && io_real_may_skip(real)) return;
    arm_poll(backend);
    if (wait_ns != 0 && real->spin_ns != 0) {
        uint64_t end_ns = io_real_clock_ns(&real->base) + MIN(wait_ns, real->spin_ns);
        enter(backend, 0);
        while (!ring_has_news(backend) && !io_real_has_finished(real) &&
               io_real_clock_ns(&real->base) < end_ns)
            __builtin_ia32_pause();
        if (ring_has_news(backend) || io_real_has_finished(real)) wait_ns = 0;
    }
    if (wait_ns != 0) atomic_store(&real->wake.sleeping, true);
    if (wait_ns != 0 && io_real_has_finished(real)) wait_ns = 0;
    enter(backend, wait_ns);
    atomic_store(&real->wake.sleeping, false);
    reap(backend);
    if (!backend->epoll_ready) return;
    backend->epoll_ready = false;
    io_real_poll(real, 0);
}

static void turn(struct io *io, uint64_t max_wait_ns) {
    struct io_uring_backend *backend = (struct io_uring_backend *)io;
    struct io_real *real = &backend->real;
    submit(backend);
    uint64_t wait_ns = io_wait_ns(io, io_real_clock_ns(io), max_wait_ns);
    if (backend->owed != 0)
        wait_in_ring(backend, wait_ns);
    else
        io_real_wait(real, wait_ns);
    io_real_take_finished(real);
    io_run_phases(io);
    /* Sockets are tried at once; file operations go with the enter that waits in the next turn. */
    submit(backend);
}

/* ---- life ------------------------------------------------------------------------------------------- */

static void release(struct io *io) {
    struct io_uring_backend *backend = (struct io_uring_backend *)io;
    ASSERT_EQ(backend->owed, 0U);
    ASSERT(list_empty(&backend->pending));
    io_uring_queue_exit(&backend->ring);
    io_real_release(&backend->real);
    mem_free(backend);
}

static const struct io_backend uring_backend = {
    .name = "uring",
    .release = release,
    .turn = turn,
    .clock_ns = io_real_clock_ns,
    .wall_ms = io_real_wall_ms,
    .random = io_real_random,
    .job_start = io_real_job_start,
    .on_signal = io_real_on_signal,
    .files = &io_real_file_calls,
    .net = &io_real_net_calls,
};

/* Deferred task work (kernel 6.1) runs answers in this thread, when it asks for them: no interrupts of the
 * loop. Kernels before refuse the flags they do not know. */
static int open_ring(struct io_uring *ring) {
    static const unsigned flag_choices[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        0,
    };
    int result = -EINVAL;
    for (unsigned i = 0; i < ARRAY_COUNT(flag_choices) && result == -EINVAL; i++) {
        struct io_uring_params params = {.flags = flag_choices[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
                                         .cq_entries = 2 * IO_URING_ANSWERS_MAX};
        result = io_uring_queue_init_params(RING_ENTRIES, ring, &params);
        if (result == 0 && (params.features & IORING_FEAT_EXT_ARG) == 0) {
            io_uring_queue_exit(ring);
            result = -ENOSYS;
        }
    }
    return result;
}

/* A filter may allow the set-up and forbid the entering: try both. */
static int try_ring(struct io_uring *ring) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    struct io_uring_cqe *cqe;
    io_uring_prep_nop(sqe);
    int result = io_uring_submit_and_wait(ring, 1);
    if (result >= 0) result = io_uring_peek_cqe(ring, &cqe);
    if (result == 0) io_uring_cqe_seen(ring, cqe);
    return result;
}

enum status io_uring_backend_new(const struct io_options *options, struct io **io,
                                 struct diagnostic *diagnostic) {
    struct io_uring_backend *backend = mem_calloc(1, sizeof *backend);
    list_init(&backend->pending);
    int result = open_ring(&backend->ring);
    if (result == 0) {
        result = try_ring(&backend->ring);
        if (result < 0) io_uring_queue_exit(&backend->ring);
    }
    if (result < 0) {
        mem_free(backend);
        return diagnose(diagnostic, io_error(-result), "io_uring: %s", strerror(-result));
    }
    /* Saves a lookup of the descriptor at each enter; kernels before 5.18 have no such thing. */
    (void)io_uring_register_ring_fd(&backend->ring);
    enum status status = io_real_init(&backend->real, options, &uring_backend, diagnostic);
    if (status != STATUS_OK) {
        io_uring_queue_exit(&backend->ring);
        mem_free(backend);
        return status;
    }
    *io = &backend->real.base;
    return STATUS_OK;
}
