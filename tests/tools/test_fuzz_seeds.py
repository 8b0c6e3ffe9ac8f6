#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every gRPC method of proto/ has a seed for the fuzzer of the shared port, which is the one that grpc_seeds.py writes."""
import importlib.machinery
import importlib.util
import pathlib
import shutil
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
loader = importlib.machinery.SourceFileLoader("grpc_seeds", str(ROOT / "tests/fuzz/grpc_seeds.py"))
seeds = importlib.util.module_from_spec(importlib.util.spec_from_loader("grpc_seeds", loader))
loader.exec_module(seeds)


class FuzzSeeds(unittest.TestCase):
    def test_every_method(self):
        self.assertEqual(set(seeds.REQUESTS), set(seeds.methods()), "a line in REQUESTS of tests/fuzz/grpc_seeds.py")
        corpus = [path.read_bytes() for path in (ROOT / "tests/fuzz/corpus/front").iterdir()]
        for method in seeds.methods():
            path = f"/sentinel.v1.{method}".encode()
            self.assertTrue(any(path in seed for seed in corpus), f"run tests/fuzz/grpc_seeds.py: {method}")

    @unittest.skipUnless(shutil.which("protoc"), "protoc encodes the requests")
    def test_as_the_generator_writes_them(self):
        with tempfile.TemporaryDirectory() as directory:
            seeds.write(pathlib.Path(directory))
            for path in pathlib.Path(directory).iterdir():
                kept = ROOT / "tests/fuzz/corpus/front" / path.name
                self.assertEqual(kept.read_bytes(), path.read_bytes(), "run tests/fuzz/grpc_seeds.py")


if __name__ == "__main__":
    unittest.main()
