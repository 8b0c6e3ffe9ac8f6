// SPDX-License-Identifier: Apache-2.0
#include "sim/kafka_groups.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_sim.h"
#include "sim/kafka_clients.h"
#include "sim/kafka_member.h"
#include "sim/world.h"

#define GROUPS      2
#define MEMBERS     3 /* of a group */
#define LOOK_NS     (20 * NS_PER_MS)
#define PATIENCE_NS (KAFKA_MEMBER_JOIN_MS * NS_PER_MS * 9 / 10) /* clocks drift, but not so much */

struct groups {
    struct world *world;
    struct io *io;
    void *clients;
    struct io_timer timer;
    struct group_history histories[GROUPS];
    struct kafka_member members[GROUPS][MEMBERS];
    bool finishing;
};

static void told(void *ctx, uint32_t node, const char *text) {
    struct groups *g = ctx;
    const struct history *history = kafka_clients_history(g->clients);
    if (text != NULL) world_client_event(g->world, node, text, false);
    if (history->violation[0] != '\0') world_violation(g->world, history->violation);
}

/* Members begin one after the other, when the topic is there. */
static void look(struct io_timer *timer) {
    struct groups *g = CONTAINER_OF(timer, struct groups, timer);
    bool all = true;
    for (uint32_t i = 0; i < GROUPS * MEMBERS && kafka_clients_topic_made(g->clients); i++) {
        struct kafka_member *member = &g->members[i % GROUPS][i / GROUPS];
        all = member->topic_known;
        if (all) continue;
        kafka_member_start(member);
        break;
    }
    if (!all || !kafka_clients_topic_made(g->clients))
        io_timer_set(g->io, &g->timer, io_now_ns(g->io) + LOOK_NS);
}

void *kafka_groups_open(struct world *world) {
    static const char *const names[GROUPS] = {"classic", "consumer"};
    struct groups *g = mem_calloc(1, sizeof *g);
    g->world = world;
    g->clients = kafka_clients_open(world);
    g->io = io_sim_node_io(world_sim(world), KAFKA_CLIENTS_NODE);
    for (uint32_t i = 0; i < GROUPS; i++) {
        /* Some of its members are static; all of a classic one are cooperative, or none. */
        struct prng kind;
        prng_init(&kind, world_node_seed(world, KAFKA_CLIENTS_NODE));
        uint32_t statics = (uint32_t)prng_below(&kind, 1U << MEMBERS);
        if (prng_chance(&kind, 1, 3)) statics = 0;
        bool cooperative = i == 0 && prng_chance(&kind, 1, 2);
        group_history_init(&g->histories[i], kafka_clients_history(g->clients), names[i],
                           i == 0 ? 0 : PATIENCE_NS);
        for (uint32_t k = 0; k < MEMBERS; k++) {
            struct kafka_member_options options = {.io = g->io,
                                                   .group = &g->histories[i],
                                                   .group_id = names[i],
                                                   .topic = KAFKA_TOPIC,
                                                   .consumer = i != 0,
                                                   .is_static = (statics >> k & 1) != 0,
                                                   .statics = statics != 0,
                                                   .cooperative = cooperative,
                                                   .index = k,
                                                   .node_count = world_node_count(world),
                                                   .told = told,
                                                   .ctx = g};
            options.seed = world_node_seed(world, KAFKA_CLIENTS_NODE);
            kafka_member_init(&g->members[i][k], &options);
        }
    }
    io_timer_init(&g->timer, look);
    io_timer_set(g->io, &g->timer, io_now_ns(g->io) + LOOK_NS);
    return g;
}

void kafka_groups_close(void *groups) {
    struct groups *g = groups;
    for (uint32_t i = 0; i < GROUPS; i++) {
        for (uint32_t k = 0; k < MEMBERS; k++)
            kafka_member_release(&g->members[i][k]);
        group_history_release(&g->histories[i]);
    }
    kafka_clients_close(g->clients);
    mem_free(g);
}

bool kafka_groups_operate(void *groups, const struct action *action) {
    return kafka_clients_operate(((struct groups *)groups)->clients, action);
}

void kafka_groups_finish(void *groups) {
    struct groups *g = groups;
    for (uint32_t i = 0; i < GROUPS * MEMBERS; i++)
        g->members[i % GROUPS][i / GROUPS].steady = true;
    kafka_clients_finish(g->clients);
}

bool kafka_groups_finished(void *groups) {
    struct groups *g = groups;
    if (!kafka_clients_finished(g->clients)) return false;
    for (uint32_t i = 0; i < GROUPS; i++)
        for (uint32_t p = 0; p < KAFKA_PARTITIONS; p++)
            if (MAX(g->histories[i].partitions[p].committed, (int64_t)0) < kafka_clients_end(g->clients, p))
                return false;
    for (uint32_t i = 0; i < GROUPS; i++)
        for (uint32_t p = 0; p < KAFKA_PARTITIONS; p++)
            group_history_finish(&g->histories[i], p, kafka_clients_end(g->clients, p));
    told(g, 0, NULL);
    return true;
}

void kafka_groups_report(void *groups, struct writer *to) {
    struct groups *g = groups;
    kafka_clients_report(g->clients, to);
    for (uint32_t i = 0; i < GROUPS; i++) {
        const struct group_history *h = &g->histories[i];
        writer_printf(to, "; B17 group %s at", h->name);
        for (uint32_t p = 0; p < KAFKA_PARTITIONS; p++)
            writer_printf(to, " %lld/%lld", (long long)h->partitions[p].committed,
                          (long long)kafka_clients_end(g->clients, p));
        for (uint32_t k = 0; k < MEMBERS; k++) {
            const struct kafka_member *m = &g->members[i][k];
            writer_printf(to, ", %u gen %d owns %x asks %s", k, m->generation, m->owned,
                          kafka_member_state(m));
        }
    }
}
