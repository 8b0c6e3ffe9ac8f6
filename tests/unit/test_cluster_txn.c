// SPDX-License-Identifier: Apache-2.0
/* Transactions whose coordinator, partitions and groups are on different nodes, while those fail: what is
 * committed is seen, once; what is not never is; nothing stays open. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "base/prng.h"
#include "broker/coordinator.h"
#include "lib/cluster_txn.h"
#include "lib/test.h"

#define PARTITIONS 6

static struct cluster_world world;

static void open_world(uint64_t seed) {
    cluster_world_open(&world, seed, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", PARTITIONS, 3), STATUS_OK);
    cluster_world_run(&world, 2000);
}

static struct cluster_txn begin(const char *id, int32_t timeout_ms) {
    struct cluster_txn txn = {.world = &world, .id = id};
    assert_status(cluster_txn_begin(&txn, timeout_ms), STATUS_OK);
    return txn;
}

static void expect(int partition, const char *values) {
    struct writer have;
    writer_init(&have);
    cluster_txn_read(&world, "t", partition, &have);
    assert_string_equal((const char *)have.data, values);
    writer_release(&have);
}

/* An id whose coordinator is, or is not, on this node. */
static const char *id_for(uint32_t node, bool there) {
    static char id[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "id-%d", i);
        if ((cluster_txn_coordinator(&world, id) == node) == there) return id;
    }
    fail_msg("every coordinator is elsewhere");
    return NULL;
}

static void markers_go_to_every_node(void **state) {
    (void)state;
    for (int version = 1; version <= 2; version++) {
        open_world((uint64_t)version);
        struct cluster_txn txn = begin("tx", 60000);
        txn.keeps_epoch = version == 1;
        for (int p = 0; p < PARTITIONS; p++)
            assert_status(cluster_txn_append(&txn, "t", p, "kept"), STATUS_OK);
        assert_status(cluster_txn_offset(&txn, "g", "t", 0, 7), STATUS_OK);
        assert_status(cluster_txn_offset(&txn, "h", "t", 0, 8), STATUS_OK);
        assert_status(cluster_txn_end(&txn, true), STATUS_OK);
        for (int p = 0; p < PARTITIONS; p++)
            assert_status(cluster_txn_append(&txn, "t", p, "dropped"), STATUS_OK);
        assert_status(cluster_txn_offset(&txn, "g", "t", 0, 9), STATUS_OK);
        assert_status(cluster_txn_end(&txn, false), STATUS_OK);
        for (int p = 0; p < PARTITIONS; p++)
            expect(p, "kept\n");
        world.forward = true; /* through a node that leads some of them */
        for (int p = 0; p < PARTITIONS; p++)
            expect(p, "kept\n");
        assert_int_equal(cluster_txn_committed(&world, "g", "t", 0), 7);
        assert_int_equal(cluster_txn_committed(&world, "h", "t", 0), 8);
        cluster_world_close(&world);
    }
}

/* Simple clients know one node: whatever they ask is taken to the nodes that can answer. */
struct shown {
    struct txn_listing listing;
    char text[512];
    bool done;
};

static void show(struct txn_listing *listing, const struct txn_summary *txn) {
    struct shown *shown = CONTAINER_OF(listing, struct shown, listing);
    size_t size = strlen(shown->text);
    snprintf(shown->text + size, sizeof shown->text - size, "%.*s %s %u;", (int)txn->id.size,
             (const char *)txn->id.data, txn_phase_name(txn->phase), txn->place_count);
}

static void show_done(struct txn_listing *listing) {
    CONTAINER_OF(listing, struct shown, listing)->done = true;
}

static enum status shown_by(uint32_t node, const char *id, char *text, size_t size) {
    struct shown shown = {.listing = {.id = slice_from_text(id), .visit = show, .done = show_done}};
    broker_list_txns(world.nodes[node].broker, &shown.listing);
    for (int i = 0; i < 1000 && !shown.done; i++)
        cluster_world_run(&world, 10);
    assert_true(shown.done);
    snprintf(text, size, "%s", shown.text);
    return shown.listing.base.status;
}

struct waiting_end {
    struct list_offset lookup;
    bool done;
};

static void end_told(struct list_offset *lookup) {
    CONTAINER_OF(lookup, struct waiting_end, lookup)->done = true;
}

