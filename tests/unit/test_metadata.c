// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/units.h"
#include "lib/test.h"
#include "machine/metadata.h"

/* A state and the keys a host would have stored for it, in the order of their bytes. */
#define KEYS_MAX 300
struct fixture {
    struct metadata *state;
    struct stored {
        uint8_t *key, *value;
        size_t key_size, value_size;
    } keys[KEYS_MAX];
    size_t key_count;
    struct prng prng;
};

static struct metadata *state_new(void) {
    struct metadata *m = mem_alloc(sizeof *m);
    metadata_init(m, 5);
    return m;
}

static void state_free(struct metadata *m) {
    metadata_release(m);
    mem_free(m);
}

static int setup(void **state) {
    struct fixture *f = mem_calloc(1, sizeof *f);
    f->state = state_new();
    prng_init(&f->prng, 21);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    state_free(f->state);
    for (size_t i = 0; i < f->key_count; i++) {
        mem_free(f->keys[i].key);
        mem_free(f->keys[i].value);
    }
    mem_free(f);
    return 0;
}

static uint8_t *copy(struct slice bytes) {
    uint8_t *data = mem_alloc(bytes.size + 1);
    if (bytes.size != 0) memcpy(data, bytes.data, bytes.size);
    return data;
}

static void store_key(struct fixture *f, struct slice key, struct slice value, bool removed) {
    size_t i = 0;
    int order = -1;
    while (i < f->key_count &&
           (order = slice_compare(slice_make(f->keys[i].key, f->keys[i].key_size), key)) < 0)
        i++;
    bool found = i < f->key_count && order == 0;
    if (removed) assert_true(found);
    if (found) {
        mem_free(f->keys[i].key);
        mem_free(f->keys[i].value);
        memmove(&f->keys[i], &f->keys[i + 1], (f->key_count - i - 1) * sizeof *f->keys);
        f->key_count--;
    }
    if (removed) return;
    assert_true(f->key_count < KEYS_MAX);
    memmove(&f->keys[i + 1], &f->keys[i], (f->key_count - i) * sizeof *f->keys);
    f->keys[i] = (struct stored){copy(key), copy(value), key.size, value.size};
    f->key_count++;
}

/* As the host does it: through bytes. */
static enum status run(struct fixture *f, const struct metadata_command *command,
                       struct metadata_effects *effects) {
    struct diagnostic why;
    struct metadata_command decoded;
    struct writer bytes;
    writer_init(&bytes);
    metadata_encode(command, &bytes);
    assert_status(metadata_decode(writer_slice(&bytes), &decoded), STATUS_OK);
    enum status status = metadata_check(f->state, &decoded, &why);
    if (status == STATUS_OK) {
        metadata_apply(f->state, f->state->applied_index + 1, &decoded, effects);
        for (uint32_t i = 0; i < effects->key_count; i++)
            store_key(
                f, slice_make(effects->bytes.data + effects->keys[i].key_at, effects->keys[i].key_size),
                slice_make(effects->bytes.data + effects->keys[i].value_at, effects->keys[i].value_size),
                effects->keys[i].removed);
    } else {
        assert_int_not_equal(why.text[0], '\0');
    }
    writer_release(&bytes);
    return status;
}

static enum status run_plain(struct fixture *f, struct metadata_command command) {
    struct metadata_effects effects;
    metadata_effects_init(&effects);
    enum status status = run(f, &command, &effects);
    metadata_effects_release(&effects);
    return status;
}

static struct uuid some_id(uint8_t n) {
    struct uuid id = {{0}};
    id.bytes[3] = n;
    return id;
}

static struct metadata_command create(const char *name, uint8_t id, int32_t count) {
    return (struct metadata_command){.kind = METADATA_CREATE_TOPIC,
                                     .name = slice_from_text(name),
                                     .id = some_id(id),
                                     .count = count,
                                     .replication = 1};
}

