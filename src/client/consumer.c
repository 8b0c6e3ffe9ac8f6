// SPDX-License-Identifier: Apache-2.0
/* Consuming over one Consume stream, in batches as they are stored; they are unpacked here.
 *
 * Credit is the buffer: the broker may send what was granted, and what the application has taken is granted
 * again. After a lost connection a new stream starts at each partition's next offset. */
#include <stdio.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "client/client_state.h"
#include "sentinel/v1/consumer_service.pb-c.h"
#include "wire/protobuf_record.h"
#include "wire/record_batch.h"

#define CONSUME_PATH       "/sentinel.v1.ConsumerService/Consume"
#define CREDIT_BYTES       (16 * MIB)
#define CREDIT_RECORDS     ((int64_t)1 << 40) /* bytes are what bounds memory */
#define GRPC_ABORTED       10
#define RECONNECT_PAUSE_NS (50 * NS_PER_MS)
#define RECOMMIT_PAUSE_NS  (100 * NS_PER_MS)
#define INFLATE_MAX        (256 * MIB)
#define HEADERS_MAX        256

/* One batch received and not yet handed out. */
struct received {
    struct list link;
    int32_t partition;
    struct buffer *owner;
    struct slice bytes;
    size_t credit;
    int64_t next_offset; /* after it */
};

struct position {
    int64_t next;      /* offset of the next record to hand out; -1: not known */
    int64_t requested; /* where the next stream starts: behind what was received */
    int64_t committed; /* with a group: what was sent last; -1: nothing */
    bool assigned;     /* with a group */
};

struct sentinel_consumer {
    struct sentinel_client *client;
    char *topic, *group; /* group: NULL: none */
    uint64_t commits_sent, commits_answered;
    sentinel_error refused; /* the last commit's, which passes; code 0: none */
    bool started, read_committed, from_time;
    int32_t partition; /* -1: all */
    int64_t from;
    struct position *positions;
    int32_t partition_count;
    struct call call;
    bool streaming, failed;
    struct io_timer reconnect;
    sentinel_error error;
    struct list received;
    size_t credit_back; /* taken by the application, not granted again yet */
    /* the batch being handed out */
    struct received *current;
    struct record_batch batch;
    struct record_iterator it;
    struct arena arena;
    sentinel_header headers[HEADERS_MAX];
};

static void free_received(struct received *received) {
    buffer_unref(received->owner);
    mem_free(received);
}

static void fail(struct sentinel_consumer *c, int code, const char *message) {
    if (c->failed) return;
    c->failed = true;
    client_fail(&c->error, code, "%s", message);
}

static struct position *position_of(struct sentinel_consumer *c, int32_t partition) {
    if (partition < 0 || partition > 1000000) return NULL;
    if (partition >= c->partition_count) {
        c->positions = mem_realloc(c->positions, (size_t)(partition + 1) * sizeof *c->positions);
        for (int32_t i = c->partition_count; i <= partition; i++)
            c->positions[i] = (struct position){-1, -1, -1, false};
        c->partition_count = partition + 1;
    }
    return &c->positions[partition];
}

/* ---- what comes ---------------------------------------------------------------------------------------- */

static void take_records(struct sentinel_consumer *c, const struct protobuf_records *records,
                         const struct grpc_message *message) {
    struct position *position = position_of(c, records->partition);
    struct slice rest = records->message, item;
    bool is_batch;
    enum status status = position == NULL ? STATUS_MALFORMED : STATUS_OK;
    struct buffer *owner = message->owner != NULL ? buffer_ref(message->owner) : buffer_copy(message->bytes);
    const uint8_t *base = message->owner != NULL ? message->bytes.data : owner->data;
    while (status == STATUS_OK &&
           (status = protobuf_records_next(records, &rest, &is_batch, &item)) == STATUS_OK) {
        if (!is_batch) {
            status = STATUS_MALFORMED;
            break;
        }
        struct received *received = mem_calloc(1, sizeof *received);
        received->partition = records->partition;
        received->owner = buffer_ref(owner);
        received->bytes = slice_make(base + (item.data - message->bytes.data), item.size);
        received->credit = item.size;
        received->next_offset = records->next_offset;
        list_push_back(&c->received, &received->link);
    }
    buffer_unref(owner);
    if (status != STATUS_END)
        fail(c, 13, "the server sent malformed records");
    else
        position->requested = records->next_offset;
}

