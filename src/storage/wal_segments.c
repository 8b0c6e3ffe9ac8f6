// SPDX-License-Identifier: Apache-2.0
#include "storage/wal_segments.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "storage/quarantine.h"

#define WAL_FIRST_SIZE  MIB        /* of the first spare of a store */
#define WAL_RESERVE_MIN (64 * KIB) /* groups from this size on go to space that is not zero-written */

struct wal_segments {
    struct wal_options options;
    void (*ready)(void *ctx, enum status status);
    void *ctx;
    struct list live;    /* by rising segment; the current one is last */
    struct list spares;  /* ready */
    struct list retired; /* would be spares again, once somebody opens them */
    uint32_t spare_count, retired_count;
    struct wal_segment *current;
    uint64_t next_size;
    uint64_t released;    /* sequence */
    uint64_t group_bytes; /* on average, of late */
    struct {
        struct io_job job;
        bool running;
        struct wal_segment *segment; /* being made, opened or enlarged */
        uint64_t size;
        bool create;
        bool reserve;  /* space is enough, it need not be written */
        bool unusable; /* its bytes are not ours alone */
        struct layout_path path;
        enum status status;
        int os_error;
    } prepare;
    struct {
        struct io_job job;
        bool running;
        struct list waiting; /* segments, files closed */
        struct list under_way;
    } removal;
};

/* ---- spares ------------------------------------------------------------------------------------------ */

static void segment_close(struct wal_segment *segment) {
    if (segment->file != NULL) io_file_close(segment->file);
    segment->file = NULL;
}

static enum status open_segment(struct wal_segments *segments, struct wal_segment *segment) {
    unsigned flags = IO_OPEN_WRITE;
    if (segments->prepare.create) flags |= IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE;
    return io_file_open(segments->options.io, segments->prepare.path.text, flags, &segment->file);
}

/* A file that a checkpoint holds under another name is not ours alone to write over. */
static bool has_one_name(struct wal_segment *segment) {
    uint64_t names;
    return io_file_name_count(segment->file, &names) == STATUS_OK && names == 1;
}

/* Of a file that was the next segment once before, a power cut may have kept the first group alone. */
static enum status wipe_first_group(struct io_file *file) {
    static const uint8_t zeroes[WAL_BLOCK_SIZE];
    return io_file_write_at(file, slice_make(zeroes, sizeof zeroes), WAL_BLOCK_SIZE);
}

static void prepare_run(struct io_job *job) {
    struct wal_segments *segments = CONTAINER_OF(job, struct wal_segments, prepare.job);
    struct io *io = segments->options.io;
    struct wal_segment *segment = segments->prepare.segment;
    bool create = segments->prepare.create;
    enum status status = STATUS_OK;
    if (segment->file == NULL) {
        status = open_segment(segments, segment);
        segments->prepare.unusable = !create && (status != STATUS_OK || !has_one_name(segment));
        if (segments->prepare.unusable) return;
        if (!create) status = wipe_first_group(segment->file);
    }
    bool reserve = segments->prepare.reserve;
    if (status == STATUS_OK && reserve) status = io_file_reserve(segment->file, segments->prepare.size);
    if (status == STATUS_UNSUPPORTED || (status == STATUS_OK && !reserve))
        status = io_file_preallocate(segment->file, segments->prepare.size);
    if (status == STATUS_OK) status = io_file_sync(segment->file);
    if (status == STATUS_OK && create) status = io_sync_dir(io, segments->options.dir);
    segments->prepare.os_error = status == STATUS_OK ? 0 : io_last_os_error();
    segments->prepare.status = status;
    if (status == STATUS_OK || segment->file == NULL) return;
    io_file_close(segment->file);
    segment->file = NULL;
    /* Best effort: what stays behind is found and removed at the next start. */
    if (io_unlink(io, segments->prepare.path.text) != STATUS_OK) return;
}

static void prepare_start(struct wal_segments *segments, uint64_t size);
static void segment_remove(struct wal_segments *segments, struct wal_segment *segment);
static void removal_start(struct wal_segments *segments);

