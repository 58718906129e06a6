package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// watcher keeps what it is told.
type watcher struct {
	mu       sync.Mutex
	outlines []Event
	last     Position
	gaps     int
	ended    []error
}

func (w *watcher) Published(p *Publication) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.After != w.last {
		w.gaps++
	}
	w.last = p.Head
	for e := range p.Outlines() {
		w.outlines = append(w.outlines, e)
	}
}

func (w *watcher) Ended(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = append(w.ended, err)
}

// Groups with refused commits, duplicates of keys and commits without events in them.
func TestAWatcherIsToldOfEachEventOnceAndOfNothingElse(t *testing.T) {
	s, w := openLog(t, vfs.NewMemory(), Options{}), &watcher{}
	_, err := Watch(s, w)
	require.NoError(t, err)
	var callers sync.WaitGroup
	for caller := range 8 {
		random := rand.New(rand.NewPCG(uint64(caller), 1))
		callers.Go(func() {
			for i := range 60 {
				b := Batch{}
				for range random.IntN(4) {
					at := At(fmt.Sprintf("order:%d", random.IntN(3)), []string{"shop", "bar"}[random.IntN(2)])
					b.Events = append(b.Events, Proposal{At: at, Payload: Raw{Type: "order.placed"}})
				}
				switch random.IntN(5) {
				case 0:
					b.Sides = append(b.Sides, SideWrite{Key: "side", Value: []byte{1}})
				case 1:
					if len(b.Events) > 0 {
						b.Events[0].Expect = Absent
					}
				case 2:
					b.IdempotencyKey = fmt.Sprint(caller, i/10, len(b.Events))
				}
				_, _ = s.Commit(t.Context(), b)
			}
		})
	}
	callers.Wait()
	require.Zero(t, w.gaps)
	require.Equal(t, s.Head(), w.last)
	i := 0
	for e, err := range s.Read(t.Context(), Region{}, Beginning()) {
		require.NoError(t, err)
		want := Event{Position: e.Position, Version: e.Version, Kind: e.Kind, Coordinate: e.Coordinate}
		require.Equal(t, want, w.outlines[i])
		i++
	}
	require.Len(t, w.outlines, i)
	require.Greater(t, i, 100)
}

func TestAWatcherIsToldBeforeTheCommitIsAcknowledged(t *testing.T) {
	s, w := openLog(t, vfs.NewMemory(), Options{}), &watcher{}
	stop, err := Watch(s, w)
	require.NoError(t, err)
	other := &watcher{}
	_, err = Watch(s, other)
	require.NoError(t, err)
	for range 3 {
		put(t, s, "a")
		require.Equal(t, s.Head(), w.last)
	}
	stop()
	stop()
	put(t, s, "a")
	require.Equal(t, Position(3), w.last)
	require.Equal(t, Position(4), other.last)
}

func TestAWatcherIsToldThatTheHeadWillNotMoveAgain(t *testing.T) {
	s, w := openLog(t, vfs.NewMemory(), Options{}), &watcher{}
	_, err := Watch(s, w)
	require.NoError(t, err)
	require.Empty(t, w.ended)
	_ = s.committer.writer.poisonWith(errors.New("disk"))
	require.Equal(t, []error{ErrPoisoned}, w.ended)
	late := &watcher{}
	_, err = Watch(s, late)
	require.NoError(t, err)
	require.Equal(t, []error{ErrPoisoned}, late.ended)
	_ = s.Close()
	require.ErrorIs(t, w.ended[len(w.ended)-1], ErrClosed)
	after := &watcher{}
	_, err = Watch(s, after)
	require.NoError(t, err)
	require.Equal(t, []error{ErrClosed}, after.ended)
}

func TestAStoreThatIsOpenedReadOnlyTellsNoWatcher(t *testing.T) {
	disk := vfs.NewMemory()
	put(t, openLog(t, disk, Options{}), "a")
	_, err := Watch(openLog(t, disk, Options{ReadOnly: true}), &watcher{})
	require.ErrorIs(t, err, ErrReadOnly)
}

func TestAWatcherThatIsNoneIsRefused(t *testing.T) {
	s := memoryLog(t)
	_, err := Watch(s, nil)
	require.ErrorIs(t, err, ErrInvalid)
	_, err = s.Append(t.Context(), At("a", "test"), Any, Raw{Type: "a.b"})
	require.NoError(t, err)
}
