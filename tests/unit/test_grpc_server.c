// SPDX-License-Identifier: Apache-2.0
/* The gRPC server as a client sees it: what every call has in common, and the small services. */
#include "lib/test.h"

#include <stdio.h>

#include "broker/partition.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "lib/grpc_world.h"
#include "sentinel/v1/cluster_service.pb-c.h"
#include "sentinel/v1/producer_service.pb-c.h"
#include "sentinel/v1/topic_service.pb-c.h"
#include "server/grpc_call.h"

static struct grpc_world world;

static int open_world(void **state) {
    grpc_world_open(&world, 1);
    *state = &world;
    return 0;
}

/* ---- topics -----------------------------------------------------------------------------------------
 */

static struct grpc_world_call *send_unary(const char *path, const ProtobufCMessage *message) {
    struct grpc_world_call *call = grpc_world_call(&world.client, path, NULL);
    grpc_world_send(call, message);
    grpc_world_finish(call);
    return call;
}

/* What a node knows when it is asked may be old: a change is held against what there is when its turn comes.
 */
static void an_update_comes_behind_what_was_asked_before(void **state) {
    (void)state;
    Sentinel__V1__CreateTopicRequest create = SENTINEL__V1__CREATE_TOPIC_REQUEST__INIT;
    create.name = "updated";
    Sentinel__V1__TopicConfigValue value = SENTINEL__V1__TOPIC_CONFIG_VALUE__INIT, *values = &value;
    value.name = "retention.ms";
    value.value = "1234567";
    Sentinel__V1__UpdateTopicRequest update = SENTINEL__V1__UPDATE_TOPIC_REQUEST__INIT;
    update.name = "updated";
    update.set = &values;
    update.n_set = 1;
    struct grpc_world_call *first = send_unary("/sentinel.v1.TopicService/CreateTopic", &create.base);
    struct grpc_world_call *second = send_unary("/sentinel.v1.TopicService/UpdateTopic", &update.base);
    grpc_world_await(&world, first);
    grpc_world_await(&world, second);
    assert_int_equal(first->grpc_status, 0);
    assert_int_equal(second->grpc_status, 0);
    Sentinel__V1__UpdateTopicResponse *response = sentinel__v1__update_topic_response__unpack(
        NULL, second->messages[0].size, second->messages[0].data);
    assert_non_null(response);
    bool told = false;
    for (size_t i = 0; i < response->topic->n_configs; i++)
        told = told || (strcmp(response->topic->configs[i]->name, "retention.ms") == 0 &&
                        strcmp(response->topic->configs[i]->value, "1234567") == 0);
    assert_true(told);
    sentinel__v1__update_topic_response__free_unpacked(response, NULL);
    update.name = "other";
    grpc_world_expect_error(grpc_world_unary(&world, "/sentinel.v1.TopicService/UpdateTopic", &update.base),
                            GRPC_NOT_FOUND, "UNKNOWN_TOPIC", "");
    value.value = "never"; /* said before anything is known of the topic */
    grpc_world_expect_error(grpc_world_unary(&world, "/sentinel.v1.TopicService/UpdateTopic", &update.base),
                            GRPC_INVALID_ARGUMENT, "INVALID_CONFIG", "set[0]");
}

/* ---- what every call has in common --------------------------------------------------------------------- */

static void expect_http(const char *method, const char *path, const char *type, int status) {
    struct http2_header headers[] = {
        {SLICE_LITERAL(":method"), slice_from_text(method)},
        {SLICE_LITERAL(":scheme"), SLICE_LITERAL("http")},
        {SLICE_LITERAL(":path"), slice_from_text(path)},
        {SLICE_LITERAL(":authority"), SLICE_LITERAL("test")},
        {SLICE_LITERAL("content-type"), slice_from_text(type)},
    };
    struct grpc_world_call *call = grpc_world_call_headers(&world.client, headers, 5);
    grpc_world_await(&world, call);
    assert_int_equal(call->http_status, status);
    assert_int_equal(call->message_count, 0);
}
static void test_not_grpc(void **state) {
    (void)state;
    expect_http("GET", "/", "application/grpc", 405);
    expect_http("POST", "/sentinel.v1.TopicService/ListTopics", "application/json", 415);
    expect_http("POST", "/sentinel.v1.TopicService/ListTopics", "", 415);
}