static void take_positions(struct sentinel_consumer *c, struct slice inner) {
    /* ConsumeStarted: where each partition starts. */
    Sentinel__V1__ConsumeStarted *started = sentinel__v1__consume_started__unpack(NULL, inner.size,
                                                                                  inner.data);
    if (started == NULL) {
        fail(c, 13, "the server sent a malformed answer");
        return;
    }
    c->started = true;
    for (size_t i = 0; i < started->n_partitions; i++) {
        struct position *position = position_of(c, started->partitions[i]->partition);
        if (position == NULL || position->requested >= 0) continue;
        position->next = position->requested = started->partitions[i]->position;
    }
    sentinel__v1__consume_started__free_unpacked(started, NULL);
}

static void send_request(struct sentinel_consumer *c, Sentinel__V1__ConsumeRequest *request);
static void give_credit_back(struct sentinel_consumer *c, size_t bytes);
static void end_current(struct sentinel_consumer *c);

/* ---- as a member of a group ------------------------------------------------------------------------------
 */

/* What was handed out and not committed yet; false: nothing. */
static bool send_commit(struct sentinel_consumer *c) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    Sentinel__V1__ConsumeRequest request = SENTINEL__V1__CONSUME_REQUEST__INIT;
    Sentinel__V1__ConsumeCommit commit = SENTINEL__V1__CONSUME_COMMIT__INIT;
    commit.offsets = arena_calloc(&arena, (size_t)c->partition_count + 1, sizeof *commit.offsets);
    for (int32_t i = 0; i < c->partition_count; i++) {
        struct position *position = &c->positions[i];
        if (!position->assigned || position->next < 0 || position->next == position->committed) continue;
        Sentinel__V1__CommitOffset *offset = arena_alloc(&arena, sizeof *offset);
        sentinel__v1__commit_offset__init(offset);
        offset->topic = c->topic;
        offset->partition = i;
        offset->offset = position->committed = position->next;
        commit.offsets[commit.n_offsets++] = offset;
    }
    request.message_case = SENTINEL__V1__CONSUME_REQUEST__MESSAGE_COMMIT;
    request.commit = &commit;
    if (commit.n_offsets != 0) {
        c->commits_sent++;
        send_request(c, &request);
    }
    arena_release(&arena);
    return commit.n_offsets != 0;
}

/* Nothing more of this partition is handed out. */
static void drop_partition(struct sentinel_consumer *c, int32_t partition) {
    LIST_FOREACH(it, &c->received) {
        struct received *received = CONTAINER_OF(it, struct received, link);
        if (received->partition != partition) continue;
        list_remove(it);
        give_credit_back(c, received->credit);
        free_received(received);
    }
    if (c->current != NULL && c->current->partition == partition) {
        c->batch.last_offset_delta = -1; /* its position stays where it is */
        c->batch.base_offset = 0;
        end_current(c);
    }
    c->positions[partition].assigned = false;
}

static void take_assignment(struct sentinel_consumer *c, struct slice inner) {
    Sentinel__V1__ConsumeAssignment *assignment = sentinel__v1__consume_assignment__unpack(NULL, inner.size,
                                                                                           inner.data);
    if (assignment == NULL) {
        fail(c, 13, "the server sent a malformed answer");
        return;
    }
    for (size_t i = 0; i < assignment->n_partitions; i++) {
        const Sentinel__V1__PartitionPosition *from = assignment->partitions[i];
        struct position *position = position_of(c, from->partition);
        if (position == NULL || position->assigned) continue;
        *position = (struct position){from->position, from->position, from->position, true};
    }
    if (assignment->n_releasing != 0) {
        MAYBE(send_commit(c));
        for (size_t i = 0; i < assignment->n_releasing; i++)
            if (position_of(c, assignment->releasing[i]->partition) != NULL)
                drop_partition(c, assignment->releasing[i]->partition);
        Sentinel__V1__ConsumeRequest request = SENTINEL__V1__CONSUME_REQUEST__INIT;
        Sentinel__V1__ConsumeRelease release = SENTINEL__V1__CONSUME_RELEASE__INIT;
        request.message_case = SENTINEL__V1__CONSUME_REQUEST__MESSAGE_RELEASE;
        request.release = &release;
        send_request(c, &request);
    }
    sentinel__v1__consume_assignment__free_unpacked(assignment, NULL);
}

