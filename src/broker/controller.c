// SPDX-License-Identifier: Apache-2.0
#include "broker/controller.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "broker/forward.h"
#include "broker/keys.h"
#include "broker/metadata_log.h"
#include "broker/topics.h"

#define ANSWER_VERSION 1
/* So long after its start a controller waits for founders that are there to say where they are. */
#define FOUNDERS_PATIENCE_NS (3 * NS_PER_S)
/* Commands that stay in the log behind what is applied: who is no further behind needs no snapshot. */
#define LOG_KEPT 1024

enum call_phase { CALL_WAITS, CALL_QUEUED, CALL_ASKED, CALL_APPLYING };

/* A command at the leader. */
struct command_run {
    struct list link;
    struct controller *controller;
    struct controller_call *call; /* of this node; NULL: of another */
    uint32_t node;
    uint64_t number;
    struct writer bytes;
    struct raft_propose propose;
    bool proposed;
};

struct controller {
    struct cluster *cluster;
    struct raft_replica *replica;
    /* What is stored, while that is less than what was applied and told: a write failed, or a snapshot is
     * older. It is applied anew to this, and stored; the broker's own waits for it. NULL: they are the same.
     */
    struct metadata *stored;
    struct list calls; /* struct controller_call: of this node */
    struct list queue; /* struct command_run: waiting */
    uint32_t queue_count;
    struct command_run *current;
    struct io_op next;
    bool next_scheduled, registering;
    uint64_t opened_ns;
    struct controller_call registration, founding_call;
    bool founding_asked;
};

static void schedule(struct controller *c);

/* ---- ends of calls ---------------------------------------------------------------------------------------
 */

static void finish_call(struct controller_call *call, enum status status) {
    list_remove(&call->link);
    writer_release(&call->command);
    call->status = status;
    call->done(call);
}

/* Applied at `position`, here or where it was led. */
static void call_applied(struct controller *c, struct controller_call *call, uint64_t position) {
    call->position = position;
    call->phase = CALL_APPLYING;
    if (raft_replica_applied(c->replica) >= position) finish_call(call, STATUS_OK);
}

static void send_answer(struct controller *c, const struct command_run *run, enum status status,
                        uint64_t position, int64_t first_producer_id, const char *why) {
    struct writer out;
    struct chain body;
    writer_init(&out);
    chain_init(&body);
    writer_u8(&out, ANSWER_VERSION);
    writer_u8(&out, (uint8_t)status);
    writer_be64(&out, position);
    writer_be64(&out, (uint64_t)first_producer_id);
    writer_text(&out, why);
    chain_append_copy(&body, writer_slice(&out));
    MAYBE(peers_answer(c->cluster->peers, run->node, run->number, &body));
    chain_release(&body);
    writer_release(&out);
}

static void finish_run(struct controller *c, struct command_run *run, enum status status, uint64_t position,
                       int64_t first_producer_id, const char *why) {
    if (c->current == run) c->current = NULL;
    list_remove(&run->link);
    if (run->call == NULL) {
        send_answer(c, run, status, position, first_producer_id, why);
    } else if (status == STATUS_OK) {
        run->call->first_producer_id = first_producer_id;
        call_applied(c, run->call, position);
    } else {
        diagnose(&run->call->diagnostic, status, "%s", why);
        finish_call(run->call, status);
    }
    writer_release(&run->bytes);
    mem_free(run);
    schedule(c);
}

/* ---- at the leader ---------------------------------------------------------------------------------------
 */

static bool usable(void *ctx, uint32_t node) {
    const struct cluster *cluster = ctx;
    return cluster_node_is_up(cluster, node);
}

/* A partition that is there already. */
static enum status place_again(struct controller *c, struct metadata_command *command,
                               const struct metadata_topic *topic, struct writer *placement,
                               struct diagnostic *why) {
    if (topic == NULL || topic->replicas == NULL || command->count < 0 ||
        command->count >= topic->partition_count)
        return STATUS_OK; /* the check says why not */
    enum status status = metadata_place_again(&c->cluster->broker->metadata, &topic->replicas[command->count],
                                              command->replication, usable, c->cluster, placement, why);
    command->placement = writer_slice(placement);
    return status;
}

