// SPDX-License-Identifier: Apache-2.0
/* kafka_codec.h: Kafka messages to and from bytes, by interpreting the tables of kafka_schema.h.
 *
 *   frame:  size i32 | request header | body         request header:  key i16, version i16, correlation i32,
 *           size i32 | response header | body                         client id, tags from the first flexible
 *                                                    response header: correlation i32, tags from the first
 *                                                                     flexible version (ApiVersions: never)
 *
 * Source  Kafka protocol guide; KIP-482 (compact types, tagged fields), KIP-511 (ApiVersions).
 * Owner   a decoded message lives in the arena; its strings, bytes and records point into the input. An
 *         encoded one is appended to a chain: fields are copied, record batches shared by reference.
 * Errors  MALFORMED: cut off, a length that is negative or larger than what is left, null where null is not
 *         allowed, or more than KAFKA_DECODE_BYTES_MAX of structs. Unknown tags are skipped.
 * Bounds  an array is allocated only when the bytes left could hold its elements; depth is that of the
 *         tables. Encoding asserts what we must hold ourselves (a classic string is at most 32767 bytes).
 * Loop    any thread; pure. */
#ifndef SENTINEL_WIRE_KAFKA_CODEC_H
#define SENTINEL_WIRE_KAFKA_CODEC_H

#include "base/arena.h"
#include "base/chain.h"
#include "base/cursor.h"
#include "base/status.h"
#include "base/units.h"
#include "wire/kafka_schema.h"

#define KAFKA_DECODE_BYTES_MAX (8 * MIB)
#define KAFKA_FRAME_PREFIX     4 /* the size field */

struct kafka_request_header {
    int16_t api_key, api_version;
    int32_t correlation_id;
    struct slice client_id;
};
static inline bool kafka_api_speaks(const struct kafka_api *api, int16_t version) {
    return version >= api->first && version <= api->last;
}

/* `frame` is what follows the size. Leaves `body` behind the header; when the key or version is not one of
 * ours the header's tags, if it has any, are still in front of the body. */
enum status kafka_read_request_header(struct slice frame, struct kafka_request_header *header,
                                      struct reader *body) MUST_USE;
enum status kafka_read_response_header(struct slice frame, const struct kafka_api *api, int16_t version,
                                       int32_t *correlation_id, struct reader *body) MUST_USE;

/* `schema` is api->request or api->response; the message is allocated in the arena. */
enum status kafka_decode(const struct kafka_api *api, const struct kafka_schema *schema, int16_t version,
                         struct reader *body, struct arena *arena, void **message) MUST_USE;

/* A whole frame, size included. */
void kafka_encode_request(const struct kafka_api *api, int16_t version, int32_t correlation_id,
                          struct slice client_id, const void *request, struct chain *out);
void kafka_encode_response(const struct kafka_api *api, int16_t version, int32_t correlation_id,
                           const void *response, struct chain *out);

/* Every field at its default: what a version without the field would mean. */
void kafka_message_init(const struct kafka_schema *schema, void *message);

#endif
