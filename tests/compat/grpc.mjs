// SPDX-License-Identifier: Apache-2.0
// @grpc/grpc-js, a client nobody here wrote: topics, unary produce, a consume stream with credit, refusals with their codes,
// gzip, a deadline. Prints what it did; any surprise ends it with a stack.
import assert from "node:assert";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const root = fileURLToPath(new URL("../../proto", import.meta.url));
const files = ["sentinel/v1/topic_service.proto", "sentinel/v1/producer_service.proto", "sentinel/v1/consumer_service.proto",
  "grpc/health/v1/health.proto"];
const api = grpc.loadPackageDefinition(loader.loadSync(files, { includeDirs: [root], longs: Number, enums: String, oneofs: true }));
const server = process.env.SENTINEL_SERVER, plain = grpc.credentials.createInsecure();
const topics = new api.sentinel.v1.TopicService(server, plain);
const producer = new api.sentinel.v1.ProducerService(server, plain, { "grpc.default_compression_algorithm": 2 });
const consumer = new api.sentinel.v1.ConsumerService(server, plain);
const health = new api.grpc.health.v1.Health(server, plain);

const call = (client, method, request, options = {}) => new Promise((resolve, reject) =>
  client[method](request, options, (error, answer) => (error ? reject(error) : resolve(answer))));

assert.equal((await call(health, "Check", {})).status, "SERVING");
await call(topics, "CreateTopic", { name: "grpcjs", partitionCount: 2 });
await assert.rejects(call(topics, "CreateTopic", { name: "grpcjs" }), { code: grpc.status.ALREADY_EXISTS });
await assert.rejects(call(topics, "CreateTopic", { name: "../x" }), { code: grpc.status.INVALID_ARGUMENT });
await assert.rejects(call(producer, "Produce", { topic: "grpcjs", partition: 9, records: [{ value: Buffer.from("x") }] }),
  { code: grpc.status.NOT_FOUND });

const count = 1000;
for (let i = 0; i < count; i += 100) {
  const records = Array.from({ length: 100 }, (_, k) => ({ key: Buffer.from(`key ${(i + k) % 7}`), value: Buffer.from(`value ${i + k} ${"z".repeat(200)}`) }));
  const answer = await call(producer, "Produce", { topic: "grpcjs", records });
  assert.equal(answer.results.reduce((sum, result) => sum + result.recordCount, 0), 100);
}

const stream = consumer.Consume();
stream.write({ start: { topics: [{ topic: "grpcjs", start: { anchor: "ANCHOR_EARLIEST" } }], credit: { records: 50, bytes: 1 << 30 } } });
const seen = new Set();
let most = 0;
for await (const message of stream) {
  const records = message.records?.records ?? [];
  most = Math.max(most, records.length);
  for (const record of records) seen.add(record.value.toString().split(" ")[1]);
  if (seen.size === count) break;
  if (records.length > 0) stream.write({ credit: { records: records.length } });
}
stream.cancel();
assert.equal(seen.size, count);
assert.ok(most <= 50, "more came than the credit allowed");

const began = Date.now();
const beyond = await call(consumer, "Fetch", { partitions: [{ topic: "grpcjs", partition: 0, offset: 100000 }] });
assert.equal(beyond.partitions[0].error.code, grpc.status.OUT_OF_RANGE);
await assert.rejects(call(topics, "GetTopic", { name: "none" }), { code: grpc.status.NOT_FOUND });
const offset = (await call(topics, "GetTopic", { name: "grpcjs" })).topic.partitions[0].highWatermark;
// A long poll ends, empty, shortly before the call's deadline.
const late = await call(consumer, "Fetch", { partitions: [{ topic: "grpcjs", partition: 0, offset }], minBytes: 1, maxWaitMs: 30000 },
  { deadline: Date.now() + 1000 });
assert.equal(late.partitions[0].records?.length ?? 0, 0);
assert.ok(Date.now() - began < 5000);
console.log(`grpc-js: ${count} records in (gzip) and out with credit, refusals and a deadline as they should be`);
for (const client of [topics, producer, consumer, health]) client.close();
