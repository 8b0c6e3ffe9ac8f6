// SPDX-License-Identifier: Apache-2.0
/* Transactions as Kafka clients of both generations make them, on the simulated machine: what readers of
 * committed records see, who is fenced, what time does. */
#include "broker/coordinator.h"
#include "lib/kafka_world.h"
#include "lib/test.h"
#include "lib/txn_epochs.h"

static struct kafka_world world;

static int open_world(void **state) {
    kafka_world_open(&world, 5, false);
    kafka_world_topic(&world, "t", 2);
    *state = &world;
    return 0;
}

#define TX SLICE_LITERAL("tx")

struct producer {
    int64_t id;
    int16_t epoch;
    int32_t sequence;
};

static int16_t begin_as(struct producer *producer, int64_t id, int16_t epoch, int32_t timeout_ms) {
    struct kafka_init_producer_id_request request;
    kafka_message_init(&kafka_schema_init_producer_id_request, &request);
    request.transactional_id = TX;
    request.transaction_timeout_ms = timeout_ms;
    request.producer_id = id;
    request.producer_epoch = epoch;
    const struct kafka_init_producer_id_response *response = kafka_world_call(&world, KAFKA_INIT_PRODUCER_ID,
                                                                              4, &request);
    if (response->error_code == 0)
        *producer = (struct producer){response->producer_id, response->producer_epoch, 0};
    return response->error_code;
}

/* Idempotent, of no transactions. */
static int16_t begin_plain(struct producer *producer, int64_t id, int16_t epoch) {
    struct kafka_init_producer_id_request request;
    kafka_message_init(&kafka_schema_init_producer_id_request, &request);
    request.producer_id = id;
    request.producer_epoch = epoch;
    const struct kafka_init_producer_id_response *response = kafka_world_call(&world, KAFKA_INIT_PRODUCER_ID,
                                                                              3, &request);
    *producer = (struct producer){response->producer_id, response->producer_epoch, 0};
    return response->error_code;
}

static struct producer begin(void) {
    struct producer producer;
    int16_t code = 51;
    for (int i = 0; i < 10 && code == 51;
         i++) { /* CONCURRENT_TRANSACTIONS: while the last one is completed */
        code = begin_as(&producer, -1, -1, 60000);
        kafka_world_run(&world, 100);
    }
    assert_int_equal(code, 0);
    return producer;
}

static int16_t add_partition(const struct producer *producer, int32_t partition) {
    struct kafka_add_partitions_to_txn_request_topic topic = {SLICE_LITERAL("t"), &partition, 1};
    struct kafka_add_partitions_to_txn_request request = {TX, producer->id, producer->epoch, &topic, 1};
    const struct kafka_add_partitions_to_txn_response *response = kafka_world_call(
        &world, KAFKA_ADD_PARTITIONS_TO_TXN, 3, &request);
    return response->topics[0].partitions[0].error_code;
}

static void send(struct producer *producer, int32_t partition, int32_t count, int16_t version) {
    struct buffer *batch = kafka_world_batch(count, CODEC_NONE);
    store_be16(batch->data + 21, BATCH_TRANSACTIONAL);
    store_be64(batch->data + 43, (uint64_t)producer->id);
    store_be16(batch->data + 51, (uint16_t)producer->epoch);
    store_be32(batch->data + 53, (uint32_t)producer->sequence);
    record_batch_set_max_timestamp(batch->data, batch->size, (int64_t)load_be64(batch->data + 35));
    struct kafka_produce_request_partition part = {
        .index = partition, .records = {.bytes = slice_make(batch->data, batch->size)}};
    struct kafka_produce_request_topic topic = {
        .name = SLICE_LITERAL("t"), .partition_data = &part, .partition_data_count = 1};
    struct kafka_produce_request request = {
        .transactional_id = TX, .acks = -1, .topic_data = &topic, .topic_data_count = 1};
    kafka_world_send(&world.client, KAFKA_PRODUCE, version, 4711, &request);
    buffer_unref(batch);
}

static int16_t sent_code(int16_t version) {
    const struct kafka_produce_response *response = kafka_world_receive(&world, &world.client, KAFKA_PRODUCE,
                                                                        version, 4711);
    return response->responses[0].partition_responses[0].error_code;
}

