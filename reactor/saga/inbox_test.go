package saga_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// retained fills some segments, drops what may go, and returns the report.
func (p *played) retained() store.RetainReport {
	p.t.Helper()
	st := p.Store()
	for range 40 {
		filler := store.Raw{Type: "filler", Data: bytes.Repeat([]byte{'x'}, 8000)}
		_, err := st.Append(p.t.Context(), store.At("filler", "elsewhere"), store.Any, filler)
		require.NoError(p.t, err)
	}
	p.Settle()
	o := store.RetainOptions{Before: st.Head(), Ignore: []string{"checkout.do"}} // which had nothing to do yet
	report, err := store.Retain(p.t.Context(), st, checkpoint.Holds, o)
	require.NoError(p.t, err)
	return report
}

func (p *played) held() (list []store.Hold) {
	p.t.Helper()
	all, err := checkpoint.Holds(p.Store(), nil)
	require.NoError(p.t, err)
	for _, h := range all {
		if h.Note != "" {
			list = append(list, h)
		}
	}
	return list
}

// What an instance has not handled yet is behind the checkpoint; retention keeps it all the same.
func TestWhatWaitsIsNotDropped(t *testing.T) {
	p := play(t)
	p.given(placed("42"))
	_, err := p.s.In(p.Store()).Suspend(t.Context(), "42", checkpoint.Request{By: "ana"})
	require.NoError(t, err)
	p.Settle()
	p.given(stockReserved{"42"})
	at := p.Store().Head()
	for range 2 {
		report := p.retained()
		require.Equal(t, store.Hold{Kind: "waiting event of", Who: "checkout", From: at, Note: `instance "42"`}, report.Holds[0])
		require.LessOrEqual(t, report.First, at)
	}
	_, err = p.s.In(p.Store()).Resume(t.Context(), "42", checkpoint.Request{By: "ana"})
	require.NoError(t, err)
	p.Settle()
	require.Equal(t, "paying", p.get().Phase)
	require.Empty(t, p.held())
	report := p.retained()
	require.Greater(t, report.First, at)
}

// Inputs that wait for an instance, for an alias and for a phase are held until they are handled,
// recorded or forgotten with their instance.
func TestWhatWaitsIsHeldAsLongAsItWaits(t *testing.T) {
	deferred := func(s *saga.Saga[order]) { s.Missing, s.Unexpected = saga.Defer, saga.Defer }
	t.Run("for an instance and an alias", func(t *testing.T) {
		p := play(t, deferred)
		p.given(stockReserved{"42"}, paymentTaken{Ref: "pay-42", ID: "p1"})
		held := p.held()
		require.Len(t, held, 1, "the oldest of them")
		require.Equal(t, store.Position(1), held[0].From)
		p.given(placed("42"))
		require.Equal(t, "shipping", p.get().Phase)
		require.Empty(t, p.held())
	})
	t.Run("for an alias", func(t *testing.T) {
		p := play(t, deferred)
		p.given(paymentTaken{Ref: "pay-42", ID: "p1"})
		require.Equal(t, "alias payment/pay-42", p.held()[0].Note)
		p.Advance(2 * time.Minute)
		require.Empty(t, p.held(), "no instance came in time")
	})
	t.Run("for a phase that never comes", func(t *testing.T) {
		p := play(t, deferred)
		p.given(placed("42"), paymentTaken{Ref: "pay-42", ID: "p1"}, shipped{"42"})
		require.NotEmpty(t, p.held())
		p.given(stockRefused{"42"})
		p.Advance(2 * time.Minute)
		require.True(t, p.get().Life.Ended())
		require.Empty(t, p.held())
	})
	t.Run("for the end of a suspension", func(t *testing.T) {
		w := newWorld()
		s := w.checkout()
		run := reactortest.Start(t, s)
		run.Pause("checkout.do", time.Time{})
		run.Given(reactortest.At(at("42"), placed("42")))
		run.Settle()
		_, err := s.In(run.Store()).Suspend(t.Context(), "42", checkpoint.Request{})
		require.NoError(t, err)
		run.Given(reactortest.At(at("42"), orderCancelled{"42"}))
		run.Settle()
		p := &played{Run: run, t: t}
		require.Len(t, p.held(), 1)
		_, err = s.In(run.Store()).Abandon(t.Context(), "42", checkpoint.Request{})
		require.NoError(t, err)
		run.Settle()
		run.Advance(time.Minute)
		require.Empty(t, p.held())
	})
}
