// SPDX-License-Identifier: Apache-2.0
/* One table of forms serves both directions: a form is matched word by word to read a line, and filled in to
 * print one. A form's words are literal but for placeholders:
 *
 *   %N %T node, to        %A %B %C a, b, c        %I %J a, b with a sign      %K count
 *   %D %E durations a, b  %M message kind in a    %O disk operation in a      %W before/after in b
 *   %H way to crash in a  %R role in count        %X the name given           %S members, %P groups: the rest
 *
 * The first form of a kind is the one printed; the others are shorter ways to say it, with the defaults. */
#include "sim/action.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/units.h"
#include "io/io_sim.h"
#include "raft/raft.h"

#define WORDS_MAX 64
#define WORD_MAX  63

static const struct form {
    enum action_kind kind;
    enum expectation expectation; /* of ACTION_EXPECT */
    const char *text;
} forms[] = {
    {ACTION_PARTITION, 0, "partition %P"},
    {ACTION_CUT, 0, "cut %N->%T"},
    {ACTION_MEND, 0, "mend %N->%T"},
    {ACTION_HEAL, 0, "heal"},
    {ACTION_DROP, 0, "drop next %K %M %N->%T"},
    {ACTION_DROP, 0, "drop next %M %N->%T"},
    {ACTION_RESET, 0, "reset %N-%T"},
    {ACTION_LATENCY, 0, "latency %D..%E"},
    {ACTION_LINK, 0, "link %N->%T slow %K"},
    {ACTION_NETWORK, 0, "network slow %A reset %B pieces %C"},
    {ACTION_CRASH, 0, "crash %N %H"},
    {ACTION_CRASH, 0, "crash %N"},
    {ACTION_CRASH_AT, 0, "crash %N %W %O %K"},
    {ACTION_CRASH_AT, 0, "crash %N %W %O"},
    {ACTION_START, 0, "start %N"},
    {ACTION_START, 0, "start %N with knobs %A"},
    {ACTION_PAUSE, 0, "pause %N for %D"},
    {ACTION_CLOCK, 0, "clock %N drift %I wall %J"},
    {ACTION_WIPE, 0, "wipe %N"},
    {ACTION_DISK_FAIL, 0, "disk %N fail %O %K"},
    {ACTION_DISK_FAIL, 0, "disk %N fail %O"},
    {ACTION_DISK_SLOW, 0, "disk %N slow %K"},
    {ACTION_DISK_FULL, 0, "disk %N full %A"},
    {ACTION_ROT, 0, "disk %N rot %A"},
    {ACTION_APPEND, 0, "append %A x %K to %N"},
    {ACTION_APPEND, 0, "append %A to %N"},
    {ACTION_READ, 0, "read at %N"},
    {ACTION_TRANSFER, 0, "transfer to %N"},
    {ACTION_MEMBERS, 0, "members %S"},
    {ACTION_COMPACT, 0, "compact %N"},
    {ACTION_PRIORITY, 0, "priority %N %A"},
    {ACTION_STOP, 0, "stop %N"},
    {ACTION_WAIT, 0, "wait %D"},
    {ACTION_NAME, 0, "name %X = %N"},
    {ACTION_EXPECT, EXPECT_LEADER, "expect leader %N within %E"},
    {ACTION_EXPECT, EXPECT_LEADER, "expect leader within %E"},
    {ACTION_EXPECT, EXPECT_NO_LEADER, "expect no leader for %E"},
    {ACTION_EXPECT, EXPECT_ROLE, "expect %R %N within %E"},
    {ACTION_EXPECT, EXPECT_TERM, "expect term %K at %N within %E"},
    {ACTION_EXPECT, EXPECT_COMMITTED, "expect acknowledged %K within %E"},
    {ACTION_EXPECT, EXPECT_REFUSED, "expect refused %K within %E"},
    {ACTION_EXPECT, EXPECT_STABLE, "expect no election for %E"},
    {ACTION_EXPECT, EXPECT_EQUAL, "expect equal %N %T within %E"},
    {ACTION_EXPECT, EXPECT_MEMBERS, "expect members %S within %E"},
    {ACTION_EXPECT, EXPECT_DOWN, "expect down %N within %E"},
    {ACTION_EXPECT, EXPECT_SNAPSHOT, "expect snapshot %K at %N within %E"},
    {ACTION_EXPECT, EXPECT_REPAIRED, "expect repaired %K at %N within %E"},
    {ACTION_CONVERGE, 0, "converge within %D"},
};

