# SPDX-License-Identifier: Apache-2.0
"""Three processes that fail under load: what was acknowledged is read, once, at its offset.

Idempotent librdkafka producers keep records in flight while nodes are killed, stopped in their tracks and sent
home, at random. Then everything is read, and held against every acknowledgement.
CLUSTER_ROUNDS says how many failures (4 by default, `make soak` has more), CLUSTER_SEED which.
"""
import json
import logging
import os
import random
import signal
import subprocess
import threading
import time
import unittest
import urllib.error
import urllib.request

import confluent_kafka as kafka

from lib.cluster import SENTINEL, Cluster

logging.getLogger("quiet").disabled = True
ROUNDS = int(os.environ.get("CLUSTER_ROUNDS", "4"))
SEED = int(os.environ.get("CLUSTER_SEED", "1"))
PARTITIONS = 3


class Load:
    """A producer in a thread of its own that never stops while nodes come and go."""

    def __init__(self, servers):
        self.acknowledged = {}  # (partition, offset) -> value
        self.failures = []
        self.sent = 0
        self.last_ns = {}  # partition -> time of the last acknowledgement
        self.gap_ns = 0
        self.stopping = False
        self.producer = kafka.Producer({
            "bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 1, "message.timeout.ms": 60000,
            "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100, "retry.backoff.ms": 20,
            "queue.buffering.max.messages": 2000, "socket.timeout.ms": 5000, "log_level": 0},
            logger=logging.getLogger("quiet"))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def delivered(self, error, message):
        if error is not None:
            self.failures.append(str(error))
            return
        now, partition = time.monotonic_ns(), message.partition()
        self.gap_ns = max(self.gap_ns, now - self.last_ns.get(partition, now))
        self.last_ns[partition] = now
        where = (partition, message.offset())
        if where in self.acknowledged:
            self.failures.append(f"offset {where} acknowledged twice")
        self.acknowledged[where] = message.value()

    def run(self):
        while not self.stopping:
            try:
                self.producer.produce("t", b"%d:" % self.sent + b"x" * (self.sent % 700), partition=self.sent % PARTITIONS,
                                      on_delivery=self.delivered)
                self.sent += 1
            except BufferError:
                self.producer.poll(0.01)
            self.producer.poll(0)
            if self.sent % 50 == 0:
                time.sleep(0.002)  # a load, not a benchmark

    def finish(self, seconds=60):
        self.stopping = True
        self.thread.join()
        self.producer.flush(seconds)


def read_all(servers, partitions):
    """(partition, offset) -> value, up to the end as the leaders tell it."""
    consumer = kafka.Consumer({"bootstrap.servers": servers, "group.id": "checker", "enable.auto.commit": False,
                               "enable.partition.eof": True, "auto.offset.reset": "earliest", "log_level": 0},
                              logger=logging.getLogger("quiet"))
    consumer.assign([kafka.TopicPartition("t", p, 0) for p in range(partitions)])
    seen, ended, end = {}, set(), time.monotonic() + 60
    while len(ended) < partitions:
        assert time.monotonic() < end, "the topic cannot be read"
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error() is None:
            seen[(message.partition(), message.offset())] = message.value()
        elif message.error().code() == kafka.KafkaError._PARTITION_EOF:
            ended.add(message.partition())
    consumer.close()
    return seen


