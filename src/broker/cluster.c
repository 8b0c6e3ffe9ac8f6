// SPDX-License-Identifier: Apache-2.0
#include "broker/cluster.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "broker/adopt.h"
#include "broker/controller.h"
#include "broker/coordinator_forward.h"
#include "broker/coordinator_remote.h"
#include "broker/forward.h"
#include "broker/keys.h"
#include "broker/metadata_log.h"
#include "broker/moves.h"
#include "broker/partition_replica.h"
#include "broker/survivors.h"
#include "broker/topics.h"

#define IDENTITY_VERSION       2
#define IDENTITY_VERSION_ALONE 1 /* metadata_log.c */
#define NOTICE_LEADERS         1
#define NOTICE_LOG_START       2
#define NOTICE_DEPARTING       3
#define ANNOUNCE_TICKS         20 /* who leads what is told again so often, should it have been lost */

/* ---- identity -------------------------------------------------------------------------------------------
 */

static void encode_founding(const struct cluster *cluster, struct writer *out) {
    for (uint32_t i = 0; i < cluster->founder_count; i++)
        writer_be64(out, cluster->founders[i]);
}

static bool decode_founding(struct cluster *cluster, struct slice bytes) {
    if (bytes.size % 8 != 0 || bytes.size / 8 > PEERS_MAX || bytes.size == 0) return false;
    cluster->founder_count = (uint32_t)(bytes.size / 8);
    for (uint32_t i = 0; i < cluster->founder_count; i++) {
        cluster->founders[i] = load_be64(bytes.data + 8 * (size_t)i);
        if (cluster->founders[i] == 0 || (i > 0 && cluster->founders[i - 1] >= cluster->founders[i]))
            return false;
    }
    return true;
}

/* [version u8][node be32][incarnation be32][cluster id, 22 bytes or zeros][founders be64]... */
static void put_identity(struct cluster *cluster, struct store_write *write) {
    struct writer value;
    writer_init(&value);
    uint8_t id[PEER_CLUSTER_ID_SIZE];
    memcpy(id, cluster->cluster_id, sizeof id);
    writer_u8(&value, IDENTITY_VERSION);
    writer_be32(&value, cluster->node);
    writer_be32(&value, cluster->incarnation);
    writer_bytes(&value, slice_make(id, sizeof id));
    encode_founding(cluster, &value);
    struct key key = key_prefix(0, KEY_META);
    store_put(write, key_slice(&key), (struct shared_slice){writer_slice(&value), NULL});
    writer_release(&value);
}

static enum status check_number(const struct cluster *cluster, uint32_t node, struct diagnostic *diagnostic) {
    if (node == cluster->node) return STATUS_OK;
    return diagnose(diagnostic, STATUS_INVALID,
                    "'%s' belongs to node %u, this is node %u: start with --node-id %u, or with another "
                    "--data-dir",
                    cluster->broker->data_dir, node, cluster->node, node);
}

static enum status read_identity(struct cluster *cluster, struct slice value, struct diagnostic *diagnostic) {
    struct broker *broker = cluster->broker;
    struct reader in = reader_make(value);
    uint8_t version = reader_u8(&in);
    uint32_t node = reader_be32(&in);
    cluster->adopting = version == IDENTITY_VERSION_ALONE && reader_ok(&in);
    if (cluster->adopting) return check_number(cluster, node, diagnostic);
    if (version != IDENTITY_VERSION)
        return diagnose(diagnostic, STATUS_CORRUPT, "the node's identity in '%s' is damaged",
                        broker->data_dir);
    cluster->incarnation = reader_be32(&in);
    struct slice id = reader_bytes(&in, PEER_CLUSTER_ID_SIZE);
    if (!reader_ok(&in) || cluster->incarnation == 0)
        return diagnose(diagnostic, STATUS_CORRUPT, "the node's identity in '%s' is damaged",
                        broker->data_dir);
    memcpy(cluster->cluster_id, id.data, id.size);
    if (cluster->cluster_id[0] != '\0' &&
        !decode_founding(cluster, slice_make(in.pos, reader_remaining(&in))))
        return diagnose(diagnostic, STATUS_CORRUPT, "the node's identity in '%s' is damaged",
                        broker->data_dir);
    return check_number(cluster, node, diagnostic);
}

