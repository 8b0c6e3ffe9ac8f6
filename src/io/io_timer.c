// SPDX-License-Identifier: Apache-2.0
#include "io/io_timer.h"

#include "base/assert.h"
#include "base/mem.h"

#define HEAP_WIDTH 4

static bool is_before(const struct io_timer_slot *a, const struct io_timer_slot *b) {
    return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->sequence < b->sequence;
}

static void heap_place(struct io_timer_heap *heap, uint32_t index, const struct io_timer_slot *slot) {
    heap->slots[index] = *slot;
    slot->timer->heap_index = index + 1;
}

static void heap_rise(struct io_timer_heap *heap, uint32_t index, const struct io_timer_slot *slot) {
    while (index != 0) {
        uint32_t parent = (index - 1) / HEAP_WIDTH;
        if (!is_before(slot, &heap->slots[parent])) break;
        heap_place(heap, index, &heap->slots[parent]);
        index = parent;
    }
    heap_place(heap, index, slot);
}

static void heap_sink(struct io_timer_heap *heap, uint32_t index, const struct io_timer_slot *slot) {
    for (;;) {
        uint32_t child = index * HEAP_WIDTH + 1, best = child;
        if (child >= heap->count) break;
        for (uint32_t other = child + 1; other < heap->count && other < child + HEAP_WIDTH; other++)
            if (is_before(&heap->slots[other], &heap->slots[best])) best = other;
        if (!is_before(&heap->slots[best], slot)) break;
        heap_place(heap, index, &heap->slots[best]);
        index = best;
    }
    heap_place(heap, index, slot);
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
        heap->slots = mem_realloc(heap->slots, heap->capacity * sizeof *heap->slots);
    }
    timer->deadline_ns = deadline_ns;
    timer->sequence = ++heap->sequence;
    const struct io_timer_slot slot = {deadline_ns, timer->sequence, timer};
    heap_rise(heap, heap->count++, &slot);
}

void io_timer_heap_remove(struct io_timer_heap *heap, struct io_timer *timer) {
    ASSERT(timer->heap_index != 0);
    uint32_t index = timer->heap_index - 1;
    ASSERT_LT(index, heap->count);
    ASSERT(heap->slots[index].timer == timer);
    const struct io_timer_slot last = heap->slots[--heap->count];
    timer->heap_index = 0;
    if (last.timer == timer) return;
    if (index != 0 && is_before(&last, &heap->slots[(index - 1) / HEAP_WIDTH]))
        heap_rise(heap, index, &last);
    else
        heap_sink(heap, index, &last);
}

struct io_timer *io_timer_heap_first(const struct io_timer_heap *heap) {
    return heap->count == 0 ? NULL : heap->slots[0].timer;
}

void io_timer_heap_check(const struct io_timer_heap *heap) {
    for (uint32_t i = 0; i < heap->count; i++) {
        const struct io_timer_slot *slot = &heap->slots[i];
        ASSERT_EQ(slot->timer->heap_index, i + 1);
        ASSERT_EQ(slot->timer->deadline_ns, slot->deadline_ns);
        if (i != 0) ASSERT(!is_before(slot, &heap->slots[(i - 1) / HEAP_WIDTH]));
    }
}
