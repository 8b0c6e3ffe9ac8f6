// SPDX-License-Identifier: Apache-2.0
#include "machine/pattern.h"

#include "base/assert.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "base/units.h"

enum op { OP_SET, OP_SPLIT, OP_JUMP, OP_BEGIN, OP_END, OP_MATCH };

/* A set of bytes. */
struct set {
    uint64_t bits[4];
};
/* Targets are relative to the instruction, so that a piece of program may be moved and copied. */
struct instruction {
    uint8_t op;
    int16_t x, y;   /* SPLIT: both; JUMP: x */
    struct set set; /* SET */
};
struct pattern {
    uint32_t size;
    struct instruction program[];
};

/* ---- parsing ------------------------------------------------------------------------------------------- */

struct parser {
    struct reader in;
    struct instruction program[PATTERN_SIZE_MAX];
    uint32_t size, depth;
    bool failed;
};

static bool at_end(const struct parser *p) {
    return reader_remaining(&p->in) == 0;
}

static uint8_t peek(const struct parser *p) {
    return at_end(p) ? 0 : *p->in.pos;
}

static bool accept(struct parser *p, uint8_t byte) {
    if (p->failed || at_end(p) || peek(p) != byte) return false;
    (void)reader_u8(&p->in);
    return true;
}

/* Room for `count` instructions at `at`, what is behind moves up. */
static struct instruction *insert(struct parser *p, uint32_t at, uint32_t count) {
    if (p->failed || p->size + count > PATTERN_SIZE_MAX - 1) {
        p->failed = true;
        return &p->program[0];
    }
    memmove(&p->program[at + count], &p->program[at], (p->size - at) * sizeof p->program[0]);
    p->size += count;
    memset(&p->program[at], 0, count * sizeof p->program[0]);
    return &p->program[at];
}

static void emit_jump(struct parser *p, uint32_t at, enum op op, int32_t x, int32_t y) {
    struct instruction *instruction = insert(p, at, 1);
    if (p->failed) return;
    instruction->op = (uint8_t)op;
    instruction->x = (int16_t)x;
    instruction->y = (int16_t)y;
}

static void set_add(struct set *set, unsigned from, unsigned to) {
    for (unsigned byte = from; byte <= to; byte++)
        set->bits[byte / 64] |= UINT64_C(1) << byte % 64;
}

static bool set_has(const struct set *set, uint8_t byte) {
    return (set->bits[byte / 64] >> byte % 64 & 1) != 0;
}

static void set_invert(struct set *set) {
    for (unsigned i = 0; i < ARRAY_COUNT(set->bits); i++)
        set->bits[i] = ~set->bits[i];
}

static unsigned hex_digit(struct parser *p) {
    uint8_t c = reader_u8(&p->in);
    if (c >= '0' && c <= '9') return c - '0';
    if ((c | 32) >= 'a' && (c | 32) <= 'f') return (c | 32) - 'a' + 10;
    p->failed = true;
    return 0;
}

/* Behind a backslash. True: one byte, in *byte; else `set` has the bytes. */
static bool parse_escape(struct parser *p, uint8_t *byte, struct set *set) {
    uint8_t c = reader_u8(&p->in);
    *byte = c;
    switch (c | 32) {
    case 'd':
        set_add(set, '0', '9');
        break;
    case 'w':
        set_add(set, '0', '9');
        set_add(set, 'a', 'z');
        set_add(set, 'A', 'Z');
        set_add(set, '_', '_');
        break;
    case 's':
        set_add(set, ' ', ' ');
        set_add(set, '\t', '\r');
        break;
    default:
        if (c == 'x') *byte = (uint8_t)(16 * hex_digit(p));
        if (c == 'x') *byte = (uint8_t)(*byte + hex_digit(p));
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z', digit = c >= '0' && c <= '9';
        p->failed |= !reader_ok(&p->in) || digit || (letter && c != 'x');
        return true;
    }
    if (c < 'a') set_invert(set);
    return false;
}

