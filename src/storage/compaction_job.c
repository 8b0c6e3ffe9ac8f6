// SPDX-License-Identifier: Apache-2.0
#include "storage/compaction_job.h"

#include "base/assert.h"
#include "base/mem.h"
#include "storage/damage.h"

/* Beside key and value an entry takes less than that in a block. */
#define ENTRY_BYTES 48u

/* A table under way may be finished at once, each further one takes table_bytes, one large value may end one
 * more, and another one may be begun. */
uint64_t compaction_job_step_tables(const struct compaction_job *job) {
    return COMPACTION_STEP / job->options.table_bytes + 4;
}

static bool is_deleted(void *ctx, struct slice first, struct slice last, uint64_t sequence) {
    const struct tombstone_set *set = &((const struct compaction_job *)ctx)->version->tombstones->set;
    return damage_is_deleted(&set, 1, first, last, true, sequence, UINT64_MAX);
}

void compaction_job_init(struct compaction_job *job, const struct flush_options *options,
                         const struct version *version, const struct compaction_plan *plan) {
    *job = (struct compaction_job){
        .options = *options, .version = version, .plan = plan, .status = STATUS_PENDING};
    table_output_init(&job->output);
    struct merge_options merge = {
        .tables = {.blocking = true, .sequential = true}, .deleted = is_deleted, .ctx = job};
    merge_iterator_init(&job->merge, &merge);
    if (plan->level == 0) {
        for (size_t i = 0; i < plan->upper_count; i++)
            merge_iterator_add_run(&job->merge, plan->upper[i]);
    } else {
        merge_iterator_add_level(&job->merge, (struct run *const *)plan->upper, plan->upper_count, 0);
    }
    if (plan->lower_count > 0)
        merge_iterator_add_level(&job->merge, (struct run *const *)plan->lower, plan->lower_count, 0);
}

void compaction_job_release(struct compaction_job *job, bool discard) {
    merge_iterator_release(&job->merge);
    if (job->writer != NULL) table_writer_abandon(job->writer);
    job->writer = NULL;
    if (discard) table_output_discard(&job->output, job->options.io, job->options.dir);
    table_output_release(&job->output);
}

/* Nothing below the output may hold the key: then a deletion has nothing left to delete. */
static bool is_deepest(const struct compaction_job *job, struct slice key) {
    for (uint32_t l = job->plan->output_level + 1; l < STORE_LEVEL_COUNT; l++)
        if (version_level_overlaps(&job->version->levels[l], l, key, key)) return false;
    return true;
}

static bool is_hidden(const struct compaction_job *job, const struct merge_entry *entry) {
    const struct tombstone_set *tombstones = &job->version->tombstones->set;
    if (tombstone_set_cover(tombstones, entry->key, UINT64_MAX) > entry->sequence) return true;
    return entry->kind == ENTRY_DELETE && is_deepest(job, entry->key);
}

static enum status finish_table(struct compaction_job *job) {
    if (job->writer == NULL) return STATUS_OK;
    struct table_meta meta;
    enum status status = table_writer_finish(job->writer, &job->output.arena, &meta);
    job->writer = NULL;
    if (status == STATUS_OK) *table_output_add(&job->output) = meta;
    return status;
}

/* A sector that cannot be read concerns the runs it is in, and may be read later; only what cannot be written
 * ends the store. */
static enum status read_status(enum status status) {
    return status == STATUS_IO ? STATUS_UNAVAILABLE : status;
}

static enum status write_entry(struct compaction_job *job, const struct merge_entry *entry) {
    struct block_entry stored = {.kind = entry->kind, .sequence = entry->sequence};
    enum status status = STATUS_OK;
    if (entry->kind == ENTRY_PUT_LOG) {
        const struct table_run_meta *run = merge_iterator_run(&job->merge, &stored.place);
        if (compaction_moves_in(job->plan, run, stored.place.file)) stored.kind = ENTRY_PUT;
    }
    if (entry->kind == ENTRY_PUT_APART) stored.kind = ENTRY_PUT;
    if (stored.kind == ENTRY_PUT) {
        struct shared_slice value;
        status = read_status(merge_iterator_value(&job->merge, &value, &stored.place.crc));
        stored.value = value.bytes;
    }
    if (status == STATUS_OK && job->writer == NULL) {
        ASSERT(job->number_count > 0);
        job->number_count--;
        struct table_writer_options table = {.io = job->options.io,
                                             .dir = job->options.dir,
                                             .number = job->next_number++,
                                             .store_id = job->options.store_id,
                                             .partition_prefix_size = job->options.partition_prefix_size,
                                             .run_bytes_min = flush_run_bytes_min(job->options.table_bytes),
                                             .compression = job->options.compression};
        status = table_writer_new(&table, &job->writer);
    }
    while (slice_compare(entry->key, job->plan->parts[job->part].last) > 0) {
        job->part++;
        ASSERT_LT(job->part, job->plan->part_count);
        if (job->writer != NULL) table_writer_cut(job->writer);
    }
    if (status == STATUS_OK) status = table_writer_add(job->writer, entry->key, &stored);
    job->work_bytes += stored.value.size;
    if (status == STATUS_OK && table_writer_bytes(job->writer) >= job->options.table_bytes)
        status = finish_table(job);
    return status;
}

void compaction_job_step(struct compaction_job *job) {
    ASSERT(job->status == STATUS_PENDING);
    uint64_t budget = job->work_bytes + COMPACTION_STEP;
    enum status status = STATUS_OK;
    if (!job->started) {
        status = read_status(merge_iterator_seek(&job->merge, SLICE_EMPTY));
        job->started = true;
    } else {
        status = read_status(merge_iterator_next(&job->merge));
    }
    while (status == STATUS_OK) {
        struct merge_entry entry = merge_iterator_entry(&job->merge);
        job->work_bytes += ENTRY_BYTES + entry.key.size;
        if (!is_hidden(job, &entry)) status = write_entry(job, &entry);
        if (status != STATUS_OK) break;
        if (job->work_bytes >= budget) return; /* goes on in the next step */
        status = read_status(merge_iterator_next(&job->merge));
    }
    ASSERT(status != STATUS_PENDING);
    if (status == STATUS_END) status = finish_table(job);
    if (status == STATUS_OK && job->output.count > 0) status = io_sync_dir(job->options.io, job->options.dir);
    job->status = status;
}
