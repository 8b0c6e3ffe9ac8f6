// SPDX-License-Identifier: Apache-2.0
#include "broker/raft_host.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/raft_replica.h"
#include "wire/record_batch.h"

#define SNAPSHOT_BYTES_MAX   (256 * MIB)
#define SNAPSHOT_PIECE_BYTES (256 * KIB)
/* So many groups a turn hear of a node: with thousands of them the loop has others to serve meanwhile, and
 * others would take a node that is long silent for dead in its turn. */
#define TELL_MAX 256u
#define WORK_MAX 512u /* likewise: groups worked off at the end of one turn */

/* The store cannot read these keys, of one group or of several. */
static void keys_damaged(void *ctx, struct slice first, struct slice last) {
    struct raft_host *host = ctx;
    MAP_FOREACH(it, &host->replicas)
        replica_damaged_keys(MAP_ENTRY(it)->value, first, last);
}

static void tell_fired(struct io_timer *timer);
static void work_fired(struct io_timer *timer);

struct raft_host *raft_host_new(const struct raft_host_options *options) {
    struct raft_host *host = mem_calloc(1, sizeof *host);
    host->options = *options;
    if (host->options.snapshot_bytes_max == 0) host->options.snapshot_bytes_max = SNAPSHOT_BYTES_MAX;
    if (host->options.snapshot_piece_bytes == 0) host->options.snapshot_piece_bytes = SNAPSHOT_PIECE_BYTES;
    map_init(&host->replicas, options->seed);
    list_init(&host->dirty);
    list_init(&host->telling);
    io_timer_init(&host->tell_timer, tell_fired);
    io_timer_init(&host->work_timer, work_fired);
    list_init(&host->writes);
    raft_effects_init(&host->effects);
    raft_message_decoder_init(&host->decoder);
    writer_init(&host->scratch);
    chain_init(&host->outgoing);
    prng_init(&host->prng, options->seed ^ options->raft.id);
    raft_bulk_init(&host->bulk, options->io);
    raft_bulk_set_rate(&host->bulk, options->bulk_rate);
    store_on_damage(options->store, keys_damaged, host);
    return host;
}

void raft_host_free(struct raft_host *host) {
    ASSERT(host->replicas.count == 0);
    store_on_damage(host->options.store, NULL, NULL);
    if (host->run_scheduled) io_defer_cancel(&host->run);
    io_timer_cancel(host->options.io, &host->tell_timer);
    io_timer_cancel(host->options.io, &host->work_timer);
    raft_bulk_release(&host->bulk);
    mem_free(host->news);
    LIST_FOREACH(it, &host->writes) {
        struct replica_write *write = CONTAINER_OF(it, struct replica_write, link);
        list_remove(it);
        store_write_abandon(&write->write);
        mem_free(write);
    }
    map_release(&host->replicas);
    raft_effects_release(&host->effects);
    raft_message_decoder_release(&host->decoder);
    writer_release(&host->scratch);
    chain_release(&host->outgoing);
    mem_free(host->proposals);
    mem_free(host);
}

/* ---- the end of the turn ------------------------------------------------------------------------------ */

static void work_some(struct raft_host *host) {
    struct list *node;
    host->run_scheduled = true; /* what is woken meanwhile is worked off here, or by the timer */
    for (uint32_t i = 0; i < WORK_MAX && (node = list_pop_front(&host->dirty)) != NULL; i++)
        replica_work(CONTAINER_OF(node, struct raft_replica, dirty));
    host->run_scheduled = false;
    if (!list_empty(&host->dirty))
        io_timer_set(host->options.io, &host->work_timer, io_now_ns(host->options.io));
}

static void work_fired(struct io_timer *timer) {
    work_some(CONTAINER_OF(timer, struct raft_host, work_timer));
}

static void run(struct io_op *op) {
    work_some(CONTAINER_OF(op, struct raft_host, run));
}

void raft_host_wake(struct raft_replica *r) {
    struct raft_host *host = r->host;
    if (list_empty(&r->dirty)) list_push_back(&host->dirty, &r->dirty);
    /* What is left for the next turn takes it along. */
    if (host->run_scheduled || io_timer_armed(&host->work_timer)) return;
    host->run_scheduled = true;
    host->run.done = run;
    io_defer(host->options.io, &host->run);
}

/* ---- messages ----------------------------------------------------------------------------------------- */

struct raft_replica *raft_host_find(struct raft_host *host, uint64_t group) {
    uint8_t key[8];
    store_be64(key, group);
    return map_get(&host->replicas, slice_make(key, sizeof key));
}

/* What an entry says about itself must be what the message says: both end up on our disk. */
static bool batch_agrees(const struct raft_entry *entry) {
    struct record_batch batch;
    if (entry->kind != RAFT_ENTRY_DATA) return true;
    return record_batch_read_trusted(entry->payload.bytes, &batch) == STATUS_OK &&
           !record_batch_is_of_log(&batch) && batch.bytes.size == entry->payload.bytes.size &&
           (uint64_t)batch.base_offset == entry->base &&
           (uint64_t)record_batch_last_offset(&batch) + 1 == entry->end && batch.leader_epoch >= 0 &&
           (uint64_t)batch.leader_epoch == entry->term;
}

