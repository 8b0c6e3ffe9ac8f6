// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a manifest: reading, applying and inspecting never crash, and what is applied leaves a version
 * that holds its invariants and can be written and read again. Odd first byte: the header and the checksums
 * of the records are put right first; the second byte then is the number of records. */
#include "base/assert.h"
#include "base/mem.h"
#include "io/io_sim.h"
#include "storage/inspect.h"
#include "storage/manifest.h"
#include "storage/version.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum status apply(void *ctx, uint64_t offset, struct slice edit) {
    struct version_set *set = ctx;
    MAYBE(offset == 0);
    enum status status = version_set_apply(set, edit, NULL);
    ASSERT(status == STATUS_OK || status == STATUS_CORRUPT);
    version_check(set->current);
    return status;
}

/* Both would write the same snapshot. */
static void check_same(const struct version_set *set, const struct version_set *other) {
    struct writer first, second;
    writer_init(&first);
    writer_init(&second);
    version_set_snapshot(set, &first);
    version_set_snapshot(other, &second);
    ASSERT(slice_equal(writer_slice(&first), writer_slice(&second)));
    writer_release(&first);
    writer_release(&second);
}

static void check_snapshot(struct io *io, const struct version_set *set) {
    struct writer snapshot;
    writer_init(&snapshot);
    version_set_snapshot(set, &snapshot);
    struct version_set again;
    version_set_init(&again, io, "d", NULL);
    again.keep_files = true;
    enum status status = version_set_apply(&again, writer_slice(&snapshot), NULL);
    ASSERT(status == STATUS_OK);
    check_same(set, &again);
    version_set_release(&again);
    writer_release(&snapshot);
}

static enum status load(void *ctx, uint64_t offset, struct slice edit) {
    MAYBE(offset == 0);
    return version_set_load(ctx, edit, NULL);
}

/* In place or each edit a version of its own: the same comes of it. */
static void check_loaded(struct io *io, const char *dir, enum status applied, const struct version_set *set) {
    struct version_set loaded;
    version_set_init(&loaded, io, dir, NULL);
    loaded.keep_files = true;
    struct manifest_contents contents;
    struct diagnostic diagnostic;
    enum status status = manifest_read(io, dir, load, &loaded, &contents, &diagnostic);
    ASSERT_EQ(status, applied);
    if (status == STATUS_OK) {
        version_set_loaded(&loaded);
        check_same(set, &loaded);
    }
    version_set_release(&loaded);
}

static void read_directory(struct io *io, const char *dir) {
    struct version_set set;
    version_set_init(&set, io, dir, NULL);
    set.keep_files = true;
    struct manifest_contents contents;
    struct diagnostic diagnostic;
    enum status status = manifest_read(io, dir, apply, &set, &contents, &diagnostic);
    ASSERT(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_VERSION);
    check_snapshot(io, &set);
    check_loaded(io, dir, status, &set);
    version_set_release(&set);
}

/* The input as edits of a well-formed manifest: applied one after the other. */
static void apply_edits(struct io *io, struct slice bytes, uint32_t records) {
    struct version_set set;
    version_set_init(&set, io, "d", NULL);
    set.keep_files = true;
    for (uint32_t i = 0; i < records; i++) {
        size_t part = bytes.size * (i + 1) / records - bytes.size * i / records;
        struct slice edit = slice_make(bytes.data + bytes.size * i / records, part);
        if (apply(&set, 0, edit) != STATUS_OK) continue;
        struct manifest_header header = {.store_id = 7, .generation = i};
        if (edit.size > 0) {
            enum status status = manifest_create(io, "d", &header, edit);
            ASSERT(status == STATUS_OK);
        }
    }
    check_snapshot(io, &set);
    version_set_release(&set);
}

static void ignore_text(void *ctx, struct slice text) {
    (void)ctx;
    (void)text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    enum status status = io_mkdir(io, "d");
    ASSERT(status == STATUS_OK);
    if (data[0] & 1) {
        apply_edits(io, slice_make(data + 2, size - 2), 1u + data[1] % 4);
    } else {
        struct io_file *file;
        status = io_file_open(io, "d/MANIFEST", IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
        ASSERT(status == STATUS_OK);
        status = io_file_write_at(file, slice_make(data + 2, size - 2), 0);
        ASSERT(status == STATUS_OK);
        io_file_close(file);
        read_directory(io, "d");
    }
    struct inspect_options options = {
        .json = (data[0] & 2) != 0, .entries = true, .verify = true, .print = ignore_text};
    struct diagnostic diagnostic;
    MAYBE(inspect_path(io, "d/MANIFEST", &options, &diagnostic) == STATUS_OK);
    MAYBE(inspect_path(io, "d", &options, &diagnostic) == STATUS_OK);
    io_sim_free(sim);
    return 0;
}
