// SPDX-License-Identifier: Apache-2.0
/* Fetching: wait until every partition is loaded, read what is below each high watermark, and wait for more
 * when it is less than the client asked for.
 *
 *   deferred ─> loaded? ─> read partition by partition ─> enough, an error, or time is up? ─> done
 *                  ^                                              │ no
 *                  └────────────── fetch_wake or the timer ───────┘
 *
 * A wake re-reads from the start: what is below the high watermark never changes, and names are looked up
 * again, so a topic deleted meanwhile is seen. It comes only when enough bytes have been appended to make a
 * difference. */
#include "base/assert.h"
#include "base/mem.h"
#include "broker/forward.h"
#include "broker/partition.h"
#include "broker/read_replica.h"

struct fetch_wait {
    struct list link; /* in partition.fetch_waits */
    struct fetch *fetch;
};

struct fetch_state {
    struct list link; /* in broker.fetches */
    struct fetch *fetch;
    uint64_t missing; /* bytes to be appended before a re-read can help */
    uint32_t current; /* partition being read */
    struct store_iterator *it;
    struct key lower;    /* where it begins */
    int64_t last_offset; /* of the last batch taken from it */
    bool positioned, expired, scheduled;
    bool full;             /* a limit kept bytes back: waiting brings nothing */
    struct forward remote; /* of the current partition, led elsewhere */
    size_t remote_bytes;   /* asked for: counted as held until the answer is here */
    bool remote_waits, remote_done, any_remote;
    bool remote_short;    /* less was asked for than the client wants */
    struct io_timer poll; /* partitions led elsewhere cannot wake us */
    size_t bytes;
    struct fetch_wait waits[];
};

static void run(struct fetch *fetch);

static void run_deferred(struct io_op *op) {
    struct fetch *fetch = CONTAINER_OF(op, struct fetch, op);
    fetch->state->scheduled = false;
    run(fetch);
}

static void schedule(struct fetch *fetch) {
    if (fetch->state->scheduled) return;
    fetch->state->scheduled = true;
    fetch->op.done = run_deferred;
    io_defer(fetch->broker->io, &fetch->op);
}

static void stop_waiting(struct fetch *fetch) {
    for (uint32_t i = 0; i < fetch->partition_count; i++)
        list_remove(&fetch->state->waits[i].link);
}

static void timer_fired(struct io_timer *timer) {
    struct fetch *fetch = CONTAINER_OF(timer, struct fetch, timer);
    fetch->state->expired = true;
    /* In the middle of a read the iterator's answer comes first; the read then sees that time is up. */
    if (fetch->state->it == NULL && !fetch->state->remote_waits) schedule(fetch);
}

void fetch_wake(struct partition *p, uint64_t bytes) {
    LIST_FOREACH(it, &p->fetch_waits) {
        struct fetch_wait *wait = CONTAINER_OF(it, struct fetch_wait, link);
        struct fetch_state *state = wait->fetch->state;
        /* UINT64_MAX: loaded, or going away: a reason to look again by itself. */
        if (bytes == UINT64_MAX) list_remove(it);
        state->missing = bytes >= state->missing ? 0 : state->missing - bytes;
        if (state->missing == 0 && !state->remote_waits) schedule(wait->fetch);
    }
}

void fetch_end_waits(struct broker *broker) {
    LIST_FOREACH(it, &broker->fetches) {
        struct fetch_state *state = CONTAINER_OF(it, struct fetch_state, link);
        state->expired = true;
        if (state->it == NULL && !state->remote_waits) schedule(state->fetch);
    }
}

static void drop_batches(struct fetch *fetch, struct fetch_partition *part) {
    for (uint32_t i = 0; i < part->batch_count; i++)
        shared_slice_unref(part->batches[i]);
    if (part->batch_count > 0) fetch->broker->fetch_bytes_held -= part->bytes;
    part->batch_count = 0;
    part->bytes = 0;
    mem_free(part->aborted);
    part->aborted = NULL;
    part->aborted_count = 0;
}

void fetch_release(struct fetch *fetch) {
    for (uint32_t i = 0; i < fetch->partition_count; i++) {
        struct fetch_partition *part = &fetch->partitions[i];
        drop_batches(fetch, part);
        mem_free(part->batches);
        part->batches = NULL;
        part->batch_capacity = 0;
    }
}

static void remote_over(struct fetch *fetch) {
    fetch->broker->fetch_bytes_held -= fetch->state->remote_bytes;
    fetch->state->remote_bytes = 0;
}

