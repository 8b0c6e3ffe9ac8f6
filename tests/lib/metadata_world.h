// SPDX-License-Identifier: Apache-2.0
/* metadata_world.h: the state of a controller and the keys that a host would have stored of it. */
#ifndef SENTINEL_TESTS_LIB_METADATA_WORLD_H
#define SENTINEL_TESTS_LIB_METADATA_WORLD_H

#include "base/prng.h"
#include "machine/metadata.h"

#define METADATA_WORLD_KEYS_MAX 300

struct metadata_world {
    struct metadata *state;
    struct metadata_world_key {
        uint8_t *key, *value;
        size_t key_size, value_size;
    } keys[METADATA_WORLD_KEYS_MAX]; /* in the order of their bytes */
    size_t key_count;
    struct prng prng;
};

int metadata_world_setup(void **state); /* *state is a new world from then on */
int metadata_world_teardown(void **state);
struct metadata *metadata_world_state_new(void);
void metadata_world_state_free(struct metadata *m);

/* Checks a command and applies it as the host does, through bytes, and stores what it tells to store. */
enum status metadata_world_run(struct metadata_world *w, const struct metadata_command *command,
                               struct metadata_effects *effects);
enum status metadata_world_do(struct metadata_world *w, struct metadata_command command);
void metadata_world_store(struct metadata_world *w, struct slice key, struct slice value, bool removed);
struct uuid metadata_world_id(uint8_t n);
/* A topic with one replica. */
struct metadata_command metadata_world_create(const char *name, uint8_t id, int32_t count);

/* The stored keys give the state that wrote them. */
void metadata_world_check(const struct metadata_world *w);
/* The same, and the loaded state goes on in place of the other. */
void metadata_world_restart(struct metadata_world *w);

#endif
