// SPDX-License-Identifier: Apache-2.0
/* `sentinel produce`: one record a line (or another delimiter) from a file or standard input. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/slice.h"
#include "base/units.h"
#include "cli/client_options.h"
#include "cli/commands.h"
#include "cli/progress.h"

#define RECORD_SIZE_MAX (100 * MIB)

struct produce {
    struct client_options client;
    const char *topic, *file;
    char delimiter, key_separator;
    bool has_key_separator, quiet;
    int64_t partition, rate;
    int acks;
    uint64_t sent, acknowledged, failed, bytes;
    char first_failure[600];
    struct progress progress;
};

static void print_help(void) {
    printf("usage: sentinel produce TOPIC [OPTIONS]\n\n"
           "Sends one record a line of standard input, and waits until all are acknowledged. Exits 1, saying "
           "how\n"
           "many, when some were not.\n\n"
           "options:\n" CLIENT_OPTIONS_HELP
           "  --file FILE               read FILE instead of standard input\n"
           "  --key-separator C         what stands before C in a line is the record's key\n"
           "  --delimiter C             records end with this byte instead of a line feed (\\0, \\x1e, ...)\n"
           "  --partition P             all to this partition (default: by key; without one in turns)\n"
           "  --acks all|1|0            what to wait for (default all)\n"
           "  --rate N                  at most N records a second\n"
           "  --quiet                   no progress, no summary\n\n"
           "examples:\n"
           "  echo hello | sentinel produce greetings\n"
           "  sentinel produce users --file users.tsv --key-separator '\\t'\n");
}

static void acknowledged(void *context, void *tag, int32_t partition, int64_t offset,
                         const sentinel_error *error) {
    struct produce *p = context;
    (void)tag;
    (void)partition;
    (void)offset;
    if (error == NULL) {
        p->acknowledged++;
        return;
    }
    if (p->failed++ == 0) snprintf(p->first_failure, sizeof p->first_failure, "%s", error->message);
}

/* ---- the command line ------------------------------------------------------------------------------------
 */

enum {
    OPTION_FILE = CLIENT_OPTION_END,
    OPTION_KEY_SEPARATOR,
    OPTION_DELIMITER,
    OPTION_PARTITION,
    OPTION_ACKS,
    OPTION_RATE,
    OPTION_QUIET
};

static int parse_acks(struct produce *p, const char *text) {
    if (strcmp(text, "all") == 0 || strcmp(text, "-1") == 0) return p->acks = -1, 0;
    if (strcmp(text, "1") == 0) return p->acks = 1, 0;
    if (strcmp(text, "0") == 0) return p->acks = 0, 0;
    return usage_error("produce", "--acks wants all, 1 or 0, not '%s'", text);
}

static int take_option(struct produce *p, int option, const char *value) {
    switch (option) {
    case OPTION_FILE:
        p->file = value;
        return 0;
    case OPTION_KEY_SEPARATOR:
        p->has_key_separator = true;
        return parse_byte("produce", "--key-separator", value, &p->key_separator);
    case OPTION_DELIMITER:
        return parse_byte("produce", "--delimiter", value, &p->delimiter);
    case OPTION_PARTITION:
        return parse_integer("produce", "--partition", value, 0, 1000000, &p->partition);
    case OPTION_ACKS:
        return parse_acks(p, value);
    case OPTION_RATE:
        return parse_integer("produce", "--rate", value, 1, 1000000000, &p->rate);
    case OPTION_QUIET:
        p->quiet = true;
        return 0;
    default:
        return take_client_option("produce", option, value, &p->client);
    }
}

static int parse_arguments(struct produce *p, int argc, char **argv) {
    static const struct option options[] = {
        CLIENT_OPTIONS,
        {"file", required_argument, NULL, OPTION_FILE},
        {"key-separator", required_argument, NULL, OPTION_KEY_SEPARATOR},
        {"delimiter", required_argument, NULL, OPTION_DELIMITER},
        {"partition", required_argument, NULL, OPTION_PARTITION},
        {"acks", required_argument, NULL, OPTION_ACKS},
        {"rate", required_argument, NULL, OPTION_RATE},
        {"quiet", no_argument, NULL, OPTION_QUIET},
        {NULL, 0, NULL, 0},
    };
    int option, status;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == CLIENT_OPTION_HELP) return print_help(), 0;
        if ((status = take_option(p, option, optarg)) != 0) return status;
    }
    if (argc - optind != 1) return usage_error("produce", "wants one topic name");
    p->topic = argv[optind];
    return -1;
}

/* ---- records in, records out ------------------------------------------------------------------------------
 */

struct input {
    FILE *file;
    uint8_t *bytes;
    size_t size, capacity, pos;
    bool ended;
};