/* Another node takes the group over, or the member's epoch has just moved: what was handed out is still this
 * member's, and is committed with the next. */
static void take_refusal(struct sentinel_consumer *c, const Google__Rpc__Status *error) {
    if (error->code != GRPC_UNAVAILABLE && error->code != GRPC_ABORTED) {
        fail(c, error->code, error->message);
        return;
    }
    client_fail(&c->refused, SENTINEL_UNAVAILABLE, "%s", error->message);
    for (int32_t i = 0; i < c->partition_count; i++)
        c->positions[i].committed = -1;
}

static void take_committed(struct sentinel_consumer *c, struct slice inner) {
    Sentinel__V1__ConsumeCommitted *committed = sentinel__v1__consume_committed__unpack(NULL, inner.size,
                                                                                        inner.data);
    c->commits_answered++;
    if (committed == NULL)
        fail(c, 13, "the server sent a malformed answer");
    else if (committed->error != NULL)
        take_refusal(c, committed->error);
    if (committed != NULL) sentinel__v1__consume_committed__free_unpacked(committed, NULL);
}

/* The next stream is another member: it starts at what is committed. */
static void forget_assignment(struct sentinel_consumer *c) {
    for (int32_t i = 0; i < c->partition_count; i++) {
        if (c->positions[i].assigned) drop_partition(c, i);
        c->positions[i] = (struct position){-1, -1, -1, false};
    }
    c->commits_answered = c->commits_sent;
}

static void on_message(struct call *call, struct grpc_message *message) {
    struct sentinel_consumer *c = CONTAINER_OF(call, struct sentinel_consumer, call);
    enum protobuf_consumed_kind kind;
    struct slice inner;
    struct protobuf_records records;
    if (protobuf_consumed_read(message->bytes, &kind, &inner, &records) != STATUS_OK)
        fail(c, 13, "the server sent a malformed message");
    else if (kind == PROTOBUF_CONSUMED_RECORDS)
        take_records(c, &records, message);
    else if (kind == PROTOBUF_CONSUMED_STARTED)
        take_positions(c, inner);
    else if (kind == PROTOBUF_CONSUMED_ASSIGNMENT)
        take_assignment(c, inner);
    else if (kind == PROTOBUF_CONSUMED_COMMITTED)
        take_committed(c, inner);
}

static void on_done(struct call *call, int code, const char *message) {
    struct sentinel_consumer *c = CONTAINER_OF(call, struct sentinel_consumer, call);
    c->streaming = false;
    client_fail(&c->error, code, "%s", message);
    bool thrown_out = c->group != NULL && code == GRPC_ABORTED;
    if (c->group != NULL) forget_assignment(c);
    if (code != GRPC_UNAVAILABLE && code != 0 && !thrown_out)
        fail(c, code, message);
    else
        io_timer_set(c->client->io, &c->reconnect, io_now_ns(c->client->io) + RECONNECT_PAUSE_NS);
}

/* ---- the stream ---------------------------------------------------------------------------------------- */

static void send_request(struct sentinel_consumer *c, Sentinel__V1__ConsumeRequest *request) {
    struct writer bytes;
    writer_init(&bytes);
    protobuf_pack(&bytes, &request->base);
    call_send(&c->call, writer_slice(&bytes), (struct shared_slice){SLICE_EMPTY, NULL});
    writer_release(&bytes);
}