/* Where the partition ends for a reader of committed records, as this node tells. */
static int64_t stable_end(uint32_t node, int partition) {
    struct waiting_end waiting = {.lookup = {.topic = SLICE_LITERAL("t"),
                                             .partition = partition,
                                             .timestamp_ms = OFFSET_LATEST,
                                             .forward = true,
                                             .read_committed = true,
                                             .done = end_told}};
    broker_list_offset(world.nodes[node].broker, &waiting.lookup);
    for (int i = 0; i < 1000 && !waiting.done; i++)
        cluster_world_run(&world, 10);
    assert_true(waiting.done);
    assert_status(waiting.lookup.status, STATUS_OK);
    return waiting.lookup.offset;
}

static void any_node_may_be_asked(void **state) {
    (void)state;
    char text[512];
    open_world(11);
    world.forward = true;
    for (int i = 0; i < 8; i++) { /* coordinators and leaders on every node */
        char id[32];
        snprintf(id, sizeof id, "worker-%d", i);
        struct cluster_txn txn = begin(id, 60000);
        assert_status(cluster_txn_append(&txn, "t", i % PARTITIONS, "dropped"), STATUS_OK);
        assert_status(cluster_txn_offset(&txn, id, "t", 0, 7), STATUS_OK);
        int64_t open = stable_end(1, i % PARTITIONS);
        for (uint32_t node = 1; node <= 3; node++) {
            assert_int_equal(stable_end(node, i % PARTITIONS), open);
            if (i < PARTITIONS) assert_int_equal(open, 0); /* and not behind the record */
            char expected[64];
            snprintf(expected, sizeof expected, "%s Ongoing 2;", id);
            assert_status(shown_by(node, id, text, sizeof text), STATUS_OK);
            assert_string_equal(text, expected);
            int64_t offset;
            assert_status(cluster_txn_look(&world, node, id, "t", 0, &offset), STATUS_UNSTABLE_OFFSETS);
        }
        struct cluster_txn next = begin(id, 60000);
        assert_status(cluster_txn_append(&txn, "t", i % PARTITIONS, "late"), STATUS_INVALID_PRODUCER_EPOCH);
        assert_status(cluster_txn_offset(&txn, id, "t", 0, 9), STATUS_PRODUCER_FENCED);
        assert_status(cluster_txn_end(&txn, true), STATUS_PRODUCER_FENCED);
        assert_status(cluster_txn_append(&next, "t", i % PARTITIONS, "kept"), STATUS_OK);
        assert_status(cluster_txn_offset(&next, id, "t", 0, 8), STATUS_OK);
        assert_status(cluster_txn_end(&next, true), STATUS_OK);
        assert_int_equal(cluster_txn_committed(&world, id, "t", 0), 8);
    }
    for (int p = 0; p < PARTITIONS; p++)
        expect(p, p < 2 ? "kept\nkept\n" : "kept\n");
    for (uint32_t node = 1; node <= 3; node++) {
        assert_status(shown_by(node, "", text, sizeof text), STATUS_OK);
        int count = 0;
        for (const char *at = text; (at = strstr(at, "CompleteCommit 0;")) != NULL; at++)
            count++;
        assert_int_equal(count, 8);
        assert_status(shown_by(node, "nobody", text, sizeof text), STATUS_TXN_NOT_FOUND);
    }
    cluster_world_close(&world);
}

/* One that is not part of a transaction, or comes after its end, is refused at every leader. */
static void a_late_batch_opens_nothing(void **state) {
    (void)state;
    open_world(3);
    struct cluster_txn txn = begin("tx", 60000);
    txn.keeps_epoch = true; /* else its epoch gives it away */
    for (int p = 0; p < PARTITIONS; p++) {
        uint32_t leader = cluster_world_leader(&world, 1, "t", p);
        assert_status(cluster_txn_try_append(&txn, leader, "t", p, "early"), STATUS_INVALID_TXN_STATE);
        assert_status(cluster_txn_append(&txn, "t", p, "kept"), STATUS_OK);
        assert_status(cluster_txn_end(&txn, true), STATUS_OK);
        assert_status(cluster_txn_try_append(&txn, leader, "t", p, "late"), STATUS_INVALID_TXN_STATE);
        expect(p, "kept\n");
    }
    struct cluster_txn other = begin("tx", 60000);
    assert_status(cluster_txn_append(&txn, "t", 0, "fenced"), STATUS_PRODUCER_FENCED);
    assert_status(cluster_txn_append(&other, "t", 0, "new"), STATUS_OK);
    assert_status(cluster_txn_end(&other, true), STATUS_OK);
    expect(0, "kept\nnew\n");
    cluster_world_close(&world);
}

