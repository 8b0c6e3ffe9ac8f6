// SPDX-License-Identifier: Apache-2.0
/* The corner cases of the dissertation and of other implementations, as texts: commands, `----`, what they
 * did.
 *
 *   test_raft_text                        every file of tests/text/raft
 *   test_raft_text [--rewrite] FILE...    some; --rewrite puts what happens now in place of what was expected
 *
 * Lines that begin with '#' are for the reader. The commands are those of lib/raft_script.h, one a line,
 * several before one `----`; what they print is expected up to the next empty line. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "lib/raft_script.h"

#define FOLDER "tests/text/raft"

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) return NULL;
    struct writer text;
    writer_init(&text);
    for (int c; (c = fgetc(file)) != EOF;)
        writer_u8(&text, (uint8_t)c);
    fclose(file);
    writer_u8(&text, 0);
    return (char *)text.data; /* mem_free frees it */
}

/* The line at *at without its end, copied; moves on. False: there is none. */
static bool next_line(const char **at, char *line, size_t size) {
    if (**at == '\0') return false;
    size_t length = strcspn(*at, "\n");
    snprintf(line, size, "%.*s", (int)length, *at);
    *at += length + ((*at)[length] == '\n');
    return true;
}

/* Runs the whole text; `out` gets it with what happened in place of what was expected. */
static void replay(const char *text, struct writer *out) {
    struct raft_script script;
    raft_script_init(&script);
    struct writer happened;
    writer_init(&happened);
    char line[512];
    while (next_line(&text, line, sizeof line)) {
        writer_printf(out, "%s\n", line);
        if (strcmp(line, "----") != 0) {
            if (line[0] != '#' && line[0] != '\0') raft_script_run(&script, line, &happened);
            continue;
        }
        while (next_line(&text, line, sizeof line) && line[0] != '\0')
            continue;
        writer_bytes(out, writer_slice(&happened));
        writer_clear(&happened);
        script.quiet = false;
        if (*text != '\0') writer_text(out, "\n");
    }
    writer_u8(out, 0);
    writer_release(&happened);
    raft_script_release(&script);
}

static void print_difference(const char *path, const char *expected, const char *happened) {
    char a[512] = "", b[512] = "";
    for (unsigned number = 1;; number++) {
        bool more_a = next_line(&expected, a, sizeof a), more_b = next_line(&happened, b, sizeof b);
        if (more_a == more_b && (!more_a || strcmp(a, b) == 0)) {
            if (!more_a) return;
            continue;
        }
        fprintf(stderr, "FAIL %s:%u\n  expected: %s\n  happened: %s\n", path, number, more_a ? a : "(end)",
                more_b ? b : "(end)");
        for (int i = 0; i < 8 && next_line(&happened, b, sizeof b); i++)
            fprintf(stderr, "            %s\n", b);
        return;
    }
}

static bool run(const char *path, bool rewrite) {
    char *text = read_file(path);
    if (text == NULL) {
        perror(path);
        return false;
    }
    struct writer out;
    writer_init(&out);
    replay(text, &out);
    const char *happened = (const char *)out.data, *violation = strstr(happened, "VIOLATION ");
    bool good = violation == NULL && strstr(text, "----\n") != NULL;
    if (violation != NULL) fprintf(stderr, "FAIL %s: %.*s\n", path, (int)strcspn(violation, "\n"), violation);
    if (rewrite) {
        FILE *file = fopen(path, "wb");
        if (file == NULL || fputs(happened, file) < 0 || fclose(file) != 0) perror(path);
    } else if (good && strcmp(text, happened) != 0) {
        print_difference(path, text, happened);
        good = false;
    }
    writer_release(&out);
    mem_free(text);
    return good;
}

static int run_folder(void) {
    struct dirent **entries;
    int count = scandir(FOLDER, &entries, NULL, alphasort), failed = 0, files = 0;
    for (int i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", FOLDER, entries[i]->d_name);
        if (strstr(path, ".txt") != NULL) {
            files++;
            failed += !run(path, false);
        }
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    printf("%d texts, %d failed\n", files, failed);
    return files == 0 || failed > 0;
}

int main(int argc, char **argv) {
    bool rewrite = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
    int failed = 0;
    for (int i = 1 + rewrite; i < argc; i++)
        failed += !run(argv[i], rewrite);
    return argc > 1 + rewrite ? failed > 0 : run_folder();
}
