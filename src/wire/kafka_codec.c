// SPDX-License-Identifier: Apache-2.0
/* kafka_codec.c: one walk over a table for each of: defaults, decoding, encoding. */
#include "wire/kafka_codec.h"

#include "base/assert.h"
#include "base/mem.h"

/* Bytes in the C struct, and the fewest on the wire (classic, compact). */
static const struct {
    uint8_t size, wire_min, wire_min_compact;
} TYPES[KAFKA_TYPE_COUNT] = {
    [KAFKA_BOOL] = {sizeof(bool), 1, 1},
    [KAFKA_I8] = {sizeof(int8_t), 1, 1},
    [KAFKA_I16] = {sizeof(int16_t), 2, 2},
    [KAFKA_I32] = {sizeof(int32_t), 4, 4},
    [KAFKA_I64] = {sizeof(int64_t), 8, 8},
    [KAFKA_UUID] = {sizeof(struct uuid), 16, 16},
    [KAFKA_STRING] = {sizeof(struct slice), 2, 1},
    [KAFKA_BYTES] = {sizeof(struct slice), 4, 1},
    [KAFKA_RECORDS] = {sizeof(struct kafka_records), 4, 1},
};

static inline bool field_in(const struct kafka_field *field, int16_t version) {
    return version >= field->since && version <= field->until;
}

static inline bool field_nullable(const struct kafka_field *field, int16_t version) {
    return field->nullable && version >= field->nullable_since;
}

static inline size_t element_size(const struct kafka_field *field) {
    return field->type == KAFKA_STRUCT ? field->of->size : TYPES[field->type].size;
}

static inline int32_t *field_count_of(const struct kafka_field *field, void *message) {
    return (int32_t *)(void *)((uint8_t *)message + field->count_offset);
}

static int64_t number_get(enum kafka_type type, const void *at) {
    switch (type) {
    case KAFKA_BOOL:
        return *(const bool *)at;
    case KAFKA_I8:
        return *(const int8_t *)at;
    case KAFKA_I16:
        return *(const int16_t *)at;
    case KAFKA_I32:
        return *(const int32_t *)at;
    case KAFKA_I64:
        return *(const int64_t *)at;
    default:
        UNREACHABLE();
    }
}

static void number_set(enum kafka_type type, void *at, int64_t value) {
    switch (type) {
    case KAFKA_BOOL:
        *(bool *)at = value != 0;
        break;
    case KAFKA_I8:
        *(int8_t *)at = (int8_t)value;
        break;
    case KAFKA_I16:
        *(int16_t *)at = (int16_t)value;
        break;
    case KAFKA_I32:
        *(int32_t *)at = (int32_t)value;
        break;
    case KAFKA_I64:
        *(int64_t *)at = value;
        break;
    default:
        UNREACHABLE();
    }
}

/* ---- defaults ---------------------------------------------------------------------------------------- */

/* `message` is zeroed; only numbers differ from that. */
static void set_defaults(const struct kafka_schema *schema, uint8_t *message) {
    for (const struct kafka_field *f = schema->fields; f < schema->fields + schema->field_count; f++) {
        if (f->shape != KAFKA_ONE) continue;
        if (f->type == KAFKA_STRUCT)
            set_defaults(f->of, message + f->offset);
        else if (f->default_value != 0)
            number_set(f->type, message + f->offset, f->default_value);
    }
}

void kafka_message_init(const struct kafka_schema *schema, void *message) {
    memset(message, 0, schema->size);
    set_defaults(schema, message);
}

static bool field_is_default(const struct kafka_field *field, const uint8_t *message) {
    const uint8_t *at = message + field->offset;
    if (field->shape == KAFKA_MANY)
        return *(const int32_t *)(const void *)(message + field->count_offset) == 0;
    if (field->shape == KAFKA_MAYBE) return *(void *const *)(const void *)at == NULL;
    switch (field->type) {
    case KAFKA_UUID:
        return uuid_is_zero(*(const struct uuid *)(const void *)at);
    case KAFKA_STRING:
    case KAFKA_BYTES: {
        const struct slice *bytes = (const void *)at;
        return field->nullable ? bytes->data == NULL : bytes->size == 0;
    }
    case KAFKA_STRUCT:
        for (uint16_t i = 0; i < field->of->field_count; i++)
            if (!field_is_default(&field->of->fields[i], at)) return false;
        return true;
    default:
        return number_get(field->type, at) == field->default_value;
    }
}

