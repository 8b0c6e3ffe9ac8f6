// SPDX-License-Identifier: Apache-2.0
/* Topics, their groups and configurations, producer ids: commands, and the keys that are stored of them. */
#include "lib/test.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/units.h"
#include "lib/metadata_world.h"

static void commands_survive_encoding_and_every_truncation_is_seen(void **state) {
    (void)state;
    struct metadata_command command = metadata_world_create("topic", 9, 12), back;
    command.configs[0] = (struct metadata_config){SLICE_LITERAL("retention.ms"), SLICE_LITERAL("5")};
    command.configs[1] = (struct metadata_config){SLICE_LITERAL("x"), SLICE_EMPTY};
    command.config_count = 2;
    struct writer bytes;
    writer_init(&bytes);
    metadata_encode(&command, &bytes);
    assert_status(metadata_decode(writer_slice(&bytes), &back), STATUS_OK);
    assert_int_equal(back.kind, METADATA_CREATE_TOPIC);
    assert_slice_equal(back.name, SLICE_LITERAL("topic"));
    assert_true(uuid_equal(back.id, command.id));
    assert_int_equal(back.count, 12);
    assert_int_equal(back.replication, 1);
    assert_int_equal(back.config_count, 2);
    assert_slice_equal(back.configs[0].name, SLICE_LITERAL("retention.ms"));
    assert_slice_equal(back.configs[0].value, SLICE_LITERAL("5"));
    assert_int_equal(back.configs[1].value.size, 0);
    for (size_t size = 0; size < bytes.size; size++)
        assert_status(metadata_decode(slice_make(bytes.data, size), &back), STATUS_MALFORMED);
    writer_u8(&bytes, 0);
    assert_status(metadata_decode(writer_slice(&bytes), &back), STATUS_MALFORMED);
    bytes.size--;
    bytes.data[1] = METADATA_KIND_END;
    assert_status(metadata_decode(writer_slice(&bytes), &back), STATUS_MALFORMED);
    bytes.data[1] = 0;
    assert_status(metadata_decode(writer_slice(&bytes), &back), STATUS_MALFORMED);
    writer_release(&bytes);
}

static void groups_begin_at_one_and_are_never_used_again(void **state) {
    struct metadata_world *f = *state;
    assert_status(metadata_world_do(f, metadata_world_create("a", 1, 3)), STATUS_OK);
    assert_status(metadata_world_do(f, metadata_world_create("b", 2, 2)), STATUS_OK);
    const struct metadata_topic *a = metadata_find(f->state, SLICE_LITERAL("a"));
    const struct metadata_topic *b = metadata_find(f->state, SLICE_LITERAL("b"));
    assert_memory_equal(a->groups, ((uint64_t[]){1, 2, 3}), 3 * sizeof(uint64_t));
    assert_memory_equal(b->groups, ((uint64_t[]){4, 5}), 2 * sizeof(uint64_t));
    struct metadata_effects effects;
    metadata_effects_init(&effects);
    struct metadata_command drop = {.kind = METADATA_DELETE_TOPIC, .name = SLICE_LITERAL("a")};
    assert_status(metadata_world_run(f, &drop, &effects), STATUS_OK);
    assert_int_equal(effects.dropped_count, 3);
    assert_memory_equal(effects.dropped_groups, ((uint64_t[]){1, 2, 3}), 3 * sizeof(uint64_t));
    metadata_effects_release(&effects);
    assert_status(metadata_world_do(f, (struct metadata_command){.kind = METADATA_ADD_PARTITIONS,
                                                                 .name = SLICE_LITERAL("b"),
                                                                 .count = 4}),
                  STATUS_OK);
    assert_status(metadata_world_do(f, metadata_world_create("a", 3, 1)), STATUS_OK);
    assert_memory_equal(metadata_find(f->state, SLICE_LITERAL("b"))->groups, ((uint64_t[]){4, 5, 6, 7}),
                        4 * sizeof(uint64_t));
    assert_int_equal(metadata_find(f->state, SLICE_LITERAL("a"))->groups[0], 8);
    assert_int_equal(f->state->partition_total, 5);
}

