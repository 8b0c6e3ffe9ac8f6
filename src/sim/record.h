// SPDX-License-Identifier: Apache-2.0
/* record.h: what happened in a run, for people: the events that a report draws.
 *
 * Owner   the record; texts are copied. Loop: one thread.  Bounds: RECORD_EVENTS_MAX, then the oldest half of
 *         the messages is dropped, so that what led to the end is always there. */
#ifndef SENTINEL_SIM_RECORD_H
#define SENTINEL_SIM_RECORD_H

#include "base/cursor.h"
#include "raft/raft.h"

#define RECORD_EVENTS_MAX 200000U

enum record_kind {
    RECORD_UP,      /* node runs */
    RECORD_DOWN,    /* it does not any more */
    RECORD_ROLE,    /* group, role in a, term in b */
    RECORD_MESSAGE, /* node to `to`; left at at_ns, arrived at end_ns or never (0) */
    RECORD_LOG,     /* its log of the group is now cut at a; entries up to b of term c follow */
    RECORD_COMMIT,  /* committed up to a, durable up to b */
    RECORD_ACTION,  /* a fault, an operation, a step of the scenario */
    RECORD_CLIENT,  /* what a client was told */
    RECORD_CUT,     /* node does not reach `to` from now on (a: 1) or does again (0) */
    RECORD_PAUSE,   /* until end_ns */
    RECORD_END,     /* violated, or not: text */
};
struct record_event {
    uint64_t at_ns, end_ns, key;
    enum record_kind kind;
    uint32_t node, to;
    uint64_t group, a, b, c;
    uint32_t text; /* offset among the texts; 0: none */
    bool lost;
};
struct recording {
    struct record_event *events;
    uint32_t count, capacity;
    struct writer texts;
    /* messages under way, by key, newest last: index of the event */
    uint32_t *open;
    uint32_t open_count, open_capacity;
};

void record_init(struct recording *record);
void record_release(struct recording *record);
struct record_event *record_add(struct recording *record, uint64_t at_ns, enum record_kind kind,
                                uint32_t node);
void record_text(struct recording *record, struct record_event *event, struct slice text);
const char *record_text_of(const struct recording *record, const struct record_event *event);
/* A message leaves, and arrives: matched by what it says. */
void record_sent(struct recording *record, uint64_t at_ns, const struct raft_message *message, bool lost);
void record_received(struct recording *record, uint64_t at_ns, const struct raft_message *message);

#endif
