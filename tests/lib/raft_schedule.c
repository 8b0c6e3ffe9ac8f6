// SPDX-License-Identifier: Apache-2.0
#include "lib/raft_schedule.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "raft/raft_message.h"

#define NODES_MAX  7
#define READS_MAX  1024
#define HEALING_NS (60 * NS_PER_S)
#define LEADER_NS  (8 * NS_PER_S) /* a leader is there within 40 of the longest election timeouts */
#define DRIFT_PPM  10000          /* clocks keep to it; leases are told twice as much, for two clocks */

enum action_kind {
    DELIVER,
    PERSIST,
    TIMER,
    ANSWER_ENTRIES,
    ANSWER_SNAPSHOT,
    STORE_PIECE,
    RESTART,
    CLIENT, /* from here on: again and again */
    FAULT,
    DETECT,
};

struct action {
    uint64_t at_ns, sequence;
    enum action_kind kind;
    uint64_t host, start; /* of whom; only while it has not been started again, 0: any */
    struct raft_mail *mail;
};

/* Drawn for a run: in 1/1000 unless named otherwise. */
struct plan {
    uint32_t nodes, voters;
    uint32_t drop, duplicate;
    uint64_t delay_ns_max, disk_ns_max;
    uint64_t client_ns, fault_ns;
    bool crash, partition, one_way, change, transfer, compact, damage, lose_disk, sleep, lease, reads, tiny;
    /* A race for reads: what a leader is told comes so late that others may have replaced it meanwhile, and
     * it is asked for reads all the time. */
    uint64_t late_ns;
};

struct read_issued {
    uint64_t must_see; /* committed when it was asked */
    bool follower;
};

struct world {
    const struct raft_schedule_options *options;
    struct raft_seen *seen;
    struct prng prng;
    struct plan plan;
    struct raft_group group;
    struct action *heap;
    uint32_t heap_count, heap_capacity;
    uint64_t sequence, now_ns;
    bool healing;
    bool cut[NODES_MAX + 1][NODES_MAX + 1]; /* from, to */
    bool known_up[NODES_MAX + 1][NODES_MAX + 1];
    uint64_t known_start[NODES_MAX + 1][NODES_MAX + 1]; /* a connection ends with the process */
    int64_t drift_ppm[NODES_MAX + 1];
    uint64_t offset_ns[NODES_MAX + 1];
    uint32_t incarnation[NODES_MAX + 1];
    uint64_t timer_at[NODES_MAX + 1];
    bool persisting[NODES_MAX + 1];
    bool disk_lost;
    uint32_t late_node; /* what it is told comes late; 0: none */
    /* Numbered anew at each start of a node: an answer to an earlier life must not be taken for one to this.
     */
    struct read_issued reads[NODES_MAX + 1][READS_MAX];
    uint32_t read_count[NODES_MAX + 1];
};

static bool chance(struct world *w, uint32_t per_mille) {
    return prng_chance(&w->prng, per_mille, 1000);
}

/* ---- the clock ---------------------------------------------------------------------------------------- */

static bool before(const struct action *a, const struct action *b) {
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->sequence < b->sequence;
}

static void add(struct world *w, struct action action) {
    if (w->heap_count == w->heap_capacity) {
        w->heap_capacity = MAX(w->heap_capacity * 2, 64);
        w->heap = mem_realloc(w->heap, w->heap_capacity * sizeof *w->heap);
    }
    action.sequence = w->sequence++;
    uint32_t at = w->heap_count++;
    for (; at > 0 && before(&action, &w->heap[(at - 1) / 2]); at = (at - 1) / 2)
        w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = action;
}

static struct action pop(struct world *w) {
    struct action first = w->heap[0], last = w->heap[--w->heap_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child >= w->heap_count) break;
        if (child + 1 < w->heap_count && before(&w->heap[child + 1], &w->heap[child])) child++;
        if (!before(&w->heap[child], &last)) break;
        w->heap[at] = w->heap[child];
        at = child;
    }
    w->heap[at] = last;
    return first;
}

static uint64_t local(const struct world *w, uint64_t id) {
    uint32_t node = raft_id_node(id);
    int64_t drift = (int64_t)(w->now_ns / 1000) * w->drift_ppm[node] / 1000;
    return w->now_ns + w->offset_ns[node] + (uint64_t)drift;
}

