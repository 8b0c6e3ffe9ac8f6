# SPDX-License-Identifier: Apache-2.0
"""The C client as somebody else would use it: installed somewhere, found by pkg-config, linked with the example."""
import os
import pathlib
import subprocess
import tempfile
import unittest

from lib.broker import Broker

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Install(unittest.TestCase):
    def test_the_example_builds_against_the_installed_client(self):
        with tempfile.TemporaryDirectory() as directory, Broker() as broker:
            build = os.environ.get("SENTINEL_BUILD", str(ROOT / "build"))
            subprocess.run(["cmake", "--install", build, "--prefix", directory], check=True, capture_output=True)
            path = next(pathlib.Path(directory).rglob("sentinel.pc")).parent
            flags = subprocess.run(["pkg-config", "--cflags", "--libs", "sentinel"], check=True, capture_output=True,
                                   text=True, env={**os.environ, "PKG_CONFIG_PATH": str(path)}).stdout.split()
            program = os.path.join(directory, "hello")
            sanitize = ["-fsanitize=address,undefined"] if "asan" in build else []
            subprocess.run(["cc", "-Wall", "-Werror", *sanitize, str(ROOT / "examples/hello.c"), *flags, "-o", program],
                           check=True)
            done = subprocess.run([program, broker.address], capture_output=True, text=True, timeout=30)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(sorted(done.stdout.splitlines()[-3:]), ["read 'one'", "read 'three'", "read 'two'"])


if __name__ == "__main__":
    unittest.main()
