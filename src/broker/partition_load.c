// SPDX-License-Identifier: Apache-2.0
/* Loading a partition from the store, in steps that may each have to wait for a block:
 *
 *   META ─> last TIME entry ─> the log behind it (the open stretch) ─> producers ─> remains of a trim
 *
 * The work is bounded by one stretch of log and the producers, whatever the partition holds. */
#include "base/assert.h"
#include "base/mem.h"
#include "broker/cleaner_state.h"
#include "broker/partition.h"
#include "wire/record_batch.h"

enum load_step { LOAD_META, LOAD_TIME, LOAD_LOG, LOAD_PRODUCERS, LOAD_REMAINS };

struct partition_load {
    struct partition *partition;
    enum load_step step;
    struct store_get get;
    bool get_waits;
    struct store_iterator *it;
    bool any_batch;
    bool positioned; /* `it` stands on an entry that is read; the next move is `next` */
};

static void advance(struct partition_load *load);

static void iterator_ready(void *ctx) {
    advance(ctx);
}

static void get_ready(struct store_get *get) {
    struct partition_load *load = CONTAINER_OF(get, struct partition_load, get);
    load->get_waits = false;
    advance(load);
}

void partition_load_start(struct partition *p) {
    ASSERT(p->load == NULL);
    producer_state_release(&p->producers);
    producer_state_init(&p->producers, p->broker->hash_seed);
    p->log_start = p->log_start_next = p->high_watermark = p->log_end = p->grown_end = 0;
    p->cumulative_bytes = p->deleted_bytes = 0;
    p->max_timestamp = 0;
    partition_begin_stretch(p, io_wall_ms(p->broker->io));
    p->load = mem_calloc(1, sizeof *p->load);
    p->load->partition = p;
    p->load->get.ready = get_ready;
    advance(p->load);
}

void partition_load_cancel(struct partition *p) {
    struct partition_load *load = p->load;
    if (load->get_waits) store_get_cancel(&load->get);
    if (load->it != NULL) store_iterator_close(load->it);
    mem_free(load);
    p->load = NULL;
}

static enum status load_meta(struct partition_load *load) {
    struct partition *p = load->partition;
    struct key key = key_prefix(p->group, KEY_META);
    struct shared_slice value;
    enum status status = store_get(p->broker->store, key_slice(&key), &load->get, &value);
    load->get_waits = status == STATUS_PENDING;
    if (status == STATUS_NOT_FOUND) return STATUS_OK;
    if (status != STATUS_OK) return status;
    struct partition_meta meta;
    bool decoded = partition_meta_decode(value.bytes, &meta);
    shared_slice_unref(value);
    if (!decoded) return STATUS_CORRUPT;
    p->log_start = p->log_start_next = meta.log_start_offset;
    p->deleted_bytes = meta.deleted_bytes;
    p->cumulative_bytes = meta.deleted_bytes;
    return STATUS_OK;
}

static void open_range(struct partition_load *load, const struct key *lower, const struct key *upper) {
    load->it = store_iterator_open(load->partition->broker->store, key_slice(lower), key_slice(upper), 0,
                                   iterator_ready, load);
    load->positioned = false;
}

static void close_range(struct partition_load *load) {
    store_iterator_close(load->it);
    load->it = NULL;
}

static enum status load_time(struct partition_load *load) {
    struct partition *p = load->partition;
    struct key lower = key_prefix(p->group, KEY_TIME), upper = key_prefix(p->group, KEY_PRODUCER);
    if (load->it == NULL) open_range(load, &lower, &upper);
    struct key last = key_time(p->group, INT64_MAX, INT64_MAX);
    enum status status = store_iterator_seek_prev(load->it, key_slice(&last));
    if (status == STATUS_PENDING) return status;
    if (status == STATUS_OK) {
        int64_t last_offset;
        struct time_entry entry = {0};
        if (!key_time_parse(store_iterator_key(load->it), &p->max_timestamp, &last_offset) ||
            !time_entry_decode(store_iterator_value(load->it).bytes, &entry))
            status = STATUS_CORRUPT;
        else
            p->stretch_first = last_offset + 1;
        p->cumulative_bytes = MAX(p->cumulative_bytes, entry.cumulative_bytes);
    }
    close_range(load);
    if (status != STATUS_OK && status != STATUS_END) return status;
    /* Records may have been deleted beyond the last entry: the log then begins there. */
    p->stretch_first = MAX(p->stretch_first, p->log_start);
    p->log_end = p->grown_end = p->stretch_first;
    return STATUS_OK;
}

