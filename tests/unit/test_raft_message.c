// SPDX-License-Identifier: Apache-2.0
/* Messages between members as bytes: what is encoded is decoded, what is cut, changed or made up is refused.
 */
#include "lib/test.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/prng.h"
#include "raft/raft_message.h"

#define ENTRIES_MAX 5

/* A message with everything it points to. */
struct sample {
    struct raft_message message;
    struct raft_entry entries[ENTRIES_MAX];
    struct raft_config *config;
    uint8_t bytes[64];
};

static void draw_entries(struct sample *s, struct prng *prng, uint64_t base) {
    s->message.entry_count = (uint32_t)prng_below(prng, ENTRIES_MAX + 1);
    s->message.entries = s->entries;
    uint64_t term = s->message.append.prev_term;
    for (uint32_t i = 0; i < s->message.entry_count; i++) {
        uint64_t covered = prng_range(prng, 1, 1000);
        term += prng_below(prng, 2);
        s->entries[i] = (struct raft_entry){base,
                                            base + covered,
                                            term,
                                            (enum raft_entry_kind)prng_below(prng, 3),
                                            {slice_make(s->bytes, prng_below(prng, sizeof s->bytes)), NULL}};
        base += covered;
    }
    s->message.term = MAX(s->message.term, term);
}

static void draw(struct sample *s, struct prng *prng, enum raft_message_kind kind) {
    memset(s, 0, sizeof *s);
    struct raft_message *m = &s->message;
    for (size_t i = 0; i < sizeof s->bytes; i++)
        s->bytes[i] = (uint8_t)prng_next(prng);
    uint64_t magnitude = prng_below(prng, 62);
    uint64_t *words = &m->vote.log_end;
    for (size_t i = 0; i < 7; i++)
        words[i] = prng_next(prng) >> (63 - magnitude);
    m->kind = kind;
    m->flags = (uint8_t)prng_below(prng, 64);
    m->group = prng_next(prng);
    m->from = raft_id((uint32_t)prng_next(prng), 1);
    m->to = raft_id((uint32_t)prng_next(prng), 2);
    m->term = prng_next(prng) >> 20;
    if (kind == RAFT_APPEND) m->append.prev_term = MIN(m->append.prev_term, m->term);
    if (kind == RAFT_APPEND) draw_entries(s, prng, m->append.prev);
    if (kind == RAFT_REPAIR_REPLY) {
        uint64_t from = m->repair.from;
        m->append.prev_term = 0;
        draw_entries(s, prng, from);
        m->repair.from = from;
    }
    if (kind != RAFT_SNAPSHOT_PIECE) return;
    s->config = mem_calloc(1, raft_config_size(3));
    s->config->member_count = 3;
    for (uint32_t i = 0; i < 3; i++)
        s->config->members[i] = (struct raft_member){raft_id(i + 1, 7), i == 2 ? RAFT_LEARNER : RAFT_VOTER};
    m->piece.snapshot.config = s->config;
    m->data = (struct shared_slice){slice_make(s->bytes, prng_below(prng, sizeof s->bytes)), NULL};
}

static struct buffer *encode(const struct raft_message *m) {
    struct writer scratch;
    struct chain chain;
    writer_init(&scratch);
    chain_init(&chain);
    raft_message_encode(m, &scratch, &chain);
    struct buffer *bytes = chain_flatten(&chain);
    chain_release(&chain);
    writer_release(&scratch);
    return bytes;
}

static void print(struct writer *to, const struct raft_message *m) {
    writer_clear(to);
    raft_message_print(to, m);
    writer_u8(to, 0);
}

