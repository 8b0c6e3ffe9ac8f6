// SPDX-License-Identifier: Apache-2.0
/* etcd (Debian: etcd-server), one server, under the cases of `sentinel bench broker` that it can run. */
#include "etcd_peer.h"

#define UNARY_LINKS  4 /* as in bench_broker.c */
#define UNARY_WINDOW 64
#define UNARY_CALLS  100000

int main(int argc, char **argv) {
    peer_options(argc, argv);
    if (!peer_wants("unary") && !peer_wants("latency")) {
        io_measure_remove_dir(peer.dir);
        return 0;
    }
    printf(
        "# etcd, its defaults: a Put is acknowledged when it is fsynced, as with us; a key-value store with "
        "versions behind it\n");
    etcd_start(1);
    if (peer_wants("latency")) etcd_case_latency();
    if (peer_wants("unary")) {
        etcd_put_begin(1024);
        etcd_puts(UNARY_LINKS, UNARY_WINDOW, UNARY_CALLS / 10);
        double cpu = -etcd_cpu();
        double seconds = etcd_puts(UNARY_LINKS, UNARY_WINDOW, UNARY_CALLS);
        cpu += etcd_cpu();
        peer_add("publish 1 KiB, gRPC unary", UNARY_CALLS / 1e3 / seconds, "k/s");
        peer_add("publish 1 KiB, gRPC unary: per CPU second", UNARY_CALLS / 1e3 / cpu, "k/s");
        peer_add("publish 1 KiB, gRPC unary: p99", (double)histogram_quantile(&etcd.latency_ns, 990) / 1e3,
                 "us");
    }
    etcd_stop();
    return 0;
}
