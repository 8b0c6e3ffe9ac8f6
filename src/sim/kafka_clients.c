// SPDX-License-Identifier: Apache-2.0
#include "sim/kafka_clients.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "broker/read_replica.h"
#include "io/io_sim.h"
#include "sim/history_reader.h"
#include "sim/kafka_caller.h"
#include "sim/kafka_requests.h"
#include "sim/staleness.h"
#include "sim/world.h"
#include "wire/record_batch.h"

#define TOPIC        KAFKA_TOPIC
#define PARTITIONS   KAFKA_PARTITIONS
#define PRODUCERS    4
#define NEAR         2 /* consumers in a rack, of the first partitions */
#define RECORDS_MAX  8
#define JOBS_MAX     4096
#define STAY_NS      (5 * NS_PER_S)
#define LONG_POLL_MS 200
#define FETCH_BYTES  (256 * KIB)

enum { ERROR_NONE = 0, ERROR_OUT_OF_RANGE = 1, ERROR_EXISTS = 36, ERROR_OUT_OF_ORDER = 45 };
enum role { ADMIN, PRODUCER, CONSUMER, NEAR_CONSUMER };
enum asking { NOTHING, METADATA, CREATE_TOPIC, PRODUCER_ID, PRODUCE, FETCH };

struct job {
    uint32_t size, records;
};
struct client {
    struct clients *all;
    enum role role;
    uint32_t index;
    int32_t partition;
    struct kafka_caller caller;
    uint32_t leader;    /* 0: unknown */
    uint32_t read_from; /* the follower that the leader sent us to; 0: none */
    enum asking asking;
    /* producers */
    bool idempotent;
    int64_t producer_id;
    int32_t sequence;
    struct job *jobs;
    uint32_t job_first, job_count;
    struct buffer *batch; /* on its way, or to be sent again */
    int32_t record_count;
    uint64_t hashes[RECORDS_MAX];
    int64_t acknowledged_end;
    uint32_t counter;
    /* consumers */
    struct history_reader reader;
    int64_t floor;          /* no answer to what was asked may tell a lower high watermark, */
    uint32_t floor_starts;  /* from a node that was started so often */
    uint64_t asked_ns;      /* true time of what is under way */
    uint64_t stay_until_ns; /* goes back to the node that it read from until then; 0: not decided */
    bool verified;
    char rack[KAFKA_RACK_SIZE]; /* empty: none */
};
/* The highest ends, acknowledged or read, that a node has told anybody since it was started. */
struct node_told {
    uint32_t starts;
    int64_t ends[PARTITIONS];
};
struct clients {
    struct world *world;
    struct io *io;
    struct history history;
    struct staleness told[PARTITIONS];
    struct node_told told_by[SIM_NODES_MAX + 1];
    bool topic_made, finishing, verifying;
    int16_t topic_error; /* why it was not made */
    uint32_t next_producer;
    struct client clients[1 + PRODUCERS + PARTITIONS + NEAR];
};

static void check(struct clients *all) {
    if (all->history.violation[0] != '\0') world_violation(all->world, all->history.violation);
}

static void tell(struct client *c, bool acknowledged, const char *what, int64_t offset) {
    char text[100];
    snprintf(text, sizeof text, "client %u: %s, partition %d at %lld", c->index, what, c->partition,
             (long long)offset);
    world_client_event(c->all->world, kafka_caller_node(&c->caller), text, acknowledged);
}

void kafka_clients_told(void *clients, uint32_t partition, int64_t end) {
    struct clients *all = clients;
    staleness_told(&all->told[partition], io_sim_now(world_sim(all->world)), end);
}

/* ---- a client's connection ---------------------------------------------------------------------------- */

/* What a producer without identity has sent may be there or not, whatever it is told: to send it again might
 * make it twice. */
static void let_be(struct client *c) {
    if (c->idempotent) return;
    buffer_unref(c->batch);
    c->batch = NULL;
}

/* Half of those that read from a follower come back to it for a while, as Kafka's clients do for minutes: it
 * may have been down meanwhile, or cut off. */
static bool stays(struct client *c) {
    uint64_t now_ns = io_now_ns(c->all->io);
    if (c->read_from == 0) return false;
    if (c->stay_until_ns == 0)
        c->stay_until_ns = now_ns + prng_chance(&c->caller.prng, 1, 2) * prng_below(&c->caller.prng, STAY_NS);
    return now_ns < c->stay_until_ns;
}

