// SPDX-License-Identifier: Apache-2.0
/* raft_message.h: messages between members as bytes, and as a line of text for traces.
 *
 *   [version u8][kind u8][flags u8][group be64][from be64][to be64][term varint][fields of the kind, varints]
 *   [entry count varint][count varint, term varint, kind u8, size varint]...[payloads, one after the other]
 *
 * The table of entries comes before the payloads, so that a sender writes one small piece and shares the
 * payloads as they lie, and a receiver finds them in its receive buffer without copying. Framing (a length
 * before each message, many heartbeats in one packet) is the connection's business.
 *
 * Owner   encoding shares payloads with the chain. A decoded message borrows from the bytes it came from; its
 *         entries' payloads name the buffer as their owner, so that the core takes references of what it
 * keeps. Errors  MALFORMED: no message; VERSION: a newer one. Nothing is believed: counts and sizes are held
 * against what is there, positions and the term against overflow; entries are contiguous and their terms ascend. Loop
 * shard thread only. Bounds: an entry takes 4 bytes at least, so there are never more than size / 4. */
#ifndef SENTINEL_RAFT_RAFT_MESSAGE_H
#define SENTINEL_RAFT_RAFT_MESSAGE_H

#include "base/chain.h"
#include "base/cursor.h"
#include "raft/raft.h"

#define RAFT_MESSAGE_VERSION ((uint8_t)1)
#define RAFT_POSITION_MAX    ((uint64_t)INT64_MAX) /* offsets are signed to clients */
#define RAFT_TERM_MAX        ((uint64_t)INT64_MAX) /* one can be added to a term for ever */

/* `scratch` is cleared and used for the small part. */
void raft_message_encode(const struct raft_message *m, struct writer *scratch, struct chain *out);

/* Holds what a decoded message points to; reusable. */
struct raft_message_decoder {
    struct raft_message message;
    struct raft_entry *entries;
    uint32_t entry_capacity;
    struct raft_config *config;
};
void raft_message_decoder_init(struct raft_message_decoder *decoder);
void raft_message_decoder_release(struct raft_message_decoder *decoder);
/* All of `bytes` is one message. decoder->message is valid until the next use of the decoder or the end of
 * `bytes`. */
enum status raft_message_decode(struct raft_message_decoder *decoder, struct shared_slice bytes) MUST_USE;

/* "Append 1->2 term=3 prev=5/2 commit=4 entries=[5,6)/3" */
void raft_message_print(struct writer *to, const struct raft_message *m);
/* "1 2 3", in a joint configuration "(1 2 3)&(2 3 4)"; learners as "~4" after. */
void raft_config_print(struct writer *to, const struct raft_config *config);

#endif
