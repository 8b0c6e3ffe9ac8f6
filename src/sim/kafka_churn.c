// SPDX-License-Identifier: Apache-2.0
#include "sim/kafka_churn.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/units.h"
#include "io/io_sim.h"
#include "sim/churn.h"
#include "sim/kafka_clients.h"
#include "sim/kafka_requests.h"
#include "sim/world.h"

#define LOOK_NS (20 * NS_PER_MS)

struct topics {
    struct world *world;
    void *clients;
    struct io_timer timer;
    struct churn churn;
    bool verifying, finished;
};

/* ---- what its clients share --------------------------------------------------------------------------- */

const char *churn_name(uint32_t name) {
    static const char *const names[CHURN_NAMES] = {"churned-a", "churned-b"};
    return names[name];
}

struct slice churn_record_value(uint32_t record, char text[32]) {
    return slice_make(text, (size_t)snprintf(text, 32, "record %u", record));
}

void churn_ask_metadata(struct kafka_caller *caller) {
    struct kafka_metadata_ask metadata;
    kafka_metadata_ask(&metadata, churn_name(0), churn_name(1));
    kafka_caller_ask(caller, KAFKA_METADATA, 12, &metadata.request);
}

static void take_topic(struct churn *churn, struct churn_told *told, uint32_t name,
                       const struct kafka_metadata_response_topic *topic) {
    told->lives[name] = topic_history_told(&churn->topics, &told->view, name, topic->topic_id,
                                           topic->partitions_count, io_now_ns(churn->io));
    told->partitions[name] = topic->partitions_count;
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        int32_t p = topic->partitions[i].partition_index, leader = topic->partitions[i].leader_id;
        if (p >= 0 && p < CHURN_PARTITIONS && leader > 0 && (uint32_t)leader <= churn->node_count)
            told->leaders[name][p] = (uint32_t)leader;
    }
    churn->lives[name] = told->lives[name];
    churn->partitions[name] = told->partitions[name];
}

void churn_take_metadata(struct churn *churn, struct churn_told *told, const struct kafka_caller *caller,
                         const struct kafka_metadata_response *answer) {
    if (told->connection != caller->connections) topic_view_init(&told->view);
    told->connection = caller->connections;
    told->known = true;
    memset(told->leaders, 0, sizeof told->leaders);
    for (uint32_t name = 0; name < CHURN_NAMES; name++)
        for (int32_t i = 0; i < answer->topics_count; i++)
            if (slice_equal(answer->topics[i].name, slice_from_text(churn_name(name))))
                take_topic(churn, told, name, &answer->topics[i]);
}

/* ---- life --------------------------------------------------------------------------------------------- */

static void told(void *ctx, const char *text, bool acknowledged) {
    struct topics *t = ctx;
    if (text != NULL) world_client_event(t->world, 0, text, acknowledged);
    if (t->churn.records.violation[0] != '\0') world_violation(t->world, t->churn.records.violation);
}

/* They begin when the other topic is there, and the cluster with it. */
static void look(struct io_timer *timer) {
    struct topics *t = CONTAINER_OF(timer, struct topics, timer);
    struct churn *c = &t->churn;
    if (!kafka_clients_topic_made(t->clients)) {
        io_timer_set(c->io, timer, io_now_ns(c->io) + LOOK_NS);
        return;
    }
    for (uint32_t i = 0; i < CHURN_OPERATORS; i++)
        kafka_caller_go_on(&c->operators[i].caller);
    for (uint32_t i = 0; i < CHURN_NAMES; i++) {
        kafka_caller_go_on(&c->writers[i].caller);
        kafka_caller_go_on(&c->readers[i].caller);
    }
    kafka_caller_go_on(&c->group.caller);
}

void *kafka_churn_open(struct world *world) {
    struct topics *t = mem_calloc(1, sizeof *t);
    struct churn *c = &t->churn;
    t->world = world;
    t->clients = kafka_clients_open(world);
    c->io = io_sim_node_io(world_sim(world), KAFKA_CLIENTS_NODE);
    c->node_count = world_node_count(world);
    c->told = told;
    c->ctx = t;
    history_init(&c->records);
    topic_history_init(&c->topics, &c->records);
    for (uint32_t i = 0; i < CHURN_NAMES; i++)
        c->lives[i] = TOPIC_HISTORY_NONE;
    for (uint32_t i = 0; i < CHURN_OPERATORS; i++)
        churn_operator_init(c, i, world_node_seed(world, KAFKA_CLIENTS_NODE));
    for (uint32_t i = 0; i < CHURN_NAMES; i++) {
        churn_writer_init(c, i, world_node_seed(world, KAFKA_CLIENTS_NODE));
        churn_reader_init(c, i, world_node_seed(world, KAFKA_CLIENTS_NODE));
    }
    churn_group_init(c, world_node_seed(world, KAFKA_CLIENTS_NODE));
    io_timer_init(&t->timer, look);
    io_timer_set(c->io, &t->timer, io_now_ns(c->io) + LOOK_NS);
    return t;
}

