// SPDX-License-Identifier: Apache-2.0
/* raft_replica.h: what the files behind raft_host.h share. Not for others.
 *
 *   raft_host.c      all groups of the node: routing, the end of the turn, the failure detector's word
 *   raft_replica.c   one group: steps, effects, writes, failure
 *   raft_apply.c     committed entries and reads back from the store
 *   raft_bulk.c      whose turn it is to get what was missed, and how much at a time
 *   raft_damage.c    what of the log cannot be read, as positions, for the core to repair
 *   raft_transfer.c  snapshots, both ends
 *
 * Owner   the host owns replicas and every write under way; a write outlives its replica.
 * Loop    shard thread only. No step begins while another is carried out (`stepping`). */
#ifndef SENTINEL_BROKER_RAFT_REPLICA_H
#define SENTINEL_BROKER_RAFT_REPLICA_H

#include "base/map.h"
#include "broker/keys.h"
#include "broker/raft_bulk.h"
#include "broker/raft_host.h"
#include "raft/raft_message.h"

/* What the failure detector said last of a node. */
struct node_news {
    uint32_t node;
    bool up;
    uint64_t number; /* the later the higher */
};

struct raft_host {
    struct raft_host_options options;
    struct map replicas; /* group, 8 bytes big-endian -> struct raft_replica */
    struct list dirty;   /* struct raft_replica.dirty: has work for the end of the turn */
    struct list telling; /* struct raft_replica.telling: all, those that know the least first */
    struct node_news *news;
    uint32_t news_count;
    uint64_t news_number;       /* of the latest; 0: there was none */
    struct io_timer tell_timer; /* some do not know it yet */
    struct io_timer work_timer; /* some are still dirty after this turn */
    struct list writes;         /* struct replica_write.link: all under way */
    struct io_op run;
    bool run_scheduled, stepping;
    struct raft_effects effects;
    struct raft_message_decoder decoder;
    struct writer scratch;
    struct chain outgoing;           /* a message that is on its way out */
    struct raft_proposal *proposals; /* scratch */
    uint32_t proposal_capacity;
    struct prng prng;
    struct raft_bulk bulk;
    struct raft_host_stats stats;
};

/* One store_write of one replica. */
struct replica_write {
    struct store_write write;
    struct list link;
    struct raft_host *host;
    struct raft_replica *replica; /* NULL: closed */
    struct list own;              /* in the replica's */
    uint64_t number;              /* of the core's writes; 0: none of them */
    uint64_t compacted;           /* tell the core when durable; 0: nothing to tell */
    bool unpacks;                 /* a piece of a snapshot: the next one follows when it is durable */
    bool founds;                  /* the first configuration of a new group */
};

/* A message that waits for a write. */
struct held_message {
    struct list link;
    uint64_t after_write;
    uint32_t node;
    struct chain bytes;
};

struct entry_read {
    struct list link;
    struct raft_replica *replica;
    struct raft_reader reader;
    struct raft_bulk_turn turn;
    uint64_t peer;
    bool repair, finished;
    enum status status;
};

/* A snapshot on its way to one peer (raft_transfer.c). */
struct snapshot_send;

/* A complete snapshot whose keys are being put where they belong (raft_receive.c). */
struct unpacking {
    struct raft_replica *replica;
    struct store_iterator *it;
    bool positioned, due; /* due: at the end of the turn */
};

struct raft_replica {
    struct raft_host *host;
    struct raft_replica_options options;
    struct raft_config *founding; /* of a new group, until the store has it; else NULL */
    struct list dirty;
    struct list telling;
    uint64_t told; /* node_news.number of what it knows */
    struct raft raft;
    struct io_timer timer;   /* the core's deadline, or RAFT_REOPEN_NS */
    enum status failure;     /* OK: alive */
    struct raft_floor floor; /* it gave its copy away: no vote and no candidacy before its log is this far */
    enum status logged;      /* of the failures in a row: the last that was logged */
    bool hollow;             /* `raft` is empty: nothing could be loaded */
    uint64_t persisted;      /* of the core's writes */
    uint64_t install_write;  /* the latest that replaced everything by a snapshot; 0: none */
    struct list writes;      /* struct replica_write.own: under way */
    uint32_t writes_in_flight;
    uint64_t compacted;    /* to be told */
    struct list proposals; /* struct raft_propose.link */
    struct list held;      /* struct held_message, by after_write */
    struct list asked;     /* struct raft_read_index: not answered yet */
    struct list awaited;   /* struct raft_read_index: to be applied first */
    struct list unasked;   /* struct raft_read_index: for the end of the turn */
    uint64_t read_context;
    uint64_t applied, applied_stored;
    bool records_damaged; /* keys of consensus cannot be read: to be written anew */
    struct raft_reader applying;
    bool applying_waits;
    uint32_t apply_failures; /* in a row: reads that failed where nothing is damaged */
    struct list entry_reads; /* struct entry_read */
    struct list lanes;       /* struct raft_bulk_lane: followers that lag */
    struct list sends;       /* struct snapshot_send */
    struct raft_incoming incoming;
    const struct replica_write *incoming_write; /* a piece that is being stored; or NULL */
    uint64_t incoming_answer;                   /* id: the core is to be told about the piece it gave; or 0 */
    bool incoming_refused;
    struct unpacking *unpacking; /* NULL: the machine's keys are what they should be */
};

