// SPDX-License-Identifier: Apache-2.0
#include "cli/moves.h"

#include <stdio.h>
#include <string.h>

#include "io/io.h"

#define LOOK_MS 300

void moves_show(const char *what, long long left, long long *shown) {
    if (left == *shown) return;
    *shown = left;
    bool terminal = io_is_terminal(2);
    if (terminal)
        fprintf(stderr, "\r%s: %lld left   %s", what, left, left == 0 ? "\n" : "");
    else
        fprintf(stderr, "%s: %lld left\n", what, left);
    fflush(stderr);
}

struct count {
    long long moving;
};

static void count_move(void *context, const sentinel_move *move) {
    struct count *count = context;
    count->moving += !move->arrived;
}

int moves_wait_for_topic(sentinel_client *client, const char *topic, sentinel_error *error) {
    char what[300];
    long long shown = -1;
    snprintf(what, sizeof what, "moving partitions of %.249s", topic);
    for (;;) {
        struct count count = {0};
        if (sentinel_moves(client, topic, count_move, &count, error) != 0) return -1;
        moves_show(what, count.moving, &shown);
        if (count.moving == 0) return 0;
        sentinel_wait(client, LOOK_MS);
    }
}

struct emptying {
    int32_t node;
    bool known, draining, up;
    long long held, leaving;
};

static void look_at_node(void *context, const sentinel_cluster *cluster) {
    struct emptying *emptying = context;
    for (size_t i = 0; i < cluster->node_count; i++) {
        const sentinel_node *node = &cluster->nodes[i];
        if (node->node_id != emptying->node) continue;
        emptying->known = true;
        emptying->draining = node->draining;
        emptying->up = strcmp(node->state, "down") != 0;
        emptying->held = (long long)node->replicas;
        emptying->leaving = (long long)node->leaving;
    }
}

static void look_at_move(void *context, const sentinel_move *move) {
    struct emptying *emptying = context;
    for (size_t i = 0; i < move->removing_count && move->arrived && !emptying->up; i++)
        emptying->leaving -= move->removing[i] == emptying->node; /* a node that is down deletes nothing */
}

int moves_wait_for_node(sentinel_client *client, int32_t node, sentinel_error *error) {
    char what[64];
    long long shown = -1;
    snprintf(what, sizeof what, "replicas on node %d", node);
    for (;;) {
        struct emptying emptying = {.node = node};
        if (sentinel_cluster_describe(client, look_at_node, &emptying, error) != 0 ||
            sentinel_moves(client, NULL, look_at_move, &emptying, error) != 0)
            return -1;
        long long left = emptying.held + emptying.leaving;
        moves_show(what, left, &shown);
        if (!emptying.known || !emptying.draining || left <= 0) return 0;
        sentinel_wait(client, LOOK_MS);
    }
}
