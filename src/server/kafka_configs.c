// SPDX-License-Identifier: Apache-2.0
/* DescribeConfigs, AlterConfigs, IncrementalAlterConfigs (KIP-226, KIP-339) and ListConfigResources
 * (KIP-1142): topic configs, which can be changed, and some of the broker's settings, which are given at its
 * start and only shown. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "server/kafka_handlers.h"

enum resource_type {
    RESOURCE_TOPIC = 2,
    RESOURCE_BROKER = 4,
    RESOURCE_BROKER_LOGGER = 8, /* this one and the following have no configs here */
    RESOURCE_CLIENT_METRICS = 16,
    RESOURCE_GROUP = 32
};
enum config_source { SOURCE_TOPIC = 1, SOURCE_STATIC_BROKER = 4, SOURCE_DEFAULT = 5 };
enum config_type {
    TYPE_BOOLEAN = 1,
    TYPE_STRING = 2,
    TYPE_INT = 3,
    TYPE_LONG = 5,
    TYPE_DOUBLE = 6,
    TYPE_LIST = 7
};
enum alter_operation { ALTER_SET = 0, ALTER_DELETE = 1, ALTER_APPEND = 2, ALTER_SUBTRACT = 3 };

/* ---- describe ------------------------------------------------------------------------------------------ */

static int8_t config_type(enum topic_config_type type) {
    switch (type) {
    case TOPIC_CONFIG_RATIO:
        return TYPE_DOUBLE;
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
        return TYPE_STRING;
    }
    return TYPE_STRING;
}

static struct slice config_text(struct kafka_request *request, const struct topic_config *config,
                                unsigned index) {
    struct writer value;
    writer_init(&value);
    topic_config_print(config, index, &value);
    struct slice text = arena_copy(&request->arena, writer_slice(&value));
    writer_release(&value);
    return text;
}

/* Null or empty asks for all. */
static bool is_wanted(const struct kafka_describe_configs_request_resource *in, struct slice name) {
    if (in->configuration_keys_count <= 0) return true;
    for (int32_t i = 0; i < in->configuration_keys_count; i++)
        if (slice_equal(in->configuration_keys[i], name)) return true;
    return false;
}

static void add_synonym(struct kafka_describe_configs_response_config *row, struct slice name,
                        struct slice value, int8_t source) {
    row->synonyms[row->synonyms_count++] = (struct kafka_describe_configs_response_synonym){
        .name = name, .value = value, .source = source};
}

static int8_t inherited_source(const struct kafka_request *request, unsigned index) {
    struct topic_config built_in = topic_config_default();
    int64_t here = topic_config_value(&broker_get_options(request->broker)->topic_defaults, index);
    return here == topic_config_value(&built_in, index) ? SOURCE_DEFAULT : SOURCE_STATIC_BROKER;
}

static void describe_topic_config(struct kafka_request *request, const struct topic_config *config,
                                  unsigned index, struct kafka_describe_configs_response_config *row) {
    const struct kafka_describe_configs_request *message = request->message;
    const struct topic_config_row *known = topic_config_row(index);
    bool own = config->is_set >> index & 1;
    row->name = slice_from_text(known->name);
    row->value = config_text(request, config, index);
    row->config_source = own ? SOURCE_TOPIC : inherited_source(request, index);
    row->config_type = config_type(known->type);
    if (message->include_documentation) row->documentation = slice_from_text(known->doc);
    if (!message->include_synonyms) return;
    row->synonyms = kafka_request_array(request, &kafka_schema_describe_configs_response_synonym, 2);
    if (own) add_synonym(row, row->name, row->value, SOURCE_TOPIC);
    add_synonym(row, row->name,
                config_text(request, &broker_get_options(request->broker)->topic_defaults, index),
                inherited_source(request, index));
}