/* The leaders of its partitions go away before the end; markers find the next ones. */
static void leaders_change_before_the_end(void **state) {
    (void)state;
    for (int commit = 0; commit < 2; commit++) {
        open_world(4 + (uint64_t)commit);
        uint32_t leader = cluster_world_leader(&world, 1, "t", 0);
        struct cluster_txn txn = begin(id_for(leader, false), 60000);
        for (int p = 0; p < PARTITIONS; p++)
            assert_status(cluster_txn_append(&txn, "t", p, "value"), STATUS_OK);
        cluster_world_crash(&world, leader, IO_SIM_CRASH_POWER);
        assert_status(cluster_txn_end(&txn, commit == 1), STATUS_OK);
        for (int p = 0; p < PARTITIONS; p++)
            expect(p, commit == 1 ? "value\n" : "");
        cluster_world_start(&world, leader);
        cluster_world_run(&world, 2000);
        /* Each in turn leads and knows what was aborted, and that nothing is open. */
        for (uint32_t node = 1; node <= 3; node++) {
            cluster_world_crash(&world, node, IO_SIM_CRASH_POWER);
            for (int p = 0; p < PARTITIONS; p++)
                expect(p, commit == 1 ? "value\n" : "");
            cluster_world_start(&world, node);
            cluster_world_run(&world, 2000);
        }
        cluster_world_close(&world);
    }
}

/* The decision is taken, one partition cannot hear of it, and then the coordinator dies: the next one goes
 * on. */
static void carried_out_by_the_next(bool last_epoch) {
    for (int commit = 0; commit < 2; commit++) {
        open_world(6 + (uint64_t)commit);
        assert_status(cluster_world_create(&world, 1, "lone", 3, 1), STATUS_OK);
        cluster_world_run(&world, 1000);
        uint32_t alone = cluster_world_leader(&world, 1, "lone", 0);
        struct cluster_txn txn = begin(id_for(alone, false), 60000);
        if (last_epoch) cluster_txn_last_epoch(&txn);
        const struct cluster_txn before = txn;
        assert_status(cluster_txn_append(&txn, "t", 0, "value"), STATUS_OK);
        assert_status(cluster_txn_append(&txn, "lone", 0, "value"), STATUS_OK);
        assert_status(cluster_txn_offset(&txn, "g", "t", 0, 5), STATUS_OK);
        uint32_t coordinator = cluster_txn_coordinator(&world, txn.id);
        cluster_world_crash(&world, alone, IO_SIM_CRASH_POWER);
        coordinator = cluster_txn_coordinator(&world, txn.id);
        cluster_txn_end_unanswered(&txn, coordinator, commit == 1);
        cluster_world_crash(&world, coordinator, IO_SIM_CRASH_POWER);
        cluster_world_start(&world, alone);
        cluster_world_start(&world, coordinator);
        cluster_world_run(&world, 1000);
        struct writer have; /* nobody asks: it is carried out all the same */
        writer_init(&have);
        cluster_txn_read(&world, "lone", 0, &have);
        assert_string_equal((const char *)have.data, commit == 1 ? "value\n" : "");
        writer_release(&have);
        expect(0, commit == 1 ? "value\n" : "");
        assert_int_equal(cluster_txn_committed(&world, "g", "t", 0), commit == 1 ? 5 : -1);
        assert_status(cluster_txn_end(&txn, commit == 1), STATUS_OK); /* again: it is the same */
        assert_true((txn.producer_id != before.producer_id) == last_epoch);
        assert_int_equal(txn.epoch, last_epoch ? 0 : before.epoch + 1);
        /* The other end was never asked for. */
        assert_status(cluster_txn_append(&txn, "t", 0, "next"), STATUS_OK);
        assert_status(cluster_txn_end(&txn, true), STATUS_OK);
        expect(0, commit == 1 ? "value\nnext\n" : "next\n");
        cluster_world_close(&world);
    }
}