static void set_start(Sentinel__V1__StartPosition *start, int64_t from) {
    sentinel__v1__start_position__init(start);
    start->position_case = from >= 0 ? SENTINEL__V1__START_POSITION__POSITION_OFFSET
                                     : SENTINEL__V1__START_POSITION__POSITION_ANCHOR;
    if (from >= 0)
        start->offset = from;
    else
        start->anchor = from == SENTINEL_EARLIEST ? SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST
                                                  : SENTINEL__V1__ANCHOR__ANCHOR_LATEST;
}

static void start_stream(struct sentinel_consumer *c) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    Sentinel__V1__ConsumeRequest request = SENTINEL__V1__CONSUME_REQUEST__INIT;
    Sentinel__V1__ConsumeStart start = SENTINEL__V1__CONSUME_START__INIT;
    Sentinel__V1__ConsumeTopic topic = SENTINEL__V1__CONSUME_TOPIC__INIT, *topics[] = {&topic};
    Sentinel__V1__StartPosition from;
    Sentinel__V1__ConsumeCredit credit = SENTINEL__V1__CONSUME_CREDIT__INIT;
    set_start(&from, c->from);
    if (c->from_time) {
        from.position_case = SENTINEL__V1__START_POSITION__POSITION_TIMESTAMP_MS;
        from.timestamp_ms = c->from;
    }
    credit.bytes = CREDIT_BYTES;
    credit.records = CREDIT_RECORDS;
    topic.topic = c->topic;
    topic.start = &from;
    if (c->group != NULL) start.group = c->group;
    if (c->client->read_any_replica) start.read_from = SENTINEL__V1__READ_FROM__READ_FROM_ANY_REPLICA;
    size_t room = (size_t)c->partition_count + 1;
    topic.partitions = arena_calloc(&arena, room, sizeof *topic.partitions);
    for (int32_t i = 0; i < c->partition_count; i++) {
        if (c->positions[i].requested < 0 || c->group != NULL) continue;
        Sentinel__V1__ConsumePartition *partition = arena_alloc(&arena, sizeof *partition);
        sentinel__v1__consume_partition__init(partition);
        partition->partition = i;
        partition->start = arena_alloc(&arena, sizeof *partition->start);
        set_start(partition->start, c->positions[i].requested);
        topic.partitions[topic.n_partitions++] = partition;
    }
    if (topic.n_partitions == 0 && c->partition >= 0) {
        Sentinel__V1__ConsumePartition *partition = arena_alloc(&arena, sizeof *partition);
        sentinel__v1__consume_partition__init(partition);
        partition->partition = c->partition;
        topic.partitions[topic.n_partitions++] = partition;
    }
    start.n_topics = 1;
    start.topics = topics;
    start.format = SENTINEL__V1__RECORD_FORMAT__RECORD_FORMAT_BATCHES;
    start.credit = &credit;
    if (c->read_committed) start.isolation = SENTINEL__V1__ISOLATION__ISOLATION_READ_COMMITTED;
    request.message_case = SENTINEL__V1__CONSUME_REQUEST__MESSAGE_START;
    request.start = &start;
    c->streaming = true;
    c->call.on_message = on_message;
    c->call.on_done = on_done;
    c->call.on_writable = NULL;
    call_start(&c->client->channel, &c->call, CONSUME_PATH);
    send_request(c, &request);
    arena_release(&arena);
}

static void reconnect_fired(struct io_timer *timer) {
    struct sentinel_consumer *c = CONTAINER_OF(timer, struct sentinel_consumer, reconnect);
    /* What is still held counts against the new stream's credit as it did against the old one's. */
    c->credit_back = 0;
    start_stream(c);
}

static void give_credit_back(struct sentinel_consumer *c, size_t bytes) {
    c->credit_back += bytes;
    if (!c->streaming || c->credit_back < CREDIT_BYTES / 4) return;
    Sentinel__V1__ConsumeRequest request = SENTINEL__V1__CONSUME_REQUEST__INIT;
    Sentinel__V1__ConsumeCredit credit = SENTINEL__V1__CONSUME_CREDIT__INIT;
    credit.bytes = (int64_t)c->credit_back;
    request.message_case = SENTINEL__V1__CONSUME_REQUEST__MESSAGE_CREDIT;
    request.credit = &credit;
    c->credit_back = 0;
    send_request(c, &request);
}

