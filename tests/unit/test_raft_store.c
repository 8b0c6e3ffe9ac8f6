// SPDX-License-Identifier: Apache-2.0
/* What consensus keeps in the store, held against what the core had in memory: a member that follows leaders
 * of ever higher terms is cut off, compacted, given snapshots and crashed at every operation of the disk. */
#include "lib/test.h"

#include "base/mem.h"
#include "base/prng.h"
#include "broker/keys.h"
#include "broker/raft_store.h"
#include "io/io_sim.h"
#include "wire/record_batch.h"

#define GROUP       7
#define WRITES_MAX  80
#define ENTRIES_MAX 160
#define TERMS_MAX   80

static const uint64_t self = (uint64_t)1 << 32, leader = (uint64_t)2 << 32;

/* What must come back after a write. */
struct kept {
    struct raft_hard_state hard;
    uint64_t start, start_term, end, applied, config_position;
    uint32_t config_members;
    struct raft_term_start terms[TERMS_MAX];
    uint32_t term_count;
    struct kept_entry {
        uint64_t base, end, term;
        enum raft_entry_kind kind;
        uint32_t size;
    } entries[ENTRIES_MAX];
    uint32_t entry_count;
};

static struct world {
    struct io_sim *sim;
    struct io *io;
    struct store *store;
    enum raft_format format;
    struct prng prng;
    struct raft_options options;
    struct raft raft;
    struct raft_effects effects;
    uint64_t leader_term, applied, now_ns;
    struct write {
        struct store_write store;
        uint64_t number, compacted;
        bool done, busy;
    } writes[WRITES_MAX];
    struct kept kept[WRITES_MAX + 1]; /* after so many writes */
    uint32_t submitted, acknowledged;
    struct diagnostic why;
} w;

/* ---- the store ---------------------------------------------------------------------------------------- */

static void open_store(void) {
    w.io = io_sim_node_io(w.sim, 0);
    struct store_options options = {.dir = "data",
                                    .memtable_bytes = 16 * KIB,
                                    .wal_segment_bytes = 32 * KIB,
                                    .table_bytes = 16 * KIB,
                                    .partition_prefix_size = KEY_PREFIX_SIZE};
    enum status status = store_open(w.io, &options, &w.store, &w.why);
    if (status != STATUS_OK) w.store = NULL;
}

static void crash(enum io_sim_crash how) {
    io_sim_crash_node(w.sim, 0, how);
    for (uint32_t i = 0; i < w.submitted; i++) {
        if (!w.writes[i].busy) continue;
        store_write_abandon(&w.writes[i].store);
        store_write_release(&w.writes[i].store);
        w.writes[i].busy = false;
    }
    if (w.store != NULL) store_close(w.store);
    io_free(w.io);
}

static void settle(void) {
    io_sim_run_until(w.sim, io_sim_now(w.sim) + 20 * NS_PER_MS);
}

static void written(struct store_write *store) {
    struct write *write = CONTAINER_OF(store, struct write, store);
    write->busy = false;
    if (store->status == STATUS_OK) {
        write->done = true;
        w.acknowledged++;
        assert_ptr_equal(write, &w.writes[w.acknowledged - 1]); /* in their order */
    }
    store_write_release(store);
}

static struct write *new_write(void) {
    assert_true(w.submitted < WRITES_MAX);
    struct write *write = &w.writes[w.submitted];
    *write = (struct write){.busy = true};
    store_write_init(&write->store, written);
    w.kept[w.submitted + 1] = w.kept[w.submitted];
    return write;
}

static void submit(struct write *write) {
    w.submitted++;
    store_write_submit(w.store, &write->store);
}

/* ---- what must come back ------------------------------------------------------------------------------ */

static void keep_terms(struct kept *kept) {
    const struct raft_log *log = &w.raft.log;
    kept->start = log->start;
    kept->start_term = log->start_term;
    kept->end = log->end;
    assert_true(log->term_count <= TERMS_MAX);
    kept->term_count = log->term_count;
    for (uint32_t i = 0; i < log->term_count; i++)
        kept->terms[i] = log->terms[log->term_head + i];
}

