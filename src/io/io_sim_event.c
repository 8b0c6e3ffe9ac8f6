// SPDX-License-Identifier: Apache-2.0
/* The heap of what will happen, by (time, order of scheduling), and the trace of what has happened. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_sim_world.h"

#define HEAP_WIDTH 4

/* ---- trace ------------------------------------------------------------------------------------------- */

static uint64_t rotate_left(uint64_t value, unsigned bits) {
    return value << bits | value >> (64 - bits);
}

static void hash_word(struct io_sim *sim, uint64_t word) {
    sim->hash[0] = (rotate_left(sim->hash[0], 23) ^ word) * 0x9e3779b97f4a7c15U;
    sim->hash[1] = rotate_left(sim->hash[1] + word, 29) * 0xbf58476d1ce4e5b9U;
}

uint64_t io_sim_trace_hash(const struct io_sim *sim) {
    uint64_t hash = sim->hash[0] ^ rotate_left(sim->hash[1], 32);
    hash = (hash ^ hash >> 30) * 0x94d049bb133111ebU;
    return hash ^ hash >> 31;
}

void io_sim_set_trace(struct io_sim *sim, void (*line)(void *ctx, const char *line), void *ctx) {
    sim->trace = line;
    sim->trace_ctx = ctx;
}

static void print_line(struct io_sim *sim, uint32_t node, const char *what, uint64_t a, uint64_t b,
                       uint64_t c, const char *detail) {
    char line[512];
    snprintf(line, sizeof line,
             "%6" PRIu64 ".%09" PRIu64 " n%" PRIu32 " %s %" PRIu64 " %" PRIu64 " %" PRIx64 "%s%s",
             sim->now_ns / NS_PER_S, sim->now_ns % NS_PER_S, node, what, a, b, c, detail == NULL ? "" : " ",
             detail == NULL ? "" : detail);
    sim->trace(sim->trace_ctx, line);
}

void io_sim_trace(struct io_sim *sim, uint32_t node, const char *what, uint64_t a, uint64_t b, uint64_t c,
                  const char *detail) {
    hash_word(sim, sim->now_ns);
    hash_word(sim, node);
    hash_word(sim, hash_bytes(0, slice_from_text(what)));
    hash_word(sim, a);
    hash_word(sim, b);
    hash_word(sim, c);
    if (detail != NULL) hash_word(sim, hash_bytes(0, slice_from_text(detail)));
    if (sim->trace != NULL) print_line(sim, node, what, a, b, c, detail);
}

void io_sim_mark(struct io_sim *sim, uint64_t a, uint64_t b, uint64_t c) {
    hash_word(sim, sim->now_ns);
    hash_word(sim, a);
    hash_word(sim, b);
    hash_word(sim, c);
}

void io_sim_remark(struct io_sim *sim, uint32_t node, const char *text) {
    if (sim->trace != NULL) print_line(sim, node, "note", 0, 0, 0, text);
}

void io_sim_note(struct io_sim *sim, uint32_t node, const char *text) {
    io_sim_trace(sim, node, "note", 0, 0, 0, text);
}

/* ---- events ------------------------------------------------------------------------------------------ */

static bool event_before(const struct io_sim_event *a, const struct io_sim_event *b) {
    return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->sequence < b->sequence;
}

static void events_push(struct io_sim *sim, const struct io_sim_event *event) {
    if (sim->event_pending == sim->event_capacity) {
        sim->event_capacity = MAX((size_t)256, sim->event_capacity * 2);
        sim->events = mem_realloc(sim->events, sim->event_capacity * sizeof *sim->events);
    }
    size_t slot = sim->event_pending++;
    while (slot != 0) {
        size_t parent = (slot - 1) / HEAP_WIDTH;
        if (!event_before(event, &sim->events[parent])) break;
        sim->events[slot] = sim->events[parent];
        slot = parent;
    }
    sim->events[slot] = *event;
}

struct io_sim_event io_sim_event_pop(struct io_sim *sim) {
    ASSERT_LT((size_t)0, sim->event_pending);
    struct io_sim_event first = sim->events[0], last = sim->events[--sim->event_pending];
    size_t slot = 0;
    for (;;) {
        size_t child = slot * HEAP_WIDTH + 1, best = child;
        if (child >= sim->event_pending) break;
        for (size_t other = child + 1; other < sim->event_pending && other < child + HEAP_WIDTH; other++)
            if (event_before(&sim->events[other], &sim->events[best])) best = other;
        if (!event_before(&sim->events[best], &last)) break;
        sim->events[slot] = sim->events[best];
        slot = best;
    }
    if (sim->event_pending != 0) sim->events[slot] = last;
    return first;
}

void io_sim_schedule(struct io_sim *sim, uint64_t time_ns, uint32_t node,
                     void (*run)(struct io_sim *sim, const struct io_sim_event *event), void *object,
                     uint64_t argument) {
    ASSERT_LE(sim->now_ns, time_ns);
    struct io_sim_event event = {.time_ns = time_ns,
                                 .sequence = ++sim->event_sequence,
                                 .run = run,
                                 .object = object,
                                 .argument = argument,
                                 .node = node,
                                 .incarnation = io_sim_node(sim, node)->incarnation};
    events_push(sim, &event);
}

bool io_sim_event_is_stale(const struct io_sim *sim, const struct io_sim_event *event) {
    return sim->nodes[event->node]->incarnation != event->incarnation;
}
