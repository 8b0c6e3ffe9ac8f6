// SPDX-License-Identifier: Apache-2.0
/* compaction_job.h: the merge of one compaction, in steps.
 *
 * Owner   the version and its tables must stay pinned, and the inputs' tables open, until the release.
 * Loop    _step is called in a job, everything else on the loop while no step runs. */
#ifndef SENTINEL_STORAGE_COMPACTION_JOB_H
#define SENTINEL_STORAGE_COMPACTION_JOB_H

#include "storage/compaction_pick.h"
#include "storage/flush.h"
#include "storage/merge_iterator.h"
#include "storage/table_writer.h"

#define COMPACTION_STEP (1 * MIB)

struct compaction_job {
    struct flush_options options;
    const struct version *version;
    const struct compaction_plan *plan;
    struct merge_iterator merge;
    struct table_writer *writer;
    struct table_output output;
    uint64_t next_number, number_count; /* of files, given before each step */
    uint64_t work_bytes;                /* done so far: what entries take, about */
    size_t part;                        /* that the last entry is in */
    bool started;
    enum status status; /* PENDING: there is more to do; OK: done; UNAVAILABLE: a read failed */
};
void compaction_job_init(struct compaction_job *job, const struct flush_options *options,
                         const struct version *version, const struct compaction_plan *plan);
/* So many file numbers must be there when a step begins. */
uint64_t compaction_job_step_tables(const struct compaction_job *job);
void compaction_job_step(struct compaction_job *job);
/* Closes what is open; with `discard` also removes what was written. */
void compaction_job_release(struct compaction_job *job, bool discard);

#endif
