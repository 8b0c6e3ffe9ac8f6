// SPDX-License-Identifier: Apache-2.0
/* The store against its model, over many seeds: random operations, views held open, crashes of every kind and
 * at every disk operation, errors of the disk and want of room. A seed that fails is shortened to a script.
 *
 *   test_store_model               SENTINEL_SEEDS seeds from SENTINEL_SEED on, and tests/data/store
 *   test_store_model FILE...       these scripts */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "lib/store_script.h"
#include "lib/test.h"

#define SCRIPT_SIZE_MAX  ((size_t)MIB)
#define SHRINK_ATTEMPTS  3000u
#define SEEDS_A_CHILD    500u
#define CANARY_SEEDS     50u
#define SCRIPT_DIRECTORY "tests/data/store"

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void print_script(const struct store_script *script) {
    struct writer text;
    writer_init(&text);
    store_script_print(script, &text);
    fprintf(stderr,
            "---- the shortest script that still fails; keep it in " SCRIPT_DIRECTORY " ----\n%.*s----\n",
            (int)text.size, (const char *)text.data);
    writer_release(&text);
}

static void agrees_with_the_model(void **state) {
    (void)state;
    uint64_t seed = number_from("SENTINEL_SEED", 1), end = seed + number_from("SENTINEL_SEEDS", 500);
    for (; seed < end; seed += SEEDS_A_CHILD) {
        struct store_script_result result = store_script_try_seeds(seed, MIN(end - seed, SEEDS_A_CHILD),
                                                                   false, false);
        if (result.held) continue;
        struct store_script script;
        store_script_init(&script);
        store_script_draw(&script, result.seed);
        fprintf(stderr, "seed %llu fails: %s; shortening it\n", (unsigned long long)result.seed, result.what);
        store_script_shrink(&script, result.what, SHRINK_ATTEMPTS);
        print_script(&script);
        store_script_release(&script);
        fail_msg("seed %llu: %s", (unsigned long long)result.seed, result.what);
    }
}

/* The test itself is tested: a model that forgets some deletions is found out, and the script that shows it
 * becomes short, survives being printed and read, and holds with a model in its right mind. */
static void a_wrong_model_is_found_out(void **state) {
    (void)state;
    struct store_script_result result = store_script_try_seeds(1, CANARY_SEEDS, true, true);
    assert_false(result.held);
    struct store_script script, again;
    store_script_init(&script);
    store_script_draw(&script, result.seed);
    script.forgetful = true;
    store_script_shrink(&script, result.what, SHRINK_ATTEMPTS);
    assert_in_range(script.count, 1, 8);
    struct writer text;
    writer_init(&text);
    store_script_print(&script, &text);
    store_script_init(&again);
    size_t line;
    assert_status(store_script_parse(&again, writer_slice(&text), &line), STATUS_OK);
    assert_int_equal(again.count, script.count);
    assert_string_equal(store_script_try(&again, true).what, result.what);
    again.forgetful = false;
    assert_true(store_script_try(&again, false).held);
    writer_release(&text);
    store_script_release(&script);
    store_script_release(&again);
}

/* What is printed is what is read, for every kind of operation. */
static void scripts_survive_being_printed(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct store_script script, again;
        struct writer first, second;
        store_script_init(&script);
        store_script_init(&again);
        store_script_draw(&script, seed);
        writer_init(&first);
        writer_init(&second);
        store_script_print(&script, &first);
        size_t line;
        assert_status(store_script_parse(&again, writer_slice(&first), &line), STATUS_OK);
        store_script_print(&again, &second);
        assert_slice_equal(writer_slice(&second), writer_slice(&first));
        writer_release(&first);
        writer_release(&second);
        store_script_release(&script);
        store_script_release(&again);
    }
    const char *wrong[] = {"seed",         "write",  "write put 5",     "write put 5 0", "get 5",
                           "open 0 9 8 0", "jump 1", "write range 9 3", "crash never 0"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct store_script script;
        store_script_init(&script);
        size_t line;
        assert_status(store_script_parse(&script, slice_from_text(wrong[i]), &line), STATUS_INVALID);
        store_script_release(&script);
    }
}

static bool run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) return false;
    char *text = mem_alloc(SCRIPT_SIZE_MAX);
    size_t size = fread(text, 1, SCRIPT_SIZE_MAX, file);
    fclose(file);
    struct store_script script;
    store_script_init(&script);
    size_t line;
    enum status status = store_script_parse(&script, slice_make(text, size), &line);
    if (status != STATUS_OK) fprintf(stderr, "%s:%zu: this line makes no sense\n", path, line);
    struct store_script_result result = {.held = false};
    if (status == STATUS_OK) {
        result = store_script_try(&script, false);
        if (!result.held) fprintf(stderr, "%s: %s\n", path, result.what);
    }
    store_script_release(&script);
    mem_free(text);
    return result.held;
}

/* Scripts that once failed. */
static void kept_scripts_hold(void **state) {
    (void)state;
    DIR *dir = opendir(SCRIPT_DIRECTORY);
    assert_non_null(dir);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[300];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, SCRIPT_DIRECTORY "/%.250s", entry->d_name);
        assert_true(run_file(path));
        count++;
    }
    closedir(dir);
    assert_true(count > 0);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        bool held = true;
        for (int i = 1; i < argc; i++)
            held = run_file(argv[i]) && held;
        return held ? 0 : 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts_survive_being_printed),
        cmocka_unit_test(a_wrong_model_is_found_out),
        cmocka_unit_test(kept_scripts_hold),
        cmocka_unit_test(agrees_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
