// SPDX-License-Identifier: Apache-2.0
#include "server/kafka_connection.h"

static const struct {
    int16_t key;
    kafka_handler *handle;
} handlers[] = {
#define KAFKA_HANDLER_(symbol, key, messages, first, last, flexible) {key, kafka_##messages},
    KAFKA_API_LIST(KAFKA_HANDLER_)
#undef KAFKA_HANDLER_
};

kafka_handler *kafka_handler_find(int16_t api_key) {
    for (unsigned i = 0; i < ARRAY_COUNT(handlers); i++)
        if (handlers[i].key == api_key) return handlers[i].handle;
    return NULL;
}
