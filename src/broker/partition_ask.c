// SPDX-License-Identifier: Apache-2.0
/* Questions to the leader of a partition, or of the metadata, whichever node it is: how far each replica is;
 * hand it over.
 *
 *   DESCRIBE  rest = nothing        answer = [status u8][log start be64][high watermark be64][log end
 * be64][bytes be64] [epoch be32] { [node be32][end be64][votes u8] }... TRANSFER  rest = [node be32] answer =
 * [status u8] */
#include "base/assert.h"
#include "broker/cluster.h"
#include "broker/controller.h"
#include "broker/forward.h"
#include "broker/partition.h"

static void finish(struct io_op *op) {
    struct partition_ask *ask = CONTAINER_OF(op, struct partition_ask, op);
    ask->done(ask);
}

static void answer(struct partition_ask *ask, enum status status) {
    ask->status = status;
    ask->op = (struct io_op){.done = finish};
    io_defer(ask->broker->io, &ask->op);
}

/* ---- at the leader --------------------------------------------------------------------------------------
 */

static void tell_replicas(struct partition_ask *ask, const struct raft_replica *replica) {
    const struct raft *raft = replica == NULL ? NULL : raft_replica_raft(replica);
    const struct raft_config *config = raft == NULL ? NULL : raft_config(raft);
    for (uint32_t i = 0; config != NULL && i < config->member_count; i++) {
        const struct raft_member *member = &config->members[i];
        const struct raft_progress *progress = raft_progress(raft, member->id);
        if (progress == NULL || ask->replica_count == ARRAY_COUNT(ask->replicas)) continue;
        ask->replicas[ask->replica_count++] = (struct partition_replica_info){
            .node = (int32_t)raft_id_node(member->id),
            .end_offset = (int64_t)progress->match,
            .votes = (member->flags & (RAFT_VOTER | RAFT_VOTER_OLD)) != 0};
    }
    if (replica == NULL)
        ask->replicas[ask->replica_count++] = (struct partition_replica_info){
            .node = ask->broker->options.node_id, .end_offset = ask->info.log_end_offset, .votes = true};
}

/* Alone the metadata has no log; commands are counted all the same. */
static enum status describe_metadata_here(struct partition_ask *ask) {
    const struct broker *broker = ask->broker;
    const struct raft_replica *replica = broker->cluster == NULL || broker->cluster->controller == NULL
                                             ? NULL
                                             : controller_replica(broker->cluster);
    if (broker->cluster != NULL && (replica == NULL || !raft_replica_is_leader(replica)))
        return STATUS_NOT_LEADER;
    const struct raft *raft = replica == NULL ? NULL : raft_replica_raft(replica);
    int64_t applied = (int64_t)broker->metadata.applied_index;
    ask->info.leader = broker->options.node_id;
    ask->info.leader_epoch = raft == NULL ? LEADER_EPOCH : (int32_t)raft->term;
    ask->info.high_watermark = raft == NULL ? applied : (int64_t)raft->commit_end;
    ask->info.log_end_offset = raft == NULL ? applied : (int64_t)raft->log.end;
    tell_replicas(ask, replica);
    return STATUS_OK;
}

/* PENDING only alone: what is not loaded is loaded first. */
static enum status describe_here(struct partition_ask *ask, struct slice topic) {
    struct broker *broker = ask->broker;
    enum status status = broker_partition_info(broker, topic, ask->partition, &ask->info);
    struct partition *p = broker_partition(broker, topic, ask->partition);
    if (status == STATUS_PENDING) status = partition_use_here(p, &ask->waiter);
    bool leads = broker->cluster == NULL ||
                 (p != NULL && p->replica != NULL && raft_replica_is_leader(p->replica));
    if (status == STATUS_OK && leads) tell_replicas(ask, p->replica);
    return status != STATUS_OK || leads ? status : STATUS_NOT_LEADER;
}

static enum status serve(struct partition_ask *ask) {
    if (ask->kind == PARTITION_DESCRIBE_METADATA) return describe_metadata_here(ask);
    return ask->kind == PARTITION_DESCRIBE
               ? describe_here(ask, ask->topic)
               : broker_transfer_leader(ask->broker, ask->topic, ask->partition, ask->node);
}

void partition_ask_serve(struct broker *broker, bool transfer, struct slice topic, int32_t partition,
                         struct reader *in, struct writer *out) {
    struct partition_ask ask = {.kind = transfer          ? PARTITION_TRANSFER
                                        : topic.size == 0 ? PARTITION_DESCRIBE_METADATA
                                                          : PARTITION_DESCRIBE,
                                .topic = topic,
                                .partition = partition,
                                .broker = broker};
    if (transfer) ask.node = (int32_t)reader_be32(in);
    writer_u8(out, (uint8_t)serve(&ask));
    if (transfer) return;
    writer_be64(out, (uint64_t)ask.info.log_start_offset);
    writer_be64(out, (uint64_t)ask.info.high_watermark);
    writer_be64(out, (uint64_t)ask.info.log_end_offset);
    writer_be64(out, ask.info.bytes);
    writer_be32(out, (uint32_t)ask.info.leader_epoch);
    for (uint32_t i = 0; i < ask.replica_count; i++) {
        writer_be32(out, (uint32_t)ask.replicas[i].node);
        writer_be64(out, (uint64_t)ask.replicas[i].end_offset);
        writer_u8(out, ask.replicas[i].votes);
    }
}

