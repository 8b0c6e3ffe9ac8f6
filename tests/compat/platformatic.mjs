// SPDX-License-Identifier: Apache-2.0
// @platformatic/kafka speaks only flexible versions: Produce 7-11, Fetch 12-17, Metadata 9-12.
import assert from 'node:assert'
import zlib from 'node:zlib'
import { Admin, Producer, Consumer, stringSerializers } from '@platformatic/kafka'

const bootstrapBrokers = [process.env.SENTINEL_SERVER]
const topic = 'platformatic'

const admin = new Admin({ clientId: 'compat', bootstrapBrokers })
const [created] = await admin.createTopics({ topics: [topic], partitions: 2, replicas: 1, configs: [{ name: 'retention.ms', value: '86400000' }] })
assert.strictEqual(created.name, topic)
assert.strictEqual(created.partitions, 2)
await assert.rejects(admin.createTopics({ topics: [topic], partitions: 2, replicas: 1 }))
assert.ok((await admin.listTopics()).includes(topic))

let total = 0
// node has zstd from 22.15 on
const codecs = ['none', 'gzip', 'snappy', 'lz4', ...(zlib.zstdCompressSync ? ['zstd'] : [])]
for (const compression of codecs) {
  for (const idempotent of [false, true]) {
    const producer = new Producer({ clientId: 'compat', bootstrapBrokers, serializers: stringSerializers, compression, idempotent, strict: true })
    const messages = []
    for (let i = 0; i < 100; i++) messages.push({ topic, partition: 0, key: `key ${i}`, value: `value ${i}`, headers: { h: 'x' } })
    const { offsets } = await producer.send({ messages, acks: -1, compression })
    assert.strictEqual(offsets[0].offset, BigInt(total))
    total += messages.length
    await producer.close()
  }
}

const consumer = new Consumer({ clientId: 'compat', groupId: 'none', bootstrapBrokers, maxWaitTime: 100 })
const latest = await consumer.listOffsets({ topics: [topic] })
assert.strictEqual(latest.get(topic)[0], BigInt(total))
const metadata = await consumer.metadata({ topics: [topic] })
const { id, partitions } = metadata.topics.get(topic)
assert.strictEqual(partitions.length, 2)
let next = 0n
while (next < BigInt(total)) {
  const fetched = await consumer.fetch({
    node: partitions[0].leader, minBytes: 1, maxBytes: 1 << 20, maxWaitTime: 100,
    topics: [{ topicId: id, partitions: [{ partition: 0, currentLeaderEpoch: partitions[0].leaderEpoch, fetchOffset: next, lastFetchedEpoch: -1, partitionMaxBytes: 1 << 20 }] }],
  })
  const result = fetched.responses[0].partitions[0]
  assert.strictEqual(result.errorCode, 0)
  for (const batch of result.records) {
    batch.records.forEach((record, i) => {
      assert.strictEqual(record.key.toString(), `key ${i}`)
      assert.strictEqual(record.value.toString(), `value ${i}`)
    })
    assert.strictEqual(batch.firstOffset, next)
    next += BigInt(batch.records.length)
  }
}
await consumer.close(true)
await admin.deleteTopics({ topics: [topic] })
assert.ok(!(await admin.listTopics()).includes(topic))
await admin.close()
console.log(`@platformatic/kafka: ${total} records with ${codecs.join(', ')}, administration`)
