# SPDX-License-Identifier: Apache-2.0
"""The gRPC API with Debian's python3-grpcio: stubs nobody here wrote, messages generated from proto/ on the spot."""
import importlib
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import time
import unittest
from concurrent import futures

import confluent_kafka as kafka
import grpc

from lib.broker import OneBroker, sentinel
from lib.cluster import Cluster

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def generate():
    directory = tempfile.mkdtemp(prefix="sentinel-proto-")
    files = [str(path.relative_to(ROOT / "proto")) for path in sorted((ROOT / "proto").rglob("*.proto"))]
    subprocess.run(["protoc", "-I", str(ROOT / "proto"), f"--python_out={directory}", *files], check=True)
    sys.path.insert(0, directory)
    # The system's grpc package is a package already: our generated grpc.health must not hide it.
    own = os.path.join(directory, "grpc")
    if os.path.isdir(own):
        grpc.__path__.append(own)


generate()
topics = importlib.import_module("sentinel.v1.topic_service_pb2")
producing = importlib.import_module("sentinel.v1.producer_service_pb2")
consuming = importlib.import_module("sentinel.v1.consumer_service_pb2")
records = importlib.import_module("sentinel.v1.record_pb2")
clusters = importlib.import_module("sentinel.v1.cluster_service_pb2")
rpc_status = importlib.import_module("google.rpc.status_pb2")
details = importlib.import_module("google.rpc.error_details_pb2")
health = importlib.import_module("grpc.health.v1.health_pb2")
reflection = importlib.import_module("grpc.reflection.v1.reflection_pb2")


