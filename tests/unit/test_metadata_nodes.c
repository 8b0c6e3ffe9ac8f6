// SPDX-License-Identifier: Apache-2.0
/* Nodes with their racks and disks: where copies are placed, how they move, and what is left of them behind. */
#include "lib/test.h"

#include "base/assert.h"
#include "base/prng.h"
#include "base/units.h"
#include "lib/metadata_world.h"

static enum status register_node(struct metadata_world *f, uint32_t node, uint32_t incarnation,
                                 const char *rack) {
    struct metadata_command command = {.kind = METADATA_REGISTER_NODE,
                                       .name = SLICE_LITERAL("here:1"),
                                       .node = node,
                                       .incarnation = incarnation,
                                       .configs = {{SLICE_LITERAL("rack"), slice_from_text(rack)}},
                                       .config_count = 1};
    return metadata_world_do(f, command);
}

static enum status change_node(struct metadata_world *f, enum metadata_kind kind, uint32_t node,
                               int32_t count) {
    return metadata_world_do(f, (struct metadata_command){.kind = kind,
                                                          .node = node,
                                                          .count = count,
                                                          .name = kind == METADATA_ADD_NODE
                                                                      ? SLICE_LITERAL("there:1")
                                                                      : SLICE_EMPTY});
}

static bool any_node(void *ctx, uint32_t node) {
    const bool *down = ctx;
    return !down[node];
}

static const struct metadata_replicas *replicas_of(const struct metadata_world *f, const char *name,
                                                   int32_t partition) {
    return &metadata_find(f->state, slice_from_text(name))->replicas[partition];
}

static enum status create_placed(struct metadata_world *f, const char *name, uint8_t id, int32_t count,
                                 int16_t replication, bool *down) {
    struct writer placement;
    struct diagnostic why;
    writer_init(&placement);
    enum status status = metadata_place(f->state, count, replication, any_node, down, &placement, &why);
    struct metadata_command command = metadata_world_create(name, id, count);
    command.replication = replication;
    command.placement = writer_slice(&placement);
    if (status == STATUS_OK) status = metadata_world_do(f, command);
    writer_release(&placement);
    return status;
}

static enum status set_replicas(struct metadata_world *f, const char *name, int32_t partition,
                                const uint32_t *nodes, uint32_t count) {
    struct writer placement;
    writer_init(&placement);
    for (uint32_t i = 0; i < count; i++)
        writer_be32(&placement, nodes[i]);
    enum status status = metadata_world_do(f,
                                           (struct metadata_command){.kind = METADATA_SET_REPLICAS,
                                                                     .name = slice_from_text(name),
                                                                     .count = partition,
                                                                     .placement = writer_slice(&placement)});
    writer_release(&placement);
    return status;
}

static enum status say(struct metadata_world *f, enum metadata_kind kind, const char *name, int32_t partition,
                       uint32_t node, uint64_t version) {
    uint8_t bytes[8];
    store_be64(bytes, version);
    return metadata_world_do(f, (struct metadata_command){.kind = kind,
                                                          .name = slice_from_text(name),
                                                          .count = partition,
                                                          .node = node,
                                                          .placement = slice_make(bytes, sizeof bytes)});
}

static void replicas_spread_over_racks_then_nodes(void **state) {
    struct metadata_world *f = *state;
    bool down[16] = {false};
    static const char *const racks[] = {"", "a", "a", "a", "b", "b", "c"};
    for (uint32_t node = 1; node <= 6; node++)
        assert_status(register_node(f, node, 10 + node, racks[node]), STATUS_OK);
    assert_status(create_placed(f, "t", 1, 12, 3, down), STATUS_OK);
    uint32_t count[7] = {0}, leaders[7] = {0};
    for (int32_t p = 0; p < 12; p++) {
        const struct metadata_replicas *replicas = replicas_of(f, "t", p);
        uint32_t seen = 0;
        for (uint32_t i = 0; i < 3; i++) {
            seen |= 1u << (racks[replicas->nodes[i]][0] - 'a');
            count[replicas->nodes[i]]++;
        }
        assert_int_equal(seen, 7); /* one in each rack */
        leaders[replicas->nodes[0]]++;
    }
    assert_true(count[1] == 4 && count[2] == 4 && count[3] == 4 && count[4] == 6 && count[5] == 6);
    for (uint32_t node = 1; node <= 6; node++)
        assert_in_range(leaders[node], 1, 3);
    /* More replicas than racks: then nodes. And what is down or drained gets nothing. */
    assert_status(create_placed(f, "u", 2, 1, 5, down), STATUS_OK);
    down[6] = true;
    assert_status(change_node(f, METADATA_DRAIN_NODE, 5, 1), STATUS_OK);
    assert_status(create_placed(f, "v", 3, 8, 2, down), STATUS_OK);
    for (int32_t p = 0; p < 8; p++)
        assert_true(metadata_is_placed(replicas_of(f, "v", p), 4));
    assert_status(create_placed(f, "w", 4, 1, 5, down), STATUS_INVALID_REPLICATION);
}

