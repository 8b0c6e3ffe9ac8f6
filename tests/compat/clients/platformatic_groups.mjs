// SPDX-License-Identifier: Apache-2.0
// Features of @platformatic/kafka: platformatic_groups.mjs FEATURE
import assert from 'node:assert'
import crypto from 'node:crypto'
import { Admin, Consumer, MessagesStreamModes, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'

const bootstrapBrokers = [process.env.SENTINEL_SERVER]

async function makeTopic(partitions) {
  const topic = 'pf-' + crypto.randomBytes(6).toString('hex')
  const admin = new Admin({ clientId: 'compat', bootstrapBrokers })
  await admin.createTopics({ topics: [topic], partitions, replicas: 1 })
  await admin.close()
  return topic
}

async function produce(topic, count, partitions) {
  const producer = new Producer({ clientId: 'compat', bootstrapBrokers, serializers: stringSerializers })
  const messages = []
  for (let i = 0; i < count; i++) messages.push({ topic, partition: i % partitions, value: String(i) })
  await producer.send({ messages, acks: -1 })
  await producer.close()
}

async function read(topic, groupId, count, options = {}) {
  const consumer = new Consumer({ clientId: 'compat', groupId, bootstrapBrokers, deserializers: stringDeserializers, sessionTimeout: 10000, heartbeatInterval: 500, maxWaitTime: 200, ...options })
  const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.COMMITTED, fallbackMode: 'earliest', autocommit: false })
  const got = []
  const timer = setTimeout(() => { console.error('timed out with', got.length); process.exit(1) }, 40000)
  for await (const message of stream) {
    got.push(message.value)
    await message.commit()
    if (got.length === count) break
  }
  clearTimeout(timer)
  await consumer.close(true)
  return got
}

async function resume(options) {
  const topic = await makeTopic(1)
  await produce(topic, 60, 1)
  const first = await read(topic, 'r-' + topic, 25, options)
  const second = await read(topic, 'r-' + topic, 35, options)
  assert.deepStrictEqual([...first, ...second], [...Array(60).keys()].map(String))
}

async function group(options) {
  const topic = await makeTopic(2)
  await produce(topic, 40, 2)
  const got = await read(topic, 'g-' + topic, 40, options)
  assert.strictEqual(new Set(got).size, 40)
}

const both = () => import('../platformatic.mjs') // data and administration in one go
const features = {
  data: both,
  admin: both,
  resume, group,
  'consumer-group': async () => {
    await group({ groupProtocol: 'consumer' })
    await resume({ groupProtocol: 'consumer' })
  }
}
await features[process.argv[2]]()
process.exit(0)
