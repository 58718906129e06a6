package bench

import (
	"os"
	"slices"
	"testing"
	"time"
)

// figures collects what a benchmark measured in each round.
type figures struct {
	b      *testing.B
	values map[string][]float64
}

func newFigures(b *testing.B) *figures {
	b.Helper()
	return &figures{b: b, values: make(map[string][]float64)}
}

// add notes a figure of this round. A unit that ends in ">=1.2" or "<=50" says what is wanted.
func (f *figures) add(unit string, value float64) { f.values[unit] = append(f.values[unit], value) }

// report gives the medians over the rounds.
func (f *figures) report() {
	f.b.ReportMetric(0, "ns/op") // the time of a round means nothing
	for unit, values := range f.values {
		f.b.ReportMetric(median(values), unit)
	}
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile sorts values.
func quantile[T float64 | time.Duration](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	if n := len(values); q == 0.5 && n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[min(int(q*float64(len(values))), len(values)-1)]
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

// must ends the benchmark when something fails that is not measured.
func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// newDir makes an empty directory, and a function that removes it with everything in it.
func newDir(b *testing.B) (dir string, remove func()) {
	b.Helper()
	dir, err := os.MkdirTemp(scratch, "turn-") //nolint:usetesting // on the file system that is described, and removed after each turn
	must(b, err)
	return dir, func() { must(b, os.RemoveAll(dir)) }
}
