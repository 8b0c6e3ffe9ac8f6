// SPDX-License-Identifier: Apache-2.0
#include "sim/kafka_copier.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "sim/kafka_requests.h"
#include "wire/record_batch.h"

#define ANSWER_NS           (5 * NS_PER_S) /* then the connection is given up */
#define RETRY_NS            (60 * NS_PER_MS)
#define IDLE_NS             (50 * NS_PER_MS) /* with nothing to copy */
#define TAKEOVER_NS         NS_PER_S         /* half of it to one and a half, after it was fenced */
#define TXN_TIMEOUT_MS      4000
#define FETCH_BYTES         (32 * KIB)
#define BATCH_ATTRIBUTES_AT 21 /* of a batch's header */

enum {
    ERROR_NONE = 0,
    ERROR_LOADING = 14,
    ERROR_NO_COORDINATOR = 15,
    ERROR_NOT_COORDINATOR = 16,
    ERROR_EXISTS = 36,
    ERROR_FENCED_OLD = 47, /* InvalidProducerEpoch */
    ERROR_CONCURRENT = 51,
    ERROR_FENCED = 90
};

static void go_on(struct kafka_copier *c);

/* ---- small things ------------------------------------------------------------------------------------- */

static void later(struct kafka_copier *c, uint64_t ns) {
    io_timer_set(c->options.io, &c->timer, io_now_ns(c->options.io) + ns / 2 + prng_below(&c->prng, ns));
}

static void tell(struct kafka_copier *c, const char *what) {
    char text[120];
    snprintf(text, sizeof text, "copier %s epoch %d: %s, transaction %u of partition %u", c->options.id,
             c->epoch, what, c->number, c->partition);
    c->options.told(c->options.ctx, text);
}

static void drop(struct kafka_copier_channel *channel) {
    if (channel->link != NULL) kafka_link_drop(channel->link);
    channel->link = NULL;
    channel->connected = false;
}

static void forget_batch(struct kafka_copier *c) {
    buffer_unref(c->batch);
    c->batch = NULL;
}

/* From the first step again, after a while: whatever became of the transaction, InitProducerId ends it. */
static void begin_anew(struct kafka_copier *c, uint64_t pause_ns) {
    for (uint32_t node = 1; node <= c->options.node_count; node++)
        if (!c->channels[node].connected) drop(&c->channels[node]);
    c->asked_of = 0;
    c->txn_node = c->group_node = 0;
    c->step = c->created ? COPIER_FIND_TXN : COPIER_CREATE;
    memset(c->source_leaders, 0, sizeof c->source_leaders);
    memset(c->target_leaders, 0, sizeof c->target_leaders);
    forget_batch(c);
    c->ending = false;
    later(c, pause_ns);
}

/* Nothing is known of what was asked. An end is asked for again as it was, half of the times. */
static void try_again(struct kafka_copier *c) {
    bool ending = c->second && c->step == COPIER_END && prng_chance(&c->prng, 1, 2);
    ending = ending || (c->ending && c->step == COPIER_FIND_TXN);
    begin_anew(c, RETRY_NS);
    c->ending = ending;
}

static uint32_t node_of(const struct kafka_copier_channel *channel) {
    return (uint32_t)(channel - channel->copier->channels);
}

static void link_connected(void *ctx) {
    struct kafka_copier_channel *channel = ctx;
    channel->connected = true;
    io_timer_cancel(channel->copier->options.io, &channel->copier->timer);
    go_on(channel->copier);
}

static void link_failed(void *ctx) {
    struct kafka_copier_channel *channel = ctx;
    struct kafka_copier *c = channel->copier;
    bool waiting = !channel->connected || c->asked_of == node_of(channel);
    drop(channel);
    if (waiting) try_again(c);
}

static void answered(void *ctx, const void *message);
static const struct kafka_link_calls calls = {
    .connected = link_connected, .failed = link_failed, .answered = answered};

/* ---- requests ----------------------------------------------------------------------------------------- */

static void ask(struct kafka_copier *c, uint32_t node, int16_t key, int16_t version, const void *request) {
    c->asked_of = node;
    c->late = txn_history_is_fenced(c->options.history, c->options.index, c->epoch);
    io_timer_set(c->options.io, &c->timer, io_now_ns(c->options.io) + ANSWER_NS);
    kafka_link_ask(c->channels[node].link, key, version, request);
}

