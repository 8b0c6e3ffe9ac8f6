// SPDX-License-Identifier: Apache-2.0
/* raft_host.h: a member of a group in memory: carries out the effects of the core as the contract says, on a
 * disk that keeps what was made durable and nothing else, and checks every step against the ghost.
 *
 * Nothing happens by itself: the driver (a script, a random schedule, a model checker) decides when a write
 * becomes durable, when a message that may leave is delivered, when a read is answered, when the member
 * crashes.
 *
 * Owner   the group owns hosts, mail and payloads (payloads live as long as the group).
 * Loop    the test's thread. */
#ifndef SENTINEL_TESTS_RAFT_HOST_H
#define SENTINEL_TESTS_RAFT_HOST_H

#include "base/arena.h"
#include "base/cursor.h"
#include "raft/raft.h"
#include "sim/raft_ghost.h"

#define RAFT_HOSTS_MAX          12
#define RAFT_SNAPSHOT_BYTES     24 /* of a snapshot's data, in pieces of RAFT_SNAPSHOT_PIECE_MAX */
#define RAFT_SNAPSHOT_PIECE_MAX 10

/* A message on its way, with copies of what it points to. */
struct raft_mail {
    struct raft_message message;
    struct raft_entry *entries;
    struct raft_config *config;
    uint8_t data[RAFT_SNAPSHOT_BYTES];
};
void raft_mail_free(struct raft_mail *mail);
struct raft_mail *raft_mail_copy(const struct raft_message *message);

/* What is on a disk: all that survives. */
struct raft_image {
    struct raft_hard_state hard_state;
    struct raft_stored *log; /* from log_start on */
    uint32_t count, capacity;
    uint64_t log_start, log_start_term, log_start_chain;
    struct raft_config *config; /* in force at log_start */
    struct raft_snapshot
        snapshot; /* the newest taken or installed; id 0: none; its configuration is `config` */
    uint64_t snapshot_chain;
};

struct raft_write {
    uint64_t number;
    bool set_hard_state, truncate, install;
    struct raft_hard_state hard_state;
    uint64_t truncate_from;
    struct raft_stored *entries;
    uint32_t entry_count;
    struct raft_snapshot snapshot;
    uint64_t snapshot_chain;
};

#define RAFT_LIST(type, name)                                                                                \
    struct {                                                                                                 \
        type *items;                                                                                         \
        uint32_t count, capacity;                                                                            \
    } name

struct raft_entry_answer {
    struct raft_entry_read asked;
    enum status status;
    struct raft_entry *entries;
    uint32_t count;
};

struct raft_group;
struct raft_host {
    struct raft_group *group;
    uint64_t id;
    struct raft_options options;
    uint8_t priority;
    bool up;
    uint64_t starts; /* seeds differ from start to start */
    struct raft raft;
    struct raft_image durable;              /* the disk */
    struct raft_image view;                 /* the disk as it will be when all writes are done */
    RAFT_LIST(struct raft_write *, writes); /* begun, oldest first */
    RAFT_LIST(struct raft_mail *, held);    /* wait for a write */
    RAFT_LIST(struct raft_mail *, outbox);  /* may leave: the driver takes them */
    RAFT_LIST(struct raft_entry_answer,
              entry_reads); /* read, not answered: what was there when it was asked for */
    RAFT_LIST(struct raft_snapshot_read, snapshot_reads); /* asked, not answered */
    RAFT_LIST(struct raft_read_state, reads);             /* results; the driver takes them */
    struct raft_mail *snapshot_write;                     /* a piece to be stored, or NULL */
    struct {
        uint64_t id, end, size;
        uint8_t data[RAFT_SNAPSHOT_BYTES];
    } incoming; /* on disk, received in part */
    uint64_t applied_end, applied_chain;
    uint64_t heard_ns; /* R22: when a leader was last heard, by the host's clock; 0: not since it started */
    bool manual_apply; /* the driver sends APPLIED */
    /* Called after each step, before anything follows from it; or NULL. */
    void (*watch)(void *ctx, struct raft_host *host, const struct raft_event *event, enum status status);
    void *watch_ctx;
    uint64_t deadline;
    struct raft_effects effects; /* of the last step */
};

struct raft_group {
    struct raft_host *hosts[RAFT_HOSTS_MAX];
    uint32_t host_count;
    struct raft_ghost ghost;
    struct arena payloads;
    uint64_t next_payload, next_snapshot_id;
    uint64_t seed;
};

void raft_group_init(struct raft_group *group, uint64_t seed);
void raft_group_release(struct raft_group *group);
/* A host with an empty disk, not started. `config`: that of a new group; NULL: to be added later. */
struct raft_host *raft_group_add(struct raft_group *group, const struct raft_options *options,
                                 const struct raft_config *config);
/* The disk is lost for good, and with it this identity. */
void raft_group_remove(struct raft_group *group, struct raft_host *host);
struct raft_host *raft_group_find(const struct raft_group *group, uint64_t id); /* NULL: none */
/* The leader of the highest term that is up, or NULL. */
struct raft_host *raft_group_leader(const struct raft_group *group);

void raft_host_start(struct raft_host *host, uint64_t now_ns);
/* The first `keep` writes that are under way become durable, the others are lost, with everything in memory.
 */
void raft_host_crash(struct raft_host *host, uint32_t keep);
enum status raft_host_step(struct raft_host *host, const struct raft_event *event);
/* The oldest `count` writes become durable. */
void raft_host_persist(struct raft_host *host, uint32_t count, uint64_t now_ns);
enum status raft_host_propose(struct raft_host *host, uint32_t entry_count, uint32_t covered, size_t size,
                              uint64_t now_ns);
void raft_host_receive(struct raft_host *host, const struct raft_message *message, uint64_t now_ns);
void raft_host_timer(struct raft_host *host, uint64_t now_ns);
/* Answer the oldest request of each kind; nothing when there is none. */
void raft_host_answer_entries(struct raft_host *host, uint64_t now_ns);
void raft_host_answer_snapshot(struct raft_host *host, uint64_t now_ns);
void raft_host_store_piece(struct raft_host *host, uint64_t now_ns);
/* Takes a snapshot of what is applied and drops the log below it; false: not now. */
bool raft_host_compact(struct raft_host *host, uint64_t now_ns);
/* Damages `count` durable entries from the index-th on; the host notices at once. False: there are none. */
bool raft_host_damage(struct raft_host *host, uint32_t index, uint32_t count, uint64_t now_ns);

uint64_t raft_image_end(const struct raft_image *image);
uint64_t raft_image_durable_end(const struct raft_image *image); /* below the first damage */
/* Index of the first entry that ends above `position`. */
uint32_t raft_image_above(const struct raft_image *image, uint64_t position);
/* False: no entry ends there. */
bool raft_image_chain(const struct raft_image *image, uint64_t position, uint64_t *chain);

#endif
