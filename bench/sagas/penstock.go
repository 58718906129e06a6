package sagas

import (
	"context"
	"errors"
	"strings"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/workload"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// started begins a saga.
type started struct{ ID string }

// Kind of the event.
func (started) Kind() string { return "saga-bench.started" }

func startedID(e started) string { return e.ID }

// state of a saga of Penstock.
type state struct{ ID string }

// sagaName is that of the sagas of Penstock.
const sagaName = "bench"

// engineOfPenstock runs sagas, and follows the log for their ends.
type engineOfPenstock struct {
	hall
	st     *store.Store
	sys    *actors.System
	cancel context.CancelFunc
	gone   chan error // gets the error of the follower when it is gone
}

// openPenstock runs sagas in a log of a durability.
func openPenstock(mode store.SyncMode) opener {
	return func(ctx context.Context, dir string, acted func(step int)) (engine, error) {
		do := func(step int) func(context.Context, saga.Step[state]) (int, error) {
			return func(context.Context, saga.Step[state]) (int, error) {
				acted(step)
				return 1, nil
			}
		}
		undo := func(context.Context, saga.Step[state], saga.Done[int]) error { return nil }
		s := saga.Steps(sagaName,
			saga.Starts(startedID, func(s *state, e started) { s.ID = e.ID }),
			saga.Do("reserve", do(0), undo), saga.Do("charge", do(1), undo), saga.Do("ship", do(2), undo),
		)
		st, err := store.Open(dir, store.Options{Sync: mode})
		if err != nil {
			return nil, err
		}
		sys, err := delivery.Supervise(ctx, st, s)
		if err != nil {
			return nil, errors.Join(err, st.Close())
		}
		following, cancel := context.WithCancel(ctx)
		e := &engineOfPenstock{st: st, sys: sys, cancel: cancel, gone: make(chan error, 1)}
		go func() { e.gone <- e.follow(following) }()
		return e, nil
	}
}

// follow announces each end.
func (e *engineOfPenstock) follow(ctx context.Context) error {
	const prefix = "saga:" + sagaName + ":"
	ends := store.Region{Kinds: []string{"saga." + sagaName + ".ended"}}
	for at := store.Position(0); ; {
		head, err := e.st.Wait(ctx, at)
		if ctx.Err() != nil {
			return nil
		}
		for err == nil && at < head {
			var page store.Page
			page, err = e.st.ReadPage(ctx, ends, at, head, workload.LoadBatch)
			for i := range page.Events {
				e.announce(strings.TrimPrefix(page.Events[i].Coordinate.Entity, prefix))
			}
			at = page.Scanned
		}
		if err != nil {
			return err
		}
	}
}

func (e *engineOfPenstock) run(ctx context.Context, id string) error {
	ended := e.enter(id)
	if _, err := e.st.Append(ctx, store.At("order:"+id, workload.Scope), store.Absent, started{ID: id}); err != nil {
		return err
	}
	select {
	case <-ended:
		return nil
	case <-e.sys.Done():
		return e.sys.Err()
	}
}

// flies waits until the first step of so many sagas is requested: a start and a request for each.
func (e *engineOfPenstock) flies(ctx context.Context, n int) error {
	return until(ctx, func() bool { return int(e.st.Head()) >= 2*n })
}

func (e *engineOfPenstock) used() int64 {
	s := e.st.Stats()
	return s.LogBytes + s.IndexBytes
}

func (e *engineOfPenstock) close(ctx context.Context) error {
	e.cancel()
	return errors.Join(<-e.gone, e.sys.Stop(ctx), e.st.Close())
}
