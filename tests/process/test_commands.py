# SPDX-License-Identifier: Apache-2.0
"""What the commands of operators change, and what they print for people: --json has tests beside what it shows."""
import json
import subprocess
import unittest

from lib.broker import SENTINEL, OneBroker


class Commands(OneBroker):
    def out(self, *arguments, input=None):
        return self.broker.run(*arguments, input=input).stdout.decode()

    def refused(self, *arguments, status, words):
        done = self.broker.run(*arguments, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn(words, done.stderr.decode())

    def test_a_topic_from_its_creation_to_its_end(self):
        self.out("topic", "create", "life", "--partitions", "2", "--config", "retention.ms=1000")
        self.refused("topic", "create", "life", status=1, words="already exists")
        self.out("topic", "create", "life", "--if-not-exists")
        self.assertIn("life\t2 partitions\n", self.out("topic", "list"))
        self.out("topic", "alter", "life", "--config", "retention.ms=86400000", "--config", "segment.bytes=1048576")
        self.out("topic", "alter", "life", "--config", "segment.bytes=")
        configs = json.loads(self.out("topic", "describe", "life", "--json"))["configs"]
        self.assertEqual((configs["retention.ms"], configs["segment.bytes"]), ("86400000", "1073741824"))
        self.refused("topic", "alter", "life", "--config", "retention.ms=soon", status=1, words="retention.ms")
        self.out("topic", "add-partitions", "life", "--partitions", "3")
        self.refused("topic", "add-partitions", "life", "--partitions", "2", status=1, words="the topic has 3")
        text = self.out("topic", "describe", "life")
        self.assertIn("topic life: 3 partitions, 1 replica\n", text)
        self.assertRegex(text, r"(?m)^ +2 +1 +0 +0 +0 +1$")
        self.assertRegex(text, r"(?m)^  retention\.ms +86400000$")
        self.assertRegex(text, r"(?m)^  segment\.bytes +1073741824  \(default\)$")
        self.out("topic", "delete", "life")
        for command in (("topic", "delete"), ("topic", "describe"), ("consume",)):
            self.refused(*command, "life", status=1, words="no such topic")

    def test_records_from_wherever(self):
        self.out("topic", "create", "records")
        self.out("produce", "records", "--quiet", input=b"a\nb\nc\n")
        read = ["consume", "records", "--until-end", "--quiet", "--from"]
        self.assertEqual(self.out(*read, "beginning"), "a\nb\nc\n")
        self.assertEqual(self.out(*read, "1", "--partition", "0"), "b\nc\n")
        self.assertEqual(self.out(*read, "@0"), "a\nb\nc\n")
        self.assertEqual(self.out(*read, "@99999999999999"), "")
        self.assertEqual(self.out(*read, "2", "--format", "%o %v\\n"), "2 c\n")
        records = [json.loads(line) for line in self.out(*read, "beginning", "--json").splitlines()]
        self.assertEqual([(r["topic"], r["partition"], r["offset"], r["key"], r["value"]) for r in records],
                         [("records", 0, i, None, value) for i, value in enumerate("abc")])
        for wrong, words in ((["--from", "@x"], "--from wants"), (["--from", "-1"], "--from wants"),
                             (["--isolation", "none"], "--isolation wants"),
                             (["--group", "g", "--from", "1"], "--from wants")):
            self.refused("consume", "records", *wrong, status=2, words=words)

    def test_a_cluster_of_one(self):
        text = self.out("cluster", "status")
        self.assertIn("health      everything is led and replicated\n", text)
        self.assertRegex(text, rf"(?m)^ +1  {self.broker.address} +- +ready +\d+ +\d+ +0 +[\d.]+ \w+ +[\d.]+ \w+$")
        self.out("topic", "create", "watched")
        watch = subprocess.Popen([SENTINEL, "cluster", "status", "--watch", "--count", "2", "--json", "--server",
                                  self.broker.address], stdout=subprocess.PIPE)
        try:
            first = json.loads(watch.stdout.readline())
            self.out("topic", "create", "seen", "--partitions", "5")
            second = json.loads(watch.stdout.readline())
            self.assertEqual(watch.wait(20), 0)
        finally:
            watch.kill()
            watch.stdout.close()
        self.assertEqual((second["topics"], second["partitions"]), (first["topics"] + 1, first["partitions"] + 5))
        self.assertIn("topics ", self.out("cluster", "status", "--watch", "--count", "1"))
        self.refused("cluster", "status", "--watch", "--interval", "0", status=2, words="--interval")
        self.out("cluster", "transfer-leader", "watched", "0")
        self.out("cluster", "transfer-leader", "watched", "0", "1")
        self.refused("cluster", "transfer-leader", "watched", "0", "2", status=1, words="no replica")
        self.refused("cluster", "transfer-leader", "watched", "7", status=1, words="7")


if __name__ == "__main__":
    unittest.main()