static void what_cannot_be_is_refused(void **state) {
    struct metadata_world *f = *state;
    static const char id[] = "0123456789abcdefghijkl";
    struct metadata_command init = {.kind = METADATA_INIT, .name = SLICE_LITERAL("short")};
    assert_status(metadata_world_do(f, init), STATUS_INVALID);
    init.name = slice_from_text(id);
    assert_status(metadata_world_do(f, init), STATUS_OK);
    assert_string_equal(f->state->cluster_id, id);
    assert_status(metadata_world_do(f, init), STATUS_EXISTS);
    assert_status(metadata_world_do(f, metadata_world_create("a", 1, 3)), STATUS_OK);
    assert_status(metadata_world_do(f, metadata_world_create("a", 2, 3)), STATUS_EXISTS);
    assert_status(metadata_world_do(f, metadata_world_create("b", 1, 3)), STATUS_INVALID);
    assert_status(metadata_world_do(f, metadata_world_create("b", 0, 3)), STATUS_INVALID);
    assert_status(metadata_world_do(f, metadata_world_create("", 2, 3)), STATUS_INVALID_TOPIC);
    assert_status(metadata_world_do(f, metadata_world_create("b", 2, 0)), STATUS_INVALID_PARTITIONS);
    assert_status(metadata_world_do(f, metadata_world_create("b", 2, -5)), STATUS_INVALID_PARTITIONS);
    assert_status(metadata_world_do(f, metadata_world_create("b", 2, METADATA_PARTITIONS_MAX + 1)),
                  STATUS_INVALID_PARTITIONS);
    struct metadata_command add = {.kind = METADATA_ADD_PARTITIONS, .name = SLICE_LITERAL("a"), .count = 3};
    assert_status(metadata_world_do(f, add), STATUS_INVALID_PARTITIONS);
    add.count = 2;
    assert_status(metadata_world_do(f, add), STATUS_INVALID_PARTITIONS);
    add.name = SLICE_LITERAL("b");
    assert_status(metadata_world_do(f, add), STATUS_UNKNOWN_TOPIC);
    struct metadata_command drop = {.kind = METADATA_DELETE_TOPIC, .name = SLICE_LITERAL("b")};
    assert_status(metadata_world_do(f, drop), STATUS_UNKNOWN_TOPIC);
    drop.kind = METADATA_SET_CONFIGS;
    assert_status(metadata_world_do(f, drop), STATUS_UNKNOWN_TOPIC);
    struct metadata_command take = {.kind = METADATA_TAKE_PRODUCERS, .count = 0};
    assert_status(metadata_world_do(f, take), STATUS_INVALID);
    assert_int_equal(f->state->applied_index, 2);
}

static void producer_ids_are_handed_out_once(void **state) {
    struct metadata_world *f = *state;
    int64_t next = 0;
    for (int i = 1; i < 20; i++) {
        struct metadata_effects effects;
        metadata_effects_init(&effects);
        struct metadata_command take = {.kind = METADATA_TAKE_PRODUCERS, .count = i};
        assert_status(metadata_world_run(f, &take, &effects), STATUS_OK);
        assert_int_equal(effects.first_producer_id, next);
        next += i;
        metadata_effects_release(&effects);
        metadata_world_restart(f);
    }
}

static void configs_are_replaced_as_a_whole(void **state) {
    struct metadata_world *f = *state;
    assert_status(metadata_world_do(f, metadata_world_create("a", 1, 1)), STATUS_OK);
    struct metadata_command set = {
        .kind = METADATA_SET_CONFIGS, .name = SLICE_LITERAL("a"), .config_count = 2};
    set.configs[0] = (struct metadata_config){SLICE_LITERAL("x"), SLICE_LITERAL("1")};
    set.configs[1] = (struct metadata_config){SLICE_LITERAL("y"), SLICE_LITERAL("2")};
    assert_status(metadata_world_do(f, set), STATUS_OK);
    set.configs[0] = (struct metadata_config){SLICE_LITERAL("z"), SLICE_LITERAL("")};
    set.config_count = 1;
    assert_status(metadata_world_do(f, set), STATUS_OK);
    const struct metadata_topic *topic = metadata_find(f->state, SLICE_LITERAL("a"));
    struct slice rest = writer_slice(&topic->configs);
    struct metadata_config config;
    assert_status(metadata_config_next(&rest, &config), STATUS_OK);
    assert_slice_equal(config.name, SLICE_LITERAL("z"));
    assert_int_equal(config.value.size, 0);
    assert_status(metadata_config_next(&rest, &config), STATUS_END);
}

