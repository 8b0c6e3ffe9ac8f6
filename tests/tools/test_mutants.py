# SPDX-License-Identifier: Apache-2.0
"""tools/mutants: every planted bug still fits the tree, and the runner reads headers and outputs as it says."""
import contextlib
import importlib.machinery
import importlib.util
import io
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
loader = importlib.machinery.SourceFileLoader("mutants", str(ROOT / "tools/mutants"))
mutants = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutants", loader))
loader.exec_module(mutants)

SWEEP = "./test_x --seeds 101..200"
DIFF = "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-good\n+bad\n"


class Mutants(unittest.TestCase):
    def read(self, text):
        with tempfile.TemporaryDirectory() as top:
            path = pathlib.Path(top) / "x-m01.patch"
            path.write_text(text)
            mutant = mutants.Mutant(path)
            return mutant, mutant.files()

    def test_every_patch_applies(self):
        with tempfile.TemporaryDirectory() as build:
            done = subprocess.run([ROOT / "tools/mutants", "--apply-only", "--build", build], capture_output=True,
                                  text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_header(self):
        mutant, files = self.read(f"what: a: b\nexpect: R1 R2\ncheck: {SWEEP}\ncheck: ctest -R y\n\n{DIFF}")
        self.assertEqual(mutant.name, "x-m01")
        self.assertEqual(mutant.header["what"], "a: b")
        self.assertEqual(mutant.checks, [SWEEP, "ctest -R y"])
        self.assertEqual(files, ["f"])

    def test_header_that_lacks_something(self):
        for text in ("what: a\ncheck: b\n", "what: a\nexpect: R1\n", "what: a\nexpect: R1\ncheck: b\nwhy: c\n"):
            with self.assertRaises(ValueError):
                self.read(text + DIFF)

    def test_what_an_output_says(self):
        self.assertEqual(mutants.noticed(SWEEP, 1, "seed 107: R8 state machine safety: 100000001 commits\n"), ("R8", 7))
        self.assertEqual(mutants.noticed(SWEEP, -6, "assertion failed: a < b (src/raft/raft.c:9)\nseed 101: x\n"),
                         ("assertion in raft.c", 1))
        self.assertEqual(mutants.noticed(SWEEP, 1, "failed: B2: partition 1 offset 2\nseed 103, after 3 s\n"), ("B2", 3))
        self.assertEqual(mutants.noticed("./test_x", -11, ""), ("SIGSEGV", None))
        self.assertEqual(mutants.noticed("./test_x", None, ""), ("time limit", None))
        self.assertEqual(mutants.noticed("./test_x", 1, "[  FAILED  ] a_test\n"), ("a_test", None))

    def test_summary(self):
        bugs, results = [], {}
        for name, check, by in (("raft-a", SWEEP, "R1"), ("sim-kafka-b", "./sentinel sim --workload kafka", "B6"),
                                ("sim-kafka-c", "./test_x", "B6"), ("sim-kafka-d", "./test_x", None)):
            mutant, _ = self.read(f"what: about {name}\nexpect: R1\ncheck: {check}\n\n{DIFF}")
            mutant.name = name
            bugs.append(mutant)
            results[name] = {"mutant": name, "digest": mutant.digest, "commit": "abc", "caught": by is not None,
                             "by": by, "seeds": 7 if check == SWEEP else None, "seconds": 2.0}
        results["raft-a"]["commit"] = "abd"
        changed, _ = self.read(f"what: changed\nexpect: R1\ncheck: x\n\n{DIFF}")
        results[changed.name] = dict(results["raft-a"], digest="of what it was before")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            mutants.summary([*bugs, changed], results)
        lines = out.getvalue().splitlines()
        for line in ("Run on commit abd: 1", "Run on commit abc: 3",
                     "| `raft-*`: the core of Raft, by itself | 1 | 1 | - | 7, 7 | 2.0, 2 |",
                     "| `sim-kafka*`: whole brokers, Kafka clients | 3 | 2 | 1 | - | 2.0, 2 |",
                     "| `sim-kafka-b` | about sim-kafka-b | B6 | - |", "Not caught: `sim-kafka-d`: about sim-kafka-d",
                     "Not run: `x-m01`: changed"):
            self.assertIn(line, lines)

    def test_a_check_must_pass_without_the_bug(self):
        class FakeTree:
            def __init__(self, build):
                self.build = build

            def make(self, _targets):
                return 0, "", 0.0

        with tempfile.TemporaryDirectory() as directory:
            clean = mutants.Clean(FakeTree(directory))
            sweep = "echo 'asked --seeds 101..300' >> log; echo 'seed 140: R1 two leaders'; test \"$(grep -c 104 log)\" = 0"
            self.assertIsNone(clean.passes(sweep, 3, 10, set()))
            self.assertIsNone(clean.passes(sweep, 2, 10, set()), "fewer seeds than have passed: not asked again")
            self.assertIn("two leaders", clean.passes(sweep, 4, 10, set()))
            log = (pathlib.Path(directory) / "log").read_text().split()
            self.assertEqual(log, ["asked", "--seeds", "101..103", "asked", "--seeds", "101..104"])
            self.assertIsNone(clean.passes("true", None, 10, set()))
            self.assertIn("its check fails without it", clean.passes("false", None, 10, set()))


if __name__ == "__main__":
    unittest.main()
