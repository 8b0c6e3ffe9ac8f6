// SPDX-License-Identifier: Apache-2.0
#include "sim/kafka_transactions.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_sim.h"
#include "sim/kafka_clients.h"
#include "sim/kafka_copier.h"
#include "sim/txn_reader.h"
#include "sim/world.h"

#define IDS     2
#define COPIERS 2 /* of an id */
#define COPIES  "copies"
#define LOOK_NS (20 * NS_PER_MS)

struct transactions {
    struct world *world;
    struct io *io;
    void *clients;
    struct io_timer timer;
    struct txn_history history;
    struct txn_pass pass;
    struct kafka_copier copiers[IDS][COPIERS];
    struct txn_reader readers[KAFKA_COPIER_PARTITIONS];
    bool verifying;
};

static void told(void *ctx, const char *text) {
    struct transactions *t = ctx;
    const struct history *history = kafka_clients_history(t->clients);
    if (text != NULL) world_client_event(t->world, 0, text, false);
    if (history->violation[0] != '\0') world_violation(t->world, history->violation);
}

static void look(struct io_timer *timer) {
    struct transactions *t = CONTAINER_OF(timer, struct transactions, timer);
    if (!kafka_clients_topic_made(t->clients)) {
        io_timer_set(t->io, timer, io_now_ns(t->io) + LOOK_NS);
        return;
    }
    for (uint32_t i = 0; i < IDS * COPIERS; i++)
        kafka_copier_start(&t->copiers[i % IDS][i / IDS]);
    txn_pass_restart(&t->pass);
    for (uint32_t p = 0; p < KAFKA_COPIER_PARTITIONS; p++)
        txn_reader_start(&t->readers[p]);
}

static void open_copier(struct transactions *t, uint32_t id, uint32_t copier) {
    static const char *const ids[IDS] = {"copier-a", "copier-b"};
    static const uint32_t partitions[IDS] = {1U << 0 | 1U << 2, 1U << 1};
    struct kafka_copier_options options = {.io = t->io,
                                           .history = &t->history,
                                           .id = ids[id],
                                           .group = "copiers",
                                           .source = KAFKA_TOPIC,
                                           .target = COPIES,
                                           .index = id,
                                           .partitions = partitions[id],
                                           .node_count = world_node_count(t->world),
                                           .spare = copier > 0,
                                           .told = told,
                                           .ctx = t};
    options.seed = world_node_seed(t->world, KAFKA_CLIENTS_NODE);
    kafka_copier_init(&t->copiers[id][copier], &options);
}

void *kafka_transactions_open(struct world *world) {
    struct transactions *t = mem_calloc(1, sizeof *t);
    t->world = world;
    t->clients = kafka_clients_open(world);
    t->io = io_sim_node_io(world_sim(world), KAFKA_CLIENTS_NODE);
    txn_history_init(&t->history, kafka_clients_history(t->clients));
    for (uint32_t i = 0; i < IDS * COPIERS; i++)
        open_copier(t, i % IDS, i / IDS);
    for (uint32_t p = 0; p < KAFKA_COPIER_PARTITIONS; p++) {
        struct txn_reader_options options = {.io = t->io,
                                             .history = &t->history,
                                             .topic = COPIES,
                                             .partition = p,
                                             .node_count = world_node_count(world),
                                             .told = told,
                                             .ctx = t};
        options.seed = world_node_seed(world, KAFKA_CLIENTS_NODE);
        txn_reader_init(&t->readers[p], &options, &t->pass);
    }
    io_timer_init(&t->timer, look);
    io_timer_set(t->io, &t->timer, io_now_ns(t->io) + LOOK_NS);
    return t;
}

void kafka_transactions_close(void *transactions) {
    struct transactions *t = transactions;
    for (uint32_t i = 0; i < IDS * COPIERS; i++)
        kafka_copier_release(&t->copiers[i % IDS][i / IDS]);
    for (uint32_t p = 0; p < KAFKA_COPIER_PARTITIONS; p++)
        txn_reader_release(&t->readers[p]);
    txn_pass_release(&t->pass);
    txn_history_release(&t->history);
    kafka_clients_close(t->clients);
    mem_free(t);
}

bool kafka_transactions_operate(void *transactions, const struct action *action) {
    return kafka_clients_operate(((struct transactions *)transactions)->clients, action);
}

void kafka_transactions_finish(void *transactions) {
    struct transactions *t = transactions;
    for (uint32_t i = 0; i < IDS * COPIERS; i++)
        kafka_copier_settle(&t->copiers[i % IDS][i / IDS], i / IDS > 0);
    kafka_clients_finish(t->clients);
}

static bool all_copied(const struct transactions *t) {
    for (uint32_t id = 0; id < IDS; id++) {
        const struct kafka_copier *c = &t->copiers[id][0];
        if (c->step != COPIER_FETCH) return false;
        for (uint32_t p = 0; p < KAFKA_COPIER_PARTITIONS; p++)
            if ((c->options.partitions >> p & 1) != 0 && c->positions[p] < kafka_clients_end(t->clients, p))
                return false;
    }
    return true;
}

bool kafka_transactions_finished(void *transactions) {
    struct transactions *t = transactions;
    if (!kafka_clients_finished(t->clients) || (!t->verifying && !all_copied(t))) return false;
    if (!t->verifying) txn_pass_restart(&t->pass);
    bool done = true;
    for (uint32_t p = 0; p < KAFKA_COPIER_PARTITIONS; p++) {
        if (!t->verifying) txn_reader_start(&t->readers[p]);
        done = done && t->readers[p].at_end;
    }
    t->verifying = true;
    for (uint32_t p = 0; done && p < KAFKA_COPIER_PARTITIONS; p++)
        txn_history_finish(&t->history, &t->pass, p, kafka_clients_end(t->clients, p));
    told(t, NULL);
    return done;
}

void kafka_transactions_report(void *transactions, struct writer *to) {
    struct transactions *t = transactions;
    kafka_clients_report(t->clients, to);
    for (uint32_t id = 0; id < IDS; id++) {
        const struct kafka_copier *c = &t->copiers[id][0];
        writer_printf(to, "; copier %s epoch %d at step %d asks %u", c->options.id, c->epoch, (int)c->step,
                      c->asked_of);
        for (uint32_t p = 0; p < KAFKA_COPIER_PARTITIONS; p++)
            if ((c->options.partitions >> p & 1) != 0)
                writer_printf(to, " %lld/%lld", (long long)c->positions[p],
                              (long long)kafka_clients_end(t->clients, p));
    }
    for (uint32_t p = 0; p < KAFKA_COPIER_PARTITIONS; p++)
        writer_printf(to, "; reader %u at %lld of %lld%s", p, (long long)t->readers[p].offset,
                      (long long)t->readers[p].stable, t->readers[p].at_end ? ", at the end" : "");
}
