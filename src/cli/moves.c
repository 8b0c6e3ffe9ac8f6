// SPDX-License-Identifier: Apache-2.0
#include "cli/moves.h"

#include <stdio.h>
#include <string.h>

#include "io/io.h"

#define LOOK_MS 300

#define LACKING_MS 1000  /* asked for so often: it costs each node a look at what it leads */
#define AGAIN_MS   10000 /* where nobody sees the line being redrawn */

static void sum_lacking(void *context, const sentinel_cluster *cluster) {
    struct moves_progress *progress = context;
    progress->lacking = 0;
    for (size_t i = 0; i < cluster->node_count; i++)
        progress->lacking += (long long)cluster->nodes[i].lacking;
}

/* Every second; what clients write meanwhile, or another move, may make it more: then the rate begins anew. */
static void look_at_lacking(struct moves_progress *progress, sentinel_client *client, int64_t now_ms) {
    sentinel_error error;
    if (progress->begun && now_ms - progress->looked_ms < LACKING_MS) return;
    progress->looked_ms = now_ms;
    if (sentinel_cluster_describe(client, sum_lacking, progress, &error) != 0) progress->lacking = -1;
    if (!progress->begun || progress->lacking < 0 || progress->lacking > progress->first) {
        progress->first = progress->lacking;
        progress->first_ms = now_ms;
    }
}

void moves_text(const struct moves_progress *progress, int64_t now_ms, char *text, size_t size) {
    long long done = progress->first - progress->lacking;
    int used = snprintf(text, size, "%s: %lld left", progress->what, progress->left);
    if (progress->left == 0 || progress->lacking <= 0 || used < 0 || (size_t)used >= size) return;
    double passed = (double)(now_ms - progress->first_ms) / 1e3;
    if (done > 0 && passed >= 1)
        snprintf(text + used, size - (size_t)used, ", %lld records to copy, %.0f s", progress->lacking,
                 (double)progress->lacking / ((double)done / passed));
    else
        snprintf(text + used, size - (size_t)used, ", %lld records to copy", progress->lacking);
}

void moves_show(struct moves_progress *progress, sentinel_client *client, long long left) {
    int64_t now_ms = io_system_wall_ms();
    bool changed = !progress->begun || left != progress->left, terminal = io_is_terminal(2);
    if (left > 0) look_at_lacking(progress, client, now_ms);
    progress->begun = true;
    progress->left = left;
    if (!changed && (left == 0 || (!terminal && now_ms - progress->shown_ms < AGAIN_MS))) return;
    progress->shown_ms = now_ms;
    char text[400];
    moves_text(progress, now_ms, text, sizeof text);
    if (terminal)
        fprintf(stderr, "\r%s\033[K%s", text, left == 0 ? "\n" : "");
    else
        fprintf(stderr, "%s\n", text);
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
    struct moves_progress progress = {.what = what};
    snprintf(what, sizeof what, "moving partitions of %.249s", topic);
    for (;;) {
        struct count count = {0};
        if (sentinel_moves(client, topic, count_move, &count, error) != 0) return -1;
        moves_show(&progress, client, count.moving);
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
    struct moves_progress progress = {.what = what};
    snprintf(what, sizeof what, "replicas on node %d", node);
    for (;;) {
        struct emptying emptying = {.node = node};
        if (sentinel_cluster_describe(client, look_at_node, &emptying, error) != 0 ||
            sentinel_moves(client, NULL, look_at_move, &emptying, error) != 0)
            return -1;
        long long left = emptying.held + emptying.leaving;
        moves_show(&progress, client, left);
        if (!emptying.known || !emptying.draining || left <= 0) return 0;
        sentinel_wait(client, LOOK_MS);
    }
}
