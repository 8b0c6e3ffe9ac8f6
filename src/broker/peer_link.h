// SPDX-License-Identifier: Apache-2.0
/* peer_link.h: the connection to one peer, for what we say to it (peers.h).
 *
 *   IDLE ──> CONNECTING ──> GREETING (HELLO sent, WELCOME awaited) ──> UP ──> (end, error, refusal) WAITING
 * ──┐ ^──────────────────────────── retry_ns_min, doubled up to retry_ns_max ──────────────────────────┘
 *
 * Everything that one turn of the loop says is packed into a frame and sent at the end of the turn; while a
 * send is under way more gathers, so a busy link sends few large frames.
 *
 * Owner   peers. A closed link lives until its operations have completed.  Loop: shard thread only.
 * Bounds  queue_bytes_max of peers; frames of about PEER_LINK_FRAME_BYTES. */
#ifndef SENTINEL_BROKER_PEER_LINK_H
#define SENTINEL_BROKER_PEER_LINK_H

#include "base/prng.h"
#include "broker/peers.h"

#define PEER_LINK_FRAME_BYTES (1 * MIB)
#define PEER_LINK_SLICES      64

enum peer_link_phase {
    PEER_LINK_IDLE,
    PEER_LINK_CONNECTING,
    PEER_LINK_GREETING,
    PEER_LINK_UP,
    PEER_LINK_WAITING,
    PEER_LINK_CLOSED
};

struct peer_link;
/* Its owner's side. */
struct peer_link_owner {
    struct io *io;
    void *ctx;
    void (*hello)(void *ctx, struct peer_link *link, struct writer *out); /* the HELLO to send */
    /* The answer; true: go on. */
    bool (*welcome)(void *ctx, struct peer_link *link, struct slice payload);
    void (*gone)(void *ctx, struct peer_link *link);  /* after peer_link_close: nothing is under way */
    void (*ended)(void *ctx, struct peer_link *link); /* was up, is not any more */
};

struct peer_link {
    struct peer_link_owner owner;
    uint32_t node;
    char address[72];
    enum peer_link_phase phase;
    uint64_t retry_ns, retry_ns_min, retry_ns_max, ping_ns;
    size_t queue_bytes_max;
    struct prng prng;
    struct io_socket *socket;
    struct io_op connect, send, receive, flush;
    struct io_timer timer; /* WAITING: dial again; GREETING: give up; UP: ping */
    bool connecting, sending, receiving, flush_scheduled;
    struct chain pack, out; /* messages to be framed; frames */
    struct slice slices[PEER_LINK_SLICES];
    size_t slice_bytes;
    struct buffer *in;
    size_t in_size;
    uint64_t last_send_ns;
    uint64_t sent_bytes, dropped, reconnects;
};

struct peer_link *peer_link_new(const struct peer_link_owner *owner, const struct peers_options *options,
                                uint32_t node, const char *address);
/* `gone` comes later. */
void peer_link_close(struct peer_link *link);
/* At a simulated crash, or after `gone`. */
void peer_link_free(struct peer_link *link);
/* Dials anew, as after an error but at once. */
void peer_link_reset(struct peer_link *link, const char *address);
/* Takes all of `message`; false: dropped. */
bool peer_link_message(struct peer_link *link, struct chain *message);
bool peer_link_frame(struct peer_link *link, enum peer_frame_kind kind, struct chain *payload);

#endif
