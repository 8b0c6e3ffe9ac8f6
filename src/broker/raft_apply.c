// SPDX-License-Identifier: Apache-2.0
/* Committed entries go to the machine, from the core's window or back from the store; and entries that the
 * core wants to send again are read for it, when it is their turn (raft_bulk.h). */
#include "base/assert.h"
#include "base/mem.h"
#include "broker/raft_replica.h"

#define APPLY_BYTES_MAX MIB
#define APPLY_ATTEMPTS  5u

/* ---- applying ----------------------------------------------------------------------------------------- */

static void apply_ready(struct raft_reader *reader) {
    struct raft_replica *r = CONTAINER_OF(reader, struct raft_replica, applying);
    r->applying_waits = false;
    raft_host_wake(r);
}

/* PENDING: they are being read. */
static enum status next_entries(struct raft_replica *r, const struct raft_entry **entries, uint32_t *count) {
    *entries = raft_entries(&r->raft, r->applied, count);
    if (*entries != NULL) return STATUS_OK;
    struct raft_reader *reader = &r->applying;
    if (reader->it == NULL) {
        reader->from = r->applied;
        reader->end = r->raft.commit_end;
        reader->bytes_max = APPLY_BYTES_MAX;
        reader->ready = apply_ready;
    }
    enum status status = raft_store_read(reader);
    r->applying_waits = status == STATUS_PENDING;
    *entries = reader->entries;
    *count = reader->count;
    if ((status == STATUS_CORRUPT || status == STATUS_IO) && reader->count > 0) status = STATUS_OK;
    if (status == STATUS_OK && reader->entries[0].base != r->applied) status = STATUS_NOT_FOUND;
    return status; /* NOT_FOUND: committed, not compacted, and not there */
}

static void apply_some(struct raft_replica *r, const struct raft_entry *entries, uint32_t count) {
    struct replica_write *write = replica_write_new(r);
    r->applied = entries[count - 1].end;
    r->options.machine->apply(r->options.ctx, entries, count, &write->write);
    if (write->write.change_count > 0) {
        raft_store_put_applied(&write->write, r->options.group, r->applied);
        r->applied_stored = r->applied;
        replica_write_submit(write);
    } else {
        store_write_release(&write->write);
        mem_free(write);
    }
}

/* Has this member somebody to ask for what it cannot read? */
static bool has_others(const struct raft_replica *r) {
    const struct raft_config *config = raft_config(&r->raft);
    return config != NULL && config->member_count > 1;
}

/* What is next cannot be read: the core fetches it, and when it is written the host is woken. */
static void apply_failed(struct raft_replica *r, enum status status) {
    bool damaged = status == STATUS_CORRUPT || status == STATUS_IO;
    raft_reader_release(&r->applying);
    if (damaged && has_others(r) && replica_damaged_at(r, r->applied)) return;
    if (damaged && has_others(r) && ++r->apply_failures < APPLY_ATTEMPTS)
        raft_host_wake(r); /* it can be read now */
    else if (status == STATUS_BUSY)
        replica_suspend(r, status); /* no descriptors */
    else
        replica_fail(r, status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status);
}

void replica_apply(struct raft_replica *r) {
    if (r->unpacking != NULL) return;
    while (r->failure == STATUS_OK && r->applied < r->raft.commit_end && !r->applying_waits &&
           !replica_awaits_repair(r, r->applied)) {
        const struct raft_entry *entries;
        uint32_t count;
        enum status status = next_entries(r, &entries, &count);
        if (status == STATUS_PENDING) return;
        if (status != STATUS_OK) {
            apply_failed(r, status);
            return;
        }
        r->apply_failures = 0;
        ASSERT_EQ(entries[0].base, r->applied); /* I2 */
        uint32_t committed = 0;
        while (committed < count && entries[committed].end <= r->raft.commit_end)
            committed++;
        ASSERT(committed > 0);
        apply_some(r, entries, committed);
        raft_reader_release(&r->applying);
        struct raft_event event = {.kind = RAFT_EVENT_APPLIED, .position = r->applied};
        MAYBE(replica_step(r, &event) == STATUS_OK);
    }
}

void replica_apply_reset(struct raft_replica *r, uint64_t applied) {
    raft_reader_release(&r->applying);
    r->applying_waits = false;
    r->applied = applied;
}

/* ---- reading for the core ------------------------------------------------------------------------------ */

