// SPDX-License-Identifier: Apache-2.0
#include "broker/state_log.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "broker/cluster.h"
#include "broker/keys.h"

#define META_VERSION 1

struct state_log {
    struct broker *broker;
    uint64_t group;
    const struct state_log_hooks *hooks;
    void *ctx;
    uint64_t proposed, committed;
    bool ready;
    struct list writes;           /* struct proposal, by index */
    struct raft_replica *replica; /* in a cluster */
    struct io_op later;           /* look whether to load */
    bool later_scheduled;
    struct io_timer retry;
};

struct proposal {
    struct list link;
    struct state_log *log;
    struct store_write write;    /* alone */
    struct raft_propose propose; /* in a cluster */
    bool in_log;
    uint64_t index;
};

/* ---- loading ------------------------------------------------------------------------------------------- */

static enum status load_index(struct state_log *log) {
    struct key key = key_prefix(log->group, KEY_META);
    struct shared_slice value;
    enum status status = store_get_blocking(log->broker->store, key_slice(&key), &value);
    log->proposed = log->committed = 0;
    if (status == STATUS_NOT_FOUND) return STATUS_OK;
    if (status != STATUS_OK) return status;
    struct reader in = reader_make(value.bytes);
    uint8_t version = reader_u8(&in);
    log->proposed = log->committed = reader_be64(&in);
    bool ok = reader_ok(&in) && version == META_VERSION;
    shared_slice_unref(value);
    return ok ? STATUS_OK : STATUS_CORRUPT;
}

static enum status load_keys(struct state_log *log) {
    struct key lower = key_prefix(log->group, KEY_STATE), upper = key_prefix(log->group, KEY_RAFT);
    struct store_iterator *it = store_iterator_open(log->broker->store, key_slice(&lower), key_slice(&upper),
                                                    STORE_ITERATOR_BLOCKING, NULL, NULL);
    enum status status = store_iterator_seek(it, key_slice(&lower));
    while (status == STATUS_OK) {
        status = log->hooks->load(log->ctx, key_state_rest(store_iterator_key(it)),
                                  store_iterator_value(it).bytes);
        if (status == STATUS_OK) status = store_iterator_next(it);
    }
    store_iterator_close(it);
    return status == STATUS_END ? STATUS_OK : status;
}

static enum status load(struct state_log *log) {
    ASSERT(list_empty(&log->writes) && !log->ready); /* I2 */
    /* In a cluster the numbers only tell what is answered by what: nothing waits for proposals that are gone.
     */
    enum status status = STATUS_OK;
    if (log->replica != NULL)
        log->committed = log->proposed;
    else
        status = load_index(log);
    if (status == STATUS_OK) status = load_keys(log);
    if (status == STATUS_OK) status = log->hooks->ready(log->ctx);
    log->ready = status == STATUS_OK;
    return status == STATUS_MALFORMED ? STATUS_CORRUPT : status;
}

static bool may_load(const struct state_log *log) {
    if (log->broker->cluster == NULL) return true;
    return log->replica != NULL && raft_replica_is_settled(log->replica) &&
           raft_replica_applied(log->replica) >= raft_replica_raft(log->replica)->term_start;
}

static void load_again(struct state_log *log) {
    if (log->broker->closing || log->ready || !list_empty(&log->writes) || !may_load(log)) return;
    enum status status = load(log);
    if (status == STATUS_OK) return;
    log->hooks->lost(log->ctx, status);
    /* Another member may be able to read what this one cannot. */
    if (log->replica != NULL) MAYBE(raft_replica_transfer(log->replica, RAFT_NO_ID) == STATUS_OK);
    io_timer_set(log->broker->io, &log->retry, io_now_ns(log->broker->io) + STATE_LOG_RETRY_NS);
}

static void retry_fired(struct io_timer *timer) {
    load_again(CONTAINER_OF(timer, struct state_log, retry));
}

enum status state_log_open(struct broker *broker, uint64_t group, const struct state_log_hooks *hooks,
                           void *ctx, struct state_log **result) {
    struct state_log *log = mem_calloc(1, sizeof *log);
    log->broker = broker;
    log->group = group;
    log->hooks = hooks;
    log->ctx = ctx;
    list_init(&log->writes);
    io_timer_init(&log->retry, retry_fired);
    *result = log;
    return broker->cluster != NULL ? STATUS_OK : load(log);
}

