// SPDX-License-Identifier: Apache-2.0
/* raft_store.h: what consensus keeps of one group, in the store that the node shares among all of them.
 *
 *   [group u64] LOG  last offset            an entry (below)
 *   [group u64] RAFT 'f', 0                 where the log of a copy that was given away ended
 *   [group u64] RAFT 'h', 0                 hard state: version u8, term, vote, commit end (a hint)
 *   [group u64] RAFT 's', 0                 where the log begins: version u8, position, term there
 *   [group u64] RAFT 't', position          term u64 of the entries above, up to the next such key
 *   [group u64] RAFT 'c', position          the configuration in force from there (raft_config_encode)
 *   [group u64] RAFT 'a', 0                 everything below is in the state machine's keys
 *   [group u64] RAFT 'i', 0                 a snapshot that comes in: struct raft_incoming
 *   [group u64] RAFT 'p', offset            its bytes from there on, one piece
 *
 * All of one Raft write goes into one store_write, so it is atomic, and the store's order of writes is the
 * order of Raft's. Group commit comes by itself: one log of the store carries all groups. A group is loaded
 * by a handful of seeks, whatever it holds: no entry but the last one is read.
 *
 * ENTRIES. In a group of batches (RAFT_FORMAT_BATCHES: partitions) the value is the record batch as it was
 * sent, with base offset and term (Kafka's leader epoch) in its header; no-ops and configurations are control
 * batches, which clients skip. Other groups (RAFT_FORMAT_PLAIN) have [version u8][kind u8][offsets be32][term
 * be64][payload].
 *
 * Owner   raft_loaded owns what the start points to, until raft_loaded_release. A raft_reader holds
 * references of what it gives until raft_reader_release. Errors  CORRUPT: what is stored contradicts itself
 * (never asserted: it comes from a disk); the diagnostic says what. IO, as the store. Units: positions and
 * terms as in raft.h. Loop    shard thread only; raft_store_load blocks, for start-up and for groups that are
 * made. */
#ifndef SENTINEL_BROKER_RAFT_STORE_H
#define SENTINEL_BROKER_RAFT_STORE_H

#include "raft/raft.h"
#include "storage/store.h"

enum raft_format { RAFT_FORMAT_BATCHES, RAFT_FORMAT_PLAIN };

/* ---- loading ------------------------------------------------------------------------------------------ */

/* A snapshot that comes in. Its pieces are kept as they come; when all are there, the write that replaces the
 * log marks it complete, and its keys are put where they belong after that, and again after a crash. */
struct raft_incoming {
    uint64_t id; /* 0: none */
    uint64_t end, bytes;
    uint32_t checksum; /* of these bytes */
    bool complete;
};

struct raft_loaded {
    struct raft_start start; /* all but seed and priority */
    struct raft_incoming incoming;
    bool found; /* false: nothing of this group is stored */
    struct raft_term_start *terms;
    struct raft_config *config, *config_before;
};
enum status raft_store_load(struct store *store, uint64_t group, enum raft_format format,
                            struct raft_loaded *loaded, struct diagnostic *diagnostic) MUST_USE;
void raft_loaded_release(struct raft_loaded *loaded);

/* ---- writing ------------------------------------------------------------------------------------------ */

/* A new group: its first configuration at position 0, the same on all its members. */
void raft_store_create(struct store_write *write, uint64_t group, const struct raft_config *config);
/* In force from the end of the log on, by no entry. */
void raft_store_put_config(struct store_write *write, uint64_t group, uint64_t log_end,
                           const struct raft_config *config);
/* A group whose entries in [start, end) were written without consensus, in term 0: all of them are committed
 * and applied, and the configuration was in force from the beginning. */
struct raft_adopted {
    uint64_t start, end;
};
void raft_store_adopt(struct store_write *write, uint64_t group, const struct raft_adopted *log,
                      const struct raft_config *config);
/* The member gives its copy away and may get the group again: all goes but what it voted, and how far its log
 * was. */