static void ask_create(struct kafka_copier *c, uint32_t node) {
    struct kafka_create_ask create;
    kafka_create_ask(&create, c->options.target, KAFKA_COPIER_PARTITIONS, c->options.node_count);
    ask(c, node, KAFKA_CREATE_TOPICS, 7, &create.request);
}

static void ask_coordinator(struct kafka_copier *c, uint32_t node) {
    struct kafka_coordinator_ask coordinator;
    bool txn = c->step == COPIER_FIND_TXN;
    kafka_coordinator_ask(&coordinator, txn ? c->options.id : c->options.group, txn);
    ask(c, node, KAFKA_FIND_COORDINATOR, 4, &coordinator.request);
}

static void ask_identity(struct kafka_copier *c) {
    struct kafka_init_producer_id_request request;
    kafka_message_init(&kafka_schema_init_producer_id_request, &request);
    request.transactional_id = slice_from_text(c->options.id);
    request.transaction_timeout_ms = TXN_TIMEOUT_MS;
    c->second = prng_chance(&c->prng, 1, 2);
    ask(c, c->txn_node, KAFKA_INIT_PRODUCER_ID, c->second ? 5 : 4, &request);
}

static void ask_offsets(struct kafka_copier *c) {
    struct kafka_offset_fetch_request_topic topic;
    struct kafka_offset_fetch_request_group group;
    struct kafka_offset_fetch_request request;
    int32_t partitions[KAFKA_COPIER_PARTITIONS];
    kafka_message_init(&kafka_schema_offset_fetch_request_topic, &topic);
    kafka_message_init(&kafka_schema_offset_fetch_request_group, &group);
    kafka_message_init(&kafka_schema_offset_fetch_request, &request);
    topic.name = slice_from_text(c->options.source);
    topic.partition_indexes = partitions;
    for (int32_t p = 0; p < KAFKA_COPIER_PARTITIONS; p++)
        if ((c->options.partitions >> p & 1) != 0) partitions[topic.partition_indexes_count++] = p;
    group.group_id = slice_from_text(c->options.group);
    group.topics = &topic;
    group.topics_count = 1;
    request.groups = &group;
    request.groups_count = 1;
    request.require_stable = true;
    ask(c, c->group_node, KAFKA_OFFSET_FETCH, 9, &request);
}

static void ask_metadata(struct kafka_copier *c, uint32_t node) {
    struct kafka_metadata_ask metadata;
    kafka_metadata_ask(&metadata, c->options.source, c->options.target);
    ask(c, node, KAFKA_METADATA, 9, &metadata.request);
}

static void ask_fetch(struct kafka_copier *c) {
    struct kafka_fetch_ask fetch;
    kafka_fetch_ask(&fetch, c->options.source, (int32_t)c->partition, c->positions[c->partition],
                    FETCH_BYTES);
    fetch.request.isolation_level = 1;
    ask(c, c->source_leaders[c->partition], KAFKA_FETCH, 11, &fetch.request);
}

static uint32_t second_of(const struct kafka_copier *c) {
    return (c->partition + 1) % KAFKA_COPIER_PARTITIONS;
}

static void ask_add(struct kafka_copier *c) {
    struct kafka_add_partitions_to_txn_request_topic topic;
    struct kafka_add_partitions_to_txn_request request;
    int32_t partitions[2] = {(int32_t)c->partition, (int32_t)second_of(c)};
    kafka_message_init(&kafka_schema_add_partitions_to_txn_request_topic, &topic);
    kafka_message_init(&kafka_schema_add_partitions_to_txn_request, &request);
    topic.name = slice_from_text(c->options.target);
    topic.partitions = partitions;
    topic.partitions_count = 2;
    request.transactional_id = slice_from_text(c->options.id);
    request.producer_id = c->producer_id;
    request.producer_epoch = c->epoch;
    request.topics = &topic;
    request.topics_count = 1;
    ask(c, c->txn_node, KAFKA_ADD_PARTITIONS_TO_TXN, 3, &request);
}