/* Behind [ */
static void parse_class(struct parser *p, struct set *set) {
    bool inverted = accept(p, '^');
    for (bool first = true; !p->failed && (first || peek(p) != ']'); first = false) {
        uint8_t from = reader_u8(&p->in), to;
        struct set some = {{0}};
        if (!reader_ok(&p->in) || (from == '[' && peek(p) == ':')) p->failed = true;
        if (p->failed) return;
        if (from == '\\' && !parse_escape(p, &from, &some)) {
            for (unsigned i = 0; i < ARRAY_COUNT(set->bits); i++)
                set->bits[i] |= some.bits[i];
            continue;
        }
        to = from;
        bool range = reader_remaining(&p->in) >= 2 && peek(p) == '-' && p->in.pos[1] != ']';
        if (range) {
            (void)reader_u8(&p->in);
            to = reader_u8(&p->in);
            if (to == '\\' && !parse_escape(p, &to, &some)) p->failed = true;
        }
        if (to < from) p->failed = true;
        if (!p->failed) set_add(set, from, to);
    }
    if (!accept(p, ']')) p->failed = true;
    if (inverted) set_invert(set);
}

static void parse_alternatives(struct parser *p);

static void parse_group(struct parser *p) {
    if (accept(p, '?') && !accept(p, ':')) p->failed = true;
    if (++p->depth > PATTERN_DEPTH_MAX) p->failed = true;
    if (!p->failed) parse_alternatives(p);
    if (!accept(p, ')')) p->failed = true;
    p->depth--;
}

static void parse_atom(struct parser *p) {
    uint8_t c = reader_u8(&p->in);
    if (c == '(') {
        parse_group(p);
        return;
    }
    if (c == '^' || c == '$') {
        emit_jump(p, p->size, c == '^' ? OP_BEGIN : OP_END, 0, 0);
        return;
    }
    struct set set = {{0}};
    if (c == '*' || c == '+' || c == '?' || c == '{') p->failed = true;
    if (c == '.')
        set_add(&set, 0, 255);
    else if (c == '[')
        parse_class(p, &set);
    else if (c != '\\' || parse_escape(p, &c, &set))
        set_add(&set, c, c);
    struct instruction *instruction = insert(p, p->size, 1);
    if (!p->failed) *instruction = (struct instruction){.op = OP_SET, .set = set};
}

static void repeat_any(struct parser *p, uint32_t start) {
    int32_t size = (int32_t)(p->size - start);
    emit_jump(p, start, OP_SPLIT, 1, size + 2);
    emit_jump(p, p->size, OP_JUMP, -(size + 1), 0);
}

static void make_optional(struct parser *p, uint32_t start) {
    emit_jump(p, start, OP_SPLIT, 1, (int32_t)(p->size - start) + 1);
}

static void append_copy(struct parser *p, const struct instruction *piece, uint32_t size) {
    struct instruction *to = insert(p, p->size, size);
    if (!p->failed && size != 0) memcpy(to, piece, size * sizeof *piece);
}

static int32_t parse_number(struct parser *p, int32_t absent) {
    int32_t number = 0;
    bool any = false;
    while (!p->failed && peek(p) >= '0' && peek(p) <= '9') {
        number = 10 * number + (reader_u8(&p->in) - '0');
        any = true;
        if (number > PATTERN_REPEAT_MAX) p->failed = true;
    }
    return any ? number : absent;
}

/* Behind { : the piece from `start` on at least and at most so often; -1: any number. */
static void repeat_counted(struct parser *p, uint32_t start) {
    int32_t least = parse_number(p, -1), most = least;
    if (accept(p, ',')) most = parse_number(p, -1);
    if (least < 0 || (most >= 0 && most < least) || !accept(p, '}')) p->failed = true;
    uint32_t size = p->size - start;
    if (p->failed || size == 0) return; /* nothing, however often */
    struct instruction *piece = mem_calloc((size_t)size + 1, sizeof *piece);
    memcpy(piece, &p->program[start], size * sizeof *piece);
    p->size = start;
    for (int32_t i = 0; i < MAX(least, most) && !p->failed; i++) {
        uint32_t at = p->size;
        append_copy(p, piece, size);
        if (i >= least) make_optional(p, at);
    }
    if (most < 0) {
        uint32_t at = p->size;
        append_copy(p, piece, size);
        if (!p->failed) repeat_any(p, at);
    }
    mem_free(piece);
}

