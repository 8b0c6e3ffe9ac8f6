# SPDX-License-Identifier: Apache-2.0
"""Consume, transform, produce: the broker is killed in the middle and so is the worker; every record comes out once."""
import subprocess
import sys
import time
import unittest

import confluent_kafka as kafka

from lib.broker import Broker

RECORDS = 400


def worker(server):
    """Copies 'in' to 'out' in transactions, until all of it is there or somebody kills it."""
    consumer = kafka.Consumer({"bootstrap.servers": server, "group.id": "copy", "auto.offset.reset": "earliest",
                               "enable.auto.commit": False, "isolation.level": "read_committed",
                               "session.timeout.ms": 2000, "heartbeat.interval.ms": 100})
    consumer.subscribe(["in"])
    producer = kafka.Producer({"bootstrap.servers": server, "transactional.id": "copy", "transaction.timeout.ms": 2000})
    producer.init_transactions(30)
    while True:
        messages = [m for m in consumer.consume(20, 0.2) if m.error() is None]
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            producer.produce("out", message.value())
        time.sleep(0.05)  # there is a moment to be killed in
        try:
            producer.send_offsets_to_transaction(consumer.position(consumer.assignment()),
                                                 consumer.consumer_group_metadata(), 30)
            producer.commit_transaction(30)
        except kafka.KafkaException as error:
            if not error.args[0].txn_requires_abort():
                raise
            producer.abort_transaction(30)
            for partition in consumer.committed(consumer.assignment(), timeout=20):
                consumer.seek(partition)


class Transactions(unittest.TestCase):
    def start_worker(self):
        return subprocess.Popen([sys.executable, __file__, "worker", self.broker.address], stderr=subprocess.DEVNULL)

    def read(self, isolation):
        consumer = kafka.Consumer({"bootstrap.servers": self.broker.address, "group.id": "reader",
                                   "isolation.level": isolation, "enable.partition.eof": True})
        consumer.assign([kafka.TopicPartition("out", 0, 0)])
        got = []
        while True:
            message = consumer.poll(10)
            if message is None or message.error() is not None:
                break
            got.append(int(message.value()))
        consumer.close()
        return got

    def committed(self):
        consumer = kafka.Consumer({"bootstrap.servers": self.broker.address, "group.id": "copy"})
        return consumer.committed([kafka.TopicPartition("in", 0)], timeout=10)[0].offset

    def until(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, self.broker.log_text()[-2000:])
            time.sleep(0.02)

    def test_exactly_once_over_kills(self):
        with Broker("--set", "group.initial-delay-ms=0") as self.broker:
            for topic in ("in", "out"):
                self.broker.run("topic", "create", topic, "--partitions", "1")
            self.broker.run("produce", "in", "--quiet", input=b"".join(b"%d\n" % i for i in range(RECORDS)))
            running = self.start_worker()
            try:
                self.until(lambda: self.committed() >= 60)
                running.kill()  # in the middle of a transaction, most likely
                running.wait()
                running = self.start_worker()
                self.until(lambda: self.committed() >= 180)
                self.broker.kill()
                self.broker.start()
                self.until(lambda: running.poll() is not None or self.committed() >= 260)
                if running.poll() is not None:  # the client gave up: another one goes on
                    running = self.start_worker()
                self.until(lambda: self.committed() >= RECORDS)
            finally:
                running.kill()
                running.wait()
            self.assertEqual(self.read("read_committed"), list(range(RECORDS)))
            self.assertGreaterEqual(len(self.read("read_uncommitted")), RECORDS)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2])
    unittest.main()
