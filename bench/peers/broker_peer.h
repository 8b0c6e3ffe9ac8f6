// SPDX-License-Identifier: Apache-2.0
/* What the peers of `sentinel bench broker` share: the options, a server of theirs in a process of its own, a
 * few connections driven with poll, and figures under the names that bench_broker.c uses.
 *
 * A peer's program says how its server is started, what one message looks like on the wire and how answers
 * are read. Counts follow bench_broker.c: 4 connections, as many bytes under way as there. */
#ifndef SENTINEL_BENCH_PEERS_BROKER_PEER_H
#define SENTINEL_BENCH_PEERS_BROKER_PEER_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/prng.h"
#include "io/io_child.h"
#include "io/io_measure.h"

#define PEER_LINKS     4
#define PEER_UNDER_WAY (4u << 20) /* bytes, on all connections */
#define PEER_LATENCY   4000
#define PEER_STARTS    5
#define PEER_IN_SIZE   (1 << 20)
#define PEER_SECONDS   120.0

struct peer_link {
    int socket;
    char *in;
    size_t filled;
    const char *burst; /* many messages in a row, sent again and again */
    size_t burst_size, message_size;
    uint64_t total, window, sent_bytes, acknowledged, received_bytes;
    void *ctx;
};
/* Takes whole answers off the front and counts them in `acknowledged`; returns the bytes taken. */
typedef size_t peer_parse(struct peer_link *link, const char *data, size_t size);

static struct {
    struct io_child child;
    uint64_t mib;
    const char *cases;
    char dir[256], log[300];
    uint16_t port;
} peer;

static _Noreturn __attribute__((unused)) void peer_fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    io_child_stop(&peer.child, 0);
    if (peer.dir[0] != '\0') io_measure_remove_dir(peer.dir);
    exit(1);
}

/* ---- options ------------------------------------------------------------------------------------------ */

static __attribute__((unused)) void peer_options(int argc, char **argv) {
    const char *parent = ".";
    peer.mib = 512;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--mib") == 0 && i + 1 < argc)
            peer.mib = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--cases") == 0 && i + 1 < argc)
            peer.cases = argv[++i];
        else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc)
            parent = argv[++i];
    }
    snprintf(peer.dir, sizeof peer.dir, "%.200s/peer-bench-XXXXXX", parent);
    if (!io_measure_make_scratch(peer.dir)) {
        peer.dir[0] = '\0';
        peer_fail("the scratch directory cannot be made");
    }
    snprintf(peer.log, sizeof peer.log, "%s/log", peer.dir);
    peer.port = io_child_free_port();
}

static __attribute__((unused)) bool peer_wants(const char *name) {
    return peer.cases == NULL || strstr(peer.cases, name) != NULL;
}

static __attribute__((unused)) void peer_add(const char *name, double value, const char *unit) {
    printf("%s\t%.9g\t%s\n", name, value, unit);
    fflush(stdout);
}

static struct io_child_usage peer_usage(void) {
    struct io_child_usage usage;
    if (!io_child_usage(&peer.child, &usage)) peer_fail("the server is gone");
    return usage;
}

/* ---- connections -------------------------------------------------------------------------------------- */

/* -1: nobody listens. */
static __attribute__((unused)) int peer_connect(void) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(peer.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0) return descriptor;
    close(descriptor);
    return -1;
}

static __attribute__((unused)) void peer_say(int descriptor, const char *text, size_t size) {
    while (size > 0) {
        ssize_t n = write(descriptor, text, size);
        if (n <= 0) peer_fail("the server closed the connection");
        text += n;
        size -= (size_t)n;
    }
}

/* Waits until `wanted` stands in what the server says; the text is dropped. */
static __attribute__((unused)) void peer_expect(int descriptor, const char *wanted) {
    char text[65536];
    size_t filled = 0;
    for (;;) {
        ssize_t n = read(descriptor, text + filled, sizeof text - 1 - filled);
        if (n <= 0) peer_fail("the server closed the connection");
        filled += (size_t)n;
        text[filled] = '\0';
        if (strstr(text, wanted) != NULL) return;
        if (strstr(text, "-ERR") != NULL || filled == sizeof text - 1) {
            fprintf(stderr, "%s\n", text);
            peer_fail("the server refused");
        }
    }
}

