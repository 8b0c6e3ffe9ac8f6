// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "base/units.h"
#include "io/io_address.h"
#include "lib/test.h"

static void hosts_and_ports_are_told_apart(void **state) {
    (void)state;
    const struct {
        const char *text, *host;
        uint16_t port;
        bool bracketed;
    } rows[] = {{"127.0.0.1:9092", "127.0.0.1", 9092, false},
                {"broker-1.example:1", "broker-1.example", 1, false},
                {"[::1]:65535", "::1", 65535, true},
                {"[fe80::1%eth0]:7", "fe80::1%eth0", 7, true},
                {"h:0", "h", 0, false},
                {"h:000080", "h", 80, false}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct io_endpoint endpoint;
        assert_status(io_endpoint_parse(rows[i].text, &endpoint), STATUS_OK);
        assert_string_equal(endpoint.host, rows[i].host);
        assert_int_equal(endpoint.port, rows[i].port);
        assert_int_equal(endpoint.bracketed, rows[i].bracketed);
    }
}

static void other_text_is_refused(void **state) {
    (void)state;
    const char *texts[] = {"",       ":",    "h",         "h:",   ":1",    "h:65536", "h:99999999999",
                           "h:-1",   "h: 1", "h:1 ",      "h:+1", "::1:1", "[::1]",   "[::1]1",
                           "[::1:1", "[]:1", "h:0000001", "a:b:1"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct io_endpoint endpoint;
        assert_status(io_endpoint_parse(texts[i], &endpoint), STATUS_INVALID);
    }
    char longest[IO_HOST_SIZE_MAX + 4];
    struct io_endpoint endpoint;
    memset(longest, 'a', sizeof longest);
    strcpy(longest + IO_HOST_SIZE_MAX, ":1");
    assert_status(io_endpoint_parse(longest, &endpoint), STATUS_OK);
    memset(longest, 'a', sizeof longest);
    strcpy(longest + IO_HOST_SIZE_MAX + 1, ":1");
    assert_status(io_endpoint_parse(longest, &endpoint), STATUS_INVALID);
}

static void literals_need_no_resolver_and_print_as_they_were(void **state) {
    (void)state;
    const char *texts[] = {"127.0.0.1:9092", "[::1]:9092", "0.0.0.0:0", "[2001:db8::42]:1",
                           "255.255.255.255:65535"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct io_endpoint endpoint;
        union io_sockaddr address, resolved[IO_ADDRESS_CANDIDATES];
        unsigned count = 0;
        assert_status(io_endpoint_parse(texts[i], &endpoint), STATUS_OK);
        assert_true(io_endpoint_literal(&endpoint, &address));
        assert_string_equal(io_sockaddr_text(&address).text, texts[i]);
        assert_status(io_endpoint_resolve(&endpoint, resolved, &count), STATUS_OK);
        assert_int_equal(count, 1);
        assert_string_equal(io_sockaddr_text(&resolved[0]).text, texts[i]);
    }
}

static void names_are_no_literals(void **state) {
    (void)state;
    const char *texts[] = {"localhost:1", "1.2.3:1", "1.2.3.4.5:1", "256.1.1.1:1", "0x7f.1:1"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct io_endpoint endpoint;
        union io_sockaddr address;
        assert_status(io_endpoint_parse(texts[i], &endpoint), STATUS_OK);
        assert_false(io_endpoint_literal(&endpoint, &address));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_and_ports_are_told_apart),
        cmocka_unit_test(other_text_is_refused),
        cmocka_unit_test(literals_need_no_resolver_and_print_as_they_were),
        cmocka_unit_test(names_are_no_literals),
    };
    return cmocka_run_group_tests_name("io_address", tests, NULL, NULL);
}
