package reactortest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// build is the build that reactions name, whatever the program.
const build = "reactortest"

// maxSteps is how many steps in a row are taken for reactors that answer each other forever.
const maxSteps = 100_000

// Run is a tree of workers over a store in memory, which does nothing by itself: the test decides
// when a worker handles its next batch, when time passes, and when the power fails. Any other error
// fails the test.
//
// Everything runs on the goroutine of the caller, handlers included. A Run is not safe for
// concurrent use.
type Run struct {
	tb      testing.TB
	tree    supervision.Child
	gates   []store.Gate
	disk    *storetest.Disk
	st      *store.Store
	passed  atomic.Int64  // since the beginning, in nanoseconds; goroutines of the store read it, too
	set     time.Duration // by how much the clock of the machine was set
	shown   atomic.Int64  // of that what the store sees, likewise
	random  *rand.Rand    // nil: lanes take their turns in the order of the log
	decides *drive.Tree   // about the workers
	all     []*worker     // in the order of the tree

	numbered map[int]*worker // the same, by their numbers in the tree
	refusal  error           // of the worker that was added last

	wider  map[string]cursor.Worker // what workers were widened to
	given  int                      // events appended by the test
	seen   store.Position           // up to which Then has compared
	boots  int
	ops    int    // of the disks before the present one
	cuts   []int  // planned power cuts, each counted in operations from the start after the one before
	cutAt  int    // the operation of the present disk at which the power fails, 0 for none that is planned
	inside bool   // a handler is running
	died   bool   // and has ended the process: the Run boots again once it returns
	seed   uint64 // of what a power cut leaves
	closed bool

	order *interleaving // nil outside EveryOrder
}

// Start opens a new store and has the workers of a tree, which may be a single reactor, a [Program]
// or [Gated], acquire their checkpoints: nothing is handled yet. It fails the test where
// actors.Start would fail; a worker that the world refuses is Retrying or Halted, as there. The
// store is closed when the test ends.
func Start(tb testing.TB, tree supervision.Child) *Run {
	tb.Helper()
	r := newRun(tb, tree)
	tb.Cleanup(r.close)
	r.boot()
	return r
}

func newRun(tb testing.TB, tree supervision.Child) *Run {
	tb.Helper()
	r := &Run{
		tb: tb, tree: tree, disk: storetest.NewDisk(), wider: make(map[string]cursor.Worker),
	}
	if g, ok := tree.(Gated); ok {
		r.tree, r.gates = g.Tree, g.Gates
	}
	return r
}

// close closes the store.
func (r *Run) close() {
	if !r.closed && r.st != nil {
		_ = r.st.Close()
	}
	r.closed = true
}

// boot opens the store and the tree, again if the power fails meanwhile.
func (r *Run) boot() {
	r.tb.Helper()
	for {
		r.shown.Store(int64(r.set))
		st, err := r.disk.Open("data", store.Options{SegmentBytes: 64 << 10, Clock: func() time.Time { return machineClock(r) }, Gates: r.gates})
		if err == nil {
			r.st = st
			err = buildTree(r)
		}
		if err == nil {
			return
		}
		if !crashed(err) {
			r.tb.Fatalf("reactortest: start: %v", err)
		}
		r.reboot()
	}
}

// crashed reports whether a process has to be started again after this error.
func crashed(err error) bool {
	return errors.Is(err, errDied) || errors.Is(err, storetest.ErrPowerCut) || errors.Is(err, store.ErrPoisoned) || errors.Is(err, store.ErrClosed)
}

// errDied is the error of a handler that has ended the process.
var errDied = errors.New("reactortest: the process has died")

// guard calls do, again after a boot if the power fails meanwhile.
func (r *Run) guard(do func() error) error {
	r.tb.Helper()
	if r.inside {
		r.tb.Fatalf("reactortest: of a Run, a handler may call Crash, CrashAt, Now, Disk and Store only")
	}
	for {
		err := do()
		if !crashed(err) {
			return err
		}
		r.reboot()
		r.boot()
	}
}

