// SPDX-License-Identifier: Apache-2.0
#include "sim/raft_checker.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "base/units.h"
#include "sim/raft_checker_internal.h"

/* ---- groups and members ------------------------------------------------------------------------------- */

struct raft_checker *raft_checker_new(struct probes *probes) {
    struct raft_checker *checker = mem_calloc(1, sizeof *checker);
    checker->probes = probes;
    map_init(&checker->by_id, 1);
    return checker;
}

void raft_checker_free(struct raft_checker *checker) {
    for (uint32_t i = 0; i < checker->member_count; i++) {
        shadow_release(&checker->members[i]->shadow);
        mem_free(checker->members[i]);
    }
    for (uint32_t i = 0; i < checker->group_count; i++) {
        raft_ghost_release(&checker->groups[i]->ghost);
        mem_free(checker->groups[i]->acknowledged);
        mem_free(checker->groups[i]);
    }
    map_release(&checker->by_id);
    mem_free(checker->members);
    mem_free(checker->groups);
    mem_free(checker);
}

void raft_checker_fail(struct raft_checker *checker, const char *format, ...) {
    if (checker->violation[0] != '\0') return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(checker->violation, sizeof checker->violation, format, arguments);
    va_end(arguments);
}

/* A violation that the ghost found is ours, too. */
static void take_violation(struct raft_checker *checker, struct checked_group *group) {
    if (group->ghost.violation[0] != '\0') raft_checker_fail(checker, "%s", group->ghost.violation);
}

const char *raft_checker_violation(const struct raft_checker *checker) {
    return checker->violation;
}

static struct checked_group *find_group(struct raft_checker *checker, uint64_t number) {
    for (uint32_t i = 0; i < checker->group_count; i++)
        if (checker->groups[i]->number == number) return checker->groups[i];
    checker->groups = mem_realloc(checker->groups, (checker->group_count + 1) * sizeof *checker->groups);
    struct checked_group *group = mem_calloc(1, sizeof *group);
    group->number = number;
    raft_ghost_init(&group->ghost);
    return checker->groups[checker->group_count++] = group;
}

struct member_key {
    uint8_t bytes[16];
};

static struct member_key member_key(uint64_t group, uint64_t id) {
    struct member_key key;
    store_be64(key.bytes, group);
    store_be64(key.bytes + 8, id);
    return key;
}

struct checked_member *raft_checker_find(const struct raft_checker *checker, uint64_t group, uint64_t id) {
    const struct member_key key = member_key(group, id);
    return map_get(&checker->by_id, slice_make(key.bytes, sizeof key.bytes));
}

static struct checked_member *member_of(struct raft_checker *checker, const struct raft *raft) {
    struct checked_member *member = raft_checker_find(checker, raft->group, raft->options->id);
    if (member != NULL) return member;
    checker->members = mem_realloc(checker->members, (checker->member_count + 1) * sizeof *checker->members);
    member = mem_calloc(1, sizeof *member);
    member->group = find_group(checker, raft->group);
    member->id = raft->options->id;
    shadow_init(&member->shadow);
    const struct member_key key = member_key(raft->group, member->id);
    map_put(&checker->by_id, slice_make(key.bytes, sizeof key.bytes), member);
    return checker->members[checker->member_count++] = member;
}

/* ---- commits ----------------------------------------------------------------------------------------- */

/* [from, end) became committed here. */
static void check_commit(struct raft_checker *checker, struct checked_member *member, uint64_t from,
                         uint64_t end, uint64_t term) {
    const struct shadow_image *view = &member->shadow.view;
    struct checked_group *group = member->group;
    for (uint32_t i = shadow_above(view, from); i < view->count && view->log[i].entry.base < end; i++) {
        EXPECT(view->log[i].entry.end <= end, "R13 commit between entries: %" PRIx64 " at %" PRIu64,
               member->id, end);
        bool known = view->log[i].entry.end <= raft_ghost_end(&group->ghost);
        PROBE_IF(checker->probes, commit_of_earlier_term, !known && view->log[i].entry.term < term);
        raft_ghost_commit(&group->ghost, &view->log[i], term, member->id);
    }
    take_violation(checker, group);
}

/* A group of one has committed what is on its disk, also what nobody heard of before a crash. Any other
 * member begins below what was committed. */