static void describe_topic(struct kafka_request *request,
                           const struct kafka_describe_configs_request_resource *in,
                           struct kafka_describe_configs_response_resource *out) {
    const struct broker_topic *topic = broker_topic_find(request->broker, in->resource_name);
    if (topic == NULL) {
        out->error_code = status_kafka_code(STATUS_UNKNOWN_TOPIC);
        out->error_message = kafka_error_text(request, STATUS_UNKNOWN_TOPIC, NULL);
        return;
    }
    out->configs = kafka_request_array(request, &kafka_schema_describe_configs_response_config,
                                       topic_config_count());
    for (unsigned i = 0; i < topic_config_count(); i++)
        if (is_wanted(in, slice_from_text(topic_config_row(i)->name)))
            describe_topic_config(request, &topic->config, i, &out->configs[out->configs_count++]);
}

static void add_setting(struct kafka_request *request,
                        const struct kafka_describe_configs_request_resource *in,
                        struct kafka_describe_configs_response_resource *out, const char *name, int8_t type,
                        int64_t value) {
    const struct kafka_describe_configs_request *message = request->message;
    if (!is_wanted(in, slice_from_text(name))) return;
    struct kafka_describe_configs_response_config *row = &out->configs[out->configs_count++];
    row->name = slice_from_text(name);
    row->value = type == TYPE_BOOLEAN ? slice_from_text(value != 0 ? "true" : "false")
                                      : kafka_text(request, "%lld", (long long)value);
    row->read_only = true;
    row->config_source = SOURCE_STATIC_BROKER;
    row->config_type = type;
    if (!message->include_synonyms) return;
    row->synonyms = kafka_request_array(request, &kafka_schema_describe_configs_response_synonym, 1);
    add_synonym(row, row->name, row->value, SOURCE_STATIC_BROKER);
}

static void describe_broker(struct kafka_request *request,
                            const struct kafka_describe_configs_request_resource *in,
                            struct kafka_describe_configs_response_resource *out) {
    enum { SETTINGS_MAX = 8 };
    const struct broker_options *options = broker_get_options(request->broker);
    struct slice this_node = kafka_text(request, "%d", options->node_id);
    if (in->resource_name.size != 0 && !slice_equal(in->resource_name, this_node)) {
        out->error_code = KAFKA_INVALID_REQUEST;
        out->error_message = kafka_text(request, "this is node %d", options->node_id);
        return;
    }
    out->configs = kafka_request_array(request, &kafka_schema_describe_configs_response_config, SETTINGS_MAX);
    /* The cluster's defaults (an empty name) are those changed at run time: there are none. */
    if (in->resource_name.size == 0) return;
    add_setting(request, in, out, "node.id", TYPE_INT, options->node_id);
    add_setting(request, in, out, "num.partitions", TYPE_INT, options->default_partitions);
    add_setting(request, in, out, "default.replication.factor", TYPE_INT, 1);
    add_setting(request, in, out, "auto.create.topics.enable", TYPE_BOOLEAN, options->auto_create_topics);
    add_setting(request, in, out, "message.max.bytes", TYPE_INT, options->topic_defaults.max_message_bytes);
    add_setting(request, in, out, "log.retention.ms", TYPE_LONG, options->topic_defaults.retention_ms);
    add_setting(request, in, out, "log.retention.bytes", TYPE_LONG, options->topic_defaults.retention_bytes);
    add_setting(request, in, out, "socket.request.max.bytes", TYPE_INT,
                (int64_t)server_get_options(request->server)->request_bytes_max);
}

static void describe(struct kafka_request *request, struct kafka_names *seen,
                     const struct kafka_describe_configs_request_resource *in,
                     struct kafka_describe_configs_response_resource *out) {
    out->resource_type = in->resource_type;
    out->resource_name = in->resource_name;
    if (in->resource_type != RESOURCE_TOPIC && in->resource_type != RESOURCE_BROKER) {
        out->error_code = KAFKA_INVALID_REQUEST;
        out->error_message = kafka_text(request, "resource type %d has no configs here", in->resource_type);
        return;
    }
    if (!kafka_names_add(seen, in->resource_name)) {
        out->error_code = KAFKA_INVALID_REQUEST;
        out->error_message = kafka_text(request, "the resource stands twice in the request");
        return;
    }
    if (in->resource_type == RESOURCE_TOPIC)
        describe_topic(request, in, out);
    else
        describe_broker(request, in, out);
}

