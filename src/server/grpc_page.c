// SPDX-License-Identifier: Apache-2.0
#include "server/grpc_page.h"

#include <stdlib.h>

bool grpc_page_init(struct grpc_page *page, struct grpc_call *call, int32_t page_size,
                    const char *page_token) {
    bool all = page_size <= 0 || page_size > GRPC_PAGE_MAX;
    *page = (struct grpc_page){.arena = &call->arena, .size_max = all ? GRPC_PAGE_MAX : (size_t)page_size};
    struct writer name;
    writer_init(&name);
    bool valid = grpc_base64_decode(&name, slice_from_text(page_token)) == STATUS_OK;
    if (valid) page->after = arena_copy(&call->arena, writer_slice(&name));
    writer_release(&name);
    if (!valid) grpc_call_fail_field(call, "page_token", "not a token that a page ended with");
    return valid;
}

bool grpc_page_wants(const struct grpc_page *page, struct slice name) {
    return page->after.size == 0 || slice_compare(name, page->after) > 0;
}

void grpc_page_add(struct grpc_page *page, struct slice name, void *item) {
    if (page->count == page->capacity) {
        size_t capacity = page->capacity == 0 ? 16 : 2 * page->capacity;
        struct grpc_page_item *more = arena_calloc(page->arena, capacity, sizeof *more);
        if (page->count != 0) memcpy(more, page->items, page->count * sizeof *more);
        page->items = more;
        page->capacity = capacity;
    }
    page->items[page->count++] = (struct grpc_page_item){arena_copy(page->arena, name), item};
}

static int by_name(const void *a, const void *b) {
    const struct grpc_page_item *left = a, *right = b;
    return slice_compare(left->name, right->name);
}

void **grpc_page_finish(struct grpc_page *page, size_t *count, char **next_page_token) {
    if (page->count > 1) qsort(page->items, page->count, sizeof *page->items, by_name);
    *count = page->count < page->size_max ? page->count : page->size_max;
    void **items = arena_calloc(page->arena, *count + 1, sizeof *items);
    for (size_t i = 0; i < *count; i++)
        items[i] = page->items[i].item;
    if (*count == page->count) return items;
    struct writer token;
    writer_init(&token);
    grpc_base64_encode(&token, page->items[*count - 1].name);
    *next_page_token = arena_text(page->arena, writer_slice(&token));
    writer_release(&token);
    return items;
}
