// SPDX-License-Identifier: Apache-2.0
/* state_change.h: what one command of a replicated state machine does to its stored state: keys put and
 * removed.
 *
 *   machine step ─> state_change ─> encoded: an entry of the group's log ─> decoded: keys in the store
 *
 * The machine lives in the memory of the node that leads; the log carries outcomes, not requests, so a
 * follower only stores keys, and whoever leads next loads them (Kafka's compacted __consumer_offsets, with
 * the LSM-tree as the compactor).
 *
 * Owner   the change owns its bytes; slices of entries are borrowed until the next put, and decode borrows
 * from its input. Loop    any thread; pure. Bounds: a key has at most STATE_CHANGE_KEY_MAX bytes. */
#ifndef SENTINEL_MACHINE_STATE_CHANGE_H
#define SENTINEL_MACHINE_STATE_CHANGE_H

#include "base/cursor.h"
#include "base/status.h"

#define STATE_CHANGE_KEY_MAX 800

struct state_change {
    struct writer bytes; /* entries in their encoded form, one after the other */
    size_t value_at;     /* of the value being written; 0: none */
    uint32_t count;
};
struct state_change_entry {
    struct slice key, value;
    bool removed;
};

void state_change_init(struct state_change *change);
void state_change_release(struct state_change *change);
void state_change_clear(struct state_change *change); /* memory kept */

void state_change_remove(struct state_change *change, struct slice key);
/* The value is written to what is returned, and ended with state_change_end. */
struct writer *state_change_put(struct state_change *change, struct slice key);
void state_change_end(struct state_change *change);

/* The entries as one log entry. */
void state_change_encode(const struct state_change *change, struct writer *out);
/* Walks an encoded change: `rest` begins as what state_change_encode wrote. END behind the last entry. */
enum status state_change_begin(struct slice *rest) MUST_USE;
enum status state_change_next(struct slice *rest, struct state_change_entry *entry) MUST_USE;

#endif
