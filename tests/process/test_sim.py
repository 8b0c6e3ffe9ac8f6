#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`sentinel sim` as a user runs it: exit statuses, what it prints, replay by its own log, and the page it draws."""
import html.parser
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

SENTINEL = os.environ.get("SENTINEL", "build/sentinel")
SCENARIOS = pathlib.Path(__file__).resolve().parent.parent / "scenarios"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# The second leader cannot be node 9 of three: this fails, and says how everybody stood.
FAILING = """# Fails.
nodes 3
expect leader within 2s as L
append 20 to L
crash L power
expect no leader for 5s
"""


def sim(*arguments, timeout=120):
    return subprocess.run([SENTINEL, "sim", *map(str, arguments)], capture_output=True, text=True, timeout=timeout)


class Sim(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sentinel-sim-"))
        self.addCleanup(shutil.rmtree, self.dir, True)

    def write(self, name, text):
        path = self.dir / name
        path.write_text(text)
        return path

    def test_usage(self):
        for arguments in (["--seeds", "5..1"], ["--faults", "gremlins"], ["--workload", "lottery"], ["--jobs", "0"],
                          ["--scenario", self.dir / "absent"], ["extra"]):
            self.assertEqual(sim(*arguments).returncode, 2, arguments)
        bad = sim("--scenario", self.write("bad.scn", "nodes 3\nheal\nexplode 2\n"))
        self.assertEqual(bad.returncode, 2)
        self.assertIn("line 3: what is 'explode'?", bad.stderr)

    def test_same_seed_same_hash(self):
        first, again = sim("--seed", 3, "--duration", 2), sim("--seed", 3, "--duration", 2)
        self.assertEqual(first.returncode, 0, first.stdout)
        self.assertRegex(first.stdout.splitlines()[-1], r"^trace hash: [0-9a-f]{16}$")
        self.assertEqual(first.stdout.splitlines()[-1], again.stdout.splitlines()[-1])
        sweeps = {sim("--seeds", "1..6", "--duration", 1, "--jobs", jobs).stdout.splitlines()[-1] for jobs in (1, 3)}
        self.assertEqual(len(sweeps), 1)

    def test_nothing_depends_on_addresses(self):
        """Runs before it in the same process, and what fresh memory holds, must not change a run."""
        hashes = set()
        for jobs, fill in ((1, "77"), (6, "200")):
            result = subprocess.run([SENTINEL, "sim", "--workload", "kafka", "--seeds", "1..6", "--duration", "1", "--jobs",
                                     str(jobs), "--quiet"], capture_output=True, text=True, timeout=120,
                                    env={**os.environ, "MALLOC_PERTURB_": fill})
            self.assertEqual(result.returncode, 0, result.stdout)
            hashes.add(result.stdout.splitlines()[-1])
        self.assertEqual(len(hashes), 1)

    def test_a_log_is_a_scenario(self):
        log = self.dir / "run.scn"
        self.assertEqual(sim("--seed", 5, "--duration", 2, "--log", log).returncode, 0)
        self.assertIn("converge within", log.read_text())
        self.assertEqual(sim("--scenario", log).returncode, 0)

    def test_a_failure_says_what_and_where(self):
        failed = sim("--scenario", self.write("failing.scn", FAILING))
        self.assertEqual(failed.returncode, 1)
        self.assertIn("failed: E 'expect no leader for 5s' does not hold: 1 ", failed.stdout)
        self.assertRegex(failed.stdout, r"seed 1, after \d\.\d+ s")

    def test_a_failure_is_made_small_and_fails_again(self):
        """Two of three disks are lost: of all that happens, little is needed for that."""
        lines = [f"append {10 + i} to leader\nwait {i % 7}ms" for i in range(60)]
        lines[20:20] = ["crash 3 power", "latency 1ms..3ms", "start 3", "wipe 1"]
        lines[40:40] = ["start 1", "drop next 3 any *->2", "wipe 2", "start 2"]
        text = "\n".join(["nodes 3", "expect leader within 2s", *lines, "converge within 3s"]) + "\n"
        small = self.dir / "small.scn"
        failed = sim("--scenario", self.write("large.scn", text), "--save", small, "--jobs", 2)
        self.assertEqual(failed.returncode, 1)
        made = re.search(r"made small: (\d+) of (\d+) actions", failed.stdout)
        self.assertGreater(int(made.group(2)), 40)
        self.assertLessEqual(int(made.group(1)), 4, failed.stdout)
        again = sim("--scenario", small)
        self.assertEqual(again.returncode, 1)
        invariant = r"^failed: (\S+)"
        self.assertEqual(re.search(invariant, again.stdout, re.M).group(1), re.search(invariant, failed.stdout, re.M).group(1))
        lost = sim("--scenario", small, "--save", "/dev/full")
        self.assertIn("cannot write '/dev/full'", lost.stderr)
        self.assertNotIn("again:", lost.stdout)

    def report(self, *arguments):
        page = self.dir / "run.html"
        result = sim(*arguments, "--report", page)
        return result, page

    def test_report_stands_alone(self):
        result, page = self.report("--scenario", SCENARIOS / "figure-8.scn")
        self.assertEqual(result.returncode, 0)
        text = page.read_text()
        self.assertNotRegex(text, r"(src|href)=")
        self.assertNotIn("http", re.sub(r'"texts":.*', "", text, flags=re.S))
        html.parser.HTMLParser().feed(text)

    @unittest.skipUnless(CHROMIUM, "chromium is not installed (apt-get install chromium)")
    def test_report_in_a_browser(self):
        result, page = self.report("--scenario", self.write("failing.scn", FAILING))
        self.assertEqual(result.returncode, 1)
        dump = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={self.dir}/profile",
             "--virtual-time-budget=3000", "--dump-dom", f"file://{page}#violation"],
            capture_output=True, text=True, timeout=90).stdout
        self.assertIn('data-ready="1"', dump)
        self.assertGreater(int(re.search(r'data-messages="(\d+)"', dump).group(1)), 10)
        self.assertIn("E 'expect no leader for 5s' does not hold", dump)
        # The state of each node at the cursor, and the events around it.
        self.assertEqual(len(re.findall(r"<tr><td><b>\d</b></td>", dump)), 3)
        self.assertIn("is leader, term", dump)


if __name__ == "__main__":
    unittest.main()
