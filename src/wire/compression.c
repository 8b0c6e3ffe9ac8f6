// SPDX-License-Identifier: Apache-2.0
/* compression.c: one pair of functions a codec.
 *
 * Each inflater writes into room reserved behind `out` and never counts more than its limit, so a caller sees
 * either all of the output or none of it. */
#include "wire/compression.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

#define INFLATE_STEP_MIN (16 * KIB)
/* The last step asks for one byte more than allowed: whoever fills it is too large. */
#define INFLATE_STEP_EXTRA 1

/* xerial's snappy-java: magic, version and lowest compatible version (be32 each), then blocks of be32 length
 * and raw snappy. */
static const uint8_t XERIAL_MAGIC[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
#define XERIAL_HEADER_SIZE 16
/* A copy element of three bytes gives at most 64: no honest input expands further. */
#define SNAPPY_EXPANSION_MAX 22

/* Output that grows in steps up to a limit. */
struct bounded_output {
    struct writer *out;
    size_t start, size_max;
};

/* Room for the next step; *size is never 0. */
static uint8_t *output_room(struct bounded_output *output, size_t *size) {
    size_t written = output->out->size - output->start;
    ASSERT_LE(written, output->size_max);
    *size = MIN(MAX(written, INFLATE_STEP_MIN), output->size_max - written + INFLATE_STEP_EXTRA);
    return writer_reserve(output->out, *size);
}

/* false: more than the limit. */
static bool output_add(struct bounded_output *output, size_t size) {
    if (size > output->size_max - (output->out->size - output->start)) return false;
    if (size > 0) writer_extend(output->out, size);
    return true;
}

static void *zlib_alloc(void *ctx, uInt count, uInt size) {
    (void)ctx;
    return mem_calloc(count, size);
}

static void zlib_free(void *ctx, void *ptr) {
    (void)ctx;
    mem_free(ptr);
}

static enum status gzip_run(z_stream *stream, struct bounded_output *output) {
    for (;;) {
        size_t room;
        stream->next_out = output_room(output, &room);
        stream->avail_out = (uInt)MIN(room, (size_t)UINT32_MAX);
        uInt before = stream->avail_out;
        int result = inflate(stream, Z_NO_FLUSH);
        if (result != Z_OK && result != Z_STREAM_END) return STATUS_CORRUPT_MESSAGE;
        size_t produced = before - stream->avail_out;
        if (!output_add(output, produced)) return STATUS_TOO_LARGE;
        if (result == Z_STREAM_END) {
            if (stream->avail_in == 0) return STATUS_OK;
            if (inflateReset(stream) != Z_OK) return STATUS_INTERNAL;
        } else if (stream->avail_in == 0 && stream->avail_out > 0) {
            return STATUS_CORRUPT_MESSAGE; /* cut off */
        }
    }
}

static enum status gzip_inflate(struct slice in, struct bounded_output *output) {
    if (in.size > UINT32_MAX) return STATUS_TOO_LARGE;
    z_stream stream = {.zalloc = zlib_alloc,
                       .zfree = zlib_free,
                       .next_in = (Bytef *)(uintptr_t)in.data,
                       .avail_in = (uInt)in.size};
    if (inflateInit2(&stream, MAX_WBITS + 16) != Z_OK) return STATUS_INTERNAL;
    enum status status = gzip_run(&stream, output);
    inflateEnd(&stream);
    return status;
}

static enum status gzip_deflate(struct slice in, struct writer *out) {
    if (in.size > UINT32_MAX) return STATUS_TOO_LARGE;
    z_stream stream = {.zalloc = zlib_alloc,
                       .zfree = zlib_free,
                       .next_in = (Bytef *)(uintptr_t)in.data,
                       .avail_in = (uInt)in.size};
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        return STATUS_INTERNAL;
    size_t bound = deflateBound(&stream, in.size);
    stream.next_out = writer_reserve(out, bound);
    stream.avail_out = (uInt)MIN(bound, (size_t)UINT32_MAX);
    int result = deflate(&stream, Z_FINISH);
    if (result == Z_STREAM_END) writer_extend(out, stream.total_out);
    deflateEnd(&stream);
    return result == Z_STREAM_END ? STATUS_OK : STATUS_INTERNAL;
}

static enum status snappy_inflate_raw(struct slice in, struct bounded_output *output) {
    size_t size;
    if (snappy_uncompressed_length((const char *)in.data, in.size, &size) != SNAPPY_OK)
        return STATUS_CORRUPT_MESSAGE;
    if (size / SNAPPY_EXPANSION_MAX > in.size) return STATUS_CORRUPT_MESSAGE;
    if (size > output->size_max - (output->out->size - output->start)) return STATUS_TOO_LARGE;
    uint8_t *room = writer_reserve(output->out, MAX(size, 1));
    size_t room_size = size;
    if (snappy_uncompress((const char *)in.data, in.size, (char *)room, &room_size) != SNAPPY_OK)
        return STATUS_CORRUPT_MESSAGE;
    ASSERT_EQ(room_size, size);
    return output_add(output, size) ? STATUS_OK : STATUS_TOO_LARGE;
}

static enum status snappy_inflate(struct slice in, struct bounded_output *output) {
    if (in.size < XERIAL_HEADER_SIZE || memcmp(in.data, XERIAL_MAGIC, sizeof XERIAL_MAGIC) != 0)
        return snappy_inflate_raw(in, output);
    struct reader reader = reader_make(in);
    reader_skip(&reader, XERIAL_HEADER_SIZE);
    while (reader_remaining(&reader) > 0) {
        struct slice block = reader_bytes(&reader, reader_be32(&reader));
        if (!reader_ok(&reader)) return STATUS_CORRUPT_MESSAGE;
        enum status status = snappy_inflate_raw(block, output);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

static enum status snappy_deflate(struct slice in, struct writer *out) {
    size_t size = snappy_max_compressed_length(in.size);
    uint8_t *room = writer_reserve(out, size);
    if (snappy_compress((const char *)in.data, in.size, (char *)room, &size) != SNAPPY_OK)
        return STATUS_INTERNAL;
    writer_extend(out, size);
    return STATUS_OK;
}

static enum status lz4_run(LZ4F_dctx *context, struct slice in, struct bounded_output *output) {
    size_t expected;
    do {
        size_t room, taken = in.size;
        uint8_t *data = output_room(output, &room);
        expected = LZ4F_decompress(context, data, &room, in.data, &taken, NULL);
        if (LZ4F_isError(expected)) return STATUS_CORRUPT_MESSAGE;
        if (!output_add(output, room)) return STATUS_TOO_LARGE;
        in = slice_make(in.data + taken, in.size - taken);
        if (taken == 0 && room == 0) return STATUS_CORRUPT_MESSAGE; /* cut off */
    } while (in.size > 0 || expected != 0);
    return STATUS_OK;
}

static enum status lz4_inflate(struct slice in, struct bounded_output *output) {
    LZ4F_dctx *context;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) return STATUS_INTERNAL;
    enum status status = lz4_run(context, in, output);
    LZ4F_freeDecompressionContext(context);
    return status;
}

static enum status lz4_deflate(struct slice in, struct writer *out) {
    /* The Java client reads independent blocks only. */
    LZ4F_preferences_t preferences = {.frameInfo = {.blockMode = LZ4F_blockIndependent}};
    size_t bound = LZ4F_compressFrameBound(in.size, &preferences);
    size_t size = LZ4F_compressFrame(writer_reserve(out, bound), bound, in.data, in.size, &preferences);
    if (LZ4F_isError(size)) return STATUS_INTERNAL;
    writer_extend(out, size);
    return STATUS_OK;
}

static enum status zstd_run(ZSTD_DCtx *context, struct slice in, struct bounded_output *output) {
    ZSTD_inBuffer input = {in.data, in.size, 0};
    size_t expected;
    do {
        size_t room, before = input.pos;
        uint8_t *data = output_room(output, &room);
        ZSTD_outBuffer result = {data, room, 0};
        expected = ZSTD_decompressStream(context, &result, &input);
        if (ZSTD_isError(expected)) return STATUS_CORRUPT_MESSAGE;
        if (!output_add(output, result.pos)) return STATUS_TOO_LARGE;
        if (input.pos == before && result.pos == 0) return STATUS_CORRUPT_MESSAGE; /* cut off */
    } while (input.pos < input.size || expected != 0);
    return STATUS_OK;
}

static enum status zstd_inflate(struct slice in, struct bounded_output *output) {
    ZSTD_DCtx *context = ZSTD_createDCtx();
    if (context == NULL) return STATUS_INTERNAL;
    enum status status = zstd_run(context, in, output);
    ZSTD_freeDCtx(context);
    return status;
}

static enum status zstd_deflate(struct slice in, struct writer *out) {
    size_t bound = ZSTD_compressBound(in.size);
    size_t size = ZSTD_compress(writer_reserve(out, bound), bound, in.data, in.size, ZSTD_CLEVEL_DEFAULT);
    if (ZSTD_isError(size)) return STATUS_INTERNAL;
    writer_extend(out, size);
    return STATUS_OK;
}

static enum status none_inflate(struct slice in, struct bounded_output *output) {
    if (in.size > output->size_max) return STATUS_TOO_LARGE;
    writer_bytes(output->out, in);
    return STATUS_OK;
}

static enum status none_deflate(struct slice in, struct writer *out) {
    writer_bytes(out, in);
    return STATUS_OK;
}

static const struct codec {
    const char *name;
    enum status (*inflate)(struct slice in, struct bounded_output *output);
    enum status (*deflate)(struct slice in, struct writer *out);
} CODECS[CODEC_COUNT] = {
    [CODEC_NONE] = {"none", none_inflate, none_deflate},
    [CODEC_GZIP] = {"gzip", gzip_inflate, gzip_deflate},
    [CODEC_SNAPPY] = {"snappy", snappy_inflate, snappy_deflate},
    [CODEC_LZ4] = {"lz4", lz4_inflate, lz4_deflate},
    [CODEC_ZSTD] = {"zstd", zstd_inflate, zstd_deflate},
};

enum status codec_inflate(enum record_codec codec, struct slice in, size_t size_max, struct writer *out) {
    ASSERT_LT(size_max, MEM_ALLOC_SIZE_MAX / 2);
    if ((unsigned)codec >= CODEC_COUNT) return STATUS_UNSUPPORTED_COMPRESSION;
    struct bounded_output output = {.out = out, .start = out->size, .size_max = size_max};
    enum status status = CODECS[codec].inflate(in, &output);
    if (status != STATUS_OK) out->size = output.start;
    ASSERT_LE(out->size - output.start, size_max);
    return status;
}

enum status codec_deflate(enum record_codec codec, struct slice in, struct writer *out) {
    if ((unsigned)codec >= CODEC_COUNT) return STATUS_UNSUPPORTED_COMPRESSION;
    return CODECS[codec].deflate(in, out);
}

const char *codec_name(enum record_codec codec) {
    return (unsigned)codec < CODEC_COUNT ? CODECS[codec].name : "unknown";
}
