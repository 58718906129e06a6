package actors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
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

// Power cuts of a running system: one script of appends, parks, pauses, rewinds, replays and a
// widening is run without trouble, and then once for each operation of its disk, with the power cut
// there, or with that operation failing. Each time the disk is booted as the cut may have left it,
// everything is opened and started again, and the script resumes at the step that was interrupted.
// In the end the state must be that of the run without trouble.
//
//	workers   plain    one after the other, emits for each input
//	          laned    the same in lanes, some of its events fail at first
//	          chained  reads what plain emits
//	          wide     begins with one key, and is widened to all
//	inputs    "in:a", "in:b", "in:c", numbered; those divisible by 7 are poison
//	          to plain and laned until they are healed

// cutInput and cutOutput are what the script appends and what its workers emit: the number of an
// input, since positions differ from run to run.
type cutInput struct{ N int }

func (cutInput) Kind() string { return "in.made" }

type cutOutput struct{ N int }

func (cutOutput) Kind() string { return "out.made" }

var cutWorkers = []string{"plain", "laned", "chained", "wide"}

// cutRun is one run of the script, over as many boots as it takes.
type cutRun struct {
	tb     testing.TB
	seed   uint64
	random *rand.Rand
	disk   *storetest.Disk
	st     *store.Store
	sys    *actors.System
	steps  int
	boots  int
	result map[string][]int

	emitted int // reactions that were seen to name their emitter

	mu       sync.Mutex
	healed   bool // of the world outside: no crash undoes it
	attempts map[string]int
}

func newCutRun(tb testing.TB, seed uint64) *cutRun {
	tb.Helper()
	return &cutRun{
		tb: tb, seed: seed, random: rand.New(rand.NewPCG(seed, 1)), disk: storetest.NewDisk(), attempts: make(map[string]int),
	}
}

func (c *cutRun) tree() supervision.Group {
	in := store.Region{Entity: "in", Scope: "test"}
	wide := c.worker("wide", in)
	if info, err := checkpoint.Inspect(c.st, "wide"); errors.Is(err, checkpoint.ErrNotFound) || err == nil && info.Record.Region != in.Identity() {
		wide.Region.Entity = "in:a"
	}
	laned := c.worker("laned", in)
	laned.Lanes, laned.BatchSize = 3, 4
	return supervision.Group{
		Name: "cut", Strategy: supervision.RestForOne,
		Policy: supervision.Policy{Attempts: 6, Backoff: supervision.Backoff{Initial: time.Millisecond, Max: 4 * time.Millisecond}},
		Children: []supervision.Child{
			c.worker("plain", in),
			laned,
			supervision.Group{Name: "below", Children: []supervision.Child{
				c.worker("chained", store.Region{Entity: "plain", Scope: "test"}), wide,
			}},
		},
	}
}

func (c *cutRun) worker(name string, r store.Region) cursor.Worker {
	return cursor.Worker{Name: name, Region: r, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i, e := range b.Events {
			var in cutInput
			if err := json.Unmarshal(e.Payload, &in); err != nil {
				return cursor.Continue, cursor.FailedAt(i, err)
			}
			b.Begin(i)
			b.React(i, store.At(name+":"+e.Coordinate.Entity, "test"), cutOutput(in))
			if err := c.trouble(name, in.N, b.Replayed(i)); err != nil {
				return cursor.Continue, cursor.FailedAt(i, err)
			}
		}
		return cursor.Continue, nil
	}}
}

