// Command growth measures what one entity and one key cost in a log of many: reading an entity,
// appending to one that is known and to one that is new, appending with a new key, and the heap.
// None of that should grow with the log.
//
//	go run ./cmd/growth                                       # 3 M events of 1 M entities
//	go run ./cmd/growth -events 30000000 -entities 10000000   # ten times as many
//
// The log is written without syncs to the directory of the environment's TMPDIR, or to -dir. Every
// third event brings a key. The files are in the page cache when they are read: cold means that the
// store was just opened.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
	"github.com/penstock-io/penstock/store"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

type settings struct {
	dir              string
	events, entities int
	samples          int
}

func parse(args []string, stderr io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("growth", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.dir, "dir", os.TempDir(), "directory for the log, on the disk that is of interest")
	flags.IntVar(&s.events, "events", 3_000_000, "events of the log")
	flags.IntVar(&s.entities, "entities", 1_000_000, "entities that the events are of, in turn")
	flags.IntVar(&s.samples, "samples", 2000, "how often each thing is measured")
	err = flags.Parse(args)
	if err == nil && min(s.events, s.entities, s.samples) < 1 {
		err = errors.New("events, entities and samples must be at least 1")
	}
	return s, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp(s.dir, "penstock-growth-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	m := measurement{settings: s}
	if err := m.fill(ctx); err != nil {
		return err
	}
	machine.Settle()
	if err := m.measure(ctx); err != nil {
		return err
	}
	return m.print(stdout)
}

// measurement is the log and what was measured of it.
type measurement struct {
	settings
	filling  time.Duration
	opening  time.Duration
	segments int
	written  float64 // largest heap met while writing, in bytes
	heap     float64 // heap after all that was measured
	first    time.Duration
	rows     []row
}

type row struct {
	name  string
	times []time.Duration
	cost  machine.Cost
}

func entity(i int) store.Coordinate { return store.At(fmt.Sprintf("customer:%d", i), workload.Scope) }

// fill writes the log, three events at a time with a key.
func (m *measurement) fill(ctx context.Context) (err error) {
	begun := time.Now()
	st, err := store.Open(m.dir, store.Options{Sync: store.SyncNever})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for i := 0; i < m.events; i += 3 {
		b := store.Batch{IdempotencyKey: fmt.Sprint("request ", i)}
		for j := i; j < min(i+3, m.events); j++ {
			b.Events = append(b.Events, store.Proposal{At: entity(j % m.entities), Payload: workload.Event(j)})
		}
		if _, err := st.Commit(ctx, b); err != nil {
			return err
		}
		if i/3%(m.events/300+1) == 0 { // at a hundred moments: the heap grows with the active segment
			m.written = max(m.written, machine.HeapInUse())
		}
	}
	m.filling = time.Since(begun)
	return nil
}

func (m *measurement) measure(ctx context.Context) (err error) {
	begun := time.Now()
	st, err := store.Open(m.dir, store.Options{Sync: store.SyncNever})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	m.opening = time.Since(begun)

	// Entities far from each other, the last of the log not among them.
	some := func(i int) int { return (i*7919 + 13) % max(1, m.entities*9/10) }
	begun = time.Now()
	if err := readEntity(ctx, st, some(0)); err != nil {
		return err
	}
	m.first = time.Since(begun)
	for _, r := range []struct {
		name string
		do   func(i int) error
	}{
		{"read an entity for the first time", func(i int) error { return readEntity(ctx, st, some(i+1)) }},
		{"read it again", func(i int) error { return readEntity(ctx, st, some(i+1)) }},
		{"append to the same entity", func(i int) error { return m.append(ctx, st, 1, "") }},
		{"append to one not seen since the opening", func(i int) error { return m.append(ctx, st, some(i+m.samples+7), "") }},
		{"append to a new entity", func(i int) error { return m.append(ctx, st, m.entities+i, "") }},
		{"append with a new key", func(i int) error { return m.append(ctx, st, 1, fmt.Sprint("new ", i)) }},
		{"append with a key that is known", func(i int) error { return m.again(ctx, st, i) }},
	} {
		if err := m.sample(r.name, r.do); err != nil {
			return err
		}
	}
	m.segments = st.Stats().Segments
	m.heap = machine.HeapInUse()
	return nil
}

func (m *measurement) sample(name string, do func(i int) error) error {
	r := row{name: name, times: make([]time.Duration, m.samples)}
	before := machine.CostSoFar()
	for i := range r.times {
		begun := time.Now()
		if err := do(i); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.times[i] = time.Since(begun)
	}
	r.cost = machine.CostSoFar().Since(before)
	m.rows = append(m.rows, r)
	return nil
}

func readEntity(ctx context.Context, st *store.Store, i int) error {
	found := 0
	for _, err := range st.Read(ctx, store.Region{Entity: entity(i).Entity}, store.Beginning()) {
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

func (m *measurement) append(ctx context.Context, st *store.Store, i int, key string) error {
	_, err := st.Commit(ctx, store.Batch{
		IdempotencyKey: key, Events: []store.Proposal{{At: entity(i), Payload: workload.Event(i)}},
	})
	return err
}

// again uses a key of the log with another content, which costs what finding it costs.
func (m *measurement) again(ctx context.Context, st *store.Store, i int) error {
	key := fmt.Sprint("request ", i*997*3%m.events/3*3)
	err := m.append(ctx, st, 1, key)
	if !errors.Is(err, store.ErrIdempotencyKeyReused) {
		return fmt.Errorf("key %q: %w", key, err)
	}
	return nil
}

func (m *measurement) print(w io.Writer) error {
	fmt.Fprintf(w, "%s events of %s entities with %s keys in %d segments, written in %.1f s, opened in %.1f ms\n",
		figures.Short(float64(m.events)), figures.Short(float64(m.entities)), figures.Short(float64((m.events+2)/3)),
		m.segments, m.filling.Seconds(), figures.Millis(m.opening))
	fmt.Fprintf(w, "largest heap of the writer: %.1f MB; of the store opened again, after all of this: %.1f MB\n",
		m.written/1e6, m.heap/1e6)
	fmt.Fprintf(w, "the very first entity that was read: %.2f ms\n\n", figures.Millis(m.first))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "µs\tmedian\tp99\tlongest\tprocessor\tbytes allocated\t")
	for _, r := range m.rows {
		n := time.Duration(len(r.times))
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t\n", r.name,
			figures.Micros(figures.Quantile(r.times, 0.5)), figures.Micros(figures.Quantile(r.times, 0.99)),
			figures.Micros(r.times[len(r.times)-1]), figures.Micros(r.cost.CPU/n), r.cost.Bytes/uint64(n))
	}
	return t.Flush()
}
