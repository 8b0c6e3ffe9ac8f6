// SPDX-License-Identifier: Apache-2.0
/* io.h's file calls on a simulated disk. A completing operation takes effect at one moment, the time of its
 * event: before it nothing of it is there, so operations under way at the same time come in any order. A
 * blocking call takes effect at once, and its time is charged to the loop or the job that made it. */
#include <errno.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_error.h"
#include "io/io_sim_world.h"

#define DISK_SIZE_DEFAULT ((uint64_t)1 << 40)

struct io_sim_file {
    struct io_file base;
    struct list link; /* io_sim_io.files */
    struct io_sim_inode *inode;
    bool writable, direct, lock;
};

enum disk_action { ACTION_READ, ACTION_WRITE, ACTION_SYNC, ACTION_NAME };

static struct io_sim_io *sim_io(struct io *io) {
    return (struct io_sim_io *)io;
}

static struct io_sim_file *sim_file(struct io_file *file) {
    return (struct io_sim_file *)file;
}

/* ---- what an operation costs, and whether it happens ------------------------------------------------- */

static uint64_t draw_latency_ns(struct io_sim_disk *disk, enum disk_action action) {
    static const struct {
        uint64_t min_us, max_us;
    } ranges[] = {[ACTION_READ] = {20, 150},
                  [ACTION_WRITE] = {10, 60},
                  [ACTION_SYNC] = {80, 600},
                  [ACTION_NAME] = {10, 50}};
    uint64_t us = prng_range(&disk->latency, ranges[action].min_us, ranges[action].max_us);
    /* One sync in a hundred stalls behind something else on the disk. */
    if (action == ACTION_SYNC && prng_chance(&disk->latency, 1, 100)) us += prng_below(&disk->latency, 20000);
    return us * NS_PER_US * MAX(disk->faults.slow_factor, 1U);
}

static void spend(struct io_sim_io *io, enum disk_action action) {
    uint64_t ns = draw_latency_ns(&io->node->disk, action);
    if (io->in_job)
        io->job_busy_ns += ns;
    else
        io->free_at_ns = MAX(io->free_at_ns, io->sim->now_ns) + ns;
}

static bool fails(struct io_sim_disk *disk, uint32_t ppm, uint32_t *countdown) {
    bool counted = *countdown != 0 && --*countdown == 0;
    return (ppm != 0 && prng_chance(&disk->chance, ppm, PPM)) || counted;
}

/* An operation that changes something: 0 to go on; else why it fails. *last: it happens, but is not heard of.
 */
static int begin(struct io_sim_io *io, enum disk_action action, bool *last) {
    *last = false;
    if (!io_sim_is_alive(io)) return EIO;
    struct io_sim_disk *disk = &io->node->disk;
    bool counts = disk->stop_kind == IO_SIM_DISK_ANY ||
                  action == (disk->stop_kind == IO_SIM_DISK_WRITE ? ACTION_WRITE : ACTION_SYNC);
    disk->op_count++;
    if (counts && disk->stop_in != 0 && --disk->stop_in == 0) {
        io->node->halted = true;
        io->sim->halted_count++;
        io_sim_trace(io->sim, io->node->number, "disk stops", disk->op_count, disk->stop, 0, NULL);
        if (disk->stop == IO_SIM_STOP_BEFORE) return EIO;
        *last = true;
    }
    if (action == ACTION_WRITE &&
        fails(disk, disk->faults.write_error_ppm, &disk->faults.write_error_countdown))
        return EIO;
    return 0;
}

static enum status blocking_result(int error) {
    return error == 0 ? STATUS_OK : io_error_noted(error);
}

static uint32_t checksum(const struct slice *slices, size_t size) {
    uint32_t crc = 0;
    for (; slices != NULL && size > 0; slices++) {
        size_t part = MIN(slices->size, size);
        crc = crc32c(crc, slices->data, part);
        size -= part;
    }
    return crc;
}

/* `slices` hold `size` bytes; NULL: zeros. */
static int write_bytes(struct io_sim_io *io, struct io_sim_inode *inode, const struct slice *slices,
                       size_t size, uint64_t offset) {
    bool last;
    struct io_sim_disk *disk = &io->node->disk;
    int error = begin(io, ACTION_WRITE, &last);
    bool full = error == 0 && fails(disk, 0, &disk->faults.no_space_countdown);
    if (full) size /= 2; /* a write that runs out of room has written a part */
    io_sim_trace(io->sim, io->node->number, error == 0 ? "write" : "write fails", inode->number, offset,
                 (uint64_t)checksum(slices, size) << 32 | (size & UINT32_MAX), NULL);
    if (error != 0) return error;
    error = io_sim_inode_write(disk, inode, slices, size, offset);
    if (full) error = ENOSPC;
    return last ? EIO : error;
}

