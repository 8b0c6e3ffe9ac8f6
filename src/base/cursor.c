// SPDX-License-Identifier: Apache-2.0
#include "base/cursor.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

struct reader reader_make(struct slice bytes) {
    /* A NULL slice gets a real address, so that end - pos is arithmetic on one object. */
    const uint8_t *start = bytes.data == NULL ? (const uint8_t *)"" : bytes.data;
    return (struct reader){start, start, start + bytes.size, false};
}

void reader_fail(struct reader *r) {
    r->failed = true;
    r->pos = r->end;
}

static const uint8_t *take(struct reader *r, size_t size) {
    if (size > (size_t)(r->end - r->pos)) {
        reader_fail(r);
        return NULL;
    }
    const uint8_t *at = r->pos;
    r->pos += size;
    return at;
}

uint8_t reader_u8(struct reader *r) {
    const uint8_t *p = take(r, 1);
    return p == NULL ? 0 : *p;
}

uint16_t reader_be16(struct reader *r) {
    const uint8_t *p = take(r, 2);
    return p == NULL ? 0 : load_be16(p);
}

uint32_t reader_be32(struct reader *r) {
    const uint8_t *p = take(r, 4);
    return p == NULL ? 0 : load_be32(p);
}

uint64_t reader_be64(struct reader *r) {
    const uint8_t *p = take(r, 8);
    return p == NULL ? 0 : load_be64(p);
}

uint16_t reader_le16(struct reader *r) {
    const uint8_t *p = take(r, 2);
    return p == NULL ? 0 : load_le16(p);
}

uint32_t reader_le32(struct reader *r) {
    const uint8_t *p = take(r, 4);
    return p == NULL ? 0 : load_le32(p);
}

uint64_t reader_le64(struct reader *r) {
    const uint8_t *p = take(r, 8);
    return p == NULL ? 0 : load_le64(p);
}

/* LEB128 of at most `bits` bits. A last byte that carries bits beyond is refused: two encodings of one number
 * would otherwise pass a checker that compares bytes. */
static uint64_t varint(struct reader *r, unsigned bits) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < bits; shift += 7) {
        const uint8_t *p = take(r, 1);
        if (p == NULL) return 0;
        uint64_t part = *p & 0x7f;
        if (bits - shift < 7 && part >> (bits - shift) != 0) break;
        value |= part << shift;
        if ((*p & 0x80) == 0) return value;
    }
    reader_fail(r);
    return 0;
}

uint32_t reader_varint32(struct reader *r) {
    return (uint32_t)varint(r, 32);
}

uint64_t reader_varint64(struct reader *r) {
    return varint(r, 64);
}

int32_t reader_zigzag32(struct reader *r) {
    uint32_t v = reader_varint32(r);
    return (int32_t)(v >> 1 ^ (0 - (v & 1)));
}

int64_t reader_zigzag64(struct reader *r) {
    uint64_t v = reader_varint64(r);
    return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

struct slice reader_bytes(struct reader *r, uint64_t size) {
    if (size > (uint64_t)(r->end - r->pos)) {
        reader_fail(r);
        return SLICE_EMPTY;
    }
    return slice_make(take(r, (size_t)size), (size_t)size);
}

void reader_skip(struct reader *r, uint64_t size) {
    (void)reader_bytes(r, size);
}

void writer_init(struct writer *w) {
    *w = (struct writer){0};
}

void writer_init_in(struct writer *w, uint8_t *memory, size_t size) {
    *w = (struct writer){.data = memory, .capacity = size, .lent = memory};
}

void writer_release(struct writer *w) {
    if (w->data != w->lent) mem_free(w->data);
    writer_init(w);
}

void writer_clear(struct writer *w) {
    w->size = 0;
}

uint8_t *writer_reserve(struct writer *w, size_t size) {
    if (w->data == NULL || size > w->capacity - w->size) { /* never NULL: callers add to what they get */
        size_t need;
        ASSERT(!__builtin_add_overflow(w->size, size, &need));
        w->capacity = MAX(MAX(need, w->capacity * 2), (size_t)256);
        uint8_t *lent = w->data == w->lent ? w->data : NULL;
        w->data = mem_realloc(lent != NULL ? NULL : w->data, w->capacity);
        if (lent != NULL && w->size > 0) memcpy(w->data, lent, w->size);
    }
    return w->data + w->size;
}

uint8_t *writer_extend(struct writer *w, size_t size) {
    uint8_t *at = writer_reserve(w, size);
    w->size += size;
    return at;
}

void writer_u8(struct writer *w, uint8_t v) {
    *writer_extend(w, 1) = v;
}

void writer_be16(struct writer *w, uint16_t v) {
    store_be16(writer_extend(w, 2), v);
}

void writer_be32(struct writer *w, uint32_t v) {
    store_be32(writer_extend(w, 4), v);
}

void writer_be64(struct writer *w, uint64_t v) {
    store_be64(writer_extend(w, 8), v);
}

void writer_le16(struct writer *w, uint16_t v) {
    store_le16(writer_extend(w, 2), v);
}

void writer_le32(struct writer *w, uint32_t v) {
    store_le32(writer_extend(w, 4), v);
}

void writer_le64(struct writer *w, uint64_t v) {
    store_le64(writer_extend(w, 8), v);
}

void writer_varint64(struct writer *w, uint64_t v) {
    uint8_t *p = writer_reserve(w, 10);
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    w->size += n;
}

void writer_zigzag64(struct writer *w, int64_t v) {
    writer_varint64(w, zigzag_encode(v));
}

void writer_bytes(struct writer *w, struct slice bytes) {
    if (bytes.size != 0) memcpy(writer_extend(w, bytes.size), bytes.data, bytes.size);
}

void writer_text(struct writer *w, const char *text) {
    writer_bytes(w, slice_from_text(text));
}

void writer_printf(struct writer *w, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf((char *)writer_reserve(w, 128), 128, format, arguments);
    va_end(arguments);
    ASSERT(size >= 0);
    if (size >= 128) vsnprintf((char *)writer_reserve(w, (size_t)size + 1), (size_t)size + 1, format, again);
    va_end(again);
    w->size += (size_t)size;
}

void writer_patch_be32(struct writer *w, size_t at, uint32_t v) {
    ASSERT(at <= w->size && w->size - at >= 4);
    store_be32(w->data + at, v);
}
