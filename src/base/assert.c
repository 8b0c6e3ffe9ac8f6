// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void (*failure_hook)(void *ctx);
static void *failure_hook_ctx;

void assert_set_hook(void (*hook)(void *ctx), void *ctx) {
    failure_hook = hook;
    failure_hook_ctx = ctx;
}

static _Noreturn void fail_with_context(void) {
    /* A hook that itself fails must not come back here for ever. */
    void (*hook)(void *ctx) = failure_hook;
    failure_hook = NULL;
    if (hook != NULL) hook(failure_hook_ctx);
    fflush(stderr);
    abort();
}

_Noreturn void assert_fail(const char *file, int line, const char *expression) {
    fprintf(stderr, "assertion failed: %s (%s:%d)\n", expression, file, line);
    fail_with_context();
}

_Noreturn void assert_fail_values(const char *file, int line, const char *expression, int64_t left,
                                  int64_t right) {
    fprintf(stderr, "assertion failed: %s: left %" PRId64 ", right %" PRId64 " (%s:%d)\n", expression, left,
            right, file, line);
    fail_with_context();
}
