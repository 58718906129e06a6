package reactortest

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/penstock-io/penstock/supervision"
)

// Crash cuts the power now, and starts everything again: what was acknowledged is there, and whatever the workers keep in
// memory is gone, the counts of attempts too. The seed decides what is left of what was not synced.
func (r *Run) Crash(seed uint64) {
	r.tb.Helper()
	r.seed = seed
	r.reboot()
	r.boot()
}

// CrashAt cuts the power at the n-th operation of the disk from now, counted from 1, in whatever call that comes; the call goes
// on after a start as if nothing had been. An n that is not reached before the next crash never comes.
func (r *Run) CrashAt(n int) { r.disk.CutAt(r.disk.Ops() + n) }

// Crashes is how often the power was cut so far.
func (r *Run) Crashes() int { return r.boots }

// crashSample is how many crash points [EveryCrash] tries at most, and with -short.
const (
	crashSample      = 500
	crashSampleShort = 50
)

// EveryCrash runs a scenario once without a crash, and then once for each operation of its disk, with the power cut there, and
// compares what the log holds in the end and what is set aside: it must be the same. That is the proof that a tree of reactors
// survives everything, its own handlers included. tree is called for each run, and must give handlers without a memory of the
// run before. The scenario may check what it likes on the way, as long as a crash leaves it true.
//
// The same means: each entity has the same events, and those of them that answer one entity are in the same order. Where a worker
// with lanes has keys of its own, no order is compared.
//
// Of a scenario with more than 500 operations (50 with -short) it takes a sample, another one each time; the seed is logged.
func EveryCrash(tb testing.TB, tree func() supervision.Child, scenario func(r *Run)) {
	tb.Helper()
	calm := Start(tb, tree())
	scenario(calm)
	ops, want := calm.disk.Ops(), calm.final()
	calm.close()

	sample := crashSample
	if testing.Short() {
		sample = crashSampleShort
	}
	seed := rand.Uint64()
	points := rand.New(rand.NewPCG(seed, 0)).Perm(ops)
	points = points[:min(len(points), sample)]
	slices.Sort(points)
	tb.Logf("reactortest: %d of %d crash points, seed %d", len(points), ops, seed)
	for _, point := range points {
		r := start(tb, tree(), point+1, seed+uint64(point))
		scenario(r)
		if got := r.final(); !slices.Equal(got, want) {
			tb.Fatalf("reactortest: after a power cut at operation %d (seed %d) the run came to\n%s\nwithout one to\n%s",
				point+1, seed, list(got), list(want))
		}
		r.close()
	}
}
