// SPDX-License-Identifier: Apache-2.0
/* topics.h: the broker's tables of topics, and its stock of producer ids. Not for other folders; see
 * broker.h.
 *
 * Loop    shard thread only. */
#ifndef SENTINEL_BROKER_TOPICS_H
#define SENTINEL_BROKER_TOPICS_H

struct broker;
struct producer_ids;

/* Fills the tables from the metadata that was loaded. */
void topics_load(struct broker *broker);
void topics_free(struct broker *broker);

struct producer_ids *producer_ids_new(struct broker *broker);
void producer_ids_free(struct producer_ids *ids);

#endif
