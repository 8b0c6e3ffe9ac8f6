// SPDX-License-Identifier: Apache-2.0
#include "io/io_sim_disk.h"

#include <errno.h>

#include "base/assert.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "base/units.h"

#define RECENT_FILES  3
#define FILE_SIZE_MAX ((uint64_t)1 << 40)
#define KEY_SIZE_MAX  (sizeof(uint64_t) + IO_SIM_NAME_MAX)

struct io_sim_change {
    struct list link;
    uint64_t sequence, offset, size; /* truncation: the new size, offset unused */
    bool truncation;
    size_t page_count;
    struct io_sim_page *pages[]; /* as they were right after it */
};

struct io_sim_key {
    uint8_t bytes[KEY_SIZE_MAX];
    size_t size; /* 0: none */
};
/* What happened to names: an entry taken away, one added, or both at once. */
struct io_sim_rename {
    struct list link;
    struct io_sim_key removed, added;
    struct io_sim_inode *inode; /* of `added`; referenced */
    bool chosen;
};

/* A bit that is read wrong, or (mask 0) a sector that cannot be read. */
struct io_sim_damage {
    struct list link;
    uint64_t offset;
    uint8_t flip_mask;
};

/* ---- changes of contents ---------------------------------------------------------------------------- */

static void change_free(struct io_sim_inode *inode, struct io_sim_change *change) {
    for (size_t i = 0; i < change->page_count; i++)
        io_sim_page_unref(change->pages[i]);
    list_remove(&change->link);
    inode->pending_count--;
    mem_free(change);
}

static void change_keep(struct io_sim_inode *inode, struct io_sim_change *change) {
    struct io_sim_image *durable = &inode->durable;
    if (change->truncation) {
        io_sim_image_resize(durable, change->size);
        return;
    }
    for (size_t i = 0; i < change->page_count; i++) {
        io_sim_image_set_page(durable, (size_t)(change->offset / IO_SIM_PAGE_SIZE) + i, change->pages[i]);
        change->pages[i] = NULL;
    }
    durable->size = MAX(durable->size, change->offset + change->size);
}

static void change_keep_sector(struct io_sim_inode *inode, const struct io_sim_change *change,
                               uint64_t sector) {
    uint64_t at = sector * IO_SIM_SECTOR_SIZE;
    size_t index = (size_t)(at / IO_SIM_PAGE_SIZE), in_page = (size_t)(at % IO_SIM_PAGE_SIZE);
    const struct io_sim_page *from = change->pages[index - (size_t)(change->offset / IO_SIM_PAGE_SIZE)];
    struct io_sim_page *to = io_sim_image_own_page(&inode->durable, index);
    if (from->filled <= in_page)
        io_sim_page_clear(to, in_page, in_page + IO_SIM_SECTOR_SIZE);
    else
        io_sim_page_read(from, in_page, io_sim_page_fill(to, in_page, IO_SIM_SECTOR_SIZE),
                         IO_SIM_SECTOR_SIZE);
}

static uint64_t first_sector(const struct io_sim_change *change) {
    return change->offset / IO_SIM_SECTOR_SIZE;
}

static uint64_t last_sector(const struct io_sim_change *change) {
    return (change->offset + change->size - 1) / IO_SIM_SECTOR_SIZE;
}

/* Older changes may be lost, so only the sectors of this one get to the disk, not their whole pages. */
static void change_keep_alone(struct io_sim_inode *inode, struct io_sim_change *change) {
    if (change->truncation) {
        change_keep(inode, change);
        return;
    }
    for (uint64_t sector = first_sector(change); sector <= last_sector(change); sector++)
        change_keep_sector(inode, change, sector);
    inode->durable.size = MAX(inode->durable.size, change->offset + change->size);
}

