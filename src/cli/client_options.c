// SPDX-License-Identifier: Apache-2.0
#include "cli/client_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "io/io.h"

int parse_integer(const char *command, const char *option, const char *text, int64_t min, int64_t max,
                  int64_t *number) {
    char *end;
    errno = 0;
    *number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || *number < min || *number > max)
        return usage_error(command, "%s wants a number from %lld to %lld, not '%s'", option, (long long)min,
                           (long long)max, text);
    return 0;
}

int take_client_option(const char *command, int option, const char *value, struct client_options *options) {
    int64_t seconds = 0;
    int status = 0;
    switch (option) {
    case CLIENT_OPTION_SERVER:
        options->server = value;
        return 0;
    case CLIENT_OPTION_TIMEOUT:
        status = parse_integer(command, "--timeout", value, 1, 86400, &seconds);
        options->timeout_ms = (uint32_t)seconds * 1000;
        return status;
    case CLIENT_OPTION_JSON:
        options->json = true;
        return 0;
    case CLIENT_OPTION_WATCH:
        options->watch = true;
        return 0;
    case CLIENT_OPTION_INTERVAL:
        return parse_integer(command, "--interval", value, 1, 86400, &options->interval_s);
    case CLIENT_OPTION_COUNT:
        return parse_integer(command, "--count", value, 1, INT64_MAX, &options->count);
    default:
        fprintf(stderr, "'sentinel help %s' explains the options\n", command);
        return EXIT_USAGE;
    }
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

int parse_byte(const char *command, const char *option, const char *text, char *byte) {
    static const char names[] = "ntr0\\", values[] = "\n\t\r\0\\";
    if (strlen(text) == 1) {
        *byte = text[0];
        return 0;
    }
    const char *found = text[0] == '\\' && strlen(text) == 2 ? strchr(names, text[1]) : NULL;
    if (found != NULL && *found != '\0') {
        *byte = values[found - names];
        return 0;
    }
    if (strlen(text) == 4 && memcmp(text, "\\x", 2) == 0 && hex_digit(text[2]) >= 0 &&
        hex_digit(text[3]) >= 0) {
        *byte = (char)(hex_digit(text[2]) * 16 + hex_digit(text[3]));
        return 0;
    }
    return usage_error(command, "%s wants one byte, as itself or \\n, \\t, \\0 or \\x1e, not '%s'", option,
                       text);
}

sentinel_client *client_open(const char *command, const struct client_options *options) {
    sentinel_error error;
    sentinel_client *client = sentinel_open(options->server, options->timeout_ms, &error);
    if (client == NULL) client_failed(command, &error);
    return client;
}

void watch_begin(const struct client_options *options) {
    if (options->json) return;
    if (io_is_terminal(1))
        printf("\033[H\033[2J");
    else if (options->shown != 0)
        printf("\n");
}

bool watch_end(struct client_options *options) {
    fflush(stdout);
    return ++options->shown != options->count;
}

uint32_t watch_interval_ms(const struct client_options *options) {
    return options->interval_s == 0 ? 1000 : (uint32_t)options->interval_s * 1000;
}

int client_failed(const char *command, const sentinel_error *error) {
    return command_failed(command, "%s", error->message[0] == '\0' ? "failed" : error->message);
}