static void what_is_left_behind_is_told_to_go_before_it_may_come_back(void **state) {
    struct metadata_world *f = *state;
    bool down[16] = {false};
    for (uint32_t node = 1; node <= 5; node++)
        assert_status(register_node(f, node, 10 + node, ""), STATUS_OK);
    assert_status(create_placed(f, "t", 1, 1, 3, down), STATUS_OK);
    const struct metadata_replicas *replicas = replicas_of(f, "t", 0);
    uint64_t founded = replicas->founded;
    assert_true(founded != 0 && replicas->move == NULL);
    /* To where it is: nothing. */
    assert_status(set_replicas(f, "t", 0, replicas->nodes, 3), STATUS_OK);
    assert_true(replicas->move == NULL && replicas->founded == founded);
    uint32_t first[3];
    memcpy(first, replicas->nodes, sizeof first);
    /* Another order: the same nodes may still have to found it. */
    assert_status(set_replicas(f, "t", 0, (uint32_t[]){first[1], first[2], first[0]}, 3), STATUS_OK);
    assert_true(metadata_is_moving(replicas) && replicas->founded == founded);
    assert_status(set_replicas(f, "t", 0, first, 3), STATUS_OK);
    assert_status(say(f, METADATA_MOVED, "t", 0, 0, replicas->move->version), STATUS_OK);
    assert_true(replicas->move == NULL && replicas->founded == founded);
    assert_status(set_replicas(f, "t", 0, (uint32_t[]){first[0], 4, 5}, 3), STATUS_OK);
    /* While it moves, those where it was made may still have to found it. */
    uint32_t founders[METADATA_REPLICAS_MAX];
    assert_true(metadata_is_moving(replicas) && replicas->founded == founded);
    assert_int_equal(metadata_founders(replicas, founders), 3);
    assert_memory_equal(founders, first, sizeof first);
    uint64_t version = replicas->move->version;
    for (uint32_t node = 1; node <= 5; node++)
        assert_true(metadata_has_replica(replicas, node));
    /* Another target, then back: the first members come back in their order. */
    assert_status(set_replicas(f, "t", 0, (uint32_t[]){4}, 1), STATUS_OK);
    assert_status(say(f, METADATA_MOVED, "t", 0, 0, version), STATUS_NOT_FOUND); /* a late one */
    assert_status(metadata_world_do(
                      f, (struct metadata_command){.kind = METADATA_CANCEL_MOVE, .name = SLICE_LITERAL("t")}),
                  STATUS_OK);
    assert_memory_equal(replicas->nodes, first, sizeof first);
    assert_status(say(f, METADATA_MOVED, "t", 0, 0, replicas->move->version), STATUS_OK);
    assert_false(metadata_is_moving(replicas));
    assert_int_equal(replicas->founded, founded);
    assert_int_equal(metadata_founders(replicas, founders), 3);
    assert_memory_equal(founders, first, sizeof first);
    assert_int_equal(replicas->move->count, 2);
    assert_false(metadata_has_replica(replicas, 4));
    assert_status(set_replicas(f, "t", 0, (uint32_t[]){4}, 1), STATUS_UNAVAILABLE);
    uint64_t since = metadata_left_behind(replicas, 4)->since;
    assert_status(say(f, METADATA_DROPPED, "t", 0, 4, since - 1), STATUS_NOT_FOUND);
    assert_status(say(f, METADATA_DROPPED, "t", 0, 4, since), STATUS_OK);
    assert_status(say(f, METADATA_DROPPED, "t", 0, 4, since), STATUS_NOT_FOUND);
    assert_status(set_replicas(f, "t", 0, (uint32_t[]){4}, 1), STATUS_OK);
    assert_int_equal(metadata_left_behind(replicas, 5)->kind, METADATA_CLOSING); /* still */
    assert_int_equal(replicas->founded, founded);
    assert_status(say(f, METADATA_MOVED, "t", 0, 0, replicas->move->version), STATUS_OK);
    assert_int_equal(replicas->founded, 0);
    assert_int_equal(metadata_left_behind(replicas, 5)->since, since);
    assert_status(say(f, METADATA_DROPPED, "t", 0, 5, since), STATUS_OK);
    /* A disk that is lost has nothing to delete. */
    assert_status(register_node(f, first[0], 99, ""), STATUS_OK);
    assert_null(metadata_left_behind(replicas, first[0]));
    assert_int_equal(metadata_find(f->state, SLICE_LITERAL("t"))->replication, 1);
    metadata_world_check(f);
}

