// SPDX-License-Identifier: Apache-2.0
/* etcd (Debian: etcd-server), three servers, under the cases of `sentinel bench broker --nodes 3` that it can
 * run. */
#include "etcd_peer.h"

#define SERVERS       3
#define SMALL_BYTES   256 /* as in bench_cluster.c */
#define SMALL_LINKS   6
#define SMALL_WINDOW  64
#define SMALL_CALLS   100000
#define FAILOVERS     20
#define FAILOVER_ACKS 50
#define ATTEMPT_MS    100
#define SETTLE_PAUSES 200 /* of 10 ms */

static void case_small(void) {
    char name[64], text[128];
    etcd_put_begin(SMALL_BYTES);
    etcd_puts(SMALL_LINKS, SMALL_WINDOW, SMALL_CALLS / 10);
    double cpu = -etcd_cpu();
    double seconds = etcd_puts(SMALL_LINKS, SMALL_WINDOW, SMALL_CALLS);
    cpu += etcd_cpu();
    snprintf(name, sizeof name, "%d B, gRPC unary, %d clients", SMALL_BYTES, SMALL_LINKS * SMALL_WINDOW);
    peer_add(name, SMALL_CALLS / 1e3 / seconds, "k/s");
    snprintf(text, sizeof text, "%s: CPU, all nodes", name);
    peer_add(text, cpu / SMALL_CALLS * 1e6, "us");
    etcd_add_latency(name);
}

/* From the death of the leader until another server acknowledges. */
static double fail_over(void) {
    etcd_find_leader();
    etcd_puts(1, 1, FAILOVER_ACKS);
    int victim = etcd.leader;
    double began = io_measure_seconds(), seconds;
    io_child_stop(&etcd.children[victim], 0);
    for (int i = victim + 1;; i++) {
        int other = i % SERVERS;
        if (other == victim) continue;
        if (bench_unary_call(etcd.io, etcd.clients[other], ETCD_PUT, writer_slice(&etcd.put), ATTEMPT_MS,
                             NULL))
            break;
        if (io_measure_seconds() - began > ETCD_SECONDS) bench_fail("etcd", "nobody takes over");
    }
    seconds = io_measure_seconds() - began;
    etcd_launch(victim);
    for (int i = 0; i < SETTLE_PAUSES; i++)
        io_measure_pause();
    return seconds;
}

static void case_failover(void) {
    double times[FAILOVERS];
    etcd_put_begin(1024);
    for (int i = 0; i < FAILOVERS; i++)
        times[i] = fail_over();
    qsort(times, FAILOVERS, sizeof *times, peer_compare);
    peer_add("failover, SIGKILL of a leader: p50", times[FAILOVERS / 2] * 1e3, "ms");
    peer_add("failover, SIGKILL of a leader: longest", times[FAILOVERS - 1] * 1e3, "ms");
}

int main(int argc, char **argv) {
    peer_options(argc, argv);
    if (!peer_wants("small") && !peer_wants("latency") && !peer_wants("failover")) {
        io_measure_remove_dir(peer.dir);
        return 0;
    }
    printf(
        "# etcd, 3 servers, its defaults: a Put is acknowledged when a majority has fsynced it, as with us; "
        "one Raft group, and a key-value store with versions behind it; clients ask the leader\n");
    etcd_start(SERVERS);
    if (peer_wants("latency")) etcd_case_latency();
    if (peer_wants("small")) case_small();
    if (peer_wants("failover")) case_failover();
    etcd_stop();
    return 0;
}
