package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// gatedLog opens a store whose syncs the test lets through one by one.
func gatedLog(t *testing.T, o Options) (*Store, *syncGate) {
	t.Helper()
	gate := newSyncGate()
	s := openLog(t, gate, o)
	gate.shut.Store(true)
	t.Cleanup(gate.open) // runs before Close, which syncs
	return s, gate
}

func TestHeadMovesAndAnswersLeaveOnlyAfterTheSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		answered := async(t.Context(), s, Batch{Events: eventsOf("a"), Sides: []SideWrite{{Key: "k"}}})
		moved := make(chan Position, 1)
		go func() {
			head, _ := s.Wait(t.Context(), 0)
			moved <- head
		}()
		synctest.Wait()

		pending(t, answered)
		require.Empty(t, moved)
		require.Zero(t, s.Head())
		require.Zero(t, s.Stats().Sequence)
		require.Empty(t, all(t, s, Region{}))
		require.Equal(t, "-", sideText(s, "k"))
		_, err := s.GetAt(t.Context(), 1)
		require.ErrorIs(t, err, ErrNotFound)

		gate.step()
		synctest.Wait()
		got := <-answered
		require.NoError(t, got.err)
		require.Equal(t, Position(1), got.receipt.Position())
		require.Equal(t, Position(1), <-moved)
		require.Equal(t, Position(1), s.Head())
		require.Len(t, all(t, s, Region{}), 1)
		require.Empty(t, sideText(s, "k"))
	})
}

func TestWritersThatWaitAtTheSameTimeShareOneSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers = 64
		s, gate := gatedLog(t, Options{})
		first := async(t.Context(), s, Batch{Events: eventsOf("first")})
		synctest.Wait()
		var others []<-chan answer
		for i := range writers {
			others = append(others, async(t.Context(), s, Batch{Events: eventsOf(fmt.Sprint("e:", i))}))
		}
		synctest.Wait()
		syncs, writes := gate.syncs.Load(), gate.writes.Load()

		gate.step()
		synctest.Wait()
		require.NoError(t, (<-first).err)
		pending(t, others...)
		gate.step()
		synctest.Wait()
		for _, other := range others {
			require.NoError(t, (<-other).err)
		}
		require.Equal(t, syncs+2, gate.syncs.Load())
		require.Equal(t, writes+1, gate.writes.Load())
		require.Equal(t, Position(writers+1), s.Head())
	})
}

func TestNoAnswerLeavesBeforeEverythingItObservedIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		gate.shut.Store(false)
		write(t, s, Batch{IdempotencyKey: "known", Events: eventsOf("known")})
		gate.shut.Store(true)

		leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		// These queue in this order and make one group: the later ones observe the first.
		winner := async(t.Context(), s, Batch{
			Events: []Proposal{{At: At("a", "test"), Expect: Absent, Payload: note{}}}, Sides: []SideWrite{{Key: "side"}},
		})
		synctest.Wait()
		version := async(t.Context(), s, Batch{Events: []Proposal{{At: At("a", "test"), Expect: Absent, Payload: note{}}}})
		synctest.Wait()
		side := async(t.Context(), s, Batch{Sides: []SideWrite{{Key: "side", Expect: Absent}}})
		synctest.Wait()
		repeated := async(t.Context(), s, Batch{IdempotencyKey: "known", Events: eventsOf("known")})
		synctest.Wait()

		gate.step()
		synctest.Wait()
		require.NoError(t, (<-leader).err)
		pending(t, winner, version, side, repeated)

		gate.step()
		synctest.Wait()
		require.NoError(t, (<-winner).err)
		require.ErrorIs(t, (<-version).err, ErrConflict)
		require.ErrorIs(t, (<-side).err, ErrConflict)
		require.True(t, (<-repeated).receipt.Duplicate)
	})
}

