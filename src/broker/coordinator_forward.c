// SPDX-License-Identifier: Apache-2.0
#include "broker/coordinator_forward.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/coordinator_state.h"
#include "broker/forward.h"

#define NOTHING      UINT32_MAX
#define ELEMENTS_MAX 100000

enum kind { KIND_BEAT = 1, KIND_COMMIT, KIND_READ, KIND_DELETE, KIND_LIST, KIND_END };

/* A call that is at the other node. */
struct group_away {
    struct list link; /* in cluster.groups_away */
    struct group_call *call;
    struct coordinator *coordinator;
    enum kind kind;
    struct forward forward;
    struct slice group; /* on the heap */
    struct group_commit_offset *offsets;
    uint32_t offset_count;
};

/* ---- bytes ----------------------------------------------------------------------------------------------
 */

static void put(struct writer *out, struct slice bytes) {
    writer_be32(out, bytes.data == NULL ? NOTHING : (uint32_t)bytes.size);
    writer_bytes(out, bytes);
}

static struct slice take(struct reader *in) {
    uint32_t size = reader_be32(in);
    return size == NOTHING ? SLICE_EMPTY : reader_bytes(in, size);
}

static void put_partition(struct writer *out, const struct group_partition *partition) {
    writer_bytes(out, slice_make(partition->topic.bytes, sizeof partition->topic.bytes));
    writer_be32(out, (uint32_t)partition->partition);
}

static struct uuid take_uuid(struct reader *in) {
    struct uuid id = {{0}};
    struct slice bytes = reader_bytes(in, sizeof id.bytes);
    if (bytes.size == sizeof id.bytes) memcpy(id.bytes, bytes.data, sizeof id.bytes);
    return id;
}

static struct group_partition take_partition(struct reader *in) {
    struct group_partition partition = {.topic = take_uuid(in)};
    partition.partition = (int32_t)reader_be32(in);
    return partition;
}

/* How many there are; each takes at least `size` bytes. */
static uint32_t take_count(struct reader *in, size_t size) {
    uint32_t count = reader_be32(in);
    if (count > ELEMENTS_MAX || count > reader_remaining(in) / size) reader_fail(in);
    return reader_ok(in) ? count : 0;
}

static void put_identity(struct writer *out, const struct group_identity *who) {
    put(out, who->group);
    put(out, who->member_id);
    put(out, who->instance_id);
    writer_be32(out, (uint32_t)who->generation);
}

static struct group_identity take_identity(struct reader *in) {
    struct group_identity who = {.group = take(in)};
    who.member_id = take(in);
    who.instance_id = take(in);
    who.generation = (int32_t)reader_be32(in);
    return who;
}

/* ---- asking ---------------------------------------------------------------------------------------------
 */

static void away_free(struct group_away *away) {
    list_remove(&away->link);
    away->call->away = NULL;
    away->call->coordinator = NULL;
    mem_free((void *)(uintptr_t)away->group.data);
    mem_free(away);
}

static void end(struct group_away *away, enum status status) {
    struct group_call *call = away->call;
    away_free(away);
    call->status = status;
    call->done(call);
}

static void answer(struct group_away *away, struct group_reply *reply) {
    reply->call = away->call;
    if (away->call->answer != NULL) away->call->answer(away->call, reply);
}

static bool answer_beat(struct group_away *away, enum status reply_status, struct reader *in) {
    struct group_member member = {.epoch = (int32_t)reader_be32(in)};
    uint32_t count = take_count(in, 20);
    member.assigned.list = mem_calloc((size_t)count + 1, sizeof *member.assigned.list);
    member.assigned.count = count;
    for (uint32_t i = 0; i < count; i++)
        member.assigned.list[i] = take_partition(in);
    struct group_reply reply = {.status = reply_status, .member = &member};
    bool ok = reader_ok(in);
    if (ok) answer(away, &reply);
    mem_free(member.assigned.list);
    return ok;
}

static bool answer_commit(struct group_away *away, enum status reply_status, struct reader *in) {
    for (uint32_t i = 0; i < away->offset_count; i++) {
        uint8_t status = reader_u8(in);
        away->offsets[i].status = status < STATUS_COUNT ? (enum status)status : STATUS_MALFORMED;
    }
    struct group_reply reply = {.status = reply_status};
    if (reader_ok(in)) answer(away, &reply);
    return reader_ok(in);
}