static void proposal_free(struct proposal *proposal) {
    list_remove(&proposal->link);
    raft_propose_cancel(&proposal->propose);
    store_write_release(&proposal->write);
    mem_free(proposal);
}

void state_log_close(struct state_log *log) {
    state_log_leave(log);
    if (log->later_scheduled) io_defer_cancel(&log->later);
    LIST_FOREACH(it, &log->writes) {
        struct proposal *proposal = CONTAINER_OF(it, struct proposal, link);
        store_write_abandon(&proposal->write);
        proposal_free(proposal);
    }
    io_timer_cancel(log->broker->io, &log->retry);
    mem_free(log);
}

/* ---- proposing ----------------------------------------------------------------------------------------- */

static enum status put_keys(struct state_log *log, struct store_write *write, struct slice encoded) {
    struct state_change_entry entry;
    enum status status = state_change_begin(&encoded);
    while (status == STATUS_OK && (status = state_change_next(&encoded, &entry)) == STATUS_OK) {
        struct key key = key_state(log->group, entry.key);
        if (entry.removed)
            store_delete(write, key_slice(&key));
        else
            store_put(write, key_slice(&key), (struct shared_slice){entry.value, NULL});
    }
    return status;
}

static void put_meta(struct state_log *log, struct proposal *proposal) {
    uint8_t value[9] = {META_VERSION};
    store_be64(value + 1, proposal->index);
    struct key key = key_prefix(log->group, KEY_META);
    store_put(&proposal->write, key_slice(&key),
              (struct shared_slice){slice_make(value, sizeof value), NULL});
}

static void change_durable(struct store_write *write) {
    struct proposal *proposal = CONTAINER_OF(write, struct proposal, write);
    struct state_log *log = proposal->log;
    enum status status = write->status;
    uint64_t index = proposal->index;
    proposal_free(proposal);
    if (status == STATUS_OK && log->ready) {
        ASSERT_EQ(index, log->committed + 1);
        log->committed = index;
        log->hooks->committed(log->ctx);
    } else if (status != STATUS_OK && log->ready) {
        log->ready = false;
        log_error(log->broker->log, "coordinator state not stored group=%llu reason=%s",
                  (unsigned long long)log->group, status_name(status));
        log->hooks->lost(log->ctx, status);
    }
    if (!log->ready && list_empty(&log->writes)) load_again(log);
    broker_check_shutdown(log->broker);
}

/* ---- in a cluster -------------------------------------------------------------------------------------- */

static void lose(struct state_log *log, enum status why) {
    LIST_FOREACH(it, &log->writes) {
        proposal_free(CONTAINER_OF(it, struct proposal, link));
    }
    bool was_ready = log->ready;
    log->ready = false;
    if (was_ready) log->hooks->lost(log->ctx, why);
}

static void proposed(struct raft_propose *propose) {
    struct proposal *proposal = CONTAINER_OF(propose, struct proposal, propose);
    struct state_log *log = proposal->log;
    proposal->in_log = propose->status == STATUS_OK;
    if (!proposal->in_log) lose(log, propose->status);
}

static void propose(struct state_log *log, struct proposal *proposal, struct slice encoded) {
    struct buffer *payload = buffer_copy(encoded);
    proposal->propose = (struct raft_propose){
        .payload = {slice_make(payload->data, payload->size), payload}, .count = 1, .done = proposed};
    list_init(&proposal->propose.link);
    raft_replica_propose(log->replica, &proposal->propose);
    buffer_unref(payload);
}

static void look_later(struct io_op *op) {
    struct state_log *log = CONTAINER_OF(op, struct state_log, later);
    log->later_scheduled = false;
    load_again(log);
}

static void schedule_look(struct state_log *log) {
    if (log->later_scheduled || log->ready) return;
    log->later_scheduled = true;
    log->later = (struct io_op){.done = look_later};
    io_defer(log->broker->io, &log->later);
}

static void apply_entry(struct state_log *log, const struct raft_entry *entry, struct store_write *write) {
    if (put_keys(log, write, entry->payload.bytes) != STATUS_END)
        log_error(log->broker->log, "coordinator change does not parse group=%llu position=%llu",
                  (unsigned long long)log->group, (unsigned long long)entry->base);
    struct list *first = list_first(&log->writes);
    struct proposal *proposal = first == NULL ? NULL : CONTAINER_OF(first, struct proposal, link);
    if (proposal == NULL || !proposal->in_log || proposal->propose.base != entry->base ||
        proposal->propose.term != entry->term)
        return;
    log->committed = proposal->index;
    proposal_free(proposal);
}