static int sync_inode(struct io_sim_io *io, struct io_sim_inode *inode, uint64_t mark) {
    struct io_sim_disk *disk = &io->node->disk;
    bool last;
    int error = begin(io, ACTION_SYNC, &last);
    if (error == 0 && fails(disk, disk->faults.sync_error_ppm, &disk->faults.sync_error_countdown)) {
        io_sim_inode_sync_failed(disk, inode);
        error = EIO;
    }
    if (error == 0 && fails(disk, 0, &disk->faults.late_no_space_countdown)) error = ENOSPC;
    io_sim_trace(io->sim, io->node->number, error == 0 ? "sync" : "sync fails", inode->number, mark, 0, NULL);
    if (error != 0) return error;
    io_sim_inode_sync(disk, inode, mark);
    return last ? EIO : 0;
}

static int read_bytes(struct io_sim_io *io, struct io_sim_inode *inode, uint8_t *data, size_t size,
                      uint64_t offset, size_t *read) {
    struct io_sim_disk *disk = &io->node->disk;
    *read = 0;
    if (!io_sim_is_alive(io)) return EIO;
    if (fails(disk, disk->faults.read_error_ppm, &disk->faults.read_error_countdown)) return EIO;
    return io_sim_inode_read(inode, data, size, offset, read);
}

/* ---- operations that complete ------------------------------------------------------------------------ */

static bool misaligned(const struct io_sim_file *file, uint64_t offset, size_t size) {
    return file->direct && (offset % IO_SIM_SECTOR_SIZE != 0 || size % IO_SIM_SECTOR_SIZE != 0);
}

static int write_slices(struct io_sim_io *io, struct io_sim_file *file, struct io_op *op) {
    if (!file->writable) return EBADF;
    if (misaligned(file, op->request.offset, op->request.size)) return EINVAL;
    if (op->request.size == 0) return 0;
    return write_bytes(io, file->inode, op->request.slices, op->request.size, op->request.offset);
}

static int carry_out(struct io_sim_io *io, struct io_op *op) {
    struct io_sim_file *file = op->target;
    size_t read;
    int error;
    switch ((enum io_op_kind)op->request.kind) {
    case IO_OP_READ:
        if (misaligned(file, op->request.offset, op->request.size)) return EINVAL;
        error = read_bytes(io, file->inode, op->request.data, op->request.size, op->request.offset, &read);
        op->result = read;
        return error;
    case IO_OP_WRITE:
        error = write_slices(io, file, op);
        if (error != 0) return error;
        op->result = op->request.size;
        /* The sync begins when the write has ended, so it covers whatever is there by then. */
        return op->request.sync_after ? sync_inode(io, file->inode, io->node->disk.change_sequence) : 0;
    case IO_OP_SYNC:
        return sync_inode(io, file->inode, op->request.mark);
    default:
        UNREACHABLE();
    }
}

static void file_event(struct io_sim *sim, const struct io_sim_event *event) {
    if (io_sim_event_is_stale(sim, event)) return;
    struct io_op *op = event->object;
    struct io_sim_io *io = sim_io(op->io);
    if (!io_sim_is_alive(io)) return;
    int error = carry_out(io, op);
    /* The disk stopped with this one: nobody hears of it. */
    if (!io_sim_is_alive(io)) return;
    io_sim_trace(sim, io->node->number, "file done", op->id, op->result, (uint64_t)error, NULL);
    io_op_complete(op, error == 0 ? STATUS_OK : io_error(error), error);
}

void io_sim_file_submit(struct io_sim_io *io, struct io_op *op) {
    struct io_sim_disk *disk = &io->node->disk;
    enum io_op_kind kind = (enum io_op_kind)op->request.kind;
    list_remove(&op->link);
    list_push_back(&io->disk_ops, &op->link);
    op->request.mark = disk->change_sequence;
    uint64_t ns = draw_latency_ns(disk, kind == IO_OP_READ    ? ACTION_READ
                                        : kind == IO_OP_WRITE ? ACTION_WRITE
                                                              : ACTION_SYNC);
    if (op->request.sync_after) ns += draw_latency_ns(disk, ACTION_SYNC);
    io->busy_until_ns = MAX(io->busy_until_ns, io->sim->now_ns + ns);
    io_sim_schedule(io->sim, io->sim->now_ns + ns, io->node->number, file_event, op, 0);
}

