// SPDX-License-Identifier: Apache-2.0
#include "storage/block_cache.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "base/units.h"

/* Four fifths of the capacity are for pieces that were asked for more than once. */
#define PROTECTED_NUMERATOR   4u
#define PROTECTED_DENOMINATOR 5u
#define META_DENOMINATOR      2u
/* One place in the table of refused values for so many bytes of capacity. */
#define REFUSED_BYTES (4 * KIB)
#define REFUSED_MIN   64u
#define LINE_SIZE     64u /* of the processor's cache */
/* A piece among the first eighth of those used stays where it is. */
#define RECENT_DENOMINATOR 8u

/* What a lookup needs lies in one line of the processor's cache. */
struct cached {
    struct cached *next; /* in its slot */
    uint64_t number, offset;
    struct slice contents;
    struct buffer *buffer;
    uint32_t stored_size;
    bool is_protected, is_meta;
    uint64_t moved_at;               /* block_cache.moves when it became the first of its list */
    struct list order;               /* probation, protected or meta, most recently used first */
    struct block_shortcut *shortcut; /* that leads here, or NULL */
};
STATIC_ASSERT(offsetof(struct cached, order) <= LINE_SIZE, "a lookup needs one line");
struct loading {
    struct io_op op;
    struct list link;
    struct list waits;
    struct block_request request;
    struct block_cache *cache;
    struct buffer *buffer;
    uint64_t started_ns;
};
struct block_cache {
    struct io *io;
    struct log *log;
    size_t capacity, bytes, protected_bytes, meta_bytes;
    struct cached **slots;
    size_t slot_count, count;
    uint64_t moves;
    uint32_t *refused; /* what is left of the hashes of values that were not kept */
    size_t refused_count;
    struct list probation, protected_, meta;
    struct list loads;
    struct block_codec codec;
    void (*idle)(void *ctx);
    void *ctx;
    struct block_cache_counters counters;
};

/* ---- pieces ------------------------------------------------------------------------------------------ */

uint32_t block_checksum(uint64_t number, uint64_t offset, struct slice stored, uint8_t compression) {
    uint8_t address[17];
    store_le64(address, number);
    store_le64(address + 8, offset);
    address[16] = compression;
    return crc32c(crc32c(0, address, sizeof address), stored.data, stored.size);
}

enum status block_request_check(const struct block_request *request, struct slice read, struct slice *stored,
                                enum store_compression *compression) {
    *stored = SLICE_EMPTY;
    *compression = STORE_COMPRESSION_NONE;
    if (read.size != block_request_size(request)) return STATUS_CORRUPT;
    struct slice bytes = slice_make(read.data, request->size);
    if (request->kind == BLOCK_VALUE) {
        if (crc32c(0, bytes.data, bytes.size) != request->crc) return STATUS_CORRUPT;
    } else if (request->kind == BLOCK_CHECKED || request->kind == BLOCK_DATA) {
        uint8_t how = read.data[request->size];
        uint32_t crc = block_checksum(request->source->number, request->offset, bytes, how);
        if (load_le32(read.data + request->size + 1) != crc) return STATUS_CORRUPT;
        if (how > (request->kind == BLOCK_DATA ? STORE_COMPRESSION_ZSTD : STORE_COMPRESSION_NONE))
            return STATUS_CORRUPT;
        *compression = (enum store_compression)how;
    }
    *stored = bytes;
    return STATUS_OK;
}

static enum status read_checked(const struct block_request *request, uint8_t *memory, struct slice *stored,
                                enum store_compression *compression) {
    size_t size;
    enum status status = io_file_read_at(request->source->file, memory, block_request_size(request),
                                         request->offset, &size);
    if (status != STATUS_OK) return status;
    return block_request_check(request, slice_make(memory, size), stored, compression);
}

enum status block_read(const struct block_request *request, uint8_t *memory, struct slice *contents) {
    enum store_compression compression;
    ASSERT(request->kind != BLOCK_DATA);
    return read_checked(request, memory, contents, &compression);
}

