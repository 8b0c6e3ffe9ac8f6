// SPDX-License-Identifier: Apache-2.0
/* Any messages, timers and requests in any order at one member: messages are outside data, so whatever they
 * say, the member keeps its invariants (raft_check) and never stops itself. What they can do is mislead it: a
 * peer that lies is not what Raft is for. */
#include "base/assert.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "base/units.h"
#include "raft/raft.h"

#define EVENTS_MAX  400
#define ENTRIES_MAX 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct member {
    struct raft_options options;
    struct raft raft;
    struct raft_effects effects;
    struct reader input;
    uint64_t now_ns, write, snapshot_id, snapshot_offset;
    bool storing;
};

static uint64_t small(struct member *m, uint64_t below) {
    return reader_u8(&m->input) % below;
}

static void step(struct member *m, struct raft_event event) {
    event.now_ns = m->now_ns;
    enum status status = raft_step(&m->raft, &event, &m->effects);
    MAYBE(status != STATUS_OK);
    raft_check(&m->raft);
    if (m->effects.write != 0) m->write = m->effects.write;
    if (m->effects.snapshot_write != NULL) {
        m->storing = true;
        m->snapshot_id = m->effects.snapshot_write->piece.snapshot.id;
        m->snapshot_offset = m->effects.snapshot_write->piece.offset +
                             m->effects.snapshot_write->data.bytes.size;
    }
    for (uint32_t i = 0; i < m->effects.message_count; i++)
        ASSERT_LE(m->effects.messages[i].after_write, m->raft.write_issued);
    if (m->raft.applied_end < m->raft.commit_end && event.kind != RAFT_EVENT_APPLIED)
        step(m, (struct raft_event){.kind = RAFT_EVENT_APPLIED, .position = m->raft.commit_end});
}

static const uint8_t configs[][20] = {
    {1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1},
    {1, 2, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 3},
    {1, 2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 4},
    {1, 9, 7},
};
static const size_t config_sizes[] = {11, 20, 20, 3};

static void draw_entries(struct member *m, struct raft_message *message, struct raft_entry *entries) {
    uint64_t base = message->kind == RAFT_APPEND ? message->append.prev : message->repair.from;
    message->entries = entries;
    message->entry_count = (uint32_t)small(m, ENTRIES_MAX + 1);
    for (uint32_t i = 0; i < message->entry_count; i++) {
        uint64_t shape = reader_u8(&m->input);
        if (shape >= 250) base += shape - 252;
        entries[i] = (struct raft_entry){.base = base, .end = base + shape % 3 + (shape % 16 != 0)};
        entries[i].term = message->term - MIN(message->term, small(m, 4));
        entries[i].kind = shape % 8 == 7 ? RAFT_ENTRY_CONFIG : RAFT_ENTRY_DATA;
        uint64_t which = small(m, 4);
        entries[i].payload.bytes = slice_make(configs[which], config_sizes[which]);
        base = entries[i].end;
    }
}

static void receive(struct member *m) {
    struct raft_entry entries[ENTRIES_MAX];
    struct raft_config *config = NULL;
    struct raft_message message = {.kind = (enum raft_message_kind)(small(m, RAFT_MESSAGE_KIND_END + 1)),
                                   .group = 1,
                                   .to = m->options.id};
    message.from = raft_id((uint32_t)small(m, 5), 0);
    message.flags = reader_u8(&m->input);
    message.term = m->raft.term + small(m, 4);
    message.term -= MIN(message.term, 1);
    uint64_t *words = &message.vote.log_end;
    for (int i = 0; i < 7; i++) {
        uint64_t value = reader_u8(&m->input);
        /* Most numbers are near what there is. */
        words[i] = value < 128   ? value % 32
                   : value < 250 ? m->raft.log.end + value % 8 - MIN(m->raft.log.end, 4)
                                 : UINT64_MAX - value;
    }
    if (message.kind == RAFT_ACK) message.ack.sent_ns = m->now_ns;
    if (message.kind == RAFT_APPEND || message.kind == RAFT_HEARTBEAT)
        message.append.prev_term = m->raft.term - MIN(m->raft.term, small(m, 3));
    if (message.kind == RAFT_APPEND || message.kind == RAFT_REPAIR_REPLY) draw_entries(m, &message, entries);
    if (message.kind == RAFT_SNAPSHOT_PIECE) {
        message.piece.snapshot.id = small(m, 3);
        message.piece.offset = small(m, 3) * 4;
        message.piece.snapshot.end = MIN(message.piece.snapshot.end, (uint64_t)INT64_MAX);
        uint64_t which = small(m, 3);
        enum status status = raft_config_decode(slice_make(configs[which], config_sizes[which]), &config);
        ASSERT(status == STATUS_OK);
        message.piece.snapshot.config = config;
        message.data.bytes = slice_make("data", 4);
    }
    step(m, (struct raft_event){.kind = RAFT_EVENT_RECEIVE, .message = &message});
    mem_free(config);
}