static void free_state(struct fetch *fetch) {
    struct fetch_state *state = fetch->state;
    stop_waiting(fetch);
    io_timer_cancel(fetch->broker->io, &fetch->timer);
    io_timer_cancel(fetch->broker->io, &state->poll);
    forward_cancel(&state->remote);
    remote_over(fetch);
    if (state->scheduled) io_defer_cancel(&fetch->op);
    if (state->it != NULL) store_iterator_close(state->it);
    list_remove(&state->link);
    mem_free(state);
    fetch->state = NULL;
}

static void finish(struct fetch *fetch) {
    fetch->broker->stats.fetch_bytes += fetch->state->bytes;
    for (uint32_t i = 0; i < fetch->partition_count; i++)
        if (fetch->partitions[i].from_follower)
            fetch->broker->stats.follower_fetch_bytes += fetch->partitions[i].bytes;
    free_state(fetch);
    fetch->done(fetch);
}

/* ---- loading ------------------------------------------------------------------------------------------ */

static void wait_for(struct fetch *fetch, uint32_t index, struct partition *p) {
    list_push_back(&p->fetch_waits, &fetch->state->waits[index].link);
}

/* `follows`: it is not led here, and may be read all the same. */
static enum status use(const struct fetch *fetch, struct partition *p, bool *follows) {
    enum status status = partition_use(p, NULL);
    *follows = status == STATUS_NOT_LEADER && fetch->followers && read_replica_use(p) == STATUS_OK;
    return *follows ? STATUS_OK : status;
}

/* True when every partition can be looked at; else those being loaded will wake the fetch. */
static bool all_loaded(struct fetch *fetch) {
    bool loaded = true;
    for (uint32_t i = 0; i < fetch->partition_count; i++) {
        struct fetch_partition *part = &fetch->partitions[i];
        struct partition *p = broker_partition(fetch->broker, part->topic, part->partition);
        if (p == NULL || partition_use(p, NULL) != STATUS_PENDING) continue;
        wait_for(fetch, i, p);
        loaded = false;
    }
    if (!loaded) fetch->state->missing = 1;
    return loaded;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static void iterator_ready(void *ctx) {
    run(ctx);
}

static int64_t limit_of(const struct fetch *fetch, const struct fetch_partition *part) {
    return fetch->read_committed ? part->last_stable_offset : part->high_watermark;
}

static enum status check_offset(const struct partition *p, const struct fetch_partition *part, bool follows) {
    if (part->offset < p->log_start || part->offset > p->log_end)
        return follows ? STATUS_OFFSET_NOT_AVAILABLE : STATUS_OFFSET_OUT_OF_RANGE;
    return part->leader_epoch > partition_epoch(p) ? STATUS_UNKNOWN_EPOCH : STATUS_OK;
}

/* Fills in what is known without reading; true when there may be something to read. */
static bool look_at(struct fetch *fetch, struct fetch_partition *part) {
    struct partition *p = broker_partition(fetch->broker, part->topic, part->partition);
    bool follows = false;
    part->high_watermark = part->last_stable_offset = part->log_start_offset = -1;
    part->read_from = -1;
    part->status = p == NULL ? STATUS_UNKNOWN_TOPIC : use(fetch, p, &follows);
    /* Another load began since all were looked at: nothing to give from it this time. */
    if (part->status == STATUS_PENDING) part->status = STATUS_UNAVAILABLE;
    if (part->status != STATUS_OK) return false;
    part->high_watermark = p->high_watermark;
    part->last_stable_offset = partition_stable_offset(p);
    part->log_start_offset = p->log_start;
    part->status = check_offset(p, part, follows);
    part->from_follower = follows;
    if (part->status == STATUS_OK && !follows)
        part->read_from = read_replica_choose(p, fetch->rack, fetch->reader, part->offset);
    return part->status == STATUS_OK && part->read_from < 0 && part->offset < limit_of(fetch, part);
}

/* All that reach into what may be read, before anything is: while it is, the partition may be loaded anew,
 * given away, deleted, or forget what ended below a new log start. */
static void note_aborted(const struct fetch *fetch, struct fetch_partition *part, const struct partition *p) {
    const struct producer_state *state = partition_producers(p);
    uint32_t from = state->aborted_count;
    while (from > 0 && state->aborted[from - 1].last_offset >= part->offset)
        from--;
    if (!fetch->read_committed || from == state->aborted_count) return;
    part->aborted = mem_alloc((state->aborted_count - from) * sizeof *part->aborted);
    for (uint32_t i = from; i < state->aborted_count; i++)
        if (state->aborted[i].first_offset < part->last_stable_offset)
            part->aborted[part->aborted_count++] = (struct fetch_aborted){
                state->aborted[i].producer_id, state->aborted[i].first_offset, state->aborted[i].last_offset};
}

/* Of those the ones that reach into what was read. */
static void keep_aborted(struct fetch_partition *part, int64_t last_offset) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < part->aborted_count && part->batch_count > 0; i++)
        if (part->aborted[i].first_offset <= last_offset) part->aborted[kept++] = part->aborted[i];
    part->aborted_count = kept;
}