static bool answer_read(struct group_away *away, enum status reply_status, struct reader *in) {
    struct group_machine machine;
    struct state_change_entry entry;
    bool there = reader_u8(in) != 0;
    struct slice rest = reader_bytes(in, reader_remaining(in));
    group_machine_init(&machine, &away->coordinator->broker->options.groups, 1);
    enum status status = there ? state_change_begin(&rest) : STATUS_END;
    while (status == STATUS_OK && (status = state_change_next(&rest, &entry)) == STATUS_OK)
        status = group_load(&machine, entry.key, entry.value);
    struct group_reply reply = {.status = reply_status, .group = group_find(&machine, away->group)};
    bool ok = reader_ok(in) && status == STATUS_END;
    if (ok) answer(away, &reply);
    group_machine_release(&machine);
    return ok;
}

static bool take_answer(struct group_away *away, struct reader *in) {
    uint8_t status = reader_u8(in);
    if (!reader_ok(in) || status >= STATUS_COUNT) return false;
    struct group_reply reply = {.status = (enum status)status};
    switch (away->kind) {
    case KIND_BEAT:
        return answer_beat(away, reply.status, in);
    case KIND_COMMIT:
        return answer_commit(away, reply.status, in);
    case KIND_READ:
        return answer_read(away, reply.status, in);
    case KIND_DELETE:
        answer(away, &reply);
        return true;
    case KIND_LIST:
    case KIND_END:
        break;
    }
    return false;
}

static void answered(struct forward *forward, enum status status, struct shared_slice body) {
    struct group_away *away = CONTAINER_OF(forward, struct group_away, forward);
    struct reader in = reader_make(body.bytes);
    if (status == STATUS_OK && !take_answer(away, &in)) status = STATUS_MALFORMED;
    end(away, status == STATUS_NOT_LEADER ? STATUS_NOT_COORDINATOR : status);
}

static bool send(struct broker *broker, uint32_t node, struct forward *forward, enum kind kind,
                 struct writer *bytes) {
    const uint8_t head = (uint8_t)kind;
    struct chain body;
    chain_init(&body);
    chain_append_copy(&body, slice_make(&head, 1));
    chain_append_copy(&body, writer_slice(bytes));
    writer_release(bytes);
    bool sent = forward_send(broker, forward, node, FORWARD_GROUP, &body);
    chain_release(&body);
    return sent;
}

/* The node that coordinates the group, when it is another one; 0: it is this one, or nobody is known to. */
static uint32_t coordinator_elsewhere(struct broker *broker, const struct group_call *call,
                                      struct slice group) {
    if (!call->forward || broker->cluster == NULL || broker->closing) return 0;
    int32_t node = broker_coordinator(broker, group);
    return node <= 0 || node == broker->options.node_id ? 0 : (uint32_t)node;
}

static bool start(struct broker *broker, struct group_call *call, uint32_t node, enum kind kind,
                  struct slice group, struct writer *bytes, struct group_away **result) {
    struct group_away *away = mem_calloc(1, sizeof *away);
    away->call = call;
    away->kind = kind;
    away->coordinator = &broker->coordinators->list[coordinator_index(group)];
    away->forward.answered = answered;
    forward_init(&away->forward);
    if (!send(broker, node, &away->forward, kind, bytes)) {
        mem_free(away);
        return false;
    }
    uint8_t *copy = mem_alloc(group.size + 1);
    if (group.size != 0) memcpy(copy, group.data, group.size);
    away->group = slice_make(copy, group.size);
    list_push_back(&broker->cluster->groups_away, &away->link);
    call->away = away;
    call->coordinator = away->coordinator;
    call->answered = false;
    if (result != NULL) *result = away;
    return true;
}

bool coordinator_forward_beat(struct broker *broker, struct group_call *call,
                              const struct group_consumer_beat *beat) {
    uint32_t node = coordinator_elsewhere(broker, call, beat->group);
    if (node == 0) return false;
    struct writer out;
    writer_init(&out);
    const struct slice texts[] = {beat->group,     beat->member_id,   beat->instance_id, beat->rack_id,
                                  beat->client_id, beat->client_host, beat->regex,       beat->assignor};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        put(&out, texts[i]);
    writer_be32(&out, (uint32_t)beat->epoch);
    writer_be32(&out, (uint32_t)beat->rebalance_timeout_ms);
    writer_u8(&out, (uint8_t)(beat->has_topics | beat->has_owned << 1));
    writer_be32(&out, beat->topic_count);
    for (uint32_t i = 0; i < beat->topic_count; i++)
        put(&out, beat->topics[i]);
    writer_be32(&out, beat->owned_count);
    for (uint32_t i = 0; i < beat->owned_count; i++)
        put_partition(&out, &beat->owned[i]);
    return start(broker, call, node, KIND_BEAT, beat->group, &out, NULL);
}

