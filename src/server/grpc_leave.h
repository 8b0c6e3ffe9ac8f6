// SPDX-License-Identifier: Apache-2.0
/* grpc_leave.h: the last heartbeat of a group's member, said again until a coordinator has heard it.
 *
 *   stream ends ─> LEAVE ─> heard ─> gone
 *                   ^          │ the coordinator just moved, loads, or cannot be reached
 *                   └─ LEAVE_PAUSE_NS, until LEAVE_PATIENCE_NS have passed
 *
 * Without it the others wait for the session of a member that is known to be gone. What is never heard is what the
 * session is for: after LEAVE_PATIENCE_NS nothing more is tried, nor for more than LEAVES_MAX at once.
 *
 * Owner   the server: a leave outlives the call. Loop: shard thread. */
#ifndef SENTINEL_SERVER_GRPC_LEAVE_H
#define SENTINEL_SERVER_GRPC_LEAVE_H

#include "base/slice.h"
#include "base/units.h"

#define LEAVE_PAUSE_NS    (200 * NS_PER_MS)
#define LEAVE_PATIENCE_NS (10 * NS_PER_S)
#define LEAVES_MAX        10000u

struct server;
/* Copies the names; an instance (data not NULL) may come back, so its partitions are kept for it. */
void grpc_leave(struct server *server, struct slice group, struct slice member_id, struct slice instance_id);
/* Before the server is freed. */
void grpc_leave_abandon(struct server *server);

#endif
