// SPDX-License-Identifier: Apache-2.0
/* `sentinel topic`: create, list, describe, alter, add-partitions, delete. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/client_options.h"
#include "cli/commands.h"
#include "cli/json.h"

#define CONFIGS_MAX 64

struct topic_options {
    struct client_options client;
    int64_t partitions, replicas;
    sentinel_config configs[CONFIGS_MAX];
    size_t config_count;
    bool json, if_not_exists;
};

static void print_help(void) {
    printf("usage: sentinel topic create NAME [--partitions N] [--replicas N] [--config NAME=VALUE]...\n"
           "                             [--if-not-exists]\n"
           "       sentinel topic list [--json]\n"
           "       sentinel topic describe NAME [--json]\n"
           "       sentinel topic alter NAME --config NAME=VALUE... (NAME= goes back to the default)\n"
           "       sentinel topic add-partitions NAME --partitions TOTAL\n"
           "       sentinel topic delete NAME\n\n"
           "options:\n" CLIENT_OPTIONS_HELP "\n"
           "examples:\n"
           "  sentinel topic create orders --partitions 12 --config retention.ms=86400000\n"
           "  sentinel topic describe orders\n");
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

enum {
    OPTION_SERVER = 256,
    OPTION_TIMEOUT,
    OPTION_PARTITIONS,
    OPTION_REPLICAS,
    OPTION_CONFIG,
    OPTION_JSON,
    OPTION_IF_NOT_EXISTS,
    OPTION_HELP
};

static int take_option(struct topic_options *o, int option, char *value) {
    switch (option) {
    case OPTION_SERVER:
        o->client.server = value;
        return 0;
    case OPTION_TIMEOUT:
        return parse_timeout("topic", value, &o->client);
    case OPTION_PARTITIONS:
        return parse_integer("topic", "--partitions", value, 1, 100000, &o->partitions);
    case OPTION_REPLICAS:
        return parse_integer("topic", "--replicas", value, 1, 100, &o->replicas);
    case OPTION_CONFIG:
        return add_config(o, value);
    case OPTION_JSON:
        o->json = true;
        return 0;
    case OPTION_IF_NOT_EXISTS:
        o->if_not_exists = true;
        return 0;
    default:
        fprintf(stderr, "'sentinel help topic' explains the options\n");
        return EXIT_USAGE;
    }
}

static void print_listed(void *context, const sentinel_topic *topic) {
    const struct topic_options *o = context;
    if (!o->json) {
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
               "\"bytes\":%lld}",
               i == 0 ? "" : ",", p->partition, p->leader, (long long)p->log_start_offset,
               (long long)p->high_watermark, (long long)p->size_bytes);
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

static void print_described(void *context, const sentinel_topic *topic) {
    const struct topic_options *o = context;
    if (o->json) {
        print_described_json(topic);
        return;
    }
    printf("topic %s: %d partition%s, %d replica%s\n", topic->name, topic->partition_count,
           topic->partition_count == 1 ? "" : "s", topic->replication_factor,
           topic->replication_factor == 1 ? "" : "s");
    printf("\n  partition  leader     first offset       end offset            bytes\n");
    for (size_t i = 0; i < topic->partitions_listed; i++) {
        const sentinel_partition *p = &topic->partitions[i];
        printf("  %9d  %6d  %15lld  %15lld  %15lld\n", p->partition, p->leader,
               (long long)p->log_start_offset, (long long)p->high_watermark, (long long)p->size_bytes);
    }
    printf("\n");
    for (size_t i = 0; i < topic->config_count; i++)
        printf("  %-32s %s%s\n", topic->configs[i].name, topic->configs[i].value,
               topic->configs[i].is_default ? "  (default)" : "");
}

static int run(struct topic_options *o, sentinel_client *client, const char *verb, const char *name) {
    sentinel_error error = {0};
    int result;
    if (strcmp(verb, "create") == 0) {
        result = sentinel_topic_create(client, name, (int32_t)o->partitions, (int32_t)o->replicas, o->configs,
                                       o->config_count, &error);
        if (result != 0 && error.code == SENTINEL_ALREADY_EXISTS && o->if_not_exists) result = 0;
    } else if (strcmp(verb, "list") == 0) {
        result = sentinel_topic_list(client, print_listed, o, &error);
    } else if (strcmp(verb, "describe") == 0) {
        result = sentinel_topic_describe(client, name, print_described, o, &error);
    } else if (strcmp(verb, "alter") == 0) {
        result = sentinel_topic_alter(client, name, o->configs, o->config_count, &error);
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
    if (strcmp(verb, "alter") == 0 && o->config_count == 0)
        return usage_error("topic", "alter wants at least one --config NAME=VALUE");
    if (strcmp(verb, "add-partitions") == 0 && o->partitions == 0)
        return usage_error("topic", "add-partitions wants --partitions TOTAL");
    return 0;
}

int topic_main(int argc, char **argv) {
    static const struct option options[] = {
        {"server", required_argument, NULL, OPTION_SERVER},
        {"timeout", required_argument, NULL, OPTION_TIMEOUT},
        {"partitions", required_argument, NULL, OPTION_PARTITIONS},
        {"replicas", required_argument, NULL, OPTION_REPLICAS},
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"json", no_argument, NULL, OPTION_JSON},
        {"if-not-exists", no_argument, NULL, OPTION_IF_NOT_EXISTS},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
    };
    struct topic_options o = {0};
    int option, status;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_HELP) return print_help(), 0;
        if ((status = take_option(&o, option, optarg)) != 0) return status;
    }
    if (optind == argc)
        return usage_error("topic", "what about a topic? create, list, describe, alter, delete ...");
    const char *verb = argv[optind++];
    if ((status = check_verb(&o, verb, argc - optind)) != 0) return status;
    sentinel_client *client = client_open("topic", &o.client);
    if (client == NULL) return 1;
    status = run(&o, client, verb, argv[optind]);
    sentinel_close(client);
    return status;
}
