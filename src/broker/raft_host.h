// SPDX-License-Identifier: Apache-2.0
/* raft_host.h: carries out what the members of consensus groups on this node want done (raft.h, CONTRACT).
 *
 *   message, proposal, timer, durable write ──> raft_step ──> one store_write ──> messages that waited for it
 *                                                   │──> messages that need not wait ──> send
 *                                                   └──> committed entries ──> machine->apply ──> APPLIED
 *
 * A replica is this node's member of one group. What one turn of the loop brings to a group (proposals,
 * durable writes, committed entries) is gathered and worked off at the end of the turn: one step, one write,
 * one message a peer, however many clients there were. A write is submitted and never waited for; the
 * leader's own disk is just another follower.
 *
 * MACHINE. What the log means is told by a table of functions. `apply` gets committed entries in order, and
 * may put keys into a write: these and the applied position then become durable together, behind the entries
 * they come from (the store keeps order). A machine that puts nothing gets its entries again after a restart.
 * Its keys are the kinds named in snapshot_kinds under the group's prefix; a snapshot is a scan of these
 * (settled decision 8), sent in pieces of whole records. Its name is made from where it ends and from its
 * bytes, so that a transfer goes on where it stopped: after a cut, a restart of either side, or under another
 * leader that has the very same. The receiver stores pieces as they come; one write replaces the log and
 * marks the snapshot complete, and then its keys are put in place piece by piece, while nothing is applied.
 * No function of a machine may call back into its replica but to look; use io_defer for that.
 *
 * Messages go out through host.send as encoded chains, and come in through raft_host_deliver: the host knows
 * no sockets. Payloads are shared with the receive buffer they came in. All beats of a node fall on the same
 * instants (raft.h, D5), so peer_link packs them into one frame. Each replica has one timer in io's heap,
 * moved only when its deadline comes earlier, or fires.
 *
 * Source  raft.h; group commit and host shape: etcd-io/raft's async storage writes.
 * Owner   the host owns replicas (raft_replica_close frees); a machine is borrowed until then.
 * Errors  a write that fails ends the replica (machine->failed): IO and CORRUPT for good; after NO_SPACE, and
 *         when a machine could not read its state, it is loaded anew from what the store has, as after a
 * crash, and that is tried every RAFT_REOPEN_NS. A message that does not decode, or is for no group here, is
 *         dropped and counted.
 * Loop    shard thread only.
 * Bounds  struct raft_options; snapshot_bytes_max of a snapshot being received, on disk; one piece of it in
 *         memory (all of it when a crash came while its keys were put in place).
 * I1  a message leaves only when its write is durable (asserted in the one place where messages leave).
 * I2  entries are applied in order, each position once between two loads.
 * I3  writes of a group are durable in their order. */
#ifndef SENTINEL_BROKER_RAFT_HOST_H
#define SENTINEL_BROKER_RAFT_HOST_H

#include "base/chain.h"
#include "base/list.h"
#include "broker/raft_store.h"
#include "io/io.h"
#include "raft/raft.h"

#define RAFT_REOPEN_NS (NS_PER_S)

struct raft_host;
struct raft_replica;

/* For the simulator and for tests, which hold every step against what must be true: it looks and changes
 * nothing, but that it may lose a message, as a network does. Any of them may be NULL. */
struct raft_host_watch {
    /* After each load; `start` is what the store gave. */
    void (*started)(void *ctx, const struct raft *raft, const struct raft_start *start);
    void (*before)(void *ctx, const struct raft *raft, const struct raft_event *event);
    /* Before the effects are carried out. */
    void (*after)(void *ctx, const struct raft *raft, const struct raft_event *event,
                  const struct raft_effects *effects, enum status status);
    /* The store says so; the core hears of it at the end of the turn. */
    void (*durable)(void *ctx, const struct raft *raft, uint64_t write);
    /* What it waited for is durable; false: it is lost. */
    bool (*leaving)(void *ctx, const struct raft *raft, const struct raft_message *message);
    void (*left)(void *ctx, const struct raft *raft);    /* gives its copy away: raft_replica_leave */
    void (*stopped)(void *ctx, const struct raft *raft); /* about to be released, also after a crash */
};