struct words {
    uint32_t count;
    char word[WORDS_MAX][WORD_MAX + 1];
};
struct choice {
    const char *name;
    uint64_t value;
};
static const struct choice crash_ways[] = {{"power", IO_SIM_CRASH_POWER},
                                           {"process", IO_SIM_CRASH_PROCESS},
                                           {"kept", IO_SIM_CRASH_POWER_CLEAN},
                                           {"bare", IO_SIM_CRASH_POWER_BARE}};
static const struct choice disk_ops[] = {{"operation", ACTION_DISK_ANY},
                                         {"write", ACTION_DISK_WRITE},
                                         {"fsync", ACTION_DISK_SYNC},
                                         {"read", ACTION_DISK_READ}};
static const struct choice sides[] = {{"before", IO_SIM_STOP_BEFORE}, {"after", IO_SIM_STOP_AFTER}};

/* ---- durations ---------------------------------------------------------------------------------------- */

static const struct unit {
    const char *name;
    uint64_t ns;
} units[] = {{"ns", 1}, {"us", NS_PER_US}, {"ms", NS_PER_MS}, {"s", NS_PER_S}};

/* "2s", "1.5ms", "300us", "12ns"; true when all of it was understood. */
static bool parse_duration(const char *text, uint64_t *ns) {
    if (strcmp(text, "ever") == 0) {
        *ns = ACTION_FOREVER;
        return true;
    }
    uint64_t whole = 0, fraction = 0, scale = 1;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && whole < UINT32_MAX; at++)
        whole = whole * 10 + (uint64_t)(*at - '0');
    if (at == text) return false;
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9' && scale < NS_PER_S; at++) {
            fraction = fraction * 10 + (uint64_t)(*at - '0');
            scale *= 10;
        }
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (strcmp(at, units[i].name) != 0) continue;
        *ns = whole * units[i].ns + fraction * units[i].ns / scale;
        return true;
    }
    return false;
}

static void print_duration(struct writer *to, uint64_t ns) {
    if (ns == ACTION_FOREVER) {
        writer_text(to, "ever");
        return;
    }
    size_t i = ARRAY_COUNT(units) - 1;
    while (i > 0 && ns < units[i].ns)
        i--;
    writer_printf(to, "%" PRIu64, ns / units[i].ns);
    uint64_t rest = ns % units[i].ns;
    if (rest != 0) writer_u8(to, '.');
    for (uint64_t unit = units[i].ns; rest != 0;) {
        unit /= 10;
        writer_u8(to, (uint8_t)('0' + rest / unit));
        rest %= unit;
    }
    writer_text(to, units[i].name);
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static bool parse_number(const char *text, uint64_t *value) {
    char *end;
    if (text[0] < '0' || text[0] > '9') return false;
    *value = strtoull(text, &end, 10);
    return *end == '\0';
}

static bool parse_signed(const char *text, uint64_t *value) {
    bool negative = text[0] == '-';
    if (!parse_number(text + (negative || text[0] == '+'), value) || *value > INT32_MAX) return false;
    if (negative) *value = (uint64_t) - (int64_t)*value;
    return true;
}

static bool parse_node(const char *text, const struct action_names *names, uint32_t *node) {
    uint64_t number;
    if (parse_number(text, &number)) {
        *node = (uint32_t)number;
        return number >= 1 && number <= SIM_NODES_MAX;
    }
    *node = strcmp(text, "*") == 0          ? ACTION_NODE_ANY
            : strcmp(text, "follower") == 0 ? ACTION_NODE_FOLLOWER
                                            : ACTION_NODE_LEADER;
    if (*node != ACTION_NODE_LEADER || strcmp(text, "leader") == 0) return true;
    for (uint32_t i = 0; i < names->count; i++)
        if (strcmp(text, names->names[i]) == 0) {
            *node = ACTION_NODE_NAMES + i;
            return true;
        }
    return false;
}

static bool parse_choice(const char *text, const struct choice *choices, size_t count, uint64_t *value) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, choices[i].name) == 0) {
            *value = choices[i].value;
            return true;
        }
    return false;
}

