// SPDX-License-Identifier: Apache-2.0
#include "lib/raft_host.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "lib/raft_check.h"

#define PUSH(list, item)                                                                                     \
    do {                                                                                                     \
        if ((list).count == (list).capacity) {                                                               \
            (list).capacity = MAX((list).capacity * 2, 4);                                                   \
            (list).items = mem_realloc((list).items, (list).capacity * sizeof *(list).items);                \
        }                                                                                                    \
        (list).items[(list).count++] = (item);                                                               \
    } while (0)
#define SHIFT(list, n)                                                                                       \
    do {                                                                                                     \
        (list).count -= (n);                                                                                 \
        memmove((list).items, (list).items + (n), (list).count * sizeof *(list).items);                      \
    } while (0)

/* ---- mail --------------------------------------------------------------------------------------------- */

static struct raft_config *copy_config(const struct raft_config *config) {
    if (config == NULL) return NULL;
    struct raft_config *copy = mem_alloc(raft_config_size(config->member_count));
    memcpy(copy, config, raft_config_size(config->member_count));
    return copy;
}

struct raft_mail *raft_mail_copy(const struct raft_message *message) {
    struct raft_mail *mail = mem_calloc(1, sizeof *mail);
    mail->message = *message;
    if (message->entry_count > 0) {
        mail->entries = mem_alloc(message->entry_count * sizeof *mail->entries);
        memcpy(mail->entries, message->entries, message->entry_count * sizeof *mail->entries);
        mail->message.entries = mail->entries;
        /* Payloads of the group live as long as it does; only configurations are counted. */
        for (uint32_t i = 0; i < message->entry_count; i++)
            shared_slice_ref(mail->entries[i].payload);
    }
    if (message->kind == RAFT_SNAPSHOT_PIECE) {
        mail->message.piece.snapshot.config = mail->config = copy_config(message->piece.snapshot.config);
        memcpy(mail->data, message->data.bytes.data, message->data.bytes.size);
        mail->message.data = (struct shared_slice){slice_make(mail->data, message->data.bytes.size), NULL};
    }
    return mail;
}

void raft_mail_free(struct raft_mail *mail) {
    if (mail == NULL) return;
    for (uint32_t i = 0; i < mail->message.entry_count; i++)
        shared_slice_unref(mail->entries[i].payload);
    mem_free(mail->entries);
    mem_free(mail->config);
    mem_free(mail);
}

/* ---- images ------------------------------------------------------------------------------------------- */

uint64_t raft_image_end(const struct raft_image *image) {
    return image->count == 0 ? image->log_start : image->log[image->count - 1].entry.end;
}

uint64_t raft_image_durable_end(const struct raft_image *image) {
    for (uint32_t i = 0; i < image->count; i++)
        if (image->log[i].damaged) return image->log[i].entry.base;
    return raft_image_end(image);
}

