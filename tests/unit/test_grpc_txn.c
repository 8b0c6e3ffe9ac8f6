// SPDX-License-Identifier: Apache-2.0
/* Transactions over gRPC: what readers of committed records see, who is fenced, what an operator may do. */
#include "lib/test.h"

#include "broker/coordinator.h"
#include "lib/grpc_world.h"
#include "lib/txn_epochs.h"
#include "sentinel/v1/consumer_service.pb-c.h"
#include "sentinel/v1/group_service.pb-c.h"
#include "sentinel/v1/producer_service.pb-c.h"
#include "sentinel/v1/topic_service.pb-c.h"
#include "sentinel/v1/transaction_service.pb-c.h"
#include "server/grpc_call.h"
#include "wire/record_batch.h"

#define SERVICE    "/sentinel.v1.TransactionService/"
#define PRODUCE    "/sentinel.v1.ProducerService/Produce"
#define STREAM     "/sentinel.v1.ProducerService/ProduceStream"
#define PARTITIONS 3
#define TEXT(text) ((char *)(uintptr_t)(text))

static struct grpc_world world;

static int open_world(void **state) {
    grpc_world_open(&world, 7);
    grpc_world_topic(&world, "t", PARTITIONS);
    *state = &world;
    return 0;
}

/* A worker: its id and the identity that it was given last. */
struct worker {
    const char *id;
    Sentinel__V1__ProducerIdentity identity;
};

static struct grpc_world_call *call_begin(const struct worker *worker, int32_t timeout_ms, bool claims) {
    Sentinel__V1__BeginTransactionRequest request = SENTINEL__V1__BEGIN_TRANSACTION_REQUEST__INIT;
    Sentinel__V1__ProducerIdentity identity = worker->identity;
    request.transactional_id = TEXT(worker->id);
    request.timeout_ms = timeout_ms;
    if (claims) request.producer = &identity;
    return grpc_world_unary(&world, SERVICE "BeginTransaction", &request.base);
}

/* Of any of the answers: the identity is their first field. */
static void take_identity(struct worker *worker, const struct grpc_world_call *call) {
    if (call->grpc_status != 0) print_message("%.*s\n", (int)call->message.size, (char *)call->message.data);
    assert_int_equal(call->grpc_status, 0);
    Sentinel__V1__BeginTransactionResponse *response = sentinel__v1__begin_transaction_response__unpack(
        NULL, call->messages[0].size, call->messages[0].data);
    assert_non_null(response->producer);
    worker->identity = *response->producer;
    sentinel__v1__begin_transaction_response__free_unpacked(response, NULL);
}

static struct worker begin(const char *id) {
    struct worker worker = {id, SENTINEL__V1__PRODUCER_IDENTITY__INIT};
    take_identity(&worker, call_begin(&worker, 0, false));
    return worker;
}

static Sentinel__V1__Record record_of(const char *key, const char *value) {
    Sentinel__V1__Record record = SENTINEL__V1__RECORD__INIT;
    if (key != NULL) {
        record.key_presence_case = SENTINEL__V1__RECORD__KEY_PRESENCE_KEY;
        record.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)TEXT(key)};
    }
    record.value_presence_case = SENTINEL__V1__RECORD__VALUE_PRESENCE_VALUE;
    record.value = (ProtobufCBinaryData){strlen(value), (uint8_t *)TEXT(value)};
    return record;
}

/* partition -1: where the key points. */
static struct grpc_world_call *produce(struct worker *worker, int partition, int32_t sequence,
                                       const char *key, const char *value) {
    Sentinel__V1__Record record = record_of(key, value), *records[] = {&record};
    Sentinel__V1__ProduceRequest request = SENTINEL__V1__PRODUCE_REQUEST__INIT;
    request.topic = TEXT("t");
    request.transactional_id = TEXT(worker->id);
    request.producer = &worker->identity;
    request.base_sequence = sequence;
    request.n_records = 1;
    request.records = records;
    if (partition >= 0) {
        request.partition_presence_case = SENTINEL__V1__PRODUCE_REQUEST__PARTITION_PRESENCE_PARTITION;
        request.partition = partition;
    }
    return grpc_world_unary(&world, PRODUCE, &request.base);
}

