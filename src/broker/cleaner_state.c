// SPDX-License-Identifier: Apache-2.0
#include "broker/cleaner_state.h"

#define STATE_VERSION 1

#define REST_OF_KEY SLICE_LITERAL("c")

struct key cleaner_state_key(uint64_t group) {
    return key_state(group, REST_OF_KEY);
}

bool cleaner_state_is_key(struct slice rest) {
    return slice_equal(rest, REST_OF_KEY);
}

void cleaner_state_encode(const struct cleaner_state *state, struct writer *out) {
    writer_u8(out, STATE_VERSION);
    writer_be64(out, (uint64_t)state->cleaned_to);
    writer_be64(out, state->clean_records);
    writer_be64(out, (uint64_t)state->tombstones_to);
    writer_be64(out, (uint64_t)state->seen_to);
    writer_be64(out, (uint64_t)state->seen_ms);
    writer_be64(out, (uint64_t)state->dropped_to);
    writer_u8(out, state->has_tombstones);
}

bool cleaner_state_decode(struct slice value, struct cleaner_state *state) {
    struct reader in = reader_make(value);
    uint8_t version = reader_u8(&in);
    state->cleaned_to = (int64_t)reader_be64(&in);
    state->clean_records = reader_be64(&in);
    state->tombstones_to = (int64_t)reader_be64(&in);
    state->seen_to = (int64_t)reader_be64(&in);
    state->seen_ms = (int64_t)reader_be64(&in);
    state->dropped_to = (int64_t)reader_be64(&in);
    state->has_tombstones = reader_u8(&in) != 0;
    return reader_ok(&in) && reader_remaining(&in) == 0 && version == STATE_VERSION && state->cleaned_to >= 0;
}
