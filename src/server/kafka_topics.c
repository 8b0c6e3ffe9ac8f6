// SPDX-License-Identifier: Apache-2.0
/* CreateTopics, DeleteTopics, CreatePartitions, AlterConfigs, IncrementalAlterConfigs: each item becomes one
 * change of metadata; the answer goes out when the last is durable. */
#include "base/assert.h"
#include "server/kafka_connection.h"

enum { RESOURCE_TOPIC = 2 };
enum { OPERATION_SET, OPERATION_DELETE, OPERATION_APPEND, OPERATION_SUBTRACT };

struct changes {
    struct kafka_request *request;
    uint32_t pending;
    void (*answer)(struct changes *changes);
    struct change *list; /* as the items stand in the request */
};
struct change {
    struct topic_change topic;
    struct changes *all;
};

static void answered_one(struct changes *all) {
    ASSERT(all->pending > 0);
    if (--all->pending == 0) all->answer(all);
}

static void change_done(struct topic_change *topic) {
    answered_one(CONTAINER_OF(topic, struct change, topic)->all);
}

static struct changes *changes_new(struct kafka_request *request, int32_t count,
                                   void (*answer)(struct changes *changes)) {
    struct changes *all = kafka_new(request, 1, sizeof *all);
    all->request = request;
    all->pending = (uint32_t)count + 1; /* one is held until all are started */
    all->answer = answer;
    all->list = kafka_new(request, (size_t)count, sizeof *all->list);
    for (int32_t i = 0; i < count; i++) {
        all->list[i].all = all;
        all->list[i].topic.done = change_done;
    }
    return all;
}

static void start(struct change *change, enum status status) {
    change->topic.status = status;
    if (status == STATUS_OK)
        broker_change_topic(change->all->request->broker, &change->topic);
    else
        change->all->pending--;
}

static struct slice error_of(struct kafka_request *request, const struct change *change) {
    return kafka_error_text(request, change->topic.status, &change->topic.diagnostic);
}

/* ---- CreateTopics
 * ------------------------------------------------------------------------------------------- */

static void answer_create(struct changes *all) {
    struct kafka_request *request = all->request;
    const struct kafka_create_topics_request *in = request->message;
    struct kafka_create_topics_response response = {.topics_count = in->topics_count};
    response.topics = kafka_new(request, (size_t)in->topics_count, sizeof *response.topics);
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct change *change = &all->list[i];
        struct kafka_create_topics_response_topic *out = &response.topics[i];
        kafka_message_init(&kafka_schema_create_topics_response_topic, out);
        out->name = in->topics[i].name;
        out->error_code = status_kafka_code(change->topic.status);
        out->error_message = error_of(request, change);
        out->configs_count = -1;
        if (change->topic.status != STATUS_OK) continue;
        out->topic_id = change->topic.id;
        out->replication_factor = 1;
        out->num_partitions = change->topic.partition_count == -1
                                  ? broker_get_options(request->broker)->default_partitions
                                  : change->topic.partition_count;
    }
    kafka_answer(request, &response);
}

