// SPDX-License-Identifier: Apache-2.0
/* Lists of what all nodes coordinate: each is asked for its own. A node that is down coordinates nothing;
 * while nobody has taken over from it, the list is not whole. */
#include "base/assert.h"
#include "base/mem.h"
#include "broker/coordinator_away.h"

struct listing_part {
    struct forward forward;
    struct coordinator_listing *listing;
    bool busy;
};

static void finish(struct io_op *op) {
    struct coordinator_listing *listing = CONTAINER_OF(op, struct coordinator_listing, op);
    mem_free(listing->parts);
    listing->parts = NULL;
    listing->finished(listing);
}

static void end_part(struct coordinator_listing *listing) {
    if (--listing->busy > 0) return;
    listing->op = (struct io_op){.done = finish};
    io_defer(listing->broker->io, &listing->op);
}

static void listed(struct forward *forward, enum status status, struct shared_slice body) {
    struct listing_part *part = CONTAINER_OF(forward, struct listing_part, forward);
    struct coordinator_listing *listing = part->listing;
    struct reader in = reader_make(body.bytes);
    part->busy = false;
    if (status == STATUS_NOT_LEADER) status = STATUS_COORDINATOR_UNAVAILABLE;
    while (status == STATUS_OK && reader_remaining(&in) > 0)
        if (!listing->take(listing, &in)) status = STATUS_MALFORMED;
    if (status != STATUS_OK) listing->status = status;
    end_part(listing);
}

static void begin(struct broker *broker, struct coordinator_listing *listing, uint32_t part_count) {
    listing->broker = broker;
    listing->busy = 1; /* until all are asked */
    listing->op = (struct io_op){0};
    list_init(&listing->op.link);
    listing->part_count = part_count;
    listing->parts = mem_calloc((size_t)part_count + 1, sizeof *listing->parts);
    for (uint32_t i = 0; i < part_count; i++) {
        forward_init(&listing->parts[i].forward);
        listing->parts[i].listing = listing;
        listing->parts[i].forward.answered = listed;
    }
}

static bool ask(struct listing_part *part, uint32_t node, enum away_kind kind, struct slice what) {
    struct writer out;
    writer_init(&out);
    writer_bytes(&out, what);
    part->busy = away_send(part->listing->broker, node, &part->forward, kind, &out);
    part->listing->busy += part->busy;
    return part->busy;
}

/* Somebody is known to lead each coordinator. */
static bool all_are_led(struct cluster *cluster) {
    for (uint32_t i = 0; i < COORDINATOR_COUNT; i++)
        if (cluster_leader(cluster, COORDINATOR_GROUP_FIRST + i).node == 0) return false;
    return true;
}

static void ask_all(struct broker *broker, struct coordinator_listing *listing, enum away_kind kind) {
    struct broker_node nodes[BROKER_NODES_MAX];
    uint32_t count = broker->cluster == NULL ? 0 : broker_nodes(broker, nodes);
    begin(broker, listing, count);
    if (broker->cluster != NULL && listing->status == STATUS_OK && !all_are_led(broker->cluster))
        listing->status = STATUS_COORDINATOR_UNAVAILABLE;
    for (uint32_t i = 0; i < count; i++)
        if (nodes[i].node != broker->options.node_id && nodes[i].up)
            MAYBE(ask(&listing->parts[i], (uint32_t)nodes[i].node, kind, SLICE_EMPTY));
}

static void cancel(struct coordinator_listing *listing) {
    io_defer_cancel(&listing->op);
    for (uint32_t i = 0; listing->parts != NULL && i < listing->part_count; i++)
        forward_cancel(&listing->parts[i].forward);
    mem_free(listing->parts);
    listing->parts = NULL;
}

/* ---- groups -------------------------------------------------------------------------------------------- */

static void put_summary(void *ctx, const struct group_summary *summary) {
    struct writer *out = ctx;
    away_put(out, summary->name);
    away_put(out, slice_from_text(summary->kind));
    away_put(out, slice_from_text(summary->state));
    away_put(out, summary->protocol_type);
    away_put(out, summary->assignor);
    writer_be32(out, (uint32_t)summary->generation);
    writer_be32(out, (uint32_t)summary->member_count);
}

void away_serve_list(struct served *served, struct reader *in) {
    MAYBE(reader_remaining(in) == 0);
    served_answer(served, coordinators_summaries(served->cluster->broker, put_summary, &served->out));
}

static bool take_summary(struct coordinator_listing *base, struct reader *in) {
    struct group_listing *listing = CONTAINER_OF(base, struct group_listing, base);
    char kind[32], state[32];
    struct group_summary summary = {.name = away_take(in)};
    struct slice kind_text = away_take(in), state_text = away_take(in);
    summary.protocol_type = away_take(in);
    summary.assignor = away_take(in);
    summary.generation = (int32_t)reader_be32(in);
    summary.member_count = (int32_t)reader_be32(in);
    if (!reader_ok(in) || kind_text.size >= sizeof kind || state_text.size >= sizeof state) return false;
    memcpy(kind, kind_text.data, kind_text.size);
    memcpy(state, state_text.data, state_text.size);
    kind[kind_text.size] = state[state_text.size] = '\0';
    summary.kind = kind;
    summary.state = state;
    listing->visit(listing, &summary);
    return true;
}

static void groups_finished(struct coordinator_listing *base) {
    struct group_listing *listing = CONTAINER_OF(base, struct group_listing, base);
    listing->done(listing);
}

static void visit_summary(void *ctx, const struct group_summary *summary) {
    struct group_listing *listing = ctx;
    listing->visit(listing, summary);
}