/* The first entry at `lower`, then each next one; PENDING keeps its place. */
static enum status step_range(struct partition_load *load, const struct key *lower) {
    enum status status = load->positioned ? store_iterator_next(load->it)
                                          : store_iterator_seek(load->it, key_slice(lower));
    if (status == STATUS_OK) load->positioned = true;
    return status;
}

static enum status load_log(struct partition_load *load) {
    struct partition *p = load->partition;
    struct key lower = key_log(p->group, p->stretch_first), upper = key_prefix(p->group, KEY_TIME);
    if (load->it == NULL) open_range(load, &lower, &upper);
    enum status status;
    while ((status = step_range(load, &lower)) == STATUS_OK) {
        struct slice bytes = store_iterator_value(load->it).bytes;
        struct record_batch batch;
        int64_t last_offset;
        if (record_batch_read_trusted(bytes, &batch) != STATUS_OK ||
            !key_log_parse(store_iterator_key(load->it), &last_offset) ||
            record_batch_last_offset(&batch) != last_offset ||
            (load->any_batch ? batch.base_offset != p->log_end : batch.base_offset > p->log_end)) {
            status = STATUS_CORRUPT;
            break;
        }
        /* The log start may be inside the first batch. Its stretch then begins before it, so that nobody
         * takes the batch's newest timestamp for that of a record that is still there. */
        if (!load->any_batch) p->stretch_first = batch.base_offset;
        load->any_batch = true;
        partition_grow(p, bytes.size, batch.max_timestamp, last_offset + 1);
        p->log_end = last_offset + 1;
    }
    if (status == STATUS_PENDING) return status;
    close_range(load);
    p->high_watermark = p->log_end;
    return status == STATUS_END ? STATUS_OK : status;
}

bool partition_load_producer(struct producer_state *state, struct slice key, struct slice value) {
    int64_t producer_id;
    if (key_producer_parse(key, &producer_id))
        return producer_state_load(state, producer_id, value) == STATUS_OK;
    if (cleaner_state_is_key(key_state_rest(key))) return true; /* read when it is wanted */
    return producer_state_load_aborted(state, key_state_rest(key), value) == STATUS_OK;
}

static enum status load_producers(struct partition_load *load) {
    struct partition *p = load->partition;
    struct key lower = key_prefix(p->group, KEY_PRODUCER), upper = key_prefix(p->group, KEY_STATE + 1);
    if (load->it == NULL) open_range(load, &lower, &upper);
    enum status status;
    while ((status = step_range(load, &lower)) == STATUS_OK) {
        if (!partition_load_producer(&p->producers, store_iterator_key(load->it),
                                     store_iterator_value(load->it).bytes)) {
            status = STATUS_CORRUPT;
            break;
        }
    }
    if (status == STATUS_PENDING) return status;
    close_range(load);
    return status == STATUS_END ? STATUS_OK : status;
}

/* Records below the log start: a crash came between the two writes of a trim. */
static enum status load_remains(struct partition_load *load) {
    struct partition *p = load->partition;
    if (p->log_start == 0) return STATUS_OK;
    struct key lower = key_prefix(p->group, KEY_LOG), upper = key_log(p->group, p->log_start);
    if (load->it == NULL) open_range(load, &lower, &upper);
    enum status status = store_iterator_seek(load->it, key_slice(&lower));
    if (status == STATUS_PENDING) return status;
    close_range(load);
    if (status == STATUS_OK) partition_trim_finish_old(p);
    return status == STATUS_END ? STATUS_OK : status;
}

static void advance(struct partition_load *load) {
    static enum status (*const steps[])(struct partition_load *) = {load_meta, load_time, load_log,
                                                                    load_producers, load_remains};
    struct partition *p = load->partition;
    enum status status = STATUS_OK;
    while (load->step < ARRAY_COUNT(steps)) {
        status = steps[load->step](load);
        if (status == STATUS_PENDING) return;
        if (status != STATUS_OK) break;
        load->step++;
    }
    if (status != STATUS_OK)
        log_error(p->broker->log, "partition cannot be loaded topic=%s partition=%d reason=%s",
                  p->topic->public.name, p->index, status_name(status));
    ASSERT(load->it == NULL);
    mem_free(load);
    p->load = NULL;
    partition_loaded(p, status);
}