/* When the member's clock shows `local_ns`, or a little after. */
static uint64_t global(const struct world *w, uint64_t id, uint64_t local_ns) {
    uint64_t now = local(w, id);
    if (local_ns <= now) return w->now_ns;
    uint64_t rate = (uint64_t)(1000000 + w->drift_ppm[raft_id_node(id)]);
    return w->now_ns + (local_ns - now) * 1000000 / rate + 2 * NS_PER_US;
}

/* ---- what follows from a step ------------------------------------------------------------------------- */

static void trace(struct world *w, const char *what, uint64_t id, struct writer *line) {
    if (w->options->trace == NULL) return;
    fprintf(w->options->trace, "%9.3f ms %u.%u %s %.*s\n", (double)w->now_ns / 1e6, raft_id_node(id),
            (unsigned)id, what, line == NULL ? 0 : (int)line->size,
            line == NULL ? "" : (const char *)line->data);
}

static void send(struct world *w, struct raft_mail *mail) {
    struct raft_message *m = &mail->message;
    uint32_t from = raft_id_node(m->from), to = raft_id_node(m->to);
    w->seen->messages++;
    w->seen->rejections += (m->flags & RAFT_FLAG_REJECTED) != 0;
    if (w->options->trace != NULL) {
        struct writer line;
        writer_init(&line);
        raft_message_print(&line, m);
        trace(w, "sends", m->from, &line);
        writer_release(&line);
    }
    if (!w->healing && (w->cut[from][to] || chance(w, w->plan.drop))) {
        raft_mail_free(mail);
        return;
    }
    uint32_t copies = !w->healing && chance(w, w->plan.duplicate) ? 2 : 1;
    for (uint32_t i = 0; i < copies; i++) {
        uint64_t delay = 50 * NS_PER_US + prng_below(&w->prng, w->healing ? NS_PER_MS : w->plan.delay_ns_max);
        if (!w->healing && chance(w, 5)) delay *= 20; /* an old acquaintance */
        if (!w->healing && to == w->late_node) delay += w->plan.late_ns;
        struct raft_mail *sent = i + 1 == copies ? mail : raft_mail_copy(m);
        add(w, (struct action){.at_ns = w->now_ns + delay, .kind = DELIVER, .host = m->to, .mail = sent});
    }
}

static void soon(struct world *w, struct raft_host *host, enum action_kind kind, uint64_t max_ns) {
    add(w, (struct action){.at_ns = w->now_ns + 10 * NS_PER_US + prng_below(&w->prng, max_ns),
                           .kind = kind,
                           .host = host->id,
                           .start = host->starts});
}

static void check_reads(struct world *w, struct raft_host *host) {
    for (uint32_t i = 0; i < host->reads.count; i++) {
        struct raft_read_state read = host->reads.items[i];
        struct read_issued *issued = &w->reads[raft_id_node(host->id)][read.context % READS_MAX];
        RAFT_EXPECT(&w->group.ghost, read.position >= issued->must_see,
                    "R24 read linearizability: a read at %" PRIu64
                    " misses what was committed up to %" PRIu64,
                    read.position, issued->must_see);
        w->seen->reads_served++;
        w->seen->follower_reads_served += issued->follower;
    }
    host->reads.count = 0;
}

/* Called after everything that may have made `host` step. */
static void follow_up(struct world *w, struct raft_host *host) {
    uint32_t node = raft_id_node(host->id);
    for (uint32_t i = 0; i < host->outbox.count; i++)
        send(w, host->outbox.items[i]);
    host->outbox.count = 0;
    if (host->writes.count > 0 && !w->persisting[node]) {
        w->persisting[node] = true;
        soon(w, host, PERSIST, w->healing ? NS_PER_MS : w->plan.disk_ns_max);
    }
    check_reads(w, host);
    if (host->deadline == RAFT_NEVER) return;
    uint64_t at = MAX(global(w, host->id, host->deadline), w->now_ns + 1);
    if (w->timer_at[node] > w->now_ns && w->timer_at[node] <= at) return;
    w->timer_at[node] = at;
    add(w, (struct action){.at_ns = at, .kind = TIMER, .host = host->id, .start = host->starts});
}

static const char *const event_names[] = {
    "timer",  "receives",  "propose",  "persisted", "applied", "entries",   "read",    "transfer",
    "change", "compacted", "snapshot", "stored",    "damaged", "peer-down", "peer-up", "set-priority"};

