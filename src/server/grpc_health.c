// SPDX-License-Identifier: Apache-2.0
/* grpc.health.v1.Health (grpc/doc/health-checking.md).
 *
 * Names: "" (this node), each service, and "sentinel.ready": serving means that this node takes writes
 * (broker_readiness) and does not drain. */
#include "base/assert.h"
#include "grpc/health/v1/health.pb-c.h"
#include "server/grpc_service.h"

#define WATCH_INTERVAL_NS (500 * NS_PER_MS) /* how soon a watcher learns that storage failed */
#define READY_NAME        "sentinel.ready"
#define SERVICES_MAX      32

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;
#define STATUS_VALUE(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

static serving_status node_status(const struct grpc_call *call) {
    struct diagnostic why;
    bool serves = !grpc_call_draining(call) && broker_readiness(grpc_call_broker(call), &why) == STATUS_OK;
    return serves ? STATUS_VALUE(SERVING) : STATUS_VALUE(NOT_SERVING);
}

static bool is_known(const char *name) {
    if (name[0] == 0 || strcmp(name, READY_NAME) == 0) return true;
    for (size_t i = 0; grpc_service_names[i] != NULL; i++)
        if (strcmp(name, grpc_service_names[i]) == 0) return true;
    return false;
}

static void check(struct grpc_call *call, struct grpc_message *message) {
    Grpc__Health__V1__HealthCheckRequest *request = grpc_call_unpack(
        call, &grpc__health__v1__health_check_request__descriptor, message->bytes);
    if (request == NULL) return;
    if (!is_known(request->service)) {
        grpc_call_fail_status(call, STATUS_NOT_FOUND, "no such service");
        return;
    }
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = node_status(call);
    grpc_call_reply_packed(call, &response.base);
}

static void list(struct grpc_call *call, struct grpc_message *message) {
    if (grpc_call_unpack(call, &grpc__health__v1__health_list_request__descriptor, message->bytes) == NULL)
        return;
    Grpc__Health__V1__HealthCheckResponse value = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    value.status = node_status(call);
    Grpc__Health__V1__HealthListResponse__StatusesEntry entries[SERVICES_MAX], *pointers[SERVICES_MAX];
    size_t count = 0;
    const char *name = "";
    while (name != NULL) {
        ASSERT_LT(count, (size_t)SERVICES_MAX);
        grpc__health__v1__health_list_response__statuses_entry__init(&entries[count]);
        entries[count].key = (char *)name;
        entries[count].value = &value;
        pointers[count] = &entries[count];
        name = count == 0 ? READY_NAME : grpc_service_names[count - 1];
        count++;
    }
    Grpc__Health__V1__HealthListResponse response = GRPC__HEALTH__V1__HEALTH_LIST_RESPONSE__INIT;
    response.n_statuses = count;
    response.statuses = pointers;
    grpc_call_reply_packed(call, &response.base);
}

/* ---- watching ------------------------------------------------------------------------------------------ */

struct watch {
    struct grpc_call *call;
    struct io_timer timer;
    bool known, told;
    serving_status last;
};

static void tell(struct watch *watch, serving_status status) {
    if (watch->told && watch->last == status) return;
    watch->told = true;
    watch->last = status;
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = status;
    grpc_call_send_packed(watch->call, &response.base);
}

static void watch_fire(struct io_timer *timer) {
    struct watch *watch = CONTAINER_OF(timer, struct watch, timer);
    struct io *io = grpc_call_io(watch->call);
    tell(watch, watch->known ? node_status(watch->call) : STATUS_VALUE(SERVICE_UNKNOWN));
    io_timer_set(io, timer, io_now_ns(io) + WATCH_INTERVAL_NS);
}

static void watch_message(struct grpc_call *call, struct grpc_message *message) {
    Grpc__Health__V1__HealthCheckRequest *request = grpc_call_unpack(
        call, &grpc__health__v1__health_check_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct watch *watch = call->state;
    watch->call = call;
    watch->known = is_known(request->service);
    io_timer_init(&watch->timer, watch_fire);
    watch_fire(&watch->timer);
}

static void watch_drain(struct grpc_call *call) {
    struct watch *watch = call->state;
    if (watch->call != NULL)
        tell(watch, watch->known ? STATUS_VALUE(NOT_SERVING) : STATUS_VALUE(SERVICE_UNKNOWN));
    grpc_call_fail_status(call, STATUS_UNAVAILABLE, "the node shuts down");
}

static void watch_ended(struct grpc_call *call) {
    struct watch *watch = call->state;
    if (watch->call != NULL) io_timer_cancel(grpc_call_io(call), &watch->timer);
}

const struct grpc_method grpc_health_methods[3] = {
    {.path = "/grpc.health.v1.Health/Check", .message_size_max = GRPC_CONTROL_MESSAGE_MAX, .message = check},
    {.path = "/grpc.health.v1.Health/List", .message_size_max = GRPC_CONTROL_MESSAGE_MAX, .message = list},
    {.path = "/grpc.health.v1.Health/Watch",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .state_size = sizeof(struct watch),
     .message = watch_message,
     .drain = watch_drain,
     .ended = watch_ended},
};
