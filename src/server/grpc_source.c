// SPDX-License-Identifier: Apache-2.0
#include "server/grpc_source.h"

#include "base/assert.h"
#include "server/grpc_partition.h"

/* ---- looking up ---------------------------------------------------------------------------------------- */

static void refresh(struct grpc_source *source) {
    struct partition_info info;
    struct broker *broker = grpc_call_broker(source->all->call);
    if (broker_partition_info(broker, source->topic, source->partition, &info) != STATUS_OK) return;
    source->high_watermark = info.high_watermark;
    source->log_start_offset = info.log_start_offset;
}

static void lookup_done(struct list_offset *request) {
    struct grpc_source *source = CONTAINER_OF(request, struct grpc_source, lookup);
    struct grpc_sources *all = source->all;
    if (request->status == STATUS_OK && request->offset == -1 && !source->end_instead) {
        source->end_instead = true;
        request->timestamp_ms = OFFSET_LATEST;
        broker_list_offset(grpc_call_broker(all->call), request);
        return;
    }
    source->looking_up = false;
    all->looking_up--;
    if (request->status != STATUS_OK) {
        grpc_partition_fail(all->call, &(struct grpc_partition_error){.status = request->status,
                                                                      .topic = source->topic,
                                                                      .partition = source->partition});
        return;
    }
    source->position = source->offset >= 0 ? source->offset : request->offset;
    refresh(source);
    all->positioned(all, source);
}

void grpc_sources_look_up(struct grpc_source *source, struct grpc_start start) {
    struct grpc_sources *all = source->all;
    ASSERT(!source->looking_up);
    source->looking_up = true;
    source->end_instead = false;
    source->offset = start.offset;
    all->looking_up++;
    source->lookup = (struct list_offset){.topic = source->topic,
                                          .partition = source->partition,
                                          .timestamp_ms = start.timestamp_ms,
                                          .forward = true,
                                          .done = lookup_done};
    broker_list_offset(grpc_call_broker(all->call), &source->lookup);
}

/* What a position means to a lookup: an offset needs none, but the partition is to be loaded all the same. */
bool grpc_start_read(const Sentinel__V1__StartPosition *position, struct grpc_start *start) {
    *start = (struct grpc_start){OFFSET_LATEST, -1};
    if (position == NULL) return true;
    switch (position->position_case) {
    case SENTINEL__V1__START_POSITION__POSITION_ANCHOR:
        if (position->anchor == SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST) start->timestamp_ms = OFFSET_EARLIEST;
        return (unsigned)position->anchor <= SENTINEL__V1__ANCHOR__ANCHOR_LATEST;
    case SENTINEL__V1__START_POSITION__POSITION_OFFSET:
        start->offset = position->offset;
        return position->offset >= 0;
    case SENTINEL__V1__START_POSITION__POSITION_TIMESTAMP_MS:
        start->timestamp_ms = position->timestamp_ms;
        return position->timestamp_ms >= 0;
    default:
        return true;
    }
}

static bool position(struct grpc_source *source, const Sentinel__V1__StartPosition *wanted) {
    struct grpc_start start;
    if (!grpc_start_read(wanted, &start)) {
        grpc_call_fail_field(source->all->call, "start", "an anchor, or an offset or a time of 0 or later");
        return false;
    }
    source->held = true;
    grpc_sources_look_up(source, start);
    return true;
}

bool grpc_sources_seek(struct grpc_source *source, const Sentinel__V1__StartPosition *wanted) {
    if (source->looking_up) {
        broker_list_offset_cancel(&source->lookup);
        source->looking_up = false;
        source->all->looking_up--;
    }
    return position(source, wanted);
}

/* ---- from ConsumeStart --------------------------------------------------------------------------------- */

static struct grpc_source *add(struct grpc_sources *sources, struct slice topic, int32_t partition) {
    struct arena *arena = &sources->call->arena;
    if (sources->count == sources->capacity) {
        sources->capacity = MAX(2 * sources->capacity, (uint32_t)16);
        struct grpc_source **list = arena_calloc(arena, sources->capacity, sizeof(struct grpc_source *));
        for (uint32_t i = 0; i < sources->count; i++)
            list[i] = sources->list[i];
        sources->list = list;
    }
    struct grpc_source *source = arena_calloc(arena, 1, sizeof *source);
    *source = (struct grpc_source){.all = sources, .topic = topic, .partition = partition};
    sources->list[sources->count++] = source;
    return source;
}

struct grpc_source *grpc_sources_get(struct grpc_sources *sources, struct slice topic, int32_t partition) {
    for (uint32_t i = 0, at = sources->next; i < sources->count; i++, at++) {
        if (at >= sources->count) at = 0;
        struct grpc_source *source = sources->list[at];
        if (source->partition != partition || !slice_equal(source->topic, topic)) continue;
        sources->next = at + 1;
        return source;
    }
    if (sources->count == GRPC_SOURCES_MAX) return NULL;
    return add(sources, arena_copy(&sources->call->arena, topic), partition);
}

void grpc_sources_init(struct grpc_sources *sources, struct grpc_call *call,
                       void (*positioned)(struct grpc_sources *sources, struct grpc_source *source)) {
    *sources = (struct grpc_sources){.call = call, .positioned = positioned};
}