static void lost(void *ctx) {
    struct client *c = ctx;
    if (!stays(c)) c->leader = c->read_from = 0;
    /* Of a backlog, too. */
    if (c->role == NEAR_CONSUMER && prng_below(&c->caller.prng, 4) == 0)
        c->reader.offset = c->reader.log_start;
    if (c->asking == PRODUCE) let_be(c);
    c->asking = NOTHING;
}

/* Whatever it is by then, a node that runs on does not go back behind what it told (B4). */
static void set_floor(struct client *c) {
    uint32_t node = kafka_caller_node(&c->caller), starts = world_starts(c->all->world, node);
    struct node_told *by = &c->all->told_by[node];
    if (by->starts != starts) *by = (struct node_told){.starts = starts};
    c->floor = by->ends[c->partition];
    c->floor_starts = starts;
}

/* The node that was asked says that everything below `end` is committed. */
static void take_end(struct client *c, int64_t end) {
    struct node_told *by = &c->all->told_by[kafka_caller_node(&c->caller)];
    if (by->starts == c->floor_starts) by->ends[c->partition] = MAX(by->ends[c->partition], end);
    kafka_clients_told(c->all, (uint32_t)c->partition, end);
}

static void ask(struct client *c, enum asking what, int16_t key, int16_t version, const void *request) {
    c->asking = what;
    set_floor(c);
    c->asked_ns = io_sim_now(world_sim(c->all->world));
    kafka_caller_ask(&c->caller, key, version, request);
}

/* ---- requests ----------------------------------------------------------------------------------------- */

static void ask_metadata(struct client *c) {
    struct kafka_metadata_ask metadata;
    kafka_metadata_ask(&metadata, TOPIC, NULL);
    ask(c, METADATA, KAFKA_METADATA, 9, &metadata.request);
}

static void ask_topic(struct client *c) {
    struct kafka_create_ask create;
    kafka_create_ask(&create, TOPIC, PARTITIONS, world_node_count(c->all->world));
    ask(c, CREATE_TOPIC, KAFKA_CREATE_TOPICS, 7, &create.request);
}

static void ask_producer_id(struct client *c) {
    struct kafka_init_producer_id_request request;
    kafka_message_init(&kafka_schema_init_producer_id_request, &request);
    request.transactional_id = (struct slice){NULL, 0};
    request.transaction_timeout_ms = 1000;
    ask(c, PRODUCER_ID, KAFKA_INIT_PRODUCER_ID, 4, &request);
}

static void make_batch(struct client *c) {
    struct job job = c->jobs[c->job_first];
    c->job_first = (c->job_first + 1) % JOBS_MAX;
    c->job_count--;
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    uint8_t *value = mem_alloc(job.size + 64);
    c->record_count = (int32_t)MIN(job.records, (uint32_t)RECORDS_MAX);
    for (int32_t i = 0; i < c->record_count; i++) {
        size_t head = (size_t)snprintf((char *)value, 64, "%u/%u/%d:", c->index, c->counter, i);
        prng_bytes(&c->caller.prng, value + head, job.size);
        c->hashes[i] = history_hash(slice_make(value, head + job.size));
        record_batch_add(&builder, io_wall_ms(c->all->io), SLICE_EMPTY, slice_make(value, head + job.size),
                         NULL, 0);
    }
    mem_free(value);
    c->counter++;
    struct record_batch_producer identity = {c->producer_id, 0, c->sequence};
    struct record_batch_producer none = {-1, -1, -1};
    c->batch = record_batch_finish(&builder, c->counter % 4 == 0 ? CODEC_LZ4 : CODEC_NONE,
                                   c->idempotent ? &identity : &none);
    record_batch_builder_release(&builder);
}

static void ask_produce(struct client *c) {
    struct kafka_produce_ask produce;
    kafka_produce_ask(&produce, TOPIC, c->partition, c->batch);
    ask(c, PRODUCE, KAFKA_PRODUCE, 9, &produce.request);
}

static void ask_fetch(struct client *c) {
    struct kafka_fetch_ask fetch;
    kafka_fetch_ask(&fetch, TOPIC, c->partition, c->reader.offset, FETCH_BYTES);
    fetch.request.max_wait_ms = LONG_POLL_MS;
    fetch.request.rack_id = slice_from_text(c->rack);
    ask(c, FETCH, KAFKA_FETCH, 11, &fetch.request);
}

