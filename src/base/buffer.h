// SPDX-License-Identifier: Apache-2.0
/* buffer.h: reference-counted bytes, the only reference counts in the house.
 *
 * A record batch is received into a buffer once and the same bytes go to the log, the memtable, the
 * followers and the consumer (settled decision 3). A buffer is written by whoever made it until it is
 * shared, and is immutable from then on, but for the header fields that the partition leader fills in place
 * before it hands the bytes on.
 *
 * Owner   buffer_new gives one reference; each holder calls buffer_unref once; the last one frees.
 * Loop    counts are plain integers: shard thread only. A job may read bytes that the loop keeps
 *         referenced for it, and never counts. */
#ifndef SENTINEL_BASE_BUFFER_H
#define SENTINEL_BASE_BUFFER_H

#include "base/assert.h"
#include "base/mem.h"
#include "base/slice.h"

struct buffer {
    uint32_t references;
    uint32_t memo; /* whoever holds many buffers may note where it has this one; proves nothing by itself */
    size_t size;   /* bytes usable in data; what is filled is the owner's to know */
    uint8_t data[];
};

/* A buffer of exactly this size lies in a huge page of its own (mem_alloc_huge). */
#define BUFFER_HUGE_SIZE (MEM_HUGE_SIZE - sizeof(struct buffer))

struct buffer *buffer_new(size_t size);
struct buffer *buffer_copy(struct slice bytes);
void buffer_free(struct buffer *buffer); /* the last reference is gone: called by buffer_unref */
static inline struct buffer *buffer_ref(struct buffer *buffer) {
    ASSERT(buffer->references > 0 && buffer->references < UINT32_MAX);
    buffer->references++;
    return buffer;
}
static inline void buffer_unref(struct buffer *buffer) { /* NULL is allowed */
    if (buffer == NULL) return;
    ASSERT(buffer->references > 0);
    if (--buffer->references == 0) buffer_free(buffer);
}
/* Bytes held by all live buffers, bookkeeping included: honest memory accounting. */
size_t buffer_bytes_live(void);

/* A slice that keeps its bytes alive. `owner` may be NULL for static bytes. */
struct shared_slice {
    struct slice bytes;
    struct buffer *owner;
};
static inline struct shared_slice shared_slice_ref(struct shared_slice s) {
    if (s.owner != NULL) buffer_ref(s.owner);
    return s;
}
static inline void shared_slice_unref(struct shared_slice s) {
    buffer_unref(s.owner);
}

#endif
