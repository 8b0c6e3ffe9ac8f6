// SPDX-License-Identifier: Apache-2.0
#include "broker/raft_store.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "broker/keys.h"
#include "wire/record_batch.h"

#define VALUE_VERSION 1

enum raft_key {
    RAFT_KEY_APPLIED = 'a',
    RAFT_KEY_CONFIG = 'c',
    RAFT_KEY_FLOOR = 'f',
    RAFT_KEY_HARD = 'h',
    RAFT_KEY_INCOMING = 'i',
    RAFT_KEY_PIECE = 'p',
    RAFT_KEY_START = 's',
    RAFT_KEY_TERM = 't'
};
#define PLAIN_HEAD_SIZE 14
#define NUMBERS_MAX     5u
#define GAPS_MAX        256u

/* Types of control records, as in Kafka's own metadata log (KIP-595, KIP-853). */
enum { CONTROL_LEADER_CHANGE = 2, CONTROL_VOTERS = 6 };

/* ---- entries ------------------------------------------------------------------------------------------ */

static struct shared_slice encode_plain(const struct raft_entry *entry) {
    struct buffer *buffer = buffer_new(PLAIN_HEAD_SIZE + entry->payload.bytes.size);
    uint8_t *p = buffer->data;
    p[0] = VALUE_VERSION;
    p[1] = (uint8_t)entry->kind;
    store_be32(p + 2, (uint32_t)(entry->end - entry->base));
    store_be64(p + 6, entry->term);
    if (entry->payload.bytes.size != 0)
        memcpy(p + PLAIN_HEAD_SIZE, entry->payload.bytes.data, entry->payload.bytes.size);
    return (struct shared_slice){slice_make(p, buffer->size), buffer};
}

/* With a reference for the caller. */
static struct shared_slice encode_entry(const struct raft_entry *entry, enum raft_format format) {
    if (format == RAFT_FORMAT_PLAIN) return encode_plain(entry);
    if (entry->kind == RAFT_ENTRY_DATA) return shared_slice_ref(entry->payload);
    int16_t type = entry->kind == RAFT_ENTRY_NOOP ? CONTROL_LEADER_CHANGE : CONTROL_VOTERS;
    struct buffer *buffer = record_batch_control(type, entry->payload.bytes);
    record_batch_set_base(buffer->data, (int64_t)entry->base, (int32_t)entry->term);
    return (struct shared_slice){slice_make(buffer->data, buffer->size), buffer};
}

static bool parse_plain(struct shared_slice value, uint64_t end, struct raft_entry *entry) {
    struct reader in = reader_make(value.bytes);
    uint8_t version = reader_u8(&in);
    uint8_t kind = reader_u8(&in);
    uint32_t count = reader_be32(&in);
    uint64_t term = reader_be64(&in);
    if (!reader_ok(&in) || version != VALUE_VERSION || kind > RAFT_ENTRY_CONFIG || count == 0 || count > end)
        return false;
    *entry = (struct raft_entry){.base = end - count,
                                 .end = end,
                                 .term = term,
                                 .kind = (enum raft_entry_kind)kind,
                                 .payload = {slice_make(in.pos, reader_remaining(&in)), value.owner}};
    return true;
}

static bool parse_batch(struct shared_slice value, uint64_t end, struct raft_entry *entry) {
    struct record_batch batch;
    if (record_batch_read_trusted(value.bytes, &batch) != STATUS_OK || batch.leader_epoch < 0 ||
        (uint64_t)record_batch_last_offset(&batch) + 1 != end || batch.bytes.size != value.bytes.size)
        return false;
    *entry = (struct raft_entry){.base = (uint64_t)batch.base_offset,
                                 .end = end,
                                 .term = (uint64_t)batch.leader_epoch,
                                 .kind = RAFT_ENTRY_DATA,
                                 .payload = value};
    if (!record_batch_is_of_log(&batch)) return true;
    int16_t type;
    if (record_batch_control_read(&batch, &type, &entry->payload.bytes) != STATUS_OK) return false;
    entry->kind = type == CONTROL_VOTERS ? RAFT_ENTRY_CONFIG : RAFT_ENTRY_NOOP;
    return type == CONTROL_VOTERS || type == CONTROL_LEADER_CHANGE;
}

bool raft_entry_parse(struct slice key, struct shared_slice value, enum raft_format format,
                      struct raft_entry *entry) {
    int64_t last_offset;
    if (!key_log_parse(key, &last_offset) || last_offset == INT64_MAX) return false;
    uint64_t end = (uint64_t)last_offset + 1;
    return format == RAFT_FORMAT_PLAIN ? parse_plain(value, end, entry) : parse_batch(value, end, entry);
}

