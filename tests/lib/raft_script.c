// SPDX-License-Identifier: Apache-2.0
#include "lib/raft_script.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "raft/raft_message.h"

#define WORDS_MAX  24
#define SETTLE_MAX 10000 /* rounds: then something goes in circles */

struct words {
    char text[256];
    const char *word[WORDS_MAX];
    uint32_t count, at;
};

/* ---- words -------------------------------------------------------------------------------------------- */

static void split(struct words *words, const char *command) {
    *words = (struct words){0};
    snprintf(words->text, sizeof words->text, "%s", command);
    char *at = words->text;
    while (words->count < WORDS_MAX) {
        while (*at == ' ')
            *at++ = '\0';
        if (*at == '\0') return;
        words->word[words->count++] = at;
        while (*at != ' ' && *at != '\0')
            at++;
    }
}

static const char *peek(const struct words *words) {
    return words->at < words->count ? words->word[words->at] : "";
}

static bool accept(struct words *words, const char *word) {
    bool is = strcmp(peek(words), word) == 0;
    words->at += is;
    return is;
}

static bool at_number(const struct words *words) {
    return peek(words)[0] >= '0' && peek(words)[0] <= '9';
}

static uint64_t number(struct words *words, uint64_t otherwise) {
    return at_number(words) ? strtoull(words->word[words->at++], NULL, 10) : otherwise;
}

static struct raft_host *find_node(struct raft_script *s, uint64_t node) {
    for (uint32_t i = 0; i < s->group.host_count; i++)
        if (raft_id_node(s->group.hosts[i]->id) == node) return s->group.hosts[i];
    return NULL;
}

static struct raft_host *host_of(struct raft_script *s, struct words *words) {
    return find_node(s, number(words, 0));
}

static uint64_t id_of(struct raft_script *s, uint64_t node) {
    const struct raft_host *host = find_node(s, node);
    return host == NULL ? raft_id((uint32_t)node, 0) : host->id;
}

/* ---- what a step did ---------------------------------------------------------------------------------- */

static void begin_line(struct raft_script *s, const struct raft_host *host) {
    writer_printf(s->out, "%" PRIu32 " ", raft_id_node(host->id));
}

static void print_entries(struct writer *out, const struct raft_entry *entries, uint32_t count) {
    static const char *const marks[] = {"", "n", "c"};
    for (uint32_t i = 0; i < count; i++)
        writer_printf(out, " [%" PRIu64 ",%" PRIu64 ")/%" PRIu64 "%s", entries[i].base, entries[i].end,
                      entries[i].term, marks[entries[i].kind]);
}

static void print_write(struct raft_script *s, const struct raft_host *host) {
    const struct raft_effects *effects = &host->effects;
    begin_line(s, host);
    writer_printf(s->out, "writes #%" PRIu64, effects->write);
    if (effects->hard_state_changed)
        writer_printf(s->out, " term=%" PRIu64 " vote=%" PRIu32, effects->hard_state.term,
                      raft_id_node(effects->hard_state.vote));
    print_entries(s->out, effects->entries, effects->entry_count);
    writer_text(s->out, "\n");
}

static void print_asks(struct raft_script *s, const struct raft_host *host) {
    const struct raft_effects *effects = &host->effects;
    for (uint32_t i = 0; i < effects->entry_read_count; i++) {
        begin_line(s, host);
        writer_printf(s->out, "asks its store for entries from %" PRIu64 " for %" PRIu32 "\n",
                      effects->entry_reads[i].from, raft_id_node(effects->entry_reads[i].peer));
    }
    for (uint32_t i = 0; i < effects->snapshot_read_count; i++) {
        begin_line(s, host);
        writer_printf(s->out, "asks its store for a snapshot from byte %" PRIu64 " for %" PRIu32 "\n",
                      effects->snapshot_reads[i].offset, raft_id_node(effects->snapshot_reads[i].peer));
    }
    for (uint32_t i = 0; i < effects->message_count; i++) {
        begin_line(s, host);
        writer_text(s->out, "sends ");
        raft_message_print(s->out, &effects->messages[i]);
        if (effects->messages[i].after_write > host->raft.write_persisted)
            writer_printf(s->out, " after #%" PRIu64, effects->messages[i].after_write);
        writer_text(s->out, "\n");
    }
}

