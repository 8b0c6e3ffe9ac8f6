// SPDX-License-Identifier: Apache-2.0
#include "storage/manifest.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"

#define MANIFEST_MAGIC    0x314e414d4c544e53ull /* "SNTLMAN1" */
#define MANIFEST_ROLL_MIN MIB

struct manifest {
    struct manifest_options options;
    struct manifest_header header;
    struct io_file *file;
    uint64_t end, roll_at;
    struct list queue;
    struct manifest_commit *current;
    struct writer edit;
    uint8_t record_header[MANIFEST_RECORD_HEADER];
    struct slice slices[2];
    struct io_op op, defer;
    enum status status; /* a final one: nothing is written any more */
    struct {
        struct io_job job;
        bool running;
        struct writer snapshot;
        enum status status;
        bool renamed; /* the name leads to the new one, which is open */
    } roll;
};

/* ---- bytes ------------------------------------------------------------------------------------------- */

/* magic u64, version u32, crc u32 (of all before and behind it), store u64, generation u64, zero u64 */
static uint32_t header_crc(const uint8_t *bytes) {
    return crc32c(crc32c(0, bytes, 12), bytes + 16, 24);
}

static void header_encode(const struct manifest_header *header, uint8_t bytes[MANIFEST_HEADER_SIZE]) {
    memset(bytes, 0, MANIFEST_HEADER_SIZE);
    store_le64(bytes, MANIFEST_MAGIC);
    store_le32(bytes + 8, LAYOUT_VERSION);
    store_le64(bytes + 16, header->store_id);
    store_le64(bytes + 24, header->generation);
    store_le32(bytes + 12, header_crc(bytes));
}

static uint32_t record_crc(const struct manifest_header *header, uint64_t offset, struct slice edit) {
    uint8_t address[28];
    store_le64(address, header->store_id);
    store_le64(address + 8, header->generation);
    store_le64(address + 16, offset);
    store_le32(address + 24, (uint32_t)edit.size);
    return crc32c(crc32c(0, address, sizeof address), edit.data, edit.size);
}

static void record_encode(const struct manifest_header *header, uint64_t offset, struct slice edit,
                          uint8_t bytes[MANIFEST_RECORD_HEADER]) {
    store_le32(bytes, record_crc(header, offset, edit));
    store_le32(bytes + 4, (uint32_t)edit.size);
}

/* The edit of the record at `offset` of `file`; size 0: there is no valid one. */
static struct slice record_decode(const struct manifest_header *header, struct slice file, uint64_t offset) {
    if (offset > file.size || file.size - offset < MANIFEST_RECORD_HEADER) return SLICE_EMPTY;
    const uint8_t *bytes = file.data + offset;
    uint32_t size = load_le32(bytes + 4);
    if (size > file.size - offset - MANIFEST_RECORD_HEADER) return SLICE_EMPTY;
    struct slice edit = slice_make(bytes + MANIFEST_RECORD_HEADER, size);
    return load_le32(bytes) == record_crc(header, offset, edit) ? edit : SLICE_EMPTY;
}