/* What the client still wants of it. */
static size_t wanted_of(const struct fetch *fetch, const struct fetch_partition *part) {
    size_t max = (size_t)MAX(fetch->bytes_max, 0), part_max = (size_t)MAX(part->bytes_max, 0);
    return MIN(max - MIN(max, fetch->state->bytes), part_max - MIN(part_max, part->bytes));
}

/* What it may hold beside what it holds, as others hold so much. Asked when something is added: many fetches
 * that begin or are woken at once all saw an empty broker before. */
static size_t room_of(const struct fetch *fetch) {
    const struct broker *broker = fetch->broker;
    size_t held = broker->fetch_bytes_held + broker->answer_bytes, max = broker->options.fetch_bytes_held_max;
    return MAX(max - MIN(max, held), FETCH_SHARE - MIN(FETCH_SHARE, fetch->state->bytes));
}

static void open_log(struct fetch *fetch, struct fetch_partition *part) {
    struct partition *p = broker_partition(fetch->broker, part->topic, part->partition);
    struct fetch_state *state = fetch->state;
    struct key upper = key_log(p->group, limit_of(fetch, part));
    state->lower = key_log(p->group, part->offset);
    state->it = store_iterator_open(fetch->broker->store, key_slice(&state->lower), key_slice(&upper),
                                    STORE_ITERATOR_SEQUENTIAL, iterator_ready, fetch);
    state->positioned = false;
    size_t ahead = 0;
    for (uint32_t i = 0; i < PARTITION_FETCH_ENDS; i++)
        if (p->fetch_ends[i].offset == part->offset) ahead = MAX(ahead, p->fetch_ends[i].ahead);
    store_iterator_expect(state->it, MIN(room_of(fetch), wanted_of(fetch, part)), ahead);
    note_aborted(fetch, part, p);
}

/* A consumer that reads a backlog comes back for what follows: the disk may be asked for it now. */
static void close_log(struct fetch *fetch, const struct fetch_partition *part) {
    struct fetch_state *state = fetch->state;
    struct partition *p = broker_partition(fetch->broker, part->topic, part->partition);
    size_t ahead = store_iterator_ahead(state->it);
    if (p != NULL && ahead > 0 && part->batch_count > 0) {
        uint32_t turn = p->fetch_end_turn++ % PARTITION_FETCH_ENDS;
        p->fetch_ends[turn].offset = state->last_offset + 1;
        p->fetch_ends[turn].ahead = ahead;
    }
    store_iterator_close(state->it);
    state->it = NULL;
}

static void add_batch(struct fetch *fetch, struct fetch_partition *part, struct shared_slice batch) {
    if (part->batch_count == part->batch_capacity) {
        part->batch_capacity = MAX(part->batch_capacity * 2, (uint32_t)8);
        part->batches = mem_realloc(part->batches, part->batch_capacity * sizeof *part->batches);
    }
    part->batches[part->batch_count++] = shared_slice_ref(batch);
    part->bytes += batch.bytes.size;
    fetch->state->bytes += batch.bytes.size;
    fetch->broker->fetch_bytes_held += batch.bytes.size;
}

static bool has_room(const struct fetch *fetch, const struct fetch_partition *part, size_t size) {
    if (fetch->state->bytes == 0) return true; /* the first batch always: a reader is never stuck */
    return size <= wanted_of(fetch, part) && size <= room_of(fetch);
}

static enum status next_batch(struct fetch_state *state, const struct key *lower) {
    enum status status = state->positioned ? store_iterator_next(state->it)
                                           : store_iterator_seek(state->it, key_slice(lower));
    if (status == STATUS_OK) state->positioned = true;
    return status;
}

/* ---- led elsewhere ------------------------------------------------------------------------------------- */