class ThreeNodes(unittest.TestCase):
    def check(self, load, seen):
        self.assertEqual(load.failures, [])
        for where, value in load.acknowledged.items():
            self.assertEqual(seen.get(where), value, f"acknowledged at {where}, read something else")
        self.assertEqual(len(set(seen.values())), len(seen), "a record is there twice")
        self.assertEqual(len(load.acknowledged), load.sent)

    def test_nothing_acknowledged_is_lost_whoever_fails(self):
        chance = random.Random(SEED)
        with Cluster() as cluster:
            cluster.create("t", PARTITIONS)
            load = Load(cluster.servers)
            for turn in range(ROUNDS):
                node = chance.choice(cluster.nodes)
                time.sleep(0.3)
                if turn % 4 == 0:
                    cluster.kill(node)
                    time.sleep(chance.uniform(0.1, 0.6))
                    cluster.start(node)
                elif turn % 4 == 1:
                    cluster.signal(node, signal.SIGSTOP)
                    time.sleep(chance.uniform(0.5, 1.2))
                    cluster.signal(node, signal.SIGCONT)
                elif turn % 4 == 2:
                    self.assertEqual(cluster.stop(node), 0)
                    cluster.start(node)
                else:
                    for n in cluster.nodes:
                        cluster.kill(n)
                    for n in cluster.nodes:
                        cluster.start(n)
            time.sleep(0.5)
            load.finish()
            print(f"{load.sent} records, longest pause of a partition {load.gap_ns / 1e6:.0f} ms", flush=True)
            self.check(load, read_all(cluster.servers, PARTITIONS))
            for node in cluster.nodes:
                self.assertNotIn("replica stopped", cluster.log_text(node))

    def test_failover_is_quick(self):
        with Cluster() as cluster:
            cluster.create("t", PARTITIONS)
            load = Load(cluster.servers)
            end = time.monotonic() + 20
            while len(load.last_ns) < PARTITIONS and time.monotonic() < end:
                time.sleep(0.02)
            load.gap_ns = 0
            cluster.kill(cluster.leaders("t")[0])
            killed_ns = time.monotonic_ns()
            while min(load.last_ns.values()) < killed_ns + 2e8 and time.monotonic() < end:
                time.sleep(0.02)  # until every partition has gone on for a while
            load.finish()
            self.check(load, read_all(cluster.servers, PARTITIONS))
            print(f"from SIGKILL of a leader to the next acknowledgement: {load.gap_ns / 1e6:.0f} ms", flush=True)
            self.assertLess(load.gap_ns, 5e9)  # the machine may be busy; targets are measured elsewhere

    def test_the_end_is_found_while_the_leader_moves(self):
        with Cluster() as cluster:
            cluster.create("e")
            cluster.run("produce", "e", "--quiet", input=b"x\ny\n")
            cluster.kill(cluster.leaders("e")[0])
            for _ in range(15):  # before anybody notices, while nobody leads, and after
                read = cluster.run("consume", "e", "--from", "beginning", "--until-end", "--quiet")
                self.assertEqual(read.stdout, b"x\ny\n")

    def test_members_outlive_their_coordinator(self):
        """The node that is asked lives on and the partition's leader too: only commits have to wait."""
        with Cluster(arguments=["--set", "cluster.election-timeout-ms=1000"]) as cluster:
            cluster.create("any")
            cluster.run("topic", "create", "t", "--placement", "0=1,2")
            members = [subprocess.Popen([SENTINEL, "consume", "t", "--group", f"g{i}", "--from", "beginning", "--quiet",
                                         "--server", cluster.addresses[1]], stdout=subprocess.DEVNULL)
                       for i in range(8)]
            try:
                cluster.run("produce", "t", input=b"before\n" * 100, node=1)
                time.sleep(0.5)
                cluster.kill(3)
                for _ in range(15):  # each has something to commit, again and again
                    cluster.run("produce", "t", input=b"meanwhile\n" * 50, node=1)
                    time.sleep(0.1)

                def is_done(group):
                    shown = cluster.run("group", "describe", group, "--json", node=1, check=False)
                    return shown.returncode == 0 and json.loads(shown.stdout)["lag"] == 0
                for i in range(8):
                    cluster.until(lambda: is_done(f"g{i}"), what=f"the end of g{i}")
                self.assertEqual([member.poll() for member in members], [None] * 8)
            finally:
                for member in members:
                    member.kill()
                    member.wait()

    def test_one_of_three_refuses(self):
        with Cluster() as cluster:
            cluster.create("t")
            for node in (2, 3):
                cluster.kill(node)
            done = cluster.run("topic", "create", "u", "--timeout", "2", node=1, check=False)
            self.assertEqual(done.returncode, 1)
            cluster.start(2)
            cluster.create("v", replicas=2)  # u may exist: the change was on its way when the majority was lost

    def test_a_producer_that_nobody_acknowledges_gives_up_in_time(self):
        with Cluster() as cluster:
            cluster.create("any")
            cluster.run("topic", "create", "two", "--placement", "0=1,2", node=3)
            cluster.run("produce", "two", "--quiet", input=b"x\n", node=3)
            cluster.kill(1)
            began = time.monotonic()
            done = cluster.run("produce", "two", "--timeout", "2", input=b"y\n", node=3, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr.decode(), r"1 of 1 records read were not acknowledged: no acknowledgement within "
                             r"the timeout; last error: .*not the leader")
            self.assertLess(time.monotonic() - began, 3.9)  # once, not once more when it is closed

    def test_a_node_says_what_it_waits_for(self):
        cluster = Cluster()

        def ready(node):
            try:
                with urllib.request.urlopen(f"http://{cluster.addresses[node]}/readyz") as answer:
                    return answer.read().decode()
            except urllib.error.HTTPError as error:
                return f"{error.code} {error.read().decode()}"

        try:
            cluster.start(1)
            self.assertRegex(ready(1), "^503 the cluster is not formed yet")
            self.assertIn(b"not formed yet", cluster.run("cluster", "status", node=1).stdout)
            self.assertIn("belongs to no cluster yet", cluster.log_text(1))
            for node in (2, 3):
                cluster.start(node)
            for node in (1, 2, 3):
                cluster.until(lambda node=node: ready(node) == "ready\n", what=f"node {node}")
            for node in (2, 3):
                cluster.kill(node)
            cluster.until(lambda: ready(1) == "503 half of the nodes or more are out of reach\n", what="the minority's word")
            cluster.start(3)
            cluster.until(lambda: ready(1) == "ready\n", what="a majority")
        finally:
            cluster.__exit__()

    def test_a_directory_stays_with_its_node(self):
        with Cluster() as cluster:
            cluster.create("t")
            for node in (1, 2):
                cluster.kill(node)
            os.rename(cluster.data_dir(1), cluster.data_dir(2) + ".other")
            os.rename(cluster.data_dir(2), cluster.data_dir(1))
            os.rename(cluster.data_dir(2) + ".other", cluster.data_dir(2))
            with self.assertRaisesRegex(AssertionError, "belongs to node 2"):
                cluster.start(1)


if __name__ == "__main__":
    unittest.main()
