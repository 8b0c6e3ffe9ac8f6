// SPDX-License-Identifier: Apache-2.0
#include "broker/cleaner.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/cleaner_pass.h"
#include "broker/cleaner_state.h"
#include "broker/partition_replica.h"
#include "broker/partition_round.h"

enum phase { IDLE, READ_STATE, LEARN, REWRITE, SAVE };

struct cleaner {
    struct broker *broker;
    struct partition_round round;
    enum phase phase;
    struct partition *partition; /* being cleaned; NULL: none, or it went away while something is under way */
    struct cleaner_state state;
    struct store_get get;
    bool get_waits;
    struct store_iterator *it; /* of the log, where the phase is */
    bool positioned;
    int64_t end;       /* of the dirty part */
    bool ended;        /* learning: what stands behind the chunk is too young */
    bool lagging_only; /* learning: only a record above max.compaction.lag.ms makes it worth a pass, and none
                          was seen yet */
    uint64_t kept_records;
    bool has_tombstones;
    struct cleaner_map map;
    struct cleaner_chunk chunk;
    struct io_job job;
    bool working; /* a job runs */
    struct store_write write;
    bool writing;
};

static void go_on(struct cleaner *c);

/* ---- the end of a visit -------------------------------------------------------------------------------- */

static void close_log(struct cleaner *c) {
    if (c->it != NULL) store_iterator_close(c->it);
    c->it = NULL;
    c->positioned = false;
}

static void forget(struct cleaner *c) {
    close_log(c);
    if (c->get_waits) store_get_cancel(&c->get);
    c->get_waits = false;
    c->partition = NULL;
    if (c->working || c->writing) return; /* finish comes when that is over */
    cleaner_chunk_clear(&c->chunk);
    cleaner_map_release(&c->map);
    c->phase = IDLE;
}

static void end_visit(struct cleaner *c) {
    forget(c);
    partition_round_next(&c->round);
}

static void fail(struct cleaner *c, enum status status) {
    const struct partition *p = c->partition;
    log_error(c->broker->log, "compaction given up topic=%s partition=%d reason=%s", p->topic->public.name,
              p->index, status_name(status));
    end_visit(c);
}

/* What was under way is over. True: the partition is still there, and nothing on its way deletes it: what is
 * written behind that would stay. */
static bool still_there(struct cleaner *c) {
    if (c->partition != NULL && !c->partition->topic->deleting && !c->broker->closing) return true;
    end_visit(c);
    broker_check_shutdown(c->broker);
    return false;
}

/* ---- the log, a chunk at a time ------------------------------------------------------------------------ */

static void log_ready(void *ctx) {
    go_on(ctx);
}

static bool is_aborted(const struct partition *p, const struct record_batch *batch) {
    if ((batch->attributes & (BATCH_TRANSACTIONAL | BATCH_CONTROL)) != BATCH_TRANSACTIONAL ||
        batch->record_count == 0)
        return false;
    const struct producer_state *state = partition_producers(p);
    /* By their ends: those that ended before this batch have nothing to do with it. */
    for (uint32_t i = state->aborted_count; i > 0 && state->aborted[i - 1].last_offset > batch->base_offset;
         i--)
        if (state->aborted[i - 1].producer_id == batch->producer_id &&
            state->aborted[i - 1].first_offset <= batch->base_offset)
            return true;
    return false;
}

/* Younger than min.compaction.lag.ms: the dirty part ends before it. */
static bool is_young(const struct cleaner *c, const struct record_batch *batch) {
    int64_t lag_ms = c->partition->topic->public.config.min_compaction_lag_ms;
    return lag_ms > 0 && io_wall_ms(c->broker->io) - batch->max_timestamp < lag_ms;
}

/* The first of the dirty part is the one that has waited longest. */
static bool is_overdue(const struct cleaner *c, const struct record_batch *batch) {
    int64_t lag_ms = c->partition->topic->public.config.max_compaction_lag_ms;
    return batch->max_timestamp >= 0 && io_wall_ms(c->broker->io) - batch->max_timestamp > lag_ms;
}

