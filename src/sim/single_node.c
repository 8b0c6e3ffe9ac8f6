// SPDX-License-Identifier: Apache-2.0
#include "sim/single_node.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"
#include "broker/broker.h"
#include "io/io_sim.h"
#include "sim/history_reader.h"
#include "wire/record_batch.h"

#define PARTITIONS            3
#define PRODUCERS             6
#define RECORDS_MAX           4
#define VALUE_SIZE_MAX        3000
#define STEPS_MAX             2000000
#define TOPIC                 "simulated"
#define CHURN_TOPIC           "churned"
#define FETCH_PARTITION_BYTES (64 * KIB)
#define LONG_POLL_MS          500
/* What an answer may take beyond the wait it was allowed: a slow disk, and a partition loaded anew. */
#define ANSWER_NS_MAX (10 * NS_PER_S)

struct world;

/* A client that appends one batch at a time to one partition. */
struct producer {
    struct world *world;
    uint32_t index, partition;
    bool idempotent;
    bool busy;      /* something was asked of the broker */
    bool appending; /* it was an append */
    int64_t producer_id;
    int32_t next_sequence;
    struct prng prng;
    uint32_t counter;
    struct buffer *batch; /* what is on its way, or must be sent again */
    int32_t record_count;
    uint64_t hashes[RECORDS_MAX];
    struct append append;
    struct producer_id_request id_request;
};

/* Reads one partition from `offset` on, for ever. */
struct reader_client {
    struct world *world;
    bool busy, at_end;
    struct history_reader reader;
    struct fetch fetch;
    struct fetch_partition part;
};

/* Follows all partitions with one fetch at a time, as Kafka's clients do: some are at their end, some are not
 * loaded yet, and each answer has to come in its time. */
struct follower {
    struct world *world;
    bool busy;
    uint64_t asked_ns;
    int64_t offsets[PARTITIONS];
    struct fetch fetch;
    struct fetch_partition parts[PARTITIONS];
};

struct world {
    const struct single_node_options *options;
    struct io_sim *sim;
    struct io *io;
    struct broker *broker;
    struct prng prng, faults;
    struct history history;
    struct producer producers[PRODUCERS];
    struct reader_client readers[PARTITIONS];
    struct follower follower;
    struct topic_change change, churn;
    bool change_busy, churn_busy, churn_exists, churn_unknown, topic_made;
    struct delete_records deletion;
    bool deletion_busy;
    uint32_t crashes, crashes_left;
    bool verifying;
};

static void produce_next(struct producer *p);
static void fetch_next(struct reader_client *r);

/* ---- producing --------------------------------------------------------------------------------------------
 */

static void make_batch(struct producer *p) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    p->record_count = (int32_t)prng_range(&p->prng, 1, RECORDS_MAX);
    for (int32_t i = 0; i < p->record_count; i++) {
        uint8_t value[VALUE_SIZE_MAX];
        int head = snprintf((char *)value, sizeof value, "%u/%u/%d:", p->index, p->counter, i);
        size_t size = (size_t)head +
                      prng_below(&p->prng, prng_chance(&p->prng, 1, 8) ? VALUE_SIZE_MAX - 64 : 60);
        prng_bytes(&p->prng, value + head, size - (size_t)head);
        p->hashes[i] = history_hash(slice_make(value, size));
        record_batch_add(&builder, io_wall_ms(p->world->io), SLICE_EMPTY, slice_make(value, size), NULL, 0);
    }
    p->counter++;
    struct record_batch_producer identity = {p->producer_id, 0, p->next_sequence};
    struct record_batch_producer none = {-1, -1, -1};
    p->batch = record_batch_finish(&builder, prng_chance(&p->prng, 1, 4) ? CODEC_LZ4 : CODEC_NONE,
                                   p->idempotent ? &identity : &none);
    record_batch_builder_release(&builder);
}

static void appended(struct append *append) {
    struct producer *p = CONTAINER_OF(append, struct producer, append);
    struct world *w = p->world;
    p->busy = p->appending = false;
    if (append->status == STATUS_OK) {
        for (int32_t i = 0; i < p->record_count; i++)
            history_acknowledged(&w->history, p->partition, append->base_offset + i, p->hashes[i]);
        p->next_sequence += p->record_count;
    } else if (!io_sim_crash_due(w->sim, 0) && broker_health(w->broker) == STATUS_OK) {
        history_violate(&w->history, "L3: an append was refused: %s %s", status_name(append->status),
                        append->diagnostic.text);
    }
    if (append->status == STATUS_OK || !p->idempotent) {
        buffer_unref(p->batch);
        p->batch = NULL;
    }
    produce_next(p);
}

