// SPDX-License-Identifier: Apache-2.0
/* io_sim.h: a deterministic world: nodes with disks, a network between them, one clock, one seed.
 *
 * Each node is a machine with a `struct io` of its own; the program under test runs on it as it would run on
 * uring or posix. Nothing happens by itself: io_sim_step takes the next event, by (time, order of
 * scheduling), and everything that follows from it (a turn of one node's loop, an operation of its disk,
 * bytes arriving) happens inside that call. Time jumps from event to event.
 *
 *      seed ──> streams of chance, one a purpose ──> event heap ──> turn of a node / disk / network / job
 *                                                        └──> trace hash: the same seed, the same hash
 *
 * Disk    every file has a durable image and the operations since; so have directory entries. A power cut
 *         keeps, drops or tears each operation that no sync made durable: data by sectors of 512 bytes, where
 *         a sector is always some state the page cache had (SQLite's test6.c; "All File Systems Are Not
 *         Created Equal", Pillai et al., OSDI 2014). io_file_sync makes data and size durable, io_sync_dir
 *         the entries of one directory, and neither does the other's work.
 * Network TCP as a program sees it: bytes in order, cut into any pieces, delayed, refused, reset, and nothing
 *         else ever (a lost packet is a retransmission, too many lost are a reset). Node k is reached as
 *         "nodeK:PORT"; "127.0.0.1", "[::1]" and "localhost" are each node's own.
 * Crash   io_sim_crash_node ends a node between two events. Its io stays as a dead object whose calls do
 *         nothing (blocking calls fail with IO) until io_free, so that a caller may release what he had in
 * any order; none of its operations is completed any more. io_sim_node_io then starts it again.
 *
 * Owner   the world owns nodes and disks; io_sim_free also frees every io not freed yet.
 * Units   true time in ns since the world began; nodes see it through their own clocks.
 * Loop    one thread. No call below is allowed from inside a turn, but for those that only ask or set knobs.
 * Bounds  IO_SIM_NODES_MAX nodes, numbered from 0. */
#ifndef SENTINEL_IO_IO_SIM_H
#define SENTINEL_IO_IO_SIM_H

#include "io/io.h"

#define IO_SIM_NODES_MAX 64

struct io_sim;

struct io_sim *io_sim_new(uint64_t seed);
void io_sim_free(struct io_sim *sim);

/* ---- events and time --------------------------------------------------------------------------------- */

/* Runs the next event; false when there is none: nothing will ever happen again by itself. */
bool io_sim_step(struct io_sim *sim);
/* Runs every event up to `time_ns` and sets the time to it; false when it stopped before, because a node is
 * to be crashed now (io_sim_crash_due). */
bool io_sim_run_until(struct io_sim *sim, uint64_t time_ns);
uint64_t io_sim_now(const struct io_sim *sim);
uint64_t io_sim_event_count(const struct io_sim *sim);
/* `call` runs as an event of its own, for whoever drives the world; not in the trace, as nothing happens in the
 * world by that alone. */
void io_sim_call_at(struct io_sim *sim, uint64_t time_ns, void (*call)(void *ctx), void *ctx);

/* ---- trace ------------------------------------------------------------------------------------------- */

/* Over every event so far: the same seed and program give the same hash in every build. */
uint64_t io_sim_trace_hash(const struct io_sim *sim);
/* `line` gets a readable line an event, borrowed for the call; NULL for none. Does not change the hash. */
void io_sim_set_trace(struct io_sim *sim, void (*line)(void *ctx, const char *line), void *ctx);
/* Adds something of the caller's own (a client's operation, a fault) to trace and hash. */
void io_sim_note(struct io_sim *sim, uint32_t node, const char *text);
/* The same in two halves, for what happens often and is only put into words when somebody reads it: numbers
 * for the hash, words for the trace. */
void io_sim_mark(struct io_sim *sim, uint64_t a, uint64_t b, uint64_t c);
void io_sim_remark(struct io_sim *sim, uint32_t node, const char *text);

/* ---- nodes ------------------------------------------------------------------------------------------- */

/* The io of a node; starts it when it is down: a fresh io on the disk it has. */
struct io *io_sim_node_io(struct io_sim *sim, uint32_t node);
bool io_sim_node_is_up(const struct io_sim *sim, uint32_t node);
/* The program on it has called io_stop: where io_run would return. */
bool io_sim_node_has_stopped(const struct io_sim *sim, uint32_t node);

enum io_sim_crash {
    IO_SIM_CRASH_PROCESS,     /* kill -9: the system lives, its page cache too; sockets are closed */
    IO_SIM_CRASH_POWER,       /* each unsynced operation kept, dropped or torn by the seed */
    IO_SIM_CRASH_POWER_CLEAN, /* power cut that kept everything */
    IO_SIM_CRASH_POWER_BARE,  /* power cut that kept nothing unsynced */
};
void io_sim_crash_node(struct io_sim *sim, uint32_t node, enum io_sim_crash how);
/* When everything that the node's disk, jobs and blocking calls have begun will have ended, successful or
 * not: an operation takes the time, and may meet the fault, of the disk on which it was begun. */
