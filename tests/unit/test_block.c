// SPDX-License-Identifier: Apache-2.0
/* Entries whose numbers take every size that a varint has, also where the block ends right behind them. */
#include "lib/test.h"
#include "storage/block.h"

static struct block_entry entry_of(unsigned bit) {
    uint64_t number = (bit == 64 ? 0 : (uint64_t)1 << bit) - 1;
    return (struct block_entry){
        .kind = ENTRY_PUT_LOG,
        .sequence = number,
        .place = {.file = number, .offset = number, .size = (uint32_t)(number & 0x3ffffff), .crc = bit}};
}

static struct slice key_of(unsigned bit, uint8_t key[2]) {
    key[0] = 'k';
    key[1] = (uint8_t)bit;
    return slice_make(key, 2);
}

static void numbers_of_every_size_come_back(void **state) {
    (void)state;
    struct block_builder builder;
    struct block_cursor cursor;
    uint8_t key[2];
    block_builder_init(&builder, 1);
    for (unsigned bit = 0; bit <= 64; bit++) {
        struct block_entry entry = entry_of(bit);
        block_builder_add(&builder, key_of(bit, key), &entry);
    }
    assert_status(block_cursor_init(&cursor, block_builder_finish(&builder)), STATUS_OK);
    enum status status = block_cursor_first(&cursor);
    for (unsigned bit = 0; bit <= 64; bit++, status = block_cursor_next(&cursor)) {
        assert_status(status, STATUS_OK);
        struct block_entry entry = entry_of(bit);
        assert_int_equal(cursor.entry.sequence, entry.sequence);
        assert_int_equal(cursor.entry.place.file, entry.place.file);
        assert_int_equal(cursor.entry.place.offset, entry.place.offset);
        assert_int_equal(cursor.entry.place.size, entry.place.size);
        assert_int_equal(cursor.entry.place.crc, bit);
        struct block_cursor found = cursor;
        assert_status(block_cursor_seek(&found, key_of(bit, key)), STATUS_OK);
        assert_int_equal(found.at, cursor.at);
    }
    assert_status(status, STATUS_END);
    block_builder_release(&builder);
}

/* One entry with `bytes` as the size of its key suffix, and then as much of a block as it takes. */
static enum status first_of(struct slice varint) {
    struct writer block;
    struct block_cursor cursor;
    writer_init(&block);
    writer_u8(&block, 0); /* shared */
    writer_bytes(&block, varint);
    for (unsigned i = 0; i < 64; i++) /* kind DELETE, sequence, key */
        writer_u8(&block, i == 0 ? ENTRY_DELETE : 'a');
    writer_le32(&block, 0); /* the restart point */
    writer_le32(&block, 1);
    enum status status = block_cursor_init(&cursor, writer_slice(&block));
    if (status == STATUS_OK) status = block_cursor_first(&cursor);
    writer_release(&block);
    return status;
}

static void sizes_of_more_than_32_bits_are_refused(void **state) {
    (void)state;
    assert_status(first_of(SLICE_LITERAL("\x05")), STATUS_OK);
    assert_status(first_of(SLICE_LITERAL("\x85\x00")), STATUS_OK);
    assert_status(first_of(SLICE_LITERAL("\x85\x80\x80\x80\x00")), STATUS_OK);
    assert_status(first_of(SLICE_LITERAL("\x85\x80\x80\x80\x10")), STATUS_CORRUPT); /* bit 32 */
    assert_status(first_of(SLICE_LITERAL("\x85\x80\x80\x80\x80\x00")), STATUS_CORRUPT);
    assert_status(first_of(SLICE_LITERAL("\x85\x80\x80\x80\x80\x80\x80\x00")), STATUS_CORRUPT);
    assert_status(first_of(SLICE_LITERAL("\x85\x80\x80\x80\x80\x80\x80\x80\x80\x00")), STATUS_CORRUPT);
    assert_status(first_of(SLICE_LITERAL("\x85\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00")), STATUS_CORRUPT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_every_size_come_back),
        cmocka_unit_test(sizes_of_more_than_32_bits_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