/* ---- loading ------------------------------------------------------------------------------------------ */

struct load {
    struct store *store;
    uint64_t group;
    enum raft_format format;
    struct raft_loaded *loaded;
    struct diagnostic *diagnostic;
    uint32_t term_capacity;
    bool any_entry, start_known;
};

static enum status corrupt(struct load *load, const char *what) {
    return diagnose(load->diagnostic, STATUS_CORRUPT, "the log of group %" PRIu64 " is damaged: %s",
                    load->group, what);
}

/* Fixed values: version and `count` numbers. NOT_FOUND leaves the numbers alone. */
static enum status load_numbers(struct load *load, enum raft_key what, unsigned count, uint64_t **numbers) {
    struct key key = key_raft(load->group, (uint8_t)what, 0);
    struct shared_slice value;
    enum status status = store_get_blocking(load->store, key_slice(&key), &value);
    if (status != STATUS_OK) return status;
    load->loaded->found = true;
    struct reader in = reader_make(value.bytes);
    uint8_t version = reader_u8(&in);
    for (unsigned i = 0; i < count; i++)
        *numbers[i] = reader_be64(&in);
    bool ok = reader_ok(&in) && version == VALUE_VERSION && reader_remaining(&in) == 0;
    shared_slice_unref(value);
    return ok ? STATUS_OK : corrupt(load, "a record of consensus does not parse");
}

static enum status load_fixed(struct load *load) {
    struct raft_start *start = &load->loaded->start;
    enum status status = load_numbers(
        load, RAFT_KEY_HARD, 3,
        (uint64_t *[]){&start->hard_state.term, &start->hard_state.vote, &start->hard_state.commit_end});
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) return status;
    status = load_numbers(load, RAFT_KEY_START, 2, (uint64_t *[]){&start->log_start, &start->log_start_term});
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) return status;
    load->start_known = status == STATUS_OK;
    status = load_numbers(load, RAFT_KEY_APPLIED, 1, (uint64_t *[]){&start->applied_end});
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status load_incoming(struct load *load) {
    struct raft_incoming *incoming = &load->loaded->incoming;
    uint64_t checksum, complete;
    enum status status = load_numbers(
        load, RAFT_KEY_INCOMING, 5,
        (uint64_t *[]){&incoming->id, &incoming->end, &incoming->bytes, &checksum, &complete});
    if (status != STATUS_OK) return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    if (incoming->id == 0 || checksum > UINT32_MAX || complete > 1)
        return corrupt(load, "what is said of a snapshot that came in does not parse");
    incoming->checksum = (uint32_t)checksum;
    incoming->complete = complete != 0;
    if (incoming->complete) return STATUS_OK;
    load->loaded->start.incoming_id = incoming->id;
    load->loaded->start.incoming_end = incoming->end;
    load->loaded->start.incoming_offset = incoming->bytes;
    return STATUS_OK;
}

static bool unreadable(enum status status) {
    return status == STATUS_CORRUPT || status == STATUS_IO;
}

static struct store_iterator *open_range(const struct load *load, const struct key *lower,
                                         const struct key *upper) {
    return store_iterator_open(load->store, key_slice(lower), key_slice(upper), STORE_ITERATOR_BLOCKING, NULL,
                               NULL);
}

/* What stands above `lower`, behind the gap that the iterator met; false: the gap goes on past the log. */
static bool pass_gap(const struct store_iterator *it, const struct key *upper, struct key *first,
                     struct key *last, struct key *behind) {
    struct slice from, to;
    store_iterator_gap(it, &from, &to);
    if (slice_compare(to, key_slice(upper)) >= 0 || to.size + 1 > sizeof behind->bytes) return false;
    *first = (struct key){.size = from.size};
    *last = *behind = (struct key){.size = to.size};
    memcpy(first->bytes, from.data, from.size);
    memcpy(last->bytes, to.data, to.size);
    memcpy(behind->bytes, to.data, to.size);
    behind->bytes[behind->size++] = 0;
    return true;
}

/* The last entries cannot be read, nothing stands behind them, and the last of these keys was not deleted: so
 * the log ends with it. Its extent is kept, and what cannot be read is damage for the core (raft.h, D9). */