/* Some sectors of a write got to the disk: the first ones, the last ones, or any. */
static void change_tear(struct io_sim_inode *inode, struct io_sim_change *change, struct prng *chance) {
    uint64_t first = first_sector(change), last = last_sector(change);
    uint64_t shape = prng_below(chance, 3), cut = prng_range(chance, first, last);
    for (uint64_t sector = first; sector <= last; sector++) {
        bool kept = shape == 0 ? sector < cut : shape == 1 ? sector >= cut : prng_chance(chance, 1, 2);
        if (kept) change_keep_sector(inode, change, sector);
    }
    /* The size is written on its own: data without size is lost, size without data is zeros. */
    if (prng_chance(chance, 1, 2))
        inode->durable.size = MAX(inode->durable.size, change->offset + change->size);
}

/* How a power cut treats what was not synced; drawn once a crash, so that whole runs are kind or cruel. */
struct crash_mood {
    uint32_t keep_percent, tear_percent;
};

static void change_crash(struct io_sim_inode *inode, struct io_sim_change *change, struct crash_mood mood,
                         struct prng *chance) {
    uint64_t fate = prng_below(chance, 100);
    if (fate < mood.keep_percent)
        change_keep_alone(inode, change);
    else if (fate < mood.keep_percent + mood.tear_percent && !change->truncation)
        change_tear(inode, change, chance);
    change_free(inode, change);
}

static struct io_sim_change *first_change(struct io_sim_inode *inode) {
    struct list *first = list_first(&inode->pending);
    return first == NULL ? NULL : CONTAINER_OF(first, struct io_sim_change, link);
}

static void change_add(struct io_sim_disk *disk, struct io_sim_inode *inode, struct io_sim_change *change) {
    change->sequence = inode->last_change = ++disk->change_sequence;
    list_push_back(&inode->pending, &change->link);
    if (++inode->pending_count <= IO_SIM_PENDING_MAX) return;
    struct io_sim_change *oldest = first_change(inode);
    change_keep(inode, oldest);
    change_free(inode, oldest);
}

/* ---- inodes ----------------------------------------------------------------------------------------- */

static struct io_sim_inode *inode_new(struct io_sim_disk *disk, uint64_t number, bool is_dir) {
    struct io_sim_inode *inode = mem_calloc(1, sizeof *inode);
    inode->number = number;
    inode->is_dir = is_dir;
    inode->seen.pool = inode->durable.pool = disk->pool;
    list_init(&inode->pending);
    list_init(&inode->damages);
    list_push_back(&disk->inodes, &inode->link);
    return inode;
}

void io_sim_inode_ref(struct io_sim_inode *inode) {
    inode->references++;
}

void io_sim_inode_unref(struct io_sim_disk *disk, struct io_sim_inode *inode) {
    ASSERT_LT(0U, inode->references);
    if (--inode->references != 0) return;
    struct io_sim_change *change;
    while ((change = first_change(inode)) != NULL)
        change_free(inode, change);
    LIST_FOREACH(it, &inode->damages)
        mem_free(CONTAINER_OF(it, struct io_sim_damage, link));
    disk->seen_pages -= io_sim_image_pages_used(&inode->seen);
    io_sim_image_release(&inode->seen);
    io_sim_image_release(&inode->durable);
    list_remove(&inode->link);
    mem_free(inode);
}

static void damages_overwrite(struct io_sim_inode *inode, uint64_t offset, uint64_t size) {
    LIST_FOREACH(it, &inode->damages) {
        struct io_sim_damage *damage = CONTAINER_OF(it, struct io_sim_damage, link);
        uint64_t damaged = damage->flip_mask == 0 ? IO_SIM_SECTOR_SIZE : 1;
        if (damage->offset >= offset + size || offset >= damage->offset + damaged) continue;
        list_remove(it);
        mem_free(damage);
    }
}

/* What is still to be written; slices NULL: zeros. */
struct source {
    const struct slice *slices;
    size_t at; /* in the first */
};

