# SPDX-License-Identifier: Apache-2.0
"""Consume, transform, produce: brokers are killed in the middle and so is the worker; every record comes out once.

TXN_ROUNDS says how many failures of the cluster (3 by default, `make soak` has more)."""
import os
import subprocess
import sys
import time
import unittest

import confluent_kafka as kafka

from lib.broker import Broker
from lib.cluster import Cluster

RECORDS = 200
ROUNDS = int(os.environ.get("TXN_ROUNDS", "3"))
ROUND_RECORDS = 40


def worker(server):
    """Copies 'in' to 'out' in transactions, until all of it is there or somebody kills it."""
    quick = {"bootstrap.servers": server, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100,
             "retry.backoff.ms": 20, "topic.metadata.refresh.fast.interval.ms": 50}
    consumer = kafka.Consumer({**quick, "group.id": "copy", "group.instance.id": "w", "auto.offset.reset": "earliest",
                               "enable.auto.commit": False, "isolation.level": "read_committed",
                               "session.timeout.ms": 2000, "heartbeat.interval.ms": 100})
    consumer.subscribe(["in"])
    producer = kafka.Producer({**quick, "transactional.id": "copy", "transaction.timeout.ms": 2000})
    producer.init_transactions(30)
    while True:
        messages = [m for m in consumer.consume(20, 0.2) if m.error() is None]
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            producer.produce("out", message.value())
        time.sleep(0.03)  # there is a moment to be killed in
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
        return subprocess.Popen([sys.executable, __file__, "worker", self.servers], stderr=subprocess.DEVNULL)

    def read(self, isolation, partitions=1):
        consumer = kafka.Consumer({"bootstrap.servers": self.servers, "group.id": "reader",
                                   "isolation.level": isolation, "enable.partition.eof": True})
        consumer.assign([kafka.TopicPartition("out", p, 0) for p in range(partitions)])
        got, ended, end = [], set(), time.monotonic() + 60
        while len(ended) < partitions and time.monotonic() < end:
            message = consumer.poll(1)
            if message is not None and message.error() is None:
                got.append(int(message.value()))
            elif message is not None and message.error().code() == kafka.KafkaError._PARTITION_EOF:
                ended.add(message.partition())
        consumer.close()
        self.assertEqual(len(ended), partitions, "a partition has no end for this reader")
        return got

    def committed(self, partitions=1):
        """Of all partitions of 'in' together."""
        consumer = kafka.Consumer({"bootstrap.servers": self.servers, "group.id": "copy"})
        try:
            offsets = consumer.committed([kafka.TopicPartition("in", p) for p in range(partitions)], timeout=10)
        except kafka.KafkaException:  # nobody answers just now
            return 0
        return sum(max(o.offset, 0) for o in offsets)

    def until(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, self.logs())
            time.sleep(0.02)

    def test_exactly_once_over_kills(self):
        with Broker("--set", "group.initial-delay-ms=0") as self.broker:
            self.servers, self.logs = self.broker.address, lambda: self.broker.log_text()[-2000:]
            for topic in ("in", "out"):
                self.broker.run("topic", "create", topic, "--partitions", "1")
            self.broker.run("produce", "in", "--quiet", input=b"".join(b"%d\n" % i for i in range(RECORDS)))
            running = self.start_worker()
            try:
                self.until(lambda: self.committed() >= 40)
                running.kill()  # in the middle of a transaction, most likely
                running.wait()
                running = self.start_worker()
                self.until(lambda: self.committed() >= 100)
                self.broker.kill()
                self.broker.start()
                self.until(lambda: running.poll() is not None or self.committed() >= 160)
                if running.poll() is not None:  # the client gave up: another one goes on
                    running = self.start_worker()
                self.until(lambda: self.committed() >= RECORDS)
            finally:
                running.kill()
                running.wait()
            self.assertEqual(self.read("read_committed"), list(range(RECORDS)))
            self.assertGreaterEqual(len(self.read("read_uncommitted")), RECORDS)

    def test_exactly_once_over_kills_of_three_nodes(self):
        partitions, records = 3, ROUND_RECORDS * (ROUNDS + 2)
        with Cluster(arguments=["--set", "group.initial-delay-ms=0"]) as cluster:
            self.servers = cluster.servers
            self.logs = lambda: "".join(cluster.log_text(n)[-1500:] for n in cluster.nodes)
            for topic in ("in", "out"):
                cluster.create(topic, partitions)
            for p in range(partitions):
                cluster.run("produce", "in", "--partition", str(p), "--quiet",
                            input=b"".join(b"%d\n" % i for i in range(p, records, partitions)))
            running = self.start_worker()

            def until_committed(count):
                nonlocal running

                def there():
                    nonlocal running
                    if running.poll() is not None:  # the client gave up: another one goes on
                        running = self.start_worker()
                    return self.committed(partitions) >= count
                self.until(there)

            try:
                for turn in range(ROUNDS):
                    until_committed(ROUND_RECORDS * (turn + 1))
                    step = ("leader", "worker", "everything")[turn % 3]
                    if step == "worker":
                        running.kill()
                        running.wait()
                        continue
                    killed = [max(cluster.leaders("out")[turn % partitions], 1)] if step == "leader" else cluster.nodes
                    for node in killed:
                        cluster.kill(node)
                    for node in killed:
                        cluster.start(node)
                until_committed(records)
            finally:
                running.kill()
                running.wait()
            self.assertEqual(sorted(self.read("read_committed", partitions)), list(range(records)))
            self.assertGreaterEqual(len(self.read("read_uncommitted", partitions)), records)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2])
    unittest.main()
