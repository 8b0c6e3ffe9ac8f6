// SPDX-License-Identifier: Apache-2.0
#include "sim/kafka_requests.h"

#include "base/units.h"
#include "wire/record_batch.h"

#define BROKER_WAIT_MS 3000 /* for replicas, or for the controller */

/* ---- requests ----------------------------------------------------------------------------------------- */

void kafka_create_ask(struct kafka_create_ask *ask, const char *topic, int32_t partitions, uint32_t nodes) {
    kafka_message_init(&kafka_schema_create_topics_request_topic, &ask->topic);
    kafka_message_init(&kafka_schema_create_topics_request, &ask->request);
    ask->topic.name = slice_from_text(topic);
    ask->topic.num_partitions = partitions;
    ask->topic.replication_factor = (int16_t)MIN(nodes, 3U);
    ask->request.topics = &ask->topic;
    ask->request.topics_count = 1;
    ask->request.timeout_ms = BROKER_WAIT_MS;
}

void kafka_coordinator_ask(struct kafka_coordinator_ask *ask, const char *key, bool txn) {
    kafka_message_init(&kafka_schema_find_coordinator_request, &ask->request);
    ask->key = slice_from_text(key);
    ask->request.key_type = txn;
    ask->request.coordinator_keys = &ask->key;
    ask->request.coordinator_keys_count = 1;
}

void kafka_metadata_ask(struct kafka_metadata_ask *ask, const char *first, const char *second) {
    kafka_message_init(&kafka_schema_metadata_request, &ask->request);
    ask->request.topics = ask->topics;
    ask->request.topics_count = second == NULL ? 1 : 2;
    ask->request.allow_auto_topic_creation = false;
    for (int32_t i = 0; i < ask->request.topics_count; i++) {
        kafka_message_init(&kafka_schema_metadata_request_topic, &ask->topics[i]);
        ask->topics[i].name = slice_from_text(i == 0 ? first : second);
    }
}

void kafka_produce_ask(struct kafka_produce_ask *ask, const char *topic, int32_t partition,
                       const struct buffer *batch) {
    kafka_message_init(&kafka_schema_produce_request_partition, &ask->partition);
    kafka_message_init(&kafka_schema_produce_request_topic, &ask->topic);
    kafka_message_init(&kafka_schema_produce_request, &ask->request);
    ask->partition.index = partition;
    ask->partition.records.bytes = slice_make(batch->data, batch->size);
    ask->topic.name = slice_from_text(topic);
    ask->topic.partition_data = &ask->partition;
    ask->topic.partition_data_count = 1;
    ask->request.acks = -1;
    ask->request.timeout_ms = BROKER_WAIT_MS;
    ask->request.topic_data = &ask->topic;
    ask->request.topic_data_count = 1;
}

void kafka_fetch_ask(struct kafka_fetch_ask *ask, const char *topic, int32_t partition, int64_t offset,
                     int32_t bytes_max) {
    kafka_message_init(&kafka_schema_fetch_request_partition, &ask->partition);
    kafka_message_init(&kafka_schema_fetch_request_topic, &ask->topic);
    kafka_message_init(&kafka_schema_fetch_request, &ask->request);
    ask->partition.partition = partition;
    ask->partition.fetch_offset = offset;
    ask->partition.partition_max_bytes = bytes_max;
    ask->topic.topic = slice_from_text(topic);
    ask->topic.partitions = &ask->partition;
    ask->topic.partitions_count = 1;
    ask->request.min_bytes = 1;
    ask->request.max_bytes = bytes_max;
    ask->request.topics = &ask->topic;
    ask->request.topics_count = 1;
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static uint32_t node_of(int32_t told, uint32_t nodes) {
    return told > 0 && (uint32_t)told <= nodes ? (uint32_t)told : 0;
}

uint32_t kafka_coordinator_told(const struct kafka_find_coordinator_response *answer, uint32_t nodes) {
    if (answer->coordinators_count != 1 || answer->coordinators[0].error_code != 0) return 0;
    return node_of(answer->coordinators[0].node_id, nodes);
}

uint32_t kafka_leader_told(const struct kafka_metadata_response *answer, const char *topic,
                           uint32_t partition, uint32_t nodes) {
    for (int32_t i = 0; i < answer->topics_count; i++) {
        const struct kafka_metadata_response_topic *t = &answer->topics[i];
        if (t->error_code != 0 || !slice_equal(t->name, slice_from_text(topic))) continue;
        for (int32_t j = 0; j < t->partitions_count; j++)
            if (t->partitions[j].partition_index == (int32_t)partition)
                return node_of(t->partitions[j].leader_id, nodes);
    }
    return 0;
}

int16_t kafka_fetched(const struct kafka_fetch_response *answer,
                      const struct kafka_fetch_response_partition **partition) {
    if (answer->error_code != 0) return answer->error_code;
    if (answer->responses_count != 1 || answer->responses[0].partitions_count != 1) return -1;
    *partition = &answer->responses[0].partitions[0];
    return (*partition)->error_code;
}

bool kafka_next_batch(struct slice *records, struct slice *batch) {
    if (records->size <= RECORD_BATCH_LENGTH_OFFSET) return false;
    size_t size = RECORD_BATCH_LENGTH_OFFSET + (size_t)load_be32(records->data + 8);
    if (size > records->size) return false;
    *batch = slice_make(records->data, size);
    *records = slice_make(records->data + size, records->size - size);
    return true;
}
