// SPDX-License-Identifier: Apache-2.0
/* One group on this node: a step, its effects, its writes, its end. */
#include "broker/raft_replica.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "broker/keys.h"
#include "wire/record_batch.h"

/* So many campaigns in a row without a leader: nobody is there to lead. */
#define VAIN_CAMPAIGNS_STRANDED 3

/* ---- writes ------------------------------------------------------------------------------------------- */

static void forget_founding(struct raft_replica *r) {
    mem_free(r->founding);
    r->founding = NULL;
}

static void write_done(struct store_write *store_write) {
    struct replica_write *write = CONTAINER_OF(store_write, struct replica_write, write);
    struct raft_replica *r = write->replica;
    enum status status = store_write->status;
    if (r != NULL) {
        r->writes_in_flight--;
        if (status != STATUS_OK) {
            replica_fail(r, status);
        } else if (r->failure == STATUS_OK) {
            if (write->number != 0) {
                ASSERT_LT(r->persisted, write->number); /* I3 */
                r->persisted = write->number;
                const struct raft_host_watch *watch = r->host->options.watch;
                if (watch != NULL && watch->durable != NULL)
                    watch->durable(r->host->options.watch_ctx, &r->raft, write->number);
            }
            r->compacted = MAX(r->compacted, write->compacted);
            if (write->founds) forget_founding(r);
            replica_snapshot_stored(r, write);
            raft_host_wake(r);
        }
    }
    list_remove(&write->own);
    list_remove(&write->link);
    store_write_release(store_write);
    mem_free(write);
}

struct replica_write *replica_write_new(struct raft_replica *r) {
    struct replica_write *write = mem_calloc(1, sizeof *write);
    store_write_init(&write->write, write_done);
    write->host = r->host;
    write->replica = r;
    list_init(&write->link);
    list_init(&write->own);
    return write;
}

void replica_write_submit(struct replica_write *write) {
    list_push_back(&write->host->writes, &write->link);
    if (write->replica != NULL) {
        list_push_back(&write->replica->writes, &write->own);
        write->replica->writes_in_flight++;
    }
    store_write_submit(write->host->options.store, &write->write);
}

/* ---- messages ----------------------------------------------------------------------------------------- */

/* What leaves is shown as the receiver will read it. */
static bool watch_lets_go(struct raft_replica *r, const struct chain *bytes) {
    const struct raft_host_watch *watch = r->host->options.watch;
    if (watch == NULL || watch->leaving == NULL) return true;
    struct raft_message_decoder decoder;
    struct shared_slice copy = chain_whole(bytes);
    raft_message_decoder_init(&decoder);
    enum status status = raft_message_decode(&decoder, copy);
    ASSERT(status == STATUS_OK);
    bool goes = watch->leaving(r->host->options.watch_ctx, &r->raft, &decoder.message);
    raft_message_decoder_release(&decoder);
    shared_slice_unref(copy);
    return goes;
}

/* The one place where messages leave; what is left of them is the caller's. */
static void send(struct raft_replica *r, uint64_t after_write, uint32_t node, struct chain *bytes) {
    ASSERT_LE(after_write, r->persisted); /* I1 */
    r->host->stats.messages_sent++;
    if (watch_lets_go(r, bytes)) r->host->options.send(r->host->options.ctx, node, bytes);
}

static void send_or_hold(struct raft_replica *r, const struct raft_message *m) {
    struct chain *bytes = &r->host->outgoing;
    ASSERT_EQ(bytes->size, (size_t)0);
    raft_message_encode(m, &r->host->scratch, bytes);
    uint32_t node = raft_id_node(m->to);
    if (m->after_write <= r->persisted) {
        send(r, m->after_write, node, bytes);
        chain_consume(bytes, bytes->size);
        return;
    }
    struct held_message *held = mem_calloc(1, sizeof *held);
    *held = (struct held_message){.after_write = m->after_write, .node = node, .bytes = *bytes};
    chain_init(bytes);
    list_push_back(&r->held, &held->link);
}

