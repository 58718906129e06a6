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
	"strings"
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
	"github.com/penstock-io/penstock/supervision"
)

// conduct is what a worker of a random tree does with its first event. All workers do so at the
// same moment, in an order that is not known.
type conduct uint8

const (
	fine      conduct = iota
	panics            // once
	escalates         // once: its first panic is too much for its budget, and goes to the group above
	exceeds           // its budget of panics, and halts
	temporary         // panics, and is never started again
	halts             // until calm is set
	ends              // returns cursor.Stop
	waits             // until its context ends, once
	ignores           // its context, until it is released
	unable            // is fine, but fails to start again, and halts
	conducts
)

func (c conduct) String() string {
	return [...]string{"fine", "panics", "escalates", "exceeds", "temporary", "halts", "ends", "waits", "ignores", "unable"}[c]
}

// leaf is a worker of a random tree.
type leaf struct {
	name    string
	conduct conduct
	st      *store.Store
	starts  atomic.Int32
	calls   atomic.Int32
	lanes   int
	inside  sync.Map // keys of the events in flight
	twice   atomic.Bool
	calm    *atomic.Bool
	release chan struct{}
}

func (l *leaf) handle(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
	key := ""
	if l.lanes > 1 {
		key = b.Events[0].Coordinate.Entity
	}
	if _, already := l.inside.LoadOrStore(key, true); already {
		l.twice.Store(true)
	}
	defer l.inside.Delete(key)
	first := l.calls.Add(1) == 1
	if first {
		time.Sleep(time.Second)
	}
	reactAll(l.name, b)
	switch {
	case l.calm.Load():
	case l.conduct == halts:
		return cursor.Continue, supervision.Halt(errBroken)
	case l.conduct == ends:
		return cursor.Stop, nil
	case !first:
	case l.conduct == panics, l.conduct == escalates, l.conduct == exceeds, l.conduct == temporary:
		panic(l.conduct)
	case l.conduct == waits:
		<-ctx.Done()
		return cursor.Continue, ctx.Err()
	case l.conduct == ignores:
		<-l.release
	}
	return cursor.Continue, nil
}

func (l *leaf) worker() cursor.Worker {
	w := cursor.Worker{Name: l.name, Region: inputs, Lanes: l.lanes, Handle: l.handle}
	switch l.conduct {
	case escalates:
		w.Policy = supervision.Policy{Intensity: -1, OverBudget: supervision.ActionEscalate}
	case exceeds:
		w.Policy = supervision.Policy{Intensity: -1}
	case temporary:
		w.Restart = supervision.Temporary
	case unable:
		w.Policy = supervision.Policy{Intensity: 2, Backoff: supervision.Backoff{Initial: time.Second}}
		w.ExternalPosition = l.locate
	default:
	}
	return w
}

// locate is the ExternalPosition of an unable worker: the position in its checkpoint, and an error
// from the second start on.
func (l *leaf) locate(context.Context, cursor.ResumeState) (store.Position, error) {
	if l.starts.Add(1) > 1 && !l.calm.Load() {
		return 0, errBroken
	}
	info, err := checkpoint.Inspect(l.st, checkpoint.ID(l.name))
	return info.Record.Scanned, err
}

// branch is a leaf, or a group of branches.
type branch struct {
	leaf     *leaf
	strategy supervision.Strategy
	policy   supervision.Policy
	children []*branch
}

func (b *branch) leaves() (all []*leaf) {
	if b.leaf != nil {
		return []*leaf{b.leaf}
	}
	for _, child := range b.children {
		all = append(all, child.leaves()...)
	}
	return all
}

func (b *branch) child(name string) supervision.Child {
	if b.leaf != nil {
		return b.leaf.worker()
	}
	g := supervision.Group{Name: name, Strategy: b.strategy, Policy: b.policy}
	for i, child := range b.children {
		g.Children = append(g.Children, child.child("g"+strconv.Itoa(i)))
	}
	return g
}

func (b *branch) String() string {
	if b.leaf != nil {
		return b.leaf.name + " " + b.leaf.conduct.String()
	}
	var parts []string
	for _, child := range b.children {
		parts = append(parts, child.String())
	}
	policy := ""
	if b.policy.OverBudget == supervision.ActionEscalate {
		policy = fmt.Sprintf("escalates over %d ", b.policy.Intensity)
	}
	return fmt.Sprintf("%s%s(%s)", policy, b.strategy, strings.Join(parts, ", "))
}

