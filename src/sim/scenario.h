// SPDX-License-Identifier: Apache-2.0
/* scenario.h: everything that decides a run: the cluster, its knobs, and what is done to it, in order.
 *
 *   # A leader that is cut off steps down, and the others elect another.     the first comment is the title
 *   nodes 3
 *   set election-max 300ms
 *   expect leader within 2s as L
 *   at 3s cut L->*
 *
 * A file in tests/scenarios, the plan drawn from a seed and the log of a run are all scenarios, so that each
 * can be written down and run again.
 *
 * Owner   scenario_release frees. Errors: with the line's number. Loop: any. */
#ifndef SENTINEL_SIM_SCENARIO_H
#define SENTINEL_SIM_SCENARIO_H

#include "base/prng.h"
#include "sim/action.h"

#define SCENARIO_ACTIONS_MAX 20000U

/*  field                     name            unit   default     lowest     highest a seed draws
 * Sizes are small so that flushes, snapshots and full windows happen many times in a run. A memtable is
 * charged for the receive buffers (64 KiB) that its values lie in: the lowest is flushed after every append.
 * Followers must be able to copy what brokers' clients write in a run, megabytes, while its convergence is waited for.
 */
#define SIM_KNOB_LIST(X)                                                                                     \
    X(election_ms_min, "election-min", 150, 100, 300)                                                        \
    X(election_ms_spread, "election-spread", 150, 50, 300)                                                   \
    X(heartbeat_ms, "heartbeat", 50, 20, 60)                                                                 \
    X(sleep_after_ms, "sleep-after", 0, 0, 1000)                                                             \
    X(append_bytes, "append-bytes", 65536, 200, 65536)                                                       \
    X(inflight, "inflight", 64, 1, 64)                                                                       \
    X(uncommitted_bytes, "uncommitted-bytes", 1048576, 4096, 1048576)                                        \
    X(window_bytes, "window-bytes", 65536, 1024, 65536)                                                      \
    X(memtable_bytes, "memtable-bytes", 524288, 65536, 1048576)                                              \
    X(wal_segment_bytes, "wal-segment-bytes", 65536, 65536, 262144)                                          \
    X(snapshot_entries, "snapshot-entries", 0, 0, 200)                                                       \
    X(snapshot_piece_bytes, "snapshot-piece-bytes", 4096, 64, 4096)                                          \
    X(groups, "groups", 1, 1, 3)                                                                             \
    X(scrub_interval_ms, "scrub-interval", 4000, 1000, 8000)                                                 \
    X(catch_up_rate, "catch-up-rate", 0, 500000, 20000000)                                                   \
    X(log_read_bytes, "log-read-bytes", 512, 64, 1048576)                                                    \
    X(manifest_bytes, "manifest-bytes", 8192, 1024, 65536)

struct sim_knobs {
#define SIM_KNOB_FIELD_(field, name, usual, low, high) uint32_t field;
    SIM_KNOB_LIST(SIM_KNOB_FIELD_)
#undef SIM_KNOB_FIELD_
};
struct sim_knobs sim_knobs_default(void);
/* Each knob stays as usual or is drawn: swarms of unusual ones. */
void sim_knobs_draw(struct sim_knobs *knobs, struct prng *prng);

struct scenario {
    char title[200];
    char workload[16];
    uint64_t seed;
    uint32_t nodes;
    struct sim_knobs knobs;
    struct action *actions;
    uint32_t count, capacity;
    struct action_names names;
};
void scenario_init(struct scenario *scenario);
void scenario_release(struct scenario *scenario);
void scenario_add(struct scenario *scenario, const struct action *action);
void scenario_copy(struct scenario *to, const struct scenario *from); /* `to` is released first */
enum status scenario_parse(struct scenario *scenario, struct slice text, struct diagnostic *why) MUST_USE;
void scenario_print(struct writer *to, const struct scenario *scenario);

#endif
