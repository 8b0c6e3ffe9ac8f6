// SPDX-License-Identifier: Apache-2.0
/* `sentinel consume`: prints records as they come, in a format of one's own or as JSON lines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/client_options.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/progress.h"

#define COMMIT_EVERY_MS     1000
#define GROUP_LOOK_MS       500
#define COMMIT_LOOK_RECORDS 256 /* the clock is read so seldom */

struct consume {
    struct client_options client;
    const char *topic, *format, *group;
    int64_t committed_ms; /* with a group: when last, since the start */
    int64_t looked_ms;    /* likewise: at what the group has committed */
    sentinel_client *connection;
    int64_t partition, from, count;
    bool until_end, any_replica, quiet, read_committed, from_time;
    int32_t partition_count;
    int64_t *ends; /* with --until-end */
    struct progress progress;
    uint64_t records, bytes;
};

static void print_help(void) {
    printf(
        "usage: sentinel consume TOPIC [OPTIONS]\n\n"
        "Prints the records of a topic, from now on or from where --from says.\n\n"
        "options:\n" CLIENT_OPTIONS_HELP "  --partition P             only this partition\n"
        "  --from beginning|end|N|@T where to start (default end); N: an offset; T: a time in milliseconds\n"
        "                            since 1970\n"
        "  --group G                 as a member of this group: partitions are shared with its other "
        "members,\n"
        "                            reading starts where the group has committed (else at --from), and "
        "what\n"
        "                            was printed is committed every second and at the end\n"
        "  --count N                 stop after N records\n"
        "  --until-end               stop at what was the end when the command started; in a group, what "
        "comes\n"
        "                            meanwhile may be printed too, and a member without partitions stops "
        "when "
        "the\n"
        "                            others have committed as far\n"
        "  --any-replica             from the server's own copies too, where another node leads: committed, "
        "and\n"
        "                            at most some seconds old\n"
        "  --isolation committed     only what is committed of transactions: nothing that is open or "
        "aborted\n"
        "                            (default: uncommitted)\n"
        "  --format TEXT             %%p partition, %%o offset, %%k key, %%v value, %%t timestamp, %%h "
        "headers,\n"
        "                            %%%% and \\n \\t \\0 \\xHH (default '%%v\\n')\n"
        "  --json                    one JSON object a line\n"
        "  --quiet                   no summary\n\n"
        "examples:\n"
        "  sentinel consume greetings --from beginning --until-end\n"
        "  sentinel consume orders --partition 3 --from 1000 --count 10 --format '%%o %%k %%v\\n'\n"
        "  sentinel consume orders --from @$(date -d '1 hour ago' +%%s000) --until-end\n");
}

/* ---- the command line ------------------------------------------------------------------------------------
 */

enum {
    OPTION_PARTITION = CLIENT_OPTION_END,
    OPTION_FROM,
    OPTION_GROUP,
    OPTION_COUNT,
    OPTION_UNTIL_END,
    OPTION_ANY_REPLICA,
    OPTION_ISOLATION,
    OPTION_FORMAT,
    OPTION_QUIET
};

static int parse_from(struct consume *c, const char *text) {
    if (strcmp(text, "beginning") == 0) return c->from = SENTINEL_EARLIEST, 0;
    if (strcmp(text, "end") == 0) return c->from = SENTINEL_LATEST, 0;
    char *end;
    errno = 0;
    c->from_time = text[0] == '@';
    const char *number = text + c->from_time;
    c->from = strtoll(number, &end, 10);
    if (end == number || *end != '\0' || errno != 0 || c->from < 0)
        return usage_error("consume", "--from wants beginning, end, an offset, or @ and a time, not '%s'",
                           text);
    return 0;
}

