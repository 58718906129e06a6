package actors

import (
	"context"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
)

// OperatorOf returns the operator of one worker of a system: its calls are those of the system with
// that name, with their errors. It is for code that operates a worker wherever that runs; where it
// does not, there is cursor.OperatorOf. It starts nothing, and a name that the system does not have
// is [ErrUnknownWorker] of each call.
func OperatorOf(s *System, name string) cursor.Operator { return operator{s, name} }

type operator struct {
	sys  *System
	name string
}

func (o operator) Apply(ctx context.Context, c checkpoint.Change, q checkpoint.Request) (checkpoint.Outcome, error) {
	return o.sys.Apply(ctx, o.name, c, q)
}

func (o operator) Pause(ctx context.Context, until time.Time, q checkpoint.Request) error {
	return o.sys.Pause(ctx, o.name, until, q)
}

func (o operator) Resume(ctx context.Context, q checkpoint.Request) error {
	return o.sys.Resume(ctx, o.name, q)
}

func (o operator) Replay(ctx context.Context, which cursor.ParkedFilter, q checkpoint.Request) ([]checkpoint.Parked, error) {
	return o.sys.Replay(ctx, o.name, which, q)
}

func (o operator) Discard(ctx context.Context, which cursor.ParkedFilter, q checkpoint.Request) ([]checkpoint.Parked, error) {
	return o.sys.Discard(ctx, o.name, which, q)
}