static void the_next_coordinator_carries_it_out(void **state) {
    (void)state;
    carried_out_by_the_next(false);
}

/* The decision, with the producer id that comes next, is all that the next one knows. */
static void another_id_from_the_next_coordinator(void **state) {
    (void)state;
    carried_out_by_the_next(true);
}

/* A node that does not coordinate asks for the id, and sends it along. */
static void another_id_through_any_node(void **state) {
    (void)state;
    open_world(9);
    struct cluster_txn txn = begin(id_for(1, false), 60000);
    cluster_txn_last_epoch(&txn);
    const struct cluster_txn before = txn;
    world.forward = true; /* the first node */
    assert_status(cluster_txn_append(&txn, "t", 0, "kept"), STATUS_OK);
    assert_status(cluster_txn_end(&txn, true), STATUS_OK);
    assert_true(txn.producer_id != before.producer_id && txn.epoch == 0);
    assert_status(cluster_txn_append(&txn, "t", 0, "too"), STATUS_OK);
    assert_status(cluster_txn_end(&txn, true), STATUS_OK);
    expect(0, "kept\ntoo\n");
    cluster_world_close(&world);
}

static void time_is_up_also_for_the_next_coordinator(void **state) {
    (void)state;
    open_world(8);
    struct cluster_txn txn = begin("tx", 3000);
    for (int p = 0; p < PARTITIONS; p++)
        assert_status(cluster_txn_append(&txn, "t", p, "open"), STATUS_OK);
    uint32_t coordinator = cluster_txn_coordinator(&world, "tx");
    cluster_world_crash(&world, coordinator, IO_SIM_CRASH_POWER);
    cluster_world_run(&world, 8000);
    for (int p = 0; p < PARTITIONS; p++)
        expect(p, "");
    assert_status(cluster_txn_end(&txn, true), STATUS_PRODUCER_FENCED);
    cluster_world_start(&world, coordinator);
    cluster_world_close(&world);
}

/* A topic that the coordinator's node hears of last is ended there all the same. */
static void a_topic_that_is_new_to_the_coordinator(void **state) {
    (void)state;
    open_world(9);
    uint32_t coordinator = cluster_txn_coordinator(&world, "tx");
    struct cluster_txn txn = begin("tx", 60000);
    for (int i = 0; i < 8; i++) {
        char topic[16];
        snprintf(topic, sizeof topic, "new%d", i);
        assert_status(cluster_world_create(&world, coordinator % 3 + 1, topic, 1, 3), STATUS_OK);
        assert_status(cluster_txn_append(&txn, topic, 0, "value"), STATUS_OK);
        assert_status(cluster_txn_end(&txn, true), STATUS_OK);
        struct writer have;
        writer_init(&have);
        cluster_txn_read(&world, topic, 0, &have);
        assert_string_equal((const char *)have.data, "value\n");
        writer_release(&have);
    }
    cluster_world_close(&world);
}

/* While a batch waits for the coordinator's word its topic is deleted, and another gets the name. */
static void a_batch_does_not_go_to_the_next_topic_of_the_name(void **state) {
    (void)state;
    open_world(12);
    int32_t controller = broker_controller(world.nodes[1].broker);
    uint32_t leader = (uint32_t)controller;
    struct cluster_txn txn = begin(id_for(leader, false), 60000);
    assert_status(cluster_world_create_on(&world, leader, "u", &controller, 1), STATUS_OK);
    assert_int_equal(cluster_world_leader(&world, leader, "u", 0), leader);
    io_sim_pause_node(world.sim, cluster_txn_coordinator(&world, txn.id) - 1,
                      io_sim_now(world.sim) + 120 * NS_PER_MS);
    struct cluster_txn_sent sent;
    cluster_txn_send(&txn, &sent, leader, "u", 0, "value");
    assert_status(cluster_world_delete(&world, leader, "u"), STATUS_OK);
    assert_status(cluster_world_create_on(&world, leader, "u", &controller, 1), STATUS_OK);
    assert_int_equal(cluster_world_leader(&world, leader, "u", 0), leader);
    assert_false(sent.done);
    assert_status(cluster_txn_sent_wait(&txn, &sent), STATUS_UNKNOWN_TOPIC);
    assert_status(cluster_txn_end(&txn, true), STATUS_OK);
    struct writer have;
    writer_init(&have);
    cluster_txn_read(&world, "u", 0, &have);
    assert_string_equal((const char *)have.data, "");
    writer_release(&have);
    cluster_world_close(&world);
}