/* As many targets as there is room for, one after another: the way back stays open. */
static void a_move_that_was_changed_often_can_still_be_cancelled(void **state) {
    struct metadata_world *f = *state;
    bool down[32] = {false};
    for (uint32_t node = 1; node <= 28; node++)
        assert_status(register_node(f, node, 10 + node, ""), STATUS_OK);
    for (uint32_t replication = 1; replication <= METADATA_REPLICAS_MAX; replication += 3) {
        char name[] = {'t', (char)('0' + replication), '\0'};
        assert_status(create_placed(f, name, (uint8_t)replication, 1, (int16_t)replication, down), STATUS_OK);
        const struct metadata_replicas *replicas = replicas_of(f, name, 0);
        uint32_t first[METADATA_REPLICAS_MAX], target[METADATA_REPLICAS_MAX], count = 0, targets = 0;
        memcpy(first, replicas->nodes, sizeof first);
        enum status status = STATUS_OK;
        for (uint32_t node = 1; status == STATUS_OK && node <= 28; node++) {
            if (metadata_has_replica(replicas, node)) continue;
            target[count++] = node;
            if (count < replication) continue;
            count = 0;
            status = set_replicas(f, name, 0, target, replication);
            targets += status == STATUS_OK;
        }
        assert_status(status, STATUS_BUSY);
        assert_int_equal(targets, METADATA_LEFT_MAX / replication - 1);
        assert_status(metadata_world_do(f, (struct metadata_command){.kind = METADATA_CANCEL_MOVE,
                                                                     .name = slice_from_text(name)}),
                      STATUS_OK);
        assert_memory_equal(replicas->nodes, first, replication * sizeof *first);
        metadata_world_check(f);
    }
}

static void nodes_come_and_go(void **state) {
    struct metadata_world *f = *state;
    bool down[16] = {false};
    assert_status(register_node(f, 1, 11, "a"), STATUS_OK);
    assert_status(change_node(f, METADATA_DRAIN_NODE, 1, 1), STATUS_INVALID);
    assert_status(change_node(f, METADATA_ADD_NODE, 2, 0), STATUS_OK);
    assert_status(change_node(f, METADATA_ADD_NODE, 2, 0), STATUS_EXISTS);
    assert_status(change_node(f, METADATA_ADD_NODE, 0, 0), STATUS_INVALID);
    assert_status(create_placed(f, "t", 1, 1, 2, down), STATUS_INVALID_REPLICATION); /* it did not come yet */
    assert_status(register_node(f, 2, 12, ""), STATUS_OK);
    assert_status(create_placed(f, "t", 1, 1, 2, down), STATUS_OK);
    assert_status(change_node(f, METADATA_DRAIN_NODE, 2, 1), STATUS_INVALID_REPLICATION);
    assert_status(change_node(f, METADATA_REMOVE_NODE, 2, 0), STATUS_IN_USE);
    assert_status(register_node(f, 3, 13, ""), STATUS_OK);
    assert_status(change_node(f, METADATA_DRAIN_NODE, 2, 1), STATUS_OK);
    assert_status(change_node(f, METADATA_REMOVE_NODE, 2, 0), STATUS_IN_USE);
    struct writer placement;
    struct diagnostic why;
    writer_init(&placement);
    const struct metadata_replicas *replicas = replicas_of(f, "t", 0);
    assert_status(metadata_place_again(f->state, replicas, 2, any_node, down, &placement, &why), STATUS_OK);
    assert_int_equal(load_be32(placement.data), 1);
    assert_int_equal(load_be32(placement.data + 4), 3);
    writer_release(&placement);
    assert_status(set_replicas(f, "t", 0, (uint32_t[]){1, 3}, 2), STATUS_OK);
    assert_status(change_node(f, METADATA_REMOVE_NODE, 2, 0), STATUS_IN_USE); /* still leaving */
    assert_status(say(f, METADATA_MOVED, "t", 0, 0, replicas->move->version), STATUS_OK);
    assert_status(change_node(f, METADATA_REMOVE_NODE, 2, 0), STATUS_OK); /* dead: it will not say a word */
    assert_null(replicas->move);
    assert_null(metadata_node(f->state, 2));
    assert_status(register_node(f, 2, 12, ""), STATUS_INVALID);
    assert_non_null(replicas);
    metadata_world_restart(f);
    assert_status(register_node(f, 2, 12, ""), STATUS_INVALID);
    assert_status(register_node(f, 2, 77, ""), STATUS_OK); /* another disk */
    assert_status(change_node(f, METADATA_REMOVE_NODE, 9, 0), STATUS_NOT_FOUND);
}

