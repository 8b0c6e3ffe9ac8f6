// SPDX-License-Identifier: Apache-2.0
#include "lib/replica_world.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/test.h"

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "broker/keys.h"
#include "wire/record_batch.h"

#define PORT 7000

/* ---- what the peers say -----------------------------------------------------------------------------------
 */

static void message(void *ctx, uint32_t from, struct shared_slice bytes) {
    struct replica_node *node = ctx;
    MAYBE(from != 0);
    raft_host_deliver(node->host, bytes);
}

static void down(void *ctx, uint32_t other) {
    raft_host_node_down(((struct replica_node *)ctx)->host, other);
}

static void up(void *ctx, uint32_t other) {
    raft_host_node_up(((struct replica_node *)ctx)->host, other);
}

/* ---- a machine with a large state ------------------------------------------------------------------------
 */

static void apply_and_keep(void *ctx, const struct raft_entry *entries, uint32_t count,
                           struct store_write *write) {
    replicated_log_machine.apply(ctx, entries, count, write);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t rest[9] = {'e'};
        store_be64(rest + 1, entries[i].base);
        struct key key = key_state(REPLICA_GROUP, slice_make(rest, sizeof rest));
        store_put(write, key_slice(&key),
                  (struct shared_slice){entries[i].payload.bytes.size == 0 ? slice_from_text("none")
                                                                           : entries[i].payload.bytes,
                                        NULL});
    }
}

static bool load_fails(void *ctx) {
    struct replica_node *node = CONTAINER_OF(ctx, struct replica_node, log);
    if (node->failing_loads == 0) return false;
    node->failing_loads--;
    return true;
}

static enum status install_or_fail(void *ctx, uint64_t end) {
    return load_fails(ctx) ? STATUS_IO : replicated_log_machine.installed(ctx, end);
}

static enum status reopen_or_fail(void *ctx) {
    return load_fails(ctx) ? STATUS_IO : replicated_log_machine.reopened(ctx);
}

static void count_repair(void *ctx, struct store_write *write) {
    struct replicated_log *log = ctx;
    assert_non_null(write);
    CONTAINER_OF(log, struct replica_node, log)->repairs++;
}

uint64_t replica_world_state(const struct replica_world *w, uint32_t number, uint64_t *count) {
    struct key lower = key_prefix(REPLICA_GROUP, KEY_STATE), upper = key_prefix(REPLICA_GROUP, KEY_RAFT);
    struct store_iterator *it = store_iterator_open(w->nodes[number - 1].store, key_slice(&lower),
                                                    key_slice(&upper), STORE_ITERATOR_BLOCKING, NULL, NULL);
    uint64_t hash = 0;
    *count = 0;
    enum status status = store_iterator_seek(it, key_slice(&lower));
    for (; status == STATUS_OK; status = store_iterator_next(it), ++*count)
        hash = hash_bytes(hash_bytes(hash, store_iterator_key(it)), store_iterator_value(it).bytes);
    assert_status(status, STATUS_END);
    store_iterator_close(it);
    return hash;
}

static const struct peer_events events = {.message = message, .down = down, .up = up};

static void send_message(void *ctx, uint32_t to, struct chain *bytes) {
    peers_send(((struct replica_node *)ctx)->peers, to, bytes);
}

/* ---- one history ------------------------------------------------------------------------------------------
 */

static void watch(void *ctx, const struct replicated_log *log, const struct raft_entry *entry) {
    struct replica_node *node = ctx;
    struct replica_world *w = node->world;
    assert_true(entry->end < REPLICA_HISTORY);
    node->applied_seen = entry->end;
    if (entry->end > w->committed_end) {
        w->committed_end = entry->end;
        w->hashes[entry->end] = log->hash;
        return;
    }
    /* State machine safety: "no other server will ever apply a different log entry for the same index". */
    assert_true(w->hashes[entry->end] == log->hash);
}

static struct raft_machine keeping_machine;

/* ---- nodes ------------------------------------------------------------------------------------------------
 */