static int take_option(struct consume *c, int option, const char *value) {
    switch (option) {
    case OPTION_PARTITION:
        return parse_integer("consume", "--partition", value, 0, 1000000, &c->partition);
    case OPTION_FROM:
        return parse_from(c, value);
    case OPTION_GROUP:
        c->group = value;
        return 0;
    case OPTION_COUNT:
        return parse_integer("consume", "--count", value, 1, INT64_MAX, &c->count);
    case OPTION_UNTIL_END:
        c->until_end = true;
        return 0;
    case OPTION_ANY_REPLICA:
        c->any_replica = true;
        return 0;
    case OPTION_FORMAT:
        c->format = value;
        return 0;
    case OPTION_ISOLATION:
        c->read_committed = strcmp(value, "committed") == 0;
        if (!c->read_committed && strcmp(value, "uncommitted") != 0)
            return usage_error("consume", "--isolation wants committed or uncommitted, not '%s'", value);
        return 0;
    case OPTION_QUIET:
        c->quiet = true;
        return 0;
    default:
        return take_client_option("consume", option, value, &c->client);
    }
}

static int parse_arguments(struct consume *c, int argc, char **argv) {
    static const struct option options[] = {
        CLIENT_OPTIONS,
        JSON_OPTION,
        {"partition", required_argument, NULL, OPTION_PARTITION},
        {"from", required_argument, NULL, OPTION_FROM},
        {"group", required_argument, NULL, OPTION_GROUP},
        {"count", required_argument, NULL, OPTION_COUNT},
        {"until-end", no_argument, NULL, OPTION_UNTIL_END},
        {"any-replica", no_argument, NULL, OPTION_ANY_REPLICA},
        {"isolation", required_argument, NULL, OPTION_ISOLATION},
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"quiet", no_argument, NULL, OPTION_QUIET},
        {NULL, 0, NULL, 0},
    };
    int option, status;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == CLIENT_OPTION_HELP) return print_help(), 0;
        if ((status = take_option(c, option, optarg)) != 0) return status;
    }
    if (argc - optind != 1) return usage_error("consume", "wants one topic name");
    c->topic = argv[optind];
    if (c->group == NULL) return -1;
    if (c->group[0] == '\0') return usage_error("consume", "--group wants a name");
    if (c->partition >= 0)
        return usage_error("consume", "--partition cannot be chosen in a group: it is assigned");
    if (c->from >= 0 && !c->from_time)
        return usage_error("consume", "--from wants beginning, end or a time in a group");
    return -1;
}

/* ---- printing ---------------------------------------------------------------------------------------------
 */

static void write_bytes(const void *bytes, size_t size) {
    if (size != 0) fwrite(bytes, 1, size, stdout);
}

static void print_field(char field, const sentinel_record *r) {
    switch (field) {
    case 'p':
        printf("%d", r->partition);
        break;
    case 'o':
        printf("%lld", (long long)r->offset);
        break;
    case 't':
        printf("%lld", (long long)r->timestamp_ms);
        break;
    case 'k':
        write_bytes(r->key, r->key_size);
        break;
    case 'v':
        write_bytes(r->value, r->value_size);
        break;
    case 'h':
        for (size_t i = 0; i < r->header_count; i++) {
            printf("%s%s=", i == 0 ? "" : ",", r->headers[i].name);
            write_bytes(r->headers[i].value, r->headers[i].value_size);
        }
        break;
    default:
        putchar('%');
        if (field != '%') putchar(field);
        break;
    }
}

/* Prints the escape that begins at `p` (behind the backslash) and returns what follows it. */
static const char *print_escape(const char *p) {
    static const char names[] = "ntr0\\", values[] = "\n\t\r\0\\";
    const char *found = strchr(names, *p);
    if (*p != '\0' && found != NULL) {
        putchar(values[found - names]);
        return p + 1;
    }
    if (*p == 'x' && p[1] != '\0' && p[2] != '\0') {
        char hex[3] = {p[1], p[2], '\0'};
        putchar((int)strtol(hex, NULL, 16));
        return p + 3;
    }
    putchar('\\');
    return p;
}

