// SPDX-License-Identifier: Apache-2.0
/* Every request and response the codec reads. The first byte chooses request (even) or response (odd, of the
 * key and version in the next three); what decodes is encoded again and must decode to the same bytes. */
#include "base/assert.h"
#include "wire/kafka_codec.h"

static struct buffer *encode(const struct kafka_api *api, bool request, int16_t version,
                             const void *message) {
    struct chain chain;
    chain_init(&chain);
    if (request)
        kafka_encode_request(api, version, 1, SLICE_EMPTY, message, &chain);
    else
        kafka_encode_response(api, version, 1, message, &chain);
    struct buffer *frame = chain_flatten(&chain);
    chain_release(&chain);
    return frame;
}

/* Encoding is canonical: decode(encode(m)) encodes to the same bytes. */
static void check(const struct kafka_api *api, bool request, int16_t version, const void *message) {
    struct buffer *first = encode(api, request, version, message);
    struct slice frame = slice_make(first->data + KAFKA_FRAME_PREFIX, first->size - KAFKA_FRAME_PREFIX);
    struct reader body;
    struct kafka_request_header header;
    int32_t correlation_id;
    enum status status = request ? kafka_read_request_header(frame, &header, &body)
                                 : kafka_read_response_header(frame, api, version, &correlation_id, &body);
    ASSERT(status == STATUS_OK);
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    void *again;
    status = kafka_decode(api, request ? api->request : api->response, version, &body, &arena, &again);
    ASSERT(status == STATUS_OK && reader_remaining(&body) == 0);
    struct buffer *second = encode(api, request, version, again);
    ASSERT(slice_equal(slice_make(first->data, first->size), slice_make(second->data, second->size)));
    buffer_unref(first);
    buffer_unref(second);
    arena_release(&arena);
}

static void run_request(struct slice frame) {
    struct kafka_request_header header;
    struct reader body;
    if (kafka_read_request_header(frame, &header, &body) != STATUS_OK) return;
    const struct kafka_api *api = kafka_api_find(header.api_key);
    if (api == NULL || !kafka_api_speaks(api, header.api_version)) return;
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    void *message;
    if (kafka_decode(api, api->request, header.api_version, &body, &arena, &message) == STATUS_OK)
        check(api, true, header.api_version, message);
    ASSERT(arena.bytes <= KAFKA_DECODE_BYTES_MAX + 64 * KIB);
    arena_release(&arena);
}

static void run_response(struct slice input) {
    if (input.size < 2) return;
    const struct kafka_api *api = kafka_api_find(input.data[0]);
    int16_t version = input.data[1];
    if (api == NULL || !kafka_api_speaks(api, version)) return;
    struct reader body;
    int32_t correlation_id;
    struct slice frame = slice_make(input.data + 2, input.size - 2);
    if (kafka_read_response_header(frame, api, version, &correlation_id, &body) != STATUS_OK) return;
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    void *message;
    if (kafka_decode(api, api->response, version, &body, &arena, &message) == STATUS_OK)
        check(api, false, version, message);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    struct slice rest = slice_make(data + 1, size - 1);
    if (data[0] % 2 == 0)
        run_request(rest);
    else
        run_response(rest);
    return 0;
}
