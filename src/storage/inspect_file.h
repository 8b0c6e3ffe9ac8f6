// SPDX-License-Identifier: Apache-2.0
/* inspect_file.h: descriptions of single files, for inspect.c. Each prints the fields of an object that the
 * caller began, with a list «problems», and returns STATUS_OK even when it found some: out->problems counts.
 * Loop: any thread; blocks. */
#ifndef SENTINEL_STORAGE_INSPECT_FILE_H
#define SENTINEL_STORAGE_INSPECT_FILE_H

#include "storage/inspect_out.h"

/* `name` is what problems call the file. end_known: where the next segment says that this one ends, or 0.
 * *next_sequence: what would follow; 0 when nothing could be read. */
enum status inspect_log(struct io *io, const char *path, const char *name, uint64_t end_known,
                        struct inspect_out *out, uint64_t *next_sequence) MUST_USE;
/* logs: the segments of the log in `dir` that the store's tables refer to, for values that stand there; NULL:
 * these are not looked at. */
struct version_set;
enum status inspect_table(struct io *io, const char *path, const char *name, const char *dir,
                          const struct version_set *logs, struct inspect_out *out) MUST_USE;
enum status inspect_manifest(struct io *io, const char *dir, struct inspect_out *out) MUST_USE;

#endif