void kafka_churn_close(void *topics) {
    struct topics *t = topics;
    struct churn *c = &t->churn;
    for (uint32_t i = 0; i < CHURN_OPERATORS; i++)
        kafka_caller_release(&c->operators[i].caller);
    for (uint32_t i = 0; i < CHURN_NAMES; i++) {
        kafka_caller_release(&c->writers[i].caller);
        churn_reader_release(&c->readers[i]);
    }
    kafka_caller_release(&c->group.caller);
    mem_free(c->seen);
    mem_free(c->acknowledged);
    mem_free(c->deletions);
    topic_history_release(&c->topics);
    history_release(&c->records);
    kafka_clients_close(t->clients);
    mem_free(t);
}

bool kafka_churn_operate(void *topics, const struct action *action) {
    return kafka_clients_operate(((struct topics *)topics)->clients, action);
}

/* ---- the end ------------------------------------------------------------------------------------------ */

void kafka_churn_finish(void *topics) {
    struct topics *t = topics;
    t->churn.steady = true;
    t->churn.steady_ns = io_now_ns(t->churn.io);
    t->churn.operators[0].told.known = false;
    kafka_caller_go_on(&t->churn.operators[0].caller);
    kafka_clients_finish(t->clients);
}

/* What must be there when the topics are read: everything that certainly went to them. */
static void expect_records(struct churn *c) {
    for (uint32_t i = 0; i < c->acknowledged_count; i++) {
        const struct churn_acknowledged *a = &c->acknowledged[i];
        char text[32];
        for (uint32_t name = 0; name < CHURN_NAMES; name++)
            if (a->life == c->rest[name].life && a->life != TOPIC_HISTORY_NONE)
                history_acknowledged(&c->records, churn_slot(a->life, a->partition), a->offset,
                                     history_hash(churn_record_value(a->record, text)));
    }
    for (uint32_t i = 0; i < c->deletion_count; i++) {
        const struct churn_deletion *d = &c->deletions[i];
        uint32_t life = c->rest[d->name].life;
        if (life == TOPIC_HISTORY_NONE) continue;
        uint32_t slot = churn_slot(life, d->partition);
        history_deleted(&c->records, slot, d->offset);
        if (d->acknowledged && d->life == life) c->log_starts[slot] = MAX(c->log_starts[slot], d->offset);
    }
}

static bool is_verified(const struct churn *c) {
    bool all = c->group.verified == (1U << CHURN_NAMES) - 1;
    for (uint32_t name = 0; name < CHURN_NAMES; name++)
        all = all && (c->rest[name].life == TOPIC_HISTORY_NONE ||
                      c->readers[name].verified == (1U << c->rest[name].partitions) - 1);
    return all;
}

bool kafka_churn_finished(void *topics) {
    struct topics *t = topics;
    struct churn *c = &t->churn;
    if (!c->at_rest) return false;
    if (!t->verifying) {
        t->verifying = true;
        topic_history_finish(&c->topics, c->rest, CHURN_NAMES);
        expect_records(c);
        for (uint32_t name = 0; name < CHURN_NAMES; name++)
            churn_reader_verify(&c->readers[name]);
        kafka_caller_go_on(&c->group.caller);
        told(t, NULL, false);
    }
    return kafka_clients_finished(t->clients) && is_verified(c);
}

void kafka_churn_report(void *topics, struct writer *to) {
    struct topics *t = topics;
    const struct churn *c = &t->churn;
    kafka_clients_report(t->clients, to);
    if (!c->at_rest) {
        writer_text(to, "; nodes tell of different topics:");
        for (uint32_t node = 1; node <= c->node_count; node++)
            for (uint32_t name = 0; name < CHURN_NAMES; name++)
                writer_printf(to, " %d/%dx%d", c->survey[node].told, (int)c->survey[node].rest[name].life,
                              c->survey[node].rest[name].partitions);
        return;
    }
    for (uint32_t name = 0; name < CHURN_NAMES; name++) {
        const struct churn_reader *r = &c->readers[name];
        writer_printf(to, "; topic %d of %s: read %x of %d partitions, at %u of node %u", (int)r->life,
                      churn_name(name), r->verified, c->rest[name].partitions, r->partition,
                      r->leaders[r->partition]);
    }
    writer_printf(to, "; group has %x", c->group.verified);
}
