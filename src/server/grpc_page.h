// SPDX-License-Identifier: Apache-2.0
/* grpc_page.h: a page of a list that is gathered from all nodes: items come in any order, and are told in the
 * order of their names. A page ends with a token, the last name; the next one begins behind it, so that what
 * is made or deleted between two pages hides nothing else.
 *
 * Source  AIP-158.  Owner: names and items are the call's arena's.  Bounds: GRPC_PAGE_MAX items told.
 * Loop    shard thread. */
#ifndef SENTINEL_SERVER_GRPC_PAGE_H
#define SENTINEL_SERVER_GRPC_PAGE_H

#include "server/grpc_call.h"

#define GRPC_PAGE_MAX 1000

struct grpc_page_item {
    struct slice name;
    void *item;
};
struct grpc_page {
    struct arena *arena;
    struct slice after; /* empty: the first page */
    size_t size_max, count, capacity;
    struct grpc_page_item *items;
};
/* False: the call has failed. */
bool grpc_page_init(struct grpc_page *page, struct grpc_call *call, int32_t page_size,
                    const char *page_token);
/* Whether it belongs to this page or a later one. */
bool grpc_page_wants(const struct grpc_page *page, struct slice name);
void grpc_page_add(struct grpc_page *page, struct slice name, void *item);
/* The items of the page, and the token of the next one: empty when this is the last. */
void **grpc_page_finish(struct grpc_page *page, size_t *count, char **next_page_token);

#endif
