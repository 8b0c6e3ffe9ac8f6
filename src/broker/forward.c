// SPDX-License-Identifier: Apache-2.0
#include "broker/forward.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/cluster.h"

/* ---- asking -----------------------------------------------------------------------------------------------
 */

static uint32_t leader_elsewhere(struct broker *broker, struct slice topic, int32_t partition) {
    const struct broker_topic *found = broker->cluster == NULL ? NULL : broker_topic_find(broker, topic);
    if (found == NULL || partition < 0 || partition >= found->partition_count) return 0;
    struct partition_leader leader = broker_partition_leader(broker, found, partition);
    return leader.node <= 0 || leader.node == broker->options.node_id ? 0 : (uint32_t)leader.node;
}

bool forward_is_elsewhere(struct broker *broker, struct slice topic, int32_t partition) {
    return leader_elsewhere(broker, topic, partition) != 0;
}

bool forward_send(struct broker *broker, struct forward *forward, uint32_t node, enum forward_op op,
                  struct chain *rest) {
    struct cluster *cluster = broker->cluster;
    ASSERT(list_empty(&forward->link)); /* one question at a time */
    const uint8_t head = (uint8_t)op;
    struct chain body;
    chain_init(&body);
    chain_append_copy(&body, slice_make(&head, 1));
    chain_append_chain(&body, rest);
    forward->number = ++cluster->next_number;
    forward->node = node;
    forward->deadline_ns = io_now_ns(broker->io) + FORWARD_TIMEOUT_NS;
    bool sent = !cluster->stopping && peers_request(cluster->peers, node, forward->number, &body);
    if (sent) list_push_back(&cluster->forwards, &forward->link);
    chain_release(&body);
    return sent;
}

bool forward_start(struct broker *broker, struct forward *forward, enum forward_op op, struct slice topic,
                   int32_t partition, struct chain *rest) {
    uint32_t leader = leader_elsewhere(broker, topic, partition);
    struct writer head;
    struct chain body;
    writer_init(&head);
    chain_init(&body);
    writer_be16(&head, (uint16_t)topic.size);
    writer_bytes(&head, topic);
    writer_be32(&head, (uint32_t)partition);
    chain_append_copy(&body, writer_slice(&head));
    chain_append_chain(&body, rest);
    writer_release(&head);
    bool sent = leader != 0 && forward_send(broker, forward, leader, op, &body);
    chain_release(&body);
    return sent;
}

void forward_cancel(struct forward *forward) {
    list_remove(&forward->link);
}

bool forward_answer(struct cluster *cluster, uint64_t number, struct shared_slice body) {
    LIST_FOREACH(it, &cluster->forwards) {
        struct forward *forward = CONTAINER_OF(it, struct forward, link);
        if (forward->number != number) continue;
        list_remove(it);
        struct reader in = reader_make(body.bytes);
        uint8_t status = reader_u8(&in);
        bool ok = reader_ok(&in) && status < STATUS_COUNT;
        forward->answered(forward, ok ? (enum status)status : STATUS_MALFORMED,
                          (struct shared_slice){slice_make(in.pos, reader_remaining(&in)), body.owner});
        return true;
    }
    return false;
}

void forward_tick(struct cluster *cluster) {
    uint64_t now = io_now_ns(cluster->broker->io);
    struct list *first;
    /* In the order in which they were asked: the deadlines ascend. */
    while ((first = list_first(&cluster->forwards)) != NULL) {
        struct forward *forward = CONTAINER_OF(first, struct forward, link);
        if (forward->deadline_ns > now && !cluster->stopping) return;
        list_remove(first);
        forward->answered(forward, STATUS_NOT_LEADER, (struct shared_slice){SLICE_EMPTY, NULL});
    }
}

void forward_node_gone(struct cluster *cluster, uint32_t node) {
    struct list lost;
    list_init(&lost);
    LIST_FOREACH(it, &cluster->forwards) {
        if (CONTAINER_OF(it, struct forward, link)->node != node) continue;
        list_remove(it);
        list_push_back(&lost, it);
    }
    struct list *first;
    while ((first = list_pop_front(&lost)) != NULL) {
        struct forward *forward = CONTAINER_OF(first, struct forward, link);
        forward->answered(forward, STATUS_NOT_LEADER, (struct shared_slice){SLICE_EMPTY, NULL});
    }
}

