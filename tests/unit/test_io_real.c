// SPDX-License-Identifier: Apache-2.0
/* What only a real machine has: signals, forbidden system calls, limits of files and descriptors. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/units.h"
#include "io/io.h"
#include "lib/test.h"

struct kind {
    const char *name;
    enum io_backend_kind kind;
};
static const struct kind kinds[] = {{"uring", IO_BACKEND_URING}, {"posix", IO_BACKEND_POSIX}};

/* NULL where the machine forbids this backend. */
static struct io *open_io(enum io_backend_kind kind) {
    struct io_options options = {.backend = kind};
    struct diagnostic diagnostic = {""};
    struct io *io = NULL;
    if (io_new(&options, &io, &diagnostic) == STATUS_OK) return io;
    print_message("skipped: %s\n", diagnostic.text);
    assert_int_equal(kind, IO_BACKEND_URING);
    return NULL;
}

static bool op_done;

static void note_done(struct io_op *op) {
    (void)op;
    op_done = true;
}

static void wait_done(struct io *io) {
    while (!op_done)
        io_turn(io, NS_PER_S);
    op_done = false;
}

/* Runs `body` in a child process, because it changes what the process may do. */
static void in_child(int (*body)(void)) {
    pid_t child = fork();
    if (child == 0) _exit(body());
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
}

/* ---- forbidden io_uring ----------------------------------------------------------------------------- */

static bool forbid(long call) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_COUNT(code), .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static char logged[512];
static unsigned logged_lines;

static void keep_line(void *ctx, enum log_level level, struct slice line) {
    (void)ctx;
    (void)level;
    logged_lines++;
    snprintf(logged, sizeof logged, "%.*s", (int)line.size, line.data);
}

static int expect_fallback(void) {
    struct log log = {.level = LOG_INFO, .sink = keep_line};
    struct io_options options = {.backend = IO_BACKEND_AUTO, .log = &log};
    struct diagnostic diagnostic = {""};
    struct io *io;
    if (io_new(&options, &io, &diagnostic) != STATUS_OK) return 2;
    if (strcmp(io_backend_name(io), "posix") != 0) return 3;
    if (logged_lines != 1 || strstr(logged, "posix") == NULL) return 4;
    if (strstr(logged, strerror(EPERM)) == NULL) return 5;
    io_free(io);
    options.backend = IO_BACKEND_URING;
    if (io_new(&options, &io, &diagnostic) != STATUS_DENIED) return 6;
    return strstr(diagnostic.text, "io_uring") != NULL ? 0 : 7;
}

static int without_setup(void) {
    return forbid(SYS_io_uring_setup) ? expect_fallback() : 1;
}

static int without_enter(void) {
    return forbid(SYS_io_uring_enter) ? expect_fallback() : 1;
}

static void auto_falls_back_where_io_uring_is_forbidden(void **state) {
    (void)state;
    in_child(without_setup);
    struct io *io = open_io(IO_BACKEND_URING);
    if (io == NULL) return;
    io_free(io);
    in_child(without_enter);
}

static int without_precise_waits(void) {
    struct io_options options = {.backend = IO_BACKEND_POSIX};
    struct diagnostic diagnostic;
    struct io *io;
    if (!forbid(SYS_epoll_pwait2) || io_new(&options, &io, &diagnostic) != STATUS_OK) return 1;
    uint64_t start_ns = io_clock_ns(io);
    io_turn(io, 1500 * NS_PER_US);
    uint64_t took_ns = io_clock_ns(io) - start_ns;
    io_free(io);
    return took_ns >= 1500 * NS_PER_US ? 0 : 2;
}

static void waits_work_where_the_kernel_counts_in_milliseconds(void **state) {
    (void)state;
    in_child(without_precise_waits);
}

/* ---- signals ---------------------------------------------------------------------------------------- */

static int last_signal;
static unsigned signal_calls;

static void on_signal(void *ctx, int signal_number) {
    last_signal = signal_number;
    signal_calls++;
    io_stop(ctx);
}

static void signals_run_on_the_loop(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct io *io = open_io(kinds[i].kind);
        if (io == NULL) continue;
        signal_calls = 0;
        io_on_signal(io, SIGUSR1, on_signal, io);
        io_on_signal(io, SIGUSR2, on_signal, io);
        kill(getpid(), SIGUSR1);
        assert_int_equal(signal_calls, 0);
        io_run(io);
        assert_int_equal(last_signal, SIGUSR1);
        kill(getpid(), SIGUSR2);
        io_run(io);
        assert_int_equal(last_signal, SIGUSR2);
        assert_int_equal(signal_calls, 2);
        io_free(io);
    }
}

/* ---- limits ----------------------------------------------------------------------------------------- */

