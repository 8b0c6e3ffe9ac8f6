// SPDX-License-Identifier: Apache-2.0
#include "lib/test.h"

#include <stdio.h>

#include "base/mem.h"
#include "broker/peers.h"
#include "io/io_sim.h"

#define CLUSTER "cluster-aaaaaaaaaaaaaa"
#define NODES   3

struct node {
    uint32_t number;
    struct io *io;
    struct peers *peers;
    uint32_t messages, ups, downs, requests, answers, notices;
    uint64_t last; /* the number in the last message from another */
    uint64_t answered;
    bool in_order;
};

static struct io_sim *sim;
static struct node nodes[NODES + 1];

/* Lines of all nodes that say that somebody was refused, or that a connection was closed: from where. */
static int refusals, closings;

static void take_line(void *ctx, enum log_level level, struct slice line) {
    (void)ctx;
    char text[200];
    snprintf(text, sizeof text, "%.*s", (int)MIN(line.size, sizeof text - 1), (const char *)line.data);
    if (level != LOG_WARN || strstr(text, " from=") == NULL) return;
    refusals += strstr(text, "peer refused") != NULL;
    closings += strstr(text, "peer connection closed node=0 from=somewhere:1 reason=") != NULL;
}

static struct log peer_log = {LOG_INFO, take_line, NULL};
static const struct io_address somewhere = {.text = "somewhere:1"};

static void on_message(void *ctx, uint32_t from, struct shared_slice message) {
    struct node *n = ctx;
    assert_true(from != n->number && message.bytes.size >= 8);
    uint64_t number = load_be64(message.bytes.data);
    if (number <= n->last) n->in_order = false;
    n->last = number;
    n->messages++;
}

static void on_request(void *ctx, uint32_t from, uint64_t number, struct shared_slice body) {
    struct node *n = ctx;
    n->requests++;
    struct chain answer;
    chain_init(&answer);
    chain_append_shared(&answer, body);
    assert_true(peers_answer(n->peers, from, number, &answer));
    chain_release(&answer);
}

static void on_answer(void *ctx, uint32_t from, uint64_t number, struct shared_slice body) {
    struct node *n = ctx;
    assert_true(from != 0);
    assert_slice_equal(body.bytes, SLICE_LITERAL("what?"));
    n->answers++;
    n->answered = number;
}

static void on_notice(void *ctx, uint32_t from, struct shared_slice body) {
    assert_true(from != 0 && body.bytes.size == 2);
    ((struct node *)ctx)->notices++;
}

static void on_down(void *ctx, uint32_t other) {
    assert_true(other != 0);
    ((struct node *)ctx)->downs++;
}

static void on_up(void *ctx, uint32_t other) {
    assert_true(other != 0);
    ((struct node *)ctx)->ups++;
}

static const struct peer_events events = {.message = on_message,
                                          .request = on_request,
                                          .answer = on_answer,
                                          .notice = on_notice,
                                          .down = on_down,
                                          .up = on_up};

static void start_as(uint32_t at, uint32_t number, const char *cluster, uint32_t incarnation, size_t queue) {
    struct node *n = &nodes[at];
    struct diagnostic why;
    *n = (struct node){.number = number, .io = io_sim_node_io(sim, at - 1), .in_order = true};
    struct peers_options options = peers_options_default();
    options.io = n->io;
    options.node = number;
    options.incarnation = incarnation;
    options.events = &events;
    options.log = &peer_log;
    options.ctx = n;
    if (queue != 0) options.queue_bytes_max = queue;
    n->peers = peers_new(&options);
    if (cluster[0] != '\0') peers_set_cluster(n->peers, cluster, SLICE_EMPTY);
    assert_status(peers_listen(n->peers, "0.0.0.0:7000", NULL, &why), STATUS_OK);
}

static void start(uint32_t number, const char *cluster) {
    start_as(number, number, cluster, 1, 0);
}

static void connect_to(uint32_t from, uint32_t to_number, uint32_t at) {
    char address[32];
    snprintf(address, sizeof address, "node%u:7000", at - 1);
    assert_status(peers_add(nodes[from].peers, to_number, address), STATUS_OK);
}

static void crash(uint32_t at) {
    io_sim_crash_node(sim, at - 1, IO_SIM_CRASH_PROCESS);
    peers_free(nodes[at].peers);
    io_free(nodes[at].io);
    nodes[at].peers = NULL;
}

