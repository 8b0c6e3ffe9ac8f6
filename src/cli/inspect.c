// SPDX-License-Identifier: Apache-2.0
/* `sentinel inspect`: what a data directory or one of its files holds, also when it is damaged. */
#include <getopt.h>
#include <stdio.h>

#include "cli/commands.h"
#include "storage/inspect.h"

static void print_help(void) {
    printf("usage: sentinel inspect FILE-OR-DIR [OPTIONS]\n\n"
           "Shows what a data directory, a log segment, a table or a manifest holds, and says where and what "
           "is wrong\n"
           "with a damaged one. Changes nothing, and may look while a broker runs. Exits 1 when something is "
           "damaged.\n\n"
           "options:\n"
           "  --entries   every record and entry, not only totals\n"
           "  --verify    read and check every byte\n"
           "  --json      one JSON document\n\n"
           "examples:\n"
           "  sentinel inspect sentinel-data\n"
           "  sentinel inspect sentinel-data/000000000001.wal --entries\n");
}

static void print(void *ctx, struct slice text) {
    (void)ctx;
    fwrite(text.data, 1, text.size, stdout);
}

int inspect_main(int argc, char **argv) {
    enum { OPTION_JSON = 256, OPTION_ENTRIES, OPTION_VERIFY, OPTION_HELP };
    static const struct option options[] = {{"json", no_argument, NULL, OPTION_JSON},
                                            {"entries", no_argument, NULL, OPTION_ENTRIES},
                                            {"verify", no_argument, NULL, OPTION_VERIFY},
                                            {"help", no_argument, NULL, OPTION_HELP},
                                            {NULL, 0, NULL, 0}};
    struct inspect_options inspect = {.print = print};
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_HELP) return print_help(), 0;
        if (option == '?') return usage_error("inspect", "see the options");
        inspect.json = inspect.json || option == OPTION_JSON;
        inspect.entries = inspect.entries || option == OPTION_ENTRIES;
        inspect.verify = inspect.verify || option == OPTION_VERIFY;
    }
    if (argc - optind != 1) return usage_error("inspect", "wants one file or directory");
    struct io_options io_options = {.backend = IO_BACKEND_POSIX};
    struct io *io;
    struct diagnostic why = {.text = ""};
    if (io_new(&io_options, &io, &why) != STATUS_OK) return command_failed("inspect", "%s", why.text);
    enum status status = inspect_path(io, argv[optind], &inspect, &why);
    io_free(io);
    if (status == STATUS_OK) return 0;
    return command_failed("inspect", "%s", why.text[0] == '\0' ? status_text(status) : why.text);
}