func TestARefusalThatObservedALazyBatchWaitsForItsSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		write(t, s, Batch{Lazy: true, Sides: []SideWrite{{Key: "side"}}})
		refused := async(t.Context(), s, Batch{Sides: []SideWrite{{Key: "side", Expect: Absent}}})
		synctest.Wait()
		pending(t, refused)
		gate.step()
		synctest.Wait()
		require.ErrorIs(t, (<-refused).err, ErrConflict)
	})
}

func TestACommitThatIsAbandonedWhileItIsQueuedWritesNothing(t *testing.T) {
	for name, cause := range map[string]error{"canceled": context.Canceled, "deadline": context.DeadlineExceeded} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, gate := gatedLog(t, Options{})
				leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				b := Batch{IdempotencyKey: "key", Events: eventsOf("queued", "queued")}
				queued := async(ctx, s, b)
				synctest.Wait()
				pending(t, queued)

				if errors.Is(cause, context.Canceled) {
					cancel()
				} else {
					time.Sleep(2 * time.Second)
				}
				synctest.Wait()
				got := <-queued
				require.ErrorIs(t, got.err, cause)
				require.NotErrorIs(t, got.err, ErrOutcomeUnknown)
				require.Zero(t, got.receipt)

				gate.open()
				synctest.Wait()
				require.NoError(t, (<-leader).err)
				require.Equal(t, Position(1), s.Head())
				retry := write(t, s, b)
				require.False(t, retry.Duplicate)
				require.Equal(t, uint64(2), retry.Sequence)
				require.Equal(t, Position(3), retry.Position())
			})
		})
	}
}

func TestACommitThatIsAbandonedWhileItIsWrittenIsAnUnknownOutcomeThatTheKeyResolves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		next := async(t.Context(), s, Batch{Events: eventsOf("next")})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		b := Batch{IdempotencyKey: "key", Events: eventsOf("taken", "taken")}
		taken := async(ctx, s, b)
		synctest.Wait()
		gate.step() // the group of the leader is answered, and the next one is being synced
		synctest.Wait()
		require.NoError(t, (<-leader).err)
		pending(t, next, taken)

		cancel()
		synctest.Wait()
		got := <-taken
		require.ErrorIs(t, got.err, context.Canceled)
		require.ErrorIs(t, got.err, ErrOutcomeUnknown)
		require.Zero(t, got.receipt)

		gate.open()
		synctest.Wait()
		require.NoError(t, (<-next).err)
		require.Equal(t, Position(4), s.Head(), "what a group has taken continues")
		retry := write(t, s, b)
		require.True(t, retry.Duplicate)
		require.Equal(t, uint64(3), retry.Sequence)
		require.Equal(t, Position(4), retry.Position())
		require.Equal(t, Position(4), s.Head())
	})
}

func TestAContextThatEndedBeforehandWritesNothing(t *testing.T) {
	s := memoryLog(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	untouched(t, s, func() {
		_, err := s.Append(ctx, At("a", "test"), Any, note{})
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, ErrOutcomeUnknown)
	})
}

func TestALeaderWaitsForItsOwnWriteEvenAfterItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		leader := async(ctx, s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		cancel()
		synctest.Wait()
		pending(t, leader)
		gate.step()
		synctest.Wait()
		require.NoError(t, (<-leader).err)
	})
}

func TestALeaderIsDoneWhenAllThatWereQueuedHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		gone := []<-chan answer{async(ctx, s, Batch{Events: eventsOf("a")}), async(ctx, s, Batch{Events: eventsOf("b")})}
		synctest.Wait()
		cancel()
		synctest.Wait()
		for _, got := range gone {
			require.ErrorIs(t, (<-got).err, context.Canceled)
		}
		gate.step()
		synctest.Wait()
		require.NoError(t, (<-leader).err)
		require.Equal(t, Position(1), s.Head())
	})
}

