// SPDX-License-Identifier: Apache-2.0
/* io_sim_socket.h: connections and listeners of the simulated network, shared by io_sim_net.c (connections)
 * and io_sim_listener.c (listeners, addresses).
 *
 * A connection belongs to the world: it outlives a closed socket while its bytes are on the wire, and a
 * machine that lost power leaves its peer with an end that knows nothing of it (half-open). Owner: the world.
 * Loop: one thread. */
#ifndef SENTINEL_IO_IO_SIM_SOCKET_H
#define SENTINEL_IO_IO_SIM_SOCKET_H

#include "io/io_sim_world.h"

/* How a listener or a connection names its machine. */
enum io_sim_target_kind { TARGET_IPV4, TARGET_IPV6, TARGET_NODE, TARGET_ANY };
struct io_sim_target {
    enum io_sim_target_kind kind;
    uint32_t node;
    uint16_t port;
};
/* 0 or an errno; ENOENT: a name nobody has. `self`: the node that asks. */
int io_sim_target_parse(uint32_t self, const char *address, struct io_sim_target *target);
struct io_address io_sim_target_text(enum io_sim_target_kind kind, uint32_t node, uint16_t port);

struct io_sim_flow {
    uint8_t *ring; /* NULL: nothing sent yet */
    uint32_t window;
    uint64_t taken, scheduled, arrived, read; /* positions, see io_sim_net.c */
    uint64_t limit;                           /* nothing behind it will arrive */
    bool ended;                               /* one more position: the end */
    bool window_event;                        /* the sender will hear of room */
    uint64_t last_arrival_ns;
    bool blocked;
    bool unanswered; /* the other end knows nothing of it, and its reset has not arrived */
    uint64_t blocked_position, blocked_since_ns, retry_ns;
    bool probing;                  /* the sender will ask for room */
    uint32_t probe;                /* the one that counts */
    uint64_t probe_ns, probe_from; /* the pause before it; `taken` when it was decided on */
};
struct io_sim_end {
    struct io_sim_socket *socket; /* NULL: none (any more), or not accepted yet */
    uint32_t node;
    bool open;    /* a program has this end or will be given it */
    int os_error; /* it is broken */
    struct io_address address;
};
struct io_sim_connection {
    struct list link;    /* io_sim.connections */
    struct list waiting; /* io_sim_listener.backlog */
    uint64_t number, started_ns;
    struct io_sim_target target;
    struct io_sim_end ends[2];   /* 0: who connected */
    struct io_sim_flow flows[2]; /* from that end to the other */
    uint32_t event_count;
};
struct io_sim_socket {
    struct io_socket base;
    struct list link; /* io_sim_io.sockets */
    struct io_sim_connection *connection;
    unsigned side;
    bool connected, shutdown_wanted;
    char *address; /* to connect to */
};
struct io_sim_listener {
    struct io_listener base;
    struct list link; /* io_sim_io.listeners */
    struct io_sim_target target;
    struct list backlog;
    uint32_t backlog_count;
    struct io_op op;
    bool op_begun, paused;
    bool *closed; /* set by a close from inside `accepted` */
    void (*accepted)(void *ctx, struct io_socket *socket, const struct io_address *peer);
    void *ctx;
};

struct io_sim_socket *io_sim_socket_new(struct io_sim_io *io);
/* Nobody will accept it any more. */
void io_sim_end_refuse(struct io_sim *sim, struct io_sim_connection *connection);

/* false: nobody listens (*refused), or no place in the backlog. */
bool io_sim_listener_offer(struct io_sim *sim, struct io_sim_connection *connection, bool *refused);
uint16_t io_sim_free_port(struct io_sim_io *io);
enum status io_sim_listener_open(struct io *io, const char *address,
                                 void (*accepted)(void *ctx, struct io_socket *socket,
                                                  const struct io_address *peer),
                                 void *ctx, struct io_listener **listener, struct diagnostic *diagnostic);
struct io_address io_sim_listener_address(const struct io_listener *listener);
void io_sim_listener_pause(struct io_listener *listener, bool paused);
void io_sim_listener_close(struct io_listener *listener);
/* The process is gone: who waits in the backlog is left to io_sim_net_abandon. */
void io_sim_listener_abandon(struct io_sim *sim, struct io_sim_listener *listener);
void io_sim_listener_free(struct io_sim_listener *listener);

#endif