static void keep(const struct raft_effects *e) {
    struct kept *kept = &w.kept[w.submitted + 1];
    kept->hard = e->hard_state;
    keep_terms(kept);
    if (e->install != NULL) {
        kept->entry_count = 0;
        kept->applied = e->install->end;
    }
    while (e->truncate && kept->entry_count > 0 &&
           kept->entries[kept->entry_count - 1].end > e->truncate_from)
        kept->entry_count--;
    for (uint32_t i = 0; i < e->entry_count; i++) {
        const struct raft_entry *entry = &e->entries[i];
        assert_true(kept->entry_count < ENTRIES_MAX);
        kept->entries[kept->entry_count++] = (struct kept_entry){
            entry->base, entry->end, entry->term, entry->kind, (uint32_t)entry->payload.bytes.size};
    }
    kept->config_position = w.raft.latest.position;
    kept->config_members = raft_config(&w.raft)->member_count;
}

static void step(struct raft_event event) {
    event.now_ns = ++w.now_ns;
    enum status status = raft_step(&w.raft, &event, &w.effects);
    assert_status(status, STATUS_OK);
    if (w.effects.write == 0) return;
    struct write *write = new_write();
    write->number = w.effects.write;
    raft_store_put(&write->store, &w.raft, w.format, &w.effects);
    keep(&w.effects);
    submit(write);
}

static void tell_persisted(void) {
    uint64_t number = 0, compacted = 0;
    for (uint32_t i = 0; i < w.acknowledged; i++) {
        number = MAX(number, w.writes[i].number);
        compacted = MAX(compacted, w.writes[i].compacted);
    }
    if (number > w.raft.write_persisted)
        step((struct raft_event){.kind = RAFT_EVENT_PERSISTED, .write = number});
    if (compacted > w.raft.log.start)
        step((struct raft_event){.kind = RAFT_EVENT_COMPACTED, .position = compacted});
}

/* ---- what happens to the member ----------------------------------------------------------------------- */

static struct buffer *data_payload(uint64_t base, uint32_t count) {
    uint8_t value[700] = {0};
    size_t size = prng_range(&w.prng, 1, sizeof value);
    if (w.format == RAFT_FORMAT_PLAIN) return buffer_copy(slice_make(value, size));
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    for (uint32_t i = 0; i < count; i++)
        record_batch_add(&builder, 1000, SLICE_EMPTY, slice_make(value, size / count), NULL, 0);
    struct buffer *batch = record_batch_finish(&builder, CODEC_NONE, NULL);
    record_batch_builder_release(&builder);
    record_batch_set_base(batch->data, (int64_t)base, (int32_t)w.leader_term);
    return batch;
}

static struct buffer *config_payload(void) {
    struct raft_config *config = mem_calloc(1, raft_config_size(4));
    config->member_count = 3 + (uint32_t)prng_below(&w.prng, 2);
    for (uint32_t i = 0; i < config->member_count; i++)
        config->members[i] = (struct raft_member){(uint64_t)(i + 1) << 32, i < 3 ? RAFT_VOTER : RAFT_LEARNER};
    struct buffer *bytes = raft_config_encode(config);
    mem_free(config);
    return bytes;
}

static void append(uint64_t prev, uint64_t commit_end) {
    struct raft_entry entries[3];
    struct raft_message m = {.kind = RAFT_APPEND,
                             .group = GROUP,
                             .from = leader,
                             .to = self,
                             .term = w.leader_term,
                             .append = {.prev = prev, .commit_end = commit_end}};
    bool found = raft_term_at(&w.raft, prev, &m.append.prev_term);
    assert_true(found);
    /* A configuration is only appended when the one before is committed. */
    bool config_may_come = w.raft.latest.position <= w.raft.commit_end;
    m.entry_count = (uint32_t)prng_range(&w.prng, 1, ARRAY_COUNT(entries));
    uint64_t base = prev;
    for (uint32_t i = 0; i < m.entry_count; i++) {
        enum raft_entry_kind kind = RAFT_ENTRY_DATA;
        if (prng_chance(&w.prng, 1, 8)) kind = config_may_come ? RAFT_ENTRY_CONFIG : RAFT_ENTRY_NOOP;
        if (kind == RAFT_ENTRY_CONFIG) config_may_come = false;
        uint32_t count = kind == RAFT_ENTRY_DATA ? (uint32_t)prng_range(&w.prng, 1, 5) : 1;
        struct buffer *payload = NULL;
        if (kind == RAFT_ENTRY_DATA) payload = data_payload(base, count);
        if (kind == RAFT_ENTRY_CONFIG) payload = config_payload();
        entries[i] = (struct raft_entry){base, base + count, w.leader_term, kind, {SLICE_EMPTY, payload}};
        if (payload != NULL) entries[i].payload.bytes = slice_make(payload->data, payload->size);
        base += count;
    }
    m.entries = entries;
    step((struct raft_event){.kind = RAFT_EVENT_RECEIVE, .message = &m});
    assert_int_equal(w.raft.refused, 0);
    for (uint32_t i = 0; i < m.entry_count; i++)
        buffer_unref(entries[i].payload.owner);
}

