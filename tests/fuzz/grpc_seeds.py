#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of fuzz_front for gRPC: a connection for each method of proto/, with requests that mean something.

    tests/fuzz/grpc_seeds.py [DIRECTORY]    default: tests/fuzz/corpus/front

The requests are text, encoded by protoc. A new method gets a line in REQUESTS; tests/tools/test_fuzz_seeds.py asks for it.
Topic 't' with two partitions exists (fuzz_front.c). Headers are literals that enter no table, so that any change of a
byte leaves the rest readable.
"""
import pathlib
import re
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, UNKNOWN = 0, 1, 4, 250
END_STREAM, END_HEADERS = 1, 4
WHOLE, SLOWLY = b"\x05", b"\x83"  # fuzz_front: all bytes at once; 100 at a time, with time between

RECORDS = 'records { key: "k" value: "v" headers { name: "h" value: "w" } } records { value: "x" timestamp_ms: 1700000000000 }'
COMMIT = 'offsets { topic: "t" partition: 0 offset: 1 metadata: "m" } offsets { topic: "t" partition: 1 offset: 5 }'
WAIT = "partitions { topic: 't' partition: 1 offset: 9 max_bytes: 1000 }"

FIRST = ("GroupService/CommitOffsets", [f'group: "g" {COMMIT}'])  # so that there is a group
BEGIN = ("TransactionService/BeginTransaction", ['transactional_id: "w"'])  # the first producer: id 0, epoch 0
IDENTITY = 'transactional_id: "w" producer { producer_id: 0 producer_epoch: 0 }'
APPEND = ("ProducerService/Produce", [f'topic: "t" {RECORDS} {IDENTITY}'])
MEMBER = 'start { topics { topic: "t" } group: "g" credit { records: 5 } progress_interval_ms: 100 '

# method: what is sent, a stream for each list; a stream of several messages stays open unless it ends with None. What is
# sent to another method stands in a pair with its name.
REQUESTS = {
    "TopicService/CreateTopic": [['name: "u" partition_count: 2 replication_factor: 1 '
                                  'configs { name: "cleanup.policy" value: "compact" }'],
                                 ['name: "w" placements { partition: 0 node_ids: 1 } validate_only: true']],
    "TopicService/GetTopic": [['name: "t"'], ['name: "none"']],
    "TopicService/ListTopics": [['page_size: 1'], ['page_token: "t"']],
    "TopicService/UpdateTopic": [['name: "t" set { name: "retention.ms" value: "1000" } unset: "segment.bytes"']],
    "TopicService/DeleteTopic": [['name: "t"']],
    "TopicService/AddPartitions": [['name: "t" partition_count: 4'], ['name: "t" partition_count: 1 validate_only: true']],
    "TopicService/MovePartitions": [['name: "t" placements { partition: 1 node_ids: 1 }'],
                                    ['name: "t" replication_factor: 1'], ['name: "t" cancel: true']],
    "TopicService/ListMoves": [[''], ['name: "t"']],
    "TopicService/DeleteRecords": [['name: "t" partitions { partition: 0 before_offset: -1 } partitions { partition: 7 }']],
    "TopicService/ListOffsets": [['name: "t" partitions: 0 position { timestamp_ms: 1700000000000 }'],
                                 ['name: "t" position { anchor: ANCHOR_LATEST }']],
    "ProducerService/Produce": [[f'topic: "t" partition: 0 {RECORDS}'],
                                [f'topic: "t" {RECORDS} acks: ACKS_LEADER producer {{ producer_id: 1 }} base_sequence: 3']],
    "ProducerService/ProduceStream": [['open { topic: "t" }', f'batch {{ sequence: 1 partition: 1 {RECORDS} }}',
                                       f'batch {{ sequence: 2 {RECORDS} }}', None]],
    "ProducerService/InitProducer": [['']],
    "ConsumerService/Fetch": [['partitions { topic: "t" partition: 0 offset: 0 } max_bytes: 1000 max_wait_ms: 100'],
                              [f'{WAIT} min_bytes: 1 max_wait_ms: 500 isolation: ISOLATION_READ_COMMITTED '
                               'format: RECORD_FORMAT_BATCHES']],
    "ConsumerService/Consume": [
        ['start { topics { topic: "t" partitions { partition: 0 start { offset: 0 } } } credit { records: 5 bytes: 1000 } }',
         'pause { partitions { topic: "t" partition: 0 } }', 'resume { partitions { topic: "t" partition: 0 } }',
         'seek { topic: "t" partition: 0 start { anchor: ANCHOR_EARLIEST } }', 'credit { records: 9 }'],
        [MEMBER + 'instance_id: "i" release_timeout_ms: 500 }',
         f'commit {{ {COMMIT} }}', 'release { partitions { topic: "t" partition: 1 } }', None]],
    "GroupService/ListGroups": [FIRST, ['']],
    "GroupService/GetGroup": [FIRST, ("ConsumerService/Consume", [MEMBER + '}', 'credit { records: 1 }']), ['name: "g"']],
    "GroupService/WatchGroup": [FIRST, ['name: "g" interval_ms: 100'], ['name: "none"']],
    "GroupService/GetOffsets": [FIRST, ['group: "g" partitions { topic: "t" partition: 1 }'], ['group: "g"']],
    "GroupService/DeleteGroup": [FIRST, ['name: "g"']],
    "GroupService/CommitOffsets": [[f'group: "g" {COMMIT}']],
    "GroupService/ResetOffsets": [FIRST, ['group: "g" topics: "t" to { anchor: ANCHOR_EARLIEST }']],
    "TransactionService/BeginTransaction": [BEGIN, APPEND, ['transactional_id: "w" timeout_ms: 1000']],
    "TransactionService/AddOffsets": [BEGIN, [f'{IDENTITY} group: "g" {COMMIT}'],
                                      [f'{IDENTITY} group: "g" {COMMIT} member_id: "m" member_epoch: 1']],
    "TransactionService/CommitTransaction": [BEGIN, APPEND, [IDENTITY], [IDENTITY]],
    "TransactionService/AbortTransaction": [BEGIN, APPEND, ['transactional_id: "w"'], [IDENTITY]],
    "TransactionService/ListTransactions": [BEGIN, ['states: TRANSACTION_STATE_EMPTY page_size: 1'], ['page_token: "dw"']],
    "TransactionService/GetTransaction": [BEGIN, APPEND, ['transactional_id: "w"'], ['transactional_id: "none"']],
    "ClusterService/GetCluster": [['']],
    "ClusterService/ListNodes": [['']],
    "ClusterService/GetNode": [['node_id: 1'], ['node_id: 9']],
    "ClusterService/WatchCluster": [['interval_ms: 100'], ['interval_ms: 1']],
    "ClusterService/AddNode": [['node_id: 2 address: "node1:9092"']],
    "ClusterService/DrainNode": [['node_id: 1']],
    "ClusterService/RemoveNode": [['node_id: 1']],
    "ClusterService/SetCatchUpRate": [['bytes_per_second: 1000000'], ['bytes_per_second: -1']],
    "ClusterService/TransferLeader": [['topic: "t" partition: 0 node_id: 1']],
    "ClusterService/PlanRebalance": [['max_moves: 5'], ['']],
    "ClusterService/CreateCheckpoint": [['name: "c"']],
}


def methods(top=ROOT / "proto/sentinel/v1"):
    """{'Service/Method': type of the request}"""
    found = {}
    for path in sorted(top.glob("*_service.proto")):
        text = path.read_text()
        service = re.search(r"^service (\w+)", text, re.M).group(1)
        for name, kind in re.findall(r"^ *rpc (\w+)\((?:stream )?(\w+)\)", text, re.M):
            found[f"{service}/{name}"] = kind
    return found


def encode(kind, text):
    files = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto/sentinel/v1").glob("*.proto"))
    return subprocess.run(["protoc", f"-I{ROOT / 'proto'}", f"--encode=sentinel.v1.{kind}", *files], cwd=ROOT / "proto",
                          input=text.encode(), stdout=subprocess.PIPE, check=True).stdout


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(method):
    fields = {":method": "POST", ":scheme": "http", ":path": f"/sentinel.v1.{method}", ":authority": "x",
              "te": "trailers", "content-type": "application/grpc", "grpc-timeout": "2S"}
    return b"".join(b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
                    for name, value in fields.items())


def connection(method, kinds, streams):
    slow = any(isinstance(stream, tuple) or len(stream) > 1 for stream in streams)
    # A piece of 100 bytes that says nothing: time passes.
    pause = frame(UNKNOWN, 0, 0, bytes(91)) * 5 if slow else b""
    out = (SLOWLY if slow else WHOLE) + PREFACE + frame(SETTINGS, 0, 0, b"")
    for number, messages in enumerate(streams):
        stream = 2 * number + 1
        to, messages = messages if isinstance(messages, tuple) else (method, messages)
        texts = [text for text in messages if text is not None]
        out += frame(HEADERS, END_HEADERS, stream, headers(to))
        for index, text in enumerate(texts):
            message = encode(kinds[to], text)
            last = index == len(texts) - 1 and (len(messages) == 1 or messages[-1] is None)
            out += frame(DATA, END_STREAM if last else 0, stream, b"\0" + struct.pack(">I", len(message)) + message) + pause
    return out


def write(directory):
    kinds = methods()
    for method in kinds:
        name = re.sub(r"(?<!^)(?=[A-Z])", "-", method.split("/")[1]).lower()
        (directory / f"rpc-{name}").write_bytes(connection(method, kinds, REQUESTS[method]))


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests/fuzz/corpus/front")
