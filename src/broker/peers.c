// SPDX-License-Identifier: Apache-2.0
#include "broker/peers.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "broker/peers_state.h"

#define PATIENCE_MAX 4 /* times down_after_ns */
#define PATIENCE_NS  (10 * NS_PER_S)

struct peers_options peers_options_default(void) {
    return (struct peers_options){
        .ping_ns = 50 * NS_PER_MS,
        .down_after_ns = 400 * NS_PER_MS,
        .retry_ns_min = 20 * NS_PER_MS,
        .retry_ns_max = NS_PER_S,
        .queue_bytes_max = 64 * MIB,
    };
}

/* ---- life and death of others ---------------------------------------------------------------------------
 */

void peers_heard(struct peers *peers, struct peer *peer) {
    peer->heard_ns = io_now_ns(peers->options.io);
    if (peer->up) return;
    if (peer->silent) {
        /* It was only slow: to take it for dead again and again would make it slower. */
        peer->patience_ns = MIN(2 * peer->patience_ns, PATIENCE_MAX * peers->options.down_after_ns);
        peer->patient_since_ns = peer->heard_ns;
        peer->silent = false;
    }
    peer->up = true;
    peer->missed = false;
    log_info(peers->options.log, "peer is up node=%u incarnation=%08x", peer->node, peer->incarnation);
    if (peers->options.events->up != NULL) peers->options.events->up(peers->options.ctx, peer->node);
}

static void tell_down(struct peers *peers, struct peer *peer) {
    peer->up = false;
    peer->missed = true;
    if (peers->options.events->down != NULL) peers->options.events->down(peers->options.ctx, peer->node);
}

void peers_lost(struct peers *peers, struct peer *peer) {
    if (!peer->up || peers->closing) return;
    log_warn(peers->options.log, "peer is down node=%u", peer->node);
    tell_down(peers, peer);
}

static void look_around(struct io_timer *timer) {
    struct peers *peers = CONTAINER_OF(timer, struct peers, timer);
    uint64_t now = io_now_ns(peers->options.io);
    /* This process was stopped, or had much to do: what the others said meanwhile lies in its sockets. */
    bool away = now - peers->looked_ns > 2 * peers->options.ping_ns;
    peers->looked_ns = now;
    for (uint32_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->nodes[i];
        if (peer->missed) continue;
        if (away) peer->heard_ns = now;
        if (now - peer->heard_ns > peer->patience_ns) {
            /* Who has not been heard yet is not slow, and has nothing to be dialled anew for. */
            peer->silent = peer->up;
            if (peer->up)
                peers_lost(peers, peer);
            else
                tell_down(peers, peer);
        } else if (now - peer->patient_since_ns > PATIENCE_NS) {
            peer->patience_ns = peers->options.down_after_ns;
        }
    }
    /* When links ping (peer_link.c). */
    uint64_t ping_ns = peers->options.ping_ns;
    io_timer_set(peers->options.io, timer, (now / ping_ns + 1) * ping_ns);
}

/* ---- who is who -----------------------------------------------------------------------------------------
 */

struct peer *peers_node(struct peers *peers, uint32_t node) {
    for (uint32_t i = 0; i < peers->count; i++)
        if (peers->nodes[i].node == node) return &peers->nodes[i];
    return NULL;
}

void peers_fill_hello(const struct peers *peers, struct peer_hello *hello) {
    *hello = (struct peer_hello){.version_min = PEER_VERSION,
                                 .version_max = PEER_VERSION,
                                 .node = peers->options.node,
                                 .incarnation = peers->options.incarnation,
                                 .founding = writer_slice(&peers->founding)};
    memcpy(hello->cluster_id, peers->cluster_id, sizeof hello->cluster_id);
}

enum peer_refusal peers_judge(struct peers *peers, const struct peer_hello *hello) {
    if (hello->version_min > PEER_VERSION || hello->version_max < PEER_VERSION) return PEER_OTHER_VERSION;
    if (hello->cluster_id[0] != '\0' && peers->cluster_id[0] != '\0' &&
        memcmp(hello->cluster_id, peers->cluster_id, PEER_CLUSTER_ID_SIZE) != 0)
        return PEER_OTHER_CLUSTER;
    if (hello->node == peers->options.node) return PEER_SAME_NODE;
    const struct peer *peer = peers_node(peers, hello->node);
    /* Nobody is known before we are somebody ourselves (cluster.c). */
    if (peer == NULL) return peers->count == 0 ? PEER_NOT_READY : PEER_UNKNOWN_NODE;
    if (peer->incarnation != 0 && peer->incarnation != hello->incarnation && peer->up) return PEER_SAME_NODE;
    if (peers->options.events->hello == NULL) return PEER_ACCEPTED;
    return peers->options.events->hello(peers->options.ctx, hello);
}