/* ---- handing out --------------------------------------------------------------------------------------- */

static void end_current(struct sentinel_consumer *c) {
    c->positions[c->current->partition].next = MAX(c->positions[c->current->partition].next,
                                                   record_batch_last_offset(&c->batch) + 1);
    give_credit_back(c, c->current->credit);
    free_received(c->current);
    c->current = NULL;
    arena_clear(&c->arena);
}

static bool begin_next(struct sentinel_consumer *c) {
    struct list *node = list_pop_front(&c->received);
    if (node == NULL) return false;
    c->current = CONTAINER_OF(node, struct received, link);
    enum status status = record_batch_read(c->current->bytes, &c->batch);
    if (status == STATUS_OK) status = record_iterator_init(&c->it, &c->batch, &c->arena, INFLATE_MAX);
    if (status != STATUS_OK) {
        c->batch = (struct record_batch){.last_offset_delta = -1};
        fail(c, status_grpc_code(status), "a record batch is damaged");
        return false;
    }
    return true;
}

static void fill_in(struct sentinel_consumer *c, const struct record *record, sentinel_record *out) {
    *out = (sentinel_record){.key = record->key.data,
                             .key_size = record->key.size,
                             .value = record->value.data,
                             .value_size = record->value.size,
                             .headers = c->headers,
                             .timestamp_ms = record->timestamp,
                             .partition = c->current->partition,
                             .offset = record->offset};
    struct slice rest = record->headers, name, value;
    while (out->header_count < HEADERS_MAX && record_header_next(&rest, &name, &value) == STATUS_OK)
        c->headers[out->header_count++] = (sentinel_header){arena_text(&c->arena, name), value.data,
                                                            value.size};
}

/* Control batches are the broker's own, and records before the position were asked for by nobody. */
static bool next_record(struct sentinel_consumer *c, sentinel_record *out) {
    while (!c->failed) {
        if (c->current == NULL && !begin_next(c)) return false;
        struct record record;
        enum status status = STATUS_END;
        if ((c->batch.attributes & BATCH_CONTROL) == 0) status = record_iterator_next(&c->it, &record);
        if (status == STATUS_END) {
            end_current(c);
            continue;
        }
        if (status != STATUS_OK) {
            fail(c, status_grpc_code(status), "a record batch is damaged");
            return false;
        }
        struct position *position = &c->positions[c->current->partition];
        if (record.offset < position->next) continue;
        position->next = record.offset + 1;
        fill_in(c, &record, out);
        return true;
    }
    return false;
}

static bool has_something(void *ctx) {
    const struct sentinel_consumer *c = ctx;
    return c->failed || !list_empty(&c->received);
}

int sentinel_consume(sentinel_consumer *c, sentinel_record *record, uint32_t wait_ms, sentinel_error *error) {
    uint64_t deadline = client_deadline(c->client, wait_ms * NS_PER_MS);
    do {
        if (next_record(c, record)) return 1;
        if (c->failed) break;
    } while (client_wait(c->client, deadline, has_something, c));
    if (!c->failed) return 0;
    if (error != NULL) *error = c->error;
    return -1;
}

int64_t sentinel_consumer_position(const sentinel_consumer *c, int32_t partition) {
    if (partition < 0 || partition >= c->partition_count) return -1;
    return c->positions[partition].next;
}

static bool is_started(void *ctx) {
    const struct sentinel_consumer *c = ctx;
    return c->failed || c->started;
}

sentinel_consumer_options sentinel_consumer_options_default(void) {
    return (sentinel_consumer_options){.partition = -1, .from = SENTINEL_LATEST};
}

