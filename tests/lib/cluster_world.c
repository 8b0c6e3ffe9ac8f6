// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster_world.h"

#include <stdio.h>

#include "lib/test.h"

#include "base/arena.h"
#include "base/mem.h"
#include "broker/broker_state.h"
#include "broker/keys.h"
#include "wire/record_batch.h"

#define PORT        7000
#define PATIENCE_MS 60000

void cluster_world_run(struct cluster_world *w, uint64_t ms) {
    io_sim_run_until(w->sim, io_sim_now(w->sim) + ms * NS_PER_MS);
}

static bool wait_for(struct cluster_world *w, const bool *done, uint64_t ms) {
    for (uint64_t waited = 0; !*done && waited < ms; waited += 5)
        cluster_world_run(w, 5);
    return *done;
}

enum status cluster_world_try_start(struct cluster_world *w, uint32_t node) {
    assert_null(w->nodes[node].broker);
    w->nodes[node].io = io_sim_node_io(w->sim, node - 1);
    struct broker_options options = broker_options_default();
    options.data_dir = "data";
    options.node_id = (int32_t)node;
    options.peers = w->peers;
    options.peer_count = w->alone ? 0 : node <= w->founders ? w->founders : w->count;
    options.rack = w->racks[node];
    options.advertised = w->addresses[node - 1];
    options.stretch_bytes = 2 * KIB; /* many of them */
    options.cleaner_check_ms = 1000;
    options.store.memtable_bytes = 64 * KIB;
    options.store.cache_bytes = 64 * KIB;
    options.store.wal_segment_bytes = 64 * KIB;
    options.store.table_bytes = 32 * KIB;
    enum status status = broker_open(w->nodes[node].io, &options, &w->nodes[node].broker, &w->why);
    if (status == STATUS_OK) {
        char address[32];
        snprintf(address, sizeof address, "0.0.0.0:%d", PORT);
        if (w->alone) return STATUS_OK;
        assert_status(peers_listen(broker_peers(w->nodes[node].broker), address, NULL, &w->why), STATUS_OK);
        return STATUS_OK;
    }
    w->nodes[node].broker = NULL;
    io_sim_crash_node(w->sim, node - 1, IO_SIM_CRASH_PROCESS);
    io_free(w->nodes[node].io);
    return status;
}

void cluster_world_start(struct cluster_world *w, uint32_t node) {
    enum status status = cluster_world_try_start(w, node);
    if (status != STATUS_OK) printf("node %u: %s\n", node, w->why.text);
    assert_status(status, STATUS_OK);
}

void cluster_world_grow(struct cluster_world *w, uint32_t nodes) {
    w->alone = false;
    w->count = w->founders = nodes;
    for (uint32_t i = 0; i < nodes; i++) {
        snprintf(w->addresses[i], sizeof w->addresses[i], "node%u:%d", i, PORT);
        w->peers[i] = (struct broker_peer){i + 1, w->addresses[i]};
    }
    for (uint32_t i = 1; i <= nodes; i++)
        cluster_world_start(w, i);
}

void cluster_world_open(struct cluster_world *w, uint64_t seed, uint32_t nodes) {
    *w = (struct cluster_world){.sim = io_sim_new(seed)};
    cluster_world_grow(w, nodes);
}

void cluster_world_open_alone(struct cluster_world *w, uint64_t seed) {
    *w = (struct cluster_world){.sim = io_sim_new(seed), .count = 1, .founders = 1, .alone = true};
    cluster_world_start(w, 1);
}

static void release(struct cluster_world *w, uint32_t node) {
    broker_close(w->nodes[node].broker);
    w->nodes[node].broker = NULL;
    io_free(w->nodes[node].io);
}

void cluster_world_crash(struct cluster_world *w, uint32_t node, enum io_sim_crash how) {
    io_sim_crash_node(w->sim, node - 1, how);
    release(w, node);
}

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}

void cluster_world_shutdown(struct cluster_world *w, uint32_t node) {
    bool left = false, down = false;
    broker_leave(w->nodes[node].broker, set_flag, &left);
    assert_true(wait_for(w, &left, PATIENCE_MS));
    broker_shutdown(w->nodes[node].broker, set_flag, &down);
    assert_true(wait_for(w, &down, PATIENCE_MS));
    io_sim_crash_node(w->sim, node - 1, IO_SIM_CRASH_PROCESS);
    release(w, node);
}