/* Partitions that a topic of the request means; 0: the call has failed. */
static uint32_t count_partitions(struct grpc_call *call, const Sentinel__V1__ConsumeTopic *wanted) {
    struct slice name = slice_from_text(wanted->topic);
    const struct broker_topic *topic = grpc_partition_find_topic(call, name);
    if (topic == NULL) return 0;
    if (wanted->n_partitions == 0) return (uint32_t)topic->partition_count;
    bool *named = arena_calloc(&call->arena, (size_t)topic->partition_count, sizeof *named);
    for (size_t i = 0; i < wanted->n_partitions; i++) {
        int32_t partition = wanted->partitions[i]->partition;
        if (partition < 0 || partition >= topic->partition_count) {
            grpc_partition_fail_unknown(call, name, partition);
            return 0;
        }
        if (named[partition]) {
            grpc_call_fail_field(call, "start.topics", "partition %d is named twice", partition);
            return 0;
        }
        named[partition] = true;
    }
    return (uint32_t)wanted->n_partitions;
}

static bool count_all(struct grpc_call *call, const Sentinel__V1__ConsumeStart *start, uint32_t *total) {
    *total = 0;
    if (start->n_topics == 0) {
        grpc_call_fail_field(call, "start.topics", "name at least one topic");
        return false;
    }
    for (size_t i = 0; i < start->n_topics; i++) {
        uint32_t count = count_partitions(call, start->topics[i]);
        if (count == 0) return false;
        *total += count;
        if (*total > GRPC_SOURCES_MAX) {
            grpc_call_fail_field(call, "start.topics", "at most %d partitions in one subscription",
                                 GRPC_SOURCES_MAX);
            return false;
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(start->topics[i]->topic, start->topics[k]->topic) != 0) continue;
            grpc_call_fail_field(call, "start.topics", "a topic is named twice");
            return false;
        }
    }
    return true;
}

static bool add_topic(struct grpc_sources *sources, const Sentinel__V1__ConsumeTopic *wanted) {
    struct slice name = arena_copy(&sources->call->arena, slice_from_text(wanted->topic));
    const struct broker_topic *topic = broker_topic_find(grpc_call_broker(sources->call), name);
    ASSERT(topic != NULL); /* count_all found it in this very turn */
    if (wanted->n_partitions == 0) {
        for (int32_t i = 0; i < topic->partition_count; i++)
            if (!position(add(sources, name, i), wanted->start)) return false;
        return true;
    }
    for (size_t i = 0; i < wanted->n_partitions; i++) {
        const Sentinel__V1__ConsumePartition *partition = wanted->partitions[i];
        struct grpc_source *source = add(sources, name, partition->partition);
        if (!position(source, partition->start != NULL ? partition->start : wanted->start)) return false;
    }
    return true;
}

bool grpc_sources_start(struct grpc_sources *sources, struct grpc_call *call,
                        const Sentinel__V1__ConsumeStart *start,
                        void (*positioned)(struct grpc_sources *sources, struct grpc_source *source)) {
    uint32_t total;
    if (!count_all(call, start, &total)) return false;
    grpc_sources_init(sources, call, positioned);
    for (size_t i = 0; i < start->n_topics; i++)
        if (!add_topic(sources, start->topics[i])) return false;
    ASSERT_EQ(sources->count, total);
    return true;
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

struct grpc_source *grpc_sources_find(struct grpc_sources *sources, const char *topic, int32_t partition) {
    struct slice name = slice_from_text(topic);
    for (uint32_t i = 0; i < sources->count; i++)
        if (grpc_source_reads(sources->list[i]) && sources->list[i]->partition == partition &&
            slice_equal(sources->list[i]->topic, name))
            return sources->list[i];
    return NULL;
}

void grpc_sources_refresh(struct grpc_sources *sources) {
    for (uint32_t i = 0; i < sources->count; i++)
        if (sources->list[i]->held) refresh(sources->list[i]);
}

void grpc_sources_cancel(struct grpc_sources *sources) {
    for (uint32_t i = 0; i < sources->count; i++) {
        if (!sources->list[i]->looking_up) continue;
        broker_list_offset_cancel(&sources->list[i]->lookup);
        sources->list[i]->looking_up = false;
    }
    sources->looking_up = 0;
}

Sentinel__V1__PartitionPosition **grpc_sources_print(const struct grpc_sources *sources, struct arena *arena,
                                                     size_t *count) {
    Sentinel__V1__PartitionPosition **list = arena_calloc(arena, (size_t)sources->count + 1, sizeof(*list));
    Sentinel__V1__PartitionPosition *rows = arena_calloc(arena, (size_t)sources->count + 1, sizeof *rows);
    *count = 0;
    for (uint32_t i = 0; i < sources->count; i++) {
        const struct grpc_source *source = sources->list[i];
        if (!grpc_source_reads(source)) continue;
        Sentinel__V1__PartitionPosition *row = list[*count] = &rows[*count];
        sentinel__v1__partition_position__init(row);
        row->topic = arena_text(arena, source->topic);
        row->partition = source->partition;
        row->position = source->position;
        row->high_watermark = source->high_watermark;
        row->log_start_offset = source->log_start_offset;
        ++*count;
    }
    return list;
}
