// SPDX-License-Identifier: Apache-2.0
/* block_codec.h: data blocks made smaller on their way to a table, and whole again on their way back.
 *
 *   stored = size of the contents u32 │ what the codec made of them
 *
 * lz4: a raw block of that format; zstd: a frame. Only data blocks are compressed: they are nearly all of a
 * table, while the index is needed by every lookup and a filter is random bits. Values apart from their keys
 * are batches as a producer sent them, compressed by it where that pays, and stay as they are. A block that
 * would not shrink by 1/BLOCK_SAVING is stored plain.
 *
 * Source  LZ4 block format; RFC 8878 (zstd).
 * Owner   the codec owns the libraries' contexts, made on first use. Errors  CORRUPT: the bytes make no
 * sense. Loop    any thread, one at a time for each codec. Bounds  BLOCK_INFLATED_SIZE_MAX. */
#ifndef SENTINEL_STORAGE_BLOCK_CODEC_H
#define SENTINEL_STORAGE_BLOCK_CODEC_H

#include "base/cursor.h"
#include "base/status.h"
#include "base/units.h"
#include "storage/store.h"

#define BLOCK_INFLATED_SIZE_MAX (4 * MIB)
#define BLOCK_SAVING            8u

struct block_codec {
    void *inflater, *deflater; /* zstd's */
};
void block_codec_release(struct block_codec *codec); /* an all-zero codec is ready */

/* Appends the stored form of `contents` to `out`. False: it is not worth it, and nothing was appended. */
bool block_deflate(struct block_codec *codec, enum store_compression compression, struct slice contents,
                   struct writer *out) MUST_USE;
/* How large the contents are, of anything but plain. */
enum status block_inflated_size(struct slice stored, size_t *size) MUST_USE;
/* Writes exactly `size` bytes to `memory`: what block_inflated_size said. */
enum status block_inflate(struct block_codec *codec, enum store_compression compression, struct slice stored,
                          uint8_t *memory, size_t size) MUST_USE;

#endif