static void run(uint64_t ms) {
    io_sim_run_until(sim, io_sim_now(sim) + ms * NS_PER_MS);
}

static void open_pair(const char *first, const char *second) {
    sim = io_sim_new(1);
    start(1, first);
    start(2, second);
    connect_to(1, 2, 2);
    connect_to(2, 1, 1);
    run(500);
}

static void close_all(void) {
    for (uint32_t i = 1; i <= NODES; i++)
        if (nodes[i].peers != NULL) crash(i);
    io_sim_free(sim);
}

static void say(uint32_t from, uint32_t to, uint64_t number, size_t size) {
    uint8_t *bytes = mem_calloc(1, size);
    store_be64(bytes, number);
    struct chain message;
    chain_init(&message);
    chain_append_copy(&message, slice_make(bytes, size));
    peers_send(nodes[from].peers, to, &message);
    chain_release(&message);
    mem_free(bytes);
}

static struct peer_info info(uint32_t of, uint32_t about) {
    struct peer_info found;
    assert_true(peers_find(nodes[of].peers, about, &found));
    return found;
}

static void messages_arrive_whole_and_in_order(void **state) {
    (void)state;
    open_pair(CLUSTER, CLUSTER);
    assert_true(info(1, 2).up && info(2, 1).connected);
    uint64_t number = 0;
    for (int turn = 0; turn < 50; turn++) {
        for (int i = 0; i < 20; i++) {
            number++;
            say(1, 2, number, 8 + number * 37 % 20000);
        }
        run(20);
    }
    run(2000);
    assert_int_equal(nodes[2].messages, number);
    assert_true(nodes[2].in_order);
    close_all();
}

static void questions_get_their_answers(void **state) {
    (void)state;
    open_pair(CLUSTER, CLUSTER);
    struct chain body;
    chain_init(&body);
    chain_append_copy(&body, SLICE_LITERAL("what?"));
    assert_true(peers_request(nodes[1].peers, 2, 42, &body));
    chain_append_copy(&body, SLICE_LITERAL("hm"));
    assert_true(peers_notice(nodes[1].peers, 2, &body));
    run(200);
    assert_int_equal(nodes[2].requests, 1);
    assert_int_equal(nodes[2].notices, 1);
    assert_int_equal(nodes[1].answers, 1);
    assert_int_equal(nodes[1].answered, 42);
    chain_release(&body);
    close_all();
}

static void another_cluster_is_refused(void **state) {
    (void)state;
    open_pair(CLUSTER, "cluster-bbbbbbbbbbbbbb");
    run(3000);
    assert_false(info(1, 2).connected || info(2, 1).connected || info(1, 2).up);
    assert_int_equal(info(1, 2).refusal, PEER_OTHER_CLUSTER);
    say(1, 2, 1, 100);
    run(100);
    assert_int_equal(nodes[2].messages, 0);
    close_all();
}

/* A node without a cluster is heard, but nothing is said to it before it has one. */
static void a_fresh_node_waits(void **state) {
    (void)state;
    open_pair(CLUSTER, "");
    assert_true(info(1, 2).up && info(1, 2).connected && !info(1, 2).in_cluster);
    say(1, 2, 1, 100);
    run(200);
    assert_int_equal(nodes[2].messages, 0);
    peers_set_cluster(nodes[2].peers, CLUSTER, SLICE_EMPTY);
    run(500);
    assert_true(info(1, 2).in_cluster && info(2, 1).in_cluster);
    say(1, 2, 2, 100);
    run(200);
    assert_int_equal(nodes[2].messages, 1);
    close_all();
}

static void two_nodes_with_one_number_are_told_apart(void **state) {
    (void)state;
    sim = io_sim_new(2);
    start_as(1, 1, CLUSTER, 1, 0);
    start_as(2, 2, CLUSTER, 1, 0);
    start_as(3, 2, CLUSTER, 9, 0); /* another disk, the same number */
    connect_to(1, 2, 2);
    connect_to(2, 1, 1);
    run(500);
    assert_true(info(1, 2).up);
    connect_to(3, 1, 1);
    run(1000);
    assert_int_equal(info(3, 1).refusal, PEER_SAME_NODE);
    assert_int_equal(info(1, 2).incarnation, 1);
    /* When the first is gone, the second is a node that lost its disk. */
    crash(2);
    run(3000);
    assert_int_equal(info(1, 2).incarnation, 9);
    close_all();
}

