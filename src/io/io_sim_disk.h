// SPDX-License-Identifier: Apache-2.0
/* io_sim_disk.h: the simulated disk of one node: files, names, and what a crash leaves of them.
 *
 * A file (inode) has two images, what programs see and what is durable, and the list of operations between
 * the two, in order. A name is an entry (directory, name) -> inode, likewise in two maps with a list between.
 *
 *      write ─> `seen` image + pending operation ─ sync ─> `durable` image
 *                                                └ crash ─> kept, dropped or torn by sectors
 *
 * Images share pages of 4 KiB by reference counts; a pending write holds the pages as they were right after
 * it. So a sector that a crash keeps of an operation has everything earlier operations put into it, as on a
 * real machine, where the page cache writes whole sectors.
 *
 * Owner   the disk owns everything; inodes are counted by entries, pending operations and handles.
 * Errors  errno values, 0 for none: the caller turns them into statuses.
 * Bounds  IO_SIM_PENDING_MAX pending operations a file (a disk): older ones are made durable, as a kernel
 *         writes back what is old.   Loop: one thread. */
#ifndef SENTINEL_IO_IO_SIM_DISK_H
#define SENTINEL_IO_IO_SIM_DISK_H

#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "base/slice.h"
#include "io/io_sim.h"
#include "io/io_sim_image.h"

#define IO_SIM_PENDING_MAX 4096U
#define IO_SIM_NAME_MAX    255U

struct io_sim_inode {
    struct list link; /* io_sim_disk.inodes */
    uint64_t number;
    uint32_t references, handles;
    bool is_dir, locked;
    struct io_sim_image seen, durable;
    struct list pending; /* of struct io_sim_change */
    uint32_t pending_count;
    uint64_t last_change; /* sequence of the latest change of its contents */
    struct {              /* written in place since the last sync, or up to it; from == to: nothing was */
        uint64_t from, to;
        bool synced;
    } overwritten;
    struct list damages;
};
struct io_sim_disk {
    struct map seen, durable; /* entry key -> inode */
    struct list pending;      /* of struct io_sim_rename */
    uint32_t pending_count;
    struct list inodes;
    struct io_sim_inode *root;
    uint64_t inode_sequence, change_sequence;
    uint64_t seen_pages;
    struct io_sim_pool *pool; /* of the world */
    struct io_sim_page *zeros;
    struct io_sim_disk_faults faults;
    uint32_t read_now_ppm;
    struct prng latency, chance, crash, shuffle;
    uint64_t op_count, stop_in; /* operations of stop_kind until it stops; 0: never */
    enum io_sim_stop stop;
    enum io_sim_disk_op stop_kind;
};

void io_sim_disk_init(struct io_sim_disk *disk, struct io_sim_pool *pool, struct prng *root, uint32_t node);
void io_sim_disk_release(struct io_sim_disk *disk);
void io_sim_disk_wipe(struct io_sim_disk *disk);
/* After it what programs see is what is durable. No handle may be open. */
void io_sim_disk_crash(struct io_sim_disk *disk, enum io_sim_crash how);
void io_sim_disk_clone(struct io_sim_disk *to, struct io_sim_disk *from, enum io_sim_crash how);

/* ---- names ------------------------------------------------------------------------------------------- */

struct io_sim_place {
    struct io_sim_inode *dir;   /* that holds the entry */
    struct io_sim_inode *inode; /* NULL: no such entry */
    char name[IO_SIM_NAME_MAX + 1];
};
/* ENOENT or ENOTDIR when the directory is not there; the entry itself may be missing. */
int io_sim_disk_find(struct io_sim_disk *disk, const char *path, struct io_sim_place *place);
struct io_sim_inode *io_sim_disk_create(struct io_sim_disk *disk, const struct io_sim_place *place,
                                        bool is_dir);
void io_sim_disk_link(struct io_sim_disk *disk, const struct io_sim_place *place, struct io_sim_inode *inode);
void io_sim_disk_unlink(struct io_sim_disk *disk, const struct io_sim_place *place);
void io_sim_disk_rename(struct io_sim_disk *disk, const struct io_sim_place *from,
                        const struct io_sim_place *to);
void io_sim_disk_sync_dir(struct io_sim_disk *disk, const struct io_sim_inode *dir);
/* The entries of dir in an order of the seed's choice. */
void io_sim_disk_list(struct io_sim_disk *disk, const struct io_sim_inode *dir,
                      void (*entry)(void *ctx, const char *name, bool is_dir), void *ctx);

/* ---- contents ---------------------------------------------------------------------------------------- */

void io_sim_inode_ref(struct io_sim_inode *inode);
void io_sim_inode_unref(struct io_sim_disk *disk, struct io_sim_inode *inode);
/* 0, ENOSPC (a part may be written) or EFBIG. `slices` hold `size` bytes or more; NULL: zeros. */
int io_sim_inode_write(struct io_sim_disk *disk, struct io_sim_inode *inode, const struct slice *slices,
                       size_t size, uint64_t offset);
/* 0 or EIO (a broken sector); *read is short only at the end. */
int io_sim_inode_read(const struct io_sim_inode *inode, uint8_t *data, size_t size, uint64_t offset,
                      size_t *read);
int io_sim_inode_truncate(struct io_sim_disk *disk, struct io_sim_inode *inode, uint64_t size);
/* Makes everything up to change number `mark` durable. */
void io_sim_inode_sync(struct io_sim_disk *disk, struct io_sim_inode *inode, uint64_t mark);
/* A sync that failed: the pages count as clean from now on though they never got to the disk, or only some of
 * their sectors did; programs still see them (Rebello et al., "Can Applications Recover from fsync
 * Failures?", ATC 2020). */
void io_sim_inode_sync_failed(struct io_sim_disk *disk, struct io_sim_inode *inode);
/* A bit of one of all files on the disk, a small one as likely as a large one, but for the few written last:
 * what is being written is not at rest. Nor, in a file that is written in place, what was written last: the
 * last group of a log, which cannot be told from an unfinished one (docs/formats.md). false: it is that, or
 * there are no files. */
bool io_sim_disk_rot(struct io_sim_disk *disk, uint64_t choice, uint64_t *inode, uint64_t *offset);
void io_sim_inode_damage(struct io_sim_inode *inode, uint64_t offset,
                         uint8_t flip_mask); /* 0: break its sector */

#endif