/* Soon there will be enough nodes: that is told in another way than that there are too few. */
static void old_copies_are_waited_for(void **state) {
    struct metadata_world *f = *state;
    bool down[16] = {false};
    struct writer placement;
    struct diagnostic why;
    for (uint32_t node = 1; node <= 3; node++)
        assert_status(register_node(f, node, 10 + node, ""), STATUS_OK);
    assert_status(create_placed(f, "t", 1, 1, 3, down), STATUS_OK);
    const struct metadata_replicas *replicas = replicas_of(f, "t", 0);
    assert_status(set_replicas(f, "t", 0, (uint32_t[]){1}, 1), STATUS_OK);
    assert_status(say(f, METADATA_MOVED, "t", 0, 0, replicas->move->version), STATUS_OK);
    for (int16_t wanted = 2; wanted <= 4; wanted++) {
        writer_init(&placement);
        assert_status(metadata_place_again(f->state, replicas, wanted, any_node, down, &placement, &why),
                      wanted <= 3 ? STATUS_UNAVAILABLE : STATUS_INVALID_REPLICATION);
        writer_release(&placement);
    }
}

/* Which disk a node had when something was made, as far back as it is remembered. */
static void so_many_disks_of_a_node_are_remembered(void **state) {
    struct metadata_world *f = *state;
    uint64_t came[METADATA_DISKS_MAX + 4];
    for (uint32_t i = 0; i < ARRAY_COUNT(came); i++) {
        assert_status(register_node(f, 7, 100 + i, ""), STATUS_OK);
        came[i] = f->state->applied_index;
        assert_status(register_node(f, 7, 100 + i, "moved"), STATUS_OK); /* the same disk in another rack */
        assert_status(register_node(f, 8, 1, ""), STATUS_OK);
    }
    const struct metadata_node *node = metadata_node(f->state, 7);
    uint32_t oldest = ARRAY_COUNT(came) - METADATA_DISKS_MAX - 1;
    for (uint32_t i = 0; i < ARRAY_COUNT(came); i++)
        for (uint64_t later = 0; later < 3; later++)
            assert_int_equal(metadata_incarnation_at(node, came[i] + later), i < oldest ? 0 : 100 + i);
    assert_int_equal(metadata_incarnation_at(metadata_node(f->state, 8), came[0]), 0); /* it came later */
    metadata_world_check(f);
}

/* More numbers than are remembered: the lowest are forgotten, and what is stored says the same. */
static void so_many_removed_nodes_are_remembered(void **state) {
    struct metadata_world *f = *state;
    assert_status(register_node(f, 1000, 5, ""), STATUS_OK);
    for (uint32_t i = 0; i < METADATA_NODES_MAX + 3; i++) {
        uint32_t node = i % 2 == 0 ? 500 - i : 500 + i;
        assert_status(register_node(f, node, 10 + i, ""), STATUS_OK);
        assert_status(change_node(f, METADATA_DRAIN_NODE, node, 1), STATUS_OK);
        assert_status(change_node(f, METADATA_REMOVE_NODE, node, 0), STATUS_OK);
        assert_int_equal(metadata_removed_incarnation(f->state, node), 10 + i);
        metadata_world_check(f);
    }
    /* Who never came has no disk to be remembered by. */
    struct metadata_removed lowest = f->state->removed[0];
    assert_status(change_node(f, METADATA_ADD_NODE, 900, 0), STATUS_OK);
    assert_status(change_node(f, METADATA_REMOVE_NODE, 900, 0), STATUS_OK);
    assert_int_equal(f->state->removed_count, METADATA_NODES_MAX);
    assert_memory_equal(&f->state->removed[0], &lowest, sizeof lowest);
    /* Keys of the forgotten were left standing once. */
    static const uint8_t key[] = {'r', 0, 0, 0, 1}, value[] = {1, 0, 0, 0, 77};
    metadata_world_store(f, slice_make(key, sizeof key), slice_make(value, sizeof value), false);
    metadata_world_check(f);
}

