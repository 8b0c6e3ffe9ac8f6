#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""House rules that a machine can hold, as a ratchet: what is listed in tools/tidy_exceptions.txt is tolerated at
the size listed there and no larger; an entry that is no longer needed must go.

Checks: format; lengths of files and functions; banned calls, each with its replacement; left-over markers; SPDX
lines; headers that say nothing; links and names in documents that no longer exist; tests nobody runs.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE_LINES_MAX = 900
FUNCTION_LINES_MAX = 120
BANNED = [
    (r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok)\(", "has no bound: snprintf, writer_printf or memcpy"),
    (r"\b(malloc|calloc|realloc|free|strdup)\(", "mem_alloc and its family (base/mem.h)", r"src/base/mem\.c"),
    (r"(?<![\w>.])(rand|srand|random|drand48)\(", "prng (base/prng.h) or io_random"),
    (r"\b(time|gettimeofday|clock_gettime)\(", "io_now_ns or io_wall_ms", r"src/io/"),
    (r"\bassert\(", "ASSERT (base/assert.h)"),
    (r"\batoi\(|\batol\(", "strtol with its end checked"),
    (r"#include <assert\.h>", "base/assert.h"),
]
MARKERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def tracked(*patterns):
    command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(ROOT / name for name in names if (ROOT / name).exists())


def read_exceptions():
    exceptions = {}
    for line in (ROOT / "tools/tidy_exceptions.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            name, size = line.split()
            exceptions[name] = int(size)
    return exceptions


def without_comments(text):
    """Same number of lines, comments and string contents blanked."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def functions(code):
    """(name, first line, lines) of each function: the formatter puts its closing brace in column 0."""
    lines, start, name = code.split("\n"), None, None
    for index, line in enumerate(lines):
        if start is None:
            match = re.match(r"^[A-Za-z_][^=;]*?\b(\w+)\([^;]*$", line)
            if match and not line.startswith(("#", "struct ", "enum ", "union ", "typedef ")) or (
                    match and re.match(r"^(struct|enum) \w+ \**\w+\(", line)):
                start, name = index, match.group(1)
        elif line.startswith("}"):
            yield name, start + 1, index - start + 1
            start = None
        elif line.endswith(";") and not line.startswith(" ") or (line.rstrip().endswith(");") and index - start < 4
                                                                and "{" not in "".join(lines[start:index + 1])):
            start = None


class Report:
    def __init__(self):
        self.problems, self.used, self.exceptions = [], set(), read_exceptions()

    def add(self, text):
        self.problems.append(text)

    def length(self, name, size, limit, what):
        if size <= limit:
            return
        allowed = self.exceptions.get(name)
        if allowed is None:
            self.add(f"{name}: {what} of {size} lines, {limit} at the most: a second subject wants its own room")
            return
        self.used.add(name)
        if size > allowed:
            self.add(f"{name}: grew from {allowed} to {size} lines; exceptions may only shrink")


def check_sources(report):
    for path in tracked("src/**/*.[ch]", "src/*.[ch]", "include/*.h", "include/**/*.h", "tests/**/*.[ch]"):
        name = str(path.relative_to(ROOT))
        text = path.read_text()
        code = without_comments(text)
        if "SPDX-License-Identifier" not in text.split("\n", 1)[0]:
            report.add(f"{name}:1: begins with no SPDX line")
        report.length(name, text.count("\n"), FILE_LINES_MAX, "file")
        for function, line, size in functions(code):
            report.length(f"{name}:{function}", size, FUNCTION_LINES_MAX, "function")
        for number, line in enumerate(text.split("\n"), 1):
            if MARKERS.search(line):
                report.add(f"{name}:{number}: left-over marker; file an issue instead")
        if name.startswith("src/"):
            check_banned(report, name, code)
        if name.startswith("src/") and name.endswith(".h") and not re.match(r"// SPDX.*\n/\* \w+\.h: ", text):
            report.add(f"{name}: a header opens with '/* {path.name}: what it is for' (CONTRIBUTING.md)")


def check_banned(report, name, code):
    for number, line in enumerate(code.split("\n"), 1):
        for pattern, instead, *allowed in BANNED:
            if re.search(pattern, line) and not (allowed and re.match(allowed[0], name)):
                report.add(f"{name}:{number}: banned call; use {instead}")


def check_format(report):
    files = [str(path) for path in tracked("src/**/*.[ch]", "src/*.[ch]", "include/**/*.h", "tests/**/*.[ch]",
                                           "examples/*.c", "bench/**/*.c")]
    if not files:
        return
    result = subprocess.run(["clang-format", "--dry-run", "--Werror", *files], capture_output=True, text=True)
    for line in sorted({l.split(":")[0] for l in result.stderr.splitlines() if "error:" in l}):
        report.add(f"{pathlib.Path(line).relative_to(ROOT)}: not formatted; run 'make format'")


def check_documents(report):
    for path in tracked("*.md", "docs/*.md", "docs/**/*.md"):
        name = str(path.relative_to(ROOT))
        text = re.sub(r"```.*?```", lambda m: re.sub(r"[^\n]", " ", m.group(0)), path.read_text(), flags=re.S)
        for number, line in enumerate(text.split("\n"), 1):
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", line):
                if not (path.parent / target).exists():
                    report.add(f"{name}:{number}: link to '{target}', which does not exist")
            for target in re.findall(r"`((?:src|tests|tools|docs|proto|bench|include|examples|cmake)/[\w./-]+)`", line):
                if not (ROOT / target.rstrip("/.")).exists():
                    report.add(f"{name}:{number}: names '{target}', which does not exist")


def check_tests(report):
    for path in tracked("tests/unit/*.c", "tests/conformance/*.c", "tests/fault/*.c", "tests/fuzz/*.c"):
        name = path.name
        if not re.match(r"(test_|fuzz_|replay_main)", name):
            report.add(f"{path.relative_to(ROOT)}: no test runner looks for this name (test_*.c, fuzz_*.c)")
            continue
        text = path.read_text()
        if name.startswith("test_"):
            for function in re.findall(r"^static void (\w+)\(void \*\*", text, re.M):
                if len(re.findall(rf"\b{function}\b", text)) < 2:
                    report.add(f"{path.relative_to(ROOT)}: test '{function}' is never registered")
        if name.startswith("fuzz_"):
            corpus = ROOT / "tests/fuzz/corpus" / path.stem.removeprefix("fuzz_")
            if not corpus.is_dir() or not any(corpus.iterdir()):
                report.add(f"{path.relative_to(ROOT)}: no seed corpus in {corpus.relative_to(ROOT)}")


def main():
    report = Report()
    check_sources(report)
    check_format(report)
    check_documents(report)
    check_tests(report)
    for name in sorted(set(report.exceptions) - report.used):
        report.add(f"tools/tidy_exceptions.txt: '{name}' is within the limits now; remove its line")
    for problem in report.problems:
        print(problem)
    print(f"tidy: {len(report.problems)} problems" if report.problems else "tidy: clean")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
