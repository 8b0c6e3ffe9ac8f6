// SPDX-License-Identifier: Apache-2.0
#include "io/io_timer.h"

#include "base/assert.h"
#include "base/mem.h"

#define HEAP_WIDTH 4

static bool timer_before(const struct io_timer *a, const struct io_timer *b) {
    return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->sequence < b->sequence;
}

static void heap_place(struct io_timer_heap *heap, uint32_t slot, struct io_timer *timer) {
    heap->slots[slot] = timer;
    timer->heap_index = slot + 1;
}

static void heap_rise(struct io_timer_heap *heap, uint32_t slot, struct io_timer *timer) {
    while (slot != 0) {
        uint32_t parent = (slot - 1) / HEAP_WIDTH;
        if (!timer_before(timer, heap->slots[parent])) break;
        heap_place(heap, slot, heap->slots[parent]);
        slot = parent;
    }
    heap_place(heap, slot, timer);
}

static void heap_sink(struct io_timer_heap *heap, uint32_t slot, struct io_timer *timer) {
    for (;;) {
        uint32_t child = slot * HEAP_WIDTH + 1, best = child;
        if (child >= heap->count) break;
        for (uint32_t other = child + 1; other < heap->count && other < child + HEAP_WIDTH; other++)
            if (timer_before(heap->slots[other], heap->slots[best])) best = other;
        if (!timer_before(heap->slots[best], timer)) break;
        heap_place(heap, slot, heap->slots[best]);
        slot = best;
    }
    heap_place(heap, slot, timer);
}

void io_timer_heap_init(struct io_timer_heap *heap) {
    *heap = (struct io_timer_heap){0};
}

void io_timer_heap_release(struct io_timer_heap *heap) {
    mem_free(heap->slots);
    *heap = (struct io_timer_heap){0};
}

void io_timer_heap_put(struct io_timer_heap *heap, struct io_timer *timer, uint64_t deadline_ns) {
    if (timer->heap_index != 0) io_timer_heap_remove(heap, timer);
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity == 0 ? 64 : heap->capacity * 2;
        heap->slots = mem_realloc(heap->slots, heap->capacity * sizeof(struct io_timer *));
    }
    timer->deadline_ns = deadline_ns;
    timer->sequence = ++heap->sequence;
    heap_rise(heap, heap->count++, timer);
}

void io_timer_heap_remove(struct io_timer_heap *heap, struct io_timer *timer) {
    ASSERT(timer->heap_index != 0);
    uint32_t slot = timer->heap_index - 1;
    ASSERT_LT(slot, heap->count);
    ASSERT(heap->slots[slot] == timer);
    struct io_timer *last = heap->slots[--heap->count];
    timer->heap_index = 0;
    if (last == timer) return;
    if (slot != 0 && timer_before(last, heap->slots[(slot - 1) / HEAP_WIDTH]))
        heap_rise(heap, slot, last);
    else
        heap_sink(heap, slot, last);
}

struct io_timer *io_timer_heap_first(const struct io_timer_heap *heap) {
    return heap->count == 0 ? NULL : heap->slots[0];
}

void io_timer_heap_check(const struct io_timer_heap *heap) {
    for (uint32_t i = 0; i < heap->count; i++) {
        ASSERT_EQ(heap->slots[i]->heap_index, i + 1);
        if (i != 0) ASSERT(!timer_before(heap->slots[i], heap->slots[(i - 1) / HEAP_WIDTH]));
    }
}