/* The beginning of an entry that is not committed, or the log's end. */
static uint64_t open_position(void) {
    const struct kept *kept = &w.kept[w.submitted];
    for (uint32_t i = 0; i < kept->entry_count; i++)
        if (kept->entries[i].base >= w.raft.commit_end && prng_chance(&w.prng, 1, 3))
            return kept->entries[i].base;
    return w.raft.log.end;
}

static void apply(void) {
    if (w.raft.commit_end == w.applied) return;
    w.applied = w.raft.commit_end;
    struct write *write = new_write();
    raft_store_put_applied(&write->store, GROUP, w.applied);
    w.kept[w.submitted + 1].applied = w.applied;
    submit(write);
    step((struct raft_event){.kind = RAFT_EVENT_APPLIED, .position = w.applied});
}

static void compact(void) {
    struct kept *kept = &w.kept[w.submitted];
    uint64_t to = w.raft.log.start;
    for (uint32_t i = 0; i < kept->entry_count; i++)
        if (kept->entries[i].base <= MIN(w.applied, w.raft.log.flushed_end) && prng_chance(&w.prng, 2, 3))
            to = kept->entries[i].base;
    if (to <= w.raft.log.start) return;
    struct write *write = new_write();
    write->compacted = to;
    raft_store_compact(&write->store, &w.raft, to);
    kept = &w.kept[w.submitted + 1];
    bool found = raft_term_at(&w.raft, to, &kept->start_term);
    assert_true(found);
    uint32_t gone = 0;
    while (gone < kept->entry_count && kept->entries[gone].end <= to)
        gone++;
    kept->entry_count -= gone;
    memmove(kept->entries, kept->entries + gone, kept->entry_count * sizeof *kept->entries);
    gone = 0;
    while (gone + 1 < kept->term_count && kept->terms[gone + 1].start <= to)
        gone++;
    kept->term_count = to == kept->end ? 0 : kept->term_count - gone;
    memmove(kept->terms, kept->terms + gone, kept->term_count * sizeof *kept->terms);
    if (kept->term_count > 0) kept->terms[0].start = MAX(kept->terms[0].start, to);
    kept->start = to;
    submit(write);
    /* The core goes on when it is durable. */
    settle();
    tell_persisted();
}

static void install(void) {
    struct buffer *bytes = config_payload();
    struct raft_config *config;
    assert_status(raft_config_decode(slice_make(bytes->data, bytes->size), &config), STATUS_OK);
    buffer_unref(bytes);
    struct raft_message m = {.kind = RAFT_SNAPSHOT_PIECE,
                             .flags = RAFT_FLAG_LAST,
                             .group = GROUP,
                             .from = leader,
                             .to = self,
                             .term = w.leader_term,
                             .piece = {.snapshot = {.id = prng_next(&w.prng) | 1,
                                                    .end = w.raft.log.end + prng_range(&w.prng, 1, 9),
                                                    .term = w.leader_term,
                                                    .config = config}}};
    step((struct raft_event){.kind = RAFT_EVENT_RECEIVE, .message = &m});
    assert_non_null(w.effects.snapshot_write);
    step((struct raft_event){.kind = RAFT_EVENT_SNAPSHOT_WRITTEN,
                             .snapshot_written = {m.piece.snapshot.id, 1, false}});
    assert_int_equal(w.raft.log.end, m.piece.snapshot.end);
    w.applied = m.piece.snapshot.end;
    mem_free(config);
}