static void drop_held(struct raft_replica *r, uint64_t persisted, bool sending) {
    LIST_FOREACH(it, &r->held) {
        struct held_message *held = CONTAINER_OF(it, struct held_message, link);
        if (held->after_write > persisted) continue;
        list_remove(it);
        if (sending) send(r, held->after_write, held->node, &held->bytes);
        chain_release(&held->bytes);
        mem_free(held);
    }
}

/* ---- reads that must see everything -------------------------------------------------------------------- */

static void finish_read(struct raft_read_index *read, enum status status) {
    list_remove(&read->link);
    read->status = status;
    read->done(read);
}

static void fail_reads(struct list *reads, enum status status) {
    struct list gone, *first;
    list_init(&gone);
    list_append(&gone, reads);
    while ((first = list_first(&gone)) != NULL) /* each may cancel others */
        finish_read(CONTAINER_OF(first, struct raft_read_index, link), status);
}

static void take_read_states(struct raft_replica *r, const struct raft_effects *e) {
    for (uint32_t i = 0; i < e->read_count; i++) {
        LIST_FOREACH(it, &r->asked) {
            struct raft_read_index *read = CONTAINER_OF(it, struct raft_read_index, link);
            if (read->context != e->reads[i].context) continue;
            read->position = e->reads[i].position;
            list_remove(it);
            list_push_back(&r->awaited, it);
        }
    }
}

static void ask_reads(struct raft_replica *r) {
    struct list *node;
    while (r->failure == STATUS_OK && (node = list_pop_front(&r->unasked)) != NULL) {
        struct raft_read_index *read = CONTAINER_OF(node, struct raft_read_index, link);
        read->context = ++r->read_context;
        list_push_back(&r->asked, node);
        struct raft_event event = {.kind = RAFT_EVENT_READ_INDEX, .read_context = read->context};
        enum status status = replica_step(r, &event);
        if (status != STATUS_OK) finish_read(read, status);
    }
}

/* A snapshot that is on its way to the disk counts as applied, but only when it is there is it known that the
 * store took it: one that has failed answers with what it had before. */
static void finish_reads(struct raft_replica *r) {
    if (r->install_write > r->persisted) return;
    LIST_FOREACH(it, &r->awaited) {
        struct raft_read_index *read = CONTAINER_OF(it, struct raft_read_index, link);
        if (read->position <= r->applied) finish_read(read, STATUS_OK);
    }
}

void raft_replica_read_index(struct raft_replica *r, struct raft_read_index *read) {
    list_push_back(&r->unasked, &read->link);
    raft_host_wake(r);
}

void raft_read_index_cancel(struct raft_read_index *read) {
    list_remove(&read->link);
}

/* ---- effects ------------------------------------------------------------------------------------------ */

static void set_timer(struct raft_replica *r, uint64_t deadline_ns) {
    if (deadline_ns == RAFT_NEVER) return;
    if (io_timer_armed(&r->timer) && r->timer.deadline_ns <= deadline_ns) return;
    io_timer_set(r->host->options.io, &r->timer, deadline_ns);
}

static void write_effects(struct raft_replica *r, const struct raft_effects *e) {
    const struct raft_machine *machine = r->options.machine;
    struct replica_write *write = replica_write_new(r);
    bool is_new = !raft_store_is_repair(&r->raft, e);
    write->number = e->write;
    write->write.cold = !raft_is_leader(&r->raft) && !r->host->options.copies_are_read;
    if (e->install != NULL) replica_snapshot_install(r, &write->write);
    if (!is_new && machine->repairing != NULL) machine->repairing(r->options.ctx, &write->write);
    raft_store_put(&write->write, &r->raft, r->options.format, e);
    replica_write_submit(write);
    if (e->truncate && machine->truncated != NULL) machine->truncated(r->options.ctx, e->truncate_from);
    if (e->install != NULL) {
        r->install_write = e->write;
        replica_apply_reset(r, r->applied);
        if (machine->installing != NULL) machine->installing(r->options.ctx);
        raft_host_wake(r);
    }
    if (e->entry_count > 0 && is_new && machine->appended != NULL)
        machine->appended(r->options.ctx, e->entries, e->entry_count);
}

