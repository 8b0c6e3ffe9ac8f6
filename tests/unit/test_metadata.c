// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "base/assert.h"
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
    assert_int_equal(a->replicas == NULL, b->replicas == NULL);
    for (int32_t i = 0; a->replicas != NULL && i < a->partition_count; i++) {
        const struct metadata_replicas *x = &a->replicas[i], *y = &b->replicas[i];
        assert_int_equal(x->count, y->count);
        assert_memory_equal(x->nodes, y->nodes, x->count * sizeof *x->nodes);
        assert_true(x->founded == y->founded && x->own_key == y->own_key);
        assert_int_equal(x->move == NULL, y->move == NULL);
        if (x->move == NULL) continue;
        assert_true(x->move->version == y->move->version && x->move->count == y->move->count);
        for (uint32_t n = 0; n < x->move->count; n++) {
            assert_int_equal(x->move->left[n].node, y->move->left[n].node);
            assert_int_equal(x->move->left[n].kind, y->move->left[n].kind);
            assert_int_equal(x->move->left[n].since, y->move->left[n].since);
        }
    }
}

static void assert_same_nodes(const struct metadata *a, const struct metadata *b) {
    assert_int_equal(a->node_count, b->node_count);
    for (uint32_t i = 0; i < a->node_count; i++) {
        const struct metadata_node *x = &a->nodes[i], *y = &b->nodes[i];
        assert_true(x->node == y->node && x->incarnation == y->incarnation &&
                    x->registered == y->registered && x->draining == y->draining);
        assert_int_equal(x->before_count, y->before_count);
        for (uint32_t k = 0; k < x->before_count; k++)
            assert_true(x->before[k].incarnation == y->before[k].incarnation &&
                        x->before[k].registered == y->before[k].registered);
        assert_string_equal(x->address, y->address);
        assert_string_equal(x->rack, y->rack);
    }
    assert_int_equal(a->removed_count, b->removed_count);
    for (uint32_t i = 0; i < a->removed_count; i++)
        assert_true(a->removed[i].node == b->removed[i].node &&
                    a->removed[i].incarnation == b->removed[i].incarnation);
}

