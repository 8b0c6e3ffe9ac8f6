// SPDX-License-Identifier: Apache-2.0
/* io_timer.h: armed timers, by (deadline, order of arming).
 *
 * A 4-ary heap: half the depth of a binary one. Its slots have what is compared beside the pointer: with
 * thousands of timers, each of them is a line that no cache holds. Equal deadlines fire in the order in which
 * they were armed: the order is part of the contract.
 *
 * Owner   timers belong to their owners; the heap owns its slots. Units  ns. Loop  shard thread only.
 * I1  slots[i].timer->heap_index == i + 1, and the slot says what the timer does.
 * I2  no slot is before its parent. */
#ifndef SENTINEL_IO_IO_TIMER_H
#define SENTINEL_IO_IO_TIMER_H

#include "io/io.h"

struct io_timer_slot {
    uint64_t deadline_ns, sequence;
    struct io_timer *timer;
};
struct io_timer_heap {
    struct io_timer_slot *slots;
    uint32_t count, capacity;
    uint64_t sequence; /* of the timer armed last */
};

void io_timer_heap_init(struct io_timer_heap *heap);
void io_timer_heap_release(struct io_timer_heap *heap);
void io_timer_heap_put(struct io_timer_heap *heap, struct io_timer *timer, uint64_t deadline_ns);
void io_timer_heap_remove(struct io_timer_heap *heap, struct io_timer *timer);
/* The earliest timer, or NULL. */
struct io_timer *io_timer_heap_first(const struct io_timer_heap *heap);
void io_timer_heap_check(const struct io_timer_heap *heap);

#endif