static void identity_durable(struct store_write *write);
static void connect_peers(struct cluster *cluster);

/* Before anything else that this disk will hold (store.h, I2). One write at a time; a full disk is tried
 * again at each tick, for nobody else would. */
static void write_identity(struct cluster *cluster) {
    cluster->identity_due = true;
    if (cluster->identity_writing || cluster->stopping) return;
    cluster->identity_due = false;
    cluster->identity_writing = true;
    store_write_init(&cluster->identity, identity_durable);
    put_identity(cluster, &cluster->identity);
    store_write_submit(cluster->broker->store, &cluster->identity);
}

enum status cluster_open(struct broker *broker, struct diagnostic *diagnostic) {
    struct cluster *cluster = mem_calloc(1, sizeof *cluster);
    list_init(&cluster->forwards);
    list_init(&cluster->served);
    list_init(&cluster->groups_away);
    list_init(&cluster->groups_served);
    list_init(&cluster->served_calls);
    list_init(&cluster->unopened);
    list_init(&cluster->metadata_read.link);
    cluster->broker = broker;
    cluster->moves = moves_new(cluster);
    cluster->node = (uint32_t)broker->options.node_id;
    map_init(&cluster->leaders, broker->hash_seed);
    store_write_init(&cluster->identity, identity_durable);
    broker->cluster = cluster;
    struct key key = key_prefix(0, KEY_META);
    struct shared_slice value;
    enum status status = store_get_blocking(broker->store, key_slice(&key), &value);
    if (status == STATUS_OK) {
        status = read_identity(cluster, value.bytes, diagnostic);
        shared_slice_unref(value);
        cluster->identified = status == STATUS_OK && !cluster->adopting;
        while (cluster->incarnation == 0)
            io_random(broker->io, &cluster->incarnation, sizeof cluster->incarnation);
        return status;
    }
    if (status != STATUS_NOT_FOUND)
        return diagnose(diagnostic, status, "the node's identity in '%s' cannot be read: %s",
                        broker->data_dir, status_text(status));
    while (cluster->incarnation == 0)
        io_random(broker->io, &cluster->incarnation, sizeof cluster->incarnation);
    write_identity(cluster);
    return STATUS_OK;
}

/* ---- founding and joining ---------------------------------------------------------------------------------
 */

struct raft_config *cluster_founding(const struct cluster *cluster,
                                     const struct metadata_replicas *replicas) {
    uint32_t founders[METADATA_REPLICAS_MAX];
    uint32_t count = replicas->founded == 0 ? 0 : metadata_founders(replicas, founders);
    if (count == 0) return NULL;
    struct raft_config *config = mem_calloc(1, raft_config_size(count));
    bool ours = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct metadata_node *node = metadata_node(&cluster->broker->metadata, founders[i]);
        uint32_t incarnation = node == NULL ? 0 : metadata_incarnation_at(node, replicas->founded);
        if (incarnation == 0) {
            mem_free(config);
            return NULL;
        }
        uint64_t id = raft_id(node->node, incarnation);
        ours |= id == raft_id(cluster->node, cluster->incarnation);
        uint32_t at = config->member_count++;
        for (; at > 0 && config->members[at - 1].id > id; at--)
            config->members[at] = config->members[at - 1];
        config->members[at] = (struct raft_member){id, RAFT_VOTER};
    }
    if (ours) return config;
    mem_free(config);
    return NULL;
}