static enum status load_damaged_end(struct load *load, const struct key *first, const struct key *last,
                                    const struct key *behind) {
    struct raft_start *start = &load->loaded->start;
    int64_t last_offset, before;
    struct store_iterator *it = open_range(load, last, behind);
    bool is_there = unreadable(store_iterator_seek(it, key_slice(last)));
    store_iterator_close(it);
    if (!is_there || !key_log_parse(key_slice(last), &last_offset) || last_offset == INT64_MAX)
        return corrupt(load, "its last entries cannot be read");
    start->log_end = (uint64_t)last_offset + 1;
    start->damaged_to = start->log_end;
    start->damaged_from = start->log_start;
    struct key lower = key_prefix(load->group, KEY_LOG);
    if (slice_compare(key_slice(&lower), key_slice(first)) >= 0) return STATUS_OK;
    it = open_range(load, &lower, first);
    if (store_iterator_seek_prev(it, key_slice(first)) == STATUS_OK &&
        key_log_parse(store_iterator_key(it), &before))
        start->damaged_from = (uint64_t)before + 1;
    store_iterator_close(it);
    return STATUS_OK;
}

/* END: there is no entry. */
static enum status load_end(struct load *load) {
    struct key lower = key_prefix(load->group, KEY_LOG), upper = key_prefix(load->group, KEY_TIME);
    struct key first, last;
    for (uint32_t gaps = 0; gaps < GAPS_MAX; gaps++) {
        struct raft_entry entry = {0};
        struct store_iterator *it = open_range(load, &lower, &upper);
        enum status status = store_iterator_seek_prev(it, key_slice(&upper));
        bool parses = status == STATUS_OK && raft_entry_parse(store_iterator_key(it),
                                                              store_iterator_value(it), load->format, &entry);
        bool further = unreadable(status) && pass_gap(it, &upper, &first, &last, &lower);
        store_iterator_close(it);
        if (parses) load->loaded->start.log_end = entry.end;
        if (status == STATUS_OK && !parses) return corrupt(load, "its last entry does not parse");
        if (status == STATUS_END && gaps > 0) return load_damaged_end(load, &first, &last, &lower);
        if (!further) return status;
    }
    return corrupt(load, "its last entries cannot be read");
}

/* A log that was never compacted begins with its first entry; where that is damaged, where logs begin. */
static enum status load_begin(struct load *load) {
    struct key lower = key_prefix(load->group, KEY_LOG), upper = key_prefix(load->group, KEY_TIME);
    struct store_iterator *it = open_range(load, &lower, &upper);
    struct raft_entry entry;
    enum status status = store_iterator_seek(it, key_slice(&lower));
    if (status == STATUS_OK &&
        !raft_entry_parse(store_iterator_key(it), store_iterator_value(it), load->format, &entry))
        status = corrupt(load, "its first entry does not parse");
    else if (status == STATUS_OK)
        load->loaded->start.log_start = entry.base;
    else if (unreadable(status))
        status = STATUS_OK;
    store_iterator_close(it);
    return status;
}

static enum status load_ends(struct load *load) {
    struct raft_start *start = &load->loaded->start;
    start->log_end = start->log_start;
    enum status status = load_end(load);
    if (status == STATUS_OK) load->loaded->found = load->any_entry = true;
    if (status == STATUS_OK && !load->start_known) status = load_begin(load);
    if (status == STATUS_END) return STATUS_OK;
    if (status == STATUS_OK && start->log_end < start->log_start)
        return corrupt(load, "it ends before it begins");
    return status;
}

/* A range that begins where the log does, or before, stands for the log's beginning. */
static enum status add_term(struct load *load, uint64_t position, uint64_t term) {
    struct raft_loaded *loaded = load->loaded;
    struct raft_start *start = &loaded->start;
    uint32_t n = start->term_count;
    if (n > 0 && loaded->terms[n - 1].term == term && position > start->log_start) return STATUS_OK;
    if (n > 0 && (loaded->terms[n - 1].term > term || position <= loaded->terms[n - 1].start))
        if (position > start->log_start) return corrupt(load, "its terms do not ascend");
    if (position >= start->log_end) return corrupt(load, "a term begins behind its end");
    if (position < start->log_start && !load->start_known) start->log_start_term = term;
    if (position <= start->log_start) n = 0;
    if (n == load->term_capacity) {
        load->term_capacity = MAX(load->term_capacity * 2, 4u);
        loaded->terms = mem_realloc(loaded->terms, load->term_capacity * sizeof *loaded->terms);
    }
    loaded->terms[n] = (struct raft_term_start){term, MAX(position, start->log_start)};
    start->term_count = n + 1;
    return STATUS_OK;
}

