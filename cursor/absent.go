package cursor

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// OperatorOf returns the operator of a worker that this program does not run: what it keeps in the
// log is changed there, and its next start finds it. It needs neither the worker's handler nor its
// keys: those of what is parked are kept with it.
//
// Each call is one commit, worked out on what the log has then, with the audit event that a
// [Runner] writes. It raises the epoch of the checkpoint, so a runner that is at work is fenced,
// and its next commit refused; where that runner commits first the call is worked out again, until
// its context ends. After a crash it is there whole or not at all. A dry run may be asked of a
// store that is read-only.
//
// Replay marks what the next start handles again. Resume ends a pause; that a worker was halted is
// nothing that the log keeps, and its next start forgets it. Apply is [checkpoint.Apply]: a worker
// that is bound to something else must be declared so.
//
// Errors besides those of the calls of a Runner: [checkpoint.ErrNotFound],
// [checkpoint.ErrCorrupt], and [checkpoint.ErrNewerFormat] where a newer program has written what
// the call would have to understand; [store.ErrForeignHistory]; [ErrPulled]; and [ErrAnswers].
func OperatorOf(st *store.Store, id checkpoint.ID) Operator { return absent{st: st, id: id} }

// discarding is what the call does that drops parked events.
const discarding = "discard"

// absent is a worker that is not run.
type absent struct {
	st *store.Store
	id checkpoint.ID
}

func (a absent) Apply(ctx context.Context, c checkpoint.Change, q checkpoint.Request) (checkpoint.Outcome, error) {
	return checkpoint.Apply(ctx, a.st, a.id, c, q)
}

func (a absent) Pause(ctx context.Context, until time.Time, q checkpoint.Request) error {
	return a.operate(ctx, "pause", q, func() (store.Batch, error) { return pausing(a.st, a.id, until, q) })
}

func (a absent) Resume(ctx context.Context, q checkpoint.Request) error {
	return a.operate(ctx, "resume", q, func() (store.Batch, error) {
		b, paused := resuming(a.st, a.id, q)
		if !paused {
			return store.Batch{}, nil
		}
		return b, nil
	})
}

func (a absent) Replay(ctx context.Context, which ParkedFilter, q checkpoint.Request) ([]checkpoint.Parked, error) {
	return a.order(ctx, "replay", which, q, replayOrder)
}

func (a absent) Discard(ctx context.Context, which ParkedFilter, q checkpoint.Request) ([]checkpoint.Parked, error) {
	return a.order(ctx, discarding, which, q, discardOrder)
}

func (a absent) order(
	ctx context.Context, what string, which ParkedFilter, q checkpoint.Request, decide decision,
) (touched []checkpoint.Parked, err error) {
	err = a.operate(ctx, what, q, func() (store.Batch, error) {
		list, err := readParked(a.st, a.id)
		if err != nil {
			return store.Batch{}, err
		}
		o, err := decide(ctx, a.st, &list, which)
		if touched = o.touched(); err != nil || len(touched) == 0 {
			return store.Batch{}, err
		}
		return o.batch(a.id, q), nil
	})
	if err != nil {
		return nil, err
	}
	return touched, nil
}

// operate commits what work returns, with the checkpoint as it is, in an epoch of its own; nothing
// where that is empty. What was looked at may be written only where nothing of it has changed, or
// was erased.
func (a absent) operate(ctx context.Context, what string, q checkpoint.Request, work func() (store.Batch, error)) error {
	own := owner{st: a.st, worker: &Worker{Name: string(a.id)}}
	if err := q.Validate(); err != nil {
		return own.wrap(what, err)
	}
	for {
		unless := store.UnlessErased(a.st)
		lease, err := checkpoint.Claim(a.st, a.id)
		switch {
		case err != nil:
		case lease.Record().Pulled:
			err = ErrPulled
		case lease.Record().Answers && what == discarding:
			err = ErrAnswers
		}
		if err != nil {
			return own.wrap(what, err)
		}
		b, err := work()
		if err != nil {
			return own.wrap(what, err)
		}
		if q.DryRun || len(b.Events) == 0 {
			return nil
		}
		b.Conditions = append(b.Conditions, unless)
		lease.Stage(&b, unmoved(lease.Record()))
		err = lease.Committed(a.st.Commit(ctx, b))
		lost := errors.Is(err, checkpoint.ErrFenced) || isErasure(err, unless)
		switch {
		case lost && ctx.Err() == nil:
			continue
		case lost:
			return own.wrap(what, ctx.Err())
		}
		return own.noted(err)
	}
}