static void carry_out(struct raft_replica *r, const struct raft_effects *e) {
    if (e->write != 0) write_effects(r, e);
    for (uint32_t i = 0; i < e->message_count; i++)
        send_or_hold(r, &e->messages[i]);
    for (uint32_t i = 0; i < e->entry_read_count; i++)
        replica_entry_read_start(r, &e->entry_reads[i]);
    replica_lanes_look(r);
    for (uint32_t i = 0; i < e->snapshot_read_count; i++)
        replica_snapshot_read(r, &e->snapshot_reads[i]);
    if (e->snapshot_discard != 0) replica_snapshot_forget(r);
    if (e->snapshot_write != NULL) replica_snapshot_take(r, e->snapshot_write);
    take_read_states(r, e);
    if (e->commit_end > r->applied || !list_empty(&r->awaited)) raft_host_wake(r);
    if (e->role_changed) {
        fail_reads(&r->asked, STATUS_NOT_LEADER);
        if (raft_is_leader(&r->raft)) {
            r->host->stats.elections++;
            raft_host_elected(r);
        } else {
            replica_snapshot_sends_drop(r);
        }
    }
    if ((e->role_changed || e->config_changed) && r->options.machine->changed != NULL)
        r->options.machine->changed(r->options.ctx);
    set_timer(r, e->deadline);
}

static enum status step(struct raft_replica *r, struct raft_event *event) {
    struct raft_host *host = r->host;
    ASSERT(!host->stepping && r->failure == STATUS_OK);
    host->stats.steps++;
    event->now_ns = io_now_ns(host->options.io);
    host->stepping = true;
    const struct raft_host_watch *watch = host->options.watch;
    void *ctx = host->options.watch_ctx;
    if (watch != NULL && watch->before != NULL) watch->before(ctx, &r->raft, event);
    return raft_step(&r->raft, event, &host->effects);
}

static void show_step(struct raft_replica *r, const struct raft_event *event, enum status status) {
    const struct raft_host *host = r->host;
    if (host->options.watch != NULL && host->options.watch->after != NULL)
        host->options.watch->after(host->options.watch_ctx, &r->raft, event, &host->effects, status);
}

enum status replica_step(struct raft_replica *r, struct raft_event *event) {
    enum status status = step(r, event);
    show_step(r, event, status);
    carry_out(r, &r->host->effects);
    r->host->stepping = false;
    return status;
}

static void timer_fired(struct io_timer *timer);

/* ---- proposing ---------------------------------------------------------------------------------------- */

static void finish_proposal(struct raft_propose *propose, enum status status) {
    list_remove(&propose->link);
    propose->status = status;
    struct shared_slice payload = propose->payload;
    propose->done(propose);
    shared_slice_unref(payload);
}

/* The first `count` proposals were accepted: where they are, also in the headers of batches. */
static void place_proposals(struct raft_replica *r, uint32_t count) {
    uint64_t base = r->host->effects.proposed_base;
    LIST_FOREACH(it, &r->proposals) {
        if (count-- == 0) break;
        struct raft_propose *propose = CONTAINER_OF(it, struct raft_propose, link);
        propose->base = base;
        propose->term = r->raft.term;
        if (r->options.format == RAFT_FORMAT_BATCHES)
            record_batch_set_base((uint8_t *)(uintptr_t)propose->payload.bytes.data, (int64_t)base,
                                  (int32_t)propose->term);
        base += propose->count;
    }
}

