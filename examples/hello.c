// SPDX-License-Identifier: Apache-2.0
/* Sends three records and reads them back.
 *
 *   cc hello.c $(pkg-config --cflags --libs sentinel) -o hello && ./hello 127.0.0.1:9092 */
#include <stdio.h>
#include <string.h>

#include <sentinel/client.h>

static int fail(const char *what, const sentinel_error *error) {
    fprintf(stderr, "%s: %s\n", what, error->message);
    return 1;
}

static void acknowledged(void *context, void *tag, int32_t partition, int64_t offset,
                         const sentinel_error *error) {
    (void)context;
    if (error == NULL)
        printf("'%s' is at offset %lld of partition %d\n", (char *)tag, (long long)offset, partition);
}

static int produce(sentinel_client *client, const char *topic) {
    sentinel_error error;
    sentinel_producer_options options = sentinel_producer_options_default();
    options.acknowledged = acknowledged;
    sentinel_producer *producer = sentinel_producer_open(client, topic, &options, &error);
    if (producer == NULL) return fail("open producer", &error);
    char *words[] = {(char *)"one", (char *)"two", (char *)"three"};
    for (size_t i = 0; i < 3; i++) {
        sentinel_record record = {
            .value = words[i], .value_size = strlen(words[i]), .partition = -1, .tag = words[i]};
        if (sentinel_produce(producer, &record, &error) != 0) fail("produce", &error);
    }
    return sentinel_producer_close(producer, &error) == 0 ? 0 : fail("flush", &error);
}

static int consume(sentinel_client *client, const char *topic, int count) {
    sentinel_error error;
    sentinel_consumer *consumer = sentinel_consumer_open(client, topic, -1, SENTINEL_EARLIEST, &error);
    if (consumer == NULL) return fail("open consumer", &error);
    sentinel_record record;
    int result = 1;
    while (count > 0 && (result = sentinel_consume(consumer, &record, 5000, &error)) == 1) {
        printf("read '%.*s'\n", (int)record.value_size, (const char *)record.value);
        count--;
    }
    sentinel_consumer_close(consumer);
    return result == 1 ? 0 : fail("consume", &error);
}

int main(int argc, char **argv) {
    sentinel_error error;
    sentinel_client *client = sentinel_open(argc > 1 ? argv[1] : NULL, 0, &error);
    if (client == NULL) return fail("open", &error);
    int status = produce(client, "hello");
    if (status == 0) status = consume(client, "hello", 3);
    sentinel_close(client);
    return status;
}
