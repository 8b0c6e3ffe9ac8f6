// SPDX-License-Identifier: Apache-2.0
/* grpc_txn.h: failures that speak of a transactional id, which stands in the message and in the metadata of
 * ErrorInfo.
 *
 * Loop    shard thread. */
#ifndef SENTINEL_SERVER_GRPC_TXN_H
#define SENTINEL_SERVER_GRPC_TXN_H

#include "server/grpc_call.h"

/* `message` NULL: the status's own text. */
void grpc_txn_fail(struct grpc_call *call, struct slice id, enum status status, const char *message);

#endif
