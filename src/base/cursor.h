// SPDX-License-Identifier: Apache-2.0
/* cursor.h: reading and writing bytes with the bounds checked once and for all.
 *
 * The reader's error is sticky: after a read past the end every further read gives zero or empty, so a
 * decoder reads all its fields and asks reader_ok() once. The writer grows and never fails. Both speak
 * big-endian (`be`: Kafka's and our keys' order), little-endian (`le`: our disk formats) and varints
 * (unsigned LEB128; zigzag for signed, as in Kafka records and protobuf sint). */
#ifndef SENTINEL_BASE_CURSOR_H
#define SENTINEL_BASE_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct reader {
    const uint8_t *start, *pos, *end;
    bool failed;
};

struct reader reader_make(struct slice bytes);
static inline bool reader_ok(const struct reader *r) {
    return !r->failed;
}
static inline size_t reader_remaining(const struct reader *r) {
    return (size_t)(r->end - r->pos);
}
static inline size_t reader_position(const struct reader *r) {
    return (size_t)(r->pos - r->start);
}
void reader_fail(struct reader *r); /* the caller found nonsense: same as reading past the end */
uint8_t reader_u8(struct reader *r);
uint16_t reader_be16(struct reader *r);
uint32_t reader_be32(struct reader *r);
uint64_t reader_be64(struct reader *r);
uint16_t reader_le16(struct reader *r);
uint32_t reader_le32(struct reader *r);
uint64_t reader_le64(struct reader *r);
uint32_t reader_varint32(struct reader *r); /* more than 5 bytes or 32 bits: fails */
uint64_t reader_varint64(struct reader *r); /* more than 10 bytes or 64 bits: fails */
int32_t reader_zigzag32(struct reader *r);
int64_t reader_zigzag64(struct reader *r);
struct slice reader_bytes(struct reader *r, uint64_t size); /* borrowed from the input */
void reader_skip(struct reader *r, uint64_t size);

/* Bytes that a varint takes; for a zigzag value: varint_size(zigzag_encode(v)). */
static inline size_t varint_size(uint64_t v) {
    return (size_t)(70 - __builtin_clzll(v | 1)) / 7;
}
static inline uint64_t zigzag_encode(int64_t v) {
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

struct writer {
    uint8_t *data;
    size_t size, capacity;
    const uint8_t *lent; /* memory that is not from the heap; NULL: none */
};

void writer_init(struct writer *w); /* takes nothing from the heap yet */
/* Begins in memory of the caller's, which outlives the writer and does not move; what does not fit goes to
 * the heap. */
void writer_init_in(struct writer *w, uint8_t *memory, size_t size);
void writer_release(struct writer *w);
void writer_clear(struct writer *w); /* empty, memory kept */
static inline struct slice writer_slice(const struct writer *w) {
    return slice_make(w->data, w->size);
}
uint8_t *writer_reserve(struct writer *w, size_t size); /* room for size more bytes, not yet counted */
uint8_t *writer_extend(struct writer *w, size_t size);  /* counted, uninitialised */
void writer_u8(struct writer *w, uint8_t v);
void writer_be16(struct writer *w, uint16_t v);
void writer_be32(struct writer *w, uint32_t v);
void writer_be64(struct writer *w, uint64_t v);
void writer_le16(struct writer *w, uint16_t v);
void writer_le32(struct writer *w, uint32_t v);
void writer_le64(struct writer *w, uint64_t v);
void writer_varint64(struct writer *w, uint64_t v); /* serves 32-bit values too */
void writer_zigzag64(struct writer *w, int64_t v);
void writer_bytes(struct writer *w, struct slice bytes);
void writer_text(struct writer *w, const char *text); /* without the NUL */
__attribute__((format(printf, 2, 3))) void writer_printf(struct writer *w, const char *format, ...);
void writer_patch_be32(struct writer *w, size_t at, uint32_t v);

static inline uint64_t load_be64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}
static inline uint32_t load_be32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}
static inline uint16_t load_be16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return __builtin_bswap16(v);
}
static inline uint64_t load_le64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}
static inline uint32_t load_le32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}
static inline uint16_t load_le16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}
static inline void store_be64(uint8_t *p, uint64_t v) {
    v = __builtin_bswap64(v);
    memcpy(p, &v, 8);
}
static inline void store_be32(uint8_t *p, uint32_t v) {
    v = __builtin_bswap32(v);
    memcpy(p, &v, 4);
}
static inline void store_be16(uint8_t *p, uint16_t v) {
    v = __builtin_bswap16(v);
    memcpy(p, &v, 2);
}
static inline void store_le64(uint8_t *p, uint64_t v) {
    memcpy(p, &v, 8);
}
static inline void store_le32(uint8_t *p, uint32_t v) {
    memcpy(p, &v, 4);
}
static inline void store_le16(uint8_t *p, uint16_t v) {
    memcpy(p, &v, 2);
}

#endif