static void check_first_commit(struct raft_checker *checker, struct checked_member *member,
                               const struct raft *raft) {
    uint64_t end = raft_ghost_end(&member->group->ghost);
    if (raft->commit_end <= end) return;
    EXPECT(raft_check_quorum(checker, member, raft, raft->commit_end),
           "R11 commit: %" PRIx64 " restarts with commit end %" PRIu64 ", nobody committed above %" PRIu64,
           member->id, raft->commit_end, end);
    check_commit(checker, member, end, raft->commit_end, raft->term);
}

/* ---- starting and stopping ---------------------------------------------------------------------------- */

void raft_checker_started(struct raft_checker *checker, const struct raft *raft,
                          const struct raft_start *start) {
    struct checked_member *member = member_of(checker, raft);
    uint64_t promised = shadow_end(&member->shadow.durable), term = member->shadow.durable.hard_state.term;
    uint32_t under_way = member->shadow.write_count;
    EXPECT(!member->lost, "R20 identity: %" PRIx64 " is used again, but its disk is lost", member->id);
    bool fits = shadow_restart(&member->shadow, start);
    EXPECT(fits,
           "S1 durability: %" PRIx64 " restarts at term %" PRIu64 " vote %" PRIx64 " log [%" PRIu64
           ",%" PRIu64 "), but term %" PRIu64 " and %" PRIu64 " were durable",
           member->id, start->hard_state.term, start->hard_state.vote, start->log_start, start->log_end, term,
           promised);
    EXPECT(start->hard_state.term >= member->term_sent,
           "R3 terms: %" PRIx64 " restarts in term %" PRIu64 " after it spoke in %" PRIu64, member->id,
           start->hard_state.term, member->term_sent);
    bool kept = shadow_end(&member->shadow.durable) > promised ||
                member->shadow.durable.hard_state.term > term;
    PROBE_IF(checker->probes, crash_lost_writes, under_way != 0 && !kept);
    PROBE_IF(checker->probes, crash_kept_writes, under_way != 0 && kept);
    PROBE_IF(checker->probes, restarted_compacted, start->log_start > 0);
    PROBE_IF(checker->probes, damage_found, start->damaged_from < start->damaged_to);
    member->raft = raft;
    member->starts++;
    member->applied_end = 0;
    member->restored = false;
    raft_check_config(checker, member, raft);
    check_first_commit(checker, member, raft);
}

void raft_checker_left(struct raft_checker *checker, const struct raft *raft) {
    shadow_leave(&member_of(checker, raft)->shadow);
}

void raft_checker_stopped(struct raft_checker *checker, const struct raft *raft) {
    struct checked_member *member = raft_checker_find(checker, raft->group, raft->options->id);
    if (member == NULL || member->raft == NULL) return;
    bool writing = member->shadow.write_count != 0;
    if (raft_is_leader(raft)) {
        PROBE(checker->probes, leader_crashed);
        PROBE_IF(checker->probes, leader_crashed_writing, writing);
        PROBE_IF(checker->probes, leader_crashed_sent,
                 writing && member->sent_end > shadow_end(&member->shadow.durable));
    } else {
        PROBE_IF(checker->probes, follower_crashed_writing, writing);
        for (uint32_t i = 0; i < member->shadow.write_count; i++)
            PROBE_IF(checker->probes, vote_lost_with_node,
                     member->shadow.writes[i].set_hard_state &&
                         member->shadow.writes[i].hard_state.vote != RAFT_NO_ID);
    }
    member->raft = NULL;
}

void raft_checker_disk_lost(struct raft_checker *checker, uint32_t node, uint32_t incarnation) {
    PROBE(checker->probes, disk_lost);
    for (uint32_t i = 0; i < checker->member_count; i++)
        if (checker->members[i]->id == raft_id(node, incarnation)) checker->members[i]->lost = true;
}

/* ---- one step ----------------------------------------------------------------------------------------- */

void raft_checker_before(struct raft_checker *checker, const struct raft *raft,
                         const struct raft_event *event) {
    struct checked_member *member = member_of(checker, raft);
    member->before = (struct checked_before){.term = raft->term,
                                             .vote = raft->vote,
                                             .commit_end = raft->commit_end,
                                             .transfer_to = raft->transfer_to,
                                             .role = raft->role,
                                             .asleep = raft->asleep,
                                             .damaged = raft->log.damaged_from < raft->log.damaged_to};
    if (event->kind == RAFT_EVENT_ENTRIES_READ && event->entries_read.status == STATUS_OK)
        raft_check_read_back(checker, member, event);
    if (event->kind == RAFT_EVENT_PERSISTED) raft_checker_durable(checker, raft, event->write);
}