static void print_changes(struct raft_script *s, const struct raft_host *host) {
    const struct raft_effects *effects = &host->effects;
    const struct raft *raft = &host->raft;
    if (effects->role_changed) {
        begin_line(s, host);
        writer_printf(s->out, "is %s in term %" PRIu64, raft_role_name(raft->role), raft->term);
        if (raft->role == RAFT_FOLLOWER && raft->leader != RAFT_NO_ID)
            writer_printf(s->out, " of %" PRIu32, raft_id_node(raft->leader));
        writer_text(s->out, "\n");
    }
    if (effects->install != NULL) {
        begin_line(s, host);
        writer_printf(s->out, "installs a snapshot up to %" PRIu64 "/%" PRIu64 "\n", effects->install->end,
                      effects->install->term);
    }
    if (effects->snapshot_discard != 0) {
        begin_line(s, host);
        writer_text(s->out, "discards a snapshot received in part\n");
    }
    if (effects->truncate) {
        begin_line(s, host);
        writer_printf(s->out, "cuts its log at %" PRIu64 "\n", effects->truncate_from);
    }
    if (effects->config_changed) {
        begin_line(s, host);
        writer_text(s->out, "uses configuration ");
        raft_config_print(s->out, raft_config(raft));
        writer_text(s->out, "\n");
    }
    if (effects->commit_from < effects->commit_end) {
        begin_line(s, host);
        writer_printf(s->out, "commits [%" PRIu64 ",%" PRIu64 ")\n", effects->commit_from,
                      effects->commit_end);
    }
    for (uint32_t i = 0; i < effects->read_count; i++) {
        begin_line(s, host);
        writer_printf(s->out, "may serve read %" PRIu64 " at %" PRIu64 "\n", effects->reads[i].context,
                      effects->reads[i].position);
    }
}

static void watch(void *ctx, struct raft_host *host, const struct raft_event *event, enum status status) {
    struct raft_script *s = ctx;
    (void)event;
    if (status != STATUS_OK) {
        begin_line(s, host);
        writer_printf(s->out, "answers %s\n", status_name(status));
    }
    print_changes(s, host);
    if (s->brief) return;
    if (host->effects.write != 0) print_write(s, host);
    print_asks(s, host);
}

/* ---- mail --------------------------------------------------------------------------------------------- */

static void post(struct raft_script *s, struct raft_mail *mail) {
    uint32_t from = raft_id_node(mail->message.from), to = raft_id_node(mail->message.to);
    if (s->cut[from][to]) {
        raft_mail_free(mail);
        return;
    }
    if (s->mail.count == s->mail.capacity) {
        s->mail.capacity = MAX(s->mail.capacity * 2, 16);
        s->mail.items = mem_realloc(s->mail.items, s->mail.capacity * sizeof(struct raft_mail *));
    }
    s->mail.items[s->mail.count++] = mail;
}

static void collect(struct raft_script *s) {
    for (uint32_t i = 0; i < s->group.host_count; i++) {
        struct raft_host *host = s->group.hosts[i];
        for (uint32_t k = 0; k < host->outbox.count; k++)
            post(s, host->outbox.items[k]);
        host->outbox.count = host->reads.count = 0;
    }
}

static struct raft_mail *take(struct raft_script *s, uint32_t at) {
    struct raft_mail *mail = s->mail.items[at];
    s->mail.count--;
    memmove(s->mail.items + at, s->mail.items + at + 1, (s->mail.count - at) * sizeof(struct raft_mail *));
    return mail;
}