// swept records all leaves that a failure below b restarts: those that are certain, and those that
// depend on whether the failure of a leaf that escalates is reported before that leaf is restarted
// itself. It reports whether a failure leaves b.
func (b *branch) swept(surely, perhaps map[*leaf]bool) (escalated bool) {
	for i, child := range b.children {
		fails := child.leaf != nil && child.leaf.conduct == panics
		if child.leaf == nil {
			fails = child.swept(surely, perhaps)
		}
		escalated = escalated || child.leaf != nil && child.leaf.conduct == escalates
		if !fails {
			continue
		}
		from, to := b.strategy.Affected(i, len(b.children))
		for _, restarted := range b.children[from:to] {
			for _, l := range restarted.leaves() {
				perhaps[l] = true
				if child.leaf != nil {
					surely[l] = true
				}
			}
		}
	}
	return escalated
}

// grove makes random trees.
type grove struct {
	random *rand.Rand
	st     *store.Store
	calm   atomic.Bool
	leaves int
	max    int
	climbs bool // groups of any level escalate, and so do workers of the top
}

func (g *grove) branch(depth int) *branch {
	b := &branch{strategy: supervision.Strategy(g.random.IntN(3))}
	if g.climbs {
		b.policy = []supervision.Policy{{}, {Intensity: -1}, escalating(supervision.Policy{Intensity: -1}), {
			Intensity: 2, OverBudget: supervision.ActionEscalate, Backoff: supervision.Backoff{Initial: time.Second},
		}}[g.random.IntN(4)]
	}
	for range 1 + g.random.IntN(3) {
		if depth < 3 && g.random.IntN(3) == 0 {
			b.children = append(b.children, g.branch(depth+1))
		} else if g.leaves < g.max {
			b.children = append(b.children, &branch{leaf: g.leaf(depth)})
		}
	}
	return b
}

func (g *grove) leaf(depth int) *leaf {
	g.leaves++
	l := &leaf{name: fmt.Sprintf("w%d", g.leaves), st: g.st, calm: &g.calm, release: make(chan struct{})}
	l.conduct = conduct(g.random.IntN(int(conducts)))
	if depth == 1 && l.conduct == escalates && !g.climbs { // everything would halt
		l.conduct = panics
	}
	if l.conduct != unable { // its position excludes lanes
		l.lanes = g.random.IntN(3)
	}
	return l
}

// wanted returns the states in which a leaf may be when the tree has settled.
func wanted(l *leaf, surely, perhaps map[*leaf]bool) []actors.State {
	swept := func(if_, not actors.State) []actors.State {
		switch {
		case surely[l]:
			return []actors.State{if_}
		case perhaps[l]:
			return []actors.State{if_, not}
		}
		return []actors.State{not}
	}
	switch l.conduct {
	case exceeds:
		if perhaps[l] { // before its failure was reported
			return []actors.State{actors.Halted, actors.Idle}
		}
		return []actors.State{actors.Halted}
	case temporary, halts:
		return []actors.State{actors.Halted}
	case ends:
		return []actors.State{actors.Ended}
	case waits:
		return swept(actors.Idle, actors.Running)
	case ignores:
		return swept(actors.Halted, actors.Running)
	case unable:
		return swept(actors.Halted, actors.Idle)
	default:
		return []actors.State{actors.Idle}
	}
}

// growAndShake runs one tree: all its workers misbehave at once, and when it has settled each is in
// the state that the strategies require. Then those that halted are resumed, and all is handled
// exactly once.
func growAndShake(t *testing.T, seed uint64) {
	st := memory(t, store.Options{Sync: store.SyncNever})
	g := &grove{st: st, random: rand.New(rand.NewPCG(seed, 7)), max: 6}
	top := g.branch(1)
	about := fmt.Sprintf("PENSTOCK_SEED=%d: %v", seed, top)
	sys, err := actors.Start(t.Context(), st, actors.Options{WatchdogInterval: -1}, top.child("top").(supervision.Group))
	require.NoError(t, err)
	defer sys.Stop(context.WithoutCancel(t.Context()))
	appendInputs(t, st, 1)
	time.Sleep(time.Hour)
	surely, perhaps := make(map[*leaf]bool), make(map[*leaf]bool)
	top.swept(surely, perhaps)
	for _, l := range top.leaves() {
		require.Contains(t, wanted(l, surely, perhaps), statusOf(t, sys, l.name).State, "%s: %s", about, l.name)
	}
	g.calmDown(t, st, sys, top.leaves(), about)
}

