// SPDX-License-Identifier: Apache-2.0
/* test.h: what every CMocka test includes, in the order that cmocka.h wants it. */
#ifndef SENTINEL_TESTS_LIB_TEST_H
#define SENTINEL_TESTS_LIB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/slice.h"
#include "base/status.h"

/* Exhaustive loops take every so many of their steps where each is ten times as slow: a sanitizer looks at
 * how a step is done, and many are done alike; that all of them end well is proven without. */
#if defined(__SANITIZE_ADDRESS__)
#define TEST_EVERY(step) (step)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_EVERY(step) (step)
#endif
#endif
#ifndef TEST_EVERY
#define TEST_EVERY(step) 1
#endif

#define assert_status(actual, expected) assert_string_equal(status_name(actual), status_name(expected))
#define assert_slice_equal(actual, expected)                                                                 \
    do {                                                                                                     \
        struct slice assert_slice_a_ = (actual), assert_slice_b_ = (expected);                               \
        assert_int_equal(assert_slice_a_.size, assert_slice_b_.size);                                        \
        if (assert_slice_a_.size != 0)                                                                       \
            assert_memory_equal(assert_slice_a_.data, assert_slice_b_.data, assert_slice_a_.size);           \
    } while (0)

#endif
