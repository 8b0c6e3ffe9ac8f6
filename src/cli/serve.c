// SPDX-License-Identifier: Apache-2.0
/* `sentinel serve`: the broker process. Start: settings, io, broker, listeners, the ready line. Stop, on
 * SIGTERM or SIGINT: drain connections, finish appends, flush, exit 0; a second signal exits at once. */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/log_sink.h"
#include "cli/settings.h"
#include "server/server.h"

#define LISTEN_MAX       16
#define RACK_SIZE_MAX    63
#define PEERS_LISTED_MAX 64
#define LISTEN_DEFAULT   "127.0.0.1:9092"
#define SIGNAL_INTERRUPT 2
#define SIGNAL_TERMINATE 15

struct serve {
    const char *data_dir;
    const char *listen[LISTEN_MAX];
    unsigned listen_count;
    int32_t node_id;
    struct broker_peer peers_list[PEERS_LISTED_MAX];
    char peer_addresses[PEERS_LISTED_MAX][72];
    uint32_t peer_count;
    const char *peers; /* as given */
    const char *rack;
    char advertised[300];
    enum io_backend_kind backend;
    enum log_level log_level;
    struct settings settings;
    struct log log;
    struct io *io;
    struct broker *broker;
    struct server *server;
    char advertised_host[256];
    int32_t advertised_port;
    int signals;
    bool stopped;
};

static void print_help(void) {
    printf("usage: sentinel serve [OPTIONS]\n\n"
           "Runs a broker. It is ready when it prints 'ready: node N listening on HOST:PORT'.\n\n"
           "options:\n"
           "  --data-dir DIR        where everything is kept (default ./sentinel-data)\n"
           "  --listen HOST:PORT    address for every protocol (default " LISTEN_DEFAULT
           "); may be repeated;\n"
           "                        kafka,grpc,http,peer@HOST:PORT narrows one to those named; port 0 picks "
           "one\n"
           "  --advertise HOST:PORT what clients are told to connect to (default: the address they came to)\n"
           "  --node-id N           this node's number (default 1)\n"
           "  --peers LIST          1=HOST:PORT,2=HOST:PORT,...: all members of a cluster, this node among "
           "them;\n"
           "                        it is formed when all are there for the first time\n"
           "  --rack NAME           what fails together with this node; replicas are spread over racks\n"
           "  --config FILE         settings, one 'name = value' a line\n"
           "  --set NAME=VALUE      one setting; may be repeated, and wins over the file\n"
           "  --help-settings       list the settings\n"
           "  --io KIND             uring, posix or auto (default auto: uring where the system allows it)\n"
           "  --log-level LEVEL     debug, info, warn or error (default info)\n\n"
           "examples:\n"
           "  sentinel serve\n"
           "  sentinel serve --data-dir /var/lib/sentinel --listen 0.0.0.0:9092 --set retention.ms=86400000\n"
           "  sentinel serve --listen kafka@0.0.0.0:9092 --listen grpc,http@127.0.0.1:9093\n"
           "  sentinel serve --node-id 1 --peers 1=10.0.0.1:9092,2=10.0.0.2:9092,3=10.0.0.3:9092 \\\n"
           "                 --listen 10.0.0.1:9092\n");
}

/* ---- the command line ---------------------------------------------------------------------------------- */

static int parse_set(struct serve *s, const char *text) {
    struct diagnostic why;
    const char *equals = strchr(text, '=');
    if (equals == NULL) return usage_error("serve", "--set wants NAME=VALUE, not '%s'", text);
    char name[256];
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    enum status status = settings_set(&s->settings, name, equals + 1, &why);
    return status == STATUS_OK ? 0 : usage_error("serve", "%s", why.text);
}

static int parse_number(const char *option, const char *text, int32_t *number) {
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < 1 || value > INT32_MAX)
        return usage_error("serve", "%s wants a number from 1 on, not '%s'", option, text);
    *number = (int32_t)value;
    return 0;
}