static void prepare_done(struct io_job *job) {
    struct wal_segments *segments = CONTAINER_OF(job, struct wal_segments, prepare.job);
    struct wal_segment *segment = segments->prepare.segment;
    enum status status = segments->prepare.status;
    segments->prepare.running = false;
    segments->prepare.segment = NULL;
    if (segments->prepare.unusable) {
        segments->prepare.unusable = false;
        segment_remove(segments, segment);
        removal_start(segments);
        prepare_start(segments, segments->prepare.size);
        return;
    }
    if (status == STATUS_OK) {
        segment->size = segments->prepare.size;
        list_push_back(&segments->spares, &segment->link);
        segments->spare_count++;
    } else {
        log_warn(segments->options.log, "log segment cannot be prepared file=%s reason=%s errno=%d",
                 segments->prepare.path.text, status_name(status), segments->prepare.os_error);
        mem_free(segment);
    }
    segments->ready(segments->ctx, status);
}

static void prepare_start(struct wal_segments *segments, uint64_t size) {
    if (segments->prepare.running) return;
    struct list *node = list_pop_front(&segments->spares);
    struct wal_segment *segment;
    segments->prepare.create = false;
    if (node != NULL) {
        segment = CONTAINER_OF(node, struct wal_segment, link);
        segments->spare_count--;
    } else if ((node = list_pop_front(&segments->retired)) != NULL) {
        segment = CONTAINER_OF(node, struct wal_segment, link);
        segments->retired_count--;
    } else {
        segment = mem_calloc(1, sizeof *segment);
        list_init(&segment->link);
        segment->file_number = segments->options.next_file_number(segments->options.ctx);
        segments->prepare.create = true;
    }
    segments->prepare.path = layout_path(segments->options.dir, LAYOUT_LOG, segment->file_number);
    segments->prepare.segment = segment;
    segments->prepare.size = MAX(size, segment->size);
    segments->prepare.reserve = segments->group_bytes >= WAL_RESERVE_MIN;
    segments->prepare.running = true;
    segments->prepare.job = (struct io_job){.run = prepare_run, .done = prepare_done};
    io_job_start(segments->options.io, &segments->prepare.job);
}

uint64_t wal_segments_plan(const struct wal_segments *segments, uint64_t need) {
    struct list *node = list_first(&segments->spares);
    uint64_t size = segments->prepare.running ? segments->prepare.size : segments->next_size;
    if (node != NULL) size = CONTAINER_OF(node, struct wal_segment, link)->size;
    return MAX(size, need);
}

struct wal_segment *wal_segments_activate(struct wal_segments *segments, uint64_t segment, uint64_t size) {
    struct wal_segment *chosen = NULL;
    LIST_FOREACH(it, &segments->spares) {
        struct wal_segment *spare = CONTAINER_OF(it, struct wal_segment, link);
        if (chosen == NULL && spare->size >= size) chosen = spare;
    }
    if (chosen == NULL) {
        prepare_start(segments, size);
        return NULL;
    }
    list_remove(&chosen->link);
    segments->spare_count--;
    if (segments->current != NULL) segment_close(segments->current); /* complete */
    chosen->segment = segment;
    chosen->end = WAL_BLOCK_SIZE;
    chosen->first_sequence = chosen->last_sequence = 0;
    list_push_back(&segments->live, &chosen->link);
    segments->current = chosen;
    segments->next_size = MIN(segments->next_size * 4, (uint64_t)segments->options.segment_bytes);
    if (segments->spare_count == 0) prepare_start(segments, segments->next_size);
    return chosen;
}

void wal_segments_expect(struct wal_segments *segments, uint64_t group_bytes) {
    segments->group_bytes = group_bytes;
}

void wal_segments_deactivate(struct wal_segments *segments) {
    struct wal_segment *segment = segments->current;
    ASSERT(segment != NULL && segment->last_sequence == 0);
    list_remove(&segment->link);
    segment->segment = 0;
    segments->current = NULL;
    list_push_front(&segments->spares, &segment->link);
    segments->spare_count++;
}

struct wal_segment *wal_segments_current(struct wal_segments *segments) {
    return segments->current;
}

/* ---- removal ----------------------------------------------------------------------------------------- */

