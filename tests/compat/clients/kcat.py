# SPDX-License-Identifier: Apache-2.0
"""Features of kcat: kcat.py FEATURE"""
import json
import os
import subprocess
import sys
import time
import uuid

SERVER = os.environ["SENTINEL_SERVER"]
FAST = ["-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=200"]


def kcat(*arguments, input=None):
    return subprocess.run(["kcat", "-b", SERVER, "-q", *arguments], input=input, capture_output=True, timeout=60,
                          check=True).stdout


def data():
    topic = "kcat-" + uuid.uuid4().hex[:12]
    lines = b"".join(b"%d\n" % i for i in range(100))
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        kcat("-P", "-t", topic, "-z", codec, input=lines)
    assert kcat("-C", "-t", topic, "-e") == lines * 5


def admin():
    topic = "kcat-" + uuid.uuid4().hex[:12]
    kcat("-P", "-t", topic, input=b"1\n2\n3\n")
    listed = json.loads(kcat("-L", "-J", "-t", topic))
    assert len(listed["brokers"]) == 1 and listed["topics"][0]["partitions"][0]["leader"] == 1, listed
    for time_asked, offset in ((-2, 0), (-1, 3), (0, 0)):
        answer = kcat("-Q", "-t", f"{topic}:0:{time_asked}").decode()
        assert f"{topic} [0] offset {offset}" in answer, answer


def group():
    topic = "kcat-" + uuid.uuid4().hex[:12]
    kcat("-P", "-t", topic, input=b"".join(b"%d\n" % i for i in range(100)))
    members = [subprocess.Popen(["kcat", "-b", SERVER, "-u", "-q", *FAST, "-G", "g-" + topic, topic],
                                stdout=subprocess.PIPE) for _ in range(2)]
    time.sleep(4)
    kcat("-P", "-t", topic, input=b"".join(b"%d\n" % i for i in range(100, 200)))
    time.sleep(2)
    for member in members:
        member.terminate()
    got = b"".join(member.communicate()[0] for member in members).split()
    assert set(got) == {b"%d" % i for i in range(200)}, len(got)


def resume():
    topic = "kcat-" + uuid.uuid4().hex[:12]
    kcat("-P", "-t", topic, input=b"".join(b"%d\n" % i for i in range(100)))
    first = kcat(*FAST, "-c", "40", "-G", "r-" + topic, topic)
    second = kcat(*FAST, "-c", "60", "-G", "r-" + topic, topic)
    assert (first + second).split() == [b"%d" % i for i in range(100)]


if __name__ == "__main__":
    {"data": data, "admin": admin, "group": group, "resume": resume}[sys.argv[1]]()