uint32_t raft_image_above(const struct raft_image *image, uint64_t position) {
    uint32_t low = 0, high = image->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (image->log[middle].entry.end <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool raft_image_chain(const struct raft_image *image, uint64_t position, uint64_t *chain) {
    if (position == image->log_start) {
        *chain = image->log_start_chain;
        return true;
    }
    uint32_t at = raft_image_above(image, position);
    if (at == 0 || image->log[at - 1].entry.end != position) return false;
    *chain = image->log[at - 1].chain;
    return true;
}

static void image_cut(struct raft_image *image, uint32_t count) {
    while (image->count > count)
        shared_slice_unref(image->log[--image->count].entry.payload);
}

static void image_drop_front(struct raft_image *image, uint32_t count) {
    if (count == 0) return;
    for (uint32_t i = 0; i < count; i++)
        shared_slice_unref(image->log[i].entry.payload);
    image->count -= count;
    memmove(image->log, image->log + count, image->count * sizeof *image->log);
}

static void image_set_config(struct raft_image *image, const struct raft_config *config) {
    struct raft_config *copy = copy_config(config);
    mem_free(image->config);
    image->config = copy;
}

static void image_release(struct raft_image *image) {
    image_cut(image, 0);
    mem_free(image->log);
    mem_free(image->config);
    *image = (struct raft_image){0};
}

static void image_copy(struct raft_image *to, const struct raft_image *from) {
    image_release(to);
    *to = *from;
    to->config = copy_config(from->config);
    to->capacity = from->count;
    to->log = NULL;
    if (from->count == 0) return;
    to->log = mem_alloc(from->count * sizeof *to->log);
    memcpy(to->log, from->log, from->count * sizeof *to->log);
    for (uint32_t i = 0; i < to->count; i++)
        shared_slice_ref(to->log[i].entry.payload);
}

static void image_put(struct raft_image *image, const struct raft_stored *stored) {
    uint64_t end = raft_image_end(image);
    if (stored->entry.end <= image->log_start) return; /* compacted since the write began */
    struct raft_stored copy = *stored;
    copy.entry.payload = shared_slice_ref(stored->entry.payload);
    if (stored->entry.base == end) {
        if (image->count == image->capacity) {
            image->capacity = MAX(image->capacity * 2, 8);
            image->log = mem_realloc(image->log, image->capacity * sizeof *image->log);
        }
        image->log[image->count++] = copy;
        return;
    }
    uint32_t at = raft_image_above(image, stored->entry.base);
    ASSERT(at < image->count && image->log[at].entry.base == stored->entry.base);
    shared_slice_unref(image->log[at].entry.payload);
    image->log[at] = copy;
}

static void image_reset(struct raft_image *image, uint64_t end, uint64_t term, uint64_t chain) {
    image_cut(image, 0);
    image->log_start = end;
    image->log_start_term = term;
    image->log_start_chain = chain;
}

static void image_apply(struct raft_image *image, const struct raft_write *write) {
    if (write->install) {
        image_reset(image, write->snapshot.end, write->snapshot.term, write->snapshot_chain);
        image_set_config(image, write->snapshot.config);
        image->snapshot = write->snapshot;
        image->snapshot_chain = write->snapshot_chain;
    }
    if (write->truncate) image_cut(image, raft_image_above(image, write->truncate_from));
    for (uint32_t i = 0; i < write->entry_count; i++)
        image_put(image, &write->entries[i]);
    if (write->set_hard_state) image->hard_state = write->hard_state;
}

static void write_free(struct raft_write *write) {
    for (uint32_t i = 0; i < write->entry_count; i++)
        shared_slice_unref(write->entries[i].entry.payload);
    mem_free(write->entries);
    mem_free((void *)write->snapshot.config);
    mem_free(write);
}

/* ---- group -------------------------------------------------------------------------------------------- */

void raft_group_init(struct raft_group *group, uint64_t seed) {
    *group = (struct raft_group){.seed = seed, .next_payload = 1, .next_snapshot_id = 1};
    raft_ghost_init(&group->ghost);
    arena_init(&group->payloads, 64 * KIB);
}

static void host_free(struct raft_host *host) {
    if (host->up) raft_host_crash(host, 0);
    image_release(&host->durable);
    image_release(&host->view);
    mem_free(host->writes.items);
    mem_free(host->held.items);
    mem_free(host->outbox.items);
    mem_free(host->entry_reads.items);
    mem_free(host->snapshot_reads.items);
    mem_free(host->reads.items);
    raft_effects_release(&host->effects);
    mem_free(host);
}

void raft_group_release(struct raft_group *group) {
    for (uint32_t i = 0; i < group->host_count; i++)
        host_free(group->hosts[i]);
    raft_ghost_release(&group->ghost);
    arena_release(&group->payloads);
    *group = (struct raft_group){0};
}

struct raft_host *raft_group_add(struct raft_group *group, const struct raft_options *options,
                                 const struct raft_config *config) {
    ASSERT_LT(group->host_count, (uint32_t)RAFT_HOSTS_MAX);
    struct raft_host *host = mem_calloc(1, sizeof *host);
    *host = (struct raft_host){
        .group = group, .id = options->id, .options = *options, .priority = RAFT_PRIORITY_MAX};
    host->durable.log_start_chain = group->ghost.base_chain;
    host->durable.config = copy_config(config);
    if (config != NULL) group->ghost.base_config = raft_ghost_config(config);
    raft_effects_init(&host->effects);
    group->hosts[group->host_count++] = host;
    return host;
}

void raft_group_remove(struct raft_group *group, struct raft_host *host) {
    uint32_t at = 0;
    while (group->hosts[at] != host)
        at++;
    group->host_count--;
    memmove(&group->hosts[at], &group->hosts[at + 1], (group->host_count - at) * sizeof(struct raft_host *));
    host_free(host);
}

struct raft_host *raft_group_find(const struct raft_group *group, uint64_t id) {
    for (uint32_t i = 0; i < group->host_count; i++)
        if (group->hosts[i]->id == id) return group->hosts[i];
    return NULL;
}

struct raft_host *raft_group_leader(const struct raft_group *group) {
    struct raft_host *leader = NULL;
    for (uint32_t i = 0; i < group->host_count; i++) {
        struct raft_host *host = group->hosts[i];
        if (!host->up || !raft_is_leader(&host->raft)) continue;
        if (leader == NULL || leader->raft.term < host->raft.term) leader = host;
    }
    return leader;
}

/* The store reads when it is asked; the answer may come much later, when the log is another. */
static struct raft_entry_answer read_entries(struct raft_host *host, struct raft_entry_read asked) {
    struct raft_entry_answer answer = {.asked = asked, .status = STATUS_NOT_FOUND};
    const struct raft_image *view = &host->view;
    uint32_t at = raft_image_above(view, asked.from);
    if (asked.from < view->log_start || at == view->count) return answer;
    answer.entries = mem_alloc((view->count - at) * sizeof *answer.entries);
    size_t bytes = 0;
    for (; at < view->count && !view->log[at].damaged; at++) {
        bytes += view->log[at].entry.payload.bytes.size;
        if (answer.count > 0 && bytes > asked.bytes_max) break;
        answer.entries[answer.count] = view->log[at].entry;
        shared_slice_ref(answer.entries[answer.count++].payload);
    }
    answer.status = answer.count == 0 ? STATUS_CORRUPT : STATUS_OK;
    return answer;
}

static void answer_free(struct raft_entry_answer *answer) {
    for (uint32_t i = 0; i < answer->count; i++)
        shared_slice_unref(answer->entries[i].payload);
    mem_free(answer->entries);
}

/* ---- start and crash ---------------------------------------------------------------------------------- */

static uint32_t find_terms(const struct raft_image *image, struct raft_term_start *terms) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < image->count; i++) {
        const struct raft_entry *entry = &image->log[i].entry;
        if (count == 0 || terms[count - 1].term != entry->term)
            terms[count++] = (struct raft_term_start){entry->term, entry->base};
    }
    return count;
}

