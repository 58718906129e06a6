package saga_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// from has events happen at an entity.
func (p *played) from(entity string, bodies ...store.Payload) {
	p.t.Helper()
	for _, b := range bodies {
		p.Given(reactortest.At(store.At(entity, "shop"), b))
		p.Settle()
	}
}

func TestAnErasureOfAFormerRunLeavesTheNextOneAlone(t *testing.T) {
	for _, purge := range []bool{false, true} {
		t.Run(fmt.Sprint("purged ", purge), func(t *testing.T) {
			p := play(t, func(s *saga.Saga[order]) { s.Restarts = saga.AfterEnd })
			p.from("visitor:1", placed("42"), stockRefused{"42"})
			require.Equal(t, saga.Failed, p.get().Life)
			if purge {
				_, err := p.s.In(p.Store()).Purge(t.Context(), "42", bob)
				require.NoError(t, err)
				p.Settle()
			}
			p.from("visitor:2", placed("42"), stockReserved{"42"})
			require.EqualValues(t, 2, p.get().Run)
			reactortest.Erase(p.Run, "visitor:1", p.s)
			require.Equal(t, saga.Running, p.get().Life, "skipped %v", p.get().Skipped)
		})
	}
}

func TestAnErasureOfWhatWasNotTakenLeavesTheInstanceAlone(t *testing.T) {
	t.Run("a duplicate", func(t *testing.T) {
		p := play(t)
		p.from("visitor:1", placed("42"), stockReserved{"42"})
		p.from("visitor:2", placed("42"))
		reactortest.Erase(p.Run, "visitor:2", p.s)
		require.Equal(t, saga.Running, p.get().Life)
	})
	t.Run("before it began", func(t *testing.T) {
		p := play(t, func(s *saga.Saga[order]) { s.Missing = saga.Record })
		p.from("visitor:2", stockRefused{"42"})
		p.from("visitor:1", placed("42"), stockReserved{"42"})
		reactortest.Erase(p.Run, "visitor:2", p.s)
		require.Equal(t, saga.Running, p.get().Life)
	})
	t.Run("held", func(t *testing.T) {
		p := play(t)
		p.from("visitor:1", placed("42"))
		_, err := p.s.In(p.Store()).Suspend(t.Context(), "42", bob)
		require.NoError(t, err)
		p.Settle()
		p.from("visitor:2", stockReserved{"42"})
		reactortest.Erase(p.Run, "visitor:2", p.s)
		require.Equal(t, saga.Suspended, p.get().Life)
	})
}

// An answer of a former run that is erased before it is handled says of which run it was no more.
func TestAnErasedAnswerOfAFormerRunLeavesTheNextOneAlone(t *testing.T) {
	w := newWorld()
	s := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("charge", w.action("charge"), w.back("charge")))
	s.Restarts = saga.AfterEnd
	run := reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Step("checkout")
	_, err := s.In(run.Store()).Abandon(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Pause("checkout", time.Time{})
	run.Settle() // the answer is behind the start of the next run
	var answer store.Event
	for e, bad := range s.In(run.Store()).History(t.Context(), "42") {
		require.NoError(t, bad)
		if e.Kind == "saga.checkout.done" {
			answer = e
		}
	}
	require.Equal(t, "saga.checkout.done", answer.Kind)
	_, err = store.Erase(t.Context(), run.Store(), store.Erasure{Events: []uuid.UUID{answer.ID}, Reason: "asked for", By: "an officer"})
	require.NoError(t, err)
	run.Resume("checkout")
	run.Settle()
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.EqualValues(t, 2, o.Run)
	require.Equal(t, saga.Completed, o.Life)
}
