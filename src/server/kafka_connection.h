// SPDX-License-Identifier: Apache-2.0
/* kafka_connection.h: one connection of a Kafka client, for kafka_connection.c and kafka_request.c only.
 *
 * Requests are served as they come, several at a time, and answered in the order they came, whatever finishes
 * first.
 *
 * Bounds  KAFKA_REQUESTS_MAX requests or KAFKA_COST_MAX bytes under way, then receiving pauses (one request
 * is always taken); after a Produce it also pauses while the disk does not keep up (broker_overloaded). Loop
 * shard thread only. */
#ifndef SENTINEL_SERVER_KAFKA_CONNECTION_H
#define SENTINEL_SERVER_KAFKA_CONNECTION_H

#include "base/list.h"
#include "server/connection.h"

#define KAFKA_REQUESTS_MAX 64
#define KAFKA_COST_MAX     (32 * MIB)

struct kafka_connection {
    struct connection *connection;
    struct server *server;
    struct list requests; /* struct kafka_request */
    size_t request_count, cost;
    bool waits_for_resume;
    bool leaving;  /* draining, or the peer finished: nothing new is taken, what runs is answered */
    bool stopping; /* requests are being stopped: answers wait until all are */
    bool closing;  /* connection_close was called */
    struct io_op resume;
};

/* Sends what may be sent now: the answered requests at the front. */
void kafka_connection_flush(struct kafka_connection *connection);

#endif
