// SPDX-License-Identifier: Apache-2.0
/* Whole brokers on every node: the server with its Kafka port over the broker over replicated partitions, as
 * `sentinel serve --peers` starts them; with clients on a machine of their own (kafka_clients.c).
 *
 * A crash drops what the process had in memory: none of it is freed, as none of it is on a real machine,
 * where the system takes the pages. So nothing has to be able to end in the middle of anything. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "broker/broker.h"
#include "broker/leftovers.h"
#include "server/server.h"
#include "sim/grpc_clients.h"
#include "sim/kafka_churn.h"
#include "sim/kafka_clients.h"
#include "sim/kafka_groups.h"
#include "sim/kafka_member.h"
#include "sim/kafka_transactions.h"
#include "sim/program.h"
#include "sim/world.h"

#define DRAIN_MS 500U /* an orderly stop waits so long for requests under way */

struct node {
    struct world *world;
    uint32_t number;
    struct broker *broker;
    struct server *server;
    struct broker_peer peers[SIM_NODES_MAX];
    char addresses[SIM_NODES_MAX][24];
    char rack[KAFKA_RACK_SIZE];
    const struct raft *rafts[SIM_GROUPS_MAX]; /* [0] that of group 0, or NULL */
    uint32_t raft_count;
    bool leaving;
    char why[100]; /* unsettled */
};

/* A command of an operator, carried out by the controller; what it is answered is not waited for. */
struct command {
    struct topic_change topic;
    struct node_change node;
    int32_t placement[BROKER_REPLICAS_MAX];
};

/* ---- the watch ---------------------------------------------------------------------------------------- */

static const struct raft **free_slot(struct node *n) {
    for (uint32_t i = 1; i < n->raft_count; i++)
        if (n->rafts[i] == NULL) return &n->rafts[i];
    ASSERT_LT(n->raft_count, SIM_GROUPS_MAX);
    return &n->rafts[n->raft_count++];
}

static void on_started(void *ctx, const struct raft *raft, const struct raft_start *start) {
    struct node *n = ctx;
    if (raft->group == 0)
        n->rafts[0] = raft;
    else
        *free_slot(n) = raft;
    world_started(n->world, raft, start);
}

static void on_stopped(void *ctx, const struct raft *raft) {
    struct node *n = ctx;
    for (uint32_t i = 0; i < n->raft_count; i++)
        if (n->rafts[i] == raft) n->rafts[i] = NULL;
    world_stopped(n->world, raft);
}

static void on_before(void *ctx, const struct raft *raft, const struct raft_event *event) {
    world_before(((struct node *)ctx)->world, raft, event);
}

static void on_after(void *ctx, const struct raft *raft, const struct raft_event *event,
                     const struct raft_effects *effects, enum status status) {
    MAYBE(status == STATUS_OK);
    world_after(((struct node *)ctx)->world, raft, event, effects);
}

static void on_durable(void *ctx, const struct raft *raft, uint64_t write) {
    raft_checker_durable(world_checker(((struct node *)ctx)->world), raft, write);
}

static void on_left(void *ctx, const struct raft *raft) {
    raft_checker_left(world_checker(((struct node *)ctx)->world), raft);
}

static bool on_leaving(void *ctx, const struct raft *raft, const struct raft_message *message) {
    return world_leaving(((struct node *)ctx)->world, raft, message);
}

static const struct raft_host_watch watch = {.started = on_started,
                                             .before = on_before,
                                             .after = on_after,
                                             .durable = on_durable,
                                             .leaving = on_leaving,
                                             .left = on_left,
                                             .stopped = on_stopped};

/* ---- life --------------------------------------------------------------------------------------------- */

