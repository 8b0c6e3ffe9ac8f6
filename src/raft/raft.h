// SPDX-License-Identifier: Apache-2.0
/* raft.h: consensus on one log, as a pure function: an event goes in, effects come out.
 *
 *   event (now + one cause) ──> raft_step ──> effects: write this, then send these, apply up to here, call
 *                                             again at the deadline
 *
 * A group is a set of members that keep the same log. Nothing here reads a clock, a file or a socket: the
 * event carries the time, chance comes from a seeded generator inside, and everything to be done is data for
 * the host. The same events give the same effects, so a failure replays from its seed.
 *
 * Source  Ongaro, "Consensus: Bridging Theory and Practice" (2014), cited below as [section]; Ongaro and
 *         Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014), cited as Figure n. The
 *         step/effects shape: cowsql/raft; messages that wait for a write, and range conflict hints:
 *         etcd-io/raft. Where we depart from the dissertation, D1..D10 below give the reason.
 *
 * POSITIONS. An entry is one record batch and covers a range of offsets [base, end). All positions are ends:
 * the log ends at log_end (Kafka's log end offset), everything below commit_end (the high watermark) is
 * committed, a follower matches up to match. Position 0 is the empty log. Every position exchanged lies
 * between two entries, because entries are appended whole. term(p) is the term of the entry that ends at p.
 *
 * WRITES. All that one step wants durable is one write with a number, counted from 1 for the life of the
 * struct. The host starts writes in order, makes each durable atomically, and reports RAFT_EVENT_PERSISTED up
 * to a number. A message with after_write n may leave only when n is persisted. So "persist before send" is a
 * field, not a comment; and an entry written, cut off and written again cannot be mistaken for durable by
 * (index, term), as it can be where completions carry these (etcd-io/raft:
 * async_storage_writes_append_aba_race.txt), because numbers never repeat.
 *
 * IDENTITY. A member is a node together with the incarnation of its disk: id = node << 32 | incarnation. A
 * node whose disk was lost comes back with another incarnation, hence as another id, which no configuration
 * names: it has no weight until it is admitted as a learner and catches up. It can neither vote twice nor
 * acknowledge what it lost.
 *
 * CONTRACT. After each step the host carries out the effects in the order of struct raft_effects:
 *   1 write: truncation, entries, hard state, snapshot installation; one atomic write, never waited for here
 *   2 messages with after_write <= persisted leave now, the others when it is (any order; the network may
 *     lose, repeat and reorder them)
 *   3 committed entries are applied in order, once
 *   4 reads, snapshot pieces and answers are started or handed out
 *   5 the timer is set to `deadline`; coming early is harmless, so a host may keep an earlier timer
 * What effects point to is borrowed until the next raft_step with the same effects or on the same group; a
 * host that keeps a message or an entry longer takes references. A write that fails is final: the host stops
 * the group. Every read that is asked for is answered. Applied state must not become durable before the
 * entries it comes from (one store with ordered writes does it). Whatever removes entries from inside of the
 * log (compaction by key) must leave each remaining position its term, or stay below log_start.
 *
 * Owner   the host embeds struct raft; raft_release frees what it holds. Options outlive all groups that
 *         share them.
 * Units   positions as above; times in nanoseconds of one monotonic clock; sizes in bytes.
 * Errors  raft_step answers requests (propose, read, transfer, change) with OK, NOT_LEADER, BUSY (a bound was
 *         reached), UNAVAILABLE (being transferred; no leader known), INVALID or EXISTS. Other events give
 *         OK. Messages are outside data: one that contradicts us is refused and counted in `refused`, never
 *         asserted.
 * Loop    shard thread only.
 * Bounds  struct raft_options. An idle follower holds less than a KiB and the term history (16 bytes for each
 *         leadership that wrote into the retained log); only a leader has per-peer state.
 *
 * Invariants (raft_check asserts them)
 *   I1  log_start <= commit_end <= log_end, applied_end <= commit_end, and durable_end <= log_end
 *   I2  terms in the log never decrease and never exceed the current term
 *   I3  the window is a contiguous suffix of the log, or empty; it holds every entry that is not yet durable
 *   I4  commit_end <= verified_end on a follower: what this leader has shown to be its own log
 *   I5  leader: progress has one record a member; match <= next <= log_end; own match = durable_end
 *   I6  leader: its log is never truncated; everything above term_start has the current term
 *   I7  a leader commits p only when p > term_start and a quorum (two in a joint configuration) has p durable
 *   I8  the latest configuration in the log is in force; the one before it is committed; no third is needed,
 *       because a leader appends a configuration only when the one before is committed
 *   I9  a vote is cast at most once a term, and written before the answer leaves
 *   I10 messages in flight, bytes in flight, uncommitted bytes, pending reads and the window have bounds
 *   I11 damage.from <= damage.to <= log_end; as long as any of the damage is not known to be committed, the
 *       member neither campaigns nor leads, and durable_end <= damage.from
 *
 * Departures from the dissertation
 *   D1  Indexes are positions between entries, entries are ranges: an offset is an index, without
 *       translation.
 *   D2  A new leader appends a no-op only if its log may have an uncommitted suffix (commit_end < log_end),
 *       or before its first configuration change. If commit_end = log_end, all that can be committed is, by
 *       Leader Completeness: no no-op is needed to know the commit index [6.4], and offsets stay dense. What
 *       the disk of an only voter has is committed, so it never needs one: raft_init takes commit_end there.
 *   D3  The leader's own disk is one more follower: it counts itself only up to durable_end [10.2.1]. A
 *       candidate counts its own vote when it is durable.
 *   D4  Success is acknowledged when durable, cumulatively, by the state of the follower at that time:
 *       min(durable_end, verified_end). One sync acknowledges many appends, and nothing is acknowledged in
 *       another term's name.
 *   D5  Heartbeats are messages of their own without log positions, so that a host can pack thousands into
 *       one packet; beats fall on multiples of the interval, so that all groups of a node beat together. They
 *       and appends get the same acknowledgement, which also heals lost ones.
 *   D6  Pre-vote [9.6] and check-quorum [6.2] are always on; together they also need a leader to step down
 *       for an answer with a higher term, else a returning server at a higher term could never be reached.
 *   D7  Membership changes always go through a joint configuration [4.3] when they touch voters, and leave it
 *       by themselves; configurations in the log are complete, not differences. The single-server change
 *       [4.1] saves little and had the bug.
 *   D8  An idle group sleeps: leader and followers agree that all is said, and stop their timers; the host's
 *       node-level failure detector wakes them (RAFT_EVENT_PEER_DOWN, RAFT_EVENT_PEER_UP). It must tell of a
 *       peer that was restarted too, even if it never noticed that it was gone: it may have been the leader.
 *       For ten election timeouts after that nobody falls asleep by a message of that leader, which may be a
 *       late one of its earlier life. Who has just been elected is told who is down, and sleeps without them:
 *       at its first beat when all have answered, if there was nothing to commit and nobody asks for anything.
 *   D9  A follower that finds damage in its log keeps the log's extent (so that its vote still protects what
 *       it acknowledged) and fetches the damaged entries from any member, identified by (end, term)
 *       (Alagappan et al., "Protocol-Aware Recovery", 2018). Above damage that is not known to be committed
 *       it acknowledges nothing, and it does not campaign. Damage among committed entries is safe with
 *       others: it leads only if nobody better placed does. What all others have compacted cannot be fetched:
 *       the host compacts too.
 *   D10 Campaigns in a row that find no leader double the interval that timeouts are drawn from, up to 16
 *       times: where thousands of groups elect at once, messages and disks are slower than a fixed timeout.
 */
