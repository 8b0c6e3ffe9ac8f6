// SPDX-License-Identifier: Apache-2.0
/* Random members of random kinds against the group machine, with lost answers, silent deaths and coordinators
 * that die; what the simulator's list of invariants asks of groups is checked at every step:
 *
 *   B13  a committed offset is what was committed last, by a member of the current generation
 *   B14  a partition of a generation (classic) or of the group (consumer) has one owner at most
 *   B15  generations grow; one leader a generation; the assignment delivered is the one computed for it
 *   B17  left alone, the group comes to rest in time
 *
 *   test_group_random [SEEDS [FIRST]] */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "lib/group_script.h"

#define CLIENTS_MAX     8
#define PARTITIONS      12
#define GENERATIONS_MAX 512
#define ID_SIZE         160

enum what { IDLE, JOINING, JOINED, SYNCING, MEMBER };

struct client {
    enum what what;
    bool is_static;
    char instance[16];
    char id[ID_SIZE];
    int32_t generation;
    uint32_t partitions; /* bits: what it believes to own */
    struct world *world;
    uint32_t index;
};
struct generation {
    char leader[ID_SIZE];
    bool assigned, known;
    struct {
        char id[ID_SIZE];
        uint32_t partitions;
    } members[CLIENTS_MAX * 2];
    uint32_t member_count;
};
struct world {
    struct group_machine machine;
    struct group_step step;
    struct group_script_store store;
    struct group_limits limits;
    struct prng prng;
    int64_t now_ms;
    struct client clients[CLIENTS_MAX];
    uint32_t client_count;
    bool consumer, faults;
    int64_t offsets[PARTITIONS]; /* the model: -1 none */
    int32_t newest;              /* generation */
    struct generation generations[GENERATIONS_MAX];
    uint64_t seed;
    int32_t partition_count;
};

#define CHECK(condition, invariant)                                                                          \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s: %s (line %d, seed %llu)\n", invariant, #condition, __LINE__,                \
                    (unsigned long long)w->seed);                                                            \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static const struct slice GROUP_NAME = {(const uint8_t *)"g", 1};
static const struct slice TOPIC_NAME = {(const uint8_t *)"t", 1};

static bool chance(struct world *w, uint32_t percent) {
    return prng_chance(&w->prng, percent, 100);
}

static bool find_topic(void *ctx, struct slice name, struct group_topic *topic) {
    const struct world *w = ctx;
    *topic = (struct group_topic){.partition_count = w->partition_count, .name = name};
    topic->id.bytes[0] = 1;
    return true;
}

static struct group_step *begin(struct world *w) {
    w->step.now_ms = w->now_ms;
    w->step.wall_ms = w->now_ms;
    return &w->step;
}

static void keep_id(char id[ID_SIZE], struct slice text) {
    snprintf(id, ID_SIZE, "%.*s", (int)text.size, (const char *)text.data);
}

/* ---- classic replies ----------------------------------------------------------------------------------- */

static void heard_join(struct world *w, struct client *client, const struct group_reply *reply) {
    if (reply->status == STATUS_MEMBER_ID_REQUIRED) keep_id(client->id, reply->member_id);
    client->what = IDLE;
    if (reply->status != STATUS_OK) {
        if (reply->status == STATUS_UNKNOWN_MEMBER || reply->status == STATUS_FENCED_INSTANCE)
            client->id[0] = '\0';
        return;
    }
    const struct group *group = reply->group;
    keep_id(client->id, reply->member_id);
    client->generation = group->generation;
    CHECK(group->generation >= w->newest && group->generation < GENERATIONS_MAX, "B15 generations grow");
    w->newest = group->generation;
    struct generation *generation = &w->generations[group->generation];
    char leader[ID_SIZE];
    keep_id(leader, reply->leader);
    if (!generation->known) memcpy(generation->leader, leader, sizeof leader);
    /* A static leader that came back leads under its new id. */
    bool replaced = group->phase == GROUP_STABLE;
    CHECK(!generation->known || replaced || strcmp(generation->leader, leader) == 0, "B15 one leader");
    generation->known = true;
    client->what = JOINED;
}

static void heard_sync(struct world *w, struct client *client, const struct group_reply *reply) {
    client->what = IDLE;
    client->partitions = 0;
    if (reply->status == STATUS_UNKNOWN_MEMBER || reply->status == STATUS_FENCED_INSTANCE)
        client->id[0] = '\0';
    if (reply->status != STATUS_OK) return;
    uint32_t partitions = 0;
    CHECK(reply->member->assignment.size == 0 || reply->member->assignment.size == sizeof partitions,
          "B15 whole assignments");
    if (reply->member->assignment.size != 0)
        memcpy(&partitions, reply->member->assignment.data, sizeof partitions);
    const struct generation *generation = &w->generations[client->generation];
    CHECK(generation->assigned, "B15 computed before delivered");
    uint32_t computed = 0;
    for (uint32_t i = 0; i < generation->member_count; i++)
        if (strcmp(generation->members[i].id, client->id) == 0) computed = generation->members[i].partitions;
    bool came_back = client->is_static; /* under another id than the one it was computed for */
    CHECK(came_back || partitions == computed, "B15 delivered is what was computed");
    client->partitions = partitions;
    client->what = MEMBER;
}

