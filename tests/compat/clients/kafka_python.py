# SPDX-License-Identifier: Apache-2.0
"""Features of kafka-python (PyPI): kafka_python.py FEATURE"""
import os
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

SERVER = os.environ["SENTINEL_SERVER"]


def topic(partitions):
    name = "kp-" + uuid.uuid4().hex[:12]
    admin_client = KafkaAdminClient(bootstrap_servers=SERVER)
    admin_client.create_topics([NewTopic(name, partitions, 1)])
    admin_client.close()
    return name


def produce(name, count, partitions, **settings):
    producer = KafkaProducer(bootstrap_servers=SERVER, **settings)
    for i in range(count):
        producer.send(name, b"%d" % i, partition=i % partitions)
    producer.flush()
    producer.close()


def consumer(name, group):
    return KafkaConsumer(name, bootstrap_servers=SERVER, group_id=group, auto_offset_reset="earliest",
                         enable_auto_commit=False, session_timeout_ms=6000, heartbeat_interval_ms=300)


def poll(consumers, until, seconds=40):
    # All at once: 3.0 throws away a join that ends while its consumer is not being polled, and joins again; two
    # polled in turn, each waiting for the other, may do so for ever.
    got, end = [], time.monotonic() + seconds
    with ThreadPoolExecutor(len(consumers)) as threads:
        while not until(got):
            assert time.monotonic() < end, f"{len(got)} messages"
            for batches in threads.map(lambda c: c.poll(timeout_ms=100), consumers):
                got += [int(r.value) for records in batches.values() for r in records]
    return got


def data():
    name = topic(1)
    for codec in (None, "gzip"):
        produce(name, 100, 1, compression_type=codec)
    c = KafkaConsumer(bootstrap_servers=SERVER)
    c.assign([TopicPartition(name, 0)])
    c.seek_to_beginning()
    assert len(poll([c], lambda m: len(m) >= 200)) == 200


def group():
    name = topic(4)
    produce(name, 400, 4)
    members = [consumer(name, "g-" + name) for _ in range(2)]
    got = poll(members, lambda m: all(len(c.assignment()) == 2 for c in members) and len(set(m)) == 400)
    members[1].close()
    got += poll(members[:1], lambda m: len(members[0].assignment()) == 4)
    assert set(got) == set(range(400))
    members[0].close()


def resume():
    name = topic(1)
    produce(name, 100, 1)
    first = consumer(name, "r-" + name)
    got = poll([first], lambda m: len(m) >= 1)
    first.commit()
    first.close()
    produce(name, 50, 1)
    second = consumer(name, "r-" + name)
    got += poll([second], lambda m: len(m) + len(got) >= 150)
    assert len(got) == 150
    second.close()


def transactions():
    name = topic(1)
    producer = KafkaProducer(bootstrap_servers=SERVER, transactional_id="t-" + name)
    producer.init_transactions()
    for value, commit in ((b"1", True), (b"2", False), (b"3", True)):
        producer.begin_transaction()
        for _ in range(5):
            producer.send(name, value, partition=0)
        (producer.commit_transaction if commit else producer.abort_transaction)()
    producer.close()
    c = KafkaConsumer(bootstrap_servers=SERVER, isolation_level="read_committed")
    c.assign([TopicPartition(name, 0)])
    c.seek_to_beginning()
    assert poll([c], lambda m: len(m) >= 10) == [1] * 5 + [3] * 5
    c.close()


def admin():
    client = KafkaAdminClient(bootstrap_servers=SERVER)
    name = topic(2)
    assert name in client.list_topics()
    client.delete_topics([name])
    client.close()


if __name__ == "__main__":
    {"data": data, "group": group, "resume": resume, "admin": admin,
     "transactions": transactions}[sys.argv[1]]()
