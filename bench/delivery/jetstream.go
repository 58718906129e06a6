package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/penstock-io/penstock/bench/workload"
)

// JetStream is an embedded server with file storage and a client in the same process. With Always
// the server syncs what it is sent before it acknowledges it; else, as is its default, every two
// minutes. With Pipe they talk over the pipe that the server has for this, which is quicker; else
// over the loopback interface, which carries more.
type JetStream struct{ Always, Pipe bool }

// jet is an open server with a client.
type jet struct {
	jetstream.JetStream
	server *server.Server
	conn   *nats.Conn
}

// inflight is how many published messages may wait for their acknowledgement.
const inflight = 4096

// Streams and the subjects that they hold.
const (
	eventStream = "EVENTS"
	eventTopics = "event.>"
	stockStream = "STOCK"
	stockTopics = "stock.>"
)

func (s JetStream) open(dir string) (*jet, error) {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, SyncAlways: s.Always,
		JetStreamMaxMemory: 1 << 30, JetStreamMaxStore: 1 << 40, NoLog: true, NoSigs: true,
	})
	if err != nil {
		return nil, err
	}
	srv.Start()
	if !srv.ReadyForConnections(30 * time.Second) {
		srv.Shutdown()
		return nil, errors.New("the server does not start")
	}
	conn, err := s.connect(srv)
	if err != nil {
		srv.Shutdown()
		return nil, err
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(inflight))
	j := &jet{JetStream: js, server: srv, conn: conn}
	if err != nil {
		j.close()
		return nil, err
	}
	return j, nil
}

func (s JetStream) connect(srv *server.Server) (*nats.Conn, error) {
	if s.Pipe {
		return nats.Connect("", nats.InProcessServer(srv))
	}
	return nats.Connect(srv.ClientURL())
}

func (j *jet) close() {
	j.conn.Close()
	j.server.Shutdown()
	j.server.WaitForShutdown()
}

// stream makes a stream in a file.
func (j *jet) stream(ctx context.Context, name, subjects string) error {
	_, err := j.CreateStream(ctx, jetstream.StreamConfig{
		Name: name, Subjects: []string{subjects}, Storage: jetstream.FileStorage, Replicas: 1,
		AllowAtomicPublish: true,
	})
	return err
}

// consumer makes a durable pull consumer from the beginning of the events on.
func (j *jet) consumer(ctx context.Context, name string, policy jetstream.AckPolicy) (jetstream.Consumer, error) {
	return j.CreateConsumer(ctx, eventStream, jetstream.ConsumerConfig{
		Durable: name, AckPolicy: policy, AckWait: time.Minute, MaxAckPending: 2 * inflight,
	})
}

// prepare fills a shelf with events, unless it is filled. It never syncs: only what is measured
// does.
func (JetStream) prepare(ctx context.Context, t Turn, shelf string, events int, message func(i int) *nats.Msg) error {
	dir, filled := t.Shelf(shelf)
	if filled {
		return nil
	}
	return fillStream(ctx, dir, events, message)
}

func fillStream(ctx context.Context, dir string, events int, message func(i int) *nats.Msg) error {
	j, err := JetStream{}.open(dir)
	if err != nil {
		return err
	}
	defer j.close()
	err = j.stream(ctx, eventStream, eventTopics)
	var last jetstream.PubAckFuture
	for i := 0; i < events && err == nil; i++ {
		last, err = j.PublishMsgAsync(message(i), jetstream.WithStallWait(time.Minute))
	}
	if err == nil {
		err = published(ctx, last)
	}
	return err
}

