// SPDX-License-Identifier: Apache-2.0
/* metadata.h: the controller's replicated state machine: topics, their groups and configs, producer ids.
 *
 *   host: command bytes ──> metadata_check ──> log of group 0 ──> metadata_apply ──> keys to write
 *
 * Pure: the same commands in the same order give the same state on every node. The host logs a command,
 * applies it, and writes the keys that apply returns together with the applied index in one atomic store
 * write (S14), so a restart loads the keys and never replays.
 *
 * Each partition gets a group number that is never used again, so keys of a deleted partition can never be
 * taken for those of a new one. Configs are text here; the broker knows what they mean.
 *
 * Source  KIP-500's idea of metadata as a log. Owner: the state owns its memory; slices given out live until
 * the next apply. Errors: see metadata_check; a command that does not decode is MALFORMED. Bounds
 * METADATA_NAME_SIZE_MAX, METADATA_CONFIGS_MAX, METADATA_PARTITIONS_MAX per topic. */
#ifndef SENTINEL_MACHINE_METADATA_H
#define SENTINEL_MACHINE_METADATA_H

#include "base/cursor.h"
#include "base/map.h"
#include "base/status.h"
#include "base/uuid.h"

#define METADATA_NAME_SIZE_MAX    249
#define METADATA_CONFIGS_MAX      64
#define METADATA_PARTITIONS_MAX   100000
#define METADATA_CLUSTER_ID_SIZE  22
#define METADATA_REPLICAS_MAX     7
#define METADATA_NODES_MAX        64
#define METADATA_ADDRESS_SIZE_MAX 71

enum metadata_kind {
    METADATA_INIT = 1,       /* cluster id; the first command of a cluster */
    METADATA_CREATE_TOPIC,   /* name, id, partition count, replication, configs */
    METADATA_DELETE_TOPIC,   /* name */
    METADATA_SET_CONFIGS,    /* name, the whole new list */
    METADATA_ADD_PARTITIONS, /* name, the new total */
    METADATA_TAKE_PRODUCERS, /* count: reserves so many producer ids */
    METADATA_REGISTER_NODE,  /* node, incarnation, name: the address where it is reached */
    METADATA_REMOVE_NODE,    /* node: no partition has it any more */
    METADATA_SET_REPLICAS,   /* name, count: a partition; its new placement */
    METADATA_KIND_END
};

struct metadata_config {
    struct slice name, value;
};
struct metadata_command {
    enum metadata_kind kind;
    struct slice name; /* topic; INIT: the cluster id */
    struct uuid id;
    int32_t count; /* partitions or producer ids */
    int16_t replication;
    struct metadata_config configs[METADATA_CONFIGS_MAX];
    uint32_t config_count;
    uint32_t node, incarnation;
    /* In a cluster: node numbers, be32 each, `replication` of them for each partition that is made, the
     * preferred leader first. Empty: this node alone. */
    struct slice placement;
};
void metadata_encode(const struct metadata_command *command, struct writer *out);
/* The command borrows from `bytes`. */
enum status metadata_decode(struct slice bytes, struct metadata_command *command) MUST_USE;

/* Who has a partition; the preferred leader first. */
struct metadata_replicas {
    uint8_t count;
    uint32_t nodes[METADATA_REPLICAS_MAX];
};
struct metadata_node {
    uint32_t node, incarnation;
    char address[METADATA_ADDRESS_SIZE_MAX + 1];
};

struct metadata_topic {
    char *name;
    size_t name_size;
    struct uuid id;
    int32_t partition_count;
    int16_t replication;
    uint64_t *groups;                   /* partition_count, ascending */
    struct metadata_replicas *replicas; /* partition_count; NULL: everything on the one node there is */
    struct writer configs;              /* encoded: metadata_config_next */
    uint32_t config_count;
};
struct metadata {
    struct map by_name,
        by_id; /* -> struct metadata_topic, by_name in order of creation, then of keys after a load */
    uint64_t applied_index;
    uint64_t next_group; /* from 1: group 0 is the controller's own */
    int64_t next_producer_id;
    char cluster_id[METADATA_CLUSTER_ID_SIZE + 1]; /* empty before INIT */
    int64_t partition_total;
    struct metadata_node *nodes; /* ascending */
    uint32_t node_count;
};
void metadata_init(struct metadata *m, uint64_t hash_seed);
void metadata_release(struct metadata *m);

const struct metadata_topic *metadata_find(const struct metadata *m, struct slice name);
const struct metadata_topic *metadata_find_id(const struct metadata *m, struct uuid id);
/* NULL: not registered. */
const struct metadata_node *metadata_node(const struct metadata *m, uint32_t node);
/* Chooses who gets `count` new partitions with `replication` replicas each: those of the registered nodes
 * that `usable` names, the ones with fewest replicas first, leaders spread as well. Appends the placement.
 * INVALID_REPLICATION: too few nodes. */
enum status metadata_place(const struct metadata *m, int32_t count, int16_t replication,
                           bool (*usable)(void *ctx, uint32_t node), void *ctx, struct writer *placement,
                           struct diagnostic *diagnostic) MUST_USE;
/* Walks a topic's configs: `rest` begins as the whole list; END after the last. */
enum status metadata_config_next(struct slice *rest, struct metadata_config *config) MUST_USE;

/* Whether `command` may be applied now: EXISTS, UNKNOWN_TOPIC, INVALID_PARTITIONS, INVALID_TOPIC,
 * INVALID_REPLICATION, INVALID. */
enum status metadata_check(const struct metadata *m, const struct metadata_command *command,
                           struct diagnostic *diagnostic) MUST_USE;

/* The same for CREATE_TOPIC and ADD_PARTITIONS before they are placed. */
enum status metadata_check_name(const struct metadata *m, const struct metadata_command *command,
                                struct diagnostic *diagnostic) MUST_USE;

/* What to write with the command, as key suffixes under the host's prefix for state keys. */
struct metadata_effects {
    struct writer bytes; /* keys and values, one after the other */
    struct {
        size_t key_at, key_size, value_at, value_size;
        bool removed;
    } keys[4];
    uint32_t key_count;
    uint64_t *dropped_groups; /* whose data is to be deleted; ascending */
    uint32_t dropped_count;
    int64_t first_producer_id; /* TAKE_PRODUCERS */
};
void metadata_effects_init(struct metadata_effects *effects);
void metadata_effects_release(struct metadata_effects *effects);
/* `index` is the command's log index, one more than applied_index. The command was checked against this
 * state. */
void metadata_apply(struct metadata *m, uint64_t index, const struct metadata_command *command,
                    struct metadata_effects *effects);
/* Restores one key that apply once returned; in the order of the keys' bytes, so that the header comes first.
 * MALFORMED: damaged or of another version, and the state is only good for release. */
enum status metadata_load(struct metadata *m, struct slice key, struct slice value) MUST_USE;

#endif