/* Whether learning ends before this batch. */
static bool ends_before(struct cleaner *c, const struct record_batch *batch) {
    bool keyed = (batch->attributes & BATCH_CONTROL) == 0 && batch->record_count > 0;
    if (c->lagging_only && keyed && is_overdue(c, batch)) c->lagging_only = false;
    return is_young(c, batch) || (c->lagging_only && keyed);
}

/* Fills the chunk from where the iterator stands. OK: there is something; END: nothing is left. */
static enum status fill(struct cleaner *c, int64_t from) {
    struct partition *p = c->partition;
    if (c->phase == LEARN && c->ended) return STATUS_END;
    struct key lower = key_log(p->group, from), upper = key_log(p->group, c->end);
    if (c->it == NULL)
        c->it = store_iterator_open(c->broker->store, key_slice(&lower), key_slice(&upper),
                                    STORE_ITERATOR_SEQUENTIAL, log_ready, c);
    while (!cleaner_chunk_is_full(&c->chunk)) {
        enum status status = c->positioned ? store_iterator_next(c->it)
                                           : store_iterator_seek(c->it, key_slice(&lower));
        if (status == STATUS_END) break;
        if (status != STATUS_OK) return status;
        c->positioned = true;
        struct shared_slice bytes = store_iterator_value(c->it);
        struct record_batch batch;
        if (record_batch_read_trusted(bytes.bytes, &batch) != STATUS_OK) return STATUS_CORRUPT;
        if (c->phase == LEARN && ends_before(c, &batch)) {
            c->end = batch.base_offset;
            c->ended = true; /* the iterator stands on it, and would go on to the next */
            break;
        }
        cleaner_chunk_add(&c->chunk, bytes, is_aborted(p, &batch));
    }
    return c->chunk.count == 0 ? STATUS_END : STATUS_OK;
}

static void run_job(struct io_job *job) {
    struct cleaner *c = CONTAINER_OF(job, struct cleaner, job);
    if (c->phase == LEARN)
        cleaner_chunk_learn(&c->chunk, &c->map);
    else
        cleaner_chunk_rewrite(&c->chunk, &c->map);
}

static void rewritten(struct cleaner *c);

static void learned(struct cleaner *c) {
    struct record_batch batch;
    if (c->chunk.learned < c->chunk.count) { /* the map is full */
        bool ok = record_batch_read_trusted(c->chunk.items[c->chunk.learned].batch.bytes, &batch) ==
                  STATUS_OK;
        c->end = ok ? batch.base_offset : c->state.cleaned_to;
        close_log(c);
    }
    cleaner_chunk_clear(&c->chunk);
    go_on(c);
}

static void job_done(struct io_job *job) {
    struct cleaner *c = CONTAINER_OF(job, struct cleaner, job);
    c->working = false;
    if (!still_there(c)) return;
    if (c->chunk.status != STATUS_OK)
        fail(c, c->chunk.status);
    else if (c->phase == LEARN)
        learned(c);
    else
        rewritten(c);
}

