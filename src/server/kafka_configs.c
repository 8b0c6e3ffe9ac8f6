// SPDX-License-Identifier: Apache-2.0
/* DescribeConfigs: a topic's configs with where each value comes from, and the broker's few that clients look
 * for. */
#include <stdio.h>

#include "server/kafka_connection.h"

enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };
enum { SOURCE_TOPIC = 1, SOURCE_STATIC_BROKER = 4, SOURCE_DEFAULT = 5 };
enum { TYPE_BOOLEAN = 1, TYPE_STRING = 2, TYPE_INT = 3, TYPE_LONG = 5, TYPE_LIST = 7 };

static bool is_asked_for(const struct kafka_describe_configs_request_resource *resource, struct slice name) {
    if (resource->configuration_keys_count < 0) return true;
    for (int32_t i = 0; i < resource->configuration_keys_count; i++)
        if (slice_equal(resource->configuration_keys[i], name)) return true;
    return false;
}

static int8_t type_of(enum topic_config_type type) {
    switch (type) {
    case TOPIC_CONFIG_LONG:
        return TYPE_LONG;
    case TOPIC_CONFIG_INT:
        return TYPE_INT;
    case TOPIC_CONFIG_BOOL:
        return TYPE_BOOLEAN;
    case TOPIC_CONFIG_POLICY:
        return TYPE_LIST;
    case TOPIC_CONFIG_TIME:
    case TOPIC_CONFIG_CODEC:
        break;
    }
    return TYPE_STRING;
}

static struct slice value_of(struct kafka_request *request, const struct topic_config *config,
                             unsigned index) {
    struct writer text;
    writer_init(&text);
    topic_config_print(config, index, &text);
    struct slice copy = arena_copy(&request->arena, writer_slice(&text));
    writer_release(&text);
    return copy;
}

static void describe_topic(struct kafka_request *request,
                           const struct kafka_describe_configs_request_resource *resource,
                           const struct broker_topic *topic,
                           struct kafka_describe_configs_response_resource *out) {
    const struct kafka_describe_configs_request *in = request->message;
    out->configs = kafka_new(request, topic_config_count(), sizeof *out->configs);
    for (unsigned i = 0; i < topic_config_count(); i++) {
        const struct topic_config_row *row = topic_config_row(i);
        struct slice name = slice_from_text(row->name);
        if (!is_asked_for(resource, name)) continue;
        bool own = (topic->config.is_set >> i & 1) != 0;
        const struct topic_config *defaults = &broker_get_options(request->broker)->topic_defaults;
        bool broker_set = topic_config_value(defaults, i) != row->default_value;
        struct kafka_describe_configs_response_config *config = &out->configs[out->configs_count++];
        config->name = name;
        config->value = value_of(request, &topic->config, i);
        config->config_source = own ? SOURCE_TOPIC : broker_set ? SOURCE_STATIC_BROKER : SOURCE_DEFAULT;
        config->config_type = type_of(row->type);
        if (in->include_documentation) config->documentation = slice_from_text(row->doc);
    }
}

static void describe_broker(struct kafka_request *request,
                            const struct kafka_describe_configs_request_resource *resource,
                            struct kafka_describe_configs_response_resource *out) {
    const struct broker_options *options = broker_get_options(request->broker);
    char partitions[16];
    snprintf(partitions, sizeof partitions, "%d", options->default_partitions);
    const struct {
        const char *name, *value;
        int8_t type;
    } rows[] = {
        {"auto.create.topics.enable", options->auto_create_topics ? "true" : "false", TYPE_BOOLEAN},
        {"default.replication.factor", "1", TYPE_INT},
        {"num.partitions", partitions, TYPE_INT},
    };
    out->configs = kafka_new(request, ARRAY_COUNT(rows), sizeof *out->configs);
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        if (!is_asked_for(resource, slice_from_text(rows[i].name))) continue;
        struct kafka_describe_configs_response_config *config = &out->configs[out->configs_count++];
        config->name = slice_from_text(rows[i].name);
        config->value = arena_copy(&request->arena, slice_from_text(rows[i].value));
        config->read_only = true;
        config->config_source = SOURCE_STATIC_BROKER;
        config->config_type = rows[i].type;
    }
}

static void describe(struct kafka_request *request,
                     const struct kafka_describe_configs_request_resource *resource,
                     struct kafka_describe_configs_response_resource *out) {
    struct diagnostic why = {.text = ""};
    enum status status = STATUS_OK;
    out->resource_type = resource->resource_type;
    out->resource_name = resource->resource_name;
    if (resource->resource_type == RESOURCE_TOPIC) {
        const struct broker_topic *topic = broker_topic_find(request->broker, resource->resource_name);
        if (topic != NULL)
            describe_topic(request, resource, topic, out);
        else
            status = STATUS_UNKNOWN_TOPIC;
    } else if (resource->resource_type == RESOURCE_BROKER) {
        describe_broker(request, resource, out);
    } else {
        status = diagnose(&why, STATUS_INVALID, "only topics (2) and brokers (4) have configs here");
    }
    out->error_code = status_kafka_code(status);
    out->error_message = kafka_error_text(request, status, &why);
}

void kafka_describe_configs(struct kafka_request *request) {
    const struct kafka_describe_configs_request *in = request->message;
    struct kafka_describe_configs_response response = {.results_count = in->resources_count};
    response.results = kafka_new(request, (size_t)in->resources_count, sizeof *response.results);
    for (int32_t i = 0; i < in->resources_count; i++)
        describe(request, &in->resources[i], &response.results[i]);
    kafka_answer(request, &response);
}
