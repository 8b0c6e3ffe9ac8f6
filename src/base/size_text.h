// SPDX-License-Identifier: Apache-2.0
/* size_text.h: bytes as people read them: "0 B", "20.0 MiB". Three digits before the point at the most, one
 * behind. */
#ifndef SENTINEL_BASE_SIZE_TEXT_H
#define SENTINEL_BASE_SIZE_TEXT_H

#include <stdint.h>

#define SIZE_TEXT_SIZE 24

void size_text(uint64_t bytes, char text[SIZE_TEXT_SIZE]);

#endif