/* The last two configurations of log and snapshot: what a broker keeps beside its log. */
static void find_configs(const struct raft_image *image, struct raft_start *start) {
    start->config = copy_config(image->config);
    start->config_position = image->config == NULL ? 0 : image->log_start;
    for (uint32_t i = 0; i < image->count; i++) {
        if (image->log[i].entry.kind != RAFT_ENTRY_CONFIG) continue;
        struct raft_config *config = NULL;
        enum status status = raft_config_decode(image->log[i].entry.payload.bytes, &config);
        ASSERT(status == STATUS_OK);
        mem_free((void *)start->config_before);
        start->config_before = start->config;
        start->config_before_position = start->config_position;
        start->config = config;
        start->config_position = image->log[i].entry.end;
    }
}

static void find_damage(const struct raft_image *image, uint64_t *from, uint64_t *to) {
    *from = *to = image->log_start;
    bool found = false;
    for (uint32_t i = 0; i < image->count; i++) {
        if (!image->log[i].damaged) continue;
        if (!found) *from = image->log[i].entry.base;
        *to = image->log[i].entry.end;
        found = true;
    }
}

void raft_host_start(struct raft_host *host, uint64_t now_ns) {
    ASSERT(!host->up);
    struct raft_image *disk = &host->durable;
    image_copy(&host->view, disk);
    struct raft_term_start *terms = mem_alloc((disk->count + 1) * sizeof *terms);
    struct raft_start start = {
        .group = 1,
        .seed = host->group->seed + ++host->starts * 7919,
        .priority = host->priority,
        .hard_state = disk->hard_state,
        .log_start = disk->log_start,
        .log_start_term = disk->log_start_term,
        .log_end = raft_image_end(disk),
        .terms = terms,
        .term_count = find_terms(disk, terms),
        .applied_end = disk->log_start,
        .incoming_id = host->incoming.id,
        .incoming_end = host->incoming.end,
        .incoming_offset = host->incoming.size,
    };
    find_configs(disk, &start);
    find_damage(disk, &start.damaged_from, &start.damaged_to);
    raft_init(&host->raft, &host->options, &start, now_ns);
    mem_free((void *)start.config);
    mem_free((void *)start.config_before);
    mem_free(terms);
    host->up = true;
    host->heard_ns = 0;
    host->applied_end = disk->log_start;
    host->applied_chain = disk->log_start_chain;
    host->deadline = raft_deadline(&host->raft);
    /* The commit end that survived is known at once; a broker applies up to there before it serves. */
    raft_check_commit(host, host->applied_end, host->raft.commit_end);
    struct raft_event event = {.kind = RAFT_EVENT_APPLIED, .now_ns = now_ns, .position = host->applied_end};
    enum status status = raft_host_step(host, &event);
    ASSERT(status == STATUS_OK);
}

