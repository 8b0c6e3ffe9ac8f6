// SPDX-License-Identifier: Apache-2.0
/* broker_world.h: one real broker on a simulated machine, and calls that run the world until they are
 * answered. Time passes only inside them. */
#ifndef SENTINEL_TESTS_LIB_BROKER_WORLD_H
#define SENTINEL_TESTS_LIB_BROKER_WORLD_H

#include "base/prng.h"
#include "broker/broker.h"
#include "io/io_sim.h"
#include "wire/record_batch.h"

struct broker_world {
    struct io_sim *sim;
    struct io *io;
    struct broker *broker; /* NULL: down */
    struct broker_options options;
    struct diagnostic why;
};
void broker_world_open(struct broker_world *w, uint64_t seed); /* small memtables, default limits */
void broker_world_close(struct broker_world *w);
int broker_world_teardown(void **state); /* closes and frees it: no buffer may be left */
enum status broker_world_try_start(struct broker_world *w);
void broker_world_start(struct broker_world *w);
void broker_world_shutdown(struct broker_world *w); /* clean, and time for it */
/* Ends the broker where it is. Requests under way must have been given up before (append_abandon). */
void broker_world_crash(struct broker_world *w, enum io_sim_crash how);
void broker_world_restart(struct broker_world *w); /* shutdown and start */

void broker_world_run(struct broker_world *w, uint64_t ms);
void broker_world_until(struct broker_world *w, const bool *done); /* fails the test after an hour */

/* NULL-terminated pairs "name", "value" at the end. */
enum status broker_world_create(struct broker_world *w, const char *topic, int partitions, ...);
enum status broker_world_change(struct broker_world *w, struct topic_change *change);
enum status broker_world_delete(struct broker_world *w, const char *topic);

struct batch_spec {
    int count;                 /* records */
    int64_t timestamp;         /* of the first; the others follow by `step` */
    int64_t step;              /* may be negative */
    const int64_t *timestamps; /* instead of both */
    int64_t producer_id;       /* with `idempotent` */
    int epoch;
    int32_t sequence;
    bool idempotent, null_keys;
    enum record_codec codec;
    size_t value_size; /* at least what "TAG/index" needs */
    const char *tag;
};
struct buffer *broker_world_batch(const struct batch_spec *spec);

/* An append of its own, for tests that have several under way. */
struct world_append {
    struct append append;
    bool done;
    uint64_t done_ns;
    uint32_t order; /* of completion, from 1 */
};
void broker_world_append_start(struct broker_world *w, struct world_append *append, const char *topic,
                               int partition, const struct batch_spec *spec);
/* The very bytes; takes over the reference. */
void broker_world_append_bytes(struct broker_world *w, struct world_append *append, const char *topic,
                               int partition, struct buffer *batch);
/* Waits; the status is in append->append.status, too. */
enum status broker_world_append_wait(struct broker_world *w, struct world_append *append);
enum status broker_world_append(struct broker_world *w, struct world_append *append, const char *topic,
                                int partition, const struct batch_spec *spec);

/* A fetch of one partition. */
struct world_fetch {
    struct fetch fetch;
    struct fetch_partition part;
    char topic[64];
    bool done;
    uint64_t done_ns;
};
void broker_world_fetch_start(struct broker_world *w, struct world_fetch *fetch, const char *topic,
                              int partition, int64_t offset, int32_t bytes_min, uint32_t wait_ms);
void broker_world_fetch_wait(struct broker_world *w, struct world_fetch *fetch);
/* Waits for nothing: what is there. To be released with fetch_release(&fetch->fetch). */
enum status broker_world_fetch(struct broker_world *w, struct world_fetch *fetch, const char *topic,
                               int partition, int64_t offset);

/* Everything from `offset` on, record by record, in a row of batches of any size; checks that offsets are
 * dense from the first on. Returns the end offset. */
struct world_record {
    int64_t offset, timestamp;
    char value[48]; /* its beginning */
};
size_t broker_world_read(struct broker_world *w, const char *topic, int partition, int64_t offset,
                         struct world_record *records, size_t max);

enum status broker_world_list_offset(struct broker_world *w, const char *topic, int partition,
                                     int64_t timestamp, int64_t *offset, int64_t *found_timestamp);
enum status broker_world_delete_records(struct broker_world *w, const char *topic, int partition,
                                        int64_t offset, int64_t *log_start);
struct partition_info broker_world_info(struct broker_world *w, const char *topic, int partition);

#endif