/* raft_host.c */
void raft_host_wake(struct raft_replica *replica);
/* It leads now: it will hear once more who is down. Followers do not remember, and a leader that waits for
 * one who is gone never sleeps. */
void raft_host_elected(struct raft_replica *replica);

/* raft_replica.c */
enum status replica_step(struct raft_replica *replica, struct raft_event *event);
void replica_work(struct raft_replica *replica);
void replica_fail(struct raft_replica *replica, enum status status);
/* It could not be read, and perhaps can be later: opened anew after RAFT_REOPEN_NS. */
void replica_suspend(struct raft_replica *replica, enum status status);
struct replica_write *replica_write_new(struct raft_replica *replica);
void replica_write_submit(struct replica_write *write);

/* raft_apply.c */
void replica_apply(struct raft_replica *replica);
void replica_apply_reset(struct raft_replica *replica, uint64_t applied);
void replica_entry_read_start(struct raft_replica *replica, const struct raft_entry_read *asked);
void replica_entry_reads_finish(struct raft_replica *replica);
void replica_lanes_look(struct raft_replica *replica);
void replica_entry_reads_drop(struct raft_replica *replica);

/* raft_damage.c */
/* The store could not read keys of this group (both included). */
void replica_damaged_keys(struct raft_replica *replica, struct slice first, struct slice last);
/* The entry that begins at `position` could not be read. False: it can be now. */
bool replica_damaged_at(struct raft_replica *replica, uint64_t position);
/* Writes what consensus keeps beside the log anew, when it is damaged and nothing is in the way. */
void replica_mend_records(struct raft_replica *replica);
/* True while the core waits for entries from others and this position is among them. */
bool replica_awaits_repair(const struct raft_replica *replica, uint64_t position);

/* raft_transfer.c */
void replica_snapshot_read(struct raft_replica *replica, const struct raft_snapshot_read *asked);
void replica_snapshot_reads_finish(struct raft_replica *replica);
void replica_snapshot_sends_drop(struct raft_replica *replica);
/* What names a snapshot: where it ends, and its bytes. */
uint64_t replica_snapshot_id(uint64_t end, uint64_t term, uint64_t bytes, uint32_t checksum);
/* Takes the next record of a piece off the front; false: there is no whole one. The key is without its group.
 */
bool replica_snapshot_record(struct reader *in, struct slice *key, struct slice *value);

/* raft_receive.c */
void replica_snapshot_take(struct raft_replica *replica, const struct raft_message *piece);
void replica_snapshot_stored(struct raft_replica *replica, const struct replica_write *write);
void replica_snapshot_told(struct raft_replica *replica);
/* What was received is not wanted any more. */
void replica_snapshot_forget(struct raft_replica *replica);
/* The write that replaces the log: the machine's keys go, and those received are on their way. */
void replica_snapshot_install(struct raft_replica *replica, struct store_write *write);
/* The next piece, if it is due. */
void replica_snapshot_unpack(struct raft_replica *replica);
/* All at once in one write that is not waited for, when the replica is loaded. CORRUPT, IO. */
enum status replica_snapshot_unpack_now(struct raft_replica *replica) MUST_USE;
/* In memory; the store keeps what it has. */
void replica_snapshot_reset(struct raft_replica *replica);

/* It gave its copy away, and its log is not as far again as it was then. */
bool replica_is_mute(struct raft_replica *r);

#endif