static int16_t produce(struct producer *producer, int32_t partition, int32_t count, int16_t version) {
    send(producer, partition, count, version);
    int16_t code = sent_code(version);
    if (code == 0) producer->sequence += count;
    return code;
}

static int16_t end(struct producer *producer, bool commit, int16_t version) {
    struct kafka_end_txn_request request = {TX, producer->id, producer->epoch, commit};
    const struct kafka_end_txn_response *response = kafka_world_call(&world, KAFKA_END_TXN, version,
                                                                     &request);
    if (response->error_code == 0 && version >= 5)
        *producer = (struct producer){response->producer_id, response->producer_epoch, 0};
    return response->error_code;
}

/* What a reader of committed records is given from offset 0 on. */
struct seen {
    int64_t stable, high_watermark, end; /* end: behind the last batch */
    int32_t batches, aborted;
    int64_t aborted_first;
};

static struct seen look(int32_t partition, int8_t isolation) {
    struct kafka_fetch_request_partition part;
    kafka_message_init(&kafka_schema_fetch_request_partition, &part);
    part.partition = partition;
    part.partition_max_bytes = MIB;
    struct kafka_fetch_request_topic topic;
    kafka_message_init(&kafka_schema_fetch_request_topic, &topic);
    topic.topic = SLICE_LITERAL("t");
    topic.partitions = &part;
    topic.partitions_count = 1;
    struct kafka_fetch_request request;
    kafka_message_init(&kafka_schema_fetch_request, &request);
    request.isolation_level = isolation;
    request.max_bytes = MIB;
    request.topics = &topic;
    request.topics_count = 1;
    const struct kafka_fetch_response *response = kafka_world_call(&world, KAFKA_FETCH, 11, &request);
    const struct kafka_fetch_response_partition *out = &response->responses[0].partitions[0];
    assert_int_equal(out->error_code, 0);
    struct seen seen = {.stable = out->last_stable_offset, .high_watermark = out->high_watermark};
    struct slice rest = out->records.bytes;
    struct record_batch batch;
    while (rest.size != 0) {
        assert_status(record_batch_read(rest, &batch), STATUS_OK);
        seen.batches++;
        seen.end = record_batch_last_offset(&batch) + 1;
        rest = slice_make(rest.data + batch.bytes.size, rest.size - batch.bytes.size);
    }
    seen.aborted = out->aborted_transactions_count;
    if (seen.aborted > 0) seen.aborted_first = out->aborted_transactions[0].first_offset;
    return seen;
}

/* Several batches are on their way when the first one still asks whether it is part of the transaction. */
static void batches_follow_each_other_into_a_transaction(void **state) {
    (void)state;
    struct producer producer = begin();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5; i++, producer.sequence += 2)
            send(&producer, 0, 2, 12);
        for (int i = 0; i < 5; i++)
            assert_int_equal(sent_code(12), 0);
        assert_int_equal(end(&producer, true, 5), 0);
        assert_int_equal(look(0, 1).stable, 11 * (round + 1));
    }
}

/* The first generation: partitions are added, the epoch stays. */
static void committed_and_aborted(void **state) {
    (void)state;
    struct producer producer = begin();
    assert_int_equal(add_partition(&producer, 0), 0);
    assert_int_equal(produce(&producer, 0, 3, 9), 0);
    struct seen seen = look(0, 1);
    assert_int_equal(seen.stable, 0);
    assert_int_equal(seen.batches, 0);
    assert_int_equal(look(0, 0).batches, 1); /* who does not care sees it */
    assert_int_equal(end(&producer, true, 3), 0);
    seen = look(0, 1);
    assert_int_equal(seen.stable, 4); /* three records and the marker */
    assert_int_equal(seen.batches, 2);
    assert_int_equal(seen.aborted, 0);
    assert_int_equal(add_partition(&producer, 0), 0);
    assert_int_equal(produce(&producer, 0, 2, 9), 0);
    assert_int_equal(end(&producer, false, 3), 0);
    seen = look(0, 1);
    assert_int_equal(seen.stable, 7);
    assert_int_equal(seen.aborted, 1);
    assert_int_equal(seen.aborted_first, 4);
    assert_int_equal(look(0, 0).aborted, -1);
    /* What has ended is not ended otherwise, and the same end again is no error. */
    assert_int_equal(end(&producer, false, 3), 0);
    assert_int_equal(end(&producer, true, 3), 48);
}