static void read_on(struct entry_read *read) {
    read->status = raft_store_read(&read->reader);
    if (read->status == STATUS_PENDING) return;
    /* What was read before the damage is good, and more than nothing. Of the damage itself the store tells.
     */
    bool damaged = read->status == STATUS_CORRUPT || read->status == STATUS_IO;
    if (damaged && read->reader.count > 0) read->status = STATUS_OK;
    read->finished = true;
    raft_host_wake(read->replica);
}

static void read_ready(struct raft_reader *reader) {
    read_on(CONTAINER_OF(reader, struct entry_read, reader));
}

/* It may have waited for long: what was asked for by a leader is not wanted by who is none. */
static void begin_read(struct raft_bulk_turn *turn) {
    struct entry_read *read = CONTAINER_OF(turn, struct entry_read, turn);
    const struct raft_bulk_lane *lane = turn->lane;
    read->reader.bytes_max = turn->bytes;
    read->reader.ahead = read->reader.from == lane->end ? lane->ahead : 0;
    if (raft_is_leader(&read->replica->raft)) {
        read->reader.end = read->replica->raft.log.end;
        read_on(read);
        return;
    }
    read->status = STATUS_NOT_LEADER;
    read->finished = true;
    raft_host_wake(read->replica);
}

void replica_entry_read_start(struct raft_replica *r, const struct raft_entry_read *asked) {
    struct entry_read *read = mem_calloc(1, sizeof *read);
    struct raft_bulk *bulk = &r->host->bulk;
    read->replica = r;
    read->peer = asked->peer;
    read->repair = asked->repair;
    raft_reader_init(&read->reader, r->host->options.store, r->options.group, r->options.format, read_ready);
    read->reader.from = asked->from;
    read->reader.end = r->raft.log.end;
    read->reader.bytes_max = asked->bytes_max;
    list_push_back(&r->entry_reads, &read->link);
    if (asked->repair || r->options.urgent) {
        read_on(read);
        return;
    }
    read->turn = (struct raft_bulk_turn){.bytes = asked->bytes_max, .begin = begin_read};
    list_init(&read->turn.link);
    raft_bulk_ask(bulk, &read->turn, raft_bulk_lane(bulk, &r->lanes, asked->peer, raft_id_node(asked->peer)));
}

static void end_turn(struct entry_read *read) {
    struct raft_bulk_lane *lane = read->turn.lane;
    if (lane == NULL) return;
    if (read->reader.count > 0) {
        lane->end = read->reader.entries[read->reader.count - 1].end;
        lane->ahead = read->reader.ahead;
    }
    raft_bulk_read(&read->replica->host->bulk, &read->turn, read->reader.bytes);
}

static void free_read(struct entry_read *read) {
    list_remove(&read->link);
    end_turn(read);
    raft_reader_release(&read->reader);
    mem_free(read);
}

void replica_entry_reads_finish(struct raft_replica *r) {
    LIST_FOREACH(it, &r->entry_reads) {
        struct entry_read *read = CONTAINER_OF(it, struct entry_read, link);
        if (!read->finished) continue;
        struct raft_event event = {.kind = RAFT_EVENT_ENTRIES_READ,
                                   .entries_read = {.peer = read->peer,
                                                    .from = read->reader.from,
                                                    .status = read->status,
                                                    .entries = read->reader.entries,
                                                    .count = read->reader.count,
                                                    .repair = read->repair}};
        end_turn(read);
        MAYBE(replica_step(r, &event) == STATUS_OK);
        free_read(read);
    }
}

/* What of each lane is under way now; a follower that has what was read for it, and asks for no more, needs
 * none. */
void replica_lanes_look(struct raft_replica *r) {
    LIST_FOREACH(it, &r->lanes) {
        struct raft_bulk_lane *lane = CONTAINER_OF(it, struct raft_bulk_lane, link);
        const struct raft_progress *p = raft_progress(&r->raft, lane->peer);
        bool replicates = p != NULL && p->state == RAFT_REPLICATE;
        if (lane->asked == 0 && (!replicates || p->match >= lane->end))
            raft_bulk_lane_free(&r->host->bulk, lane);
        else
            raft_bulk_sent(&r->host->bulk, lane, replicates ? p->inflight_bytes : 0);
    }
}

void replica_entry_reads_drop(struct raft_replica *r) {
    LIST_FOREACH(it, &r->entry_reads) {
        free_read(CONTAINER_OF(it, struct entry_read, link));
    }
    LIST_FOREACH(it, &r->lanes) {
        raft_bulk_lane_free(&r->host->bulk, CONTAINER_OF(it, struct raft_bulk_lane, link));
    }
}
