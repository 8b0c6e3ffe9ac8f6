// SPDX-License-Identifier: Apache-2.0
#include "sim/grpc_clients.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/units.h"
#include "io/io_sim.h"
#include "sentinel/v1/producer_service.pb-c.h"
#include "sim/grpc_consume.h"
#include "sim/grpc_member.h"
#include "sim/kafka_clients.h"
#include "sim/world.h"
#include "wire/grpc_metadata.h"
#include "wire/protobuf_produce.h"

#define TOPIC             KAFKA_TOPIC
#define PARTITIONS        KAFKA_PARTITIONS
#define PRODUCERS         3
#define RECORDS_MAX       4
#define MEMBERS           3 /* of the group */
#define GROUP             "streams"
#define ANSWER_NS         (5 * NS_PER_S) /* then the call is given up */
#define RETRY_NS          (60 * NS_PER_MS)
#define GAP_NS            (120 * NS_PER_MS) /* between batches */
#define CODE_OUT_OF_RANGE 11
#define CODE_PRECONDITION 9

enum asking { NOTHING, IDENTITY, PRODUCE, STREAM, CONSUME };

struct grpc_client {
    struct clients *all;
    uint32_t index;
    int32_t partition;
    struct channel channels[SIM_NODES_MAX]; /* by node - 1 */
    struct call call;
    enum asking asking;
    struct io_timer timer; /* to give the call up, or to go on */
    struct prng prng;
    uint32_t node;
    /* producers */
    bool done, opened, sent; /* opened: the stream takes batches; sent: this one is on it */
    int64_t producer_id;
    int32_t sequence, epoch;
    uint64_t number; /* on the stream */
    struct buffer *batch;
    uint32_t record_count, counter;
    uint64_t hashes[RECORDS_MAX];
    int64_t acknowledged_end;
    /* consumers */
    struct history_reader reader;
    int64_t stream_watermark;
    size_t credit;
    uint64_t heard_ns;
};
struct clients {
    struct world *world;
    struct io *io;
    void *kafka;
    struct history *history;
    struct io_timer timer;
    bool finishing, kafka_finishes;
    struct grpc_client producers[PRODUCERS], consumers[PARTITIONS];
    struct group_history group;
    struct grpc_member members[MEMBERS];
};

static void go_on(struct grpc_client *c);

static void check(struct clients *all) {
    if (all->history->violation[0] != '\0') world_violation(all->world, all->history->violation);
}

static uint64_t now(const struct grpc_client *c) {
    return io_now_ns(c->all->io);
}

static void later(struct grpc_client *c, uint64_t ns) {
    io_timer_set(c->all->io, &c->timer, now(c) + ns / 2 + prng_below(&c->prng, ns));
}

/* ---- calls -------------------------------------------------------------------------------------------- */

static void on_message(struct call *call, struct grpc_message *message);

static void end(struct grpc_client *c, uint64_t pause_ns) {
    if (c->asking != NOTHING) call_cancel(&c->call);
    c->asking = NOTHING;
    c->opened = c->sent = false;
    later(c, pause_ns);
}

static void on_done(struct call *call, int code, const char *message) {
    struct grpc_client *c = CONTAINER_OF(call, struct grpc_client, call);
    enum asking asked = c->asking;
    c->asking = NOTHING;
    if (asked == CONSUME && code == CODE_OUT_OF_RANGE)
        history_violate(c->all->history, "B6 loss: gRPC: partition %d is said not to reach %lld: %.100s",
                        c->partition, (long long)c->reader.offset, message);
    check(c->all);
    if (asked == IDENTITY) io_timer_cancel(c->all->io, &c->timer); /* a batch is answered: a pause is on */
    if (code != 0 || asked == STREAM || asked == CONSUME)
        end(c, RETRY_NS);
    else
        go_on(c);
}

static void begin(struct grpc_client *c, enum asking what, const char *path) {
    c->asking = what;
    c->node = (uint32_t)prng_range(&c->prng, 1, world_node_count(c->all->world));
    c->call = (struct call){.on_message = on_message, .on_done = on_done};
    c->heard_ns = now(c);
    io_timer_set(c->all->io, &c->timer, now(c) + ANSWER_NS);
    call_start(&c->channels[c->node - 1], &c->call, path);
}