/* to NULL: passes over them. */
static void source_take(struct source *source, uint8_t *to, size_t size) {
    while (size > 0) {
        size_t part = MIN(source->slices->size - source->at, size);
        if (to != NULL && part > 0) {
            memcpy(to, source->slices->data + source->at, part);
            to += part;
        }
        size -= part;
        source->at += part;
        if (source->at < source->slices->size) continue;
        source->slices++;
        source->at = 0;
    }
}

/* How many of the next `size` bytes are zeros at their end: of the last slice they are in. */
static size_t zeros_at_end(struct source source, size_t size) {
    while (source.slices->size - source.at < size) {
        size -= source.slices->size - source.at;
        source = (struct source){source.slices + 1, 0};
    }
    const uint8_t *data = source.slices->data + source.at;
    size_t kept = size;
    while (kept >= 8 && load_le64(data + kept - 8) == 0)
        kept -= 8;
    return size - kept;
}

/* A page as it is after bytes [from, to) of it came from the source. */
static struct io_sim_page *page_written(struct io_sim_disk *disk, const struct io_sim_page *before,
                                        struct source *source, size_t from, size_t to) {
    if (source->slices == NULL && (before == NULL || (from == 0 && to == IO_SIM_PAGE_SIZE)))
        return io_sim_page_ref(disk->zeros);
    struct io_sim_page *page = io_sim_page_new(disk->pool);
    bool stays = before != NULL && (from > 0 || before->filled > to);
    if (stays) io_sim_page_copy(page, before);
    size_t size = to - from, zeros = source->slices == NULL ? size : zeros_at_end(*source, size);
    if (zeros < size) source_take(source, io_sim_page_fill(page, from, size - zeros), size - zeros);
    if (source->slices != NULL) source_take(source, NULL, zeros);
    io_sim_page_clear(page, to - zeros, to);
    return page;
}

static bool disk_is_full(const struct io_sim_disk *disk) {
    return disk->faults.capacity_bytes != 0 &&
           (disk->seen_pages + 1) * IO_SIM_PAGE_SIZE > disk->faults.capacity_bytes;
}

static void note_overwritten(struct io_sim_inode *inode, uint64_t from, uint64_t to) {
    if (to > inode->seen.size) return; /* it grows */
    bool first = inode->overwritten.synced || inode->overwritten.from == inode->overwritten.to;
    inode->overwritten.from = first ? from : MIN(inode->overwritten.from, from);
    inode->overwritten.to = first ? to : MAX(inode->overwritten.to, to);
    inode->overwritten.synced = false;
}

int io_sim_inode_write(struct io_sim_disk *disk, struct io_sim_inode *inode, const struct slice *slices,
                       size_t size, uint64_t offset) {
    if (size == 0) return 0;
    if (offset > FILE_SIZE_MAX || size > FILE_SIZE_MAX - offset) return EFBIG;
    size_t first = (size_t)(offset / IO_SIM_PAGE_SIZE),
           last = (size_t)((offset + size - 1) / IO_SIM_PAGE_SIZE);
    struct io_sim_change *change = mem_alloc(sizeof *change +
                                             (last - first + 1) * sizeof(struct io_sim_page *));
    *change = (struct io_sim_change){.offset = offset};
    struct source source = {slices, 0};
    for (size_t i = first; i <= last; i++) {
        struct io_sim_page *before = io_sim_image_page(&inode->seen, i);
        if (before == NULL && disk_is_full(disk)) break;
        uint64_t page_at = (uint64_t)i * IO_SIM_PAGE_SIZE;
        size_t from = offset > page_at ? (size_t)(offset - page_at) : 0;
        size_t to = (size_t)MIN(offset + size - page_at, (uint64_t)IO_SIM_PAGE_SIZE);
        struct io_sim_page *page = page_written(disk, before, &source, from, to);
        disk->seen_pages += before == NULL;
        change->pages[change->page_count++] = page;
        change->size += to - from;
        io_sim_image_set_page(&inode->seen, i, io_sim_page_ref(page));
    }
    if (change->page_count == 0) {
        mem_free(change);
        return ENOSPC;
    }
    bool whole = change->size == size;
    note_overwritten(inode, offset, offset + change->size);
    inode->seen.size = MAX(inode->seen.size, offset + change->size);
    damages_overwrite(inode, offset, change->size);
    change_add(disk, inode, change);
    return whole ? 0 : ENOSPC;
}

