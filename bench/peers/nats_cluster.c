// SPDX-License-Identifier: Apache-2.0
/* NATS JetStream (Debian: nats-server) with three servers and three replicas, under the cases of `sentinel
 * bench broker --nodes 3`. Source: NATS client protocol; JetStream's JSON API ($JS.API.*); its clustering
 * flags. */
#include "nats_peer.h"

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
    close(nats_await());
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
        nats_open_publisher(&links[i], i, 1024);
        links[i].total = records / PEER_LINKS;
        links[i].window = PEER_UNDER_WAY / 1024 / PEER_LINKS;
    }
    double cpu = -cpu_of_all(), seconds = -io_measure_seconds();
    peer_drive(links, PEER_LINKS, nats_parse, NULL);
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
        nats_make_stream(SERVERS);
        case_publish();
    }
    if (peer_wants("latency")) {
        nats_make_stream(SERVERS);
        peer_case_latency(nats_open_publisher, nats_parse);
    }
    for (int i = 0; i < SERVERS; i++)
        io_child_stop(&servers[i], 10);
    io_measure_remove_dir(peer.dir);
    return 0;
}
