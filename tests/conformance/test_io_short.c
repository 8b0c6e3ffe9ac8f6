// SPDX-License-Identifier: Apache-2.0
/* The operating system does less than it was asked for: reads and writes are short, calls are interrupted.
 * Whatever it does, an operation completes as if nothing had happened, or fails with what the system said.
 *
 * The calls of libc and of the ring are taken in between here, in the test's program alone: what is defined
 * in it goes before what libraries define. Requests to the ring are made shorter before they are handed in. A
 * short write severs the link to the sync behind it; there the answer is made short after the fact, and that
 * of the sync becomes the one that the kernel gives then. */
#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/units.h"
#include "lib/io_contract.h"
#include "storage/store.h"

#define CANCELLED_MAX 64u

/* Chances of 100; the counters say what was done. Pool threads call, too: the numbers are atomic. */
static struct {
    bool on;
    unsigned short_percent, interrupt_percent;
    int fail_errno;    /* the next write or sync fails with it; 0: none */
    bool fail_durable; /* only one that makes itself durable */
    _Atomic unsigned shortened, interrupted, failed;
    _Atomic uint64_t state;
} plan;

static unsigned draw(unsigned below) {
    uint64_t x = atomic_fetch_add(&plan.state, 0x9e3779b97f4a7c15ull);
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return (unsigned)((x ^ x >> 31) % below);
}

static bool interrupts(void) {
    if (!plan.on || draw(100) >= plan.interrupt_percent) return false;
    plan.interrupted++;
    errno = EINTR;
    return true;
}

static bool fails_as(bool durable) {
    if (!plan.on || plan.fail_errno == 0 || (plan.fail_durable && !durable)) return false;
    errno = plan.fail_errno;
    plan.fail_errno = 0;
    plan.failed++;
    return true;
}

static bool fails(void) {
    return fails_as(false);
}

static size_t less(size_t size) {
    if (!plan.on || size < 2 || draw(100) >= plan.short_percent) return size;
    plan.shortened++;
    return 1 + draw((unsigned)MIN(size - 1, (size_t)UINT32_MAX));
}

/* ---- libc -------------------------------------------------------------------------------------------- */

ssize_t pread(int descriptor, void *data, size_t size, off_t offset);
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset);
ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset);
int fdatasync(int descriptor);

ssize_t pread(int descriptor, void *data, size_t size, off_t offset) {
    return interrupts() ? -1 : syscall(SYS_pread64, descriptor, data, less(size), offset);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
    return interrupts() || fails() ? -1 : syscall(SYS_pwrite64, descriptor, data, less(size), offset);
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset) {
    if (interrupts() || fails()) return -1;
    size_t all = 0;
    for (int i = 0; i < count; i++)
        all += parts[i].iov_len;
    size_t some = less(all);
    if (some == all) return syscall(SYS_pwritev, descriptor, parts, (long)count, offset, 0L);
    for (int i = 0; i < count; i++) /* a part of the first that is not empty */
        if (parts[i].iov_len > 0)
            return syscall(SYS_pwrite64, descriptor, parts[i].iov_base, MIN(some, parts[i].iov_len), offset);
    return 0;
}

int fdatasync(int descriptor) {
    return interrupts() || fails() ? -1 : (int)syscall(SYS_fdatasync, descriptor);
}

ssize_t recv(int socket, void *data, size_t size, int flags) {
    return interrupts() ? -1 : syscall(SYS_recvfrom, socket, data, size, flags, NULL, NULL);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags) {
    return interrupts() ? -1 : syscall(SYS_sendmsg, socket, message, flags);
}

/* ---- the ring ---------------------------------------------------------------------------------------- */

#define MARK_SYNC    ((uint64_t)1) /* io_uring.c, ANSWER_SYNC */
#define MARK_DURABLE ((uint64_t)2) /* ANSWER_DURABLE */

/* Handed in: writes that make themselves durable, and syncs. */
static _Atomic unsigned durable_writes, syncs;

static uint64_t cancelled[CANCELLED_MAX]; /* operations whose sync was severed */
static unsigned cancelled_count;

static bool was_cancelled(uint64_t operation) {
    for (unsigned i = 0; i < cancelled_count; i++) {
        if (cancelled[i] != operation) continue;
        cancelled[i] = cancelled[--cancelled_count];
        return true;
    }
    return false;
}

