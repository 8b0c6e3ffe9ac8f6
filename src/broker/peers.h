// SPDX-License-Identifier: Apache-2.0
/* peers.h: the other nodes of the cluster: connections to them, who they are, whether they live.
 *
 *   node A  link ──HELLO──> inbound  node B        one connection for each direction: A's link carries what A
 *           link <─WELCOME─ inbound                says, B's link to A carries what B says
 *           link ──frames─> inbound ──> events
 *
 * A link (peer_link.h) is kept to each peer, dialled again with growing pauses. An inbound is the other end:
 * the bytes of a connection that came in on the shared port (server/connection.c), or on a listener of its
 * own (peers_listen, for worlds without a server). Each connection begins with both sides saying which
 * cluster, node, incarnation and protocol versions they are; what does not belong together is refused with a
 * reason, which both sides log.
 *
 * What is sent in one turn to one peer leaves as one frame: messages of all groups, beats among them. Queues
 * are bounded: above queue_bytes_max messages are dropped, as by a network; consensus sends again.
 *
 * LIFE. Every frame that comes in from a node, pings among them, says that it lives. A node that was silent
 * for down_after_ns, also since it was added, or whose connection to us ended, is down until it is heard
 * again. One that proves to have been slow is given up to four times as long, for ten seconds; and who was
 * away itself judges nobody.
 *
 * Owner   peers owns links, the owner of the transport owns inbounds.
 * Errors  a connection with garbage, a bad checksum or a wrong identity is closed and counted.
 * Loop    shard thread only.  Bounds: PEERS_MAX nodes; queue_bytes_max and PEER_FRAME_SIZE_MAX a peer.
 * I1  events but `hello` come only from nodes of our own cluster, of the incarnation last greeted. */
#ifndef SENTINEL_BROKER_PEERS_H
#define SENTINEL_BROKER_PEERS_H

#include "base/chain.h"
#include "io/io.h"
#include "wire/peer_codec.h"

#define PEERS_MAX 64

struct peers;
struct peer_inbound;

struct peer_events {
    /* One message of consensus; borrowed, but its owner may be referenced. */
    void (*message)(void *ctx, uint32_t node, struct shared_slice message);
    /* The rest may be NULL. Between brokers: a question, to be answered with peers_answer and its number; the
     * answer to one of ours; something to know. */
    void (*request)(void *ctx, uint32_t node, uint64_t number, struct shared_slice body);
    void (*answer)(void *ctx, uint32_t node, uint64_t number, struct shared_slice body);
    void (*notice)(void *ctx, uint32_t node, struct shared_slice body);
    void (*down)(void *ctx, uint32_t node);
    void (*up)(void *ctx,
               uint32_t node); /* also: connected anew, and perhaps restarted, without being missed */
    /* Somebody whose identity is in order so far; the last word on whether to talk. Also what a node without
     * a cluster learns from others. */
    enum peer_refusal (*hello)(void *ctx, const struct peer_hello *hello);
};

struct peers_options {
    struct io *io;
    struct log *log;
    uint32_t node, incarnation;
    uint64_t ping_ns;                    /* the longest silence */
    uint64_t down_after_ns;              /* silence that means that a node is down */
    uint64_t retry_ns_min, retry_ns_max; /* pause before dialling again: doubles, with some chance */
    size_t queue_bytes_max;              /* waiting for one peer */
    uint64_t seed;
    const struct peer_events *events;
    void *ctx;
};
struct peers_options peers_options_default(void);

struct peers *peers_new(const struct peers_options *options);
/* Ends every connection; `done` when nothing is under way any more. */
void peers_shutdown(struct peers *peers, void (*done)(void *ctx), void *ctx);
/* After shutdown is done, or at a simulated crash, where nothing completes any more. Inbounds first. */
void peers_free(struct peers *peers);

/* Our cluster and how it was founded; empty at first. Connections begin anew, so that all hear of it. */
void peers_set_cluster(struct peers *peers, const char *cluster_id, struct slice founding);
/* Keeps a link to this node; a new address for one that is there. INVALID: too many, or ourselves. */
enum status peers_add(struct peers *peers, uint32_t node, const char *address) MUST_USE;
void peers_remove(struct peers *peers, uint32_t node);

/* Takes all of `message`. It leaves at the end of the turn, or is dropped. */
void peers_send(struct peers *peers, uint32_t node, struct chain *message);
/* False: not connected or the queue is full, and `body` is dropped. */
bool peers_request(struct peers *peers, uint32_t node, uint64_t number, struct chain *body);
bool peers_answer(struct peers *peers, uint32_t node, uint64_t number, struct chain *body);
bool peers_notice(struct peers *peers, uint32_t node, struct chain *body);

/* ---- what comes in ------------------------------------------------------------------------------------- */

/* A connection that began with PEER_MAGIC, from there (for the log). `send` takes bytes for the other side (all of the chain), `close`
 * ends the connection after they are gone; neither calls back. */
struct peer_inbound *peer_inbound_new(struct peers *peers, const struct io_address *from,
                                      void (*send)(void *ctx, struct chain *bytes), void (*close)(void *ctx),
                                      void *ctx);
/* As protocol.receive of server/connection.h: takes whole frames from `bytes`, which lie in `buffer`. */
#define PEER_INBOUND_BROKEN ((size_t)-1)
size_t peer_inbound_receive(struct peer_inbound *inbound, struct buffer *buffer, struct slice bytes,
                            size_t *wanted);
/* The connection is gone. */
void peer_inbound_free(struct peer_inbound *inbound);

/* Listens for peers alone; closed by peers_shutdown. */
enum status peers_listen(struct peers *peers, const char *address, struct io_address *bound,
                         struct diagnostic *diagnostic) MUST_USE;

/* ---- what is known --------------------------------------------------------------------------------------
 */

struct peer_info {
    uint32_t node, incarnation; /* incarnation 0: never heard of */
    const char *address;
    bool up;                   /* heard lately */
    bool connected;            /* our link stands */
    bool in_cluster;           /* says that it belongs to our cluster */
    enum peer_refusal refusal; /* why the last attempt was refused */
    uint64_t sent_bytes, received_bytes, dropped, reconnects;
};
/* False: no such peer. */
bool peers_find(const struct peers *peers, uint32_t node, struct peer_info *info);
/* The i-th in the order of their numbers; false: no more. */
bool peers_get(const struct peers *peers, uint32_t index, struct peer_info *info);

#endif
