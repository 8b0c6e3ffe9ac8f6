// SPDX-License-Identifier: Apache-2.0
#include "server/grpc_watch.h"

static void fired(struct io_timer *timer) {
    struct grpc_watch *watch = CONTAINER_OF(timer, struct grpc_watch, timer);
    if (grpc_call_queued(watch->call) > GRPC_WATCH_QUEUED_MAX)
        grpc_watch_skip(watch);
    else
        watch->look(watch);
}

bool grpc_watch_start(struct grpc_watch *watch, struct grpc_call *call, int32_t interval_ms,
                      void (*look)(struct grpc_watch *watch)) {
    if (interval_ms != 0 && interval_ms < GRPC_WATCH_MS_MIN) {
        grpc_call_fail_field(call, "interval_ms", "%d milliseconds or more, or 0 for %d", GRPC_WATCH_MS_MIN,
                             GRPC_WATCH_MS_DEFAULT);
        return false;
    }
    watch->call = call;
    watch->look = look;
    watch->interval_ns = (uint64_t)(interval_ms == 0 ? GRPC_WATCH_MS_DEFAULT : interval_ms) * NS_PER_MS;
    io_timer_init(&watch->timer, fired);
    writer_init(&watch->last);
    look(watch);
    return true;
}

void grpc_watch_skip(struct grpc_watch *watch) {
    struct io *io = grpc_call_io(watch->call);
    io_timer_set(io, &watch->timer, io_now_ns(io) + watch->interval_ns);
}

void grpc_watch_tell(struct grpc_watch *watch, const ProtobufCMessage *state) {
    struct writer now;
    writer_init(&now);
    protobuf_pack(&now, state);
    if (!watch->told || !slice_equal(writer_slice(&now), writer_slice(&watch->last))) {
        watch->told = true;
        writer_clear(&watch->last);
        writer_bytes(&watch->last, writer_slice(&now));
        grpc_call_send_bytes(watch->call, &now);
    }
    writer_release(&now);
    grpc_watch_skip(watch);
}

void grpc_watch_end(struct grpc_watch *watch) {
    if (watch->call == NULL) return;
    io_timer_cancel(grpc_call_io(watch->call), &watch->timer);
    writer_release(&watch->last);
}

void grpc_watch_drain(struct grpc_call *call) {
    grpc_call_fail_status(call, STATUS_UNAVAILABLE, "the node shuts down");
}
