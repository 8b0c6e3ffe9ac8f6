// SPDX-License-Identifier: Apache-2.0
/* store_script.h: a run of the store against its model as a list of operations, one a line, that can be drawn
 * from a seed, printed, read, run, and shortened while it still fails.
 *
 *   seed ─> draw ─> script ─> run in a child process ─> held, or what failed ─> shrink ─> text ─> tests/data
 *
 * Every operation carries all it needs (keys, value ids, times), and one that makes no sense where it stands
 * is skipped, so that any part of a script is a script. A child runs it: failed assertions of the store, bad
 * memory accesses and endless loops count as failures like a difference to the model.
 *
 * Source  Zeller and Hildebrandt 2002 (ddmin); Groce et al. 2012 (swarm testing: each seed leaves out some
 *         kinds of operations altogether).
 * Owner   the script owns its operations. Loop: the test's thread. */
#ifndef SENTINEL_TESTS_LIB_STORE_SCRIPT_H
#define SENTINEL_TESTS_LIB_STORE_SCRIPT_H

#include "base/cursor.h"
#include "lib/store_model.h"

#define STORE_SCRIPT_WALKS  4u
#define STORE_SCRIPT_CODECS 3u

enum store_script_kind {
    SCRIPT_WRITE, /* changes */
    SCRIPT_GET,   /* a: key, b: give up instead of waiting */
    SCRIPT_OPEN,  /* a: walk, b: lower, c: upper, d: flags */
    SCRIPT_MOVE,  /* a: walk, b: enum store_model_move, c: key, or how many times, d: leave instead of waiting
                   */
    SCRIPT_CLOSE, /* a: walk */
    SCRIPT_FLUSH, /**/
    SCRIPT_RUN,   /* a: nanoseconds */
    SCRIPT_SETTLE, /**/
    SCRIPT_CHECK,  /**/
    SCRIPT_REOPEN, /**/
    SCRIPT_CRASH,  /* a: enum io_sim_crash, b: the disk stops at this operation of the recovery, 0: never */
    SCRIPT_STOP,  /* a: at this disk operation from now the disk stops, b: enum io_sim_stop; c, d: as CRASH */
    SCRIPT_FAULT, /* a: 0 read, 1 write, 2 sync, 3 write without room; b: the how many-th from now fails */
    SCRIPT_CAPACITY, /* a: KiB; 0: no limit */
    SCRIPT_KIND_COUNT,
};
struct store_script_op {
    enum store_script_kind kind;
    uint64_t a, b, c, d;
    uint32_t change_count;
    struct store_model_change changes[STORE_MODEL_CHANGES_MAX];
};
struct store_script {
    uint64_t seed; /* of the simulated machine */
    bool forgetful;
    uint64_t memtable_bytes, cache_bytes, segment_bytes, table_bytes, prefix_size, value_size_max;
    uint64_t manifest_bytes, scrub_ms;
    uint64_t compression; /* enum store_compression, or STORE_SCRIPT_CODECS: another one at each opening */
    struct store_script_op *ops;
    size_t count, capacity;
};

void store_script_init(struct store_script *script);
void store_script_release(struct store_script *script);
struct store_script_op *store_script_add(struct store_script *script, enum store_script_kind kind);
void store_script_draw(struct store_script *script, uint64_t seed);
void store_script_print(const struct store_script *script, struct writer *out);
/* INVALID: *line is the first that makes no sense. */
enum status store_script_parse(struct store_script *script, struct slice text, size_t *line) MUST_USE;
/* Runs in this process; a difference ends it through store_model's on_failure, or fails the CMocka test. */
void store_script_run(const struct store_script *script,
                      void (*on_failure)(struct store_model *model, const char *what), void *ctx);

struct store_script_result {
    bool held;
    uint64_t seed; /* the first that failed */
    char what[96]; /* what the model said, or the signal */
};
/* Runs the scripts of seeds first, first + 1, ... `count` of them, in a child, up to the first that fails.
 * quiet: what the child prints goes nowhere. */
struct store_script_result store_script_try_seeds(uint64_t first, uint64_t count, bool forgetful, bool quiet);
struct store_script_result store_script_try(const struct store_script *script, bool quiet);
/* Leaves out what is not needed to fail in the same way; `attempts_max` bounds the work. */
void store_script_shrink(struct store_script *script, const char *what, size_t attempts_max);

#endif