/* The first `count` proposals as one step. */
static enum status propose_some(struct raft_replica *r, uint32_t count) {
    struct raft_host *host = r->host;
    if (count > host->proposal_capacity) {
        host->proposal_capacity = MAX(count, host->proposal_capacity * 2);
        host->proposals = mem_realloc(host->proposals, host->proposal_capacity * sizeof *host->proposals);
    }
    uint32_t n = 0;
    uint64_t bytes = 0;
    LIST_FOREACH(it, &r->proposals) {
        if (n == count) break;
        const struct raft_propose *propose = CONTAINER_OF(it, struct raft_propose, link);
        host->proposals[n++] = (struct raft_proposal){propose->payload, propose->count};
        bytes += propose->payload.bytes.size;
    }
    raft_bulk_live(&host->bulk, bytes);
    struct raft_event event = {.kind = RAFT_EVENT_PROPOSE, .propose = {host->proposals, count}};
    enum status status = step(r, &event);
    if (status == STATUS_OK) place_proposals(r, count);
    show_step(r, &event, status);
    for (uint32_t i = 0; status == STATUS_OK && i < count; i++)
        finish_proposal(CONTAINER_OF(list_first(&r->proposals), struct raft_propose, link), STATUS_OK);
    carry_out(r, &host->effects);
    host->stepping = false;
    return status;
}

static void refuse_proposals(struct raft_replica *r, enum status status) {
    struct list gone, *first;
    list_init(&gone);
    list_append(&gone, &r->proposals);
    while ((first = list_first(&gone)) != NULL) /* each may cancel others */
        finish_proposal(CONTAINER_OF(first, struct raft_propose, link), status);
}

static void propose_all(struct raft_replica *r) {
    uint32_t count = 0;
    LIST_FOREACH(it, &r->proposals) {
        count++;
    }
    if (count == 0) return;
    enum status status = propose_some(r, count);
    /* Not all fit: as many as do, in their order. */
    while (status == STATUS_BUSY && count > 1 && !list_empty(&r->proposals)) {
        status = propose_some(r, 1);
        if (status == STATUS_OK)
            status = list_empty(&r->proposals) ? STATUS_OK : STATUS_BUSY;
        else
            break;
    }
    if (status != STATUS_OK) refuse_proposals(r, status);
}

void raft_replica_propose(struct raft_replica *r, struct raft_propose *propose) {
    ASSERT(propose->count > 0);
    ASSERT(propose->payload.owner != NULL || r->options.format == RAFT_FORMAT_PLAIN);
    shared_slice_ref(propose->payload);
    list_push_back(&r->proposals, &propose->link);
    raft_host_wake(r);
}

void raft_propose_cancel(struct raft_propose *propose) {
    if (list_empty(&propose->link)) return;
    list_remove(&propose->link);
    shared_slice_unref(propose->payload);
}

/* ---- the end of the turn ------------------------------------------------------------------------------ */

static void tell_persisted(struct raft_replica *r) {
    if (r->persisted > r->raft.write_persisted) {
        struct raft_event event = {.kind = RAFT_EVENT_PERSISTED, .write = r->persisted};
        MAYBE(replica_step(r, &event) == STATUS_OK);
    }
    drop_held(r, r->persisted, true);
}

static void tell_compacted(struct raft_replica *r) {
    if (r->compacted <= r->raft.log.start) return;
    struct raft_event event = {.kind = RAFT_EVENT_COMPACTED, .position = r->compacted};
    MAYBE(replica_step(r, &event) == STATUS_OK);
}

void replica_work(struct raft_replica *r) {
    if (r->failure == STATUS_OK) tell_persisted(r);
    if (r->failure == STATUS_OK) MAYBE(replica_is_mute(r)); /* not any more? */
    if (r->failure != STATUS_OK) {
        refuse_proposals(r, r->failure);
        fail_reads(&r->unasked, r->failure);
        return;
    }
    propose_all(r);
    tell_compacted(r);
    replica_mend_records(r);
    replica_entry_reads_finish(r);
    replica_snapshot_reads_finish(r);
    replica_snapshot_told(r);
    ask_reads(r);
    if (r->failure == STATUS_OK) replica_snapshot_unpack(r);
    replica_apply(r);
    if (r->failure == STATUS_OK) finish_reads(r);
}