static void make_batch(struct kafka_copier *c, uint32_t target) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    for (uint32_t i = 0; i < c->record_count; i++) {
        char value[64];
        int size = snprintf(value, sizeof value, "%u/%" PRId64 "/%u/%u", c->partition, c->offsets[i],
                            c->number, c->step == COPIER_PRODUCE_SECOND);
        record_batch_add(&builder, io_wall_ms(c->options.io), SLICE_EMPTY, slice_make(value, (size_t)size),
                         NULL, 0);
    }
    struct record_batch_producer identity = {c->producer_id, c->epoch, c->sequences[target]};
    forget_batch(c);
    c->batch = record_batch_finish(&builder, CODEC_NONE, &identity);
    store_be16(c->batch->data + BATCH_ATTRIBUTES_AT, BATCH_TRANSACTIONAL);
    record_batch_set_max_timestamp(c->batch->data, c->batch->size, io_wall_ms(c->options.io)); /* checksum */
    record_batch_builder_release(&builder);
}

static void ask_produce(struct kafka_copier *c, uint32_t target) {
    struct kafka_produce_ask produce;
    make_batch(c, target);
    kafka_produce_ask(&produce, c->options.target, (int32_t)target, c->batch);
    produce.request.transactional_id = slice_from_text(c->options.id);
    ask(c, c->target_leaders[target], KAFKA_PRODUCE, c->second ? 12 : 9, &produce.request);
}

static void ask_add_offsets(struct kafka_copier *c) {
    struct kafka_add_offsets_to_txn_request request;
    kafka_message_init(&kafka_schema_add_offsets_to_txn_request, &request);
    request.transactional_id = slice_from_text(c->options.id);
    request.producer_id = c->producer_id;
    request.producer_epoch = c->epoch;
    request.group_id = slice_from_text(c->options.group);
    ask(c, c->txn_node, KAFKA_ADD_OFFSETS_TO_TXN, 3, &request);
}

static void ask_commit_offsets(struct kafka_copier *c) {
    struct kafka_txn_offset_commit_request_partition partition;
    struct kafka_txn_offset_commit_request_topic topic;
    struct kafka_txn_offset_commit_request request;
    kafka_message_init(&kafka_schema_txn_offset_commit_request_partition, &partition);
    kafka_message_init(&kafka_schema_txn_offset_commit_request_topic, &topic);
    kafka_message_init(&kafka_schema_txn_offset_commit_request, &request);
    partition.partition_index = (int32_t)c->partition;
    partition.committed_offset = c->end;
    topic.name = slice_from_text(c->options.source);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.transactional_id = slice_from_text(c->options.id);
    request.group_id = slice_from_text(c->options.group);
    request.producer_id = c->producer_id;
    request.producer_epoch = c->epoch;
    request.topics = &topic;
    request.topics_count = 1;
    ask(c, c->group_node, KAFKA_TXN_OFFSET_COMMIT, c->second ? 5 : 3, &request);
}

static void ask_end(struct kafka_copier *c) {
    struct kafka_end_txn_request request;
    kafka_message_init(&kafka_schema_end_txn_request, &request);
    request.transactional_id = slice_from_text(c->options.id);
    request.producer_id = c->producer_id;
    request.producer_epoch = c->epoch;
    request.committed = c->committing;
    ask(c, c->txn_node, KAFKA_END_TXN, c->second ? 5 : 3, &request);
}

/* ---- answers ------------------------------------------------------------------------------------------ */

/* True: the step is done. */
static bool passed(struct kafka_copier *c, int16_t error) {
    if (error == ERROR_NONE) return true;
    bool fenced = error == ERROR_FENCED || error == ERROR_FENCED_OLD;
    if (fenced && c->step != COPIER_INIT) {
        c->options.history->fenced++;
        tell(c, "is fenced");
        begin_anew(c, TAKEOVER_NS);
    } else if (error == ERROR_CONCURRENT) {
        later(c, RETRY_NS); /* the same again: the transaction before is being ended */
    } else if (error == ERROR_LOADING || error == ERROR_NO_COORDINATOR || error == ERROR_NOT_COORDINATOR) {
        try_again(c);
    } else {
        begin_anew(c, RETRY_NS);
    }
    return false;
}

