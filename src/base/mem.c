// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"

#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static _Noreturn void out_of_memory(size_t size) {
    fprintf(stderr, "out of memory: %zu bytes asked for; lower the memory settings or give this host more\n",
            size);
    abort();
}

void *mem_alloc(size_t size) {
    ASSERT_LE(size, MEM_ALLOC_SIZE_MAX);
    void *ptr = malloc(size == 0 ? 1 : size);
    if (ptr == NULL) out_of_memory(size);
    return ptr;
}

void *mem_calloc(size_t count, size_t size) {
    size_t bytes;
    ASSERT(!__builtin_mul_overflow(count, size, &bytes));
    ASSERT_LE(bytes, MEM_ALLOC_SIZE_MAX);
    void *ptr = calloc(1, bytes == 0 ? 1 : bytes);
    if (ptr == NULL) out_of_memory(bytes);
    return ptr;
}

void *mem_realloc(void *ptr, size_t size) {
    ASSERT_LE(size, MEM_ALLOC_SIZE_MAX);
    void *grown = realloc(ptr, size == 0 ? 1 : size);
    if (grown == NULL) out_of_memory(size);
    return grown;
}

void *mem_alloc_aligned(size_t align, size_t size) {
    ASSERT(align != 0 && (align & (align - 1)) == 0);
    ASSERT_LE(size, MEM_ALLOC_SIZE_MAX);
    void *ptr = NULL;
    if (posix_memalign(&ptr, align < sizeof(void *) ? sizeof(void *) : align, size == 0 ? 1 : size) != 0)
        out_of_memory(size);
    return ptr;
}

char *mem_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(mem_alloc(size), text, size);
}

void mem_free(void *ptr) {
    free(ptr);
}

void mem_trim(void) {
    (void)malloc_trim(0);
}
