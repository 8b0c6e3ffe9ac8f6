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
/* Unsigned bytes, shorter first on a tie: the order of keys on disk. */
static inline int slice_compare(struct slice a, struct slice b) {
    size_t n = a.size < b.size ? a.size : b.size;
    int order = n == 0 ? 0 : memcmp(a.data, b.data, n);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}
static inline bool slice_equal(struct slice a, struct slice b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

#endif
