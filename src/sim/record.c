// SPDX-License-Identifier: Apache-2.0
#include "sim/record.h"

#include "base/mem.h"
#include "base/units.h"
#include "raft/raft_message.h"

#define OPEN_MAX 4096U

void record_init(struct recording *record) {
    *record = (struct recording){0};
    writer_init(&record->texts);
    writer_u8(&record->texts, 0);
}

void record_release(struct recording *record) {
    mem_free(record->events);
    mem_free(record->open);
    writer_release(&record->texts);
}

/* Messages of the first half go. */
static void thin_out(struct recording *record) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < record->count; i++)
        if (record->events[i].kind != RECORD_MESSAGE || i >= record->count / 2)
            record->events[kept++] = record->events[i];
    record->count = kept;
    record->open_count = 0;
}

struct record_event *record_add(struct recording *record, uint64_t at_ns, enum record_kind kind,
                                uint32_t node) {
    if (record->count >= RECORD_EVENTS_MAX) thin_out(record);
    if (record->count == record->capacity) {
        record->capacity = MAX(1024U, record->capacity * 2);
        record->events = mem_realloc(record->events, record->capacity * sizeof *record->events);
    }
    struct record_event *event = &record->events[record->count++];
    *event = (struct record_event){.at_ns = at_ns, .kind = kind, .node = node};
    return event;
}

void record_text(struct recording *record, struct record_event *event, struct slice text) {
    event->text = (uint32_t)record->texts.size;
    writer_bytes(&record->texts, text);
    writer_u8(&record->texts, 0);
}

const char *record_text_of(const struct recording *record, const struct record_event *event) {
    return (const char *)record->texts.data + event->text;
}

static uint64_t print_key(struct writer *line, const struct raft_message *m) {
    uint64_t key = 0xcbf29ce484222325U;
    raft_message_print(line, m);
    for (size_t i = 0; i < line->size; i++)
        key = (key ^ line->data[i]) * 0x100000001b3U;
    return key ^ m->group * 0x9e3779b97f4a7c15U;
}

void record_sent(struct recording *record, uint64_t at_ns, const struct raft_message *m, bool lost) {
    struct writer line;
    writer_init(&line);
    struct record_event *event = record_add(record, at_ns, RECORD_MESSAGE, raft_id_node(m->from));
    event->key = print_key(&line, m);
    event->to = raft_id_node(m->to);
    event->group = m->group;
    event->a = (uint64_t)m->kind;
    event->b = m->term;
    event->c = m->flags;
    event->lost = lost;
    record_text(record, event, writer_slice(&line));
    writer_release(&line);
    if (lost) return;
    if (record->open_count == OPEN_MAX) {
        record->open_count /= 2;
        memmove(record->open, record->open + record->open_count, record->open_count * sizeof *record->open);
    }
    if (record->open_count == record->open_capacity) {
        record->open_capacity = MAX(64U, record->open_capacity * 2);
        record->open = mem_realloc(record->open, record->open_capacity * sizeof *record->open);
    }
    record->open[record->open_count++] = (uint32_t)(event - record->events);
}

void record_received(struct recording *record, uint64_t at_ns, const struct raft_message *m) {
    struct writer line;
    writer_init(&line);
    uint64_t key = print_key(&line, m);
    writer_release(&line);
    for (uint32_t i = 0; i < record->open_count; i++) {
        struct record_event *event = &record->events[record->open[i]];
        if (event->key != key || event->to != raft_id_node(m->to)) continue;
        event->end_ns = at_ns;
        memmove(record->open + i, record->open + i + 1, (--record->open_count - i) * sizeof *record->open);
        return;
    }
}