/* A batch that comes late must not open a transaction nobody will end. */
static void a_late_batch_is_refused(void **state) {
    (void)state;
    struct producer producer = begin();
    assert_int_equal(produce(&producer, 0, 1, 9), 48);
    assert_int_equal(add_partition(&producer, 0), 0);
    assert_int_equal(produce(&producer, 1, 1, 9), 48); /* another partition */
    assert_int_equal(produce(&producer, 0, 1, 9), 0);
    assert_int_equal(end(&producer, true, 3), 0);
    assert_int_equal(produce(&producer, 0, 1, 9), 48);
    assert_int_equal(look(0, 1).stable, 2);
    assert_int_equal(add_partition(&producer, 7), 3);
}

/* The second generation: a batch makes itself part of it, and each end moves the epoch. */
static void every_end_moves_the_epoch(void **state) {
    (void)state;
    struct producer producer = begin(), before = producer;
    for (int i = 0; i < 4; i++) {
        before = producer;
        assert_int_equal(produce(&producer, 0, 2, 12), 0);
        assert_int_equal(end(&producer, i % 2 == 0, 5), 0);
        assert_int_equal(producer.id, before.id);
        assert_int_equal(producer.epoch, before.epoch + 1);
    }
    assert_int_equal(look(0, 1).stable, 12);
    assert_int_equal(look(0, 1).aborted, 2);
    /* The answer was lost: the end again, with the epoch of then. */
    struct producer retry = before;
    assert_int_equal(end(&retry, false, 5), 0);
    assert_int_equal(retry.epoch, producer.epoch);
    retry = before;
    assert_int_equal(end(&retry, true, 5), 48);
    /* Nothing of the old epoch is taken any more. */
    assert_int_equal(produce(&before, 0, 1, 12), 47);
}

static void a_new_producer_fences_the_old_one(void **state) {
    (void)state;
    struct producer old = begin();
    assert_int_equal(produce(&old, 0, 5, 12), 0);
    struct producer new;
    assert_int_equal(begin_as(&new, -1, -1, 60000), 51); /* its transaction is aborted first */
    new = begin();
    assert_true(new.id == old.id &&new.epoch > old.epoch);
    assert_int_equal(look(0, 1).aborted, 1);
    assert_int_equal(look(0, 1).stable, 6);
    assert_int_equal(produce(&old, 0, 1, 12), 47);
    assert_int_equal(add_partition(&old, 0), 90);
    assert_int_equal(end(&old, true, 3), 90);
    assert_int_equal(end(&old, true, 1), 47); /* as old clients know it */
    assert_int_equal(begin_as(&old, old.id, old.epoch, 60000), 90);
    struct producer liar = {new.id + 1000, 0, 0};
    assert_int_equal(add_partition(&liar, 0), 49);
    assert_int_equal(produce(&new, 0, 1, 12), 0);
    assert_int_equal(end(&new, true, 5), 0);
}

/* KIP-360: a producer that got an error goes on under the next epoch of its own. */
static void an_epoch_of_its_own(void **state) {
    (void)state;
    struct producer producer = begin(), next;
    assert_int_equal(begin_as(&next, producer.id, producer.epoch, 60000), 0);
    assert_int_equal(next.epoch, producer.epoch + 1);
    assert_int_equal(begin_as(&next, producer.id, producer.epoch, 60000), 0); /* the answer was lost */
    assert_int_equal(begin_as(&next, producer.id + 5, 0, 60000), 90);
    assert_int_equal(begin_as(&next, -1, -1, 0), 50);
    assert_int_equal(begin_as(&next, -1, -1, 100 * 60 * 1000), 50);
}

static void run_a_little(void *context) {
    kafka_world_run(context, 1);
}