bool coordinator_forward_commit(struct broker *broker, struct group_call *call,
                                const struct group_commit *commit) {
    uint32_t node = coordinator_elsewhere(broker, call, commit->who.group);
    if (node == 0) return false;
    struct writer out;
    struct group_away *away;
    writer_init(&out);
    put_identity(&out, &commit->who);
    writer_be32(&out, commit->offset_count);
    for (uint32_t i = 0; i < commit->offset_count; i++) {
        const struct group_commit_offset *offset = &commit->offsets[i];
        put(&out, offset->topic);
        put_partition(&out, &(struct group_partition){offset->topic_id, offset->partition});
        writer_be64(&out, (uint64_t)offset->offset);
        writer_be32(&out, (uint32_t)offset->leader_epoch);
        put(&out, offset->metadata);
        writer_u8(&out, (uint8_t)offset->status);
    }
    if (!start(broker, call, node, KIND_COMMIT, commit->who.group, &out, &away)) return false;
    away->offsets = commit->offsets;
    away->offset_count = commit->offset_count;
    return true;
}

bool coordinator_forward_read(struct broker *broker, struct group_call *call,
                              const struct group_identity *who) {
    uint32_t node = coordinator_elsewhere(broker, call, who->group);
    if (node == 0) return false;
    struct writer out;
    writer_init(&out);
    put_identity(&out, who);
    return start(broker, call, node, KIND_READ, who->group, &out, NULL);
}

bool coordinator_forward_delete(struct broker *broker, struct group_call *call, struct slice group) {
    uint32_t node = coordinator_elsewhere(broker, call, group);
    if (node == 0) return false;
    struct writer out;
    writer_init(&out);
    put(&out, group);
    return start(broker, call, node, KIND_DELETE, group, &out, NULL);
}

void coordinator_forward_cancel(struct group_call *call) {
    forward_cancel(&call->away->forward);
    away_free(call->away);
}

/* ---- answering ------------------------------------------------------------------------------------------
 */

struct served {
    struct list link; /* in cluster.groups_served */
    struct cluster *cluster;
    uint32_t node;
    uint64_t number;
    struct group_call call;
    struct buffer *body;                 /* slices of the request point into it */
    struct group_commit_offset *offsets; /* COMMIT */
    uint32_t offset_count;
    struct writer out;
};

static void served_free(struct served *served) {
    list_remove(&served->link);
    buffer_unref(served->body);
    mem_free(served->offsets);
    writer_release(&served->out);
    mem_free(served);
}

static void served_done(struct group_call *call) {
    struct served *served = CONTAINER_OF(call, struct served, call);
    const uint8_t head = (uint8_t)call->status;
    struct chain body;
    chain_init(&body);
    chain_append_copy(&body, slice_make(&head, 1));
    if (call->status == STATUS_OK) chain_append_copy(&body, writer_slice(&served->out));
    MAYBE(peers_answer(served->cluster->peers, served->node, served->number, &body));
    chain_release(&body);
    served_free(served);
}

static struct writer *begin_answer(struct group_call *call, const struct group_reply *reply) {
    struct served *served = CONTAINER_OF(call, struct served, call);
    writer_clear(&served->out);
    writer_u8(&served->out, (uint8_t)reply->status);
    return &served->out;
}

static void tell_status(struct group_call *call, const struct group_reply *reply) {
    MAYBE(begin_answer(call, reply)->size != 0);
}

static void tell_beat(struct group_call *call, const struct group_reply *reply) {
    struct writer *out = begin_answer(call, reply);
    const struct group_member *member = reply->status == STATUS_OK ? reply->member : NULL;
    writer_be32(out, member == NULL ? 0 : (uint32_t)member->epoch);
    writer_be32(out, member == NULL ? 0 : member->assigned.count);
    for (uint32_t i = 0; member != NULL && i < member->assigned.count; i++)
        put_partition(out, &member->assigned.list[i]);
}

static void tell_commit(struct group_call *call, const struct group_reply *reply) {
    const struct served *served = CONTAINER_OF(call, struct served, call);
    struct writer *out = begin_answer(call, reply);
    for (uint32_t i = 0; i < served->offset_count; i++)
        writer_u8(out, (uint8_t)served->offsets[i].status);
}