/* Delivers it, if its receiver is there. */
static void hand_over(struct raft_script *s, struct raft_mail *mail) {
    struct raft_host *host = raft_group_find(&s->group, mail->message.to);
    if (host != NULL && host->up) raft_host_receive(host, &mail->message, s->now_ns);
    raft_mail_free(mail);
}

/* "2->3", "2->*", "*->3", then perhaps a kind. */
struct route {
    uint64_t from, to; /* 0: any */
    const char *kind;  /* "": any */
    bool all;
};

static bool parse_route(struct words *words, struct route *route) {
    const char *word = peek(words), *arrow = strstr(word, "->");
    if (arrow == NULL) return false;
    words->at++;
    route->from = word[0] == '*' ? 0 : strtoull(word, NULL, 10);
    route->to = arrow[2] == '*' ? 0 : strtoull(arrow + 2, NULL, 10);
    route->kind = "";
    if (peek(words)[0] >= 'A' && peek(words)[0] <= 'Z') route->kind = words->word[words->at++];
    route->all = route->from == 0 || route->to == 0;
    return true;
}

static int find_mail(const struct raft_script *s, const struct route *route) {
    for (uint32_t i = 0; i < s->mail.count; i++) {
        const struct raft_message *m = &s->mail.items[i]->message;
        if (route->from != 0 && raft_id_node(m->from) != route->from) continue;
        if (route->to != 0 && raft_id_node(m->to) != route->to) continue;
        if (route->kind[0] != '\0' && strcmp(route->kind, raft_message_kind_name(m->kind)) != 0) continue;
        return (int)i;
    }
    return -1;
}

static void deliver(struct raft_script *s, struct words *words, bool drop) {
    struct route route;
    if (!parse_route(words, &route)) {
        writer_text(s->out, "? from where to where\n");
        return;
    }
    bool keep = accept(words, "keep"), any = false;
    s->brief = route.all;
    /* Answers to what is delivered now come later. */
    RAFT_LIST(struct raft_mail *, chosen) = {0};
    chosen.items = mem_alloc((s->mail.count + 1) * sizeof(struct raft_mail *));
    for (int at; (at = find_mail(s, &route)) >= 0 && (route.all || !any); any = true)
        chosen.items[chosen.count++] = take(s, (uint32_t)at);
    for (uint32_t i = 0; i < chosen.count; i++) {
        if (keep) post(s, raft_mail_copy(&chosen.items[i]->message));
        if (drop)
            raft_mail_free(chosen.items[i]);
        else
            hand_over(s, chosen.items[i]);
    }
    mem_free(chosen.items);
    if (!any) writer_text(s->out, "? no such message\n");
}

/* ---- moving on ---------------------------------------------------------------------------------------- */

static bool settle_host(struct raft_script *s, struct raft_host *host) {
    bool moved = false;
    if (host->writes.count > 0) {
        raft_host_persist(host, host->writes.count, s->now_ns);
        moved = true;
    }
    moved |= host->entry_reads.count > 0 || host->snapshot_reads.count > 0 || host->snapshot_write != NULL;
    raft_host_answer_entries(host, s->now_ns);
    raft_host_answer_snapshot(host, s->now_ns);
    raft_host_store_piece(host, s->now_ns);
    return moved;
}

/* Those named, or everybody. */
static void parse_among(struct words *words, bool *among) {
    bool everybody = words->at == words->count;
    for (uint32_t i = 0; i <= RAFT_SCRIPT_NODES_MAX; i++)
        among[i] = everybody;
    while (at_number(words))
        among[number(words, 0) % (RAFT_SCRIPT_NODES_MAX + 1)] = true;
}