static void produced(struct worker *worker, int partition, const char *value) {
    assert_int_equal(produce(worker, partition, -1, NULL, value)->grpc_status, 0);
}

static struct grpc_world_call *call_end(struct worker *worker, bool commit, bool forced) {
    Sentinel__V1__CommitTransactionRequest committing = SENTINEL__V1__COMMIT_TRANSACTION_REQUEST__INIT;
    Sentinel__V1__AbortTransactionRequest aborting = SENTINEL__V1__ABORT_TRANSACTION_REQUEST__INIT;
    committing.transactional_id = aborting.transactional_id = TEXT(worker->id);
    committing.producer = &worker->identity;
    if (!forced) aborting.producer = &worker->identity;
    return commit ? grpc_world_unary(&world, SERVICE "CommitTransaction", &committing.base)
                  : grpc_world_unary(&world, SERVICE "AbortTransaction", &aborting.base);
}

static void end(struct worker *worker, bool commit) {
    take_identity(worker, call_end(worker, commit, false));
}

/* The values of committed records of a partition, each followed by a comma. */
static void expect(int partition, const char *values) {
    Sentinel__V1__FetchPartition from = SENTINEL__V1__FETCH_PARTITION__INIT, *list[] = {&from};
    from.topic = TEXT("t");
    from.partition = partition;
    Sentinel__V1__FetchRequest request = SENTINEL__V1__FETCH_REQUEST__INIT;
    request.isolation = SENTINEL__V1__ISOLATION__ISOLATION_READ_COMMITTED;
    request.n_partitions = 1;
    request.partitions = list;
    struct grpc_world_call *call = grpc_world_unary(&world, "/sentinel.v1.ConsumerService/Fetch",
                                                    &request.base);
    Sentinel__V1__FetchResponse *response = sentinel__v1__fetch_response__unpack(NULL, call->messages[0].size,
                                                                                 call->messages[0].data);
    assert_null(response->partitions[0]->error);
    struct writer have;
    writer_init(&have);
    for (size_t i = 0; i < response->partitions[0]->n_records; i++) {
        ProtobufCBinaryData value = response->partitions[0]->records[i]->value;
        writer_bytes(&have, slice_make(value.data, value.len));
        writer_u8(&have, ',');
    }
    writer_u8(&have, 0);
    assert_string_equal((const char *)have.data, values);
    writer_release(&have);
    sentinel__v1__fetch_response__free_unpacked(response, NULL);
}

/* ---- records ------------------------------------------------------------------------------------------- */

static void committed_together_or_never(void **state) {
    (void)state;
    struct worker worker = begin("w");
    produced(&worker, 0, "a");
    produced(&worker, 1, "b");
    expect(0, "");
    end(&worker, true);
    expect(0, "a,");
    expect(1, "b,");
    /* The next one begins with its first append. */
    produced(&worker, 0, "dropped");
    end(&worker, false);
    produced(&worker, 0, "c");
    end(&worker, true);
    expect(0, "a,c,");
}

static void keys_choose_partitions(void **state) {
    (void)state;
    struct worker worker = begin("w");
    struct grpc_world_call *call = produce(&worker, -1, 0, "key", "one");
    assert_int_equal(call->grpc_status, 0);
    assert_int_equal(produce(&worker, -1, 0, "key", "two")->grpc_status, 0); /* not a retry: not counted */
    Sentinel__V1__ProduceResponse *response = sentinel__v1__produce_response__unpack(
        NULL, call->messages[0].size, call->messages[0].data);
    int32_t partition = response->results[0]->partition;
    sentinel__v1__produce_response__free_unpacked(response, NULL);
    end(&worker, true);
    expect(partition, "one,two,");
}

static void counted_retries_are_written_once(void **state) {
    (void)state;
    struct worker worker = begin("w");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(produce(&worker, 0, 0, NULL, "zero")->grpc_status, 0);
        assert_int_equal(produce(&worker, 0, 1, NULL, "one")->grpc_status, 0);
    }
    grpc_world_expect_error(produce(&worker, 0, 3, NULL, "three"), 9, "OUT_OF_ORDER_SEQUENCE", "");
    produced(&worker, 0, "free"); /* after it counting begins again */
    assert_int_equal(produce(&worker, 0, 0, NULL, "again")->grpc_status, 0);
    end(&worker, true);
    expect(0, "zero,one,free,again,");
}

