// SPDX-License-Identifier: Apache-2.0
/* txn_reader.h: a client that reads one partition of what is copied (kafka_copier.h), committed records only.
 *
 * It passes over what the broker says was aborted, as consumers do, and holds the rest against the history:
 * B10 and B11; and the last stable offset, which never goes back (B4).
 *
 * Owner   the clients. Loop: theirs. */
#ifndef SENTINEL_SIM_TXN_READER_H
#define SENTINEL_SIM_TXN_READER_H

#include "base/prng.h"
#include "sim/kafka_link.h"
#include "sim/txn_history.h"

struct txn_reader_options {
    struct io *io;
    struct txn_history *history;
    const char *topic;
    uint32_t partition, node_count;
    uint64_t seed;
    void (*told)(void *ctx, const char *text);
    void *ctx;
};
struct txn_reader {
    struct txn_reader_options options;
    struct prng prng;
    struct io_timer timer;
    struct kafka_link *link;
    struct txn_pass *pass; /* shared by the readers of the topic */
    bool connected, asking, started;
    uint32_t leader, attempts;
    int64_t offset, stable, floor; /* stable: the highest last stable offset that it was told */
    bool at_end;                   /* everything was read, and nothing is open */
};

void txn_reader_init(struct txn_reader *reader, const struct txn_reader_options *options,
                     struct txn_pass *pass);
/* From the start of the partition: begins, or begins again. */
void txn_reader_start(struct txn_reader *reader);
void txn_reader_release(struct txn_reader *reader);

#endif
