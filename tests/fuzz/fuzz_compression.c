// SPDX-License-Identifier: Apache-2.0
/* Inflating what anybody may have sent: the output stays bounded, and a failure leaves nothing behind. */
#include "base/assert.h"
#include "base/units.h"
#include "wire/compression.h"

#define INFLATE_MAX (256 * KIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    enum record_codec codec = (enum record_codec)(data[0] % CODEC_COUNT);
    struct writer out, deflated, again;
    writer_init(&out);
    writer_init(&deflated);
    writer_init(&again);
    if (codec_inflate(codec, slice_make(data + 1, size - 1), INFLATE_MAX, &out) == STATUS_OK) {
        ASSERT_LE(out.size, INFLATE_MAX);
        enum status status = codec_deflate(codec, writer_slice(&out), &deflated);
        ASSERT(status == STATUS_OK);
        status = codec_inflate(codec, writer_slice(&deflated), INFLATE_MAX, &again);
        ASSERT(status == STATUS_OK && slice_equal(writer_slice(&out), writer_slice(&again)));
    } else {
        ASSERT_EQ(out.size, (size_t)0);
    }
    writer_release(&out);
    writer_release(&deflated);
    writer_release(&again);
    return 0;
}