static void a_stranger_and_a_wrong_address_are_refused(void **state) {
    (void)state;
    sim = io_sim_new(3);
    refusals = 0;
    start_as(1, 1, CLUSTER, 1, 0);
    start_as(2, 2, CLUSTER, 1, 0);
    connect_to(1, 3, 2); /* node 2 answers there */
    connect_to(2, 1, 1); /* 1 does not know 2 */
    run(1000);
    assert_int_equal(info(1, 3).refusal, PEER_OTHER_NODE);
    assert_int_equal(info(2, 1).refusal, PEER_UNKNOWN_NODE);
    /* They try again and again; that is said of each once a minute. */
    assert_int_equal(refusals, 2);
    run(50000);
    assert_int_equal(refusals, 2);
    run(20000);
    assert_int_equal(refusals, 4);
    close_all();
}

static void a_dead_peer_is_noticed_and_found_again(void **state) {
    (void)state;
    open_pair(CLUSTER, CLUSTER);
    crash(2);
    run(100); /* its connections were reset: no need to wait for its silence */
    assert_int_equal(nodes[1].downs, 1);
    start(2, CLUSTER);
    connect_to(2, 1, 1);
    run(3000);
    assert_true(info(1, 2).up && info(1, 2).connected);
    /* A cut network says nothing: its silence tells. */
    io_sim_cut(sim, 1, 0, true);
    run(1000);
    assert_int_equal(nodes[1].downs, 2);
    io_sim_cut(sim, 1, 0, false);
    run(60000);
    assert_true(info(1, 2).up);
    close_all();
}

/* A process that was stopped does not take the others for dead; they do so, but with more patience each time.
 */
static void a_slow_peer_is_given_time(void **state) {
    (void)state;
    open_pair(CLUSTER, CLUSTER);
    nodes[1].downs = nodes[2].downs = 0;
    for (uint32_t i = 0; i < 6; i++) {
        io_sim_pause_node(sim, 1, io_sim_now(sim) + 700 * NS_PER_MS);
        run(1200);
    }
    assert_int_equal(nodes[2].downs, 0);
    assert_int_equal(nodes[1].downs, 1); /* 400 ms of silence, then 800 were too many */
    assert_true(info(1, 2).up && info(2, 1).up);
    /* All is forgiven, and forgotten, after a while. */
    run(12000);
    io_sim_pause_node(sim, 1, io_sim_now(sim) + 700 * NS_PER_MS);
    run(600);
    assert_int_equal(nodes[1].downs, 2);
    close_all();
}

static void a_full_queue_drops(void **state) {
    (void)state;
    sim = io_sim_new(4);
    start_as(1, 1, CLUSTER, 1, 64 * KIB);
    start_as(2, 2, CLUSTER, 1, 0);
    connect_to(1, 2, 2);
    connect_to(2, 1, 1);
    run(500);
    for (uint64_t i = 1; i <= 100; i++)
        say(1, 2, i, 10000);
    run(1000);
    assert_true(info(1, 2).dropped >= 90);
    assert_true(nodes[2].messages >= 6 && nodes[2].messages <= 10 && nodes[2].in_order);
    say(1, 2, 1000, 500000); /* larger than the queue, alone */
    run(1000);
    assert_int_equal(nodes[2].last, 1000);
    close_all();
}

/* ---- garbage --------------------------------------------------------------------------------------------
 */

static bool closed;

static void swallow(void *ctx, struct chain *bytes) {
    (void)ctx;
    chain_release(bytes);
}

static void note_close(void *ctx) {
    (void)ctx;
    closed = true;
}

static void garbage_closes_the_connection(void **state) {
    (void)state;
    open_pair(CLUSTER, CLUSTER);
    static const char *const inputs[] = {"GET / HTTP/1.1", "\xf5SNQ", "\xf5SNP\xff\xff\xff\xff________",
                                         "\xf5SNP\0\1\0\0________", "\xf5SNP\0\0\0\0\1\0\0\0____"};
    static const size_t sizes[] = {14, 4, 16, 16, 16};
    for (unsigned i = 0; i < ARRAY_COUNT(inputs); i++) {
        struct peer_inbound *inbound = peer_inbound_new(nodes[1].peers, &somewhere, swallow, note_close,
                                                        NULL);
        struct buffer *buffer = buffer_copy(slice_make(inputs[i], sizes[i]));
        size_t wanted;
        size_t used = peer_inbound_receive(inbound, buffer, slice_make(buffer->data, buffer->size), &wanted);
        assert_true(used == PEER_INBOUND_BROKEN);
        peer_inbound_free(inbound);
        buffer_unref(buffer);
    }
    assert_int_equal(closings, 3); /* a peer's magic, and nonsense behind it */
    run(100);
    assert_true(info(1, 2).up); /* others do not suffer */
    close_all();
}

