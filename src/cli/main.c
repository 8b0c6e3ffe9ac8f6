// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
#define COMMAND_ROW_(name, function, summary) {name, function},
    COMMAND_LIST(COMMAND_ROW_)
#undef COMMAND_ROW_
};

int main(int argc, char **argv) {
    if (argc < 2) {
        char *help[] = {(char *)"help", NULL};
        help_main(1, help);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    if (strcmp(name, "--version") == 0) name = "version";
    for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(name, commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "sentinel: there is no command '%s'; 'sentinel help' lists them\n", name);
    return EXIT_USAGE;
}