func TestTheRoleIsNotHandedToAnAbandonedCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		gone := async(ctx, s, Batch{Events: eventsOf("gone")})
		synctest.Wait()
		stays := async(t.Context(), s, Batch{Events: eventsOf("stays")})
		synctest.Wait()
		cancel()
		synctest.Wait()
		require.ErrorIs(t, (<-gone).err, context.Canceled)

		gate.step()
		synctest.Wait()
		require.NoError(t, (<-leader).err, "the one who stays took over")
		pending(t, stays)
		gate.step()
		synctest.Wait()
		got := <-stays
		require.NoError(t, got.err)
		require.Equal(t, Position(2), got.receipt.Position())
	})
}

func TestManyWritersSomeOfWhichCancelNeitherLoseNorDuplicateCommits(t *testing.T) {
	for _, every := range []time.Duration{tick, time.Microsecond} { // few are told to look at their contexts, or many
		t.Run(every.String(), func(t *testing.T) {
			s := openLog(t, newSyncGate(), smallSegments(SyncAlways))
			s.committer.patience.every = every
			writeAndCancel(t, s)
		})
	}
}

func writeAndCancel(t *testing.T, s *Store) {
	const writers, commits = 64, 30
	acknowledged := make([][]Receipt, writers)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			entity := fmt.Sprint("writer:", w)
			for i := range commits {
				acknowledged[w] = append(acknowledged[w], stubborn(t, s, rng, entity, i))
			}
		})
	}
	all.Wait()
	require.Equal(t, Position(writers*commits), s.Head())
	require.Equal(t, uint64(writers*commits), s.Stats().Sequence)
	for w, receipts := range acknowledged {
		for i, r := range receipts {
			require.Equal(t, uint64(i+1), r.Events[0].Version)
			e, err := s.GetAt(t.Context(), r.Position())
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("writer:", w), e.Coordinate.Entity)
			require.Equal(t, r.Events[0].ID, e.ID)
		}
	}
}

// stubborn commits with a context that may end at any moment, until it has an answer.
func stubborn(t *testing.T, s *Store, rng *rand.Rand, entity string, i int) Receipt {
	b := Batch{IdempotencyKey: fmt.Sprint(entity, "/", i), Events: []Proposal{{
		At: At(entity, "test"), Expect: Exactly(uint64(i)), Payload: note{Text: fmt.Sprint(i)},
	}}}
	for {
		ctx, cancel := context.WithCancel(t.Context())
		if rng.IntN(2) == 0 {
			go cancel()
		}
		r, err := s.Commit(ctx, b)
		cancel()
		if err == nil {
			return r
		}
		if ctx.Err() == nil || !isContext(err) {
			t.Errorf("%s: %v", entity, err)
			return r
		}
	}
}

// In two cohorts, one in the group and one in the queue, each commit would wait for two syncs.
func TestWritersThatCommitInALoopCatchTheNextSyncTogether(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // a yield lets all others run
	synctest.Test(t, func(t *testing.T) {
		const writers, rounds = 64, 20
		s, gate := gatedLog(t, Options{})
		var loops sync.WaitGroup
		for i := range writers {
			loops.Go(func() {
				for range rounds {
					_, err := s.Append(t.Context(), At(fmt.Sprint("e:", i), "test"), Any, eventsOf("x")[0].Payload)
					require.NoError(t, err)
				}
			})
		}
		done := make(chan struct{})
		go func() { loops.Wait(); close(done) }()
		before := gate.syncs.Load()
		for running := true; running; {
			synctest.Wait()
			time.Sleep(time.Millisecond) // what a sync takes
			select {
			case <-done:
				running = false
			case gate.tokens <- struct{}{}:
			}
		}
		require.LessOrEqual(t, gate.syncs.Load()-before, int64(rounds+2), "two cohorts need twice the rounds")
	})
}

func TestAWriterThatIsAloneDoesNotLinger(t *testing.T) {
	s := openLog(t, newSyncGate(), Options{})
	for range 3 {
		write(t, s, raw(Raw{Type: "x"}))
		require.Equal(t, 1, s.committer.crowd)
		require.Zero(t, s.committer.took)
	}
}
