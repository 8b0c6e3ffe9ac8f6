// SPDX-License-Identifier: Apache-2.0
#include "sim/topic_history.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

#define NEVER UINT64_MAX

void topic_history_init(struct topic_history *t, struct history *history) {
    *t = (struct topic_history){.history = history};
}

void topic_history_release(struct topic_history *t) {
    mem_free(t->changes);
    mem_free(t->met);
}

/* Those under way may all come to something. */
bool topic_history_is_full(const struct topic_history *t) {
    uint32_t open = 0;
    for (uint32_t i = 0; i < t->change_count; i++)
        open += t->changes[i].op == TOPIC_OP_CREATE && t->changes[i].told_ns == NEVER;
    return t->life_count + open >= TOPIC_HISTORY_LIVES;
}

/* The life with this id; TOPIC_HISTORY_NONE: unknown. */
static uint32_t find(const struct topic_history *t, struct uuid id) {
    for (uint32_t i = 0; i < t->life_count; i++)
        if (uuid_equal(t->lives[i].id, id)) return i;
    return TOPIC_HISTORY_NONE;
}

/* ---- lives -------------------------------------------------------------------------------------------- */

/* Somebody was told of this id for the first time: one of those made it who have not been told. */
static uint32_t life_of(struct topic_history *t, uint32_t name, struct uuid id, uint64_t now_ns) {
    uint32_t life = find(t, id);
    if (life != TOPIC_HISTORY_NONE) {
        if (t->lives[life].name != name)
            history_violate(t->history, "B19 metadata: a topic's id is told under two names");
        t->lives[life].made_by_ns = MIN(t->lives[life].made_by_ns, now_ns);
        return life;
    }
    uint64_t from_ns = NEVER;
    for (uint32_t i = 0; i < t->change_count; i++)
        if (t->changes[i].op == TOPIC_OP_CREATE && t->changes[i].name == name &&
            t->changes[i].told_ns == NEVER)
            from_ns = MIN(from_ns, t->changes[i].asked_ns);
    if (from_ns == NEVER || t->life_count == TOPIC_HISTORY_LIVES) {
        history_violate(t->history, "B22 errors: there is a topic under name %u that nobody made", name);
        return TOPIC_HISTORY_NONE;
    }
    t->lives[t->life_count] = (struct topic_life){
        .id = id, .name = name, .made_from_ns = from_ns, .made_by_ns = now_ns, .gone_by_ns = NEVER};
    return t->life_count++;
}

bool topic_history_is_older(const struct topic_history *t, uint32_t life, uint32_t than) {
    return life != than && life != TOPIC_HISTORY_NONE && than != TOPIC_HISTORY_NONE &&
           t->lives[life].gone_by_ns <= t->lives[than].made_from_ns;
}

/* ---- changes ------------------------------------------------------------------------------------------ */

uint32_t topic_history_asks(struct topic_history *t, enum topic_history_op op, uint32_t name, uint32_t life,
                            int64_t value, uint64_t now_ns) {
    ASSERT(name < TOPIC_HISTORY_NAMES);
    if (t->change_count == t->change_capacity) {
        t->change_capacity = MAX(64U, t->change_capacity * 2);
        t->changes = mem_realloc(t->changes, t->change_capacity * sizeof *t->changes);
    }
    t->changes[t->change_count] = (struct topic_change_seen){
        .op = op, .name = name, .asked_ns = now_ns, .told_ns = NEVER, .life = life, .value = value};
    return t->change_count++;
}

void topic_history_done(struct topic_history *t, uint32_t number, struct uuid id, uint64_t now_ns) {
    struct topic_change_seen *change = &t->changes[number];
    bool creates = change->op == TOPIC_OP_CREATE, deletes = change->op == TOPIC_OP_DELETE;
    uint32_t life = creates || deletes ? life_of(t, change->name, id, now_ns) : TOPIC_HISTORY_NONE;
    change->told_ns = now_ns;
    if (life == TOPIC_HISTORY_NONE) return;
    struct topic_life *it = &t->lives[life];
    it->there_ns = MAX(it->there_ns, change->asked_ns);
    if (creates && it->acknowledged)
        history_violate(t->history, "B19 metadata: two were told that they made the same topic");
    if (creates) {
        it->acknowledged = true;
        it->made_from_ns = MAX(it->made_from_ns, change->asked_ns);
    }
    if (!deletes) return;
    if (it->deleted)
        history_violate(t->history, "B19 metadata: two were told that they deleted the same topic");
    it->deleted = true;
    if (change->life != TOPIC_HISTORY_NONE && change->life != life)
        history_violate(t->history, "B19 metadata: another topic was deleted than the one that was named");
    change->life = life;
    it->gone_by_ns = MIN(it->gone_by_ns, now_ns);
}

