// SPDX-License-Identifier: Apache-2.0
#include "broker/metadata_log.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "broker/controller.h"
#include "broker/keys.h"

#define NODE_VERSION         1
#define NODE_VERSION_CLUSTER 2 /* cluster.c */
#define ASK_AGAIN_NS         (300 * NS_PER_MS)
#define REFUSALS_MAX         5

struct metadata_log {
    struct broker *broker;
    struct list queue; /* struct metadata_request */
    struct metadata_request *current;
    struct store_write write;
    struct metadata_effects effects;
    /* In a cluster, of the current request. */
    struct controller_call call;
    struct raft_read_index read;
    struct io_timer timer; /* asks again */
    uint64_t deadline_ns;
    uint32_t refusals; /* by controllers, of what seems possible here */
    bool knows_all;    /* that was acknowledged before it was asked */
    bool configures;   /* BUSY: others have configured it meanwhile */
    bool unanswered;   /* the last request, until its time was up: there was no controller */
    bool calling, reading;
    struct io_op next;
    bool next_scheduled;
};

static void run_next(struct metadata_log *log);
static void ask_for_all(struct metadata_log *log);
static void ask_again(struct io_timer *timer);
static void command_durable(struct store_write *write);

static void next_deferred(struct io_op *op) {
    struct metadata_log *log = CONTAINER_OF(op, struct metadata_log, next);
    log->next_scheduled = false;
    run_next(log);
}

static void schedule(struct metadata_log *log) {
    if (log->next_scheduled || log->current != NULL || list_empty(&log->queue)) return;
    log->next_scheduled = true;
    log->next.done = next_deferred;
    io_defer(log->broker->io, &log->next);
}

/* ---- loading ------------------------------------------------------------------------------------------ */

enum status metadata_log_load(struct broker *broker, struct metadata *metadata,
                              struct diagnostic *diagnostic) {
    struct key lower = key_prefix(0, KEY_STATE), upper = key_prefix(0, KEY_RAFT);
    struct store_iterator *it = store_iterator_open(broker->store, key_slice(&lower), key_slice(&upper),
                                                    STORE_ITERATOR_BLOCKING, NULL, NULL);
    enum status status = store_iterator_seek(it, key_slice(&lower));
    while (status == STATUS_OK) {
        status = metadata_load(metadata, key_state_rest(store_iterator_key(it)),
                               store_iterator_value(it).bytes);
        if (status == STATUS_OK) status = store_iterator_next(it);
    }
    store_iterator_close(it);
    if (status == STATUS_END) return STATUS_OK;
    return diagnose(diagnostic, status == STATUS_MALFORMED ? STATUS_CORRUPT : status,
                    "the metadata in '%s' cannot be read: %s; look with 'sentinel inspect %s'",
                    broker->data_dir, status_text(status), broker->data_dir);
}

/* The directory remembers whose it is: two nodes that share an id or swap disks would lie to a cluster. */
static enum status check_node(struct broker *broker, bool *first_start, struct diagnostic *diagnostic) {
    struct key key = key_prefix(0, KEY_META);
    struct shared_slice value;
    enum status status = store_get_blocking(broker->store, key_slice(&key), &value);
    *first_start = status == STATUS_NOT_FOUND;
    if (status == STATUS_NOT_FOUND) return STATUS_OK;
    if (status != STATUS_OK)
        return diagnose(diagnostic, status, "the node's identity in '%s' cannot be read: %s",
                        broker->data_dir, status_text(status));
    struct reader in = reader_make(value.bytes);
    uint8_t version = reader_u8(&in);
    int32_t node_id = (int32_t)reader_be32(&in);
    bool member = version == NODE_VERSION_CLUSTER;
    bool ok = reader_ok(&in);
    shared_slice_unref(value);
    if (ok && member)
        return diagnose(diagnostic, STATUS_INVALID,
                        "'%s' belongs to a member of a cluster: start with --peers, as before",
                        broker->data_dir);
    if (!ok || version != NODE_VERSION)
        return diagnose(diagnostic, STATUS_CORRUPT, "the node's identity in '%s' is damaged",
                        broker->data_dir);
    if (node_id != broker->options.node_id)
        return diagnose(diagnostic, STATUS_INVALID,
                        "'%s' belongs to node %d, this is node %d: start with --node-id %d, or with another "
                        "--data-dir",
                        broker->data_dir, node_id, broker->options.node_id, node_id);
    return STATUS_OK;
}

