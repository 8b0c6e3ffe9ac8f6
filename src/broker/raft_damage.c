// SPDX-License-Identifier: Apache-2.0
/* What the store could not read becomes a range of whole entries, and the core is told (raft.h, D9): it
 * fetches them from another member, and they are written over what is damaged (raft_store.h).
 *
 *   keys       │ good │   gap: unreadable   │ good │
 *   positions    ... from)                (to ...        `from`: where the entry before the gap ends; `to`:
 *                                                        where the first one behind it begins
 *
 * These few reads block: damage is rare. */
#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "broker/raft_replica.h"

#define GAPS_MAX 256u /* passed over in search of an entry that can be read */

static struct store_iterator *open_log(const struct raft_replica *r, struct slice lower, struct slice upper) {
    return store_iterator_open(r->host->options.store, lower, upper,
                               STORE_ITERATOR_BLOCKING | STORE_ITERATOR_SILENT, NULL, NULL);
}

static bool unreadable(enum status status) {
    return status == STATUS_CORRUPT || status == STATUS_IO;
}

static void set_key(struct key *key, struct slice bytes) {
    key->size = MIN(bytes.size, sizeof key->bytes);
    if (key->size > 0) memcpy(key->bytes, bytes.data, key->size);
}

/* The first key behind `key`. */
static void set_behind(struct key *behind, struct slice key) {
    set_key(behind, key);
    if (behind->size < sizeof behind->bytes) behind->bytes[behind->size++] = 0;
}

/* Where the last readable entry below `key` ends; the end of the log when that cannot be asked now. */
static uint64_t end_before(const struct raft_replica *r, struct key key) {
    struct key lower = key_prefix(r->options.group, KEY_LOG);
    uint64_t position = r->raft.log.start;
    for (uint32_t i = 0; i < GAPS_MAX && slice_compare(key_slice(&key), key_slice(&lower)) > 0; i++) {
        struct store_iterator *it = open_log(r, key_slice(&lower), key_slice(&key));
        enum status status = store_iterator_seek_prev(it, key_slice(&key));
        int64_t last;
        struct slice first, end;
        if (status == STATUS_OK && key_log_parse(store_iterator_key(it), &last)) {
            position = (uint64_t)last + 1;
        } else if (unreadable(status)) {
            store_iterator_gap(it, &first, &end);
            set_key(&key, first);
        }
        store_iterator_close(it);
        if (status != STATUS_OK && status != STATUS_END && !unreadable(status)) return r->raft.log.end;
        if (!unreadable(status)) break;
    }
    return position;
}

/* Where the first readable entry at or behind `key` begins; the end of the log when there is none, 0 when
 * that cannot be asked now. */
static uint64_t begin_behind(const struct raft_replica *r, struct key key) {
    struct key upper = key_prefix(r->options.group, KEY_TIME);
    struct store_iterator *it = open_log(r, key_slice(&key), key_slice(&upper));
    enum status status = store_iterator_seek(it, key_slice(&key));
    uint64_t position = r->raft.log.end;
    for (uint32_t i = 0; i < GAPS_MAX && status != STATUS_END; i++) {
        struct raft_entry entry;
        struct slice first, last;
        if (status == STATUS_OK &&
            raft_entry_parse(store_iterator_key(it), store_iterator_value(it), r->options.format, &entry)) {
            position = entry.base;
            break;
        }
        if (status == STATUS_OK) {
            status = store_iterator_next(it);
            continue;
        }
        if (!unreadable(status)) {
            position = 0;
            break;
        }
        store_iterator_gap(it, &first, &last);
        set_behind(&key, last);
        if (slice_compare(key_slice(&key), key_slice(&upper)) >= 0) break;
        status = store_iterator_seek(it, key_slice(&key));
    }
    store_iterator_close(it);
    return position;
}

/* What stands in [from, to) can all be read, as far as its files can be opened now: damage is met again. */
static bool is_readable(const struct raft_replica *r, struct slice from, struct slice to) {
    struct store_iterator *it = open_log(r, from, to);
    enum status status = store_iterator_seek(it, from);
    while (status == STATUS_OK)
        status = store_iterator_next(it);
    store_iterator_close(it);
    return !unreadable(status);
}

/* False: there is nothing to repair. */
static bool tell_core(struct raft_replica *r, uint64_t from, uint64_t to) {
    from = MAX(from, r->raft.log.start);
    to = MIN(to, r->raft.log.end);
    if (from >= to) return false;
    log_warn(r->host->options.log,
             "stored entries cannot be read group=%" PRIu64 " from=%" PRIu64 " to=%" PRIu64, r->options.group,
             from, to);
    struct raft_event event = {.kind = RAFT_EVENT_DAMAGED, .damaged = {from, to}};
    MAYBE(replica_step(r, &event) == STATUS_OK);
    return true;
}

/* The records of consensus are all in memory. */
static void records_damaged(struct raft_replica *r, struct slice first, struct slice last) {
    struct key lower = key_raft(r->options.group, 0, 0), upper = key_prefix(r->options.group, KEY_KIND_END);
    if (slice_compare(last, key_slice(&lower)) < 0 || slice_compare(first, key_slice(&upper)) >= 0) return;
    r->records_damaged = true;
    raft_host_wake(r);
}

/* The core hears of a compaction when it is durable: until then it would write an older beginning of the log.
 */
static bool is_compacting(const struct raft_replica *r) {
    LIST_FOREACH(it, &r->host->writes) {
        const struct replica_write *write = CONTAINER_OF(it, struct replica_write, link);
        if (write->replica == r && write->compacted != 0) return true;
    }
    return r->compacted > r->raft.log.start;
}

void replica_mend_records(struct raft_replica *r) {
    if (!r->records_damaged || r->unpacking != NULL || is_compacting(r)) return;
    r->records_damaged = false;
    log_warn(r->host->options.log, "records of consensus are written anew group=%" PRIu64, r->options.group);
    struct replica_write *write = replica_write_new(r);
    raft_store_put_records(&write->write, &r->raft, r->applied_stored, &r->incoming, r->floor);
    replica_write_submit(write);
}

void replica_damaged_keys(struct raft_replica *r, struct slice first, struct slice last) {
    struct key lower = key_prefix(r->options.group, KEY_LOG), upper = key_prefix(r->options.group, KEY_TIME);
    struct key below, behind;
    if (r->failure != STATUS_OK) return;
    records_damaged(r, first, last);
    if (slice_compare(last, key_slice(&lower)) < 0 || slice_compare(first, key_slice(&upper)) >= 0) return;
    set_key(&below, slice_compare(first, key_slice(&lower)) > 0 ? first : key_slice(&lower));
    set_behind(&behind, last);
    bool inside = slice_compare(key_slice(&behind), key_slice(&upper)) < 0;
    if (is_readable(r, key_slice(&below), inside ? key_slice(&behind) : key_slice(&upper))) {
        raft_host_wake(r); /* written anew meanwhile, or not the log's: who waits may go on */
        return;
    }
    uint64_t from = end_before(r, below), to = inside ? begin_behind(r, behind) : r->raft.log.end;
    if (!tell_core(r, from, to)) raft_host_wake(r);
}

bool replica_damaged_at(struct raft_replica *r, uint64_t position) {
    return tell_core(r, position, begin_behind(r, key_log(r->options.group, (int64_t)position)));
}

bool replica_awaits_repair(const struct raft_replica *r, uint64_t position) {
    const struct raft_log *log = &r->raft.log;
    return position >= log->damaged_from && position < log->damaged_to;
}
