// SPDX-License-Identifier: Apache-2.0
#include "broker/partition_round.h"

#include "base/assert.h"
#include "base/mem.h"

struct partition_place {
    struct uuid topic;
    int32_t partition;
};

static void forget(struct partition_round *round) {
    if (round->forget != NULL) round->forget(round);
}

static void end(struct partition_round *round) {
    forget(round);
    mem_free(round->places);
    round->places = NULL;
    round->count = round->current = 0;
    if (round->broker->closing) return;
    io_timer_set(round->broker->io, &round->begin, io_now_ns(round->broker->io) + round->pause_ns);
}

static struct partition *current_partition(const struct partition_round *round) {
    const struct partition_place *place = &round->places[round->current];
    const struct broker_topic *topic = broker_topic_find_id(round->broker, place->topic);
    if (topic == NULL || !round->wants((const struct topic_state *)topic)) return NULL;
    return broker_partition(round->broker, slice_from_text(topic->name), place->partition);
}

void partition_round_again(struct partition_round *round) {
    if (round->broker->closing || broker_health(round->broker) != STATUS_OK ||
        round->current >= round->count) {
        end(round);
        return;
    }
    struct partition *p = current_partition(round);
    /* Each replica goes by what it has itself. */
    enum status status = p == NULL ? STATUS_UNKNOWN_TOPIC : partition_use_here(p, &round->waiter);
    if (status == STATUS_PENDING) return;
    if (status == STATUS_OK) {
        round->visit(round, p);
        return;
    }
    forget(round);
    partition_round_next(round);
}

static void next_fired(struct io_timer *timer) {
    struct partition_round *round = CONTAINER_OF(timer, struct partition_round, next);
    round->current++;
    partition_round_again(round);
}

void partition_round_next(struct partition_round *round) {
    io_timer_set(round->broker->io, &round->next, io_now_ns(round->broker->io));
}

static void resumed(struct partition_waiter *waiter) {
    struct partition_round *round = CONTAINER_OF(waiter, struct partition_round, waiter);
    forget(round);
    partition_round_again(round);
}

static void begin_fired(struct io_timer *timer) {
    struct partition_round *round = CONTAINER_OF(timer, struct partition_round, begin);
    ASSERT(round->places == NULL);
    size_t capacity = (size_t)round->broker->metadata.partition_total;
    round->places = mem_alloc((capacity + 1) * sizeof *round->places);
    round->count = round->current = 0;
    MAP_FOREACH(it, &round->broker->topics) {
        const struct topic_state *topic = MAP_ENTRY(it)->value;
        if (!round->wants(topic)) continue;
        for (int32_t i = 0; i < topic->public.partition_count && round->count < capacity; i++)
            round->places[round->count++] = (struct partition_place){topic->public.id, i};
    }
    partition_round_again(round);
}

void partition_round_start(struct partition_round *round, struct broker *broker, uint64_t pause_ms) {
    round->broker = broker;
    round->pause_ns = pause_ms * NS_PER_MS;
    round->waiter.resume = resumed;
    list_init(&round->waiter.link);
    io_timer_init(&round->begin, begin_fired);
    io_timer_init(&round->next, next_fired);
    io_timer_set(broker->io, &round->begin, io_now_ns(broker->io) + round->pause_ns);
}

void partition_round_stop(struct partition_round *round) {
    io_timer_cancel(round->broker->io, &round->begin);
    io_timer_cancel(round->broker->io, &round->next);
    partition_waiter_cancel(&round->waiter);
    mem_free(round->places);
    round->places = NULL;
}
