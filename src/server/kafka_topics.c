// SPDX-License-Identifier: Apache-2.0
/* CreateTopics, DeleteTopics and CreatePartitions: each topic of a request is a change of its own. */
#include "server/kafka_handlers.h"

#define REPLICATION 1 /* where one node holds everything */

struct topic_part {
    struct topic_change change;
    struct kafka_request *request;
    void *response;
};

static struct topic_part *part_new(struct kafka_request *request, enum topic_change_kind kind,
                                   struct slice name, void (*done)(struct topic_change *change),
                                   void *response) {
    struct topic_part *part = kafka_request_calloc(request, 1, sizeof *part);
    part->request = request;
    part->response = response;
    part->change.kind = kind;
    part->change.name = name;
    part->change.partition_count = -1;
    part->change.replication = -1;
    part->change.done = done;
    return part;
}

static void part_start(struct topic_part *part) {
    kafka_request_hold(part->request);
    broker_change_topic(part->request->broker, &part->change);
}

/* The nodes of one partition, placed by hand, go behind those before; as many for each. False: they do not
 * fit. A broker that runs alone has one place. */
static bool place(struct kafka_request *request, struct topic_part *part, int32_t *placement,
                  const int32_t *nodes, int32_t count) {
    struct topic_change *change = &part->change;
    if (broker_peers(request->broker) == NULL)
        return count == REPLICATION && nodes[0] == broker_node_id(request->broker);
    if (count < 1 || count > BROKER_REPLICAS_MAX ||
        (change->placement_count != 0 && count != change->replication))
        return false;
    change->replication = (int16_t)count;
    change->placement = placement;
    memcpy(placement + change->placement_count, nodes, (size_t)count * sizeof *nodes);
    change->placement_count += (uint32_t)count;
    return true;
}

/* Of the topics of one request each is changed once: those named twice are refused. */
struct repeated {
    struct kafka_names seen, twice;
};

static void repeated_init(struct repeated *repeated, const struct kafka_request *request) {
    kafka_names_init(&repeated->seen, request);
    kafka_names_init(&repeated->twice, request);
}

static void repeated_release(struct repeated *repeated) {
    kafka_names_release(&repeated->seen);
    kafka_names_release(&repeated->twice);
}

static void repeated_add(struct repeated *repeated, struct slice name) {
    if (!kafka_names_add(&repeated->seen, name)) kafka_names_add(&repeated->twice, name);
}

/* ---- CreateTopics -------------------------------------------------------------------------------------- */

static void refuse_create(struct kafka_create_topics_response_topic *out, int16_t code,
                          struct slice message) {
    out->error_code = code;
    out->error_message = message;
    out->configs_count = -1;
}

/* What a config's value comes from (KIP-226). */
enum { SOURCE_TOPIC = 1, SOURCE_DEFAULT = 5 };

static void tell_created(struct kafka_request *request, const struct topic_change *change,
                         struct kafka_create_topics_response_topic *out) {
    const struct broker_options *options = broker_get_options(request->broker);
    if (!change->validate_only) out->topic_id = change->id;
    out->num_partitions = change->partition_count == -1 ? options->default_partitions
                                                        : change->partition_count;
    const struct broker_topic *topic = broker_topic_find(request->broker, change->name);
    out->replication_factor = topic == NULL ? MAX(change->replication, REPLICATION) : topic->replication;
    out->configs_count = (int32_t)topic_config_count();
    out->configs = kafka_request_array(request, &kafka_schema_create_topics_response_config,
                                       topic_config_count());
    struct writer value;
    writer_init(&value);
    for (unsigned i = 0; i < topic_config_count(); i++) {
        writer_clear(&value);
        topic_config_print(&change->config, i, &value);
        out->configs[i].name = slice_from_text(topic_config_row(i)->name);
        out->configs[i].value = arena_copy(&request->arena, writer_slice(&value));
        out->configs[i].config_source = change->config.is_set >> i & 1 ? SOURCE_TOPIC : SOURCE_DEFAULT;
    }
    writer_release(&value);
}

static void created(struct topic_change *change) {
    struct topic_part *part = CONTAINER_OF(change, struct topic_part, change);
    struct kafka_request *request = part->request;
    if (change->status == STATUS_OK)
        tell_created(request, change, part->response);
    else
        refuse_create(part->response, kafka_admin_code(change->status),
                      kafka_error_text(request, change->status, &change->diagnostic));
    kafka_request_release(request);
}