int io_sim_inode_read(const struct io_sim_inode *inode, uint8_t *data, size_t size, uint64_t offset,
                      size_t *read) {
    *read = io_sim_image_read(&inode->seen, data, size, offset);
    LIST_FOREACH(it, &inode->damages) {
        const struct io_sim_damage *damage = CONTAINER_OF(it, struct io_sim_damage, link);
        uint64_t damaged = damage->flip_mask == 0 ? IO_SIM_SECTOR_SIZE : 1;
        if (damage->offset >= offset + *read || offset >= damage->offset + damaged) continue;
        if (damage->flip_mask == 0) return EIO;
        data[damage->offset - offset] ^= damage->flip_mask;
    }
    return 0;
}

int io_sim_inode_truncate(struct io_sim_disk *disk, struct io_sim_inode *inode, uint64_t size) {
    if (size > FILE_SIZE_MAX) return EFBIG;
    disk->seen_pages -= io_sim_image_pages_used(&inode->seen);
    io_sim_image_resize(&inode->seen, size);
    disk->seen_pages += io_sim_image_pages_used(&inode->seen);
    struct io_sim_change *change = mem_alloc(sizeof *change);
    *change = (struct io_sim_change){.size = size, .truncation = true};
    change_add(disk, inode, change);
    return 0;
}

void io_sim_inode_sync(struct io_sim_disk *disk, struct io_sim_inode *inode, uint64_t mark) {
    (void)disk;
    inode->overwritten.synced = true;
    struct io_sim_change *change;
    while ((change = first_change(inode)) != NULL && change->sequence <= mark) {
        change_keep(inode, change);
        change_free(inode, change);
    }
}

void io_sim_inode_sync_failed(struct io_sim_disk *disk, struct io_sim_inode *inode) {
    struct io_sim_change *change;
    while ((change = first_change(inode)) != NULL)
        change_crash(inode, change, (struct crash_mood){.keep_percent = 0, .tear_percent = 50}, &disk->crash);
    io_sim_image_trim(&inode->durable);
}

void io_sim_inode_damage(struct io_sim_inode *inode, uint64_t offset, uint8_t flip_mask) {
    struct io_sim_damage *damage = mem_alloc(sizeof *damage);
    damage->offset = flip_mask == 0 ? offset - offset % IO_SIM_SECTOR_SIZE : offset;
    damage->flip_mask = flip_mask;
    list_push_back(&inode->damages, &damage->link);
}

/* None of a file that is among the RECENT_FILES that were changed last. */
static uint64_t bytes_at_rest(const struct io_sim_disk *disk, const struct io_sim_inode *inode) {
    unsigned later = 0;
    LIST_FOREACH(it, &disk->inodes)
        later += CONTAINER_OF(it, struct io_sim_inode, link)->last_change > inode->last_change;
    return later < RECENT_FILES ? 0 : inode->seen.size;
}

bool io_sim_disk_rot(struct io_sim_disk *disk, uint64_t choice, uint64_t *number, uint64_t *offset) {
    uint64_t files = 0, at = 0;
    LIST_FOREACH(it, &disk->inodes)
        files += bytes_at_rest(disk, CONTAINER_OF(it, struct io_sim_inode, link)) > 0;
    if (files == 0) return false;
    LIST_FOREACH(it, &disk->inodes) {
        struct io_sim_inode *inode = CONTAINER_OF(it, struct io_sim_inode, link);
        uint64_t size = bytes_at_rest(disk, inode);
        if (size == 0 || at++ != choice % files) continue;
        *number = inode->number;
        *offset = choice / files % size;
        if (*offset >= inode->overwritten.from && *offset < inode->overwritten.to) return false;
        io_sim_inode_damage(inode, *offset, (uint8_t)(1U << choice / files / size % 8));
        return true;
    }
    UNREACHABLE();
}

