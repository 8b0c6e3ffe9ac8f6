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

static uint64_t majority_value(const struct raft_config *config, uint8_t flag, const uint64_t *values) {
    uint64_t sorted[RAFT_MEMBERS_MAX]; /* descending */
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->member_count; i++) {
        if ((config->members[i].flags & flag) == 0) continue;
        uint32_t at = count++;
        for (; at > 0 && sorted[at - 1] < values[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = values[i];
    }
    return count == 0 ? 0 : sorted[count / 2];
}

uint64_t raft_quorum_value(const struct raft_config *config, const uint64_t *values) {
    uint64_t value = majority_value(config, RAFT_VOTER, values);
    if (!raft_config_joint(config)) return value;
    uint64_t old = majority_value(config, RAFT_VOTER_OLD, values);
    return MIN(value, old);
}