static void ask_for_a_vote(void) {
    struct raft_message m = {.kind = RAFT_VOTE,
                             .flags = RAFT_FLAG_TRANSFER,
                             .group = GROUP,
                             .from = leader,
                             .to = self,
                             .term = ++w.leader_term,
                             .vote = {.log_end = w.raft.log.end + 1, .last_term = w.leader_term}};
    step((struct raft_event){.kind = RAFT_EVENT_RECEIVE, .message = &m});
    assert_int_equal(w.raft.vote, leader);
}

/* False: the disk stopped. */
static bool live(uint32_t writes) {
    while (w.submitted + 4 < writes) {
        uint64_t kind = prng_below(&w.prng, 10), end = w.raft.log.end;
        if (kind < 5) append(end, prng_range(&w.prng, w.raft.commit_end, end));
        if (kind == 5) {
            w.leader_term++;
            append(open_position(), w.raft.commit_end);
        }
        if (kind == 6) apply();
        if (kind == 7) compact();
        if (kind == 8) ask_for_a_vote();
        if (kind == 9 && prng_chance(&w.prng, 1, 4)) install();
        if (prng_chance(&w.prng, 1, 2)) settle();
        tell_persisted();
        if (io_sim_crash_due(w.sim, 0)) return false;
    }
    settle();
    return !io_sim_crash_due(w.sim, 0);
}

/* ---- life --------------------------------------------------------------------------------------------- */

static void begin(uint64_t seed, enum raft_format format) {
    w = (struct world){.sim = io_sim_new(seed), .format = format, .leader_term = 1, .now_ns = NS_PER_S};
    prng_init(&w.prng, seed);
    raft_effects_init(&w.effects);
    w.options = raft_options_default(self);
    w.options.window_bytes_max = SIZE_MAX;
}

/* A new group: its first configuration is the first write. */
static void create(void) {
    struct raft_config *config = mem_calloc(1, raft_config_size(3));
    config->member_count = 3;
    for (uint32_t i = 0; i < 3; i++)
        config->members[i] = (struct raft_member){(uint64_t)(i + 1) << 32, RAFT_VOTER};
    struct raft_start start = {.group = GROUP, .seed = 1, .priority = 0, .config = config};
    raft_init(&w.raft, &w.options, &start, w.now_ns);
    struct write *write = new_write();
    raft_store_create(&write->store, GROUP, config);
    w.kept[1].config_members = 3;
    submit(write);
    mem_free(config);
}

static void end_world(void) {
    raft_release(&w.raft);
    raft_effects_release(&w.effects);
    crash(IO_SIM_CRASH_PROCESS);
    io_sim_free(w.sim);
}

static bool is_kept(const struct raft_loaded *loaded, const struct kept *kept) {
    const struct raft_start *s = &loaded->start;
    if (memcmp(&s->hard_state, &kept->hard, sizeof kept->hard) != 0) return false;
    if (s->log_start != kept->start || s->log_start_term != kept->start_term || s->log_end != kept->end)
        return false;
    if (s->applied_end != MAX(kept->applied, kept->start) || s->term_count != kept->term_count) return false;
    if (s->config == NULL || s->config_position != kept->config_position ||
        s->config->member_count != kept->config_members)
        return false;
    return kept->term_count == 0 ||
           memcmp(s->terms, kept->terms, kept->term_count * sizeof *kept->terms) == 0;
}

static void ready(struct raft_reader *read) {
    (void)read;
}

static enum status read_all(struct raft_reader *read, uint64_t from, uint64_t end, size_t bytes_max) {
    raft_reader_init(read, w.store, GROUP, w.format, ready);
    read->from = from;
    read->end = end;
    read->bytes_max = bytes_max;
    enum status status;
    while ((status = raft_store_read(read)) == STATUS_PENDING)
        settle();
    return status;
}

static void check_entries(const struct kept *kept) {
    struct raft_reader read;
    enum status status = read_all(&read, kept->start, UINT64_MAX / 4, SIZE_MAX);
    assert_status(status, kept->entry_count == 0 ? STATUS_NOT_FOUND : STATUS_OK);
    assert_int_equal(read.count, kept->entry_count);
    for (uint32_t i = 0; i < read.count; i++) {
        const struct raft_entry *entry = &read.entries[i];
        assert_int_equal(entry->base, kept->entries[i].base);
        assert_int_equal(entry->end, kept->entries[i].end);
        assert_int_equal(entry->term, kept->entries[i].term);
        assert_int_equal(entry->kind, kept->entries[i].kind);
        assert_int_equal(entry->payload.bytes.size, kept->entries[i].size);
    }
    raft_reader_release(&read);
}