static bool parse_message_kind(const char *text, uint64_t *value) {
    *value = 0;
    if (strcmp(text, "any") == 0) return true;
    for (uint64_t kind = 1; kind < RAFT_MESSAGE_KIND_END; kind++)
        if (strcmp(text, raft_message_kind_name((enum raft_message_kind)kind)) == 0) {
            *value = kind;
            return true;
        }
    return false;
}

static bool parse_role(const char *text, uint32_t *value) {
    for (uint32_t role = RAFT_FOLLOWER; role < RAFT_LEADER; role++)
        if (strcmp(text, raft_role_name((enum raft_role)role)) == 0) {
            *value = role;
            return true;
        }
    return false;
}

static bool parse_name(const char *text, struct action_names *names, struct action *action) {
    size_t size = strlen(text);
    if (size == 0 || size > ACTION_NAME_MAX || text[0] < 'A' || text[0] > 'Z') return false;
    memcpy(action->name, text, size + 1);
    uint32_t known = 0;
    while (known < names->count && strcmp(names->names[known], text) != 0)
        known++;
    if (known == SIM_NODES_MAX) return false;
    memcpy(names->names[known], text, size + 1);
    names->count = MAX(names->count, known + 1);
    return true;
}

static bool parse_value(char placeholder, const char *text, struct action_names *names,
                        struct action *action) {
    uint64_t number = 0;
    bool ok;
    switch (placeholder) {
    case 'N':
        return parse_node(text, names, &action->node);
    case 'T':
        return parse_node(text, names, &action->to);
    case 'A':
        return parse_number(text, &action->a);
    case 'B':
        return parse_number(text, &action->b);
    case 'C':
        return parse_number(text, &action->c);
    case 'I':
        return parse_signed(text, &action->a);
    case 'J':
        return parse_signed(text, &action->b);
    case 'K':
        ok = parse_number(text, &number) && number <= UINT32_MAX;
        action->count = (uint32_t)number;
        return ok;
    case 'D':
        return parse_duration(text, &action->a);
    case 'E':
        return parse_duration(text, &action->b);
    case 'M':
        return parse_message_kind(text, &action->a);
    case 'O':
        return parse_choice(text, disk_ops, ARRAY_COUNT(disk_ops), &action->a);
    case 'W':
        return parse_choice(text, sides, ARRAY_COUNT(sides), &action->b);
    case 'H':
        return parse_choice(text, crash_ways, ARRAY_COUNT(crash_ways), &action->a);
    case 'R':
        return parse_role(text, &action->count);
    case 'X':
        return parse_name(text, names, action);
    default:
        UNREACHABLE();
    }
}

/* Nodes of a set; '|' begins the next group, '~' marks a learner. */
static bool parse_set_word(const char *text, bool members, struct action *action) {
    uint64_t node;
    if (!members && strcmp(text, "|") == 0)
        return ++action->set_count < ARRAY_COUNT(action->sets) && action->sets[action->set_count - 1] != 0;
    bool learner = members && text[0] == '~';
    if (!parse_number(text + learner, &node) || node < 1 || node > SIM_NODES_MAX) return false;
    action->sets[members ? learner : action->set_count] |= 1U << node;
    return true;
}

/* One word of a form against one of the line: literals and placeholders in turn. */
static bool match_word(const char *form, size_t form_size, const char *word, struct action_names *names,
                       struct action *action) {
    const char *end = form + form_size;
    while (form < end) {
        if (*form != '%') {
            if (*form++ != *word++) return false;
            continue;
        }
        char placeholder = form[1], value[WORD_MAX + 1];
        const char *literal = form += 2;
        while (form < end && *form != '%')
            form++;
        size_t literal_size = (size_t)(form - literal), size = strlen(word);
        if (literal_size != 0) {
            size = 0;
            while (word[size] != '\0' && strncmp(word + size, literal, literal_size) != 0)
                size++;
            if (word[size] == '\0') return false;
        }
        memcpy(value, word, size);
        value[size] = '\0';
        if (!parse_value(placeholder, value, names, action)) return false;
        word += size + literal_size;
    }
    return *word == '\0';
}

