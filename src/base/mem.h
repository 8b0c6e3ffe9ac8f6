// SPDX-License-Identifier: Apache-2.0
/* mem.h: the one door to the heap.
 *
 * Running out of memory is not an operating error here: budgets keep us far from it, so a failed
 * allocation stops the node with a message. Callers never check for NULL.
 *
 * Owner   the caller owns what it allocates; mem_free(NULL) is allowed.
 * Bounds  sizes above MEM_ALLOC_SIZE_MAX are a programming error and assert: a length that came from
 *         outside must have been checked against its own limit long before.
 * Loop    any thread. */
#ifndef SENTINEL_BASE_MEM_H
#define SENTINEL_BASE_MEM_H

#include <stddef.h>

#define MEM_ALLOC_SIZE_MAX ((size_t)1 << 32)
#define MEM_HUGE_SIZE      ((size_t)2 << 20)
#define MEM_HUGE_KEPT      8u /* pages given back that a thread keeps for itself until mem_trim */

void *mem_alloc(size_t size);                       /* uninitialised */
void *mem_calloc(size_t count, size_t size);        /* zeroed, count * size checked */
void *mem_realloc(void *ptr, size_t size);          /* ptr may be NULL */
void *mem_alloc_aligned(size_t align, size_t size); /* align: power of two; released with mem_free */
/* MEM_HUGE_SIZE uninitialised bytes, aligned to as much and in one huge page where the system has them: for
 * memory that is filled and then read at random, which then costs no address translation. Given back with
 * mem_free_huge by the same thread. */
void *mem_alloc_huge(void);
void mem_free_huge(void *ptr);
char *mem_strdup(const char *text);
void mem_free(void *ptr);
/* What is given back stays with the process, up to `size` bytes at the heap's end, which grows by pieces of a
 * 16th of that: for a process that takes and gives back much, again and again. */
void mem_keep(size_t size);
/* Gives memory that nobody uses back to the system, after a burst; takes up to some milliseconds. */
void mem_trim(void);

#endif
