// SPDX-License-Identifier: Apache-2.0
#include "wire/grpc_metadata.h"

#include "base/assert.h"
#include "base/units.h"
#include "wire/protobuf.h"

/* ---- grpc-timeout ----------------------------------------------------------------------------------------
 */

#define TIMEOUT_DIGITS_MAX 8
static const struct {
    char unit;
    uint64_t ns;
} timeout_units[] = {{'n', 1},        {'u', NS_PER_US},     {'m', NS_PER_MS},
                     {'S', NS_PER_S}, {'M', 60 * NS_PER_S}, {'H', 3600 * NS_PER_S}};

enum status grpc_timeout_parse(struct slice text, uint64_t *timeout_ns) {
    if (text.size < 2 || text.size > TIMEOUT_DIGITS_MAX + 1) return STATUS_MALFORMED;
    uint64_t number = 0;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return STATUS_MALFORMED;
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    }
    for (size_t i = 0; i < ARRAY_COUNT(timeout_units); i++) {
        if (text.data[text.size - 1] != (uint8_t)timeout_units[i].unit) continue;
        if (__builtin_mul_overflow(number, timeout_units[i].ns, timeout_ns)) *timeout_ns = UINT64_MAX;
        return STATUS_OK;
    }
    return STATUS_MALFORMED;
}

void grpc_timeout_print(struct writer *out, uint64_t timeout_ns) {
    size_t i = 0;
    while (timeout_ns / timeout_units[i].ns > 99999999 && i + 1 < ARRAY_COUNT(timeout_units))
        i++;
    writer_printf(out, "%llu%c",
                  (unsigned long long)MIN(timeout_ns / timeout_units[i].ns, (uint64_t)99999999),
                  timeout_units[i].unit);
}

/* ---- grpc-message ----------------------------------------------------------------------------------------
 */

void grpc_percent_encode(struct writer *out, struct slice text) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c >= ' ' && c <= '~' && c != '%') {
            writer_u8(out, c);
        } else {
            writer_u8(out, '%');
            writer_u8(out, (uint8_t)digits[c >> 4]);
            writer_u8(out, (uint8_t)digits[c & 15]);
        }
    }
}

