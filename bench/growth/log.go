package growth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
	"github.com/penstock-io/penstock/store"
)

// Log is a log of events of 256 bytes, which belong to entities in turn. Every third one brings an
// idempotency key. Its first event is the cause of a story that is told all over the log, see
// [Story].
type Log struct {
	Dir      string
	Events   int
	Entities int // at most as many as events
	Samples  int // how often each thing is done
}

// Filled is what was seen while a log was written.
type Filled struct {
	Took          time.Duration
	FirstTenth    float64       // of the entities: new ones per second
	LastTenth     float64       // of the entities: new ones per second
	LongestCommit time.Duration // for which all writers wait
	Heap          float64       // the largest that was met, in bytes
	AfterKill     time.Duration // that opening takes
	Disk          int64         // bytes
}

// Asked is what was seen of a log that was opened again.
type Asked struct {
	Opening  time.Duration // after a clean close
	First    time.Duration // that the first reading of an entity took
	Samples  []Sample
	Heap     float64 // after all of them, in bytes
	Segments int
}

// The samples of a log, by their places in Asked.
const (
	ReadCold = iota
	ReadWarm
	AppendAny
	AppendKnown
	AppendNew
	AppendNewKey
	AppendKnownKey
	Causes
	Effects
)

var lazily = store.Options{Sync: store.SyncNever}

func entity(i int) store.Coordinate { return store.At(fmt.Sprintf("customer:%d", i), workload.Scope) }

func requestKey(i int) string { return fmt.Sprint("request ", i) }

// commitEvents is how many events of the log share a commit, and so a key.
const commitEvents = 3

// Fill writes the log.
func (l Log) Fill(ctx context.Context) (f Filled, err error) {
	st, err := store.Open(l.Dir, lazily)
	if err != nil {
		return f, err
	}
	w := filling{Log: l, st: st, began: time.Now()}
	err = w.write(ctx)
	if err == nil {
		f = w.filled()
		f.AfterKill, err = openedAfterKill(l.Dir, lazily)
	}
	err = errors.Join(err, st.Close())
	if err == nil {
		f.Disk, err = machine.DiskUse(l.Dir)
	}
	return f, err
}

// filling is a log that is being written.
type filling struct {
	Log
	st      *store.Store
	began   time.Time
	looking time.Duration // spent on what is not writing
	tenths  []time.Duration
	longest time.Duration
	heap    float64
	story   Story
}

func (w *filling) write(ctx context.Context) error {
	tenth := max(1, w.Entities/10)
	heaps := max(1, w.Events/40) // the heap grows with the active segment, so look at many moments of it
	for i := 0; i < w.Events; i += commitEvents {
		took, err := w.commit(ctx, i)
		if err != nil {
			return err
		}
		w.longest = max(w.longest, took)
		if done := i + commitEvents; done/tenth > len(w.tenths) && len(w.tenths) < 10 {
			w.tenths = append(w.tenths, w.elapsed())
		}
		if i/heaps != (i+commitEvents)/heaps {
			began := time.Now()
			w.heap = max(w.heap, machine.HeapInUse())
			w.looking += time.Since(began)
		}
	}
	return nil
}

func (w *filling) commit(ctx context.Context, i int) (time.Duration, error) {
	b := store.Batch{IdempotencyKey: requestKey(i), Events: make([]store.Proposal, 0, commitEvents)}
	for j := i; j < min(i+commitEvents, w.Events); j++ {
		b.Events = append(b.Events, store.Proposal{At: entity(j % w.Entities), Payload: workload.Event(j)})
	}
	told := w.story.next(i, w.Events)
	b.Events[0].Causation = told
	began := time.Now()
	r, err := w.st.Commit(ctx, b)
	took := time.Since(began)
	if err == nil {
		w.story.tell(told, r.Events[0].ID)
	}
	return took, err
}

func (w *filling) elapsed() time.Duration { return time.Since(w.began) - w.looking }

func (w *filling) filled() Filled {
	f := Filled{Took: w.elapsed(), LongestCommit: w.longest, Heap: w.heap}
	if n := len(w.tenths); n > 1 {
		f.FirstTenth = figures.PerSecond(w.Entities/10, w.tenths[0])
		f.LastTenth = figures.PerSecond(w.Entities/10, w.tenths[n-1]-w.tenths[n-2])
	}
	return f
}

// Ask opens the log, and measures what reading one entity and appending cost. It appends some
// events and keys, whose names begin with tag: another one each time.
func (l Log) Ask(ctx context.Context, tag string) (a Asked, err error) {
	st, took, err := opened(l.Dir, lazily)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	a.Opening = took
	q := asking{Log: l, ctx: ctx, st: st, tag: tag}
	began := time.Now()
	if err := q.read(l.some(0)); err != nil {
		return a, err
	}
	a.First = time.Since(began)
	if a.Samples, err = q.samples(); err != nil {
		return a, err
	}
	a.Segments = st.Stats().Segments
	a.Heap = machine.HeapInUse()
	return a, nil
}

// some is an entity far from the others that it returns, and not among the last of the log.
func (l Log) some(i int) int { return (i*7919 + 13) % max(1, l.Entities*9/10) }

// asking is a log that is being asked.
type asking struct {
	Log
	ctx context.Context
	st  *store.Store
	tag string
}

// samples are in the order of the constants.
func (a asking) samples() (list []Sample, err error) {
	for _, s := range []struct {
		name string
		do   func(i int) error
	}{
		{"read an entity for the first time", func(i int) error { return a.read(a.some(i + 1)) }},
		{"read it again", func(i int) error { return a.read(a.some(i + 1)) }},
		{"append to the same entity", func(int) error { return a.append(entity(1), "") }},
		{"append to one not met since the opening", func(i int) error { return a.append(entity(a.some(i+a.Samples+7)), "") }},
		{"append to a new entity", func(i int) error { return a.append(a.newEntity(i), "") }},
		{"append with a new key", func(i int) error { return a.append(entity(1), fmt.Sprint(a.tag, " ", i)) }},
		{"append with a key that is known", a.again},
	} {
		one, err := sample(s.name, a.Samples, s.do)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	lineage, err := a.lineage()
	return append(list, lineage...), err
}

func (a asking) newEntity(i int) store.Coordinate {
	return store.At(fmt.Sprintf("%s:%d", a.tag, i), workload.Scope)
}

func (a asking) read(i int) error {
	found := 0
	for _, err := range a.st.Read(a.ctx, store.Region{Entity: entity(i).Entity}, store.Beginning()) {
		if err != nil {
			return err
		}
		found++
	}
	if found == 0 {
		return fmt.Errorf("entity %d has no event", i)
	}
	return nil
}

func (a asking) append(at store.Coordinate, key string) error {
	_, err := a.st.Commit(a.ctx, store.Batch{
		IdempotencyKey: key, Events: []store.Proposal{{At: at, Payload: workload.Event(1)}},
	})
	return err
}

// again uses a key of the log with another content, which costs what finding it costs.
func (a asking) again(i int) error {
	key := requestKey(i * 997 * commitEvents % a.Events / commitEvents * commitEvents)
	err := a.append(entity(1), key)
	if !errors.Is(err, store.ErrIdempotencyKeyReused) {
		return fmt.Errorf("key %q: %w", key, err)
	}
	return nil
}
