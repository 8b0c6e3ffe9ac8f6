// SPDX-License-Identifier: Apache-2.0
/* append_txn.h: a transactional batch on its way into a log: is its partition part of the transaction?
 *
 *   first batch here ─> ask the transaction's coordinator, wherever it is ─> once more from the start ─>
 * stored one that follows ─> the transaction is open in this log: stored
 *
 * Between the answer and the append the transaction may end. Its marker then stands in the log already, or
 * another leader has written it: what was remembered when the question was asked tells, and the batch is
 * refused. So a batch that comes late opens nothing that nobody will ever close.
 *
 * Source  KIP-890 (and KIP-98).  Owner: the append.  Loop: shard thread only. */
#ifndef SENTINEL_BROKER_APPEND_TXN_H
#define SENTINEL_BROKER_APPEND_TXN_H

#include "broker/partition.h"

/* OK: the batch may be stored. PENDING: the coordinator is asked, and `resume` is called later: the batch
 * then goes through all checks once more (told NULL), or is refused (the status, with the diagnostic). */
enum status append_txn_check(struct partition *partition, struct append *append,
                             const struct record_batch *batch,
                             void (*resume)(struct append *append, struct partition *partition,
                                            enum status status)) MUST_USE;
/* Before the append is gone. */
void append_txn_release(struct append *append);

#endif
