// SPDX-License-Identifier: Apache-2.0
/* InitProducerId: an identity for an idempotent producer (KIP-98). Transactional ids are refused. */
#include "server/kafka_handlers.h"

struct init_state {
    struct producer_id_request ask;
    struct kafka_request *request;
};

static void ask_done(struct producer_id_request *ask) {
    struct init_state *state = CONTAINER_OF(ask, struct init_state, ask);
    struct kafka_init_producer_id_response *response = state->request->response;
    response->error_code = kafka_error_code(ask->status);
    response->producer_id = ask->status == STATUS_OK ? ask->producer_id : -1;
    response->producer_epoch = ask->status == STATUS_OK ? ask->producer_epoch : -1;
    kafka_request_release(state->request);
}

void kafka_producer_init_id(struct kafka_request *request) {
    const struct kafka_init_producer_id_request *message = request->message;
    struct kafka_init_producer_id_response *response = request->response;
    if (message->transactional_id.data != NULL) {
        response->error_code = message->transactional_id.size == 0 ? KAFKA_INVALID_REQUEST
                                                                   : KAFKA_UNSUPPORTED_VERSION;
        response->producer_epoch = -1;
        return;
    }
    struct init_state *state = kafka_request_calloc(request, 1, sizeof *state);
    state->request = request;
    state->ask.done = ask_done;
    kafka_request_hold(request);
    broker_new_producer_id(request->broker, &state->ask);
}
