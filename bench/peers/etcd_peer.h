// SPDX-License-Identifier: Apache-2.0
/* etcd_peer.h: what the etcd peers share: servers, who leads, and Put as a record that is published.
 *
 * etcd acknowledges a Put when a majority has fsynced it in its log, as Sentinel does with a record; beside
 * that it keeps a key-value store with all versions, and it is one Raft group. Every client writes keys of
 * its own, all through the leader. Source: etcd's api/etcdserverpb/rpc.proto; its flags. */
#ifndef SENTINEL_BENCH_PEERS_ETCD_PEER_H
#define SENTINEL_BENCH_PEERS_ETCD_PEER_H

#include "broker_peer.h"

#include "base/histogram.h"
#include "cli/bench_broker_io.h"
#include "cli/bench_unary.h"
#include "wire/protobuf.h"

#define ETCD_SERVERS_MAX 3
#define ETCD_SECONDS     60
#define ETCD_STATUS_MS   1000
#define ETCD_PUT         "/etcdserverpb.KV/Put"
#define ETCD_STATUS      "/etcdserverpb.Maintenance/Status"
#define ETCD_KEY_SIZE    8u

static struct {
    int count;
    struct io *io;
    struct io_child children[ETCD_SERVERS_MAX];
    char clients[ETCD_SERVERS_MAX][32], peers[ETCD_SERVERS_MAX][32], dirs[ETCD_SERVERS_MAX][320];
    char members[160];
    int leader;
    struct writer put; /* a PutRequest; its key is changed in place */
    struct histogram latency_ns;
} etcd;

_Noreturn void bench_fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    for (int i = 0; i < etcd.count; i++)
        io_child_stop(&etcd.children[i], 0);
    peer_fail("etcd");
}

/* ---- servers ------------------------------------------------------------------------------------------ */

static void etcd_launch(int i) {
    char name[16], client[48], peer_url[48];
    snprintf(name, sizeof name, "n%d", i);
    snprintf(client, sizeof client, "http://%s", etcd.clients[i]);
    snprintf(peer_url, sizeof peer_url, "http://%s", etcd.peers[i]);
    const char *const arguments[] = {"etcd",       "--name",
                                     name,         "--data-dir",
                                     etcd.dirs[i], "--listen-client-urls",
                                     client,       "--advertise-client-urls",
                                     client,       "--listen-peer-urls",
                                     peer_url,     "--initial-advertise-peer-urls",
                                     peer_url,     "--initial-cluster",
                                     etcd.members, "--initial-cluster-state",
                                     "new",        "--log-level",
                                     "error",      NULL};
    if (!io_child_start(&etcd.children[i], arguments, false, peer.log))
        bench_fail("etcd", "it cannot be started");
}

struct etcd_status {
    uint64_t member, leader;
};

static bool etcd_status(int i, struct etcd_status *status) {
    struct writer answer;
    struct protobuf_field field;
    *status = (struct etcd_status){0};
    writer_init(&answer);
    bool good = bench_unary_call(etcd.io, etcd.clients[i], ETCD_STATUS, SLICE_EMPTY, ETCD_STATUS_MS, &answer);
    struct reader in = reader_make(writer_slice(&answer));
    while (good && protobuf_next(&in, &field)) {
        if (protobuf_is(&field, 4, PROTOBUF_VARINT)) status->leader = field.value;
        if (!protobuf_is(&field, 1, PROTOBUF_BYTES)) continue;
        struct reader header = reader_make(field.bytes);
        while (protobuf_next(&header, &field))
            if (protobuf_is(&field, 2, PROTOBUF_VARINT)) status->member = field.value;
    }
    writer_release(&answer);
    return good && status->leader != 0;
}

/* Until all know who leads. */
static void etcd_find_leader(void) {
    double until = io_measure_seconds() + ETCD_SECONDS;
    for (int i = 0; i < etcd.count;) {
        struct etcd_status status;
        if (etcd_status(i, &status)) {
            if (status.member == status.leader) etcd.leader = i;
            i++;
        } else if (io_measure_seconds() > until) {
            bench_fail("etcd", "it gets no leader");
        } else {
            io_measure_pause();
        }
    }
}