enum status block_open(struct block_codec *codec, enum store_compression compression, struct slice stored,
                       struct writer *memory, struct buffer **inflated, struct slice *contents) {
    *contents = stored;
    if (compression == STORE_COMPRESSION_NONE) return STATUS_OK;
    size_t size;
    enum status status = block_inflated_size(stored, &size);
    if (status != STATUS_OK) return status;
    struct buffer *buffer = memory == NULL ? buffer_new(size) : NULL;
    uint8_t *room = memory == NULL ? buffer->data : writer_extend(memory, size);
    status = block_inflate(codec, compression, stored, room, size);
    if (status == STATUS_OK)
        *contents = slice_make(room, size);
    else
        buffer_unref(buffer);
    if (status == STATUS_OK && memory == NULL) *inflated = buffer;
    return status;
}

enum status block_read_data(const struct block_request *request, struct block_codec *codec,
                            struct writer *memory, struct slice *contents,
                            enum store_compression *compression) {
    ASSERT(request->kind == BLOCK_DATA);
    size_t size = block_request_size(request);
    writer_clear(memory);
    writer_reserve(memory, size + BLOCK_INFLATED_SIZE_MAX); /* so that nothing moves below */
    struct slice stored;
    enum status status = read_checked(request, writer_extend(memory, size), &stored, compression);
    return status == STATUS_OK ? block_open(codec, *compression, stored, memory, NULL, contents) : status;
}

/* ---- the table and its order ------------------------------------------------------------------------- */

static uint64_t hash_of(uint64_t number, uint64_t offset) {
    uint64_t hash = (number * 0x9e3779b97f4a7c15ull) ^ (offset * 0xc2b2ae3d27d4eb4full);
    hash ^= hash >> 29;
    return hash * 0xbf58476d1ce4e5b9ull;
}

static size_t slot_of(const struct block_cache *cache, uint64_t number, uint64_t offset) {
    return (size_t)(hash_of(number, offset) >> 32) & (cache->slot_count - 1);
}

static struct cached **cache_find(struct block_cache *cache, uint64_t number, uint64_t offset) {
    struct cached **link = &cache->slots[slot_of(cache, number, offset)];
    while (*link != NULL && ((*link)->number != number || (*link)->offset != offset))
        link = &(*link)->next;
    return link;
}

static size_t cached_bytes(const struct cached *piece) {
    return sizeof *piece + sizeof *piece->buffer + piece->buffer->size;
}

static void cache_remove(struct block_cache *cache, struct cached *piece) {
    struct cached **link = cache_find(cache, piece->number, piece->offset);
    ASSERT(*link == piece);
    *link = piece->next;
    list_remove(&piece->order);
    cache->bytes -= cached_bytes(piece);
    cache->counters.bytes = cache->bytes;
    if (piece->is_protected) cache->protected_bytes -= cached_bytes(piece);
    if (piece->is_meta) cache->meta_bytes -= cached_bytes(piece);
    cache->counters.meta_bytes = cache->meta_bytes;
    cache->count--;
    if (piece->shortcut != NULL) piece->shortcut->piece = NULL;
    buffer_unref(piece->buffer);
    mem_free(piece);
}

/* What goes first. */
static struct list *cache_victims(struct block_cache *cache) {
    if (cache->meta_bytes > cache->capacity / META_DENOMINATOR) return &cache->meta;
    if (!list_empty(&cache->probation)) return &cache->probation;
    return list_empty(&cache->protected_) ? &cache->meta : &cache->protected_;
}

static void cache_shrink(struct block_cache *cache, size_t limit) {
    while (cache->bytes > limit) {
        struct list *order = cache_victims(cache);
        ASSERT(!list_empty(order));
        cache_remove(cache, CONTAINER_OF(order->prev, struct cached, order));
        cache->counters.evictions++;
    }
}