/* A member whose store has nothing to answer with would be asked for ever at one time: rounds are bounded. */
static void settle(struct raft_script *s, const bool *among) {
    s->brief = true;
    uint32_t rounds = 0;
    for (bool moved = true; moved && rounds < SETTLE_MAX; rounds++) {
        moved = false;
        for (uint32_t i = 0; i < s->group.host_count; i++) {
            struct raft_host *host = s->group.hosts[i];
            if (host->up && among[raft_id_node(host->id)]) moved |= settle_host(s, host);
        }
        collect(s);
        for (uint32_t i = 0; i < s->mail.count; i++) {
            const struct raft_message *m = &s->mail.items[i]->message;
            if (!among[raft_id_node(m->from)] || !among[raft_id_node(m->to)]) continue;
            hand_over(s, take(s, i));
            moved = true;
            break;
        }
    }
    if (rounds == SETTLE_MAX) writer_text(s->out, "? it does not come to rest\n");
}

static void run(struct raft_script *s, struct words *words) {
    bool among[RAFT_SCRIPT_NODES_MAX + 1];
    uint64_t end = s->now_ns + number(words, 0) * NS_PER_MS;
    parse_among(words, among);
    for (;;) {
        settle(s, among);
        struct raft_host *first = NULL;
        for (uint32_t i = 0; i < s->group.host_count; i++) {
            struct raft_host *host = s->group.hosts[i];
            if (!host->up || !among[raft_id_node(host->id)]) continue;
            if (first == NULL || host->deadline < first->deadline) first = host;
        }
        if (first == NULL || first->deadline > end) break;
        s->now_ns = MAX(s->now_ns, first->deadline);
        raft_host_timer(first, s->now_ns);
    }
    s->now_ns = end;
}

static void timeout(struct raft_script *s, struct raft_host *host) {
    if (host->deadline == RAFT_NEVER) {
        writer_text(s->out, "? it has no deadline\n");
        return;
    }
    s->now_ns = MAX(s->now_ns, host->deadline);
    raft_host_timer(host, s->now_ns);
}

static void cut(struct raft_script *s, struct words *words) {
    uint32_t side[RAFT_SCRIPT_NODES_MAX + 1] = {0}, current = 1;
    for (; words->at < words->count; words->at++) {
        if (strcmp(peek(words), "|") == 0)
            current++;
        else
            side[strtoull(peek(words), NULL, 10) % (RAFT_SCRIPT_NODES_MAX + 1)] = current;
    }
    for (uint32_t a = 1; a <= RAFT_SCRIPT_NODES_MAX; a++)
        for (uint32_t b = 1; b <= RAFT_SCRIPT_NODES_MAX; b++)
            s->cut[a][b] = side[a] != side[b];
    for (uint32_t i = 0; i < s->mail.count;) {
        const struct raft_message *m = &s->mail.items[i]->message;
        if (s->cut[raft_id_node(m->from)][raft_id_node(m->to)])
            raft_mail_free(take(s, i));
        else
            i++;
    }
}

/* ---- groups and members ------------------------------------------------------------------------------- */

static void add_host(struct raft_script *s, uint32_t node, uint32_t incarnation,
                     const struct raft_config *config, uint8_t priority) {
    struct raft_options options = s->options;
    options.id = raft_id(node, incarnation);
    struct raft_host *host = raft_group_add(&s->group, &options, config);
    host->priority = priority;
    host->watch = watch;
    host->watch_ctx = s;
    raft_host_start(host, s->now_ns);
}

static uint32_t parse_members(struct raft_script *s, struct words *words, struct raft_member *members) {
    uint32_t count = 0;
    uint8_t flags = RAFT_VOTER;
    while (count < RAFT_SCRIPT_NODES_MAX) {
        if (accept(words, "learners")) flags = RAFT_LEARNER;
        if (!at_number(words)) break;
        members[count++] = (struct raft_member){id_of(s, number(words, 0)), flags};
    }
    return count;
}

