// SPDX-License-Identifier: Apache-2.0
/* protobuf.h: protocol buffers by hand, for the messages that carry records, and the arena allocator for the
 * others.
 *
 * Source: the encoding guide of protocol buffers. A message is a sequence of fields: a tag (field number and
 * wire type, a varint), then a varint, 4 or 8 bytes, or a length and bytes. Reading borrows from the input
 * and allocates nothing; unknown fields are skipped; groups (wire types 3 and 4) are malformed here.
 *
 *     struct reader r = reader_make(message);
 *     struct protobuf_field f;
 *     while (protobuf_next(&r, &f)) ...
 *     if (!reader_ok(&r)) ... malformed
 *
 * Errors  the reader's sticky error; also for a field number of 0. Loop: any thread; pure. */
#ifndef SENTINEL_WIRE_PROTOBUF_H
#define SENTINEL_WIRE_PROTOBUF_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/cursor.h"

enum protobuf_wire { PROTOBUF_VARINT = 0, PROTOBUF_FIXED64 = 1, PROTOBUF_BYTES = 2, PROTOBUF_FIXED32 = 5 };

struct protobuf_field {
    uint32_t number;
    enum protobuf_wire wire;
    uint64_t value;     /* VARINT, FIXED64, FIXED32 */
    struct slice bytes; /* BYTES; never with NULL data */
};

/* The next field; false at the end of the message or when it is malformed. */
bool protobuf_next(struct reader *reader, struct protobuf_field *field);
/* A field of this number and wire type? A known number with another wire type is skipped as unknown. */
static inline bool protobuf_is(const struct protobuf_field *f, uint32_t number, enum protobuf_wire wire) {
    return f->number == number && f->wire == wire;
}

static inline size_t protobuf_varint_size(uint64_t value) {
    return (size_t)(64 - __builtin_clzll(value | 1) + 6) / 7;
}
/* Size of tag, length and `size` bytes; numbers below 16 have a tag of one byte. */
static inline size_t protobuf_bytes_size(uint32_t number, size_t size) {
    return protobuf_varint_size((uint64_t)number << 3) + protobuf_varint_size(size) + size;
}
/* Size of tag and value; 0 for the value 0, which is not written. */
static inline size_t protobuf_value_size(uint32_t number, uint64_t value) {
    return value == 0 ? 0 : protobuf_varint_size((uint64_t)number << 3) + protobuf_varint_size(value);
}

void protobuf_write_tag(struct writer *out, uint32_t number, enum protobuf_wire wire);
/* Signed values are given as (uint64_t)(int64_t)v. The default, 0, is not written. */
void protobuf_write_value(struct writer *out, uint32_t number, uint64_t value);
void protobuf_write_bytes(struct writer *out, uint32_t number, struct slice bytes); /* also when empty */
void protobuf_write_text(struct writer *out, uint32_t number, struct slice text);   /* not when empty */
/* Tag and length of `size` bytes that the caller appends next. */
void protobuf_write_head(struct writer *out, uint32_t number, size_t size);

/* For protobuf-c: everything unpacked lies in the arena and dies with it; freeing is nothing. The allocator
 * must not outlive the arena. */
ProtobufCAllocator protobuf_arena_allocator(struct arena *arena);
/* Appends the message. */
void protobuf_pack(struct writer *out, const ProtobufCMessage *message);

#endif
