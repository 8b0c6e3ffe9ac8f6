// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"
#include "base/mem.h"
#include "broker/cluster.h"
#include "broker/partition_replica.h"

static void finish(struct partition_trim *trim, enum status status) {
    store_write_release(&trim->write);
    list_remove(&trim->link);
    trim->done(trim, status);
}

static void records_deleted(struct store_write *write) {
    struct partition_trim *trim = CONTAINER_OF(write, struct partition_trim, write);
    /* When this write failed, the records are below the log start all the same: unseen, and deleted by the
     * next trim or load. */
    finish(trim, trim->partition == NULL ? STATUS_UNKNOWN_TOPIC : STATUS_OK);
}

static void delete_records(struct partition_trim *trim) {
    struct partition *p = trim->partition;
    store_write_clear(&trim->write);
    trim->write.done = records_deleted;
    struct key from = key_prefix(p->group, KEY_LOG), to = key_log(p->group, trim->log_start);
    if (p->replica == NULL)
        store_delete_range(&trim->write, key_slice(&from), key_slice(&to));
    else
        raft_replica_compact(p->replica, (uint64_t)trim->log_start);
    if (trim->time_last_offset >= 0) {
        from = key_prefix(p->group, KEY_TIME);
        to = key_time(p->group, trim->time_max, trim->time_last_offset + 1);
        store_delete_range(&trim->write, key_slice(&from), key_slice(&to));
    }
    if (trim->write.change_count > 0)
        store_write_submit(p->broker->store, &trim->write);
    else
        finish(trim, STATUS_OK);
}

static void log_start_durable(struct store_write *write) {
    struct partition_trim *trim = CONTAINER_OF(write, struct partition_trim, write);
    struct partition *p = trim->partition;
    enum status status = p == NULL || p->topic->deleting ? STATUS_UNKNOWN_TOPIC : write->status;
    if (status != STATUS_OK) {
        if (p != NULL) p->log_start_next = p->log_start;
        finish(trim, status);
        return;
    }
    p->log_start = MAX(p->log_start, trim->log_start);
    p->deleted_bytes = MAX(p->deleted_bytes, trim->deleted_bytes);
    partition_check(p);
    if (p->replica != NULL && raft_replica_is_leader(p->replica))
        cluster_tell_log_start(p->broker->cluster, p->replica, p->log_start);
    if (p->broker->closing)
        finish(trim, STATUS_OK); /* the store takes nothing more; the next load does the rest */
    else
        delete_records(trim);
}

static void begin(struct partition_trim *trim, struct partition *p) {
    trim->partition = p;
    store_write_init(&trim->write, log_start_durable);
    list_push_back(&p->trims, &trim->link);
}

void partition_put_start(const struct partition *p, uint64_t deleted_bytes, struct store_write *write) {
    struct partition_meta meta = {.log_start_offset = p->log_start_next, .deleted_bytes = deleted_bytes};
    struct writer value;
    writer_init(&value);
    partition_meta_encode(&meta, &value);
    struct key key = key_prefix(p->group, KEY_META);
    store_put(write, key_slice(&key), (struct shared_slice){writer_slice(&value), NULL});
    writer_release(&value);
}

void partition_trim_start(struct partition_trim *trim, struct partition *p) {
    ASSERT_LE(trim->log_start, p->high_watermark);
    ASSERT_LE(trim->deleted_bytes, p->cumulative_bytes);
    begin(trim, p);
    /* Several may be under way: the last write must not take back an earlier one. */
    p->log_start_next = MAX(p->log_start_next, trim->log_start);
    partition_put_start(p, MAX(p->deleted_bytes, trim->deleted_bytes), &trim->write);
    if (p->replica != NULL && trim->log_start > p->stretch_first)
        partition_replica_put_producers(p, &trim->write);
    partition_check(p);
    store_write_submit(p->broker->store, &trim->write);
}

static void old_finished(struct partition_trim *trim, enum status status) {
    MAYBE(status == STATUS_OK);
    mem_free(trim);
}

void partition_trim_finish_old(struct partition *p) {
    struct partition_trim *trim = mem_calloc(1, sizeof *trim);
    trim->log_start = p->log_start;
    trim->time_max = trim->time_last_offset = -1;
    trim->done = old_finished;
    begin(trim, p);
    delete_records(trim);
}

void partition_trim_detach(struct partition *p) {
    LIST_FOREACH(it, &p->trims) {
        struct partition_trim *trim = CONTAINER_OF(it, struct partition_trim, link);
        trim->partition = NULL;
        list_remove(it);
        if (!p->broker->abandoning) continue;
        store_write_abandon(&trim->write);
        trim->done(trim, STATUS_CLOSED);
    }
}