static int parse_io(struct serve *s, const char *text) {
    static const char *const names[] = {
        [IO_BACKEND_AUTO] = "auto", [IO_BACKEND_URING] = "uring", [IO_BACKEND_POSIX] = "posix"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        s->backend = (enum io_backend_kind)i;
        return 0;
    }
    return usage_error("serve", "--io wants uring, posix or auto, not '%s'", text);
}

static int parse_advertise(struct serve *s, const char *text) {
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof s->advertised_host)
        return usage_error("serve", "--advertise wants HOST:PORT, not '%s'", text);
    memcpy(s->advertised_host, text, (size_t)(colon - text));
    s->advertised_host[colon - text] = '\0';
    return parse_number("--advertise HOST:PORT", colon + 1, &s->advertised_port);
}

/* "1=HOST:PORT,2=HOST:PORT": every member, this node among them. */
static int parse_peers(struct serve *s) {
    const struct broker_peer *own = NULL;
    for (const char *at = s->peers; at != NULL && *at != '\0';) {
        char *end;
        long node = strtol(at, &end, 10);
        size_t size = *end == '=' ? strcspn(end + 1, ",") : 0;
        if (end == at || node < 1 || node > INT32_MAX || size < 3 || size >= sizeof s->peer_addresses[0] ||
            memchr(end + 1, ':', size) == NULL)
            return usage_error("serve", "--peers wants 1=HOST:PORT,2=HOST:PORT,..., not '%s'", s->peers);
        if (s->peer_count == PEERS_LISTED_MAX)
            return usage_error("serve", "--peers: at most %d nodes", PEERS_LISTED_MAX);
        for (uint32_t i = 0; i < s->peer_count; i++)
            if (s->peers_list[i].node == (uint32_t)node)
                return usage_error("serve", "--peers names node %ld twice", node);
        char *address = s->peer_addresses[s->peer_count];
        memcpy(address, end + 1, size);
        address[size] = '\0';
        struct broker_peer *peer = &s->peers_list[s->peer_count++];
        *peer = (struct broker_peer){(uint32_t)node, address};
        if (node == s->node_id) own = peer;
        at = end + 1 + size;
        at += *at == ',';
    }
    if (s->peer_count == 0) return 0;
    if (own == NULL)
        return usage_error("serve", "--peers must name this node, --node-id %d, too", s->node_id);
    if (s->advertised_host[0] != '\0')
        snprintf(s->advertised, sizeof s->advertised, "%s:%d", s->advertised_host, s->advertised_port);
    else
        snprintf(s->advertised, sizeof s->advertised, "%s", own->address);
    if (s->listen_count == 0) s->listen[s->listen_count++] = own->address;
    return 0;
}

enum {
    OPTION_HELP = 256,
    OPTION_HELP_SETTINGS,
    OPTION_DATA_DIR,
    OPTION_LISTEN,
    OPTION_ADVERTISE,
    OPTION_NODE_ID,
    OPTION_PEERS,
    OPTION_RACK,
    OPTION_CONFIG,
    OPTION_SET,
    OPTION_IO,
    OPTION_LOG_LEVEL
};

static const struct option options[] = {
    {"help", no_argument, NULL, OPTION_HELP},
    {"help-settings", no_argument, NULL, OPTION_HELP_SETTINGS},
    {"data-dir", required_argument, NULL, OPTION_DATA_DIR},
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"advertise", required_argument, NULL, OPTION_ADVERTISE},
    {"node-id", required_argument, NULL, OPTION_NODE_ID},
    {"peers", required_argument, NULL, OPTION_PEERS},
    {"rack", required_argument, NULL, OPTION_RACK},
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"set", required_argument, NULL, OPTION_SET},
    {"io", required_argument, NULL, OPTION_IO},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {NULL, 0, NULL, 0},
};

static int read_config(struct serve *s, const char *path) {
    struct diagnostic why;
    if (settings_read_file(&s->settings, path, &why) == STATUS_OK) return 0;
    return usage_error("serve", "%s", why.text);
}

