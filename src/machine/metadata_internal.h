// SPDX-License-Identifier: Apache-2.0
/* metadata_internal.h: what the files of the metadata machine share. Not for others.
 *
 *   metadata.c        commands, topics, what may be applied, applying it
 *   metadata_move.c   who has a partition, and moves
 *   metadata_node.c   nodes
 *   metadata_store.c  the state as keys, and back
 *   metadata_place.c  choosing nodes; metadata_balance.c: choosing again */
#ifndef SENTINEL_MACHINE_METADATA_INTERNAL_H
#define SENTINEL_MACHINE_METADATA_INTERNAL_H

#include "machine/metadata.h"

/* metadata.c */
struct metadata_topic *metadata_add_topic(struct metadata *m, struct slice name, struct uuid id);
enum status metadata_check_placement(const struct metadata *m, const struct metadata_command *command,
                                     int32_t count, int16_t replication, struct diagnostic *diagnostic);

/* metadata_move.c */
enum status metadata_move_check(const struct metadata *m, const struct metadata_topic *topic,
                                const struct metadata_command *command, struct diagnostic *diagnostic);
void metadata_move_apply(struct metadata *m, struct metadata_topic *topic,
                         const struct metadata_command *command, struct metadata_effects *effects);
/* Nobody waits for the node's word any more: its disk is gone. */
void metadata_move_forget(struct metadata *m, uint32_t node, struct metadata_effects *effects);
void metadata_set_placement(struct metadata *m, struct metadata_topic *topic, struct slice placement,
                            int32_t first);

/* metadata_node.c */
enum status metadata_node_check(const struct metadata *m, const struct metadata_command *command,
                                struct diagnostic *diagnostic);
void metadata_node_apply(struct metadata *m, const struct metadata_command *command,
                         struct metadata_effects *effects);
struct metadata_node *metadata_node_put(struct metadata *m, uint32_t number);
void metadata_node_set_removed(struct metadata *m, uint32_t node, uint32_t incarnation);
/* The lowest number. */
void metadata_node_forget_removed(struct metadata *m);

/* metadata_place.c: what a node has by the placement, targets of moves included. */
struct metadata_load {
    uint32_t node;
    const char *rack;
    uint64_t replicas, leaders;
    bool taken, usable;
};
/* Those of the registered nodes that do not drain and that `usable` names; room for METADATA_NODES_MAX. */
uint32_t metadata_loads(const struct metadata *m, bool (*usable)(void *ctx, uint32_t node), void *ctx,
                        struct metadata_load *loads);
/* NULL: none of them. */
struct metadata_load *metadata_load_find(struct metadata_load *loads, uint32_t count, uint32_t node);

/* metadata_store.c */
void metadata_save_header(const struct metadata *m, struct metadata_effects *effects);
void metadata_save_settings(const struct metadata *m, struct metadata_effects *effects);
void metadata_save_topic(const struct metadata_topic *topic, struct metadata_effects *effects);
void metadata_save_topic_removed(const struct metadata_topic *topic, struct metadata_effects *effects);
/* From now on under a key of its own. */
void metadata_save_partition(struct metadata_topic *topic, int32_t partition,
                             struct metadata_effects *effects);
void metadata_save_node(const struct metadata_node *node, struct metadata_effects *effects);
void metadata_save_node_removed(uint32_t node, uint32_t incarnation, struct metadata_effects *effects);
void metadata_save_removed_forgotten(uint32_t node, struct metadata_effects *effects);

static inline void metadata_put_slice(struct writer *out, struct slice bytes) {
    writer_varint64(out, bytes.size);
    writer_bytes(out, bytes);
}

static inline struct slice metadata_take_slice(struct reader *in) {
    return reader_bytes(in, reader_varint64(in));
}

#endif