#ifndef SENTINEL_RAFT_RAFT_H
#define SENTINEL_RAFT_RAFT_H

#include "base/buffer.h"
#include "base/prng.h"
#include "base/status.h"
#include "base/units.h"

#define RAFT_MEMBERS_MAX 64 /* voters, learners and, in a joint configuration, outgoing voters together */
#define RAFT_NEVER       UINT64_MAX
#define RAFT_NO_ID       ((uint64_t)0)

static inline uint64_t raft_id(uint32_t node, uint32_t incarnation) {
    return (uint64_t)node << 32 | incarnation;
}
static inline uint32_t raft_id_node(uint64_t id) {
    return (uint32_t)(id >> 32);
}

/* ---- what the log is made of -------------------------------------------------------------------------- */

enum raft_entry_kind {
    RAFT_ENTRY_DATA,  /* a record batch; opaque */
    RAFT_ENTRY_NOOP,  /* empty payload, one offset */
    RAFT_ENTRY_CONFIG /* payload: raft_config_encode, one offset */
};
struct raft_entry {
    uint64_t base, end; /* covers [base, end), never empty */
    uint64_t term;
    enum raft_entry_kind kind;
    struct shared_slice payload;
};

/* Who is in the group. A member has one role in the new configuration (VOTER or LEARNER), and in a joint one
 * perhaps VOTER_OLD as well: an outgoing voter that stays as a learner has VOTER_OLD | LEARNER, one that
 * leaves VOTER_OLD alone. Joint means that somebody has VOTER_OLD. */
