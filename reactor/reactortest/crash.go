package reactortest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/penstock-io/penstock/supervision"
)

// Crash cuts the power now, and starts everything again: what was acknowledged is there, and whatever the workers keep in
// memory is gone, the counts of attempts too. The seed decides what is left of what was not synced.
//
// In a handler it is the death of the process at this event: nothing of the batch in hand is committed, whatever the handler
// returns. An event that does so each time is found out, as by the actors: it fails with [cursor.ErrCrashLoop].
func (r *Run) Crash(seed uint64) {
	r.tb.Helper()
	r.seed = seed
	if r.inside {
		r.dying = true
		return
	}
	r.reboot()
	r.boot()
}

// CrashAt cuts the power at the n-th operation of the disk from now, counted from 1, in whatever call that comes; the call goes
// on after a start as if nothing had been. An n that is not reached before the next crash never comes.
func (r *Run) CrashAt(n int) { r.disk.CutAt(r.disk.Ops() + n) }

// Crashes is how often the power was cut so far.
func (r *Run) Crashes() int { return r.boots }

// reboot cuts the power, if that did not happen yet, and takes the disk as the next boot may find it.
func (r *Run) reboot() {
	ops := r.disk.Ops()
	r.disk.Cut()
	if r.st != nil {
		_ = r.st.Close()
	}
	r.st, r.dying = nil, false
	r.boots++
	r.ops += ops
	r.disk = r.disk.Rebooted(r.seed + uint64(r.boots))
	if len(r.cuts) == 0 {
		return
	}
	if r.cuts[0] -= ops; r.cuts[0] <= 0 { // or the power was cut for another reason, and this one is still to come
		r.cuts = r.cuts[1:]
	}
	r.arm()
}

// arm lets the next planned power cut come.
func (r *Run) arm() {
	if len(r.cuts) > 0 {
		r.disk.CutAt(r.cuts[0])
	}
}

const (
	// crashSample is how many runs [EveryCrash] makes at most, and with -short.
	crashSample      = 500
	crashSampleShort = 50
	// crashVariants is how many runs it makes for each crash point where there is room for more than one.
	crashVariants = 4
	// secondCut is how many operations after a start the power fails again at the latest, where it does.
	secondCut = 20
)

// EveryCrash runs a scenario once without a crash, and then again for each operation of its disk, with the power cut there, and
// compares what the log holds in the end, what is set aside, and who is behind: it must be the same. That is the proof that a
// tree of reactors survives everything, its own handlers included. tree is called for each run, and must give handlers without
// a memory of the run before; what the handlers talk to is part of what it gives, and no crash takes that back.
//
// The scenario knows nothing of the crashes: Given appends each event once, and all other calls go on after the start. It may
// check what it likes on the way, as long as a crash leaves it true, as [Run.Then] is.
//
// A crash in the middle of the handling of an event that is handled alone, as it is after a crash, is an attempt at it. So with
// a policy of one attempt events are set aside that would not be without a crash.
//
// The same means: each entity has the same events, and those of them that answer one entity are in the same order. Where a worker
// with lanes has keys of its own, no order is compared.
//
// A short scenario is run up to four times for each operation: with other remains of what was not synced, and with the power
// cut again soon after the start. Of one with more than 500 operations (50 with -short) it takes a sample, another one each
// time. The seed is logged; the environment variable PENSTOCK_SEED repeats it.
func EveryCrash(tb testing.TB, tree func() supervision.Child, scenario func(r *Run)) {
	tb.Helper()
	calm := Start(tb, tree())
	scenario(calm)
	ops, want := calm.ops+calm.disk.Ops(), final(calm)
	calm.close()

	seed := crashSeed(tb)
	random := rand.New(rand.NewPCG(seed, 0))
	sample := crashSample
	if testing.Short() {
		sample = crashSampleShort
	}
	points := random.Perm(ops)
	points = points[:min(ops, sample)]
	slices.Sort(points)
	variants := min(crashVariants, max(1, sample/max(1, ops)))
	crashes := 0
	for _, point := range points {
		for variant := range variants {
			cuts := []int{point + 1}
			if variant > 0 {
				cuts = append(cuts, 1+random.IntN(secondCut))
			}
			crashes += crashRun(tb, tree(), scenario, want, seed, random.Uint64(), cuts)
		}
	}
	tb.Logf("reactortest: the power was cut %d times at %d of %d operations, PENSTOCK_SEED=%d", crashes, len(points), ops, seed)
	if crashes == 0 {
		tb.Fatalf("reactortest: the power was never cut")
	}
}

func crashSeed(tb testing.TB) uint64 {
	tb.Helper()
	given := os.Getenv("PENSTOCK_SEED")
	if given == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(given, 10, 64)
	if err != nil {
		tb.Fatalf("reactortest: PENSTOCK_SEED: %v", err)
	}
	return seed
}

// crashRun is one run with power cuts. It says how many there were.
func crashRun(
	tb testing.TB, tree supervision.Child, scenario func(r *Run), want []string, seed, remains uint64, cuts []int,
) int {
	tb.Helper()
	about := fmt.Sprintf("with the power cut at operation %d", cuts[0])
	if len(cuts) > 1 {
		about += fmt.Sprintf(", and at operation %d after the start", cuts[1])
	}
	ended := false
	defer func() {
		if !ended {
			tb.Logf("reactortest: the test failed %s, PENSTOCK_SEED=%d", about, seed)
		}
	}()
	r := newRun(tb, tree)
	defer r.close()
	r.seed, r.cuts = remains, cuts
	r.arm()
	r.boot()
	scenario(r)
	if got := final(r); !slices.Equal(got, want) {
		tb.Fatalf("reactortest: %s (PENSTOCK_SEED=%d) the run came to\n%s\nwithout a crash to\n%s", about, seed, list(got), list(want))
	}
	ended = true
	return r.boots
}
