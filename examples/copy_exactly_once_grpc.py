# SPDX-License-Identifier: Apache-2.0
"""Consume, transform, produce, each record exactly once, over gRPC: results and offsets are one transaction.

    protoc -I proto --python_out=generated $(cd proto && find sentinel google -name '*.proto')
    PYTHONPATH=generated python3 examples/copy_exactly_once_grpc.py 127.0.0.1:9092 FROM TO GROUP WORKER

It may be killed at any moment, and so may the broker: another one of the same name goes on, and whoever reads TO with
ISOLATION_READ_COMMITTED sees every result once. A group may have many workers, each with a name of its own.
"""
import queue
import sys
import time

import grpc
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2 as rpc_status
from sentinel.v1 import consumer_service_pb2 as consuming
from sentinel.v1 import producer_service_pb2 as producing
from sentinel.v1 import record_pb2 as records
from sentinel.v1 import transaction_service_pb2 as transactions

BATCH = 100


def reason(error):
    """Why a call failed, in one word: the reason of its ErrorInfo."""
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    for detail in rpc_status.Status.FromString(packed).details:
        info = details.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return ""


class Worker:
    def __init__(self, channel, source, target, group, name):
        self.channel, self.source, self.target, self.group, self.name = channel, source, target, group, name

    def call(self, service, name, answer, request):
        method = self.channel.unary_unary(f"/sentinel.v1.{service}/{name}", response_deserializer=answer.FromString,
                                          request_serializer=type(request).SerializeToString)
        return method(request, timeout=30)

    def transaction(self, name, **fields):
        request = getattr(transactions, name + "Request")(transactional_id=self.name, **fields)
        return self.call("TransactionService", name, getattr(transactions, name + "Response"), request)

    def consume(self, sent):
        start = consuming.ConsumeStart(group=self.group, isolation=consuming.ISOLATION_READ_COMMITTED,
                                       credit=consuming.ConsumeCredit(records=BATCH, bytes=1 << 20))
        start.topics.add(topic=self.source).start.anchor = consuming.ANCHOR_EARLIEST
        sent.put(consuming.ConsumeRequest(start=start))
        method = self.channel.stream_stream("/sentinel.v1.ConsumerService/Consume",
                                            request_serializer=consuming.ConsumeRequest.SerializeToString,
                                            response_deserializer=consuming.ConsumeResponse.FromString)
        return method(iter(sent.get, None))

    def copy(self, got, producer, member_id, epoch):
        """One transaction: the results of `got`, and that they are done. Returns the identity for the next one."""
        request = producing.ProduceRequest(topic=self.target, transactional_id=self.name, producer=producer)
        for record in got.records:
            request.records.append(records.Record(key=record.key, value=record.value.upper()))
        self.call("ProducerService", "Produce", producing.ProduceResponse, request)
        done = consuming.CommitOffset(topic=got.topic, partition=got.partition, offset=got.next_offset)
        self.transaction("AddOffsets", producer=producer, group=self.group, offsets=[done], member_id=member_id,
                         member_epoch=epoch)
        return self.transaction("CommitTransaction", producer=producer).producer

    def run(self):
        # Whoever had this name before is fenced, and what it left open is aborted.
        producer = self.transaction("BeginTransaction").producer
        sent, member_id, epoch = queue.Queue(), "", 0
        stream = self.consume(sent)
        try:
            for message in stream:
                kind = message.WhichOneof("message")
                if kind == "started":
                    member_id = message.started.member_id
                elif kind == "assignment":
                    epoch = message.assignment.epoch
                    if message.assignment.releasing:  # everything that was read of them is committed
                        sent.put(consuming.ConsumeRequest(release=consuming.ConsumeRelease()))
                elif kind == "records" and message.records.records:
                    producer = self.copy(message.records, producer, member_id, epoch)
                    count = len(message.records.records)
                    size = sum(record.ByteSize() for record in message.records.records)
                    sent.put(consuming.ConsumeRequest(credit=consuming.ConsumeCredit(records=count, bytes=size)))
        finally:
            stream.cancel()
            sent.put(None)


def main():
    server, *names = sys.argv[1:6]
    while True:
        with grpc.insecure_channel(server) as channel:
            try:
                Worker(channel, *names).run()
            except grpc.RpcError as error:  # what was begun is aborted when it begins again
                if reason(error) in ("PRODUCER_FENCED", "INVALID_PRODUCER_ID_MAPPING"):
                    sys.exit("another worker of this name has taken over")
                print(f"begins again: {error.details()}", file=sys.stderr)
                time.sleep(0.1)


if __name__ == "__main__":
    main()
