package growth

import (
	"fmt"
	"time"

	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
)

// Sample is what one piece of work took, done some number of times.
type Sample struct {
	Name    string
	Median  time.Duration
	P99     time.Duration
	Longest time.Duration
	Each    workload.PerOp // the whole process meanwhile
}

// sample does the i-th piece of work n times.
func sample(name string, n int, do func(i int) error) (Sample, error) {
	return repeat(name, func(i int) bool { return i < n }, do)
}

// sampleFor does a piece of work for some time, at least once.
func sampleFor(name string, d time.Duration, do func(i int) error) (Sample, error) {
	ends := time.Now().Add(d)
	return repeat(name, func(i int) bool { return i == 0 || time.Now().Before(ends) }, do)
}

func repeat(name string, more func(i int) bool, do func(i int) error) (Sample, error) {
	var took []time.Duration
	before := machine.CostSoFar()
	for i := 0; more(i); i++ {
		began := time.Now()
		if err := do(i); err != nil {
			return Sample{}, fmt.Errorf("%s: %w", name, err)
		}
		took = append(took, time.Since(began))
	}
	s := sampled(name, took)
	s.Each = workload.EachOf(machine.CostSoFar().Since(before), len(took))
	return s, nil
}

// sampled is what some pieces of work took.
func sampled(name string, took []time.Duration) Sample {
	median, p99 := figures.Quantile(took, 0.5), figures.Quantile(took, 0.99)
	return Sample{Name: name, Median: median, P99: p99, Longest: took[len(took)-1]}
}

// String is median / p99 / longest, then processor time and bytes allocated for each.
func (s Sample) String() string {
	return fmt.Sprintf("%s / %s / %s µs; %s µs, %s B", figures.Short(figures.Micros(s.Median)), figures.Short(figures.Micros(s.P99)),
		figures.Short(figures.Micros(s.Longest)), figures.Short(figures.Micros(s.Each.CPU)), figures.Short(s.Each.Bytes))
}