sentinel_consumer *sentinel_consumer_open_with(sentinel_client *client, const char *topic,
                                               const sentinel_consumer_options *options,
                                               sentinel_error *error) {
    struct sentinel_consumer *c = mem_calloc(1, sizeof *c);
    c->client = client;
    c->topic = mem_strdup(topic);
    c->group = options->group == NULL ? NULL : mem_strdup(options->group);
    c->partition = options->group == NULL ? options->partition : -1;
    c->from = options->from;
    c->from_time = options->from_time;
    c->read_committed = options->read_committed;
    list_init(&c->received);
    arena_init(&c->arena, 64 * KIB);
    io_timer_init(&c->reconnect, reconnect_fired);
    start_stream(c);
    bool started = client_wait(client, client_deadline(client, client->timeout_ns), is_started, c);
    if (started && !c->failed) return c;
    if (error != NULL && c->error.code != 0)
        *error = c->error;
    else
        client_fail(error, SENTINEL_TIMED_OUT, "the subscription did not start within the client's timeout");
    sentinel_consumer_close(c);
    return NULL;
}

sentinel_consumer *sentinel_consumer_open(sentinel_client *client, const char *topic, int32_t partition,
                                          int64_t from, sentinel_error *error) {
    sentinel_consumer_options options = sentinel_consumer_options_default();
    options.partition = partition;
    options.from = from;
    return sentinel_consumer_open_with(client, topic, &options, error);
}

sentinel_consumer *sentinel_consumer_open_group(sentinel_client *client, const char *topic, const char *group,
                                                int64_t from, sentinel_error *error) {
    sentinel_consumer_options options = sentinel_consumer_options_default();
    options.from = from;
    options.group = group;
    return sentinel_consumer_open_with(client, topic, &options, error);
}

static bool is_committed(void *ctx) {
    const struct sentinel_consumer *c = ctx;
    return c->failed || !c->streaming || c->commits_answered == c->commits_sent;
}

static bool is_broken(void *ctx) {
    const struct sentinel_consumer *c = ctx;
    return c->failed || !c->streaming;
}

/* False: not answered in time. */
static bool try_commit(struct sentinel_consumer *c, uint64_t deadline) {
    c->refused.code = 0;
    if (!c->failed) MAYBE(send_commit(c));
    return client_wait(c->client, deadline, is_committed, c);
}

int sentinel_consumer_commit(sentinel_consumer *c, sentinel_error *error) {
    if (c->group == NULL) return client_fail(error, 9, "this consumer is in no group");
    if (!c->streaming && !c->failed)
        return client_fail(error, SENTINEL_UNAVAILABLE, "the connection is being made again");
    uint64_t deadline = client_deadline(c->client, c->client->timeout_ns);
    bool answered = try_commit(c, deadline);
    while (answered && c->refused.code != 0 && !c->failed && c->streaming) {
        uint64_t again = client_deadline(c->client, RECOMMIT_PAUSE_NS);
        if (again >= deadline) break;
        if (!client_wait(c->client, again, is_broken, c)) answered = try_commit(c, deadline);
    }
    if (c->failed) {
        if (error != NULL) *error = c->error;
        return -1;
    }
    if (!answered) return client_fail(error, SENTINEL_TIMED_OUT, "the commit was not answered in time");
    if (!c->streaming) return client_fail(error, SENTINEL_UNAVAILABLE, "the connection was lost");
    return c->refused.code == 0 ? 0 : client_fail(error, c->refused.code, "%s", c->refused.message);
}

bool sentinel_consumer_reads(const sentinel_consumer *c, int32_t partition) {
    if (partition < 0 || partition >= c->partition_count) return false;
    return c->group == NULL ? c->positions[partition].next >= 0 : c->positions[partition].assigned;
}

void sentinel_consumer_close(sentinel_consumer *c) {
    if (c == NULL) return;
    call_cancel(&c->call);
    io_timer_cancel(c->client->io, &c->reconnect);
    struct list *node;
    while ((node = list_pop_front(&c->received)) != NULL)
        free_received(CONTAINER_OF(node, struct received, link));
    if (c->current != NULL) free_received(c->current);
    arena_release(&c->arena);
    mem_free(c->positions);
    mem_free(c->topic);
    mem_free(c->group);
    mem_free(c);
}
