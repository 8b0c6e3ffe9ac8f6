# SPDX-License-Identifier: Apache-2.0
"""Features of aiokafka (PyPI): aiokafka_client.py FEATURE"""
import asyncio
import os
import sys
import uuid

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

SERVER = os.environ["SENTINEL_SERVER"]


async def produce(name, count, **settings):
    producer = AIOKafkaProducer(bootstrap_servers=SERVER, **settings)
    await producer.start()
    for i in range(count):
        await producer.send_and_wait(name, b"%d" % i)
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
    await resume()


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
    asyncio.run({"data": data, "group": group, "resume": resume, "transactions": transactions}[sys.argv[1]]())