static void a_topic_is_deleted_by_its_own_id_or_none(void **state) {
    struct metadata_world *f = *state;
    struct metadata_command drop = {.kind = METADATA_DELETE_TOPIC, .name = SLICE_LITERAL("a")};
    for (uint8_t id = 1; id <= 2; id++) {
        assert_status(metadata_world_do(f, metadata_world_create("a", id, 1)), STATUS_OK);
        drop.id = metadata_world_id(id + 1);
        assert_status(metadata_world_do(f, drop), STATUS_UNKNOWN_TOPIC_ID);
        assert_non_null(metadata_find(f->state, SLICE_LITERAL("a")));
        drop.id = id == 1 ? metadata_world_id(id) : (struct uuid){{0}}; /* zero: by the name alone */
        assert_status(metadata_world_do(f, drop), STATUS_OK);
        assert_null(metadata_find(f->state, SLICE_LITERAL("a")));
    }
}

/* Of two that were made from the same configuration the second would undo the first. */
static void configs_made_from_what_is_gone_are_refused(void **state) {
    struct metadata_world *f = *state;
    assert_status(metadata_world_do(f, metadata_world_create("a", 1, 1)), STATUS_OK);
    struct writer seen;
    writer_init(&seen);
    metadata_put_seen(metadata_find(f->state, SLICE_LITERAL("a")), &seen);
    struct metadata_command set = {.kind = METADATA_SET_CONFIGS,
                                   .name = SLICE_LITERAL("a"),
                                   .config_count = 1,
                                   .placement = writer_slice(&seen)};
    set.configs[0] = (struct metadata_config){SLICE_LITERAL("x"), SLICE_LITERAL("1")};
    assert_status(metadata_world_do(f, set), STATUS_OK);
    set.configs[0].value = SLICE_LITERAL("2");
    assert_status(metadata_world_do(f, set), STATUS_BUSY);
    writer_clear(&seen);
    metadata_put_seen(metadata_find(f->state, SLICE_LITERAL("a")), &seen);
    for (size_t cut = 1; cut < seen.size; cut++) { /* what another node sends may be anything */
        set.placement = slice_make(seen.data, cut);
        assert_status(metadata_world_do(f, set), STATUS_BUSY);
    }
    seen.data[0]++;
    set.placement = writer_slice(&seen);
    assert_status(metadata_world_do(f, set), STATUS_BUSY);
    seen.data[0]--;
    assert_status(metadata_world_do(f, set), STATUS_OK);
    assert_status(metadata_world_do(f, set), STATUS_BUSY);
    set.placement = SLICE_EMPTY; /* meant as it is */
    assert_status(metadata_world_do(f, set), STATUS_OK);
    writer_release(&seen);
}

static struct metadata_command random_command(struct metadata_world *f, char *name, size_t name_size) {
    const struct metadata_config configs[] = {{SLICE_LITERAL("retention.ms"), SLICE_LITERAL("1")},
                                              {SLICE_LITERAL("cleanup.policy"), SLICE_LITERAL("delete")}};
    struct metadata_command command = {
        .kind = (enum metadata_kind)prng_range(&f->prng, METADATA_CREATE_TOPIC, METADATA_KIND_END - 1),
        .count = (int32_t)prng_range(&f->prng, 1, 12),
        .replication = 1};
    snprintf(name, name_size, "topic-%d", (int)prng_below(&f->prng, 40));
    command.name = slice_from_text(name);
    prng_bytes(&f->prng, command.id.bytes, sizeof command.id.bytes);
    command.config_count = (uint32_t)prng_below(&f->prng, 3);
    for (uint32_t i = 0; i < command.config_count; i++)
        command.configs[i] = configs[i];
    return command;
}

static void the_stored_keys_always_give_the_state_that_wrote_them(void **state) {
    struct metadata_world *f = *state;
    static bool used[20000];
    memset(used, 0, sizeof used);
    char name[32];
    for (int step = 0; step < 1500; step++) {
        struct metadata_command command = random_command(f, name, sizeof name);
        struct metadata_effects effects;
        metadata_effects_init(&effects);
        if (metadata_world_run(f, &command, &effects) == STATUS_OK && command.kind == METADATA_CREATE_TOPIC) {
            const struct metadata_topic *topic = metadata_find(f->state, command.name);
            for (int32_t i = 0; i < topic->partition_count; i++) {
                assert_false(used[topic->groups[i]]);
                used[topic->groups[i]] = true;
            }
        }
        metadata_effects_release(&effects);
        if (step % 10 != 0) continue;
        if (step % 20 == 0)
            metadata_world_restart(f);
        else
            metadata_world_check(f);
    }
}