static struct raft_config *founders_config(const struct cluster *cluster) {
    struct raft_config *config = mem_calloc(1, raft_config_size(cluster->founder_count));
    config->member_count = cluster->founder_count;
    bool ours = false;
    for (uint32_t i = 0; i < cluster->founder_count; i++) {
        config->members[i] = (struct raft_member){cluster->founders[i], RAFT_VOTER};
        ours |= cluster->founders[i] == raft_id(cluster->node, cluster->incarnation);
    }
    if (ours) return config;
    mem_free(config);
    return NULL;
}

static void tell_peers(struct cluster *cluster) {
    struct writer founding;
    writer_init(&founding);
    encode_founding(cluster, &founding);
    peers_set_cluster(cluster->peers, cluster->cluster_id, writer_slice(&founding));
    writer_release(&founding);
}

/* The cluster is known and stands on our disk: take part. */
static enum status formed(struct cluster *cluster, struct diagnostic *diagnostic) {
    struct raft_config *config = founders_config(cluster);
    enum status status = controller_open(cluster, config, diagnostic);
    /* Who is no founder waits, with an empty log, to be made a member. */
    if (status == STATUS_OK) status = coordinators_join(cluster->broker, config, diagnostic);
    mem_free(config);
    if (status == STATUS_OK) tell_peers(cluster);
    return status;
}

static void identity_durable(struct store_write *write) {
    struct cluster *cluster = CONTAINER_OF(write, struct cluster, identity);
    enum status status = write->status;
    store_write_release(write);
    cluster->identity_writing = false;
    struct log *log = cluster->broker->log;
    if (status != STATUS_OK) {
        if (status != cluster->identity_status)
            log_error(log, "the node's identity cannot be stored reason=%s", status_name(status));
        cluster->identity_status = status;
        cluster->identity_due = status == STATUS_NO_SPACE && !cluster->adopting; /* else: at the next start */
        return;
    }
    cluster->identity_status = STATUS_OK;
    if (!cluster->identified) {
        cluster->identified = true;
        connect_peers(cluster);
    }
    if (cluster->identity_due) {
        write_identity(cluster); /* it has found its cluster meanwhile */
        return;
    }
    if (!cluster->forming || cluster->stopping) return;
    cluster->forming = false;
    log_info(log, "cluster formed id=%s founders=%u", cluster->cluster_id, cluster->founder_count);
    struct diagnostic why;
    if (formed(cluster, &why) != STATUS_OK)
        log_error(log, "the controller cannot start reason=\"%s\"", why.text);
    else if (cluster->adopting)
        topics_load(cluster->broker);
    cluster->adopting = false;
}

/* The cluster is this node alone, with all that its disk holds; others join it. */
static enum status adopt(struct cluster *cluster, struct diagnostic *diagnostic) {
    struct metadata *m = &cluster->broker->metadata;
    enum status status = metadata_log_load(cluster->broker, m, diagnostic);
    if (status == STATUS_OK && m->cluster_id[0] == '\0')
        status = diagnose(diagnostic, STATUS_CORRUPT, "the cluster's id in '%s' is missing",
                          cluster->broker->data_dir);
    if (status != STATUS_OK) return status;
    memcpy(cluster->cluster_id, m->cluster_id, sizeof cluster->cluster_id);
    cluster->founders[0] = raft_id(cluster->node, cluster->incarnation);
    cluster->founder_count = 1;
    cluster->forming = true;
    cluster->identity_writing = true;
    store_write_init(&cluster->identity, identity_durable);
    put_identity(cluster, &cluster->identity);
    status = adopt_groups(cluster, &cluster->identity, diagnostic);
    metadata_release(m); /* the controller loads what is written now */
    metadata_init(m, cluster->broker->hash_seed);
    if (status != STATUS_OK) return status;
    log_info(cluster->broker->log, "a broker that ran alone becomes a member of a cluster node=%u",
             cluster->node);
    store_write_submit(cluster->broker->store, &cluster->identity);
    return STATUS_OK;
}