static enum status header_decode(struct slice file, struct manifest_header *header,
                                 struct diagnostic *diagnostic) {
    if (file.size < MANIFEST_HEADER_SIZE || load_le64(file.data) != MANIFEST_MAGIC)
        return diagnose(diagnostic, STATUS_CORRUPT, "MANIFEST, offset 0: not a Sentinel manifest");
    if (load_le32(file.data + 12) != header_crc(file.data))
        return diagnose(diagnostic, STATUS_CORRUPT, "MANIFEST, offset 0: the header fails its checksum");
    uint32_t version = load_le32(file.data + 8);
    if (!layout_version_known(version))
        return diagnose(diagnostic, STATUS_VERSION,
                        "the data directory has format %u, written by %s Sentinel; this one reads formats "
                        "%u to %u: start the other program again%s",
                        version, version > LAYOUT_VERSION ? "a newer" : "an older", LAYOUT_VERSION_MIN,
                        LAYOUT_VERSION, version > LAYOUT_VERSION ? "" : ", or begin with an empty directory");
    header->version = version;
    header->store_id = load_le64(file.data + 16);
    header->generation = load_le64(file.data + 24);
    return STATUS_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static enum status read_file(struct io *io, const char *dir, struct slice *bytes) {
    struct io_file *file;
    enum status status = io_file_open(io, layout_path(dir, LAYOUT_MANIFEST, 0).text, IO_OPEN_READ, &file);
    if (status != STATUS_OK) return status;
    uint64_t size;
    size_t read = 0;
    uint8_t *data = NULL;
    status = io_file_size(file, &size);
    if (status == STATUS_OK && size > MEM_ALLOC_SIZE_MAX / 2) status = STATUS_CORRUPT;
    if (status == STATUS_OK) {
        data = mem_alloc(size + 1);
        status = io_file_read_at(file, data, size, 0, &read);
    }
    io_file_close(file);
    if (status != STATUS_OK) mem_free(data);
    *bytes = slice_make(data, read);
    return status;
}

/* A valid record anywhere behind `from`: the sizes in between cannot be trusted, so every byte is tried. */
static bool find_record(const struct manifest_header *header, struct slice file, uint64_t from,
                        uint64_t *at) {
    for (*at = from; *at + MANIFEST_RECORD_HEADER < file.size; (*at)++)
        if (record_decode(header, file, *at).size > 0) return true;
    return false;
}

enum status manifest_read(struct io *io, const char *dir,
                          enum status (*record)(void *ctx, uint64_t offset, struct slice edit), void *ctx,
                          struct manifest_contents *contents, struct diagnostic *diagnostic) {
    *contents = (struct manifest_contents){.end = MANIFEST_HEADER_SIZE};
    struct slice file;
    enum status status = read_file(io, dir, &file);
    if (status == STATUS_NOT_FOUND) return status;
    if (status != STATUS_OK)
        return diagnose(diagnostic, status, "MANIFEST in %s cannot be read: %s", dir, status_text(status));
    status = header_decode(file, &contents->header, diagnostic);
    while (status == STATUS_OK && contents->end < file.size) {
        struct slice edit = record_decode(&contents->header, file, contents->end);
        if (edit.size == 0) break;
        if (record != NULL) status = record(ctx, contents->end, edit);
        contents->last = contents->end;
        contents->end += MANIFEST_RECORD_HEADER + edit.size;
        if (contents->records++ == 0) contents->snapshot_end = contents->end;
    }
    contents->torn = contents->end < file.size;
    uint64_t at;
    if (status == STATUS_OK && contents->records == 0)
        status = diagnose(diagnostic, STATUS_CORRUPT,
                          "MANIFEST, offset %" PRIu64 ": the snapshot is damaged; restore from a backup",
                          contents->end);
    else if (status == STATUS_OK && contents->torn &&
             find_record(&contents->header, file, contents->end + 1, &at))
        status = diagnose(diagnostic, STATUS_CORRUPT,
                          "MANIFEST, offset %" PRIu64 ": a record is damaged (offset %" PRIu64
                          " holds a later one); restore from a backup",
                          contents->end, at);
    mem_free((void *)(uintptr_t)file.data);
    return status;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

/* Writes the new file and gives it the name; what is left is to make that durable. *file: open; NULL: the
 * name leads where it led. */
static enum status create_named(struct io *io, const char *dir, const struct manifest_header *header,
                                struct slice snapshot, struct io_file **file) {
    ASSERT(snapshot.size > 0 && snapshot.size <= MANIFEST_RECORD_SIZE_MAX);
    uint8_t start[MANIFEST_HEADER_SIZE + MANIFEST_RECORD_HEADER];
    header_encode(header, start);
    record_encode(header, MANIFEST_HEADER_SIZE, snapshot, start + MANIFEST_HEADER_SIZE);
    struct layout_path temporary = layout_path(dir, LAYOUT_TEMPORARY, 0);
    *file = NULL;
    struct io_file *created;
    enum status status = io_file_open(io, temporary.text, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE,
                                      &created);
    if (status != STATUS_OK) return status;
    status = io_file_write_at(created, slice_make(start, sizeof start), 0);
    if (status == STATUS_OK) status = io_file_write_at(created, snapshot, sizeof start);
    if (status == STATUS_OK) status = io_file_sync(created);
    if (status == STATUS_OK)
        status = io_rename(io, temporary.text, layout_path(dir, LAYOUT_MANIFEST, 0).text);
    if (status == STATUS_OK)
        *file = created;
    else
        io_file_close(created);
    return status;
}

enum status manifest_create(struct io *io, const char *dir, const struct manifest_header *header,
                            struct slice snapshot) {
    struct io_file *file;
    enum status status = create_named(io, dir, header, snapshot, &file);
    if (status != STATUS_OK) return status;
    io_file_close(file);
    return io_sync_dir(io, dir);
}

static void next_commit(struct manifest *manifest);

static void finish(struct manifest *manifest, enum status status) {
    struct manifest_commit *commit = manifest->current;
    if (status == STATUS_IO) manifest->status = STATUS_IO;
    manifest->current = NULL;
    commit->done(commit, status, writer_slice(&manifest->edit));
    next_commit(manifest);
    manifest->options.changed(manifest->options.ctx);
}

static void written(struct io_op *op) {
    struct manifest *manifest = CONTAINER_OF(op, struct manifest, op);
    enum status status = op->status;
    if (status == STATUS_OK) {
        manifest->end += MANIFEST_RECORD_HEADER + manifest->edit.size;
    } else {
        log_error(manifest->options.log, "manifest write failed offset=%" PRIu64 " reason=%s errno=%d",
                  manifest->end, status_name(status), op->os_error);
        /* Without room, the part that was written is taken back, or a later edit would stand behind it. */
        if (status == STATUS_NO_SPACE && (io_file_truncate(manifest->file, manifest->end) != STATUS_OK ||
                                          io_file_sync(manifest->file) != STATUS_OK))
            status = STATUS_IO;
        if (status != STATUS_NO_SPACE) status = STATUS_IO;
    }
    finish(manifest, status);
}

static void roll_run(struct io_job *job) {
    struct manifest *manifest = CONTAINER_OF(job, struct manifest, roll.job);
    struct manifest_header header = manifest->header;
    struct io_file *file;
    header.generation++;
    manifest->roll.status = create_named(manifest->options.io, manifest->options.dir, &header,
                                         writer_slice(&manifest->roll.snapshot), &file);
    manifest->roll.renamed = file != NULL;
    if (file == NULL) return;
    io_file_close(manifest->file); /* nobody finds it any more, and a sync may want its descriptor */
    manifest->file = file;
    manifest->roll.status = io_sync_dir(manifest->options.io, manifest->options.dir);
}

/* In proportion to the snapshot, which is what is written then: a store of many tables would do nothing else. */
static uint64_t roll_after(const struct manifest *manifest, uint64_t snapshot_end) {
    return MAX(manifest->options.roll_min, snapshot_end * 4);
}

static void roll_done(struct io_job *job) {
    struct manifest *manifest = CONTAINER_OF(job, struct manifest, roll.job);
    manifest->roll.running = false;
    enum status status = manifest->roll.status;
    if (manifest->roll.renamed) {
        manifest->header.generation++;
        manifest->end = MANIFEST_HEADER_SIZE + MANIFEST_RECORD_HEADER + manifest->roll.snapshot.size;
        manifest->roll_at = roll_after(manifest, manifest->end);
    } else if (status == STATUS_NO_SPACE || status == STATUS_BUSY) {
        manifest->roll_at = manifest->end * 2; /* the old one still serves */
        status = STATUS_OK;
    }
    writer_release(&manifest->roll.snapshot);
    if (status != STATUS_OK) { /* which of the two a crash would leave is not known: nothing is appended */
        log_error(manifest->options.log, "manifest cannot be replaced reason=%s", status_name(status));
        manifest->status = STATUS_IO;
    }
    next_commit(manifest);
    manifest->options.changed(manifest->options.ctx);
}

static void roll_start(struct manifest *manifest) {
    writer_init(&manifest->roll.snapshot);
    manifest->options.snapshot(manifest->options.ctx, &manifest->roll.snapshot);
    manifest->roll.running = true;
    manifest->roll.job = (struct io_job){.run = roll_run, .done = roll_done};
    io_job_start(manifest->options.io, &manifest->roll.job);
}

static void next_commit(struct manifest *manifest) {
    if (manifest->current != NULL || manifest->roll.running || list_empty(&manifest->queue)) return;
    bool healthy = manifest->status == STATUS_OK;
    if (healthy && manifest->end > manifest->roll_at) {
        roll_start(manifest);
        return;
    }
    struct list *node = list_pop_front(&manifest->queue);
    manifest->current = CONTAINER_OF(node, struct manifest_commit, link);
    writer_clear(&manifest->edit);
    if (healthy) manifest->current->prepare(manifest->current, &manifest->edit);
    struct slice edit = writer_slice(&manifest->edit);
    if (edit.size == 0) { /* done must not run inside the caller's submit */
        io_defer(manifest->options.io, &manifest->defer);
        return;
    }
    ASSERT_LE(edit.size, MANIFEST_RECORD_SIZE_MAX);
    record_encode(&manifest->header, manifest->end, edit, manifest->record_header);
    manifest->slices[0] = slice_make(manifest->record_header, MANIFEST_RECORD_HEADER);
    manifest->slices[1] = edit;
    io_write_sync(manifest->options.io, &manifest->op, manifest->file, manifest->slices, 2, manifest->end);
}

static void empty_done(struct io_op *op) {
    struct manifest *manifest = CONTAINER_OF(op, struct manifest, defer);
    finish(manifest, manifest->status);
}

enum status manifest_open(const struct manifest_options *options, const struct manifest_contents *contents,
                          struct manifest **out) {
    ASSERT(!contents->torn);
    struct manifest *manifest = mem_calloc(1, sizeof *manifest);
    manifest->options = *options;
    if (options->roll_min == 0) manifest->options.roll_min = MANIFEST_ROLL_MIN;
    manifest->roll_at = roll_after(manifest, contents->snapshot_end);
    manifest->status = STATUS_OK;
    manifest->header = contents->header;
    manifest->end = contents->end;
    manifest->op.done = written;
    manifest->defer.done = empty_done;
    list_init(&manifest->queue);
    writer_init(&manifest->edit);
    enum status status = io_file_open(options->io, layout_path(options->dir, LAYOUT_MANIFEST, 0).text,
                                      IO_OPEN_WRITE, &manifest->file);
    if (status != STATUS_OK) {
        mem_free(manifest);
        return status;
    }
    *out = manifest;
    return STATUS_OK;
}

void manifest_close(struct manifest *manifest) {
    io_file_close(manifest->file);
    if (manifest->roll.running) writer_release(&manifest->roll.snapshot);
    writer_release(&manifest->edit);
    mem_free(manifest);
}

void manifest_submit(struct manifest *manifest, struct manifest_commit *commit) {
    list_push_back(&manifest->queue, &commit->link);
    next_commit(manifest);
}

bool manifest_idle(const struct manifest *manifest) {
    return manifest->current == NULL && list_empty(&manifest->queue) && !manifest->roll.running;
}