void peers_know(struct peers *peers, const struct peer_hello *hello) {
    struct peer *peer = peers_node(peers, hello->node);
    if (peer->incarnation != hello->incarnation && peer->incarnation != 0)
        log_warn(peers->options.log, "peer has another disk node=%u incarnation=%08x before=%08x", peer->node,
                 hello->incarnation, peer->incarnation);
    /* What it said on an older connection may come after what it said on a newer: it does not leave a
     * cluster. */
    bool known = peer->incarnation == hello->incarnation && peer->in_cluster;
    peer->incarnation = hello->incarnation;
    peer->in_cluster = known || (hello->cluster_id[0] != '\0' && peers->cluster_id[0] != '\0');
}

/* ---- links ----------------------------------------------------------------------------------------------
 */

static void link_hello(void *ctx, struct peer_link *link, struct writer *out) {
    struct peer_hello hello;
    peers_fill_hello(ctx, &hello);
    hello.wanted = link->node;
    peer_hello_encode(&hello, out);
}

static void refused(struct peers *peers, struct peer *peer, enum peer_refusal refusal, const char *who) {
    peer->refusal = refusal;
    if (peer->logged == refusal || refusal == PEER_NOT_READY) return;
    peer->logged = refusal;
    log_error(peers->options.log, "peer refused node=%u by=%s reason=\"%s\"", peer->node, who,
              peer_refusal_text(refusal));
}

static bool link_welcome(void *ctx, struct peer_link *link, struct slice payload) {
    struct peers *peers = ctx;
    struct peer *peer = peers_node(peers, link->node);
    struct peer_hello hello;
    if (peer == NULL || peer->link != link || peer_hello_decode(payload, &hello) != STATUS_OK) return false;
    if (hello.refusal != PEER_ACCEPTED) {
        refused(peers, peer, hello.refusal, "it");
        return false;
    }
    enum peer_refusal refusal = hello.node != link->node ? PEER_OTHER_NODE : peers_judge(peers, &hello);
    if (refusal != PEER_ACCEPTED) {
        refused(peers, peer, refusal, "us");
        return false;
    }
    peer->refusal = peer->logged = PEER_ACCEPTED;
    peers_know(peers, &hello);
    return true;
}

static void link_gone(void *ctx, struct peer_link *link) {
    struct peers *peers = ctx;
    peer_link_free(link);
    peers->links_closing--;
    peers_check_done(peers);
}

/* It closed our connection: it ends, or the network does. The ping that follows or does not will tell. */
static void link_ended(void *ctx, struct peer_link *link) {
    struct peers *peers = ctx;
    struct peer *peer = peers_node(peers, link->node);
    if (peer != NULL && peer->link == link && peer->inbounds == 0) peers_lost(peers, peer);
}

enum status peers_add(struct peers *peers, uint32_t node, const char *address) {
    struct peer *peer = peers_node(peers, node);
    if (peer != NULL) {
        if (slice_compare(slice_from_text(peer->link->address), slice_from_text(address)) != 0)
            peer_link_reset(peer->link, address);
        return STATUS_OK;
    }
    if (node == peers->options.node || node == 0 || peers->count == PEERS_MAX) return STATUS_INVALID;
    uint32_t at = 0;
    while (at < peers->count && peers->nodes[at].node < node)
        at++;
    memmove(&peers->nodes[at + 1], &peers->nodes[at], (peers->count - at) * sizeof peers->nodes[0]);
    peers->count++;
    static const struct peer_link_owner owner = {
        .hello = link_hello, .welcome = link_welcome, .gone = link_gone, .ended = link_ended};
    struct peer_link_owner own = owner;
    own.io = peers->options.io;
    own.ctx = peers;
    peers->nodes[at] = (struct peer){
        .node = node, .heard_ns = io_now_ns(peers->options.io), .patience_ns = peers->options.down_after_ns};
    peers->nodes[at].link = peer_link_new(&own, &peers->options, node, address);
    return STATUS_OK;
}

static void close_link(struct peers *peers, struct peer *peer) {
    peers->links_closing++;
    peer_link_close(peer->link);
    peer->link = NULL;
}

void peers_remove(struct peers *peers, uint32_t node) {
    struct peer *peer = peers_node(peers, node);
    if (peer == NULL) return;
    close_link(peers, peer);
    LIST_FOREACH(it, &peers->inbounds) {
        struct peer_inbound *inbound = CONTAINER_OF(it, struct peer_inbound, link);
        if (!inbound->greeted || inbound->node != node) continue;
        inbound->greeted = false;
        inbound->closing = true;
        inbound->close(inbound->ctx);
    }
    size_t at = (size_t)(peer - peers->nodes);
    peers->count--;
    memmove(&peers->nodes[at], &peers->nodes[at + 1], (peers->count - at) * sizeof peers->nodes[0]);
}