static enum status load_terms(struct load *load) {
    struct raft_start *start = &load->loaded->start;
    struct key lower = key_raft(load->group, RAFT_KEY_TERM, 0);
    struct key upper = key_raft(load->group, RAFT_KEY_TERM + 1, 0);
    struct store_iterator *it = store_iterator_open(load->store, key_slice(&lower), key_slice(&upper),
                                                    STORE_ITERATOR_BLOCKING, NULL, NULL);
    enum status status = store_iterator_seek(it, key_slice(&lower));
    while (status == STATUS_OK) {
        uint8_t what;
        uint64_t position;
        struct reader in = reader_make(store_iterator_value(it).bytes);
        uint64_t term = reader_be64(&in);
        if (!key_raft_parse(store_iterator_key(it), &what, &position) || !reader_ok(&in))
            status = corrupt(load, "a term does not parse");
        /* An empty log may keep the term of what was there: the first entry to come finds it known. */
        else if (start->log_start < start->log_end || position > start->log_start)
            status = add_term(load, position, term);
        if (status == STATUS_OK) status = store_iterator_next(it);
    }
    store_iterator_close(it);
    if (status != STATUS_END) return status;
    if ((start->term_count > 0) != (start->log_start < start->log_end))
        return corrupt(load, "it has entries without a term");
    uint64_t last = start->term_count == 0 ? start->log_start_term
                                           : load->loaded->terms[start->term_count - 1].term;
    if (start->term_count > 0 && load->loaded->terms[0].start != start->log_start)
        return corrupt(load, "its first entry has no term");
    if (start->term_count > 0 && start->log_start_term > load->loaded->terms[0].term)
        return corrupt(load, "its terms do not ascend");
    return last > start->hard_state.term ? corrupt(load, "its last term was never voted in") : STATUS_OK;
}

static enum status load_configs(struct load *load) {
    struct raft_loaded *loaded = load->loaded;
    struct key lower = key_raft(load->group, RAFT_KEY_CONFIG, 0);
    struct key upper = key_raft(load->group, RAFT_KEY_CONFIG + 1, 0);
    struct store_iterator *it = store_iterator_open(load->store, key_slice(&lower), key_slice(&upper),
                                                    STORE_ITERATOR_BLOCKING, NULL, NULL);
    struct raft_config **configs[] = {&loaded->config, &loaded->config_before};
    uint64_t *positions[] = {&loaded->start.config_position, &loaded->start.config_before_position};
    enum status status = store_iterator_seek_prev(it, key_slice(&upper));
    for (unsigned i = 0; i < 2 && status == STATUS_OK; i++) {
        uint8_t what;
        loaded->found = true;
        if (!key_raft_parse(store_iterator_key(it), &what, positions[i]) ||
            raft_config_decode(store_iterator_value(it).bytes, configs[i]) != STATUS_OK ||
            *positions[i] > loaded->start.log_end)
            status = corrupt(load, "a configuration does not parse");
        if (status == STATUS_OK) status = store_iterator_prev(it);
    }
    store_iterator_close(it);
    return status == STATUS_END ? STATUS_OK : status;
}

enum status raft_store_load(struct store *store, uint64_t group, enum raft_format format,
                            struct raft_loaded *loaded, struct diagnostic *diagnostic) {
    *loaded = (struct raft_loaded){.start = {.group = group}};
    diagnostic->text[0] = 0;
    struct load load = {
        .store = store, .group = group, .format = format, .loaded = loaded, .diagnostic = diagnostic};
    enum status status = load_fixed(&load);
    if (status == STATUS_OK) status = load_ends(&load);
    if (status == STATUS_OK) status = load_terms(&load);
    if (status == STATUS_OK) status = load_configs(&load);
    if (status == STATUS_OK) status = load_incoming(&load);
    struct raft_start *start = &loaded->start;
    start->applied_end = MAX(start->applied_end, start->log_start);
    if (status == STATUS_OK && start->applied_end > start->log_end)
        status = corrupt(&load, "more is applied than it holds");
    if (status != STATUS_OK && (!unreadable(status) || diagnostic->text[0] == 0))
        diagnose(diagnostic, status, "the log of group %" PRIu64 " cannot be read: %s", group,
                 status_text(status));
    if (status != STATUS_OK) {
        raft_loaded_release(loaded);
        return status;
    }
    start->terms = loaded->terms;
    start->config = loaded->config;
    start->config_before = loaded->config_before;
    if (start->damaged_to == 0) start->damaged_from = start->damaged_to = start->log_end;
    start->damaged_from = MAX(start->damaged_from, start->log_start);
    return STATUS_OK;
}

