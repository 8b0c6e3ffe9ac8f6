// SPDX-License-Identifier: Apache-2.0
/* NATS JetStream (Debian: nats-server) under the cases of `sentinel bench broker`, its own protocol over
 * sockets: each message is published by itself, with a reply subject, and acknowledged by the server. Source:
 * NATS client protocol; JetStream's JSON API ($JS.API.*). */
#include "nats_peer.h"

static char store_dir[300];

static double start_server(void) {
    char port[16];
    snprintf(port, sizeof port, "%u", peer.port);
    const char *const arguments[] = {"nats-server", "-a",  "127.0.0.1", "-p", port,
                                     "-js",         "-sd", store_dir,   NULL};
    double began = io_measure_seconds();
    if (!io_child_start(&peer.child, arguments, false, peer.log)) peer_fail("nats-server cannot be started");
    int descriptor = nats_await();
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

static void consume(void) {
    struct peer_link link;
    uint64_t records = 24 * 1024;
    double seconds = 0, cpu = 0;
    int rounds = 4;
    for (int round = 0; round < rounds; round++) {
        peer_link_open(&link, nats_connect("_INBOX.push"));
        link.total = records;
        struct io_child_usage before = peer_usage();
        double began = io_measure_seconds();
        static const char push[] =
            "{\"stream_name\":\"bench\",\"config\":{\"deliver_subject\":\"_INBOX.push\","
            "\"ack_policy\":\"none\",\"deliver_policy\":\"all\"}}";
        if (!nats_request("$JS.API.CONSUMER.CREATE.bench", push)) peer_fail("the consumer cannot be made");
        peer_drive(&link, 1, nats_parse, NULL);
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
        nats_make_stream(1);
        peer_case_publish("publish 1 KiB", 1024, peer.mib << 20, nats_open_publisher, nats_parse);
        nats_make_stream(1);
        peer_case_publish("publish 100 B", 100, peer.mib << 18, nats_open_publisher, nats_parse);
    }
    if (peer_wants("latency")) {
        nats_make_stream(1);
        peer_case_latency(nats_open_publisher, nats_parse);
    }
    if (peer_wants("memory")) {
        nats_make_stream(1);
        struct peer_link links[PEER_LINKS];
        for (int i = 0; i < PEER_LINKS; i++) {
            nats_open_publisher(&links[i], i, 1024);
            links[i].total = 24 * 1024 / PEER_LINKS;
            links[i].window = 1024;
        }
        peer_drive(links, PEER_LINKS, nats_parse, NULL);
        for (int i = 0; i < PEER_LINKS; i++)
            peer_link_close(&links[i]);
        consume();
    }
    if (peer_wants("stored")) {
        nats_make_stream(1);
        peer_case_stored(start_server, nats_open_publisher, nats_parse);
    }
    peer_add("resident, at the end", (double)peer_usage().resident_bytes / (1 << 20), "MiB");
    io_child_stop(&peer.child, 10);
    io_measure_remove_dir(peer.dir);
    return 0;
}
