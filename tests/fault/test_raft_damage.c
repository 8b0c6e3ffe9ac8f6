// SPDX-License-Identifier: Apache-2.0
/* Stored entries of a replica rot: it fetches them from another, whoever notices first (applying after a
 * restart, sending them to somebody, the scrub), also when it leads; and afterwards its disk is as sound as
 * the others'. */
#include <stdio.h>

#include "base/mem.h"
#include "broker/keys.h"
#include "lib/replica_world.h"
#include "lib/test.h"
#include "storage/layout.h"
#include "storage/table.h"

static struct replica_world world;

static struct replica_node *node_of(uint32_t number) {
    return &world.nodes[number - 1];
}

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}

static void flush(uint32_t number) {
    bool flushed = false;
    store_flush(node_of(number)->store, (void (*)(void *, enum status))(void (*)(void))set_flag, &flushed);
    replica_world_run(&world, 1000);
    assert_true(flushed);
}

static void start_full(uint64_t seed, enum raft_format format) {
    replica_world_open(&world, seed, 3);
    world.format = format;
    for (uint32_t i = 1; i <= 3; i++)
        replica_world_start(&world, i);
    replica_world_propose_many(&world, 400);
    assert_true(replica_world_settle(&world, 5000));
    for (uint32_t i = 1; i <= 3; i++)
        flush(i);
}

static void read_at(struct io_file *file, uint64_t offset, uint8_t *bytes, size_t size) {
    size_t read;
    assert_status(io_file_read_at(file, bytes, size, offset, &read), STATUS_OK);
    assert_int_equal(read, size);
}

#define CLUSTERS_MAX 64u

/* The data blocks with entries in one table. */
struct blocks {
    char path[64];
    uint64_t offsets[CLUSTERS_MAX];
    size_t count;
    int64_t last; /* offset among the entries in it */
    struct io *io;
    bool newest;  /* the table with the last entries; else the one with most blocks of them */
    uint8_t kind; /* of keys; 0: entries */
};

static void find_blocks(void *ctx, const char *name, bool is_dir) {
    static uint8_t bytes[64 * KIB];
    struct blocks *best = ctx, found = {.last = -1};
    uint64_t number, size;
    struct io_file *file;
    struct table_footer footer;
    struct table_cluster cluster;
    struct block_cursor index;
    if (is_dir || layout_parse(name, &number) != LAYOUT_TABLE) return;
    snprintf(found.path, sizeof found.path, "data/%s", name);
    assert_status(io_file_open(best->io, found.path, IO_OPEN_READ, &file), STATUS_OK);
    assert_status(io_file_size(file, &size), STATUS_OK);
    read_at(file, size - TABLE_FOOTER_SIZE, bytes, TABLE_FOOTER_SIZE);
    assert_status(table_footer_decode(slice_make(bytes, TABLE_FOOTER_SIZE), &footer), STATUS_OK);
    assert_true(footer.index.size <= sizeof bytes);
    read_at(file, footer.index.offset, bytes, footer.index.size);
    io_file_close(file);
    assert_status(block_cursor_init(&index, slice_make(bytes, footer.index.size)), STATUS_OK);
    for (enum status status = block_cursor_first(&index); status == STATUS_OK;
         status = block_cursor_next(&index)) {
        struct slice key = block_cursor_key(&index);
        bool wanted = best->kind == 0 ? key_log_parse(key, &found.last)
                                      : key.size > KEY_GROUP_SIZE && key.data[KEY_GROUP_SIZE] == best->kind;
        if (!wanted) continue;
        assert_true(table_cluster_decode(index.entry.value, &cluster) && found.count < CLUSTERS_MAX);
        found.offsets[found.count++] = cluster.block.offset;
    }
    if (best->newest ? found.last <= best->last : found.count <= best->count) return;
    found.io = best->io;
    found.newest = best->newest;
    found.kind = best->kind;
    *best = found;
}

