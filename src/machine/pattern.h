// SPDX-License-Identifier: Apache-2.0
/* pattern.h: patterns of topic names, as consumers of the new group protocol subscribe to them (KIP-848).
 *
 * The common part of RE2's syntax: literals, . [a-z] [^a-z] \d \w \s and their capitals, \xHH, escaped
 * punctuation, groups ( ) and (?: ), |, * + ? {m} {m,} {m,n} and their lazy forms, ^ and $. A pattern matches
 * a whole name. What is not known (flags, classes by name, back references) is refused rather than taken for
 * something else.
 *
 *   text ─> program of a few instructions ─> all of its states at once, one byte after the other
 *
 * So a match costs at most PATTERN_SIZE_MAX steps a byte, whatever the pattern: nothing goes back.
 *
 * Source  Thompson, "Regular expression search algorithm" (1968), as Pike and RE2 run it.
 * Owner   the caller frees.  Errors: INVALID_PATTERN: not understood, or too large.  Loop: pure.
 * Bounds  PATTERN_TEXT_SIZE_MAX bytes, PATTERN_SIZE_MAX instructions, PATTERN_DEPTH_MAX groups within each
 * other, PATTERN_REPEAT_MAX times. */
#ifndef SENTINEL_MACHINE_PATTERN_H
#define SENTINEL_MACHINE_PATTERN_H

#include <stdbool.h>

#include "base/slice.h"
#include "base/status.h"

#define PATTERN_TEXT_SIZE_MAX 1024
#define PATTERN_SIZE_MAX      500
#define PATTERN_DEPTH_MAX     20
#define PATTERN_REPEAT_MAX    249 /* no name is longer */

struct pattern;
enum status pattern_new(struct slice text, struct pattern **pattern) MUST_USE;
void pattern_free(struct pattern *pattern);
bool pattern_matches(const struct pattern *pattern, struct slice name);

#endif
