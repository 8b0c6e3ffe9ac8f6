// SPDX-License-Identifier: Apache-2.0
#include "cli/rebalance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/json.h"
#include "cli/moves.h"

#define LOOK_MS      300
#define PLAN_LOOKS   100 /* so long a plan is good, half a minute: making one goes through all partitions */
#define REFUSALS_MAX 100 /* looks in a row at which nothing could be begun: half a minute */
#define DELETING_MAX 30  /* looks until copies left behind are not waited for: their nodes may be down */
#define REPLICAS_MAX 16

struct planned {
    char *topic;
    int32_t partition;
    int32_t from[REPLICAS_MAX], to[REPLICAS_MAX];
    size_t count, copies; /* nodes that it comes to */
    int64_t bytes;        /* of one copy */
};
struct plan {
    struct planned *list;
    size_t count, capacity;
    size_t next, refused; /* those before `next` were begun, or refused for now */
};

static bool has(const int32_t *nodes, size_t count, int32_t node) {
    for (size_t i = 0; i < count; i++)
        if (nodes[i] == node) return true;
    return false;
}

static void add(void *context, const sentinel_planned_move *move) {
    struct plan *plan = context;
    if (move->node_count > REPLICAS_MAX) return;
    if (plan->count == plan->capacity) {
        plan->capacity = plan->capacity == 0 ? 64 : 2 * plan->capacity;
        plan->list = mem_realloc(plan->list, plan->capacity * sizeof *plan->list);
    }
    struct planned *p = &plan->list[plan->count++];
    *p = (struct planned){
        .topic = mem_strdup(move->topic), .partition = move->partition, .count = move->node_count};
    for (size_t i = 0; i < move->node_count; i++) {
        p->from[i] = move->from[i];
        p->to[i] = move->to[i];
        p->copies += !has(move->from, move->node_count, move->to[i]);
    }
}

static void release(struct plan *plan) {
    for (size_t i = 0; i < plan->count; i++)
        mem_free(plan->list[i].topic);
    mem_free(plan->list);
    *plan = (struct plan){0};
}

/* ---- the plan ------------------------------------------------------------------------------------------ */

/* Partitions of one topic stand together in a plan. */
static void take_sizes(void *context, const sentinel_topic *topic) {
    struct plan *plan = context;
    for (size_t i = 0; i < plan->count; i++)
        for (size_t k = 0; k < topic->partitions_listed && strcmp(plan->list[i].topic, topic->name) == 0; k++)
            if (topic->partitions[k].partition == plan->list[i].partition)
                plan->list[i].bytes = topic->partitions[k].size_bytes;
}

static void print_nodes(const int32_t *nodes, size_t count, const char *separator) {
    for (size_t i = 0; i < count; i++)
        printf("%s%d", i == 0 ? "" : separator, nodes[i]);
}

static void print_text(const struct plan *plan) {
    size_t copies = 0;
    int64_t bytes = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const struct planned *p = &plan->list[i];
        copies += p->copies;
        bytes += (int64_t)p->copies * p->bytes;
        printf("%s %d: ", p->topic, p->partition);
        print_nodes(p->from, p->count, ",");
        printf(" -> ");
        print_nodes(p->to, p->count, ",");
        if (p->copies == 0)
            printf("  (another preferred leader, nothing is copied)\n");
        else
            printf("  (%lld bytes)\n", (long long)p->copies * (long long)p->bytes);
    }
    printf("%zu partition%s to move, %zu cop%s, %lld bytes\n", plan->count, plan->count == 1 ? "" : "s",
           copies, copies == 1 ? "y" : "ies", (long long)bytes);
}

static void print_json(const struct plan *plan) {
    printf("{\"moves\":[");
    for (size_t i = 0; i < plan->count; i++) {
        const struct planned *p = &plan->list[i];
        printf("%s{\"topic\":", i == 0 ? "" : ",");
        json_print_text(stdout, p->topic, strlen(p->topic));
        printf(",\"partition\":%d,\"from\":[", p->partition);
        print_nodes(p->from, p->count, ",");
        printf("],\"to\":[");
        print_nodes(p->to, p->count, ",");
        printf("],\"bytes\":%lld}", (long long)p->copies * (long long)p->bytes);
    }
    printf("]}\n");
}

