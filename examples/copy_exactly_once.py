# SPDX-License-Identifier: Apache-2.0
"""Consume, transform, produce, each record exactly once: results and offsets are committed in one transaction.

    python3 examples/copy_exactly_once.py 127.0.0.1:9092 FROM TO GROUP

It may be killed at any moment, and so may the broker: another one goes on, and whoever reads TO with
isolation.level=read_committed sees every result once. With confluent-kafka (librdkafka); other clients of Kafka do
the same.
"""
import sys

import confluent_kafka as kafka


def main():
    server, source, target, group = sys.argv[1:5]
    consumer = kafka.Consumer({"bootstrap.servers": server, "group.id": group, "auto.offset.reset": "earliest",
                               "enable.auto.commit": False, "isolation.level": "read_committed"})
    # The name is this worker's: whoever starts with it next fences one that only seemed dead.
    producer = kafka.Producer({"bootstrap.servers": server, "transactional.id": f"{group}-worker"})
    consumer.subscribe([source])
    producer.init_transactions()
    while True:
        messages = [message for message in consumer.consume(100, 0.5) if message.error() is None]
        if not messages:
            continue
        producer.begin_transaction()
        try:
            for message in messages:
                producer.produce(target, message.value().upper(), message.key())
            producer.send_offsets_to_transaction(consumer.position(consumer.assignment()),
                                                 consumer.consumer_group_metadata())
            producer.commit_transaction()
        except kafka.KafkaException as error:
            if not error.args[0].txn_requires_abort():
                raise
            producer.abort_transaction()
            for partition in consumer.committed(consumer.assignment()):
                consumer.seek(partition)


if __name__ == "__main__":
    main()
