// SPDX-License-Identifier: Apache-2.0
#include "wire/grpc_message.h"

#include "base/assert.h"
#include "base/cursor.h"
#include "base/units.h"
#include "wire/compression.h"

void grpc_message_reader_init(struct grpc_message_reader *reader, enum grpc_encoding encoding,
                              size_t size_max) {
    *reader = (struct grpc_message_reader){.size_max = size_max, .encoding = encoding};
}

void grpc_message_reader_release(struct grpc_message_reader *reader) {
    buffer_unref(reader->partial);
    reader->partial = NULL;
}

static enum status take_header(struct grpc_message_reader *reader, struct slice *in) {
    size_t part = MIN((size_t)(GRPC_MESSAGE_HEADER_SIZE - reader->header_filled), in->size);
    memcpy(reader->header + reader->header_filled, in->data, part);
    reader->header_filled += (uint32_t)part;
    *in = slice_make(in->data + part, in->size - part);
    if (reader->header_filled < GRPC_MESSAGE_HEADER_SIZE) return STATUS_PENDING;
    if (reader->header[0] > 1) return STATUS_MALFORMED;
    if (reader->header[0] == 1 && reader->encoding == GRPC_IDENTITY) return STATUS_MALFORMED;
    reader->partial_size = load_be32(reader->header + 1);
    return reader->partial_size > reader->size_max ? STATUS_TOO_LARGE : STATUS_OK;
}

/* Inflates into a buffer of its own, and drops what it replaces. */
static enum status inflate(const struct grpc_message_reader *reader, struct grpc_message *message) {
    struct writer out;
    writer_init(&out);
    enum status status = codec_inflate(CODEC_GZIP, message->bytes, reader->size_max, &out);
    struct buffer *inflated = status == STATUS_OK ? buffer_copy(writer_slice(&out)) : NULL;
    writer_release(&out);
    buffer_unref(message->owner);
    message->owner = inflated;
    message->bytes = status == STATUS_OK ? slice_make(inflated->data, inflated->size) : SLICE_EMPTY;
    return status;
}

static enum status complete(struct grpc_message_reader *reader, struct grpc_message *message) {
    bool compressed = reader->header[0] == 1;
    reader->header_filled = 0;
    reader->partial_filled = reader->partial_size = 0;
    return compressed ? inflate(reader, message) : STATUS_OK;
}

enum status grpc_message_next(struct grpc_message_reader *reader, struct slice *in,
                              struct grpc_message *message) {
    *message = (struct grpc_message){0};
    if (reader->header_filled < GRPC_MESSAGE_HEADER_SIZE) {
        if (in->size == 0) return STATUS_PENDING;
        enum status status = take_header(reader, in);
        if (status != STATUS_OK) return status;
    }
    if (reader->partial == NULL && in->size >= reader->partial_size) { /* whole, and where it is */
        message->bytes = slice_make(in->data, reader->partial_size);
        *in = slice_make(in->data + reader->partial_size, in->size - reader->partial_size);
        return complete(reader, message);
    }
    if (in->size == 0) return STATUS_PENDING;
    if (reader->partial == NULL) reader->partial = buffer_new(reader->partial_size);
    size_t part = MIN(in->size, reader->partial_size - reader->partial_filled);
    memcpy(reader->partial->data + reader->partial_filled, in->data, part);
    reader->partial_filled += part;
    *in = slice_make(in->data + part, in->size - part);
    if (reader->partial_filled < reader->partial_size) return STATUS_PENDING;
    message->owner = reader->partial;
    message->bytes = slice_make(reader->partial->data, reader->partial_size);
    reader->partial = NULL;
    return complete(reader, message);
}

size_t grpc_message_reader_held(const struct grpc_message_reader *reader) {
    return reader->header_filled + reader->partial_filled;
}

bool grpc_message_reader_at_boundary(const struct grpc_message_reader *reader) {
    return reader->header_filled == 0;
}

void grpc_message_header(size_t size, uint8_t header[GRPC_MESSAGE_HEADER_SIZE]) {
    ASSERT_LE(size, (size_t)UINT32_MAX);
    header[0] = 0;
    store_be32(header + 1, (uint32_t)size);
}

static void append_header(struct chain *out, bool compressed, size_t size) {
    uint8_t header[GRPC_MESSAGE_HEADER_SIZE];
    grpc_message_header(size, header);
    header[0] = compressed;
    chain_append_copy(out, slice_make(header, sizeof header));
}

void grpc_message_begin(struct chain *out, size_t size) {
    append_header(out, false, size);
}

void grpc_message_append(struct chain *out, struct slice message, enum grpc_encoding encoding) {
    struct writer deflated;
    writer_init(&deflated);
    bool compressed = encoding == GRPC_GZIP && codec_deflate(CODEC_GZIP, message, &deflated) == STATUS_OK &&
                      deflated.size < message.size;
    struct slice bytes = compressed ? writer_slice(&deflated) : message;
    append_header(out, compressed, bytes.size);
    chain_append_copy(out, bytes);
    writer_release(&deflated);
}
