# SPDX-License-Identifier: Apache-2.0
"""Features of librdkafka through confluent_kafka (Debian's, or a newer one from PyPI): librdkafka.py FEATURE"""
import os
import sys
import time
import uuid

import confluent_kafka as kafka
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

SERVER = os.environ["SENTINEL_SERVER"]


def topic(partitions=3):
    name = "rd-" + uuid.uuid4().hex[:12]
    client = AdminClient({"bootstrap.servers": SERVER})  # kept: its futures die with it
    for future in client.create_topics([NewTopic(name, partitions, 1)]).values():
        future.result(10)
    return name


def produce(name, count, partitions=3, **settings):
    producer = kafka.Producer({"bootstrap.servers": SERVER, **settings})
    for i in range(count):
        producer.produce(name, value=b"%d" % i, partition=i % partitions)
    assert producer.flush(30) == 0


def consumer(group, **settings):
    return kafka.Consumer({"bootstrap.servers": SERVER, "group.id": group, "auto.offset.reset": "earliest",
                           "enable.auto.commit": False, **settings})


def poll(consumers, until, seconds=40):
    got, end = [], time.monotonic() + seconds
    while not until(got):
        assert time.monotonic() < end, f"{len(got)} messages"
        for c in consumers:
            message = c.poll(0.05)
            if message is not None and message.error() is None:
                got.append(int(message.value()))
            elif message is not None and message.error().code() != kafka.KafkaError._PARTITION_EOF:
                raise AssertionError(message.error())
    return got


def shared(consumers, count):
    sets = [{(p.topic, p.partition) for p in c.assignment()} for c in consumers]
    return all(sets) and sum(map(len, sets)) == count == len(set().union(*sets))


def data():
    name = topic()
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        produce(name, 100, **{"compression.type": codec, "enable.idempotence": True})
    c = consumer("data-" + name)
    c.assign([kafka.TopicPartition(name, p, 0) for p in range(3)])
    assert len(poll([c], lambda m: len(m) >= 500)) == 500
    low, high = c.get_watermark_offsets(kafka.TopicPartition(name, 0), timeout=10)
    assert (low, high) == (0, 170), (low, high)


def admin():
    name, client = topic(2), AdminClient({"bootstrap.servers": SERVER})
    for future in client.create_partitions([NewPartitions(name, 4)]).values():
        future.result(10)
    resource = ConfigResource("topic", name, {"retention.ms": "7200000"})
    for future in client.alter_configs([resource]).values():
        future.result(10)
    configs = list(client.describe_configs([ConfigResource("topic", name)]).values())[0].result(10)
    assert configs["retention.ms"].value == "7200000"
    assert len(client.list_topics(name, timeout=10).topics[name].partitions) == 4
    for future in client.delete_topics([name]).values():
        future.result(10)


def group(**settings):
    name = topic(6)
    produce(name, 600, 6)
    members = [consumer("g-" + name, **settings) for _ in range(3)]
    for c in members:
        c.subscribe([name])
    got = poll(members, lambda m: shared(members, 6) and len(set(m)) == 600)
    for c in members[1:]:
        c.close()
    got += poll(members[:1], lambda m: shared(members[:1], 6))
    assert set(got) == set(range(600))
    members[0].close()


def resume(**settings):
    name = topic(2)
    produce(name, 200, 2)
    first = consumer("r-" + name, **settings)
    first.subscribe([name])
    got = poll([first], lambda m: len(m) >= 80)
    first.commit(asynchronous=False)
    first.close()
    second = consumer("r-" + name, **settings)
    second.subscribe([name])
    got += poll([second], lambda m: len(m) + len(got) >= 200)
    assert sorted(got) == list(range(200))
    second.close()


def consumer_group():
    group(**{"group.protocol": "consumer"})
    resume(**{"group.protocol": "consumer"})


def read_committed(name):
    c = consumer("c-" + uuid.uuid4().hex, **{"isolation.level": "read_committed", "enable.partition.eof": True})
    c.assign([kafka.TopicPartition(name, 0, 0)])
    got, end = [], time.monotonic() + 20
    while time.monotonic() < end:
        message = c.poll(0.2)
        if message is None:
            continue
        if message.error() is not None:
            assert message.error().code() == kafka.KafkaError._PARTITION_EOF, message.error()
            break
        got.append(message.value())
    c.close()
    return got


def transactions():
    name = topic(1)
    producer = kafka.Producer({"bootstrap.servers": SERVER, "transactional.id": "t-" + name})
    producer.init_transactions(30)
    for value, commit in ((b"a", True), (b"b", False), (b"c", True)):
        producer.begin_transaction()
        for _ in range(10):
            producer.produce(name, value)
        assert producer.flush(20) == 0
        producer.commit_transaction(20) if commit else producer.abort_transaction(20)
    assert read_committed(name) == [b"a"] * 10 + [b"c"] * 10
    producer.begin_transaction()
    producer.produce(name, b"open")
    producer.flush(20)
    assert read_committed(name) == [b"a"] * 10 + [b"c"] * 10  # nothing of an open one
    other = kafka.Producer({"bootstrap.servers": SERVER, "transactional.id": "t-" + name})
    other.init_transactions(30)  # fences the first, whose transaction is aborted
    try:
        producer.commit_transaction(20)
        raise SystemExit("a fenced producer committed")
    except kafka.KafkaException:
        pass
    other.begin_transaction()
    other.produce(name, b"d")
    other.commit_transaction(20)
    assert read_committed(name) == [b"a"] * 10 + [b"c"] * 10 + [b"d"]


def exactly_once():
    """Consume, transform, produce: offsets are committed with the results."""
    source, sink = topic(1), topic(1)
    produce(source, 50, 1)
    c = consumer("eos-" + source, **{"isolation.level": "read_committed"})
    c.subscribe([source])
    producer = kafka.Producer({"bootstrap.servers": SERVER, "transactional.id": "eos-" + source})
    producer.init_transactions(30)
    done, rounds = 0, 0
    while done < 50:
        messages = [m for m in c.consume(10, 5.0) if m.error() is None]
        if not messages:
            continue
        producer.begin_transaction()
        for m in messages:
            producer.produce(sink, b"out " + m.value())
        producer.send_offsets_to_transaction(c.position(c.assignment()), c.consumer_group_metadata(), 20)
        rounds += 1
        if rounds == 2:  # taken back: the same records come again
            producer.abort_transaction(20)
            committed = c.committed(c.assignment(), timeout=10)
            for p in committed:
                c.seek(p)
            continue
        producer.commit_transaction(20)
        done += len(messages)
    c.close()
    got = read_committed(sink)
    assert got == [b"out %d" % i for i in range(50)], got


if __name__ == "__main__":
    {"data": data, "admin": admin, "group": group, "resume": resume, "consumer-group": consumer_group,
     "transactions": transactions, "exactly-once": exactly_once}[sys.argv[1]]()