static void take_coordinator(struct kafka_copier *c, const struct kafka_find_coordinator_response *r) {
    uint32_t node = kafka_coordinator_told(r, c->options.node_count);
    if (node == 0) {
        begin_anew(c, RETRY_NS);
        return;
    }
    if (c->step == COPIER_FIND_TXN)
        c->txn_node = node;
    else
        c->group_node = node;
    if (c->step == COPIER_FIND_TXN)
        c->step = c->ending ? COPIER_END : COPIER_INIT;
    else
        c->step = COPIER_OFFSETS;
}

static void be(struct kafka_copier *c, int64_t producer_id, int16_t epoch) {
    c->producer_id = producer_id;
    c->epoch = epoch;
    memset(c->sequences, 0, sizeof c->sequences);
    txn_history_identity(c->options.history, c->options.index, epoch);
}

static void take_identity(struct kafka_copier *c, const struct kafka_init_producer_id_response *r) {
    if (!passed(c, r->error_code)) return;
    be(c, r->producer_id, r->producer_epoch);
    tell(c, c->second ? "takes over, of the second generation" : "takes over");
    c->step = COPIER_FIND_GROUP;
}

static void take_offsets(struct kafka_copier *c, const struct kafka_offset_fetch_response *r) {
    int16_t error = r->groups_count == 1 ? r->groups[0].error_code : -1;
    if (error == ERROR_NONE && r->groups[0].topics_count != 1) error = -1;
    for (int32_t i = 0; error == ERROR_NONE && i < r->groups[0].topics[0].partitions_count; i++) {
        const struct kafka_offset_fetch_response_partition *p = &r->groups[0].topics[0].partitions[i];
        error = p->error_code;
        if (p->partition_index >= 0 && p->partition_index < KAFKA_COPIER_PARTITIONS)
            c->positions[p->partition_index] = MAX(p->committed_offset, (int64_t)0);
    }
    if (passed(c, error)) c->step = COPIER_METADATA;
}

static void take_metadata(struct kafka_copier *c, const struct kafka_metadata_response *r) {
    uint32_t nodes = c->options.node_count;
    bool all = true;
    for (uint32_t p = 0; p < KAFKA_COPIER_PARTITIONS; p++) {
        c->source_leaders[p] = kafka_leader_told(r, c->options.source, p, nodes);
        c->target_leaders[p] = kafka_leader_told(r, c->options.target, p, nodes);
        all = all && c->source_leaders[p] != 0 && c->target_leaders[p] != 0;
    }
    if (all)
        c->step = COPIER_FETCH;
    else
        begin_anew(c, RETRY_NS);
}

/* Data records from the position on, as many as a transaction holds. */
static bool take_records(struct kafka_copier *c, struct slice bytes) {
    struct record_batch batch;
    struct record_iterator it;
    struct record record;
    struct arena arena;
    if (record_batch_read(bytes, &batch) != STATUS_OK) return false;
    if ((batch.attributes & BATCH_CONTROL) != 0) {
        c->end = record_batch_last_offset(&batch) + 1;
        return true;
    }
    arena_init(&arena, 16 * KIB);
    enum status status = record_iterator_init(&it, &batch, &arena, 1 * MIB);
    while (status == STATUS_OK && (status = record_iterator_next(&it, &record)) == STATUS_OK) {
        if (record.offset < c->end) continue;
        if (c->record_count == KAFKA_COPIER_RECORDS) break;
        c->offsets[c->record_count++] = record.offset;
        c->end = record.offset + 1;
    }
    arena_release(&arena);
    return c->record_count < KAFKA_COPIER_RECORDS;
}

static void take_fetched(struct kafka_copier *c, const struct kafka_fetch_response *r) {
    const struct kafka_fetch_response_partition *partition;
    if (!passed(c, kafka_fetched(r, &partition))) return;
    c->record_count = 0;
    c->end = c->positions[c->partition];
    struct slice bytes = partition->records.bytes, batch;
    while (kafka_next_batch(&bytes, &batch))
        if (!take_records(c, batch)) break;
    if (c->record_count == 0) {
        c->positions[c->partition] = c->end; /* leaders' own entries: the next transaction says so */
        do {
            c->partition = (c->partition + 1) % KAFKA_COPIER_PARTITIONS;
        } while ((c->options.partitions >> c->partition & 1) == 0);
        later(c, IDLE_NS);
        return;
    }
    c->number = txn_history_begin(c->options.history);
    c->committing = c->steady || !prng_chance(&c->prng, 1, 5);
    c->step = c->second ? COPIER_PRODUCE : COPIER_ADD;
}

