// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster_txn.h"

#include "lib/test.h"

#include "base/arena.h"
#include "base/mem.h"
#include "broker/coordinator.h"
#include "lib/txn_epochs.h"
#include "wire/record_batch.h"

#define PATIENCE_MS 60000
#define PAUSE_MS    20

static void wait_for(struct cluster_world *w, const bool *done) {
    for (uint64_t waited = 0; !*done && waited < PATIENCE_MS; waited += 5)
        cluster_world_run(w, 5);
    assert_true(*done);
}

static uint32_t any_node(const struct cluster_world *w) {
    for (uint32_t node = 1; node <= w->count; node++)
        if (w->nodes[node].broker != NULL) return node;
    fail_msg("no node is up");
    return 0;
}

uint32_t cluster_txn_coordinator(struct cluster_world *w, const char *name) {
    struct slice id = slice_from_text(name);
    for (uint64_t waited = 0; waited < PATIENCE_MS; waited += PAUSE_MS) {
        for (uint32_t node = 1; node <= w->count; node++)
            if (w->nodes[node].broker != NULL && coordinator_serves(w->nodes[node].broker, id) == STATUS_OK)
                return node;
        cluster_world_run(w, PAUSE_MS);
    }
    fail_msg("nobody coordinates %s", name);
    return 0;
}

/* Where a call is sent: with `forward` anywhere. */
static uint32_t asked(struct cluster_world *w, const char *name) {
    return w->forward ? any_node(w) : cluster_txn_coordinator(w, name);
}

/* Calls of Kafka's clients that are tried again. */
static bool passes(enum status status) {
    return status == STATUS_NOT_COORDINATOR || status == STATUS_COORDINATOR_LOADING ||
           status == STATUS_COORDINATOR_UNAVAILABLE || status == STATUS_CONCURRENT_TRANSACTIONS ||
           status == STATUS_NOT_LEADER || status == STATUS_UNAVAILABLE || status == STATUS_UNSTABLE_OFFSETS;
}

static void run_a_little(void *world) {
    cluster_world_run(world, 5);
}

void cluster_txn_last_epoch(struct cluster_txn *txn) {
    struct broker *broker = txn->world->nodes[cluster_txn_coordinator(txn->world, txn->id)].broker;
    txn_epochs_use_up(broker, txn->id, txn->epoch, run_a_little, txn->world);
    txn->epoch = TXN_EPOCH_MAX;
}

/* ---- calls --------------------------------------------------------------------------------------------- */

struct waiting_call {
    struct txn_call call;
    bool done;
};

static void called(struct group_call *call) {
    CONTAINER_OF(CONTAINER_OF(call, struct txn_call, call), struct waiting_call, call)->done = true;
}

static enum status result_of(struct cluster_world *w, struct waiting_call *waiting) {
    wait_for(w, &waiting->done);
    return waiting->call.call.status != STATUS_OK ? waiting->call.call.status : waiting->call.result;
}

static struct txn_producer who_is(const struct cluster_txn *txn) {
    return (struct txn_producer){slice_from_text(txn->id), txn->producer_id, txn->epoch};
}

static enum status try_begin(struct cluster_txn *txn, uint32_t node, int32_t timeout_ms) {
    int64_t fresh;
    enum status status = cluster_world_producer_id(txn->world, node, &fresh);
    if (status != STATUS_OK) return status;
    struct waiting_call waiting = {.call = {.call = {.done = called, .forward = txn->world->forward}}};
    coordinator_txn_begin(txn->world->nodes[node].broker, &waiting.call,
                          &(struct txn_begin){.id = slice_from_text(txn->id),
                                              .timeout_ms = timeout_ms,
                                              .producer_id = -1,
                                              .epoch = -1,
                                              .fresh_id = fresh});
    status = result_of(txn->world, &waiting);
    if (status == STATUS_OK) {
        txn->producer_id = waiting.call.producer_id;
        txn->epoch = waiting.call.epoch;
        memset(txn->sequences, 0, sizeof txn->sequences);
    }
    return status;
}

enum status cluster_txn_begin(struct cluster_txn *txn, int32_t timeout_ms) {
    enum status status = STATUS_NOT_COORDINATOR;
    for (int i = 0; i < 1000 && passes(status); i++) {
        status = try_begin(txn, asked(txn->world, txn->id), timeout_ms);
        if (passes(status)) cluster_world_run(txn->world, PAUSE_MS);
    }
    return status;
}