// published waits for an acknowledgement.
func published(ctx context.Context, f jetstream.PubAckFuture) error {
	select {
	case <-f.Ok():
		return nil
	case err := <-f.Err():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func eventMessage(i int) *nats.Msg {
	return &nats.Msg{Subject: fmt.Sprintf("event.%d", i%workload.Entities), Data: workload.Payload(i)}
}

func orderMessage(i int) *nats.Msg {
	return &nats.Msg{Subject: fmt.Sprintf("event.%d", i%1000), Data: workload.OrderJSON(i)}
}

// KeyValueCheckpoints overwrites one small value per worker in a key-value bucket, which is a
// stream.
func (s JetStream) KeyValueCheckpoints(workers int) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		j, err := s.open(t.Dir)
		if err != nil {
			return nil, err
		}
		defer j.close()
		kv, err := j.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "checkpoints", Storage: jetstream.FileStorage})
		if err != nil {
			return nil, err
		}
		o, err := workload.Drive(workers, t.Time, func(w, i int) error {
			_, err := kv.Put(ctx, workerName(w), workload.Payload(i)[:CheckpointBytes])
			return err
		})
		return checkpoints(o), err
	}
}

func workerName(w int) string { return fmt.Sprintf("worker-%d", w) }

// PrepareCatchUp makes a stream to be read in turns.
func (s JetStream) PrepareCatchUp(events int) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		return nil, s.prepare(ctx, t, fmt.Sprintf("jetstream-%d", events), events, eventMessage)
	}
}

// CatchUp lets a consumer handle a prepared stream in batches of 256.
func (s JetStream) CatchUp(events int) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		dir, _ := t.Shelf(fmt.Sprintf("jetstream-%d", events))
		return s.consume(ctx, t, dir, events, pageEvents, func(_ *jet, batch []jetstream.Msg) error {
			for _, m := range batch {
				if len(m.Data()) != workload.PayloadBytes {
					return fmt.Errorf("%d bytes", len(m.Data()))
				}
			}
			return nil
		})
	}
}

// consume fetches a stream in batches. Each is handled, then its last message is acknowledged, and
// with it all before; the last of all waits for the server's answer.
func (s JetStream) consume(ctx context.Context, t Turn, dir string, events, size int, handle func(j *jet, batch []jetstream.Msg) error) (res Result, err error) {
	j, err := s.open(dir)
	if err != nil {
		return nil, err
	}
	defer j.close()
	name := workerName(int(time.Now().UnixNano()))
	c, err := j.consumer(ctx, name, jetstream.AckAllPolicy)
	if err != nil {
		return nil, err
	}
	batch := make([]jetstream.Msg, 0, size)
	p := newProgress(events, t.Time)
	for !p.over() {
		fetched, err := c.Fetch(min(size, events-p.done))
		if err != nil {
			return nil, err
		}
		batch = batch[:0]
		for m := range fetched.Messages() {
			batch = append(batch, m)
		}
		if len(batch) == 0 {
			return nil, errors.Join(errors.New("nothing fetched"), fetched.Error())
		}
		if err := handle(j, batch); err != nil {
			return nil, err
		}
		p.done += len(batch)
		last := batch[len(batch)-1]
		if p.over() {
			err = last.DoubleAck(ctx)
		} else {
			err = last.Ack()
		}
		if err != nil {
			return nil, err
		}
	}
	res = p.rate()
	return res, j.DeleteConsumer(ctx, eventStream, name)
}

// PrepareReactor makes a stream of orders.
func (s JetStream) PrepareReactor(events int) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		return nil, s.prepare(ctx, t, "jetstream-orders", events, orderMessage)
	}
}

// Reactor consumes orders and publishes a reaction to each. When all reactions to a batch are
// acknowledged, the batch is.
//
// Synced, they are published as what JetStream calls an atomic batch, for which it syncs once,
// where it syncs each message on its own otherwise. Not synced, that would be slower than to
// publish one after the other without waiting.
func (s JetStream) Reactor(events, size int) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		dir, _ := t.Shelf("jetstream-orders")
		publish := publishAsync
		if s.Always {
			publish = publishAtomically
		}
		messages := make([]*nats.Msg, 0, size)
		ready := false
		return s.consume(ctx, t, dir, events, size, func(j *jet, batch []jetstream.Msg) error {
			if !ready {
				_ = j.DeleteStream(ctx, stockStream) // of the turn before, if any
				if err := j.stream(ctx, stockStream, stockTopics); err != nil {
					return err
				}
				ready = true
			}
			messages = messages[:0]
			for _, m := range batch {
				sku, out, err := workload.ReactJSON(m.Data())
				if err != nil {
					return err
				}
				messages = append(messages, &nats.Msg{Subject: "stock." + sku, Data: out})
			}
			return publish(ctx, j, messages)
		})
	}
}