static __attribute__((unused)) void peer_link_open(struct peer_link *link, int descriptor) {
    *link = (struct peer_link){.socket = descriptor, .in = malloc(PEER_IN_SIZE)};
    fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
}

static __attribute__((unused)) void peer_link_close(struct peer_link *link) {
    close(link->socket);
    free(link->in);
}

/* Random bytes that stay on one line. */
static void peer_value(char *value, size_t size) {
    struct prng prng;
    prng_init(&prng, size);
    prng_bytes(&prng, value, size);
    for (size_t i = 0; i < size; i++)
        if (value[i] == '\r' || value[i] == '\n') value[i] = '.';
}

/* What is published: `head`, a value of so many bytes and the end of its line, in one burst of many. */
static __attribute__((unused)) void peer_link_repeat(struct peer_link *link, const char *head,
                                                     uint32_t value_bytes) {
    size_t head_size = strlen(head);
    link->message_size = head_size + value_bytes + 2;
    size_t copies = 64 * 1024 / link->message_size + 1;
    char *burst = malloc(copies * link->message_size);
    memcpy(burst, head, head_size);
    peer_value(burst + head_size, value_bytes);
    memcpy(burst + head_size + value_bytes, "\r\n", 2);
    for (size_t k = 1; k < copies; k++)
        memcpy(burst + k * link->message_size, burst, link->message_size);
    link->burst = burst;
    link->burst_size = copies * link->message_size;
}

static void peer_write(struct peer_link *link) {
    uint64_t allowed = link->acknowledged + link->window;
    allowed = (allowed < link->total ? allowed : link->total) * link->message_size;
    while (link->burst != NULL && link->sent_bytes < allowed) {
        size_t at = link->sent_bytes % link->burst_size, left = link->burst_size - at;
        if (left > allowed - link->sent_bytes) left = allowed - link->sent_bytes;
        ssize_t n = write(link->socket, link->burst + at, left);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) peer_fail("the server closed the connection");
        link->sent_bytes += (uint64_t)n;
    }
}

static void peer_read(struct peer_link *link, peer_parse *parse) {
    ssize_t n = read(link->socket, link->in + link->filled, PEER_IN_SIZE - link->filled);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) peer_fail("the server closed the connection");
    link->received_bytes += (uint64_t)n;
    link->filled += (size_t)n;
    size_t taken = parse(link, link->in, link->filled);
    link->filled -= taken;
    if (link->filled == PEER_IN_SIZE) peer_fail("an answer is too long");
    memmove(link->in, link->in + taken, link->filled);
}