/* ---- blocking calls ---------------------------------------------------------------------------------- */

static struct io_file *file_new(struct io_sim_io *io, struct io_sim_inode *inode) {
    struct io_sim_file *file = mem_calloc(1, sizeof *file);
    file->base.io = &io->base;
    file->inode = inode;
    io_sim_inode_ref(inode);
    inode->handles++;
    list_push_back(&io->files, &file->link);
    return &file->base;
}

static void file_detach(struct io_sim_io *io, struct io_sim_file *file) {
    if (file->inode == NULL) return;
    file->inode->handles--;
    if (file->lock) file->inode->locked = false;
    io_sim_inode_unref(&io->node->disk, file->inode);
    file->inode = NULL;
}

static int create_inode(struct io_sim_io *io, const struct io_sim_place *place, const char *path, bool is_dir,
                        struct io_sim_inode **inode) {
    bool last;
    int error = begin(io, ACTION_NAME, &last);
    spend(io, ACTION_NAME);
    if (error == 0 && fails(&io->node->disk, 0, &io->node->disk.faults.no_space_countdown)) error = ENOSPC;
    if (error != 0) return error;
    *inode = io_sim_disk_create(&io->node->disk, place, is_dir);
    io_sim_trace(io->sim, io->node->number, is_dir ? "mkdir" : "create", (*inode)->number, 0, 0, path);
    return last ? EIO : 0;
}

static int truncate_inode(struct io_sim_io *io, struct io_sim_inode *inode, uint64_t size) {
    bool last;
    int error = begin(io, ACTION_WRITE, &last);
    spend(io, ACTION_NAME);
    if (error != 0) return error;
    io_sim_trace(io->sim, io->node->number, "truncate", inode->number, size, 0, NULL);
    error = io_sim_inode_truncate(&io->node->disk, inode, size);
    return last ? EIO : error;
}

static int open_inode(struct io_sim_io *io, const char *path, unsigned flags, struct io_sim_inode **inode) {
    struct io_sim_place place;
    if (!io_sim_is_alive(io)) return EIO;
    int error = io_sim_disk_find(&io->node->disk, path, &place);
    if (error != 0) return error;
    *inode = place.inode;
    if (place.inode == NULL)
        return (flags & IO_OPEN_CREATE) == 0 ? ENOENT : create_inode(io, &place, path, false, inode);
    if (place.inode->is_dir) return EISDIR;
    if ((flags & IO_OPEN_EXCLUSIVE) != 0) return EEXIST;
    if ((flags & IO_OPEN_TRUNCATE) != 0) return truncate_inode(io, place.inode, 0);
    return 0;
}

static enum status file_open(struct io *base, const char *path, unsigned flags, struct io_file **file) {
    struct io_sim_io *io = sim_io(base);
    struct io_sim_inode *inode;
    bool refused = io_sim_is_alive(io) && io->node->disk.faults.no_descriptors;
    int error = refused ? EMFILE : open_inode(io, path, flags, &inode);
    if (error != 0) return io_error_noted(error);
    *file = file_new(io, inode);
    sim_file(*file)->writable = (flags & IO_OPEN_WRITE) != 0;
    sim_file(*file)->direct = (flags & IO_OPEN_DIRECT) != 0;
    return STATUS_OK;
}

static void file_close(struct io_file *base) {
    struct io_sim_file *file = sim_file(base);
    file_detach(sim_io(base->io), file);
    list_remove(&file->link);
    mem_free(file);
}

static enum status file_size(struct io_file *file, uint64_t *size) {
    if (sim_file(file)->inode == NULL) return io_error_noted(EIO);
    *size = sim_file(file)->inode->seen.size;
    return STATUS_OK;
}

static enum status file_read_at(struct io_file *base, void *data, size_t size, uint64_t offset,
                                size_t *read) {
    struct io_sim_file *file = sim_file(base);
    struct io_sim_io *io = sim_io(base->io);
    if (!io_sim_is_alive(io)) return io_error_noted(EIO);
    if (misaligned(file, offset, size)) return io_error_noted(EINVAL);
    spend(io, ACTION_READ);
    return blocking_result(read_bytes(io, file->inode, data, size, offset, read));
}

