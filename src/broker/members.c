// SPDX-License-Identifier: Apache-2.0
/* Members: each leader brings the members of its group to what they should be, one change at a time.
 *
 *   should have   placement of a partition; the controller and the coordinators: want_voters
 *   newcomer      a learner first; a voter once it has what is committed
 *   lost disk     the member of the old incarnation goes at once: nobody speaks for it any more
 *   moved away    goes when all that should be here are voters
 *
 * A leader changes members only by metadata that is as new as a read of the controller that was asked when it
 * led already. Else one that is behind could take back in a member that has been told to delete its copy
 * (moves.c), and count what that member acknowledges until it hears of it.
 *
 * And leadership goes to where the placement wants it, when that member is there and has everything.
 *
 * With thousands of partitions at rest, looking at each costs more than all else that a node does. So all are
 * looked at when the metadata changed, when the role or the members of one did, and as long as one is not
 * what it should be; else each in its turn, once in BALANCE_TICKS. */
#include "base/assert.h"
#include "broker/controller.h"
#include "broker/coordinator.h"
#include "broker/partition.h"

/* Leadership that came with a failure stays for a while: the member may just be starting. */
#define BALANCE_TICKS 20
#define VOTERS_MAX    5u
/* A read of the controller that takes longer is asked again. */
#define PATIENCE_TICKS 4

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

static bool is_eligible(const struct metadata_node *node) {
    return node->incarnation != 0 && !node->draining;
}

/* Enough to lose two; as many again would only make each write slower. An even number outlives no more
 * failures than the odd one below it. */
static uint32_t voters_wanted(const struct metadata *m) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->node_count; i++)
        count += is_eligible(&m->nodes[i]);
    return count <= 2 ? count : MIN(VOTERS_MAX, count - 1 + count % 2);
}

static bool votes(const struct raft_config *config, uint32_t node) {
    for (uint32_t i = 0; i < config->member_count; i++)
        if (raft_id_node(config->members[i].id) == node && (config->members[i].flags & RAFT_VOTER) != 0)
            return true;
    return false;
}

/* The voters of a group that belongs to no topic: those it has, unless they are drained or gone; as many as
 * there should be, of the nodes that are up, from the `turn`th on. */
static void want_voters(struct wanted *wanted, const struct cluster *cluster, const struct raft *raft,
                        uint32_t turn) {
    const struct metadata *m = &cluster->broker->metadata;
    uint32_t target = voters_wanted(m);
    for (uint32_t i = 0; i < m->node_count; i++)
        if (is_eligible(&m->nodes[i]) && votes(raft_config(raft), m->nodes[i].node))
            want(wanted, cluster, m->nodes[i].node, RAFT_VOTER);
    /* Founders that have not said their address yet are members all the same. */
    const struct raft_config *config = raft_config(raft);
    for (uint32_t i = 0; i < config->member_count && wanted->count < RAFT_MEMBERS_MAX; i++) {
        uint32_t node = raft_id_node(config->members[i].id);
        if (is_founder(cluster, node) && metadata_node(m, node) == NULL &&
            metadata_removed_incarnation(m, node) == 0)
            wanted->members[wanted->count++] = (struct raft_member){config->members[i].id, RAFT_VOTER};
    }
    for (uint32_t i = 0; i < m->node_count && wanted->count < target; i++) {
        const struct metadata_node *node = &m->nodes[(i + turn) % m->node_count];
        if (is_eligible(node) && find_node(wanted, node->node) == NULL &&
            cluster_node_is_up(cluster, node->node))
            want(wanted, cluster, node->node, RAFT_VOTER);
    }
}

/* Every node learns the metadata. */
static void want_controllers(struct wanted *wanted, const struct cluster *cluster, const struct raft *raft) {
    const struct metadata *m = &cluster->broker->metadata;
    want_voters(wanted, cluster, raft, 0);
    for (uint32_t i = 0; i < m->node_count; i++)
        if (m->nodes[i].incarnation != 0 && find_node(wanted, m->nodes[i].node) == NULL)
            want(wanted, cluster, m->nodes[i].node, RAFT_LEARNER);
}

/* False: it cannot be told now. */
static bool want_for_group(struct wanted *wanted, const struct cluster *cluster,
                           struct raft_replica *replica) {
    uint64_t group = raft_replica_group(replica);
    const struct raft *raft = raft_replica_raft(replica);
    wanted->count = 0;
    if (group == 0) {
        want_controllers(wanted, cluster, raft);
    } else if (group >= COORDINATOR_GROUP_FIRST) {
        want_voters(wanted, cluster, raft, (uint32_t)(group - COORDINATOR_GROUP_FIRST));
    } else {
        const struct partition *p = raft_replica_ctx(replica);
        const struct metadata_topic *topic = metadata_find_id(&cluster->broker->metadata,
                                                              p->topic->public.id);
        const struct metadata_replicas *replicas = topic == NULL ? NULL : &topic->replicas[p->index];
        for (uint32_t i = 0; replicas != NULL && i < replicas->count; i++)
            want(wanted, cluster, replicas->nodes[i], RAFT_VOTER);
        if (replicas == NULL || wanted->count != replicas->count) wanted->count = 0;
    }
    bool any_voter = false;
    for (uint32_t i = 0; i < wanted->count; i++)
        any_voter |= wanted->members[i].flags == RAFT_VOTER;
    return any_voter;
}