struct raft_host_options {
    struct io *io;
    struct store *store;
    struct log *log;
    struct raft_options raft;    /* the id among them is this node's and its disk's */
    uint64_t seed;               /* another at each start */
    uint64_t snapshot_bytes_max; /* of one being received; 0: default */
    size_t snapshot_piece_bytes; /* 0: default */
    uint64_t bulk_rate;          /* raft_bulk.h; bytes a second, 0: none given */
    bool copies_are_read;        /* also of groups that others lead: the page cache shall keep them */
    /* Takes all of `message`; may drop it. Never calls back. */
    void (*send)(void *ctx, uint32_t node, struct chain *message);
    void *ctx;
    const struct raft_host_watch *watch; /* NULL: nobody looks */
    void *watch_ctx;
};
struct raft_host *raft_host_new(const struct raft_host_options *options);
/* Every replica must be closed. */
void raft_host_free(struct raft_host *host);
/* One encoded message from another node; what is kept of it is referenced. */
void raft_host_deliver(struct raft_host *host, struct shared_slice message);
/* What the failure detector says: wakes sleeping groups, and lets elections begin early. Where there are
 * hundreds of groups, some hear of it now and others in later turns; the last word counts. */
void raft_host_node_down(struct raft_host *host, uint32_t node);
void raft_host_node_up(struct raft_host *host, uint32_t node);
/* How fast followers that lag are sent what they miss, from now on. */
void raft_host_set_bulk_rate(struct raft_host *host, uint64_t bytes_per_s);
/* NULL: no such group here. */
struct raft_replica *raft_host_find(struct raft_host *host, uint64_t group);
/* In the order they were opened; `visit` must not open or close any. */
void raft_host_visit(struct raft_host *host, void (*visit)(void *ctx, struct raft_replica *replica),
                     void *ctx);

struct raft_host_stats {
    uint64_t replicas, leaders, awake; /* awake: take part and have not agreed to sleep (raft.h, D8) */
    uint64_t elections;                /* won here */
    uint64_t steps, messages_sent, messages_received, messages_dropped;
    uint64_t snapshot_bytes_received; /* of pieces that were stored */
    uint64_t bulk_bytes_read;         /* for followers that lag */
    uint64_t bulk_rate;               /* as it is now */
};
/* Looks at every replica. */
void raft_host_stats(const struct raft_host *host, struct raft_host_stats *stats);

/* ---- machines ----------------------------------------------------------------------------------------- */

struct raft_machine {
    /* Committed entries of all kinds, in order. `write` is empty; what is put there is durable together with
     * the applied position. */
    void (*apply)(void *ctx, const struct raft_entry *entries, uint32_t count, struct store_write *write);
    /* The following may be NULL. Entries are in the log now, not yet committed: also those of other leaders.
     */
    void (*appended)(void *ctx, const struct raft_entry *entries, uint32_t count);
    /* Entries at and above `from` are out of the log again; none of them was applied. */
    void (*truncated)(void *ctx, uint64_t from);
    /* The machine's keys are about to be replaced by a snapshot's: to be left alone until `installed`, which
     * comes later or never; nothing is applied meanwhile. */
    void (*installing)(void *ctx);
    /* A snapshot that ends at `end` replaced the machine's keys and the log: load the state anew. It may
     * block. What is not OK ends the replica until it is opened anew. */
    enum status (*installed)(void *ctx, uint64_t end);
    /* Role, term, leader or configuration differ. */
    void (*changed)(void *ctx);
    /* No more from this replica: a write failed, or what is stored cannot be read. Perhaps until `reopened`.
     */
    void (*failed)(void *ctx, enum status status);
    /* Loaded anew: forget what was in memory, load the state. What is not OK is tried again. */
    enum status (*reopened)(void *ctx);
    unsigned snapshot_kinds; /* bits 1 << enum key_kind: the machine's keys */
    /* A key, without its group, that tells of this member's copy alone: a snapshot's is not taken. */
    bool (*is_local)(struct slice key);
    /* Entries of the log are about to be written anew, as another member has them: what `write` gets goes
     * with them. */
    void (*repairing)(void *ctx, struct store_write *write);
    /* The log itself is the data (partitions): a snapshot ends where the log begins, and is sent only to
     * members that lack what is gone. Else it ends at the applied position. */
    bool snapshot_at_start;
};

/* ---- a replica ---------------------------------------------------------------------------------------- */

