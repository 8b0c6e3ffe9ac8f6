// SPDX-License-Identifier: Apache-2.0
/* peer_codec.h: what two nodes of a cluster say to each other, as bytes.
 *
 *   connection = [magic be32] frame frame ...            the dialling side sends, the other answers only
 * HELLO frame      = [payload size be32][kind u8][0 u8 x3][CRC-32C be32 of the 8 bytes before and the
 * payload] MESSAGES   = { [size be32][one message of consensus, raft_message.h] }...     of many groups
 *   REQUEST, ANSWER = [number be64][body]                                    between brokers
 *   NOTICE     = [body]                                                      between brokers, no answer
 *
 * The first byte of the magic is one that no other protocol of the shared port begins with: no letter, and as
 * a Kafka length far too large. A frame is checked before any byte of it is believed. Payloads are chains, so
 * that record batches go from the buffer they were received in to the socket without a copy, and a decoded
 * frame borrows from the receive buffer.
 *
 * HELLO and its answer carry who is there: [version min be16][version max be16][cluster id, 22 bytes, or
 * zeros][node be32][incarnation be32][node meant be32][refusal u8][founding size be16][founding]. They have
 * no other version: what a later version adds goes behind, and is skipped by an earlier one.
 *
 * Errors  MALFORMED: not this protocol; CORRUPT_MESSAGE: checksum; TOO_LARGE; PENDING: more bytes are needed.
 * Units   sizes in bytes. Loop: pure. Bounds: PEER_FRAME_SIZE_MAX, above the largest record batch. */
#ifndef SENTINEL_WIRE_PEER_CODEC_H
#define SENTINEL_WIRE_PEER_CODEC_H

#include "base/chain.h"
#include "base/cursor.h"
#include "base/status.h"
#include "base/units.h"

#define PEER_MAGIC             0xf5534e50U
#define PEER_MAGIC_SIZE        4
#define PEER_VERSION           ((uint16_t)1)
#define PEER_FRAME_HEAD_SIZE   12
#define PEER_FRAME_SIZE_MAX    (160 * MIB)
#define PEER_CLUSTER_ID_SIZE   22
#define PEER_FOUNDING_SIZE_MAX 1024

enum peer_frame_kind {
    PEER_HELLO = 1, /* the first frame of the dialling side */
    PEER_WELCOME,   /* its answer, the only frame that goes the other way; perhaps a refusal */
    PEER_PING,      /* empty: I live */
    PEER_MESSAGES,
    PEER_REQUEST,
    PEER_ANSWER,
    PEER_NOTICE,
    PEER_FRAME_KIND_END
};

enum peer_refusal {
    PEER_ACCEPTED,
    PEER_OTHER_CLUSTER, /* our cluster ids differ */
    PEER_OTHER_VERSION, /* no version in common */
    PEER_OTHER_NODE,    /* you wanted another node than me */
    PEER_SAME_NODE,     /* you say that you are me, or another living node has your number */
    PEER_UNKNOWN_NODE,  /* your number is not in this cluster */
    PEER_NOT_READY,     /* who I am is not on my disk yet: ask again */
    PEER_REFUSAL_END
};
const char *peer_refusal_text(enum peer_refusal refusal);

struct peer_hello {
    uint16_t version_min, version_max;
    char cluster_id[PEER_CLUSTER_ID_SIZE + 1]; /* empty: belongs to none yet */
    uint32_t node, incarnation;
    uint32_t wanted;           /* HELLO: the node that is meant */
    enum peer_refusal refusal; /* WELCOME */
    struct slice founding;     /* how the cluster was founded, for those that are to take part; opaque here */
};
void peer_hello_encode(const struct peer_hello *hello, struct writer *out);
/* The founding is borrowed from `bytes`. */
enum status peer_hello_decode(struct slice bytes, struct peer_hello *hello) MUST_USE;

/* Takes all of `payload` (left empty), puts a frame's head before it, adds both to `out`. */
void peer_frame_encode(enum peer_frame_kind kind, struct chain *payload, struct chain *out);

struct peer_frame {
    enum peer_frame_kind kind;
    struct slice payload; /* borrowed */
    size_t size;          /* of the whole frame */
};
/* The frame that `bytes` begin with. PENDING: *wanted bytes in all would complete it. An unknown kind is OK:
 * a later version's, to be skipped. */
enum status peer_frame_decode(struct slice bytes, struct peer_frame *frame, size_t *wanted) MUST_USE;

/* Adds one message to the payload of a MESSAGES frame; takes all of `message`. */
void peer_pack_add(struct chain *payload, struct chain *message);
/* Takes the next message from the front of `rest`; END after the last, MALFORMED when it does not fit. */
enum status peer_pack_next(struct slice *rest, struct slice *message) MUST_USE;

#endif