func (r *Run) ctx() context.Context { return r.tb.Context() }

// Now returns the time of the run, which is that of its store: see store.Store.Now. It begins at
// 2000-01-01 and moves with [Run.Advance], and where [SetClock] has set the clock.
func (r *Run) Now() time.Time {
	if r.st == nil {
		return machineClock(r)
	}
	return r.st.Now()
}

// machineClock is what the clock of the machine shows to the store.
func machineClock(r *Run) time.Time {
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.passed.Load() + r.shown.Load()))
}

// SetClock sets the clock of the machine, forwards by d or back by -d, without time passing. A
// running store follows it forwards alone, see store.Store.Now; one that is opened later, after a
// [Run.Crash], has the clock as it is then, and the last event of its log.
func SetClock(r *Run, d time.Duration) {
	r.set += d
	// What a store makes of a clock that is set back is that time passes as before. By this clock it
	// could not tell, as that has no monotonic reading.
	if wall := machineClock(r).Add(r.set - time.Duration(r.shown.Load())); wall.After(r.Now()) {
		r.shown.Store(int64(r.set))
	}
}

// Store returns the store, to read from. It is another one after a crash: call it again after each
// other call of the Run. Until then it can be read, whenever the power fails.
func (r *Run) Store() *store.Store {
	r.tb.Helper()
	if r.inside {
		r.order.inside()
	} else {
		syncStore(r)
	}
	return r.st
}

// syncStore waits for what the store would write later, by itself, and notices a power cut, also
// one that failed nothing yet. The commit is refused, as there is no such value, and an answer
// waits until all that it has seen is durable.
func syncStore(r *Run) {
	r.tb.Helper()
	err := r.guard(func() error {
		absent := store.SideWrite{Key: "reactortest", Delete: true, Expect: store.Exactly(1)}
		_, err := r.st.Commit(r.ctx(), store.Batch{Sides: []store.SideWrite{absent}})
		switch {
		case isCut(r):
			return storetest.ErrPowerCut
		case errors.Is(err, store.ErrConflict):
			return nil
		}
		return err
	})
	if err != nil {
		r.tb.Fatalf("reactortest: %v", err)
	}
}

// isCut reports whether the power has failed at a planned operation.
func isCut(r *Run) bool { return r.cutAt > 0 && r.disk.Ops() >= r.cutAt }

// Disk returns the disk under the store, to make it fail or fill up. It is another one after a
// crash.
func (r *Run) Disk() *storetest.Disk { return r.disk }

// Shuffle makes the lanes of a worker proceed at different speeds, drawn from a seed: a step
// handles what is in flight in some of them, in any order, and commits that, while the others lag.
// Without it all lanes take a step together, in the order of the log. Another seed is another
// interleaving.
func (r *Run) Shuffle(seed uint64) { r.random = rand.New(rand.NewPCG(seed, 0)) }

// Given appends events, one commit each, at coordinates as for [React]: those of [At], or "entity"
// in scope "test". They are not handled yet.
func (r *Run) Given(payloads ...store.Payload) {
	r.tb.Helper()
	for _, p := range payloads {
		at := defaultAt(store.Region{})
		if given, ok := p.(located); ok {
			at, p = given.at, given.Payload
		}
		r.given++
		encoded, err := store.Proposal{At: at, Payload: p}.Encode() // once, whatever its codec
		if err == nil {
			key := fmt.Sprint("reactortest ", r.given) // appended once, also after a crash
			err = r.guard(func() error {
				_, err := r.st.Commit(r.ctx(), store.Batch{IdempotencyKey: key, Events: []store.Proposal{encoded}})
				return err
			})
		}
		if err != nil {
			r.tb.Fatalf("reactortest: given event %d: %v", r.given, err)
		}
	}
}

// Step has a worker handle and commit its next batch, one of each lane, and returns the outcome. A
// worker that waits for a retry, is paused or halted, or has nothing to handle, does nothing.
func (r *Run) Step(name string) Outcome {
	r.tb.Helper()
	out := stepOf(r, name)
	syncStore(r)
	return out
}

