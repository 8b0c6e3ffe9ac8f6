// SPDX-License-Identifier: Apache-2.0
/* cleaner_state.h: what a partition keeps of its last pass of the cleaner, under the STATE key "c".
 *
 * Errors  a value that does not parse gives false: the store's data is corrupt.  Loop: pure functions. */
#ifndef SENTINEL_BROKER_CLEANER_STATE_H
#define SENTINEL_BROKER_CLEANER_STATE_H

#include "broker/keys.h"

struct cleaner_state {
    int64_t cleaned_to;       /* each key stands once below it, counting what is above */
    uint64_t clean_records;   /* that are left there */
    int64_t tombstones_to;    /* those below have been seen for long enough */
    int64_t seen_to, seen_ms; /* those below were seen by then */
    int64_t dropped_to;       /* those below are gone */
    bool has_tombstones;
};
struct key cleaner_state_key(uint64_t group);
bool cleaner_state_is_key(struct slice rest); /* of a STATE key */
void cleaner_state_encode(const struct cleaner_state *state, struct writer *out);
bool cleaner_state_decode(struct slice value, struct cleaner_state *state);

#endif
