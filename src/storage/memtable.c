// SPDX-License-Identifier: Apache-2.0
#include "storage/memtable.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "storage/memtable_node.h"

/* Pages grow, so that a memtable that holds little is charged for little. The last size is a huge page's. */
#define PAGE_SIZE_MIN (8 * KIB)
#define PAGE_ALIGN    ((size_t)64)
#define ENTRY_ALIGN   _Alignof(struct memtable_entry)
#define PAGE_SIZE_MAX MEM_HUGE_SIZE
/* Nodes lie together, in slabs: what is searched is dense. */
#define SLAB_SIZE_MAX (64 * KIB)
#define DEPTH_MAX     12u /* 32^12 keys: out of reach */

/* The path from the root to a leaf: by level the node and the child taken. */
struct path {
    struct memtable_node *nodes[DEPTH_MAX];
    uint32_t children[DEPTH_MAX];
};

/* ---- memory ------------------------------------------------------------------------------------------ */

/* Takes over the caller's reference. */
static uint32_t add_owner(struct memtable *memtable, struct buffer *owner) {
    if (memtable->owner_count == memtable->owner_capacity) {
        memtable->owner_capacity = MAX(memtable->owner_capacity * 2, 16u);
        memtable->owners = mem_realloc(memtable->owners, memtable->owner_capacity * sizeof(void *));
    }
    memtable->owners[memtable->owner_count] = owner;
    memtable->owner_bytes += sizeof *owner + owner->size;
    return memtable->owner_count++;
}

/* The index of `owner` among the buffers held: it remembers it itself, and what it remembers is checked.
 * Values arrive buffer by buffer, on many connections in turn, and each buffer is to be held and charged
 * once. */
static uint32_t own(struct memtable *memtable, struct buffer *owner) {
    if (owner->memo < memtable->owner_count && memtable->owners[owner->memo] == owner) return owner->memo;
    owner->memo = add_owner(memtable, buffer_ref(owner));
    return owner->memo;
}

/* align: a power of two, at least ENTRY_ALIGN. */
static void *page_alloc(struct memtable *memtable, size_t align, size_t size) {
    size_t skip = -(uintptr_t)memtable->page_pos & (align - 1);
    size = (size + ENTRY_ALIGN - 1) & ~(ENTRY_ALIGN - 1);
    if (size + skip > (size_t)(memtable->page_end - memtable->page_pos)) {
        struct buffer *page = buffer_new(MAX(memtable->page_size - sizeof *page, size + align + PAGE_ALIGN));
        memtable->page = add_owner(memtable, page);
        /* From the same alignment on, and as long, wherever the page lies. */
        memtable->page_pos = page->data + (-(uintptr_t)page->data & (PAGE_ALIGN - 1));
        memtable->page_end = memtable->page_pos + page->size - PAGE_ALIGN;
        memtable->page_size = MIN(memtable->page_size * 2, PAGE_SIZE_MAX);
        skip = -(uintptr_t)memtable->page_pos & (align - 1);
    }
    void *at = memtable->page_pos + skip;
    memtable->page_pos += skip + size;
    return at;
}

static struct memtable_node *node_new(struct memtable *memtable, uint8_t level) {
    size_t size = memtable_node_size(level);
    if (size > (size_t)(memtable->slab_end - memtable->slab_pos)) {
        size_t slab = MAX(MIN(memtable->page_size / 8, SLAB_SIZE_MAX), size);
        memtable->slab_pos = page_alloc(memtable, 64, slab);
        memtable->slab_end = memtable->slab_pos + slab;
    }
    struct memtable_node *node = memtable_node_init(memtable->slab_pos, level);
    memtable->slab_pos += size;
    return node;
}

/* ---- life -------------------------------------------------------------------------------------------- */

struct memtable *memtable_new(void) {
    struct memtable *memtable = mem_calloc(1, sizeof *memtable);
    memtable->pins = 1;
    memtable->page_size = PAGE_SIZE_MIN;
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
    mem_free(memtable);
}

size_t memtable_bytes(const struct memtable *memtable) {
    return sizeof *memtable + memtable->owner_bytes + memtable->owner_capacity * sizeof(void *) +
           tombstone_set_bytes(&memtable->tombstones);
}

/* ---- the tree ---------------------------------------------------------------------------------------- */

