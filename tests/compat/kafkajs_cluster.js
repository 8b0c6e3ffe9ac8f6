// SPDX-License-Identifier: Apache-2.0
// kafkajs against a cluster of three: placement by hand, reassignment, and producing and consuming in a group while the
// leader is killed, which whoever runs this does when it reads 'ready'.
const assert = require('assert')
const { Kafka, logLevel } = require('kafkajs')

const topic = 'moved'
const kafka = new Kafka({
  clientId: 'cluster', brokers: process.env.SENTINEL_SERVER.split(','), logLevel: logLevel.NOTHING,
  // Connecting to a node that is gone is tried anew so often before others are asked where to go.
  retry: { initialRetryTime: 100, maxRetryTime: 400, retries: 6 }, requestTimeout: 5000, connectionTimeout: 1000,
})

async function reassign(admin) {
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: -1, replicationFactor: -1,
    replicaAssignment: [{ partition: 0, replicas: [1, 2] }, { partition: 1, replicas: [2, 3] }] }] })
  const before = await admin.fetchTopicMetadata({ topics: [topic] })
  assert.deepStrictEqual(before.topics[0].partitions.map(p => p.replicas), [[1, 2], [2, 3]])
  await admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment: [
    { partition: 0, replicas: [3, 2, 1] }, { partition: 1, replicas: [1, 2, 3] }] }] })
  for (;;) {
    const { topics } = await admin.listPartitionReassignments({ topics: null })
    if (topics.length === 0) break
    for (const p of topics[0].partitions) assert.ok(p.addingReplicas.length + p.removingReplicas.length > 0)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  const after = await admin.fetchTopicMetadata({ topics: [topic] })
  assert.deepStrictEqual(after.topics[0].partitions.map(p => p.replicas), [[3, 2, 1], [1, 2, 3]])
  await assert.rejects(admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment: [
    { partition: 0, replicas: [1, 9] }] }] }))
}

async function main() {
  const admin = kafka.admin()
  await admin.connect()
  await reassign(admin)
  const seen = new Set()
  let twice = 0
  const consumer = kafka.consumer({ groupId: 'readers', sessionTimeout: 6000, heartbeatInterval: 500,
    retry: { initialRetryTime: 100, maxRetryTime: 300, retries: 3 } })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({ eachMessage: async ({ message }) => {
    const value = message.value.toString()
    if (seen.has(value)) twice++
    seen.add(value)
  } })
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1,
    retry: { initialRetryTime: 30, maxRetryTime: 300, retries: 60 } })
  await producer.connect()
  let sent = 0, longest = 0, last = Date.now()
  const end = Date.now() + 4000
  while (Date.now() < end) {
    // One partition a send: of a send to several leaders kafkajs 2.2.4 takes what moved to a leader that has answered
    // for sent (sendMessages.js asks only brokers without a response).
    await producer.send({ topic, messages: [{ partition: sent % 2, value: String(sent++) }] })
    longest = Math.max(longest, Date.now() - last)
    last = Date.now()
    if (sent === 200) console.log('ready')
    await new Promise(resolve => setTimeout(resolve, 2))
  }
  const patience = Date.now() + 60000
  while (seen.size < sent && Date.now() < patience) await new Promise(resolve => setTimeout(resolve, 50))
  assert.strictEqual(seen.size, sent)
  console.log(`kafkajs: ${sent} records through a killed leader, longest pause ${longest} ms, ${twice} read twice`)
  await consumer.disconnect()
  await producer.disconnect()
  await admin.disconnect()
}

main().catch(error => { console.error(error); process.exit(1) })
