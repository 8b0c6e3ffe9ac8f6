// SPDX-License-Identifier: Apache-2.0
/* group_history.h: what the members of a consumer group were told, kept outside every crash, and the
 * invariants held against it.
 *
 *   B13 committed offsets  never back, never absent again, never what nobody committed; a commit by a member
 *                          after another was told that it owns the partition in a later generation is refused
 *   B14 exclusivity        a partition has one owner a generation; in a consumer group (KIP-848) nobody is
 *                          given what another holds, who was heard of within session and rebalance timeout
 *   B15 generations        never back; one leader and one protocol each; what is delivered is what the leader
 *                          computed
 *   B16 at least once      nothing acknowledged is left out when the group has come to the end
 *
 * Everything is in the order in which members hear of it and ask, which is the order of real time: an answer
 * is held only against what had been heard when its question left.
 *
 * Owner   the run. Members are numbered from 0. The first violation goes to `history`. Loop: one thread. */
#ifndef SENTINEL_SIM_GROUP_HISTORY_H
#define SENTINEL_SIM_GROUP_HISTORY_H

#include "sim/history.h"

#define GROUP_HISTORY_MEMBERS    8
#define GROUP_HISTORY_PARTITIONS 8
#define GROUP_HISTORY_KEPT       8 /* generations that are remembered */

struct group_generation {
    int32_t number; /* 0: none */
    uint64_t leader, protocol;
    uint32_t computed_count;
    struct {
        uint64_t member, assignment;
    } computed[GROUP_HISTORY_MEMBERS];
};
struct group_history {
    struct history *history;
    const char *name;
    uint64_t patience_ns; /* consumer groups: what is held is not given away within; 0: a classic group */
    int32_t generation;   /* highest that anybody was told */
    struct group_generation generations[GROUP_HISTORY_KEPT];
    struct {
        uint32_t owner; /* index + 1; 0: nobody yet */
        int32_t generation;
        int64_t committed; /* highest that was acknowledged; -1: none */
        int64_t asked;     /* highest that anybody tried to commit */
        int64_t uncertain; /* lowest that may still be written; INT64_MAX: none */
        bool *processed;   /* by offset */
        size_t capacity;
    } partitions[GROUP_HISTORY_PARTITIONS];
    struct {
        bool holds;
        uint64_t heard_ns; /* when it asked whether it still does, and it did */
    } holds[GROUP_HISTORY_MEMBERS][GROUP_HISTORY_PARTITIONS];
    uint64_t assignments, commits, refused; /* refused: commits of members that were late */
};

void group_history_init(struct group_history *g, struct history *history, const char *name,
                        uint64_t patience_ns);
void group_history_release(struct group_history *g);

/* A join was answered; `floor` is g->generation when it was asked. Ids and protocol are hashes. */
void group_history_joined(struct group_history *g, int32_t floor, int32_t generation, uint64_t leader,
                          uint64_t protocol);
/* The leader hands in what `member` shall have; and a member hears what it has. */
void group_history_computed(struct group_history *g, int32_t generation, uint64_t member,
                            uint64_t assignment);
void group_history_delivered(struct group_history *g, int32_t generation, uint64_t member,
                             uint64_t assignment);

/* A member is told that a partition is its own, from now on. */
void group_history_owns(struct group_history *g, uint32_t member, int32_t generation, uint32_t partition,
                        uint64_t now_ns);
/* A member of a consumer group was told that it still holds a partition; or lets go of it, or was thrown out.
 */
void group_history_heard(struct group_history *g, uint32_t member, uint32_t partition, uint64_t asked_ns);
void group_history_lets_go(struct group_history *g, uint32_t member, uint32_t partition);

/* Another was told that it owns the partition in a later generation: a commit that leaves now must fail. */
bool group_history_is_late(const struct group_history *g, uint32_t member, int32_t generation,
                           uint32_t partition);
void group_history_commits(struct group_history *g, uint32_t partition, int64_t offset);
void group_history_committed(struct group_history *g, uint32_t member, int32_t generation, uint32_t partition,
                             int64_t offset, bool late);
/* It may be written, now or later. */
void group_history_uncertain(struct group_history *g, uint32_t partition, int64_t offset);
/* No answer to a question that leaves now may be lower. */
int64_t group_history_floor(const struct group_history *g, uint32_t partition);
void group_history_fetched(struct group_history *g, uint32_t partition, int64_t floor, int64_t offset);

void group_history_processed(struct group_history *g, uint32_t partition, int64_t from, int64_t end);
/* The group has committed up to `end`. */
void group_history_finish(struct group_history *g, uint32_t partition, int64_t end);

#endif
