// SPDX-License-Identifier: Apache-2.0
/* A small replicated log on every node: Raft's host over the real store, real connections between peers.
 *
 * The state machine keeps one value a group: how far it has applied, and the chain value of what it applied
 * (raft_ghost.h), so that any entry missed, repeated or changed shows. It is padded, so that a snapshot has
 * several pieces. A client's append is acknowledged when it is applied at the node that it asked. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "broker/keys.h"
#include "broker/peers.h"
#include "broker/raft_host.h"
#include "sim/program.h"
#include "sim/world.h"

#define PORT       7000
#define GROUPS_MAX 8
#define STATE_SIZE 600 /* of the value: two numbers and padding */

struct node;

struct member {
    struct node *node;
    uint64_t group;
    struct raft_replica *replica; /* NULL: not open */
    struct list appends;          /* in the log, not yet applied */
    uint64_t applied_end;
    uint32_t entries_since_compact;
    struct io_op compact;
    bool compact_deferred;
};
struct append_operation {
    struct list link;
    struct member *member;
    struct raft_propose propose;
    uint64_t content;
    bool proposed;   /* it is in the log: link is in use */
    struct list all; /* node.operations */
};
struct read_operation {
    struct raft_read_index read;
    struct member *member;
    uint64_t must_see;
    struct list all; /* node.reads */
};
struct node {
    struct world *world;
    uint32_t number;
    struct io *io;
    struct store *store;
    struct raft_host *host;
    struct peers *peers;
    struct list operations, reads;
    uint32_t group_count;
    struct member members[GROUPS_MAX];
};

/* ---- the state machine -------------------------------------------------------------------------------- */

static struct key state_key(uint64_t group) {
    return key_state(group, SLICE_LITERAL("state"));
}

static void put_state(struct member *m, struct store_write *write, uint64_t chain) {
    struct buffer *value = buffer_new(STATE_SIZE);
    memset(value->data, (int)(m->applied_end & 0xff), STATE_SIZE);
    store_be64(value->data, m->applied_end);
    store_be64(value->data + 8, chain);
    struct key key = state_key(m->group);
    store_put(write, key_slice(&key), (struct shared_slice){slice_make(value->data, STATE_SIZE), value});
    buffer_unref(value);
}

static enum status load_state(struct member *m) {
    struct shared_slice value = {SLICE_EMPTY, NULL};
    struct key key = state_key(m->group);
    uint64_t end = 0, chain = 0x5eed; /* of the empty log */
    enum status status = store_get_blocking(m->node->store, key_slice(&key), &value);
    if (status == STATUS_OK && value.bytes.size == STATE_SIZE) {
        end = load_be64(value.bytes.data);
        chain = load_be64(value.bytes.data + 8);
    } else if (status != STATUS_NOT_FOUND) {
        return status;
    }
    shared_slice_unref(value);
    m->applied_end = end;
    raft_checker_restored(world_checker(m->node->world), raft_replica_raft(m->replica), end, chain);
    return STATUS_OK;
}

static void end_append(struct append_operation *operation, enum status status, bool definite) {
    struct member *m = operation->member;
    world_appended(m->node->world, raft_replica_raft(m->replica), operation->propose.base, operation->content,
                   status, definite);
    if (operation->proposed) list_remove(&operation->link);
    list_remove(&operation->all);
    shared_slice_unref(operation->propose.payload);
    mem_free(operation);
}

/* Appends whose place in the log is now taken: by them, or by others. */
static void answer(struct member *m, const struct raft_entry *entry) {
    LIST_FOREACH(it, &m->appends) {
        struct append_operation *operation = CONTAINER_OF(it, struct append_operation, link);
        if (operation->propose.base >= entry->end) continue;
        bool ours = operation->propose.base == entry->base && operation->propose.term == entry->term;
        end_append(operation, ours ? STATUS_OK : STATUS_NOT_LEADER, true);
    }
}

static void compact(struct io_op *op) {
    struct member *m = CONTAINER_OF(op, struct member, compact);
    m->compact_deferred = false;
    m->entries_since_compact = 0;
    if (raft_replica_health(m->replica) == STATUS_OK)
        raft_replica_compact(m->replica, raft_replica_applied(m->replica));
}

/* After so many entries the log is dropped: at the end of the turn, for a machine may not call back. */
static void compact_when_due(struct member *m) {
    uint32_t wanted = world_knobs(m->node->world)->snapshot_entries;
    if (wanted == 0 || m->entries_since_compact < wanted || m->compact_deferred) return;
    m->compact_deferred = true;
    m->compact.done = compact;
    io_defer(m->node->io, &m->compact);
}

