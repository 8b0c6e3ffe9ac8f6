// SPDX-License-Identifier: Apache-2.0
/* What the nodes say of themselves: health, disk, and how far the copies are of what they lead.
 *
 *   REPORT  rest = nothing (no topic is named)
 *           answer = [OK u8][health u8][stored be64][disk free be64][disk be64][leads be32]
 *                    [late partitions be32] { [node be32][late be32][lacking be64] }...
 *
 * A node of an earlier version does not answer: it is not known until it is updated. */
#include "base/assert.h"
#include "broker/controller.h"
#include "broker/coordinator.h"
#include "broker/forward.h"
#include "broker/partition.h"

/* Whatever else uses the disk is no news to who watches the cluster, until there is this part of it less. */
#define DISK_STEPS 4096

/* ---- at the node that is asked -------------------------------------------------------------------------- */

struct copies {
    uint32_t node, late;
    uint64_t lacking;
};
struct looking {
    struct broker *broker;
    struct copies copies[METADATA_NODES_MAX];
    uint32_t count, leads, late_partitions;
};

static struct copies *copies_of(struct looking *looking, uint32_t node) {
    for (uint32_t i = 0; i < looking->count; i++)
        if (looking->copies[i].node == node) return &looking->copies[i];
    ASSERT_LT(looking->count, ARRAY_COUNT(looking->copies)); /* as many as the metadata has */
    looking->copies[looking->count] = (struct copies){.node = node};
    return &looking->copies[looking->count++];
}

/* True: the copy is late, and its node is there. */
static bool look_at_copy(struct looking *looking, const struct partition *p, uint32_t number) {
    struct broker *broker = looking->broker;
    const struct metadata_node *node = metadata_node(&broker->metadata, number);
    if (node == NULL || number == broker->cluster->node) return false;
    const struct raft *raft = raft_replica_raft(p->replica);
    uint64_t id = raft_id(number, node->incarnation);
    const struct raft_progress *progress = raft_progress(raft, id);
    /* A member that this leader has not heard yet may have all that was there before. */
    uint64_t has = progress == NULL ? 0 : progress->state == RAFT_PROBE ? progress->next : progress->match;
    has = MAX(has, (uint64_t)p->log_start);
    uint64_t stale_ns = broker->options.election_timeout_ms * NS_PER_MS;
    struct copies *copies = copies_of(looking, number);
    copies->lacking += raft->log.end > has ? raft->log.end - has : 0;
    if (raft_is_in_sync(raft, id, io_now_ns(broker->io), stale_ns)) return false;
    copies->late++;
    return cluster_node_is_up(broker->cluster, number);
}

static void look_at(void *ctx, struct raft_replica *replica) {
    struct looking *looking = ctx;
    uint64_t group = raft_replica_group(replica);
    if (group == 0 || group >= COORDINATOR_GROUP_FIRST || !raft_replica_is_leader(replica)) return;
    const struct partition *p = raft_replica_ctx(replica);
    const struct metadata_topic *topic = metadata_find_id(&looking->broker->metadata, p->topic->public.id);
    if (topic == NULL || p->index >= topic->partition_count) return;
    const struct metadata_replicas *replicas = &topic->replicas[p->index];
    looking->leads++;
    bool late = false;
    for (uint32_t i = 0; i < replicas->count; i++)
        late |= look_at_copy(looking, p, replicas->nodes[i]);
    looking->late_partitions += late && !metadata_is_moving(replicas);
}

void survey_serve(struct broker *broker, struct writer *out) {
    struct store_stats stats;
    store_stats(broker->store, &stats);
    uint64_t disk_free = 0, disk = 0;
    if (io_disk_space(broker->io, broker->data_dir, &disk_free, &disk) != STATUS_OK) disk_free = disk = 0;
    disk_free -= disk_free % (disk / DISK_STEPS + 1);
    struct looking looking = {.broker = broker};
    if (broker->cluster != NULL) raft_host_visit(broker->cluster->host, look_at, &looking);
    writer_u8(out, STATUS_OK);
    writer_u8(out, (uint8_t)broker_health(broker));
    writer_be64(out, stats.table_bytes + stats.wal_kept_bytes);
    writer_be64(out, disk_free);
    writer_be64(out, disk);
    writer_be32(out, looking.leads);
    writer_be32(out, looking.late_partitions);
    for (uint32_t i = 0; i < looking.count; i++) {
        writer_be32(out, looking.copies[i].node);
        writer_be32(out, looking.copies[i].late);
        writer_be64(out, looking.copies[i].lacking);
    }
}

/* ---- asking --------------------------------------------------------------------------------------------- */

/* Sums of what others say stay below what fits, whatever they say. */
static int64_t sum(int64_t sum, uint64_t more) {
    return more > (uint64_t)(INT64_MAX - sum) ? INT64_MAX : sum + (int64_t)more;
}

