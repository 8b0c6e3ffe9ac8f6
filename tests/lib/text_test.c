// SPDX-License-Identifier: Apache-2.0
#include "lib/text_test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

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
static void replay(const struct text_language *language, const char *text, struct writer *out) {
    language->begin(language->ctx);
    struct writer happened;
    writer_init(&happened);
    char line[512];
    while (next_line(&text, line, sizeof line)) {
        writer_printf(out, "%s\n", line);
        if (strcmp(line, "----") != 0) {
            if (line[0] != '#' && line[0] != '\0') language->run(language->ctx, line, &happened);
            continue;
        }
        while (next_line(&text, line, sizeof line) && line[0] != '\0')
            continue;
        writer_bytes(out, writer_slice(&happened));
        writer_clear(&happened);
        if (language->told != NULL) language->told(language->ctx);
        if (*text != '\0') writer_text(out, "\n");
    }
    writer_u8(out, 0);
    writer_release(&happened);
    language->end(language->ctx);
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

static bool run(const struct text_language *language, const char *path, bool rewrite) {
    char *text = read_file(path);
    if (text == NULL) {
        perror(path);
        return false;
    }
    struct writer out;
    writer_init(&out);
    replay(language, text, &out);
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

static int run_folder(const struct text_language *language) {
    struct dirent **entries;
    int count = scandir(language->folder, &entries, NULL, alphasort), failed = 0, files = 0;
    for (int i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", language->folder, entries[i]->d_name);
        if (strstr(path, ".txt") != NULL) {
            files++;
            failed += !run(language, path, false);
        }
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    printf("%d texts, %d failed\n", files, failed);
    return files == 0 || failed > 0;
}

int text_test_main(int argc, char **argv, const struct text_language *language) {
    bool rewrite = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
    int failed = 0;
    for (int i = 1 + rewrite; i < argc; i++)
        failed += !run(language, argv[i], rewrite);
    return argc > 1 + rewrite ? failed > 0 : run_folder(language);
}

/* ---- words --------------------------------------------------------------------------------------------- */

void text_words_split(struct text_words *words, const char *command) {
    *words = (struct text_words){0};
    snprintf(words->text, sizeof words->text, "%s", command);
    char *at = words->text;
    while (words->count < TEXT_WORDS_MAX) {
        while (*at == ' ')
            *at++ = '\0';
        if (*at == '\0') return;
        words->word[words->count++] = at;
        while (*at != ' ' && *at != '\0')
            at++;
    }
}

const char *text_words_value(const struct text_words *words, const char *name, const char *otherwise) {
    size_t size = strlen(name);
    for (uint32_t i = 0; i < words->count; i++)
        if (strncmp(words->word[i], name, size) == 0 && words->word[i][size] == '=')
            return words->word[i] + size + 1;
    return otherwise;
}

bool text_words_has(const struct text_words *words, const char *word) {
    for (uint32_t i = 0; i < words->count; i++)
        if (strcmp(words->word[i], word) == 0) return true;
    return false;
}