void cluster_world_close(struct cluster_world *w) {
    for (uint32_t i = 1; i <= w->count; i++)
        if (w->nodes[i].broker != NULL) cluster_world_crash(w, i, IO_SIM_CRASH_PROCESS);
    io_sim_free(w->sim);
}

/* ---- topics -------------------------------------------------------------------------------------------- */

struct waiting_change {
    struct topic_change change;
    bool done;
};

static void changed(struct topic_change *change) {
    CONTAINER_OF(change, struct waiting_change, change)->done = true;
}

static enum status change_topic(struct cluster_world *w, uint32_t node, struct topic_change *change) {
    struct waiting_change waiting = {.change = *change};
    waiting.change.done = changed;
    broker_change_topic(w->nodes[node].broker, &waiting.change);
    assert_true(wait_for(w, &waiting.done, PATIENCE_MS));
    w->why = waiting.change.diagnostic;
    return waiting.change.status;
}

enum status cluster_world_create_with(struct cluster_world *w, uint32_t node, const char *topic,
                                      int partitions, int replicas, const struct topic_config *config) {
    struct topic_change change = {.kind = TOPIC_CREATE,
                                  .name = slice_from_text(topic),
                                  .partition_count = partitions,
                                  .replication = (int16_t)replicas,
                                  .config = *config};
    return change_topic(w, node, &change);
}

enum status cluster_world_create(struct cluster_world *w, uint32_t node, const char *topic, int partitions,
                                 int replicas) {
    const struct topic_config config = topic_config_default();
    return cluster_world_create_with(w, node, topic, partitions, replicas, &config);
}

enum status cluster_world_create_on(struct cluster_world *w, uint32_t node, const char *topic,
                                    const int32_t *nodes, int count) {
    struct topic_change change = {.kind = TOPIC_CREATE,
                                  .name = slice_from_text(topic),
                                  .partition_count = 1,
                                  .replication = (int16_t)count,
                                  .placement = nodes,
                                  .placement_count = (uint32_t)count,
                                  .config = topic_config_default()};
    return change_topic(w, node, &change);
}

enum status cluster_world_delete(struct cluster_world *w, uint32_t node, const char *topic) {
    return change_topic(w, node,
                        &(struct topic_change){.kind = TOPIC_DELETE, .name = slice_from_text(topic)});
}

enum status cluster_world_move(struct cluster_world *w, uint32_t asked, const char *topic, int partition,
                               const int32_t *nodes, int replicas) {
    struct topic_change change = {.kind = TOPIC_MOVE,
                                  .name = slice_from_text(topic),
                                  .partition = partition,
                                  .replication = (int16_t)replicas,
                                  .placement = nodes};
    while (nodes != NULL && nodes[change.placement_count] != 0)
        change.placement_count++;
    return change_topic(w, asked, &change);
}

enum status cluster_world_cancel_move(struct cluster_world *w, uint32_t asked, const char *topic,
                                      int partition) {
    return change_topic(w, asked,
                        &(struct topic_change){.kind = TOPIC_CANCEL_MOVE,
                                               .name = slice_from_text(topic),
                                               .partition = partition});
}

bool cluster_world_settle(struct cluster_world *w, uint32_t asked, const char *topic, uint64_t ms) {
    for (uint64_t waited = 0;; waited += 50) {
        const struct broker_topic *found = broker_topic_find(w->nodes[asked].broker, slice_from_text(topic));
        bool moving = found == NULL;
        struct partition_move move;
        for (int32_t i = 0; !moving && i < found->partition_count; i++)
            moving = broker_partition_move(w->nodes[asked].broker, found, i, &move);
        if (!moving || waited >= ms) return !moving;
        cluster_world_run(w, 50);
    }
}

struct waiting_node {
    struct node_change change;
    bool done;
};

static void node_changed(struct node_change *change) {
    CONTAINER_OF(change, struct waiting_node, change)->done = true;
}

enum status cluster_world_change_node(struct cluster_world *w, uint32_t asked, enum node_change_kind kind,
                                      uint32_t node) {
    struct waiting_node waiting = {
        .change = {.kind = kind, .node = (int32_t)node, .rate = w->rate, .done = node_changed}};
    if (kind == NODE_ADD) waiting.change.address = slice_from_text(w->addresses[node - 1]);
    broker_change_node(w->nodes[asked].broker, &waiting.change);
    assert_true(wait_for(w, &waiting.done, PATIENCE_MS));
    w->why = waiting.change.diagnostic;
    return waiting.change.status;
}

