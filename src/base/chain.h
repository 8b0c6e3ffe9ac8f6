// SPDX-License-Identifier: Apache-2.0
/* chain.h: a queue of bytes made of pieces, some copied in, some shared.
 *
 * What a connection sends: small encoded parts are copied into tail buffers, record batches are held by
 * reference, and the socket takes all of them as one vector. So a fetch copies no payload byte.
 *
 * Owner   the chain holds one reference for each shared piece and drops it when consumed or released.
 * Units   sizes in bytes. Loop: shard thread. */
#ifndef SENTINEL_BASE_CHAIN_H
#define SENTINEL_BASE_CHAIN_H

#include "base/buffer.h"

struct chain {
    struct shared_slice *pieces; /* pieces[head .. head + count) */
    size_t head, count, capacity;
    size_t size;         /* bytes queued */
    struct buffer *tail; /* room for copies; NULL or referenced here */
    size_t tail_used;
};

void chain_init(struct chain *chain);
void chain_release(struct chain *chain);
void chain_append_copy(struct chain *chain, struct slice bytes);
/* Takes its own reference; the caller keeps its own. An empty slice adds nothing. */
void chain_append_shared(struct chain *chain, struct shared_slice bytes);
/* Moves all of `from` to the end of `to`; `from` is left empty. Small pieces are copied: each by itself would
 * keep a buffer of its own, and a slot in every vector it is sent in. */
void chain_append_chain(struct chain *to, struct chain *from);
/* The same; `from` keeps a little memory for what is put into it next. */
void chain_drain(struct chain *to, struct chain *from);
/* Up to `max` slices from the front, borrowed until they are consumed; returns how many. */
size_t chain_peek(const struct chain *chain, struct slice *slices, size_t max);
/* Moves up to `size` bytes from the front of `from` to the end of `to`, sharing, never copying. */
void chain_move(struct chain *to, struct chain *from, size_t size);
/* A chain that becomes empty gives back what it grew to. */
void chain_consume(struct chain *chain, size_t size);
/* All bytes in one new buffer (tests, and decoders that need one piece); the chain is unchanged. */
struct buffer *chain_flatten(const struct chain *chain);
/* All bytes in one piece, copied only if they are in several; one reference. */
struct shared_slice chain_whole(const struct chain *chain);

#endif