enum raft_member_flags { RAFT_VOTER = 1, RAFT_VOTER_OLD = 2, RAFT_LEARNER = 4 };
struct raft_member {
    uint64_t id;
    uint8_t flags;
};
struct raft_config {
    uint32_t member_count;
    struct raft_member members[]; /* ascending ids, each once */
};

/* Index of `id` among the members, or -1. */
int raft_config_find(const struct raft_config *config, uint64_t id);
bool raft_config_joint(const struct raft_config *config);
static inline size_t raft_config_size(uint32_t member_count) {
    return sizeof(struct raft_config) + member_count * sizeof(struct raft_member);
}
/* Bytes of a configuration entry; version, count, then id and flags of each. Decoding checks everything:
 * MALFORMED, VERSION, or OK with a configuration that mem_free frees. */
struct buffer *raft_config_encode(const struct raft_config *config);
enum status raft_config_decode(struct slice bytes, struct raft_config **config) MUST_USE;

/* What must survive a restart besides the log. commit_end is a hint, written with term and vote and by the
 * host at leisure (a clean shutdown should): the closer it is to the log's end, the rarer are no-ops (D2). */
struct raft_hard_state {
    uint64_t term;
    uint64_t vote; /* whom this member voted for in `term`, or RAFT_NO_ID */
    uint64_t commit_end;
};

/* The log's terms as ranges: positions above `start`, up to the next range's start, have `term`. */
struct raft_term_start {
    uint64_t term, start;
};

/* Everything below `end` as state: what a follower gets when the entries it lacks are gone. */
struct raft_snapshot {
    uint64_t id; /* names these very bytes: pieces of equal id fit together, whoever sends them */
    uint64_t end, term;
    const struct raft_config *config; /* in force at `end` [5.2]: raft_config_at */
};

/* ---- messages between members ------------------------------------------------------------------------- */

