// SPDX-License-Identifier: Apache-2.0
#include "sim/scenario.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

#define LINE_MAX_ 400

static const struct knob {
    const char *name;
    size_t offset;
    uint32_t usual, low, high;
} knob_list[] = {
#define SIM_KNOB_ROW_(field, name, usual, low, high)                                                         \
    {name, offsetof(struct sim_knobs, field), usual, low, high},
    SIM_KNOB_LIST(SIM_KNOB_ROW_)
#undef SIM_KNOB_ROW_
};

static uint32_t *knob_of(struct sim_knobs *knobs, const struct knob *knob) {
    return (uint32_t *)(void *)((uint8_t *)knobs + knob->offset);
}

struct sim_knobs sim_knobs_default(void) {
    struct sim_knobs knobs;
    for (size_t i = 0; i < ARRAY_COUNT(knob_list); i++)
        *knob_of(&knobs, &knob_list[i]) = knob_list[i].usual;
    return knobs;
}

void sim_knobs_draw(struct sim_knobs *knobs, struct prng *prng) {
    bool unusual = prng_chance(prng, 3, 4);
    for (size_t i = 0; i < ARRAY_COUNT(knob_list); i++) {
        /* Always the same number of draws, so that a new knob does not shift the others. */
        struct prng own = prng_split(prng, i);
        const struct knob *knob = &knob_list[i];
        bool drawn = prng_chance(&own, 1, 3);
        bool lowest = prng_chance(&own, 1, 4);
        uint32_t value = lowest ? knob->low : (uint32_t)prng_range(&own, knob->low, knob->high);
        if (unusual && drawn) *knob_of(knobs, knob) = value;
    }
}

void scenario_init(struct scenario *scenario) {
    *scenario = (struct scenario){.workload = "raft", .seed = 1, .nodes = 3};
    scenario->knobs = sim_knobs_default();
}

void scenario_release(struct scenario *scenario) {
    mem_free(scenario->actions);
    scenario_init(scenario);
}

void scenario_add(struct scenario *scenario, const struct action *action) {
    if (scenario->count == scenario->capacity) {
        scenario->capacity = MAX(64U, scenario->capacity * 2);
        scenario->actions = mem_realloc(scenario->actions, scenario->capacity * sizeof *scenario->actions);
    }
    scenario->actions[scenario->count++] = *action;
}

void scenario_copy(struct scenario *to, const struct scenario *from) {
    scenario_release(to);
    *to = *from;
    to->actions = NULL;
    to->count = to->capacity = 0;
    if (from->count == 0) return;
    to->actions = mem_alloc(from->count * sizeof *to->actions);
    memcpy(to->actions, from->actions, from->count * sizeof *to->actions);
    to->count = to->capacity = from->count;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static bool parse_u32(const char *text, uint64_t max, uint64_t *value) {
    char rest;
    return text[0] >= '0' && text[0] <= '9' && sscanf(text, "%" SCNu64 "%c", value, &rest) == 1 &&
           *value <= max;
}

/* A line that describes the cluster; false: it is none of these. */
static bool parse_setting(struct scenario *scenario, const char *line, enum status *status,
                          struct diagnostic *why) {
    char verb[32], name[32] = "", text[32] = "";
    uint64_t value = 0;
    int words = sscanf(line, "%31s %31s %31s", verb, name, text);
    *status = STATUS_OK;
    if (words >= 2 && strcmp(verb, "nodes") == 0) {
        if (!parse_u32(name, SIM_NODES_MAX, &value) || value == 0)
            *status = diagnose(why, STATUS_INVALID, "'nodes' wants a number up to %d", SIM_NODES_MAX);
        scenario->nodes = (uint32_t)value;
        return true;
    }
    if (words >= 2 && strcmp(verb, "seed") == 0) {
        if (!parse_u32(name, UINT64_MAX, &scenario->seed))
            *status = diagnose(why, STATUS_INVALID, "'seed' wants a number");
        return true;
    }
    if (words >= 2 && strcmp(verb, "workload") == 0) {
        snprintf(scenario->workload, sizeof scenario->workload, "%.15s", name);
        return true;
    }
    if (words < 1 || strcmp(verb, "set") != 0) return false;
    for (size_t i = 0; i < ARRAY_COUNT(knob_list); i++) {
        if (strcmp(knob_list[i].name, name) != 0) continue;
        if (!parse_u32(text, UINT32_MAX, &value))
            *status = diagnose(why, STATUS_INVALID, "'set %s' wants a number", name);
        *knob_of(&scenario->knobs, &knob_list[i]) = (uint32_t)value;
        return true;
    }
    *status = diagnose(why, STATUS_INVALID, "there is no knob '%s'", name);
    return true;
}

static enum status parse_line(struct scenario *scenario, char *line, struct diagnostic *why) {
    char *comment = strchr(line, '#');
    if (comment != NULL) {
        const char *text = comment + 1 + strspn(comment + 1, " ");
        if (scenario->title[0] == '\0') snprintf(scenario->title, sizeof scenario->title, "%.199s", text);
        *comment = '\0';
    }
    if (line[strspn(line, " \t\r")] == '\0') return STATUS_OK;
    enum status status;
    if (parse_setting(scenario, line, &status, why)) return status;
    struct action action;
    status = action_parse(line, &scenario->names, &action, why);
    if (status != STATUS_OK) return status;
    if (scenario->count == SCENARIO_ACTIONS_MAX)
        return diagnose(why, STATUS_TOO_LARGE, "more than %u actions", SCENARIO_ACTIONS_MAX);
    scenario_add(scenario, &action);
    return STATUS_OK;
}

enum status scenario_parse(struct scenario *scenario, struct slice text, struct diagnostic *why) {
    uint32_t number = 0;
    for (size_t at = 0; at < text.size;) {
        char line[LINE_MAX_];
        const uint8_t *end = memchr(text.data + at, '\n', text.size - at);
        size_t size = end == NULL ? text.size - at : (size_t)(end - (text.data + at));
        number++;
        if (size >= sizeof line || memchr(text.data + at, '\0', size) != NULL)
            return diagnose(why, STATUS_INVALID, "line %u is too long, or no text", number);
        memcpy(line, text.data + at, size);
        line[size] = '\0';
        at += size + 1;
        struct diagnostic inner = {""};
        enum status status = parse_line(scenario, line, &inner);
        if (status != STATUS_OK) return diagnose(why, status, "line %u: %.480s", number, inner.text);
    }
    return STATUS_OK;
}

void scenario_print(struct writer *to, const struct scenario *scenario) {
    struct scenario usual;
    scenario_init(&usual);
    if (scenario->title[0] != '\0') writer_printf(to, "# %s\n", scenario->title);
    writer_printf(to, "nodes %u\nseed %" PRIu64 "\nworkload %s\n", scenario->nodes, scenario->seed,
                  scenario->workload);
    for (size_t i = 0; i < ARRAY_COUNT(knob_list); i++) {
        uint32_t value = *knob_of((struct sim_knobs *)&scenario->knobs, &knob_list[i]);
        if (value != knob_list[i].usual) writer_printf(to, "set %s %u\n", knob_list[i].name, value);
    }
    for (uint32_t i = 0; i < scenario->count; i++) {
        action_print(to, &scenario->actions[i], &scenario->names);
        writer_u8(to, '\n');
    }
}