static void removal_run(struct io_job *job) {
    struct wal_segments *segments = CONTAINER_OF(job, struct wal_segments, removal.job);
    LIST_FOREACH(it, &segments->removal.under_way) {
        struct wal_segment *segment = CONTAINER_OF(it, struct wal_segment, link);
        const char *dir = segments->options.dir;
        if (segment->damaged &&
            quarantine_file(segments->options.io, dir, LAYOUT_LOG, segment->file_number) == STATUS_OK)
            continue;
        struct layout_path path = layout_path(dir, LAYOUT_LOG, segment->file_number);
        /* What cannot be removed now is found and removed at the next start. */
        if (io_unlink(segments->options.io, path.text) != STATUS_OK) continue;
    }
}

static void removal_done(struct io_job *job) {
    struct wal_segments *segments = CONTAINER_OF(job, struct wal_segments, removal.job);
    struct list *node;
    while ((node = list_pop_front(&segments->removal.under_way)) != NULL)
        mem_free(CONTAINER_OF(node, struct wal_segment, link));
    segments->removal.running = false;
    removal_start(segments);
    segments->options.changed(segments->options.ctx);
}

static void removal_start(struct wal_segments *segments) {
    if (segments->removal.running || list_empty(&segments->removal.waiting)) return;
    list_append(&segments->removal.under_way, &segments->removal.waiting);
    segments->removal.running = true;
    segments->removal.job = (struct io_job){.run = removal_run, .done = removal_done};
    io_job_start(segments->options.io, &segments->removal.job);
}

static void segment_remove(struct wal_segments *segments, struct wal_segment *segment) {
    segment_close(segment);
    list_push_back(&segments->removal.waiting, &segment->link);
}

/* A segment that nothing needs: a spare while there are few, else removed. */
static void segment_retire(struct wal_segments *segments, struct wal_segment *segment) {
    list_remove(&segment->link);
    segment->segment = 0;
    bool wanted = !segment->damaged && segments->spare_count + segments->retired_count < WAL_SPARES_MAX &&
                  segment->size >= segments->next_size;
    if (!wanted || (segment->file != NULL && !has_one_name(segment))) {
        segment_remove(segments, segment);
    } else if (segment->file != NULL) {
        list_push_back(&segments->spares, &segment->link);
        segments->spare_count++;
    } else {
        list_push_back(&segments->retired, &segment->link);
        segments->retired_count++;
    }
}

/* The newest segment that a start would find. It stays, whatever it holds: the next start counts on from it,
 * and no number may be given to two segments, whose groups could then pass for each other's. */
static const struct wal_segment *newest_durable(const struct wal_segments *segments) {
    if (list_empty(&segments->live)) return NULL;
    const struct list *node = segments->live.prev;
    const struct wal_segment *last = CONTAINER_OF(node, struct wal_segment, link);
    if (last != segments->current || last->end > WAL_BLOCK_SIZE || node->prev == &segments->live) return last;
    return CONTAINER_OF(node->prev, struct wal_segment, link);
}

void wal_segments_release(struct wal_segments *segments, uint64_t sequence) {
    const struct wal_segment *newest = newest_durable(segments);
    segments->released = MAX(segments->released, sequence);
    LIST_FOREACH(it, &segments->live) {
        struct wal_segment *segment = CONTAINER_OF(it, struct wal_segment, link);
        if (segment == newest || segment == segments->current || segment->last_sequence > sequence) break;
        if (segments->options.segment_referred(segments->options.ctx, segment->segment)) continue;
        segment_retire(segments, segment);
    }
    removal_start(segments);
}

/* ---- life -------------------------------------------------------------------------------------------- */