/* ---- names ------------------------------------------------------------------------------------------ */

static struct io_sim_key key_make(const struct io_sim_inode *dir, const char *name) {
    struct io_sim_key key;
    size_t size = strlen(name);
    ASSERT_LE(size, (size_t)IO_SIM_NAME_MAX);
    for (unsigned i = 0; i < sizeof(uint64_t); i++)
        key.bytes[i] = (uint8_t)(dir->number >> (56 - 8 * i));
    memcpy(key.bytes + sizeof(uint64_t), name, size);
    key.size = sizeof(uint64_t) + size;
    return key;
}

static struct slice key_slice(const struct io_sim_key *key) {
    return slice_make(key->bytes, key->size);
}

static bool keys_equal(const struct io_sim_key *a, const struct io_sim_key *b) {
    return a->size != 0 && slice_equal(key_slice(a), key_slice(b));
}

static bool key_is_in(const struct io_sim_key *key, const struct io_sim_inode *dir) {
    struct io_sim_key prefix = key_make(dir, "");
    return key->size != 0 && memcmp(key->bytes, prefix.bytes, sizeof(uint64_t)) == 0;
}

static void names_change(struct io_sim_disk *disk, struct map *names, const struct io_sim_rename *change) {
    struct io_sim_inode *before;
    if (change->removed.size != 0 && (before = map_remove(names, key_slice(&change->removed))) != NULL)
        io_sim_inode_unref(disk, before);
    if (change->added.size == 0) return;
    io_sim_inode_ref(change->inode);
    before = map_put(names, key_slice(&change->added), change->inode);
    if (before != NULL) io_sim_inode_unref(disk, before);
}

static void rename_free(struct io_sim_disk *disk, struct io_sim_rename *change) {
    if (change->inode != NULL) io_sim_inode_unref(disk, change->inode);
    list_remove(&change->link);
    disk->pending_count--;
    mem_free(change);
}

static void names_pend(struct io_sim_disk *disk, const struct io_sim_rename *what) {
    struct io_sim_rename *change = mem_alloc(sizeof *change);
    *change = *what;
    change->chosen = false;
    if (change->inode != NULL) io_sim_inode_ref(change->inode);
    names_change(disk, &disk->seen, change);
    list_push_back(&disk->pending, &change->link);
    if (++disk->pending_count <= IO_SIM_PENDING_MAX) return;
    struct io_sim_rename *oldest = CONTAINER_OF(list_first(&disk->pending), struct io_sim_rename, link);
    names_change(disk, &disk->durable, oldest);
    rename_free(disk, oldest);
}

/* The next component of *path into name; 0, or ENOENT at the end of the path, or what is wrong with it. */
static int next_component(const char **path, char *name) {
    for (;;) {
        while (**path == '/')
            (*path)++;
        size_t size = strcspn(*path, "/");
        if (size == 0) return ENOENT;
        if (size > IO_SIM_NAME_MAX) return ENAMETOOLONG;
        memcpy(name, *path, size);
        name[size] = 0;
        *path += size;
        if (strcmp(name, "..") == 0) return EINVAL;
        if (strcmp(name, ".") != 0) return 0;
    }
}

int io_sim_disk_find(struct io_sim_disk *disk, const char *path, struct io_sim_place *place) {
    char name[IO_SIM_NAME_MAX + 1];
    *place = (struct io_sim_place){.inode = disk->root};
    for (;;) {
        int error = next_component(&path, name);
        if (error != 0) return error == ENOENT ? 0 : error;
        if (place->inode == NULL) return ENOENT;
        if (!place->inode->is_dir) return ENOTDIR;
        place->dir = place->inode;
        struct io_sim_key key = key_make(place->dir, name);
        place->inode = map_get(&disk->seen, key_slice(&key));
        memcpy(place->name, name, strlen(name) + 1);
    }
}