static struct broker_options options_of(struct node *n) {
    const struct sim_knobs *knobs = world_node_knobs(n->world, n->number);
    struct broker_options options = broker_options_default();
    uint32_t count = world_node_count(n->world);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(n->addresses[i], sizeof n->addresses[i], "node%u:%d", i + 1, KAFKA_PORT);
        n->peers[i] = (struct broker_peer){i + 1, n->addresses[i]};
    }
    options.data_dir = "data";
    options.node_id = (int32_t)n->number;
    options.peers = n->peers;
    options.peer_count = count;
    options.advertised = n->addresses[n->number - 1];
    kafka_clients_rack(n->rack, n->number);
    options.rack = n->rack;
    options.election_timeout_ms = knobs->election_ms_min;
    options.catch_up_rate = knobs->catch_up_rate;
    options.store.memtable_bytes = knobs->memtable_bytes;
    options.store.wal_segment_bytes = knobs->wal_segment_bytes;
    options.store.log_read_bytes = knobs->log_read_bytes;
    options.store.manifest_bytes = knobs->manifest_bytes;
    options.store.cache_bytes = 64 * KIB;
    options.store.table_bytes = 32 * KIB;
    options.groups.initial_delay_ms = 100;
    options.groups.consumer_session_ms = KAFKA_MEMBER_SESSION_MS;
    options.groups.consumer_heartbeat_ms = KAFKA_MEMBER_BEAT_MS;
    options.store.scrub_interval_ns = knobs->scrub_interval_ms * NS_PER_MS;
    options.store.scrub_bytes_per_s = 4 * MIB;
    options.watch = &watch;
    options.watch_ctx = n;
    return options;
}

static enum status start(struct world *world, uint32_t number, struct io *io, void **program,
                         struct diagnostic *why) {
    struct node *n = mem_calloc(1, sizeof *n);
    n->world = world;
    n->number = number;
    n->raft_count = 1;
    *program = n;
    struct broker_options options = options_of(n);
    enum status status = broker_open(io, &options, &n->broker, why);
    if (status != STATUS_OK) return status;
    struct server_options server = server_options_default();
    server.request_bytes_max = 4 * MIB;
    n->server = server_new(io, n->broker, &server);
    return server_listen(n->server, n->addresses[number - 1], SERVER_ALL, NULL, why);
}

static void stop(void *program, bool crashed) {
    struct node *n = program;
    MAYBE(crashed);
    for (uint32_t i = 0; i < n->raft_count; i++)
        if (n->rafts[i] != NULL) world_stopped(n->world, n->rafts[i]);
    /* Everything else stays as it is: see above. */
}

static bool healthy(const void *program) {
    const struct node *n = program;
    return broker_health(n->broker) == STATUS_OK;
}

/* ---- operators ----------------------------------------------------------------------------------------- */

static void moved(struct topic_change *change) {
    mem_free(CONTAINER_OF(change, struct command, topic));
}

static void changed(struct node_change *change) {
    mem_free(CONTAINER_OF(change, struct command, node));
}

/* The p-th partition to as many of these nodes as there may be replicas, from the p-th on. */
static void move_partition(struct node *n, int32_t partition, uint32_t nodes) {
    struct command *command = mem_calloc(1, sizeof *command);
    uint32_t list[SIM_NODES_MAX], count = 0;
    for (uint32_t node = 1; node <= world_node_count(n->world); node++)
        if ((nodes >> node & 1) != 0) list[count++] = node;
    command->topic.kind = TOPIC_MOVE;
    command->topic.name = SLICE_LITERAL(KAFKA_TOPIC);
    command->topic.partition = partition;
    command->topic.placement_count = MIN(count, 3U);
    command->topic.replication = (int16_t)command->topic.placement_count;
    command->topic.placement = command->placement;
    command->topic.done = moved;
    for (uint32_t i = 0; i < command->topic.placement_count; i++)
        command->placement[i] = (int32_t)list[(i + (uint32_t)partition) % count];
    broker_change_topic(n->broker, &command->topic);
}

static void change_node(struct node *n, uint32_t number, enum node_change_kind kind) {
    struct command *command = mem_calloc(1, sizeof *command);
    command->node.kind = kind;
    command->node.node = (int32_t)number;
    command->node.done = changed;
    broker_change_node(n->broker, &command->node);
}