/* Writes up to this one are on the disk; so says the store, and later the event. */
void raft_checker_durable(struct raft_checker *checker, const struct raft *raft, uint64_t number) {
    struct checked_member *member = member_of(checker, raft);
    for (uint32_t i = 0; i < member->shadow.write_count; i++) {
        const struct shadow_write *write = &member->shadow.writes[i];
        if (write->number <= number) raft_check_durable(checker, member, write);
    }
    shadow_persist(&member->shadow, number);
}

static void begin_write(struct raft_checker *checker, struct checked_member *member, const struct raft *raft,
                        const struct raft_effects *effects) {
    struct checked_group *group = member->group;
    uint64_t install_chain = 0;
    if (effects->truncate) raft_check_truncation(checker, member, raft, effects->truncate_from);
    if (effects->install != NULL) {
        const struct raft_committed *committed = raft_ghost_find(&group->ghost, effects->install->end);
        EXPECT(committed != NULL && committed->term == effects->install->term,
               "R21 snapshot coherence: %" PRIx64 " installs what was not committed up to %" PRIu64,
               member->id, effects->install->end);
        if (committed != NULL) install_chain = committed->chain;
        PROBE(checker->probes, snapshot_installed);
        PROBE_IF(checker->probes, snapshot_over_entries, shadow_end(&member->shadow.view) != 0);
        member->snapshots++;
    }
    uint64_t chain;
    bool found = effects->entry_count == 0 || effects->install != NULL ||
                 shadow_chain(&member->shadow.view, effects->entries[0].base, &chain);
    EXPECT(found, "R5 log matching: %" PRIx64 " writes at %" PRIu64 ", between two entries or past its end",
           member->id, effects->entry_count == 0 ? 0 : effects->entries[0].base);
    if (!found) return;
    uint64_t own_end = shadow_end(&member->shadow.view);
    raft_check_changes(checker, member, raft, effects);
    const struct shadow_write *write = shadow_begin(&member->shadow, effects, install_chain);
    for (uint32_t i = 0; i < write->entry_count; i++) {
        struct raft_stored stored = {effects->entries[i], write->entries[i].chain, false};
        raft_ghost_entry(&group->ghost, &stored);
        PROBE_IF(checker->probes, noop_appended,
                 stored.entry.kind == RAFT_ENTRY_NOOP && raft_is_leader(raft));
        bool repairs = stored.entry.end <= own_end && !effects->truncate;
        PROBE_IF(checker->probes, damage_repaired, repairs);
        member->repairs += repairs;
    }
    take_violation(checker, group);
}

void raft_checker_after(struct raft_checker *checker, const struct raft *raft, const struct raft_event *event,
                        const struct raft_effects *effects) {
    struct checked_member *member = member_of(checker, raft);
    const struct checked_before *before = &member->before;
    EXPECT(raft->term >= before->term, "R3 terms: %" PRIx64 " goes back to %" PRIu64, member->id, raft->term);
    EXPECT(raft->term > before->term || before->vote == RAFT_NO_ID || raft->vote == before->vote,
           "R3 votes: %" PRIx64 " changes its vote in term %" PRIu64, member->id, raft->term);
    EXPECT(raft->commit_end >= before->commit_end,
           "R11 commit monotonicity: %" PRIx64 " goes back to %" PRIu64, member->id, raft->commit_end);
    if (event->kind == RAFT_EVENT_RECEIVE && event->message->kind == RAFT_PREVOTE)
        EXPECT(raft->term == before->term && raft->vote == before->vote,
               "R22 pre-vote neutrality: %" PRIx64 " changed term or vote", member->id);
    if (effects->write != 0) begin_write(checker, member, raft, effects);
    if (raft->role == RAFT_LEADER) raft_check_leader(checker, member, raft, event, effects);
    if (effects->commit_end > effects->commit_from)
        check_commit(checker, member, effects->commit_from, effects->commit_end, raft->term);
    if (effects->config_changed) raft_check_config(checker, member, raft);
    for (uint32_t i = 0; i < effects->message_count; i++)
        for (uint32_t j = 0; j < effects->messages[i].entry_count; j++)
            member->sent_end = MAX(member->sent_end, effects->messages[i].entries[j].end);
    raft_probe_step(checker, member, raft, event, effects);
}

