// SPDX-License-Identifier: Apache-2.0
/* group_internal.h: what the files of the group machine share. Not for other folders.
 *
 * Source, owner, loop: group.h. */
#ifndef SENTINEL_MACHINE_GROUP_INTERNAL_H
#define SENTINEL_MACHINE_GROUP_INTERNAL_H

#include "machine/group.h"

/* A member id that was given out and not used yet. */
struct group_pending {
    int64_t deadline_ms;
};
/* Offsets that a producer's transaction will commit or drop. */
struct group_transaction {
    struct group_producer producer;
    struct map offsets; /* as group.offsets */
};

/* group.c */
struct slice group_own(struct slice bytes); /* a copy on the heap; NULL stays NULL, empty does not */
void group_disown(struct slice *bytes);
void group_set(struct slice *to, struct slice value);
struct group *group_add(struct group_machine *m, struct slice id, int64_t wall_ms);
void group_remove(struct group_machine *m, struct group_step *step, struct group *group);
/* The group wants to be looked at no later than this. */
void group_wake_by(struct group_machine *m, struct group *group, int64_t deadline_ms);
struct group_member *group_member_find(const struct group *group, struct slice id);
struct group_member *group_member_add(struct group *group, struct slice id, struct slice instance_id);
/* Answers what it has parked with `status`, forgets it and its log record. */
void group_member_remove(struct group_step *step, struct group *group, struct group_member *member,
                         enum status status);
struct group_reply *group_reply_add(struct group_step *step, void *call, enum status status);
void group_pending_remove(struct group *group, struct slice id);
struct slice group_new_member_id(struct group_machine *m, struct slice client_id); /* owned by the caller */
enum status group_id_check(struct slice id);
/* Finds the member that `who` claims to be, by member id and instance id; not its generation. */
enum status group_identify(const struct group *group, const struct group_identity *who,
                           struct group_member **member);
void group_touch(struct group_machine *m, struct group *group, struct group_member *member, int64_t now_ms);
void group_became_empty(struct group_machine *m, struct group *group, const struct group_step *step);

/* group_classic.c */
void group_classic_expire(struct group_machine *m, struct group_step *step, struct group *group);
/* Whether some protocol is spoken by every member; joins see to it, a damaged log may not. */
bool group_classic_agrees(const struct group *group);

/* group_consumer.c */
void group_consumer_expire(struct group_machine *m, struct group_step *step, struct group *group);
void group_consumer_remove_member(struct group_machine *m, struct group_step *step, struct group *group,
                                  struct group_member *member);
void group_owners_rebuild(struct group *group);

/* group_match.c */
/* Names the topics that each member's pattern matches now. */
void group_match(struct group *group, const struct group_topics *topics);
/* Whether a member may subscribe by `regex`: all of a group together have GROUP_PATTERNS_MAX of them. */
bool group_has_room_for_pattern(const struct group *group, struct slice member_id, struct slice regex);
void group_matched_clear(struct group_member *member);
/* The i-th topic that the member subscribes to, by name or by pattern, each once; false: no more. */
bool group_subscription(const struct group_member *member, uint32_t *i, struct slice *name);

/* group_assign.c: fills in member->target of every member. */
void group_assign(struct group *group, const struct group_topics *topics);

/* group_partitions.c */
void group_partitions_release(struct group_partitions *set);
void group_partitions_add(struct group_partitions *set,
                          struct group_partition partition); /* keeps the order */
bool group_partitions_has(const struct group_partitions *set, struct group_partition partition);
bool group_partitions_equal(const struct group_partitions *a, const struct group_partitions *b);
void group_partitions_copy(struct group_partitions *to, const struct group_partitions *from);

/* group_offset.c */
void group_offset_expire(struct group_machine *m, struct group_step *step, struct group *group);
void group_offsets_release(struct map *offsets);
void group_offset_put(struct map *offsets, const struct group_offset *offset); /* copies */

/* group_store.c */
void group_save(struct group_step *step, const struct group *group);
void group_save_removed(struct group_step *step, const struct group *group);
void group_save_member(struct group_step *step, const struct group *group, struct group_member *member);
void group_save_member_removed(struct group_step *step, const struct group *group,
                               const struct group_member *member);
/* producer NULL: committed. */
void group_save_offset(struct group_step *step, const struct group *group,
                       const struct group_producer *producer, const struct group_offset *offset);
void group_save_offset_removed(struct group_step *step, const struct group *group,
                               const struct group_producer *producer, const struct group_offset *offset);

#endif