func stepOf(r *Run, name string) (out Outcome) {
	r.tb.Helper()
	err := r.guard(func() (err error) {
		out, err = r.worker(name).step()
		return err
	})
	if err != nil {
		r.tb.Fatalf("reactortest: step of %q: %v", name, err)
	}
	return out
}

// Settle has all workers handle everything that can be handled now, in turns. Those that wait for a
// retry still wait: see [Run.Advance].
func (r *Run) Settle() {
	r.tb.Helper()
	for steps := 0; ; {
		fallDue(r)
		idle := true
		for i := 0; i < len(r.all); i++ { // a crash replaces them
			idle = !r.order.before(i) && idle
			name, before := r.all[i].name(), markOf(r.all[i])
			out := stepOf(r, name)
			idle = idle && out == Outcome{} && markOf(r.all[i]) == before
			steps++
		}
		if boots := r.boots; idle {
			syncStore(r)
			idle = r.boots == boots
		}
		if idle {
			return
		}
		if steps > maxSteps {
			r.tb.Fatalf("reactortest: the workers do not settle after %d steps: do they answer each other forever?", steps)
		}
	}
}

// Advance lets time pass: all that falls due is done in the order of its time, other workers react
// to it, and what is left to do at the end is done too.
func (r *Run) Advance(d time.Duration) {
	r.tb.Helper()
	end := r.passed.Load() + int64(d)
	for {
		r.Settle()
		left := time.Duration(end - r.passed.Load())
		now := r.Now()
		next := nextDue(r, now.Add(left))
		if !next.After(now) && left == 0 {
			return
		}
		// Where the store's clock is ahead of the machine's it is slower: what is due takes more turns.
		r.passed.Add(int64(min(left, max(0, next.Sub(now)))))
		if r.passed.Load() == end {
			r.Settle()
			return
		}
	}
}

// nextDue returns when something is due next, at the latest the end.
func nextDue(r *Run, end time.Time) (next time.Time) {
	r.tb.Helper()
	err := r.guard(func() error {
		next = end
		if due, waits := r.decides.Next(); waits && due.Before(next) {
			next = due
		}
		for _, w := range r.all {
			if due := w.next(); !due.IsZero() && due.Before(next) {
				next = due
			}
		}
		return nil
	})
	if err != nil {
		r.tb.Fatalf("reactortest: %v", err)
	}
	return next
}

// fallDue does what is due for the tree, also for workers that take no step.
func fallDue(r *Run) {
	r.tb.Helper()
	if err := r.guard(func() error { return tick(r) }); err != nil {
		r.tb.Fatalf("reactortest: %v", err)
	}
}

// worker returns a worker by its name, or fails the test.
func (r *Run) worker(name string) *worker {
	r.tb.Helper()
	w := find(r.all, name)
	if w == nil {
		r.tb.Fatalf("reactortest: no worker is named %q", name)
	}
	return w
}

func find(all []*worker, name string) *worker {
	if i := slices.IndexFunc(all, func(w *worker) bool { return w.name() == name }); i >= 0 {
		return all[i]
	}
	return nil
}

// Status returns the status of a worker.
func (r *Run) Status(name string) Status {
	r.tb.Helper()
	var s Status
	err := r.guard(func() (err error) {
		s, err = r.worker(name).status()
		return err
	})
	if err != nil {
		r.tb.Fatalf("reactortest: status of %q: %v", name, err)
	}
	return s
}

// Parked returns what a worker has parked, by position: what failed, and what is held for it.
func (r *Run) Parked(name string) []checkpoint.Parked {
	r.tb.Helper()
	var all []checkpoint.Parked
	err := r.guard(func() error {
		all = nil
		for p, err := range checkpoint.ParkedEvents(r.st, checkpoint.ID(r.worker(name).name())) {
			if err != nil {
				return err
			}
			all = append(all, p)
		}
		return nil
	})
	if err != nil {
		r.tb.Fatalf("reactortest: what %q has parked: %v", name, err)
	}
	return all
}