void peers_set_cluster(struct peers *peers, const char *cluster_id, struct slice founding) {
    snprintf(peers->cluster_id, sizeof peers->cluster_id, "%s", cluster_id);
    writer_clear(&peers->founding);
    writer_bytes(&peers->founding, founding);
    for (uint32_t i = 0; i < peers->count; i++)
        peer_link_reset(peers->nodes[i].link, NULL);
}

/* ---- saying something -----------------------------------------------------------------------------------
 */

static struct peer_link *link_to(struct peers *peers, uint32_t node) {
    struct peer *peer = peers->closing ? NULL : peers_node(peers, node);
    return peer == NULL || !peer->in_cluster ? NULL : peer->link;
}

void peers_send(struct peers *peers, uint32_t node, struct chain *message) {
    struct peer_link *link = link_to(peers, node);
    if (link != NULL)
        MAYBE(peer_link_message(link, message));
    else
        chain_release(message);
}

static bool send_numbered(struct peers *peers, uint32_t node, enum peer_frame_kind kind, uint64_t number,
                          struct chain *body) {
    struct peer_link *link = link_to(peers, node);
    struct chain payload;
    chain_init(&payload);
    uint8_t bytes[8];
    store_be64(bytes, number);
    chain_append_copy(&payload, slice_make(bytes, sizeof bytes));
    chain_append_chain(&payload, body);
    bool sent = link != NULL && peer_link_frame(link, kind, &payload);
    chain_release(&payload);
    return sent;
}

bool peers_request(struct peers *peers, uint32_t node, uint64_t number, struct chain *body) {
    return send_numbered(peers, node, PEER_REQUEST, number, body);
}

bool peers_answer(struct peers *peers, uint32_t node, uint64_t number, struct chain *body) {
    return send_numbered(peers, node, PEER_ANSWER, number, body);
}

bool peers_notice(struct peers *peers, uint32_t node, struct chain *body) {
    struct peer_link *link = link_to(peers, node);
    bool sent = link != NULL && peer_link_frame(link, PEER_NOTICE, body);
    chain_release(body);
    return sent;
}

/* ---- life -----------------------------------------------------------------------------------------------
 */

struct peers *peers_new(const struct peers_options *options) {
    ASSERT(options->node != 0 && options->incarnation != 0);
    struct peers *peers = mem_calloc(1, sizeof *peers);
    peers->options = *options;
    writer_init(&peers->founding);
    list_init(&peers->inbounds);
    list_init(&peers->accepted);
    io_timer_init(&peers->timer, look_around);
    io_timer_set(options->io, &peers->timer, io_now_ns(options->io) + options->ping_ns);
    return peers;
}

static void tell_done(struct io_op *op) {
    struct peers *peers = CONTAINER_OF(op, struct peers, done_op);
    peers->done(peers->done_ctx);
}

void peers_check_done(struct peers *peers) {
    if (peers->done == NULL || peers->links_closing > 0 || !list_empty(&peers->accepted) ||
        peers->done_op.done != NULL)
        return;
    peers->done_op.done = tell_done;
    io_defer(peers->options.io, &peers->done_op);
}

void peers_shutdown(struct peers *peers, void (*done)(void *ctx), void *ctx) {
    ASSERT(!peers->closing);
    peers->closing = true;
    peers->done = done;
    peers->done_ctx = ctx;
    io_timer_cancel(peers->options.io, &peers->timer);
    for (uint32_t i = 0; i < peers->count; i++)
        close_link(peers, &peers->nodes[i]);
    peers->count = 0;
    peers_stop_listening(peers, false);
    peers_check_done(peers);
}

void peers_free(struct peers *peers) {
    io_timer_cancel(peers->options.io, &peers->timer);
    peers->closing = true;
    for (uint32_t i = 0; i < peers->count; i++)
        peer_link_free(peers->nodes[i].link);
    peers->count = 0;
    peers_stop_listening(peers, true);
    ASSERT(list_empty(&peers->inbounds));
    writer_release(&peers->founding);
    mem_free(peers);
}

/* ---- what is known --------------------------------------------------------------------------------------
 */

bool peers_get(const struct peers *peers, uint32_t index, struct peer_info *info) {
    if (index >= peers->count) return false;
    const struct peer *peer = &peers->nodes[index];
    *info = (struct peer_info){.node = peer->node,
                               .incarnation = peer->incarnation,
                               .address = peer->link->address,
                               .up = peer->up,
                               .connected = peer->link->phase == PEER_LINK_UP,
                               .in_cluster = peer->in_cluster,
                               .refusal = peer->refusal,
                               .sent_bytes = peer->link->sent_bytes,
                               .received_bytes = peer->received_bytes,
                               .dropped = peer->link->dropped,
                               .reconnects = peer->link->reconnects};
    return true;
}

bool peers_find(const struct peers *peers, uint32_t node, struct peer_info *info) {
    for (uint32_t i = 0; i < peers->count; i++)
        if (peers->nodes[i].node == node) return peers_get(peers, i, info);
    return false;
}