static void set_option(struct raft_script *s, const char *key, uint64_t value, uint8_t *priorities) {
    struct raft_options *options = &s->options;
    if (strncmp(key, "lease=", 6) == 0) options->lease_reads = value != 0;
    if (strncmp(key, "append=", 7) == 0) options->append_bytes_max = value;
    if (strncmp(key, "inflight=", 9) == 0) options->inflight_count_max = (uint32_t)value;
    if (strncmp(key, "uncommitted=", 12) == 0) options->uncommitted_bytes_max = value;
    if (strncmp(key, "window=", 7) == 0) options->window_bytes_max = value;
    if (strncmp(key, "sleep=", 6) == 0) options->sleep_after_ns = value * NS_PER_MS;
    if (strncmp(key, "priority.", 9) == 0) priorities[strtoull(key + 9, NULL, 10) % 10] = (uint8_t)value;
}

static void group(struct raft_script *s, struct words *words) {
    raft_script_release(s);
    struct writer *out = s->out;
    bool quiet = s->quiet;
    raft_script_init(s);
    s->out = out;
    s->quiet = quiet;
    struct raft_member members[RAFT_SCRIPT_NODES_MAX];
    uint32_t count = parse_members(s, words, members);
    struct raft_config *config = mem_calloc(1, raft_config_size(count));
    config->member_count = count;
    memcpy(config->members, members, count * sizeof *members);
    uint64_t spares[RAFT_SCRIPT_NODES_MAX];
    uint32_t spare_count = 0;
    uint8_t priorities[RAFT_SCRIPT_NODES_MAX + 1];
    memset(priorities, RAFT_PRIORITY_MAX, sizeof priorities);
    if (accept(words, "spare"))
        while (at_number(words) && spare_count < RAFT_SCRIPT_NODES_MAX)
            spares[spare_count++] = number(words, 0);
    for (; words->at < words->count; words->at++) {
        const char *equals = strchr(peek(words), '=');
        if (equals != NULL) set_option(s, peek(words), strtoull(equals + 1, NULL, 10), priorities);
    }
    for (uint32_t i = 0; i < count; i++)
        add_host(s, raft_id_node(members[i].id), 0, config, priorities[raft_id_node(members[i].id)]);
    for (uint32_t i = 0; i < spare_count; i++)
        add_host(s, (uint32_t)spares[i], 0, NULL, RAFT_PRIORITY_MAX);
    mem_free(config);
}

static void lose(struct raft_script *s, struct raft_host *host) {
    uint64_t id = host->id;
    raft_group_remove(&s->group, host);
    add_host(s, raft_id_node(id), (uint32_t)id + 1, NULL, RAFT_PRIORITY_MAX);
}

/* ---- looking ------------------------------------------------------------------------------------------ */

static void print_state(struct raft_script *s, const struct raft_host *host) {
    const struct raft *raft = &host->raft;
    begin_line(s, host);
    if (!host->up) {
        writer_text(s->out, "is down\n");
        return;
    }
    writer_printf(
        s->out, "%s%s term=%" PRIu64 " log=[%" PRIu64 ",%" PRIu64 ")/%" PRIu64, raft_role_name(raft->role),
        raft->asleep ? " asleep" : "", raft->term, raft->log.start, raft->log.end,
        raft->log.term_count == 0 ? raft->log.start_term
                                  : raft->log.terms[raft->log.term_head + raft->log.term_count - 1].term);
    writer_printf(s->out, " durable=%" PRIu64 " commit=%" PRIu64 " config=", raft_durable_end(raft),
                  raft->commit_end);
    raft_config_print(s->out, raft_config(raft));
    if (raft->log.damaged_from < raft->log.damaged_to)
        writer_printf(s->out, " damaged=[%" PRIu64 ",%" PRIu64 ")", raft->log.damaged_from,
                      raft->log.damaged_to);
    writer_text(s->out, "\n");
}

static void print_log(struct raft_script *s, const struct raft_host *host) {
    const struct raft_image *image = host->up ? &host->view : &host->durable;
    begin_line(s, host);
    writer_printf(s->out, "%" PRIu64 ":", image->log_start);
    for (uint32_t i = 0; i < image->count; i++) {
        print_entries(s->out, &image->log[i].entry, 1);
        if (image->log[i].damaged) writer_text(s->out, "!");
    }
    writer_text(s->out, "\n");
}

