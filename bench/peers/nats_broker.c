// SPDX-License-Identifier: Apache-2.0
/* NATS JetStream (Debian: nats-server) under the cases of `sentinel bench broker`, its own protocol over
 * sockets: each message is published by itself, with a reply subject, and acknowledged by the server. Source:
 * NATS client protocol; JetStream's JSON API ($JS.API.*). */
#include "broker_peer.h"

static char store_dir[300];

static double start_server(void) {
    char port[16];
    snprintf(port, sizeof port, "%u", peer.port);
    const char *const arguments[] = {"nats-server", "-a",  "127.0.0.1", "-p", port,
                                     "-js",         "-sd", store_dir,   NULL};
    double began = io_measure_seconds();
    if (!io_child_start(&peer.child, arguments, false, peer.log)) peer_fail("nats-server cannot be started");
    int descriptor;
    while ((descriptor = peer_connect()) < 0 && io_measure_seconds() - began < 30)
        usleep(500);
    if (descriptor < 0) peer_fail("nats-server does not listen");
    peer_expect(descriptor, "\r\n"); /* INFO */
    /* Listening comes before JetStream is up: ask it. */
    static const char question[] = "CONNECT {\"verbose\":false}\r\nSUB _INBOX.start 1\r\n";
    peer_say(descriptor, question, sizeof question - 1);
    static const char info[] = "PUB $JS.API.INFO _INBOX.start 0\r\n\r\n";
    peer_say(descriptor, info, sizeof info - 1);
    peer_expect(descriptor, "account_info_response");
    close(descriptor);
    return io_measure_seconds() - began;
}

static void wipe(void) {
    io_measure_remove_dir(store_dir);
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

static void request(const char *subject, const char *body) {
    int descriptor = open_connection("_INBOX.api");
    char text[1024];
    int size = snprintf(text, sizeof text, "PUB %s _INBOX.api %zu\r\n%s\r\n", subject, strlen(body), body);
    peer_say(descriptor, text, (size_t)size);
    peer_expect(descriptor, "_response\"");
    close(descriptor);
}

/* MSG subject sid [reply] size CRLF payload CRLF */
static size_t parse(struct peer_link *link, const char *data, size_t size) {
    size_t taken = 0;
    while (taken < size) {
        const char *at = data + taken, *end = memchr(at, '\n', size - taken);
        if (end == NULL) break;
        size_t head = (size_t)(end - at) + 1;
        if (strncmp(at, "PING", 4) == 0) {
            peer_say(link->socket, "PONG\r\n", 6);
            taken += head;
            continue;
        }
        if (strncmp(at, "MSG ", 4) != 0) {
            taken += head; /* +OK, PONG, INFO */
            if (strncmp(at, "-ERR", 4) == 0) peer_fail("nats-server refused");
            continue;
        }
        const char *digits = end - 1;
        while (digits[-1] != ' ')
            digits--;
        size_t payload = strtoull(digits, NULL, 10);
        if (size - taken < head + payload + 2) break;
        if (payload < 200 && memmem(end, payload, "\"error\"", 7) != NULL)
            peer_fail("JetStream refused a message");
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

static void make_stream(void) {
    request("$JS.API.STREAM.DELETE.bench", "");
    request("$JS.API.STREAM.CREATE.bench",
            "{\"name\":\"bench\",\"subjects\":[\"bench.*\"],\"storage\":\"file\",\"num_replicas\":1}");
}

static void consume(void) {
    struct peer_link link;
    uint64_t records = 24 * 1024;
    double seconds = 0, cpu = 0;
    int rounds = 4;
    for (int round = 0; round < rounds; round++) {
        peer_link_open(&link, open_connection("_INBOX.push"));
        link.total = records;
        struct io_child_usage before = peer_usage();
        double began = io_measure_seconds();
        request("$JS.API.CONSUMER.CREATE.bench", "{\"stream_name\":\"bench\",\"config\":{\"deliver_subject\":"
                                                 "\"_INBOX.push\",\"ack_policy\":\"none\","
                                                 "\"deliver_policy\":\"all\"}}");
        peer_drive(&link, 1, parse, NULL);
        seconds += io_measure_seconds() - began;
        cpu += peer_usage().cpu_seconds - before.cpu_seconds;
        peer_link_close(&link);
    }
    peer_add("consume 1 KiB, from memory", (double)(records * (uint64_t)rounds) / 1e3 / seconds, "k/s");
    peer_add("consume 1 KiB, from memory: CPU", cpu / ((double)(records * (uint64_t)rounds) / (1 << 20)),
             "s/GiB");
}

int main(int argc, char **argv) {
    peer_options(argc, argv);
    snprintf(store_dir, sizeof store_dir, "%s/nats", peer.dir);
    printf("# NATS JetStream: file storage, its default: messages are acknowledged before they are on disk "
           "(no fsync), "
           "push consumer without acknowledgements\n");
    peer_case_start(start_server, wipe);
    if (peer_wants("publish")) {
        make_stream();
        peer_case_publish("publish 1 KiB", 1024, peer.mib << 20, open_publisher, parse);
        make_stream();
        peer_case_publish("publish 100 B", 100, peer.mib << 18, open_publisher, parse);
    }
    if (peer_wants("latency")) {
        make_stream();
        peer_case_latency(open_publisher, parse);
    }
    if (peer_wants("memory")) {
        make_stream();
        struct peer_link links[PEER_LINKS];
        for (int i = 0; i < PEER_LINKS; i++) {
            open_publisher(&links[i], i, 1024);
            links[i].total = 24 * 1024 / PEER_LINKS;
            links[i].window = 1024;
        }
        peer_drive(links, PEER_LINKS, parse, NULL);
        for (int i = 0; i < PEER_LINKS; i++)
            peer_link_close(&links[i]);
        consume();
    }
    if (peer_wants("stored")) {
        make_stream();
        peer_case_stored(start_server, open_publisher, parse);
    }
    peer_add("resident, at the end", (double)peer_usage().resident_bytes / (1 << 20), "MiB");
    io_child_stop(&peer.child, 10);
    io_measure_remove_dir(peer.dir);
    return 0;
}
