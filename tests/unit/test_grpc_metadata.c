// SPDX-License-Identifier: Apache-2.0
#include "lib/test.h"

#include "base/prng.h"
#include "base/units.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "wire/grpc_metadata.h"

static void expect_timeout(const char *text, uint64_t expected_ns) {
    uint64_t ns;
    assert_status(grpc_timeout_parse(slice_from_text(text), &ns), STATUS_OK);
    assert_int_equal(ns, expected_ns);
}
static void test_timeout(void **state) {
    (void)state;
    expect_timeout("1n", 1);
    expect_timeout("20u", 20 * NS_PER_US);
    expect_timeout("100m", 100 * NS_PER_MS);
    expect_timeout("0S", 0);
    expect_timeout("2M", 120 * NS_PER_S);
    expect_timeout("99999999S", 99999999 * NS_PER_S);
    expect_timeout("99999999H", UINT64_MAX);
    static const char *const wrong[] = {"", "1", "m", "1x", "-1m", "123456789m", "1 m", "1M ", "0x1m"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        uint64_t ns;
        assert_status(grpc_timeout_parse(slice_from_text(wrong[i]), &ns), STATUS_MALFORMED);
    }
}
static void test_timeout_print(void **state) {
    (void)state;
    static const struct {
        uint64_t ns;
        const char *text;
    } rows[] = {{0, "0n"},
                {5, "5n"},
                {99999999, "99999999n"},
                {100000000, "100000u"},
                {60 * NS_PER_S, "60000000u"},
                {3600 * NS_PER_S, "3600000m"},
                {UINT64_MAX, "5124095H"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct writer w;
        writer_init(&w);
        grpc_timeout_print(&w, rows[i].ns);
        assert_slice_equal(writer_slice(&w), slice_from_text(rows[i].text));
        writer_release(&w);
    }
}

static void test_percent(void **state) {
    (void)state;
    struct writer encoded, decoded;
    writer_init(&encoded);
    writer_init(&decoded);
    grpc_percent_encode(&encoded, SLICE_LITERAL("a b~%\n\xc3\xa9"));
    assert_slice_equal(writer_slice(&encoded), SLICE_LITERAL("a b~%25%0A%C3%A9"));
    grpc_percent_decode(&decoded, writer_slice(&encoded));
    assert_slice_equal(writer_slice(&decoded), SLICE_LITERAL("a b~%\n\xc3\xa9"));
    writer_clear(&decoded);
    grpc_percent_decode(&decoded, SLICE_LITERAL("100%,%4,%zz,%"));
    assert_slice_equal(writer_slice(&decoded), SLICE_LITERAL("100%,%4,%zz,%"));
    writer_release(&encoded);
    writer_release(&decoded);
}

/* RFC 4648 section 10. */
static void test_base64(void **state) {
    (void)state;
    static const char *const rows[][3] = {{"", "", ""},
                                          {"f", "Zg", "Zg=="},
                                          {"fo", "Zm8", "Zm8="},
                                          {"foo", "Zm9v", "Zm9v"},
                                          {"foob", "Zm9vYg", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy", "Zm9vYmFy"}};
    struct writer w;
    writer_init(&w);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        writer_clear(&w);
        grpc_base64_encode(&w, slice_from_text(rows[i][0]));
        assert_slice_equal(writer_slice(&w), slice_from_text(rows[i][1]));
        for (int form = 1; form <= 2; form++) {
            writer_clear(&w);
            assert_status(grpc_base64_decode(&w, slice_from_text(rows[i][form])), STATUS_OK);
            assert_slice_equal(writer_slice(&w), slice_from_text(rows[i][0]));
        }
    }
    static const char *const wrong[] = {"Z", "Zg=", "Zg===", "Zh", "Zm9!", "====", "=", "Zm9vZ"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        assert_status(grpc_base64_decode(&w, slice_from_text(wrong[i])), STATUS_MALFORMED);
    struct prng prng;
    prng_init(&prng, 1);
    for (size_t size = 0; size < 100; size++) {
        uint8_t bytes[100];
        prng_bytes(&prng, bytes, size);
        struct writer back;
        writer_init(&back);
        writer_clear(&w);
        grpc_base64_encode(&w, slice_make(bytes, size));
        assert_status(grpc_base64_decode(&back, writer_slice(&w)), STATUS_OK);
        assert_slice_equal(writer_slice(&back), slice_make(bytes, size));
        writer_release(&back);
    }
    writer_release(&w);
}

/* What we write by hand, read by the generated code. */
static void test_error_details(void **state) {
    (void)state;
    struct grpc_error error = grpc_error_from_status(STATUS_NOT_LEADER, "not me");
    struct grpc_error_pair pairs[] = {{"leader", SLICE_LITERAL("n2:9092")}, {"topic", SLICE_LITERAL("t")}};
    error.metadata = pairs;
    error.metadata_count = 2;
    error.field = SLICE_LITERAL("partitions[2].offset");
    error.retry_after_ms = 2050;
    struct writer w;
    writer_init(&w);
    grpc_error_write(&w, &error);
    Google__Rpc__Status *status = google__rpc__status__unpack(NULL, w.size, w.data);
    assert_non_null(status);
    assert_int_equal(status->code, 14);
    assert_string_equal(status->message, "not me");
    assert_int_equal(status->n_details, 3);
    assert_string_equal(status->details[0]->type_url, "type.googleapis.com/google.rpc.ErrorInfo");
    Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(NULL, status->details[0]->value.len,
                                                                   status->details[0]->value.data);
    assert_string_equal(info->reason, "NOT_LEADER");
    assert_string_equal(info->domain, "sentinel");
    assert_int_equal(info->n_metadata, 2);
    assert_string_equal(info->metadata[0]->key, "leader");
    assert_string_equal(info->metadata[0]->value, "n2:9092");
    google__rpc__error_info__free_unpacked(info, NULL);
    assert_string_equal(status->details[1]->type_url, "type.googleapis.com/google.rpc.RetryInfo");
    Google__Rpc__RetryInfo *retry = google__rpc__retry_info__unpack(NULL, status->details[1]->value.len,
                                                                    status->details[1]->value.data);
    assert_int_equal(retry->retry_delay->seconds, 2);
    assert_int_equal(retry->retry_delay->nanos, 50000000);
    google__rpc__retry_info__free_unpacked(retry, NULL);
    Google__Rpc__BadRequest *bad = google__rpc__bad_request__unpack(NULL, status->details[2]->value.len,
                                                                    status->details[2]->value.data);
    assert_int_equal(bad->n_field_violations, 1);
    assert_string_equal(bad->field_violations[0]->field, "partitions[2].offset");
    google__rpc__bad_request__free_unpacked(bad, NULL);
    google__rpc__status__free_unpacked(status, NULL);

    struct grpc_error back;
    assert_status(grpc_error_read(writer_slice(&w), &back), STATUS_OK);
    assert_int_equal(back.code, 14);
    assert_slice_equal(back.reason, error.reason);
    assert_slice_equal(back.message, error.message);
    assert_slice_equal(back.field, error.field);
    assert_int_equal(back.retry_after_ms, 2050);
    for (size_t size = 0; size < w.size; size++) /* cut anywhere: an answer, never a read past the end */
        assert_true(grpc_error_read(slice_make(w.data, size), &back) <= STATUS_MALFORMED);
    writer_release(&w);
}

static void test_error_from_status(void **state) {
    (void)state;
    struct grpc_error error = grpc_error_from_status(STATUS_UNKNOWN_TOPIC, "");
    assert_int_equal(error.code, 5);
    assert_slice_equal(error.message, SLICE_LITERAL("unknown topic or partition"));
    assert_slice_equal(error.reason, SLICE_LITERAL("UNKNOWN_TOPIC"));
    assert_int_equal(error.retry_after_ms, -1);
    assert_true(grpc_error_from_status(STATUS_BUSY, NULL).retry_after_ms > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timeout),       cmocka_unit_test(test_timeout_print),
        cmocka_unit_test(test_percent),       cmocka_unit_test(test_base64),
        cmocka_unit_test(test_error_details), cmocka_unit_test(test_error_from_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