static void apply(void *ctx, const struct raft_entry *entries, uint32_t count, struct store_write *write) {
    struct state_log *log = ctx;
    uint64_t before = log->committed;
    for (uint32_t i = 0; i < count; i++)
        if (entries[i].kind == RAFT_ENTRY_DATA) apply_entry(log, &entries[i], write);
    if (log->ready && log->committed != before) log->hooks->committed(log->ctx);
    schedule_look(log);
}

static void changed(void *ctx) {
    struct state_log *log = ctx;
    if (log->replica == NULL) return;
    if (raft_replica_is_leader(log->replica))
        cluster_announce(log->broker->cluster, log->replica);
    else
        lose(log, STATUS_NOT_LEADER);
    schedule_look(log);
}

static void failed(void *ctx, enum status status) {
    lose(ctx, status);
}

static const struct raft_machine machine = {
    .apply = apply, .changed = changed, .failed = failed, .snapshot_kinds = 1u << KEY_STATE};

enum status state_log_join(struct state_log *log, const struct raft_config *founding,
                           struct diagnostic *diagnostic) {
    struct raft_replica_options options = {.group = log->group,
                                           .format = RAFT_FORMAT_PLAIN,
                                           .machine = &machine,
                                           .ctx = log,
                                           .founding = founding,
                                           .priority = RAFT_PRIORITY_MAX,
                                           .urgent = true};
    return raft_replica_open(log->broker->cluster->host, &options, &log->replica, diagnostic);
}

void state_log_leave(struct state_log *log) {
    if (log->replica == NULL) return;
    lose(log, STATUS_NOT_LEADER);
    if (!log->broker->abandoning) raft_replica_save(log->replica);
    raft_replica_close(log->replica, false);
    log->replica = NULL;
}

void state_log_tick(struct state_log *log) {
    if (log->replica == NULL) return;
    uint64_t applied = raft_replica_applied(log->replica);
    if (applied > raft_replica_raft(log->replica)->log.start + 2 * STATE_LOG_KEPT)
        raft_replica_compact(log->replica, applied - STATE_LOG_KEPT);
}

struct raft_replica *state_log_replica(const struct state_log *log) {
    return log->replica;
}

/* ---- proposing, continued -------------------------------------------------------------------------------
 */

uint64_t state_log_propose(struct state_log *log, const struct state_change *change) {
    ASSERT(log->ready && change->count > 0);
    struct proposal *proposal = mem_calloc(1, sizeof *proposal);
    proposal->log = log;
    proposal->index = ++log->proposed;
    list_push_back(&log->writes, &proposal->link);
    list_init(&proposal->propose.link);
    store_write_init(&proposal->write, change_durable);
    struct writer encoded;
    writer_init(&encoded);
    state_change_encode(change, &encoded);
    if (log->replica != NULL) {
        propose(log, proposal, writer_slice(&encoded));
        writer_release(&encoded);
        return log->proposed;
    }
    struct key key = key_log(log->group, (int64_t)proposal->index);
    store_put(&proposal->write, key_slice(&key), (struct shared_slice){writer_slice(&encoded), NULL});
    enum status status = put_keys(log, &proposal->write, writer_slice(&encoded));
    ASSERT(status == STATUS_END);
    writer_release(&encoded);
    put_meta(log, proposal);
    if (proposal->index % STATE_LOG_KEPT == 0 && proposal->index > STATE_LOG_KEPT) {
        struct key from = key_log(log->group, 0),
                   to = key_log(log->group, (int64_t)(proposal->index - STATE_LOG_KEPT));
        store_delete_range(&proposal->write, key_slice(&from), key_slice(&to));
    }
    store_write_submit(log->broker->store, &proposal->write);
    return proposal->index;
}

bool state_log_is_ready(const struct state_log *log) {
    return log->ready;
}

bool state_log_idle(const struct state_log *log) {
    return list_empty(&log->writes);
}

uint64_t state_log_proposed(const struct state_log *log) {
    return log->proposed;
}

uint64_t state_log_committed(const struct state_log *log) {
    return log->committed;
}