/* Fills in who gets the partitions. */
static enum status place(struct controller *c, struct metadata_command *command, struct writer *placement,
                         struct diagnostic *why) {
    const struct metadata *m = &c->cluster->broker->metadata;
    const struct metadata_topic *topic = metadata_find(m, command->name);
    int32_t count = command->count;
    int16_t replication = command->replication;
    if (command->placement.size != 0) return STATUS_OK;
    if (command->kind == METADATA_SET_REPLICAS) return place_again(c, command, topic, placement, why);
    if (command->kind == METADATA_ADD_PARTITIONS) {
        if (topic == NULL || count <= topic->partition_count) return STATUS_OK; /* the check says why not */
        count -= topic->partition_count;
        replication = topic->replication;
    } else if (command->kind != METADATA_CREATE_TOPIC) {
        return STATUS_OK;
    }
    if (count > METADATA_PARTITIONS_MAX) return STATUS_OK;
    if (replication < 0) {
        uint32_t up = 0;
        for (uint32_t i = 0; i < m->node_count; i++)
            up += usable(c->cluster, m->nodes[i].node);
        replication = (int16_t)MIN(MAX(up, 1u), (uint32_t)c->cluster->broker->options.default_replication);
    }
    command->replication = replication;
    enum status status = metadata_place(m, count, replication, usable, c->cluster, placement, why);
    command->placement = writer_slice(placement);
    return status;
}

/* What it has been told to delete may be deleted when it is gone; as long as it is there it says so. */
static enum status check_removal(const struct controller *c, const struct metadata_command *command,
                                 struct diagnostic *why) {
    struct metadata_replica_count have;
    if (command->kind != METADATA_REMOVE_NODE || !cluster_node_is_up(c->cluster, command->node))
        return STATUS_OK;
    metadata_count_replicas(&c->cluster->broker->metadata, command->node, &have);
    return have.closing == 0
               ? STATUS_OK
               : diagnose(why, STATUS_IN_USE, "node %u still deletes its copies of %" PRIu64 " partitions",
                          command->node, have.closing);
}

static void proposed(struct raft_propose *propose) {
    struct command_run *run = CONTAINER_OF(propose, struct command_run, propose);
    struct controller *c = run->controller;
    run->proposed = propose->status == STATUS_OK;
    if (run->proposed || c->current != run) return;
    /* Refused, as while leadership is being handed over: it is in no log, and comes again at the next tick.
     */
    c->current = NULL;
    c->queue_count++;
    list_push_front(&c->queue, &run->link);
}

/* A founder that is there and has not said its address yet, in the first moments of a cluster: what is to be
 * placed waits for it, or a topic of three replicas would be refused for want of nodes. */
static bool founder_is_missing(const struct controller *c) {
    const struct metadata *m = &c->cluster->broker->metadata;
    if (io_now_ns(c->cluster->broker->io) - c->opened_ns > FOUNDERS_PATIENCE_NS) return false;
    for (uint32_t i = 0; i < c->cluster->founder_count; i++) {
        uint32_t node = raft_id_node(c->cluster->founders[i]);
        if (metadata_node(m, node) == NULL && metadata_removed_incarnation(m, node) == 0 &&
            cluster_node_is_up(c->cluster, node))
            return true;
    }
    return false;
}

/* NULL: none can be carried out now. */
static struct command_run *next_run_of(struct controller *c) {
    bool missing = !list_empty(&c->queue) && founder_is_missing(c);
    LIST_FOREACH(it, &c->queue) {
        struct command_run *run = CONTAINER_OF(it, struct command_run, link);
        struct metadata_command command;
        bool places = metadata_decode(writer_slice(&run->bytes), &command) == STATUS_OK &&
                      (command.kind == METADATA_CREATE_TOPIC || command.kind == METADATA_ADD_PARTITIONS);
        if (!missing || !places) return run;
    }
    return NULL;
}