static void load_ok(struct raft_loaded *loaded) {
    enum status status = raft_store_load(w.store, GROUP, w.format, loaded, &w.why);
    if (status != STATUS_OK) print_error("%s\n", w.why.text);
    assert_status(status, STATUS_OK);
}

/* The store has the state after some number of writes, at least those acknowledged; and another start with it
 * works. */
static void check_loaded(void) {
    struct raft_loaded loaded;
    load_ok(&loaded);
    uint32_t at = w.submitted + 1;
    while (at-- > w.acknowledged)
        if (loaded.found == (at > 0) && (at == 0 || is_kept(&loaded, &w.kept[at]))) break;
    if (at + 1 == w.acknowledged)
        print_error("loaded [%llu,%llu) term %llu; %u of %u writes acknowledged\n",
                    (unsigned long long)loaded.start.log_start, (unsigned long long)loaded.start.log_end,
                    (unsigned long long)loaded.start.hard_state.term, w.acknowledged, w.submitted);
    assert_true(at + 1 > w.acknowledged);
    check_entries(&w.kept[at]);
    struct raft again;
    raft_init(&again, &w.options, &loaded.start, w.now_ns); /* asserts that it makes sense */
    raft_release(&again);
    raft_loaded_release(&loaded);
}

static void crash_at_every_operation(enum raft_format format, enum io_sim_crash how, enum io_sim_stop stop) {
    uint64_t n = 1;
    for (bool through = false; !through; n++) {
        begin(100 + (uint64_t)format, format);
        io_sim_node_io(w.sim, 0);
        io_sim_crash_at_disk_op(w.sim, 0, n, stop);
        open_store();
        if (w.store == NULL) {
            io_sim_crash_node(w.sim, 0, how);
            io_free(w.io);
            io_sim_free(w.sim);
            raft_effects_release(&w.effects);
            continue;
        }
        create();
        through = live(60);
        crash(through ? IO_SIM_CRASH_PROCESS : how);
        io_sim_crash_at_disk_op(w.sim, 0, 0, stop);
        open_store();
        assert_non_null(w.store);
        check_loaded();
        end_world();
    }
    assert_in_range(n, 40, 1000);
}

static void power_is_cut_at_every_operation(void **state) {
    (void)state;
    crash_at_every_operation(RAFT_FORMAT_BATCHES, IO_SIM_CRASH_POWER, IO_SIM_STOP_AFTER);
    crash_at_every_operation(RAFT_FORMAT_PLAIN, IO_SIM_CRASH_POWER, IO_SIM_STOP_BEFORE);
}

static void the_process_is_killed_at_every_operation(void **state) {
    (void)state;
    crash_at_every_operation(RAFT_FORMAT_PLAIN, IO_SIM_CRASH_PROCESS, IO_SIM_STOP_BEFORE);
}

static void random_lives_come_back(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        begin(seed, seed % 2 == 0 ? RAFT_FORMAT_BATCHES : RAFT_FORMAT_PLAIN);
        open_store();
        create();
        assert_true(live(WRITES_MAX));
        assert_int_equal(w.acknowledged, w.submitted);
        crash(IO_SIM_CRASH_POWER);
        open_store();
        check_loaded();
        end_world();
    }
}

/* ---- single rules ------------------------------------------------------------------------------------- */

static void start_simple(enum raft_format format) {
    begin(1, format);
    open_store();
    create();
    for (uint64_t i = 0; i < 6; i++) {
        w.leader_term = i / 2 + 1;
        append(w.raft.log.end, w.raft.log.end);
        settle();
        tell_persisted();
    }
}

static void a_read_keeps_its_bounds(void **state) {
    (void)state;
    start_simple(RAFT_FORMAT_BATCHES);
    const struct kept *kept = &w.kept[w.submitted];
    struct raft_reader read;
    for (uint32_t i = 0; i < kept->entry_count; i++) {
        /* From inside of an entry, that entry; as many bytes as allowed, but one at least. */
        assert_status(read_all(&read, kept->entries[i].end - 1, UINT64_MAX / 4, 1), STATUS_OK);
        assert_int_equal(read.count, 1);
        assert_int_equal(read.entries[0].base, kept->entries[i].base);
        raft_reader_release(&read);
        assert_status(read_all(&read, kept->entries[i].base, kept->entries[i].end, SIZE_MAX), STATUS_OK);
        assert_int_equal(read.count, 1);
        raft_reader_release(&read);
    }
    assert_status(read_all(&read, kept->end, UINT64_MAX / 4, SIZE_MAX), STATUS_NOT_FOUND);
    raft_reader_release(&read);
    end_world();
}