/* What the page cache has is drawn; errors are io_read's to report. */
static bool file_read_now(struct io_file *base, void *data, size_t size, uint64_t offset) {
    struct io_sim_file *file = sim_file(base);
    struct io_sim_io *io = sim_io(base->io);
    struct io_sim_disk *disk = &io->node->disk;
    size_t read;
    if (!io_sim_is_alive(io) || file->inode == NULL || file->direct) return false;
    if (disk->faults.read_error_ppm != 0 || disk->faults.read_error_countdown != 0) return false;
    if (disk->read_now_ppm == 0 || !prng_chance(&disk->latency, disk->read_now_ppm, PPM)) return false;
    return io_sim_inode_read(file->inode, data, size, offset, &read) == 0 && read == size;
}

static enum status file_write_at(struct io_file *base, struct slice bytes, uint64_t offset) {
    struct io_sim_file *file = sim_file(base);
    struct io_sim_io *io = sim_io(base->io);
    if (!io_sim_is_alive(io)) return io_error_noted(EIO);
    if (!file->writable) return io_error_noted(EBADF);
    if (misaligned(file, offset, bytes.size)) return io_error_noted(EINVAL);
    if (bytes.size == 0) return STATUS_OK;
    spend(io, ACTION_WRITE);
    return blocking_result(write_bytes(io, file->inode, &bytes, bytes.size, offset));
}

static enum status file_sync(struct io_file *base) {
    struct io_sim_io *io = sim_io(base->io);
    if (!io_sim_is_alive(io)) return io_error_noted(EIO);
    spend(io, ACTION_SYNC);
    return blocking_result(sync_inode(io, sim_file(base)->inode, io->node->disk.change_sequence));
}

static enum status file_truncate(struct io_file *base, uint64_t size) {
    struct io_sim_io *io = sim_io(base->io);
    if (!io_sim_is_alive(io)) return io_error_noted(EIO);
    if (!sim_file(base)->writable) return io_error_noted(EINVAL);
    return blocking_result(truncate_inode(io, sim_file(base)->inode, size));
}

static enum status file_preallocate(struct io_file *base, uint64_t size) {
    struct io_sim_io *io = sim_io(base->io);
    struct io_sim_file *file = sim_file(base);
    if (!io_sim_is_alive(io)) return io_error_noted(EIO);
    if (!file->writable) return io_error_noted(EBADF);
    uint64_t end = file->inode->seen.size;
    if (size <= end) return STATUS_OK;
    spend(io, ACTION_WRITE);
    return blocking_result(write_bytes(io, file->inode, NULL, (size_t)(size - end), end));
}

static enum status file_name_count(struct io_file *base, uint64_t *names) {
    struct io_sim_io *io = sim_io(base->io);
    if (!io_sim_is_alive(io)) return io_error_noted(EIO);
    *names = 0;
    MAP_FOREACH(it, &io->node->disk.seen)
        *names += MAP_ENTRY(it)->value == sim_file(base)->inode;
    return STATUS_OK;
}

static void file_write_behind(struct io_file *file, uint64_t offset, uint64_t size) {
    (void)file, (void)offset, (void)size;
}

static void file_will_need(struct io_file *file, uint64_t offset, uint64_t size) {
    (void)file;
    (void)offset;
    (void)size;
}

static void file_drop_cache(struct io_file *file, uint64_t offset, uint64_t size) {
    (void)file;
    (void)offset;
    (void)size;
}

/* ---- names ------------------------------------------------------------------------------------------- */

static bool dir_is_empty(const struct io_sim_disk *disk, const struct io_sim_inode *dir) {
    MAP_FOREACH(it, &disk->seen) {
        struct slice key = map_entry_key(MAP_ENTRY(it));
        uint64_t number = 0;
        for (unsigned i = 0; i < sizeof number; i++)
            number = number << 8 | key.data[i];
        if (number == dir->number) return false;
    }
    return true;
}

static int check_rename(const struct io_sim_disk *disk, const struct io_sim_place *from,
                        const struct io_sim_place *to) {
    if (from->inode == NULL) return ENOENT;
    if (from->dir == NULL || to->dir == NULL) return EINVAL;
    if (to->inode == NULL || to->inode == from->inode) return 0;
    if (to->inode->is_dir && !from->inode->is_dir) return EISDIR;
    if (!to->inode->is_dir && from->inode->is_dir) return ENOTDIR;
    return to->inode->is_dir && !dir_is_empty(disk, to->inode) ? ENOTEMPTY : 0;
}

