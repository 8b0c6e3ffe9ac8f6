// SPDX-License-Identifier: Apache-2.0
#include "lib/raft_model.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "raft/raft_message.h"

#define MEMBERS_MAX 5
#define DEPTH_MAX   64
#define MAIL_MAX    64
#define CHOICES_MAX (MAIL_MAX * 2 + 64)

enum action_kind { CAMPAIGN, BEAT, PROPOSE, CHANGE, DELIVER, DROP, PERSIST, RESTART };
static const char *const action_names[] = {"campaign", "beat", "propose", "change",
                                           "deliver",  "drop", "persist", "restart"};
struct action {
    enum action_kind kind;
    uint32_t member, argument; /* mail: its place in the list; restart: writes kept */
};

struct world {
    struct raft_group group;
    struct raft_mail *mail[MAIL_MAX];
    uint32_t mail_count;
    uint64_t now_ns;
    uint32_t used[RESTART + 1]; /* how many of each kind */
};

/* (state, depth left when it was entered) */
struct seen {
    uint64_t hash;
    uint32_t depth;
};

struct search {
    const struct raft_model_bounds *bounds;
    struct raft_model_result *result;
    struct world world;
    struct action path[DEPTH_MAX];
    struct seen *seen;
    uint64_t capacity;
    bool stopped;
};

/* ---- the world ---------------------------------------------------------------------------------------- */

static void collect(struct world *w) {
    for (uint32_t i = 0; i < w->group.host_count; i++) {
        struct raft_host *host = w->group.hosts[i];
        for (uint32_t k = 0; k < host->outbox.count; k++) {
            if (w->mail_count < MAIL_MAX)
                w->mail[w->mail_count++] = host->outbox.items[k];
            else
                raft_mail_free(host->outbox.items[k]);
        }
        host->outbox.count = host->reads.count = 0;
    }
}

static void world_begin(struct world *w, const struct raft_model_bounds *bounds) {
    *w = (struct world){.now_ns = NS_PER_S};
    raft_group_init(&w->group, 1);
    struct raft_config *config = mem_calloc(1, raft_config_size(MEMBERS_MAX));
    config->member_count = bounds->members;
    for (uint32_t i = 0; i < bounds->members; i++)
        config->members[i] = (struct raft_member){raft_id(i + 1, 0), RAFT_VOTER};
    for (uint32_t i = 0; i < bounds->members; i++) {
        struct raft_options options = raft_options_default(raft_id(i + 1, 0));
        raft_host_start(raft_group_add(&w->group, &options, config), w->now_ns);
    }
    mem_free(config);
}

static void world_end(struct world *w) {
    for (uint32_t i = 0; i < w->mail_count; i++)
        raft_mail_free(w->mail[i]);
    raft_group_release(&w->group);
}

static struct raft_mail *take(struct world *w, uint32_t at) {
    struct raft_mail *mail = w->mail[at];
    w->mail_count--;
    memmove(&w->mail[at], &w->mail[at + 1], (w->mail_count - at) * sizeof(struct raft_mail *));
    return mail;
}

static void deliver(struct world *w, struct raft_mail *mail) {
    struct raft_host *host = raft_group_find(&w->group, mail->message.to);
    raft_host_receive(host, &mail->message, w->now_ns);
    raft_mail_free(mail);
}

/* The member's timer, and its pre-votes with their answers, which change nothing but itself. */
static void campaign(struct world *w, struct raft_host *host) {
    w->now_ns += 2 * NS_PER_S;
    raft_host_timer(host, w->now_ns);
    collect(w);
    for (uint32_t i = 0; i < w->mail_count;) {
        enum raft_message_kind kind = w->mail[i]->message.kind;
        if (kind != RAFT_PREVOTE && kind != RAFT_PREVOTE_REPLY) {
            i++;
            continue;
        }
        deliver(w, take(w, i));
        collect(w);
        i = 0;
    }
}

static void change(struct world *w, struct raft_host *host) {
    struct raft_member members[2] = {{raft_id(1, 0), RAFT_VOTER}, {raft_id(2, 0), RAFT_VOTER}};
    struct raft_event event = {
        .kind = RAFT_EVENT_CHANGE_MEMBERS, .now_ns = w->now_ns, .change = {.members = members, .count = 2}};
    enum status status = raft_host_step(host, &event);
    MAYBE(status != STATUS_OK);
}