static void what_is_compacted_is_not_found(void **state) {
    (void)state;
    start_simple(RAFT_FORMAT_PLAIN);
    apply();
    settle();
    uint64_t to = w.kept[w.submitted].entries[3].base;
    struct write *write = new_write();
    raft_store_compact(&write->store, &w.raft, to);
    submit(write);
    settle();
    struct raft_reader read;
    assert_status(read_all(&read, to - 1, UINT64_MAX / 4, SIZE_MAX), STATUS_NOT_FOUND);
    raft_reader_release(&read);
    assert_status(read_all(&read, to, UINT64_MAX / 4, SIZE_MAX), STATUS_OK);
    raft_reader_release(&read);
    end_world();
}

static void configurations_are_found_by_position(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin(seed, RAFT_FORMAT_PLAIN);
        open_store();
        create();
        assert_true(live(WRITES_MAX));
        for (uint32_t at = 1; at <= w.submitted; at++) {
            const struct kept *then = &w.kept[at], *now = &w.kept[w.submitted];
            /* Committed then, and nothing has replaced the log since. */
            if (then->config_position > then->hard.commit_end || then->config_position < now->start) continue;
            struct raft_config *config;
            assert_status(raft_store_config_at(w.store, GROUP, then->config_position, &config), STATUS_OK);
            assert_int_equal(config->member_count, then->config_members);
            mem_free(config);
        }
        end_world();
    }
}

/* ---- damage ------------------------------------------------------------------------------------------- */

static void put(struct key key, const char *bytes, size_t size) {
    struct write *write = new_write();
    store_put(&write->store, key_slice(&key),
              (struct shared_slice){slice_make((const uint8_t *)bytes, size), NULL});
    submit(write);
    settle();
}

static void take_away(struct key from, struct key to) {
    struct write *write = new_write();
    store_delete_range(&write->store, key_slice(&from), key_slice(&to));
    submit(write);
    settle();
}

#define U64(n) "\0\0\0\0\0\0\0" n

static void damage(int what, uint64_t end) {
    switch (what) {
    case 0:
        put(key_raft(GROUP, 'h', 0), "\1\2\3", 3);
        break;
    case 1:
        put(key_raft(GROUP, 's', 0), "\2" U64("\1") U64("\1"), 17);
        break;
    case 2:
        put(key_raft(GROUP, 'a', 0), "\1" U64("\1") "x", 10);
        break;
    case 3:
        put(key_raft(GROUP, 'i', 0), "\1" U64("\0") U64("\1") U64("\1") U64("\1") U64("\0"), 41);
        break;
    case 4:
        put(key_raft(GROUP, 't', 0), "\1", 1);
        break;
    case 5:
        put(key_raft(GROUP, 't', end - 1), U64("\1"), 8);
        break;
    case 6:
        put(key_raft(GROUP, 't', end + 5), U64("\x09"), 8);
        break;
    case 7:
        take_away(key_raft(GROUP, 't', 0), key_raft(GROUP, 't', UINT64_MAX));
        break;
    case 8:
        take_away(key_raft(GROUP, 't', 0), key_raft(GROUP, 't', 1));
        break;
    case 9:
        put(key_raft(GROUP, 'c', end), "\1\1rubbish", 9);
        break;
    case 10:
        put(key_log(GROUP, (int64_t)end - 1), "rubbish", 7);
        break;
    case 11:
        put(key_raft(GROUP, 's', 0), "\1" U64("\x70") U64("\1"), 17);
        break;
    case 12:
        put(key_raft(GROUP, 'a', 0), "\1" U64("\x70"), 9);
        break;
    case 13:
        put(key_raft(GROUP, 'h', 0), "\1" U64("\1") U64("\0") U64("\0"), 25);
        break;
    default:
        fail();
    }
}