static void start_job(struct cleaner *c) {
    c->working = true;
    c->job = (struct io_job){.run = run_job, .done = job_done};
    io_job_start(c->broker->io, &c->job);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static void write_done(struct store_write *write) {
    struct cleaner *c = CONTAINER_OF(write, struct cleaner, write);
    enum status status = write->status;
    store_write_release(write);
    c->writing = false;
    if (!still_there(c)) return;
    cleaner_chunk_clear(&c->chunk);
    if (status != STATUS_OK)
        fail(c, status);
    else if (c->phase == SAVE)
        end_visit(c);
    else
        go_on(c);
}

static void submit(struct cleaner *c) {
    c->writing = true;
    store_write_submit(c->broker->store, &c->write);
}

/* Retention or a client may have deleted the beginning meanwhile: nothing of it comes back. */
static void put_rewritten(struct cleaner *c, const struct cleaner_item *item) {
    struct record_batch batch;
    if (record_batch_read_trusted(slice_make(item->rewritten->data, item->rewritten->size), &batch) !=
            STATUS_OK ||
        record_batch_last_offset(&batch) < c->partition->log_start_next)
        return;
    struct key key = key_log(c->partition->group, record_batch_last_offset(&batch));
    store_put(&c->write, key_slice(&key), (struct shared_slice){batch.bytes, item->rewritten});
}

static void rewritten(struct cleaner *c) {
    struct broker_stats *stats = &c->broker->stats;
    store_write_init(&c->write, write_done);
    for (uint32_t i = 0; i < c->chunk.count; i++)
        if (c->chunk.items[i].rewritten != NULL) put_rewritten(c, &c->chunk.items[i]);
    c->has_tombstones |= c->chunk.has_tombstones;
    c->kept_records += c->chunk.records_kept;
    stats->compacted_bytes += c->chunk.bytes - MIN(c->chunk.bytes, c->chunk.bytes_kept);
    stats->compacted_records += c->chunk.records_removed;
    if (c->write.change_count > 0) {
        submit(c);
        return;
    }
    store_write_release(&c->write);
    cleaner_chunk_clear(&c->chunk);
    go_on(c);
}

static void save(struct cleaner *c) {
    struct cleaner_state *state = &c->state;
    c->phase = SAVE;
    state->cleaned_to = c->end;
    state->clean_records = c->kept_records;
    state->has_tombstones = c->has_tombstones;
    state->dropped_to = MAX(state->dropped_to, c->chunk.tombstones_to);
    if (state->seen_to <= state->tombstones_to) {
        state->seen_to = c->end;
        state->seen_ms = io_wall_ms(c->broker->io);
    }
    c->broker->stats.compactions++;
    log_debug(c->broker->log, "compacted topic=%s partition=%d to=%lld records=%llu",
              c->partition->topic->public.name, c->partition->index, (long long)c->end,
              (unsigned long long)c->kept_records);
    struct writer value;
    writer_init(&value);
    cleaner_state_encode(state, &value);
    struct key key = cleaner_state_key(c->partition->group);
    store_write_init(&c->write, write_done);
    store_put(&c->write, key_slice(&key), (struct shared_slice){writer_slice(&value), NULL});
    writer_release(&value);
    submit(c);
}

/* ---- whether it is time -------------------------------------------------------------------------------- */

/* Below this everything is on every member's disk; only its leader knows. */
static int64_t held_by_all(const struct partition *p) {
    if (p->replica == NULL) return INT64_MAX;
    if (partition_replica_use(p) != STATUS_OK) return 0;
    const struct raft *raft = raft_replica_raft(p->replica);
    const struct raft_config *config = raft_config(raft);
    uint64_t held = raft->commit_end;
    for (uint32_t i = 0; i < config->member_count; i++) {
        const struct raft_progress *progress = raft_progress(raft, config->members[i].id);
        if (progress != NULL) held = MIN(held, progress->match);
    }
    return (int64_t)held;
}

/* Of the records that are there the share that came since. Bytes would be no measure: what is counted of them
 * at a start has been cleaned in part. */
static bool is_dirty_enough(const struct cleaner *c, const struct partition *p) {
    int64_t dirty = c->end - MAX(c->state.cleaned_to, p->log_start);
    if (dirty <= 0) return false;
    uint64_t all = (uint64_t)dirty + c->state.clean_records;
    uint64_t permille = (uint64_t)p->topic->public.config.min_cleanable_dirty_ratio;
    return (uint64_t)dirty >= all / 1000 * permille + all % 1000 * permille / 1000;
}

static void begin(struct cleaner *c) {
    struct partition *p = c->partition;
    struct cleaner_state *state = &c->state;
    int64_t keep_ms = p->topic->public.config.delete_retention_ms;
    if (state->seen_to > state->tombstones_to && io_wall_ms(c->broker->io) - state->seen_ms >= keep_ms)
        state->tombstones_to = state->seen_to;
    c->chunk.tombstones_to = MIN(state->tombstones_to, held_by_all(p));
    c->end = partition_stable_offset(p);
    bool tombstones_may_go = state->has_tombstones && c->chunk.tombstones_to > state->dropped_to;
    bool worth_it = is_dirty_enough(c, p) || tombstones_may_go;
    bool may_lag = c->end > MAX(state->cleaned_to, p->log_start) &&
                   p->topic->public.config.max_compaction_lag_ms < INT64_MAX;
    if (c->end <= p->log_start || (!worth_it && !may_lag)) {
        end_visit(c);
        return;
    }
    uint64_t seed;
    io_random(c->broker->io, &seed, sizeof seed);
    cleaner_map_init(&c->map, c->broker->options.cleaner_map_bytes, seed);
    c->kept_records = 0;
    c->has_tombstones = c->ended = false;
    c->lagging_only = !worth_it;
    c->phase = LEARN;
    go_on(c);
}

static void state_ready(struct store_get *get) {
    struct cleaner *c = CONTAINER_OF(get, struct cleaner, get);
    c->get_waits = false;
    go_on(c);
}

static enum status read_state(struct cleaner *c) {
    struct key key = cleaner_state_key(c->partition->group);
    struct shared_slice value;
    c->state = (struct cleaner_state){0};
    enum status status = store_get(c->broker->store, key_slice(&key), &c->get, &value);
    c->get_waits = status == STATUS_PENDING;
    if (status == STATUS_NOT_FOUND) return STATUS_OK;
    if (status != STATUS_OK) return status;
    bool ok = cleaner_state_decode(value.bytes, &c->state);
    shared_slice_unref(value);
    return ok ? STATUS_OK : STATUS_CORRUPT;
}

static void after_learning(struct cleaner *c) {
    close_log(c);
    if (c->lagging_only || (c->end <= c->state.cleaned_to && c->chunk.tombstones_to <= c->state.dropped_to)) {
        /* Nothing but what is young or can wait, or one batch has more keys than the map. */
        end_visit(c);
        return;
    }
    c->end = MAX(c->end, c->state.cleaned_to);
    c->phase = REWRITE;
    go_on(c);
}

static void go_on(struct cleaner *c) {
    if (c->phase == READ_STATE) {
        enum status status = read_state(c);
        if (status == STATUS_OK) begin(c);
        if (status != STATUS_OK && status != STATUS_PENDING) fail(c, status);
        return;
    }
    int64_t start = c->partition->log_start;
    enum status status = fill(c, c->phase == LEARN ? MAX(start, c->state.cleaned_to) : start);
    if (status == STATUS_OK)
        start_job(c);
    else if (status == STATUS_END && c->phase == LEARN)
        after_learning(c);
    else if (status == STATUS_END)
        save(c);
    else if (status != STATUS_PENDING)
        fail(c, status);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static bool wants(const struct topic_state *topic) {
    return (topic->public.config.cleanup_policy & 2) != 0;
}

static void visit(struct partition_round *round, struct partition *p) {
    struct cleaner *c = CONTAINER_OF(round, struct cleaner, round);
    ASSERT(c->phase == IDLE && c->partition == NULL);
    c->partition = p;
    c->phase = READ_STATE;
    go_on(c);
}

void cleaner_detach(struct partition *p) {
    struct cleaner *c = p->broker->cleaner;
    if (c == NULL || c->partition != p) return;
    bool under_way = c->working || c->writing;
    forget(c);
    if (!under_way) partition_round_next(&c->round);
}

bool cleaner_is_idle(const struct cleaner *c) {
    return c == NULL || (!c->working && !c->writing);
}

struct cleaner *cleaner_new(struct broker *broker) {
    struct cleaner *c = mem_calloc(1, sizeof *c);
    c->broker = broker;
    c->get.ready = state_ready;
    c->round = (struct partition_round){.wants = wants, .visit = visit};
    partition_round_start(&c->round, broker, broker->options.cleaner_check_ms);
    return c;
}

void cleaner_free(struct cleaner *c) {
    partition_round_stop(&c->round);
    if (c->writing) store_write_abandon(&c->write);
    c->working = c->writing = false; /* at a simulated crash: a job that was to run does not */
    forget(c);
    mem_free(c);
}
