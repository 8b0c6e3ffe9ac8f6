// SPDX-License-Identifier: Apache-2.0
/* moves.h: the moves of partitions from node to node, as far as they are more than members (members.c).
 *
 *   target set ──> members are it (members.c) ──> MOVED ──> those left behind delete their copy ──> DROPPED
 *
 * MOVED is said by the leader, when its group's members are the target, that is committed, and a read that
 * began after it knew the target showed that it still leads: a leader that was deposed could else speak of
 * members that its successor has changed since. DROPPED is said by a node that was told to close its
 * replica, when both the deletion and that it was told are on its disk: before that a crash could bring the
 * copy back, and with it a replica that is placed here again and whose acknowledgements count.
 *
 * DRAINING. The leader of the controller gives the partitions of draining nodes other nodes, a few at once,
 * one after another in a circle: those for which there is no room keep nobody waiting.
 *
 * Owner   the cluster.  Loop: shard thread only.  Bounds: MOVES_TOLD_MAX, MOVES_DRAINING_MAX. */
#ifndef SENTINEL_BROKER_MOVES_H
#define SENTINEL_BROKER_MOVES_H

#include "broker/cluster.h"

#define MOVES_TOLD_MAX     64 /* commands of this node under way */
#define MOVES_DRAINING_MAX 64 /* partitions moved at one time because a node is drained */

struct moves;
struct moves *moves_new(struct cluster *cluster);
/* After the controller is closed. */
void moves_free(struct moves *moves);
/* Now and then. */
void moves_tick(struct moves *moves);
bool moves_idle(const struct moves *moves);

#endif
