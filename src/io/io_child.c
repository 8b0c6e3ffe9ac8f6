// SPDX-License-Identifier: Apache-2.0
#include "io/io_child.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/io_measure.h"

/* ---- starting ---------------------------------------------------------------------------------------- */

static _Noreturn void become(const char *const *arguments, int output, const char *log) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int file = open(log == NULL ? "/dev/null" : log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    int nothing = open("/dev/null", O_RDONLY);
    if (file >= 0 && nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 && dup2(file, STDERR_FILENO) >= 0 &&
        dup2(output >= 0 ? output : file, STDOUT_FILENO) >= 0)
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

bool io_child_start(struct io_child *child, const char *const *arguments, bool read_output, const char *log) {
    int ends[2] = {-1, -1};
    *child = (struct io_child){.output = -1};
    if (read_output && pipe2(ends, O_CLOEXEC) != 0) return false;
    pid_t pid = fork();
    if (pid == 0) become(arguments, ends[1], log);
    if (ends[1] >= 0) close(ends[1]);
    if (pid < 0) {
        if (ends[0] >= 0) close(ends[0]);
        return false;
    }
    child->pid = pid;
    child->output = ends[0];
    return true;
}

bool io_child_line(struct io_child *child, char *line, size_t size, double seconds) {
    double deadline = io_measure_seconds() + seconds;
    for (;;) {
        char *end = memchr(child->buffer, '\n', child->filled);
        if (end != NULL) {
            size_t length = (size_t)(end - child->buffer);
            snprintf(line, size, "%.*s", (int)length, child->buffer);
            child->filled -= length + 1;
            memmove(child->buffer, end + 1, child->filled);
            return true;
        }
        double left = deadline - io_measure_seconds();
        struct pollfd wanted = {.fd = child->output, .events = POLLIN};
        if (left <= 0 || child->filled == sizeof child->buffer) return false;
        if (poll(&wanted, 1, (int)(left * 1e3) + 1) <= 0) continue;
        ssize_t n = read(child->output, child->buffer + child->filled, sizeof child->buffer - child->filled);
        if (n <= 0) return false;
        child->filled += (size_t)n;
    }
}

/* ---- measuring --------------------------------------------------------------------------------------- */

static FILE *open_proc(const struct io_child *child, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", child->pid, name);
    return fopen(path, "re");
}

/* The number behind `name` at the start of a line. */
static uint64_t number_in(const struct io_child *child, const char *file_name, const char *name) {
    char line[256];
    uint64_t number = 0;
    FILE *file = open_proc(child, file_name);
    if (file == NULL) return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0) number = strtoull(line + strlen(name), NULL, 10);
    fclose(file);
    return number;
}

bool io_child_usage(const struct io_child *child, struct io_child_usage *usage) {
    FILE *file = child->pid == 0 ? NULL : open_proc(child, "stat");
    if (file == NULL) return false;
    char line[1024];
    char *read = fgets(line, sizeof line, file);
    fclose(file);
    /* The name, in parentheses, may hold anything; utime and stime are the 12th and 13th field behind it. */
    char *fields = read == NULL ? NULL : strrchr(line, ')');
    unsigned long long user, system;
    if (fields == NULL ||
        sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
        return false;
    usage->cpu_seconds = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    usage->written_bytes = number_in(child, "io", "wchar:");
    usage->resident_bytes = number_in(child, "status", "VmRSS:") * 1024;
    usage->resident_peak_bytes = number_in(child, "status", "VmHWM:") * 1024;
    return true;
}

/* ---- ending ------------------------------------------------------------------------------------------ */

static bool wait_or_kill(struct io_child *child, double seconds) {
    int status = -1;
    double deadline = io_measure_seconds() + seconds;
    while (seconds > 0 && waitpid(child->pid, &status, WNOHANG) == 0) {
        if (io_measure_seconds() > deadline) {
            kill(child->pid, SIGKILL);
            seconds = 0;
        }
        io_measure_pause();
    }
    if (seconds <= 0) waitpid(child->pid, &status, 0);
    if (child->output >= 0) close(child->output);
    *child = (struct io_child){.output = -1};
    return status == 0;
}

bool io_child_stop(struct io_child *child, double seconds) {
    if (child->pid == 0) return false;
    kill(child->pid, seconds > 0 ? SIGTERM : SIGKILL);
    return wait_or_kill(child, seconds);
}

bool io_child_wait(struct io_child *child, double seconds) {
    return child->pid != 0 && wait_or_kill(child, seconds);
}

bool io_child_self(char *path, size_t size) {
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length < 0) return false;
    path[length] = '\0';
    return true;
}

uint16_t io_child_free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = descriptor >= 0 && bind(descriptor, (struct sockaddr *)&address, size) == 0 &&
                 getsockname(descriptor, (struct sockaddr *)&address, &size) == 0;
    if (descriptor >= 0) close(descriptor);
    return bound ? ntohs(address.sin_port) : 0;
}