static void print_progress(struct raft_script *s, const struct raft_host *host) {
    static const char *const names[] = {"probe", "replicate", "snapshot"};
    const struct raft_config *config = raft_config(&host->raft);
    for (uint32_t i = 0; i < config->member_count; i++) {
        const struct raft_progress *p = raft_progress(&host->raft, config->members[i].id);
        if (p == NULL || config->members[i].id == host->id) continue;
        writer_printf(s->out,
                      "%" PRIu32 " of %" PRIu32 ": %s match=%" PRIu64 " next=%" PRIu64 " inflight=%" PRIu32
                      "%s%s\n",
                      raft_id_node(config->members[i].id), raft_id_node(host->id), names[p->state], p->match,
                      p->next, p->inflight_count, p->paused ? " paused" : "", p->down ? " down" : "");
    }
}

static void look(struct raft_script *s, struct words *words,
                 void (*print)(struct raft_script *s, const struct raft_host *host)) {
    bool everybody = words->at == words->count;
    for (uint32_t i = 0; everybody && i < s->group.host_count; i++)
        print(s, s->group.hosts[i]);
    while (at_number(words)) {
        const struct raft_host *host = host_of(s, words);
        if (host != NULL) print(s, host);
    }
}

static void print_mail(struct raft_script *s) {
    for (uint32_t i = 0; i < s->mail.count; i++) {
        raft_message_print(s->out, &s->mail.items[i]->message);
        writer_text(s->out, "\n");
    }
}

/* ---- commands ----------------------------------------------------------------------------------------- */

static void step(struct raft_script *s, struct raft_host *host, struct raft_event event) {
    event.now_ns = s->now_ns;
    enum status status = raft_host_step(host, &event);
    MAYBE(status != STATUS_OK);
}

static void propose(struct raft_script *s, struct raft_host *host, struct words *words) {
    uint32_t count = (uint32_t)number(words, 1);
    uint32_t covered = accept(words, "covering") ? (uint32_t)number(words, 1) : 1;
    enum status status = raft_host_propose(host, MIN(count, 16), covered, 8, s->now_ns);
    MAYBE(status != STATUS_OK);
}

static void change(struct raft_script *s, struct raft_host *host, struct words *words) {
    struct raft_member members[RAFT_SCRIPT_NODES_MAX];
    uint32_t count = parse_members(s, words, members);
    step(s, host,
         (struct raft_event){.kind = RAFT_EVENT_CHANGE_MEMBERS,
                             .change = {.members = members, .count = count}});
}

