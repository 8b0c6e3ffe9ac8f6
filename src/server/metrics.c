// SPDX-License-Identifier: Apache-2.0
#include "server/metrics.h"

#include "base/units.h"
#include "server/server_state.h"

static void begin(struct writer *out, const char *name, const char *type, const char *help) {
    writer_printf(out, "# HELP sentinel_%s %s\n# TYPE sentinel_%s %s\n", name, help, name, type);
}

static void counter(struct writer *out, const char *name, const char *help, uint64_t value) {
    begin(out, name, "counter", help);
    writer_printf(out, "sentinel_%s %llu\n", name, (unsigned long long)value);
}

static void gauge(struct writer *out, const char *name, const char *help, uint64_t value) {
    begin(out, name, "gauge", help);
    writer_printf(out, "sentinel_%s %llu\n", name, (unsigned long long)value);
}

static void seconds(struct writer *out, const char *name, const char *help, uint64_t ns) {
    begin(out, name, "counter", help);
    writer_printf(out, "sentinel_%s %llu.%09llu\n", name, (unsigned long long)(ns / NS_PER_S),
                  (unsigned long long)(ns % NS_PER_S));
}

/* Nanoseconds in, seconds out, in steps of four from 16 us to 4 s. */
static void latency(struct writer *out, const char *name, const char *help, const struct histogram *h) {
    begin(out, name, "histogram", help);
    for (uint64_t us = 16; us <= 4194304; us *= 4)
        writer_printf(out, "sentinel_%s_bucket{le=\"%llu.%06llu\"} %llu\n", name,
                      (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000),
                      (unsigned long long)histogram_count_below(h, us * NS_PER_US));
    writer_printf(
        out, "sentinel_%s_bucket{le=\"+Inf\"} %llu\nsentinel_%s_sum %llu.%09llu\nsentinel_%s_count %llu\n",
        name, (unsigned long long)h->count, name, (unsigned long long)(h->sum / NS_PER_S),
        (unsigned long long)(h->sum % NS_PER_S), name, (unsigned long long)h->count);
}

static void print_server(const struct server *server, struct writer *out) {
    const struct metrics *m = &server->metrics;
    gauge(out, "connections", "Connections open now.", server->connection_count);
    gauge(out, "send_queue_bytes", "Answers that clients have not taken yet.", server->send_queued_bytes);
    counter(out, "connections_accepted_total", "Connections accepted.", m->connections_accepted);
    counter(out, "connections_refused_total", "Connections refused at the limit.", m->connections_refused);
    counter(out, "protocol_errors_total", "Connections closed for malformed input.", m->protocol_errors);
    counter(out, "received_bytes_total", "Bytes received from clients.", m->received_bytes);
    counter(out, "sent_bytes_total", "Bytes sent to clients.", m->sent_bytes);
    counter(out, "http_requests_total", "HTTP/1.1 requests answered.", m->http_requests);
    counter(out, "group_members_overfull_total",
            "Members of groups over gRPC that were assigned more partitions than they read.",
            m->group_members_overfull);
    begin(out, "kafka_requests_total", "counter", "Kafka requests served, by API.");
    for (unsigned i = 0; i < KAFKA_API_COUNT; i++)
        writer_printf(out, "sentinel_kafka_requests_total{api=\"%s\"} %llu\n", kafka_api_at(i)->name,
                      (unsigned long long)m->kafka_requests[i]);
}

static void print_broker(struct server *server, struct writer *out) {
    struct broker_stats stats;
    struct diagnostic why;
    broker_stats(server->broker, &stats);
    gauge(out, "ready", "1 while this node takes writes.",
          broker_readiness(server->broker, &why) == STATUS_OK);
    gauge(out, "topics", "Topics.", stats.topics);
    gauge(out, "partitions", "Partitions.", stats.partitions);
    gauge(out, "partitions_loaded", "Partitions whose state is in memory.", stats.partitions_loaded);
    counter(out, "appends_total", "Record batches appended.", stats.appends);
    counter(out, "append_bytes_total", "Bytes of record batches appended.", stats.append_bytes);
    counter(out, "append_records_total", "Records appended.", stats.append_records);
    counter(out, "append_errors_total", "Record batches refused or not stored.", stats.append_errors);
    counter(out, "append_duplicates_total", "Retries recognised and not stored again.", stats.duplicates);
    counter(out, "fetches_total", "Fetches begun.", stats.fetches);
    counter(out, "fetch_bytes_total", "Bytes of record batches given to fetches.", stats.fetch_bytes);
    counter(out, "follower_fetch_bytes_total", "Of them, of partitions that another node leads.",
            stats.follower_fetch_bytes);
    counter(out, "readers_sent_total", "Times a leader sent a reader to a follower in its rack.",
            stats.readers_sent);
    counter(out, "fetch_waits_total", "Times a fetch waited for more records.", stats.fetch_waits);
    counter(out, "compacted_passes_total", "Passes of compaction by key over a partition.",
            stats.compactions);
    counter(out, "compacted_records_total", "Records removed by compaction by key.", stats.compacted_records);
    counter(out, "compacted_bytes_total", "Bytes of record batches removed by compaction by key.",
            stats.compacted_bytes);
    latency(out, "append_seconds", "From the arrival of a batch until it is durable.", stats.append_ns);
}