static void send_head(struct grpc_client *c, struct writer *head, struct buffer *body) {
    struct shared_slice rest = {SLICE_EMPTY, NULL};
    if (body != NULL) rest = (struct shared_slice){slice_make(body->data, body->size), body};
    call_send(&c->call, writer_slice(head), rest);
    writer_release(head);
}

/* ---- producing ---------------------------------------------------------------------------------------- */

static void ask_identity(struct grpc_client *c) {
    struct writer nothing;
    writer_init(&nothing);
    begin(c, IDENTITY, "/sentinel.v1.ProducerService/InitProducer");
    send_head(c, &nothing, NULL);
    call_finish(&c->call);
}

static void make_batch(struct grpc_client *c) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    c->record_count = 1 + (uint32_t)prng_below(&c->prng, RECORDS_MAX);
    for (uint32_t i = 0; i < c->record_count; i++) {
        char value[64];
        int size = snprintf(value, sizeof value, "grpc %u/%u/%u", c->index, c->counter, i);
        struct slice bytes = slice_make(value, (size_t)size);
        c->hashes[i] = history_hash(bytes);
        record_batch_add(&builder, io_wall_ms(c->all->io), SLICE_EMPTY, bytes, NULL, 0);
    }
    struct record_batch_producer identity = {c->producer_id, (int16_t)c->epoch, c->sequence};
    c->batch = record_batch_finish(&builder, CODEC_NONE, &identity);
    record_batch_builder_release(&builder);
    c->counter++;
}

static struct protobuf_produce produce_of(const struct grpc_client *c) {
    return (struct protobuf_produce){.topic = SLICE_LITERAL(TOPIC),
                                     .has_partition = true,
                                     .partition = c->partition,
                                     .record_batch = slice_make(c->batch->data, c->batch->size),
                                     .acks = PROTOBUF_ACKS_ALL,
                                     .has_producer = true,
                                     .producer_id = c->producer_id,
                                     .producer_epoch = c->epoch,
                                     .base_sequence = c->sequence};
}

static void ask_produce(struct grpc_client *c) {
    struct protobuf_produce produce = produce_of(c);
    struct writer head;
    writer_init(&head);
    protobuf_produce_write_head(&head, &produce);
    begin(c, PRODUCE, "/sentinel.v1.ProducerService/Produce");
    send_head(c, &head, c->batch);
    call_finish(&c->call);
}

static void open_stream(struct grpc_client *c) {
    struct protobuf_produce open = produce_of(c);
    struct writer head;
    writer_init(&head);
    protobuf_produce_stream_write_open(&head, &open);
    begin(c, STREAM, "/sentinel.v1.ProducerService/ProduceStream");
    send_head(c, &head, NULL);
}

static void send_on_stream(struct grpc_client *c) {
    struct protobuf_produce produce = produce_of(c);
    struct writer head;
    produce.topic = SLICE_EMPTY;
    produce.acks = 0;
    produce.has_producer = false;
    produce.sequence = ++c->number;
    c->sent = true;
    writer_init(&head);
    protobuf_produce_stream_write_head(&head, &produce);
    io_timer_set(c->all->io, &c->timer, now(c) + ANSWER_NS);
    send_head(c, &head, c->batch);
}