static void test_unknown_path(void **state) {
    (void)state;
    struct grpc_world_call *call = grpc_world_call(&world.client, "/sentinel.v1.TopicService/No\"pe", NULL);
    grpc_world_await(&world, call);
    assert_int_equal(call->http_status, 200);
    grpc_world_expect_error(call, GRPC_UNIMPLEMENTED, "UNKNOWN_METHOD", "");
}

static void test_unknown_encoding(void **state) {
    (void)state;
    struct http2_header headers[] = {
        {SLICE_LITERAL(":method"), SLICE_LITERAL("POST")},
        {SLICE_LITERAL(":scheme"), SLICE_LITERAL("http")},
        {SLICE_LITERAL(":path"), SLICE_LITERAL("/sentinel.v1.TopicService/ListTopics")},
        {SLICE_LITERAL(":authority"), SLICE_LITERAL("test")},
        {SLICE_LITERAL("content-type"), SLICE_LITERAL("application/grpc")},
        {SLICE_LITERAL("grpc-encoding"), SLICE_LITERAL("br")},
    };
    struct grpc_world_call *call = grpc_world_call_headers(&world.client, headers, 6);
    grpc_world_await(&world, call);
    assert_int_equal(call->grpc_status, GRPC_UNIMPLEMENTED);
    writer_u8(&call->headers, 0);
    assert_non_null(strstr((char *)call->headers.data, "grpc-accept-encoding=identity,gzip\n"));
}

static void test_gzip_both_ways(void **state) {
    (void)state;
    struct http2_header headers[] = {
        {SLICE_LITERAL(":method"), SLICE_LITERAL("POST")},
        {SLICE_LITERAL(":scheme"), SLICE_LITERAL("http")},
        {SLICE_LITERAL(":path"), SLICE_LITERAL("/sentinel.v1.TopicService/CreateTopic")},
        {SLICE_LITERAL(":authority"), SLICE_LITERAL("test")},
        {SLICE_LITERAL("content-type"), SLICE_LITERAL("application/grpc")},
        {SLICE_LITERAL("grpc-encoding"), SLICE_LITERAL("gzip")},
    };
    struct grpc_world_call *call = grpc_world_call_headers(&world.client, headers, 6);
    call->encoding = GRPC_GZIP;
    Sentinel__V1__TopicConfigValue value = SENTINEL__V1__TOPIC_CONFIG_VALUE__INIT;
    value.name = (char *)"retention.ms";
    value.value =
        (char *)"0000000000000000000000000000000000000000000000000000000000000000000000000000000000086400";
    Sentinel__V1__TopicConfigValue *values[] = {&value, &value, &value, &value};
    Sentinel__V1__CreateTopicRequest request = SENTINEL__V1__CREATE_TOPIC_REQUEST__INIT;
    request.name = (char *)"zipped";
    request.configs = values;
    request.n_configs = 4;
    grpc_world_send(call, &request.base);
    grpc_world_finish(call);
    grpc_world_await(&world, call);
    assert_int_equal(call->grpc_status, 0);
    Sentinel__V1__CreateTopicResponse *response = sentinel__v1__create_topic_response__unpack(
        NULL, call->messages[0].size, call->messages[0].data);
    assert_non_null(response);
    assert_string_equal(response->topic->name, "zipped");
    assert_true(call->bytes < call->messages[0].size); /* it came compressed */
    sentinel__v1__create_topic_response__free_unpacked(response, NULL);
}

static void test_one_message_exactly(void **state) {
    (void)state;
    struct grpc_world_call *call = grpc_world_call(&world.client, "/sentinel.v1.ClusterService/GetCluster",
                                                   NULL);
    grpc_world_finish(call);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, GRPC_UNIMPLEMENTED, "ONE_MESSAGE_EXPECTED", "");
}

