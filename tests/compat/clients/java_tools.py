# SPDX-License-Identifier: Apache-2.0
"""Features of Kafka's own command line tools: java_tools.py FEATURE, with the jars of $JAVA_TOOLS"""
import json
import os
import subprocess
import sys
import tempfile
import uuid

SERVER = os.environ["SENTINEL_SERVER"]
JARS = os.environ["JAVA_TOOLS"]
TOOLS = "org.apache.kafka.tools."


def tool(name, *arguments, input=None, ok=True):
    """What it printed; a tool that fails says so on either stream."""
    done = subprocess.run(["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp", f"{JARS}/*", name,
                           "--bootstrap-server", SERVER, *arguments], input=input, capture_output=True, timeout=120)
    text = (done.stdout + done.stderr).decode()
    assert (done.returncode == 0) == ok, f"{name} {' '.join(arguments)}: {text[-500:]}"
    return text


def expect(text, *parts):
    for part in parts:
        assert part in text, f"{part!r} is not in {text[-800:]!r}"
    return text


def make_topic(partitions=2):
    topic = "tools-" + uuid.uuid4().hex[:12]
    expect(tool(TOOLS + "TopicCommand", "--create", "--topic", topic, "--partitions", str(partitions)), "Created topic " + topic)
    return topic


def produce(topic, count):
    tool(TOOLS + "ConsoleProducer", "--topic", topic, input=b"".join(b"%d\n" % i for i in range(count)))


def consume(topic, count, *more):
    return tool(TOOLS + "consumer.ConsoleConsumer", "--topic", topic, "--from-beginning", "--max-messages", str(count),
                "--timeout-ms", "60000", *more)


def data():
    topic = make_topic()
    produce(topic, 100)
    got = [line for line in consume(topic, 100).splitlines() if line.isdigit()]
    assert sorted(map(int, got)) == list(range(100)), got
    offsets = tool(TOOLS + "GetOffsetShell", "--topic", topic)
    assert sum(int(line.split(":")[2]) for line in offsets.splitlines() if line.startswith(topic)) == 100, offsets
    for time in ("earliest", "max-timestamp", "earliest-local"):
        expect(tool(TOOLS + "GetOffsetShell", "--topic", topic, "--time", time), topic)
    assert tool(TOOLS + "GetOffsetShell", "--topic", topic, "--time", "latest-tiered").strip() == ""  # nothing is tiered


def topics(topic):
    command = TOOLS + "TopicCommand"
    expect(tool(command, "--list"), topic)
    tool(command, "--alter", "--topic", topic, "--partitions", "3")
    expect(tool(command, "--describe", "--topic", topic), "PartitionCount: 3", "ReplicationFactor: 1", "Partition: 2", "Isr: 1")
    assert tool(command, "--describe", "--under-replicated-partitions").strip() == ""


def configs(topic):
    command = "kafka.admin.ConfigCommand"
    tool(command, "--alter", "--topic", topic, "--add-config", "retention.ms=7200000,cleanup.policy=[compact,delete]")
    expect(tool(command, "--describe", "--topic", topic), "retention.ms=7200000", "cleanup.policy=compact,delete")
    tool(command, "--alter", "--topic", topic, "--delete-config", "retention.ms")
    assert "retention.ms=7200000" not in tool(command, "--describe", "--topic", topic)
    expect(tool(command, "--describe", "--broker", "1", "--all"), "num.partitions")


def records(topic, folder):
    plan = os.path.join(folder, "offsets.json")
    with open(plan, "w") as file:
        json.dump({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": -1}]}, file)
    expect(tool(TOOLS + "DeleteRecordsCommand", "--offset-json-file", plan), "low_watermark")
    expect(tool(TOOLS + "LogDirsCommand", "--describe", "--topic-list", topic), '"partition":"%s-0"' % topic)


def moves(topic, folder):
    plan = os.path.join(folder, "moves.json")
    with open(plan, "w") as file:
        json.dump({"version": 1, "partitions": [{"topic": topic, "partition": 0, "replicas": [1], "log_dirs": ["any"]}]}, file)
    command = TOOLS + "reassign.ReassignPartitionsCommand"
    expect(tool(command, "--list"), "No partition reassignments")
    expect(tool(command, "--verify", "--reassignment-json-file", plan), f"{topic}-0 is completed")
    expect(tool(TOOLS + "LeaderElectionCommand", "--election-type", "preferred", "--all-topic-partitions"), "")


def cluster():
    expect(tool(TOOLS + "MetadataQuorumCommand", "describe", "--status"), "LeaderId:", "CurrentVoters:")
    expect(tool(TOOLS + "MetadataQuorumCommand", "describe", "--replication"), "Leader")
    expect(tool(TOOLS + "FeatureCommand", "describe"), "transaction.version", "FinalizedVersionLevel: 2")
    tool(TOOLS + "FeatureCommand", "upgrade", "--feature", "transaction.version=2")
    tool(TOOLS + "FeatureCommand", "downgrade", "--feature", "transaction.version=1", ok=False)


def admin():
    topic = make_topic()
    produce(topic, 10)
    with tempfile.TemporaryDirectory() as folder:
        topics(topic)
        configs(topic)
        records(topic, folder)
        moves(topic, folder)
    cluster()
    tool(TOOLS + "TopicCommand", "--delete", "--topic", topic)


def groups_of(protocol):
    topic = make_topic()
    group = "g-" + topic
    command = TOOLS + "consumer.group.ConsumerGroupCommand"
    produce(topic, 40)
    consume(topic, 40, "--group", group, "--consumer-property", "group.protocol=" + protocol)
    expect(tool(command, "--list"), group)
    expect(tool(command, "--describe", "--group", group), topic, "CURRENT-OFFSET")
    expect(tool(command, "--describe", "--group", group, "--state"), "Empty")
    expect(tool(command, "--reset-offsets", "--group", group, "--topic", topic, "--to-earliest", "--execute"), topic)
    consume(topic, 40, "--group", group, "--consumer-property", "group.protocol=" + protocol)
    tool(command, "--delete-offsets", "--group", group, "--topic", topic)
    expect(tool(command, "--delete", "--group", group), "successful")


def group():
    groups_of("classic")


def consumer_group():
    groups_of("consumer")


def transactions():
    import confluent_kafka  # somebody must leave a transaction open
    topic = make_topic(1)
    producer = confluent_kafka.Producer({"bootstrap.servers": SERVER, "transactional.id": "t-" + topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"left open", partition=0)
    producer.flush(30)
    command = TOOLS + "TransactionsCommand"
    expect(tool(command, "list"), "t-" + topic, "Ongoing")
    expect(tool(command, "describe", "--transactional-id", "t-" + topic), "Ongoing", topic + "-0")
    expect(tool(command, "describe-producers", "--topic", topic, "--partition", "0"), "CurrentTransactionStartOffset")
    tool(command, "find-hanging", "--broker-id", "1")
    tool(command, "abort", "--topic", topic, "--partition", "0", "--start-offset", "0")
    described = tool(command, "describe-producers", "--topic", topic, "--partition", "0").splitlines()[-1]
    assert described.split()[-1] == "None", described
    produce(topic, 1)
    got = consume(topic, 1, "--isolation-level", "read_committed")
    assert "0" in got.split() and "left" not in got, got


if __name__ == "__main__":
    {"data": data, "admin": admin, "group": group, "consumer-group": consumer_group, "transactions": transactions}[sys.argv[1]]()