uint64_t io_sim_busy_until(const struct io_sim *sim, uint32_t node);
/* Turns of the node wait until then (a stopped process, a long pause); its disk and network go on. */
void io_sim_pause_node(struct io_sim *sim, uint32_t node, uint64_t until_ns);
/* As if the process got this signal. */
void io_sim_signal(struct io_sim *sim, uint32_t node, int signal_number);
/* From now on the node's monotonic clock gains drift_ppm millionths, and its wall clock is wall_offset_ms
 * off. */
void io_sim_set_clock(struct io_sim *sim, uint32_t node, int32_t drift_ppm, int64_t wall_offset_ms);
/* True time at which the node's monotonic clock showed this, as it goes now. */
uint64_t io_sim_true_time(const struct io_sim *sim, uint32_t node, uint64_t clock_ns);

/* ---- disk -------------------------------------------------------------------------------------------- */

/* Operations that change something, counted over the node's whole life: each write, sync, creation,
 * truncation, rename, link, unlink, mkdir, directory sync; io_write_sync counts twice. */
uint64_t io_sim_disk_op_count(const struct io_sim *sim, uint32_t node);

enum io_sim_stop {
    IO_SIM_STOP_BEFORE, /* the operation has no effect */
    IO_SIM_STOP_AFTER,  /* it has, but the program never hears of it */
};
/* At the n-th operation from now (1: the next one) the disk stops: that operation and all later ones fail,
 * and nothing the node does has any effect any more; io_sim_crash_due asks for the crash. 0: not any more. */
void io_sim_crash_at_disk_op(struct io_sim *sim, uint32_t node, uint64_t n, enum io_sim_stop stop);
enum io_sim_disk_op { IO_SIM_DISK_ANY, IO_SIM_DISK_WRITE, IO_SIM_DISK_SYNC };
/* The same at the n-th operation of one kind. */
void io_sim_crash_at_disk_op_of(struct io_sim *sim, uint32_t node, enum io_sim_disk_op kind, uint64_t n,
                                enum io_sim_stop stop);
bool io_sim_crash_due(const struct io_sim *sim, uint32_t node);

/* Knobs; may be changed at any time. Chances are in millionths; a countdown n makes the n-th operation of its
 * kind from now fail, once, and counts down to 0 (off). */
struct io_sim_disk_faults {
    uint32_t read_error_ppm, write_error_ppm, sync_error_ppm;
    uint32_t read_error_countdown, write_error_countdown, sync_error_countdown;
    uint32_t no_space_countdown; /* of writes and creations: half is written, and then there is no room */
    uint32_t late_no_space_countdown; /* of syncs: all is written, and then there is no room for it */
    uint64_t capacity_bytes;          /* NO_SPACE beyond it */
    bool no_descriptors;              /* every open of a file fails with BUSY */
    uint32_t slow_factor;             /* times as slow as usual; 1: usual */
};
struct io_sim_disk_faults *io_sim_disk_faults(struct io_sim *sim, uint32_t node);
/* How often, in millionths, io_file_read_now finds what it wants: the seed's choice unless it is set. Never
 * while faults make reads fail, so that these are met. */
void io_sim_set_read_now(struct io_sim *sim, uint32_t node, uint32_t ppm);
/* Damage at rest: a bit of a file is read wrong, a sector of 512 bytes cannot be read, until written again.
 * false: no such byte. */
bool io_sim_flip_bit(struct io_sim *sim, uint32_t node, const char *path, uint64_t offset, unsigned bit);
bool io_sim_break_sector(struct io_sim *sim, uint32_t node, const char *path, uint64_t offset);
/* A bit of some file, chosen by `choice` among all bytes on the disk but those of the few files that were
 * written last. false: there are none. */
bool io_sim_rot(struct io_sim *sim, uint32_t node, uint64_t choice);
/* An empty disk; the node must be down. */
void io_sim_wipe_disk(struct io_sim *sim, uint32_t node);
/* `to` (down) gets a copy of the disk of `from` (which may run) as it would be after such a crash right now:
 * cheap, pages are shared. For recovering every state on the side (Pebble's CrashClone). */
void io_sim_clone_disk(struct io_sim *sim, uint32_t from, uint32_t to, enum io_sim_crash how);

/* ---- network ----------------------------------------------------------------------------------------- */

struct io_sim_net_options {
    uint64_t latency_min_ns, latency_max_ns; /* one way, between nodes */
    uint32_t slow_ppm;                       /* chance of a delivery being slow_factor times slower */
    uint32_t slow_factor;
    uint32_t fragment_ppm; /* chance of a piece being cut at a random place; a few of these at one byte */
    uint32_t reset_ppm;    /* chance of a delivery being a reset instead */
    uint32_t window_size;  /* bytes a connection holds per direction before a send waits; for new ones */
    uint64_t timeout_ns;   /* bytes or a connect unanswered for so long break the connection */
};
struct io_sim_net_options *io_sim_net_options(struct io_sim *sim);
/* Nothing from `from` arrives at `to` any more; the other direction is another call. */
void io_sim_cut(struct io_sim *sim, uint32_t from, uint32_t to, bool cut);
/* What leaves `from` for `to` takes `factor` times as long; 1: as usual. */
void io_sim_slow_link(struct io_sim *sim, uint32_t from, uint32_t to, uint32_t factor);
/* Every connection between the two is reset, at both ends. */
void io_sim_reset_connections(struct io_sim *sim, uint32_t a, uint32_t b);

#endif
