package actors_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// storm is many workers in all kinds of trouble at once.
type storm struct {
	disk    *storetest.Disk
	st      *store.Store
	seed    uint64
	workers []string

	mu     sync.Mutex
	random *rand.Rand
	calm   bool

	panics atomic.Int32
	waited int // workers that were seen waiting for room
}

func (s *storm) chance(percent int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.calm && s.random.IntN(100) < percent
}

func (s *storm) pick(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n)
}

// poison reports whether an event fails for as long as the storm lasts: 5 % of them, others for
// each worker.
func (s *storm) poison(worker string, p store.Position) bool {
	h := rand.New(rand.NewPCG(s.seed, uint64(p)<<20+uint64(len(worker))<<10+uint64(worker[len(worker)-1])))
	return h.IntN(100) < 5 && !s.isCalm()
}

func (s *storm) isCalm() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calm
}

// stormGroup is how many workers a group has.
const stormGroup = 10

func (s *storm) tree() supervision.Group {
	top := supervision.Group{Name: "storm", Policy: supervision.Policy{
		Attempts: 3, Intensity: 1000, Backoff: supervision.Backoff{Initial: 10 * time.Millisecond, Max: time.Second},
	}}
	strategies := []supervision.Strategy{supervision.OneForOne, supervision.RestForOne, supervision.OneForAll}
	for at := 0; at < len(s.workers); at += stormGroup {
		g := supervision.Group{Name: "g" + strconv.Itoa(at), Strategy: strategies[at/stormGroup%3]}
		for i, name := range s.workers[at : at+stormGroup] {
			g.Children = append(g.Children, s.worker(name, i))
		}
		top.Children = append(top.Children, g)
	}
	return top
}

func (s *storm) worker(name string, i int) cursor.Worker {
	st, out := s.st, store.At("out:"+name, "test")
	expects := i%4 == 0 // nothing of another writer since it has looked
	return cursor.Worker{
		Name: name, Region: inputs, Lanes: i % 4, BatchSize: 8,
		Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			next, err := st.Version(ctx, out.Entity)
			if err != nil {
				return cursor.Continue, err
			}
			if expects && s.chance(5) {
				_, _ = st.Append(ctx, out, store.Any, reacted{}) // another writer is faster
			}
			for i, e := range b.Events {
				b.Begin(i)
				switch {
				case s.poison(name, e.Position) && !b.Replayed(i):
					return cursor.Continue, cursor.FailedAt(i, errBroken)
				case s.chance(1) && s.chance(20):
					s.panics.Add(1)
					panic("storm")
				}
				p := store.Proposal{At: out, Payload: reacted{For: e.Position}}
				if expects && !b.Replayed(i) {
					p.Expect = store.Exactly(next)
					next++
				}
				b.Propose(i, p)
			}
			return cursor.Continue, nil
		},
	}
}

// trouble does something to a worker.
func (s *storm) trouble(ctx context.Context, tb testing.TB, sys *actors.System) error {
	tb.Helper()
	number := s.pick(len(s.workers))
	name := s.workers[number]
	var err error
	switch s.pick(6) {
	case 0:
		err = sys.Pause(ctx, name, time.Now().Add(time.Second), checkpoint.Request{Reason: "storm"})
		if errors.Is(err, store.ErrInvalid) { // it waited for its worker until that was over
			err = nil
		}
	case 1:
		err = sys.Resume(ctx, name, checkpoint.Request{})
	case 2:
		to := statusOf(tb, sys, name).Position
		if to > 0 {
			to = store.Position(s.pick(int(to)))
		}
		err = apply(ctx, sys, name, checkpoint.Rewind{To: to})
	case 3:
		_, err = sys.Replay(ctx, name, cursor.ParkedFilter{All: true}, checkpoint.Request{Reason: "storm"})
	case 4:
		_, err = checkpoint.Inspect(s.st, checkpoint.ID(name))
	case 5:
		if _, short := ctx.Deadline(); short { // what is removed then may not come back
			break
		}
		group := path.Dir(statusOf(tb, sys, name).Path)
		require.NoError(tb, sys.Remove(ctx, name, checkpoint.Request{}))
		err = sys.Add(ctx, group, s.worker(name, number%stormGroup), checkpoint.Request{Reason: "storm"})
	}
	return err
}

// tide lets the disk have no more room, so that what is handled cannot be written, and has
// operators call until there is.
func (s *storm) tide(t *testing.T, sys *actors.System) {
	t.Helper()
	s.disk.SetCapacity(1)
	for i := range 14 { // which may fit into the segment, and the reactions do not
		if _, err := s.st.Commit(t.Context(), store.Batch{Events: []store.Proposal{input(i)}}); err != nil {
			require.ErrorIs(t, err, store.ErrDiskFull)
		}
	}
	for range 10 {
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := s.trouble(short, t, sys); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, store.ErrDiskFull) {
			require.NoError(t, err)
		}
		cancel()
	}
	for _, w := range sys.Status().Workers {
		if errors.Is(w.Reason, store.ErrDiskFull) {
			s.waited++
		}
	}
	s.disk.SetCapacity(1 << 40)
}

