// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.ConsumerService.Consume: a subscription that sends as long as there is credit.
 *
 *   start ─> lookups ─> Started ─> fetch (long poll) ─> deliver ─> all delivered ─> fetch ...
 *                                                         │  ^
 *                              no credit, or the queue is full: wait for ConsumeCredit, or for the client to
 * read
 *
 * What was fetched is delivered before anything more is fetched, so that the bytes kept for a client are
 * bounded by one fetch and one send queue, whatever it does. */
#include "server/grpc_consume.h"
#include "base/assert.h"
#include "server/grpc_partition.h"
#include "server/grpc_service.h"
#include "wire/protobuf_record.h"

#define FETCH_BYTES_MAX     ((int64_t)(1 * MIB))
#define FETCH_WAIT_MS       30000
#define MESSAGE_BYTES       ((size_t)(256 * KIB)) /* records in one message, by at most one more */
#define QUEUED_BYTES_MAX    ((size_t)(512 * KIB)) /* sent and not yet taken by the client's window */
#define PROGRESS_DEFAULT_MS 5000
#define PROGRESS_MIN_MS     100

/* ---- messages ------------------------------------------------------------------------------------------ */

void consume_send(struct consume *self, const Sentinel__V1__ConsumeResponse *response) {
    self->sent_ns = io_now_ns(grpc_call_io(self->call));
    grpc_call_send_packed(self->call, &response->base);
}

void consume_send_started(struct consume *self) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    Sentinel__V1__ConsumeStarted started = SENTINEL__V1__CONSUME_STARTED__INIT;
    started.partitions = grpc_sources_print(&self->sources, &arena, &started.n_partitions);
    if (self->group != NULL) started.member_id = arena_text(&arena, consume_group_member_id(self->group));
    Sentinel__V1__ConsumeResponse response = SENTINEL__V1__CONSUME_RESPONSE__INIT;
    response.message_case = SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_STARTED;
    response.started = &started;
    consume_send(self, &response);
    arena_release(&arena);
}

static void send_progress(struct consume *self) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    Sentinel__V1__ConsumeProgress progress = SENTINEL__V1__CONSUME_PROGRESS__INIT;
    progress.partitions = grpc_sources_print(&self->sources, &arena, &progress.n_partitions);
    Sentinel__V1__ConsumeResponse response = SENTINEL__V1__CONSUME_RESPONSE__INIT;
    response.message_case = SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_PROGRESS;
    response.progress = &progress;
    consume_send(self, &response);
    arena_release(&arena);
}

static void send_records(struct consume *self, const struct grpc_source *source, struct chain *items) {
    struct protobuf_records message = {.topic = source->topic,
                                       .partition = source->partition,
                                       .next_offset = source->position,
                                       .high_watermark = source->high_watermark};
    struct writer head;
    writer_init(&head);
    protobuf_consumed_write_head(&head, &message, items->size);
    struct chain out;
    chain_init(&out);
    chain_append_copy(&out, writer_slice(&head));
    chain_append_chain(&out, items);
    writer_release(&head);
    self->told_caught_up = false;
    self->sent_ns = io_now_ns(grpc_call_io(self->call));
    grpc_call_send(self->call, &out);
}

static bool is_caught_up(const struct consume *self) {
    for (uint32_t i = 0; i < self->sources.count; i++)
        if (grpc_source_reads(self->sources.list[i]) &&
            self->sources.list[i]->position < self->sources.list[i]->high_watermark)
            return false;
    return true;
}

static void progress_fire(struct io_timer *timer) {
    struct consume *self = CONTAINER_OF(timer, struct consume, progress);
    struct io *io = grpc_call_io(self->call);
    if (self->started && io_now_ns(io) - self->sent_ns >= self->progress_ns &&
        grpc_call_queued(self->call) < QUEUED_BYTES_MAX) {
        grpc_sources_refresh(&self->sources);
        send_progress(self);
    }
    uint64_t next_ns = self->sent_ns + self->progress_ns;
    io_timer_set(io, timer, next_ns > io_now_ns(io) ? next_ns : io_now_ns(io) + self->progress_ns);
}

/* ---- fetching ------------------------------------------------------------------------------------------ */

static bool has_credit(const struct consume *self) {
    return self->credit.records > 0 && self->credit.bytes > 0;
}

