// Package delivery measures what it costs to hand events to a worker: Penstock beside JetStream, Watermill, plain protoactor, and
// the limit of the machine, all in one run. Command compare runs it.
//
//	round 1    each row: limit | penstock | jetstream | watermill | ...     each contestant has a turn in a directory
//	round 2    each row: ...                                                of its own; figures are medians over the rounds
//
// Each contestant is used as somebody would who knows it: batches where it has batches, publishes whose acknowledgements are
// awaited together, one transaction for many messages. What its acknowledgement promises stands beside its figures: a figure
// without a promise means nothing.
package delivery

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// Env is what a contestant gets for a turn.
type Env struct {
	Dir    string        // empty, and removed afterwards
	Events int           // of the log, where a row handles one
	Turn   time.Duration // where a row lasts for a time
}

// Contestant is one way to do what a row asks for.
type Contestant struct {
	Name string
	// Promise is what is true of an event once it counts as done.
	Promise string
	// Run has a turn, and gives the figures of the row in their order.
	Run func(Env) ([]float64, error)
}

// Row is something to do.
type Row struct {
	Name        string
	What        string
	Figures     []string // with their units, the one that counts first
	LessIsMore  bool
	Contestants []Contestant
	Targets     []Target
}

// Target is what is wanted of the first figure of "penstock".
type Target struct {
	Against  string  // a contestant, or empty for the figure itself
	Relation string  // ">=" or "<="
	Bound    float64 // of the ratio, or of the figure
}

// Result is the medians of a contestant over the rounds.
type Result struct {
	Contestant string
	Promise    string
	Figures    []float64
	Rounds     [][]float64 // each figure in each round
}

// Measured is a row with its results.
type Measured struct {
	Row     string
	What    string
	Figures []string
	Less    bool
	Results []Result
	Targets []Verdict
}

// Verdict is a target and what was reached: the median of the ratios within the rounds.
type Verdict struct {
	Target
	Got float64
	Met bool
}

// Measure runs rows for a number of rounds. say is told what is about to run.
func Measure(rows []Row, rounds int, env Env, say func(string)) ([]Measured, error) {
	all := make([]Measured, len(rows))
	for i, r := range rows {
		all[i] = Measured{Row: r.Name, What: r.What, Figures: r.Figures, Less: r.LessIsMore}
		for _, c := range r.Contestants {
			all[i].Results = append(all[i].Results, Result{Contestant: c.Name, Promise: c.Promise, Rounds: make([][]float64, len(r.Figures))})
		}
	}
	for round := range rounds {
		for i, r := range rows {
			for k, c := range r.Contestants {
				say(fmt.Sprintf("round %d of %d: %s, %s", round+1, rounds, r.Name, c.Name))
				figures, err := turn(c, env)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", r.Name, c.Name, err)
				}
				for f := range r.Figures {
					all[i].Results[k].Rounds[f] = append(all[i].Results[k].Rounds[f], figures[f])
				}
			}
		}
	}
	for i := range all {
		all[i].conclude(rows[i].Targets)
	}
	return all, nil
}

func turn(c Contestant, env Env) ([]float64, error) {
	dir, err := os.MkdirTemp(env.Dir, "turn-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	env.Dir = dir
	return c.Run(env)
}

// conclude takes the medians and compares them with the targets.
func (m *Measured) conclude(targets []Target) {
	for i := range m.Results {
		for _, rounds := range m.Results[i].Rounds {
			m.Results[i].Figures = append(m.Results[i].Figures, median(rounds))
		}
	}
	ours := m.result("penstock")
	for _, t := range targets {
		if ours == nil {
			continue
		}
		ratios := slices.Clone(ours.Rounds[0])
		if peer := m.result(t.Against); peer != nil {
			for i := range ratios {
				ratios[i] /= peer.Rounds[0][i]
			}
		}
		got := median(ratios)
		m.Targets = append(m.Targets, Verdict{
			Target: t, Got: got, Met: t.Relation == ">=" && got >= t.Bound || t.Relation == "<=" && got <= t.Bound,
		})
	}
}

func (m *Measured) result(name string) *Result {
	i := slices.IndexFunc(m.Results, func(r Result) bool { return r.Contestant == name })
	if i < 0 {
		return nil
	}
	return &m.Results[i]
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile leaves the values as they are.
func quantile[T float64 | time.Duration](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); q == 0.5 && n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// latencies gives the two figures of a row about times.
func latencies(took []time.Duration) []float64 {
	return []float64{micros(quantile(took, 0.5)), micros(quantile(took, 0.99))}
}