/* Until every link has its `total`. `times`, when given, gets the seconds of each message (window 1). */
static __attribute__((unused)) void peer_drive(struct peer_link *links, int count, peer_parse *parse,
                                               double *times) {
    double began = io_measure_seconds(), asked = began;
    for (;;) {
        struct pollfd wanted[PEER_LINKS];
        bool busy = false;
        for (int i = 0; i < count; i++) {
            struct peer_link *link = &links[i];
            uint64_t before = link->acknowledged;
            peer_write(link);
            uint64_t may = (before + link->window < link->total ? before + link->window : link->total) *
                           link->message_size;
            wanted[i] = (struct pollfd){.fd = link->socket, .events = POLLIN};
            if (link->burst != NULL && link->sent_bytes < may) wanted[i].events |= POLLOUT;
            busy = busy || link->acknowledged < link->total;
        }
        if (!busy) return;
        if (poll(wanted, (nfds_t)count, 1000) < 0 && errno != EINTR) peer_fail("poll failed");
        for (int i = 0; i < count; i++) {
            uint64_t before = links[i].acknowledged;
            if ((wanted[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) peer_read(&links[i], parse);
            if (times == NULL || links[i].acknowledged == before) continue;
            double now = io_measure_seconds();
            times[before] = now - asked;
            asked = now;
        }
        if (io_measure_seconds() - began > PEER_SECONDS * 5) peer_fail("the server does not finish");
    }
}

/* ---- cases -------------------------------------------------------------------------------------------- */

static int peer_compare(const void *x, const void *y) {
    double a = *(const double *)x, c = *(const double *)y;
    return (a > c) - (a < c);
}

/* Starts the server as often, in a directory of its own each time; `start` returns the seconds until ready.
 * The last one goes on running. */
static __attribute__((unused)) void peer_case_start(double (*start)(void), void (*wipe)(void)) {
    double times[PEER_STARTS];
    for (int i = 0; i < PEER_STARTS; i++) {
        if (i > 0) io_child_stop(&peer.child, 10);
        wipe();
        times[i] = start();
    }
    for (int pause = 0; pause < 50; pause++)
        io_measure_pause();
    qsort(times, PEER_STARTS, sizeof *times, peer_compare);
    if (!peer_wants("start")) return;
    peer_add("ready, empty directory", times[PEER_STARTS / 2] * 1e3, "ms");
    peer_add("resident, idle", (double)peer_usage().resident_bytes / (1 << 20), "MiB");
}

/* `open` makes link i ready, with burst, message_size and total (which holds the messages of this link). */
static __attribute__((unused)) void
peer_case_publish(const char *name, uint32_t value_bytes, uint64_t bytes,
                  void (*open)(struct peer_link *link, int i, uint32_t value_bytes), peer_parse *parse) {
    struct peer_link links[PEER_LINKS];
    uint64_t records = bytes / value_bytes / PEER_LINKS * PEER_LINKS;
    for (int i = 0; i < PEER_LINKS; i++) {
        open(&links[i], i, value_bytes);
        links[i].total = records / PEER_LINKS;
        links[i].window = PEER_UNDER_WAY / value_bytes / PEER_LINKS;
    }
    struct io_child_usage before = peer_usage();
    double seconds = -io_measure_seconds();
    peer_drive(links, PEER_LINKS, parse, NULL);
    seconds += io_measure_seconds();
    struct io_child_usage after = peer_usage();
    double gib = (double)records * value_bytes / (1 << 30);
    char text[128];
    peer_add(name, (double)records / 1e3 / seconds, "k/s");
    snprintf(text, sizeof text, "%s: CPU", name);
    peer_add(text, (after.cpu_seconds - before.cpu_seconds) / gib, "s/GiB");
    for (int i = 0; i < PEER_LINKS; i++)
        peer_link_close(&links[i]);
}

static __attribute__((unused)) void
peer_case_latency(void (*open)(struct peer_link *link, int i, uint32_t value_bytes), peer_parse *parse) {
    static double times[PEER_LATENCY];
    struct peer_link link;
    open(&link, 0, 1024);
    link.total = PEER_LATENCY;
    link.window = 1;
    peer_drive(&link, 1, parse, times);
    peer_link_close(&link);
    qsort(times, PEER_LATENCY, sizeof *times, peer_compare);
    peer_add("publish 1 KiB, one at a time: p50", times[PEER_LATENCY / 2] * 1e6, "us");
    peer_add("publish 1 KiB, one at a time: p99", times[PEER_LATENCY * 99 / 100] * 1e6, "us");
    peer_add("publish 1 KiB, one at a time: p999", times[PEER_LATENCY * 999 / 1000] * 1e6, "us");
}

/* Twice --mib of 1 KiB messages, then started again on them. */
static __attribute__((unused)) void
peer_case_stored(double (*start)(void), void (*open)(struct peer_link *link, int i, uint32_t value_bytes),
                 peer_parse *parse) {
    uint64_t mib = peer.mib > 32 ? 2 * peer.mib : 64;
    struct peer_link links[PEER_LINKS];
    for (int i = 0; i < PEER_LINKS; i++) {
        open(&links[i], i, 1024);
        links[i].total = mib * 1024 / PEER_LINKS;
        links[i].window = PEER_UNDER_WAY / 1024 / PEER_LINKS;
    }
    peer_drive(links, PEER_LINKS, parse, NULL);
    for (int i = 0; i < PEER_LINKS; i++)
        peer_link_close(&links[i]);
    io_child_stop(&peer.child, 60);
    char text[64];
    snprintf(text, sizeof text, "ready, %llu MiB stored", (unsigned long long)mib);
    peer_add(text, start() * 1e3, "ms");
    snprintf(text, sizeof text, "ready, %llu MiB stored: resident", (unsigned long long)mib);
    peer_add(text, (double)peer_usage().resident_bytes / (1 << 20), "MiB");
}

#endif
