// SPDX-License-Identifier: Apache-2.0
/* Assignors of consumer groups (KIP-848): partitions to members, on the server.
 *
 *   uniform   every member about as many partitions as the others, and what a member has it keeps as far as
 *             that allows: only what must move does
 *   range     of each topic a contiguous range to each subscriber in the order of their ids, so that topics
 *             with the same subscribers and as many partitions are split alike */
#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "machine/group_internal.h"

struct target_topic {
    struct group_topic topic;
    uint32_t *subscribers; /* indexes of members, ascending */
    uint32_t subscriber_count;
    int32_t *owner; /* of each partition: index of a member, -1: nobody */
};
struct target {
    struct group_member **members;
    uint32_t member_count;
    uint32_t *load;              /* partitions of each member */
    struct target_topic *topics; /* ascending by id */
    uint32_t topic_count;
};

bool group_assignor_exists(struct slice name) {
    return slice_equal(name, SLICE_LITERAL("uniform")) || slice_equal(name, SLICE_LITERAL("range"));
}

/* ---- what is to be assigned ---------------------------------------------------------------------------- */

static void add_subscriber(struct target *target, struct map *by_name, const struct group_topics *topics,
                           struct slice name, uint32_t member) {
    struct target_topic *entry = map_get(by_name, name);
    if (entry == NULL) {
        struct group_topic topic;
        if (!topics->find(topics->ctx, name, &topic)) return;
        entry = mem_calloc(1, sizeof *entry);
        entry->topic = topic;
        entry->subscribers = mem_alloc(target->member_count * sizeof *entry->subscribers);
        entry->owner = mem_alloc((size_t)topic.partition_count * sizeof *entry->owner);
        for (int32_t i = 0; i < topic.partition_count; i++)
            entry->owner[i] = -1;
        map_put(by_name, name, entry);
        target->topic_count++;
    }
    entry->subscribers[entry->subscriber_count++] = member;
}

static void add_in_order(struct target *target, uint32_t count, struct target_topic *topic) {
    uint32_t at = count;
    while (at > 0 && memcmp(target->topics[at - 1].topic.id.bytes, topic->topic.id.bytes,
                            sizeof topic->topic.id.bytes) > 0) {
        target->topics[at] = target->topics[at - 1];
        at--;
    }
    target->topics[at] = *topic;
}

static void target_init(struct target *target, struct group *group, const struct group_topics *topics) {
    *target = (struct target){.member_count = (uint32_t)group->members.count};
    target->members = mem_calloc(target->member_count, sizeof(struct group_member *));
    target->load = mem_calloc(target->member_count, sizeof *target->load);
    struct map by_name;
    map_init(&by_name, group->members.seed);
    uint32_t member = 0;
    MAP_FOREACH(it, &group->members) {
        struct group_member *m = MAP_ENTRY(it)->value;
        target->members[member] = m;
        struct slice name;
        for (uint32_t i = 0; group_subscription(m, &i, &name);)
            add_subscriber(target, &by_name, topics, name, member);
        member++;
    }
    target->topics = mem_calloc((size_t)target->topic_count + 1, sizeof *target->topics);
    uint32_t count = 0;
    MAP_FOREACH(it, &by_name) {
        struct target_topic *topic = MAP_ENTRY(it)->value;
        add_in_order(target, count++, topic);
        mem_free(topic);
    }
    map_release(&by_name);
}

static void target_release(struct target *target) {
    for (uint32_t i = 0; i < target->topic_count; i++) {
        mem_free(target->topics[i].subscribers);
        mem_free(target->topics[i].owner);
    }
    mem_free(target->topics);
    mem_free(target->members);
    mem_free(target->load);
}

static void target_store(struct target *target) {
    for (uint32_t i = 0; i < target->member_count; i++)
        target->members[i]->target.count = 0;
    for (uint32_t t = 0; t < target->topic_count; t++) {
        const struct target_topic *topic = &target->topics[t];
        for (int32_t p = 0; p < topic->topic.partition_count; p++)
            if (topic->owner[p] >= 0)
                group_partitions_add(&target->members[topic->owner[p]]->target,
                                     (struct group_partition){topic->topic.id, p});
    }
}

/* ---- uniform ------------------------------------------------------------------------------------------- */

static bool is_subscriber(const struct target_topic *topic, uint32_t member) {
    uint32_t low = 0, high = topic->subscriber_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (topic->subscribers[middle] < member)
            low = middle + 1;
        else
            high = middle;
    }
    return low < topic->subscriber_count && topic->subscribers[low] == member;
}