static void assert_same_topic(const struct metadata_topic *a, const struct metadata_topic *b) {
    assert_string_equal(a->name, b->name);
    assert_true(uuid_equal(a->id, b->id));
    assert_int_equal(a->partition_count, b->partition_count);
    assert_int_equal(a->replication, b->replication);
    assert_memory_equal(a->groups, b->groups, (size_t)a->partition_count * sizeof *a->groups);
    assert_int_equal(a->config_count, b->config_count);
    assert_slice_equal(writer_slice(&a->configs), writer_slice(&b->configs));
}

static void assert_same(const struct metadata *a, const struct metadata *b) {
    assert_int_equal(a->applied_index, b->applied_index);
    assert_int_equal(a->next_group, b->next_group);
    assert_int_equal(a->next_producer_id, b->next_producer_id);
    assert_int_equal(a->partition_total, b->partition_total);
    assert_string_equal(a->cluster_id, b->cluster_id);
    assert_int_equal(a->by_name.count, b->by_name.count);
    assert_int_equal(a->by_id.count, b->by_id.count);
    MAP_FOREACH(it, &a->by_name) {
        const struct metadata_topic *topic = MAP_ENTRY(it)->value;
        const struct metadata_topic *other = metadata_find(b, slice_from_text(topic->name));
        assert_non_null(other);
        assert_same_topic(topic, other);
        assert_ptr_equal(metadata_find_id(b, topic->id), other);
    }
}

/* A restart: the stored keys must give the state that wrote them. */
static struct metadata *reload(const struct fixture *f) {
    struct metadata *m = state_new();
    for (size_t i = 0; i < f->key_count; i++)
        assert_status(metadata_load(m, slice_make(f->keys[i].key, f->keys[i].key_size),
                                    slice_make(f->keys[i].value, f->keys[i].value_size)),
                      STATUS_OK);
    return m;
}

static void commands_survive_encoding_and_every_truncation_is_seen(void **state) {
    (void)state;
    struct metadata_command command = create("topic", 9, 12), back;
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
    struct fixture *f = *state;
    assert_status(run_plain(f, create("a", 1, 3)), STATUS_OK);
    assert_status(run_plain(f, create("b", 2, 2)), STATUS_OK);
    const struct metadata_topic *a = metadata_find(f->state, SLICE_LITERAL("a"));
    const struct metadata_topic *b = metadata_find(f->state, SLICE_LITERAL("b"));
    assert_memory_equal(a->groups, ((uint64_t[]){1, 2, 3}), 3 * sizeof(uint64_t));
    assert_memory_equal(b->groups, ((uint64_t[]){4, 5}), 2 * sizeof(uint64_t));
    struct metadata_effects effects;
    metadata_effects_init(&effects);
    struct metadata_command drop = {.kind = METADATA_DELETE_TOPIC, .name = SLICE_LITERAL("a")};
    assert_status(run(f, &drop, &effects), STATUS_OK);
    assert_int_equal(effects.dropped_count, 3);
    assert_memory_equal(effects.dropped_groups, ((uint64_t[]){1, 2, 3}), 3 * sizeof(uint64_t));
    metadata_effects_release(&effects);
    assert_status(run_plain(f, (struct metadata_command){.kind = METADATA_ADD_PARTITIONS,
                                                         .name = SLICE_LITERAL("b"),
                                                         .count = 4}),
                  STATUS_OK);
    assert_status(run_plain(f, create("a", 3, 1)), STATUS_OK);
    assert_memory_equal(metadata_find(f->state, SLICE_LITERAL("b"))->groups, ((uint64_t[]){4, 5, 6, 7}),
                        4 * sizeof(uint64_t));
    assert_int_equal(metadata_find(f->state, SLICE_LITERAL("a"))->groups[0], 8);
    assert_int_equal(f->state->partition_total, 5);
}

