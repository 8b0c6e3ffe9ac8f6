// SPDX-License-Identifier: Apache-2.0
/* kafka_requests.h: what simulated clients ask for alike, and how they take the answers apart.
 *
 * A request is built into a struct that the caller holds until it is sent: `request` is what kafka_link_ask
 * takes, of the version named here. What a client wants otherwise it sets in there itself.
 *
 * Owner   the caller; nothing is allocated. Texts and bytes are pointed at, not copied.
 * Bounds  none: answers come from decoded messages. Loop: any; pure. */
#ifndef SENTINEL_SIM_KAFKA_REQUESTS_H
#define SENTINEL_SIM_KAFKA_REQUESTS_H

#include "wire/kafka_codec.h"

/* Up to three replicas. CreateTopics v7. */
struct kafka_create_ask {
    struct kafka_create_topics_request_topic topic;
    struct kafka_create_topics_request request;
};
void kafka_create_ask(struct kafka_create_ask *ask, const char *topic, int32_t partitions, uint32_t nodes);

/* Of a group or, where `txn`, of a transactional id. FindCoordinator v4. */
struct kafka_coordinator_ask {
    struct slice key;
    struct kafka_find_coordinator_request request;
};
void kafka_coordinator_ask(struct kafka_coordinator_ask *ask, const char *key, bool txn);

/* One topic or, where `second` is not NULL, two. Metadata v9. */
struct kafka_metadata_ask {
    struct kafka_metadata_request_topic topics[2];
    struct kafka_metadata_request request;
};
void kafka_metadata_ask(struct kafka_metadata_ask *ask, const char *first, const char *second);

/* One batch, to be on all replicas in sync. Produce v9. */
struct kafka_produce_ask {
    struct kafka_produce_request_partition partition;
    struct kafka_produce_request_topic topic;
    struct kafka_produce_request request;
};
void kafka_produce_ask(struct kafka_produce_ask *ask, const char *topic, int32_t partition,
                       const struct buffer *batch);

/* One partition from an offset on, without waiting, committed or not. Fetch v11. */
struct kafka_fetch_ask {
    struct kafka_fetch_request_partition partition;
    struct kafka_fetch_request_topic topic;
    struct kafka_fetch_request request;
};
void kafka_fetch_ask(struct kafka_fetch_ask *ask, const char *topic, int32_t partition, int64_t offset,
                     int32_t bytes_max);

/* ---- answers ------------------------------------------------------------------------------------------ */

/* A node from 1 to `nodes`; 0: the answer names none. */
uint32_t kafka_coordinator_told(const struct kafka_find_coordinator_response *answer, uint32_t nodes);
uint32_t kafka_leader_told(const struct kafka_metadata_response *answer, const char *topic,
                           uint32_t partition, uint32_t nodes);

/* The error of a fetch of one partition; -1: the answer is not about one. On 0 `*partition` is set. */
int16_t kafka_fetched(const struct kafka_fetch_response *answer,
                      const struct kafka_fetch_response_partition **partition);

/* Cuts the first batch off; false: there is no whole one. What is in it is not looked at. */
bool kafka_next_batch(struct slice *records, struct slice *batch);

#endif
