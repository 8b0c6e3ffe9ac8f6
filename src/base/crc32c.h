// SPDX-License-Identifier: Apache-2.0
/* crc32c.h: CRC-32C (Castagnoli), the checksum of Kafka batches and of every file we write.
 *
 * Hardware through ISA-L where the CPU has it, a table otherwise; both are tested against each other and
 * against the vectors of RFC 3720 appendix B.4. Values are finished (inverted in and out), so
 * crc32c(0, "123456789") is 0xe3069283 and crc32c(crc32c(0, a), b) is the checksum of a followed by b.
 * Loop    any thread. */
#ifndef SENTINEL_BASE_CRC32C_H
#define SENTINEL_BASE_CRC32C_H

#include "base/slice.h"

uint32_t crc32c(uint32_t crc, const void *data, size_t size);
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);

#endif