static struct memtable_node *find_leaf(const struct memtable *memtable, struct slice key, struct path *path) {
    struct memtable_node *node = memtable->root;
    while (node->level > 0) {
        bool equal;
        uint32_t at = memtable_node_search(node, key, &equal);
        path->nodes[node->level] = node;
        path->children[node->level] = at += equal;
        node = node->children[at];
    }
    return node;
}

/* Where a full node is cut when an entry goes to slot `at`: a run of insertions that follow each other keeps
 * the left node full, anything else halves it. */
static uint32_t split_point(const struct memtable_node *node, uint32_t at) {
    if (at == node->count) return node->level > 0 ? at - 1u : at;
    return at > 1 && node->last + 1u == at ? at : node->count / 2u;
}

static void grow(struct memtable *memtable, const struct memtable_entry *separator,
                 struct memtable_node *child) {
    struct memtable_node *root = node_new(memtable, (uint8_t)(memtable->root->level + 1));
    ASSERT_LT(root->level, DEPTH_MAX);
    root->children[0] = memtable->root;
    memtable_node_insert(root, 0, separator, child);
    MEMTABLE_STORE(memtable->root, root);
}

/* Makes `child`, which begins at `separator`, known in the level above, where the path went left of it. */
static void insert_child(struct memtable *memtable, const struct path *path,
                         const struct memtable_entry *separator, struct memtable_node *child) {
    uint32_t root_level = memtable->root->level;
    for (uint32_t level = 1; level <= root_level; level++) {
        struct memtable_node *node = path->nodes[level];
        uint32_t at = path->children[level];
        if (node->count < MEMTABLE_FANOUT - 1) {
            memtable_node_insert(node, at, separator, child);
            return;
        }
        /* The separator at the cut goes up; what is behind it goes to a new node. */
        uint32_t cut = split_point(node, at);
        const struct memtable_entry *middle = node->entries[cut];
        struct memtable_node *right = node_new(memtable, node->level);
        memtable_node_fill(right, node, cut + 1, node->count);
        memtable_node_cut(node, cut, NULL);
        if (at <= cut)
            memtable_node_insert(node, at, separator, child);
        else
            memtable_node_insert(right, at - cut - 1, separator, child);
        separator = middle;
        child = right;
    }
    grow(memtable, separator, child);
}

/* Splits a full leaf and puts the entry, which belongs before slot `at`, into one of the halves. */
static struct memtable_node *split_leaf(struct memtable *memtable, struct memtable_node *leaf, uint32_t at,
                                        const struct memtable_entry *entry) {
    struct path path;
    struct memtable_node *found = find_leaf(memtable, memtable_entry_key(entry), &path);
    ASSERT(found == leaf);
    MEMTABLE_STORE(memtable->structure, memtable->structure + 1);
    uint32_t cut = split_point(leaf, at);
    struct memtable_node *right = node_new(memtable, 0), *taker = right;
    memtable_node_fill(right, leaf, cut, leaf->count);
    if (at < cut || (at == cut && right->count > 0)) taker = leaf;
    if (taker == right) memtable_node_insert(right, at - cut, entry, NULL);
    right->low = right->entries[0];
    right->next = leaf->next;
    right->prev = leaf;
    if (leaf->next != NULL)
        MEMTABLE_STORE(leaf->next->prev, right);
    else
        MEMTABLE_STORE(memtable->last_leaf, right);
    memtable_node_cut(leaf, cut, right);
    if (taker == leaf) memtable_node_insert(leaf, at, entry, NULL);
    insert_child(memtable, &path, right->low, right);
    MEMTABLE_STORE(memtable->structure, memtable->structure + 1);
    return taker;
}

/* ---- inserting --------------------------------------------------------------------------------------- */

/* Keys of one partition have the same bytes before their last eight. */
static struct memtable_node **finger_of(struct memtable *memtable, struct slice key) {
    if (key.size < 16) return &memtable->fingers[0];
    uint64_t first, second;
    memcpy(&first, key.data, 8);
    memcpy(&second, key.data + key.size - 16, 8);
    uint64_t hash = (first ^ (second << 29 | second >> 35)) * 0x9e3779b97f4a7c15u;
    return &memtable->fingers[hash >> 58];
}

/* The key belongs behind the last key of `leaf`. */
static bool finger_fits(const struct memtable_node *leaf, struct slice key) {
    if (leaf == NULL || leaf->count == 0) return false;
    if (slice_compare(key, memtable_entry_key(leaf->entries[leaf->count - 1])) <= 0) return false;
    const struct memtable_node *next = leaf->next;
    return next == NULL || slice_compare(key, memtable_entry_key(next->low)) < 0;
}

