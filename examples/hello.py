# SPDX-License-Identifier: Apache-2.0
"""Sends three records over gRPC and reads them back as a member of a group, which remembers how far it got.

    protoc -I proto --python_out=generated $(cd proto && find . -name '*.proto')
    PYTHONPATH=generated python3 examples/hello.py 127.0.0.1:9092
"""
import queue
import sys

import grpc
from sentinel.v1 import consumer_service_pb2 as consuming
from sentinel.v1 import producer_service_pb2 as producing
from sentinel.v1 import record_pb2 as records
from sentinel.v1 import topic_service_pb2 as topics


def unary(channel, service, name, request, answer):
    """Calls one method; no generated stubs are needed for that."""
    method = channel.unary_unary(f"/sentinel.v1.{service}/{name}", request_serializer=type(request).SerializeToString,
                                 response_deserializer=answer.FromString)
    return method(request, timeout=10)


def produce(channel, topic):
    request = producing.ProduceRequest(topic=topic)
    for word in ("one", "two", "three"):
        request.records.append(records.Record(key=b"greeting", value=word.encode()))
    answer = unary(channel, "ProducerService", "Produce", request, producing.ProduceResponse)
    for result in answer.results:
        print(f"{result.record_count} records are at offset {result.base_offset} of partition {result.partition}")


def consume(channel, topic, group, count):
    """Reads until `count` records were seen, then commits where it stands."""
    sent = queue.Queue()
    start = consuming.ConsumeStart(group=group, credit=consuming.ConsumeCredit(records=100, bytes=1 << 20))
    start.topics.add(topic=topic).start.anchor = consuming.ANCHOR_EARLIEST
    sent.put(consuming.ConsumeRequest(start=start))
    method = channel.stream_stream("/sentinel.v1.ConsumerService/Consume",
                                   request_serializer=consuming.ConsumeRequest.SerializeToString,
                                   response_deserializer=consuming.ConsumeResponse.FromString)
    call = method(iter(sent.get, None), timeout=30)
    for answer in call:
        kind = answer.WhichOneof("message")
        if kind == "records":
            got = answer.records
            for record in got.records:
                print(f"read '{record.value.decode()}' at offset {record.offset}")
            count -= len(got.records)
            commit = consuming.ConsumeCommit()
            commit.offsets.add(topic=topic, partition=got.partition, offset=got.records[-1].offset + 1)
            sent.put(consuming.ConsumeRequest(commit=commit))
        elif kind == "committed" and count <= 0:
            break
    call.cancel()
    sent.put(None)


def main():
    server = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9092"
    with grpc.insecure_channel(server) as channel:
        try:
            unary(channel, "TopicService", "CreateTopic", topics.CreateTopicRequest(name="hello-py"),
                  topics.CreateTopicResponse)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.ALREADY_EXISTS:
                raise
        produce(channel, "hello-py")
        consume(channel, "hello-py", "hello-py-readers", 3)


if __name__ == "__main__":
    main()
