// SPDX-License-Identifier: Apache-2.0
#include "storage/wal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "storage/wal_cold.h"
#include "storage/wal_segments.h"

/* Small values and headers of many groups share one chunk; what refers to a part keeps all of it alive. */
#define WAL_CHUNK_SIZE (128 * KIB)
/* Values below are always copied; larger ones are referenced when they are at least half of their buffer, or
 * large by themselves. */
#define WAL_COPY_MAX      (4 * KIB)
#define WAL_REFERENCE_MIN (64 * KIB)

/* A large value of a group under way. */
struct wal_value {
    bool cold;          /* struct store_write.cold */
    uint64_t partition; /* the prefix of its key as an integer */
    uint64_t sequence;
    struct slice bytes;
    uint8_t *change; /* encoded, where its offset is still missing */
};

struct wal_group {
    struct list link;
    struct list writes;
    uint64_t segment, offset;
    uint64_t segment_size; /* planned: the groups behind this one count on it */
    uint64_t records_size, values_size;
    uint64_t cold_size; /* of the values at its end that the page cache need not keep */
    uint64_t first_sequence, last_sequence;
    uint32_t slice_count, slice_capacity;
    uint32_t held_count, held_capacity;
    uint32_t record_count, record_capacity;
    uint32_t value_count, value_capacity;
    struct slice *slices; /* [0] is kept for the segment header */
    struct buffer **held;
    struct slice *records; /* header and changes; headers are filled when the group is sealed */
    struct wal_value *values;
    uint8_t *header; /* in a chunk; filled when the group is sealed */
};

struct wal {
    struct wal_options options;
    enum status status;
    struct wal_segments *segments;
    struct wal_cold cold;
    struct list pending; /* groups, the last one open */
    struct list unused;
    struct wal_group *in_flight;
    struct io_op op, defer;
    bool deferred;
    uint64_t started_ns;
    struct wal_chunk {
        struct buffer *buffer;
        size_t used;
    } records, values; /* headers and changes; copies of large values */
    /* where the next group goes */
    uint64_t plan_segment, plan_size, plan_offset;
    uint64_t next_sequence, durable_sequence;
    uint64_t pending_bytes;
    /* where the log ends on disk */
    uint64_t end_segment, end_offset;
    uint8_t header_block[WAL_BLOCK_SIZE];
    struct wal_counters counters;
    struct {
        uint64_t syncs, bytes;
    } told; /* counters when the segment began */
};

static const uint8_t zeros[2 * WAL_BLOCK_SIZE];

/* ---- groups ------------------------------------------------------------------------------------------ */

static void group_push_slice(struct wal_group *group, struct slice bytes) {
    struct slice *last = &group->slices[group->slice_count - 1];
    if (group->slice_count > 1 && last->data + last->size == bytes.data) {
        last->size += bytes.size;
        return;
    }
    if (group->slice_count == group->slice_capacity) {
        group->slice_capacity *= 2;
        group->slices = mem_realloc(group->slices, group->slice_capacity * sizeof *group->slices);
    }
    group->slices[group->slice_count++] = bytes;
}

static void group_hold(struct wal_group *group, struct buffer *buffer) {
    if (group->held_count > 0 && group->held[group->held_count - 1] == buffer) return;
    if (group->held_count == group->held_capacity) {
        group->held_capacity *= 2;
        group->held = mem_realloc(group->held, group->held_capacity * sizeof *group->held);
    }
    group->held[group->held_count++] = buffer_ref(buffer);
}

static void group_recycle(struct wal *wal, struct wal_group *group) {
    for (uint32_t i = 0; i < group->held_count; i++)
        buffer_unref(group->held[i]);
    list_push_front(&wal->unused, &group->link);
}

static void group_free(struct wal_group *group) {
    for (uint32_t i = 0; i < group->held_count; i++)
        buffer_unref(group->held[i]);
    mem_free(group->slices);
    mem_free(group->held);
    mem_free(group->records);
    mem_free(group->values);
    mem_free(group);
}

static void chunk_cut(struct wal_chunk *chunk) {
    buffer_unref(chunk->buffer);
    *chunk = (struct wal_chunk){0};
}

void wal_cut_chunk(struct wal *wal) {
    chunk_cut(&wal->records);
    chunk_cut(&wal->values);
}

