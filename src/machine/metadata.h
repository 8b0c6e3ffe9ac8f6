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
 * MOVES. A partition's placement is where it shall be. Changing it starts a move, which remembers where the
 * partition may still have replicas:
 *
 *   SET_REPLICAS ──> target, and what is left behind: ORIGINAL (what a cancellation goes back to) and
 *                    ABANDONED (of a target given up)   ──the group's members are the target──> MOVED
 *   MOVED        ──> those left behind that are not in the target are CLOSING: they delete their copy and say
 *                    so, each with DROPPED, which ends it
 *
 * A node that is CLOSING cannot be placed again before it said so: else it could delete what it has just
 * acknowledged. MOVED and DROPPED name the version they mean, so that late ones do nothing.
 *
 * NODES are announced (ADD_NODE: an address, and no disk yet), register themselves, are drained and removed.
 * A removed node's disk never comes back under its number.
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
#define METADATA_RACK_SIZE_MAX    63
#define METADATA_LEFT_MAX         (2 * METADATA_REPLICAS_MAX)

enum metadata_kind {
    METADATA_INIT = 1,       /* cluster id; the first command of a cluster */
    METADATA_CREATE_TOPIC,   /* name, id, partition count, replication, configs */
    METADATA_DELETE_TOPIC,   /* name; id: this topic and no later one of the name, or zero */
    METADATA_SET_CONFIGS,    /* name, the whole new list; placement: metadata_put_seen, or empty */
    METADATA_ADD_PARTITIONS, /* name, the new total */
    METADATA_TAKE_PRODUCERS, /* count: reserves so many producer ids */
    METADATA_REGISTER_NODE,  /* node, incarnation, name: the address where it is reached; config "rack" */
    METADATA_REMOVE_NODE,    /* node: no partition has it any more */
    METADATA_SET_REPLICAS,   /* name, count: a partition; its new placement */
    METADATA_CANCEL_MOVE,    /* name, count: a partition; back to where it was */
    METADATA_MOVED,          /* name, count: a partition; placement: the version be64 of the move */
    METADATA_DROPPED,    /* name, count: a partition; node; placement: be64, what it was told to close by */
    METADATA_ADD_NODE,   /* node, name: the address where it will be reached */
    METADATA_DRAIN_NODE, /* node, count: 1, or 0 to take it back */
    METADATA_SET_CATCH_UP_RATE, /* placement: be64, metadata.catch_up_rate */
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

enum metadata_left_kind { METADATA_ORIGINAL = 1, METADATA_ABANDONED, METADATA_CLOSING };
struct metadata_left {
    uint32_t node;
    enum metadata_left_kind kind;
    uint64_t since; /* CLOSING: index of the command that said so */
};
struct metadata_move {
    uint64_t version; /* index of the command that set the target; 0: it is reached, and all are CLOSING */
    uint8_t count;
    struct metadata_left left[METADATA_LEFT_MAX];
};
/* Who shall have a partition; the preferred leader first. */
struct metadata_replicas {
    uint8_t count;
    bool own_key; /* is stored under a key of its own, not with its topic */
    uint32_t nodes[METADATA_REPLICAS_MAX];
    uint64_t founded;           /* index of the command that made it; 0: it went to other nodes since */
    struct metadata_move *move; /* NULL: nothing is left behind anywhere */
};
/* The disks that a node had before, as far back as is remembered. */
#define METADATA_DISKS_MAX 8
struct metadata_disk {
    uint32_t incarnation;
    uint64_t registered; /* index of the command that brought it */
};
struct metadata_node {
    uint32_t node, incarnation;                      /* incarnation 0: announced, never seen */
    uint64_t registered;                             /* index of the command that brought this incarnation */
    struct metadata_disk before[METADATA_DISKS_MAX]; /* oldest first */
    uint32_t before_count;
    bool draining; /* gets nothing new, and loses what it has */
    char address[METADATA_ADDRESS_SIZE_MAX + 1];
    char rack[METADATA_RACK_SIZE_MAX + 1]; /* empty: none */
};
/* A disk that was removed with its node. */
struct metadata_removed {
    uint32_t node, incarnation;
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
    /* Bytes a second that each node sends to replicas that lag; 0: no limit; below: nobody has said so. */
    int64_t catch_up_rate;
    int64_t partition_total;
    struct metadata_node *nodes; /* ascending */
    uint32_t node_count;
    struct metadata_removed removed[METADATA_NODES_MAX]; /* ascending; the last of each number */
    uint32_t removed_count;
};
void metadata_init(struct metadata *m, uint64_t hash_seed);
void metadata_release(struct metadata *m);
/* As released, and then what `from` is; `from` is empty then. */
void metadata_take(struct metadata *m, struct metadata *from);

const struct metadata_topic *metadata_find(const struct metadata *m, struct slice name);
const struct metadata_topic *metadata_find_id(const struct metadata *m, struct uuid id);
/* NULL: not registered. */
const struct metadata_node *metadata_node(const struct metadata *m, uint32_t node);
/* The incarnation that the node had when the command `index` was applied; 0: none, or it is not remembered. */
uint32_t metadata_incarnation_at(const struct metadata_node *node, uint64_t index);
/* 0: none of this number was removed. */
uint32_t metadata_removed_incarnation(const struct metadata *m, uint32_t node);
/* Whether the node may have a replica: it is in the placement, or left behind and not told to close. */
bool metadata_has_replica(const struct metadata_replicas *replicas, uint32_t node);
bool metadata_is_placed(const struct metadata_replicas *replicas, uint32_t node);
/* Those who found it, as long as `founded` is not 0: where it was made, also while it is moved away from
 * there; how many. */
uint32_t metadata_founders(const struct metadata_replicas *replicas, uint32_t nodes[METADATA_REPLICAS_MAX]);
/* NULL: not left behind. */
const struct metadata_left *metadata_left_behind(const struct metadata_replicas *replicas, uint32_t node);
/* The target is not reached yet. */
static inline bool metadata_is_moving(const struct metadata_replicas *replicas) {
    return replicas->move != NULL && replicas->move->version != 0;
}
/* Partitions that a node shall have, that are being moved away from it, and of which it still has to delete
 * its copy. */
struct metadata_replica_count {
    uint64_t placed, leaving, closing;
};
void metadata_count_replicas(const struct metadata *m, uint32_t node, struct metadata_replica_count *count);
/* Chooses who gets `count` new partitions with `replication` replicas each: those of the registered nodes
 * that `usable` names, spread over racks, the ones with fewest replicas first, leaders spread as well.
 * Appends the placement. INVALID_REPLICATION: too few nodes. */
enum status metadata_place(const struct metadata *m, int32_t count, int16_t replication,
                           bool (*usable)(void *ctx, uint32_t node), void *ctx, struct writer *placement,
                           struct diagnostic *diagnostic) MUST_USE;
/* The same for one partition that is there, with `replication` replicas from now on: those it has stay where
 * they can. Nodes that drain lose theirs; when it has too many, those go that are not usable, that share a
 * rack, that have most. */
enum status metadata_place_again(const struct metadata *m, const struct metadata_replicas *replicas,
                                 int16_t replication, bool (*usable)(void *ctx, uint32_t node), void *ctx,
                                 struct writer *placement, struct diagnostic *diagnostic) MUST_USE;
/* Walks a topic's configs: `rest` begins as the whole list; END after the last. */
enum status metadata_config_next(struct slice *rest, struct metadata_config *config) MUST_USE;
/* The configs that a new list is made from: SET_CONFIGS is BUSY where the topic has others by then, so that
 * of two changes through different nodes none is lost. */
void metadata_put_seen(const struct metadata_topic *topic, struct writer *out);

/* Whether `command` may be applied now: EXISTS, UNKNOWN_TOPIC, UNKNOWN_TOPIC_ID, INVALID_PARTITIONS,
 * INVALID_TOPIC, INVALID_REPLICATION, INVALID, UNAVAILABLE (soon), BUSY, NOT_FOUND, IN_USE. */
enum status metadata_check(const struct metadata *m, const struct metadata_command *command,
                           struct diagnostic *diagnostic) MUST_USE;

/* The same for CREATE_TOPIC, ADD_PARTITIONS and SET_REPLICAS before they are placed. */
enum status metadata_check_name(const struct metadata *m, const struct metadata_command *command,
                                struct diagnostic *diagnostic) MUST_USE;

/* What to write with the command, as key suffixes under the host's prefix for state keys. */
struct metadata_effects {
    struct writer bytes; /* keys and values, one after the other */
    struct metadata_key {
        size_t key_at, key_size, value_at, value_size;
        bool removed;
    } * keys;
    uint32_t key_count, key_capacity;
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
/* A broker that ran alone is a cluster's first member from now on: every partition is on `node`. Gives the
 * keys that say so. */
void metadata_adopt(struct metadata *m, uint32_t node, struct metadata_effects *effects);
/* Restores one key that apply once returned; in the order of the keys' bytes, so that the header comes first.
 * MALFORMED: damaged or of another version, and the state is only good for release. */
enum status metadata_load(struct metadata *m, struct slice key, struct slice value) MUST_USE;

#endif
