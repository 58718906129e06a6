package store

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// broadRun is a history of a log of which events are dropped and erased, staged in fences, backed
// up and restored, and followed, on a machine on which anything goes wrong. It knows what a reader
// must find at each position.
type broadRun struct {
	t      *testing.T
	seed   uint64
	rng    *rand.Rand
	disk   *vfs.Memory
	inline bool
	ahead  atomic.Int64 // nanoseconds, of the clock
	st     *Store
	reader *Store // beside it, nil while there is none
	fence  *Fence
	staged []*broadEvent // in fence
	done   []string      // what was done, for people
	count  int

	events map[Position]*broadEvent // that are visible, or were
	maybe  []*broadEvent            // of commits without an answer
	hidden []*broadEvent            // of fences that were cancelled
	keys   map[string]*broadKey
	sides  map[string][]string // what a value may be after a power cut; "" is none
	now    map[string]string
	hold   Position // 0 for none
	copy   string
	first  Position
	upTo   Position // what may have been dropped lies before
}

type broadEvent struct {
	entity, key, token string
	payload            []byte
	recorded           Recorded
	erased, mayErase   bool
}

type broadKey struct {
	batch   Batch
	receipt []Recorded
}

func newBroadRun(t *testing.T, seed uint64) *broadRun {
	rng := rand.New(rand.NewPCG(seed, 1))
	return &broadRun{
		t: t, seed: seed, rng: rng, disk: vfs.NewMemory(), inline: rng.IntN(4) > 0, first: 1, copy: "copy",
		events: make(map[Position]*broadEvent), keys: make(map[string]*broadKey), sides: make(map[string][]string), now: make(map[string]string),
	}
}

func (r *broadRun) options() Options {
	o := smallSegments(SyncAlways)
	o.Clock = func() time.Time { return time.Now().Round(0).Add(time.Duration(r.ahead.Load())) }
	o.sidesOnDisk = r.seed%4 == 0
	return o
}

func (r *broadRun) where() string {
	return fmt.Sprintf("PENSTOCK_SEED=%d, inline %v:\n%s", r.seed, r.inline, strings.Join(r.done, "\n"))
}

func (r *broadRun) say(format string, args ...any) {
	r.done = append(r.done, fmt.Sprintf("%4d  ", r.disk.Ops())+fmt.Sprintf(format, args...))
}

func (r *broadRun) noError(err error) {
	r.t.Helper()
	if err != nil {
		require.NoError(r.t, err, r.where())
	}
}

func (r *broadRun) require(ok bool, format string, args ...any) {
	r.t.Helper()
	if !ok {
		r.t.Fatalf(format+"\n"+"%s", append(args, r.where())...)
	}
}

func (r *broadRun) run() {
	r.open()
	for range 15 + r.rng.IntN(30) {
		if r.rng.IntN(4) == 0 {
			r.harm()
		}
		r.step()
	}
	r.heal()
	r.reopen("end")
	r.forgetReader()
	r.kill()
}

func (r *broadRun) heal() {
	r.disk.SetCapacity(math.MaxInt64)
}

func (r *broadRun) harm() {
	at := r.disk.Ops() + 1 + r.rng.IntN(12)
	kind := r.rng.IntN(6)
	switch kind {
	case 0:
		r.disk.FailAt(at, syscall.EIO)
	case 1:
		r.disk.FailAt(at, vfs.Partly(syscall.EIO))
	case 2:
		r.disk.FailAt(at, vfs.Partly(vfs.ErrNoSpace))
	case 3:
		r.disk.SetCapacity(int64(r.rng.IntN(6 * minSegmentBytes)))
	case 4:
		jumps := []time.Duration{-time.Hour, -time.Second, time.Minute, 100 * 365 * 24 * time.Hour}
		r.ahead.Add(int64(jumps[r.rng.IntN(len(jumps))]))
	case 5:
		r.disk.CutAt(at)
	}
	r.say("harm %s in operation %d", []string{"refused", "half", "no space", "full", "clock", "cut"}[kind], at)
}

// open opens the store until it opens.
func (r *broadRun) open() {
	for range 20 {
		st, err := open(r.disk, crashDir, r.options(), r.inline)
		if err != nil {
			r.say("  open: %v", err)
			if errors.Is(err, vfs.ErrPowerCut) {
				r.power()
				continue
			}
			r.mustBeHarmless(err)
			continue
		}
		r.st = st
		if !r.inline {
			st.tasks.Wait()
		}
		err = r.look()
		if err == nil {
			r.settled()
			return
		}
		r.say("  look: %v", err)
		r.kill()
		if errors.Is(err, vfs.ErrPowerCut) {
			r.power()
			continue
		}
		r.mustBeHarmless(err)
	}
	r.t.Fatal("it does not open: " + r.where())
}

func (r *broadRun) power() {
	r.forgetReader()
	r.disk = powerCutImage(r.t, r.disk, r.rng.Uint64N(8))
	r.say("  the power is back")
}

func (r *broadRun) forgetReader() {
	if r.reader != nil {
		_ = r.reader.Close()
		r.reader = nil
	}
}

func (r *broadRun) kill() {
	if r.st != nil {
		if r.inline {
			killStore(r.st)
		} else {
			_ = r.st.Close()
		}
		r.st = nil
	}
	r.hidden = append(r.hidden, r.staged...)
	r.fence, r.staged = nil, nil
}

func (r *broadRun) mustBeHarmless(err error) {
	r.heal()
	for _, expected := range []error{syscall.EIO, syscall.ENOSPC, ErrDiskFull, ErrBusy} {
		if errors.Is(err, expected) {
			return
		}
	}
	r.noError(err)
}

// reopen ends the store somehow.
func (r *broadRun) reopen(name string) {
	r.say("%s", name)
	if r.rng.IntN(2) == 0 && r.st != nil {
		if err := r.st.Close(); err != nil {
			r.say("  close: %v", err)
			if errors.Is(err, vfs.ErrPowerCut) {
				r.kill()
				r.power()
			} else if !errors.Is(err, ErrPoisoned) {
				r.mustBeHarmless(err)
			}
		}
	}
	r.kill()
	r.open()
}

// failed takes in an error after which more may be in the log than is known.
func (r *broadRun) failed(err error) {
	r.say("  %v", err)
	switch {
	case errors.Is(err, vfs.ErrPowerCut):
		r.kill()
		r.power()
		r.open()
		return
	case errors.Is(err, ErrPoisoned), errors.Is(err, ErrOutcomeUnknown):
		r.heal()
		r.kill()
		r.open()
		return
	}
	r.mustBeHarmless(err)
	if r.st.committer.writer.poisoned() != nil {
		r.kill()
		r.open()
		return
	}
	if err := r.look(); err != nil {
		r.reopenAfter(err)
	}
}

func (r *broadRun) reopenAfter(err error) {
	r.say("  %v", err)
	r.kill()
	if errors.Is(err, vfs.ErrPowerCut) {
		r.power()
	} else if !errors.Is(err, ErrPoisoned) {
		r.mustBeHarmless(err)
	}
	r.open()
}