static void test_broken_messages(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        int code;
    } rows[] = {
        {"\0\0\0\0\5abc", 8, 3},      /* ends inside */
        {"\0\0\0", 3, 3},             /* ends inside the frame's header */
        {"\7\0\0\0\0", 5, 3},         /* no such flag */
        {"\1\0\0\0\0", 5, 3},         /* compressed, but no encoding was named */
        {"\0\xff\xff\xff\xff", 5, 8}, /* too large, told before it comes */
        {"\0\0\0\0\2\x0a\x7f", 7, 3}, /* no protocol buffer */
        {"\0\0\0\0\1\x07", 6, 3},     /* no such wire type */
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct grpc_world_call *call = grpc_world_call(&world.client, "/sentinel.v1.TopicService/GetTopic",
                                                       NULL);
        grpc_world_send_raw(call, slice_make(rows[i].bytes, rows[i].size));
        grpc_world_finish(call);
        grpc_world_await(&world, call);
        assert_int_equal(call->grpc_status, rows[i].code);
    }
}

static void a_topic_that_cannot_be_read_is_not_described(void **state) {
    (void)state;
    grpc_world_topic(&world, "broken", 2);
    Sentinel__V1__GetTopicRequest request = SENTINEL__V1__GET_TOPIC_REQUEST__INIT;
    request.name = (char *)(uintptr_t) "broken";
    const char *path = "/sentinel.v1.TopicService/GetTopic";
    assert_int_equal(grpc_world_unary(&world, path, &request.base)->grpc_status, 0);
    struct partition *p = broker_partition(world.broker, SLICE_LITERAL("broken"), 1);
    p->phase = PARTITION_FAILED;
    p->failure = STATUS_CORRUPT;
    p->failed_ns = io_now_ns(world.io);
    assert_int_equal(grpc_world_unary(&world, path, &request.base)->grpc_status, 15);
    grpc_world_run(&world, 2000); /* it is tried again */
    assert_int_equal(grpc_world_unary(&world, path, &request.base)->grpc_status, 0);
}

/* A deadline ends a call that waits, at its time, and one that came too late at once. */
static void test_deadlines(void **state) {
    (void)state;
    uint64_t before = io_sim_now(world.sim);
    struct grpc_world_call *call = grpc_world_call(&world.client, "/sentinel.v1.ConsumerService/Consume",
                                                   "300m");
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, GRPC_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "");
    uint64_t took = io_sim_now(world.sim) - before;
    assert_in_range(took, 300 * NS_PER_MS, 320 * NS_PER_MS);
    call = grpc_world_call(&world.client, "/sentinel.v1.ConsumerService/Consume", "0n");
    grpc_world_await(&world, call);
    assert_int_equal(call->grpc_status, GRPC_DEADLINE_EXCEEDED);
    call = grpc_world_call(&world.client, "/sentinel.v1.ConsumerService/Consume", "1x");
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, GRPC_INVALID_ARGUMENT, "INVALID", "grpc-timeout");
}

static void test_headers_too_large(void **state) {
    (void)state;
    static uint8_t large[9000];
    memset(large, 'x', sizeof large);
    struct http2_header headers[] = {
        {SLICE_LITERAL(":method"), SLICE_LITERAL("POST")},
        {SLICE_LITERAL(":scheme"), SLICE_LITERAL("http")},
        {SLICE_LITERAL(":path"), SLICE_LITERAL("/sentinel.v1.TopicService/ListTopics")},
        {SLICE_LITERAL(":authority"), SLICE_LITERAL("test")},
        {SLICE_LITERAL("a"), slice_make(large, sizeof large)},
        {SLICE_LITERAL("b"), slice_make(large, sizeof large)},
    };
    struct grpc_world_call *call = grpc_world_call_headers(&world.client, headers, 6);
    grpc_world_await(&world, call);
    assert_int_equal(call->http_status, 431);
}

/* A client that vanishes in the middle of everything: every call is given up, the server goes on. */
static void test_lost_connection(void **state) {
    (void)state;
    struct grpc_world_client other;
    grpc_world_connect(&world, &other);
    for (int i = 0; i < 20; i++) {
        struct grpc_world_call *call = grpc_world_call(&other, "/grpc.health.v1.Health/Watch", NULL);
        grpc_world_send_raw(call, slice_make("\0\0\0\0", i % 5));
        if (i % 4 == 3) grpc_world_cancel(call);
    }
    grpc_world_run(&world, 100);
    grpc_world_disconnect(&world, &other);
    Sentinel__V1__GetClusterRequest request = SENTINEL__V1__GET_CLUSTER_REQUEST__INIT;
    assert_int_equal(
        grpc_world_unary(&world, "/sentinel.v1.ClusterService/GetCluster", &request.base)->grpc_status, 0);
}

