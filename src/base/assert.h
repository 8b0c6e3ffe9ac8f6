// SPDX-License-Identifier: Apache-2.0
/* assert.h: assertions that stay on in release builds.
 *
 * An assertion states an invariant of our own code. It never judges bytes from a socket, a file or a
 * command line: those get a status. A failed assertion prints the expression, both values where it has
 * them, the failure context (trace tail, seed) from the registered hook, and aborts: a broken invariant
 * stops the node rather than the data.
 *
 * ASSERT_SLOW is for checks above O(1); it is on where SENTINEL_ASSERT_SLOW is defined (debug, sanitizer,
 * simulator and fuzz builds). Source: TigerBeetle's TIGER_STYLE, Redis serverassert. */
#ifndef SENTINEL_BASE_ASSERT_H
#define SENTINEL_BASE_ASSERT_H

#include <stdint.h>

_Noreturn void assert_fail(const char *file, int line, const char *expression);
_Noreturn void assert_fail_values(const char *file, int line, const char *expression, int64_t left,
                                  int64_t right);

/* Called once, before the abort, to print context; `hook` may be NULL. Any thread may fail. */
void assert_set_hook(void (*hook)(void *ctx), void *ctx);

#define ASSERT(x) ((x) ? (void)0 : assert_fail(__FILE__, __LINE__, #x))
#define ASSERT_COMPARE_(a, op, b)                                                                            \
    do {                                                                                                     \
        __auto_type assert_a_ = (a);                                                                         \
        __auto_type assert_b_ = (b);                                                                         \
        if (!(assert_a_ op assert_b_))                                                                       \
            assert_fail_values(__FILE__, __LINE__, #a " " #op " " #b, (int64_t)assert_a_,                    \
                               (int64_t)assert_b_);                                                          \
    } while (0)
#define ASSERT_EQ(a, b)        ASSERT_COMPARE_(a, ==, b)
#define ASSERT_LE(a, b)        ASSERT_COMPARE_(a, <=, b)
#define ASSERT_LT(a, b)        ASSERT_COMPARE_(a, <, b)
#define ASSERT_IMPLIES(p, q)   ASSERT(!(p) || (q))
#define UNREACHABLE()          assert_fail(__FILE__, __LINE__, "unreachable")
#define MAYBE(x)               ((void)(x)) /* documents: this may be either */
#define STATIC_ASSERT(x, text) _Static_assert(x, text)

#ifdef SENTINEL_ASSERT_SLOW
#define ASSERT_SLOW(x) ASSERT(x)
#else
#define ASSERT_SLOW(x) ((void)sizeof(x))
#endif

#endif