static bool take_configs(struct kafka_request *request, const struct kafka_create_topics_request_topic *in,
                         struct topic_config *config, struct kafka_create_topics_response_topic *out) {
    *config = broker_get_options(request->broker)->topic_defaults;
    config->is_set = 0;
    for (int32_t i = 0; i < in->configs_count; i++) {
        struct diagnostic why;
        enum status status = in->configs[i].value.data == NULL
                                 ? diagnose(&why, STATUS_INVALID_CONFIG, "a config needs a value")
                                 : topic_config_set(config, in->configs[i].name, in->configs[i].value, &why);
        if (status == STATUS_OK) continue;
        refuse_create(out, kafka_admin_code(status), kafka_error_text(request, status, &why));
        return false;
    }
    return true;
}

/* From the counts, or from replicas placed by hand; false: refused. */
static bool take_partitions(struct kafka_request *request, struct topic_part *part,
                            const struct kafka_create_topics_request_topic *in,
                            struct kafka_create_topics_response_topic *out) {
    if (in->assignments_count <= 0) {
        part->change.partition_count = in->num_partitions;
        part->change.replication = in->replication_factor;
        if (in->num_partitions == -1 || in->num_partitions > 0) return true;
        refuse_create(out, status_kafka_code(STATUS_INVALID_PARTITIONS),
                      kafka_text(request, "a topic has one partition or more"));
        return false;
    }
    if (in->num_partitions != -1 || in->replication_factor != -1) {
        refuse_create(out, KAFKA_INVALID_REQUEST,
                      kafka_text(request, "either counts or assignments, not both"));
        return false;
    }
    part->change.partition_count = in->assignments_count;
    part->change.replication = REPLICATION;
    int32_t *placement = kafka_request_calloc(request, (size_t)in->assignments_count,
                                              BROKER_REPLICAS_MAX * sizeof *placement);
    for (int32_t i = 0; i < in->assignments_count; i++) {
        const struct kafka_create_topics_request_assignment *assignment = &in->assignments[i];
        if (assignment->partition_index == i &&
            place(request, part, placement, assignment->broker_ids, assignment->broker_ids_count))
            continue;
        refuse_create(
            out, KAFKA_INVALID_REPLICA_ASSIGNMENT,
            kafka_text(request, "partitions count from 0, and each has as many nodes, 1 to %d that there are",
                       broker_peers(request->broker) == NULL ? 1 : BROKER_REPLICAS_MAX));
        return false;
    }
    return true;
}

static void create_topic(struct kafka_request *request, const struct repeated *repeated,
                         const struct kafka_create_topics_request_topic *in,
                         struct kafka_create_topics_response_topic *out) {
    const struct kafka_create_topics_request *message = request->message;
    out->name = in->name;
    if (kafka_names_has(&repeated->twice, in->name)) {
        refuse_create(out, KAFKA_INVALID_REQUEST,
                      kafka_text(request, "the topic stands twice in the request"));
        return;
    }
    struct topic_part *part = part_new(request, TOPIC_CREATE, in->name, created, out);
    if (!take_configs(request, in, &part->change.config, out)) return;
    if (!take_partitions(request, part, in, out)) return;
    part->change.validate_only = message->validate_only;
    part_start(part);
}

void kafka_topics_create(struct kafka_request *request) {
    const struct kafka_create_topics_request *message = request->message;
    struct kafka_create_topics_response *response = request->response;
    response->topics_count = MAX(message->topics_count, 0);
    response->topics = kafka_request_array(request, &kafka_schema_create_topics_response_topic,
                                           (size_t)response->topics_count);
    struct repeated repeated;
    repeated_init(&repeated, request);
    for (int32_t i = 0; i < response->topics_count; i++)
        repeated_add(&repeated, message->topics[i].name);
    for (int32_t i = 0; i < response->topics_count; i++)
        create_topic(request, &repeated, &message->topics[i], &response->topics[i]);
    repeated_release(&repeated);
}

/* ---- DeleteTopics -------------------------------------------------------------------------------------- */

static void deleted(struct topic_change *change) {
    struct topic_part *part = CONTAINER_OF(change, struct topic_part, change);
    struct kafka_delete_topics_response_topic *out = part->response;
    if (change->status == STATUS_OK) out->topic_id = change->id;
    out->error_code = kafka_admin_code(change->status);
    out->error_message = kafka_error_text(part->request, change->status, &change->diagnostic);
    kafka_request_release(part->request);
}

static void refuse_delete(struct kafka_request *request, struct kafka_delete_topics_response_topic *out,
                          enum status status) {
    out->error_code = kafka_admin_code(status);
    out->error_message = kafka_error_text(request, status, NULL);
}