/* A peer that says nothing is asked, and one that answers nothing is dropped. */
static void test_keepalive(void **state) {
    (void)state;
    grpc_world_run(&world, 200 * 1000);
    assert_false(world.client.closed); /* it answers our pings */
}

/* ---- the small services -------------------------------------------------------------------------------- */

static void test_cluster(void **state) {
    (void)state;
    Sentinel__V1__GetClusterRequest request = SENTINEL__V1__GET_CLUSTER_REQUEST__INIT;
    struct grpc_world_call *call = grpc_world_unary(&world, "/sentinel.v1.ClusterService/GetCluster",
                                                    &request.base);
    Sentinel__V1__GetClusterResponse *cluster = sentinel__v1__get_cluster_response__unpack(
        NULL, call->messages[0].size, call->messages[0].data);
    assert_int_equal(strlen(cluster->cluster_id), 22);
    assert_string_equal(cluster->version, SENTINEL_VERSION);
    sentinel__v1__get_cluster_response__free_unpacked(cluster, NULL);
    Sentinel__V1__ListNodesRequest list = SENTINEL__V1__LIST_NODES_REQUEST__INIT;
    call = grpc_world_unary(&world, "/sentinel.v1.ClusterService/ListNodes", &list.base);
    Sentinel__V1__ListNodesResponse *nodes = sentinel__v1__list_nodes_response__unpack(
        NULL, call->messages[0].size, call->messages[0].data);
    assert_int_equal(nodes->n_nodes, 1);
    assert_int_equal(nodes->nodes[0]->state, SENTINEL__V1__NODE_STATE__NODE_STATE_READY);
    char address[300];
    snprintf(address, sizeof address, "%s:%d", nodes->nodes[0]->host, nodes->nodes[0]->port);
    assert_string_equal(address, world.address.text);
    sentinel__v1__list_nodes_response__free_unpacked(nodes, NULL);
}

static void test_one_node(void **state) {
    (void)state;
    Sentinel__V1__GetNodeRequest request = SENTINEL__V1__GET_NODE_REQUEST__INIT;
    request.node_id = 1;
    struct grpc_world_call *call = grpc_world_unary(&world, "/sentinel.v1.ClusterService/GetNode",
                                                    &request.base);
    Sentinel__V1__GetNodeResponse *response = sentinel__v1__get_node_response__unpack(
        NULL, call->messages[0].size, call->messages[0].data);
    assert_int_equal(response->node->node_id, 1);
    sentinel__v1__get_node_response__free_unpacked(response, NULL);
    request.node_id = 2;
    grpc_world_expect_error(grpc_world_unary(&world, "/sentinel.v1.ClusterService/GetNode", &request.base),
                            GRPC_NOT_FOUND, "NOT_FOUND", "");
}

static void test_watch_cluster(void **state) {
    (void)state;
    Sentinel__V1__WatchClusterRequest request = SENTINEL__V1__WATCH_CLUSTER_REQUEST__INIT;
    request.interval_ms = 99;
    grpc_world_expect_error(
        grpc_world_unary(&world, "/sentinel.v1.ClusterService/WatchCluster", &request.base),
        GRPC_INVALID_ARGUMENT, "INVALID", "interval_ms");
    request.interval_ms = 0;
    struct grpc_world_call *call = grpc_world_call(&world.client, "/sentinel.v1.ClusterService/WatchCluster",
                                                   NULL);
    grpc_world_send(call, &request.base);
    grpc_world_finish(call);
    grpc_world_run(&world, 10000);
    assert_int_equal(call->message_count, 1); /* nothing changes */
    grpc_world_topic(&world, "t", 3);
    grpc_world_run(&world, 2000);
    assert_int_equal(call->message_count, 2);
    Sentinel__V1__WatchClusterResponse *response = sentinel__v1__watch_cluster_response__unpack(
        NULL, call->messages[1].size, call->messages[1].data);
    assert_true(response->cluster->partition_count >= 3);
    assert_int_equal(response->n_nodes, 1);
    sentinel__v1__watch_cluster_response__free_unpacked(response, NULL);
    grpc_world_cancel(call);
}

