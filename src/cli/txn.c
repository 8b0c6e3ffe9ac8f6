// SPDX-License-Identifier: Apache-2.0
/* `sentinel txn`: list transactions, describe one, abort one that hangs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/client_options.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "io/io.h"

struct txn_options {
    struct client_options client;
    int64_t open_for_s;
};

static void print_help(void) {
    printf("usage: sentinel txn list [--open-for SECONDS] [--json]\n"
           "       sentinel txn describe ID [--json]\n"
           "       sentinel txn abort ID\n\n"
           "ID is a producer's transactional id. A transaction that hangs keeps readers of committed records "
           "from\n"
           "what lies behind it, until it is ended or its time is up; 'abort' ends it and fences its "
           "producer.\n\n"
           "options:\n" CLIENT_OPTIONS_HELP
           "  --open-for SECONDS        list only transactions that are open for at least so long\n"
           "  --json                    one JSON object a transaction\n\n"
           "examples:\n"
           "  sentinel txn list --open-for 60\n"
           "  sentinel txn describe billing-worker-1\n"
           "  sentinel txn abort billing-worker-1\n");
}

/* Seconds since; -1: it is not open. */
static int64_t age_s(const sentinel_transaction *txn) {
    return txn->start_time_ms < 0 ? -1 : (io_system_wall_ms() - txn->start_time_ms) / 1000;
}

static void print_json(const sentinel_transaction *txn, bool places) {
    printf("{\"id\":");
    json_print_text(stdout, txn->id, strlen(txn->id));
    printf(",\"state\":\"%s\",\"producer\":%" PRId64 ",\"epoch\":%d,\"timeout_ms\":%d,\"started_ms\":%" PRId64
           ",\"updated_ms\":%" PRId64,
           txn->state, txn->producer_id, txn->epoch, txn->timeout_ms, txn->start_time_ms,
           txn->update_time_ms);
    if (places) {
        printf(",\"partitions\":[");
        for (size_t i = 0; i < txn->partition_count; i++) {
            printf("%s{\"topic\":", i == 0 ? "" : ",");
            json_print_text(stdout, txn->partitions[i].topic, strlen(txn->partitions[i].topic));
            printf(",\"partition\":%d}", txn->partitions[i].partition);
        }
        printf("],\"groups\":[");
        for (size_t i = 0; i < txn->group_count; i++) {
            if (i != 0) printf(",");
            json_print_text(stdout, txn->groups[i], strlen(txn->groups[i]));
        }
        printf("]");
    }
    printf("}\n");
}

static void list_one(void *context, const sentinel_transaction *txn) {
    struct txn_options *o = context;
    if (o->client.json) {
        print_json(txn, false);
        return;
    }
    printf("%-32s %-15s %12" PRId64 " %6d", txn->id, txn->state, txn->producer_id, txn->epoch);
    if (txn->start_time_ms < 0)
        printf(" %10s\n", "-");
    else
        printf(" %8" PRId64 " s\n", age_s(txn));
}

static void describe_one(void *context, const sentinel_transaction *txn) {
    const struct txn_options *o = context;
    if (o->client.json) {
        print_json(txn, true);
        return;
    }
    printf("id          %s\nstate       %s\nproducer    %" PRId64 "\nepoch       %d\ntimeout     %d ms\n",
           txn->id, txn->state, txn->producer_id, txn->epoch, txn->timeout_ms);
    if (txn->start_time_ms >= 0) printf("open for    %" PRId64 " s\n", age_s(txn));
    for (size_t i = 0; i < txn->partition_count; i++)
        printf("partition   %s %d\n", txn->partitions[i].topic, txn->partitions[i].partition);
    for (size_t i = 0; i < txn->group_count; i++)
        printf("group       %s\n", txn->groups[i]);
}

static int run(struct txn_options *o, sentinel_client *client, const char *verb, const char *id) {
    sentinel_error error = {0};
    int status;
    if (strcmp(verb, "list") == 0 && !o->client.json)
        printf("%-32s %-15s %12s %6s %10s\n", "ID", "STATE", "PRODUCER", "EPOCH", "OPEN FOR");
    if (strcmp(verb, "list") == 0)
        status = sentinel_transaction_list(client, o->open_for_s * 1000, list_one, o, &error);
    else if (strcmp(verb, "describe") == 0)
        status = sentinel_transaction_describe(client, id, describe_one, o, &error);
    else
        status = sentinel_transaction_abort(client, id, &error);
    return status == 0 ? 0 : client_failed("txn", &error);
}

enum { OPTION_OPEN_FOR = CLIENT_OPTION_END };

int txn_main(int argc, char **argv) {
    static const struct option options[] = {CLIENT_OPTIONS,
                                            JSON_OPTION,
                                            {"open-for", required_argument, NULL, OPTION_OPEN_FOR},
                                            {NULL, 0, NULL, 0}};
    struct txn_options o = {0};
    int option, status;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == CLIENT_OPTION_HELP) return print_help(), 0;
        status = option == OPTION_OPEN_FOR
                     ? parse_integer("txn", "--open-for", optarg, 0, 1 << 30, &o.open_for_s)
                     : take_client_option("txn", option, optarg, &o.client);
        if (status != 0) return status;
    }
    int words = argc - optind;
    const char *verb = words > 0 ? argv[optind] : "";
    bool named = strcmp(verb, "describe") == 0 || strcmp(verb, "abort") == 0;
    if (!named && strcmp(verb, "list") != 0) return usage_error("txn", "wants list, describe or abort");
    if (words != 1 + named)
        return usage_error("txn", named ? "%s wants one transactional id" : "%s wants nothing more", verb);
    sentinel_client *client = client_open("txn", &o.client);
    if (client == NULL) return 1;
    status = run(&o, client, verb, named ? argv[optind + 1] : NULL);
    sentinel_close(client);
    return status;
}
