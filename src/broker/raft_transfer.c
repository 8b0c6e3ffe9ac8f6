// SPDX-License-Identifier: Apache-2.0
/* Sending snapshots: a scan of the machine's keys, cut into pieces of whole records.
 *
 *   record = [key size be16][key without the group][value size be32][value]
 *
 * The iterator is a view of one moment. It is gone through once to name the snapshot by its bytes, and again
 * for the pieces; one that is asked for from the middle is found by counting. No more than a piece is worked
 * on in one turn. */
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "broker/keys.h"
#include "broker/raft_replica.h"

struct snapshot_send {
    struct list link;
    struct raft_replica *replica;
    uint64_t peer;
    struct raft_snapshot snapshot; /* id 0: not named yet */
    struct raft_config *config;
    struct store_iterator *it;
    struct key target;
    bool seeking;         /* to `target`, instead of a move to what follows */
    bool again;           /* goes on in the next turn */
    bool finished, ended; /* a piece is there; it is the last */
    enum status status;
    uint64_t asked_id, asked_offset;
    uint64_t position;   /* bytes gone through */
    uint32_t checksum;   /* of these; only while there is no name */
    struct writer piece; /* the bytes that end at `position` */
};

uint64_t replica_snapshot_id(uint64_t end, uint64_t term, uint64_t bytes, uint32_t checksum) {
    const uint64_t parts[] = {end, term, bytes, checksum};
    uint64_t id = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(parts); i++) {
        id = (id ^ parts[i]) * 0x9e3779b97f4a7c15U;
        id ^= id >> 29;
    }
    return id | 1;
}

bool replica_snapshot_record(struct reader *in, struct slice *key, struct slice *value) {
    *key = reader_bytes(in, reader_be16(in));
    *value = reader_bytes(in, reader_be32(in));
    return reader_ok(in) && key->size >= 1 && key->size <= KEY_SIZE_MAX - KEY_GROUP_SIZE;
}

/* ---- the scan ----------------------------------------------------------------------------------------- */

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
    size_t before = send->piece.size;
    writer_be16(&send->piece, (uint16_t)(key.size - KEY_GROUP_SIZE));
    writer_bytes(&send->piece, slice_make(key.data + KEY_GROUP_SIZE, key.size - KEY_GROUP_SIZE));
    writer_be32(&send->piece, (uint32_t)value.size);
    writer_bytes(&send->piece, value);
    struct slice all = writer_slice(&send->piece);
    send->position += all.size - before;
    if (send->snapshot.id == 0) send->checksum = crc32c(send->checksum, all.data + before, all.size - before);
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

static void rewind_to_start(struct snapshot_send *send) {
    send->seeking = next_kind(send->replica, 0, &send->target);
    ASSERT(send->seeking);
    send->position = 0;
    writer_clear(&send->piece);
}

/* A move that has to wait is made again, the very same. */
static enum status move(struct snapshot_send *send) {
    if (!send->seeking) return store_iterator_next(send->it);
    enum status status = store_iterator_seek(send->it, key_slice(&send->target));
    if (status == STATUS_OK) send->seeking = false;
    return status;
}

/* Adds records from where the iterator stands until there is a piece of them, or they reach `to`. */
static enum status fill(struct snapshot_send *send, uint64_t to) {
    struct raft_replica *r = send->replica;
    while (send->piece.size < r->host->options.snapshot_piece_bytes && send->position < to) {
        enum status status = move(send);
        if (status != STATUS_OK) return status;
        struct slice key = store_iterator_key(send->it);
        if (wanted_key(r, key)) {
            add_record(send);
            continue;
        }
        send->seeking = next_kind(r, key.data[KEY_GROUP_SIZE], &send->target);
        if (!send->seeking) return STATUS_END;
    }
    return STATUS_OK;
}

/* All gone through: it has a name, and the pieces begin, where they were asked for if it is the same. */
static void name(struct snapshot_send *send) {
    struct raft_snapshot *snapshot = &send->snapshot;
    snapshot->id = replica_snapshot_id(snapshot->end, snapshot->term, send->position, send->checksum);
    if (snapshot->id != send->asked_id) send->asked_offset = 0;
    rewind_to_start(send);
}