static void print_step(struct world *w, struct raft_host *host, const struct raft_event *event,
                       enum status status) {
    const struct raft *raft = &host->raft;
    struct writer line;
    writer_init(&line);
    if (event->kind == RAFT_EVENT_RECEIVE) raft_message_print(&line, event->message);
    if (event->kind == RAFT_EVENT_PERSISTED) writer_printf(&line, "%" PRIu64, event->write);
    if (event->kind == RAFT_EVENT_ENTRIES_READ)
        writer_printf(&line, "for %u from=%" PRIu64 " count=%u %s", raft_id_node(event->entries_read.peer),
                      event->entries_read.from, event->entries_read.count,
                      status_name(event->entries_read.status));
    if (status != STATUS_OK) writer_printf(&line, " %s", status_name(status));
    writer_printf(
        &line, " => %s%s term=%" PRIu64 " log=[%" PRIu64 ",%" PRIu64 ") durable=%" PRIu64 " commit=%" PRIu64,
        raft_role_name(raft->role), raft->asleep ? " asleep" : "", raft->term, raft->log.start, raft->log.end,
        raft_durable_end(raft), raft->commit_end);
    if (host->effects.write != 0) writer_printf(&line, " write=%" PRIu64, host->effects.write);
    if (host->effects.truncate) writer_printf(&line, " truncate=%" PRIu64, host->effects.truncate_from);
    if (host->effects.config_changed) {
        writer_text(&line, " config=");
        raft_config_print(&line, raft_config(raft));
    }
    trace(w, event_names[event->kind], host->id, &line);
    writer_release(&line);
}

/* Sees every step, also those that the host makes by itself. */
static void watch(void *ctx, struct raft_host *host, const struct raft_event *event, enum status status) {
    struct world *w = ctx;
    const struct raft_effects *effects = &host->effects;
    bool leads = raft_is_leader(&host->raft);
    w->seen->steps++;
    if (effects->role_changed && leads) {
        w->seen->elections++;
        for (uint32_t i = 0; i < w->group.host_count; i++)
            w->seen->stale_leaders += w->group.hosts[i] != host && w->group.hosts[i]->up &&
                                      raft_is_leader(&w->group.hosts[i]->raft);
    }
    w->seen->commits += effects->commit_end > effects->commit_from;
    w->seen->truncations += effects->truncate;
    w->seen->snapshots_installed += effects->install != NULL;
    w->seen->entry_reads += effects->entry_read_count;
    if (effects->config_changed && leads) {
        w->seen->joint_entered += raft_config_joint(raft_config(&host->raft));
        w->seen->joint_left += !raft_config_joint(raft_config(&host->raft));
    }
    for (uint32_t i = 0; i < effects->message_count; i++) {
        const struct raft_message *m = &effects->messages[i];
        w->seen->transfers += m->kind == RAFT_TIMEOUT_NOW && leads;
        w->seen->leaders_removed += m->kind == RAFT_TIMEOUT_NOW && !leads;
        w->seen->sleeps += m->kind == RAFT_ACK && (m->flags & RAFT_FLAG_SLEEP) != 0;
    }
    w->seen->busy += event->kind == RAFT_EVENT_PROPOSE && status == STATUS_BUSY;
    if (event->kind == RAFT_EVENT_READ_INDEX && effects->read_count > 0 &&
        raft_config(&host->raft)->member_count > 1)
        w->seen->lease_reads_served++;
    if (w->options->trace != NULL && event->kind != RAFT_EVENT_APPLIED) print_step(w, host, event, status);
}

/* ---- clients ------------------------------------------------------------------------------------------ */

static struct raft_host *pick_up(struct world *w) {
    struct raft_host *host = w->group.hosts[prng_below(&w->prng, w->group.host_count)];
    return host->up ? host : NULL;
}

/* The leader of the lowest term: if there are two, it is the one that does not know of the other. */
static struct raft_host *stale_leader(const struct world *w) {
    struct raft_host *stale = NULL;
    for (uint32_t i = 0; i < w->group.host_count; i++) {
        struct raft_host *host = w->group.hosts[i];
        if (!host->up || !raft_is_leader(&host->raft)) continue;
        if (stale == NULL || host->raft.term < stale->raft.term) stale = host;
    }
    return stale;
}

static void propose(struct world *w) {
    struct raft_host *host = pick_up(w);
    if (host == NULL) return;
    if (!raft_is_leader(&host->raft)) host = chance(w, 300) ? stale_leader(w) : raft_group_leader(&w->group);
    if (host == NULL) return;
    uint32_t count = (uint32_t)prng_range(&w->prng, 1, 3), covered = (uint32_t)prng_range(&w->prng, 1, 5);
    enum status status = raft_host_propose(host, count, covered, prng_range(&w->prng, 8, 60),
                                           local(w, host->id));
    MAYBE(status != STATUS_OK);
    follow_up(w, host);
}