/* `size` bytes in a chunk, which the group keeps alive. */
static uint8_t *chunk_take(struct wal_chunk *chunk, struct wal_group *group, size_t size) {
    if (chunk->buffer == NULL || chunk->buffer->size - chunk->used < size) {
        chunk_cut(chunk);
        chunk->buffer = buffer_new(MAX(size, WAL_CHUNK_SIZE));
    }
    uint8_t *at = chunk->buffer->data + chunk->used;
    chunk->used += size;
    group_hold(group, chunk->buffer);
    return at;
}

static uint64_t group_size(const struct wal_group *group) {
    return group->records_size + group->values_size;
}

/* Nothing more goes to the segment that the plan is at: some of it cannot be read any more. */
static bool plan_is_damaged(const struct wal *wal) {
    const struct wal_segment *current = wal_segments_current(wal->segments);
    return current != NULL && current->segment == wal->plan_segment && current->damaged;
}

static struct wal_group *group_open(struct wal *wal, uint64_t record_size) {
    uint64_t need = WAL_GROUP_HEADER_SIZE + record_size;
    if (wal->plan_segment == 0 || plan_is_damaged(wal) || wal->plan_offset + need > wal->plan_size) {
        wal->plan_segment = wal->plan_segment == 0 ? wal->end_segment + 1 : wal->plan_segment + 1;
        wal->plan_offset = WAL_BLOCK_SIZE;
        wal->plan_size = wal_segments_plan(wal->segments, WAL_BLOCK_SIZE + wal_align(need));
    }
    struct list *node = list_pop_front(&wal->unused);
    struct wal_group *group = node == NULL ? NULL : CONTAINER_OF(node, struct wal_group, link);
    if (group == NULL) {
        group = mem_calloc(1, sizeof *group);
        group->slice_capacity = 64;
        group->slices = mem_alloc(group->slice_capacity * sizeof *group->slices);
        group->held_capacity = 16;
        group->held = mem_alloc(group->held_capacity * sizeof *group->held);
        group->record_capacity = group->value_capacity = 16;
        group->records = mem_alloc(group->record_capacity * sizeof *group->records);
        group->values = mem_alloc(group->value_capacity * sizeof *group->values);
        list_init(&group->link);
    }
    list_init(&group->writes);
    group->slice_count = 1;
    group->slices[0] = SLICE_EMPTY;
    group->held_count = group->record_count = group->value_count = 0;
    group->records_size = group->values_size = group->cold_size = 0;
    group->segment = wal->plan_segment;
    group->segment_size = wal->plan_size;
    group->offset = wal->plan_offset;
    group->first_sequence = wal->next_sequence;
    group->header = chunk_take(&wal->records, group, WAL_GROUP_HEADER_SIZE);
    group_push_slice(group, slice_make(group->header, WAL_GROUP_HEADER_SIZE));
    list_push_back(&wal->pending, &group->link);
    return group;
}

