// SPDX-License-Identifier: Apache-2.0
#include "broker/raft_bulk.h"

#include "base/assert.h"
#include "base/mem.h"

static void pump(struct raft_bulk *bulk);

static void fire(struct io_timer *timer) {
    pump(CONTAINER_OF(timer, struct raft_bulk, timer));
}

void raft_bulk_init(struct raft_bulk *bulk, struct io *io) {
    *bulk = (struct raft_bulk){.io = io};
    list_init(&bulk->nodes);
    io_timer_init(&bulk->timer, fire);
}

void raft_bulk_release(struct raft_bulk *bulk) {
    struct list *node;
    io_timer_cancel(bulk->io, &bulk->timer);
    while ((node = list_pop_front(&bulk->nodes)) != NULL)
        mem_free(CONTAINER_OF(node, struct raft_bulk_node, link));
}

static struct raft_bulk_node *node_of(struct raft_bulk *bulk, uint32_t number) {
    LIST_FOREACH(it, &bulk->nodes) {
        struct raft_bulk_node *node = CONTAINER_OF(it, struct raft_bulk_node, link);
        if (node->node == number) return node;
    }
    struct raft_bulk_node *node = mem_calloc(1, sizeof *node);
    node->node = number;
    list_init(&node->waiting);
    list_push_back(&bulk->nodes, &node->link);
    return node;
}

/* ---- how much ----------------------------------------------------------------------------------------- */

static void turn_slot(struct raft_bulk *bulk, uint64_t now_ns) {
    if (now_ns - bulk->slot_ns < BULK_SLOT_NS) return;
    bulk->last_slot_bytes = now_ns - bulk->slot_ns < 2 * BULK_SLOT_NS ? bulk->slot_bytes : 0;
    bulk->slot_bytes = 0;
    bulk->slot_ns = now_ns;
}

void raft_bulk_live(struct raft_bulk *bulk, uint64_t bytes) {
    bulk->live_ns = io_now_ns(bulk->io);
    turn_slot(bulk, bulk->live_ns);
    bulk->slot_bytes += bytes;
}

static bool is_live(const struct raft_bulk *bulk) {
    return bulk->live_ns != 0 && io_now_ns(bulk->io) - bulk->live_ns < BULK_LIVE_NS;
}

static size_t bound(struct raft_bulk *bulk) {
    if (!is_live(bulk)) return BULK_IDLE_BYTES;
    turn_slot(bulk, io_now_ns(bulk->io));
    uint64_t written = MAX(bulk->slot_bytes, bulk->last_slot_bytes);
    return (size_t)MIN(MAX(2 * written, (uint64_t)BULK_LIVE_BYTES), (uint64_t)BULK_IDLE_BYTES);
}

static size_t portion(const struct raft_bulk *bulk) {
    size_t most = is_live(bulk) ? BULK_LIVE_PORTION : BULK_PORTION;
    if (bulk->rate == 0) return most;
    return (size_t)MIN(MAX(bulk->rate / 8, (uint64_t)BULK_PORTION_MIN), (uint64_t)most);
}

/* ---- how fast ----------------------------------------------------------------------------------------- */

static uint64_t time_of(const struct raft_bulk *bulk, size_t bytes) {
    return bulk->rate == 0 ? 0 : (uint64_t)((double)bytes / (double)bulk->rate * (double)NS_PER_S);
}

void raft_bulk_set_rate(struct raft_bulk *bulk, uint64_t bytes_per_s) {
    if (bulk->rate == bytes_per_s) return;
    bulk->rate = bytes_per_s;
    bulk->free_ns = 0; /* what went at another rate is not owed at this one */
    pump(bulk);
}

/* ---- turns -------------------------------------------------------------------------------------------- */

static bool has_room(struct raft_bulk *bulk, const struct raft_bulk_node *node, size_t bytes) {
    if (node->down) return false;
    return node->under_way == 0 || node->under_way + bytes <= bound(bulk);
}