static enum status path_rename(struct io *base, const char *from_path, const char *to_path) {
    struct io_sim_io *io = sim_io(base);
    struct io_sim_disk *disk = &io->node->disk;
    struct io_sim_place from, to;
    if (!io_sim_is_alive(io)) return io_error_noted(EIO);
    int error = io_sim_disk_find(disk, from_path, &from);
    if (error == 0) error = io_sim_disk_find(disk, to_path, &to);
    if (error == 0) error = check_rename(disk, &from, &to);
    if (error != 0) return io_error_noted(error);
    if (from.inode == to.inode) return STATUS_OK;
    bool last;
    error = begin(io, ACTION_NAME, &last);
    spend(io, ACTION_NAME);
    if (error != 0) return io_error_noted(error);
    io_sim_trace(io->sim, io->node->number, "rename", from.inode->number, 0, 0, to_path);
    io_sim_disk_rename(disk, &from, &to);
    return blocking_result(last ? EIO : 0);
}

static enum status path_link(struct io *base, const char *from_path, const char *to_path) {
    struct io_sim_io *io = sim_io(base);
    struct io_sim_disk *disk = &io->node->disk;
    struct io_sim_place from, to;
    if (!io_sim_is_alive(io)) return io_error_noted(EIO);
    int error = io_sim_disk_find(disk, from_path, &from);
    if (error == 0) error = io_sim_disk_find(disk, to_path, &to);
    if (error == 0 && from.inode == NULL) error = ENOENT;
    if (error == 0 && to.inode != NULL) error = EEXIST;
    if (error == 0 && from.inode->is_dir) error = EPERM;
    if (error != 0) return io_error_noted(error);
    bool last;
    error = begin(io, ACTION_NAME, &last);
    spend(io, ACTION_NAME);
    if (error != 0) return io_error_noted(error);
    io_sim_trace(io->sim, io->node->number, "link", from.inode->number, 0, 0, to_path);
    io_sim_disk_link(disk, &to, from.inode);
    return blocking_result(last ? EIO : 0);
}

static enum status path_unlink(struct io *base, const char *path) {
    struct io_sim_io *io = sim_io(base);
    struct io_sim_place place;
    if (!io_sim_is_alive(io)) return io_error_noted(EIO);
    int error = io_sim_disk_find(&io->node->disk, path, &place);
    if (error == 0 && place.inode == NULL) error = ENOENT;
    if (error == 0 && place.inode->is_dir) error = EISDIR;
    if (error != 0) return io_error_noted(error);
    bool last;
    error = begin(io, ACTION_NAME, &last);
    spend(io, ACTION_NAME);
    if (error != 0) return io_error_noted(error);
    io_sim_trace(io->sim, io->node->number, "unlink", place.inode->number, 0, 0, path);
    io_sim_disk_unlink(&io->node->disk, &place);
    return blocking_result(last ? EIO : 0);
}

static int make_one_directory(struct io_sim_io *io, const char *path) {
    struct io_sim_place place;
    struct io_sim_inode *inode;
    int error = io_sim_disk_find(&io->node->disk, path, &place);
    if (error != 0) return error;
    if (place.inode != NULL) return place.inode->is_dir ? 0 : EEXIST;
    return create_inode(io, &place, path, true, &inode);
}

static enum status path_mkdir(struct io *base, const char *path) {
    struct io_sim_io *io = sim_io(base);
    if (!io_sim_is_alive(io)) return io_error_noted(EIO);
    char *part = mem_strdup(path);
    int error = path[0] == 0 ? ENOENT : 0;
    for (size_t i = 1; error == 0 && path[i] != 0; i++) {
        if (path[i] != '/' || path[i - 1] == '/') continue;
        part[i] = 0;
        error = make_one_directory(io, part);
        part[i] = '/';
    }
    if (error == 0) error = make_one_directory(io, path);
    mem_free(part);
    return blocking_result(error);
}

static int find_dir(struct io_sim_io *io, const char *path, struct io_sim_inode **dir) {
    struct io_sim_place place;
    if (!io_sim_is_alive(io)) return EIO;
    int error = io_sim_disk_find(&io->node->disk, path, &place);
    if (error != 0) return error;
    if (place.inode == NULL) return ENOENT;
    *dir = place.inode;
    return place.inode->is_dir ? 0 : ENOTDIR;
}

