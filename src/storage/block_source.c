// SPDX-License-Identifier: Apache-2.0
#include "storage/block_source.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

void open_files_init(struct open_files *files, struct io *io, const char *dir) {
    *files = (struct open_files){.io = io, .dir = dir, .limit = OPEN_FILES_DEFAULT};
    list_init(&files->idle);
}

void block_source_init(struct block_source *source, struct open_files *files, enum layout_kind kind) {
    *source = (struct block_source){.files = files, .kind = kind};
    list_init(&source->idle);
}

void block_source_pin(struct block_source *source) {
    source->pins++;
}

void block_source_unpin(struct block_source *source) {
    ASSERT(source->pins > 0);
    if (--source->pins == 0) source->unpinned(source);
}

void block_source_close(struct block_source *source) {
    ASSERT_EQ(source->users, 0u);
    if (source->file == NULL || source->files == NULL) return;
    io_file_close(source->file);
    source->file = NULL;
    list_remove(&source->idle);
    source->files->count--;
}

/* Closes what was used longest ago until fewer than `limit` are open, or the rest is in use. */
static void make_room(struct open_files *files, uint32_t limit) {
    while (files->count >= limit && !list_empty(&files->idle))
        block_source_close(CONTAINER_OF(list_first(&files->idle), struct block_source, idle));
}

enum status block_source_open(struct block_source *source) {
    struct open_files *files = source->files;
    if (source->file != NULL) {
        if (files == NULL || source->users > 0) return STATUS_OK;
        list_remove(&source->idle);
        list_push_back(&files->idle, &source->idle);
        return STATUS_OK;
    }
    if (files == NULL || source->number == 0) return STATUS_CORRUPT;
    make_room(files, MAX(files->limit, 1u));
    struct layout_path path = layout_path(files->dir, source->kind, source->number);
    enum status status = io_file_open(files->io, path.text, IO_OPEN_READ, &source->file);
    if (status == STATUS_BUSY && files->count > 0) { /* others took the descriptors */
        make_room(files, 1);
        status = io_file_open(files->io, path.text, IO_OPEN_READ, &source->file);
    }
    /* The manifest names it: not being there is damage. */
    if (status != STATUS_OK) return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
    files->count++;
    files->opened++;
    list_push_back(&files->idle, &source->idle);
    return STATUS_OK;
}

void block_source_use(struct block_source *source) {
    ASSERT(source->file != NULL);
    if (source->users++ == 0 && source->files != NULL) list_remove(&source->idle);
}

void block_source_unuse(struct block_source *source) {
    ASSERT(source->users > 0);
    if (--source->users > 0 || source->files == NULL) return;
    list_push_back(&source->files->idle, &source->idle);
    make_room(source->files, source->files->limit + 1);
}

enum status block_hold_add(struct block_hold *hold, struct block_source *source) {
    enum status status = block_source_open(source);
    if (status != STATUS_OK) return status;
    if (hold->count == hold->capacity) {
        hold->capacity = MAX(hold->capacity * 2, (size_t)8);
        hold->sources = mem_realloc(hold->sources, hold->capacity * sizeof(struct block_source *));
    }
    block_source_use(source);
    hold->sources[hold->count++] = source;
    return STATUS_OK;
}

void block_hold_release(struct block_hold *hold) {
    for (size_t i = 0; i < hold->count; i++)
        block_source_unuse(hold->sources[i]);
    mem_free(hold->sources);
    *hold = (struct block_hold){0};
}
