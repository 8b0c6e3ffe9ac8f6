// SPDX-License-Identifier: Apache-2.0
/* topics.h: the broker's tables of topics, and its stock of producer ids. Not for other folders; see
 * broker.h.
 *
 * Loop    shard thread only. */
#ifndef SENTINEL_BROKER_TOPICS_H
#define SENTINEL_BROKER_TOPICS_H

#include "base/status.h"

struct broker;
struct producer_ids;

/* Fills the tables from the metadata that was loaded. */
void topics_load(struct broker *broker);
void topics_free(struct broker *broker);

/* In a cluster: a command of the metadata was applied; the tables follow. A new topic's partitions that
 * belong here get their replicas. */
struct metadata_command;
void topics_applied(struct broker *broker, const struct metadata_command *command);
/* The metadata is replaced as a whole by `stored`, which is empty then: what is gone is dropped, what is new is
 * opened. */
struct metadata;
void topics_reload(struct broker *broker, struct metadata *stored);
/* Shutdown: no partition is a member of its group any more. */
void topics_close_replicas(struct broker *broker);
/* Answers every append under way with `status`. */
void topics_fail_appends(struct broker *broker);

struct producer_ids *producer_ids_new(struct broker *broker);
void producer_ids_free(struct producer_ids *ids);

#endif
