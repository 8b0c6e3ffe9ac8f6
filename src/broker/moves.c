// SPDX-License-Identifier: Apache-2.0
#include "broker/moves.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/controller.h"
#include "broker/partition.h"

/* What this node has to tell the controller of one partition. */
struct telling {
    struct list link;
    struct moves *moves;
    enum metadata_kind kind; /* MOVED, DROPPED; SET_REPLICAS for a node that drains */
    struct uuid topic;
    int32_t partition;
    uint64_t group, version;
    struct raft_read_index read; /* MOVED: do we still lead? */
    struct store_write write;    /* DROPPED: is it gone? */
    struct controller_call call;
};

struct moves {
    struct cluster *cluster;
    struct list tellings;
    uint32_t count, draining;
    uint64_t drained; /* so many partitions stand before the next one to be looked at */
    /* Looked at when the metadata is not what it was, and as long as something moves. */
    uint64_t looked_index;
    bool moving;
};

static const struct metadata_topic *topic_of(const struct telling *telling) {
    return metadata_find_id(&telling->moves->cluster->broker->metadata, telling->topic);
}

static struct telling *telling_new(struct moves *moves, enum metadata_kind kind,
                                   const struct metadata_topic *topic, int32_t partition, uint64_t version) {
    struct telling *telling = mem_calloc(1, sizeof *telling);
    *telling = (struct telling){.moves = moves,
                                .kind = kind,
                                .topic = topic->id,
                                .partition = partition,
                                .group = topic->groups[partition],
                                .version = version};
    list_init(&telling->read.link);
    store_write_init(&telling->write, NULL);
    list_push_back(&moves->tellings, &telling->link);
    moves->count++;
    moves->draining += kind == METADATA_SET_REPLICAS;
    return telling;
}

static void telling_free(struct telling *telling) {
    list_remove(&telling->link);
    telling->moves->count--;
    telling->moves->draining -= telling->kind == METADATA_SET_REPLICAS;
    struct broker *broker = telling->moves->cluster->broker;
    mem_free(telling);
    broker_check_shutdown(broker);
}

static bool is_told(const struct moves *moves, uint64_t group) {
    LIST_FOREACH(it, &moves->tellings) {
        if (CONTAINER_OF(it, struct telling, link)->group == group) return true;
    }
    return false;
}

/* Whatever became of it: if it has to be told again, the next tick sees that. */
static void told(struct controller_call *call) {
    telling_free(CONTAINER_OF(call, struct telling, call));
}

static void tell(struct telling *telling) {
    struct cluster *cluster = telling->moves->cluster;
    const struct metadata_topic *topic = topic_of(telling);
    if (topic == NULL || cluster->controller == NULL || cluster->stopping) {
        telling_free(telling);
        return;
    }
    uint8_t version[8];
    store_be64(version, telling->version);
    struct metadata_command command = {.kind = telling->kind,
                                       .name = slice_make(topic->name, topic->name_size),
                                       .count = telling->partition,
                                       .placement = slice_make(version, sizeof version)};
    if (telling->kind == METADATA_DROPPED) command.node = cluster->node;
    if (telling->kind == METADATA_SET_REPLICAS) {
        command.placement = SLICE_EMPTY; /* the controller chooses */
        command.replication = topic->replicas[telling->partition].count;
    }
    telling->call = (struct controller_call){.done = told};
    writer_init(&telling->call.command);
    metadata_encode(&command, &telling->call.command);
    controller_submit(cluster, &telling->call);
}

/* ---- the target is reached ----------------------------------------------------------------------------- */

static void still_leads(struct raft_read_index *read) {
    struct telling *telling = CONTAINER_OF(read, struct telling, read);
    struct cluster *cluster = telling->moves->cluster;
    const struct metadata_topic *topic = topic_of(telling);
    struct raft_replica *replica = raft_host_find(cluster->host, telling->group);
    if (read->status == STATUS_OK && topic != NULL && replica != NULL) {
        const struct metadata_replicas *replicas = &topic->replicas[telling->partition];
        if (metadata_is_moving(replicas) && replicas->move->version == telling->version &&
            members_are_placed(cluster, replica)) {
            tell(telling);
            return;
        }
    }
    telling_free(telling);
}

static void look_at_target(struct moves *moves, const struct metadata_topic *topic, int32_t partition) {
    struct raft_replica *replica = raft_host_find(moves->cluster->host, topic->groups[partition]);
    if (replica == NULL || !raft_replica_is_leader(replica) || !members_are_placed(moves->cluster, replica) ||
        is_told(moves, topic->groups[partition]))
        return;
    struct telling *telling = telling_new(moves, METADATA_MOVED, topic, partition,
                                          topic->replicas[partition].move->version);
    telling->read.done = still_leads;
    raft_replica_read_index(replica, &telling->read);
}

/* ---- what is left behind is deleted ----------------------------------------------------------------------
 */

static void gone(struct store_write *write) {
    struct telling *telling = CONTAINER_OF(write, struct telling, write);
    enum status status = write->status;
    store_write_release(write);
    store_write_init(&telling->write, NULL);
    if (status == STATUS_OK && controller_is_stored(telling->moves->cluster))
        tell(telling);
    else
        telling_free(telling);
}

/* The replica is closed. The metadata that asked for it, and the deletion of one that was open, were
 * submitted before this write, which repeats the deletion, so that all of it is durable when this is; unless
 * there was no room for the metadata, which then are stored first. One that was not open, or whose deletion
 * failed, is still stored: how far it was is read there. */