// trouble returns what goes wrong with an event, nil for nothing.
func (c *cutRun) trouble(name string, n int, replayed bool) error {
	if name != "plain" && name != "laned" {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	attempt := fmt.Sprint(name, n)
	c.attempts[attempt]++
	switch first := c.attempts[attempt] == 1; {
	case n%7 == 0 && !c.healed && !replayed:
		return supervision.Park(errBroken)
	case n%5 == 0 && first:
		return errBroken
	case n%11 == 0 && name == "plain" && first:
		panic("on purpose")
	}
	return nil
}

func (c *cutRun) heal(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.healed = true
	return nil
}

// script returns the steps. Each may be repeated from its beginning.
func (c *cutRun) script() []func(context.Context) error {
	return []func(context.Context) error{
		c.append(1, 16), c.settle,
		c.once("plain", checkpoint.AuditPaused, func(ctx context.Context, reason string) error {
			return c.sys.Pause(ctx, "plain", time.Time{}, checkpoint.Request{Reason: reason})
		}),
		c.append(17, 24),
		c.rewind("laned", 1, 3, false),
		c.once("wide", checkpoint.AuditWidened, func(ctx context.Context, reason string) error {
			wider := checkpoint.Widen{Region: store.Region{Entity: "in", Scope: "test"}}
			_, err := c.sys.Apply(ctx, "wide", wider, checkpoint.Request{Reason: reason})
			return err
		}),
		c.once("plain", checkpoint.AuditResumed, func(ctx context.Context, reason string) error {
			return c.sys.Resume(ctx, "plain", checkpoint.Request{Reason: reason})
		}),
		c.settle,
		c.replay("plain", cursor.ParkedFilter{Key: "in:b"}), // still poison: parked once more
		c.settle,
		c.rewind("plain", 1, 2, false), // with what is parked
		c.append(25, 30), c.settle,
		c.heal,
		c.replay("laned", cursor.ParkedFilter{All: true}),
		c.replay("plain", cursor.ParkedFilter{All: true}),
		c.append(31, 36), c.settle,
		c.rewind("chained", 0, 1, true), c.settle, c.look,
	}
}

// append adds inputs, one by one. A key makes it safe to do it again.
func (c *cutRun) append(from, to int) func(context.Context) error {
	return func(ctx context.Context) error {
		for n := from; n <= to; n++ {
			_, err := c.st.Commit(ctx, store.Batch{IdempotencyKey: fmt.Sprint("input ", n), Events: []store.Proposal{
				{At: store.At(fmt.Sprintf("in:%c", 'a'+n%3), "test"), Payload: cutInput{N: n}},
			}})
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// once does something to a worker unless the audit shows that it was done.
func (c *cutRun) once(worker, kind string, do func(ctx context.Context, reason string) error) func(context.Context) error {
	c.steps++
	reason := fmt.Sprint("step ", c.steps)
	return func(ctx context.Context) error {
		for e, err := range checkpoint.Audits(ctx, c.st, checkpoint.ID(worker), 0, kind) {
			if err != nil {
				return err
			}
			var a checkpoint.Audit
			if err := e.Decode(&a); err != nil || a.Reason == reason {
				return err
			}
		}
		return do(ctx, reason)
	}
}

// rewind rewinds a worker to a fraction of its position.
func (c *cutRun) rewind(worker string, part, of store.Position, emit bool) func(context.Context) error {
	return c.once(worker, checkpoint.AuditRewound, func(ctx context.Context, reason string) error {
		to := statusOf(c.tb, c.sys, worker).Position * part / of
		_, err := c.sys.Apply(ctx, worker, checkpoint.Rewind{To: to, Emit: emit}, checkpoint.Request{Reason: reason})
		return err
	})
}

func (c *cutRun) replay(worker string, which cursor.ParkedFilter) func(context.Context) error {
	return c.once(worker, checkpoint.AuditReplay, func(ctx context.Context, reason string) error {
		_, err := c.sys.Replay(ctx, worker, which, checkpoint.Request{Reason: reason})
		return err
	})
}

// settle waits until no worker has anything to do.
func (c *cutRun) settle(context.Context) error {
	for range 10_000 {
		time.Sleep(2 * time.Millisecond)
		select {
		case <-c.sys.Done():
			return errors.Join(actors.ErrStopped, c.sys.Err())
		default:
		}
		busy := false
		for _, w := range c.sys.Status().Workers {
			if w.State == actors.Halted { // only the disk can be the reason
				return w.Reason
			}
			busy = busy || w.State != actors.Idle || w.Lag > 0
			for p, err := range c.sys.Parked(w.Name) {
				busy = busy || err != nil || p.Replaying
			}
		}
		if !busy {
			return nil
		}
	}
	return fmt.Errorf("does not settle: %+v", c.sys.Status())
}

// up opens and starts what is not running.
func (c *cutRun) up(ctx context.Context) (err error) {
	if c.st == nil {
		if c.st, err = c.disk.Open("data", store.Options{SegmentBytes: 64 << 10}); err != nil {
			c.st = nil
			return err
		}
		if err := c.requireEmitters(ctx); err != nil {
			return err
		}
	}
	if c.sys == nil {
		c.sys, err = actors.Start(ctx, c.st, actors.Options{WatchdogInterval: -1, Build: "of the cut"}, c.tree())
	}
	return err
}

// down ends everything, with the power off.
func (c *cutRun) down(ctx context.Context) {
	c.disk.Cut()
	if c.sys != nil {
		_ = c.sys.Stop(ctx)
	}
	if c.st != nil {
		_ = c.st.Close()
	}
	c.sys, c.st = nil, nil
}

// run executes the script, and boots again whenever the disk fails. Half of the boots meet a second
// cut soon.
func (c *cutRun) run(ctx context.Context) {
	script := c.script()
	for i := 0; i < len(script); {
		err := c.up(ctx)
		if err == nil {
			err = script[i](ctx)
		}
		if err == nil {
			i++
			continue
		}
		expected := errors.Is(err, storetest.ErrPowerCut) || errors.Is(err, errDisk) || errors.Is(err, store.ErrPoisoned) ||
			errors.Is(err, actors.ErrStopped)
		require.True(c.tb, expected, "step %d: %v", i, err)
		c.down(ctx)
		c.boots++
		c.disk = c.disk.Rebooted(c.random.Uint64())
		if c.boots < 3 && c.random.IntN(2) == 0 {
			c.disk.CutAt(1 + c.random.IntN(200))
		}
	}
}

// requireEmitters requires that all reactions that a cut has left name their emitter.
func (c *cutRun) requireEmitters(ctx context.Context) error {
	for e, err := range c.st.Read(ctx, store.Region{Scope: "test"}, store.Beginning()) {
		if err != nil {
			return err
		}
		worker, _, _ := strings.Cut(e.Coordinate.Entity, ":")
		by, ok := e.Emitter()
		require.Equal(c.tb, worker != "in", ok, "event %d at %s", e.Position, e.Coordinate)
		if !ok {
			continue
		}
		require.Equal(c.tb, worker, by.Worker, "event %d", e.Position)
		require.Equal(c.tb, "of the cut", by.Build, "event %d", e.Position)
		require.Positive(c.tb, by.Epoch)
		require.Positive(c.tb, by.Attempt)
		c.emitted++
	}
	return nil
}

var errDisk = errors.New("the disk is broken")

// look records the final state: the numbers that each worker emitted, by key and in order, and what
// is parked.
func (c *cutRun) look(ctx context.Context) error {
	if err := c.requireEmitters(ctx); err != nil {
		return err
	}
	require.Positive(c.tb, c.emitted)
	c.result = make(map[string][]int)
	for e, err := range c.st.Read(ctx, store.Region{Scope: "test"}, store.Beginning()) {
		if err != nil {
			return err
		}
		var body cutInput
		require.NoError(c.tb, json.Unmarshal(e.Payload, &body))
		c.result[e.Coordinate.Entity] = append(c.result[e.Coordinate.Entity], body.N)
	}
	for _, worker := range cutWorkers {
		for p, err := range c.sys.Parked(worker) {
			require.NoError(c.tb, err)
			c.result["parked by "+worker] = append(c.result["parked by "+worker], int(p.Position))
		}
	}
	return nil
}

// cutResult runs the script to its end, with something done to the disk beforehand.
func cutResult(t *testing.T, seed uint64, prepare func(*storetest.Disk)) (result map[string][]int, ops, boots int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if seed%2 == 0 {
			actors.HandleAhead(t)
		}
		c := newCutRun(t, seed)
		prepare(c.disk)
		c.run(t.Context())
		result, boots = c.result, c.boots
		ops = c.disk.Ops()
		c.down(t.Context())
	})
	return result, ops, boots
}

// With PENSTOCK_SOAK=1 every operation is cut, with several outcomes of each; else a random sample.
func TestAPowerCutDoesNotChangeTheFinalState(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	stride, outcomes := 8, 1
	if os.Getenv("PENSTOCK_SOAK") != "" {
		stride, outcomes = 1, 8
	}
	want, ops, boots := cutResult(t, seed, func(*storetest.Disk) {})
	require.Zero(t, boots)
	requireCutResult(t, want)
	t.Logf("PENSTOCK_SEED=%d, %d operations", seed, ops)
	cuts, failures := 0, 0
	for n := 1 + int(seed%uint64(stride)); n <= ops; n += stride {
		for outcome := range outcomes {
			got, _, boots := cutResult(t, seed+uint64(n*outcomes+outcome), func(d *storetest.Disk) { d.CutAt(n) })
			require.Equal(t, want, got, "PENSTOCK_SEED=%d, cut at operation %d, outcome %d", seed, n, outcome)
			cuts += boots
		}
		got, _, boots := cutResult(t, seed+uint64(n), func(d *storetest.Disk) { d.FailAt(n, errDisk) })
		require.Equal(t, want, got, "PENSTOCK_SEED=%d, operation %d fails", seed, n)
		failures += boots
	}
	t.Logf("%d power cuts, %d failing operations and what followed", cuts, failures)
}

// requireCutResult checks the result of the run without trouble.
func requireCutResult(t *testing.T, result map[string][]int) {
	t.Helper()
	for i, key := range []string{"in:a", "in:b", "in:c"} {
		var numbers []int
		for n := 1; n <= 36; n++ {
			if n%3 == i {
				numbers = append(numbers, n)
			}
		}
		require.Equal(t, numbers, result[key])
		for _, worker := range []string{"plain", "laned", "wide"} {
			require.Equal(t, numbers, result[worker+":"+key], worker)
		}
		twice := append(numbers, numbers...)
		require.Equal(t, twice, result["chained:plain:"+key])
	}
	require.Len(t, result, 15, "and nothing is parked")
}