static struct producer begin_at_the_last_epoch(void) {
    struct producer producer = begin();
    txn_epochs_use_up(world.broker, "tx", producer.epoch, run_a_little, &world);
    producer.epoch = TXN_EPOCH_MAX;
    return producer;
}

/* The second generation: the answer to an end gives another producer id when the epochs of one are used up.
 */
static void an_end_goes_on_under_another_id(void **state) {
    (void)state;
    struct producer producer = begin_at_the_last_epoch();
    struct producer old = producer, retry = producer;
    assert_int_equal(produce(&producer, 0, 2, 12), 0);
    assert_int_equal(end(&producer, true, 5), 0);
    assert_true(producer.id != old.id && producer.id >= 0);
    assert_int_equal(producer.epoch, 0);
    assert_int_equal(look(0, 1).stable, 3);
    assert_int_equal(look(0, 1).aborted, 0);

    assert_int_equal(end(&retry, true, 5), 0); /* the answer was lost */
    assert_true(retry.id == producer.id && retry.epoch == 0);
    retry = old;
    assert_int_equal(end(&retry, false, 5), 48);
    assert_int_equal(produce(&old, 0, 1, 12), 47); /* the marker moved the epoch here */
    assert_int_equal(produce(&old, 1, 1, 12), 47); /* here the coordinator is asked */
    assert_int_equal(add_partition(&old, 1), 90);
    struct producer older = {old.id, 0, 0};
    assert_int_equal(add_partition(&older, 1), 90);
    assert_int_equal(end(&older, true, 5), 90);
    assert_int_equal(begin_as(&older, older.id, 0, 60000), 90);

    assert_int_equal(produce(&producer, 0, 2, 12), 0);
    assert_int_equal(produce(&producer, 1, 1, 12), 0);
    assert_int_equal(end(&producer, false, 5), 0);
    assert_int_equal(producer.epoch, 1);
    assert_int_equal(end(&old, true, 5), 90);
    assert_int_equal(look(0, 1).stable, 6);
    assert_int_equal(look(0, 1).aborted, 1);
    assert_int_equal(look(1, 1).stable, 2);
}

/* The first generation stays at the last epoch, and gets another id when it asks for a next one. */
static void another_id_instead_of_another_epoch(void **state) {
    (void)state;
    struct producer producer = begin_at_the_last_epoch(), next, again, plain;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(add_partition(&producer, 0), 0);
        assert_int_equal(produce(&producer, 0, 1, 11), 0);
        assert_int_equal(end(&producer, true, 4), 0);
    }
    assert_int_equal(begin_as(&next, producer.id, producer.epoch, 60000), 0);
    assert_true(next.id != producer.id && next.epoch == 0);
    assert_int_equal(begin_as(&again, producer.id, producer.epoch, 60000), 0); /* the answer was lost */
    assert_true(again.id == next.id && again.epoch == 1);
    assert_int_equal(add_partition(&producer, 0), 90);
    assert_int_equal(begin_as(&producer, producer.id, producer.epoch, 60000), 90);
    assert_int_equal(add_partition(&again, 0), 0);
    assert_int_equal(produce(&again, 0, 1, 11), 0);
    assert_int_equal(end(&again, true, 4), 0);
    assert_int_equal(look(0, 1).stable, 6);
    /* Without a transactional id it is another one at any epoch. */
    for (int16_t epoch = TXN_EPOCH_MAX - 1; epoch <= TXN_EPOCH_MAX; epoch++) {
        assert_int_equal(begin_plain(&plain, next.id, epoch), 0);
        assert_true(plain.id > next.id && plain.epoch == 0);
    }
}

static void time_ends_a_transaction(void **state) {
    (void)state;
    struct producer producer;
    assert_int_equal(begin_as(&producer, -1, -1, 3000), 0);
    assert_int_equal(produce(&producer, 1, 4, 12), 0);
    kafka_world_run(&world, 2500);
    assert_int_equal(look(1, 1).stable, 0);
    kafka_world_run(&world, 1000);
    assert_int_equal(look(1, 1).stable, 5);
    assert_int_equal(look(1, 1).aborted, 1);
    assert_int_equal(end(&producer, true, 5), 90);
}

