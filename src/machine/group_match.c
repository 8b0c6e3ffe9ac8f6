// SPDX-License-Identifier: Apache-2.0
/* Subscriptions by pattern: which topics they mean at the moment. */
#include "base/assert.h"
#include "base/mem.h"
#include "machine/group_internal.h"
#include "machine/pattern.h"

void group_matched_clear(struct group_member *member) {
    for (uint32_t i = 0; i < member->matched_count; i++)
        group_disown(&member->matched[i]);
    mem_free(member->matched);
    member->matched = NULL;
    member->matched_count = 0;
    member->matched_at = 0;
}

static void add(struct group_member *member, struct slice name) {
    if ((member->matched_count & (member->matched_count + 1)) == 0)
        member->matched = mem_realloc(member->matched,
                                      2 * ((size_t)member->matched_count + 1) * sizeof *member->matched);
    member->matched[member->matched_count++] = group_own(name);
}

struct matching {
    struct group_member *member;
    struct pattern *pattern;
};

static void take_topic(void *arg, const struct group_topic *topic) {
    const struct matching *matching = arg;
    if (pattern_matches(matching->pattern, topic->name)) add(matching->member, topic->name);
}

static void match_one(struct group_member *member, const struct group_topics *topics) {
    struct matching matching = {.member = member};
    group_matched_clear(member);
    /* Patterns were looked at when they came; one that a damaged log brings matches nothing. */
    if (pattern_new(member->regex, &matching.pattern) != STATUS_OK) return;
    topics->visit(topics->ctx, take_topic, &matching);
    pattern_free(matching.pattern);
}

/* Members of a group mostly say the same: each pattern is matched once. */
void group_match(struct group *group, const struct group_topics *topics) {
    struct map done;
    map_init(&done, group->members.seed);
    for (int pass = 0; pass < 2; pass++) {
        MAP_FOREACH(it, &group->members) {
            struct group_member *member = MAP_ENTRY(it)->value;
            bool current = member->matched_at == topics->version + 1;
            if (member->regex.size == 0 || current == (pass == 1)) continue;
            const struct group_member *same = map_get(&done, member->regex);
            if (pass == 1 && same != NULL) {
                group_matched_clear(member);
                for (uint32_t i = 0; i < same->matched_count; i++)
                    add(member, same->matched[i]);
            } else if (pass == 1) {
                match_one(member, topics);
            }
            member->matched_at = topics->version + 1;
            if (same == NULL) map_put(&done, member->regex, member);
        }
    }
    map_release(&done);
}

bool group_has_room_for_pattern(const struct group *group, struct slice member_id, struct slice regex) {
    struct map others;
    map_init(&others, group->members.seed);
    bool known = false;
    MAP_FOREACH(it, &group->members) {
        const struct group_member *member = MAP_ENTRY(it)->value;
        known |= slice_equal(member->regex, regex);
        bool counts = member->regex.size != 0 && !slice_equal(member->id, member_id);
        if (counts && map_get(&others, member->regex) == NULL)
            map_put(&others, member->regex, MAP_ENTRY(it)->value);
        if (known) break;
    }
    bool room = known || others.count < GROUP_PATTERNS_MAX;
    map_release(&others);
    return room;
}

bool group_subscription(const struct group_member *member, uint32_t *i, struct slice *name) {
    for (; *i < member->topic_count + member->matched_count; ++*i) {
        bool matched = *i >= member->topic_count, twice = false;
        *name = matched ? member->matched[*i - member->topic_count] : member->topics[*i];
        for (uint32_t t = 0; matched && t < member->topic_count; t++)
            twice |= slice_equal(*name, member->topics[t]);
        if (twice) continue;
        ++*i;
        return true;
    }
    return false;
}
