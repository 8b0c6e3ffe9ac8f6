// SPDX-License-Identifier: Apache-2.0
/* log_sink.h: log lines on standard error, each with UTC time and level. Any thread: one write a line. */
#ifndef SENTINEL_CLI_LOG_SINK_H
#define SENTINEL_CLI_LOG_SINK_H

#include "base/log.h"

struct log log_sink_open(enum log_level level);

#endif
