// SPDX-License-Identifier: Apache-2.0
/* metadata_log.h: group 0 on one node: commands are checked, logged, applied and made durable, one at a time.
 *
 * The command, the state keys it changes, the applied index and the deletion of dropped partitions' data are
 * one store_write, so no crash leaves half a change. `done` is called when it is durable; only then do topics
 * appear in or vanish from the broker's tables.
 *
 * Loop    shard thread only. Bounds: the log keeps the last METADATA_LOG_KEPT commands. */
#ifndef SENTINEL_BROKER_METADATA_LOG_H
#define SENTINEL_BROKER_METADATA_LOG_H

#include "broker/broker_state.h"

#define METADATA_LOG_KEPT 1024

struct metadata_request {
    /* Fills in the command when its turn has come; its slices must live until done. OK, or a refusal. */
    enum status (*prepare)(struct metadata_request *request, struct metadata_command *command);
    /* effects: NULL unless the status is OK. */
    void (*done)(struct metadata_request *request, enum status status,
                 const struct metadata_effects *effects);
    struct diagnostic *diagnostic; /* may be NULL */
    bool validate_only;
    uint64_t proposed_ns; /* not the caller's */
    struct list link;
};

/* In a cluster the commands go to the controller (controller.h), one at a time from each node. When there is
 * none, who has waited as long as one waits for a controller is told so with the first. */

/* 22 characters of randomness. */
void metadata_random_id(struct io *io, char text[METADATA_CLUSTER_ID_SIZE + 1]);
/* Reads the stored state into `metadata`, which is empty; blocks. */
enum status metadata_log_load(struct broker *broker, struct metadata *metadata,
                              struct diagnostic *diagnostic) MUST_USE;
/* Loads the state; blocks; at start. */
enum status metadata_log_open(struct broker *broker, struct diagnostic *diagnostic) MUST_USE;
void metadata_log_close(struct broker *broker);
void metadata_log_propose(struct broker *broker, struct metadata_request *request);
bool metadata_log_idle(const struct broker *broker);

#endif
