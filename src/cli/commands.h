// SPDX-License-Identifier: Apache-2.0
/* commands.h: the subcommands of `sentinel`, one row each: main, help and the usage errors are made from this
 * table.
 *
 * Adding a command is one row here and one function in a file of its own. Exit status: 0 done, 1 the
 * operation failed, 2 the command line was wrong (EXIT_USAGE). */
#ifndef SENTINEL_CLI_COMMANDS_H
#define SENTINEL_CLI_COMMANDS_H

#define EXIT_USAGE 2

/* A command's main gets argv from its own name on ("topic", "create", ...). */
#define COMMAND_LIST(X)                                                                                      \
    X("serve", serve_main, "run a broker")                                                                   \
    X("topic", topic_main, "create, list, describe, alter and delete topics")                                \
    X("produce", produce_main, "send records, one a line")                                                   \
    X("consume", consume_main, "print records")                                                              \
    X("group", group_main, "list, describe, move and delete consumer groups")                                \
    X("txn", txn_main, "list, describe and abort transactions")                                              \
    X("cluster", cluster_main, "show the cluster, change its nodes, back them up")                           \
    X("inspect", inspect_main, "show what a data directory or file holds, also a damaged one")               \
    X("bench", bench_main, "measure it, beside the peers that are installed")                                \
    X("sim", sim_main, "run the real broker in the simulator, with crashes")                                 \
    X("help", help_main, "explain a command")                                                                \
    X("version", version_main, "print the version")

#define COMMAND_DECLARE_(name, function, summary) int function(int argc, char **argv);
COMMAND_LIST(COMMAND_DECLARE_)
#undef COMMAND_DECLARE_

/* Prints "sentinel COMMAND: text" and how to get help, on standard error; returns EXIT_USAGE. */
__attribute__((format(printf, 2, 3))) int usage_error(const char *command, const char *format, ...);
/* Prints "sentinel COMMAND: text" on standard error; returns 1. */
__attribute__((format(printf, 2, 3))) int command_failed(const char *command, const char *format, ...);

#endif
