// SPDX-License-Identifier: Apache-2.0
#include "lib/group_script.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

/* The wall clock of the script when its own says 0. */
#define WALL_MS INT64_C(1000000000000)

/* ---- names --------------------------------------------------------------------------------------------- */

static struct group_script_client *find_client(struct group_script *s, const char *name) {
    for (uint32_t i = 0; i < s->client_count; i++)
        if (strcmp(s->clients[i].name, name) == 0) return &s->clients[i];
    return NULL;
}

static struct group_script_client *client_of(struct group_script *s, const char *name) {
    struct group_script_client *client = find_client(s, name);
    if (client != NULL) return client;
    ASSERT(s->client_count < GROUP_SCRIPT_CLIENTS_MAX);
    client = &s->clients[s->client_count++];
    *client = (struct group_script_client){.generation = -1};
    snprintf(client->name, sizeof client->name, "%s", name);
    return client;
}

/* Member ids are random: shown as the client that got them last. */
static const char *show_member(const struct group_script *s, struct slice id) {
    for (uint32_t i = 0; i < s->client_count; i++)
        if (slice_equal(slice_from_text(s->clients[i].member_id), id)) return s->clients[i].name;
    return "?";
}

static void print(struct group_script *s, const char *name, enum status status) {
    writer_printf(s->out, "%s %s", name, status_name(status));
}

static struct slice text_or_null(const char *text) {
    return text[0] == '\0' ? SLICE_EMPTY : slice_from_text(text);
}

/* ---- topics and partitions ----------------------------------------------------------------------------- */

static bool find_topic(void *ctx, struct slice name, struct group_topic *topic) {
    const struct group_script *s = ctx;
    for (uint32_t i = 0; i < s->topic_count; i++) {
        if (!slice_equal(s->topics[i].name, name) || s->topics[i].partition_count == 0) continue;
        *topic = s->topics[i];
        return true;
    }
    return false;
}

static void visit_topics(void *ctx, void (*take)(void *arg, const struct group_topic *topic), void *arg) {
    const struct group_script *s = ctx;
    for (uint32_t i = 0; i < s->topic_count; i++)
        if (s->topics[i].partition_count != 0) take(arg, &s->topics[i]);
}

static const char *topic_name(const struct group_script *s, struct uuid id) {
    return s->topic_names[id.bytes[15] - 1];
}

static void set_topic(struct group_script *s, const char *name, int32_t partitions) {
    uint32_t i = 0;
    while (i < s->topic_count && strcmp(s->topic_names[i], name) != 0)
        i++;
    ASSERT(i < GROUP_SCRIPT_TOPICS_MAX);
    if (i == s->topic_count) s->topic_count++;
    snprintf(s->topic_names[i], sizeof s->topic_names[i], "%s", name);
    s->topics[i].name = slice_from_text(s->topic_names[i]);
    s->topics[i].id.bytes[15] = (uint8_t)(i + 1);
    s->topics[i].partition_count = partitions;
    s->step.topics.version++;
}

static void print_partitions(struct group_script *s, const struct group_partitions *set) {
    writer_text(s->out, "[");
    for (uint32_t i = 0; i < set->count; i++)
        writer_printf(s->out, "%s%s/%d", i == 0 ? "" : " ", topic_name(s, set->list[i].topic),
                      set->list[i].partition);
    writer_text(s->out, "]");
}

struct place {
    char topic[64];
    int32_t partition;
    int64_t offset; /* -1: not said */
};

/* "T/P" or "T/P=OFFSET"; false: something else. */
static bool read_place(const char *text, struct place *place) {
    const char *slash = strchr(text, '/');
    if (slash == NULL) return false;
    snprintf(place->topic, sizeof place->topic, "%.*s", (int)(slash - text), text);
    char *end;
    place->partition = (int32_t)strtol(slash + 1, &end, 10);
    place->offset = *end == '=' ? strtoll(end + 1, NULL, 10) : -1;
    return true;
}