/* Random commands: stored is what is known, and nobody who still has to delete a copy is placed again. */
static void moves_are_stored_and_never_overtake_a_deletion(void **state) {
    struct metadata_world *f = *state;
    bool down[16] = {false};
    for (uint32_t node = 1; node <= 5; node++)
        assert_status(register_node(f, node, 10 + node, node % 2 == 0 ? "a" : "b"), STATUS_OK);
    assert_status(create_placed(f, "t", 1, 3, 3, down), STATUS_OK);
    int moved = 0, dropped = 0;
    for (int step = 0; step < 6000; step++) {
        int32_t p = (int32_t)prng_below(&f->prng, 3);
        const struct metadata_replicas *replicas = replicas_of(f, "t", p);
        uint32_t node = (uint32_t)prng_below(&f->prng, 6) + 1, nodes[3];
        uint64_t version = replicas->move == NULL ? 1 : replicas->move->version - prng_below(&f->prng, 2);
        const struct metadata_left *left = metadata_left_behind(replicas, node);
        switch (prng_below(&f->prng, 7)) {
        case 0:
            for (uint32_t i = 0; i < 3; i++)
                nodes[i] = (uint32_t)prng_below(&f->prng, 6) + 1;
            MAYBE(set_replicas(f, "t", p, nodes, (uint32_t)prng_below(&f->prng, 3) + 1));
            break;
        case 1:
            MAYBE(metadata_world_do(f, (struct metadata_command){.kind = METADATA_CANCEL_MOVE,
                                                                 .name = SLICE_LITERAL("t"),
                                                                 .count = p}));
            break;
        case 2:
            moved += say(f, METADATA_MOVED, "t", p, 0, version) == STATUS_OK;
            break;
        case 3:
        case 4:
            dropped += say(f, METADATA_DROPPED, "t", p, node, left == NULL ? 1 : left->since) == STATUS_OK;
            break;
        case 5:
            MAYBE(change_node(f, METADATA_DRAIN_NODE, node, (int32_t)prng_below(&f->prng, 2)));
            break;
        default:
            if (prng_below(&f->prng, 8) == 0)
                MAYBE(register_node(f, node, (uint32_t)prng_below(&f->prng, 100) + 1, "a"));
            if (prng_below(&f->prng, 8) == 0) MAYBE(change_node(f, METADATA_REMOVE_NODE, node, 0));
        }
        for (uint32_t i = 0; replicas->move != NULL && i < replicas->move->count; i++) {
            const struct metadata_left *at = &replicas->move->left[i];
            if (at->kind == METADATA_CLOSING) assert_false(metadata_is_placed(replicas, at->node));
            if (replicas->move->version == 0) assert_int_equal(at->kind, METADATA_CLOSING);
        }
        if (step % 20 != 0) continue;
        metadata_world_restart(f);
    }
    assert_true(moved > 50 && dropped > 50);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, metadata_world_setup, metadata_world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_WORLD(replicas_spread_over_racks_then_nodes),
        IN_WORLD(what_is_left_behind_is_told_to_go_before_it_may_come_back),
        IN_WORLD(a_move_that_was_changed_often_can_still_be_cancelled),
        IN_WORLD(nodes_come_and_go),
        IN_WORLD(old_copies_are_waited_for),
        IN_WORLD(so_many_disks_of_a_node_are_remembered),
        IN_WORLD(so_many_removed_nodes_are_remembered),
        IN_WORLD(moves_are_stored_and_never_overtake_a_deletion),
    };
    return cmocka_run_group_tests_name("metadata_nodes", tests, NULL, NULL);
}
