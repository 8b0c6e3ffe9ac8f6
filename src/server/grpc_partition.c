// SPDX-License-Identifier: Apache-2.0
#include "server/grpc_partition.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"

struct built {
    struct grpc_error error;
    struct grpc_error_pair pairs[4];
    char text[640], partition[16], low[24], high[24];
};

static void add_pair(struct built *built, const char *name, struct slice value) {
    ASSERT_LT(built->error.metadata_count, ARRAY_COUNT(built->pairs));
    built->pairs[built->error.metadata_count++] = (struct grpc_error_pair){name, value};
}

static struct slice print_number(char *text, size_t size, int64_t number) {
    return slice_make(text, (size_t)snprintf(text, size, "%" PRId64, number));
}

static void build(struct built *built, const struct grpc_partition_error *error) {
    char quoted[300];
    log_quote(quoted, sizeof quoted, error->topic);
    bool silent = error->message == NULL || error->message[0] == '\0';
    const char *none = error->partition < 0 ? "there is no such topic" : "there is no such partition";
    built->error = grpc_error_from_status(
        error->status, silent && error->status == STATUS_UNKNOWN_TOPIC ? none : error->message);
    if (error->topic.data == NULL) return;
    built->error.metadata = built->pairs;
    add_pair(built, "topic", error->topic);
    int text_size;
    if (error->partition < 0) {
        text_size = snprintf(built->text, sizeof built->text, "topic %s: ", quoted);
    } else {
        add_pair(built, "partition",
                 print_number(built->partition, sizeof built->partition, error->partition));
        text_size = snprintf(built->text, sizeof built->text, "topic %s, partition %d: ", quoted,
                             error->partition);
    }
    size_t room = sizeof built->text - (size_t)text_size;
    size_t part = MIN(built->error.message.size, room - 1);
    memcpy(built->text + text_size, built->error.message.data, part);
    built->error.message = slice_make(built->text, (size_t)text_size + part);
    if (error->status != STATUS_OFFSET_OUT_OF_RANGE) return;
    add_pair(built, "low", print_number(built->low, sizeof built->low, error->low));
    add_pair(built, "high", print_number(built->high, sizeof built->high, error->high));
}

void grpc_partition_fail(struct grpc_call *call, const struct grpc_partition_error *error) {
    struct built built;
    build(&built, error);
    grpc_call_fail(call, &built.error);
}

void grpc_partition_fail_unknown(struct grpc_call *call, struct slice topic, int32_t partition) {
    grpc_partition_fail(call, &(struct grpc_partition_error){
                                  .status = STATUS_UNKNOWN_TOPIC, .topic = topic, .partition = partition});
}

const struct broker_topic *grpc_partition_find_topic(struct grpc_call *call, struct slice topic) {
    const struct broker_topic *found = broker_topic_find(grpc_call_broker(call), topic);
    if (found == NULL) grpc_partition_fail_unknown(call, topic, -1);
    return found;
}

bool grpc_partition_read_offset(struct grpc_call *call, const Sentinel__V1__CommitOffset *in,
                                struct group_commit_offset *out) {
    struct slice topic = slice_from_text(in->topic);
    const struct broker_topic *found = broker_topic_find(grpc_call_broker(call), topic);
    if (found == NULL || in->partition < 0 || in->partition >= found->partition_count) {
        grpc_partition_fail_unknown(call, topic, in->partition);
        return false;
    }
    if (in->offset < 0) {
        grpc_call_fail_field(call, "offsets.offset", "an offset is 0 or more");
        return false;
    }
    *out = (struct group_commit_offset){.topic = topic,
                                        .topic_id = found->id,
                                        .partition = in->partition,
                                        .offset = in->offset,
                                        .leader_epoch = -1,
                                        .metadata = slice_from_text(in->metadata)};
    return true;
}

void grpc_partition_error_write(struct writer *out, const struct grpc_partition_error *error) {
    struct built built;
    build(&built, error);
    grpc_error_write(out, &built.error);
}

Google__Rpc__Status *grpc_partition_error_message(struct arena *arena,
                                                  const struct grpc_partition_error *error) {
    struct writer bytes;
    writer_init(&bytes);
    grpc_partition_error_write(&bytes, error);
    ProtobufCAllocator allocator = protobuf_arena_allocator(arena);
    Google__Rpc__Status *message = google__rpc__status__unpack(&allocator, bytes.size, bytes.data);
    ASSERT(message != NULL); /* we wrote it */
    writer_release(&bytes);
    return message;
}