static int limited_writes(enum io_backend_kind kind, const char *path) {
    enum { LIMIT = 100000, SIZE = 150000 };
    struct rlimit limit = {LIMIT, LIMIT};
    struct io *io = open_io(kind);
    struct io_file *file;
    struct io_op op = {.done = note_done};
    uint64_t size = 0;
    if (io == NULL) return 0;
    uint8_t *data = mem_calloc(1, SIZE);
    struct slice slices[] = {slice_make(data, 70000), slice_make(data, 70000), slice_make(data, 10000)};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    if (io_file_open(io, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, &file) != STATUS_OK)
        return 2;
    /* The kernel takes a part (which breaks the link to the sync), and refuses the rest. */
    io_write_sync(io, &op, file, slices, ARRAY_COUNT(slices), 0);
    wait_done(io);
    if (op.status != STATUS_INVALID || op.os_error != EFBIG) return 3;
    if (op.result != LIMIT) return 4;
    if (io_file_size(file, &size) != STATUS_OK || size != LIMIT) return 5;
    /* What fits is still written. */
    io_write_sync(io, &op, file, slices, 1, LIMIT - 70000);
    wait_done(io);
    if (op.status != STATUS_OK || op.result != 70000) return 6;
    io_file_close(file);
    io_free(io);
    mem_free(data);
    unlink(path);
    return 0;
}

static int limited_uring(void) {
    return limited_writes(IO_BACKEND_URING, "io-limit-uring.tmp");
}

static int limited_posix(void) {
    return limited_writes(IO_BACKEND_POSIX, "io-limit-posix.tmp");
}

static void a_short_write_goes_on_and_says_what_stopped_it(void **state) {
    (void)state;
    char dir[] = "/tmp/sentinel-io-XXXXXX", before[512];
    assert_non_null(getcwd(before, sizeof before));
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    in_child(limited_uring);
    in_child(limited_posix);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void a_full_device_has_no_space(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct io *io = open_io(kinds[i].kind);
        struct io_file *file;
        struct io_op op = {.done = note_done};
        struct slice bytes = SLICE_LITERAL("bytes");
        if (io == NULL) continue;
        assert_status(io_file_open(io, "/dev/full", IO_OPEN_WRITE, &file), STATUS_OK);
        io_write(io, &op, file, &bytes, 1, 0);
        wait_done(io);
        assert_status(op.status, STATUS_NO_SPACE);
        assert_int_equal(op.os_error, ENOSPC);
        assert_status(io_file_write_at(file, bytes, 0), STATUS_NO_SPACE);
        assert_int_equal(io_last_os_error(), ENOSPC);
        io_file_close(file);
        io_free(io);
    }
}

/* Out of descriptors: the connection waits in the backlog and is accepted when there is room again. */
static struct io_socket *accepted_socket;

static void note_accepted(void *ctx, struct io_socket *socket, const struct io_address *peer) {
    (void)ctx;
    (void)peer;
    accepted_socket = socket;
}

static int starved_accept(void) {
    struct io_options options = {.backend = IO_BACKEND_POSIX};
    struct log log = {.level = LOG_WARN, .sink = keep_line};
    struct diagnostic diagnostic;
    struct io_listener *listener;
    struct io_socket *client;
    struct io_op op = {.done = note_done};
    struct rlimit limit;
    struct io *io;
    options.log = &log;
    if (io_new(&options, &io, &diagnostic) != STATUS_OK) return 1;
    if (io_listen(io, "127.0.0.1:0", note_accepted, NULL, &listener, &diagnostic) != STATUS_OK) return 2;
    io_listener_pause(listener, true);
    io_connect(io, &op, io_listener_address(listener).text, &client);
    wait_done(io);
    int next = open("/dev/null", O_RDONLY);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 3;
    struct rlimit lowered = {(rlim_t)next, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &lowered);
    io_listener_pause(listener, false);
    while (logged_lines == 0)
        io_turn(io, NS_PER_S);
    if (accepted_socket != NULL) return 4;
    setrlimit(RLIMIT_NOFILE, &limit);
    while (accepted_socket == NULL)
        io_turn(io, NS_PER_S);
    io_socket_close(accepted_socket);
    io_socket_close(client);
    io_listener_close(listener);
    io_free(io);
    close(next);
    return 0;
}

static void accepting_goes_on_after_running_out_of_descriptors(void **state) {
    (void)state;
    in_child(starved_accept);
}

static void a_process_knows_what_it_used(void **state) {
    (void)state;
    struct io_usage usage = io_process_usage();
    assert_true(usage.resident_bytes > 100 * KIB);
    assert_true(usage.user_us + usage.system_us > 0);
    assert_true(io_terminal_width(0) > 0);
    assert_false(io_is_terminal(-1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_falls_back_where_io_uring_is_forbidden),
        cmocka_unit_test(waits_work_where_the_kernel_counts_in_milliseconds),
        cmocka_unit_test(signals_run_on_the_loop),
        cmocka_unit_test(a_short_write_goes_on_and_says_what_stopped_it),
        cmocka_unit_test(a_full_device_has_no_space),
        cmocka_unit_test(accepting_goes_on_after_running_out_of_descriptors),
        cmocka_unit_test(a_process_knows_what_it_used),
    };
    return cmocka_run_group_tests_name("io_real", tests, NULL, NULL);
}
