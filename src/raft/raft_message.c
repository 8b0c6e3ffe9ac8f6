// SPDX-License-Identifier: Apache-2.0
#include "raft/raft_message.h"

#include <inttypes.h>

#include "raft/raft_internal.h"

/* ---- the fields of each kind -------------------------------------------------------------------------- */

#define FIELDS_MAX 7
#define ACK_FIELDS 4 /* a refusal has all */

/* The numbers of a message in the order in which they are sent, and how traces show them. */
struct kind {
    const char *name;
    struct field {
        const char *text; /* before the number; NULL: not shown; with '?' in front: only if it is not 0 */
        size_t offset;
    } fields[FIELDS_MAX];
};
#define AT(member) offsetof(struct raft_message, member)
static const struct kind kinds[RAFT_MESSAGE_KIND_END] = {
    [RAFT_PREVOTE] = {"PreVote", {{" log=", AT(vote.log_end)}, {"/", AT(vote.last_term)}}},
    [RAFT_PREVOTE_REPLY] = {"PreVoteReply", {{" for=", AT(prevote_reply.term)}}},
    [RAFT_VOTE] = {"Vote", {{" log=", AT(vote.log_end)}, {"/", AT(vote.last_term)}}},
    [RAFT_VOTE_REPLY] = {"VoteReply", {{0}}},
    [RAFT_APPEND] = {"Append",
                     {{" prev=", AT(append.prev)},
                      {"/", AT(append.prev_term)},
                      {" commit=", AT(append.commit_end)},
                      {"? round=", AT(append.round)},
                      {NULL, AT(append.sent_ns)}}},
    [RAFT_HEARTBEAT] = {"Heartbeat",
                        {{" commit=", AT(append.commit_end)},
                         {"? round=", AT(append.round)},
                         {NULL, AT(append.sent_ns)}}},
    [RAFT_ACK] = {"Ack",
                  {{" match=", AT(ack.match)},
                   {" accepted=", AT(ack.accepted)},
                   {"? round=", AT(ack.round)},
                   {NULL, AT(ack.sent_ns)},
                   {" prev=", AT(ack.prev)},
                   {" hint=", AT(ack.hint)},
                   {"/", AT(ack.hint_term)}}},
    [RAFT_SNAPSHOT_PIECE] = {"SnapshotPiece",
                             {{NULL, AT(piece.snapshot.id)},
                              {" end=", AT(piece.snapshot.end)},
                              {"/", AT(piece.snapshot.term)},
                              {" offset=", AT(piece.offset)}}},
    [RAFT_SNAPSHOT_ACK] = {"SnapshotAck", {{NULL, AT(piece_ack.id)}, {" offset=", AT(piece_ack.offset)}}},
    [RAFT_TIMEOUT_NOW] = {"TimeoutNow", {{0}}},
    [RAFT_READ_REQUEST] = {"ReadRequest", {{" context=", AT(read.context)}, {NULL, AT(read.life)}}},
    [RAFT_READ_REPLY] = {"ReadReply",
                         {{" context=", AT(read.context)},
                          {NULL, AT(read.life)},
                          {" position=", AT(read.position)}}},
    [RAFT_REPAIR_REQUEST] = {"RepairRequest", {{" from=", AT(repair.from)}, {" to=", AT(repair.to)}}},
    [RAFT_REPAIR_REPLY] = {"RepairReply", {{" from=", AT(repair.from)}, {" to=", AT(repair.to)}}},
};

const char *raft_message_kind_name(enum raft_message_kind kind) {
    const char *name = (unsigned)kind < RAFT_MESSAGE_KIND_END ? kinds[kind].name : NULL;
    return name == NULL ? "Unknown" : name;
}

static uint32_t field_count(const struct raft_message *m) {
    if (m->kind == RAFT_ACK && (m->flags & RAFT_FLAG_REJECTED) == 0) return ACK_FIELDS;
    uint32_t count = 0;
    while (count < FIELDS_MAX && kinds[m->kind].fields[count].offset != 0)
        count++;
    return count;
}

static uint64_t get_field(const struct raft_message *m, uint32_t index) {
    uint64_t value;
    memcpy(&value, (const uint8_t *)m + kinds[m->kind].fields[index].offset, sizeof value);
    return value;
}

static void set_field(struct raft_message *m, uint32_t index, uint64_t value) {
    memcpy((uint8_t *)m + kinds[m->kind].fields[index].offset, &value, sizeof value);
}

static bool has_entries(enum raft_message_kind kind) {
    return kind == RAFT_APPEND || kind == RAFT_REPAIR_REPLY;
}

