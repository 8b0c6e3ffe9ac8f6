// SPDX-License-Identifier: Apache-2.0
/* `sentinel cluster`: what the broker says of itself, and backups of its data. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/client_options.h"
#include "cli/commands.h"

static void print_help(void) {
    printf(
        "usage: sentinel cluster status [OPTIONS]\n"
        "       sentinel cluster checkpoint NAME [OPTIONS]\n\n"
        "'status' shows the cluster's id, its node, and how much is in it. 'checkpoint' makes a copy of the "
        "node's data\n"
        "as it is now, while it serves: DATA_DIR/checkpoints/NAME on the node, a complete data directory "
        "made "
        "of hard\n"
        "links. Copy it away, and delete it there.\n\n"
        "options:\n" CLIENT_OPTIONS_HELP "\nexamples:\n"
        "  sentinel cluster status --server 127.0.0.1:9092\n"
        "  sentinel cluster checkpoint monday\n");
}

static void print_checkpoint(void *context, const sentinel_checkpoint *checkpoint) {
    (void)context;
    printf("%s\n", checkpoint->path);
    fprintf(stderr, "node %d: %lld files, %lld bytes\n", checkpoint->node_id, (long long)checkpoint->files,
            (long long)checkpoint->bytes);
}

static void print_cluster(void *context, const sentinel_cluster *cluster) {
    (void)context;
    printf(
        "cluster     %s\nnode        %d (the only one)\nversion     %s\ntopics      %lld\npartitions  %lld\n",
        cluster->cluster_id, cluster->node_id, cluster->version, (long long)cluster->topics,
        (long long)cluster->partitions);
}

int cluster_main(int argc, char **argv) {
    enum { OPTION_SERVER = 256, OPTION_TIMEOUT, OPTION_HELP };
    static const struct option options[] = {{"server", required_argument, NULL, OPTION_SERVER},
                                            {"timeout", required_argument, NULL, OPTION_TIMEOUT},
                                            {"help", no_argument, NULL, OPTION_HELP},
                                            {NULL, 0, NULL, 0}};
    struct client_options client_options = {0};
    int option, status = 0;
    optind = 0;
    while (status == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_HELP) return print_help(), 0;
        if (option == OPTION_SERVER)
            client_options.server = optarg;
        else
            status = option == OPTION_TIMEOUT ? parse_timeout("cluster", optarg, &client_options)
                                              : EXIT_USAGE;
    }
    if (status != 0) return status;
    bool checkpoint = argc - optind == 2 && strcmp(argv[optind], "checkpoint") == 0;
    if (!checkpoint && (argc - optind != 1 || strcmp(argv[optind], "status") != 0))
        return usage_error("cluster", "wants 'status' or 'checkpoint NAME'");
    sentinel_client *client = client_open("cluster", &client_options);
    if (client == NULL) return 1;
    sentinel_error error = {0};
    int result = checkpoint
                     ? sentinel_checkpoint_create(client, argv[optind + 1], print_checkpoint, NULL, &error)
                     : sentinel_cluster_describe(client, print_cluster, NULL, &error);
    if (result != 0) status = client_failed("cluster", &error);
    sentinel_close(client);
    return status;
}