static void assert_same(const struct raft_message *a, const struct raft_message *b) {
    struct writer text_a, text_b;
    writer_init(&text_a);
    writer_init(&text_b);
    print(&text_a, a);
    print(&text_b, b);
    assert_string_equal((const char *)text_a.data, (const char *)text_b.data);
    writer_release(&text_a);
    writer_release(&text_b);
    assert_int_equal(a->group, b->group);
    assert_int_equal(a->entry_count, b->entry_count);
    for (uint32_t i = 0; i < a->entry_count; i++)
        assert_true(slice_equal(a->entries[i].payload.bytes, b->entries[i].payload.bytes));
    assert_true(slice_equal(a->data.bytes, b->data.bytes));
    /* What traces do not show is in the bytes: encoded again they are the same. */
    struct buffer *bytes_a = encode(a), *bytes_b = encode(b);
    assert_true(
        slice_equal(slice_make(bytes_a->data, bytes_a->size), slice_make(bytes_b->data, bytes_b->size)));
    buffer_unref(bytes_a);
    buffer_unref(bytes_b);
}

static enum status decode(struct raft_message_decoder *decoder, const uint8_t *bytes, size_t size) {
    return raft_message_decode(decoder, (struct shared_slice){slice_make(bytes, size), NULL});
}

static void every_kind_comes_back(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 1);
    struct raft_message_decoder decoder;
    raft_message_decoder_init(&decoder);
    for (int round = 0; round < 200; round++) {
        for (unsigned kind = RAFT_PREVOTE; kind < RAFT_MESSAGE_KIND_END; kind++) {
            struct sample s;
            draw(&s, &prng, (enum raft_message_kind)kind);
            struct buffer *bytes = encode(&s.message);
            assert_int_equal(decode(&decoder, bytes->data, bytes->size), STATUS_OK);
            assert_same(&s.message, &decoder.message);
            buffer_unref(bytes);
            mem_free(s.config);
        }
    }
    raft_message_decoder_release(&decoder);
}

static void nothing_shorter_or_longer_is_a_message(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 2);
    struct raft_message_decoder decoder;
    raft_message_decoder_init(&decoder);
    for (unsigned kind = RAFT_PREVOTE; kind < RAFT_MESSAGE_KIND_END; kind++) {
        struct sample s;
        draw(&s, &prng, (enum raft_message_kind)kind);
        struct buffer *bytes = encode(&s.message);
        size_t data = kind == RAFT_SNAPSHOT_PIECE ? s.message.data.bytes.size
                                                  : 0; /* has no length of its own */
        for (size_t size = 0; size < bytes->size - data; size++)
            assert_int_equal(decode(&decoder, bytes->data, size), STATUS_MALFORMED);
        uint8_t *longer = mem_alloc(bytes->size + 1);
        memcpy(longer, bytes->data, bytes->size);
        longer[bytes->size] = 0;
        if (kind != RAFT_SNAPSHOT_PIECE)
            assert_int_equal(decode(&decoder, longer, bytes->size + 1), STATUS_MALFORMED);
        mem_free(longer);
        buffer_unref(bytes);
        mem_free(s.config);
    }
    raft_message_decoder_release(&decoder);
}

