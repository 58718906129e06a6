package saga_test

import (
	"fmt"
	"testing"

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