/* ---- answering ----------------------------------------------------------------------------------------- */

struct served {
    struct list link;
    struct cluster *cluster;
    uint32_t node;
    uint64_t number;
    enum forward_op op;
    struct append append;
    struct fetch fetch;
    struct fetch_partition part;
    struct list_offset lookup;
    struct delete_records deletion;
    char topic[TOPIC_NAME_SIZE_MAX];
};

static void answer(struct served *served, struct writer *head, struct chain *rest) {
    struct chain body;
    chain_init(&body);
    chain_append_copy(&body, writer_slice(head));
    if (rest != NULL) chain_append_chain(&body, rest);
    MAYBE(peers_answer(served->cluster->peers, served->node, served->number, &body));
    chain_release(&body);
    writer_release(head);
    list_remove(&served->link);
    mem_free(served);
}

static void append_done(struct append *append) {
    struct served *served = CONTAINER_OF(append, struct served, append);
    struct writer out;
    writer_init(&out);
    writer_u8(&out, (uint8_t)append->status);
    writer_be64(&out, (uint64_t)append->base_offset);
    writer_be64(&out, (uint64_t)append->log_append_time_ms);
    writer_be64(&out, (uint64_t)append->log_start_offset);
    writer_be32(&out, (uint32_t)append->leader_epoch);
    writer_be32(&out, (uint32_t)append->bad_record);
    if (append->status != STATUS_OK) writer_text(&out, append->diagnostic.text);
    answer(served, &out, NULL);
}

static void fetch_done(struct fetch *fetch) {
    struct served *served = CONTAINER_OF(fetch, struct served, fetch);
    const struct fetch_partition *part = &served->part;
    struct writer out, size;
    struct chain rest;
    writer_init(&out);
    writer_init(&size);
    chain_init(&rest);
    writer_u8(&out, (uint8_t)part->status);
    writer_be64(&out, (uint64_t)part->high_watermark);
    writer_be64(&out, (uint64_t)part->last_stable_offset);
    writer_be64(&out, (uint64_t)part->log_start_offset);
    writer_be32(&out, part->aborted_count);
    for (uint32_t i = 0; i < part->aborted_count; i++) {
        writer_be64(&out, (uint64_t)part->aborted[i].producer_id);
        writer_be64(&out, (uint64_t)part->aborted[i].first_offset);
        writer_be64(&out, (uint64_t)part->aborted[i].last_offset);
    }
    for (uint32_t i = 0; i < part->batch_count; i++) {
        writer_clear(&size);
        writer_be32(&size, (uint32_t)part->batches[i].bytes.size);
        chain_append_copy(&rest, writer_slice(&size));
        chain_append_shared(&rest, part->batches[i]);
    }
    writer_release(&size);
    fetch_release(fetch);
    answer(served, &out, &rest);
    chain_release(&rest);
}

static void list_done(struct list_offset *lookup) {
    struct served *served = CONTAINER_OF(lookup, struct served, lookup);
    struct writer out;
    writer_init(&out);
    writer_u8(&out, (uint8_t)lookup->status);
    writer_be64(&out, (uint64_t)lookup->offset);
    writer_be64(&out, (uint64_t)lookup->found_timestamp_ms);
    writer_be32(&out, (uint32_t)lookup->leader_epoch);
    answer(served, &out, NULL);
}

static void deletion_done(struct delete_records *request) {
    struct served *served = CONTAINER_OF(request, struct served, deletion);
    struct writer out;
    writer_init(&out);
    writer_u8(&out, (uint8_t)request->status);
    writer_be64(&out, (uint64_t)request->log_start_offset);
    answer(served, &out, NULL);
}

static void serve_at_once(struct served *served, struct slice topic, int32_t partition, struct reader *in) {
    struct writer out;
    writer_init(&out);
    if (served->op == FORWARD_REPORT)
        survey_serve(served->cluster->broker, &out);
    else
        partition_ask_serve(served->cluster->broker, served->op == FORWARD_TRANSFER, topic, partition, in,
                            &out);
    answer(served, &out, NULL);
}

static bool is_append(const struct served *served) {
    return served->op == FORWARD_APPEND || served->op == FORWARD_APPEND_TXN;
}

