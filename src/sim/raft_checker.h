// SPDX-License-Identifier: Apache-2.0
/* raft_checker.h: holds every member of every group against the invariants of Raft, at every step.
 *
 * A host tells what its cores do (raft_host.h: watch); nothing is asked of it, so that a host cannot hide
 * anything. The ghost of each group (raft_ghost.h) and the shadow of each member's log (shadow.h) survive
 * crashes. Violations begin with the invariant's name:
 *
 *   R1 one leader a term              R2 one vote a term, durable before it leaves
 *   R3 terms and votes never go back  R4 a leader cuts nothing off
 *   R5 equal positions and terms, equal logs      R6 one entry for a position and term
 *   R7 a new leader has all committed             R8 all apply the same, in order, once
 *   R9 a leader commits what is of its term       R10 committed is on the disks of a quorum
 *   R11 commit ends never go back                 R12 nothing committed is cut off
 *   R13 commits lie between entries that this leader has verified
 *   R14 what a leader believes of peers is true   R15 acknowledged after durable, in the same term
 *   R16 one membership change at a time           R18 the latest configuration is in force
 *   R20 a lost disk's identity is not used again  R21 snapshots are what was committed
 *   R22 pre-votes change nothing                  R24 reads see what was acknowledged before
 *   R25 leadership goes only to who has everything
 *   S1 reported durable, there after a restart    S2 a first part of the writes, without holes
 *   S6 what is read is what was written           S14 state and its applied position belong together
 *   B6 nothing acknowledged is lost               B22 what was refused is never committed
 *   L* see world.h
 *
 * Owner   the checker. Members are known by (group, id). Loop: one thread. */
#ifndef SENTINEL_SIM_RAFT_CHECKER_H
#define SENTINEL_SIM_RAFT_CHECKER_H

#include "raft/raft.h"
#include "sim/probe.h"

struct raft_checker;

struct raft_checker *raft_checker_new(struct probes *probes);
void raft_checker_free(struct raft_checker *checker);
/* The first violation, or "". */
const char *raft_checker_violation(const struct raft_checker *checker);
__attribute__((format(printf, 2, 3))) void raft_checker_fail(struct raft_checker *checker, const char *format,
                                                             ...);

/* What a host's watch tells: see raft_host.h. */
void raft_checker_started(struct raft_checker *checker, const struct raft *raft,
                          const struct raft_start *start);
void raft_checker_before(struct raft_checker *checker, const struct raft *raft,
                         const struct raft_event *event);
void raft_checker_after(struct raft_checker *checker, const struct raft *raft, const struct raft_event *event,
                        const struct raft_effects *effects);
void raft_checker_durable(struct raft_checker *checker, const struct raft *raft, uint64_t write);
void raft_checker_leaving(struct raft_checker *checker, const struct raft *raft,
                          const struct raft_message *message);
void raft_checker_left(struct raft_checker *checker, const struct raft *raft);
void raft_checker_stopped(struct raft_checker *checker, const struct raft *raft);

/* What the state machine of a member tells. */
void raft_checker_applied(struct raft_checker *checker, const struct raft *raft,
                          const struct raft_entry *entry);
/* Its state is that of the log up to `end`, whose chain value it keeps: after a start or a snapshot. */
void raft_checker_restored(struct raft_checker *checker, const struct raft *raft, uint64_t end,
                           uint64_t chain);
/* Its chain value now, to be kept with the state. */
uint64_t raft_checker_applied_chain(const struct raft_checker *checker, const struct raft *raft);
/* How far its machine is: a snapshot may be on its way there while the core has it already. */
uint64_t raft_checker_applied_end(const struct raft_checker *checker, const struct raft *raft);

/* The disk with this identity is gone for good. */
void raft_checker_disk_lost(struct raft_checker *checker, uint32_t node, uint32_t incarnation);

/* What clients were told. `content` names the payload. */
void raft_checker_acknowledged(struct raft_checker *checker, uint64_t group, uint64_t base, uint64_t content);
void raft_checker_refused(struct raft_checker *checker, uint64_t group, uint64_t content);
uint64_t raft_checker_content(struct slice payload);
/* A read that begins now must return at least the position given here. */
uint64_t raft_checker_read_begins(const struct raft_checker *checker, uint64_t group);
void raft_checker_read_served(struct raft_checker *checker, uint64_t id, uint64_t position,
                              uint64_t must_see);

/* ---- looking ------------------------------------------------------------------------------------------ */

uint64_t raft_checker_snapshots_installed(const struct raft_checker *checker, uint32_t node);
uint64_t raft_checker_entries_repaired(const struct raft_checker *checker, uint32_t node);
/* The member's log ends here, with this identity; false: no such member. */
bool raft_checker_log(const struct raft_checker *checker, uint64_t group, uint64_t id, uint64_t *end,
                      uint64_t *chain);
/* At the end: everything acknowledged is committed, and each of these members has it and has applied it. */
void raft_checker_finish(struct raft_checker *checker, uint64_t group, const struct raft *const *members,
                         uint32_t count);

#endif