static void got_producer_id(struct producer_id_request *request) {
    struct producer *p = CONTAINER_OF(request, struct producer, id_request);
    p->busy = false;
    if (request->status == STATUS_OK) p->producer_id = request->producer_id;
    produce_next(p);
}

static void produce_next(struct producer *p) {
    struct world *w = p->world;
    if (p->busy || w->verifying || io_sim_crash_due(w->sim, 0) || w->history.violation[0] != '\0') return;
    if (broker_health(w->broker) != STATUS_OK) return;
    if (w->history.acknowledged_count >= w->options->appends && p->batch == NULL) return;
    p->busy = true;
    if (p->idempotent && p->producer_id < 0) {
        p->id_request = (struct producer_id_request){.done = got_producer_id};
        broker_new_producer_id(w->broker, &p->id_request);
        return;
    }
    if (p->batch == NULL) make_batch(p);
    /* A retry goes out with the client's own bytes: the broker wrote its offset into the copy it was given.
     */
    struct buffer *copy = buffer_copy(slice_make(p->batch->data, p->batch->size));
    p->append = (struct append){.topic = SLICE_LITERAL(TOPIC),
                                .partition = (int32_t)p->partition,
                                .batch = {slice_make(copy->data, copy->size), copy},
                                .done = appended};
    p->appending = true;
    broker_append(w->broker, &p->append);
    buffer_unref(copy);
}

/* ---- reading ----------------------------------------------------------------------------------------------
 */

static void fetched(struct fetch *fetch) {
    struct reader_client *r = CONTAINER_OF(fetch, struct reader_client, fetch);
    struct world *w = r->world;
    struct fetch_partition *part = &r->part;
    r->busy = false;
    bool crashing = io_sim_crash_due(w->sim, 0) || broker_health(w->broker) != STATUS_OK;
    if (part->status == STATUS_OK) {
        r->reader.log_start = part->log_start_offset;
        r->reader.high_watermark = part->high_watermark;
        history_high_watermark(&w->history, r->reader.partition, part->high_watermark);
        for (uint32_t i = 0; i < part->batch_count; i++)
            history_reader_take(&w->history, &r->reader, part->batches[i].bytes);
        r->at_end = r->reader.offset >= part->high_watermark;
    } else if (part->status == STATUS_OFFSET_OUT_OF_RANGE && part->log_start_offset > r->reader.offset) {
        r->reader.offset = r->reader.log_start = part->log_start_offset;
    } else if (!crashing) {
        history_violate(&w->history, "L3: partition %u cannot be read at %lld: %s", r->reader.partition,
                        (long long)r->reader.offset, status_name(part->status));
    }
    fetch_release(fetch);
    if (!crashing) fetch_next(r);
}

static void fetch_next(struct reader_client *r) {
    struct world *w = r->world;
    if (r->busy || (w->verifying && r->at_end) || w->history.violation[0] != '\0') return;
    r->busy = true;
    r->part = (struct fetch_partition){.topic = SLICE_LITERAL(TOPIC),
                                       .partition = (int32_t)r->reader.partition,
                                       .offset = r->reader.offset,
                                       .bytes_max = FETCH_PARTITION_BYTES,
                                       .leader_epoch = -1};
    r->fetch = (struct fetch){.partitions = &r->part,
                              .partition_count = 1,
                              .wait_max_ms = w->verifying ? 0 : 50,
                              .bytes_min = 1,
                              .bytes_max = FETCH_PARTITION_BYTES,
                              .done = fetched};
    broker_fetch(w->broker, &r->fetch);
}

/* ---- following all partitions ------------------------------------------------------------------------- */

static void follow(struct follower *f);

