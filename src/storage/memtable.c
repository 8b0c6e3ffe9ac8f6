// SPDX-License-Identifier: Apache-2.0
#include "storage/memtable.h"

#include "base/assert.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "base/units.h"

#define MEMTABLE_ARENA_BLOCK (64 * KIB)
#define MEMTABLE_DEPTH_MAX   12u /* 32^12 entries: out of reach */

struct memtable_node {
    uint16_t count;
    uint16_t prefix_size;
    uint16_t level;   /* 0: leaf */
    uint16_t last;    /* where the last insertion went */
    uint32_t changes; /* insertions and removals so far: cursors notice */
    struct memtable_node *next, *prev;
    uint64_t heads[MEMTABLE_FANOUT];
    const struct memtable_entry *entries[MEMTABLE_FANOUT];
    struct memtable_node *children[]; /* inner nodes only */
};

/* The path from the root to a leaf, with the index taken in each inner node. */
struct memtable_path {
    struct memtable_node *nodes[MEMTABLE_DEPTH_MAX];
    uint32_t indexes[MEMTABLE_DEPTH_MAX];
};

/* ---- nodes ------------------------------------------------------------------------------------------- */

static struct memtable_node *node_new(struct memtable *memtable, uint16_t level) {
    size_t size = sizeof(struct memtable_node) + (level > 0 ? MEMTABLE_FANOUT * sizeof(void *) : 0);
    struct memtable_node *node = arena_alloc_aligned(&memtable->arena, 64, size);
    node->count = node->prefix_size = node->last = 0;
    node->level = level;
    node->changes = 0;
    node->next = node->prev = NULL;
    return node;
}

/* The eight bytes of `key` from `skip` on as an integer; bytes past its end count as zero. */
static inline uint64_t key_head(struct slice key, size_t skip) {
    if (key.size >= skip + 8) return load_be64(key.data + skip);
    uint64_t head = 0;
    for (size_t i = skip; i < skip + 8; i++)
        head = head << 8 | (i < key.size ? key.data[i] : 0);
    return head;
}

/* The prefix that two keys share, short of the last eight bytes so that a run of numbers stays in the head.
 */
static uint16_t shared_prefix(const struct memtable_entry *a, const struct memtable_entry *b) {
    size_t most = MIN(a->key_size, b->key_size), size = 0;
    most = most > 8 ? most - 8 : 0;
    while (size < most && a->key[size] == b->key[size])
        size++;
    return (uint16_t)size;
}

/* The first slot that holds a real key: slot 0 of an inner node stands for minus infinity. */
static inline uint32_t node_first(const struct memtable_node *node) {
    return node->level > 0 ? 1 : 0;
}

static void node_rebuild(struct memtable_node *node) {
    uint32_t first = node_first(node);
    node->prefix_size = 0;
    if (node->count <= first) return;
    node->prefix_size = shared_prefix(node->entries[first], node->entries[node->count - 1]);
    for (uint32_t i = first; i < node->count; i++)
        node->heads[i] = key_head(memtable_entry_key(node->entries[i]), node->prefix_size);
}

/* Order of (key, falling sequence) against an entry. */
static int target_compare(struct slice key, uint64_t sequence, const struct memtable_entry *entry) {
    int order = slice_compare(key, memtable_entry_key(entry));
    if (order != 0) return order;
    return (sequence < entry->sequence) - (sequence > entry->sequence);
}

/* The first slot whose entry is at or after (key, sequence). */
static inline uint32_t node_lower_bound(const struct memtable_node *node, struct slice key,
                                        uint64_t sequence) {
    uint32_t first = node_first(node), count = node->count;
    if (count <= first) return count;
    size_t prefix = node->prefix_size;
    if (prefix > 0) {
        int order = key.size == 0 ? 0 : memcmp(key.data, node->entries[first]->key, MIN(prefix, key.size));
        if (order < 0 || (order == 0 && key.size < prefix)) return first;
        if (order > 0) return count;
    }
    uint64_t head = key_head(key, prefix);
    const uint64_t *base = node->heads + first;
    uint32_t left = count - first;
    while (left > 1) { /* branchless: the answer stays in [base, base + left] */
        uint32_t half = left / 2;
        base += base[half - 1] < head ? half : 0;
        left -= half;
    }
    uint32_t at = (uint32_t)(base - node->heads) + (*base < head ? 1u : 0u);
    while (at < count && node->heads[at] == head && target_compare(key, sequence, node->entries[at]) > 0)
        at++;
    return at;
}

