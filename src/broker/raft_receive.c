// SPDX-License-Identifier: Apache-2.0
/* Receiving snapshots: pieces go to the store as they come, and from there where they belong.
 *
 *   piece ──> [group] RAFT 'p' offset, and RAFT 'i' with how far it is ──> told to the core when durable
 *   all there, and the bytes are those that the id names ──> one write replaces the log and marks 'i'
 * complete complete ──> piece by piece into the machine's keys, each when the one before is durable ──>
 * installed
 *
 * The mark makes the installation durable, though the keys are not in place yet: a restart begins to put them
 * there anew, before it loads the machine. */
#include <inttypes.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "broker/keys.h"
#include "broker/raft_replica.h"

/* ---- pieces ------------------------------------------------------------------------------------------- */

/* Only keys of the machine, or a peer could write anywhere. */
static bool piece_fits(const struct raft_replica *r, struct slice bytes) {
    struct reader in = reader_make(bytes);
    struct slice key, value;
    while (reader_remaining(&in) > 0) {
        if (!replica_snapshot_record(&in, &key, &value)) return false;
        if (key.data[0] >= KEY_KIND_END || (r->options.machine->snapshot_kinds >> key.data[0] & 1) == 0)
            return false;
    }
    return true;
}

void replica_snapshot_reset(struct raft_replica *r) {
    r->incoming = (struct raft_incoming){0};
    r->incoming_write = NULL;
    r->incoming_answer = 0;
    if (r->unpacking == NULL) return;
    if (r->unpacking->it != NULL) store_iterator_close(r->unpacking->it);
    mem_free(r->unpacking);
    r->unpacking = NULL;
}

void replica_snapshot_forget(struct raft_replica *r) {
    if (r->incoming.id == 0 || r->unpacking != NULL) return;
    replica_snapshot_reset(r);
    struct replica_write *write = replica_write_new(r);
    raft_store_drop_incoming(&write->write, r->options.group);
    replica_write_submit(write);
}

static void answer(struct raft_replica *r, uint64_t id, bool refused) {
    r->incoming_answer = id;
    r->incoming_refused = refused;
    raft_host_wake(r);
}

static const char *reason_to_refuse(const struct raft_replica *r, const struct raft_message *m,
                                    const struct raft_incoming *next) {
    const struct raft_snapshot *snapshot = &m->piece.snapshot;
    if (next->bytes > r->host->options.snapshot_bytes_max) return "it is too large";
    if (!piece_fits(r, m->data.bytes)) return "it is malformed";
    if ((m->flags & RAFT_FLAG_LAST) != 0 &&
        snapshot->id != replica_snapshot_id(snapshot->end, snapshot->term, next->bytes, next->checksum))
        return "its bytes are not those of its name";
    return NULL;
}

void replica_snapshot_take(struct raft_replica *r, const struct raft_message *m) {
    const struct raft_snapshot *snapshot = &m->piece.snapshot;
    if (r->unpacking != NULL) { /* one after the other */
        answer(r, snapshot->id, true);
        return;
    }
    if (m->piece.offset == 0) replica_snapshot_forget(r);
    struct raft_incoming next = r->incoming;
    next.id = snapshot->id;
    next.end = snapshot->end;
    ASSERT_EQ(m->piece.offset, next.bytes);
    next.bytes += m->data.bytes.size;
    next.checksum = crc32c(next.checksum, m->data.bytes.data, m->data.bytes.size);
    const char *reason = reason_to_refuse(r, m, &next);
    if (reason != NULL) {
        log_error(r->host->options.log, "snapshot refused group=%" PRIu64 " reason=\"%s\" bytes=%" PRIu64,
                  r->options.group, reason, next.bytes);
        replica_snapshot_forget(r);
        answer(r, snapshot->id, true);
        return;
    }
    struct replica_write *write = replica_write_new(r);
    if (m->data.bytes.size > 0)
        raft_store_put_piece(&write->write, r->options.group, m->piece.offset, m->data);
    raft_store_put_incoming(&write->write, r->options.group, &next);
    r->host->stats.snapshot_bytes_received += m->data.bytes.size;
    r->incoming = next;
    r->incoming_write = write;
    replica_write_submit(write);
}

void replica_snapshot_stored(struct raft_replica *r, const struct replica_write *write) {
    if (write == r->incoming_write) {
        r->incoming_write = NULL;
        answer(r, r->incoming.id, false);
    }
    if (write->unpacks && r->unpacking != NULL) r->unpacking->due = true;
}

void replica_snapshot_told(struct raft_replica *r) {
    if (r->incoming_answer == 0) return;
    uint64_t held = r->incoming.id == r->incoming_answer ? r->incoming.bytes : 0;
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_WRITTEN,
                               .snapshot_written = {r->incoming_answer, held, r->incoming_refused}};
    r->incoming_answer = 0;
    MAYBE(replica_step(r, &event) == STATUS_OK);
}

