// SPDX-License-Identifier: Apache-2.0
/* What a store counts, gathered from its parts. */
#include "storage/compaction.h"
#include "storage/scrub.h"
#include "storage/store_internal.h"

uint64_t store_count_tables(struct store *store, const struct table_output *output) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < output->count; i++) {
        bytes += output->tables[i].size;
        store->stats.block_bytes += output->tables[i].block_bytes;
        store->stats.stored_block_bytes += output->tables[i].stored_block_bytes;
    }
    return bytes;
}

void store_stats(const struct store *store, struct store_stats *stats) {
    *stats = store->stats;
    if (store->wal != NULL) {
        const struct wal_counters *wal = wal_counters(store->wal);
        stats->wal_syncs = wal->syncs;
        stats->wal_bytes = wal->bytes;
        stats->wal_sync_ns = &wal->sync_ns;
        stats->wal_live_bytes = wal_live_bytes(store->wal);
        stats->wal_kept_bytes = wal_kept_bytes(store->wal);
    }
    stats->write_ns = &store->write_ns;
    stats->stall_took_ns = &store->stall.took_ns;
    stats->write_rate = store->stall.on ? store->stall.pace.rate : 0;
    if (store->scrub != NULL) stats->scrub = scrub_counters(store->scrub);
    stats->flush_ns = &store->flush_ns;
    stats->compaction_ns = &store->compaction_ns;
    const struct block_cache_counters *cache = block_cache_counters(store->cache);
    stats->cache_hits = cache->hits;
    stats->cache_misses = cache->misses;
    stats->cache_meta_hits = cache->meta_hits;
    stats->cache_meta_misses = cache->meta_misses;
    stats->cache_evictions = cache->evictions;
    stats->cache_bytes = cache->bytes;
    stats->cache_meta_bytes = cache->meta_bytes;
    stats->reads = cache->reads;
    stats->read_bytes = cache->read_bytes;
    stats->read_ns = &cache->read_ns;
    stats->open_files = store->versions.files.count;
    stats->opened_files = store->versions.files.opened;
    stats->table_bytes = store->versions.table_bytes;
    stats->jobs_running = store->flush.running +
                          (store->compaction != NULL && !compaction_idle(store->compaction));
    stats->memtable_bytes = memtable_bytes(store->active);
    for (uint32_t i = 0; i < store->immutable_count; i++)
        stats->memtable_bytes += memtable_bytes(store->immutables[i]);
    for (size_t l = 0; l < STORE_LEVEL_COUNT; l++) {
        stats->level_runs[l] = store->versions.current->levels[l].count;
        stats->level_bytes[l] = store->versions.current->levels[l].bytes;
    }
}
