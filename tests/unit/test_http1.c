// SPDX-License-Identifier: Apache-2.0
#include "lib/test.h"
#include "wire/http1.h"

static enum status parse(const char *text, struct http1_request *request) {
    return http1_parse(slice_from_text(text), request);
}

static void a_request_is_taken_apart(void **state) {
    (void)state;
    struct http1_request r;
    const char *text = "GET /metrics?name=x HTTP/1.1\r\nHost: a:1\r\nAccept:  */* \r\n\r\nGET /";
    assert_status(parse(text, &r), STATUS_OK);
    assert_slice_equal(r.method, SLICE_LITERAL("GET"));
    assert_slice_equal(r.target, SLICE_LITERAL("/metrics?name=x"));
    assert_slice_equal(r.path, SLICE_LITERAL("/metrics"));
    assert_true(r.keep_alive);
    assert_int_equal(r.size, strlen(text) - 5);
    assert_status(parse("HEAD / HTTP/1.1\r\nCONNECTION: close\r\n\r\n", &r), STATUS_OK);
    assert_false(r.keep_alive);
    assert_status(parse("GET / HTTP/1.0\r\n\r\n", &r), STATUS_OK);
    assert_false(r.keep_alive);
    assert_status(parse("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", &r), STATUS_OK);
}

static void every_cut_of_a_good_request_wants_more(void **state) {
    (void)state;
    const char *text = "GET /readyz HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n";
    struct http1_request r;
    for (size_t size = 0; size < strlen(text); size++)
        assert_status(http1_parse(slice_make(text, size), &r), STATUS_PENDING);
    assert_status(parse(text, &r), STATUS_OK);
}

static void what_is_not_plain_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum status status;
    } bad[] = {
        {"GET / HTTP/1.1\nHost: x\n\n", STATUS_MALFORMED},
        {"\r\n\r\n", STATUS_MALFORMED},
        {"GET  / HTTP/1.1\r\n\r\n", STATUS_MALFORMED},
        {"GET http://x/ HTTP/1.1\r\n\r\n", STATUS_MALFORMED},
        {"G(T / HTTP/1.1\r\n\r\n", STATUS_MALFORMED},
        {"GET /\x01 HTTP/1.1\r\n\r\n", STATUS_MALFORMED},
        {"GET / HTTP/2.0\r\n\r\n", STATUS_UNSUPPORTED},
        {"GET / HTTP/1.1\r\nnocolon\r\n\r\n", STATUS_MALFORMED},
        {"GET / HTTP/1.1\r\nbad name: x\r\n\r\n", STATUS_MALFORMED},
        {"GET / HTTP/1.1\r\n folded\r\n\r\n", STATUS_MALFORMED},
        {"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", STATUS_UNSUPPORTED},
        {"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", STATUS_UNSUPPORTED},
    };
    struct http1_request r;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_status(parse(bad[i].text, &r), bad[i].status);
    static char large[HTTP1_HEAD_SIZE_MAX + 10];
    memset(large, 'a', sizeof large);
    memcpy(large, "GET / HTTP/1.1\r\nX: ", 19);
    assert_status(http1_parse(slice_make(large, sizeof large), &r), STATUS_TOO_LARGE);
}

static void a_response_tells_its_length_also_to_head(void **state) {
    (void)state;
    struct writer out;
    writer_init(&out);
    http1_respond(&out, 200, "text/plain", SLICE_LITERAL("hello"), true, true);
    assert_slice_equal(
        writer_slice(&out),
        SLICE_LITERAL("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"));
    writer_clear(&out);
    http1_respond(&out, 405, "text/plain", SLICE_LITERAL("no"), false, false);
    assert_slice_equal(
        writer_slice(&out),
        SLICE_LITERAL("HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\nContent-Length: "
                      "2\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n"));
    writer_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_taken_apart),
        cmocka_unit_test(every_cut_of_a_good_request_wants_more),
        cmocka_unit_test(what_is_not_plain_is_refused),
        cmocka_unit_test(a_response_tells_its_length_also_to_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
