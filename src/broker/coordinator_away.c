// SPDX-License-Identifier: Apache-2.0
#include "broker/coordinator_away.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/coordinator_forward.h"

#define NOTHING      UINT32_MAX
#define ELEMENTS_MAX 100000

/* ---- bytes --------------------------------------------------------------------------------------------- */

void away_put(struct writer *out, struct slice bytes) {
    writer_be32(out, bytes.data == NULL ? NOTHING : (uint32_t)bytes.size);
    writer_bytes(out, bytes);
}

struct slice away_take(struct reader *in) {
    uint32_t size = reader_be32(in);
    return size == NOTHING ? SLICE_EMPTY : reader_bytes(in, size);
}

void away_put_partition(struct writer *out, const struct group_partition *partition) {
    writer_bytes(out, slice_make(partition->topic.bytes, sizeof partition->topic.bytes));
    writer_be32(out, (uint32_t)partition->partition);
}

static struct uuid take_uuid(struct reader *in) {
    struct uuid id = {{0}};
    struct slice bytes = reader_bytes(in, sizeof id.bytes);
    if (bytes.size == sizeof id.bytes) memcpy(id.bytes, bytes.data, sizeof id.bytes);
    return id;
}

struct group_partition away_take_partition(struct reader *in) {
    struct group_partition partition = {.topic = take_uuid(in)};
    partition.partition = (int32_t)reader_be32(in);
    return partition;
}

uint32_t away_take_count(struct reader *in, size_t size) {
    uint32_t count = reader_be32(in);
    if (count > ELEMENTS_MAX || count > reader_remaining(in) / size) reader_fail(in);
    return reader_ok(in) ? count : 0;
}

void away_put_identity(struct writer *out, const struct group_identity *who) {
    away_put(out, who->group);
    away_put(out, who->member_id);
    away_put(out, who->instance_id);
    writer_be32(out, (uint32_t)who->generation);
}

struct group_identity away_take_identity(struct reader *in) {
    struct group_identity who = {.group = away_take(in)};
    who.member_id = away_take(in);
    who.instance_id = away_take(in);
    who.generation = (int32_t)reader_be32(in);
    return who;
}

static enum status take_status(struct reader *in) {
    uint8_t status = reader_u8(in);
    return status < STATUS_COUNT ? (enum status)status : STATUS_MALFORMED;
}

void away_put_offsets(struct writer *out, const struct group_commit *commit) {
    away_put_identity(out, &commit->who);
    writer_be32(out, commit->offset_count);
    for (uint32_t i = 0; i < commit->offset_count; i++) {
        const struct group_commit_offset *offset = &commit->offsets[i];
        away_put(out, offset->topic);
        away_put_partition(out, &(struct group_partition){offset->topic_id, offset->partition});
        writer_be64(out, (uint64_t)offset->offset);
        writer_be32(out, (uint32_t)offset->leader_epoch);
        away_put(out, offset->metadata);
        writer_u8(out, (uint8_t)offset->status);
    }
}

void away_take_offsets(struct reader *in, struct served *served, struct group_commit *commit) {
    commit->who = away_take_identity(in);
    commit->offset_count = served->offset_count = away_take_count(in, 41);
    commit->offsets = served->offsets = mem_calloc((size_t)commit->offset_count + 1, sizeof *commit->offsets);
    for (uint32_t i = 0; i < commit->offset_count; i++) {
        struct group_commit_offset *offset = &commit->offsets[i];
        offset->topic = away_take(in);
        struct group_partition partition = away_take_partition(in);
        offset->topic_id = partition.topic;
        offset->partition = partition.partition;
        offset->offset = (int64_t)reader_be64(in);
        offset->leader_epoch = (int32_t)reader_be32(in);
        offset->metadata = away_take(in);
        offset->status = take_status(in);
    }
}

void away_put_statuses(struct writer *out, const struct served *served) {
    for (uint32_t i = 0; i < served->offset_count; i++)
        writer_u8(out, (uint8_t)served->offsets[i].status);
}

