// SPDX-License-Identifier: Apache-2.0
/* Who has a partition, and how that changes (metadata.h, MOVES). */
#include "base/assert.h"
#include "base/mem.h"
#include "machine/metadata_internal.h"

#define VERSION_SIZE 8

/* ---- looking ------------------------------------------------------------------------------------------ */

bool metadata_is_placed(const struct metadata_replicas *replicas, uint32_t node) {
    for (uint32_t i = 0; i < replicas->count; i++)
        if (replicas->nodes[i] == node) return true;
    return false;
}

const struct metadata_left *metadata_left_behind(const struct metadata_replicas *replicas, uint32_t node) {
    const struct metadata_move *move = replicas->move;
    for (uint32_t i = 0; move != NULL && i < move->count; i++)
        if (move->left[i].node == node) return &move->left[i];
    return NULL;
}

uint32_t metadata_founders(const struct metadata_replicas *replicas, uint32_t nodes[METADATA_REPLICAS_MAX]) {
    if (!metadata_is_moving(replicas)) {
        memcpy(nodes, replicas->nodes, replicas->count * sizeof *nodes);
        return replicas->count;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < replicas->move->count; i++)
        if (replicas->move->left[i].kind == METADATA_ORIGINAL && count < METADATA_REPLICAS_MAX)
            nodes[count++] = replicas->move->left[i].node;
    return count;
}

bool metadata_has_replica(const struct metadata_replicas *replicas, uint32_t node) {
    if (metadata_is_placed(replicas, node)) return true;
    const struct metadata_left *left = metadata_left_behind(replicas, node);
    return left != NULL && left->kind != METADATA_CLOSING;
}

void metadata_count_replicas(const struct metadata *m, uint32_t node, struct metadata_replica_count *count) {
    *count = (struct metadata_replica_count){0};
    MAP_FOREACH(it, &m->by_name) {
        const struct metadata_topic *topic = MAP_ENTRY(it)->value;
        for (int32_t i = 0; topic->replicas != NULL && i < topic->partition_count; i++) {
            const struct metadata_replicas *replicas = &topic->replicas[i];
            const struct metadata_left *left = metadata_left_behind(replicas, node);
            if (metadata_is_placed(replicas, node))
                count->placed++;
            else if (left != NULL && left->kind == METADATA_CLOSING)
                count->closing++;
            else if (left != NULL)
                count->leaving++;
        }
    }
}

/* ---- check -------------------------------------------------------------------------------------------- */

static uint32_t node_at(struct slice placement, size_t index) {
    return load_be32(placement.data + index * 4);
}

/* How many are left behind when there is another target, and that is given up in its turn. */
static size_t count_left(const struct metadata_replicas *replicas, struct slice placement) {
    const struct metadata_move *move = replicas->move;
    size_t count = move == NULL ? 0 : move->count;
    for (uint32_t i = 0; i < replicas->count; i++)
        count += metadata_left_behind(replicas, replicas->nodes[i]) == NULL;
    for (size_t i = 0; i < placement.size / 4; i++) {
        uint32_t node = node_at(placement, i);
        count += !metadata_is_placed(replicas, node) && metadata_left_behind(replicas, node) == NULL;
    }
    return count;
}

/* A target is only set where a cancellation has room, too; for that, `placement` is empty. */
static enum status check_room(const struct metadata_replicas *replicas, struct slice placement,
                              struct diagnostic *diagnostic) {
    if (count_left(replicas, placement) <= METADATA_LEFT_MAX) return STATUS_OK;
    return diagnose(diagnostic, STATUS_BUSY, "too many moves of one partition at once: wait%s",
                    placement.size == 0 ? "" : " or cancel");
}

