// SPDX-License-Identifier: Apache-2.0
/* arena.h: memory that is released all at once.
 *
 * For per-request data and memtables: allocation is a pointer bump, there is no free of one object.
 *
 * Owner   everything allocated belongs to the arena and dies with arena_release or arena_clear.
 * Loop    one thread at a time. */
#ifndef SENTINEL_BASE_ARENA_H
#define SENTINEL_BASE_ARENA_H

#include <stddef.h>

#include "base/slice.h"

struct arena_block;
struct arena {
    struct arena_block *blocks;
    uint8_t *pos, *end;
    size_t block_size;
    size_t bytes; /* held from the heap, blocks' headers included */
};

void arena_init(struct arena *arena, size_t block_size); /* takes nothing from the heap yet */
void arena_release(struct arena *arena);
void arena_clear(struct arena *arena);                                     /* empty, first block kept */
void *arena_alloc(struct arena *arena, size_t size);                       /* 8-byte aligned */
void *arena_alloc_aligned(struct arena *arena, size_t align, size_t size); /* align: power of two */
void *arena_calloc(struct arena *arena, size_t count, size_t size);
struct slice arena_copy(struct arena *arena, struct slice bytes);
char *arena_text(struct arena *arena, struct slice bytes); /* copy with a final NUL */
__attribute__((format(printf, 2, 3))) char *arena_printf(struct arena *arena, const char *format, ...);

#endif