static void timer_fired(struct io_timer *timer) {
    struct raft_replica *r = CONTAINER_OF(timer, struct raft_replica, timer);
    uint64_t deadline = raft_deadline(&r->raft);
    if (deadline > io_now_ns(r->host->options.io)) {
        set_timer(r, deadline);
        return;
    }
    struct raft_event event = {.kind = RAFT_EVENT_TIMER};
    MAYBE(replica_step(r, &event) == STATUS_OK);
}

/* ---- life --------------------------------------------------------------------------------------------- */

static void release_raft(struct raft_replica *r) {
    const struct raft_host_watch *watch = r->host->options.watch;
    if (watch != NULL && watch->stopped != NULL && !r->hollow)
        watch->stopped(r->host->options.watch_ctx, &r->raft);
    raft_release(&r->raft);
}

/* There may be no room for it now. */
static void keep_founding(struct raft_replica *r, const struct raft_config *config) {
    size_t size = raft_config_size(config->member_count);
    r->founding = mem_alloc(size);
    memcpy(r->founding, config, size);
}

static enum status load(struct raft_replica *r, struct diagnostic *diagnostic) {
    struct raft_host *host = r->host;
    struct raft_loaded loaded;
    enum status status = raft_store_load(host->options.store, r->options.group, r->options.format, &loaded,
                                         diagnostic);
    if (status != STATUS_OK) return status;
    status = raft_store_load_floor(host->options.store, r->options.group, &r->floor);
    if (status == STATUS_OK && loaded.incoming.complete) {
        status = replica_snapshot_unpack_now(r);
        loaded.incoming = (struct raft_incoming){0};
    }
    if (status != STATUS_OK) {
        raft_loaded_release(&loaded);
        return diagnose(diagnostic, status, "a snapshot that group %" PRIu64 " received cannot be read",
                        r->options.group);
    }
    if (!loaded.found && r->options.founding != NULL) keep_founding(r, r->options.founding);
    if (loaded.config != NULL) forget_founding(r);
    if (r->founding != NULL) {
        struct replica_write *write = replica_write_new(r);
        write->founds = true;
        raft_store_create(&write->write, r->options.group, r->founding);
        replica_write_submit(write);
        loaded.start.config = r->founding;
    }
    loaded.start.seed = prng_next(
        &host->prng); /* another at each start: answers to an earlier life are told apart */
    loaded.start.priority = r->floor.end == 0 ? r->options.priority : 0;
    loaded.start.campaign_in_ns = r->options.campaign_in_ns;
    raft_init(&r->raft, &host->options.raft, &loaded.start, io_now_ns(host->options.io));
    if (host->options.watch != NULL && host->options.watch->started != NULL)
        host->options.watch->started(host->options.watch_ctx, &r->raft, &loaded.start);
    r->applied = r->applied_stored = loaded.start.applied_end;
    r->persisted = 0;
    r->install_write = 0;
    r->compacted = 0;
    r->incoming = loaded.incoming;
    raft_loaded_release(&loaded);
    set_timer(r, raft_deadline(&r->raft));
    raft_host_wake(r); /* what is known to be committed is applied */
    return STATUS_OK;
}

enum status raft_replica_open(struct raft_host *host, const struct raft_replica_options *options,
                              struct raft_replica **result, struct diagnostic *diagnostic) {
    ASSERT(raft_host_find(host, options->group) == NULL);
    struct raft_replica *r = mem_calloc(1, sizeof *r);
    r->host = host;
    r->options = *options;
    list_init(&r->dirty);
    list_init(&r->telling);
    list_init(&r->writes);
    list_init(&r->proposals);
    list_init(&r->held);
    list_init(&r->asked);
    list_init(&r->awaited);
    list_init(&r->unasked);
    list_init(&r->entry_reads);
    list_init(&r->lanes);
    list_init(&r->sends);
    io_timer_init(&r->timer, timer_fired);
    raft_reader_init(&r->applying, host->options.store, options->group, options->format, NULL);
    enum status status = load(r, diagnostic);
    if (status != STATUS_OK) {
        mem_free(r);
        return status;
    }
    r->options.founding = NULL; /* the caller's; what is needed of it was copied */
    uint8_t key[8];
    store_be64(key, options->group);
    map_put(&host->replicas, slice_make(key, sizeof key), r);
    r->told = host->news_number;
    list_push_back(&host->telling, &r->telling);
    *result = r;
    return STATUS_OK;
}