static void one_stream_for_many_transactions(void **state) {
    (void)state;
    struct worker worker = begin("w");
    struct grpc_world_call *call = grpc_world_call(&world.client, STREAM, NULL);
    Sentinel__V1__ProduceStreamOpen open = SENTINEL__V1__PRODUCE_STREAM_OPEN__INIT;
    open.topic = TEXT("t");
    open.transactional_id = TEXT("w");
    Sentinel__V1__ProduceStreamRequest request = SENTINEL__V1__PRODUCE_STREAM_REQUEST__INIT;
    request.message_case = SENTINEL__V1__PRODUCE_STREAM_REQUEST__MESSAGE_OPEN;
    request.open = &open;
    grpc_world_send(call, &request.base);
    const char *values[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 4; i++) {
        Sentinel__V1__Record record = record_of(NULL, values[i]), *records[] = {&record};
        Sentinel__V1__ProduceStreamBatch batch = SENTINEL__V1__PRODUCE_STREAM_BATCH__INIT;
        batch.sequence = i;
        batch.partition_presence_case = SENTINEL__V1__PRODUCE_STREAM_BATCH__PARTITION_PRESENCE_PARTITION;
        batch.base_sequence = -1;
        batch.n_records = 1;
        batch.records = records;
        if (i % 2 == 0) batch.producer = &worker.identity; /* the second goes on with it */
        request.message_case = SENTINEL__V1__PRODUCE_STREAM_REQUEST__MESSAGE_BATCH;
        request.batch = &batch;
        grpc_world_send(call, &request.base);
        grpc_world_run(&world, 100);
        assert_int_equal(call->message_count, i + 2);
        if (i % 2 == 1) end(&worker, i == 3);
    }
    grpc_world_finish(call);
    grpc_world_await(&world, call);
    assert_int_equal(call->grpc_status, 0);
    expect(0, "c,d,");
}

static void batches_say_it_themselves(void **state) {
    (void)state;
    struct worker worker = begin("w");
    for (int transactional = 1; transactional >= 0; transactional--) {
        struct record_batch_builder builder;
        record_batch_begin(&builder);
        builder.transactional = transactional == 1;
        record_batch_add(&builder, 1000, SLICE_EMPTY, SLICE_LITERAL("batch"), NULL, 0);
        const struct record_batch_producer producer = {worker.identity.producer_id,
                                                       (int16_t)worker.identity.producer_epoch, 0};
        struct buffer *bytes = record_batch_finish(&builder, CODEC_NONE, &producer);
        record_batch_builder_release(&builder);
        Sentinel__V1__ProduceRequest request = SENTINEL__V1__PRODUCE_REQUEST__INIT;
        request.topic = TEXT("t");
        request.transactional_id = TEXT("w");
        request.partition_presence_case = SENTINEL__V1__PRODUCE_REQUEST__PARTITION_PRESENCE_PARTITION;
        request.record_batch = (ProtobufCBinaryData){bytes->size, bytes->data};
        struct grpc_world_call *call = grpc_world_unary(&world, PRODUCE, &request.base);
        if (transactional == 1)
            assert_int_equal(call->grpc_status, 0);
        else
            grpc_world_expect_error(call, GRPC_INVALID_ARGUMENT, "INVALID", "record_batch");
        buffer_unref(bytes);
    }
    expect(0, "");
    end(&worker, true);
    expect(0, "batch,");
}