static void request(struct world *w, struct raft_host *host, struct raft_event event) {
    event.now_ns = local(w, host->id);
    enum status status = raft_host_step(host, &event);
    MAYBE(status != STATUS_OK);
    follow_up(w, host);
}

static void read(struct world *w) {
    struct raft_host *host = chance(w, 500) ? stale_leader(w) : pick_up(w);
    if (host == NULL) return;
    uint32_t *count = &w->read_count[raft_id_node(host->id)];
    if (*count == READS_MAX) return;
    w->reads[raft_id_node(host->id)][*count] = (struct read_issued){
        .must_see = raft_ghost_end(&w->group.ghost), .follower = !raft_is_leader(&host->raft)};
    request(w, host, (struct raft_event){.kind = RAFT_EVENT_READ_INDEX, .read_context = (*count)++});
}

/* Some of the nodes as voters and learners, with the identities they have now. */
static void change(struct world *w) {
    struct raft_host *leader = chance(w, 500) ? stale_leader(w) : raft_group_leader(&w->group);
    if (leader == NULL) return;
    struct raft_member members[NODES_MAX];
    uint32_t count = 0, voters = (uint32_t)prng_range(&w->prng, 1, MIN(w->plan.nodes, 5));
    uint32_t first = (uint32_t)prng_below(&w->prng, w->plan.nodes);
    for (uint32_t i = 0; i < w->plan.nodes; i++) {
        uint32_t node = (first + i) % w->plan.nodes + 1;
        if (count >= voters && chance(w, 700)) continue;
        uint8_t flags = count < voters ? RAFT_VOTER : RAFT_LEARNER;
        members[count++] = (struct raft_member){raft_id(node, w->incarnation[node]), flags};
    }
    request(w, leader,
            (struct raft_event){.kind = RAFT_EVENT_CHANGE_MEMBERS,
                                .change = {.members = members, .count = count}});
}

static void transfer(struct world *w) {
    struct raft_host *leader = raft_group_leader(&w->group);
    if (leader == NULL) return;
    const struct raft_config *config = raft_config(&leader->raft);
    uint64_t to = config->members[prng_below(&w->prng, config->member_count)].id;
    if (chance(w, 300)) to = RAFT_NO_ID;
    request(w, leader, (struct raft_event){.kind = RAFT_EVENT_TRANSFER, .member = to});
}

/* No disk is damaged, but perhaps that of `except`. */
static bool all_whole(const struct world *w, const struct raft_host *except) {
    for (uint32_t i = 0; i < w->group.host_count; i++) {
        if (w->group.hosts[i] == except) continue;
        const struct raft_image *disk = &w->group.hosts[i]->durable;
        if (raft_image_durable_end(disk) < raft_image_end(disk)) return false;
    }
    return true;
}

static void compact(struct world *w, struct raft_host *host) {
    if (host == NULL) return;
    w->seen->compactions += raft_host_compact(host, local(w, host->id));
    follow_up(w, host);
}

static void client(struct world *w) {
    if (w->late_node != 0 && chance(w, 400)) {
        read(w);
        return;
    }
    uint32_t what = (uint32_t)prng_below(&w->prng, 100);
    if (what < 60)
        propose(w);
    else if (what < 85 && w->plan.reads)
        read(w);
    else if (what < 88 && w->plan.change)
        change(w);
    else if (what < 91 && w->plan.transfer)
        transfer(w);
    else if (what < 96 && w->plan.compact &&
             all_whole(w, NULL)) /* others keep what a damaged one will ask for */
        compact(w, pick_up(w));
}

/* ---- faults ------------------------------------------------------------------------------------------- */

static void crash(struct world *w, struct raft_host *host) {
    uint32_t keep = (uint32_t)prng_range(&w->prng, 0, host->writes.count);
    w->seen->crashes++;
    w->seen->writes_lost += keep < host->writes.count;
    trace(w, "CRASH", host->id, NULL);
    raft_host_crash(host, keep);
    uint64_t delay_ns = chance(w, 300) ? 20 * NS_PER_MS : 200 * NS_PER_MS;
    if (w->plan.late_ns > 0 && chance(w, 600)) delay_ns = 2 * NS_PER_MS; /* what it promised holds still */
    soon(w, host, RESTART, chance(w, 200) ? 3 * NS_PER_S : delay_ns);
}