static void take_result(struct grpc_client *c, struct slice rest, uint32_t number) {
    struct protobuf_produce_result result;
    char text[100];
    if (protobuf_produce_result_next(&rest, number, &result) != STATUS_OK) {
        history_violate(c->all->history, "B21 front end: an answer to a batch does not parse");
        return;
    }
    if (result.error.size != 0) {
        struct grpc_error why;
        if (grpc_error_read(result.error, &why) == STATUS_OK && why.code == CODE_PRECONDITION)
            history_violate(c->all->history, "B8 producer state: gRPC: partition %d, sequence %d: %.*s",
                            c->partition, c->sequence, (int)MIN(why.message.size, (size_t)100),
                            (const char *)why.message.data);
        end(c, RETRY_NS); /* the same batch again */
        return;
    }
    history_append_order(c->all->history, (uint32_t)c->partition, &c->acknowledged_end, result.base_offset,
                         c->record_count);
    for (uint32_t i = 0; i < c->record_count; i++)
        history_acknowledged(c->all->history, (uint32_t)c->partition, result.base_offset + i, c->hashes[i]);
    kafka_clients_told(c->all->kafka, (uint32_t)c->partition, result.base_offset + c->record_count);
    c->sequence += (int32_t)c->record_count;
    buffer_unref(c->batch);
    c->batch = NULL;
    c->sent = false;
    snprintf(text, sizeof text, "gRPC producer %u: acknowledged, partition %d at %lld", c->index,
             c->partition, (long long)result.base_offset);
    world_client_event(c->all->world, c->node, text, true);
    if (c->asking == STREAM && prng_chance(&c->prng, 1, 8))
        end(c, GAP_NS);
    else
        later(c, GAP_NS);
}

static void take_identity(struct grpc_client *c, struct slice bytes) {
    Sentinel__V1__InitProducerResponse *r = sentinel__v1__init_producer_response__unpack(NULL, bytes.size,
                                                                                         bytes.data);
    if (r == NULL || r->producer == NULL) {
        history_violate(c->all->history, "B21 front end: an identity does not parse");
    } else {
        c->producer_id = r->producer->producer_id;
        c->epoch = r->producer->producer_epoch;
    }
    if (r != NULL) sentinel__v1__init_producer_response__free_unpacked(r, NULL);
}

static void take_reply(struct grpc_client *c, struct slice bytes) {
    struct protobuf_produce_reply reply;
    if (protobuf_produce_reply_read(bytes, &reply) != STATUS_OK)
        history_violate(c->all->history, "B21 front end: an answer on a stream does not parse");
    else if (!reply.is_opened && reply.sequence != c->number)
        history_violate(c->all->history, "B21 front end: batch %llu of a stream is answered, %llu was sent",
                        (unsigned long long)reply.sequence, (unsigned long long)c->number);
    else if (!reply.is_opened)
        take_result(c, reply.ack, 2);
    else
        c->opened = true;
    if (c->opened && !c->sent && c->batch != NULL && c->asking == STREAM) send_on_stream(c);
}

/* ---- consuming ---------------------------------------------------------------------------------------- */

static void ask_consume(struct grpc_client *c) {
    struct grpc_consume_ask ask;
    Sentinel__V1__ConsumePartition partition = SENTINEL__V1__CONSUME_PARTITION__INIT,
                                   *partitions[] = {&partition};
    Sentinel__V1__StartPosition from = SENTINEL__V1__START_POSITION__INIT;
    from.position_case = SENTINEL__V1__START_POSITION__POSITION_OFFSET;
    from.offset = c->reader.offset;
    partition.partition = c->partition;
    partition.start = &from;
    grpc_consume_ask(&ask, TOPIC);
    ask.topic.n_partitions = 1;
    ask.topic.partitions = partitions;
    c->credit = 0;
    c->stream_watermark = 0;
    begin(c, CONSUME, "/sentinel.v1.ConsumerService/Consume");
    grpc_consume_send(&c->call, &ask.request);
}

static void take_records(struct grpc_client *c, const struct protobuf_records *records) {
    struct history *history = c->all->history;
    if (records->high_watermark < c->stream_watermark)
        history_violate(history, "B4 high watermark: gRPC: partition %d: %lld is told after %lld",
                        c->partition, (long long)records->high_watermark, (long long)c->stream_watermark);
    c->stream_watermark = records->high_watermark;
    size_t bytes = grpc_consume_take(history, &c->reader, records);
    world_client_event(c->all->world, c->node, "gRPC consumer: records", false);
    if (prng_chance(&c->prng, 1, 25))
        end(c, RETRY_NS);
    else
        grpc_consume_credit(&c->call, &c->credit, bytes);
}