// publishAsync publishes messages and waits for the acknowledgements of all.
func publishAsync(ctx context.Context, j *jet, messages []*nats.Msg) error {
	futures := make([]jetstream.PubAckFuture, len(messages))
	for i, m := range messages {
		var err error
		if futures[i], err = j.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
			return err
		}
	}
	for _, f := range futures {
		if err := published(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// publishAtomically publishes messages as one atomic batch, whose last message commits it. A batch
// that is not taken as a whole is not acknowledged.
func publishAtomically(ctx context.Context, j *jet, messages []*nats.Msg) error {
	id := nuid.Next()
	for i, m := range messages {
		m.Header = nats.Header{"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {strconv.Itoa(i + 1)}}
		if i < len(messages)-1 {
			if err := j.conn.PublishMsg(m); err != nil {
				return err
			}
			continue
		}
		m.Header["Nats-Batch-Commit"] = []string{"1"}
		answer, err := j.conn.RequestMsgWithContext(ctx, m)
		if err != nil {
			return err
		}
		var ack struct {
			Count int
			Error json.RawMessage
		}
		if err := json.Unmarshal(answer.Data, &ack); err != nil || ack.Count != len(messages) {
			return fmt.Errorf("atomic batch of %d not taken: %s: %w", len(messages), answer.Data, err)
		}
	}
	return nil
}

// Reaction takes the time from the start of a publication to the acknowledgement of the reaction
// that a consumer has published.
func (s JetStream) Reaction(ctx context.Context, t Turn) (res Result, err error) {
	j, err := s.open(t.Dir)
	if err != nil {
		return nil, err
	}
	defer j.close()
	if err := errors.Join(j.stream(ctx, eventStream, eventTopics), j.stream(ctx, stockStream, stockTopics)); err != nil {
		return nil, err
	}
	c, err := j.consumer(ctx, "reserve", jetstream.AckExplicitPolicy)
	if err != nil {
		return nil, err
	}
	reacted := make(chan error, 1)
	consuming, err := c.Consume(func(m jetstream.Msg) {
		sku, out, err := workload.ReactJSON(m.Data())
		if err == nil {
			_, err = j.Publish(ctx, "stock."+sku, out)
		}
		reacted <- errors.Join(err, m.Ack())
	})
	if err != nil {
		return nil, err
	}
	defer consuming.Stop()
	return Idly(t, func(i int) (time.Duration, error) {
		m := orderMessage(i)
		began := time.Now()
		if _, err := j.PublishMsg(ctx, m); err != nil {
			return 0, err
		}
		err := <-reacted
		return time.Since(began), err
	})
}

// Idle keeps consumers that wait, each with its subscription.
func (s JetStream) Idle(workers int) Run {
	return func(ctx context.Context, t Turn) (res Result, err error) {
		j, err := s.open(t.Dir)
		if err != nil {
			return nil, err
		}
		defer j.close()
		if err := j.stream(ctx, eventStream, eventTopics); err != nil {
			return nil, err
		}
		watched := watchMemory(workers)
		for w := range workers {
			c, err := j.CreateConsumer(ctx, eventStream, jetstream.ConsumerConfig{
				Durable: workerName(w), FilterSubject: fmt.Sprintf("event.%d", w),
			})
			if err != nil {
				return nil, err
			}
			if _, err := c.Consume(func(jetstream.Msg) {}); err != nil {
				return nil, err
			}
		}
		return watched.result(), nil
	}
}