static enum status check_target(const struct metadata *m, const struct metadata_replicas *replicas,
                                const struct metadata_command *command, struct diagnostic *diagnostic) {
    if (command->placement.size == 0 || command->placement.size % 4 != 0 ||
        command->placement.size / 4 > METADATA_REPLICAS_MAX)
        return diagnose(diagnostic, STATUS_INVALID_REPLICATION, "a partition has 1 to %d replicas",
                        METADATA_REPLICAS_MAX);
    enum status status = metadata_check_placement(m, command, 1, (int16_t)(command->placement.size / 4),
                                                  diagnostic);
    for (size_t i = 0; status == STATUS_OK && i < command->placement.size / 4; i++) {
        uint32_t node = node_at(command->placement, i);
        const struct metadata_left *left = metadata_left_behind(replicas, node);
        if (metadata_is_placed(replicas, node)) continue;
        if (left != NULL && left->kind == METADATA_CLOSING)
            status = diagnose(diagnostic, STATUS_UNAVAILABLE,
                              "node %u still deletes its old copy of '%.*s' partition %d, ask again", node,
                              (int)command->name.size, (const char *)command->name.data, command->count);
        else if (metadata_node(m, node)->draining)
            status = diagnose(diagnostic, STATUS_INVALID_REPLICATION, "node %u is being drained", node);
    }
    return status == STATUS_OK ? check_room(replicas, command->placement, diagnostic) : status;
}

static bool version_is(const struct metadata_command *command, uint64_t version) {
    return command->placement.size == VERSION_SIZE && load_be64(command->placement.data) == version;
}

enum status metadata_move_check(const struct metadata *m, const struct metadata_topic *topic,
                                const struct metadata_command *command, struct diagnostic *diagnostic) {
    if (topic->replicas == NULL)
        return diagnose(diagnostic, STATUS_INVALID, "topic '%s' is not replicated", topic->name);
    if (command->count < 0 || command->count >= topic->partition_count)
        return diagnose(diagnostic, STATUS_UNKNOWN_TOPIC, "topic '%s' has no partition %d", topic->name,
                        command->count);
    const struct metadata_replicas *replicas = &topic->replicas[command->count];
    if (command->kind == METADATA_SET_REPLICAS) return check_target(m, replicas, command, diagnostic);
    if (command->kind == METADATA_DROPPED) {
        const struct metadata_left *left = metadata_left_behind(replicas, command->node);
        if (left != NULL && left->kind == METADATA_CLOSING && version_is(command, left->since))
            return STATUS_OK;
    } else if (metadata_is_moving(replicas)) {
        if (command->kind == METADATA_CANCEL_MOVE) return check_room(replicas, SLICE_EMPTY, diagnostic);
        if (version_is(command, replicas->move->version)) return STATUS_OK;
    }
    return diagnose(diagnostic, STATUS_NOT_FOUND, "partition %d of topic '%s' is not being moved",
                    command->count, topic->name);
}

/* ---- apply -------------------------------------------------------------------------------------------- */

static void take_nodes(struct metadata_replicas *to, struct slice placement, size_t at, size_t count) {
    to->count = (uint8_t)count;
    for (size_t i = 0; i < count; i++)
        to->nodes[i] = node_at(placement, at + i);
}

void metadata_set_placement(struct metadata *m, struct metadata_topic *topic, struct slice placement,
                            int32_t first) {
    if (placement.size == 0) return;
    size_t count = (size_t)topic->partition_count;
    size_t replication = placement.size / 4 / (count - (size_t)first);
    topic->replicas = mem_realloc(topic->replicas, count * sizeof *topic->replicas);
    memset(&topic->replicas[first], 0, (count - (size_t)first) * sizeof *topic->replicas);
    for (size_t i = (size_t)first; i < count; i++) {
        take_nodes(&topic->replicas[i], placement, (i - (size_t)first) * replication, replication);
        topic->replicas[i].founded = m->applied_index;
    }
}

static void leave(struct metadata_move *move, uint32_t node, enum metadata_left_kind kind) {
    for (uint32_t i = 0; i < move->count; i++)
        if (move->left[i].node == node) return;
    ASSERT_LT(move->count, METADATA_LEFT_MAX);
    move->left[move->count++] = (struct metadata_left){.node = node, .kind = kind};
}

static void set_target(struct metadata *m, struct metadata_replicas *replicas, struct slice placement) {
    bool same = replicas->count == placement.size / 4, others = !same;
    for (size_t i = 0; i < replicas->count && !others; i++) {
        others = !metadata_is_placed(replicas, node_at(placement, i));
        same = same && replicas->nodes[i] == node_at(placement, i);
    }
    if (same && !others) return; /* it goes there already, or is there */
    bool moving = metadata_is_moving(replicas);
    if (replicas->move == NULL) replicas->move = mem_calloc(1, sizeof *replicas->move);
    replicas->move->version = m->applied_index;
    for (uint32_t i = 0; i < replicas->count; i++)
        leave(replicas->move, replicas->nodes[i], moving ? METADATA_ABANDONED : METADATA_ORIGINAL);
    take_nodes(replicas, placement, 0, placement.size / 4);
}