void raft_loaded_release(struct raft_loaded *loaded) {
    mem_free(loaded->terms);
    mem_free(loaded->config);
    mem_free(loaded->config_before);
    *loaded = (struct raft_loaded){0};
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static void put_bytes(struct store_write *write, const struct key *key, struct slice value) {
    store_put(write, key_slice(key), (struct shared_slice){value, NULL});
}

static void put_numbers(struct store_write *write, uint64_t group, enum raft_key what, unsigned count,
                        const uint64_t *numbers) {
    uint8_t value[1 + NUMBERS_MAX * 8] = {VALUE_VERSION};
    ASSERT_LE(count, NUMBERS_MAX);
    for (unsigned i = 0; i < count; i++)
        store_be64(value + 1 + 8 * i, numbers[i]);
    struct key key = key_raft(group, (uint8_t)what, 0);
    put_bytes(write, &key, slice_make(value, 1 + 8 * count));
}

static void delete_from(struct store_write *write, uint64_t group, enum raft_key what, uint64_t from,
                        uint64_t to) {
    struct key lower = key_raft(group, (uint8_t)what, from), upper = key_raft(group, (uint8_t)what, to);
    if (from < to) store_delete_range(write, key_slice(&lower), key_slice(&upper));
}

static void put_config(struct store_write *write, uint64_t group, uint64_t position, struct slice bytes) {
    struct key key = key_raft(group, RAFT_KEY_CONFIG, position);
    put_bytes(write, &key, bytes);
}

void raft_store_put_config(struct store_write *write, uint64_t group, uint64_t log_end,
                           const struct raft_config *config) {
    struct buffer *bytes = raft_config_encode(config);
    put_config(write, group, log_end, slice_make(bytes->data, bytes->size));
    buffer_unref(bytes);
}

void raft_store_create(struct store_write *write, uint64_t group, const struct raft_config *config) {
    raft_store_put_config(write, group, 0, config);
}

void raft_store_put_hard_state(struct store_write *write, uint64_t group,
                               const struct raft_hard_state *state) {
    put_numbers(write, group, RAFT_KEY_HARD, 3, (uint64_t[]){state->term, state->vote, state->commit_end});
}

void raft_store_put_applied(struct store_write *write, uint64_t group, uint64_t applied_end) {
    put_numbers(write, group, RAFT_KEY_APPLIED, 1, &applied_end);
}

static void put_term(struct store_write *write, uint64_t group, uint64_t position, uint64_t term) {
    uint8_t value[8];
    store_be64(value, term);
    struct key key = key_raft(group, RAFT_KEY_TERM, position);
    put_bytes(write, &key, slice_make(value, sizeof value));
}

/* What a repair puts stands over bytes that cannot be read: the deletion says that nothing of them is needed.
 * It begins right behind the entry before and ends where the next one may begin, so that pieces meet. */
static void delete_damaged(struct store_write *write, uint64_t group, const struct raft_effects *effects) {
    uint64_t from = effects->entries[0].base, to = effects->entries[effects->entry_count - 1].end;
    struct key lower = key_prefix(group, KEY_LOG), upper = key_log(group, (int64_t)to);
    if (from > 0) {
        lower = key_log(group, (int64_t)from - 1);
        lower.bytes[lower.size++] = 0;
    }
    store_delete_range(write, key_slice(&lower), key_slice(&upper));
}

static void put_floor(struct store_write *write, uint64_t group, struct raft_floor floor) {
    if (floor.end != 0) put_numbers(write, group, RAFT_KEY_FLOOR, 2, (uint64_t[]){floor.end, floor.term});
}

void raft_store_leave_again(struct store_write *write, uint64_t group, struct raft_floor floor) {
    const struct key from[] = {key_group_start(group), key_raft(group, RAFT_KEY_FLOOR + 1, 0),
                               key_raft(group, RAFT_KEY_HARD + 1, 0)};
    const struct key to[] = {key_raft(group, RAFT_KEY_FLOOR, 0), key_raft(group, RAFT_KEY_HARD, 0),
                             key_group_start(group + 1)};
    for (unsigned i = 0; i < ARRAY_COUNT(from); i++)
        store_delete_range(write, key_slice(&from[i]), key_slice(&to[i]));
    put_floor(write, group, floor);
}

void raft_store_leave(struct store_write *write, const struct raft *raft, struct raft_floor floor) {
    raft_store_leave_again(write, raft->group, floor);
    raft_store_put_hard_state(write, raft->group,
                              &(struct raft_hard_state){.term = raft->term, .vote = raft->vote});
}

enum status raft_store_load_floor(struct store *store, uint64_t group, struct raft_floor *floor) {
    struct raft_loaded loaded = {0};
    struct load load = {.store = store, .group = group, .loaded = &loaded};
    *floor = (struct raft_floor){0};
    enum status status = load_numbers(&load, RAFT_KEY_FLOOR, 2, (uint64_t *[]){&floor->end, &floor->term});
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static uint64_t end_of_keys(struct load *load) {
    struct key lower = key_prefix(load->group, KEY_LOG), upper = key_prefix(load->group, KEY_TIME);
    struct store_iterator *it = open_range(load, &lower, &upper);
    enum status status = store_iterator_seek_prev(it, key_slice(&upper));
    int64_t last;
    uint64_t end = UINT64_MAX, start = 0, term;
    if (status == STATUS_OK && key_log_parse(store_iterator_key(it), &last)) end = (uint64_t)last + 1;
    store_iterator_close(it);
    if (status != STATUS_END) return end;
    status = load_numbers(load, RAFT_KEY_START, 2, (uint64_t *[]){&start, &term});
    return status == STATUS_OK || status == STATUS_NOT_FOUND ? start : UINT64_MAX;
}

/* Never below where the log that cannot be loaded was. */
static struct raft_floor floor_of_damaged(struct store *store, uint64_t group) {
    struct raft_loaded loaded = {0};
    struct load load = {.store = store, .group = group, .loaded = &loaded};
    struct raft_floor floor = {.end = end_of_keys(&load)};
    uint64_t vote, commit_end;
    enum status status = load_numbers(&load, RAFT_KEY_HARD, 3,
                                      (uint64_t *[]){&floor.term, &vote, &commit_end});
    if (status != STATUS_OK) floor.term = UINT64_MAX;
    return floor;
}

void raft_store_find_floor(struct store *store, uint64_t group, enum raft_format format,
                           struct raft_floor *floor) {
    struct raft_loaded loaded;
    struct diagnostic why;
    struct raft_floor last;
    enum status status = raft_store_load_floor(store, group, floor);
    if (status != STATUS_OK) *floor = (struct raft_floor){0};
    if (status == STATUS_OK) status = raft_store_load(store, group, format, &loaded, &why);
    if (status == STATUS_OK) {
        const struct raft_start *start = &loaded.start;
        uint32_t terms = start->term_count;
        last.end = start->log_end;
        last.term = terms == 0 ? start->log_start_term : start->terms[terms - 1].term;
        raft_loaded_release(&loaded);
    } else {
        last = floor_of_damaged(store, group);
    }
    bool later = last.term > floor->term || (last.term == floor->term && last.end > floor->end);
    if (last.end != 0 && later) *floor = last;
}

void raft_store_adopt(struct store_write *write, uint64_t group, const struct raft_adopted *log,
                      const struct raft_config *config) {
    ASSERT_LE(log->start, log->end);
    raft_store_create(write, group, config);
    put_numbers(write, group, RAFT_KEY_START, 2, (uint64_t[]){log->start, 0});
    if (log->start < log->end) put_term(write, group, log->start, 0);
    raft_store_put_hard_state(write, group, &(struct raft_hard_state){.term = 1, .commit_end = log->end});
    raft_store_put_applied(write, group, log->end);
}

static void put_entries(struct store_write *write, const struct raft *raft, enum raft_format format,
                        const struct raft_effects *effects) {
    for (uint32_t i = 0; i < effects->entry_count; i++) {
        const struct raft_entry *entry = &effects->entries[i];
        ASSERT(entry->end > entry->base && entry->end <= RAFT_NEVER / 2);
        uint64_t before;
        bool known = raft_term_at(raft, entry->base, &before);
        ASSERT(known);
        /* A truncation took the key with it, be it that of a compaction under way. */
        bool cut = effects->truncate && i == 0;
        if (before != entry->term || entry->base == raft->log.start || cut)
            put_term(write, raft->group, entry->base, entry->term);
        if (entry->kind == RAFT_ENTRY_CONFIG)
            put_config(write, raft->group, entry->end, entry->payload.bytes);
        struct shared_slice value = encode_entry(entry, format);
        struct key key = key_log(raft->group, (int64_t)entry->end - 1);
        store_put(write, key_slice(&key), value);
        shared_slice_unref(value);
    }
}

static void put_install(struct store_write *write, uint64_t group, const struct raft_snapshot *snapshot) {
    struct key lower = key_prefix(group, KEY_LOG), upper = key_prefix(group, KEY_TIME);
    store_delete_range(write, key_slice(&lower), key_slice(&upper));
    delete_from(write, group, RAFT_KEY_TERM, 0, UINT64_MAX);
    delete_from(write, group, RAFT_KEY_CONFIG, 0, UINT64_MAX);
    put_numbers(write, group, RAFT_KEY_START, 2, (uint64_t[]){snapshot->end, snapshot->term});
    struct buffer *bytes = raft_config_encode(snapshot->config);
    put_config(write, group, snapshot->end, slice_make(bytes->data, bytes->size));
    buffer_unref(bytes);
    raft_store_put_applied(write, group, snapshot->end);
}

void raft_store_put_incoming(struct store_write *write, uint64_t group,
                             const struct raft_incoming *incoming) {
    put_numbers(
        write, group, RAFT_KEY_INCOMING, 5,
        (uint64_t[]){incoming->id, incoming->end, incoming->bytes, incoming->checksum, incoming->complete});
}

void raft_store_put_piece(struct store_write *write, uint64_t group, uint64_t offset,
                          struct shared_slice bytes) {
    struct key key = key_raft(group, RAFT_KEY_PIECE, offset);
    store_put(write, key_slice(&key), bytes);
}

void raft_store_drop_incoming(struct store_write *write, uint64_t group) {
    struct key key = key_raft(group, RAFT_KEY_INCOMING, 0);
    store_delete(write, key_slice(&key));
    delete_from(write, group, RAFT_KEY_PIECE, 0, UINT64_MAX);
}

struct store_iterator *raft_store_pieces(struct store *store, uint64_t group, unsigned flags,
                                         void (*ready)(void *ctx), void *ctx) {
    struct key lower = key_raft(group, RAFT_KEY_PIECE, 0), upper = key_raft(group, RAFT_KEY_PIECE + 1, 0);
    return store_iterator_open(store, key_slice(&lower), key_slice(&upper), flags, ready, ctx);
}

enum status raft_store_piece_first(struct store_iterator *it, uint64_t group) {
    struct key first = key_raft(group, RAFT_KEY_PIECE, 0);
    return store_iterator_seek(it, key_slice(&first));
}

bool raft_store_is_repair(const struct raft *raft, const struct raft_effects *effects) {
    return effects->entry_count > 0 && effects->write != 0 && effects->write == raft->repair_write;
}

void raft_store_put(struct store_write *write, const struct raft *raft, enum raft_format format,
                    const struct raft_effects *effects) {
    uint64_t group = raft->group;
    if (effects->install != NULL) put_install(write, group, effects->install);
    if (effects->truncate) {
        uint64_t from = effects->truncate_from;
        struct key lower = key_log(group, (int64_t)from), upper = key_prefix(group, KEY_TIME);
        store_delete_range(write, key_slice(&lower), key_slice(&upper));
        delete_from(write, group, RAFT_KEY_TERM, from, UINT64_MAX);
        delete_from(write, group, RAFT_KEY_CONFIG, from + 1, UINT64_MAX);
    }
    if (raft_store_is_repair(raft, effects)) delete_damaged(write, group, effects);
    put_entries(write, raft, format, effects);
    /* With every write: it costs little beside entries, and keeps the commit hint fresh (D2). */
    raft_store_put_hard_state(write, group, &effects->hard_state);
}

static void put_config_record(struct store_write *write, uint64_t group,
                              const struct raft_config_record *record) {
    if (record->config == NULL) return;
    struct buffer *bytes = raft_config_encode(record->config);
    put_config(write, group, record->position, slice_make(bytes->data, bytes->size));
    buffer_unref(bytes);
}

void raft_store_put_records(struct store_write *write, const struct raft *raft, uint64_t applied_end,
                            const struct raft_incoming *incoming, struct raft_floor floor) {
    uint64_t group = raft->group;
    struct key lower = key_raft(group, 0, 0), upper = key_prefix(group, KEY_KIND_END);
    if (incoming->id != 0) { /* its pieces are not known here: around them */
        struct key first = key_raft(group, RAFT_KEY_INCOMING, 0), behind = key_raft(group, RAFT_KEY_START, 0);
        store_delete_range(write, key_slice(&lower), key_slice(&first));
        lower = behind;
    }
    store_delete_range(write, key_slice(&lower), key_slice(&upper));
    struct raft_hard_state state = raft_hard_state(raft);
    raft_store_put_hard_state(write, group, &state);
    raft_store_put_applied(write, group, applied_end);
    put_floor(write, group, floor);
    const struct raft_log *log = &raft->log;
    if (log->start > 0)
        put_numbers(write, group, RAFT_KEY_START, 2, (uint64_t[]){log->start, log->start_term});
    for (uint32_t i = 0; i < log->term_count; i++) {
        const struct raft_term_start *term = &log->terms[log->term_head + i];
        put_term(write, group, MAX(term->start, log->start), term->term);
    }
    put_config_record(write, group, &raft->before);
    put_config_record(write, group, &raft->latest);
}

void raft_store_compact(struct store_write *write, const struct raft *raft, uint64_t position) {
    uint64_t term;
    bool known = raft_term_at(raft, position, &term), begins_there = false;
    ASSERT(known);
    put_numbers(write, raft->group, RAFT_KEY_START, 2, (uint64_t[]){position, term});
    struct key lower = key_prefix(raft->group, KEY_LOG), upper = key_log(raft->group, (int64_t)position);
    store_delete_range(write, key_slice(&lower), key_slice(&upper));
    for (uint32_t i = 0; i < raft->log.term_count; i++) {
        begins_there = begins_there || raft->log.terms[raft->log.term_head + i].start == position;
    }
    /* The term of what follows may be known by a key below, which goes. Where it lies is not known here: the
     * core's terms begin at log_start, but that may have moved since the key was written. */
    delete_from(write, raft->group, RAFT_KEY_TERM, 0, position);
    if (!begins_there) put_term(write, raft->group, position, term);
}

enum status raft_store_config_at(struct store *store, uint64_t group, uint64_t position,
                                 struct raft_config **config) {
    struct key lower = key_raft(group, RAFT_KEY_CONFIG, 0), last = key_raft(group, RAFT_KEY_CONFIG, position);
    struct key upper = key_raft(group, RAFT_KEY_CONFIG + 1, 0);
    struct store_iterator *it = store_iterator_open(store, key_slice(&lower), key_slice(&upper),
                                                    STORE_ITERATOR_BLOCKING, NULL, NULL);
    enum status status = store_iterator_seek_prev(it, key_slice(&last));
    if (status == STATUS_END) status = STATUS_NOT_FOUND;
    if (status == STATUS_OK) status = raft_config_decode(store_iterator_value(it).bytes, config);
    store_iterator_close(it);
    return status;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static void read_ready(void *ctx) {
    struct raft_reader *read = ctx;
    read->ready(read);
}

void raft_reader_init(struct raft_reader *read, struct store *store, uint64_t group, enum raft_format format,
                      void (*ready)(struct raft_reader *read)) {
    *read = (struct raft_reader){.store = store, .group = group, .format = format, .ready = ready};
}

void raft_reader_release(struct raft_reader *read) {
    if (read->it != NULL) store_iterator_close(read->it);
    for (uint32_t i = 0; i < read->count; i++)
        shared_slice_unref(read->entries[i].payload);
    mem_free(read->entries);
    read->entries = NULL;
    read->it = NULL;
    read->count = read->capacity = 0;
    read->bytes = 0;
    read->positioned = false;
}

/* OK: go on. END: enough. */
static enum status take_entry(struct raft_reader *read) {
    struct raft_entry entry;
    struct shared_slice value = store_iterator_value(read->it);
    if (!raft_entry_parse(store_iterator_key(read->it), value, read->format, &entry)) return STATUS_CORRUPT;
    bool first = read->count == 0;
    if (first && entry.base > read->from) return STATUS_NOT_FOUND;
    if (!first && entry.base != read->entries[read->count - 1].end) return STATUS_CORRUPT;
    if (entry.end > read->end) return STATUS_END;
    if (!first && read->bytes + entry.payload.bytes.size > read->bytes_max) return STATUS_END;
    if (read->count == read->capacity) {
        read->capacity = MAX(read->capacity * 2, 8u);
        read->entries = mem_realloc(read->entries, read->capacity * sizeof *read->entries);
    }
    entry.payload = shared_slice_ref(entry.payload);
    read->entries[read->count++] = entry;
    read->bytes += entry.payload.bytes.size;
    return STATUS_OK;
}

enum status raft_store_read(struct raft_reader *read) {
    struct key lower = key_log(read->group, (int64_t)read->from), upper = key_prefix(read->group, KEY_TIME);
    if (read->it == NULL) {
        read->it = store_iterator_open(read->store, key_slice(&lower), key_slice(&upper),
                                       STORE_ITERATOR_SEQUENTIAL, read_ready, read);
        store_iterator_expect(read->it, read->bytes_max, read->ahead);
    }
    enum status status;
    do {
        status = read->positioned ? store_iterator_next(read->it)
                                  : store_iterator_seek(read->it, key_slice(&lower));
        if (status == STATUS_OK) {
            read->positioned = true;
            status = take_entry(read);
        }
    } while (status == STATUS_OK);
    if (status == STATUS_PENDING) return status;
    read->ahead = store_iterator_ahead(read->it);
    store_iterator_close(read->it);
    read->it = NULL;
    if (status == STATUS_END) status = read->count > 0 ? STATUS_OK : STATUS_NOT_FOUND;
    return status;
}