static void apply(void *ctx, const struct raft_entry *entries, uint32_t count, struct store_write *write) {
    struct member *m = ctx;
    struct raft_checker *checker = world_checker(m->node->world);
    const struct raft *raft = raft_replica_raft(m->replica);
    for (uint32_t i = 0; i < count; i++) {
        raft_checker_applied(checker, raft, &entries[i]);
        m->applied_end = entries[i].end;
        m->entries_since_compact++;
        answer(m, &entries[i]);
    }
    put_state(m, write, raft_checker_applied_chain(checker, raft));
    compact_when_due(m);
}

static enum status installed(void *ctx, uint64_t end) {
    struct member *m = ctx;
    MAYBE(end);
    enum status status = load_state(m);
    /* What became of appends below is not known any more. */
    LIST_FOREACH(it, &m->appends)
        end_append(CONTAINER_OF(it, struct append_operation, link), STATUS_UNAVAILABLE, false);
    return status;
}

static void failed(void *ctx, enum status status) {
    struct member *m = ctx;
    LIST_FOREACH(it, &m->appends)
        end_append(CONTAINER_OF(it, struct append_operation, link), status, false);
}

static enum status reopened(void *ctx) {
    return load_state(ctx);
}

static const struct raft_machine machine = {
    .apply = apply,
    .installed = installed,
    .failed = failed,
    .reopened = reopened,
    .snapshot_kinds = 1U << KEY_STATE,
};

/* ---- messages and the watch --------------------------------------------------------------------------- */

static void send_message(void *ctx, uint32_t to, struct chain *message) {
    struct node *n = ctx;
    peers_send(n->peers, to, message);
}

static void message_came(void *ctx, uint32_t from, struct shared_slice message) {
    struct node *n = ctx;
    MAYBE(from);
    raft_host_deliver(n->host, message);
}

static void peer_down(void *ctx, uint32_t peer) {
    raft_host_node_down(((struct node *)ctx)->host, peer);
}

static void peer_up(void *ctx, uint32_t peer) {
    raft_host_node_up(((struct node *)ctx)->host, peer);
}

static const struct peer_events events = {.message = message_came, .down = peer_down, .up = peer_up};

