// SPDX-License-Identifier: Apache-2.0
/* `sentinel topic`: create, list, describe, alter, add-partitions, delete. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "cli/client_options.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/moves.h"

#define CONFIGS_MAX    64
#define PLACEMENTS_MAX 1000
#define NODES_MAX      16

struct topic_options {
    struct client_options client;
    int64_t partitions, replicas;
    sentinel_config configs[CONFIGS_MAX];
    size_t config_count;
    sentinel_placement placements[PLACEMENTS_MAX];
    int32_t nodes[PLACEMENTS_MAX][NODES_MAX];
    size_t placement_count;
    bool if_not_exists, cancel, no_wait;
};

static void print_help(void) {
    printf(
        "usage: sentinel topic create NAME [--partitions N] [--replicas N] [--config NAME=VALUE]...\n"
        "                             [--placement P=NODE,NODE...]... [--if-not-exists]\n"
        "       sentinel topic list [--json]\n"
        "       sentinel topic describe NAME [--json]\n"
        "       sentinel topic alter NAME --config NAME=VALUE... (NAME= goes back to the default)\n"
        "       sentinel topic alter NAME --replicas N | --placement P=NODE,NODE... | --cancel [--no-wait]\n"
        "       sentinel topic add-partitions NAME --partitions TOTAL\n"
        "       sentinel topic delete NAME\n\n"
        "options:\n" CLIENT_OPTIONS_HELP
        "  --replicas N              copies of each partition; alter moves them while records come and go\n"
        "  --placement P=NODE,...    the nodes of partition P, the preferred leader first; for create: "
        "every\n"
        "                            partition, from 0 on\n"
        "  --cancel                  what is being moved goes back to where it was\n"
        "  --no-wait                 begin to move, and do not wait for the end\n\n"
        "examples:\n"
        "  sentinel topic create orders --partitions 12 --config retention.ms=86400000\n"
        "  sentinel topic describe orders\n"
        "  sentinel topic alter orders --replicas 3\n"
        "  sentinel topic alter orders --placement 0=2,3,4 --placement 1=3,4,2\n");
}

static int add_config(struct topic_options *o, char *text) {
    char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return usage_error("topic", "--config wants NAME=VALUE, not '%s'", text);
    if (o->config_count == CONFIGS_MAX) return usage_error("topic", "at most %d --config", CONFIGS_MAX);
    *equals = '\0';
    o->configs[o->config_count++] = (sentinel_config){.name = text,
                                                      .value = equals[1] == '\0' ? NULL : equals + 1};
    return 0;
}

/* "P=NODE,NODE..." */
static int add_placement(struct topic_options *o, const char *text) {
    if (o->placement_count == PLACEMENTS_MAX)
        return usage_error("topic", "at most %d --placement", PLACEMENTS_MAX);
    sentinel_placement *placement = &o->placements[o->placement_count];
    int32_t *nodes = o->nodes[o->placement_count];
    char *end;
    long partition = strtol(text, &end, 10);
    bool fits = end != text && *end == '=' && partition >= 0 && partition <= 100000;
    size_t count = 0;
    for (const char *at = end + 1; fits && *at != '\0';) {
        long node = strtol(at, &end, 10);
        fits = end != at && node > 0 && node <= INT32_MAX && count < NODES_MAX &&
               (*end == '\0' || (*end == ',' && end[1] != '\0'));
        if (fits) nodes[count++] = (int32_t)node;
        at = *end == ',' ? end + 1 : end;
    }
    if (!fits || count == 0)
        return usage_error("topic", "--placement wants PARTITION=NODE,NODE..., not '%s'", text);
    *placement = (sentinel_placement){(int32_t)partition, nodes, count};
    o->placement_count++;
    return 0;
}

enum {
    OPTION_PARTITIONS = CLIENT_OPTION_END,
    OPTION_REPLICAS,
    OPTION_CONFIG,
    OPTION_IF_NOT_EXISTS,
    OPTION_PLACEMENT,
    OPTION_CANCEL,
    OPTION_NO_WAIT
};

static int take_option(struct topic_options *o, int option, char *value) {
    switch (option) {
    case OPTION_PARTITIONS:
        return parse_integer("topic", "--partitions", value, 1, 100000, &o->partitions);
    case OPTION_REPLICAS:
        return parse_integer("topic", "--replicas", value, 1, 100, &o->replicas);
    case OPTION_CONFIG:
        return add_config(o, value);
    case OPTION_IF_NOT_EXISTS:
        o->if_not_exists = true;
        return 0;
    case OPTION_PLACEMENT:
        return add_placement(o, value);
    case OPTION_CANCEL:
        o->cancel = true;
        return 0;
    case OPTION_NO_WAIT:
        o->no_wait = true;
        return 0;
    default:
        return take_client_option("topic", option, value, &o->client);
    }
}

