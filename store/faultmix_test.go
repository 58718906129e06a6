package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// mixedRun is a history of a store on a machine on which anything goes wrong: writes that fail
// before or after their half, syncs that fail and lose what they should have made durable, with the
// memory of the system or without, a disk that is full for a while, renames and creations that
// fail, a directory that cannot be read, power cuts, also during what follows a fault, and a clock
// that goes back an hour and ahead a century. It does what a program would: it tries again what
// failed without a trace, and opens a poisoned store again.
type mixedRun struct {
	*crashRun

	t      *testing.T
	seed   uint64
	rng    *rand.Rand
	ahead  atomic.Int64 // nanoseconds, of the clock
	blind  bool         // the directory cannot be read
	done   []string     // what was done, for people
	faults *[faultKinds]atomic.Int64
}

// faultKind is what goes wrong.
type faultKind int

const (
	faultRefused faultKind = iota // an operation fails and does nothing
	faultHalf                     // a write writes its half, a sync loses what it should have kept
	faultNoSpace                  // an operation finds no room
	faultFull                     // the disk is full until something is removed
	faultBlind                    // the directory cannot be read
	faultClock                    // the clock jumps
	faultCut                      // the power fails

	faultKinds = int(faultCut) + 1
)

var faultNames = [faultKinds]string{"refused", "half", "no space", "full", "blind", "clock", "cut"}

// blindDir is a directory that cannot be read while its run is blind.
type blindDir struct {
	vfs.Dir
	run *mixedRun
}

func (d blindDir) List() ([]string, error) {
	if d.run.blind {
		return nil, &fs.PathError{Op: "list", Path: crashDir, Err: syscall.EACCES}
	}
	return d.Dir.List()
}

// mixedDisk is the disk of a run, as the store sees it.
type mixedDisk struct {
	vfs.FS
	run *mixedRun
}

func (m mixedDisk) OpenDir(dir string, perm fs.FileMode) (vfs.Dir, error) {
	d, err := m.FS.OpenDir(dir, perm)
	if err != nil {
		return nil, err
	}
	return blindDir{d, m.run}, nil
}

func newMixedRun(t *testing.T, seed uint64, faults *[faultKinds]atomic.Int64) *mixedRun {
	r := &mixedRun{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), faults: faults}
	r.crashRun = newCrashRun(vfs.NewMemory(), SyncMode(r.rng.IntN(3)))
	r.options.sidesOnDisk = r.rng.IntN(4) == 0
	r.options.Clock = func() time.Time { return time.Now().Round(0).Add(time.Duration(r.ahead.Load())) }
	r.through = mixedDisk{r.disk, r}
	return r
}

func (r *mixedRun) where() string {
	return fmt.Sprintf("PENSTOCK_SEED=%d, sync %s:\n%s", r.seed, r.options.Sync, strings.Join(r.done, "\n"))
}

func (r *mixedRun) noError(err error) {
	r.t.Helper()
	if err != nil {
		require.NoError(r.t, err, r.where())
	}
}

func (r *mixedRun) run() {
	r.do("open", (*crashRun).open)
	for range 10 + r.rng.IntN(25) {
		if r.rng.IntN(3) == 0 {
			r.harm()
		}
		r.step()
	}
	r.heal()
	r.do("open again", (*crashRun).killAndReopen)
	r.heal() // of what was to come
	r.do("end", (*crashRun).end)
	r.checkDurable()
}

// harm lets something go wrong in one of the operations that follow, or from now on.
func (r *mixedRun) harm() {
	kind := faultKind(r.rng.IntN(faultKinds))
	at := r.disk.Ops() + 1 + r.rng.IntN(8)
	switch kind {
	case faultRefused:
		r.disk.FailAt(at, syscall.EIO)
	case faultHalf:
		r.disk.FailAt(at, vfs.Partly(syscall.EIO))
	case faultNoSpace:
		r.disk.FailAt(at, vfs.Partly(vfs.ErrNoSpace))
	case faultFull:
		r.disk.SetCapacity(int64(r.rng.IntN(6 * minSegmentBytes)))
	case faultBlind:
		r.blind = true
	case faultClock:
		jumps := []time.Duration{-time.Hour, -time.Second, time.Minute, 100 * 365 * 24 * time.Hour}
		r.ahead.Add(int64(jumps[r.rng.IntN(len(jumps))]))
	case faultCut:
		r.disk.CutAt(at)
	}
	r.faults[kind].Add(1)
	r.say("%s, in operation %d, the clock %s ahead", faultNames[kind], at, time.Duration(r.ahead.Load()))
}

// heal ends what lasts.
func (r *mixedRun) heal() {
	r.disk.SetCapacity(math.MaxInt64)
	r.blind = false
}

func (r *mixedRun) say(format string, args ...any) {
	r.done = append(r.done, fmt.Sprintf("%4d  ", r.disk.Ops())+fmt.Sprintf(format, args...))
}