static void damaged_keys_are_refused_or_give_some_state_and_never_more(void **state) {
    struct metadata_world *f = *state;
    static const char id[] = "0123456789abcdefghijkl";
    assert_status(
        metadata_world_do(f, (struct metadata_command){.kind = METADATA_INIT, .name = slice_from_text(id)}),
        STATUS_OK);
    struct metadata_command make = metadata_world_create("damaged", 1, 5);
    make.configs[0] = (struct metadata_config){SLICE_LITERAL("retention.ms"), SLICE_LITERAL("5")};
    make.config_count = 1;
    assert_status(metadata_world_do(f, make), STATUS_OK);
    assert_int_equal(f->key_count, 2);
    struct slice header = slice_make(f->keys[0].value, f->keys[0].value_size);
    for (size_t k = 0; k < 2; k++) {
        struct slice key = slice_make(f->keys[k].key, f->keys[k].key_size);
        for (size_t size = 0; size < f->keys[k].value_size; size++) {
            struct metadata *m = metadata_world_state_new();
            if (k == 1)
                assert_status(metadata_load(m, slice_make(f->keys[0].key, f->keys[0].key_size), header),
                              STATUS_OK);
            assert_status(metadata_load(m, key, slice_make(f->keys[k].value, size)), STATUS_MALFORMED);
            metadata_world_state_free(m);
        }
        for (int i = 0; i < 3000; i++) {
            uint8_t damaged[256];
            memcpy(damaged, f->keys[k].value, f->keys[k].value_size);
            damaged[prng_below(&f->prng, f->keys[k].value_size)] ^= (uint8_t)(1U << prng_below(&f->prng, 8));
            struct metadata *m = metadata_world_state_new();
            if (k == 1)
                assert_status(metadata_load(m, slice_make(f->keys[0].key, f->keys[0].key_size), header),
                              STATUS_OK);
            enum status status = metadata_load(m, key, slice_make(damaged, f->keys[k].value_size));
            if (status != STATUS_OK) assert_status(status, STATUS_MALFORMED);
            metadata_world_state_free(m);
        }
    }
}

static void a_group_beyond_those_handed_out_is_damage(void **state) {
    struct metadata_world *f = *state;
    assert_status(metadata_world_do(f, metadata_world_create("a", 1, 2)), STATUS_OK);
    struct metadata *m = metadata_world_state_new(); /* no header: nothing was handed out */
    assert_status(metadata_load(m, slice_make(f->keys[1].key, f->keys[1].key_size),
                                slice_make(f->keys[1].value, f->keys[1].value_size)),
                  STATUS_MALFORMED);
    metadata_world_state_free(m);
}

static void the_rate_of_copies_is_kept(void **state) {
    struct metadata_world *f = *state;
    uint8_t rate[9] = {0};
    const int64_t rates[] = {1000000, 0, -1, INT64_MIN};
    assert_int_equal(f->state->catch_up_rate, -1);
    for (unsigned i = 0; i < ARRAY_COUNT(rates); i++) {
        store_be64(rate, (uint64_t)rates[i]);
        assert_status(metadata_world_do(f, (struct metadata_command){.kind = METADATA_SET_CATCH_UP_RATE,
                                                                     .placement = slice_make(rate, 8)}),
                      STATUS_OK);
        metadata_world_restart(f);
        assert_int_equal(f->state->catch_up_rate, MAX(rates[i], -1));
    }
    assert_status(metadata_world_do(f, (struct metadata_command){.kind = METADATA_SET_CATCH_UP_RATE,
                                                                 .placement = slice_make(rate, 9)}),
                  STATUS_INVALID);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, metadata_world_setup, metadata_world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_survive_encoding_and_every_truncation_is_seen),
        IN_WORLD(groups_begin_at_one_and_are_never_used_again),
        IN_WORLD(what_cannot_be_is_refused),
        IN_WORLD(producer_ids_are_handed_out_once),
        IN_WORLD(configs_are_replaced_as_a_whole),
        IN_WORLD(a_topic_is_deleted_by_its_own_id_or_none),
        IN_WORLD(configs_made_from_what_is_gone_are_refused),
        IN_WORLD(the_stored_keys_always_give_the_state_that_wrote_them),
        IN_WORLD(damaged_keys_are_refused_or_give_some_state_and_never_more),
        IN_WORLD(a_group_beyond_those_handed_out_is_damage),
        IN_WORLD(the_rate_of_copies_is_kept),
    };
    return cmocka_run_group_tests_name("metadata", tests, NULL, NULL);
}
