// SPDX-License-Identifier: Apache-2.0
/* store_model.h: a store on the simulated disk beside a model that is too simple to be wrong.
 *
 * The model knows for each of its keys which value it should have. Writes are counted: after a crash the
 * store must hold the state after some number of writes that is at least the number acknowledged (S1, S2),
 * and nothing else. Everything is drawn from one seed.
 *
 * Loop: the test's thread. A violated expectation fails the running CMocka test. */
#ifndef SENTINEL_TESTS_LIB_STORE_MODEL_H
#define SENTINEL_TESTS_LIB_STORE_MODEL_H

#include "base/prng.h"
#include "io/io_sim.h"
#include "storage/store.h"

#define STORE_MODEL_KEYS 160
#define STORE_MODEL_NODE 0u

struct store_model_write;
struct store_model {
    uint64_t seed;
    struct prng prng;
    struct io_sim *sim;
    struct io *io;
    struct store *store;
    struct store_options options;
    struct slice keys[STORE_MODEL_KEYS]; /* sorted */
    uint32_t state[STORE_MODEL_KEYS];    /* value id, 0: absent; after all writes submitted */
    uint32_t acked[STORE_MODEL_KEYS];    /* after all writes acknowledged */
    struct list writes;                  /* submitted, not acknowledged, in order */
    uint32_t next_value;
    uint64_t submitted, acknowledged, failed;
    uint32_t value_size_max;
    bool failures_allowed; /* writes may fail with NO_SPACE or IO */
    bool log_to_stderr;
    struct log log;
};

void store_model_init(struct store_model *model, uint64_t seed);
void store_model_release(struct store_model *model);
/* Opens the store and compares it with the model. A fault may be due meanwhile: then false. */
bool store_model_open(struct store_model *model);
void store_model_shutdown(struct store_model *model); /* waits */
void store_model_crash(struct store_model *model, enum io_sim_crash how);

void store_model_write(struct store_model *model);   /* one random write */
void store_model_get(struct store_model *model);     /* one random get, compared */
void store_model_iterate(struct store_model *model); /* a random walk of an iterator, compared */
void store_model_flush(struct store_model *model);   /* starts one */
void store_model_settle(struct store_model *model);  /* until every write has its answer */
void store_model_run(struct store_model *model, uint64_t ns);
void store_model_check(struct store_model *model); /* scans everything both ways, and gets every key */
/* One random thing of all the above but crashes and reopening. */
void store_model_step(struct store_model *model);
bool store_model_crash_due(const struct store_model *model);

#endif