static void delete_copy(struct moves *moves, const struct metadata_topic *topic, int32_t partition,
                        uint64_t since) {
    uint64_t group = topic->groups[partition];
    struct store *store = moves->cluster->broker->store;
    struct raft_floor floor;
    if (raft_host_find(moves->cluster->host, group) != NULL || is_told(moves, group) ||
        !controller_is_stored(moves->cluster) || broker_health(moves->cluster->broker) != STATUS_OK)
        return;
    struct telling *telling = telling_new(moves, METADATA_DROPPED, topic, partition, since);
    store_write_init(&telling->write, gone);
    raft_store_find_floor(store, group, RAFT_FORMAT_BATCHES, &floor);
    raft_store_leave_again(&telling->write, group, floor);
    store_write_submit(store, &telling->write);
}

/* ---- draining ------------------------------------------------------------------------------------------ */

static bool any_draining(const struct metadata *m) {
    for (uint32_t i = 0; i < m->node_count; i++)
        if (m->nodes[i].draining) return true;
    return false;
}

static bool has_draining(const struct metadata *m, const struct metadata_replicas *replicas) {
    for (uint32_t i = 0; i < replicas->count; i++) {
        const struct metadata_node *node = metadata_node(m, replicas->nodes[i]);
        if (node != NULL && node->draining) return true;
    }
    return false;
}

/* ---- now and then ----------------------------------------------------------------------------------------
 */

static void look_at(struct moves *moves, const struct metadata_topic *topic, int32_t partition) {
    const struct metadata_replicas *replicas = &topic->replicas[partition];
    if (replicas->move == NULL) return;
    moves->moving = true;
    if (moves->count >= MOVES_TOLD_MAX) return;
    const struct metadata_left *left = metadata_left_behind(replicas, moves->cluster->node);
    if (left != NULL && left->kind == METADATA_CLOSING)
        delete_copy(moves, topic, partition, left->since);
    else if (metadata_is_moving(replicas))
        look_at_target(moves, topic, partition);
}

static void look_at_all(struct moves *moves, const struct metadata *m) {
    moves->looked_index = m->applied_index;
    moves->moving = false;
    MAP_FOREACH(it, &m->by_name) {
        const struct metadata_topic *topic = MAP_ENTRY(it)->value;
        for (int32_t i = 0; topic->replicas != NULL && i < topic->partition_count; i++)
            look_at(moves, topic, i);
    }
}

static uint32_t count_moving(const struct metadata *m) {
    uint32_t count = 0;
    MAP_FOREACH(it, &m->by_name) {
        const struct metadata_topic *topic = MAP_ENTRY(it)->value;
        for (int32_t i = 0; topic->replicas != NULL && i < topic->partition_count; i++)
            count += metadata_is_moving(&topic->replicas[i]);
    }
    return count;
}

/* Of the partitions in [from, to), counted over all topics, up to `room`; how many were asked for. */
static uint32_t drain_some(struct moves *moves, uint64_t from, uint64_t to, uint32_t room) {
    const struct metadata *m = &moves->cluster->broker->metadata;
    uint64_t at = 0;
    uint32_t asked = 0;
    MAP_FOREACH(it, &m->by_name) {
        const struct metadata_topic *topic = MAP_ENTRY(it)->value;
        for (int32_t i = 0; topic->replicas != NULL && i < topic->partition_count; i++) {
            if (at++ < from) continue;
            if (at > to || asked == room || moves->count >= MOVES_TOLD_MAX) return asked;
            moves->drained = at;
            if (!has_draining(m, &topic->replicas[i]) || is_told(moves, topic->groups[i])) continue;
            asked++;
            tell(telling_new(moves, METADATA_SET_REPLICAS, topic, i, 0));
        }
    }
    return asked;
}

static void drain(struct moves *moves) {
    struct broker *broker = moves->cluster->broker;
    struct raft_replica *controller = controller_replica(moves->cluster);
    const struct metadata *m = &broker->metadata;
    if (!any_draining(m) || !raft_replica_is_settled(controller) || moves->draining > 0) return;
    uint32_t room = MOVES_DRAINING_MAX - MIN(count_moving(m), MOVES_DRAINING_MAX);
    uint64_t begin = moves->drained;
    uint32_t asked = drain_some(moves, begin, UINT64_MAX, room);
    MAYBE(drain_some(moves, 0, begin, room - asked) > 0);
}

void moves_tick(struct moves *moves) {
    struct cluster *cluster = moves->cluster;
    if (cluster->leaving || cluster->stopping) return;
    const struct metadata *m = &cluster->broker->metadata;
    if (moves->moving || moves->looked_index != m->applied_index) look_at_all(moves, m);
    drain(moves);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

struct moves *moves_new(struct cluster *cluster) {
    struct moves *moves = mem_calloc(1, sizeof *moves);
    moves->cluster = cluster;
    list_init(&moves->tellings);
    return moves;
}

bool moves_idle(const struct moves *moves) {
    return list_empty(&moves->tellings);
}

void moves_free(struct moves *moves) {
    if (moves == NULL) return;
    LIST_FOREACH(it, &moves->tellings) {
        struct telling *telling = CONTAINER_OF(it, struct telling, link);
        raft_read_index_cancel(&telling->read);
        store_write_abandon(&telling->write);
        list_remove(it);
        mem_free(telling);
    }
    mem_free(moves);
}