/* The topic goes to the voters; who is a learner is drained, who was is not any more. */
static void move_all(struct node *n, const struct action *action) {
    for (uint32_t node = 1; node <= world_node_count(n->world); node++)
        change_node(n, node, (action->sets[1] >> node & 1) != 0 ? NODE_DRAIN : NODE_ACTIVE);
    for (int32_t p = 0; p < KAFKA_PARTITIONS && action->sets[0] != 0; p++)
        move_partition(n, p, action->sets[0]);
}

/* In order, as `sentinel serve` stops (cli/serve.c). */
static void down(void *ctx) {
    struct node *n = ctx;
    world_left(n->world, n->number);
}

static void drained(void *ctx) {
    struct node *n = ctx;
    broker_shutdown(n->broker, down, n);
}

static void left(void *ctx) {
    struct node *n = ctx;
    server_drain(n->server, DRAIN_MS, drained, n);
}

static bool act(void *program, const struct action *action) {
    struct node *n = program;
    if (action->kind == ACTION_MEMBERS && broker_controller(n->broker) == (int32_t)n->number) {
        move_all(n, action);
        return true;
    }
    if (action->kind != ACTION_STOP || n->leaving) return false;
    n->leaving = true;
    broker_leave(n->broker, left, n);
    return true;
}

/* Of partitions that are deleted nothing is left: they take no space. */
static bool has_leftovers(struct node *n) {
    uint64_t group = leftovers_find(n->broker);
    if (group == 0) return false;
    snprintf(n->why, sizeof n->why,
             "S16 balance: node %u keeps something of group %" PRIu64 ", which is not there any more",
             n->number, group);
    return true;
}

/* As far as this node knows. */
static const char *unsettled(void *program) {
    struct node *n = program;
    const struct broker_topic *topic = broker_topic_find(n->broker, SLICE_LITERAL(KAFKA_TOPIC));
    struct partition_move move;
    for (int32_t p = 0; topic != NULL && p < topic->partition_count; p++)
        if (broker_partition_move(n->broker, topic, p, &move))
            return "L7 liveness: a partition that is moved does not arrive";
    return has_leftovers(n) ? n->why : NULL;
}

static const struct raft *raft_of(const void *program, uint32_t index) {
    const struct node *n = program;
    return index < n->raft_count ? n->rafts[index] : NULL;
}

/* What they are alike in: they differ in their clients. */
#define NODE_CALLS                                                                                           \
    .start = start, .stop = stop, .healthy = healthy, .act = act, .unsettled = unsettled, .raft = raft_of

const struct program_calls kafka_program = {
    .name = "kafka",
    NODE_CALLS,
    .open = kafka_clients_open,
    .close = kafka_clients_close,
    .operate = kafka_clients_operate,
    .finish = kafka_clients_finish,
    .finished = kafka_clients_finished,
    .report = kafka_clients_report,
};

const struct program_calls groups_program = {
    .name = "groups",
    NODE_CALLS,
    .open = kafka_groups_open,
    .close = kafka_groups_close,
    .operate = kafka_groups_operate,
    .finish = kafka_groups_finish,
    .finished = kafka_groups_finished,
    .report = kafka_groups_report,
};

const struct program_calls transactions_program = {
    .name = "transactions",
    NODE_CALLS,
    .open = kafka_transactions_open,
    .close = kafka_transactions_close,
    .operate = kafka_transactions_operate,
    .finish = kafka_transactions_finish,
    .finished = kafka_transactions_finished,
    .report = kafka_transactions_report,
};

const struct program_calls churn_program = {
    .name = "churn",
    NODE_CALLS,
    .open = kafka_churn_open,
    .close = kafka_churn_close,
    .operate = kafka_churn_operate,
    .finish = kafka_churn_finish,
    .finished = kafka_churn_finished,
    .report = kafka_churn_report,
};

const struct program_calls grpc_program = {
    .name = "grpc",
    NODE_CALLS,
    .open = grpc_clients_open,
    .close = grpc_clients_close,
    .operate = grpc_clients_operate,
    .finish = grpc_clients_finish,
    .finished = grpc_clients_finished,
    .report = grpc_clients_report,
};
