package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// Run tests that what open opens keeps the laws of a store: each in a subtest of its own whose name
// is the law, on a log of its own. The log of the test names what the subject is not able to do,
// and how many laws were left out for it.
//
// The histories of the last laws are random. The environment variable PENSTOCK_SEED repeats one
// that has failed, PENSTOCK_SOAK makes it thousands of them, and -short a few.
func Run(t *testing.T, open Opener) {
	t.Helper()
	able := needsOf(open(t, store.Options{}))
	left := make(map[need]int)
	for group := range grouped(laws()) {
		t.Run(group[0].about, func(t *testing.T) {
			for _, l := range group {
				if missing := l.needs &^ able; missing != 0 {
					left[missing]++
					continue
				}
				t.Run(l.says, func(t *testing.T) { l.try(t, open) })
			}
		})
	}
	for missing, n := range left {
		t.Logf("storetest: laws left out, for want of %s: %d", missing, n)
	}
}

// law is one promise, and how to find out that it is broken.
type law struct {
	about string // the group
	says  string
	needs need
	gates []store.Gate // of the log
	test  func(x *scene)
}

// patience is how long a law may take: what should come and does not is a failure, not a hang.
const patience = 2 * time.Minute

func (l *law) try(tb testing.TB, open Opener) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	x := &scene{TB: tb, ctx: ctx, open: func() Subject { return open(tb, store.Options{Gates: l.gates}) }}
	x.take(x.open())
	l.test(x)
}

// grouped yields the laws of each group.
func grouped(all []law) iter.Seq[[]law] {
	return func(yield func([]law) bool) {
		for len(all) > 0 {
			n := slices.IndexFunc(all, func(l law) bool { return l.about != all[0].about })
			if n < 0 {
				n = len(all)
			}
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

// laws are all of them. The slow ones come last.
func laws() []law {
	return slices.Concat(
		batchLaws(), positionLaws(), headLaws(), versionLaws(), conditionLaws(), keyLaws(), fenceLaws(), envelopeLaws(),
		readingLaws(), lineageLaws(), gateLaws(), limitLaws(), sideLaws(), erasureLaws(), retentionLaws(), historyLaws(),
	)
}

// need is what a law needs of a subject.
type need uint8

const (
	needsFences need = 1 << iota
	needsGates
	needsErasure
	needsRetention
	needsStore
	needsReopen
	needsCrash
)

func (n need) String() string {
	var names []string
	for i, name := range []string{"fences", "gates", "erasure", "retention", "a store", "reopening", "crashes"} {
		if n&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// needsOf returns what a subject is able to do.
func needsOf(s Subject) (able need) {
	for n, has := range map[need]bool{
		needsFences: s.OpenFence != nil, needsGates: !s.Ungated, needsErasure: s.Erase != nil, needsRetention: s.Retain != nil, needsStore: s.Store != nil,
		needsReopen: s.Reopen != nil, needsCrash: s.Crash != nil,
	} {
		if has {
			able |= n
		}
	}
	return able
}

// scene is what a law is tested with: the test, and the subject as it is open now.
type scene struct {
	testing.TB
	Subject

	ctx  context.Context //nolint:containedctx // a scene lives as long as its test
	open func() Subject  // another log
}

// take makes a subject the one that is open.
func (x *scene) take(s Subject) {
	if s.Reader == nil {
		s.Reader = s.Writer
	}
	x.Subject = s
}

func (x *scene) reopen() {
	x.Helper()
	x.take(x.Reopen(x))
}

// commit commits a batch that nothing speaks against.
func (x *scene) commit(b store.Batch) store.Receipt {
	x.Helper()
	r, err := x.Writer.Commit(x.ctx, b)
	require.NoError(x, err)
	return r
}

// append commits an event at each of some entities, in one batch.
func (x *scene) append(entities ...string) store.Receipt {
	x.Helper()
	return x.commit(store.Batch{Events: eventsAt(entities...)})
}

// fence opens a fence that lasts as long as any may.
func (x *scene) fence() Fence {
	x.Helper()
	f, err := x.OpenFence(x.ctx, store.FenceOptions{Deadline: store.MaxFenceDeadline, Reason: fenceReason})
	require.NoError(x, err)
	return f
}

// fenceReason is that of all fences here.
const fenceReason = "law"

func (x *scene) stage(f Fence, entities ...string) store.Receipt {
	x.Helper()
	r, err := f.Stage(x.ctx, store.Batch{Events: eventsAt(entities...)})
	require.NoError(x, err)
	return r
}

// eventsAt proposes an event at each of some entities.
func eventsAt(entities ...string) (events []store.Proposal) {
	for _, entity := range entities {
		events = append(events, store.Proposal{At: store.At(entity, "law"), Payload: store.Raw{Type: "thing.done", Data: []byte(`{}`)}})
	}
	return events
}

// seen reads a region from the beginning.
func (x *scene) seen(r store.Region) []store.Event {
	x.Helper()
	events, err := collect(x.Reader.Read(x.ctx, r, store.Beginning()))
	require.NoError(x, err)
	return events
}

// positions are those of what is seen of a region.
func (x *scene) positions(r store.Region) (all []store.Position) {
	x.Helper()
	for _, e := range x.seen(r) {
		all = append(all, e.Position)
	}
	return all
}

// collect reads an iterator up to its error.
func collect[T any](seq iter.Seq2[T, error]) (all []T, err error) {
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// refused requires that an error is, or wraps, a typed one that says this.
func refused[E error](x *scene, want E, err error) {
	x.Helper()
	var got E
	require.ErrorAs(x, err, &got)
	require.Equal(x, want, got)
}

// unchanged requires that a call changes nothing that a reader sees, and takes no position.
func (x *scene) unchanged(call func(), about string) {
	x.Helper()
	type picture struct {
		head   store.Position
		events []store.Position
		sides  []store.SideValue
	}
	look := func() (p picture) {
		var err error
		p.head, p.events = x.Reader.Head(), x.positions(store.Region{})
		p.sides, err = collect(x.Reader.Sides(""))
		require.NoError(x, err)
		return p
	}
	before := look()
	call()
	require.Equal(x, before, look(), about)
}

// inParallel calls a function on so many goroutines, and returns what they return.
func inParallel(n int, call func(i int) error) error {
	errs, start := make([]error, n), make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			errs[i] = call(i)
		})
	}
	close(start)
	all.Wait()
	return errors.Join(errs...)
}

// seeds yields so many of them, or the one that the environment names.
func seeds(tb testing.TB, n int) iter.Seq[uint64] {
	tb.Helper()
	first := rand.Uint64()
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, err := strconv.ParseUint(given, 10, 64)
		if err != nil {
			tb.Fatalf("storetest: PENSTOCK_SEED: %v", err)
		}
		first, n = seed, 1
	} else if os.Getenv("PENSTOCK_SOAK") != "" {
		n *= 50
	} else if testing.Short() {
		n = max(1, n/5)
	}
	return func(yield func(uint64) bool) {
		for i := range uint64(n) {
			if !yield(first + i) {
				return
			}
		}
	}
}

func seedText(seed uint64) string { return fmt.Sprintf("PENSTOCK_SEED=%d repeats it", seed) }
