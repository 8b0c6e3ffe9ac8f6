// SPDX-License-Identifier: Apache-2.0
#include "base/size_text.h"

#include <stdio.h>

#include "base/units.h"

void size_text(uint64_t bytes, char text[SIZE_TEXT_SIZE]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double size = (double)bytes;
    unsigned unit = 0;
    for (; size >= 999.95 && unit + 1 < ARRAY_COUNT(units); unit++)
        size /= 1024;
    snprintf(text, SIZE_TEXT_SIZE, unit == 0 ? "%.0f %s" : "%.1f %s", size, units[unit]);
}
