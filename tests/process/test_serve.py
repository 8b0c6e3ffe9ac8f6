# SPDX-License-Identifier: Apache-2.0
"""Starting, stopping and bad input, as an operator and a hostile client would do it."""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from lib.broker import SENTINEL, Broker, OneBroker, sentinel


def connect(broker):
    client = socket.create_connection(("127.0.0.1", broker.port), timeout=20)
    return client


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def closed_without_answer(client):
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


class Start(unittest.TestCase):
    def refused(self, *arguments, expect):
        done = sentinel("serve", "--listen", "127.0.0.1:0", *arguments)
        text = done.stderr.decode()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(expect, text)
        self.assertLessEqual(text.count("sentinel serve:"), 1, "one clear line")
        return done

    def test_sigterm_drains_and_exits_0(self):
        with Broker() as broker:
            broker.run("produce", "kept", input=b"one\ntwo\n")
            self.assertEqual(broker.stop(), 0)
            self.assertLess(broker.stop_seconds, 5)
            broker.start()
            self.assertEqual(broker.run("consume", "kept", "--from", "beginning", "--until-end").stdout, b"one\ntwo\n")

    def test_sigterm_with_idle_and_waiting_clients(self):
        with Broker() as broker:
            broker.run("produce", "waited", input=b"one\n")
            idle = [connect(broker) for _ in range(20)]
            waiting = subprocess.Popen(["kcat", "-b", broker.address, "-C", "-u", "-t", "waited", "-q"],
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            following = subprocess.Popen([SENTINEL, "consume", "waited", "--server", broker.address, "--from", "beginning"],
                                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.assertEqual(waiting.stdout.readline(), b"one\n")
            self.assertEqual(broker.stop(), 0)
            self.assertLess(broker.stop_seconds, 9)
            for process in (waiting, following):
                process.kill()
                process.wait()
                process.stdout.close()
            for client in idle:
                client.close()

    def test_second_broker_on_the_same_directory(self):
        with Broker() as broker:
            self.refused("--data-dir", broker.data_dir, expect="another")

    def test_port_in_use(self):
        with Broker() as broker:
            done = sentinel("serve", "--data-dir", broker.data_dir + "2", "--listen", broker.address)
            self.assertEqual(done.returncode, 1)
            self.assertIn(str(broker.port), done.stderr.decode())
            self.assertIn("in use", done.stderr.decode())

    def test_directory_that_cannot_be_written(self):
        with Broker() as broker:
            blocker = os.path.join(broker.dir, "file")
            open(blocker, "w").close()
            self.refused("--data-dir", os.path.join(blocker, "data"), expect=blocker)

    def test_directory_of_another_node(self):
        with Broker() as broker:
            broker.run("topic", "create", "mine")
            broker.stop()
            self.refused("--data-dir", broker.data_dir, "--node-id", "2", expect="--node-id 1")

    def test_directory_of_a_newer_version(self):
        with Broker() as broker:
            broker.stop()
            path = os.path.join(broker.data_dir, "MANIFEST")
            with open(path, "r+b") as file:
                header = bytearray(file.read(40))
                struct.pack_into("<I", header, 8, struct.unpack_from("<I", header, 8)[0] + 90)
                # docs/formats.md: the checksum covers everything but itself.
                struct.pack_into("<I", header, 12, crc32c(header[:12] + header[16:]))
                file.seek(0)
                file.write(header)
            done = self.refused("--data-dir", broker.data_dir, expect="newer Sentinel")
            self.assertEqual(done.returncode, 1)

    def test_few_open_files_are_shared_and_named(self):
        with tempfile.TemporaryDirectory() as directory:
            command = f"ulimit -n 200; exec {SENTINEL} serve --data-dir {directory}/data --listen 127.0.0.1:0"
            broker = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertIn(b"ready: ", broker.stdout.readline())
            broker.terminate()
            _, errors = broker.communicate(timeout=20)
            self.assertEqual(broker.returncode, 0)
            self.assertIn(b"may open 200 files", errors)
            self.assertIn(b"ulimit -n", errors)

    def test_bad_options_say_what_to_do(self):
        for arguments, expected in (
                (["--io", "magic"], "uring, posix or auto"), (["--set", "nonsense=1"], "--help-settings"),
                (["--set", "connections.max=many"], "whole number"),
                (["--set", "storage.block-compression=gzip"], "none, lz4 or zstd"), (["--set", "retention.ms=x"], "not a number"),
                (["--node-id", "0"], "--node-id"), (["stray"], "stray"), (["--config", "/nonexistent"], "/nonexistent")):
            done = sentinel("serve", *arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(expected, done.stderr.decode())

    def test_client_commands_take_the_same_options(self):
        for command in ("topic", "produce", "consume", "group", "txn", "cluster"):
            for arguments, expected in ((["--nonsense"], f"'sentinel help {command}' explains the options"),
                                        (["--timeout", "soon"], "--timeout wants a number"), (["--server"], "--server")):
                done = sentinel(command, *arguments)
                self.assertEqual(done.returncode, 2, (command, arguments))
                self.assertIn(expected, done.stderr.decode())

    def test_config_file_with_its_line_named(self):
        with Broker() as broker:
            path = os.path.join(broker.dir, "sentinel.conf")
            with open(path, "w") as file:
                file.write("topic.partitions = 4\nconnections.max = lots\n")
            done = sentinel("serve", "--config", path)
            self.assertEqual(done.returncode, 2)
            self.assertIn("sentinel.conf:2:", done.stderr.decode())
        with open("/dev/null"):
            with Broker("--set", "topic.partitions=4") as broker:
                broker.run("produce", "four", input=b"x\n")
                described = json.loads(broker.run("topic", "describe", "four", "--json").stdout)
                self.assertEqual(len(described["partitions"]), 4)


class BadInput(OneBroker):
    arguments = ("--set", "connections.handshake-ms=500", "--set", "connections.max=1500")

    def tearDown(self):
        """Whatever was done to one connection, others are served."""
        self.broker.run("produce", "alive", input=b"still here\n")

    def send(self, data):
        client = connect(self.broker)
        client.sendall(data)
        return client

    def test_lengths_that_are_negative_huge_or_zero(self):
        for size in (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x06\x40\x00\x01", b"\x00\x00\x00\x00"):
            with self.send(size + b"\x00" * 8) as client:
                self.assertTrue(closed_without_answer(client), size)

    def test_unknown_key_and_version(self):
        for key, version in ((999, 0), (-1, 0), (0, 99), (1, -1), (3, 127)):
            body = struct.pack(">hhih", key, version, 7, -1) + b"\x00" * 20
            with self.send(struct.pack(">i", len(body)) + body) as client:
                self.assertTrue(closed_without_answer(client), (key, version))

    def test_api_versions_of_the_future_is_answered(self):
        body = struct.pack(">hhih", 18, 99, 7, -1)
        with self.send(struct.pack(">i", len(body)) + body) as client:
            size, correlation, error = struct.unpack(">iih", client.recv(10))
            self.assertEqual((correlation, error), (7, 35))

    def test_the_manual_lists_the_versions_that_are_advertised(self):
        body = struct.pack(">hhih", 18, 0, 7, -1)
        with self.send(struct.pack(">i", len(body)) + body) as client, client.makefile("rb") as answer:
            size, correlation, error, count = struct.unpack(">iihi", answer.read(14))
            advertised = {key: (low, high) for key, low, high in struct.iter_unpack(">hhh", answer.read(6 * count))}
        self.assertEqual((size, correlation, error), (10 + 6 * count, 7, 0))
        with open("docs/protocols.md") as manual:
            rows = re.findall(r"^\| ([\d, ]+) \| [\w, ]+ \| ([\d, -]+) \|", manual.read(), re.M)
        listed = {}
        for keys, versions in rows:
            for key, version in zip(keys.split(", "), versions.split(", "), strict=True):
                low, _, high = version.partition("-")
                listed[int(key)] = (int(low), int(high or low))
        self.assertEqual(listed, advertised)

    def test_truncated_bodies_of_every_kind(self):
        for key in (0, 1, 2, 3, 10, 18, 19, 20, 21, 22, 23, 32, 33, 35, 37, 44, 46, 60, 75):
            body = struct.pack(">hhih", key, 1 if key in (2, 20, 32, 35) else 0, 7, -1) + b"\x7f\xff\xff\xff"
            with self.send(struct.pack(">i", len(body)) + body) as client:
                client.settimeout(5)
                try:
                    client.recv(4096)  # an answer or a close, never a hang
                except ConnectionResetError:
                    pass

    def test_tls_and_noise(self):
        for noise in (b"\x16\x03\x01\x02\x00" + b"x" * 200, b"\x80" * 64, os.urandom(4096).replace(b"\x00", b"\xff")):
            with self.send(b"\x90" + noise) as client:
                self.assertTrue(closed_without_answer(client))

    def test_a_client_that_says_nothing_is_closed(self):
        with connect(self.broker) as client:
            self.assertTrue(closed_without_answer(client))

    def test_first_bytes_one_by_one(self):
        with connect(self.broker) as client:
            for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
                client.send(bytes([byte]))
            answer = b""
            while part := client.recv(4096):
                answer += part
            self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)

    def test_http(self):
        base = f"http://{self.broker.address}"
        self.assertEqual(urllib.request.urlopen(base + "/readyz").read(), b"ready\n")
        self.assertIn(b"sentinel_append_seconds_bucket", urllib.request.urlopen(base + "/metrics").read())
        for path, method, code in (("/none", "GET", 404), ("/metrics", "PUT", 405)):
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(base + path, method=method))
            self.assertEqual(refused.exception.code, code)
            refused.exception.close()
        for request, code in ((b"GET /\r\n\r\n", 400), (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde", 501),
                              (b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431)):
            with self.send(request) as client:
                self.assertIn(str(code).encode(), client.recv(100))

    def test_metrics_are_named_once_and_explained(self):
        text = urllib.request.urlopen(f"http://{self.broker.address}/metrics").read().decode()
        families = re.findall(r"^# TYPE sentinel_(\w+) (?:counter|gauge|histogram)$", text, re.M)
        samples = [line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#")]
        self.assertEqual(len(families), len(set(families)), "a family twice is no Prometheus text")
        self.assertEqual(len(samples), len(set(samples)))
        with open("docs/operations.md") as manual:
            table = manual.read().partition("\n## Metrics\n")[2].partition("\n## ")[0]
        explained = [name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)]
        self.assertEqual(sorted(explained), sorted(families))

    def test_http2_floods_are_cut_off(self):
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
        ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"12345678"
        settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
        for frame in (ping, settings):
            with self.send(preface) as client:
                client.settimeout(20)
                with self.assertRaises((ConnectionResetError, BrokenPipeError)):
                    for _ in range(200):
                        client.sendall(frame * 500)
                        client.settimeout(0.02)
                        try:
                            if client.recv(65536) == b"":
                                raise ConnectionResetError
                        except TimeoutError:
                            pass
                        client.settimeout(20)

    def test_http2_streams_opened_and_reset_are_cut_off(self):
        fields = b"\x83\x86\x44\x01/\x41\x01x"  # POST http / x, by HPACK's static table
        with self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00") as client:
            client.settimeout(20)
            with self.assertRaises((ConnectionResetError, BrokenPipeError)):
                for stream in range(1, 400000, 2):
                    head = struct.pack(">I", len(fields))[1:] + b"\x01\x04" + struct.pack(">I", stream) + fields
                    client.sendall(head + b"\x00\x00\x04\x03\x00" + struct.pack(">II", stream, 8))

    def test_a_peer_that_vanished_is_looked_after(self):
        """Nobody can cut a cable here: but the kernel says whether it would ask (timer 2 is keepalive)."""
        with self.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") as client:
            client.recv(100)
            ours = f"0100007F:{self.broker.port:04X}"
            theirs = f"0100007F:{client.getsockname()[1]:04X}"
            with open("/proc/net/tcp") as file:
                rows = [line.split() for line in file]
            self.assertEqual([row[5][:2] for row in rows if row[1] == ours and row[2] == theirs], ["02"])

    def test_a_reader_that_does_not_read_costs_bounded_memory(self):
        self.broker.run("produce", "large", "--quiet", input=(b"z" * 999 + b"\n") * 60000)
        before = self.broker.resident_kib()
        body = struct.pack(">hhih", 1, 4, 7, -1) + struct.pack(">iiiibih5sii", -1, 100, 1, 50 << 20, 0, 1, 5, b"large", 1, 0)
        body += struct.pack(">qi", 0, 50 << 20)
        request = struct.pack(">i", len(body)) + body
        slow = []
        for _ in range(8):
            client = self.send(request)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.append(client)
        self.broker.run("produce", "alive", input=b"x\n")
        grown = self.broker.resident_kib() - before
        for client in slow:
            client.close()
        self.assertLess(grown, 150 << 10)

    def test_many_idle_connections_and_the_limit(self):
        before = self.broker.resident_kib()
        clients = [self.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(1400)]
        for client in clients:
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200"))
        self.assertLess(self.broker.resident_kib() - before, 1400 * 24)
        more = [connect(self.broker) for _ in range(200)]
        refused = 0
        for client in more:
            client.settimeout(5)
            refused += closed_without_answer(client)
        self.assertGreater(refused, 50)
        for client in clients + more:
            client.close()


class FullDisk(unittest.TestCase):
    def test_nothing_acknowledged_is_lost_when_the_disk_fills(self):
        broker = Broker()
        self.addCleanup(broker.__exit__)
        os.makedirs(broker.data_dir)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={48 << 20}", "none", broker.data_dir],
                                 capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("no right to mount a small file system")
        self.addCleanup(subprocess.run, ["umount", "-l", broker.data_dir])
        broker.start()
        broker.run("topic", "create", "filling")
        record = b"f" * 999 + b"\n"
        done = broker.run("produce", "filling", "--quiet", "--timeout", "5", input=record * 80000, check=False)
        self.assertEqual(done.returncode, 1)
        # "A of B records read were not acknowledged": it stopped reading when it could not go on.
        words = done.stderr.split()
        acknowledged = int(words[words.index(b"of") + 1]) - int(words[words.index(b"of") - 1])
        self.assertGreater(acknowledged, 0)
        for _ in range(2):
            kept = broker.run("consume", "filling", "--from", "beginning", "--until-end", "--quiet").stdout
            self.assertGreaterEqual(kept.count(b"\n"), acknowledged)
            broker.kill()
            broker.start()


if __name__ == "__main__":
    unittest.main()
