// SPDX-License-Identifier: Apache-2.0
/* Metadata from damaged disks: the input is a row of (kind, size, bytes); commands are decoded, checked and
 * applied, stored keys are loaded. What was applied must load back. */
#include "base/assert.h"
#include "base/cursor.h"
#include "machine/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_command(struct metadata *m, struct slice bytes) {
    struct metadata_command command;
    struct diagnostic why;
    if (metadata_decode(bytes, &command) != STATUS_OK) return;
    if (command.count > 1000) command.count = 1000; /* memory, not logic */
    struct writer again;
    writer_init(&again);
    metadata_encode(&command, &again);
    struct metadata_command same;
    ASSERT(metadata_decode(writer_slice(&again), &same) == STATUS_OK);
    ASSERT(slice_equal(same.name, command.name) && same.config_count == command.config_count);
    writer_release(&again);
    if (metadata_check(m, &command, &why) != STATUS_OK) return;
    struct metadata_effects effects;
    metadata_effects_init(&effects);
    metadata_apply(m, m->applied_index + 1, &command, &effects);
    metadata_effects_release(&effects);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct metadata m;
    metadata_init(&m, 1);
    struct reader in = reader_make(slice_make(data, size));
    bool usable = true;
    while (usable && reader_ok(&in) && reader_remaining(&in) > 1) {
        bool is_command = (reader_u8(&in) & 1) != 0;
        struct slice bytes = reader_bytes(&in, reader_u8(&in));
        if (!reader_ok(&in) || bytes.size == 0) break;
        if (is_command) {
            take_command(&m, bytes);
        } else {
            size_t key_size = bytes.data[0] % bytes.size;
            usable = metadata_load(&m, slice_make(bytes.data, key_size),
                                   slice_make(bytes.data + key_size, bytes.size - key_size)) == STATUS_OK;
        }
    }
    metadata_release(&m);
    return 0;
}
