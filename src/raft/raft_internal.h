// SPDX-License-Identifier: Apache-2.0
/* raft_internal.h: what the files of the core share; nobody else includes it.
 *
 *   raft.c             the step: dispatch, the term rule, effects, what to write
 *   raft_election.c    timeouts, pre-vote, votes, leadership and its transfer
 *   raft_replication.c appends and their acknowledgement, flow control, commit
 *   raft_heartbeat.c   beats, check-quorum, sleep
 *   raft_log.c         terms, window and durability of the log
 *   raft_quorum.c      majorities of one or two configurations
 *   raft_config.c      configurations as values and bytes
 *   raft_membership.c  changing the configuration in force
 *   raft_read.c        read positions: rounds and lease
 *   raft_snapshot.c    snapshots in pieces, both ends
 *   raft_repair.c      a damaged log, both ends
 *
 * Loop    shard thread only. r->out is the effects of the running step, NULL outside of one. */
#ifndef SENTINEL_RAFT_RAFT_INTERNAL_H
#define SENTINEL_RAFT_RAFT_INTERNAL_H

#include "base/assert.h"
#include "base/mem.h"
#include "raft/raft.h"

/* ---- raft.c ------------------------------------------------------------------------------------------- */

/* A new message of this step; the caller fills the rest before the next call. It waits for the write that
 * holds our term, if that is not persisted: no message may speak of a term that a crash could take back. */
struct raft_message *raft_send(struct raft *r, enum raft_message_kind kind, uint64_t to);
/* The number of this step's write, taken when first asked for. */
uint64_t raft_write(struct raft *r);
void raft_set_term(struct raft *r, uint64_t term, uint64_t vote);
/* Adopts `term` when it is higher; drops what a leader or candidate has. */
void raft_become_follower(struct raft *r, uint64_t term, uint64_t leader);
void raft_commit_to(struct raft *r, uint64_t position);
/* Index of this member in the configuration in force, or -1; its bit for quorums, or 0. */
int raft_self(const struct raft *r);
uint64_t raft_self_bit(const struct raft *r);

/* Arrays are three fields: the elements, NAME_count and NAME_capacity. Makes room for one more element of
 * `size`; doubles, from 4. */