enum raft_message_kind {
    RAFT_PREVOTE = 1,      /* would you vote for me in term + 1? [9.6] */
    RAFT_PREVOTE_REPLY,    /* */
    RAFT_VOTE,             /* RequestVote, Figure 2 */
    RAFT_VOTE_REPLY,       /* */
    RAFT_APPEND,           /* AppendEntries, Figure 2 */
    RAFT_HEARTBEAT,        /* I lead: no log positions but commit (D5) */
    RAFT_ACK,              /* answers both (D4), or refuses an append with a hint where to try */
    RAFT_SNAPSHOT_PIECE,   /* InstallSnapshot, Figure 13, resumable */
    RAFT_SNAPSHOT_ACK,     /* */
    RAFT_TIMEOUT_NOW,      /* campaign at once: leadership transfer [3.10] */
    RAFT_READ_REQUEST,     /* a follower asks for a read position [6.4] */
    RAFT_READ_REPLY,       /* */
    RAFT_REPAIR_REQUEST,   /* my copy of [from, to) is damaged (D9) */
    RAFT_REPAIR_REPLY,     /* */
    RAFT_MESSAGE_KIND_END, /* one past the last */
};
enum raft_message_flags {
    RAFT_FLAG_GRANTED = 1,  /* PREVOTE_REPLY, VOTE_REPLY */
    RAFT_FLAG_TRANSFER = 2, /* VOTE: the leader wants this election, ignore that it was heard lately */
    RAFT_FLAG_REJECTED = 4, /* ACK of an append whose prev does not match */
    RAFT_FLAG_SLEEP = 8,    /* HEARTBEAT: all is said, stop your timer; ACK: done (D8) */
    RAFT_FLAG_SILENT = 16,  /* HEARTBEAT: only tells the commit end, wants no answer */
    RAFT_FLAG_LAST = 32,    /* SNAPSHOT_PIECE: no bytes follow */
    RAFT_FLAG_SETTLED = 64  /* APPEND, HEARTBEAT: the leader knows all that was committed before its term */
};

struct raft_message {
    enum raft_message_kind kind;
    uint8_t flags;
    uint64_t group;
    uint64_t from, to;    /* ids */
    uint64_t term;        /* the sender's current term */
    uint64_t after_write; /* may leave when this write is persisted; 0: now. Not sent. */
    union {
        struct { /* PREVOTE, VOTE */
            uint64_t log_end, last_term;
        } vote;
        struct { /* PREVOTE_REPLY: the term the vote would be for */
            uint64_t term;
        } prevote_reply;
        struct {                      /* APPEND, HEARTBEAT (without prev, prev_term, entries) */
            uint64_t prev, prev_term; /* entries begin at prev; prev_term = term(prev) */
            uint64_t commit_end;
            uint64_t round;   /* leader's latest read round, returned in the ACK */
            uint64_t sent_ns; /* leader's clock, returned in the ACK: the lease starts here */
        } append;
        struct {               /* ACK */
            uint64_t match;    /* durable here, and in the leader's log */
            uint64_t accepted; /* received and in the leader's log, durable or not */
            uint64_t round, sent_ns;
            uint64_t prev;            /* REJECTED: of the append refused, */
            uint64_t hint, hint_term; /* and the last position that may agree, with its term */
        } ack;
        struct { /* SNAPSHOT_PIECE: the bytes at `offset` are `data` below */
            struct raft_snapshot snapshot;
            uint64_t offset;
        } piece;
        struct { /* SNAPSHOT_ACK: `offset`: bytes held so far, send from there */
            uint64_t id, offset;
        } piece_ack;
        struct { /* READ_REQUEST, READ_REPLY; life: the asker's since it was started */
            uint64_t context, life, position;
        } read;
        struct { /* REPAIR_REQUEST, REPAIR_REPLY */
            uint64_t from, to;
        } repair;
    };
    const struct raft_entry *entries; /* APPEND, REPAIR_REPLY: contiguous; borrowed */
    uint32_t entry_count;
    struct shared_slice data; /* SNAPSHOT_PIECE; borrowed */
};

const char *raft_message_kind_name(enum raft_message_kind kind); /* "Append" */

/* ---- events ------------------------------------------------------------------------------------------- */

