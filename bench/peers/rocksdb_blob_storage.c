// SPDX-License-Identifier: Apache-2.0
/* RocksDB with blob files, its strongest setting for large values. */
#define PEER_BLOBS
#include "rocksdb_storage.c"