static void wrong_appends(void **state) {
    (void)state;
    struct worker worker = begin("w"), stranger = {"stranger", worker.identity};
    grpc_world_expect_error(produce(&worker, 0, -2, NULL, "x"), GRPC_INVALID_ARGUMENT, "INVALID",
                            "base_sequence");
    grpc_world_expect_error(produce(&stranger, 0, 0, NULL, "x"), 9, "INVALID_PRODUCER_ID_MAPPING", "");
    Sentinel__V1__Record record = record_of(NULL, "x"), *records[] = {&record};
    Sentinel__V1__ProduceRequest request = SENTINEL__V1__PRODUCE_REQUEST__INIT;
    request.topic = TEXT("t");
    request.transactional_id = TEXT("w");
    request.n_records = 1;
    request.records = records;
    grpc_world_expect_error(grpc_world_unary(&world, PRODUCE, &request.base), GRPC_INVALID_ARGUMENT,
                            "INVALID", "producer");
    request.producer = &worker.identity;
    request.acks = SENTINEL__V1__ACKS__ACKS_NONE;
    grpc_world_expect_error(grpc_world_unary(&world, PRODUCE, &request.base), GRPC_INVALID_ARGUMENT,
                            "INVALID", "acks");
    char long_id[251];
    memset(long_id, 'i', 250);
    long_id[250] = 0;
    request.acks = 0;
    request.transactional_id = long_id;
    grpc_world_expect_error(grpc_world_unary(&world, PRODUCE, &request.base), GRPC_INVALID_ARGUMENT,
                            "INVALID", "transactional_id");
    /* Not counted is for transactions only. */
    request.transactional_id = TEXT("");
    request.partition_presence_case = SENTINEL__V1__PRODUCE_REQUEST__PARTITION_PRESENCE_PARTITION;
    request.base_sequence = -1;
    grpc_world_expect_error(grpc_world_unary(&world, PRODUCE, &request.base), GRPC_INVALID_ARGUMENT,
                            "INVALID", "base_sequence");
}

/* ---- who has the id ------------------------------------------------------------------------------------ */

static void the_next_worker_fences_the_one_before(void **state) {
    (void)state;
    struct worker old = begin("w");
    produced(&old, 0, "dropped");
    struct worker new = begin("w"); /* answers when what was left open is aborted */
    assert_int_equal(new.identity.producer_id, old.identity.producer_id);
    assert_true(new.identity.producer_epoch > old.identity.producer_epoch);
    grpc_world_expect_error(produce(&old, 0, -1, NULL, "late"), 10, "PRODUCER_FENCED", "");
    grpc_world_expect_error(call_end(&old, true, false), 10, "PRODUCER_FENCED", "");
    grpc_world_expect_error(call_end(&old, false, false), 10, "PRODUCER_FENCED", "");
    grpc_world_expect_error(call_begin(&old, 0, true), 10, "PRODUCER_FENCED", "");
    produced(&new, 0, "kept");
    end(&new, true);
    expect(0, "kept,");
    take_identity(&new, call_begin(&new, 0, true)); /* its own: nobody has begun since */
    end(&new, true);                                /* of nothing */
}

static void ends_may_be_sent_again(void **state) {
    (void)state;
    struct worker worker = begin("w");
    end(&worker, true); /* nothing was appended */
    produced(&worker, 0, "kept");
    struct worker again = worker;
    end(&worker, true);
    end(&again, true);
    assert_int_equal(again.identity.producer_epoch, worker.identity.producer_epoch);
    struct worker other = worker;
    produced(&worker, 0, "dropped");
    end(&worker, false);
    grpc_world_expect_error(call_end(&other, true, false), 9, "INVALID_TXN_STATE", ""); /* it was aborted */
    end(&other, false);
    expect(0, "kept,");
}

static void time_is_up(void **state) {
    (void)state;
    struct worker worker = {"w", SENTINEL__V1__PRODUCER_IDENTITY__INIT};
    take_identity(&worker, call_begin(&worker, 2000, false));
    produced(&worker, 0, "dropped");
    grpc_world_run(&world, 4000);
    grpc_world_expect_error(call_end(&worker, true, false), 10, "PRODUCER_FENCED", "");
    take_identity(&worker, call_begin(&worker, 2000, true));
    produced(&worker, 0, "kept");
    end(&worker, true);
    expect(0, "kept,");
}

