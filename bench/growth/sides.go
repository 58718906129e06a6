package growth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
	"github.com/penstock-io/penstock/store"
)

// Sides are side values: those of a store that has many, and those of a few keys that are
// overwritten without end.
type Sides struct {
	Dir     string
	Values  int // that exist at a time, and checkpoints of a few keys in a store of their own
	Samples int // how often things are done
}

// SideFigures are what was seen of side values.
type SideFigures struct {
	// With Values of them.
	Filling       time.Duration
	Heap          float64 // per value, in bytes
	OpenClean     time.Duration
	OpenKilled    time.Duration
	Look          Sample // one value
	Unmatched     Listing
	All           Listing
	Overwritten   Worn // by Values checkpoints of 100 keys
	Half          Worn // by half of them
	SmallSegments Worn // by a tenth of them, of 1 KiB, in segments of 64 KiB
	LargeHeap     float64
}

// Listing is a listing of side values beside a writer of events.
type Listing struct {
	List   Sample
	Commit time.Duration // the longest meanwhile
}

// Worn is what is on disk after checkpoints.
type Worn struct {
	Checkpoints int
	Disk        int64
	Segments    int
	Each        workload.PerOp
}

const (
	sideBytes   = 100 // more than what is kept in memory
	sidesAtOnce = 1000
	liveKeys    = 100
	largeValues = 200 // of the greatest size there is
)

func sideKey(i int) string { return fmt.Sprintf("side/%010d", i) }

// Measure does all of it.
func (s Sides) Measure(ctx context.Context) (f SideFigures, err error) {
	for _, step := range []func(context.Context, *SideFigures) error{s.many, s.worn, s.large} {
		if err := step(ctx, &f); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (s Sides) many(ctx context.Context, f *SideFigures) (err error) {
	dir := filepath.Join(s.Dir, "many")
	before := machine.HeapInUse()
	st, err := store.Open(dir, lazily)
	if err != nil {
		return err
	}
	began := time.Now()
	err = s.fill(ctx, st)
	f.Filling = time.Since(began)
	f.Heap = (machine.HeapInUse() - before) / float64(s.Values)
	if err == nil {
		f.OpenKilled, err = openedAfterKill(dir, lazily)
	}
	if err := errors.Join(err, st.Close()); err != nil {
		return err
	}
	machine.Settle()
	st, f.OpenClean, err = opened(dir, lazily)
	if err != nil {
		return err
	}
	return errors.Join(s.list(ctx, st, f), st.Close())
}

func (s Sides) fill(ctx context.Context, st *store.Store) error {
	for i := 0; i < s.Values; i += sidesAtOnce {
		var b store.Batch
		for k := i; k < min(i+sidesAtOnce, s.Values); k++ {
			b.Sides = append(b.Sides, store.SideWrite{Key: sideKey(k), Value: workload.Payload(k)[:sideBytes]})
		}
		if _, err := st.Commit(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func (s Sides) list(ctx context.Context, st *store.Store, f *SideFigures) (err error) {
	f.Look, err = sample("look one up", s.Samples, func(int) error {
		_, found, err := st.Side(sideKey(rand.IntN(s.Values)))
		if err == nil && !found {
			err = errors.New("a side value is missing")
		}
		return err
	})
	if err != nil {
		return err
	}
	f.Unmatched, err = listing(ctx, st, "none/", 0)
	if err != nil {
		return err
	}
	f.All, err = listing(ctx, st, "side/", s.Values)
	return err
}

// listingTime is how long a listing is repeated: what it holds up would show.
const listingTime = 200 * time.Millisecond

// listing lists the side values of a prefix, while a writer commits events.
func listing(ctx context.Context, st *store.Store, prefix string, want int) (l Listing, err error) {
	return beside(ctx, st, func(int) error {
		n := 0
		for _, err := range st.Sides(prefix) {
			if err != nil {
				return err
			}
			n++
		}
		if n != want {
			return fmt.Errorf("%d side values at %q, want %d", n, prefix, want)
		}
		return nil
	})
}

// beside lists something again and again, while a writer commits events.
func beside(ctx context.Context, st *store.Store, list func(i int) error) (l Listing, err error) {
	stop, ended := make(chan struct{}), make(chan error)
	go func() { ended <- write(ctx, st, stop, &l.Commit) }()
	l.List, err = sampleFor("list", listingTime, list)
	close(stop)
	return l, errors.Join(err, <-ended)
}

// pause is what a writer takes between commits. One that never did would fill segments faster than
// they can be sealed, and wait for that, where a commit is looked for that a listing holds up.
const pause = 100 * time.Microsecond

// write commits an event with a side value again and again, until it is told to stop.
func write(ctx context.Context, st *store.Store, stop <-chan struct{}, longest *time.Duration) error {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		default:
		}
		b := store.Batch{
			Events: []store.Proposal{workload.Proposal(i)},
			Sides:  []store.SideWrite{{Key: "writer", Value: workload.Payload(i)}},
		}
		began := time.Now()
		if _, err := st.Commit(ctx, b); err != nil {
			return err
		}
		*longest = max(*longest, time.Since(began))
		time.Sleep(pause)
	}
}

func (s Sides) worn(ctx context.Context, f *SideFigures) (err error) {
	f.Half, err = s.wear(ctx, "half", s.Values/2, sideBytes, lazily)
	if err != nil {
		return err
	}
	f.Overwritten, err = s.wear(ctx, "all", s.Values, sideBytes, lazily)
	if err != nil {
		return err
	}
	small := lazily
	small.SegmentBytes = 64 << 10
	f.SmallSegments, err = s.wear(ctx, "small", s.Values/10, 1<<10, small)
	return err
}

// wear commits checkpoints of a few keys, one by one, and looks what is left on disk.
func (s Sides) wear(ctx context.Context, name string, n, size int, o store.Options) (w Worn, err error) {
	dir := filepath.Join(s.Dir, name)
	st, err := store.Open(dir, o)
	if err != nil {
		return w, err
	}
	before := machine.CostSoFar()
	value := make([]byte, size)
	for i := 0; i < n && err == nil; i++ {
		copy(value, workload.Payload(i))
		_, err = st.Commit(ctx, store.Batch{Sides: []store.SideWrite{{Key: sideKey(i % liveKeys), Value: value}}})
	}
	w = Worn{Checkpoints: n, Segments: st.Stats().Segments, Each: workload.EachOf(machine.CostSoFar().Since(before), n)}
	if err := errors.Join(err, st.Close()); err != nil {
		return w, err
	}
	w.Disk, err = machine.DiskUse(dir)
	return w, err
}

// large is the heap beside values of the greatest size.
func (s Sides) large(ctx context.Context, f *SideFigures) error {
	dir := filepath.Join(s.Dir, "large")
	before := machine.HeapInUse()
	st, err := store.Open(dir, lazily)
	if err != nil {
		return err
	}
	for i := 0; i < largeValues && err == nil; i++ {
		_, err = st.Commit(ctx, store.Batch{Sides: []store.SideWrite{{Key: sideKey(i), Value: make([]byte, 1<<20)}}})
	}
	f.LargeHeap = machine.HeapInUse() - before
	return errors.Join(err, st.Close())
}
