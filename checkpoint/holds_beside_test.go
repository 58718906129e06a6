package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// What is held from some position on between the last look at the holders and the drop is either
// not dropped, or begins after it, or is told before anything is written: never too late in the
// next moment.
func TestAHoldThatBeginsBetweenTheLastLookAndTheDropIsNotTooLate(t *testing.T) {
	anyOf := checkpoint.Request{}
	for name, begins := range map[string]func(ctx context.Context, st *store.Store, first store.Position) (store.Position, error){
		"a new reader": func(ctx context.Context, st *store.Store, _ store.Position) (store.Position, error) {
			return floorOf(checkpoint.Acquire(ctx, st, "new", bound))
		},
		"a new reader from a position": func(ctx context.Context, st *store.Store, first store.Position) (store.Position, error) {
			b := bound
			b.Start = store.After(first + 5)
			return floorOf(checkpoint.Acquire(ctx, st, "new", b))
		},
		"a rewind": func(ctx context.Context, st *store.Store, first store.Position) (store.Position, error) {
			to := first + 5
			_, err := checkpoint.Apply(ctx, st, "ahead", checkpoint.Rewind{To: to}, anyOf)
			return to, err
		},
		"a named hold": func(ctx context.Context, st *store.Store, first store.Position) (store.Position, error) {
			return first + 4, store.SetHold(ctx, st, store.Hold{Who: "export", From: first + 5})
		},
		"a call whose caller does not wait for it": func(ctx context.Context, st *store.Store, _ store.Position) (store.Position, error) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return floorOf(checkpoint.Acquire(ctx, st, "new", bound))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := longLog(t, 60)
				_, err := store.Retain(t.Context(), st, checkpoint.Holds, store.RetainOptions{Before: 30})
				require.NoError(t, err)
				require.NoError(t, move(t, st, acquire(t, st, "ahead", bound), 60))
				first := store.First(st)
				require.Greater(t, first, store.Position(10), "0 would be valid wherever the log begins")
				fillLarge(t, st, 100)

				begun := make(chan error, 1)
				var floor store.Position
				calls := 0
				_, err = store.Retain(t.Context(), st, func(st *store.Store, ignore []string) ([]store.Hold, error) {
					holds, err := checkpoint.Holds(st, ignore)
					if calls++; calls == 2 { // the last look
						go func() {
							var err error
							floor, err = begins(t.Context(), st, first)
							begun <- err
						}()
						synctest.Wait()
					}
					return holds, err
				}, store.RetainOptions{Before: 50})
				require.NoError(t, err)
				require.Greater(t, calls, 1)
				err = <-begun
				if errors.Is(err, store.ErrDropped) || errors.Is(err, context.Canceled) {
					return
				}
				require.NoError(t, err)
				require.GreaterOrEqual(t, floor+1, store.First(st), "what it holds from there on is gone")
				_, err = st.ReadPage(t.Context(), orders, floor, 0, 10)
				require.NoError(t, err)
			})
		})
	}
}

func floorOf(l *checkpoint.Lease, err error) (store.Position, error) {
	if err != nil {
		return 0, err
	}
	return l.Floor(), nil
}

// Readers come and go, move, rewind, park and take back beside drops: as long as one holds, no
// event that it needs is dropped.
func TestWhatIsHeldIsThereInAnyHistoryBesideDrops(t *testing.T) {
	st, err := storetest.Open(store.Options{SegmentBytes: 64 << 10, Sync: store.SyncNever})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	fillLarge(t, st, 200)
	ctx, stop := context.WithCancel(t.Context())
	var readers, drops sync.WaitGroup
	var dropped atomic.Int64 // segments
	enough := func() bool { return dropped.Load() > 3 || t.Failed() }
	for i := range 3 {
		readers.Go(func() {
			h := &holder{st: st, id: checkpoint.ID(fmt.Sprint("r", i)), random: rand.New(rand.NewPCG(seed, uint64(i)))}
			if err := h.lives(t.Context(), enough); err != nil {
				t.Errorf("reader %d: %v", i, err)
			}
		})
	}
	drops.Go(func() {
		for ctx.Err() == nil {
			fillLarge(t, st, 20)
			report, err := store.Retain(t.Context(), st, checkpoint.Holds, store.RetainOptions{Before: st.Head()})
			if err != nil {
				t.Errorf("retain: %v", err)
				return
			}
			dropped.Add(int64(report.Segments))
		}
	})
	readers.Wait()
	stop()
	drops.Wait()
	require.True(t, enough())
}

// holder is a reader with a checkpoint, and at times an event that is parked.
type holder struct {
	st     *store.Store
	id     checkpoint.ID
	random *rand.Rand
	lease  *checkpoint.Lease
	parked store.Position // 0 for none
}

