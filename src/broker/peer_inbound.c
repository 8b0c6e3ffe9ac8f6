// SPDX-License-Identifier: Apache-2.0
/* The receiving end of a connection between nodes: magic, HELLO, then frames until it ends. */
#include "base/assert.h"
#include "base/mem.h"
#include "broker/peers_state.h"

struct peer_inbound *peer_inbound_new(struct peers *peers, const struct io_address *from,
                                      void (*send)(void *ctx, struct chain *bytes), void (*close)(void *ctx),
                                      void *ctx) {
    struct peer_inbound *inbound = mem_calloc(1, sizeof *inbound);
    *inbound = (struct peer_inbound){.peers = peers, .send = send, .close = close, .ctx = ctx, .from = *from};
    list_push_back(&peers->inbounds, &inbound->link);
    return inbound;
}

void peer_inbound_free(struct peer_inbound *inbound) {
    struct peers *peers = inbound->peers;
    struct peer *peer = inbound->greeted ? peers_node(peers, inbound->node) : NULL;
    list_remove(&inbound->link);
    /* A process that ends closes its connections: no need to wait for its silence. */
    if (peer != NULL && peer->incarnation == inbound->incarnation && --peer->inbounds == 0)
        peers_lost(peers, peer);
    mem_free(inbound);
}

/* ---- greeting -------------------------------------------------------------------------------------------
 */

static void answer(struct peer_inbound *inbound, enum peer_refusal refusal) {
    struct peer_hello hello;
    peers_fill_hello(inbound->peers, &hello);
    hello.refusal = refusal;
    struct writer bytes;
    writer_init(&bytes);
    peer_hello_encode(&hello, &bytes);
    struct chain payload, out;
    chain_init(&payload);
    chain_init(&out);
    chain_append_copy(&payload, writer_slice(&bytes));
    writer_release(&bytes);
    peer_frame_encode(PEER_WELCOME, &payload, &out);
    inbound->send(inbound->ctx, &out);
    chain_release(&payload);
    chain_release(&out);
}

/* One node counts one time, with the incarnation last greeted. */
static void greet(struct peer_inbound *inbound, const struct peer_hello *hello) {
    struct peers *peers = inbound->peers;
    const struct peer *before = peers_node(peers, hello->node);
    bool another = before->incarnation != hello->incarnation;
    peers_know(peers, hello);
    struct peer *peer = peers_node(peers, hello->node);
    if (another) {
        peer->inbounds = 0;
        LIST_FOREACH(it, &peers->inbounds) {
            struct peer_inbound *old = CONTAINER_OF(it, struct peer_inbound, link);
            if (old == inbound || !old->greeted || old->node != hello->node) continue;
            old->greeted = false;
            old->closing = true;
            old->close(old->ctx);
        }
    }
    inbound->greeted = true;
    inbound->node = hello->node;
    inbound->incarnation = hello->incarnation;
    peer->inbounds++;
    /* It was gone, and greets on a new connection: what we sent on ours may wait for its life before, for as
     * long as TCP likes. */
    if (peer->silent) peer_link_reset(peer->link, NULL);
    /* Also when it was never missed: what slept on the connection before is woken. */
    peer->up = peer->silent = false;
    peers_heard(peers, peer);
}

/* Who is refused tries again and again: the log says so once a while. */
static bool is_news(struct peers *peers, uint32_t node, enum peer_refusal refusal) {
    struct peer_refused *known = &peers->refused[node % ARRAY_COUNT(peers->refused)];
    uint64_t now = io_now_ns(peers->options.io);
    if (known->node == node && known->refusal == refusal && known->logged_ns != 0 &&
        now - known->logged_ns < PEER_REFUSED_LOG_NS)
        return false;
    *known = (struct peer_refused){node, refusal, now};
    return true;
}

static bool take_hello(struct peer_inbound *inbound, const struct peer_frame *frame) {
    struct peers *peers = inbound->peers;
    struct peer_hello hello;
    if (frame->kind != PEER_HELLO || peer_hello_decode(frame->payload, &hello) != STATUS_OK) return false;
    enum peer_refusal refusal = hello.wanted != peers->options.node ? PEER_OTHER_NODE
                                                                    : peers_judge(peers, &hello);
    if (refusal == PEER_ACCEPTED) greet(inbound, &hello);
    answer(inbound, refusal);
    if (refusal == PEER_ACCEPTED) return true;
    if (refusal != PEER_NOT_READY && is_news(peers, hello.node, refusal))
        log_warn(peers->options.log, "peer refused node=%u from=%s cluster=%s reason=\"%s\"", hello.node,
                 inbound->from.text, hello.cluster_id[0] == '\0' ? "none" : hello.cluster_id,
                 peer_refusal_text(refusal));
    inbound->closing = true;
    inbound->close(inbound->ctx);
    return true;
}

