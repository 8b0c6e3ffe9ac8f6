// SPDX-License-Identifier: Apache-2.0
/* Patterns of topic names: what they match, what is refused, and that no pattern takes long. */
#include "machine/pattern.h"

#include <regex.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/prng.h"
#include "base/units.h"
#include "lib/test.h"

static bool matches(const char *pattern, const char *name) {
    struct pattern *p;
    assert_status(pattern_new(slice_from_text(pattern), &p), STATUS_OK);
    bool result = pattern_matches(p, slice_from_text(name));
    pattern_free(p);
    return result;
}

static void what_is_matched(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *yes, *no;
    } cases[] = {
        {"orders", "orders", "orders2"},
        {"orders.*", "orders-eu", "my-orders"},
        {"^orders-.+$", "orders-a", "orders-"},
        {"a|b|cd", "cd", "c"},
        {"(a|b)*c", "ababc", "abd"},
        {"(?:eu|us)[.]log", "us.log", "usxlog"},
        {"[^a-c]x", "dx", "bx"},
        {"[]a]b", "]b", "cb"},
        {"[a\\-z]+", "a-z", "b"},
        {"[a-]b", "-b", "bb"},
        {"\\d{2,3}", "123", "1234"},
        {"\\d{2,}", "12345", "1"},
        {"x{3}", "xxx", "xxxx"},
        {"\\w+\\.\\D", "a_9.x", "a_9.7"},
        {"a.c", "a.c", "ac"},
        {"a\\.c", "a.c", "abc"},
        {"\\x41?", "A", "B"},
        {"", "", "a"},
        {"a??b*?", "abb", "aab"},
        {"(a*)*b", "aaab", "aaac"},
        {"|a", "", "b"},
        {"()", "", "x"},
        {"a$b|c", "c", "ab"},
        {"(^a|b)c", "ac", "abc"},
        {"\\Sx\\s", "yx ", " x "},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        if (!matches(cases[i].pattern, cases[i].yes)) fail_msg("%s, %s", cases[i].pattern, cases[i].yes);
        if (matches(cases[i].pattern, cases[i].no)) fail_msg("%s, %s", cases[i].pattern, cases[i].no);
    }
}

static void what_is_refused(void **state) {
    (void)state;
    static const char *const refused[] = {"(",           ")",   "a)",     "[a",          "*a",     "a**",
                                          "+",           "a{2", "a{3,2}", "a{250}",      "(?i)a",  "\\",
                                          "\\b",         "\\1", "[z-a]",  "[[:alpha:]]", "\\pL",   "\\xg0",
                                          "(a{50}){50}", "?",   "a{,2}",  "[\\d-z\\",    "x{1}{2}"};
    for (unsigned i = 0; i < ARRAY_COUNT(refused); i++) {
        struct pattern *p = NULL;
        if (pattern_new(slice_from_text(refused[i]), &p) == STATUS_OK) fail_msg("%s is taken", refused[i]);
    }
}

/* However it is filled: a text that leads to nothing is bounded, too. */
static void a_text_is_bounded(void **state) {
    (void)state;
    static const char *const pieces[] = {"()", "(){249}", "(a{249}){0}", "(){0,249}", "(){1,}"};
    char text[8 * PATTERN_TEXT_SIZE_MAX];
    for (unsigned i = 0; i < ARRAY_COUNT(pieces); i++) {
        size_t size = strlen(pieces[i]), room = PATTERN_TEXT_SIZE_MAX / size * size;
        for (size_t k = 0; k < sizeof text; k++)
            text[k] = pieces[i][k % size];
        struct pattern *p = NULL;
        assert_status(pattern_new(slice_make(text, room), &p), STATUS_OK);
        assert_true(pattern_matches(p, SLICE_EMPTY));
        assert_false(pattern_matches(p, SLICE_LITERAL("a")));
        pattern_free(p);
        assert_status(pattern_new(slice_make(text, room + size), &p), STATUS_INVALID_PATTERN);
        assert_status(pattern_new(slice_make(text, sizeof text / size * size), &p), STATUS_INVALID_PATTERN);
    }
}

/* Patterns that make others go back and forth for ever. */
static void none_takes_long(void **state) {
    (void)state;
    static const char *const slow[] = {"(a*)*(a*)*(a*)*b", "(a|a)*(a|a)*c", "(a?){100}a{100}", "((a*)*)*x",
                                       "(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)y"};
    char name[250];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (unsigned i = 0; i < ARRAY_COUNT(slow); i++)
        for (int round = 0; round < 20; round++)
            MAYBE(matches(slow[i], name));
}

/* Random patterns of the part that POSIX has, too, beside POSIX; and random bytes, which only must not crash.
 */
static void as_posix_has_it(void **state) {
    (void)state;
    static const char letters[] = "ab.|()*+?[]^$";
    struct prng prng;
    prng_init(&prng, 1);
    int compared = 0;
    for (int i = 0; i < 30000; i++) {
        char text[16], anchored[32], name[8];
        size_t size = 1 + prng_below(&prng, 9);
        for (size_t k = 0; k < size; k++)
            text[k] = letters[prng_below(&prng, i % 3 == 0 ? sizeof letters - 1 : 9)];
        text[size] = '\0';
        struct pattern *p = NULL;
        bool ours = pattern_new(slice_from_text(text), &p) == STATUS_OK;
        regex_t posix;
        snprintf(anchored, sizeof anchored, "^(%s)$", text);
        /* What POSIX leaves open, or means another way: empty alternatives, repeated repetitions. */
        bool open = strstr(text, "||") || strstr(text, "(|") || strstr(text, "|)") || strstr(text, "()") ||
                    text[0] == '|' || text[size - 1] == '|' || strpbrk(text, "[]^$") != NULL ||
                    strstr(text, "(*") || strstr(text, "(+") || strstr(text, "(?") || strstr(text, "|*");
        for (size_t k = 0; k + 1 < size; k++)
            open |= strchr("*+?", text[k]) != NULL && strchr("*+?", text[k + 1]) != NULL;
        if (ours && !open && regcomp(&posix, anchored, REG_EXTENDED | REG_NOSUB) == 0) {
            for (int n = 0; n < 8; n++) {
                size_t length = prng_below(&prng, sizeof name);
                for (size_t k = 0; k < length; k++)
                    name[k] = "abc"[prng_below(&prng, 3)];
                name[length] = '\0';
                bool theirs = regexec(&posix, name, 0, NULL, 0) == 0;
                if (pattern_matches(p, slice_from_text(name)) != theirs) fail_msg("'%s', '%s'", text, name);
                compared++;
            }
            regfree(&posix);
        }
        if (ours) pattern_free(p);
    }
    assert_true(compared > 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_matched),   cmocka_unit_test(what_is_refused),
        cmocka_unit_test(a_text_is_bounded), cmocka_unit_test(none_takes_long),
        cmocka_unit_test(as_posix_has_it),
    };
    return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}