/* Requests to a member that is up. False: there is no such command. */
static bool request(struct raft_script *s, const char *verb, struct raft_host *host, struct words *words) {
    if (strcmp(verb, "propose") == 0) {
        propose(s, host, words);
    } else if (strcmp(verb, "read") == 0) {
        step(s, host, (struct raft_event){.kind = RAFT_EVENT_READ_INDEX, .read_context = number(words, 0)});
    } else if (strcmp(verb, "transfer") == 0) {
        uint64_t to = number(words, 0);
        step(s, host, (struct raft_event){.kind = RAFT_EVENT_TRANSFER, .member = to == 0 ? 0 : id_of(s, to)});
    } else if (strcmp(verb, "change") == 0) {
        change(s, host, words);
    } else if (strcmp(verb, "priority") == 0) {
        step(s, host,
             (struct raft_event){.kind = RAFT_EVENT_SET_PRIORITY, .priority = (uint8_t)number(words, 0)});
    } else if (strcmp(verb, "down") == 0) {
        step(s, host, (struct raft_event){.kind = RAFT_EVENT_PEER_DOWN, .node = (uint32_t)number(words, 0)});
    } else if (strcmp(verb, "up") == 0) {
        step(s, host, (struct raft_event){.kind = RAFT_EVENT_PEER_UP, .node = (uint32_t)number(words, 0)});
    } else if (strcmp(verb, "compact") == 0) {
        if (!raft_host_compact(host, s->now_ns)) writer_text(s->out, "? nothing to compact\n");
    } else if (strcmp(verb, "damage") == 0) {
        uint32_t index = (uint32_t)number(words, 0);
        if (!raft_host_damage(host, index, (uint32_t)number(words, 1), s->now_ns))
            writer_text(s->out, "? nothing to damage\n");
    } else if (strcmp(verb, "timeout") == 0 || strcmp(verb, "beat") == 0) {
        timeout(s, host);
    } else if (strcmp(verb, "persist") == 0) {
        raft_host_persist(host, (uint32_t)number(words, UINT32_MAX), s->now_ns);
    } else if (strcmp(verb, "answer") == 0) {
        raft_host_answer_entries(host, s->now_ns);
        raft_host_answer_snapshot(host, s->now_ns);
        raft_host_store_piece(host, s->now_ns);
    } else if (strcmp(verb, "crash") == 0) {
        raft_host_crash(host, (uint32_t)number(words, 0));
    } else if (strcmp(verb, "lose") == 0) {
        lose(s, host);
    } else {
        return false;
    }
    return true;
}

static void command(struct raft_script *s, const char *verb, struct words *words) {
    if (strcmp(verb, "group") == 0) {
        group(s, words);
    } else if (strcmp(verb, "advance") == 0) {
        s->now_ns += number(words, 0) * NS_PER_MS;
    } else if (strcmp(verb, "deliver") == 0 || strcmp(verb, "drop") == 0) {
        deliver(s, words, verb[1] == 'r');
    } else if (strcmp(verb, "cut") == 0) {
        cut(s, words);
    } else if (strcmp(verb, "mend") == 0) {
        memset(s->cut, 0, sizeof s->cut);
    } else if (strcmp(verb, "settle") == 0) {
        bool among[RAFT_SCRIPT_NODES_MAX + 1];
        parse_among(words, among);
        settle(s, among);
    } else if (strcmp(verb, "run") == 0) {
        run(s, words);
    } else if (strcmp(verb, "quiet") == 0) {
        s->quiet = true;
    } else if (strcmp(verb, "state") == 0) {
        look(s, words, print_state);
    } else if (strcmp(verb, "log") == 0) {
        look(s, words, print_log);
    } else if (strcmp(verb, "progress") == 0) {
        look(s, words, print_progress);
    } else if (strcmp(verb, "mail") == 0) {
        print_mail(s);
    } else {
        struct raft_host *host = host_of(s, words);
        if (strcmp(verb, "restart") == 0 && host != NULL && !host->up)
            raft_host_start(host, s->now_ns);
        else if (host == NULL || !host->up || !request(s, verb, host, words))
            writer_printf(s->out, "? %s\n", verb);
    }
}

void raft_script_init(struct raft_script *s) {
    *s = (struct raft_script){.now_ns = 1000 * NS_PER_MS, .options = raft_options_default(1)};
    raft_group_init(&s->group, 1);
}

void raft_script_release(struct raft_script *s) {
    for (uint32_t i = 0; i < s->mail.count; i++)
        raft_mail_free(s->mail.items[i]);
    mem_free(s->mail.items);
    s->mail.count = s->mail.capacity = 0;
    s->mail.items = NULL;
    raft_group_release(&s->group);
}

void raft_script_run(struct raft_script *s, const char *text, struct writer *out) {
    struct words words;
    split(&words, text);
    if (words.count == 0) return;
    size_t before = out->size;
    s->out = out;
    s->brief = false;
    const char *verb = words.word[words.at++];
    command(s, verb, &words);
    collect(s);
    if (s->quiet) out->size = before;
    if (s->group.ghost.violation[0] != '\0') writer_printf(out, "VIOLATION %s\n", s->group.ghost.violation);
}
