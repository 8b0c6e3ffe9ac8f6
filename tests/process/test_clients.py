# SPDX-License-Identifier: Apache-2.0
"""What is produced through one protocol comes back through the other, byte for byte, with clients nobody here wrote."""
import os
import subprocess
import unittest

import confluent_kafka as kafka
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

from lib.broker import OneBroker


def kcat(broker, *arguments, input=None):
    done = subprocess.run(["kcat", "-b", broker.address, *arguments], input=input, capture_output=True, timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"kcat {arguments}: {done.stderr.decode()}")
    return done.stdout


class Clients(OneBroker):
    def lines(self, count, word):
        return b"".join(b"%s %d\n" % (word, i) for i in range(count))

    def test_kcat_every_codec_to_sentinel(self):
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            data = self.lines(20000, codec.encode())
            kcat(self.broker, "-P", "-t", f"codec-{codec}", "-z", codec, input=data)
            back = self.broker.run("consume", f"codec-{codec}", "--from", "beginning", "--until-end").stdout
            self.assertEqual(back, data, codec)
            self.assertEqual(kcat(self.broker, "-C", "-t", f"codec-{codec}", "-e", "-q"), data, codec)
            # Compressed as it was sent: the 'none' topic must be the largest by far.
        sizes = {}
        for codec in ("none", "lz4"):
            text = self.broker.run("topic", "describe", f"codec-{codec}", "--json").stdout.decode()
            sizes[codec] = int(text.split('"bytes":')[1].split(",")[0])
        self.assertLess(sizes["lz4"] * 2, sizes["none"])

    def test_sentinel_to_kcat(self):
        data = self.lines(200000, b"record")
        self.broker.run("produce", "ours", "--quiet", input=data)
        self.assertEqual(kcat(self.broker, "-C", "-t", "ours", "-e", "-q"), data)

    def test_binary_records_with_keys(self):
        records = [os.urandom(n).replace(b"\x1e", b"-").replace(b"\x1f", b"-") for n in range(1, 3000, 37)]
        data = b"\x1e".join(b"key%d\x1f%s" % (i, r) for i, r in enumerate(records))
        self.broker.run("topic", "create", "binary", "--partitions", "5")
        self.broker.run("produce", "binary", "--delimiter", "\\x1e", "--key-separator", "\\x1f", input=data)
        got = kcat(self.broker, "-C", "-t", "binary", "-e", "-q", "-f", "%k\x1f%s\x1e").split(b"\x1e")[:-1]
        self.assertEqual(sorted(got), sorted(data.split(b"\x1e")))
        # The same key goes to the same partition from either client.
        ours = self.broker.run("consume", "binary", "--from", "beginning", "--until-end", "--format", "%k %p\\n").stdout
        keys = b"".join(b"key%d\x1fx\x1e" % i for i in range(len(records)))
        kcat(self.broker, "-P", "-t", "binary2", "-K", "\x1f", "-D", "\x1e", "-X", "topic.partitioner=murmur2", input=b"")
        self.broker.run("topic", "create", "binary3", "--partitions", "5")
        kcat(self.broker, "-P", "-t", "binary3", "-K", "\x1f", "-D", "\x1e", "-X", "topic.partitioner=murmur2",
             input=keys[:-1])
        theirs = kcat(self.broker, "-C", "-t", "binary3", "-e", "-q", "-f", "%k %p\n")
        self.assertEqual(sorted(ours.split(b"\n")), sorted(theirs.split(b"\n")))

    def test_records_larger_than_the_window_of_a_stream(self):
        self.broker.run("topic", "create", "large", "--config", "max.message.bytes=8388608")
        producer = kafka.Producer({"bootstrap.servers": self.broker.address, "message.max.bytes": 8000000})
        for size in (3000000, 7000000):
            producer.produce("large", value=b"y" * size)
            self.assertEqual(producer.flush(30), 0)
        out = self.broker.run("consume", "large", "--from", "beginning", "--until-end", "--quiet").stdout
        self.assertEqual([len(line) for line in out.splitlines()], [3000000, 7000000])

    def test_offsets_by_time_and_from_an_offset(self):
        data = self.lines(100, b"timed")
        kcat(self.broker, "-P", "-t", "timed", input=data)
        stamps = kcat(self.broker, "-C", "-t", "timed", "-e", "-q", "-f", "%T\n").split()
        got = kcat(self.broker, "-C", "-t", "timed", "-e", "-q", "-o", f"s@{stamps[0].decode()}")
        self.assertEqual(got, data)
        got = kcat(self.broker, "-C", "-t", "timed", "-e", "-q", "-o", "90")
        self.assertEqual(got, self.lines(100, b"timed").split(b"\n", 90)[90])
        self.assertEqual(kcat(self.broker, "-C", "-t", "timed", "-e", "-q", "-o", "-5").count(b"\n"), 5)

    def test_librdkafka_administers(self):
        admin = AdminClient({"bootstrap.servers": self.broker.address})
        admin.create_topics([NewTopic("managed", 3, 1, config={"retention.ms": "1000000"})])["managed"].result(30)
        with self.assertRaises(kafka.KafkaException) as refused:
            admin.create_topics([NewTopic("managed", 3, 1)])["managed"].result(30)
        self.assertEqual(refused.exception.args[0].code(), kafka.KafkaError.TOPIC_ALREADY_EXISTS)
        with self.assertRaises(kafka.KafkaException) as refused:
            admin.create_topics([NewTopic("../etc", 1, 1)])["../etc"].result(30)
        self.assertEqual(refused.exception.args[0].code(), kafka.KafkaError.TOPIC_EXCEPTION)
        admin.create_partitions([NewPartitions("managed", 5)])["managed"].result(30)
        resource = ConfigResource(ConfigResource.Type.TOPIC, "managed")
        configs = list(admin.describe_configs([resource]).values())[0].result(30)
        self.assertEqual(configs["retention.ms"].value, "1000000")
        self.assertEqual(len(admin.list_topics("managed").topics["managed"].partitions), 5)
        admin.delete_topics(["managed"])["managed"].result(30)
        self.assertNotIn("managed", admin.list_topics().topics)

    def test_a_record_above_the_limit_is_refused_with_the_limit_named(self):
        self.broker.run("topic", "create", "small", "--config", "max.message.bytes=1000")
        done = self.broker.run("produce", "small", input=b"x" * 2000 + b"\n", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"max.message.bytes", done.stderr)
        self.broker.run("produce", "small", input=b"y" * 500 + b"\n")


if __name__ == "__main__":
    unittest.main()
