// SPDX-License-Identifier: Apache-2.0
/* NATS JetStream (Debian: nats-server) with three servers and three replicas, under the cases of `sentinel
 * bench broker --nodes 3`. Source: NATS client protocol; JetStream's JSON API ($JS.API.*); its clustering
 * flags. */
#include "broker_peer.h"

#define SERVERS 3

static struct io_child servers[SERVERS];
static uint16_t client_ports[SERVERS], route_ports[SERVERS];
static char store_dirs[SERVERS][320], routes[128];

static void start_one(int i) {
    char name[8], port[16], cluster[48];
    snprintf(name, sizeof name, "n%d", i);
    snprintf(port, sizeof port, "%u", client_ports[i]);
    snprintf(cluster, sizeof cluster, "nats://127.0.0.1:%u", route_ports[i]);
    const char *const arguments[] = {
        "nats-server", "--name",      name,        "-a",    "127.0.0.1",      "-p",    port,       "-js",
        "-sd",         store_dirs[i], "--cluster", cluster, "--cluster_name", "bench", "--routes", routes,
        NULL};
    if (!io_child_start(&servers[i], arguments, false, peer.log)) peer_fail("nats-server cannot be started");
}

static int open_connection(const char *inbox) {
    int descriptor = peer_connect();
    if (descriptor < 0) peer_fail("nats-server does not listen");
    char text[256];
    int size = snprintf(text, sizeof text,
                        "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB %s 1\r\nPING\r\n", inbox);
    peer_say(descriptor, text, (size_t)size);
    peer_expect(descriptor, "PONG\r\n");
    return descriptor;
}

/* The answer to an API request, or false: it says that there is an error, or nothing in a while. */
static bool request(const char *subject, const char *body) {
    int descriptor = open_connection("_INBOX.api");
    struct timeval limit = {.tv_sec = 5};
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    char text[8192];
    int size = snprintf(text, sizeof text, "PUB %s _INBOX.api %zu\r\n%s\r\n", subject, strlen(body), body);
    peer_say(descriptor, text, (size_t)size);
    ssize_t n = read(descriptor, text, sizeof text - 1);
    close(descriptor);
    if (n <= 0) return false;
    text[n] = '\0';
    return strstr(text, "_response\"") != NULL && strstr(text, "\"error\"") == NULL;
}

static void start_cluster(void) {
    size_t used = 0;
    for (int i = 0; i < SERVERS; i++) {
        client_ports[i] = io_child_free_port();
        route_ports[i] = io_child_free_port();
        snprintf(store_dirs[i], sizeof store_dirs[i], "%s/nats%d", peer.dir, i);
        used += (size_t)snprintf(routes + used, sizeof routes - used, "%snats://127.0.0.1:%u",
                                 i == 0 ? "" : ",", route_ports[i]);
    }
    for (int i = 0; i < SERVERS; i++)
        start_one(i);
    peer.port = client_ports[0];
    double began = io_measure_seconds();
    int descriptor;
    while ((descriptor = peer_connect()) < 0 && io_measure_seconds() - began < 30)
        usleep(500);
    if (descriptor < 0) peer_fail("nats-server does not listen");
    close(descriptor);
}

static void make_stream(void) {
    double began = io_measure_seconds();
    request("$JS.API.STREAM.DELETE.bench", "");
    while (
        !request("$JS.API.STREAM.CREATE.bench",
                 "{\"name\":\"bench\",\"subjects\":[\"bench.*\"],\"storage\":\"file\",\"num_replicas\":3}")) {
        if (io_measure_seconds() - began > 60) peer_fail("the stream cannot be made");
        usleep(200000);
    }
}

/* MSG subject sid [reply] size CRLF payload CRLF */
static size_t parse(struct peer_link *link, const char *data, size_t size) {
    size_t taken = 0;
    while (taken < size) {
        const char *at = data + taken, *end = memchr(at, '\n', size - taken);
        if (end == NULL) break;
        size_t head = (size_t)(end - at) + 1;
        if (strncmp(at, "PING", 4) == 0) peer_say(link->socket, "PONG\r\n", 6);
        if (strncmp(at, "-ERR", 4) == 0) peer_fail("nats-server refused");
        if (strncmp(at, "MSG ", 4) != 0) {
            taken += head; /* +OK, PING, PONG, INFO */
            continue;
        }
        const char *digits = end - 1;
        while (digits[-1] != ' ')
            digits--;
        size_t payload = strtoull(digits, NULL, 10);
        if (size - taken < head + payload + 2) break;
        if (memmem(end, payload, "\"error\"", 7) != NULL) peer_fail("JetStream refused a message");
        link->acknowledged++;
        taken += head + payload + 2;
    }
    return taken;
}

static void open_publisher(struct peer_link *link, int i, uint32_t value_bytes) {
    char inbox[64];
    snprintf(inbox, sizeof inbox, "_INBOX.p%d", i);
    peer_link_open(link, open_connection(inbox));
    char *message = malloc(value_bytes + 256);
    int head = snprintf(message, 200, "PUB bench.%d %s %u\r\n", i, inbox, value_bytes);
    peer_value(message + head, value_bytes);
    memcpy(message + head + value_bytes, "\r\n", 2);
    link->message_size = (size_t)head + value_bytes + 2;
    size_t copies = 64 * 1024 / link->message_size + 1;
    char *burst = malloc(copies * link->message_size);
    for (size_t k = 0; k < copies; k++)
        memcpy(burst + k * link->message_size, message, link->message_size);
    link->burst = burst;
    link->burst_size = copies * link->message_size;
    free(message);
}

static double cpu_of_all(void) {
    double sum = 0;
    for (int i = 0; i < SERVERS; i++) {
        struct io_child_usage usage;
        if (!io_child_usage(&servers[i], &usage)) peer_fail("a server is gone");
        sum += usage.cpu_seconds;
    }
    return sum;
}

static void case_publish(void) {
    struct peer_link links[PEER_LINKS];
    uint64_t records = (peer.mib << 10) / 4 / PEER_LINKS * PEER_LINKS; /* it is slow: a quarter is enough */
    for (int i = 0; i < PEER_LINKS; i++) {
        open_publisher(&links[i], i, 1024);
        links[i].total = records / PEER_LINKS;
        links[i].window = PEER_UNDER_WAY / 1024 / PEER_LINKS;
    }
    double cpu = -cpu_of_all(), seconds = -io_measure_seconds();
    peer_drive(links, PEER_LINKS, parse, NULL);
    seconds += io_measure_seconds();
    cpu += cpu_of_all();
    peer_add("publish 1 KiB", (double)records / 1e3 / seconds, "k/s");
    peer_add("publish 1 KiB: CPU, all nodes", cpu / ((double)records / (1 << 20)), "s/GiB");
    for (int i = 0; i < PEER_LINKS; i++)
        peer_link_close(&links[i]);
}

int main(int argc, char **argv) {
    peer_options(argc, argv);
    printf("# NATS JetStream, 3 servers, num_replicas 3, file storage, its default: acknowledged when a "
           "majority "
           "has it, before it is on any disk (no fsync); one stream, hence one leader\n");
    start_cluster();
    if (peer_wants("publish")) {
        make_stream();
        case_publish();
    }
    if (peer_wants("latency")) {
        make_stream();
        peer_case_latency(open_publisher, parse);
    }
    for (int i = 0; i < SERVERS; i++)
        io_child_stop(&servers[i], 10);
    io_measure_remove_dir(peer.dir);
    return 0;
}