static void an_operator_aborts_one_that_hangs(void **state) {
    (void)state;
    struct worker worker = begin("w"), unknown = {"unknown", SENTINEL__V1__PRODUCER_IDENTITY__INIT};
    grpc_world_expect_error(call_end(&worker, false, true), 9, "INVALID_TXN_STATE", "");
    grpc_world_expect_error(call_end(&unknown, false, true), GRPC_NOT_FOUND, "TXN_NOT_FOUND", "");
    produced(&worker, 0, "dropped");
    struct grpc_world_call *call = call_end(&worker, false, true);
    assert_int_equal(call->grpc_status, 0);
    assert_int_equal(call->messages[0].size, 0); /* no identity for a stranger */
    grpc_world_expect_error(call_end(&worker, true, false), 10, "PRODUCER_FENCED", "");
    expect(0, "");
    /* Never the other way round: what a producer id of -1 names is nobody's. */
    worker.identity.producer_id = -1;
    grpc_world_expect_error(call_end(&worker, true, false), GRPC_INVALID_ARGUMENT, "INVALID", "producer");
    grpc_world_expect_error(call_end(&worker, false, false), GRPC_INVALID_ARGUMENT, "INVALID", "producer");
}

static void run_a_little(void *context) {
    grpc_world_run(context, 1);
}

/* As after many thousand transactions: the worker goes on under another producer id. */
static void epochs_are_used_up(void **state) {
    (void)state;
    struct worker worker = begin("w");
    txn_epochs_use_up(world.broker, "w", (int16_t)worker.identity.producer_epoch, run_a_little, &world);
    worker.identity.producer_epoch = TXN_EPOCH_MAX;
    end(&worker, true); /* of nothing: it keeps its identity */
    assert_int_equal(worker.identity.producer_epoch, TXN_EPOCH_MAX);
    struct worker old = worker, again;
    produced(&worker, 0, "kept");
    end(&worker, true);
    assert_true(worker.identity.producer_id != old.identity.producer_id);
    assert_int_equal(worker.identity.producer_epoch, 0);
    again = old;
    end(&again, true); /* the answer was lost */
    assert_true(again.identity.producer_id == worker.identity.producer_id);
    grpc_world_expect_error(call_end(&old, false, false), 9, "INVALID_TXN_STATE", "");
    produced(&worker, 0, "too");
    end(&worker, true);
    assert_int_equal(worker.identity.producer_epoch, 1);
    grpc_world_expect_error(call_end(&old, true, false), 10, "PRODUCER_FENCED", "");
    expect(0, "kept,too,");
}

static void wrong_calls(void **state) {
    (void)state;
    struct worker worker = {"", SENTINEL__V1__PRODUCER_IDENTITY__INIT};
    grpc_world_expect_error(call_begin(&worker, 0, false), GRPC_INVALID_ARGUMENT, "INVALID",
                            "transactional_id");
    worker.id = "w";
    grpc_world_expect_error(call_begin(&worker, -1, false), GRPC_INVALID_ARGUMENT, "INVALID", "timeout_ms");
    grpc_world_expect_error(call_begin(&worker, INT32_MAX, false), GRPC_INVALID_ARGUMENT,
                            "INVALID_TXN_TIMEOUT", "");
    worker.identity.producer_epoch = 1 << 20;
    grpc_world_expect_error(call_begin(&worker, 0, true), GRPC_INVALID_ARGUMENT, "INVALID", "producer");
    worker.identity.producer_epoch = 0;
    grpc_world_expect_error(call_end(&worker, true, false), 9, "INVALID_PRODUCER_ID_MAPPING", "");
}

/* ---- offsets ------------------------------------------------------------------------------------------- */

static struct grpc_world_call *add_offset(struct worker *worker, const char *group, const char *topic,
                                          int64_t offset, const char *member_id) {
    Sentinel__V1__CommitOffset one = SENTINEL__V1__COMMIT_OFFSET__INIT, *list[] = {&one};
    one.topic = TEXT(topic);
    one.offset = offset;
    Sentinel__V1__AddOffsetsRequest request = SENTINEL__V1__ADD_OFFSETS_REQUEST__INIT;
    request.transactional_id = TEXT(worker->id);
    request.producer = &worker->identity;
    request.group = TEXT(group);
    request.member_id = TEXT(member_id);
    request.n_offsets = 1;
    request.offsets = list;
    return grpc_world_unary(&world, SERVICE "AddOffsets", &request.base);
}

