// SPDX-License-Identifier: Apache-2.0
/* `sentinel group`: list, describe (once or again and again), reset-offsets, delete. */
#include <stdio.h>
#include <string.h>

#include "cli/client_options.h"
#include "cli/commands.h"
#include "cli/json.h"

#define TOPICS_MAX 64

struct group_options {
    struct client_options client;
    bool dry_run, has_target;
    const char *topics[TOPICS_MAX];
    sentinel_group_reset_options reset;
};

static void print_help(void) {
    printf(
        "usage: sentinel group list [--json]\n"
        "       sentinel group describe NAME [--json] [--watch [--interval SECONDS] [--count N]]\n"
        "       sentinel group reset-offsets NAME --to beginning|end|OFFSET|@MILLISECONDS [--topic T]...\n"
        "                                    [--dry-run]\n"
        "       sentinel group delete NAME\n\n"
        "options:\n" CLIENT_OPTIONS_HELP "  --json                    one JSON object a group\n"
        "  --watch                   describe again whenever it has changed, looked at every --interval "
        "seconds\n"
        "                            (default 1), until --count were shown\n"
        "  --to PLACE                the first record kept, the end, an offset, or the first record at or\n"
        "                            after a time in milliseconds since 1970 (@1700000000000)\n"
        "  --topic T                 only this topic (may be given several times; also topics that the "
        "group\n"
        "                            has no offsets of yet); default: all that it has offsets of\n"
        "  --dry-run                 show what would be done\n\n"
        "examples:\n"
        "  sentinel group describe billing --watch\n"
        "  sentinel group reset-offsets billing --to beginning --topic orders --dry-run\n");
}

/* ---- list ---------------------------------------------------------------------------------------------- */

static void json_text(const char *name, const char *value) {
    printf("\"%s\":", name);
    json_print_text(stdout, value, strlen(value));
}

static void list_one(void *context, const sentinel_group *group) {
    const struct group_options *o = context;
    if (!o->client.json) {
        printf("%-32s %-9s %-20s %d\n", group->name, group->kind, group->state, group->member_count);
        return;
    }
    printf("{");
    json_text("group", group->name);
    printf(",\"kind\":\"%s\",\"state\":\"%s\",\"members\":%d}\n", group->kind, group->state,
           group->member_count);
}

static int list(struct group_options *o, sentinel_client *client) {
    sentinel_error error = {0};
    if (!o->client.json) printf("%-32s %-9s %-20s %s\n", "GROUP", "KIND", "STATE", "MEMBERS");
    if (sentinel_group_list(client, list_one, o, &error) != 0) return client_failed("group", &error);
    return 0;
}

/* ---- describe ------------------------------------------------------------------------------------------ */

static void print_number(int64_t number, int width) {
    if (number < 0)
        printf(" %*s", width, "-");
    else
        printf(" %*lld", width, (long long)number);
}

static const sentinel_group_member *find_member(const sentinel_group *group, const char *id) {
    for (size_t i = 0; i < group->members_listed; i++)
        if (strcmp(group->members[i].member_id, id) == 0) return &group->members[i];
    return NULL;
}

static void print_owner(const sentinel_group *group, const char *member_id) {
    const sentinel_group_member *member = find_member(group, member_id);
    if (member == NULL)
        printf("  -\n");
    else if (member->instance_id[0] != '\0')
        printf("  %s (%s) %s\n", member->instance_id, member->client_id, member->client_host);
    else
        printf("  %s %s\n", member->member_id, member->client_host);
}

