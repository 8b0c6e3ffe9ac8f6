// SPDX-License-Identifier: Apache-2.0
#include "sim/raft_ghost.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/map.h"
#include "base/mem.h"

void raft_ghost_init(struct raft_ghost *ghost) {
    *ghost = (struct raft_ghost){.base_chain = 0x5eed};
}

void raft_ghost_release(struct raft_ghost *ghost) {
    mem_free(ghost->leaders);
    mem_free(ghost->identities);
    mem_free(ghost->votes);
    mem_free(ghost->committed);
    mem_free(ghost->outcomes);
    raft_ghost_init(ghost);
}

void raft_ghost_fail(struct raft_ghost *ghost, const char *format, ...) {
    if (ghost->violation[0] != '\0') return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(ghost->violation, sizeof ghost->violation, format, arguments);
    va_end(arguments);
}

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15U;
    return h ^ h >> 29;
}

static uint64_t mix_bytes(uint64_t h, struct slice bytes) {
    return mix(h, hash_bytes(h, bytes));
}

uint64_t raft_ghost_content(const struct raft_entry *entry) {
    return mix_bytes(mix(1, (uint64_t)entry->kind), entry->payload.bytes);
}

uint64_t raft_ghost_config(const struct raft_config *config) {
    if (config == NULL) return 0;
    struct buffer *bytes = raft_config_encode(config);
    uint64_t name = mix_bytes(2, slice_make(bytes->data, bytes->size));
    buffer_unref(bytes);
    return name;
}

uint64_t raft_ghost_chain(uint64_t before, const struct raft_entry *entry) {
    return mix(mix(mix(mix(before, entry->base), entry->end), entry->term), raft_ghost_content(entry));
}

/* Open addressing over elements whose first two words are the key. */
static uint64_t *slot_of(void *table, size_t capacity, size_t element_size, uint64_t a, uint64_t b) {
    for (size_t i = (size_t)(mix(mix(7, a), b) >> 20);; i++) {
        uint64_t *slot = (uint64_t *)(void *)((uint8_t *)table + (i & (capacity - 1)) * element_size);
        if ((slot[0] == 0 && slot[1] == 0) || (slot[0] == a && slot[1] == b)) return slot;
    }
}

/* The table to use, with room for one more. */
static void *reserve(void *table, size_t count, size_t *capacity, size_t element_size) {
    if ((count + 1) * 2 <= *capacity) return table;
    size_t grown = *capacity == 0 ? 64 : *capacity * 2;
    void *to = mem_calloc(grown, element_size);
    for (size_t i = 0; i < *capacity; i++) {
        uint64_t *from = (uint64_t *)(void *)((uint8_t *)table + i * element_size);
        if (from[0] == 0 && from[1] == 0) continue;
        memcpy(slot_of(to, grown, element_size, from[0], from[1]), from, element_size);
    }
    mem_free(table);
    *capacity = grown;
    return to;
}

void raft_ghost_entry(struct raft_ghost *ghost, const struct raft_stored *stored) {
    const struct raft_entry *entry = &stored->entry;
    ghost->identities = reserve(ghost->identities, ghost->identity_count, &ghost->identity_capacity,
                                sizeof *ghost->identities);
    struct raft_identity *known = (struct raft_identity *)slot_of(
        ghost->identities, ghost->identity_capacity, sizeof *ghost->identities, entry->end, entry->term);
    uint64_t content = raft_ghost_content(entry);
    if (known->end == 0) {
        *known = (struct raft_identity){entry->end, entry->term, entry->base, content, stored->chain};
        ghost->identity_count++;
        return;
    }
    RAFT_EXPECT(ghost, known->base == entry->base && known->content == content,
                "R6 entry identity: two entries end at %" PRIu64 " in term %" PRIu64, entry->end,
                entry->term);
    RAFT_EXPECT(ghost, known->chain == stored->chain,
                "R5 log matching: logs agree at %" PRIu64 "/%" PRIu64 " but not below", entry->end,
                entry->term);
}

const struct raft_identity *raft_ghost_identity(const struct raft_ghost *ghost, uint64_t end, uint64_t term) {
    if (ghost->identity_count == 0) return NULL;
    const struct raft_identity *known = (const struct raft_identity *)slot_of(
        ghost->identities, ghost->identity_capacity, sizeof *ghost->identities, end, term);
    return known->end == 0 ? NULL : known;
}

void raft_ghost_leader(struct raft_ghost *ghost, uint64_t term, uint64_t id) {
    if (term >= ghost->leader_capacity) {
        size_t grown = (size_t)term * 2 + 16;
        ghost->leaders = mem_realloc(ghost->leaders, grown * sizeof *ghost->leaders);
        memset(ghost->leaders + ghost->leader_capacity, 0,
               (grown - ghost->leader_capacity) * sizeof *ghost->leaders);
        ghost->leader_capacity = grown;
    }
    uint64_t known = ghost->leaders[term];
    RAFT_EXPECT(ghost, known == 0 || known == id,
                "R1 election safety: %" PRIx64 " and %" PRIx64 " lead term %" PRIu64, known, id, term);
    ghost->leaders[term] = id;
}