static void act(struct world *w, struct action action) {
    struct raft_host *host = w->group.hosts[action.member];
    enum status status = STATUS_OK;
    w->used[action.kind]++;
    switch (action.kind) {
    case CAMPAIGN:
        campaign(w, host);
        break;
    case BEAT:
        w->now_ns = MAX(w->now_ns, host->deadline);
        raft_host_timer(host, w->now_ns);
        break;
    case PROPOSE:
        status = raft_host_propose(host, 1, 1, 8, w->now_ns);
        break;
    case CHANGE:
        change(w, host);
        break;
    case DELIVER:
        deliver(w, take(w, action.argument));
        break;
    case DROP:
        raft_mail_free(take(w, action.argument));
        break;
    case PERSIST:
        raft_host_persist(host, 1, w->now_ns);
        break;
    case RESTART:
        raft_host_crash(host, action.argument);
        w->now_ns += NS_PER_S;
        raft_host_start(host, w->now_ns);
        break;
    }
    MAYBE(status != STATUS_OK);
    collect(w);
    /* The store answers at once: when it is read decides nothing here. */
    for (uint32_t i = 0; i < w->group.host_count; i++)
        while (w->group.hosts[i]->entry_reads.count > 0)
            raft_host_answer_entries(w->group.hosts[i], w->now_ns);
    collect(w);
}

/* ---- what a state is ---------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15U;
    return h ^ h >> 29;
}

static uint64_t hash_message(const struct raft_message *m) {
    uint64_t h = mix(mix(mix(mix(1, (uint64_t)m->kind), m->flags), m->from), m->to);
    h = mix(h, m->term);
    if (m->kind == RAFT_APPEND || m->kind == RAFT_HEARTBEAT)
        h = mix(mix(mix(h, m->append.prev), m->append.prev_term), m->append.commit_end);
    if (m->kind == RAFT_ACK)
        h = mix(mix(mix(mix(h, m->ack.match), m->ack.accepted), m->ack.prev), m->ack.hint);
    if (m->kind == RAFT_VOTE) h = mix(mix(h, m->vote.log_end), m->vote.last_term);
    for (uint32_t i = 0; i < m->entry_count; i++)
        h = mix(mix(h, m->entries[i].end), m->entries[i].term);
    return h;
}

static uint64_t hash_image(const struct raft_image *image) {
    uint64_t h = mix(mix(2, image->hard_state.term), image->hard_state.vote), chain = 0;
    bool found = raft_image_chain(image, raft_image_end(image), &chain);
    ASSERT(found);
    return mix(mix(mix(h, image->hard_state.commit_end), raft_image_end(image)), chain);
}

static uint64_t hash_progress(const struct raft *raft) {
    uint64_t h = mix(mix(3, raft->term_start), raft->change != NULL);
    for (uint32_t i = 0; i < raft_config(raft)->member_count; i++) {
        const struct raft_progress *p = &raft->progress[i];
        h = mix(mix(mix(h, p->match), p->next), (uint64_t)p->state * 4 + p->paused);
        h = mix(mix(mix(h, p->inflight_count), p->accepted), p->commit_sent);
    }
    return h;
}

static uint64_t hash_host(const struct raft_host *host, uint64_t now_ns) {
    const struct raft *raft = &host->raft;
    uint64_t h = mix(mix(hash_image(&host->durable), hash_image(&host->view)), (uint64_t)raft->role);
    h = mix(mix(mix(h, raft->term), raft->vote), raft->leader);
    h = mix(mix(mix(h, raft->commit_end), raft->verified_end), raft->acked_end);
    h = mix(mix(mix(h, raft->log.flushed_end), raft->votes_granted), raft->votes_rejected);
    h = mix(mix(h, raft->transferring), now_ns < raft->loyal_until_ns);
    for (uint32_t i = 0; i < host->writes.count; i++) {
        const struct raft_write *write = host->writes.items[i];
        h = mix(mix(h, write->truncate ? write->truncate_from + 1 : 0), write->entry_count);
        h = mix(mix(h, write->hard_state.term), write->hard_state.vote);
        if (write->entry_count > 0) h = mix(h, write->entries[write->entry_count - 1].chain);
    }
    for (uint32_t i = 0; i < host->held.count; i++)
        h = mix(h, hash_message(&host->held.items[i]->message));
    return raft_is_leader(raft) ? mix(h, hash_progress(raft)) : h;
}

static uint64_t hash_world(const struct world *w) {
    uint64_t h = 4, mail = 0;
    for (uint32_t i = 0; i < w->group.host_count; i++)
        h = mix(h, hash_host(w->group.hosts[i], w->now_ns));
    for (uint32_t i = 0; i < w->mail_count; i++)
        mail += hash_message(&w->mail[i]->message); /* the network has no order */
    for (uint32_t i = 0; i <= RESTART; i++)
        if (i != DELIVER && i != PERSIST) h = mix(h, w->used[i]);
    h = mix(h, mail);
    return h == 0 ? 1 : h;
}

/* ---- the search --------------------------------------------------------------------------------------- */

static void grow(struct search *s) {
    struct seen *old = s->seen;
    uint64_t old_capacity = s->capacity;
    s->capacity = old_capacity == 0 ? 1 << 16 : old_capacity * 2;
    s->seen = mem_calloc(s->capacity, sizeof *s->seen);
    for (uint64_t i = 0; i < old_capacity; i++) {
        if (old[i].hash == 0) continue;
        uint64_t at = old[i].hash & (s->capacity - 1);
        while (s->seen[at].hash != 0)
            at = (at + 1) & (s->capacity - 1);
        s->seen[at] = old[i];
    }
    mem_free(old);
}

