// SPDX-License-Identifier: Apache-2.0
/* WriteTxnMarkers (KIP-664), as tools ask for it: a transaction that hangs is aborted in one partition.
 *
 * Between the nodes of this cluster markers travel another way (broker/coordinator_remote.h), so that whoever
 * asks here is no coordinator: a commit is refused, and an abort goes to what is open in the partition. */
#include "server/kafka_handlers.h"

struct marker_part {
    struct append append;
    struct kafka_request *request;
    struct kafka_write_txn_markers_response_partition *out;
};

static void appended(struct append *append) {
    struct marker_part *part = CONTAINER_OF(append, struct marker_part, append);
    part->out->error_code = kafka_error_code(append->status);
    kafka_request_release(part->request);
}

static void write_marker(struct kafka_request *request,
                         const struct kafka_write_txn_markers_request_marker *in, struct slice topic,
                         int32_t partition, struct kafka_write_txn_markers_response_partition *out) {
    out->partition_index = partition;
    if (in->transaction_result) {
        out->error_code = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
        return;
    }
    struct marker_part *part = kafka_request_calloc(request, 1, sizeof *part);
    part->request = request;
    part->out = out;
    part->append = (struct append){.topic = topic, .partition = partition, .done = appended};
    /* The second version's markers bring the next epoch along (KIP-1228). */
    bool moves_epoch = in->transaction_version >= 2;
    kafka_request_hold(request);
    enum status status = broker_abort_open(request->broker, &part->append, in->producer_id,
                                           in->producer_epoch, moves_epoch);
    if (status == STATUS_PENDING) return;
    out->error_code = kafka_error_code(status);
    kafka_request_release(request);
}

static void write_topic(struct kafka_request *request,
                        const struct kafka_write_txn_markers_request_marker *marker,
                        const struct kafka_write_txn_markers_request_topic *in,
                        struct kafka_write_txn_markers_response_topic *out) {
    out->name = in->name;
    out->partitions_count = MAX(in->partition_indexes_count, 0);
    out->partitions = kafka_request_array(request, &kafka_schema_write_txn_markers_response_partition,
                                          (size_t)out->partitions_count);
    for (int32_t p = 0; p < out->partitions_count; p++)
        write_marker(request, marker, in->name, in->partition_indexes[p], &out->partitions[p]);
}

void kafka_txn_write_markers(struct kafka_request *request) {
    const struct kafka_write_txn_markers_request *message = request->message;
    struct kafka_write_txn_markers_response *response = request->response;
    response->markers_count = MAX(message->markers_count, 0);
    response->markers = kafka_request_array(request, &kafka_schema_write_txn_markers_response_marker,
                                            (size_t)response->markers_count);
    for (int32_t m = 0; m < response->markers_count; m++) {
        const struct kafka_write_txn_markers_request_marker *in = &message->markers[m];
        struct kafka_write_txn_markers_response_marker *out = &response->markers[m];
        out->producer_id = in->producer_id;
        out->topics_count = MAX(in->topics_count, 0);
        out->topics = kafka_request_array(request, &kafka_schema_write_txn_markers_response_topic,
                                          (size_t)out->topics_count);
        for (int32_t t = 0; t < out->topics_count; t++)
            write_topic(request, in, &in->topics[t], &out->topics[t]);
    }
}