static enum status path_sync_dir(struct io *base, const char *path) {
    struct io_sim_io *io = sim_io(base);
    struct io_sim_disk *disk = &io->node->disk;
    struct io_sim_inode *dir;
    bool last = false;
    int error = find_dir(io, path, &dir);
    if (error != 0) return io_error_noted(error);
    error = begin(io, ACTION_SYNC, &last);
    spend(io, ACTION_SYNC);
    if (error == 0 && fails(disk, disk->faults.sync_error_ppm, &disk->faults.sync_error_countdown))
        error = EIO;
    if (error != 0) return io_error_noted(error);
    io_sim_trace(io->sim, io->node->number, "sync dir", dir->number, 0, 0, path);
    io_sim_disk_sync_dir(disk, dir);
    return blocking_result(last ? EIO : 0);
}

static enum status path_list_dir(struct io *base, const char *path,
                                 void (*entry)(void *ctx, const char *name, bool is_dir), void *ctx) {
    struct io_sim_io *io = sim_io(base);
    struct io_sim_inode *dir;
    int error = find_dir(io, path, &dir);
    if (error != 0) return io_error_noted(error);
    spend(io, ACTION_READ);
    io_sim_disk_list(&io->node->disk, dir, entry, ctx);
    return STATUS_OK;
}

static enum status path_lock(struct io *base, const char *path, struct io_file **lock) {
    struct io_sim_io *io = sim_io(base);
    struct io_sim_inode *inode;
    int error = open_inode(io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, &inode);
    if (error == 0 && inode->locked) error = EWOULDBLOCK;
    if (error != 0) return io_error_noted(error);
    *lock = file_new(io, inode);
    sim_file(*lock)->lock = true;
    inode->locked = true;
    return STATUS_OK;
}

static enum status path_disk_space(struct io *base, const char *path, uint64_t *free_bytes,
                                   uint64_t *total_bytes) {
    struct io_sim_io *io = sim_io(base);
    const struct io_sim_disk *disk = &io->node->disk;
    struct io_sim_place place;
    if (!io_sim_is_alive(io)) return io_error_noted(EIO);
    int error = io_sim_disk_find(&io->node->disk, path, &place);
    if (error == 0 && place.inode == NULL) error = ENOENT;
    if (error != 0) return io_error_noted(error);
    uint64_t used = disk->seen_pages * IO_SIM_PAGE_SIZE;
    *total_bytes = disk->faults.capacity_bytes != 0 ? disk->faults.capacity_bytes : DISK_SIZE_DEFAULT;
    *free_bytes = *total_bytes > used ? *total_bytes - used : 0;
    return STATUS_OK;
}

/* ---- ends -------------------------------------------------------------------------------------------- */

void io_sim_file_abandon(struct io_sim_io *io, enum io_sim_crash how) {
    struct io_sim_disk *disk = &io->node->disk;
    LIST_FOREACH(it, &io->disk_ops) {
        struct io_op *op = CONTAINER_OF(it, struct io_op, link);
        bool arrives = how == IO_SIM_CRASH_POWER_CLEAN ||
                       (how != IO_SIM_CRASH_POWER_BARE && prng_chance(&disk->crash, 1, 2));
        if (arrives && !io->node->halted && op->request.kind == IO_OP_WRITE)
            (void)write_slices(io, op->target, op);
        list_remove(it);
    }
    LIST_FOREACH(it, &io->files)
        file_detach(io, CONTAINER_OF(it, struct io_sim_file, link));
}

void io_sim_file_release(struct io_sim_io *io) {
    LIST_FOREACH(it, &io->files)
        mem_free(CONTAINER_OF(it, struct io_sim_file, link));
}

const struct io_file_calls io_sim_file_calls = {
    .open = file_open,
    .close = file_close,
    .size = file_size,
    .read_at = file_read_at,
    .read_now = file_read_now,
    .write_at = file_write_at,
    .sync = file_sync,
    .truncate = file_truncate,
    .preallocate = file_preallocate,
    .name_count = file_name_count,
    .reserve = file_preallocate,
    .will_need = file_will_need,
    .write_behind = file_write_behind,
    .drop_cache = file_drop_cache,
    .rename = path_rename,
    .link = path_link,
    .unlink = path_unlink,
    .mkdir = path_mkdir,
    .sync_dir = path_sync_dir,
    .list_dir = path_list_dir,
    .lock_file = path_lock,
    .disk_space = path_disk_space,
};
