// SPDX-License-Identifier: Apache-2.0
#include "storage/layout.h"

#include <string.h>

#include "base/assert.h"

#define NUMBER_DIGITS 12U /* at least */

/* The number in decimal, in NUMBER_DIGITS digits or more; returns its end. */
static char *put_number(char *to, uint64_t number) {
    char digits[20];
    size_t count = 0;
    for (; number != 0 || count < NUMBER_DIGITS; number /= 10)
        digits[count++] = (char)('0' + number % 10);
    while (count > 0)
        *to++ = digits[--count];
    return to;
}

struct layout_path layout_path(const char *dir, enum layout_kind kind, uint64_t number) {
    static const char *const ends[] = {
        [LAYOUT_LOCK] = "LOCK", [LAYOUT_MANIFEST] = "MANIFEST", [LAYOUT_TEMPORARY] = "MANIFEST.tmp",
        [LAYOUT_LOG] = ".wal",  [LAYOUT_TABLE] = ".sst",        [LAYOUT_CHECKPOINT] = "CHECKPOINT",
    };
    struct layout_path path;
    size_t size = strlen(dir);
    ASSERT_LE(size, LAYOUT_DIR_SIZE_MAX);
    ASSERT(kind != LAYOUT_OTHER);
    memcpy(path.text, dir, size);
    path.text[size] = '/';
    char *at = path.text + size + 1;
    if (kind == LAYOUT_LOG || kind == LAYOUT_TABLE) at = put_number(at, number);
    memcpy(at, ends[kind], strlen(ends[kind]) + 1);
    return path;
}

enum layout_kind layout_parse(const char *name, uint64_t *number) {
    *number = 0;
    if (strcmp(name, "LOCK") == 0) return LAYOUT_LOCK;
    if (strcmp(name, "MANIFEST") == 0) return LAYOUT_MANIFEST;
    if (strcmp(name, "MANIFEST.tmp") == 0) return LAYOUT_TEMPORARY;
    if (strcmp(name, "CHECKPOINT") == 0) return LAYOUT_CHECKPOINT;
    size_t digits = 0;
    while (name[digits] >= '0' && name[digits] <= '9') {
        if (digits >= 19) return LAYOUT_OTHER; /* 19 digits cannot overflow */
        *number = *number * 10 + (uint64_t)(name[digits] - '0');
        digits++;
    }
    if (digits < NUMBER_DIGITS) return LAYOUT_OTHER;
    if (strcmp(name + digits, ".wal") == 0) return LAYOUT_LOG;
    if (strcmp(name + digits, ".sst") == 0) return LAYOUT_TABLE;
    return LAYOUT_OTHER;
}
