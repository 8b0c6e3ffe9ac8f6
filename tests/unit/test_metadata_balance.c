// SPDX-License-Identifier: Apache-2.0
/* Plans that spread copies and leaders evenly: they do, they move no more than it takes, and they end. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "base/units.h"
#include "machine/metadata_balance.h"

#define NODES_MAX 16

static struct metadata m;
static bool down[NODES_MAX + 1];

static int setup(void **state) {
    (void)state;
    metadata_init(&m, 3);
    memset(down, 0, sizeof down);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    metadata_release(&m);
    return 0;
}

static void run(const struct metadata_command *command) {
    struct metadata_effects effects;
    struct diagnostic why = {{0}};
    assert_status(metadata_check(&m, command, &why), STATUS_OK);
    metadata_effects_init(&effects);
    metadata_apply(&m, m.applied_index + 1, command, &effects);
    metadata_effects_release(&effects);
}

static void add_node(uint32_t node, const char *rack) {
    run(&(struct metadata_command){.kind = METADATA_REGISTER_NODE,
                                   .name = SLICE_LITERAL("here:1"),
                                   .node = node,
                                   .incarnation = 1,
                                   .configs = {{SLICE_LITERAL("rack"), slice_from_text(rack)}},
                                   .config_count = 1});
}

/* Every partition on the same nodes. */
static void add_topic(const char *name, int32_t partitions, const uint32_t *nodes, int16_t count) {
    struct writer placement;
    struct uuid id = {{0}};
    writer_init(&placement);
    for (int32_t p = 0; p < partitions; p++)
        for (int16_t i = 0; i < count; i++)
            writer_be32(&placement, nodes[i]);
    id.bytes[0] = (uint8_t)name[0];
    id.bytes[1] = (uint8_t)name[1];
    run(&(struct metadata_command){.kind = METADATA_CREATE_TOPIC,
                                   .name = slice_from_text(name),
                                   .id = id,
                                   .count = partitions,
                                   .replication = count,
                                   .placement = writer_slice(&placement)});
    writer_release(&placement);
}

static void move(const struct metadata_topic *topic, int32_t partition, const uint32_t *nodes,
                 uint32_t count) {
    struct writer placement;
    writer_init(&placement);
    for (uint32_t i = 0; i < count; i++)
        writer_be32(&placement, nodes[i]);
    run(&(struct metadata_command){.kind = METADATA_SET_REPLICAS,
                                   .name = slice_make(topic->name, topic->name_size),
                                   .count = partition,
                                   .placement = writer_slice(&placement)});
    writer_release(&placement);
}

static bool is_up(void *ctx, uint32_t node) {
    (void)ctx;
    return !down[node];
}

static struct metadata_balance plan[METADATA_BALANCE_MAX];

static uint32_t make_plan(uint32_t max) {
    return metadata_plan_balance(&m, is_up, NULL, max, plan);
}

/* Copies that a plan moves over the network. */
static uint32_t copies_moved(uint32_t planned) {
    uint32_t copies = 0;
    for (uint32_t i = 0; i < planned; i++)
        for (uint32_t k = 0; k < plan[i].count; k++)
            copies += !metadata_is_placed(&plan[i].topic->replicas[plan[i].partition], plan[i].nodes[k]);
    return copies;
}

/* All that is planned is done at once. */
static void carry_out(uint32_t planned) {
    for (uint32_t i = 0; i < planned; i++) {
        const struct metadata_replicas *replicas = &plan[i].topic->replicas[plan[i].partition];
        move(plan[i].topic, plan[i].partition, plan[i].nodes, plan[i].count);
        uint8_t version[8];
        store_be64(version, replicas->move->version);
        struct metadata_command command = {.kind = METADATA_MOVED,
                                           .name = slice_make(plan[i].topic->name, plan[i].topic->name_size),
                                           .count = plan[i].partition,
                                           .placement = slice_make(version, sizeof version)};
        run(&command);
        while (replicas->move != NULL) {
            store_be64(version, replicas->move->left[0].since);
            command.kind = METADATA_DROPPED;
            command.node = replicas->move->left[0].node;
            run(&command);
        }
    }
}