bool members_are_placed(const struct cluster *cluster, struct raft_replica *replica) {
    const struct raft *raft = raft_replica_raft(replica);
    const struct raft_config *config = raft_config(raft);
    struct wanted wanted;
    if (!raft_replica_is_settled(replica) || config == NULL || raft_config_joint(config) ||
        raft->change != NULL || raft->latest.position > raft->commit_end ||
        !want_for_group(&wanted, cluster, replica) || config->member_count != wanted.count)
        return false;
    for (uint32_t i = 0; i < wanted.count; i++) {
        int at = raft_config_find(config, wanted.members[i].id);
        if (at < 0 || config->members[at].flags != wanted.members[i].flags) return false;
    }
    return true;
}

/* It has what is committed, or will in a moment. */
static bool has_caught_up(const struct raft *raft, uint64_t id) {
    const struct raft_progress *progress = raft_progress(raft, id);
    return progress != NULL && progress->state == RAFT_REPLICATE && !progress->down &&
           progress->match >= raft->commit_end;
}

enum need { NEEDS_NOTHING, NEEDS_TIME, NEEDS_CHANGE };

/* The next configuration on the way to what is wanted; CHANGE: it is not the one in force. */
static enum need next_members(const struct raft *raft, struct wanted *wanted) {
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
    if (differs) return NEEDS_CHANGE;
    return all_vote ? NEEDS_NOTHING : NEEDS_TIME;
}

/* Who leads hands over before it goes: nobody waits for an election then. */
static bool hand_over_first(const struct cluster *cluster, struct raft_replica *replica,
                            struct wanted *wanted) {
    const struct raft *raft = raft_replica_raft(replica);
    const struct raft_member *self = find_node(wanted, cluster->node);
    if (self != NULL && self->flags == RAFT_VOTER) return false;
    if (raft->transfer_to != RAFT_NO_ID) return true;
    for (uint32_t i = 0; i < wanted->count; i++) {
        const struct raft_member *member = &wanted->members[i];
        int at = raft_config_find(raft_config(raft), member->id);
        if (member->flags == RAFT_VOTER && at >= 0 && raft_config(raft)->members[at].flags == RAFT_VOTER &&
            has_caught_up(raft, member->id) && raft_replica_transfer(replica, member->id) == STATUS_OK)
            return true;
    }
    return false;
}

/* Whether there is something to do, and now. */
static enum need needs(const struct cluster *cluster, struct raft_replica *replica, struct wanted *wanted) {
    const struct raft *raft = raft_replica_raft(replica);
    const struct raft_config *config = raft_config(raft);
    if (config == NULL || raft_config_joint(config) || raft->change != NULL ||
        raft->latest.position > raft->commit_end || !raft_replica_is_settled(replica) ||
        !want_for_group(wanted, cluster, replica))
        return NEEDS_TIME;
    return next_members(raft, wanted);
}

static void tend(const struct cluster *cluster, struct raft_replica *replica) {
    struct wanted wanted, target;
    if (needs(cluster, replica, &wanted) != NEEDS_CHANGE) return;
    MAYBE(want_for_group(&target, cluster, replica)); /* `wanted` is only the next step there */
    if (hand_over_first(cluster, replica, &target)) return;
    MAYBE(raft_replica_change(replica, wanted.members, wanted.count) == STATUS_OK);
}

/* ---- by fresh metadata --------------------------------------------------------------------------------- */

static void metadata_is_fresh(struct raft_read_index *read) {
    struct cluster *cluster = CONTAINER_OF(read, struct cluster, metadata_read);
    cluster->metadata_asked = false;
    bool ok = read->status == STATUS_OK && !cluster->leaving && !cluster->stopping;
    for (uint32_t i = 0; ok && i < cluster->tending_count; i++) {
        struct raft_replica *replica = raft_host_find(cluster->host, cluster->tending[i].group);
        if (replica != NULL && raft_replica_is_leader(replica) &&
            raft_replica_raft(replica)->term == cluster->tending[i].term)
            tend(cluster, replica);
    }
}

static void consider(struct cluster *cluster, struct raft_replica *replica) {
    struct wanted wanted;
    bool full = cluster->metadata_asked || cluster->tending_count == ARRAY_COUNT(cluster->tending);
    enum need need = full ? NEEDS_TIME : needs(cluster, replica, &wanted);
    if (need != NEEDS_NOTHING) cluster->members_due = true;
    if (need != NEEDS_CHANGE) return;
    cluster->tending[cluster->tending_count++] = (struct tended_group){raft_replica_group(replica),
                                                                       raft_replica_raft(replica)->term};
}

