// SPDX-License-Identifier: Apache-2.0
/* inspect_out.h: one description, printed as indented text or as JSON.
 *
 * Objects and lists nest; fields have names inside objects and none inside lists. In text an object's name
 * stands on a line of its own and its fields below it; a row is an object on one line.
 *
 * Bounds  INSPECT_DEPTH_MAX levels. Loop: one thread. */
#ifndef SENTINEL_STORAGE_INSPECT_OUT_H
#define SENTINEL_STORAGE_INSPECT_OUT_H

#include "base/cursor.h"
#include "storage/inspect.h"

#define INSPECT_DEPTH_MAX 8

struct inspect_out {
    const struct inspect_options *options;
    struct writer text;
    uint32_t depth;
    bool first[INSPECT_DEPTH_MAX];
    bool in_row;
    uint64_t problems;
};
void inspect_out_init(struct inspect_out *out, const struct inspect_options *options);
void inspect_out_release(struct inspect_out *out); /* prints what is left */
void inspect_out_begin(struct inspect_out *out,
                       const char *name); /* object; name NULL in lists and at the top */
void inspect_out_end(struct inspect_out *out);
void inspect_out_begin_list(struct inspect_out *out, const char *name);
void inspect_out_end_list(struct inspect_out *out);
void inspect_out_begin_row(struct inspect_out *out); /* an object in a list, on one line of text */
void inspect_out_end_row(struct inspect_out *out);
void inspect_out_number(struct inspect_out *out, const char *name, uint64_t value);
void inspect_out_text(struct inspect_out *out, const char *name, const char *value);
void inspect_out_bool(struct inspect_out *out, const char *name, bool value);
/* Bytes of keys: as they are when printable, else in hexadecimal with 0x before them. */
void inspect_out_bytes(struct inspect_out *out, const char *name, struct slice bytes);
/* A line for people; not in JSON. */
__attribute__((format(printf, 2, 3))) void inspect_out_line(struct inspect_out *out, const char *format, ...);
/* Something is wrong: printed as a row {file, offset, problem} and counted. Only inside a list «problems». */
void inspect_out_problem(struct inspect_out *out, const char *file, uint64_t offset, const char *problem);

#endif