enum raft_event_kind {
    RAFT_EVENT_TIMER,   /* the deadline was reached (or not yet: harmless) */
    RAFT_EVENT_RECEIVE, /* a message for this member */
    RAFT_EVENT_PROPOSE, /* append these payloads as entries of the leader; answers with effects.proposed_base
                         */
    RAFT_EVENT_PERSISTED,    /* every write up to this number is durable */
    RAFT_EVENT_APPLIED,      /* the state machine has everything below this position */
    RAFT_EVENT_ENTRIES_READ, /* answer to effects.entry_reads */
    RAFT_EVENT_READ_INDEX,   /* linearizable read: answered by effects.reads with the position to apply first
                                [6.4] */
    RAFT_EVENT_TRANSFER,     /* hand leadership to this member, RAFT_NO_ID: to the one best placed [3.10] */
    RAFT_EVENT_CHANGE_MEMBERS, /* make this the configuration (VOTER and LEARNER flags only) [4.3] */
    RAFT_EVENT_COMPACTED,      /* entries below, applied and durable, are in a durable snapshot too and may go
                                  [5.1] */
    RAFT_EVENT_SNAPSHOT_READ,  /* answer to effects.snapshot_reads */
    RAFT_EVENT_SNAPSHOT_WRITTEN, /* answer to effects.snapshot_write */
    RAFT_EVENT_DAMAGED,          /* entries in [from, to), whole ones, cannot be read (D9) */
    RAFT_EVENT_PEER_DOWN,        /* the host's failure detector suspects this node (D8) */
    RAFT_EVENT_PEER_UP,          /* ... or hears it again, or it has been started anew, however quickly */
    RAFT_EVENT_SET_PRIORITY      /* see raft_start.priority */
};

struct raft_proposal {
    struct shared_slice payload; /* referenced by the core when accepted */
    uint32_t count;              /* offsets covered, at least 1 */
};

struct raft_event {
    enum raft_event_kind kind;
    uint64_t now_ns;
    union {
        const struct raft_message *message; /* RECEIVE */
        struct {                            /* PROPOSE: all or none are accepted */
            const struct raft_proposal *items;
            uint32_t count;
        } propose;
        uint64_t write;        /* PERSISTED */
        uint64_t position;     /* APPLIED, COMPACTED */
        uint64_t read_context; /* READ_INDEX: the host's own number for it */
        uint64_t member;       /* TRANSFER */
        uint32_t node;         /* PEER_DOWN, PEER_UP */
        uint8_t priority;      /* SET_PRIORITY */
        struct {               /* CHANGE_MEMBERS: any order, each id and each node once */
            const struct raft_member *members;
            uint32_t count;
        } change;
        struct raft_entries_read {            /* ENTRIES_READ */
            uint64_t peer, from;              /* as asked */
            enum status status;               /* OK; NOT_FOUND: compacted meanwhile; else: could not */
            const struct raft_entry *entries; /* contiguous; borrowed */
            uint32_t count;
            bool repair; /* as asked */
        } entries_read;
        struct {                /* SNAPSHOT_READ */
            uint64_t peer;      /* as asked */
            enum status status; /* OK; else: none now, ask again later */
            struct raft_snapshot snapshot;
            uint64_t offset; /* as asked, or 0 when the snapshot asked for is gone and this is another */
            struct shared_slice data;
            bool last;
        } snapshot_read;
        struct { /* SNAPSHOT_WRITTEN */
            uint64_t id;
            uint64_t offset; /* bytes held now */
            bool refused;    /* not now: the sender gets no answer and tries again later */
        } snapshot_written;
        struct { /* DAMAGED */
            uint64_t from, to;
        } damaged;
    };
};

/* ---- effects ------------------------------------------------------------------------------------------ */

enum raft_role { RAFT_FOLLOWER, RAFT_PRECANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };
const char *raft_role_name(enum raft_role role); /* "follower" */

struct raft_entry_read {
    uint64_t peer, from; /* begin with the entry that covers the offset `from` */
    size_t bytes_max;    /* stop before the entry that would exceed it, but give at least one */
    bool repair;
};
struct raft_snapshot_read {
    uint64_t peer, id, offset; /* id 0: the newest there is, from its beginning */
};
struct raft_read_state {
    /* The read may be served once everything below position is applied. An answer that the network repeats
     * gives the same read again: a context that waits no more is passed over. */
    uint64_t context, position;
};

