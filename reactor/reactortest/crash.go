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

// Crash cuts the power now, and starts everything again: what was acknowledged is there, and what
// the workers kept in memory is lost, the counts of attempts too. The seed decides what is left of
// what was not synced.
//
// In a handler it is a crash of the process at this event: nothing of the batch in flight is
// committed, whatever the handler returns. An event that does so each time is detected, as by the
// actors: it fails with [cursor.ErrCrashLoop].
func (r *Run) Crash(seed uint64) {
	r.tb.Helper()
	r.seed = seed
	if r.inside {
		r.died = true
		return
	}
	r.reboot()
	r.boot()
}

// CrashAt cuts the power at the n-th operation of the disk from now, counted from 1, in whatever
// call that is; the call resumes after the start as if nothing had happened. An n that is not
// reached before the next crash has no effect.
func (r *Run) CrashAt(n int) {
	r.cutAt = r.disk.Ops() + n
	r.disk.CutAt(r.cutAt)
}

// Crashes returns how often the power was cut so far.
func (r *Run) Crashes() int { return r.boots }

// reboot cuts the power, if that did not happen yet, and replaces the disk by what the next boot
// may find.
func (r *Run) reboot() {
	ops := r.disk.Ops()
	r.disk.Cut()
	if r.st != nil {
		_ = r.st.Close()
	}
	r.st, r.died, r.cutAt = nil, false, 0
	r.boots++
	r.ops += ops
	r.disk = r.disk.Rebooted(r.seed + uint64(r.boots))
	if len(r.cuts) == 0 {
		return
	}
	if r.cuts[0] -= ops; r.cuts[0] <= 0 { // or the power was cut for another reason, and this one is still to come
		r.cuts = r.cuts[1:]
	}
	arm(r)
}

// arm schedules the next planned power cut.
func arm(r *Run) {
	if len(r.cuts) > 0 {
		r.cutAt = r.cuts[0]
		r.disk.CutAt(r.cutAt)
	}
}

const (
	// crashSample is how many runs [EveryCrash] makes at most, and with -short.
	crashSample      = 500
	crashSampleShort = 50
	// crashVariants is how many runs it makes for each crash point where there is room for more than
	// one.
	crashVariants = 4
	// secondCut is how many operations after a start the power fails again at the latest, where it
	// does.
	secondCut = 20
)

// EveryCrash runs a scenario once without a crash, and then again for each operation of its disk,
// with the power cut there, and compares what the log holds in the end, what workers keep and have
// parked, and which lag: it must be the same. That is the proof that a tree of reactors survives a
// crash anywhere, its own handlers included. tree is called for each run, and must return handlers
// that keep nothing of the run before; what the handlers call is part of what it returns, and no
// crash undoes that, unless it is made by a [Program].
//
// In the end the workers settle, as with [Run.Settle]: a crash may have taken back a checkpoint
// that no reaction waited for.
//
// The scenario needs no code for the crashes: Given appends each event once, and all other calls
// resume after the start. It may check on its way whatever a crash leaves true, for example with
// [Run.Then].
//
// A crash while an event is handled alone, as it is after a crash, is an attempt at it. So with a
// policy of one attempt events are parked that would not be without a crash.
//
// The same means: each entity has the same events, and those of them that answer one entity are in
// the same order. Where a worker with lanes has keys of its own, no order is compared. Times in
// reactions and in what is kept, in the format of RFC 3339, are not compared: a crash may delay
// what they are of.
//
// A short scenario is run up to four times for each operation: with different remains of what was
// not synced, and with the power cut again soon after the start. Of more than 500 operations (50
// with -short) it draws a random sample. The seed is logged; the environment variable PENSTOCK_SEED
// repeats it.
func EveryCrash(tb testing.TB, tree func() supervision.Child, scenario func(r *Run)) {
	tb.Helper()
	baseline := Start(tb, tree())
	scenario(baseline)
	ops := baseline.ops + baseline.disk.Ops()
	want := settled(baseline)
	baseline.close()

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

// crashRun makes one run with power cuts, and returns how many there were.
func crashRun(
	tb testing.TB, tree supervision.Child, scenario func(r *Run), want []string, seed, leftoverSeed uint64, cuts []int,
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
	r.seed, r.cuts = leftoverSeed, cuts
	arm(r)
	r.boot()
	scenario(r)
	if got := settled(r); !slices.Equal(got, want) {
		tb.Fatalf("reactortest: %s (PENSTOCK_SEED=%d) the run ended otherwise than without a crash:\n%s",
			about, seed, difference(got, want, func(a, b string) bool { return a == b }))
	}
	ended = true
	return r.boots
}

// settled returns the final state of a run, once its workers have handled everything. After a crash
// that is noticed on the way there is more to handle.
func settled(r *Run) []string {
	r.tb.Helper()
	for {
		boots := r.boots
		r.Settle()
		if lines := final(r); r.boots == boots {
			return lines
		}
	}
}
