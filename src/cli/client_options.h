// SPDX-License-Identifier: Apache-2.0
/* client_options.h: what the commands that talk to a broker share: --server, --timeout, --json, --watch, and
 * how they fail.
 *
 * A command's table of options has CLIENT_OPTIONS and perhaps the rows of others below; its own are numbered
 * from CLIENT_OPTION_END on. What getopt_long gives and is none of its own goes to take_client_option. */
#ifndef SENTINEL_CLI_CLIENT_OPTIONS_H
#define SENTINEL_CLI_CLIENT_OPTIONS_H

#include <getopt.h>

#include "sentinel/client.h"

#define CLIENT_OPTIONS_HELP                                                                                  \
    "  --server HOST:PORT[,...]  the broker (default: $SENTINEL_SERVER, or 127.0.0.1:9092)\n"                \
    "  --timeout SECONDS         give up after so long without progress (default 10)\n"

enum {
    CLIENT_OPTION_SERVER = 256,
    CLIENT_OPTION_TIMEOUT,
    CLIENT_OPTION_HELP, /* the command's to print */
    CLIENT_OPTION_JSON,
    CLIENT_OPTION_WATCH,
    CLIENT_OPTION_INTERVAL,
    CLIENT_OPTION_COUNT,
    CLIENT_OPTION_END
};
#define CLIENT_OPTIONS                                                                                       \
    {"server", required_argument, NULL, CLIENT_OPTION_SERVER},                                               \
        {"timeout", required_argument, NULL, CLIENT_OPTION_TIMEOUT}, {                                       \
        "help", no_argument, NULL, CLIENT_OPTION_HELP                                                        \
    }
#define JSON_OPTION                                                                                          \
    { "json", no_argument, NULL, CLIENT_OPTION_JSON }
#define WATCH_OPTIONS                                                                                        \
    {"watch", no_argument, NULL, CLIENT_OPTION_WATCH},                                                       \
        {"interval", required_argument, NULL, CLIENT_OPTION_INTERVAL}, {                                     \
        "count", required_argument, NULL, CLIENT_OPTION_COUNT                                                \
    }

struct client_options {
    const char *server; /* NULL: the default */
    uint32_t timeout_ms;
    bool json, watch;
    int64_t interval_s, count, shown; /* of --watch; count 0: until it is interrupted */
};
/* 0, or EXIT_USAGE after saying what is wrong. */
int take_client_option(const char *command, int option, const char *value, struct client_options *options);
/* Reads a number from `min` to `max`; 0, or EXIT_USAGE after saying what is wrong. */
int parse_integer(const char *command, const char *option, const char *text, int64_t min, int64_t max,
                  int64_t *number);
/* One byte: itself, or \n \t \r \0 \\ or \xHH; 0 or EXIT_USAGE. */
int parse_byte(const char *command, const char *option, const char *text, char *byte);
/* NULL after saying why. */
sentinel_client *client_open(const char *command, const struct client_options *options);
/* Before each state that --watch prints: on a terminal the screen is cleared, in a file a line is left
 * free. */
void watch_begin(const struct client_options *options);
/* And behind it; false: it was the last. */
bool watch_end(struct client_options *options);
/* Between two looks. */
uint32_t watch_interval_ms(const struct client_options *options);
/* Says what failed and, where it helps, what to do; returns 1. */
int client_failed(const char *command, const sentinel_error *error);

#endif