static void clear_mail(struct raft_mail **items, uint32_t *count) {
    for (uint32_t i = 0; i < *count; i++)
        raft_mail_free(items[i]);
    *count = 0;
}

void raft_host_crash(struct raft_host *host, uint32_t keep) {
    ASSERT(host->up);
    for (uint32_t i = 0; i < host->writes.count; i++) {
        if (i < keep) {
            raft_check_durable(host, host->writes.items[i]);
            image_apply(&host->durable, host->writes.items[i]);
        }
        write_free(host->writes.items[i]);
    }
    host->writes.count = 0;
    clear_mail(host->held.items, &host->held.count);
    clear_mail(host->outbox.items, &host->outbox.count);
    for (uint32_t i = 0; i < host->entry_reads.count; i++)
        answer_free(&host->entry_reads.items[i]);
    host->entry_reads.count = host->snapshot_reads.count = host->reads.count = 0;
    raft_mail_free(host->snapshot_write);
    host->snapshot_write = NULL;
    raft_release(&host->raft);
    image_release(&host->view);
    host->up = false;
}

/* ---- carrying out effects ----------------------------------------------------------------------------- */

static void begin_install(struct raft_host *host, struct raft_write *write) {
    const struct raft_snapshot *install = host->effects.install;
    uint64_t tail;
    write->install = true;
    write->snapshot = *install;
    write->snapshot.config = copy_config(install->config);
    memcpy(&write->snapshot_chain, host->incoming.data, sizeof write->snapshot_chain);
    memcpy(&tail, host->incoming.data + RAFT_SNAPSHOT_BYTES - sizeof tail, sizeof tail);
    ASSERT_EQ(host->incoming.id, install->id);
    ASSERT_EQ(host->incoming.size, (uint64_t)RAFT_SNAPSHOT_BYTES);
    RAFT_EXPECT(&host->group->ghost, tail == install->id,
                "R21 snapshot coherence: pieces of two snapshots were put together");
    host->applied_end = install->end;
    host->applied_chain = write->snapshot_chain;
    host->incoming.id = host->incoming.size = 0;
}

