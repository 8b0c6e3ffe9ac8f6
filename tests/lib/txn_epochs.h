// SPDX-License-Identifier: Apache-2.0
/* txn_epochs.h: a transactional id whose producer id has one epoch left, as after many thousand transactions.
 */
#ifndef SENTINEL_TESTS_LIB_TXN_EPOCHS_H
#define SENTINEL_TESTS_LIB_TXN_EPOCHS_H

#include "broker/broker.h"

/* The one producer of `id`, which is coordinated by `broker`, is given one epoch after the other, from the
 * one behind `epoch` to TXN_EPOCH_MAX. `run` lets a little time pass. */
void txn_epochs_use_up(struct broker *broker, const char *id, int16_t epoch, void (*run)(void *world),
                       void *world);

#endif
