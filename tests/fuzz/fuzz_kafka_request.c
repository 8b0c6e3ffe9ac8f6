// SPDX-License-Identifier: Apache-2.0
/* Every request and response the codec reads. The first byte chooses request (even) or response (odd, of the
 * key and version in the next two) and, by its second bit, whether the bytes follow or are made up: a message
 * of any key, drawn from a seed, with some bytes changed. What decodes is encoded again and must decode to
 * the same bytes. */
#include "base/assert.h"
#include "lib/kafka_random.h"

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

static void run(const struct kafka_api *api, bool request, int16_t version, struct reader *body) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    void *message;
    if (kafka_decode(api, request ? api->request : api->response, version, body, &arena, &message) ==
        STATUS_OK)
        check(api, request, version, message);
    ASSERT(arena.bytes <= KAFKA_DECODE_BYTES_MAX + 64 * KIB);
    arena_release(&arena);
}

static void run_request(struct slice frame) {
    struct kafka_request_header header;
    struct reader body;
    if (kafka_read_request_header(frame, &header, &body) != STATUS_OK) return;
    const struct kafka_api *api = kafka_api_find(header.api_key);
    if (api != NULL && kafka_api_speaks(api, header.api_version)) run(api, true, header.api_version, &body);
}

static void run_response(const struct kafka_api *api, int16_t version, struct slice frame) {
    struct reader body;
    int32_t correlation_id;
    if (api == NULL || !kafka_api_speaks(api, version)) return;
    if (kafka_read_response_header(frame, api, version, &correlation_id, &body) == STATUS_OK)
        run(api, false, version, &body);
}

/* index u8, version u8, seed u32, then (place u16, byte u8)... */
static void run_made_up(struct reader *input, bool request) {
    const struct kafka_api *api = kafka_api_at(reader_u8(input) % KAFKA_API_COUNT);
    int16_t version = (int16_t)(api->first + reader_u8(input) % (api->last - api->first + 1));
    struct prng prng;
    prng_init(&prng, reader_le32(input));
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    const void *message = kafka_random_message(&prng, request ? api->request : api->response, version,
                                               &arena);
    struct buffer *bytes = encode(api, request, version, message);
    while (reader_remaining(input) >= 3) {
        size_t place = reader_le16(input) % bytes->size;
        bytes->data[place] = reader_u8(input);
    }
    struct slice frame = slice_make(bytes->data + KAFKA_FRAME_PREFIX, bytes->size - KAFKA_FRAME_PREFIX);
    if (request)
        run_request(frame);
    else
        run_response(api, version, frame);
    buffer_unref(bytes);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return 0;
    bool request = (data[0] & 1) == 0, made_up = (data[0] & 2) != 0;
    struct slice rest = slice_make(data + 1, size - 1);
    if (made_up) {
        struct reader input = reader_make(rest);
        if (rest.size >= 6) run_made_up(&input, request);
    } else if (request) {
        run_request(rest);
    } else {
        run_response(kafka_api_find(rest.data[0]), rest.data[1], slice_make(rest.data + 2, rest.size - 2));
    }
    return 0;
}