/* ---- steps --------------------------------------------------------------------------------------------- */

static void print_change(struct group_script *s) {
    struct writer encoded;
    writer_init(&encoded);
    state_change_encode(&s->step.change, &encoded);
    struct slice rest = writer_slice(&encoded);
    struct state_change_entry entry;
    writer_text(s->out, "  logs");
    enum status status = state_change_begin(&rest);
    while (status == STATUS_OK && (status = state_change_next(&rest, &entry)) == STATUS_OK) {
        const uint8_t *key = entry.key.data;
        writer_printf(s->out, " %c%c", entry.removed ? '-' : '+', key[0]);
        if (key[0] == 'm') {
            size_t from = 2U + key[1];
            writer_printf(s->out, ":%s", show_member(s, slice_make(key + from, entry.key.size - from)));
        }
    }
    writer_text(s->out, "\n");
    writer_release(&encoded);
}

static void print_join(struct group_script *s, struct group_script_client *client,
                       const struct group_reply *reply) {
    if (reply->member_id.size != 0)
        snprintf(client->member_id, sizeof client->member_id, "%.*s", (int)reply->member_id.size,
                 (const char *)reply->member_id.data);
    print(s, client->name, reply->status);
    if (reply->status != STATUS_OK || reply->group == NULL) return;
    const struct group *group = reply->group;
    client->generation = group->generation;
    bool joined = reply->leader.data != NULL;
    writer_printf(s->out, " generation %d", group->generation);
    if (!joined) {
        writer_printf(s->out, " assignment %.*s", (int)reply->member->assignment.size,
                      (const char *)reply->member->assignment.data);
        return;
    }
    writer_printf(s->out, " %.*s leader ", (int)group->protocol.size, (const char *)group->protocol.data);
    writer_text(s->out,
                slice_equal(reply->leader, reply->member_id) ? "itself" : show_member(s, reply->leader));
    if (reply->skip_assignment) writer_text(s->out, " skip");
}

static void end_step(struct group_script *s) {
    for (uint32_t i = 0; i < s->step.reply_count; i++) {
        writer_text(s->out, "  ");
        print_join(s, s->step.replies[i].call, &s->step.replies[i]);
        writer_text(s->out, "\n");
    }
    if (s->step.change.count != 0) {
        print_change(s);
        group_script_store_apply(&s->store, &s->step.change);
    }
    group_machine_check(&s->machine);
    group_step_clear(&s->step);
}

static struct group_step *begin_step(struct group_script *s) {
    s->step.now_ms = s->now_ms;
    s->step.wall_ms = WALL_MS + s->now_ms;
    return &s->step;
}

static void advance(struct group_script *s, int64_t ms) {
    int64_t until = s->now_ms + ms;
    while (group_deadline(&s->machine) <= until) {
        s->now_ms = MAX(group_deadline(&s->machine), s->now_ms);
        group_expire(&s->machine, begin_step(s));
        if (s->step.reply_count != 0 || s->step.change.count != 0)
            writer_printf(s->out, "at %lld\n", (long long)s->now_ms);
        end_step(s);
    }
    s->now_ms = until;
}

static void say_status(struct group_script *s, const char *name, enum status status) {
    print(s, name, status);
    writer_text(s->out, "\n");
    end_step(s);
}

/* ---- classic ------------------------------------------------------------------------------------------- */

static uint32_t read_protocols(const char *text, struct group_protocol *protocols, uint32_t max) {
    uint32_t count = 0;
    while (*text != '\0' && count < max) {
        size_t size = strcspn(text, ","), name = strcspn(text, ":,");
        protocols[count++] = (struct group_protocol){
            slice_make(text, name), slice_make(text + name + (name < size), size - name - (name < size))};
        text += size + (text[size] == ',');
    }
    return count;
}

static void take_instance(const struct text_words *words, struct group_script_client *client) {
    const char *instance = text_words_value(words, "instance", "");
    if (instance[0] != '\0') snprintf(client->instance_id, sizeof client->instance_id, "%s", instance);
}

