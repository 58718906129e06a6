package storage

import (
	"context"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/workload"
)

// streamStore is a stream in a file, in an embedded server. The client of a single writer takes the
// pipe that the server has for programs that it is embedded in, which is quicker; that of several
// takes the loopback interface, which carries more.
type streamStore struct {
	ctx    context.Context
	stream *delivery.Stream
}

func openJetStream(ctx context.Context, dir string, s settings) (records, error) {
	stream, err := delivery.JetStream{Always: s.synced, Pipe: s.writers == 1}.OpenStream(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &streamStore{ctx: ctx, stream: stream}, nil
}

func (s *streamStore) append(_, i, n int) error { return s.stream.Publish(s.ctx, i, n) }

func (s *streamStore) readAll() (int, error) { return s.stream.Read(s.ctx, delivery.AnyEntity) }

func (s *streamStore) readMatching(entity int) (int, error) {
	return s.stream.Read(s.ctx, entity%workload.Entities)
}

func (s *streamStore) close() error {
	s.stream.Close()
	return nil
}