static void take_remote(struct fetch *fetch, struct fetch_partition *part, struct shared_slice body) {
    struct reader in = reader_make(body.bytes);
    part->high_watermark = (int64_t)reader_be64(&in);
    part->last_stable_offset = (int64_t)reader_be64(&in);
    part->log_start_offset = (int64_t)reader_be64(&in);
    uint32_t aborted_count = reader_be32(&in);
    if (!reader_ok(&in) && part->status == STATUS_OK) part->status = STATUS_NOT_LEADER;
    if (!reader_ok(&in) || aborted_count > reader_remaining(&in) / 24) aborted_count = 0;
    if (aborted_count != 0) part->aborted = mem_alloc(aborted_count * sizeof *part->aborted);
    for (; part->aborted_count < aborted_count; part->aborted_count++) {
        struct fetch_aborted *aborted = &part->aborted[part->aborted_count];
        aborted->producer_id = (int64_t)reader_be64(&in);
        aborted->first_offset = (int64_t)reader_be64(&in);
        aborted->last_offset = (int64_t)reader_be64(&in);
    }
    while (part->status == STATUS_OK && reader_ok(&in) && reader_remaining(&in) > 0) {
        struct slice batch = reader_bytes(&in, reader_be32(&in));
        if (reader_ok(&in)) add_batch(fetch, part, (struct shared_slice){batch, body.owner});
    }
}

static void remote_answered(struct forward *forward, enum status status, struct shared_slice body) {
    struct fetch *fetch = CONTAINER_OF(forward, struct fetch_state, remote)->fetch;
    struct fetch_state *state = fetch->state;
    struct fetch_partition *part = &fetch->partitions[state->current];
    part->status = status;
    part->high_watermark = part->last_stable_offset = part->log_start_offset = -1;
    part->from_follower = false;
    remote_over(fetch);
    take_remote(fetch, part, body);
    state->full |= state->remote_short && part->batch_count > 0;
    state->remote_waits = false;
    state->remote_done = true;
    run(fetch);
}

/* Led by another node, which is asked; not where a follower here can answer. */
static bool is_remote(const struct fetch *fetch, const struct fetch_partition *part) {
    if (!fetch->forward || !forward_is_elsewhere(fetch->broker, part->topic, part->partition)) return false;
    struct partition *p = broker_partition(fetch->broker, part->topic, part->partition);
    bool follows = false;
    return p == NULL || use(fetch, p, &follows) != STATUS_OK || check_offset(p, part, true) != STATUS_OK;
}

/* True: asked. */
static bool ask_remote(struct fetch *fetch, struct fetch_partition *part) {
    struct fetch_state *state = fetch->state;
    if (!is_remote(fetch, part)) return false;
    size_t wanted = wanted_of(fetch, part), asked = MIN(wanted, room_of(fetch));
    struct writer numbers;
    struct chain rest;
    writer_init(&numbers);
    chain_init(&rest);
    writer_be64(&numbers, (uint64_t)part->offset);
    writer_be32(&numbers, (uint32_t)asked);
    writer_u8(&numbers, fetch->read_committed);
    chain_append_copy(&rest, writer_slice(&numbers));
    writer_release(&numbers);
    state->remote.answered = remote_answered;
    state->any_remote = true;
    state->remote_waits = forward_start(fetch->broker, &state->remote, FORWARD_FETCH, part->topic,
                                        part->partition, &rest);
    chain_release(&rest);
    if (!state->remote_waits) return false;
    state->remote_short = asked < wanted;
    state->remote_bytes = asked;
    fetch->broker->fetch_bytes_held += asked;
    return true;
}

bool fetch_is_aborted(const struct fetch_partition *part, const struct record_batch *batch) {
    if ((batch->attributes & (BATCH_TRANSACTIONAL | BATCH_CONTROL)) != BATCH_TRANSACTIONAL) return false;
    for (uint32_t i = 0; i < part->aborted_count; i++)
        if (part->aborted[i].producer_id == batch->producer_id &&
            part->aborted[i].first_offset <= batch->base_offset &&
            batch->base_offset < part->aborted[i].last_offset)
            return true;
    return false;
}

/* Reads the current partition; PENDING: iterator_ready or remote_answered comes. */
static enum status read_partition(struct fetch *fetch, struct fetch_partition *part) {
    struct fetch_state *state = fetch->state;
    if (state->remote_done) {
        state->remote_done = false;
        return STATUS_OK;
    }
    if (state->it == NULL) {
        if (ask_remote(fetch, part)) return STATUS_PENDING;
        if (!look_at(fetch, part)) return STATUS_OK;
        if (!has_room(fetch, part, 1)) {
            state->full = true;
            return STATUS_OK;
        }
        open_log(fetch, part);
    }
    enum status status;
    while ((status = next_batch(state, &state->lower)) == STATUS_OK) {
        struct shared_slice batch = store_iterator_value(state->it);
        if (!has_room(fetch, part, batch.bytes.size)) {
            state->full = true;
            break;
        }
        add_batch(fetch, part, batch);
        if (!key_log_parse(store_iterator_key(state->it), &state->last_offset)) state->last_offset = -2;
    }
    if (status == STATUS_PENDING) return status;
    close_log(fetch, part);
    keep_aborted(part, state->last_offset);
    if (status != STATUS_OK && status != STATUS_END) {
        drop_batches(fetch, part);
        part->status = status;
    }
    return STATUS_OK;
}