static struct target_topic *find_topic(struct target *target, struct uuid id) {
    for (uint32_t low = 0, high = target->topic_count; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        int order = memcmp(target->topics[middle].topic.id.bytes, id.bytes, sizeof id.bytes);
        if (order == 0) return &target->topics[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void keep_old(struct target *target) {
    for (uint32_t m = 0; m < target->member_count; m++) {
        const struct group_partitions *old = &target->members[m]->target;
        for (uint32_t i = 0; i < old->count;) {
            struct uuid id = old->list[i].topic;
            struct target_topic *topic = find_topic(target, id);
            bool reads = topic != NULL && is_subscriber(topic, m);
            for (; i < old->count && uuid_equal(old->list[i].topic, id); i++) {
                int32_t p = old->list[i].partition;
                if (!reads || p >= topic->topic.partition_count || topic->owner[p] >= 0) continue;
                topic->owner[p] = (int32_t)m;
                target->load[m]++;
            }
        }
    }
}

static uint32_t least_loaded(const struct target *target, const struct target_topic *topic) {
    uint32_t best = topic->subscribers[0];
    for (uint32_t i = 1; i < topic->subscriber_count; i++)
        if (target->load[topic->subscribers[i]] < target->load[best]) best = topic->subscribers[i];
    return best;
}

static void give_rest(struct target *target) {
    for (uint32_t t = 0; t < target->topic_count; t++) {
        struct target_topic *topic = &target->topics[t];
        for (int32_t p = 0; p < topic->topic.partition_count; p++) {
            if (topic->owner[p] >= 0) continue;
            uint32_t member = least_loaded(target, topic);
            topic->owner[p] = (int32_t)member;
            target->load[member]++;
        }
    }
}

/* Moves partitions of one topic from members with two more than the poorest subscriber; true: some moved. */
static bool level_topic(struct target *target, struct target_topic *topic) {
    bool moved = false;
    uint32_t poorest = least_loaded(target, topic);
    for (int32_t p = topic->topic.partition_count - 1; p >= 0; p--) {
        uint32_t owner = (uint32_t)topic->owner[p];
        if (target->load[owner] < target->load[poorest] + 2) continue;
        topic->owner[p] = (int32_t)poorest;
        target->load[owner]--;
        target->load[poorest]++;
        poorest = least_loaded(target, topic); /* loads change only here */
        moved = true;
    }
    return moved;
}

static void assign_uniform(struct target *target) {
    keep_old(target);
    give_rest(target);
    /* Each move lowers the sum of squared loads, so this ends. */
    bool moved = true;
    while (moved) {
        moved = false;
        for (uint32_t t = 0; t < target->topic_count; t++)
            moved |= level_topic(target, &target->topics[t]);
    }
}

/* ---- range --------------------------------------------------------------------------------------------- */

static void sort_subscribers(const struct target *target, struct target_topic *topic) {
    for (uint32_t i = 1; i < topic->subscriber_count; i++) {
        uint32_t member = topic->subscribers[i], at = i;
        for (; at > 0 && slice_compare(target->members[topic->subscribers[at - 1]]->id,
                                       target->members[member]->id) > 0;
             at--)
            topic->subscribers[at] = topic->subscribers[at - 1];
        topic->subscribers[at] = member;
    }
}

static void assign_range(struct target *target) {
    for (uint32_t t = 0; t < target->topic_count; t++) {
        struct target_topic *topic = &target->topics[t];
        sort_subscribers(target, topic);
        uint32_t partitions = (uint32_t)topic->topic.partition_count, subscribers = topic->subscriber_count;
        for (uint32_t i = 0; i < subscribers; i++) {
            uint32_t extra = partitions % subscribers, each = partitions / subscribers;
            uint32_t first = i * each + MIN(i, extra), count = each + (i < extra ? 1 : 0);
            for (uint32_t p = first; p < first + count; p++)
                topic->owner[p] = (int32_t)topic->subscribers[i];
        }
    }
}

void group_assign(struct group *group, const struct group_topics *topics) {
    if (group->members.count == 0) return;
    struct target target;
    target_init(&target, group, topics);
    if (slice_equal(group->assignor, SLICE_LITERAL("range")))
        assign_range(&target);
    else
        assign_uniform(&target);
    target_store(&target);
    target_release(&target);
}
