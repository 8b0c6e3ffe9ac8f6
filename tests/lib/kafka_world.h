// SPDX-License-Identifier: Apache-2.0
/* kafka_world.h: a real broker and server on a simulated machine, and a Kafka client made of the codec alone,
 * on the same machine. Time passes only in kafka_world_run and what calls it. */
#ifndef SENTINEL_TESTS_LIB_KAFKA_WORLD_H
#define SENTINEL_TESTS_LIB_KAFKA_WORLD_H

#include "io/io_sim.h"
#include "server/server.h"
#include "wire/kafka_codec.h"
#include "wire/record_batch.h"

struct kafka_world_client {
    struct io *io;
    struct io_socket *socket;
    struct io_op connect, receive, send;
    uint8_t buffer[16 * 1024];
    struct writer in; /* received, from `taken` on not looked at yet */
    size_t taken;
    struct chain out;
    struct slice slices[16];
    size_t sending_size;
    bool connected, sending, receiving, closed; /* closed: by the server */
    bool deaf;                                  /* takes nothing out of the socket */
};

struct kafka_world {
    struct io_sim *sim;
    struct io *io;
    struct broker *broker;
    struct server *server;
    struct io_address address;
    struct kafka_world_client client;
    struct arena arena; /* of decoded responses */
    bool drained;
};

void kafka_world_open(struct kafka_world *world, uint64_t seed, bool auto_create);
void kafka_world_close(struct kafka_world *world);
int kafka_world_teardown(void **state); /* of a test whose *state is its world: closes it */
void kafka_world_drain_start(struct kafka_world *world, uint64_t grace_ms);
void kafka_world_run(struct kafka_world *world, uint64_t ms);
void kafka_world_connect(struct kafka_world *world, struct kafka_world_client *client);
void kafka_world_disconnect(struct kafka_world *world, struct kafka_world_client *client);

/* No longer deaf. */
void kafka_world_hear(struct kafka_world_client *client);
void kafka_world_send_bytes(struct kafka_world_client *client, struct slice bytes);
void kafka_world_send(struct kafka_world_client *client, int16_t key, int16_t version, int32_t correlation_id,
                      const void *request);
/* Is a whole response there? */
bool kafka_world_has_response(const struct kafka_world_client *client);
/* Waits for the next response, of this key and version and with this correlation id; in world->arena. */
void *kafka_world_receive(struct kafka_world *world, struct kafka_world_client *client, int16_t key,
                          int16_t version, int32_t correlation_id);
/* Send and receive over world->client. */
void *kafka_world_call(struct kafka_world *world, int16_t key, int16_t version, const void *request);
/* The server closes the connection, with nothing more to say. */
void kafka_world_expect_closed(struct kafka_world *world, struct kafka_world_client *client);

void kafka_world_topic(struct kafka_world *world, const char *name, int32_t partitions);
/* One batch of `count` small records. */
struct buffer *kafka_world_batch(int32_t count, enum record_codec codec);

#endif
