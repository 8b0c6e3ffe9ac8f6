// SPDX-License-Identifier: Apache-2.0
/* `sentinel cluster`: the nodes, how they come and go, who leads, and backups of their data. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size_text.h"
#include "cli/client_options.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/moves.h"
#include "cli/rebalance.h"
#include "cli/settings.h"
#include "io/io.h"

static void print_help(void) {
    printf(
        "usage: sentinel cluster status [--watch [--interval SECONDS] [--count N]] [OPTIONS]\n"
        "       sentinel cluster add-node N=HOST:PORT [OPTIONS]\n"
        "       sentinel cluster drain N [--undo] [--no-wait] [OPTIONS]\n"
        "       sentinel cluster remove-node N [OPTIONS]\n"
        "       sentinel cluster rebalance [--dry-run] [--moves N] [OPTIONS]\n"
        "       sentinel cluster catch-up-rate RATE|none|default [OPTIONS]\n"
        "       sentinel cluster transfer-leader TOPIC PARTITION [NODE] [OPTIONS]\n"
        "       sentinel cluster checkpoint NAME [OPTIONS]\n\n"
        "status           the nodes as the one asked sees them: who is there, who leads how much, how many\n"
        "                 records its copies lack, what it has stored and how much room is left, what is\n"
        "                 being moved\n"
        "add-node         announces a node; then start it with an empty --data-dir, --node-id N and --peers\n"
        "                 that name the others and itself\n"
        "drain            moves everything away from a node, and waits until it holds nothing; --undo takes\n"
        "                 it back\n"
        "remove-node      removes a drained node from the cluster; its data directory is of no use then\n"
        "rebalance        moves partitions until copies and leaders are spread evenly over racks and nodes; "
        "may\n"
        "                 be interrupted, and run again\n"
        "catch-up-rate    bytes a second (20MiB) that each node sends to replicas that are new or were "
        "away,\n"
        "                 from now on; none: no limit; default: what it was started with\n"
        "transfer-leader  hands a partition to a node that has a replica, or to its preferred leader\n"
        "checkpoint       makes a copy of the node's data as it is now, while it serves:\n"
        "                 DATA_DIR/checkpoints/NAME on the node, a complete data directory made of hard\n"
        "                 links. Copy it away, and delete it there\n\n"
        "options:\n"
        "  --json                    status for programs\n"
        "  --watch                   status again whenever it has changed, looked at every --interval "
        "seconds\n"
        "                            (default 1), until --count were shown\n"
        "  --dry-run                 of rebalance: only say what would be moved (also with --json)\n"
        "  --moves N                 of rebalance: so many at once (default 4)\n"
        "  --undo                    of drain: the node may hold replicas again\n"
        "  --no-wait                 of drain: begin, and do not wait for the end\n" CLIENT_OPTIONS_HELP
        "\nexamples:\n"
        "  sentinel cluster status --server 127.0.0.1:9092\n"
        "  sentinel cluster add-node 4=10.0.0.4:9092\n"
        "  sentinel cluster drain 2 && sentinel cluster remove-node 2\n"
        "  sentinel cluster rebalance --dry-run\n"
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
           "\"partitions\":%lld,\"leaderless\":%lld,\"under_replicated\":%lld,\"late\":%lld,\"moving\":%lld,"
           "\"catch_up_rate\":%lld,\"nodes\":[",
           cluster->cluster_id, cluster->version, cluster->node_id, cluster->controller_id,
           (long long)cluster->topics, (long long)cluster->partitions, (long long)cluster->leaderless,
           (long long)cluster->under_replicated, (long long)cluster->late, (long long)cluster->moving,
           (long long)cluster->catch_up_rate);
    for (size_t i = 0; i < cluster->node_count; i++) {
        const sentinel_node *node = &cluster->nodes[i];
        printf("%s{\"node\":%d,\"host\":", i == 0 ? "" : ",", node->node_id);
        json_print_text(stdout, node->host, strlen(node->host));
        printf(",\"port\":%d,\"rack\":", node->port);
        json_print_text(stdout, node->rack, strlen(node->rack));
        printf(
            ",\"state\":\"%s\",\"draining\":%s,\"leaders\":%lld,\"replicas\":%lld,\"arriving\":%lld,"
            "\"leaving\":%lld,\"late\":%lld,\"lacking\":%lld,\"stored_bytes\":%lld,\"disk_free_bytes\":%lld,"
            "\"disk_bytes\":%lld}",
            node->state, node->draining ? "true" : "false", (long long)node->leaders,
            (long long)node->replicas, (long long)node->arriving, (long long)node->leaving,
            (long long)node->late, (long long)node->lacking, (long long)node->stored_bytes,
            (long long)node->disk_free_bytes, (long long)node->disk_bytes);
    }
    printf("]}\n");
}

/* In words, and in colour where somebody looks. */
struct colors {
    const char *red, *green, *plain;
};