static struct raft_write *begin_write(struct raft_host *host) {
    const struct raft_effects *effects = &host->effects;
    struct raft_write *write = mem_calloc(1, sizeof *write);
    write->number = effects->write;
    write->set_hard_state = effects->hard_state_changed || effects->write % 4 == 0;
    write->hard_state = effects->hard_state;
    write->truncate = effects->truncate;
    write->truncate_from = effects->truncate_from;
    if (effects->install != NULL) begin_install(host, write);
    write->entries = mem_alloc((effects->entry_count + 1) * sizeof *write->entries);
    write->entry_count = effects->entry_count;
    if (effects->entry_count == 0) return write;
    uint64_t chain = write->snapshot_chain;
    bool found = write->install || raft_image_chain(&host->view, effects->entries[0].base, &chain);
    ASSERT(found);
    for (uint32_t i = 0; i < effects->entry_count; i++) {
        struct raft_entry entry = effects->entries[i];
        chain = raft_ghost_chain(chain, &entry);
        entry.payload = shared_slice_ref(entry.payload);
        write->entries[i] = (struct raft_stored){entry, chain, false};
    }
    return write;
}

static void release_held(struct raft_host *host) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < host->held.count; i++) {
        struct raft_mail *mail = host->held.items[i];
        if (mail->message.after_write > host->raft.write_persisted) {
            host->held.items[kept++] = mail;
            continue;
        }
        raft_check_leaving(host, &mail->message);
        PUSH(host->outbox, mail);
    }
    host->held.count = kept;
}

static void carry_out(struct raft_host *host) {
    struct raft_effects *effects = &host->effects;
    if (effects->write != 0) {
        struct raft_write *write = begin_write(host);
        raft_check_write(host, write);
        image_apply(&host->view, write);
        PUSH(host->writes, write);
    }
    for (uint32_t i = 0; i < effects->message_count; i++)
        PUSH(host->held, raft_mail_copy(&effects->messages[i]));
    release_held(host);
    raft_check_commit(host, effects->commit_from, effects->commit_end);
    for (uint32_t i = 0; i < effects->entry_read_count; i++)
        PUSH(host->entry_reads, read_entries(host, effects->entry_reads[i]));
    for (uint32_t i = 0; i < effects->snapshot_read_count; i++)
        PUSH(host->snapshot_reads, effects->snapshot_reads[i]);
    if (effects->snapshot_discard != 0) {
        if (effects->snapshot_discard == host->incoming.id) host->incoming.id = host->incoming.size = 0;
        raft_mail_free(host->snapshot_write);
        host->snapshot_write = NULL;
    }
    if (effects->snapshot_write != NULL) {
        ASSERT(host->snapshot_write == NULL);
        host->snapshot_write = raft_mail_copy(effects->snapshot_write);
    }
    for (uint32_t i = 0; i < effects->read_count; i++)
        PUSH(host->reads, effects->reads[i]);
    host->deadline = effects->deadline;
}

enum status raft_host_step(struct raft_host *host, const struct raft_event *event) {
    ASSERT(host->up);
    struct raft_check_before before = raft_check_before(host);
    enum status status = raft_step(&host->raft, event, &host->effects);
    if (host->watch != NULL) host->watch(host->watch_ctx, host, event, status);
    carry_out(host);
    raft_check_after(host, &before, event);
    if (!host->manual_apply && host->raft.applied_end < host->applied_end) {
        struct raft_event applied = {
            .kind = RAFT_EVENT_APPLIED, .now_ns = event->now_ns, .position = host->applied_end};
        enum status none = raft_host_step(host, &applied);
        ASSERT(none == STATUS_OK);
    }
    return status;
}

