// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/units.h"

static const char *const level_names[] = {"debug", "info", "warn", "error"};

const char *log_level_name(enum log_level level) {
    return level_names[level];
}

bool log_level_parse(const char *name, enum log_level *level) {
    for (unsigned i = 0; i < ARRAY_COUNT(level_names); i++) {
        if (strcmp(name, level_names[i]) != 0) continue;
        *level = (enum log_level)i;
        return true;
    }
    return false;
}

void log_line(struct log *log, enum log_level level, const char *format, ...) {
    if (log == NULL || level < log->level) return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (size < 0) return;
    log->sink(log->ctx, level, slice_make(line, MIN((size_t)size, sizeof line - 1)));
}

const char *log_quote(char *text, size_t text_size, struct slice bytes) {
    static const char hex[] = "0123456789abcdef";
    size_t at = 0;
    const size_t room = 4 + 4 + 1; /* one escape, "…" with the closing quote, NUL */
    text[at++] = '"';
    for (size_t i = 0; i < bytes.size; i++) {
        if (at + room > text_size) {
            memcpy(text + at, "…", 3);
            at += 3;
            break;
        }
        uint8_t c = bytes.data[i];
        if (c == '"' || c == '\\') {
            text[at++] = '\\';
            text[at++] = (char)c;
        } else if (c >= 0x20 && c < 0x7f) {
            text[at++] = (char)c;
        } else {
            text[at++] = '\\';
            text[at++] = 'x';
            text[at++] = hex[c >> 4];
            text[at++] = hex[c & 15];
        }
    }
    text[at++] = '"';
    text[at] = '\0';
    return text;
}
