// SPDX-License-Identifier: Apache-2.0
#include "broker/read_replica.h"

#include "base/mem.h"
#include "broker/cluster.h"
#include "broker/partition_replica.h"

/* Who was sent lately; a later one takes the place of another whose key falls on the same. */
struct sent_readers {
    struct {
        uint64_t key, sent_ns;
    } slots[READ_SENT_MAX];
};

static uint64_t stale_ns(const struct broker *broker) {
    return READ_STALE_ELECTIONS * broker->options.election_timeout_ms * NS_PER_MS;
}

enum status read_replica_use(const struct partition *p) {
    if (p->replica == NULL) return STATUS_NOT_LEADER;
    enum status status = partition_replica_health(p);
    if (status != STATUS_OK) return status;
    bool fresh = raft_is_fresh(raft_replica_raft(p->replica), io_now_ns(p->broker->io), stale_ns(p->broker));
    return fresh && p->high_watermark >= p->watermark_told ? STATUS_OK : STATUS_NOT_LEADER;
}

static bool is_in(const struct broker *broker, uint64_t id, struct slice rack) {
    const struct metadata_node *node = metadata_node(&broker->metadata, raft_id_node(id));
    return node != NULL && raft_id(node->node, node->incarnation) == id &&
           slice_equal(slice_from_text(node->rack), rack);
}

/* True: it was sent away a moment ago. Else it is about to be. */
static bool comes_back(struct partition *p, uint64_t reader) {
    struct broker *broker = p->broker;
    if (broker->sent_readers == NULL) broker->sent_readers = mem_calloc(1, sizeof *broker->sent_readers);
    uint8_t name[16];
    store_be64(name, reader);
    store_be64(name + 8, p->group);
    uint64_t key = hash_bytes(broker->hash_seed, slice_make(name, sizeof name));
    uint64_t now = io_now_ns(broker->io);
    uint64_t *known = &broker->sent_readers->slots[key % READ_SENT_MAX].key;
    uint64_t *sent_ns = &broker->sent_readers->slots[key % READ_SENT_MAX].sent_ns;
    if (*known == key && *sent_ns != 0 && now - *sent_ns < READ_RETURN_NS) return true;
    *known = key;
    *sent_ns = now;
    return false;
}

int32_t read_replica_choose(struct partition *p, struct slice rack, uint64_t reader, int64_t offset) {
    struct broker *broker = p->broker;
    if (rack.size == 0 || p->replica == NULL || offset < p->log_start) return -1;
    const struct raft *raft = raft_replica_raft(p->replica);
    const struct raft_config *config = raft_config(raft);
    if (is_in(broker, raft->options->id, rack)) return -1;
    uint32_t nodes[RAFT_MEMBERS_MAX], count = 0;
    for (uint32_t i = 0; i < config->member_count; i++) {
        uint64_t id = config->members[i].id;
        if (id == raft->options->id || !is_in(broker, id, rack)) continue;
        if (!cluster_node_is_up(broker->cluster, raft_id_node(id)) ||
            !raft_is_in_sync(raft, id, io_now_ns(broker->io), stale_ns(broker)) ||
            raft_progress(raft, id)->match < (uint64_t)offset)
            continue;
        nodes[count++] = raft_id_node(id);
    }
    if (count == 0 || comes_back(p, reader)) return -1;
    broker->stats.readers_sent++;
    return (int32_t)nodes[reader % count]; /* readers of a rack are spread over its copies */
}

void read_replica_forget(struct broker *broker) {
    mem_free(broker->sent_readers);
    broker->sent_readers = NULL;
}