static void step(struct raft_host *host, const struct raft_event *event) {
    enum status status = raft_host_step(host, event);
    ASSERT(status == STATUS_OK);
}

void raft_host_persist(struct raft_host *host, uint32_t count, uint64_t now_ns) {
    count = MIN(count, host->writes.count);
    if (count == 0) return;
    uint64_t number = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct raft_write *write = host->writes.items[i];
        raft_check_durable(host, write);
        image_apply(&host->durable, write);
        number = write->number;
        write_free(write);
    }
    SHIFT(host->writes, count);
    struct raft_event event = {.kind = RAFT_EVENT_PERSISTED, .now_ns = now_ns, .write = number};
    step(host, &event);
}

enum status raft_host_propose(struct raft_host *host, uint32_t entry_count, uint32_t covered, size_t size,
                              uint64_t now_ns) {
    struct raft_proposal items[16];
    ASSERT_LE(entry_count, (uint32_t)ARRAY_COUNT(items));
    size = MAX(size, sizeof(uint64_t));
    for (uint32_t i = 0; i < entry_count; i++) {
        uint8_t *bytes = arena_calloc(&host->group->payloads, 1, size);
        memcpy(bytes, &host->group->next_payload, sizeof host->group->next_payload);
        host->group->next_payload++;
        items[i] = (struct raft_proposal){{slice_make(bytes, size), NULL}, covered};
    }
    struct raft_event event = {
        .kind = RAFT_EVENT_PROPOSE, .now_ns = now_ns, .propose = {.items = items, .count = entry_count}};
    return raft_host_step(host, &event);
}

void raft_host_receive(struct raft_host *host, const struct raft_message *message, uint64_t now_ns) {
    struct raft_event event = {.kind = RAFT_EVENT_RECEIVE, .now_ns = now_ns, .message = message};
    step(host, &event);
}

void raft_host_timer(struct raft_host *host, uint64_t now_ns) {
    struct raft_event event = {.kind = RAFT_EVENT_TIMER, .now_ns = now_ns};
    step(host, &event);
}

/* ---- answers ------------------------------------------------------------------------------------------ */

void raft_host_answer_entries(struct raft_host *host, uint64_t now_ns) {
    if (host->entry_reads.count == 0) return;
    struct raft_entry_answer answer = host->entry_reads.items[0];
    SHIFT(host->entry_reads, 1);
    struct raft_event event = {.kind = RAFT_EVENT_ENTRIES_READ,
                               .now_ns = now_ns,
                               .entries_read = {.peer = answer.asked.peer,
                                                .from = answer.asked.from,
                                                .repair = answer.asked.repair,
                                                .status = answer.status,
                                                .entries = answer.entries,
                                                .count = answer.count}};
    step(host, &event);
    answer_free(&answer);
}

/* The data of a snapshot: the chain value, and a pattern that shows if pieces of two were put together. */
static void snapshot_bytes(const struct raft_image *image, uint8_t bytes[RAFT_SNAPSHOT_BYTES]) {
    memset(bytes, (int)(image->snapshot.id & 0xff), RAFT_SNAPSHOT_BYTES);
    memcpy(bytes, &image->snapshot_chain, sizeof image->snapshot_chain);
    memcpy(bytes + RAFT_SNAPSHOT_BYTES - 8, &image->snapshot.id, sizeof image->snapshot.id);
}

