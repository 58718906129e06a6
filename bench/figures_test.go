package bench

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
)

// recorder collects what a benchmark measured in each round.
type recorder struct {
	b      *testing.B
	values map[string][]float64
}

func newRecorder(b *testing.B) *recorder {
	b.Helper()
	return &recorder{b: b, values: make(map[string][]float64)}
}

// add notes a figure of this round. A unit that ends in ">=1.2" or "<=50" says what is wanted.
func (f *recorder) add(unit string, value float64) { f.values[unit] = append(f.values[unit], value) }

// report returns the medians over the rounds.
func (f *recorder) report() {
	f.b.ReportMetric(0, "ns/op") // the time of a round means nothing
	for unit, values := range f.values {
		f.b.ReportMetric(figures.Median(values), unit)
	}
}

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

// deliver returns a contestant a turn.
func deliver(b *testing.B, run delivery.Run) delivery.Result {
	b.Helper()
	dir, remove := newDir(b)
	defer remove()
	res, err := run(b.Context(), delivery.Turn{Dir: dir, Library: filepath.Join(dir, "library"), Time: *turnTime})
	must(b, err)
	return res
}
