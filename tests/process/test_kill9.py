# SPDX-License-Identifier: Apache-2.0
"""SIGKILL under load, twenty times: nothing acknowledged is lost, nothing is served in two forms.

An idempotent librdkafka producer keeps records in flight while the broker is killed at random moments and
started again on the same port and directory. The delivery report of each record names its offset. After each
restart the whole topic is read and held against (a) every acknowledgement so far and (b) everything that was read
in earlier rounds: an offset, once seen, keeps its record.
"""
import logging
import os
import random
import threading
import time
import unittest

import confluent_kafka as kafka
from confluent_kafka.admin import AdminClient, NewTopic

from lib.broker import Broker

logging.getLogger("quiet").disabled = True
ROUNDS = int(os.environ.get("KILL9_ROUNDS", "20"))
PARTITIONS = 4


class Load:
    """A producer in a thread of its own that never stops while brokers come and go."""

    def __init__(self, address, seed):
        self.random = random.Random(seed)
        self.acknowledged = {}  # (partition, offset) -> value
        self.failures = []
        self.sent = 0
        self.stopping = False
        self.producer = kafka.Producer({
            "bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 1, "message.timeout.ms": 60000,
            "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, "log_level": 0,
            "compression.type": self.random.choice(["none", "lz4", "zstd"])}, logger=logging.getLogger("quiet"))
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def delivered(self, error, message):
        if error is not None:
            self.failures.append(str(error))
            return
        where = (message.partition(), message.offset())
        if where in self.acknowledged:
            self.failures.append(f"offset {where} acknowledged twice")
        self.acknowledged[where] = message.value()

    def run(self):
        while not self.stopping:
            size = self.random.choice([20, 200, 2000])
            value = b"%d:" % self.sent + self.random.randbytes(size)
            try:
                self.producer.produce("killed", value, partition=self.sent % PARTITIONS, on_delivery=self.delivered)
                self.sent += 1
            except BufferError:
                self.producer.poll(0.05)
            self.producer.poll(0)
            if self.sent % 20 == 0:
                time.sleep(0.01)  # some thousand records in all: every round reads them back

    def stop(self):
        self.stopping = True
        self.thread.join()
        return self.producer.flush(60)


def read_all(address):
    """Every record there was when the reading began, and what came with it: (partition, offset) -> value.

    The end is asked for first and not waited for: a client that reads what four partitions get at once may not
    see an end of any of them as long as the load goes on.
    """
    consumer = kafka.Consumer({"bootstrap.servers": address, "group.id": "none", "enable.auto.commit": False,
                               "auto.offset.reset": "error", "log_level": 0})
    ends = {p: consumer.get_watermark_offsets(kafka.TopicPartition("killed", p), timeout=60)[1] for p in range(PARTITIONS)}
    consumer.assign([kafka.TopicPartition("killed", p, 0) for p in range(PARTITIONS)])
    records, read, errors, deadline = {}, dict.fromkeys(ends, 0), [], time.monotonic() + 60
    while any(read[p] < ends[p] for p in ends) and time.monotonic() < deadline:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            errors.append(f"partition {message.partition()}: {message.error()}")
            continue
        records[message.partition(), message.offset()] = message.value()
        read[message.partition()] = message.offset() + 1
    consumer.close()
    if any(read[p] < ends[p] for p in ends):
        raise AssertionError(f"the topic could not be read to its end within 60 s: ends {ends}, read {read}, "
                             f"{len(errors)} errors, the last {errors[-5:]}")
    return records


class Kill9(unittest.TestCase):
    def kill_rounds(self, backend, seed):
        chance = random.Random(seed)
        with Broker("--io", backend) as broker:
            admin = AdminClient({"bootstrap.servers": broker.address})
            admin.create_topics([NewTopic("killed", PARTITIONS, 1)])["killed"].result(30)
            load = Load(broker.address, seed)
            seen = {}
            try:
                for _ in range(ROUNDS):
                    time.sleep(chance.uniform(0.02, 0.4))
                    broker.kill()
                    broker.start()
                    acknowledged = dict(load.acknowledged)
                    self.compare(read_all(broker.address), acknowledged, seen)
            except BaseException:
                print(f"{backend}: broker's exit status {broker.process and broker.process.poll()}, its log:\n{broker.log_text()[-4000:]}")
                print(broker.ask("/metrics")[:4000], broker.run("topic", "describe", "killed", check=False), sep="\n")
                raise
            finally:
                left = load.stop()
            self.assertEqual(left, 0, "records still in flight after a minute")
            self.assertEqual(load.failures[:3], [])
            records = read_all(broker.address)
            self.compare(records, load.acknowledged, seen)
            values = list(records.values())
            self.assertEqual(len(values), len(set(values)), "an idempotent producer's record stands twice")
            self.assertGreater(len(load.acknowledged), ROUNDS * 10)
            for partition in range(PARTITIONS):
                offsets = sorted(offset for p, offset in records if p == partition)
                self.assertEqual(offsets, list(range(len(offsets))), "offsets are not dense")
            print(f"{backend}: {ROUNDS} kills, {load.sent} records sent, {len(load.acknowledged)} acknowledged, "
                  f"{len(records)} there")

    def compare(self, records, acknowledged, seen):
        lost = [where for where, value in acknowledged.items() if records.get(where) != value]
        self.assertEqual(lost[:5], [], f"{len(lost)} acknowledged records are lost or differ")
        changed = [where for where, value in seen.items() if records.get(where) != value]
        self.assertEqual(changed[:5], [], f"{len(changed)} records changed after they had been read")
        seen.update(records)

    def test_uring(self):
        self.kill_rounds("auto", seed=1)

    def test_posix(self):
        self.kill_rounds("posix", seed=2)


if __name__ == "__main__":
    unittest.main()
