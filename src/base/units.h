// SPDX-License-Identifier: Apache-2.0
/* units.h: sizes and durations by name. */
#ifndef SENTINEL_BASE_UNITS_H
#define SENTINEL_BASE_UNITS_H

#include <stdint.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define NS_PER_US ((uint64_t)1000)
#define NS_PER_MS (1000 * NS_PER_US)
#define NS_PER_S  (1000 * NS_PER_MS)
#define MS_PER_S  ((int64_t)1000)

#define MIN(a, b)      ((a) < (b) ? (a) : (b))
#define MAX(a, b)      ((a) > (b) ? (a) : (b))
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