static void begin_forming(struct cluster *cluster) {
    cluster->forming = true;
    write_identity(cluster);
}

/* All are there and all are new, and we have the lowest number. */
static void found_if_possible(struct cluster *cluster) {
    const struct broker_options *options = &cluster->broker->options;
    if (cluster->cluster_id[0] != '\0' || cluster->forming) return;
    if (cluster->identity_writing || cluster->identity_due) return;
    cluster->founder_count = 0;
    for (uint32_t i = 0; i < options->peer_count; i++) {
        uint32_t node = options->peers[i].node;
        if (node < cluster->node) return;
        uint32_t incarnation = node == cluster->node ? cluster->incarnation : cluster->fresh[i];
        if (incarnation == 0 || (node != cluster->node && !cluster_node_is_up(cluster, node))) return;
        uint64_t id = raft_id(node, incarnation);
        uint32_t at = cluster->founder_count++;
        for (; at > 0 && cluster->founders[at - 1] > id; at--)
            cluster->founders[at] = cluster->founders[at - 1];
        cluster->founders[at] = id;
    }
    metadata_random_id(cluster->broker->io, cluster->cluster_id);
    begin_forming(cluster);
}

static void form(struct io_op *op) {
    struct cluster *cluster = CONTAINER_OF(op, struct cluster, form);
    cluster->form_scheduled = false;
    if (!cluster->stopping) found_if_possible(cluster);
}

static enum peer_refusal hello(void *ctx, const struct peer_hello *hello) {
    struct cluster *cluster = ctx;
    const struct broker_options *options = &cluster->broker->options;
    if (cluster->cluster_id[0] != '\0') return PEER_ACCEPTED;
    if (hello->cluster_id[0] != '\0') {
        if (!decode_founding(cluster, hello->founding)) return PEER_OTHER_CLUSTER;
        memcpy(cluster->cluster_id, hello->cluster_id, sizeof cluster->cluster_id);
        begin_forming(cluster);
        return PEER_ACCEPTED;
    }
    for (uint32_t i = 0; i < options->peer_count; i++)
        if (options->peers[i].node == hello->node) cluster->fresh[i] = hello->incarnation;
    if (!cluster->form_scheduled) {
        cluster->form_scheduled = true;
        cluster->form.done = form;
        io_defer(cluster->broker->io, &cluster->form);
    }
    return PEER_ACCEPTED;
}

/* ---- who leads what ------------------------------------------------------------------------------------ */

struct known_leader cluster_leader(struct cluster *cluster, uint64_t group) {
    struct raft_replica *replica = cluster->host == NULL ? NULL : raft_host_find(cluster->host, group);
    /* A leader that is down is nobody to be sent to: clients do not find it among the nodes. */
    if (replica != NULL && raft_replica_leader(replica) != 0 &&
        cluster_node_is_up(cluster, raft_replica_leader(replica)))
        return (struct known_leader){raft_replica_leader(replica), raft_replica_raft(replica)->term};
    uint8_t key[8];
    store_be64(key, group);
    const struct known_leader *known = map_get(&cluster->leaders, slice_make(key, sizeof key));
    if (known == NULL || !cluster_node_is_up(cluster, known->node)) return (struct known_leader){0};
    if (replica != NULL && raft_replica_raft(replica)->term > known->term) return (struct known_leader){0};
    return *known;
}

static void learn_leader(struct cluster *cluster, uint64_t group, uint64_t term, uint32_t node) {
    uint8_t bytes[8];
    store_be64(bytes, group);
    struct slice key = slice_make(bytes, sizeof bytes);
    struct known_leader *known = map_get(&cluster->leaders, key);
    if (known == NULL) {
        /* Groups of topics that are gone stay until the process ends; a hostile peer shall not fill memory.
         */
        if (cluster->leaders.count > (size_t)cluster->broker->metadata.partition_total + 100000) return;
        known = mem_calloc(1, sizeof *known);
        map_put(&cluster->leaders, key, known);
    }
    if (term >= known->term) *known = (struct known_leader){node, term};
}

