# SPDX-License-Identifier: Apache-2.0
"""Three brokers as a user starts them, on free ports of this machine.

    with Cluster() as cluster:
        cluster.kill(2); cluster.start(2)
        cluster.run("topic", "create", "t", "--replicas", "3")
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SENTINEL = os.environ.get("SENTINEL", "build/sentinel")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Cluster:
    """`prefix` and `hosts` put each node elsewhere: a command before it, an address of its own."""

    def __init__(self, count=3, hosts=None, prefix=None, arguments=()):
        self.nodes = list(range(1, count + 1))
        if hosts is None:
            self.addresses = {n: f"127.0.0.1:{port}" for n, port in zip(self.nodes, free_ports(count))}
        else:
            self.addresses = {n: f"{hosts[n]}:9092" for n in self.nodes}
        self.prefix = prefix or (lambda node: [])
        self.arguments = list(arguments)
        self.dir = tempfile.mkdtemp(prefix="sentinel-cluster-")
        self.processes = {}

    def __enter__(self):
        for node in self.nodes:
            self.start(node)
        return self

    def __exit__(self, *_):
        for node in list(self.processes):
            self.kill(node)
        shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def servers(self):
        return ",".join(self.addresses.values())

    def arguments_of(self, node):
        """For one node alone."""
        return []

    def data_dir(self, node):
        return os.path.join(self.dir, str(node))

    def start(self, node):
        peers = ",".join(f"{n}={address}" for n, address in self.addresses.items())
        with open(os.path.join(self.dir, f"log{node}"), "ab") as log:
            process = subprocess.Popen(
                [*self.prefix(node), SENTINEL, "serve", "--node-id", str(node), "--peers", peers, "--data-dir",
                 self.data_dir(node), *self.arguments, *self.arguments_of(node)], stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)
        line = process.stdout.readline().decode()
        if not re.fullmatch(rf"ready: node {node} listening on \S+\n", line):
            process.kill()
            process.wait()
            raise AssertionError(f"node {node}: no ready line but {line!r}: {self.log_text(node)[-2000:]}")
        self.processes[node] = process

    def signal(self, node, number):
        self.processes[node].send_signal(number)

    def finish(self, node, seconds=12):
        process = self.processes.pop(node)
        status = process.wait(seconds)
        process.stdout.close()
        return status

    def kill(self, node):
        self.signal(node, signal.SIGCONT)
        self.signal(node, signal.SIGKILL)
        return self.finish(node)

    def stop(self, node):
        self.signal(node, signal.SIGTERM)
        return self.finish(node)

    def wipe(self, node):
        shutil.rmtree(self.data_dir(node))

    def log_text(self, node):
        with open(os.path.join(self.dir, f"log{node}"), errors="replace") as file:
            return file.read()

    def run(self, *arguments, node=None, input=None, check=True):
        server = self.servers if node is None else self.addresses[node]
        done = subprocess.run([SENTINEL, *arguments], input=input, capture_output=True, timeout=120,
                              env={**os.environ, "SENTINEL_SERVER": server})
        if check and done.returncode != 0:
            raise AssertionError(f"sentinel {' '.join(arguments)}: exit {done.returncode}: {done.stderr.decode()}")
        return done

    def until(self, condition, seconds=30, what="the condition"):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                logs = "\n".join(f"node {n}: {self.log_text(n)[-1500:]}" for n in self.nodes)
                raise AssertionError(f"{what} did not come within {seconds} s\n{logs}")
            time.sleep(0.02)

    def create(self, topic, partitions=1, replicas=3):
        """Returns when every partition has a leader."""
        self.until(lambda: self.run("topic", "create", topic, "--partitions", str(partitions), "--replicas",
                                    str(replicas), check=False).returncode == 0, what=f"topic {topic}")
        self.until(lambda: all(leader > 0 for leader in self.leaders(topic)), what=f"leaders of {topic}")

    def leaders(self, topic, node=None):
        done = self.run("topic", "describe", topic, "--json", node=node, check=False)
        found = re.findall(rb'"leader":(-?\d+)', done.stdout)
        return [int(leader) for leader in found] or [-1]
