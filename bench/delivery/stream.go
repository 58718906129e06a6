package delivery

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-io/penstock/bench/workload"
)

// Stream is the stream of events in a server of its own.
type Stream struct{ jet *jet }

// OpenStream opens a server, and makes the stream if it is not there.
func (s JetStream) OpenStream(ctx context.Context, dir string) (*Stream, error) {
	j, err := s.open(dir)
	if err != nil {
		return nil, err
	}
	if err := j.stream(ctx, eventStream, eventTopics); err != nil {
		j.close()
		return nil, err
	}
	return &Stream{j}, nil
}

// Publish publishes n events, from the i-th on, and waits until the server has acknowledged them.
// It does so in their order.
func (s *Stream) Publish(ctx context.Context, i, n int) error {
	if n == 1 {
		_, err := s.jet.PublishMsg(ctx, eventMessage(i))
		return err
	}
	var last jetstream.PubAckFuture
	for k := range n {
		var err error
		if last, err = s.jet.PublishMsgAsync(eventMessage(i + k)); err != nil {
			return err
		}
	}
	return published(ctx, last)
}

// AnyEntity stands for all entities.
const AnyEntity = -1

// Read lets a consumer that acknowledges nothing read the events of an entity, and returns how many
// there are.
func (s *Stream) Read(ctx context.Context, entity int) (n int, err error) {
	topic := eventTopics
	if entity != AnyEntity {
		topic = fmt.Sprintf("event.%d", entity)
	}
	c, err := s.jet.OrderedConsumer(ctx, eventStream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{topic}})
	if err != nil {
		return 0, err
	}
	messages, err := c.Messages(jetstream.PullMaxMessages(inflight))
	if err != nil {
		return 0, err
	}
	defer messages.Stop()
	for left := uint64(1); left > 0; n++ {
		m, err := messages.Next()
		if err != nil {
			return n, err
		}
		if len(m.Data()) != workload.PayloadBytes {
			return n, fmt.Errorf("%d bytes", len(m.Data()))
		}
		about, err := m.Metadata()
		if err != nil {
			return n, err
		}
		left = about.NumPending
	}
	return n, nil
}

// Close stops the server.
func (s *Stream) Close() { s.jet.close() }
