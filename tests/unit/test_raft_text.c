// SPDX-License-Identifier: Apache-2.0
/* The corner cases of the dissertation and of other implementations, as texts (lib/text_test.h) in the
 * language of lib/raft_script.h. */
#include "lib/raft_script.h"
#include "lib/text_test.h"

static struct raft_script script;

static void begin(void *ctx) {
    raft_script_init(ctx);
}

static void run(void *ctx, const char *command, struct writer *happened) {
    raft_script_run(ctx, command, happened);
}

static void told(void *ctx) {
    struct raft_script *self = ctx;
    self->quiet = false;
}

static void end(void *ctx) {
    raft_script_release(ctx);
}

int main(int argc, char **argv) {
    const struct text_language language = {
        .folder = "tests/text/raft", .begin = begin, .run = run, .told = told, .end = end, .ctx = &script};
    return text_test_main(argc, argv, &language);
}
