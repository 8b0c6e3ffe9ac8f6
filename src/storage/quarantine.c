// SPDX-License-Identifier: Apache-2.0
#include "storage/quarantine.h"

#include <stdio.h>
#include <string.h>

enum status quarantine_file(struct io *io, const char *dir, enum layout_kind kind, uint64_t number) {
    char aside[LAYOUT_PATH_SIZE];
    snprintf(aside, sizeof aside, "%.*s/" LAYOUT_QUARANTINE, (int)LAYOUT_DIR_SIZE_MAX, dir);
    enum status status = io_mkdir(io, aside);
    if (status != STATUS_OK || strlen(aside) > LAYOUT_DIR_SIZE_MAX) return STATUS_IO;
    struct layout_path from = layout_path(dir, kind, number), to = layout_path(aside, kind, number);
    return io_rename(io, from.text, to.text);
}
