// SPDX-License-Identifier: Apache-2.0
/* Committed offsets: who may commit, what is kept, when it is forgotten. */
#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "machine/group_internal.h"
#include "machine/txn.h"

#define RETENTION_RETRY_MS ((int64_t)60 * 60 * 1000)

struct offset_key {
    uint8_t bytes[4 + GROUP_TOPIC_SIZE_MAX];
    size_t size;
};

static struct offset_key key_of(struct slice topic, int32_t partition) {
    struct offset_key key;
    ASSERT_LE(topic.size, (size_t)GROUP_TOPIC_SIZE_MAX);
    store_be32(key.bytes, (uint32_t)partition);
    if (topic.size != 0) memcpy(key.bytes + 4, topic.data, topic.size);
    key.size = 4 + topic.size;
    return key;
}

static struct slice key_slice(const struct offset_key *key) {
    return slice_make(key->bytes, key->size);
}

static void offset_free(struct group_offset *offset) {
    if (offset == NULL) return;
    group_disown(&offset->metadata);
    group_disown(&offset->topic);
    mem_free(offset);
}

void group_offsets_release(struct map *offsets) {
    MAP_FOREACH(it, offsets) {
        offset_free(MAP_ENTRY(it)->value);
    }
    map_release(offsets);
}

void group_offset_put(struct map *offsets, const struct group_offset *offset) {
    struct group_offset *copy = mem_alloc(sizeof *copy);
    *copy = *offset;
    copy->metadata = group_own(offset->metadata);
    copy->topic = group_own(offset->topic);
    struct offset_key key = key_of(offset->topic, offset->partition);
    offset_free(map_put(offsets, key_slice(&key), copy));
}

static struct group_offset *find(const struct map *offsets, struct slice topic, int32_t partition) {
    if (topic.size > GROUP_TOPIC_SIZE_MAX) return NULL;
    struct offset_key key = key_of(topic, partition);
    return map_get(offsets, key_slice(&key));
}

const struct group_offset *group_offset_find(const struct group *group, struct slice topic,
                                             int32_t partition) {
    return find(&group->offsets, topic, partition);
}

bool group_offset_unstable(const struct group *group, struct slice topic, int32_t partition) {
    MAP_FOREACH(it, &group->transactions) {
        const struct group_transaction *transaction = MAP_ENTRY(it)->value;
        if (find(&transaction->offsets, topic, partition) != NULL) return true;
    }
    return false;
}

/* ---- committing ---------------------------------------------------------------------------------------- */

static enum status check_consumer_epoch(const struct group *group, const struct group_identity *who) {
    const struct group_member *member = group_member_find(group, who->member_id);
    if (member == NULL) return STATUS_UNKNOWN_MEMBER;
    return who->generation == member->epoch ? STATUS_OK : STATUS_STALE_MEMBER_EPOCH;
}

/* Whether `who` may commit; *member is the one to be touched, NULL for an outsider. */
static enum status check_committer(const struct group *group, const struct group_identity *who,
                                   struct group_member **member) {
    *member = NULL;
    if (who->generation == GROUP_ANYBODY) return STATUS_OK;
    if (group == NULL) return who->generation < 0 ? STATUS_OK : STATUS_GROUP_NOT_FOUND;
    bool outsider = who->generation < 0 && who->member_id.size == 0 && who->instance_id.data == NULL;
    if (group->members.count == 0 && who->generation < 0) return STATUS_OK;
    if (outsider) return STATUS_UNKNOWN_MEMBER; /* the members say how far they are */
    if (group->kind == GROUP_CONSUMER) return check_consumer_epoch(group, who);
    enum status status = group_identify(group, who, member);
    if (status != STATUS_OK) return status;
    if (who->generation != group->generation) return STATUS_ILLEGAL_GENERATION;
    return group->phase == GROUP_COMPLETING ? STATUS_REBALANCE_IN_PROGRESS : STATUS_OK;
}

/* Only the consumer protocol says who reads; of a classic member Kafka's brokers do not look at it, and
 * clients send what they like (KIP-848's OffsetFetch 9). */
enum status group_check_reader(const struct group_machine *m, const struct group_identity *who) {
    const struct group *group = group_find(m, who->group);
    bool outsider = who->member_id.size == 0 && who->generation < 0;
    return outsider || group == NULL || group->kind != GROUP_CONSUMER ? STATUS_OK
                                                                      : check_consumer_epoch(group, who);
}

static bool check_offset(const struct group_machine *m, struct group_commit_offset *offset) {
    if (offset->status != STATUS_OK) return false;
    if (offset->metadata.size > (size_t)m->limits.offset_metadata_max)
        offset->status = STATUS_OFFSET_METADATA_TOO_LARGE;
    else if (offset->topic.size == 0 || offset->topic.size > GROUP_TOPIC_SIZE_MAX || offset->partition < 0)
        offset->status = STATUS_UNKNOWN_TOPIC;
    else if (offset->offset < 0)
        offset->status = STATUS_OFFSET_OUT_OF_RANGE;
    return offset->status == STATUS_OK;
}

