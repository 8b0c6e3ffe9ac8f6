// SPDX-License-Identifier: Apache-2.0
// Features of franz-go and sarama: goclients franz|sarama FEATURE
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var server = os.Getenv("SENTINEL_SERVER")

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func expect(condition bool, what ...any) {
	if !condition {
		check(fmt.Errorf("%s", fmt.Sprint(what...)))
	}
}

func name(prefix string) string { return fmt.Sprintf("%s-%d", prefix, time.Now().UnixNano()) }

func limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 60*time.Second)
}

// ---- franz-go

func franzClient(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(server), kgo.AllowAutoTopicCreation()}, options...)...)
	check(err)
	return client
}

func franzProduce(topic string, from, to int) {
	client := franzClient()
	defer client.Close()
	ctx, cancel := limit()
	defer cancel()
	for i := from; i < to; i++ {
		check(client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(fmt.Sprint(i))}).FirstErr())
	}
}

func franzTake(client *kgo.Client, count int) []string {
	ctx, cancel := limit()
	defer cancel()
	var got []string
	for len(got) < count {
		fetches := client.PollRecords(ctx, count-len(got))
		check(ctx.Err())
		for _, failed := range fetches.Errors() {
			check(failed.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return got
}

func franzGroup(topic, group string, more ...kgo.Opt) *kgo.Client {
	return franzClient(append(more, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
}

// One reads a part, another one the rest.
func franzResume(topic string, more ...kgo.Opt) {
	ctx, cancel := limit()
	defer cancel()
	franzProduce(topic, 0, 60)
	first := franzGroup(topic, "g-"+topic, more...)
	got := franzTake(first, 25)
	check(first.CommitUncommittedOffsets(ctx))
	first.Close()
	second := franzGroup(topic, "g-"+topic, more...)
	got = append(got, franzTake(second, 35)...)
	seen := map[string]bool{}
	for _, value := range got {
		seen[value] = true
	}
	expect(len(seen) == 60 && len(got) == 60, len(seen), " of 60, ", len(got), " records")
	describe := kmsg.NewPtrConsumerGroupDescribeRequest()
	describe.Groups = []string{"g-" + topic}
	described, err := describe.RequestWith(ctx, second)
	check(err)
	modern := described.Groups[0].ErrorCode == 0 && len(described.Groups[0].Members) == 1
	expect(modern == (len(more) > 0), "the other protocol: ", described.Groups[0].ErrorCode)
	second.Close()
}

func franzCopy(source, sink string) {
	ctx, cancel := limit()
	defer cancel()
	franzProduce(source, 0, 50)
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(server), kgo.AllowAutoTopicCreation(),
		kgo.TransactionalID("c-"+source), kgo.ConsumerGroup("c-"+source), kgo.ConsumeTopics(source),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(err)
	defer session.Close()
	for round, done := 1, 0; done < 50; round++ {
		fetches := session.PollRecords(ctx, 10)
		check(ctx.Err())
		check(session.Begin())
		count := 0
		fetches.EachRecord(func(r *kgo.Record) {
			session.Produce(ctx, &kgo.Record{Topic: sink, Value: append([]byte("out "), r.Value...)}, nil)
			count++
		})
		committed, err := session.End(ctx, kgo.TransactionEndTry(round != 2)) // the second one is aborted
		check(err)
		if committed {
			done += count
		}
	}
}

func franz(feature string) {
	topic := name("franz")
	ctx, cancel := limit()
	defer cancel()
	switch feature {
	case "data":
		franzProduce(topic, 0, 50)
		client := franzClient(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		expect(len(franzTake(client, 50)) == 50, "records")
		client.Close()
	case "group", "resume":
		franzResume(topic)
	case "consumer-group": // franz-go asks whoever wants it to say so
		franzResume(topic, kgo.WithContext(context.WithValue(context.Background(), "opt_in_kafka_next_gen_balancer_beta", true)))
	case "exactly-once":
		franzCopy(topic, topic+"-out")
		reader := franzClient(kgo.ConsumeTopics(topic+"-out"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for i, value := range franzTake(reader, 50) {
			expect(value == fmt.Sprint("out ", i), "at ", i, ": ", value)
		}
		reader.Close()
	case "transactions":
		client := franzClient(kgo.TransactionalID("t-" + topic))
		for _, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
			check(client.BeginTransaction())
			for i := 0; i < 5; i++ {
				check(client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(fmt.Sprint(commit))}).FirstErr())
			}
			check(client.EndTransaction(ctx, commit))
		}
		client.Close()
		reader := franzClient(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for _, value := range franzTake(reader, 10) {
			expect(value == fmt.Sprint(kgo.TryCommit), "an aborted record was read")
		}
		reader.Close()
	default:
		check(fmt.Errorf("no such feature"))
	}
}

// ---- sarama

type handler struct {
	wanted int
	mutex  sync.Mutex
	got    []string
	done   context.CancelFunc
}

func (h *handler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (h *handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		h.mutex.Lock()
		if len(h.got) < h.wanted {
			h.got = append(h.got, string(message.Value))
			session.MarkMessage(message, "")
		}
		if len(h.got) == h.wanted {
			session.Commit()
			h.done()
		}
		h.mutex.Unlock()
	}
	return nil
}

func saramaConfig() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	config.Producer.Return.Successes = true
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	return config
}

func saramaTake(topic, group string, count int) []string {
	client, err := sarama.NewConsumerGroup([]string{server}, group, saramaConfig())
	check(err)
	ctx, cancel := limit()
	h := &handler{wanted: count, done: cancel}
	for ctx.Err() == nil {
		if err := client.Consume(ctx, []string{topic}, h); err != nil && ctx.Err() == nil {
			check(err)
		}
	}
	check(client.Close())
	expect(len(h.got) == count, len(h.got), " of ", count)
	return h.got
}

func saramaAdmin(topic string) {
	admin, err := sarama.NewClusterAdmin([]string{server}, saramaConfig())
	check(err)
	check(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false))
	topics, err := admin.ListTopics()
	check(err)
	expect(topics[topic].NumPartitions == 2, "listed")
	check(admin.CreatePartitions(topic, 3, nil, false))
	value := "7200000"
	check(admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.ms": &value}, false))
	entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	check(err)
	found := false
	for _, entry := range entries {
		found = found || (entry.Name == "retention.ms" && entry.Value == value)
	}
	expect(found, "retention.ms")
	check(admin.DeleteRecords(topic, map[int32]int64{0: 0}))
	_, err = admin.ListConsumerGroups()
	check(err)
	check(admin.DeleteTopic(topic))
	check(admin.Close())
}

func saramaRun(feature string) {
	topic := name("sarama")
	if feature == "admin" {
		saramaAdmin(topic)
		return
	}
	producer, err := sarama.NewSyncProducer([]string{server}, saramaConfig())
	check(err)
	for i := 0; i < 60; i++ {
		_, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(fmt.Sprint(i))})
		check(err)
	}
	check(producer.Close())
	switch feature {
	case "data":
		consumer, err := sarama.NewConsumer([]string{server}, saramaConfig())
		check(err)
		partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
		check(err)
		for i := 0; i < 60; i++ {
			message := <-partition.Messages()
			expect(string(message.Value) == fmt.Sprint(i), "order")
		}
	case "group", "resume":
		got := append(saramaTake(topic, "g-"+topic, 20), saramaTake(topic, "g-"+topic, 40)...)
		for i, value := range got {
			expect(value == fmt.Sprint(i), "order at ", i)
		}
	default:
		check(fmt.Errorf("no such feature"))
	}
}

func main() {
	if os.Args[1] == "franz" {
		franz(os.Args[2])
	} else {
		saramaRun(os.Args[2])
	}
}
