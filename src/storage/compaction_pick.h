// SPDX-License-Identifier: Apache-2.0
/* compaction_pick.h: what to compact next: a pure function of a version.
 *
 * Level sizes follow the data from below: the last level holds most, each level above a tenth of the next,
 * and level 0 goes to the highest level that is in use (the base level). A run that shares no key with
 * anything below its level is moved, not rewritten. In order of urgency:
 *
 *   1 level 0 holds COMPACTION_L0_TRIGGER tables or more: the oldest run with all that overlaps it
 *   2 a level is larger than its target: the next stretch of runs, in key order, round and round
 *   3 a table is mostly garbage: its runs died while others in the same file live on
 *
 * Source  LevelDB doc/impl.md (round robin by key); RocksDB «dynamic level sizes». Loop: any thread. */
#ifndef SENTINEL_STORAGE_COMPACTION_PICK_H
#define SENTINEL_STORAGE_COMPACTION_PICK_H

#include "storage/version.h"

#define COMPACTION_L0_TRIGGER   4u
#define COMPACTION_LEVEL_FACTOR 10u
/* A table is garbage when less than a quarter of its bytes are in runs. */
#define COMPACTION_GARBAGE_FACTOR 4u

struct compaction_limits {
    uint64_t base_bytes;  /* target of the base level, at least */
    uint64_t input_bytes; /* of one compaction from the upper level, about */
};
struct compaction_plan {
    enum { COMPACTION_NONE, COMPACTION_LEVEL0, COMPACTION_SIZE, COMPACTION_GARBAGE } reason;
    uint32_t level, output_level;
    const struct run **upper; /* level 0: newest first; else by key */
    size_t upper_count, upper_capacity;
    const struct run **lower; /* of output_level, by key; none when it is the same level */
    size_t lower_count, lower_capacity;
    struct slice first, last; /* keys, both included; borrowed from the runs */
};
void compaction_plan_init(struct compaction_plan *plan);
void compaction_plan_release(struct compaction_plan *plan);
/* cursors: where round robin goes on, a key for each level; borrowed. Runs marked damaged are left alone. */
void compaction_pick(const struct version *version, const struct compaction_limits *limits,
                     const struct writer cursors[STORE_LEVEL_COUNT], struct compaction_plan *plan);
/* The last level a run of `level` can stand in without passing anything that shares a key with it, `plan`'s
 * inputs not counted (may be NULL). */
uint32_t compaction_deepest(const struct version *version, const struct compaction_plan *plan, uint32_t level,
                            struct slice first, struct slice last);
bool compaction_plan_has(const struct compaction_plan *plan, const struct run *run);

#endif