/* As a server makes it, which asks for a producer id where that is needed. */
static enum status ending_of(const struct cluster_txn *txn, uint32_t node, bool commit,
                             struct txn_ending *ending) {
    *ending = (struct txn_ending){
        .who = who_is(txn), .commit = commit, .moves_epoch = !txn->keeps_epoch, .fresh_id = -1};
    if (!txn_ending_takes_id(ending)) return STATUS_OK;
    return cluster_world_producer_id(txn->world, node, &ending->fresh_id);
}

static enum status try_end(struct cluster_txn *txn, uint32_t node, bool commit) {
    struct waiting_call waiting = {.call = {.call = {.done = called, .forward = txn->world->forward}}};
    struct txn_ending ending;
    enum status status = ending_of(txn, node, commit, &ending);
    if (status != STATUS_OK) return status;
    coordinator_txn_end(txn->world->nodes[node].broker, &waiting.call, &ending);
    status = result_of(txn->world, &waiting);
    if (status == STATUS_OK && !txn->keeps_epoch) {
        txn->producer_id = waiting.call.producer_id;
        txn->epoch = waiting.call.epoch;
        memset(txn->sequences, 0, sizeof txn->sequences);
    }
    return status;
}

void cluster_txn_end_unanswered(struct cluster_txn *txn, uint32_t node, bool commit) {
    struct waiting_call waiting = {.call = {.call = {.done = called}}};
    struct txn_ending ending;
    assert_status(ending_of(txn, node, commit, &ending), STATUS_OK);
    coordinator_txn_end(txn->world->nodes[node].broker, &waiting.call, &ending);
    cluster_world_run(txn->world, 1000);
    assert_false(waiting.done);
    coordinator_cancel(&waiting.call.call);
}

enum status cluster_txn_end(struct cluster_txn *txn, bool commit) {
    enum status status = STATUS_NOT_COORDINATOR;
    for (int i = 0; i < 1000 && passes(status); i++) {
        status = try_end(txn, asked(txn->world, txn->id), commit);
        if (passes(status)) cluster_world_run(txn->world, PAUSE_MS);
    }
    return status;
}

static enum status add(struct cluster_txn *txn, const struct txn_place *place) {
    enum status status = STATUS_NOT_COORDINATOR;
    for (int i = 0; i < 1000 && passes(status); i++) {
        uint32_t node = cluster_txn_coordinator(txn->world, txn->id);
        struct waiting_call waiting = {.call = {.call = {.done = called}}};
        const struct txn_producer who = who_is(txn);
        coordinator_txn_add(txn->world->nodes[node].broker, &waiting.call, &who,
                            &(struct txn_places){place, 1, 0});
        status = result_of(txn->world, &waiting);
        if (passes(status)) cluster_world_run(txn->world, PAUSE_MS);
    }
    return status;
}

/* ---- records and offsets ------------------------------------------------------------------------------- */

static void appended(struct append *append) {
    CONTAINER_OF(append, struct cluster_txn_sent, append)->done = true;
}

static struct buffer *one_record(const struct cluster_txn *txn, int partition, const char *value) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    const char *equals = strchr(value, '=');
    struct slice key = equals == NULL ? SLICE_EMPTY : slice_make(value, (size_t)(equals - value));
    bool deletes = equals != NULL && equals[1] == '\0';
    record_batch_add(&builder, 1700000000000, key, deletes ? SLICE_EMPTY : slice_from_text(value), NULL, 0);
    struct record_batch_producer identity = {txn->producer_id, txn->epoch, txn->sequences[partition]};
    struct buffer *batch = record_batch_finish(&builder, CODEC_NONE, &identity);
    record_batch_builder_release(&builder);
    store_be16(batch->data + 21, BATCH_TRANSACTIONAL);
    record_batch_set_max_timestamp(batch->data, batch->size, 1700000000000);
    return batch;
}

static void start_append(struct cluster_txn *txn, struct cluster_txn_sent *sent, uint32_t node,
                         const char *topic, int partition, const char *value, bool joins) {
    struct buffer *batch = one_record(txn, partition, value);
    sent->done = false;
    sent->append = (struct append){.topic = slice_from_text(topic),
                                   .partition = partition,
                                   .batch = {slice_make(batch->data, batch->size), batch},
                                   .transactional_id = slice_from_text(txn->id),
                                   .joins_transaction = joins,
                                   .forward = txn->world->forward,
                                   .done = appended};
    broker_append(txn->world->nodes[node].broker, &sent->append);
    buffer_unref(batch);
}

void cluster_txn_send(struct cluster_txn *txn, struct cluster_txn_sent *sent, uint32_t node,
                      const char *topic, int partition, const char *value) {
    start_append(txn, sent, node, topic, partition, value, true);
}