/* A call that fails without a message is answered with one HEADERS frame: what says that it failed is there
 * at once. */
static void test_trailers_only(void **state) {
    (void)state;
    Sentinel__V1__GetNodeRequest request = SENTINEL__V1__GET_NODE_REQUEST__INIT;
    struct grpc_world_call *call = grpc_world_unary(&world, "/sentinel.v1.ClusterService/GetNode",
                                                    &request.base);
    writer_u8(&call->headers, 0);
    const char *headers = (const char *)call->headers.data;
    const char *status = strstr(headers, ":status=200"),
               *type = strstr(headers, "content-type=application/grpc"),
               *code = strstr(headers, "grpc-status=5"),
               *details = strstr(headers, "grpc-status-details-bin=");
    assert_true(status != NULL && type != NULL && code != NULL && details != NULL);
    assert_null(strstr(status + 1, ":status=")); /* no second block */
    assert_int_equal(call->message_count, 0);
}

static int health_of(const struct grpc_world_call *call, size_t index) {
    Grpc__Health__V1__HealthCheckResponse *response = grpc__health__v1__health_check_response__unpack(
        NULL, call->messages[index].size, call->messages[index].data);
    assert_non_null(response);
    int status = (int)response->status;
    grpc__health__v1__health_check_response__free_unpacked(response, NULL);
    return status;
}

static void test_health(void **state) {
    (void)state;
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    static const char *const names[] = {"", "sentinel.ready", "sentinel.v1.TopicService"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        request.service = (char *)(uintptr_t)names[i];
        struct grpc_world_call *call = grpc_world_unary(&world, "/grpc.health.v1.Health/Check",
                                                        &request.base);
        assert_int_equal(call->grpc_status, 0);
        assert_int_equal(health_of(call, 0), 1); /* SERVING */
    }
    request.service = (char *)"nobody";
    grpc_world_expect_error(grpc_world_unary(&world, "/grpc.health.v1.Health/Check", &request.base),
                            GRPC_NOT_FOUND, "NOT_FOUND", "");
    Grpc__Health__V1__HealthListRequest list = GRPC__HEALTH__V1__HEALTH_LIST_REQUEST__INIT;
    struct grpc_world_call *call = grpc_world_unary(&world, "/grpc.health.v1.Health/List", &list.base);
    Grpc__Health__V1__HealthListResponse *all = grpc__health__v1__health_list_response__unpack(
        NULL, call->messages[0].size, call->messages[0].data);
    assert_int_equal(all->n_statuses, 11); /* "", ready, and the nine services */
    grpc__health__v1__health_list_response__free_unpacked(all, NULL);

    struct grpc_world_call *unknown = grpc_world_call(&world.client, "/grpc.health.v1.Health/Watch", NULL);
    grpc_world_send(unknown, &request.base);
    request.service = (char *)"";
    struct grpc_world_call *watch = grpc_world_call(&world.client, "/grpc.health.v1.Health/Watch", NULL);
    grpc_world_send(watch, &request.base);
    grpc_world_run(&world, 5000);
    assert_int_equal(unknown->message_count, 1);
    assert_int_equal(health_of(unknown, 0), 3); /* SERVICE_UNKNOWN, and the stream stays */
    assert_false(unknown->closed);
    assert_int_equal(watch->message_count, 1);
    grpc_world_cancel(unknown);
    grpc_world_cancel(watch);
    grpc_world_run(&world, 100);
    assert_true(unknown->closed && watch->closed);
}

static Grpc__Reflection__V1__ServerReflectionResponse *
reflect(const char *version, Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase which,
        const char *text) {
    Grpc__Reflection__V1__ServerReflectionRequest request =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    request.message_request_case = which;
    request.file_by_filename = (char *)(uintptr_t)text; /* the same place in the union for all texts */
    char path[100];
    snprintf(path, sizeof path, "/grpc.reflection.%s.ServerReflection/ServerReflectionInfo", version);
    struct grpc_world_call *call = grpc_world_unary(&world, path, &request.base);
    assert_int_equal(call->grpc_status, 0);
    assert_int_equal(call->message_count, 1);
    return grpc__reflection__v1__server_reflection_response__unpack(NULL, call->messages[0].size,
                                                                    call->messages[0].data);
}
#define ASK(name)    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define ANSWER(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