/* Where a key belongs: before slot `at`, or, when it is there already, in it. */
struct place {
    struct memtable_node **finger, *leaf;
    uint32_t at;
    bool equal;
};

static struct place find_place(struct memtable *memtable, struct slice key) {
    struct place place = {.finger = finger_of(memtable, key)};
    if (finger_fits(*place.finger, key)) {
        place.leaf = *place.finger;
        place.at = place.leaf->count;
    } else {
        struct path path;
        place.leaf = find_leaf(memtable, key, &path);
        place.at = memtable_node_search(place.leaf, key, &place.equal);
    }
    return place;
}

static void insert(struct memtable *memtable, const struct place *place, const struct memtable_entry *entry) {
    struct memtable_node *leaf = place->leaf;
    if (place->equal)
        MEMTABLE_STORE(leaf->entries[place->at], entry);
    else if (leaf->count < MEMTABLE_FANOUT)
        memtable_node_insert(leaf, place->at, entry, NULL);
    else
        leaf = split_leaf(memtable, leaf, place->at, entry);
    *place->finger = leaf;
}

static void note_sequence(struct memtable *memtable, uint64_t sequence) {
    if (memtable->first_sequence == 0) memtable->first_sequence = sequence;
    MEMTABLE_STORE(memtable->last_sequence, sequence);
}

/* kind: with MEMTABLE_ENTRY_REFERRED when there is a reference. */
static void add(struct memtable *memtable, struct slice key, uint64_t sequence, unsigned kind,
                struct slice copied, const struct memtable_reference *reference, struct buffer *owner) {
    ASSERT_LE(key.size, (size_t)UINT16_MAX);
    ASSERT(memtable->last_sequence <= sequence && sequence <= MEMTABLE_SEQUENCE_MAX);
    struct place place = find_place(memtable, key);
    const struct memtable_entry *older = place.equal ? place.leaf->entries[place.at] : NULL;
    size_t before = (reference != NULL ? sizeof *reference : 0) + (older != NULL ? sizeof older : 0);
    uint8_t *at = page_alloc(memtable, ENTRY_ALIGN,
                             before + sizeof(struct memtable_entry) + key.size + copied.size);
    struct memtable_entry *entry = (struct memtable_entry *)(void *)(at + before);
    if (reference != NULL) memcpy(at, reference, sizeof *reference);
    if (older != NULL) memcpy((uint8_t *)entry - sizeof older, &older, sizeof older);
    uint64_t stamp = sequence << 8 | kind | (older != NULL ? MEMTABLE_ENTRY_OLDER : 0);
    memcpy(entry->stamp, &stamp, sizeof stamp);
    entry->owner = reference == NULL ? memtable->page : owner == NULL ? UINT32_MAX : own(memtable, owner);
    entry->key_size = (uint16_t)key.size;
    entry->copied_size = (uint16_t)copied.size;
    if (key.size > 0) memcpy(entry->key, key.data, key.size);
    if (copied.size > 0) memcpy(entry->key + key.size, copied.data, copied.size);
    insert(memtable, &place, entry);
    memtable->entry_count++;
    note_sequence(memtable, sequence);
}

void memtable_put(struct memtable *memtable, struct slice key, uint64_t sequence,
                  const struct memtable_value *value) {
    struct slice bytes = value->bytes.bytes;
    if (bytes.size <= MEMTABLE_COPY_MAX) {
        add(memtable, key, sequence, ENTRY_PUT, bytes, NULL, NULL);
        return;
    }
    struct memtable_reference reference = {bytes.data, (uint32_t)bytes.size, value->crc};
    add(memtable, key, sequence, ENTRY_PUT | MEMTABLE_ENTRY_REFERRED, SLICE_EMPTY, &reference,
        value->bytes.owner);
}

void memtable_delete(struct memtable *memtable, struct slice key, uint64_t sequence) {
    add(memtable, key, sequence, ENTRY_DELETE, SLICE_EMPTY, NULL, NULL);
}

void memtable_delete_range(struct memtable *memtable, struct slice from, struct slice to, uint64_t sequence) {
    ASSERT_LE(memtable->last_sequence, sequence);
    tombstone_set_add(&memtable->tombstones, from, to, sequence);
    note_sequence(memtable, sequence);
}