static void add_leader(struct writer *out, const struct raft_replica *replica) {
    writer_be64(out, raft_replica_group(replica));
    writer_be64(out, raft_replica_raft(replica)->term);
}

static void send_notice(struct cluster *cluster, uint32_t node, struct writer *notice) {
    struct chain body;
    chain_init(&body);
    chain_append_copy(&body, writer_slice(notice));
    MAYBE(peers_notice(cluster->peers, node, &body));
    chain_release(&body);
}

void cluster_announce(struct cluster *cluster, const struct raft_replica *replica) {
    struct writer notice;
    writer_init(&notice);
    writer_u8(&notice, NOTICE_LEADERS);
    add_leader(&notice, replica);
    struct peer_info peer;
    for (uint32_t i = 0; peers_get(cluster->peers, i, &peer); i++)
        send_notice(cluster, peer.node, &notice);
    writer_release(&notice);
}

static void add_if_led(void *ctx, struct raft_replica *replica) {
    if (raft_replica_is_leader(replica)) add_leader(ctx, replica);
}

/* 0: to all. */
static void announce_all_to(struct cluster *cluster, uint32_t node) {
    struct writer notice;
    writer_init(&notice);
    writer_u8(&notice, NOTICE_LEADERS);
    raft_host_visit(cluster->host, add_if_led, &notice);
    struct peer_info peer;
    for (uint32_t i = 0; notice.size > 1 && peers_get(cluster->peers, i, &peer); i++)
        if (node == 0 || peer.node == node) send_notice(cluster, peer.node, &notice);
    writer_release(&notice);
}

/* ---- what peers say ------------------------------------------------------------------------------------ */

static void on_message(void *ctx, uint32_t node, struct shared_slice message) {
    struct cluster *cluster = ctx;
    MAYBE(node != 0);
    raft_host_deliver(cluster->host, message);
}

static void on_request(void *ctx, uint32_t node, uint64_t number, struct shared_slice body) {
    if (body.bytes.size == 0) return;
    if (body.bytes.data[0] == FORWARD_CONTROLLER)
        controller_request(ctx, node, number, slice_make(body.bytes.data + 1, body.bytes.size - 1));
    else if (body.bytes.data[0] == FORWARD_GROUP)
        coordinator_forward_request(
            ctx, node, number,
            (struct shared_slice){slice_make(body.bytes.data + 1, body.bytes.size - 1), body.owner});
    else if (body.bytes.data[0] >= FORWARD_TXN_ASK && body.bytes.data[0] <= FORWARD_END_PENDING)
        coordinator_remote_request(ctx, node, number, body.bytes);
    else
        forward_request(ctx, node, number, body);
}

static void on_answer(void *ctx, uint32_t node, uint64_t number, struct shared_slice body) {
    MAYBE(node != 0);
    if (!forward_answer(ctx, number, body)) controller_answer(ctx, number, body.bytes);
}

void cluster_tell_log_start(struct cluster *cluster, const struct raft_replica *replica, int64_t log_start) {
    const struct raft_config *config = raft_config(raft_replica_raft(replica));
    struct writer notice;
    writer_init(&notice);
    writer_u8(&notice, NOTICE_LOG_START);
    writer_be64(&notice, raft_replica_group(replica));
    writer_be64(&notice, (uint64_t)log_start);
    for (uint32_t i = 0; i < config->member_count; i++)
        send_notice(cluster, raft_id_node(config->members[i].id), &notice);
    writer_release(&notice);
}