static int take_option(struct serve *s, int option, const char *value) {
    switch (option) {
    case OPTION_DATA_DIR:
        s->data_dir = value;
        return 0;
    case OPTION_LISTEN:
        if (s->listen_count == LISTEN_MAX) return usage_error("serve", "at most %d --listen", LISTEN_MAX);
        s->listen[s->listen_count++] = value;
        return 0;
    case OPTION_ADVERTISE:
        return parse_advertise(s, value);
    case OPTION_NODE_ID:
        return parse_number("--node-id", value, &s->node_id);
    case OPTION_PEERS:
        s->peers = value;
        return 0;
    case OPTION_RACK:
        s->rack = value;
        if (value[0] != '\0' && strlen(value) <= RACK_SIZE_MAX) return 0;
        return usage_error("serve", "--rack wants a name of 1 to %d characters", RACK_SIZE_MAX);
    case OPTION_CONFIG:
        return read_config(s, value);
    case OPTION_IO:
        return parse_io(s, value);
    case OPTION_LOG_LEVEL:
        if (log_level_parse(value, &s->log_level)) return 0;
        return usage_error("serve", "--log-level wants debug, info, warn or error, not '%s'", value);
    case '?':
        fprintf(stderr, "'sentinel help serve' explains the options\n");
        return EXIT_USAGE;
    default: /* SET: in the second pass */
        return 0;
    }
}

/* -1: go on and serve; else the exit status. Two passes, so that --set wins over --config wherever they
 * stand. */
static int parse_arguments(struct serve *s, int argc, char **argv) {
    int option, status;
    optind = 0; /* glibc: start over */
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == OPTION_HELP || option == 'h') return print_help(), 0;
        if (option == OPTION_HELP_SETTINGS) return settings_print_help(), 0;
        status = take_option(s, option, optarg);
        if (status != 0) return status;
    }
    if (optind < argc) return usage_error("serve", "'%s' is not an option", argv[optind]);
    optind = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
        if (option == OPTION_SET && (status = parse_set(s, optarg)) != 0) return status;
    status = parse_peers(s);
    if (s->listen_count == 0) s->listen[s->listen_count++] = LISTEN_DEFAULT;
    return status == 0 ? -1 : status;
}

/* ---- start ----------------------------------------------------------------------------------------------
 */

/* "kafka,grpc@HOST:PORT" or "HOST:PORT"; 0: an unknown protocol. */
static unsigned listen_protocols(const char *text, const char **address) {
    static const struct {
        const char *name;
        unsigned protocol;
    } names[] = {
        {"kafka", SERVER_KAFKA}, {"grpc", SERVER_GRPC}, {"http", SERVER_HTTP}, {"peer", SERVER_PEER}};
    const char *at = strchr(text, '@');
    *address = at == NULL ? text : at + 1;
    if (at == NULL) return SERVER_ALL;
    unsigned protocols = 0;
    while (text <= at) {
        size_t size = strcspn(text, ",@");
        unsigned found = 0;
        for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
            if (size == strlen(names[i].name) && memcmp(text, names[i].name, size) == 0)
                found = names[i].protocol;
        if (found == 0) return 0;
        protocols |= found;
        text += size + 1;
    }
    return protocols;
}

static int listen_all(struct serve *s, struct io_address *first) {
    for (unsigned i = 0; i < s->listen_count; i++) {
        const char *address;
        struct diagnostic why;
        struct io_address bound;
        unsigned protocols = listen_protocols(s->listen[i], &address);
        if (protocols == 0)
            return usage_error("serve", "--listen '%s': protocols are kafka, grpc, http and peer",
                               s->listen[i]);
        if (server_listen(s->server, address, protocols, &bound, &why) != STATUS_OK)
            return command_failed("serve", "%s", why.text);
        if (i == 0) *first = bound;
        log_info(&s->log, "listening address=%s kafka=%d grpc=%d http=%d", bound.text,
                 (protocols & SERVER_KAFKA) != 0, (protocols & SERVER_GRPC) != 0,
                 (protocols & SERVER_HTTP) != 0);
    }
    return 0;
}

