#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which features of which clients work against the built broker, as a table: `make compat`.

    matrix.py [--write] [--only CLIENT]     --write: docs/compatibility.md

Each cell is one run of a script in clients/ that exits 0 when the feature works. Clients are fetched through their own
registries into build/compat (npm's into node_modules); what cannot be had, or does not build here, is shown as not run
with the reason, never as passed.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("COMPAT_CACHE", ROOT / "build" / "compat"))
sys.path.insert(0, str(HERE.parent / "process"))

from lib.broker import Broker  # noqa: E402

FEATURES = ["data", "admin", "group", "resume", "consumer-group", "transactions", "exactly-once"]
WHAT = {
    "data": "produce and fetch, every codec the client has",
    "admin": "topics, configurations, offsets",
    "group": "members of a classic group share partitions; one leaves",
    "resume": "a second consumer goes on at what the first committed",
    "consumer-group": "the same two with the new group protocol (KIP-848)",
    "transactions": "commit, abort, read_committed, fencing where the client shows it",
    "exactly-once": "consume, transform, produce, with an abort in between",
}


def run(*command, timeout=300, **more):
    return subprocess.run([str(word) for word in command], capture_output=True, timeout=timeout, **more)


def last_line(done):
    lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return lines[-1][:120] if lines else f"exit {done.returncode}"


def python_venv():
    python = CACHE / "venv" / "bin" / "python"
    if python.exists():
        return None
    done = run(sys.executable, "-m", "venv", CACHE / "venv")
    if done.returncode == 0:
        done = run(CACHE / "venv" / "bin" / "pip", "install", "-q", "confluent-kafka", "kafka-python", "aiokafka")
    if done.returncode == 0:
        return None
    shutil.rmtree(CACHE / "venv", ignore_errors=True)
    return f"PyPI: {last_line(done)}"


def npm():
    if shutil.which("npm") is None:
        return "npm is not installed"
    if (HERE / "node_modules" / "kafkajs").is_dir():
        return None
    done = run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", cwd=HERE)
    return None if done.returncode == 0 else f"npm: {last_line(done)}"


def maven(project, folder):
    if shutil.which("mvn") is None or shutil.which("java") is None:
        return "java and maven are not installed"
    if list(folder.glob("*.jar")):
        return None
    done = run("mvn", "-q", "-B", "-f", HERE / "clients/java" / project, "dependency:copy-dependencies",
               f"-DoutputDirectory={folder}")
    return None if done.returncode == 0 else f"maven: {last_line(done)}"


def confluent_js():
    """Its ready-made part lies where it cannot be had from here: built from its source, with the libraries of this system."""
    if shutil.which("npm") is None:
        return "npm is not installed"
    package = CONFLUENT_JS / "node_modules/@confluentinc/kafka-javascript"
    if (package / "build/Release/confluent-kafka-javascript.node").exists():
        return None
    node = pathlib.Path(shutil.which("node")).resolve().parent.parent
    if not (node / "include/node/node.h").exists():
        return f"there are no headers of node in {node}/include"
    CONFLUENT_JS.mkdir(parents=True, exist_ok=True)
    done = run("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", CONFLUENT_JS,
               "@confluentinc/kafka-javascript@1.10.1")
    if done.returncode != 0:
        return f"npm: {last_line(done)}"
    steps = package / "deps/librdkafka.gyp"
    steps.write_text(steps.read_text().replace('"-j"', f'"-j{os.cpu_count()}"'))  # else as many at once as there are files
    gyp = pathlib.Path(run("npm", "root", "-g").stdout.decode().strip()) / "npm/node_modules/node-gyp/bin/node-gyp.js"
    done = run("node", gyp, "rebuild", f"--nodedir={node}", cwd=package, timeout=1800,
               env={**os.environ, "CKJS_LINKING": "dynamic"})
    return None if done.returncode == 0 else f"needs libsasl2-dev, libcurl4-openssl-dev, libssl-dev: {last_line(done)}"


def golang():
    if shutil.which("go") is None:
        return "go is not installed"
    CACHE.mkdir(parents=True, exist_ok=True)
    done = run("go", "build", "-o", CACHE / "goclients", ".", cwd=HERE / "clients/go")
    return None if done.returncode == 0 else f"go: {last_line(done)}"


def debian_python():
    done = run("/usr/bin/python3", "-c", "import confluent_kafka")
    return None if done.returncode == 0 else "python3-confluent-kafka is not installed"


def kcat_there():
    return None if shutil.which("kcat") else "kcat is not installed"