void kafka_configs_describe(struct kafka_request *request) {
    const struct kafka_describe_configs_request *message = request->message;
    struct kafka_describe_configs_response *response = request->response;
    response->results_count = MAX(message->resources_count, 0);
    response->results = kafka_request_array(request, &kafka_schema_describe_configs_response_resource,
                                            (size_t)response->results_count);
    struct kafka_names topics, brokers;
    kafka_names_init(&topics, request);
    kafka_names_init(&brokers, request);
    for (int32_t i = 0; i < response->results_count; i++) {
        const struct kafka_describe_configs_request_resource *in = &message->resources[i];
        describe(request, in->resource_type == RESOURCE_TOPIC ? &topics : &brokers, in,
                 &response->results[i]);
    }
    kafka_names_release(&topics);
    kafka_names_release(&brokers);
}

/* ---- alter --------------------------------------------------------------------------------------------- */

/* Both alter calls, told apart only by how a new configuration is made from the old. */
struct alter_part {
    struct topic_change change;
    struct kafka_request *request;
    const struct kafka_incremental_alter_configs_request_resource *edits; /* not for the whole-sale call */
    int16_t *error_code;
    struct slice *error_message;
};

static void alter_refuse(struct alter_part *part, enum status status, const struct diagnostic *why) {
    *part->error_code = kafka_admin_code(status);
    *part->error_message = kafka_error_text(part->request, status, why);
}

static void altered(struct topic_change *change) {
    struct alter_part *part = CONTAINER_OF(change, struct alter_part, change);
    alter_refuse(part, change->status, &change->diagnostic);
    kafka_request_release(part->request);
}

/* Whether there is such a topic, the controller says. */
static bool is_topic(struct alter_part *part, int8_t resource_type) {
    struct diagnostic why;
    if (resource_type == RESOURCE_BROKER)
        alter_refuse(part, diagnose(&why, STATUS_INVALID, "a broker's settings are given at its start"),
                     &why);
    else if (resource_type != RESOURCE_TOPIC)
        alter_refuse(part,
                     diagnose(&why, STATUS_INVALID, "resource type %d has no configs here", resource_type),
                     &why);
    return resource_type == RESOURCE_TOPIC;
}

static void alter_start(struct alter_part *part, struct slice name, bool validate_only) {
    part->change.kind = TOPIC_ALTER_CONFIG;
    part->change.name = name;
    part->change.validate_only = validate_only;
    part->change.done = altered;
    kafka_request_hold(part->request);
    broker_change_topic(part->request->broker, &part->change);
}

/* The whole configuration is replaced: what is not named goes back to its default. */
static void alter_resource(struct alter_part *part, const struct kafka_alter_configs_request_resource *in) {
    if (!is_topic(part, in->resource_type)) return;
    const struct kafka_alter_configs_request *message = part->request->message;
    struct topic_config *config = &part->change.config;
    *config = broker_get_options(part->request->broker)->topic_defaults;
    config->is_set = 0;
    for (int32_t i = 0; i < in->configs_count; i++) {
        struct diagnostic why;
        if (in->configs[i].value.data == NULL) continue; /* null: the default */
        enum status status = topic_config_set(config, in->configs[i].name, in->configs[i].value, &why);
        if (status == STATUS_OK) continue;
        alter_refuse(part, status, &why);
        return;
    }
    alter_start(part, in->resource_name, message->validate_only);
}

void kafka_configs_alter(struct kafka_request *request) {
    const struct kafka_alter_configs_request *message = request->message;
    struct kafka_alter_configs_response *response = request->response;
    response->responses_count = MAX(message->resources_count, 0);
    response->responses = kafka_request_array(request, &kafka_schema_alter_configs_response_resource,
                                              (size_t)response->responses_count);
    for (int32_t i = 0; i < response->responses_count; i++) {
        struct kafka_alter_configs_response_resource *out = &response->responses[i];
        struct alter_part *part = kafka_request_calloc(request, 1, sizeof *part);
        *part = (struct alter_part){
            .request = request, .error_code = &out->error_code, .error_message = &out->error_message};
        out->resource_type = message->resources[i].resource_type;
        out->resource_name = message->resources[i].resource_name;
        alter_resource(part, &message->resources[i]);
    }
}