static bool has_work(struct client *c) {
    if (c->role == ADMIN) return !c->all->topic_made;
    if (!c->all->topic_made) return false;
    if (c->role == CONSUMER) return !c->verified;
    if (c->role == NEAR_CONSUMER) return !c->all->verifying;
    return c->batch != NULL || c->job_count != 0;
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static void take_metadata(struct client *c, const struct kafka_metadata_response *m) {
    c->leader = kafka_leader_told(m, TOPIC, (uint32_t)c->partition, world_node_count(c->all->world));
    if (c->leader == 0) kafka_caller_give_up(&c->caller);
}

static void take_produced(struct client *c, const struct kafka_produce_response *m) {
    const struct kafka_produce_response_partition *p = &m->responses[0].partition_responses[0];
    if (p->error_code == ERROR_OUT_OF_ORDER)
        history_violate(&c->all->history,
                        "B8 producer state: partition %d: sequence %d of producer %lld is refused",
                        c->partition, c->sequence, (long long)c->producer_id);
    if (p->error_code != ERROR_NONE) {
        tell(c, false, "not appended", p->error_code);
        let_be(c);
        kafka_caller_give_up(&c->caller);
        return;
    }
    history_append_order(&c->all->history, (uint32_t)c->partition, &c->acknowledged_end, p->base_offset,
                         c->record_count);
    for (int32_t i = 0; i < c->record_count; i++)
        history_acknowledged(&c->all->history, (uint32_t)c->partition, p->base_offset + i, c->hashes[i]);
    take_end(c, p->base_offset + c->record_count);
    c->sequence += c->record_count;
    buffer_unref(c->batch);
    c->batch = NULL;
    tell(c, true, "acknowledged", p->base_offset);
}

/* Everything up to the end was read: what was acknowledged must have been there. */
static void verify(struct client *c) {
    struct history_reader *r = &c->reader;
    if ((size_t)(r->offset - r->log_start) > r->seen_capacity)
        history_violate(&c->all->history, "B1 dense offsets: partition %d is empty up to %lld", c->partition,
                        (long long)r->offset);
    else
        history_read_all(&c->all->history, (uint32_t)c->partition, r->log_start, r->high_watermark, r->seen);
    c->verified = true;
    world_client_event(c->all->world, 0, "a partition is read back", false);
}

static uint32_t near_node(const struct client *c) {
    return ((uint32_t)c->partition + 1) % world_node_count(c->all->world) + 1;
}

/* The leader names the node of our rack that has it, and gives nothing itself. */
static void take_direction(struct client *c, const struct kafka_fetch_response_partition *p) {
    if (c->role != NEAR_CONSUMER || c->read_from != 0 || p->records.bytes.size != 0 ||
        p->preferred_read_replica != (int32_t)near_node(c))
        history_violate(&c->all->history,
                        "K392: node %u sends a reader of partition %d in rack '%s' to node %d",
                        kafka_caller_node(&c->caller), c->partition, c->rack, p->preferred_read_replica);
    c->read_from = (uint32_t)p->preferred_read_replica;
    tell(c, false, "sent to its rack", c->reader.offset);
}

/* B24, of whatever node said it: who is asked as the leader may have become a follower, which answers, too, or
 * be one that does not know yet that another leads. */
static void check_age(struct client *c, int64_t end) {
    struct world *world = c->all->world;
    uint32_t node = kafka_caller_node(&c->caller);
    uint64_t allowed_ns = READ_STALE_ELECTIONS * world_node_knobs(world, node)->election_ms_min * NS_PER_MS;
    uint64_t since_ns = c->asked_ns - MIN(c->asked_ns, allowed_ns + allowed_ns / 50);
    allowed_ns += allowed_ns / 50 + world_delay(world, node, since_ns); /* clocks drift by hundredths */
    staleness_check(&c->all->told[c->partition], &c->all->history, (uint32_t)c->partition, node, c->asked_ns,
                    allowed_ns, end);
}

static void take_fetched(struct client *c, const struct kafka_fetch_response *m) {
    struct history *h = &c->all->history;
    struct history_reader *r = &c->reader;
    const struct kafka_fetch_response_partition *p;
    int16_t error = kafka_fetched(m, &p);
    if (error == ERROR_OUT_OF_RANGE)
        history_violate(
            h, "B6 nothing acknowledged is lost: partition %d is said not to reach %lld, where it was read",
            c->partition, (long long)r->offset);
    if (error != ERROR_NONE) {
        kafka_caller_give_up(&c->caller);
        return;
    }
    if (p->preferred_read_replica >= 0) {
        take_direction(c, p);
        return;
    }
    if (p->high_watermark < c->floor)
        history_violate(h, "B4 high watermark: partition %d: node %u tells %lld after %lld", c->partition,
                        kafka_caller_node(&c->caller), (long long)p->high_watermark, (long long)c->floor);
    check_age(c, p->high_watermark);
    c->stay_until_ns = 0;
    take_end(c, p->high_watermark);
    r->high_watermark = p->high_watermark;
    r->log_start = p->log_start_offset;
    struct slice bytes = p->records.bytes, batch;
    while (kafka_next_batch(&bytes, &batch))
        history_reader_take(h, r, batch);
    if (r->verifying && r->offset >= r->high_watermark) verify(c);
}

static void take_topic(struct client *c, const struct kafka_create_topics_response *m) {
    int16_t error = m->topics[0].error_code;
    if (error != ERROR_NONE && error != ERROR_EXISTS) {
        c->all->topic_error = error;
        kafka_caller_give_up(&c->caller);
        return;
    }
    c->all->topic_made = true;
    for (size_t i = 0; i < ARRAY_COUNT(c->all->clients); i++)
        kafka_caller_go_on(&c->all->clients[i].caller);
}

static void take_producer_id(struct client *c, const struct kafka_init_producer_id_response *m) {
    if (m->error_code != ERROR_NONE) {
        kafka_caller_give_up(&c->caller);
        return;
    }
    c->producer_id = m->producer_id;
}

static void answered(void *ctx, const void *message) {
    struct client *c = ctx;
    enum asking asked = c->asking;
    c->asking = NOTHING;
    switch (asked) {
    case METADATA:
        take_metadata(c, message);
        break;
    case CREATE_TOPIC:
        take_topic(c, message);
        break;
    case PRODUCER_ID:
        take_producer_id(c, message);
        break;
    case PRODUCE:
        take_produced(c, message);
        break;
    case FETCH:
        take_fetched(c, message);
        break;
    case NOTHING:
        break;
    }
    check(c->all);
}

static uint32_t asked(const struct client *c) {
    return c->read_from != 0 ? c->read_from : c->leader;
}

/* Whatever comes next: a connection, a look at the metadata, or the request itself. */
static void next(void *ctx) {
    struct client *c = ctx;
    if (!has_work(c)) return;
    uint32_t node = c->leader != 0 ? asked(c) : kafka_caller_node(&c->caller);
    if (node == 0) node = (c->index + c->caller.attempts++) % world_node_count(c->all->world) + 1;
    if (!kafka_caller_at(&c->caller, node)) return;
    if (c->role == ADMIN) {
        ask_topic(c);
    } else if (c->leader == 0) {
        ask_metadata(c);
    } else if (c->role == CONSUMER || c->role == NEAR_CONSUMER) {
        ask_fetch(c);
    } else if (c->idempotent && c->producer_id < 0) {
        ask_producer_id(c);
    } else {
        if (c->batch == NULL) make_batch(c);
        ask_produce(c);
    }
}

static const struct kafka_caller_calls calls = {.next = next, .answered = answered, .lost = lost};

/* ---- the world's side --------------------------------------------------------------------------------- */

void kafka_clients_rack(char rack[KAFKA_RACK_SIZE], uint32_t node) {
    snprintf(rack, KAFKA_RACK_SIZE, "rack%u", node);
}

void *kafka_clients_open(struct world *world) {
    struct clients *all = mem_calloc(1, sizeof *all);
    struct prng root;
    prng_init(&root, world_node_seed(world, KAFKA_CLIENTS_NODE));
    all->world = world;
    all->io = io_sim_node_io(world_sim(world), KAFKA_CLIENTS_NODE);
    history_init(&all->history);
    for (uint32_t i = 0; i < ARRAY_COUNT(all->clients); i++) {
        struct client *c = &all->clients[i];
        c->all = all;
        c->index = i;
        c->role = i == 0                        ? ADMIN
                  : i <= PRODUCERS              ? PRODUCER
                  : i <= PRODUCERS + PARTITIONS ? CONSUMER
                                                : NEAR_CONSUMER;
        c->partition = (int32_t)(i <= PRODUCERS ? i % PARTITIONS : (i - 1 - PRODUCERS) % PARTITIONS);
        c->idempotent = i % 2 == 0;
        c->producer_id = -1;
        kafka_caller_init(&c->caller, all->io, 0, &calls, c);
        c->caller.prng = prng_split(&root, i + 1);
        c->reader.partition = (uint32_t)c->partition;
        /* Not where the partition is led at the beginning. */
        if (c->role == NEAR_CONSUMER) kafka_clients_rack(c->rack, near_node(c));
        if (c->role == PRODUCER) c->jobs = mem_alloc(JOBS_MAX * sizeof *c->jobs);
    }
    io_timer_set(all->io, &all->clients[0].caller.timer, io_now_ns(all->io) + NS_PER_MS);
    return all;
}

/* The machine is off: nothing completes any more. */
void kafka_clients_close(void *clients) {
    struct clients *all = clients;
    for (uint32_t i = 0; i < ARRAY_COUNT(all->clients); i++) {
        struct client *c = &all->clients[i];
        kafka_caller_release(&c->caller);
        buffer_unref(c->batch);
        mem_free(c->jobs);
        history_reader_release(&c->reader);
    }
    for (uint32_t p = 0; p < PARTITIONS; p++)
        staleness_release(&all->told[p]);
    history_release(&all->history);
    mem_free(all);
}

bool kafka_clients_operate(void *clients, const struct action *action) {
    struct clients *all = clients;
    if (action->kind != ACTION_APPEND || all->finishing) return false;
    struct client *c = &all->clients[1 + all->next_producer];
    if (c->job_count == JOBS_MAX) return false;
    all->next_producer = (all->next_producer + 1) % PRODUCERS;
    c->jobs[(c->job_first + c->job_count++) % JOBS_MAX] = (struct job){(uint32_t)action->a, action->count};
    kafka_caller_go_on(&c->caller);
    return true;
}

void kafka_clients_finish(void *clients) {
    ((struct clients *)clients)->finishing = true;
}

static bool producers_done(const struct clients *all) {
    for (uint32_t i = 0; i <= PRODUCERS; i++)
        if (all->clients[i].batch != NULL || all->clients[i].job_count != 0) return false;
    return all->topic_made;
}

bool kafka_clients_finished(void *clients) {
    struct clients *all = clients;
    if (!all->finishing || !producers_done(all)) return false;
    bool done = true;
    for (uint32_t i = 1 + PRODUCERS; i <= PRODUCERS + PARTITIONS; i++) {
        struct client *c = &all->clients[i];
        if (!all->verifying) {
            history_reader_restart(&c->reader);
            kafka_caller_release(&c->caller); /* what is under way was asked before */
            c->asking = NOTHING;
            io_timer_cancel(all->io, &c->caller.timer);
            kafka_caller_go_on(&c->caller);
        }
        done = done && c->verified;
    }
    all->verifying = true;
    return done;
}

void kafka_clients_report(void *clients, struct writer *to) {
    const struct clients *all = clients;
    static const char *const asked[] = {"nothing", "metadata", "topic", "producer id", "produce", "fetch"};
    writer_printf(to, all->topic_made ? "topic made" : "topic not made, error %d", all->topic_error);
    for (uint32_t i = 0; i < ARRAY_COUNT(all->clients); i++) {
        const struct client *c = &all->clients[i];
        if (c->role == PRODUCER && (c->batch != NULL || c->job_count != 0))
            writer_printf(to, "; producer %u of partition %d has %u batches, asked %s of %u", i, c->partition,
                          c->job_count + (c->batch != NULL), asked[c->asking], c->leader);
        if (c->role == CONSUMER && all->verifying && !c->verified)
            writer_printf(to, "; consumer of partition %d at %lld of %lld, asked %s of %u", c->partition,
                          (long long)c->reader.offset, (long long)c->reader.high_watermark, asked[c->asking],
                          c->leader);
    }
}

struct history *kafka_clients_history(void *clients) {
    return &((struct clients *)clients)->history;
}

bool kafka_clients_topic_made(const void *clients) {
    return ((const struct clients *)clients)->topic_made;
}

int64_t kafka_clients_end(const void *clients, uint32_t partition) {
    return ((const struct clients *)clients)->clients[1 + PRODUCERS + partition].reader.high_watermark;
}
