// SPDX-License-Identifier: Apache-2.0
/* shadow.h: what the log of one member must hold, told from the outside: from the effects of its core, not
 * from its disk.
 *
 *   effects ─> write n begins ─> `view` (all writes begun)
 *              write n reported as persisted ─> `durable`
 *
 * After a restart the disk must be `durable` and some first part of the writes that were under way: nothing
 * reported may be lost, and no later write be there without the earlier ones (S1, S2). Entries that were
 * compacted away stay known here.
 *
 * Owner   the shadow; entries are identities only, but for configurations, whose payload is referenced.
 * Loop    one thread. */
#ifndef SENTINEL_SIM_SHADOW_H
#define SENTINEL_SIM_SHADOW_H

#include "raft/raft.h"
#include "sim/raft_ghost.h"

struct shadow_image {
    struct raft_hard_state hard_state;
    struct raft_stored *log; /* [0] begins at log_start */
    uint32_t count, capacity;
    uint64_t log_start, log_start_term, log_start_chain;
    uint64_t first; /* entries below may be gone from the disk */
};
struct shadow_write {
    uint64_t number;
    struct raft_hard_state hard_state;
    bool set_hard_state, truncate, install, leave;
    uint64_t truncate_from;
    struct raft_stored *entries;
    uint32_t entry_count;
    uint64_t install_end, install_term, install_chain;
};
struct shadow {
    struct shadow_image view, durable;
    struct shadow_write *writes; /* begun, not reported; oldest first */
    uint32_t write_count, write_capacity;
};

void shadow_init(struct shadow *shadow);
void shadow_release(struct shadow *shadow);
/* A write begins. `install_chain`: of what is installed, if anything is. */
struct shadow_write *shadow_begin(struct shadow *shadow, const struct raft_effects *effects,
                                  uint64_t install_chain);
void shadow_persist(struct shadow *shadow, uint64_t number);
/* The member gives its copy away: a write begins that leaves nothing but the hard state. Nobody reports it;
 * the next start shows whether it got there. */
void shadow_leave(struct shadow *shadow);
/* Restarted from this: false when that is not `durable` and a first part of the writes under way. */
bool shadow_restart(struct shadow *shadow, const struct raft_start *start);

uint64_t shadow_end(const struct shadow_image *image);
/* Index of the first entry that ends above `position`. */
uint32_t shadow_above(const struct shadow_image *image, uint64_t position);
/* False: no entry ends there. */
bool shadow_chain(const struct shadow_image *image, uint64_t position, uint64_t *chain);

#endif