void away_take_statuses(struct reader *in, struct group_away *away) {
    for (uint32_t i = 0; i < away->offset_count; i++)
        away->offsets[i].status = take_status(in);
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static void away_free(struct group_away *away) {
    list_remove(&away->link);
    away->call->away = NULL;
    away->call->coordinator = NULL;
    mem_free((void *)(uintptr_t)away->name.data);
    mem_free(away);
}

static void end(struct group_away *away, enum status status) {
    struct group_call *call = away->call;
    away_free(away);
    call->status = status;
    call->done(call);
}

static void answered(struct forward *forward, enum status status, struct shared_slice body) {
    struct group_away *away = CONTAINER_OF(forward, struct group_away, forward);
    struct reader in = reader_make(body.bytes);
    if (status == STATUS_OK && !away->take(away, &in)) status = STATUS_MALFORMED;
    end(away, status == STATUS_NOT_LEADER ? STATUS_NOT_COORDINATOR : status);
}

bool away_send(struct broker *broker, uint32_t node, struct forward *forward, enum away_kind kind,
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

uint32_t away_node(struct broker *broker, const struct group_call *call, struct slice name) {
    if (!call->forward || broker->cluster == NULL || broker->closing) return 0;
    int32_t node = broker_coordinator(broker, name);
    return node <= 0 || node == broker->options.node_id ? 0 : (uint32_t)node;
}

bool away_start(struct broker *broker, struct group_call *call, uint32_t node, enum away_kind kind,
                struct slice name, struct writer *bytes,
                bool (*take)(struct group_away *away, struct reader *in), struct group_away **result) {
    struct group_away *away = mem_calloc(1, sizeof *away);
    away->call = call;
    away->take = take;
    away->coordinator = &broker->coordinators->list[coordinator_index(name)];
    away->forward.answered = answered;
    forward_init(&away->forward);
    if (!away_send(broker, node, &away->forward, kind, bytes)) {
        mem_free(away);
        return false;
    }
    uint8_t *copy = mem_alloc(name.size + 1);
    if (name.size != 0) memcpy(copy, name.data, name.size);
    away->name = slice_make(copy, name.size);
    list_push_back(&broker->cluster->groups_away, &away->link);
    call->away = away;
    call->coordinator = away->coordinator;
    call->answered = false;
    if (result != NULL) *result = away;
    return true;
}

void coordinator_forward_cancel(struct group_call *call) {
    forward_cancel(&call->away->forward);
    away_free(call->away);
}

/* ---- answering ----------------------------------------------------------------------------------------- */

void served_free(struct served *served) {
    list_remove(&served->link);
    buffer_unref(served->body);
    mem_free(served->offsets);
    writer_release(&served->out);
    mem_free(served);
}

void served_answer(struct served *served, enum status status) {
    const uint8_t head = (uint8_t)status;
    struct chain body;
    chain_init(&body);
    chain_append_copy(&body, slice_make(&head, 1));
    if (status == STATUS_OK) chain_append_copy(&body, writer_slice(&served->out));
    MAYBE(peers_answer(served->cluster->peers, served->node, served->number, &body));
    chain_release(&body);
    served_free(served);
}

void coordinator_forward_request(struct cluster *cluster, uint32_t node, uint64_t number,
                                 struct shared_slice body) {
    static void (*const serve[AWAY_KIND_END])(struct served * served, struct reader * in) = {
        [AWAY_BEAT] = away_serve_beat,         [AWAY_COMMIT] = away_serve_commit,
        [AWAY_READ] = away_serve_read,         [AWAY_DELETE] = away_serve_delete,
        [AWAY_LIST] = away_serve_list,         [AWAY_TXN_BEGIN] = away_serve_txn_begin,
        [AWAY_TXN_END] = away_serve_txn_end,   [AWAY_TXN_COMMIT] = away_serve_txn_commit,
        [AWAY_TXN_LIST] = away_serve_txn_list,
    };
    struct reader in = reader_make(body.bytes);
    uint8_t kind = reader_u8(&in);
    if (!reader_ok(&in) || kind >= AWAY_KIND_END || serve[kind] == NULL) return;
    struct served *served = mem_calloc(1, sizeof *served);
    served->cluster = cluster;
    served->node = node;
    served->number = number;
    writer_init(&served->out);
    if (body.owner != NULL) served->body = buffer_ref(body.owner);
    list_push_back(&cluster->groups_served, &served->link);
    serve[kind](served, &in);
}

void coordinator_forward_abandon(struct cluster *cluster) {
    LIST_FOREACH(it, &cluster->groups_served) {
        struct served *served = CONTAINER_OF(it, struct served, link);
        coordinator_cancel(&served->call);
        coordinator_cancel(&served->txn.call.call);
        served_free(served);
    }
    struct list *first;
    while ((first = list_first(&cluster->groups_away)) != NULL) {
        struct group_away *away = CONTAINER_OF(first, struct group_away, link);
        forward_cancel(&away->forward);
        end(away, STATUS_CLOSED);
    }
}