static void drop_all(struct raft_replica *r, enum status status) {
    struct io *io = r->host->options.io;
    io_timer_cancel(io, &r->timer);
    drop_held(r, UINT64_MAX, false);
    replica_entry_reads_drop(r);
    replica_snapshot_sends_drop(r);
    replica_snapshot_reset(r);
    replica_apply_reset(r, r->applied);
    refuse_proposals(r, status);
    fail_reads(&r->unasked, status);
    fail_reads(&r->asked, status);
    fail_reads(&r->awaited, status);
}

static bool is_below_floor(const struct raft_replica *r) {
    if (r->floor.end == 0) return false;
    uint64_t end = raft_durable_end(&r->raft), term = 0;
    return !raft_term_at(&r->raft, end, &term) || term < r->floor.term ||
           (term == r->floor.term && end < r->floor.end);
}

bool replica_is_mute(struct raft_replica *r) {
    if (r->floor.end == 0) return false;
    if (is_below_floor(r)) return true;
    r->floor = (struct raft_floor){0};
    raft_replica_set_priority(r, r->options.priority);
    return false;
}

/* How far it was, in this life or the one before. */
static struct raft_floor floor_of(const struct raft_replica *r) {
    struct raft_floor floor = {.end = r->raft.log.end};
    if (r->hollow) {
        raft_store_find_floor(r->host->options.store, r->options.group, r->options.format, &floor);
        return floor;
    }
    if (is_below_floor(r)) return r->floor;
    MAYBE(raft_term_at(&r->raft, floor.end, &floor.term));
    return floor;
}

void raft_replica_leave(struct raft_replica *r) {
    struct replica_write *write = replica_write_new(r);
    /* One that stands still may know more than is stored, or nothing: what the store has of its votes stays.
     */
    if (r->failure == STATUS_OK)
        raft_store_leave(&write->write, &r->raft, floor_of(r));
    else
        raft_store_leave_again(&write->write, r->options.group, floor_of(r));
    replica_write_submit(write);
    const struct raft_host_watch *watch = r->host->options.watch;
    if (watch != NULL && watch->left != NULL && r->failure == STATUS_OK)
        watch->left(r->host->options.watch_ctx, &r->raft);
    raft_replica_close(r, false);
}

void raft_replica_close(struct raft_replica *r, bool drop) {
    struct raft_host *host = r->host;
    ASSERT(!host->stepping);
    uint8_t key[8];
    store_be64(key, r->options.group);
    map_remove(&host->replicas, slice_make(key, sizeof key));
    drop_all(r, STATUS_CLOSED);
    list_remove(&r->dirty);
    list_remove(&r->telling);
    LIST_FOREACH(it, &r->writes) {
        struct replica_write *write = CONTAINER_OF(it, struct replica_write, own);
        list_remove(it);
        write->replica = NULL;
    }
    if (drop) {
        struct replica_write *write = replica_write_new(r);
        write->replica = NULL;
        struct key from = key_group_start(r->options.group), to = key_group_start(r->options.group + 1);
        store_delete_range(&write->write, key_slice(&from), key_slice(&to));
        replica_write_submit(write);
    }
    release_raft(r);
    forget_founding(r);
    mem_free(r);
}