/* ---- one config at a time ------------------------------------------------------------------------------ */

static struct slice next_item(struct slice *list) {
    const uint8_t *comma = list->size == 0 ? NULL : memchr(list->data, ',', list->size);
    struct slice item = comma == NULL ? *list : slice_make(list->data, (size_t)(comma - list->data));
    size_t used = MIN(item.size + 1, list->size);
    *list = slice_make(list->data + used, list->size - used);
    return item;
}

static bool list_has(struct slice list, struct slice item) {
    while (list.size > 0)
        if (slice_equal(next_item(&list), item)) return true;
    return false;
}

static void add_item(struct writer *out, struct slice item) {
    if (item.size == 0 || list_has(writer_slice(out), item)) return;
    if (out->size > 0) writer_u8(out, ',');
    writer_bytes(out, item);
}

/* The items of `base`, with those of `change` added or taken out. */
static void combine_lists(enum alter_operation operation, struct slice base, struct slice change,
                          struct writer *out) {
    while (base.size > 0) {
        struct slice item = next_item(&base);
        if (operation == ALTER_APPEND || !list_has(change, item)) add_item(out, item);
    }
    while (operation == ALTER_APPEND && change.size > 0)
        add_item(out, next_item(&change));
}

static enum status alter_list(struct kafka_request *request, struct topic_config *config,
                              enum alter_operation operation, struct slice name, struct slice value,
                              struct diagnostic *why) {
    int index = topic_config_index(name);
    if (index >= 0 && topic_config_row((unsigned)index)->type != TOPIC_CONFIG_POLICY)
        return diagnose(why, STATUS_INVALID_CONFIG, "'%s' is no list: it can only be set or deleted",
                        topic_config_row((unsigned)index)->name);
    struct writer list;
    writer_init(&list);
    if (index >= 0) combine_lists(operation, config_text(request, config, (unsigned)index), value, &list);
    enum status status = topic_config_set(config, name, writer_slice(&list), why);
    writer_release(&list);
    return status;
}

static enum status apply_change(struct kafka_request *request,
                                const struct kafka_incremental_alter_configs_request_config *in,
                                struct topic_config *config, struct diagnostic *why) {
    if (in->config_operation == ALTER_DELETE && topic_config_index(in->name) < 0)
        return STATUS_OK; /* what is not there is deleted: tools take away throttles that they never set */
    if (in->config_operation == ALTER_DELETE)
        return topic_config_unset(config, in->name, &broker_get_options(request->broker)->topic_defaults,
                                  why);
    if (in->value.data == NULL) return diagnose(why, STATUS_INVALID_CONFIG, "a config needs a value");
    switch (in->config_operation) {
    case ALTER_SET:
        return topic_config_set(config, in->name, in->value, why);
    case ALTER_APPEND:
    case ALTER_SUBTRACT:
        return alter_list(request, config, (enum alter_operation)in->config_operation, in->name, in->value,
                          why);
    default:
        return diagnose(why, STATUS_INVALID, "there is no config operation %d", in->config_operation);
    }
}

static enum status edit(struct topic_change *change) {
    struct alter_part *part = CONTAINER_OF(change, struct alter_part, change);
    enum status status = STATUS_OK;
    for (int32_t i = 0; i < part->edits->configs_count && status == STATUS_OK; i++)
        status = apply_change(part->request, &part->edits->configs[i], &change->config, &change->diagnostic);
    return status;
}

static bool only_deletes(const struct kafka_incremental_alter_configs_request_resource *edits) {
    for (int32_t i = 0; i < edits->configs_count; i++)
        if (edits->configs[i].config_operation != ALTER_DELETE) return false;
    return true;
}

