// SPDX-License-Identifier: Apache-2.0
#include "storage/layout.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"

struct layout_path layout_path(const char *dir, enum layout_kind kind, uint64_t number) {
    struct layout_path path;
    ASSERT_LE(strlen(dir), LAYOUT_DIR_SIZE_MAX);
    switch (kind) {
    case LAYOUT_LOCK:
        snprintf(path.text, sizeof path.text, "%s/LOCK", dir);
        break;
    case LAYOUT_MANIFEST:
        snprintf(path.text, sizeof path.text, "%s/MANIFEST", dir);
        break;
    case LAYOUT_TEMPORARY:
        snprintf(path.text, sizeof path.text, "%s/MANIFEST.tmp", dir);
        break;
    case LAYOUT_CHECKPOINT:
        snprintf(path.text, sizeof path.text, "%s/CHECKPOINT", dir);
        break;
    case LAYOUT_LOG:
        snprintf(path.text, sizeof path.text, "%s/%012" PRIu64 ".wal", dir, number);
        break;
    case LAYOUT_TABLE:
        snprintf(path.text, sizeof path.text, "%s/%012" PRIu64 ".sst", dir, number);
        break;
    case LAYOUT_OTHER:
        UNREACHABLE();
    }
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
    if (digits < 12) return LAYOUT_OTHER;
    if (strcmp(name + digits, ".wal") == 0) return LAYOUT_LOG;
    if (strcmp(name + digits, ".sst") == 0) return LAYOUT_TABLE;
    return LAYOUT_OTHER;
}
