# SPDX-License-Identifier: Apache-2.0
"""The checks are checked: each rule must catch a tree that breaks it, and pass one that does not."""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HEADER = "// SPDX-License-Identifier: Apache-2.0\n"


class Checks(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.dir.name)
        for name in ("layers.txt", "check_layers.py", "tidy.py"):
            self.write("tools/" + name, (ROOT / "tools" / name).read_text())
        self.write("tools/tidy_exceptions.txt", "")
        shutil.copy(ROOT / ".clang-format", self.root)
        subprocess.run(["git", "init", "-q", str(self.root)], check=True)
        self.addCleanup(self.dir.cleanup)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run_check(self, name, *args):
        done = subprocess.run(["/usr/bin/python3", str(self.root / "tools" / name), *args], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def assert_caught(self, check, expected, *args):
        code, out = self.run_check(check, *args)
        self.assertEqual(code, 1, out)
        self.assertIn(expected, out)

    def test_clean_tree_passes(self):
        self.write("src/wire/a.c", HEADER + '#include "base/slice.h"\n\n#include <string.h>\n')
        self.write("docs/a.md", "see `src/wire/a.c` and [a](a.md)\n")
        self.assertEqual(self.run_check("check_layers.py")[0], 0)
        code, out = self.run_check("tidy.py")
        self.assertEqual(code, 0, out)

    def test_upward_include(self):
        self.write("src/base/a.c", HEADER + '#include "io/io.h"\n')
        self.assert_caught("check_layers.py", "base may not include io")

    def test_system_header_outside_io(self):
        self.write("src/broker/a.c", HEADER + "#include <unistd.h>\n")
        self.assert_caught("check_layers.py", "belongs to src/io")

    def test_impure_import(self):
        self.write("src/raft/a.c", HEADER + "#include <stdlib.h>\nvoid *raft_a(void);\nvoid *raft_a(void) { return malloc(1); }\n")
        build = self.root / "build"
        build.mkdir()
        subprocess.run(["cc", "-c", "-o", str(build / "a.o"), str(self.root / "src/raft/a.c")], check=True)
        subprocess.run(["ar", "rcs", str(build / "libraft.a"), str(build / "a.o")], check=True)
        self.assert_caught("check_layers.py", "import 'malloc'", str(build))

    def test_banned_call_marker_and_length(self):
        # Written in pieces so that this file does not trip the rules it tests.
        marker = "TO" + "DO"
        body = "".join(f"    x += {i};\n" for i in range(130))
        self.write("src/base/a.c", HEADER + f"// {marker}: later\nint a(int x);\nint a(int x) {{\n{body}    return x;\n}}\n")
        self.write("src/base/b.c", HEADER + "#include <stdio.h>\nvoid b(char *p);\nvoid b(char *p) {\n    sprintf(p, \"x\");\n}\n")
        code, out = self.run_check("tidy.py")
        self.assertEqual(code, 1)
        for expected in ("left-over marker", "src/base/a.c:a: function of 133 lines", "src/base/b.c:5: banned call"):
            self.assertIn(expected, out)

    def test_exceptions_only_shrink(self):
        body = "".join(f"    x += {i};\n" for i in range(130))
        self.write("src/base/a.c", HEADER + f"int a(int x);\nint a(int x) {{\n{body}    return x;\n}}\n")
        self.write("tools/tidy_exceptions.txt", "src/base/a.c:a 133\n")
        self.assertEqual(self.run_check("tidy.py")[0], 0)
        self.write("tools/tidy_exceptions.txt", "src/base/a.c:a 132\n")
        self.assert_caught("tidy.py", "grew from 132 to 133")
        self.write("tools/tidy_exceptions.txt", "src/base/a.c:a 133\nsrc/base/b.c 1000\n")
        self.assert_caught("tidy.py", "remove its line")

    def test_format_dead_names_and_unregistered_tests(self):
        self.write("src/base/a.c", HEADER + "int   a;\n")
        self.write("docs/a.md", "see `src/base/gone.c` and [gone](gone.md)\n")
        self.write("tests/unit/test_a.c", HEADER + "static void never_run(void **state) {\n    (void)state;\n}\n")
        self.write("tests/fuzz/fuzz_a.c", HEADER)
        code, out = self.run_check("tidy.py")
        self.assertEqual(code, 1)
        for expected in ("not formatted", "names 'src/base/gone.c'", "link to 'gone.md'", "'never_run' is never registered",
                         "no seed corpus"):
            self.assertIn(expected, out)


if __name__ == "__main__":
    unittest.main()