static void store_offsets(struct group_machine *m, struct group_step *step, struct group *group,
                          struct map *offsets, const struct group_commit *commit,
                          const struct group_producer *producer) {
    for (uint32_t i = 0; i < commit->offset_count; i++) {
        struct group_commit_offset *in = &commit->offsets[i];
        if (!check_offset(m, in)) continue;
        struct group_offset offset = {.offset = in->offset,
                                      .leader_epoch = in->leader_epoch,
                                      .commit_wall_ms = step->wall_ms,
                                      .topic_id = in->topic_id,
                                      .metadata = in->metadata,
                                      .topic = in->topic,
                                      .partition = in->partition};
        group_offset_put(offsets, &offset);
        group_save_offset(step, group, producer, &offset);
    }
}

/* The group that `commit` may write to, made when there is none; NULL: *status says why not. */
static struct group *open_group(struct group_machine *m, struct group_step *step,
                                const struct group_commit *commit, enum status *status) {
    *status = group_id_check(commit->who.group);
    if (*status != STATUS_OK) return NULL;
    struct group *group = map_get(&m->groups, commit->who.group);
    struct group_member *member;
    *status = check_committer(group, &commit->who, &member);
    if (*status != STATUS_OK) return NULL;
    if (group == NULL) {
        group = group_add(m, commit->who.group, step->wall_ms);
        group_save(step, group);
    }
    if (member != NULL) group_touch(m, group, member, step->now_ms);
    if (group->members.count == 0) group_became_empty(m, group, step);
    return group;
}

enum status group_commit(struct group_machine *m, struct group_step *step,
                         const struct group_commit *commit) {
    enum status status;
    struct group *group = open_group(m, step, commit, &status);
    if (group == NULL) return status;
    store_offsets(m, step, group, &group->offsets, commit, NULL);
    if (group->members.count == 0) group_became_empty(m, group, step); /* kept longer with offsets */
    return STATUS_OK;
}

/* ---- transactions -------------------------------------------------------------------------------------- */

static struct group_transaction *transaction_of(const struct group *group, int64_t producer_id) {
    uint8_t key[8];
    store_be64(key, (uint64_t)producer_id);
    return map_get(&group->transactions, slice_make(key, sizeof key));
}

static void end_transaction(struct group_step *step, struct group *group,
                            struct group_transaction *transaction, bool commit) {
    uint8_t key[8];
    store_be64(key, (uint64_t)transaction->producer.id);
    map_remove(&group->transactions, slice_make(key, sizeof key));
    MAP_FOREACH(it, &transaction->offsets) {
        struct group_offset *offset = MAP_ENTRY(it)->value;
        group_save_offset_removed(step, group, &transaction->producer, offset);
        if (!commit) continue;
        group_offset_put(&group->offsets, offset);
        group_save_offset(step, group, NULL, offset);
    }
    group_offsets_release(&transaction->offsets);
    mem_free(transaction);
}

enum status group_commit_pending(struct group_machine *m, struct group_step *step,
                                 const struct group_commit *commit, const struct group_producer *producer) {
    enum status status;
    struct group *group = open_group(m, step, commit, &status);
    if (group == NULL) return status;
    struct group_transaction *transaction = transaction_of(group, producer->id);
    /* The coordinator of transactions begins the next only when the one before has ended everywhere. */
    if (transaction != NULL && transaction->producer.number != producer->number) {
        end_transaction(step, group, transaction, false);
        transaction = NULL;
    }
    if (transaction == NULL) {
        uint8_t key[8];
        store_be64(key, (uint64_t)producer->id);
        transaction = mem_calloc(1, sizeof *transaction);
        transaction->producer = *producer;
        map_init(&transaction->offsets, m->hash_seed);
        map_put(&group->transactions, slice_make(key, sizeof key), transaction);
    }
    store_offsets(m, step, group, &transaction->offsets, commit, producer);
    return STATUS_OK;
}

void group_transaction_end(struct group_machine *m, struct group_step *step, struct slice id,
                           const struct group_producer *producer, bool commit) {
    struct group *group = map_get(&m->groups, id);
    struct group_transaction *transaction = group == NULL ? NULL : transaction_of(group, producer->id);
    if (transaction == NULL || txn_number_is_newer(transaction->producer.number, producer->number)) return;
    end_transaction(step, group, transaction, commit);
    if (group->members.count == 0) group_became_empty(m, group, step);
}

/* ---- forgetting ---------------------------------------------------------------------------------------- */

static void drop(struct group_step *step, struct group *group, struct group_offset *offset) {
    struct offset_key key = key_of(offset->topic, offset->partition);
    group_save_offset_removed(step, group, NULL, offset);
    offset_free(map_remove(&group->offsets, key_slice(&key)));
}