/* Only the leader says where a log begins. */
static void take_log_start(struct cluster *cluster, uint32_t node, struct reader *in) {
    uint64_t group = reader_be64(in), log_start = reader_be64(in);
    struct raft_replica *replica = reader_ok(in) ? raft_host_find(cluster->host, group) : NULL;
    if (replica == NULL || group == 0 || group >= COORDINATOR_GROUP_FIRST || log_start > INT64_MAX ||
        raft_replica_leader(replica) != node)
        return;
    partition_replica_follow_start(raft_replica_ctx(replica), (int64_t)log_start);
}

/* ---- who leaves: two that do must not hand over to each other ------------------------------------------ */

bool cluster_node_departs(const struct cluster *cluster, uint32_t node) {
    for (uint32_t i = 0; i < cluster->departing_count; i++)
        if (cluster->departing[i] == node) return true;
    return false;
}

static void note_departing(struct cluster *cluster, uint32_t node) {
    if (cluster_node_departs(cluster, node) || cluster->departing_count == PEERS_MAX) return;
    cluster->departing[cluster->departing_count++] = node;
}

static void forget_departing(struct cluster *cluster, uint32_t node) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < cluster->departing_count; i++)
        if (cluster->departing[i] != node) cluster->departing[kept++] = cluster->departing[i];
    cluster->departing_count = kept;
}

/* Again and again: a notice may be lost, and a connection begin anew. */
static void tell_departing(struct cluster *cluster) {
    struct writer notice;
    struct peer_info peer;
    writer_init(&notice);
    writer_u8(&notice, NOTICE_DEPARTING);
    for (uint32_t i = 0; peers_get(cluster->peers, i, &peer); i++)
        send_notice(cluster, peer.node, &notice);
    writer_release(&notice);
}

static void on_notice(void *ctx, uint32_t node, struct shared_slice body) {
    struct reader in = reader_make(body.bytes);
    uint8_t kind = reader_u8(&in);
    if (kind == NOTICE_LOG_START) take_log_start(ctx, node, &in);
    if (kind == NOTICE_DEPARTING) note_departing(ctx, node);
    if (kind != NOTICE_LEADERS) return;
    while (reader_remaining(&in) >= 16) {
        uint64_t group = reader_be64(&in);
        learn_leader(ctx, group, reader_be64(&in), node);
    }
}

static void on_down(void *ctx, uint32_t node) {
    struct cluster *cluster = ctx;
    forget_departing(cluster, node);
    raft_host_node_down(cluster->host, node);
    forward_node_gone(cluster, node);
}

static void on_up(void *ctx, uint32_t node) {
    struct cluster *cluster = ctx;
    forget_departing(cluster, node);
    raft_host_node_up(cluster->host, node);
    forward_node_gone(cluster, node);
    announce_all_to(cluster, node);
}

static const struct peer_events events = {.message = on_message,
                                          .request = on_request,
                                          .answer = on_answer,
                                          .notice = on_notice,
                                          .down = on_down,
                                          .up = on_up,
                                          .hello = hello};

static void send_message(void *ctx, uint32_t node, struct chain *message) {
    struct cluster *cluster = ctx;
    peers_send(cluster->peers, node, message);
}