static void run_join(struct group_script *s, const struct text_words *words) {
    struct group_script_client *client = client_of(s, words->word[1]);
    snprintf(client->group, sizeof client->group, "%s", words->word[2]);
    take_instance(words, client);
    struct group_protocol protocols[8];
    uint32_t count = read_protocols(text_words_value(words, "protocols", "range:x"), protocols, 8);
    struct group_join join = {
        .call = client,
        .group = slice_from_text(client->group),
        .member_id = slice_from_text(text_words_value(words, "id", client->member_id)),
        .instance_id = text_or_null(client->instance_id),
        .client_id = slice_from_text(client->name),
        .client_host = SLICE_LITERAL("/host"),
        .protocol_type = slice_from_text(text_words_value(words, "type", "consumer")),
        .protocols = protocols,
        .protocol_count = count,
        .session_timeout_ms = (int32_t)strtol(text_words_value(words, "session", "10000"), NULL, 10),
        .rebalance_timeout_ms = (int32_t)strtol(text_words_value(words, "rebalance", "30000"), NULL, 10),
        .wants_member_id = text_words_has(words, "ask"),
        .skips_assignment = text_words_has(words, "skip"),
    };
    group_join(&s->machine, begin_step(s), &join);
    end_step(s);
}

static int32_t generation_of(const struct text_words *words, const struct group_script_client *client,
                             const char *name) {
    const char *text = text_words_value(words, name, "");
    return text[0] == '\0' ? client->generation : (int32_t)strtol(text, NULL, 10);
}

static struct group_identity identity_of(const struct text_words *words,
                                         const struct group_script_client *client) {
    return (struct group_identity){
        .group = slice_from_text(client->group),
        .member_id = slice_from_text(client->member_id),
        .instance_id = text_or_null(client->is_consumer ? "" : client->instance_id),
        .generation = generation_of(words, client, "generation")};
}

static void run_sync(struct group_script *s, const struct text_words *words) {
    struct group_script_client *client = client_of(s, words->word[1]);
    struct group_assignment assignments[TEXT_WORDS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 2; i < words->count; i++) {
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)MIN(strcspn(words->word[i], "="), sizeof name - 1),
                 words->word[i]);
        const struct group_script_client *member = find_client(s, name);
        if (member == NULL) continue;
        assignments[count++] = (struct group_assignment){slice_from_text(member->member_id),
                                                         slice_from_text(strchr(words->word[i], '=') + 1)};
    }
    const struct group_identity who = identity_of(words, client);
    const struct group_sync sync = {.call = client,
                                    .group = who.group,
                                    .member_id = who.member_id,
                                    .instance_id = who.instance_id,
                                    .generation = who.generation,
                                    .assignments = assignments,
                                    .assignment_count = count};
    group_sync(&s->machine, begin_step(s), &sync);
    end_step(s);
}

/* ---- consumer ------------------------------------------------------------------------------------------ */

static uint32_t read_owned(const struct group_script *s, const char *text,
                           const struct group_script_client *client, struct group_partition *owned) {
    uint32_t count = 0;
    if (strcmp(text, "all") == 0) {
        for (; count < client->owned.count; count++)
            owned[count] = client->owned.list[count];
        return count;
    }
    char item[80];
    while (*text != '\0') {
        size_t size = strcspn(text, ",");
        snprintf(item, sizeof item, "%.*s", (int)MIN(size, sizeof item - 1), text);
        struct place place;
        struct group_topic topic;
        if (read_place(item, &place) &&
            find_topic((void *)(uintptr_t)s, slice_from_text(place.topic), &topic))
            owned[count++] = (struct group_partition){topic.id, place.partition};
        text += size + (text[size] == ',');
    }
    return count;
}