static bool is_satisfied(const struct fetch *fetch) {
    const struct fetch_state *state = fetch->state;
    if (state->expired || state->full || fetch->broker->closing) return true;
    if (state->bytes >= (size_t)MAX(fetch->bytes_min, 0)) return true;
    for (uint32_t i = 0; i < fetch->partition_count; i++)
        if (fetch->partitions[i].status != STATUS_OK || fetch->partitions[i].read_from >= 0) return true;
    return fetch->partition_count == 0;
}

static void wait_for_more(struct fetch *fetch) {
    struct fetch_state *state = fetch->state;
    state->missing = (size_t)fetch->bytes_min - state->bytes;
    for (uint32_t i = 0; i < fetch->partition_count; i++) {
        struct fetch_partition *part = &fetch->partitions[i];
        drop_batches(fetch, part);
        struct partition *p = broker_partition(fetch->broker, part->topic, part->partition);
        /* What came between the look and now is not missing any more; a topic deleted meanwhile is told. */
        if (p == NULL || (!is_remote(fetch, part) && p->high_watermark > part->high_watermark))
            state->missing = 0;
        if (p != NULL) wait_for(fetch, i, p);
    }
    state->bytes = 0;
    fetch->broker->stats.fetch_waits++;
    if (state->missing == 0)
        schedule(fetch);
    else if (state->any_remote)
        io_timer_set(fetch->broker->io, &state->poll, io_now_ns(fetch->broker->io) + FORWARD_POLL_NS);
}

static void run(struct fetch *fetch) {
    struct fetch_state *state = fetch->state;
    if (state->it == NULL && state->current == 0 && !state->remote_done) {
        stop_waiting(fetch);
        if (!all_loaded(fetch)) return;
    }
    while (state->current < fetch->partition_count) {
        if (read_partition(fetch, &fetch->partitions[state->current]) == STATUS_PENDING) return;
        state->current++;
    }
    state->current = 0;
    if (is_satisfied(fetch))
        finish(fetch);
    else
        wait_for_more(fetch);
}

/* It was woken before, perhaps, and asks already or reads. */
static void poll_fired(struct io_timer *timer) {
    struct fetch_state *state = CONTAINER_OF(timer, struct fetch_state, poll);
    if (state->it == NULL && !state->remote_waits) schedule(state->fetch);
}

void broker_fetch(struct broker *broker, struct fetch *fetch) {
    struct fetch_state *state = mem_calloc(1, sizeof *state +
                                                  fetch->partition_count * sizeof(struct fetch_wait));
    state->fetch = fetch;
    for (uint32_t i = 0; i < fetch->partition_count; i++) {
        state->waits[i].fetch = fetch;
        list_init(&state->waits[i].link);
        struct fetch_partition *part = &fetch->partitions[i];
        part->status = STATUS_OK;
        part->batches = NULL;
        part->batch_count = part->batch_capacity = 0;
        part->bytes = 0;
        part->read_from = -1;
        part->from_follower = false;
        part->aborted = NULL;
        part->aborted_count = 0;
    }
    forward_init(&state->remote);
    io_timer_init(&state->poll, poll_fired);
    fetch->broker = broker;
    fetch->state = state;
    fetch->op = (struct io_op){0};
    list_push_back(&broker->fetches, &state->link);
    io_timer_init(&fetch->timer, timer_fired);
    if (fetch->wait_max_ms == 0)
        state->expired = true;
    else
        io_timer_set(broker->io, &fetch->timer, io_now_ns(broker->io) + fetch->wait_max_ms * NS_PER_MS);
    broker->stats.fetches++;
    schedule(fetch);
}

void broker_count_answers(struct broker *broker, int64_t bytes) {
    broker->answer_bytes += (size_t)bytes;
}

void broker_fetch_cancel(struct fetch *fetch) {
    if (fetch->state == NULL) return;
    free_state(fetch);
    fetch_release(fetch);
}

void fetch_abandon_all(struct broker *broker) {
    LIST_FOREACH(it, &broker->fetches) {
        broker_fetch_cancel(CONTAINER_OF(it, struct fetch_state, link)->fetch);
    }
}