static void partition(struct world *w) {
    w->seen->partitions++;
    bool heal = chance(w, 400), one_way = w->plan.one_way && chance(w, 500);
    uint32_t side = (uint32_t)prng_below(&w->prng, 1u << w->plan.nodes);
    const struct raft_host *leader = raft_group_leader(&w->group);
    /* Leaders by themselves: those that lead on without knowing that they do not. */
    if (leader != NULL && chance(w, 400)) side = 1u << (raft_id_node(leader->id) - 1);
    for (uint32_t a = 1; a <= w->plan.nodes; a++)
        for (uint32_t b = 1; b <= w->plan.nodes; b++) {
            bool left = (side >> (a - 1) & 1) != 0, apart = left != ((side >> (b - 1) & 1) != 0);
            w->cut[a][b] = !heal && apart && (left || !one_way);
        }
    trace(w, heal ? "HEAL" : "PARTITION", side, NULL);
}

/* Would every configuration that anybody uses still have a majority of living disks? */
static bool may_lose(const struct world *w, uint64_t id) {
    static const uint8_t halves[] = {RAFT_VOTER, RAFT_VOTER_OLD};
    for (uint32_t i = 0; i < w->group.host_count; i++) {
        const struct raft_host *host = w->group.hosts[i];
        /* What is not on its disk yet may be lost as well, and an earlier configuration be in force again. */
        if (!host->up || host->raft.change != NULL || host->writes.count > 0) return false;
        const struct raft_config *config = raft_config(&host->raft);
        for (int half = 0; config != NULL && half < 2; half++) {
            uint32_t total = 0, alive = 0;
            for (uint32_t k = 0; k < config->member_count; k++) {
                if ((config->members[k].flags & halves[half]) == 0) continue;
                total++;
                alive += config->members[k].id != id;
            }
            if (total > 0 && alive <= total / 2) return false;
        }
    }
    return true;
}

static void set_options(struct world *w, struct raft_options *options) {
    options->heartbeat_ns = 20 * NS_PER_MS;
    options->election_timeout_ns_min = 100 * NS_PER_MS;
    options->election_timeout_ns_max = 200 * NS_PER_MS;
    options->sleep_after_ns = w->plan.sleep ? 60 * NS_PER_MS : 0;
    options->lease_reads = w->plan.lease;
    options->lease_drift_ppm = 2 * DRIFT_PPM;
    if (!w->plan.tiny) return;
    options->append_bytes_max = 40;
    options->inflight_count_max = 3;
    options->inflight_bytes_max = 150;
    options->uncommitted_bytes_max = 400;
    options->window_bytes_max = 500;
    options->reads_max = 4;
}

static struct raft_host *add_host(struct world *w, uint32_t node, const struct raft_config *config) {
    struct raft_options options = raft_options_default(raft_id(node, w->incarnation[node]));
    set_options(w, &options);
    struct raft_host *host = raft_group_add(&w->group, &options, config);
    host->watch = watch;
    host->watch_ctx = w;
    host->priority = (uint8_t)(chance(w, 800) ? RAFT_PRIORITY_MAX
                                              : prng_range(&w->prng, 1, RAFT_PRIORITY_MAX));
    return host;
}

static void start(struct world *w, struct raft_host *host) {
    trace(w, "START", host->id, NULL);
    raft_host_start(host, local(w, host->id));
    w->timer_at[raft_id_node(host->id)] = 0;
    w->persisting[raft_id_node(host->id)] = false;
    w->read_count[raft_id_node(host->id)] = 0;
    follow_up(w, host);
}

/* The node comes back with an empty disk, hence as somebody else. Once a run, and not while another has
 * damage that this one may be needed to repair: more may lose what was committed. */
static void lose_disk(struct world *w, struct raft_host *host) {
    if (w->disk_lost || !all_whole(w, NULL) || !may_lose(w, host->id)) return;
    uint32_t node = raft_id_node(host->id);
    trace(w, "DISK LOST", host->id, NULL);
    w->seen->disks_lost++;
    w->disk_lost = true;
    raft_host_crash(host, 0);
    raft_group_remove(&w->group, host);
    w->incarnation[node]++;
    start(w, add_host(w, node, NULL));
}

/* Damages something that another member has, and no more than one member at a time. What is not committed may
 * be cut off there, but then it will be here. */