enum status cluster_txn_sent_wait(struct cluster_txn *txn, struct cluster_txn_sent *sent) {
    wait_for(txn->world, &sent->done);
    return sent->append.status;
}

static enum status try_append(struct cluster_txn *txn, uint32_t node, const char *topic, int partition,
                              const char *value, bool joins) {
    struct cluster_txn_sent sent;
    start_append(txn, &sent, node, topic, partition, value, joins);
    return cluster_txn_sent_wait(txn, &sent);
}

enum status cluster_txn_try_append(struct cluster_txn *txn, uint32_t node, const char *topic, int partition,
                                   const char *value) {
    return try_append(txn, node, topic, partition, value, false);
}

enum status cluster_txn_append(struct cluster_txn *txn, const char *topic, int partition, const char *value) {
    enum status status = STATUS_NOT_LEADER;
    const struct txn_place place = {slice_from_text(topic), partition};
    if (txn->keeps_epoch && (status = add(txn, &place)) != STATUS_OK) return status;
    status = STATUS_NOT_LEADER;
    for (int i = 0; i < 1000 && passes(status); i++) {
        uint32_t leader = any_node(txn->world);
        if (!txn->world->forward) leader = cluster_world_leader(txn->world, leader, topic, partition);
        status = try_append(txn, leader, topic, partition, value, !txn->keeps_epoch);
        if (passes(status)) cluster_world_run(txn->world, PAUSE_MS);
    }
    if (status == STATUS_OK) txn->sequences[partition]++;
    return status;
}

struct waiting_commit {
    struct txn_commit commit;
    bool done;
};

static void committed(struct group_call *call) {
    CONTAINER_OF(CONTAINER_OF(call, struct txn_commit, call.call), struct waiting_commit, commit)->done =
        true;
}

enum status cluster_txn_offset(struct cluster_txn *txn, const char *group, const char *topic, int partition,
                               int64_t offset) {
    enum status status = STATUS_NOT_COORDINATOR;
    const struct txn_place place = {slice_from_text(group), TXN_GROUP};
    if (txn->keeps_epoch && (status = add(txn, &place)) != STATUS_OK) return status;
    status = STATUS_NOT_COORDINATOR;
    for (int i = 0; i < 1000 && passes(status); i++) {
        uint32_t node = asked(txn->world, group);
        struct group_commit_offset one = {
            .topic = slice_from_text(topic), .partition = partition, .offset = offset, .leader_epoch = -1};
        struct waiting_commit waiting = {
            .commit = {.call = {.call = {.done = committed, .forward = txn->world->forward}},
                       .who = who_is(txn),
                       .commit = {.who = {.group = slice_from_text(group), .generation = GROUP_ANYBODY},
                                  .offsets = &one,
                                  .offset_count = 1},
                       .adds = !txn->keeps_epoch}};
        coordinator_txn_commit_offsets(txn->world->nodes[node].broker, &waiting.commit);
        wait_for(txn->world, &waiting.done);
        const struct txn_call *call = &waiting.commit.call;
        status = call->call.status != STATUS_OK ? call->call.status : call->result;
        if (passes(status)) cluster_world_run(txn->world, PAUSE_MS);
    }
    return status;
}

/* ---- readers ------------------------------------------------------------------------------------------- */

struct waiting_fetch {
    struct fetch fetch;
    struct fetch_partition part;
    bool done;
};

static void fetched(struct fetch *fetch) {
    CONTAINER_OF(fetch, struct waiting_fetch, fetch)->done = true;
}

/* As clients do it: from its first offset to the marker a producer's batches are skipped. */
struct reader_state {
    bool taken[256]; /* of part->aborted */
    int64_t skipped[64];
    uint32_t skipped_count;
};

static bool is_skipped(struct reader_state *state, const struct fetch_partition *part,
                       const struct record_batch *batch) {
    assert_true(part->aborted_count <= ARRAY_COUNT(state->taken));
    for (uint32_t i = 0; i < part->aborted_count; i++) {
        if (state->taken[i] || part->aborted[i].first_offset > batch->base_offset) continue;
        state->taken[i] = true;
        assert_true(state->skipped_count < ARRAY_COUNT(state->skipped));
        state->skipped[state->skipped_count++] = part->aborted[i].producer_id;
    }
    int16_t type;
    struct slice value;
    bool control = record_batch_control_read(batch, &type, &value) == STATUS_OK, skipped = control;
    for (uint32_t i = 0; i < state->skipped_count; i++) {
        if (state->skipped[i] != batch->producer_id) continue;
        skipped |= (batch->attributes & BATCH_TRANSACTIONAL) != 0;
        if (control && type == CONTROL_ABORT) state->skipped[i] = -1;
    }
    return skipped;
}