static void ask_for_fresh_metadata(struct cluster *cluster) {
    if (cluster->metadata_asked || cluster->tending_count == 0) return;
    cluster->metadata_asked = true;
    cluster->metadata_asked_tick = cluster->ticks;
    cluster->metadata_read.done = metadata_is_fresh;
    raft_replica_read_index(controller_replica(cluster), &cluster->metadata_read);
}

/* ---- balance ----------------------------------------------------------------------------------------------
 */

static void balance(struct cluster *cluster, struct raft_replica *replica, uint32_t preferred) {
    const struct raft *raft = raft_replica_raft(replica);
    const struct metadata_node *node = metadata_node(&cluster->broker->metadata, preferred);
    if (preferred == cluster->node || node == NULL || !cluster_node_is_up(cluster, preferred) ||
        cluster_node_departs(cluster, preferred))
        return;
    uint64_t id = raft_id(preferred, node->incarnation), now = io_now_ns(cluster->broker->io);
    /* While it catches up, producers would be refused. */
    if (raft_is_in_sync(raft, id, now, 2 * raft->options->heartbeat_ns) && raft->transfer_to == RAFT_NO_ID)
        MAYBE(raft_replica_transfer(replica, id) == STATUS_OK);
}

static void tend_partition(struct cluster *cluster, struct partition *p,
                           const struct metadata_replicas *replicas, bool turn) {
    if (p == NULL || p->replica == NULL || !raft_replica_is_leader(p->replica)) return;
    consider(cluster, p->replica);
    if (!turn) return;
    if (p->log_start > 0)
        cluster_tell_log_start(cluster, p->replica, p->log_start); /* should it have been lost */
    balance(cluster, p->replica, replicas->nodes[0]);
}

static void tend_topic(struct cluster *cluster, const struct topic_state *topic, bool all) {
    int32_t turn = (int32_t)((cluster->ticks + topic->groups[0]) % BALANCE_TICKS), first = all ? 0 : turn;
    if (first >= topic->public.partition_count) return; /* most small ones: not even looked up */
    const struct metadata_topic *known = metadata_find(&cluster->broker->metadata, topic->name);
    if (known == NULL || known->replicas == NULL) return;
    for (int32_t i = first; i < topic->public.partition_count; i += all ? 1 : BALANCE_TICKS)
        tend_partition(cluster, topic->partitions[i], &known->replicas[i], i % BALANCE_TICKS == turn);
}

void members_tend(struct cluster *cluster) {
    struct raft_replica *controller = controller_replica(cluster);
    /* Its log is the metadata. */
    if (raft_replica_is_leader(controller) &&
        raft_replica_applied(controller) >= raft_replica_raft(controller)->commit_end)
        tend(cluster, controller);
    if (cluster->metadata_asked && cluster->ticks - cluster->metadata_asked_tick > PATIENCE_TICKS) {
        raft_read_index_cancel(&cluster->metadata_read); /* the question or the answer was lost */
        cluster->metadata_asked = false;
    }
    if (!cluster->metadata_asked) cluster->tending_count = 0;
    uint64_t known = cluster->broker->metadata.applied_index;
    bool all = cluster->members_due || cluster->tended_index != known;
    cluster->members_due = false;
    cluster->tended_index = known;
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++) {
        struct raft_replica *replica = coordinator_replica(cluster->broker, i);
        if (replica != NULL && raft_replica_is_leader(replica)) consider(cluster, replica);
    }
    MAP_FOREACH(it, &cluster->broker->topics) {
        tend_topic(cluster, MAP_ENTRY(it)->value, all);
    }
    ask_for_fresh_metadata(cluster);
}

/* ---- leaving ------------------------------------------------------------------------------------------- */

struct leaving {
    struct cluster *cluster;
    bool nothing; /* is led here that another could take */
};

/* The voter with the longest log that is there to stay; RAFT_NO_ID: none. */
static uint64_t best_heir(const struct cluster *cluster, const struct raft *raft) {
    const struct raft_config *config = raft_config(raft);
    const struct raft_progress *best = NULL;
    for (uint32_t i = 0; i < config->member_count; i++) {
        uint64_t id = config->members[i].id;
        const struct raft_progress *progress = raft_progress(raft, id);
        if (id == raft->options->id || (config->members[i].flags & RAFT_VOTER) == 0 || progress->down ||
            cluster_node_departs(cluster, raft_id_node(id)))
            continue;
        if (best == NULL || progress->match > best->match) best = progress;
    }
    return best == NULL ? RAFT_NO_ID : best->id;
}

static void hand_over(void *ctx, struct raft_replica *replica) {
    struct leaving *leaving = ctx;
    const struct raft *raft = raft_replica_raft(replica);
    if (!raft_replica_is_leader(replica)) return;
    uint64_t heir = best_heir(leaving->cluster, raft);
    if (heir == RAFT_NO_ID) return; /* there is nobody */
    leaving->nothing = false;
    if (raft->transfer_to == RAFT_NO_ID) MAYBE(raft_replica_transfer(replica, heir) == STATUS_OK);
}

bool members_hand_over(struct cluster *cluster) {
    struct leaving leaving = {cluster, true};
    raft_host_visit(cluster->host, hand_over, &leaving);
    return leaving.nothing;
}
