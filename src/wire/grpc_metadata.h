// SPDX-License-Identifier: Apache-2.0
/* grpc_metadata.h: the texts in gRPC's HTTP/2 headers (grpc/doc/PROTOCOL-HTTP2.md): timeouts, percent-encoded
 * messages, base64 of binary metadata, status details.
 *
 * Errors  MALFORMED. Loop: any thread; pure. */
#ifndef SENTINEL_WIRE_GRPC_METADATA_H
#define SENTINEL_WIRE_GRPC_METADATA_H

#include "base/arena.h"
#include "base/cursor.h"
#include "base/status.h"

/* "100m" -> 100 ms in ns; at most 8 digits and one unit of H M S m u n. Saturates at UINT64_MAX. */
enum status grpc_timeout_parse(struct slice text, uint64_t *timeout_ns) MUST_USE;
/* The shortest text that is not longer than `timeout_ns`. */
void grpc_timeout_print(struct writer *out, uint64_t timeout_ns);

/* grpc-message: bytes outside ' '..'~', and '%', are written %XX. */
void grpc_percent_encode(struct writer *out, struct slice text);
/* Never fails: what is no escape stays as it is. */
void grpc_percent_decode(struct writer *out, struct slice text);

/* Values of headers that end in "-bin"; written without padding, read with and without. */
void grpc_base64_encode(struct writer *out, struct slice bytes);
enum status grpc_base64_decode(struct writer *out, struct slice text) MUST_USE;

/* What a failed call tells: google.rpc.Status with one ErrorInfo, and RetryInfo or BadRequest where they
 * help. */
struct grpc_error_pair {
    const char *name;
    struct slice value;
};
struct grpc_error {
    int code;            /* gRPC status code */
    struct slice reason; /* upper-case name of the cause; empty: no ErrorInfo */
    struct slice message;
    const struct grpc_error_pair *metadata; /* every variable of the message */
    size_t metadata_count;
    int64_t retry_after_ms; /* -1: no RetryInfo */
    struct slice field;     /* the field of the request that is wrong; empty: no BadRequest */
};
/* From a status: its gRPC code, its name as the reason, `message` or else its text. What gRPC calls
 * UNAVAILABLE, and BUSY, say to retry. */
struct grpc_error grpc_error_from_status(enum status status, const char *message);
/* Encodes a google.rpc.Status. */
void grpc_error_write(struct writer *out, const struct grpc_error *error);
/* What can be known of an encoded google.rpc.Status; slices are borrowed from `bytes`. */
enum status grpc_error_read(struct slice bytes, struct grpc_error *error) MUST_USE;

#endif