static void print_formatted(const char *format, const sentinel_record *r) {
    for (const char *p = format; *p != '\0';) {
        if (*p == '%' && p[1] != '\0') {
            print_field(p[1], r);
            p += 2;
        } else if (*p == '\\') {
            p = print_escape(p + 1);
        } else {
            putchar(*p++);
        }
    }
}

static void print_json_bytes(const void *bytes, size_t size) {
    if (bytes == NULL)
        printf("null");
    else
        json_print_text(stdout, bytes, size);
}

static void print_json(const struct consume *c, const sentinel_record *r) {
    printf("{\"topic\":");
    json_print_text(stdout, c->topic, strlen(c->topic));
    printf(",\"partition\":%d,\"offset\":%lld,\"timestamp\":%lld,\"key\":", r->partition,
           (long long)r->offset, (long long)r->timestamp_ms);
    print_json_bytes(r->key, r->key_size);
    printf(",\"value\":");
    print_json_bytes(r->value, r->value_size);
    if (r->header_count != 0) printf(",\"headers\":[");
    for (size_t i = 0; i < r->header_count; i++) {
        printf("%s{\"name\":", i == 0 ? "" : ",");
        json_print_text(stdout, r->headers[i].name, strlen(r->headers[i].name));
        printf(",\"value\":");
        print_json_bytes(r->headers[i].value, r->headers[i].value_size);
        printf("}");
    }
    printf("%s}\n", r->header_count != 0 ? "]" : "");
}

/* ---- consuming --------------------------------------------------------------------------------------------
 */

static void count_partitions(void *context, const sentinel_topic *topic) {
    ((struct consume *)context)->partition_count = topic->partition_count;
}

static int find_ends(struct consume *c, sentinel_client *client, sentinel_error *error) {
    if (sentinel_topic_describe(client, c->topic, count_partitions, c, error) != 0) return -1;
    c->ends = mem_calloc((size_t)c->partition_count, sizeof *c->ends);
    int64_t end = c->read_committed ? SENTINEL_LAST_STABLE : SENTINEL_LATEST;
    return sentinel_list_offsets(client, c->topic, end, c->ends, c->partition_count, error);
}

struct group_look {
    const struct consume *c;
    int32_t done; /* partitions that the group has committed up to their end */
};

static void look_at_group(void *context, const sentinel_group *group) {
    struct group_look *look = context;
    for (size_t i = 0; i < group->partitions_listed; i++) {
        const sentinel_group_partition *p = &group->partitions[i];
        if (strcmp(p->topic, look->c->topic) != 0 || p->partition >= look->c->partition_count) continue;
        int64_t end = look->c->ends[p->partition];
        look->done += end > 0 && (p->committed >= end || p->log_start_offset >= end);
    }
}

/* A member without partitions is at the end when the others are. */
static bool group_at_end(struct consume *c) {
    int64_t now_ms = progress_elapsed_ms(&c->progress);
    if (now_ms - c->looked_ms < GROUP_LOOK_MS) return false;
    c->looked_ms = now_ms;
    struct group_look look = {.c = c};
    for (int32_t i = 0; i < c->partition_count; i++)
        look.done += c->ends[i] == 0; /* nobody commits what was never there */
    sentinel_error error;
    return sentinel_group_describe(c->connection, c->group, look_at_group, &look, &error) == 0 &&
           look.done >= c->partition_count;
}

static bool at_end(struct consume *c, const sentinel_consumer *consumer) {
    bool reads = c->group == NULL;
    for (int32_t i = 0; i < c->partition_count; i++) {
        if (c->partition >= 0 && i != c->partition) continue;
        if (c->group != NULL && !sentinel_consumer_reads(consumer, i)) continue;
        reads = true;
        if (sentinel_consumer_position(consumer, i) < c->ends[i]) return false;
    }
    return reads || group_at_end(c);
}