/* -2: there is no such group. */
static int64_t committed_offset(const char *group) {
    Sentinel__V1__GetGroupRequest request = SENTINEL__V1__GET_GROUP_REQUEST__INIT;
    request.name = TEXT(group);
    struct grpc_world_call *call = grpc_world_unary(&world, "/sentinel.v1.GroupService/GetGroup",
                                                    &request.base);
    if (call->grpc_status == GRPC_NOT_FOUND) return -2;
    assert_int_equal(call->grpc_status, 0);
    Sentinel__V1__GetGroupResponse *response = sentinel__v1__get_group_response__unpack(
        NULL, call->messages[0].size, call->messages[0].data);
    int64_t offset = -1;
    if (response->group->n_partitions != 0) offset = response->group->partitions[0]->committed_offset;
    sentinel__v1__get_group_response__free_unpacked(response, NULL);
    return offset;
}

static void offsets_count_when_it_is_committed(void **state) {
    (void)state;
    struct worker worker = begin("w");
    assert_int_equal(add_offset(&worker, "g", "t", 5, "")->grpc_status, 0);
    assert_true(committed_offset("g") < 0);
    end(&worker, true);
    assert_int_equal(committed_offset("g"), 5);
    assert_int_equal(add_offset(&worker, "g", "t", 9, "")->grpc_status, 0);
    end(&worker, false);
    assert_int_equal(committed_offset("g"), 5);

    grpc_world_expect_error(add_offset(&worker, "", "t", 5, ""), GRPC_INVALID_ARGUMENT, "INVALID", "group");
    grpc_world_expect_error(add_offset(&worker, "g", "none", 5, ""), GRPC_NOT_FOUND, "UNKNOWN_TOPIC", "");
    grpc_world_expect_error(add_offset(&worker, "g", "t", -5, ""), GRPC_INVALID_ARGUMENT, "INVALID",
                            "offsets.offset");
    grpc_world_expect_error(add_offset(&worker, "g", "t", 5, "nobody"), 10, "UNKNOWN_MEMBER", "");
    worker.identity.producer_epoch--;
    grpc_world_expect_error(add_offset(&worker, "g", "t", 5, ""), 10, "PRODUCER_FENCED", "");
}

/* Offsets that are about to be committed are waited for: else what they stand for was done twice. */
static void members_wait_for_offsets_that_are_about_to_be_committed(void **state) {
    (void)state;
    for (int commit = 1; commit >= 0; commit--) {
        struct worker worker = begin("w");
        assert_int_equal(add_offset(&worker, "g", "t", commit == 1 ? 5 : 9, "")->grpc_status, 0);
        Sentinel__V1__ConsumeTopic topic = SENTINEL__V1__CONSUME_TOPIC__INIT, *topics[] = {&topic};
        topic.topic = TEXT("t");
        Sentinel__V1__ConsumeStart start = SENTINEL__V1__CONSUME_START__INIT;
        start.n_topics = 1;
        start.topics = topics;
        start.group = TEXT("g");
        Sentinel__V1__ConsumeRequest request = SENTINEL__V1__CONSUME_REQUEST__INIT;
        request.message_case = SENTINEL__V1__CONSUME_REQUEST__MESSAGE_START;
        request.start = &start;
        struct grpc_world_call *call = grpc_world_call(&world.client, "/sentinel.v1.ConsumerService/Consume",
                                                       NULL);
        grpc_world_send(call, &request.base);
        grpc_world_run(&world, 3000);
        size_t before = call->message_count;
        end(&worker, commit == 1);
        grpc_world_run(&world, 3000);
        int64_t position = -1, early = -1;
        for (size_t i = 0; i < call->message_count; i++) {
            Sentinel__V1__ConsumeResponse *response = sentinel__v1__consume_response__unpack(
                NULL, call->messages[i].size, call->messages[i].data);
            if (response->message_case == SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_ASSIGNMENT)
                for (size_t k = 0; k < response->assignment->n_partitions; k++)
                    if (response->assignment->partitions[k]->partition == 0)
                        *(i < before ? &early : &position) = response->assignment->partitions[k]->position;
            sentinel__v1__consume_response__free_unpacked(response, NULL);
        }
        assert_int_equal(early, -1);
        assert_int_equal(position, 5);
        grpc_world_cancel(call);
        grpc_world_run(&world, 1000);
    }
}