static void print_listed(void *context, const sentinel_topic *topic) {
    const struct topic_options *o = context;
    if (!o->client.json) {
        printf("%s\t%d partition%s\n", topic->name, topic->partition_count,
               topic->partition_count == 1 ? "" : "s");
        return;
    }
    printf("{\"name\":");
    json_print_text(stdout, topic->name, strlen(topic->name));
    printf(",\"partitions\":%d,\"replicas\":%d}\n", topic->partition_count, topic->replication_factor);
}

static void print_described_json(const sentinel_topic *topic) {
    printf("{\"name\":");
    json_print_text(stdout, topic->name, strlen(topic->name));
    printf(",\"replicas\":%d,\"partitions\":[", topic->replication_factor);
    for (size_t i = 0; i < topic->partitions_listed; i++) {
        const sentinel_partition *p = &topic->partitions[i];
        printf("%s{\"partition\":%d,\"leader\":%d,\"log_start_offset\":%lld,\"high_watermark\":%lld,"
               "\"bytes\":%lld,\"replicas\":[",
               i == 0 ? "" : ",", p->partition, p->leader, (long long)p->log_start_offset,
               (long long)p->high_watermark, (long long)p->size_bytes);
        for (size_t r = 0; r < p->replica_count; r++)
            printf("%s{\"node\":%d,\"state\":\"%s\",\"behind\":%lld}", r == 0 ? "" : ",", p->replicas[r].node,
                   p->replicas[r].state, (long long)p->replicas[r].behind);
        printf("]}");
    }
    printf("],\"configs\":{");
    for (size_t i = 0; i < topic->config_count; i++) {
        printf("%s", i == 0 ? "" : ",");
        json_print_text(stdout, topic->configs[i].name, strlen(topic->configs[i].name));
        printf(":");
        json_print_text(stdout, topic->configs[i].value, strlen(topic->configs[i].value));
    }
    printf("}}\n");
}

/* "2" is in sync; "2 (120 behind)" and "2 (learning, 120 behind)" are not. */
static void print_replica(const sentinel_replica *replica, bool first) {
    printf("%s%d", first ? "" : ", ", replica->node);
    if (strcmp(replica->state, "in-sync") == 0 || strcmp(replica->state, "unknown") == 0) return;
    if (replica->behind > 0 && strcmp(replica->state, "behind") == 0)
        printf(" (%lld behind)", (long long)replica->behind);
    else if (replica->behind > 0)
        printf(" (%s, %lld behind)", replica->state, (long long)replica->behind);
    else
        printf(" (%s)", replica->state);
}

static void print_described(void *context, const sentinel_topic *topic) {
    const struct topic_options *o = context;
    if (o->client.json) {
        print_described_json(topic);
        return;
    }
    printf("topic %s: %d partition%s, %d replica%s\n", topic->name, topic->partition_count,
           topic->partition_count == 1 ? "" : "s", topic->replication_factor,
           topic->replication_factor == 1 ? "" : "s");
    printf("\n  partition  leader     first offset       end offset            bytes  replicas\n");
    for (size_t i = 0; i < topic->partitions_listed; i++) {
        const sentinel_partition *p = &topic->partitions[i];
        printf("  %9d  %6d  %15lld  %15lld  %15lld  ", p->partition, p->leader,
               (long long)p->log_start_offset, (long long)p->high_watermark, (long long)p->size_bytes);
        for (size_t r = 0; r < p->replica_count; r++)
            print_replica(&p->replicas[r], r == 0);
        printf("\n");
    }
    printf("\n");
    for (size_t i = 0; i < topic->config_count; i++)
        printf("  %-32s %s%s\n", topic->configs[i].name, topic->configs[i].value,
               topic->configs[i].is_default ? "  (default)" : "");
}

static int create(struct topic_options *o, sentinel_client *client, const char *name, sentinel_error *error) {
    if (o->placement_count != 0)
        return sentinel_topic_create_placed(client, name, o->placements, o->placement_count, o->configs,
                                            o->config_count, error);
    return sentinel_topic_create(client, name, (int32_t)o->partitions, (int32_t)o->replicas, o->configs,
                                 o->config_count, error);
}

