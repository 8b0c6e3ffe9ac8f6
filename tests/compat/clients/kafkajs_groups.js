// SPDX-License-Identifier: Apache-2.0
// Features of kafkajs: kafkajs_groups.js FEATURE
const assert = require('assert')
const crypto = require('crypto')
const { Kafka, CompressionTypes, ConfigResourceTypes, logLevel } = require('kafkajs')

const kafka = new Kafka({ clientId: 'compat', brokers: [process.env.SENTINEL_SERVER], logLevel: logLevel.NOTHING })
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function makeTopic(partitions) {
  const topic = 'kjs-' + crypto.randomBytes(6).toString('hex')
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions }] })
  await admin.disconnect()
  return topic
}

async function produce(topic, count, partitions, compression = CompressionTypes.None) {
  const producer = kafka.producer()
  await producer.connect()
  const messages = []
  for (let i = 0; i < count; i++) messages.push({ value: String(i), partition: i % partitions })
  await producer.send({ topic, messages, compression })
  await producer.disconnect()
}

async function member(topic, groupId, got, options = {}) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 10000, heartbeatInterval: 300, ...options })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  consumer.assigned = 0
  consumer.on(consumer.events.GROUP_JOIN, (event) => {
    consumer.assigned = (event.payload.memberAssignment[topic] || []).length
  })
  await consumer.run({ autoCommit: true, autoCommitThreshold: 1, eachMessage: async ({ message }) => { got.push(message.value.toString()) } })
  return consumer
}

async function until(condition, seconds = 40) {
  const end = Date.now() + seconds * 1000
  while (!condition()) {
    assert.ok(Date.now() < end, 'timed out')
    await sleep(50)
  }
}

async function data() {
  const topic = await makeTopic(2)
  for (const codec of [CompressionTypes.None, CompressionTypes.GZIP]) await produce(topic, 100, 2, codec)
  const got = []
  const consumer = await member(topic, 'd-' + topic, got)
  await until(() => got.length >= 200)
  assert.strictEqual(new Set(got).size, 100)
  await consumer.disconnect()
}

async function administer() {
  const topic = await makeTopic(2)
  await produce(topic, 20, 2)
  const admin = kafka.admin()
  await admin.connect()
  assert.ok((await admin.listTopics()).includes(topic))
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
  assert.strictEqual((await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length, 3)
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
  await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '7200000' }] }] })
  const { resources } = await admin.describeConfigs({ resources: [resource] })
  assert.strictEqual(resources[0].configEntries.find((e) => e.configName === 'retention.ms').configValue, '7200000')
  assert.strictEqual((await admin.fetchTopicOffsets(topic)).reduce((sum, p) => sum + Number(p.high), 0), 20)
  await admin.setOffsets({ groupId: 'a-' + topic, topic, partitions: [{ partition: 0, offset: '7' }] })
  const [offsets] = await admin.fetchOffsets({ groupId: 'a-' + topic, topics: [topic] })
  assert.strictEqual(offsets.partitions.find((p) => p.partition === 0).offset, '7')
  await admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment: [{ partition: 0, replicas: [1] }] }] }).catch(() => {}) // alone nothing can move
  assert.strictEqual((await admin.listPartitionReassignments({})).topics.length, 0)
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '5' }] })
  await admin.deleteTopics({ topics: [topic] })
  await admin.disconnect()
}

async function group() {
  const topic = await makeTopic(4)
  const got = []
  const members = [await member(topic, 'g-' + topic, got), await member(topic, 'g-' + topic, got)]
  await until(() => members.every((c) => c.assigned === 2))
  await produce(topic, 400, 4)
  await until(() => new Set(got).size === 400)
  await members[1].disconnect()
  await until(() => members[0].assigned === 4)
  const admin = kafka.admin()
  await admin.connect()
  const [offsets] = await admin.fetchOffsets({ groupId: 'g-' + topic, topics: [topic] })
  assert.strictEqual(offsets.partitions.reduce((sum, p) => sum + Number(p.offset), 0), 400)
  const { groups } = await admin.describeGroups(['g-' + topic])
  assert.strictEqual(groups[0].state, 'Stable')
  assert.ok((await admin.listGroups()).groups.some((g) => g.groupId === 'g-' + topic))
  await members[0].disconnect()
  await admin.deleteGroups(['g-' + topic])
  await admin.disconnect()
}

async function resume() {
  const topic = await makeTopic(1)
  const got = []
  await produce(topic, 100, 1)
  const first = await member(topic, 'r-' + topic, got)
  await until(() => got.length >= 100)
  await first.disconnect()
  await produce(topic, 50, 1)
  const rest = []
  const second = await member(topic, 'r-' + topic, rest)
  await until(() => rest.length >= 50)
  await sleep(300)
  assert.strictEqual(rest.length, 50)
  await second.disconnect()
}

async function transactions() {
  const topic = await makeTopic(1)
  const producer = kafka.producer({ transactionalId: 't-' + topic, maxInFlightRequests: 1, idempotent: true })
  await producer.connect()
  for (const [value, commit] of [['a', true], ['b', false], ['c', true]]) {
    const transaction = await producer.transaction()
    for (let i = 0; i < 5; i++) await transaction.send({ topic, messages: [{ value }] })
    await (commit ? transaction.commit() : transaction.abort())
  }
  await producer.disconnect()
  const got = []
  const consumer = await member(topic, 't-' + topic, got, { readUncommitted: false })
  await until(() => got.length >= 10)
  await sleep(300)
  assert.deepStrictEqual(got, [...Array(5).fill('a'), ...Array(5).fill('c')])
  await consumer.disconnect()
}

({ data, admin: administer, group, resume, transactions })[process.argv[2]]().then(() => process.exit(0)).catch((error) => { console.error(error); process.exit(1) })
