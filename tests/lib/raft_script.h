// SPDX-License-Identifier: Apache-2.0
/* raft_script.h: a group of members driven by written commands, and what each of them did as text.
 *
 * One clock for all, which moves only when a command says so; messages lie in one list until a command
 * delivers or drops them; writes become durable by command too. Every step is checked (lib/raft_check.h).
 *
 *   group 1 2 3 [learners 4] [spare 5] [KEY=VALUE...]
 *                        a new group with its first configuration; a spare has none. Keys: lease=1,
 *                        priority.N=P, append= inflight= uncommitted= window= (bytes, counts), sleep= (ms)
 *   timeout N | beat N   the clock goes to N's deadline, and its timer comes
 *   advance MS           the clock moves, nothing else
 *   deliver A->B [KIND] [keep]
 *                        the oldest such message; N->* and *->N: all; keep: a copy stays for later
 *   drop A->B [KIND]     that message is lost; with * all
 *   cut A B | C, mend    partition: what would cross it is lost from now on
 *   persist N [COUNT]    N's oldest writes become durable; all without a count
 *   answer N             what N asked its store for is there
 *   settle [N...]        persist, deliver and answer until nothing moves (among these)
 *   run MS [N...]        settle and let timers come, for so long
 *   propose N [COUNT] [covering K], read N CONTEXT, transfer N TO, change N 1 2 [learners 3]
 *   compact N, priority N P, damage N INDEX COUNT
 *   crash N [KEEP]       so many of its writes become durable, everything else is lost
 *   restart N, lose N    lose: its disk; it comes back as N.1 without any configuration
 *   down N PEER, up N PEER              N's failure detector speaks
 *   state [N...], log [N...], progress N, mail       looking
 *   quiet                what follows, up to the next output, is not printed
 *
 * settle, run and wildcards print what changed (roles, commits, cuts, configurations, reads); other commands
 * print every message and write as well. A violated invariant is printed and stays so. */
#ifndef SENTINEL_TESTS_RAFT_SCRIPT_H
#define SENTINEL_TESTS_RAFT_SCRIPT_H

#include "lib/raft_host.h"

#define RAFT_SCRIPT_NODES_MAX 9

struct raft_script {
    struct raft_group group;
    uint64_t now_ns;
    RAFT_LIST(struct raft_mail *, mail); /* in the order in which they were sent */
    bool cut[RAFT_SCRIPT_NODES_MAX + 1][RAFT_SCRIPT_NODES_MAX + 1];
    bool brief, quiet;
    struct raft_options options;
    struct writer *out;
};

void raft_script_init(struct raft_script *script);
void raft_script_release(struct raft_script *script);
/* One command; what it did is added to `out`. A command that makes no sense says so there. */
void raft_script_run(struct raft_script *script, const char *command, struct writer *out);

#endif