static void request(struct member *m) {
    struct raft_proposal proposal = {{SLICE_LITERAL("value"), NULL}, 1 + (uint32_t)small(m, 3)};
    struct raft_member members[3];
    uint32_t count = (uint32_t)small(m, 4);
    for (uint32_t i = 0; i < count; i++)
        members[i] = (struct raft_member){raft_id((uint32_t)small(m, 5), 0), (uint8_t)small(m, 8)};
    switch (small(m, 7)) {
    case 0:
    case 1:
        step(m, (struct raft_event){.kind = RAFT_EVENT_PROPOSE, .propose = {&proposal, 1}});
        break;
    case 2:
        step(m, (struct raft_event){.kind = RAFT_EVENT_READ_INDEX, .read_context = 1});
        break;
    case 3:
        step(m,
             (struct raft_event){.kind = RAFT_EVENT_TRANSFER, .member = raft_id((uint32_t)small(m, 5), 0)});
        break;
    case 4:
        step(m, (struct raft_event){.kind = RAFT_EVENT_CHANGE_MEMBERS, .change = {members, count}});
        break;
    case 5:
        step(m, (struct raft_event){.kind = small(m, 2) == 0 ? RAFT_EVENT_PEER_DOWN : RAFT_EVENT_PEER_UP,
                                    .node = (uint32_t)small(m, 5)});
        break;
    default:
        step(m, (struct raft_event){.kind = RAFT_EVENT_SET_PRIORITY,
                                    .priority = (uint8_t)small(m, RAFT_PRIORITY_MAX + 1)});
        break;
    }
}

static void event(struct member *m) {
    uint64_t what = reader_u8(&m->input);
    m->now_ns += what % 16 * NS_PER_MS;
    if (what < 160) {
        receive(m);
    } else if (what < 180) {
        m->now_ns = MAX(m->now_ns, raft_deadline(&m->raft) == RAFT_NEVER ? 0 : raft_deadline(&m->raft));
        step(m, (struct raft_event){.kind = RAFT_EVENT_TIMER});
    } else if (what < 215) {
        step(m, (struct raft_event){.kind = RAFT_EVENT_PERSISTED, .write = m->write});
    } else if (what < 240) {
        request(m);
    } else if (what < 248 && m->storing) {
        m->storing = false;
        step(m,
             (struct raft_event){.kind = RAFT_EVENT_SNAPSHOT_WRITTEN,
                                 .snapshot_written = {.id = m->snapshot_id, .offset = m->snapshot_offset}});
    } else if (what < 252) {
        uint64_t to = MIN(m->raft.applied_end, m->raft.log.flushed_end);
        step(m, (struct raft_event){.kind = RAFT_EVENT_COMPACTED, .position = to});
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct member m = {.input = reader_make(slice_make(data, size)), .now_ns = NS_PER_S};
    m.options = raft_options_default(raft_id(1, 0));
    struct raft_config *config = mem_calloc(1, raft_config_size(3));
    config->member_count = 1 + (uint32_t)small(&m, 3);
    for (uint32_t i = 0; i < config->member_count; i++)
        config->members[i] = (struct raft_member){raft_id(i + 1, 0), RAFT_VOTER};
    struct raft_start start = {.group = 1, .seed = 1, .priority = RAFT_PRIORITY_MAX, .config = config};
    raft_init(&m.raft, &m.options, &start, m.now_ns);
    mem_free(config);
    raft_effects_init(&m.effects);
    for (int i = 0; i < EVENTS_MAX && reader_remaining(&m.input) > 0; i++)
        event(&m);
    raft_release(&m.raft);
    raft_effects_release(&m.effects);
    return 0;
}
