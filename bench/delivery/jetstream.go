package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// jetStream is an embedded server with a connection inside the process, and a stream in files.
type jetStream struct {
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
}

// jetStreamModes are those of its disk: as it comes, and with a sync for each message.
var jetStreamModes = []struct { //nolint:gochecknoglobals // a constant table
	name, promise string
	always        bool
}{
	{"jetstream", "written, synced every 2 min; at least once", false},
	{"jetstream, sync always", "synced; at least once", true},
}

func openJetStream(dir string, always bool) (*jetStream, error) {
	s, err := server.NewServer(&server.Options{
		JetStream: true, StoreDir: dir, SyncAlways: always, DontListen: true, NoLog: true, NoSigs: true,
	})
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return nil, errors.New("the server does not start")
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return nil, err
	}
	j := &jetStream{server: s, conn: conn}
	if j.js, err = jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4096)); err == nil {
		j.stream, err = j.js.CreateStream(context.Background(), jetstream.StreamConfig{
			Name: "bench", Subjects: []string{"order.*", "stock.*"}, Storage: jetstream.FileStorage,
		})
	}
	return j, err
}

func (j *jetStream) close() {
	j.conn.Close()
	j.server.Shutdown()
	j.server.WaitForShutdown()
}

// load publishes orders and waits for all acknowledgements.
func (j *jetStream) load(events int) error {
	for i := range events {
		if _, err := j.js.PublishAsync(fmt.Sprintf("order.%d", i%entities), orderJSON(i)); err != nil {
			return err
		}
		if (i+1)%loadBatch == 0 {
			<-j.js.PublishAsyncComplete()
		}
	}
	<-j.js.PublishAsyncComplete()
	return nil
}

func (j *jetStream) consumer(name string, policy jetstream.AckPolicy) (jetstream.Consumer, error) {
	return j.stream.CreateConsumer(context.Background(), jetstream.ConsumerConfig{
		Durable: name, FilterSubject: "order.*", AckPolicy: policy, MaxAckPending: 4 * batchSize,
	})
}

// jetStreams makes a contestant for each mode.
func jetStreams(run func(j *jetStream, env Env) ([]float64, error)) (both []Contestant) {
	for _, mode := range jetStreamModes {
		both = append(both, Contestant{Name: mode.name, Promise: mode.promise, Run: func(env Env) ([]float64, error) {
			j, err := openJetStream(env.Dir, mode.always)
			if err != nil {
				return nil, err
			}
			defer j.close()
			return run(j, env)
		}})
	}
	return both
}

// jetStreamCheckpoints: durable consumers that each wait for the acknowledgement of their acknowledgement.
func jetStreamCheckpoints(workers int) []Contestant {
	return jetStreams(func(j *jetStream, env Env) ([]float64, error) {
		if err := j.load(max(loadBatch, int(2_000*env.Turn.Seconds()))); err != nil {
			return nil, err
		}
		var handled atomic.Int64
		for w := range workers {
			c, err := j.consumer(fmt.Sprintf("worker-%d", w), jetstream.AckExplicitPolicy)
			if err != nil {
				return nil, err
			}
			consuming, err := c.Consume(func(m jetstream.Msg) {
				if m.DoubleAck(context.Background()) == nil {
					handled.Add(1)
				}
			})
			if err != nil {
				return nil, err
			}
			defer consuming.Stop()
		}
		return []float64{during(env.Turn, handled.Load)}, nil
	})
}

// jetStreamCatchUp: pull 256, acknowledge all of them with the last one, and wait for that.
func jetStreamCatchUp() []Contestant {
	return jetStreams(func(j *jetStream, env Env) ([]float64, error) {
		if err := j.load(env.Events); err != nil {
			return nil, err
		}
		c, err := j.consumer("catch-up", jetstream.AckAllPolicy)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		err = j.batches(c, env.Events, func([]jetstream.Msg) error { return nil })
		return []float64{perSecond(env.Events, time.Since(began))}, err
	})
}

// batches handles so many messages, pulled and acknowledged 256 at a time.
func (j *jetStream) batches(c jetstream.Consumer, events int, handle func([]jetstream.Msg) error) error {
	for handled := 0; handled < events; {
		fetched, err := c.Fetch(min(batchSize, events-handled))
		if err != nil {
			return err
		}
		var batch []jetstream.Msg
		for m := range fetched.Messages() {
			batch = append(batch, m)
		}
		if len(batch) == 0 {
			return fmt.Errorf("nothing came: %w", fetched.Error())
		}
		if err := handle(batch); err != nil {
			return err
		}
		if err := batch[len(batch)-1].DoubleAck(context.Background()); err != nil {
			return err
		}
		handled += len(batch)
	}
	return nil
}

// jetStreamReactor: pull 256, publish the answers, wait for all acknowledgements of them, acknowledge the orders.
func jetStreamReactor() []Contestant {
	return jetStreams(func(j *jetStream, env Env) ([]float64, error) {
		if err := j.load(env.Events); err != nil {
			return nil, err
		}
		c, err := j.consumer("reserve", jetstream.AckAllPolicy)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		err = j.batches(c, env.Events, func(batch []jetstream.Msg) error {
			for i, m := range batch {
				out, err := answerJSON(m.Data())
				if err != nil {
					return err
				}
				if _, err := j.js.PublishAsync(fmt.Sprintf("stock.%d", i%100), out); err != nil {
					return err
				}
			}
			<-j.js.PublishAsyncComplete()
			return nil
		})
		return []float64{perSecond(env.Events, time.Since(began))}, err
	})
}

// jetStreamReaction: from the publish of an order to the acknowledgement of its answer.
func jetStreamReaction() []Contestant {
	return jetStreams(func(j *jetStream, env Env) ([]float64, error) {
		c, err := j.consumer("reserve", jetstream.AckExplicitPolicy)
		if err != nil {
			return nil, err
		}
		answered := make(chan error, 1)
		consuming, err := c.Consume(func(m jetstream.Msg) {
			out, err := answerJSON(m.Data())
			if err == nil {
				_, err = j.js.Publish(context.Background(), "stock.1", out)
			}
			answered <- errors.Join(err, m.Ack())
		})
		if err != nil {
			return nil, err
		}
		defer consuming.Stop()
		var took []time.Duration
		for i := range samples(env) {
			data := orderJSON(i)
			time.Sleep(spacing())
			began := time.Now()
			_, err := j.js.Publish(context.Background(), "order.1", data)
			if err := errors.Join(err, <-answered); err != nil {
				return nil, err
			}
			took = append(took, time.Since(began))
		}
		return latencies(took), nil
	})
}