static void take_consumed(struct grpc_client *c, struct slice bytes) {
    enum protobuf_consumed_kind kind;
    struct slice inner;
    struct protobuf_records records;
    if (protobuf_consumed_read(bytes, &kind, &inner, &records) != STATUS_OK)
        history_violate(c->all->history, "B21 front end: what is consumed does not parse");
    else if (kind == PROTOBUF_CONSUMED_RECORDS)
        take_records(c, &records);
}

static void on_message(struct call *call, struct grpc_message *message) {
    struct grpc_client *c = CONTAINER_OF(call, struct grpc_client, call);
    enum asking asked = c->asking;
    c->heard_ns = now(c);
    if (asked == IDENTITY) take_identity(c, message->bytes);
    if (asked == PRODUCE) take_result(c, message->bytes, 1);
    if (asked == STREAM) take_reply(c, message->bytes);
    if (asked == CONSUME) take_consumed(c, message->bytes);
    check(c->all);
}

/* ---- what comes next ---------------------------------------------------------------------------------- */

static bool is_consumer(const struct grpc_client *c) {
    return c >= c->all->consumers && c < c->all->consumers + PARTITIONS;
}

static void go_on(struct grpc_client *c) {
    if (c->asking != NOTHING || io_timer_armed(&c->timer)) return;
    if (is_consumer(c)) {
        ask_consume(c);
        return;
    }
    if (c->batch == NULL && c->all->finishing) {
        c->done = true;
        return;
    }
    if (c->producer_id < 0) {
        ask_identity(c);
        return;
    }
    if (c->batch == NULL) make_batch(c);
    if (prng_chance(&c->prng, 1, 2))
        ask_produce(c);
    else
        open_stream(c);
}

static void timer_fired(struct io_timer *timer) {
    struct grpc_client *c = CONTAINER_OF(timer, struct grpc_client, timer);
    if (c->asking == CONSUME && now(c) < c->heard_ns + ANSWER_NS / 2) {
        io_timer_set(c->all->io, &c->timer, now(c) + ANSWER_NS);
    } else if (c->asking == STREAM && c->opened && !c->sent && !c->all->finishing) {
        make_batch(c); /* the next one on the same stream */
        send_on_stream(c);
    } else if (c->asking != NOTHING) {
        end(c, RETRY_NS);
    } else {
        go_on(c);
    }
}

/* ---- the world's side --------------------------------------------------------------------------------- */

static void look(struct io_timer *timer) {
    struct clients *all = CONTAINER_OF(timer, struct clients, timer);
    if (!kafka_clients_topic_made(all->kafka)) {
        io_timer_set(all->io, timer, io_now_ns(all->io) + RETRY_NS);
        return;
    }
    for (uint32_t i = 0; i < PRODUCERS; i++)
        go_on(&all->producers[i]);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        go_on(&all->consumers[i]);
    for (uint32_t i = 0; i < MEMBERS; i++)
        grpc_member_start(&all->members[i]);
}

static void init(struct clients *all, struct grpc_client *c, uint32_t index) {
    c->all = all;
    c->index = index;
    c->partition = (int32_t)(index % PARTITIONS);
    c->producer_id = -1;
    c->reader.partition = (uint32_t)c->partition;
    prng_init(&c->prng, world_node_seed(all->world, KAFKA_CLIENTS_NODE));
    io_timer_init(&c->timer, timer_fired);
    for (uint32_t node = 0; node < world_node_count(all->world); node++) {
        char address[32];
        struct diagnostic why;
        snprintf(address, sizeof address, "node%u:%d", node + 1, KAFKA_PORT);
        bool made = channel_init(&c->channels[node], all->io, address, &why) == STATUS_OK;
        ASSERT(made);
    }
}

static void told(void *ctx, uint32_t node, const char *text) {
    struct clients *all = ctx;
    if (text != NULL) world_client_event(all->world, node, text, false);
    check(all);
}

