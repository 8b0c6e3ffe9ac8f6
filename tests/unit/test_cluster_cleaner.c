// SPDX-License-Identifier: Apache-2.0
/* Compaction by key on three nodes that fail, with transactions: whoever leads, each key's last committed
 * value is what a reader ends up with, and nothing that was deleted comes back. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "base/prng.h"
#include "broker/broker_state.h"
#include "broker/cleaner_state.h"
#include "lib/cluster_txn.h"
#include "lib/test.h"

#define KEYS 8

static struct cluster_world world;

struct keys {
    int last[KEYS]; /* 0: deleted, or never there */
};

static void open_world(uint64_t seed, int replicas) {
    struct topic_config config = topic_config_default();
    struct diagnostic why;
    assert_status(topic_config_set(&config, SLICE_LITERAL("cleanup.policy"), SLICE_LITERAL("compact"), &why),
                  STATUS_OK);
    assert_status(
        topic_config_set(&config, SLICE_LITERAL("delete.retention.ms"), SLICE_LITERAL("2000"), &why),
        STATUS_OK);
    assert_status(
        topic_config_set(&config, SLICE_LITERAL("min.cleanable.dirty.ratio"), SLICE_LITERAL("0"), &why),
        STATUS_OK);
    cluster_world_open(&world, seed, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create_with(&world, 1, "t", 1, replicas, &config), STATUS_OK);
    cluster_world_run(&world, 1000);
}

/* What a reader knows at the end; how many records it saw. */
static int read_keys(struct keys *keys) {
    struct writer out;
    writer_init(&out);
    cluster_txn_read(&world, "t", 0, &out);
    *keys = (struct keys){{0}};
    int records = 0;
    for (char *line = strtok((char *)out.data, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        int key = atoi(line);
        const char *value = strchr(line, '=');
        assert_in_range(key, 0, KEYS - 1);
        keys->last[key] = atoi(value + 1);
        records++;
    }
    writer_release(&out);
    return records;
}

static void expect(const struct keys *expected, const char *when) {
    struct keys have;
    MAYBE(read_keys(&have));
    for (int i = 0; i < KEYS; i++)
        if (have.last[i] != expected->last[i])
            fail_msg("%s: key %d is %d, not %d", when, i, have.last[i], expected->last[i]);
}

static void whoever_leads(void **state) {
    (void)state;
    uint64_t seed = getenv("SENTINEL_SEED") == NULL ? 1 : strtoull(getenv("SENTINEL_SEED"), NULL, 10);
    uint64_t end = seed +
                   (getenv("SENTINEL_SEEDS") == NULL ? 4 : strtoull(getenv("SENTINEL_SEEDS"), NULL, 10));
    for (; seed < end; seed++) {
        open_world(seed, 3);
        struct prng prng;
        prng_init(&prng, seed);
        struct cluster_txn txn = {.world = &world, .id = "tx"};
        assert_status(cluster_txn_begin(&txn, 600000), STATUS_OK);
        struct keys committed = {{0}}, open = {{0}};
        uint32_t down = 0;
        for (int step = 1; step <= 300; step++) {
            if (prng_below(&prng, 25) == 0) {
                if (down != 0)
                    cluster_world_start(&world, down);
                else
                    cluster_world_crash(&world, 1 + (uint32_t)prng_below(&prng, 3), IO_SIM_CRASH_POWER);
                for (uint32_t n = down = 0; n++ < 3;)
                    if (world.nodes[n].broker == NULL) down = n;
            }
            cluster_world_run(&world, prng_below(&prng, 200));
            int key = (int)prng_below(&prng, KEYS);
            open.last[key] = prng_below(&prng, 4) == 0 ? 0 : step;
            char text[32];
            if (open.last[key] == 0)
                snprintf(text, sizeof text, "%d=", key);
            else
                snprintf(text, sizeof text, "%d=%d", key, step);
            assert_status(cluster_txn_append(&txn, "t", 0, text), STATUS_OK);
            if (prng_below(&prng, 5) != 0) continue;
            bool commit = prng_below(&prng, 3) != 0;
            assert_status(cluster_txn_end(&txn, commit), STATUS_OK);
            if (commit)
                committed = open;
            else
                open = committed;
            if (prng_below(&prng, 4) == 0) expect(&committed, "in between");
        }
        MAYBE(cluster_txn_end(&txn, true) == STATUS_OK);
        committed = open;
        if (down != 0) cluster_world_start(&world, down);
        cluster_world_run(&world, 10000);
        for (uint32_t node = 1; node <= 3; node++) {
            cluster_world_crash(&world, node, IO_SIM_CRASH_POWER);
            expect(&committed, "at the end");
            cluster_world_start(&world, node);
            cluster_world_run(&world, 8000);
        }
        struct keys have;
        assert_true(read_keys(&have) <= KEYS);
        cluster_world_close(&world);
    }
}

static bool has(uint32_t node, struct key key) {
    struct shared_slice value;
    enum status status = store_get_blocking(broker_store(world.nodes[node].broker), key_slice(&key), &value);
    if (status == STATUS_OK) shared_slice_unref(value);
    return status == STATUS_OK;
}

/* How far a copy is cleaned is its own: it does not go to another with a snapshot. */
static void a_new_copy_is_dirty(void **state) {
    (void)state;
    open_world(5, 1);
    struct cluster_txn txn = {.world = &world, .id = "tx"};
    assert_status(cluster_txn_begin(&txn, 600000), STATUS_OK);
    for (int i = 0; i < 20; i++)
        assert_status(cluster_txn_append(&txn, "t", 0, i % 2 == 0 ? "1=7" : "2=8"), STATUS_OK);
    assert_status(cluster_txn_end(&txn, true), STATUS_OK);
    cluster_world_run(&world, 4000);
    uint32_t from = cluster_world_leader(&world, 1, "t", 0);
    const struct topic_state *topic = (const struct topic_state *)broker_topic_find(world.nodes[from].broker,
                                                                                    SLICE_LITERAL("t"));
    uint64_t group = topic->groups[0];
    assert_true(has(from, cleaner_state_key(group)));
    assert_status(cluster_world_delete_records(&world, from, "t", 0, 5), STATUS_OK);
    assert_status(cluster_world_move(&world, from, "t", 0, NULL, 2), STATUS_OK);
    uint32_t to = 0;
    for (int i = 0; i < 20000 && to == 0; i++) {
        cluster_world_run(&world, 1);
        for (uint32_t node = 1; node <= 3; node++)
            if (node != from && has(node, key_prefix(group, KEY_META))) to = node;
    }
    assert_int_not_equal(to, 0);
    assert_false(has(to, cleaner_state_key(group)));
    assert_true(cluster_world_settle(&world, from, "t", 30000));
    cluster_world_run(&world, 4000);
    assert_true(has(to, cleaner_state_key(group))); /* its own */
    cluster_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(whoever_leads),
                                       cmocka_unit_test(a_new_copy_is_dirty)};
    return cmocka_run_group_tests_name("cluster_cleaner", tests, NULL, NULL);
}
