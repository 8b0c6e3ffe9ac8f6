# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/examples.md do what the page says. (hello.c: test_install.py; hello.mjs: make compat.)"""
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

from lib.broker import OneBroker

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Examples(OneBroker):
    arguments = ("--set", "group.initial-delay-ms=0")

    def test_hello_in_python(self):
        with tempfile.TemporaryDirectory() as generated:
            files = [str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto")
                     if "grpc" not in path.parts]
            subprocess.run(["protoc", "-I", str(ROOT / "proto"), f"--python_out={generated}", *files], check=True)
            for first in (0, 3):  # the second time the group goes on where it was
                done = subprocess.run([sys.executable, ROOT / "examples/hello.py", self.broker.address], timeout=60,
                                      capture_output=True, text=True, env={**os.environ, "PYTHONPATH": generated})
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stdout.splitlines(), [
                    f"3 records are at offset {first} of partition 0",
                    *(f"read '{word}' at offset {first + i}" for i, word in enumerate(("one", "two", "three")))])

    def test_copy_exactly_once(self):
        for topic in ("plain", "shouted"):
            self.broker.run("topic", "create", topic)
        self.broker.run("produce", "plain", "--quiet", input=b"one\ntwo\nthree\n")
        worker = subprocess.Popen([sys.executable, ROOT / "examples/copy_exactly_once.py", self.broker.address, "plain",
                                   "shouted", "copiers"], stderr=subprocess.PIPE)
        try:
            end = time.monotonic() + 30
            while self.broker.run("consume", "shouted", "--from", "beginning", "--until-end",
                                  "--quiet").stdout != b"ONE\nTWO\nTHREE\n":
                self.assertIsNone(worker.poll())
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
        finally:
            worker.kill()
            worker.communicate()


if __name__ == "__main__":
    unittest.main()