/* Connections and stored files share what the process may have open; neither may use up what the other needs.
 */
static void share_open_files(struct serve *s) {
    int64_t others = 64 + 4 * (int64_t)s->peer_count; /* log, manifest, listeners, links to peers */
    int64_t limit = (int64_t)MIN(io_raise_open_limit(), (uint64_t)INT64_MAX);
    int64_t wanted = s->settings.connections_max + s->settings.open_files + others;
    if (limit >= wanted) return;
    int64_t rest = MAX(limit - others, (int64_t)32);
    s->settings.open_files = MIN(s->settings.open_files, MAX(rest / 4, (int64_t)16));
    s->settings.connections_max = MIN(s->settings.connections_max, rest - s->settings.open_files);
    log_warn(
        &s->log,
        "this process may open %lld files, and %lld are wanted: it takes %lld connections and keeps %lld "
        "stored files open; raise the limit (ulimit -n, or LimitNOFILE= of systemd), or lower "
        "connections.max",
        (long long)limit, (long long)wanted, (long long)s->settings.connections_max,
        (long long)s->settings.open_files);
}

static struct broker_options broker_options_of(struct serve *s) {
    struct broker_options broker = broker_options_default();
    broker.data_dir = s->data_dir;
    broker.node_id = s->node_id;
    broker.peers = s->peers_list;
    broker.peer_count = s->peer_count;
    broker.advertised = s->advertised;
    broker.rack = s->rack;
    broker.election_timeout_ms = (uint64_t)s->settings.election_timeout_ms;
    broker.catch_up_rate = (uint64_t)s->settings.catch_up_rate;
    broker.default_replication = (int16_t)s->settings.default_replication;
    broker.topic_defaults = s->settings.topic_defaults;
    broker.default_partitions = (int32_t)s->settings.default_partitions;
    broker.auto_create_topics = s->settings.auto_create != 0;
    broker.topic_partitions_max = (int32_t)s->settings.partitions_max;
    broker.partitions_total_max = (int32_t)s->settings.partitions_total;
    broker.append_bytes_in_flight_max = (size_t)s->settings.append_in_flight;
    broker.fetch_bytes_held_max = (size_t)s->settings.memory_in_flight / 2;
    broker.retention_check_ms = (uint64_t)s->settings.retention_check_ms;
    broker.cleaner_check_ms = (uint64_t)s->settings.cleaner_check_ms;
    broker.cleaner_map_bytes = (size_t)s->settings.cleaner_map;
    broker.groups.initial_delay_ms = (int32_t)s->settings.group_delay_ms;
    broker.groups.session_min_ms = (int32_t)s->settings.group_session_min_ms;
    broker.groups.session_max_ms = (int32_t)s->settings.group_session_max_ms;
    broker.groups.offset_retention_ms = s->settings.group_retention_ms;
    broker.groups.member_max = (int32_t)s->settings.group_members_max;
    broker.groups.consumer_heartbeat_ms = (int32_t)s->settings.group_heartbeat_ms;
    broker.groups.consumer_session_ms = (int32_t)(9 * s->settings.group_heartbeat_ms);
    broker.store.memtable_bytes = (size_t)s->settings.memtable_bytes;
    broker.store.cache_bytes = (size_t)s->settings.cache_bytes;
    broker.store.compaction_bytes_per_s = (uint64_t)s->settings.compaction_rate;
    broker.store.open_files_max = (uint32_t)s->settings.open_files;
    broker.store.compression = (enum store_compression)s->settings.block_compression;
    broker.store.scrub_bytes_per_s = (uint64_t)s->settings.scrub_rate;
    broker.store.scrub_interval_ns = (uint64_t)s->settings.scrub_interval_ms * NS_PER_MS;
    broker.log = &s->log;
    return broker;
}