/* One bit in a data block that ends with a key of that kind. */
static void rot_key(uint32_t number, enum key_kind kind) {
    struct blocks blocks = {.io = node_of(number)->io, .kind = (uint8_t)kind, .last = -1};
    assert_status(io_list_dir(blocks.io, "data", find_blocks, &blocks), STATUS_OK);
    assert_true(blocks.count > 0);
    assert_true(io_sim_flip_bit(world.sim, number - 1, blocks.path, blocks.offsets[0] + 5, 2));
}

/* One bit in a data block with entries, at so many permille of these blocks. */
static void rot(uint32_t number, uint64_t permille, bool newest) {
    struct blocks blocks = {.io = node_of(number)->io, .newest = newest, .last = -1};
    assert_status(io_list_dir(blocks.io, "data", find_blocks, &blocks), STATUS_OK);
    assert_true(blocks.count > 0);
    uint64_t offset = blocks.offsets[blocks.count * permille / 1000] + 20;
    assert_true(io_sim_flip_bit(world.sim, number - 1, blocks.path, offset, 2));
}

static uint64_t scrub(uint32_t number) {
    bool done = false;
    struct store_stats before, after;
    store_stats(node_of(number)->store, &before);
    store_scrub(node_of(number)->store, set_flag, &done);
    for (int i = 0; i < 1000 && !done; i++)
        replica_world_run(&world, 10);
    assert_true(done);
    store_stats(node_of(number)->store, &after);
    return after.scrub.damaged - before.scrub.damaged;
}

static bool is_damaged(uint32_t number) {
    const struct raft_log *log = &raft_replica_raft(node_of(number)->replica)->log;
    return log->damaged_from < log->damaged_to;
}

static void next_entry(struct raft_reader *reader) {
    (void)reader;
}

/* A hash of all entries that the node's store gives. */
static uint64_t log_of(uint32_t number) {
    const struct raft *raft = raft_replica_raft(node_of(number)->replica);
    struct raft_reader reader;
    raft_reader_init(&reader, node_of(number)->store, REPLICA_GROUP, world.format, next_entry);
    uint64_t hash = 1, position = raft->log.start;
    while (position < raft->log.end) {
        reader.from = position;
        reader.end = raft->log.end;
        reader.bytes_max = 10000;
        enum status status;
        while ((status = raft_store_read(&reader)) == STATUS_PENDING)
            assert_true(io_sim_step(world.sim));
        if (status != STATUS_OK)
            printf("node %u pos %lu of %lu..%lu damaged %lu..%lu\n", number, position, raft->log.start,
                   raft->log.end, raft->log.damaged_from, raft->log.damaged_to);
        assert_status(status, STATUS_OK);
        for (uint32_t i = 0; i < reader.count; i++) {
            const struct raft_entry *entry = &reader.entries[i];
            assert_true(entry->base == position);
            position = entry->end;
            hash = (hash ^ entry->term ^ entry->end) * 0x9e3779b97f4a7c15ull;
            for (size_t k = 0; k < entry->payload.bytes.size; k++)
                hash = (hash ^ entry->payload.bytes.data[k]) * 0x100000001b3ull;
        }
        raft_reader_release(&reader);
    }
    raft_reader_release(&reader);
    return hash;
}

/* Everything is as it should be everywhere, and what was damaged has left the store. */
static void expect_mended(uint32_t number) {
    assert_true(replica_world_settle(&world, 5000));
    assert_false(is_damaged(number));
    for (uint32_t i = 1; i <= 3; i++) {
        assert_status(raft_replica_health(node_of(i)->replica), STATUS_OK);
        assert_true(log_of(i) == log_of(1));
    }
    flush(number);
    replica_world_run(&world, 1000);
    assert_int_equal(scrub(number), 0);
    replica_world_propose_many(&world, 20);
    assert_true(replica_world_settle(&world, 5000));
    assert_true(log_of(number) == log_of(number % 3 + 1));
    replica_world_crash(&world, number, IO_SIM_CRASH_POWER_BARE);
    replica_world_start(&world, number);
    assert_true(replica_world_settle(&world, 5000));
    assert_true(log_of(number) == log_of(number % 3 + 1));
}

