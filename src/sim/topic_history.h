// SPDX-License-Identifier: Apache-2.0
/* topic_history.h: what clients were told about topics that come and go under the same names, kept outside
 * every crash, and the invariants held against it.
 *
 *   B19 metadata   changes of topics are linearizable: of one name there is one topic at a time; what was
 *                  acknowledged stays until somebody asks for something else; who is told that there is none,
 *                  or that there is one already, was told what held at some moment between question and
 *                  answer. What one node tells on one connection never goes back.
 *   B22 errors     nothing comes of what was refused, nothing goes that nobody asked to delete
 *
 * A name has one life after the other, each with an id. Of a life is known: made not before, made by, there
 * still, gone by; each from questions (not before) and answers (by) of those who made, met or deleted it.
 *
 * Owner   the run. The first violation goes to `history`. Loop: one thread. Bounds: TOPIC_HISTORY_LIVES; when
 *         they are used up, topic_history_is_full says so, and nobody shall make more. */
#ifndef SENTINEL_SIM_TOPIC_HISTORY_H
#define SENTINEL_SIM_TOPIC_HISTORY_H

#include "base/uuid.h"
#include "sim/history.h"

#define TOPIC_HISTORY_NAMES      4
#define TOPIC_HISTORY_LIVES      56
#define TOPIC_HISTORY_PARTITIONS 4 /* of a topic */
#define TOPIC_HISTORY_SETTINGS   2
#define TOPIC_HISTORY_NONE       UINT32_MAX

enum topic_history_op { TOPIC_OP_CREATE, TOPIC_OP_DELETE, TOPIC_OP_PARTITIONS, TOPIC_OP_CONFIG };

struct topic_life {
    struct uuid id;
    uint32_t name;
    uint64_t made_from_ns, made_by_ns;
    uint64_t there_ns;          /* it was there at some moment from here on */
    uint64_t gone_by_ns;        /* UINT64_MAX: nobody was told so */
    bool acknowledged, deleted; /* who made it, who deleted it was told so */
};
struct topic_change_seen {
    enum topic_history_op op;
    uint32_t name;
    uint64_t asked_ns, told_ns; /* told: UINT64_MAX: never */
    uint32_t life;              /* deletions by id; else TOPIC_HISTORY_NONE */
    int64_t value;              /* partitions; or of the setting number value % TOPIC_HISTORY_SETTINGS */
};
struct topic_met { /* somebody was told that there is one, or none */
    uint32_t name;
    bool there;
    uint64_t asked_ns, told_ns;
};
/* What one node told on one connection. */
struct topic_view {
    bool left[TOPIC_HISTORY_LIVES];
    uint32_t last[TOPIC_HISTORY_NAMES]; /* TOPIC_HISTORY_NONE: none */
    int32_t partitions[TOPIC_HISTORY_NAMES];
};
struct topic_history {
    struct history *history;
    struct topic_life lives[TOPIC_HISTORY_LIVES];
    uint32_t life_count;
    struct topic_change_seen *changes; /* that may have been, or were acknowledged */
    uint32_t change_count, change_capacity;
    struct topic_met *met;
    uint32_t met_count, met_capacity;
    uint64_t refused;
};

void topic_history_init(struct topic_history *t, struct history *history);
void topic_history_release(struct topic_history *t);
bool topic_history_is_full(const struct topic_history *t);

/* ---- changes: the number of one that leaves now is kept until its answer, or for ever ---- */
uint32_t topic_history_asks(struct topic_history *t, enum topic_history_op op, uint32_t name, uint32_t life,
                            int64_t value, uint64_t now_ns);
/* Acknowledged; of creations and deletions `id` says which topic. */
void topic_history_done(struct topic_history *t, uint32_t change, struct uuid id, uint64_t now_ns);
/* Refused for certain: `met`: because there is one already, or none. */
enum topic_history_met { TOPIC_MET_NOTHING, TOPIC_MET_ONE, TOPIC_MET_NONE };
void topic_history_refused(struct topic_history *t, uint32_t change, enum topic_history_met met,
                           uint64_t now_ns);

/* ---- what nodes tell ---- */
void topic_view_init(struct topic_view *view);
/* `id` zero: there is no topic of this name. The life that it is, or TOPIC_HISTORY_NONE. */
uint32_t topic_history_told(struct topic_history *t, struct topic_view *view, uint32_t name, struct uuid id,
                            int32_t partitions, uint64_t now_ns);
/* True: this life was over before that one began. */
bool topic_history_is_older(const struct topic_history *t, uint32_t life, uint32_t than);

/* At rest, all nodes tell the same: for each name a life or TOPIC_HISTORY_NONE, with so many partitions and
 * these settings (-1: as it was made). */
struct topic_at_rest {
    uint32_t life;
    int32_t partitions;
    int64_t settings[TOPIC_HISTORY_SETTINGS];
};
void topic_history_finish(struct topic_history *t, const struct topic_at_rest *at_rest, uint32_t names);

#endif