static void meet(struct topic_history *t, uint32_t name, bool there, uint64_t asked_ns, uint64_t now_ns) {
    if (t->met_count == t->met_capacity) {
        t->met_capacity = MAX(64U, t->met_capacity * 2);
        t->met = mem_realloc(t->met, t->met_capacity * sizeof *t->met);
    }
    t->met[t->met_count++] = (struct topic_met){name, there, asked_ns, now_ns};
}

/* Nothing came of it: it is as if it had never been asked. */
void topic_history_refused(struct topic_history *t, uint32_t number, enum topic_history_met met,
                           uint64_t now_ns) {
    struct topic_change_seen *change = &t->changes[number];
    t->refused++;
    if (met != TOPIC_MET_NOTHING) meet(t, change->name, met == TOPIC_MET_ONE, change->asked_ns, now_ns);
    change->told_ns = 0;
    change->name = TOPIC_HISTORY_NAMES;
}

/* ---- what nodes tell ---------------------------------------------------------------------------------- */

void topic_view_init(struct topic_view *view) {
    memset(view, 0, sizeof *view);
    for (uint32_t i = 0; i < TOPIC_HISTORY_NAMES; i++)
        view->last[i] = TOPIC_HISTORY_NONE;
}

uint32_t topic_history_told(struct topic_history *t, struct topic_view *view, uint32_t name, struct uuid id,
                            int32_t partitions, uint64_t now_ns) {
    uint32_t before = view->last[name];
    uint32_t life = uuid_is_zero(id) ? TOPIC_HISTORY_NONE : life_of(t, name, id, now_ns);
    if (life != before && before != TOPIC_HISTORY_NONE) {
        view->left[before] = true;
        view->partitions[name] = 0;
    }
    view->last[name] = life;
    if (life == TOPIC_HISTORY_NONE) return life;
    if (view->left[life] || topic_history_is_older(t, life, before))
        history_violate(t->history,
                        "B19 metadata: a node tells of topic %u of name %u again, after a later one", life,
                        name);
    if (partitions < view->partitions[name])
        history_violate(t->history, "B19 metadata: topic %u of name %u has %d partitions, after %d", life,
                        name, partitions, view->partitions[name]);
    view->partitions[name] = partitions;
    return life;
}

/* ---- at rest ------------------------------------------------------------------------------------------ */

/* From first to last moment of this stretch of time it was there for certain. */
static bool was_there(const struct topic_life *it, uint64_t from_ns, uint64_t to_ns) {
    return it->made_by_ns <= from_ns && it->there_ns >= to_ns;
}

static bool may_have_been_there(const struct topic_life *it, uint64_t from_ns, uint64_t to_ns) {
    return it->made_from_ns <= to_ns && it->gone_by_ns >= from_ns;
}

/* Of one name there is one at a time. */
static void check_pairs(struct topic_history *t) {
    for (uint32_t i = 0; i < t->life_count; i++) {
        const struct topic_life *it = &t->lives[i];
        if (it->there_ns > it->gone_by_ns)
            history_violate(t->history, "B19 metadata: topic %u of name %u is there after it was deleted", i,
                            it->name);
        for (uint32_t k = 0; k < t->life_count; k++)
            if (k != i && t->lives[k].name == it->name &&
                was_there(it, t->lives[k].made_from_ns, t->lives[k].made_by_ns))
                history_violate(t->history,
                                "B19 metadata: topic %u of name %u was made while topic %u was there", k,
                                it->name, i);
    }
}

static void check_met(struct topic_history *t) {
    for (uint32_t i = 0; i < t->met_count; i++) {
        const struct topic_met *met = &t->met[i];
        bool certain = false, possible = false;
        for (uint32_t k = 0; k < t->life_count; k++) {
            const struct topic_life *it = &t->lives[k];
            if (it->name != met->name) continue;
            certain = certain || was_there(it, met->asked_ns, met->told_ns);
            possible = possible || may_have_been_there(it, met->asked_ns, met->told_ns);
        }
        /* One that nobody ever met may have been made by one who was never told. */
        for (uint32_t k = 0; k < t->change_count; k++)
            possible = possible || (t->changes[k].op == TOPIC_OP_CREATE && t->changes[k].name == met->name &&
                                    t->changes[k].told_ns == NEVER && t->changes[k].asked_ns <= met->told_ns);
        if (met->there ? !possible : certain)
            history_violate(t->history, "B19 metadata: name %u was said to be %s between %.3f s and %.3f s",
                            met->name, met->there ? "taken" : "free", (double)met->asked_ns / NS_PER_S,
                            (double)met->told_ns / NS_PER_S);
    }
}