/* ---- frames ---------------------------------------------------------------------------------------------
 */

static bool take_messages(struct peer_inbound *inbound, struct buffer *buffer, struct slice payload) {
    struct peers *peers = inbound->peers;
    struct slice message;
    enum status status;
    while ((status = peer_pack_next(&payload, &message)) == STATUS_OK && !inbound->closing)
        peers->options.events->message(peers->options.ctx, inbound->node,
                                       (struct shared_slice){message, buffer});
    return status != STATUS_MALFORMED;
}

static bool take_numbered(struct peer_inbound *inbound, struct buffer *buffer,
                          const struct peer_frame *frame) {
    const struct peer_events *events = inbound->peers->options.events;
    struct reader in = reader_make(frame->payload);
    uint64_t number = reader_be64(&in);
    if (!reader_ok(&in)) return false;
    struct shared_slice body = {slice_make(in.pos, reader_remaining(&in)), buffer};
    void (*take)(void *, uint32_t, uint64_t,
                 struct shared_slice) = frame->kind == PEER_REQUEST ? events->request : events->answer;
    if (take != NULL) take(inbound->peers->options.ctx, inbound->node, number, body);
    return true;
}

static bool take_frame(struct peer_inbound *inbound, struct buffer *buffer, const struct peer_frame *frame) {
    struct peers *peers = inbound->peers;
    if (!inbound->greeted) return take_hello(inbound, frame);
    struct peer *peer = peers_node(peers, inbound->node);
    if (peer == NULL) return false;
    peer->received_bytes += frame->size;
    peers_heard(peers, peer);
    /* A node without a cluster, ours or the other, has nothing to say yet but that it lives (I1). */
    if (!peer->in_cluster) return true;
    switch (frame->kind) {
    case PEER_MESSAGES:
        return take_messages(inbound, buffer, frame->payload);
    case PEER_REQUEST:
    case PEER_ANSWER:
        return take_numbered(inbound, buffer, frame);
    case PEER_NOTICE:
        if (peers->options.events->notice != NULL)
            peers->options.events->notice(peers->options.ctx, inbound->node,
                                          (struct shared_slice){frame->payload, buffer});
        return true;
    case PEER_HELLO:
    case PEER_WELCOME:
        return false;
    case PEER_PING:
    case PEER_FRAME_KIND_END:
        break;
    }
    return true; /* also a later version's */
}

size_t peer_inbound_receive(struct peer_inbound *inbound, struct buffer *buffer, struct slice bytes,
                            size_t *wanted) {
    size_t used = 0;
    if (!inbound->magic_seen) {
        *wanted = PEER_MAGIC_SIZE;
        if (bytes.size < PEER_MAGIC_SIZE) return 0;
        if (load_be32(bytes.data) != PEER_MAGIC) return PEER_INBOUND_BROKEN;
        inbound->magic_seen = true;
        used = PEER_MAGIC_SIZE;
    }
    while (!inbound->closing) {
        struct peer_frame frame;
        struct slice rest = slice_make(bytes.data + used, bytes.size - used);
        enum status status = peer_frame_decode(rest, &frame, wanted);
        /* Nobody whom we do not know makes us hold more than a greeting. */
        if (status == STATUS_PENDING && !inbound->greeted && *wanted > 4 * KIB) status = STATUS_TOO_LARGE;
        if (status == STATUS_PENDING) return used;
        if (status != STATUS_OK || !take_frame(inbound, buffer, &frame)) {
            log_warn(inbound->peers->options.log, "peer connection closed node=%u from=%s reason=%s",
                     inbound->node, inbound->from.text,
                     status == STATUS_OK ? "MALFORMED" : status_name(status));
            return PEER_INBOUND_BROKEN;
        }
        used += frame.size;
        *wanted = 0;
    }
    return bytes.size;
}