/* What is printed is committed: a record may be seen twice after a crash, and none is missed. */
enum commit_when { COMMIT_SELDOM, COMMIT_WHEN_DUE, COMMIT_NOW };
static int commit(struct consume *c, sentinel_consumer *consumer, enum commit_when when,
                  sentinel_error *error) {
    bool now = when == COMMIT_NOW;
    if (c->group == NULL || (when == COMMIT_SELDOM && c->records % COMMIT_LOOK_RECORDS != 0)) return 0;
    int64_t time_ms = progress_elapsed_ms(&c->progress);
    if (!now && time_ms - c->committed_ms < COMMIT_EVERY_MS) return 0;
    c->committed_ms = time_ms;
    if (fflush(stdout) != 0) return command_failed("consume", "cannot write: %s", strerror(errno));
    int result = sentinel_consumer_commit(consumer, error);
    /* A lost connection: the stream starts again at what is committed. */
    return result == 0 || (error->code == SENTINEL_UNAVAILABLE && !now) ? 0 : result;
}

/* In a group all is printed that comes: what this member has read no other one will see. */
static bool is_behind_end(const struct consume *c, const sentinel_record *record) {
    return c->until_end && c->group == NULL &&
           (record->partition >= c->partition_count || record->offset >= c->ends[record->partition]);
}

static int consume_all(struct consume *c, sentinel_consumer *consumer, sentinel_error *error) {
    bool idle = false;
    while (c->count == 0 || c->records < (uint64_t)c->count) {
        if (c->until_end && at_end(c, consumer)) return 0;
        int status = commit(c, consumer, idle ? COMMIT_WHEN_DUE : COMMIT_SELDOM, error);
        if (status != 0) return status;
        sentinel_record record;
        int got = sentinel_consume(consumer, &record, 100, error);
        if (got < 0) return -1;
        idle = got == 0;
        if (idle) {
            fflush(stdout);
            continue;
        }
        if (is_behind_end(c, &record)) continue;
        if (c->client.json)
            print_json(c, &record);
        else
            print_formatted(c->format, &record);
        c->records++;
        c->bytes += record.key_size + record.value_size;
        if (ferror(stdout)) return command_failed("consume", "cannot write: %s", strerror(errno));
    }
    return 0;
}

static int run(struct consume *c, sentinel_client *client) {
    sentinel_error error = {0};
    c->connection = client;
    if (c->until_end && find_ends(c, client, &error) != 0) return client_failed("consume", &error);
    if (c->until_end && c->partition >= c->partition_count)
        return command_failed("consume", "topic '%s' has %d partitions, there is no %lld", c->topic,
                              c->partition_count, (long long)c->partition);
    if (c->any_replica) sentinel_read_any_replica(client);
    const sentinel_consumer_options options = {.partition = (int32_t)c->partition,
                                               .from = c->from,
                                               .from_time = c->from_time,
                                               .group = c->group,
                                               .read_committed = c->read_committed};
    sentinel_consumer *consumer = sentinel_consumer_open_with(client, c->topic, &options, &error);
    if (consumer == NULL) return client_failed("consume", &error);
    progress_begin(&c->progress, false);
    int result = consume_all(c, consumer, &error);
    if (result == 0) result = commit(c, consumer, COMMIT_NOW, &error);
    fflush(stdout);
    sentinel_consumer_close(consumer);
    if (result < 0) return client_failed("consume", &error);
    if (result == 0 && !c->quiet) progress_summary(&c->progress, "consumed", c->records, c->bytes);
    return result;
}

int consume_main(int argc, char **argv) {
    struct consume c = {.format = "%v\\n", .partition = -1, .from = SENTINEL_LATEST};
    int status = parse_arguments(&c, argc, argv);
    if (status >= 0) return status;
    static char output[1 << 16];
    setvbuf(stdout, output, _IOFBF, sizeof output);
    sentinel_client *client = client_open("consume", &c.client);
    if (client == NULL) return 1;
    status = run(&c, client);
    sentinel_close(client);
    mem_free(c.ends);
    return status;
}
