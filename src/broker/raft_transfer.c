// SPDX-License-Identifier: Apache-2.0
/* Snapshots: a scan of the machine's keys, cut into pieces of whole records, and put back in one write.
 *
 *   record = [key size be16][key without the group][value size be32][value]
 *
 * The sender's iterator is a view of one moment: all pieces of one id fit together. The last piece is kept,
 * in case it is asked for again. */
#include "base/assert.h"
#include "base/mem.h"
#include "broker/keys.h"
#include "broker/raft_replica.h"

/* ---- sending ------------------------------------------------------------------------------------------ */

static void free_send(struct snapshot_send *send) {
    list_remove(&send->link);
    if (send->it != NULL) store_iterator_close(send->it);
    mem_free(send->config);
    writer_release(&send->piece);
    mem_free(send);
}

void replica_snapshot_sends_drop(struct raft_replica *r) {
    LIST_FOREACH(it, &r->sends) {
        free_send(CONTAINER_OF(it, struct snapshot_send, link));
    }
}

static void finish_piece(struct snapshot_send *send, enum status status) {
    send->status = status;
    send->finished = true;
    raft_host_wake(send->replica);
}

static bool wanted_key(const struct raft_replica *r, struct slice key) {
    return key.size >= KEY_PREFIX_SIZE &&
           (r->options.machine->snapshot_kinds >> key.data[KEY_GROUP_SIZE] & 1);
}

static void add_record(struct snapshot_send *send) {
    struct slice key = store_iterator_key(send->it), value = store_iterator_value(send->it).bytes;
    writer_be16(&send->piece, (uint16_t)(key.size - KEY_GROUP_SIZE));
    writer_bytes(&send->piece, slice_make(key.data + KEY_GROUP_SIZE, key.size - KEY_GROUP_SIZE));
    writer_be32(&send->piece, (uint32_t)value.size);
    writer_bytes(&send->piece, value);
}

/* The first key of the next wanted kind; false: there is none. Logs are long: they are jumped over. */
static bool next_kind(const struct raft_replica *r, uint8_t kind, struct key *key) {
    for (unsigned next = kind + 1u; next < KEY_KIND_END; next++) {
        if ((r->options.machine->snapshot_kinds >> next & 1) == 0) continue;
        *key = key_prefix(r->options.group, (enum key_kind)next);
        return true;
    }
    return false;
}

/* A move that has to wait is made again, the very same. */
static enum status move(struct snapshot_send *send) {
    if (!send->seeking) return store_iterator_next(send->it);
    enum status status = store_iterator_seek(send->it, key_slice(&send->target));
    if (status == STATUS_OK) send->seeking = false;
    return status;
}

/* Fills the piece from where the iterator stands. */
static void fill(struct snapshot_send *send) {
    struct raft_replica *r = send->replica;
    enum status status = STATUS_OK;
    while (send->piece.size < r->host->options.snapshot_piece_bytes) {
        status = move(send);
        if (status != STATUS_OK) break;
        struct slice key = store_iterator_key(send->it);
        if (wanted_key(r, key)) {
            add_record(send);
            continue;
        }
        send->seeking = next_kind(r, key.data[KEY_GROUP_SIZE], &send->target);
        if (send->seeking) continue;
        status = STATUS_END;
        break;
    }
    if (status == STATUS_PENDING) return;
    send->ended = status == STATUS_END;
    finish_piece(send, status == STATUS_END ? STATUS_OK : status);
}

static void send_ready(void *ctx) {
    fill(ctx);
}

static enum status take_position(struct raft_replica *r, struct snapshot_send *send) {
    bool at_start = r->options.machine->snapshot_at_start;
    uint64_t end = at_start ? r->raft.log.start : r->applied;
    send->snapshot = (struct raft_snapshot){.id = prng_next(&r->host->prng) | 1, .end = end};
    if (end == 0 || !raft_term_at(&r->raft, end, &send->snapshot.term)) return STATUS_UNAVAILABLE;
    enum status status = raft_store_config_at(r->host->options.store, r->options.group, end, &send->config);
    send->snapshot.config = send->config;
    return status;
}

static void begin_send(struct raft_replica *r, uint64_t peer) {
    struct snapshot_send *send = mem_calloc(1, sizeof *send);
    send->replica = r;
    send->peer = peer;
    writer_init(&send->piece);
    list_push_back(&r->sends, &send->link);
    enum status status = take_position(r, send);
    if (status != STATUS_OK) {
        finish_piece(send, status);
        return;
    }
    struct key lower = key_group_start(r->options.group), upper = key_group_start(r->options.group + 1);
    send->it = store_iterator_open(r->host->options.store, key_slice(&lower), key_slice(&upper),
                                   STORE_ITERATOR_SEQUENTIAL, send_ready, send);
    send->seeking = next_kind(r, 0, &send->target);
    ASSERT(send->seeking);
    fill(send);
}

static struct snapshot_send *find_send(struct raft_replica *r, uint64_t peer) {
    LIST_FOREACH(it, &r->sends) {
        struct snapshot_send *send = CONTAINER_OF(it, struct snapshot_send, link);
        if (send->peer == peer) return send;
    }
    return NULL;
}