static void tell_group(struct group_call *call, const struct group_reply *reply) {
    struct writer *out = begin_answer(call, reply);
    struct state_change change;
    writer_u8(out, reply->group != NULL);
    if (reply->group == NULL) return;
    state_change_init(&change);
    group_export(reply->group, &change);
    state_change_encode(&change, out);
    state_change_release(&change);
}

static void serve_beat(struct served *served, struct reader *in) {
    struct group_consumer_beat beat = {.group = take(in)};
    struct slice *texts[] = {&beat.member_id,   &beat.instance_id, &beat.rack_id, &beat.client_id,
                             &beat.client_host, &beat.regex,       &beat.assignor};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        *texts[i] = take(in);
    beat.epoch = (int32_t)reader_be32(in);
    beat.rebalance_timeout_ms = (int32_t)reader_be32(in);
    uint8_t has = reader_u8(in);
    beat.has_topics = has & 1;
    beat.has_owned = has >> 1 & 1;
    beat.topic_count = take_count(in, 4);
    struct slice *topics = mem_calloc((size_t)beat.topic_count + 1, sizeof *topics);
    for (uint32_t i = 0; i < beat.topic_count; i++)
        topics[i] = take(in);
    beat.owned_count = take_count(in, 20);
    struct group_partition *owned = mem_calloc((size_t)beat.owned_count + 1, sizeof *owned);
    for (uint32_t i = 0; i < beat.owned_count; i++)
        owned[i] = take_partition(in);
    beat.topics = topics;
    beat.owned = owned;
    bool changed;
    served->call.answer = tell_beat;
    if (reader_ok(in) && beat.group.size > 0 && beat.member_id.size > 0)
        coordinator_beat(served->cluster->broker, &served->call, &beat, &changed);
    else
        served_free(served);
    mem_free(topics);
    mem_free(owned);
}

static void serve_commit(struct served *served, struct reader *in) {
    struct group_commit commit = {.who = take_identity(in)};
    commit.offset_count = served->offset_count = take_count(in, 41);
    commit.offsets = served->offsets = mem_calloc((size_t)commit.offset_count + 1, sizeof *commit.offsets);
    for (uint32_t i = 0; i < commit.offset_count; i++) {
        struct group_commit_offset *offset = &commit.offsets[i];
        offset->topic = take(in);
        struct group_partition partition = take_partition(in);
        offset->topic_id = partition.topic;
        offset->partition = partition.partition;
        offset->offset = (int64_t)reader_be64(in);
        offset->leader_epoch = (int32_t)reader_be32(in);
        offset->metadata = take(in);
        uint8_t status = reader_u8(in);
        offset->status = status < STATUS_COUNT ? (enum status)status : STATUS_MALFORMED;
    }
    served->call.answer = tell_commit;
    if (reader_ok(in) && commit.who.group.size > 0)
        coordinator_commit(served->cluster->broker, &served->call, &commit);
    else
        served_free(served);
}

static void serve_read(struct served *served, struct reader *in) {
    const struct group_identity who = take_identity(in);
    served->call.answer = tell_group;
    if (reader_ok(in) && who.group.size > 0)
        coordinator_read(served->cluster->broker, &served->call, &who);
    else
        served_free(served);
}

static void serve_delete(struct served *served, struct reader *in) {
    struct slice group = take(in);
    served->call.answer = tell_status;
    if (reader_ok(in) && group.size > 0)
        coordinator_delete_group(served->cluster->broker, &served->call, group);
    else
        served_free(served);
}

static void put_summary(void *ctx, const struct group_summary *summary) {
    struct writer *out = ctx;
    put(out, summary->name);
    put(out, slice_from_text(summary->kind));
    put(out, slice_from_text(summary->state));
    put(out, summary->protocol_type);
    put(out, summary->assignor);
    writer_be32(out, (uint32_t)summary->generation);
    writer_be32(out, (uint32_t)summary->member_count);
}

static void serve_list(struct served *served) {
    served->call.status = coordinators_summaries(served->cluster->broker, put_summary, &served->out);
    served_done(&served->call);
}

