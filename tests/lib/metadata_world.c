// SPDX-License-Identifier: Apache-2.0
#include "lib/metadata_world.h"

#include "lib/test.h"

#include "base/mem.h"

struct metadata *metadata_world_state_new(void) {
    struct metadata *m = mem_alloc(sizeof *m);
    metadata_init(m, 5);
    return m;
}

void metadata_world_state_free(struct metadata *m) {
    metadata_release(m);
    mem_free(m);
}

int metadata_world_setup(void **state) {
    struct metadata_world *w = mem_calloc(1, sizeof *w);
    w->state = metadata_world_state_new();
    prng_init(&w->prng, 21);
    *state = w;
    return 0;
}

int metadata_world_teardown(void **state) {
    struct metadata_world *w = *state;
    metadata_world_state_free(w->state);
    for (size_t i = 0; i < w->key_count; i++) {
        mem_free(w->keys[i].key);
        mem_free(w->keys[i].value);
    }
    mem_free(w);
    return 0;
}

static uint8_t *copy(struct slice bytes) {
    uint8_t *data = mem_alloc(bytes.size + 1);
    if (bytes.size != 0) memcpy(data, bytes.data, bytes.size);
    return data;
}

void metadata_world_store(struct metadata_world *w, struct slice key, struct slice value, bool removed) {
    size_t i = 0;
    int order = -1;
    while (i < w->key_count &&
           (order = slice_compare(slice_make(w->keys[i].key, w->keys[i].key_size), key)) < 0)
        i++;
    bool found = i < w->key_count && order == 0;
    if (removed) assert_true(found);
    if (found) {
        mem_free(w->keys[i].key);
        mem_free(w->keys[i].value);
        memmove(&w->keys[i], &w->keys[i + 1], (w->key_count - i - 1) * sizeof *w->keys);
        w->key_count--;
    }
    if (removed) return;
    assert_true(w->key_count < METADATA_WORLD_KEYS_MAX);
    memmove(&w->keys[i + 1], &w->keys[i], (w->key_count - i) * sizeof *w->keys);
    w->keys[i] = (struct metadata_world_key){copy(key), copy(value), key.size, value.size};
    w->key_count++;
}

enum status metadata_world_run(struct metadata_world *w, const struct metadata_command *command,
                               struct metadata_effects *effects) {
    struct diagnostic why;
    struct metadata_command decoded;
    struct writer bytes;
    writer_init(&bytes);
    metadata_encode(command, &bytes);
    assert_status(metadata_decode(writer_slice(&bytes), &decoded), STATUS_OK);
    enum status status = metadata_check(w->state, &decoded, &why);
    if (status == STATUS_OK) {
        metadata_apply(w->state, w->state->applied_index + 1, &decoded, effects);
        for (uint32_t i = 0; i < effects->key_count; i++)
            metadata_world_store(
                w, slice_make(effects->bytes.data + effects->keys[i].key_at, effects->keys[i].key_size),
                slice_make(effects->bytes.data + effects->keys[i].value_at, effects->keys[i].value_size),
                effects->keys[i].removed);
    } else {
        assert_int_not_equal(why.text[0], '\0');
    }
    writer_release(&bytes);
    return status;
}

enum status metadata_world_do(struct metadata_world *w, struct metadata_command command) {
    struct metadata_effects effects;
    metadata_effects_init(&effects);
    enum status status = metadata_world_run(w, &command, &effects);
    metadata_effects_release(&effects);
    return status;
}

struct uuid metadata_world_id(uint8_t n) {
    struct uuid id = {{0}};
    id.bytes[3] = n;
    return id;
}

struct metadata_command metadata_world_create(const char *name, uint8_t id, int32_t count) {
    return (struct metadata_command){.kind = METADATA_CREATE_TOPIC,
                                     .name = slice_from_text(name),
                                     .id = metadata_world_id(id),
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
    assert_int_equal(a->catch_up_rate, b->catch_up_rate);
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

static struct metadata *reload(const struct metadata_world *w) {
    struct metadata *m = metadata_world_state_new();
    for (size_t i = 0; i < w->key_count; i++)
        assert_status(metadata_load(m, slice_make(w->keys[i].key, w->keys[i].key_size),
                                    slice_make(w->keys[i].value, w->keys[i].value_size)),
                      STATUS_OK);
    return m;
}

void metadata_world_check(const struct metadata_world *w) {
    struct metadata *loaded = reload(w);
    assert_same(w->state, loaded);
    metadata_world_state_free(loaded);
}

void metadata_world_restart(struct metadata_world *w) {
    struct metadata *loaded = reload(w);
    assert_same(w->state, loaded);
    metadata_world_state_free(w->state);
    w->state = loaded;
}