bool cluster_node_is_up(const struct cluster *cluster, uint32_t node) {
    struct peer_info info;
    if (node == cluster->node) return true;
    return cluster->peers != NULL && peers_find(cluster->peers, node, &info) && info.up;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static bool is_member(const struct cluster *cluster, uint32_t node) {
    const struct raft_config *config = raft_config(raft_replica_raft(controller_replica(cluster)));
    for (uint32_t i = 0; config != NULL && i < config->member_count; i++)
        if (raft_id_node(config->members[i].id) == node) return true;
    return false;
}

/* Who was removed is talked to until it may know. */
static void forget_removed(struct cluster *cluster) {
    const struct metadata *m = &cluster->broker->metadata;
    for (uint32_t i = 0; i < m->removed_count; i++) {
        uint32_t node = m->removed[i].node;
        if (node != cluster->node && metadata_node(m, node) == NULL && !is_member(cluster, node))
            peers_remove(cluster->peers, node);
    }
}

/* Nodes that were added later are not in --peers of those that came before. */
static void know_registered(struct cluster *cluster) {
    const struct metadata *m = &cluster->broker->metadata;
    const struct broker_options *options = &cluster->broker->options;
    for (uint32_t i = 0; i < m->node_count; i++) {
        bool listed = m->nodes[i].node == cluster->node;
        struct peer_info known;
        for (uint32_t p = 0; p < options->peer_count; p++)
            listed |= options->peers[p].node == m->nodes[i].node &&
                      peers_find(cluster->peers, m->nodes[i].node, &known);
        if (!listed) MAYBE(peers_add(cluster->peers, m->nodes[i].node, m->nodes[i].address) == STATUS_OK);
    }
}

static void check_left(struct cluster *cluster) {
    if (!cluster->leaving || cluster->left == NULL) return;
    tell_departing(cluster);
    bool nothing_left = members_hand_over(cluster);
    if (!nothing_left && io_now_ns(cluster->broker->io) < cluster->leave_deadline_ns) return;
    void (*left)(void *ctx) = cluster->left;
    cluster->left = NULL;
    left(cluster->left_ctx);
}

/* What the whole cluster was told wins. */
static void set_catch_up_rate(struct cluster *cluster) {
    const struct broker *broker = cluster->broker;
    int64_t rate = broker->metadata.catch_up_rate;
    raft_host_set_bulk_rate(cluster->host, rate >= 0 ? (uint64_t)rate : broker->options.catch_up_rate);
}

static void tick(struct io_timer *timer) {
    struct cluster *cluster = CONTAINER_OF(timer, struct cluster, timer);
    cluster->ticks++;
    forward_tick(cluster);
    /* Leaving is looked at more often: nobody is served meanwhile. */
    uint64_t pause = cluster->leaving ? CLUSTER_TICK_NS / 10 : CLUSTER_TICK_NS;
    io_timer_set(cluster->broker->io, timer, io_now_ns(cluster->broker->io) + pause);
    if (cluster->identity_due) write_identity(cluster);
    found_if_possible(cluster);
    set_catch_up_rate(cluster);
    if (cluster->controller != NULL) {
        controller_tick(cluster);
        know_registered(cluster);
        forget_removed(cluster);
        coordinators_tick(cluster->broker);
        partition_replicas_retry(cluster);
        if (broker_health(cluster->broker) != STATUS_OK) {
            MAYBE(members_hand_over(cluster)); /* who writes is refused here before anything would fail */
        } else if (!cluster->leaving) {
            members_tend(cluster);
            survivors_tick(cluster);
        }
        moves_tick(cluster->moves);
        if (cluster->ticks % ANNOUNCE_TICKS == 0) announce_all_to(cluster, 0);
    }
    check_left(cluster);
}

/* Nobody hears of an identity before the disk holds it: after a crash the node would have another, and a
 * cluster that was founded with the first would count a member that nobody speaks for. */
static void connect_peers(struct cluster *cluster) {
    const struct broker_options *options = &cluster->broker->options;
    if (!cluster->identified || cluster->peers == NULL || cluster->stopping) return;
    for (uint32_t i = 0; i < options->peer_count; i++)
        if (options->peers[i].node != cluster->node)
            MAYBE(peers_add(cluster->peers, options->peers[i].node, options->peers[i].address) == STATUS_OK);
}

static struct raft_options raft_options_of(const struct cluster *cluster) {
    const struct broker_options *options = &cluster->broker->options;
    struct raft_options raft = raft_options_default(raft_id(cluster->node, cluster->incarnation));
    raft.election_timeout_ns_min = options->election_timeout_ms * NS_PER_MS;
    raft.election_timeout_ns_max = 2 * raft.election_timeout_ns_min;
    raft.heartbeat_ns = raft.election_timeout_ns_min / 5;
    /* Soon: a few beats to thousands of groups that have nothing to say cost more than waking one. */
    raft.sleep_after_ns = raft.election_timeout_ns_min;
    /* The broker's own bound on appends comes first. */
    raft.uncommitted_bytes_max = 4 * options->append_bytes_in_flight_max + 256 * MIB;
    return raft;
}

enum status cluster_start(struct broker *broker, struct diagnostic *diagnostic) {
    struct cluster *cluster = broker->cluster;
    struct raft_host_options host = {.io = broker->io,
                                     .store = broker->store,
                                     .log = broker->log,
                                     .raft = raft_options_of(cluster),
                                     .bulk_rate = broker->options.catch_up_rate,
                                     .copies_are_read = broker->options.rack != NULL, /* read_replica.h */
                                     .send = send_message,
                                     .ctx = cluster,
                                     .watch = broker->options.watch,
                                     .watch_ctx = broker->options.watch_ctx};
    io_random(broker->io, &host.seed, sizeof host.seed);
    /* An answer to what this node asked before it was restarted is none to what it asks now. */
    io_random(broker->io, &cluster->next_number, sizeof cluster->next_number);
    cluster->host = raft_host_new(&host);
    struct peers_options options = peers_options_default();
    options.io = broker->io;
    options.log = broker->log;
    options.node = cluster->node;
    options.incarnation = cluster->incarnation;
    options.ping_ns = host.raft.heartbeat_ns;
    options.down_after_ns = host.raft.election_timeout_ns_min;
    options.seed = host.seed;
    options.events = &events;
    options.ctx = cluster;
    cluster->peers = peers_new(&options);
    io_timer_init(&cluster->timer, tick);
    io_timer_set(broker->io, &cluster->timer, io_now_ns(broker->io) + CLUSTER_TICK_NS);
    if (broker->options.peer_count > PEERS_MAX)
        return diagnose(diagnostic, STATUS_INVALID, "there are more than %d peers", PEERS_MAX);
    if (cluster->adopting) return adopt(cluster, diagnostic);
    if (cluster->cluster_id[0] == '\0')
        log_info(broker->log,
                 "this node belongs to no cluster yet: one begins when all nodes of --peers are there, "
                 "or one that they have takes it in");
    enum status status = cluster->cluster_id[0] == '\0' ? STATUS_OK : formed(cluster, diagnostic);
    if (status == STATUS_OK)
        connect_peers(cluster); /* at last: what is under way could not be ended at once */
    return status;
}

void cluster_leave(struct cluster *cluster, void (*done)(void *ctx), void *ctx) {
    cluster->leaving = true;
    cluster->left = done;
    cluster->left_ctx = ctx;
    uint64_t now = io_now_ns(cluster->broker->io);
    cluster->leave_deadline_ns = now + CLUSTER_LEAVE_NS;
    io_timer_set(cluster->broker->io, &cluster->timer, now);
}

void cluster_stop(struct cluster *cluster, void (*done)(void *ctx), void *ctx) {
    cluster->stopping = true;
    forward_tick(cluster); /* who waits for others waits in vain */
    io_timer_cancel(cluster->broker->io, &cluster->timer);
    peers_shutdown(cluster->peers, done, ctx);
}

void cluster_free(struct cluster *cluster) {
    if (cluster->form_scheduled) io_defer_cancel(&cluster->form);
    if (cluster->peers != NULL) {
        io_timer_cancel(cluster->broker->io, &cluster->timer);
        peers_free(cluster->peers);
    }
    controller_close(cluster);
    moves_free(cluster->moves);
    if (cluster->host != NULL) raft_host_free(cluster->host);
    store_write_abandon(&cluster->identity);
    MAP_FOREACH(it, &cluster->leaders) {
        mem_free(MAP_ENTRY(it)->value);
    }
    map_release(&cluster->leaders);
    cluster->broker->cluster = NULL;
    mem_free(cluster);
}
