// SPDX-License-Identifier: Apache-2.0
/* json.h: texts as JSON strings (RFC 8259). Bytes that are no UTF-8 become U+FFFD. */
#ifndef SENTINEL_CLI_JSON_H
#define SENTINEL_CLI_JSON_H

#include <stdio.h>

void json_print_text(FILE *out, const void *bytes, size_t size);

#endif
