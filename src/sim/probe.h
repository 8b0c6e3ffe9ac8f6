// SPDX-License-Identifier: Apache-2.0
/* probe.h: what a good set of runs must have seen at least once: rare states, counted.
 *
 * A checker that never met a state has said nothing about it. Each run counts its probes; a sweep adds them
 * up and lists those that were never hit. Source: TigerBeetle's and FoundationDB's "sometimes" assertions.
 *
 * Owner   the run: there is no global. Loop: one thread. */
#ifndef SENTINEL_SIM_PROBE_H
#define SENTINEL_SIM_PROBE_H

#include <stdint.h>

#define PROBE_LIST(X)                                                                                        \
    X(leader_elected, "somebody became leader")                                                              \
    X(leader_elected_again, "a leader of a later term than the first")                                       \
    X(leaders_side_by_side, "an old leader still led when a new one was elected")                            \
    X(election_lost, "a candidate gave up")                                                                  \
    X(vote_split, "two candidates in one term")                                                              \
    X(vote_refused, "a vote was refused")                                                                    \
    X(prevote_refused, "a pre-vote was refused")                                                             \
    X(vote_lost_with_node, "a node crashed with its vote on the way to the disk")                            \
    X(leader_crashed, "a leader crashed")                                                                    \
    X(leader_crashed_writing, "a leader crashed with entries on the way to its disk")                        \
    X(leader_crashed_sent, "a leader crashed after it had sent entries that it lost")                        \
    X(follower_crashed_writing, "a follower crashed with entries on the way to its disk")                    \
    X(crash_lost_writes, "a write under way was lost in a crash")                                            \
    X(crash_kept_writes, "a write under way survived a crash, unreported")                                   \
    X(truncated, "a follower cut off entries of an old leader")                                              \
    X(truncated_own, "a former leader cut off its own entries")                                              \
    X(truncated_leading, "a leader cut off its own entries when it heard of a later one")                    \
    X(append_refused, "an append did not fit the follower's log")                                            \
    X(append_old_term, "an append of an old term arrived")                                                   \
    X(commit_without_leader_disk, "committed before the leader's own disk had it")                           \
    X(commit_of_earlier_term, "entries of an earlier term were committed with one of the current term")      \
    X(noop_appended, "a new leader appended a no-op")                                                        \
    X(noop_not_needed, "a new leader needed no no-op")                                                       \
    X(entries_read_back, "a leader read old entries for a follower from its disk")                           \
    X(snapshot_sent, "a snapshot piece was sent")                                                            \
    X(snapshot_resumed, "a snapshot went on from its middle")                                                \
    X(snapshot_installed, "a snapshot was installed")                                                        \
    X(snapshot_over_entries, "a snapshot was installed over entries that were there")                        \
    X(compacted, "a log was compacted")                                                                      \
    X(restarted_compacted, "a member started from a compacted log")                                          \
    X(config_joint, "a joint configuration was in force")                                                    \
    X(config_left_joint, "a joint configuration was left")                                                   \
    X(config_rolled_back, "a configuration was cut off with its entry")                                      \
    X(leader_removed, "a leader removed itself")                                                             \
    X(learner_promoted, "a learner became a voter")                                                          \
    X(transfer_sent, "a leader handed over")                                                                 \
    X(transfer_lost, "a handover came to nothing")                                                           \
    X(read_by_leader, "a leader served a read")                                                              \
    X(read_by_follower, "a follower served a read")                                                          \
    X(asleep, "a group fell asleep")                                                                         \
    X(woken, "a group woke up")                                                                              \
    X(proposal_busy, "a proposal met a full window")                                                         \
    X(proposal_refused, "a proposal was refused")                                                            \
    X(damage_found, "damage was found in a log")                                                             \
    X(damage_repaired, "damage was repaired from a peer")                                                    \
    X(disk_lost, "a node came back without its disk")                                                        \
    X(disk_failed, "a node stopped because of its disk")                                                     \
    X(disk_full, "a disk was full")                                                                          \
    X(message_dropped, "a message was dropped by a rule")                                                    \
    X(message_after_restart, "a message for an earlier life of its receiver arrived")                        \
    X(quorum_lost, "no majority was up")                                                                     \
    X(all_down, "all nodes were down at once")                                                               \
    X(crash_in_recovery, "a node crashed while it was starting")                                             \
    X(paused_leader, "a leader was paused")                                                                  \
    X(cut_one_way, "a link was cut in one direction only")

enum probe_id {
#define PROBE_ENUM_(name, text) PROBE_##name,
    PROBE_LIST(PROBE_ENUM_)
#undef PROBE_ENUM_
        PROBE_COUNT
};
struct probes {
    uint64_t hits[PROBE_COUNT];
};
#define PROBE(probes, name)               ((void)(probes)->hits[PROBE_##name]++)
#define PROBE_IF(probes, name, condition) ((void)((probes)->hits[PROBE_##name] += (condition) ? 1 : 0))

const char *probe_name(enum probe_id id);
const char *probe_text(enum probe_id id);

#endif
