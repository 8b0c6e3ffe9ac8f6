// SPDX-License-Identifier: Apache-2.0
/* `sentinel cluster`: what the broker says of itself, and backups of its data. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/client_options.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "io/io.h"

static void print_help(void) {
    printf("usage: sentinel cluster status [OPTIONS]\n"
           "       sentinel cluster checkpoint NAME [OPTIONS]\n\n"
           "'status' shows the nodes of the cluster as the one asked sees them: who is there, who leads how "
           "much, what "
           "is\n"
           "missing. 'checkpoint' makes a copy of the "
           "node's data\n"
           "as it is now, while it serves: DATA_DIR/checkpoints/NAME on the node, a complete data directory "
           "made "
           "of hard\n"
           "links. Copy it away, and delete it there.\n\n"
           "options:\n"
           "  --json                 for programs\n" CLIENT_OPTIONS_HELP "\nexamples:\n"
           "  sentinel cluster status --server 127.0.0.1:9092\n"
           "  sentinel cluster checkpoint monday\n");
}

static void print_checkpoint(void *context, const sentinel_checkpoint *checkpoint) {
    (void)context;
    printf("%s\n", checkpoint->path);
    fprintf(stderr, "node %d: %lld files, %lld bytes\n", checkpoint->node_id, (long long)checkpoint->files,
            (long long)checkpoint->bytes);
}

static void print_json(const sentinel_cluster *cluster) {
    printf("{\"cluster\":\"%s\",\"version\":\"%s\",\"answered_by\":%d,\"controller\":%d,\"topics\":%lld,"
           "\"partitions\":%lld,\"leaderless\":%lld,\"under_replicated\":%lld,\"nodes\":[",
           cluster->cluster_id, cluster->version, cluster->node_id, cluster->controller_id,
           (long long)cluster->topics, (long long)cluster->partitions, (long long)cluster->leaderless,
           (long long)cluster->under_replicated);
    for (size_t i = 0; i < cluster->node_count; i++) {
        const sentinel_node *node = &cluster->nodes[i];
        printf("%s{\"node\":%d,\"host\":", i == 0 ? "" : ",", node->node_id);
        json_print_text(stdout, node->host, strlen(node->host));
        printf(",\"port\":%d,\"state\":\"%s\",\"leaders\":%lld,\"replicas\":%lld}", node->port, node->state,
               (long long)node->leaders, (long long)node->replicas);
    }
    printf("]}\n");
}

/* In words, and in colour where somebody looks. */
static void print_health(const sentinel_cluster *cluster, const char *red, const char *green,
                         const char *plain) {
    if (cluster->controller_id < 0)
        printf("health      %sno controller: fewer than half of the nodes are there%s\n", red, plain);
    else if (cluster->leaderless > 0)
        printf("health      %s%lld partitions have no leader%s\n", red, (long long)cluster->leaderless,
               plain);
    else if (cluster->under_replicated > 0)
        printf("health      %s%lld partitions lack a replica, on nodes that are down%s\n", red,
               (long long)cluster->under_replicated, plain);
    else
        printf("health      %severything is led and replicated%s\n", green, plain);
}

static void print_cluster(void *context, const sentinel_cluster *cluster) {
    if (*(const bool *)context) {
        print_json(cluster);
        return;
    }
    bool color = io_is_terminal(1);
    const char *red = color ? "\033[31m" : "", *green = color ? "\033[32m" : "",
               *plain = color ? "\033[0m" : "";
    printf("cluster     %s\nversion     %s\ntopics      %lld\npartitions  %lld\n", cluster->cluster_id,
           cluster->version, (long long)cluster->topics, (long long)cluster->partitions);
    if (cluster->controller_id >= 0) printf("controller  node %d\n", cluster->controller_id);
    print_health(cluster, red, green, plain);
    printf("\n%6s  %-28s %-10s %8s %9s\n", "node", "address", "state", "leads", "replicas");
    for (size_t i = 0; i < cluster->node_count; i++) {
        const sentinel_node *node = &cluster->nodes[i];
        char address[300];
        snprintf(address, sizeof address, "%.255s:%d", node->host, node->port);
        printf("%6d  %-28s %s%-10s%s %8lld %9lld\n", node->node_id, address,
               strcmp(node->state, "ready") == 0 ? green : red, node->state, plain, (long long)node->leaders,
               (long long)node->replicas);
    }
}

int cluster_main(int argc, char **argv) {
    enum { OPTION_SERVER = 256, OPTION_TIMEOUT, OPTION_JSON, OPTION_HELP };
    static const struct option options[] = {{"server", required_argument, NULL, OPTION_SERVER},
                                            {"timeout", required_argument, NULL, OPTION_TIMEOUT},
                                            {"json", no_argument, NULL, OPTION_JSON},
                                            {"help", no_argument, NULL, OPTION_HELP},
                                            {NULL, 0, NULL, 0}};
    struct client_options client_options = {0};
    int option, status = 0;
    bool json = false;
    optind = 0;
    while (status == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_HELP) return print_help(), 0;
        if (option == OPTION_SERVER)
            client_options.server = optarg;
        else if (option == OPTION_JSON)
            json = true;
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
                     : sentinel_cluster_describe(client, print_cluster, &json, &error);
    if (result != 0) status = client_failed("cluster", &error);
    sentinel_close(client);
    return status;
}