void coordinator_forward_request(struct cluster *cluster, uint32_t node, uint64_t number,
                                 struct shared_slice body) {
    struct reader in = reader_make(body.bytes);
    uint8_t kind = reader_u8(&in);
    if (!reader_ok(&in) || kind < KIND_BEAT || kind >= KIND_END) return;
    struct served *served = mem_calloc(1, sizeof *served);
    served->cluster = cluster;
    served->node = node;
    served->number = number;
    served->call.done = served_done;
    writer_init(&served->out);
    if (body.owner != NULL) served->body = buffer_ref(body.owner);
    list_push_back(&cluster->groups_served, &served->link);
    if (kind == KIND_BEAT) serve_beat(served, &in);
    if (kind == KIND_COMMIT) serve_commit(served, &in);
    if (kind == KIND_READ) serve_read(served, &in);
    if (kind == KIND_DELETE) serve_delete(served, &in);
    if (kind == KIND_LIST) serve_list(served);
}

void coordinator_forward_abandon(struct cluster *cluster) {
    LIST_FOREACH(it, &cluster->groups_served) {
        struct served *served = CONTAINER_OF(it, struct served, link);
        coordinator_cancel(&served->call);
        served_free(served);
    }
    struct list *first;
    while ((first = list_first(&cluster->groups_away)) != NULL) {
        struct group_away *away = CONTAINER_OF(first, struct group_away, link);
        forward_cancel(&away->forward);
        end(away, STATUS_CLOSED);
    }
}

/* ---- listing --------------------------------------------------------------------------------------------
 */

struct listing_part {
    struct forward forward;
    struct group_listing *listing;
    bool busy;
};

static void take_summaries(struct group_listing *listing, struct slice bytes) {
    struct reader in = reader_make(bytes);
    while (reader_ok(&in) && reader_remaining(&in) > 0) {
        char kind[32], state[32];
        struct group_summary summary = {.name = take(&in)};
        struct slice kind_text = take(&in), state_text = take(&in);
        summary.protocol_type = take(&in);
        summary.assignor = take(&in);
        summary.generation = (int32_t)reader_be32(&in);
        summary.member_count = (int32_t)reader_be32(&in);
        if (!reader_ok(&in) || kind_text.size >= sizeof kind || state_text.size >= sizeof state) return;
        memcpy(kind, kind_text.data, kind_text.size);
        memcpy(state, state_text.data, state_text.size);
        kind[kind_text.size] = state[state_text.size] = '\0';
        summary.kind = kind;
        summary.state = state;
        listing->visit(listing, &summary);
    }
}

static void listing_finish(struct io_op *op) {
    struct group_listing *listing = CONTAINER_OF(op, struct group_listing, op);
    mem_free(listing->parts);
    listing->parts = NULL;
    listing->done(listing);
}

static void listing_end_part(struct group_listing *listing) {
    if (--listing->busy > 0) return;
    listing->op = (struct io_op){.done = listing_finish};
    io_defer(listing->broker->io, &listing->op);
}

static void listed(struct forward *forward, enum status status, struct shared_slice body) {
    struct listing_part *part = CONTAINER_OF(forward, struct listing_part, forward);
    part->busy = false;
    if (status == STATUS_OK)
        take_summaries(part->listing, body.bytes);
    else
        part->listing->status = status == STATUS_NOT_LEADER ? STATUS_COORDINATOR_UNAVAILABLE : status;
    listing_end_part(part->listing);
}

static void visit_here(void *ctx, const struct group_summary *summary) {
    struct group_listing *listing = ctx;
    listing->visit(listing, summary);
}

void broker_list_groups(struct broker *broker, struct group_listing *listing) {
    struct broker_node nodes[BROKER_NODES_MAX];
    uint32_t count = broker->cluster == NULL ? 0 : broker_nodes(broker, nodes);
    listing->broker = broker;
    listing->busy = 1;
    listing->op = (struct io_op){0};
    list_init(&listing->op.link);
    listing->part_count = count;
    listing->parts = mem_calloc((size_t)count + 1, sizeof *listing->parts);
    listing->status = coordinators_summaries(broker, visit_here, listing);
    for (uint32_t i = 0; i < count; i++) {
        struct listing_part *part = &listing->parts[i];
        struct writer nothing;
        writer_init(&nothing);
        forward_init(&part->forward);
        part->listing = listing;
        part->forward.answered = listed;
        if (nodes[i].node == broker->options.node_id || !nodes[i].up) continue;
        part->busy = send(broker, (uint32_t)nodes[i].node, &part->forward, KIND_LIST, &nothing);
        listing->busy += part->busy;
    }
    listing_end_part(listing);
}

void broker_list_groups_cancel(struct group_listing *listing) {
    io_defer_cancel(&listing->op);
    for (uint32_t i = 0; listing->parts != NULL && i < listing->part_count; i++)
        forward_cancel(&listing->parts[i].forward);
    mem_free(listing->parts);
    listing->parts = NULL;
}
