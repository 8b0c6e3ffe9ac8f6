# SPDX-License-Identifier: Apache-2.0
"""examples/copy_exactly_once_grpc.py is killed, and so are brokers; every record comes out once. And `sentinel txn`."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

from lib.broker import Broker
from lib.cluster import Cluster

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RECORDS = 400
GENERATED = tempfile.TemporaryDirectory()


def setUpModule():
    files = [str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto")
             if "grpc" not in path.parts]
    subprocess.run(["protoc", "-I", str(ROOT / "proto"), f"--python_out={GENERATED.name}", *files], check=True)


def tearDownModule():
    GENERATED.cleanup()


class Transactions(unittest.TestCase):
    def start_worker(self, name):
        return subprocess.Popen([sys.executable, ROOT / "examples/copy_exactly_once_grpc.py", self.target, "in", "out",
                                 "copiers", name], env={**os.environ, "PYTHONPATH": GENERATED.name},
                                stderr=subprocess.DEVNULL)

    def group(self):
        shown = self.run_command("group", "describe", "copiers", "--json", check=False)
        return json.loads(shown.stdout)["partitions"] if shown.returncode == 0 else []

    def committed(self):
        return sum(max(partition["committed"], 0) for partition in self.group())

    def until_committed(self, count):
        end = time.monotonic() + 60
        while self.committed() < count:
            self.assertLess(time.monotonic(), end, f"{self.group()}\n{self.logs()}")
            time.sleep(0.02)

    def until_ended(self):
        """The group's offsets count before the last partition has its marker, and a worker that is killed, or copies
        again what another has taken over, leaves a transaction open: nobody reads past that until it is aborted. Whoever
        of that name begins again does so, thus the workers live on until nothing is pending."""
        end = time.monotonic() + 30
        while True:
            done = self.run_command("txn", "list", "--json", check=False)
            states = [json.loads(line)["state"] for line in done.stdout.splitlines()]
            if done.returncode == 0 and not {"ongoing", "prepare-commit", "prepare-abort"} & set(states):
                return
            self.assertLess(time.monotonic(), end, f"{done.stdout}\n{self.logs()}")
            time.sleep(0.02)

    def read(self, partitions):
        """What a reader of committed records sees, through the worker's own eyes: a second copy of it."""
        values = []
        for partition in range(partitions):
            out = self.run_command("consume", "out", "--partition", str(partition), "--from", "beginning",
                                   "--until-end", "--quiet", "--isolation", "committed").stdout
            values += [int(line[1:]) for line in out.splitlines()]
        return sorted(values)

    def fill(self, partitions, parts):
        for p in range(partitions):
            for part in range(parts):  # many batches: many transactions
                first, last = (RECORDS * k // parts for k in (part, part + 1))
                self.run_command("produce", "in", "--partition", str(p), "--quiet",
                                 input=b"".join(b"v%d\n" % i for i in range(first, last) if i % partitions == p))

    def test_one_node(self):
        with Broker() as broker:
            self.run_command, self.target = broker.run, broker.address
            self.logs = lambda: broker.log_text()[-2000:]
            for topic in ("in", "out"):
                broker.run("topic", "create", topic)
            self.fill(1, 4)
            worker = self.start_worker("w")
            try:
                self.until_committed(100)
                worker.kill()
                worker.wait()
                worker = self.start_worker("w")
                self.until_committed(200)
                broker.kill()
                broker.start()
                self.until_committed(RECORDS)
                self.until_ended()
            finally:
                worker.kill()
                worker.wait()
            self.assertEqual(self.read(1), list(range(RECORDS)))
            shown = json.loads(broker.run("txn", "describe", "w", "--json").stdout)
            self.assertEqual((shown["id"], shown["groups"]), ("w", []))
            listed = [json.loads(line)["id"] for line in broker.run("txn", "list", "--json").stdout.splitlines()]
            self.assertEqual(listed, ["w"])
            line = broker.run("txn", "list").stdout.decode().splitlines()[1]
            self.assertRegex(line, rf"^w +(committed|aborted) +{shown['producer']} +\d+ +-$")
            text = broker.run("txn", "describe", "w").stdout.decode()
            self.assertRegex(text, rf"^id +w\nstate +(committed|aborted)\nproducer +{shown['producer']}\n")
            self.assertEqual(broker.run("txn", "list", "--open-for", "1", "--json").stdout, b"")
            failed = broker.run("txn", "abort", "nobody", check=False)
            self.assertEqual((failed.returncode, b"no such transactional id" in failed.stderr), (1, True))

    def test_three_nodes(self):
        partitions = 3
        with Cluster(arguments=["--set", "group.initial-delay-ms=0"]) as cluster:
            self.run_command, self.target = cluster.run, "ipv4:" + cluster.servers
            self.logs = lambda: "".join(cluster.log_text(n)[-1500:] for n in cluster.nodes)
            for topic in ("in", "out"):
                cluster.create(topic, partitions)
            self.fill(partitions, 3)
            workers = [self.start_worker(f"w{i}") for i in range(2)]
            try:
                self.until_committed(RECORDS // 4)
                workers[0].kill()
                workers[0].wait()
                cluster.kill(2)
                self.until_committed(RECORDS // 2)
                cluster.start(2)
                workers[0] = self.start_worker("w0")
                self.until_committed(RECORDS)
                self.until_ended()
            finally:
                for worker in workers:
                    worker.kill()
                    worker.wait()
            self.assertEqual(self.read(partitions), list(range(RECORDS)))


if __name__ == "__main__":
    unittest.main()