struct raft_effects {
    /* 1. One atomic write, in this order; number 0: nothing to write. */
    uint64_t write;
    const struct raft_snapshot *install; /* replace log and state by this fully received snapshot; or NULL */
    bool truncate;
    uint64_t truncate_from;           /* delete every entry at and above */
    const struct raft_entry *entries; /* put these, at their positions (a repair puts over damaged ones) */
    uint32_t entry_count;
    bool hard_state_changed; /* write it; when false, writing it (for commit_end) is optional */
    struct raft_hard_state hard_state;

    /* 2. */
    struct raft_message *messages;
    uint32_t message_count;

    /* 3. [commit_from, commit_end) became committed; equal when nothing did. */
    uint64_t commit_from, commit_end;

    /* 4. */
    struct raft_entry_read *entry_reads; /* one outstanding a peer */
    uint32_t entry_read_count;
    struct raft_snapshot_read *snapshot_reads; /* one outstanding a peer */
    uint32_t snapshot_read_count;
    const struct raft_message *snapshot_write; /* store this piece; offset 0 begins anew; or NULL */
    uint64_t snapshot_discard;                 /* a partly received snapshot is not wanted any more; or 0 */
    struct raft_read_state *reads;
    uint32_t read_count;
    uint64_t proposed_base; /* PROPOSE accepted: where the first entry begins */
    bool role_changed;      /* role, term or leader differ: reads not yet answered never will be */
    bool config_changed;    /* raft_config differs, by append, by truncation or by snapshot */

    /* 5. */
    uint64_t deadline; /* RAFT_NEVER: no timer */

    /* the core's own */
    uint32_t message_capacity, entry_read_capacity, snapshot_read_capacity, read_capacity;
    uint64_t append_from;
    struct raft_snapshot installed;
};
void raft_effects_init(struct raft_effects *effects);
void raft_effects_release(struct raft_effects *effects);

/* ---- a member ----------------------------------------------------------------------------------------- */

struct raft_options {
    uint64_t id;
    uint64_t election_timeout_ns_min, election_timeout_ns_max; /* randomised between the two [3.4] */
    uint64_t heartbeat_ns;
    uint64_t sleep_after_ns;     /* idle time after which a group sleeps (D8); 0: never */
    size_t append_bytes_max;     /* of one append, payloads */
    uint32_t inflight_count_max; /* appends on the way to one peer */
    size_t inflight_bytes_max;
    size_t uncommitted_bytes_max; /* proposals above get BUSY */
    size_t window_bytes_max; /* entries kept in memory beyond need, and the most that may wait for our disk */
    uint32_t reads_max;      /* pending read requests */
    /* Serve reads without a round while a quorum has promised not to vote [6.4.1]. Safe only if no clock of a
     * member runs more than lease_drift_ppm faster than another's; off by default. */
    bool lease_reads;
    uint32_t lease_drift_ppm;
};
struct raft_options raft_options_default(uint64_t id);

#define RAFT_PRIORITY_MAX 4

/* What a member starts from. A member of a new group has the first configuration, at position 0, the same on
 * all; a node that is to be added later starts with none and learns it from the leader. */
struct raft_start {
    uint64_t group;
    uint64_t seed; /* another one at each start */
    /* Each step below RAFT_PRIORITY_MAX lets this member wait one more (max - min) before it campaigns; 0: it
     * does not campaign by itself, only when leadership is handed to it. */
    uint8_t priority;
    /* Of a new group (no term yet), by whoever places leaders: this member campaigns so soon; 0: as always.
     */
    uint64_t campaign_in_ns;
    struct raft_hard_state hard_state;
    uint64_t log_start, log_start_term; /* entries below are gone; term(log_start) */
    uint64_t log_end;
    const struct raft_term_start *terms; /* ascending; the first at log_start; none when the log is empty */
    uint32_t term_count;
    uint64_t applied_end;
    const struct raft_config *config,
        *config_before; /* the latest in log or snapshot, and the one before it; NULL: none */
    uint64_t config_position, config_before_position;
    uint64_t damaged_from, damaged_to; /* equal: no damage */
    /* A snapshot received in part, to be resumed; id 0: none. */
    uint64_t incoming_id, incoming_end, incoming_offset;
};