static void print_trouble(const struct colors *colors, int64_t count, const char *one, const char *many) {
    printf("health      %s%lld partition%s%s\n", colors->red, (long long)count, count == 1 ? one : many,
           colors->plain);
}

static void print_health(const sentinel_cluster *cluster, const struct colors *colors) {
    if (cluster->cluster_id[0] == '\0')
        printf("health      %snot formed yet: the cluster begins when all nodes of --peers are there%s\n",
               colors->red, colors->plain);
    else if (cluster->controller_id < 0)
        printf("health      %sno controller: fewer than half of the nodes are there%s\n", colors->red,
               colors->plain);
    else if (cluster->leaderless > 0)
        print_trouble(colors, cluster->leaderless, " has no leader", "s have no leader");
    else if (cluster->under_replicated > 0)
        print_trouble(colors, cluster->under_replicated, " lacks a replica, on a node that is down",
                      "s lack a replica, on nodes that are down");
    else if (cluster->late > 0)
        print_trouble(colors, cluster->late, " has a copy that does not have everything yet",
                      "s have a copy that does not have everything yet");
    else
        printf("health      %severything is led and replicated%s\n", colors->green, colors->plain);
}

/* -1: not known. */
static void size_or_dash(int64_t bytes, char text[SIZE_TEXT_SIZE]) {
    if (bytes < 0)
        snprintf(text, SIZE_TEXT_SIZE, "-");
    else
        size_text((uint64_t)bytes, text);
}

/* A disk that is nearly full is worth a look before it is. */
#define DISK_SCARCE_PERCENT 10

static void print_node(const sentinel_node *node, const struct colors *colors) {
    char address[300], stored[SIZE_TEXT_SIZE], room[SIZE_TEXT_SIZE];
    snprintf(address, sizeof address, "%.255s:%d", node->host, node->port);
    size_or_dash(node->stored_bytes, stored);
    size_or_dash(node->disk_free_bytes, room);
    bool ready = strcmp(node->state, "ready") == 0;
    bool scarce = node->disk_free_bytes >= 0 &&
                  (double)node->disk_free_bytes * 100 < (double)node->disk_bytes * DISK_SCARCE_PERCENT;
    const char *state = ready && node->draining ? "draining" : node->state;
    printf("%6d  %-28s %-12s %s%-10s%s %8lld %9lld %10lld %11s %s%11s%s", node->node_id, address,
           node->rack[0] == '\0' ? "-" : node->rack, ready ? colors->green : colors->red, state,
           colors->plain, (long long)node->leaders, (long long)node->replicas, (long long)node->lacking,
           stored, scarce ? colors->red : "", room, colors->plain);
    if (node->late > 0) printf("  %lld late", (long long)node->late);
    if (node->arriving > 0) printf("  %lld arriving", (long long)node->arriving);
    if (node->leaving > 0) printf("  %lld leaving", (long long)node->leaving);
    printf("\n");
}

struct cluster_options {
    struct client_options client;
    bool undo, no_wait, dry_run;
    int64_t moves; /* of rebalance, at once */
};

/* Only what somebody said while the cluster runs. */
static void print_catch_up_rate(int64_t rate) {
    char text[SIZE_TEXT_SIZE];
    size_or_dash(rate, text);
    if (rate == 0)
        printf("catch-up    as fast as it goes, behind what clients write\n");
    else if (rate > 0)
        printf("catch-up    at most %s a second from each node\n", text);
}

