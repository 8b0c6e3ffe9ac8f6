# SPDX-License-Identifier: Apache-2.0
"""Three nodes in network namespaces of their own: links are slow and lossy, cut one way and both ways, under load.

Needs root and iproute2; elsewhere skipped, with the reason. A cut is a route into a black hole at the sender: what is
under way to one node is retransmitted in vain, and nobody is told. Links are slow and lossy where the kernel has netem.
"""
import os
import shutil
import subprocess
import time
import unittest

from lib.cluster import Cluster
from test_cluster import Load, PARTITIONS, ThreeNodes, read_all

NAME = f"sn{os.getpid() % 100000}"
NET = f"10.213.{os.getpid() % 250}"


def run(*command):
    done = subprocess.run(command, capture_output=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.decode()}")


class Network:
    """A bridge in our own namespace, a namespace for each node."""

    def __init__(self, nodes):
        self.nodes = nodes

    def open(self):
        run("ip", "link", "add", NAME, "type", "bridge")
        run("ip", "addr", "add", f"{NET}.254/24", "dev", NAME)
        run("ip", "link", "set", NAME, "up")
        for node in self.nodes:
            run("ip", "netns", "add", f"{NAME}n{node}")
            run("ip", "link", "add", f"{NAME}v{node}", "type", "veth", "peer", "name", "eth0", "netns", f"{NAME}n{node}")
            run("ip", "link", "set", f"{NAME}v{node}", "master", NAME, "up")
            self.inside(node, "ip", "addr", "add", f"{NET}.{node}/24", "dev", "eth0")
            self.inside(node, "ip", "link", "set", "eth0", "up")
            self.inside(node, "ip", "link", "set", "lo", "up")

    def inside(self, node, *command):
        run("ip", "netns", "exec", f"{NAME}n{node}", *command)

        self.cuts = []

    def slow(self, *netem):
        try:
            for node in self.nodes:
                self.inside(node, "tc", "qdisc", "replace", "dev", "eth0", "root", "netem", *netem)
        except OSError as error:
            print(f"links stay fast: {error}", flush=True)

    def cut(self, sender, receiver):
        self.inside(sender, "ip", "route", "replace", "blackhole", f"{NET}.{receiver}/32")

    def heal(self):
        for node in self.nodes:
            self.inside(node, "ip", "route", "flush", "type", "blackhole")

    def close(self):
        for node in self.nodes:
            subprocess.run(["ip", "netns", "del", f"{NAME}n{node}"], capture_output=True)
        subprocess.run(["ip", "link", "del", NAME], capture_output=True)


class ThreeNamespaces(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.getuid() != 0 or not shutil.which("ip"):
            raise unittest.SkipTest("needs root and ip")
        cls.network = Network([1, 2, 3])
        try:
            cls.network.open()
        except OSError as error:
            cls.network.close()
            raise unittest.SkipTest(f"no network namespaces here: {error}")

    @classmethod
    def tearDownClass(cls):
        cls.network.close()

    check = ThreeNodes.check

    def cluster(self):
        return Cluster(hosts={n: f"{NET}.{n}" for n in (1, 2, 3)},
                       prefix=lambda node: ["ip", "netns", "exec", f"{NAME}n{node}"])

    def test_broken_links_lose_nothing(self):
        network = self.network
        with self.cluster() as cluster:
            cluster.create("t", PARTITIONS)
            load = Load(cluster.servers)
            self.addCleanup(load.finish, 1)
            network.slow("delay", "3ms", "2ms", "loss", "1%")
            time.sleep(0.5)
            leader = cluster.leaders("t")[0]
            first, second = [n for n in cluster.nodes if n != leader]
            for cuts in ([(leader, first), (leader, second), (first, leader), (second, leader)],  # alone
                         [(leader, first)], [(first, leader), (second, leader)],                  # one way
                         [(first, second), (second, first)]):                                     # two see all
                for sender, receiver in cuts:
                    network.cut(sender, receiver)
                time.sleep(1.2)
                network.heal()
                time.sleep(0.3)
            network.slow("delay", "0ms")
            load.finish()
            self.check(load, read_all(cluster.servers, PARTITIONS))
            print(f"{load.sent} records, longest pause of a partition {load.gap_ns / 1e6:.0f} ms", flush=True)


del ThreeNodes  # its own tests run in its own file

if __name__ == "__main__":
    unittest.main()