struct raft_floor {
    uint64_t end, term;
};
void raft_store_leave(struct store_write *write, const struct raft *raft, struct raft_floor floor);
/* The same for a copy that is not open, or again: what it voted stays as it is stored. */
void raft_store_leave_again(struct store_write *write, uint64_t group, struct raft_floor floor);
/* Zero: there is none. */
enum status raft_store_load_floor(struct store *store, uint64_t group, struct raft_floor *floor) MUST_USE;
/* The floor of a copy that is not open: how far its log is, or was in a life before. Blocks. Of a log that
 * cannot be loaded all entries may be of the last term voted in; where it ended is not even known when its
 * last keys cannot be read: then only a log with a later term is past it. */
void raft_store_find_floor(struct store *store, uint64_t group, enum raft_format format,
                           struct raft_floor *floor);
/* Part 1 of the effects. `raft` is the member they come from, after the step. An installation deletes the
 * log here, but not the state machine's keys. */
void raft_store_put(struct store_write *write, const struct raft *raft, enum raft_format format,
                    const struct raft_effects *effects);
/* The entries of these effects are put over damaged ones. */
bool raft_store_is_repair(const struct raft *raft, const struct raft_effects *effects);
void raft_store_put_hard_state(struct store_write *write, uint64_t group,
                               const struct raft_hard_state *state);
void raft_store_put_applied(struct store_write *write, uint64_t group, uint64_t applied_end);
void raft_store_put_incoming(struct store_write *write, uint64_t group, const struct raft_incoming *incoming);
void raft_store_put_piece(struct store_write *write, uint64_t group, uint64_t offset,
                          struct shared_slice bytes);
void raft_store_drop_incoming(struct store_write *write, uint64_t group);
/* Over the pieces, in their order. */
struct store_iterator *raft_store_pieces(struct store *store, uint64_t group, unsigned flags,
                                         void (*ready)(void *ctx), void *ctx);
enum status raft_store_piece_first(struct store_iterator *it, uint64_t group) MUST_USE;
/* Everything that is not an entry, from what the core knows, over damaged keys; nothing that compacts or
 * installs may be under way. `applied_end` is what is stored of it, `floor` what the member is still below. A
 * snapshot being received stays. */
void raft_store_put_records(struct store_write *write, const struct raft *raft, uint64_t applied_end,
                            const struct raft_incoming *incoming, struct raft_floor floor);
/* Deletes entries below `position`, which is between two of them, and what is only there for them. */
void raft_store_compact(struct store_write *write, const struct raft *raft, uint64_t position);
/* The configuration in force at `position`, also one that the core has forgotten; mem_free frees it.
 * NOT_FOUND: none is known. */
enum status raft_store_config_at(struct store *store, uint64_t group, uint64_t position,
                                 struct raft_config **config) MUST_USE;

/* ---- reading entries back ----------------------------------------------------------------------------- */

/* Entries from the one that covers `from` on, up to `end` (a position) or bytes_max, at least one. */
struct raft_reader {
    uint64_t from, end;
    size_t bytes_max;
    size_t ahead; /* as the read before, which ended here, left it: store_iterator_ahead */
    void (*ready)(struct raft_reader *read); /* after PENDING: call raft_store_read again */
    struct raft_entry *entries;              /* contiguous, references held */
    uint32_t count;
    /* its own from here on */
    struct store *store;
    uint64_t group;
    enum raft_format format;
    struct store_iterator *it;
    uint32_t capacity;
    size_t bytes;
    bool positioned;
};
void raft_reader_init(struct raft_reader *read, struct store *store, uint64_t group, enum raft_format format,
                      void (*ready)(struct raft_reader *read));
/* OK: entries are there. PENDING: `ready` comes. NOT_FOUND: the entry is not in the store (compacted).
 * CORRUPT, IO: it cannot be read; the entries before it are there all the same. */
enum status raft_store_read(struct raft_reader *read) MUST_USE;
/* Drops the entries and what is under way; the read may be used again with other bounds. */
void raft_reader_release(struct raft_reader *read);

/* An entry as it stands in the store; false: it is damaged. The payload is a part of `value`, no reference.
 */
bool raft_entry_parse(struct slice key, struct shared_slice value, enum raft_format format,
                      struct raft_entry *entry);

#endif