static void print_cluster(void *context, const sentinel_cluster *cluster) {
    const struct cluster_options *o = context;
    if (o->client.json) {
        print_json(cluster);
        return;
    }
    const struct colors colors = io_is_terminal(1) ? (struct colors){"\033[31m", "\033[32m", "\033[0m"}
                                                   : (struct colors){"", "", ""};
    printf("cluster     %s\nversion     %s\ntopics      %lld\npartitions  %lld\n",
           cluster->cluster_id[0] == '\0' ? "-" : cluster->cluster_id, cluster->version,
           (long long)cluster->topics, (long long)cluster->partitions);
    if (cluster->controller_id >= 0) printf("controller  node %d\n", cluster->controller_id);
    print_health(cluster, &colors);
    if (cluster->moving > 0)
        printf("moving      %lld partitions are on their way to other nodes\n", (long long)cluster->moving);
    print_catch_up_rate(cluster->catch_up_rate);
    printf("\n%6s  %-28s %-12s %-10s %8s %9s %10s %11s %11s\n", "node", "address", "rack", "state", "leads",
           "replicas", "lacks", "stored", "disk free");
    for (size_t i = 0; i < cluster->node_count; i++)
        print_node(&cluster->nodes[i], &colors);
}

static bool print_next(void *context, const sentinel_cluster *cluster) {
    struct cluster_options *o = context;
    watch_begin(&o->client);
    print_cluster(o, cluster);
    return watch_end(&o->client);
}

static int show_status(struct cluster_options *o, sentinel_client *client, sentinel_error *error) {
    if (!o->client.watch) return sentinel_cluster_describe(client, print_cluster, o, error);
    return sentinel_cluster_watch(client, watch_interval_ms(&o->client), print_next, o, error);
}

/* -1: it does not fit. */
static int32_t node_number(const char *text, char **end) {
    long number = strtol(text, end, 10);
    return *end == text || number < 1 || number > INT32_MAX ? -1 : (int32_t)number;
}

static int whole_number(const char *text, int32_t *number) {
    char *end;
    *number = node_number(text, &end);
    if (*number > 0 && *end == '\0') return 0;
    return usage_error("cluster", "'%s' is not the number of a node", text);
}

static int add_node(sentinel_client *client, char **words, sentinel_error *error) {
    char *end;
    int32_t node = node_number(words[0], &end);
    if (sentinel_node_add(client, node, end + 1, error) != 0) return -1;
    fprintf(
        stderr,
        "node %d is expected at %s: start it there with --node-id %d, an empty --data-dir, and --peers that "
        "name the others and itself\n",
        node, end + 1, node);
    return 0;
}

static int drain_node(sentinel_client *client, const struct cluster_options *o, int32_t node,
                      sentinel_error *error) {
    if (sentinel_node_drain(client, node, o->undo, error) != 0) return -1;
    if (o->undo || o->no_wait) return 0;
    if (moves_wait_for_node(client, node, error) != 0) return -1;
    fprintf(stderr, "node %d holds nothing: 'sentinel cluster remove-node %d', or 'drain %d --undo'\n", node,
            node, node);
    return 0;
}

static int transfer(sentinel_client *client, char **words, int count, sentinel_error *error) {
    int32_t node = count == 3 ? (int32_t)strtol(words[2], NULL, 10) : 0;
    return sentinel_transfer_leader(client, words[0], (int32_t)strtol(words[1], NULL, 10), node, error);
}

enum verb {
    STATUS,
    CHECKPOINT,
    ADD_NODE,
    DRAIN,
    REMOVE_NODE,
    REBALANCE,
    CATCH_UP_RATE,
    TRANSFER_LEADER,
    VERB_COUNT
};
static const struct {
    const char *name;
    int words_min, words_max;
    const char *wants;
} verbs[VERB_COUNT] = {[STATUS] = {"status", 0, 0, "nothing more"},
                       [CHECKPOINT] = {"checkpoint", 1, 1, "a name"},
                       [ADD_NODE] = {"add-node", 1, 1, "N=HOST:PORT"},
                       [DRAIN] = {"drain", 1, 1, "the number of a node"},
                       [REMOVE_NODE] = {"remove-node", 1, 1, "the number of a node"},
                       [REBALANCE] = {"rebalance", 0, 0, "nothing more"},
                       [CATCH_UP_RATE] = {"catch-up-rate", 1, 1, "RATE, none or default"},
                       [TRANSFER_LEADER] = {"transfer-leader", 2, 3, "TOPIC PARTITION [NODE]"}};

/* "20MiB", "none" (0) or "default" (-1). */
static bool parse_rate(const char *text, int64_t *rate) {
    *rate = strcmp(text, "default") == 0 ? -1 : 0;
    if (*rate < 0 || strcmp(text, "none") == 0) return true;
    return settings_parse_size(text, rate) && *rate > 0;
}

