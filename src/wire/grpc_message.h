// SPDX-License-Identifier: Apache-2.0
/* grpc_message.h: messages inside an HTTP/2 body (gRPC over HTTP/2, "Length-Prefixed-Message"): one byte that
 * says whether the message is compressed, its length (4 bytes, big-endian), the message.
 *
 * Reading copies only messages that come in several pieces: one that lies whole in what was received is lent.
 *
 * Owner   a message with an owner buffer holds one reference, which the caller drops; without one it is lent
 * until the caller's input goes away. Errors  TOO_LARGE (told by the header, before the message is received),
 * MALFORMED (flag other than 0 and 1, compressed without an encoding), CORRUPT_MESSAGE (does not inflate);
 * all end the stream. Bounds  `size_max`, of a message as sent and as inflated. Loop: one thread; pure. */
#ifndef SENTINEL_WIRE_GRPC_MESSAGE_H
#define SENTINEL_WIRE_GRPC_MESSAGE_H

#include "base/chain.h"
#include "base/status.h"

#define GRPC_MESSAGE_HEADER_SIZE 5

enum grpc_encoding { GRPC_IDENTITY, GRPC_GZIP };

struct grpc_message {
    struct slice bytes;
    struct buffer *owner;
};

struct grpc_message_reader {
    size_t size_max;
    enum grpc_encoding encoding;
    uint8_t header[GRPC_MESSAGE_HEADER_SIZE];
    uint32_t header_filled;
    struct buffer *partial; /* of the message that is incomplete */
    size_t partial_filled, partial_size;
};

void grpc_message_reader_init(struct grpc_message_reader *reader, enum grpc_encoding encoding,
                              size_t size_max);
void grpc_message_reader_release(struct grpc_message_reader *reader);
/* Takes bytes off the front of `in`. OK: `message` is complete, and there may be more in `in`. PENDING: all
 * was taken and more is needed. */
enum status grpc_message_next(struct grpc_message_reader *reader, struct slice *in,
                              struct grpc_message *message) MUST_USE;
/* Bytes kept of an incomplete message. */
size_t grpc_message_reader_held(const struct grpc_message_reader *reader);
/* Whether the body may end here: not inside a message. */
bool grpc_message_reader_at_boundary(const struct grpc_message_reader *reader);

/* Appends the header for a message of `size` bytes that the caller appends next. */
void grpc_message_begin(struct chain *out, size_t size);
/* What stands before a message of that size that goes out as it is. */
void grpc_message_header(size_t size, uint8_t header[GRPC_MESSAGE_HEADER_SIZE]);
/* A whole message; with GRPC_GZIP compressed when that makes it smaller. */
void grpc_message_append(struct chain *out, struct slice message, enum grpc_encoding encoding);

#endif