static void damage(struct world *w, struct raft_host *host) {
    if (!all_whole(w, host) || host->durable.count == 0) return;
    uint32_t index = (uint32_t)prng_below(&w->prng, host->durable.count);
    const struct raft_stored *stored = &host->durable.log[index];
    for (uint32_t i = 0; i < w->group.host_count; i++) {
        struct raft_host *other = w->group.hosts[i];
        uint64_t chain;
        if (other == host || !other->up || other->durable.log_start > stored->entry.base) continue;
        if (raft_config_find(raft_config(&host->raft), other->id) < 0) continue;
        if (!raft_image_chain(&other->durable, stored->entry.end, &chain) || chain != stored->chain) continue;
        trace(w, "DAMAGE", host->id, NULL);
        if (raft_host_damage(host, index, 1, local(w, host->id))) w->seen->damages++;
        follow_up(w, host);
        return;
    }
}

/* The leader is not heard any more by one or by all, but hears what they said: it may take itself for one. */
static void silence_leader(struct world *w) {
    const struct raft_host *leader = raft_group_leader(&w->group);
    if (leader == NULL) return;
    w->late_node = raft_id_node(leader->id);
    memset(w->cut, 0, sizeof w->cut);
    bool all = chance(w, 500);
    for (uint32_t b = 1; b <= w->plan.nodes; b++)
        w->cut[w->late_node][b] = b != w->late_node && (all || chance(w, 400));
    trace(w, "SILENCED", leader->id, NULL);
}

static void fault(struct world *w) {
    if (w->plan.late_ns > 0 && chance(w, 300)) {
        silence_leader(w);
        return;
    }
    uint32_t what = (uint32_t)prng_below(&w->prng, 100);
    struct raft_host *host = pick_up(w);
    if (what < 40 && w->plan.partition) partition(w);
    if (host == NULL) return;
    if (what >= 40 && what < 80 && w->plan.crash) crash(w, host);
    if (what >= 80 && what < 95 && w->plan.damage) damage(w, host);
    if (what >= 95 && w->plan.lose_disk) lose_disk(w, host);
}

/* Each node learns, late, whether it can talk with each other; a leader is told again. */
static void detect(struct world *w) {
    for (uint32_t i = 0; i < w->group.host_count; i++) {
        struct raft_host *host = w->group.hosts[i];
        if (!host->up) continue;
        uint32_t a = raft_id_node(host->id);
        for (uint32_t b = 1; b <= w->plan.nodes; b++) {
            if (a == b) continue;
            const struct raft_host *other = raft_group_find(&w->group, raft_id(b, w->incarnation[b]));
            bool up = other != NULL && other->up && (w->healing || (!w->cut[a][b] && !w->cut[b][a]));
            uint64_t started = other == NULL ? 0 : (uint64_t)w->incarnation[b] << 32 | other->starts;
            bool restarted = up && started != w->known_start[a][b];
            bool tell = restarted || up != w->known_up[a][b] || (!up && raft_is_leader(&host->raft));
            if (!tell || chance(w, 300)) continue;
            w->known_up[a][b] = up;
            if (up) w->known_start[a][b] = started;
            bool asleep = host->raft.asleep;
            request(w, host,
                    (struct raft_event){.kind = up ? RAFT_EVENT_PEER_UP : RAFT_EVENT_PEER_DOWN, .node = b});
            w->seen->wakes += asleep && !host->raft.asleep;
        }
    }
}

/* ---- the run ------------------------------------------------------------------------------------------ */

static void draw_plan(struct world *w) {
    struct plan *plan = &w->plan;
    plan->nodes = (uint32_t)prng_range(&w->prng, 3, NODES_MAX);
    plan->voters = chance(w, 100) ? 1 : (plan->nodes >= 5 && chance(w, 500) ? 5 : 3);
    plan->drop = chance(w, 500) ? (uint32_t)prng_below(&w->prng, 150) : 0;
    plan->duplicate = chance(w, 500) ? (uint32_t)prng_below(&w->prng, 100) : 0;
    plan->delay_ns_max = chance(w, 300) ? 60 * NS_PER_MS : 3 * NS_PER_MS;
    plan->disk_ns_max = chance(w, 300) ? 100 * NS_PER_MS : 3 * NS_PER_MS;
    plan->client_ns = chance(w, 300) ? 60 * NS_PER_MS : 6 * NS_PER_MS;
    plan->fault_ns = chance(w, 500) ? 150 * NS_PER_MS : (chance(w, 500) ? 600 : 1500) * NS_PER_MS;
    plan->crash = chance(w, 750);
    plan->partition = chance(w, 700);
    plan->one_way = chance(w, 500);
    plan->change = chance(w, 600);
    plan->transfer = chance(w, 500);
    plan->compact = chance(w, 500);
    plan->damage = chance(w, 400);
    plan->lose_disk = chance(w, 300);
    plan->sleep = chance(w, 400);
    plan->lease = chance(w, 300);
    plan->reads = chance(w, 700);
    if (plan->sleep && chance(w, 700)) plan->client_ns = 600 * NS_PER_MS;
    plan->tiny = chance(w, 300);
    struct prng race; /* of its own, so that the other runs are what they were */
    prng_init(&race, w->options->seed ^ 0x6c617465);
    if (!prng_chance(&race, 1, 4)) return;
    plan->late_ns = prng_range(&race, 10, 90) * NS_PER_MS;
    plan->client_ns = 2 * NS_PER_MS;
    plan->fault_ns = prng_range(&race, 20, 200) * NS_PER_MS;
    plan->transfer = plan->reads = true;
    plan->lease = prng_chance(&race, 2, 3);
    plan->sleep = false;
}