// growAndClimb runs one tree in which failures escalate at any level, and past the top: it settles,
// shows what halted, and each worker can be resumed.
func growAndClimb(t *testing.T, seed uint64) {
	st := memory(t, store.Options{Sync: store.SyncNever})
	g := &grove{st: st, random: rand.New(rand.NewPCG(seed, 9)), max: 6, climbs: true}
	top := g.branch(1)
	about := fmt.Sprintf("PENSTOCK_SEED=%d: %v", seed, top)
	sys, err := actors.Start(t.Context(), st, actors.Options{WatchdogInterval: -1}, top.child("top").(supervision.Group))
	require.NoError(t, err)
	defer sys.Stop(context.WithoutCancel(t.Context()))
	appendInputs(t, st, 1)
	time.Sleep(time.Hour)
	require.False(t, closed(sys.Done()), "%s: %v", about, sys.Err())
	for _, l := range top.leaves() {
		s := statusOf(t, sys, l.name)
		waits := l.conduct == waits || l.conduct == ignores
		require.True(t, s.State == actors.Idle || s.State == actors.Halted || s.State == actors.Ended ||
			s.State == actors.Running && waits, "%s: %s is %v", about, l.name, s.State)
		require.Equal(t, s.State == actors.Halted, s.Reason != nil, "%s: %s", about, l.name)
	}
	g.calmDown(t, st, sys, top.leaves(), about)
}

// groupsOf returns the paths of the groups of all workers, by their names.
func groupsOf(sys *actors.System) map[string]string {
	groups := make(map[string]string)
	for _, w := range sys.Status().Workers {
		groups[w.Name] = path.Dir(w.Path)
	}
	return groups
}

// calmDown ends all misconduct, resumes those that halted, and requires that each handles each
// event once.
func (g *grove) calmDown(t *testing.T, st *store.Store, sys *actors.System, leaves []*leaf, about string) {
	t.Helper()
	g.calm.Store(true)
	for _, l := range leaves {
		close(l.release)
	}
	time.Sleep(time.Hour)
	last := appendInputs(t, st, 1)
	time.Sleep(time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for _, l := range leaves {
		require.False(t, l.twice.Load(), "%s: %s ran beside itself", about, l.name)
		if s := statusOf(t, sys, l.name).State; s == actors.Ended || s == actors.Running { // forever
			continue
		}
		require.NoError(t, sys.Resume(ctx, l.name, checkpoint.Request{}), "%s: resume %s", about, l.name)
		require.NoError(t, sys.Resume(ctx, l.name, checkpoint.Request{}), "%s: resume %s", about, l.name) // the first may only have ended a halt, and a pause remains
		require.NoError(t, sys.WaitApplied(ctx, l.name, last), "%s: %s", about, l.name)
		synctest.Wait() // for other lanes
		got := reactions(t, st, l.name)
		if l.lanes > 1 {
			slices.Sort(got)
		}
		require.Equal(t, positions(t, st, inputs), got, "%s: %s", about, l.name)
	}
}

// eachSeed runs n trees in bubbles. Set PENSTOCK_SEED to repeat one, and PENSTOCK_SOAK=1 for many.
func eachSeed(t *testing.T, n int, run func(*testing.T, uint64)) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if os.Getenv("PENSTOCK_SOAK") != "" {
		n = 2000
	}
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		n = 1
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	t.Logf("PENSTOCK_SEED=%d and following, %d trees", seed, n)
	for i := range n {
		synctest.Test(t, func(t *testing.T) { run(t, seed+uint64(i)) })
	}
}

func TestRandomTreesEndInTheStatesOfTheirStrategies(t *testing.T) {
	eachSeed(t, 150, growAndShake)
}

func TestRandomTreesSettleAfterEscalationsAndCanBeResumed(t *testing.T) {
	eachSeed(t, 150, growAndClimb)
}

