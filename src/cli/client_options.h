// SPDX-License-Identifier: Apache-2.0
/* client_options.h: what the commands that talk to a broker share: --server, --timeout, how they fail. */
#ifndef SENTINEL_CLI_CLIENT_OPTIONS_H
#define SENTINEL_CLI_CLIENT_OPTIONS_H

#include "sentinel/client.h"

#define CLIENT_OPTIONS_HELP                                                                                  \
    "  --server HOST:PORT[,...]  the broker (default: $SENTINEL_SERVER, or 127.0.0.1:9092)\n"                \
    "  --timeout SECONDS         give up after so long without progress (default 10)\n"

struct client_options {
    const char *server; /* NULL: the default */
    uint32_t timeout_ms;
};
/* Reads a number from `min` to `max`; 0, or EXIT_USAGE after saying what is wrong. */
int parse_integer(const char *command, const char *option, const char *text, int64_t min, int64_t max,
                  int64_t *number);
int parse_timeout(const char *command, const char *text, struct client_options *options);
/* One byte: itself, or \n \t \r \0 \\ or \xHH; 0 or EXIT_USAGE. */
int parse_byte(const char *command, const char *option, const char *text, char *byte);
/* NULL after saying why. */
sentinel_client *client_open(const char *command, const struct client_options *options);
/* Before each state that --watch prints: on a terminal the screen is cleared, in a file a line is left free.
 */
void watch_separate(bool json, bool first);
/* Says what failed and, where it helps, what to do; returns 1. */
int client_failed(const char *command, const sentinel_error *error);

#endif
