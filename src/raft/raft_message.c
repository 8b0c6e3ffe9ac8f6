// SPDX-License-Identifier: Apache-2.0
#include "raft/raft_message.h"

#include <inttypes.h>

#include "raft/raft_internal.h"

/* ---- the fields of each kind -------------------------------------------------------------------------- */

#define FIELDS_MAX 7

/* The numbers of a message in the order in which they are sent; the same list serves both directions. */
static uint32_t list_fields(struct raft_message *m, uint64_t *fields[FIELDS_MAX]) {
    uint32_t n = 0;
    switch (m->kind) {
    case RAFT_PREVOTE:
    case RAFT_VOTE:
        fields[n++] = &m->vote.log_end;
        fields[n++] = &m->vote.last_term;
        break;
    case RAFT_PREVOTE_REPLY:
        fields[n++] = &m->prevote_reply.term;
        break;
    case RAFT_APPEND:
        fields[n++] = &m->append.prev;
        fields[n++] = &m->append.prev_term;
        __attribute__((fallthrough));
    case RAFT_HEARTBEAT:
        fields[n++] = &m->append.commit_end;
        fields[n++] = &m->append.round;
        fields[n++] = &m->append.sent_ns;
        break;
    case RAFT_ACK:
        fields[n++] = &m->ack.match;
        fields[n++] = &m->ack.accepted;
        fields[n++] = &m->ack.round;
        fields[n++] = &m->ack.sent_ns;
        if ((m->flags & RAFT_FLAG_REJECTED) == 0) break;
        fields[n++] = &m->ack.prev;
        fields[n++] = &m->ack.hint;
        fields[n++] = &m->ack.hint_term;
        break;
    case RAFT_SNAPSHOT_PIECE:
        fields[n++] = &m->piece.snapshot.id;
        fields[n++] = &m->piece.snapshot.end;
        fields[n++] = &m->piece.snapshot.term;
        fields[n++] = &m->piece.offset;
        break;
    case RAFT_SNAPSHOT_ACK:
        fields[n++] = &m->piece_ack.id;
        fields[n++] = &m->piece_ack.offset;
        break;
    case RAFT_READ_REQUEST:
    case RAFT_READ_REPLY:
        fields[n++] = &m->read.context;
        fields[n++] = &m->read.life;
        fields[n++] = &m->read.position;
        break;
    case RAFT_REPAIR_REQUEST:
    case RAFT_REPAIR_REPLY:
        fields[n++] = &m->repair.from;
        fields[n++] = &m->repair.to;
        break;
    case RAFT_VOTE_REPLY:
    case RAFT_TIMEOUT_NOW:
    case RAFT_MESSAGE_KIND_END:
        break;
    }
    return n;
}

static bool has_entries(enum raft_message_kind kind) {
    return kind == RAFT_APPEND || kind == RAFT_REPAIR_REPLY;
}

/* ---- bytes -------------------------------------------------------------------------------------------- */

void raft_message_encode(const struct raft_message *m, struct writer *scratch, struct chain *out) {
    struct raft_message copy = *m;
    uint64_t *fields[FIELDS_MAX];
    uint32_t field_count = list_fields(&copy, fields);
    writer_clear(scratch);
    writer_u8(scratch, RAFT_MESSAGE_VERSION);
    writer_u8(scratch, (uint8_t)m->kind);
    writer_u8(scratch, m->flags);
    writer_be64(scratch, m->group);
    writer_be64(scratch, m->from);
    writer_be64(scratch, m->to);
    writer_varint64(scratch, m->term);
    for (uint32_t i = 0; i < field_count; i++)
        writer_varint64(scratch, *fields[i]);
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
    uint64_t *fields[FIELDS_MAX];
    uint32_t field_count = list_fields(m, fields);
    for (uint32_t i = 0; i < field_count; i++) {
        *fields[i] = reader_varint64(&reader);
        /* The first field is where the entries begin. */
        if (i == 0 && has_entries(m->kind) && *fields[i] > RAFT_POSITION_MAX) reader_fail(&reader);
    }
    if (reader_ok(&reader) && has_entries(m->kind)) decode_entries(decoder, &reader, bytes.owner);
    if (reader_ok(&reader) && m->kind == RAFT_SNAPSHOT_PIECE) decode_piece(decoder, &reader, bytes.owner);
    return reader_ok(&reader) && reader_remaining(&reader) == 0 ? STATUS_OK : STATUS_MALFORMED;
}

