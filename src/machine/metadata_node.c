// SPDX-License-Identifier: Apache-2.0
/* Nodes of a cluster: announced, registered, drained, removed. */
#include "base/assert.h"
#include "base/mem.h"
#include "machine/metadata_internal.h"

#define CONFIG_RACK "rack"

const struct metadata_node *metadata_node(const struct metadata *m, uint32_t node) {
    for (uint32_t i = 0; i < m->node_count; i++)
        if (m->nodes[i].node == node) return &m->nodes[i];
    return NULL;
}

uint32_t metadata_incarnation_at(const struct metadata_node *node, uint64_t index) {
    if (node->registered <= index) return node->incarnation;
    for (uint32_t i = node->before_count; i > 0; i--)
        if (node->before[i - 1].registered <= index) return node->before[i - 1].incarnation;
    return 0;
}

uint32_t metadata_removed_incarnation(const struct metadata *m, uint32_t node) {
    for (uint32_t i = 0; i < m->removed_count; i++)
        if (m->removed[i].node == node) return m->removed[i].incarnation;
    return 0;
}

/* ---- check -------------------------------------------------------------------------------------------- */

static enum status check_text(struct slice text, size_t size_min, size_t size_max, const char *what,
                              struct diagnostic *diagnostic) {
    bool fits = text.size >= size_min && text.size <= size_max;
    if (fits && (text.size == 0 || memchr(text.data, '\0', text.size) == NULL)) return STATUS_OK;
    return diagnose(diagnostic, STATUS_INVALID, "the %s of a node has %zu to %zu characters", what, size_min,
                    size_max);
}

static struct slice rack_of(const struct metadata_command *command) {
    for (uint32_t i = 0; i < command->config_count; i++)
        if (slice_equal(command->configs[i].name, SLICE_LITERAL(CONFIG_RACK)))
            return command->configs[i].value;
    return SLICE_EMPTY;
}

static enum status check_new(const struct metadata *m, const struct metadata_command *command,
                             struct diagnostic *diagnostic) {
    enum status status = check_text(command->name, 1, METADATA_ADDRESS_SIZE_MAX, "address", diagnostic);
    if (status == STATUS_OK)
        status = check_text(rack_of(command), 0, METADATA_RACK_SIZE_MAX, "rack", diagnostic);
    if (status != STATUS_OK) return status;
    const struct metadata_node *known = metadata_node(m, command->node);
    if (known == NULL && m->node_count == METADATA_NODES_MAX)
        return diagnose(diagnostic, STATUS_INVALID, "a cluster has at most %d nodes", METADATA_NODES_MAX);
    if (command->kind == METADATA_ADD_NODE)
        return known == NULL
                   ? STATUS_OK
                   : diagnose(diagnostic, STATUS_EXISTS, "node %u is in the cluster already", command->node);
    if (command->incarnation == 0) return diagnose(diagnostic, STATUS_INVALID, "a disk has a number");
    if (metadata_removed_incarnation(m, command->node) == command->incarnation)
        return diagnose(diagnostic, STATUS_INVALID,
                        "node %u was removed from the cluster with this disk: it comes back with an empty "
                        "--data-dir, after 'sentinel cluster add-node'",
                        command->node);
    return STATUS_OK;
}

static enum status check_removal(const struct metadata *m, const struct metadata_node *node,
                                 struct diagnostic *diagnostic) {
    struct metadata_replica_count have;
    if (node->incarnation == 0) return STATUS_OK; /* it never came */
    metadata_count_replicas(m, node->node, &have);
    if (have.placed > 0)
        return diagnose(diagnostic, STATUS_IN_USE,
                        "node %u still has %llu replicas: 'sentinel cluster drain %u' moves them away first",
                        node->node, (unsigned long long)have.placed, node->node);
    /* Those that it only has to delete yet do not keep a dead node; the controller waits for a live one. */
    if (have.leaving > 0)
        return diagnose(diagnostic, STATUS_IN_USE,
                        "%llu replicas are still being moved away from node %u: 'sentinel cluster drain %u' "
                        "waits for them",
                        (unsigned long long)have.leaving, node->node, node->node);
    if (node->draining) return STATUS_OK;
    return diagnose(diagnostic, STATUS_IN_USE,
                    "node %u may still get replicas: 'sentinel cluster drain %u' comes first", node->node,
                    node->node);
}

/* Each partition must find room on the nodes that stay. */
static enum status check_drain(const struct metadata *m, const struct metadata_node *node,
                               struct diagnostic *diagnostic) {
    uint32_t stay = 0;
    for (uint32_t i = 0; i < m->node_count; i++)
        stay += m->nodes[i].node != node->node && m->nodes[i].incarnation != 0 && !m->nodes[i].draining;
    if (stay == 0) return diagnose(diagnostic, STATUS_INVALID, "node %u is the last one", node->node);
    MAP_FOREACH(it, &m->by_name) {
        const struct metadata_topic *topic = MAP_ENTRY(it)->value;
        for (int32_t i = 0; topic->replicas != NULL && i < topic->partition_count; i++)
            if (topic->replicas[i].count > stay && metadata_is_placed(&topic->replicas[i], node->node))
                return diagnose(diagnostic, STATUS_INVALID_REPLICATION,
                                "topic '%s' has %u replicas and %u nodes would stay: add a node first, or "
                                "'sentinel topic alter %s --replicas %u'",
                                topic->name, topic->replicas[i].count, stay, topic->name, stay);
    }
    return STATUS_OK;
}