static void drop_answer(struct consume *self) {
    if (self->reading) grpc_records_release(&self->records);
    if (self->delivering) fetch_release(&self->fetch);
    self->reading = self->delivering = false;
}

void consume_stop_fetch(struct consume *self) {
    if (self->fetching) broker_fetch_cancel(&self->fetch);
    self->fetching = false;
}

static void fail_partition(struct consume *self, const struct fetch_partition *part, enum status status) {
    grpc_partition_fail(self->call, &(struct grpc_partition_error){.status = status,
                                                                   .topic = part->topic,
                                                                   .partition = part->partition,
                                                                   .low = part->log_start_offset,
                                                                   .high = part->high_watermark});
}

static void fetch_done(struct fetch *fetch) {
    struct consume *self = CONTAINER_OF(fetch, struct consume, fetch);
    self->fetching = false;
    self->delivering = true;
    self->current = 0;
    bool empty = true;
    for (uint32_t i = 0; i < fetch->partition_count; i++) {
        const struct fetch_partition *part = &fetch->partitions[i];
        if (part->status != STATUS_OK) {
            fail_partition(self, part, part->status);
            return;
        }
        empty &= part->batch_count == 0;
        self->fetched[i]->high_watermark = part->high_watermark;
        self->fetched[i]->log_start_offset = part->log_start_offset;
    }
    uint64_t waited_ns = io_now_ns(grpc_call_io(self->call)) - self->fetch_started_ns;
    if (empty && waited_ns < FETCH_WAIT_MS * NS_PER_MS) /* only a broker that closes gives up early */
        grpc_call_fail_status(self->call, STATUS_UNAVAILABLE, "the node shuts down");
    else
        consume_advance(self);
}

static void make_room(struct consume *self) {
    if (self->sources.count <= self->room) return;
    struct arena *arena = &self->call->arena;
    self->room = self->sources.capacity;
    self->partitions = arena_calloc(arena, self->room, sizeof *self->partitions);
    self->fetched = arena_calloc(arena, self->room, sizeof(*self->fetched));
}

/* false: every source is paused or not positioned. */
static bool start_fetch(struct consume *self) {
    int32_t bytes_max = (int32_t)MIN(self->credit.bytes, FETCH_BYTES_MAX);
    uint32_t count = 0;
    make_room(self);
    for (uint32_t i = 0; i < self->sources.count; i++) {
        struct grpc_source *source = self->sources.list[i];
        source->stale = false;
        if (source->paused || source->looking_up || !grpc_source_reads(source)) continue;
        self->fetched[count] = source;
        self->partitions[count++] = (struct fetch_partition){.topic = source->topic,
                                                             .partition = source->partition,
                                                             .offset = source->position,
                                                             .bytes_max = bytes_max,
                                                             .leader_epoch = -1};
    }
    if (count == 0) return false;
    self->fetch = (struct fetch){.partitions = self->partitions,
                                 .partition_count = count,
                                 .wait_max_ms = FETCH_WAIT_MS,
                                 .bytes_min = 1,
                                 .bytes_max = bytes_max,
                                 .forward = true,
                                 .read_committed = self->read_committed,
                                 .followers = self->any_replica,
                                 .done = fetch_done};
    self->fetching = true;
    self->fetch_started_ns = io_now_ns(grpc_call_io(self->call));
    broker_fetch(grpc_call_broker(self->call), &self->fetch);
    return true;
}

/* ---- delivering ---------------------------------------------------------------------------------------- */

/* One message from partition `current`. */
static void deliver_some(struct consume *self) {
    const struct fetch_partition *part = &self->fetch.partitions[self->current];
    struct grpc_source *source = self->fetched[self->current];
    enum status status = STATUS_END;
    if (!source->stale && part->batch_count != 0) {
        if (!self->reading)
            grpc_records_init(&self->records, part, self->as_batches,
                              self->as_batches ? PROTOBUF_CONSUMED_BATCH : PROTOBUF_CONSUMED_RECORD,
                              source->position);
        self->reading = true;
        struct chain items;
        chain_init(&items);
        status = grpc_records_take(&self->records, MESSAGE_BYTES, &self->credit, &items);
        source->position = self->records.position;
        if (items.size != 0) send_records(self, source, &items);
        chain_release(&items);
    }
    if (status == STATUS_OK) return;
    if (self->reading) grpc_records_release(&self->records);
    self->reading = false;
    self->current++;
    if (status != STATUS_END) fail_partition(self, part, status);
}