/* ---- bytes -------------------------------------------------------------------------------------------- */

void raft_message_encode(const struct raft_message *m, struct writer *scratch, struct chain *out) {
    writer_clear(scratch);
    writer_u8(scratch, RAFT_MESSAGE_VERSION);
    writer_u8(scratch, (uint8_t)m->kind);
    writer_u8(scratch, m->flags);
    writer_be64(scratch, m->group);
    writer_be64(scratch, m->from);
    writer_be64(scratch, m->to);
    writer_varint64(scratch, m->term);
    for (uint32_t i = 0; i < field_count(m); i++)
        writer_varint64(scratch, get_field(m, i));
    if (m->kind == RAFT_SNAPSHOT_PIECE) {
        struct buffer *config = raft_config_encode(m->piece.snapshot.config);
        writer_varint64(scratch, config->size);
        writer_bytes(scratch, slice_make(config->data, config->size));
        buffer_unref(config);
    }
    if (has_entries(m->kind)) {
        writer_varint64(scratch, m->entry_count);
        for (uint32_t i = 0; i < m->entry_count; i++) {
            const struct raft_entry *entry = &m->entries[i];
            writer_varint64(scratch, entry->end - entry->base);
            writer_varint64(scratch, entry->term);
            writer_u8(scratch, (uint8_t)entry->kind);
            writer_varint64(scratch, entry->payload.bytes.size);
        }
    }
    chain_append_copy(out, writer_slice(scratch));
    for (uint32_t i = 0; i < m->entry_count; i++)
        chain_append_shared(out, m->entries[i].payload);
    if (m->kind == RAFT_SNAPSHOT_PIECE) chain_append_shared(out, m->data);
}

void raft_message_decoder_init(struct raft_message_decoder *decoder) {
    *decoder = (struct raft_message_decoder){0};
}

void raft_message_decoder_release(struct raft_message_decoder *decoder) {
    mem_free(decoder->entries);
    mem_free(decoder->config);
    raft_message_decoder_init(decoder);
}

/* The table of entries, then their payloads. */
static void decode_entries(struct raft_message_decoder *decoder, struct reader *reader,
                           struct buffer *owner) {
    struct raft_message *m = &decoder->message;
    uint64_t base = m->kind == RAFT_APPEND ? m->append.prev : m->repair.from;
    uint64_t term = m->kind == RAFT_APPEND ? m->append.prev_term : 0;
    uint64_t count = reader_varint64(reader);
    if (count > reader_remaining(reader) / 4) {
        reader_fail(reader);
        return;
    }
    if (count > decoder->entry_capacity) {
        mem_free(decoder->entries);
        decoder->entry_capacity = (uint32_t)count;
        decoder->entries = mem_alloc(count * sizeof *decoder->entries);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct raft_entry *entry = &decoder->entries[i];
        uint64_t covered = reader_varint64(reader);
        *entry = (struct raft_entry){.base = base, .term = reader_varint64(reader)};
        uint8_t kind = reader_u8(reader);
        entry->kind = (enum raft_entry_kind)kind;
        entry->payload.bytes.size = reader_varint64(reader);
        bool wrong = covered == 0 || covered > RAFT_POSITION_MAX - base || kind > RAFT_ENTRY_CONFIG ||
                     entry->term < term || entry->term > m->term;
        if (wrong || !reader_ok(reader)) {
            reader_fail(reader);
            return;
        }
        base = entry->end = base + covered;
        term = entry->term;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct slice payload = reader_bytes(reader, decoder->entries[i].payload.bytes.size);
        decoder->entries[i].payload = (struct shared_slice){payload, owner};
    }
    m->entries = decoder->entries;
    m->entry_count = (uint32_t)count;
}

static void decode_piece(struct raft_message_decoder *decoder, struct reader *reader, struct buffer *owner) {
    struct raft_message *m = &decoder->message;
    struct slice config = reader_bytes(reader, reader_varint64(reader));
    if (!reader_ok(reader) || raft_config_decode(config, &decoder->config) != STATUS_OK) {
        reader_fail(reader);
        return;
    }
    m->piece.snapshot.config = decoder->config;
    m->data = (struct shared_slice){reader_bytes(reader, reader_remaining(reader)), owner};
}