static void expect_file(const char *version,
                        Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase which,
                        const char *text, size_t files) {
    Grpc__Reflection__V1__ServerReflectionResponse *response = reflect(version, which, text);
    if (files == 0) {
        assert_int_equal(response->message_response_case, ANSWER(ERROR_RESPONSE));
        assert_int_equal(response->error_response->error_code, 5);
    } else {
        assert_int_equal(response->message_response_case, ANSWER(FILE_DESCRIPTOR_RESPONSE));
        assert_int_equal(response->file_descriptor_response->n_file_descriptor_proto, files);
    }
    grpc__reflection__v1__server_reflection_response__free_unpacked(response, NULL);
}

static void test_reflection(void **state) {
    (void)state;
    static const char *const versions[] = {"v1", "v1alpha"};
    for (size_t i = 0; i < 2; i++) {
        Grpc__Reflection__V1__ServerReflectionResponse *response = reflect(versions[i], ASK(LIST_SERVICES),
                                                                           "");
        assert_int_equal(response->message_response_case, ANSWER(LIST_SERVICES_RESPONSE));
        assert_int_equal(response->list_services_response->n_service, 9);
        /* Every service listed can be looked up. */
        for (size_t k = 0; k < response->list_services_response->n_service; k++) {
            Grpc__Reflection__V1__ServerReflectionResponse *file = reflect(
                versions[i], ASK(FILE_CONTAINING_SYMBOL), response->list_services_response->service[k]->name);
            assert_int_equal(file->message_response_case, ANSWER(FILE_DESCRIPTOR_RESPONSE));
            grpc__reflection__v1__server_reflection_response__free_unpacked(file, NULL);
        }
        grpc__reflection__v1__server_reflection_response__free_unpacked(response, NULL);
        expect_file(versions[i], ASK(FILE_BY_FILENAME), "sentinel/v1/cluster_service.proto", 1);
        expect_file(versions[i], ASK(FILE_BY_FILENAME), "sentinel/v1/consumer_service.proto", 4);
        expect_file(versions[i], ASK(FILE_BY_FILENAME), "nope.proto", 0);
    }
    static const struct {
        const char *symbol;
        size_t files;
    } rows[] = {
        {"sentinel.v1.Record", 1},
        {"sentinel.v1.Record.value", 1},
        {"sentinel.v1.Record.value_presence", 1},
        {"sentinel.v1.RECORD_FORMAT_BATCHES", 1},
        {"sentinel.v1.ClusterService.GetCluster", 1},
        {"grpc.health.v1.HealthCheckResponse.ServingStatus", 1},
        {"grpc.health.v1.HealthCheckResponse.SERVING", 1},
        {"google.rpc.BadRequest.FieldViolation.field", 2},
        {"sentinel.v1", 0},
        {"sentinel.v1.", 0},
        {"sentinel.v1.Recor", 0},
        {"sentinel.v1.Record.values", 0},
        {"sentinel.v1.ClusterService.", 0},
        {"", 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        expect_file("v1", ASK(FILE_CONTAINING_SYMBOL), rows[i].symbol, rows[i].files);
}

/* A drain tells watchers, ends streams and lets the connection close. */
static void test_drain(void **state) {
    (void)state;
    struct grpc_world own;
    grpc_world_open(&own, 2);
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct grpc_world_call *watch = grpc_world_call(&own.client, "/grpc.health.v1.Health/Watch", NULL);
    grpc_world_send(watch, &request.base);
    struct grpc_world_call *consume = grpc_world_call(&own.client, "/sentinel.v1.ConsumerService/Consume",
                                                      NULL);
    grpc_world_run(&own, 100);
    uint64_t before = io_sim_now(own.sim);
    grpc_world_drain(&own);
    assert_true(io_sim_now(own.sim) - before < NS_PER_S); /* nobody waited for the grace to be over */
    assert_int_equal(health_of(watch, 1), 2);             /* NOT_SERVING */
    assert_int_equal(watch->grpc_status, GRPC_UNAVAILABLE);
    assert_int_equal(consume->grpc_status, GRPC_UNAVAILABLE);
    assert_true(own.client.goaways > 0);
    assert_true(own.client.closed);
    grpc_world_close(&own);
}

static struct grpc_world_call *send_one(struct grpc_world *own, const char *path,
                                        const ProtobufCMessage *message) {
    struct grpc_world_call *call = grpc_world_call(&own->client, path, NULL);
    grpc_world_send(call, message);
    return call;
}

/* What would wait has the answer that is there; what would go on for ever is told to go on elsewhere. */
static void a_drain_ends_whatever_waits(void **state) {
    (void)state;
    struct grpc_world own;
    grpc_world_open(&own, 3);
    grpc_world_topic(&own, "t", 1);
    Sentinel__V1__WatchClusterRequest cluster = SENTINEL__V1__WATCH_CLUSTER_REQUEST__INIT;
    Sentinel__V1__ProduceStreamOpen open = SENTINEL__V1__PRODUCE_STREAM_OPEN__INIT;
    open.topic = (char *)(uintptr_t) "t";
    Sentinel__V1__ProduceStreamRequest produce = SENTINEL__V1__PRODUCE_STREAM_REQUEST__INIT;
    produce.message_case = SENTINEL__V1__PRODUCE_STREAM_REQUEST__MESSAGE_OPEN;
    produce.open = &open;
    Grpc__Reflection__V1__ServerReflectionRequest reflection =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    reflection.message_request_case = ASK(LIST_SERVICES);
    reflection.list_services = (char *)(uintptr_t) "";
    struct grpc_world_call *streams[] = {
        send_one(&own, "/sentinel.v1.ClusterService/WatchCluster", &cluster.base),
        send_one(&own, "/sentinel.v1.ProducerService/ProduceStream", &produce.base),
        send_one(&own, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &reflection.base)};
    Sentinel__V1__FetchPartition from = SENTINEL__V1__FETCH_PARTITION__INIT, *list[] = {&from};
    from.topic = (char *)(uintptr_t) "t";
    Sentinel__V1__FetchRequest fetch = SENTINEL__V1__FETCH_REQUEST__INIT;
    fetch.n_partitions = 1;
    fetch.partitions = list;
    fetch.min_bytes = 1;
    fetch.max_wait_ms = 20000;
    struct grpc_world_call *poll = send_one(&own, "/sentinel.v1.ConsumerService/Fetch", &fetch.base);
    grpc_world_finish(poll);
    grpc_world_run(&own, 100);
    assert_false(poll->ended);
    uint64_t before = io_sim_now(own.sim);
    grpc_world_drain(&own);
    assert_true(io_sim_now(own.sim) - before < NS_PER_S);
    for (size_t i = 0; i < ARRAY_COUNT(streams); i++) {
        assert_true(streams[i]->ended && streams[i]->message_count > 0);
        assert_int_equal(streams[i]->grpc_status, GRPC_UNAVAILABLE);
    }
    assert_true(poll->ended);
    assert_int_equal(poll->grpc_status, 0);
    assert_int_equal(poll->message_count, 1);
    grpc_world_close(&own);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_grpc),
        cmocka_unit_test(test_unknown_path),
        cmocka_unit_test(test_unknown_encoding),
        cmocka_unit_test(test_gzip_both_ways),
        cmocka_unit_test(test_one_message_exactly),
        cmocka_unit_test(test_broken_messages),
        cmocka_unit_test(a_topic_that_cannot_be_read_is_not_described),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_headers_too_large),
        cmocka_unit_test(test_lost_connection),
        cmocka_unit_test(test_keepalive),
        cmocka_unit_test(test_cluster),
        cmocka_unit_test(test_one_node),
        cmocka_unit_test(test_watch_cluster),
        cmocka_unit_test(test_trailers_only),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_reflection),
        cmocka_unit_test(an_update_comes_behind_what_was_asked_before),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(a_drain_ends_whatever_waits),
    };
    return cmocka_run_group_tests(tests, open_world, grpc_world_teardown);
}