static void cancel(struct metadata *m, struct metadata_replicas *replicas) {
    struct writer placement;
    writer_init(&placement);
    for (uint32_t i = 0; i < replicas->move->count; i++)
        if (replicas->move->left[i].kind == METADATA_ORIGINAL)
            writer_be32(&placement, replicas->move->left[i].node);
    set_target(m, replicas, writer_slice(&placement));
    writer_release(&placement);
}

static void drop_left(struct metadata_replicas *replicas, uint32_t index) {
    struct metadata_move *move = replicas->move;
    move->count--;
    memmove(&move->left[index], &move->left[index + 1], (move->count - index) * sizeof *move->left);
    if (move->count > 0 || move->version != 0) return;
    mem_free(move);
    replicas->move = NULL;
}

/* The members are the target, so somebody has founded it. */
static void moved(struct metadata *m, struct metadata_replicas *replicas) {
    struct metadata_move *move = replicas->move;
    uint32_t founders[METADATA_REPLICAS_MAX], kept = 0;
    bool same = metadata_founders(replicas, founders) == replicas->count;
    for (uint32_t i = 0; same && i < replicas->count; i++)
        same = metadata_is_placed(replicas, founders[i]);
    if (!same) replicas->founded = 0;
    for (uint32_t i = 0; i < move->count; i++) {
        struct metadata_left left = move->left[i];
        const struct metadata_node *node = metadata_node(m, left.node);
        if (metadata_is_placed(replicas, left.node) || node == NULL) continue;
        if (left.kind != METADATA_CLOSING) left.since = m->applied_index;
        left.kind = METADATA_CLOSING;
        move->left[kept++] = left;
    }
    move->count = (uint8_t)kept;
    move->version = 0;
    if (kept > 0) return;
    mem_free(move);
    replicas->move = NULL;
}

static void dropped(struct metadata_replicas *replicas, uint32_t node) {
    for (uint32_t i = 0; i < replicas->move->count; i++) {
        if (replicas->move->left[i].node != node) continue;
        drop_left(replicas, i);
        return;
    }
}

void metadata_move_apply(struct metadata *m, struct metadata_topic *topic,
                         const struct metadata_command *command, struct metadata_effects *effects) {
    struct metadata_replicas *replicas = &topic->replicas[command->count];
    if (command->kind == METADATA_SET_REPLICAS)
        set_target(m, replicas, command->placement);
    else if (command->kind == METADATA_CANCEL_MOVE)
        cancel(m, replicas);
    else if (command->kind == METADATA_MOVED)
        moved(m, replicas);
    else
        dropped(replicas, command->node);
    metadata_save_partition(topic, command->count, effects);
    int16_t most = 1;
    for (int32_t i = 0; i < topic->partition_count; i++)
        most = topic->replicas[i].count > most ? topic->replicas[i].count : most;
    if (most == topic->replication) return;
    topic->replication = most;
    metadata_save_topic(topic, effects);
}

void metadata_move_forget(struct metadata *m, uint32_t node, struct metadata_effects *effects) {
    MAP_FOREACH(it, &m->by_name) {
        struct metadata_topic *topic = MAP_ENTRY(it)->value;
        for (int32_t i = 0; topic->replicas != NULL && i < topic->partition_count; i++) {
            struct metadata_replicas *replicas = &topic->replicas[i];
            const struct metadata_left *left = metadata_left_behind(replicas, node);
            if (left == NULL || left->kind != METADATA_CLOSING) continue;
            dropped(replicas, node);
            metadata_save_partition(topic, i, effects);
        }
    }
}

void metadata_adopt(struct metadata *m, uint32_t node, struct metadata_effects *effects) {
    MAP_FOREACH(it, &m->by_name) {
        struct metadata_topic *topic = MAP_ENTRY(it)->value;
        ASSERT(topic->replicas == NULL);
        topic->replication = 1;
        topic->replicas = mem_calloc((size_t)topic->partition_count, sizeof *topic->replicas);
        for (int32_t i = 0; i < topic->partition_count; i++) {
            topic->replicas[i].count = 1;
            topic->replicas[i].nodes[0] = node;
        }
        metadata_save_topic(topic, effects);
    }
}
