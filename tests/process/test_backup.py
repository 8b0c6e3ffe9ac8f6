# SPDX-License-Identifier: Apache-2.0
"""Checkpoints, restoring them, and a disk that rots, with a real broker on a real disk."""
import json
import os
import re
import shutil
import time
import unittest

from lib.broker import Broker, sentinel


def lines(first, count):
    return b"".join(b"%d %s\n" % (i, b"x" * 300) for i in range(first, first + count))


def consume(broker, topic):
    return broker.run("consume", topic, "--from", "beginning", "--until-end").stdout


def wait_for(broker, pattern, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        match = re.search(pattern, broker.log_text())
        if match:
            return match
        time.sleep(0.05)
    raise AssertionError(f"no line like {pattern!r} in the log:\n{broker.log_text()[-3000:]}")


class Backup(unittest.TestCase):
    def test_a_checkpoint_can_be_restored(self):
        with Broker() as broker:
            broker.run("produce", "kept", input=lines(0, 3000))
            path = broker.run("cluster", "checkpoint", "monday").stdout.decode().strip()
            self.assertEqual(path, os.path.join(broker.data_dir, "checkpoints", "monday"))
            inspected = json.loads(sentinel("inspect", path, "--json", "--verify").stdout)
            self.assertEqual(inspected["problems"], [])
            broker.run("produce", "kept", input=lines(3000, 500))
            broker.run("produce", "later", input=b"gone after the restore\n")
            self.assertEqual(consume(broker, "kept"), lines(0, 3500))
            self.assertEqual(broker.stop(), 0)
            backup = os.path.join(broker.dir, "backup")
            shutil.copytree(path, backup)
            shutil.rmtree(broker.data_dir)
            shutil.copytree(backup, broker.data_dir)
            self.assertIn("CHECKPOINT", os.listdir(broker.data_dir))
            broker.start()
            self.assertNotIn("CHECKPOINT", os.listdir(broker.data_dir))
            self.assertEqual(consume(broker, "kept"), lines(0, 3000))
            self.assertNotIn(b"later", broker.run("topic", "list").stdout)
            broker.run("produce", "kept", input=lines(3000, 10))  # it is a broker like any other
            broker.kill()
            broker.start()
            self.assertEqual(consume(broker, "kept"), lines(0, 3010))

    def test_refusals(self):
        with Broker() as broker:
            broker.run("produce", "t", input=b"1\n")
            broker.run("cluster", "checkpoint", "one")
            for name, reason in (("one", "there already"), ("../two", "letters, digits"), (".three", "letters, digits")):
                done = broker.run("cluster", "checkpoint", name, check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn(reason, done.stderr.decode())
            self.assertEqual(os.listdir(os.path.join(broker.data_dir, "checkpoints")), ["one"])

    def test_no_member_of_a_cluster_begins_with_one(self):
        with Broker() as broker:
            broker.run("produce", "t", input=b"1\n")
            path = broker.run("cluster", "checkpoint", "old").stdout.decode().strip()
            done = sentinel("serve", "--data-dir", path, "--node-id", "1", "--listen", "127.0.0.1:0",
                            "--peers", "1=127.0.0.1:1,2=127.0.0.1:2")
            self.assertEqual(done.returncode, 1)
            self.assertIn("is a checkpoint", done.stderr.decode())
            self.assertIn("CHECKPOINT", os.listdir(path))


class Damage(unittest.TestCase):
    def damage_first(self, broker, what):
        """Changes the first byte of the one place on disk that holds `what`; returns the name of the file."""
        for name in sorted(os.listdir(broker.data_dir)):
            if not name.endswith(".wal"):
                continue
            with open(os.path.join(broker.data_dir, name), "r+b") as file:
                at = file.read().find(what)
                if at >= 0:
                    file.seek(at)
                    file.write(b"?")
                    return name
        self.fail("it is nowhere")

    def test_the_scrub_finds_what_rots_and_the_rest_is_served(self):
        with Broker("--set", "scrub.interval-ms=300") as broker:
            broker.run("produce", "rotting", input=lines(0, 2000))
            broker.run("produce", "sound", input=lines(0, 2000))
            shutil.rmtree(broker.run("cluster", "checkpoint", "flushes").stdout.decode().strip())
            wait_for(broker, "scrub is through tables=[1-9]")
            self.assertNotIn("found damage", broker.log_text())
            broker.stop()
            log = self.damage_first(broker, lines(0, 1)[:-1])  # in the topic produced first
            verified = sentinel("inspect", broker.data_dir, "--verify")
            self.assertEqual(verified.returncode, 1)
            self.assertIn(log.encode(), verified.stdout)
            broker.start()
            found = wait_for(broker, r"scrub found damage file=(\S+) offset=\d+ what=\"[^\"]+\" lost_from=")
            self.assertEqual(found.group(1), log)
            self.assertRegex(broker.ask("/metrics"), r"sentinel_scrub_damaged_total [1-9]")
            self.assertEqual(consume(broker, "sound"), lines(0, 2000))
            done = broker.run("consume", "rotting", "--from", "beginning", "--until-end", check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertNotIn(b"?", done.stdout)


if __name__ == "__main__":
    unittest.main()
