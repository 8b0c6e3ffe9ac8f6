// SPDX-License-Identifier: Apache-2.0
// kafkajs speaks only the old shapes of the protocol. Admin and producer through its public API; reading without a
// consumer group through its broker object.
const assert = require('assert')
const Cluster = require('kafkajs/src/cluster')
const createSocketFactory = require('kafkajs/src/network/socketFactory')
const { Kafka, CompressionTypes, ConfigResourceTypes, logLevel } = require('kafkajs')

const server = process.env.SENTINEL_SERVER
const topic = 'kafkajs'

async function read(kafka, partition, offset) {
  const cluster = new Cluster({
    socketFactory: createSocketFactory(), brokers: [server], clientId: 'reader', connectionTimeout: 5000,
    requestTimeout: 30000, logger: kafka.logger(), retry: {}, offsets: new Map(), metadataMaxAge: 60000,
    allowAutoTopicCreation: false,
  })
  await cluster.connect()
  await cluster.addTargetTopic(topic)
  const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
  const broker = await cluster.findBroker({ nodeId })
  const messages = []
  let next = offset
  for (;;) {
    const { responses } = await broker.fetch({
      maxWaitTime: 100, minBytes: 1, maxBytes: 1 << 20, isolationLevel: 1,
      topics: [{ topic, partitions: [{ partition, fetchOffset: String(next), maxBytes: 1 << 20 }] }],
    })
    const [result] = responses[0].partitions
    if (result.messages.length === 0) break
    for (const message of result.messages) {
      if (BigInt(message.offset) >= BigInt(next)) messages.push(message)
    }
    next = Number(result.messages[result.messages.length - 1].offset) + 1
  }
  await cluster.disconnect()
  return messages
}

async function main() {
  const kafka = new Kafka({ clientId: 'compat', brokers: [server], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  const cluster = await admin.describeCluster()
  assert.strictEqual(cluster.brokers.length, 1)
  assert.strictEqual(await admin.createTopics({ topics: [{ topic, numPartitions: 2, configEntries: [{ name: 'retention.ms', value: '86400000' }] }] }), true)
  assert.strictEqual(await admin.createTopics({ topics: [{ topic, numPartitions: 2 }] }), false)
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
  const metadata = await admin.fetchTopicMetadata({ topics: [topic] })
  assert.strictEqual(metadata.topics[0].partitions.length, 3)
  const described = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] })
  const retention = described.resources[0].configEntries.find((entry) => entry.configName === 'retention.ms')
  assert.strictEqual(retention.configValue, '86400000')
  await admin.alterConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name: 'retention.ms', value: '7200000' }] }] })

  for (const idempotent of [false, true]) {
    for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
      const producer = kafka.producer({ idempotent, allowAutoTopicCreation: false })
      await producer.connect()
      for (const acks of idempotent ? [-1] : [-1, 1, 0]) {
        const messages = []
        for (let i = 0; i < 100; i++) messages.push({ key: `key ${i}`, value: `value ${i}`, partition: 0, headers: { h: 'x' } })
        await producer.send({ topic, acks, compression, messages })
      }
      await producer.disconnect()
    }
  }
  const offsets = await admin.fetchTopicOffsets(topic)
  assert.strictEqual(offsets.find((o) => o.partition === 0).high, '800')
  const byTime = await admin.fetchTopicOffsetsByTimestamp(topic, 0)
  assert.strictEqual(byTime.find((o) => o.partition === 0).offset, '0')
  const messages = await read(kafka, 0, 0)
  assert.strictEqual(messages.length, 800)
  messages.forEach((message, i) => {
    assert.strictEqual(message.offset, String(i))
    assert.strictEqual(message.value.toString(), `value ${i % 100}`)
    assert.strictEqual(message.headers.h.toString(), 'x')
  })
  assert.strictEqual((await read(kafka, 0, 750)).length, 50)
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '100' }] })
  assert.strictEqual((await admin.fetchTopicOffsets(topic)).find((o) => o.partition === 0).low, '100')
  await assert.rejects(admin.fetchTopicMetadata({ topics: ['not there'] }))
  await admin.createTopics({ topics: [{ topic: 'kafkajs-gone' }] })
  await admin.deleteTopics({ topics: ['kafkajs-gone'] })
  assert.ok(!(await admin.listTopics()).includes('kafkajs-gone'))
  await admin.disconnect()
  console.log('kafkajs: 800 records, administration')
}
main().catch((error) => { console.error(error); process.exit(1) })