/* The next record without its delimiter; false at the end. A last one without a delimiter counts. */
static bool next_record(struct input *in, char delimiter, struct slice *record) {
    size_t scanned = in->pos;
    for (;;) {
        const uint8_t *end = in->size == scanned ? NULL
                                                 : memchr(in->bytes + scanned, delimiter, in->size - scanned);
        if (end != NULL || (in->ended && in->size != in->pos)) {
            size_t stop = end != NULL ? (size_t)(end - in->bytes) : in->size;
            *record = slice_make(in->bytes + in->pos, stop - in->pos);
            in->pos = MIN(stop + 1, in->size);
            return true;
        }
        if (in->ended) return false;
        size_t kept = in->size - in->pos;
        if (in->pos != 0) memmove(in->bytes, in->bytes + in->pos, kept);
        in->pos = 0;
        in->size = scanned = kept;
        if (in->capacity - kept < 64 * KIB && kept <= RECORD_SIZE_MAX) {
            in->capacity = MAX(in->capacity * 2, 256 * KIB);
            in->bytes = mem_realloc(in->bytes, in->capacity);
        }
        size_t part = fread(in->bytes + kept, 1, in->capacity - kept, in->file);
        in->size += part;
        in->ended = part == 0;
    }
}

static sentinel_record make_record(const struct produce *p, struct slice line) {
    sentinel_record record = {
        .value = line.data, .value_size = line.size, .partition = (int32_t)p->partition};
    const uint8_t *separator = p->has_key_separator && line.size != 0
                                   ? memchr(line.data, p->key_separator, line.size)
                                   : NULL;
    if (separator == NULL) return record;
    record.key = line.data;
    record.key_size = (size_t)(separator - line.data);
    record.value = separator + 1;
    record.value_size = line.size - record.key_size - 1;
    return record;
}

/* With --rate: records go when their time has come; acknowledgements arrive meanwhile. */
static int hold_back(struct produce *p, sentinel_producer *producer, sentinel_error *error) {
    while (p->rate != 0 && progress_elapsed_ms(&p->progress) * p->rate < (int64_t)p->sent * 1000) {
        if (sentinel_producer_poll(producer, 1, error) != 0) return -1;
    }
    return 0;
}

static int send_all(struct produce *p, sentinel_producer *producer, struct input *in, sentinel_error *error) {
    struct slice line;
    while (next_record(in, p->delimiter, &line)) {
        sentinel_record record = make_record(p, line);
        if (hold_back(p, producer, error) != 0 || sentinel_produce(producer, &record, error) != 0) return -1;
        p->sent++;
        p->bytes += line.size;
        progress_show(&p->progress, p->acknowledged, p->bytes);
    }
    return sentinel_producer_flush(producer, error);
}

static int report(struct produce *p, int result, const sentinel_error *error) {
    progress_end(&p->progress);
    if (result == 0 && p->failed == 0) {
        if (!p->quiet) progress_summary(&p->progress, "produced", p->sent, p->bytes);
        return 0;
    }
    const char *why = p->first_failure[0] != '\0' ? p->first_failure : error->message;
    if (p->sent == 0) return command_failed("produce", "%s", why); /* it did not come to that */
    return command_failed("produce", "%llu of %llu records read were not acknowledged: %s",
                          (unsigned long long)(p->sent - p->acknowledged), (unsigned long long)p->sent, why);
}

static int run(struct produce *p, sentinel_client *client, struct input *in) {
    sentinel_producer_options options = sentinel_producer_options_default();
    options.acks = p->acks;
    options.acknowledged = acknowledged;
    options.context = p;
    sentinel_error error = {0};
    sentinel_producer *producer = sentinel_producer_open(client, p->topic, &options, &error);
    if (producer == NULL) return client_failed("produce", &error);
    progress_begin(&p->progress, !p->quiet);
    int result = send_all(p, producer, in, &error);
    sentinel_producer_close(producer, NULL);
    return report(p, result, &error);
}

int produce_main(int argc, char **argv) {
    struct produce p = {.delimiter = '\n', .partition = -1, .acks = -1};
    int status = parse_arguments(&p, argc, argv);
    if (status >= 0) return status;
    struct input in = {.file = stdin};
    if (p.file != NULL && (in.file = fopen(p.file, "rb")) == NULL)
        return command_failed("produce", "cannot read '%s': %s", p.file, strerror(errno));
    sentinel_client *client = client_open("produce", &p.client);
    if (client == NULL) return 1;
    status = run(&p, client, &in);
    sentinel_close(client);
    if (in.file != stdin) fclose(in.file);
    mem_free(in.bytes);
    return status;
}
