// SPDX-License-Identifier: Apache-2.0
#include "broker/leftovers.h"

#include <inttypes.h>

#include "base/mem.h"
#include "broker/keys.h"

static void add_groups(const struct metadata *m, struct map *groups) {
    MAP_FOREACH(it, &m->by_name) {
        struct metadata_topic *topic = MAP_ENTRY(it)->value;
        for (int32_t i = 0; i < topic->partition_count; i++) {
            uint8_t key[KEY_GROUP_SIZE];
            store_be64(key, topic->groups[i]);
            MAYBE(map_put(groups, slice_make(key, sizeof key), topic) == NULL);
        }
    }
}

/* Calls `take` for each such group until it says that it is enough. */
static void visit(struct broker *broker, bool (*take)(void *ctx, uint64_t group), void *ctx) {
    const struct metadata *m = &broker->metadata;
    struct map groups;
    struct key from = key_group_start(1), upper = key_group_start(m->next_group);
    struct store_iterator *it = store_iterator_open(broker->store, key_slice(&from), key_slice(&upper),
                                                    STORE_ITERATOR_BLOCKING, NULL, NULL);
    map_init(&groups, broker->hash_seed);
    add_groups(m, &groups);
    bool enough = false;
    while (!enough && store_iterator_seek(it, key_slice(&from)) == STATUS_OK) {
        struct slice name = slice_make(store_iterator_key(it).data, KEY_GROUP_SIZE); /* every key has one */
        uint64_t group = load_be64(name.data);
        if (map_get(&groups, name) == NULL) enough = take(ctx, group);
        from = key_group_start(group + 1);
    }
    map_release(&groups);
    store_iterator_close(it);
}

static bool take_first(void *ctx, uint64_t group) {
    *(uint64_t *)ctx = group;
    return true;
}

uint64_t leftovers_find(struct broker *broker) {
    uint64_t group = 0;
    visit(broker, take_first, &group);
    return group;
}

struct leftovers {
    struct broker *broker;
    struct store_write write;
};

static void over(struct leftovers *deletion) {
    deletion->broker->leftovers = NULL;
    store_write_release(&deletion->write);
    mem_free(deletion);
}

static void deleted(struct store_write *write) {
    struct leftovers *deletion = CONTAINER_OF(write, struct leftovers, write);
    if (write->status != STATUS_OK)
        log_warn(deletion->broker->log,
                 "what deleted topics left is still there, until the next start reason=%s",
                 status_name(write->status));
    over(deletion);
}

static bool take_all(void *ctx, uint64_t group) {
    struct leftovers *deletion = ctx;
    struct key from = key_group_start(group), to = key_group_start(group + 1);
    log_info(deletion->broker->log, "deleting what a deleted topic left group=%" PRIu64, group);
    store_delete_range(&deletion->write, key_slice(&from), key_slice(&to));
    return false;
}

void leftovers_delete(struct broker *broker) {
    struct leftovers *deletion = broker->leftovers = mem_calloc(1, sizeof *deletion);
    deletion->broker = broker;
    store_write_init(&deletion->write, deleted);
    visit(broker, take_all, deletion);
    if (deletion->write.change_count > 0)
        store_write_submit(broker->store, &deletion->write);
    else
        over(deletion);
}

void leftovers_abandon(struct broker *broker) {
    if (broker->leftovers == NULL) return;
    store_write_abandon(&broker->leftovers->write);
    over(broker->leftovers);
}