static void describe_text(const sentinel_group *group) {
    printf("group       %s\nkind        %s\nstate       %s\ngeneration  %d\n", group->name, group->kind,
           group->state, group->generation);
    if (group->assignor[0] != '\0') printf("assignor    %s\n", group->assignor);
    printf("members     %d\ntotal lag   %lld\n\n", group->member_count, (long long)group->total_lag);
    printf("%-24s %9s %12s %12s %12s  %s\n", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER");
    for (size_t i = 0; i < group->partitions_listed; i++) {
        const sentinel_group_partition *p = &group->partitions[i];
        printf("%-24s %9d", p->topic, p->partition);
        print_number(p->committed, 12);
        print_number(p->high_watermark, 12);
        print_number(p->lag, 12);
        print_owner(group, p->member_id);
    }
    for (size_t i = 0; i < group->members_listed; i++)
        if (group->members[i].partition_count == 0)
            printf("%-24s %9s %12s %12s %12s  %s %s\n", "-", "-", "-", "-", "-", group->members[i].member_id,
                   group->members[i].client_host);
}

static void describe_json(const sentinel_group *group) {
    printf("{");
    json_text("group", group->name);
    printf(",\"kind\":\"%s\",\"state\":\"%s\",\"generation\":%d,\"lag\":%lld,\"members\":[", group->kind,
           group->state, group->generation, (long long)group->total_lag);
    for (size_t i = 0; i < group->members_listed; i++) {
        const sentinel_group_member *member = &group->members[i];
        printf("%s{", i == 0 ? "" : ",");
        json_text("member", member->member_id);
        printf(",");
        json_text("instance", member->instance_id);
        printf(",");
        json_text("client", member->client_id);
        printf(",");
        json_text("host", member->client_host);
        printf(",\"partitions\":%zu}", member->partition_count);
    }
    printf("],\"partitions\":[");
    for (size_t i = 0; i < group->partitions_listed; i++) {
        const sentinel_group_partition *p = &group->partitions[i];
        printf("%s{", i == 0 ? "" : ",");
        json_text("topic", p->topic);
        printf(",\"partition\":%d,\"committed\":%lld,\"end\":%lld,\"lag\":%lld,", p->partition,
               (long long)p->committed, (long long)p->high_watermark, (long long)p->lag);
        json_text("member", p->member_id);
        printf("}");
    }
    printf("]}\n");
}

static void describe_one(void *context, const sentinel_group *group) {
    const struct group_options *o = context;
    if (o->client.json)
        describe_json(group);
    else
        describe_text(group);
}

static bool describe_next(void *context, const sentinel_group *group) {
    struct group_options *o = context;
    watch_begin(&o->client);
    describe_one(o, group);
    return watch_end(&o->client);
}

static int describe(struct group_options *o, sentinel_client *client, const char *name) {
    sentinel_error error = {0};
    int status = o->client.watch ? sentinel_group_watch(client, name, watch_interval_ms(&o->client),
                                                        describe_next, o, &error)
                                 : sentinel_group_describe(client, name, describe_one, o, &error);
    return status == 0 ? 0 : client_failed("group", &error);
}

/* ---- reset-offsets and delete ---------------------------------------------------------------------------
 */

struct reset_shown {
    int rows, failures;
};

static void reset_one(void *context, const sentinel_group_reset *reset) {
    struct reset_shown *shown = context;
    if (shown->rows++ == 0) printf("%-24s %9s %12s %12s\n", "TOPIC", "PARTITION", "FROM", "TO");
    printf("%-24s %9d", reset->topic, reset->partition);
    print_number(reset->old_offset, 12);
    print_number(reset->new_offset, 12);
    printf("%s%s\n", reset->error == NULL ? "" : "  ", reset->error == NULL ? "" : reset->error);
    shown->failures += reset->error != NULL;
}

static int reset(struct group_options *o, sentinel_client *client, const char *name) {
    if (!o->has_target) return usage_error("group", "reset-offsets wants --to");
    sentinel_error error = {0};
    struct reset_shown shown = {0};
    o->reset.topics = o->topics;
    o->reset.dry_run = o->dry_run;
    if (sentinel_group_reset_offsets(client, name, &o->reset, reset_one, &shown, &error) != 0)
        return client_failed("group", &error);
    return shown.failures != 0;
}

static int delete (sentinel_client *client, const char *name) {
    sentinel_error error = {0};
    return sentinel_group_delete(client, name, &error) == 0 ? 0 : client_failed("group", &error);
}

/* ---- the command line ---------------------------------------------------------------------------------- */

enum { OPTION_TO = CLIENT_OPTION_END, OPTION_TOPIC, OPTION_DRY_RUN };

static int parse_target(struct group_options *o, const char *text) {
    o->has_target = true;
    if (strcmp(text, "beginning") == 0) return o->reset.position = SENTINEL_EARLIEST, 0;
    if (strcmp(text, "end") == 0) return o->reset.position = SENTINEL_LATEST, 0;
    o->reset.to_timestamp = text[0] == '@';
    return parse_integer("group", "--to", text + o->reset.to_timestamp, 0, INT64_MAX, &o->reset.position);
}

static int take_option(struct group_options *o, int option, const char *value) {
    switch (option) {
    case OPTION_TO:
        return parse_target(o, value);
    case OPTION_TOPIC:
        if (o->reset.topic_count == TOPICS_MAX) return usage_error("group", "at most %d --topic", TOPICS_MAX);
        o->topics[o->reset.topic_count++] = value;
        return 0;
    case OPTION_DRY_RUN:
        o->dry_run = true;
        return 0;
    default:
        return take_client_option("group", option, value, &o->client);
    }
}

static int run(struct group_options *o, sentinel_client *client, const char *verb, const char *name) {
    if (strcmp(verb, "list") == 0) return list(o, client);
    if (strcmp(verb, "describe") == 0) return describe(o, client, name);
    if (strcmp(verb, "reset-offsets") == 0) return reset(o, client, name);
    return delete (client, name);
}

int group_main(int argc, char **argv) {
    static const struct option options[] = {CLIENT_OPTIONS,
                                            JSON_OPTION,
                                            WATCH_OPTIONS,
                                            {"to", required_argument, NULL, OPTION_TO},
                                            {"topic", required_argument, NULL, OPTION_TOPIC},
                                            {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
                                            {NULL, 0, NULL, 0}};
    struct group_options o = {0};
    int option, status;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == CLIENT_OPTION_HELP) return print_help(), 0;
        if ((status = take_option(&o, option, optarg)) != 0) return status;
    }
    int words = argc - optind;
    const char *verb = words > 0 ? argv[optind] : "";
    bool named = strcmp(verb, "describe") == 0 || strcmp(verb, "reset-offsets") == 0 ||
                 strcmp(verb, "delete") == 0;
    if (!named && strcmp(verb, "list") != 0)
        return usage_error("group", "wants list, describe, reset-offsets or delete");
    if (words != 1 + named)
        return usage_error("group", named ? "%s wants the name of one group" : "%s wants nothing more", verb);
    sentinel_client *client = client_open("group", &o.client);
    if (client == NULL) return 1;
    status = run(&o, client, verb, named ? argv[optind + 1] : NULL);
    sentinel_close(client);
    return status;
}
