// SPDX-License-Identifier: Apache-2.0
/* Transactions: listing, describing and aborting them. */
#include "base/units.h"
#include "client/client_state.h"
#include "client/exchange.h"
#include "sentinel/v1/transaction_service.pb-c.h"

#define SERVICE "/sentinel.v1.TransactionService/"

static const char *state_name(Sentinel__V1__TransactionState state) {
    static const char *const names[] = {"unknown",       "empty",     "ongoing", "prepare-commit",
                                        "prepare-abort", "committed", "aborted"};
    return (size_t)state < ARRAY_COUNT(names) ? names[state] : names[0];
}

static void give(struct arena *arena, const Sentinel__V1__Transaction *from,
                 void (*visit)(void *context, const sentinel_transaction *transaction), void *context) {
    sentinel_transaction_partition *partitions = arena_calloc(arena, from->n_partitions + 1,
                                                              sizeof *partitions);
    for (size_t i = 0; i < from->n_partitions; i++)
        partitions[i] = (sentinel_transaction_partition){from->partitions[i]->topic,
                                                         from->partitions[i]->partition};
    const sentinel_transaction transaction = {
        .id = from->transactional_id,
        .state = state_name(from->state),
        .producer_id = from->producer == NULL ? -1 : from->producer->producer_id,
        .epoch = from->producer == NULL ? -1 : from->producer->producer_epoch,
        .timeout_ms = from->timeout_ms,
        .start_time_ms = from->start_time_ms,
        .update_time_ms = from->update_time_ms,
        .partitions = partitions,
        .partition_count = from->n_partitions,
        .groups = (const char *const *)from->groups,
        .group_count = from->n_groups};
    visit(context, &transaction);
}

int sentinel_transaction_list(sentinel_client *client, int64_t open_for_ms,
                              void (*visit)(void *context, const sentinel_transaction *transaction),
                              void *context, sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    Sentinel__V1__ListTransactionsRequest request = SENTINEL__V1__LIST_TRANSACTIONS_REQUEST__INIT;
    request.open_for_ms = open_for_ms;
    const Sentinel__V1__ListTransactionsResponse *answer;
    do {
        answer = client_exchange(client, SERVICE "ListTransactions", &request,
                                 &sentinel__v1__list_transactions_response__descriptor, &arena, error);
        if (answer == NULL) break;
        for (size_t i = 0; i < answer->n_transactions; i++)
            give(&arena, answer->transactions[i], visit, context);
        request.page_token = answer->next_page_token;
    } while (request.page_token != NULL && request.page_token[0] != '\0');
    arena_release(&arena);
    return answer == NULL ? -1 : 0;
}

int sentinel_transaction_describe(sentinel_client *client, const char *id,
                                  void (*visit)(void *context, const sentinel_transaction *transaction),
                                  void *context, sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    Sentinel__V1__GetTransactionRequest request = SENTINEL__V1__GET_TRANSACTION_REQUEST__INIT;
    request.transactional_id = (char *)(uintptr_t)id;
    const Sentinel__V1__GetTransactionResponse *answer = client_exchange(
        client, SERVICE "GetTransaction", &request, &sentinel__v1__get_transaction_response__descriptor,
        &arena, error);
    if (answer != NULL && answer->transaction != NULL) give(&arena, answer->transaction, visit, context);
    arena_release(&arena);
    return answer == NULL ? -1 : 0;
}

int sentinel_transaction_abort(sentinel_client *client, const char *id, sentinel_error *error) {
    Sentinel__V1__AbortTransactionRequest request = SENTINEL__V1__ABORT_TRANSACTION_REQUEST__INIT;
    request.transactional_id = (char *)(uintptr_t)id;
    return client_simple(client, SERVICE "AbortTransaction", &request,
                         &sentinel__v1__abort_transaction_response__descriptor, error);
}
