# SPDX-License-Identifier: Apache-2.0
"""Features of aiokafka (PyPI): aiokafka_client.py FEATURE"""
import asyncio
import os
import sys
import time
import uuid

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

SERVER = os.environ["SENTINEL_SERVER"]


async def make_topic(partitions):
    name = "aio-" + uuid.uuid4().hex[:12]
    client = AIOKafkaAdminClient(bootstrap_servers=SERVER)
    await client.start()
    await client.create_topics([NewTopic(name, partitions, 1)])
    await client.close()
    return name


async def produce(name, count, partitions=1, **settings):
    producer = AIOKafkaProducer(bootstrap_servers=SERVER, **settings)
    await producer.start()
    for i in range(count):
        await producer.send_and_wait(name, b"%d" % i, partition=i % partitions)
    await producer.stop()


def consumer(name, group, **settings):
    return AIOKafkaConsumer(name, bootstrap_servers=SERVER, group_id=group, auto_offset_reset="earliest",
                            enable_auto_commit=False, **settings)


async def take(c, count):
    got = []
    while len(got) < count:
        got.append((await asyncio.wait_for(c.getone(), 20)).value)
    return got


async def data():
    name = "aio-" + uuid.uuid4().hex[:12]
    await produce(name, 50)
    c = consumer(name, None)
    await c.start()
    assert await take(c, 50) == [b"%d" % i for i in range(50)]
    await c.stop()


async def resume():
    name = "aio-" + uuid.uuid4().hex[:12]
    await produce(name, 50)
    first = consumer(name, "r-" + name)
    await first.start()
    got = await take(first, 20)
    await first.commit()
    await first.stop()
    second = consumer(name, "r-" + name)
    await second.start()
    committed = await second.committed(list(second.assignment())[0])
    got = got[:committed] + await take(second, 50 - committed)
    assert got == [b"%d" % i for i in range(50)]
    await second.stop()


async def group():
    name = await make_topic(4)
    await produce(name, 80, 4)
    members = [consumer(name, "g-" + name, session_timeout_ms=10000, heartbeat_interval_ms=300) for _ in range(2)]
    got = set()

    async def until(condition):
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, len(got)
            for member in members:
                for records in (await member.getmany(timeout_ms=100)).values():
                    got.update(record.value for record in records)

    await asyncio.gather(*(member.start() for member in members))
    await until(lambda: all(len(m.assignment()) == 2 for m in members) and len(got) == 80)
    await members.pop().stop()
    await until(lambda: len(members[0].assignment()) == 4)
    await members[0].stop()


async def admin():
    name = await make_topic(2)
    client = AIOKafkaAdminClient(bootstrap_servers=SERVER)
    await client.start()
    assert name in await client.list_topics()
    assert len((await client.describe_topics([name]))[0]["partitions"]) == 2
    await client.delete_topics([name])
    await client.close()


async def transactions():
    name = "aio-" + uuid.uuid4().hex[:12]
    producer = AIOKafkaProducer(bootstrap_servers=SERVER, transactional_id="t-" + name)
    await producer.start()
    for value, commit in ((b"a", True), (b"b", False), (b"c", True)):
        await producer.begin_transaction()
        for _ in range(5):
            await producer.send_and_wait(name, value)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    await producer.stop()
    c = consumer(name, None, isolation_level="read_committed")
    await c.start()
    assert await take(c, 10) == [b"a"] * 5 + [b"c"] * 5
    await c.stop()


if __name__ == "__main__":
    asyncio.run({"data": data, "admin": admin, "group": group, "resume": resume,
                 "transactions": transactions}[sys.argv[1]]())
