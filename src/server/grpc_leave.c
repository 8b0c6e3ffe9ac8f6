// SPDX-License-Identifier: Apache-2.0
#include "server/grpc_leave.h"

#include "base/mem.h"
#include "broker/coordinator.h"
#include "server/server_state.h"

struct leaving {
    struct list link;
    struct server *server;
    struct group_call call;
    struct io_timer timer;
    uint64_t until_ns;
    struct slice group, member_id, instance_id; /* copies */
};

static struct slice copy(struct slice from) {
    if (from.data == NULL) return from;
    uint8_t *bytes = mem_alloc(from.size + 1);
    if (from.size != 0) memcpy(bytes, from.data, from.size);
    return slice_make(bytes, from.size);
}

static void forget(struct leaving *leaving) {
    list_remove(&leaving->link);
    leaving->server->leave_count--;
    mem_free((void *)(uintptr_t)leaving->group.data);
    mem_free((void *)(uintptr_t)leaving->member_id.data);
    mem_free((void *)(uintptr_t)leaving->instance_id.data);
    mem_free(leaving);
}

static void said(struct group_call *call) {
    struct leaving *leaving = CONTAINER_OF(call, struct leaving, call);
    struct io *io = leaving->server->io;
    bool unheard = call->status == STATUS_COORDINATOR_LOADING || call->status == STATUS_NOT_COORDINATOR ||
                   call->status == STATUS_COORDINATOR_UNAVAILABLE || call->status == STATUS_UNAVAILABLE;
    if (unheard && io_now_ns(io) < leaving->until_ns && leaving->server->leave_count <= LEAVES_MAX)
        io_timer_set(io, &leaving->timer, io_now_ns(io) + LEAVE_PAUSE_NS);
    else
        forget(leaving);
}

static void say(struct leaving *leaving) {
    const struct group_consumer_beat request = {
        .group = leaving->group,
        .member_id = leaving->member_id,
        .instance_id = leaving->instance_id,
        .epoch = leaving->instance_id.data != NULL ? GROUP_EPOCH_LEAVE_STATIC : GROUP_EPOCH_LEAVE,
        .rebalance_timeout_ms = -1,
    };
    bool changed;
    leaving->call = (struct group_call){.done = said, .forward = true};
    coordinator_beat(leaving->server->broker, &leaving->call, &request, &changed);
}

static void again(struct io_timer *timer) {
    say(CONTAINER_OF(timer, struct leaving, timer));
}

void grpc_leave(struct server *server, struct slice group, struct slice member_id, struct slice instance_id) {
    struct leaving *leaving = mem_calloc(1, sizeof *leaving);
    leaving->server = server;
    leaving->group = copy(group);
    leaving->member_id = copy(member_id);
    leaving->instance_id = copy(instance_id);
    leaving->until_ns = io_now_ns(server->io) + LEAVE_PATIENCE_NS;
    io_timer_init(&leaving->timer, again);
    list_push_back(&server->leaves, &leaving->link);
    server->leave_count++;
    say(leaving);
}

void grpc_leave_abandon(struct server *server) {
    LIST_FOREACH(it, &server->leaves) {
        struct leaving *leaving = CONTAINER_OF(it, struct leaving, link);
        io_timer_cancel(server->io, &leaving->timer);
        coordinator_cancel(&leaving->call);
        forget(leaving);
    }
}