static void print_groups(struct server *server, struct writer *out) {
    struct broker_group_stats stats;
    broker_group_stats(server->broker, &stats);
    gauge(out, "raft_groups", "Consensus groups that this node is a member of.", stats.groups);
    gauge(out, "raft_groups_led", "Of them, those that this node leads.", stats.led);
    gauge(out, "raft_groups_awake", "Of them, those that do not sleep: something was said of late.",
          stats.awake);
    counter(out, "raft_elections_total", "Times this node was elected.", stats.elections);
    counter(out, "raft_steps_total", "Events that consensus was told of.", stats.steps);
    counter(out, "raft_messages_sent_total", "Messages of consensus sent to other nodes.",
            stats.messages_sent);
    counter(out, "raft_messages_received_total", "Messages of consensus that came from other nodes.",
            stats.messages_received);
    counter(out, "raft_messages_dropped_total", "Of them, those for no group here, or refused.",
            stats.messages_dropped);
    counter(out, "catch_up_bytes_total", "Bytes of record batches read for replicas that lag.",
            stats.catch_up_bytes);
    gauge(out, "catch_up_rate_bytes", "What they may be sent a second; 0: there is no limit.",
          stats.catch_up_rate);
}

static void by_level(struct writer *out, const char *name, const char *type, const char *help,
                     const uint64_t values[STORE_LEVEL_COUNT]) {
    begin(out, name, type, help);
    for (unsigned i = 0; i < STORE_LEVEL_COUNT; i++)
        writer_printf(out, "sentinel_%s{level=\"%u\"} %llu\n", name, i, (unsigned long long)values[i]);
}

/* Since the start; 0 while there is nothing to divide by. */
static void ratio(struct writer *out, const char *name, const char *help, uint64_t above, uint64_t below) {
    begin(out, name, "gauge", help);
    writer_printf(out, "sentinel_%s %.3f\n", name, below == 0 ? 0.0 : (double)above / (double)below);
}

static void print_amplification(const struct store_stats *stats, struct writer *out) {
    uint64_t level_bytes = 0;
    for (unsigned i = 0; i < STORE_LEVEL_COUNT; i++)
        level_bytes += stats->level_bytes[i];
    ratio(out, "write_amplification", "Bytes written to disk for a byte given to the store.",
          stats->wal_bytes + stats->flush_bytes + stats->compaction_write_bytes, stats->write_bytes);
    ratio(out, "read_amplification", "Tables looked into for a key looked up.", stats->get_tables,
          stats->gets);
    ratio(out, "space_amplification", "Bytes of table files for a byte in the levels.", stats->table_bytes,
          level_bytes);
}

