// SPDX-License-Identifier: Apache-2.0
#include "raft/raft_internal.h"

void *raft_queue_grow(void *array, uint32_t *head, uint32_t count, uint32_t *capacity, size_t size) {
    if (*head + count < *capacity) return array;
    /* Moving is paid for by the elements taken from the front since the last time. */
    if (*head <= count) array = raft_grow(array, *head + count, capacity, size);
    if (*head > 0) memmove(array, (uint8_t *)array + *head * size, count * size);
    *head = 0;
    return array;
}

void raft_log_init(struct raft_log *log, const struct raft_start *start) {
    *log = (struct raft_log){
        .start = start->log_start,
        .start_term = start->log_start_term,
        .end = start->log_end,
        .flushed_end = start->log_end,
        .damaged_from = start->damaged_from,
        .damaged_to = start->damaged_to,
    };
    ASSERT_LE(start->log_start, start->log_end);
    ASSERT_EQ(start->log_start<start->log_end, start->term_count> 0);
    for (uint32_t i = 0; i < start->term_count; i++) {
        struct raft_term_start range = start->terms[i];
        if (i == 0) {
            ASSERT_EQ(range.start, start->log_start);
            ASSERT_LE(start->log_start_term, range.term);
        } else {
            ASSERT_LT(start->terms[i - 1].start, range.start);
            ASSERT_LT(start->terms[i - 1].term, range.term);
        }
        ASSERT_LT(range.start, start->log_end);
        RAFT_QUEUE(log, terms, term, range);
    }
}

static void drop_window(struct raft_log *log, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        struct raft_entry *entry = &log->window[log->window_head + i];
        log->window_bytes -= entry->payload.bytes.size;
        shared_slice_unref(entry->payload);
    }
    log->window_head += count;
    log->window_count -= count;
    if (log->window_count != 0) return;
    log->window_head = 0;
    mem_free(log->window);
    log->window = NULL;
    log->window_capacity = 0;
}

void raft_log_release(struct raft_log *log) {
    drop_window(log, log->window_count);
    mem_free(log->terms);
    mem_free(log->writes);
    *log = (struct raft_log){0};
}

/* Index of the range that gives term(position), or -1 at or below the first. */
static int find_range(const struct raft_log *log, uint64_t position) {
    if (log->term_count == 0) return -1;
    const struct raft_term_start *terms = log->terms + log->term_head;
    int low = -1, high = (int)log->term_count - 1;
    if (terms[high].start < position) return high;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (terms[middle].start < position)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

bool raft_log_term(const struct raft_log *log, uint64_t position, uint64_t *term) {
    if (position < log->start || position > log->end) return false;
    int range = find_range(log, position);
    *term = range < 0 ? log->start_term : log->terms[log->term_head + (uint32_t)range].term;
    return true;
}

bool raft_log_term_is(const struct raft_log *log, uint64_t position, uint64_t term) {
    uint64_t ours;
    return raft_log_term(log, position, &ours) && ours == term;
}

uint32_t raft_log_same(const struct raft_log *log, const struct raft_entry *entries, uint32_t count,
                       uint64_t from, uint64_t to) {
    uint32_t same = 0;
    for (; same < count && entries[same].base == from && entries[same].end > from; same++) {
        if (entries[same].end > to || !raft_log_term_is(log, entries[same].end, entries[same].term)) break;
        from = entries[same].end;
    }
    return same;
}

uint64_t raft_log_last_term(const struct raft_log *log) {
    return log->term_count == 0 ? log->start_term : log->terms[log->term_head + log->term_count - 1].term;
}

uint64_t raft_log_durable_end(const struct raft_log *log) {
    return raft_log_damaged(log) ? MIN(log->flushed_end, log->damaged_from) : log->flushed_end;
}

void raft_log_append(struct raft_log *log, const struct raft_entry *entry) {
    ASSERT_EQ(entry->base, log->end);
    ASSERT_LT(entry->base, entry->end);
    uint64_t last_term = raft_log_last_term(log);
    ASSERT_LE(last_term, entry->term);
    if (log->term_count == 0 || last_term < entry->term)
        RAFT_QUEUE(log, terms, term, (struct raft_term_start){entry->term, entry->base});
    RAFT_QUEUE(log, window, window, *entry);
    log->window_bytes += entry->payload.bytes.size;
    log->end = entry->end;
}

void raft_log_truncate(struct raft_log *log, uint64_t from) {
    ASSERT_LE(log->start, from);
    ASSERT_LE(from, log->end);
    while (log->term_count > 0 && log->terms[log->term_head + log->term_count - 1].start >= from)
        log->term_count--;
    while (log->window_count > 0 && log->window[log->window_head + log->window_count - 1].end > from) {
        struct raft_entry *entry = &log->window[log->window_head + --log->window_count];
        log->window_bytes -= entry->payload.bytes.size;
        shared_slice_unref(entry->payload);
    }
    /* A write that comes to an end after the truncation was decided no longer proves anything above it. */
    for (uint32_t i = 0; i < log->write_count; i++) {
        struct raft_log_write *write = &log->writes[log->write_head + i];
        write->end = MIN(write->end, from);
    }
    log->flushed_end = MIN(log->flushed_end, from);
    log->damaged_from = MIN(log->damaged_from, from);
    log->damaged_to = MIN(log->damaged_to, from);
    log->end = from;
}

void raft_log_compact(struct raft_log *log, uint64_t to) {
    if (to <= log->start) return;
    bool found = raft_log_term(log, to, &log->start_term);
    ASSERT(found);
    log->start = to;
    while (log->term_count > 1 && log->terms[log->term_head + 1].start <= to) {
        log->term_head++;
        log->term_count--;
    }
    if (log->term_count > 0) log->terms[log->term_head].start = MAX(log->terms[log->term_head].start, to);
    if (to == log->end) log->term_head = log->term_count = 0;
    log->damaged_from = MAX(log->damaged_from, to);
    log->damaged_to = MAX(log->damaged_to, to);
    raft_log_trim(log, to, to, SIZE_MAX);
}

void raft_log_reset(struct raft_log *log, uint64_t agreed, uint64_t end, uint64_t term) {
    uint64_t durable_end = raft_log_durable_end(log);
    drop_window(log, log->window_count);
    log->term_head = log->term_count = 0;
    log->write_head = log->write_count = 0;
    log->start = log->end = end;
    log->start_term = term;
    log->flushed_end = MIN(durable_end, agreed);
    log->damaged_from = log->damaged_to = end;
}

uint64_t raft_log_agree(const struct raft_log *log, uint64_t position, uint64_t term) {
    position = MIN(position, log->end);
    while (position > log->start) {
        int range = find_range(log, position);
        if (range < 0 || log->terms[log->term_head + (uint32_t)range].term <= term) return position;
        position = log->terms[log->term_head + (uint32_t)range].start;
    }
    return log->start;
}

const struct raft_entry *raft_log_window(const struct raft_log *log, uint64_t base, uint32_t *count) {
    *count = 0;
    if (log->window_count == 0 || base >= log->end) return NULL;
    const struct raft_entry *window = log->window + log->window_head;
    if (base < window[0].base) return NULL;
    uint32_t low = 0, high = log->window_count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (window[middle].end > base)
            high = middle;
        else
            low = middle + 1;
    }
    *count = log->window_count - low;
    return &window[low];
}