void metadata_random_id(struct io *io, char text[METADATA_CLUSTER_ID_SIZE + 1]) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t bytes[METADATA_CLUSTER_ID_SIZE];
    io_random(io, bytes, sizeof bytes);
    for (unsigned i = 0; i < METADATA_CLUSTER_ID_SIZE; i++)
        text[i] = alphabet[bytes[i] & 63];
    text[METADATA_CLUSTER_ID_SIZE] = '\0';
}

struct founding {
    struct metadata_request request;
    struct broker *broker;
    char cluster_id[METADATA_CLUSTER_ID_SIZE + 1];
};

static enum status found_prepare(struct metadata_request *request, struct metadata_command *command) {
    struct founding *founding = CONTAINER_OF(request, struct founding, request);
    command->kind = METADATA_INIT;
    command->name = slice_from_text(founding->cluster_id);
    return STATUS_OK;
}

static void found_done(struct metadata_request *request, enum status status,
                       const struct metadata_effects *effects) {
    struct founding *founding = CONTAINER_OF(request, struct founding, request);
    (void)effects;
    if (status != STATUS_OK)
        log_error(founding->broker->log, "cluster id not stored reason=%s", status_name(status));
    mem_free(founding);
}

/* Every write of this node comes behind this one (store.h, I2): nothing acknowledged can outlive the
 * identity. */
static void found_cluster(struct broker *broker) {
    struct founding *founding = mem_calloc(1, sizeof *founding);
    founding->request = (struct metadata_request){.prepare = found_prepare, .done = found_done};
    founding->broker = broker;
    metadata_random_id(broker->io, founding->cluster_id);
    list_push_back(&broker->metadata_log->queue, &founding->request.link);
    run_next(broker->metadata_log);
}

enum status metadata_log_open(struct broker *broker, struct diagnostic *diagnostic) {
    struct metadata_log *log = mem_calloc(1, sizeof *log);
    log->broker = broker;
    list_init(&log->queue);
    metadata_effects_init(&log->effects);
    store_write_init(&log->write, command_durable);
    io_timer_init(&log->timer, ask_again);
    broker->metadata_log = log;
    bool first_start;
    if (broker->cluster != NULL) return STATUS_OK; /* by the controller, when it is there */
    enum status status = check_node(broker, &first_start, diagnostic);
    if (status == STATUS_OK) status = metadata_log_load(broker, &broker->metadata, diagnostic);
    if (status == STATUS_OK && first_start) found_cluster(broker);
    return status;
}

void metadata_log_close(struct broker *broker) {
    struct metadata_log *log = broker->metadata_log;
    if (log == NULL) return;
    if (log->next_scheduled) io_defer_cancel(&log->next);
    io_timer_cancel(broker->io, &log->timer);
    ASSERT(!log->reading);
    /* At a crash: nobody waits for an answer any more, but what the requests hold is given back. */
    ASSERT(!log->calling); /* the controller is closed before */
    if (log->current != NULL) log->current->done(log->current, STATUS_CLOSED, NULL);
    struct list *node;
    while ((node = list_pop_front(&log->queue)) != NULL) {
        struct metadata_request *request = CONTAINER_OF(node, struct metadata_request, link);
        request->done(request, STATUS_CLOSED, NULL);
    }
    store_write_abandon(&log->write);
    metadata_effects_release(&log->effects);
    mem_free(log);
    broker->metadata_log = NULL;
}

bool metadata_log_idle(const struct broker *broker) {
    return broker->metadata_log->current == NULL && list_empty(&broker->metadata_log->queue);
}

/* ---- proposing ---------------------------------------------------------------------------------------- */

static void put_state(struct metadata_log *log) {
    for (uint32_t i = 0; i < log->effects.key_count; i++) {
        const uint8_t *bytes = log->effects.bytes.data;
        struct key key = key_state(
            0, slice_make(bytes + log->effects.keys[i].key_at, log->effects.keys[i].key_size));
        struct slice value = slice_make(bytes + log->effects.keys[i].value_at,
                                        log->effects.keys[i].value_size);
        if (log->effects.keys[i].removed)
            store_delete(&log->write, key_slice(&key));
        else
            store_put(&log->write, key_slice(&key), (struct shared_slice){value, NULL});
    }
}