struct wal_segments *wal_segments_new(const struct wal_options *options, const struct wal_start *start,
                                      void (*ready)(void *ctx, enum status status), void *ctx) {
    struct wal_segments *segments = mem_calloc(1, sizeof *segments);
    segments->options = *options;
    segments->ready = ready;
    segments->ctx = ctx;
    segments->next_size = MIN((uint64_t)WAL_FIRST_SIZE, (uint64_t)options->segment_bytes);
    list_init(&segments->live);
    list_init(&segments->spares);
    list_init(&segments->retired);
    list_init(&segments->removal.waiting);
    list_init(&segments->removal.under_way);
    for (size_t i = 0; i < start->found_count; i++) {
        const struct wal_found *found = &start->found[i];
        struct wal_segment *segment = mem_calloc(1, sizeof *segment);
        *segment = (struct wal_segment){.file_number = found->file_number,
                                        .size = found->file_size,
                                        .segment = found->segment,
                                        .end = found->end,
                                        .first_sequence = found->first_sequence,
                                        .last_sequence = found->last_sequence};
        list_init(&segment->link);
        if (found->segment != 0)
            list_push_back(&segments->live, &segment->link);
        else
            segment_retire(segments, segment);
    }
    return segments;
}

void wal_segments_begin(struct wal_segments *segments) {
    removal_start(segments);
    if (segments->spare_count == 0) prepare_start(segments, segments->next_size);
}

static void free_list(struct list *list) {
    struct list *node;
    while ((node = list_pop_front(list)) != NULL) {
        struct wal_segment *segment = CONTAINER_OF(node, struct wal_segment, link);
        segment_close(segment);
        mem_free(segment);
    }
}

void wal_segments_free(struct wal_segments *segments) {
    free_list(&segments->live);
    free_list(&segments->spares);
    free_list(&segments->retired);
    free_list(&segments->removal.waiting);
    free_list(&segments->removal.under_way);
    if (segments->prepare.segment != NULL) {
        segment_close(segments->prepare.segment);
        mem_free(segments->prepare.segment);
    }
    mem_free(segments);
}

bool wal_segments_idle(const struct wal_segments *segments) {
    return !segments->prepare.running && !segments->removal.running;
}

static struct wal_segment_info info_of(const struct wal_segment *segment) {
    return (struct wal_segment_info){segment->file_number, segment->size, segment->first_sequence,
                                     segment->end};
}

static struct wal_segment *find_live(const struct wal_segments *segments, uint64_t number) {
    LIST_FOREACH(it, (struct list *)(uintptr_t)&segments->live) {
        struct wal_segment *segment = CONTAINER_OF(it, struct wal_segment, link);
        if (segment->segment == number) return segment;
    }
    return NULL;
}

bool wal_segments_info(const struct wal_segments *segments, uint64_t number, struct wal_segment_info *info) {
    const struct wal_segment *segment = find_live(segments, number);
    if (segment == NULL) return false;
    *info = info_of(segment);
    return true;
}

bool wal_segments_next_due(const struct wal_segments *segments, uint64_t number, uint64_t due, uint64_t *next,
                           struct wal_segment_info *info) {
    LIST_FOREACH(it, (struct list *)(uintptr_t)&segments->live) {
        const struct wal_segment *segment = CONTAINER_OF(it, struct wal_segment, link);
        if (segment->segment <= number || segment->last_sequence < due) continue;
        *next = segment->segment;
        *info = info_of(segment);
        return true;
    }
    return false;
}

void wal_segments_damaged(struct wal_segments *segments, uint64_t number) {
    struct wal_segment *segment = find_live(segments, number);
    if (segment != NULL) segment->damaged = true;
}

uint64_t wal_segments_released(const struct wal_segments *segments) {
    uint64_t last = 0;
    LIST_FOREACH(it, (struct list *)(uintptr_t)&segments->live) {
        const struct wal_segment *segment = CONTAINER_OF(it, struct wal_segment, link);
        if (segment == segments->current || segment->last_sequence > segments->released) break;
        last = segment->segment;
    }
    return last;
}

uint64_t wal_segments_kept_bytes(const struct wal_segments *segments) {
    uint64_t bytes = 0;
    LIST_FOREACH(it, (struct list *)(uintptr_t)&segments->live)
        bytes += CONTAINER_OF(it, struct wal_segment, link)->size;
    return bytes;
}

uint64_t wal_segments_live_bytes(const struct wal_segments *segments) {
    uint64_t bytes = 0;
    LIST_FOREACH(it, (struct list *)(uintptr_t)&segments->live) {
        const struct wal_segment *segment = CONTAINER_OF(it, struct wal_segment, link);
        if (segment == segments->current || segment->last_sequence > segments->released)
            bytes += segment->size;
    }
    return bytes;
}