static void end(struct world *w) {
    if (w->step.change.count != 0) group_script_store_apply(&w->store, &w->step.change);
    for (uint32_t i = 0; i < w->step.reply_count; i++) {
        struct client *client = w->step.replies[i].call;
        if (client->what == JOINING)
            heard_join(w, client, &w->step.replies[i]);
        else if (client->what == SYNCING)
            heard_sync(w, client, &w->step.replies[i]);
    }
    group_machine_check(&w->machine);
    group_step_clear(&w->step);
}

static void exclusive(struct world *w) {
    uint32_t taken = 0;
    const struct group *group = group_find(&w->machine, GROUP_NAME);
    for (uint32_t i = 0; i < w->client_count; i++) {
        const struct client *client = &w->clients[i];
        if (client->what != MEMBER || group == NULL) continue;
        /* Who was thrown out and does not know it yet acts on an old generation: its commits are refused. */
        const struct group_member *member = map_get(&group->members, slice_from_text(client->id));
        if (member == NULL || (!w->consumer && client->generation != group->generation)) continue;
        CHECK((taken & client->partitions) == 0, "B14 one owner");
        taken |= client->partitions;
    }
}

static void advance(struct world *w, int64_t ms) {
    int64_t until = w->now_ms + ms;
    while (group_deadline(&w->machine) <= until) {
        w->now_ms = MAX(w->now_ms, group_deadline(&w->machine));
        group_expire(&w->machine, begin(w));
        end(w);
    }
    w->now_ms = until;
}

/* ---- classic actions ----------------------------------------------------------------------------------- */

static void act_join(struct world *w, struct client *client) {
    uint32_t kinds = 1 + (uint32_t)prng_below(&w->prng, 3);
    struct group_protocol protocols[] = {{SLICE_LITERAL("range"), slice_make(&kinds, 1)},
                                         {SLICE_LITERAL("sticky"), slice_make(&kinds, 1)}};
    uint32_t some = chance(w, 5) ? 1 : 0; /* "sticky" everybody speaks */
    struct group_join join = {.call = client,
                              .group = GROUP_NAME,
                              .member_id = slice_from_text(client->id),
                              .client_id = SLICE_LITERAL("c"),
                              .protocol_type = SLICE_LITERAL("consumer"),
                              .protocols = protocols + some,
                              .protocol_count = 2 - some,
                              .session_timeout_ms = 6000,
                              .rebalance_timeout_ms = 10000,
                              .wants_member_id = !w->faults || chance(w, 70),
                              .skips_assignment = chance(w, 50)};
    if (client->is_static) join.instance_id = slice_from_text(client->instance);
    client->what = JOINING;
    client->partitions = 0;
    group_join(&w->machine, begin(w), &join);
    end(w);
}

static void compute(struct world *w, struct client *client, struct group_assignment *assignments,
                    uint32_t *count) {
    struct generation *generation = &w->generations[client->generation];
    const struct group *group = group_find(&w->machine, GROUP_NAME);
    *count = 0;
    if (group == NULL || group->generation != client->generation || generation->assigned ||
        !slice_equal(group->leader, slice_from_text(client->id)) || group->phase != GROUP_COMPLETING)
        return;
    generation->assigned = true;
    MAP_FOREACH(it, &group->members) {
        const struct group_member *member = MAP_ENTRY(it)->value;
        keep_id(generation->members[generation->member_count++].id, member->id);
    }
    for (uint32_t p = 0; p < PARTITIONS; p++)
        generation->members[prng_below(&w->prng, generation->member_count)].partitions |= 1U << p;
    for (; *count < generation->member_count; ++*count)
        assignments[*count] = (struct group_assignment){
            slice_from_text(generation->members[*count].id),
            slice_make(&generation->members[*count].partitions, sizeof(uint32_t))};
}

static struct group_identity identity(const struct client *client) {
    return (struct group_identity){.group = GROUP_NAME,
                                   .member_id = slice_from_text(client->id),
                                   .instance_id = client->is_static ? slice_from_text(client->instance)
                                                                    : SLICE_EMPTY,
                                   .generation = client->generation};
}