static void reopen(struct io_timer *timer) {
    struct raft_replica *r = CONTAINER_OF(timer, struct raft_replica, timer);
    struct diagnostic why;
    if (r->writes_in_flight > 0) {
        io_timer_set(r->host->options.io, timer, io_now_ns(r->host->options.io) + RAFT_REOPEN_NS);
        return;
    }
    const struct raft_machine *machine = r->options.machine;
    io_timer_init(timer, timer_fired);
    release_raft(r);
    r->failure = STATUS_OK;
    enum status status = load(r, &why);
    r->hollow = status != STATUS_OK;
    if (r->hollow) {
        /* Nothing is in memory any more: an empty member keeps callers that look at it safe. */
        struct raft_start empty = {.group = r->options.group};
        raft_init(&r->raft, &r->host->options.raft, &empty, io_now_ns(r->host->options.io));
        if (status != r->logged)
            log_error(r->host->options.log, "replica stays closed reason=\"%s\"", why.text);
    } else if (machine->reopened != NULL) {
        status = machine->reopened(r->options.ctx);
    }
    if (status != STATUS_OK) {
        replica_suspend(r, status);
        return;
    }
    r->logged = STATUS_OK;
    if (machine->changed != NULL) machine->changed(r->options.ctx);
}

void replica_suspend(struct raft_replica *r, enum status status) {
    if (r->failure != STATUS_OK) return;
    /* Followers that sleep would not miss a leader whose node is there. */
    if (raft_replica_is_leader(r)) MAYBE(raft_replica_transfer(r, RAFT_NO_ID) == STATUS_OK);
    r->failure = status;
    if (r->logged != status)
        log_error(r->host->options.log, "replica stopped group=%" PRIu64 " reason=%s", r->options.group,
                  status_name(status));
    r->logged = status;
    drop_all(r, status);
    if (r->options.machine->failed != NULL) r->options.machine->failed(r->options.ctx, status);
    io_timer_init(&r->timer, reopen);
    io_timer_set(r->host->options.io, &r->timer, io_now_ns(r->host->options.io) + RAFT_REOPEN_NS);
}

void replica_fail(struct raft_replica *r, enum status status) {
    if (r->failure != STATUS_OK) return;
    replica_suspend(r, status);
    if (status != STATUS_NO_SPACE) io_timer_cancel(r->host->options.io, &r->timer);
}

/* ---- asked for by the broker --------------------------------------------------------------------------- */

enum status raft_replica_transfer(struct raft_replica *r, uint64_t to) {
    if (r->failure != STATUS_OK) return r->failure;
    struct raft_event event = {.kind = RAFT_EVENT_TRANSFER, .member = to};
    return replica_step(r, &event);
}

enum status raft_replica_change(struct raft_replica *r, const struct raft_member *members, uint32_t count) {
    if (r->failure != STATUS_OK) return r->failure;
    struct raft_event event = {.kind = RAFT_EVENT_CHANGE_MEMBERS, .change = {members, count}};
    return replica_step(r, &event);
}

void raft_replica_set_priority(struct raft_replica *r, uint8_t priority) {
    if (r->failure != STATUS_OK || r->raft.priority == priority) return;
    struct raft_event event = {.kind = RAFT_EVENT_SET_PRIORITY, .priority = priority};
    MAYBE(replica_step(r, &event) == STATUS_OK);
}

/* It has asked for votes in vain, with everything it ever had on its disk. */
static bool is_stranded(const struct raft_replica *r) {
    const struct raft *raft = &r->raft;
    return r->failure == STATUS_OK && r->floor.end == 0 && raft->role != RAFT_LEADER &&
           raft->leader == RAFT_NO_ID && raft->vain_campaigns >= VAIN_CAMPAIGNS_STRANDED &&
           raft_durable_end(raft) == raft->log.end && raft->incoming.id == 0 && r->incoming.id == 0 &&
           r->writes_in_flight == 0;
}

/* Of each configuration in force (two while one is left for the other) this member is a voter, and at most one other,
 * the same in both, which is lost. */