/* True: to be entered. */
static bool enter(struct search *s, uint64_t hash, uint32_t depth_left) {
    if ((s->result->states + 1) * 2 > s->capacity) grow(s);
    uint64_t at = hash & (s->capacity - 1);
    while (s->seen[at].hash != 0 && s->seen[at].hash != hash)
        at = (at + 1) & (s->capacity - 1);
    if (s->seen[at].hash == hash) {
        if (s->seen[at].depth >= depth_left) return false;
        s->seen[at].depth = depth_left;
        return true;
    }
    s->seen[at] = (struct seen){hash, depth_left};
    s->result->states++;
    return true;
}

static uint32_t list_choices(const struct search *s, struct action *choices) {
    const struct world *w = &s->world;
    const struct raft_model_bounds *b = s->bounds;
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->group.host_count; i++) {
        const struct raft_host *host = w->group.hosts[i];
        bool leads = raft_is_leader(&host->raft);
        if (host->writes.count > 0) choices[n++] = (struct action){PERSIST, i, 0};
        if (!leads && w->used[CAMPAIGN] < b->campaigns) choices[n++] = (struct action){CAMPAIGN, i, 0};
        if (leads && w->used[BEAT] < b->beats) choices[n++] = (struct action){BEAT, i, 0};
        if (leads && w->used[PROPOSE] < b->proposals) choices[n++] = (struct action){PROPOSE, i, 0};
        if (leads && w->used[CHANGE] < b->changes) choices[n++] = (struct action){CHANGE, i, 0};
        if (w->used[RESTART] < b->restarts)
            for (uint32_t keep = 0; keep <= host->writes.count && n < CHOICES_MAX / 2; keep++)
                choices[n++] = (struct action){RESTART, i, keep};
        /* All members are alike until one of them has campaigned. */
        if (w->used[CAMPAIGN] == 0) break;
    }
    for (uint32_t i = 0; i < w->mail_count && n + 2 <= CHOICES_MAX; i++) {
        choices[n++] = (struct action){DELIVER, 0, i};
        if (w->used[DROP] < b->drops) choices[n++] = (struct action){DROP, 0, i};
    }
    return n;
}

static void rebuild(struct search *s, uint32_t depth) {
    world_end(&s->world);
    world_begin(&s->world, s->bounds);
    for (uint32_t i = 0; i < depth; i++)
        act(&s->world, s->path[i]);
}

static void report(struct search *s, uint32_t depth) {
    memcpy(s->result->violation, s->world.group.ghost.violation, sizeof s->result->violation);
    size_t at = 0;
    for (uint32_t i = 0; i < depth && at + 64 < sizeof s->result->path; i++)
        at += (size_t)snprintf(s->result->path + at, sizeof s->result->path - at,
                               "%s %" PRIu32 " %" PRIu32 "; ", action_names[s->path[i].kind],
                               s->path[i].member + 1, s->path[i].argument);
    s->stopped = true;
}

static void look(struct search *s, uint32_t depth) {
    s->result->depth = MAX(s->result->depth, depth);
    s->result->leaders += raft_group_leader(&s->world.group) != NULL;
    s->result->commits += s->world.group.ghost.committed_count > 0;
}

/* The world is at the end of path[0 .. depth). On return it is anywhere. */
static void explore(struct search *s, uint32_t depth) {
    struct action choices[CHOICES_MAX];
    uint32_t count = list_choices(s, choices);
    bool here = true;
    look(s, depth);
    if (depth == s->bounds->depth) {
        s->result->complete &= count == 0;
        return;
    }
    for (uint32_t i = 0; i < count && !s->stopped; i++) {
        if (!here) rebuild(s, depth);
        s->path[depth] = choices[i];
        act(&s->world, choices[i]);
        here = false;
        s->result->transitions++;
        if (s->world.group.ghost.violation[0] != '\0') {
            report(s, depth + 1);
        } else if (s->result->states >= s->bounds->states) {
            s->result->complete = false;
            s->result->stopped = true;
            s->stopped = true;
        } else if (enter(s, hash_world(&s->world), s->bounds->depth - depth - 1)) {
            explore(s, depth + 1);
        }
    }
}

void raft_model_check(const struct raft_model_bounds *bounds, struct raft_model_result *result) {
    ASSERT_LE(bounds->depth, (uint32_t)DEPTH_MAX);
    ASSERT_LE(bounds->members, (uint32_t)MEMBERS_MAX);
    *result = (struct raft_model_result){.complete = true};
    struct search *s = mem_calloc(1, sizeof *s);
    s->bounds = bounds;
    s->result = result;
    world_begin(&s->world, bounds);
    explore(s, 0);
    world_end(&s->world);
    mem_free(s->seen);
    mem_free(s);
}
