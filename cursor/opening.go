package cursor

import (
	"context"
	"iter"
	"strings"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Opening is what Worker.Open gets, and a place for what it keeps and emits before the first event.
// It belongs to the call, and is not safe for concurrent use.
type Opening struct {
	Ownership

	batch  *Batch // of one event that is none: what is kept for it is all that is kept
	events []store.Proposal
}

// Store returns the log that the worker reads. What is appended to it is not part of the commit.
func (o *Opening) Store() *store.Store { return o.batch.own.st }

// Side returns what the worker keeps under a key, what was put meanwhile included. See
// [Batch.Side], with the errors.
func (o *Opening) Side(key string) (value []byte, found bool, err error) { return o.batch.Side(0, key) }

// Put stages that the worker keeps a value under a key; nil removes that. See [Batch.Put], with the
// errors.
func (o *Opening) Put(key string, value []byte) error { return o.batch.Put(0, key, value) }

// Range iterates over what the worker keeps under the keys that are at least from and less than to
// ("" for all from there on), by key, without what was put meanwhile. See
// [store.Store.SideRange], with the errors, and [ErrStateless].
func (o *Opening) Range(from, to string) iter.Seq2[store.SideValue, error] {
	return func(yield func(store.SideValue, error) bool) {
		prefix, err := o.batch.own.keptKey("")
		if err != nil {
			yield(store.SideValue{}, err)
			return
		}
		end := prefix + to
		if to == "" {
			end = strings.TrimSuffix(prefix, "/") + "0" // what follows a slash
		}
		for side, err := range o.Store().SideRange(prefix+from, end, 0) {
			side.Key = strings.TrimPrefix(side.Key, prefix)
			if !yield(side, err) {
				return
			}
		}
	}
}

// Propose stages an event, which begins a chain whatever p.Causation says; p.Emitter becomes the
// worker. What the store would refuse is its error, and not staged. All of p may be changed
// afterwards.
func (o *Opening) Propose(p store.Proposal) error {
	encoded, err := o.batch.encode(0, p)
	if err != nil {
		return err
	}
	encoded.Causation = store.Causation{}
	o.events = append(o.events, encoded)
	return nil
}

func (w Worker) checkOpen() error {
	if w.Open != nil && w.Volatile {
		return &store.InvalidError{Field: "Open", Rule: "excludes Volatile"}
	}
	return nil
}

// open calls Worker.Open, and writes what that leaves with the checkpoint as it is. Nothing was
// read yet.
func (o *outbox) open(ctx context.Context) error {
	if o.own.worker.Open == nil {
		return nil
	}
	var failed error
	err := o.unlessErased(ctx, func(c store.Condition) (err error) {
		opening := &Opening{
			Ownership: o.own.batches.ownership,
			batch:     &Batch{events: make([]store.Event, 1), own: o.own.batches, begun: -1},
		}
		failed = o.own.isolate(ctx, func() error { return o.own.worker.Open(ctx, opening) })
		if failed != nil { // it may still be at work
			return nil
		}
		defer opening.batch.unstage()
		return o.writeOpening(ctx, opening, c)
	})
	switch {
	case failed != nil:
		return o.own.failed(ErrOpen, failed)
	case err != nil:
		return o.own.failed(ErrCommit, err)
	}
	return nil
}

func (o *outbox) writeOpening(ctx context.Context, opening *Opening, c store.Condition) error {
	b := store.Batch{Events: opening.events, Conditions: []store.Condition{c}}
	sides := opening.batch.staged.sides(nil, 0, 1)
	if len(sides) == 0 && len(b.Events) == 0 {
		return nil
	}
	o.own.lease.Stage(&b, unmoved(o.own.lease.Record()))
	b.Sides = append(b.Sides, sides...) // last, as in write
	return o.own.commit(ctx, b)
}

// unmoved is the move that leaves a checkpoint as it is.
func unmoved(r checkpoint.Record) checkpoint.Move {
	return checkpoint.Move{
		Scanned: r.Scanned, Delivered: r.Delivered, Pending: r.Pending, Clean: r.Clean, Trying: r.Trying, Tries: r.Tries,
	}
}