static void act_sync(struct world *w, struct client *client) {
    struct group_assignment assignments[CLIENTS_MAX * 2];
    const struct group_identity who = identity(client);
    struct group_sync sync = {.call = client,
                              .group = GROUP_NAME,
                              .member_id = who.member_id,
                              .instance_id = who.instance_id,
                              .generation = client->generation,
                              .assignments = assignments};
    compute(w, client, assignments, &sync.assignment_count);
    client->what = SYNCING;
    group_sync(&w->machine, begin(w), &sync);
    end(w);
}

static void act_beat(struct world *w, struct client *client) {
    const struct group_identity who = identity(client);
    enum status status = group_heartbeat(&w->machine, begin(w), &who);
    end(w);
    if (status == STATUS_OK) return;
    if (status == STATUS_UNKNOWN_MEMBER || status == STATUS_FENCED_INSTANCE) client->id[0] = '\0';
    act_join(w, client);
}

static void act_commit(struct world *w, struct client *client) {
    int32_t partition = (int32_t)prng_below(&w->prng, PARTITIONS);
    struct group_commit_offset offset = {
        .topic = TOPIC_NAME, .partition = partition, .offset = (int64_t)prng_below(&w->prng, 1000)};
    struct group_commit commit = {.who = identity(client), .offsets = &offset, .offset_count = 1};
    if (w->consumer) commit.who.instance_id = SLICE_EMPTY;
    if (w->faults && chance(w, 20)) commit.who.generation += (int32_t)prng_below(&w->prng, 3) - 1;
    enum status status = group_commit(&w->machine, begin(w), &commit);
    const struct group *group = group_find(&w->machine, GROUP_NAME);
    if (status == STATUS_OK) {
        const struct group_member *member = map_get(&group->members, commit.who.member_id);
        CHECK(commit.who.generation < 0 ||
                  (member != NULL &&
                   (w->consumer ? member->epoch : group->generation) == commit.who.generation),
              "B13 committed by a current member");
        w->offsets[partition] = offset.offset;
    }
    end(w);
}

static void check_offsets(struct world *w) {
    const struct group *group = group_find(&w->machine, GROUP_NAME);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        const struct group_offset *offset = group == NULL ? NULL : group_offset_find(group, TOPIC_NAME, p);
        CHECK((offset == NULL ? -1 : offset->offset) == w->offsets[p], "B13 what was committed last");
    }
}

/* ---- consumer actions ---------------------------------------------------------------------------------- */

static uint32_t bits_of(const struct group_partitions *set) {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < set->count; i++)
        bits |= 1U << set->list[i].partition;
    return bits;
}

static void act_consumer_beat(struct world *w, struct client *client, int32_t epoch) {
    struct group_partition owned[PARTITIONS];
    uint32_t owned_count = 0;
    for (int32_t p = 0; p < PARTITIONS; p++)
        if (client->partitions >> p & 1) owned[owned_count++] = (struct group_partition){{{1}}, p};
    bool joins = client->what == IDLE && epoch >= 0;
    if (joins) {
        snprintf(client->id, sizeof client->id, "member-%u-%llu", client->index,
                 (unsigned long long)prng_below(&w->prng, 1000000));
        client->generation = 0;
        client->partitions = owned_count = 0;
        epoch = 0;
    }
    struct group_consumer_beat beat = {.group = GROUP_NAME,
                                       .member_id = slice_from_text(client->id),
                                       .instance_id = client->is_static ? slice_from_text(client->instance)
                                                                        : SLICE_EMPTY,
                                       .client_id = SLICE_LITERAL("c"),
                                       .epoch = epoch,
                                       .rebalance_timeout_ms = joins ? 10000 : -1,
                                       .has_topics = joins,
                                       .has_owned = true,
                                       .topics = &TOPIC_NAME,
                                       .topic_count = joins ? 1 : 0,
                                       .owned = owned,
                                       .owned_count = owned_count};
    if (joins && chance(w, 30)) beat.assignor = SLICE_LITERAL("range");
    const struct group_member *member;
    bool changed;
    enum status status = group_consumer_beat(&w->machine, begin(w), &beat, &member, &changed);
    bool lost = w->faults && chance(w, 10) && !joins;
    if (status == STATUS_OK && member != NULL && !lost) {
        client->what = MEMBER;
        client->generation = member->epoch;
        if (changed) client->partitions = bits_of(&member->assigned);
    } else if (status != STATUS_OK || member == NULL) {
        client->what = IDLE;
        client->partitions = 0;
    }
    end(w);
}

/* ---- the run ------------------------------------------------------------------------------------------- */

static void act(struct world *w, struct client *client) {
    if (w->consumer) {
        if (client->what == MEMBER && chance(w, 20))
            act_commit(w, client);
        else if (client->what == MEMBER && w->faults && chance(w, 5))
            act_consumer_beat(w, client, GROUP_EPOCH_LEAVE);
        else
            act_consumer_beat(w, client, client->generation + (w->faults && chance(w, 3)));
        return;
    }
    if (client->what == IDLE)
        act_join(w, client);
    else if (client->what == JOINED)
        act_sync(w, client);
    else if (client->what == MEMBER && chance(w, 30))
        act_commit(w, client);
    else if (client->what == MEMBER)
        act_beat(w, client);
}