static enum status prepare_create(struct change *change, const struct kafka_create_topics_request_topic *in) {
    struct kafka_request *request = change->all->request;
    struct topic_change *topic = &change->topic;
    topic->kind = TOPIC_CREATE;
    topic->name = in->name;
    topic->partition_count = in->assignments_count > 0 ? in->assignments_count : in->num_partitions;
    topic->replication = in->assignments_count > 0 ? -1 : in->replication_factor;
    topic->config = broker_get_options(request->broker)->topic_defaults;
    topic->config.is_set = 0;
    if (in->assignments_count == 0 && in->num_partitions < -1)
        return diagnose(&topic->diagnostic, STATUS_INVALID_PARTITIONS, "%d partitions asked for",
                        in->num_partitions);
    for (int32_t i = 0; i < in->assignments_count; i++)
        for (int32_t j = 0; j < in->assignments[i].broker_ids_count; j++)
            if (in->assignments[i].broker_ids[j] != broker_node_id(request->broker))
                return diagnose(&topic->diagnostic, STATUS_INVALID_REPLICATION, "there is no broker %d",
                                in->assignments[i].broker_ids[j]);
    for (int32_t i = 0; i < in->configs_count; i++) {
        if (in->configs[i].value.data == NULL) continue; /* null: the default */
        enum status status = topic_config_set(&topic->config, in->configs[i].name, in->configs[i].value,
                                              &topic->diagnostic);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

void kafka_create_topics(struct kafka_request *request) {
    const struct kafka_create_topics_request *in = request->message;
    struct changes *all = changes_new(request, in->topics_count, answer_create);
    for (int32_t i = 0; i < in->topics_count; i++) {
        all->list[i].topic.validate_only = in->validate_only;
        start(&all->list[i], prepare_create(&all->list[i], &in->topics[i]));
    }
    answered_one(all);
}

/* ---- DeleteTopics
 * ------------------------------------------------------------------------------------------- */

static void answer_delete(struct changes *all) {
    struct kafka_request *request = all->request;
    const struct kafka_delete_topics_request *in = request->message;
    int32_t count = request->version >= 6 ? in->topics_count : in->topic_names_count;
    struct kafka_delete_topics_response response = {.responses_count = count};
    response.responses = kafka_new(request, (size_t)count, sizeof *response.responses);
    for (int32_t i = 0; i < count; i++) {
        const struct change *change = &all->list[i];
        response.responses[i] = (struct kafka_delete_topics_response_topic){
            .name = change->topic.name,
            .topic_id = change->topic.id,
            .error_code = status_kafka_code(change->topic.status),
            .error_message = error_of(request, change)};
    }
    kafka_answer(request, &response);
}

static enum status prepare_delete(struct change *change, struct slice name, struct uuid id) {
    struct kafka_request *request = change->all->request;
    change->topic.kind = TOPIC_DELETE;
    change->topic.name = name;
    change->topic.id = id;
    const struct broker_topic *topic = name.data == NULL ? broker_topic_find_id(request->broker, id)
                                                         : broker_topic_find(request->broker, name);
    if (topic == NULL) return name.data == NULL ? STATUS_UNKNOWN_TOPIC_ID : STATUS_UNKNOWN_TOPIC;
    change->topic.id = topic->id;
    change->topic.name = arena_copy(&request->arena, slice_from_text(topic->name));
    return STATUS_OK;
}

void kafka_delete_topics(struct kafka_request *request) {
    const struct kafka_delete_topics_request *in = request->message;
    bool named = request->version < 6;
    int32_t count = named ? in->topic_names_count : in->topics_count;
    struct changes *all = changes_new(request, count, answer_delete);
    for (int32_t i = 0; i < count; i++) {
        struct slice name = named ? in->topic_names[i] : in->topics[i].name;
        struct uuid id = named ? (struct uuid){{0}} : in->topics[i].topic_id;
        start(&all->list[i], prepare_delete(&all->list[i], name, id));
    }
    answered_one(all);
}

/* ---- CreatePartitions
 * ---------------------------------------------------------------------------------------- */

static void answer_partitions(struct changes *all) {
    struct kafka_request *request = all->request;
    const struct kafka_create_partitions_request *in = request->message;
    struct kafka_create_partitions_response response = {.results_count = in->topics_count};
    response.results = kafka_new(request, (size_t)in->topics_count, sizeof *response.results);
    for (int32_t i = 0; i < in->topics_count; i++)
        response.results[i] = (struct kafka_create_partitions_response_topic){
            .name = in->topics[i].name,
            .error_code = status_kafka_code(all->list[i].topic.status),
            .error_message = error_of(request, &all->list[i])};
    kafka_answer(request, &response);
}

void kafka_create_partitions(struct kafka_request *request) {
    const struct kafka_create_partitions_request *in = request->message;
    struct changes *all = changes_new(request, in->topics_count, answer_partitions);
    for (int32_t i = 0; i < in->topics_count; i++) {
        struct topic_change *topic = &all->list[i].topic;
        topic->kind = TOPIC_ADD_PARTITIONS;
        topic->name = in->topics[i].name;
        topic->partition_count = in->topics[i].count;
        topic->validate_only = in->validate_only;
        start(&all->list[i], STATUS_OK);
    }
    answered_one(all);
}

/* ---- AlterConfigs, IncrementalAlterConfigs
 * ------------------------------------------------------------------- */

/* What a change begins with: the topic's own settings (incremental), or none. */
static enum status begin_alter(struct change *change, int8_t type, struct slice name, bool keep) {
    struct kafka_request *request = change->all->request;
    struct topic_change *topic = &change->topic;
    topic->kind = TOPIC_ALTER_CONFIG;
    topic->name = name;
    if (type != RESOURCE_TOPIC)
        return diagnose(
            &topic->diagnostic, STATUS_INVALID,
            "only topics can be configured while the broker runs; see 'sentinel serve --help-settings'");
    const struct broker_topic *found = broker_topic_find(request->broker, name);
    if (found == NULL) return STATUS_UNKNOWN_TOPIC;
    topic->config = keep ? found->config : broker_get_options(request->broker)->topic_defaults;
    if (!keep) topic->config.is_set = 0;
    return STATUS_OK;
}

static void answer_alter(struct changes *all) {
    struct kafka_request *request = all->request;
    const struct kafka_alter_configs_request *in = request->message;
    struct kafka_alter_configs_response response = {.responses_count = in->resources_count};
    response.responses = kafka_new(request, (size_t)in->resources_count, sizeof *response.responses);
    for (int32_t i = 0; i < in->resources_count; i++)
        response.responses[i] = (struct kafka_alter_configs_response_resource){
            .error_code = status_kafka_code(all->list[i].topic.status),
            .error_message = error_of(request, &all->list[i]),
            .resource_type = in->resources[i].resource_type,
            .resource_name = in->resources[i].resource_name};
    kafka_answer(request, &response);
}

void kafka_alter_configs(struct kafka_request *request) {
    const struct kafka_alter_configs_request *in = request->message;
    struct changes *all = changes_new(request, in->resources_count, answer_alter);
    for (int32_t i = 0; i < in->resources_count; i++) {
        const struct kafka_alter_configs_request_resource *resource = &in->resources[i];
        struct topic_change *topic = &all->list[i].topic;
        topic->validate_only = in->validate_only;
        enum status status = begin_alter(&all->list[i], resource->resource_type, resource->resource_name,
                                         false);
        for (int32_t j = 0; status == STATUS_OK && j < resource->configs_count; j++)
            if (resource->configs[j].value.data != NULL)
                status = topic_config_set(&topic->config, resource->configs[j].name,
                                          resource->configs[j].value, &topic->diagnostic);
        start(&all->list[i], status);
    }
    answered_one(all);
}

static void answer_incremental(struct changes *all) {
    struct kafka_request *request = all->request;
    const struct kafka_incremental_alter_configs_request *in = request->message;
    struct kafka_incremental_alter_configs_response response = {.responses_count = in->resources_count};
    response.responses = kafka_new(request, (size_t)in->resources_count, sizeof *response.responses);
    for (int32_t i = 0; i < in->resources_count; i++)
        response.responses[i] = (struct kafka_incremental_alter_configs_response_resource){
            .error_code = status_kafka_code(all->list[i].topic.status),
            .error_message = error_of(request, &all->list[i]),
            .resource_type = in->resources[i].resource_type,
            .resource_name = in->resources[i].resource_name};
    kafka_answer(request, &response);
}

/* cleanup.policy is the one list among our configs: a set of bits, delete 1 and compact 2. */
static enum status change_policy(struct topic_change *topic, int8_t operation, struct slice value) {
    int64_t bit = slice_equal(value, SLICE_LITERAL("delete"))    ? 1
                  : slice_equal(value, SLICE_LITERAL("compact")) ? 2
                                                                 : 0;
    int64_t policy = operation == OPERATION_APPEND ? topic->config.cleanup_policy | bit
                                                   : topic->config.cleanup_policy & ~bit;
    if (bit == 0 || policy == 0)
        return diagnose(&topic->diagnostic, STATUS_INVALID_CONFIG,
                        "cleanup.policy is delete, compact, or both");
    static const char *const words[] = {NULL, "delete", "compact", "compact,delete"};
    return topic_config_set(&topic->config, SLICE_LITERAL("cleanup.policy"), slice_from_text(words[policy]),
                            &topic->diagnostic);
}

static enum status apply_operation(struct change *change,
                                   const struct kafka_incremental_alter_configs_request_config *c) {
    struct topic_change *topic = &change->topic;
    const struct topic_config *defaults = &broker_get_options(change->all->request->broker)->topic_defaults;
    switch (c->config_operation) {
    case OPERATION_SET:
        return topic_config_set(&topic->config, c->name, c->value, &topic->diagnostic);
    case OPERATION_DELETE:
        return topic_config_unset(&topic->config, c->name, defaults, &topic->diagnostic);
    case OPERATION_APPEND:
    case OPERATION_SUBTRACT:
        if (slice_equal(c->name, SLICE_LITERAL("cleanup.policy")))
            return change_policy(topic, c->config_operation, c->value);
        return diagnose(&topic->diagnostic, STATUS_INVALID_CONFIG,
                        "%.*s is no list: it can be set, not added to", (int)c->name.size,
                        (const char *)c->name.data);
    default:
        return diagnose(&topic->diagnostic, STATUS_INVALID, "unknown operation %d", c->config_operation);
    }
}

void kafka_incremental_alter_configs(struct kafka_request *request) {
    const struct kafka_incremental_alter_configs_request *in = request->message;
    struct changes *all = changes_new(request, in->resources_count, answer_incremental);
    for (int32_t i = 0; i < in->resources_count; i++) {
        const struct kafka_incremental_alter_configs_request_resource *resource = &in->resources[i];
        all->list[i].topic.validate_only = in->validate_only;
        enum status status = begin_alter(&all->list[i], resource->resource_type, resource->resource_name,
                                         true);
        for (int32_t j = 0; status == STATUS_OK && j < resource->configs_count; j++)
            status = apply_operation(&all->list[i], &resource->configs[j]);
        start(&all->list[i], status);
    }
    answered_one(all);
}
