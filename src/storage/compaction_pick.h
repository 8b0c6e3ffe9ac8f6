// SPDX-License-Identifier: Apache-2.0
/* compaction_pick.h: what to compact next: a pure function of a version.
 *
 * Level sizes follow the data from below: the last level holds most, each level above a tenth of the next,
 * and level 0 goes to the highest level that is in use (the base level). A run that shares no key with
 * anything below its level is moved, not rewritten. In order of urgency:
 *
 *   1 level 0 holds COMPACTION_L0_TRIGGER tables or more: what can go down as it is goes; else the oldest
 * runs, each with all that overlaps it, many such clusters at once 2 a level is larger than its target: the
 * next stretch of runs, in key order, round and round; a run with damage that is not needed any more is
 * written without it (level 0: with rule 1, at once) 3 a table is mostly garbage: its runs died while others
 * in the same file live on 4 a segment of the log is mostly garbage: what tables still refer to in it is
 * moved into tables 5 a partition has many small runs side by side: they become one. Values that lie in the
 * log in small pieces are moved in, so that a reader finds them in one: the price of a second write is paid
 * once, where it buys something
 *
 * What one compaction writes is a list of parts: stretches of the key space between which others may have
 * runs. No output run reaches over the end of a part.
 *
 * Source  LevelDB doc/impl.md (round robin by key); RocksDB «dynamic level sizes»; Lu et al. 2016, WiscKey
 *         (values apart from keys, collected when dead). Loop: any thread. */
#ifndef SENTINEL_STORAGE_COMPACTION_PICK_H
#define SENTINEL_STORAGE_COMPACTION_PICK_H

#include "storage/version.h"

#define COMPACTION_L0_TRIGGER   4u
#define COMPACTION_LEVEL_FACTOR 10u
/* A level that is so many times as large as it should be does not wait for others. */
#define COMPACTION_URGENT_FACTOR 2u
/* A table is garbage when less than a quarter of its bytes are in runs. */
#define COMPACTION_GARBAGE_FACTOR   4u
#define COMPACTION_GARBAGE_RUNS_MAX 64u /* of one compaction: each may be in a file of its own */
/* A segment of the log is garbage when less than half of it is referred to. */
#define COMPACTION_SPARSE_FACTOR 2u
/* So many runs of one partition side by side, each smaller than that, become one. */
#define COMPACTION_SMALL_COUNT 16u
#define COMPACTION_SMALL_BYTES (64 * KIB)
/* Values that lie in the log in pieces smaller than that on average are moved into tables by 5. */
#define COMPACTION_EXTENT_MIN (8 * KIB)

struct compaction_limits {
    uint64_t base_bytes;  /* target of the base level, at least */
    uint64_t input_bytes; /* of one compaction from the upper level, about */
    size_t partition_prefix_size;
    uint64_t full_segment; /* segments up to this one have nothing left that is not in tables */
};
struct compaction_plan {
    enum {
        COMPACTION_NONE,
        COMPACTION_LEVEL0,
        COMPACTION_SIZE,
        COMPACTION_MENDED,
        COMPACTION_GARBAGE,
        COMPACTION_SPARSE,
        COMPACTION_SMALL
    } reason;
    uint32_t level, output_level;
    const struct run **upper; /* level 0: newest first; else by key */
    size_t upper_count, upper_capacity;
    const struct run **lower; /* of output_level, by key; none when it is the same level */
    size_t lower_count, lower_capacity;
    struct slice first, last; /* keys of all inputs, both included; borrowed from the runs */
    struct key_range *parts;  /* by key, disjoint; keys borrowed from the runs */
    size_t part_count;
    bool moving;        /* the upper runs go down as they are */
    bool urgent;        /* the level is far larger than it should be */
    uint64_t *segments; /* SPARSE: of the log, rising: values in them are moved in */
    size_t segment_count;
};
/* True when the compaction moves values of `run` that lie in that segment into its tables. */
bool compaction_moves_in(const struct compaction_plan *plan, const struct table_run_meta *run,
                         uint64_t segment);
void compaction_plan_init(struct compaction_plan *plan);
void compaction_plan_release(struct compaction_plan *plan);
/* cursors: where round robin goes on, a key for each level; borrowed. Runs marked damaged are left alone. */
void compaction_pick(const struct version *version, const struct compaction_limits *limits,
                     const struct writer cursors[STORE_LEVEL_COUNT], struct compaction_plan *plan);
/* The last level a run of `level` can stand in without passing anything that shares a key with it, `plan`'s
 * inputs not counted (may be NULL). */
uint32_t compaction_deepest(const struct version *version, const struct compaction_plan *plan, uint32_t level,
                            struct slice first, struct slice last);

#endif
