// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include <isa-l/crc.h>

#include "base/cursor.h"
#include "base/units.h"

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size) {
    const uint8_t *p = data;
    /* Half a byte at a time with the reflected Castagnoli polynomial 0x1edc6f41: a table this small is
     * computed on the spot, so there is none to mistype and nothing to initialise. */
    uint32_t table[16];
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t entry = i;
        for (int bit = 0; bit < 4; bit++)
            entry = entry >> 1 ^ (entry & 1 ? 0x82f63b78U : 0U);
        table[i] = entry;
    }
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* ISA-L's AVX-512 version leaves the upper halves of the vector registers in use, and then the next vector
 * instruction of ordinary code (SSE: copying a struct is one) waits 125 ns for them where that was measured
 * (Intel Xeon, 2024), ten times as long as the checksum of 1 KiB takes. */
static inline void leave_upper_halves(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx")) __asm__ volatile("vzeroupper");
#endif
}

#if defined(__x86_64__)
/* Headers and small records: the instruction itself, without the 6 ns that it takes to get into ISA-L's. */
#define SMALL_MAX ((size_t)128)

__attribute__((target("sse4.2"))) static uint32_t crc32c_small(uint32_t crc, const uint8_t *p, size_t size) {
    uint64_t wide = crc;
    for (; size >= 8; p += 8, size -= 8)
        wide = __builtin_ia32_crc32di(wide, load_le64(p));
    for (; size > 0; p++, size--)
        wide = __builtin_ia32_crc32qi((uint32_t)wide, *p);
    return (uint32_t)wide;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t size) {
    /* ISA-L takes an int length and a raw (not inverted) seed, and never writes through its pointer. */
    const uint8_t *p = data;
    crc = ~crc;
#if defined(__x86_64__)
    if (size <= SMALL_MAX && __builtin_cpu_supports("sse4.2")) return ~crc32c_small(crc, p, size);
#endif
    while (size != 0) {
        size_t part = MIN(size, (size_t)1 << 30);
        crc = crc32_iscsi((unsigned char *)(uintptr_t)p, (int)part, crc);
        p += part;
        size -= part;
    }
    leave_upper_halves();
    return ~crc;
}