/* Each topic was made by somebody, and who is gone was deleted by somebody. */
static void check_reasons(struct topic_history *t, uint32_t name, uint32_t at_rest) {
    uint32_t makers = 0, deleters = 0, unmade = 0, undeleted = 0;
    for (uint32_t i = 0; i < t->change_count; i++) {
        const struct topic_change_seen *change = &t->changes[i];
        if (change->name != name || change->told_ns != NEVER) continue;
        makers += change->op == TOPIC_OP_CREATE;
        deleters += change->op == TOPIC_OP_DELETE && change->life == TOPIC_HISTORY_NONE;
    }
    for (uint32_t i = 0; i < t->life_count; i++) {
        const struct topic_life *it = &t->lives[i];
        if (it->name != name) continue;
        unmade += !it->acknowledged;
        if (i == at_rest || it->gone_by_ns != NEVER) continue;
        bool by_id = false;
        for (uint32_t k = 0; k < t->change_count; k++)
            by_id = by_id || (t->changes[k].op == TOPIC_OP_DELETE && t->changes[k].life == i);
        undeleted += !by_id;
    }
    if (unmade > makers)
        history_violate(t->history, "B22 errors: %u topics of name %u came of %u attempts", unmade, name,
                        makers);
    if (undeleted > deleters)
        history_violate(t->history, "B22 errors: %u topics of name %u are gone, %u attempts to delete one",
                        undeleted, name, deleters);
}

/* Changes of the one that is there, by who was told so while it was there for certain. */
static bool belongs(const struct topic_change_seen *change, const struct topic_life *it, uint32_t name) {
    return change->name == name && change->told_ns != NEVER && change->asked_ns >= it->made_by_ns;
}

static void check_partitions(struct topic_history *t, uint32_t name, const struct topic_at_rest *rest) {
    for (uint32_t i = 0; i < t->change_count; i++) {
        const struct topic_change_seen *change = &t->changes[i];
        if (change->op == TOPIC_OP_PARTITIONS && belongs(change, &t->lives[rest->life], name) &&
            change->value > rest->partitions)
            history_violate(t->history, "B19 metadata: name %u has %d partitions, %lld were acknowledged",
                            name, rest->partitions, (long long)change->value);
    }
}

/* Nothing was acknowledged that was asked for after that one was acknowledged which is there now. */
static void check_setting(struct topic_history *t, uint32_t name, const struct topic_at_rest *rest,
                          uint32_t setting) {
    int64_t value = rest->settings[setting];
    bool known = value < 0;
    uint64_t set_by_ns = known ? 0 : NEVER;
    for (uint32_t i = 0; i < t->change_count; i++) {
        const struct topic_change_seen *change = &t->changes[i];
        if (change->op != TOPIC_OP_CONFIG || change->name != name || change->value != value) continue;
        known = true;
        set_by_ns = change->told_ns;
    }
    if (!known)
        history_violate(t->history, "S4 invention: name %u has a setting that nobody gave it: %lld", name,
                        (long long)value);
    for (uint32_t i = 0; i < t->change_count; i++) {
        const struct topic_change_seen *change = &t->changes[i];
        if (change->op == TOPIC_OP_CONFIG && change->value % TOPIC_HISTORY_SETTINGS == setting &&
            belongs(change, &t->lives[rest->life], name) && change->asked_ns > set_by_ns)
            history_violate(t->history,
                            "B19 metadata: name %u has setting %lld, %lld was acknowledged after it", name,
                            (long long)value, (long long)change->value);
    }
}

void topic_history_finish(struct topic_history *t, const struct topic_at_rest *at_rest, uint32_t names) {
    for (uint32_t name = 0; name < names; name++)
        if (at_rest[name].life != TOPIC_HISTORY_NONE) t->lives[at_rest[name].life].there_ns = NEVER - 1;
    check_pairs(t);
    check_met(t);
    for (uint32_t name = 0; name < names; name++) {
        check_reasons(t, name, at_rest[name].life);
        if (at_rest[name].life == TOPIC_HISTORY_NONE) continue;
        check_partitions(t, name, &at_rest[name]);
        for (uint32_t setting = 0; setting < TOPIC_HISTORY_SETTINGS; setting++)
            check_setting(t, name, &at_rest[name], setting);
    }
}
