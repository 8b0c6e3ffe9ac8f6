// SPDX-License-Identifier: Apache-2.0
/* io_sim_world.h: what the files of the simulator share: the world, its nodes, events and trace.
 *
 * io_sim.c       clocks, turns, jobs, crashes      io_sim_event.c     the heap of events, the trace
 * io_sim_disk.c  names, contents, crash outcomes   io_sim_image.c     bytes of files, in shared pages
 * io_sim_file.c  io.h's file calls on that disk    io_sim_net.c       connections and deliveries
 *                                                  io_sim_listener.c  listeners and addresses
 *
 * Every draw comes from the stream of its purpose (split from the seed), so that one draw more here does not
 * shift the chances there. Nothing depends on addresses: nodes, files and connections have numbers.
 * Owner: the world. Loop: one thread. */
#ifndef SENTINEL_IO_IO_SIM_WORLD_H
#define SENTINEL_IO_IO_SIM_WORLD_H

#include "base/prng.h"
#include "io/io_backend.h"
#include "io/io_sim.h"
#include "io/io_sim_disk.h"

#define PPM 1000000U

struct io_sim_event {
    uint64_t time_ns, sequence;
    void (*run)(struct io_sim *sim, const struct io_sim_event *event);
    void *object;
    uint64_t argument;
    uint32_t node, incarnation;
};

#define IO_SIM_SIGNALS_MAX 8

/* The io of one incarnation of a node. */
struct io_sim_io {
    struct io base;
    struct io_sim *sim;
    struct io_sim_node *node;
    struct list link;                   /* io_sim.ios */
    uint64_t turn_at_ns, turn_sequence; /* of the turn that is scheduled; sequence 0: none */
    struct list files, sockets, listeners;
    struct list disk_ops; /* given to the disk, not done */
    struct list jobs;     /* not started yet */
    struct io_job *job;   /* started, not done */
    bool in_job;
    uint64_t job_busy_ns;   /* what its blocking calls took */
    uint64_t free_at_ns;    /* the loop is busy with blocking calls until then */
    uint64_t busy_until_ns; /* and the disk and the job with what they have begun */
    struct io_op signal_op;
    bool signal_op_begun;
    unsigned signal_count;
    struct {
        int number;
        bool pending;
        void (*handler)(void *ctx, int signal_number);
        void *ctx;
    } signals[IO_SIM_SIGNALS_MAX];
};

struct io_sim_node {
    uint32_t number, incarnation;
    struct io_sim_io *io; /* NULL: down */
    bool powered;         /* off: it does not even refuse a connection */
    bool halted;          /* its disk has stopped: crash it */
    uint64_t paused_until_ns;
    uint64_t clock_true_ns, clock_ns; /* the clock showed clock_ns at clock_true_ns */
    int32_t drift_ppm;
    int64_t wall_offset_ms;
    struct io_sim_disk disk;
    struct prng random, schedule;
    uint16_t port_next;
};

struct io_sim {
    struct prng root;
    uint64_t now_ns, event_sequence, event_count;
    struct io_sim_event *events; /* 4-ary heap */
    size_t event_pending, event_capacity;
    struct io_sim_node *nodes[IO_SIM_NODES_MAX];
    struct list ios;
    struct io_sim_pool pool;   /* what the disks' files are made of */
    bool stepping, in_program; /* inside io_sim_step; inside code of a node */
    uint32_t halted_count;     /* nodes to be crashed */
    uint64_t hash[2];
    void (*trace)(void *ctx, const char *line);
    void *trace_ctx;
    /* network */
    struct io_sim_net_options net;
    struct prng net_random;
    struct list connections;
    uint64_t connection_sequence;
    bool cut[IO_SIM_NODES_MAX][IO_SIM_NODES_MAX];
    uint32_t slow[IO_SIM_NODES_MAX][IO_SIM_NODES_MAX]; /* 0 and 1: as usual */
};

/* io_sim.c */
struct io_sim_node *io_sim_node(struct io_sim *sim, uint32_t node);
/* The node's process can still do something. */
bool io_sim_is_alive(const struct io_sim_io *io);

/* io_sim_event.c */
void io_sim_schedule(struct io_sim *sim, uint64_t time_ns, uint32_t node,
                     void (*run)(struct io_sim *sim, const struct io_sim_event *event), void *object,
                     uint64_t argument);
/* The first one, out of the heap, which must not be empty. */
struct io_sim_event io_sim_event_pop(struct io_sim *sim);
/* The node has crashed or restarted since the event was scheduled. */
bool io_sim_event_is_stale(const struct io_sim *sim, const struct io_sim_event *event);
/* Traces and hashes one thing that happened; the numbers mean what `what` says. */
void io_sim_trace(struct io_sim *sim, uint32_t node, const char *what, uint64_t a, uint64_t b, uint64_t c,
                  const char *detail);

/* io_sim_file.c */
extern const struct io_file_calls io_sim_file_calls;
void io_sim_file_submit(struct io_sim_io *io, struct io_op *op);
/* The process is gone: what was on its way to the disk may have got there or not. */
void io_sim_file_abandon(struct io_sim_io *io, enum io_sim_crash how);
void io_sim_file_release(struct io_sim_io *io);

/* io_sim_net.c */
extern const struct io_net_calls io_sim_net_calls;
void io_sim_net_init(struct io_sim *sim);
void io_sim_net_submit(struct io_sim_io *io, struct io_op *op);
/* The process is gone. Sockets are closed by the system, or vanish with the power. */
void io_sim_net_abandon(struct io_sim_io *io, bool power);
void io_sim_net_release(struct io_sim_io *io);
void io_sim_net_free(struct io_sim *sim);

#endif
