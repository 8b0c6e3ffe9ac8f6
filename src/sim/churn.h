// SPDX-License-Identifier: Apache-2.0
/* churn.h: topics that come and go under the same few names, and clients that use them meanwhile.
 *
 *   churn_operator.c  make, delete, widen and configure topics, several at the same moments through different
 *                     nodes; at the end they ask every node what there is
 *   churn_writer.c    sends records, and deletes some
 *   churn_reader.c    reads by topic id
 *   churn_group.c     commits offsets by topic id, and looks for those of topics that are gone
 *
 * Records and deletions of records go by name. A client asks on the connection to a leader what topic it has
 * under that name, so that what comes after goes to this topic or a later one (B19): if the topic is there
 * at the end, it went to this one. Only of such topics nothing may be missing: B1, B2, B4 to B7, B12, S4, S6.
 *
 * Owner   kafka_churn.c. Loop: the clients' io. Bounds: those of topic_history.h. */
#ifndef SENTINEL_SIM_CHURN_H
#define SENTINEL_SIM_CHURN_H

#include "sim/action.h"
#include "sim/history_reader.h"
#include "sim/kafka_caller.h"
#include "sim/topic_history.h"
#include "wire/kafka_codec.h"

#define CHURN_NAMES      2
#define CHURN_PARTITIONS TOPIC_HISTORY_PARTITIONS
#define CHURN_OPERATORS  3
#define CHURN_GROUP      "churned"

struct churn;
/* What a client was told of the topics on its connection. */
struct churn_told {
    struct topic_view view;
    uint32_t lives[CHURN_NAMES]; /* TOPIC_HISTORY_NONE: none */
    int32_t partitions[CHURN_NAMES];
    uint32_t leaders[CHURN_NAMES][CHURN_PARTITIONS]; /* 0: unknown */
    uint32_t connection;                             /* on which; another one begins anew */
    bool known;
};
struct churn_operator {
    struct churn *churn;
    struct kafka_caller caller;
    struct churn_told told;
    uint32_t index, name, node, change;
    enum churn_asking {
        CHURN_NOTHING,
        CHURN_LOOK,
        CHURN_CREATE,
        CHURN_DELETE,
        CHURN_WIDEN,
        CHURN_CONFIGURE,
        CHURN_DESCRIBE
    } asking;
    bool rested; /* since the last change */
};
struct churn_writer {
    struct churn *churn;
    struct kafka_caller caller;
    struct churn_told told;
    uint32_t name, partition, leader;
    enum { WRITER_NOTHING, WRITER_METADATA, WRITER_PRODUCE, WRITER_DELETE } asking;
    struct buffer *batch;
    uint32_t first_record, record_count, deletion;
};
struct churn_reader {
    struct churn *churn;
    struct kafka_caller caller;
    struct churn_told told;
    uint32_t name, partition, life;
    enum { READER_NOTHING, READER_METADATA, READER_FETCH } asking;
    uint32_t leaders[CHURN_PARTITIONS];
    struct history_reader readers[CHURN_PARTITIONS];
    int64_t high_watermark_floor, log_start_floor;
    uint32_t verified; /* partitions, by bits */
    bool verifying;
};
struct churn_group {
    struct churn *churn;
    struct kafka_caller caller;
    struct churn_told told;
    uint32_t name, coordinator, life;
    enum {
        GROUP_NOTHING,
        GROUP_FIND,
        GROUP_LOOK,
        GROUP_COMMIT,
        GROUP_FETCH_BY_ID,
        GROUP_FETCH_BY_NAME
    } asking;
    int64_t committing;
    uint32_t verified; /* names, by bits */
};
struct churn_record {
    uint32_t partition; /* of the history, and 1; 0: never seen */
    int64_t offset;
};
struct churn_acknowledged {
    uint32_t life, partition, record;
    int64_t offset;
};
struct churn_deletion {
    uint32_t name, life, partition;
    int64_t offset;
    bool acknowledged;
};
struct churn {
    struct io *io;
    uint32_t node_count;
    void (*told)(void *ctx, const char *text, bool acknowledged); /* something has happened */
    void *ctx;
    struct history records; /* partition: life * CHURN_PARTITIONS + partition */
    int64_t log_starts[HISTORY_PARTITIONS_MAX];
    struct topic_history topics;
    struct churn_record *seen; /* by number of the record */
    uint32_t record_count, record_capacity;
    struct churn_acknowledged *acknowledged;
    uint32_t acknowledged_count, acknowledged_capacity;
    struct churn_deletion *deletions;
    uint32_t deletion_count, deletion_capacity;
    int64_t committed[TOPIC_HISTORY_LIVES]; /* by the group, acknowledged; 0: nothing */
    int64_t commits, settings;
    uint32_t lives[CHURN_NAMES]; /* last that anybody was told of, for hints */
    int32_t partitions[CHURN_NAMES];
    bool steady; /* no changes any more */
    uint64_t steady_ns;
    bool at_rest; /* all nodes have told the same; then */
    struct topic_at_rest rest[CHURN_NAMES];
    struct churn_operator operators[CHURN_OPERATORS];
    struct churn_writer writers[CHURN_NAMES];
    struct churn_reader readers[CHURN_NAMES];
    struct churn_group group;
    struct {
        bool told;
        struct topic_at_rest rest[CHURN_NAMES];
    } survey[SIM_NODES_MAX + 1];
};

const char *churn_name(uint32_t name);
/* Of all names, Metadata v12. */
void churn_ask_metadata(struct kafka_caller *caller);
void churn_take_metadata(struct churn *churn, struct churn_told *told, const struct kafka_caller *caller,
                         const struct kafka_metadata_response *answer);
/* It was told something on this connection, and not asked again since. */
static inline bool churn_knows(const struct churn_told *told, const struct kafka_caller *caller) {
    return told->known && told->connection == caller->connections;
}
static inline uint32_t churn_slot(uint32_t life, uint32_t partition) {
    return life * CHURN_PARTITIONS + partition;
}
struct slice churn_record_value(uint32_t record, char text[32]);

void churn_operator_init(struct churn *churn, uint32_t index, uint64_t seed);
void churn_writer_init(struct churn *churn, uint32_t name, uint64_t seed);
void churn_reader_init(struct churn *churn, uint32_t name, uint64_t seed);
void churn_group_init(struct churn *churn, uint64_t seed);
/* At rest: reads everything from its start. */
void churn_reader_verify(struct churn_reader *reader);
void churn_reader_release(struct churn_reader *reader);

#endif
