// SPDX-License-Identifier: Apache-2.0
/* uuid.h: sixteen bytes that name a topic for ever (RFC 9562); all zeros means «none» on the wire. */
#ifndef SENTINEL_BASE_UUID_H
#define SENTINEL_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct uuid {
    uint8_t bytes[16];
};

static inline bool uuid_equal(struct uuid a, struct uuid b) {
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}
static inline bool uuid_is_zero(struct uuid id) {
    return uuid_equal(id, (struct uuid){{0}});
}

#endif