JAVA, JAVA_TOOLS, CONFLUENT_JS = CACHE / "java", CACHE / "java-tools", CACHE / "confluent-js"
SECONDS_MAX = 420  # for one feature: of the Java console tools each call starts a machine of its own
VENV = CACHE / "venv" / "bin" / "python"
CLIENTS = [
    # name, why it cannot be had (or None), command in front of the feature, features that it has
    ("kcat (librdkafka 2.0)", kcat_there, ["/usr/bin/python3", HERE / "clients/kcat.py"],
     ["data", "admin", "group", "resume"]),
    ("librdkafka 2.0 (Debian)", debian_python, ["/usr/bin/python3", HERE / "clients/librdkafka.py"],
     ["data", "admin", "group", "resume", "transactions", "exactly-once"]),
    ("librdkafka, newest (confluent-kafka of PyPI)", python_venv, [VENV, HERE / "clients/librdkafka.py"], FEATURES),
    ("Java client 4.0", lambda: maven("pom.xml", JAVA), ["java", "-cp", f"{JAVA}/*", HERE / "clients/java/Compat.java"],
     FEATURES),
    ("Java console tools 4.0", lambda: maven("tools.xml", JAVA_TOOLS) or debian_python(),
     ["/usr/bin/python3", HERE / "clients/java_tools.py"],
     ["data", "admin", "group", "consumer-group", "transactions"]),
    ("kafkajs 2.2", npm, ["node", HERE / "clients/kafkajs_groups.js"],
     ["data", "admin", "group", "resume", "transactions"]),
    ("@platformatic/kafka 1.35", npm, ["node", HERE / "clients/platformatic_groups.mjs"],
     ["data", "admin", "group", "resume", "consumer-group"]),
    ("kafka-python", python_venv, [VENV, HERE / "clients/kafka_python.py"],
     ["data", "admin", "group", "resume", "transactions"]),
    ("aiokafka", python_venv, [VENV, HERE / "clients/aiokafka_client.py"],
     ["data", "admin", "group", "resume", "transactions"]),
    ("franz-go", golang, [CACHE / "goclients", "franz"],
     ["data", "group", "resume", "consumer-group", "transactions", "exactly-once"]),
    ("sarama", golang, [CACHE / "goclients", "sarama"], ["data", "admin", "group", "resume"]),
    ("@confluentinc/kafka-javascript 1.10 (librdkafka 2.15)", confluent_js, ["node", HERE / "clients/confluent.js"],
     FEATURES),
]


def try_client(broker, why_not, command, features):
    reason = why_not()
    if reason is not None:
        return {feature: "not run" for feature in FEATURES}, reason
    cells, problems = {}, []
    environment = {**os.environ, "SENTINEL_SERVER": broker.address, "JAVA_TOOLS": str(JAVA_TOOLS),
                   "CONFLUENT_JS": str(CONFLUENT_JS / "node_modules/@confluentinc/kafka-javascript")}
    for feature in FEATURES:
        if feature not in features:
            cells[feature] = "-"
            continue
        try:
            done = run(*command, feature, timeout=SECONDS_MAX, env=environment)
        except subprocess.TimeoutExpired:
            done = subprocess.CompletedProcess(command, 1, b"", f"no end within {SECONDS_MAX} s".encode())
        cells[feature] = "yes" if done.returncode == 0 else "NO"
        if done.returncode != 0:
            problems.append(f"{feature}: {last_line(done)}")
        print(f"  {feature:15} {cells[feature]}", file=sys.stderr)
    return cells, "; ".join(problems)


def table(rows):
    lines = ["| client | " + " | ".join(FEATURES) + " |", "| --- |" + " --- |" * len(FEATURES)]
    for name, cells, note in rows:
        lines.append(f"| {name}{': ' + note if note else ''} | " + " | ".join(cells[f] for f in FEATURES) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only")
    options = parser.parse_args()
    rows = []
    with Broker("--set", "group.initial-delay-ms=100") as broker:
        for name, why_not, command, features in CLIENTS:
            if options.only and options.only not in name:
                continue
            print(name, file=sys.stderr)
            cells, note = try_client(broker, why_not, command, features)
            rows.append((name, cells, note))
    print(table(rows))
    if options.write:
        text = "# Compatibility\n\nWhat `make compat` saw last. `yes`: the feature worked against the built broker; `-`: " \
               "the client has no such\nfeature, or its script does not try it; `not run`: the client could not be had, " \
               "with the reason. Scripts:\n`tests/compat/clients`.\n\n"
        text += table(rows) + "\n\n" + "\n".join(f"- **{f}**: {WHAT[f]}" for f in FEATURES) + "\n"
        (ROOT / "docs/compatibility.md").write_text(text)
    return any("NO" in cells.values() for _, cells, _ in rows)


if __name__ == "__main__":
    sys.exit(main())
