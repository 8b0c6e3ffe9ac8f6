// SPDX-License-Identifier: Apache-2.0
#include "wire/http1.h"

#include "base/units.h"

/* RFC 9110, section 5.6.2: the characters of methods and header names. */
static bool is_token(uint8_t c) {
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool all_token(struct slice text) {
    for (size_t i = 0; i < text.size; i++)
        if (!is_token(text.data[i])) return false;
    return text.size != 0;
}

static bool equal_ignoring_case(struct slice text, const char *lower) {
    if (text.size != strlen(lower)) return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != lower[i]) return false;
    }
    return true;
}

/* One line without its CR LF; PENDING when there is no end of line yet. */
static enum status take_line(struct slice *rest, struct slice *line) {
    const uint8_t *end = rest->size == 0 ? NULL : memchr(rest->data, '\n', rest->size);
    if (end == NULL) return STATUS_PENDING;
    size_t size = (size_t)(end - rest->data);
    if (size == 0 || rest->data[size - 1] != '\r') return STATUS_MALFORMED;
    *line = slice_make(rest->data, size - 1);
    *rest = slice_make(end + 1, rest->size - size - 1);
    for (size_t i = 0; i < line->size; i++)
        if (line->data[i] < 0x20 && line->data[i] != '\t') return STATUS_MALFORMED;
    return STATUS_OK;
}

static enum status parse_request_line(struct slice line, struct http1_request *request) {
    const uint8_t *first = memchr(line.data, ' ', line.size);
    if (first == NULL) return STATUS_MALFORMED;
    request->method = slice_make(line.data, (size_t)(first - line.data));
    struct slice rest = slice_make(first + 1, line.size - request->method.size - 1);
    const uint8_t *second = rest.size == 0 ? NULL : memchr(rest.data, ' ', rest.size);
    if (second == NULL) return STATUS_MALFORMED;
    request->target = slice_make(rest.data, (size_t)(second - rest.data));
    struct slice version = slice_make(second + 1, rest.size - request->target.size - 1);
    if (!all_token(request->method) || request->target.size == 0 || request->target.data[0] != '/')
        return STATUS_MALFORMED;
    request->keep_alive = slice_equal(version, SLICE_LITERAL("HTTP/1.1"));
    if (!request->keep_alive && !slice_equal(version, SLICE_LITERAL("HTTP/1.0"))) return STATUS_UNSUPPORTED;
    const uint8_t *query = memchr(request->target.data, '?', request->target.size);
    request->path = query == NULL ? request->target
                                  : slice_make(request->target.data, (size_t)(query - request->target.data));
    return STATUS_OK;
}

static struct slice trim(struct slice text) {
    while (text.size != 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = slice_make(text.data + 1, text.size - 1);
    while (text.size != 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

static enum status parse_header(struct slice line, struct http1_request *request) {
    const uint8_t *colon = memchr(line.data, ':', line.size);
    if (colon == NULL) return STATUS_MALFORMED;
    struct slice name = slice_make(line.data, (size_t)(colon - line.data));
    struct slice value = trim(slice_make(colon + 1, line.size - name.size - 1));
    if (!all_token(name)) return STATUS_MALFORMED;
    if (equal_ignoring_case(name, "transfer-encoding")) return STATUS_UNSUPPORTED;
    if (equal_ignoring_case(name, "content-length") && !slice_equal(value, SLICE_LITERAL("0")))
        return STATUS_UNSUPPORTED;
    if (equal_ignoring_case(name, "connection") && equal_ignoring_case(value, "close"))
        request->keep_alive = false;
    return STATUS_OK;
}

enum status http1_parse(struct slice bytes, struct http1_request *request) {
    struct slice rest = slice_make(bytes.data, MIN(bytes.size, HTTP1_HEAD_SIZE_MAX));
    struct slice line;
    *request = (struct http1_request){0};
    enum status status = take_line(&rest, &line);
    if (status == STATUS_OK) status = line.size == 0 ? STATUS_MALFORMED : parse_request_line(line, request);
    while (status == STATUS_OK) {
        status = take_line(&rest, &line);
        if (status != STATUS_OK) break;
        if (line.size == 0) {
            request->size = (size_t)(rest.data - bytes.data);
            return STATUS_OK;
        }
        status = parse_header(line, request);
    }
    return status == STATUS_PENDING && bytes.size >= HTTP1_HEAD_SIZE_MAX ? STATUS_TOO_LARGE : status;
}

static const char *reason_of(int code) {
    switch (code) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    default:
        return "Error";
    }
}

void http1_respond(struct writer *out, int code, const char *content_type, struct slice body, bool with_body,
                   bool keep_alive) {
    writer_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n", code, reason_of(code),
                  content_type, body.size);
    if (code == 405) writer_text(out, "Allow: GET, HEAD\r\n");
    if (!keep_alive) writer_text(out, "Connection: close\r\n");
    writer_text(out, "\r\n");
    if (with_body) writer_bytes(out, body);
}
