// SPDX-License-Identifier: Apache-2.0
/* inspect.h: says in words, or as JSON, what a file of the store or a whole data directory holds.
 *
 * Never changes anything, takes no lock, and goes on behind damage: it says where and what is wrong, which
 * keys that concerns, and shows the rest. A manifest, a table or a log segment is recognised by its content,
 * by its name when the content is damaged.
 *
 * Errors  CORRUPT: something is damaged (it was printed); NOT_FOUND, DENIED, IO, INVALID (not a file of
 * ours). Loop    any thread; blocks. */
#ifndef SENTINEL_STORAGE_INSPECT_H
#define SENTINEL_STORAGE_INSPECT_H

#include "io/io.h"

struct inspect_options {
    bool json;    /* one JSON document instead of text */
    bool entries; /* every record and entry, not only totals */
    bool verify;  /* reads and checks every byte; of a directory: of all its files */
    void (*print)(void *ctx, struct slice text);
    void *ctx;
};
enum status inspect_path(struct io *io, const char *path, const struct inspect_options *options,
                         struct diagnostic *diagnostic) MUST_USE;

#endif