uint32_t cluster_world_add(struct cluster_world *w, uint32_t asked) {
    uint32_t node = ++w->count;
    assert_in_range(node, 1, CLUSTER_NODES_MAX);
    snprintf(w->addresses[node - 1], sizeof w->addresses[0], "node%u:%d", node - 1, PORT);
    w->peers[node - 1] = (struct broker_peer){node, w->addresses[node - 1]};
    assert_status(cluster_world_change_node(w, asked, NODE_ADD, node), STATUS_OK);
    cluster_world_start(w, node);
    return node;
}

uint32_t cluster_world_keys(struct cluster_world *w, uint32_t node, const char *topic, int partition) {
    struct broker *broker = w->nodes[node].broker;
    const struct topic_state *state = (const struct topic_state *)broker_topic_find(broker,
                                                                                    slice_from_text(topic));
    assert_non_null(state);
    struct key lower = key_group_start(state->groups[partition]);
    struct key upper = key_prefix(state->groups[partition], KEY_RAFT); /* what it voted is remembered */
    struct store_iterator *it = store_iterator_open(broker_store(broker), key_slice(&lower),
                                                    key_slice(&upper), STORE_ITERATOR_BLOCKING, NULL, NULL);
    uint32_t count = 0;
    for (enum status status = store_iterator_seek(it, key_slice(&lower)); status == STATUS_OK;
         status = store_iterator_next(it))
        count++;
    store_iterator_close(it);
    return count;
}

uint32_t cluster_world_leader(struct cluster_world *w, uint32_t asked, const char *topic, int partition) {
    for (uint64_t waited = 0; waited < PATIENCE_MS; waited += 20) {
        const struct broker_topic *found = broker_topic_find(w->nodes[asked].broker, slice_from_text(topic));
        if (found != NULL) {
            struct partition_leader leader = broker_partition_leader(w->nodes[asked].broker, found,
                                                                     partition);
            if (leader.node > 0 && w->nodes[leader.node].broker != NULL) return (uint32_t)leader.node;
        }
        cluster_world_run(w, 20);
    }
    fail_msg("no leader of %s/%d", topic, partition);
    return 0;
}

/* ---- records ------------------------------------------------------------------------------------------- */

static struct buffer *one_record(const char *value, int64_t producer, int32_t sequence) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    record_batch_add(&builder, 1700000000000, SLICE_EMPTY, slice_from_text(value), NULL, 0);
    struct record_batch_producer identity = {producer, 0, sequence};
    struct buffer *batch = record_batch_finish(&builder, CODEC_NONE, producer < 0 ? NULL : &identity);
    record_batch_builder_release(&builder);
    return batch;
}

struct waiting_append {
    struct append append;
    bool done;
};

static void appended(struct append *append) {
    CONTAINER_OF(append, struct waiting_append, append)->done = true;
}

enum status cluster_world_append(struct cluster_world *w, uint32_t node, const char *topic, int partition,
                                 const char *value, int64_t producer, int32_t sequence, int64_t *offset) {
    struct waiting_append waiting = {.done = false};
    struct buffer *batch = one_record(value, producer, sequence);
    waiting.append = (struct append){.topic = slice_from_text(topic),
                                     .partition = partition,
                                     .forward = w->forward,
                                     .batch = {slice_make(batch->data, batch->size), batch},
                                     .done = appended};
    broker_append(w->nodes[node].broker, &waiting.append);
    buffer_unref(batch);
    assert_true(wait_for(w, &waiting.done, PATIENCE_MS));
    w->why = waiting.append.diagnostic;
    if (offset != NULL) *offset = waiting.append.base_offset;
    return waiting.append.status;
}

int64_t cluster_world_produce(struct cluster_world *w, const char *topic, int partition, const char *value,
                              int64_t producer, int32_t sequence) {
    for (int attempt = 0; attempt < 2000; attempt++) {
        for (uint32_t node = 1; node <= w->count; node++) {
            int64_t offset;
            if (w->nodes[node].broker == NULL) continue;
            enum status status = cluster_world_append(w, node, topic, partition, value, producer, sequence,
                                                      &offset);
            if (status == STATUS_OK) return offset;
            assert_true(status == STATUS_NOT_LEADER || status == STATUS_UNKNOWN_TOPIC ||
                        status == STATUS_UNAVAILABLE);
        }
        cluster_world_run(w, 20);
    }
    fail_msg("nobody takes a record of %s/%d", topic, partition);
    return -1;
}

void cluster_world_produce_numbers(struct cluster_world *w, const char *topic, int partition, int from,
                                   int to, int64_t producer) {
    for (int i = from; i < to; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        cluster_world_produce(w, topic, partition, value, producer, i);
    }
}