uint64_t raft_ghost_led(const struct raft_ghost *ghost, uint64_t term) {
    return term < ghost->leader_capacity ? ghost->leaders[term] : 0;
}

void raft_ghost_vote(struct raft_ghost *ghost, uint64_t voter, uint64_t term, uint64_t candidate) {
    ghost->votes = reserve(ghost->votes, ghost->vote_count, &ghost->vote_capacity, sizeof *ghost->votes);
    struct raft_cast_vote *known = (struct raft_cast_vote *)slot_of(ghost->votes, ghost->vote_capacity,
                                                                    sizeof *ghost->votes, voter, term);
    if (known->voter == 0) {
        *known = (struct raft_cast_vote){voter, term, candidate};
        ghost->vote_count++;
    }
    RAFT_EXPECT(ghost, known->candidate == candidate,
                "R2 vote uniqueness: %" PRIx64 " votes for %" PRIx64 " and %" PRIx64 " in term %" PRIu64,
                voter, known->candidate, candidate, term);
}

uint64_t raft_ghost_end(const struct raft_ghost *ghost) {
    return ghost->committed_count == 0 ? 0 : ghost->committed[ghost->committed_count - 1].end;
}

const struct raft_committed *raft_ghost_find(const struct raft_ghost *ghost, uint64_t end) {
    size_t low = 0, high = ghost->committed_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ghost->committed[middle].end < end)
            low = middle + 1;
        else
            high = middle;
    }
    return low < ghost->committed_count && ghost->committed[low].end == end ? &ghost->committed[low] : NULL;
}

/* ---- outcomes ----------------------------------------------------------------------------------------- */

static struct raft_outcome *outcome_of(struct raft_ghost *ghost, uint64_t content) {
    ghost->outcomes = reserve(ghost->outcomes, ghost->outcome_count, &ghost->outcome_capacity,
                              sizeof *ghost->outcomes);
    struct raft_outcome *outcome = (struct raft_outcome *)slot_of(ghost->outcomes, ghost->outcome_capacity,
                                                                  sizeof *ghost->outcomes, content, 1);
    if (outcome->known == 0) {
        *outcome = (struct raft_outcome){.content = content, .known = 1};
        ghost->outcome_count++;
    }
    return outcome;
}

static void check_outcome(struct raft_ghost *ghost, const struct raft_outcome *outcome) {
    RAFT_EXPECT(ghost, !outcome->committed || !outcome->refused,
                "B22 definite refusal: what was refused is committed at %" PRIu64, outcome->base);
}

void raft_ghost_refused(struct raft_ghost *ghost, uint64_t content) {
    struct raft_outcome *outcome = outcome_of(ghost, content);
    outcome->refused = true;
    check_outcome(ghost, outcome);
}

static void note_committed(struct raft_ghost *ghost, const struct raft_entry *entry) {
    const struct raft_identity *identity = raft_ghost_identity(ghost, entry->end, entry->term);
    if (identity == NULL) return;
    struct raft_outcome *outcome = outcome_of(ghost, identity->content);
    outcome->committed = true;
    outcome->base = entry->base;
    check_outcome(ghost, outcome);
}

/* ---- commits ------------------------------------------------------------------------------------------ */

void raft_ghost_commit(struct raft_ghost *ghost, const struct raft_stored *stored, uint64_t term,
                       uint64_t who) {
    const struct raft_entry *entry = &stored->entry;
    if (entry->end <= raft_ghost_end(ghost)) {
        const struct raft_committed *known = raft_ghost_find(ghost, entry->end);
        RAFT_EXPECT(ghost, known != NULL && known->chain == stored->chain,
                    "R8 state machine safety: %" PRIx64 " commits another entry at %" PRIu64 "/%" PRIu64, who,
                    entry->end, entry->term);
        return;
    }
    RAFT_EXPECT(ghost, entry->base == raft_ghost_end(ghost),
                "R8 state machine safety: %" PRIx64 " commits [%" PRIu64 ",%" PRIu64 ") above %" PRIu64, who,
                entry->base, entry->end, raft_ghost_end(ghost));
    if (ghost->committed_count == ghost->committed_capacity) {
        ghost->committed_capacity = ghost->committed_capacity == 0 ? 64 : ghost->committed_capacity * 2;
        ghost->committed = mem_realloc(ghost->committed,
                                       ghost->committed_capacity * sizeof *ghost->committed);
    }
    uint64_t config = ghost->committed_count == 0 ? ghost->base_config
                                                  : ghost->committed[ghost->committed_count - 1].config;
    if (entry->kind == RAFT_ENTRY_CONFIG) config = mix_bytes(2, entry->payload.bytes);
    ghost->committed[ghost->committed_count++] = (struct raft_committed){
        entry->base, entry->end, entry->term, stored->chain, term, config};
    note_committed(ghost, entry);
}

uint64_t raft_ghost_end_before(const struct raft_ghost *ghost, uint64_t term) {
    for (size_t i = ghost->committed_count; i-- > 0;)
        if (ghost->committed[i].commit_term < term) return ghost->committed[i].end;
    return 0;
}