static void parse_piece(struct parser *p) {
    uint32_t start = p->size;
    parse_atom(p);
    if (p->failed) return;
    int32_t size = (int32_t)(p->size - start);
    bool repeated = true;
    if (accept(p, '*'))
        repeat_any(p, start);
    else if (accept(p, '+'))
        emit_jump(p, p->size, OP_SPLIT, -size, 1);
    else if (accept(p, '?'))
        make_optional(p, start);
    else if (accept(p, '{'))
        repeat_counted(p, start);
    else
        repeated = false;
    if (repeated) MAYBE(accept(p, '?')); /* lazy: the same names match */
}

static void parse_alternatives(struct parser *p) {
    uint32_t start = p->size;
    while (!p->failed && !at_end(p) && peek(p) != '|' && peek(p) != ')')
        parse_piece(p);
    if (!accept(p, '|')) return;
    int32_t size = (int32_t)(p->size - start);
    emit_jump(p, start, OP_SPLIT, 1, size + 2);
    uint32_t jump = p->size;
    emit_jump(p, jump, OP_JUMP, 0, 0);
    if (p->failed) return;
    parse_alternatives(p); /* as deep as there is room for alternatives */
    if (!p->failed) p->program[jump].x = (int16_t)(p->size - jump);
}

enum status pattern_new(struct slice text, struct pattern **result) {
    if (text.size > PATTERN_TEXT_SIZE_MAX) return STATUS_INVALID_PATTERN;
    struct parser *p = mem_calloc(1, sizeof *p);
    p->in = reader_make(text);
    parse_alternatives(p);
    enum status status = p->failed || !at_end(p) ? STATUS_INVALID_PATTERN : STATUS_OK;
    if (status == STATUS_OK) {
        p->program[p->size++] = (struct instruction){.op = OP_MATCH};
        struct pattern *pattern = *result = mem_alloc(sizeof *pattern + p->size * sizeof *pattern->program);
        pattern->size = p->size;
        memcpy(pattern->program, p->program, p->size * sizeof *pattern->program);
    }
    mem_free(p);
    return status;
}

void pattern_free(struct pattern *pattern) {
    mem_free(pattern);
}

/* ---- matching ------------------------------------------------------------------------------------------ */

struct states {
    uint16_t list[PATTERN_SIZE_MAX];
    uint32_t count;
    bool has[PATTERN_SIZE_MAX];
};

/* The state and all that it leads to without a byte. */
static void add_state(const struct pattern *pattern, struct states *states, uint32_t state, bool begin,
                      bool end) {
    uint16_t waiting[PATTERN_SIZE_MAX];
    uint32_t count = 0;
    if (!states->has[state]) waiting[count++] = (uint16_t)state;
    states->has[state] = true;
    while (count > 0) {
        uint32_t at = waiting[--count];
        const struct instruction *instruction = &pattern->program[at];
        uint32_t next[2], next_count = 0;
        states->list[states->count++] = (uint16_t)at;
        if (instruction->op == OP_SPLIT || instruction->op == OP_JUMP)
            next[next_count++] = at + (uint32_t)instruction->x;
        if (instruction->op == OP_SPLIT) next[next_count++] = at + (uint32_t)instruction->y;
        if ((instruction->op == OP_BEGIN && begin) || (instruction->op == OP_END && end))
            next[next_count++] = at + 1;
        for (uint32_t i = 0; i < next_count; i++) {
            ASSERT_LT(next[i], pattern->size);
            if (states->has[next[i]]) continue;
            states->has[next[i]] = true;
            waiting[count++] = (uint16_t)next[i];
        }
    }
}

bool pattern_matches(const struct pattern *pattern, struct slice name) {
    struct states both[2], *now = &both[0], *next = &both[1];
    memset(now, 0, sizeof *now);
    add_state(pattern, now, 0, true, name.size == 0);
    for (size_t i = 0; i < name.size && now->count > 0; i++) {
        memset(next, 0, sizeof *next);
        for (uint32_t s = 0; s < now->count; s++) {
            const struct instruction *instruction = &pattern->program[now->list[s]];
            if (instruction->op == OP_SET && set_has(&instruction->set, name.data[i]))
                add_state(pattern, next, now->list[s] + 1U, false, i + 1 == name.size);
        }
        struct states *swap = now;
        now = next;
        next = swap;
    }
    return now->has[pattern->size - 1];
}
