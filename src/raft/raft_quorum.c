// SPDX-License-Identifier: Apache-2.0
#include "raft/raft_internal.h"

static uint32_t count_flag(const struct raft_config *config, uint8_t flag, uint64_t mask) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->member_count; i++)
        count += (config->members[i].flags & flag) != 0 && (mask >> i & 1) != 0;
    return count;
}

static bool majority(const struct raft_config *config, uint8_t flag, uint64_t mask) {
    return count_flag(config, flag, mask) > count_flag(config, flag, UINT64_MAX) / 2;
}

bool raft_quorum_has(const struct raft_config *config, uint64_t mask) {
    if (!majority(config, RAFT_VOTER, mask)) return false;
    return !raft_config_joint(config) || majority(config, RAFT_VOTER_OLD, mask);
}

bool raft_quorum_lost(const struct raft_config *config, uint64_t mask) {
    return !raft_quorum_has(config, ~mask);
}

static uint64_t majority_value(const struct raft *r, uint8_t flag, size_t field) {
    const struct raft_config *config = r->latest.config;
    uint64_t sorted[RAFT_MEMBERS_MAX]; /* descending */
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->member_count; i++) {
        if ((config->members[i].flags & flag) == 0) continue;
        uint64_t value;
        memcpy(&value, (const uint8_t *)&r->progress[i] + field, sizeof value);
        uint32_t at = count++;
        for (; at > 0 && sorted[at - 1] < value; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = value;
    }
    return count == 0 ? 0 : sorted[count / 2];
}

uint64_t raft_quorum_value(const struct raft *r, size_t field) {
    uint64_t value = majority_value(r, RAFT_VOTER, field);
    if (!raft_config_joint(r->latest.config)) return value;
    uint64_t old = majority_value(r, RAFT_VOTER_OLD, field);
    return MIN(value, old);
}
