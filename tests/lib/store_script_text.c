// SPDX-License-Identifier: Apache-2.0
/* Scripts as text: one operation a line, words and numbers; `#` begins a comment. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "lib/store_script.h"
#include "lib/test.h"

#define WORDS_MAX 5u

/* A word that stands for a number; the list ends with NULL. */
struct names {
    const char *words[5];
};
static const struct names moves = {{"seek", "seek-prev", "next", "prev", NULL}};
static const struct names crashes = {{"process", "power", "power-clean", "power-bare", NULL}};
static const struct names stops = {{"before", "after", NULL}};
static const struct names faults = {{"read", "write", "sync", "no-space", NULL}};
static const struct names patience = {{"wait", "leave", NULL}};

/* The operands of each kind, in the order of the struct; NULL: a number. */
static const struct shape {
    const char *name;
    uint32_t operands;
    const struct names *words[4];
} shapes[SCRIPT_KIND_COUNT] = {
    [SCRIPT_WRITE] = {"write", 0, {NULL}},
    [SCRIPT_GET] = {"get", 2, {NULL, &patience}},
    [SCRIPT_OPEN] = {"open", 4, {NULL}},
    [SCRIPT_MOVE] = {"move", 4, {NULL, &moves, NULL, &patience}},
    [SCRIPT_CLOSE] = {"close", 1, {NULL}},
    [SCRIPT_FLUSH] = {"flush", 0, {NULL}},
    [SCRIPT_RUN] = {"run", 1, {NULL}},
    [SCRIPT_SETTLE] = {"settle", 0, {NULL}},
    [SCRIPT_CHECK] = {"check", 0, {NULL}},
    [SCRIPT_REOPEN] = {"reopen", 0, {NULL}},
    [SCRIPT_CRASH] = {"crash", 2, {&crashes, NULL}},
    [SCRIPT_STOP] = {"stop", 4, {NULL, &stops, &crashes, NULL}},
    [SCRIPT_FAULT] = {"fault", 2, {&faults, NULL}},
    [SCRIPT_CAPACITY] = {"capacity", 1, {NULL}},
};

