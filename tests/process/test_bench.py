# SPDX-License-Identifier: Apache-2.0
"""The broker's benchmark measures a real broker: every figure it promises comes, and makes sense."""
import json
import os
import subprocess
import tempfile
import unittest

from lib.broker import SENTINEL


class Bench(unittest.TestCase):
    def test_small_run(self):
        with tempfile.TemporaryDirectory() as parent:
            done = subprocess.run([SENTINEL, "bench", "broker", "--no-peers", "--json", "--mib", "4", "--dir", parent,
                                   "--cases", "start,publish,grpc"], capture_output=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr.decode())
            self.assertEqual(os.listdir(parent), [], "the data directory is left behind")
        rows = {row["name"]: row["values"]["sentinel"] for row in json.loads(done.stdout)["rows"]}
        for name in ("ready, empty directory", "resident, idle", "publish 1 KiB", "publish 100 B",
                     "publish 1 KiB, gRPC stream", "consume 1 KiB, gRPC stream"):
            self.assertGreater(rows[name], 0)
        self.assertGreater(rows["publish 1 KiB: written per byte"], 1, "what was published was not written")
        self.assertGreater(rows["publish 1 KiB: fsyncs"], 0)

    def test_groups(self):
        with tempfile.TemporaryDirectory() as parent:
            done = subprocess.run([SENTINEL, "bench", "groups", "--json", "--seconds", "1", "--members", "100", "--dir",
                                   parent, "--cases", "members,consumers,transactions"], capture_output=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr.decode())
            self.assertEqual(os.listdir(parent), [], "the data directory is left behind")
        rows = {row["name"]: row["values"]["sentinel"] for row in json.loads(done.stdout)["rows"]}
        for name in ("100 members, classic, after the delay", "100 members, new protocol",
                     "the same, each 16 a transaction", "a transaction of one record: p99"):
            self.assertGreater(rows[name], 0)

    def test_storage_leaves_what_is_the_users(self):
        with tempfile.TemporaryDirectory() as parent:
            os.mkdir(os.path.join(parent, "db"))
            kept = os.path.join(parent, "db", "mine")
            with open(kept, "w"):
                pass
            done = subprocess.run([SENTINEL, "bench", "storage", "--no-peers", "--json", "--mib", "4", "--cases", "append",
                                   "--dir", parent], capture_output=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr.decode())
            self.assertTrue(os.path.exists(kept), "a file that was there before is gone")
            self.assertEqual(os.listdir(parent), ["db"], "the data directory is left behind")

    def test_what_cannot_be_done_is_said(self):
        done = subprocess.run([SENTINEL, "bench", "broker", "--mib", "none"], capture_output=True)
        self.assertEqual(done.returncode, 2)
        done = subprocess.run([SENTINEL, "bench", "broker", "--dir", "/proc/none"], capture_output=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"/proc/none", done.stderr)


if __name__ == "__main__":
    unittest.main()
