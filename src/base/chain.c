// SPDX-License-Identifier: Apache-2.0
#include "base/chain.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

#define TAIL_SIZE_MIN ((size_t)512)
#define TAIL_SIZE_MAX (16 * KIB)
/* Moving a piece up to this size copies it. */
#define MOVE_COPY_MAX ((size_t)512)
/* What an empty chain keeps. */
#define EMPTY_PIECES_MAX ((size_t)64)
#define EMPTY_TAIL_MAX   (4 * KIB)

void chain_init(struct chain *chain) {
    *chain = (struct chain){0};
}

void chain_release(struct chain *chain) {
    for (size_t i = 0; i < chain->count; i++)
        shared_slice_unref(chain->pieces[chain->head + i]);
    buffer_unref(chain->tail);
    mem_free(chain->pieces);
    chain_init(chain);
}

/* Takes over one reference of `piece`. */
static void push(struct chain *chain, struct shared_slice piece) {
    if (chain->head + chain->count == chain->capacity) {
        if (chain->head > chain->capacity / 2) {
            memmove(chain->pieces, chain->pieces + chain->head, chain->count * sizeof *chain->pieces);
        } else {
            chain->capacity = MAX(chain->capacity * 2, (size_t)8);
            struct shared_slice *grown = mem_alloc(chain->capacity * sizeof *grown);
            if (chain->count != 0) memcpy(grown, chain->pieces + chain->head, chain->count * sizeof *grown);
            mem_free(chain->pieces);
            chain->pieces = grown;
        }
        chain->head = 0;
    }
    chain->pieces[chain->head + chain->count++] = piece;
    chain->size += piece.bytes.size;
}

static void push_copy_part(struct chain *chain, struct slice part) {
    uint8_t *at = chain->tail->data + chain->tail_used;
    memcpy(at, part.data, part.size);
    chain->tail_used += part.size;
    struct shared_slice *last = chain->count == 0 ? NULL : &chain->pieces[chain->head + chain->count - 1];
    if (last != NULL && last->owner == chain->tail && last->bytes.data + last->bytes.size == at) {
        last->bytes.size += part.size;
        chain->size += part.size;
        return;
    }
    push(chain, (struct shared_slice){slice_make(at, part.size), buffer_ref(chain->tail)});
}

void chain_append_copy(struct chain *chain, struct slice bytes) {
    while (bytes.size != 0) {
        bool full = chain->tail != NULL && chain->tail_used == chain->tail->size;
        bool small = chain->tail != NULL && chain->tail_used == 0 && chain->tail->size < bytes.size;
        if (chain->tail == NULL || full || small) {
            size_t before = full ? chain->tail->size : 0;
            buffer_unref(chain->tail);
            chain->tail = buffer_new(MAX(MIN(MAX(before * 2, TAIL_SIZE_MIN), TAIL_SIZE_MAX), bytes.size));
            chain->tail_used = 0;
        }
        size_t part = MIN(bytes.size, chain->tail->size - chain->tail_used);
        push_copy_part(chain, slice_make(bytes.data, part));
        bytes = slice_make(bytes.data + part, bytes.size - part);
    }
}

void chain_append_shared(struct chain *chain, struct shared_slice bytes) {
    if (bytes.bytes.size != 0) push(chain, shared_slice_ref(bytes));
}

static void become_empty(struct chain *chain, size_t tail_max) {
    chain->head = 0;
    if (chain->capacity > EMPTY_PIECES_MAX) {
        mem_free(chain->pieces);
        chain->pieces = NULL;
        chain->capacity = 0;
    }
    if (chain->tail == NULL) return;
    if (chain->tail->size <= tail_max && chain->tail->references == 1) {
        chain->tail_used = 0;
    } else {
        buffer_unref(chain->tail);
        chain->tail = NULL;
    }
}

void chain_drain(struct chain *to, struct chain *from) {
    for (size_t i = 0; i < from->count; i++) {
        struct shared_slice *piece = &from->pieces[from->head + i];
        if (piece->bytes.size > MOVE_COPY_MAX) {
            push(to, *piece);
        } else {
            chain_append_copy(to, piece->bytes);
            shared_slice_unref(*piece);
        }
    }
    from->count = from->size = 0;
    become_empty(from, TAIL_SIZE_MIN);
}

void chain_append_chain(struct chain *to, struct chain *from) {
    chain_drain(to, from);
    chain_release(from);
}

size_t chain_peek(const struct chain *chain, struct slice *slices, size_t max) {
    size_t count = MIN(chain->count, max);
    for (size_t i = 0; i < count; i++)
        slices[i] = chain->pieces[chain->head + i].bytes;
    return count;
}

void chain_move(struct chain *to, struct chain *from, size_t size) {
    ASSERT_LE(size, from->size);
    while (size != 0) {
        struct shared_slice *piece = &from->pieces[from->head];
        if (piece->bytes.size > size) {
            chain_append_shared(to, (struct shared_slice){slice_make(piece->bytes.data, size), piece->owner});
            chain_consume(from, size);
            return;
        }
        size -= piece->bytes.size;
        from->size -= piece->bytes.size;
        from->head++;
        from->count--;
        push(to, *piece);
    }
}

void chain_consume(struct chain *chain, size_t size) {
    ASSERT_LE(size, chain->size);
    chain->size -= size;
    while (size != 0) {
        struct shared_slice *piece = &chain->pieces[chain->head];
        if (piece->bytes.size > size) {
            piece->bytes = slice_make(piece->bytes.data + size, piece->bytes.size - size);
            return;
        }
        size -= piece->bytes.size;
        shared_slice_unref(*piece);
        chain->head++;
        chain->count--;
    }
    if (chain->count == 0) become_empty(chain, EMPTY_TAIL_MAX);
}

struct buffer *chain_flatten(const struct chain *chain) {
    struct buffer *buffer = buffer_new(chain->size);
    size_t at = 0;
    for (size_t i = 0; i < chain->count; i++) {
        struct slice bytes = chain->pieces[chain->head + i].bytes;
        memcpy(buffer->data + at, bytes.data, bytes.size);
        at += bytes.size;
    }
    return buffer;
}

struct shared_slice chain_whole(const struct chain *chain) {
    if (chain->count == 1 && chain->pieces[chain->head].owner != NULL)
        return shared_slice_ref(chain->pieces[chain->head]);
    struct buffer *buffer = chain_flatten(chain);
    return (struct shared_slice){slice_make(buffer->data, buffer->size), buffer};
}