/* The settings of a script, by name. */
static uint64_t *setting(struct store_script *script, struct slice name) {
    struct {
        const char *name;
        uint64_t *value;
    } settings[] = {{"seed", &script->seed},
                    {"memtable", &script->memtable_bytes},
                    {"cache", &script->cache_bytes},
                    {"segment", &script->segment_bytes},
                    {"table", &script->table_bytes},
                    {"prefix", &script->prefix_size},
                    {"value-max", &script->value_size_max},
                    {"manifest", &script->manifest_bytes},
                    {"scrub", &script->scrub_ms},
                    {"compression", &script->compression}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (slice_equal(slice_from_text(settings[i].name), name)) return settings[i].value;
    return NULL;
}

/* ---- printing ---------------------------------------------------------------------------------------- */

static void print_change(const struct store_model_change *change, struct writer *out) {
    if (change->kind == STORE_MODEL_PUT)
        writer_printf(out, " %s %" PRIu32 " %" PRIu32, change->owned ? "put-owned" : "put", change->first,
                      change->value);
    else if (change->kind == STORE_MODEL_DELETE)
        writer_printf(out, " delete %" PRIu32, change->first);
    else
        writer_printf(out, " range %" PRIu32 " %" PRIu32, change->first, change->last);
}

static void print_op(const struct store_script_op *op, struct writer *out) {
    const struct shape *shape = &shapes[op->kind];
    const uint64_t operands[4] = {op->a, op->b, op->c, op->d};
    writer_text(out, shape->name);
    for (uint32_t i = 0; i < shape->operands; i++) {
        if (shape->words[i] != NULL)
            writer_printf(out, " %s", shape->words[i]->words[operands[i]]);
        else
            writer_printf(out, " %" PRIu64, operands[i]);
    }
    for (uint32_t i = 0; i < op->change_count; i++)
        print_change(&op->changes[i], out);
    writer_text(out, "\n");
}

void store_script_print(const struct store_script *script, struct writer *out) {
    writer_printf(out,
                  "seed %" PRIu64 "\nmemtable %" PRIu64 "\ncache %" PRIu64 "\nsegment %" PRIu64
                  "\ntable %" PRIu64 "\nprefix %" PRIu64 "\nvalue-max %" PRIu64 "\nmanifest %" PRIu64
                  "\nscrub %" PRIu64 "\ncompression %" PRIu64 "\n",
                  script->seed, script->memtable_bytes, script->cache_bytes, script->segment_bytes,
                  script->table_bytes, script->prefix_size, script->value_size_max, script->manifest_bytes,
                  script->scrub_ms, script->compression);
    if (script->forgetful) writer_text(out, "forgetful\n");
    for (size_t i = 0; i < script->count; i++)
        print_op(&script->ops[i], out);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static struct slice next_word(struct slice *line) {
    size_t start = 0;
    while (start < line->size && line->data[start] == ' ')
        start++;
    size_t end = start;
    while (end < line->size && line->data[end] != ' ')
        end++;
    struct slice word = slice_make(line->data + start, end - start);
    *line = slice_make(line->data + end, line->size - end);
    return word;
}

static bool read_number(struct slice *line, uint64_t below, uint64_t *value) {
    struct slice word = next_word(line);
    *value = 0;
    if (word.size == 0 || word.size > 18) return false;
    for (size_t i = 0; i < word.size; i++) {
        if (word.data[i] < '0' || word.data[i] > '9') return false;
        *value = *value * 10 + (uint64_t)(word.data[i] - '0');
    }
    return *value < below;
}

static bool read_operand(struct slice *line, const struct names *names, uint64_t *value) {
    if (names == NULL) return read_number(line, UINT64_MAX, value);
    struct slice word = next_word(line);
    for (*value = 0; names->words[*value] != NULL; (*value)++)
        if (slice_equal(slice_from_text(names->words[*value]), word)) return true;
    return false;
}

static bool read_change(struct slice *line, struct store_model_change *change) {
    struct slice word = next_word(line);
    uint64_t first, other = 0;
    if (!read_number(line, STORE_MODEL_KEYS, &first)) return false;
    *change = (struct store_model_change){.first = (uint32_t)first, .last = (uint32_t)first};
    change->owned = slice_equal(word, slice_from_text("put-owned"));
    if (change->owned || slice_equal(word, slice_from_text("put"))) {
        change->kind = STORE_MODEL_PUT;
        if (!read_number(line, UINT32_MAX, &other) || other == 0) return false;
        change->value = (uint32_t)other;
        return true;
    }
    change->kind = STORE_MODEL_DELETE;
    if (slice_equal(word, slice_from_text("delete"))) return true;
    change->kind = STORE_MODEL_DELETE_RANGE;
    bool fits = slice_equal(word, slice_from_text("range")) &&
                read_number(line, STORE_MODEL_KEYS - 1, &other) && other >= first;
    change->last = (uint32_t)other;
    return fits;
}

static bool read_op(struct slice word, struct slice *line, struct store_script_op *op) {
    size_t kind = 0;
    while (kind < SCRIPT_KIND_COUNT && !slice_equal(slice_from_text(shapes[kind].name), word))
        kind++;
    if (kind == SCRIPT_KIND_COUNT) return false;
    *op = (struct store_script_op){.kind = (enum store_script_kind)kind};
    uint64_t *operands[4] = {&op->a, &op->b, &op->c, &op->d};
    for (uint32_t i = 0; i < shapes[kind].operands; i++)
        if (!read_operand(line, shapes[kind].words[i], operands[i])) return false;
    while (op->kind == SCRIPT_WRITE && line->size > 0 && op->change_count < STORE_MODEL_CHANGES_MAX)
        if (!read_change(line, &op->changes[op->change_count++])) return false;
    bool bounds = op->kind != SCRIPT_OPEN || (op->b <= op->c && op->c >= 1 && op->c <= STORE_MODEL_KEYS);
    return bounds && line->size == 0 && (op->kind != SCRIPT_WRITE || op->change_count > 0);
}

static bool read_line(struct store_script *script, struct slice line) {
    while (line.size > 0 && line.data[line.size - 1] == ' ')
        line.size--;
    struct slice word = next_word(&line);
    if (word.size == 0 || word.data[0] == '#') return true;
    if (slice_equal(word, slice_from_text("forgetful"))) {
        script->forgetful = true;
        return true;
    }
    uint64_t *value = setting(script, word);
    if (value != NULL) return read_number(&line, UINT32_MAX, value) && line.size == 0;
    struct store_script_op op;
    if (!read_op(word, &line, &op)) return false;
    *store_script_add(script, op.kind) = op;
    return true;
}

enum status store_script_parse(struct store_script *script, struct slice text, size_t *line) {
    *line = 1;
    for (size_t at = 0; at < text.size; (*line)++) {
        size_t end = at;
        while (end < text.size && text.data[end] != '\n')
            end++;
        if (!read_line(script, slice_make(text.data + at, end - at))) return STATUS_INVALID;
        at = end + 1;
    }
    return STATUS_OK;
}
