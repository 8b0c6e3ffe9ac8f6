// SPDX-License-Identifier: Apache-2.0
/* kafka_handlers.h: the handler of every key we speak, by family.
 *
 * A handler reads request->message and fills request->response; see kafka_request.h. Loop: shard thread. */
#ifndef SENTINEL_SERVER_KAFKA_HANDLERS_H
#define SENTINEL_SERVER_KAFKA_HANDLERS_H

#include "server/kafka_request.h"

/* kafka_data.c */
void kafka_data_produce(struct kafka_request *request);
void kafka_data_fetch(struct kafka_request *request);
/* kafka_offsets.c */
void kafka_offsets_list(struct kafka_request *request);
void kafka_offsets_for_leader_epoch(struct kafka_request *request);
void kafka_offsets_delete_records(struct kafka_request *request);
/* kafka_producer.c */
void kafka_producer_init_id(struct kafka_request *request);
/* kafka_metadata.c */
void kafka_metadata_describe(struct kafka_request *request);
void kafka_metadata_describe_partitions(struct kafka_request *request);
void kafka_metadata_describe_cluster(struct kafka_request *request);
/* kafka_topics.c */
void kafka_topics_create(struct kafka_request *request);
void kafka_topics_delete(struct kafka_request *request);
void kafka_topics_create_partitions(struct kafka_request *request);
/* kafka_configs.c */
void kafka_configs_describe(struct kafka_request *request);
void kafka_configs_alter(struct kafka_request *request);
void kafka_configs_alter_incrementally(struct kafka_request *request);
void kafka_configs_list_resources(struct kafka_request *request);
/* kafka_admin.c */
void kafka_admin_api_versions(struct kafka_request *request);
void kafka_admin_describe_log_dirs(struct kafka_request *request);
void kafka_admin_alter_log_dirs(struct kafka_request *request);
/* kafka_cluster.c */
void kafka_cluster_describe_quorum(struct kafka_request *request);
void kafka_cluster_update_features(struct kafka_request *request);
void kafka_cluster_unregister(struct kafka_request *request);
/* kafka_moves.c */
void kafka_moves_alter(struct kafka_request *request);
void kafka_moves_list(struct kafka_request *request);
void kafka_moves_elect_leaders(struct kafka_request *request);
/* kafka_group.c */
void kafka_group_join(struct kafka_request *request);
void kafka_group_sync(struct kafka_request *request);
void kafka_group_heartbeat(struct kafka_request *request);
void kafka_group_leave(struct kafka_request *request);
/* kafka_group_offsets.c */
void kafka_group_offset_commit(struct kafka_request *request);
void kafka_group_offset_fetch(struct kafka_request *request);
void kafka_group_offset_delete(struct kafka_request *request);
/* kafka_group_admin.c */
void kafka_group_find_coordinator(struct kafka_request *request);
void kafka_group_list(struct kafka_request *request);
void kafka_group_describe(struct kafka_request *request);
void kafka_group_delete(struct kafka_request *request);
/* kafka_group_consumer.c */
void kafka_group_consumer_heartbeat(struct kafka_request *request);
void kafka_group_consumer_describe(struct kafka_request *request);

/* kafka_txn.c */
void kafka_txn_add_partitions(struct kafka_request *request);
void kafka_txn_add_offsets(struct kafka_request *request);
void kafka_txn_end(struct kafka_request *request);
void kafka_txn_offset_commit(struct kafka_request *request);
void kafka_txn_list(struct kafka_request *request);
/* kafka_markers.c */
void kafka_txn_write_markers(struct kafka_request *request);
void kafka_producer_describe(struct kafka_request *request);
void kafka_txn_describe(struct kafka_request *request);

/* A client of a version we do not know still learns which we do (KIP-511). */
void kafka_admin_api_versions_unsupported(struct kafka_request *request);

#endif