static void followed(struct fetch *fetch) {
    struct follower *f = CONTAINER_OF(fetch, struct follower, fetch);
    f->busy = false;
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        const struct fetch_partition *part = &f->parts[i];
        struct record_batch batch;
        for (uint32_t b = 0; b < part->batch_count; b++)
            if (record_batch_read(part->batches[b].bytes, &batch) == STATUS_OK)
                f->offsets[i] = record_batch_last_offset(&batch) + 1;
        if (part->status == STATUS_OFFSET_OUT_OF_RANGE) f->offsets[i] = MAX(part->log_start_offset, 0);
    }
    fetch_release(fetch);
    if (!io_sim_crash_due(f->world->sim, 0) && broker_health(f->world->broker) == STATUS_OK) follow(f);
}

static void follow(struct follower *f) {
    struct world *w = f->world;
    if (f->busy || w->history.violation[0] != '\0') return;
    f->busy = true;
    f->asked_ns = io_now_ns(w->io);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        f->parts[i] = (struct fetch_partition){.topic = SLICE_LITERAL(TOPIC),
                                               .partition = (int32_t)i,
                                               .offset = f->offsets[i],
                                               .bytes_max = FETCH_PARTITION_BYTES,
                                               .leader_epoch = -1};
    f->fetch = (struct fetch){.partitions = f->parts,
                              .partition_count = PARTITIONS,
                              .wait_max_ms = LONG_POLL_MS,
                              .bytes_min = prng_chance(&w->prng, 1, 2) ? 1 : FETCH_PARTITION_BYTES,
                              .bytes_max = FETCH_PARTITION_BYTES,
                              .done = followed};
    broker_fetch(w->broker, &f->fetch);
}

static void check_follower(struct world *w) {
    const struct follower *f = &w->follower;
    if (!f->busy || io_now_ns(w->io) - f->asked_ns <= LONG_POLL_MS * NS_PER_MS + ANSWER_NS_MAX) return;
    history_violate(&w->history, "L4: a fetch that may wait %d ms has no answer after %llu ms", LONG_POLL_MS,
                    (unsigned long long)((io_now_ns(w->io) - f->asked_ns) / NS_PER_MS));
}

/* ---- topics made and deleted, records deleted ---------------------------------------------------------- */

static void churned(struct topic_change *change) {
    struct world *w = CONTAINER_OF(change, struct world, churn);
    w->churn_busy = false;
    bool expected = change->status == STATUS_OK ||
                    (w->churn_unknown &&
                     (change->status == STATUS_EXISTS || change->status == STATUS_UNKNOWN_TOPIC));
    if (!expected && !io_sim_crash_due(w->sim, 0) && broker_health(w->broker) == STATUS_OK)
        history_violate(&w->history, "B19: the churned topic should%s exist, but its change was refused: %s",
                        w->churn_exists ? "" : " not", status_name(change->status));
    if (expected) {
        w->churn_exists = change->kind == TOPIC_CREATE;
        w->churn_unknown = false;
    }
}

static void churn(struct world *w) {
    if (w->churn_busy) return;
    w->churn_busy = true;
    w->churn = (struct topic_change){.kind = w->churn_exists ? TOPIC_DELETE : TOPIC_CREATE,
                                     .name = SLICE_LITERAL(CHURN_TOPIC),
                                     .partition_count = 2,
                                     .replication = -1,
                                     .config = topic_config_default(),
                                     .done = churned};
    broker_change_topic(w->broker, &w->churn);
}

static void deleted(struct delete_records *request) {
    struct world *w = CONTAINER_OF(request, struct world, deletion);
    w->deletion_busy = false;
}

static void delete_some(struct world *w) {
    uint32_t partition = (uint32_t)prng_below(&w->prng, PARTITIONS);
    int64_t high_watermark = w->history.partitions[partition].high_watermark;
    if (w->deletion_busy || high_watermark == 0) return;
    int64_t below = (int64_t)prng_below(&w->prng, (uint64_t)high_watermark);
    history_deleted(&w->history, partition, below);
    w->deletion_busy = true;
    w->deletion = (struct delete_records){
        .topic = SLICE_LITERAL(TOPIC), .partition = (int32_t)partition, .offset = below, .done = deleted};
    broker_delete_records(w->broker, &w->deletion);
}

static void topic_made(struct topic_change *change) {
    struct world *w = CONTAINER_OF(change, struct world, change);
    w->change_busy = false;
    w->topic_made = change->status == STATUS_OK || change->status == STATUS_EXISTS;
}