static void take_added(struct kafka_copier *c, const struct kafka_add_partitions_to_txn_response *r) {
    int16_t error = r->topics_count == 1 ? ERROR_NONE : -1;
    for (int32_t i = 0; error == ERROR_NONE && i < r->topics[0].partitions_count; i++)
        error = r->topics[0].partitions[i].error_code;
    if (passed(c, error)) c->step = COPIER_PRODUCE;
}

static void take_produced(struct kafka_copier *c, const struct kafka_produce_response *r) {
    uint32_t target = c->step == COPIER_PRODUCE ? c->partition : second_of(c);
    int16_t error = r->responses[0].partition_responses[0].error_code;
    if (!passed(c, error)) return;
    txn_history_taken(c->options.history, c->options.index, c->epoch, "a batch", c->late);
    c->sequences[target] += (int32_t)c->record_count;
    if (c->step == COPIER_PRODUCE)
        c->step = COPIER_PRODUCE_SECOND;
    else
        c->step = c->second ? COPIER_COMMIT_OFFSETS : COPIER_ADD_OFFSETS;
}

static void take_offsets_committed(struct kafka_copier *c, const struct kafka_txn_offset_commit_response *r) {
    bool one = r->topics_count == 1 && r->topics[0].partitions_count == 1;
    if (passed(c, one ? r->topics[0].partitions[0].error_code : -1)) c->step = COPIER_END;
}

static void take_ended(struct kafka_copier *c, const struct kafka_end_txn_response *r) {
    if (!passed(c, r->error_code)) return;
    txn_history_taken(c->options.history, c->options.index, c->epoch, "the end", c->late);
    txn_history_ended(c->options.history, c->number, c->committing);
    if (c->committing) c->positions[c->partition] = c->end;
    tell(c, c->committing ? "has committed" : "has aborted");
    if (c->second) be(c, r->producer_id, r->producer_epoch);
    c->step = c->ending ? COPIER_FIND_GROUP : COPIER_FETCH; /* it has forgotten who is who */
    c->ending = false;
}

static void answered(void *ctx, const void *message) {
    struct kafka_copier_channel *channel = ctx;
    struct kafka_copier *c = channel->copier;
    if (c->asked_of != node_of(channel)) return;
    io_timer_cancel(c->options.io, &c->timer);
    c->asked_of = 0;
    switch (c->step) {
    case COPIER_CREATE: {
        const struct kafka_create_topics_response *r = message;
        int16_t error = r->topics[0].error_code;
        c->created = error == ERROR_NONE || error == ERROR_EXISTS;
        begin_anew(c, RETRY_NS);
        break;
    }
    case COPIER_FIND_TXN:
    case COPIER_FIND_GROUP:
        take_coordinator(c, message);
        break;
    case COPIER_INIT:
        take_identity(c, message);
        break;
    case COPIER_OFFSETS:
        take_offsets(c, message);
        break;
    case COPIER_METADATA:
        take_metadata(c, message);
        break;
    case COPIER_FETCH:
        take_fetched(c, message);
        break;
    case COPIER_ADD:
        take_added(c, message);
        break;
    case COPIER_PRODUCE:
    case COPIER_PRODUCE_SECOND:
        take_produced(c, message);
        break;
    case COPIER_ADD_OFFSETS:
        if (passed(c, ((const struct kafka_add_offsets_to_txn_response *)message)->error_code))
            c->step = COPIER_COMMIT_OFFSETS;
        break;
    case COPIER_COMMIT_OFFSETS:
        take_offsets_committed(c, message);
        break;
    case COPIER_END:
        take_ended(c, message);
        break;
    }
    c->options.told(c->options.ctx, NULL);
    go_on(c);
}