struct spread {
    uint32_t least, most, leads_least, leads_most;
};

static struct spread spread(uint32_t nodes) {
    uint32_t replicas[NODES_MAX + 1] = {0}, leaders[NODES_MAX + 1] = {0};
    MAP_FOREACH(it, &m.by_name) {
        const struct metadata_topic *topic = MAP_ENTRY(it)->value;
        for (int32_t p = 0; p < topic->partition_count; p++) {
            leaders[topic->replicas[p].nodes[0]]++;
            for (uint32_t i = 0; i < topic->replicas[p].count; i++)
                replicas[topic->replicas[p].nodes[i]]++;
        }
    }
    struct spread s = {UINT32_MAX, 0, UINT32_MAX, 0};
    for (uint32_t node = 1; node <= nodes; node++) {
        s.least = MIN(s.least, replicas[node]);
        s.most = MAX(s.most, replicas[node]);
        s.leads_least = MIN(s.leads_least, leaders[node]);
        s.leads_most = MAX(s.leads_most, leaders[node]);
    }
    return s;
}

static void a_new_node_gets_its_share(void **state) {
    (void)state;
    for (uint32_t node = 1; node <= 4; node++)
        add_node(node, "");
    add_topic("t", 40, (uint32_t[]){1, 2, 3}, 3);
    uint32_t planned = make_plan(METADATA_BALANCE_MAX);
    assert_int_equal(copies_moved(planned), 30); /* what the fourth shall have, and no more */
    carry_out(planned);
    struct spread s = spread(4);
    assert_true(s.least == 30 && s.most == 30 && s.leads_least == 10 && s.leads_most == 10);
    assert_int_equal(make_plan(METADATA_BALANCE_MAX), 0);
}

static void leaders_move_without_copies(void **state) {
    (void)state;
    for (uint32_t node = 1; node <= 3; node++)
        add_node(node, "");
    add_topic("t", 9, (uint32_t[]){2, 1, 3}, 3);
    uint32_t planned = make_plan(METADATA_BALANCE_MAX);
    assert_int_equal(planned, 6);
    assert_int_equal(copies_moved(planned), 0);
    carry_out(planned);
    struct spread s = spread(3);
    assert_true(s.leads_least == 3 && s.leads_most == 3);
    assert_int_equal(make_plan(METADATA_BALANCE_MAX), 0);
}

static uint32_t racks_of(const struct metadata_replicas *replicas, const char *const *racks) {
    uint32_t seen = 0;
    for (uint32_t i = 0; i < replicas->count; i++)
        seen |= 1u << (racks[replicas->nodes[i]][0] - 'a');
    return (uint32_t)__builtin_popcount(seen);
}

static void racks_come_first(void **state) {
    (void)state;
    static const char *const racks[] = {"", "a", "a", "a", "b"};
    for (uint32_t node = 1; node <= 4; node++)
        add_node(node, racks[node]);
    add_topic("t", 12, (uint32_t[]){1, 2}, 2);
    carry_out(make_plan(METADATA_BALANCE_MAX));
    const struct metadata_topic *topic = metadata_find(&m, SLICE_LITERAL("t"));
    for (int32_t p = 0; p < 12; p++)
        assert_int_equal(racks_of(&topic->replicas[p], racks), 2);
    /* The rack of one node has a copy of each, the other three share the rest. */
    struct spread s = spread(3);
    assert_true(s.least == 4 && s.most == 4);
    assert_int_equal(make_plan(METADATA_BALANCE_MAX), 0);
}

