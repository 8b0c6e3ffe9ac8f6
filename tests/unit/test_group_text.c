// SPDX-License-Identifier: Apache-2.0
/* What the coordinator of groups does, as texts (lib/text_test.h) in the language of lib/group_script.h. */
#include "lib/group_script.h"

static struct group_script script;

static void begin(void *ctx) {
    group_script_init(ctx);
}

static void run(void *ctx, const char *command, struct writer *happened) {
    group_script_run(ctx, command, happened);
}

static void end(void *ctx) {
    group_script_release(ctx);
}

int main(int argc, char **argv) {
    const struct text_language language = {
        .folder = "tests/text/group", .begin = begin, .run = run, .end = end, .ctx = &script};
    return text_test_main(argc, argv, &language);
}
