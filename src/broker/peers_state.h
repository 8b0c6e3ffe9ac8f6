// SPDX-License-Identifier: Apache-2.0
/* peers_state.h: what peers.c, peer_inbound.c and peer_listener.c share. Not for others.
 *
 * Owner   struct peers owns nodes, links and its own listener with its connections.
 * Loop    shard thread only. */
#ifndef SENTINEL_BROKER_PEERS_STATE_H
#define SENTINEL_BROKER_PEERS_STATE_H

#include "base/list.h"
#include "broker/peer_link.h"
#include "broker/peers.h"

struct peer {
    uint32_t node, incarnation;
    struct peer_link *link;
    bool in_cluster, up;
    bool missed;                       /* told to be down; neither this nor up: just added */
    uint64_t heard_ns;                 /* or added */
    uint64_t patience_ns;              /* so long a silence means that it is down */
    uint64_t patient_since_ns;         /* when it was last found to be alive after all */
    bool silent;                       /* down because of that, not because its connections ended */
    uint32_t inbounds;                 /* greeted connections from it */
    enum peer_refusal refusal, logged; /* the last; what was logged of it */
    uint64_t received_bytes;
};

/* Who was refused last, by number; what is said of it in the log, and how often. */
#define PEER_REFUSED_LOG_NS (60 * NS_PER_S)
struct peer_refused {
    uint32_t node;
    enum peer_refusal refusal;
    uint64_t logged_ns; /* 0: never */
};

struct peers {
    struct peers_options options;
    char cluster_id[PEER_CLUSTER_ID_SIZE + 1];
    struct writer founding;
    struct peer nodes[PEERS_MAX]; /* ascending numbers */
    uint32_t count;
    struct list inbounds; /* struct peer_inbound.link */
    struct io_timer timer;
    uint64_t looked_ns; /* when silence was last judged */
    struct peer_refused refused[16];
    struct io_listener *listener;
    struct list accepted; /* struct peer_connection of the own listener */
    uint32_t links_closing;
    bool closing;
    void (*done)(void *ctx);
    void *done_ctx;
    struct io_op done_op;
};

struct peer_inbound {
    struct list link;
    struct peers *peers;
    void (*send)(void *ctx, struct chain *bytes);
    void (*close)(void *ctx);
    void *ctx;
    struct io_address from;
    bool magic_seen, greeted, closing;
    uint32_t node, incarnation;
};

struct peer *peers_node(struct peers *peers, uint32_t node);
void peers_fill_hello(const struct peers *peers, struct peer_hello *hello);
/* Whether to talk to who says this. */
enum peer_refusal peers_judge(struct peers *peers, const struct peer_hello *hello);
/* It was greeted: remember its incarnation. */
void peers_know(struct peers *peers, const struct peer_hello *hello);
void peers_heard(struct peers *peers, struct peer *peer);
void peers_lost(struct peers *peers, struct peer *peer);
void peers_check_done(struct peers *peers);
/* peer_listener.c */
void peers_stop_listening(struct peers *peers, bool crashed);

#endif