static bool match(const struct form *form, const struct words *words, uint32_t at, struct action_names *names,
                  struct action *action) {
    const char *text = form->text;
    while (*text != '\0') {
        size_t size = strcspn(text, " ");
        const char *next = text + size + (text[size] == ' ');
        if (strncmp(text, "%S", size) == 0 || strncmp(text, "%P", size) == 0) {
            uint32_t first = at;
            while (at < words->count && (*next == '\0' || strcmp(words->word[at], "within") != 0))
                if (!parse_set_word(words->word[at++], text[1] == 'S', action)) return false;
            if (at == first) return false;
            action->set_count = text[1] == 'S' ? 2 : action->set_count + 1;
        } else if (at == words->count || !match_word(text, size, words->word[at++], names, action)) {
            return false;
        }
        text = next;
    }
    return at == words->count;
}

static bool split(const char *line, struct words *words) {
    words->count = 0;
    for (;;) {
        line += strspn(line, " \t\r\n");
        size_t size = strcspn(line, " \t\r\n");
        if (size == 0) return true;
        if (words->count == WORDS_MAX || size > WORD_MAX) return false;
        memcpy(words->word[words->count], line, size);
        words->word[words->count++][size] = '\0';
        line += size;
    }
}

/* What a line says when it does not say it: see the forms. */
static struct action with_defaults(const struct form *form, const struct action *timed) {
    struct action action = *timed;
    action.kind = form->kind;
    action.count = form->kind == ACTION_EXPECT ? 0 : 1;
    if (form->kind == ACTION_CRASH) action.a = IO_SIM_CRASH_POWER;
    if (form->kind == ACTION_EXPECT) action.a = form->expectation;
    return action;
}

enum status action_parse(const char *line, struct action_names *names, struct action *action,
                         struct diagnostic *why) {
    struct words words;
    if (!split(line, &words) || words.count == 0)
        return diagnose(why, STATUS_INVALID, "empty, or far too long: '%s'", line);
    struct action timed = {.at_ns = ACTION_UNTIMED};
    uint32_t at = 0;
    if (strcmp(words.word[0], "at") == 0) {
        if (words.count < 3 || !parse_duration(words.word[1], &timed.at_ns))
            return diagnose(why, STATUS_INVALID, "'at' wants a time, such as 2.5s, and what happens then");
        at = 2;
    }
    /* "... as NAME" names the node that was found. */
    char name[WORD_MAX + 1] = "";
    if (words.count - at > 2 && strcmp(words.word[words.count - 2], "as") == 0) {
        memcpy(name, words.word[words.count - 1], sizeof name);
        words.count -= 2;
    }
    bool verb_known = false;
    for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
        size_t verb = strcspn(forms[i].text, " ");
        verb_known = verb_known ||
                     (strlen(words.word[at]) == verb && strncmp(words.word[at], forms[i].text, verb) == 0);
        struct action_names after = *names;
        *action = with_defaults(&forms[i], &timed);
        if (!match(&forms[i], &words, at, &after, action)) continue;
        if (name[0] != '\0' && !parse_name(name, &after, action))
            return diagnose(why, STATUS_INVALID, "a name begins with a capital letter, unlike '%s'", name);
        *names = after;
        return STATUS_OK;
    }
    return diagnose(why, STATUS_INVALID,
                    verb_known ? "'%s' is not used like this (docs/simulator.md)" : "what is '%s'?",
                    words.word[at]);
}

/* ---- printing ----------------------------------------------------------------------------------------- */

static void print_node(struct writer *to, uint32_t node, const struct action_names *names) {
    if (node == ACTION_NODE_ANY)
        writer_u8(to, '*');
    else if (node == ACTION_NODE_LEADER)
        writer_text(to, "leader");
    else if (node == ACTION_NODE_FOLLOWER)
        writer_text(to, "follower");
    else if (node >= ACTION_NODE_NAMES)
        writer_text(to, names->names[node - ACTION_NODE_NAMES]);
    else
        writer_printf(to, "%u", node);
}