static void what_makes_no_sense_is_refused(void **state) {
    (void)state;
    struct raft_message_decoder decoder;
    raft_message_decoder_init(&decoder);
    struct raft_entry entry = {5, 6, 2, RAFT_ENTRY_DATA, {SLICE_LITERAL("x"), NULL}};
    struct raft_message m = {
        .kind = RAFT_APPEND, .from = 1, .to = 2, .term = 3, .entries = &entry, .entry_count = 1};
    m.append.prev = 5;
    m.append.prev_term = 2;
    struct buffer *bytes = encode(&m);
    assert_int_equal(decode(&decoder, bytes->data, bytes->size), STATUS_OK);
    bytes->data[0] = RAFT_MESSAGE_VERSION + 1;
    assert_int_equal(decode(&decoder, bytes->data, bytes->size), STATUS_VERSION);
    bytes->data[0] = RAFT_MESSAGE_VERSION;
    bytes->data[1] = RAFT_MESSAGE_KIND_END;
    assert_int_equal(decode(&decoder, bytes->data, bytes->size), STATUS_MALFORMED);
    bytes->data[1] = 0;
    assert_int_equal(decode(&decoder, bytes->data, bytes->size), STATUS_MALFORMED);
    buffer_unref(bytes);
    const struct {
        uint64_t prev, prev_term, term, end;
    } wrong[] = {{5, 3, 3, 6}, /* the entry's term is below that of the one before */
                 {5, 2, 1, 6}, /* it is above the sender's */
                 {5, 2, 3, 5}, /* it covers nothing */
                 {5, 2, RAFT_TERM_MAX + 1, 6},
                 {RAFT_POSITION_MAX, 2, 3, RAFT_POSITION_MAX + 1},
                 {UINT64_MAX - 1, 2, 3, UINT64_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        m.append.prev = entry.base = wrong[i].prev;
        m.append.prev_term = wrong[i].prev_term;
        m.term = wrong[i].term;
        entry.end = wrong[i].end;
        bytes = encode(&m);
        assert_int_equal(decode(&decoder, bytes->data, bytes->size), STATUS_MALFORMED);
        buffer_unref(bytes);
    }
    raft_message_decoder_release(&decoder);
}

static void configurations_are_checked(void **state) {
    (void)state;
    struct raft_config *config = NULL;
    static const struct {
        const char *bytes;
        size_t size;
        enum status status;
    } cases[] = {
        {"\1\1\0\0\0\0\0\0\0\1\1", 11, STATUS_OK},
        {"\2\1\0\0\0\0\0\0\0\1\1", 11, STATUS_VERSION},
        {"\1\1\0\0\0\0\0\0\0\1\4", 11, STATUS_MALFORMED},                   /* no voter */
        {"\1\1\0\0\0\0\0\0\0\0\1", 11, STATUS_MALFORMED},                   /* nobody */
        {"\1\1\0\0\0\0\0\0\0\1\5", 11, STATUS_MALFORMED},                   /* voter and learner */
        {"\1\1\0\0\0\0\0\0\0\1\11", 11, STATUS_MALFORMED},                  /* what is flag 8? */
        {"\1\2\0\0\0\0\0\0\0\1\1\0\0\0\0\0\0\0\1\1", 20, STATUS_MALFORMED}, /* twice */
        {"\1\0", 2, STATUS_MALFORMED},
        {"\1\1\0\0", 4, STATUS_MALFORMED},
        {"", 0, STATUS_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(raft_config_decode(slice_make(cases[i].bytes, cases[i].size), &config),
                         cases[i].status);
        if (cases[i].status == STATUS_OK) mem_free(config);
    }
}

static void traces_are_readable(void **state) {
    (void)state;
    struct raft_entry entry = {5, 6, 3, RAFT_ENTRY_NOOP, {SLICE_EMPTY, NULL}};
    struct raft_message m = {.kind = RAFT_APPEND,
                             .from = raft_id(1, 0),
                             .to = raft_id(2, 4),
                             .term = 3,
                             .entries = &entry,
                             .entry_count = 1};
    m.append.prev = 5;
    m.append.prev_term = 2;
    m.append.commit_end = 4;
    struct writer text;
    writer_init(&text);
    print(&text, &m);
    assert_string_equal((const char *)text.data, "Append 1->2.4 term=3 prev=5/2 commit=4 entries=[5,6)/3n");
    m = (struct raft_message){
        .kind = RAFT_ACK, .flags = RAFT_FLAG_REJECTED, .from = raft_id(2, 0), .to = raft_id(1, 0)};
    m.ack.prev = 7;
    m.ack.hint = 5;
    m.ack.hint_term = 2;
    print(&text, &m);
    assert_string_equal((const char *)text.data,
                        "Ack 2->1 term=0 match=0 accepted=0 prev=7 hint=5/2 rejected");
    writer_release(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back),
        cmocka_unit_test(nothing_shorter_or_longer_is_a_message),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(configurations_are_checked),
        cmocka_unit_test(traces_are_readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