static bool is_left_alone(const struct raft_config *config, uint64_t self,
                          bool (*lost)(void *ctx, uint64_t id), void *ctx) {
    const uint8_t voter = RAFT_VOTER | RAFT_VOTER_OLD;
    uint8_t wanted = config != NULL && raft_config_joint(config) ? voter : RAFT_VOTER, own = 0;
    uint32_t others = 0;
    for (uint32_t i = 0; config != NULL && i < config->member_count; i++) {
        const struct raft_member *member = &config->members[i];
        if ((member->flags & voter) == 0) continue;
        if (member->id == self)
            own = member->flags & voter;
        else if (others++ > 0 || !lost(ctx, member->id))
            return false;
    }
    return own == wanted && others == 1;
}

bool raft_replica_go_on_alone(struct raft_replica *r, bool (*lost)(void *ctx, uint64_t id), void *ctx) {
    uint64_t self = r->host->options.raft.id;
    if (!is_stranded(r) || !is_left_alone(raft_config(&r->raft), self, lost, ctx)) return false;
    struct raft_config *alone = mem_calloc(1, raft_config_size(1));
    alone->member_count = 1;
    alone->members[0] = (struct raft_member){self, RAFT_VOTER};
    struct replica_write *write = replica_write_new(r);
    raft_store_put_config(&write->write, r->options.group, r->raft.log.end, alone);
    replica_write_submit(write);
    mem_free(alone);
    r->logged = STATUS_UNAVAILABLE; /* the caller says more */
    replica_suspend(r, STATUS_UNAVAILABLE);
    return true;
}

/* Where the entry that covers `position` begins. */
static enum status entry_base(struct raft_replica *r, uint64_t position, uint64_t *base) {
    struct key lower = key_log(r->options.group, (int64_t)position);
    struct key upper = key_prefix(r->options.group, KEY_TIME);
    struct store_iterator *it = store_iterator_open(r->host->options.store, key_slice(&lower),
                                                    key_slice(&upper), STORE_ITERATOR_BLOCKING, NULL, NULL);
    struct raft_entry entry;
    enum status status = store_iterator_seek(it, key_slice(&lower));
    if (status == STATUS_OK &&
        !raft_entry_parse(store_iterator_key(it), store_iterator_value(it), r->options.format, &entry))
        status = STATUS_CORRUPT;
    if (status == STATUS_OK) *base = entry.base;
    store_iterator_close(it);
    return status;
}

void raft_replica_compact(struct raft_replica *r, uint64_t position) {
    if (r->failure != STATUS_OK) return;
    position = MIN(MIN(position, r->applied), r->raft.log.flushed_end);
    if (position < r->raft.log.end && entry_base(r, position, &position) != STATUS_OK) return;
    if (position <= r->raft.log.start) return;
    struct replica_write *write = replica_write_new(r);
    write->compacted = position;
    raft_store_compact(&write->write, &r->raft, position);
    replica_write_submit(write);
}

void raft_replica_save(struct raft_replica *r) {
    if (r->failure != STATUS_OK) return;
    struct raft_hard_state state = raft_hard_state(&r->raft);
    struct replica_write *write = replica_write_new(r);
    raft_store_put_hard_state(&write->write, r->options.group, &state);
    replica_write_submit(write);
}

/* ---- looking at it ------------------------------------------------------------------------------------- */

const struct raft *raft_replica_raft(const struct raft_replica *r) {
    return &r->raft;
}

uint64_t raft_replica_group(const struct raft_replica *r) {
    return r->options.group;
}

uint64_t raft_replica_applied(const struct raft_replica *r) {
    return r->applied;
}

bool raft_replica_is_leader(const struct raft_replica *r) {
    return r->failure == STATUS_OK && raft_is_leader(&r->raft);
}

bool raft_replica_is_settled(const struct raft_replica *r) {
    return raft_replica_is_leader(r) && r->raft.commit_end >= r->raft.term_start;
}

uint32_t raft_replica_leader(const struct raft_replica *r) {
    return r->failure == STATUS_OK ? raft_id_node(r->raft.leader) : 0;
}

enum status raft_replica_health(const struct raft_replica *r) {
    return r->failure;
}

void *raft_replica_ctx(const struct raft_replica *r) {
    return r->options.ctx;
}
