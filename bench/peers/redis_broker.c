// SPDX-License-Identifier: Apache-2.0
/* Redis streams (Debian: redis-server) under the cases of `sentinel bench broker`: XADD and XREAD over its
 * own protocol, with an append-only file that is fsynced before each answer. Source: Redis serialization
 * protocol (RESP2). */
#include "broker_peer.h"

static char data_dir[300];

static double start_server(void) {
    char port[16];
    snprintf(port, sizeof port, "%u", peer.port);
    io_measure_make_dir(data_dir);
    const char *const arguments[] = {"redis-server",
                                     "--bind",
                                     "127.0.0.1",
                                     "--port",
                                     port,
                                     "--dir",
                                     data_dir,
                                     "--save",
                                     "",
                                     "--appendonly",
                                     "yes",
                                     "--appendfsync",
                                     "always",
                                     "--daemonize",
                                     "no",
                                     "--protected-mode",
                                     "no",
                                     "--stream-node-max-bytes",
                                     "0",
                                     NULL};
    double began = io_measure_seconds();
    if (!io_child_start(&peer.child, arguments, false, peer.log)) peer_fail("redis-server cannot be started");
    int descriptor;
    while ((descriptor = peer_connect()) < 0 && io_measure_seconds() - began < 30)
        usleep(500);
    if (descriptor < 0) peer_fail("redis-server does not listen");
    char answer[256] = "";
    do { /* while it loads what is stored it says so */
        peer_say(descriptor, "PING\r\n", 6);
        ssize_t n = read(descriptor, answer, sizeof answer - 1);
        if (n <= 0) peer_fail("redis-server closed the connection");
        answer[n] = '\0';
    } while (strncmp(answer, "+PONG", 5) != 0 && io_measure_seconds() - began < PEER_SECONDS);
    close(descriptor);
    return io_measure_seconds() - began;
}

static void wipe(void) {
    io_measure_remove_dir(data_dir);
}

/* XADD answers with one bulk string, the entry's id: $15\r\n1700000000000-0\r\n */
static size_t parse_added(struct peer_link *link, const char *data, size_t size) {
    size_t taken = 0;
    while (taken < size) {
        const char *at = data + taken, *end = memchr(at, '\n', size - taken);
        if (end == NULL) break;
        if (at[0] != '$') peer_fail("redis-server refused");
        size_t need = (size_t)(end - at) + 1 + strtoull(at + 1, NULL, 10) + 2;
        if (size - taken < need) break;
        taken += need;
        link->acknowledged++;
    }
    return taken;
}

static void open_publisher(struct peer_link *link, int i, uint32_t value_bytes) {
    int descriptor = peer_connect();
    if (descriptor < 0) peer_fail("redis-server does not listen");
    peer_link_open(link, descriptor);
    char head[128];
    snprintf(head, sizeof head, "*5\r\n$4\r\nXADD\r\n$6\r\nbench%d\r\n$1\r\n*\r\n$1\r\nv\r\n$%u\r\n", i,
             value_bytes);
    peer_link_repeat(link, head, value_bytes);
}

static void forget_all(void) {
    int descriptor = peer_connect();
    peer_say(descriptor, "FLUSHALL\r\n", 10);
    peer_expect(descriptor, "+OK");
    close(descriptor);
}

/* XRANGE: every entry has one value of 1024 bytes: its header is counted. */
static size_t parse_read(struct peer_link *link, const char *data, size_t size) {
    size_t taken = 0;
    const char *found;
    while ((found = memmem(data + taken, size - taken, "$1024\r\n", 7)) != NULL) {
        size_t end = (size_t)(found - data) + 7 + 1024;
        if (end > size) return taken;
        taken = end;
        link->acknowledged++;
    }
    return size - taken > 64 ? size - 64 : taken;
}

static void consume(void) {
    struct peer_link links[PEER_LINKS];
    uint64_t records = 24 * 1024 / PEER_LINKS;
    int rounds = 4;
    double seconds = 0, cpu = 0;
    for (int round = 0; round < rounds; round++) {
        struct io_child_usage before = peer_usage();
        double began = io_measure_seconds();
        for (int i = 0; i < PEER_LINKS; i++) {
            char question[64];
            int size = snprintf(question, sizeof question, "XRANGE bench%d - +\r\n", i);
            peer_link_open(&links[i], peer_connect());
            links[i].total = records;
            peer_say(links[i].socket, question, (size_t)size);
        }
        peer_drive(links, PEER_LINKS, parse_read, NULL);
        seconds += io_measure_seconds() - began;
        cpu += peer_usage().cpu_seconds - before.cpu_seconds;
        for (int i = 0; i < PEER_LINKS; i++)
            peer_link_close(&links[i]);
    }
    double all = (double)(records * PEER_LINKS) * rounds;
    peer_add("consume 1 KiB, from memory", all / 1e3 / seconds, "k/s");
    peer_add("consume 1 KiB, from memory: CPU", cpu / (all / (1 << 20)), "s/GiB");
}

int main(int argc, char **argv) {
    peer_options(argc, argv);
    snprintf(data_dir, sizeof data_dir, "%s/redis", peer.dir);
    printf("# Redis streams: appendonly yes, appendfsync always (one fsync for all commands of a turn), no "
           "snapshots, "
           "everything also in memory\n");
    peer_case_start(start_server, wipe);
    if (peer_wants("publish")) {
        peer_case_publish("publish 1 KiB", 1024, peer.mib << 20, open_publisher, parse_added);
        forget_all();
        peer_case_publish("publish 100 B", 100, peer.mib << 18, open_publisher, parse_added);
        forget_all();
    }
    if (peer_wants("latency")) {
        peer_case_latency(open_publisher, parse_added);
        forget_all();
    }
    if (peer_wants("memory")) {
        struct peer_link links[PEER_LINKS];
        for (int i = 0; i < PEER_LINKS; i++) {
            open_publisher(&links[i], i, 1024);
            links[i].total = 24 * 1024 / PEER_LINKS;
            links[i].window = 1024;
        }
        peer_drive(links, PEER_LINKS, parse_added, NULL);
        for (int i = 0; i < PEER_LINKS; i++)
            peer_link_close(&links[i]);
        consume();
    }
    if (peer_wants("stored")) {
        forget_all();
        peer_case_stored(start_server, open_publisher, parse_added);
    }
    peer_add("resident, at the end", (double)peer_usage().resident_bytes / (1 << 20), "MiB");
    io_child_stop(&peer.child, 10);
    io_measure_remove_dir(peer.dir);
    return 0;
}