static void etcd_start(int count) {
    size_t used = 0;
    struct diagnostic why = {{0}};
    etcd.count = count;
    if (io_new(&(struct io_options){.backend = IO_BACKEND_AUTO}, &etcd.io, &why) != STATUS_OK)
        bench_fail("io", why.text);
    for (int i = 0; i < count; i++) {
        snprintf(etcd.clients[i], sizeof etcd.clients[i], "127.0.0.1:%u", io_child_free_port());
        snprintf(etcd.peers[i], sizeof etcd.peers[i], "127.0.0.1:%u", io_child_free_port());
        snprintf(etcd.dirs[i], sizeof etcd.dirs[i], "%s/etcd%d", peer.dir, i);
        used += (size_t)snprintf(etcd.members + used, sizeof etcd.members - used, "%sn%d=http://%s",
                                 i == 0 ? "" : ",", i, etcd.peers[i]);
    }
    for (int i = 0; i < count; i++)
        etcd_launch(i);
    etcd_find_leader();
}

static void etcd_stop(void) {
    for (int i = 0; i < etcd.count; i++)
        io_child_stop(&etcd.children[i], 10);
    io_free(etcd.io);
    io_measure_remove_dir(peer.dir);
}

static double etcd_cpu(void) {
    double sum = 0;
    for (int i = 0; i < etcd.count; i++) {
        struct io_child_usage usage;
        if (!io_child_usage(&etcd.children[i], &usage)) bench_fail("etcd", "a server is gone");
        sum += usage.cpu_seconds;
    }
    return sum;
}

/* ---- Put ---------------------------------------------------------------------------------------------- */

static void etcd_put_begin(uint32_t value_bytes) {
    struct prng prng;
    uint8_t *value = malloc(value_bytes);
    prng_init(&prng, 1);
    prng_bytes(&prng, value, value_bytes);
    writer_release(&etcd.put);
    writer_init(&etcd.put);
    protobuf_write_bytes(&etcd.put, 1, slice_make((const uint8_t *)"key-0000", ETCD_KEY_SIZE));
    protobuf_write_bytes(&etcd.put, 2, slice_make(value, value_bytes));
    free(value);
}

static const char *etcd_address(void *ctx, uint32_t connection) {
    (void)ctx;
    (void)connection;
    return etcd.clients[etcd.leader];
}

static struct slice etcd_request(void *ctx, uint32_t connection, uint64_t number) {
    (void)ctx;
    (void)connection;
    store_be32(etcd.put.data + 2 + ETCD_KEY_SIZE / 2, (uint32_t)number);
    return writer_slice(&etcd.put);
}

static void etcd_answer(void *ctx, struct slice message) {
    (void)ctx;
    if (message.size == 0) bench_fail("Put", "an answer without a header");
}

/* So many Puts; returns the seconds. */
static double etcd_puts(uint32_t connections, uint32_t window, uint64_t calls) {
    struct bench_unary unary = {.io = etcd.io,
                                .path = ETCD_PUT,
                                .connections = connections,
                                .window = window,
                                .calls = calls,
                                .address = etcd_address,
                                .request = etcd_request,
                                .answer = etcd_answer,
                                .latency_ns = &etcd.latency_ns};
    histogram_init(&etcd.latency_ns);
    double seconds = -io_measure_seconds();
    bench_unary_run(&unary);
    return seconds + io_measure_seconds();
}

static void etcd_add_latency(const char *name) {
    static const struct {
        uint32_t per_mille;
        const char *name;
    } quantiles[] = {{500, "p50"}, {990, "p99"}, {999, "p999"}};
    for (unsigned i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        char text[128];
        snprintf(text, sizeof text, "%s: %s", name, quantiles[i].name);
        peer_add(text, (double)histogram_quantile(&etcd.latency_ns, quantiles[i].per_mille) / 1e3, "us");
    }
}

static void etcd_case_latency(void) {
    etcd_put_begin(1024);
    etcd_puts(1, 1, PEER_LATENCY / 8); /* warms up */
    etcd_puts(1, 1, PEER_LATENCY);
    etcd_add_latency("publish 1 KiB, one at a time");
}

#endif
