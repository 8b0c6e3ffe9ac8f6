# SPDX-License-Identifier: Apache-2.0
"""The built program as a user starts it: a broker on a free port and a directory of its own.

    with Broker("--io", "posix") as broker:
        broker.run("topic", "create", "t")
        broker.kill(); broker.start()       # same directory, same port
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request

SENTINEL = os.environ.get("SENTINEL", "build/sentinel")
START_SECONDS = 30


class Broker:
    def __init__(self, *arguments, data_dir=None):
        self.arguments = list(arguments)
        self.dir = tempfile.mkdtemp(prefix="sentinel-test-")
        self.data_dir = data_dir or os.path.join(self.dir, "data")
        self.address = "127.0.0.1:0"
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def start(self):
        """Returns when the ready line is there; the port stays the same from the first start on."""
        self.log = open(os.path.join(self.dir, "log"), "ab")
        self.process = subprocess.Popen(
            [SENTINEL, "serve", "--data-dir", self.data_dir, "--listen", self.address, *self.arguments],
            stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL)
        line = self.process.stdout.readline().decode()
        match = re.fullmatch(r"ready: node \d+ listening on (\S+)\n", line)
        if not match:
            self.process.wait(START_SECONDS)
            raise AssertionError(f"no ready line but {line!r}, exit {self.process.returncode}: {self.log_text()[-2000:]}")
        self.address = match.group(1)

    def kill(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGKILL)
        self.finish()

    def stop(self, seconds=10):
        """SIGTERM; returns the exit status, and fails when it takes longer than the contract allows."""
        self.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        status = self.process.wait(seconds)
        self.stop_seconds = time.monotonic() - began
        self.finish()
        return status

    def finish(self):
        self.process.wait()
        self.process.stdout.close()
        self.log.close()
        self.process = None

    def log_text(self):
        with open(os.path.join(self.dir, "log"), errors="replace") as file:
            return file.read()

    def run(self, *arguments, input=None, check=True):
        """A command of the program against this broker; the finished process, output as bytes."""
        done = subprocess.run([SENTINEL, *arguments], input=input, capture_output=True, timeout=120,
                              env={**os.environ, "SENTINEL_SERVER": self.address})
        if check and done.returncode != 0:
            raise AssertionError(f"sentinel {' '.join(arguments)}: exit {done.returncode}: {done.stderr.decode()}")
        return done

    def ask(self, path):
        """What the HTTP side says, or why it says nothing: for the report of a test that failed."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as answer:
                return answer.read().decode()
        except OSError as error:
            return f"{path}: {error}"

    def resident_kib(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))


class OneBroker(unittest.TestCase):
    """Tests that share one broker, started with `arguments`."""
    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(*cls.arguments)
        cls.addClassCleanup(cls.broker.__exit__)
        cls.broker.start()


def sentinel(*arguments, input=None):
    return subprocess.run([SENTINEL, *arguments], input=input, capture_output=True, timeout=60)