void replica_world_start(struct replica_world *w, uint32_t number) {
    struct raft_machine keeping = replicated_log_machine;
    if (w->keeps_all) keeping.apply = apply_and_keep;
    keeping.installed = install_or_fail;
    keeping.reopened = reopen_or_fail;
    keeping.repairing = count_repair;
    keeping_machine = keeping;
    struct replica_node *node = &w->nodes[number - 1];
    assert_false(node->up);
    node->io = io_sim_node_io(w->sim, number - 1);
    struct store_options store = {.dir = "data",
                                  .memtable_bytes = 64 * KIB,
                                  .cache_bytes = 64 * KIB,
                                  .wal_segment_bytes = 64 * KIB,
                                  .table_bytes = 32 * KIB,
                                  .partition_prefix_size = 9};
    assert_status(store_open(node->io, &store, &node->store, &w->why), STATUS_OK);
    struct raft_host_options host = {.io = node->io,
                                     .store = node->store,
                                     .raft = w->raft,
                                     .seed = ++w->starts,
                                     .snapshot_piece_bytes = w->piece_bytes,
                                     .snapshot_bytes_max = w->snapshot_bytes_max,
                                     .bulk_rate = w->bulk_rate,
                                     .send = send_message,
                                     .ctx = node};
    host.raft.id = raft_id(number, node->incarnation);
    node->host = raft_host_new(&host);
    struct peers_options peers = peers_options_default();
    peers.io = node->io;
    peers.node = number;
    peers.incarnation = node->incarnation;
    peers.events = &events;
    peers.ctx = node;
    node->peers = peers_new(&peers);
    peers_set_cluster(node->peers, "test-cluster-aaaaaaaaa", SLICE_EMPTY);
    char address[72];
    snprintf(address, sizeof address, "0.0.0.0:%d", PORT);
    assert_status(peers_listen(node->peers, address, NULL, &w->why), STATUS_OK);
    for (uint32_t i = 1; i <= w->count; i++) {
        if (i == number) continue;
        snprintf(address, sizeof address, "node%u:%d", i - 1, PORT);
        assert_status(peers_add(node->peers, i, address), STATUS_OK);
    }
    node->log = (struct replicated_log){.store = node->store, .group = REPLICA_GROUP};
    node->log.watch = watch;
    node->log.watch_ctx = node;
    struct raft_config *config = mem_calloc(1, raft_config_size(w->founding));
    config->member_count = w->founding;
    for (uint32_t i = 0; i < w->founding; i++)
        config->members[i] = (struct raft_member){raft_id(i + 1, 1), RAFT_VOTER};
    struct raft_replica_options replica = {
        .group = REPLICA_GROUP,
        .format = w->format,
        .machine = &keeping_machine,
        .ctx = &node->log,
        .founding = node->incarnation == 1 && number <= w->founding ? config : NULL,
        .priority = RAFT_PRIORITY_MAX};
    enum status status = raft_replica_open(node->host, &replica, &node->replica, &w->why);
    if (status != STATUS_OK) printf("%s\n", w->why.text);
    assert_status(status, STATUS_OK);
    assert_status(replicated_log_init(&node->log, node->store, REPLICA_GROUP), STATUS_OK);
    mem_free(config);
    node->up = true;
}

uint64_t replica_world_received(const struct replica_world *w, uint32_t number) {
    const struct replica_node *node = &w->nodes[number - 1];
    struct raft_host_stats stats = {0};
    if (node->up) raft_host_stats(node->host, &stats);
    return node->received_before + stats.snapshot_bytes_received;
}

static void release(struct replica_node *node) {
    node->received_before = replica_world_received(node->world, node->number);
    peers_free(node->peers);
    raft_replica_close(node->replica, false);
    raft_host_free(node->host);
    store_close(node->store);
    io_free(node->io);
    node->up = false;
}

void replica_world_crash(struct replica_world *w, uint32_t number, enum io_sim_crash how) {
    struct replica_node *node = &w->nodes[number - 1];
    assert_true(node->up);
    io_sim_crash_node(w->sim, number - 1, how);
    release(node);
}

void replica_world_open(struct replica_world *w, uint64_t seed, uint32_t nodes) {
    *w = (struct replica_world){.sim = io_sim_new(seed),
                                .count = nodes,
                                .founding = nodes,
                                .format = RAFT_FORMAT_PLAIN,
                                .piece_bytes = 16,
                                .raft = raft_options_default(1)};
    for (uint32_t i = 0; i < nodes; i++) {
        w->nodes[i] = (struct replica_node){.world = w, .number = i + 1, .incarnation = 1};
    }
}

void replica_world_close(struct replica_world *w) {
    for (uint32_t i = 0; i < w->count; i++)
        if (w->nodes[i].up) replica_world_crash(w, i + 1, IO_SIM_CRASH_PROCESS);
    io_sim_free(w->sim);
}

