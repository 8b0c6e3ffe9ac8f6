// SPDX-License-Identifier: Apache-2.0
/* survivors.h: one of two copies was lost with its disk: the other goes on alone. */
#ifndef SENTINEL_BROKER_SURVIVORS_H
#define SENTINEL_BROKER_SURVIVORS_H

#include "broker/cluster.h"

void survivors_tick(struct cluster *cluster);

#endif