static void what_cannot_be_is_refused(void **state) {
    struct fixture *f = *state;
    static const char id[] = "0123456789abcdefghijkl";
    struct metadata_command init = {.kind = METADATA_INIT, .name = SLICE_LITERAL("short")};
    assert_status(run_plain(f, init), STATUS_INVALID);
    init.name = slice_from_text(id);
    assert_status(run_plain(f, init), STATUS_OK);
    assert_string_equal(f->state->cluster_id, id);
    assert_status(run_plain(f, init), STATUS_EXISTS);
    assert_status(run_plain(f, create("a", 1, 3)), STATUS_OK);
    assert_status(run_plain(f, create("a", 2, 3)), STATUS_EXISTS);
    assert_status(run_plain(f, create("b", 1, 3)), STATUS_INVALID);
    assert_status(run_plain(f, create("b", 0, 3)), STATUS_INVALID);
    assert_status(run_plain(f, create("", 2, 3)), STATUS_INVALID_TOPIC);
    assert_status(run_plain(f, create("b", 2, 0)), STATUS_INVALID_PARTITIONS);
    assert_status(run_plain(f, create("b", 2, -5)), STATUS_INVALID_PARTITIONS);
    assert_status(run_plain(f, create("b", 2, METADATA_PARTITIONS_MAX + 1)), STATUS_INVALID_PARTITIONS);
    struct metadata_command add = {.kind = METADATA_ADD_PARTITIONS, .name = SLICE_LITERAL("a"), .count = 3};
    assert_status(run_plain(f, add), STATUS_INVALID_PARTITIONS);
    add.count = 2;
    assert_status(run_plain(f, add), STATUS_INVALID_PARTITIONS);
    add.name = SLICE_LITERAL("b");
    assert_status(run_plain(f, add), STATUS_UNKNOWN_TOPIC);
    struct metadata_command drop = {.kind = METADATA_DELETE_TOPIC, .name = SLICE_LITERAL("b")};
    assert_status(run_plain(f, drop), STATUS_UNKNOWN_TOPIC);
    drop.kind = METADATA_SET_CONFIGS;
    assert_status(run_plain(f, drop), STATUS_UNKNOWN_TOPIC);
    struct metadata_command take = {.kind = METADATA_TAKE_PRODUCERS, .count = 0};
    assert_status(run_plain(f, take), STATUS_INVALID);
    assert_int_equal(f->state->applied_index, 2);
}

static void producer_ids_are_handed_out_once(void **state) {
    struct fixture *f = *state;
    int64_t next = 0;
    for (int i = 1; i < 20; i++) {
        struct metadata_effects effects;
        metadata_effects_init(&effects);
        struct metadata_command take = {.kind = METADATA_TAKE_PRODUCERS, .count = i};
        assert_status(run(f, &take, &effects), STATUS_OK);
        assert_int_equal(effects.first_producer_id, next);
        next += i;
        metadata_effects_release(&effects);
        struct metadata *loaded = reload(f);
        state_free(f->state);
        f->state = loaded;
    }
}

static void configs_are_replaced_as_a_whole(void **state) {
    struct fixture *f = *state;
    assert_status(run_plain(f, create("a", 1, 1)), STATUS_OK);
    struct metadata_command set = {
        .kind = METADATA_SET_CONFIGS, .name = SLICE_LITERAL("a"), .config_count = 2};
    set.configs[0] = (struct metadata_config){SLICE_LITERAL("x"), SLICE_LITERAL("1")};
    set.configs[1] = (struct metadata_config){SLICE_LITERAL("y"), SLICE_LITERAL("2")};
    assert_status(run_plain(f, set), STATUS_OK);
    set.configs[0] = (struct metadata_config){SLICE_LITERAL("z"), SLICE_LITERAL("")};
    set.config_count = 1;
    assert_status(run_plain(f, set), STATUS_OK);
    const struct metadata_topic *topic = metadata_find(f->state, SLICE_LITERAL("a"));
    struct slice rest = writer_slice(&topic->configs);
    struct metadata_config config;
    assert_status(metadata_config_next(&rest, &config), STATUS_OK);
    assert_slice_equal(config.name, SLICE_LITERAL("z"));
    assert_int_equal(config.value.size, 0);
    assert_status(metadata_config_next(&rest, &config), STATUS_END);
}