void *raft_grow(void *array, uint32_t count, uint32_t *capacity, size_t size);
#define RAFT_PUSH(where, array, name, ...)                                                                   \
    ((where)->array = raft_grow((where)->array, (where)->name##_count, &(where)->name##_capacity,            \
                                sizeof *(where)->array),                                                     \
     (where)->array[(where)->name##_count++] = __VA_ARGS__)
/* Queues lose elements at the front, where NAME_head is; the front is closed up when there is no room. */
void *raft_queue_grow(void *array, uint32_t *head, uint32_t count, uint32_t *capacity, size_t size);
#define RAFT_QUEUE(where, array, name, ...)                                                                  \
    ((where)->array = raft_queue_grow((where)->array, &(where)->name##_head, (where)->name##_count,          \
                                      &(where)->name##_capacity, sizeof *(where)->array),                    \
     (where)->array[(where)->name##_head + (where)->name##_count++] = __VA_ARGS__)

/* Leader: what it knows of a member that is not itself, or NULL, also when not leading. */
struct raft_progress *raft_peer(const struct raft *r, uint64_t id);
struct raft_progress *raft_next_peer(const struct raft *r, const struct raft_progress *p);
#define RAFT_FOREACH_PEER(r, p)                                                                              \
    for (struct raft_progress *p = raft_next_peer(r, NULL); p != NULL; p = raft_next_peer(r, p))
static inline uint64_t raft_peer_bit(const struct raft *r, const struct raft_progress *p) {
    return (uint64_t)1 << (p - r->progress);
}

/* ---- raft_election.c ---------------------------------------------------------------------------------- */

void raft_election_reset_timer(struct raft *r);
/* Starts or stops the timer when a step gave or took the right to campaign. */
void raft_election_update_timer(struct raft *r);
void raft_election_timer(struct raft *r);
/* Our own vote counts from when it is durable (D3). */
void raft_election_persisted(struct raft *r);
void raft_election_vote(struct raft *r, const struct raft_message *m);
void raft_election_vote_reply(struct raft *r, const struct raft_message *m);
void raft_election_prevote(struct raft *r, const struct raft_message *m);
void raft_election_prevote_reply(struct raft *r, const struct raft_message *m);
void raft_election_timeout_now(struct raft *r, const struct raft_message *m);
/* A leader was heard or is about to be chosen: no votes for a while. */
void raft_election_stay_loyal(struct raft *r);
bool raft_election_loyal(const struct raft *r);
enum status raft_election_transfer(struct raft *r, const struct raft_event *event) MUST_USE;
/* Sends TIMEOUT_NOW once the target has everything. */
void raft_election_transfer_try(struct raft *r);
/* The best placed other voter, if it has everything; or NULL. */
const struct raft_progress *raft_election_heir(const struct raft *r);
/* Steps down, asking the heir to take over at once. */
void raft_election_abdicate(struct raft *r);

/* ---- raft_replication.c ------------------------------------------------------------------------------- */

enum status raft_replication_propose(struct raft *r, const struct raft_event *event) MUST_USE;
/* Leader: appends one entry to the log; the reference in `payload` is taken over. */
void raft_replication_append(struct raft *r, enum raft_entry_kind kind, uint32_t count,
                             struct shared_slice payload);
void raft_replication_send(struct raft *r, struct raft_progress *p);
void raft_replication_send_all(struct raft *r);
/* Commits what a quorum has, and does what follows from that; then sends what may be sent. */
void raft_replication_advance(struct raft *r);
void raft_replication_probe(struct raft *r, struct raft_progress *p, uint64_t next);
void raft_replication_inflight_clear(struct raft_progress *p);
void raft_replication_on_append(struct raft *r, const struct raft_message *m);
void raft_replication_on_heartbeat(struct raft *r, const struct raft_message *m);
void raft_replication_on_ack(struct raft *r, const struct raft_message *m);
void raft_replication_entries_read(struct raft *r, const struct raft_entries_read *read);
/* What the leader told to be committed may be applied now. */
void raft_replication_note_fresh(struct raft *r);
uint8_t raft_replication_settled(const struct raft *r); /* RAFT_FLAG_SETTLED, or 0 */
/* The sender leads this term. False: it cannot, by all we know, and is refused. */
bool raft_replication_follow(struct raft *r, const struct raft_message *m);
/* Tells `to` how far our log is durable and verified. */
struct raft_message *raft_replication_ack(struct raft *r, uint64_t to);
/* Follower: tells the leader if there is more durable than it knows. */
void raft_replication_persisted(struct raft *r);

/* ---- raft_heartbeat.c --------------------------------------------------------------------------------- */

void raft_heartbeat_send(struct raft *r, struct raft_progress *p, uint8_t flags);
void raft_heartbeat_all(struct raft *r, uint8_t flags);
void raft_heartbeat_timer(struct raft *r);
/* Sets the next beat: the next multiple of the interval (D5). */
void raft_heartbeat_arm(struct raft *r);
/* There is something to do: a sleeping leader beats again at once, a follower watches its leader again. */
void raft_heartbeat_wake(struct raft *r);
void raft_heartbeat_peer_down(struct raft *r, const struct raft_event *event);
void raft_heartbeat_peer_up(struct raft *r, const struct raft_event *event);

/* ---- raft_log.c --------------------------------------------------------------------------------------- */

void raft_log_init(struct raft_log *log, const struct raft_start *start);
void raft_log_release(struct raft_log *log);
/* term(position); false when outside [start, end]. */
bool raft_log_term(const struct raft_log *log, uint64_t position, uint64_t *term);
bool raft_log_term_is(const struct raft_log *log, uint64_t position, uint64_t term);
/* How many of `entries`, from the first on, are those that our log has from `from` on, up to `to`: by Log
 * Matching an entry of the same end and term is the same. */
uint32_t raft_log_same(const struct raft_log *log, const struct raft_entry *entries, uint32_t count,
                       uint64_t from, uint64_t to);
uint64_t raft_log_last_term(const struct raft_log *log);
uint64_t raft_log_durable_end(const struct raft_log *log);
/* The entry's base is log->end; takes over the payload's reference. */
void raft_log_append(struct raft_log *log, const struct raft_entry *entry);
void raft_log_truncate(struct raft_log *log, uint64_t from);
void raft_log_compact(struct raft_log *log, uint64_t to);
/* Nothing but a snapshot that ends at `end`. Until that is durable, of the old log no more than `agreed`
 * proves anything. */
void raft_log_reset(struct raft_log *log, uint64_t agreed, uint64_t end, uint64_t term);
/* Largest position <= position whose term is <= term (etcd-io/raft: findConflictByTerm). */
uint64_t raft_log_agree(const struct raft_log *log, uint64_t position, uint64_t term);
/* Entries from the one that begins at `base` on; NULL when not in the window. */
const struct raft_entry *raft_log_window(const struct raft_log *log, uint64_t base, uint32_t *count);
/* Payload bytes of the entries in the window that end in (from, to]. */
size_t raft_log_bytes(const struct raft_log *log, uint64_t from, uint64_t to);
/* Drops durable entries that end at or below `floor`; more, while the window is above bytes_max, up to
 * hard_floor. */
void raft_log_trim(struct raft_log *log, uint64_t floor, uint64_t hard_floor, size_t bytes_max);
void raft_log_writing(struct raft_log *log, uint64_t write);
void raft_log_persisted(struct raft_log *log, uint64_t write);
void raft_log_damage(struct raft_log *log, uint64_t from, uint64_t to);
void raft_log_repaired(struct raft_log *log, uint64_t to);
static inline bool raft_log_damaged(const struct raft_log *log) {
    return log->damaged_from < log->damaged_to;
}

/* ---- raft_quorum.c ------------------------------------------------------------------------------------ */

/* Members given as bits of their index: a majority of the voters, and of the outgoing ones when joint [4.3].
 */
bool raft_quorum_has(const struct raft_config *config, uint64_t mask);
/* So many are in `mask` that the others are no quorum. */
bool raft_quorum_lost(const struct raft_config *config, uint64_t mask);
/* Leader: the highest value that a quorum has reached in this field of struct raft_progress; 0 without
 * voters.
 */
uint64_t raft_quorum_value(const struct raft *r, size_t field);

/* ---- raft_config.c ------------------------------------------------------------------------------------ */

struct raft_config *raft_config_copy(const struct raft_config *config);
bool raft_config_voter(const struct raft_config *config, uint64_t id); /* in either half of a joint one */
/* From `members` in any order; INVALID: no voter, an id or a node twice, bad flags, too many. */
enum status raft_config_build(const struct raft_member *members, uint32_t count,
                              struct raft_config **config) MUST_USE;
bool raft_config_equal(const struct raft_config *a, const struct raft_config *b);
/* Old voters and new members together; NULL: too many. */
struct raft_config *raft_config_join(const struct raft_config *from, const struct raft_config *to);
/* It does more than move learners. */
bool raft_config_changes_voters(const struct raft_config *joint);
struct raft_config *raft_config_leave(const struct raft_config *joint);

/* ---- raft_membership.c -------------------------------------------------------------------------------- */

enum status raft_membership_change(struct raft *r, const struct raft_event *event) MUST_USE;
/* Leader: takes the next step of a change or out of a joint configuration, if the last one is committed. */
void raft_membership_advance(struct raft *r);
/* `config` is in force from the entry that ends at `position` on; taken over. */
void raft_membership_adopt(struct raft *r, uint64_t position, struct raft_config *config);
void raft_membership_truncated(struct raft *r, uint64_t from);
/* The log is only a snapshot now; `config` is taken over. */
void raft_membership_reset(struct raft *r, uint64_t position, struct raft_config *config);
/* Leader: one progress a member; those who stay keep theirs. `old` is what r->progress was parallel to. */
void raft_membership_track(struct raft *r, const struct raft_config *old);
void raft_membership_untrack(struct raft *r);

/* ---- raft_read.c -------------------------------------------------------------------------------------- */

enum status raft_read_request(struct raft *r, const struct raft_event *event) MUST_USE;
void raft_read_on_request(struct raft *r, const struct raft_message *m);
void raft_read_on_reply(struct raft *r, const struct raft_message *m);
/* Leader: confirms rounds, begins the next, answers what is confirmed. */
void raft_read_advance(struct raft *r);

/* ---- raft_snapshot.c ---------------------------------------------------------------------------------- */

void raft_snapshot_begin(struct raft *r, struct raft_progress *p);
void raft_snapshot_ask(struct raft *r, struct raft_progress *p);
void raft_snapshot_read(struct raft *r, const struct raft_event *event);
void raft_snapshot_on_ack(struct raft *r, const struct raft_message *m);
void raft_snapshot_on_piece(struct raft *r, const struct raft_message *m);
void raft_snapshot_written(struct raft *r, const struct raft_event *event);
/* Commits may have made a snapshot needless that is received in part. */
void raft_snapshot_overtaken(struct raft *r);
void raft_snapshot_release(struct raft *r);

/* ---- raft_repair.c ------------------------------------------------------------------------------------ */

void raft_repair_damaged(struct raft *r, const struct raft_event *event);
void raft_repair_timer(struct raft *r);
void raft_repair_persisted(struct raft *r);
void raft_repair_on_request(struct raft *r, const struct raft_message *m);
void raft_repair_entries_read(struct raft *r, const struct raft_entries_read *read);
void raft_repair_on_reply(struct raft *r, const struct raft_message *m);

#endif