/* By name, or from version 6 by id. */
static void delete_topic(struct kafka_request *request, struct slice name, struct uuid id,
                         struct kafka_delete_topics_response_topic *out) {
    bool by_name = name.data != NULL;
    out->name = name;
    out->topic_id = id;
    if (by_name != uuid_is_zero(id)) {
        refuse_delete(request, out, STATUS_INVALID);
        return;
    }
    /* This node may not know of it yet: what there is, the controller says. */
    const struct broker_topic *topic = by_name ? NULL : broker_topic_find_id(request->broker, id);
    struct topic_part *part = part_new(request, TOPIC_DELETE, name, deleted, out);
    if (topic != NULL) out->name = arena_copy(&request->arena, slice_from_text(topic->name));
    part->change.id = id;
    part_start(part);
}

void kafka_topics_delete(struct kafka_request *request) {
    const struct kafka_delete_topics_request *message = request->message;
    struct kafka_delete_topics_response *response = request->response;
    bool states = request->header.api_version >= 6;
    int32_t count = MAX(states ? message->topics_count : message->topic_names_count, 0);
    response->responses_count = count;
    response->responses = kafka_request_array(request, &kafka_schema_delete_topics_response_topic,
                                              (size_t)count);
    for (int32_t i = 0; i < count; i++) {
        if (states)
            delete_topic(request, message->topics[i].name, message->topics[i].topic_id,
                         &response->responses[i]);
        else
            delete_topic(request, message->topic_names[i], (struct uuid){{0}}, &response->responses[i]);
    }
}

/* ---- CreatePartitions ---------------------------------------------------------------------------------- */

static void refuse_partitions(struct kafka_create_partitions_response_topic *out, int16_t code,
                              struct slice message) {
    out->error_code = code;
    out->error_message = message;
}

static void partitions_added(struct topic_change *change) {
    struct topic_part *part = CONTAINER_OF(change, struct topic_part, change);
    refuse_partitions(part->response, kafka_admin_code(change->status),
                      kafka_error_text(part->request, change->status, &change->diagnostic));
    kafka_request_release(part->request);
}

static bool take_assignments(struct kafka_request *request, struct topic_part *part,
                             const struct kafka_create_partitions_request_topic *in,
                             struct kafka_create_partitions_response_topic *out) {
    if (in->assignments_count < 0) return true;
    const struct broker_topic *topic = broker_topic_find(request->broker, in->name);
    bool good = topic == NULL || in->count - topic->partition_count == in->assignments_count;
    int32_t *placement = kafka_request_calloc(request, (size_t)in->assignments_count,
                                              BROKER_REPLICAS_MAX * sizeof *placement);
    for (int32_t i = 0; i < in->assignments_count && good; i++)
        good = place(request, part, placement, in->assignments[i].broker_ids,
                     in->assignments[i].broker_ids_count);
    if (!good)
        refuse_partitions(
            out, KAFKA_INVALID_REPLICA_ASSIGNMENT,
            kafka_text(request, "one assignment for each new partition, with as many nodes each"));
    return good;
}

static void create_partitions(struct kafka_request *request, const struct repeated *repeated,
                              const struct kafka_create_partitions_request_topic *in,
                              struct kafka_create_partitions_response_topic *out) {
    const struct kafka_create_partitions_request *message = request->message;
    out->name = in->name;
    if (kafka_names_has(&repeated->twice, in->name)) {
        refuse_partitions(out, KAFKA_INVALID_REQUEST,
                          kafka_text(request, "the topic stands twice in the request"));
        return;
    }
    struct topic_part *part = part_new(request, TOPIC_ADD_PARTITIONS, in->name, partitions_added, out);
    if (!take_assignments(request, part, in, out)) return;
    part->change.partition_count = in->count;
    part->change.validate_only = message->validate_only;
    part_start(part);
}

void kafka_topics_create_partitions(struct kafka_request *request) {
    const struct kafka_create_partitions_request *message = request->message;
    struct kafka_create_partitions_response *response = request->response;
    response->results_count = MAX(message->topics_count, 0);
    response->results = kafka_request_array(request, &kafka_schema_create_partitions_response_topic,
                                            (size_t)response->results_count);
    struct repeated repeated;
    repeated_init(&repeated, request);
    for (int32_t i = 0; i < response->results_count; i++)
        repeated_add(&repeated, message->topics[i].name);
    for (int32_t i = 0; i < response->results_count; i++)
        create_partitions(request, &repeated, &message->topics[i], &response->results[i]);
    repeated_release(&repeated);
}