static int alter(struct topic_options *o, sentinel_client *client, const char *name, sentinel_error *error) {
    if (o->config_count != 0 && sentinel_topic_alter(client, name, o->configs, o->config_count, error) != 0)
        return -1;
    if (o->replicas == 0 && o->placement_count == 0 && !o->cancel) return 0;
    const sentinel_move_options options = {.replicas = (int32_t)o->replicas,
                                           .placements = o->placements,
                                           .placement_count = o->placement_count,
                                           .cancel = o->cancel};
    if (sentinel_topic_move(client, name, &options, error) != 0) return -1;
    return o->no_wait ? 0 : moves_wait_for_topic(client, name, error);
}

static int run(struct topic_options *o, sentinel_client *client, const char *verb, const char *name) {
    sentinel_error error = {0};
    int result;
    if (strcmp(verb, "create") == 0) {
        result = create(o, client, name, &error);
        if (result != 0 && error.code == SENTINEL_ALREADY_EXISTS && o->if_not_exists) result = 0;
    } else if (strcmp(verb, "list") == 0) {
        result = sentinel_topic_list(client, print_listed, o, &error);
    } else if (strcmp(verb, "describe") == 0) {
        result = sentinel_topic_describe(client, name, print_described, o, &error);
    } else if (strcmp(verb, "alter") == 0) {
        result = alter(o, client, name, &error);
    } else if (strcmp(verb, "add-partitions") == 0) {
        result = sentinel_topic_add_partitions(client, name, (int32_t)o->partitions, &error);
    } else {
        result = sentinel_topic_delete(client, name, &error);
    }
    return result == 0 ? 0 : client_failed("topic", &error);
}

static int check_verb(const struct topic_options *o, const char *verb, int names) {
    static const char *const verbs[] = {"create", "list", "describe", "alter", "add-partitions", "delete"};
    bool known = false;
    for (unsigned i = 0; i < sizeof verbs / sizeof *verbs; i++)
        known = known || strcmp(verb, verbs[i]) == 0;
    if (!known) return usage_error("topic", "there is no 'topic %s'", verb);
    int wanted = strcmp(verb, "list") == 0 ? 0 : 1;
    if (names != wanted)
        return usage_error("topic", wanted == 0 ? "list takes no name" : "%s wants one topic name", verb);
    int moves = (o->replicas != 0) + (o->placement_count != 0) + o->cancel;
    if (o->partitions != 0 && strcmp(verb, "alter") == 0)
        return usage_error("topic", "'add-partitions NAME --partitions TOTAL' gives a topic more; fewer it "
                                    "never has");
    bool alters = strcmp(verb, "alter") == 0, creates = strcmp(verb, "create") == 0;
    if (alters && (moves > 1 || (moves == 0 && o->config_count == 0)))
        return usage_error("topic", "alter wants --config NAME=VALUE, or one of --replicas, --placement and "
                                    "--cancel");
    if (creates && o->placement_count != 0 && (o->partitions != 0 || o->replicas != 0))
        return usage_error("topic", "--placement says how many partitions and replicas there are");
    if (o->cancel && !alters) return usage_error("topic", "--cancel belongs to alter");
    if (strcmp(verb, "add-partitions") == 0 && o->partitions == 0)
        return usage_error("topic", "add-partitions wants --partitions TOTAL");
    return 0;
}

int topic_main(int argc, char **argv) {
    static const struct option options[] = {
        CLIENT_OPTIONS,
        JSON_OPTION,
        {"partitions", required_argument, NULL, OPTION_PARTITIONS},
        {"replicas", required_argument, NULL, OPTION_REPLICAS},
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"if-not-exists", no_argument, NULL, OPTION_IF_NOT_EXISTS},
        {"placement", required_argument, NULL, OPTION_PLACEMENT},
        {"cancel", no_argument, NULL, OPTION_CANCEL},
        {"no-wait", no_argument, NULL, OPTION_NO_WAIT},
        {NULL, 0, NULL, 0},
    };
    static struct topic_options o; /* large */
    memset(&o, 0, sizeof o);
    int option, status;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == CLIENT_OPTION_HELP) return print_help(), 0;
        if ((status = take_option(&o, option, optarg)) != 0) return status;
    }
    if (optind == argc)
        return usage_error("topic",
                           "what about a topic? create, list, describe, alter, add-partitions or delete");
    const char *verb = argv[optind++];
    if ((status = check_verb(&o, verb, argc - optind)) != 0) return status;
    sentinel_client *client = client_open("topic", &o.client);
    if (client == NULL) return 1;
    status = run(&o, client, verb, argv[optind]);
    sentinel_close(client);
    return status;
}
