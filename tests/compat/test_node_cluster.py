# SPDX-License-Identifier: Apache-2.0
"""kafkajs against a cluster: reassignment through its admin client, and a leader that is killed under it.

`make compat` runs it; skipped, with the reason, where npm's clients cannot be had.
"""
import os
import subprocess
import unittest

from test_node_clients import HERE, install

from lib.cluster import Cluster


class NodeCluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        why = install()
        if why is not None:
            raise unittest.SkipTest(why)

    def test_kafkajs(self):
        with Cluster() as cluster:
            cluster.create("first")
            script = subprocess.Popen(["node", str(HERE / "kafkajs_cluster.js")], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True,
                                      env={**os.environ, "SENTINEL_SERVER": cluster.servers})
            self.addCleanup(script.kill)
            line = script.stdout.readline()
            self.assertEqual(line, "ready\n", msg=line or script.stderr.read())
            cluster.kill(cluster.leaders("moved")[0])
            out, err = script.communicate(timeout=90)
            self.assertEqual(script.returncode, 0, err)
            print(out.strip())


if __name__ == "__main__":
    unittest.main()
