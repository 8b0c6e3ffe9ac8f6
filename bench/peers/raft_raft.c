// SPDX-License-Identifier: Apache-2.0
/* canonical/raft under the workload of src/cli/bench_raft_load.h (Debian: libraft-dev).
 *
 * Its I/O is a table of functions; here they keep everything in memory: what is sent is copied once, as our
 * own side does, and arrives in the next turn; what is written is done at the end of the turn. Its test
 * fixture does much the same, but checks the whole log at each step. */
#include <raft.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_raft_load.h"

#define MEMBERS      3u
#define TURNS_PER_MS 100u

struct parcel {
    struct raft_message message;
    struct raft_io_send *request;
};
/* A completion that is due at the end of the turn. */
struct due {
    struct raft_io_append *append;
    struct raft_io_snapshot_put *snapshot;
};
#define LIST(type)                                                                                           \
    struct {                                                                                                 \
        type *items;                                                                                         \
        unsigned count, capacity;                                                                            \
    }
#define PUSH(list, item)                                                                                     \
    do {                                                                                                     \
        if ((list).count == (list).capacity) {                                                               \
            (list).capacity = (list).capacity * 2 + 16;                                                      \
            (list).items = raft_realloc((list).items, (list).capacity * sizeof *(list).items);               \
        }                                                                                                    \
        (list).items[(list).count++] = (item);                                                               \
    } while (0)

struct member {
    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    struct raft_buffer configuration;
    LIST(struct parcel) inbox;
    LIST(struct raft_io_send *) sent;
    LIST(struct due) due;
    raft_id id;
    char address[8];
};
static struct member members[MEMBERS];
static struct member *leader;
static raft_index base;
static raft_time now_ms;
static unsigned turns;
static LIST(struct raft_buffer) values;

static void check(int error, const char *what) {
    if (error == 0) return;
    fprintf(stderr, "raft: %s: %d\n", what, error);
    exit(1);
}

/* ---- its I/O in memory -------------------------------------------------------------------------------- */

static struct member *of(struct raft_io *io) {
    return io->impl;
}

static int io_init(struct raft_io *io, raft_id id, const char *address) {
    (void)io, (void)id, (void)address;
    return 0;
}
static void io_close(struct raft_io *io, raft_io_close_cb cb) {
    cb(io);
}
static int io_bootstrap(struct raft_io *io, const struct raft_configuration *configuration) {
    return raft_configuration_encode(configuration, &of(io)->configuration);
}
static int io_load(struct raft_io *io, raft_term *term, raft_id *vote, struct raft_snapshot **snapshot,
                   raft_index *start, struct raft_entry *entries[], size_t *count) {
    *term = 1;
    *vote = 0;
    *snapshot = NULL;
    *start = 1;
    *count = 1;
    *entries = raft_calloc(1, sizeof **entries);
    struct raft_buffer bytes = of(io)->configuration;
    (*entries)[0] = (struct raft_entry){.term = 1, .type = RAFT_CHANGE, .buf = bytes, .batch = bytes.base};
    return 0;
}
static int io_start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb recv) {
    (void)ms;
    of(io)->tick = tick;
    of(io)->recv = recv;
    return 0;
}
static int io_set_term(struct raft_io *io, raft_term term) {
    (void)io, (void)term;
    return 0;
}
static int io_set_vote(struct raft_io *io, raft_id id) {
    (void)io, (void)id;
    return 0;
}

/* One piece of memory for the data of all entries, as a receive buffer would be. */
static void copy_entries(struct raft_append_entries *append) {
    const struct raft_entry *from = append->entries;
    if (append->n_entries == 0) {
        append->entries = NULL;
        return;
    }
    size_t size = 0;
    for (unsigned i = 0; i < append->n_entries; i++)
        size += from[i].buf.len;
    char *batch = raft_malloc(size);
    append->entries = raft_malloc(append->n_entries * sizeof *append->entries);
    size_t at = 0;
    for (unsigned i = 0; i < append->n_entries; i++) {
        append->entries[i] = from[i];
        append->entries[i].buf.base = batch + at;
        append->entries[i].batch = batch;
        memcpy(batch + at, from[i].buf.base, from[i].buf.len);
        at += from[i].buf.len;
    }
}

static int io_send(struct raft_io *io, struct raft_io_send *request, const struct raft_message *message,
                   raft_io_send_cb cb) {
    struct member *from = of(io);
    struct parcel parcel = {*message, request};
    request->cb = cb;
    if (message->type == RAFT_IO_APPEND_ENTRIES) copy_entries(&parcel.message.append_entries);
    parcel.message.server_id = from->id;
    parcel.message.server_address = from->address;
    PUSH(members[message->server_id - 1].inbox, parcel);
    PUSH(from->sent, request);
    return 0;
}
static int io_append(struct raft_io *io, struct raft_io_append *request, const struct raft_entry entries[],
                     unsigned count, raft_io_append_cb cb) {
    (void)entries, (void)count;
    request->cb = cb;
    PUSH(of(io)->due, ((struct due){.append = request}));
    return 0;
}
static int io_truncate(struct raft_io *io, raft_index index) {
    (void)io, (void)index;
    return 0;
}
static int io_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *request,
                           const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb) {
    (void)trailing, (void)snapshot;
    request->cb = cb;
    PUSH(of(io)->due, ((struct due){.snapshot = request}));
    return 0;
}
static int io_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *request,
                           raft_io_snapshot_get_cb cb) {
    (void)io, (void)request, (void)cb;
    return RAFT_IOERR; /* nobody lags so far */
}
static raft_time io_time(struct raft_io *io) {
    (void)io;
    return now_ms;
}
static int io_random(struct raft_io *io, int min, int max) {
    return min + (int)(of(io)->id * 7919) % (max - min);
}