/* Which child of an inner node holds (key, sequence). */
static inline uint32_t node_child(const struct memtable_node *node, struct slice key, uint64_t sequence) {
    uint32_t at = node_lower_bound(node, key, sequence);
    bool exact = at < node->count && target_compare(key, sequence, node->entries[at]) == 0;
    return exact ? at : at - 1;
}

static void node_insert(struct memtable_node *node, uint32_t at, const struct memtable_entry *entry,
                        struct memtable_node *child) {
    ASSERT_LT(node->count, MEMTABLE_FANOUT);
    uint32_t tail = node->count - at;
    memmove(node->heads + at + 1, node->heads + at, tail * sizeof *node->heads);
    memmove(node->entries + at + 1, node->entries + at, tail * sizeof(void *));
    node->entries[at] = entry;
    if (node->level > 0) {
        memmove(node->children + at + 1, node->children + at, tail * sizeof(void *));
        node->children[at] = child;
    }
    node->count++;
    node->changes++;
    node->last = (uint16_t)at;
    uint32_t first = node_first(node);
    const struct memtable_entry *other = node->entries[at == first ? node->count - 1u : first];
    struct slice key = memtable_entry_key(entry);
    bool fits = node->count - first > 1 && key.size >= node->prefix_size &&
                memcmp(entry->key, other->key, node->prefix_size) == 0;
    if (fits)
        node->heads[at] = key_head(key, node->prefix_size);
    else
        node_rebuild(node);
}

/* Moves the slots from `at` on to a new node to the right, which is returned. */
static struct memtable_node *node_split(struct memtable *memtable, struct memtable_node *node, uint32_t at) {
    struct memtable_node *right = node_new(memtable, node->level);
    uint32_t moved = node->count - at;
    memcpy(right->entries, node->entries + at, moved * sizeof(void *));
    if (node->level > 0) memcpy(right->children, node->children + at, moved * sizeof(void *));
    right->count = (uint16_t)moved;
    node->count = (uint16_t)at;
    node->changes++;
    if (node->level == 0) {
        right->next = node->next;
        right->prev = node;
        if (node->next != NULL)
            node->next->prev = right;
        else
            memtable->last_leaf = right;
        node->next = right;
    }
    node_rebuild(node);
    node_rebuild(right);
    return right;
}

/* Where a full node is cut when an entry goes to slot `at`: a run of insertions that follow each other keeps
 * the left node full, anything else halves it. */
static uint32_t split_point(const struct memtable_node *node, uint32_t at) {
    bool run = at > node_first(node) && node->last + 1u == at;
    return run ? at : node->count / 2u;
}

/* ---- descent and insertion --------------------------------------------------------------------------- */

static const struct memtable_node *find_leaf(const struct memtable *memtable, struct slice key,
                                             uint64_t sequence) {
    const struct memtable_node *node = memtable->root;
    while (node->level > 0)
        node = node->children[node_child(node, key, sequence)];
    return node;
}

/* Puts `child`, whose smallest entry is `entry`, behind slot path->indexes[level] of the path's inner node.
 */
static void insert_child(struct memtable *memtable, struct memtable_path *path, uint32_t level,
                         const struct memtable_entry *entry, struct memtable_node *child) {
    while (true) {
        struct memtable_node *node = level < MEMTABLE_DEPTH_MAX ? path->nodes[level] : NULL;
        if (node == NULL) {
            ASSERT_LT(level, MEMTABLE_DEPTH_MAX);
            struct memtable_node *root = node_new(memtable, (uint16_t)level);
            root->entries[0] = NULL;
            root->heads[0] = 0;
            root->children[0] = memtable->root;
            root->count = 1;
            node_insert(root, 1, entry, child);
            memtable->root = root;
            return;
        }
        uint32_t at = path->indexes[level] + 1;
        if (node->count < MEMTABLE_FANOUT) {
            node_insert(node, at, entry, child);
            return;
        }
        uint32_t cut = MIN(MAX(split_point(node, at), 2u), node->count - 1u);
        struct memtable_node *right = node_split(memtable, node, cut);
        const struct memtable_entry *middle = right->entries[0];
        if (at > cut)
            node_insert(right, at - cut, entry, child);
        else
            node_insert(node, at, entry, child);
        entry = middle;
        child = right;
        level++;
    }
}

