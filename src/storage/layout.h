// SPDX-License-Identifier: Apache-2.0
/* layout.h: what the files in a store's directory are called, and the numbers every format shares.
 *
 *   LOCK  MANIFEST  MANIFEST.tmp  CHECKPOINT  000000000012.wal  000000000013.sst
 *
 * File numbers come from one counter in the manifest and are never used twice. A log file keeps its name when
 * it is recycled: which segment it holds is said by its first block, so recycling needs no rename and no
 * directory sync. docs/formats.md describes the bytes. Loop: any thread. */
#ifndef SENTINEL_STORAGE_LAYOUT_H
#define SENTINEL_STORAGE_LAYOUT_H

#include "base/slice.h"
#include "base/status.h"

#define LAYOUT_DIR_SIZE_MAX ((size_t)3900)
#define LAYOUT_PATH_SIZE    ((size_t)4096)
/* The format that this program writes, and the oldest it reads: 2 is 3 without compressed blocks. */
#define LAYOUT_VERSION     3u
#define LAYOUT_VERSION_MIN 2u

/* A folder in a store's directory: damaged files that nothing needs any more; never read. */
#define LAYOUT_QUARANTINE "quarantine"

enum layout_kind {
    LAYOUT_OTHER, /* not ours: never touched */
    LAYOUT_LOCK,
    LAYOUT_MANIFEST,
    LAYOUT_TEMPORARY,
    LAYOUT_CHECKPOINT, /* the directory is a checkpoint that nobody has taken over yet */
    LAYOUT_LOG,
    LAYOUT_TABLE,
};

struct layout_path {
    char text[LAYOUT_PATH_SIZE];
};

/* dir must be at most LAYOUT_DIR_SIZE_MAX long. `number` counts for logs and tables only. */
struct layout_path layout_path(const char *dir, enum layout_kind kind, uint64_t number);
enum layout_kind layout_parse(const char *name, uint64_t *number);
static inline bool layout_version_known(uint32_t version) {
    return version >= LAYOUT_VERSION_MIN && version <= LAYOUT_VERSION;
}

/* What an entry is: one byte on disk, in logs and in tables. */
enum entry_kind {
    ENTRY_DELETE = 1,
    ENTRY_PUT = 2,       /* the value follows the key */
    ENTRY_PUT_APART = 3, /* the value lies elsewhere: in the same file (tables), in the same group (logs) */
    ENTRY_PUT_LOG = 4,   /* tables: the value lies in a log segment */
    ENTRY_DELETE_RANGE = 5, /* logs and manifest */
};

/* Values of this size and more stand apart from their keys, in the log and in tables. */
#define LAYOUT_APART_MIN ((size_t)1024)

/* Where a value lies when it is not beside its key. */
struct value_place {
    uint64_t file; /* table: file number; log: segment */
    uint64_t offset;
    uint32_t size;
    uint32_t crc;
};

#endif