void raft_checker_leaving(struct raft_checker *checker, const struct raft *raft,
                          const struct raft_message *m) {
    struct checked_member *member = member_of(checker, raft);
    const struct raft_hard_state *hard = &member->shadow.durable.hard_state;
    struct checked_group *group = member->group;
    EXPECT(hard->term >= m->term, "R3 terms: %" PRIx64 " sends %s in term %" PRIu64 " before it is durable",
           member->id, raft_message_kind_name(m->kind), m->term);
    member->term_sent = MAX(member->term_sent, m->term);
    bool granted = m->kind == RAFT_VOTE_REPLY && (m->flags & RAFT_FLAG_GRANTED) != 0;
    if (granted || m->kind == RAFT_VOTE) {
        uint64_t candidate = granted ? m->to : m->from;
        raft_ghost_vote(&group->ghost, member->id, m->term, candidate);
        EXPECT(hard->term > m->term || hard->vote == candidate,
               "R2 vote uniqueness: %" PRIx64 " sends its vote of term %" PRIu64 " before it is durable",
               member->id, m->term);
    }
    if (m->kind == RAFT_ACK && m->term == raft->term)
        EXPECT(m->ack.match <= shadow_end(&member->shadow.durable),
               "R15 acknowledged when durable: %" PRIx64 " claims %" PRIu64 " of %" PRIu64, member->id,
               m->ack.match, shadow_end(&member->shadow.durable));
    if (m->kind == RAFT_TIMEOUT_NOW && raft->role == RAFT_LEADER) {
        const struct raft_progress *progress = raft_progress(raft, m->to);
        EXPECT(progress != NULL && progress->match == raft->log.end,
               "R25 transfer: %" PRIx64 " lets one take over that lacks entries", member->id);
    }
    take_violation(checker, group);
}

/* ---- state machines ----------------------------------------------------------------------------------- */

void raft_checker_applied(struct raft_checker *checker, const struct raft *raft,
                          const struct raft_entry *entry) {
    struct checked_member *member = member_of(checker, raft);
    const struct raft_ghost *ghost = &member->group->ghost;
    EXPECT(entry->base == member->applied_end,
           "R8 state machine safety: %" PRIx64 " applies [%" PRIu64 ",%" PRIu64 ") after %" PRIu64,
           member->id, entry->base, entry->end, member->applied_end);
    const struct raft_committed *committed = raft_ghost_find(ghost, entry->end);
    EXPECT(committed != NULL,
           "R8 state machine safety: %" PRIx64 " applies [%" PRIu64 ",%" PRIu64 "), which is not committed",
           member->id, entry->base, entry->end);
    uint64_t chain = raft_ghost_chain(member->applied_chain, entry);
    EXPECT(committed == NULL || committed->chain == chain,
           "S6 detection: %" PRIx64 " applies another entry [%" PRIu64 ",%" PRIu64 ") than was committed",
           member->id, entry->base, entry->end);
    member->applied_end = entry->end;
    member->applied_chain = chain;
}

void raft_checker_restored(struct raft_checker *checker, const struct raft *raft, uint64_t end,
                           uint64_t chain) {
    struct checked_member *member = member_of(checker, raft);
    const struct raft_ghost *ghost = &member->group->ghost;
    const struct raft_committed *committed = raft_ghost_find(ghost, end);
    uint64_t expected = end == 0 ? ghost->base_chain : committed == NULL ? 0 : committed->chain;
    EXPECT(chain == expected,
           "S14 applied position: the state of %" PRIx64 " is not what was committed up to %" PRIu64,
           member->id, end);
    member->applied_end = end;
    member->applied_chain = chain;
    member->restored = true;
}

uint64_t raft_checker_applied_chain(const struct raft_checker *checker, const struct raft *raft) {
    const struct checked_member *member = raft_checker_find(checker, raft->group, raft->options->id);
    return member == NULL || !member->restored ? 0 : member->applied_chain;
}

uint64_t raft_checker_applied_end(const struct raft_checker *checker, const struct raft *raft) {
    const struct checked_member *member = raft_checker_find(checker, raft->group, raft->options->id);
    return member == NULL ? 0 : member->applied_end;
}

/* ---- clients ------------------------------------------------------------------------------------------ */

uint64_t raft_checker_content(struct slice payload) {
    struct raft_entry entry = {.kind = RAFT_ENTRY_DATA, .payload = {payload, NULL}};
    return raft_ghost_content(&entry);
}