size_t raft_log_bytes(const struct raft_log *log, uint64_t from, uint64_t to) {
    if (log->window_count == 0) return 0;
    uint32_t count;
    const struct raft_entry *entry = raft_log_window(log, MAX(from, log->window[log->window_head].base),
                                                     &count);
    size_t bytes = 0;
    for (; count > 0 && entry->end <= to; entry++, count--)
        bytes += entry->payload.bytes.size;
    return bytes;
}

void raft_log_trim(struct raft_log *log, uint64_t floor, uint64_t hard_floor, size_t bytes_max) {
    if (log->window_count == 0) return;
    const struct raft_entry *window = log->window + log->window_head;
    uint32_t count = 0;
    size_t bytes = log->window_bytes;
    while (count < log->window_count &&
           (window[count].end <= floor || (bytes > bytes_max && window[count].end <= hard_floor)))
        bytes -= window[count++].payload.bytes.size;
    if (count > 0) drop_window(log, count);
}

void raft_log_writing(struct raft_log *log, uint64_t write) {
    RAFT_QUEUE(log, writes, write, (struct raft_log_write){write, log->end});
}

void raft_log_persisted(struct raft_log *log, uint64_t write) {
    while (log->write_count > 0 && log->writes[log->write_head].number <= write) {
        log->flushed_end = MAX(log->flushed_end, log->writes[log->write_head].end);
        log->write_head++;
        log->write_count--;
    }
    if (log->write_count == 0) {
        mem_free(log->writes);
        log->writes = NULL;
        log->write_head = log->write_capacity = 0;
    }
    ASSERT_LE(log->flushed_end, log->end);
}

void raft_log_damage(struct raft_log *log, uint64_t from, uint64_t to) {
    from = MAX(from, log->start);
    to = MIN(to, log->end);
    if (from >= to) return;
    if (!raft_log_damaged(log)) {
        log->damaged_from = from;
        log->damaged_to = to;
    } else {
        log->damaged_from = MIN(log->damaged_from, from);
        log->damaged_to = MAX(log->damaged_to, to);
    }
}

void raft_log_repaired(struct raft_log *log, uint64_t to) {
    log->damaged_from = MIN(MAX(log->damaged_from, to), log->damaged_to);
}