/* For each member, kept by the leader [4.2.1, 10.2.1]; states and window as in etcd-io/raft's tracker. */
enum raft_progress_state {
    RAFT_PROBE,     /* where the logs agree is unknown: one append at a time */
    RAFT_REPLICATE, /* known: pipeline, next runs ahead of match */
    RAFT_SNAPSHOT   /* the entries it lacks are gone: a snapshot is on its way */
};
struct raft_progress {
    uint64_t id;
    uint64_t match; /* durable there and equal to our log; never falls within a term */
    uint64_t next;  /* where the next append begins */
    enum raft_progress_state state;
    bool
        paused; /* PROBE, SNAPSHOT: one append or piece was sent, wait for its answer or the next heartbeat */
    bool reading;         /* the host is reading entries or a snapshot piece for it */
    bool down;            /* says the host's failure detector */
    uint64_t since_ns;    /* a member since; answers to what was sent before are of an earlier membership */
    uint64_t heard_ns;    /* any answer in this term: check-quorum */
    uint64_t advanced_ns; /* last time that match moved, or a window began: loss is suspected by this */
    uint64_t accepted;    /* as it last told */
    /* It had at in_sync_ns what was committed then; the next mark to be reached. */
    uint64_t in_sync_ns, mark_end, mark_ns;
    uint64_t round;    /* highest read round it answered */
    uint64_t lease_ns; /* latest of our sending times it answered */
    uint64_t commit_sent;
    uint64_t snapshot_id, snapshot_offset, snapshot_end;
    /* appends on their way, oldest first */
    struct raft_inflight {
        uint64_t end;
        size_t bytes;
    } * inflight;
    uint32_t inflight_head, inflight_count, inflight_capacity;
    size_t inflight_bytes;
};

struct raft_log {
    uint64_t start, start_term;
    uint64_t end;
    uint64_t flushed_end;          /* durable but for damage: see raft_log_durable_end */
    struct raft_term_start *terms; /* terms[term_head .. term_head + term_count) */
    uint32_t term_head, term_count, term_capacity;
    struct raft_entry *window; /* window[window_head .. window_head + window_count), references held */
    uint32_t window_head, window_count, window_capacity;
    size_t window_bytes;
    struct raft_log_write { /* writes not yet durable and where the log ends when they are, oldest first */
        uint64_t number, end;
    } * writes;
    uint32_t write_head, write_count, write_capacity;
    uint64_t damaged_from, damaged_to; /* equal: none */
};

struct raft_config_record {
    uint64_t position; /* the entry ends here; 0: it came with the group or with nothing */
    struct raft_config *config;
};

struct raft {
    const struct raft_options *options;
    uint64_t group;
    struct prng prng;
    uint64_t life; /* drawn at each start: tells answers to us from those to our predecessor */
    uint64_t now_ns;
    enum raft_role role;
    uint8_t priority;
    bool asleep;            /* D8 */
    bool transferring;      /* CANDIDATE: this campaign was asked for by the leader */
    uint8_t vain_campaigns; /* in a row, since a leader was known (D10) */
    uint64_t leader;        /* of the current term, or RAFT_NO_ID */
    uint64_t term, vote;
    uint64_t commit_end, applied_end;
    uint64_t verified_end; /* follower: prefix known to be in the log of the leader of this term */
    uint64_t acked_end;    /* follower: match as last told to that leader */
    uint64_t leader_round, leader_sent_ns;
    uint64_t told_commit_end; /* follower: as its leader last told; UINT64_MAX: it does not know all yet */
    uint64_t fresh_ns;        /* follower: last time that all of that was applied */
    uint64_t write_issued, write_persisted;
    uint64_t term_write; /* the write that holds the current term and vote */
    struct raft_log log;
    struct raft_config_record latest, before; /* I8 */