static void die(struct world *w, struct client *client, bool leaves) {
    if (leaves && client->what == MEMBER && !w->consumer) {
        const struct group_identity who = identity(client);
        MAYBE(group_leave(&w->machine, begin(w), &who) == STATUS_OK);
        end(w);
    }
    if (client->what == JOINING || client->what == SYNCING)
        group_forget_call(&w->machine, GROUP_NAME, client);
    client->what = IDLE;
    client->partitions = 0;
    client->id[0] = '\0';
}

static void crash(struct world *w) {
    group_machine_release(&w->machine);
    group_machine_init(&w->machine, &w->limits, prng_next(&w->prng));
    group_script_store_load(&w->store, &w->machine);
    enum status status = group_loaded(&w->machine, w->now_ms, w->now_ms);
    CHECK(status == STATUS_OK, "B18 what was logged loads");
    group_machine_check(&w->machine);
    for (uint32_t i = 0; i < w->client_count; i++) { /* their calls break */
        struct client *client = &w->clients[i];
        if (client->what == JOINING || client->what == SYNCING) client->what = IDLE;
    }
}

static void init(struct world *w, uint64_t seed) {
    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->faults = true;
    prng_init(&w->prng, seed);
    w->limits = group_limits_default();
    w->limits.initial_delay_ms = chance(w, 50) ? 0 : 500;
    w->limits.consumer_session_ms = 6000;
    w->consumer = chance(w, 50);
    w->partition_count = (int32_t)prng_range(&w->prng, 1, PARTITIONS);
    group_machine_init(&w->machine, &w->limits, seed);
    group_step_init(&w->step);
    w->step.topics.ctx = w;
    w->step.topics.find = find_topic;
    w->client_count = (uint32_t)prng_range(&w->prng, 1, CLIENTS_MAX);
    for (uint32_t i = 0; i < w->client_count; i++) {
        w->clients[i] = (struct client){.world = w, .index = i, .is_static = chance(w, 25)};
        snprintf(w->clients[i].instance, sizeof w->clients[i].instance, "i%u", i);
    }
    for (uint32_t p = 0; p < PARTITIONS; p++)
        w->offsets[p] = -1;
}

/* B17: everybody behaves from now on; the group must rest within session, rebalance and initial delay. */
static void settle(struct world *w) {
    w->faults = false;
    int64_t end_ms = w->now_ms + 6000 + 2 * 10000 + 2000;
    while (w->now_ms < end_ms) {
        for (uint32_t i = 0; i < w->client_count; i++)
            act(w, &w->clients[i]);
        exclusive(w);
        advance(w, 300);
    }
    const struct group *group = group_find(&w->machine, GROUP_NAME);
    CHECK(group != NULL && strcmp(group_phase_name(group), "Stable") == 0, "B17 the group comes to rest");
    CHECK(group->members.count == w->client_count, "B17 with everybody in it");
    uint32_t all = 0;
    for (uint32_t i = 0; i < w->client_count; i++) {
        CHECK(w->clients[i].what == MEMBER, "B17 everybody is a member");
        all |= w->clients[i].partitions;
    }
    uint32_t partitions = w->consumer ? (uint32_t)w->partition_count : PARTITIONS;
    CHECK(all == (1U << partitions) - 1, "B17 every partition is read");
}

static void run(struct world *w, uint64_t seed) {
    init(w, seed);
    uint32_t steps = (uint32_t)prng_range(&w->prng, 20, 400);
    for (uint32_t i = 0; i < steps; i++) {
        struct client *client = &w->clients[prng_below(&w->prng, w->client_count)];
        if (chance(w, 4))
            die(w, client, chance(w, 50));
        else if (chance(w, 2))
            crash(w);
        else if (chance(w, 2) && w->consumer && w->partition_count < PARTITIONS) {
            w->partition_count++;
            w->step.topics.version++;
        } else if (chance(w, 30))
            advance(w, (int64_t)prng_below(&w->prng, chance(w, 10) ? 12000 : 500));
        else
            act(w, client);
        exclusive(w);
        check_offsets(w);
    }
    settle(w);
    group_machine_release(&w->machine);
    group_step_release(&w->step);
    group_script_store_release(&w->store);
}

int main(int argc, char **argv) {
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 600;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct world *w = mem_calloc(1, sizeof *w);
    for (uint64_t seed = first; seed < first + count; seed++)
        run(w, seed);
    mem_free(w);
    printf("%llu seeds\n", (unsigned long long)count);
    return 0;
}
