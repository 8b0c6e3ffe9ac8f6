// SPDX-License-Identifier: Apache-2.0
#include "io/io_sim_image.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

/* ---- pages -------------------------------------------------------------------------------------------- */

#define SLOTS_MIN ((size_t)8) /* of an image */

struct io_sim_slab {
    struct io_sim_slab *next;
    struct io_sim_page pages[];
};

#define SLAB_PAGES ((MEM_HUGE_SIZE - sizeof(struct io_sim_slab)) / sizeof(struct io_sim_page))

#ifdef __SANITIZE_ADDRESS__
/* The sanitizer watches what comes from the heap. */
static struct io_sim_page *page_take(struct io_sim_pool *pool) {
    (void)pool;
    return mem_alloc_aligned(_Alignof(struct io_sim_page), sizeof(struct io_sim_page));
}

static void page_give_back(struct io_sim_page *page) {
    mem_free(page);
}
#else
static void pool_grow(struct io_sim_pool *pool) {
    struct io_sim_slab *slab = mem_alloc_huge();
    slab->next = pool->slabs;
    pool->slabs = slab;
    pool->fresh = SLAB_PAGES;
}

static struct io_sim_page *page_take(struct io_sim_pool *pool) {
    struct io_sim_page *page = pool->free;
    if (page != NULL) {
        pool->free = page->next_free;
        return page;
    }
    if (pool->fresh == 0) pool_grow(pool);
    return &pool->slabs->pages[SLAB_PAGES - pool->fresh--];
}

static void page_give_back(struct io_sim_page *page) {
    page->next_free = page->pool->free;
    page->pool->free = page;
}
#endif

void io_sim_pool_release(struct io_sim_pool *pool) {
    ASSERT_EQ(pool->used, (size_t)0);
    for (struct io_sim_slab *slab = pool->slabs, *next; slab != NULL; slab = next) {
        next = slab->next;
        mem_free_huge(slab);
    }
    *pool = (struct io_sim_pool){0};
}

struct io_sim_page *io_sim_page_new(struct io_sim_pool *pool) {
    struct io_sim_page *page = page_take(pool);
    page->pool = pool;
    page->references = 1;
    page->filled = 0;
    pool->used++;
    return page;
}

struct io_sim_page *io_sim_page_ref(struct io_sim_page *page) {
    page->references++;
    return page;
}

void io_sim_page_unref(struct io_sim_page *page) {
    if (page == NULL) return;
    ASSERT_LT(0U, page->references);
    if (--page->references != 0) return;
    page->pool->used--;
    page_give_back(page);
}

void io_sim_page_copy(struct io_sim_page *to, const struct io_sim_page *from) {
    memcpy(to->data, from->data, from->filled);
    to->filled = from->filled;
}

void io_sim_page_read(const struct io_sim_page *page, size_t at, uint8_t *data, size_t size) {
    size_t part = at < page->filled ? MIN(size, page->filled - at) : 0;
    memcpy(data, page->data + at, part);
    memset(data + part, 0, size - part);
}

uint8_t *io_sim_page_fill(struct io_sim_page *page, size_t at, size_t size) {
    if (page->filled < at) memset(page->data + page->filled, 0, at - page->filled);
    page->filled = MAX(page->filled, (uint32_t)(at + size));
    return page->data + at;
}

void io_sim_page_clear(struct io_sim_page *page, size_t from, size_t to) {
    if (to < page->filled)
        memset(page->data + from, 0, to - from);
    else
        page->filled = MIN(page->filled, (uint32_t)from);
}

/* ---- images ------------------------------------------------------------------------------------------- */

void io_sim_image_release(struct io_sim_image *image) {
    for (size_t i = 0; i < image->page_count; i++)
        io_sim_page_unref(image->pages[i]);
    mem_free(image->pages);
    *image = (struct io_sim_image){.pool = image->pool};
}

void io_sim_image_copy(struct io_sim_image *to, const struct io_sim_image *from) {
    ASSERT_EQ(to->page_count, (size_t)0);
    *to = *from;
    if (from->page_count == 0) return;
    to->pages = mem_alloc(from->page_count * sizeof(struct io_sim_page *));
    for (size_t i = 0; i < from->page_count; i++)
        to->pages[i] = from->pages[i] == NULL ? NULL : io_sim_page_ref(from->pages[i]);
}

struct io_sim_page *io_sim_image_page(const struct io_sim_image *image, size_t index) {
    return index < image->page_count ? image->pages[index] : NULL;
}

void io_sim_image_set_page(struct io_sim_image *image, size_t index, struct io_sim_page *page) {
    if (index >= image->page_count) {
        size_t count = MAX(MAX(index + 1, image->page_count * 2), SLOTS_MIN);
        image->pages = mem_realloc(image->pages, count * sizeof(struct io_sim_page *));
        for (size_t i = image->page_count; i < count; i++)
            image->pages[i] = NULL;
        image->page_count = count;
    }
    io_sim_page_unref(image->pages[index]);
    image->pages[index] = page;
}

struct io_sim_page *io_sim_image_own_page(struct io_sim_image *image, size_t index) {
    struct io_sim_page *page = io_sim_image_page(image, index);
    if (page != NULL && page->references == 1) return page;
    struct io_sim_page *own = io_sim_page_new(image->pool);
    if (page != NULL) io_sim_page_copy(own, page);
    io_sim_image_set_page(image, index, own);
    return own;
}

void io_sim_image_trim(struct io_sim_image *image) {
    size_t kept = (size_t)((image->size + IO_SIM_PAGE_SIZE - 1) / IO_SIM_PAGE_SIZE);
    for (size_t i = kept; i < image->page_count; i++) {
        io_sim_page_unref(image->pages[i]);
        image->pages[i] = NULL;
    }
    size_t tail = (size_t)(image->size % IO_SIM_PAGE_SIZE);
    if (tail == 0 || io_sim_image_page(image, kept - 1) == NULL) return;
    if (image->pages[kept - 1]->filled <= tail) return;
    io_sim_page_clear(io_sim_image_own_page(image, kept - 1), tail, IO_SIM_PAGE_SIZE);
}

void io_sim_image_resize(struct io_sim_image *image, uint64_t size) {
    uint64_t before = image->size;
    image->size = size;
    if (size < before) io_sim_image_trim(image);
}

size_t io_sim_image_pages_used(const struct io_sim_image *image) {
    size_t used = 0;
    for (size_t i = 0; i < image->page_count; i++)
        used += image->pages[i] != NULL;
    return used;
}

size_t io_sim_image_read(const struct io_sim_image *image, uint8_t *data, size_t size, uint64_t offset) {
    if (offset >= image->size) return 0;
    size = (size_t)MIN((uint64_t)size, image->size - offset);
    for (size_t moved = 0; moved < size;) {
        size_t at = (size_t)((offset + moved) % IO_SIM_PAGE_SIZE),
               part = MIN(size - moved, IO_SIM_PAGE_SIZE - at);
        const struct io_sim_page *page = io_sim_image_page(image,
                                                           (size_t)((offset + moved) / IO_SIM_PAGE_SIZE));
        if (page == NULL)
            memset(data + moved, 0, part);
        else
            io_sim_page_read(page, at, data + moved, part);
        moved += part;
    }
    return size;
}