static void print_choice(struct writer *to, const struct choice *choices, size_t count, uint64_t value) {
    for (size_t i = 0; i < count; i++)
        if (choices[i].value == value) writer_text(to, choices[i].name);
}

static void print_set(struct writer *to, uint32_t set, const char *before_each, bool *first) {
    for (uint32_t node = 1; node <= SIM_NODES_MAX; node++) {
        if ((set >> node & 1) == 0) continue;
        writer_printf(to, "%s%s%u", *first ? "" : " ", before_each, node);
        *first = false;
    }
}

static void print_sets(struct writer *to, char placeholder, const struct action *action) {
    bool first = true;
    if (placeholder == 'S') {
        print_set(to, action->sets[0], "", &first);
        print_set(to, action->sets[1], "~", &first);
        return;
    }
    for (uint32_t i = 0; i < action->set_count; i++) {
        if (i != 0) writer_text(to, " |");
        print_set(to, action->sets[i], "", &first);
    }
}

static void print_value(struct writer *to, char placeholder, const struct action *action,
                        const struct action_names *names) {
    switch (placeholder) {
    case 'N':
    case 'T':
        print_node(to, placeholder == 'N' ? action->node : action->to, names);
        break;
    case 'A':
    case 'B':
    case 'C':
        writer_printf(to, "%" PRIu64,
                      placeholder == 'A'   ? action->a
                      : placeholder == 'B' ? action->b
                                           : action->c);
        break;
    case 'I':
    case 'J':
        writer_printf(to, "%" PRId64, (int64_t)(placeholder == 'I' ? action->a : action->b));
        break;
    case 'K':
        writer_printf(to, "%u", action->count);
        break;
    case 'D':
    case 'E':
        print_duration(to, placeholder == 'D' ? action->a : action->b);
        break;
    case 'M':
        writer_text(to, action->a == 0 ? "any" : raft_message_kind_name((enum raft_message_kind)action->a));
        break;
    case 'O':
        print_choice(to, disk_ops, ARRAY_COUNT(disk_ops), action->a);
        break;
    case 'W':
        print_choice(to, sides, ARRAY_COUNT(sides), action->b);
        break;
    case 'H':
        print_choice(to, crash_ways, ARRAY_COUNT(crash_ways), action->a);
        break;
    case 'R':
        writer_text(to, raft_role_name((enum raft_role)action->count));
        break;
    case 'X':
        writer_text(to, action->name);
        break;
    default:
        print_sets(to, placeholder, action);
    }
}

void action_print(struct writer *to, const struct action *action, const struct action_names *names) {
    const struct form *form = forms;
    while (form->kind != action->kind ||
           (action->kind == ACTION_EXPECT && form->expectation != (enum expectation)action->a))
        form++;
    if (action->kind == ACTION_START && action->a != 0) form++; /* as something else */
    if (action->at_ns != ACTION_UNTIMED) {
        writer_text(to, "at ");
        print_duration(to, action->at_ns);
        writer_u8(to, ' ');
    }
    for (const char *text = form->text; *text != '\0'; text++) {
        if (*text != '%')
            writer_u8(to, (uint8_t)*text);
        else
            print_value(to, *++text, action, names);
    }
    if (action->kind == ACTION_EXPECT && action->name[0] != '\0') writer_printf(to, " as %s", action->name);
}

/* ---- kinds -------------------------------------------------------------------------------------------- */

const char *action_kind_name(enum action_kind kind) {
    static const char *const names[] = {
        "partition", "cut",       "mend",     "heal",   "drop",   "reset",    "latency", "link",
        "network",   "crash",     "crash-at", "start",  "pause",  "clock",    "wipe",    "disk-fail",
        "disk-slow", "disk-full", "rot",      "append", "read",   "transfer", "members", "compact",
        "priority",  "stop",      "wait",     "name",   "expect", "converge"};
    STATIC_ASSERT(ARRAY_COUNT(names) == ACTION_KIND_END, "one name a kind");
    ASSERT_LT((unsigned)kind, (unsigned)ACTION_KIND_END);
    return names[kind];
}

bool action_is_fault(enum action_kind kind) {
    return kind <= ACTION_ROT;
}

bool action_is_operation(enum action_kind kind) {
    return kind >= ACTION_APPEND && kind <= ACTION_STOP;
}
