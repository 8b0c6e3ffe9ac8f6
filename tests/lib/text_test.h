// SPDX-License-Identifier: Apache-2.0
/* text_test.h: tests that are texts: commands, `----`, what they did, an empty line.
 *
 *   PROGRAM                        every file of the language's folder
 *   PROGRAM [--rewrite] FILE...    some; --rewrite puts what happens now in place of what was expected
 *
 * Lines that begin with '#' are for the reader. Several commands may stand before one `----`. Output that
 * holds "VIOLATION " is never right. */
#ifndef SENTINEL_TESTS_LIB_TEXT_TEST_H
#define SENTINEL_TESTS_LIB_TEXT_TEST_H

#include "base/cursor.h"

struct text_language {
    const char *folder;
    void (*begin)(void *ctx);                                             /* of each file */
    void (*run)(void *ctx, const char *command, struct writer *happened); /* adds what it did */
    void (*told)(void *ctx); /* the output of some commands was taken; may be NULL */
    void (*end)(void *ctx);
    void *ctx;
};
int text_test_main(int argc, char **argv, const struct text_language *language); /* the exit status */

/* Words of a command, by spaces; for languages. */
#define TEXT_WORDS_MAX 32
struct text_words {
    char text[512];
    const char *word[TEXT_WORDS_MAX];
    uint32_t count;
};
void text_words_split(struct text_words *words, const char *command);
/* What stands behind "name=" among the words, or `otherwise`. */
const char *text_words_value(const struct text_words *words, const char *name, const char *otherwise);
bool text_words_has(const struct text_words *words, const char *word);

#endif