/* The group that a record of that size goes to. */
static struct wal_group *group_for(struct wal *wal, uint64_t record_size) {
    if (!list_empty(&wal->pending)) {
        struct wal_group *group = CONTAINER_OF(wal->pending.prev, struct wal_group, link);
        uint64_t size = group_size(group) + record_size;
        uint64_t end = group->offset + WAL_GROUP_HEADER_SIZE + size;
        if (size <= WAL_GROUP_BYTES_MAX && end <= wal->plan_size && !plan_is_damaged(wal)) return group;
        wal->plan_offset = wal_align(group->offset + WAL_GROUP_HEADER_SIZE + group_size(group));
    }
    return group_open(wal, record_size);
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static void wal_start_group(struct wal *wal);

/* Fails everything that is not durable. */
static void wal_fail(struct wal *wal, enum status status) {
    struct list writes;
    list_init(&writes);
    if (wal->in_flight != NULL) list_push_front(&wal->pending, &wal->in_flight->link);
    wal->in_flight = NULL;
    struct list *node;
    while ((node = list_pop_front(&wal->pending)) != NULL) {
        struct wal_group *group = CONTAINER_OF(node, struct wal_group, link);
        list_append(&writes, &group->writes);
        group_recycle(wal, group);
    }
    wal->pending_bytes = 0;
    if (status != STATUS_NO_SPACE) {
        wal->status = status;
    } else {
        wal->next_sequence = wal->durable_sequence + 1;
        wal_places_truncate(wal->options.places, wal->durable_sequence);
        wal->plan_segment = 0;
        struct wal_segment *current = wal_segments_current(wal->segments);
        if (current != NULL && current->segment == wal->end_segment) {
            wal->plan_segment = current->segment;
            wal->plan_offset = wal_align(wal->end_offset);
            wal->plan_size = current->size;
        }
    }
    wal->options.completed(wal->options.ctx, status, &writes);
}

/* A write that ran out of space may have left a whole group behind that nobody will be told of: its first
 * block is wiped, so that recovery does not bring it back. With it the header that came along: the next
 * header of that segment is the same, and would find the group behind it. */
static enum status wal_wipe(struct wal *wal, const struct wal_group *group) {
    struct io_file *file = wal_segments_current(wal->segments)->file;
    bool fresh = group->slices[0].size > 0;
    uint64_t offset = fresh ? 0 : group->offset;
    enum status status = io_file_write_at(file, slice_make(zeros, (fresh ? 2 : 1) * WAL_BLOCK_SIZE), offset);
    return status == STATUS_OK ? io_file_sync(file) : status;
}

static void wal_written(struct io_op *op) {
    struct wal *wal = CONTAINER_OF(op, struct wal, op);
    struct wal_group *group = wal->in_flight;
    histogram_add(&wal->counters.sync_ns, io_clock_ns(wal->options.io) - wal->started_ns);
    if (op->status != STATUS_OK) {
        enum status status = op->status == STATUS_NO_SPACE ? STATUS_NO_SPACE : STATUS_IO;
        if (status == STATUS_NO_SPACE && wal_wipe(wal, group) != STATUS_OK) status = STATUS_IO;
        log_error(wal->options.log,
                  "log write failed segment=%" PRIu64 " offset=%" PRIu64 " reason=%s errno=%d",
                  group->segment, group->offset, status_name(op->status), op->os_error);
        if (status == STATUS_NO_SPACE && group->slices[0].size > 0) wal_segments_deactivate(wal->segments);
        wal_fail(wal, status);
        wal->options.changed(wal->options.ctx);
        return;
    }
    struct wal_segment *segment = wal_segments_current(wal->segments);
    ASSERT_EQ(segment->segment, group->segment);
    wal->in_flight = NULL;
    wal->durable_sequence = group->last_sequence;
    wal->end_segment = group->segment;
    wal->end_offset = group->offset + WAL_GROUP_HEADER_SIZE + group_size(group);
    segment->end = wal->end_offset;
    segment->last_sequence = group->last_sequence;
    if (group->cold_size > 0)
        wal_cold_add(&wal->cold, segment->file_number, wal->end_offset - group->cold_size, group->cold_size);
    wal->pending_bytes -= group_size(group);
    struct list writes;
    list_init(&writes);
    list_append(&writes, &group->writes);
    group_recycle(wal, group);
    wal_start_group(wal);
    wal->options.completed(wal->options.ctx, STATUS_OK, &writes);
    wal->options.changed(wal->options.ctx);
}

/* Called by the segments when a spare became ready, or could not be made: for want of room or of descriptors
 * a later group tries again. */
static void wal_segment_ready(void *ctx, enum status status) {
    struct wal *wal = ctx;
    if (status == STATUS_OK)
        wal_start_group(wal);
    else if (wal->status == STATUS_OK && wal->in_flight == NULL && !list_empty(&wal->pending))
        wal_fail(wal, status == STATUS_NO_SPACE || status == STATUS_BUSY ? STATUS_NO_SPACE : STATUS_IO);
    wal->options.changed(wal->options.ctx);
}

/* Makes the segment of `group` the current one; false: no file is ready yet. */
static bool wal_activate(struct wal *wal, struct wal_group *group) {
    struct wal_segment *current = wal_segments_current(wal->segments);
    if (current != NULL && current->segment == group->segment) return true;
    uint64_t groups = wal->counters.syncs - wal->told.syncs;
    if (groups > 0) wal_segments_expect(wal->segments, (wal->counters.bytes - wal->told.bytes) / groups);
    struct wal_segment *segment = wal_segments_activate(wal->segments, group->segment, group->segment_size);
    if (segment == NULL) return false;
    wal->told.syncs = wal->counters.syncs;
    wal->told.bytes = wal->counters.bytes;
    segment->first_sequence = group->first_sequence;
    struct wal_segment_header header = {.store_id = wal->options.store_id,
                                        .segment = group->segment,
                                        .size = segment->size,
                                        .first_sequence = group->first_sequence,
                                        .previous_end = wal->end_offset};
    wal_segment_header_encode(&header, wal->header_block);
    group->slices[0] = slice_make(wal->header_block, WAL_BLOCK_SIZE);
    return true;
}

static int compare_values(const void *a, const void *b) {
    const struct wal_value *x = a, *y = b;
    if (x->cold != y->cold) return x->cold ? 1 : -1;
    if (x->partition != y->partition) return x->partition < y->partition ? -1 : 1;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* Of values in their order: how much at the end is cold, if its stretches are worth it. */
static uint64_t cold_size(const struct wal_group *group) {
    uint64_t size = 0, stretches = 0;
    for (uint32_t i = group->value_count; i-- > 0 && group->values[i].cold;) {
        const struct wal_value *value = &group->values[i];
        size += value->bytes.size;
        stretches += i + 1 == group->value_count || value[1].partition != value->partition;
    }
    return size >= stretches * WAL_COLD_STRETCH_MIN ? size : 0;
}

/* Gives the large values their order and their places. */
static void place_values(struct wal *wal, struct wal_group *group) {
    if (group->value_count == 0) return;
    bool ordered = true;
    for (uint32_t i = 1; i < group->value_count && ordered; i++)
        ordered = compare_values(&group->values[i - 1], &group->values[i]) < 0;
    if (!ordered) qsort(group->values, group->value_count, sizeof *group->values, compare_values);
    struct wal_places_group *places = wal_places_add(
        wal->options.places, group->first_sequence,
        (uint32_t)(group->last_sequence - group->first_sequence + 1), group->segment,
        group->offset + WAL_GROUP_HEADER_SIZE + group->records_size);
    uint32_t offset = 0;
    for (uint32_t i = 0; i < group->value_count; i++) {
        const struct wal_value *value = &group->values[i];
        store_le32(value->change + WAL_CHANGE_VALUE_OFFSET, offset);
        places->offsets[value->sequence - group->first_sequence] = offset;
        group_push_slice(group, value->bytes);
        offset += (uint32_t)value->bytes.size;
    }
    group->cold_size = cold_size(group);
}

/* Everything in the group is known: headers and checksums are filled. */
static void group_seal(struct wal *wal, struct wal_group *group) {
    for (uint32_t i = 0; i < group->record_count; i++)
        group_push_slice(group, group->records[i]);
    place_values(wal, group);
    struct wal_address where = {wal->options.store_id, group->segment, group->offset + WAL_GROUP_HEADER_SIZE};
    for (uint32_t i = 0; i < group->record_count; i++) {
        wal_record_header_seal(where, (uint8_t *)(uintptr_t)group->records[i].data);
        where.offset += group->records[i].size;
    }
    struct wal_group_header header = {.segment = group->segment,
                                      .offset = group->offset,
                                      .first_sequence = group->first_sequence,
                                      .records_size = group->records_size,
                                      .values_size = group->values_size,
                                      .record_count = group->record_count};
    wal_group_header_encode(&header, wal->options.store_id, group->header);
}

static void wal_start_group(struct wal *wal) {
    if (wal->in_flight != NULL || wal->status != STATUS_OK || list_empty(&wal->pending)) return;
    struct wal_group *group = CONTAINER_OF(list_first(&wal->pending), struct wal_group, link);
    uint64_t end = group->offset + WAL_GROUP_HEADER_SIZE + group_size(group);
    if (!wal_activate(wal, group)) return;
    list_remove(&group->link);
    if (list_empty(&wal->pending)) wal->plan_offset = wal_align(end);
    group_seal(wal, group);
    if (wal_align(end) > end) group_push_slice(group, slice_make(zeros, wal_align(end) - end));
    bool fresh = group->slices[0].size > 0;
    uint64_t offset = fresh ? 0 : group->offset;
    wal->in_flight = group;
    wal->counters.syncs++;
    wal->counters.bytes += wal_align(end) - offset;
    wal->started_ns = io_clock_ns(wal->options.io);
    io_write_sync(wal->options.io, &wal->op, wal_segments_current(wal->segments)->file,
                  group->slices + (fresh ? 0 : 1), group->slice_count - (fresh ? 0 : 1), offset);
}

static void wal_turn(struct io_op *op) {
    struct wal *wal = CONTAINER_OF(op, struct wal, defer);
    wal->deferred = false;
    wal_start_group(wal);
    wal->options.changed(wal->options.ctx);
}

static bool value_referenced(struct shared_slice value) {
    size_t size = value.bytes.size;
    if (value.owner == NULL || size < WAL_COPY_MAX) return false;
    return size >= WAL_REFERENCE_MIN || size * 2 >= value.owner->size;
}

/* The value stays where it is, or is copied into the log's chunk. */
static void keep_value(struct wal *wal, struct wal_group *group, struct store_change *change) {
    struct slice bytes = change->value.bytes;
    if (value_referenced(change->value)) {
        group_hold(group, change->value.owner);
        return;
    }
    uint8_t *copy = chunk_take(&wal->values, group, bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    shared_slice_unref(change->value);
    change->value = shared_slice_ref((struct shared_slice){slice_make(copy, bytes.size), wal->values.buffer});
}

static bool is_large(const struct store_change *change) {
    return change->kind == ENTRY_PUT && change->value.bytes.size >= LAYOUT_APART_MIN;
}

/* What a write takes in the log. */
static void measure(struct store_write *write, uint64_t *changes_size, uint64_t *values_size) {
    *changes_size = *values_size = 0;
    for (uint32_t i = 0; i < write->change_count; i++) {
        struct store_change *change = &write->changes[i];
        size_t value_size = change->value.bytes.size;
        if (change->kind == ENTRY_PUT && change->value.owner == NULL && value_size > 0)
            change->value.bytes.data = write->keys.data + change->value_at;
        bool large = is_large(change);
        if (large) *values_size += value_size;
        *changes_size += wal_change_size(large ? ENTRY_PUT_APART : change->kind, change->key_size,
                                         change->kind == ENTRY_PUT ? value_size : change->to_size);
    }
}

/* The partition of a key as an integer that orders as the keys do, as far as eight bytes say. */
static uint64_t partition_of(const struct wal *wal, struct slice key) {
    size_t size = MIN(MIN(wal->options.partition_prefix_size, key.size), sizeof(uint64_t));
    uint64_t partition = 0;
    for (size_t i = 0; i < size; i++)
        partition |= (uint64_t)key.data[i] << (56 - 8 * i);
    return partition;
}

static uint8_t *append_change(struct wal *wal, struct wal_group *group, struct store_write *write,
                              uint32_t index, uint8_t *at) {
    struct store_change *change = &write->changes[index];
    struct wal_change encoded = {.kind = change->kind,
                                 .key = store_change_key(write, change),
                                 .to = store_change_to(write, change),
                                 .value = change->value.bytes};
    if (!is_large(change)) {
        uint8_t *end = wal_change_encode(&encoded, at);
        if (change->kind == ENTRY_PUT) { /* the bytes stay in the log's chunk */
            size_t size = change->value.bytes.size;
            shared_slice_unref(change->value);
            change->value = shared_slice_ref(
                (struct shared_slice){slice_make(end - size, size), wal->records.buffer});
        }
        return end;
    }
    keep_value(wal, group, change);
    encoded.kind = ENTRY_PUT_APART;
    encoded.value_size = (uint32_t)change->value.bytes.size;
    encoded.value_crc = change->value_crc = crc32c(0, change->value.bytes.data, change->value.bytes.size);
    if (group->value_count == group->value_capacity) {
        group->value_capacity *= 2;
        group->values = mem_realloc(group->values, group->value_capacity * sizeof *group->values);
    }
    group->values[group->value_count++] = (struct wal_value){.cold = write->cold,
                                                             .partition = partition_of(wal, encoded.key),
                                                             .sequence = write->sequence + index,
                                                             .bytes = change->value.bytes,
                                                             .change = at};
    return wal_change_encode(&encoded, at);
}

void wal_append(struct wal *wal, struct store_write *write) {
    ASSERT(wal->status == STATUS_OK);
    ASSERT(write->change_count > 0);
    uint64_t changes_size, values_size;
    measure(write, &changes_size, &values_size);
    uint64_t record_size = WAL_RECORD_HEADER_SIZE + changes_size;
    ASSERT_LE(record_size + values_size, WAL_GROUP_SIZE_MAX);
    struct wal_group *group = group_for(wal, record_size + values_size);
    write->sequence = wal->next_sequence;
    uint8_t *record = chunk_take(&wal->records, group, record_size);
    uint8_t *at = record + WAL_RECORD_HEADER_SIZE;
    for (uint32_t i = 0; i < write->change_count; i++)
        at = append_change(wal, group, write, i, at);
    ASSERT(at == record + record_size);
    struct wal_record_header header = {.changes_size = (uint32_t)changes_size,
                                       .change_count = write->change_count,
                                       .first_sequence = write->sequence};
    wal_record_header_fill(&header, record);
    if (group->record_count == group->record_capacity) {
        group->record_capacity *= 2;
        group->records = mem_realloc(group->records, group->record_capacity * sizeof *group->records);
    }
    group->records[group->record_count++] = slice_make(record, record_size);
    group->records_size += record_size;
    group->values_size += values_size;
    wal->next_sequence += write->change_count;
    group->last_sequence = wal->next_sequence - 1;
    wal->pending_bytes += record_size + values_size;
    list_push_back(&group->writes, &write->link);
    if (wal->in_flight == NULL && !wal->deferred) {
        wal->deferred = true; /* last: what others write at the end of this turn comes along */
        io_defer_last(wal->options.io, &wal->defer);
    }
}

uint64_t wal_skip(struct wal *wal, uint32_t count) {
    ASSERT(wal->in_flight == NULL && list_empty(&wal->pending) && wal_live_bytes(wal) == 0);
    uint64_t first = wal->next_sequence;
    wal->next_sequence += count;
    wal->durable_sequence = wal->next_sequence - 1;
    return first;
}

/* ---- life -------------------------------------------------------------------------------------------- */

struct wal *wal_new(const struct wal_options *options, const struct wal_start *start) {
    ASSERT(options->segment_bytes >= WAL_SEGMENT_SIZE_MIN);
    struct wal *wal = mem_calloc(1, sizeof *wal);
    wal->options = *options;
    wal->status = STATUS_OK;
    list_init(&wal->pending);
    list_init(&wal->unused);
    wal->op.done = wal_written;
    wal->defer.done = wal_turn;
    wal->next_sequence = start->next_sequence;
    wal->durable_sequence = start->next_sequence - 1;
    wal->end_segment = start->next_segment - 1;
    wal->end_offset = start->previous_end;
    histogram_init(&wal->counters.sync_ns);
    wal->segments = wal_segments_new(options, start, wal_segment_ready, wal);
    wal_cold_init(&wal->cold, options->io, options->dir, options->changed, options->ctx);
    return wal;
}

void wal_begin(struct wal *wal) {
    wal_segments_begin(wal->segments);
}

void wal_free(struct wal *wal) {
    struct list *node;
    if (wal->in_flight != NULL) group_free(wal->in_flight);
    while ((node = list_pop_front(&wal->pending)) != NULL)
        group_free(CONTAINER_OF(node, struct wal_group, link));
    while ((node = list_pop_front(&wal->unused)) != NULL) {
        struct wal_group *group = CONTAINER_OF(node, struct wal_group, link);
        group->held_count = 0;
        group_free(group);
    }
    wal_cut_chunk(wal);
    wal_segments_free(wal->segments);
    mem_free(wal);
}

bool wal_idle(const struct wal *wal) {
    return wal->in_flight == NULL && list_empty(&wal->pending) && !wal->deferred &&
           wal_segments_idle(wal->segments) && !wal->cold.running;
}

void wal_release(struct wal *wal, uint64_t sequence) {
    ASSERT_LE(sequence, wal->durable_sequence);
    wal_places_forget(wal->options.places, sequence);
    wal_segments_release(wal->segments, sequence);
}

bool wal_next_due(const struct wal *wal, uint64_t segment, uint64_t due, uint64_t *next,
                  struct wal_segment_info *info) {
    return wal_segments_next_due(wal->segments, segment, due, next, info);
}

void wal_segment_damaged(struct wal *wal, uint64_t segment) {
    wal_segments_damaged(wal->segments, segment);
}

bool wal_segment_info(const struct wal *wal, uint64_t segment, struct wal_segment_info *info) {
    return wal_segments_info(wal->segments, segment, info);
}
uint64_t wal_current_segment(const struct wal *wal, uint64_t *end) {
    const struct wal_segment *current = wal_segments_current(wal->segments);
    *end = current == NULL ? 0 : wal_align(current->end);
    return current == NULL ? 0 : current->segment;
}
uint64_t wal_released_segment(const struct wal *wal) {
    return wal_segments_released(wal->segments);
}

uint64_t wal_durable_sequence(const struct wal *wal) {
    return wal->durable_sequence;
}
uint64_t wal_pending_bytes(const struct wal *wal) {
    return wal->pending_bytes;
}
uint64_t wal_live_bytes(const struct wal *wal) {
    return wal_segments_live_bytes(wal->segments);
}
uint64_t wal_kept_bytes(const struct wal *wal) {
    return wal_segments_kept_bytes(wal->segments);
}
const struct wal_counters *wal_counters(const struct wal *wal) {
    return &wal->counters;
}