static void run_one(struct controller *c, struct command_run *run) {
    list_remove(&run->link);
    c->queue_count--;
    struct metadata_command command;
    struct diagnostic why = {.text = "the command does not parse"};
    struct writer placement, bytes;
    writer_init(&placement);
    writer_init(&bytes);
    enum status status = metadata_decode(writer_slice(&run->bytes), &command);
    if (status == STATUS_OK) status = place(c, &command, &placement, &why);
    if (status == STATUS_OK) status = metadata_check(&c->cluster->broker->metadata, &command, &why);
    if (status == STATUS_OK) status = check_removal(c, &command, &why);
    if (status == STATUS_OK) {
        metadata_encode(&command, &bytes);
        struct buffer *payload = buffer_copy(writer_slice(&bytes));
        c->current = run;
        run->propose = (struct raft_propose){
            .payload = {slice_make(payload->data, payload->size), payload}, .count = 1, .done = proposed};
        raft_replica_propose(c->replica, &run->propose);
        buffer_unref(payload);
    }
    writer_release(&placement);
    writer_release(&bytes);
    if (status != STATUS_OK) finish_run(c, run, status, 0, -1, why.text);
}

/* Everything before is applied, so the next one is checked against all of it. */
static bool ready(const struct controller *c) {
    return c->current == NULL && raft_replica_is_settled(c->replica) &&
           raft_replica_applied(c->replica) == raft_replica_raft(c->replica)->log.end;
}

static void fail_queue(struct controller *c) {
    struct list gone;
    list_init(&gone);
    list_append(&gone, &c->queue);
    c->queue_count = 0;
    if (c->current != NULL) {
        raft_propose_cancel(&c->current->propose);
        list_push_back(&gone, &c->current->link);
    }
    LIST_FOREACH(it, &gone) {
        struct command_run *run = CONTAINER_OF(it, struct command_run, link);
        finish_run(c, run, STATUS_UNAVAILABLE, 0, -1,
                   "the controller changed on the way; it may have happened or not, ask again");
    }
}

static void run_next(struct io_op *op) {
    struct controller *c = CONTAINER_OF(op, struct controller, next);
    c->next_scheduled = false;
    if (!raft_replica_is_leader(c->replica)) {
        fail_queue(c);
        return;
    }
    struct command_run *run;
    while (ready(c) && (run = next_run_of(c)) != NULL)
        run_one(c, run);
}

static void schedule(struct controller *c) {
    if (c->next_scheduled || (list_empty(&c->queue) && c->current == NULL)) return;
    c->next_scheduled = true;
    c->next.done = run_next;
    io_defer(c->cluster->broker->io, &c->next);
}

static struct command_run *enqueue(struct controller *c, struct slice command) {
    struct command_run *run = mem_calloc(1, sizeof *run);
    run->controller = c;
    writer_init(&run->bytes);
    writer_bytes(&run->bytes, command);
    list_init(&run->propose.link);
    list_push_back(&c->queue, &run->link);
    c->queue_count++;
    schedule(c);
    return run;
}

/* ---- the machine ------------------------------------------------------------------------------------------
 */

static void put_keys(const struct metadata_effects *effects, struct store_write *write) {
    for (uint32_t i = 0; i < effects->key_count; i++) {
        const uint8_t *bytes = effects->bytes.data;
        struct key key = key_state(0, slice_make(bytes + effects->keys[i].key_at, effects->keys[i].key_size));
        struct slice value = slice_make(bytes + effects->keys[i].value_at, effects->keys[i].value_size);
        if (effects->keys[i].removed)
            store_delete(write, key_slice(&key));
        else
            store_put(write, key_slice(&key), (struct shared_slice){value, NULL});
    }
}

/* What the deletion of a topic left when it was applied first, and could not be stored. */
static void delete_again(const struct metadata_effects *effects, struct store_write *write) {
    for (uint32_t i = 0; i < effects->dropped_count; i++) {
        struct key from = key_group_start(effects->dropped_groups[i]);
        struct key to = key_group_start(effects->dropped_groups[i] + 1);
        store_delete_range(write, key_slice(&from), key_slice(&to));
    }
}

static void forget_stored(struct controller *c) {
    if (c->stored != NULL) metadata_release(c->stored);
    mem_free(c->stored);
    c->stored = NULL;
}