/* False: this node gets nothing now. */
static bool begin_next(struct raft_bulk *bulk, struct raft_bulk_node *node) {
    if (list_empty(&node->waiting)) return false;
    struct raft_bulk_turn *turn = CONTAINER_OF(list_first(&node->waiting), struct raft_bulk_turn, link);
    size_t bytes = MIN(turn->bytes, portion(bulk));
    if (!has_room(bulk, node, bytes)) return false;
    uint64_t now_ns = io_now_ns(bulk->io);
    if (bulk->rate != 0 && now_ns < bulk->free_ns) {
        io_timer_set(bulk->io, &bulk->timer, bulk->free_ns);
        return false;
    }
    bulk->free_ns = MAX(bulk->free_ns, now_ns) + time_of(bulk, bytes);
    list_remove(&turn->link);
    turn->bytes = bytes;
    turn->lane->reading += bytes;
    node->under_way += bytes;
    turn->begin(turn);
    return true;
}

/* Nodes in turn, each one portion, until none may have more. */
static void pump(struct raft_bulk *bulk) {
    if (bulk->pumping) return;
    bulk->pumping = true;
    bool more = true;
    while (more) {
        more = false;
        struct list round, *it;
        list_init(&round);
        list_append(&round, &bulk->nodes);
        while ((it = list_pop_front(&round)) != NULL) {
            list_push_back(&bulk->nodes, it);
            more |= begin_next(bulk, CONTAINER_OF(it, struct raft_bulk_node, link));
        }
    }
    bulk->pumping = false;
}

void raft_bulk_ask(struct raft_bulk *bulk, struct raft_bulk_turn *turn, struct raft_bulk_lane *lane) {
    turn->lane = lane;
    lane->asked++;
    list_push_back(&lane->node->waiting, &turn->link);
    pump(bulk);
}

void raft_bulk_read(struct raft_bulk *bulk, struct raft_bulk_turn *turn, size_t bytes) {
    struct raft_bulk_lane *lane = turn->lane;
    if (lane == NULL) return;
    turn->lane = NULL;
    lane->asked--;
    if (!list_empty(&turn->link)) {
        list_remove(&turn->link);
        return;
    }
    ASSERT_LE(turn->bytes, lane->reading);
    lane->reading -= turn->bytes;
    lane->node->under_way -= turn->bytes;
    bulk->read_bytes += bytes;
    uint64_t owed = time_of(bulk, bytes), taken = time_of(bulk, turn->bytes);
    bulk->free_ns = bulk->free_ns + owed - MIN(taken, bulk->free_ns + owed);
}

/* ---- lanes -------------------------------------------------------------------------------------------- */

struct raft_bulk_lane *raft_bulk_lane(struct raft_bulk *bulk, struct list *lanes, uint64_t peer,
                                      uint32_t node) {
    LIST_FOREACH(it, lanes) {
        struct raft_bulk_lane *lane = CONTAINER_OF(it, struct raft_bulk_lane, link);
        if (lane->peer == peer) return lane;
    }
    struct raft_bulk_lane *lane = mem_calloc(1, sizeof *lane);
    lane->node = node_of(bulk, node);
    lane->peer = peer;
    list_push_back(lanes, &lane->link);
    return lane;
}

void raft_bulk_sent(struct raft_bulk *bulk, struct raft_bulk_lane *lane, size_t bytes) {
    lane->node->under_way += bytes - lane->sent;
    lane->sent = bytes;
    pump(bulk);
}

void raft_bulk_lane_free(struct raft_bulk *bulk, struct raft_bulk_lane *lane) {
    ASSERT_EQ(lane->asked, 0U);
    ASSERT_EQ(lane->reading, (size_t)0);
    raft_bulk_sent(bulk, lane, 0);
    list_remove(&lane->link);
    mem_free(lane);
}

void raft_bulk_node_is(struct raft_bulk *bulk, uint32_t number, bool up) {
    struct raft_bulk_node *node = node_of(bulk, number);
    node->down = !up;
    if (up) pump(bulk);
}
