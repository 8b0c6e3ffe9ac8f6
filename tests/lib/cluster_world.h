// SPDX-License-Identifier: Apache-2.0
/* cluster_world.h: real brokers on simulated machines that form a cluster. Connections between them come in
 * on a listener of peers.h: there are no clients but the calls below. Time passes only inside calls. */
#ifndef SENTINEL_TESTS_LIB_CLUSTER_WORLD_H
#define SENTINEL_TESTS_LIB_CLUSTER_WORLD_H

#include "broker/broker.h"
#include "broker/peers.h"
#include "io/io_sim.h"

#define CLUSTER_NODES_MAX 7

struct cluster_world {
    struct io_sim *sim;
    uint32_t count, founders; /* the first ones; those that came later are not in their --peers */
    struct broker_peer peers[CLUSTER_NODES_MAX];
    char addresses[CLUSTER_NODES_MAX][32];
    struct {
        struct io *io;
        struct broker *broker;      /* NULL: down */
    } nodes[CLUSTER_NODES_MAX + 1]; /* from 1 */
    struct diagnostic why;
    const char *racks[CLUSTER_NODES_MAX + 1]; /* from 1; NULL: none */
    bool alone;                               /* node 1 runs without --peers */
    bool forward;                             /* requests may be taken to the leader */
    int64_t rate;                             /* of a change to NODE_CATCH_UP_RATE */
};
void cluster_world_open(struct cluster_world *w, uint64_t seed, uint32_t nodes); /* all are started */
void cluster_world_open_alone(struct cluster_world *w, uint64_t seed); /* one broker, without a cluster */
/* All are started, those that are there already too: as --peers of all of them. */
void cluster_world_grow(struct cluster_world *w, uint32_t nodes);
void cluster_world_close(struct cluster_world *w);
enum status cluster_world_try_start(struct cluster_world *w, uint32_t node);
void cluster_world_start(struct cluster_world *w, uint32_t node);
/* No request of the node may be under way. */
void cluster_world_crash(struct cluster_world *w, uint32_t node, enum io_sim_crash how);
void cluster_world_shutdown(struct cluster_world *w, uint32_t node); /* with leaving */
void cluster_world_run(struct cluster_world *w, uint64_t ms);

enum status cluster_world_create(struct cluster_world *w, uint32_t node, const char *topic, int partitions,
                                 int replicas);
enum status cluster_world_create_with(struct cluster_world *w, uint32_t node, const char *topic,
                                      int partitions, int replicas, const struct topic_config *config);
/* One partition on these nodes. */
enum status cluster_world_create_on(struct cluster_world *w, uint32_t node, const char *topic,
                                    const int32_t *nodes, int count);
enum status cluster_world_delete(struct cluster_world *w, uint32_t node, const char *topic);
/* Where the partition is led and served, as this node sees it; waits up to a minute; fails the test then. */
uint32_t cluster_world_leader(struct cluster_world *w, uint32_t asked, const char *topic, int partition);
/* One record, sent to one node; `producer` -1: not idempotent. BUSY: no answer within `ms`. */
enum status cluster_world_append(struct cluster_world *w, uint32_t node, const char *topic, int partition,
                                 const char *value, int64_t producer, int32_t sequence, int64_t *offset);
/* The same until some leader takes it. Returns the offset. */
int64_t cluster_world_produce(struct cluster_world *w, const char *topic, int partition, const char *value,
                              int64_t producer, int32_t sequence);
/* The values "FROM" up to "TO" - 1, one record each; the value is the sequence too. */
void cluster_world_produce_numbers(struct cluster_world *w, const char *topic, int partition, int from,
                                   int to, int64_t producer);
/* Fails the test unless the partition holds the values "0", "1", ... up to count, each once and in order, as
 * the leader tells; with `forward`: as node 1 does. */
void cluster_world_expect_numbers(struct cluster_world *w, const char *topic, int partition, int count);
/* `nodes`: zero-terminated, or NULL: `replicas` of them, as the controller chooses. */
enum status cluster_world_move(struct cluster_world *w, uint32_t asked, const char *topic, int partition,
                               const int32_t *nodes, int replicas);
enum status cluster_world_cancel_move(struct cluster_world *w, uint32_t asked, const char *topic,
                                      int partition);
/* Until nothing of the topic moves any more and nothing is left behind; false: not within `ms`. */
bool cluster_world_settle(struct cluster_world *w, uint32_t asked, const char *topic, uint64_t ms);
/* Announces a node through `asked` and starts it; its number. */
uint32_t cluster_world_add(struct cluster_world *w, uint32_t asked);
enum status cluster_world_change_node(struct cluster_world *w, uint32_t asked, enum node_change_kind kind,
                                      uint32_t node);
/* Keys on the node's disk that belong to the records of a partition. */
uint32_t cluster_world_keys(struct cluster_world *w, uint32_t node, const char *topic, int partition);
enum status cluster_world_delete_records(struct cluster_world *w, uint32_t node, const char *topic,
                                         int partition, int64_t offset);
enum status cluster_world_producer_id(struct cluster_world *w, uint32_t node, int64_t *id);

#endif