static void apply_entry(struct controller *c, const struct raft_entry *entry, struct store_write *write) {
    struct broker *broker = c->cluster->broker;
    struct metadata *metadata = c->stored != NULL ? c->stored : &broker->metadata;
    struct metadata_command command;
    struct diagnostic why = {.text = "the command does not parse"};
    struct metadata_effects effects;
    metadata_effects_init(&effects);
    enum status status = metadata_decode(entry->payload.bytes, &command);
    if (status == STATUS_OK) status = metadata_check(metadata, &command, &why);
    if (status == STATUS_OK) {
        metadata_apply(metadata, metadata->applied_index + 1, &command, &effects);
        put_keys(&effects, write);
        if (c->stored == NULL)
            topics_applied(broker, &command);
        else
            delete_again(&effects, write);
    } else {
        /* It was checked before it was logged: the same on all nodes, whatever it is. */
        log_error(broker->log, "metadata command refused position=%" PRIu64 " reason=\"%s\"", entry->base,
                  why.text);
    }
    struct command_run *run = c->current;
    if (run != NULL && run->proposed && run->propose.base == entry->base && run->propose.term == entry->term)
        finish_run(c, run, status, entry->end, effects.first_producer_id, why.text);
    metadata_effects_release(&effects);
    if (c->stored != NULL && c->stored->applied_index == broker->metadata.applied_index) forget_stored(c);
}

static void apply(void *ctx, const struct raft_entry *entries, uint32_t count, struct store_write *write) {
    struct controller *c = ctx;
    for (uint32_t i = 0; i < count; i++)
        if (entries[i].kind == RAFT_ENTRY_DATA) apply_entry(c, &entries[i], write);
    uint64_t applied = entries[count - 1].end;
    LIST_FOREACH(it, &c->calls) {
        struct controller_call *call = CONTAINER_OF(it, struct controller_call, link);
        if (call->phase == CALL_APPLYING && call->position <= applied) finish_call(call, STATUS_OK);
    }
    schedule(c);
}

static void changed(void *ctx) {
    struct controller *c = ctx;
    if (c->replica == NULL) return;
    if (raft_replica_is_leader(c->replica)) cluster_announce(c->cluster, c->replica);
    schedule(c);
}

/* What was applied is committed: nobody hears of an older state than before, and no replica is dropped
 * because its topic is in none that is stored here. */
static enum status reopened(void *ctx) {
    struct controller *c = ctx;
    struct broker *broker = c->cluster->broker;
    struct diagnostic why;
    forget_stored(c);
    struct metadata *stored = mem_alloc(sizeof *stored);
    metadata_init(stored, broker->hash_seed);
    enum status status = metadata_log_load(broker, stored, &why);
    if (status == STATUS_OK && stored->applied_index < broker->metadata.applied_index) {
        c->stored = stored;
        return STATUS_OK;
    }
    if (status == STATUS_OK)
        topics_reload(broker, stored);
    else
        log_error(broker->log, "metadata reload failed: %s", why.text);
    metadata_release(stored);
    mem_free(stored);
    return status;
}

static enum status installed(void *ctx, uint64_t end) {
    MAYBE(end > 0);
    return reopened(ctx);
}

static const struct raft_machine machine = {.apply = apply,
                                            .changed = changed,
                                            .installed = installed,
                                            .reopened = reopened,
                                            .snapshot_kinds = 1u << KEY_STATE};

/* ---- calls of this node -------------------------------------------------------------------------------- */

static void send_call(struct controller *c, struct controller_call *call) {
    struct cluster *cluster = c->cluster;
    if (raft_replica_is_leader(c->replica)) {
        if (c->queue_count >= CONTROLLER_QUEUE_MAX) {
            finish_call(call, diagnose(&call->diagnostic, STATUS_BUSY, "too many changes wait already"));
            return;
        }
        call->phase = CALL_QUEUED;
        enqueue(c, writer_slice(&call->command))->call = call;
        return;
    }
    struct known_leader leader = cluster_leader(cluster, 0);
    if (leader.node == 0 || leader.node == cluster->node) return; /* waits for one */
    struct chain body;
    chain_init(&body);
    uint8_t op = FORWARD_CONTROLLER;
    chain_append_copy(&body, slice_make(&op, 1));
    chain_append_copy(&body, writer_slice(&call->command));
    call->number = ++cluster->next_number;
    if (peers_request(cluster->peers, leader.node, call->number, &body)) call->phase = CALL_ASKED;
    chain_release(&body);
}

