// SPDX-License-Identifier: Apache-2.0
#include "wire/protobuf.h"

#include "base/assert.h"

bool protobuf_next(struct reader *reader, struct protobuf_field *field) {
    if (!reader_ok(reader) || reader_remaining(reader) == 0) return false;
    uint32_t tag = reader_varint32(reader);
    *field = (struct protobuf_field){.number = tag >> 3, .wire = (enum protobuf_wire)(tag & 7)};
    switch (tag & 7) {
    case PROTOBUF_VARINT:
        field->value = reader_varint64(reader);
        break;
    case PROTOBUF_FIXED64:
        field->value = reader_le64(reader);
        break;
    case PROTOBUF_BYTES:
        field->bytes = reader_bytes(reader, reader_varint32(reader));
        if (field->bytes.data == NULL) field->bytes.data = reader->start;
        break;
    case PROTOBUF_FIXED32:
        field->value = reader_le32(reader);
        break;
    default:
        reader_fail(reader);
    }
    if (field->number == 0) reader_fail(reader);
    return reader_ok(reader);
}

void protobuf_write_tag(struct writer *out, uint32_t number, enum protobuf_wire wire) {
    writer_varint64(out, (uint64_t)number << 3 | wire);
}

void protobuf_write_value(struct writer *out, uint32_t number, uint64_t value) {
    if (value == 0) return;
    protobuf_write_tag(out, number, PROTOBUF_VARINT);
    writer_varint64(out, value);
}

void protobuf_write_head(struct writer *out, uint32_t number, size_t size) {
    protobuf_write_tag(out, number, PROTOBUF_BYTES);
    writer_varint64(out, size);
}

void protobuf_write_bytes(struct writer *out, uint32_t number, struct slice bytes) {
    protobuf_write_head(out, number, bytes.size);
    writer_bytes(out, bytes);
}

void protobuf_write_text(struct writer *out, uint32_t number, struct slice text) {
    if (text.size != 0) protobuf_write_bytes(out, number, text);
}

static void *arena_take(void *arena, size_t size) {
    return arena_alloc(arena, size);
}
static void arena_keep(void *arena, void *ptr) {
    (void)arena;
    (void)ptr;
}

ProtobufCAllocator protobuf_arena_allocator(struct arena *arena) {
    return (ProtobufCAllocator){.alloc = arena_take, .free = arena_keep, .allocator_data = arena};
}

void protobuf_pack(struct writer *out, const ProtobufCMessage *message) {
    size_t size = protobuf_c_message_get_packed_size(message);
    size_t packed = protobuf_c_message_pack(message, writer_extend(out, size));
    ASSERT_EQ(packed, size);
}