static void make_topic(struct world *w) {
    if (w->change_busy) return;
    w->change_busy = true;
    w->change = (struct topic_change){.kind = TOPIC_CREATE,
                                      .name = SLICE_LITERAL(TOPIC),
                                      .partition_count = PARTITIONS,
                                      .replication = -1,
                                      .config = topic_config_default(),
                                      .done = topic_made};
    broker_change_topic(w->broker, &w->change);
}

/* ---- the node's life ----------------------------------------------------------------------------------- */

static bool start_broker(struct world *w) {
    struct broker_options options = broker_options_default();
    options.data_dir = "data";
    options.store.memtable_bytes = 32 * KIB;
    options.store.cache_bytes = 64 * KIB;
    options.store.wal_segment_bytes = 64 * KIB;
    options.store.table_bytes = 32 * KIB;
    options.store.scrub_interval_ns = 5 * NS_PER_S;
    options.store.scrub_bytes_per_s = MIB;
    struct diagnostic why;
    w->io = io_sim_node_io(w->sim, 0);
    enum status status = broker_open(w->io, &options, &w->broker, &why);
    if (status == STATUS_OK) return true;
    w->broker = NULL;
    /* The disk stopped during start-up: that is a crash like any other. */
    if (!io_sim_crash_due(w->sim, 0))
        history_violate(&w->history, "S10: the broker does not start: %s: %s", status_name(status), why.text);
    return false;
}

/* Clients lose their connections: nothing they asked for is answered any more. */
static void stop_broker(struct world *w) {
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        struct producer *p = &w->producers[i];
        if (p->appending) append_abandon(&p->append);
        p->busy = p->appending = false;
        if (!p->idempotent) {
            buffer_unref(p->batch); /* it may be stored or not; this client will never know */
            p->batch = NULL;
        }
    }
    if (w->broker != NULL) broker_close(w->broker);
    w->broker = NULL;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        w->readers[i].busy = false;
    w->follower = (struct follower){.world = w};
    w->churn_unknown = w->churn_unknown || w->churn_busy;
    w->change_busy = w->churn_busy = w->deletion_busy = false;
    io_free(w->io);
}

static bool run_until(struct world *w, bool (*done)(struct world *w), const char *what) {
    for (uint32_t steps = 0; !done(w); steps++) {
        if (w->history.violation[0] != '\0' || io_sim_crash_due(w->sim, 0)) return false;
        if (!io_sim_step(w->sim) || steps > STEPS_MAX) {
            history_violate(&w->history, "L3: stuck while %s", what);
            return false;
        }
    }
    return true;
}

static bool has_topic(struct world *w) {
    return w->topic_made;
}

static bool all_read(struct world *w) {
    for (uint32_t i = 0; i < PARTITIONS; i++)
        if (w->readers[i].busy || !w->readers[i].at_end) return false;
    return true;
}

/* Reads every partition from its start and holds it against the history. */
static void verify(struct world *w) {
    w->verifying = true;
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        struct reader_client *r = &w->readers[i];
        history_reader_restart(&r->reader);
        r->at_end = false;
        fetch_next(r);
    }
    if (run_until(w, all_read, "reading everything back")) {
        for (uint32_t i = 0; i < PARTITIONS; i++) {
            struct reader_client *r = &w->readers[i];
            if ((size_t)(r->reader.offset - r->reader.log_start) > r->reader.seen_capacity) {
                history_violate(&w->history, "B1: partition %u is empty up to %lld", i,
                                (long long)r->reader.offset);
                break;
            }
            history_read_all(&w->history, i, r->reader.log_start, r->reader.high_watermark, r->reader.seen);
        }
    }
    w->verifying = false;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        w->readers[i].reader.verifying = false;
}

static void begin_clients(struct world *w) {
    w->topic_made = false;
    make_topic(w);
    if (!run_until(w, has_topic, "making the topic")) return;
    /* Before or after everything was loaded by others. */
    bool early = prng_chance(&w->prng, 1, 2);
    if (early) follow(&w->follower);
    verify(w);
    if (!early && w->history.violation[0] == '\0' && !io_sim_crash_due(w->sim, 0)) follow(&w->follower);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        produce_next(&w->producers[i]);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        fetch_next(&w->readers[i]);
}

