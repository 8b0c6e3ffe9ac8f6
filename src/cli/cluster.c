// SPDX-License-Identifier: Apache-2.0
/* `sentinel cluster status`: what the broker says of itself. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/client_options.h"
#include "cli/commands.h"

static void print_help(void) {
    printf("usage: sentinel cluster status [OPTIONS]\n\n"
           "Shows the cluster's id, its node, and how much is in it.\n\n"
           "options:\n" CLIENT_OPTIONS_HELP
           "\nexample:\n  sentinel cluster status --server 127.0.0.1:9092\n");
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
    if (argc - optind != 1 || strcmp(argv[optind], "status") != 0)
        return usage_error("cluster", "wants 'status'");
    sentinel_client *client = client_open("cluster", &client_options);
    if (client == NULL) return 1;
    sentinel_error error = {0};
    if (sentinel_cluster_describe(client, print_cluster, NULL, &error) != 0)
        status = client_failed("cluster", &error);
    sentinel_close(client);
    return status;
}