static void keep_owned(struct group_script_client *client, const struct group_partitions *set) {
    client->owned.count = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        if (client->owned.count == client->owned.capacity) {
            client->owned.capacity = MAX(2 * client->owned.capacity, (uint32_t)8);
            client->owned.list = mem_realloc(client->owned.list,
                                             client->owned.capacity * sizeof *client->owned.list);
        }
        client->owned.list[client->owned.count++] = set->list[i];
    }
}

static void run_hb(struct group_script *s, const struct text_words *words) {
    struct group_script_client *client = client_of(s, words->word[1]);
    bool first = words->count > 2 && strchr(words->word[2], '=') == NULL;
    if (first) {
        snprintf(client->group, sizeof client->group, "%s", words->word[2]);
        snprintf(client->member_id, sizeof client->member_id, "%s", client->name);
        client->generation = 0;
        client->is_consumer = true;
    }
    take_instance(words, client);
    const char *topics = text_words_value(words, "topics", ""), *owns = text_words_value(words, "owns", "-");
    struct group_protocol names[16];
    struct slice list[16];
    uint32_t count = read_protocols(topics, names, 16);
    for (uint32_t i = 0; i < count; i++)
        list[i] = names[i].name;
    static struct group_partition owned[4096];
    struct group_consumer_beat beat = {
        .group = slice_from_text(client->group),
        .member_id = slice_from_text(client->member_id),
        .instance_id = text_or_null(client->instance_id),
        .client_id = slice_from_text(client->name),
        .epoch = generation_of(words, client, "epoch"),
        .rebalance_timeout_ms = (int32_t)strtol(text_words_value(words, "rebalance", first ? "30000" : "-1"),
                                                NULL, 10),
        .session_timeout_ms = (int32_t)strtol(text_words_value(words, "session", "0"), NULL, 10),
        .has_topics = topics[0] != '\0',
        .has_owned = owns[0] != '-',
        .topics = list,
        .regex = text_or_null(text_words_value(words, "regex", "")),
        .topic_count = count,
        .assignor = text_or_null(text_words_value(words, "assignor", "")),
        .owned = owned,
        .owned_count = owns[0] == '-' ? 0 : read_owned(s, owns, client, owned),
    };
    const struct group_member *member;
    bool changed;
    enum status status = group_consumer_beat(&s->machine, begin_step(s), &beat, &member, &changed);
    print(s, client->name, status);
    if (member != NULL) {
        client->generation = member->epoch;
        writer_printf(s->out, " epoch %d", member->epoch);
        if (changed) {
            writer_text(s->out, " has ");
            print_partitions(s, &member->assigned);
            keep_owned(client, &member->assigned);
        }
    }
    writer_text(s->out, "\n");
    end_step(s);
}

/* ---- offsets ------------------------------------------------------------------------------------------- */

/* "77", or "77#2" in its second transaction. */
static struct group_producer producer_of(const char *word) {
    char *end;
    struct group_producer producer = {strtoll(word, &end, 10), 1};
    if (*end == '#') producer.number = (int32_t)strtol(end + 1, NULL, 10);
    return producer;
}

static void run_commit(struct group_script *s, const struct text_words *words, bool pending) {
    struct group_script_client *client = find_client(s, words->word[1]);
    struct group_commit_offset offsets[TEXT_WORDS_MAX];
    struct place places[TEXT_WORDS_MAX];
    struct group_commit commit = {.offsets = offsets,
                                  .who = {.group = slice_from_text(words->word[1]), .generation = -1}};
    if (client != NULL) commit.who = identity_of(words, client);
    for (uint32_t i = 2; i < words->count; i++) {
        struct place *place = &places[commit.offset_count];
        if (!read_place(words->word[i], place)) continue;
        offsets[commit.offset_count++] = (struct group_commit_offset){.topic = slice_from_text(place->topic),
                                                                      .partition = place->partition,
                                                                      .offset = place->offset,
                                                                      .leader_epoch = -1};
    }
    struct group_producer producer = producer_of(words->word[2]);
    enum status status = pending ? group_commit_pending(&s->machine, begin_step(s), &commit, &producer)
                                 : group_commit(&s->machine, begin_step(s), &commit);
    print(s, words->word[1], status);
    for (uint32_t i = 0; status == STATUS_OK && i < commit.offset_count; i++)
        if (offsets[i].status != STATUS_OK)
            writer_printf(s->out, " %s/%d %s", places[i].topic, places[i].partition,
                          status_name(offsets[i].status));
    writer_text(s->out, "\n");
    end_step(s);
}