void replica_snapshot_read(struct raft_replica *r, const struct raft_snapshot_read *asked) {
    struct snapshot_send *send = find_send(r, asked->peer);
    if (send != NULL && asked->id != 0 && send->snapshot.id == asked->id) {
        if (asked->offset == send->piece_offset) {
            finish_piece(send, STATUS_OK);
            return;
        }
        if (asked->offset == send->piece_offset + send->piece.size && !send->ended) {
            send->piece_offset = asked->offset;
            writer_clear(&send->piece);
            fill(send);
            return;
        }
    }
    if (send != NULL) free_send(send);
    begin_send(r, asked->peer);
}

void replica_snapshot_reads_finish(struct raft_replica *r) {
    LIST_FOREACH(it, &r->sends) {
        struct snapshot_send *send = CONTAINER_OF(it, struct snapshot_send, link);
        if (!send->finished) continue;
        send->finished = false;
        struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_READ,
                                   .snapshot_read = {.peer = send->peer, .status = send->status}};
        struct buffer *piece = NULL;
        if (send->status == STATUS_OK) {
            event.snapshot_read.snapshot = send->snapshot;
            event.snapshot_read.offset = send->piece_offset;
            /* What leaves waits for the network for longer than this send may live. */
            piece = buffer_copy(writer_slice(&send->piece));
            event.snapshot_read.data = (struct shared_slice){slice_make(piece->data, piece->size), piece};
            event.snapshot_read.last = send->ended;
        }
        bool failed = send->status != STATUS_OK;
        if (failed) list_remove(it);
        /* The step may ask for something new of this peer, or drop all sends. */
        MAYBE(replica_step(r, &event) == STATUS_OK);
        buffer_unref(piece);
        if (failed) free_send(send);
        raft_host_wake(r);
        return;
    }
}

/* ---- receiving ---------------------------------------------------------------------------------------- */

static bool next_record(struct reader *in, struct slice *key, struct slice *value) {
    *key = reader_bytes(in, reader_be16(in));
    *value = reader_bytes(in, reader_be32(in));
    return reader_ok(in) && key->size >= 1 && key->size <= KEY_SIZE_MAX - KEY_GROUP_SIZE;
}

/* Only keys of the machine, or a peer could write anywhere. */
static bool piece_fits(const struct raft_replica *r, struct slice bytes) {
    struct reader in = reader_make(bytes);
    struct slice key, value;
    while (reader_remaining(&in) > 0) {
        if (!next_record(&in, &key, &value)) return false;
        if (key.data[0] >= KEY_KIND_END || (r->options.machine->snapshot_kinds >> key.data[0] & 1) == 0)
            return false;
    }
    return true;
}

void replica_snapshot_forget(struct raft_replica *r) {
    struct list *node;
    while ((node = list_pop_front(&r->incoming)) != NULL) {
        struct incoming_piece *piece = CONTAINER_OF(node, struct incoming_piece, link);
        shared_slice_unref(piece->bytes);
        mem_free(piece);
    }
    r->incoming_id = r->incoming_bytes = 0;
    r->incoming_written = false;
}

void replica_snapshot_take(struct raft_replica *r, const struct raft_message *m) {
    if (m->piece.offset == 0) replica_snapshot_forget(r);
    r->incoming_id = m->piece.snapshot.id;
    ASSERT_EQ(m->piece.offset, r->incoming_bytes);
    if (r->incoming_bytes + m->data.bytes.size > r->host->options.snapshot_bytes_max ||
        !piece_fits(r, m->data.bytes)) {
        /* Not told as written: the sender comes again, from the beginning once another one leads. */
        log_error(r->host->options.log, "snapshot refused reason=\"too large or malformed\" bytes=%zu",
                  (size_t)r->incoming_bytes + m->data.bytes.size);
        return;
    }
    if (m->data.bytes.size > 0) {
        struct incoming_piece *piece = mem_calloc(1, sizeof *piece);
        /* A piece without an owner is only lent. */
        if (m->data.owner == NULL) {
            struct buffer *copy = buffer_copy(m->data.bytes);
            piece->bytes = (struct shared_slice){slice_make(copy->data, copy->size), copy};
        } else {
            piece->bytes = shared_slice_ref(m->data);
        }
        list_push_back(&r->incoming, &piece->link);
        r->incoming_bytes += m->data.bytes.size;
    }
    r->incoming_written = true;
    raft_host_wake(r);
}

void replica_snapshot_told(struct raft_replica *r) {
    if (!r->incoming_written) return;
    r->incoming_written = false;
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_WRITTEN,
                               .snapshot_written = {r->incoming_id, r->incoming_bytes}};
    MAYBE(replica_step(r, &event) == STATUS_OK);
}

void replica_snapshot_install(struct raft_replica *r, struct store_write *write) {
    struct key from = key_prefix(r->options.group, KEY_META), to = key_prefix(r->options.group, KEY_RAFT);
    store_delete_range(write, key_slice(&from), key_slice(&to));
    LIST_FOREACH(it, &r->incoming) {
        struct shared_slice bytes = CONTAINER_OF(it, struct incoming_piece, link)->bytes;
        struct reader in = reader_make(bytes.bytes);
        while (reader_remaining(&in) > 0) {
            struct slice rest, value;
            bool fits = next_record(&in, &rest, &value);
            ASSERT(fits); /* checked when it came */
            struct key key = key_group_start(r->options.group);
            memcpy(key.bytes + key.size, rest.data, rest.size);
            key.size += rest.size;
            store_put(write, key_slice(&key), (struct shared_slice){value, NULL});
        }
    }
    replica_snapshot_forget(r);
}