static void begin(struct world *w) {
    prng_init(&w->prng, w->options->seed);
    draw_plan(w);
    raft_group_init(&w->group, w->options->seed);
    struct raft_config *config = mem_calloc(1, raft_config_size(NODES_MAX));
    config->member_count = w->plan.voters;
    for (uint32_t i = 0; i < w->plan.voters; i++)
        config->members[i] = (struct raft_member){raft_id(i + 1, 1), RAFT_VOTER};
    for (uint32_t node = 1; node <= w->plan.nodes; node++) {
        w->incarnation[node] = 1;
        w->drift_ppm[node] = (int64_t)prng_range(&w->prng, 0, 2 * DRIFT_PPM) - DRIFT_PPM;
        w->offset_ns[node] = prng_below(&w->prng, 1000 * NS_PER_S);
        for (uint32_t other = 1; other <= w->plan.nodes; other++)
            w->known_up[node][other] = true;
        start(w, add_host(w, node, node <= w->plan.voters ? config : NULL));
    }
    mem_free(config);
    add(w, (struct action){.at_ns = NS_PER_MS, .kind = CLIENT});
    add(w, (struct action){.at_ns = 300 * NS_PER_MS, .kind = FAULT});
    add(w, (struct action){.at_ns = 50 * NS_PER_MS, .kind = DETECT});
}

static bool damaged(const struct raft_host *host) {
    return host->raft.log.damaged_from < host->raft.log.damaged_to;
}

static void host_action(struct world *w, const struct action *action) {
    struct raft_host *host = raft_group_find(&w->group, action->host);
    if (host == NULL || (action->start != 0 && action->start != host->starts)) return;
    if (action->kind == RESTART) {
        if (!host->up) start(w, host);
        return;
    }
    if (!host->up) return;
    uint64_t now = local(w, host->id);
    uint32_t node = raft_id_node(host->id);
    bool was_damaged = damaged(host), asleep = host->raft.asleep;
    switch (action->kind) {
    case DELIVER:
        if (w->healing || !w->cut[raft_id_node(action->mail->message.from)][node])
            raft_host_receive(host, &action->mail->message, now);
        break;
    case PERSIST:
        w->persisting[node] = false;
        /* Writes are done in order, not all at once. */
        raft_host_persist(host, chance(w, 600) ? host->writes.count : 1, now);
        break;
    case TIMER:
        raft_host_timer(host, now);
        break;
    case ANSWER_ENTRIES:
        raft_host_answer_entries(host, now);
        break;
    case ANSWER_SNAPSHOT:
        raft_host_answer_snapshot(host, now);
        break;
    default:
        raft_host_store_piece(host, now);
        break;
    }
    w->seen->repairs += was_damaged && !damaged(host);
    w->seen->wakes += asleep && !host->raft.asleep;
    follow_up(w, host);
}

/* What a host has been asked to do and nobody scheduled yet. */
static void schedule_answers(struct world *w) {
    for (uint32_t i = 0; i < w->group.host_count; i++) {
        struct raft_host *host = w->group.hosts[i];
        if (!host->up) continue;
        uint64_t max_ns = w->healing ? NS_PER_MS : w->plan.disk_ns_max;
        if (host->entry_reads.count > 0 && chance(w, 300)) soon(w, host, ANSWER_ENTRIES, max_ns);
        if (host->snapshot_reads.count > 0 && chance(w, 300)) soon(w, host, ANSWER_SNAPSHOT, max_ns);
        if (host->snapshot_write != NULL && chance(w, 300)) soon(w, host, STORE_PIECE, max_ns);
    }
}