/* ---- at random ----------------------------------------------------------------------------------------- */

#define STORM_PRODUCERS 4

struct storm {
    struct prng prng;
    struct cluster_txn producers[STORM_PRODUCERS];
    struct writer expected[PARTITIONS];
    struct writer pending[STORM_PRODUCERS][PARTITIONS];
    int64_t offsets[STORM_PRODUCERS], pending_offsets[STORM_PRODUCERS];
    int counter;
    uint32_t down;
};

static void disturb(struct storm *s) {
    if (s->down != 0) {
        cluster_world_start(&world, s->down);
        s->down = 0;
        cluster_world_run(&world, 300 + prng_below(&s->prng, 1500));
    } else {
        s->down = 1 + (uint32_t)prng_below(&s->prng, 3);
        cluster_world_crash(&world, s->down,
                            prng_below(&s->prng, 2) == 0 ? IO_SIM_CRASH_POWER : IO_SIM_CRASH_PROCESS);
    }
}

static void end_one(struct storm *s, int who) {
    struct cluster_txn *txn = &s->producers[who];
    bool commit = prng_below(&s->prng, 3) != 0;
    enum status status = cluster_txn_end(txn, commit);
    /* With the first version an end without a transaction is an error. */
    bool empty = s->pending_offsets[who] < 0;
    for (int p = 0; p < PARTITIONS; p++)
        empty &= s->pending[who][p].size == 0;
    if (!empty) assert_status(status, STATUS_OK);
    for (int p = 0; p < PARTITIONS; p++) {
        if (commit) writer_bytes(&s->expected[p], writer_slice(&s->pending[who][p]));
        writer_clear(&s->pending[who][p]);
    }
    if (commit && s->pending_offsets[who] >= 0) s->offsets[who] = s->pending_offsets[who];
    s->pending_offsets[who] = -1;
}

static void one_step(struct storm *s) {
    static const char *const groups[] = {"g0", "g1", "g2", "g3"};
    int who = (int)prng_below(&s->prng, STORM_PRODUCERS);
    int p = (int)prng_below(&s->prng, PARTITIONS);
    char value[16];
    switch (prng_below(&s->prng, 10)) {
    case 0:
        disturb(s);
        return;
    case 1:
    case 2:
        end_one(s, who);
        return;
    case 3:
        assert_status(cluster_txn_offset(&s->producers[who], groups[who], "t", 0, ++s->counter), STATUS_OK);
        s->pending_offsets[who] = s->counter;
        return;
    default:
        snprintf(value, sizeof value, "%d\n", ++s->counter);
        char text[16];
        snprintf(text, sizeof text, "%d", s->counter);
        /* Two of them in one partition would be read in the order of their batches, not of their ends. */
        p = p / STORM_PRODUCERS * STORM_PRODUCERS + who;
        if (p >= PARTITIONS) p = who;
        assert_status(cluster_txn_append(&s->producers[who], "t", p, text), STATUS_OK);
        writer_text(&s->pending[who][p], value);
    }
}

static uint64_t number_from(const char *name, uint64_t fallback) {
    const char *text = getenv(name);
    return text == NULL ? fallback : strtoull(text, NULL, 10);
}