static void the_scrub_finds_it(void **state) {
    (void)state;
    for (uint64_t permille = 100; permille < 1000; permille += 300) {
        for (int leads = 0; leads < 2; leads++) {
            start_full(permille, permille % 200 == 0 ? RAFT_FORMAT_PLAIN : RAFT_FORMAT_BATCHES);
            uint32_t leader = replica_world_leader(&world, 5000);
            uint32_t number = leads ? leader : leader % 3 + 1;
            rot(number, permille, false);
            assert_true(scrub(number) > 0);
            replica_world_run(&world, 3000);
            for (uint32_t i = 1; i <= 3; i++)
                assert_true((node_of(i)->repairs > 0) == (i == number));
            expect_mended(number);
            replica_world_close(&world);
        }
    }
}

static void write_done(struct store_write *write) {
    assert_status(write->status, STATUS_OK);
}

/* As if nothing had been applied here yet: all of it is read back after the next start. */
static void forget_applied(uint32_t number) {
    struct store_write write;
    store_write_init(&write, write_done);
    struct key applied = key_raft(REPLICA_GROUP, 'a', 0),
               state = key_state(REPLICA_GROUP, SLICE_LITERAL("h"));
    store_delete(&write, key_slice(&applied));
    store_delete(&write, key_slice(&state));
    store_write_submit(node_of(number)->store, &write);
    replica_world_run(&world, 100);
    store_write_release(&write);
}

static void applying_meets_it(void **state) {
    (void)state;
    for (uint64_t permille = 50; permille < 1000; permille += 300) {
        start_full(permille, RAFT_FORMAT_BATCHES);
        uint32_t number = replica_world_leader(&world, 5000) % 3 + 1;
        forget_applied(number);
        rot(number, permille, false);
        replica_world_crash(&world, number, IO_SIM_CRASH_POWER_BARE);
        replica_world_propose_many(&world, 10);
        replica_world_start(&world, number);
        replica_world_run(&world, 3000);
        assert_true(node_of(number)->log.entries >= 400);
        expect_mended(number);
        replica_world_close(&world);
    }
}

/* What cannot be opened is no damage; and the member comes back by itself. */
static void applying_meets_no_descriptors(void **state) {
    (void)state;
    start_full(9, RAFT_FORMAT_BATCHES);
    uint32_t number = replica_world_leader(&world, 5000) % 3 + 1;
    forget_applied(number);
    replica_world_crash(&world, number, IO_SIM_CRASH_POWER_BARE);
    replica_world_start(&world, number);
    io_sim_disk_faults(world.sim, number - 1)->no_descriptors = true;
    replica_world_run(&world, 3000);
    assert_false(is_damaged(number));
    assert_true(node_of(number)->log.entries < 400);
    io_sim_disk_faults(world.sim, number - 1)->no_descriptors = false;
    replica_world_run(&world, 3000);
    assert_true(node_of(number)->log.entries >= 400);
    assert_true(replica_world_settle(&world, 5000));
    replica_world_close(&world);
}

/* The last entries themselves: the log does not become shorter by that, or a vote would protect less. */
static void a_damaged_end_keeps_its_extent(void **state) {
    (void)state;
    uint32_t damaged = 0;
    for (uint64_t permille = 0; permille < 1000; permille += 333) {
        start_full(permille, RAFT_FORMAT_BATCHES);
        uint32_t number = replica_world_leader(&world, 5000) % 3 + 1;
        uint64_t end = raft_replica_raft(node_of(number)->replica)->log.end;
        rot(number, permille, true);
        replica_world_crash(&world, number, IO_SIM_CRASH_POWER_BARE);
        replica_world_start(&world, number);
        assert_true(raft_replica_raft(node_of(number)->replica)->log.end == end);
        if (is_damaged(number)) {
            damaged++;
            assert_true(raft_replica_raft(node_of(number)->replica)->log.damaged_to == end);
            replica_world_run(&world, 3000);
            expect_mended(number);
        }
        replica_world_close(&world);
    }
    assert_true(damaged > 0);
}