/* Where the log ends depends on who reads. */
static void the_end_is_told_to_both_kinds_of_readers(void **state) {
    (void)state;
    struct worker worker = begin("w");
    produced(&worker, 0, "one");
    end(&worker, true);
    produced(&worker, 0, "two");
    produced(&worker, 0, "three");
    for (int committed = 0; committed < 2; committed++) {
        int32_t partition = 0;
        Sentinel__V1__ListOffsetsRequest request = SENTINEL__V1__LIST_OFFSETS_REQUEST__INIT;
        request.name = TEXT("t");
        request.n_partitions = 1;
        request.partitions = &partition;
        if (committed == 1) request.isolation = SENTINEL__V1__ISOLATION__ISOLATION_READ_COMMITTED;
        struct grpc_world_call *call = grpc_world_unary(&world, "/sentinel.v1.TopicService/ListOffsets",
                                                        &request.base);
        Sentinel__V1__ListOffsetsResponse *response = sentinel__v1__list_offsets_response__unpack(
            NULL, call->messages[0].size, call->messages[0].data);
        assert_int_equal(response->offsets[0]->offset, committed == 1 ? 2 : 4); /* a record, a marker */
        sentinel__v1__list_offsets_response__free_unpacked(response, NULL);
    }
}

/* ---- lists --------------------------------------------------------------------------------------------- */

static Sentinel__V1__ListTransactionsResponse *list(Sentinel__V1__ListTransactionsRequest *request) {
    struct grpc_world_call *call = grpc_world_unary(&world, SERVICE "ListTransactions", &request->base);
    assert_int_equal(call->grpc_status, 0);
    return sentinel__v1__list_transactions_response__unpack(NULL, call->messages[0].size,
                                                            call->messages[0].data);
}

static void listed_in_pages(void **state) {
    (void)state;
    static const char *const ids[] = {"c", "a", "e", "b", "d"};
    for (size_t i = 0; i < 5; i++) {
        struct worker worker = begin(ids[i]);
        if (i % 2 == 0) produced(&worker, 0, "open");
    }
    Sentinel__V1__ListTransactionsRequest request = SENTINEL__V1__LIST_TRANSACTIONS_REQUEST__INIT;
    Sentinel__V1__ListTransactionsResponse *pages[3];
    const size_t counts[] = {2, 2, 1};
    char expected = 'a';
    request.page_size = 2;
    for (size_t i = 0; i < 3; i++) {
        pages[i] = list(&request);
        assert_int_equal(pages[i]->n_transactions, counts[i]);
        for (size_t k = 0; k < counts[i]; k++)
            assert_int_equal(pages[i]->transactions[k]->transactional_id[0], expected++);
        request.page_token = pages[i]->next_page_token;
        assert_int_equal(request.page_token[0] == 0, i == 2);
    }
    for (size_t i = 0; i < 3; i++)
        sentinel__v1__list_transactions_response__free_unpacked(pages[i], NULL);

    request = (Sentinel__V1__ListTransactionsRequest)SENTINEL__V1__LIST_TRANSACTIONS_REQUEST__INIT;
    Sentinel__V1__TransactionState wanted = SENTINEL__V1__TRANSACTION_STATE__TRANSACTION_STATE_ONGOING;
    request.n_states = 1;
    request.states = &wanted;
    Sentinel__V1__ListTransactionsResponse *open = list(&request);
    assert_int_equal(open->n_transactions, 3);
    assert_true(open->transactions[0]->start_time_ms > 0);
    sentinel__v1__list_transactions_response__free_unpacked(open, NULL);
    request.open_for_ms = 5000;
    open = list(&request);
    assert_int_equal(open->n_transactions, 0);
    sentinel__v1__list_transactions_response__free_unpacked(open, NULL);
    grpc_world_run(&world, 6000);
    open = list(&request);
    assert_int_equal(open->n_transactions, 3);
    sentinel__v1__list_transactions_response__free_unpacked(open, NULL);

    wanted = 99;
    grpc_world_expect_error(grpc_world_unary(&world, SERVICE "ListTransactions", &request.base),
                            GRPC_INVALID_ARGUMENT, "INVALID", "states");
    request.n_states = 0;
    request.page_token = TEXT("%");
    grpc_world_expect_error(grpc_world_unary(&world, SERVICE "ListTransactions", &request.base),
                            GRPC_INVALID_ARGUMENT, "INVALID", "page_token");
}