/* ---- decoding ---------------------------------------------------------------------------------------- */

struct decoder {
    struct reader reader;
    struct arena *arena;
    int16_t version;
    bool flexible;
};

static void decode_struct(struct decoder *d, const struct kafka_schema *schema, uint8_t *message);

/* The fewest bytes that a struct of this version takes: what an array's count is held against. */
static size_t wire_size_min(const struct decoder *d, const struct kafka_schema *schema) {
    size_t size = d->flexible ? 1 : 0; /* the number of tags */
    for (const struct kafka_field *f = schema->fields; f < schema->fields + schema->field_count; f++) {
        if (f->tagged || !field_in(f, d->version)) continue;
        if (f->shape == KAFKA_MANY)
            size += d->flexible ? 1 : 4;
        else if (f->shape == KAFKA_MAYBE)
            size += 1;
        else if (f->type == KAFKA_STRUCT)
            size += wire_size_min(d, f->of);
        else
            size += d->flexible ? TYPES[f->type].wire_min_compact : TYPES[f->type].wire_min;
    }
    return size;
}

/* A length or count; -1 is null and fails where that is not allowed. Never more than what is left. */
static int32_t decode_length(struct decoder *d, const struct kafka_field *field, bool is_string) {
    int64_t length;
    if (d->flexible)
        length = (int64_t)reader_varint32(&d->reader) - 1;
    else
        length = is_string ? (int16_t)reader_be16(&d->reader) : (int32_t)reader_be32(&d->reader);
    if (length >= 0 && (uint64_t)length <= reader_remaining(&d->reader)) return (int32_t)length;
    if (length != -1 || !field_nullable(field, d->version)) reader_fail(&d->reader);
    return -1;
}

static struct slice decode_bytes(struct decoder *d, const struct kafka_field *field) {
    int32_t length = decode_length(d, field, field->type == KAFKA_STRING);
    return length < 0 ? SLICE_EMPTY : reader_bytes(&d->reader, (uint64_t)length);
}

static void decode_value(struct decoder *d, const struct kafka_field *field, uint8_t *at) {
    switch (field->type) {
    case KAFKA_BOOL:
        *(bool *)at = reader_u8(&d->reader) != 0;
        break;
    case KAFKA_I8:
        *(int8_t *)at = (int8_t)reader_u8(&d->reader);
        break;
    case KAFKA_I16:
        *(int16_t *)(void *)at = (int16_t)reader_be16(&d->reader);
        break;
    case KAFKA_I32:
        *(int32_t *)(void *)at = (int32_t)reader_be32(&d->reader);
        break;
    case KAFKA_I64:
        *(int64_t *)(void *)at = (int64_t)reader_be64(&d->reader);
        break;
    case KAFKA_UUID: {
        struct slice bytes = reader_bytes(&d->reader, sizeof(struct uuid));
        if (bytes.size != 0) memcpy(at, bytes.data, bytes.size);
        break;
    }
    case KAFKA_STRING:
    case KAFKA_BYTES:
        *(struct slice *)(void *)at = decode_bytes(d, field);
        break;
    case KAFKA_RECORDS:
        ((struct kafka_records *)(void *)at)->bytes = decode_bytes(d, field);
        break;
    case KAFKA_STRUCT:
        decode_struct(d, field->of, at);
        break;
    default:
        UNREACHABLE();
    }
}

/* Room for elements that the input has bytes for; NULL when that would be too much. */
static uint8_t *decode_alloc(struct decoder *d, size_t count, size_t size) {
    size_t held = d->arena->bytes;
    if (held > KAFKA_DECODE_BYTES_MAX || count > (KAFKA_DECODE_BYTES_MAX - held) / size) {
        reader_fail(&d->reader);
        return NULL;
    }
    return arena_calloc(d->arena, count, size);
}

