// SPDX-License-Identifier: Apache-2.0
#include "base/buffer.h"

#include "base/assert.h"
#include "base/mem.h"

/* A statistic, not a decision: read by metrics and tests only. One counter a thread, as buffers stay on
 * their shard. */
static _Thread_local size_t bytes_live;

struct buffer *buffer_new(size_t size) {
    struct buffer *buffer = size == BUFFER_HUGE_SIZE ? mem_alloc_huge() : mem_alloc(sizeof *buffer + size);
    buffer->references = 1;
    buffer->memo = UINT32_MAX;
    buffer->size = size;
    bytes_live += sizeof *buffer + size;
    return buffer;
}

struct buffer *buffer_copy(struct slice bytes) {
    struct buffer *buffer = buffer_new(bytes.size);
    if (bytes.size != 0) memcpy(buffer->data, bytes.data, bytes.size);
    return buffer;
}

void buffer_free(struct buffer *buffer) {
    bytes_live -= sizeof *buffer + buffer->size;
    if (buffer->size == BUFFER_HUGE_SIZE)
        mem_free_huge(buffer);
    else
        mem_free(buffer);
}

size_t buffer_bytes_live(void) {
    return bytes_live;
}
