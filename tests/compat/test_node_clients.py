# SPDX-License-Identifier: Apache-2.0
"""Clients of npm against the built broker: kafkajs (old shapes only), @platformatic/kafka (flexible only), @grpc/grpc-js.

`make compat` runs it. The clients are fetched into tests/compat/node_modules at the first run; without npm, or without
its registry, the tests are skipped and say why.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "process"))

from lib.broker import OneBroker


def install():
    """None, or why the clients cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "node and npm are not installed"
    if (HERE / "node_modules" / "kafkajs").is_dir() and (HERE / "node_modules" / "@platformatic").is_dir() and \
            (HERE / "node_modules" / "@grpc").is_dir():
        return None
    try:
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], cwd=HERE,
                              capture_output=True, timeout=180)
    except subprocess.TimeoutExpired:
        return "npm install did not finish within 180 s"
    return None if done.returncode == 0 else f"npm install failed: {done.stderr.decode()[-300:]}"


class NodeClients(OneBroker):
    @classmethod
    def setUpClass(cls):
        why = install()
        if why is not None:
            raise unittest.SkipTest(why)
        super().setUpClass()

    def run_script(self, name):
        done = subprocess.run(["node", str(HERE / name)], capture_output=True, timeout=120,
                              env={**os.environ, "SENTINEL_SERVER": self.broker.address})
        self.assertEqual(done.returncode, 0, done.stderr.decode() + self.broker.log_text())
        print(done.stdout.decode().strip())

    def test_kafkajs(self):
        self.run_script("kafkajs.js")
        values = self.broker.run("consume", "kafkajs", "--from", "beginning", "--until-end").stdout
        self.assertEqual(values, b"".join(b"value %d\n" % i for i in range(100)) * 7)  # the first hundred are deleted

    def test_grpc_js(self):
        self.run_script("grpc.mjs")

    def test_example(self):
        # Where its packages are found: beside this file.
        example = HERE / "hello.mjs"
        example.write_text((HERE.parent.parent / "examples" / "hello.mjs").read_text().replace(
            '"../proto"', '"../../proto"'))
        self.addCleanup(example.unlink)
        done = subprocess.run(["node", str(example), self.broker.address], capture_output=True, timeout=60, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines(), ["3 records are at offset 0 of partition 0", "read 'one' at offset 0",
                                                    "read 'two' at offset 1", "read 'three' at offset 2"])

    def test_platformatic(self):
        self.run_script("platformatic.mjs")


if __name__ == "__main__":
    unittest.main()