static void decode_array(struct decoder *d, const struct kafka_field *field, uint8_t *message) {
    int32_t count = decode_length(d, field, false);
    *field_count_of(field, message) = count;
    if (count <= 0) return;
    size_t wire_min = field->type == KAFKA_STRUCT ? wire_size_min(d, field->of)
                      : d->flexible               ? TYPES[field->type].wire_min_compact
                                                  : TYPES[field->type].wire_min;
    size_t size = element_size(field);
    uint8_t *elements = NULL;
    if ((size_t)count <= reader_remaining(&d->reader) / MAX(wire_min, 1))
        elements = decode_alloc(d, (size_t)count, size);
    if (elements == NULL) {
        *field_count_of(field, message) = 0;
        reader_fail(&d->reader);
        return;
    }
    *(void **)(void *)(message + field->offset) = elements;
    for (int32_t i = 0; i < count && reader_ok(&d->reader); i++)
        decode_value(d, field, elements + (size_t)i * size);
}

static void decode_maybe(struct decoder *d, const struct kafka_field *field, uint8_t *message) {
    int8_t mark = (int8_t)reader_u8(&d->reader); /* -1: null, 1: present */
    if (mark < 0 || !reader_ok(&d->reader)) return;
    uint8_t *of = decode_alloc(d, 1, field->of->size);
    if (of == NULL) return;
    *(void **)(void *)(message + field->offset) = of;
    decode_struct(d, field->of, of);
}

static void decode_field(struct decoder *d, const struct kafka_field *field, uint8_t *message) {
    if (field->shape == KAFKA_MANY)
        decode_array(d, field, message);
    else if (field->shape == KAFKA_MAYBE)
        decode_maybe(d, field, message);
    else
        decode_value(d, field, message + field->offset);
}

static void decode_tag(struct decoder *d, const struct kafka_schema *schema, uint8_t *message) {
    uint32_t tag = reader_varint32(&d->reader);
    struct slice bytes = reader_bytes(&d->reader, reader_varint32(&d->reader));
    for (const struct kafka_field *f = schema->fields; f < schema->fields + schema->field_count; f++) {
        if (!f->tagged || (uint32_t)f->tag != tag || !field_in(f, d->version)) continue;
        struct reader outer = d->reader;
        d->reader = reader_make(bytes);
        decode_field(d, f, message);
        if (!reader_ok(&d->reader) || reader_remaining(&d->reader) != 0) reader_fail(&outer);
        d->reader = outer;
        return;
    }
}

static void decode_struct(struct decoder *d, const struct kafka_schema *schema, uint8_t *message) {
    set_defaults(schema, message);
    for (const struct kafka_field *f = schema->fields; f < schema->fields + schema->field_count; f++)
        if (!f->tagged && field_in(f, d->version)) decode_field(d, f, message);
    if (!d->flexible) return;
    for (uint32_t left = reader_varint32(&d->reader); left > 0 && reader_ok(&d->reader); left--)
        decode_tag(d, schema, message);
}

static void skip_tags(struct reader *reader) {
    for (uint32_t left = reader_varint32(reader); left > 0 && reader_ok(reader); left--) {
        (void)reader_varint32(reader);
        reader_skip(reader, reader_varint32(reader));
    }
}

enum status kafka_decode(const struct kafka_api *api, const struct kafka_schema *schema, int16_t version,
                         struct reader *body, struct arena *arena, void **message) {
    ASSERT(kafka_api_speaks(api, version));
    ASSERT(schema == api->request || schema == api->response);
    struct decoder d = {
        .reader = *body, .arena = arena, .version = version, .flexible = version >= api->flexible};
    *message = arena_calloc(arena, 1, schema->size);
    decode_struct(&d, schema, *message);
    *body = d.reader;
    return reader_ok(body) ? STATUS_OK : STATUS_MALFORMED;
}

enum status kafka_read_request_header(struct slice frame, struct kafka_request_header *header,
                                      struct reader *body) {
    *body = reader_make(frame);
    header->api_key = (int16_t)reader_be16(body);
    header->api_version = (int16_t)reader_be16(body);
    header->correlation_id = (int32_t)reader_be32(body);
    int16_t length = (int16_t)reader_be16(body);
    if (length < -1) reader_fail(body);
    header->client_id = length < 0 ? SLICE_EMPTY : reader_bytes(body, (uint64_t)length);
    const struct kafka_api *api = kafka_api_find(header->api_key);
    if (api != NULL && kafka_api_speaks(api, header->api_version) && header->api_version >= api->flexible)
        skip_tags(body);
    return reader_ok(body) ? STATUS_OK : STATUS_MALFORMED;
}