static struct server_options server_options_of(struct serve *s) {
    struct server_options server = server_options_default();
    server.connections_max = (uint32_t)s->settings.connections_max;
    server.request_bytes_max = (size_t)s->settings.request_bytes;
    server.memory_in_flight_max = (size_t)s->settings.memory_in_flight;
    server.handshake_timeout_ms = (uint64_t)s->settings.handshake_ms;
    if (s->advertised_host[0] != '\0') server.advertised_host = s->advertised_host;
    server.advertised_port = s->advertised_port;
    server.log = &s->log;
    return server;
}

/* ---- stop -----------------------------------------------------------------------------------------------
 */

static void broker_down(void *ctx) {
    struct serve *s = ctx;
    s->stopped = true;
    io_stop(s->io);
}

static void drained(void *ctx) {
    struct serve *s = ctx;
    broker_shutdown(s->broker, broker_down, s);
}

/* Others lead what was led here: now nobody is kept waiting. */
static void left(void *ctx) {
    struct serve *s = ctx;
    server_drain(s->server, (uint64_t)s->settings.drain_ms, drained, s);
}

static void signalled(void *ctx, int signal_number) {
    struct serve *s = ctx;
    if (s->signals++ > 0) {
        log_warn(&s->log,
                 "second signal, exiting at once: what was acknowledged is safe, the next start recovers");
        _Exit(1);
    }
    log_info(&s->log, "stopping signal=%d", signal_number);
    broker_leave(s->broker, left, s);
}

static int serve_until_stopped(struct serve *s) {
    struct server_options server_options = server_options_of(s);
    s->server = server_new(s->io, s->broker, &server_options);
    struct io_address address;
    int status = listen_all(s, &address);
    if (status == 0) {
        io_on_signal(s->io, SIGNAL_TERMINATE, signalled, s);
        io_on_signal(s->io, SIGNAL_INTERRUPT, signalled, s);
        printf("ready: node %d listening on %s\n", s->node_id, address.text);
        fflush(stdout);
        log_info(&s->log, "ready node=%d cluster=%s io=%s data_dir=%s", s->node_id,
                 broker_cluster_id(s->broker)[0] == '\0' ? "none" : broker_cluster_id(s->broker),
                 io_backend_name(s->io), s->data_dir);
    } else {
        server_drain(s->server, 0, drained, s);
    }
    io_run(s->io);
    ASSERT(s->stopped);
    server_free(s->server);
    broker_close(s->broker);
    if (status == 0) log_info(&s->log, "stopped");
    return status;
}

/* One shard thread allocates: more arenas would only hold memory. Receive buffers come and go by the thousand
 * a second; mapping each anew, or giving the heap's end back each time, costs more than what is done with
 * them. The server gives memory back when it comes to rest (server.c). */
static void tune_heap(void) {
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    mallopt(M_TOP_PAD, 1 << 20);
}

int serve_main(int argc, char **argv) {
    struct serve s = {.data_dir = "./sentinel-data", .node_id = 1, .log_level = LOG_INFO};
    s.settings = settings_default();
    int status = parse_arguments(&s, argc, argv);
    if (status >= 0) return status;
    tune_heap();
    s.log = log_sink_open(s.log_level);
    struct diagnostic why;
    struct io_options io_options = {
        .backend = s.backend, .spin_ns = (uint64_t)s.settings.spin_us * NS_PER_US, .log = &s.log};
    if (io_new(&io_options, &s.io, &why) != STATUS_OK) return command_failed("serve", "%s", why.text);
    share_open_files(&s);
    struct broker_options broker_options = broker_options_of(&s);
    if (broker_open(s.io, &broker_options, &s.broker, &why) == STATUS_OK)
        status = serve_until_stopped(&s);
    else
        status = command_failed("serve", "%s", why.text);
    io_free(s.io);
    return status;
}
