// SPDX-License-Identifier: Apache-2.0
/* log.h: levelled, structured lines: what happened, then key=value pairs.
 *
 *   log_info(log, "listening address=%s", address)   ->   "listening address=127.0.0.1:9092"
 *
 * The log owns no file: a sink receives each finished line (standard error in `serve`, the trace in the
 * simulator). The sink stamps lines with its own clock: base reads none. Outside bytes go through
 * log_quote, which escapes quotes and control bytes: a client's name can never forge a line.
 *
 * Loop    one log per shard thread; a NULL log drops everything. */
#ifndef SENTINEL_BASE_LOG_H
#define SENTINEL_BASE_LOG_H

#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log {
    enum log_level level; /* lines below are dropped before they are formatted */
    void (*sink)(void *ctx, enum log_level level,
                 struct slice line); /* line: no newline, borrowed for the call */
    void *ctx;
};

const char *log_level_name(enum log_level level);
/* false when `name` is no level. */
bool log_level_parse(const char *name, enum log_level *level);

/* The format is a short lower-case phrase, then key=%d pairs, and formats as printf does. A %s value that may
 * hold outside bytes goes through log_quote first. */
__attribute__((format(printf, 3, 4))) void log_line(struct log *log, enum log_level level, const char *format,
                                                    ...);
/* Escapes `bytes` into `text` for use as a value (quoted when needed, cut with … when too long); returns
 * text. */
const char *log_quote(char *text, size_t text_size, struct slice bytes);

#define log_debug(log, ...) log_line(log, LOG_DEBUG, __VA_ARGS__)
#define log_info(log, ...)  log_line(log, LOG_INFO, __VA_ARGS__)
#define log_warn(log, ...)  log_line(log, LOG_WARN, __VA_ARGS__)
#define log_error(log, ...) log_line(log, LOG_ERROR, __VA_ARGS__)

#endif
