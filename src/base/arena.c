// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

struct arena_block {
    struct arena_block *next;
    size_t size; /* of data */
    _Alignas(16) uint8_t data[];
};

void arena_init(struct arena *arena, size_t block_size) {
    ASSERT(block_size > 0);
    *arena = (struct arena){.block_size = block_size};
}

static void free_blocks(struct arena *arena, struct arena_block *block) {
    while (block != NULL) {
        struct arena_block *next = block->next;
        arena->bytes -= sizeof *block + block->size;
        mem_free(block);
        block = next;
    }
}

void arena_release(struct arena *arena) {
    free_blocks(arena, arena->blocks);
    ASSERT_EQ(arena->bytes, (size_t)0);
    arena_init(arena, arena->block_size);
}

void arena_clear(struct arena *arena) {
    struct arena_block *kept = NULL;
    struct arena_block *block = arena->blocks;
    /* An oversized block is not worth keeping: the next request is rarely that large. */
    while (block != NULL) {
        struct arena_block *next = block->next;
        block->next = NULL;
        if (kept == NULL && block->size == arena->block_size)
            kept = block;
        else
            free_blocks(arena, block);
        block = next;
    }
    arena->blocks = kept;
    arena->pos = kept == NULL ? NULL : kept->data;
    arena->end = kept == NULL ? NULL : kept->data + kept->size;
}

static struct arena_block *add_block(struct arena *arena, size_t size) {
    struct arena_block *block = mem_alloc(sizeof *block + size);
    block->size = size;
    arena->bytes += sizeof *block + size;
    return block;
}

void *arena_alloc_aligned(struct arena *arena, size_t align, size_t size) {
    ASSERT(align != 0 && (align & (align - 1)) == 0);
    uintptr_t pos = ((uintptr_t)arena->pos + align - 1) & ~(uintptr_t)(align - 1);
    if (arena->pos != NULL && pos <= (uintptr_t)arena->end && size <= (uintptr_t)arena->end - pos) {
        arena->pos = (uint8_t *)pos + size;
        return (void *)pos;
    }
    ASSERT_LE(size, MEM_ALLOC_SIZE_MAX - align);
    size_t need = size + align;
    if (need > arena->block_size / 4 && arena->blocks != NULL) {
        /* A block of its own, behind the current one, whose free end stays in use. */
        struct arena_block *block = add_block(arena, need);
        block->next = arena->blocks->next;
        arena->blocks->next = block;
        return (void *)(((uintptr_t)block->data + align - 1) & ~(uintptr_t)(align - 1));
    }
    struct arena_block *block = add_block(arena, MAX(need, arena->block_size));
    block->next = arena->blocks;
    arena->blocks = block;
    pos = ((uintptr_t)block->data + align - 1) & ~(uintptr_t)(align - 1);
    arena->pos = (uint8_t *)pos + size;
    arena->end = block->data + block->size;
    return (void *)pos;
}

void *arena_alloc(struct arena *arena, size_t size) {
    return arena_alloc_aligned(arena, 8, size);
}

void *arena_calloc(struct arena *arena, size_t count, size_t size) {
    size_t bytes;
    ASSERT(!__builtin_mul_overflow(count, size, &bytes));
    void *ptr = arena_alloc(arena, bytes);
    memset(ptr, 0, bytes);
    return ptr;
}

struct slice arena_copy(struct arena *arena, struct slice bytes) {
    if (bytes.size == 0) return slice_make("", 0);
    uint8_t *copy = arena_alloc_aligned(arena, 1, bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    return slice_make(copy, bytes.size);
}

char *arena_text(struct arena *arena, struct slice bytes) {
    char *text = arena_alloc_aligned(arena, 1, bytes.size + 1);
    if (bytes.size != 0) memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = '\0';
    return text;
}

char *arena_printf(struct arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    ASSERT(size >= 0);
    char *text = arena_alloc_aligned(arena, 1, (size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return text;
}
