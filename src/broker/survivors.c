// SPDX-License-Identifier: Apache-2.0
/* Partitions with two copies of which one was lost with its disk: the other goes on alone, and takes the new disk in.
 *
 * Two voters are a majority only together, so with one disk the partition would never be led again. But nothing was ever
 * committed without either, so the one that is left has all of it; and nobody can lead, or change the members, without its
 * vote, the other's old disk included should it come back. With three voters and two disks lost that does not hold: what
 * these two had committed the third may lack, so nobody may go on by itself. (docs/operations.md: a lost disk.)
 *
 * A disk is lost when the controller has registered another one for that node since. */
#include "broker/survivors.h"

#include "broker/coordinator.h"
#include "broker/partition.h"

/* Looked at so seldom: it goes through all groups, where any disk was lost. */
#define LOOK_TICKS 8

static bool is_lost(void *ctx, uint64_t id) {
    const struct cluster *cluster = ctx;
    const struct metadata_node *node = metadata_node(&cluster->broker->metadata, raft_id_node(id));
    for (uint32_t i = 0; node != NULL && i < node->before_count; i++)
        if (raft_id(node->node, node->before[i].incarnation) == id)
            return node->incarnation != node->before[i].incarnation;
    return false;
}

static void look(void *ctx, struct raft_replica *replica) {
    struct cluster *cluster = ctx;
    uint64_t group = raft_replica_group(replica);
    if (group == 0 || group >= COORDINATOR_GROUP_FIRST) return;
    if (!raft_replica_go_on_alone(replica, is_lost, cluster)) return;
    const struct partition *p = raft_replica_ctx(replica);
    log_warn(cluster->broker->log,
             "the other copy was lost with its disk, this one goes on alone topic=%s partition=%d",
             p->topic->public.name, p->index);
}

static bool any_lost(const struct metadata *m) {
    for (uint32_t i = 0; i < m->node_count; i++)
        if (m->nodes[i].before_count > 0) return true;
    return false;
}

void survivors_tick(struct cluster *cluster) {
    if (cluster->ticks % LOOK_TICKS == 0 && any_lost(&cluster->broker->metadata))
        raft_host_visit(cluster->host, look, cluster);
}