/* ---- offsets ------------------------------------------------------------------------------------------- */

static int16_t commit_offset(const struct producer *producer, int64_t offset, int16_t version) {
    struct kafka_txn_offset_commit_request_partition part = {.committed_offset = offset,
                                                             .committed_leader_epoch = -1};
    struct kafka_txn_offset_commit_request_topic topic = {SLICE_LITERAL("t"), &part, 1};
    struct kafka_txn_offset_commit_request request;
    kafka_message_init(&kafka_schema_txn_offset_commit_request, &request);
    request.transactional_id = TX;
    request.group_id = SLICE_LITERAL("g");
    request.producer_id = producer->id;
    request.producer_epoch = producer->epoch;
    request.topics = &topic;
    request.topics_count = 1;
    const struct kafka_txn_offset_commit_response *response = kafka_world_call(
        &world, KAFKA_TXN_OFFSET_COMMIT, version, &request);
    return response->topics[0].partitions[0].error_code;
}

static int64_t committed(int16_t *code) {
    int32_t partition = 0;
    struct kafka_offset_fetch_request_topic topic = {SLICE_LITERAL("t"), {{0}}, &partition, 1};
    struct kafka_offset_fetch_request request = {
        .group_id = SLICE_LITERAL("g"), .topics = &topic, .topics_count = 1, .require_stable = true};
    const struct kafka_offset_fetch_response *response = kafka_world_call(&world, KAFKA_OFFSET_FETCH, 7,
                                                                          &request);
    *code = response->topics[0].partitions[0].error_code;
    return response->topics[0].partitions[0].committed_offset;
}

static void offsets_are_committed_with_it(void **state) {
    (void)state;
    int16_t code;
    struct producer producer = begin();
    assert_int_equal(commit_offset(&producer, 7, 0), 48); /* the group is not part of it */
    struct kafka_add_offsets_to_txn_request add = {TX, producer.id, producer.epoch, SLICE_LITERAL("g")};
    const struct kafka_add_offsets_to_txn_response *added = kafka_world_call(&world, KAFKA_ADD_OFFSETS_TO_TXN,
                                                                             3, &add);
    assert_int_equal(added->error_code, 0);
    assert_int_equal(commit_offset(&producer, 7, 0), 0);
    assert_int_equal(committed(&code), -1);
    assert_int_equal(code, 88); /* UNSTABLE_OFFSET_COMMIT */
    assert_int_equal(end(&producer, true, 3), 0);
    assert_int_equal(committed(&code), 7);
    assert_int_equal(code, 0);
    assert_int_equal(commit_offset(&producer, 9, 5), 0); /* adds the group by itself */
    assert_int_equal(end(&producer, false, 3), 0);
    assert_int_equal(committed(&code), 7);
    assert_int_equal(code, 0);
    struct producer zombie = {producer.id, (int16_t)(producer.epoch - 1), 0};
    assert_int_equal(commit_offset(&zombie, 99, 5), 47);
}

