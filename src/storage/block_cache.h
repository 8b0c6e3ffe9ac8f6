// SPDX-License-Identifier: Apache-2.0
/* block_cache.h: reads pieces of files, checks them, and keeps the useful ones in bounded memory.
 *
 *   request ─> in memory?                 yes: OK, with a reference
 *              in the kernel's page cache?  yes: read at once, checked, kept: OK
 *              no: one io_read for all who ask meanwhile ─> checked ─> kept ─> everyone is told
 *
 * A piece is a block (it carries its own checksum, seeded with its address; a compressed one is kept
 * inflated) or a value (whoever refers to it knows its checksum). Eviction is segmented LRU: a piece enters
 * on probation and is protected once it is asked for again, so that one long scan cannot push out what is
 * used all the time. Index and filter blocks, which every lookup in their table needs, have a part of their
 * own: up to half of the capacity they give way to nothing but each other, beyond it they go before
 * everything else. A value, which serves one key and is as large as many, is kept only when it is asked for a
 * second time before too many others were.
 *
 * Source  Karedla, Love, Wherry 1994 (segmented LRU); Johnson, Shasha 1994 (2Q: remember what was refused).
 * Owner   bytes handed out carry a reference of the receiver's. A read under way pins its source.
 * Errors  CORRUPT: the bytes fail their checksum; IO. Neither is remembered: asking again reads again.
 * Loop    shard thread only, but for block_read, which jobs use.
 * Bounds  `capacity` bytes of pieces kept, inflated and with bookkeeping; pieces in use by others live on
 *         beside it, and so does the table of refused values, a thousandth of the capacity.
 */
#ifndef SENTINEL_STORAGE_BLOCK_CACHE_H
#define SENTINEL_STORAGE_BLOCK_CACHE_H

#include "base/buffer.h"
#include "base/histogram.h"
#include "io/io.h"
#include "storage/block_codec.h"
#include "storage/block_source.h"

#define BLOCK_TRAILER_SIZE ((size_t)5) /* enum store_compression u8, crc u32 */
/* The checksum of a block: its address, its contents as they are stored, its compression. */
uint32_t block_checksum(uint64_t number, uint64_t offset, struct slice stored, uint8_t compression);

/* Where its owner finds a piece again without a search, while the cache has it: an index or a filter, which
 * every lookup needs. Zero at first, for one piece only, and as long-lived as its source. */
struct block_shortcut {
    struct cached *piece;
};

enum block_kind {
    BLOCK_CHECKED, /* a block with its trailer */
    BLOCK_DATA,    /* the same, and it may be compressed */
    BLOCK_VALUE,   /* bytes with a known checksum */
    BLOCK_RAW,     /* a stretch of file, checked piece by piece by who asked; never kept */
};
struct block_request {
    struct block_source *source;
    uint64_t offset;
    uint32_t size; /* of the contents, as they are stored */
    enum block_kind kind;
    uint32_t crc;                    /* BLOCK_VALUE */
    bool meta;                       /* an index or filter */
    struct block_shortcut *shortcut; /* NULL: none */
    /* BLOCK_RAW: memory to read into, large enough and the caller's alone; NULL: the cache finds some. The
     * reference goes with the request, whatever becomes of it. */
    struct buffer *spare;
};
/* Checks what was read for `request`; *stored is the part without the trailer, to be inflated when
 * *compression says so, which only BLOCK_DATA can. */
enum status block_request_check(const struct block_request *request, struct slice read, struct slice *stored,
                                enum store_compression *compression) MUST_USE;
static inline size_t block_request_size(const struct block_request *request) {
    bool trailer = request->kind == BLOCK_CHECKED || request->kind == BLOCK_DATA;
    return request->size + (trailer ? BLOCK_TRAILER_SIZE : 0);
}
/* Reads and checks into `memory` (block_request_size bytes); not for BLOCK_DATA; blocks; any thread. */
enum status block_read(const struct block_request *request, uint8_t *memory, struct slice *contents) MUST_USE;
/* Reads, checks and inflates a data block into `memory`, which is cleared before; blocks; any thread. */
enum status block_read_data(const struct block_request *request, struct block_codec *codec,
                            struct writer *memory, struct slice *contents,
                            enum store_compression *compression) MUST_USE;
/* Opens a data block that was checked: plain contents stay where they are, others are inflated into `memory`,
 * or where that is NULL into a new buffer: *inflated, a reference of the caller's. */
enum status block_open(struct block_codec *codec, enum store_compression compression, struct slice stored,
                       struct writer *memory, struct buffer **inflated, struct slice *contents) MUST_USE;

struct block_cache;
/* idle: no read is under way any more. */
struct block_cache *block_cache_new(struct io *io, size_t capacity, struct log *log, void (*idle)(void *ctx),
                                    void *ctx);
/* Reads under way must be done, but in the simulator's crash; nobody waits for them any more. */
void block_cache_free(struct block_cache *cache);

/* Someone who waits for a piece. After `ready`, status and bytes (a reference) are the waiter's. */
struct block_wait {
    void (*ready)(struct block_wait *wait);
    enum status status; /* PENDING while waiting */
    struct shared_slice bytes;
    struct list link;
};
void block_wait_init(struct block_wait *wait, void (*ready)(struct block_wait *wait));
void block_wait_cancel(struct block_wait *wait); /* idempotent; drops bytes nobody took */

/* OK: *bytes carries a reference. PENDING: wait->ready follows. wait NULL: blocks instead. */
enum status block_cache_read(struct block_cache *cache, const struct block_request *request,
                             struct block_wait *wait, struct shared_slice *bytes) MUST_USE;
/* Forgets every piece of a source that is going away. */
void block_cache_forget(struct block_cache *cache, const struct block_source *source);
bool block_cache_idle(const struct block_cache *cache);           /* no read under way */
struct block_codec *block_cache_codec(struct block_cache *cache); /* for others on the shard's thread */

/* One who asks, is told PENDING, and asks the same again when `ready` was called: the piece is then there
 * even when the cache has no room for it. */
struct block_fetch {
    struct block_cache *cache;
    bool blocking;
    void (*ready)(void *ctx); /* not when blocking */
    void *ctx;
    struct block_wait wait;
    uint64_t number, offset; /* what the wait is for; number 0: nothing */
    uint32_t size;
};
void block_fetch_init(struct block_fetch *fetch, struct block_cache *cache, bool blocking,
                      void (*ready)(void *ctx), void *ctx);
void block_fetch_release(struct block_fetch *fetch); /* also while PENDING */
/* The fetch has this piece, or waits for it: asked now, it needs no memory to read into. */
static inline bool block_fetch_waits_for(const struct block_fetch *fetch,
                                         const struct block_request *request) {
    return fetch->number != 0 && fetch->number == request->source->number &&
           fetch->offset == request->offset && fetch->size == request->size;
}
/* OK: *bytes carries a reference; PENDING; CORRUPT; IO. Asking for something else forgets the piece before.
 */
enum status block_fetch_read(struct block_fetch *fetch, const struct block_request *request,
                             struct shared_slice *bytes) MUST_USE;

struct block_cache_counters {
    uint64_t hits, misses, meta_hits, meta_misses; /* raw stretches are neither */
    uint64_t bytes, meta_bytes;                    /* held now; bytes: both */
    uint64_t evictions;
    uint64_t reads, read_bytes; /* of files, raw stretches too */
    struct histogram read_ns;   /* of reads that nobody blocked for */
};
const struct block_cache_counters *block_cache_counters(const struct block_cache *cache);

#endif