static void push_front(struct block_cache *cache, struct list *order, struct cached *piece) {
    list_push_front(order, &piece->order);
    piece->moved_at = cache->moves++;
}

static void cache_touch(struct block_cache *cache, struct cached *piece) {
    /* Each move touches three pieces' cache lines: what was moved lately stays where it is. */
    bool settled = piece->is_meta || piece->is_protected;
    if (settled && cache->moves - piece->moved_at <= cache->count / RECENT_DENOMINATOR) return;
    list_remove(&piece->order);
    if (piece->is_meta) {
        push_front(cache, &cache->meta, piece);
        return;
    }
    push_front(cache, &cache->protected_, piece);
    if (!piece->is_protected) {
        piece->is_protected = true;
        cache->protected_bytes += cached_bytes(piece);
    }
    size_t limit = cache->capacity / PROTECTED_DENOMINATOR * PROTECTED_NUMERATOR;
    while (cache->protected_bytes > limit) {
        struct cached *oldest = CONTAINER_OF(cache->protected_.prev, struct cached, order);
        if (oldest == piece) break;
        list_remove(&oldest->order);
        list_push_front(&cache->probation, &oldest->order);
        oldest->is_protected = false;
        cache->protected_bytes -= cached_bytes(oldest);
    }
}

static void cache_grow(struct block_cache *cache) {
    struct cached **old = cache->slots;
    size_t old_count = cache->slot_count;
    cache->slot_count = MAX(old_count * 2, (size_t)64);
    cache->slots = mem_calloc(cache->slot_count, sizeof *cache->slots);
    for (size_t i = 0; i < old_count; i++) {
        for (struct cached *piece = old[i], *next; piece != NULL; piece = next) {
            next = piece->next;
            struct cached **slot = &cache->slots[slot_of(cache, piece->number, piece->offset)];
            piece->next = *slot;
            *slot = piece;
        }
    }
    mem_free(old);
}

/* Remembers that the value was asked for. True: it had been before, and not long ago. */
static bool asked_again(struct block_cache *cache, const struct block_request *request) {
    uint64_t hash = hash_of(request->source->number, request->offset);
    uint32_t *place = &cache->refused[hash >> 32 & (cache->refused_count - 1)], rest = (uint32_t)hash | 1;
    bool again = *place == rest;
    *place = again ? 0 : rest;
    return again;
}