void broker_list_groups(struct broker *broker, struct group_listing *listing) {
    listing->base.take = take_summary;
    listing->base.finished = groups_finished;
    listing->base.status = coordinators_summaries(broker, visit_summary, listing);
    ask_all(broker, &listing->base, AWAY_LIST);
    end_part(&listing->base);
}

void broker_list_groups_cancel(struct group_listing *listing) {
    cancel(&listing->base);
}

/* ---- transactions -------------------------------------------------------------------------------------- */

struct txn_visiting {
    void (*visit)(void *ctx, const struct txn_summary *summary);
    void *ctx;
    bool with_places;
};

static void visit_txn(void *ctx, const struct txn *txn) {
    const struct txn_visiting *visiting = ctx;
    const struct txn_identity identity = txn_marker_identity(txn);
    struct txn_summary summary = {.id = txn->id,
                                  .producer_id = identity.producer_id,
                                  .epoch = identity.epoch,
                                  .phase = txn->phase,
                                  .timeout_ms = txn->timeout_ms,
                                  .started_wall_ms = txn->started_wall_ms,
                                  .changed_wall_ms = txn->changed_wall_ms};
    struct txn_place *places = NULL;
    if (visiting->with_places) {
        summary.places = places = mem_calloc(txn->places.count + 1, sizeof *places);
        MAP_FOREACH(it, &txn->places) {
            places[summary.place_count++] = *(const struct txn_place *)MAP_ENTRY(it)->value;
        }
    }
    visiting->visit(visiting->ctx, &summary);
    mem_free(places);
}

/* Those coordinated here: one, or (no id) all. */
static enum status visit_here(struct broker *broker, struct slice id, struct txn_visiting *visiting) {
    if (id.size == 0) return coordinators_visit_txns(broker, SLICE_EMPTY, visit_txn, visiting);
    const struct txn *txn;
    enum status status = coordinator_txn_find(broker, id, &txn);
    visiting->with_places = true;
    if (status == STATUS_OK) visit_txn(visiting, txn);
    return status;
}

static void put_txn(void *ctx, const struct txn_summary *txn) {
    struct writer *out = ctx;
    away_put(out, txn->id);
    writer_be64(out, (uint64_t)txn->producer_id);
    writer_be16(out, (uint16_t)txn->epoch);
    writer_u8(out, (uint8_t)txn->phase);
    writer_be32(out, (uint32_t)txn->timeout_ms);
    writer_be64(out, (uint64_t)txn->started_wall_ms);
    writer_be64(out, (uint64_t)txn->changed_wall_ms);
    writer_be32(out, txn->place_count);
    for (uint32_t i = 0; i < txn->place_count; i++) {
        away_put(out, txn->places[i].topic);
        writer_be32(out, (uint32_t)txn->places[i].partition);
    }
}

void away_serve_txn_list(struct served *served, struct reader *in) {
    struct txn_visiting visiting = {.visit = put_txn, .ctx = &served->out};
    struct slice id = reader_bytes(in, reader_remaining(in));
    served_answer(served, visit_here(served->cluster->broker, id, &visiting));
}

static bool take_txn(struct coordinator_listing *base, struct reader *in) {
    struct txn_listing *listing = CONTAINER_OF(base, struct txn_listing, base);
    struct txn_summary txn = {.id = away_take(in)};
    txn.producer_id = (int64_t)reader_be64(in);
    txn.epoch = (int16_t)reader_be16(in);
    uint8_t phase = reader_u8(in);
    txn.timeout_ms = (int32_t)reader_be32(in);
    txn.started_wall_ms = (int64_t)reader_be64(in);
    txn.changed_wall_ms = (int64_t)reader_be64(in);
    txn.place_count = away_take_count(in, 8);
    struct txn_place *places = mem_calloc((size_t)txn.place_count + 1, sizeof *places);
    for (uint32_t i = 0; i < txn.place_count; i++) {
        places[i].topic = away_take(in);
        places[i].partition = (int32_t)reader_be32(in);
    }
    bool ok = reader_ok(in) && phase <= TXN_COMPLETE_ABORT;
    txn.phase = (enum txn_phase)phase;
    txn.places = places;
    if (ok) listing->visit(listing, &txn);
    mem_free(places);
    return ok;
}

static void txns_finished(struct coordinator_listing *base) {
    struct txn_listing *listing = CONTAINER_OF(base, struct txn_listing, base);
    listing->done(listing);
}

static void visit_listed(void *ctx, const struct txn_summary *summary) {
    struct txn_listing *listing = ctx;
    listing->visit(listing, summary);
}

void broker_list_txns(struct broker *broker, struct txn_listing *listing) {
    struct txn_visiting visiting = {.visit = visit_listed, .ctx = listing};
    struct coordinator_listing *base = &listing->base;
    base->take = take_txn;
    base->finished = txns_finished;
    if (listing->id.size == 0) {
        base->status = coordinators_visit_txns(broker, SLICE_EMPTY, visit_txn, &visiting);
        ask_all(broker, base, AWAY_TXN_LIST);
    } else {
        uint32_t node = away_node(broker, &(struct group_call){.forward = true}, listing->id);
        begin(broker, base, 1);
        base->status = STATUS_OK;
        if (node == 0 || !ask(&base->parts[0], node, AWAY_TXN_LIST, listing->id))
            base->status = visit_here(broker, listing->id, &visiting);
    }
    end_part(base);
}

void broker_list_txns_cancel(struct txn_listing *listing) {
    cancel(&listing->base);
}