class Api(OneBroker):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.channel = grpc.insecure_channel(cls.broker.address, options=[("grpc.max_receive_message_length", 64 << 20)])
        cls.addClassCleanup(cls.channel.close)

    def call(self, method, request, response_type, timeout=20, **options):
        return self.channel.unary_unary(method, request_serializer=type(request).SerializeToString,
                                        response_deserializer=response_type.FromString)(request, timeout=timeout, **options)

    def create(self, name, **fields):
        return self.call("/sentinel.v1.TopicService/CreateTopic", topics.CreateTopicRequest(name=name, **fields),
                         topics.CreateTopicResponse)

    def produce(self, **fields):
        return self.call("/sentinel.v1.ProducerService/Produce", producing.ProduceRequest(**fields),
                         producing.ProduceResponse)

    def fails(self, code, function, *arguments, **options):
        with self.assertRaises(grpc.RpcError) as failed:
            function(*arguments, **options)
        self.assertEqual(failed.exception.code(), code, failed.exception.details())
        return failed.exception

    def test_isolation(self):
        self.create("isolated")
        producer = kafka.Producer({"bootstrap.servers": self.broker.address, "transactional.id": "isolating"})
        producer.init_transactions(20)
        for value, end in (("kept", producer.commit_transaction), ("dropped", producer.abort_transaction),
                           ("kept too", producer.commit_transaction), ("open", None)):
            producer.begin_transaction()
            producer.produce("isolated", value)
            producer.flush(10)
            if end is not None:
                end(20)
        for isolation, expected in ((consuming.ISOLATION_UNSPECIFIED, ["kept", "dropped", "kept too", "open"]),
                                    (consuming.ISOLATION_READ_COMMITTED, ["kept", "kept too"])):
            request = consuming.FetchRequest(isolation=isolation, max_wait_ms=100)
            request.partitions.add(topic="isolated", offset=0)
            answer = self.call("/sentinel.v1.ConsumerService/Fetch", request, consuming.FetchResponse).partitions[0]
            self.assertEqual([record.value.decode() for record in answer.records], expected)
            start = consuming.ConsumeStart(isolation=isolation, credit=consuming.ConsumeCredit(records=100, bytes=1 << 20))
            start.topics.add(topic="isolated").start.anchor = consuming.ANCHOR_EARLIEST
            method = self.channel.stream_stream("/sentinel.v1.ConsumerService/Consume",
                                                request_serializer=consuming.ConsumeRequest.SerializeToString,
                                                response_deserializer=consuming.ConsumeResponse.FromString)
            stop = queue.Queue()
            stop.put(consuming.ConsumeRequest(start=start))
            got, call = [], method(iter(stop.get, None), timeout=20)
            for message in call:
                got += [record.value.decode() for record in message.records.records]
                if len(got) >= len(expected):
                    break
            call.cancel()
            stop.put(None)
            self.assertEqual(got, expected)
        producer.abort_transaction(20)

    def test_topics(self):
        made = self.create("api", partition_count=3, configs=[topics.TopicConfigValue(name="retention.ms", value="5000")])
        self.assertEqual((made.topic.partition_count, len(made.topic.topic_id)), (3, 16))
        error = self.fails(grpc.StatusCode.ALREADY_EXISTS, self.create, "api")
        status = rpc_status.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
        info = details.ErrorInfo()
        self.assertTrue(any(detail.type_url.endswith("google.rpc.ErrorInfo") for detail in status.details))
        for detail in status.details:
            if detail.type_url.endswith("ErrorInfo"):
                info.ParseFromString(detail.value)
        self.assertEqual((info.reason, info.domain), ("EXISTS", "sentinel"))
        self.fails(grpc.StatusCode.INVALID_ARGUMENT, self.create, "../x")
        listed = self.call("/sentinel.v1.TopicService/ListTopics", topics.ListTopicsRequest(), topics.ListTopicsResponse)
        self.assertIn("api", [topic.name for topic in listed.topics])
        self.call("/sentinel.v1.TopicService/DeleteTopic", topics.DeleteTopicRequest(name="api"),
                  topics.DeleteTopicResponse)
        self.fails(grpc.StatusCode.NOT_FOUND, self.call, "/sentinel.v1.TopicService/GetTopic",
                   topics.GetTopicRequest(name="api"), topics.GetTopicResponse)

    def test_unary_produce_and_fetch(self):
        self.create("unary")
        sent = [records.Record(key=b"k%d" % i, value=b"v" * i,
                               headers=[records.RecordHeader(name="h", value=b"x")]) for i in range(50)]
        answer = self.produce(topic="unary", partition=0, records=sent)
        self.assertEqual((answer.results[0].base_offset, answer.results[0].record_count), (0, 50))
        fetched = self.call("/sentinel.v1.ConsumerService/Fetch", consuming.FetchRequest(
            partitions=[consuming.FetchPartition(topic="unary", partition=0, offset=10)]), consuming.FetchResponse)
        got = fetched.partitions[0].records
        self.assertEqual([record.offset for record in got], list(range(10, 50)))
        self.assertEqual((got[5].key, got[5].value, got[5].headers[0].value), (b"k15", b"v" * 15, b"x"))

    def test_gzip_both_ways(self):
        self.create("zipped")
        channel = grpc.insecure_channel(self.broker.address, compression=grpc.Compression.Gzip)
        request = producing.ProduceRequest(topic="zipped", partition=0, records=[records.Record(value=b"z" * 100000)])
        answer = channel.unary_unary("/sentinel.v1.ProducerService/Produce",
                                     request_serializer=producing.ProduceRequest.SerializeToString,
                                     response_deserializer=producing.ProduceResponse.FromString)(request, timeout=20)
        self.assertEqual(answer.results[0].base_offset, 0)
        channel.close()

    def test_streams(self):
        self.create("streamed", partition_count=2)

        def batches():
            yield producing.ProduceStreamRequest(open=producing.ProduceStreamOpen(topic="streamed"))
            for i in range(200):
                yield producing.ProduceStreamRequest(batch=producing.ProduceStreamBatch(
                    sequence=i, partition=i % 2, records=[records.Record(value=b"%d" % i)]))

        answers = list(self.channel.stream_stream(
            "/sentinel.v1.ProducerService/ProduceStream",
            request_serializer=producing.ProduceStreamRequest.SerializeToString,
            response_deserializer=producing.ProduceStreamResponse.FromString)(batches(), timeout=30))
        self.assertEqual(answers[0].opened.partition_count, 2)
        self.assertEqual([answer.ack.sequence for answer in answers[1:]], list(range(200)))
        self.assertEqual([answer.ack.results[0].base_offset for answer in answers[1:]], [i // 2 for i in range(200)])

        # 30 records of credit, and not one more, until it is given.
        import queue
        requests = queue.Queue()
        requests.put(consuming.ConsumeRequest(start=consuming.ConsumeStart(
            topics=[consuming.ConsumeTopic(topic="streamed", start=consuming.StartPosition(anchor=1))],
            credit=consuming.ConsumeCredit(records=30, bytes=1 << 20))))
        stream = self.channel.stream_stream(
            "/sentinel.v1.ConsumerService/Consume", request_serializer=consuming.ConsumeRequest.SerializeToString,
            response_deserializer=consuming.ConsumeResponse.FromString)(iter(requests.get, None), timeout=30)
        self.assertEqual(len(next(stream).started.partitions), 2)
        values, credit = [], 30
        for response in stream:
            values += [int(record.value) for record in response.records.records]
            self.assertLessEqual(len(values), credit)
            if len(values) == 200:
                break
            if len(values) == credit:
                credit += 85
                requests.put(consuming.ConsumeRequest(credit=consuming.ConsumeCredit(records=85, bytes=1 << 20)))
        self.assertEqual(sorted(values), list(range(200)))
        stream.cancel()
        requests.put(None)

    def test_deadline_and_cancellation(self):
        self.create("waiting")
        request = consuming.FetchRequest(partitions=[consuming.FetchPartition(topic="waiting", partition=0)],
                                         min_bytes=1, max_wait_ms=60000)
        # The broker answers, empty, shortly before the deadline. On a busy machine the client's clock may win all the
        # same (the unit tests hold the broker to it on simulated time); what must not happen is a minute's wait.
        began = time.monotonic()
        try:
            answer = self.call("/sentinel.v1.ConsumerService/Fetch", request, consuming.FetchResponse, timeout=1)
            self.assertEqual(len(answer.partitions[0].records), 0)
        except grpc.RpcError as late:
            self.assertEqual(late.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertLess(time.monotonic() - began, 20)
        waiting = self.channel.unary_unary("/sentinel.v1.ConsumerService/Fetch",
                                           request_serializer=consuming.FetchRequest.SerializeToString,
                                           response_deserializer=consuming.FetchResponse.FromString).future(request)
        self.assertTrue(waiting.cancel())

    def test_refusals(self):
        self.fails(grpc.StatusCode.UNIMPLEMENTED, self.call, "/sentinel.v1.Nothing/Here", topics.GetTopicRequest(),
                   topics.GetTopicResponse)
        self.create("limited", configs=[topics.TopicConfigValue(name="max.message.bytes", value="1000")])
        error = self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, self.produce, topic="limited", partition=0,
                           records=[records.Record(value=b"x" * 5000)])
        self.assertIn("max.message.bytes", error.details())
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, self.call, "/sentinel.v1.TopicService/GetTopic",
                   topics.GetTopicRequest(name="x" * (6 << 20)), topics.GetTopicResponse)
        garbage = self.channel.unary_unary("/sentinel.v1.TopicService/CreateTopic")
        self.fails(grpc.StatusCode.INVALID_ARGUMENT, garbage, b"\xff\xff\xff\xff", timeout=10)

    def test_health_and_reflection(self):
        for service in ("", "sentinel.v1.TopicService"):
            answer = self.call("/grpc.health.v1.Health/Check", health.HealthCheckRequest(service=service),
                               health.HealthCheckResponse)
            self.assertEqual(answer.status, health.HealthCheckResponse.SERVING)
        self.fails(grpc.StatusCode.NOT_FOUND, self.call, "/grpc.health.v1.Health/Check",
                   health.HealthCheckRequest(service="none"), health.HealthCheckResponse)
        for version in ("v1", "v1alpha"):
            ask = self.channel.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                request_serializer=reflection.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection.ServerReflectionResponse.FromString)
            answers = list(ask(iter([reflection.ServerReflectionRequest(list_services=""),
                                     reflection.ServerReflectionRequest(file_containing_symbol="sentinel.v1.TopicService"),
                                     reflection.ServerReflectionRequest(file_containing_symbol="no.Such")]), timeout=10))
            services = [service.name for service in answers[0].list_services_response.service]
            self.assertIn("sentinel.v1.TopicService", services)
            self.assertTrue(answers[1].file_descriptor_response.file_descriptor_proto)
            self.assertEqual(answers[2].error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0])

    def test_a_watcher_is_told_of_answers_that_are_none(self):
        class Garbage(grpc.GenericRpcHandler):
            def service(self, details):
                return grpc.unary_stream_rpc_method_handler(lambda request, context: self.answer(context))

            def answer(self, context):
                yield b"\xff\xff"
                while context.is_active():
                    time.sleep(0.01)

        server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Garbage()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        done = sentinel("group", "describe", "g", "--watch", "--server", f"127.0.0.1:{port}")
        server.stop(None)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"malformed", done.stderr)

    def test_cluster(self):
        answer = self.call("/sentinel.v1.ClusterService/GetCluster", clusters.GetClusterRequest(),
                           clusters.GetClusterResponse)
        self.assertEqual((len(answer.cluster_id), answer.node_id), (22, 1))
        self.assertEqual((answer.late_count, answer.leaderless_count, answer.catch_up_rate), (0, 0, -1))
        nodes = self.call("/sentinel.v1.ClusterService/ListNodes", clusters.ListNodesRequest(), clusters.ListNodesResponse)
        self.assertEqual([(n.node_id, n.late_count, n.lacking_count) for n in nodes.nodes], [(1, 0, 0)])
        disk = nodes.nodes[0].disk
        self.assertTrue(0 < disk.stored_bytes and 0 < disk.free_bytes <= disk.size_bytes, disk)

    def test_the_rate_of_copies(self):
        def call(method, request, answer):
            with grpc.insecure_channel(cluster.addresses[1]) as channel:
                return channel.unary_unary(f"/sentinel.v1.ClusterService/{method}",
                                           request_serializer=type(request).SerializeToString,
                                           response_deserializer=answer.FromString)(request, timeout=20, wait_for_ready=True)

        def say(rate):
            call("SetCatchUpRate", clusters.SetCatchUpRateRequest(bytes_per_second=rate), clusters.SetCatchUpRateResponse)

        def rate():
            return call("GetCluster", clusters.GetClusterRequest(), clusters.GetClusterResponse).catch_up_rate

        with Cluster(1) as cluster:
            cluster.create("t", replicas=1)
            for given in (0, 2**62, -1, 1):
                say(given)
                self.assertEqual(rate(), given)
            self.fails(grpc.StatusCode.INVALID_ARGUMENT, say, -2)
            cluster.kill(1)
            cluster.start(1)
            cluster.until(lambda: rate() == 1, what="the rate that was given before")
        failed = self.fails(grpc.StatusCode.INVALID_ARGUMENT, self.call, "/sentinel.v1.ClusterService/SetCatchUpRate",
                            clusters.SetCatchUpRateRequest(bytes_per_second=1), clusters.SetCatchUpRateResponse)
        self.assertIn("--peers", failed.details())  # one that runs alone has nothing to copy


if __name__ == "__main__":
    unittest.main()