static void one_is_shown_with_its_places(void **state) {
    (void)state;
    struct worker worker = begin("w");
    produced(&worker, 2, "x");
    produced(&worker, 0, "x");
    assert_int_equal(add_offset(&worker, "g", "t", 5, "")->grpc_status, 0);
    Sentinel__V1__GetTransactionRequest request = SENTINEL__V1__GET_TRANSACTION_REQUEST__INIT;
    request.transactional_id = TEXT("w");
    struct grpc_world_call *call = grpc_world_unary(&world, SERVICE "GetTransaction", &request.base);
    assert_int_equal(call->grpc_status, 0);
    Sentinel__V1__GetTransactionResponse *response = sentinel__v1__get_transaction_response__unpack(
        NULL, call->messages[0].size, call->messages[0].data);
    const Sentinel__V1__Transaction *txn = response->transaction;
    assert_int_equal(txn->state, SENTINEL__V1__TRANSACTION_STATE__TRANSACTION_STATE_ONGOING);
    assert_int_equal(txn->producer->producer_id, worker.identity.producer_id);
    assert_int_equal(txn->producer->producer_epoch, worker.identity.producer_epoch);
    assert_int_equal(txn->timeout_ms, 60000);
    assert_int_equal(txn->n_partitions, 2);
    assert_int_equal(txn->partitions[0]->partition, 2);
    assert_int_equal(txn->n_groups, 1);
    assert_string_equal(txn->groups[0], "g");
    sentinel__v1__get_transaction_response__free_unpacked(response, NULL);
    request.transactional_id = TEXT("none");
    grpc_world_expect_error(grpc_world_unary(&world, SERVICE "GetTransaction", &request.base), GRPC_NOT_FOUND,
                            "TXN_NOT_FOUND", "");
}

static void clients_that_go_away(void **state) {
    (void)state;
    struct worker worker = begin("w");
    produced(&worker, 0, "x");
    Sentinel__V1__BeginTransactionRequest request = SENTINEL__V1__BEGIN_TRANSACTION_REQUEST__INIT;
    request.transactional_id = TEXT("w");
    for (uint64_t ms = 0; ms < 12; ms++) { /* at each step of it */
        struct grpc_world_call *call = grpc_world_call(&world.client, SERVICE "BeginTransaction", NULL);
        grpc_world_send(call, &request.base);
        grpc_world_finish(call);
        grpc_world_run(&world, ms);
        grpc_world_cancel(call);
    }
    worker = begin("w");
    produced(&worker, 0, "kept");
    end(&worker, true);
    expect(0, "kept,");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(committed_together_or_never, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(keys_choose_partitions, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(counted_retries_are_written_once, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(one_stream_for_many_transactions, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(batches_say_it_themselves, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(wrong_appends, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(the_next_worker_fences_the_one_before, open_world,
                                        grpc_world_teardown),
        cmocka_unit_test_setup_teardown(ends_may_be_sent_again, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(time_is_up, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(an_operator_aborts_one_that_hangs, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(epochs_are_used_up, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(wrong_calls, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(offsets_count_when_it_is_committed, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(members_wait_for_offsets_that_are_about_to_be_committed, open_world,
                                        grpc_world_teardown),
        cmocka_unit_test_setup_teardown(the_end_is_told_to_both_kinds_of_readers, open_world,
                                        grpc_world_teardown),
        cmocka_unit_test_setup_teardown(listed_in_pages, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(one_is_shown_with_its_places, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(clients_that_go_away, open_world, grpc_world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