    uint64_t election_deadline_ns;
    uint64_t wakeful_until_ns; /* the failure detector spoke of our leader: what it sent before may be late */
    uint64_t
        loyal_until_ns; /* a leader was heard within the shortest election timeout: no votes before (D6) */
    uint64_t votes_granted, votes_rejected; /* bit i: member i */

    /* leader */
    struct raft_progress *progress; /* parallel to latest.config->members; NULL when not leading */
    uint64_t term_start;            /* log end when this leadership began */
    uint64_t heartbeat_deadline_ns;
    uint64_t busy_ns;         /* last time that there was anything to do; 0: not since it leads */
    uint64_t asleep_since_ns; /* leader: answers to earlier heartbeats say nothing about sleep */
    size_t uncommitted_bytes;
    struct raft_config *change; /* to be appended once an entry of our own is committed */
    uint64_t transfer_to, transfer_deadline_ns;
    bool transfer_sent, lease_given_up;
    uint64_t round, round_confirmed; /* read rounds begun and confirmed by a quorum */
    struct raft_read {
        uint64_t context, from, life, position, round; /* round 0: not begun yet */
    } * reads;
    uint32_t read_count, read_capacity;

    /* repair of our own log (D9) */
    uint64_t repair_deadline_ns, repair_write, repair_end;
    uint32_t repair_turn;

    /* snapshot being received */
    struct raft_snapshot incoming;
    uint64_t incoming_offset;
    bool incoming_writing, incoming_last;

    uint64_t refused;         /* messages that contradict what we know to be true */
    struct raft_effects *out; /* during a step */
};

void raft_init(struct raft *raft, const struct raft_options *options, const struct raft_start *start,
               uint64_t now_ns);
void raft_release(struct raft *raft);

/* One event, all its consequences. `effects` is cleared first; one may serve many groups. */
enum status raft_step(struct raft *raft, const struct raft_event *event,
                      struct raft_effects *effects) MUST_USE;

/* When to send RAFT_EVENT_TIMER, also as effects.deadline: RAFT_NEVER when only events wake this member. */
uint64_t raft_deadline(const struct raft *raft);

/* Asserts I1..I11. Run after every step where SENTINEL_ASSERT_SLOW is on. */
void raft_check(const struct raft *raft);

/* ---- looking at a member ------------------------------------------------------------------------------ */

static inline bool raft_is_leader(const struct raft *raft) {
    return raft->role == RAFT_LEADER;
}
/* The configuration in force; NULL: none known yet. Until the next step. */
const struct raft_config *raft_config(const struct raft *raft);
/* The one in force at `position`, for a snapshot that ends there; NULL: a later one must be taken. */
const struct raft_config *raft_config_at(const struct raft *raft, uint64_t position);
struct raft_hard_state raft_hard_state(const struct raft *raft);
/* Of our log below, nothing but what is committed elsewhere can be lost by a crash or by damage known so far.
 */
uint64_t raft_durable_end(const struct raft *raft);
/* term(position); false: not in the log. */
bool raft_term_at(const struct raft *raft, uint64_t position, uint64_t *term);
/* The entry that begins at or covers `position` and what follows it in memory, up to `*count`; NULL: it is
 * not in memory any more, read the store. For applying without a read. Until the next step. */
const struct raft_entry *raft_entries(const struct raft *raft, uint64_t position, uint32_t *count);
/* The leader's view of a member; NULL: not leading, or not a member. */
const struct raft_progress *raft_progress(const struct raft *raft, uint64_t id);
/* A follower that at most `within_ns` ago had applied all that its leader told to be committed, and hears
 * that leader, or sleeps as it does. What it has is no older than that and what messages were delayed. */
bool raft_is_fresh(const struct raft *raft, uint64_t now_ns, uint64_t within_ns);
/* The leader's word: this voter is there, and has, or had `within_ns` ago, all that was committed. */
bool raft_is_in_sync(const struct raft *raft, uint64_t id, uint64_t now_ns, uint64_t within_ns);

#endif
