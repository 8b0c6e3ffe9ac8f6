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

#define STORE_MODEL_KEYS        160
#define STORE_MODEL_NODE        0u
#define STORE_MODEL_CHANGES_MAX 8u

enum store_model_kind { STORE_MODEL_PUT, STORE_MODEL_DELETE, STORE_MODEL_DELETE_RANGE };
struct store_model_change {
    enum store_model_kind kind;
    uint32_t first, last; /* key indexes, both included; the same but for a range */
    uint32_t value;       /* id of a put, from 1; its bytes follow from it. 0: absent */
    bool owned;           /* the value comes in a buffer that may be kept */
};
enum store_model_move { STORE_MODEL_SEEK, STORE_MODEL_SEEK_PREV, STORE_MODEL_NEXT, STORE_MODEL_PREV };

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
    struct list walks;                   /* open iterators */
    uint32_t next_value;
    uint64_t submitted, acknowledged, failed;
    uint32_t value_size_max;
    bool failures_allowed; /* writes may fail with NO_SPACE or IO, reads with IO */
    bool log_failed;       /* a write to the log failed: nothing may be acknowledged any more */
    bool forgetful;        /* for the canary: deletions of every eighth key are not believed */
    /* What happens when the store and the model differ; NULL: the running test fails. Does not return. */
    void (*on_failure)(struct store_model *model, const char *what);
    void *ctx;
    struct log log;
};

void store_model_init(struct store_model *model, uint64_t seed);
void store_model_release(struct store_model *model);
/* Opens the store and compares it with the model. A fault may be due meanwhile: then false, and the disk
 * waits for a crash. */
bool store_model_open(struct store_model *model);
void store_model_shutdown(struct store_model *model); /* waits; iterators must be closed */
void store_model_crash(struct store_model *model, enum io_sim_crash how); /* closes iterators */

/* ---- what the caller chooses ------------------------------------------------------------------------- */

void store_model_submit(struct store_model *model, const struct store_model_change *changes, uint32_t count);
/* cancel: gives up when it would have to wait. */
void store_model_get_key(struct store_model *model, uint32_t key, bool cancel);
/* A view of keys[lower..upper) as they are now; upper STORE_MODEL_KEYS: no bound. */
struct store_model_walk *store_model_walk_open(struct store_model *model, uint32_t lower, uint32_t upper,
                                               unsigned flags);
/* One move, compared with the view; next and prev only when on a key. False: the disk stopped, or could not
 * be read. leave: goes away when it would have to wait; then only another seek, or close. */
bool store_model_walk_move(struct store_model_walk *walk, enum store_model_move move, uint32_t key,
                           bool leave);
bool store_model_walk_on_key(const struct store_model_walk *walk);
void store_model_walk_close(struct store_model_walk *walk);
void store_model_flush(struct store_model *model);  /* starts one */
void store_model_settle(struct store_model *model); /* until every write has its answer */
void store_model_run(struct store_model *model, uint64_t ns);
void store_model_check(struct store_model *model); /* scans everything both ways, and gets every key */
/* After a quiet moment: no file is left that nothing needs (S16). */
void store_model_check_files(struct store_model *model);
bool store_model_crash_due(const struct store_model *model);

/* ---- what chance chooses ----------------------------------------------------------------------------- */

uint32_t store_model_draw(struct prng *prng, uint32_t *next_value,
                          struct store_model_change changes[STORE_MODEL_CHANGES_MAX]);
void store_model_write(struct store_model *model); /* one random write */
void store_model_get(struct store_model *model);   /* one random get, compared */

#endif