/* Does whatever can be done now. */
void consume_advance(struct consume *self) {
    struct grpc_call *call = self->call;
    if (!self->started || call->ended) return;
    while (self->delivering) {
        if (self->current == self->fetch.partition_count) {
            drop_answer(self);
            break;
        }
        if (!has_credit(self) || grpc_call_queued(call) >= QUEUED_BYTES_MAX) break;
        deliver_some(self);
        if (call->ended) return;
    }
    if (!self->delivering && !self->told_caught_up && self->sources.looking_up == 0 && is_caught_up(self)) {
        self->told_caught_up = true;
        send_progress(self);
    }
    if (!self->delivering && !self->fetching && has_credit(self) && grpc_call_queued(call) < QUEUED_BYTES_MAX)
        MAYBE(start_fetch(self)); /* all paused: ConsumeResume comes back here */
    /* A client that will grant nothing more has what it asked for. */
    if (call->half_closed && !has_credit(self)) grpc_call_finish(call);
}

/* ---- requests ------------------------------------------------------------------------------------------ */

static void positioned(struct grpc_sources *sources, struct grpc_source *source) {
    struct consume *self = CONTAINER_OF(sources, struct consume, sources);
    MAYBE(source->stale);
    if (!self->started) {
        if (sources->looking_up != 0) return;
        self->started = true;
        consume_send_started(self);
        self->told_caught_up = is_caught_up(self); /* Started says it */
    } else {
        send_progress(self);
        consume_stop_fetch(self); /* the source is to be among those fetched */
    }
    consume_advance(self);
}

static void add_credit(struct consume *self, const Sentinel__V1__ConsumeCredit *credit) {
    if (credit->records < 0 || credit->bytes < 0) {
        grpc_call_fail_field(self->call, "credit", "credit is only added");
        return;
    }
    if (__builtin_add_overflow(self->credit.records, credit->records, &self->credit.records))
        self->credit.records = INT64_MAX;
    if (__builtin_add_overflow(self->credit.bytes, credit->bytes, &self->credit.bytes))
        self->credit.bytes = INT64_MAX;
    consume_advance(self);
}

static void start(struct consume *self, const Sentinel__V1__ConsumeStart *request) {
    struct grpc_call *call = self->call;
    if (self->opened) {
        grpc_call_fail_field(call, "start", "the subscription has started already");
        return;
    }
    if ((unsigned)request->format > SENTINEL__V1__RECORD_FORMAT__RECORD_FORMAT_BATCHES) {
        grpc_call_fail_field(call, "start.format", "no such value");
        return;
    }
    if ((unsigned)request->isolation > SENTINEL__V1__ISOLATION__ISOLATION_READ_COMMITTED) {
        grpc_call_fail_field(call, "start.isolation", "no such value");
        return;
    }
    if ((unsigned)request->read_from > SENTINEL__V1__READ_FROM__READ_FROM_ANY_REPLICA) {
        grpc_call_fail_field(call, "start.read_from", "no such value");
        return;
    }
    self->opened = true;
    self->any_replica = request->read_from == SENTINEL__V1__READ_FROM__READ_FROM_ANY_REPLICA;
    self->read_committed = request->isolation == SENTINEL__V1__ISOLATION__ISOLATION_READ_COMMITTED;
    self->as_batches = request->format == SENTINEL__V1__RECORD_FORMAT__RECORD_FORMAT_BATCHES;
    if (request->credit != NULL) add_credit(self, request->credit);
    if (call->ended) return;
    bool grouped = request->group != NULL && request->group[0] != '\0';
    if (!(grouped ? consume_group_start(self, request)
                  : grpc_sources_start(&self->sources, call, request, positioned)))
        return;
    int32_t interval_ms = request->progress_interval_ms;
    self->progress_ns =
        (uint64_t)(interval_ms <= 0 ? PROGRESS_DEFAULT_MS : MAX(interval_ms, PROGRESS_MIN_MS)) * NS_PER_MS;
    struct io *io = grpc_call_io(call);
    self->sent_ns = io_now_ns(io);
    io_timer_set(io, &self->progress, self->sent_ns + self->progress_ns);
}