static void crash(struct world *w) {
    static const enum io_sim_crash ways[] = {IO_SIM_CRASH_PROCESS, IO_SIM_CRASH_POWER,
                                             IO_SIM_CRASH_POWER_BARE, IO_SIM_CRASH_POWER_CLEAN};
    w->crashes++;
    io_sim_crash_node(w->sim, 0, ways[prng_below(&w->faults, ARRAY_COUNT(ways))]);
    stop_broker(w);
}

static bool is_over(const struct world *w) {
    if (w->history.violation[0] != '\0') return true;
    if (w->history.acknowledged_count < w->options->appends || w->crashes_left != 0) return false;
    for (uint32_t i = 0; i < PRODUCERS; i++)
        if (w->producers[i].busy || w->producers[i].batch != NULL) return false;
    return true;
}

static void run_clients(struct world *w) {
    for (uint32_t steps = 0; !is_over(w) && steps < STEPS_MAX; steps++) {
        if (io_sim_crash_due(w->sim, 0)) return;
        if (w->crashes_left != 0 && prng_chance(&w->faults, 1, 700)) {
            w->crashes_left--;
            return;
        }
        if (prng_chance(&w->prng, 1, 300)) churn(w);
        if (prng_chance(&w->prng, 1, 900)) delete_some(w);
        check_follower(w);
        if (!io_sim_step(w->sim)) history_violate(&w->history, "L3: nothing happens any more");
    }
    if (!is_over(w)) history_violate(&w->history, "L3: the clients do not finish");
}

static void world_init(struct world *w, const struct single_node_options *options) {
    *w = (struct world){.options = options, .sim = io_sim_new(options->seed)};
    if (options->trace != NULL) io_sim_set_trace(w->sim, options->trace, options->ctx);
    struct prng root;
    prng_init(&root, options->seed);
    w->prng = prng_split(&root, 1);
    w->faults = prng_split(&root, 2);
    w->crashes_left = options->random_crashes;
    history_init(&w->history);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        struct producer *p = &w->producers[i];
        p->world = w;
        p->index = i;
        p->partition = i % PARTITIONS;
        p->idempotent = i % 2 == 0;
        p->producer_id = -1;
        p->prng = prng_split(&root, 100 + i);
    }
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        w->readers[i].world = w;
        w->readers[i].reader.partition = i;
    }
    w->follower.world = w;
}

static void world_release(struct world *w) {
    for (uint32_t i = 0; i < PRODUCERS; i++)
        buffer_unref(w->producers[i].batch);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        history_reader_release(&w->readers[i].reader);
    history_release(&w->history);
    io_sim_free(w->sim);
}

void single_node_run(const struct single_node_options *options, struct single_node_result *result) {
    struct world *w = mem_alloc(sizeof *w);
    world_init(w, options);
    if (options->crash_at != 0)
        io_sim_crash_at_disk_op(w->sim, 0, options->crash_at,
                                options->crash_after ? IO_SIM_STOP_AFTER : IO_SIM_STOP_BEFORE);
    /* Start, run, crash, start again ... until the clients are done; then once more from a clean power cut.
     */
    bool last = false;
    for (;;) {
        if (start_broker(w)) {
            begin_clients(w);
            if (!last) run_clients(w);
        }
        if (w->history.violation[0] != '\0') break;
        if (last && !io_sim_crash_due(w->sim, 0)) break;
        last = is_over(w) && !io_sim_crash_due(w->sim, 0);
        crash(w);
    }
    *result = (struct single_node_result){.ok = w->history.violation[0] == '\0',
                                          .trace_hash = io_sim_trace_hash(w->sim),
                                          .events = io_sim_event_count(w->sim),
                                          .disk_operations = io_sim_disk_op_count(w->sim, 0),
                                          .simulated_ns = io_sim_now(w->sim),
                                          .acknowledged = w->history.acknowledged_count,
                                          .records_read = w->history.read_count,
                                          .crashes = w->crashes};
    snprintf(result->failure, sizeof result->failure, "%s", w->history.violation);
    io_sim_crash_node(w->sim, 0, IO_SIM_CRASH_PROCESS);
    stop_broker(w);
    world_release(w);
    mem_free(w);
}