static void alter_incrementally(struct alter_part *part) {
    const struct kafka_incremental_alter_configs_request *message = part->request->message;
    /* Nothing was ever set on a broker while it ran. */
    if (part->edits->resource_type == RESOURCE_BROKER && only_deletes(part->edits)) return;
    if (!is_topic(part, part->edits->resource_type)) return;
    part->change.edit = edit;
    alter_start(part, part->edits->resource_name, message->validate_only);
}

void kafka_configs_alter_incrementally(struct kafka_request *request) {
    const struct kafka_incremental_alter_configs_request *message = request->message;
    struct kafka_incremental_alter_configs_response *response = request->response;
    response->responses_count = MAX(message->resources_count, 0);
    response->responses = kafka_request_array(request,
                                              &kafka_schema_incremental_alter_configs_response_resource,
                                              (size_t)response->responses_count);
    for (int32_t i = 0; i < response->responses_count; i++) {
        struct kafka_incremental_alter_configs_response_resource *out = &response->responses[i];
        struct alter_part *part = kafka_request_calloc(request, 1, sizeof *part);
        *part = (struct alter_part){.request = request,
                                    .edits = &message->resources[i],
                                    .error_code = &out->error_code,
                                    .error_message = &out->error_message};
        out->resource_type = message->resources[i].resource_type;
        out->resource_name = message->resources[i].resource_name;
        alter_incrementally(part);
    }
}

/* ---- what can be configured ---------------------------------------------------------------------------- */

static void add_resource(struct kafka_request *request, struct slice name, enum resource_type type) {
    struct kafka_list_config_resources_response *response = request->response;
    struct kafka_list_config_resources_response_resource *out =
        &response->config_resources[response->config_resources_count++];
    out->resource_name = name;
    out->resource_type = (int8_t)type;
}

static void list_topic(void *ctx, const struct broker_topic *topic) {
    struct kafka_request *request = ctx;
    add_resource(request, arena_copy(&request->arena, slice_from_text(topic->name)), RESOURCE_TOPIC);
}

static void count_topic(void *ctx, const struct broker_topic *topic) {
    MAYBE(topic != NULL);
    ++*(size_t *)ctx;
}

/* The types asked for as bits; none named: all that there are. False: an unknown one is among them. */
static bool wanted_types(const struct kafka_request *request, unsigned *types) {
    const unsigned known = RESOURCE_TOPIC | RESOURCE_BROKER | RESOURCE_BROKER_LOGGER |
                           RESOURCE_CLIENT_METRICS | RESOURCE_GROUP;
    const struct kafka_list_config_resources_request *message = request->message;
    *types = 0;
    for (int32_t i = 0; i < message->resource_types_count; i++) {
        unsigned type = (uint8_t)message->resource_types[i];
        if (type == 0 || (type & (type - 1)) != 0 || (type & known) == 0) return false;
        *types |= type;
    }
    if (*types == 0) *types = request->header.api_version == 0 ? RESOURCE_CLIENT_METRICS : known;
    return true;
}

void kafka_configs_list_resources(struct kafka_request *request) {
    struct kafka_list_config_resources_response *response = request->response;
    struct broker_node nodes[BROKER_NODES_MAX];
    uint32_t node_count = broker_nodes(request->broker, nodes);
    size_t count = 0;
    unsigned types;
    if (!wanted_types(request, &types)) {
        response->error_code = KAFKA_UNSUPPORTED_VERSION;
        return;
    }
    broker_topics_visit(request->broker, count_topic, &count);
    response->config_resources = kafka_request_array(
        request, &kafka_schema_list_config_resources_response_resource, count + node_count);
    if ((types & RESOURCE_TOPIC) != 0) broker_topics_visit(request->broker, list_topic, request);
    for (uint32_t i = 0; i < node_count && (types & RESOURCE_BROKER) != 0; i++)
        add_resource(request, kafka_text(request, "%d", nodes[i].node), RESOURCE_BROKER);
}
