// SPDX-License-Identifier: Apache-2.0
#include "wire/peer_codec.h"

#include "base/assert.h"
#include "base/crc32c.h"

#define CHECKED_HEAD_SIZE 8 /* of the head, what stands before the checksum */

const char *peer_refusal_text(enum peer_refusal refusal) {
    static const char *const texts[PEER_REFUSAL_END] = {
        [PEER_ACCEPTED] = "accepted",
        [PEER_OTHER_CLUSTER] = "it belongs to another cluster",
        [PEER_OTHER_VERSION] = "it speaks no version of the peer protocol that we speak",
        [PEER_OTHER_NODE] = "another node answers at this address",
        [PEER_SAME_NODE] = "two nodes have the same number",
        [PEER_UNKNOWN_NODE] = "its node number is not known: 'sentinel cluster add-node' announces a node",
        [PEER_NOT_READY] = "its identity is not on its disk yet",
    };
    return (unsigned)refusal < PEER_REFUSAL_END ? texts[refusal] : "for a reason of a later version";
}

/* ---- hello -------------------------------------------------------------------------------------------- */

void peer_hello_encode(const struct peer_hello *hello, struct writer *out) {
    ASSERT_LE(hello->founding.size, (size_t)PEER_FOUNDING_SIZE_MAX);
    uint8_t cluster_id[PEER_CLUSTER_ID_SIZE] = {0};
    for (size_t i = 0; i < sizeof cluster_id && hello->cluster_id[i] != '\0'; i++)
        cluster_id[i] = (uint8_t)hello->cluster_id[i];
    writer_be16(out, hello->version_min);
    writer_be16(out, hello->version_max);
    writer_bytes(out, slice_make(cluster_id, sizeof cluster_id));
    writer_be32(out, hello->node);
    writer_be32(out, hello->incarnation);
    writer_be32(out, hello->wanted);
    writer_u8(out, (uint8_t)hello->refusal);
    writer_be16(out, (uint16_t)hello->founding.size);
    writer_bytes(out, hello->founding);
}

/* Ids are printed: what is in them must be harmless. */
static bool cluster_id_ok(struct slice id) {
    bool ended = false;
    for (size_t i = 0; i < id.size; i++) {
        if (id.data[i] == 0) {
            ended = true;
            continue;
        }
        if (ended || id.data[i] <= ' ' || id.data[i] >= 0x7f) return false;
    }
    return true;
}

enum status peer_hello_decode(struct slice bytes, struct peer_hello *hello) {
    struct reader in = reader_make(bytes);
    *hello = (struct peer_hello){0};
    hello->version_min = reader_be16(&in);
    hello->version_max = reader_be16(&in);
    struct slice cluster_id = reader_bytes(&in, PEER_CLUSTER_ID_SIZE);
    hello->node = reader_be32(&in);
    hello->incarnation = reader_be32(&in);
    hello->wanted = reader_be32(&in);
    uint8_t refusal = reader_u8(&in);
    uint16_t founding_size = reader_be16(&in);
    hello->founding = reader_bytes(&in, founding_size);
    if (!reader_ok(&in) || founding_size > PEER_FOUNDING_SIZE_MAX || !cluster_id_ok(cluster_id))
        return STATUS_MALFORMED;
    if (hello->version_min > hello->version_max) return STATUS_MALFORMED;
    hello->refusal = MIN((enum peer_refusal)refusal, PEER_REFUSAL_END);
    memcpy(hello->cluster_id, cluster_id.data, PEER_CLUSTER_ID_SIZE);
    return STATUS_OK;
}

/* ---- frames ------------------------------------------------------------------------------------------- */

static uint32_t chain_checksum(uint32_t crc, const struct chain *chain) {
    for (size_t i = 0; i < chain->count; i++) {
        struct slice piece = chain->pieces[chain->head + i].bytes;
        crc = crc32c(crc, piece.data, piece.size);
    }
    return crc;
}

void peer_frame_encode(enum peer_frame_kind kind, struct chain *payload, struct chain *out) {
    ASSERT_LE(payload->size, PEER_FRAME_SIZE_MAX);
    uint8_t head[PEER_FRAME_HEAD_SIZE] = {0};
    store_be32(head, (uint32_t)payload->size);
    head[4] = (uint8_t)kind;
    store_be32(head + CHECKED_HEAD_SIZE, chain_checksum(crc32c(0, head, CHECKED_HEAD_SIZE), payload));
    chain_append_copy(out, slice_make(head, sizeof head));
    chain_append_chain(out, payload);
}

enum status peer_frame_decode(struct slice bytes, struct peer_frame *frame, size_t *wanted) {
    *wanted = PEER_FRAME_HEAD_SIZE;
    if (bytes.size < PEER_FRAME_HEAD_SIZE) return STATUS_PENDING;
    size_t size = load_be32(bytes.data);
    if (size > PEER_FRAME_SIZE_MAX) return STATUS_TOO_LARGE;
    *wanted = PEER_FRAME_HEAD_SIZE + size;
    if (bytes.size < *wanted) return STATUS_PENDING;
    uint32_t crc = crc32c(0, bytes.data, CHECKED_HEAD_SIZE);
    crc = crc32c(crc, bytes.data + PEER_FRAME_HEAD_SIZE, size);
    if (crc != load_be32(bytes.data + CHECKED_HEAD_SIZE)) return STATUS_CORRUPT_MESSAGE;
    *frame = (struct peer_frame){.kind = (enum peer_frame_kind)bytes.data[4],
                                 .payload = slice_make(bytes.data + PEER_FRAME_HEAD_SIZE, size),
                                 .size = *wanted};
    return STATUS_OK;
}

/* ---- packs -------------------------------------------------------------------------------------------- */

void peer_pack_add(struct chain *payload, struct chain *message) {
    uint8_t size[4];
    ASSERT_LE(message->size, PEER_FRAME_SIZE_MAX);
    store_be32(size, (uint32_t)message->size);
    chain_append_copy(payload, slice_make(size, sizeof size));
    chain_append_chain(payload, message);
}

enum status peer_pack_next(struct slice *rest, struct slice *message) {
    if (rest->size == 0) return STATUS_END;
    struct reader in = reader_make(*rest);
    uint32_t size = reader_be32(&in);
    *message = reader_bytes(&in, size);
    if (!reader_ok(&in)) return STATUS_MALFORMED;
    *rest = slice_make(in.pos, reader_remaining(&in));
    return STATUS_OK;
}