static void change_answer(struct io_uring_cqe *cqe) {
    uint64_t operation = cqe->user_data & ~(MARK_SYNC | MARK_DURABLE);
    if (operation == 0 || cqe->res < 0) return;
    if ((cqe->user_data & MARK_SYNC) != 0) {
        if (was_cancelled(operation))
            cqe->res = -ECANCELED;
        else if (interrupts())
            cqe->res = -EINTR;
        else if (fails())
            cqe->res = -errno;
        return;
    }
    int result = cqe->res;
    if ((cqe->user_data & MARK_DURABLE) != 0) { /* no sync is linked to it */
        if (fails_as(true)) cqe->res = -errno;
        return;
    }
    if (interrupts())
        cqe->res = draw(2) == 0 ? -EINTR : -EAGAIN;
    else
        cqe->res = (int)less((size_t)result);
    if (cqe->res != result && cancelled_count < CANCELLED_MAX) cancelled[cancelled_count++] = operation;
}

/* Answers that came in since the last time; an operation without a sync is forgotten when it is answered
 * again. */
static int change_answers(struct io_uring *ring, int result) {
    struct io_uring_cqe *cqe;
    unsigned head;
    if (!plan.on) return result;
    io_uring_for_each_cqe(ring, head, cqe) {
        if ((cqe->user_data & MARK_SYNC) == 0) MAYBE(was_cancelled(cqe->user_data));
        change_answer(cqe);
    }
    return result;
}

/* Before they are handed in: the kernel then really moves less. */
static void shorten_requests(struct io_uring *ring) {
    for (unsigned i = ring->sq.sqe_head; plan.on && i != ring->sq.sqe_tail; i++) {
        struct io_uring_sqe *sqe = &ring->sq.sqes[i & *ring->sq.kring_mask];
        syncs += sqe->opcode == IORING_OP_FSYNC;
        bool writes = sqe->opcode == IORING_OP_WRITE || sqe->opcode == IORING_OP_WRITEV;
        durable_writes += writes && (sqe->rw_flags & RWF_DSYNC) != 0;
        bool moves = sqe->opcode == IORING_OP_READ || sqe->opcode == IORING_OP_WRITE;
        if (moves && (sqe->flags & IOSQE_IO_LINK) == 0) sqe->len = (unsigned)less(sqe->len);
    }
}

/* The same name in the library. */
static void find_next(const char *name, void *function) {
    void *symbol = dlsym(RTLD_NEXT, name);
    assert_non_null(symbol);
    memcpy(function, &symbol, sizeof symbol);
}

int io_uring_submit_and_get_events(struct io_uring *ring) {
    int (*next)(struct io_uring *);
    find_next(__func__, &next);
    shorten_requests(ring);
    return change_answers(ring, next(ring));
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait_nr,
                                     struct __kernel_timespec *timeout, sigset_t *mask) {
    int (*next)(struct io_uring *, struct io_uring_cqe **, unsigned, struct __kernel_timespec *, sigset_t *);
    find_next(__func__, &next);
    shorten_requests(ring);
    return change_answers(ring, next(ring, cqe, wait_nr, timeout, mask));
}

/* ---- the tests --------------------------------------------------------------------------------------- */

static void begin(unsigned short_percent, unsigned interrupt_percent) {
    plan.short_percent = short_percent;
    plan.interrupt_percent = interrupt_percent;
    plan.shortened = plan.interrupted = plan.failed = 0;
    plan.fail_errno = 0;
    plan.fail_durable = false;
    plan.state = 1;
    cancelled_count = 0;
    plan.on = true;
}

#define FILE_BYTES (256 * KIB)
#define SLICES_MAX 9u

static void fill(uint8_t *data, size_t size, struct prng *prng) {
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)prng_next(prng);
}