/* What the words say, or EXIT_USAGE. */
static int check_words(enum verb verb, char **words, int count) {
    int32_t number;
    char *end;
    if (count < verbs[verb].words_min || count > verbs[verb].words_max)
        return usage_error("cluster", "%s wants %s", verbs[verb].name, verbs[verb].wants);
    if (verb == ADD_NODE && (node_number(words[0], &end) < 0 || *end != '=' || strchr(end + 1, ':') == NULL))
        return usage_error("cluster", "add-node wants N=HOST:PORT, not '%s'", words[0]);
    if (verb == DRAIN || verb == REMOVE_NODE) return whole_number(words[0], &number);
    int64_t rate;
    if (verb == CATCH_UP_RATE && !parse_rate(words[0], &rate))
        return usage_error("cluster", "catch-up-rate wants bytes a second (20MiB), none or default, not '%s'",
                           words[0]);
    if (verb != TRANSFER_LEADER) return 0;
    if (strtol(words[1], &end, 10) < 0 || end == words[1] || *end != '\0')
        return usage_error("cluster", "'%s' is not the number of a partition", words[1]);
    return count == 3 ? whole_number(words[2], &number) : 0;
}

static int run(struct cluster_options *o, sentinel_client *client, enum verb verb, char **words, int count) {
    sentinel_error error = {0};
    int32_t node = verb == DRAIN || verb == REMOVE_NODE ? (int32_t)strtol(words[0], NULL, 10) : 0;
    int64_t rate;
    int result = -1;
    switch (verb) {
    case STATUS:
        result = show_status(o, client, &error);
        break;
    case CHECKPOINT:
        result = sentinel_checkpoint_create(client, words[0], print_checkpoint, NULL, &error);
        break;
    case ADD_NODE:
        result = add_node(client, words, &error);
        break;
    case DRAIN:
        result = drain_node(client, o, node, &error);
        break;
    case REMOVE_NODE:
        result = sentinel_node_remove(client, node, &error);
        break;
    case REBALANCE:
        result = o->dry_run ? rebalance_plan(client, o->client.json, &error)
                            : rebalance_run(client, (size_t)o->moves, &error);
        break;
    case CATCH_UP_RATE:
        if (parse_rate(words[0], &rate)) result = sentinel_catch_up_rate(client, rate, &error);
        break;
    case TRANSFER_LEADER:
        result = transfer(client, words, count, &error);
        break;
    case VERB_COUNT:
        break;
    }
    return result == 0 ? 0 : client_failed("cluster", &error);
}

enum { OPTION_UNDO = CLIENT_OPTION_END, OPTION_NO_WAIT, OPTION_DRY_RUN, OPTION_MOVES };

static int take_option(struct cluster_options *o, int option, const char *value) {
    switch (option) {
    case OPTION_UNDO:
        o->undo = true;
        return 0;
    case OPTION_NO_WAIT:
        o->no_wait = true;
        return 0;
    case OPTION_DRY_RUN:
        o->dry_run = true;
        return 0;
    case OPTION_MOVES:
        return parse_integer("cluster", "--moves", value, 1, 1000, &o->moves);
    default:
        return take_client_option("cluster", option, value, &o->client);
    }
}

int cluster_main(int argc, char **argv) {
    static const struct option options[] = {CLIENT_OPTIONS,
                                            JSON_OPTION,
                                            WATCH_OPTIONS,
                                            {"undo", no_argument, NULL, OPTION_UNDO},
                                            {"no-wait", no_argument, NULL, OPTION_NO_WAIT},
                                            {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
                                            {"moves", required_argument, NULL, OPTION_MOVES},
                                            {NULL, 0, NULL, 0}};
    struct cluster_options o = {.moves = REBALANCE_MOVES};
    int option, status;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == CLIENT_OPTION_HELP) return print_help(), 0;
        if ((status = take_option(&o, option, optarg)) != 0) return status;
    }
    char **words = argv + optind + 1;
    int count = argc - optind - 1;
    enum verb verb = STATUS;
    while (count >= 0 && verb < VERB_COUNT && strcmp(argv[optind], verbs[verb].name) != 0)
        verb++;
    if (count < 0 || verb == VERB_COUNT)
        return usage_error("cluster", "wants status, add-node, drain, remove-node, rebalance, catch-up-rate, "
                                      "transfer-leader or "
                                      "checkpoint");
    status = check_words(verb, words, count);
    if (status != 0) return status;
    sentinel_client *client = client_open("cluster", &o.client);
    if (client == NULL) return 1;
    status = run(&o, client, verb, words, count);
    sentinel_close(client);
    return status;
}