static void assert_same(const struct metadata *a, const struct metadata *b) {
    assert_int_equal(a->applied_index, b->applied_index);
    assert_int_equal(a->next_group, b->next_group);
    assert_int_equal(a->next_producer_id, b->next_producer_id);
    assert_int_equal(a->partition_total, b->partition_total);
    assert_string_equal(a->cluster_id, b->cluster_id);
    assert_int_equal(a->by_name.count, b->by_name.count);
    assert_int_equal(a->by_id.count, b->by_id.count);
    assert_same_nodes(a, b);
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

static void a_topic_is_deleted_by_its_own_id_or_none(void **state) {
    struct fixture *f = *state;
    struct metadata_command drop = {.kind = METADATA_DELETE_TOPIC, .name = SLICE_LITERAL("a")};
    for (uint8_t id = 1; id <= 2; id++) {
        assert_status(run_plain(f, create("a", id, 1)), STATUS_OK);
        drop.id = some_id(id + 1);
        assert_status(run_plain(f, drop), STATUS_UNKNOWN_TOPIC_ID);
        assert_non_null(metadata_find(f->state, SLICE_LITERAL("a")));
        drop.id = id == 1 ? some_id(id) : (struct uuid){{0}}; /* zero: by the name alone */
        assert_status(run_plain(f, drop), STATUS_OK);
        assert_null(metadata_find(f->state, SLICE_LITERAL("a")));
    }
}

/* Of two that were made from the same configuration the second would undo the first. */
static void configs_made_from_what_is_gone_are_refused(void **state) {
    struct fixture *f = *state;
    assert_status(run_plain(f, create("a", 1, 1)), STATUS_OK);
    struct writer seen;
    writer_init(&seen);
    metadata_put_seen(metadata_find(f->state, SLICE_LITERAL("a")), &seen);
    struct metadata_command set = {.kind = METADATA_SET_CONFIGS,
                                   .name = SLICE_LITERAL("a"),
                                   .config_count = 1,
                                   .placement = writer_slice(&seen)};
    set.configs[0] = (struct metadata_config){SLICE_LITERAL("x"), SLICE_LITERAL("1")};
    assert_status(run_plain(f, set), STATUS_OK);
    set.configs[0].value = SLICE_LITERAL("2");
    assert_status(run_plain(f, set), STATUS_BUSY);
    writer_clear(&seen);
    metadata_put_seen(metadata_find(f->state, SLICE_LITERAL("a")), &seen);
    for (size_t cut = 1; cut < seen.size; cut++) { /* what another node sends may be anything */
        set.placement = slice_make(seen.data, cut);
        assert_status(run_plain(f, set), STATUS_BUSY);
    }
    seen.data[0]++;
    set.placement = writer_slice(&seen);
    assert_status(run_plain(f, set), STATUS_BUSY);
    seen.data[0]--;
    assert_status(run_plain(f, set), STATUS_OK);
    assert_status(run_plain(f, set), STATUS_BUSY);
    set.placement = SLICE_EMPTY; /* meant as it is */
    assert_status(run_plain(f, set), STATUS_OK);
    writer_release(&seen);
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

/* ---- a cluster ---------------------------------------------------------------------------------------- */

static enum status register_node(struct fixture *f, uint32_t node, uint32_t incarnation, const char *rack) {
    struct metadata_command command = {.kind = METADATA_REGISTER_NODE,
                                       .name = SLICE_LITERAL("here:1"),
                                       .node = node,
                                       .incarnation = incarnation,
                                       .configs = {{SLICE_LITERAL("rack"), slice_from_text(rack)}},
                                       .config_count = 1};
    return run_plain(f, command);
}

static enum status change_node(struct fixture *f, enum metadata_kind kind, uint32_t node, int32_t count) {
    return run_plain(f, (struct metadata_command){.kind = kind,
                                                  .node = node,
                                                  .count = count,
                                                  .name = kind == METADATA_ADD_NODE ? SLICE_LITERAL("there:1")
                                                                                    : SLICE_EMPTY});
}

static void the_rate_of_copies_is_kept(void **state) {
    struct fixture *f = *state;
    uint8_t rate[9] = {0};
    const int64_t rates[] = {1000000, 0, -1, INT64_MIN};
    assert_int_equal(f->state->catch_up_rate, -1);
    for (unsigned i = 0; i < ARRAY_COUNT(rates); i++) {
        store_be64(rate, (uint64_t)rates[i]);
        assert_status(run_plain(f, (struct metadata_command){.kind = METADATA_SET_CATCH_UP_RATE,
                                                             .placement = slice_make(rate, 8)}),
                      STATUS_OK);
        struct metadata *loaded = reload(f);
        assert_int_equal(loaded->catch_up_rate, MAX(rates[i], -1));
        state_free(loaded);
    }
    assert_status(run_plain(f, (struct metadata_command){.kind = METADATA_SET_CATCH_UP_RATE,
                                                         .placement = slice_make(rate, 9)}),
                  STATUS_INVALID);
}

static bool any_node(void *ctx, uint32_t node) {
    const bool *down = ctx;
    return !down[node];
}

static const struct metadata_replicas *replicas_of(const struct fixture *f, const char *name,
                                                   int32_t partition) {
    return &metadata_find(f->state, slice_from_text(name))->replicas[partition];
}

static enum status create_placed(struct fixture *f, const char *name, uint8_t id, int32_t count,
                                 int16_t replication, bool *down) {
    struct writer placement;
    struct diagnostic why;
    writer_init(&placement);
    enum status status = metadata_place(f->state, count, replication, any_node, down, &placement, &why);
    struct metadata_command command = create(name, id, count);
    command.replication = replication;
    command.placement = writer_slice(&placement);
    if (status == STATUS_OK) status = run_plain(f, command);
    writer_release(&placement);
    return status;
}

static enum status set_replicas(struct fixture *f, const char *name, int32_t partition, const uint32_t *nodes,
                                uint32_t count) {
    struct writer placement;
    writer_init(&placement);
    for (uint32_t i = 0; i < count; i++)
        writer_be32(&placement, nodes[i]);
    enum status status = run_plain(f, (struct metadata_command){.kind = METADATA_SET_REPLICAS,
                                                                .name = slice_from_text(name),
                                                                .count = partition,
                                                                .placement = writer_slice(&placement)});
    writer_release(&placement);
    return status;
}

static enum status say(struct fixture *f, enum metadata_kind kind, const char *name, int32_t partition,
                       uint32_t node, uint64_t version) {
    uint8_t bytes[8];
    store_be64(bytes, version);
    return run_plain(f, (struct metadata_command){.kind = kind,
                                                  .name = slice_from_text(name),
                                                  .count = partition,
                                                  .node = node,
                                                  .placement = slice_make(bytes, sizeof bytes)});
}

static void replicas_spread_over_racks_then_nodes(void **state) {
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    assert_status(
        run_plain(f, (struct metadata_command){.kind = METADATA_CANCEL_MOVE, .name = SLICE_LITERAL("t")}),
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
    struct metadata *loaded = reload(f);
    assert_same(f->state, loaded);
    state_free(loaded);
}

/* As many targets as there is room for, one after another: the way back stays open. */
static void a_move_that_was_changed_often_can_still_be_cancelled(void **state) {
    struct fixture *f = *state;
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
        assert_status(run_plain(f, (struct metadata_command){.kind = METADATA_CANCEL_MOVE,
                                                             .name = slice_from_text(name)}),
                      STATUS_OK);
        assert_memory_equal(replicas->nodes, first, replication * sizeof *first);
        struct metadata *loaded = reload(f);
        assert_same(f->state, loaded);
        state_free(loaded);
    }
}

static void nodes_come_and_go(void **state) {
    struct fixture *f = *state;
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
    struct metadata *loaded = reload(f);
    assert_same(f->state, loaded);
    state_free(f->state);
    f->state = loaded;
    assert_status(register_node(f, 2, 12, ""), STATUS_INVALID);
    assert_status(register_node(f, 2, 77, ""), STATUS_OK); /* another disk */
    assert_status(change_node(f, METADATA_REMOVE_NODE, 9, 0), STATUS_NOT_FOUND);
}

/* Soon there will be enough nodes: that is told in another way than that there are too few. */
static void old_copies_are_waited_for(void **state) {
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    struct metadata *loaded = reload(f);
    assert_same(f->state, loaded);
    state_free(loaded);
}

/* More numbers than are remembered: the lowest are forgotten, and what is stored says the same. */
static void so_many_removed_nodes_are_remembered(void **state) {
    struct fixture *f = *state;
    assert_status(register_node(f, 1000, 5, ""), STATUS_OK);
    for (uint32_t i = 0; i < METADATA_NODES_MAX + 3; i++) {
        uint32_t node = i % 2 == 0 ? 500 - i : 500 + i;
        assert_status(register_node(f, node, 10 + i, ""), STATUS_OK);
        assert_status(change_node(f, METADATA_DRAIN_NODE, node, 1), STATUS_OK);
        assert_status(change_node(f, METADATA_REMOVE_NODE, node, 0), STATUS_OK);
        assert_int_equal(metadata_removed_incarnation(f->state, node), 10 + i);
        struct metadata *loaded = reload(f);
        assert_same(f->state, loaded);
        state_free(loaded);
    }
    /* Who never came has no disk to be remembered by. */
    struct metadata_removed lowest = f->state->removed[0];
    assert_status(change_node(f, METADATA_ADD_NODE, 900, 0), STATUS_OK);
    assert_status(change_node(f, METADATA_REMOVE_NODE, 900, 0), STATUS_OK);
    assert_int_equal(f->state->removed_count, METADATA_NODES_MAX);
    assert_memory_equal(&f->state->removed[0], &lowest, sizeof lowest);
    /* Keys of the forgotten were left standing once. */
    static const uint8_t key[] = {'r', 0, 0, 0, 1}, value[] = {1, 0, 0, 0, 77};
    store_key(f, slice_make(key, sizeof key), slice_make(value, sizeof value), false);
    struct metadata *loaded = reload(f);
    assert_same(f->state, loaded);
    state_free(loaded);
}

/* Random commands: stored is what is known, and nobody who still has to delete a copy is placed again. */
static void moves_are_stored_and_never_overtake_a_deletion(void **state) {
    struct fixture *f = *state;
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
            MAYBE(run_plain(f, (struct metadata_command){
                                   .kind = METADATA_CANCEL_MOVE, .name = SLICE_LITERAL("t"), .count = p}));
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
        struct metadata *loaded = reload(f);
        assert_same(f->state, loaded);
        state_free(f->state);
        f->state = loaded;
    }
    assert_true(moved > 50 && dropped > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_survive_encoding_and_every_truncation_is_seen),
        cmocka_unit_test_setup_teardown(groups_begin_at_one_and_are_never_used_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_rate_of_copies_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(producer_ids_are_handed_out_once, setup, teardown),
        cmocka_unit_test_setup_teardown(configs_are_replaced_as_a_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_topic_is_deleted_by_its_own_id_or_none, setup, teardown),
        cmocka_unit_test_setup_teardown(configs_made_from_what_is_gone_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_stored_keys_always_give_the_state_that_wrote_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(damaged_keys_are_refused_or_give_some_state_and_never_more, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_group_beyond_those_handed_out_is_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(replicas_spread_over_racks_then_nodes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_left_behind_is_told_to_go_before_it_may_come_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_move_that_was_changed_often_can_still_be_cancelled, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nodes_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(old_copies_are_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(so_many_disks_of_a_node_are_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(so_many_removed_nodes_are_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(moves_are_stored_and_never_overtake_a_deletion, setup, teardown),
    };
    return cmocka_run_group_tests_name("metadata", tests, NULL, NULL);
}