static int hex_value(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

void grpc_percent_decode(struct writer *out, struct slice text) {
    for (size_t i = 0; i < text.size; i++) {
        bool escape = text.data[i] == '%' && text.size - i > 2 && hex_value(text.data[i + 1]) >= 0 &&
                      hex_value(text.data[i + 2]) >= 0;
        if (!escape) {
            writer_u8(out, text.data[i]);
            continue;
        }
        writer_u8(out, (uint8_t)(hex_value(text.data[i + 1]) << 4 | hex_value(text.data[i + 2])));
        i += 2;
    }
}

/* ---- base64 (RFC 4648) ------------------------------------------------------------------------------------
 */

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void grpc_base64_encode(struct writer *out, struct slice bytes) {
    size_t i = 0;
    for (; bytes.size - i >= 3; i += 3) {
        uint32_t v = (uint32_t)bytes.data[i] << 16 | (uint32_t)bytes.data[i + 1] << 8 | bytes.data[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            writer_u8(out, (uint8_t)base64_digits[v >> shift & 63]);
    }
    size_t left = bytes.size - i;
    if (left == 0) return;
    uint32_t v = (uint32_t)bytes.data[i] << 16 | (left == 2 ? (uint32_t)bytes.data[i + 1] << 8 : 0);
    writer_u8(out, (uint8_t)base64_digits[v >> 18 & 63]);
    writer_u8(out, (uint8_t)base64_digits[v >> 12 & 63]);
    if (left == 2) writer_u8(out, (uint8_t)base64_digits[v >> 6 & 63]);
}

static int base64_value(uint8_t c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62; /* the URL-safe alphabet is read too */
    if (c == '/' || c == '_') return 63;
    return -1;
}

enum status grpc_base64_decode(struct writer *out, struct slice text) {
    if (text.size != 0 && text.size % 4 == 0 && text.data[text.size - 1] == '=') {
        text.size--;
        if (text.data[text.size - 1] == '=') text.size--;
    }
    if (text.size % 4 == 1) return STATUS_MALFORMED;
    uint32_t bits = 0;
    int count = 0;
    for (size_t i = 0; i < text.size; i++) {
        int value = base64_value(text.data[i]);
        if (value < 0) return STATUS_MALFORMED;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count < 8) continue;
        count -= 8;
        writer_u8(out, (uint8_t)(bits >> count));
    }
    return (bits & ((1U << count) - 1)) == 0 ? STATUS_OK : STATUS_MALFORMED;
}

/* ---- google.rpc.Status ------------------------------------------------------------------------------------
 */

#define CODE_UNAVAILABLE 14
#define RETRY_AFTER_MS   100
#define TYPE_PREFIX      "type.googleapis.com/google.rpc."

struct grpc_error grpc_error_from_status(enum status status, const char *message) {
    bool said = message != NULL && message[0] != 0;
    bool retry = status_grpc_code(status) == CODE_UNAVAILABLE || status == STATUS_BUSY;
    return (struct grpc_error){.code = status_grpc_code(status),
                               .reason = slice_from_text(status_name(status)),
                               .message = slice_from_text(said ? message : status_text(status)),
                               .retry_after_ms = retry ? RETRY_AFTER_MS : -1};
}

/* Status.details: an Any of google.rpc.`type` that holds `message`, which is left empty. */
static void write_detail(struct writer *out, const char *type, struct writer *message) {
    struct writer any;
    writer_init(&any);
    size_t url_size = sizeof TYPE_PREFIX - 1 + strlen(type);
    protobuf_write_head(&any, 1, url_size);
    writer_text(&any, TYPE_PREFIX);
    writer_text(&any, type);
    protobuf_write_bytes(&any, 2, writer_slice(message));
    protobuf_write_bytes(out, 3, writer_slice(&any));
    writer_release(&any);
    writer_clear(message);
}

static void write_error_info(struct writer *out, const struct grpc_error *error, struct writer *scratch) {
    protobuf_write_bytes(scratch, 1, error->reason);
    protobuf_write_bytes(scratch, 2, SLICE_LITERAL("sentinel"));
    for (size_t i = 0; i < error->metadata_count; i++) {
        struct slice name = slice_from_text(error->metadata[i].name), value = error->metadata[i].value;
        protobuf_write_head(scratch, 3,
                            protobuf_bytes_size(1, name.size) + protobuf_bytes_size(2, value.size));
        protobuf_write_bytes(scratch, 1, name);
        protobuf_write_bytes(scratch, 2, value);
    }
    write_detail(out, "ErrorInfo", scratch);
}

void grpc_error_write(struct writer *out, const struct grpc_error *error) {
    protobuf_write_value(out, 1, (uint64_t)error->code);
    protobuf_write_text(out, 2, error->message);
    struct writer scratch;
    writer_init(&scratch);
    if (error->reason.size != 0) write_error_info(out, error, &scratch);
    if (error->retry_after_ms >= 0) {
        uint64_t seconds = (uint64_t)error->retry_after_ms / 1000;
        uint64_t nanos = (uint64_t)error->retry_after_ms % 1000 * NS_PER_MS;
        protobuf_write_head(&scratch, 1, protobuf_value_size(1, seconds) + protobuf_value_size(2, nanos));
        protobuf_write_value(&scratch, 1, seconds);
        protobuf_write_value(&scratch, 2, nanos);
        write_detail(out, "RetryInfo", &scratch);
    }
    if (error->field.size != 0) {
        protobuf_write_head(&scratch, 1,
                            protobuf_bytes_size(1, error->field.size) +
                                protobuf_bytes_size(2, error->message.size));
        protobuf_write_bytes(&scratch, 1, error->field);
        protobuf_write_bytes(&scratch, 2, error->message);
        write_detail(out, "BadRequest", &scratch);
    }
    writer_release(&scratch);
}

/* The first field `number` of a message, if it is bytes. */
static struct slice find_bytes(struct slice message, uint32_t number) {
    struct reader reader = reader_make(message);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field))
        if (protobuf_is(&field, number, PROTOBUF_BYTES)) return field.bytes;
    return SLICE_EMPTY;
}

static void read_detail(struct slice any, struct grpc_error *error) {
    struct slice type = find_bytes(any, 1), message = find_bytes(any, 2);
    if (slice_equal(type, SLICE_LITERAL(TYPE_PREFIX "ErrorInfo"))) {
        error->reason = find_bytes(message, 1);
    } else if (slice_equal(type, SLICE_LITERAL(TYPE_PREFIX "BadRequest"))) {
        error->field = find_bytes(find_bytes(message, 1), 1);
    } else if (slice_equal(type, SLICE_LITERAL(TYPE_PREFIX "RetryInfo"))) {
        struct reader reader = reader_make(find_bytes(message, 1));
        struct protobuf_field field;
        uint64_t seconds = 0, nanos = 0;
        while (protobuf_next(&reader, &field)) {
            if (protobuf_is(&field, 1, PROTOBUF_VARINT)) seconds = field.value;
            if (protobuf_is(&field, 2, PROTOBUF_VARINT)) nanos = field.value;
        }
        if (reader_ok(&reader) && seconds < INT32_MAX && nanos < NS_PER_S)
            error->retry_after_ms = (int64_t)(seconds * 1000 + nanos / NS_PER_MS);
    }
}

enum status grpc_error_read(struct slice bytes, struct grpc_error *error) {
    *error = (struct grpc_error){.retry_after_ms = -1};
    struct reader reader = reader_make(bytes);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field)) {
        if (protobuf_is(&field, 1, PROTOBUF_VARINT)) error->code = (int)(int32_t)field.value;
        if (protobuf_is(&field, 2, PROTOBUF_BYTES)) error->message = field.bytes;
        if (protobuf_is(&field, 3, PROTOBUF_BYTES)) read_detail(field.bytes, error);
    }
    return reader_ok(&reader) ? STATUS_OK : STATUS_MALFORMED;
}