static int64_t take(struct reader_state *state, const struct fetch_partition *part, struct shared_slice bytes,
                    struct writer *out) {
    struct record_batch batch;
    assert_status(record_batch_read(bytes.bytes, &batch), STATUS_OK);
    if (!is_skipped(state, part, &batch)) {
        struct arena arena;
        arena_init(&arena, 4096);
        struct record_iterator it;
        struct record record;
        assert_status(record_iterator_init(&it, &batch, &arena, 1 * MIB), STATUS_OK);
        while (record_iterator_next(&it, &record) == STATUS_OK) {
            writer_bytes(out, record.value.data == NULL ? record.key : record.value);
            writer_text(out, record.value.data == NULL && record.key.data != NULL ? "=\n" : "\n");
        }
        arena_release(&arena);
    }
    return record_batch_last_offset(&batch) + 1;
}

void cluster_txn_read(struct cluster_world *w, const char *topic, int partition, struct writer *out) {
    int64_t offset = 0;
    for (int attempt = 0; attempt < 3000; attempt++) {
        uint32_t node = w->forward ? any_node(w) : cluster_world_leader(w, any_node(w), topic, partition);
        struct waiting_fetch waiting = {.part = {.topic = slice_from_text(topic),
                                                 .partition = partition,
                                                 .offset = offset,
                                                 .bytes_max = 1 << 20,
                                                 .leader_epoch = -1}};
        waiting.fetch = (struct fetch){.partitions = &waiting.part,
                                       .partition_count = 1,
                                       .bytes_max = 1 << 20,
                                       .forward = w->forward,
                                       .read_committed = true,
                                       .done = fetched};
        broker_fetch(w->nodes[node].broker, &waiting.fetch);
        wait_for(w, &waiting.done);
        enum status status = waiting.part.status;
        /* One answer is complete in itself: what began before it is told again. */
        struct reader_state state = {.skipped_count = 0};
        for (uint32_t i = 0; i < waiting.part.batch_count; i++)
            offset = take(&state, &waiting.part, waiting.part.batches[i], out);
        bool end = status == STATUS_OK && offset == waiting.part.high_watermark;
        fetch_release(&waiting.fetch);
        if (end) {
            writer_u8(out, '\0');
            return;
        }
        cluster_world_run(w, PAUSE_MS);
    }
    fail_msg("%s/%d stays open", topic, partition);
}

struct waiting_read {
    struct group_call call;
    struct slice topic;
    int32_t partition;
    enum status status;
    int64_t offset;
    bool done;
};

static void read_answered(struct group_call *call, const struct group_reply *reply) {
    struct waiting_read *waiting = CONTAINER_OF(call, struct waiting_read, call);
    if (reply->group == NULL) return;
    const struct group_offset *found = group_offset_find(reply->group, waiting->topic, waiting->partition);
    if (found != NULL) waiting->offset = found->offset;
    if (group_offset_unstable(reply->group, waiting->topic, waiting->partition))
        waiting->status = STATUS_UNSTABLE_OFFSETS;
}

static void read_done(struct group_call *call) {
    CONTAINER_OF(call, struct waiting_read, call)->done = true;
}

enum status cluster_txn_look(struct cluster_world *w, uint32_t node, const char *group, const char *topic,
                             int partition, int64_t *offset) {
    struct waiting_read waiting = {
        .call = {.answer = read_answered, .done = read_done, .forward = w->forward},
        .topic = slice_from_text(topic),
        .partition = partition,
        .offset = -1};
    const struct group_identity who = {.group = slice_from_text(group), .generation = -1};
    coordinator_read(w->nodes[node].broker, &waiting.call, &who);
    wait_for(w, &waiting.done);
    *offset = waiting.offset;
    return waiting.call.status == STATUS_OK ? waiting.status : waiting.call.status;
}

int64_t cluster_txn_committed(struct cluster_world *w, const char *group, const char *topic, int partition) {
    for (int attempt = 0; attempt < 3000; attempt++) {
        int64_t offset;
        if (cluster_txn_look(w, asked(w, group), group, topic, partition, &offset) == STATUS_OK)
            return offset;
        cluster_world_run(w, PAUSE_MS);
    }
    fail_msg("offsets of %s stay open", group);
    return -1;
}
