package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/pprof"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// submit hands over a batch. The channel has no room for a second answer, which would be stuck.
func submit(s *Store, b Batch) <-chan answer {
	got := make(chan answer, 1)
	Submit(s, b, func(r Receipt, err error) { got <- answer{r, err} })
	return got
}

func TestSubmitAnswersAsCommitDoes(t *testing.T) {
	batches := []Batch{
		{Events: eventsOf("a", "b"), Sides: []SideWrite{{Key: "k", Value: []byte("v")}}},
		{Sides: []SideWrite{{Key: "k", Expect: Absent}}},
		{Lazy: true, Sides: []SideWrite{{Key: "k", Value: []byte("w")}}},
		{Events: []Proposal{{At: At("a", "test"), Expect: Exactly(7), Payload: note{}}}},
		{Events: []Proposal{{Payload: note{}}}},
		{IdempotencyKey: "key", Events: eventsOf("a")},
		{IdempotencyKey: "key", Events: eventsOf("a")},
		{},
	}
	a, b := memoryLog(t), memoryLog(t)
	compare := func() {
		for i, batch := range batches {
			want, wantErr := a.Commit(t.Context(), batch)
			got := <-submit(b, batch)
			require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(got.err), i)
			require.Equal(t, want.Sequence, got.receipt.Sequence, i)
			require.Equal(t, want.Position(), got.receipt.Position(), i)
			require.Equal(t, want.Sync, got.receipt.Sync, i)
			require.Equal(t, want.Duplicate, got.receipt.Duplicate, i)
		}
	}
	compare()
	require.Equal(t, a.Head(), b.Head())
	require.NoError(t, a.Close())
	require.NoError(t, b.Close())
	compare()

	fsys := vfs.NewMemory()
	require.NoError(t, openLog(t, fsys, Options{}).Close())
	require.ErrorIs(t, (<-submit(openLog(t, fsys, Options{ReadOnly: true}), batches[0])).err, ErrReadOnly)
}

// One that commits takes the others along; when it has its answer, no caller is there to lead, only
// a goroutine of the store.
func TestWhatIsSubmittedSharesASyncAndIsAnsweredAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		first := submit(s, Batch{Events: eventsOf("a")})
		waits := async(t.Context(), s, Batch{Events: eventsOf("b")})
		synctest.Wait()
		second := submit(s, Batch{Events: []Proposal{{At: At("a", "test"), Expect: Exactly(1), Payload: note{}}}})
		refused := submit(s, Batch{Events: []Proposal{{At: At("a", "test"), Expect: Absent, Payload: note{}}}})
		checked := submit(s, Batch{Events: eventsOf("c"), Conditions: []Condition{{Region: Region{Entity: "c"}}}})
		pending(t, leader, first, waits, second, refused, checked)
		syncs := gate.syncs.Load()

		gate.step()
		synctest.Wait()
		require.NoError(t, (<-leader).err)
		pending(t, first, waits, second, refused, checked)
		gate.step()
		synctest.Wait()
		require.Equal(t, Position(2), (<-first).receipt.Position())
		require.Equal(t, Position(3), (<-waits).receipt.Position())
		require.Equal(t, Position(4), (<-second).receipt.Position())
		require.ErrorIs(t, (<-refused).err, ErrConflict)
		require.Equal(t, Position(5), (<-checked).receipt.Position())
		require.Equal(t, syncs+2, gate.syncs.Load())
		require.False(t, s.committer.leading)
	})
}

func TestCloseLetsWhatIsSubmittedFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		queued := submit(s, Batch{Events: eventsOf("queued")})
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		require.Empty(t, closed)
		require.ErrorIs(t, (<-submit(s, Batch{Events: eventsOf("late")})).err, ErrClosed)
		gate.open()
		require.NoError(t, (<-leader).err)
		require.NoError(t, <-closed)
		require.NoError(t, (<-queued).err)
		require.Equal(t, Position(2), openLog(t, gate, Options{}).Head())
	})
}

func TestCallersThatWaitAndOthersThatDoNotAreEachAnsweredOnce(t *testing.T) {
	const callers, each = 8, 40
	s := memoryLog(t)
	var mu sync.Mutex
	var sequences []uint64
	var all sync.WaitGroup
	book := func(r Receipt, err error) {
		mu.Lock()
		defer mu.Unlock()
		sequences = append(sequences, r.Sequence)
		all.Done()
		if err != nil {
			t.Error(err)
		}
	}
	all.Add(callers * each)
	for c := range callers {
		go func() {
			dice := rand.New(rand.NewPCG(1, uint64(c)))
			for i := range each {
				b := Batch{Sides: []SideWrite{{Key: fmt.Sprint(c, i%3), Value: []byte("v")}}}
				switch dice.IntN(4) {
				case 0:
					book(s.Commit(t.Context(), b))
				case 1:
					b.Conditions = []Condition{{}}
					Submit(s, b, book)
				default:
					Submit(s, b, book)
				}
			}
		}()
	}
	all.Wait()
	slices.Sort(sequences)
	require.Len(t, slices.Compact(sequences), callers*each)
	require.NotContains(t, sequences, uint64(0))
}

// A handler of a worker has labels by which profiles tell it from others, and may commit.
func TestGoroutinesOfTheStoreHaveNoLabelsOfTheCallerThatStartedThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		task := make(chan struct{})
		go pprof.Do(t.Context(), pprof.Labels("caller", "labelled"), func(ctx context.Context) {
			s.background(func() { <-task })
			_, _ = s.Commit(ctx, Batch{Events: eventsOf("a")})
		})
		synctest.Wait()
		queued := submit(s, Batch{Events: eventsOf("b")})
		gate.step()
		synctest.Wait()
		pending(t, queued)
		var profile bytes.Buffer
		require.NoError(t, pprof.Lookup("goroutine").WriteTo(&profile, 1))
		require.NotContains(t, profile.String(), `"labelled"`)
		close(task)
		gate.open()
		require.NoError(t, (<-queued).err)
	})
}
