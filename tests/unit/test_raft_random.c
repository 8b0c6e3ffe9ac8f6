// SPDX-License-Identifier: Apache-2.0
/* A group under drawn schedules of drops, duplicates, reordering, crashes, late disks, membership changes,
 * damage and lost disks; every step is checked (lib/raft_check.h), and in the end all members must agree.
 *
 *   test_raft_random                                the seeds of every test run, or SENTINEL_SEEDS from
 *                                                   SENTINEL_SEED on
 *   test_raft_random --seeds A..B [--steps N]       others
 *   test_raft_random --seed N [--steps N] --trace   one, with every event as a line */
#include "lib/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "lib/raft_schedule.h"

#define SEEDS 400
#define STEPS 3000

static uint64_t running_seed;

static void print_seed(void *ctx) {
    (void)ctx;
    fprintf(stderr, "seed %" PRIu64 ": assertion failed\n", running_seed);
}

static bool run(uint64_t seed, uint32_t steps, FILE *trace, struct raft_seen *seen) {
    running_seed = seed;
    char violation[256];
    struct raft_schedule_options options = {.seed = seed, .steps = steps, .trace = trace};
    if (raft_schedule_run(&options, seen, violation)) return true;
    fprintf(stderr, "seed %" PRIu64 ": %s\n", seed, violation);
    return false;
}

static void print_seen(const struct raft_seen *seen) {
#define PRINT_SEEN_(name) printf("%-24s %12" PRIu64 "\n", #name, seen->name);
    RAFT_SEEN_LIST(PRINT_SEEN_)
#undef PRINT_SEEN_
}

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void every_invariant_holds(void **state) {
    (void)state;
    struct raft_seen seen = {0};
    uint64_t first = number_from("SENTINEL_SEED", 1), end = first + number_from("SENTINEL_SEEDS", SEEDS);
    for (uint64_t seed = first; seed < end; seed++)
        assert_true(run(seed, STEPS, NULL, &seen));
    print_seen(&seen);
#define EXPECT_SEEN_(name) assert_true(seen.name > 0);
    RAFT_SEEN_LIST(EXPECT_SEEN_)
#undef EXPECT_SEEN_
}

static int run_seeds(uint64_t first, uint64_t last, uint32_t steps, FILE *trace) {
    struct raft_seen seen = {0};
    for (uint64_t seed = first; seed <= last; seed++)
        if (!run(seed, steps, trace, &seen)) return 1;
    print_seen(&seen);
    return 0;
}

int main(int argc, char **argv) {
    assert_set_hook(print_seed, NULL);
    uint64_t first = 0, last = 0;
    uint32_t steps = STEPS;
    FILE *trace = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            first = last = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            char *end;
            first = strtoull(argv[++i], &end, 10);
            last = strncmp(end, "..", 2) == 0 ? strtoull(end + 2, NULL, 10) : first;
        } else if (strcmp(argv[i], "--steps") == 0 && i + 1 < argc) {
            steps = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--trace") == 0) {
            trace = stdout;
        }
    }
    if (last != 0) return run_seeds(first, last, steps, trace);
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_invariant_holds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
