// SPDX-License-Identifier: Apache-2.0
/* adopt.h: the directory of a broker that ran alone becomes that of a cluster's first member.
 *
 *   started with --peers ─> one write: identity, and what consensus keeps of every group ─> durable ─>
 * formed, as a cluster of one that others join (members.c); its records stay where they are
 *
 * The batches of a partition are entries already; what is added says where its log begins and ends, that all
 * of it is committed, and that this node is the only member. Commands of the metadata and changes of the
 * coordinators are in their keys, so their logs begin empty, behind them.
 *
 * Errors  CORRUPT, IO: nothing is changed, and the broker does not start.  Loop: shard thread only; blocks,
 * at start: two seeks for each partition. */
#ifndef SENTINEL_BROKER_ADOPT_H
#define SENTINEL_BROKER_ADOPT_H

#include "broker/cluster.h"

/* Fills `write` from the metadata, which was loaded: all but the identity. */
enum status adopt_groups(struct cluster *cluster, struct store_write *write,
                         struct diagnostic *diagnostic) MUST_USE;

#endif