// lives is 60 turns long, and until enough was dropped beside it.
func (h *holder) lives(ctx context.Context, enough func() bool) (err error) {
	for turn := 0; turn < 60 || !enough(); turn++ {
		if h.lease == nil {
			h.parked = 0
			if h.lease, err = checkpoint.Acquire(ctx, h.st, h.id, bound); err != nil {
				return fmt.Errorf("acquire: %w", err)
			}
		}
		if err := h.acts(ctx); err != nil {
			return err
		}
		if h.lease == nil {
			continue
		}
		if _, err := h.st.ReadPage(ctx, orders, h.lease.Floor(), 0, 1); err != nil {
			return fmt.Errorf("read after %d: %w", h.lease.Floor(), err)
		}
		if _, err := h.st.GetAt(ctx, h.parked); h.parked > 0 && err != nil {
			return fmt.Errorf("parked %d: %w", h.parked, err)
		}
	}
	return nil
}

func (h *holder) acts(ctx context.Context) error {
	floor, head := h.lease.Floor(), h.st.Head()
	var b store.Batch
	m := checkpoint.Move{Scanned: min(head, floor+1+store.Position(h.random.IntN(30)))}
	switch h.random.IntN(8) {
	case 0:
		_, err := checkpoint.Apply(ctx, h.st, h.id, checkpoint.Delete{}, checkpoint.Request{})
		h.lease = nil
		return err
	case 1:
		first := store.First(h.st) // of this moment: by then it may be a later one
		c := checkpoint.Rewind{To: first - 1 + store.Position(h.random.Uint64N(uint64(max(floor, first)-first)+1))}
		if _, err := checkpoint.Apply(ctx, h.st, h.id, c, checkpoint.Request{}); err != nil && !errors.Is(err, store.ErrDropped) && !errors.Is(err, checkpoint.ErrNotBackwards) {
			return fmt.Errorf("%s: %w", c, err)
		}
		h.lease = nil // of the epoch before
		return h.again(ctx)
	case 2, 3:
		if h.parked == 0 && m.Scanned > floor { // in the place of the next event
			h.parked = floor + 1
			b.Sides = append(b.Sides, checkpoint.Parked{Position: h.parked, Key: "k", Error: "no"}.Write(h.id))
		}
	case 4:
		if h.parked > 0 { // it is pending again
			m.Pending = []store.Position{h.parked}
			b.Sides = append(b.Sides, checkpoint.Unpark(h.id, h.parked))
			h.parked = 0
		}
	}
	h.lease.Stage(&b, m)
	if err := h.lease.Committed(h.st.Commit(ctx, b)); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// again resumes where the checkpoint is.
func (h *holder) again(ctx context.Context) (err error) {
	h.lease, err = checkpoint.Acquire(ctx, h.st, h.id, bound)
	h.parked = 0
	for p, err := range checkpoint.ParkedEvents(h.st, h.id) {
		if err != nil {
			return err
		}
		h.parked = p.Position
	}
	return err
}

func fillLarge(t *testing.T, st *store.Store, n int) {
	t.Helper()
	for i := range n {
		placed := store.Raw{Type: "order.placed", Data: make([]byte, 4000)}
		if _, err := st.Append(t.Context(), store.At(fmt.Sprint("order:", i%3), "shop"), store.Any, placed); err != nil {
			t.Error(err)
		}
	}
}

// The list of parked events and the record are read one after the other: an event that moves from
// one to the other meanwhile is held all the same.
func TestAnEventThatIsParkedAndTakenBackIsHeldAtEachMoment(t *testing.T) {
	st, err := storetest.Open(store.Options{Sync: store.SyncNever})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	fill(t, st, 60)
	l := acquire(t, st, "r", bound)
	turn := func(i int) error {
		var b store.Batch
		m := checkpoint.Move{Scanned: 50}
		if i%2 == 0 {
			b.Sides = append(b.Sides, checkpoint.Parked{Position: 10, Key: "k", Error: "no"}.Write("r"))
		} else {
			m.Pending = []store.Position{10}
			b.Sides = append(b.Sides, checkpoint.Unpark("r", 10))
		}
		l.Stage(&b, m)
		return l.Committed(st.Commit(t.Context(), b))
	}
	require.NoError(t, turn(0))
	ctx, stop := context.WithCancel(t.Context())
	turned := make(chan error, 1)
	go func() {
		var err error
		for i := 1; err == nil && ctx.Err() == nil; i++ {
			err = turn(i)
		}
		turned <- err
	}()
	for range 5000 {
		holds, err := checkpoint.Holds(st, nil)
		require.NoError(t, err)
		first := holds[0].From
		for _, h := range holds {
			first = min(first, h.From)
		}
		require.Equal(t, store.Position(10), first, "%v", holds)
	}
	stop()
	require.NoError(t, <-turned)
}
