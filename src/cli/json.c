// SPDX-License-Identifier: Apache-2.0
#include "cli/json.h"

#include <stdbool.h>
#include <stdint.h>

/* Length of the UTF-8 sequence at `p`, 0 when it is none (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_size(const uint8_t *p, size_t left) {
    if (p[0] < 0x80) return 1;
    size_t size = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || size > left) return 0;
    for (size_t i = 1; i < size; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    bool bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
               (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return bad ? 0 : size;
}

void json_print_text(FILE *out, const void *bytes, size_t size) {
    const uint8_t *p = bytes;
    fputc('"', out);
    for (size_t i = 0; i < size;) {
        size_t part = utf8_size(p + i, size - i);
        if (part == 0) {
            fputs("\\ufffd", out);
            i++;
            continue;
        }
        if (p[i] == '"' || p[i] == '\\')
            fprintf(out, "\\%c", p[i]);
        else if (p[i] < 0x20)
            fprintf(out, "\\u%04x", p[i]);
        else
            fwrite(p + i, 1, part, out);
        i += part;
    }
    fputc('"', out);
}
