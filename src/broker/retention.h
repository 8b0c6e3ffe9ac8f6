// SPDX-License-Identifier: Apache-2.0
/* retention.h: the periodic check that deletes what is too old or too much (options.retention_check_ms).
 *
 * Partitions that hold no limit are not looked at, so they stay unloaded. Loop: shard thread only. */
#ifndef SENTINEL_BROKER_RETENTION_H
#define SENTINEL_BROKER_RETENTION_H

struct broker;
struct retention;

struct retention *retention_new(struct broker *broker);
void retention_free(struct retention *retention);

#endif
