// SPDX-License-Identifier: Apache-2.0
#include "sim/shadow.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

#define BASE_CHAIN 0x5eed /* raft_ghost.base_chain */

static void stored_release(struct raft_stored *stored) {
    shared_slice_unref(stored->entry.payload);
}

static void image_cut(struct shadow_image *image, uint32_t count) {
    while (image->count > count)
        stored_release(&image->log[--image->count]);
}

static void image_release(struct shadow_image *image) {
    image_cut(image, 0);
    mem_free(image->log);
}

static void image_add(struct shadow_image *image, const struct raft_stored *stored) {
    if (image->count == image->capacity) {
        image->capacity = MAX(32U, image->capacity * 2);
        image->log = mem_realloc(image->log, image->capacity * sizeof *image->log);
    }
    image->log[image->count] = *stored;
    image->log[image->count++].entry.payload = shared_slice_ref(stored->entry.payload);
}

/* How many entries two logs have in common: the chain tells of all below. */
static uint32_t entries_shared(const struct shadow_image *a, const struct shadow_image *b) {
    uint32_t low = 0, high = a->log_start == b->log_start ? MIN(a->count, b->count) : 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (a->log[middle].chain == b->log[middle].chain &&
            a->log[middle].entry.end == b->log[middle].entry.end)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void image_copy(struct shadow_image *to, const struct shadow_image *from) {
    struct raft_stored *log = to->log;
    uint32_t capacity = to->capacity, shared = entries_shared(to, from);
    image_cut(to, shared);
    *to = *from;
    to->log = log;
    to->capacity = capacity;
    to->count = shared;
    for (uint32_t i = shared; i < from->count; i++)
        image_add(to, &from->log[i]);
}

static void image_init(struct shadow_image *image) {
    *image = (struct shadow_image){.log_start_chain = BASE_CHAIN};
}

uint64_t shadow_end(const struct shadow_image *image) {
    return image->count == 0 ? image->log_start : image->log[image->count - 1].entry.end;
}

uint32_t shadow_above(const struct shadow_image *image, uint64_t position) {
    uint32_t low = 0, high = image->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (image->log[middle].entry.end <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool shadow_chain(const struct shadow_image *image, uint64_t position, uint64_t *chain) {
    uint32_t above = shadow_above(image, position);
    if (above == 0) {
        *chain = image->log_start_chain;
        return position == image->log_start;
    }
    *chain = image->log[above - 1].chain;
    return image->log[above - 1].entry.end == position;
}

static void image_apply(struct shadow_image *image, const struct shadow_write *write) {
    if (write->set_hard_state) image->hard_state = write->hard_state;
    if (write->leave) {
        image_cut(image, 0);
        image->log_start = image->first = image->log_start_term = 0;
        image->log_start_chain = BASE_CHAIN;
    }
    if (write->install) {
        image_cut(image, 0);
        image->log_start = image->first = write->install_end;
        image->log_start_term = write->install_term;
        image->log_start_chain = write->install_chain;
    }
    if (write->truncate) image_cut(image, shadow_above(image, write->truncate_from));
    for (uint32_t i = 0; i < write->entry_count; i++) {
        /* A repair puts what is there already. */
        if (write->entries[i].entry.end <= shadow_end(image)) continue;
        ASSERT_EQ(write->entries[i].entry.base, shadow_end(image));
        image_add(image, &write->entries[i]);
    }
}

static void write_release(struct shadow_write *write) {
    for (uint32_t i = 0; i < write->entry_count; i++)
        stored_release(&write->entries[i]);
    mem_free(write->entries);
}

void shadow_init(struct shadow *shadow) {
    *shadow = (struct shadow){0};
    image_init(&shadow->view);
    image_init(&shadow->durable);
}

static void drop_writes(struct shadow *shadow, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        write_release(&shadow->writes[i]);
    shadow->write_count -= count;
    if (shadow->write_count != 0)
        memmove(shadow->writes, shadow->writes + count, shadow->write_count * sizeof *shadow->writes);
}

void shadow_release(struct shadow *shadow) {
    drop_writes(shadow, shadow->write_count);
    mem_free(shadow->writes);
    image_release(&shadow->view);
    image_release(&shadow->durable);
}

static struct shadow_write *write_add(struct shadow *shadow) {
    if (shadow->write_count == shadow->write_capacity) {
        shadow->write_capacity = MAX(8U, shadow->write_capacity * 2);
        shadow->writes = mem_realloc(shadow->writes, shadow->write_capacity * sizeof *shadow->writes);
    }
    return &shadow->writes[shadow->write_count++];
}

struct shadow_write *shadow_begin(struct shadow *shadow, const struct raft_effects *effects,
                                  uint64_t install_chain) {
    struct shadow_write *write = write_add(shadow);
    *write = (struct shadow_write){.number = effects->write,
                                   .set_hard_state = effects->hard_state_changed,
                                   .hard_state = effects->hard_state,
                                   .truncate = effects->truncate,
                                   .truncate_from = effects->truncate_from,
                                   .install = effects->install != NULL,
                                   .install_chain = install_chain};
    uint64_t chain = install_chain;
    if (effects->install != NULL) {
        write->install_end = effects->install->end;
        write->install_term = effects->install->term;
    } else if (effects->entry_count != 0) {
        bool found = shadow_chain(&shadow->view, effects->entries[0].base, &chain);
        ASSERT(found);
    }
    write->entries = mem_alloc((effects->entry_count + 1) * sizeof *write->entries);
    for (uint32_t i = 0; i < effects->entry_count; i++) {
        struct raft_entry entry = effects->entries[i];
        chain = raft_ghost_chain(chain, &entry);
        entry.payload = entry.kind == RAFT_ENTRY_CONFIG ? shared_slice_ref(entry.payload)
                                                        : (struct shared_slice){SLICE_EMPTY, NULL};
        write->entries[write->entry_count++] = (struct raft_stored){entry, chain, false};
    }
    image_apply(&shadow->view, write);
    return write;
}

void shadow_persist(struct shadow *shadow, uint64_t number) {
    uint32_t count = 0;
    for (; count < shadow->write_count && shadow->writes[count].number <= number; count++)
        image_apply(&shadow->durable, &shadow->writes[count]);
    drop_writes(shadow, count);
}

void shadow_leave(struct shadow *shadow) {
    struct shadow_write *write = write_add(shadow);
    *write = (struct shadow_write){.number = UINT64_MAX, .leave = true};
    image_apply(&shadow->view, write);
}

static uint64_t last_term(const struct shadow_image *image) {
    return image->count == 0 ? image->log_start_term : image->log[image->count - 1].entry.term;
}

static uint64_t start_last_term(const struct raft_start *start) {
    return start->term_count == 0 ? start->log_start_term : start->terms[start->term_count - 1].term;
}

static bool image_fits(const struct shadow_image *image, const struct raft_start *start) {
    return image->hard_state.term == start->hard_state.term &&
           image->hard_state.vote == start->hard_state.vote && shadow_end(image) == start->log_end &&
           last_term(image) == start_last_term(start) &&
           start->log_start <= MAX(image->first, shadow_end(image));
}

bool shadow_restart(struct shadow *shadow, const struct raft_start *start) {
    bool fits = image_fits(&shadow->durable, start);
    while (!fits && shadow->write_count != 0) {
        image_apply(&shadow->durable, &shadow->writes[0]);
        drop_writes(shadow, 1);
        fits = image_fits(&shadow->durable, start);
    }
    drop_writes(shadow, shadow->write_count);
    image_copy(&shadow->view, &shadow->durable);
    return fits;
}