static void leaf_insert(struct memtable *memtable, struct memtable_node *leaf,
                        const struct memtable_entry *entry) {
    struct slice key = memtable_entry_key(entry);
    uint32_t at = node_lower_bound(leaf, key, entry->sequence);
    if (leaf->count < MEMTABLE_FANOUT) {
        node_insert(leaf, at, entry, NULL);
        memtable->finger = leaf;
        return;
    }
    struct memtable_path path = {.nodes = {NULL}};
    for (struct memtable_node *node = memtable->root; node->level > 0;) {
        uint32_t index = node_child(node, key, entry->sequence);
        path.nodes[node->level] = node;
        path.indexes[node->level] = index;
        node = node->children[index];
    }
    uint32_t cut = split_point(leaf, at);
    struct memtable_node *right;
    if (at == leaf->count) { /* appended: the new leaf begins with it */
        right = node_split(memtable, leaf, leaf->count);
        node_insert(right, 0, entry, NULL);
        memtable->finger = right;
    } else {
        right = node_split(memtable, leaf, cut);
        memtable->finger = at <= cut ? leaf : right;
        node_insert(memtable->finger, at <= cut ? at : at - cut, entry, NULL);
    }
    insert_child(memtable, &path, 1, right->entries[0], right);
}

/* Sequential insertion: the entry belongs behind the last entry of the finger's leaf. */
static bool finger_fits(const struct memtable_node *leaf, struct slice key, uint64_t sequence) {
    if (leaf == NULL || leaf->count == 0) return false;
    if (target_compare(key, sequence, leaf->entries[leaf->count - 1]) < 0) return false;
    const struct memtable_node *next = leaf->next;
    return next == NULL || (next->count > 0 && target_compare(key, sequence, next->entries[0]) < 0);
}

static struct memtable_entry *memtable_add(struct memtable *memtable, struct slice key, uint64_t sequence,
                                           enum entry_kind kind) {
    ASSERT_LE(key.size, (size_t)UINT16_MAX);
    ASSERT_LE(memtable->last_sequence, sequence);
    struct memtable_entry *entry = arena_alloc(&memtable->arena, sizeof *entry + key.size);
    *entry = (struct memtable_entry){
        .sequence = sequence, .kind = (uint8_t)kind, .key_size = (uint16_t)key.size, .owner = UINT32_MAX};
    if (key.size > 0) memcpy(entry->key, key.data, key.size);
    struct memtable_node *leaf = memtable->finger;
    if (!finger_fits(leaf, key, sequence))
        leaf = (struct memtable_node *)(uintptr_t)find_leaf(memtable, key, sequence);
    leaf_insert(memtable, leaf, entry);
    memtable->entry_count++;
    if (memtable->first_sequence == 0) memtable->first_sequence = sequence;
    memtable->last_sequence = sequence;
    return entry;
}

/* ---- life -------------------------------------------------------------------------------------------- */

struct memtable *memtable_new(void) {
    struct memtable *memtable = mem_calloc(1, sizeof *memtable);
    memtable->pins = 1;
    arena_init(&memtable->arena, MEMTABLE_ARENA_BLOCK);
    tombstone_set_init(&memtable->tombstones);
    memtable->root = memtable->first_leaf = memtable->last_leaf = node_new(memtable, 0);
    return memtable;
}

struct memtable *memtable_pin(struct memtable *memtable) {
    ASSERT(memtable->pins > 0);
    memtable->pins++;
    return memtable;
}

void memtable_unpin(struct memtable *memtable) {
    if (memtable == NULL) return;
    ASSERT(memtable->pins > 0);
    if (--memtable->pins > 0) return;
    for (uint32_t i = 0; i < memtable->owner_count; i++)
        buffer_unref(memtable->owners[i]);
    mem_free(memtable->owners);
    tombstone_set_release(&memtable->tombstones);
    arena_release(&memtable->arena);
    mem_free(memtable);
}

/* The index of `owner` among the buffers held. Values arrive buffer by buffer, so looking at the last few is
 * enough; holding one twice is harmless, and counted twice. */
static uint32_t memtable_own(struct memtable *memtable, struct buffer *owner) {
    for (uint32_t i = memtable->owner_count; i > 0 && i + 4 > memtable->owner_count; i--)
        if (memtable->owners[i - 1] == owner) return i - 1;
    if (memtable->owner_count == memtable->owner_capacity) {
        memtable->owner_capacity = MAX(memtable->owner_capacity * 2, 16u);
        memtable->owners = mem_realloc(memtable->owners, memtable->owner_capacity * sizeof(void *));
    }
    memtable->owners[memtable->owner_count] = buffer_ref(owner);
    memtable->owner_bytes += sizeof *owner + owner->size;
    return memtable->owner_count++;
}

