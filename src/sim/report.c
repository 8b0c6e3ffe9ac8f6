// SPDX-License-Identifier: Apache-2.0
#include "sim/report.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/units.h"

/* report_page.html; made by the build (cmake/report_page.cmake). */
extern const unsigned char report_page[];
extern const size_t report_page_size;

#define PLACE "/*RUN*/null"

/* A string of JSON that may also stand in a script element. */
static void print_string(struct writer *to, const char *text) {
    writer_u8(to, '"');
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        if (c < 0x20 || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c > 0x7e)
            writer_printf(to, "\\u%04x", c);
        else
            writer_u8(to, c);
    }
    writer_u8(to, '"');
}

static void print_events(struct writer *to, const struct recording *record) {
    uint32_t text = 0; /* number 0: none */
    writer_text(to, "\"events\":[");
    for (uint32_t i = 0; i < record->count; i++) {
        const struct record_event *e = &record->events[i];
        text += e->text != 0;
        writer_printf(to,
                      "%s[%" PRIu64 ".%03" PRIu64 ",%d,%u,%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
                      ",%" PRIu64 ".%03" PRIu64 ",%u,%d]",
                      i == 0 ? "" : ",\n", e->at_ns / 1000, e->at_ns % 1000, (int)e->kind, e->node, e->to,
                      e->group, e->a, e->b, e->c, e->end_ns / 1000, e->end_ns % 1000, e->text != 0 ? text : 0,
                      e->lost);
    }
    writer_text(to, "],\n\"texts\":[\"\"");
    for (uint32_t i = 0; i < record->count; i++) {
        if (record->events[i].text == 0) continue;
        writer_text(to, ",\n");
        print_string(to, record_text_of(record, &record->events[i]));
    }
    writer_text(to, "]");
}

void report_print(struct writer *to, const struct recording *record, const struct scenario *scenario,
                  const struct world_result *result) {
    size_t place = 0, place_size = strlen(PLACE);
    while (memcmp(report_page + place, PLACE, place_size) != 0)
        ASSERT_LT(++place, report_page_size - place_size);
    writer_bytes(to, slice_make(report_page, place));
    writer_printf(to, "{\"ok\":%s,\"nodes\":%u,\"seed\":%" PRIu64 ",\"duration\":%" PRIu64 ".%03" PRIu64 ",",
                  result->ok ? "true" : "false", scenario->nodes, scenario->seed, result->simulated_ns / 1000,
                  result->simulated_ns % 1000);
    writer_text(to, "\"title\":");
    print_string(to, scenario->title);
    writer_text(to, ",\"failure\":");
    print_string(to, result->failure);
    writer_text(to, ",\n");
    print_events(to, record);
    writer_text(to, "}");
    place += place_size;
    writer_bytes(to, slice_make(report_page + place, report_page_size - place));
}
