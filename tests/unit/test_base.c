// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/histogram.h"
#include "base/log.h"
#include "base/prng.h"
#include "base/size_text.h"
#include "base/units.h"
#include "lib/test.h"

static void print_context(void *ctx) {
    fprintf(stderr, "context: %s\n", (const char *)ctx);
}

static void fail_equal(void) {
    int got = 2;
    ASSERT_EQ(got + 1, 4);
}
static void fail_plain(void) {
    ASSERT(1 > 2);
}
static void fail_implies(void) {
    ASSERT_IMPLIES(true, false);
}

/* Runs `body` in a child and returns what it said before it was killed by abort. */
static void dies_saying(void (*body)(void), const char *expected) {
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(fds[1], 2);
        assert_set_hook(print_context, "seed 7");
        signal(SIGABRT, SIG_DFL);
        body();
        _exit(0);
    }
    close(fds[1]);
    char text[512];
    size_t size = 0;
    ssize_t part;
    while ((part = read(fds[0], text + size, sizeof text - 1 - size)) > 0)
        size += (size_t)part;
    text[size] = '\0';
    close(fds[0]);
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    if (strstr(text, expected) == NULL) fail_msg("expected '%s' in '%s'", expected, text);
    assert_non_null(strstr(text, "context: seed 7"));
}

static void assertions_print_both_values_and_the_context(void **state) {
    (void)state;
    dies_saying(fail_equal, "got + 1 == 4: left 3, right 4");
    dies_saying(fail_plain, "assertion failed: 1 > 2");
    dies_saying(fail_implies, "assertion failed");
    ASSERT_LE(1, 1);
    ASSERT_LT(-1, 1);
}

static void statuses_map_to_the_protocols(void **state) {
    (void)state;
    assert_string_equal(status_name(STATUS_NOT_LEADER), "NOT_LEADER");
    assert_int_equal(status_kafka_code(STATUS_NOT_LEADER), 6);
    assert_int_equal(status_grpc_code(STATUS_NOT_LEADER), 14);
    assert_int_equal(status_kafka_code(STATUS_OK), 0);
    assert_true(status_is_final(STATUS_IO) && !status_is_final(STATUS_NO_SPACE));
    struct diagnostic diagnostic;
    assert_status(diagnose(&diagnostic, STATUS_INVALID, "%d of %s", 3, "x"), STATUS_INVALID);
    assert_string_equal(diagnostic.text, "3 of x");
    assert_status(diagnose(NULL, STATUS_INVALID, "nobody reads this"), STATUS_INVALID);
}

static void quantiles_are_within_a_bucket_of_the_truth(void **state) {
    (void)state;
    static struct histogram h, half;
    histogram_init(&h);
    assert_int_equal(histogram_quantile(&h, 500), 0);
    histogram_init(&half);
    for (uint64_t v = 1; v <= 100000; v++)
        histogram_add(v % 2 ? &h : &half, v);
    histogram_merge(&h, &half);
    assert_int_equal(h.count, 100000);
    for (uint32_t q = 1; q <= 1000; q++) {
        uint64_t truth = (uint64_t)q * 100, got = histogram_quantile(&h, q);
        assert_true(got >= truth && got <= truth + truth / 31 + 1);
    }
    assert_int_equal(histogram_quantile(&h, 1000), 100000);
    assert_int_equal(histogram_mean(&h), 50000);
    assert_int_equal(histogram_count_below(&h, 31), 31);
    histogram_add(&h, UINT64_MAX);
    assert_true(histogram_quantile(&h, 1000) == UINT64_MAX);
}

