// SPDX-License-Identifier: Apache-2.0
/* What an operator asks of the cluster: nodes that come and go, and who leads. */
#include "base/assert.h"
#include "base/mem.h"
#include "broker/cluster.h"
#include "broker/metadata_log.h"
#include "broker/partition_replica.h"

/* ---- nodes ----------------------------------------------------------------------------------------------
 */

struct change {
    struct metadata_request request;
    struct broker *broker;
    struct node_change *public;
    struct writer address;
    uint8_t rate[8];
};

static enum status prepare(struct metadata_request *request, struct metadata_command *command) {
    static const enum metadata_kind kinds[] = {[NODE_ADD] = METADATA_ADD_NODE,
                                               [NODE_DRAIN] = METADATA_DRAIN_NODE,
                                               [NODE_ACTIVE] = METADATA_DRAIN_NODE,
                                               [NODE_REMOVE] = METADATA_REMOVE_NODE,
                                               [NODE_CATCH_UP_RATE] = METADATA_SET_CATCH_UP_RATE};
    struct change *change = CONTAINER_OF(request, struct change, request);
    struct node_change *public = change->public;
    command->kind = kinds[public->kind];
    command->node = (uint32_t) public->node;
    command->name = writer_slice(&change->address);
    command->count = public->kind == NODE_DRAIN;
    if (change->broker->cluster == NULL)
        return diagnose(&public->diagnostic, STATUS_INVALID,
                        "this broker runs alone: start it with --peers to make it a member of a cluster");
    if (public->kind == NODE_CATCH_UP_RATE) {
        store_be64(change->rate, (uint64_t) public->rate);
        *command = (struct metadata_command){.kind = command->kind,
                                             .placement = slice_make(change->rate, sizeof change->rate)};
        return STATUS_OK;
    }
    return public->node > 0 ? STATUS_OK
                            : diagnose(&public->diagnostic, STATUS_INVALID, "a node's number is 1 or more");
}

static void finish(struct io_op *op) {
    struct node_change *public = CONTAINER_OF(op, struct node_change, op);
    public->done(public);
}

static void done(struct metadata_request *request, enum status status,
                 const struct metadata_effects *effects) {
    struct change *change = CONTAINER_OF(request, struct change, request);
    struct node_change *public = change->public;
    MAYBE(effects != NULL);
    public->status = status;
    public->op = (struct io_op){.done = finish};
    io_defer(change->broker->io, &public->op);
    writer_release(&change->address);
    mem_free(change);
}

void broker_change_node(struct broker *broker, struct node_change *public) {
    struct change *change = mem_calloc(1, sizeof *change);
    change->request = (struct metadata_request){
        .prepare = prepare, .done = done, .diagnostic = &public->diagnostic};
    change->broker = broker;
    change->public = public;
    public->diagnostic.text[0] = '\0';
    writer_init(&change->address);
    writer_bytes(&change->address, public->address);
    if (!broker->closing) {
        metadata_log_propose(broker, &change->request);
        return;
    }
    diagnose(&public->diagnostic, STATUS_UNAVAILABLE, "the broker is shutting down");
    done(&change->request, STATUS_UNAVAILABLE, NULL);
}

int64_t broker_catch_up_rate(const struct broker *broker) {
    return broker->metadata.catch_up_rate;
}

/* ---- partitions -----------------------------------------------------------------------------------------
 */

bool broker_partition_move(struct broker *broker, const struct broker_topic *topic, int32_t partition,
                           struct partition_move *move) {
    *move = (struct partition_move){0};
    const struct metadata_topic *known = metadata_find_id(&broker->metadata, topic->id);
    if (known == NULL || known->replicas == NULL || known->replicas[partition].move == NULL) return false;
    const struct metadata_replicas *replicas = &known->replicas[partition];
    move->moving = metadata_is_moving(replicas);
    for (uint32_t i = 0; i < replicas->count && move->moving; i++)
        if (metadata_left_behind(replicas, replicas->nodes[i]) == NULL ||
            metadata_left_behind(replicas, replicas->nodes[i])->kind == METADATA_ABANDONED)
            move->adding[move->adding_count++] = (int32_t)replicas->nodes[i];
    for (uint32_t i = 0; i < replicas->move->count; i++)
        if (!metadata_is_placed(replicas, replicas->move->left[i].node))
            move->removing[move->removing_count++] = (int32_t)replicas->move->left[i].node;
    return true;
}

enum status broker_transfer_leader(struct broker *broker, struct slice topic, int32_t partition,
                                   int32_t node) {
    struct partition *p = broker_partition(broker, topic, partition);
    if (p == NULL) return STATUS_UNKNOWN_TOPIC;
    if (broker->cluster == NULL)
        return node == 0 || node == broker->options.node_id ? STATUS_OK : STATUS_NOT_FOUND;
    const struct metadata_topic *known = metadata_find_id(&broker->metadata, p->topic->public.id);
    if (p->replica == NULL || known == NULL || !raft_replica_is_leader(p->replica)) return STATUS_NOT_LEADER;
    uint32_t to = node == 0 ? known->replicas[partition].nodes[0] : (uint32_t)node;
    const struct metadata_node *target = metadata_node(&broker->metadata, to);
    if (target == NULL || !metadata_is_placed(&known->replicas[partition], to)) return STATUS_NOT_FOUND;
    if (to == broker->cluster->node) return STATUS_OK;
    if (!cluster_node_is_up(broker->cluster, to)) return STATUS_UNAVAILABLE;
    enum status status = raft_replica_transfer(p->replica, raft_id(to, target->incarnation));
    return status == STATUS_OK ? STATUS_OK : STATUS_UNAVAILABLE;
}