static void transactions_are_listed(void **state) {
    (void)state;
    struct producer producer = begin();
    assert_int_equal(produce(&producer, 1, 1, 12), 0);
    struct slice names[] = {TX, SLICE_LITERAL("other"), TX};
    struct kafka_describe_transactions_request request = {names, 3};
    const struct kafka_describe_transactions_response *described = kafka_world_call(
        &world, KAFKA_DESCRIBE_TRANSACTIONS, 0, &request);
    assert_int_equal(described->transaction_states_count, 2);
    assert_slice_equal(described->transaction_states[0].transaction_state, SLICE_LITERAL("Ongoing"));
    assert_int_equal(described->transaction_states[0].topics[0].partitions[0], 1);
    assert_int_equal(described->transaction_states[1].error_code, 105);
    struct slice wanted = SLICE_LITERAL("Ongoing");
    struct kafka_list_transactions_request list;
    kafka_message_init(&kafka_schema_list_transactions_request, &list);
    list.state_filters = &wanted;
    list.state_filters_count = 1;
    const struct kafka_list_transactions_response *listed = kafka_world_call(&world, KAFKA_LIST_TRANSACTIONS,
                                                                             1, &list);
    assert_int_equal(listed->transaction_states_count, 1);
    assert_int_equal(listed->transaction_states[0].producer_id, producer.id);
    int64_t ids[] = {producer.id + 9, producer.id, INT64_MAX, -1, producer.id};
    for (int32_t count = 1; count <= 5; count++) {
        list.producer_id_filters = ids;
        list.producer_id_filters_count = count;
        listed = kafka_world_call(&world, KAFKA_LIST_TRANSACTIONS, 1, &list);
        assert_int_equal(listed->transaction_states_count, count == 1 ? 0 : 1);
    }
    list.producer_id_filters_count = 0;
    static const struct {
        const char *pattern;
        int32_t listed;
        int16_t code;
    } patterns[] = {{"tx", 1, 0}, {"t.*", 1, 0}, {"", 1, 0}, {"t", 0, 0}, {"x+", 0, 0}, {"t(", 0, 128}};
    for (size_t i = 0; i < ARRAY_COUNT(patterns); i++) { /* KIP-1152 */
        list.transactional_id_pattern = slice_from_text(patterns[i].pattern);
        listed = kafka_world_call(&world, KAFKA_LIST_TRANSACTIONS, 2, &list);
        assert_int_equal(listed->transaction_states_count, patterns[i].listed);
        assert_int_equal(listed->error_code, patterns[i].code);
    }
    struct slice states[] = {SLICE_LITERAL("Ongoing"), SLICE_LITERAL("Asleep")};
    list.state_filters = states;
    list.state_filters_count = 2;
    list.transactional_id_pattern = SLICE_EMPTY;
    listed = kafka_world_call(&world, KAFKA_LIST_TRANSACTIONS, 2, &list);
    assert_int_equal(listed->transaction_states_count, 1);
    assert_int_equal(listed->unknown_state_filters_count, 1);
    assert_slice_equal(listed->unknown_state_filters[0], SLICE_LITERAL("Asleep"));
    assert_int_equal(end(&producer, true, 5), 0);
    listed = kafka_world_call(&world, KAFKA_LIST_TRANSACTIONS, 1, &list);
    assert_int_equal(listed->transaction_states_count, 0);
}

/* What tools look for when a transaction hangs: who has one open, and where it began. */
static void producers_are_described(void **state) {
    (void)state;
    struct producer producer = begin();
    assert_int_equal(produce(&producer, 1, 3, 12), 0);
    int32_t partitions[] = {1, 0, 7};
    struct kafka_describe_producers_request_topic topics[] = {{SLICE_LITERAL("t"), partitions, 2},
                                                              {SLICE_LITERAL("none"), partitions + 2, 1}};
    struct kafka_describe_producers_request request = {topics, 2};
    for (int round = 0; round < 2; round++) {
        const struct kafka_describe_producers_response *response = kafka_world_call(
            &world, KAFKA_DESCRIBE_PRODUCERS, 0, &request);
        assert_int_equal(response->topics_count, 2);
        const struct kafka_describe_producers_response_partition *partition =
            &response->topics[0].partitions[0];
        assert_int_equal(partition->partition_index, 1);
        assert_int_equal(partition->error_code, 0);
        assert_int_equal(partition->active_producers_count, 1);
        assert_int_equal(partition->active_producers[0].producer_id, producer.id);
        assert_int_equal(partition->active_producers[0].current_txn_start_offset, round == 0 ? 0 : -1);
        assert_int_equal(partition->active_producers[0].last_sequence, round == 0 ? 2 : -1);
        assert_int_equal(response->topics[0].partitions[1].active_producers_count, 0);
        assert_int_equal(response->topics[1].partitions[0].error_code, 3);
        if (round == 0) assert_int_equal(end(&producer, false, 5), 0);
    }
}

static struct uuid topic_id(void) {
    const struct broker_topic *topic = broker_topic_find(world.broker, SLICE_LITERAL("t"));
    assert_non_null(topic);
    return topic->id;
}

