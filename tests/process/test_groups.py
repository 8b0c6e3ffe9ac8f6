# SPDX-License-Identifier: Apache-2.0
"""Consumer groups with clients nobody here wrote: who reads what, where a killed one is resumed, what survives kill -9."""
import json
import subprocess
import time
import unittest

import confluent_kafka as kafka

from lib.broker import SENTINEL, OneBroker


class Groups(OneBroker):
    arguments = ("--set", "group.initial-delay-ms=100")

    def consumer(self, group, **more):
        settings = {"bootstrap.servers": self.broker.address, "group.id": group, "auto.offset.reset": "earliest",
                    "session.timeout.ms": 2000, "heartbeat.interval.ms": 100, "enable.auto.commit": False}
        settings.update({key.replace("_", "."): value for key, value in more.items()})
        return kafka.Consumer(settings)

    def fill(self, topic, partitions, count):
        self.broker.run("topic", "create", topic, "--partitions", str(partitions))
        self.fill_more(topic, partitions, count)

    def poll(self, consumers, until, seconds=30):
        """Polls them all in turn; `until(messages)` ends it."""
        messages, end = [], time.monotonic() + seconds
        while not until(messages):
            self.assertLess(time.monotonic(), end, f"{len(messages)} messages; {self.broker.log_text()[-2000:]}")
            for consumer in consumers:
                message = consumer.poll(0.02)
                if message is None:
                    continue
                self.assertIsNone(message.error())
                messages.append((message.topic(), message.partition(), message.offset(), message.value()))
        return messages

    def assigned(self, consumers, count):
        """Polls until everyone has something and all of it together is `count` partitions, each once."""
        def complete(_):
            sets = [{(p.topic, p.partition) for p in c.assignment()} for c in consumers]
            return all(sets) and sum(map(len, sets)) == count == len(set().union(*sets))
        return self.poll(consumers, complete)

    def test_watching(self):
        self.fill("watched", 1, 10)
        self.broker.run("consume", "watched", "--group", "g-watched", "--from", "beginning", "--count", "4", "--quiet")
        watch = subprocess.Popen([SENTINEL, "group", "describe", "g-watched", "--watch", "--count", "2", "--json",
                                  "--server", self.broker.address], stdout=subprocess.PIPE)
        self.assertEqual(json.loads(watch.stdout.readline())["lag"], 6)
        self.fill_more("watched", 1, 3)
        self.assertEqual(json.loads(watch.stdout.readline())["lag"], 9)
        self.assertEqual(watch.wait(10), 0)
        watch.stdout.close()
        refused = self.broker.run("group", "describe", "g-none", "--watch", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(b"g-none", refused.stderr)

    def test_one_reads_all_and_resumes(self):
        self.fill("resume", 3, 300)
        first = self.consumer("g-resume")
        first.subscribe(["resume"])
        got = self.poll([first], lambda m: len(m) >= 120)
        first.commit(asynchronous=False)
        first.close()
        second = self.consumer("g-resume")
        second.subscribe(["resume"])
        rest = self.poll([second], lambda m: len(m) + len(got) >= 300)
        self.assertEqual(len({m[1:3] for m in got + rest}), 300)
        self.assertEqual(len(got + rest), 300)
        second.close()

    def test_members_share_and_leave(self):
        self.fill("share", 6, 60)
        for strategy in ("range", "roundrobin", "cooperative-sticky"):
            group = f"g-{strategy}"
            consumers = [self.consumer(group, partition_assignment_strategy=strategy) for _ in range(3)]
            for consumer in consumers:
                consumer.subscribe(["share"])
            self.assigned(consumers, 6)
            consumers.pop().close()
            self.assigned(consumers, 6)
            for consumer in consumers:
                consumer.close()

    def test_committed_offsets_survive_kill_9(self):
        self.fill("durable", 2, 100)
        consumer = self.consumer("g-durable")
        consumer.subscribe(["durable"])
        got = self.poll([consumer], lambda m: len(m) >= 50)
        consumer.commit(offsets=[kafka.TopicPartition("durable", 0, 17), kafka.TopicPartition("durable", 1, 23)],
                        asynchronous=False)
        self.assertEqual(len(got) >= 50, True)
        self.broker.kill()
        self.broker.start()
        # The member goes on in the same generation: the group itself came back, too.
        self.poll([consumer], lambda m: len(m) >= 50)
        consumer.commit(offsets=[kafka.TopicPartition("durable", 0, 18)], asynchronous=False)
        consumer.close()
        offsets = self.consumer("g-durable").committed(
            [kafka.TopicPartition("durable", 0), kafka.TopicPartition("durable", 1)], timeout=10)
        self.assertEqual([p.offset for p in offsets], [18, 23])

    def test_a_dead_member_is_replaced(self):
        self.fill("dead", 4, 400)
        living = self.consumer("g-dead")
        living.subscribe(["dead"])
        command = ["kcat", "-b", self.broker.address, "-q", "-X", "session.timeout.ms=2000", "-X",
                   "heartbeat.interval.ms=100", "-G", "g-dead", "dead"]
        dying = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.poll([living], lambda _: len(living.assignment()) == 2)
        finally:
            dying.kill()
            dying.wait()
        self.poll([living], lambda _: len(living.assignment()) == 4)
        living.close()

    def test_static_member_comes_back_without_a_rebalance(self):
        self.fill("static", 2, 20)
        one = self.consumer("g-static", group_instance_id="one")
        two = self.consumer("g-static", group_instance_id="two")
        for consumer in (one, two):
            consumer.subscribe(["static"])
        self.assigned([one, two], 2)
        before = sorted((p.topic, p.partition) for p in two.assignment())
        del two  # a static member does not leave
        rebalances = []
        one.subscribe(["static"], on_revoke=lambda c, p: rebalances.append(p))
        self.poll([one], lambda _: len(one.assignment()) == 1)
        rebalances.clear()
        again = self.consumer("g-static", group_instance_id="two")
        again.subscribe(["static"])
        self.assigned([one, again], 2)
        self.assertEqual(sorted((p.topic, p.partition) for p in again.assignment()), before)
        one.close()
        again.close()

    def spawn(self, *arguments):
        return subprocess.Popen([SENTINEL, "consume", *arguments, "--server", self.broker.address, "--quiet"],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def describe(self, group):
        done = self.broker.run("group", "describe", group, "--json", check=False)
        # Until its first member has joined there is no such group.
        return json.loads(done.stdout) if done.returncode == 0 else {"lag": -1, "members": [], "partitions": []}

    def until(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, self.broker.log_text()[-2000:])
            time.sleep(0.05)

    def test_sentinel_consumer_killed_and_resumed_over_grpc(self):
        self.fill("ours", 4, 400)
        first = self.spawn("ours", "--group", "g-ours", "--from", "beginning")
        second = None
        try:
            self.until(lambda: self.describe("g-ours")["lag"] == 0 and self.describe("g-ours")["partitions"])
            second = self.spawn("ours", "--group", "g-ours", "--from", "beginning")
            self.until(lambda: len({p["member"] for p in self.describe("g-ours")["partitions"]} - {""}) == 2)
            first.kill()  # no word to the broker but a closed connection
            self.fill_more("ours", 4, 400)
            self.until(lambda: self.describe("g-ours")["lag"] == 0)
        finally:
            first.kill()
            if second is not None:
                second.kill()
        got = first.communicate()[0].split() + second.communicate()[0].split()
        self.assertEqual(len(set(got)), 400)
        self.assertGreaterEqual(len(got), 800)
        self.until(lambda: not self.describe("g-ours")["members"])
        self.broker.run("group", "reset-offsets", "g-ours", "--to", "5")
        self.assertEqual(self.describe("g-ours")["lag"], 800 - 4 * 5)
        rest = self.broker.run("consume", "ours", "--group", "g-ours", "--until-end", "--quiet").stdout
        self.assertEqual(len(rest.split()), 800 - 4 * 5)
        self.broker.run("group", "delete", "g-ours")
        self.assertNotIn("g-ours", self.broker.run("group", "list").stdout.decode())

    def fill_more(self, topic, partitions, count):
        producer = kafka.Producer({"bootstrap.servers": self.broker.address})
        for i in range(count):
            producer.produce(topic, value=b"%d" % i, partition=i % partitions)
        self.assertEqual(producer.flush(30), 0)

    def test_a_member_without_partitions_comes_to_an_end(self):
        self.fill("one", 1, 50)
        reading = subprocess.Popen([SENTINEL, "consume", "one", "--server", self.broker.address, "--group", "g-one",
                                    "--from", "beginning", "--quiet"], stdout=subprocess.PIPE)
        try:
            self.until(lambda: self.describe("g-one").get("lag") == 0)
            done = self.broker.run("consume", "one", "--group", "g-one", "--until-end", "--quiet")
            self.assertEqual(done.stdout, b"")
        finally:
            reading.kill()
            reading.communicate()

    def test_what_comes_behind_the_end_is_not_committed_unseen(self):
        self.broker.run("topic", "create", "grows", "--partitions", "2")

        def produce(partition, count, value):
            producer = kafka.Producer({"bootstrap.servers": self.broker.address})
            for _ in range(count):
                producer.produce("grows", value=value, partition=partition)
            self.assertEqual(producer.flush(30), 0)
        produce(0, 10, b"early")
        produce(1, 20000, b"x" * 1000)  # more than the reader takes while nobody takes what it prints
        reading = self.spawn("grows", "--group", "g-grows", "--from", "beginning", "--until-end")
        seen = reading.stdout.readline()
        produce(0, 10, b"late")
        self.broker.run("topic", "add-partitions", "grows", "--partitions", "3")
        time.sleep(0.5)
        produce(2, 1, b"late")
        seen += reading.communicate()[0]
        self.assertEqual(reading.returncode, 0)
        self.assertEqual((seen.count(b"early"), seen.count(b"x\n")), (10, 20000))
        rest = self.broker.run("consume", "grows", "--group", "g-grows", "--from", "beginning", "--until-end",
                               "--quiet").stdout
        self.assertEqual((seen + rest).count(b"late"), 11)

    def test_offsets_of_one_protocol_serve_the_other(self):
        self.fill("both", 1, 100)
        consumer = self.consumer("g-both")
        consumer.subscribe(["both"])
        self.poll([consumer], lambda m: len(m) >= 40)
        consumer.commit(offsets=[kafka.TopicPartition("both", 0, 40)], asynchronous=False)
        consumer.close()
        rest = self.broker.run("consume", "both", "--group", "g-both", "--until-end", "--quiet").stdout
        self.assertEqual(rest, b"".join(b"%d\n" % i for i in range(40, 100)))
        offsets = self.consumer("g-both").committed([kafka.TopicPartition("both", 0)], timeout=10)
        self.assertEqual(offsets[0].offset, 100)


if __name__ == "__main__":
    unittest.main()