/* The consumer protocol's subscription: version i16, topics as an array of strings, ... */
static bool subscription_names(struct slice metadata, struct slice topic) {
    struct reader in = reader_make(metadata);
    (void)reader_be16(&in);
    uint32_t count = reader_be32(&in);
    for (uint32_t i = 0; i < count && reader_ok(&in); i++)
        if (slice_equal(reader_bytes(&in, reader_be16(&in)), topic) && reader_ok(&in)) return true;
    return !reader_ok(&in); /* not understood: better believe it is read */
}

static bool is_subscribed(const struct group *group, struct slice topic) {
    MAP_FOREACH(it, &group->members) {
        const struct group_member *member = MAP_ENTRY(it)->value;
        struct slice name;
        for (uint32_t i = 0; group_subscription(member, &i, &name);)
            if (slice_equal(name, topic)) return true;
        for (uint32_t i = 0; i < member->protocol_count; i++)
            if (subscription_names(member->protocols[i].metadata, topic)) return true;
    }
    return false;
}

enum status group_delete_offset(struct group_machine *m, struct group_step *step, struct slice id,
                                struct slice topic, int32_t partition) {
    struct group *group = map_get(&m->groups, id);
    if (group == NULL) return STATUS_GROUP_NOT_FOUND;
    if (group->members.count != 0) {
        bool consumers = group->kind == GROUP_CONSUMER ||
                         slice_equal(group->protocol_type, SLICE_LITERAL("consumer"));
        if (!consumers) return STATUS_GROUP_NOT_EMPTY;
        if (is_subscribed(group, topic)) return STATUS_GROUP_SUBSCRIBED;
    }
    struct group_offset *offset = find(&group->offsets, topic, partition);
    if (offset == NULL) return STATUS_OK;
    drop(step, group, offset);
    return STATUS_OK;
}

static void drop_pending(struct group_step *step, const struct group *group,
                         struct group_transaction *transaction, struct group_offset *offset) {
    struct offset_key key = key_of(offset->topic, offset->partition);
    group_save_offset_removed(step, group, &transaction->producer, offset);
    offset_free(map_remove(&transaction->offsets, key_slice(&key)));
}

static bool is_of(const struct group_step *step, const struct group_offset *offset, struct slice topic) {
    (void)step;
    return slice_equal(offset->topic, topic);
}

static bool is_gone(const struct group_step *step, const struct group_offset *offset, struct slice topic) {
    struct group_topic found;
    (void)topic;
    return !uuid_is_zero(offset->topic_id) && (!step->topics.find(step->topics.ctx, offset->topic, &found) ||
                                               !uuid_equal(found.id, offset->topic_id));
}

/* What waits for a transaction goes, too: its end would bring it back, to a later topic of that name. */
static void drop_those(struct group_step *step, struct group *group,
                       bool (*goes)(const struct group_step *step, const struct group_offset *offset,
                                    struct slice topic),
                       struct slice topic) {
    MAP_FOREACH(it, &group->offsets) {
        struct group_offset *offset = MAP_ENTRY(it)->value;
        if (goes(step, offset, topic)) drop(step, group, offset);
    }
    MAP_FOREACH(it, &group->transactions) {
        struct group_transaction *transaction = MAP_ENTRY(it)->value;
        MAP_FOREACH(of, &transaction->offsets) {
            struct group_offset *offset = MAP_ENTRY(of)->value;
            if (goes(step, offset, topic)) drop_pending(step, group, transaction, offset);
        }
        if (transaction->offsets.count == 0) end_transaction(step, group, transaction, false);
    }
}

void group_topic_deleted(struct group_machine *m, struct group_step *step, struct slice topic) {
    MAP_FOREACH(it, &m->groups) {
        drop_those(step, MAP_ENTRY(it)->value, is_of, topic);
    }
}

void group_topics_gone(struct group_machine *m, struct group_step *step) {
    MAP_FOREACH(it, &m->groups) {
        drop_those(step, MAP_ENTRY(it)->value, is_gone, SLICE_EMPTY);
    }
}

enum status group_delete(struct group_machine *m, struct group_step *step, struct slice id) {
    struct group *group = map_get(&m->groups, id);
    if (group == NULL) return STATUS_GROUP_NOT_FOUND;
    if (group->members.count != 0 || group->pending.count != 0) return STATUS_GROUP_NOT_EMPTY;
    if (group->transactions.count != 0) return STATUS_UNSTABLE_OFFSETS;
    group_remove(m, step, group);
    return STATUS_OK;
}

void group_offset_expire(struct group_machine *m, struct group_step *step, struct group *group) {
    if (group->members.count != 0) {
        group->retention_check_ms = GROUP_NEVER;
        return;
    }
    int64_t limit = step->wall_ms - m->limits.offset_retention_ms;
    if (group->empty_since_wall_ms <= limit) {
        MAP_FOREACH(it, &group->offsets) {
            struct group_offset *offset = MAP_ENTRY(it)->value;
            if (offset->commit_wall_ms <= limit) drop(step, group, offset);
        }
    }
    if (group->offsets.count != 0 || group->transactions.count != 0)
        group->retention_check_ms = step->now_ms + MIN(m->limits.offset_retention_ms, RETENTION_RETRY_MS);
}