/* Neighbouring groups go with one range tombstone. */
static void drop_groups(struct metadata_log *log) {
    const uint64_t *groups = log->effects.dropped_groups;
    for (uint32_t i = 0; i < log->effects.dropped_count;) {
        uint32_t end = i + 1;
        while (end < log->effects.dropped_count && groups[end] == groups[end - 1] + 1)
            end++;
        struct key from = key_group_start(groups[i]), to = key_group_start(groups[end - 1] + 1);
        store_delete_range(&log->write, key_slice(&from), key_slice(&to));
        i = end;
    }
}

static void put_node(struct metadata_log *log) {
    struct writer value;
    writer_init(&value);
    writer_u8(&value, NODE_VERSION);
    writer_be32(&value, (uint32_t)log->broker->options.node_id);
    struct key key = key_prefix(0, KEY_META);
    store_put(&log->write, key_slice(&key), (struct shared_slice){writer_slice(&value), NULL});
    writer_release(&value);
}

static void finish(struct metadata_log *log, enum status status) {
    struct metadata_request *request = log->current;
    log->current = NULL;
    log->unanswered = status == STATUS_UNAVAILABLE && io_now_ns(log->broker->io) >= log->deadline_ns;
    request->done(request, status, status == STATUS_OK ? &log->effects : NULL);
    metadata_effects_release(&log->effects);
    schedule(log);
    broker_check_shutdown(log->broker);
}

static void command_durable(struct store_write *write) {
    struct metadata_log *log = CONTAINER_OF(write, struct metadata_log, write);
    struct broker *broker = log->broker;
    enum status status = write->status;
    store_write_release(write);
    if (status != STATUS_OK) {
        /* Nothing of it is stored, and the state in memory is one command ahead: go back to what is stored.
         */
        diagnose(log->current->diagnostic, status, "not stored: %s", status_text(status));
        metadata_release(&broker->metadata);
        metadata_init(&broker->metadata, broker->hash_seed);
        struct diagnostic why;
        if (metadata_log_load(broker, &broker->metadata, &why) != STATUS_OK)
            log_error(broker->log, "metadata reload failed: %s", why.text);
    }
    finish(log, status);
}

static void submit(struct metadata_log *log, const struct metadata_command *command) {
    struct metadata *m = &log->broker->metadata;
    uint64_t index = m->applied_index + 1;
    struct writer bytes;
    writer_init(&bytes);
    metadata_encode(command, &bytes);
    metadata_apply(m, index, command, &log->effects);
    store_write_init(&log->write, command_durable);
    struct key key = key_log(0, (int64_t)index);
    store_put(&log->write, key_slice(&key), (struct shared_slice){writer_slice(&bytes), NULL});
    writer_release(&bytes);
    if (command->kind == METADATA_INIT) put_node(log);
    put_state(log);
    drop_groups(log);
    if (index % METADATA_LOG_KEPT == 0 && index > METADATA_LOG_KEPT) {
        struct key from = key_log(0, 0), to = key_log(0, (int64_t)(index - METADATA_LOG_KEPT));
        store_delete_range(&log->write, key_slice(&from), key_slice(&to));
    }
    store_write_submit(log->broker->store, &log->write);
}

/* Refused because of what there is, or is not; not because of what was asked for. */
static bool is_about_state(const struct metadata_log *log, enum status status) {
    return status == STATUS_EXISTS || status == STATUS_UNKNOWN_TOPIC || status == STATUS_UNKNOWN_TOPIC_ID ||
           status == STATUS_INVALID_PARTITIONS || (status == STATUS_BUSY && log->configures);
}

static void call_done(struct controller_call *call) {
    struct metadata_log *log = CONTAINER_OF(call, struct metadata_log, call);
    log->calling = false;
    /* By a controller that was one, perhaps, or because this node knew too little: asked again by one who
     * knows everything. */
    if (is_about_state(log, call->status) && ++log->refusals < REFUSALS_MAX) {
        log->knows_all = false;
        ask_for_all(log);
        return;
    }
    if (call->status != STATUS_OK)
        diagnose(log->current->diagnostic, call->status, "%s", call->diagnostic.text);
    log->effects.first_producer_id = call->first_producer_id;
    finish(log, call->status);
}