static void the_same_seed_gives_the_same_numbers_and_streams_differ(void **state) {
    (void)state;
    struct prng a, b;
    prng_init(&a, 42);
    prng_init(&b, 42);
    /* xoshiro256** seeded by splitmix64(42), computed independently of this code. */
    assert_true(prng_next(&a) == 0x15780b2e0c2ec716U);
    assert_true(prng_next(&b) == 0x15780b2e0c2ec716U);
    struct prng left = prng_split(&a, 1), right = prng_split(&a, 2);
    assert_true(prng_next(&left) != prng_next(&right));
    assert_true(prng_next(&a) == prng_next(&b)); /* splitting draws nothing */
    unsigned seen[10] = {0};
    for (int i = 0; i < 10000; i++) {
        seen[prng_below(&a, 10)]++;
        uint64_t v = prng_range(&a, 5, 7);
        assert_true(v >= 5 && v <= 7);
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(seen[i], 850, 1150);
}

static void collect(void *ctx, enum log_level level, struct slice line) {
    char *text = ctx;
    snprintf(text, 200, "%s|%.*s", log_level_name(level), (int)line.size, (const char *)line.data);
}

static void log_lines_cannot_be_forged(void **state) {
    (void)state;
    char got[200] = "", quoted[40];
    struct log log = {LOG_INFO, collect, got};
    log_debug(&log, "dropped");
    assert_string_equal(got, "");
    log_info(&log, "client=%s", log_quote(quoted, sizeof quoted, SLICE_LITERAL("a\"b\n\x01")));
    assert_string_equal(got, "info|client=\"a\\\"b\\x0a\\x01\"");
    log_quote(quoted, sizeof quoted, SLICE_LITERAL("\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"));
    assert_true(strlen(quoted) < sizeof quoted);
    assert_non_null(strstr(quoted, "…\""));
    enum log_level level;
    assert_true(log_level_parse("warn", &level) && level == LOG_WARN);
    assert_false(log_level_parse("loud", &level));
    log_info(NULL, "nobody listens");
}

static int sign(int number) {
    return (number > 0) - (number < 0);
}

/* Of every size that is compared in its own way: words, words that overlap, single bytes, memcmp. */
static void slices_are_ordered_by_the_first_byte_that_differs(void **state) {
    (void)state;
    uint8_t a[48], b[48];
    struct prng prng;
    prng_init(&prng, 5);
    for (size_t size = 0; size <= sizeof a; size++) {
        prng_bytes(&prng, a, sizeof a);
        memcpy(b, a, sizeof a);
        assert_int_equal(slice_compare(slice_make(a, size), slice_make(b, size)), 0);
        if (size < sizeof a) assert_true(slice_compare(slice_make(a, size), slice_make(b, size + 1)) < 0);
        if (size > 0) assert_true(slice_compare(slice_make(a, size), slice_make(b, size - 1)) > 0);
        for (size_t at = 0; at < size; at++) {
            memcpy(b, a, sizeof a);
            b[at] ^= (uint8_t)(1u << prng_below(&prng, 8));
            for (size_t i = at + 1; i < size; i++) /* what comes later says the opposite */
                b[i] = b[at] > a[at] ? 0 : 255;
            int order = sign(memcmp(a, b, size));
            assert_int_equal(sign(slice_compare(slice_make(a, size), slice_make(b, size))), order);
            assert_int_equal(sign(slice_compare(slice_make(b, size), slice_make(a, size))), -order);
        }
    }
}

static void sizes_are_short(void **state) {
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},
                 {999, "999 B"},
                 {1000, "1.0 KiB"},
                 {20 * MIB, "20.0 MiB"},
                 {1023948, "999.9 KiB"},
                 {1023949, "1.0 MiB"}, /* not 1000.0 KiB */
                 {3 * GIB / 2, "1.5 GiB"},
                 {UINT64_MAX, "16.0 EiB"}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[SIZE_TEXT_SIZE];
        size_text(cases[i].bytes, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assertions_print_both_values_and_the_context),
        cmocka_unit_test(statuses_map_to_the_protocols),
        cmocka_unit_test(quantiles_are_within_a_bucket_of_the_truth),
        cmocka_unit_test(the_same_seed_gives_the_same_numbers_and_streams_differ),
        cmocka_unit_test(log_lines_cannot_be_forged),
        cmocka_unit_test(slices_are_ordered_by_the_first_byte_that_differs),
        cmocka_unit_test(sizes_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