/* KIP-511: a client that asked for a version we do not know must be able to read the answer. */
static bool response_header_has_tags(const struct kafka_api *api, int16_t version) {
    return version >= api->flexible && api->key != KAFKA_API_VERSIONS;
}

enum status kafka_read_response_header(struct slice frame, const struct kafka_api *api, int16_t version,
                                       int32_t *correlation_id, struct reader *body) {
    *body = reader_make(frame);
    *correlation_id = (int32_t)reader_be32(body);
    if (response_header_has_tags(api, version)) skip_tags(body);
    return reader_ok(body) ? STATUS_OK : STATUS_MALFORMED;
}

/* ---- encoding ---------------------------------------------------------------------------------------- */

/* Shared bytes that belong at `at` of the copied ones. */
struct splice {
    size_t at;
    const struct kafka_records *records;
};
struct encoder {
    struct writer out, splices; /* splices: an array of struct splice */
    size_t shared_size;
    int16_t version;
    bool flexible;
};

static void encode_struct(struct encoder *e, const struct kafka_schema *schema, const uint8_t *message);

static void encode_length(struct encoder *e, bool is_string, int64_t length) {
    ASSERT_LE(length, (int64_t)INT32_MAX);
    if (e->flexible) {
        writer_varint64(&e->out, (uint64_t)(length + 1));
    } else if (is_string) {
        ASSERT_LE(length, (int64_t)INT16_MAX);
        writer_be16(&e->out, (uint16_t)length);
    } else {
        writer_be32(&e->out, (uint32_t)length);
    }
}

static void encode_bytes(struct encoder *e, const struct kafka_field *field, struct slice bytes) {
    bool null = bytes.data == NULL && field_nullable(field, e->version);
    encode_length(e, field->type == KAFKA_STRING, null ? -1 : (int64_t)bytes.size);
    writer_bytes(&e->out, bytes);
}

static void encode_records(struct encoder *e, const struct kafka_field *field,
                           const struct kafka_records *records) {
    if (records->piece_count == 0) {
        encode_bytes(e, field, records->bytes);
        return;
    }
    size_t size = 0;
    for (uint32_t i = 0; i < records->piece_count; i++)
        size += records->pieces[i].bytes.size;
    encode_length(e, false, (int64_t)size);
    e->shared_size += size;
    struct splice splice = {e->out.size, records};
    writer_bytes(&e->splices, slice_make(&splice, sizeof splice));
}

static void encode_value(struct encoder *e, const struct kafka_field *field, const uint8_t *at) {
    switch (field->type) {
    case KAFKA_BOOL:
        writer_u8(&e->out, *(const bool *)at);
        break;
    case KAFKA_I8:
        writer_u8(&e->out, *at);
        break;
    case KAFKA_I16:
        writer_be16(&e->out, *(const uint16_t *)(const void *)at);
        break;
    case KAFKA_I32:
        writer_be32(&e->out, *(const uint32_t *)(const void *)at);
        break;
    case KAFKA_I64:
        writer_be64(&e->out, *(const uint64_t *)(const void *)at);
        break;
    case KAFKA_UUID:
        writer_bytes(&e->out, slice_make(at, sizeof(struct uuid)));
        break;
    case KAFKA_STRING:
    case KAFKA_BYTES:
        encode_bytes(e, field, *(const struct slice *)(const void *)at);
        break;
    case KAFKA_RECORDS:
        encode_records(e, field, (const void *)at);
        break;
    case KAFKA_STRUCT:
        encode_struct(e, field->of, at);
        break;
    default:
        UNREACHABLE();
    }
}

static void encode_array(struct encoder *e, const struct kafka_field *field, const uint8_t *message) {
    int32_t count = *(const int32_t *)(const void *)(message + field->count_offset);
    if (count < 0 && !field_nullable(field, e->version)) count = 0;
    encode_length(e, false, count);
    const uint8_t *elements = *(const uint8_t *const *)(const void *)(message + field->offset);
    for (int32_t i = 0; i < count; i++)
        encode_value(e, field, elements + (size_t)i * element_size(field));
}