void controller_submit(struct cluster *cluster, struct controller_call *call) {
    call->phase = CALL_WAITS;
    call->deadline_ns = io_now_ns(cluster->broker->io) + CONTROLLER_TIMEOUT_NS;
    call->first_producer_id = -1;
    call->diagnostic.text[0] = '\0';
    struct controller *c = cluster->controller;
    list_push_back(&c->calls, &call->link);
    send_call(c, call);
}

static struct controller_call *find_call(struct controller *c, uint64_t number) {
    LIST_FOREACH(it, &c->calls) {
        struct controller_call *call = CONTAINER_OF(it, struct controller_call, link);
        if (call->phase == CALL_ASKED && call->number == number) return call;
    }
    return NULL;
}

void controller_answer(struct cluster *cluster, uint64_t number, struct slice body) {
    struct controller *c = cluster->controller;
    struct controller_call *call = c == NULL ? NULL : find_call(c, number);
    struct reader in = reader_make(body);
    uint8_t version = reader_u8(&in), status = reader_u8(&in);
    uint64_t position = reader_be64(&in);
    int64_t first_producer_id = (int64_t)reader_be64(&in);
    if (call == NULL || !reader_ok(&in) || version != ANSWER_VERSION || status >= STATUS_COUNT) return;
    if (status == STATUS_OK) {
        call->first_producer_id = first_producer_id;
        call_applied(c, call, position);
    } else if (status == STATUS_NOT_LEADER) {
        call->phase = CALL_WAITS; /* asked again at the next tick */
    } else {
        diagnose(&call->diagnostic, (enum status)status, "%.*s", (int)reader_remaining(&in),
                 (const char *)in.pos);
        finish_call(call, (enum status)status);
    }
}

void controller_request(struct cluster *cluster, uint32_t node, uint64_t number, struct slice body) {
    struct controller *c = cluster->controller;
    struct command_run refused = {.node = node, .number = number};
    if (c == NULL) return;
    if (!raft_replica_is_leader(c->replica)) {
        send_answer(c, &refused, STATUS_NOT_LEADER, 0, -1, "");
    } else if (c->queue_count >= CONTROLLER_QUEUE_MAX) {
        send_answer(c, &refused, STATUS_BUSY, 0, -1, "too many changes wait already");
    } else {
        struct command_run *run = enqueue(c, body);
        run->node = node;
        run->number = number;
    }
}

/* ---- now and then -------------------------------------------------------------------------------------- */

static void registered(struct controller_call *call) {
    struct controller *c = CONTAINER_OF(call, struct controller, registration);
    c->registering = false;
    if (call->status != STATUS_OK)
        log_warn(c->cluster->broker->log, "registration failed, comes again reason=\"%s\"",
                 call->diagnostic.text);
}

static void register_self(struct controller *c) {
    struct cluster *cluster = c->cluster;
    struct broker *broker = cluster->broker;
    const struct metadata_node *known = metadata_node(&broker->metadata, cluster->node);
    const char *address = broker->options.advertised;
    const char *rack = broker->options.rack == NULL ? "" : broker->options.rack;
    if (known == NULL &&
        metadata_removed_incarnation(&broker->metadata, cluster->node) == cluster->incarnation) {
        if (!cluster->removed)
            log_error(broker->log,
                      "this node was removed from the cluster: stop it; it comes back with an empty data "
                      "directory, after 'sentinel cluster add-node' node=%u",
                      cluster->node);
        cluster->removed = true;
        return;
    }
    if (c->registering || (known != NULL && known->incarnation == cluster->incarnation &&
                           slice_equal(slice_from_text(known->address), slice_from_text(address)) &&
                           slice_equal(slice_from_text(known->rack), slice_from_text(rack))))
        return;
    struct metadata_command command = {.kind = METADATA_REGISTER_NODE,
                                       .name = slice_from_text(address),
                                       .node = cluster->node,
                                       .incarnation = cluster->incarnation,
                                       .configs = {{SLICE_LITERAL("rack"), slice_from_text(rack)}},
                                       .config_count = rack[0] == '\0' ? 0 : 1};
    c->registering = true;
    c->registration = (struct controller_call){.done = registered};
    writer_init(&c->registration.command);
    metadata_encode(&command, &c->registration.command);
    controller_submit(cluster, &c->registration);
}