void memtable_put(struct memtable *memtable, struct slice key, uint64_t sequence,
                  const struct memtable_value *value) {
    struct memtable_entry *entry = memtable_add(memtable, key, sequence, ENTRY_PUT);
    entry->value = value->bytes.bytes.data;
    entry->value_size = (uint32_t)value->bytes.bytes.size;
    entry->value_crc = value->crc;
    entry->log_segment = value->log_segment;
    entry->log_offset = value->log_offset;
    if (value->bytes.owner != NULL) entry->owner = memtable_own(memtable, value->bytes.owner);
}

void memtable_delete(struct memtable *memtable, struct slice key, uint64_t sequence) {
    memtable_add(memtable, key, sequence, ENTRY_DELETE);
}

void memtable_delete_range(struct memtable *memtable, struct slice from, struct slice to, uint64_t sequence) {
    ASSERT_LE(memtable->last_sequence, sequence);
    tombstone_set_add(&memtable->tombstones, from, to, sequence);
    if (memtable->first_sequence == 0) memtable->first_sequence = sequence;
    memtable->last_sequence = sequence;
}

void memtable_rollback(struct memtable *memtable, uint64_t sequence) {
    for (struct memtable_node *leaf = memtable->first_leaf; leaf != NULL; leaf = leaf->next) {
        uint16_t kept = 0;
        for (uint32_t i = 0; i < leaf->count; i++)
            if (leaf->entries[i]->sequence <= sequence) leaf->entries[kept++] = leaf->entries[i];
        if (kept == leaf->count) continue;
        memtable->entry_count -= leaf->count - kept;
        leaf->count = kept;
        leaf->last = 0;
        leaf->changes++;
        node_rebuild(leaf);
    }
    tombstone_set_rollback(&memtable->tombstones, sequence);
    memtable->last_sequence = MIN(memtable->last_sequence, sequence);
    if (memtable->first_sequence > sequence) memtable->first_sequence = memtable->last_sequence = 0;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

const struct memtable_entry *memtable_get(const struct memtable *memtable, struct slice key,
                                          uint64_t snapshot) {
    const struct memtable_node *leaf = find_leaf(memtable, key, snapshot);
    uint32_t at = node_lower_bound(leaf, key, snapshot);
    while (at == leaf->count) {
        leaf = leaf->next;
        if (leaf == NULL) return NULL;
        at = 0;
    }
    const struct memtable_entry *entry = leaf->entries[at];
    return slice_equal(memtable_entry_key(entry), key) ? entry : NULL;
}

struct shared_slice memtable_value(const struct memtable *memtable, const struct memtable_entry *entry) {
    ASSERT_EQ(entry->kind, ENTRY_PUT);
    struct buffer *owner = entry->owner == UINT32_MAX ? NULL : memtable->owners[entry->owner];
    return (struct shared_slice){slice_make(entry->value, entry->value_size), owner};
}

size_t memtable_bytes(const struct memtable *memtable) {
    return sizeof *memtable + memtable->arena.bytes + memtable->owner_bytes +
           memtable->owner_capacity * sizeof(void *) + tombstone_set_bytes(&memtable->tombstones);
}

void memtable_check(const struct memtable *memtable) {
    const struct memtable_entry *before = NULL;
    uint64_t entries = 0;
    for (const struct memtable_node *leaf = memtable->first_leaf; leaf != NULL; leaf = leaf->next) {
        ASSERT_EQ(leaf->level, 0);
        ASSERT(leaf->next == NULL ? leaf == memtable->last_leaf : leaf->next->prev == leaf);
        for (uint32_t i = 0; i < leaf->count; i++) {
            const struct memtable_entry *entry = leaf->entries[i];
            struct slice key = memtable_entry_key(entry);
            ASSERT_EQ(leaf->heads[i], key_head(key, leaf->prefix_size));
            if (before != NULL)
                ASSERT(target_compare(memtable_entry_key(before), before->sequence, entry) < 0);
            const struct memtable_node *found = find_leaf(memtable, key, entry->sequence);
            ASSERT(found == leaf);
            before = entry;
        }
        entries += leaf->count;
    }
    ASSERT_EQ(entries, memtable->entry_count);
    tombstone_set_check(&memtable->tombstones);
}

/* ---- cursors ----------------------------------------------------------------------------------------- */

void memtable_cursor_init(struct memtable_cursor *cursor, const struct memtable *memtable,
                          uint64_t snapshot) {
    *cursor = (struct memtable_cursor){.memtable = memtable, .snapshot = snapshot};
}

static void cursor_set(struct memtable_cursor *cursor, const struct memtable_node *leaf, uint32_t index) {
    cursor->leaf = leaf;
    cursor->index = index;
    if (leaf == NULL) {
        cursor->entry = NULL;
        return;
    }
    cursor->changes = leaf->changes;
    cursor->entry = leaf->entries[index];
}

static void cursor_step_forward(struct memtable_cursor *cursor, const struct memtable_node *leaf,
                                uint32_t index) {
    while (leaf != NULL && index >= leaf->count) {
        leaf = leaf->next;
        index = 0;
    }
    cursor_set(cursor, leaf, index);
}

/* To the slot before (leaf, index). */
static void cursor_step_back(struct memtable_cursor *cursor, const struct memtable_node *leaf,
                             uint32_t index) {
    while (leaf != NULL && index == 0) {
        leaf = leaf->prev;
        index = leaf == NULL ? 0 : leaf->count;
    }
    cursor_set(cursor, leaf, leaf == NULL ? 0 : index - 1);
}

/* Skips entries that the snapshot does not see. */
static void cursor_settle(struct memtable_cursor *cursor) {
    while (cursor->entry != NULL && cursor->entry->sequence > cursor->snapshot)
        cursor_step_forward(cursor, cursor->leaf, cursor->index + 1);
}

/* After the leaf changed: to the entry again, or to its successor when it was rolled back. */
static void cursor_restore(struct memtable_cursor *cursor) {
    if (cursor->leaf->changes == cursor->changes) return;
    const struct memtable_entry *entry = cursor->entry;
    struct slice key = memtable_entry_key(entry);
    const struct memtable_node *leaf = find_leaf(cursor->memtable, key, entry->sequence);
    cursor->leaf = leaf;
    cursor->index = node_lower_bound(leaf, key, entry->sequence);
    cursor->changes = leaf->changes;
}

static bool entry_same_key(const struct memtable_entry *a, const struct memtable_entry *b) {
    return a->key_size == b->key_size && memcmp(a->key, b->key, a->key_size) == 0;
}

void memtable_cursor_seek(struct memtable_cursor *cursor, struct slice key) {
    const struct memtable_node *leaf = find_leaf(cursor->memtable, key, UINT64_MAX);
    cursor_step_forward(cursor, leaf, node_lower_bound(leaf, key, UINT64_MAX));
    cursor_settle(cursor);
}

void memtable_cursor_first(struct memtable_cursor *cursor) {
    cursor_step_forward(cursor, cursor->memtable->first_leaf, 0);
    cursor_settle(cursor);
}

void memtable_cursor_next(struct memtable_cursor *cursor) {
    const struct memtable_entry *before = cursor->entry;
    ASSERT(before != NULL);
    cursor_restore(cursor);
    cursor_step_forward(cursor, cursor->leaf, cursor->index);
    while (cursor->entry != NULL && entry_same_key(cursor->entry, before)) /* older versions stay behind */
        cursor_step_forward(cursor, cursor->leaf, cursor->index + 1);
    cursor_settle(cursor);
}

/* From any entry back to the newest visible version at or before it. */
static void cursor_settle_back(struct memtable_cursor *cursor) {
    while (cursor->entry != NULL && cursor->entry->sequence > cursor->snapshot)
        cursor_step_back(cursor, cursor->leaf, cursor->index);
    if (cursor->entry == NULL) return;
    while (true) {
        struct memtable_cursor newer = *cursor;
        cursor_step_back(&newer, cursor->leaf, cursor->index);
        if (newer.entry == NULL || newer.entry->sequence > cursor->snapshot) return;
        if (!entry_same_key(newer.entry, cursor->entry)) return;
        *cursor = newer;
    }
}

void memtable_cursor_seek_prev(struct memtable_cursor *cursor, struct slice key) {
    /* The oldest version of `key` sorts last: sequence 0 is below every sequence in use. */
    const struct memtable_node *leaf = find_leaf(cursor->memtable, key, 0);
    cursor_step_back(cursor, leaf, node_lower_bound(leaf, key, 0));
    cursor_settle_back(cursor);
}

void memtable_cursor_last(struct memtable_cursor *cursor) {
    const struct memtable_node *leaf = cursor->memtable->last_leaf;
    cursor_step_back(cursor, leaf, leaf->count);
    cursor_settle_back(cursor);
}

void memtable_cursor_prev(struct memtable_cursor *cursor) {
    const struct memtable_entry *before = cursor->entry;
    ASSERT(before != NULL);
    cursor_restore(cursor);
    do { /* newer versions that the snapshot does not see */
        cursor_step_back(cursor, cursor->leaf, cursor->index);
    } while (cursor->entry != NULL && entry_same_key(cursor->entry, before));
    cursor_settle_back(cursor);
}