int rebalance_plan(sentinel_client *client, bool json, sentinel_error *error) {
    struct plan plan = {0};
    int result = sentinel_rebalance_plan(client, 0, add, &plan, error);
    for (size_t i = 0; result == 0 && i < plan.count; i++)
        if (i == 0 || strcmp(plan.list[i].topic, plan.list[i - 1].topic) != 0)
            result = sentinel_topic_describe(client, plan.list[i].topic, take_sizes, &plan, error);
    if (result == 0 && json)
        print_json(&plan);
    else if (result == 0)
        print_text(&plan);
    release(&plan);
    return result;
}

/* ---- doing it ------------------------------------------------------------------------------------------ */

struct under_way {
    size_t moving, deleting; /* deleting: only copies left behind */
};

static void count_move(void *context, const sentinel_move *move) {
    struct under_way *under_way = context;
    under_way->moving += !move->arrived;
    under_way->deleting += move->arrived;
}

/* Tried again at the next look: the topic is gone, an old copy is still being deleted, nobody leads now. */
static bool may_pass(const sentinel_error *error) {
    return error->code == SENTINEL_UNAVAILABLE || error->code == SENTINEL_NOT_FOUND;
}

/* Up to `room` moves; how many were begun, -1: failed. */
static int begin(sentinel_client *client, struct plan *plan, size_t room, sentinel_error *error) {
    int begun = 0;
    for (; plan->next < plan->count && room > 0; plan->next++) {
        const struct planned *p = &plan->list[plan->next];
        const sentinel_placement placement = {p->partition, p->to, p->count};
        const sentinel_move_options options = {.placements = &placement, .placement_count = 1};
        int result = sentinel_topic_move(client, p->topic, &options, error);
        if (result != 0 && !may_pass(error)) return -1;
        plan->refused += result != 0;
        begun += result == 0;
        room -= result == 0;
    }
    return begun;
}

struct rebalancing {
    struct plan plan;
    unsigned age; /* looks since it was made */
    struct under_way under_way;
    int begun; /* at the last look */
};

/* Nothing is left of the plan; when there was nothing in it, the last moves may make room for more. */
static bool plan_is_used(const struct rebalancing *r) {
    return r->plan.next == r->plan.count && (r->plan.count > 0 || r->under_way.moving == 0);
}

/* One look; how many partitions are not where they shall be, -1: failed. */
static long long look(struct rebalancing *r, sentinel_client *client, size_t moves_max,
                      sentinel_error *error) {
    r->under_way = (struct under_way){0};
    if (sentinel_moves(client, NULL, count_move, &r->under_way, error) != 0) return -1;
    size_t room = moves_max > r->under_way.moving ? moves_max - r->under_way.moving : 0;
    if (room > 0 && (plan_is_used(r) || ++r->age >= PLAN_LOOKS)) {
        release(&r->plan);
        r->age = 0;
        if (sentinel_rebalance_plan(client, 0, add, &r->plan, error) != 0) return -1;
    }
    r->begun = begin(client, &r->plan, room, error);
    size_t rest = r->plan.count - r->plan.next + r->plan.refused + r->under_way.moving;
    return r->begun < 0 ? -1 : (long long)rest + r->begun;
}

int rebalance_run(sentinel_client *client, size_t moves_max, sentinel_error *error) {
    struct moves_progress progress = {.what = "rebalancing: partitions"};
    struct rebalancing r = {0};
    int result = 1;
    for (int refusals = 0, deleting = 0; result > 0;) {
        long long left = look(&r, client, moves_max, error);
        if (left < 0) {
            result = -1;
            break;
        }
        moves_show(&progress, client, left);
        refusals = r.begun == 0 && r.under_way.moving == 0 && r.plan.count > 0 ? refusals + 1 : 0;
        if (refusals == REFUSALS_MAX) result = -1;
        deleting = left > 0 ? 0 : deleting + 1;
        bool done = left == 0 && r.plan.count == 0; /* the last plan found nothing */
        if (done && (r.under_way.deleting == 0 || deleting == DELETING_MAX)) result = 0;
        if (result > 0) sentinel_wait(client, LOOK_MS);
    }
    release(&r.plan);
    return result;
}
