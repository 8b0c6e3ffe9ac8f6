// SPDX-License-Identifier: Apache-2.0
/* nats_peer.h: what the NATS JetStream peers share: a connection, a request to JetStream's API, a publisher
 * and the acknowledgements it gets. Source: NATS client protocol; JetStream's JSON API ($JS.API.*). */
#ifndef SENTINEL_BENCH_PEERS_NATS_PEER_H
#define SENTINEL_BENCH_PEERS_NATS_PEER_H

#include "broker_peer.h"

/* Until the server listens. */
static int nats_await(void) {
    double began = io_measure_seconds();
    int descriptor;
    while ((descriptor = peer_connect()) < 0 && io_measure_seconds() - began < 30)
        usleep(500);
    if (descriptor < 0) peer_fail("nats-server does not listen");
    return descriptor;
}

static int nats_connect(const char *inbox) {
    int descriptor = peer_connect();
    if (descriptor < 0) peer_fail("nats-server does not listen");
    char text[256];
    int size = snprintf(text, sizeof text,
                        "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB %s 1\r\nPING\r\n", inbox);
    peer_say(descriptor, text, (size_t)size);
    peer_expect(descriptor, "PONG\r\n");
    return descriptor;
}

/* Whether JetStream did what it was asked: false: it answers with an error, or with nothing for 5 s. */
static bool nats_request(const char *subject, const char *body) {
    int descriptor = nats_connect("_INBOX.api");
    struct timeval limit = {.tv_sec = 5};
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    char text[8192];
    int size = snprintf(text, sizeof text, "PUB %s _INBOX.api %zu\r\n%s\r\n", subject, strlen(body), body);
    peer_say(descriptor, text, (size_t)size);
    bool answered = false;
    for (size_t filled = 0; !answered && filled < sizeof text - 1;) {
        ssize_t n = read(descriptor, text + filled, sizeof text - 1 - filled);
        if (n <= 0) break;
        filled += (size_t)n;
        text[filled] = '\0';
        const char *response = strstr(text, "_response\"");
        answered = response != NULL && strchr(response, '\n') != NULL;
    }
    close(descriptor);
    return answered && strstr(text, "\"error\"") == NULL;
}

/* A cluster has no leader for it in its first seconds. */
static void nats_make_stream(int replicas) {
    char body[128];
    snprintf(body, sizeof body,
             "{\"name\":\"bench\",\"subjects\":[\"bench.*\"],\"storage\":\"file\",\"num_replicas\":%d}",
             replicas);
    double began = io_measure_seconds();
    nats_request("$JS.API.STREAM.DELETE.bench", "");
    while (!nats_request("$JS.API.STREAM.CREATE.bench", body)) {
        if (io_measure_seconds() - began > 60) peer_fail("the stream cannot be made");
        usleep(200000);
    }
}

/* Counts messages: acknowledgements, or records. MSG subject sid [reply] size CRLF payload CRLF */
static size_t nats_parse(struct peer_link *link, const char *data, size_t size) {
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
        bool small = payload < 200; /* an acknowledgement; a record that is consumed is not searched */
        if (small && memmem(end, payload, "\"error\"", 7) != NULL) peer_fail("JetStream refused a message");
        link->acknowledged++;
        taken += head + payload + 2;
    }
    return taken;
}

static void nats_open_publisher(struct peer_link *link, int i, uint32_t value_bytes) {
    char inbox[64];
    snprintf(inbox, sizeof inbox, "_INBOX.p%d", i);
    peer_link_open(link, nats_connect(inbox));
    char head[128];
    snprintf(head, sizeof head, "PUB bench.%d %s %u\r\n", i, inbox, value_bytes);
    peer_link_repeat(link, head, value_bytes);
}

#endif
