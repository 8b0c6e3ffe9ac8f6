// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"

static const struct {
    const char *name;
    const char *text;
    int16_t kafka;
    int grpc;
} rows[STATUS_COUNT] = {
#define STATUS_ROW_(name, kafka, grpc, text) {#name, text, kafka, grpc},
    STATUS_LIST(STATUS_ROW_)
#undef STATUS_ROW_
};

const char *status_name(enum status status) {
    ASSERT(status < STATUS_COUNT);
    return rows[status].name;
}

const char *status_text(enum status status) {
    ASSERT(status < STATUS_COUNT);
    return rows[status].text;
}

int16_t status_kafka_code(enum status status) {
    ASSERT(status < STATUS_COUNT);
    return rows[status].kafka;
}

int status_grpc_code(enum status status) {
    ASSERT(status < STATUS_COUNT);
    return rows[status].grpc;
}

bool status_is_final(enum status status) {
    return status == STATUS_IO || status == STATUS_CORRUPT || status == STATUS_CLOSED;
}

enum status diagnose(struct diagnostic *diagnostic, enum status status, const char *format, ...) {
    if (diagnostic == NULL) return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(diagnostic->text, sizeof diagnostic->text, format, arguments);
    va_end(arguments);
    return status;
}