static void set_paused(struct consume *self, struct grpc_source *source, bool paused) {
    if (source->paused == paused) return;
    source->paused = paused;
    if (paused) source->stale = true; /* its position stays: resumed, it is fetched again */
    consume_stop_fetch(self);
}

static void pause_or_resume(struct consume *self, Sentinel__V1__TopicPartition **list, size_t count,
                            bool paused) {
    for (uint32_t i = 0; count == 0 && i < self->sources.count; i++)
        set_paused(self, self->sources.list[i], paused);
    for (size_t i = 0; i < count; i++) {
        struct grpc_source *source = grpc_sources_find(&self->sources, list[i]->topic, list[i]->partition);
        if (source == NULL) {
            grpc_call_fail_field(self->call, "partitions", "not part of this subscription");
            return;
        }
        set_paused(self, source, paused);
    }
    consume_advance(self);
}

static void seek(struct consume *self, const Sentinel__V1__ConsumeSeek *request) {
    struct grpc_source *source = grpc_sources_find(&self->sources, request->topic, request->partition);
    if (source == NULL) {
        grpc_call_fail_field(self->call, "seek", "not part of this subscription");
        return;
    }
    source->stale = true;
    consume_stop_fetch(self);
    if (grpc_sources_seek(source, request->start)) consume_advance(self);
}

#define REQUEST_CASE(name) SENTINEL__V1__CONSUME_REQUEST__MESSAGE_##name

static void consume_message(struct grpc_call *call, struct grpc_message *message) {
    struct consume *self = call->state;
    /* Requests keep nothing of themselves but what is copied: each has an arena of its own. */
    struct arena arena;
    arena_init(&arena, 1 * KIB);
    ProtobufCAllocator allocator = protobuf_arena_allocator(&arena);
    Sentinel__V1__ConsumeRequest *request = sentinel__v1__consume_request__unpack(
        &allocator, message->bytes.size, message->bytes.data);
    if (request == NULL) {
        grpc_call_fail_status(call, STATUS_MALFORMED, "the message is no ConsumeRequest");
    } else if (!self->opened && request->message_case != REQUEST_CASE(START)) {
        grpc_call_fail_field(call, "start", "the first message starts the subscription");
    } else {
        switch (request->message_case) {
        case REQUEST_CASE(START):
            start(self, request->start);
            break;
        case REQUEST_CASE(CREDIT):
            add_credit(self, request->credit);
            break;
        case REQUEST_CASE(PAUSE):
            pause_or_resume(self, request->pause->partitions, request->pause->n_partitions, true);
            break;
        case REQUEST_CASE(RESUME):
            pause_or_resume(self, request->resume->partitions, request->resume->n_partitions, false);
            break;
        case REQUEST_CASE(SEEK):
            seek(self, request->seek);
            break;
        case REQUEST_CASE(COMMIT):
            consume_group_commit(self, request->commit);
            break;
        case REQUEST_CASE(RELEASE):
            consume_group_release(self, request->release);
            break;
        default:
            grpc_call_fail_field(call, "message", "the message is empty");
        }
    }
    arena_release(&arena);
}

static void consume_open(struct grpc_call *call) {
    struct consume *self = call->state;
    self->call = call;
    io_timer_init(&self->progress, progress_fire);
}

static void consume_half_closed(struct grpc_call *call) {
    struct consume *self = call->state;
    if (self->opened)
        consume_advance(self);
    else
        grpc_call_finish(call);
}

static void consume_writable(struct grpc_call *call) {
    consume_advance(call->state);
}

static void consume_drain(struct grpc_call *call) {
    grpc_call_fail_status(call, STATUS_UNAVAILABLE, "the node shuts down");
}

static void consume_ended(struct grpc_call *call) {
    struct consume *self = call->state;
    io_timer_cancel(grpc_call_io(call), &self->progress);
    if (self->group != NULL) consume_group_end(self);
    grpc_sources_cancel(&self->sources);
    consume_stop_fetch(self);
    drop_answer(self);
}

const struct grpc_method grpc_consume_methods[1] = {
    {.path = "/sentinel.v1.ConsumerService/Consume",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .state_size = sizeof(struct consume),
     .streams_requests = true,
     .open = consume_open,
     .message = consume_message,
     .half_closed = consume_half_closed,
     .writable = consume_writable,
     .drain = consume_drain,
     .ended = consume_ended},
};
