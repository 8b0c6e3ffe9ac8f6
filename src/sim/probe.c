// SPDX-License-Identifier: Apache-2.0
#include "sim/probe.h"

#include "base/assert.h"

static const char *const names[] = {
#define PROBE_NAME_(name, text) #name,
    PROBE_LIST(PROBE_NAME_)
#undef PROBE_NAME_
};
static const char *const texts[] = {
#define PROBE_TEXT_(name, text) text,
    PROBE_LIST(PROBE_TEXT_)
#undef PROBE_TEXT_
};

const char *probe_name(enum probe_id id) {
    ASSERT_LT((unsigned)id, (unsigned)PROBE_COUNT);
    return names[id];
}

const char *probe_text(enum probe_id id) {
    ASSERT_LT((unsigned)id, (unsigned)PROBE_COUNT);
    return texts[id];
}
