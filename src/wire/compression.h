// SPDX-License-Identifier: Apache-2.0
/* compression.h: the four codecs of Kafka batches, with the output bounded.
 *
 * gzip (RFC 1952, members may be concatenated), snappy (raw, or framed as xerial's Java library writes it),
 * lz4 (frame format), zstd (RFC 8878). Inflating stops at `size_max` with TOO_LARGE: a small hostile input
 * cannot take a large memory. Loop    any thread; pure (memory in, memory out). */
#ifndef SENTINEL_WIRE_COMPRESSION_H
#define SENTINEL_WIRE_COMPRESSION_H

#include "base/cursor.h"
#include "base/status.h"
#include "wire/record_batch.h"

/* Appends to `out`. CORRUPT_MESSAGE when the input is damaged. */
enum status codec_inflate(enum record_codec codec, struct slice in, size_t size_max,
                          struct writer *out) MUST_USE;
enum status codec_deflate(enum record_codec codec, struct slice in, struct writer *out) MUST_USE;
const char *codec_name(enum record_codec codec); /* "none", "gzip", ... */

#endif
