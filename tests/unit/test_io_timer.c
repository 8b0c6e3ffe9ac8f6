// SPDX-License-Identifier: Apache-2.0
/* The timer heap against a list that is searched. */
#include "base/prng.h"
#include "io/io_timer.h"
#include "lib/test.h"

#define TIMERS 200

static void no_fire(struct io_timer *timer) {
    (void)timer;
}

static struct io_timer *first_of(struct io_timer *timers) {
    struct io_timer *first = NULL;
    for (unsigned i = 0; i < TIMERS; i++) {
        struct io_timer *it = &timers[i];
        if (!io_timer_armed(it)) continue;
        if (first == NULL || it->deadline_ns < first->deadline_ns ||
            (it->deadline_ns == first->deadline_ns && it->sequence < first->sequence))
            first = it;
    }
    return first;
}

static void the_first_is_always_the_earliest(void **state) {
    (void)state;
    struct io_timer timers[TIMERS];
    struct io_timer_heap heap;
    struct prng prng;
    prng_init(&prng, 7);
    io_timer_heap_init(&heap);
    for (unsigned i = 0; i < TIMERS; i++)
        io_timer_init(&timers[i], no_fire);
    for (unsigned step = 0; step < 20000; step++) {
        struct io_timer *timer = &timers[prng_below(&prng, TIMERS)];
        uint64_t what = prng_below(&prng, 10);
        if (what < 6)
            io_timer_heap_put(&heap, timer, prng_below(&prng, 50));
        else if (what < 8 && io_timer_armed(timer))
            io_timer_heap_remove(&heap, timer);
        else if (io_timer_heap_first(&heap) != NULL)
            io_timer_heap_remove(&heap, io_timer_heap_first(&heap));
        assert_ptr_equal(io_timer_heap_first(&heap), first_of(timers));
        if (step % 64 == 0) io_timer_heap_check(&heap);
    }
    io_timer_heap_release(&heap);
}

static void equal_deadlines_keep_the_order_of_arming(void **state) {
    (void)state;
    struct io_timer timers[TIMERS];
    struct io_timer_heap heap;
    io_timer_heap_init(&heap);
    for (unsigned i = 0; i < TIMERS; i++) {
        io_timer_init(&timers[i], no_fire);
        io_timer_heap_put(&heap, &timers[i], 5);
    }
    /* Arming again is arming later. */
    io_timer_heap_put(&heap, &timers[0], 5);
    for (unsigned i = 1; i <= TIMERS; i++) {
        assert_ptr_equal(io_timer_heap_first(&heap), &timers[i % TIMERS]);
        io_timer_heap_remove(&heap, &timers[i % TIMERS]);
    }
    assert_null(io_timer_heap_first(&heap));
    io_timer_heap_release(&heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_always_the_earliest),
        cmocka_unit_test(equal_deadlines_keep_the_order_of_arming),
    };
    return cmocka_run_group_tests_name("io_timer", tests, NULL, NULL);
}