// step does something that a program does.
func (r *mixedRun) step() {
	i, size, grouped := len(r.done), 1+r.rng.IntN(12_000), false
	steps := []struct {
		name string
		do   crashStep
	}{
		{"one", commitOne(crashProposal("order:1", i, size))},
		{"a new one", commitOne(crashProposal(fmt.Sprintf("order:%d", i), i, size))},
		{"several", commitSeveral(i, size, 0, 3*size)},
		{"lazy", commitLazy(i, 7000+size/4)},
		{"lazy again", commitLazy(i/6, 7000+size/4)},
		{"sides", commitSides(i)},
		{"a deletion", commitDeletion},
		{"with a key", commitWithKey(i, size)},
		{"the last key again", repeatLastKey},
		{"an effect", commitEffect},
		{"a group", func(r *crashRun) error { // the committer is told by the commit after it
			if !grouped {
				if err := commitGroup(i, size)(r); err != nil {
					return err
				}
			}
			grouped = true
			return commitDeletion(r)
		}},
		{"conflicts", meetConflicts},
		{"conditions", meetConditions(i)},
		{"sleep", (*crashRun).sleep},
		{"die", (*crashRun).killAndReopen},
		{"close", (*crashRun).closeAndReopen},
	}
	s := steps[r.rng.IntN(len(steps))]
	r.do(s.name, s.do)
}

// do takes a step until it is done, or was lost.
func (r *mixedRun) do(name string, step crashStep) {
	for range 20 {
		r.say("%s, %d commits", name, len(r.commits))
		err := step(r.crashRun)
		if err == nil {
			return
		}
		r.say("  %v", err)
		if !errors.Is(err, vfs.ErrPowerCut) && !errors.Is(err, ErrPoisoned) {
			r.mustBeHarmless(err)
			continue
		}
		r.recover(err)
		if r.st != nil && name != "end" {
			return
		}
	}
	r.t.Fatalf("%s does not succeed: %s", name, r.where())
}

// harmless reports whether an error is one of the faults, and ends those that would last.
func (r *mixedRun) harmless(err error) bool {
	for _, expected := range []error{syscall.EIO, syscall.EACCES, syscall.ENOSPC} {
		if errors.Is(err, expected) {
			r.heal()
			return true
		}
	}
	return false
}

func (r *mixedRun) mustBeHarmless(err error) {
	if !r.harmless(err) {
		r.noError(err)
	}
}

// recover opens the store again after a power cut, or since it was poisoned. More may go wrong
// meanwhile.
func (r *mixedRun) recover(err error) {
	kept := max(r.acked(), r.floor) // what is not acknowledged may be there
	for errors.Is(err, ErrPoisoned) && !errors.Is(err, vfs.ErrPowerCut) {
		if r.st != nil {
			r.mustRefuse()
		}
		r.kill()
		if r.rng.IntN(2) == 0 {
			vfs.Evict(r.disk)
			kept = r.floor
			r.say("  the memory of the system is gone")
		}
		err = r.reopen(kept)
	}
	if errors.Is(err, vfs.ErrPowerCut) {
		r.kill()
		r.disk = powerCutImage(r.t, r.disk, r.rng.Uint64N(8))
		r.through = mixedDisk{r.disk, r}
		r.say("  the power is back")
		err = r.reopen(r.floor)
	}
	r.noError(err)
}

// mustRefuse requires that a poisoned store takes no commits, and can be read.
func (r *mixedRun) mustRefuse() {
	_, err := r.st.Commit(context.Background(), Batch{Events: []Proposal{crashProposal("order:1", 1, 10)}})
	require.ErrorIs(r.t, err, ErrPoisoned, r.where())
	require.NotErrorIs(r.t, err, ErrOutcomeUnknown, r.where())
	want := r.replay(max(r.acked(), r.floor))
	if err := r.verifyEvents(r.st, &want); !errors.Is(err, vfs.ErrPowerCut) {
		r.noError(err)
	}
}

// reopen opens the store, in which at least so many commits must be.
func (r *mixedRun) reopen(kept int) error {
	for range 20 {
		st, err := open(r.through, crashDir, r.options, true)
		switch {
		case errors.Is(err, vfs.ErrPowerCut):
			return err
		case err != nil:
			r.say("  %v", err)
			r.mustBeHarmless(err)
			continue
		}
		r.st = st
		k, err := r.verify(st, kept)
		if errors.Is(err, vfs.ErrPowerCut) || errors.Is(err, ErrPoisoned) {
			r.kill()
			return err
		}
		if err != nil && r.harmless(err) {
			r.kill()
			continue
		}
		r.noError(err)
		r.found(k, st)
		r.say("  open, with %d commits", k)
		if r.rng.IntN(3) == 0 {
			r.checkDurable()
		}
		return nil
	}
	r.t.Fatal("it does not open: " + r.where())
	return nil
}

// checkDurable requires that a power cut now would take nothing that was promised.
func (r *mixedRun) checkDurable() {
	st, err := open(powerCutImage(r.t, r.disk, vfs.KeepNothing), crashDir, r.options, true)
	r.noError(err)
	_, err = r.verify(st, r.floor)
	r.noError(err)
	r.noError(st.Close())
}

func TestAnyMixOfFaultsTakesNothingThatWasPromised(t *testing.T) {
	const shards = 4
	histories := uint64(2000 / thinning)
	if soaking() {
		histories = 200_000
	}
	first := rand.Uint64N(1 << 40)
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		var err error
		first, err = strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
	}
	var faults [faultKinds]atomic.Int64
	t.Run("histories", func(t *testing.T) {
		for shard := range uint64(shards) {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					for i := shard; i < histories; i += shards {
						newMixedRun(t, first+i, &faults).run()
					}
				})
			})
		}
	})
	for kind := range faults {
		require.Positive(t, faults[kind].Load(), faultNames[kind])
	}
	t.Logf("%d histories from seed %d", histories, first)
}