struct io_sim_inode *io_sim_disk_create(struct io_sim_disk *disk, const struct io_sim_place *place,
                                        bool is_dir) {
    struct io_sim_inode *inode = inode_new(disk, ++disk->inode_sequence, is_dir);
    io_sim_disk_link(disk, place, inode);
    return inode;
}

void io_sim_disk_link(struct io_sim_disk *disk, const struct io_sim_place *place,
                      struct io_sim_inode *inode) {
    ASSERT(place->dir != NULL && place->inode == NULL);
    struct io_sim_rename change = {.added = key_make(place->dir, place->name), .inode = inode};
    names_pend(disk, &change);
}

void io_sim_disk_unlink(struct io_sim_disk *disk, const struct io_sim_place *place) {
    ASSERT(place->dir != NULL && place->inode != NULL);
    struct io_sim_rename change = {.removed = key_make(place->dir, place->name)};
    names_pend(disk, &change);
}

void io_sim_disk_rename(struct io_sim_disk *disk, const struct io_sim_place *from,
                        const struct io_sim_place *to) {
    ASSERT(from->inode != NULL && from->dir != NULL && to->dir != NULL);
    struct io_sim_rename change = {.removed = key_make(from->dir, from->name),
                                   .added = key_make(to->dir, to->name),
                                   .inode = from->inode};
    names_pend(disk, &change);
}

/* Entries are changed in order, so a change brings older ones of the same entries along. */
static void choose_with_older(struct io_sim_disk *disk, struct io_sim_rename *chosen) {
    chosen->chosen = true;
    for (struct list *it = chosen->link.prev; it != &disk->pending; it = it->prev) {
        struct io_sim_rename *older = CONTAINER_OF(it, struct io_sim_rename, link);
        if (keys_equal(&older->added, &chosen->added) || keys_equal(&older->added, &chosen->removed) ||
            keys_equal(&older->removed, &chosen->added) || keys_equal(&older->removed, &chosen->removed))
            older->chosen = true;
    }
}

void io_sim_disk_sync_dir(struct io_sim_disk *disk, const struct io_sim_inode *dir) {
    for (struct list *it = disk->pending.prev; it != &disk->pending; it = it->prev) {
        struct io_sim_rename *change = CONTAINER_OF(it, struct io_sim_rename, link);
        if (change->chosen || key_is_in(&change->added, dir) || key_is_in(&change->removed, dir))
            choose_with_older(disk, change);
    }
    LIST_FOREACH(it, &disk->pending) {
        struct io_sim_rename *change = CONTAINER_OF(it, struct io_sim_rename, link);
        if (!change->chosen) continue;
        names_change(disk, &disk->durable, change);
        rename_free(disk, change);
    }
}

void io_sim_disk_list(struct io_sim_disk *disk, const struct io_sim_inode *dir,
                      void (*entry)(void *ctx, const char *name, bool is_dir), void *ctx) {
    struct found {
        char name[IO_SIM_NAME_MAX + 1];
        bool is_dir;
    } *found = mem_alloc(disk->seen.count * sizeof *found);
    size_t count = 0;
    MAP_FOREACH(it, &disk->seen) {
        struct slice key = map_entry_key(MAP_ENTRY(it));
        struct io_sim_key prefix = key_make(dir, "");
        if (memcmp(key.data, prefix.bytes, prefix.size) != 0) continue;
        memcpy(found[count].name, key.data + prefix.size, key.size - prefix.size);
        found[count].name[key.size - prefix.size] = 0;
        found[count++].is_dir = ((const struct io_sim_inode *)MAP_ENTRY(it)->value)->is_dir;
    }
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)prng_below(&disk->shuffle, i);
        struct found swap = found[i - 1];
        found[i - 1] = found[other];
        found[other] = swap;
    }
    for (size_t i = 0; i < count; i++)
        entry(ctx, found[i].name, found[i].is_dir);
    mem_free(found);
}

