// SPDX-License-Identifier: Apache-2.0
/* raft_ghost.h: what is true of a group, kept outside of it: survives every crash, and holds each member
 * against it.
 *
 * The names R1.. are those of the invariants that the violations print; the first violation is kept. An
 * entry's identity is a chain value over itself and all before it, so that equal values mean equal logs (Log
 * Matching in O(1)). */
#ifndef SENTINEL_SIM_RAFT_GHOST_H
#define SENTINEL_SIM_RAFT_GHOST_H

#include "raft/raft.h"

/* An entry on a disk, with the chain value of the log that ends with it. */
struct raft_stored {
    struct raft_entry entry;
    uint64_t chain;
    bool damaged;
};

struct raft_ghost {
    char violation[256]; /* empty: all held */
    /* R1: leader of each term */
    uint64_t *leaders;
    size_t leader_capacity;
    /* R5, R6: (end, term) -> what it is */
    struct raft_identity {
        uint64_t end, term, base, content, chain;
    } * identities;
    size_t identity_count, identity_capacity; /* open addressing, capacity a power of two */
    /* R2: (voter, term) -> candidate */
    struct raft_cast_vote {
        uint64_t voter, term, candidate;
    } * votes;
    size_t vote_count, vote_capacity;
    /* what was ever committed, and in which term that was first seen */
    struct raft_committed {
        uint64_t base, end, term, chain, commit_term;
        uint64_t config; /* in force at the end, by the committed entries alone */
    } * committed;
    size_t committed_count, committed_capacity;
    /* B22: content -> what became of it */
    struct raft_outcome {
        uint64_t content, known; /* known: 1 */
        uint64_t base;           /* where it is committed */
        bool committed, refused;
    } * outcomes;
    size_t outcome_count, outcome_capacity;
    uint64_t base_chain; /* of the empty log */
    uint64_t base_config;
};

void raft_ghost_init(struct raft_ghost *ghost);
void raft_ghost_release(struct raft_ghost *ghost);
/* Records the first violation. */
__attribute__((format(printf, 2, 3))) void raft_ghost_fail(struct raft_ghost *ghost, const char *format, ...);
#define RAFT_EXPECT(ghost, condition, ...) ((condition) ? (void)0 : raft_ghost_fail(ghost, __VA_ARGS__))

/* Of kind and payload. */
uint64_t raft_ghost_content(const struct raft_entry *entry);
/* Names what a configuration says; NULL has a name too. */
uint64_t raft_ghost_config(const struct raft_config *config);
uint64_t raft_ghost_chain(uint64_t before, const struct raft_entry *entry);
/* Some member has this entry in its log. */
void raft_ghost_entry(struct raft_ghost *ghost, const struct raft_stored *stored);
/* The entry of this term that ends there in some log; NULL: none does. */
const struct raft_identity *raft_ghost_identity(const struct raft_ghost *ghost, uint64_t end, uint64_t term);
void raft_ghost_leader(struct raft_ghost *ghost, uint64_t term, uint64_t id);
uint64_t raft_ghost_led(const struct raft_ghost *ghost, uint64_t term); /* by whom; 0: nobody, so far */
void raft_ghost_vote(struct raft_ghost *ghost, uint64_t voter, uint64_t term, uint64_t candidate);
/* A member says that its log is committed up to this entry. `who` for the message. */
void raft_ghost_commit(struct raft_ghost *ghost, const struct raft_stored *stored, uint64_t term,
                       uint64_t who);
/* A client was told for certain that this will not be in the log. */
void raft_ghost_refused(struct raft_ghost *ghost, uint64_t content);
uint64_t raft_ghost_end(const struct raft_ghost *ghost);
/* The committed entry that ends at `end`; NULL: none does. */
const struct raft_committed *raft_ghost_find(const struct raft_ghost *ghost, uint64_t end);
/* End of what was committed in terms below `term`. */
uint64_t raft_ghost_end_before(const struct raft_ghost *ghost, uint64_t term);

#endif
