// SPDX-License-Identifier: Apache-2.0
#include "lib/txn_epochs.h"

#include "lib/test.h"

#include "base/units.h"
#include "broker/coordinator.h"

#define AT_ONCE 256

static int under_way;

static void begun(struct group_call *call) {
    const struct txn_call *txn = CONTAINER_OF(call, struct txn_call, call);
    assert_status(call->status, STATUS_OK);
    assert_status(txn->result, STATUS_OK);
    under_way--;
}

void txn_epochs_use_up(struct broker *broker, const char *id, int16_t epoch, void (*run)(void *world),
                       void *world) {
    static struct txn_call calls[AT_ONCE];
    const struct txn_begin begin = {
        .id = slice_from_text(id), .timeout_ms = 60000, .producer_id = -1, .epoch = -1, .fresh_id = -1};
    while (epoch < TXN_EPOCH_MAX) {
        under_way = MIN(AT_ONCE, TXN_EPOCH_MAX - epoch);
        int last = under_way - 1;
        for (int i = 0; i <= last; i++) {
            calls[i] = (struct txn_call){.call = {.done = begun}};
            coordinator_txn_begin(broker, &calls[i], &begin);
        }
        for (int i = 0; i < 10000 && under_way > 0; i++)
            run(world);
        assert_int_equal(under_way, 0);
        epoch = calls[last].epoch;
    }
    assert_int_equal(epoch, TXN_EPOCH_MAX);
}
