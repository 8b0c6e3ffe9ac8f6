// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} rows[] = {
#define COMMAND_ROW_(name, function, summary) {name, summary, function},
    COMMAND_LIST(COMMAND_ROW_)
#undef COMMAND_ROW_
};

static void print_overview(void) {
    printf("Sentinel: a message queue that speaks Kafka and gRPC.\n\n"
           "usage: sentinel COMMAND [OPTIONS]\n\ncommands:\n");
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        printf("  %-10s %s\n", rows[i].name, rows[i].summary);
    printf("\n'sentinel help COMMAND' explains one, with examples.\n\n"
           "a first try:\n"
           "  sentinel serve                                  in one terminal\n"
           "  echo hello | sentinel produce greetings         in another\n"
           "  sentinel consume greetings --from beginning --until-end\n");
}

int help_main(int argc, char **argv) {
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        print_overview();
        return 0;
    }
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, argv[1]) != 0) continue;
        if (rows[i].run == help_main) {
            printf("usage: sentinel help [COMMAND]\n");
            return 0;
        }
        char *ask[] = {argv[1], (char *)"--help", NULL};
        return rows[i].run(2, ask);
    }
    fprintf(stderr, "sentinel help: there is no command '%s'; 'sentinel help' lists them\n", argv[1]);
    return EXIT_USAGE;
}

int version_main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        printf("usage: sentinel version\n\nPrints the version.\n");
        return 0;
    }
    if (argc > 1) return usage_error("version", "takes no arguments");
    printf("sentinel %s\n", SENTINEL_VERSION);
    return 0;
}

__attribute__((format(printf, 2, 0))) static void say(const char *command, const char *format,
                                                      va_list arguments) {
    fprintf(stderr, "sentinel %s: ", command);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int usage_error(const char *command, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(command, format, arguments);
    va_end(arguments);
    fprintf(stderr, "'sentinel help %s' explains it\n", command);
    return EXIT_USAGE;
}

int command_failed(const char *command, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(command, format, arguments);
    va_end(arguments);
    return 1;
}