static void open_group(struct clients *all) {
    uint64_t statics = world_node_seed(all->world, KAFKA_CLIENTS_NODE);
    group_history_init(&all->group, all->history, GROUP, 0);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct grpc_member_options options = {.io = all->io,
                                              .group = &all->group,
                                              .group_id = GROUP,
                                              .topic = TOPIC,
                                              .is_static = (statics >> i & 3) == 0,
                                              .index = i,
                                              .node_count = world_node_count(all->world),
                                              .port = KAFKA_PORT,
                                              .seed = world_node_seed(all->world, KAFKA_CLIENTS_NODE),
                                              .told = told,
                                              .ctx = all};
        grpc_member_init(&all->members[i], &options);
    }
}

void *grpc_clients_open(struct world *world) {
    struct clients *all = mem_calloc(1, sizeof *all);
    all->world = world;
    all->kafka = kafka_clients_open(world);
    all->history = kafka_clients_history(all->kafka);
    all->io = io_sim_node_io(world_sim(world), KAFKA_CLIENTS_NODE);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        init(all, &all->producers[i], i);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        init(all, &all->consumers[i], i);
    open_group(all);
    io_timer_init(&all->timer, look);
    io_timer_set(all->io, &all->timer, io_now_ns(all->io) + RETRY_NS);
    return all;
}

/* The machine is off: what the channels had in memory stays as it is, as of a broker that crashes. */
void grpc_clients_close(void *clients) {
    struct clients *all = clients;
    for (uint32_t i = 0; i < PRODUCERS; i++)
        buffer_unref(all->producers[i].batch);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        history_reader_release(&all->consumers[i].reader);
    for (uint32_t i = 0; i < MEMBERS; i++)
        grpc_member_release(&all->members[i]);
    group_history_release(&all->group);
    kafka_clients_close(all->kafka);
}

bool grpc_clients_operate(void *clients, const struct action *action) {
    return kafka_clients_operate(((struct clients *)clients)->kafka, action);
}

void grpc_clients_finish(void *clients) {
    struct clients *all = clients;
    all->finishing = true;
    for (uint32_t i = 0; i < PRODUCERS; i++)
        if (all->producers[i].batch == NULL) end(&all->producers[i], RETRY_NS);
    for (uint32_t i = 0; i < MEMBERS; i++)
        all->members[i].steady = true;
}

bool grpc_clients_finished(void *clients) {
    struct clients *all = clients;
    bool done = all->finishing;
    for (uint32_t i = 0; i < PRODUCERS; i++)
        done = done && all->producers[i].done;
    if (!done) return false;
    if (!all->kafka_finishes) kafka_clients_finish(all->kafka);
    all->kafka_finishes = true;
    if (!kafka_clients_finished(all->kafka)) return false;
    for (uint32_t p = 0; p < PARTITIONS; p++)
        done = done && all->consumers[p].reader.offset >= kafka_clients_end(all->kafka, p) &&
               MAX(all->group.partitions[p].committed, (int64_t)0) >= kafka_clients_end(all->kafka, p);
    for (uint32_t p = 0; p < PARTITIONS && done; p++)
        group_history_finish(&all->group, p, kafka_clients_end(all->kafka, p));
    check(all);
    return done;
}

void grpc_clients_report(void *clients, struct writer *to) {
    struct clients *all = clients;
    kafka_clients_report(all->kafka, to);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        if (!all->producers[i].done)
            writer_printf(to, "; gRPC producer %u asks %u of node %u", i, all->producers[i].asking,
                          all->producers[i].node);
    for (uint32_t p = 0; p < PARTITIONS; p++)
        writer_printf(to, "; gRPC consumer of %u at %lld of %lld, B17 the group at %lld", p,
                      (long long)all->consumers[p].reader.offset, (long long)kafka_clients_end(all->kafka, p),
                      (long long)all->group.partitions[p].committed);
    for (uint32_t i = 0; i < MEMBERS; i++)
        writer_printf(to, "; member %u epoch %d owns %x of node %u", i, all->members[i].epoch,
                      all->members[i].owned, all->members[i].node);
}