/* ---- a state machine that does nothing ---------------------------------------------------------------- */

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result) {
    (void)fsm, (void)buf;
    *result = NULL;
    return 0;
}
static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *count) {
    (void)fsm;
    *count = 1;
    *bufs = raft_malloc(sizeof **bufs);
    (*bufs)[0] = (struct raft_buffer){raft_calloc(1, 8), 8};
    return 0;
}
static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf) {
    (void)fsm;
    raft_free(buf->base);
    return 0;
}

/* ---- the workload's engine ---------------------------------------------------------------------------- */

static void member_turn(struct member *member, unsigned arriving) {
    for (unsigned i = 0; i < arriving; i++) {
        struct parcel parcel = member->inbox.items[i];
        member->recv(&member->io, &parcel.message);
    }
    member->inbox.count -= arriving;
    memmove(member->inbox.items, member->inbox.items + arriving, member->inbox.count * sizeof(struct parcel));
    unsigned sent = member->sent.count, due = member->due.count;
    for (unsigned i = 0; i < sent; i++)
        member->sent.items[i]->cb(member->sent.items[i], 0);
    member->sent.count -= sent;
    memmove(member->sent.items, member->sent.items + sent,
            member->sent.count * sizeof(struct raft_io_send *));
    for (unsigned i = 0; i < due; i++) {
        struct due done = member->due.items[i];
        if (done.append != NULL) done.append->cb(done.append, 0);
        if (done.snapshot != NULL) done.snapshot->cb(done.snapshot, 0);
    }
    member->due.count -= due;
    memmove(member->due.items, member->due.items + due, member->due.count * sizeof(struct due));
}

static void engine_turn(void) {
    bool tick = ++turns % TURNS_PER_MS == 0;
    now_ms += tick;
    for (unsigned i = 0; i < MEMBERS; i++) {
        member_turn(&members[i], members[i].inbox.count);
        if (tick) members[i].tick(&members[i].io);
        if (raft_state(&members[i].raft) == RAFT_LEADER) leader = &members[i];
    }
}

static void engine_open(void) {
    leader = NULL;
    memset(members, 0, sizeof members);
    struct raft_configuration configuration;
    raft_configuration_init(&configuration);
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct member *member = &members[i];
        member->id = i + 1;
        snprintf(member->address, sizeof member->address, "%u", i + 1);
        check(raft_configuration_add(&configuration, member->id, member->address, RAFT_VOTER),
              "configuration");
        member->io = (struct raft_io){.version = 1,
                                      .impl = member,
                                      .init = io_init,
                                      .close = io_close,
                                      .load = io_load,
                                      .start = io_start,
                                      .bootstrap = io_bootstrap,
                                      .set_term = io_set_term,
                                      .set_vote = io_set_vote,
                                      .send = io_send,
                                      .append = io_append,
                                      .truncate = io_truncate,
                                      .snapshot_put = io_snapshot_put,
                                      .snapshot_get = io_snapshot_get,
                                      .time = io_time,
                                      .random = io_random};
        member->fsm = (struct raft_fsm){
            .version = 1, .apply = fsm_apply, .snapshot = fsm_snapshot, .restore = fsm_restore};
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct member *member = &members[i];
        check(raft_init(&member->raft, &member->io, &member->fsm, member->id, member->address), "init");
        check(raft_bootstrap(&member->raft, &configuration), "bootstrap");
        check(raft_start(&member->raft), "start");
    }
    raft_configuration_close(&configuration);
    while (leader == NULL)
        engine_turn();
    for (unsigned i = 0; i < TURNS_PER_MS; i++)
        engine_turn();
    base = leader->raft.commit_index;
}

static void applied(struct raft_apply *request, int status, void *result) {
    (void)result;
    check(status, "apply");
    raft_free(request);
}

static void engine_propose(uint64_t count, size_t size) {
    values.count = 0;
    for (uint64_t i = 0; i < count; i++)
        PUSH(values, ((struct raft_buffer){raft_calloc(1, size), size}));
    struct raft_apply *request = raft_malloc(sizeof *request);
    check(raft_apply(&leader->raft, request, values.items, (unsigned)count, applied), "propose");
}

static uint64_t engine_committed(void) {
    return leader->raft.commit_index - base;
}

static void closed(struct raft *raft) {
    (void)raft;
}
static void engine_close(void) {
    for (unsigned i = 0; i < TURNS_PER_MS / 2; i++)
        engine_turn();
    for (unsigned i = 0; i < MEMBERS; i++) {
        raft_close(&members[i].raft, closed);
        raft_free(members[i].inbox.items);
        raft_free(members[i].sent.items);
        raft_free(members[i].due.items);
    }
}

int main(int argc, char **argv) {
    static const struct raft_load_engine engine = {.open = engine_open,
                                                   .propose = engine_propose,
                                                   .turn = engine_turn,
                                                   .committed = engine_committed,
                                                   .close = engine_close};
    struct raft_load_options options;
    int status = raft_load_parse(argc, argv, &options);
    if (status != 0) return status;
    printf("# canonical/raft: I/O in memory, one copy of what is sent, writes done at the end of a turn\n");
    raft_load_run(&options, &engine, raft_load_print);
    return 0;
}
