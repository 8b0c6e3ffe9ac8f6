# SPDX-License-Identifier: Apache-2.0
"""Partitions move and nodes are exchanged while librdkafka produces; one broker grows to three."""
import json
import os
import subprocess
import time
import unittest

from lib.cluster import SENTINEL, Cluster, free_ports
from test_cluster import PARTITIONS, Load, read_all


class Nodes(unittest.TestCase):
    def check(self, load, servers):
        load.finish()
        self.assertEqual(load.failures, [])
        self.assertEqual(len(load.acknowledged), load.sent)
        seen = read_all(servers, PARTITIONS)
        for where, value in load.acknowledged.items():
            self.assertEqual(seen.get(where), value, f"acknowledged at {where}, read something else")
        # A record is stored once, whoever leads.
        more = {where: value[:20] for where, value in seen.items() if where not in load.acknowledged}
        self.assertEqual(more, {}, "never acknowledged, and all were")

    def status(self, cluster, node):
        return json.loads(cluster.run("cluster", "status", "--json", node=node).stdout)

    def test_a_node_is_exchanged_under_load(self):
        with Cluster(4, arguments=["--rack", "here"]) as cluster:
            pass_by = cluster  # the fourth founds with the others; the fifth comes later
            pass_by.create("t", PARTITIONS)
            load = Load(cluster.servers)
            time.sleep(0.3)
            cluster.run("topic", "alter", "t", "--replicas", "1")

            def altered():  # two of the other three may still be deleting their old copies
                done = cluster.run("topic", "alter", "t", "--replicas", "3", check=False)
                if done.returncode != 0:
                    self.assertRegex(done.stderr, b"old cop(y|ies)")
                return done.returncode == 0

            cluster.until(altered, what="three replicas")
            address = f"127.0.0.1:{free_ports(1)[0]}"
            cluster.run("cluster", "add-node", f"5={address}", node=2)
            cluster.nodes.append(5)
            cluster.addresses[5] = address
            cluster.start(5)
            refused = cluster.run("cluster", "remove-node", "1", node=3, check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(b"cluster drain 1", refused.stderr)
            cluster.run("cluster", "drain", "1", node=3)
            held = {n["node"]: n for n in self.status(cluster, 3)["nodes"]}[1]
            self.assertEqual((held["leaders"], held["replicas"], held["leaving"]), (0, 0, 0))
            self.assertTrue(held["draining"])
            cluster.run("cluster", "remove-node", "1", node=3)
            time.sleep(0.7)
            cluster.kill(1)
            status = self.status(cluster, 5)
            self.assertEqual([n["node"] for n in status["nodes"]], [2, 3, 4, 5])
            for node in status["nodes"]:  # each was asked
                self.assertGreater(node["stored_bytes"], 0)
                self.assertTrue(0 < node["disk_free_bytes"] <= node["disk_bytes"], node)
            time.sleep(0.3)
            self.check(load, ",".join(cluster.addresses[n] for n in (2, 3, 4, 5)))
            gone = max(status["nodes"], key=lambda n: (n["node"] != 2) * n["replicas"])["node"]
            cluster.kill(gone)
            subprocess.run([SENTINEL, "produce", "t", "--server", cluster.addresses[2], "--quiet"], check=True,
                           input=b"".join(b"%d\n" % n for n in range(1000)))
            def behind():  # how far it is known to be, when another leads what it had
                status = self.status(cluster, 2)
                return status["leaderless"] == 0 and {n["node"]: n for n in status["nodes"]}[gone]["late"] > 0

            cluster.until(behind, what="other leaders, who miss it")
            node = {n["node"]: n for n in self.status(cluster, 2)["nodes"]}[gone]
            self.assertEqual((node["state"], node["stored_bytes"], node["disk_bytes"]), ("down", -1, -1))
            shown = cluster.run("cluster", "status", node=2).stdout.decode()
            self.assertRegex(shown, r"lacks? a replica, on (a node that is|nodes that are) down")
            self.assertRegex(shown, rf"(?m)^ +{gone} .* down .* \d+ +- +-")
            cluster.start(gone)
            cluster.until(lambda: "everything is led and replicated" in
                          cluster.run("cluster", "status", node=2).stdout.decode(), what="the copies to have everything")
            cluster.until(lambda: {n["lacking"] for n in self.status(cluster, 3)["nodes"]} == {0}, what="nothing lacking")
            with self.assertRaises(AssertionError):  # its disk never comes back
                cluster.start(1)
                deadline = time.monotonic() + 3
                while time.monotonic() < deadline and "add-node" not in cluster.log_text(1):
                    time.sleep(0.05)
                self.assertNotIn("add-node", cluster.log_text(1))

    def test_a_new_node_gets_its_share(self):
        with Cluster(3) as cluster:
            cluster.create("t", PARTITIONS)
            cluster.create("u", 3, replicas=2)
            load = Load(cluster.servers)
            address = f"127.0.0.1:{free_ports(1)[0]}"
            cluster.run("cluster", "add-node", f"4={address}")
            cluster.nodes.append(4)
            cluster.addresses[4] = address
            cluster.start(4)
            plan = []

            def planned():
                plan[:] = json.loads(cluster.run("cluster", "rebalance", "--dry-run", "--json", node=2).stdout)["moves"]
                return any(4 in move["to"] for move in plan)

            cluster.until(planned, what="a plan that knows the new node")
            copies = sum(node not in move["from"] for move in plan for node in move["to"])
            self.assertEqual(copies, 3)  # of 15, and the others keep 4
            text = cluster.run("cluster", "rebalance", "--dry-run", node=2).stdout.decode()
            self.assertRegex(text, rf"\n{len(plan)} partitions to move, 3 copies, \d+ bytes\n$")
            begun = subprocess.Popen([SENTINEL, "cluster", "rebalance", "--moves", "1", "--server", cluster.addresses[1]],
                                     stderr=subprocess.DEVNULL)
            time.sleep(0.4)
            begun.kill()  # whatever it had begun goes on by itself, and the next one does the rest
            begun.wait()
            done = cluster.run("cluster", "rebalance", "--moves", "20", node=3)
            self.assertIn(b"0 left", done.stderr)
            nodes = self.status(cluster, 3)["nodes"]
            self.assertEqual(sorted(n["replicas"] for n in nodes), [3, 4, 4, 4])
            self.assertIn(b"\n0 partitions to move", b"\n" + cluster.run("cluster", "rebalance", "--dry-run").stdout)
            self.assertIn(b"0 left", cluster.run("cluster", "rebalance").stderr)
            self.check(load, cluster.servers)

    def test_one_broker_grows_to_three(self):
        with Cluster(3) as cluster:
            for node in cluster.nodes:
                cluster.kill(node)
                subprocess.run(["rm", "-rf", cluster.data_dir(node)], check=True)
            with open(os.path.join(cluster.dir, "alone"), "wb") as log:
                alone = subprocess.Popen([SENTINEL, "serve", "--listen", cluster.addresses[1], "--data-dir",
                                          cluster.data_dir(1)], stdout=subprocess.PIPE, stderr=log)
            self.assertIn(b"ready", alone.stdout.readline())
            cluster.run("topic", "create", "t", "--partitions", str(PARTITIONS), node=1)
            load = Load(cluster.addresses[1])
            time.sleep(0.3)
            load.finish()
            alone.terminate()
            self.assertEqual(alone.wait(12), 0)
            alone.stdout.close()
            for node in cluster.nodes:
                cluster.start(node)
            deadline = time.monotonic() + 20
            while cluster.run("topic", "alter", "t", "--replicas", "3", node=2, check=False).returncode != 0:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)
            cluster.kill(1)
            self.assertEqual(read_all(",".join(cluster.addresses[n] for n in (2, 3)), PARTITIONS),
                             load.acknowledged)


if __name__ == "__main__":
    unittest.main()