enum status raft_message_decode(struct raft_message_decoder *decoder, struct shared_slice bytes) {
    struct reader reader = reader_make(bytes.bytes);
    struct raft_message *m = &decoder->message;
    mem_free(decoder->config);
    decoder->config = NULL;
    *m = (struct raft_message){0};
    uint8_t version = reader_u8(&reader);
    uint8_t kind = reader_u8(&reader);
    if (reader_ok(&reader) && version != RAFT_MESSAGE_VERSION) return STATUS_VERSION;
    if (kind == 0 || kind >= RAFT_MESSAGE_KIND_END) return STATUS_MALFORMED;
    m->kind = (enum raft_message_kind)kind;
    m->flags = reader_u8(&reader);
    m->group = reader_be64(&reader);
    m->from = reader_be64(&reader);
    m->to = reader_be64(&reader);
    m->term = reader_varint64(&reader);
    if (m->term > RAFT_TERM_MAX) reader_fail(&reader);
    for (uint32_t i = 0; i < field_count(m); i++)
        set_field(m, i, reader_varint64(&reader));
    /* Where entries or a log begin. */
    if (has_entries(m->kind) && get_field(m, 0) > RAFT_POSITION_MAX) reader_fail(&reader);
    if (m->kind == RAFT_SNAPSHOT_PIECE && m->piece.snapshot.end > RAFT_POSITION_MAX) reader_fail(&reader);
    if (reader_ok(&reader) && has_entries(m->kind)) decode_entries(decoder, &reader, bytes.owner);
    if (reader_ok(&reader) && m->kind == RAFT_SNAPSHOT_PIECE) decode_piece(decoder, &reader, bytes.owner);
    return reader_ok(&reader) && reader_remaining(&reader) == 0 ? STATUS_OK : STATUS_MALFORMED;
}

/* ---- text --------------------------------------------------------------------------------------------- */

/* "5.1" for incarnation 1 of node 5; without it for incarnation 0. */
static void print_id(struct writer *to, uint64_t id) {
    writer_printf(to, "%" PRIu32, raft_id_node(id));
    if ((uint32_t)id != 0) writer_printf(to, ".%" PRIu32, (uint32_t)id);
}

static void print_members(struct writer *to, const struct raft_config *config, uint8_t flag,
                          const char *mark) {
    const char *space = "";
    for (uint32_t i = 0; i < config->member_count; i++) {
        if ((config->members[i].flags & flag) == 0) continue;
        writer_printf(to, "%s%s", space, mark);
        print_id(to, config->members[i].id);
        space = " ";
    }
}

void raft_config_print(struct writer *to, const struct raft_config *config) {
    if (config == NULL) {
        writer_text(to, "none");
        return;
    }
    bool joint = raft_config_joint(config), learners = false;
    writer_text(to, joint ? "(" : "");
    print_members(to, config, RAFT_VOTER, "");
    if (joint) {
        writer_text(to, ")&(");
        print_members(to, config, RAFT_VOTER_OLD, "");
        writer_text(to, ")");
    }
    for (uint32_t i = 0; i < config->member_count; i++)
        learners |= (config->members[i].flags & RAFT_LEARNER) != 0;
    if (!learners) return;
    writer_text(to, " ");
    print_members(to, config, RAFT_LEARNER, "~");
}

static void print_flags(struct writer *to, uint8_t flags) {
    static const char *const names[] = {"granted", "transfer", "rejected", "sleep", "silent", "last"};
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if ((flags >> i & 1) != 0) writer_printf(to, " %s", names[i]);
}

static void print_entries(struct writer *to, const struct raft_message *m) {
    if (m->entry_count == 0) return;
    writer_text(to, " entries=");
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *entry = &m->entries[i];
        static const char *const marks[] = {"", "n", "c"};
        writer_printf(to, "[%" PRIu64 ",%" PRIu64 ")/%" PRIu64 "%s", entry->base, entry->end, entry->term,
                      marks[entry->kind]);
    }
}

static void print_fields(struct writer *to, const struct raft_message *m) {
    for (uint32_t i = 0; i < field_count(m); i++) {
        const char *text = kinds[m->kind].fields[i].text;
        if (text == NULL || (text[0] == '?' && get_field(m, i) == 0)) continue;
        writer_printf(to, "%s%" PRIu64, text + (text[0] == '?'), get_field(m, i));
    }
    if (m->kind == RAFT_SNAPSHOT_PIECE) writer_printf(to, " size=%zu", m->data.bytes.size);
}

void raft_message_print(struct writer *to, const struct raft_message *m) {
    writer_printf(to, "%s ", raft_message_kind_name(m->kind));
    print_id(to, m->from);
    writer_text(to, "->");
    print_id(to, m->to);
    writer_printf(to, " term=%" PRIu64, m->term);
    print_fields(to, m);
    print_flags(to, m->flags);
    print_entries(to, m);
}
