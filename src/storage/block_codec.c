// SPDX-License-Identifier: Apache-2.0
#include "storage/block_codec.h"

#include <lz4.h>
#include <zstd.h>

#include "base/assert.h"

#define SIZE_BYTES ((size_t)4)
/* Blocks are small and written once or twice: more effort than the least buys little. */
#define ZSTD_LEVEL 1

void block_codec_release(struct block_codec *codec) {
    ZSTD_freeDCtx(codec->inflater); /* NULL is allowed */
    ZSTD_freeCCtx(codec->deflater);
    *codec = (struct block_codec){0};
}

/* Bytes written to `room`; 0: they would be more than `limit`. */
static size_t deflate(struct block_codec *codec, enum store_compression compression, struct slice contents,
                      uint8_t *room, size_t limit) {
    if (compression == STORE_COMPRESSION_LZ4) {
        int size = LZ4_compress_default((const char *)contents.data, (char *)room, (int)contents.size,
                                        (int)limit);
        return size > 0 ? (size_t)size : 0;
    }
    ASSERT(compression == STORE_COMPRESSION_ZSTD);
    if (codec->deflater == NULL) codec->deflater = ZSTD_createCCtx();
    if (codec->deflater == NULL) return 0; /* no memory: stored plain */
    size_t size = ZSTD_compressCCtx(codec->deflater, room, limit, contents.data, contents.size, ZSTD_LEVEL);
    return ZSTD_isError(size) ? 0 : size;
}

bool block_deflate(struct block_codec *codec, enum store_compression compression, struct slice contents,
                   struct writer *out) {
    size_t limit = contents.size - contents.size / BLOCK_SAVING;
    if (contents.size > BLOCK_INFLATED_SIZE_MAX || contents.size / BLOCK_SAVING == 0 || limit <= SIZE_BYTES)
        return false;
    uint8_t *room = writer_reserve(out, limit);
    size_t size = deflate(codec, compression, contents, room + SIZE_BYTES, limit - SIZE_BYTES);
    if (size == 0) return false;
    store_le32(room, (uint32_t)contents.size);
    writer_extend(out, SIZE_BYTES + size);
    return true;
}

enum status block_inflated_size(struct slice stored, size_t *size) {
    *size = stored.size < SIZE_BYTES ? 0 : load_le32(stored.data);
    /* What was not worth compressing is plain: honest contents are larger than their stored form. */
    return *size > stored.size && *size <= BLOCK_INFLATED_SIZE_MAX ? STATUS_OK : STATUS_CORRUPT;
}

enum status block_inflate(struct block_codec *codec, enum store_compression compression, struct slice stored,
                          uint8_t *memory, size_t size) {
    ASSERT(stored.size >= SIZE_BYTES && size == load_le32(stored.data));
    struct slice bytes = slice_make(stored.data + SIZE_BYTES, stored.size - SIZE_BYTES);
    size_t written;
    if (compression == STORE_COMPRESSION_LZ4) {
        int result = LZ4_decompress_safe((const char *)bytes.data, (char *)memory, (int)bytes.size,
                                         (int)size);
        written = result < 0 ? 0 : (size_t)result;
    } else {
        ASSERT(compression == STORE_COMPRESSION_ZSTD);
        if (codec->inflater == NULL) codec->inflater = ZSTD_createDCtx();
        ASSERT(codec->inflater != NULL);
        size_t result = ZSTD_decompressDCtx(codec->inflater, memory, size, bytes.data, bytes.size);
        written = ZSTD_isError(result) ? 0 : result;
    }
    return written == size ? STATUS_OK : STATUS_CORRUPT;
}