void memtable_rollback(struct memtable *memtable, uint64_t sequence) {
    for (struct memtable_node *leaf = memtable->first_leaf; leaf != NULL; leaf = leaf->next)
        memtable->entry_count -= memtable_node_rollback(leaf, sequence);
    tombstone_set_rollback(&memtable->tombstones, sequence);
    MEMTABLE_STORE(memtable->last_sequence, MIN(memtable->last_sequence, sequence));
    if (memtable->first_sequence > sequence) memtable->first_sequence = memtable->last_sequence = 0;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

/* The newest entry of `key`. Without `exact` a key that is there may be missed. */
MEMTABLE_INLINE const struct memtable_entry *look_up(const struct memtable *memtable, struct slice key,
                                                     bool exact) {
    while (true) {
        uint32_t structure = MEMTABLE_LOAD(memtable->structure);
        const struct memtable_node *node = MEMTABLE_LOAD(memtable->root);
        bool equal;
        while (node->level > 0) {
            uint32_t at = exact ? memtable_node_search(node, key, &equal)
                                : memtable_node_rank(node, key, &equal);
            node = MEMTABLE_LOAD(node->children[at + equal]);
        }
        for (uint32_t i = 0; i < MEMTABLE_FANOUT; i += 8)
            __builtin_prefetch(&node->entries[i]);
        uint32_t version = MEMTABLE_LOAD(node->version);
        uint32_t at = memtable_node_rank(node, key, &equal);
        const struct memtable_entry *entry = equal ? MEMTABLE_LOAD(node->entries[at]) : NULL;
        memtable_node_fence();
        bool changed = version % 2 != 0 || MEMTABLE_LOAD(node->version) != version || structure % 2 != 0 ||
                       MEMTABLE_LOAD(memtable->structure) != structure;
        if (!changed) return entry;
    }
}

MEMTABLE_CLONES const struct memtable_entry *memtable_get(const struct memtable *memtable, struct slice key,
                                                          uint64_t snapshot) {
    const struct memtable_entry *entry = look_up(memtable, key, false);
    if (entry == NULL && MEMTABLE_LOAD(memtable->root)->level > 0) entry = look_up(memtable, key, true);
    while (entry != NULL && memtable_entry_sequence(entry) > snapshot)
        entry = memtable_entry_older(entry);
    return entry;
}

static uint64_t check_versions(const struct memtable_entry *entry) {
    uint64_t count = 1;
    for (const struct memtable_entry *older; (older = memtable_entry_older(entry)) != NULL; count++) {
        ASSERT_LE(memtable_entry_sequence(older), memtable_entry_sequence(entry));
        ASSERT(memtable_node_is(older, memtable_entry_key(entry)));
        entry = older;
    }
    return count;
}

/* Checks the subtree, whose keys are in [low, high), and returns how many entries it has; *leaf is its first
 * leaf and becomes the one behind its last. */
static uint64_t check_subtree(const struct memtable_node *node, const struct memtable_entry *low,
                              const struct memtable_entry *high, const struct memtable_node **leaf) {
    memtable_node_check(node);
    uint64_t entries = 0;
    if (node->count > 0 && low != NULL)
        ASSERT(slice_compare(memtable_entry_key(low), memtable_entry_key(node->entries[0])) <= 0);
    if (node->count > 0 && high != NULL)
        ASSERT(slice_compare(memtable_entry_key(node->entries[node->count - 1]), memtable_entry_key(high)) <
               0);
    if (node->level == 0) {
        ASSERT(node == *leaf && node->low == low);
        *leaf = node->next;
        ASSERT(node->next == NULL || node->next->prev == node);
        for (uint32_t i = 0; i < node->count; i++)
            entries += check_versions(node->entries[i]);
        return entries;
    }
    for (uint32_t i = 0; i <= node->count; i++) {
        ASSERT_EQ(node->children[i]->level + 1, node->level);
        entries += check_subtree(node->children[i], i == 0 ? low : node->entries[i - 1],
                                 i == node->count ? high : node->entries[i], leaf);
    }
    return entries;
}

void memtable_check(const struct memtable *memtable) {
    const struct memtable_node *leaf = memtable->first_leaf;
    ASSERT_EQ(memtable->structure % 2, 0u);
    uint64_t entries = check_subtree(memtable->root, NULL, NULL, &leaf);
    ASSERT(leaf == NULL && memtable->last_leaf->next == NULL);
    ASSERT_EQ(entries, memtable->entry_count);
    tombstone_set_check(&memtable->tombstones);
}