void raft_host_answer_snapshot(struct raft_host *host, uint64_t now_ns) {
    if (host->snapshot_reads.count == 0) return;
    struct raft_snapshot_read read = host->snapshot_reads.items[0];
    SHIFT(host->snapshot_reads, 1);
    const struct raft_image *image = &host->view;
    uint8_t bytes[RAFT_SNAPSHOT_BYTES];
    snapshot_bytes(image, bytes);
    uint64_t offset = read.id == image->snapshot.id ? MIN(read.offset, (uint64_t)RAFT_SNAPSHOT_BYTES) : 0;
    size_t size = MIN((size_t)(RAFT_SNAPSHOT_BYTES - offset), (size_t)RAFT_SNAPSHOT_PIECE_MAX);
    struct raft_event event = {
        .kind = RAFT_EVENT_SNAPSHOT_READ,
        .now_ns = now_ns,
        .snapshot_read = {.peer = read.peer,
                          .status = image->snapshot.id == 0 ? STATUS_NOT_FOUND : STATUS_OK,
                          .snapshot = image->snapshot,
                          .offset = offset,
                          .data = {slice_make(bytes + offset, size), NULL},
                          .last = offset + size == RAFT_SNAPSHOT_BYTES},
    };
    event.snapshot_read.snapshot.config = image->config;
    step(host, &event);
}

void raft_host_store_piece(struct raft_host *host, uint64_t now_ns) {
    struct raft_mail *mail = host->snapshot_write;
    if (mail == NULL) return;
    host->snapshot_write = NULL;
    uint64_t id = mail->message.piece.snapshot.id, offset = mail->message.piece.offset;
    size_t size = mail->message.data.bytes.size;
    if (offset == 0) host->incoming.id = id;
    host->incoming.end = mail->message.piece.snapshot.end;
    ASSERT_EQ(host->incoming.id, id);
    memcpy(host->incoming.data + offset, mail->message.data.bytes.data, size);
    host->incoming.size = offset + size;
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_WRITTEN,
                               .now_ns = now_ns,
                               .snapshot_written = {.id = id, .offset = offset + size}};
    raft_mail_free(mail);
    step(host, &event);
}

bool raft_host_compact(struct raft_host *host, uint64_t now_ns) {
    uint64_t to = MIN(host->raft.applied_end, host->raft.log.flushed_end), term;
    const struct raft_config *config = raft_config_at(&host->raft, to);
    if (to <= host->view.log_start || config == NULL || !raft_term_at(&host->raft, to, &term)) return false;
    uint64_t chain = 0;
    bool found = raft_image_chain(&host->view, to, &chain);
    ASSERT(found);
    struct raft_image *images[] = {&host->view, &host->durable};
    struct raft_snapshot snapshot = {.id = host->group->next_snapshot_id++, .end = to, .term = term};
    for (int i = 0; i < 2; i++) {
        image_drop_front(images[i], raft_image_above(images[i], to));
        images[i]->log_start = to;
        images[i]->log_start_term = term;
        images[i]->log_start_chain = chain;
        images[i]->snapshot = snapshot;
        images[i]->snapshot_chain = chain;
        image_set_config(images[i], config);
    }
    snapshot.config = config;
    raft_check_snapshot(host, &snapshot, chain);
    struct raft_event event = {.kind = RAFT_EVENT_COMPACTED, .now_ns = now_ns, .position = to};
    step(host, &event);
    return true;
}

bool raft_host_damage(struct raft_host *host, uint32_t index, uint32_t count, uint64_t now_ns) {
    uint32_t safe = 0; /* entries that no write under way will put anew */
    while (safe < host->durable.count && safe < host->view.count &&
           host->durable.log[safe].chain == host->view.log[safe].chain &&
           host->durable.log[safe].entry.end <= host->raft.log.flushed_end)
        safe++;
    if (index >= safe) return false;
    count = MIN(count, safe - index);
    for (uint32_t i = index; i < index + count; i++)
        host->durable.log[i].damaged = host->view.log[i].damaged = true;
    struct raft_event event = {.kind = RAFT_EVENT_DAMAGED,
                               .now_ns = now_ns,
                               .damaged = {.from = host->durable.log[index].entry.base,
                                           .to = host->durable.log[index + count - 1].entry.end}};
    step(host, &event);
    return true;
}
