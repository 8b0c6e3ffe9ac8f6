// SPDX-License-Identifier: Apache-2.0
/* Patterns that anybody may subscribe with: [name size u8][name][pattern]. What is taken also matches in
 * bounded steps, and says the same twice. */
#include "base/assert.h"
#include "machine/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size - 1 < data[0]) return 0;
    struct slice name = slice_make(data + 1, data[0]);
    struct slice text = slice_make(data + 1 + name.size, size - 1 - name.size);
    struct pattern *pattern, *again;
    if (pattern_new(text, &pattern) != STATUS_OK) return 0;
    enum status status = pattern_new(text, &again);
    ASSERT(status == STATUS_OK && pattern_matches(pattern, name) == pattern_matches(again, name));
    pattern_free(pattern);
    pattern_free(again);
    return 0;
}
