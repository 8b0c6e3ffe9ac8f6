// SPDX-License-Identifier: Apache-2.0
/* Members: each leader brings the members of its group to what they should be, one change at a time.
 *
 *   should have   placement of a partition; group 0: founders as voters, later nodes as learners
 *   newcomer      a learner first; a voter once it has what is committed
 *   lost disk     the member of the old incarnation goes at once: nobody speaks for it any more
 *   moved away    goes when all that should be here are voters
 *
 * And leadership goes to where the placement wants it, when that member is there and has everything. */
#include "base/assert.h"
#include "broker/controller.h"
#include "broker/coordinator.h"
#include "broker/partition.h"

/* Leadership that came with a failure stays for a while: the member may just be starting. */
#define BALANCE_TICKS 20

struct wanted {
    struct raft_member members[RAFT_MEMBERS_MAX];
    uint32_t count;
};

static void want(struct wanted *wanted, const struct cluster *cluster, uint32_t number, uint8_t role) {
    const struct metadata_node *node = metadata_node(&cluster->broker->metadata, number);
    if (node == NULL || wanted->count == RAFT_MEMBERS_MAX) return;
    wanted->members[wanted->count++] = (struct raft_member){raft_id(number, node->incarnation), role};
}

static struct raft_member *find_node(struct wanted *wanted, uint32_t node) {
    for (uint32_t i = 0; i < wanted->count; i++)
        if (raft_id_node(wanted->members[i].id) == node) return &wanted->members[i];
    return NULL;
}

static bool is_founder(const struct cluster *cluster, uint32_t node) {
    for (uint32_t i = 0; i < cluster->founder_count; i++)
        if (raft_id_node(cluster->founders[i]) == node) return true;
    return false;
}

static void want_controllers(struct wanted *wanted, const struct cluster *cluster, const struct raft *raft) {
    const struct metadata *m = &cluster->broker->metadata;
    for (uint32_t i = 0; i < m->node_count; i++)
        want(wanted, cluster, m->nodes[i].node,
             is_founder(cluster, m->nodes[i].node) ? RAFT_VOTER : RAFT_LEARNER);
    /* Founders that have not said their address yet are members all the same. */
    const struct raft_config *config = raft_config(raft);
    for (uint32_t i = 0; i < config->member_count && wanted->count < RAFT_MEMBERS_MAX; i++) {
        uint32_t node = raft_id_node(config->members[i].id);
        if (find_node(wanted, node) == NULL && is_founder(cluster, node) &&
            m->node_count < cluster->founder_count)
            wanted->members[wanted->count++] = (struct raft_member){config->members[i].id, RAFT_VOTER};
    }
}

/* It has what is committed, or will in a moment. */
static bool has_caught_up(const struct raft *raft, uint64_t id) {
    const struct raft_progress *progress = raft_progress(raft, id);
    return progress != NULL && progress->state == RAFT_REPLICATE && !progress->down &&
           progress->match >= raft->commit_end;
}

/* The next configuration on the way to what is wanted; false: it is the one in force. */
static bool next_members(const struct raft *raft, struct wanted *wanted) {
    const struct raft_config *config = raft_config(raft);
    bool differs = false, all_vote = true;
    for (uint32_t i = 0; i < wanted->count; i++) {
        struct raft_member *member = &wanted->members[i];
        int at = raft_config_find(config, member->id);
        uint8_t now = at < 0 ? 0 : config->members[at].flags;
        if (member->flags == RAFT_VOTER && now != RAFT_VOTER &&
            !(now == RAFT_LEARNER && has_caught_up(raft, member->id))) {
            member->flags = RAFT_LEARNER;
            all_vote = false;
        }
        differs |= member->flags != now;
    }
    for (uint32_t i = 0; i < config->member_count; i++) {
        const struct raft_member *member = &config->members[i];
        if (find_node(wanted, raft_id_node(member->id)) != NULL) {
            differs |= raft_config_find(config, find_node(wanted, raft_id_node(member->id))->id) < 0;
            continue;
        }
        if (all_vote || wanted->count == RAFT_MEMBERS_MAX) {
            differs = true; /* may go */
            continue;
        }
        wanted->members[wanted->count++] = *member;
    }
    return differs;
}

