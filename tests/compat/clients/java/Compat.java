// SPDX-License-Identifier: Apache-2.0
// Features of the Java client: java -cp 'target/dependency/*' Compat.java FEATURE
import java.time.Duration;
import java.util.*;
import java.util.concurrent.TimeUnit;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.*;

public class Compat {
    static final String SERVER = System.getenv("SENTINEL_SERVER");

    static void check(boolean condition, Object what) {
        if (!condition) throw new AssertionError(what);
    }

    static Admin admin() {
        return Admin.create(Map.of("bootstrap.servers", SERVER));
    }

    static String topic(int partitions) throws Exception {
        String name = "java-" + UUID.randomUUID();
        try (Admin admin = admin()) {
            admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1))).all().get(20, TimeUnit.SECONDS);
        }
        return name;
    }

    static KafkaProducer<String, String> producer(Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", SERVER));
        settings.putAll(more);
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    static void produce(String topic, int count, int partitions, Map<String, Object> more) throws Exception {
        try (var producer = producer(more)) {
            for (int i = 0; i < count; i++) producer.send(new ProducerRecord<>(topic, i % partitions, null, "" + i));
            producer.flush();
        }
    }

    static KafkaConsumer<String, String> consumer(String group, Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", SERVER, "auto.offset.reset", "earliest",
            "enable.auto.commit", false));
        if (group != null) settings.put("group.id", group);
        settings.putAll(more);
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    static void until(List<KafkaConsumer<String, String>> consumers, List<String> got, java.util.function.BooleanSupplier done) {
        long end = System.currentTimeMillis() + 60000;
        while (!done.getAsBoolean()) {
            check(System.currentTimeMillis() < end, got.size() + " records");
            for (var c : consumers) c.poll(Duration.ofMillis(50)).forEach(r -> got.add(r.value()));
        }
    }

    static void data() throws Exception {
        String topic = topic(2);
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) produce(topic, 100, 2, Map.of("compression.type", codec));
        try (var c = consumer(null, Map.of())) {
            var all = List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1));
            c.assign(all);
            var got = new ArrayList<String>();
            until(List.of(c), got, () -> got.size() >= 500);
            check(c.endOffsets(all).values().stream().mapToLong(x -> x).sum() == 500, "end offsets");
            check(c.offsetsForTimes(Map.of(all.get(0), 0L)).get(all.get(0)).offset() == 0, "offset for time");
        }
    }

    static void administer() throws Exception {
        String topic = topic(1);
        try (Admin admin = admin()) {
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get(20, TimeUnit.SECONDS);
            check(admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size() == 3, "partitions");
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET)))).all().get();
            check(admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value().equals("7200000"), "config");
            check(admin.describeCluster().nodes().get().size() >= 1, "nodes");
            check(!admin.describeLogDirs(List.of(1)).allDescriptions().get().isEmpty(), "log dirs");
            produce(topic, 30, 1, Map.of());
            admin.deleteRecords(Map.of(new TopicPartition(topic, 0), RecordsToDelete.beforeOffset(10))).all().get();
            check(admin.listOffsets(Map.of(new TopicPartition(topic, 0), OffsetSpec.earliest())).all().get().get(new TopicPartition(topic, 0)).offset() == 10, "log start");
            String group = "admin-" + topic;
            admin.alterConsumerGroupOffsets(group, Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(15, "note"))).all().get();
            var offset = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(new TopicPartition(topic, 0));
            check(offset.offset() == 15 && offset.metadata().equals("note"), offset);
            check(admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(group)), "listed");
            admin.deleteConsumerGroupOffsets(group, Set.of(new TopicPartition(topic, 0))).all().get();
            admin.deleteTopics(List.of(topic)).all().get();
        }
    }

    static void group(Map<String, Object> more) throws Exception {
        String topic = topic(6), group = "g-" + topic;
        produce(topic, 600, 6, Map.of());
        var members = Stream.generate(() -> consumer(group, more)).limit(3).toList();
        for (var c : members) c.subscribe(List.of(topic));
        var got = new ArrayList<String>();
        until(members, got, () -> members.stream().allMatch(c -> c.assignment().size() == 2) && new HashSet<>(got).size() == 600);
        try (Admin admin = admin()) {
            var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            check(described.members().size() == 3, described);
        }
        members.get(1).close();
        members.get(2).close();
        until(members.subList(0, 1), got, () -> members.get(0).assignment().size() == 6);
        members.get(0).close();
        try (Admin admin = admin()) {
            admin.deleteConsumerGroups(List.of(group)).all().get();
        }
    }

    static void resume(Map<String, Object> more) throws Exception {
        String topic = topic(1);
        produce(topic, 100, 1, Map.of());
        var got = new ArrayList<String>();
        for (int round = 0; round < 2; round++) {
            int wanted = round == 0 ? 30 : 100;
            Map<String, Object> settings = new HashMap<>(more);
            settings.put("max.poll.records", 10);
            try (var c = consumer("r-" + topic, settings)) {
                c.subscribe(List.of(topic));
                until(List.of(c), got, () -> got.size() >= wanted);
                c.commitSync();
            }
        }
        check(got.equals(IntStream.range(0, 100).mapToObj(i -> "" + i).toList()), got);
    }

    static List<String> readCommitted(String topic) {
        try (var c = consumer(null, Map.of("isolation.level", "read_committed"))) {
            var partition = new TopicPartition(topic, 0);
            c.assign(List.of(partition));
            long end = c.endOffsets(List.of(partition)).get(partition);
            var got = new ArrayList<String>();
            until(List.of(c), got, () -> c.position(partition) >= end);
            return got;
        }
    }

    static void transactions() throws Exception {
        String topic = topic(1);
        Map<String, Object> settings = Map.of("transactional.id", "t-" + topic);
        var expected = new ArrayList<String>();
        try (var producer = producer(settings)) {
            producer.initTransactions();
            for (String value : List.of("a", "b", "c")) {
                producer.beginTransaction();
                for (int i = 0; i < 10; i++) producer.send(new ProducerRecord<>(topic, 0, null, value));
                if (value.equals("b")) producer.abortTransaction();
                else producer.commitTransaction();
                if (!value.equals("b")) expected.addAll(Collections.nCopies(10, value));
            }
            check(readCommitted(topic).equals(expected), "committed");
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 0, null, "open"));
            producer.flush();
            check(readCommitted(topic).equals(expected), "open transaction is not read");
            try (var other = producer(settings)) {
                other.initTransactions();
                other.beginTransaction();
                other.send(new ProducerRecord<>(topic, 0, null, "d"));
                other.commitTransaction();
            }
            expected.add("d");
            check(readCommitted(topic).equals(expected), "fenced");
            try {
                producer.commitTransaction();
                throw new AssertionError("a fenced producer committed");
            } catch (org.apache.kafka.common.KafkaException fenced) {
            }
        }
    }

    static void exactlyOnce() throws Exception {
        String source = topic(1), sink = topic(1);
        produce(source, 50, 1, Map.of());
        try (var c = consumer("eos-" + source, Map.of("isolation.level", "read_committed", "max.poll.records", 10));
             var producer = producer(Map.of("transactional.id", "eos-" + source))) {
            producer.initTransactions();
            c.subscribe(List.of(source));
            int done = 0;
            for (int round = 1; done < 50; ) {
                var records = c.poll(Duration.ofMillis(500));
                if (records.isEmpty()) continue;
                producer.beginTransaction();
                var offsets = new HashMap<TopicPartition, OffsetAndMetadata>();
                for (var r : records) {
                    producer.send(new ProducerRecord<>(sink, 0, null, "out " + r.value()));
                    offsets.put(new TopicPartition(source, 0), new OffsetAndMetadata(r.offset() + 1));
                }
                producer.sendOffsetsToTransaction(offsets, c.groupMetadata());
                if (round++ == 2) {
                    producer.abortTransaction();
                    c.committed(c.assignment()).forEach((p, o) -> c.seek(p, o == null ? 0 : o.offset()));
                } else {
                    producer.commitTransaction();
                    done += records.count();
                }
            }
        }
        check(readCommitted(sink).equals(IntStream.range(0, 50).mapToObj(i -> "out " + i).toList()), readCommitted(sink));
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> classic = Map.of(), modern = Map.of("group.protocol", "consumer");
        switch (arguments[0]) {
            case "data" -> data();
            case "admin" -> administer();
            case "group" -> group(classic);
            case "resume" -> resume(classic);
            case "consumer-group" -> { group(modern); resume(modern); }
            case "transactions" -> transactions();
            case "exactly-once" -> exactlyOnce();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        System.exit(0);
    }
}