static void serve_append(struct served *served, struct slice topic, int32_t partition, struct reader *in,
                         struct buffer *owner) {
    struct append *append = &served->append;
    *append = (struct append){.topic = topic, .partition = partition, .done = append_done};
    if (served->op == FORWARD_APPEND_TXN) {
        uint16_t size = reader_be16(in);
        append->joins_transaction = reader_u8(in) != 0;
        append->transactional_id = reader_bytes(in, size); /* of the owner, as the batch */
    }
    append->batch = (struct shared_slice){slice_make(in->pos, reader_remaining(in)), owner};
    broker_append(served->cluster->broker, append);
}

static void serve(struct served *served, struct slice topic, int32_t partition, struct reader *in,
                  struct buffer *owner) {
    struct broker *broker = served->cluster->broker;
    if (served->op == FORWARD_DESCRIBE || served->op == FORWARD_TRANSFER || served->op == FORWARD_REPORT) {
        serve_at_once(served, topic, partition, in);
        return;
    }
    if (is_append(served)) {
        serve_append(served, topic, partition, in, owner);
        return;
    }
    uint64_t number = reader_be64(in);
    if (served->op == FORWARD_FETCH) {
        int32_t bytes = (int32_t)(reader_be32(in) & INT32_MAX);
        bool committed = reader_u8(in) != 0;
        served->part = (struct fetch_partition){.topic = topic,
                                                .partition = partition,
                                                .offset = (int64_t)number,
                                                .bytes_max = bytes,
                                                .leader_epoch = -1};
        served->fetch = (struct fetch){.partitions = &served->part,
                                       .partition_count = 1,
                                       .bytes_max = bytes,
                                       .read_committed = committed,
                                       .done = fetch_done};
        broker_fetch(broker, &served->fetch);
    } else if (served->op == FORWARD_DELETE) {
        served->deletion = (struct delete_records){
            .topic = topic, .partition = partition, .offset = (int64_t)number, .done = deletion_done};
        broker_delete_records(broker, &served->deletion);
    } else {
        served->lookup = (struct list_offset){.topic = topic,
                                              .partition = partition,
                                              .timestamp_ms = (int64_t)number,
                                              .read_committed = reader_remaining(in) > 0 &&
                                                                reader_u8(in) != 0,
                                              .done = list_done};
        broker_list_offset(broker, &served->lookup);
    }
}

void forward_request(struct cluster *cluster, uint32_t node, uint64_t number, struct shared_slice body) {
    struct reader in = reader_make(body.bytes);
    uint8_t op = reader_u8(&in);
    struct slice topic = reader_bytes(&in, reader_be16(&in));
    int32_t partition = (int32_t)reader_be32(&in);
    bool fits = op == FORWARD_APPEND || op == FORWARD_APPEND_TXN ||
                (op == FORWARD_FETCH && reader_remaining(&in) == 13) ||
                ((op == FORWARD_LIST || op == FORWARD_DELETE) && reader_remaining(&in) == 8) ||
                (op == FORWARD_LIST && reader_remaining(&in) == 9) || op == FORWARD_DESCRIBE ||
                op == FORWARD_REPORT || (op == FORWARD_TRANSFER && reader_remaining(&in) == 4);
    if (!reader_ok(&in) || !fits || topic.size > TOPIC_NAME_SIZE_MAX) return;
    struct served *served = mem_calloc(1, sizeof *served);
    served->cluster = cluster;
    served->node = node;
    served->number = number;
    served->op = (enum forward_op)op;
    if (topic.size != 0) memcpy(served->topic, topic.data, topic.size);
    list_push_back(&cluster->served, &served->link);
    serve(served, slice_make(served->topic, topic.size), partition, &in, body.owner);
}

void forward_abandon(struct cluster *cluster) {
    LIST_FOREACH(it, &cluster->served) {
        struct served *served = CONTAINER_OF(it, struct served, link);
        list_remove(it);
        if (is_append(served)) append_abandon(&served->append);
        if (served->op == FORWARD_FETCH) broker_fetch_cancel(&served->fetch);
        if (served->op == FORWARD_LIST) broker_list_offset_cancel(&served->lookup);
        if (served->op == FORWARD_DELETE) delete_records_abandon(&served->deletion);
        mem_free(served);
    }
}
