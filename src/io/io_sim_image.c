// SPDX-License-Identifier: Apache-2.0
#include "io/io_sim_image.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

struct io_sim_page *io_sim_page_new(void) {
    struct io_sim_page *page = mem_alloc(sizeof *page);
    page->references = 1;
    return page;
}

struct io_sim_page *io_sim_page_ref(struct io_sim_page *page) {
    page->references++;
    return page;
}

void io_sim_page_unref(struct io_sim_page *page) {
    if (page == NULL) return;
    ASSERT_LT(0U, page->references);
    if (--page->references == 0) mem_free(page);
}

void io_sim_image_release(struct io_sim_image *image) {
    for (size_t i = 0; i < image->page_count; i++)
        io_sim_page_unref(image->pages[i]);
    mem_free(image->pages);
    *image = (struct io_sim_image){0};
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
        size_t count = MAX(index + 1, image->page_count * 2);
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
    struct io_sim_page *own = io_sim_page_new();
    if (page == NULL)
        memset(own->data, 0, sizeof own->data);
    else
        memcpy(own->data, page->data, sizeof own->data);
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
    struct io_sim_page *page = io_sim_image_own_page(image, kept - 1);
    memset(page->data + tail, 0, IO_SIM_PAGE_SIZE - tail);
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
            memcpy(data + moved, page->data + at, part);
        moved += part;
    }
    return size;
}