// meddle makes calls of operators for random workers at random times, until ctx ends. Each call has
// to return by then.
func (g *grove) meddle(ctx context.Context, t *testing.T, sys *actors.System, leaves []*leaf, about string) (wait func()) {
	var all sync.WaitGroup
	groups := groupsOf(sys)
	for range 3 {
		random := rand.New(rand.NewPCG(g.random.Uint64(), 1))
		all.Go(func() {
			for {
				select {
				case <-time.After(time.Duration(random.IntN(3000)) * time.Millisecond):
				case <-ctx.Done():
					return
				}
				l := leaves[random.IntN(len(leaves))]
				name := l.name
				var err error
				switch random.IntN(6) {
				case 0:
					err = sys.Pause(ctx, name, time.Now().Add(time.Duration(100+random.IntN(5000))*time.Millisecond), checkpoint.Request{})
				case 1, 2:
					err = sys.Resume(ctx, name, checkpoint.Request{})
				case 3:
					err = apply(ctx, sys, name, checkpoint.Rewind{})
				case 4:
					_, err = sys.Replay(ctx, name, cursor.ParkedFilter{All: true}, checkpoint.Request{})
				case 5:
					if err = sys.Remove(ctx, name, checkpoint.Request{}); err == nil {
						err = sys.Add(ctx, groups[name], l.worker(), checkpoint.Request{})
					}
				}
				allowed := err == nil || ctx.Err() != nil
				for _, refusal := range []error{
					actors.ErrHalted, actors.ErrHung, actors.ErrEnded, actors.ErrStopped, cursor.ErrExternalPosition,
					store.ErrInvalid, // a pause that waited for its worker until its time was over
					actors.ErrRemoved, actors.ErrUnknownWorker, supervision.ErrDuplicate,
				} {
					allowed = allowed || errors.Is(err, refusal)
				}
				if !allowed {
					t.Errorf("%s: %s: %v", about, name, err)
				}
			}
		})
	}
	return all.Wait
}

// growAndStop runs one tree during calls of operators, and at some moment stops it with everything
// in flight, or ends all misconduct.
func growAndStop(t *testing.T, seed uint64) {
	st := memory(t, store.Options{Sync: store.SyncNever})
	g := &grove{st: st, random: rand.New(rand.NewPCG(seed, 8)), max: 6, climbs: seed%2 == 0}
	top := g.branch(1)
	about := fmt.Sprintf("PENSTOCK_SEED=%d: %v", seed, top)
	sys, err := actors.Start(t.Context(), st, actors.Options{WatchdogInterval: -1}, top.child("top").(supervision.Group))
	require.NoError(t, err)
	leaves := top.leaves()
	ctx, cancel := context.WithCancel(t.Context())
	wait, groups := func() {}, groupsOf(sys)
	if len(leaves) > 0 {
		wait = g.meddle(ctx, t, sys, leaves, about)
	}
	appendInputs(t, st, 3)
	time.Sleep(time.Duration(g.random.IntN(20_000)) * time.Millisecond)
	if g.random.IntN(2) == 0 {
		cancel()
		wait()
		time.Sleep(time.Minute) // for what was begun
		for _, l := range leaves {
			if _, there := groupsOf(sys)[l.name]; !there {
				require.NoError(t, sys.Add(t.Context(), groups[l.name], l.worker(), checkpoint.Request{}), "%s: %s", about, l.name)
			}
		}
		g.calmDown(t, st, sys, leaves, about)
		require.NoError(t, sys.Stop(t.Context()), about)
		return
	}
	began := time.Now()
	err = sys.Stop(t.Context())
	require.LessOrEqual(t, time.Since(began), 15*time.Second, about)
	for _, l := range leaves {
		require.False(t, l.twice.Load(), "%s: %s ran beside itself", about, l.name)
		if _, there := groupsOf(sys)[l.name]; !there {
			continue
		}
		switch state := statusOf(t, sys, l.name).State; state {
		case actors.Halted:
			require.ErrorIs(t, err, actors.ErrHalted, about)
		case actors.Running:
			require.ErrorIs(t, err, actors.ErrHung, about)
		default:
			require.Contains(t, []actors.State{actors.Stopped, actors.Ended}, state, "%s: %s", about, l.name)
		}
	}
	cancel()
	wait()
	for _, l := range leaves {
		close(l.release)
	}
}

func TestRandomTreesStopDuringOperatorCallsAndLoseNothing(t *testing.T) {
	eachSeed(t, 150, growAndStop)
}
