// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"

#include <limits.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/units.h"

/* Up to here glibc has a cache for each thread, which its calloc and realloc pass by (2.36). */
#define SMALL_MAX ((size_t)1024)

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
    if (bytes <= SMALL_MAX) return memset(mem_alloc(bytes), 0, bytes);
    void *ptr = calloc(1, bytes);
    if (ptr == NULL) out_of_memory(bytes);
    return ptr;
}

static void *realloc_small(void *ptr, size_t size) {
    size_t before = malloc_usable_size(ptr);
    void *moved = mem_alloc(size);
    memcpy(moved, ptr, MIN(before, size));
    free(ptr);
    return moved;
}

void *mem_realloc(void *ptr, size_t size) {
    ASSERT_LE(size, MEM_ALLOC_SIZE_MAX);
    if (ptr == NULL) return mem_alloc(size);
    if (size <= SMALL_MAX) return realloc_small(ptr, size);
    void *grown = realloc(ptr, size);
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

#ifdef __SANITIZE_ADDRESS__
/* The sanitizer watches what comes from the heap. */
void *mem_alloc_huge(void) {
    return mem_alloc_aligned(MEM_HUGE_SIZE, MEM_HUGE_SIZE);
}

void mem_free_huge(void *ptr) {
    mem_free(ptr);
}

static void drop_kept(void) {}
#else
/* Pages that were given back, for whoever asks next: the kernel would clear them again, which costs as much
 * as filling them. One memtable's worth, and only until mem_trim. */
static _Thread_local struct {
    void *pages[MEM_HUGE_KEPT];
    size_t count;
} kept;

static void unmap_huge(void *ptr) {
    int failed = munmap(ptr, MEM_HUGE_SIZE);
    ASSERT_EQ(failed, 0);
}

static void drop_kept(void) {
    while (kept.count > 0)
        unmap_huge(kept.pages[--kept.count]);
}

void *mem_alloc_huge(void) {
    if (kept.count > 0) return kept.pages[--kept.count];
    /* Twice as much address space holds an aligned piece; the rest goes back untouched. */
    uint8_t *space = mmap(NULL, 2 * MEM_HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                          0);
    if (space == MAP_FAILED) out_of_memory(MEM_HUGE_SIZE);
    size_t before = -(uintptr_t)space & (MEM_HUGE_SIZE - 1);
    if (before > 0) munmap(space, before);
    munmap(space + before + MEM_HUGE_SIZE, MEM_HUGE_SIZE - before);
    madvise(space + before, MEM_HUGE_SIZE, MADV_HUGEPAGE); /* ordinary pages serve as well */
    return space + before;
}

void mem_free_huge(void *ptr) {
    if (kept.count < MEM_HUGE_KEPT)
        kept.pages[kept.count++] = ptr;
    else
        unmap_huge(ptr);
}
#endif

char *mem_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(mem_alloc(size), text, size);
}

void mem_free(void *ptr) {
    free(ptr);
}

void mem_keep(size_t size) {
    int limit = (int)MIN(size, (size_t)INT_MAX);
    (void)mallopt(M_TRIM_THRESHOLD, limit);
    (void)mallopt(M_TOP_PAD, limit / 16);
    (void)mallopt(M_MMAP_THRESHOLD, limit / 2); /* larger pieces come from the system, and go back at once */
}

void mem_trim(void) {
    drop_kept();
    (void)malloc_trim(0);
}
