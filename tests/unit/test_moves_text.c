// SPDX-License-Identifier: Apache-2.0
#include "lib/test.h"

#include "cli/moves.h"

static void expect(const struct moves_progress *progress, int64_t now_ms, const char *expected) {
    char text[100];
    moves_text(progress, now_ms, text, sizeof text);
    assert_string_equal(text, expected);
}

static void a_move_says_what_is_left_of_it(void **state) {
    (void)state;
    struct moves_progress progress = {.what = "moving", .begun = true, .left = 3, .first_ms = 1000};
    progress.first = progress.lacking = 9000;
    expect(&progress, 1200, "moving: 3 left, 9000 records to copy"); /* there is no rate yet */
    progress.lacking = 6000;
    expect(&progress, 1200, "moving: 3 left, 6000 records to copy");
    expect(&progress, 3500, "moving: 3 left, 6000 records to copy, 5 s");
    progress.lacking = -1; /* nobody says */
    expect(&progress, 3500, "moving: 3 left");
    progress.lacking = 0;
    expect(&progress, 3500, "moving: 3 left");
    progress.left = 0;
    progress.lacking = 6000;
    expect(&progress, 3500, "moving: 0 left");
}

static void what_is_too_long_is_cut(void **state) {
    (void)state;
    struct moves_progress progress = {.what = "moving", .left = 3, .first = 9, .lacking = 9};
    char text[12];
    moves_text(&progress, 0, text, sizeof text);
    assert_string_equal(text, "moving: 3 l");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_move_says_what_is_left_of_it),
        cmocka_unit_test(what_is_too_long_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
