// SPDX-License-Identifier: Apache-2.0
#include "storage/inspect_out.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/units.h"

void inspect_out_init(struct inspect_out *out, const struct inspect_options *options) {
    *out = (struct inspect_out){.options = options};
    writer_init(&out->text);
    out->first[0] = true;
}

static void print_text(struct inspect_out *out) {
    if (out->text.size > 0) out->options->print(out->options->ctx, writer_slice(&out->text));
    writer_clear(&out->text);
}

void inspect_out_release(struct inspect_out *out) {
    ASSERT_EQ(out->depth, 0u);
    if (out->options->json) writer_text(&out->text, "\n");
    print_text(out);
    writer_release(&out->text);
}

static void put_string(struct inspect_out *out, struct slice bytes) {
    writer_u8(&out->text, '"');
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = bytes.data[i];
        if (c == '"' || c == '\\')
            writer_printf(&out->text, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            writer_printf(&out->text, "\\u%04x", c);
        else
            writer_u8(&out->text, c);
    }
    writer_u8(&out->text, '"');
}

/* Separator, indentation and name before a value. */
static void put_name(struct inspect_out *out, const char *name) {
    bool first = out->first[out->depth];
    out->first[out->depth] = false;
    if (out->options->json) {
        if (!first) writer_text(&out->text, ",");
        if (name != NULL) {
            put_string(out, slice_from_text(name));
            writer_text(&out->text, ":");
        }
        return;
    }
    if (out->in_row) {
        writer_printf(&out->text, "%s%s=", first ? "" : " ", name);
        return;
    }
    for (uint32_t i = 1; i < out->depth; i++)
        writer_text(&out->text, "  ");
    if (name != NULL) writer_printf(&out->text, "%s: ", name);
}

static void put_end_of_field(struct inspect_out *out) {
    if (!out->options->json && !out->in_row) writer_text(&out->text, "\n");
    if (out->text.size >= 64 * KIB) print_text(out);
}

static void nest(struct inspect_out *out) {
    ASSERT_LT(out->depth + 1, (uint32_t)INSPECT_DEPTH_MAX);
    out->first[++out->depth] = true;
}

static void begin(struct inspect_out *out, const char *name, const char *bracket) {
    if (out->options->json || name != NULL) put_name(out, name);
    if (out->options->json)
        writer_text(&out->text, bracket);
    else if (name != NULL)
        writer_text(&out->text, "\n");
    nest(out);
}

static void end(struct inspect_out *out, const char *bracket) {
    ASSERT(out->depth > 0);
    out->depth--;
    if (out->options->json) writer_text(&out->text, bracket);
    if (out->text.size >= 64 * KIB) print_text(out);
}

void inspect_out_begin(struct inspect_out *out, const char *name) {
    begin(out, name, "{");
}
void inspect_out_end(struct inspect_out *out) {
    end(out, "}");
}
void inspect_out_begin_list(struct inspect_out *out, const char *name) {
    begin(out, name, "[");
}
void inspect_out_end_list(struct inspect_out *out) {
    end(out, "]");
}

void inspect_out_begin_row(struct inspect_out *out) {
    put_name(out, NULL);
    if (out->options->json) writer_text(&out->text, "{");
    nest(out);
    out->in_row = true;
}

void inspect_out_end_row(struct inspect_out *out) {
    out->in_row = false;
    end(out, "}");
    put_end_of_field(out);
}

void inspect_out_number(struct inspect_out *out, const char *name, uint64_t value) {
    put_name(out, name);
    writer_printf(&out->text, "%" PRIu64, value);
    put_end_of_field(out);
}

void inspect_out_text(struct inspect_out *out, const char *name, const char *value) {
    put_name(out, name);
    if (out->options->json)
        put_string(out, slice_from_text(value));
    else
        writer_text(&out->text, value);
    put_end_of_field(out);
}

void inspect_out_bool(struct inspect_out *out, const char *name, bool value) {
    put_name(out, name);
    writer_text(&out->text, value ? "true" : "false");
    put_end_of_field(out);
}

void inspect_out_bytes(struct inspect_out *out, const char *name, struct slice bytes) {
    bool printable = bytes.size > 0;
    for (size_t i = 0; i < bytes.size; i++)
        printable = printable && bytes.data[i] > ' ' && bytes.data[i] < 0x7f;
    put_name(out, name);
    if (printable) {
        put_string(out, bytes);
    } else {
        if (out->options->json) writer_u8(&out->text, '"');
        writer_text(&out->text, "0x");
        for (size_t i = 0; i < bytes.size; i++)
            writer_printf(&out->text, "%02x", bytes.data[i]);
        if (out->options->json) writer_u8(&out->text, '"');
    }
    put_end_of_field(out);
}

void inspect_out_line(struct inspect_out *out, const char *format, ...) {
    if (out->options->json) return;
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    writer_text(&out->text, line);
    writer_text(&out->text, "\n");
}

void inspect_out_problem(struct inspect_out *out, const char *file, uint64_t offset, const char *problem) {
    out->problems++;
    inspect_out_begin_row(out);
    inspect_out_text(out, "file", file);
    inspect_out_number(out, "offset", offset);
    inspect_out_text(out, "problem", problem);
    inspect_out_end_row(out);
}