static void submit_to_controller(struct metadata_log *log, const struct metadata_command *command) {
    log->calling = true;
    log->configures = command->kind == METADATA_SET_CONFIGS;
    log->call = (struct controller_call){.done = call_done};
    writer_init(&log->call.command);
    metadata_encode(command, &log->call.command);
    controller_submit(log->broker->cluster, &log->call);
}

static void attempt(struct metadata_log *log) {
    struct metadata_request *request = log->current;
    struct metadata_command command = {0};
    enum status status = broker_health(log->broker);
    if (status != STATUS_OK)
        diagnose(request->diagnostic, status, "this node takes no writes: %s", status_text(status));
    const struct cluster *cluster = log->broker->cluster;
    if (status == STATUS_OK && cluster != NULL && cluster->controller == NULL)
        status = diagnose(request->diagnostic, STATUS_UNAVAILABLE,
                          "the cluster is not formed yet: it begins when all nodes of --peers are there");
    if (status == STATUS_OK) status = request->prepare(request, &command);
    /* In a cluster the controller checks again, with the placement that it chooses. */
    bool unplaced = cluster != NULL && command.placement.size == 0 &&
                    (command.kind == METADATA_CREATE_TOPIC || command.kind == METADATA_ADD_PARTITIONS ||
                     command.kind == METADATA_SET_REPLICAS);
    if (status == STATUS_OK && !unplaced)
        status = metadata_check(&log->broker->metadata, &command, request->diagnostic);
    if (status == STATUS_OK && unplaced)
        status = metadata_check_name(&log->broker->metadata, &command, request->diagnostic);
    bool concludes = request->validate_only ? status == STATUS_OK || is_about_state(log, status)
                                            : is_about_state(log, status);
    if (concludes && cluster != NULL && !log->knows_all)
        ask_for_all(log);
    else if (status != STATUS_OK || request->validate_only)
        finish(log, status);
    else if (cluster != NULL)
        submit_to_controller(log, &command);
    else
        submit(log, &command);
}

/* ---- knowing enough ------------------------------------------------------------------------------------
 *
 * What this node knows may be old, and so may what a controller knows that is none any more. Nobody is told
 * that a topic is there, or is not, before everything is applied here that was acknowledged when he asked. */

static void knows_all(struct raft_read_index *read) {
    struct metadata_log *log = CONTAINER_OF(read, struct metadata_log, read);
    log->reading = false;
    if (read->status != STATUS_OK) return; /* the timer asks again */
    io_timer_cancel(log->broker->io, &log->timer);
    log->knows_all = true;
    attempt(log);
}

static enum status no_controller(struct metadata_log *log) {
    return diagnose(log->current->diagnostic, STATUS_UNAVAILABLE,
                    "no controller says what there is: fewer than half of the nodes are there");
}

static void ask_for_all(struct metadata_log *log) {
    struct io *io = log->broker->io;
    struct raft_replica *replica = controller_replica(log->broker->cluster);
    if (replica == NULL || io_now_ns(io) >= log->deadline_ns) {
        finish(log, no_controller(log));
        return;
    }
    io_timer_set(io, &log->timer, io_now_ns(io) + ASK_AGAIN_NS);
    log->reading = true;
    log->read = (struct raft_read_index){.done = knows_all};
    raft_replica_read_index(replica, &log->read);
}

static void ask_again(struct io_timer *timer) {
    struct metadata_log *log = CONTAINER_OF(timer, struct metadata_log, timer);
    if (log->reading) raft_read_index_cancel(&log->read);
    log->reading = false;
    ask_for_all(log);
}

static void run_next(struct metadata_log *log) {
    struct list *node = log->current != NULL ? NULL : list_pop_front(&log->queue);
    if (node == NULL) return;
    log->current = CONTAINER_OF(node, struct metadata_request, link);
    log->knows_all = false;
    log->refusals = 0;
    uint64_t now_ns = io_now_ns(log->broker->io);
    /* Those before it have waited for a controller, and it with them: its time is theirs. */
    if (log->unanswered && now_ns - log->current->proposed_ns >= CONTROLLER_TIMEOUT_NS) {
        finish(log, no_controller(log));
        return;
    }
    log->deadline_ns = now_ns + CONTROLLER_TIMEOUT_NS;
    attempt(log);
}

void metadata_log_propose(struct broker *broker, struct metadata_request *request) {
    request->proposed_ns = io_now_ns(broker->io);
    list_push_back(&broker->metadata_log->queue, &request->link);
    schedule(broker->metadata_log);
}