static void act(struct world *w) {
    struct action action = pop(w);
    w->now_ns = MAX(w->now_ns, action.at_ns);
    switch (action.kind) {
    case CLIENT:
        if (w->healing) break;
        client(w);
        add(w, (struct action){.at_ns = w->now_ns + 1 + prng_below(&w->prng, w->plan.client_ns),
                               .kind = CLIENT});
        break;
    case FAULT:
        if (w->healing) break;
        fault(w);
        add(w,
            (struct action){.at_ns = w->now_ns + 1 + prng_below(&w->prng, w->plan.fault_ns), .kind = FAULT});
        break;
    case DETECT:
        if (w->plan.sleep) detect(w);
        add(w, (struct action){.at_ns = w->now_ns + 40 * NS_PER_MS, .kind = DETECT});
        break;
    default:
        host_action(w, &action);
        break;
    }
    raft_mail_free(action.mail);
    schedule_answers(w);
}

static bool ok(const struct world *w) {
    return w->group.ghost.violation[0] == '\0';
}

/* Everything that the leader's configuration names has the leader's log, whole and committed. */
static bool converged(struct world *w) {
    struct raft_host *leader = raft_group_leader(&w->group);
    if (leader == NULL || leader->raft.commit_end < leader->raft.log.end) return false;
    const struct raft_config *config = raft_config(&leader->raft);
    if (raft_config_joint(config) || raft_config_find(config, leader->id) < 0) return false;
    for (uint32_t i = 0; i < config->member_count; i++) {
        const struct raft_host *host = raft_group_find(&w->group, config->members[i].id);
        if (host == NULL) continue; /* its disk is lost */
        if (!host->up || host->raft.commit_end < leader->raft.commit_end) return false;
        if (host->applied_chain != leader->applied_chain || host->applied_end != leader->applied_end)
            return false;
        if (raft_image_durable_end(&host->durable) < leader->raft.log.end) return false;
    }
    return true;
}

/* What all others have compacted can only be let go of here too: the state machine has it. */
static void compact_damage(struct world *w) {
    for (uint32_t i = 0; i < w->group.host_count; i++) {
        struct raft_host *host = w->group.hosts[i];
        if (host->up && damaged(host) && chance(w, 20)) compact(w, host);
    }
}

static void heal(struct world *w) {
    trace(w, "HEALING", 0, NULL);
    w->healing = true;
    memset(w->cut, 0, sizeof w->cut);
    for (uint32_t i = 0; i < w->group.host_count; i++)
        if (!w->group.hosts[i]->up) start(w, w->group.hosts[i]);
    uint64_t end = w->now_ns + HEALING_NS, leader_by = w->now_ns + LEADER_NS;
    uint64_t committed = raft_ghost_end(&w->group.ghost);
    bool led = false;
    while (ok(w) && w->now_ns < end) {
        act(w);
        compact_damage(w);
        struct raft_host *leader = raft_group_leader(&w->group);
        led |= leader != NULL && leader->raft.commit_end >= leader->raft.term_start;
        RAFT_EXPECT(&w->group.ghost, led || w->now_ns < leader_by,
                    "L1 no leader after everything was mended");
        if (!led || leader == NULL) continue;
        if (raft_ghost_end(&w->group.ghost) > committed) {
            if (converged(w)) return;
        } else if (leader->raft.log.end == leader->raft.commit_end) {
            propose(w);
        }
    }
    RAFT_EXPECT(&w->group.ghost, raft_ghost_end(&w->group.ghost) > committed,
                "L3 nothing is committed any more");
    RAFT_EXPECT(&w->group.ghost, false, "L5 members stay different after everything was mended");
}

bool raft_schedule_run(const struct raft_schedule_options *options, struct raft_seen *seen,
                       char violation[256]) {
    struct world *w = mem_calloc(1, sizeof *w);
    w->options = options;
    w->seen = seen;
    begin(w);
    for (uint32_t i = 0; i < options->steps && ok(w); i++)
        act(w);
    if (ok(w)) heal(w);
    bool held = ok(w);
    memcpy(violation, w->group.ghost.violation, sizeof w->group.ghost.violation);
    while (w->heap_count > 0)
        raft_mail_free(pop(w).mail);
    mem_free(w->heap);
    raft_group_release(&w->group);
    mem_free(w);
    return held;
}