static int16_t commit_by_id(struct uuid id, int64_t offset) {
    struct kafka_offset_commit_request_partition partition;
    kafka_message_init(&kafka_schema_offset_commit_request_partition, &partition);
    partition.committed_offset = offset;
    struct kafka_offset_commit_request_topic topic = {
        .topic_id = id, .partitions = &partition, .partitions_count = 1};
    struct kafka_offset_commit_request request;
    kafka_message_init(&kafka_schema_offset_commit_request, &request);
    request.group_id = SLICE_LITERAL("by-id");
    request.topics = &topic;
    request.topics_count = 1;
    const struct kafka_offset_commit_response *response = kafka_world_call(&world, KAFKA_OFFSET_COMMIT, 10,
                                                                           &request);
    assert_true(uuid_equal(response->topics[0].topic_id, id));
    return response->topics[0].partitions[0].error_code;
}

/* `asked` false: all that is committed. */
static const struct kafka_offset_fetch_response_topic *fetch_by_id(struct uuid id, bool asked) {
    int32_t partition = 0;
    struct kafka_offset_fetch_request_topic topic = {
        .topic_id = id, .partition_indexes = &partition, .partition_indexes_count = 1};
    struct kafka_offset_fetch_request_group group;
    struct kafka_offset_fetch_request request;
    kafka_message_init(&kafka_schema_offset_fetch_request_group, &group);
    kafka_message_init(&kafka_schema_offset_fetch_request, &request);
    group.group_id = SLICE_LITERAL("by-id");
    group.topics = &topic;
    group.topics_count = asked ? 1 : -1;
    request.groups = &group;
    request.groups_count = 1;
    const struct kafka_offset_fetch_response *response = kafka_world_call(&world, KAFKA_OFFSET_FETCH, 10,
                                                                          &request);
    assert_int_equal(response->groups[0].topics_count, 1);
    return &response->groups[0].topics[0];
}

/* A commit that carries the id of another topic, perhaps of one that had the name before, is refused. */
static void offsets_go_by_topic_id(void **state) {
    (void)state;
    struct uuid id = topic_id(), other = id;
    other.bytes[3] ^= 1;
    assert_int_equal(commit_by_id(other, 5), 100);
    assert_int_equal(commit_by_id(id, 7), 0);
    for (int asked = 0; asked < 2; asked++) {
        const struct kafka_offset_fetch_response_topic *topic = fetch_by_id(id, asked == 1);
        assert_true(uuid_equal(topic->topic_id, id));
        assert_int_equal(topic->partitions[0].committed_offset, 7);
        assert_int_equal(topic->partitions[0].error_code, 0);
    }
    const struct kafka_offset_fetch_response_topic *topic = fetch_by_id(other, true);
    assert_int_equal(topic->partitions[0].error_code, 100);
    assert_int_equal(topic->partitions[0].committed_offset, -1);
}

/* ---- a tool aborts what hangs ----------------------------------------------------------------------------
 */

static int16_t write_marker(const struct producer *producer, int32_t partition, bool commit, int16_t version,
                            int8_t transaction_version) {
    struct kafka_write_txn_markers_request_topic topic = {SLICE_LITERAL("t"), &partition, 1};
    struct kafka_write_txn_markers_request_marker marker = {.producer_id = producer->id,
                                                            .producer_epoch = producer->epoch,
                                                            .transaction_result = commit,
                                                            .topics = &topic,
                                                            .topics_count = 1,
                                                            .transaction_version = transaction_version};
    struct kafka_write_txn_markers_request request = {&marker, 1};
    const struct kafka_write_txn_markers_response *response = kafka_world_call(
        &world, KAFKA_WRITE_TXN_MARKERS, version, &request);
    assert_int_equal(response->markers[0].producer_id, producer->id);
    assert_slice_equal(response->markers[0].topics[0].name, SLICE_LITERAL("t"));
    return response->markers[0].topics[0].partitions[0].error_code;
}