static void tend(struct raft_replica *replica, struct wanted *wanted) {
    const struct raft *raft = raft_replica_raft(replica);
    const struct raft_config *config = raft_config(raft);
    if (wanted->count == 0 || config == NULL || raft_config_joint(config) || raft->change != NULL ||
        raft->latest.position > raft->commit_end || !raft_replica_is_settled(replica))
        return;
    if (!next_members(raft, wanted)) return;
    bool any_voter = false;
    for (uint32_t i = 0; i < wanted->count; i++)
        any_voter |= wanted->members[i].flags == RAFT_VOTER;
    if (any_voter) MAYBE(raft_replica_change(replica, wanted->members, wanted->count) == STATUS_OK);
}

/* ---- balance ----------------------------------------------------------------------------------------------
 */

static void balance(struct cluster *cluster, struct raft_replica *replica, uint32_t preferred) {
    const struct raft *raft = raft_replica_raft(replica);
    const struct metadata_node *node = metadata_node(&cluster->broker->metadata, preferred);
    if (preferred == cluster->node || node == NULL || !cluster_node_is_up(cluster, preferred)) return;
    uint64_t id = raft_id(preferred, node->incarnation);
    int at = raft_config_find(raft_config(raft), id);
    const struct raft_progress *progress = raft_progress(raft, id);
    if (at < 0 || raft_config(raft)->members[at].flags != RAFT_VOTER || progress == NULL ||
        progress->state != RAFT_REPLICATE || raft->transfer_to != RAFT_NO_ID)
        return;
    MAYBE(raft_replica_transfer(replica, id) == STATUS_OK);
}

static void tend_partition(struct cluster *cluster, struct partition *p,
                           const struct metadata_replicas *replicas) {
    struct wanted wanted = {.count = 0};
    if (p->replica == NULL || !raft_replica_is_leader(p->replica)) return;
    for (uint32_t i = 0; i < replicas->count; i++)
        want(&wanted, cluster, replicas->nodes[i], RAFT_VOTER);
    if (wanted.count != replicas->count) return;
    tend(p->replica, &wanted);
    if ((cluster->ticks + p->group) % BALANCE_TICKS != 0) return;
    if (p->log_start > 0)
        cluster_tell_log_start(cluster, p->replica, p->log_start); /* should it have been lost */
    balance(cluster, p->replica, replicas->nodes[0]);
}

void members_tend(struct cluster *cluster) {
    struct raft_replica *controller = controller_replica(cluster);
    if (raft_replica_is_leader(controller)) {
        struct wanted wanted = {.count = 0};
        want_controllers(&wanted, cluster, raft_replica_raft(controller));
        tend(controller, &wanted);
    }
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++) {
        struct raft_replica *replica = coordinator_replica(cluster->broker, i);
        if (replica == NULL || !raft_replica_is_leader(replica)) continue;
        struct wanted wanted = {.count = 0};
        for (uint32_t f = 0; f < cluster->founder_count; f++)
            want(&wanted, cluster, raft_id_node(cluster->founders[f]), RAFT_VOTER);
        if (wanted.count == cluster->founder_count) tend(replica, &wanted);
    }
    MAP_FOREACH(it, &cluster->broker->topics) {
        struct topic_state *topic = MAP_ENTRY(it)->value;
        const struct metadata_topic *known = metadata_find(&cluster->broker->metadata, topic->name);
        if (known == NULL || known->replicas == NULL) continue;
        for (int32_t i = 0; i < topic->public.partition_count; i++)
            if (topic->partitions[i] != NULL)
                tend_partition(cluster, topic->partitions[i], &known->replicas[i]);
    }
}

/* ---- leaving
 * ----------------------------------------------------------------------------------------------- */

static void hand_over(void *ctx, struct raft_replica *replica) {
    if (!raft_replica_is_leader(replica)) return;
    const struct raft_config *config = raft_config(raft_replica_raft(replica));
    if (config->member_count == 1) return; /* there is nobody */
    *(bool *)ctx = false;
    if (raft_replica_raft(replica)->transfer_to == RAFT_NO_ID)
        MAYBE(raft_replica_transfer(replica, RAFT_NO_ID) == STATUS_OK);
}

bool members_hand_over(struct cluster *cluster) {
    bool nothing = true;
    raft_host_visit(cluster->host, hand_over, &nothing);
    return nothing;
}