static struct metadata_command random_command(struct fixture *f, char *name, size_t name_size) {
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
    struct fixture *f = *state;
    static bool used[20000];
    memset(used, 0, sizeof used);
    char name[32];
    for (int step = 0; step < 1500; step++) {
        struct metadata_command command = random_command(f, name, sizeof name);
        struct metadata_effects effects;
        metadata_effects_init(&effects);
        if (run(f, &command, &effects) == STATUS_OK && command.kind == METADATA_CREATE_TOPIC) {
            const struct metadata_topic *topic = metadata_find(f->state, command.name);
            for (int32_t i = 0; i < topic->partition_count; i++) {
                assert_false(used[topic->groups[i]]);
                used[topic->groups[i]] = true;
            }
        }
        metadata_effects_release(&effects);
        if (step % 10 != 0) continue;
        struct metadata *loaded = reload(f);
        assert_same(f->state, loaded);
        if (step % 20 == 0) {
            state_free(f->state);
            f->state = loaded;
        } else {
            state_free(loaded);
        }
    }
}

static void damaged_keys_are_refused_or_give_some_state_and_never_more(void **state) {
    struct fixture *f = *state;
    static const char id[] = "0123456789abcdefghijkl";
    assert_status(run_plain(f, (struct metadata_command){.kind = METADATA_INIT, .name = slice_from_text(id)}),
                  STATUS_OK);
    struct metadata_command make = create("damaged", 1, 5);
    make.configs[0] = (struct metadata_config){SLICE_LITERAL("retention.ms"), SLICE_LITERAL("5")};
    make.config_count = 1;
    assert_status(run_plain(f, make), STATUS_OK);
    assert_int_equal(f->key_count, 2);
    struct slice header = slice_make(f->keys[0].value, f->keys[0].value_size);
    for (size_t k = 0; k < 2; k++) {
        struct slice key = slice_make(f->keys[k].key, f->keys[k].key_size);
        for (size_t size = 0; size < f->keys[k].value_size; size++) {
            struct metadata *m = state_new();
            if (k == 1)
                assert_status(metadata_load(m, slice_make(f->keys[0].key, f->keys[0].key_size), header),
                              STATUS_OK);
            assert_status(metadata_load(m, key, slice_make(f->keys[k].value, size)), STATUS_MALFORMED);
            state_free(m);
        }
        for (int i = 0; i < 3000; i++) {
            uint8_t damaged[256];
            memcpy(damaged, f->keys[k].value, f->keys[k].value_size);
            damaged[prng_below(&f->prng, f->keys[k].value_size)] ^= (uint8_t)(1U << prng_below(&f->prng, 8));
            struct metadata *m = state_new();
            if (k == 1)
                assert_status(metadata_load(m, slice_make(f->keys[0].key, f->keys[0].key_size), header),
                              STATUS_OK);
            enum status status = metadata_load(m, key, slice_make(damaged, f->keys[k].value_size));
            if (status != STATUS_OK) assert_status(status, STATUS_MALFORMED);
            state_free(m);
        }
    }
}

static void a_group_beyond_those_handed_out_is_damage(void **state) {
    struct fixture *f = *state;
    assert_status(run_plain(f, create("a", 1, 2)), STATUS_OK);
    struct metadata *m = state_new(); /* no header: nothing was handed out */
    assert_status(metadata_load(m, slice_make(f->keys[1].key, f->keys[1].key_size),
                                slice_make(f->keys[1].value, f->keys[1].value_size)),
                  STATUS_MALFORMED);
    state_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_survive_encoding_and_every_truncation_is_seen),
        cmocka_unit_test_setup_teardown(groups_begin_at_one_and_are_never_used_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(producer_ids_are_handed_out_once, setup, teardown),
        cmocka_unit_test_setup_teardown(configs_are_replaced_as_a_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(the_stored_keys_always_give_the_state_that_wrote_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(damaged_keys_are_refused_or_give_some_state_and_never_more, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_group_beyond_those_handed_out_is_damage, setup, teardown),
    };
    return cmocka_run_group_tests_name("metadata", tests, NULL, NULL);
}
