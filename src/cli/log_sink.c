// SPDX-License-Identifier: Apache-2.0
#include "cli/log_sink.h"

#include <stdio.h>

#include "io/io.h"

/* Days since 1970-01-01 to a civil date; the method is Howard Hinnant's "civil_from_days". */
static void civil_date(int64_t days, int *year, int *month, int *day) {
    days += 719468;
    int64_t era = days / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    *day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1);
    *month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

static void write_line(void *ctx, enum log_level level, struct slice line) {
    (void)ctx;
    int64_t now_ms = io_system_wall_ms();
    int year, month, day;
    civil_date(now_ms / 86400000, &year, &month, &day);
    int64_t ms = now_ms % 86400000;
    fprintf(stderr, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %-5s %.*s\n", year, month, day, (int)(ms / 3600000),
            (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000), log_level_name(level),
            (int)line.size, (const char *)line.data);
}

struct log log_sink_open(enum log_level level) {
    return (struct log){.level = level, .sink = write_line};
}
