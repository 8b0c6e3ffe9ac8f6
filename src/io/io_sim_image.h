// SPDX-License-Identifier: Apache-2.0
/* io_sim_image.h: the bytes of a simulated file, in pages that images share.
 *
 * Copying an image, and keeping the pages of a write as they were, costs references only; a page with more
 * than one is copied before it changes. Pages come from a pool in huge pages of memory: taking one is what
 * simulated disks do most. Owner: an image holds one reference to each page; pages go before their pool.
 * Loop: one thread.
 * I1  bytes behind the size are zero (image_trim restores it after sectors were put in one by one). */
#ifndef SENTINEL_IO_IO_SIM_IMAGE_H
#define SENTINEL_IO_IO_SIM_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#define IO_SIM_PAGE_SIZE   4096U
#define IO_SIM_SECTOR_SIZE 512U

struct io_sim_page {
    struct io_sim_pool *pool;
    struct io_sim_page *next_free;
    uint32_t references;
    uint32_t filled; /* what lies behind is zeros, as most of a log is, and is not even touched */
    _Alignas(64) uint8_t data[IO_SIM_PAGE_SIZE];
};
struct io_sim_pool {
    struct io_sim_slab *slabs;
    struct io_sim_page *free;
    size_t fresh; /* pages of the first slab, the last ones, that were never taken */
    size_t used;  /* pages that somebody holds */
};
struct io_sim_image {
    struct io_sim_pool *pool;
    struct io_sim_page **pages; /* NULL: zeros */
    size_t page_count;          /* slots */
    uint64_t size;
};

void io_sim_pool_release(struct io_sim_pool *pool);            /* a pool begins as zeros */
struct io_sim_page *io_sim_page_new(struct io_sim_pool *pool); /* zeros; one reference */
struct io_sim_page *io_sim_page_ref(struct io_sim_page *page);
void io_sim_page_unref(struct io_sim_page *page); /* NULL is allowed */
void io_sim_page_copy(struct io_sim_page *to, const struct io_sim_page *from);
void io_sim_page_read(const struct io_sim_page *page, size_t at, uint8_t *data, size_t size);
/* Where `size` bytes are to be put, which count as filled. */
uint8_t *io_sim_page_fill(struct io_sim_page *page, size_t at, size_t size);
/* Bytes from..to become zeros. */
void io_sim_page_clear(struct io_sim_page *page, size_t from, size_t to);

void io_sim_image_release(struct io_sim_image *image);                            /* empty again */
void io_sim_image_copy(struct io_sim_image *to, const struct io_sim_image *from); /* `to` is empty */
/* NULL: zeros. */
struct io_sim_page *io_sim_image_page(const struct io_sim_image *image, size_t index);
/* Takes over the caller's reference. */
void io_sim_image_set_page(struct io_sim_image *image, size_t index, struct io_sim_page *page);
/* A page that nobody else holds, made now if need be. */
struct io_sim_page *io_sim_image_own_page(struct io_sim_image *image, size_t index);
void io_sim_image_resize(struct io_sim_image *image, uint64_t size);
void io_sim_image_trim(struct io_sim_image *image);
size_t io_sim_image_pages_used(const struct io_sim_image *image);
/* Copies what there is; returns how much that is. */
size_t io_sim_image_read(const struct io_sim_image *image, uint8_t *data, size_t size, uint64_t offset);

#endif