/* A connection to node 1 that begins with this. */
static struct peer_inbound *greet(const struct peer_hello *hello) {
    struct writer bytes;
    struct chain payload, out;
    writer_init(&bytes);
    chain_init(&payload);
    chain_init(&out);
    peer_hello_encode(hello, &bytes);
    chain_append_copy(&payload, writer_slice(&bytes));
    writer_clear(&bytes);
    writer_be32(&bytes, PEER_MAGIC);
    chain_append_copy(&out, writer_slice(&bytes));
    peer_frame_encode(PEER_HELLO, &payload, &out);
    struct buffer *flat = chain_flatten(&out);
    struct peer_inbound *inbound = peer_inbound_new(nodes[1].peers, &somewhere, swallow, note_close, NULL);
    size_t wanted;
    closed = false;
    assert_int_equal(peer_inbound_receive(inbound, flat, slice_make(flat->data, flat->size), &wanted),
                     flat->size);
    buffer_unref(flat);
    writer_release(&bytes);
    chain_release(&payload);
    chain_release(&out);
    return inbound;
}

/* A HELLO of a version that we do not speak gets an answer that says so. */
static void another_version_is_refused(void **state) {
    (void)state;
    open_pair(CLUSTER, CLUSTER);
    struct peer_hello hello = {.version_min = PEER_VERSION + 1,
                               .version_max = PEER_VERSION + 2,
                               .node = 2,
                               .incarnation = 1,
                               .wanted = 1};
    memcpy(hello.cluster_id, CLUSTER, PEER_CLUSTER_ID_SIZE);
    struct peer_inbound *inbound = greet(&hello);
    assert_true(closed);
    peer_inbound_free(inbound);
    close_all();
}

/* Connections do not wait for each other: what a node said before it had a cluster may come after what it
 * said then. Only another disk is without one again. */
static void an_older_hello_takes_nobody_out_of_its_cluster(void **state) {
    (void)state;
    open_pair(CLUSTER, CLUSTER);
    struct peer_hello hello = {
        .version_min = PEER_VERSION, .version_max = PEER_VERSION, .node = 2, .incarnation = 1, .wanted = 1};
    struct peer_inbound *older = greet(&hello);
    assert_false(closed);
    assert_true(info(1, 2).in_cluster);
    say(2, 1, 1, 100);
    run(200);
    assert_int_equal(nodes[1].messages, 1);
    peer_inbound_free(older);
    crash(2);
    run(100);
    hello.incarnation = 9;
    struct peer_inbound *another = greet(&hello);
    assert_false(closed);
    assert_false(info(1, 2).in_cluster);
    peer_inbound_free(another);
    close_all();
}

static bool shut;

static void set_shut(void *ctx) {
    (void)ctx;
    shut = true;
}

static void shutdown_is_orderly(void **state) {
    (void)state;
    open_pair(CLUSTER, CLUSTER);
    shut = false;
    peers_shutdown(nodes[2].peers, set_shut, NULL);
    assert_false(shut);
    run(500);
    assert_true(shut);
    assert_int_equal(nodes[1].downs, 1);
    close_all();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_arrive_whole_and_in_order),
        cmocka_unit_test(questions_get_their_answers),
        cmocka_unit_test(another_cluster_is_refused),
        cmocka_unit_test(a_fresh_node_waits),
        cmocka_unit_test(two_nodes_with_one_number_are_told_apart),
        cmocka_unit_test(a_stranger_and_a_wrong_address_are_refused),
        cmocka_unit_test(a_dead_peer_is_noticed_and_found_again),
        cmocka_unit_test(a_slow_peer_is_given_time),
        cmocka_unit_test(a_full_queue_drops),
        cmocka_unit_test(garbage_closes_the_connection),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(an_older_hello_takes_nobody_out_of_its_cluster),
        cmocka_unit_test(shutdown_is_orderly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
