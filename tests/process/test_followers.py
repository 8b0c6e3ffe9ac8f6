# SPDX-License-Identifier: Apache-2.0
"""A consumer in a rack reads from the replica there (KIP-392): librdkafka's client.rack, three nodes in three racks.

What it reads comes from the follower, says the follower's own counter; and it goes on, with every record once and in
order, when that follower dies, when it comes back, and when the leader dies.
"""
import logging
import re
import threading
import time
import unittest
import urllib.request

import confluent_kafka as kafka

from lib.cluster import Cluster

logging.getLogger("quiet").disabled = True


class Racks(Cluster):
    """Node N is in rack rN."""

    def arguments_of(self, node):
        return ["--rack", f"r{node}"]

    def counter(self, node, name):
        text = urllib.request.urlopen(f"http://{self.addresses[node]}/metrics").read().decode()
        return int(re.search(rf"^sentinel_{name} (\d+)$", text, re.M).group(1))


class Reader:
    """Reads partition 0 of t from its beginning, in a thread."""

    def __init__(self, servers, rack):
        self.values, self.stopping = [], False
        self.consumer = kafka.Consumer({
            "bootstrap.servers": servers, "group.id": "readers", "enable.auto.commit": False, "client.rack": rack,
            "auto.offset.reset": "error", "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100,
            "fetch.wait.max.ms": 100, "fetch.error.backoff.ms": 20, "topic.metadata.refresh.interval.ms": 1000,
            "log_level": 0}, logger=logging.getLogger("quiet"))
        self.consumer.assign([kafka.TopicPartition("t", 0, 0)])
        self.failures = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping:
            message = self.consumer.poll(0.1)
            if message is not None and message.error() is None:
                self.values.append(int(message.value()))
            elif message is not None and not message.error().retriable():
                self.failures.append(str(message.error()))

    def finish(self):
        self.stopping = True
        self.thread.join()
        self.consumer.close()


class NearestReplica(unittest.TestCase):
    def test_a_reader_in_a_rack_is_served_there_whoever_fails(self):
        with Racks() as cluster:
            cluster.create("t")
            leader = cluster.leaders("t")[0]
            near = leader % 3 + 1
            producer = kafka.Producer({"bootstrap.servers": cluster.servers, "enable.idempotence": True,
                                       "linger.ms": 1, "retry.backoff.ms": 20, "log_level": 0},
                                      logger=logging.getLogger("quiet"))
            sent = 0

            def produce(count):
                nonlocal sent
                for _ in range(count):
                    producer.produce("t", b"%d" % sent, partition=0)
                    sent += 1
                self.assertEqual(producer.flush(60), 0)

            def read():
                cluster.until(lambda: len(reader.values) >= sent, what=f"record {sent}")
                self.assertEqual(reader.values, list(range(sent)))

            produce(1000)
            reader = Reader(cluster.servers, f"r{near}")
            read()
            self.assertGreater(cluster.counter(near, "follower_fetch_bytes_total"), 5000)
            self.assertEqual(cluster.counter(leader, "fetch_bytes_total"), 0)
            self.assertEqual(cluster.counter(leader, "readers_sent_total"), 1)
            began = time.monotonic()
            for _ in range(20):  # each as soon as it is there
                produce(1)
                read()
            print(f"a record produced and read from a follower: {(time.monotonic() - began) * 50:.1f} ms", flush=True)
            self.assertEqual(cluster.counter(leader, "fetch_bytes_total"), 0)

            before = cluster.counter(near, "follower_fetch_bytes_total")
            done = cluster.run("consume", "t", "--from", "beginning", "--until-end", "--any-replica", node=near)
            self.assertEqual([int(value) for value in done.stdout.split()], list(range(sent)))
            self.assertGreater(cluster.counter(near, "follower_fetch_bytes_total"), before)
            self.assertEqual(cluster.counter(leader, "fetch_bytes_total"), 0)
            done = cluster.run("consume", "t", "--from", "beginning", "--until-end", node=near)
            self.assertEqual([int(value) for value in done.stdout.split()], list(range(sent)))
            self.assertGreater(cluster.counter(leader, "fetch_bytes_total"), 0)

            cluster.kill(near)
            produce(100)
            if kafka.libversion()[1] >= 0x02020000:  # before, it waits for the follower that it was sent to
                read()
            cluster.start(near)
            produce(100)
            read()

            cluster.kill(leader)
            produce(100)
            read()
            reader.finish()
            self.assertEqual(reader.failures, [])


if __name__ == "__main__":
    unittest.main()