void replica_world_compact(struct replica_world *w, uint64_t position) {
    for (uint32_t i = 0; i < w->count; i++)
        if (w->nodes[i].up) raft_replica_compact(w->nodes[i].replica, position);
    replica_world_run(w, 100);
}

void replica_world_run(struct replica_world *w, uint64_t ms) {
    io_sim_run_until(w->sim, io_sim_now(w->sim) + ms * NS_PER_MS);
}

/* ---- what happens -----------------------------------------------------------------------------------------
 */

static uint32_t find_leader(const struct replica_world *w) {
    uint32_t leader = 0;
    uint64_t term = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct replica_node *node = &w->nodes[i];
        if (!node->up || !raft_replica_is_leader(node->replica)) continue;
        const struct raft *raft = raft_replica_raft(node->replica);
        if (raft->term <= term) continue;
        term = raft->term;
        leader = i + 1;
    }
    return leader;
}

uint32_t replica_world_leader(struct replica_world *w, uint64_t ms) {
    for (uint64_t waited = 0; find_leader(w) == 0 && waited < ms; waited += 10)
        replica_world_run(w, 10);
    return find_leader(w);
}

struct proposal {
    struct raft_propose propose;
    struct replica_world *world;
};

static void proposed(struct raft_propose *propose) {
    struct proposal *p = CONTAINER_OF(propose, struct proposal, propose);
    if (propose->status == STATUS_OK) p->world->accepted++;
    mem_free(p);
}

static struct buffer *payload(struct replica_world *w, size_t size) {
    uint8_t value[4096] = {0};
    assert_true(size >= 8 && size <= sizeof value);
    store_be64(value, ++w->counter);
    if (w->format == RAFT_FORMAT_PLAIN) return buffer_copy(slice_make(value, size));
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    record_batch_add(&builder, 1000, SLICE_EMPTY, slice_make(value, size), NULL, 0);
    struct buffer *batch = record_batch_finish(&builder, CODEC_NONE, NULL);
    record_batch_builder_release(&builder);
    return batch;
}

void replica_world_propose(struct replica_world *w, uint32_t number, size_t size) {
    struct replica_node *node = &w->nodes[number - 1];
    if (!node->up) return;
    struct proposal *p = mem_calloc(1, sizeof *p);
    p->world = w;
    struct buffer *bytes = payload(w, size);
    p->propose = (struct raft_propose){
        .payload = {slice_make(bytes->data, bytes->size), bytes}, .count = 1, .done = proposed};
    w->proposals++;
    raft_replica_propose(node->replica, &p->propose);
    buffer_unref(bytes);
}

void replica_world_propose_many(struct replica_world *w, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t leader = replica_world_leader(w, 5000);
        assert_int_not_equal(leader, 0);
        replica_world_propose(w, leader, 8 + i % 200);
        if (i % 8 == 0) replica_world_run(w, 5);
    }
}

static bool settled(const struct replica_world *w) {
    for (uint32_t i = 0; i < w->count; i++) {
        const struct replica_node *node = &w->nodes[i];
        if (!node->up) continue;
        if (raft_replica_health(node->replica) != STATUS_OK) return false;
        if (raft_replica_applied(node->replica) < w->committed_end) return false;
        /* A follower may keep an uncommitted suffix until the leader appends something (raft.h, D2). */
        const struct raft *raft = raft_replica_raft(node->replica);
        if (raft_is_leader(raft) && raft->log.end != w->committed_end) return false;
        assert_true(node->log.hash == w->hashes[w->committed_end]);
    }
    return find_leader(w) != 0;
}

static void print_state(const struct replica_world *w) {
    printf("committed up to %" PRIu64 "\n", w->committed_end);
    for (uint32_t i = 0; i < w->count; i++) {
        const struct replica_node *node = &w->nodes[i];
        if (!node->up) continue;
        const struct raft *raft = raft_replica_raft(node->replica);
        printf("node %u %s term=%" PRIu64 " log=[%" PRIu64 ",%" PRIu64 ") commit=%" PRIu64 " applied=%" PRIu64
               " health=%s\n",
               i + 1, raft_role_name(raft->role), raft->term, raft->log.start, raft->log.end,
               raft->commit_end, raft_replica_applied(node->replica),
               status_name(raft_replica_health(node->replica)));
    }
}

bool replica_world_settle(struct replica_world *w, uint64_t ms) {
    for (uint64_t waited = 0; waited < ms; waited += 50) {
        replica_world_run(w, 50); /* what was proposed a moment ago counts */
        if (settled(w)) return true;
    }
    print_state(w);
    return false;
}
