// SPDX-License-Identifier: Apache-2.0
#include "wire/http2_flood.h"

#include "base/assert.h"
#include "base/units.h"

static const struct {
    uint64_t burst, ns_per_token;
    const char *text;
} limits[HTTP2_FLOOD_COUNT] = {
#define HTTP2_FLOOD_ROW_(name, burst, ns, text) {burst, ns, text},
    HTTP2_FLOOD_LIST(HTTP2_FLOOD_ROW_)
#undef HTTP2_FLOOD_ROW_
};

void http2_flood_init(struct http2_flood *flood, uint64_t now_ns) {
    for (int kind = 0; kind < HTTP2_FLOOD_COUNT; kind++) {
        flood->buckets[kind].since_ns = now_ns;
        flood->buckets[kind].tokens = limits[kind].burst;
    }
}

bool http2_flood_take(struct http2_flood *flood, enum http2_flood_kind kind, uint64_t now_ns) {
    ASSERT_LT((int)kind, (int)HTTP2_FLOOD_COUNT);
    uint64_t *since_ns = &flood->buckets[kind].since_ns, *tokens = &flood->buckets[kind].tokens;
    if (now_ns > *since_ns) {
        uint64_t gained = (now_ns - *since_ns) / limits[kind].ns_per_token;
        *tokens += MIN(gained, limits[kind].burst - *tokens);
        *since_ns += gained * limits[kind].ns_per_token; /* the part of a token that has come counts on */
    }
    ASSERT_LE(*tokens, limits[kind].burst);
    if (*tokens == 0) return false;
    --*tokens;
    return true;
}

void http2_flood_refill(struct http2_flood *flood, enum http2_flood_kind kind) {
    flood->buckets[kind].tokens = limits[kind].burst;
}

const char *http2_flood_text(enum http2_flood_kind kind) {
    return limits[kind].text;
}