static bool message_fits(const struct raft_replica *r, const struct raft_message *m) {
    if (r->options.format != RAFT_FORMAT_BATCHES) return true;
    /* Terms are Kafka's leader epochs there. */
    if (m->term > INT32_MAX) return false;
    for (uint32_t i = 0; i < m->entry_count; i++)
        if (!batch_agrees(&m->entries[i])) return false;
    return true;
}

void raft_host_deliver(struct raft_host *host, struct shared_slice message) {
    host->stats.messages_received++;
    struct raft_replica *r = NULL;
    if (raft_message_decode(&host->decoder, message) == STATUS_OK)
        r = raft_host_find(host, host->decoder.message.group);
    bool elects = host->decoder.message.kind == RAFT_VOTE || host->decoder.message.kind == RAFT_PREVOTE ||
                  host->decoder.message.kind == RAFT_TIMEOUT_NOW;
    if (r == NULL || r->failure != STATUS_OK || !message_fits(r, &host->decoder.message) ||
        (elects && replica_is_mute(r))) {
        host->stats.messages_dropped++;
        return;
    }
    struct raft_event event = {.kind = RAFT_EVENT_RECEIVE, .message = &host->decoder.message};
    MAYBE(replica_step(r, &event) == STATUS_OK);
}

/* ---- the failure detector's word ---------------------------------------------------------------------- */

static bool concerns(const struct raft_replica *r, uint32_t node) {
    const struct raft_config *config = raft_config(&r->raft);
    for (uint32_t i = 0; config != NULL && i < config->member_count; i++)
        if (raft_id_node(config->members[i].id) == node) return true;
    return false;
}

static void tell(struct raft_replica *r, const struct node_news *news) {
    if (r->failure != STATUS_OK || !concerns(r, news->node)) return;
    struct raft_event event = {.kind = news->up ? RAFT_EVENT_PEER_UP : RAFT_EVENT_PEER_DOWN,
                               .node = news->node};
    MAYBE(replica_step(r, &event) == STATUS_OK);
}

/* Those that know the least come first, so those that know everything come last. */
static void tell_some(struct raft_host *host) {
    for (uint32_t i = 0; i < TELL_MAX && !list_empty(&host->telling); i++) {
        struct raft_replica *r = CONTAINER_OF(list_first(&host->telling), struct raft_replica, telling);
        if (r->told == host->news_number) return;
        uint64_t told = r->told;
        r->told = host->news_number;
        list_remove(&r->telling);
        list_push_back(&host->telling, &r->telling);
        for (uint32_t n = 0; n < host->news_count; n++)
            if (host->news[n].number > told) tell(r, &host->news[n]);
    }
    if (list_empty(&host->telling)) return; /* nobody to tell; who is opened later asks himself */
    io_timer_set(host->options.io, &host->tell_timer, io_now_ns(host->options.io));
}

static void tell_fired(struct io_timer *timer) {
    tell_some(CONTAINER_OF(timer, struct raft_host, tell_timer));
}

void raft_host_elected(struct raft_replica *r) {
    struct raft_host *host = r->host;
    bool misses_one = false;
    for (uint32_t n = 0; n < host->news_count; n++)
        misses_one |= !host->news[n].up && concerns(r, host->news[n].node);
    if (!misses_one) return;
    r->told = 0;
    list_remove(&r->telling);
    list_push_front(&host->telling, &r->telling);
    io_timer_set(host->options.io, &host->tell_timer, io_now_ns(host->options.io));
}

/* A group that has not heard the word before this one hears this one alone. */
static void take_news(struct raft_host *host, uint32_t node, bool up) {
    uint32_t n = 0;
    while (n < host->news_count && host->news[n].node != node)
        n++;
    if (n == host->news_count) {
        host->news_count++;
        host->news = mem_realloc(host->news, host->news_count * sizeof *host->news);
    }
    host->news[n] = (struct node_news){.node = node, .up = up, .number = ++host->news_number};
    raft_bulk_node_is(&host->bulk, node, up);
    tell_some(host);
}

void raft_host_node_down(struct raft_host *host, uint32_t node) {
    take_news(host, node, false);
}

void raft_host_node_up(struct raft_host *host, uint32_t node) {
    take_news(host, node, true);
}

void raft_host_set_bulk_rate(struct raft_host *host, uint64_t bytes_per_s) {
    raft_bulk_set_rate(&host->bulk, bytes_per_s);
}

/* ---- looking ------------------------------------------------------------------------------------------ */

void raft_host_visit(struct raft_host *host, void (*visit)(void *ctx, struct raft_replica *replica),
                     void *ctx) {
    MAP_FOREACH(it, &host->replicas) {
        visit(ctx, MAP_ENTRY(it)->value);
    }
}

void raft_host_stats(const struct raft_host *host, struct raft_host_stats *stats) {
    *stats = host->stats;
    stats->replicas = host->replicas.count;
    stats->bulk_bytes_read = host->bulk.read_bytes;
    stats->bulk_rate = host->bulk.rate;
    stats->leaders = stats->awake = 0;
    MAP_FOREACH(it, &host->replicas) {
        const struct raft_replica *r = MAP_ENTRY(it)->value;
        stats->leaders += raft_replica_is_leader(r);
        stats->awake += r->failure == STATUS_OK && !r->raft.asleep;
    }
}
