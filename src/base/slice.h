// SPDX-License-Identifier: Apache-2.0
/* slice.h: borrowed bytes. The slice never owns; whoever made it says how long the bytes live. */
#ifndef SENTINEL_BASE_SLICE_H
#define SENTINEL_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data; /* may be NULL when size is 0 */
    size_t size;
};

#define SLICE_EMPTY ((struct slice){NULL, 0})
/* For string literals only. */
#define SLICE_LITERAL(text) ((struct slice){(const uint8_t *)(text), sizeof(text) - 1})

static inline struct slice slice_make(const void *data, size_t size) {
    return (struct slice){(const uint8_t *)data, size};
}
static inline struct slice slice_from_text(const char *text) {
    return slice_make(text, strlen(text));
}
/* Eight bytes as a number that is ordered as they are. */
static inline uint64_t slice_word(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}
/* As memcmp; in line for the sizes that keys have: the call is most of what comparing them takes. */
static inline int slice_compare_bytes(const uint8_t *a, const uint8_t *b, size_t size) {
    if (size < 8 || size > 32) return size == 0 ? 0 : memcmp(a, b, size);
    for (size_t i = 0; i < size; i += 8) {
        size_t at = i + 8 <= size ? i : size - 8; /* the last word may overlap the one before */
        uint64_t x = slice_word(a + at), y = slice_word(b + at);
        if (x != y) return x < y ? -1 : 1;
    }
    return 0;
}
/* Unsigned bytes, shorter first on a tie: the order of keys on disk. */
static inline int slice_compare(struct slice a, struct slice b) {
    int order = slice_compare_bytes(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}
static inline bool slice_equal(struct slice a, struct slice b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

#endif