enum status metadata_node_check(const struct metadata *m, const struct metadata_command *command,
                                struct diagnostic *diagnostic) {
    if (command->node == 0 || command->node > INT32_MAX)
        return diagnose(diagnostic, STATUS_INVALID, "a node's number is 1 to %d", INT32_MAX);
    if (command->kind == METADATA_ADD_NODE || command->kind == METADATA_REGISTER_NODE)
        return check_new(m, command, diagnostic);
    const struct metadata_node *node = metadata_node(m, command->node);
    if (node == NULL) return diagnose(diagnostic, STATUS_NOT_FOUND, "there is no node %u", command->node);
    if (command->kind == METADATA_REMOVE_NODE) return check_removal(m, node, diagnostic);
    return command->count == 0 || node->draining ? STATUS_OK : check_drain(m, node, diagnostic);
}

/* ---- apply -------------------------------------------------------------------------------------------- */

struct metadata_node *metadata_node_put(struct metadata *m, uint32_t number) {
    uint32_t at = 0;
    while (at < m->node_count && m->nodes[at].node < number)
        at++;
    if (at < m->node_count && m->nodes[at].node == number) return &m->nodes[at];
    m->nodes = mem_realloc(m->nodes, (m->node_count + 1) * sizeof *m->nodes);
    memmove(&m->nodes[at + 1], &m->nodes[at], (m->node_count - at) * sizeof *m->nodes);
    m->node_count++;
    m->nodes[at] = (struct metadata_node){.node = number};
    return &m->nodes[at];
}

void metadata_node_set_removed(struct metadata *m, uint32_t node, uint32_t incarnation) {
    uint32_t at = 0;
    while (at < m->removed_count && m->removed[at].node < node)
        at++;
    if (at == m->removed_count || m->removed[at].node != node) {
        ASSERT_LT(m->removed_count, (uint32_t)METADATA_NODES_MAX);
        memmove(&m->removed[at + 1], &m->removed[at], (m->removed_count - at) * sizeof *m->removed);
        m->removed_count++;
    }
    m->removed[at] = (struct metadata_removed){node, incarnation};
}

void metadata_node_forget_removed(struct metadata *m) {
    m->removed_count--;
    memmove(&m->removed[0], &m->removed[1], m->removed_count * sizeof *m->removed);
}

static void remember_disk(struct metadata_node *node) {
    if (node->before_count == METADATA_DISKS_MAX)
        memmove(&node->before[0], &node->before[1], --node->before_count * sizeof node->before[0]);
    node->before[node->before_count++] = (struct metadata_disk){node->incarnation, node->registered};
}

static void register_node(struct metadata *m, const struct metadata_command *command,
                          struct metadata_effects *effects) {
    struct metadata_node *node = metadata_node_put(m, command->node);
    struct slice rack = rack_of(command);
    bool other_disk = node->incarnation != 0 && command->incarnation != node->incarnation;
    if (other_disk) remember_disk(node);
    if (command->incarnation != 0 && command->incarnation != node->incarnation) {
        node->incarnation = command->incarnation;
        node->registered = m->applied_index;
    }
    memset(node->address, 0, sizeof node->address);
    memset(node->rack, 0, sizeof node->rack);
    memcpy(node->address, command->name.data, command->name.size);
    if (rack.size != 0) memcpy(node->rack, rack.data, rack.size);
    metadata_save_node(node, effects);
    if (other_disk) metadata_move_forget(m, command->node, effects);
}

static void remember_removed(struct metadata *m, uint32_t number, uint32_t incarnation,
                             struct metadata_effects *effects) {
    /* So many numbers were never used: the lowest is forgotten. */
    if (m->removed_count == METADATA_NODES_MAX && metadata_removed_incarnation(m, number) == 0) {
        metadata_save_removed_forgotten(m->removed[0].node, effects);
        metadata_node_forget_removed(m);
    }
    metadata_node_set_removed(m, number, incarnation);
}

static void remove_node(struct metadata *m, uint32_t number, struct metadata_effects *effects) {
    struct metadata_node *node = metadata_node_put(m, number);
    uint32_t incarnation = node->incarnation, at = (uint32_t)(node - m->nodes);
    m->node_count--;
    memmove(node, node + 1, (m->node_count - at) * sizeof *node);
    metadata_save_node_removed(number, incarnation, effects);
    if (incarnation != 0) remember_removed(m, number, incarnation, effects);
    metadata_move_forget(m, number, effects);
}

void metadata_node_apply(struct metadata *m, const struct metadata_command *command,
                         struct metadata_effects *effects) {
    if (command->kind == METADATA_REMOVE_NODE) {
        remove_node(m, command->node, effects);
    } else if (command->kind == METADATA_DRAIN_NODE) {
        struct metadata_node *node = metadata_node_put(m, command->node);
        node->draining = command->count != 0;
        metadata_save_node(node, effects);
    } else {
        register_node(m, command, effects);
    }
}