/* ---- the disk --------------------------------------------------------------------------------------- */

enum { STREAM_LATENCY = 1, STREAM_CHANCE, STREAM_CRASH, STREAM_SHUFFLE };

static void disk_open(struct io_sim_disk *disk) {
    map_init(&disk->seen, 0);
    map_init(&disk->durable, 0);
    list_init(&disk->pending);
    list_init(&disk->inodes);
    disk->pending_count = 0;
    disk->seen_pages = 0;
    disk->zeros = io_sim_page_new(disk->pool);
    memset(disk->zeros->data, 0, sizeof disk->zeros->data);
    disk->root = inode_new(disk, ++disk->inode_sequence, true);
    io_sim_inode_ref(disk->root);
}

void io_sim_disk_init(struct io_sim_disk *disk, struct io_sim_pool *pool, struct prng *root, uint32_t node) {
    *disk = (struct io_sim_disk){.pool = pool, .faults = {.slow_factor = 1}};
    struct prng own = prng_split(root, node);
    disk->latency = prng_split(&own, STREAM_LATENCY);
    disk->chance = prng_split(&own, STREAM_CHANCE);
    disk->crash = prng_split(&own, STREAM_CRASH);
    disk->shuffle = prng_split(&own, STREAM_SHUFFLE);
    disk->read_now_ppm = (uint32_t)prng_below(&disk->latency, 1000001);
    disk_open(disk);
}

static void names_clear(struct io_sim_disk *disk, struct map *names) {
    MAP_FOREACH(it, names)
        io_sim_inode_unref(disk, MAP_ENTRY(it)->value);
    map_release(names);
    map_init(names, 0);
}

void io_sim_disk_release(struct io_sim_disk *disk) {
    while (!list_empty(&disk->pending))
        rename_free(disk, CONTAINER_OF(list_first(&disk->pending), struct io_sim_rename, link));
    names_clear(disk, &disk->seen);
    names_clear(disk, &disk->durable);
    io_sim_inode_unref(disk, disk->root);
    ASSERT(list_empty(&disk->inodes));
    map_release(&disk->seen);
    map_release(&disk->durable);
    io_sim_page_unref(disk->zeros);
}

void io_sim_disk_wipe(struct io_sim_disk *disk) {
    io_sim_disk_release(disk);
    disk_open(disk);
}

static struct crash_mood draw_mood(struct io_sim_disk *disk, enum io_sim_crash how) {
    static const struct crash_mood moods[] = {{100, 0}, {0, 0}, {10, 20}, {50, 30}, {90, 5}, {0, 100}};
    if (how == IO_SIM_CRASH_POWER_CLEAN) return moods[0];
    if (how == IO_SIM_CRASH_POWER_BARE) return moods[1];
    return moods[prng_below(&disk->crash, ARRAY_COUNT(moods))];
}

void io_sim_disk_crash(struct io_sim_disk *disk, enum io_sim_crash how) {
    if (how == IO_SIM_CRASH_PROCESS) return;
    struct crash_mood mood = draw_mood(disk, how);
    LIST_FOREACH(it, &disk->pending) {
        struct io_sim_rename *change = CONTAINER_OF(it, struct io_sim_rename, link);
        if (prng_below(&disk->crash, 100) < mood.keep_percent) names_change(disk, &disk->durable, change);
        rename_free(disk, change);
    }
    LIST_FOREACH(it, &disk->inodes) {
        struct io_sim_inode *inode = CONTAINER_OF(it, struct io_sim_inode, link);
        struct io_sim_change *change;
        ASSERT_EQ(inode->handles, 0U);
        while ((change = first_change(inode)) != NULL)
            change_crash(inode, change, mood, &disk->crash);
        io_sim_image_trim(&inode->durable);
        disk->seen_pages -= io_sim_image_pages_used(&inode->seen);
        io_sim_image_release(&inode->seen);
        io_sim_image_copy(&inode->seen, &inode->durable);
        disk->seen_pages += io_sim_image_pages_used(&inode->seen);
    }
    names_clear(disk, &disk->seen);
    MAP_FOREACH(it, &disk->durable) {
        struct io_sim_inode *inode = MAP_ENTRY(it)->value;
        io_sim_inode_ref(inode);
        map_put(&disk->seen, map_entry_key(MAP_ENTRY(it)), inode);
    }
}