/* ---- text --------------------------------------------------------------------------------------------- */

void raft_id_print(struct writer *to, uint64_t id) {
    writer_printf(to, "%" PRIu32, raft_id_node(id));
    if ((uint32_t)id != 0) writer_printf(to, ".%" PRIu32, (uint32_t)id);
}

static void print_members(struct writer *to, const struct raft_config *config, uint8_t flag,
                          const char *mark) {
    const char *space = "";
    for (uint32_t i = 0; i < config->member_count; i++) {
        if ((config->members[i].flags & flag) == 0) continue;
        writer_printf(to, "%s%s", space, mark);
        raft_id_print(to, config->members[i].id);
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
    switch (m->kind) {
    case RAFT_PREVOTE:
    case RAFT_VOTE:
        writer_printf(to, " log=%" PRIu64 "/%" PRIu64, m->vote.log_end, m->vote.last_term);
        break;
    case RAFT_PREVOTE_REPLY:
        writer_printf(to, " for=%" PRIu64, m->prevote_reply.term);
        break;
    case RAFT_APPEND:
        writer_printf(to, " prev=%" PRIu64 "/%" PRIu64, m->append.prev, m->append.prev_term);
        __attribute__((fallthrough));
    case RAFT_HEARTBEAT:
        writer_printf(to, " commit=%" PRIu64, m->append.commit_end);
        if (m->append.round != 0) writer_printf(to, " round=%" PRIu64, m->append.round);
        break;
    case RAFT_ACK:
        writer_printf(to, " match=%" PRIu64 " accepted=%" PRIu64, m->ack.match, m->ack.accepted);
        if (m->ack.round != 0) writer_printf(to, " round=%" PRIu64, m->ack.round);
        if ((m->flags & RAFT_FLAG_REJECTED) != 0)
            writer_printf(to, " prev=%" PRIu64 " hint=%" PRIu64 "/%" PRIu64, m->ack.prev, m->ack.hint,
                          m->ack.hint_term);
        break;
    case RAFT_SNAPSHOT_PIECE:
        writer_printf(to, " end=%" PRIu64 "/%" PRIu64 " offset=%" PRIu64 " size=%zu", m->piece.snapshot.end,
                      m->piece.snapshot.term, m->piece.offset, m->data.bytes.size);
        break;
    case RAFT_SNAPSHOT_ACK:
        writer_printf(to, " offset=%" PRIu64, m->piece_ack.offset);
        break;
    case RAFT_READ_REQUEST:
    case RAFT_READ_REPLY:
        writer_printf(to, " context=%" PRIu64 " position=%" PRIu64, m->read.context, m->read.position);
        break;
    case RAFT_REPAIR_REQUEST:
    case RAFT_REPAIR_REPLY:
        writer_printf(to, " from=%" PRIu64 " to=%" PRIu64, m->repair.from, m->repair.to);
        break;
    case RAFT_VOTE_REPLY:
    case RAFT_TIMEOUT_NOW:
    case RAFT_MESSAGE_KIND_END:
        break;
    }
}

void raft_message_print(struct writer *to, const struct raft_message *m) {
    writer_printf(to, "%s ", raft_message_kind_name(m->kind));
    raft_id_print(to, m->from);
    writer_text(to, "->");
    raft_id_print(to, m->to);
    writer_printf(to, " term=%" PRIu64, m->term);
    print_fields(to, m);
    print_flags(to, m->flags);
    print_entries(to, m);
}