struct waiting_fetch {
    struct fetch fetch;
    struct fetch_partition part;
    bool done;
};

static void fetched(struct fetch *fetch) {
    CONTAINER_OF(fetch, struct waiting_fetch, fetch)->done = true;
}

/* Adds the values of one batch; the offset behind it. */
static int64_t take_batch(struct shared_slice bytes, int64_t expected, struct writer *out) {
    struct record_batch batch;
    assert_status(record_batch_read(bytes.bytes, &batch), STATUS_OK);
    assert_int_equal(batch.base_offset, expected); /* no gap, nothing twice */
    if ((batch.attributes & BATCH_CONTROL) == 0) {
        struct arena arena;
        arena_init(&arena, 4096);
        struct record_iterator it;
        struct record record;
        assert_status(record_iterator_init(&it, &batch, &arena, 1 * MIB), STATUS_OK);
        while (record_iterator_next(&it, &record) == STATUS_OK) {
            writer_bytes(out, record.value);
            writer_u8(out, '\n');
        }
        arena_release(&arena);
    }
    return record_batch_last_offset(&batch) + 1;
}

/* Every record value from the beginning, each with a '\n' behind it. */
static void read_values(struct cluster_world *w, const char *topic, int partition, struct writer *out) {
    int64_t offset = 0;
    for (int attempt = 0; attempt < 3000; attempt++) {
        uint32_t asked = (uint32_t)attempt % w->count + 1;
        if (w->nodes[asked].broker == NULL) continue;
        uint32_t node = w->forward ? 1 : cluster_world_leader(w, asked, topic, partition);
        struct waiting_fetch waiting = {.part = {.topic = slice_from_text(topic),
                                                 .partition = partition,
                                                 .offset = offset,
                                                 .bytes_max = 1 << 20,
                                                 .leader_epoch = -1}};
        waiting.fetch = (struct fetch){.partitions = &waiting.part,
                                       .partition_count = 1,
                                       .bytes_max = 1 << 20,
                                       .forward = w->forward,
                                       .done = fetched};
        broker_fetch(w->nodes[node].broker, &waiting.fetch);
        assert_true(wait_for(w, &waiting.done, PATIENCE_MS));
        enum status status = waiting.part.status;
        for (uint32_t i = 0; i < waiting.part.batch_count; i++)
            offset = take_batch(waiting.part.batches[i], offset, out);
        bool end = status == STATUS_OK && offset == waiting.part.high_watermark;
        fetch_release(&waiting.fetch);
        if (end) {
            writer_u8(out, '\0');
            return;
        }
        if (status != STATUS_OK) cluster_world_run(w, 20);
    }
    fail_msg("%s/%d cannot be read", topic, partition);
}

void cluster_world_expect_numbers(struct cluster_world *w, const char *topic, int partition, int count) {
    struct writer have, want;
    writer_init(&have);
    writer_init(&want);
    read_values(w, topic, partition, &have);
    for (int i = 0; i < count; i++)
        writer_printf(&want, "%d\n", i);
    writer_u8(&want, '\0');
    assert_string_equal((const char *)have.data, (const char *)want.data);
    writer_release(&have);
    writer_release(&want);
}

struct waiting_deletion {
    struct delete_records request;
    bool done;
};

static void deleted(struct delete_records *request) {
    CONTAINER_OF(request, struct waiting_deletion, request)->done = true;
}

enum status cluster_world_delete_records(struct cluster_world *w, uint32_t node, const char *topic,
                                         int partition, int64_t offset) {
    struct waiting_deletion waiting = {.request = {.topic = slice_from_text(topic),
                                                   .partition = partition,
                                                   .offset = offset,
                                                   .forward = w->forward,
                                                   .done = deleted}};
    broker_delete_records(w->nodes[node].broker, &waiting.request);
    assert_true(wait_for(w, &waiting.done, PATIENCE_MS));
    return waiting.request.status;
}

struct waiting_id {
    struct producer_id_request request;
    bool done;
};

static void got_id(struct producer_id_request *request) {
    CONTAINER_OF(request, struct waiting_id, request)->done = true;
}

enum status cluster_world_producer_id(struct cluster_world *w, uint32_t node, int64_t *id) {
    struct waiting_id waiting = {.request = {.done = got_id}};
    broker_new_producer_id(w->nodes[node].broker, &waiting.request);
    assert_true(wait_for(w, &waiting.done, PATIENCE_MS));
    *id = waiting.request.producer_id;
    return waiting.request.status;
}