/* ---- what comes next ---------------------------------------------------------------------------------- */

/* Where this step is asked; 0: anywhere. */
static uint32_t node_for(const struct kafka_copier *c) {
    switch (c->step) {
    case COPIER_INIT:
    case COPIER_ADD:
    case COPIER_ADD_OFFSETS:
    case COPIER_END:
        return c->txn_node;
    case COPIER_OFFSETS:
    case COPIER_COMMIT_OFFSETS:
        return c->group_node;
    case COPIER_FETCH:
        return c->source_leaders[c->partition];
    case COPIER_PRODUCE:
        return c->target_leaders[c->partition];
    case COPIER_PRODUCE_SECOND:
        return c->target_leaders[second_of(c)];
    default:
        return 0;
    }
}

static void ask_step(struct kafka_copier *c, uint32_t node) {
    switch (c->step) {
    case COPIER_CREATE:
        ask_create(c, node);
        break;
    case COPIER_FIND_TXN:
    case COPIER_FIND_GROUP:
        ask_coordinator(c, node);
        break;
    case COPIER_INIT:
        ask_identity(c);
        break;
    case COPIER_OFFSETS:
        ask_offsets(c);
        break;
    case COPIER_METADATA:
        ask_metadata(c, node);
        break;
    case COPIER_FETCH:
        ask_fetch(c);
        break;
    case COPIER_ADD:
        ask_add(c);
        break;
    case COPIER_PRODUCE:
    case COPIER_PRODUCE_SECOND:
        ask_produce(c, c->step == COPIER_PRODUCE ? c->partition : second_of(c));
        break;
    case COPIER_ADD_OFFSETS:
        ask_add_offsets(c);
        break;
    case COPIER_COMMIT_OFFSETS:
        ask_commit_offsets(c);
        break;
    case COPIER_END:
        ask_end(c);
        break;
    }
}

static void go_on(struct kafka_copier *c) {
    if (!c->started || c->retired || c->asked_of != 0 || io_timer_armed(&c->timer)) return;
    uint32_t node = node_for(c);
    if (node == 0) node = (c->options.index + c->attempts++) % c->options.node_count + 1;
    struct kafka_copier_channel *channel = &c->channels[node];
    if (channel->link == NULL) {
        channel->link = kafka_link_new(c->options.io, node, &calls, channel);
        io_timer_set(c->options.io, &c->timer, io_now_ns(c->options.io) + ANSWER_NS);
        if (node_for(c) == 0) c->attempts--; /* this one, when it is connected */
    } else if (channel->connected) {
        ask_step(c, node);
    }
}

static void timer_fired(struct io_timer *timer) {
    struct kafka_copier *c = CONTAINER_OF(timer, struct kafka_copier, timer);
    if (c->asked_of != 0) drop(&c->channels[c->asked_of]);
    bool connecting = false;
    for (uint32_t node = 1; node <= c->options.node_count; node++)
        connecting = connecting || (c->channels[node].link != NULL && !c->channels[node].connected);
    if (c->asked_of != 0 || connecting)
        try_again(c);
    else
        go_on(c);
}

/* ---- life --------------------------------------------------------------------------------------------- */

void kafka_copier_init(struct kafka_copier *c, const struct kafka_copier_options *options) {
    *c = (struct kafka_copier){.options = *options, .producer_id = -1, .epoch = -1};
    for (uint32_t node = 0; node <= SIM_NODES_MAX; node++)
        c->channels[node].copier = c;
    while ((options->partitions >> c->partition & 1) == 0)
        c->partition++;
    prng_init(&c->prng, options->seed);
    io_timer_init(&c->timer, timer_fired);
}

void kafka_copier_start(struct kafka_copier *c) {
    if (c->started) return;
    c->started = true;
    later(c, c->options.spare ? 2 * TAKEOVER_NS : RETRY_NS);
}

void kafka_copier_release(struct kafka_copier *c) {
    for (uint32_t node = 1; node <= SIM_NODES_MAX; node++)
        drop(&c->channels[node]);
    forget_batch(c);
}

void kafka_copier_settle(struct kafka_copier *c, bool retire) {
    c->steady = true;
    c->retired = retire;
}