/* The committed entry that begins at `base`; NULL: none does. */
static const struct raft_committed *committed_from(const struct checked_group *group, uint64_t base) {
    const struct raft_ghost *ghost = &group->ghost;
    size_t low = 0, high = ghost->committed_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ghost->committed[middle].base < base)
            low = middle + 1;
        else
            high = middle;
    }
    return low < ghost->committed_count && ghost->committed[low].base == base ? &ghost->committed[low] : NULL;
}

/* Of the committed entry that begins at `base`; 0: none. */
static uint64_t content_at(const struct checked_group *group, uint64_t base) {
    const struct raft_committed *committed = committed_from(group, base);
    if (committed == NULL) return 0;
    const struct raft_identity *identity = raft_ghost_identity(&group->ghost, committed->end,
                                                               committed->term);
    return identity == NULL ? 0 : identity->content;
}

void raft_checker_acknowledged(struct raft_checker *checker, uint64_t number, uint64_t base,
                               uint64_t content) {
    struct checked_group *group = find_group(checker, number);
    if (group->acknowledged_count == group->acknowledged_capacity) {
        group->acknowledged_capacity = MAX(64U, group->acknowledged_capacity * 2);
        group->acknowledged = mem_realloc(group->acknowledged,
                                          group->acknowledged_capacity * sizeof *group->acknowledged);
    }
    group->acknowledged[group->acknowledged_count++] = (struct acknowledged){base, content};
    uint64_t known = content_at(group, base);
    EXPECT(base < raft_ghost_end(&group->ghost) && known == content,
           "B6 acknowledged: what was acknowledged at %" PRIu64 " is not committed there", base);
    group->acknowledged_end = MAX(group->acknowledged_end, base + 1);
}

uint64_t raft_checker_read_begins(const struct raft_checker *checker, uint64_t number) {
    for (uint32_t i = 0; i < checker->group_count; i++)
        if (checker->groups[i]->number == number) return checker->groups[i]->acknowledged_end;
    return 0;
}

void raft_checker_read_served(struct raft_checker *checker, uint64_t id, uint64_t position,
                              uint64_t must_see) {
    EXPECT(position >= must_see,
           "R24 read linearizability: a read at %" PRIx64 " of %" PRIu64
           " misses what was acknowledged at %" PRIu64,
           id, position, must_see);
}

void raft_checker_refused(struct raft_checker *checker, uint64_t number, uint64_t content) {
    struct checked_group *group = find_group(checker, number);
    raft_ghost_refused(&group->ghost, content);
    take_violation(checker, group);
}

/* ---- looking and ending ------------------------------------------------------------------------------- */

uint64_t raft_checker_snapshots_installed(const struct raft_checker *checker, uint32_t node) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < checker->member_count; i++)
        if (raft_id_node(checker->members[i]->id) == node) count += checker->members[i]->snapshots;
    return count;
}

uint64_t raft_checker_entries_repaired(const struct raft_checker *checker, uint32_t node) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < checker->member_count; i++)
        if (raft_id_node(checker->members[i]->id) == node) count += checker->members[i]->repairs;
    return count;
}

bool raft_checker_log(const struct raft_checker *checker, uint64_t group, uint64_t id, uint64_t *end,
                      uint64_t *chain) {
    const struct checked_member *member = raft_checker_find(checker, group, id);
    if (member == NULL) return false;
    *end = shadow_end(&member->shadow.view);
    return shadow_chain(&member->shadow.view, *end, chain);
}

void raft_checker_finish(struct raft_checker *checker, uint64_t number, const struct raft *const *rafts,
                         uint32_t count) {
    struct checked_group *group = find_group(checker, number);
    for (uint32_t i = 0; i < group->acknowledged_count; i++)
        EXPECT(content_at(group, group->acknowledged[i].base) == group->acknowledged[i].content,
               "B6 nothing acknowledged is lost: %" PRIu64 " is another entry now",
               group->acknowledged[i].base);
    for (uint32_t i = 0; i < count; i++) {
        const struct checked_member *member = raft_checker_find(checker, number, rafts[i]->options->id);
        EXPECT(member != NULL && member->applied_end == raft_ghost_end(&group->ghost),
               "L5 convergence: %" PRIx64 " has applied up to %" PRIu64 " of %" PRIu64, rafts[i]->options->id,
               member == NULL ? 0 : member->applied_end, raft_ghost_end(&group->ghost));
    }
}