/* ---- where they belong -------------------------------------------------------------------------------- */

void replica_snapshot_install(struct raft_replica *r, struct store_write *write) {
    for (unsigned kind = KEY_META; kind < KEY_RAFT; kind++) {
        /* The time index is of the log that goes. Other kinds may be somebody else's. */
        if (kind != KEY_TIME && (r->options.machine->snapshot_kinds >> kind & 1) == 0) continue;
        struct key from = key_prefix(r->options.group, (enum key_kind)kind);
        struct key to = key_prefix(r->options.group, (enum key_kind)(kind + 1));
        store_delete_range(write, key_slice(&from), key_slice(&to));
    }
    r->incoming.complete = true;
    raft_store_put_incoming(write, r->options.group, &r->incoming);
    ASSERT(r->unpacking == NULL);
    r->unpacking = mem_calloc(1, sizeof *r->unpacking);
    r->unpacking->replica = r;
    r->unpacking->due = true;
}

/* False: it was good when it came, so the disk is not. */
static bool put_records(struct raft_replica *r, struct store_write *write, struct slice piece) {
    const struct raft_machine *machine = r->options.machine;
    struct reader in = reader_make(piece);
    struct slice rest, value;
    while (reader_remaining(&in) > 0) {
        if (!replica_snapshot_record(&in, &rest, &value)) return false;
        struct key key = key_group_start(r->options.group);
        memcpy(key.bytes + key.size, rest.data, rest.size);
        key.size += rest.size;
        if (machine->is_local != NULL && machine->is_local(rest))
            store_delete(write, key_slice(&key));
        else
            store_put(write, key_slice(&key), (struct shared_slice){value, NULL});
    }
    return true;
}

static void throw_away(struct replica_write *write) {
    store_write_release(&write->write);
    mem_free(write);
}

static enum status put_piece(struct raft_replica *r, const struct store_iterator *it) {
    struct replica_write *write = replica_write_new(r);
    if (!put_records(r, &write->write, store_iterator_value(it).bytes) || write->write.change_count == 0) {
        throw_away(write);
        return STATUS_CORRUPT;
    }
    write->unpacks = true;
    replica_write_submit(write);
    return STATUS_OK;
}

static void unpack_ready(void *ctx) {
    struct unpacking *unpacking = ctx;
    unpacking->due = true;
    raft_host_wake(unpacking->replica);
}

void replica_snapshot_unpack(struct raft_replica *r) {
    struct unpacking *unpacking = r->unpacking;
    if (unpacking == NULL || !unpacking->due) return;
    unpacking->due = false;
    if (unpacking->it == NULL)
        unpacking->it = raft_store_pieces(r->host->options.store, r->options.group, STORE_ITERATOR_SEQUENTIAL,
                                          unpack_ready, unpacking);
    enum status status = unpacking->positioned ? store_iterator_next(unpacking->it)
                                               : raft_store_piece_first(unpacking->it, r->options.group);
    if (status == STATUS_PENDING) return;
    unpacking->positioned = true;
    if (status == STATUS_OK) status = put_piece(r, unpacking->it);
    if (status == STATUS_OK) return; /* the next one when it is durable */
    if (status != STATUS_END) {
        replica_suspend(r, status);
        return;
    }
    uint64_t end = r->incoming.end;
    struct replica_write *write = replica_write_new(r);
    raft_store_drop_incoming(&write->write, r->options.group);
    replica_write_submit(write);
    replica_snapshot_reset(r);
    replica_apply_reset(r, end);
    r->applied_stored = end;
    const struct raft_machine *machine = r->options.machine;
    status = machine->installed == NULL ? STATUS_OK : machine->installed(r->options.ctx, end);
    if (status != STATUS_OK) replica_suspend(r, status);
}

enum status replica_snapshot_unpack_now(struct raft_replica *r) {
    struct store_iterator *it = raft_store_pieces(r->host->options.store, r->options.group,
                                                  STORE_ITERATOR_BLOCKING, NULL, NULL);
    struct replica_write *write = replica_write_new(r);
    enum status status = raft_store_piece_first(it, r->options.group);
    while (status == STATUS_OK)
        status = put_records(r, &write->write, store_iterator_value(it).bytes) ? store_iterator_next(it)
                                                                               : STATUS_CORRUPT;
    store_iterator_close(it);
    if (status != STATUS_END) {
        throw_away(write);
        return status;
    }
    raft_store_drop_incoming(&write->write, r->options.group);
    replica_write_submit(write);
    return STATUS_OK;
}