/* A leader that cannot read what a new member lacks. */
static void a_leader_meets_it(void **state) {
    (void)state;
    start_full(9, RAFT_FORMAT_BATCHES);
    uint32_t leader = replica_world_leader(&world, 5000), other = leader % 3 + 1;
    replica_world_crash(&world, leader, IO_SIM_CRASH_POWER_BARE); /* nothing is in its memory */
    replica_world_start(&world, leader);
    assert_true(replica_world_settle(&world, 5000));
    assert_status(
        raft_replica_transfer(node_of(replica_world_leader(&world, 5000))->replica, raft_id(leader, 1)),
        STATUS_OK);
    replica_world_run(&world, 2000);
    assert_int_equal(replica_world_leader(&world, 5000), leader);
    rot(leader, 500, false);
    replica_world_crash(&world, other, IO_SIM_CRASH_POWER_BARE);
    io_sim_wipe_disk(world.sim, other - 1);
    node_of(other)->incarnation = 2;
    replica_world_start(&world, other);
    for (uint32_t role = RAFT_LEARNER; role >= RAFT_VOTER; role -= RAFT_LEARNER - RAFT_VOTER) {
        struct raft_member members[3];
        for (uint32_t i = 0; i < 3; i++)
            members[i] = (struct raft_member){raft_id(i + 1, world.nodes[i].incarnation),
                                              (uint8_t)(i + 1 == other ? role : RAFT_VOTER)};
        uint32_t now = replica_world_leader(&world, 5000);
        assert_int_not_equal(now, 0);
        assert_status(raft_replica_change(node_of(now)->replica, members, 3), STATUS_OK);
        replica_world_run(&world, 4000);
        if (role == RAFT_VOTER) break;
    }
    expect_mended(leader);
    replica_world_close(&world);
}

/* What consensus keeps beside the log (terms, votes, configurations) is in memory: it is written anew. */
static void records_are_written_anew(void **state) {
    (void)state;
    start_full(11, RAFT_FORMAT_BATCHES);
    uint32_t leader = replica_world_leader(&world, 5000);
    for (uint32_t number = 1; number <= 3; number++) {
        raft_replica_compact(node_of(number)->replica, 100);
        flush(number);
        rot_key(number, KEY_RAFT);
        assert_true(scrub(number) > 0);
        replica_world_run(&world, 1000);
        replica_world_propose_many(&world, 10); /* the machine's key may have been in that block, too */
        assert_true(replica_world_settle(&world, 5000));
        flush(number);
        replica_world_crash(&world, number, IO_SIM_CRASH_POWER_BARE);
        replica_world_start(&world, number);
        assert_int_equal(raft_replica_raft(node_of(number)->replica)->log.start, 100);
        replica_world_run(&world, 1000);
    }
    assert_true(replica_world_settle(&world, 5000));
    replica_world_propose_many(&world, 20);
    assert_true(replica_world_settle(&world, 5000));
    assert_true(log_of(leader) == log_of(leader % 3 + 1));
    replica_world_close(&world);
}

/* Two of three have damage, in different places: what one lacks another has. */
static void two_help_each_other(void **state) {
    (void)state;
    start_full(10, RAFT_FORMAT_BATCHES);
    uint32_t leader = replica_world_leader(&world, 5000), other = leader % 3 + 1;
    rot(leader, 100, false);
    rot(other, 900, false);
    assert_true(scrub(leader) > 0);
    assert_true(scrub(other) > 0);
    replica_world_run(&world, 5000);
    assert_false(is_damaged(other));
    expect_mended(leader);
    replica_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scrub_finds_it),
        cmocka_unit_test(applying_meets_it),
        cmocka_unit_test(applying_meets_no_descriptors),
        cmocka_unit_test(a_damaged_end_keeps_its_extent),
        cmocka_unit_test(a_leader_meets_it),
        cmocka_unit_test(records_are_written_anew),
        cmocka_unit_test(two_help_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