/* ---- clones ----------------------------------------------------------------------------------------- */

static struct slice number_key(const uint64_t *number) {
    return slice_make(number, sizeof *number);
}

static void clone_inode(struct io_sim_disk *to, struct map *clones, const struct io_sim_inode *from) {
    struct io_sim_inode *inode = inode_new(to, from->number, from->is_dir);
    io_sim_inode_ref(inode); /* until the names are there */
    map_put(clones, number_key(&inode->number), inode);
    io_sim_image_copy(&inode->seen, &from->seen);
    io_sim_image_copy(&inode->durable, &from->durable);
    to->seen_pages += io_sim_image_pages_used(&inode->seen);
    LIST_FOREACH(it, &from->pending) {
        const struct io_sim_change *change = CONTAINER_OF(it, struct io_sim_change, link);
        size_t size = sizeof *change + change->page_count * sizeof(struct io_sim_page *);
        struct io_sim_change *copy = mem_alloc(size);
        memcpy(copy, change, size);
        for (size_t i = 0; i < copy->page_count; i++)
            io_sim_page_ref(copy->pages[i]);
        list_push_back(&inode->pending, &copy->link);
        inode->pending_count++;
    }
    LIST_FOREACH(it, &from->damages) {
        const struct io_sim_damage *damage = CONTAINER_OF(it, struct io_sim_damage, link);
        io_sim_inode_damage(inode, damage->offset, damage->flip_mask);
    }
}

static void clone_names(struct map *to, const struct map *from, const struct map *clones) {
    MAP_FOREACH(it, from) {
        const struct io_sim_inode *inode = MAP_ENTRY(it)->value;
        struct io_sim_inode *clone = map_get(clones, number_key(&inode->number));
        ASSERT(clone != NULL);
        io_sim_inode_ref(clone);
        map_put(to, map_entry_key(MAP_ENTRY(it)), clone);
    }
}

void io_sim_disk_clone(struct io_sim_disk *to, struct io_sim_disk *from, enum io_sim_crash how) {
    io_sim_disk_release(to);
    disk_open(to);
    io_sim_inode_unref(to, to->root);
    to->inode_sequence = from->inode_sequence;
    to->change_sequence = from->change_sequence;
    struct map clones;
    map_init(&clones, 0);
    LIST_FOREACH(it, &from->inodes)
        clone_inode(to, &clones, CONTAINER_OF(it, struct io_sim_inode, link));
    to->root = map_get(&clones, number_key(&from->root->number));
    io_sim_inode_ref(to->root);
    clone_names(&to->seen, &from->seen, &clones);
    clone_names(&to->durable, &from->durable, &clones);
    LIST_FOREACH(it, &from->pending) {
        const struct io_sim_rename *change = CONTAINER_OF(it, struct io_sim_rename, link);
        struct io_sim_rename *copy = mem_alloc(sizeof *copy);
        *copy = *change;
        if (copy->inode != NULL) {
            copy->inode = map_get(&clones, number_key(&change->inode->number));
            io_sim_inode_ref(copy->inode);
        }
        list_push_back(&to->pending, &copy->link);
        to->pending_count++;
    }
    MAP_FOREACH(it, &clones)
        io_sim_inode_unref(to, MAP_ENTRY(it)->value);
    map_release(&clones);
    io_sim_disk_crash(to, how);
}
