# SPDX-License-Identifier: Apache-2.0
"""A compacted topic as its users see it: librdkafka and kcat read the last value of each key, also after kill -9."""
import random
import subprocess
import time
import unittest

import confluent_kafka as kafka

from lib.broker import Broker

KEYS, ROUNDS, BATCH = 50, 3, 400


def read(server):
    """[(offset, key, value)] from the beginning to the end."""
    consumer = kafka.Consumer({"bootstrap.servers": server, "group.id": "reader", "enable.partition.eof": True})
    consumer.assign([kafka.TopicPartition("t", 0, 0)])
    got = []
    while True:
        message = consumer.poll(10)
        if message is None or message.error() is not None:
            break
        got.append((message.offset(), message.key(), message.value()))
    consumer.close()
    return got


class Compaction(unittest.TestCase):
    def test_the_last_of_each_key_stays_over_kills(self):
        chance = random.Random(1)
        with Broker("--set", "compaction.check-ms=50") as broker:
            broker.run("topic", "create", "t", "--config", "cleanup.policy=compact", "--config",
                       "min.cleanable.dirty.ratio=0.1")
            sent, last, producer = 0, {}, None
            for turn in range(ROUNDS):
                codec = ("none", "lz4", "zstd")[turn % 3]
                producer = kafka.Producer({"bootstrap.servers": broker.address, "compression.codec": codec,
                                           "linger.ms": 1, "batch.num.messages": 20, "log_level": 0})
                for _ in range(BATCH):
                    key = b"key-%d" % chance.randrange(KEYS)
                    value = None if chance.random() < 0.1 else b"value %d " % sent + b"x" * chance.randrange(100)
                    producer.produce("t", value, key)
                    last[key] = (sent, value)
                    sent += 1
                self.assertEqual(producer.flush(10), 0)
                time.sleep(chance.uniform(0.02, 0.1))
                broker.kill()
                broker.start()
                seen = read(broker.address)
                self.assertEqual(sorted(seen), seen)
                self.assertEqual({key: (offset, value) for offset, key, value in seen}, last)
            end = time.monotonic() + 10
            while len(seen) > KEYS and time.monotonic() < end:
                time.sleep(0.1)
                seen = read(broker.address)
            self.assertEqual({key: (offset, value) for offset, key, value in seen}, last)
            self.assertEqual(len(seen), len(last))
            kcat = subprocess.run(["kcat", "-b", broker.address, "-C", "-t", "t", "-e", "-q", "-f", "%o %k\n"],
                                  capture_output=True, timeout=20, check=True)
            self.assertEqual(kcat.stdout.split(b"\n")[:-1], [b"%d %s" % (o, k) for o, k, _ in seen])


if __name__ == "__main__":
    unittest.main()
