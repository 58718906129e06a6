// Package delivery measures how fast events are delivered, handled and remembered: by Penstock, by
// the least that a machine can do, and by systems that are used for the same from Go.
//
// A [Row] is one piece of work with several contestants. In a round each of them has one turn, in
// an order that moves on by one each round, so that all meet the same machine and only ratios
// within a round count:
//
//	prepare    logs that are only read, once for all rows
//	round 1    limit | penstock | jetstream | watermill     a turn opens the contestant, lets it
//	round 2    penstock | jetstream | watermill | limit     do the work, and closes it
//
// Every contestant is used as its documentation recommends for speed: what it offers in
// batches is taken in batches, what it acknowledges later is awaited later. What an acknowledgement
// is worth differs; [Contestant].Promise says it, and Durable says whether it outlives a power cut.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
)

// Turn is what a contestant has to work with.
type Turn struct {
	Dir     string        // empty, removed after the turn
	Library string        // the same in all turns of all rows, for logs that are only read
	Time    time.Duration // how long it works where it does not work until it is done
}

// Result is what was measured in one turn: the figure of the row, under [Row].Unit, and others
// under names of their own.
type Result map[string]float64

// Run takes a turn.
type Run func(ctx context.Context, t Turn) (Result, error)

// Contestant is one way of doing the work of a row.
type Contestant struct {
	Name    string
	Promise string // what it is worth when the contestant says that a piece of work is done
	Durable bool   // whether that outlives a power cut
	Prepare Run    // makes what its turns find in the library; nil for none
	Run     Run
}

// Round is what was measured in one round, by the names of contestants.
type Round map[string]Result

// Row is one piece of work.
type Row struct {
	Name        string
	Title       string
	Does        string // what a contestant does in its turn
	Unit        string
	Less        bool // is better
	Contestants []Contestant
}

// Options of a measurement. Dir, Rounds and Time are required.
type Options struct {
	Dir    string // on the disk of interest; the caller removes it
	Rounds int
	Time   time.Duration
	Settle bool      // write out before each turn what earlier ones have left in the page cache
	Log    io.Writer // gets a line for each turn; nil means none
}

// Measured is a row with what was measured.
type Measured struct {
	Row    Row
	Rounds []Round
}

// Figure is the median of a figure of a contestant over the rounds, and whether it has that figure.
func Figure(rounds []Round, contestant, unit string) (float64, bool) {
	var values []float64
	for _, r := range rounds {
		if v, ok := r[contestant][unit]; ok {
			values = append(values, v)
		}
	}
	return figures.Median(values), len(values) > 0
}

// Ratio is the median, over the rounds, of the ratio of a figure of two contestants within a round.
func Ratio(rounds []Round, unit, ours, theirs string) float64 {
	var values []float64
	for _, r := range rounds {
		values = append(values, r[ours][unit]/r[theirs][unit])
	}
	return figures.Median(values)
}

// Measure lets the contestants of a row take their turns.
func (r Row) Measure(ctx context.Context, o Options) (m Measured, err error) {
	m.Row = r
	t := Turn{Library: filepath.Join(o.Dir, "library"), Time: o.Time}
	prepared, err := r.prepare(ctx, t)
	if err != nil {
		return m, err
	}
	for round := range o.Rounds {
		results := make(Round)
		for k := range r.Contestants {
			c := r.Contestants[(k+round)%len(r.Contestants)]
			result, err := c.turn(ctx, t, o)
			if err != nil {
				return m, fmt.Errorf("%s: %s: %w", r.Name, c.Name, err)
			}
			maps.Copy(result, prepared[c.Name])
			for unit, v := range result {
				result[unit] = figures.Rounded(v)
			}
			results[c.Name] = result
			if o.Log != nil {
				fmt.Fprintf(o.Log, "%s round %d: %s: %v\n", r.Name, round+1, c.Name, result)
			}
		}
		m.Rounds = append(m.Rounds, results)
	}
	return m, nil
}

// prepare returns what was measured meanwhile, which counts for each round.
func (r Row) prepare(ctx context.Context, t Turn) (Round, error) {
	if err := os.MkdirAll(t.Library, 0o755); err != nil {
		return nil, err
	}
	prepared := make(Round)
	for _, c := range r.Contestants {
		if c.Prepare == nil {
			continue
		}
		var err error
		if prepared[c.Name], err = c.Prepare(ctx, t); err != nil {
			return nil, fmt.Errorf("%s: %s: prepare: %w", r.Name, c.Name, err)
		}
	}
	return prepared, nil
}

// turn returns a contestant an empty directory, and a process without garbage.
func (c Contestant) turn(ctx context.Context, t Turn, o Options) (res Result, err error) {
	if t.Dir, err = os.MkdirTemp(o.Dir, "turn-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.Dir)) }()
	runtime.GC()
	if o.Settle {
		machine.Settle()
	}
	return c.Run(ctx, t)
}

// Shelf is a directory of the library, and whether it is there already.
func (t Turn) Shelf(name string) (dir string, filled bool) {
	dir = filepath.Join(t.Library, name)
	_, err := os.Stat(dir)
	return dir, err == nil
}

// Use adds what the whole process used up for each piece of work.
func (r Result) Use(each workload.PerOp) Result {
	r[unitCPU], r[unitBytes] = figures.Micros(each.CPU), each.Bytes
	return r
}

// Latencies are the figures of rows about time.
func Latencies(took []time.Duration) Result {
	return Result{
		UnitP50: figures.Micros(figures.Quantile(took, 0.5)),
		UnitP99: figures.Micros(figures.Quantile(took, 0.99)),
	}
}

// progress counts what is handled. It is over when everything is, or when the time is up.
type progress struct {
	began  time.Time
	ends   time.Time
	before machine.Cost
	want   int
	done   int
}

// patience is how many turns a contestant may take for its log. A slow one is measured by how far
// it came.
const patience = 2

func newProgress(want int, turn time.Duration) *progress {
	now := time.Now()
	return &progress{began: now, ends: now.Add(patience * turn), before: machine.CostSoFar(), want: want}
}

func (p *progress) over() bool { return p.done >= p.want || time.Now().After(p.ends) }

func (p *progress) rate() Result {
	res := Result{unitEvents: figures.PerSecond(p.done, time.Since(p.began)), "handled": float64(p.done)}
	return res.Use(workload.EachOf(machine.CostSoFar().Since(p.before), p.done))
}