static void everything_at_random(void **state) {
    (void)state;
    static const char *const ids[] = {"tx0", "tx1", "tx2", "tx3"};
    static const char *const groups[] = {"g0", "g1", "g2", "g3"};
    uint64_t seed = number_from("SENTINEL_SEED", 1), end = seed + number_from("SENTINEL_SEEDS", 4);
    for (; seed < end; seed++) {
        open_world(100 + seed);
        struct storm s = {.counter = 0};
        prng_init(&s.prng, seed);
        for (int i = 0; i < STORM_PRODUCERS; i++) {
            s.producers[i] = begin(ids[i], 600000);
            s.producers[i].keeps_epoch = i % 2 == 1;
            s.offsets[i] = s.pending_offsets[i] = -1;
        }
        for (int step = 0; step < 120; step++)
            one_step(&s);
        for (int i = 0; i < STORM_PRODUCERS; i++)
            end_one(&s, i);
        if (s.down != 0) cluster_world_start(&world, s.down);
        for (int p = 0; p < PARTITIONS; p++) {
            writer_u8(&s.expected[p], '\0');
            expect(p, (const char *)s.expected[p].data);
            writer_release(&s.expected[p]);
            for (int i = 0; i < STORM_PRODUCERS; i++)
                writer_release(&s.pending[i][p]);
        }
        for (int i = 0; i < STORM_PRODUCERS; i++)
            assert_int_equal(cluster_txn_committed(&world, groups[i], "t", 0), s.offsets[i]);
        cluster_world_close(&world);
    }
}

static bool is_fetched, is_deleted;

static void deleted(struct topic_change *change) {
    assert_status(change->status, STATUS_OK);
    is_deleted = true;
}

static void fetched(struct fetch *fetch) {
    is_fetched = fetch->partition_count == 1;
}

/* Batches that are given to a reader of committed records come with what was aborted of them, whatever
 * becomes of the partition while they are read from the disk. */
static void what_was_aborted_is_told_by_a_read_that_outlives_its_topic(void **state) {
    (void)state;
    cluster_world_open_alone(&world, 9);
    cluster_world_run(&world, 1000);
    io_sim_set_read_now(world.sim, 0, 0); /* so that there is a while */
    char large[3001] = {0};
    memset(large, 'x', sizeof large - 1);
    uint32_t given = 0;
    for (int steps = 0; steps < 60; steps++) {
        assert_status(cluster_world_create(&world, 1, "t", 1, 1), STATUS_OK);
        struct cluster_txn txn = begin("tx", 60000);
        assert_status(cluster_txn_append(&txn, "t", 0, "dropped"), STATUS_OK);
        assert_status(cluster_txn_end(&txn, false), STATUS_OK);
        for (int i = 0; i < 60; i++) /* to the disk with it */
            cluster_world_produce(&world, "t", 0, large, -1, 0);
        cluster_world_run(&world, 500);
        cluster_world_shutdown(&world, 1);
        cluster_world_start(&world, 1);
        is_fetched = is_deleted = false;
        struct fetch_partition part = {.topic = SLICE_LITERAL("t"), .bytes_max = MIB, .leader_epoch = -1};
        struct fetch fetch = {.partitions = &part,
                              .partition_count = 1,
                              .bytes_max = MIB,
                              .read_committed = true,
                              .done = fetched};
        struct topic_change deletion = {.kind = TOPIC_DELETE, .name = SLICE_LITERAL("t"), .done = deleted};
        broker_fetch(world.nodes[1].broker, &fetch);
        for (int i = 0; i < steps; i++)
            assert_true(io_sim_step(world.sim));
        broker_change_topic(world.nodes[1].broker, &deletion);
        while (!is_fetched || !is_deleted)
            cluster_world_run(&world, 1);
        given += part.batch_count != 0;
        assert_int_equal(part.aborted_count, part.batch_count != 0);
        fetch_release(&fetch);
    }
    assert_true(given > 0);
    cluster_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(markers_go_to_every_node),
        cmocka_unit_test(any_node_may_be_asked),
        cmocka_unit_test(a_late_batch_opens_nothing),
        cmocka_unit_test(leaders_change_before_the_end),
        cmocka_unit_test(the_next_coordinator_carries_it_out),
        cmocka_unit_test(another_id_from_the_next_coordinator),
        cmocka_unit_test(another_id_through_any_node),
        cmocka_unit_test(time_is_up_also_for_the_next_coordinator),
        cmocka_unit_test(a_topic_that_is_new_to_the_coordinator),
        cmocka_unit_test(what_was_aborted_is_told_by_a_read_that_outlives_its_topic),
        cmocka_unit_test(a_batch_does_not_go_to_the_next_topic_of_the_name),
        cmocka_unit_test(everything_at_random),
    };
    return cmocka_run_group_tests_name("cluster_txn", tests, NULL, NULL);
}