/* ---- asking ---------------------------------------------------------------------------------------------
 */

static void answer_from_here(struct partition_ask *ask, enum status status) {
    if (status != STATUS_PENDING) answer(ask, status);
}

static void loaded(struct partition_waiter *waiter) {
    struct partition_ask *ask = CONTAINER_OF(waiter, struct partition_ask, waiter);
    const struct partition *p = waiter->partition;
    if (p == NULL || p->topic->deleting)
        answer(ask, STATUS_UNKNOWN_TOPIC);
    else
        answer_from_here(ask, describe_here(ask, slice_from_text(p->topic->public.name)));
}

static void take_answer(struct partition_ask *ask, struct reader *in) {
    ask->info.log_start_offset = (int64_t)reader_be64(in);
    ask->info.high_watermark = (int64_t)reader_be64(in);
    ask->info.log_end_offset = (int64_t)reader_be64(in);
    ask->info.bytes = reader_be64(in);
    ask->info.leader_epoch = (int32_t)reader_be32(in);
    while (reader_ok(in) && reader_remaining(in) >= 13 && ask->replica_count < ARRAY_COUNT(ask->replicas)) {
        struct partition_replica_info *replica = &ask->replicas[ask->replica_count++];
        replica->node = (int32_t)reader_be32(in);
        replica->end_offset = (int64_t)reader_be64(in);
        replica->votes = reader_u8(in) != 0;
    }
}

static void answered(struct forward *forward, enum status status, struct shared_slice body) {
    struct partition_ask *ask = CONTAINER_OF(forward, struct partition_ask, forwarding);
    struct reader in = reader_make(body.bytes);
    if (ask->kind != PARTITION_TRANSFER && status == STATUS_OK) take_answer(ask, &in);
    answer(ask, status == STATUS_OK && !reader_ok(&in) ? STATUS_NOT_LEADER : status);
}

/* Without a topic the question is about the metadata. */
static void ask_controller(struct partition_ask *ask) {
    struct broker *broker = ask->broker;
    int32_t node = broker_controller(broker);
    if (node == broker->options.node_id || node < 0) {
        answer(ask, serve(ask));
        return;
    }
    struct writer head;
    struct chain body;
    writer_init(&head);
    chain_init(&body);
    writer_be16(&head, 0);
    writer_be32(&head, 0);
    chain_append_copy(&body, writer_slice(&head));
    writer_release(&head);
    ask->info.leader = node;
    if (!forward_send(broker, &ask->forwarding, (uint32_t)node, FORWARD_DESCRIBE, &body))
        answer(ask, STATUS_NOT_LEADER);
    chain_release(&body);
}

void broker_ask_partition(struct broker *broker, struct partition_ask *ask) {
    ask->broker = broker;
    ask->op = (struct io_op){0};
    list_init(&ask->op.link);
    ask->waiter = (struct partition_waiter){.resume = loaded};
    list_init(&ask->waiter.link);
    ask->replica_count = 0;
    ask->info = (struct partition_info){.leader = -1, .leader_epoch = -1};
    forward_init(&ask->forwarding);
    ask->forwarding.answered = answered;
    if (ask->kind == PARTITION_DESCRIBE_METADATA) {
        ask_controller(ask);
        return;
    }
    const struct broker_topic *topic = broker_topic_find(broker, ask->topic);
    if (topic == NULL || ask->partition < 0 || ask->partition >= topic->partition_count) {
        answer(ask, STATUS_UNKNOWN_TOPIC);
        return;
    }
    struct partition_leader leader = broker_partition_leader(broker, topic, ask->partition);
    struct writer rest;
    struct chain body;
    writer_init(&rest);
    chain_init(&body);
    if (ask->kind == PARTITION_TRANSFER) writer_be32(&rest, (uint32_t)ask->node);
    chain_append_copy(&body, writer_slice(&rest));
    writer_release(&rest);
    enum forward_op op = ask->kind == PARTITION_TRANSFER ? FORWARD_TRANSFER : FORWARD_DESCRIBE;
    if (!forward_start(broker, &ask->forwarding, op, ask->topic, ask->partition, &body))
        answer_from_here(ask, serve(ask));
    chain_release(&body);
    if (ask->kind == PARTITION_TRANSFER) return;
    ask->info.leader = leader.node;
}

void broker_ask_partition_cancel(struct partition_ask *ask) {
    partition_waiter_cancel(&ask->waiter);
    forward_cancel(&ask->forwarding);
    io_defer_cancel(&ask->op);
}