static void founded(struct controller_call *call) {
    struct controller *c = CONTAINER_OF(call, struct controller, founding_call);
    c->founding_asked = false;
}

/* The id is known to all; the log has it for those who read it later. */
static void log_cluster_id(struct controller *c) {
    if (c->founding_asked || c->cluster->broker->metadata.cluster_id[0] != '\0' ||
        !raft_replica_is_settled(c->replica))
        return;
    struct metadata_command command = {.kind = METADATA_INIT,
                                       .name = slice_from_text(c->cluster->cluster_id)};
    c->founding_asked = true;
    c->founding_call = (struct controller_call){.done = founded};
    writer_init(&c->founding_call.command);
    metadata_encode(&command, &c->founding_call.command);
    controller_submit(c->cluster, &c->founding_call);
}

void controller_tick(struct cluster *cluster) {
    struct controller *c = cluster->controller;
    uint64_t now = io_now_ns(cluster->broker->io);
    LIST_FOREACH(it, &c->calls) {
        struct controller_call *call = CONTAINER_OF(it, struct controller_call, link);
        if (call->phase == CALL_QUEUED) continue;
        if (now >= call->deadline_ns)
            finish_call(call,
                        diagnose(&call->diagnostic, STATUS_UNAVAILABLE,
                                 call->phase == CALL_WAITS
                                     ? "no controller is elected: fewer than half of the nodes are there"
                                     : "the controller did not answer; it may have happened or not"));
        else if (call->phase == CALL_WAITS)
            send_call(c, call);
    }
    log_cluster_id(c);
    register_self(c);
    schedule(c);
    uint64_t applied = raft_replica_applied(c->replica);
    if (applied > raft_replica_raft(c->replica)->log.start + 2 * LOG_KEPT)
        raft_replica_compact(c->replica, applied - LOG_KEPT);
}

struct raft_replica *controller_replica(const struct cluster *cluster) {
    return cluster->controller == NULL ? NULL : cluster->controller->replica;
}

bool controller_is_stored(const struct cluster *cluster) {
    const struct controller *c = cluster->controller;
    return c != NULL && c->stored == NULL && raft_replica_health(c->replica) == STATUS_OK;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

enum status controller_open(struct cluster *cluster, const struct raft_config *founding,
                            struct diagnostic *diagnostic) {
    struct controller *c = mem_calloc(1, sizeof *c);
    c->cluster = cluster;
    c->opened_ns = io_now_ns(cluster->broker->io);
    list_init(&c->calls);
    list_init(&c->queue);
    struct raft_replica_options options = {.group = 0,
                                           .format = RAFT_FORMAT_PLAIN,
                                           .machine = &machine,
                                           .ctx = c,
                                           .founding = founding,
                                           .priority = RAFT_PRIORITY_MAX,
                                           .urgent = true};
    enum status status = raft_replica_open(cluster->host, &options, &c->replica, diagnostic);
    if (status != STATUS_OK) {
        mem_free(c);
        return status;
    }
    cluster->controller = c;
    return metadata_log_load(cluster->broker, &cluster->broker->metadata, diagnostic);
}

void controller_close(struct cluster *cluster) {
    struct controller *c = cluster->controller;
    if (c == NULL) return;
    if (c->next_scheduled) io_defer_cancel(&c->next);
    c->next_scheduled = true; /* nothing is run any more */
    fail_queue(c);
    LIST_FOREACH(it, &c->calls) {
        finish_call(CONTAINER_OF(it, struct controller_call, link), STATUS_CLOSED);
    }
    raft_replica_close(c->replica, false);
    forget_stored(c);
    mem_free(c);
    cluster->controller = NULL;
}
