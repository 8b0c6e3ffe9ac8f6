// SPDX-License-Identifier: Apache-2.0
#include "io/io_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/units.h"
#include "io/io_error.h"

#define FILE_MODE      0640
#define DIRECTORY_MODE 0750
#define ZEROS_SIZE     (64 * KIB)
#define SLICES_AT_ONCE 64

/* Aligned for files opened with IO_OPEN_DIRECT. */
static const _Alignas(4096) uint8_t zeros[ZEROS_SIZE];

static int descriptor_of(const struct io_file *file) {
    return ((const struct io_real_file *)file)->descriptor;
}

static void changes(struct io_file *file) {
    ((struct io_real_file *)file)->unsynced = true;
}

/* ---- one operation ---------------------------------------------------------------------------------- */

static int read_fully(int descriptor, uint8_t *data, size_t size, uint64_t offset, size_t *moved) {
    *moved = 0;
    while (*moved < size) {
        ssize_t n = pread(descriptor, data + *moved, size - *moved, (off_t)(offset + *moved));
        if (n == 0) break;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        *moved += (size_t)n;
    }
    return 0;
}

static int write_slices_fully(int descriptor, struct io_op *op) {
    struct slice rest[SLICES_AT_ONCE];
    uint32_t count;
    while ((count = io_op_rest(op, rest, SLICES_AT_ONCE)) != 0) {
        ssize_t n = pwritev(descriptor, io_iovec(rest), (int)count, (off_t)op->request.offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        /* A file system that takes nothing and gives no reason would hold the thread for ever. */
        if (n == 0) return EIO;
        io_op_advance(op, (size_t)n);
    }
    return 0;
}

/* An interruption says nothing about the data, unlike any other failure, after which a sync is not asked
 * again. */
static int sync_data(int descriptor) {
    while (fdatasync(descriptor) != 0)
        if (errno != EINTR) return errno;
    return 0;
}

enum status io_file_execute(struct io_op *op, int *os_error) {
    int descriptor = descriptor_of(op->target);
    size_t moved = 0;
    *os_error = 0;
    switch ((enum io_op_kind)op->request.kind) {
    case IO_OP_READ:
        *os_error = read_fully(descriptor, op->request.data, op->request.size, op->request.offset, &moved);
        op->result = moved;
        break;
    case IO_OP_WRITE:
        *os_error = write_slices_fully(descriptor, op);
        if (*os_error == 0 && op->request.sync_after) *os_error = sync_data(descriptor);
        break;
    case IO_OP_SYNC:
        *os_error = sync_data(descriptor);
        break;
    default:
        UNREACHABLE();
    }
    return *os_error == 0 ? STATUS_OK : io_error(*os_error);
}

/* ---- blocking calls --------------------------------------------------------------------------------- */

static int open_retrying(const char *path, int flags) {
    int descriptor;
    do {
        descriptor = open(path, flags | O_CLOEXEC, FILE_MODE);
    } while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

static struct io_file *file_new(struct io *io, int descriptor) {
    struct io_real_file *file = mem_calloc(1, sizeof *file);
    file->base.io = io;
    file->descriptor = descriptor;
    file->unsynced = true;
    return &file->base;
}

static enum status file_open(struct io *io, const char *path, unsigned flags, struct io_file **file) {
    int os_flags = (flags & IO_OPEN_WRITE) != 0 ? O_RDWR : O_RDONLY;
    if ((flags & IO_OPEN_CREATE) != 0) os_flags |= O_CREAT;
    if ((flags & IO_OPEN_EXCLUSIVE) != 0) os_flags |= O_EXCL;
    if ((flags & IO_OPEN_TRUNCATE) != 0) os_flags |= O_TRUNC;
    int descriptor = -1;
    if ((flags & IO_OPEN_DIRECT) != 0) descriptor = open_retrying(path, os_flags | O_DIRECT);
    /* EINVAL: this file system has no direct access (tmpfs). */
    if ((flags & IO_OPEN_DIRECT) == 0 || (descriptor < 0 && errno == EINVAL))
        descriptor = open_retrying(path, os_flags);
    if (descriptor < 0) return io_error_noted(errno);
    /* Opening a directory for reading succeeds; no call here could use it. */
    struct stat stat;
    if (fstat(descriptor, &stat) != 0 || S_ISDIR(stat.st_mode)) {
        close(descriptor);
        return io_error_noted(EISDIR);
    }
    *file = file_new(io, descriptor);
    ((struct io_real_file *)*file)->direct = (flags & IO_OPEN_DIRECT) != 0;
    return STATUS_OK;
}

static void file_close(struct io_file *file) {
    close(descriptor_of(file));
    mem_free(file);
}

static enum status file_size(struct io_file *file, uint64_t *size) {
    struct stat stat;
    if (fstat(descriptor_of(file), &stat) != 0) return io_error_noted(errno);
    *size = (uint64_t)stat.st_size;
    return STATUS_OK;
}

static enum status file_read_at(struct io_file *file, void *data, size_t size, uint64_t offset,
                                size_t *read) {
    int error = read_fully(descriptor_of(file), data, size, offset, read);
    return error == 0 ? STATUS_OK : io_error_noted(error);
}

/* A file system without RWF_NOWAIT (EOPNOTSUPP) says so at each call, which costs little beside a read. */
static bool file_read_now(struct io_file *file, void *data, size_t size, uint64_t offset) {
    struct iovec all = {.iov_base = data, .iov_len = size};
    return preadv2(descriptor_of(file), &all, 1, (off_t)offset, RWF_NOWAIT) == (ssize_t)size;
}

static enum status file_write_at(struct io_file *file, struct slice bytes, uint64_t offset) {
    size_t moved = 0;
    changes(file);
    while (moved < bytes.size) {
        ssize_t n = pwrite(descriptor_of(file), bytes.data + moved, bytes.size - moved,
                           (off_t)(offset + moved));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return io_error_noted(n == 0 ? EIO : errno);
        moved += (size_t)n;
    }
    return STATUS_OK;
}

static enum status file_sync(struct io_file *file) {
    int error = sync_data(descriptor_of(file));
    ((struct io_real_file *)file)->unsynced = error != 0;
    return error == 0 ? STATUS_OK : io_error_noted(error);
}

static enum status file_truncate(struct io_file *file, uint64_t size) {
    int result;
    changes(file);
    do {
        result = ftruncate(descriptor_of(file), (off_t)size);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? STATUS_OK : io_error_noted(errno);
}

static enum status file_preallocate(struct io_file *file, uint64_t size) {
    uint64_t end = 0;
    changes(file);
    enum status status = file_size(file, &end);
    struct iovec parts[MIB / ZEROS_SIZE];
    while (status == STATUS_OK && end < size) {
        int count = 0;
        for (uint64_t left = size - end; left != 0 && count < (int)ARRAY_COUNT(parts); count++) {
            parts[count].iov_base = (void *)(uintptr_t)zeros;
            parts[count].iov_len = MIN(left, (uint64_t)ZEROS_SIZE);
            left -= parts[count].iov_len;
        }
        ssize_t n = pwritev(descriptor_of(file), parts, count, (off_t)end);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return io_error_noted(n == 0 ? EIO : errno);
        end += (uint64_t)n;
    }
    return status;
}

static enum status file_name_count(struct io_file *file, uint64_t *names) {
    struct stat stat;
    if (fstat(descriptor_of(file), &stat) != 0) return io_error_noted(errno);
    *names = (uint64_t)stat.st_nlink;
    return STATUS_OK;
}

static enum status file_reserve(struct io_file *file, uint64_t size) {
    uint64_t end = 0;
    enum status status = file_size(file, &end);
    if (status != STATUS_OK || end >= size) return status;
    changes(file);
    int result;
    do {
        result = fallocate(descriptor_of(file), 0, (off_t)end, (off_t)(size - end));
    } while (result != 0 && errno == EINTR);
    if (result == 0) return STATUS_OK;
    return errno == EOPNOTSUPP || errno == ENOSYS ? STATUS_UNSUPPORTED : io_error_noted(errno);
}

static void file_will_need(struct io_file *file, uint64_t offset, uint64_t size) {
    posix_fadvise(descriptor_of(file), (off_t)offset, (off_t)size, POSIX_FADV_WILLNEED);
}

static void file_write_behind(struct io_file *file, uint64_t offset, uint64_t size) {
    sync_file_range(descriptor_of(file), (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
}

static void file_drop_cache(struct io_file *file, uint64_t offset, uint64_t size) {
    posix_fadvise(descriptor_of(file), (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
}

/* ---- names ------------------------------------------------------------------------------------------ */

static enum status path_rename(struct io *io, const char *from, const char *to) {
    (void)io;
    return rename(from, to) == 0 ? STATUS_OK : io_error_noted(errno);
}

static enum status path_link(struct io *io, const char *from, const char *to) {
    (void)io;
    return link(from, to) == 0 ? STATUS_OK : io_error_noted(errno);
}

static enum status path_unlink(struct io *io, const char *path) {
    (void)io;
    return unlink(path) == 0 ? STATUS_OK : io_error_noted(errno);
}

/* ENOTDIR when `path` is there and is none. */
static int make_one_directory(const char *path) {
    if (mkdir(path, DIRECTORY_MODE) == 0) return 0;
    int error = errno;
    struct stat there;
    if (error != EEXIST) return error;
    if (stat(path, &there) != 0) return errno;
    return S_ISDIR(there.st_mode) ? 0 : EEXIST;
}

static enum status path_mkdir(struct io *io, const char *path) {
    (void)io;
    char part[PATH_MAX];
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof part) return io_error_noted(size == 0 ? ENOENT : ENAMETOOLONG);
    memcpy(part, path, size + 1);
    int error = 0;
    for (size_t i = 1; i < size; i++) {
        if (part[i] != '/' || part[i - 1] == '/') continue;
        part[i] = 0;
        error = make_one_directory(part);
        part[i] = '/';
        /* A parent that may not be made may still be there and be passable. */
        if (error != 0 && error != EACCES && error != EROFS && error != EPERM) return io_error_noted(error);
    }
    error = make_one_directory(part);
    return error == 0 ? STATUS_OK : io_error_noted(error);
}

static enum status path_sync_dir(struct io *io, const char *path) {
    (void)io;
    int descriptor = open_retrying(path, O_RDONLY | O_DIRECTORY);
    if (descriptor < 0) return io_error_noted(errno);
    int error = fsync(descriptor) == 0 ? 0 : errno;
    close(descriptor);
    return error == 0 ? STATUS_OK : io_error_noted(error);
}

static bool entry_is_dir(DIR *directory, const struct dirent *entry) {
    if (entry->d_type != DT_UNKNOWN) return entry->d_type == DT_DIR;
    struct stat there;
    return fstatat(dirfd(directory), entry->d_name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(there.st_mode);
}

static enum status path_list_dir(struct io *io, const char *path,
                                 void (*found)(void *ctx, const char *name, bool is_dir), void *ctx) {
    (void)io;
    DIR *directory = opendir(path);
    if (directory == NULL) return io_error_noted(errno);
    const struct dirent *entry;
    while (errno = 0, (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        found(ctx, entry->d_name, entry_is_dir(directory, entry));
    }
    int error = errno;
    closedir(directory);
    return error == 0 ? STATUS_OK : io_error_noted(error);
}

static enum status path_lock(struct io *io, const char *path, struct io_file **lock) {
    int descriptor = open_retrying(path, O_RDWR | O_CREAT);
    if (descriptor < 0) return io_error_noted(errno);
    /* flock belongs to the open file, so a second lock conflicts within one process, too, and the kernel
     * drops it when the process ends, however it ends. */
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        close(descriptor);
        return io_error_noted(error);
    }
    *lock = file_new(io, descriptor);
    return STATUS_OK;
}

static enum status path_disk_space(struct io *io, const char *path, uint64_t *free_bytes,
                                   uint64_t *total_bytes) {
    (void)io;
    struct statvfs space;
    if (statvfs(path, &space) != 0) return io_error_noted(errno);
    *free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
    *total_bytes = (uint64_t)space.f_blocks * space.f_frsize;
    return STATUS_OK;
}

const struct io_file_calls io_real_file_calls = {
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
    .reserve = file_reserve,
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