static void on_started(void *ctx, const struct raft *raft, const struct raft_start *start) {
    world_started(((struct node *)ctx)->world, raft, start);
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

static bool on_leaving(void *ctx, const struct raft *raft, const struct raft_message *message) {
    return world_leaving(((struct node *)ctx)->world, raft, message);
}

static void on_stopped(void *ctx, const struct raft *raft) {
    world_stopped(((struct node *)ctx)->world, raft);
}

/* ---- starting and stopping ---------------------------------------------------------------------------- */

static struct raft_host_options host_options(struct node *n, const struct raft_host_watch *watch) {
    const struct sim_knobs *k = world_knobs(n->world);
    struct raft_host_options options = {.io = n->io, .store = n->store, .send = send_message, .ctx = n};
    options.raft = raft_options_default(raft_id(n->number, world_incarnation(n->world, n->number)));
    options.raft.election_timeout_ns_min = k->election_ms_min * NS_PER_MS;
    options.raft.election_timeout_ns_max = (k->election_ms_min + k->election_ms_spread) * NS_PER_MS;
    options.raft.heartbeat_ns = k->heartbeat_ms * NS_PER_MS;
    options.raft.sleep_after_ns = k->sleep_after_ms * NS_PER_MS;
    options.raft.append_bytes_max = k->append_bytes;
    options.raft.inflight_count_max = k->inflight;
    options.raft.uncommitted_bytes_max = k->uncommitted_bytes;
    options.raft.window_bytes_max = k->window_bytes;
    options.seed = world_node_seed(n->world, n->number);
    options.snapshot_piece_bytes = k->snapshot_piece_bytes;
    options.bulk_rate = k->catch_up_rate;
    options.watch = watch;
    options.watch_ctx = n;
    return options;
}

static enum status start_peers(struct node *n, struct diagnostic *why) {
    struct peers_options options = peers_options_default();
    options.io = n->io;
    options.node = n->number;
    options.incarnation = world_incarnation(n->world, n->number);
    options.seed = world_node_seed(n->world, n->number);
    options.events = &events;
    options.ctx = n;
    n->peers = peers_new(&options);
    peers_set_cluster(n->peers, "simulated-cluster-0001", SLICE_EMPTY);
    char address[32];
    struct io_address bound;
    snprintf(address, sizeof address, "node%u:%u", n->number, PORT);
    enum status status = peers_listen(n->peers, address, &bound, why);
    for (uint32_t peer = 1; status == STATUS_OK && peer <= world_node_count(n->world); peer++) {
        if (peer == n->number) continue;
        snprintf(address, sizeof address, "node%u:%u", peer, PORT);
        status = peers_add(n->peers, peer, address);
    }
    return status;
}

static enum status open_groups(struct node *n, struct diagnostic *why) {
    uint32_t nodes = world_node_count(n->world);
    struct raft_config *founding = mem_calloc(1, raft_config_size(nodes));
    for (uint32_t i = 0; i < nodes; i++)
        founding->members[founding->member_count++] = (struct raft_member){raft_id(i + 1, 1), RAFT_VOTER};
    enum status status = STATUS_OK;
    for (uint32_t i = 0; status == STATUS_OK && i < world_knobs(n->world)->groups; i++) {
        struct member *m = &n->members[n->group_count++];
        *m = (struct member){.node = n, .group = i + 1};
        list_init(&m->appends);
        struct raft_replica_options options = {
            .group = m->group,
            .format = RAFT_FORMAT_PLAIN,
            .machine = &machine,
            .ctx = m,
            .founding = world_incarnation(n->world, n->number) == 1 ? founding : NULL,
            .priority = world_priority(n->world, n->number),
        };
        status = raft_replica_open(n->host, &options, &m->replica, why);
        if (status != STATUS_OK) break;
        status = load_state(m);
        if (status != STATUS_OK) diagnose(why, status, "the state of group %" PRIu64 " is damaged", m->group);
    }
    mem_free(founding);
    return status;
}

static enum status start(struct world *world, uint32_t number, struct io *io, void **program,
                         struct diagnostic *why) {
    static const struct raft_host_watch watch_calls = {.started = on_started,
                                                       .before = on_before,
                                                       .after = on_after,
                                                       .durable = on_durable,
                                                       .leaving = on_leaving,
                                                       .stopped = on_stopped};
    struct node *n = mem_calloc(1, sizeof *n);
    n->world = world;
    n->number = number;
    n->io = io;
    *program = n;
    list_init(&n->operations);
    list_init(&n->reads);
    const struct sim_knobs *knobs = world_knobs(world);
    struct store_options options = {.dir = "data",
                                    .memtable_bytes = knobs->memtable_bytes,
                                    .cache_bytes = 64 * KIB,
                                    .wal_segment_bytes = knobs->wal_segment_bytes,
                                    .log_read_bytes = knobs->log_read_bytes,
                                    .manifest_bytes = knobs->manifest_bytes,
                                    .table_bytes = 32 * KIB,
                                    .partition_prefix_size = KEY_PREFIX_SIZE,
                                    .scrub_interval_ns = knobs->scrub_interval_ms * NS_PER_MS,
                                    .scrub_bytes_per_s = 4 * MIB};
    enum status status = store_open(io, &options, &n->store, why);
    if (status == STATUS_OK) {
        struct raft_host_options host = host_options(n, &watch_calls);
        n->host = raft_host_new(&host);
        status = start_peers(n, why);
    }
    return status == STATUS_OK ? open_groups(n, why) : status;
}

static void stop(void *program, bool crashed) {
    struct node *n = program;
    MAYBE(crashed);
    LIST_FOREACH(it, &n->operations) {
        struct append_operation *operation = CONTAINER_OF(it, struct append_operation, all);
        if (!operation->proposed) raft_propose_cancel(&operation->propose);
        end_append(operation, STATUS_UNAVAILABLE, false);
    }
    LIST_FOREACH(it, &n->reads) {
        struct read_operation *read = CONTAINER_OF(it, struct read_operation, all);
        raft_read_index_cancel(&read->read);
        list_remove(it);
        mem_free(read);
    }
    for (uint32_t i = 0; i < n->group_count; i++) {
        if (n->members[i].compact_deferred) io_defer_cancel(&n->members[i].compact);
        if (n->members[i].replica != NULL) raft_replica_close(n->members[i].replica, false);
    }
    if (n->peers != NULL) peers_free(n->peers);
    if (n->host != NULL) raft_host_free(n->host);
    if (n->store != NULL) store_close(n->store);
    mem_free(n);
}

static bool healthy(const void *program) {
    const struct node *n = program;
    for (uint32_t i = 0; i < n->group_count; i++)
        if (raft_replica_health(n->members[i].replica) != STATUS_OK) return false;
    return store_health(n->store) == STATUS_OK;
}

/* ---- operations --------------------------------------------------------------------------------------- */

static void proposed(struct raft_propose *propose) {
    struct append_operation *operation = CONTAINER_OF(propose, struct append_operation, propose);
    if (propose->status != STATUS_OK) {
        end_append(operation, propose->status, true);
        return;
    }
    operation->proposed = true;
    list_push_back(&operation->member->appends, &operation->link);
}

static void append(struct member *m, size_t size, uint32_t count) {
    struct append_operation *operation = mem_calloc(1, sizeof *operation);
    operation->member = m;
    operation->propose.payload = world_payload(m->node->world, size);
    operation->propose.count = count;
    operation->propose.done = proposed;
    operation->content = raft_checker_content(operation->propose.payload.bytes);
    list_push_back(&m->node->operations, &operation->all);
    raft_replica_propose(m->replica, &operation->propose);
}

static void was_read(struct raft_read_index *index) {
    struct read_operation *read = CONTAINER_OF(index, struct read_operation, read);
    struct member *m = read->member;
    if (index->status == STATUS_OK) {
        const struct raft *raft = raft_replica_raft(m->replica);
        PROBE_IF(world_probes(m->node->world), read_by_leader, raft_is_leader(raft));
        PROBE_IF(world_probes(m->node->world), read_by_follower, !raft_is_leader(raft));
        raft_checker_read_served(world_checker(m->node->world), raft->options->id, m->applied_end,
                                 read->must_see);
    }
    list_remove(&read->all);
    mem_free(read);
}

static void read_at(struct member *m) {
    struct read_operation *read = mem_calloc(1, sizeof *read);
    read->member = m;
    read->read.done = was_read;
    read->must_see = raft_checker_read_begins(world_checker(m->node->world), m->group);
    list_push_back(&m->node->reads, &read->all);
    raft_replica_read_index(m->replica, &read->read);
}

static bool change_members(struct member *m, const struct action *action) {
    struct raft_member members[SIM_NODES_MAX];
    uint32_t count = 0;
    for (uint32_t node = 1; node <= world_node_count(m->node->world); node++) {
        uint8_t flags = (action->sets[0] >> node & 1) != 0   ? RAFT_VOTER
                        : (action->sets[1] >> node & 1) != 0 ? RAFT_LEARNER
                                                             : 0;
        if (flags == 0) continue;
        members[count++] = (struct raft_member){raft_id(node, world_incarnation(m->node->world, node)),
                                                flags};
    }
    return count != 0 && raft_replica_change(m->replica, members, count) == STATUS_OK;
}

static bool act_on(struct member *m, const struct action *action) {
    uint64_t to;
    switch (action->kind) {
    case ACTION_APPEND:
        append(m, (size_t)action->a, action->count);
        return true;
    case ACTION_READ:
        read_at(m);
        return true;
    case ACTION_TRANSFER:
        to = action->to == 0 ? RAFT_NO_ID
                             : raft_id(action->to, world_incarnation(m->node->world, action->to));
        return raft_is_leader(raft_replica_raft(m->replica)) &&
               raft_replica_transfer(m->replica, to) == STATUS_OK;
    case ACTION_MEMBERS:
        return raft_is_leader(raft_replica_raft(m->replica)) && change_members(m, action);
    case ACTION_COMPACT:
        raft_replica_compact(m->replica, raft_replica_applied(m->replica));
        return true;
    case ACTION_PRIORITY:
        raft_replica_set_priority(m->replica, (uint8_t)action->a);
        return true;
    default:
        return false;
    }
}

static bool act(void *program, const struct action *action) {
    struct node *n = program;
    bool any = false;
    for (uint32_t i = 0; i < n->group_count; i++) {
        struct member *m = &n->members[i];
        if (raft_replica_health(m->replica) != STATUS_OK) continue;
        /* An append goes to one group only where `to` says so. */
        if (action->kind == ACTION_APPEND && action->to != 0 && action->to != i + 1) continue;
        any = act_on(m, action) || any;
    }
    return any;
}

static const struct raft *raft_of(const void *program, uint32_t index) {
    const struct node *n = program;
    if (index >= n->group_count || n->members[index].replica == NULL) return NULL;
    return raft_replica_health(n->members[index].replica) == STATUS_OK
               ? raft_replica_raft(n->members[index].replica)
               : NULL;
}

const struct program_calls raft_program = {
    .name = "raft",
    .start = start,
    .stop = stop,
    .healthy = healthy,
    .act = act,
    .raft = raft_of,
};
