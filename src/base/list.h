// SPDX-License-Identifier: Apache-2.0
/* list.h: intrusive doubly linked list. The node lives in its owner; the list owns nothing.
 *
 * A head and an unlinked node both point at themselves, so list_remove is idempotent. */
#ifndef SENTINEL_BASE_LIST_H
#define SENTINEL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *list) {
    list->next = list->prev = list;
}
static inline bool list_empty(const struct list *list) {
    return list->next == list;
}
static inline void list_insert_before(struct list *at, struct list *node) {
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}
static inline void list_push_back(struct list *list, struct list *node) {
    list_insert_before(list, node);
}
static inline void list_push_front(struct list *list, struct list *node) {
    list_insert_before(list->next, node);
}
static inline void list_remove(struct list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
/* NULL when empty. */
static inline struct list *list_first(const struct list *list) {
    return list_empty(list) ? NULL : list->next;
}
static inline struct list *list_pop_front(struct list *list) {
    struct list *node = list_first(list);
    if (node != NULL) list_remove(node);
    return node;
}
/* Moves every node of `from` to the end of `to`. */
static inline void list_append(struct list *to, struct list *from) {
    if (list_empty(from)) return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}
/* The current node may be removed inside the loop. */
#define LIST_FOREACH(it, head)                                                                               \
    for (struct list *it = (head)->next, *it##_next_ = it->next; it != (head);                               \
         it = it##_next_, it##_next_ = it->next)

#endif
