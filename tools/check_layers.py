#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the layers of src/ to tools/layers.txt.

Three checks: (1) a file includes only headers of its own folder and of the folders its row names; (2) only
src/io includes system headers that reach the outside; (3) the objects of the pure folders import, by the
linker's own list (nm -u), nothing but memory and text functions, base, and the codecs of `wire`.

usage: tools/check_layers.py [BUILD_DIR]     without a build the third check is left out
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SYSTEM_HEADERS = re.compile(
    r"^(sys/|netinet/|arpa/|linux/|unistd\.h|fcntl\.h|time\.h|pthread\.h|threads\.h|poll\.h|netdb\.h|signal\.h|"
    r"liburing\.h|dirent\.h|malloc\.h|spawn\.h|semaphore\.h|sched\.h)")
# cli: the process itself is its business (allocator tuning, signals of the terminal) but not files or sockets.
SYSTEM_ALLOWED = {"io": SYSTEM_HEADERS, "base": re.compile(r"^(malloc|sys/mman)\.h$"), "cli": re.compile(r"^malloc\.h$")}
PURE_LIBC = re.compile(
    r"^(mem(cpy|cmp|move|set|chr|mem)|str(len|nlen|cmp|ncmp|chr|rchr|str|tol|toll|toul|toull)|snprintf|vsnprintf|"
    r"qsort|bsearch|abort|__stack_chk_fail|__assert_fail|_GLOBAL_OFFSET_TABLE_|__errno_location|__ctype_b_loc|"
    r"__(mem|str|s|vs)[a-z]*_chk|__isoc99_.*|__isoc23_.*)$")
PURE_LIBRARIES = {
    "wire": re.compile(r"^(nghttp2_|protobuf_c_|ZSTD_|LZ4F?_|snappy_|inflate|deflate|crc32$|zError)"),
}
# What sanitizers and coverage add is theirs, not ours.
INSTRUMENTATION = re.compile(r"^(__asan|__ubsan|__tsan|__sanitizer|__gcov|__llvm|__start_|__stop_)")


def read_table():
    layers, pure = {}, set()
    for line in (ROOT / "tools/layers.txt").read_text().splitlines():
        line = line.split("#")[0].rstrip()
        if not line:
            continue
        name, _, rest = line.partition(":")
        if "(pure)" in rest:
            pure.add(name)
            rest = rest.replace("(pure)", "")
        layers[name] = set(rest.split())
    return layers, pure


def check_includes(layers):
    problems = []
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        folder = path.relative_to(ROOT / "src").parts[0]
        if folder not in layers:
            problems.append(f"{path.relative_to(ROOT)}: folder '{folder}' has no row in tools/layers.txt")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not match:
                continue
            where, name = f"{path.relative_to(ROOT)}:{number}", match.group(2)
            if match.group(1) == "<":
                allowed = SYSTEM_ALLOWED.get(folder)
                if SYSTEM_HEADERS.match(name) and not (allowed and allowed.match(name)):
                    problems.append(f"{where}: <{name}> belongs to src/io; go through io/io.h")
                continue
            target = name.split("/")[0]
            if target in layers and target != folder and target not in layers[folder]:
                problems.append(f"{where}: {folder} may not include {target} (tools/layers.txt)")
            elif target not in layers and not re.match(r"(sentinel|google|grpc)/", name):
                problems.append(f"{where}: \"{name}\" is not written from src/ (folder/file.h)")
    return problems


def symbols(archive, *options):
    output = subprocess.run(["nm", *options, str(archive)], capture_output=True, text=True, check=True).stdout
    return [line.split() for line in output.splitlines() if line and not line.endswith(":")]


def defined_in(archive):
    return {parts[-1] for parts in symbols(archive, "--defined-only", "-g") if len(parts) >= 2}


def check_imports(build, layers, pure):
    problems = []
    for folder in sorted(pure):
        archive = build / f"lib{folder}.a"
        if not archive.exists():
            if any((ROOT / "src" / folder).rglob("*.c")):
                problems.append(f"{archive} is missing: build first")
            continue
        own = defined_in(archive)
        for other in layers[folder] | {"proto"}:
            library = build / f"lib{other}.a"
            if library.exists():
                own |= defined_in(library)
        libraries = PURE_LIBRARIES.get(folder)
        for parts in symbols(archive, "-u"):
            name = parts[-1].split("@")[0]
            if name in own or PURE_LIBC.match(name) or INSTRUMENTATION.match(name):
                continue
            if libraries and libraries.match(name):
                continue
            problems.append(f"src/{folder} is pure but its objects import '{name}'")
    return sorted(set(problems))


def main():
    layers, pure = read_table()
    problems = check_includes(layers)
    if len(sys.argv) > 1:
        problems += check_imports(pathlib.Path(sys.argv[1]), layers, pure)
    for problem in problems:
        print(problem)
    print(f"layers: {len(problems)} problems" if problems else "layers: clean")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