/* Random writes, with and without sync, and reads, against a copy in memory. */
static void files_hold_what_was_written(void **state) {
    struct io_world *world = world_of(state);
    struct prng prng;
    prng_init(&prng, 5);
    uint8_t *model = mem_calloc(1, FILE_BYTES), *bytes = mem_alloc(FILE_BYTES);
    struct io_file *file = NULL;
    assert_status(io_file_open(world->io, world_path(world, "f"), IO_OPEN_WRITE | IO_OPEN_CREATE, &file),
                  STATUS_OK);
    if (world_is_real(world)) begin(40, 20);
    assert_status(io_file_preallocate(file, FILE_BYTES), STATUS_OK);
    for (int i = 0; i < 150; i++) {
        struct slice slices[SLICES_MAX];
        uint32_t count = (uint32_t)prng_range(&prng, 1, SLICES_MAX);
        uint64_t at = prng_below(&prng, FILE_BYTES / 2), end = at;
        fill(bytes, FILE_BYTES / 2, &prng);
        for (uint32_t s = 0; s < count; s++) {
            size_t size = (size_t)prng_below(&prng, FILE_BYTES / 2 / SLICES_MAX);
            slices[s] = slice_make(bytes + (end - at), size);
            end += size;
        }
        memcpy(model + at, bytes, end - at);
        struct test_op op;
        test_op_init(&op);
        if (i % 2 == 0)
            io_write(world->io, &op.op, file, slices, count, at);
        else
            io_write_sync(world->io, &op.op, file, slices, count, at);
        assert_status(test_op_wait(world, &op), STATUS_OK);
        assert_int_equal(op.op.result, end - at);
        test_op_init(&op);
        size_t size = (size_t)prng_range(&prng, 1, FILE_BYTES);
        io_read(world->io, &op.op, file, bytes, size, 0);
        assert_status(test_op_wait(world, &op), STATUS_OK);
        assert_int_equal(op.op.result, size);
        assert_memory_equal(bytes, model, size);
    }
    size_t read;
    assert_status(io_file_read_at(file, bytes, FILE_BYTES, 0, &read), STATUS_OK);
    assert_int_equal(read, FILE_BYTES);
    assert_memory_equal(bytes, model, FILE_BYTES);
    plan.on = false;
    if (world_is_real(world)) assert_true(plan.shortened > 100 && plan.interrupted > 50);
    io_file_close(file);
    mem_free(model);
    mem_free(bytes);
}

/* What is no interruption is told once, and the operation after it is served. */
static void errors_are_told(void **state) {
    struct io_world *world = world_of(state);
    if (!world_is_real(world)) skip();
    struct io_file *file = NULL;
    assert_status(io_file_open(world->io, world_path(world, "f"), IO_OPEN_WRITE | IO_OPEN_CREATE, &file),
                  STATUS_OK);
    struct slice bytes = SLICE_LITERAL("something");
    static const int errors[] = {EIO, ENOSPC};
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        begin(0, 0);
        plan.fail_errno = errors[i];
        struct test_op op;
        test_op_init(&op);
        io_write_sync(world->io, &op.op, file, &bytes, 1, 0);
        assert_status(test_op_wait(world, &op), errors[i] == EIO ? STATUS_IO : STATUS_NO_SPACE);
        assert_int_equal(op.op.os_error, errors[i]);
        assert_int_equal(plan.failed, 1);
        begin(0, 60);
        test_op_init(&op);
        io_write_sync(world->io, &op.op, file, &bytes, 1, 0);
        assert_status(test_op_wait(world, &op), STATUS_OK);
        test_op_init(&op);
        io_sync(world->io, &op.op, file);
        assert_status(test_op_wait(world, &op), STATUS_OK);
        plan.on = false;
    }
    io_file_close(file);
}

static enum status write_durably(struct io_world *world, struct io_file *file, uint64_t at) {
    struct slice bytes = SLICE_LITERAL("something");
    struct test_op op;
    test_op_init(&op);
    io_write_sync(world->io, &op.op, file, &bytes, 1, at);
    return test_op_wait(world, &op);
}

static void write_something(struct io_world *world, struct io_file *file, bool durable, uint64_t at) {
    struct slice bytes[] = {SLICE_LITERAL("something"), SLICE_LITERAL(" more")};
    struct test_op op;
    test_op_init(&op);
    (durable ? io_write_sync : io_write)(world->io, &op.op, file, bytes, 2, at);
    assert_status(test_op_wait(world, &op), STATUS_OK);
}

/* A write that makes itself durable says nothing of what was written before it. */
static void all_of_a_file_is_durable_with_its_last_write(void **state) {
    struct io_world *world = world_of(state);
    if (strcmp(io_backend_name(world->io), "uring") != 0) skip();
    struct io_file *file = NULL;
    assert_status(io_file_open(world->io, world_path(world, "f"), IO_OPEN_WRITE | IO_OPEN_CREATE, &file),
                  STATUS_OK);
    begin(0, 0);
    durable_writes = syncs = 0;
    write_something(world, file, true, 0); /* who had it open before may have left something */
    assert_int_equal(syncs, 1);
    write_something(world, file, true, 20);
    write_something(world, file, true, 40);
    assert_int_equal(syncs, 1);
    assert_int_equal(durable_writes, 2);
    write_something(world, file, false, 60);
    write_something(world, file, true, 80);
    assert_int_equal(syncs, 2);
    assert_status(io_file_write_at(file, SLICE_LITERAL("x"), 100), STATUS_OK);
    write_something(world, file, true, 120);
    assert_int_equal(syncs, 3);
    assert_status(io_file_truncate(file, 4096), STATUS_OK);
    write_something(world, file, true, 140);
    assert_int_equal(syncs, 4);
    assert_status(io_file_preallocate(file, 8192), STATUS_OK);
    assert_status(io_file_sync(file), STATUS_OK);
    write_something(world, file, true, 160);
    assert_int_equal(syncs, 4);
    assert_int_equal(durable_writes, 3);
    plan.fail_errno = EIO;
    plan.fail_durable = true;
    assert_status(write_durably(world, file, 180), STATUS_IO);
    assert_int_equal(durable_writes, 4);
    write_something(world, file, true, 180); /* what is left of the other one is synced, too */
    assert_int_equal(syncs, 5);
    plan.on = false;
    io_file_close(file);
}

