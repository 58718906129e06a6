package store

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAContextThatEndsStopsTheWaitWithinTwoTicksHoweverLongTheSyncTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancelled := async(ctx, s, Batch{Events: eventsOf("cancelled")})
		synctest.Wait()
		cancel()
		began := time.Now()
		require.ErrorIs(t, (<-cancelled).err, context.Canceled)
		require.LessOrEqual(t, time.Since(began), 2*tick)

		late, cancel := context.WithCancel(t.Context())
		told := async(late, s, Batch{Events: eventsOf("told")})
		time.Sleep(time.Hour)
		cancel()
		began = time.Now()
		require.ErrorIs(t, (<-told).err, context.Canceled)
		require.Zero(t, time.Since(began), "one that waits for long looks at both")
		gate.step()
		require.NoError(t, (<-leader).err)
	})
}

func TestOwnersThatLookAtOnceDoNotHideThoseThatArePatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		patient := async(ctx, s, Batch{Events: eventsOf("patient")})
		synctest.Wait()
		s.committer.mu.Lock()
		s.committer.took = time.Second // as if groups took long
		s.committer.mu.Unlock()
		looking := async(ctx, s, Batch{Events: eventsOf("looking")})
		synctest.Wait()
		began := time.Now()
		cancel()
		require.ErrorIs(t, (<-looking).err, context.Canceled)
		require.Zero(t, time.Since(began))
		stays := async(t.Context(), s, Batch{Events: eventsOf("stays")})
		require.ErrorIs(t, (<-patient).err, context.Canceled)
		require.LessOrEqual(t, time.Since(began), 2*tick)
		gate.open()
		require.NoError(t, (<-leader).err)
		require.NoError(t, (<-stays).err)
	})
}

func TestEachOfThoseThatWaitIsToldOnceAndTheTimerRestsThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		ticks := func() uint {
			s.committer.mu.Lock()
			defer s.committer.mu.Unlock()
			return s.committer.patience.ticks
		}
		time.Sleep(time.Hour)
		require.Zero(t, ticks(), "one that is alone does not wait")

		var waiting []<-chan answer
		for range 5 {
			waiting = append(waiting, async(t.Context(), s, Batch{Events: eventsOf("waits")}))
			time.Sleep(tick)
		}
		time.Sleep(time.Hour)
		last := ticks()
		require.InDelta(t, 6, last, 1)
		for req := range s.committer.waiting() {
			require.False(t, req.patient)
		}
		time.Sleep(time.Hour)
		require.Equal(t, last, ticks())
		gate.open()
		require.NoError(t, (<-leader).err)
		for _, got := range waiting {
			require.NoError(t, (<-got).err)
		}
		require.Equal(t, Position(6), s.Head())
	})
}

// A request goes back to the pool: a token that is left over would wake its next owner too early.
func TestARequestThatWasToldIsCalledAndHasNoTokenLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		for range 20 {
			leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
			synctest.Wait()
			queued := []<-chan answer{
				async(t.Context(), s, Batch{Events: eventsOf("a")}), async(t.Context(), s, Batch{Events: eventsOf("b")}),
			}
			time.Sleep(time.Second) // all are told, the one that will lead too
			gate.step()
			require.NoError(t, (<-leader).err)
			time.Sleep(time.Second)
			pending(t, queued...)
			gate.step()
			for _, got := range queued {
				require.NoError(t, (<-got).err)
			}
		}
		require.Equal(t, Position(60), s.Head())
	})
}
