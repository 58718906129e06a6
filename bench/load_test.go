package bench

import (
	"testing"
	"time"

	"github.com/penstock-io/penstock/bench/workload"
)

// contestant appends events: op writes the i-th in the name of a writer, and returns when it is
// acknowledged.
type contestant struct {
	op    func(writer, i int) error
	close func() error
}

// opener starts a contestant in an empty directory.
type opener func(b *testing.B, dir string) contestant

// turn opens a contestant, drives it and removes it. events is how many events an op writes.
func turn(b *testing.B, open opener, writers, events int) workload.Outcome {
	b.Helper()
	dir, remove := newDir(b)
	defer remove()
	c := open(b, dir)
	o, err := workload.Drive(writers, *turnTime, c.op)
	must(b, err)
	must(b, c.close())
	o.PerSecond *= float64(events)
	o.Each.CPU /= time.Duration(events)
	o.Each.Bytes /= float64(events)
	o.Each.Objects /= float64(events)
	return o
}