/* ---- a store over it --------------------------------------------------------------------------------- */

static void write_done(struct store_write *write) {
    write->bytes = SIZE_MAX;
}

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}

static enum status put(struct io_world *world, struct store *store, uint32_t number, struct slice value) {
    struct store_write write;
    uint8_t key[4];
    store_be32(key, number);
    store_write_init(&write, write_done);
    store_put(&write, slice_make(key, 4), (struct shared_slice){value, NULL});
    store_write_submit(store, &write);
    while (write.bytes != SIZE_MAX)
        io_turn(world->io, NS_PER_MS);
    enum status status = write.status;
    store_write_release(&write);
    return status;
}

static void shut_down(struct io_world *world, struct store *store) {
    bool down = false;
    store_shutdown(store, set_flag, &down);
    world_run_until(world, &down);
    store_close(store);
}

static void a_store_keeps_what_it_acknowledged(void **state) {
    struct io_world *world = world_of(state);
    struct store_options options = {.dir = world_path(world, "data"),
                                    .memtable_bytes = 128 * KIB,
                                    .table_bytes = 128 * KIB,
                                    .wal_segment_bytes = 128 * KIB};
    if (world_is_real(world)) begin(30, 10);
    uint8_t *value = mem_alloc(9000);
    struct store *store;
    struct diagnostic why;
    for (uint32_t life = 0; life < 3; life++) {
        if (store_open(world->io, &options, &store, &why) != STATUS_OK) fail_msg("%s", why.text);
        for (uint32_t k = 0; k < life * 100; k++) {
            struct shared_slice found;
            uint8_t key[4];
            store_be32(key, k);
            assert_status(store_get_blocking(store, slice_make(key, 4), &found), STATUS_OK);
            memset(value, (int)(k & 0xff), 9000);
            assert_slice_equal(found.bytes, slice_make(value, 100 + k * 29));
            shared_slice_unref(found);
        }
        for (uint32_t k = life * 100; k < life * 100 + 100; k++) {
            memset(value, (int)(k & 0xff), 9000);
            assert_status(put(world, store, k, slice_make(value, 100 + k * 29)), STATUS_OK);
        }
        shut_down(world, store);
    }
    plan.on = false;
    mem_free(value);
}

/* As after a sync that failed (tests/fault/test_store_errors.c): nothing is acknowledged any more. */
static void a_durable_write_that_fails_is_final(void **state) {
    struct io_world *world = world_of(state);
    if (strcmp(io_backend_name(world->io), "uring") != 0) skip();
    struct store_options options = {.dir = world_path(world, "data")};
    struct store *store;
    struct diagnostic why;
    if (store_open(world->io, &options, &store, &why) != STATUS_OK) fail_msg("%s", why.text);
    begin(0, 0);
    durable_writes = 0;
    for (uint32_t k = 0; k < 3; k++)
        assert_status(put(world, store, k, SLICE_LITERAL("value")), STATUS_OK);
    assert_true(durable_writes >= 2);
    plan.fail_errno = EIO;
    plan.fail_durable = true;
    assert_status(put(world, store, 3, SLICE_LITERAL("value")), STATUS_IO);
    assert_int_equal(plan.failed, 1);
    assert_status(put(world, store, 4, SLICE_LITERAL("value")), STATUS_IO);
    assert_status(store_health(store), STATUS_IO);
    plan.on = false;
    shut_down(world, store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_hold_what_was_written),
        cmocka_unit_test(errors_are_told),
        cmocka_unit_test(all_of_a_file_is_durable_with_its_last_write),
        cmocka_unit_test(a_store_keeps_what_it_acknowledged),
        cmocka_unit_test(a_durable_write_that_fails_is_final),
    };
    return io_contract_run("io that does less", tests, ARRAY_COUNT(tests));
}
