// SPDX-License-Identifier: Apache-2.0
/* report.h: a run as one page that a browser opens: a space-time diagram, with nothing to fetch.
 *
 * The page holds the recorded events as JSON and the program that draws them (report_page.html). Owner: the
 * writer's. Loop: any. */
#ifndef SENTINEL_SIM_REPORT_H
#define SENTINEL_SIM_REPORT_H

#include "sim/record.h"
#include "sim/world.h"

void report_print(struct writer *to, const struct recording *record, const struct scenario *scenario,
                  const struct world_result *result);

#endif