static void markers_of_liars_are_refused(void **state) {
    (void)state;
    struct producer producer = begin();
    assert_int_equal(produce(&producer, 0, 2, 12), 0);
    struct producer stranger = {producer.id + 1000, 0, 0};
    struct producer before = {producer.id, (int16_t)(producer.epoch - 1), 0};
    struct producer next = {producer.id, (int16_t)(producer.epoch + 1), 0};
    struct producer far = {producer.id, INT16_MAX, 0};
    const struct {
        const struct producer *who;
        int32_t partition;
        bool commit;
        int8_t transaction_version;
        int16_t code;
    } cases[] = {
        {&producer, 0, true, 0, 31}, /* only coordinators commit */
        {&producer, 9, false, 0, 3},  {&producer, -1, false, 0, 3}, {&before, 0, false, 0, 47},
        {&next, 0, false, 0, 47},     {&far, 0, false, 0, 47},      {&far, 0, false, 2, 47},
        {&producer, 0, false, 2, 47}, /* the second version's bring the next epoch */
        {&stranger, 0, false, 0, 0},  {&producer, 1, false, 0, 0}, /* nothing is open: nothing is written */
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        for (int16_t version = 1; version <= 2; version++) {
            if (cases[i].transaction_version != 0 && version < 2) continue;
            int16_t code = write_marker(cases[i].who, cases[i].partition, cases[i].commit, version,
                                        cases[i].transaction_version);
            if (code != cases[i].code) fail_msg("case %zu v%d: %d", i, version, code);
        }
    assert_int_equal(look(0, 0).high_watermark, 2);
    assert_int_equal(look(0, 1).stable, 0);
    assert_int_equal(look(1, 0).high_watermark, 0);
    assert_int_equal(end(&producer, true, 5), 0);
    assert_int_equal(look(0, 1).aborted, 0);
}

/* Readers go on; what the producer adds to the same transaction, and its next one, end as ever. */
static void an_operator_aborts_in_one_partition(void **state) {
    (void)state;
    for (int version = 0; version <= 2; version += 2) {
        struct producer producer = begin();
        int64_t first = look(0, 0).high_watermark;
        assert_int_equal(produce(&producer, 0, 2, 12), 0);
        assert_int_equal(look(0, 1).stable, first);
        struct producer marked = producer;
        if (version == 2) marked.epoch++;
        assert_int_equal(write_marker(&marked, 0, false, 2, (int8_t)version), 0);
        struct seen seen = look(0, 1);
        assert_int_equal(seen.stable, first + 3);
        assert_int_equal(seen.high_watermark, first + 3);
        assert_true(seen.aborted >= 1);
        assert_int_equal(write_marker(&marked, 0, false, 1, 0), 0); /* again: nothing is open any more */
        assert_int_equal(look(0, 0).high_watermark, first + 3);
        if (version == 0) {
            assert_int_equal(produce(&producer, 0, 1, 12), 0); /* the coordinator knows nothing of it */
            assert_int_equal(look(0, 1).stable, first + 3);
        } else {
            assert_int_equal(produce(&producer, 0, 1, 12), 47); /* the marker moved the epoch */
        }
        assert_int_equal(end(&producer, true, 5), 0);
        seen = look(0, 1);
        assert_int_equal(seen.stable, seen.high_watermark); /* nothing hangs */
        struct producer later = begin();
        assert_int_equal(produce(&later, 0, 1, 12), 0);
        assert_int_equal(end(&later, true, 5), 0);
        seen = look(0, 1);
        assert_int_equal(seen.stable, seen.high_watermark);
    }
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, kafka_world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_WORLD(committed_and_aborted),
        IN_WORLD(batches_follow_each_other_into_a_transaction),
        IN_WORLD(a_late_batch_is_refused),
        IN_WORLD(every_end_moves_the_epoch),
        IN_WORLD(a_new_producer_fences_the_old_one),
        IN_WORLD(an_epoch_of_its_own),
        IN_WORLD(an_end_goes_on_under_another_id),
        IN_WORLD(another_id_instead_of_another_epoch),
        IN_WORLD(time_ends_a_transaction),
        IN_WORLD(offsets_are_committed_with_it),
        IN_WORLD(transactions_are_listed),
        IN_WORLD(producers_are_described),
        IN_WORLD(offsets_go_by_topic_id),
        IN_WORLD(markers_of_liars_are_refused),
        IN_WORLD(an_operator_aborts_in_one_partition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
