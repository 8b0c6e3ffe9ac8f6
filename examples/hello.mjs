// SPDX-License-Identifier: Apache-2.0
// Sends three records over gRPC and reads them back as a member of a group, which remembers how far it got.
//
//     npm install @grpc/grpc-js @grpc/proto-loader
//     node examples/hello.mjs 127.0.0.1:9092
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const proto = fileURLToPath(new URL("../proto", import.meta.url));
const services = ["topic", "producer", "consumer"].map((name) => `sentinel/v1/${name}_service.proto`);
const { sentinel } = grpc.loadPackageDefinition(
  loader.loadSync(services, { includeDirs: [proto], longs: Number, enums: String, defaults: true, oneofs: true }));
const server = process.argv[2] ?? "127.0.0.1:9092", plain = grpc.credentials.createInsecure();
const topics = new sentinel.v1.TopicService(server, plain);
const producer = new sentinel.v1.ProducerService(server, plain);
const consumer = new sentinel.v1.ConsumerService(server, plain);
const topic = "hello-js", group = "hello-js-readers";

const call = (client, method, request) => new Promise((resolve, reject) =>
  client[method](request, (error, answer) => (error ? reject(error) : resolve(answer))));

await call(topics, "CreateTopic", { name: topic }).catch((error) => {
  if (error.code !== grpc.status.ALREADY_EXISTS) throw error;
});
const records = ["one", "two", "three"].map((word) => ({ key: Buffer.from("greeting"), value: Buffer.from(word) }));
for (const result of (await call(producer, "Produce", { topic, records })).results)
  console.log(`${result.recordCount} records are at offset ${result.baseOffset} of partition ${result.partition}`);

// The broker sends no more than the credit; each answer gives back what it used.
const stream = consumer.Consume();
stream.write({ start: { group, topics: [{ topic, start: { anchor: "ANCHOR_EARLIEST" } }], credit: { records: 100, bytes: 1 << 20 } } });
let missing = records.length;
for await (const answer of stream) {
  if (answer.message === "records") {
    const { partition, records: got } = answer.records;
    for (const record of got) console.log(`read '${record.value}' at offset ${record.offset}`);
    missing -= got.length;
    stream.write({ credit: { records: got.length } });
    stream.write({ commit: { offsets: [{ topic, partition, offset: got[got.length - 1].offset + 1 }] } });
  } else if (answer.message === "committed" && missing <= 0) {
    break;
  }
}
stream.cancel();