struct raft_replica_options {
    uint64_t group;
    enum raft_format format;
    const struct raft_machine *machine;
    void *ctx;
    /* For a group that is new: its first members, the same on all; NULL on a node that joins later. Not
     * looked at when the store has the group. */
    const struct raft_config *founding;
    uint8_t priority;        /* raft_start.priority */
    uint64_t campaign_in_ns; /* raft_start.campaign_in_ns */
    bool urgent; /* members that lag get what they miss without waiting for a turn (raft_bulk.h) */
};
/* Loads the group, blocking; the first committed entries are applied later, from the loop. The machine's keys
 * are read after that: a crash may have left a snapshot that is put in place here. CORRUPT with the
 * diagnostic, or IO. */
enum status raft_replica_open(struct raft_host *host, const struct raft_replica_options *options,
                              struct raft_replica **replica, struct diagnostic *diagnostic) MUST_USE;
/* At once; nothing of it is called any more. What was submitted still gets durable. `drop` deletes all that
 * the store has under the group. */
void raft_replica_close(struct raft_replica *replica, bool drop);
/* The same on a node that gives its copy to others and may get it again under the same id: what it voted
 * stays, and how far its log was. Until its log is that far again it votes for nobody: else, with an empty
 * log, it could help a member that was away to lead without what was committed with its word. */
void raft_replica_leave(struct raft_replica *replica);

/* One proposal, embedded in its owner. */
struct raft_propose {
    struct shared_slice payload; /* referenced from the call on; in a group of batches its header is completed
                                    in place, so it must not be shared yet */
    uint32_t count;              /* offsets covered */
    /* At the end of the turn. OK: it is in the log at [base, base + count) of `term`, and applied when it is
     * committed; it may be truncated. Else it was refused: NOT_LEADER, BUSY, UNAVAILABLE, or why the replica
     * failed. */
    void (*done)(struct raft_propose *propose);
    enum status status;
    uint64_t base, term;
    /* the replica's own */
    struct list link;
};
void raft_replica_propose(struct raft_replica *replica, struct raft_propose *propose);
/* Not called after this. */
void raft_propose_cancel(struct raft_propose *propose);

/* A read that must see everything acknowledged before it was asked: `done` comes with OK when it is applied
 * here, NOT_LEADER or UNAVAILABLE when this cannot be told now. */
struct raft_read_index {
    void (*done)(struct raft_read_index *read);
    enum status status;
    /* the replica's own */
    struct list link;
    uint64_t context, position;
    bool answered;
};
void raft_replica_read_index(struct raft_replica *replica, struct raft_read_index *read);
void raft_read_index_cancel(struct raft_read_index *read);

/* RAFT_NO_ID: to the one best placed. */
enum status raft_replica_transfer(struct raft_replica *replica, uint64_t to) MUST_USE;
enum status raft_replica_change(struct raft_replica *replica, const struct raft_member *members,
                                uint32_t count) MUST_USE;
void raft_replica_set_priority(struct raft_replica *replica, uint8_t priority);
/* Of two voters the other one is lost for good, says `lost`: this member has all that was ever committed, because nothing
 * was without it, and nobody can lead or change the members without its vote. It becomes the only voter: the replica fails
 * with UNAVAILABLE, and is opened anew when that is stored. False: it is not so, or not known for sure yet (somebody may
 * lead, the log is not whole). */
bool raft_replica_go_on_alone(struct raft_replica *replica, bool (*lost)(void *ctx, uint64_t id), void *ctx);
/* Entries below `position`, applied, are not needed any more (their effect is in the machine's keys, or
 * retention took them). Positions inside of an entry are taken for its beginning. */
void raft_replica_compact(struct raft_replica *replica, uint64_t position);
/* Writes how far is committed, so that a restart knows (D2); for a clean shutdown. */
void raft_replica_save(struct raft_replica *replica);

/* ---- looking at it ------------------------------------------------------------------------------------- */

const struct raft *raft_replica_raft(const struct raft_replica *replica);
uint64_t raft_replica_group(const struct raft_replica *replica);
uint64_t raft_replica_applied(const struct raft_replica *replica);
bool raft_replica_is_leader(const struct raft_replica *replica);
/* The leader has everything that any leader before it may have acknowledged: it may tell the high watermark.
 */
bool raft_replica_is_settled(const struct raft_replica *replica);
uint32_t raft_replica_leader(const struct raft_replica *replica); /* node; 0: unknown */
/* OK, or why it takes part no more. */
enum status raft_replica_health(const struct raft_replica *replica);
void *raft_replica_ctx(const struct raft_replica *replica);

#endif