static void what_is_down_or_moving_is_left_alone(void **state) {
    (void)state;
    for (uint32_t node = 1; node <= 4; node++)
        add_node(node, "");
    add_topic("t", 6, (uint32_t[]){1, 2}, 2);
    const struct metadata_topic *topic = metadata_find(&m, SLICE_LITERAL("t"));
    down[4] = true;
    move(topic, 0, (uint32_t[]){3, 2}, 2);
    uint32_t planned = make_plan(METADATA_BALANCE_MAX);
    for (uint32_t i = 0; i < planned; i++) {
        assert_int_not_equal(plan[i].partition, 0);
        for (uint32_t k = 0; k < plan[i].count; k++)
            assert_int_not_equal(plan[i].nodes[k], 4);
    }
    assert_int_equal(copies_moved(planned), 3); /* the one on its way is counted */
    run(&(struct metadata_command){.kind = METADATA_DRAIN_NODE, .node = 3, .count = 1});
    for (uint32_t i = make_plan(METADATA_BALANCE_MAX); i > 0; i--)
        assert_int_equal(copies_moved(i), 0);
    for (uint32_t node = 1; node <= 4; node++)
        down[node] = true;
    assert_int_equal(make_plan(METADATA_BALANCE_MAX), 0);
}

/* The copy on a node that is down is there all the same: none comes beside it into its rack. */
static void racks_of_nodes_that_are_down_count(void **state) {
    (void)state;
    static const char *const racks[] = {"", "a", "a", "b", "b"};
    for (uint32_t node = 1; node <= 4; node++)
        add_node(node, racks[node]);
    add_topic("t", 12, (uint32_t[]){1, 3}, 2);
    down[1] = true;
    carry_out(make_plan(METADATA_BALANCE_MAX));
    const struct metadata_topic *topic = metadata_find(&m, SLICE_LITERAL("t"));
    for (int32_t p = 0; p < 12; p++)
        assert_int_equal(racks_of(&topic->replicas[p], racks), 2);
    struct spread s = spread(4);
    assert_true(s.least == 0 && s.most == 12); /* 2 has none, 1 keeps all of its own */
}

/* Whatever the state: a plan ends, spreads as far as racks allow, is bounded, and in pieces comes to the
 * same. */
static void plans_come_to_an_end(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 7);
    for (int round = 0; round < 60; round++) {
        uint32_t nodes = 2 + (uint32_t)prng_below(&prng, NODES_MAX - 1);
        for (uint32_t node = 1; node <= nodes; node++)
            add_node(node, round % 3 == 0 ? "" : (const char *[]){"x", "y", "z"}[prng_below(&prng, 3)]);
        for (char name[3] = "a0"; name[0] < 'f'; name[0]++) {
            uint32_t first = 1 + (uint32_t)prng_below(&prng, nodes);
            int16_t copies = (int16_t)(1 + prng_below(&prng, MIN(nodes, 3u)));
            uint32_t placed[3];
            for (int16_t i = 0; i < copies; i++)
                placed[i] = (first + (uint32_t)i) % nodes + 1;
            add_topic(name, 1 + (int32_t)prng_below(&prng, 30), placed, copies);
        }
        uint32_t pieces = 0;
        for (uint32_t planned; (planned = make_plan(7)) > 0; pieces++) {
            assert_in_range(planned, 1, 7);
            assert_true(pieces < 100);
            carry_out(planned);
        }
        if (round % 3 == 0) {
            struct spread s = spread(nodes);
            assert_true(s.most - s.least <= 1);
        }
        metadata_release(&m);
        metadata_init(&m, (uint64_t)round);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_node_gets_its_share, setup, teardown),
        cmocka_unit_test_setup_teardown(leaders_move_without_copies, setup, teardown),
        cmocka_unit_test_setup_teardown(racks_come_first, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_down_or_moving_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(racks_of_nodes_that_are_down_count, setup, teardown),
        cmocka_unit_test_setup_teardown(plans_come_to_an_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
