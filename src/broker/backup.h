// SPDX-License-Identifier: Apache-2.0
/* backup.h: checkpoints of a broker's data by name: DATA_DIR/checkpoints/NAME (storage/checkpoint.h).
 *
 * A client gives a name, never a path: what it makes stands inside the data directory.
 *
 * Owner   the request is the caller's until its done. Errors: INVALID for the name; else as store_checkpoint.
 * Loop    shard thread only. Bounds: BACKUP_NAME_SIZE_MAX. */
#ifndef SENTINEL_BROKER_BACKUP_H
#define SENTINEL_BROKER_BACKUP_H

#include "broker/broker.h"

#define BACKUP_NAME_SIZE_MAX 100

struct backup {
    struct store_checkpoint checkpoint;
    char *path; /* where it is, when it could be begun; freed by backup_release */
};
/* Letters, digits, '.', '_' and '-', not beginning with '.'. Not OK: nothing was begun, the diagnostic says
 * why. OK: checkpoint.done follows. */
enum status backup_start(struct broker *broker, struct slice name, struct backup *backup,
                         struct diagnostic *diagnostic) MUST_USE;
void backup_release(struct backup *backup);
/* INVALID: the broker's directory, not opened yet, is a checkpoint, which no member of a cluster may begin
 * with.
 */
enum status backup_refuse(const struct broker *broker, struct diagnostic *diagnostic) MUST_USE;
/* A broker that runs alone makes a restored checkpoint its own. */
enum status backup_take_over(struct broker *broker, struct diagnostic *diagnostic) MUST_USE;

#endif
