// SPDX-License-Identifier: Apache-2.0
#include "storage/wal_direct.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "storage/layout.h"
#include "storage/wal_format.h"

void wal_direct_init(struct wal_direct *direct, struct io *io, const char *dir) {
    *direct = (struct wal_direct){.io = io, .dir = dir};
}

static void close_file(struct wal_direct *direct) {
    if (direct->file != NULL) io_file_close(direct->file);
    direct->file = NULL;
}

void wal_direct_release(struct wal_direct *direct) {
    close_file(direct);
    mem_free(direct->bytes);
    direct->bytes = NULL;
    direct->capacity = 0;
    direct->piece = SLICE_EMPTY;
}

static bool open_file(struct wal_direct *direct, uint64_t file_number) {
    if (direct->file != NULL && direct->file_number == file_number) return true;
    close_file(direct);
    struct layout_path path = layout_path(direct->dir, LAYOUT_LOG, file_number);
    if (io_file_open(direct->io, path.text, IO_OPEN_WRITE | IO_OPEN_DIRECT, &direct->file) != STATUS_OK)
        direct->file = NULL;
    direct->file_number = file_number;
    return direct->file != NULL;
}

bool wal_direct_take(struct wal_direct *direct, uint64_t file_number, const struct slice *slices,
                     uint32_t count, size_t size, size_t cold_size) {
    ASSERT_EQ(direct->piece.size, (size_t)0);
    bool fits = size >= WAL_DIRECT_MIN && size <= WAL_DIRECT_MAX && cold_size <= size &&
                size - cold_size <= size / WAL_DIRECT_HOT_DIV;
    if (!fits || direct->refused || !open_file(direct, file_number)) return false;
    if (size > direct->capacity) {
        mem_free(direct->bytes);
        direct->capacity = MIN(MAX(size, 2 * direct->capacity), WAL_DIRECT_MAX);
        direct->bytes = mem_alloc_aligned(WAL_BLOCK_SIZE, direct->capacity);
    }
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        ASSERT_LE(slices[i].size, size - at);
        memcpy(direct->bytes + at, slices[i].data, slices[i].size);
        at += slices[i].size;
    }
    ASSERT_EQ(at, size);
    ASSERT_EQ(size % WAL_BLOCK_SIZE, (size_t)0);
    direct->piece = slice_make(direct->bytes, size);
    return true;
}

bool wal_direct_done(struct wal_direct *direct, enum status status, bool more) {
    bool again = direct->piece.size > 0 && status == STATUS_INVALID;
    direct->refused |= again;
    direct->piece = SLICE_EMPTY;
    if (!more || direct->refused) wal_direct_release(direct);
    return again;
}
