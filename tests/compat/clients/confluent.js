// SPDX-License-Identifier: Apache-2.0
// Features of @confluentinc/kafka-javascript, librdkafka behind the API of kafkajs: confluent.js FEATURE
const assert = require('assert')
const crypto = require('crypto')
const { Kafka, logLevel, CompressionTypes } = require(process.env.CONFLUENT_JS).KafkaJS

const kafka = new Kafka({ kafkaJS: { clientId: 'compat', brokers: [process.env.SENTINEL_SERVER], logLevel: logLevel.NOTHING } })
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => String(from + i))

async function until(condition, seconds = 60) {
  const end = Date.now() + seconds * 1000
  while (!condition()) {
    assert.ok(Date.now() < end, 'timed out')
    await sleep(50)
  }
}

async function withAdmin(work) {
  const admin = kafka.admin()
  await admin.connect()
  const result = await work(admin)
  await admin.disconnect()
  return result
}

async function makeTopic(partitions) {
  const topic = 'cjs-' + crypto.randomBytes(6).toString('hex')
  await withAdmin((admin) => admin.createTopics({ topics: [{ topic, numPartitions: partitions }] }))
  return topic
}

async function produce(topic, values, partitions = 1, compression = CompressionTypes.None) {
  const producer = kafka.producer({ kafkaJS: { compression } })
  await producer.connect()
  await producer.send({ topic, messages: values.map((value, i) => ({ value, partition: i % partitions })) })
  await producer.disconnect()
}

async function member(topic, groupId, got, more = {}) {
  const classic = more['group.protocol'] ? {} : { 'session.timeout.ms': 10000, 'heartbeat.interval.ms': 300 }
  const consumer = kafka.consumer({ kafkaJS: { groupId, fromBeginning: true, autoCommit: true, autoCommitInterval: 100 }, ...classic, ...more })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic] })
  await consumer.run({ eachMessage: async ({ message }) => { got.push(message.value.toString()) } })
  return consumer
}

async function data() {
  const topic = await makeTopic(2)
  const codecs = ['None', 'GZIP', 'Snappy', 'LZ4', 'ZSTD'].map((name) => CompressionTypes[name])
  for (const [i, codec] of codecs.entries()) await produce(topic, numbers(i * 100, i * 100 + 100), 2, codec)
  const got = []
  const consumer = await member(topic, 'd-' + topic, got)
  await until(() => got.length >= 500)
  assert.deepStrictEqual(got.map(Number).sort((a, b) => a - b), numbers(0, 500).map(Number))
  await consumer.disconnect()
}

async function admin() {
  const topic = await makeTopic(2)
  await produce(topic, numbers(0, 20), 2)
  const got = []
  const consumer = await member(topic, 'a-' + topic, got)
  await until(() => got.length >= 20)
  await consumer.disconnect()
  await withAdmin(async (admin) => {
    assert.ok((await admin.listTopics()).includes(topic))
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] }).then((t) => (t.topics ? t : { topics: t }))
    assert.strictEqual(topics[0].partitions.length, 2)
    const offsets = await admin.fetchTopicOffsets(topic)
    assert.strictEqual(offsets.reduce((sum, p) => sum + Number(p.high), 0), 20)
    assert.ok((await admin.listGroups()).groups.some((g) => g.groupId === 'a-' + topic))
    assert.strictEqual((await admin.describeGroups(['a-' + topic])).groups[0].groupId, 'a-' + topic)
    const [committed] = await admin.fetchOffsets({ groupId: 'a-' + topic, topics: [topic] })
    assert.strictEqual(committed.partitions.reduce((sum, p) => sum + Number(p.offset), 0), 20)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '5' }] })
    await admin.deleteGroups(['a-' + topic])
    await admin.deleteTopics({ topics: [topic] })
  })
}

async function groupOf(more) {
  const topic = await makeTopic(4)
  const got = []
  const members = [await member(topic, 'g-' + topic, got, more), await member(topic, 'g-' + topic, got, more)]
  await until(() => members.every((c) => c.assignment().length === 2))
  await produce(topic, numbers(0, 400), 4)
  await until(() => new Set(got).size === 400)
  await members[1].disconnect()
  await until(() => members[0].assignment().length === 4)
  await members[0].disconnect()
}

async function resumeOf(more) {
  const topic = await makeTopic(1)
  await produce(topic, numbers(0, 100))
  for (const [from, to] of [[0, 100], [100, 150]]) {
    if (from > 0) await produce(topic, numbers(from, to))
    const got = []
    const consumer = await member(topic, 'r-' + topic, got, more)
    await until(() => got.length >= to - from)
    await sleep(400) // nothing twice, and the commit
    assert.deepStrictEqual(got, numbers(from, to))
    await consumer.disconnect()
  }
}

async function readCommitted(topic, count) {
  const got = []
  const consumer = await member(topic, 'c-' + crypto.randomBytes(4).toString('hex'), got, { 'isolation.level': 'read_committed' })
  await until(() => got.length >= count)
  await sleep(400)
  await consumer.disconnect()
  return got
}

async function transactions() {
  const topic = await makeTopic(1)
  const producer = kafka.producer({ kafkaJS: { transactionalId: 't-' + topic } })
  await producer.connect()
  for (const [value, commit] of [['a', true], ['b', false], ['c', true]]) {
    const transaction = await producer.transaction()
    for (let i = 0; i < 5; i++) await transaction.send({ topic, messages: [{ value }] })
    await (commit ? transaction.commit() : transaction.abort())
  }
  await producer.disconnect()
  assert.deepStrictEqual(await readCommitted(topic, 10), [...Array(5).fill('a'), ...Array(5).fill('c')])
}

async function exactlyOnce() {
  const source = await makeTopic(1)
  const sink = await makeTopic(1)
  await produce(source, numbers(0, 50))
  const producer = kafka.producer({ kafkaJS: { transactionalId: 'e-' + source } })
  await producer.connect()
  const consumer = kafka.consumer({ kafkaJS: { groupId: 'e-' + source, fromBeginning: true, autoCommit: false } })
  await consumer.connect()
  await consumer.subscribe({ topics: [source] })
  let done = 0
  let rounds = 0
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      for (const commit of rounds++ === 3 ? [false, true] : [true]) { // one is aborted and done again
        const transaction = await producer.transaction()
        await transaction.send({ topic: sink, messages: [{ value: 'out ' + message.value }] })
        const offset = String(Number(message.offset) + 1)
        await transaction.sendOffsets({ consumer, topics: [{ topic: source, partitions: [{ partition, offset }] }] })
        await (commit ? transaction.commit() : transaction.abort())
      }
      done++
    }
  })
  await until(() => done >= 50)
  await consumer.disconnect()
  await producer.disconnect()
  assert.deepStrictEqual(await readCommitted(sink, 50), numbers(0, 50).map((n) => 'out ' + n))
}

const FEATURES = {
  data,
  admin,
  group: () => groupOf({}),
  resume: () => resumeOf({}),
  'consumer-group': async () => { await groupOf({ 'group.protocol': 'consumer' }); await resumeOf({ 'group.protocol': 'consumer' }) },
  transactions,
  'exactly-once': exactlyOnce
}
FEATURES[process.argv[2]]().then(() => process.exit(0)).catch((error) => { console.error(error); process.exit(1) })