static void run_fetch(struct group_script *s, const struct text_words *words) {
    const struct group *group = group_find(&s->machine, slice_from_text(words->word[1]));
    writer_text(s->out, words->word[1]);
    for (uint32_t i = 2; i < words->count; i++) {
        struct place place;
        if (!read_place(words->word[i], &place)) continue;
        struct slice topic = slice_from_text(place.topic);
        const struct group_offset *offset = group == NULL ? NULL
                                                          : group_offset_find(group, topic, place.partition);
        writer_printf(s->out, " %s=%lld", words->word[i], offset == NULL ? -1 : (long long)offset->offset);
        if (group != NULL && group_offset_unstable(group, topic, place.partition))
            writer_text(s->out, "(unstable)");
    }
    writer_text(s->out, "\n");
}

static void run_state(struct group_script *s, const char *name) {
    const struct group *group = group_find(&s->machine, slice_from_text(name));
    if (group == NULL) {
        writer_printf(s->out, "%s unknown\n", name);
        return;
    }
    writer_printf(s->out, "%s %s %s generation %d", name, group_kind_name(group->kind),
                  group_phase_name(group), group->generation);
    if (group->leader.size != 0) writer_printf(s->out, " leader %s", show_member(s, group->leader));
    if (group->pending.count != 0) writer_printf(s->out, " pending %zu", group->pending.count);
    writer_text(s->out, "\n");
    MAP_FOREACH(it, &group->members) {
        const struct group_member *member = MAP_ENTRY(it)->value;
        writer_printf(s->out, "  %s", show_member(s, member->id));
        if (group->kind == GROUP_CONSUMER) {
            static const char *const states[] = {"stable", "revoking", "waiting"};
            writer_printf(s->out, " epoch %d %s has ", member->epoch, states[member->state]);
            print_partitions(s, &member->assigned);
            if (member->revoking.count != 0) {
                writer_text(s->out, " gives up ");
                print_partitions(s, &member->revoking);
            }
        } else if (group->phase == GROUP_STABLE) {
            writer_printf(s->out, " assignment %.*s", (int)member->assignment.size,
                          (const char *)member->assignment.data);
        } else {
            writer_text(s->out, member->join_call != NULL   ? " joined"
                                : member->sync_call != NULL ? " synced"
                                                            : "");
        }
        writer_text(s->out, "\n");
    }
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

static void run_limits(struct group_script *s, const struct text_words *words) {
    struct group_limits *limits = &s->machine.limits;
    const struct {
        const char *name;
        int32_t *at;
    } rows[] = {{"delay", &limits->initial_delay_ms},          {"session_min", &limits->session_min_ms},
                {"session_max", &limits->session_max_ms},      {"members", &limits->member_max},
                {"heartbeat", &limits->consumer_heartbeat_ms}, {"session", &limits->consumer_session_ms}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const char *value = text_words_value(words, rows[i].name, "");
        if (value[0] != '\0') *rows[i].at = (int32_t)strtol(value, NULL, 10);
    }
    const char *retention = text_words_value(words, "retention", "");
    if (retention[0] != '\0') limits->offset_retention_ms = strtoll(retention, NULL, 10);
    s->limits = *limits;
}

static void crash(struct group_script *s) {
    group_machine_release(&s->machine);
    group_machine_init(&s->machine, &s->limits, ++s->seed);
    group_script_store_load(&s->store, &s->machine);
    if (group_loaded(&s->machine, s->now_ms, WALL_MS + s->now_ms) != STATUS_OK)
        writer_text(s->out, "VIOLATION what was logged cannot be loaded\n");
    group_machine_check(&s->machine);
}

static void run_member(struct group_script *s, const struct text_words *words) {
    const char *verb = words->word[0];
    struct group_script_client *client = client_of(s, words->word[1]);
    const struct group_identity who = identity_of(words, client);
    if (strcmp(verb, "beat") == 0)
        say_status(s, client->name, group_heartbeat(&s->machine, begin_step(s), &who));
    else if (strcmp(verb, "leave") == 0)
        say_status(s, client->name, group_leave(&s->machine, begin_step(s), &who));
    else
        group_forget_call(&s->machine, who.group, client);
}

static bool run_offsets(struct group_script *s, const struct text_words *words) {
    const char *verb = words->word[0];
    struct slice group = slice_from_text(words->word[1]);
    struct place place;
    if (strcmp(verb, "commit") == 0 || strcmp(verb, "pending") == 0)
        run_commit(s, words, verb[0] == 'p');
    else if (strcmp(verb, "fetch") == 0)
        run_fetch(s, words);
    else if (strcmp(verb, "forget") == 0 && words->count > 2 && read_place(words->word[2], &place))
        say_status(s, words->word[1],
                   group_delete_offset(&s->machine, begin_step(s), group, slice_from_text(place.topic),
                                       place.partition));
    else if (strcmp(verb, "delete") == 0)
        say_status(s, words->word[1], group_delete(&s->machine, begin_step(s), group));
    else if (strcmp(verb, "dropped") == 0) {
        group_topic_deleted(&s->machine, begin_step(s), group);
        end_step(s);
    } else if (strcmp(verb, "end") == 0 && words->count > 3) {
        struct group_producer producer = producer_of(words->word[2]);
        group_transaction_end(&s->machine, begin_step(s), group, &producer,
                              strcmp(words->word[3], "commit") == 0);
        end_step(s);
    } else
        return false;
    return true;
}

void group_script_run(struct group_script *s, const char *command, struct writer *out) {
    s->out = out;
    struct text_words words;
    text_words_split(&words, command);
    const char *verb = words.word[0];
    if (strcmp(verb, "crash") == 0)
        crash(s);
    else if (strcmp(verb, "limits") == 0)
        run_limits(s, &words);
    else if (words.count < 2)
        writer_printf(out, "what is '%s'?\n", command);
    else if (strcmp(verb, "topic") == 0 && words.count > 2)
        set_topic(s, words.word[1], (int32_t)strtol(words.word[2], NULL, 10));
    else if (strcmp(verb, "advance") == 0)
        advance(s, strtoll(words.word[1], NULL, 10));
    else if (strcmp(verb, "join") == 0 && words.count > 2)
        run_join(s, &words);
    else if (strcmp(verb, "sync") == 0)
        run_sync(s, &words);
    else if (strcmp(verb, "hb") == 0)
        run_hb(s, &words);
    else if (strcmp(verb, "beat") == 0 || strcmp(verb, "leave") == 0 || strcmp(verb, "gone") == 0)
        run_member(s, &words);
    else if (strcmp(verb, "state") == 0)
        run_state(s, words.word[1]);
    else if (!run_offsets(s, &words))
        writer_printf(out, "what is '%s'?\n", command);
}

void group_script_init(struct group_script *s) {
    memset(s, 0, sizeof *s);
    s->limits = group_limits_default();
    s->limits.initial_delay_ms = 0;
    s->seed = 1;
    group_machine_init(&s->machine, &s->limits, s->seed);
    group_step_init(&s->step);
    s->step.topics.ctx = s;
    s->step.topics.find = find_topic;
    s->step.topics.visit = visit_topics;
}

void group_script_release(struct group_script *s) {
    group_machine_release(&s->machine);
    group_step_release(&s->step);
    group_script_store_release(&s->store);
    for (uint32_t i = 0; i < s->client_count; i++)
        mem_free(s->clients[i].owned.list);
}