static void take_report(struct broker_survey *survey, struct broker_node_report *report, struct reader *in) {
    uint8_t health = reader_u8(in);
    uint64_t stored = reader_be64(in), disk_free = reader_be64(in), disk = reader_be64(in);
    uint32_t leads = reader_be32(in), late_partitions = reader_be32(in);
    if (!reader_ok(in) || health >= STATUS_COUNT) return;
    report->known = true;
    report->health = (enum status)health;
    report->stored_bytes = stored;
    report->disk_free_bytes = MIN(disk_free, disk);
    report->disk_bytes = disk;
    survey->late_partitions = sum(survey->late_partitions, late_partitions);
    survey->led_partitions = sum(survey->led_partitions, leads);
    while (reader_remaining(in) >= 16) {
        int32_t node = (int32_t)reader_be32(in);
        uint32_t late = reader_be32(in);
        uint64_t lacking = reader_be64(in);
        for (uint32_t i = 0; i < survey->report_count; i++) {
            if (survey->reports[i].node != node) continue;
            survey->reports[i].late = sum(survey->reports[i].late, late);
            survey->reports[i].lacking = sum(survey->reports[i].lacking, lacking);
        }
    }
}

static void finish(struct broker_survey *survey) {
    struct broker *broker = survey->broker;
    broker_survey_cancel(survey);
    for (uint32_t i = 0; i < survey->report_count; i++) {
        const struct broker_node_report *report = &survey->reports[i];
        bool up = broker->cluster == NULL || cluster_node_is_up(broker->cluster, (uint32_t)report->node);
        survey->is_complete &= report->known || !up;
    }
    survey->done(survey);
}

static void all_known(struct io_op *op) {
    finish(CONTAINER_OF(op, struct broker_survey, op));
}

static void patience_over(struct io_timer *timer) {
    finish(CONTAINER_OF(timer, struct broker_survey, timer));
}

static void answered(struct forward *forward, enum status status, struct shared_slice body) {
    struct broker_survey_question *question = CONTAINER_OF(forward, struct broker_survey_question,
                                                           forwarding);
    struct broker_survey *survey = question->survey;
    struct reader in = reader_make(body.bytes);
    if (status == STATUS_OK) take_report(survey, &survey->reports[question - survey->questions], &in);
    if (--survey->waiting == 0) finish(survey);
}

static bool ask(struct broker_survey *survey, uint32_t index) {
    static const uint8_t no_partition[6];
    struct chain body;
    chain_init(&body);
    chain_append_copy(&body, slice_make(no_partition, sizeof no_partition));
    bool sent = forward_send(survey->broker, &survey->questions[index].forwarding,
                             (uint32_t)survey->reports[index].node, FORWARD_REPORT, &body);
    chain_release(&body);
    return sent;
}

static void report_here(struct broker_survey *survey, struct broker_node_report *report) {
    struct writer out;
    writer_init(&out);
    survey_serve(survey->broker, &out);
    struct reader in = reader_make(writer_slice(&out));
    MAYBE(reader_u8(&in) == STATUS_OK);
    take_report(survey, report, &in);
    writer_release(&out);
}

void broker_survey(struct broker *broker, struct broker_survey *survey) {
    struct broker_node nodes[BROKER_NODES_MAX];
    survey->broker = broker;
    survey->report_count = broker_nodes(broker, nodes);
    survey->late_partitions = survey->led_partitions = 0;
    survey->is_complete = true;
    survey->waiting = 0;
    io_timer_init(&survey->timer, patience_over);
    survey->op = (struct io_op){.done = all_known};
    list_init(&survey->op.link);
    for (uint32_t i = 0; i < survey->report_count; i++) {
        survey->reports[i] = (struct broker_node_report){.node = nodes[i].node};
        survey->questions[i].survey = survey;
        survey->questions[i].forwarding.answered = answered;
        forward_init(&survey->questions[i].forwarding);
    }
    for (uint32_t i = 0; i < survey->report_count; i++) {
        if (nodes[i].node == broker->options.node_id)
            report_here(survey, &survey->reports[i]);
        else if (nodes[i].up)
            survey->waiting += ask(survey, i);
    }
    if (survey->waiting == 0)
        io_defer(broker->io, &survey->op);
    else
        io_timer_set(broker->io, &survey->timer, io_now_ns(broker->io) + SURVEY_PATIENCE_NS);
}

void broker_survey_cancel(struct broker_survey *survey) {
    io_timer_cancel(survey->broker->io, &survey->timer);
    io_defer_cancel(&survey->op);
    for (uint32_t i = 0; i < survey->report_count; i++)
        forward_cancel(&survey->questions[i].forwarding);
}
