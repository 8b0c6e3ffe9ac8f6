// SPDX-License-Identifier: Apache-2.0
/* state_log.h: the log and the stored keys of one internal group whose state machine lives in memory.
 *
 *   propose(change) ─> one store write: log entry + the keys it puts and removes + applied index ─> committed
 *
 * Many changes are under way at once and are committed in order. When one fails, the machine in memory is
 * ahead of what is stored: it is told (`lost`), and told again (`load`, `ready`) once everything under way is
 * over, from what the store has then.
 *
 * In a cluster the log is a group of replicas: every member stores the keys, only the leader's machine is
 * loaded, once everything that leaders before it committed is applied here; and lost when it does not lead
 * any more. What it proposed then may be committed all the same, and is in the keys that the next one loads.
 *
 * Source  machine/state_change.h for the idea; docs/formats.md for the bytes.
 * Owner   the coordinator; a change is copied. Hooks are never called from inside open or propose.
 * Errors  of a write: `lost` with its status. Loading that fails: `lost` with CORRUPT or IO, tried again
 *         STATE_LOG_RETRY_NS later, unless another member has taken over, which is asked to.
 * Loop    shard thread only. Bounds: the log keeps the last STATE_LOG_KEPT entries.
 * I1  committed <= proposed.   I2  load is only called while nothing is under way. */
#ifndef SENTINEL_BROKER_STATE_LOG_H
#define SENTINEL_BROKER_STATE_LOG_H

#include "broker/broker_state.h"
#include "machine/state_change.h"

#define STATE_LOG_KEPT     1024
#define STATE_LOG_RETRY_NS (NS_PER_S)

struct state_log_hooks {
    /* The machine is empty before the first key. */
    enum status (*load)(void *ctx, struct slice key, struct slice value);
    enum status (*ready)(void *ctx);          /* after the last key; not OK: what was loaded makes no sense */
    void (*committed)(void *ctx);             /* state_log_committed moved */
    void (*lost)(void *ctx, enum status why); /* forget everything in memory */
};
struct state_log;
/* Loads at once; blocks; at start. */
enum status state_log_open(struct broker *broker, uint64_t group, const struct state_log_hooks *hooks,
                           void *ctx, struct state_log **log) MUST_USE;
/* At shutdown, or a simulated crash: nothing is called any more. */
void state_log_close(struct state_log *log);
/* In a cluster: the members that found the group, or NULL when this node is to be added; at most once. */
struct raft_config;
enum status state_log_join(struct state_log *log, const struct raft_config *founding,
                           struct diagnostic *diagnostic) MUST_USE;
void state_log_leave(struct state_log *log);                         /* shutdown: no member any more */
void state_log_tick(struct state_log *log);                          /* now and then: shortens the log */
struct raft_replica *state_log_replica(const struct state_log *log); /* NULL: alone, or not joined */
bool state_log_is_ready(const struct state_log *log);
bool state_log_idle(const struct state_log *log);
/* Only while ready. Its index: committed when state_log_committed has reached it. */
uint64_t state_log_propose(struct state_log *log, const struct state_change *change);
uint64_t state_log_proposed(const struct state_log *log);
uint64_t state_log_committed(const struct state_log *log);

#endif