// calmDown ends all trouble and waits until everything is handled, the parked events too.
func (s *storm) calmDown(tb testing.TB, sys *actors.System) {
	tb.Helper()
	s.mu.Lock()
	s.calm = true
	s.mu.Unlock()
	for _, name := range s.workers {
		require.NoError(tb, sys.Resume(tb.Context(), name, checkpoint.Request{}))
		_, err := sys.Replay(tb.Context(), name, cursor.ParkedFilter{All: true}, checkpoint.Request{})
		require.NoError(tb, err)
	}
	last := appendInputs(tb, s.st, 7)
	for _, name := range s.workers {
		require.NoError(tb, sys.WaitApplied(tb.Context(), name, last), name)
	}
	synctest.Wait()
}

// count logs what happened in the storm.
func (s *storm) count(tb testing.TB, sys *actors.System) map[string]int {
	tb.Helper()
	seen := make(map[string]int)
	for e, err := range s.st.Read(tb.Context(), store.Region{Scope: store.ReservedScope}, store.Beginning()) {
		require.NoError(tb, err)
		seen[e.Kind]++
	}
	for _, w := range sys.Status().Workers {
		for _, p := range reactions(tb, s.st, w.Name) {
			if p == 0 {
				seen["lost races"]++
			}
		}
	}
	seen["waits for room"], seen["panics"] = s.waited, int(s.panics.Load())
	return seen
}

func (s *storm) check(tb testing.TB, sys *actors.System) {
	tb.Helper()
	want := positions(tb, s.st, inputs)
	keys := make(map[store.Position]string)
	for e, err := range s.st.Read(tb.Context(), inputs, store.Beginning()) {
		require.NoError(tb, err)
		keys[e.Position] = e.Coordinate.Entity
	}
	for _, name := range s.workers {
		got := slices.DeleteFunc(reactions(tb, s.st, name), func(p store.Position) bool { return p == 0 })
		last := make(map[string]store.Position)
		for _, p := range got {
			require.Less(tb, last[keys[p]], p, "%s: order of %s", name, keys[p])
			last[keys[p]] = p
		}
		slices.Sort(got)
		require.Equal(tb, want, got, name)
		w := statusOf(tb, sys, name)
		require.Zero(tb, w.Parked+w.Lag, name)
	}
}

// boot opens the store on what the disk holds, and starts the workers.
func (s *storm) boot(t *testing.T) *actors.System {
	t.Helper()
	var err error
	s.st, err = s.disk.Open("data", store.Options{SegmentBytes: 64 << 10})
	require.NoError(t, err)
	sys, err := actors.Start(t.Context(), s.st, actors.Options{}, s.tree())
	require.NoError(t, err)
	return sys
}

// kill cuts the power in the middle of everything.
func (s *storm) kill(t *testing.T, sys *actors.System) *actors.System {
	t.Helper()
	s.disk.CutAt(s.disk.Ops() + 1 + s.pick(20))
	time.Sleep(time.Duration(s.pick(50)) * time.Millisecond)
	s.disk.Cut()
	_ = sys.Stop(t.Context())
	_ = s.st.Close()
	s.disk = s.disk.Rebooted(uint64(s.pick(1 << 30)))
	return s.boot(t)
}

// There are 200 workers, 100 under the race detector, and 1,000 with PENSTOCK_SOAK=1. Their process
// dies four times, their disk is full three times, and other writers are faster now and then.
func TestAStormOfFailuresAndKillsLosesAndRepeatsNothing(t *testing.T) {
	n, seed := 200, uint64(time.Now().UnixNano())
	if underRace {
		n = 100
	}
	if os.Getenv("PENSTOCK_SOAK") != "" {
		n = 1000
	}
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	t.Logf("PENSTOCK_SEED=%d, %d workers", seed, n)
	synctest.Test(t, func(t *testing.T) {
		s := &storm{disk: storetest.NewDisk(), seed: seed, random: rand.New(rand.NewPCG(seed, 1))}
		for i := range n {
			s.workers = append(s.workers, fmt.Sprintf("w%d", i))
		}
		sys := s.boot(t)
		for round := range 10 {
			appendInputs(t, s.st, 14)
			for range n / 4 {
				require.NoError(t, s.trouble(t.Context(), t, sys))
			}
			if round%3 == 2 {
				s.tide(t, sys)
			}
			time.Sleep(time.Duration(s.pick(3000)) * time.Millisecond)
			if round%2 == 1 && round < 9 {
				sys = s.kill(t, sys)
			}
		}
		s.calmDown(t, sys)
		seen := s.count(t, sys)
		t.Logf("seen: %v", seen)
		for _, what := range []string{
			"panics", "lost races", "waits for room",
			checkpoint.AuditParked, checkpoint.AuditReplayed, checkpoint.AuditRewound, checkpoint.AuditPaused,
			checkpoint.AuditAdded, checkpoint.AuditRemoved,
		} {
			require.Positive(t, seen[what], what)
		}
		s.check(t, sys)
		require.NoError(t, sys.Stop(t.Context()))
		require.NoError(t, s.st.Close())
	})
}
