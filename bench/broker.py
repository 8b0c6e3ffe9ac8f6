#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One broker, measured from outside: how fast it starts, what it holds idle, what it takes and gives, at what cost.

usage: bench/broker.py [--sentinel build/sentinel] [--mib 512] [--json]

The load comes from the program's own clients (gRPC) and from librdkafka (Kafka), in processes of their own; what the
broker spent is read from its /metrics before and after each phase. Everything acknowledged is fsynced.
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request


class Broker:
    def __init__(self, program, *arguments):
        self.program, self.arguments = program, arguments
        self.dir = tempfile.mkdtemp(prefix="sentinel-bench-")
        self.process = None

    def start(self):
        began = time.perf_counter()
        self.process = subprocess.Popen([self.program, "serve", "--data-dir", self.dir + "/data", "--listen", "127.0.0.1:0",
                                         "--log-level", "warn", *self.arguments], stdout=subprocess.PIPE)
        self.address = re.search(r"on (\S+)", self.process.stdout.readline().decode()).group(1)
        return (time.perf_counter() - began) * 1e3

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait()

    def metrics(self):
        text = urllib.request.urlopen(f"http://{self.address}/metrics").read().decode()
        return {name: float(value) for name, value in re.findall(r"^sentinel_(\w+) ([\d.e+]+)$", text, re.M)}

    def written_bytes(self):
        with open(f"/proc/{self.process.pid}/io") as file:
            return int(re.search(r"^write_bytes: (\d+)", file.read(), re.M).group(1))

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def run_all(commands, address):
    """Runs commands side by side; seconds until the last is done."""
    began = time.perf_counter()
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                  env={**os.environ, "SENTINEL_SERVER": address}) for command in commands]
    for process in processes:
        error = process.communicate()[1]
        if process.returncode != 0:
            raise SystemExit(f"{process.args[0]} failed: {error.decode()}")
    return time.perf_counter() - began


def phase(broker, name, commands, records, size):
    before, written = broker.metrics(), broker.written_bytes()
    seconds = run_all(commands, broker.address)
    after = broker.metrics()
    gib = records * size / 2**30
    return {"phase": name, "records_per_s": round(records / seconds), "mib_per_s": round(records * size / seconds / 2**20),
            "cpu_s_per_gib": round((after["cpu_seconds_total"] - before["cpu_seconds_total"]) / gib, 2),
            "syncs_per_s": round((after["wal_syncs_total"] - before["wal_syncs_total"]) / seconds),
            "written_per_byte": round((broker.written_bytes() - written) / (records * size), 2)}


def one_at_a_time(broker, count=2000):
    """Acknowledgement latency of one librdkafka producer with one record under way; the client's own time is in it."""
    import confluent_kafka
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.address, "linger.ms": 0, "acks": "all"})
    samples = []
    for i in range(count + 100):
        began = time.perf_counter()
        producer.produce("latency", b"x" * 1024)
        producer.flush()
        if i >= 100:
            samples.append((time.perf_counter() - began) * 1e6)
    samples.sort()
    return {"phase": "one at a time (librdkafka)", "p50_us": round(statistics.median(samples)),
            "p99_us": round(samples[int(len(samples) * 0.99)])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentinel", default="build/sentinel")
    parser.add_argument("--mib", type=int, default=512, help="of records in each phase")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []

    starts, idle = [], 0
    for _ in range(7):
        broker = Broker(options.sentinel)
        starts.append(broker.start())
        time.sleep(0.2)
        idle = broker.metrics()["resident_bytes"]
        broker.stop()
        broker.remove()
    rows.append({"phase": "start to ready, empty directory", "median_ms": round(statistics.median(starts), 1)})
    rows.append({"phase": "idle", "resident_mib": round(idle / 2**20, 1)})

    broker = Broker(options.sentinel)
    broker.start()
    size, clients = 1023, 4
    records = options.mib * 2**20 // 1024 // clients * clients
    path = os.path.join(broker.dir, "input")
    with open(path, "wb") as file:
        block = b"".join(os.urandom(size // 2).hex().encode()[:size].ljust(size, b"-") + b"\n" for _ in range(1024))
        left = records // clients
        while left > 0:
            file.write(block[:min(left, 1024) * (size + 1)])
            left -= 1024
    produce = [[options.sentinel, "produce", f"t{i}", "--file", path, "--quiet", "--timeout", "60"] for i in range(clients)]
    rows.append(phase(broker, f"produce 1 KiB, gRPC, {clients} clients", produce, records, size))
    consume = [[options.sentinel, "consume", f"t{i}", "--from", "beginning", "--until-end", "--quiet"]
               for i in range(clients)]
    rows.append(phase(broker, f"consume, gRPC, {clients} clients", consume, records, size))
    produce = [["kcat", "-b", broker.address, "-P", "-t", f"k{i}", "-l", path] for i in range(clients)]
    rows.append(phase(broker, f"produce 1 KiB, kcat, {clients} clients", produce, records, size))
    consume = [["kcat", "-b", broker.address, "-C", "-t", f"k{i}", "-o", "beginning", "-e", "-q"] for i in range(clients)]
    rows.append(phase(broker, f"consume, kcat, {clients} clients", consume, records, size))
    try:
        rows.append(one_at_a_time(broker))
    except ImportError:
        rows.append({"phase": "one at a time", "skipped": "python3-confluent-kafka is not installed"})
    rows.append({"phase": "after all that", "resident_mib": round(broker.metrics()["resident_bytes"] / 2**20, 1)})
    broker.stop()
    rows.append({"phase": f"start with {options.mib * 2} MiB stored", "ms": round(broker.start(), 1)})
    broker.stop()
    broker.remove()

    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row.pop('phase'):<36}" + "   ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