static void damage_is_named(void **state) {
    (void)state;
    static const char *const reasons[] = {"a record of consensus does not parse",
                                          "a record of consensus does not parse",
                                          "a record of consensus does not parse",
                                          "what is said of a snapshot that came in does not parse",
                                          "a term does not parse",
                                          "its terms do not ascend",
                                          "a term begins behind its end",
                                          "it has entries without a term",
                                          "its first entry has no term",
                                          "a configuration does not parse",
                                          "its last entry does not parse",
                                          "it ends before it begins",
                                          "more is applied than it holds",
                                          "its last term was never voted in"};
    for (int format = RAFT_FORMAT_BATCHES; format <= RAFT_FORMAT_PLAIN; format++) {
        for (int what = 0; what < (int)ARRAY_COUNT(reasons); what++) {
            start_simple((enum raft_format)format);
            struct raft_loaded loaded;
            load_ok(&loaded);
            raft_loaded_release(&loaded);
            damage(what, w.raft.log.end);
            assert_status(raft_store_load(w.store, GROUP, w.format, &loaded, &w.why), STATUS_CORRUPT);
            if (strstr(w.why.text, reasons[what]) == NULL) print_error("%d: %s\n", what, w.why.text);
            assert_non_null(strstr(w.why.text, reasons[what]));
            assert_non_null(strstr(w.why.text, "group 7"));
            end_world();
        }
    }
}

/* ---- a copy that is given away ------------------------------------------------------------------------- */

static struct raft_floor found_floor(void) {
    struct raft_floor floor;
    raft_store_find_floor(w.store, GROUP, w.format, &floor);
    return floor;
}

static void leave_closed(void) {
    struct write *write = new_write();
    raft_store_leave_again(&write->store, GROUP, found_floor());
    submit(write);
    settle();
}

static void who_is_not_open_remembers_how_far_it_was(void **state) {
    (void)state;
    for (int format = RAFT_FORMAT_BATCHES; format <= RAFT_FORMAT_PLAIN; format++) {
        begin(1, (enum raft_format)format);
        open_store();
        assert_int_equal(found_floor().end, 0); /* nothing is stored */
        end_world();
        for (int damaged = 0; damaged < 2; damaged++) {
            start_simple((enum raft_format)format);
            uint64_t end = w.raft.log.end;
            if (damaged) damage(7, end);
            for (int times = 0; times < 2; times++) {
                struct raft_loaded loaded;
                leave_closed();
                load_ok(&loaded);
                assert_true(loaded.found && loaded.start.log_end == 0 && loaded.config == NULL);
                assert_int_equal(loaded.start.hard_state.term, 3);
                raft_loaded_release(&loaded);
                struct raft_floor floor;
                assert_status(raft_store_load_floor(w.store, GROUP, &floor), STATUS_OK);
                assert_true(floor.end == end && floor.term == 3);
            }
            end_world();
        }
    }
}

static void mended_records_keep_the_floor(void **state) {
    (void)state;
    for (uint64_t incoming = 0; incoming < 2; incoming++) {
        start_simple(RAFT_FORMAT_BATCHES);
        static const uint64_t ends[] = {50, 0}; /* 0: it has passed its floor */
        for (unsigned i = 0; i < ARRAY_COUNT(ends); i++) {
            uint64_t end = ends[i];
            struct raft_floor floor = {.end = end, .term = 2}, loaded;
            struct write *write = new_write();
            raft_store_leave_again(&write->store, GROUP, (struct raft_floor){50, 2});
            submit(write);
            write = new_write();
            raft_store_put_records(&write->store, &w.raft, 0, &(struct raft_incoming){.id = incoming}, floor);
            submit(write);
            settle();
            assert_status(raft_store_load_floor(w.store, GROUP, &loaded), STATUS_OK);
            assert_int_equal(loaded.end, end);
            assert_int_equal(loaded.term, end == 0 ? 0 : 2);
        }
        end_world();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_is_cut_at_every_operation),
        cmocka_unit_test(the_process_is_killed_at_every_operation),
        cmocka_unit_test(random_lives_come_back),
        cmocka_unit_test(a_read_keeps_its_bounds),
        cmocka_unit_test(what_is_compacted_is_not_found),
        cmocka_unit_test(configurations_are_found_by_position),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(who_is_not_open_remembers_how_far_it_was),
        cmocka_unit_test(mended_records_keep_the_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