/* One piece's worth of work: names the snapshot, goes to where the piece begins, or makes the piece. */
static void work(struct snapshot_send *send) {
    send->again = false;
    bool piece = send->snapshot.id != 0 && send->position - send->piece.size == send->asked_offset;
    enum status status = fill(send, send->snapshot.id == 0 || piece ? UINT64_MAX : send->asked_offset);
    if (status == STATUS_PENDING) return;
    if (status != STATUS_OK && status != STATUS_END) {
        finish_piece(send, status);
        return;
    }
    if (piece) {
        send->ended = status == STATUS_END;
        finish_piece(send, STATUS_OK);
        return;
    }
    writer_clear(&send->piece);
    if (send->snapshot.id == 0 && status == STATUS_END) {
        name(send);
    } else if (send->snapshot.id != 0 && (status == STATUS_END || send->position > send->asked_offset)) {
        send->asked_offset = 0; /* no record begins there */
        rewind_to_start(send);
    }
    send->again = true;
    raft_host_wake(send->replica);
}

static void send_ready(void *ctx) {
    work(ctx);
}

/* ---- what the core asks for --------------------------------------------------------------------------- */

static enum status take_position(struct raft_replica *r, struct snapshot_send *send) {
    bool at_start = r->options.machine->snapshot_at_start;
    uint64_t end = at_start ? r->raft.log.start : r->applied;
    send->snapshot = (struct raft_snapshot){.end = end};
    if (r->unpacking != NULL || end == 0 || !raft_term_at(&r->raft, end, &send->snapshot.term))
        return STATUS_UNAVAILABLE;
    enum status status = raft_store_config_at(r->host->options.store, r->options.group, end, &send->config);
    send->snapshot.config = send->config;
    return status;
}

static void begin_send(struct raft_replica *r, const struct raft_snapshot_read *asked) {
    struct snapshot_send *send = mem_calloc(1, sizeof *send);
    send->replica = r;
    send->peer = asked->peer;
    send->asked_id = asked->id;
    send->asked_offset = asked->offset;
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
    rewind_to_start(send);
    work(send);
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
    if (send == NULL || asked->id == 0 || send->snapshot.id != asked->id) {
        if (send != NULL) free_send(send);
        begin_send(r, asked);
        return;
    }
    uint64_t piece_offset = send->position - send->piece.size;
    send->asked_offset = asked->offset;
    if (asked->offset == piece_offset) { /* once more: it may have been lost */
        finish_piece(send, STATUS_OK);
        return;
    }
    writer_clear(&send->piece);
    if (asked->offset < send->position || send->ended) rewind_to_start(send);
    send->ended = false;
    work(send);
}

static void give_piece(struct raft_replica *r, struct snapshot_send *send) {
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_READ,
                               .snapshot_read = {.peer = send->peer, .status = send->status}};
    struct buffer *piece = NULL;
    if (send->status == STATUS_OK) {
        event.snapshot_read.snapshot = send->snapshot;
        event.snapshot_read.offset = send->asked_offset;
        /* What leaves waits for the network for longer than this send may live. */
        piece = buffer_copy(writer_slice(&send->piece));
        event.snapshot_read.data = (struct shared_slice){slice_make(piece->data, piece->size), piece};
        event.snapshot_read.last = send->ended;
    }
    bool failed = send->status != STATUS_OK;
    if (failed) list_remove(&send->link);
    /* The step may ask for something new of this peer, or drop all sends. */
    MAYBE(replica_step(r, &event) == STATUS_OK);
    buffer_unref(piece);
    if (failed) free_send(send);
}

/* One of them a turn. */
void replica_snapshot_reads_finish(struct raft_replica *r) {
    LIST_FOREACH(it, &r->sends) {
        struct snapshot_send *send = CONTAINER_OF(it, struct snapshot_send, link);
        if (!send->finished && !send->again) continue;
        bool finished = send->finished;
        send->finished = false;
        list_remove(it);
        list_push_back(&r->sends, it);
        if (finished)
            give_piece(r, send);
        else
            work(send);
        raft_host_wake(r);
        return;
    }
}