static void encode_field(struct encoder *e, const struct kafka_field *field, const uint8_t *message) {
    if (field->shape == KAFKA_MANY) {
        encode_array(e, field, message);
    } else if (field->shape == KAFKA_MAYBE) {
        const uint8_t *of = *(const uint8_t *const *)(const void *)(message + field->offset);
        writer_u8(&e->out, of == NULL ? UINT8_MAX : 1);
        if (of != NULL) encode_struct(e, field->of, of);
    } else {
        encode_value(e, field, message + field->offset);
    }
}

/* The field's size stands before it and is known after it. */
static void encode_tag(struct encoder *e, const struct kafka_field *field, const uint8_t *message) {
    writer_varint64(&e->out, (uint64_t)field->tag);
    size_t start = e->out.size, splices = e->splices.size;
    encode_field(e, field, message);
    ASSERT_EQ(e->splices.size, splices);
    size_t size = e->out.size - start, prefix = varint_size(size);
    writer_reserve(&e->out, prefix);
    memmove(e->out.data + start + prefix, e->out.data + start, size);
    e->out.size = start;
    writer_varint64(&e->out, size);
    ASSERT_EQ(e->out.size, start + prefix);
    e->out.size += size;
}

static inline bool tag_is_sent(const struct encoder *e, const struct kafka_field *f, const uint8_t *message) {
    return f->tagged && field_in(f, e->version) && !field_is_default(f, message);
}

static void encode_struct(struct encoder *e, const struct kafka_schema *schema, const uint8_t *message) {
    const struct kafka_field *end = schema->fields + schema->field_count;
    uint32_t tag_count = 0;
    for (const struct kafka_field *f = schema->fields; f < end; f++) {
        if (!f->tagged && field_in(f, e->version)) encode_field(e, f, message);
        tag_count += tag_is_sent(e, f, message);
    }
    if (!e->flexible) {
        ASSERT(tag_count == 0);
        return;
    }
    writer_varint64(&e->out, tag_count);
    for (const struct kafka_field *f = schema->fields; f < end; f++)
        if (tag_is_sent(e, f, message)) encode_tag(e, f, message);
}

/* Size, then everything in order, into the chain. */
static void encode_finish(struct encoder *e, struct chain *out) {
    size_t size = e->out.size - KAFKA_FRAME_PREFIX + e->shared_size;
    ASSERT_LE(size, (size_t)INT32_MAX);
    writer_patch_be32(&e->out, 0, (uint32_t)size);
    size_t at = 0;
    const struct splice *splices = (const void *)e->splices.data;
    for (size_t i = 0; i < e->splices.size / sizeof *splices; i++) {
        chain_append_copy(out, slice_make(e->out.data + at, splices[i].at - at));
        for (uint32_t p = 0; p < splices[i].records->piece_count; p++)
            chain_append_shared(out, splices[i].records->pieces[p]);
        at = splices[i].at;
    }
    chain_append_copy(out, slice_make(e->out.data + at, e->out.size - at));
    writer_release(&e->out);
    writer_release(&e->splices);
}

static struct encoder encode_begin(const struct kafka_api *api, int16_t version) {
    ASSERT(kafka_api_speaks(api, version));
    struct encoder e = {.version = version, .flexible = version >= api->flexible};
    writer_init(&e.out);
    writer_init(&e.splices);
    writer_be32(&e.out, 0);
    return e;
}

void kafka_encode_request(const struct kafka_api *api, int16_t version, int32_t correlation_id,
                          struct slice client_id, const void *request, struct chain *out) {
    struct encoder e = encode_begin(api, version);
    writer_be16(&e.out, (uint16_t)api->key);
    writer_be16(&e.out, (uint16_t)version);
    writer_be32(&e.out, (uint32_t)correlation_id);
    ASSERT_LE(client_id.size, (size_t)INT16_MAX);
    writer_be16(&e.out, client_id.data == NULL ? UINT16_MAX : (uint16_t)client_id.size);
    writer_bytes(&e.out, client_id);
    if (e.flexible) writer_u8(&e.out, 0);
    encode_struct(&e, api->request, request);
    encode_finish(&e, out);
}

void kafka_encode_response(const struct kafka_api *api, int16_t version, int32_t correlation_id,
                           const void *response, struct chain *out) {
    struct encoder e = encode_begin(api, version);
    writer_be32(&e.out, (uint32_t)correlation_id);
    if (response_header_has_tags(api, version)) writer_u8(&e.out, 0);
    encode_struct(&e, api->response, response);
    encode_finish(&e, out);
}