static void print_store(struct server *server, struct writer *out) {
    struct store_stats stats;
    store_stats(broker_store(server->broker), &stats);
    counter(out, "store_write_batches_total", "Atomic writes given to the store.", stats.write_batches);
    counter(out, "store_write_bytes_total", "Bytes of keys and values given to the store.",
            stats.write_bytes);
    counter(out, "wal_syncs_total", "Times the write-ahead log was made durable.", stats.wal_syncs);
    counter(out, "wal_bytes_total", "Bytes written to the write-ahead log.", stats.wal_bytes);
    counter(out, "flushes_total", "Memtables written to tables.", stats.flushes);
    counter(out, "flush_bytes_total", "Bytes of tables written by flushes.", stats.flush_bytes);
    counter(out, "compactions_total", "Compactions done.", stats.compactions);
    begin(out, "compaction_reasons_total", "counter", "Compactions by why they were made.");
    static const char *const reasons[] = {"level0", "size", "mended", "garbage", "sparse", "small"};
    STATIC_ASSERT(ARRAY_COUNT(reasons) == STORE_COMPACTION_REASONS, "a name each");
    for (unsigned i = 0; i < STORE_COMPACTION_REASONS; i++)
        writer_printf(out, "sentinel_compaction_reasons_total{reason=\"%s\"} %llu\n", reasons[i],
                      (unsigned long long)stats.compaction_reasons[i]);
    counter(out, "compaction_read_bytes_total", "Bytes read by compactions.", stats.compaction_read_bytes);
    counter(out, "compaction_write_bytes_total", "Bytes written by compactions.",
            stats.compaction_write_bytes);
    counter(out, "compaction_moves_total", "Compactions that moved tables without reading them.",
            stats.moves);
    counter(out, "table_block_bytes_total", "Data blocks written to tables, before compression.",
            stats.block_bytes);
    counter(out, "table_block_stored_bytes_total", "The same, as they were written.",
            stats.stored_block_bytes);
    counter(out, "cache_hits_total", "Data blocks and values found in the cache.", stats.cache_hits);
    counter(out, "cache_misses_total", "Data blocks and values read from disk.", stats.cache_misses);
    counter(out, "cache_meta_hits_total", "Index and filter blocks found in the cache.",
            stats.cache_meta_hits);
    counter(out, "cache_meta_misses_total", "Index and filter blocks read from disk.",
            stats.cache_meta_misses);
    counter(out, "cache_evictions_total", "Blocks that gave way to others.", stats.cache_evictions);
    counter(out, "store_gets_total", "Keys looked up.", stats.gets);
    counter(out, "store_get_tables_total", "Tables that lookups went into.", stats.get_tables);
    counter(out, "table_reads_total", "Reads of table files.", stats.reads);
    counter(out, "table_read_bytes_total", "Bytes read from table files.", stats.read_bytes);
    gauge(out, "store_open_files", "Tables and segments of the log that are open.", stats.open_files);
    counter(out, "store_opened_files_total", "Times one was opened.", stats.opened_files);
    counter(out, "write_stalls_total", "Times writers were stopped until there was room.", stats.stalls);
    seconds(out, "write_stall_seconds_total", "Time that writers were stopped.", stats.stall_ns);
    counter(out, "write_pauses_total", "Times writers were slowed by a short pause.", stats.pauses);
    seconds(out, "write_pause_seconds_total", "Time that writers were slowed.", stats.pause_ns);
    gauge(out, "write_rate_bytes", "Bytes a second that a pause under way allows; 0: there is none.",
          stats.write_rate);
    latency(out, "write_wait_seconds", "Time of one stop or pause of writers.", stats.stall_took_ns);
    counter(out, "scrub_rounds_total", "Times everything stored was read and checked.", stats.scrub.rounds);
    counter(out, "scrub_bytes_total", "Bytes read to check them.", stats.scrub.bytes);
    counter(out, "scrub_damaged_total", "Damaged places found by that.", stats.scrub.damaged);
    gauge(out, "memtable_bytes", "Memory held by memtables.", stats.memtable_bytes);
    gauge(out, "cache_bytes", "Memory held by the block cache.", stats.cache_bytes);
    gauge(out, "cache_meta_bytes", "Memory held by index and filter blocks in it.", stats.cache_meta_bytes);
    gauge(out, "table_bytes", "Bytes of tables on disk.", stats.table_bytes);
    gauge(out, "wal_live_bytes", "Bytes of log that are not in tables yet.", stats.wal_live_bytes);
    gauge(out, "wal_kept_bytes", "Bytes of log that are not in tables yet, or that tables refer to.",
          stats.wal_kept_bytes);
    by_level(out, "level_runs", "gauge", "Runs of tables by level.", stats.level_runs);
    by_level(out, "level_moved_bytes_total", "counter", "Bytes that left a level without being read.",
             stats.level_moved_bytes);
    by_level(out, "level_bytes", "gauge", "Bytes of tables by level.", stats.level_bytes);
    by_level(out, "level_compaction_read_bytes_total", "counter", "Bytes compactions took from a level.",
             stats.level_read_bytes);
    by_level(out, "level_compaction_write_bytes_total", "counter", "Bytes compactions put into a level.",
             stats.level_write_bytes);
    print_amplification(&stats, out);
    latency(out, "wal_sync_seconds", "Time of one write and sync of the log.", stats.wal_sync_ns);
    latency(out, "flush_seconds", "Time from the start of a flush until it is in the manifest.",
            stats.flush_ns);
    latency(out, "compaction_seconds", "Time from the start of a compaction until it is in the manifest.",
            stats.compaction_ns);
    latency(out, "table_read_seconds", "Time of one read of a table file.", stats.read_ns);
}

static void print_process(struct server *server, struct writer *out) {
    struct io_usage usage = io_process_usage();
    struct io_stats stats = io_stats(server->io);
    gauge(out, "resident_bytes", "Resident memory of the process.", usage.resident_bytes);
    seconds(out, "cpu_seconds_total", "CPU time of the process.",
            (usage.user_us + usage.system_us) * NS_PER_US);
    counter(out, "io_turns_total", "Turns of the event loop.", stats.turns);
    counter(out, "io_submissions_total", "System calls that submitted work.", stats.submissions);
    counter(out, "io_file_syncs_total", "Files made durable.", stats.file_syncs);
    counter(out, "io_file_write_bytes_total", "Bytes written to files.", stats.file_write_bytes);
    counter(out, "io_file_read_bytes_total", "Bytes read from files.", stats.file_read_bytes);
    counter(out, "io_jobs_total", "Background jobs run.", stats.jobs);
}

void metrics_print(struct server *server, struct writer *out) {
    begin(out, "info", "gauge", "Always 1; the labels say what runs.");
    writer_printf(out, "sentinel_info{version=\"%s\",io=\"%s\",node=\"%d\"} 1\n", SENTINEL_VERSION,
                  io_backend_name(server->io), broker_node_id(server->broker));
    print_server(server, out);
    print_broker(server, out);
    print_groups(server, out);
    print_store(server, out);
    print_process(server, out);
}