static void cache_insert(struct block_cache *cache, const struct block_request *request,
                         struct buffer *buffer, struct slice contents) {
    if (request->kind == BLOCK_RAW || (request->kind == BLOCK_VALUE && !asked_again(cache, request))) return;
    struct cached *piece = mem_alloc_aligned(LINE_SIZE, sizeof *piece);
    *piece = (struct cached){.number = request->source->number,
                             .offset = request->offset,
                             .stored_size = request->size,
                             .contents = contents,
                             .buffer = buffer_ref(buffer)};
    list_init(&piece->order);
    size_t bytes = cached_bytes(piece);
    if (bytes > cache->capacity / 4) { /* it would push out too much */
        buffer_unref(piece->buffer);
        mem_free(piece);
        return;
    }
    cache_shrink(cache, cache->capacity - bytes);
    if (cache->count >= cache->slot_count / 2) cache_grow(cache); /* few have to look at two */
    struct cached **link = cache_find(cache, piece->number, piece->offset);
    ASSERT(*link == NULL);
    *link = piece;
    piece->is_meta = request->meta;
    push_front(cache, piece->is_meta ? &cache->meta : &cache->probation, piece);
    piece->shortcut = request->shortcut;
    if (piece->shortcut != NULL) piece->shortcut->piece = piece;
    if (piece->is_meta) cache->meta_bytes += bytes;
    cache->bytes += bytes;
    cache->counters.bytes = cache->bytes;
    cache->counters.meta_bytes = cache->meta_bytes;
    cache->count++;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

void block_wait_init(struct block_wait *wait, void (*ready)(struct block_wait *wait)) {
    *wait = (struct block_wait){.ready = ready, .status = STATUS_OK};
    list_init(&wait->link);
}

void block_wait_cancel(struct block_wait *wait) {
    list_remove(&wait->link);
    shared_slice_unref(wait->bytes);
    wait->bytes = (struct shared_slice){0};
    wait->status = STATUS_OK;
}

static void report(struct block_cache *cache, const struct block_request *request, enum status status) {
    log_error(cache->log, "stored bytes cannot be read file=%" PRIu64 " offset=%" PRIu64 " size=%u reason=%s",
              request->source->number, request->offset, request->size, status_name(status));
}

/* Checks what was read, and puts the inflated bytes into the place of compressed ones. */
static enum status open_piece(struct block_cache *cache, const struct block_request *request, size_t size,
                              struct buffer **buffer, struct slice *contents) {
    struct slice stored;
    enum store_compression compression;
    enum status status = block_request_check(request, slice_make((*buffer)->data, size), &stored,
                                             &compression);
    if (status != STATUS_OK) return status;
    struct buffer *inflated = NULL;
    status = block_open(&cache->codec, compression, stored, NULL, &inflated, contents);
    if (inflated == NULL) return status;
    buffer_unref(*buffer);
    *buffer = inflated;
    return STATUS_OK;
}

static void loaded(struct io_op *op) {
    struct loading *load = CONTAINER_OF(op, struct loading, op);
    struct block_cache *cache = load->cache;
    struct slice contents = SLICE_EMPTY;
    enum status status = op->status == STATUS_OK ? STATUS_OK : STATUS_IO;
    if (status == STATUS_OK) status = open_piece(cache, &load->request, op->result, &load->buffer, &contents);
    list_remove(&load->link);
    histogram_add(&cache->counters.read_ns, io_clock_ns(cache->io) - load->started_ns);
    if (status == STATUS_OK)
        cache_insert(cache, &load->request, load->buffer, contents);
    else
        report(cache, &load->request, status);
    struct list *node;
    while ((node = list_pop_front(&load->waits)) != NULL) {
        struct block_wait *wait = CONTAINER_OF(node, struct block_wait, link);
        wait->status = status;
        if (status == STATUS_OK) wait->bytes = (struct shared_slice){contents, buffer_ref(load->buffer)};
        wait->ready(wait);
    }
    buffer_unref(load->buffer);
    block_source_unuse(load->request.source);
    block_source_unpin(load->request.source);
    mem_free(load);
    if (list_empty(&cache->loads)) cache->idle(cache->ctx);
}

static struct loading *find_load(struct block_cache *cache, const struct block_request *request) {
    LIST_FOREACH(it, &cache->loads) {
        struct loading *load = CONTAINER_OF(it, struct loading, link);
        bool same = load->request.source == request->source && load->request.offset == request->offset;
        if (same && load->request.kind != BLOCK_RAW) return load;
    }
    return NULL;
}

static void count_read(struct block_cache *cache, const struct block_request *request) {
    cache->counters.reads++;
    cache->counters.read_bytes += block_request_size(request);
}

static void count_lookup(struct block_cache *cache, const struct block_request *request, bool hit) {
    if (request->kind == BLOCK_RAW) return;
    if (request->meta)
        *(hit ? &cache->counters.meta_hits : &cache->counters.meta_misses) += 1;
    else
        *(hit ? &cache->counters.hits : &cache->counters.misses) += 1;
}

static struct buffer *memory_for(const struct block_request *request) {
    size_t size = block_request_size(request);
    if (request->spare == NULL) return buffer_new(size);
    ASSERT(request->kind == BLOCK_RAW && request->spare->references == 1 && request->spare->size >= size);
    return request->spare;
}

/* Checks and hands out `size` bytes that were read into `buffer`, whose reference it takes over; or says why
 * there are none. keep: for others, too. */
static enum status hand_out(struct block_cache *cache, const struct block_request *request,
                            struct buffer *buffer, size_t size, enum status status, bool keep,
                            struct shared_slice *bytes) {
    struct slice contents = SLICE_EMPTY;
    count_read(cache, request);
    if (status == STATUS_OK) status = open_piece(cache, request, size, &buffer, &contents);
    if (status != STATUS_OK) {
        report(cache, request, status);
        buffer_unref(buffer);
        return status;
    }
    if (keep) cache_insert(cache, request, buffer, contents);
    *bytes = (struct shared_slice){contents, buffer};
    return STATUS_OK;
}

static enum status read_blocking(struct block_cache *cache, const struct block_request *request, bool keep,
                                 struct shared_slice *bytes) {
    struct buffer *buffer = memory_for(request);
    size_t size = 0;
    enum status status = io_file_read_at(request->source->file, buffer->data, block_request_size(request),
                                         request->offset, &size);
    return hand_out(cache, request, buffer, size, status, keep, bytes);
}

static void start_load(struct block_cache *cache, const struct block_request *request, struct buffer *buffer,
                       struct block_wait *wait) {
    struct loading *load = mem_calloc(1, sizeof *load);
    load->request = *request;
    load->cache = cache;
    load->buffer = buffer;
    load->op.done = loaded;
    list_init(&load->waits);
    list_push_back(&cache->loads, &load->link);
    block_source_pin(request->source);
    block_source_use(request->source);
    count_read(cache, request);
    load->started_ns = io_clock_ns(cache->io);
    list_push_back(&load->waits, &wait->link);
    io_read(cache->io, &load->op, request->source->file, buffer->data, block_request_size(request),
            request->offset);
}

static struct cached *find_piece(struct block_cache *cache, const struct block_request *request) {
    if (request->kind == BLOCK_RAW) return NULL;
    struct block_shortcut *shortcut = request->shortcut;
    if (shortcut != NULL && shortcut->piece != NULL) return shortcut->piece;
    struct cached *piece = *cache_find(cache, request->source->number, request->offset);
    if (piece != NULL && shortcut != NULL) {
        piece->shortcut = shortcut;
        shortcut->piece = piece;
    }
    return piece;
}

enum status block_cache_read(struct block_cache *cache, const struct block_request *request,
                             struct block_wait *wait, struct shared_slice *bytes) {
    struct cached *piece = find_piece(cache, request);
    if (piece != NULL && piece->stored_size == request->size) {
        count_lookup(cache, request, true);
        cache_touch(cache, piece);
        *bytes = (struct shared_slice){piece->contents, buffer_ref(piece->buffer)};
        return STATUS_OK;
    }
    if (piece != NULL) return STATUS_CORRUPT; /* two references to one place disagree on its size */
    count_lookup(cache, request, false);
    struct loading *load = request->kind == BLOCK_RAW ? NULL : find_load(cache, request);
    enum status status = block_source_open(request->source);
    if (status != STATUS_OK) {
        report(cache, request, status);
        buffer_unref(request->spare);
        return status;
    }
    /* Beside a read under way this one stays out of the cache. */
    if (wait == NULL) return read_blocking(cache, request, load == NULL, bytes);
    ASSERT(list_empty(&wait->link));
    if (load != NULL && load->request.size != request->size) return STATUS_CORRUPT;
    if (load == NULL) {
        struct buffer *buffer = memory_for(request);
        size_t size = block_request_size(request);
        if (io_file_read_now(request->source->file, buffer->data, size, request->offset))
            return hand_out(cache, request, buffer, size, STATUS_OK, true, bytes);
        start_load(cache, request, buffer, wait);
    } else {
        list_push_back(&load->waits, &wait->link);
    }
    wait->status = STATUS_PENDING;
    return STATUS_PENDING;
}

void block_cache_forget(struct block_cache *cache, const struct block_source *source) {
    struct list *orders[3] = {&cache->probation, &cache->protected_, &cache->meta};
    for (size_t i = 0; i < 3; i++) {
        LIST_FOREACH(it, orders[i]) {
            struct cached *piece = CONTAINER_OF(it, struct cached, order);
            if (piece->number == source->number) cache_remove(cache, piece);
        }
    }
}

/* ---- fetching ---------------------------------------------------------------------------------------- */

static void fetched(struct block_wait *wait) {
    struct block_fetch *fetch = CONTAINER_OF(wait, struct block_fetch, wait);
    fetch->ready(fetch->ctx);
}

void block_fetch_init(struct block_fetch *fetch, struct block_cache *cache, bool blocking,
                      void (*ready)(void *ctx), void *ctx) {
    *fetch = (struct block_fetch){.cache = cache, .blocking = blocking, .ready = ready, .ctx = ctx};
    block_wait_init(&fetch->wait, fetched);
}

void block_fetch_release(struct block_fetch *fetch) {
    block_wait_cancel(&fetch->wait);
    fetch->number = 0;
}

enum status block_fetch_read(struct block_fetch *fetch, const struct block_request *request,
                             struct shared_slice *bytes) {
    if (fetch->blocking) return block_cache_read(fetch->cache, request, NULL, bytes);
    /* A stretch read ahead may have been longer or shorter the last time. */
    if (block_fetch_waits_for(fetch, request)) {
        if (fetch->wait.status == STATUS_PENDING) return STATUS_PENDING;
        *bytes = fetch->wait.bytes;
        fetch->wait.bytes = (struct shared_slice){0};
        fetch->number = 0;
        ASSERT_IMPLIES(fetch->wait.status == STATUS_OK && request->kind != BLOCK_DATA,
                       bytes->bytes.size == request->size);
        return fetch->wait.status;
    }
    block_fetch_release(fetch);
    enum status status = block_cache_read(fetch->cache, request, &fetch->wait, bytes);
    if (status == STATUS_PENDING) {
        fetch->number = request->source->number;
        fetch->offset = request->offset;
        fetch->size = request->size;
    }
    return status;
}

/* ---- life -------------------------------------------------------------------------------------------- */

struct block_cache *block_cache_new(struct io *io, size_t capacity, struct log *log, void (*idle)(void *ctx),
                                    void *ctx) {
    struct block_cache *cache = mem_calloc(1, sizeof *cache);
    cache->io = io;
    cache->log = log;
    cache->capacity = capacity;
    cache->idle = idle;
    cache->ctx = ctx;
    list_init(&cache->probation);
    list_init(&cache->protected_);
    list_init(&cache->meta);
    histogram_init(&cache->counters.read_ns);
    list_init(&cache->loads);
    cache_grow(cache);
    cache->refused_count = REFUSED_MIN;
    while (cache->refused_count < capacity / REFUSED_BYTES)
        cache->refused_count *= 2;
    cache->refused = mem_calloc(cache->refused_count, sizeof *cache->refused);
    return cache;
}

void block_cache_free(struct block_cache *cache) {
    struct list *node;
    while ((node = list_pop_front(&cache->loads)) != NULL) {
        struct loading *load = CONTAINER_OF(node, struct loading, link);
        buffer_unref(load->buffer);
        block_source_unuse(load->request.source);
        block_source_unpin(load->request.source);
        mem_free(load);
    }
    cache_shrink(cache, 0);
    block_codec_release(&cache->codec);
    mem_free(cache->slots);
    mem_free(cache->refused);
    mem_free(cache);
}

bool block_cache_idle(const struct block_cache *cache) {
    return list_empty(&cache->loads);
}

struct block_codec *block_cache_codec(struct block_cache *cache) {
    return &cache->codec;
}

const struct block_cache_counters *block_cache_counters(const struct block_cache *cache) {
    return &cache->counters;
}
