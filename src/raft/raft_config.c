// SPDX-License-Identifier: Apache-2.0
#include "base/cursor.h"
#include "raft/raft_internal.h"

#define CONFIG_VERSION ((uint8_t)1)

int raft_config_find(const struct raft_config *config, uint64_t id) {
    if (config == NULL) return -1;
    for (uint32_t i = 0; i < config->member_count; i++)
        if (config->members[i].id == id) return (int)i;
    return -1;
}

bool raft_config_joint(const struct raft_config *config) {
    for (uint32_t i = 0; i < config->member_count; i++)
        if ((config->members[i].flags & RAFT_VOTER_OLD) != 0) return true;
    return false;
}

bool raft_config_voter(const struct raft_config *config, uint64_t id) {
    int at = raft_config_find(config, id);
    return at >= 0 && (config->members[at].flags & (RAFT_VOTER | RAFT_VOTER_OLD)) != 0;
}

static struct raft_config *config_new(uint32_t member_count) {
    struct raft_config *config = mem_calloc(1, raft_config_size(member_count));
    config->member_count = member_count;
    return config;
}

struct raft_config *raft_config_copy(const struct raft_config *config) {
    if (config == NULL) return NULL;
    struct raft_config *copy = config_new(config->member_count);
    memcpy(copy->members, config->members, config->member_count * sizeof *copy->members);
    return copy;
}

/* Every configuration has a voter in each of its halves, and one role for each member in the new one. */
static bool well_formed(const struct raft_config *config) {
    bool voter = false;
    for (uint32_t i = 0; i < config->member_count; i++) {
        uint8_t flags = config->members[i].flags;
        if (config->members[i].id == RAFT_NO_ID) return false;
        if (i > 0 && config->members[i - 1].id >= config->members[i].id) return false;
        if (flags == 0 || flags > (RAFT_VOTER | RAFT_VOTER_OLD | RAFT_LEARNER)) return false;
        if ((flags & RAFT_VOTER) != 0 && (flags & RAFT_LEARNER) != 0) return false;
        if ((flags & RAFT_VOTER) != 0) voter = true;
    }
    return voter;
}

struct buffer *raft_config_encode(const struct raft_config *config) {
    struct buffer *buffer = buffer_new(2 + config->member_count * 9);
    uint8_t *to = buffer->data;
    *to++ = CONFIG_VERSION;
    *to++ = (uint8_t)config->member_count;
    for (uint32_t i = 0; i < config->member_count; i++) {
        store_be64(to, config->members[i].id);
        to[8] = config->members[i].flags;
        to += 9;
    }
    return buffer;
}

enum status raft_config_decode(struct slice bytes, struct raft_config **config) {
    struct reader reader = reader_make(bytes);
    uint8_t version = reader_u8(&reader);
    uint8_t count = reader_u8(&reader);
    if (!reader_ok(&reader)) return STATUS_MALFORMED;
    if (version != CONFIG_VERSION) return STATUS_VERSION;
    if (count > RAFT_MEMBERS_MAX || reader_remaining(&reader) != (size_t)count * 9) return STATUS_MALFORMED;
    struct raft_config *decoded = config_new(count);
    for (uint32_t i = 0; i < count; i++) {
        decoded->members[i].id = reader_be64(&reader);
        decoded->members[i].flags = reader_u8(&reader);
    }
    if (!well_formed(decoded)) {
        mem_free(decoded);
        return STATUS_MALFORMED;
    }
    *config = decoded;
    return STATUS_OK;
}

/* Adds to `member`'s flags, or inserts it in order. */
static void add(struct raft_config *config, struct raft_member member) {
    uint32_t at = 0;
    while (at < config->member_count && config->members[at].id < member.id)
        at++;
    if (at < config->member_count && config->members[at].id == member.id) {
        config->members[at].flags |= member.flags;
        return;
    }
    memmove(&config->members[at + 1], &config->members[at], (config->member_count - at) * sizeof member);
    config->members[at] = member;
    config->member_count++;
}

enum status raft_config_build(const struct raft_member *members, uint32_t count,
                              struct raft_config **config) {
    if (count == 0 || count > RAFT_MEMBERS_MAX) return STATUS_INVALID;
    struct raft_config *built = config_new(count);
    built->member_count = 0;
    bool valid = true;
    for (uint32_t i = 0; i < count; i++) {
        /* One node is one place to lose data: two of its incarnations must not count twice. */
        for (uint32_t j = 0; j < i; j++)
            valid &= raft_id_node(members[i].id) != raft_id_node(members[j].id);
        valid &= members[i].flags == RAFT_VOTER || members[i].flags == RAFT_LEARNER;
        add(built, members[i]);
    }
    if (!valid || !well_formed(built)) {
        mem_free(built);
        return STATUS_INVALID;
    }
    *config = built;
    return STATUS_OK;
}

bool raft_config_equal(const struct raft_config *a, const struct raft_config *b) {
    if (a->member_count != b->member_count) return false;
    for (uint32_t i = 0; i < a->member_count; i++)
        if (a->members[i].id != b->members[i].id || a->members[i].flags != b->members[i].flags) return false;
    return true;
}

struct raft_config *raft_config_join(const struct raft_config *from, const struct raft_config *to) {
    struct raft_config *joint = config_new(from->member_count + to->member_count);
    joint->member_count = 0;
    for (uint32_t i = 0; i < to->member_count; i++)
        add(joint, to->members[i]);
    for (uint32_t i = 0; i < from->member_count; i++)
        if ((from->members[i].flags & RAFT_VOTER) != 0)
            add(joint, (struct raft_member){from->members[i].id, RAFT_VOTER_OLD});
    if (joint->member_count <= RAFT_MEMBERS_MAX) return joint;
    mem_free(joint);
    return NULL;
}

bool raft_config_changes_voters(const struct raft_config *joint) {
    for (uint32_t i = 0; i < joint->member_count; i++) {
        uint8_t flags = joint->members[i].flags;
        if (((flags & RAFT_VOTER) != 0) != ((flags & RAFT_VOTER_OLD) != 0)) return true;
    }
    return false;
}

struct raft_config *raft_config_leave(const struct raft_config *joint) {
    struct raft_config *config = config_new(joint->member_count);
    config->member_count = 0;
    for (uint32_t i = 0; i < joint->member_count; i++) {
        struct raft_member member = joint->members[i];
        member.flags &= RAFT_VOTER | RAFT_LEARNER;
        if (member.flags != 0) add(config, member);
    }
    return config;
}
